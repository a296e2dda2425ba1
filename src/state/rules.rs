//! When a finding counts: the rules between one probe and the verdict that stands. Pure; time comes
//! in as a value.
//!
//! - *Undetermined* changes nothing but the age of the verdict.
//! - A plainly stated reason counts at once, an ambiguous refusal when a second probe, half a
//!   minute later, agrees.
//! - When many credentials of one app turn bad together, the app is to blame and no connection.

use serde::{Deserialize, Serialize};

use crate::model::{Cause, Reason, Timestamp};
use crate::network::{Certainty, Finding, Verdict};

/// A second probe confirms an ambiguous refusal if it comes at least so many seconds after the
/// first…
pub const CONFIRM_AFTER: i64 = 30;
/// …and is made at most so many seconds after it.
pub const CONFIRM_WITHIN: i64 = 60;

/// What is known about one account. Small: there may be a million.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountState {
    /// The verdict that stands: [`Reason::Ok`] or why not; none before the first conclusive probe.
    pub verdict: Option<Reason>,
    /// Since when it stands.
    pub since: Option<Timestamp>,
    /// An ambiguous refusal that waits for its confirmation, and when it was first seen.
    pub pending: Option<(Reason, Timestamp)>,
    /// The last conclusive probe.
    pub last_conclusive: Option<Timestamp>,
    /// Why the last probe was not conclusive, if it was not.
    pub trouble: Option<Cause>,
    /// By [`crate::model::Capability`]: available, or why not; none where not needed or not known.
    pub capabilities: [Option<Reason>; 4],
    /// A bit for each scope that the account's needs require; none while unknown.
    pub scopes: Option<u32>,
}

/// Applies a finding to an account. `app_to_blame`: an ambiguous refusal says nothing now.
pub fn advance(state: &mut AccountState, finding: &Finding, now: Timestamp, app_to_blame: bool) {
    match finding.verdict {
        Verdict::Undetermined(cause) => state.trouble = Some(cause),
        Verdict::Invalid(_, Certainty::Ambiguous) if app_to_blame => {
            state.pending = None;
            state.trouble = Some(Cause::AppMisconfigured);
        }
        Verdict::Invalid(reason, Certainty::Ambiguous) => match (state.verdict, state.pending) {
            // It is known to be broken, and this agrees: what was said more plainly before stays.
            (Some(known), _) if known != Reason::Ok => settle(state, known, finding, now),
            (_, Some((_, first))) if now.since(first) >= CONFIRM_AFTER => settle(state, reason, finding, now),
            // A first refusal that lies ahead was seen by a clock that has been set back since: this one
            // takes its place.
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
    for (capability, reason) in &finding.capabilities {
        // A more plainly stated reason for the whole stands for its parts, too.
        let reason = if matches!(finding.verdict, Verdict::Invalid(_, Certainty::Ambiguous)) {
            verdict
        } else {
            *reason
        };
        state.capabilities[*capability as usize] = Some(reason);
    }
    if !finding.scopes.is_empty() {
        state.scopes = Some(
            finding
                .scopes
                .iter()
                .take(32)
                .enumerate()
                .fold(0, |bits, (i, (_, granted))| bits | (u32::from(*granted) << i)),
        );
    }
}

impl AccountState {
    /// Whether the last probe was conclusive; none before the first.
    pub fn conclusive(&self) -> Option<bool> {
        if self.trouble.is_some() || self.pending.is_some() {
            Some(false)
        } else {
            self.last_conclusive.map(|_| true)
        }
    }

    /// Whether the connection is known to work.
    pub fn is_valid(&self) -> bool {
        self.verdict == Some(Reason::Ok)
    }
}

/// Watches whether the credentials of one app turn bad together.
///
/// From the first valid credential that is ambiguously refused on, for one probe interval, it
/// counts the credentials probed and those that turned. At least three turned, and more than half
/// of those probed: the app is to blame, until enough of them work again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspicion {
    opened: Option<Timestamp>,
    /// Distinguishes the windows, so that credentials need no clearing.
    window: u32,
    probed: u32,
    turned: u32,
}

/// A credential's part in its app's [`Suspicion`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    window: u32,
    turned: bool,
}

/// How one probe of a credential ended, as far as its app is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It worked before, and is now ambiguously refused.
    TurnedBad,
    /// It works.
    Works,
    /// Anything else.
    Other,
}

