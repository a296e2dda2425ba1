//! Service discovery: the accounts as targets of a Prometheus that asks `/probe` for each of them.
//!
//! The notation of Prometheus' HTTP service discovery: the whole list in every answer, as a JSON
//! array of groups. Here a group is the accounts of one credential and one network, so that
//! relabelling can keep a login together. Written in chunks, as there may be a million. Knows no
//! verdict and no HTTP.

use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use crate::exposition::{CHUNK, SLACK};
use crate::inventory::{AccountView, Inventory, Shard};
use crate::network::NetworkId;

/// A group has no more accounts than this; a login with more makes several.
const LARGEST: usize = 500;

/// Which accounts are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetFilter {
    /// Of these networks; of all if none is named.
    networks: Vec<NetworkId>,
    /// Of the credentials in this share.
    shard: Shard,
}

impl TargetFilter {
    /// From the parameters of a request: `network`, which may come several times, and `shard` as
    /// `I/N`.
    ///
    /// # Errors
    /// Every parameter that makes no sense, and what would.
    pub fn parse(query: &str) -> Result<Self, String> {
        let mut filter = Self { networks: Vec::new(), shard: Shard::WHOLE };
        let mut problems = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "network" => match NetworkId::from_name(&value) {
                    Some(network) => filter.networks.push(network),
                    None => {
                        let names: Vec<&str> = NetworkId::all().map(NetworkId::name).collect();
                        problems.push(format!("network: {value:?} is none of {}", names.join(", ")));
                    }
                },
                "shard" => match Shard::from_str(&value) {
                    Ok(shard) => filter.shard = shard,
                    Err(problem) => problems.push(format!("shard: {problem}")),
                },
                name => problems.push(format!("{name:?} is no parameter; there are network and shard")),
            }
        }
        if problems.is_empty() { Ok(filter) } else { Err(problems.join("\n")) }
    }

    fn wants(&self, account: AccountView<'_>) -> bool {
        (self.networks.is_empty() || self.networks.contains(&account.network()))
            && account.credential().is_some_and(|c| self.shard.holds(c.id()))
    }
}

/// A group of targets.
#[derive(Serialize)]
struct Group<'a> {
    targets: Vec<&'a str>,
    labels: Labels<'a>,
}

/// What relabelling can go by.
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

/// The list being written.
pub struct Targets {
    inventory: Arc<Inventory>,
    filter: TargetFilter,
    account: usize,
    begun: bool,
    ended: bool,
}

impl Targets {
    /// The accounts of a inventory that are wanted.
    pub fn new(inventory: Arc<Inventory>, filter: TargetFilter) -> Self {
        Self { inventory, filter, account: 0, begun: false, ended: false }
    }

    /// The next part of the text; none at its end.
    pub fn next_chunk(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let mut out = Vec::with_capacity(CHUNK + SLACK);
        let inventory = self.inventory.clone();
        while let Some(group) = self.next_group(&inventory) {
            out.extend_from_slice(if self.begun { b",\n" } else { b"[" });
            self.begun = true;
            // Writing texts to a vector does not fail.
            let _ = serde_json::to_writer(&mut out, &group);
            if out.len() >= CHUNK {
                return Some(out.into());
            }
        }
        self.ended = true;
        out.extend_from_slice(if self.begun { b"]\n" } else { b"[]\n" });
        Some(out.into())
    }

    /// The next accounts, side by side, that share all labels.
    fn next_group<'a>(&mut self, inventory: &'a Inventory) -> Option<Group<'a>> {
        let mut group: Option<(AccountView<'a>, Vec<&'a str>)> = None;
        while let Some(account) = inventory.account(self.account) {
            if self.filter.wants(account) {
                match &mut group {
                    None => group = Some((account, vec![account.id()])),
                    Some((first, targets)) if targets.len() < LARGEST && alike(*first, account) => {
                        targets.push(account.id())
                    }
                    Some(_) => break,
                }
            }
            self.account += 1;
        }
        group.map(|(first, targets)| Group { targets, labels: labels(first) })
    }
}

/// Whether two accounts have the same labels here.
fn alike(a: AccountView<'_>, b: AccountView<'_>) -> bool {
    (a.credential_index(), a.network()) == (b.credential_index(), b.network())
}

fn labels(account: AccountView<'_>) -> Labels<'_> {
    let credential = account.credential();
    Labels {
        network: account.network().name(),
        credential: credential.map_or("", |c| c.id()),
        app: account.app_id(),
        probe_interval: credential.map(|c| crate::model::format_duration(c.interval())).unwrap_or_default(),
    }
}
