//! An app's configured rate limit: a token bucket that callers wait on in turn.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::inventory::RateLimit;

/// Lets calls through at a rate. A call that must wait has its place at once, so that waiting is
/// fair.
#[derive(Debug)]
pub struct Limiter {
    capacity: f64,
    per_second: f64,
    state: Mutex<(f64, Instant)>,
}

impl Limiter {
    /// A limiter that never lets more than the limit's count through within its period.
    pub fn new(limit: RateLimit) -> Self {
        let count = f64::from(limit.count.max(1));
        // Capacity and refill share the count, so that a full bucket plus a period's refill stays within
        // it.
        let capacity = (count / 10.0).floor().max(1.0);
        let refill = if capacity > 1.0 { count - capacity } else { count };
        Self {
            capacity,
            per_second: refill / limit.per.as_secs_f64().max(0.001),
            state: Mutex::new((capacity, Instant::now())),
        }
    }

    /// Takes so many calls' worth, now or in advance, and says how long to wait for them.
    fn reserve(&self, calls: usize, now: Instant) -> Duration {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (level, at) = *state;
        let level =
            (level + now.saturating_duration_since(at).as_secs_f64() * self.per_second).min(self.capacity);
        let left = level - calls as f64;
        *state = (left, now.max(at));
        if left >= 0.0 {
            Duration::ZERO
        } else {
            Duration::try_from_secs_f64(-left / self.per_second).unwrap_or(Duration::MAX)
        }
    }

    /// Waits until so many calls may be made.
    pub async fn acquire(&self, calls: usize) {
        let wait = self.reserve(calls, Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// How long until a call could be made without waiting.
    pub fn wait(&self) -> Duration {
        self.reserve(0, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_the_count_within_a_period() {
        for (count, per) in [(20, 1), (1, 1), (5, 1), (100, 60), (1000, 86_400)] {
            let limiter = Limiter::new(RateLimit { count, per: Duration::from_secs(per) });
            let start = Instant::now();
            let mut at: Vec<Duration> = Vec::new();
            let mut now = start;
            for _ in 0..count * 3 {
                now += limiter.reserve(1, now);
                at.push(now - start);
            }
            let period = Duration::from_secs(per);
            for (i, first) in at.iter().enumerate() {
                let within =
                    at[i..].iter().filter(|t| **t + Duration::from_micros(10) < *first + period).count();
                assert!(within <= count as usize, "{count} per {per} s: {within}");
            }
            assert!(at[at.len() - 1] < period * 4, "and not much slower: {:?}", at[at.len() - 1]);
        }
    }
}
