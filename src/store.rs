//! What is known right now, in one place: written by the engine, read as snapshots by everybody else.
//!
//! All accounts of a credential change in one step, and a snapshot is one moment of everything: no reader sees
//! half of a login revoked. Knows nothing of HTTP, networks' answers or exposition.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::column::Column;
use crate::network::{Budget, Clocks, Finding, RateLimit, Reset, Verdict};
use crate::reason::Cause;
use crate::roster::{AccountView, Roster, Watched};
use crate::rules::{AccountState, AppHealth, Part, Suspicion, Turn, advance};
use crate::time::{Expiry, Timestamp};

/// What is known about one credential.
#[derive(Clone, Debug, Default)]
pub struct CredentialState {
    /// Its clocks.
    pub clocks: Clocks,
    /// When it was probed last.
    pub last_probe: Option<Timestamp>,
    /// How often in a row its probes were not conclusive.
    pub failures: u8,
    /// How often in a row it was found dead.
    pub deaths: u8,
    part: Part,
}

/// What is known about one app.
#[derive(Clone, Debug, Default)]
pub struct AppState {
    health: AppHealth,
    suspicion: Suspicion,
    /// The latest word of its rate-limit headers, by bucket.
    pub limits: Vec<Limit>,
}

/// The latest word about one rate limit.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The network's name of it.
    pub bucket: &'static str,
    /// The share that is used.
    pub used: Option<f64>,
    /// When it starts anew.
    pub reset: Option<Timestamp>,
}

impl AppState {
    /// Whether the app is well; none before its first probe.
    pub fn healthy(&self) -> Option<bool> {
        self.health.healthy().map(|well| well && !self.suspicion.app_to_blame())
    }
}

/// What one probe of a credential brought.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// When it ended.
    pub at: Timestamp,
    /// About each of its accounts, in the roster's order.
    pub findings: Vec<Finding>,
    /// The clocks; none where no token could be read.
    pub clocks: Option<Clocks>,
    /// What the answers' headers said about rate limits.
    pub limits: Vec<RateLimit>,
}

impl Outcome {
    /// The same trouble for every account.
    pub fn undetermined(cause: Cause, accounts: usize, at: Timestamp) -> Self {
        let finding = Finding { verdict: Verdict::Undetermined(cause), capabilities: Vec::new(), scopes: Vec::new() };
        Self { at, findings: vec![finding; accounts], clocks: None, limits: Vec::new() }
    }

    /// The first cause that kept the probe from a conclusion.
    pub fn cause(&self) -> Option<Cause> {
        self.findings.iter().find_map(|f| match f.verdict {
            Verdict::Undetermined(cause) => Some(cause),
            _ => None,
        })
    }
}

/// What follows from an outcome for the credential's next probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// As usual.
    Regular,
    /// It could not be told; so many times in a row.
    Failed(u8),
    /// A second probe must confirm a refusal.
    Confirm,
    /// Its token is dead; so many times in a row.
    Dead(u8),
}

/// What [`Store::apply`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// When to probe again.
    pub next: Next,
    /// A valid credential of the app turned bad: others of the app should be asked, too.
    pub suspicious: bool,
    /// Why the probe was not conclusive, after the rules were applied.
    pub cause: Option<Cause>,
    /// The credential's clocks.
    pub clocks: Clocks,
}

/// One moment of everything. Cheap to take and to hold.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Who is watched.
    pub roster: Arc<Roster>,
    /// By account of the roster.
    pub accounts: Column<AccountState>,
    /// By credential of the roster.
    pub credentials: Column<CredentialState>,
    /// By app of the roster.
    pub apps: Arc<Vec<AppState>>,
}

/// Where everything that is known is kept.
#[derive(Debug, Default)]
pub struct Store {
    current: Mutex<Snapshot>,
    changes: AtomicU64,
}

impl Store {
    /// The state of this moment.
    pub fn snapshot(&self) -> Snapshot {
        self.lock().clone()
    }

