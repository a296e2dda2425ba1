//! Texts that come from elsewhere, for people to read.

use std::borrow::Cow;
use std::fmt::Write as _;

use ring::digest::{SHA256, digest};

/// The characters of Unicode's property `Bidi_Control`.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with bidirectional control characters written as `\u{202e}`. Unescaped, they reorder the
/// text around them, and one name can be made to look like another.
pub fn escape_bidi(text: &str) -> Cow<'_, str> {
    // Most texts are ASCII, which has none.
    if text.is_ascii() || !text.contains(is_bidi_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        // Writing to a string does not fail.
        let _ = if is_bidi_control(c) { write!(out, "{}", c.escape_unicode()) } else { out.write_char(c) };
    }
    Cow::Owned(out)
}

/// A hash of an id that is the same on every machine and in every version.
pub fn stable_hash(id: &str) -> u64 {
    let hash = digest(&SHA256, id.as_bytes());
    hash.as_ref().iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}
