//! When credentials are due, in eight bytes for each: there may be a million.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::lane::{Slot, SlotState};

/// Length of a tick: four bytes of sixteenths of a second last eight years.
const TICK: Duration = Duration::from_micros(62_500);

/// Orders the credentials that are planned by the time of their next probe.
#[derive(Debug)]
pub(super) struct Timetable {
    begin: Instant,
    /// Ticks and credentials, the earliest first. An entry is obsolete unless the credential's slot is
    /// planned for the same tick.
    heap: BinaryHeap<Reverse<(u32, u32)>>,
}

impl Timetable {
    pub(super) fn new(credentials: usize) -> Self {
        Self { begin: Instant::now(), heap: BinaryHeap::with_capacity(credentials) }
    }

    /// Plans a credential at a time, rounded up to a tick, instead of what it was planned for.
    pub(super) fn plan(&mut self, slots: &mut [Slot], credential: usize, at: Instant) {
        let ticks = at.saturating_duration_since(self.begin).as_micros().div_ceil(TICK.as_micros());
        let tick = u32::try_from(ticks).unwrap_or(u32::MAX);
        if let (Some(slot), Ok(credential)) = (slots.get_mut(credential), u32::try_from(credential)) {
            slot.state = SlotState::Planned(tick);
            self.heap.push(Reverse((tick, credential)));
        }
    }

    /// Removes a credential that is due. Its slot is idle then.
    pub(super) fn pop(&mut self, slots: &mut [Slot], now: Instant) -> Option<usize> {
        while self.next().is_some_and(|at| at <= now) {
            let Reverse((tick, credential)) = self.heap.pop()?;
            let credential = credential as usize;
            if let Some(slot) =
                slots.get_mut(credential).filter(|slot| slot.state == SlotState::Planned(tick))
            {
                slot.state = SlotState::Idle;
                return Some(credential);
            }
        }
        None
    }

    /// When a credential is planned, if it is.
    pub(super) fn planned(&self, slot: Slot) -> Option<Instant> {
        match slot.state {
            SlotState::Planned(tick) => Some(self.begin + TICK * tick),
            SlotState::Idle | SlotState::Ready => None,
        }
    }

    /// When the next credential may be due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((tick, _))| self.begin + TICK * *tick)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_due_once_at_its_latest_instant_and_never_early() {
        let mut slots = [Slot::new(0); 3];
        let mut timetable = Timetable::new(3);
        let begin = timetable.begin;
        let at = |milliseconds| begin + Duration::from_millis(milliseconds);
        for (credential, milliseconds) in [(0, 1001), (1, 500), (2, 2000), (1, 3000), (7, 1)] {
            timetable.plan(&mut slots, credential, at(milliseconds));
        }
        assert_eq!(timetable.pop(&mut slots, at(1001)), None, "a tick later is soon enough");
        assert_eq!(timetable.pop(&mut slots, at(1063)), Some(0));
        slots[2].state = SlotState::Idle;
        assert_eq!(slots.map(|slot| matches!(slot.state, SlotState::Planned(_))), [false, true, false]);
        assert_eq!(timetable.pop(&mut slots, at(2999)), None);
        assert_eq!(timetable.pop(&mut slots, at(3000)), Some(1));
        assert_eq!(timetable.pop(&mut slots, at(9000)), None);
        assert_eq!(timetable.next(), None);
        timetable.plan(&mut slots, 0, at(10 * 365 * 86_400_000));
        assert_eq!(timetable.pop(&mut slots, at(365 * 86_400_000)), None, "too far is far");
    }
}
