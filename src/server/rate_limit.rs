//! A token bucket, as `rate_limit` in the web configuration describes it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::WebRateLimit;

pub(super) struct TokenBucket {
    pub(super) limit: WebRateLimit,
    /// The number of tokens, and when that was.
    state: Mutex<(f64, Instant)>,
}

impl TokenBucket {
    pub(super) fn new(limit: WebRateLimit) -> Self {
        Self { limit, state: Mutex::new((f64::from(limit.burst), Instant::now())) }
    }

    /// Takes a token if there is one.
    pub(super) fn take(&self, now: Instant) -> bool {
        self.take_many(1, now).is_ok()
    }

    /// Takes tokens if there are enough of them.
    ///
    /// # Errors
    /// How long until there are enough.
    pub(super) fn take_many(&self, count: u32, now: Instant) -> Result<(), Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (tokens, at) = *state;
        let gained = now.saturating_duration_since(at).as_secs_f64() / self.limit.interval.as_secs_f64();
        let tokens = (tokens + gained).min(f64::from(self.limit.burst));
        let missing = f64::from(count) - tokens;
        *state = (if missing > 0.0 { tokens } else { -missing }, now.max(at));
        if missing > 0.0 { Err(self.limit.interval.mul_f64(missing)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_refills_one_by_one_up_to_the_burst() {
        let bucket = TokenBucket::new(WebRateLimit { interval: Duration::from_secs(10), burst: 2 });
        let start = Instant::now();
        let after = |seconds: u64| bucket.take(start + Duration::from_secs(seconds));
        let passed: Vec<bool> = [0, 0, 0, 9, 11, 12, 100, 100, 100].into_iter().map(after).collect();
        assert_eq!(passed, [true, true, false, false, true, false, true, true, false]);
    }
}
