//! Who is watched: the configured table as probing and exposition work on it.
//!
//! Immutable once made; a reload makes a new one. Accounts of one credential stand side by side, so
//! that a credential knows them as a range.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;

use ring::digest::{SHA256, digest};

use super::{App, CredentialView, Table};
use crate::network::NetworkId;

/// How many there are of each network.
pub(super) type Counts = BTreeMap<NetworkId, usize>;

/// Who is watched.
#[derive(Debug, Default)]
pub struct Inventory {
    apps: Vec<App>,
    table: Table,
    /// How many accounts and credentials there are of each network.
    counts: (Counts, Counts),
}

impl Deref for Inventory {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.table
    }
}

impl Inventory {
    /// Of a table and its apps, keeping only the credentials that `mine` picks (a shard's share).
    pub fn new(apps: Vec<App>, table: Table, usual_interval: Duration, mine: impl Fn(&str) -> bool) -> Self {
        let table = table.grouped(usual_interval, mine);
        let mut counts = (Counts::new(), Counts::new());
        for account in table.accounts() {
            *counts.0.entry(account.network()).or_default() += 1;
        }
        for credential in table.credentials() {
            *counts.1.entry(credential.network()).or_default() += 1;
        }
        Self { apps, table, counts }
    }

    /// The developer apps.
    pub fn apps(&self) -> &[App] {
        &self.apps
    }

    /// How many accounts, and how many credentials, there are of each network.
    pub fn counts(&self) -> (&Counts, &Counts) {
        (&self.counts.0, &self.counts.1)
    }

    /// The app of a credential.
    pub fn app(&self, credential: CredentialView<'_>) -> Option<&App> {
        credential.app().and_then(|app| self.apps.get(app))
    }
}

/// A hash of an id that is the same on every machine and in every version.
pub fn stable_hash(id: &str) -> u64 {
    let hash = digest(&SHA256, id.as_bytes());
    hash.as_ref().iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}
