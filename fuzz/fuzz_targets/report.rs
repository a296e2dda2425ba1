#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| token_exporter_fuzz::report::check(data));
