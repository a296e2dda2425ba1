//! The newest state of everything. The scheduler writes it; readers have a [`View`](super::View),
//! which follows once changes are on disk.
//!
//! All accounts of a credential change in one step, so that no reader sees a login half revoked.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use super::rate_limits::{self, RateLimitUsage};
use super::{
    AccountState, AppState, Applied, Change, Changes, Column, CredentialState, Evidence, Heard, NextProbe,
    Outcome, Report, ReportEffect, Snapshot, Sparse, apply_finding,
};
use crate::inventory::{AccountView, App, CredentialView, Inventory, SourceStatus};
use crate::model::{AppProblem, Cause, Reason, Timestamp};
use crate::network::{Certainty, LoginNames, Verdict};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppliedReport {
    pub effect: ReportEffect,
    /// Whether the capability was available before, as in [`Snapshot::capability`].
    pub before: Option<Reason>,
    pub after: Option<Reason>,
    /// Whether it ends a block of its operation.
    pub ended_block: bool,
    /// Version of the first snapshot that holds the report.
    pub version: u64,
}

/// Holds the newest snapshot and the changes that were not taken yet.
#[derive(Debug, Default)]
pub struct Store {
    current: Mutex<Changes>,
    changed: Notify,
}

impl Store {
    /// The newest state, which readers may not see yet.
    pub fn snapshot(&self) -> Snapshot {
        self.lock().snapshot.clone()
    }

    pub fn set_on_demand(&self, on_demand: bool) {
        self.lock().snapshot.on_demand = on_demand;
    }

    pub fn set_sources(&self, sources: Vec<SourceStatus>) {
        let snapshot = &mut self.lock().snapshot;
        snapshot.version += 1;
        snapshot.sources = Arc::new(sources);
        self.changed.notify_one();
    }

    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    pub fn take_changes(&self) -> Changes {
        let mut current = self.lock();
        let snapshot = current.snapshot.clone();
        std::mem::replace(&mut *current, Changes { snapshot, ..Changes::default() })
    }

