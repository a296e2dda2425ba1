//! Sharding: which shard holds which credentials. Knows ids and numbers, nothing else.
//!
//! A credential and all its accounts are always in one shard. If a shard is added, only its own
//! share moves, and moves to it; if one is removed, only the share of that one moves.

use std::str::FromStr;

use crate::model::stable_hash;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    ordinal: u32,
    total: u32,
}

impl Shard {
    pub const WHOLE: Self = Self { ordinal: 0, total: 1 };

    /// None if `ordinal` is not less than `total`.
    pub fn new(ordinal: u32, total: u32) -> Option<Self> {
        (ordinal < total).then_some(Self { ordinal, total })
    }

    pub fn ordinal(self) -> u32 {
        self.ordinal
    }

    pub fn total(self) -> u32 {
        self.total
    }

    pub fn holds(self, credential: &str) -> bool {
        self.holder(credential) == self.ordinal
    }

    /// The number of the shard that holds a credential.
    pub fn holder(self, credential: &str) -> u32 {
        if self.total == 1 { 0 } else { jump_hash(stable_hash(credential), self.total) }
    }
}

/// `I/N`: share I of N.
impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('/')
            .and_then(|(ordinal, total)| Some((ordinal.parse().ok()?, total.parse().ok()?)));
        parts
            .and_then(|(ordinal, total)| Self::new(ordinal, total))
            .ok_or_else(|| format!("{text:?} is not a share such as 0/3, 1/3 or 2/3"))
    }
}

/// The number at the end of a pod's name, as a StatefulSet gives it: 3 for `token-exporter-3`.
///
/// # Errors
/// If the name does not end in one.
pub fn ordinal_of(pod: &str) -> Result<u32, String> {
    let number =
        pod.rsplit_once('-').map(|(_, number)| number).filter(|n| n.bytes().all(|b| b.is_ascii_digit()));
    number
        .and_then(|n| n.parse().ok())
        .ok_or_else(|| format!("{pod:?} does not end in -0, -1, … as the names of a StatefulSet's pods do"))
}

/// Jump consistent hash (Lamping and Veach, 2014): equal shares, and nothing moves between shards
/// that stay.
fn jump_hash(hash: u64, total: u32) -> u32 {
    let (mut key, mut here, mut next) = (hash, 0, 0_u64);
    while next < u64::from(total) {
        here = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let fraction = ((key >> 33) + 1) as f64 / (1_u64 << 31) as f64;
        // At most 2^32 * 2^31, which a float holds well enough and 64 bits hold at all.
        next = ((here + 1) as f64 / fraction) as u64;
    }
    u32::try_from(here).unwrap_or(0)
}
