//! Reads the files of a configuration.
//!
//! Main files are parsed first for their small sections. Then the long lists of all files follow:
//! the credentials, then the accounts, which refer to them. One file is read at a time, and the
//! members of the lists are handled one by one, so that neither texts nor trees of many files are in
//! memory together.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::account_files::{account_files, open_regular};
use super::field::{Field, KeyPath, why_unreadable};
use super::findings::{Findings, Position, Problems};
use super::lines::read_lines;
use super::sources::SourceSettings;
use super::validator::{Document, SourceFile, Validator};
use super::yaml::{self, Member, ROOT};
use super::{Config, Known, Last};
use super::{json, stored};
use crate::inventory::FILES;

/// The sections that may have a million members.
pub(super) const CREDENTIALS: &str = "credentials";
pub(super) const ACCOUNTS: &str = "accounts";

/// Reads the configuration from these files and from the account files that they name.
///
/// # Errors
/// All problems of all files.
pub fn load(paths: &[PathBuf]) -> Result<Config, Problems> {
    read(paths, None)
}

/// As [`load`], but a problem of a source costs only the row or the file that has it: what is known
/// of it stays.
///
/// # Errors
/// All problems, if one of them is in the files named by `paths`.
pub fn load_keeping(paths: &[PathBuf], known: Known<'_>) -> Result<Config, Problems> {
    read(paths, Some(known))
}

/// Reads the files named by `paths`, but no accounts and credentials.
///
/// # Errors
/// All problems of what is read.
pub fn load_settings(paths: &[PathBuf]) -> Result<Config, Problems> {
    let findings = Findings::default();
    let files = once_each(paths);
    let mut validator = Validator::new(&findings, Config::start(None), None);
    let main: Vec<SourceFile<'_>> = files.iter().map(|path| validator.file(path, None)).collect();
    let documents = documents(&main, &findings, &mut validator);
    validator.main(&documents);
    let Validator { config, complete, .. } = validator;
    drop(documents);
    let (problems, _) = findings.into_problems(&files, complete);
    if problems.list.is_empty() { Ok(config) } else { Err(problems) }
}

fn once_each(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !files.contains(path) {
            files.push(path.clone());
        }
    }
    files
}

/// Parses the main files, apart from their long lists.
fn documents<'f>(
    main: &[SourceFile<'f>],
    findings: &'f Findings,
    validator: &mut Validator<'_>,
) -> Vec<Document<'f>> {
    let mut documents = Vec::new();
    for file in main.iter().copied() {
        let Some(text) = text_of(file, validator) else { continue };
        match yaml::parse(&text, &[CREDENTIALS, ACCOUNTS], &mut |_| {}) {
            Ok(root) => documents.push(Document { file, root, findings }),
            Err(e) => validator.broken(file, e.at, e.message),
        }
    }
    documents
}

fn read(paths: &[PathBuf], known: Option<Known<'_>>) -> Result<Config, Problems> {
    let findings = Findings::default();
    let mut files = once_each(paths);
    let last = match known {
        Some(Known::Last(last)) => Some(last),
        Some(Known::Stored(_)) | None => None,
    };
    let stored = OnceCell::new();
    let mut validator = Validator::new(&findings, Config::start(last), last);
    let main: Vec<SourceFile<'_>> = files.iter().map(|path| validator.file(path, None)).collect();
    let documents = documents(&main, &findings, &mut validator);
    validator.main(&documents);
    if let Some(Known::Stored(folder)) = known {
        let (inventory, sources) = stored.get_or_init(|| stored::read(folder, &validator));
        validator.start_from(Last { inventory, sources });
    }
    let found = account_files(&documents, &files, &mut validator);
    let sources = validator.config.sources.clone();
    let (of_files, asked): (Vec<&SourceSettings>, Vec<_>) = sources.iter().partition(|s| s.is_file());
    validator.kept_sources = asked.iter().map(|source| source.id.clone()).collect();
    let is_file = |id: &str| of_files.iter().any(|source| source.id == id);

    let mut included = Vec::with_capacity(found.len());
    for (path, source) in &found {
        let id = validator.config.statuses.get(*source).map(|status| &status.id);
        let settings = of_files.iter().find(|settings| Some(&settings.id) == id && settings.id != FILES);
        let rules = settings.map(|settings| &settings.rows);
        included.push(SourceFile { rules, ..validator.file(path, Some(*source)) });
    }
    let sizes = main.iter().chain(&included).filter_map(|file| std::fs::metadata(file.path).ok());
    let bytes = sizes.map(|metadata| metadata.len().min(yaml::MAX_FILE_BYTES)).sum::<u64>();
    validator.config.table.reserve(usize::try_from(bytes).unwrap_or(0));
    let mut broken = HashSet::new();
    for section in [CREDENTIALS, ACCOUNTS] {
        let has_section = |document: &&Document<'_>| {
            document.field().as_mapping().is_some_and(|mapping| mapping.get(section).is_some())
        };
        let main = documents.iter().filter(has_section).map(|document| document.file);
        let mut source = None;
        for file in main.chain(included.iter().copied()) {
            if let Some(index) = file.source.filter(|_| file.source != source) {
                // An id that two sources give belongs to the first.
                validator.keep(section == ACCOUNTS, |rank| rank <= index);
                source = file.source;
            }
            if !broken.contains(&file.number) && !read_list(file, section, &mut validator) {
                broken.insert(file.number);
            }
        }
        if section == ACCOUNTS {
            validator.keep_if_halved(is_file);
        }
        validator.keep(section == ACCOUNTS, |_| true);
    }
    validator.unused();
    let Validator { mut config, complete, .. } = validator;
    let main = files.len();
    files.extend(found.into_iter().map(|(path, _)| path));
    let (mut problems, unresolved) = findings.into_problems(&files, complete);
    if problems.list.iter().any(|problem| known.is_none() || files[..main].contains(&problem.file)) {
        return Err(problems);
    }
    problems.list.extend(unresolved);
    config.finish(problems, is_file);
    Ok(config)
}