impl Suspicion {
    /// Takes note of a probe. Returns true if it raised a fresh suspicion: others should then be
    /// asked, too.
    pub fn note(&mut self, part: &mut Part, turn: Turn, now: Timestamp, interval: i64) -> bool {
        if self.opened.is_some_and(|opened| now.since(opened) > interval) && !self.app_to_blame() {
            self.opened = None;
        }
        let fresh = self.opened.is_none() && turn == Turn::TurnedBad;
        if fresh {
            *self = Self { opened: Some(now), window: self.window.wrapping_add(1), probed: 0, turned: 0 };
        }
        if self.opened.is_some() {
            if part.window != self.window {
                *part = Part { window: self.window, turned: false };
                self.probed = self.probed.saturating_add(1);
            }
            match turn {
                Turn::TurnedBad if !part.turned => {
                    part.turned = true;
                    self.turned = self.turned.saturating_add(1);
                }
                Turn::Works if part.turned => {
                    part.turned = false;
                    // What was restored after a kill may not add up to the last unit.
                    self.turned = self.turned.saturating_sub(1);
                }
                _ => {}
            }
        }
        fresh
    }

    /// Whether the app is to blame for ambiguous refusals.
    pub fn app_to_blame(&self) -> bool {
        self.opened.is_some() && self.turned >= 3 && self.turned > self.probed / 2
    }
}

/// Whether an app is well: more than half of its last ten probes were not refused on its account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppHealth {
    faults: u16,
    noted: u8,
}

impl AppHealth {
    const LAST: u8 = 10;

    /// Takes note of whether a probe ended in `app_misconfigured`.
    pub fn note(&mut self, fault: bool) {
        self.faults = ((self.faults << 1) | u16::from(fault)) & ((1 << Self::LAST) - 1);
        self.noted = (self.noted + 1).min(Self::LAST);
    }

