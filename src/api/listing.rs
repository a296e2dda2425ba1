//! A snapshot of all connections in order: the most urgent first, and accounts of one credential
//! together.
//!
//! A listing is made once and then only read. It keeps what filters compare in a few bytes for each
//! account. A page without filters therefore costs only what it shows, a filter one pass over those
//! bytes, and only a search reads texts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::query::Query;
use super::{Connection, ConnectionState};
use crate::inventory::Inventory;
use crate::model::{Expiry, Reason, Timestamp, Use};
use crate::network::NetworkId;
use crate::state::Snapshot;

/// Deadlines within this many seconds count as expiring in the overview.
const EXPIRING: i64 = 30 * 86_400;
/// Labels with more values than this are not offered as filters.
const MAX_CHOICES: usize = 100;

// Each reason has a bit in `Tag::reasons`.
const _: () = assert!(Reason::ALL.len() <= 32);

/// What filters compare.
#[derive(Clone, Copy)]
struct Tag {
    account: u32,
    label_set: u32,
    reasons: u32,
    /// The deadline, unless the connection is disconnected.
    deadline: Option<Timestamp>,
    network: NetworkId,
    state: ConnectionState,
    purpose: Use,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    pub accounts: usize,
    pub logins: usize,
    /// The number of accounts in each [`ConnectionState`].
    pub states: [usize; ConnectionState::ALL.len()],
    /// The number of accounts that are not disconnected and have a deadline within 30 days.
    pub expiring: usize,
    pub last_probe: Option<Timestamp>,
}

pub struct Listing {
    pub snapshot: Snapshot,
    pub at: Timestamp,
    pub overview: Overview,
    tags: Vec<Tag>,
    /// Names of labels from the configuration, and up to `MAX_CHOICES` + 1 of their values.
    labels: BTreeMap<String, BTreeSet<String>>,
    /// A bit for each reason that some connection has.
    reasons: u32,
    /// Whether a use of some account lies ahead.
    pub has_next_uses: bool,
    pub(super) made: Instant,
    /// How long it took to make it.
    pub(super) cost: Duration,
}

/// A page of the accounts that match a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListingPage {
    /// The number of accounts on all pages.
    pub total: usize,
    /// The number of accounts on the pages before this one.
    pub before: usize,
    /// The accounts of this page, by index in the inventory.
    pub accounts: Vec<usize>,
}

impl Listing {
    pub fn new(snapshot: Snapshot, at: Timestamp) -> Self {
        let made = Instant::now();
        let inventory = &snapshot.inventory;
        let mut overview = Overview {
            accounts: inventory.len(),
            logins: inventory.credentials().len(),
            ..Overview::default()
        };
        let mut credentials = Vec::with_capacity(inventory.credentials().len());
        for (index, watched) in inventory.credentials().enumerate() {
            let accounts = watched.accounts().filter_map(|i| Connection::at(&snapshot, i, at));
            credentials.push((accounts.map(|c| urgency(&c, at)).min(), index));
            overview.last_probe =
                overview.last_probe.max(snapshot.credentials.get(index).and_then(|c| c.last_probe));
        }
        credentials.sort_unstable();
        let mut tags = Vec::with_capacity(inventory.len());
        let mut together = Vec::new();
        let mut reasons = 0;
        for watched in credentials.iter().filter_map(|(_, index)| inventory.credential(*index)) {
            together.extend(
                watched
                    .accounts()
                    .filter_map(|i| Connection::at(&snapshot, i, at).map(|c| (urgency(&c, at), i))),
            );
            together.sort_unstable();
            for connection in
                together.drain(..).filter_map(|(_, i)| Connection::at(&snapshot, i, at).map(|c| (i, c)))
            {
                let tag = tag(connection, at);
                overview.states[tag.state as usize] += 1;
                overview.expiring += usize::from(tag.deadline.is_some_and(|t| t <= at.plus(EXPIRING)));
                reasons |= tag.reasons;
                tags.push(tag);
            }
        }
        let labels = label_values(inventory);
        let has_next_uses = inventory.accounts().any(|account| account.next_use() > Some(at));
        let cost = made.elapsed();
        Self { has_next_uses, overview, tags, labels, reasons, at, made, cost, snapshot }
    }