    /// Replaces the inventory. Accounts, credentials and apps keep their state if there was one with
    /// the same id; an account does so even if it belongs to another credential now.
    ///
    /// Returns the indexes of known credentials that must be probed at once: their token comes from
    /// another source now, or there is an account that they were not probed for.
    pub fn replace_inventory(&self, inventory: Arc<Inventory>) -> Vec<usize> {
        let old = self.snapshot();
        if Arc::ptr_eq(&old.inventory, &inventory) {
            return Vec::new();
        }
        let before = |c: CredentialView<'_>| old.inventory.find_credential(c.id());
        let moved = |c: CredentialView<'_>| {
            let before = before(c).and_then(|i| old.inventory.credential(i));
            before.is_some_and(|old| (old.token(), old.token_secret()) != (c.token(), c.token_secret()))
        };
        let is_new = |account: AccountView<'_>| {
            let before = old.inventory.find(account.id()).and_then(|i| old.inventory.account(i));
            before.is_none_or(|old| {
                (old.external_id(), old.kind(), old.needs())
                    != (account.external_id(), account.kind(), account.needs())
                    || old.credential().map(|c| c.id()) != account.credential().map(|c| c.id())
            })
        };
        let gained = |c: CredentialView<'_>| {
            before(c).is_some() && c.accounts().filter_map(|a| inventory.account(a)).any(is_new)
        };
        let credentials = inventory.credentials().enumerate();
        let changed = credentials.filter(|(_, c)| moved(*c) || gained(*c)).map(|(i, _)| i).collect();
        let account = |a: AccountView<'_>| {
            old.inventory.find(a.id()).and_then(|i| old.accounts.get(i)).cloned().unwrap_or_default()
        };
        let credential = |c| before(c).and_then(|i| old.credentials.get(i)).cloned().unwrap_or_default();
        let old_apps: HashMap<&str, (&App, &AppState)> =
            old.inventory.apps().iter().zip(old.apps.iter()).map(|(a, s)| (a.id.as_str(), (a, s))).collect();
        let app = |app: &App| {
            let (old, state) = old_apps.get(app.id.as_str())?;
            let version_ended = state.version_ended.filter(|_| old.api_version == app.api_version);
            Some(AppState { version_ended, ..(*state).clone() })
        };
        let heard = |(index, heard): (usize, &Heard)| {
            let mut heard = heard.clone();
            heard.prune(Timestamp::now());
            Some((inventory.find(old.inventory.account(index)?.id())?, heard))
        };
        let snapshot = Snapshot {
            version: old.version + 1,
            heard: old.heard.iter().filter_map(heard).collect(),
            accounts: inventory.accounts().map(account).collect(),
            credentials: inventory.credentials().map(credential).collect(),
            apps: Arc::new(inventory.apps().iter().map(|a| app(a).unwrap_or_default()).collect()),
            inventory,
            sources: old.sources,
            on_demand: old.on_demand,
        };
        *self.lock() = Changes { snapshot, inventory: true, ..Changes::default() };
        self.changed.notify_one();
        changed
    }

    pub fn restore(
        &self,
        accounts: Vec<AccountState>,
        credentials: Vec<CredentialState>,
        apps: Vec<AppState>,
        heard: Sparse<Heard>,
    ) {
        let snapshot = &mut self.lock().snapshot;
        snapshot.version += 1;
        snapshot.accounts = accounts.into_iter().collect();
        snapshot.credentials = credentials.into_iter().collect();
        snapshot.apps = Arc::new(apps);
        snapshot.heard = heard;
    }

    /// Applies the outcome of a probe to a credential, its accounts and its app in one step. None if
    /// there is no such credential.
    pub fn apply(&self, credential: usize, outcome: &Outcome) -> Option<Applied> {
        let mut current = self.lock();
        let Changes { snapshot, credentials: changed, apps: changed_apps, .. } = &mut *current;
        let Snapshot { version, inventory, accounts, credentials, apps, .. } = snapshot;
        let watched = inventory.credential(credential)?;
        let state = credentials.get_mut(credential)?;
        *version += 1;
        changed.insert(credential);
        changed_apps.extend(watched.app());
        self.changed.notify_one();

        let mut app = watched.app().and_then(|app| Arc::make_mut(apps).get_mut(app));
        let app_paused = rate_limits::update_pauses(state, app.as_deref_mut(), outcome);
        let suspicious = app.as_deref_mut().is_some_and(|app| {
            let interval = i64::try_from(watched.interval().as_secs()).unwrap_or(i64::MAX);
            let before = watched.accounts().filter_map(|account| accounts.get(account));
            let had_problem = before.filter_map(|a| a.trouble).any(|cause| cause.app_problem().is_some());
            app.record(state, evidence(watched.accounts(), accounts, outcome), had_problem, outcome, interval)
        });
        let app_to_blame = app.as_deref().is_some_and(|app| app.fault_window.app_to_blame());

        let mut pending = false;
        let mut cause = None;
        let mut changes = Vec::new();
        let mut dead = !watched.accounts().is_empty();
        for (position, (index, finding)) in watched.accounts().zip(&outcome.findings).enumerate() {
            let Some(account) = accounts.get_mut(index) else { continue };
            let before = account.clone();
            apply_finding(account, finding, outcome.at, app_to_blame);
            cause = cause.or(account.trouble);
            pending |= account.pending.is_some();
            dead &= account.conclusive() == Some(true)
                && account.verdict.is_some_and(|r| r.info().needs_new_token);
            let shown = |state: &AccountState| (state.verdict, state.pending, state.capabilities);
            if shown(&before) != shown(account) {
                changes.push(Change { position, before, after: account.clone() });
            }
        }
        state.record(outcome, cause, dead);
        if cause.is_none() && !pending {
            state.token = outcome.token;
        }
        let next = match cause {
            Some(_) => NextProbe::Failed(state.failures),
            None if pending => NextProbe::Confirm,
            None if dead => NextProbe::NewToken,
            None => NextProbe::Regular,
        };
        Some(Applied {
            next,
            suspicious,
            cause,
            clocks: state.clocks.get(),
            paused: state.paused,
            app_paused,
            limited: app.is_some_and(|app| app.limited),
            version: *version,
            changes,
        })
    }

    /// Applies a report about an account. `id` is a hash of the id that its sender gave it. None if there
    /// is no such account.
    pub fn apply_report(
        &self,
        account: &str,
        report: Report,
        id: Option<u64>,
        now: Timestamp,
    ) -> Option<AppliedReport> {
        let mut current = self.lock();
        let Changes { snapshot, heard: changed, .. } = &mut *current;
        let index = snapshot.inventory.find(account)?;
        let operation = report.operation;
        let blocked = |snapshot: &Snapshot| {
            snapshot.heard.get(index).is_some_and(|heard| heard.block(operation, now).is_some())
        };
        let (before, was_blocked) = (snapshot.capability(index, operation, now), blocked(snapshot));
        let effect = snapshot.heard.entry(index).apply(report, id, now);
        let after = snapshot.capability(index, operation, now);
        if effect == ReportEffect::Newest {
            snapshot.version += 1;
            changed.insert(index);
            self.changed.notify_one();
        }
        let ended_block = was_blocked && !blocked(snapshot);
        Some(AppliedReport { effect, before, after, ended_block, version: snapshot.version })
    }

    /// Tells the state writer that something has changed.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Changes> {
        // A panic while writing leaves at most one credential half updated; the rest is still valid.
        self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl CredentialState {
    fn record(&mut self, outcome: &Outcome, cause: Option<Cause>, dead: bool) {
        self.last_probe = Some(outcome.at);
        if let Some(clocks) = outcome.clocks {
            // A refused or interrupted probe learns less about the clocks: keep what was known.
            let valid = outcome.findings.iter().all(|f| f.verdict == Verdict::Valid);
            self.clocks = if valid { clocks } else { clocks.or(self.clocks.get()) }.into();
        }
        let LoginNames { user, tokens } = &outcome.names;
        self.names.user = user.or(self.names.user);
        if tokens.is_some() && self.names.tokens != *tokens {
            self.names.tokens.clone_from(tokens);
        }
        self.failures = if cause.is_some() { self.failures.saturating_add(1) } else { 0 };
        self.deaths = if dead { self.deaths.saturating_add(1) } else { 0 };
    }
}

