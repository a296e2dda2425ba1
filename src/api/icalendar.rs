//! Writes calendars (RFC 5545): events without a duration, folded lines, escaped texts.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};

use crate::model::{Timestamp, escape_bidi};

#[derive(Debug)]
pub(super) struct Calendar {
    out: String,
    empty: bool,
}

/// An event at a point in time. It does not show as busy.
#[derive(Clone, Debug)]
pub(super) struct Event<'a> {
    /// Stays the same each time that the calendar is made: see [`uid`].
    pub uid: &'a str,
    /// When the calendar was made.
    pub stamp: Timestamp,
    pub at: Timestamp,
    pub summary: &'a str,
    pub description: &'a str,
    pub url: Option<&'a str>,
}

impl Calendar {
    /// A calendar without events. `product` is the part of this program that makes it, `name` is
    /// shown to people.
    pub(super) fn new(product: &str, name: &str) -> Self {
        let mut calendar = Self { out: String::new(), empty: true };
        calendar.put("BEGIN", "VCALENDAR");
        calendar.put("VERSION", "2.0");
        calendar.put("PRODID", &format!("-//token_exporter//{product}//EN"));
        calendar.put("CALSCALE", "GREGORIAN");
        calendar.put("METHOD", "PUBLISH");
        calendar.put("X-WR-CALNAME", &escaped(name));
        calendar
    }

    pub(super) fn event(&mut self, event: &Event<'_>) {
        self.empty = false;
        self.put("BEGIN", "VEVENT");
        self.put("UID", event.uid);
        self.put("DTSTAMP", &instant(event.stamp));
        self.put("DTSTART", &instant(event.at));
        self.put("SUMMARY", &escaped(event.summary));
        self.put("DESCRIPTION", &escaped(event.description));
        if let Some(url) = event.url {
            self.put("URL", url);
        }
        self.put("TRANSP", "TRANSPARENT");
        self.put("END", "VEVENT");
    }

    pub(super) fn end(&mut self) {
        if self.empty {
            // A calendar must have at least one component.
            for (name, value) in [
                ("BEGIN", "VTIMEZONE"),
                ("TZID", "UTC"),
                ("BEGIN", "STANDARD"),
                ("DTSTART", "19700101T000000"),
                ("TZOFFSETFROM", "+0000"),
                ("TZOFFSETTO", "+0000"),
                ("END", "STANDARD"),
                ("END", "VTIMEZONE"),
            ] {
                self.put(name, value);
            }
        }
        self.put("END", "VCALENDAR");
    }

    /// The number of bytes that were not taken yet.
    pub(super) fn pending(&self) -> usize {
        self.out.len()
    }

    /// Takes what was written since the last call.
    pub(super) fn take(&mut self) -> String {
        std::mem::take(&mut self.out)
    }

    fn put(&mut self, name: &str, value: &str) {
        fold(&mut self.out, &format!("{name}:{value}"));
    }
}

/// A UID from the values that identify an event.
pub(super) fn uid(identity: &[&str]) -> String {
    let hash = digest(&SHA256, identity.join("\n").as_bytes());
    let mut uid = String::new();
    for byte in hash.as_ref().iter().take(16) {
        let _ = write!(uid, "{byte:02x}");
    }
    uid + "@token-exporter"
}

fn instant(at: Timestamp) -> String {
    at.utc().format("%Y%m%dT%H%M%SZ").to_string()
}

/// A text value (RFC 5545, section 3.3.11).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in escape_bidi(text).chars() {
        match c {
            '\\' | ';' | ',' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() && c != '\t' => {}
            c => out.push(c),
        }
    }
    out
}

/// Appends a content line (RFC 5545, section 3.1). After 75 octets it continues on the next line
/// behind a space. No character is split.
fn fold(out: &mut String, line: &str) {
    const OCTETS: usize = 75;
    let mut used = 0;
    for c in line.chars() {
        if used + c.len_utf8() > OCTETS {
            out.push_str("\r\n ");
            used = 1;
        }
        out.push(c);
        used += c.len_utf8();
    }
    out.push_str("\r\n");
}
