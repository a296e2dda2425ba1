//! One moment of everything in order: the worst first, and what hangs on one login together.
//!
//! Made once for a moment and then only read. Whatever filters look at stands beside the order in a
//! few bytes an account, so that a page costs what it shows and a filter a walk over those bytes;
//! texts are touched by searches alone.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::query::Query;
use super::{Connection, ConnectionState};
use crate::model::{Reason, Timestamp, Use};
use crate::network::NetworkId;
use crate::state::Snapshot;

/// Deadlines of so many seconds from now are counted in the overview.
const SOON: i64 = 30 * 86_400;
/// A label with more values than this is not offered as a choice.
const MAX_CHOICES: usize = 100;

// A bit each in `Tag::reasons`.
const _: () = assert!(Reason::ALL.len() <= 32);

/// What filters look at.
#[derive(Clone, Copy)]
struct Tag {
    account: u32,
    label_set: u32,
    reasons: u32,
    /// The deadline of a connection that works.
    ends: Option<Timestamp>,
    network: NetworkId,
    state: ConnectionState,
    purpose: Use,
}

/// Everything in a few numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// Accounts.
    pub accounts: usize,
    /// Logins.
    pub logins: usize,
    /// Accounts by [`ConnectionState`].
    pub states: [usize; ConnectionState::ALL.len()],
    /// Accounts that work and whose deadline comes within 30 days.
    pub expiring: usize,
    /// When anything was probed last.
    pub last_probe: Option<Timestamp>,
}

/// One moment of everything in order.
pub struct Listing {
    /// The moment.
    pub snapshot: Snapshot,
    /// When it was.
    pub at: Timestamp,
    /// In numbers.
    pub overview: Overview,
    tags: Vec<Tag>,
    /// A hash of each account's id above its place in the inventory, in order.
    ids: Vec<u64>,
    /// Names of own labels, and their values if they are few.
    labels: BTreeMap<String, BTreeSet<String>>,
    /// The reasons that some connection has, a bit each.
    reasons: u32,
    pub(super) made: Instant,
    /// How long it took to make.
    pub(super) cost: Duration,
}

/// A part of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many match in all.
    pub total: usize,
    /// How many come before these.
    pub before: usize,
    /// The accounts of this page, as places in the inventory.
    pub accounts: Vec<usize>,
}

impl Listing {
    /// Puts a moment in order.
    pub fn new(snapshot: Snapshot, at: Timestamp) -> Self {
        let made = Instant::now();
        let inventory = &snapshot.inventory;
        let mut overview = Overview {
            accounts: inventory.len(),
            logins: inventory.credentials().len(),
            ..Overview::default()
        };
        let mut logins = Vec::with_capacity(inventory.credentials().len());
        for (place, watched) in inventory.credentials().enumerate() {
            let accounts = watched.accounts().filter_map(|i| Connection::at(&snapshot, i));
            logins.push((accounts.map(|c| urgency(&c, at)).min(), place));
            overview.last_probe =
                overview.last_probe.max(snapshot.credentials.get(place).and_then(|c| c.last_probe));
        }
        logins.sort_unstable();
        let mut tags = Vec::with_capacity(inventory.len());
        let mut together = Vec::new();
        let mut reasons = 0;
        for watched in logins.iter().filter_map(|(_, place)| inventory.credential(*place)) {
            together.extend(
                watched.accounts().filter_map(|i| Connection::at(&snapshot, i).map(|c| (urgency(&c, at), i))),
            );
            together.sort_unstable();
            for connection in
                together.drain(..).filter_map(|(_, i)| Connection::at(&snapshot, i).map(|c| (i, c)))
            {
                let tag = tag(connection, at);
                overview.states[tag.state as usize] += 1;
                overview.expiring += usize::from(tag.ends.is_some_and(|t| t <= at.plus(SOON)));
                reasons |= tag.reasons;
                tags.push(tag);
            }
        }
        let mut ids: Vec<u64> = (0..)
            .zip(inventory.accounts())
            .map(|(place, account)| u64::from(hash(account.id())) << 32 | place)
            .collect();
        ids.sort_unstable();
        let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (name, value) in inventory.label_sets().flatten() {
            let values = match labels.get_mut(name) {
                Some(values) => values,
                None => labels.entry(name.to_owned()).or_default(),
            };
            if values.len() <= MAX_CHOICES && !values.contains(&*value) {
                values.insert(value.into_owned());
            }
        }
        let cost = made.elapsed();
        Self { overview, tags, ids, labels, reasons, at, made, cost, snapshot }
    }

