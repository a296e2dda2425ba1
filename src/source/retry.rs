//! When a source that has failed is asked again, within its refresh interval.

use std::time::Duration;

use super::listing::SourceError;

/// A refresh that has failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Failed {
    pub error: SourceError,
    /// The least delay before another attempt; none if only the next refresh can help.
    pub retry: Option<Duration>,
}

impl Failed {
    /// An error that another attempt may not have.
    pub fn temporary(error: impl Into<String>) -> Self {
        Self { error: SourceError(error.into()), retry: Some(Duration::ZERO) }
    }

    /// An error that stays until somebody changes something, for example a wrong password.
    pub fn lasting(error: impl Into<String>) -> Self {
        Self { error: SourceError(error.into()), retry: None }
    }
}

/// Delays between the attempts of one refresh: from a sixtieth of the interval on (5 s of the default
/// 5 min), each twice the last.
#[derive(Clone, Debug)]
pub struct Backoff {
    interval: Duration,
    delay: Duration,
}

impl Backoff {
    pub fn new(interval: Duration) -> Self {
        let delay = (interval / 60).clamp(Duration::from_secs(1), Duration::from_secs(60));
        Self { interval, delay }
    }

    /// The delay before the next attempt, when one has failed `elapsed` after the refresh began; none
    /// if the next refresh is the next attempt.
    pub fn next(&mut self, failed: &Failed, elapsed: Duration) -> Option<Duration> {
        // Spread over a quarter, so that shards and replicas do not ask at the same time.
        let delay = self.delay.mul_f64(0.75 + 0.25 * fastrand::f64()).max(failed.retry?);
        self.delay *= 2;
        (elapsed + delay < self.interval).then_some(delay)
    }
}
