//! How long probes of a credential, or of all credentials of an app, must pause.

use super::{AppState, CredentialState, Outcome};
use crate::model::{Cause, Timestamp};
use crate::network::{Budget, RateLimitStatus, Reset, Verdict};

/// Longest pause that a network can ask for, in seconds.
pub const LONGEST_PAUSE: i64 = 86_400;

/// How much of one rate limit is used.
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
pub(super) fn update_pauses(
    state: &mut CredentialState,
    app: Option<&mut AppState>,
    outcome: &Outcome,
) -> Option<Timestamp> {
    /// First pause in seconds if the network does not say how long; doubles up to 16 times that.
    const FIRST: i64 = 60;
    let now = outcome.at;
    let limited = outcome.findings.iter().any(|f| f.verdict == Verdict::Undetermined(Cause::RateLimited));
    state.paused = state.paused.filter(|until| *until > now);
    let mut network_said = false;
    let mut app_pause = None;
    for (budget, until) in outcome.limits.iter().filter_map(|l| must_pause(l, limited, now)) {
        network_said = true;
        let until = Some(until.min(now.plus(LONGEST_PAUSE)));
        match budget {
            Budget::App => app_pause = app_pause.max(until),
            Budget::Grant => state.paused = state.paused.max(until),
        }
    }
    let Some(app) = app else { return app_pause };
    if !limited {
        app.times_limited = 0;
    } else if app.paused <= Some(now) {
        // Probes that ran at the same time count once: the first has paused the app.
        if !network_said {
            app_pause = Some(now.plus(FIRST << app.times_limited.min(4)));
        }
        app.times_limited = app.times_limited.saturating_add(1);
    }
    app.paused = app.paused.max(app_pause);
    app.paused
}

/// Whose probes a rate limit pauses, and until when; none if it does not.
///
/// After a refusal (`limited`) every limit that names a reset counts, as it may be any of them.
fn must_pause(limit: &RateLimitStatus, limited: bool, now: Timestamp) -> Option<(Budget, Timestamp)> {
    /// The rest is left to the product that shares the limit with this program.
    const ENOUGH: f64 = 0.95;
    /// Pause in seconds if the network names no reset.
    const WAIT: i64 = 300;
    let full = limit.used.is_some_and(|used| used >= ENOUGH);
    match limit.reset {
        Some(reset) if full || limited => Some((limit.budget, reset_time(reset, now))),
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
