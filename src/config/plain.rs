//! A quick way through plain YAML: the events of the parser, with the same places, for text that
//! needs no parser.
//!
//! Configurations with many accounts are written by programs, line by line: block lists and
//! mappings, words, quoted texts without escapes, flow collections that end on their line. This
//! reader knows no more than that. At the first line that could mean anything else (a tab, an
//! anchor, a tag, a text of several lines, an error) it gives up, and the parser begins anew. Tests
//! of `yaml` compare what comes of both.

use std::borrow::Cow;

use saphyr_parser::{Event, ScalarStyle};

use super::problem::At;

/// A key this long is left to the parser.
const MAX_KEY: usize = 128;
/// Flow collections this deep are left to the parser.
const MAX_DEPTH: usize = 8;

/// Why reading ended early.
enum Stop<E> {
    /// Something that this reader does not know.
    Unknown,
    /// Whoever took the events wants no more.
    Refused(E),
}

impl<E> From<E> for Stop<E> {
    fn from(error: E) -> Self {
        Self::Refused(error)
    }
}

/// A list or mapping whose members begin in a certain column, from 0.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    List(usize),
    Map(usize),
}

impl Block {
    fn indent(self) -> usize {
        match self {
            Self::List(indent) | Self::Map(indent) => indent,
        }
    }
}

struct Line<'t> {
    text: &'t str,
    number: u32,
    /// Its bytes are its characters.
    ascii: bool,
}

impl Line<'_> {
    fn at(&self, byte: usize) -> At {
        let before =
            if self.ascii { byte } else { self.text.get(..byte).map_or(byte, |text| text.chars().count()) };
        At { line: self.number, column: u32::try_from(before + 1).unwrap_or(u32::MAX) }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    /// The first place from `at` on that holds no blank.
    fn past_blanks(&self, at: usize) -> usize {
        let rest = self.text.as_bytes().get(at..).unwrap_or_default();
        at + rest.iter().take_while(|b| **b == b' ').count()
    }

    fn part(&self, from: usize, to: usize) -> Option<&str> {
        self.text.get(from..to)
    }
}

struct Reader<'f, 't, E> {
    take: &'f mut dyn FnMut(Event<'t>, At) -> Result<(), E>,
    open: Vec<Block>,
    /// A key whose value may stand on the next lines.
    waiting: Option<At>,
    /// A text that is a member of a list, if it does not go on in the next line.
    held: Option<(Event<'t>, At)>,
    /// The document's start has been marked, and its first value has begun.
    marked: bool,
    begun: bool,
}

/// Hands the events of `text` to `take`, without those around the document. False: there is
/// something in it that this reader does not know; whatever was complete before that line is right.
pub(super) fn read<'t, E>(
    text: &'t str,
    take: &mut dyn FnMut(Event<'t>, At) -> Result<(), E>,
) -> Result<bool, E> {
    let mut reader =
        Reader { take, open: Vec::new(), waiting: None, held: None, marked: false, begun: false };
    match reader.document(text) {
        Ok(()) => Ok(true),
        Err(Stop::Unknown) => Ok(false),
        Err(Stop::Refused(error)) => Err(error),
    }
}

