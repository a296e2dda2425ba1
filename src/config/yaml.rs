//! YAML into a tree that knows where everything stands, within limits that a hostile or broken file
//! cannot pass.
//!
//! A tree of our own, because deserializing stops at the first problem, tells its place but not its
//! neighbours', quotes values (tokens among them) in its errors, and reads an unquoted id as a
//! number. Here scalars stay the text that was written.
//!
//! The parser is fed event by event and dropped at the first limit passed, so that deep nesting
//! costs nothing. The long lists at the top of a document are handed out member by member, so that
//! a million accounts are never a tree. Plain text takes the quick way through [`plain`], which
//! gives the same events.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use super::plain;
use super::problem::At;

/// A larger file is not read.
pub(super) const MAX_BYTES: u64 = 64 << 20;

/// How large a tree may become.
struct Limits {
    /// How deep it may be. The deepest value of a configuration lies five levels down.
    depth: usize,
    /// How many values aliases may make.
    copies: usize,
    /// How many values there may be in all: 64 MiB can hold more commas than memory holds values.
    values: usize,
}

const LIMITS: Limits = Limits { depth: 32, copies: 1_000_000, values: 8_000_000 };

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
    /// Its members are handed out: under which section, and how many were already.
    section: Option<(&'static str, usize)>,
}

/// The list that is the document itself, as a section.
pub(super) const ROOT: &str = "";

/// A member of a list at the top of a document.
pub(super) struct Member<'t> {
    /// The key under which the list stands; [`ROOT`] where it is the document.
    pub(super) section: &'static str,
    /// Its place in the list, from 0.
    pub(super) index: usize,
    pub(super) node: Node<'t>,
}

/// The one document in `text`. The members of lists under `sections` are handed to `each`, in
/// order, and not kept; only a list with an anchor stays whole.
pub(super) fn parse<'t>(
    text: &'t str,
    sections: &[&'static str],
    each: &mut dyn FnMut(Member<'t>),
) -> Result<Node<'t>, Fault> {
    parse_within(text, &LIMITS, sections, each)
}

fn parse_within<'t>(
    text: &'t str,
    limits: &Limits,
    sections: &[&'static str],
    each: &mut dyn FnMut(Member<'t>),
) -> Result<Node<'t>, Fault> {
    let text = without_mark(text);
    let mut quick = Builder::new(limits, sections, 0, each);
    if plain::read(text, &mut |event, at| quick.take(event, at))? {
        return quick.finish();
    }
    // What was handed out is right; the parser goes on from there.
    let passed = quick.passed;
    by_parser(text, Builder::new(limits, sections, passed, each))
}

fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn by_parser<'t>(text: &'t str, mut builder: Builder<'_, 't>) -> Result<Node<'t>, Fault> {
    let limits = builder.limits;
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|e| unreadable(&e, limits))?;
        builder.take(event, place(span.start))?;
    }
    builder.finish()
}

/// Whether the document is a list, as far as that can be seen without reading it.
pub(super) fn is_list(text: &str) -> bool {
    let mut parser = Parser::new_from_str(without_mark(text));
    while let Some(Ok((event, _))) = parser.next_event() {
        match event {
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) => {}
            event => return matches!(event, Event::SequenceStart(..)),
        }
    }
    false
}

fn place(mark: Marker) -> At {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    At { line: number(mark.line()), column: number(mark.col()).saturating_add(1) }
}

/// The parser's errors hold nothing of the text but one: the character that cannot begin a value.
fn unreadable(error: &ScanError, limits: &Limits) -> Fault {
    let at = place(*error.marker());
    match error.info() {
        info if info.starts_with("recursion limit") => limits.too_deep(at),
        info if info.starts_with("unexpected character") => {
            fault(at, "a value that begins with %, @ or ` must be put in quotes")
        }
        info if info.contains("unknown anchor") => {
            fault(at, "an alias without an anchor (text that begins with * must be put in quotes)")
        }
        info => fault(at, format!("is not YAML: {info}")),
    }
}

impl Limits {
    fn too_deep(&self, at: At) -> Fault {
        fault(at, format!("is nested deeper than {} levels", self.depth))
    }

    fn too_many_copies(&self, at: At) -> Fault {
        fault(
            at,
            format!(
                "aliases stand for more than {} values in this file; write fewer of them, or the values \
                 themselves",
                self.copies
            ),
        )
    }

