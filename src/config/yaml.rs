//! Reads YAML into trees whose values know their line and column.
//!
//! The trees are built from the parser's events, not with serde: deserializing stops at the first
//! error, quotes values (tokens among them) in its messages, and turns an unquoted id into a
//! number. Here scalars keep the text that was written.
//!
//! Reading stops as soon as a limit is exceeded, so that a hostile file costs little. The members of
//! the long lists at the top of a document are handed out one by one: a million accounts are never
//! in memory as trees.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use super::ahead::ahead;
use super::findings::Position;
use super::mistakes;
use super::validator::NOWHERE;

pub(super) const MAX_FILE_BYTES: u64 = 64 << 20;

pub(super) struct TreeLimits {
    /// Maximum depth. The deepest value of a configuration is five levels down.
    pub(super) depth: usize,
    /// Maximum number of values that anchors and aliases copy.
    copies: usize,
    /// Maximum number of values in all. A file of 64 MiB could hold more than fit into memory.
    pub(super) values: usize,
}

pub(super) const LIMITS: TreeLimits = TreeLimits { depth: 32, copies: 1_000_000, values: 8_000_000 };

/// A value, whose texts may stand in the file's text.
#[derive(Clone, Debug)]
pub(super) struct Node<'t> {
    pub(super) at: Position,
    pub(super) value: Value<'t>,
}

#[derive(Clone, Debug)]
pub(super) enum Value<'t> {
    /// Nothing, `~` or `null`, unquoted.
    Null,
    /// The text of a number, id or boolean, too: only its reader knows what it is meant to be.
    Scalar(Cow<'t, str>),
    List(Vec<Node<'t>>),
    /// In the order of the file; duplicate keys are kept.
    Map(Vec<(Key<'t>, Node<'t>)>),
}

impl Node<'_> {
    /// The same value with its own texts, but not as it stands in this text.
    pub(super) fn without_positions(&self) -> Node<'static> {
        let text = |text: &str| Cow::Owned(text.to_owned());
        let value = match &self.value {
            Value::Null => Value::Null,
            Value::Scalar(scalar) => Value::Scalar(text(scalar)),
            Value::List(items) => Value::List(items.iter().map(Node::without_positions).collect()),
            Value::Map(entries) => {
                let nowhere = |key: &Key<'_>| Key { at: NOWHERE, text: text(&key.text) };
                let entries = entries.iter().map(|(key, node)| (nowhere(key), node.without_positions()));
                Value::Map(entries.collect())
            }
        };
        Node { at: NOWHERE, value }
    }
}

impl Value<'_> {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Scalar(_) => "a single value",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Key<'t> {
    pub(super) at: Position,
    pub(super) text: Cow<'t, str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct YamlError {
    /// None if the text holds nothing.
    pub(super) at: Option<Position>,
    pub(super) message: String,
    /// Whether the parser did not understand the text.
    pub(super) syntax: bool,
}

pub(super) type Result<T> = std::result::Result<T, YamlError>;

pub(super) fn error(at: Position, message: impl Into<String>) -> YamlError {
    YamlError { at: Some(at), message: message.into(), syntax: false }
}

/// The section name of a list that is the document itself.
pub(super) const ROOT: &str = "";

/// A member of a long list at the top of a document.
pub(super) struct Member<'t> {
    /// The key of the list, or [`ROOT`].
    pub(super) section: &'static str,
    pub(super) index: usize,
    pub(super) node: Node<'t>,
}

