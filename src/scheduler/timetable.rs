//! When each credential is due, in twelve bytes for each: there may be a million.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// Instants are counted in sixteenths of a second from the beginning: eight years fit four bytes.
const TICK: Duration = Duration::from_micros(62_500);
/// Not planned.
const IDLE: u32 = u32::MAX;

/// Who is due when.
#[derive(Debug)]
pub(super) struct Timetable {
    begin: Instant,
    /// The earliest first; an entry counts if it is the credential's latest.
    heap: BinaryHeap<Reverse<(u32, u32)>>,
    due: Vec<u32>,
}

impl Timetable {
    /// For so many credentials, none of them planned.
    pub(super) fn new(credentials: usize) -> Self {
        Self {
            begin: Instant::now(),
            heap: BinaryHeap::with_capacity(credentials),
            due: vec![IDLE; credentials],
        }
    }

    /// Plans a credential anew: at this instant, or up to a tick later.
    pub(super) fn plan(&mut self, credential: usize, at: Instant) {
        let ticks = at.saturating_duration_since(self.begin).as_micros().div_ceil(TICK.as_micros());
        let tick = u32::try_from(ticks).unwrap_or(IDLE).min(IDLE - 1);
        if let (Some(due), Ok(credential)) = (self.due.get_mut(credential), u32::try_from(credential)) {
            *due = tick;
            self.heap.push(Reverse((tick, credential)));
        }
    }

    /// A credential is planned no more.
    pub(super) fn forget(&mut self, credential: usize) {
        if let Some(due) = self.due.get_mut(credential) {
            *due = IDLE;
        }
    }

    #[cfg(test)]
    pub(super) fn is_planned(&self, credential: usize) -> bool {
        self.due.get(credential).is_some_and(|due| *due != IDLE)
    }

    /// Takes out a credential that is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<usize> {
        while let Some(Reverse((tick, credential))) =
            self.heap.peek().copied().filter(|Reverse((tick, _))| self.instant(*tick) <= now)
        {
            self.heap.pop();
            let credential = credential as usize;
            // Planned anew meanwhile: that entry counts, not this one.
            if self.due.get(credential) == Some(&tick) {
                self.forget(credential);
                return Some(credential);
            }
        }
        None
    }

    /// When something may be due next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((tick, _))| self.instant(*tick))
    }

    fn instant(&self, tick: u32) -> Instant {
        self.begin + TICK * tick
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_due_once_at_its_latest_instant_and_never_early() {
        let mut timetable = Timetable::new(3);
        let begin = timetable.begin;
        let at = |milliseconds| begin + Duration::from_millis(milliseconds);
        timetable.plan(0, at(1001));
        timetable.plan(1, at(500));
        timetable.plan(2, at(2000));
        timetable.plan(1, at(3000));
        timetable.plan(7, at(1));
        assert_eq!(timetable.pop(at(1001)), None, "a tick later is soon enough");
        assert_eq!(timetable.pop(at(1063)), Some(0));
        timetable.forget(2);
        assert!(
            timetable.is_planned(1)
                && !timetable.is_planned(0)
                && !timetable.is_planned(2)
                && !timetable.is_planned(7)
        );
        assert_eq!(timetable.pop(at(2999)), None);
        assert_eq!((timetable.pop(at(3000)), timetable.pop(at(9000))), (Some(1), None));
        assert_eq!(timetable.next(), None);
        timetable.plan(0, at(10 * 365 * 86_400_000));
        assert_eq!(timetable.pop(at(365 * 86_400_000)), None, "too far is far");
    }
}
