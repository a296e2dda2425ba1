//! Account files of lines, `.jsonl`: a JSON object in each, which is an account or a credential.
//!
//! They may be long, so a part of a file is in memory at a time. A line that cannot be read costs
//! nothing but itself.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Result};
use std::sync::OnceLock;

use memchr::{memchr, memmem};

use super::account_files::open_regular;
use super::ahead::ahead;
use super::alike::{Example, Values, changes};
use super::field::{Field, KeyPath, why_unreadable};
use super::findings::{Position, Problem};
use super::json;
use super::load::{ACCOUNTS, CREDENTIALS, read_member};
use super::shape::{Role, Shape, wrapper};
use super::validator::{SourceFile, Validator};
use super::yaml::{self, Node, Value};

/// The number of bytes that are read together, up to the end of a line.
const PART: u64 = 4 << 20;
/// Maximum length of a line.
const MAX_LINE: usize = 1 << 20;

/// Reads the credentials or the accounts of a file. False if it cannot be read.
pub(super) fn read_lines(file: SourceFile<'_>, section: &'static str, validator: &mut Validator<'_>) -> bool {
    let begin = validator.mark(file);
    validator.config.table.read_from(file.number);
    let read = if section == CREDENTIALS { credentials(file, validator) } else { accounts(file, validator) };
    if let Err(e) = &read {
        validator.roll_back(file, begin);
        validator.broken(file, None, why_unreadable(e).to_owned());
    }
    read.is_ok()
}

fn credentials(file: SourceFile<'_>, validator: &mut Validator<'_>) -> Result<()> {
    if !may_hold_credentials(file)? {
        return Ok(());
    }
    let mut named = HashSet::new();
    each_line(file, &mut |line| {
        let id = match (line.values(), &line.tree) {
            (_, Some(tree)) => tree.as_ref().ok().and_then(|node| text(node, "credential")),
            (Some(values), None) => values.said(Role::Credential),
            (None, None) => None,
        };
        if let Some(id) = id.filter(|id| !named.contains(*id)) {
            named.insert(id.to_owned());
        }
    })?;
    validator.named.insert(file.number, named);
    each_row(file, CREDENTIALS, validator)
}

fn accounts(file: SourceFile<'_>, validator: &mut Validator<'_>) -> Result<()> {
    each_row(file, ACCOUNTS, validator)
}

/// Whether both a token and the key `credential` occur: without them, no line is a credential.
fn may_hold_credentials(file: SourceFile<'_>) -> Result<bool> {
    let mut reader = BufReader::new(open_regular(file.path)?);
    let (mut token, mut credential) = (false, false);
    loop {
        let part = next_part(&mut reader)?;
        if part.is_empty() {
            return Ok(false);
        }
        let has = |text: &str| memmem::find(&part, text.as_bytes()).is_some();
        token = token || has("\"token");
        credential = credential || has("\"credential\"");
        // Escapes of letters could hide them.
        let escapes = memchr(b'\\', &part).is_some() && (has("\\u006") || has("\\u007"));
        if escapes || token && credential {
            return Ok(true);
        }
    }
}

/// Checks the rows of a section.
fn each_row(file: SourceFile<'_>, section: &'static str, validator: &mut Validator<'_>) -> Result<()> {
    let named = validator.named.get(&file.number).cloned().unwrap_or_default();
    let mut examples: [Option<Example>; MAX_SHAPES] = Default::default();
    each_line(file, &mut |mut line| {
        let tree = line.tree.take();
        let values = line.values();
        let example = line.shape.and_then(|(number, _)| examples.get_mut(number));
        let mut none = None;
        let example = example.unwrap_or(&mut none);
        if let (Some(values), None) = (&values, &tree) {
            let unnamed = || unnamed(values.said(Role::Id), values.said(Role::Credential), &named);
            if section != values.shape.wrapper.map_or_else(unnamed, |(_, section)| section) {
                // The next line is compared with this one.
                *example = None;
                return;
            }
            *example = example.take().and_then(|example| validator.add_alike(file, values, example));
            if example.is_some() {
                return;
            }
        }
        let parsed = || json::Reader::default().tree(line.text, line.number);
        match &tree.unwrap_or_else(parsed) {
            Ok(node) => {
                let whole = Field::root(file.path, node, validator.findings);
                let (kind, row) = row(whole, &named);
                if kind != section {
                    return;
                }
                let problems = validator.findings.problems();
                let added = read_member(file, section, &row, validator);
                // With rules, a row is not what stands in its line.
                if added && file.rules.is_none() && validator.findings.problems() == problems {
                    *example = values.and_then(|values| validator.example(section, &values));
                }
            }
            Err(e) if section == ACCOUNTS => {
                validator.broken_row(file, Problem::of_file(file.path, e.at, &*e.message));
            }
            Err(_) => {}
        }
    })
}

/// The section to which the row in a line belongs, and the row. A line may name the section.
fn row<'a>(line: Field<'a>, named: &HashSet<String>) -> (&'static str, Field<'a>) {
    let Value::Map(entries) = &line.node.value else { return (ACCOUNTS, line) };
    if let [(key, node)] = &**entries
        && let (Some((key, section)), Value::Map(_)) = (wrapper(&key.text), &node.value)
    {
        return (section, Field { path: KeyPath::Key(&KeyPath::Root, key), at: node.at, node, ..line });
    }
    (unnamed(text(line.node, "id"), text(line.node, "credential"), named), line)
}

