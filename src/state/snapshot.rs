//! The state of everything at one moment, and how readers get it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use super::{
    AccountState, AppFaultWindow, AppHealth, Column, CompactClocks, Heard, LastNotice, NextProbe,
    RateLimitUsage, Sparse, WindowEntry,
};
use crate::inventory::{Inventory, SourceStatus};
use crate::model::{AppProblem, Capability, Expiry, Reason, Timestamp};
use crate::network::LoginNames;
use crate::source::TokenHash;

#[derive(Clone, Debug, Default)]
pub struct CredentialState {
    pub clocks: CompactClocks,
    pub last_probe: Option<Timestamp>,
    /// How many probes in a row were not conclusive.
    pub failures: u8,
    /// How many probes in a row found that only a new token helps.
    pub deaths: u8,
    /// Of the tokens of the last conclusive probe. Not stored.
    pub token: Option<TokenHash>,
    pub paused: Option<Timestamp>,
    pub window_entry: WindowEntry,
    /// By which notices tell this login.
    pub names: LoginNames,
    /// The last notice about it.
    pub notice: Option<Arc<LastNotice>>,
}

#[derive(Clone, Debug, Default)]
pub struct AppState {
    pub health: AppHealth,
    pub fault_window: AppFaultWindow,
    /// What the network said last is wrong with it, if it said what; none once the app works again.
    pub known_problem: Option<AppProblem>,
    pub paused: Option<Timestamp>,
    /// Whether the last probe has met a rate limit. Its credentials are then probed one at a time.
    pub limited: bool,
    /// The latest values of its rate-limit headers, one for each bucket.
    pub limits: Vec<RateLimitUsage>,
    /// Since when the network answers under a later API version than the app's. Not stored.
    pub version_ended: Option<Timestamp>,
}

impl AppState {
    /// Whether the app works; none before the network has answered about it.
    pub fn healthy(&self) -> Option<bool> {
        self.health.healthy().map(|healthy| healthy && !self.fault_window.app_to_blame())
    }

    pub fn problem(&self) -> Option<AppProblem> {
        (self.healthy() == Some(false)).then(|| self.known_problem.unwrap_or(AppProblem::Unknown))
    }
}

/// The state of everything at one moment. Cheap to clone and to keep.
///
/// `accounts`, `heard`, `credentials` and `apps` have the indexes of the inventory.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Grows with every change.
    pub version: u64,
    pub inventory: Arc<Inventory>,
    pub accounts: Column<AccountState>,
    /// What was heard of accounts besides probes.
    pub heard: Sparse<Heard>,
    pub credentials: Column<CredentialState>,
    pub apps: Arc<Vec<AppState>>,
    /// How the sources of accounts were read last, in the order of the configuration.
    pub sources: Arc<Vec<SourceStatus>>,
    /// Whether credentials are probed on request only.
    pub on_demand: bool,
}

impl Snapshot {
    /// Whether a needed capability of an account is available: what probes say, unless the network blocks
    /// it, which no probe can see. None while unknown, and if the account does not need it.
    pub fn capability(&self, account: usize, capability: Capability, now: Timestamp) -> Option<Reason> {
        let probed = self.accounts.get(account)?.capabilities[capability as usize]?;
        let block = || self.heard.get(account)?.block(capability, now);
        Some(if probed == Reason::Ok { block().map_or(probed, |block| block.reason) } else { probed })
    }

    pub fn next_probe(&self, credential: usize) -> Option<NextProbe> {
        let state = self.credentials.get(credential).filter(|state| state.last_probe.is_some())?;
        let mut accounts = self.inventory.credential(credential)?.accounts();
        let pending = accounts.any(|a| self.accounts.get(a).is_some_and(|a| a.pending.is_some()));
        Some(match (state.failures, state.deaths) {
            (0, _) if pending => NextProbe::Confirm,
            (0, 0) => NextProbe::Regular,
            (0, _) => NextProbe::NewToken,
            (failures, _) => NextProbe::Failed(failures),
        })
    }

    /// When an account of a credential last worked by a conclusive probe; none if none of them works now.
    pub fn last_worked(&self, credential: usize) -> Option<Timestamp> {
        let accounts = self.inventory.credential(credential)?.accounts();
        let working = accounts.filter_map(|a| self.accounts.get(a)).filter(|a| a.is_valid());
        working.filter_map(|a| a.last_conclusive).max()
    }

    pub fn deadline(&self, account: usize) -> Expiry {
        let view = self.inventory.account(account);
        let credential = view.and_then(|view| view.credential());
        let state = view.and_then(|view| self.credentials.get(view.credential_index()));
        credential.zip(state).map_or(Expiry::Unknown, |(c, s)| s.clocks.get().deadline(c.auto_refresh()))
    }
}

#[derive(Debug, Default)]
pub struct Changes {
    pub snapshot: Snapshot,
    /// Indexes of credentials that have changed, or one of their accounts has.
    pub credentials: BTreeSet<usize>,
    pub apps: BTreeSet<usize>,
    /// Indexes of accounts of which something was heard.
    pub heard: BTreeSet<usize>,
    pub inventory: bool,
}

/// What readers see: the newest snapshot that is on disk, or the newest of all if nothing is
/// stored.
#[derive(Clone, Debug)]
pub struct View(watch::Receiver<Snapshot>);

impl View {
    pub fn new(snapshots: watch::Receiver<Snapshot>) -> Self {
        Self(snapshots)
    }

    pub fn snapshot(&self) -> Snapshot {
        self.0.borrow().clone()
    }

    /// Waits for a snapshot of at least this version. False if there will be no more snapshots.
    pub async fn reaches(&self, version: u64) -> bool {
        self.0.clone().wait_for(|snapshot| snapshot.version >= version).await.is_ok()
    }
}