    pub fn label_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.labels.keys().map(String::as_str)
    }

    /// The labels to filter by and their values: those with few values.
    pub fn label_choices(&self) -> impl Iterator<Item = (&str, &BTreeSet<String>)> {
        self.labels
            .iter()
            .filter(|(_, values)| values.len() <= MAX_CHOICES)
            .map(|(name, values)| (name.as_str(), values))
    }

    /// The reasons that some connection has.
    pub fn reasons(&self) -> impl Iterator<Item = Reason> {
        super::query::broken().filter(|r| self.reasons >> *r as u32 & 1 == 1)
    }

    pub fn connection(&self, account: usize) -> Option<Connection<'_>> {
        Connection::at(&self.snapshot, account, self.at)
    }

    pub fn page(&self, query: &Query) -> ListingPage {
        let before = (query.page - 1).saturating_mul(query.per_page);
        if query.by_next_use {
            let accounts = self.by_next_use(&Filter::new(self, query));
            let total = accounts.len();
            let shown = accounts.into_iter().skip(before).take(query.per_page);
            return ListingPage { total, before, accounts: shown.collect() };
        }
        if query.is_everything() {
            let tags = self.tags.iter().skip(before).take(query.per_page);
            return ListingPage {
                total: self.tags.len(),
                before,
                accounts: tags.map(|t| t.account as usize).collect(),
            };
        }
        let filter = Filter::new(self, query);
        let mut page = ListingPage { total: 0, before, accounts: Vec::new() };
        for tag in self.tags.iter().filter(|tag| filter.matches(self, tag)) {
            if page.total >= before && page.accounts.len() < query.per_page {
                page.accounts.push(tag.account as usize);
            }
            page.total += 1;
        }
        page
    }

    /// The accounts that match, those that are used next first.
    fn by_next_use(&self, filter: &Filter) -> Vec<usize> {
        let matching =
            self.tags.iter().filter(|tag| filter.matches(self, tag)).map(|tag| tag.account as usize);
        let next_use = |account: &usize| self.snapshot.inventory.account(*account)?.next_use();
        let ahead = |account: &usize| next_use(account).filter(|at| *at > self.at);
        let mut accounts: Vec<usize> = matching.collect();
        accounts.sort_by_cached_key(|account| ahead(account).map_or((true, None), |at| (false, Some(at))));
        accounts
    }

    /// All accounts that match, by index in the inventory.
    pub fn matches(self: Arc<Self>, query: &Query) -> Matches {
        let filter = Filter::new(&self, query);
        let sorted = query.by_next_use.then(|| self.by_next_use(&filter));
        Matches { filter, listing: self, sorted, next: 0 }
    }
}

/// Iterates over the accounts that match a query, in its order.
pub struct Matches {
    pub listing: Arc<Listing>,
    filter: Filter,
    /// All of them, unless they come in the order of the listing.
    sorted: Option<Vec<usize>>,
    next: usize,
}

impl Iterator for Matches {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if let Some(sorted) = &self.sorted {
            self.next += 1;
            return sorted.get(self.next - 1).copied();
        }
        while let Some(tag) = self.listing.tags.get(self.next) {
            self.next += 1;
            if self.filter.matches(&self.listing, tag) {
                return Some(tag.account as usize);
            }
        }
        None
    }
}

/// See [`Listing::labels`].
fn label_values(inventory: &Inventory) -> BTreeMap<String, BTreeSet<String>> {
    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, value) in inventory.label_sets().flatten() {
        let values = match labels.get_mut(name) {
            Some(values) => values,
            None => labels.entry(name.to_owned()).or_default(),
        };
        if values.len() <= MAX_CHOICES && !values.contains(value) {
            values.insert(value.to_owned());
        }
    }
    labels
}

/// The sort key: the state, then the latest disconnection or the nearest deadline. Accounts with the
/// same key keep the order of the configuration.
fn urgency(connection: &Connection<'_>, at: Timestamp) -> (ConnectionState, u32) {
    let state = connection.state(at);
    let seconds = |t: Option<Timestamp>| t.and_then(|t| u32::try_from(t.unix()).ok());
    let rank = match state {
        ConnectionState::Disconnected => {
            seconds(connection.account_state.since).map_or(u32::MAX, |s| u32::MAX - s)
        }
        _ => seconds(connection.deadline().at()).unwrap_or(u32::MAX),
    };
    (state, rank)
}

