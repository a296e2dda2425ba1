//! What is logged about probes: a line for each change of a verdict, a line for the first failure of
//! a kind, and after that how many more there were in each interval.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tracing::Level;

use crate::inventory::{CredentialView, Inventory};
use crate::log_at;
use crate::model::{AppProblem, Capability, Cause, Reason};
use crate::network::{NetworkId, Verdict};
use crate::state::{AccountState, Applied, Change, Observation, Outcome};

/// Interval between the counts of further failures.
const INTERVAL: Duration = Duration::from_secs(300);
/// Time after which a failure counts as the first of its kind again.
const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// Maximum number of kinds; beyond it, hosts are no longer told apart.
const MAX_KINDS: usize = 1000;

#[derive(Debug)]
pub(super) struct ProbeLog {
    failures: HashMap<Kind, Failures>,
    next_count: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    network: NetworkId,
    app: String,
    cause: Cause,
    host: Option<String>,
    status: Option<u16>,
}

#[derive(Debug)]
struct Failures {
    /// How many were not logged yet.
    further: u64,
    last: Instant,
    last_credential: String,
}

impl ProbeLog {
    pub(super) fn new() -> Self {
        Self { failures: HashMap::new(), next_count: Instant::now() + INTERVAL }
    }

    pub(super) fn probed(
        &mut self,
        inventory: &Inventory,
        watched: CredentialView<'_>,
        outcome: &Outcome,
        applied: &Applied,
    ) {
        for change in &applied.changes {
            log_verdict(inventory, watched, change, "probe", outcome.explanation(change.position));
        }
        log_refusals(inventory, watched, outcome, &applied.changes);
        if let Some(cause) = applied.cause {
            self.failed(watched, outcome, cause);
        }
    }

    fn failed(&mut self, watched: CredentialView<'_>, outcome: &Outcome, cause: Cause) {
        let failed = |verdict| matches!(verdict, Verdict::Undetermined(_));
        let position = outcome.findings.iter().position(|finding| failed(finding.verdict));
        let seen = outcome.explanation(position.unwrap_or(0));
        let mut kind = Kind {
            network: watched.network(),
            app: watched.app_id().to_owned(),
            cause,
            host: seen.and_then(|seen| seen.host.clone()),
            status: seen.and_then(|seen| seen.status),
        };
        if self.failures.len() >= MAX_KINDS && !self.failures.contains_key(&kind) {
            kind.host = None;
        }
        let (last, last_credential) = (Instant::now(), watched.id().to_owned());
        if let Some(failures) = self.failures.get_mut(&kind) {
            *failures = Failures { further: failures.further + 1, last, last_credential };
            return;
        }
        let (error, answer) = error_and_answer(seen);
        tracing::warn!(
            credential = watched.id(),
            accounts = watched.accounts().len(),
            network = kind.network.name(),
            app = app(watched),
            cause = cause.label(),
            problem = cause.app_problem().map(AppProblem::label),
            host = kind.host,
            status = kind.status,
            error,
            answer,
            "probe not conclusive, the last verdict stands"
        );
        self.failures.insert(kind, Failures { further: 0, last, last_credential });
    }

    /// Logs how many further failures there were, if the interval has passed.
    pub(super) fn count_at(&mut self, now: Instant) {
        if now >= self.next_count {
            self.next_count = now + INTERVAL;
            self.count();
            self.failures.retain(|_, failures| now.duration_since(failures.last) < FORGET_AFTER);
        }
    }

    pub(super) fn count(&mut self) {
        for (kind, failures) in self.failures.iter_mut().filter(|(_, failures)| failures.further > 0) {
            tracing::warn!(
                network = kind.network.name(),
                app = Some(kind.app.as_str()).filter(|app| !app.is_empty()),
                cause = kind.cause.label(),
                host = kind.host,
                status = kind.status,
                count = failures.further,
                last_credential = failures.last_credential,
                "further probes not conclusive"
            );
            failures.further = 0;
        }
    }
}

