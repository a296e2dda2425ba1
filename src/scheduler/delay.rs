//! How long to wait for the next probe of a credential.

use std::time::Duration;

use crate::inventory::CredentialView;
use crate::model::{Expiry, Timestamp, stable_hash};
use crate::network::Clocks;
use crate::state::{CONFIRM_AFTER, CONFIRM_WITHIN, NextProbe};

/// Delay before the first retry after a failed probe; doubles up to the probe interval.
const FIRST_RETRY: Duration = Duration::from_secs(60);
/// Time in seconds between probes of a token where only a new one helps.
const OLD_TOKEN_INTERVAL: i64 = 86_400;

/// How long before a planned use its credential is probed, in seconds.
const LEAD: i64 = 600;

/// Delay from the last probe of a credential, at `last`, to the next one. Neither a reload nor a
/// restart moves the next probe.
pub fn delay_after(
    next: NextProbe,
    watched: CredentialView<'_>,
    clocks: Clocks,
    last: Timestamp,
    now: Timestamp,
) -> Duration {
    let usual = usual_delay(next, watched, clocks, last);
    let before_use = before_use(watched, last, now).filter(|_| next != NextProbe::Confirm);
    let before_use = before_use.and_then(|at| u64::try_from(at.since(last)).ok()).map(Duration::from_secs);
    before_use.map_or(usual, |before_use| before_use.min(usual))
}

/// When a credential is probed because one of its accounts is about to be used; none if no use lies
/// ahead, or the last probe was so shortly before it that it is enough.
pub(super) fn before_use(watched: CredentialView<'_>, last: Timestamp, now: Timestamp) -> Option<Timestamp> {
    Some(watched.next_use(now.max(last.plus(LEAD)))?.plus(-LEAD))
}

fn usual_delay(next: NextProbe, watched: CredentialView<'_>, clocks: Clocks, last: Timestamp) -> Duration {
    let (id, interval) = (watched.id(), watched.interval());
    let jitter = || fraction(&format!("{id} {}", last.unix()));
    match next {
        NextProbe::Regular => regular_delay(watched, clocks, last),
        NextProbe::NewToken => {
            let left = until_offset(id, interval, last);
            Duration::from_secs_f64(if left < 1.0 { left + interval.as_secs_f64() } else { left })
        }
        NextProbe::Failed(times) => {
            let delay = FIRST_RETRY * 2_u32.pow(u32::from(times.clamp(1, 16)) - 1);
            delay.min(interval).mul_f64(0.75 + 0.5 * jitter())
        }
        NextProbe::Confirm => Duration::from_secs_f64(
            CONFIRM_AFTER as f64 + 1.0 + (CONFIRM_WITHIN - CONFIRM_AFTER - 10) as f64 * jitter(),
        ),
    }
}

/// From when on a token that was probed at `last` is probed again where only a new one helps: it is read
/// once an interval, and the read that is nearest to the end of the day counts.
pub(super) fn old_token_due(last: Timestamp, interval: Duration) -> Timestamp {
    last.plus((OLD_TOKEN_INTERVAL - i64::try_from(interval.as_secs() / 2).unwrap_or(i64::MAX)).max(0))
}

/// Each credential has a fixed offset within the interval, so that probes are spread over it.
fn regular_delay(watched: CredentialView<'_>, clocks: Clocks, last: Timestamp) -> Duration {
    let period = watched.interval().as_secs_f64();
    let left = until_offset(watched.id(), watched.interval(), last);
    // After a probe at another time, skip the regular one if it would follow at once.
    let regular = Duration::from_secs_f64(if left < period / 10.0 { left + period } else { left });
    // Probe right after a token has expired, unless another program replaces it in time.
    let access = if watched.auto_refresh() { Expiry::Unknown } else { clocks.access };
    let expiries = [access, clocks.data_access].into_iter().filter_map(Expiry::at);
    let expired = expiries.map(|at| at.since(last) + 2).filter(|seconds| *seconds > 0).min();
    let expired = expired.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    expired.map_or(regular, |expired| regular.min(expired))
}

/// Seconds until a credential's offset within the interval.
fn until_offset(id: &str, interval: Duration, from: Timestamp) -> f64 {
    let period = interval.as_secs_f64();
    period - (from.unix() as f64 - period * fraction(id)).rem_euclid(period)
}

/// A number from 0 to 1 that depends on the id only.
fn fraction(id: &str) -> f64 {
    (stable_hash(id) >> 11) as f64 / (1_u64 << 53) as f64
}