/// The section of a row that does not name it: an account, unless another line names it as its
/// credential.
fn unnamed(id: Option<&str>, credential: Option<&str>, named: &HashSet<String>) -> &'static str {
    let is_named = credential.is_none() && id.is_some_and(|id| named.contains(id));
    if is_named { CREDENTIALS } else { ACCOUNTS }
}

fn text<'a>(node: &'a Node<'_>, key: &str) -> Option<&'a str> {
    let Value::Map(entries) = &node.value else { return None };
    match &entries.iter().find(|(known, _)| known.text == key)?.1.value {
        Value::Scalar(text) => Some(text),
        _ => None,
    }
}

/// Maximum number of shapes of which lines are recognised.
const MAX_SHAPES: usize = 8;

/// A line of a file, taken apart.
struct Line<'t> {
    text: &'t str,
    number: u32,
    /// Its shape and the number of that, if it has one, and its values.
    shape: Option<(usize, &'t Shape)>,
    values: Vec<&'t str>,
    /// What is different from the line before of the same shape; see [`changes`].
    changed: Option<u64>,
    /// None if an earlier line has the same shape.
    tree: Option<yaml::Result<Node<'t>>>,
}

impl<'t> Line<'t> {
    /// Takes a line apart; its shape is added to those that are known.
    fn new(line: &'t [u8], number: u32, shapes: &'t [OnceLock<Shape>], json: &mut json::Reader<'t>) -> Self {
        let mut this = Self { text: "", number, shape: None, values: Vec::new(), changed: None, tree: None };
        match text_of(line, number) {
            Ok(text) => this.text = text,
            Err(e) => {
                this.tree = Some(Err(e));
                return this;
            }
        }
        for (index, shape) in shapes.iter().enumerate() {
            let known = match shape.get() {
                Some(known) => known,
                None => {
                    let tree = json.tree(this.text, number);
                    let new = Shape::of(this.text).filter(|_| tree.is_ok());
                    this.tree = Some(tree);
                    let Some(new) = new else { return this };
                    shape.get_or_init(|| new)
                }
            };
            if let Some(values) = known.values(this.text) {
                (this.shape, this.values) = (Some((index, known)), values);
                return this;
            }
        }
        this.tree.get_or_insert_with(|| json.tree(this.text, number));
        this
    }

    fn values(&self) -> Option<Values<'_, 't>> {
        let (_, shape) = self.shape?;
        let Self { text, number, ref values, changed, .. } = *self;
        Some(Values::new(text, number, shape, values, changed))
    }
}

/// Hands out all lines that are not empty.
fn each_line(file: SourceFile<'_>, take: &mut dyn FnMut(Line<'_>)) -> Result<()> {
    let mut reader = BufReader::new(open_regular(file.path)?);
    let shapes: [OnceLock<Shape>; MAX_SHAPES] = Default::default();
    let (mut part, mut first) = (next_part(&mut reader)?, 1);
    while !part.is_empty() {
        let (next, number) = ahead(
            |send| {
                let (mut json, mut number) = (json::Reader::default(), first);
                let mut last: [Option<Vec<&str>>; MAX_SHAPES] = Default::default();
                let mut rest = &*part;
                while !rest.is_empty() {
                    let end = memchr(b'\n', rest).unwrap_or(rest.len());
                    if !rest[..end].trim_ascii().is_empty() {
                        let mut line = Line::new(&rest[..end], number, &shapes, &mut json);
                        if let Some((index, shape)) = line.shape {
                            line.changed = changes(shape, &line.values, last[index].as_ref());
                            last[index] = Some(line.values.clone());
                        }
                        send(line);
                    }
                    rest = rest.get(end + 1..).unwrap_or_default();
                    number += 1;
                }
                (next_part(&mut reader), number)
            },
            |line| {
                take(line);
                true
            },
        );
        (part, first) = (next?, number);
    }
    Ok(())
}

fn text_of(line: &[u8], number: u32) -> yaml::Result<&str> {
    let error = |column: usize, message: &str| {
        let column = u32::try_from(column).unwrap_or(u32::MAX);
        yaml::error(Position { line: number, column }, message)
    };
    if line.len() > MAX_LINE {
        return Err(error(1, "is longer than 1 MiB"));
    }
    let text = std::str::from_utf8(line).map_err(|e| {
        let before = String::from_utf8_lossy(&line[..e.valid_up_to()]);
        error(before.chars().count() + 1, "is not UTF-8 text")
    })?;
    // A byte order mark may begin the file.
    Ok(text.strip_prefix('\u{feff}').filter(|_| number == 1).unwrap_or(text))
}

/// Whole lines, and perhaps the beginning of one that is too long. Empty at the end of the file.
fn next_part(reader: &mut BufReader<File>) -> Result<Vec<u8>> {
    let mut part = Vec::with_capacity(PART as usize + (PART as usize >> 4));
    reader.take(PART).read_to_end(&mut part)?;
    if part.len() as u64 == PART && !part.ends_with(b"\n") {
        reader.take(MAX_LINE as u64 + 1).read_until(b'\n', &mut part)?;
        if !part.ends_with(b"\n") {
            reader.skip_until(b'\n')?;
        }
    }
    Ok(part)
}