fn tag((index, connection): (usize, Connection<'_>), at: Timestamp) -> Tag {
    let account = &connection.account;
    let state = connection.state(at);
    Tag {
        account: u32::try_from(index).unwrap_or(u32::MAX),
        label_set: u32::try_from(account.label_set()).unwrap_or(u32::MAX),
        reasons: connection.reasons().fold(0, |bits, r| bits | 1 << r as u32),
        deadline: connection.deadline_ahead().and_then(Expiry::at),
        network: account.network(),
        state,
        purpose: account.purpose(),
    }
}

/// A query, prepared for fast comparison.
struct Filter {
    networks: u32,
    reasons: u32,
    states: u32,
    uses: u32,
    /// For each label set, whether it matches. `None` if the query has no labels.
    label_sets: Option<Vec<bool>>,
    until: Option<Timestamp>,
    recipients: Vec<String>,
    words: Vec<Word>,
}

impl Filter {
    fn new(listing: &Listing, query: &Query) -> Self {
        let label_sets = listing.snapshot.inventory.label_sets().map(|set| {
            let set: Vec<_> = set.collect();
            // Values of the same label are alternatives; different labels must all match.
            query.labels.iter().all(|(wanted, _)| {
                let has = |name: &str, value: &str| {
                    query.labels.iter().any(|(n, v)| n == wanted && n == name && v == value)
                };
                set.iter().any(|(name, value)| has(name, value))
            })
        });
        let within = query.expires_within.map(|d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX));
        Self {
            networks: bits(&query.networks, |n| n.index()),
            reasons: bits(&query.reasons, |r| r as usize),
            states: bits(&query.states, |s| s as usize),
            uses: bits(&query.uses, |u| u as usize),
            label_sets: (!query.labels.is_empty()).then(|| label_sets.collect()),
            until: within.map(|seconds| listing.at.plus(seconds)),
            recipients: query.recipients.clone(),
            words: query.search.split_whitespace().map(Word::new).collect(),
        }
    }

    fn matches(&self, listing: &Listing, tag: &Tag) -> bool {
        let has = |bits: u32, index: usize| bits >> index & 1 == 1;
        has(self.networks, tag.network.index())
            && has(self.states, tag.state as usize)
            && has(self.uses, tag.purpose as usize)
            && (self.reasons == u32::MAX || self.reasons & tag.reasons != 0)
            && self.until.is_none_or(|until| tag.deadline.is_some_and(|deadline| deadline <= until))
            && self
                .label_sets
                .as_ref()
                .is_none_or(|sets| sets.get(tag.label_set as usize).copied().unwrap_or(false))
            && (self.recipients.is_empty() || self.is_told(listing, tag))
            && (self.words.is_empty() || self.matches_words(listing, tag))
    }

    /// Whether one of the recipients is told about an account, in single mails or digests.
    fn is_told(&self, listing: &Listing, tag: &Tag) -> bool {
        let account = listing.snapshot.inventory.account(tag.account as usize);
        let told = account.map_or("", |account| account.notify()).split(',');
        let wanted = |mail: &str| self.recipients.iter().any(|wanted| wanted.eq_ignore_ascii_case(mail));
        told.filter(|mail| !mail.is_empty()).any(wanted)
    }

    fn matches_words(&self, listing: &Listing, tag: &Tag) -> bool {
        let Some(account) = listing.snapshot.inventory.account(tag.account as usize) else { return false };
        let credential = account.credential();
        let texts = [
            account.name(),
            account.id(),
            account.external_id(),
            credential.map_or("", |c| c.id()),
            credential.and_then(|c| c.connected_by()).unwrap_or(""),
        ];
        self.words.iter().all(|word| texts.iter().any(|text| word.is_in(text)))
    }
}

/// A bit for each value, or all bits if there is no value.
fn bits<T: Copy>(values: &[T], index: impl Fn(T) -> usize) -> u32 {
    if values.is_empty() { u32::MAX } else { values.iter().fold(0, |bits, value| bits | 1 << index(*value)) }
}

/// A word in lower case, to search for regardless of case.
struct Word(String);

impl Word {
    fn new(word: &str) -> Self {
        Self(word.to_lowercase())
    }

    fn is_in(&self, text: &str) -> bool {
        // The usual case, without a copy of each text.
        if self.0.is_ascii() {
            let (word, text) = (self.0.as_bytes(), text.as_bytes());
            let [Some(first), Some(last)] = [word.first(), word.last()] else { return true };
            // The first and last letter rule out nearly all positions.
            let may_be = |part: &[u8]| {
                part.last().is_some_and(|b| b.eq_ignore_ascii_case(last))
                    && part[0].eq_ignore_ascii_case(first)
            };
            return text.windows(word.len()).any(|part| may_be(part) && part.eq_ignore_ascii_case(word));
        }
        text.to_lowercase().contains(&self.0)
    }
}
