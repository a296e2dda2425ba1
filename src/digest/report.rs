//! What one person is told, worst first: the connections by login.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::exporters::{Exporters, Row, of_recipient};
use crate::inventory::Person;
use crate::model::{Capability, Reason, Reconnecting, Timestamp};
use crate::network::NetworkId;

/// Maximum number of connections that a section lists.
const MAX_LISTED: usize = 50;
/// Maximum number of accounts that are remembered as not working.
const MAX_TOLD: usize = 200;
/// Deadlines within this many seconds are told.
const SOON: i64 = 14 * 86_400;

/// The parts of a digest, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Broken,
    Ending,
    Degraded,
    Back,
}

/// A section: its connections by login.
#[derive(Clone, Debug)]
pub struct Known {
    pub section: Section,
    /// The number of connections, of which some may not be listed.
    pub total: usize,
    pub logins: Vec<Login>,
}

#[derive(Clone, Debug)]
pub struct Login {
    pub network: Option<NetworkId>,
    /// The name of the network.
    pub title: String,
    pub credential: String,
    pub connected_by: Option<String>,
    /// Where it can be reconnected, if that helps.
    pub reconnect_url: Option<String>,
    pub parts: Vec<Part>,
}

/// Connections of a login of which the same is told.
#[derive(Clone, Debug)]
pub struct Part {
    pub facts: Facts,
    /// Names, and when each is used next.
    pub accounts: Vec<(String, Option<Timestamp>)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Since when it is so.
    pub since: Option<Timestamp>,
    /// Since when it did not work, if it works again.
    pub broken_since: Option<Timestamp>,
    pub deadline: Option<Timestamp>,
    /// What does not work, by the reason if that is known.
    pub losses: Vec<(Option<Reason>, Vec<Capability>)>,
}

#[derive(Clone, Debug)]
pub struct Report {
    pub person: Person,
    pub at: Timestamp,
    /// Those that have something to tell.
    pub sections: Vec<Known>,
    /// The accounts that do not work, and since when, in Unix seconds.
    pub told: BTreeMap<String, i64>,
}

fn instant(text: Option<&String>) -> Option<Timestamp> {
    Timestamp::parse(text?)
}

impl Report {
    /// Asks about a person's connections. `told` are those that the last digest told as not working.
    ///
    /// # Errors
    /// If an exporter cannot be asked.
    pub async fn ask(
        exporters: &mut Exporters,
        person: &Person,
        told: &BTreeMap<String, i64>,
        now: Timestamp,
    ) -> anyhow::Result<Self> {
        let of_person = of_recipient(&person.mail);
        let broken = exporters.rows(&format!("{of_person}&state=disconnected&sort=next_use")).await?;
        let degraded = exporters.rows(&format!("{of_person}&state=degraded&sort=next_use")).await?;
        let mut ending = exporters.rows(&format!("{of_person}&expires_within={SOON}s")).await?;
        ending.rows.sort_by_key(|row| instant(row.deadline.as_ref()));
        let now_broken: BTreeMap<String, i64> = broken
            .rows
            .iter()
            .map(|row| (row.account.clone(), instant(row.since.as_ref()).map_or(0, Timestamp::unix)))
            .collect();
        let mut back = Vec::new();
        for (account, since) in told.iter().filter(|(account, _)| !now_broken.contains_key(*account)) {
            let Some(row) = exporters.row(account).await? else { continue };
            if row.reason.as_deref() == Some(Reason::Ok.label()) {
                back.push((row, Timestamp::from_unix(*since)));
            }
        }
        // The order of all shards: what is used next, then what was lost last.
        let urgency = |row: &Row| {
            let next_use = instant(row.next_use.as_ref()).filter(|at| *at > now);
            (next_use.is_none(), next_use, Reverse(instant(row.since.as_ref())))
        };
        let planned = |mut rows: Vec<Row>| {
            rows.sort_by_key(urgency);
            rows
        };
        let sections = [
            known(Section::Broken, broken.total, planned(broken.rows), now, |row| Facts {
                since: instant(row.since.as_ref()),
                losses: vec![(row.reason.as_deref().and_then(Reason::from_label), stops(row))],
                ..Facts::default()
            }),
            known(Section::Ending, ending.total, ending.rows, now, |row| Facts {
                deadline: instant(row.deadline.as_ref()),
                ..Facts::default()
            }),
            known(Section::Degraded, degraded.total, planned(degraded.rows), now, |row| Facts {
                losses: lost(row),
                ..Facts::default()
            }),
            back_again(back, now),
        ];
        Ok(Self {
            person: person.clone(),
            at: now,
            sections: sections.into_iter().filter(|section| section.total > 0).collect(),
            told: now_broken.into_iter().take(MAX_TOLD).collect(),
        })
    }