    /// The names of labels that accounts have of their own.
    pub fn label_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.labels.keys().map(String::as_str)
    }

    /// Labels to choose from, with their values: those that have few.
    pub fn label_choices(&self) -> impl Iterator<Item = (&str, &BTreeSet<String>)> {
        self.labels
            .iter()
            .filter(|(_, values)| values.len() <= MAX_CHOICES)
            .map(|(name, values)| (name.as_str(), values))
    }

    /// The reasons that some connection has now.
    pub fn reasons(&self) -> impl Iterator<Item = Reason> {
        super::query::broken().filter(|r| self.reasons >> *r as u32 & 1 == 1)
    }

    /// An account, as it is in this moment.
    pub fn connection(&self, account: usize) -> Option<Connection<'_>> {
        Connection::at(&self.snapshot, account)
    }

    /// The place of the account with this id, without a walk through all of them.
    pub fn find(&self, id: &str) -> Option<usize> {
        let hash = hash(id);
        let from = self.ids.partition_point(|entry| entry >> 32 < u64::from(hash));
        let alike = self.ids[from..].iter().take_while(|entry| **entry >> 32 == u64::from(hash));
        let mut places = alike.filter_map(|entry| usize::try_from(entry & u64::from(u32::MAX)).ok());
        places.find(|place| self.snapshot.inventory.account(*place).is_some_and(|account| account.id() == id))
    }

    /// The page that is asked for.
    pub fn page(&self, query: &Query) -> Page {
        let before = (query.page - 1).saturating_mul(query.per_page);
        if query.is_everything() {
            let tags = self.tags.iter().skip(before).take(query.per_page);
            return Page {
                total: self.tags.len(),
                before,
                accounts: tags.map(|t| t.account as usize).collect(),
            };
        }
        let filter = TargetFilter::new(self, query);
        let mut page = Page { total: 0, before, accounts: Vec::new() };
        for tag in self.tags.iter().filter(|tag| filter.matches(self, tag)) {
            if page.total >= before && page.accounts.len() < query.per_page {
                page.accounts.push(tag.account as usize);
            }
            page.total += 1;
        }
        page
    }

    /// All that match, one after the other, however many: their places in the inventory.
    pub fn matches(self: Arc<Self>, query: &Query) -> Matches {
        Matches { filter: TargetFilter::new(&self, query), listing: self, next: 0 }
    }
}

/// The accounts that match a query, in the listing's order.
pub struct Matches {
    /// What they are taken from.
    pub listing: Arc<Listing>,
    filter: TargetFilter,
    next: usize,
}

impl Iterator for Matches {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        while let Some(tag) = self.listing.tags.get(self.next) {
            self.next += 1;
            if self.filter.matches(&self.listing, tag) {
                return Some(tag.account as usize);
            }
        }
        None
    }
}

/// Half of a hash that is only compared within this run.
fn hash(id: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    hasher.write(id.as_bytes());
    // The lower half is as good as the whole.
    hasher.finish() as u32
}

/// What comes first: the state; then the newest loss, or the nearest deadline; then the order of
/// the configuration.
fn urgency(connection: &Connection<'_>, at: Timestamp) -> (ConnectionState, u32) {
    let state = connection.state(at);
    let seconds = |t: Option<Timestamp>| t.and_then(|t| u32::try_from(t.unix()).ok());
    let rank = match state {
        ConnectionState::Disconnected => seconds(connection.known.since).map_or(u32::MAX, |s| u32::MAX - s),
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
        ends: connection.deadline().at().filter(|_| state != ConnectionState::Disconnected),
        network: account.network(),
        state,
        purpose: account.purpose(),
    }
}

