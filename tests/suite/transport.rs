//! The HTTP client: hosts that it connects to, rate limits and signatures.

use std::time::{Duration, Instant};

use reqwest::dns::{Name, Resolve as _};
use token_exporter::inventory::RateLimit;
use token_exporter::model::Secret;
use token_exporter::network::OAuth1Keys;
use token_exporter::transport::{Limiter, PublicOnly, authorization, check, is_public};
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

#[test]
fn never_more_than_the_count_within_a_period() {
    for (count, per) in [(20, 1), (1, 1), (5, 1), (100, 60), (1000, 86_400)] {
        let limiter = Limiter::new(RateLimit { count, per: Duration::from_secs(per) });
        let start = Instant::now();
        let mut at: Vec<Duration> = Vec::new();
        let mut now = start;
        for _ in 0..count * 3 {
            now += limiter.reserve(1, now);
            at.push(now - start);
        }
        let period = Duration::from_secs(per);
        for (i, first) in at.iter().enumerate() {
            let within = at[i..].iter().filter(|t| **t + Duration::from_micros(10) < *first + period).count();
            assert!(within <= count as usize, "{count} per {per} s: {within}");
        }
        assert!(at[at.len() - 1] < period * 4, "and not much slower: {:?}", at[at.len() - 1]);
    }
}

/// The worked example of X's documentation, "Creating a signature" (with its published keys).
#[test]
fn signs_as_documented() {
    let keys = OAuth1Keys {
        consumer_key: "xvz1evFS4wEEPTGEFPHBog".into(),
        consumer_secret: Secret::new("kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw"),
        token: Secret::new("370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb"),
        token_secret: Secret::new("LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE"),
    };
    let query = [
        ("include_entities".to_owned(), "true".to_owned()),
        ("status".to_owned(), "Hello Ladies + Gentlemen, a signed OAuth request!".to_owned()),
    ];
    let header = authorization(
        &keys,
        "POST",
        "https://api.twitter.com/1.1/statuses/update.json",
        &query,
        1_318_622_958,
        "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg",
    );
    assert!(
        header.reveal().contains("oauth_signature=\"hCtSmYh%2BiHYCEqBWrE7C7hYmtUk%3D\""),
        "{}",
        header.reveal()
    );
}
