//! When a finding changes the verdict of an account. Pure functions; the time is an argument.
//!
//! - An undetermined finding leaves the verdict as it is.
//! - A plainly stated reason counts at once. An ambiguous refusal counts when a second probe, at
//!   least half a minute later, confirms it.
//! - While the app is to blame, ambiguous refusals do not count at all.

use std::num::NonZeroU32;

use crate::model::{AppProblem, Cause, Reason, Timestamp};
use crate::network::{Certainty, Finding, Verdict};

/// A second probe confirms an ambiguous refusal from this many seconds after the first refusal on.
pub const CONFIRM_AFTER: i64 = 30;
/// The second probe is made at most this many seconds after the first refusal.
pub const CONFIRM_WITHIN: i64 = 60;

/// What is known about one account. Kept small, as there may be a million.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountState {
    /// [`Reason::Ok`] or the reason of the failure; none before the first conclusive probe.
    pub verdict: Option<Reason>,
    pub since: Option<Timestamp>,
    /// An ambiguous refusal that is not confirmed yet, and when it was first seen.
    pub pending: Option<(Reason, Timestamp)>,
    pub last_conclusive: Option<Timestamp>,
    /// Why the last probe was not conclusive; none if it was.
    pub trouble: Option<Cause>,
    /// Indexed by [`crate::model::Capability`]; none if the capability is not needed or not known.
    pub capabilities: [Option<Reason>; 4],
    /// None while unknown.
    pub scopes: Option<GrantedScopes>,
}

/// Whether each of the scopes that an account's needs require is granted, for the first 31 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantedScopes(NonZeroU32);

impl GrantedScopes {
    /// Whether a scope is granted, by its index among those that are required.
    pub fn contains(self, index: usize) -> bool {
        index < 31 && self.0.get() >> (index + 1) & 1 == 1
    }
}

impl FromIterator<bool> for GrantedScopes {
    fn from_iter<I: IntoIterator<Item = bool>>(granted: I) -> Self {
        let scopes = granted.into_iter().take(31).zip(1..);
        // The lowest bit is always set, so that an unknown value takes no memory of its own.
        Self(scopes.fold(NonZeroU32::MIN, |bits, (granted, i)| bits | (u32::from(granted) << i)))
    }
}

/// Applies a finding to an account. With `app_to_blame`, an ambiguous refusal is undetermined.
pub fn apply_finding(state: &mut AccountState, finding: &Finding, now: Timestamp, app_to_blame: bool) {
    match finding.verdict {
        Verdict::Undetermined(cause) => state.trouble = Some(cause),
        Verdict::Invalid(_, Certainty::Ambiguous) if app_to_blame => {
            state.pending = None;
            state.trouble = Some(Cause::AppMisconfigured(AppProblem::Unknown));
        }
        Verdict::Invalid(reason, Certainty::Ambiguous) => match (state.verdict, state.pending) {
            // The account is known to be broken: keep the reason that was stated more plainly.
            (Some(known), _) if known != Reason::Ok => settle(state, known, finding, now),
            (_, Some((_, first))) if now.since(first) >= CONFIRM_AFTER => settle(state, reason, finding, now),
            // The first refusal lies in the future: the clock has been set back since. Start again.
            (_, Some((_, first))) if first > now => state.pending = Some((reason, now)),
            (_, Some(_)) => {}
            (_, None) => {
                state.pending = Some((reason, now));
                state.trouble = None;
            }
        },
        Verdict::Invalid(reason, Certainty::Plain) => settle(state, reason, finding, now),
        Verdict::Valid => settle(state, Reason::Ok, finding, now),
    }
}

fn settle(state: &mut AccountState, verdict: Reason, finding: &Finding, now: Timestamp) {
    if state.verdict != Some(verdict) {
        state.verdict = Some(verdict);
        state.since = Some(now);
    }
    state.pending = None;
    state.trouble = None;
    state.last_conclusive = Some(now);
    state.capabilities = [None; 4];
    let ambiguous = matches!(finding.verdict, Verdict::Invalid(_, Certainty::Ambiguous));
    for (capability, reason) in &finding.capabilities {
        // The verdict may have been stated more plainly before than its capabilities are now.
        state.capabilities[*capability as usize] = Some(if ambiguous { verdict } else { *reason });
    }
    if !finding.scopes.is_empty() {
        state.scopes = Some(finding.scopes.iter().map(|(_, granted)| *granted).collect());
    }
}

impl AccountState {
    /// Whether the last probe was conclusive; none before the first one.
    pub fn conclusive(&self) -> Option<bool> {
        if self.trouble.is_some() || self.pending.is_some() {
            Some(false)
        } else {
            self.last_conclusive.map(|_| true)
        }
    }

    pub fn is_valid(&self) -> bool {
        self.verdict == Some(Reason::Ok)
    }
}
