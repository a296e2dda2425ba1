//! Fuzzes the network in `FUZZ_NETWORK`. Each network has its own corpus and coverage.
#![no_main]

use std::sync::LazyLock;

use token_exporter::network::NetworkId;

static NETWORK: LazyLock<NetworkId> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_NETWORK").expect("FUZZ_NETWORK names the network");
    NetworkId::from_name(&name).expect("a network's name")
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| token_exporter_fuzz::network::check(*NETWORK, data));