impl<'t, E> Reader<'_, 't, E> {
    fn document(&mut self, text: &'t str) -> Result<(), Stop<E>> {
        let mut last = At { line: 1, column: 1 };
        for (number, text) in (1..).zip(text.split('\n')) {
            let plain = text.bytes().fold((true, true), |(clean, ascii), b| {
                (clean & (b >= b' ') & (b != 0x7f), ascii & (b < 0x80))
            });
            let line = Line { text, number, ascii: plain.1 };
            if !plain.0 || (!line.ascii && text.chars().any(is_special)) {
                return Err(Stop::Unknown);
            }
            last = line.at(0);
            self.line(&line)?;
        }
        if !self.begun {
            return Err(Stop::Unknown);
        }
        self.nothing_follows()?;
        while let Some(block) = self.open.pop() {
            self.end(block, last)?;
        }
        Ok(())
    }

    fn emit(&mut self, event: Event<'t>, at: At) -> Result<(), Stop<E>> {
        (self.take)(event, at)?;
        Ok(())
    }

    fn end(&mut self, block: Block, at: At) -> Result<(), Stop<E>> {
        self.emit(if matches!(block, Block::List(_)) { Event::SequenceEnd } else { Event::MappingEnd }, at)
    }

    fn begin(&mut self, block: Block, at: At) -> Result<(), Stop<E>> {
        self.open.push(block);
        self.emit(
            if matches!(block, Block::List(_)) {
                Event::SequenceStart(0, None)
            } else {
                Event::MappingStart(0, None)
            },
            at,
        )
    }

    /// The text before is complete, and the key before has no value.
    fn nothing_follows(&mut self) -> Result<(), Stop<E>> {
        if let Some((event, at)) = self.held.take() {
            self.emit(event, at)?;
        }
        match self.waiting.take() {
            Some(at) => self.emit(Event::Scalar(Cow::Borrowed(""), ScalarStyle::Plain, 0, None), at),
            None => Ok(()),
        }
    }

    fn line(&mut self, line: &Line<'t>) -> Result<(), Stop<E>> {
        let indent = line.past_blanks(0);
        let content = line.text.get(indent..).unwrap_or("");
        if content.is_empty() || content.starts_with('#') {
            return Ok(());
        }
        if indent == 0
            && (content.starts_with("---") || content.starts_with("...") || content.starts_with('%'))
        {
            let start = content.trim_end() == "---" && !self.marked && !self.begun;
            self.marked = true;
            return if start { Ok(()) } else { Err(Stop::Unknown) };
        }
        let dash = content.starts_with("- ");
        let block = if dash { Block::List(indent) } else { Block::Map(indent) };
        let around = self.open.last().map(|block| block.indent());
        // A list may stand as far out as the key before it.
        let inside = around.is_some_and(|around| indent > around || (dash && indent == around));
        if self.waiting.is_some() && inside {
            self.waiting = None;
            // A list as far out as its key begins, to the parser, behind its first dash.
            let start = if around == Some(indent) { line.past_blanks(indent + 2) } else { indent };
            self.begin(block, line.at(start))?;
        } else if around.is_some_and(|around| indent > around) {
            return Err(Stop::Unknown);
        } else {
            self.nothing_follows()?;
            while let Some(open) = self.open.last().copied() {
                if open.indent() < indent || open == block {
                    break;
                }
                self.open.pop();
                self.end(open, line.at(0))?;
            }
            match self.open.last() {
                Some(open) if *open == block => {}
                None if indent == 0 && !self.begun => self.begin(block, line.at(0))?,
                _ => return Err(Stop::Unknown),
            }
        }
        self.begun = true;
        if !dash {
            return self.pair(line, indent);
        }
        let at = line.past_blanks(indent + 2);
        if key(line, at).is_some() {
            self.begin(Block::Map(at), line.at(at))?;
            return self.pair(line, at);
        }
        if line.byte(at).is_some_and(begins_plain) {
            let end = plain_end(line, at, false).ok_or(Stop::Unknown)?;
            let text: &'t str = line.text.get(at..end).ok_or(Stop::Unknown)?;
            self.held = Some((Event::Scalar(Cow::Borrowed(text), ScalarStyle::Plain, 0, None), line.at(at)));
            return nothing_but_a_comment(line, end);
        }
        let end = self.value(line, at, None)?;
        nothing_but_a_comment(line, end)
    }

    /// A key, and its value if that stands on the same line.
    fn pair(&mut self, line: &Line<'t>, at: usize) -> Result<(), Stop<E>> {
        let end = key(line, at).ok_or(Stop::Unknown)?;
        self.plain(line, at, end)?;
        let at = line.past_blanks(end + 1);
        if matches!(line.byte(at), None | Some(b'#')) {
            self.waiting = Some(line.at(at));
            return Ok(());
        }
        let end = self.value(line, at, None)?;
        nothing_but_a_comment(line, end)
    }

    /// A value that ends on its line; within flow collections, so many are open around it. Returns
    /// where it ends.
    fn value(&mut self, line: &Line<'t>, at: usize, flow: Option<usize>) -> Result<usize, Stop<E>> {
        match line.byte(at) {
            Some(open @ (b'[' | b'{')) => self.flow(line, at, open, flow.unwrap_or(0) + 1),
            Some(quote @ (b'"' | b'\'')) => self.quoted(line, at, quote),
            Some(first) if begins_plain(first) => {
                let end = plain_end(line, at, flow.is_some()).ok_or(Stop::Unknown)?;
                self.plain(line, at, end)?;
                Ok(end)
            }
            _ => Err(Stop::Unknown),
        }
    }

    fn plain(&mut self, line: &Line<'t>, from: usize, to: usize) -> Result<(), Stop<E>> {
        self.scalar(line, from, from, to, ScalarStyle::Plain)
    }

    fn scalar(
        &mut self,
        line: &Line<'t>,
        at: usize,
        from: usize,
        to: usize,
        style: ScalarStyle,
    ) -> Result<(), Stop<E>> {
        let text: &'t str = line.text.get(from..to).ok_or(Stop::Unknown)?;
        self.emit(Event::Scalar(Cow::Borrowed(text), style, 0, None), line.at(at))
    }

    fn quoted(&mut self, line: &Line<'t>, at: usize, quote: u8) -> Result<usize, Stop<E>> {
        let rest = line.text.as_bytes().get(at + 1..).unwrap_or_default();
        let length =
            rest.iter().position(|b| *b == quote || (*b == b'\\' && quote == b'"')).ok_or(Stop::Unknown)?;
        let end = at + 1 + length;
        // An escape, or a quote that is doubled.
        if line.byte(end) != Some(quote) || line.byte(end + 1) == Some(quote) {
            return Err(Stop::Unknown);
        }
        let style = if quote == b'"' { ScalarStyle::DoubleQuoted } else { ScalarStyle::SingleQuoted };
        self.scalar(line, at, at + 1, end, style)?;
        Ok(end + 1)
    }

    fn flow(&mut self, line: &Line<'t>, at: usize, open: u8, depth: usize) -> Result<usize, Stop<E>> {
        if depth > MAX_DEPTH {
            return Err(Stop::Unknown);
        }
        let map = open == b'{';
        let close = if map { b'}' } else { b']' };
        let (start, end) = if map {
            (Event::MappingStart(0, None), Event::MappingEnd)
        } else {
            (Event::SequenceStart(0, None), Event::SequenceEnd)
        };
        self.emit(start, line.at(at))?;
        let mut at = line.past_blanks(at + 1);
        if line.byte(at) != Some(close) {
            loop {
                if map {
                    let end = key(line, at).ok_or(Stop::Unknown)?;
                    self.plain(line, at, end)?;
                    at = line.past_blanks(end + 1);
                }
                at = line.past_blanks(self.value(line, at, Some(depth))?);
                match line.byte(at) {
                    Some(b',') => at = line.past_blanks(at + 1),
                    Some(b) if b == close => break,
                    _ => return Err(Stop::Unknown),
                }
            }
        }
        self.emit(end, line.at(at))?;
        Ok(at + 1)
    }
}

