//! How long probes of a credential, or of all credentials of an app, must pause.

use super::{AppState, CredentialState, Outcome};
use crate::model::{Cause, Timestamp};
use crate::network::{Budget, RateLimitStatus, Reset, Verdict};

/// Longest pause of a credential that a network can ask for, in seconds.
pub const LONGEST_PAUSE: i64 = 86_400;
/// Longest pause of an app, in seconds. After it one probe shows whether the limit still holds.
pub const LONGEST_APP_PAUSE: i64 = 3600;

#[derive(Clone, Copy, Debug)]
pub struct RateLimitUsage {
    /// Name that the network gives the limit.
    pub bucket: &'static str,
    /// From 0 to 1.
    pub used: Option<f64>,
    pub reset: Option<Timestamp>,
}

impl RateLimitUsage {
    pub(super) fn new(limit: &RateLimitStatus, now: Timestamp) -> Self {
        Self { bucket: limit.bucket, used: limit.used, reset: limit.reset.map(|r| reset_time(r, now)) }
    }
}

/// Updates the pauses of a credential and its app after a probe, and returns the app's.
///
/// An app pauses only if the network says that the limit is the app's. Any other limit pauses the login
/// that has met it; without a time it is retried like any failed probe.
pub(super) fn update_pauses(
    state: &mut CredentialState,
    app: Option<&mut AppState>,
    outcome: &Outcome,
) -> Option<Timestamp> {
    let now = outcome.at;
    let limited = outcome.findings.iter().any(|f| f.verdict == Verdict::Undetermined(Cause::RateLimited));
    state.paused = state.paused.filter(|until| *until > now);
    let mut app_pause = None;
    for (budget, until) in outcome.limits.iter().filter_map(|l| must_pause(l, limited, now)) {
        let (pause, longest) = match budget {
            Budget::App => (&mut app_pause, LONGEST_APP_PAUSE),
            Budget::Grant => (&mut state.paused, LONGEST_PAUSE),
        };
        *pause = (*pause).max(Some(until.min(now.plus(longest))));
    }
    let Some(app) = app else { return app_pause };
    app.limited = limited;
    app.paused = app.paused.max(app_pause);
    app.paused
}

/// Whose probes a rate limit pauses, and until when; none if it does not.
///
/// After a refusal (`limited`) a limit of unknown use counts if it names a reset; one that is known not
/// to be used up does not.
fn must_pause(limit: &RateLimitStatus, limited: bool, now: Timestamp) -> Option<(Budget, Timestamp)> {
    /// The rest is left to the product that shares the limit with this program.
    const ENOUGH: f64 = 0.95;
    /// Pause in seconds if the network names no reset.
    const WAIT: i64 = 300;
    let full = limit.used.is_some_and(|used| used >= ENOUGH);
    match limit.reset {
        Some(reset) if full || limited && limit.used.is_none() => {
            Some((limit.budget, reset_time(reset, now)))
        }
        None if full => Some((limit.budget, now.plus(WAIT))),
        _ => None,
    }
}

fn reset_time(reset: Reset, now: Timestamp) -> Timestamp {
    match reset {
        Reset::At(at) => at,
        Reset::After(seconds) => now.plus(i64::from(seconds)),
    }
}