/// False if the file is broken.
fn read_list(file: SourceFile<'_>, section: &'static str, validator: &mut Validator<'_>) -> bool {
    if file.is_of("jsonl") {
        return read_lines(file, section, validator);
    }
    let begin = validator.mark(file);
    validator.config.table.read_from(file.number);
    let Some(text) = text_of(file, validator) else { return false };
    // Most account files hold accounts only. (Escapes could hide the name of the section.)
    if !file.is_main() && section == CREDENTIALS && !text.contains(CREDENTIALS) && !text.contains('\\') {
        return true;
    }
    let sections: &[&'static str] =
        if file.is_main() { &[CREDENTIALS, ACCOUNTS] } else { &[CREDENTIALS, ACCOUNTS, ROOT] };
    let findings = validator.findings;
    let mut each = |Member { section: name, index, node }: Member<'_>| {
        let list = if name == ROOT { KeyPath::Root } else { KeyPath::Key(&KeyPath::Root, name) };
        if name == section || (name == ROOT && section == ACCOUNTS) {
            let path = KeyPath::Index(&list, index);
            let field = Field { path, ..Field::root(file.path, &node, findings) };
            _ = read_member(file, section, &field, validator);
        }
    };
    let parsed = if file.is_of("json") {
        json::parse(&text, true, sections, &mut each)
    } else {
        yaml::parse(&text, sections, &mut each)
    };
    let document = match parsed {
        Ok(root) => Document { file, root, findings },
        Err(e) => {
            validator.roll_back(file, begin);
            validator.broken(file, e.at, e.message);
            return false;
        }
    };
    if section == ACCOUNTS && !file.is_main() {
        validator.top(&document);
    }
    // What is left in the tree: a list with an anchor, or a value that is no list.
    let root = document.field();
    let mapping = root.as_mapping();
    let list = if root.is_list() {
        Some(root).filter(|_| section == ACCOUNTS)
    } else {
        mapping.as_ref().and_then(|m| m.get(section))
    };
    if let Some(list) = list {
        for item in list.items() {
            read_member(file, section, &item, validator);
        }
    }
    true
}

/// Adds a row, in the form of an account or a credential.
/// Returns whether it was added.
pub(super) fn read_member(
    file: SourceFile<'_>,
    section: &str,
    item: &Field<'_>,
    validator: &mut Validator<'_>,
) -> bool {
    let row = file.rules.map(|rules| match section {
        CREDENTIALS => rules.credential(item.node.clone()),
        _ => rules.account(item.node.clone()),
    });
    let item = &Field { node: row.as_ref().unwrap_or(item.node), ..*item };
    if section == CREDENTIALS {
        validator.named_credential(file, item)
    } else {
        validator.account(file, item)
    }
}

/// The text of a file; none, with a problem, if it cannot be read.
fn text_of(file: SourceFile<'_>, validator: &mut Validator<'_>) -> Option<String> {
    read_text(file.path).map_err(|(at, message)| validator.broken(file, at, message)).ok()
}

pub(super) fn read_text(path: &Path) -> Result<String, (Option<Position>, String)> {
    let failed = |e: std::io::Error| (None, why_unreadable(&e).to_owned());
    let too_large = || {
        let most = yaml::MAX_FILE_BYTES >> 20;
        (None, format!("is larger than {most} MiB; account_files can hold the accounts in several files"))
    };
    let file = open_regular(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.len() > yaml::MAX_FILE_BYTES {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    file.take(yaml::MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > yaml::MAX_FILE_BYTES {
        return Err(too_large());
    }
    String::from_utf8(bytes).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&e.as_bytes()[..valid]).into_owned();
        let count = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = count(before.matches('\n').count());
        let column = count(before[line_start..].chars().count());
        (Some(Position { line, column }), format!("is not UTF-8 text: byte {valid} cannot be read"))
    })
}
