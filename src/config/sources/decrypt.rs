//! `decrypt`: how columns of a source are encrypted, and where the keys are.

use super::super::field::{Field, Mapping};
use super::super::keys;
use super::super::secrets::{program, secret_source};
use super::super::validator::Rows;
use crate::inventory::SecretSource;

/// Which columns of a source are encrypted, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecryptSettings {
    pub columns: Vec<String>,
    pub scheme: DecryptScheme,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecryptScheme {
    /// The `Crypt` facade and `encrypted` casts of Laravel.
    Laravel(KeySources),
    /// Active Record Encryption. Values that are not encrypted stay as they are.
    Rails { keys: KeySources, salt: SecretSource },
    /// Credentials of n8n before version 3.
    N8n(SecretSource),
    /// A nonce of 12 bytes, the encrypted text and its tag, as base64 or hexadecimal digits.
    Aes256Gcm {
        key: SecretSource,
        form: KeyForm,
        /// The columns of nonce and tag, if they are not part of the value.
        apart: Option<[String; 2]>,
    },
    /// A program and its arguments: it reads one value per line and prints one answer per line.
    Command(Vec<String>),
}

/// The current key, and a comma-separated list of those that it has replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySources {
    pub current: SecretSource,
    pub previous: Option<SecretSource>,
}

/// How a text becomes a key of 256 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    Base64,
    /// The hash of the text.
    Sha256,
}

const SCHEMES: &[&str] = &["laravel", "rails", "n8n", "aes-256-gcm"];

pub(super) fn decrypt(field: &Field<'_>) -> Option<DecryptSettings> {
    // What is no mapping is reported by the second.
    let given = field.as_mapping().or_else(|| field.open_mapping())?;
    let named = given.get("scheme").and_then(|f| f.scalar("a scheme"));
    let keys: &[&[&str]] = match named {
        _ if given.has_any(&["command"]) => &[keys::DECRYPT, &["command"]],
        Some("laravel") => &[keys::DECRYPT, keys::DECRYPT_KEY, keys::DECRYPT_PREVIOUS],
        Some("n8n") => &[keys::DECRYPT, keys::DECRYPT_KEY],
        Some("aes-256-gcm") => &[keys::DECRYPT, keys::DECRYPT_KEY, keys::DECRYPT_GCM],
        // Rails, or a name with a typing error.
        _ => &[keys::DECRYPT, keys::DECRYPT_KEY, keys::DECRYPT_PREVIOUS, keys::DECRYPT_SALT],
    };
    let mapping = field.mapping(keys)?;
    let scheme = scheme(&mapping);
    let columns = columns(&mapping);
    let (scheme, columns) = (scheme?, columns?);
    if columns.len() > 1 && matches!(scheme, DecryptScheme::Aes256Gcm { apart: Some(_), .. }) {
        return field.reject("iv_column and tag_column belong to a single column; name one in columns");
    }
    Some(DecryptSettings { columns, scheme })
}

fn columns(mapping: &Mapping<'_>) -> Option<Vec<String>> {
    let list = mapping.required("columns")?;
    let mut columns: Vec<String> = Vec::new();
    for item in list.items() {
        match item.text() {
            Some(name) if columns.iter().any(|column| column == name) => {
                item.problem("this column is already listed");
            }
            Some(name) => columns.push(name.to_owned()),
            None => {}
        }
    }
    if columns.is_empty() && list.is_list() {
        return list.reject("is empty; expected the names of the columns that are encrypted");
    }
    (!columns.is_empty()).then_some(columns)
}

fn scheme(mapping: &Mapping<'_>) -> Option<DecryptScheme> {
    if let Some(command) = mapping.get("command") {
        if let Some(scheme) = mapping.given("scheme") {
            scheme.problem("scheme and command exclude each other; leave one of them out");
        }
        return program(&command).map(DecryptScheme::Command);
    }
    let Some(field) = mapping.get("scheme") else {
        return mapping.field.reject(format!(
            "names no scheme: expected scheme with one of {}, or command",
            SCHEMES.join(", ")
        ));
    };
    let name = field.word(SCHEMES, |text| SCHEMES.iter().copied().find(|known| *known == text));
    let key = secret(mapping, keys::DECRYPT_KEY, "key_file");
    let keys = || {
        let previous = secret_source(mapping, keys::DECRYPT_PREVIOUS, Rows::Written);
        Some(KeySources { current: key.clone()?, previous })
    };
    match name? {
        "laravel" => keys().map(DecryptScheme::Laravel),
        "rails" => {
            let (keys, salt) = (keys(), secret(mapping, keys::DECRYPT_SALT, "key_derivation_salt_file"));
            Some(DecryptScheme::Rails { keys: keys?, salt: salt? })
        }
        "n8n" => key.map(DecryptScheme::N8n),
        _ => {
            let form = mapping.get("key_form").and_then(|f| {
                f.word(&["base64", "sha256"], |text| match text {
                    "base64" => Some(KeyForm::Base64),
                    "sha256" => Some(KeyForm::Sha256),
                    _ => None,
                })
            });
            let column = |key| mapping.get(key).and_then(|f| f.text()).map(str::to_owned);
            let apart = match (column("iv_column"), column("tag_column")) {
                (Some(iv), Some(tag)) => Some([iv, tag]),
                (None, None) => None,
                _ => return mapping.field.reject("iv_column and tag_column belong together"),
            };
            Some(DecryptScheme::Aes256Gcm { key: key?, form: form.unwrap_or(KeyForm::Base64), apart })
        }
    }
}

/// A secret that must be there.
fn secret(mapping: &Mapping<'_>, keys: &[&str], usual: &str) -> Option<SecretSource> {
    if !mapping.has_any(keys) {
        mapping.field.problem(format!("{usual} is missing, or another one of {}", keys.join(", ")));
    }
    secret_source(mapping, keys, Rows::Written)
}
