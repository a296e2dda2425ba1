//! What is known right now, in one place: written by the engine, shown to everybody else once it is
//! kept.
//!
//! All accounts of a credential change in one step, and a snapshot is one moment of everything: no
//! reader sees half of a login revoked. The [`Store`] is ahead by what is not on disk yet; readers
//! have a [`View`], which follows it. Knows nothing of HTTP, networks' answers, files or
//! exposition.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Notify, watch};

use crate::inventory::{AccountView, CredentialView, Inventory};
use crate::model::{Cause, Expiry, Timestamp};
use crate::network::{Budget, Clocks, Finding, RateLimitStatus, Reset, Verdict};
use crate::state::{AccountState, AppHealth, Column, Part, Suspicion, Turn, advance};

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
    /// Until when its network wants it left alone.
    pub paused: Option<Timestamp>,
    /// Its part in its app's suspicion.
    pub part: Part,
}

/// What is known about one app.
#[derive(Clone, Debug, Default)]
pub struct AppState {
    /// Whether it was to blame lately.
    pub health: AppHealth,
    /// Whether its credentials turn bad together.
    pub suspicion: Suspicion,
    /// Until when its network wants it left alone.
    pub paused: Option<Timestamp>,
    /// How often in a row its network wanted patience without saying for how long.
    pub patience: u8,
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
    pub limits: Vec<RateLimitStatus>,
}

impl Outcome {
    /// The same trouble for every account.
    pub fn undetermined(cause: Cause, accounts: usize, at: Timestamp) -> Self {
        let finding =
            Finding { verdict: Verdict::Undetermined(cause), capabilities: Vec::new(), scopes: Vec::new() };
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
    /// Until when the credential is to be left alone.
    pub paused: Option<Timestamp>,
    /// Until when its app, or its network where it needs none, is to be left alone.
    pub app_paused: Option<Timestamp>,
    /// Whether the app was just refused for want of patience: one probe at a time shows when that
    /// is over.
    pub limited: bool,
    /// The first snapshot that holds it.
    pub version: u64,
}

/// One moment of everything. Cheap to take and to hold.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Grows with every change.
    pub version: u64,
    /// Who is watched.
    pub inventory: Arc<Inventory>,
    /// By account of the inventory.
    pub accounts: Column<AccountState>,
    /// By credential of the inventory.
    pub credentials: Column<CredentialState>,
    /// By app of the inventory.
    pub apps: Arc<Vec<AppState>>,
}

/// What has changed since it was asked for last, by place in the inventory.
#[derive(Debug, Default)]
pub struct Changes {
    /// Everything, as it is with them.
    pub snapshot: Snapshot,
    /// Changed credentials, with their accounts.
    pub credentials: BTreeSet<usize>,
    /// Changed apps.
    pub apps: BTreeSet<usize>,
    /// Whether other credentials, accounts and apps are watched now.
    pub inventory: bool,
}

/// Where everything that is known is gathered.
#[derive(Debug, Default)]
pub struct Store {
    /// The latest snapshot, and what in it has not been asked for yet.
    current: Mutex<Changes>,
    changed: Notify,
}

/// What readers see: the last snapshot that was shown to them.
#[derive(Clone, Debug)]
pub struct View(watch::Receiver<Snapshot>);

impl View {
    /// A view of what is sent there.
    pub fn new(shown: watch::Receiver<Snapshot>) -> Self {
        Self(shown)
    }

    /// The state of this moment.
    pub fn snapshot(&self) -> Snapshot {
        self.0.borrow().clone()
    }

    /// Waits until the snapshot of this version, or a later one, is shown. False if nothing is
    /// shown any more.
    pub async fn reaches(&self, version: u64) -> bool {
        self.0.clone().wait_for(|shown| shown.version >= version).await.is_ok()
    }
}

impl Store {
    /// The latest state, which readers may not see yet.
    pub fn snapshot(&self) -> Snapshot {
        self.lock().snapshot.clone()
    }

