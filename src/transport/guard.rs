//! Keeps calls to configured or discovered hosts out of private networks.
//!
//! Anybody can name a host, for example as a federated instance. Its name is resolved here, and the
//! connection goes to the addresses that were checked, so that no name leads into the exporter's own
//! network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Resolves names to public addresses only; a name without one is refused.
#[derive(Clone, Copy, Debug)]
pub struct PublicOnly;

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

/// Checks the host of a URL if it is an address. Names are checked when they are resolved.
///
/// # Errors
/// If the address is not public.
pub fn check(url: &Url) -> Result<(), Refused> {
    let address = match url.host() {
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
        Some(Host::Domain(_)) | None => return Ok(()),
    };
    if is_public(address) { Ok(()) } else { Err(Refused(address.to_string())) }
}

/// Whether an address is in none of the special-purpose registries of IANA.
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
        // NAT64 and 6to4 contain the IPv4 address of the destination.
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        // Global unicast, without documentation and protocol assignments.
        [first, second, ..] => {
            (0x2000..0x4000).contains(&first) && !(first == 0x2001 && (second < 0x200 || second == 0xdb8))
        }
    }
}
