//! Reads JSON into the same trees as YAML.
//!
//! Written for this program: serde does not tell where a value stands, and copies every text.

use std::borrow::Cow;

use super::ahead::ahead;
use super::findings::Position;
use super::validator::NOWHERE;
use super::yaml::{Key, LIMITS, Member, Node, ROOT, Result, Value, error};

/// Reads the document in `text`. The members of the lists named by `sections` go to `each`, in
/// order, and are left out of the tree. `placed`: values know where they stand.
pub(super) fn parse<'t>(
    text: &'t str,
    placed: bool,
    sections: &[&'static str],
    each: &mut dyn FnMut(Member<'t>),
) -> Result<Node<'t>> {
    let read = |send: &mut dyn FnMut(Member<'t>) -> bool| {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = Reader { text, placed, line: 1, ..Reader::default() };
        let root = reader.document(sections, &mut |member| _ = send(member))?;
        reader.end()?;
        Ok(root)
    };
    ahead(read, |member| {
        each(member);
        true
    })
}

/// Whether a byte stands for itself in a text, and for a whole character.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x20;
    while byte < 0x80 {
        plain[byte] = byte != b'"' as usize && byte != b'\\' as usize;
        byte += 1;
    }
    plain
};

#[derive(Default)]
pub(super) struct Reader<'t> {
    text: &'t str,
    /// Whether values know where they stand.
    placed: bool,
    /// The next byte.
    at: usize,
    line: u32,
    /// Where the line begins, or would if all its characters so far had one byte.
    line_start: usize,
    values: usize,
    /// The members of all objects that have begun.
    entries: Vec<(Key<'t>, Node<'t>)>,
    /// The members of all lists that have begun.
    items: Vec<Node<'t>>,
}

impl<'t> Reader<'t> {
    /// Reads a text that holds one value and begins in this line.
    pub(super) fn tree(&mut self, text: &'t str, line: u32) -> Result<Node<'t>> {
        let (mut entries, mut items) = (std::mem::take(&mut self.entries), std::mem::take(&mut self.items));
        entries.clear();
        items.clear();
        *self = Self { text, placed: true, line, entries, items, ..Self::default() };
        let root = self.value(0)?;
        self.end()?;
        Ok(root)
    }

    fn position(&self) -> Position {
        let column = u32::try_from(self.at - self.line_start + 1).unwrap_or(u32::MAX);
        Position { line: self.line, column }
    }

    /// The position of a value.
    fn place(&self) -> Position {
        if self.placed { self.position() } else { NOWHERE }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no blank.
    fn next(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b'\n') => {
                    self.at += 1;
                    self.line = self.line.saturating_add(1);
                    self.line_start = self.at;
                }
                Some(b' ' | b'\t' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    fn wrong<T>(&self, expected: &str) -> Result<T> {
        let found = if self.peek().is_some() { "" } else { "ends too early: " };
        Err(error(self.position(), format!("is not JSON: {found}expected {expected}")))
    }

    /// An error if anything follows.
    fn end(&mut self) -> Result<()> {
        if self.next().is_some() { self.wrong("nothing more") } else { Ok(()) }
    }

    /// The value of a whole document.
    fn document(&mut self, sections: &[&'static str], each: &mut dyn FnMut(Member<'t>)) -> Result<Node<'t>> {
        let section = |name: &str| sections.iter().copied().find(|section| *section == name);
        let mut list = |reader: &mut Self, name: &str, depth: usize| {
            let Some(section) = section(name).filter(|_| reader.next() == Some(b'[')) else {
                return reader.value(depth);
            };
            let (at, mut index) = (reader.place(), 0);
            reader.list(depth, |_, node| {
                each(Member { section, index, node });
                index += 1;
            })?;
            Ok(Node { at, value: Value::List(Vec::new()) })
        };
        if self.next() != Some(b'{') {
            return list(self, ROOT, 0);
        }
        let at = self.place();
        let entries = self.object(0, |reader, key| {
            // A section that occurs again stays whole, as a duplicate key.
            let again = reader.entries.iter().any(|(known, _)| known.text == *key);
            list(reader, if again { "\n" } else { key }, 1)
        })?;
        Ok(Node { at, value: Value::Map(entries) })
    }

    /// The value that comes next, inside of so many others.
    fn value(&mut self, depth: usize) -> Result<Node<'t>> {
        let first = self.next();
        let at = self.place();
        self.values += 1;
        if self.values > LIMITS.values {
            return Err(LIMITS.too_many_values(at));
        }
        let value = match first {
            Some(b'{') => Value::Map(self.object(depth, |reader, _| reader.value(depth + 1))?),
            Some(b'[') => {
                let start = self.items.len();
                self.list(depth, |reader, node| reader.items.push(node))?;
                Value::List(self.items.split_off(start))
            }
            Some(b'"') => Value::Scalar(self.string()?),
            Some(b'-' | b'0'..=b'9') => Value::Scalar(Cow::Borrowed(self.number()?)),
            _ => match self.text[self.at..].split(|c: char| !c.is_ascii_alphabetic()).next() {
                Some("null") => {
                    self.at += 4;
                    Value::Null
                }
                Some(word @ ("true" | "false")) => {
                    self.at += word.len();
                    Value::Scalar(Cow::Borrowed(word))
                }
                _ => return self.wrong("a value (texts are in double quotes)"),
            },
        };
        Ok(Node { at, value })
    }

    /// The members of an object; `value` reads the one of a key.
    fn object(
        &mut self,
        depth: usize,
        mut value: impl FnMut(&mut Self, &str) -> Result<Node<'t>>,
    ) -> Result<Vec<(Key<'t>, Node<'t>)>> {
        let start = self.entries.len();
        self.members(depth, b'}', |reader| {
            let at = reader.place();
            if reader.peek() != Some(b'"') {
                return reader.wrong("a key in double quotes");
            }
            reader.values += 1;
            let text = reader.string()?;
            if reader.next() != Some(b':') {
                return reader.wrong("a colon");
            }
            reader.at += 1;
            let node = value(reader, &text)?;
            reader.entries.push((Key { at, text }, node));
            Ok(())
        })?;
        Ok(self.entries.split_off(start))
    }

    fn list(&mut self, depth: usize, mut each: impl FnMut(&mut Self, Node<'t>)) -> Result<()> {
        self.members(depth, b']', |reader| {
            let node = reader.value(depth + 1)?;
            each(reader, node);
            Ok(())
        })
    }

    /// Reads what stands between brackets and is separated by commas.
    fn members(
        &mut self,
        depth: usize,
        close: u8,
        mut read: impl FnMut(&mut Self) -> Result<()>,
    ) -> Result<()> {
        if depth >= LIMITS.depth {
            return Err(LIMITS.too_deep(self.position()));
        }
        self.at += 1;
        if self.next() == Some(close) {
            self.at += 1;
            return Ok(());
        }
        loop {
            read(self)?;
            match self.next() {
                Some(b',') => {
                    self.at += 1;
                    self.next();
                }
                Some(end) if end == close => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.wrong(&format!("a comma or {}", char::from(close))),
            }
        }
    }

    /// The text that begins with the next quote.
    fn string(&mut self) -> Result<Cow<'t, str>> {
        let begin = self.position();
        self.at += 1;
        let mut start = self.at;
        let mut text = String::new();
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            self.at += rest.iter().position(|byte| !PLAIN[usize::from(*byte)]).unwrap_or(rest.len());
            match self.peek() {
                Some(b'"') => {
                    let rest = &self.text[start..self.at];
                    self.at += 1;
                    if text.is_empty() {
                        return Ok(Cow::Borrowed(rest));
                    }
                    return Ok(Cow::Owned(text + rest));
                }
                Some(b'\\') => {
                    text += &self.text[start..self.at];
                    text.push(self.escape()?);
                    start = self.at;
                }
                Some(..b' ') => return self.wrong("an escape like \\n instead of a control character"),
                // Only the first byte of a character takes a column.
                Some(byte) => {
                    self.at += 1;
                    self.line_start += usize::from(byte & 0xc0 == 0x80);
                }
                None => return Err(error(begin, "is not JSON: the quotes that begin here do not end")),
            }
        }
    }

