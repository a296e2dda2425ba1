//! The accounts as targets, for a Prometheus that scrapes `/probe` for each of them.
//!
//! The format is that of Prometheus' HTTP service discovery: a JSON array of target groups. A group
//! has the accounts of one credential and one network, so that relabelling can keep them together.
//! The list is written in chunks because there can be a million accounts.

use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::exposition::{CHUNK, SLACK};
use crate::inventory::{AccountView, Inventory, Shard};
use crate::model::format_duration;
use crate::network::NetworkId;

/// Maximum number of accounts in a group. A credential with more has several groups.
const MAX_GROUP: usize = 500;

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

/// Writes the list, in chunks.
pub fn write_targets(inventory: Arc<Inventory>, filter: TargetFilter) -> impl Iterator<Item = Bytes> + Send {
    let mut next = Some(0);
    let mut before: &[u8] = b"[";
    std::iter::from_fn(move || {
        let mut account = next?;
        let mut out = Vec::with_capacity(CHUNK + SLACK);
        while let Some(group) = next_group(&inventory, &filter, &mut account) {
            out.extend_from_slice(before);
            before = b",\n";
            // Writing to a vector does not fail.
            let _ = serde_json::to_writer(&mut out, &group);
            if out.len() >= CHUNK {
                next = Some(account);
                return Some(out.into());
            }
        }
        next = None;
        out.extend_from_slice(if before == b"[" { b"[]\n" } else { b"]\n" });
        Some(out.into())
    })
}

/// The next accounts in a row that have the same labels, from the index `next` on.
fn next_group(inventory: &Inventory, filter: &TargetFilter, next: &mut usize) -> Option<Value> {
    let mut group: Option<(AccountView<'_>, Vec<&str>)> = None;
    while let Some(account) = inventory.account(*next) {
        if filter.matches(account) {
            match &mut group {
                None => group = Some((account, vec![account.id()])),
                Some((first, targets)) if targets.len() < MAX_GROUP && same_labels(*first, account) => {
                    targets.push(account.id());
                }
                Some(_) => break,
            }
        }
        *next += 1;
    }
    group.map(|(first, targets)| json!({"targets": targets, "labels": labels(first)}))
}

fn same_labels(a: AccountView<'_>, b: AccountView<'_>) -> bool {
    (a.credential_index(), a.network()) == (b.credential_index(), b.network())
}

fn labels(account: AccountView<'_>) -> Value {
    let credential = account.credential();
    json!({
        "__meta_token_exporter_network": account.network().name(),
        "__meta_token_exporter_credential": credential.map_or("", |c| c.id()),
        "__meta_token_exporter_app": account.app_id(),
        "__meta_token_exporter_probe_interval":
            credential.map(|c| format_duration(c.interval())).unwrap_or_default(),
    })
}
