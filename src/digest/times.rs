//! Dates in the languages of mails.

use chrono::{Datelike as _, Timelike as _};
use chrono_tz::Tz;

use crate::model::Timestamp;
use crate::wording::Catalogue;

/// A time in a zone, as the sentence `format` of the catalogue orders its parts. `days` and `months`
/// are sentences that list their names.
fn written(words: &Catalogue, zone: Tz, at: Timestamp, format: &str, days: &str, months: &str) -> String {
    let local = at.utc().with_timezone(&zone);
    let name = |list: &str, index: u32| {
        let names: Vec<&str> = words.sentence(list).split_whitespace().collect();
        names.get(index as usize).copied().unwrap_or_default().to_owned()
    };
    let month = name(months, local.month0());
    words.say(
        format,
        &[
            ("weekday", &name(days, local.weekday().num_days_from_monday())),
            ("day", &local.day().to_string()),
            ("month", &month),
            ("year", &local.year().to_string()),
            ("time", &format!("{:02}:{:02}", local.hour(), local.minute())),
        ],
    )
}

/// With the year.
pub(super) fn date(words: &Catalogue, zone: Tz, at: Timestamp) -> String {
    written(words, zone, at, "mail.date", "mail.weekdays", "mail.months")
}

/// Short, without the year.
pub(super) fn date_short(words: &Catalogue, zone: Tz, at: Timestamp) -> String {
    written(words, zone, at, "mail.date_short", "mail.weekdays_short", "mail.months_short")
}

/// The day alone.
pub(super) fn day(words: &Catalogue, zone: Tz, at: Timestamp) -> String {
    written(words, zone, at, "mail.date_day", "mail.weekdays", "mail.months")
}
