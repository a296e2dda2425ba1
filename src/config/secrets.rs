//! Where the configuration says that a secret comes from.

use std::fs::Metadata;
use std::path::PathBuf;

use super::field::{Field, Mapping, is_name, relative_to, why_unreadable};
use super::quoting::looks_secret;
use super::validator::Rows;
use super::yaml::Value;
use crate::inventory::SecretSource;
use crate::model::Secret;

/// The source that one of `keys` names. What a key means is told by its ending: `_file`, `_env`,
/// `_command`, or none of them for the secret itself.
pub(super) fn secret_source(mapping: &Mapping<'_>, keys: &[&str], rows: Rows) -> Option<SecretSource> {
    let mut given = keys.iter().filter_map(|key| Some((key, mapping.given(key)?)));
    let (key, field) = given.next()?;
    let mut alone = true;
    for (_, further) in given {
        alone = false;
        further.problem(format!("only one of {} may be given", keys.join(", ")));
    }
    if alone { secret_of(key, &field, rows) } else { None }
}

pub(super) fn secret_of(key: &str, field: &Field<'_>, rows: Rows) -> Option<SecretSource> {
    match key.rsplit_once('_') {
        Some((_, "file" | "env" | "command")) if rows == Rows::Listed => {
            field.reject("a source may only give the secret itself")
        }
        Some((_, "file")) => secret_file(field),
        Some((_, "env")) => secret_env(field),
        Some((_, "command")) => program(field).map(SecretSource::Command),
        _ if rows == Rows::Stored => Some(SecretSource::Unread),
        _ => inline_secret(field, key, rows),
    }
}

fn inline_secret(field: &Field<'_>, key: &str, rows: Rows) -> Option<SecretSource> {
    let text = field.scalar("a secret")?.trim();
    let wrong = if text.is_empty() {
        "is empty; expected a secret"
    } else if text.starts_with('{') {
        "looks like a token response; put it into a file and name that with token_file"
    } else if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        "holds blanks or control characters"
    } else {
        let message = if is_variable(text) {
            format!("variables are not replaced here; name this one with {key}_env")
        } else {
            "the secret is in the configuration itself; a file or an environment variable keeps it apart"
                .to_owned()
        };
        if rows == Rows::Written {
            field.warning(message);
        }
        return Some(SecretSource::Inline(Secret::new(text)));
    };
    field.reject(wrong)
}

/// Whether a text is `$NAME` or `${NAME}`.
pub fn is_variable(text: &str) -> bool {
    text.strip_prefix('$').is_some_and(|name| {
        is_name(name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name))
    })
}

fn secret_file(field: &Field<'_>) -> Option<SecretSource> {
    let (path, metadata) = named_file(field)?;
    if let Some(metadata) = metadata {
        warn_if_readable_by_all(field, &metadata);
    }
    Some(SecretSource::File(path))
}

/// The path of a file, which need not exist yet.
pub(super) fn file_name(field: &Field<'_>) -> Option<PathBuf> {
    named_file(field).map(|(path, _)| path)
}

/// The path of a file, and what is known about it if it exists.
fn named_file(field: &Field<'_>) -> Option<(PathBuf, Option<Metadata>)> {
    let text = field.scalar("the name of a file")?;
    if text.is_empty() || text.chars().any(char::is_control) {
        return field.reject("is not the name of a file");
    }
    let path = relative_to(field.file, text);
    match std::fs::metadata(&path) {
        Ok(metadata) if !metadata.is_file() => field.reject("is not a file"),
        Ok(metadata) => Some((path, Some(metadata))),
        // A token instead of the name of its file.
        Err(_) if looks_secret(text) && !text.contains(['/', '\\']) => {
            field.reject("looks like a secret, not like the name of a file")
        }
        Err(e) => {
            field.warning(format!("the file {}", why_unreadable(&e)));
            Some((path, None))
        }
    }
}

fn secret_env(field: &Field<'_>) -> Option<SecretSource> {
    let text = field.scalar("the name of an environment variable")?;
    if !is_name(text) || looks_secret(text) {
        return field.reject("is not the name of an environment variable (letters, digits and _)");
    }
    if std::env::var_os(text).is_none() {
        field.warning("the environment variable is not set");
    }
    Some(SecretSource::Env(text.to_owned()))
}

/// A program and its arguments.
pub(super) fn program(field: &Field<'_>) -> Option<Vec<String>> {
    if matches!(field.node.value, Value::Scalar(_)) {
        let message = "expected a list: the program and its arguments; there is no shell to split a text";
        return field.reject(message);
    }
    let mut words = Vec::new();
    for word in field.items() {
        let text = word.scalar("a text")?;
        if text.contains('\0') {
            return word.reject("holds a control character");
        }
        words.push(text.to_owned());
    }
    let Some(program) = words.first_mut().filter(|p| !p.is_empty()) else {
        if field.is_list() {
            field.problem("names no program");
        }
        return None;
    };
    if program.contains('/') {
        let path = relative_to(field.file, program);
        if !path.is_file() {
            field.warning("there is no such program");
        }
        *program = path.to_string_lossy().into_owned();
    }
    Some(words)
}

pub(super) fn warn_if_readable_by_all(field: &Field<'_>, metadata: &Metadata) {
    if readable_by_all(metadata) {
        field.warning("everybody on this machine may read this file (chmod 600)");
    }
}

#[cfg(unix)]
fn readable_by_all(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o004 != 0
}

#[cfg(not(unix))]
fn readable_by_all(_: &Metadata) -> bool {
    false
}
