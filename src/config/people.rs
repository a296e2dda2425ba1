//! Who receives mails, and how: the section `people`.

use std::ops::Range;

use chrono::Weekday;
use chrono_tz::{TZ_VARIANTS, Tz};

use super::field::{Field, Mapping};
use super::keys;
use super::quoting::shown;
use super::validator::Rows;
use crate::inventory::Person;
use crate::model::Language;

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Mon),
    ("tue", Weekday::Tue),
    ("wed", Weekday::Wed),
    ("thu", Weekday::Thu),
    ("fri", Weekday::Fri),
    ("sat", Weekday::Sat),
    ("sun", Weekday::Sun),
];
const MINUTES_OF_A_DAY: u16 = 24 * 60;

/// Adds a person to those that are known already.
pub(super) fn person(field: &Field<'_>, known: &mut Vec<Person>) {
    let Some(mapping) = field.mapping(&[keys::PERSON]) else { return };
    let mail = mapping.required("mail").and_then(|f| match f.mail_address()? {
        mail if known.iter().any(|other| other.mail.eq_ignore_ascii_case(mail)) => {
            f.reject(format!("{} is already among the people", shown(mail)))
        }
        mail => Some(mail.to_owned()),
    });
    let name = mapping.get("name").and_then(|f| f.text()).map(str::to_owned);
    let daily = mapping.get("mails").and_then(|f| {
        f.word(&["immediate", "daily"], |word| match word {
            "immediate" => Some(false),
            "daily" => Some(true),
            _ => None,
        })
    });
    let time_zone = mapping.get("time_zone").and_then(|f| time_zone(&f));
    let language = mapping.get("language").and_then(|f| language(&f));
    let days = days(&mapping);
    let hours = mapping.get("hours").and_then(|f| hours(&f));
    if let Some(mail) = mail {
        known.push(Person { mail, name, daily: daily == Some(true), time_zone, language, days, hours });
    }
}

/// A name of the IANA time zone database.
fn time_zone(field: &Field<'_>) -> Option<Tz> {
    let text = field.scalar("a time zone such as Europe/Berlin")?;
    text.parse().ok().or_else(|| {
        let hint = field.findings.hint(text, TZ_VARIANTS.iter().map(|zone| zone.name()));
        field.reject(format!("{} is not a time zone such as Europe/Berlin or UTC{hint}", shown(text)))
    })
}

/// The language of a code or locale: `de`, `de-AT`, `de_AT.UTF-8`.
fn language_of(text: &str) -> Option<Language> {
    let code = text.split(['-', '_', '.']).next().unwrap_or(text);
    Language::from_label(&code.to_ascii_lowercase())
}

fn language(field: &Field<'_>) -> Option<Language> {
    let codes: Vec<&str> = Language::ALL.iter().map(|language| language.code()).collect();
    field.word(&codes, language_of)
}

/// The language of an account. Users of a product that lists its accounts may speak others than mails
/// do, and get them in English.
pub(super) fn account_language(field: &Field<'_>, rows: Rows) -> Option<Language> {
    match rows {
        Rows::Written => language(field),
        Rows::Listed | Rows::Stored => Some(language_of(field.id()?).unwrap_or_default()),
    }
}

/// The days in the order of a week.
fn days(mapping: &Mapping<'_>) -> Option<Vec<Weekday>> {
    let list = mapping.get("days")?;
    if list.is_list() && !list.has_items() {
        return list.reject("is empty; leave the key out for mon to fri");
    }
    let mut days = Vec::new();
    for item in list.items() {
        let names = DAYS.map(|(name, _)| name);
        let day = item.word(&names, |word| Some(DAYS.iter().find(|(name, _)| *name == word)?.1));
        match day {
            Some(day) if days.contains(&day) => item.problem("this day is listed twice"),
            day => days.extend(day),
        }
    }
    days.sort_unstable_by_key(Weekday::num_days_from_monday);
    Some(days).filter(|days| !days.is_empty())
}

/// `08:00-18:00`, in minutes after midnight.
fn hours(field: &Field<'_>) -> Option<Range<u16>> {
    let text = field.scalar("hours such as 08:00-18:00")?;
    let read = |text: &str| {
        let number = |part: &str| {
            let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
            part.parse::<u16>().ok().filter(|_| digits)
        };
        let (hour, minute) = text.split_once(':')?;
        let (hour, minute) = (number(hour)?, number(minute).filter(|minute| *minute < 60)?);
        Some(hour * 60 + minute).filter(|minutes| *minutes <= MINUTES_OF_A_DAY)
    };
    let hours = text
        .split_once('-')
        .and_then(|(from, until)| Some(read(from.trim_end())?..read(until.trim_start())?));
    match hours {
        None => {
            field.reject(format!("{} is not a time of day; expected hours such as 08:00-18:00", shown(text)))
        }
        Some(hours) if hours.is_empty() => field.reject(format!(
            "{} ends before it begins; expected hours of one day such as 08:00-18:00",
            shown(text)
        )),
        hours => hours,
    }
}
