//! The configured rate limit of an app, as a token bucket.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::inventory::RateLimit;

/// Limits the rate of calls. A call that has to wait is counted at once, so that calls start in order.
#[derive(Debug)]
pub struct Limiter {
    capacity: f64,
    per_second: f64,
    /// Calls left at an instant; negative if calls wait.
    state: Mutex<(f64, Instant)>,
}

impl Limiter {
    /// Never lets more calls through within the limit's period than its count.
    pub fn new(limit: RateLimit) -> Self {
        let count = f64::from(limit.count.max(1));
        // A full bucket plus the refill of one period must not exceed the count.
        let capacity = (count / 10.0).floor().max(1.0);
        let refill = if capacity > 1.0 { count - capacity } else { count };
        Self {
            capacity,
            per_second: refill / limit.per.as_secs_f64().max(0.001),
            state: Mutex::new((capacity, Instant::now())),
        }
    }

    /// Counts calls, and returns how long to wait before they may be made.
    pub fn reserve(&self, calls: usize, now: Instant) -> Duration {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (level, at) = *state;
        let level =
            (level + now.saturating_duration_since(at).as_secs_f64() * self.per_second).min(self.capacity);
        let left = level - calls as f64;
        *state = (left, now.max(at));
        Duration::try_from_secs_f64((-left).max(0.0) / self.per_second).unwrap_or(Duration::MAX)
    }

    /// Waits until this number of calls may be made.
    pub async fn acquire(&self, calls: usize) {
        let wait = self.reserve(calls, Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// How long a call would have to wait now.
    pub fn wait(&self) -> Duration {
        self.reserve(0, Instant::now())
    }
}