/// Logs a change of an account's verdict or capabilities: by what it came, and which call explains it.
pub fn log_verdict(
    inventory: &Inventory,
    watched: CredentialView<'_>,
    change: &Change,
    by: &str,
    seen: Option<&Observation>,
) {
    let ((from, before), (to, reason)) = (state_and_reason(&change.before), state_and_reason(&change.after));
    let account = watched.accounts().nth(change.position).and_then(|index| inventory.account(index));
    let Some(account) = account.filter(|_| (from, &before) != (to, &reason)) else { return };
    let level = match (from, to) {
        ("unknown", "valid") => Level::DEBUG,
        (_, "valid") => Level::INFO,
        _ => Level::WARN,
    };
    let (error, answer) = error_and_answer(seen.filter(|_| to != "valid"));
    log_at!(
        level,
        account = account.id(),
        network = account.network().name(),
        app = app(watched),
        credential = watched.id(),
        from,
        to,
        reason,
        before = (!before.is_empty()).then_some(before),
        by,
        host = seen.and_then(|seen| seen.host.as_deref()),
        status = seen.and_then(|seen| seen.status),
        error,
        answer,
        "verdict changed"
    );
}

/// Logs that accounts of a credential are refused and not lost yet, or no longer refused.
fn log_refusals(inventory: &Inventory, watched: CredentialView<'_>, outcome: &Outcome, changes: &[Change]) {
    let begun = |change: &&Change| change.before.pending.is_none() && change.after.pending.is_some();
    let ended = |change: &&Change| {
        change.before.pending.is_some()
            && change.after.pending.is_none()
            && change.before.verdict == change.after.verdict
    };
    let id = |change: &Change| {
        let index = watched.accounts().nth(change.position);
        index.and_then(|index| inventory.account(index)).map(|account| account.id())
    };
    if let Some(change) = changes.iter().find(begun) {
        let seen = outcome.explanation(change.position);
        let (error, answer) = error_and_answer(seen);
        tracing::info!(
            account = id(change),
            accounts = changes.iter().filter(begun).count(),
            network = watched.network().name(),
            app = app(watched),
            credential = watched.id(),
            reason = change.after.pending.map(|(reason, _)| reason.label()),
            host = seen.and_then(|seen| seen.host.as_deref()),
            status = seen.and_then(|seen| seen.status),
            error,
            answer,
            "refused, a second probe has to confirm it"
        );
    }
    if let Some(change) = changes.iter().find(ended) {
        tracing::info!(
            account = id(change),
            accounts = changes.iter().filter(ended).count(),
            network = watched.network().name(),
            app = app(watched),
            credential = watched.id(),
            cause = change.after.trouble.map(Cause::label),
            "refusal not confirmed"
        );
    }
}

/// An account's state in the words of the log, and the reasons for it.
fn state_and_reason(state: &AccountState) -> (&'static str, String) {
    match state.verdict {
        None => ("unknown", String::new()),
        Some(Reason::Ok) => {
            let lost = Capability::ALL.iter().filter_map(|capability| {
                let reason = state.capabilities[*capability as usize].filter(|r| *r != Reason::Ok)?;
                Some(format!("{}: {}", capability.label(), reason.label()))
            });
            let lost = lost.collect::<Vec<_>>().join(", ");
            if lost.is_empty() { ("valid", Reason::Ok.label().to_owned()) } else { ("degraded", lost) }
        }
        Some(reason) => ("invalid", reason.label().to_owned()),
    }
}

/// The text of an observation: an error, or an answer.
fn error_and_answer(seen: Option<&Observation>) -> (Option<&str>, Option<&str>) {
    let Some(seen) = seen else { return (None, None) };
    let text = Some(seen.text.as_str()).filter(|text| !text.is_empty());
    if seen.status.is_some() { (None, text) } else { (text, None) }
}

fn app<'a>(watched: CredentialView<'a>) -> Option<&'a str> {
    Some(watched.app_id()).filter(|app| !app.is_empty())
}
