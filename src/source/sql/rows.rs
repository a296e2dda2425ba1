//! Rows as JSON.

use std::io::Write;

use secrecy::zeroize::Zeroizing;
use serde_json::{Number, Value};

use super::error;
use crate::config::SqlSettings;
use crate::model::Wiped;
use crate::source::listing::Listing;
use crate::source::retry::Failed;

/// The row that exceeds this ends a page.
const PAGE_BYTES: usize = 1 << 20;
const START: &str = "{\"accounts\":[";
const END: &str = "]}";

/// The rows of an answer, as they arrive.
pub(super) struct Rows {
    /// The names of the columns, as JSON with a colon.
    names: Vec<String>,
    pages: Vec<Zeroizing<String>>,
    page: Page,
    rows: usize,
    bytes: usize,
    max_rows: usize,
    max_bytes: usize,
}

impl Rows {
    pub(super) fn new<'n>(
        columns: impl Iterator<Item = &'n str>,
        settings: &SqlSettings,
    ) -> Result<Self, Failed> {
        let mut names = Vec::new();
        for name in columns {
            let name = format!("{}:", Value::from(name));
            if names.contains(&name) {
                return Err(error(format!(
                    "two columns of the query are named {}",
                    name.trim_end_matches(':')
                )));
            }
            names.push(name);
        }
        if names.is_empty() {
            return Err(error("the query returns no columns; expected a SELECT statement"));
        }
        let (max_rows, max_bytes) = (settings.max_rows, settings.max_bytes);
        Ok(Self { names, pages: Vec::new(), page: Page::default(), rows: 0, bytes: 0, max_rows, max_bytes })
    }

    /// Adds a row, whose values come in the order of the columns. Nulls are left out.
    pub(super) fn add(&mut self, values: impl Iterator<Item = Result<Value, Failed>>) -> Result<(), Failed> {
        self.rows += 1;
        if self.rows > self.max_rows {
            return Err(error(format!("the query returns more than {} rows", self.max_rows)));
        }
        let before = self.page.0.len();
        self.page.push(if before == 0 { START } else { "," });
        let mut separator = "{";
        for (name, value) in self.names.iter().zip(values) {
            let value = Wiped(value?);
            if !value.0.is_null() {
                self.page.push(separator);
                self.page.push(name);
                serde_json::to_writer(&mut self.page, &value.0).map_err(|_| error("a value is no JSON"))?;
                separator = ",";
            }
        }
        self.page.push(if separator == "{" { "{}" } else { "}" });
        self.bytes += self.page.0.len() - before;
        if self.bytes > self.max_bytes {
            return Err(error(format!("the rows take more than {} bytes", self.max_bytes)));
        }
        if self.page.0.len() > PAGE_BYTES {
            self.end_page();
        }
        Ok(())
    }

    fn end_page(&mut self) {
        self.page.push(END);
        let bytes = std::mem::take(&mut *self.page.0);
        // Always valid: JSON is written in UTF-8.
        self.pages.extend(String::from_utf8(bytes).map(Zeroizing::new).ok());
    }

    pub(super) fn finish(mut self) -> Listing {
        if self.page.0.is_empty() && self.pages.is_empty() {
            self.page.push(START);
        }
        if !self.page.0.is_empty() {
            self.end_page();
        }
        Listing { pages: self.pages }
    }
}

/// Bytes that leave no copies behind when they grow.
#[derive(Default)]
struct Page(Zeroizing<Vec<u8>>);

impl Page {
    fn push(&mut self, text: &str) {
        self.extend(text.as_bytes());
    }

    fn extend(&mut self, bytes: &[u8]) {
        if self.0.len() + bytes.len() > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(2 * (self.0.len() + bytes.len())));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A number. One whose digits JSON's readers could round stays a text.
pub(super) fn number(text: &str) -> Value {
    if let Ok(number) = text.parse::<i64>() {
        return number.into();
    }
    if let Ok(number) = text.parse::<u64>() {
        return number.into();
    }
    let number = text.parse().ok().filter(|_| text.len() <= 16).and_then(Number::from_f64);
    number.map_or_else(|| text.into(), Value::Number)
}

/// A date or time as databases write it, in the form of RFC 3339; UTC where it has no zone. Null for
/// PostgreSQL's `infinity` and MySQL's zero date; other texts stay as they are.
pub(super) fn time(text: &str) -> Value {
    if text.ends_with("infinity") || text.starts_with("0000-00-00") {
        return Value::Null;
    }
    let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, "00:00:00"));
    if date.len() != 10 || !date.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        return text.into();
    }
    let (clock, zone) = time.split_at(time.find(['+', '-', 'Z']).unwrap_or(time.len()));
    let zone = match zone.len() {
        0 => "Z".to_owned(),
        3 => format!("{zone}:00"),
        _ => zone.to_owned(),
    };
    format!("{date}T{clock}{zone}").into()
}

/// Bytes as hexadecimal digits.
pub(super) fn digits(bytes: &[u8]) -> Value {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

/// The error for a column that holds bytes.
pub(super) fn binary(column: &str, instead: &str) -> Failed {
    error(format!("the column {column} holds bytes, which are no text; {instead} turns them into one"))
}
