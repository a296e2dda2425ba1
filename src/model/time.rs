//! Instants and durations as this program speaks of them: Unix seconds that fit four bytes, and
//! durations in Prometheus' notation. Knows nothing of tokens or networks.

use std::fmt;
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, FixedOffset, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// A point in time, in whole Unix seconds from 1970-01-01T00:00:01Z to 2106-02-07.
///
/// Later instants (a "never" written as the year 9999, say) are held at the last one.
/// `Option<Timestamp>` takes four bytes, which matters at a million accounts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(NonZeroU32);

impl Timestamp {
    pub fn now() -> Self {
        Self(clamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_secs())))
    }

    /// The latest plausible expiry of a token, in ten years. A later one is a mistake, in milliseconds for
    /// example.
    pub fn latest_expiry() -> Self {
        Self::now().plus(3653 * 86_400)
    }

    /// From Unix seconds; none for 0 and below, which networks use for "no such instant".
    pub fn from_unix(seconds: i64) -> Option<Self> {
        u64::try_from(seconds).ok().filter(|s| *s > 0).map(|s| Self(clamp(s)))
    }

    /// From an RFC 3339 date and time, or from Unix seconds written as text.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        match text.parse::<f64>() {
            // Truncation is meant: sub-second precision is of no use for deadlines.
            Ok(seconds) if seconds.is_finite() => Self::from_unix(seconds as i64),
            _ => DateTime::parse_from_rfc3339(text).ok().and_then(|t| Self::from_unix(t.timestamp())),
        }
    }

    pub fn unix(self) -> i64 {
        i64::from(self.0.get())
    }

    #[must_use]
    pub fn plus(self, seconds: i64) -> Self {
        let moved = self.unix().saturating_add(seconds).max(1);
        Self(clamp(moved.unsigned_abs()))
    }

    pub fn since(self, earlier: Self) -> i64 {
        self.unix() - earlier.unix()
    }

    pub fn utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.unix(), 0).unwrap_or(DateTime::UNIX_EPOCH)
    }
}

fn clamp(seconds: u64) -> NonZeroU32 {
    u32::try_from(seconds).ok().map_or(NonZeroU32::MAX, |s| NonZeroU32::new(s).unwrap_or(NonZeroU32::MIN))
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.utc().to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// When something ends, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    /// Nobody said.
    #[default]
    Unknown,
    /// It was said to have no end.
    Never,
    At(Timestamp),
}

impl Expiry {
    pub fn at(self) -> Option<Timestamp> {
        match self {
            Self::At(instant) => Some(instant),
            Self::Unknown | Self::Never => None,
        }
    }

    /// This knowledge, or `other` where there is none.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if self == Self::Unknown { other } else { self }
    }
}

/// The units of a Prometheus duration, largest first: each may appear once, in this order.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads a duration as Prometheus writes it: `30s`, `5m`, `1h30m`, `10d`. None for anything else.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|n| *n > 0)?;
        let amount: u64 = rest[..digits].parse().ok()?;
        let after = &rest[digits..];
        let unit_length = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (_, milliseconds) = units.find(|(name, _)| *name == &after[..unit_length])?;
        total = total.checked_add(amount.checked_mul(*milliseconds)?)?;
        rest = &after[unit_length..];
    }
    if text.is_empty() { None } else { Some(Duration::from_millis(total)) }
}

/// Writes a duration as Prometheus does, shortest exact form: `1h`, `90s` becomes `1m30s`.
pub fn format_duration(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if left == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (name, milliseconds) in UNITS {
        // Years and weeks only where they come out even: "10d" reads better than "1w3d".
        let exact_only = matches!(name, "y" | "w");
        if left >= milliseconds && (!exact_only || left.is_multiple_of(milliseconds)) {
            text.push_str(&format!("{}{name}", left / milliseconds));
            left %= milliseconds;
        }
    }
    text
}

/// Reads an offset from UTC: `+02:00`, `-03:30`. None for anything else.
pub fn parse_offset(text: &str) -> Option<FixedOffset> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let number = |part: &str, most: i32| {
        let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<i32>().ok().filter(|n| digits && *n <= most)
    };
    FixedOffset::east_opt(sign * (number(hours, 14)? * 3600 + number(minutes, 59)? * 60))
}
