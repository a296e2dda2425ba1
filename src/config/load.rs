//! Reads the files of a configuration.
//!
//! Main files are parsed first for their small sections. Then the long lists of all files follow:
//! the credentials, then the accounts, which refer to them. One file is read at a time, and the
//! members of the lists are handled one by one, so that neither texts nor trees of many files are in
//! memory together.

use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;

use super::Config;
use super::field::{Field, KeyPath, relative_to, why_unreadable};
use super::findings::{Findings, Position, Problem, Problems};
use super::validator::{Document, SourceFile, Validator};
use super::yaml::{self, Member, Node, ROOT};

/// The sections that may have a million members.
const CREDENTIALS: &str = "credentials";
const ACCOUNTS: &str = "accounts";

/// Reads the configuration from these files and from the account files that they name.
///
/// # Errors
/// All problems of all files.
pub fn load(paths: &[PathBuf]) -> Result<Config, Problems> {
    let findings = Findings::default();
    let mut files: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !files.contains(path) {
            files.push(path.clone());
        }
    }
    let mut validator = Validator::new(&findings);
    let main: Vec<SourceFile<'_>> = files.iter().map(|path| validator.file(path, true)).collect();
    let mut documents = Vec::new();
    for file in main {
        let Some(text) = text_of(file, &mut validator) else { continue };
        match yaml::parse(&text, &[CREDENTIALS, ACCOUNTS], &mut |_| {}) {
            Ok(root) => documents.push(Document { file, root, findings: &findings }),
            Err(e) => validator.broken(file, e.at, e.message),
        }
    }
    validator.main(&documents);
    let (patterns, found) = account_files(&documents, &files);

    let included: Vec<SourceFile<'_>> = found.iter().map(|path| validator.file(path, false)).collect();
    let mut broken = HashSet::new();
    for section in [CREDENTIALS, ACCOUNTS] {
        let has_section = |document: &&Document<'_>| {
            document.field().as_mapping().is_some_and(|mapping| mapping.get(section).is_some())
        };
        let main = documents.iter().filter(has_section).map(|document| document.file);
        for file in main.chain(included.iter().copied()) {
            if !broken.contains(&file.number) && !read_list(file, section, &mut validator) {
                broken.insert(file.number);
            }
        }
    }
    let (config, complete) = validator.finish();
    files.extend(found);
    let warnings = findings.into_result(&files, complete)?;
    Ok(Config { files, patterns, warnings, ..config })
}

/// False if the file is broken.
fn read_list(file: SourceFile<'_>, section: &'static str, validator: &mut Validator<'_>) -> bool {
    let Some(text) = text_of(file, validator) else { return false };
    // Most account files hold accounts only. (Escapes could hide the name of the section.)
    if !file.main && section == CREDENTIALS && !text.contains(CREDENTIALS) && !text.contains('\\') {
        return true;
    }
    let sections: &[&'static str] =
        if file.main { &[CREDENTIALS, ACCOUNTS] } else { &[CREDENTIALS, ACCOUNTS, ROOT] };
    let findings = validator.findings;
    let parsed = parse_ahead(&text, sections, |Member { section: name, index, node }| {
        let list = if name == ROOT { KeyPath::Root } else { KeyPath::Key(&KeyPath::Root, name) };
        if name == section || (name == ROOT && section == ACCOUNTS) {
            let path = KeyPath::Index(&list, index);
            let field = Field { path, ..Field::root(file.path, &node, findings) };
            read_member(file, section, &field, validator);
        }
    });
    let document = match parsed {
        Ok(root) => Document { file, root, findings },
        Err(e) => {
            validator.broken(file, e.at, e.message);
            return false;
        }
    };
    if section == ACCOUNTS && !file.main {
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

fn read_member(file: SourceFile<'_>, section: &str, item: &Field<'_>, validator: &mut Validator<'_>) {
    if section == CREDENTIALS {
        validator.named_credential(file, item);
    } else {
        validator.account(file, item);
    }
}

/// Parses a document in a thread of its own, which is a few members ahead of `take`.
fn parse_ahead(text: &str, sections: &[&'static str], mut take: impl FnMut(Member)) -> yaml::Result<Node> {
    /// The number of members that are sent together. Sending each by itself would cost as much as
    /// parsing it.
    const BATCH: usize = 64;
    /// Maximum number of batches that wait.
    const BATCHES_AHEAD: usize = 4;
    std::thread::scope(|scope| {
        let (send, batches) = sync_channel::<Vec<Member>>(BATCHES_AHEAD);
        let parser = scope.spawn(move || {
            let mut batch = Vec::with_capacity(BATCH);
            let parsed = yaml::parse(text, sections, &mut |member| {
                batch.push(member);
                if batch.len() == BATCH {
                    // The receiver stays until the end.
                    let _ = send.send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH)));
                }
            });
            let _ = send.send(batch);
            parsed
        });
        batches.into_iter().flatten().for_each(&mut take);
        parser.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
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
    let file = std::fs::File::open(path).map_err(failed)?;
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

/// The files that a pattern of `account_files` matches now; none if the pattern is invalid.
pub fn included(pattern: &str) -> Option<impl Iterator<Item = Result<PathBuf, glob::GlobError>>> {
    // Editors keep locks and backup copies beside a file, under names that begin with a dot.
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    let matches = glob::glob_with(pattern, options).ok()?;
    Some(matches.filter(|path| path.as_ref().map_or(true, |p| p.is_file())))
}

/// The patterns of `account_files`, and the files that they match: each file once, in the order of
/// patterns and names.
fn account_files(documents: &[Document<'_>], main: &[PathBuf]) -> (Vec<String>, Vec<PathBuf>) {
    let identity = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut known: HashSet<PathBuf> = main.iter().map(|path| identity(path)).collect();
    let (mut patterns, mut files) = (Vec::new(), Vec::new());
    for document in documents {
        let Some(mapping) = document.field().as_mapping() else { continue };
        mapping.each("account_files", |item| {
            let Some(text) = item.text() else { return };
            let pattern = if Path::new(text).is_absolute() {
                text.to_owned()
            } else {
                // Only `text` is a pattern; the name of the directory is taken literally.
                let directory = relative_to(document.file.path, "");
                let directory = glob::Pattern::escape(&directory.to_string_lossy());
                Path::new(&directory).join(text).to_string_lossy().into_owned()
            };
            let Some(matches) = included(&pattern) else {
                item.problem("is not a pattern of file names like accounts.d/*.yml");
                return;
            };
            let mut any = false;
            for path in matches {
                match path {
                    Ok(path) => {
                        any = true;
                        if known.insert(identity(&path)) {
                            files.push(path);
                        }
                    }
                    Err(e) => {
                        item.findings.problem(Problem::of_file(e.path(), None, why_unreadable(e.error())))
                    }
                }
            }
            if !any {
                item.warning("matches no file");
            }
            patterns.push(pattern);
        });
    }
    (patterns, files)
}
