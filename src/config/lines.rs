//! Account files of lines, `.jsonl`: a JSON object in each, which is an account or a credential.
//!
//! They may be long, so a part of a file is in memory at a time. A line that cannot be read costs
//! nothing but itself.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Result};

use memchr::{memchr, memmem};

use super::account_files::open_regular;
use super::ahead::ahead;
use super::field::{Field, Mapping, why_unreadable};
use super::findings::{Position, Problem};
use super::json;
use super::load::{ACCOUNTS, CREDENTIALS, read_member};
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
        if let Ok(node) = &line {
            let line = Field::root(file.path, node, validator.findings);
            let mapping = line.as_mapping();
            named.extend(mapping.as_ref().and_then(|line| text(line, "credential")).map(str::to_owned));
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
        if (token && credential) || has("\\u006") || has("\\u007") {
            return Ok(true);
        }
    }
}

/// Checks the rows of a section.
fn each_row(file: SourceFile<'_>, section: &'static str, validator: &mut Validator<'_>) -> Result<()> {
    let named = validator.named.get(&file.number).cloned().unwrap_or_default();
    each_line(file, &mut |line| match &line {
        Ok(node) => {
            let line = Field::root(file.path, node, validator.findings);
            let mapping = line.as_mapping();
            let (kind, row) = mapping.as_ref().map_or((ACCOUNTS, line), |mapping| row(mapping, &named));
            if kind == section {
                read_member(file, section, &row, validator);
            }
        }
        Err(e) if section == ACCOUNTS => {
            validator.broken_row(file, Problem::of_file(file.path, e.at, &*e.message))
        }
        Err(_) => {}
    })
}

/// The section to which the row in a line belongs, and the row. A line may name the section. Else it
/// is an account, unless another line names it as its credential.
fn row<'a>(line: &'a Mapping<'a>, named: &HashSet<String>) -> (&'static str, Field<'a>) {
    for (key, section) in [("credential", CREDENTIALS), ("account", ACCOUNTS)] {
        let inner = line.get(key).filter(|inner| inner.as_mapping().is_some());
        if let Some(inner) = inner.filter(|_| line.len() == 1) {
            return (section, inner);
        }
    }
    let is_named = || text(line, "id").is_some_and(|id| named.contains(id));
    let is_credential = !named.is_empty() && text(line, "credential").is_none() && is_named();
    (if is_credential { CREDENTIALS } else { ACCOUNTS }, line.field)
}

fn text<'a>(line: &Mapping<'a>, key: &str) -> Option<&'a str> {
    match line.value_of(key) {
        Some(Value::Scalar(text)) => Some(text),
        _ => None,
    }
}

/// Hands out the values of all lines that are not empty.
fn each_line(file: SourceFile<'_>, take: &mut dyn FnMut(yaml::Result<Node<'_>>)) -> Result<()> {
    let mut reader = BufReader::new(open_regular(file.path)?);
    let (mut part, mut first) = (next_part(&mut reader)?, 1);
    while !part.is_empty() {
        let (next, number) = ahead(
            |send| {
                let (mut json, mut number) = (json::Reader::default(), first);
                let mut rest = &*part;
                while !rest.is_empty() {
                    let end = memchr(b'\n', rest).unwrap_or(rest.len());
                    if !rest[..end].trim_ascii().is_empty() {
                        send(value(&rest[..end], number, &mut json));
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

fn value<'t>(line: &'t [u8], number: u32, reader: &mut json::Reader<'t>) -> yaml::Result<Node<'t>> {
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
    let text = text.strip_prefix('\u{feff}').filter(|_| number == 1).unwrap_or(text);
    reader.tree(text, number)
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
