//! What a source lists: its rows in the form of accounts, put in the place of its earlier ones.
//!
//! It must not know how a source is asked.

use std::borrow::Cow;

use secrecy::zeroize::Zeroizing;

use super::field::{Field, KeyPath};
use super::findings::{Findings, Position, Problem};
use super::load::{ACCOUNTS, CREDENTIALS};
use super::sources::RowRules;
use super::validator::{NOWHERE, Rows, Validator};
use super::yaml::{Key, Member, Node, ROOT, Value};
use super::{Config, Last, json, keys};
use crate::inventory::{Place, SourceStatus};
use crate::network::NetworkId;

/// Keys whose value may be one text with commas.
const LISTS: [&str; 3] = ["needs", "notify", "notify_opt_out"];
/// What the names of columns for labels begin with.
const LABEL: &str = "label_";

/// Puts a new list of a source in the place of its last one. `config` is the one in force, whose rows
/// `last` has. Rows of other sources stay; a row that is refused stays as it was.
///
/// The pages of the list are JSON documents like `{"credentials": […], "accounts": […]}`. `refused` are
/// problems of its accounts that are known already, by index.
///
/// # Errors
/// If a page is no such document: then nothing of the list counts.
pub fn refresh(
    config: &Config,
    last: Last<'_>,
    source: &str,
    pages: &[Zeroizing<String>],
    refused: impl IntoIterator<Item = (usize, String)>,
) -> Result<Config, String> {
    let findings = Findings::default();
    let mut validator = Validator::new(&findings, config.without_rows(), Some(last));
    let Some(index) = validator.config.statuses.iter().position(|status| status.id == source) else {
        return Err("the source is not configured".to_owned());
    };
    let rules = config.sources.iter().find(|settings| settings.id == source).map(|s| s.rows.clone());
    let rules = rules.unwrap_or_default();
    validator.config.statuses[index] = SourceStatus {
        refused: 0,
        up: Some(true),
        conflicting: false,
        ..validator.config.statuses[index].clone()
    };
    (validator.keep_main, validator.rows) = (true, Rows::Listed);
    let others = validator.config.statuses.iter().map(|status| status.id.clone());
    validator.kept_sources = others.filter(|id| id != source).collect();
    let path = Place::of_source(source);
    for (number, message) in refused {
        let at = format!("{ACCOUNTS}[{number}]");
        findings.problem(Problem { file: path.clone(), at: None, path: at, message });
    }
    let rank = index + 1;
    let mut file = None;
    for section in [CREDENTIALS, ACCOUNTS] {
        // An id that two sources give belongs to the first.
        validator.keep(section == ACCOUNTS, |other| other < rank);
        let file = *file.get_or_insert_with(|| validator.file(&path, Some(index)));
        validator.config.table.read_from(file.number);
        let mut number = 0;
        for page in pages.iter().filter(|page| may_hold(page, section)) {
            members(page, section, &mut |node| {
                let node = if section == ACCOUNTS { rules.account(node) } else { rules.credential(node) };
                let list = KeyPath::Key(&KeyPath::Root, section);
                let field =
                    Field { path: KeyPath::Index(&list, number), ..Field::root(&path, &node, &findings) };
                number += 1;
                if section == ACCOUNTS {
                    validator.account(file, &field);
                } else {
                    validator.named_credential(file, &field);
                }
            })?;
        }
        if section == ACCOUNTS {
            validator.keep_if_halved(|id| id == source);
        }
        validator.keep(section == ACCOUNTS, |_| true);
    }
    let Validator { mut config, complete, .. } = validator;
    let (mut problems, unresolved) = findings.into_problems(&[path], complete);
    problems.list.extend(unresolved);
    config.finish(problems, |id| id == source);
    Ok(config)
}

/// Whether a page may hold a section. Most have no credentials, and need not be read for them.
fn may_hold(page: &str, section: &str) -> bool {
    // A key may be written with escapes.
    section == ACCOUNTS || page.contains(&format!("\"{section}\"")) || page.contains("\\u")
}

/// Hands out the members of a section of a page. A page that is a list is the section `accounts`.
fn members<'t>(page: &'t str, section: &str, each: &mut dyn FnMut(Node<'t>)) -> Result<(), String> {
    let root = json::parse(
        page,
        false,
        &[CREDENTIALS, ACCOUNTS, ROOT],
        &mut |Member { section: name, node, .. }| {
            if name == section || (name == ROOT && section == ACCOUNTS) {
                each(node);
            }
        },
    );
    // The message quotes nothing of the text.
    let place = |at: Position| format!(" (line {}, column {})", at.line, at.column);
    let root = root.map_err(|e| format!("{}{}", e.message, e.at.map(place).unwrap_or_default()))?;
    let listed = |entries: &[(Key<'_>, Node<'_>)]| {
        let lists = entries.iter().filter(|(key, _)| key.text == section);
        lists
            .map(|(_, node)| &node.value)
            .all(|value| matches!(value, Value::List(items) if items.is_empty()))
    };
    match &root.value {
        Value::List(_) => Ok(()),
        Value::Map(entries) if listed(entries) => Ok(()),
        _ => Err(format!("is not the expected JSON: {section} are no list")),
    }
}