    /// Whether it is well; none before the first probe.
    pub fn healthy(self) -> Option<bool> {
        (self.noted > 0).then(|| self.faults.count_ones() * 2 <= u32::from(self.noted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Capability;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(1_800_000_000 + seconds).unwrap_or_else(Timestamp::now)
    }

    fn finding(verdict: Verdict) -> Finding {
        let reason = match verdict {
            Verdict::Invalid(reason, _) => reason,
            _ => Reason::Ok,
        };
        let capabilities = if matches!(verdict, Verdict::Undetermined(_)) {
            vec![]
        } else {
            vec![(Capability::Publish, reason)]
        };
        Finding { verdict, capabilities, scopes: vec![] }
    }

    fn play(verdicts: &[(i64, Verdict)]) -> AccountState {
        let mut state = AccountState::default();
        for (seconds, verdict) in verdicts {
            advance(&mut state, &finding(*verdict), at(*seconds), false);
        }
        state
    }

    const MAYBE: Verdict = Verdict::Invalid(Reason::TokenInvalid, Certainty::Ambiguous);
    const PLAIN: Verdict = Verdict::Invalid(Reason::PasswordChanged, Certainty::Plain);

    #[test]
    fn plain_counts_at_once_and_ambiguous_after_a_second_probe() {
        let state = play(&[(0, Verdict::Valid), (100, PLAIN)]);
        assert_eq!((state.verdict, state.since), (Some(Reason::PasswordChanged), Some(at(100))));
        let state = play(&[(0, Verdict::Valid), (100, MAYBE)]);
        assert_eq!((state.verdict, state.conclusive()), (Some(Reason::Ok), Some(false)));
        let state = play(&[(0, Verdict::Valid), (100, MAYBE), (110, MAYBE)]);
        assert_eq!(state.verdict, Some(Reason::Ok), "too soon to confirm");
        let state = play(&[(0, Verdict::Valid), (100, MAYBE), (135, MAYBE)]);
        assert_eq!((state.verdict, state.since), (Some(Reason::TokenInvalid), Some(at(135))));
        let state = play(&[(0, Verdict::Valid), (100, MAYBE), (135, Verdict::Valid), (200, MAYBE)]);
        assert_eq!(state.verdict, Some(Reason::Ok), "a good answer between starts anew");
        let back = play(&[(0, Verdict::Valid), (5000, MAYBE), (100, MAYBE), (110, MAYBE)]);
        assert_eq!(
            (back.verdict, back.pending.map(|p| p.1)),
            (Some(Reason::Ok), Some(at(100))),
            "the clock was set back"
        );
        let state = play(&[(0, Verdict::Valid), (5000, MAYBE), (100, MAYBE), (135, MAYBE)]);
        assert_eq!(state.verdict, Some(Reason::TokenInvalid));
    }

    #[test]
    fn undetermined_never_flips() {
        for cause in Cause::ALL {
            for before in [Verdict::Valid, PLAIN] {
                let alone = play(&[(0, before)]);
                let state = play(&[
                    (0, before),
                    (50, Verdict::Undetermined(*cause)),
                    (99, Verdict::Undetermined(*cause)),
                ]);
                assert_eq!(
                    (state.verdict, state.since, state.capabilities),
                    (alone.verdict, alone.since, alone.capabilities)
                );
                assert_eq!((state.last_conclusive, state.conclusive()), (Some(at(0)), Some(false)));
            }
        }
        assert_eq!(play(&[(0, Verdict::Undetermined(Cause::Dns))]).verdict, None);
    }

    #[test]
    fn an_ambiguous_refusal_does_not_blur_a_plain_reason() {
        let state = play(&[(0, PLAIN), (100, MAYBE), (140, MAYBE)]);
        assert_eq!((state.verdict, state.since), (Some(Reason::PasswordChanged), Some(at(0))));
        assert_eq!(state.capabilities[0], Some(Reason::PasswordChanged));
        assert_eq!(state.last_conclusive, Some(at(140)));
    }

    #[test]
    fn trouble_between_two_refusals_does_not_hide_the_second() {
        let state = play(&[
            (0, Verdict::Valid),
            (100, MAYBE),
            (140, Verdict::Undetermined(Cause::Timeout)),
            (200, MAYBE),
        ]);
        assert_eq!(state.verdict, Some(Reason::TokenInvalid));
    }

    #[test]
    fn many_turning_together_blame_the_app() {
        let turned = |good: usize, bad: usize| {
            let mut suspicion = Suspicion::default();
            let mut parts = vec![Part::default(); good + bad];
            for (i, part) in parts.iter_mut().enumerate() {
                let turn = if i < bad { Turn::TurnedBad } else { Turn::Works };
                suspicion.note(part, turn, at(0), 3600);
            }
            suspicion.app_to_blame()
        };
        assert!(!turned(0, 2), "two are not many");
        assert!(turned(0, 3));
        assert!(turned(2, 3));
        assert!(!turned(3, 3), "half is not more than half");
        assert!(turned(4, 5));
    }

    #[test]
    fn blame_ends_when_they_work_again() {
        let mut suspicion = Suspicion::default();
        let mut parts = [Part::default(); 4];
        assert!(suspicion.note(&mut parts[0], Turn::TurnedBad, at(0), 60), "a fresh suspicion");
        assert!(!suspicion.note(&mut parts[0], Turn::TurnedBad, at(1), 60), "counted once");
        for part in &mut parts[1..] {
            suspicion.note(part, Turn::TurnedBad, at(2), 60);
        }
        assert!(suspicion.app_to_blame());
        suspicion.note(&mut parts[0], Turn::Works, at(500), 60);
        assert!(suspicion.app_to_blame(), "still three of four");
        suspicion.note(&mut parts[1], Turn::Works, at(501), 60);
        assert!(!suspicion.app_to_blame());
    }

    #[test]
    fn a_suspicion_lasts_one_interval() {
        let mut suspicion = Suspicion::default();
        let mut parts = [Part::default(); 3];
        for (i, part) in parts.iter_mut().enumerate() {
            suspicion.note(part, Turn::TurnedBad, at(i64::try_from(i).unwrap_or(0) * 61), 60);
        }
        assert!(!suspicion.app_to_blame(), "an interval apart each");
    }

    #[test]
    fn health_is_what_most_recent_probes_say() {
        let mut health = AppHealth::default();
        assert_eq!(health.healthy(), None);
        health.note(true);
        assert_eq!(health.healthy(), Some(false));
        for _ in 0..9 {
            health.note(false);
        }
        assert_eq!(health.healthy(), Some(true));
        for _ in 0..6 {
            health.note(true);
        }
        assert_eq!(health.healthy(), Some(false));
    }
}
