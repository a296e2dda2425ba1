//! The rows of sources on disk, without tokens, so that a restart loses none of them while a source
//! cannot be read.
//!
//! Each source has a file with a head and a line for each row, which has the keys of the
//! configuration.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::Last;
use super::field::Field;
use super::findings::Findings;
use super::json;
use super::probe_rules::stored_rules;
use super::validator::{Rows, SourceFile, Validator};
use crate::inventory::{AccountView, CredentialView, Inventory, SecretSource, SourceStatus};
use crate::model::{Language, Timestamp, format_duration};

const VERSION: u32 = 1;

/// Stands for a mail address of somebody who wants no mail; the domain cannot exist (RFC 2606).
const NOBODY: &str = "nobody@opted-out.invalid";

#[derive(Deserialize)]
struct Head {
    version: u32,
    /// In Unix seconds.
    last_success: Option<i64>,
    /// The files that rows come from, by the number in their lines.
    places: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Line<'l> {
    place: usize,
    #[serde(borrow)]
    credential: Option<&'l RawValue>,
    #[serde(borrow)]
    account: Option<&'l RawValue>,
}

fn file_of(folder: &Path, source: &str) -> PathBuf {
    folder.join(format!("source-{source}.jsonl"))
}

/// Stores the rows of a source.
///
/// # Errors
/// If the folder cannot be written to. What is there stays then.
pub fn store(folder: &Path, inventory: &Inventory, source: &SourceStatus) -> std::io::Result<()> {
    let mut numbers = vec![None; inventory.places().len()];
    let mut places = Vec::new();
    for (number, place) in numbers.iter_mut().zip(inventory.places()) {
        if place.is_of(&source.id) {
            *number = Some(places.len());
            places.push(std::path::absolute(&place.path)?);
        }
    }
    let number = |place: usize| numbers.get(place).copied().flatten();
    let path = file_of(folder, &source.id);
    let new = path.with_extension("jsonl.new");
    let mut out = BufWriter::with_capacity(1 << 16, File::create(&new)?);
    let mut write = |value: &Value| {
        serde_json::to_writer(&mut out, value)?;
        out.write_all(b"\n")
    };
    let line = |place: usize, kind: &str, row: Map<String, Value>| {
        let entries = [("place".to_owned(), place.into()), (kind.to_owned(), Value::Object(row))];
        Value::Object(Map::from_iter(entries))
    };
    let last_success = source.last_success.map(Timestamp::unix);
    write(&json!({"version": VERSION, "last_success": last_success, "places": places}))?;
    for row in inventory.credentials() {
        if let Some(place) = number(row.place()) {
            write(&line(place, "credential", credential(row)))?;
        }
    }
    for row in inventory.accounts() {
        if let Some(place) = number(row.place()) {
            write(&line(place, "account", account(row)))?;
        }
    }
    out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    std::fs::rename(&new, &path)?;
    File::open(folder)?.sync_all()
}

/// Adds what is there to a row; texts may be empty.
fn put(row: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    let value = value.into();
    if value != Value::Null && value != json!("") {
        row.insert(key.to_owned(), value);
    }
}

fn credential(credential: CredentialView<'_>) -> Map<String, Value> {
    let mut row = Map::new();
    put(&mut row, "id", credential.id());
    put(&mut row, "network", credential.network().name());
    put(&mut row, "app", credential.app_id());
    put(&mut row, "connected_by", credential.connected_by());
    put_secret(&mut row, "token", &credential.token());
    if let Some(secret) = credential.token_secret() {
        put_secret(&mut row, "token_secret", secret);
    }
    put(&mut row, "expires_at", credential.expires_at().map(Timestamp::unix));
    put(&mut row, "refresh_expires_at", credential.refresh_expires_at().map(Timestamp::unix));
    if credential.auto_refresh() {
        put(&mut row, "auto_refresh", true);
    }
    put(&mut row, "scopes", credential.scopes());
    put(&mut row, "base_url", credential.base_url().map(|url| url.as_str()));
    if let Some(rules) = credential.probe_rules() {
        stored_rules(rules).into_iter().for_each(|(key, value)| put(&mut row, key, value));
    }
    row
}

