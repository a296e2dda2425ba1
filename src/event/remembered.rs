//! Which notices have been received, so that each counts once.

use std::collections::{HashSet, VecDeque};

use super::MAX_AGE;
use crate::model::{Timestamp, stable_hash};

/// Maximum number of notices. When it is reached, the oldest is forgotten.
const MAX: usize = 100_000;

/// Notices that were received in the time in which they count.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    known: HashSet<(u64, u128)>,
    /// In the order in which they came.
    order: VecDeque<(Timestamp, (u64, u128))>,
}

impl Remembered {
    /// Whether a notice to this app has not been received before; notes that it has.
    pub(super) fn is_new(&mut self, app: &str, id: u128, now: Timestamp) -> bool {
        while let Some((at, oldest)) = self.order.front()
            && (now.since(*at) > MAX_AGE + super::MAX_SKEW || self.order.len() >= MAX)
        {
            self.known.remove(oldest);
            self.order.pop_front();
        }
        let id = (stable_hash(app), id);
        let is_new = self.known.insert(id);
        if is_new {
            self.order.push_back((now, id));
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_counts_once_within_its_time_and_the_number_is_bounded() {
        let start = Timestamp::now();
        let at = |seconds| start.plus(seconds);
        let mut remembered = Remembered::default();
        assert!(remembered.is_new("a", 1, at(0)));
        assert!(!remembered.is_new("a", 1, at(MAX_AGE)));
        assert!(remembered.is_new("b", 1, at(0)), "another app");
        assert!(remembered.is_new("a", 1, at(MAX_AGE + 301)), "such an old one is refused anyway");
        for id in 0..u128::from(200_000_u32) {
            remembered.is_new("c", id, at(MAX_AGE));
        }
        assert_eq!((remembered.known.len(), remembered.order.len()), (MAX, MAX));
    }
}
