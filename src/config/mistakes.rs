//! Mistakes that people make in YAML, of which the parser speaks in other words and elsewhere.

use saphyr_parser::Span;

use super::findings::Position;
use super::keys;
use super::yaml::YamlError;

/// How many lines before the place where the parser gives up a mistake is looked for.
const LINES_BEFORE: u32 = 3;

/// The same error, or the mistake behind it with its place.
pub(super) fn explained(text: &str, e: YamlError) -> YamlError {
    let Some(at) = e.at.filter(|_| e.syntax) else { return e };
    let first = at.line.saturating_sub(LINES_BEFORE).max(1);
    let lines = text.lines().zip(1..).skip(first as usize - 1).take((at.line + 2 - first) as usize);
    let found = lines.filter_map(|(line, number)| {
        let (column, message) = mistake(line)?;
        Some((Position { line: number, column }, message))
    });
    match found.last() {
        Some((at, message)) => YamlError { at: Some(at), message, ..e },
        None => e,
    }
}

/// The mistake in a line and its column, if it is one of these.
fn mistake(line: &str) -> Option<(u32, String)> {
    let rest = line.trim_start();
    let indent = &line[..line.len() - rest.len()];
    let column = |bytes: usize| u32::try_from(line[..bytes].chars().count() + 1).unwrap_or(u32::MAX);
    if let Some(tab) = indent.find('\t').filter(|_| !rest.is_empty() && !rest.starts_with('#')) {
        return Some((column(tab), "a tab; YAML is indented with blanks only".to_owned()));
    }
    let member = rest.trim_start_matches(['-', ' ']);
    Some((column(line.len() - member.len()), glued_key(member)?))
}

/// What is wrong with `key:value`, if the key is a known one.
pub(super) fn glued_key(text: &str) -> Option<String> {
    let (name, value) = text.split_once(':')?;
    let glued = value.starts_with(|c: char| !c.is_whitespace() && !c.is_control());
    let key = keys::keys().find(|key| glued && *key == name)?;
    Some(format!("a blank is missing after the colon of {key}"))
}

/// The mistake in a further line of a text without quotes, which has swallowed a key.
pub(super) fn swallowed_key(document: &str, text: &str, span: &Span) -> Option<YamlError> {
    let (first, last) = (span.start.line(), span.end.line());
    if first == last || !text.split_whitespace().any(|word| glued_key(word).is_some()) {
        return None;
    }
    let mut lines = document.lines().zip(1..).skip(first).take(last - first);
    let (line, (column, message)) = lines.find_map(|(line, number)| Some((number, mistake(line)?)))?;
    Some(YamlError { at: Some(Position { line, column }), message, syntax: false })
}
