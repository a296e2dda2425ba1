//! AccountTexts of text, written fast: what the formats look like below a sample. Knows no account.
//!
//! A sample is a handful of short texts. Copying each by its own length takes a call and a guess at
//! that length; in steps of fixed length it takes a few instructions. So what stands behind a
//! [`Piece`] is copied along, and overwritten by what comes next.

use super::Format;
use crate::inventory::{Piece, escape};

/// A text with room behind it.
pub(super) struct Padded {
    text: String,
    len: usize,
}

impl Padded {
    pub(super) fn new(text: &str) -> Self {
        Self { text: format!("{text:LONG$}"), len: text.len() }
    }

    pub(super) fn piece(&self) -> Piece<'_> {
        Piece::new(&self.text, 0, self.len)
    }
}

/// Ids, networks.
const SHORT: usize = 32;
/// Unix seconds, until 2286.
const INSTANT: usize = 10;
/// Names of families.
const LONG: usize = 64;

/// Copies a piece that is hardly ever longer than [`SHORT`].
#[inline]
pub(super) fn put_short(out: &mut Vec<u8>, piece: Piece<'_>) {
    put::<SHORT>(out, piece);
}

/// Copies a piece that is hardly ever longer than [`LONG`].
#[inline]
pub(super) fn put_long(out: &mut Vec<u8>, piece: Piece<'_>) {
    put::<LONG>(out, piece);
}

#[inline]
fn put<const STEP: usize>(out: &mut Vec<u8>, piece: Piece<'_>) {
    let (bytes, len) = piece.onwards();
    match bytes.first_chunk::<STEP>() {
        Some(step) if len <= STEP => {
            let end = out.len() + len;
            out.extend_from_slice(step);
            out.truncate(end);
        }
        _ => out.extend_from_slice(bytes.get(..len).unwrap_or(bytes)),
    }
}

pub(super) fn write_label(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    write_escaped(out, value);
    out.push(b'"');
}

pub(super) fn write_escaped(out: &mut Vec<u8>, value: &str) {
    let mut escaped = String::with_capacity(value.len() + 8);
    escape(&mut escaped, value);
    out.extend_from_slice(escaped.as_bytes());
}

#[inline]
pub(super) fn write_integer(out: &mut Vec<u8>, value: i64) {
    let mut buffer = itoa::Buffer::new();
    // An instant, nearly always.
    put::<INSTANT>(out, buffer.format(value).into());
}

pub(super) fn write_float(out: &mut Vec<u8>, value: f64) {
    let text = if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        value.to_string()
    };
    out.extend_from_slice(text.as_bytes());
}

/// The comments before a family's samples.
pub(super) fn write_header(out: &mut Vec<u8>, format: Format, name: &str, help: &str, kind: &str) {
    let (name, kind) = match (format, kind) {
        (Format::OpenMetrics, "counter") => (name.strip_suffix("_total").unwrap_or(name), kind),
        (Format::OpenMetrics, "info") => (name.strip_suffix("_info").unwrap_or(name), kind),
        (Format::Text, "info") => (name, "gauge"),
        _ => (name, kind),
    };
    out.extend_from_slice(format!("# HELP {name} ").as_bytes());
    let mut escaped = String::new();
    for c in help.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '"' if format == Format::OpenMetrics => escaped.push_str("\\\""),
            c => escaped.push(c),
        }
    }
    out.extend_from_slice(escaped.as_bytes());
    out.extend_from_slice(format!("\n# TYPE {name} {kind}\n").as_bytes());
    if format == Format::OpenMetrics && name.ends_with("_seconds") {
        out.extend_from_slice(format!("# UNIT {name} seconds\n").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_ends_where_it_ends_however_it_is_copied() {
        let text = "0123456789abcdefghijklmnopqrstuvwxyz".repeat(8);
        for len in [0, 1, SHORT - 1, SHORT, SHORT + 1, LONG, LONG + 1, 150] {
            for behind in [0, 1, SHORT, LONG] {
                let mut out = b"before".to_vec();
                let piece = Piece::new(&text[..7 + len + behind], 7, len);
                put_short(&mut out, piece);
                put_long(&mut out, piece);
                let whole = &text[7..7 + len];
                assert_eq!(piece.as_str(), whole);
                assert_eq!(out, format!("before{whole}{whole}").into_bytes(), "{len} with {behind} behind");
            }
        }
        assert_eq!(Padded::new("name").piece().as_str(), "name");
    }
}
