//! Where the configuration says that a secret comes from.

use super::field::{Field, Mapping, is_name, relative_to, why_unreadable};
use super::findings::{Findings, WarningKind};
use super::quoting::looks_secret;
use super::yaml::Value;
use crate::inventory::SecretSource;
use crate::model::Secret;

/// The source that one of `keys` names. What a key means is told by its ending: `_file`, `_env`,
/// `_command`, or none of them for the secret itself.
pub(super) fn secret_source(
    mapping: &Mapping<'_>,
    keys: &[&str],
    out: &mut Findings,
) -> Option<SecretSource> {
    let mut given = keys.iter().filter_map(|key| Some((key, mapping.given(key)?)));
    let (key, field) = given.next()?;
    let mut alone = true;
    for (_, further) in given {
        alone = false;
        further.problem(out, format!("only one of {} may be given", keys.join(", ")));
    }
    match key.rsplit_once('_') {
        _ if !alone => None,
        Some((_, "file")) => secret_file(&field, out),
        Some((_, "env")) => secret_env(&field, out),
        Some((_, "command")) => secret_command(&field, out),
        _ => inline_secret(&field, out),
    }
}

fn inline_secret(field: &Field<'_>, out: &mut Findings) -> Option<SecretSource> {
    let text = field.scalar(out, "a secret")?.trim();
    let wrong = if text.is_empty() {
        "is empty; expected a secret"
    } else if text.starts_with('{') {
        "looks like a token response; put it into a file and name that with token_file"
    } else if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        "holds blanks or control characters"
    } else {
        let message =
            "the secret is in the configuration itself; a file or an environment variable keeps it apart";
        field.warning(out, WarningKind::InlineSecret, message);
        return Some(SecretSource::Inline(Secret::new(text)));
    };
    field.reject(out, wrong)
}

fn secret_file(field: &Field<'_>, out: &mut Findings) -> Option<SecretSource> {
    let text = field.scalar(out, "the name of a file")?;
    if text.is_empty() || text.chars().any(char::is_control) {
        return field.reject(out, "is not the name of a file");
    }
    let path = relative_to(field.file, text);
    match std::fs::metadata(&path) {
        Ok(metadata) if !metadata.is_file() => return field.reject(out, "is not a file"),
        Ok(metadata) => warn_if_readable_by_all(field, &metadata, out),
        // A token instead of the name of its file.
        Err(_) if looks_secret(text) && !text.contains(['/', '\\']) => {
            return field.reject(out, "looks like a secret, not like the name of a file");
        }
        Err(e) => {
            let message = format!("the file {}", why_unreadable(&e));
            field.warning(out, WarningKind::SourceMissing, message);
        }
    }
    Some(SecretSource::File(path))
}

fn secret_env(field: &Field<'_>, out: &mut Findings) -> Option<SecretSource> {
    let text = field.scalar(out, "the name of an environment variable")?;
    if !is_name(text) || looks_secret(text) {
        return field.reject(out, "is not the name of an environment variable (letters, digits and _)");
    }
    if std::env::var_os(text).is_none() {
        field.warning(out, WarningKind::SourceMissing, "the environment variable is not set");
    }
    Some(SecretSource::Env(text.to_owned()))
}

fn secret_command(field: &Field<'_>, out: &mut Findings) -> Option<SecretSource> {
    if matches!(field.node.value, Value::Scalar(_)) {
        let message = "expected a list: the program and its arguments; there is no shell to split a text";
        return field.reject(out, message);
    }
    let mut words = Vec::new();
    for word in field.items(out) {
        let text = word.scalar(out, "a text")?;
        if text.contains('\0') {
            return word.reject(out, "holds a control character");
        }
        words.push(text.to_owned());
    }
    let Some(program) = words.first_mut().filter(|p| !p.is_empty()) else {
        if field.is_list() {
            field.problem(out, "names no program");
        }
        return None;
    };
    if program.contains('/') {
        let path = relative_to(field.file, program);
        if !path.is_file() {
            field.warning(out, WarningKind::SourceMissing, "there is no such program");
        }
        *program = path.to_string_lossy().into_owned();
    }
    Some(SecretSource::Command(words))
}

/// Warns of a file that every user of this machine can read.
pub(super) fn warn_if_readable_by_all(field: &Field<'_>, metadata: &std::fs::Metadata, out: &mut Findings) {
    if readable_by_all(metadata) {
        let message = "everybody on this machine may read this file (chmod 600)";
        field.warning(out, WarningKind::ReadableByAll, message);
    }
}

#[cfg(unix)]
fn readable_by_all(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o004 != 0
}

#[cfg(not(unix))]
fn readable_by_all(_: &std::fs::Metadata) -> bool {
    false
}