    /// Waits until there are changes that were not taken yet.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What has changed since the last call.
    pub fn take_changes(&self) -> Changes {
        let mut current = self.lock();
        let snapshot = current.snapshot.clone();
        std::mem::replace(&mut *current, Changes { snapshot, ..Changes::default() })
    }

    /// Puts a new inventory in place. Accounts and credentials that were there before, by id, keep
    /// their state; an account that now hangs on another credential keeps it, too: it is the
    /// same connection. All others are gone. Returns the credentials that were there before and
    /// whose token now comes from elsewhere.
    pub fn replace_roster(&self, inventory: Arc<Inventory>) -> Vec<usize> {
        let old = self.snapshot();
        let before = |c: CredentialView<'_>| old.inventory.find_credential(c.id());
        let moved = |c: CredentialView<'_>| {
            let before = before(c).and_then(|i| old.inventory.credential(i));
            before.is_some_and(|old| (old.token(), old.token_secret()) != (c.token(), c.token_secret()))
        };
        let changed =
            inventory.credentials().enumerate().filter(|(_, c)| moved(*c)).map(|(i, _)| i).collect();
        let account = |a: AccountView<'_>| {
            old.inventory.find(a.id()).and_then(|i| old.accounts.get(i)).cloned().unwrap_or_default()
        };
        let credential = |c| before(c).and_then(|i| old.credentials.get(i)).cloned().unwrap_or_default();
        let apps: HashMap<&str, &AppState> =
            old.inventory.apps().iter().map(|a| a.id.as_str()).zip(old.apps.iter()).collect();
        let fresh = Snapshot {
            version: old.version + 1,
            accounts: inventory.accounts().map(account).collect(),
            credentials: inventory.credentials().map(credential).collect(),
            apps: Arc::new(
                inventory
                    .apps()
                    .iter()
                    .map(|a| apps.get(a.id.as_str()).map_or_else(AppState::default, |s| (*s).clone()))
                    .collect(),
            ),
            inventory,
        };
        *self.lock() = Changes { snapshot: fresh, inventory: true, ..Changes::default() };
        self.changed.notify_one();
        changed
    }

    /// Puts states from elsewhere in place: each in the roster's order.
    pub fn restore(
        &self,
        accounts: Vec<AccountState>,
        credentials: Vec<CredentialState>,
        apps: Vec<AppState>,
    ) {
        let mut current = self.lock();
        let Snapshot { version, inventory, .. } = &current.snapshot;
        let (version, inventory) = (version + 1, inventory.clone());
        let (accounts, credentials) = (accounts.into_iter().collect(), credentials.into_iter().collect());
        current.snapshot = Snapshot { version, inventory, accounts, credentials, apps: Arc::new(apps) };
    }

    /// Applies what a probe of a credential brought, to all its accounts in one step.
    pub fn apply(&self, credential: usize, outcome: &Outcome) -> Option<Applied> {
        let mut current = self.lock();
        let Changes { snapshot, credentials: changed, apps: changed_apps, .. } = &mut *current;
        let Snapshot { version, inventory, accounts, credentials, apps } = snapshot;
        let watched = inventory.credential(credential)?;
        let state = credentials.get_mut(credential)?;
        let now = outcome.at;
        *version += 1;
        changed.insert(credential);
        changed_apps.extend(watched.app());
        self.changed.notify_one();

        let mut app_to_blame = false;
        let mut suspicious = false;
        let mut app = watched.app().and_then(|app| Arc::make_mut(apps).get_mut(app));
        let app_paused = pause(state, app.as_deref_mut(), outcome);
        if let Some(app) = app.as_deref_mut() {
            let turn = turn(watched.accounts(), accounts, outcome);
            let interval = i64::try_from(watched.interval().as_secs()).unwrap_or(i64::MAX);
            suspicious = app.suspicion.note(&mut state.part, turn, now, interval);
            app_to_blame = app.suspicion.app_to_blame();
            let fault =
                outcome.cause() == Some(Cause::AppMisconfigured) || (app_to_blame && turn == Turn::TurnedBad);
            app.health.note(fault);
            for limit in &outcome.limits {
                let limit = Limit {
                    bucket: limit.bucket,
                    used: limit.used,
                    reset: limit.reset.map(|r| instant(r, now)),
                };
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
            dead &= account.conclusive() == Some(true)
                && account.verdict.is_some_and(|r| r.info().needs_new_token);
        }
        state.failures = if cause.is_some() { state.failures.saturating_add(1) } else { 0 };
        state.deaths = if dead { state.deaths.saturating_add(1) } else { 0 };
        let next = match (cause, dead) {
            (Some(_), _) => Next::Failed(state.failures),
            (None, _) if pending => Next::Confirm,
            (None, true) => Next::Dead(state.deaths),
            (None, false) => Next::Regular,
        };
        let limited = app.is_some_and(|app| app.patience > 0);
        Some(Applied {
            next,
            suspicious,
            cause,
            clocks: state.clocks,
            paused: state.paused,
            app_paused,
            limited,
            version: *version,
        })
    }

    /// For reading and for writing alike.
    fn lock(&self) -> MutexGuard<'_, Changes> {
        // A panic while writing leaves at most one credential half updated; the rest is still the truth.
        self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Nothing that a network says makes the exporter wait longer than this, in seconds.
pub const LONGEST_PAUSE: i64 = 86_400;

/// Takes note of how long the network wants to be left alone: by this credential, or by the whole
/// app, which is returned.
fn pause(
    state: &mut CredentialState,
    mut app: Option<&mut AppState>,
    outcome: &Outcome,
) -> Option<Timestamp> {
    /// Where the network does not say how long: this, then twice that…
    const FIRST: i64 = 60;
    let now = outcome.at;
    let limited = outcome.findings.iter().any(|f| f.verdict == Verdict::Undetermined(Cause::RateLimited));
    let was_paused = app.as_ref().is_some_and(|app| app.paused > Some(now));
    state.paused = state.paused.filter(|until| *until > now);
    let mut told = false;
    let mut all = None;
    for (budget, until) in outcome.limits.iter().filter_map(|l| must_pause(l, limited, now)) {
        told = true;
        let until = Some(until.min(now.plus(LONGEST_PAUSE)));
        match budget {
            Budget::App => all = all.max(until),
            Budget::Grant => state.paused = state.paused.max(until),
        }
    }
    let Some(app) = &mut app else { return all };
    if !limited {
        app.patience = 0;
    } else if !was_paused {
        // Those that were under way together count once.
        if !told {
            all = Some(now.plus(FIRST << app.patience.min(4)));
        }
        app.patience = app.patience.saturating_add(1);
    }
    app.paused = app.paused.max(all);
    app.paused
}

/// How a probe ended, as far as the credential's app is concerned.
fn turn(range: std::ops::Range<usize>, accounts: &Column<AccountState>, outcome: &Outcome) -> Turn {
    use crate::network::Certainty::Ambiguous;
    let mut turn = Turn::Other;
    for (index, finding) in range.zip(&outcome.findings) {
        match finding.verdict {
            Verdict::Invalid(_, Ambiguous) if accounts.get(index).is_some_and(AccountState::is_valid) => {
                return Turn::TurnedBad;
            }
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
        let view = self.inventory.account(account);
        let credential = view.and_then(|view| view.credential());
        let state = view.and_then(|view| self.credentials.get(view.credential_index()));
        credential.zip(state).map_or(Expiry::Unknown, |(c, s)| s.clocks.deadline(c.auto_refresh()))
    }
}

/// Whether a rate limit asks to stop, and until when: its budget is used up, or nearly so.
/// `limited`: the network has refused for want of patience already; then every reset it names is
/// waited for, as it may be any of its limits.
pub fn must_pause(limit: &RateLimitStatus, limited: bool, now: Timestamp) -> Option<(Budget, Timestamp)> {
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
