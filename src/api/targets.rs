//! The accounts as targets, for a Prometheus that scrapes `/probe` for each of them.
//!
//! The format is that of Prometheus' HTTP service discovery: a JSON array of target groups. A group
//! has the accounts of one credential and one network, so that relabelling can keep them together.
//! The list is written in chunks because there can be a million accounts.

use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use crate::exposition::{CHUNK, SLACK};
use crate::inventory::{AccountView, Inventory, Shard};
use crate::model::format_duration;
use crate::network::NetworkId;

/// Maximum number of accounts in a group. A credential with more has several groups.
const MAX_GROUP: usize = 500;

/// Selects accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetFilter {
    /// Empty for all networks.
    networks: Vec<NetworkId>,
    shard: Shard,
}

impl TargetFilter {
    /// Reads the query of a URL: `network`, which can be repeated, and `shard` as `I/N`.
    ///
    /// # Errors
    /// All problems of the query, one on each line.
    pub fn parse(query: &str) -> Result<Self, String> {
        let mut filter = Self { networks: Vec::new(), shard: Shard::WHOLE };
        let mut problems = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "network" => match NetworkId::from_name(&value) {
                    Some(network) => filter.networks.push(network),
                    None => {
                        let names: Vec<&str> = NetworkId::all().map(NetworkId::name).collect();
                        problems.push(format!("network: {value:?} is not one of {}", names.join(", ")));
                    }
                },
                "shard" => match Shard::from_str(&value) {
                    Ok(shard) => filter.shard = shard,
                    Err(problem) => problems.push(format!("shard: {problem}")),
                },
                name => problems.push(format!("unknown parameter {name:?}; expected network or shard")),
            }
        }
        if problems.is_empty() { Ok(filter) } else { Err(problems.join("\n")) }
    }

    fn matches(&self, account: AccountView<'_>) -> bool {
        (self.networks.is_empty() || self.networks.contains(&account.network()))
            && account.credential().is_some_and(|c| self.shard.holds(c.id()))
    }
}

#[derive(Serialize)]
struct Group<'a> {
    targets: Vec<&'a str>,
    labels: Labels<'a>,
}

/// Labels for relabelling.
#[derive(Serialize)]
struct Labels<'a> {
    #[serde(rename = "__meta_token_exporter_network")]
    network: &'static str,
    #[serde(rename = "__meta_token_exporter_credential")]
    credential: &'a str,
    #[serde(rename = "__meta_token_exporter_app")]
    app: &'a str,
    #[serde(rename = "__meta_token_exporter_probe_interval")]
    probe_interval: String,
}

/// Writes the list.
pub struct Targets {
    inventory: Arc<Inventory>,
    filter: TargetFilter,
    next_account: usize,
    begun: bool,
    ended: bool,
}

impl Targets {
    pub fn new(inventory: Arc<Inventory>, filter: TargetFilter) -> Self {
        Self { inventory, filter, next_account: 0, begun: false, ended: false }
    }

    /// The next chunk, or `None` at the end.
    pub fn next_chunk(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let mut out = Vec::with_capacity(CHUNK + SLACK);
        let inventory = self.inventory.clone();
        while let Some(group) = self.next_group(&inventory) {
            out.extend_from_slice(if self.begun { b",\n" } else { b"[" });
            self.begun = true;
            // Writing to a vector does not fail.
            let _ = serde_json::to_writer(&mut out, &group);
            if out.len() >= CHUNK {
                return Some(out.into());
            }
        }
        self.ended = true;
        out.extend_from_slice(if self.begun { b"]\n" } else { b"[]\n" });
        Some(out.into())
    }

    /// The next accounts in a row that have the same labels.
    fn next_group<'a>(&mut self, inventory: &'a Inventory) -> Option<Group<'a>> {
        let mut group: Option<(AccountView<'a>, Vec<&'a str>)> = None;
        while let Some(account) = inventory.account(self.next_account) {
            if self.filter.matches(account) {
                match &mut group {
                    None => group = Some((account, vec![account.id()])),
                    Some((first, targets)) if targets.len() < MAX_GROUP && same_labels(*first, account) => {
                        targets.push(account.id())
                    }
                    Some(_) => break,
                }
            }
            self.next_account += 1;
        }
        group.map(|(first, targets)| Group { targets, labels: labels(first) })
    }
}

/// Whether two accounts have the same labels.
fn same_labels(a: AccountView<'_>, b: AccountView<'_>) -> bool {
    (a.credential_index(), a.network()) == (b.credential_index(), b.network())
}

fn labels(account: AccountView<'_>) -> Labels<'_> {
    let credential = account.credential();
    Labels {
        network: account.network().name(),
        credential: credential.map_or("", |c| c.id()),
        app: account.app_id(),
        probe_interval: credential.map(|c| format_duration(c.interval())).unwrap_or_default(),
    }
}