/// Reads the one document in `text`. The members of the lists named by `sections` go to `each`, in
/// order, and are left out of the tree. A list with an anchor stays whole, as do those under a key
/// that occurred before.
pub(super) fn parse(
    text: &str,
    sections: &[&'static str],
    each: &mut dyn FnMut(Member<'static>),
) -> Result<Node<'static>> {
    parse_within(text, &LIMITS, sections, each).map_err(|e| mistakes::explained(text, e))
}

fn parse_within(
    text: &str,
    limits: &TreeLimits,
    sections: &[&'static str],
    each: &mut dyn FnMut(Member<'static>),
) -> Result<Node<'static>> {
    let mut builder = TreeBuilder {
        limits,
        sections,
        each,
        open: Vec::new(),
        root: None,
        anchors: HashMap::new(),
        values: 0,
        copies: 0,
    };
    let mut built = Ok(());
    let read = ahead(
        |send| events(text, limits, send),
        |(event, at)| {
            built = builder.take(event, at);
            built.is_ok()
        },
    );
    built.and(read)?;
    let empty = YamlError { at: None, message: "is empty".to_owned(), syntax: false };
    builder.root.filter(|root| !matches!(root.value, Value::Null)).ok_or(empty)
}

/// Gives each event to `send`, which returns false if no more are wanted.
fn events<'t>(
    text: &'t str,
    limits: &TreeLimits,
    send: &mut dyn FnMut((Event<'t>, Position)) -> bool,
) -> Result<()> {
    // Faster than `new_from_str`, which makes room for 128 characters of each text.
    let mut parser = Parser::new_from_iter(text.strip_prefix('\u{feff}').unwrap_or(text).chars());
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|e| syntax_error(&e, limits))?;
        if let Event::Scalar(scalar, ScalarStyle::Plain, ..) = &event
            && let Some(mistake) = mistakes::swallowed_key(text, scalar, &span)
        {
            return Err(mistake);
        }
        if !send((event, position(span.start))) {
            break;
        }
    }
    Ok(())
}

fn position(mark: Marker) -> Position {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Position { line: number(mark.line()), column: number(mark.col()).saturating_add(1) }
}

/// Of the parser's messages, only that of an unexpected character quotes the text.
fn syntax_error(e: &ScanError, limits: &TreeLimits) -> YamlError {
    let at = position(*e.marker());
    match e.info() {
        info if info.starts_with("recursion limit") => limits.too_deep(at),
        info if info.starts_with("unexpected character") => {
            error(at, "a value that begins with %, @ or ` must be put in quotes")
        }
        info if info.contains("unknown anchor") => {
            error(at, "an alias without an anchor (text that begins with * must be put in quotes)")
        }
        info => {
            let message = match info {
                _ if info.contains("quoted scalar") => "the quotes that begin here do not end".to_owned(),
                _ if info.contains("mapping values") => {
                    "is not YAML: a text that holds \": \" must be put in quotes".to_owned()
                }
                _ => format!("is not YAML: {info}"),
            };
            YamlError { syntax: true, ..error(at, message) }
        }
    }
}

impl TreeLimits {
    pub(super) fn too_deep(&self, at: Position) -> YamlError {
        error(at, format!("is nested deeper than {} levels", self.depth))
    }

    pub(super) fn too_many_values(&self, at: Position) -> YamlError {
        error(at, format!("holds more than {} values", self.values))
    }

    fn too_many_copies(&self, at: Position) -> YamlError {
        let message = format!(
            "aliases stand for more than {} values in this file; use fewer of them, or write the values out",
            self.copies
        );
        error(at, message)
    }

    /// The number of values in a tree that is `depth` levels down. An error if aliases have made it
    /// too deep.
    fn size(&self, node: &Node<'_>, depth: usize) -> Result<usize> {
        if depth > self.depth {
            return Err(self.too_deep(node.at));
        }
        let mut total = 1;
        match &node.value {
            Value::Null | Value::Scalar(_) => {}
            Value::List(items) => {
                for item in items {
                    total += self.size(item, depth + 1)?;
                }
            }
            Value::Map(entries) => {
                for (_, value) in entries {
                    total += 1 + self.size(value, depth + 1)?;
                }
            }
        }
        Ok(total)
    }
}

/// A list or mapping whose end has not been reached.
struct OpenNode {
    at: Position,
    anchor: usize,
    value: Value<'static>,
    /// The key whose value comes next.
    key: Option<Key<'static>>,
    /// Set if the members are handed out: the section, and the index of the next member.
    section: Option<(&'static str, usize)>,
}

struct TreeBuilder<'l> {
    limits: &'l TreeLimits,
    sections: &'l [&'static str],
    each: &'l mut dyn FnMut(Member<'static>),
    open: Vec<OpenNode>,
    root: Option<Node<'static>>,
    /// What each anchor stands for, and its number of values.
    anchors: HashMap<usize, (Node<'static>, usize)>,
    values: usize,
    copies: usize,
}