/// Where a secret comes from. The secret itself is left out.
fn put_secret(row: &mut Map<String, Value>, key: &str, source: &SecretSource) {
    match source {
        SecretSource::File(path) => {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            put(row, &format!("{key}_file"), path.to_string_lossy());
        }
        SecretSource::Env(name) => put(row, &format!("{key}_env"), name.as_str()),
        SecretSource::Command(words) => put(row, &format!("{key}_command"), words.as_slice()),
        // A null says that there is one.
        SecretSource::Inline(_) | SecretSource::Unread => _ = row.insert(key.to_owned(), Value::Null),
    }
}

fn account(account: AccountView<'_>) -> Map<String, Value> {
    let mut row = Map::new();
    let settings = account.settings();
    put(&mut row, "id", account.id());
    put(&mut row, "name", account.name());
    put(&mut row, "network", account.network().name());
    put(&mut row, "kind", account.kind());
    put(&mut row, "external_id", account.external_id());
    put(&mut row, "credential", account.credential().map(|credential| credential.id()));
    put(&mut row, "needs", account.needs().iter().map(|need| need.label()).collect::<Vec<_>>());
    put(&mut row, "use", account.purpose().label());
    let labels: Map<String, Value> =
        account.labels().map(|(name, text)| (name.to_owned(), text.into())).collect();
    put(&mut row, "labels", labels);
    if account.opted_out() {
        // Read as a recipient who does not want any.
        put(&mut row, "notify", [NOBODY].as_slice());
        put(&mut row, "notify_opt_out", [NOBODY].as_slice());
    } else {
        let notify: Vec<&str> = account.notify().split(',').filter(|address| !address.is_empty()).collect();
        put(&mut row, "notify", notify);
    }
    put(&mut row, "language", settings.language.map(Language::code));
    put(&mut row, "reconnect_url", account.reconnect_url());
    put(&mut row, "state", account.source_state());
    put(&mut row, "probe_interval", settings.probe_interval.map(format_duration));
    put(&mut row, "next_use", account.next_use().map(Timestamp::unix));
    row
}

/// The rows that are stored for the sources of a configuration. Rows with problems are left out.
pub(super) fn read(folder: Option<&Path>, from: &Validator<'_>) -> (Inventory, Vec<SourceStatus>) {
    let findings = Findings::default();
    let nothing = Inventory::default();
    let last = Last { inventory: &nothing, sources: &[] };
    let mut validator = Validator {
        apps: from.apps.clone(),
        ..Validator::new(&findings, from.config.without_rows(), Some(last))
    };
    validator.used_apps.clone_from(&from.used_apps);
    validator.rows = Rows::Stored;
    for index in 0..validator.config.statuses.len() {
        let Some(folder) = folder else { break };
        let path = file_of(folder, &validator.config.statuses[index].id);
        if let Err(problem) = read_source(&path, index, &mut validator) {
            tracing::warn!(file = %path.display(), %problem, "the stored rows of a source cannot be read");
        }
    }
    let Validator { mut config, .. } = validator;
    let statuses = std::mem::take(&mut config.statuses);
    (config.inventory(|_| true), statuses)
}

fn read_source(path: &Path, index: usize, validator: &mut Validator<'_>) -> anyhow::Result<()> {
    let file = match File::open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let mut lines = BufReader::with_capacity(1 << 16, file).split(b'\n');
    let Some(head) = lines.next() else { return Ok(()) };
    let head: Head = serde_json::from_slice(&head?)?;
    anyhow::ensure!(head.version == VERSION, "version {} is not known", head.version);
    validator.config.statuses[index].last_success = head.last_success.and_then(Timestamp::from_unix);
    let files: Vec<SourceFile<'_>> =
        head.places.iter().map(|place| validator.file(place, Some(index))).collect();
    for line in lines {
        let line = line?;
        let line: Line<'_> = serde_json::from_slice(&line)?;
        let Some(file) = files.get(line.place) else { continue };
        validator.config.table.read_from(file.number);
        let findings = validator.findings;
        let (row, is_account) = match (&line.credential, &line.account) {
            (Some(row), None) => (row, false),
            (_, Some(row)) => (row, true),
            (None, None) => continue,
        };
        let node = json::Reader::default().tree(row.get(), 1).map_err(|e| anyhow::Error::msg(e.message))?;
        let field = Field::root(file.path, &node, findings);
        if is_account {
            validator.account(*file, &field);
        } else {
            validator.named_credential(*file, &field);
        }
    }
    Ok(())
}