impl RowRules {
    /// A row in the form of an account.
    pub(super) fn account<'t>(&self, row: Node<'t>) -> Node<'t> {
        let Value::Map(entries) = row.value else { return row };
        let mut account: Vec<(Key<'t>, Node<'t>)> = Vec::with_capacity(entries.len());
        let mapped: Vec<(Key<'t>, Node<'t>)> = self
            .map
            .iter()
            .filter_map(|(key, paths)| {
                let value = places(paths).filter_map(|path| at(&entries, path)).find(|n| !is_empty(n));
                Some((key_of(key), value?))
            })
            .collect();
        let paths = self.map.iter().flat_map(|(_, paths)| places(paths));
        let used = |name: &str| paths.clone().any(|path| path.split('.').next() == Some(name));
        let own = |name: &str| self.map.iter().any(|(key, _)| key == name);
        account.extend(entries.into_iter().filter(|(key, _)| !used(&key.text) && !own(&key.text)));
        account.extend(mapped);
        let says_nothing = |value: &Node<'t>| match &value.value {
            Value::List(_) if self.empty_lists => false,
            _ => is_empty(value),
        };
        account.retain(|(_, value)| !says_nothing(value));
        for (key, value) in &mut account {
            self.translate(&key.text, value);
            if LISTS.contains(&&*key.text) {
                split(value);
            }
        }
        for (key, value) in &self.defaults {
            if !account.iter().any(|(known, _)| known.text == *key) {
                account.push((key_of(key), value.clone()));
            }
        }
        let labels: Vec<(Key<'t>, Node<'t>)> = {
            let (labels, others) = account.into_iter().partition(|(key, _)| key.text.starts_with(LABEL));
            account = others;
            labels
        };
        if !labels.is_empty() {
            let named = |(key, value): (Key<'t>, Node<'t>)| (key_of(&key.text[LABEL.len()..]), value);
            let labels: Vec<(Key<'t>, Node<'t>)> = labels.into_iter().map(named).collect();
            match account.iter_mut().find(|(key, _)| key.text == "labels") {
                Some((_, Node { value: Value::Map(known), .. })) => known.extend(labels),
                _ => account.push((key_of("labels"), Node { at: row.at, value: Value::Map(labels) })),
            }
        }
        let has_token = account.iter().any(|(key, _)| keys::TOKEN.contains(&&*key.text));
        Node { at: row.at, value: Value::Map(if has_token { self.with_app(account) } else { account }) }
    }

    /// A member of a source's `credentials`.
    pub(super) fn credential<'t>(&self, row: Node<'t>) -> Node<'t> {
        let Value::Map(mut entries) = row.value else { return row };
        entries.iter_mut().for_each(|(key, value)| self.translate(&key.text, value));
        Node { at: row.at, value: Value::Map(self.with_app(entries)) }
    }

    fn translate(&self, key: &str, value: &mut Node<'_>) {
        let Value::Scalar(text) = &mut value.value else { return };
        let words = self.values.iter().filter(|(name, _)| name == key).flat_map(|(_, words)| words);
        if let Some((_, meaning)) = words.into_iter().find(|(word, _)| word == text) {
            *text = Cow::Owned(meaning.clone());
        }
    }

    /// Names the app that logins of the network belong to, unless the row does.
    fn with_app<'t>(&self, mut entries: Vec<(Key<'t>, Node<'t>)>) -> Vec<(Key<'t>, Node<'t>)> {
        let text = |name: &str| {
            let (_, node) = entries.iter().find(|(key, _)| key.text == name)?;
            if let Value::Scalar(text) = &node.value { Some(&**text) } else { None }
        };
        let network = text("network").and_then(NetworkId::from_name);
        let app = self.apps.iter().find(|(known, _)| network == Some(*known));
        if let Some((_, app)) = app.filter(|_| text("app").is_none()) {
            entries
                .push((key_of("app"), Node { at: NOWHERE, value: Value::Scalar(Cow::Owned(app.clone())) }));
        }
        entries
    }
}

/// The places at which `map` looks for a value.
fn places(paths: &str) -> impl Iterator<Item = &str> + Clone {
    paths.split(',').map(str::trim)
}

fn key_of(name: &str) -> Key<'static> {
    Key { at: NOWHERE, text: Cow::Owned(name.to_owned()) }
}

/// The value at a path of keys, if there is one. A path leads into texts that hold a JSON object, too:
/// MariaDB and SQLite have no other columns for JSON.
fn at<'t>(entries: &[(Key<'t>, Node<'t>)], path: &str) -> Option<Node<'t>> {
    let find = |name: &str| entries.iter().find(|(key, _)| key.text == name).map(|(_, node)| node);
    // A name may hold dots itself.
    if let Some(node) = find(path) {
        return Some(node.clone());
    }
    let (first, rest) = path.split_once('.')?;
    match &find(first)?.value {
        Value::Map(inner) => at(inner, rest),
        Value::Scalar(text) if text.trim_start().starts_with('{') => {
            let object = json::Reader::default().tree(text, 1).ok()?;
            let Value::Map(inner) = object.without_positions().value else { return None };
            at(&inner, rest)
        }
        _ => None,
    }
}

fn is_empty(node: &Node<'_>) -> bool {
    match &node.value {
        Value::Null => true,
        Value::Scalar(text) => text.trim().is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Map(_) => false,
    }
}

/// Makes a list of a text with commas.
fn split(node: &mut Node<'_>) {
    let Value::Scalar(text) = &node.value else { return };
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let items =
        parts.map(|part| Node { at: node.at, value: Value::Scalar(Cow::Owned(part.to_owned())) }).collect();
    node.value = Value::List(items);
}
