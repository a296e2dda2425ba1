//! Which addresses a configured or discovered host may lead to: public ones, unless the operator
//! says otherwise.
//!
//! A federated instance is a host that somebody typed in. Its name is resolved here, the addresses
//! are checked, and the connection goes to what was checked, so that no name can lead the exporter
//! into its own network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Resolves names, and refuses those that lead to no public address.
#[derive(Clone, Copy, Debug)]
pub struct PublicOnly;

/// A name or address that leads into a private network.
#[derive(Debug, thiserror::Error)]
#[error("{0} is no public address (global.allow_private_networks permits it)")]
pub struct Refused(String);

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let public: Vec<SocketAddr> =
                found.into_iter().filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(Refused(name.as_str().to_owned()).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Refuses a URL whose host is a private address as it stands; names are checked when they are
/// resolved.
///
/// # Errors
/// The refusal.
pub fn check(url: &Url) -> Result<(), Refused> {
    let address = match url.host() {
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
        Some(Host::Domain(_)) | None => return Ok(()),
    };
    if is_public(address) { Ok(()) } else { Err(Refused(address.to_string())) }
}

/// Whether an address belongs to the public internet (IANA's special-purpose registries name those
/// that do not).
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let [_, _, _, _, _, _, high, low] = segments;
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    if let Some(v4) = address.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    match segments {
        // NAT64 and 6to4 carry an IPv4 address, which is where they lead.
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        // Global unicast, without documentation and the protocol assignments at its beginning.
        [first, second, ..] => {
            (0x2000..0x4000).contains(&first) && !(first == 0x2001 && (second < 0x200 || second == 0xdb8))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
