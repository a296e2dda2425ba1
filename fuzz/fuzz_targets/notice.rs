#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| token_exporter_fuzz::notice::check(data));
