//! YAML into a tree that knows where everything stands, within limits that a hostile or broken file cannot pass.
//!
//! A tree of our own, because deserializing stops at the first problem, tells its place but not its neighbours',
//! quotes values (tokens among them) in its errors, and reads an unquoted id as a number. Here scalars stay
//! the text that was written.
//!
//! The parser is fed event by event and dropped at the first limit passed, so that deep nesting costs nothing.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use super::problem::At;

/// A larger file is not read.
pub(super) const MAX_BYTES: u64 = 64 << 20;
/// The contract's deepest path has five levels.
const MAX_DEPTH: usize = 32;
/// So many values may be made by aliases.
const MAX_COPIES: usize = 1_000_000;
/// So many values in all; 64 MiB can hold more commas than memory holds values.
const MAX_VALUES: usize = 8_000_000;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node<'t> {
    pub(super) at: At,
    pub(super) value: Value<'t>,
}

/// A value. Whether a scalar is a number, an id or a truth value is for its reader to say.
#[derive(Clone, Debug)]
pub(super) enum Value<'t> {
    /// Nothing, `~` or `null`, unquoted.
    Null,
    Scalar(Cow<'t, str>),
    List(Vec<Node<'t>>),
    /// Keys as they were written, also those that stand twice.
    Map(Vec<(Key<'t>, Node<'t>)>),
}

impl Value<'_> {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Scalar(_) => "a single value",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// A key and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Key<'t> {
    pub(super) at: At,
    pub(super) text: Cow<'t, str>,
}

/// Why there is no tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: Option<At>,
    pub(super) message: String,
}

fn fault(at: At, message: impl Into<String>) -> Fault {
    Fault { at: Some(at), message: message.into() }
}

/// A list or mapping that is still open.
struct Open<'t> {
    at: At,
    anchor: usize,
    value: Value<'t>,
    key: Option<Key<'t>>,
}

/// The one document in `text`.
pub(super) fn parse(text: &str) -> Result<Node<'_>, Fault> {
    let mut parser = Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut builder = Builder { open: Vec::new(), root: None, anchors: HashMap::new(), values: 0, copies: 0 };
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|e| unreadable(&e))?;
        builder.take(event, place(span.start))?;
    }
    let empty = Fault { at: None, message: "is empty".to_owned() };
    builder.root.filter(|root| !matches!(root.value, Value::Null)).ok_or(empty)
}

fn place(mark: Marker) -> At {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    At { line: number(mark.line()), column: number(mark.col()).saturating_add(1) }
}

/// The parser's errors hold nothing of the text but one: the character that cannot begin a value.
fn unreadable(error: &ScanError) -> Fault {
    let at = place(*error.marker());
    match error.info() {
        info if info.starts_with("recursion limit") => too_deep(at),
        info if info.starts_with("unexpected character") => fault(at, "a value that begins with %, @ or ` must be put in quotes"),
        info if info.contains("unknown anchor") => fault(at, "an alias without an anchor (text that begins with * must be put in quotes)"),
        info => fault(at, format!("is not YAML: {info}")),
    }
}

fn too_deep(at: At) -> Fault {
    fault(at, format!("is nested deeper than {MAX_DEPTH} levels"))
}

struct Builder<'t> {
    open: Vec<Open<'t>>,
    root: Option<Node<'t>>,
    anchors: HashMap<usize, (Node<'t>, usize)>,
    values: usize,
    copies: usize,
}

impl<'t> Builder<'t> {
    fn take(&mut self, event: Event<'t>, at: At) -> Result<(), Fault> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(fault(at, "a second YAML document begins here; one file holds one document"))
            }
            Event::SequenceStart(anchor, tag) => self.start(at, anchor, tag.as_deref(), Value::List(Vec::new())),
            Event::MappingStart(anchor, tag) => self.start(at, anchor, tag.as_deref(), Value::Map(Vec::new())),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(done) => self.add(Node { at: done.at, value: done.value }, done.anchor),
                None => Ok(()),
            },
            Event::Scalar(text, style, anchor, tag) => {
                known_tag(at, tag.as_deref())?;
                let null = style == ScalarStyle::Plain
                    && tag.as_deref().is_none_or(|t| t.suffix == "null")
                    && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                self.add(Node { at, value: if null { Value::Null } else { Value::Scalar(text) } }, anchor)
            }
            Event::Alias(anchor) => {
                let (node, size) = match self.anchors.get(&anchor) {
                    Some((_, size)) if self.copies.saturating_add(*size) > MAX_COPIES => return Err(too_many_copies(at)),
                    Some((node, size)) => (node.clone(), *size),
                    None => return Err(fault(at, "an alias inside of what it stands for")),
                };
                self.copies += size;
                self.values += size;
                self.add(node, 0)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => Ok(()),
        }
    }

    fn start(&mut self, at: At, anchor: usize, tag: Option<&Tag>, value: Value<'t>) -> Result<(), Fault> {
        known_tag(at, tag)?;
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(at));
        }
        self.open.push(Open { at, anchor, value, key: None });
        Ok(())
    }

    /// A value is complete: it goes into what is open around it.
    fn add(&mut self, node: Node<'t>, anchor: usize) -> Result<(), Fault> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(fault(node.at, format!("holds more than {MAX_VALUES} values")));
        }
        if anchor != 0 {
            // The kept copy counts, too: anchors inside of anchors multiply.
            let size = size(&node, self.open.len())?;
            self.copies = self.copies.saturating_add(size);
            if self.copies > MAX_COPIES {
                return Err(too_many_copies(node.at));
            }
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open { value: Value::List(items), .. }) => items.push(node),
            Some(Open { value: Value::Map(entries), key, .. }) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => {
                    let text = match node.value {
                        Value::Scalar(text) => text,
                        Value::Null => Cow::Borrowed("~"),
                        Value::List(_) | Value::Map(_) => return Err(fault(node.at, "a key must be a single word, not a list or mapping")),
                    };
                    *key = Some(Key { at: node.at, text });
                }
            },
            Some(_) => {}
        }
        Ok(())
    }
}

fn too_many_copies(at: At) -> Fault {
    fault(at, format!("aliases stand for more than {MAX_COPIES} values in this file; write fewer of them, or the values themselves"))
}

/// Tags of the core schema are harmless; others ask for types that there are none of here.
fn known_tag(at: At, tag: Option<&Tag>) -> Result<(), Fault> {
    let harmless = |t: &Tag| {
        (t.is_yaml_core_schema() && matches!(&*t.suffix, "str" | "int" | "float" | "bool" | "null" | "seq" | "map"))
            || (t.handle.is_empty() && t.suffix == "!")
    };
    match tag {
        Some(tag) if !harmless(tag) => Err(fault(at, "a tag (!…) has no meaning here; put text that begins with ! in quotes")),
        _ => Ok(()),
    }
}

/// How many values a tree holds; none where aliases made it deeper than may be.
fn size(node: &Node<'_>, depth: usize) -> Result<usize, Fault> {
    if depth > MAX_DEPTH {
        return Err(too_deep(node.at));
    }
    let mut total = 1;
    match &node.value {
        Value::Null | Value::Scalar(_) => {}
        Value::List(items) => {
            for item in items {
                total += size(item, depth + 1)?;
            }
        }
        Value::Map(entries) => {
            for (_, value) in entries {
                total += 1 + size(value, depth + 1)?;
            }
        }
    }
    Ok(total)
}