/// What is no letter, digit or sign to everybody who reads YAML.
fn is_special(c: char) -> bool {
    !c.is_ascii()
        && (c.is_control() || c.is_whitespace() || matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}'))
}

fn begins_plain(first: u8) -> bool {
    first.is_ascii_alphanumeric()
        || first >= 0x80
        || matches!(first, b'_' | b'/' | b'.' | b'+' | b'(' | b'$' | b'=' | b';' | b'^' | b'~')
}

/// Where a plain word ends that is a key: at a colon with a blank or nothing behind it.
fn key(line: &Line<'_>, at: usize) -> Option<usize> {
    let rest = line.text.as_bytes().get(at..)?;
    let length = rest
        .iter()
        .take(MAX_KEY)
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        .count();
    let begins = rest.first().is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let ends = rest.get(length) == Some(&b':') && matches!(rest.get(length + 1), None | Some(b' '));
    let null = matches!(line.part(at, at + length), Some("null" | "Null" | "NULL"));
    (begins && ends && !null).then_some(at + length)
}

/// Where a plain text ends; none where it could be something else.
fn plain_end(line: &Line<'_>, at: usize, flow: bool) -> Option<usize> {
    let bytes = line.text.as_bytes();
    let mut end = at;
    for (place, byte) in bytes.iter().enumerate().skip(at) {
        match byte {
            b' ' => continue,
            b'#' if end < place => return (!flow).then_some(end),
            b':' if matches!(bytes.get(place + 1), None | Some(b' ')) => return None,
            b':' if flow && matches!(bytes.get(place + 1), Some(b',' | b'[' | b']' | b'{' | b'}')) => {
                return None;
            }
            b',' | b']' | b'}' if flow => return Some(end),
            b'[' | b'{' if flow => return None,
            _ => end = place + 1,
        }
    }
    (!flow).then_some(end)
}

fn nothing_but_a_comment<E>(line: &Line<'_>, at: usize) -> Result<(), Stop<E>> {
    let next = line.past_blanks(at);
    match line.byte(next) {
        None => Ok(()),
        Some(b'#') if next > at => Ok(()),
        Some(_) => Err(Stop::Unknown),
    }
}