    pub fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    pub fn total(&self, section: Section) -> usize {
        self.sections.iter().find(|known| known.section == section).map_or(0, |known| known.total)
    }
}

impl Known {
    /// The number of connections that are listed.
    pub fn listed(&self) -> usize {
        self.logins.iter().flat_map(|login| &login.parts).map(|part| part.accounts.len()).sum()
    }
}

fn back_again(rows: Vec<(Row, Option<Timestamp>)>, now: Timestamp) -> Known {
    let (total, broken_since): (usize, BTreeMap<String, Option<Timestamp>>) =
        (rows.len(), rows.iter().map(|(row, since)| (row.account.clone(), *since)).collect());
    let rows = rows.into_iter().map(|(row, _)| row).collect();
    known(Section::Back, total, rows, now, |row| Facts {
        since: instant(row.since.as_ref()),
        broken_since: broken_since.get(&row.account).copied().flatten(),
        ..Facts::default()
    })
}

/// A section with its first rows by login. The order stays otherwise.
fn known(
    section: Section,
    total: usize,
    rows: Vec<Row>,
    now: Timestamp,
    facts: impl Fn(&Row) -> Facts,
) -> Known {
    let mut logins: Vec<Login> = Vec::new();
    let mut index: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows.into_iter().take(MAX_LISTED) {
        let facts = facts(&row);
        let reconnect_url = row.reconnect_url.clone().filter(|_| reconnecting_helps(section, &row, &facts));
        let at = *index.entry(row.credential.clone()).or_insert(logins.len());
        if at == logins.len() {
            let network = NetworkId::from_name(&row.network);
            logins.push(Login {
                network,
                title: network.map_or(row.network.clone(), |network| network.description().title.to_owned()),
                credential: row.credential.clone(),
                connected_by: row.connected_by.clone(),
                reconnect_url: None,
                parts: Vec::new(),
            });
        }
        let Some(login) = logins.get_mut(at) else { continue };
        login.reconnect_url = login.reconnect_url.take().or(reconnect_url);
        let next_use = instant(row.next_use.as_ref()).filter(|at| *at > now);
        match login.parts.iter_mut().find(|part| part.facts == facts) {
            Some(part) => part.accounts.push((row.name, next_use)),
            None => login.parts.push(Part { facts, accounts: vec![(row.name, next_use)] }),
        }
    }
    Known { section, total, logins }
}

fn reconnecting_helps(section: Section, row: &Row, facts: &Facts) -> bool {
    let reasons = || facts.losses.iter().filter_map(|(reason, _)| *reason);
    let helps = |reason: Reason| reason.info().reconnecting != Reconnecting::DoesNotHelp;
    let by_reasons = match section {
        Section::Broken | Section::Degraded => reasons().next().is_none() || reasons().any(helps),
        Section::Ending => true,
        Section::Back => false,
    };
    by_reasons && row.cause.as_deref() != Some("app_misconfigured")
}

fn stops(row: &Row) -> Vec<Capability> {
    row.stops.iter().filter_map(|label| Capability::from_label(label)).collect()
}

/// The capabilities that are lost, by reason.
fn lost(row: &Row) -> Vec<(Option<Reason>, Vec<Capability>)> {
    let mut losses: Vec<(Option<Reason>, Vec<Capability>)> = Vec::new();
    for capability in Capability::ALL {
        let Some(label) = row.capabilities.get(capability.label()) else { continue };
        let reason = Reason::from_label(label);
        if reason == Some(Reason::Ok) {
            continue;
        }
        match losses.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, capabilities)) => capabilities.push(*capability),
            None => losses.push((reason, vec![*capability])),
        }
    }
    losses
}