    /// How many values a tree holds that stands at this depth; none where aliases made it deeper
    /// than may be.
    fn size(&self, node: &Node<'_>, depth: usize) -> Result<usize, Fault> {
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

struct Builder<'l, 't> {
    limits: &'l Limits,
    sections: &'l [&'static str],
    each: &'l mut dyn FnMut(Member<'t>),
    /// So many members have been handed out before this builder began.
    skip: usize,
    /// So many members have gone by.
    passed: usize,
    open: Vec<Open<'t>>,
    root: Option<Node<'t>>,
    anchors: HashMap<usize, (Node<'t>, usize)>,
    values: usize,
    copies: usize,
}

impl<'l, 't> Builder<'l, 't> {
    fn new(
        limits: &'l Limits,
        sections: &'l [&'static str],
        skip: usize,
        each: &'l mut dyn FnMut(Member<'t>),
    ) -> Self {
        let (open, root, anchors) = (Vec::new(), None, HashMap::new());
        Self { limits, sections, each, skip, passed: 0, open, root, anchors, values: 0, copies: 0 }
    }

    fn finish(self) -> Result<Node<'t>, Fault> {
        let empty = Fault { at: None, message: "is empty".to_owned() };
        self.root.filter(|root| !matches!(root.value, Value::Null)).ok_or(empty)
    }

    /// Whether what is read now is handed out.
    fn hands_out(&self) -> bool {
        self.open.iter().take(2).any(|open| open.section.is_some())
    }

    /// The section whose list begins here, if its members are to be handed out.
    fn section(&self, anchor: usize) -> Option<&'static str> {
        let named = match self.open.as_slice() {
            [] => ROOT,
            [Open { anchor: 0, value: Value::Map(entries), key: Some(key), .. }]
                if entries.iter().all(|(k, _)| k.text != key.text) =>
            {
                &key.text
            }
            _ => return None,
        };
        self.sections.iter().copied().find(|section| *section == named && anchor == 0)
    }

    fn take(&mut self, event: Event<'t>, at: At) -> Result<(), Fault> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(fault(at, "a second YAML document begins here; one file holds one document"))
            }
            Event::SequenceStart(anchor, tag) => {
                self.start(at, anchor, tag.as_deref(), Value::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.start(at, anchor, tag.as_deref(), Value::Map(Vec::new()))
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(mut done) => {
                    // Half of a grown vector is empty. What is handed out does not stay.
                    match &mut done.value {
                        _ if self.hands_out() => {}
                        Value::List(items) => items.shrink_to_fit(),
                        Value::Map(fields) => fields.shrink_to_fit(),
                        Value::Null | Value::Scalar(_) => {}
                    }
                    self.add(Node { at: done.at, value: done.value }, done.anchor)
                }
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
                    Some((_, size)) if self.copies.saturating_add(*size) > self.limits.copies => {
                        return Err(self.limits.too_many_copies(at));
                    }
                    Some((node, size)) => (node.clone(), *size),
                    None => return Err(fault(at, "an alias inside of what it stands for")),
                };
                self.copies += size;
                self.values += size;
                self.add(node, 0)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn start(&mut self, at: At, anchor: usize, tag: Option<&Tag>, value: Value<'t>) -> Result<(), Fault> {
        known_tag(at, tag)?;
        if self.open.len() >= self.limits.depth {
            return Err(self.limits.too_deep(at));
        }
        let section = if matches!(value, Value::List(_)) { self.section(anchor) } else { None };
        self.open.push(Open { at, anchor, value, key: None, section: section.map(|section| (section, 0)) });
        Ok(())
    }

    /// A value is complete: it goes into what is open around it.
    fn add(&mut self, node: Node<'t>, anchor: usize) -> Result<(), Fault> {
        self.values += 1;
        if self.values > self.limits.values {
            return Err(fault(node.at, format!("holds more than {} values", self.limits.values)));
        }
        if anchor != 0 {
            // The kept copy counts, too: anchors inside of anchors multiply.
            let size = self.limits.size(&node, self.open.len())?;
            self.copies = self.copies.saturating_add(size);
            if self.copies > self.limits.copies {
                return Err(self.limits.too_many_copies(node.at));
            }
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open { section: Some((section, count)), .. }) => {
                let index = *count;
                *count += 1;
                self.passed += 1;
                if self.passed > self.skip {
                    (self.each)(Member { section, index, node });
                }
            }
            Some(Open { value: Value::List(items), .. }) => items.push(node),
            Some(Open { value: Value::Map(entries), key, .. }) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => {
                    let text = match node.value {
                        Value::Scalar(text) => text,
                        Value::Null => Cow::Borrowed("~"),
                        Value::List(_) | Value::Map(_) => {
                            return Err(fault(node.at, "a key must be a single word, not a list or mapping"));
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

/// Tags of the core schema are harmless; others ask for types that there are none of here.
fn known_tag(at: At, tag: Option<&Tag>) -> Result<(), Fault> {
    let harmless = |t: &Tag| {
        (t.is_yaml_core_schema()
            && matches!(&*t.suffix, "str" | "int" | "float" | "bool" | "null" | "seq" | "map"))
            || (t.handle.is_empty() && t.suffix == "!")
    };
    match tag {
        Some(tag) if !harmless(tag) => {
            Err(fault(at, "a tag (!…) has no meaning here; put text that begins with ! in quotes"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::panic, reason = "a test that cannot go on has failed")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: Limits = Limits { depth: 4, copies: 10, values: 20 };

    fn refused(text: &str) -> Option<String> {
        parse_within(text, &SMALL, &[], &mut |_| {}).err().map(|fault| fault.message)
    }

    fn tree(text: &str) -> Result<Node<'_>, Fault> {
        parse(text, &[], &mut |_| {})
    }

    #[test]
    fn limits_hold_exactly() {
        let too_deep = Some("is nested deeper than 4 levels".to_owned());
        assert_eq!(refused("[[[[x]]]]"), None);
        assert_eq!(refused("[[[[[x]]]]]"), too_deep);
        let chain = parse_within(
            "{a: &a [[x]], b: &b [*a], c: &c [*b]}",
            &Limits { copies: 100, ..SMALL },
            &[],
            &mut |_| {},
        );
        assert_eq!(chain.err().map(|fault| fault.message), too_deep);
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
    fn scalars_are_what_was_written() {
        for (text, found) in [
            ("0123", Some("0123")),
            ("1e5", Some("1e5")),
            ("'~'", Some("~")),
            ("!!str ~", Some("~")),
            ("~", None),
            ("NULL", None),
            ("NO", Some("NO")),
        ] {
            let text = format!("[{text}]");
            let Ok(Node { value: Value::List(items), .. }) = tree(&text) else { panic!("{text}") };
            let scalar = match &items[0].value {
                Value::Scalar(text) => Some(&**text),
                _ => None,
            };
            assert_eq!(scalar, found, "{text}");
        }
    }

    #[test]
    fn places_count_characters() {
        let Ok(Node { value: Value::Map(entries), .. }) = tree("\u{feff}# ä\näö: {ü: x}\n") else {
            panic!("no mapping")
        };
        assert_eq!(entries[0].0.at, At { line: 2, column: 1 });
        let Value::Map(inner) = &entries[0].1.value else { panic!("no mapping") };
        assert_eq!((inner[0].0.at, inner[0].1.at), (At { line: 2, column: 6 }, At { line: 2, column: 9 }));
    }

    /// A tree as text. Where nothing stands is told by its key.
    fn show(node: &Node<'_>, out: &mut String) {
        if !matches!(node.value, Value::Null) {
            *out += &format!("{}:{} ", node.at.line, node.at.column);
        }
        match &node.value {
            Value::Null => *out += "~ ",
            Value::Scalar(text) => *out += &format!("{text:?} "),
            Value::List(items) => {
                *out += "[";
                items.iter().for_each(|item| show(item, out));
                *out += "] ";
            }
            Value::Map(entries) => {
                *out += "{";
                for (key, value) in entries {
                    *out += &format!("{}:{} {:?}: ", key.at.line, key.at.column, key.text);
                    show(value, out);
                }
                *out += "} ";
            }
        }
    }

    /// What comes of a text: the members handed out and the rest, or what is wrong.
    fn comes_of<'t>(
        parse: impl FnOnce(&mut dyn FnMut(Member<'t>)) -> Result<Node<'t>, Fault>,
    ) -> Result<Vec<String>, Fault> {
        let mut shown = Vec::new();
        let root = parse(&mut |member| {
            let mut text = format!("{}[{}] ", member.section, member.index);
            show(&member.node, &mut text);
            shown.push(text);
        })?;
        shown.push(String::new());
        shown.last_mut().into_iter().for_each(|text| show(&root, text));
        Ok(shown)
    }

    /// The quick way must lead where the parser leads. Returns whether it went to the end.
    fn compare(text: &str) -> bool {
        const SECTIONS: &[&str] = &[ROOT, "accounts"];
        for sections in [&SECTIONS[..1], &SECTIONS[1..]] {
            let slow =
                comes_of(|each| by_parser(without_mark(text), Builder::new(&LIMITS, sections, 0, each)));
            let found = comes_of(|each| parse_within(text, &LIMITS, sections, each));
            assert_eq!(found, slow, "{text}");
        }
        plain::read(without_mark(text), &mut |_, _| Ok::<(), ()>(())) == Ok(true)
    }

    #[test]
    fn what_programs_write_needs_no_parser() {
        for text in [
            "- a\n- b\n",
            "a:\n-   b\n-  c: d\n   e:\n   - f\ng:\n  -   h\n",
            "a: b\nc:\n  d: e # f\n\n# g\n  h:\n  - i\n  -   j: k\n      l: m\nn:\no: ~\n",
            "---\n# made by a program\n- id: a-1\n  name: \"Ä b: c\"\n  labels: {team: web, x: 'y z', e: {}}\n  notify: [a@b.c, \"d\"]\n  url: https://x.y/z?a=b#c\n",
            "\u{feff}accounts:\n- {id: ä, name: ö ü, needs: [], url: https://x.y/z?a=b, n: [[a], {b: c}]}\ncredentials:\n    - id: x",
        ] {
            assert!(compare(text), "{text}");
        }
    }

    #[test]
    fn what_could_mean_something_else_is_left_to_the_parser() {
        for text in [
            "",
            "a",
            "a: b: c",
            "a: b\n  c",
            "- a\n   b",
            "a: |\n  b",
            "a: &b c",
            "a: *b",
            "a: !b c",
            "a: [b,\n c]",
            "a: [b, ]",
            "a: {b}",
            "a: \"b\\n\"",
            "a: 'b''c'",
            "a:\tb",
            "a: b\r\n",
            "- - a",
            "-\n  a: b",
            "? a",
            "a: -b",
            "a: b\n---\nc: d",
            "a: b\n...\n",
            "%YAML 1.2\n---\na: b",
            "null: a",
            "\"a\": b",
            "a : b",
            "a:\n   b: c\n  d: e",
            " a: b",
            "- a\nb: c",
            "a: \"b\"c",
            "a: [b]c",
            "a: [b: c]",
            "a: {b: , c: d}",
            "a: \u{85}",
            "a: \u{2028}",
            "- a: &x b\n- c: *x\n",
            "- a: b\n- c: d\n- e: \"f\\n\"\n- g: h\n",
            "accounts:\n- a\naccounts:\n- b\n- \"c\\n\"\n",
        ] {
            assert!(!compare(text), "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

        #[test]
        fn the_quick_way_leads_where_the_parser_leads(parts in prop::collection::vec(prop::sample::select(vec![
            "a", "bc", "1", "- ", "- ", "-", ": ", ": ", ":", "\n", "\n", "\n", "\n  ", "\n  ", "\n    ", " ", "[", "]", "{", "}", ", ", ",", "'", "\"", "#", " #",
            "~", "null", "ä", "é: ", ".", "/", "?", "&", "*", "!", "|", ">", "%", "@", "\\", "---", "...", "\t", "=", "<", "<<", "k: v\n", "k:\n", "- id: x\n",
            "\n- id: y\n  k: v\n", "\n  k: [a, b]\n", "{a: b, c: d}", "accounts:\n", "\u{feff}", "\u{a0}",
        ]), 0..24)) {
            compare(&parts.concat());
        }
    }

    proptest! {
        /// The parser is not ours: whatever is fed to it, it must come back with a tree or a fault.
        #[test]
        fn nothing_makes_it_panic(parts in prop::collection::vec(prop::sample::select(vec![
            "a", ": ", "- ", "\n", "\n  ", "\t", "[", "]", "{", "}", ", ", "&a ", "*a", "'", "\"", "\\", "|", ">", "? ", "!!str ", "!", "%", "---", "...", "<<", "#", "~", "ä", "\r", "\0", ":", "-",
        ]), 0..60)) {
            let text = parts.concat();
            let _ = tree(&text);
        }
    }
}
