//! Which shard holds the accounts that this one does not, in 16 bytes for each of them.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::{Inventory, Shard};
use crate::network::NetworkId;

/// By source: what is found by a hash, with the number of a shard in the lowest bits; sorted.
#[derive(Clone, Debug, Default)]
pub struct Elsewhere(BTreeMap<String, Vec<u64>>);

/// Bits for the number of a shard.
const SHARD_BITS: u32 = 16;
const SHARD_MASK: u64 = (1 << SHARD_BITS) - 1;

fn entry(hashed: u64, shard: u32) -> u64 {
    hashed & !SHARD_MASK | u64::from(shard) & SHARD_MASK
}

fn of_account(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

fn of_external_id(network: NetworkId, external_id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (network, external_id).hash(&mut hasher);
    hasher.finish()
}

impl Elsewhere {
    /// What other shards hold of the accounts of all shards.
    pub fn new(accounts: &Inventory, shard: Shard) -> Self {
        let mut sources: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        if shard.total() == 1 {
            return Self(sources);
        }
        for account in accounts.accounts() {
            let Some(holder) = account.credential().map(|credential| shard.holder(credential.id())) else {
                continue;
            };
            if holder == shard.ordinal() {
                continue;
            }
            let place = accounts.places().get(account.place());
            let source = place.and_then(|place| place.source.as_deref()).unwrap_or("");
            let entries = match sources.get_mut(source) {
                Some(entries) => entries,
                None => sources.entry(source.to_owned()).or_default(),
            };
            entries.push(entry(of_account(account.id()), holder));
            if !account.external_id().is_empty() {
                entries.push(entry(of_external_id(account.network(), account.external_id()), holder));
            }
        }
        for entries in sources.values_mut() {
            entries.sort_unstable();
            entries.shrink_to_fit();
        }
        Self(sources)
    }

    /// Takes over what a later reading found. Sources that were not read again stay as they were.
    pub fn update(&mut self, later: Self) {
        self.0.extend(later.0);
    }

    /// The shard that holds an account with this id.
    pub fn account(&self, id: &str) -> Option<u32> {
        self.find(of_account(id))
    }

    /// The shard that holds an account with this id at its network.
    pub fn external_id(&self, network: NetworkId, external_id: &str) -> Option<u32> {
        self.find(of_external_id(network, external_id))
    }

    fn find(&self, hashed: u64) -> Option<u32> {
        self.0.values().find_map(|entries| {
            let found = entries.get(entries.partition_point(|known| *known < entry(hashed, 0)))?;
            (found & !SHARD_MASK == hashed & !SHARD_MASK)
                .then(|| u32::try_from(found & SHARD_MASK).unwrap_or_default())
        })
    }
}