impl AppState {
    /// Records a probe of one of the app's credentials, whose last probe failed because of the app if
    /// `had_problem`. Returns whether others should be probed, too.
    fn record(
        &mut self,
        credential: &mut CredentialState,
        evidence: Evidence,
        had_problem: bool,
        outcome: &Outcome,
        interval: i64,
    ) -> bool {
        let opens = self.fault_window.record(&mut credential.window_entry, evidence, outcome.at, interval);
        let refused = self.fault_window.app_to_blame() && evidence == Evidence::NewlyRefused;
        if outcome.reached_app() {
            let problem = outcome.app_problem().or(refused.then_some(AppProblem::Unknown));
            // A login that works shows that the app does, unless the problem leaves some logins working.
            let partial = self.known_problem.is_some_and(AppProblem::is_partial);
            self.record_health(problem, evidence == Evidence::Works && (had_problem || !partial));
            let since = self.version_ended.unwrap_or(outcome.at);
            self.version_ended = outcome.version_ended.then_some(since);
        }
        for limit in &outcome.limits {
            let usage = RateLimitUsage::new(limit, outcome.at);
            match self.limits.iter_mut().find(|l| l.bucket == usage.bucket) {
                Some(known) => *known = usage,
                None => self.limits.push(usage),
            }
        }
        opens
    }

    fn record_health(&mut self, problem: Option<AppProblem>, works: bool) {
        self.health.record(problem.is_some());
        let mut healthy = self.health.healthy() == Some(true);
        if problem.is_none() && works && !healthy {
            self.health.repaired();
            healthy = true;
        }
        match problem {
            Some(AppProblem::Unknown) => {}
            Some(_) => self.known_problem = problem,
            None if healthy => self.known_problem = None,
            None => {}
        }
    }
}

/// What an outcome says about the app, given the states of its accounts before the probe.
fn evidence(range: Range<usize>, accounts: &Column<AccountState>, outcome: &Outcome) -> Evidence {
    let mut evidence = Evidence::Nothing;
    for (index, finding) in range.zip(&outcome.findings) {
        match finding.verdict {
            Verdict::Invalid(_, Certainty::Ambiguous)
                if accounts.get(index).is_some_and(AccountState::is_valid) =>
            {
                return Evidence::NewlyRefused;
            }
            Verdict::Valid => evidence = Evidence::Works,
            _ => {}
        }
    }
    evidence
}