impl TreeBuilder<'_> {
    /// The section that begins here, if its members are to be handed out.
    fn section(&self, anchor: usize) -> Option<&'static str> {
        let name = match self.open.as_slice() {
            [] => ROOT,
            [OpenNode { anchor: 0, value: Value::Map(entries), key: Some(key), .. }]
                if entries.iter().all(|(k, _)| k.text != key.text) =>
            {
                &*key.text
            }
            _ => return None,
        };
        self.sections.iter().copied().find(|section| *section == name && anchor == 0)
    }

    fn take(&mut self, event: Event<'_>, at: Position) -> Result<()> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(error(at, "a second YAML document begins here; one file holds one document"))
            }
            // Most lists have one member. Vectors grow to twice their length at most from there.
            Event::SequenceStart(anchor, tag) => {
                self.start(at, anchor, tag.as_deref(), Value::List(Vec::with_capacity(1)))
            }
            Event::MappingStart(anchor, tag) => {
                self.start(at, anchor, tag.as_deref(), Value::Map(Vec::with_capacity(1)))
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(done) = self.open.pop() else { return Ok(()) };
                self.add(Node { at: done.at, value: done.value }, done.anchor)
            }
            Event::Scalar(text, style, anchor, tag) => {
                check_tag(at, tag.as_deref())?;
                let null = style == ScalarStyle::Plain
                    && tag.as_deref().is_none_or(|t| t.suffix == "null")
                    && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if null { Value::Null } else { Value::Scalar(Cow::Owned(text.into_owned())) };
                self.add(Node { at, value }, anchor)
            }
            Event::Alias(anchor) => {
                let (node, size) = match self.anchors.get(&anchor) {
                    Some((_, size)) if self.copies.saturating_add(*size) > self.limits.copies => {
                        return Err(self.limits.too_many_copies(at));
                    }
                    Some((node, size)) => (node.clone(), *size),
                    None => return Err(error(at, "an alias inside the value that it refers to")),
                };
                self.copies += size;
                self.values += size;
                self.add(node, 0)
            }
            // The stream and the first document begin or end.
            _ => Ok(()),
        }
    }

    fn start(&mut self, at: Position, anchor: usize, tag: Option<&Tag>, value: Value<'static>) -> Result<()> {
        check_tag(at, tag)?;
        if self.open.len() >= self.limits.depth {
            return Err(self.limits.too_deep(at));
        }
        let section = if matches!(value, Value::List(_)) { self.section(anchor) } else { None };
        let section = section.map(|section| (section, 0));
        self.open.push(OpenNode { at, anchor, value, key: None, section });
        Ok(())
    }

    /// Adds a complete value to the list or mapping around it.
    fn add(&mut self, node: Node<'static>, anchor: usize) -> Result<()> {
        self.values += 1;
        if self.values > self.limits.values {
            return Err(self.limits.too_many_values(node.at));
        }
        if anchor != 0 {
            // The copy that is kept counts, too: the sizes of nested anchors multiply.
            let size = self.limits.size(&node, self.open.len())?;
            self.copies = self.copies.saturating_add(size);
            if self.copies > self.limits.copies {
                return Err(self.limits.too_many_copies(node.at));
            }
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(OpenNode { section: Some((section, next)), .. }) => {
                let index = *next;
                *next += 1;
                (self.each)(Member { section, index, node });
            }
            Some(OpenNode { value: Value::List(items), .. }) => items.push(node),
            Some(OpenNode { value: Value::Map(entries), key, .. }) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => {
                    let text = match node.value {
                        Value::Scalar(text) => text,
                        Value::Null => "~".into(),
                        Value::List(_) | Value::Map(_) => {
                            return Err(error(node.at, "a key must be a single word, not a list or mapping"));
                        }
                    };
                    *key = Some(Key { at: node.at, text });
                }
            },
            Some(_) => {}
        }
        Ok(())
    }
}

/// Tags of the core schema are harmless. Others ask for types that do not exist here.
fn check_tag(at: Position, tag: Option<&Tag>) -> Result<()> {
    let harmless = |t: &Tag| {
        (t.is_yaml_core_schema()
            && matches!(&*t.suffix, "str" | "int" | "float" | "bool" | "null" | "seq" | "map"))
            || (t.handle.is_empty() && t.suffix == "!")
    };
    if tag.is_none_or(harmless) {
        return Ok(());
    }
    Err(error(at, "tags (!…) are not supported; put text that begins with ! in quotes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: TreeLimits = TreeLimits { depth: 4, copies: 10, values: 20 };

    fn refused(text: &str) -> Option<String> {
        parse_within(text, &SMALL, &[], &mut |_| {}).err().map(|e| e.message)
    }

    #[test]
    fn limits_hold_exactly() {
        let too_deep = Some("is nested deeper than 4 levels".to_owned());
        assert_eq!(refused("[[[[x]]]]"), None);
        assert_eq!(refused("[[[[[x]]]]]"), too_deep);
        let chain = parse_within(
            "{a: &a [[x]], b: &b [*a], c: &c [*b]}",
            &TreeLimits { copies: 100, ..SMALL },
            &[],
            &mut |_| {},
        );
        assert_eq!(chain.err().map(|e| e.message), too_deep);
        assert_eq!(refused("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19]"), None);
        assert_eq!(
            refused("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]").as_deref(),
            Some("holds more than 20 values")
        );
        assert_eq!(refused("[&a [x], *a, *a, *a, *a]"), None);
        assert!(
            refused("[&a [x], *a, *a, *a, *a, *a]")
                .is_some_and(|m| m.starts_with("aliases stand for more than 10 values"))
        );
    }

    #[test]
    fn members_of_sections_are_handed_out() {
        let handed_out = |text: &str, sections: &[&'static str]| {
            let mut members = Vec::new();
            let root = parse(text, sections, &mut |m| members.push((m.section, m.index, m.node.at.line)));
            (members, root.map(|root| format!("{root:?}").matches("Scalar").count()).ok())
        };
        let text = "a:\n- x\n- [y]\nb: [z]\na:\n- again\n";
        assert_eq!(handed_out(text, &["a"]), (vec![("a", 0, 2), ("a", 1, 3)], Some(2)));
        assert_eq!(handed_out("a: &x [y]\nb: *x\n", &["a", "b"]), (vec![], Some(2)));
        assert_eq!(handed_out("- a: [x]\n- y\n", &["a"]), (vec![], Some(2)));
        assert_eq!(handed_out("- a: [x]\n- y\n", &["a", ROOT]), (vec![(ROOT, 0, 1), (ROOT, 1, 2)], Some(0)));
        assert_eq!(handed_out("a: [x, y\nb", &["a"]).1, None);
    }
}
