//! The people who receive mails, and what that means for the accounts.

use std::ops::Range;

use chrono::{FixedOffset, Offset as _, TimeZone as _, Weekday};
use chrono_tz::Tz;
use hashbrown::HashMap;

use super::builder::NOBODY;
use super::texts::escape;
use super::{AccountView, Inventory};
use crate::model::{Language, Timestamp};

/// The days on which people work unless they say otherwise.
const WORKING_DAYS: [Weekday; 5] = [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri];
/// The end of a day in minutes.
const MIDNIGHT: u16 = 24 * 60;
/// When a digest is sent at the earliest, in minutes after midnight.
const DIGEST_FROM: u16 = 8 * 60;

/// Somebody who receives mails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    pub mail: String,
    /// As in `connected_by`.
    pub name: Option<String>,
    /// Whether one digest a day takes the place of single mails.
    pub daily: bool,
    pub time_zone: Option<Tz>,
    pub language: Option<Language>,
    /// The days on which mails come, in the order of a week.
    pub days: Option<Vec<Weekday>>,
    /// When mails come on these days, in minutes after midnight.
    pub hours: Option<Range<u16>>,
}

impl Person {
    pub fn zone(&self) -> Tz {
        self.time_zone.unwrap_or(Tz::UTC)
    }

    /// The days and the time of day at which single mails come. None: at any time.
    pub fn working_hours(&self) -> Option<(&[Weekday], Range<u16>)> {
        if self.days.is_none() && self.hours.is_none() {
            return None;
        }
        Some((self.working_days(), self.hours.clone().unwrap_or(0..MIDNIGHT)))
    }

    /// When the digest is sent: on these days, within these minutes after midnight.
    pub fn digest_hours(&self) -> (&[Weekday], Range<u16>) {
        (self.working_days(), self.hours.clone().unwrap_or(DIGEST_FROM..MIDNIGHT))
    }

    fn working_days(&self) -> &[Weekday] {
        self.days.as_deref().unwrap_or(&WORKING_DAYS)
    }
}

/// The people, and what follows for each list of recipients in which one of them is.
#[derive(Clone, Debug, Default)]
pub(super) struct People {
    people: Vec<Person>,
    /// By the number of the list's word.
    lists: HashMap<u32, Recipients>,
}

/// A list of recipients of whom some are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipients {
    /// Who gets single mails, separated by commas.
    pub single: String,
    /// The label `notify`: the same, escaped; or `none`.
    pub label: String,
    /// Who takes the digest.
    pub digest: Vec<String>,
    /// That of all who get single mails, if they have the same.
    pub language: Option<Language>,
    /// Of the first one who gets single mails and has one.
    pub time_zone: Option<Tz>,
    /// The name of the only one who gets single mails.
    pub name: Option<String>,
}

impl Recipients {
    /// None if nobody of the list is known.
    fn new(list: &str, people: &HashMap<String, &Person>) -> Option<Self> {
        let known = |mail: &str| people.get(&mail.to_ascii_lowercase()).copied();
        let all = || list.split(',').filter(|mail| !mail.is_empty()).map(|mail| (mail, known(mail)));
        all().find_map(|(_, person)| person)?;
        let takes_digest = |person: &Option<&Person>| person.is_some_and(|person| person.daily);
        let (digest, single): (Vec<_>, Vec<_>) = all().partition(|(_, person)| takes_digest(person));
        let language = |(_, person): &(_, Option<&Person>)| person.and_then(|person| person.language);
        let first = single.first().and_then(language);
        let joined = single.iter().map(|(mail, _)| *mail).collect::<Vec<_>>().join(",");
        Some(Self {
            label: if single.is_empty() { NOBODY.to_owned() } else { escape(&joined).into_owned() },
            single: joined,
            digest: digest.into_iter().map(|(mail, _)| mail.to_owned()).collect(),
            language: first.filter(|_| single.iter().all(|one| language(one) == first)),
            time_zone: single.iter().find_map(|(_, person)| person.and_then(|person| person.time_zone)),
            name: match single.as_slice() {
                [(_, Some(person))] => person.name.clone(),
                _ => None,
            },
        })
    }

    /// The offset of the time zone from UTC at a time.
    pub fn offset_at(&self, at: Timestamp) -> Option<FixedOffset> {
        Some(self.time_zone?.offset_from_utc_datetime(&at.utc().naive_utc()).fix())
    }

    /// The name of the time zone, and its offset from UTC in seconds at a time.
    pub fn time_zone_at(&self, at: Timestamp) -> Option<(&'static str, i32)> {
        Some((self.time_zone?.name(), self.offset_at(at)?.local_minus_utc()))
    }
}

impl Inventory {
    /// The same accounts, of which these people get the mails.
    #[must_use]
    pub fn with_people(mut self, people: Vec<Person>) -> Self {
        let by_mail: HashMap<String, &Person> =
            people.iter().map(|person| (person.mail.to_ascii_lowercase(), person)).collect();
        let mut lists = HashMap::new();
        if !people.is_empty() {
            let mut words: Vec<u32> = self.accounts.iter().map(|row| row.notify).collect();
            words.sort_unstable();
            words.dedup();
            for word in words {
                lists.extend(Recipients::new(self.words.plain(word), &by_mail).map(|list| (word, list)));
            }
        }
        drop(by_mail);
        self.people = People { people, lists };
        self
    }

    pub fn people(&self) -> &[Person] {
        &self.people.people
    }
}

impl<'a> AccountView<'a> {
    /// What is known of its recipients; none if nobody of them is known.
    pub fn recipients(&self) -> Option<&'a Recipients> {
        self.inventory.people.lists.get(&self.row.notify)
    }

    /// Who gets single mails about it, separated by commas.
    pub fn notify_single(&self) -> &'a str {
        self.recipients().map_or_else(|| self.notify(), |recipients| &recipients.single)
    }

    /// Who is told about it in a digest.
    pub fn notify_digest(&self) -> &'a [String] {
        self.recipients().map_or(&[], |recipients| &recipients.digest)
    }

    /// The language of its single mails, if it is known.
    pub fn language(&self) -> Option<Language> {
        self.settings().language.or_else(|| self.recipients()?.language)
    }

    /// Whether its single mails go to the person who connected it, and to nobody else.
    pub fn reader_is_connector(&self) -> bool {
        let reader = self.recipients().and_then(|recipients| recipients.name.as_deref());
        reader.is_some() && reader == self.credential().and_then(|credential| credential.connected_by())
    }
}
