//! Connections as CSV (RFC 4180) for spreadsheets. Every value is quoted, and none is taken for a
//! formula.

use bytes::Bytes;

use super::{Connection, Matches};
use crate::model::{Expiry, Language, Timestamp, escape_bidi};

/// Approximate size of a chunk, in bytes.
const CHUNK: usize = 64 << 10;

/// The beginnings of formulas. Spreadsheets of some languages also read the full-width signs.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '＝', '＋', '－', '＠', '\t', '\r', '\n'];

type Field = fn(&mut Lines, &Connection<'_>, Timestamp);

static COLUMNS: &[(&str, Field)] = &[
    ("account", |out, c, _| out.text(c.account.id())),
    ("name", |out, c, _| out.text(c.account.name())),
    ("network", |out, c, _| out.text(c.account.network().name())),
    ("kind", |out, c, _| out.text(c.account.kind())),
    ("use", |out, c, _| out.text(c.account.purpose().label())),
    ("state", |out, c, now| out.text(c.state(now).label())),
    ("reasons", |out, c, _| out.list(c.reasons().map(|r| r.info().label))),
    ("meaning", |out, c, _| out.text(c.reasons().next().map_or("", |r| r.info().meaning))),
    ("fixed_by", |out, c, _| out.text(c.reasons().next().map_or("", |r| r.info().fixed_by.text()))),
    ("since", |out, c, _| out.instant(c.account_state.since)),
    ("stops", |out, c, _| out.list(c.stops().map(|s| s.label()))),
    ("deadline", |out, c, _| out.instant(c.deadline_ahead().and_then(Expiry::at))),
    ("next_use", |out, c, _| out.instant(c.account.next_use())),
    ("connected_by", |out, c, _| out.text(c.credential.connected_by().unwrap_or(""))),
    ("reconnect_url", |out, c, _| out.text(c.reconnect_url().unwrap_or_default())),
    ("credential", |out, c, _| out.text(c.credential.id())),
    ("app", |out, c, _| out.text(c.account.app_id())),
    ("external_id", |out, c, _| out.text(c.account.external_id())),
    ("labels", |out, c, _| out.list(c.account.labels().map(|(name, value)| format!("{name}={value}")))),
    ("notify", |out, c, _| out.list(c.notify())),
    ("digest", |out, c, _| out.list(c.account.notify_digest().iter())),
    ("language", |out, c, _| out.text(c.account.language().map_or("", Language::code))),
    ("last_probe", |out, c, _| out.instant(c.credential_state.last_probe)),
    ("last_conclusive_probe", |out, c, _| out.instant(c.account_state.last_conclusive)),
    ("cause", |out, c, _| out.text(c.cause().map_or("", |t| t.label()))),
];

/// Writes the connections that match, in chunks. The first begins with the header line.
pub fn write_csv(mut matches: Matches) -> impl Iterator<Item = Bytes> + Send {
    let mut head = Some(());
    std::iter::from_fn(move || {
        let mut out = Lines(String::with_capacity(CHUNK + 4096));
        if head.take().is_some() {
            // Without a byte order mark, Excel does not read UTF-8.
            out.0.push('\u{feff}');
            for (name, _) in COLUMNS {
                out.text(name);
            }
            out.end();
        }
        while out.0.len() < CHUNK
            && let Some(account) = matches.next()
        {
            let now = matches.listing.at;
            if let Some(connection) = matches.listing.connection(account) {
                for (_, field) in COLUMNS {
                    field(&mut out, &connection, now);
                }
                out.end();
            }
        }
        (!out.0.is_empty()).then(|| out.0.into())
    })
}

struct Lines(String);

impl Lines {
    fn text(&mut self, text: &str) {
        let text = escape_bidi(text);
        self.0.push('"');
        // Spreadsheets take a value that begins like this for a formula, unless an apostrophe precedes it.
        if text.starts_with(FORMULA) {
            self.0.push('\'');
        }
        for (i, part) in text.split('"').enumerate() {
            if i > 0 {
                self.0.push_str("\"\"");
            }
            self.0.push_str(part);
        }
        self.0.push_str("\",");
    }

    fn list(&mut self, values: impl Iterator<Item = impl AsRef<str>>) {
        let values: Vec<_> = values.collect();
        self.text(&values.iter().map(AsRef::as_ref).collect::<Vec<_>>().join("; "));
    }

    fn instant(&mut self, at: Option<Timestamp>) {
        self.text(&at.map_or_else(String::new, |t| t.to_string()));
    }

    /// Replaces the last comma by a line break.
    fn end(&mut self) {
        self.0.pop();
        self.0.push_str("\r\n");
    }
}