    /// The character for which the escape at the next backslash stands.
    fn escape(&mut self) -> Result<char> {
        let plain = match self.text.as_bytes().get(self.at + 1) {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(*byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.code_point(),
            _ => return self.wrong("one of the escapes that JSON has"),
        };
        self.at += 2;
        Ok(plain)
    }

    /// The character of an escape with hexadecimal digits, or of two that are a surrogate pair.
    fn code_point(&mut self) -> Result<char> {
        let unit = |at: usize| {
            let digits = self.text.get(at..at + 6)?.strip_prefix("\\u")?;
            let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            u16::from_str_radix(digits, 16).ok().filter(|_| hexadecimal)
        };
        let units = [unit(self.at), unit(self.at + 6)];
        let mut characters = char::decode_utf16(units.into_iter().flatten());
        match characters.next() {
            Some(Ok(character)) if units[0].is_some() => {
                self.at += 6 * character.len_utf16();
                Ok(character)
            }
            _ => self.wrong("\\u with four digits, of which no half of a pair stands alone"),
        }
    }

    /// The text of the next number.
    fn number(&mut self) -> Result<&'t str> {
        let start = self.at;
        let skip = |reader: &mut Self, bytes: &[u8]| {
            let found = reader.peek().is_some_and(|byte| bytes.contains(&byte));
            reader.at += usize::from(found);
            found
        };
        let digits = |reader: &mut Self| {
            let before = reader.at;
            while skip(reader, b"0123456789") {}
            if reader.at > before { Ok(()) } else { reader.wrong("a digit") }
        };
        skip(self, b"-");
        if !skip(self, b"0") {
            digits(self)?;
        }
        if skip(self, b".") {
            digits(self)?;
        }
        if skip(self, b"eE") {
            skip(self, b"+-");
            digits(self)?;
        }
        Ok(&self.text[start..self.at])
    }
}
