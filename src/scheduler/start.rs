//! What a scheduler plans when it starts.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::delay::delay_after;
use super::{Scheduler, instant_of};
use crate::model::Timestamp;
use crate::state::{LONGEST_APP_PAUSE, NextProbe};

/// Credentials that were never probed, or are overdue after a stop, are started at this rate.
const CATCH_UP_PER_SECOND: f64 = 20.0;

impl Scheduler {
    pub(super) fn plan_all(&mut self) {
        let inventory = self.prober.inventory().clone();
        let snapshot = self.store.snapshot();
        let (now, instant) = (Timestamp::now(), Instant::now());
        // Credentials to be probed at once: those with a refusal to confirm first, then by last probe.
        let mut overdue = Vec::new();
        for (index, watched) in inventory.credentials().enumerate() {
            let state = snapshot.credentials.get(index);
            let Some((state, last)) = state.and_then(|s| s.last_probe.map(|last| (s, last))) else {
                if !self.settings.on_demand {
                    overdue.push((true, None, index));
                }
                continue;
            };
            let Some(next) = snapshot.next_probe(index).filter(|next| self.settings.plans(*next)) else {
                continue;
            };
            let pending = next == NextProbe::Confirm;
            // A probe in the future was made before the clock was set back.
            let last = last.min(now);
            let mut accounts = watched.accounts().filter_map(|a| snapshot.accounts.get(a));
            if accounts.any(|a| a.conclusive().is_none()) {
                // It was probed before this account was added to it.
                overdue.push((true, None, index));
                continue;
            }
            // A token's source is not read at once for every reload.
            let last = if next == NextProbe::NewToken { now } else { last };
            let delay = delay_after(next, watched, state.clocks.get(), last, now);
            let since = u64::try_from(now.since(last)).unwrap_or(0);
            let at = instant + delay.saturating_sub(Duration::from_secs(since));
            let at = at.max(instant_of(state.paused, now, instant).unwrap_or(at));
            if at > instant {
                self.timetable.plan(&mut self.slots, index, at);
            } else {
                overdue.push((!pending, Some(last), index));
            }
        }
        overdue.sort_unstable();
        for (place, (_, _, index)) in overdue.iter().copied().enumerate() {
            let Some(watched) = inventory.credential(index) else { continue };
            let within_interval = watched.interval().mul_f64(place as f64 / overdue.len() as f64);
            let delay = within_interval.min(Duration::from_secs_f64(place as f64 / CATCH_UP_PER_SECOND));
            self.timetable.plan(&mut self.slots, index, instant + delay);
        }
        for lane in &mut self.lanes {
            if let Some(app) = lane.app.and_then(|app| snapshot.apps.get(app)) {
                let paused = app.paused.map(|until| until.min(now.plus(LONGEST_APP_PAUSE)));
                lane.paused = instant_of(paused, now, instant);
                lane.limited = app.limited || lane.paused.is_some();
            }
        }
        for network in inventory.credentials().map(|c| c.network()).collect::<HashSet<_>>() {
            self.metrics.announce(network);
        }
    }
}
