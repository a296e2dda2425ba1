//! The section `sources`: where accounts and their tokens are listed already.

mod decrypt;
mod http;
mod recipes;
mod sql;

use std::time::Duration;

use super::field::{Field, Mapping};
use super::keys;
use super::quoting::shown;
use super::validator::SECOND;
use super::yaml::{Node, Value};
use crate::inventory::FILES;
use crate::network::NetworkId;

pub use decrypt::{DecryptScheme, DecryptSettings, KeyForm, KeySources};
pub use http::{HttpAuthorization, HttpConnection, HttpSettings, OAuth2Settings};
pub(super) use http::{exporter, tls_files};
pub use recipes::{recipe, recipes};
pub use sql::{Database, SqlAddress, SqlDriver, SqlServer, SqlSettings};

const DEFAULT_INTERVAL: Duration = Duration::from_secs(300);
const DAY: Duration = Duration::from_secs(86_400);

#[derive(Clone, Debug)]
pub struct SourceSettings {
    pub id: String,
    pub kind: SourceKind,
    /// How often it is asked.
    pub refresh_interval: Duration,
    /// How its columns are encrypted, if they are.
    pub decrypt: Option<DecryptSettings>,
    pub(super) rows: RowRules,
}

#[derive(Clone, Debug)]
pub enum SourceKind {
    /// Files, which are read with the configuration.
    File,
    Http(HttpSettings),
    Sql(SqlSettings),
}

/// How the rows of a source become accounts.
#[derive(Clone, Debug, Default)]
pub(super) struct RowRules {
    /// Keys of accounts, and where a row has their value: dots lead into nested objects, and commas
    /// separate places, of which the first with a value counts.
    pub(super) map: Vec<(String, String)>,
    /// By key: texts of the source, and what they mean here.
    pub(super) values: Vec<(String, Vec<(String, String)>)>,
    /// Values of keys that a row does not have.
    pub(super) defaults: Vec<(String, Node<'static>)>,
    /// Networks, and the apps that their logins belong to.
    pub(super) apps: Vec<(NetworkId, String)>,
    /// Whether an empty list is a value, as in files that people write.
    pub(super) empty_lists: bool,
}

impl SourceSettings {
    /// The source that the account files are.
    pub(super) fn account_files() -> Self {
        Self {
            id: FILES.to_owned(),
            kind: SourceKind::File,
            refresh_interval: DEFAULT_INTERVAL,
            decrypt: None,
            rows: RowRules::default(),
        }
    }

    pub fn is_file(&self) -> bool {
        matches!(self.kind, SourceKind::File)
    }
}

/// A member of `sources`; none, with its problems, if it cannot be used.
pub(super) fn source(field: &Field<'_>) -> Option<SourceSettings> {
    let node = recipes::applied(field)?;
    let field = &Field { node: &node, ..*field };
    let mapping = field.mapping(keys::SOURCE)?;
    let id = mapping.required("id").and_then(|f| source_id(&f));
    let interval = mapping.get("refresh_interval").map(|f| f.duration(SECOND, DAY));
    let sql = mapping.get("sql");
    let decrypt = sql.as_ref().and_then(|f| f.as_mapping()?.get("decrypt").map(|f| decrypt::decrypt(&f)));
    let decrypt = decrypt.map_or(Some(None), |decrypt| decrypt.map(Some));
    let kind = kind(&mapping, decrypt.as_ref().and_then(Option::as_ref));
    let rows = RowRules { empty_lists: matches!(kind, Some(SourceKind::File)), ..row_rules(&mapping) };
    let refresh_interval = interval.unwrap_or(Some(DEFAULT_INTERVAL))?;
    Some(SourceSettings { id: id?.to_owned(), kind: kind?, refresh_interval, decrypt: decrypt?, rows })
}

/// The id is part of the name of a file.
fn source_id<'a>(field: &Field<'a>) -> Option<&'a str> {
    let id = field.id()?;
    if !id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
        return field.reject(format!("{} may hold letters, digits, - and _ only", shown(id)));
    }
    if id == FILES {
        return field.reject(format!("{FILES} is the source of account_files; choose another id"));
    }
    Some(id)
}

fn kind(mapping: &Mapping<'_>, decrypt: Option<&DecryptSettings>) -> Option<SourceKind> {
    let given = keys::SOURCE_KINDS.iter().filter_map(|key| Some((*key, mapping.get(key)?)));
    match given.collect::<Vec<_>>().as_slice() {
        [("file", field)] => file(field, mapping),
        [("http", field)] => http::http(field).map(SourceKind::Http),
        [(_, field)] => sql::sql(field, decrypt).map(SourceKind::Sql),
        _ => mapping.field.reject(format!("expected exactly one of {}", keys::SOURCE_KINDS.join(", "))),
    }
}

/// The patterns are read together with those of `account_files`.
fn file(field: &Field<'_>, mapping: &Mapping<'_>) -> Option<SourceKind> {
    if let Some(interval) = mapping.get("refresh_interval") {
        interval.problem("is not for files: they are read again when they change");
    }
    if field.is_list() && field.items().next().is_none() {
        return field.reject("names no file: expected a list like [accounts.d/*.yml]");
    }
    Some(SourceKind::File)
}

fn row_rules(mapping: &Mapping<'_>) -> RowRules {
    let account_key = |key: &str, field: &Field<'_>| {
        let known = keys::ACCOUNT.iter().any(|keys| keys.contains(&key)) || key.starts_with("label_");
        if !known {
            field.problem("is not a key of an account");
        }
    };
    let texts = |field: &Field<'_>| -> Vec<(String, String)> {
        let Some(texts) = field.open_mapping() else { return Vec::new() };
        texts.all().filter_map(|(key, value)| Some((key.to_owned(), value.text()?.to_owned()))).collect()
    };
    let mut rules = RowRules::default();
    if let Some(map) = mapping.get("map") {
        if let Some(map) = map.open_mapping() {
            map.all().for_each(|(key, value)| account_key(key, &value));
        }
        rules.map = texts(&map);
    }
    if let Some(values) = mapping.get("values").as_ref().and_then(|f| f.open_mapping()) {
        for (key, value) in values.all() {
            account_key(key, &value);
            rules.values.push((key.to_owned(), texts(&value)));
        }
    }
    if let Some(defaults) = mapping.get("defaults").as_ref().and_then(|f| f.open_mapping()) {
        for (key, value) in defaults.all() {
            account_key(key, &value);
            if !matches!(value.node.value, Value::Null) {
                rules.defaults.push((key.to_owned(), value.node.without_positions()));
            }
        }
    }
    rules
}
