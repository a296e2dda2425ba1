//! When a credential is probed next, and why, by what the store knows about it.

use super::delay::{before_use, delay_after, old_token_due};
use crate::model::Timestamp;
use crate::state::{NextProbe, Snapshot};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// When it is probed unless a request or a new token comes before. Not before now.
    pub at: Timestamp,
    pub why: NextProbe,
    /// Whether it is later than `why` tells because the network has asked for a pause.
    pub paused: bool,
    /// Whether it is then because an account is about to be used.
    pub before_use: bool,
    /// If only a new token helps: when the token's source is read next. A new token is probed then.
    pub token_read: Option<Timestamp>,
}

impl Plan {
    /// Why the next probe is made then, as in the API.
    pub fn label(self) -> &'static str {
        self.reason().0
    }

    pub fn text(self) -> &'static str {
        self.reason().1
    }

    fn reason(self) -> (&'static str, &'static str) {
        match self.why {
            _ if self.paused => ("pause", "the network has asked for a pause"),
            _ if self.before_use => ("next_use", "an account of this login is used ten minutes later"),
            NextProbe::Regular => ("interval", "one probe interval after another"),
            NextProbe::Failed(_) => ("retry", "the last probe was inconclusive"),
            NextProbe::Confirm => ("confirmation", "a second probe must confirm the refusal"),
            NextProbe::NewToken => ("old_token", "only a new token helps; the old one is probed once a day"),
        }
    }
}

/// What is planned for a credential; none if it was never probed, or is probed on request only.
pub fn planned(snapshot: &Snapshot, credential: usize, now: Timestamp) -> Option<Plan> {
    let why = snapshot.next_probe(credential)?;
    if snapshot.on_demand && !matches!(why, NextProbe::Confirm | NextProbe::Failed(_)) {
        return None;
    }
    let watched = snapshot.inventory.credential(credential)?;
    let state = snapshot.credentials.get(credential)?;
    let last = state.last_probe?.min(now);
    let after = |from: Timestamp| {
        let delay = delay_after(why, watched, state.clocks.get(), from, now);
        from.plus(i64::try_from(delay.as_secs()).unwrap_or(i64::MAX))
    };
    let (at, token_read) = match why {
        NextProbe::NewToken => (after(old_token_due(last, watched.interval()).max(now)), Some(after(now))),
        _ => (after(last).max(now), None),
    };
    let app = watched.app().and_then(|app| snapshot.apps.get(app)).and_then(|app| app.paused);
    let pause = state.paused.max(app).unwrap_or(at);
    let before_use =
        why != NextProbe::Confirm && before_use(watched, last, now).is_some_and(|due| due.max(now) == at);
    Some(Plan { at: at.max(pause), why, paused: pause > at, before_use, token_read })
}
