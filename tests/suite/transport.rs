//! Which hosts the HTTP client connects to.

use reqwest::dns::{Name, Resolve as _};
use token_exporter::transport::{PublicOnly, check, is_public};
use url::Url;

#[test]
fn only_public_addresses_are_public() {
    for address in [
        "8.8.8.8",
        "1.1.1.1",
        "172.32.0.1",
        "100.128.0.1",
        "2606:4700::1111",
        "2a00:1450:4001::1",
        "64:ff9b::808:808",
    ] {
        assert!(address.parse().is_ok_and(is_public), "{address}");
    }
    for address in [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "192.0.0.170",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "fd12::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "2001:db8::1",
        "::7f00:1",
    ] {
        assert!(address.parse().is_ok_and(|a| !is_public(a)), "{address}");
    }
}

#[test]
fn literal_addresses_are_refused_and_names_wait_for_their_resolution() {
    let refused = |url: &str| Url::parse(url).is_ok_and(|u| check(&u).is_err());
    assert!(refused("https://169.254.169.254/latest"));
    assert!(refused("https://[fe80::1]/"));
    assert!(refused("https://0x7f.1/"), "other notations are normalised first");
    assert!(!refused("https://mastodon.example/"));
}

#[tokio::test]
async fn a_name_that_leads_home_is_refused() {
    let Ok(name) = "localhost".parse::<Name>() else { return };
    assert!(PublicOnly.resolve(name).await.is_err());
}