/// A query as quick comparisons.
struct TargetFilter {
    networks: u32,
    reasons: u32,
    states: u32,
    uses: u32,
    /// By set of labels: whether it is wanted; none without a wish.
    label_sets: Option<Vec<bool>>,
    until: Option<Timestamp>,
    words: Vec<Word>,
}

impl TargetFilter {
    fn new(listing: &Listing, query: &Query) -> Self {
        let label_sets = listing.snapshot.inventory.label_sets().map(|set| {
            let set: Vec<_> = set.collect();
            // Several values of one name: any of them; several names: all of them.
            query.labels.iter().all(|(wanted, _)| {
                let has = |name: &str, value: &str| {
                    query.labels.iter().any(|(n, v)| n == wanted && n == name && v == value)
                };
                set.iter().any(|(name, value)| has(name, value))
            })
        });
        let within = query.expires_within.map(|d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX));
        Self {
            networks: any_of(&query.networks, |n| n.index()),
            reasons: any_of(&query.reasons, |r| r as usize),
            states: any_of(&query.states, |s| s as usize),
            uses: any_of(&query.uses, |u| u as usize),
            label_sets: (!query.labels.is_empty()).then(|| label_sets.collect()),
            until: within.map(|seconds| listing.at.plus(seconds)),
            words: query.search.split_whitespace().map(Word::new).collect(),
        }
    }

    fn matches(&self, listing: &Listing, tag: &Tag) -> bool {
        let has = |wanted: u32, place: usize| wanted >> place & 1 == 1;
        has(self.networks, tag.network.index())
            && has(self.states, tag.state as usize)
            && has(self.uses, tag.purpose as usize)
            && (self.reasons == u32::MAX || self.reasons & tag.reasons != 0)
            && self.until.is_none_or(|until| tag.ends.is_some_and(|ends| ends <= until))
            && self
                .label_sets
                .as_ref()
                .is_none_or(|sets| sets.get(tag.label_set as usize).copied().unwrap_or(false))
            && (self.words.is_empty() || self.is_found(listing, tag))
    }

    fn is_found(&self, listing: &Listing, tag: &Tag) -> bool {
        let Some(account) = listing.snapshot.inventory.account(tag.account as usize) else { return false };
        let login = account.credential();
        let [id, person] =
            [login.map(|l| l.id()), login.and_then(|l| l.connected_by())].map(Option::unwrap_or_default);
        let texts = [account.name(), account.id(), account.external_id(), id, person];
        self.words.iter().all(|word| texts.iter().any(|text| word.is_in(text)))
    }
}

/// A bit for each wanted value; every bit without a wish.
fn any_of<T: Copy>(wanted: &[T], place: impl Fn(T) -> usize) -> u32 {
    if wanted.is_empty() { u32::MAX } else { wanted.iter().fold(0, |bits, value| bits | 1 << place(*value)) }
}

/// A word that is searched for, whatever its case.
struct Word(String);

impl Word {
    fn new(word: &str) -> Self {
        Self(word.to_lowercase())
    }

    fn is_in(&self, text: &str) -> bool {
        // The usual case without a copy of every name.
        if self.0.is_ascii() {
            let (word, text) = (self.0.as_bytes(), text.as_bytes());
            let [Some(first), Some(last)] = [word.first(), word.last()] else { return true };
            // Two letters rule out nearly every place before whole words are compared.
            let may_be = |part: &[u8]| {
                part.last().is_some_and(|b| b.eq_ignore_ascii_case(last))
                    && part[0].eq_ignore_ascii_case(first)
            };
            return text.windows(word.len()).any(|part| may_be(part) && part.eq_ignore_ascii_case(word));
        }
        text.to_lowercase().contains(&self.0)
    }
}