    /// Counts changes: the same number twice means that nothing has changed between.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Puts a new roster in place. Accounts and credentials that were there before, by id, keep their state; an account
    /// that now hangs on another credential keeps it, too: it is the same connection. All others are gone.
    /// Returns the credentials that were there before and whose token now comes from elsewhere.
    pub fn replace_roster(&self, roster: Arc<Roster>) -> Vec<usize> {
        let old = self.snapshot();
        let before = |c: Watched<'_>| old.roster.find_credential(c.id());
        let moved = |c: Watched<'_>| {
            let before = before(c).and_then(|i| old.roster.credential(i));
            before.is_some_and(|old| (old.token(), old.token_secret()) != (c.token(), c.token_secret()))
        };
        let changed = roster.credentials().enumerate().filter(|(_, c)| moved(*c)).map(|(i, _)| i).collect();
        let account = |a: AccountView<'_>| old.roster.find(a.id()).and_then(|i| old.accounts.get(i)).cloned().unwrap_or_default();
        let credential = |c| before(c).and_then(|i| old.credentials.get(i)).cloned().unwrap_or_default();
        let apps: HashMap<&str, &AppState> = old.roster.apps().iter().map(|a| a.id.as_str()).zip(old.apps.iter()).collect();
        let fresh = Snapshot {
            accounts: roster.accounts().map(account).collect(),
            credentials: roster.credentials().map(credential).collect(),
            apps: Arc::new(
                roster.apps().iter().map(|a| apps.get(a.id.as_str()).map_or_else(AppState::default, |s| (*s).clone())).collect(),
            ),
            roster,
        };
        *self.lock() = fresh;
        self.changes.fetch_add(1, Ordering::Relaxed);
        changed
    }

    /// Gives accounts and credentials a state from elsewhere, where there is one.
    pub fn restore(&self, account: impl Fn(AccountView<'_>) -> Option<AccountState>, credential: impl Fn(&str) -> Option<CredentialState>) {
        let mut current = self.lock();
        let Snapshot { roster, accounts, credentials, .. } = &mut *current;
        *accounts = roster.accounts().map(|view| account(view).unwrap_or_default()).collect();
        *credentials = roster.credentials().map(|c| credential(c.id()).unwrap_or_default()).collect();
    }

    /// Applies what a probe of a credential brought, to all its accounts in one step.
    pub fn apply(&self, credential: usize, outcome: &Outcome) -> Option<Applied> {
        self.changes.fetch_add(1, Ordering::Relaxed);
        let mut current = self.lock();
        let Snapshot { roster, accounts, credentials, apps } = &mut *current;
        let watched = roster.credential(credential)?;
        let state = credentials.get_mut(credential)?;
        let now = outcome.at;

        let mut app_to_blame = false;
        let mut suspicious = false;
        if let Some(app) = watched.app().and_then(|app| Arc::make_mut(apps).get_mut(app)) {
            let turn = turn(watched.accounts(), accounts, outcome);
            let interval = i64::try_from(watched.interval().as_secs()).unwrap_or(i64::MAX);
            suspicious = app.suspicion.note(&mut state.part, turn, now, interval);
            app_to_blame = app.suspicion.app_to_blame();
            let fault = outcome.cause() == Some(Cause::AppMisconfigured) || (app_to_blame && turn == Turn::TurnedBad);
            app.health.note(fault);
            for limit in &outcome.limits {
                let limit = Limit { bucket: limit.bucket, used: limit.used, reset: limit.reset.map(|r| instant(r, now)) };
                match app.limits.iter_mut().find(|l| l.bucket == limit.bucket) {
                    Some(known) => *known = limit,
                    None => app.limits.push(limit),
                }
            }
        }

        state.last_probe = Some(now);
        if let Some(clocks) = outcome.clocks {
            // A refused or interrupted probe hears less about the clocks; what was known of them still holds.
            let working = outcome.findings.iter().all(|f| f.verdict == Verdict::Valid);
            state.clocks = if working { clocks } else { clocks.or(state.clocks) };
        }
        let mut pending = false;
        let mut cause = None;
        let mut dead = !watched.accounts().is_empty();
        for (index, finding) in watched.accounts().zip(&outcome.findings) {
            let Some(account) = accounts.get_mut(index) else { continue };
            advance(account, finding, now, app_to_blame);
            cause = cause.or(account.trouble);
            pending |= account.pending.is_some();
            dead &= account.conclusive() == Some(true) && account.verdict.is_some_and(|r| r.info().needs_new_token);
        }
        state.failures = if cause.is_some() { state.failures.saturating_add(1) } else { 0 };
        state.deaths = if dead { state.deaths.saturating_add(1) } else { 0 };
        let next = match (cause, dead) {
            (Some(_), _) => Next::Failed(state.failures),
            (None, _) if pending => Next::Confirm,
            (None, true) => Next::Dead(state.deaths),
            (None, false) => Next::Regular,
        };
        Some(Applied { next, suspicious, cause, clocks: state.clocks })
    }

    /// For reading and for writing alike.
    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        // A panic while writing leaves at most one credential half updated; the rest is still the truth.
        self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// How a probe ended, as far as the credential's app is concerned.
fn turn(range: std::ops::Range<usize>, accounts: &Column<AccountState>, outcome: &Outcome) -> Turn {
    use crate::network::Certainty::Ambiguous;
    let mut turn = Turn::Other;
    for (index, finding) in range.zip(&outcome.findings) {
        match finding.verdict {
            Verdict::Invalid(_, Ambiguous) if accounts.get(index).is_some_and(AccountState::is_valid) => return Turn::TurnedBad,
            Verdict::Valid => turn = Turn::Works,
            _ => {}
        }
    }
    turn
}

/// The instant that a reset means, for an answer of `now`.
pub fn instant(reset: Reset, now: Timestamp) -> Timestamp {
    match reset {
        Reset::At(at) => at,
        Reset::After(seconds) => now.plus(i64::from(seconds)),
    }
}

impl Snapshot {
    /// The deadline of an account's connection.
    pub fn deadline(&self, account: usize) -> Expiry {
        let view = self.roster.account(account);
        let credential = view.and_then(|view| view.credential());
        let state = view.and_then(|view| self.credentials.get(view.credential_index()));
        credential.zip(state).map_or(Expiry::Unknown, |(c, s)| s.clocks.deadline(c.auto_refresh()))
    }
}

/// Whether a rate limit asks to stop, and until when: its budget is used up, or nearly so. `limited`: the network has
/// refused for want of patience already; then every reset it names is waited for, as it may be any of its limits.
pub fn must_pause(limit: &RateLimit, limited: bool, now: Timestamp) -> Option<(Budget, Timestamp)> {
    /// The product shares the budget with this program: the last part is left to it.
    const ENOUGH: f64 = 0.95;
    /// How long to wait where the network names no time, in seconds.
    const WAIT: i64 = 300;
    let full = limit.used.is_some_and(|used| used >= ENOUGH);
    match limit.reset {
        Some(reset) if full || limited => Some((limit.budget, instant(reset, now))),
        None if full => Some((limit.budget, now.plus(WAIT))),
        _ => None,
    }
}
