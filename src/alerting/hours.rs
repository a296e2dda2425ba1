//! Working hours: people whose mails wait until they work.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use chrono::Weekday;

use super::alertmanager::quoted;
use super::schedule::{DAY, LONGEST};
use super::template::fill;
use crate::inventory::Person;
use crate::model::format_duration;

const ROUTES: &str = include_str!("templates/hours.route.yml.tmpl");

/// A day and a week, in minutes.
const MINUTES: u64 = DAY / 60;
const WEEK: u64 = 7 * MINUTES;

/// The longest time without mails, in minutes. Alerts end after [`LONGEST`]: what is held back for
/// longer would never be mailed.
const LONGEST_PAUSE: u64 = LONGEST / 60 - 6 * 60;

/// People with the same working hours.
struct Hours<'a> {
    days: &'a [Weekday],
    times: Range<u16>,
    zone: &'static str,
    people: Vec<&'a str>,
}

/// The section `time_intervals` and the routes that use it; both are empty if nobody has hours.
pub(super) fn hours(people: &[Person], interval: Duration, losses: &str, wait: &str) -> (String, String) {
    let (held, others): (Vec<_>, Vec<_>) =
        groups(people).into_iter().partition(|hours| hours.longest_pause() <= LONGEST_PAUSE);
    let (mut intervals, mut routes) = (String::new(), String::new());
    for hours in others {
        let people = hours.people.join(", ");
        _ = writeln!(
            intervals,
            "# Mails come at any time, as alerts do not last until the next hours: {people}"
        );
    }
    if !held.is_empty() {
        intervals += "time_intervals:\n";
    }
    for (i, hours) in held.iter().enumerate() {
        let name = format!("hours-{}", i + 1);
        _ = writeln!(intervals, "{}", hours.interval(&name));
        let values = [
            ("NAME", name.as_str()),
            ("RECIPIENTS", &quoted(&recipients(&hours.people))),
            ("GROUP_INTERVAL", &format_duration(interval)),
            ("LOSSES", losses),
            ("WAIT", wait),
        ];
        routes += &fill(ROUTES, &values);
    }
    if !intervals.is_empty() {
        intervals.push('\n');
    }
    (intervals, routes)
}

/// People who get single mails, by their hours.
fn groups(people: &[Person]) -> Vec<Hours<'_>> {
    let mut groups: Vec<Hours<'_>> = Vec::new();
    for person in people.iter().filter(|person| !person.daily) {
        let Some((days, times)) = person.working_hours() else { continue };
        let zone = person.zone().name();
        let same = |group: &&mut Hours<'_>| group.days == days && group.times == times && group.zone == zone;
        match groups.iter_mut().find(same) {
            Some(group) => group.people.push(&person.mail),
            None => groups.push(Hours { days, times, zone, people: vec![&person.mail] }),
        }
    }
    groups
}

impl Hours<'_> {
    fn interval(&self, name: &str) -> String {
        let days: Vec<&str> = self.days.iter().map(|day| day_name(*day)).collect();
        let time = |minutes: u16| format!("'{:02}:{:02}'", minutes / 60, minutes % 60);
        let times = match self.times.clone() {
            Range { start: 0, end } if u64::from(end) == MINUTES => String::new(),
            Range { start, end } => {
                format!("\n        times: [{{start_time: {}, end_time: {}}}]", time(start), time(end))
            }
        };
        format!(
            "  - name: {name}\n    time_intervals:\n      - weekdays: [{}]{times}\n        location: {}",
            days.join(", "),
            self.zone
        )
    }

    /// The longest time between two working days' hours, in minutes.
    fn longest_pause(&self) -> u64 {
        let at = |day: &Weekday, minutes: u16| {
            u64::from(day.num_days_from_monday()) * MINUTES + u64::from(minutes)
        };
        let next = self.days.iter().cycle().skip(1);
        let pause = |(day, next): (&Weekday, &Weekday)| {
            let (end, start) = (at(day, self.times.end), at(next, self.times.start));
            if start >= end { start - end } else { start + WEEK - end }
        };
        self.days.iter().zip(next).map(pause).max().unwrap_or(0)
    }
}

fn day_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "monday",
        Weekday::Tue => "tuesday",
        Weekday::Wed => "wednesday",
        Weekday::Thu => "thursday",
        Weekday::Fri => "friday",
        Weekday::Sat => "saturday",
        Weekday::Sun => "sunday",
    }
}

/// A regular expression for lists that consist of these people only, in a matcher's double quotes.
fn recipients(people: &[&str]) -> String {
    let escaped = |mail: &&str| {
        let escaped = |c: char| match c {
            '@' | '-' | '_' => c.to_string(),
            c if c.is_alphanumeric() => c.to_string(),
            '^' | '\\' | '"' | ']' => format!("\\\\x{{{:x}}}", u32::from(c)),
            c => format!("[{c}]"),
        };
        mail.chars().map(escaped).collect::<String>()
    };
    let one = format!("({})", people.iter().map(escaped).collect::<Vec<_>>().join("|"));
    format!("(?i){one}(,{one})*")
}
