//! Who takes the digest, and when.

use chrono::{Datelike as _, NaiveDate, Timelike as _};

use crate::inventory::Person;
use crate::model::Timestamp;

/// Those who want one mail a day; or the one with the address `only`, who need not be among `people`.
pub fn recipients(people: &[Person], only: Option<&str>) -> Vec<Person> {
    let Some(mail) = only else {
        return people.iter().filter(|person| person.daily).cloned().collect();
    };
    let known = people.iter().find(|person| person.mail.eq_ignore_ascii_case(mail));
    let stranger = || Person { mail: mail.to_owned(), ..Person::default() };
    vec![known.cloned().unwrap_or_else(stranger)]
}

/// Where a person is in the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// The day in the person's time zone.
    pub date: NaiveDate,
    /// Whether mails may come now.
    pub open: bool,
}

impl Day {
    pub fn of(person: &Person, now: Timestamp) -> Self {
        let local = now.utc().with_timezone(&person.zone());
        let (days, hours) = person.digest_hours();
        let minutes = u16::try_from(local.hour() * 60 + local.minute()).unwrap_or(0);
        Self { date: local.date_naive(), open: days.contains(&local.weekday()) && hours.contains(&minutes) }
    }
}
