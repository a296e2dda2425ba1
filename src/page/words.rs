//! Times, numbers and labels in words.

use maud::{Markup, html};

use crate::model::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// The distance of a time from now: "in 4 days", "3 hours ago".
pub(super) fn distance(now: Timestamp, at: Timestamp) -> String {
    let seconds = at.since(now);
    let away = seconds.abs();
    let (count, unit) = match away {
        0..MINUTE => return if seconds <= 0 { "just now".to_owned() } else { "in a moment".to_owned() },
        MINUTE..HOUR => (away / MINUTE, "minute"),
        HOUR..DAY => (away / HOUR, "hour"),
        _ => (away / DAY, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    if seconds < 0 { format!("{count} {unit}{plural} ago") } else { format!("in {count} {unit}{plural}") }
}

/// A date, with the time of day if it is near.
pub(super) fn date(now: Timestamp, at: Timestamp) -> Markup {
    let near = at.since(now).abs() < 2 * DAY;
    time(at, if near { "%-d %b %Y, %H:%M" } else { "%-d %b %Y" })
}

/// A time in UTC. The script of the page rewrites it with the same precision in the reader's zone.
pub(super) fn time(at: Timestamp, format: &str) -> Markup {
    let full = at.utc().format("%-d %b %Y, %H:%M UTC");
    html! { time datetime=(at) title=(full) { (at.utc().format(format)) } }
}

pub(super) fn instant(now: Timestamp, at: Timestamp) -> Markup {
    html! { (date(now, at)) " " span.far { "(" (distance(now, at)) ")" } }
}

/// A label in words: "Password changed".
pub(super) fn words(label: &str) -> String {
    let mut text = label.replace('_', " ");
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// "1 account", "1,000 accounts".
pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{} {what}{}", number(count), if count == 1 { "" } else { "s" })
}

/// A number with commas between thousands.
pub(super) fn number(count: usize) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A list in words: "a, b and c".
pub(super) fn and(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
