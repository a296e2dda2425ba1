//! The configuration: what it says once it is known to be right.
//!
//! [`load`] reads every file, reports every problem in one go, and resolves all references: whoever
//! holds a [`Config`] need not check anything again. The way there: `yaml` (by `plain` where it
//! can) makes trees that know their places, one for each account; `read` takes typed values from
//! them, `values` the compound ones, `validate` puts them into the table, `problem` says what is
//! wrong. Nothing here talks to a network or reads a secret.

use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use crate::inventory::{App, Inventory, Table};
use crate::model::Use;
use crate::network::NetworkId;

mod plain;
mod problem;
mod read;
mod validate;
mod values;
pub mod web;
mod yaml;

pub use problem::{At, Problem, Problems, Warning, WarningKind};

use problem::Findings;
use read::{Cursor, Trail, relative_to, why_unreadable};
use validate::{Document, File, Validator};
use yaml::{Member, Node};

/// Everything that the configuration says.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What holds for all.
    pub global: Global,
    /// The developer apps.
    pub apps: Vec<App>,
    /// The accounts that are watched, and the logins behind them.
    pub table: Table,
    /// Which notices are sent; the first rule that matches holds.
    pub schedule: Vec<ScheduleRule>,
    /// Every file that was read, for watching.
    pub files: Vec<PathBuf>,
    /// The patterns of `account_files`, for watching: a new file that one matches belongs to the
    /// configuration.
    pub patterns: Vec<String>,
    /// What works but deserves a look.
    pub warnings: Vec<Warning>,
}

/// What holds for all.
#[derive(Clone, Debug)]
pub struct Global {
    /// How often a connection is probed.
    pub probe_interval: Duration,
    /// How long one call may take.
    pub probe_timeout: Duration,
    /// How many probes run at the same time.
    pub probe_concurrency: usize,
    /// Recipients of accounts that name none.
    pub notify: Vec<String>,
    /// Whether requests may go to private addresses.
    pub allow_private_networks: bool,
}

impl Config {
    /// What is watched, keeping only the credentials that `mine` picks (a shard's share).
    pub fn inventory(self, mine: impl Fn(&str) -> bool) -> Inventory {
        Inventory::new(self.apps, self.table, self.global.probe_interval, mine)
    }
}

impl Default for Global {
    fn default() -> Self {
        Self {
            probe_interval: Duration::from_secs(3600),
            probe_timeout: Duration::from_secs(10),
            probe_concurrency: 64,
            notify: Vec::new(),
            allow_private_networks: false,
        }
    }
}

/// When notices are sent for the accounts that it matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleRule {
    /// The networks; empty: all.
    pub networks: Vec<NetworkId>,
    /// The uses; empty: all.
    pub uses: Vec<Use>,
    /// The notices, the earliest first.
    pub notices: Vec<Notice>,
}

/// One notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// So long before the deadline.
    Before(Duration),
    /// On the day of the deadline.
    Today,
}

impl Notice {
    /// The value of the label `notice`: `10d`, `90s`, `today`.
    pub fn label(self) -> String {
        match self {
            Self::Before(before) => {
                let seconds = before.as_secs();
                let units = [("d", 86_400), ("h", 3600), ("m", 60)];
                let whole =
                    units.into_iter().find(|(_, unit)| seconds >= *unit && seconds.is_multiple_of(*unit));
                whole
                    .map_or_else(|| format!("{seconds}s"), |(name, unit)| format!("{}{name}", seconds / unit))
            }
            Self::Today => "today".to_owned(),
        }
    }
}

impl ScheduleRule {
    /// Whether this rule is the one for such an account, if none before it is.
    pub fn matches(&self, network: NetworkId, purpose: Use) -> bool {
        (self.networks.is_empty() || self.networks.contains(&network))
            && (self.uses.is_empty() || self.uses.contains(&purpose))
    }
}

/// The schedule of a configuration that has none.
pub fn default_schedule() -> Vec<ScheduleRule> {
    values::default_schedule()
}

/// Reads the configuration from these files and from the account files that they name.
///
/// Files are read three times at most, each time one after the other: for what is small, for
/// credentials, for accounts. So whatever is referred to is known, and neither texts nor trees of
/// many files are held at the same time.
///
/// # Errors
/// With every problem of every file.
pub fn load(paths: &[PathBuf]) -> Result<Config, Problems> {
    let mut out = Findings::default();
    let mut files: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !files.contains(path) {
            files.push(path.clone());
        }
    }
    let mut validator = Validator::new(&mut out);
    let main: Vec<File<'_>> = files.iter().map(|path| validator.file(path, true)).collect();
    let (mut patterns, mut found) = (Vec::new(), Vec::new());
    let mut whole = read_main(&main, &mut validator, |documents, out| {
        found = account_files(documents, &files, &mut patterns, out)
    });

    let included: Vec<File<'_>> = found.iter().map(|path| validator.file(path, false)).collect();
    whole.extend(included);
    whole.retain(|file| {
        read_part(*file, CREDENTIALS, &mut validator, |validator, member| {
            validator.named_credential(*file, member)
        })
    });
    for file in whole {
        read_part(file, ACCOUNTS, &mut validator, |validator, member| validator.account(file, member));
    }
    let (config, complete) = validator.finish();
    files.extend(found.iter().cloned());
    let warnings = out.into_result(&files, complete)?;
    Ok(Config { files, patterns, warnings, ..config })
}

/// Reads what is small in the main files, hands the documents to `and_then`, and returns the files
/// that are whole.
fn read_main<'p>(
    files: &[File<'p>],
    validator: &mut Validator<'_>,
    and_then: impl FnOnce(&[Document<'_>], &mut Findings),
) -> Vec<File<'p>> {
    let texts: Vec<(File<'p>, String)> =
        files.iter().filter_map(|file| Some((*file, text_of(*file, validator)?))).collect();
    let mut documents = Vec::new();
    for (file, text) in &texts {
        // Their members come later; here they only take no memory.
        match yaml::parse(text, &[CREDENTIALS, ACCOUNTS], &mut |_| {}) {
            Ok(root) => documents.push(Document { file: *file, root }),
            Err(fault) => broken(*file, fault, validator),
        }
    }
    for document in &documents {
        validator.top(document);
    }
    validator.main(&documents);
    and_then(&documents, validator.out);
    let whole: Vec<u32> = documents.iter().map(|document| document.file.number).collect();
    files.iter().copied().filter(|file| whole.contains(&file.number)).collect()
}

/// The sections of which a configuration may hold a million members.
const CREDENTIALS: &str = "credentials";
const ACCOUNTS: &str = "accounts";

/// Reads one section of a file, member by member. An account file that is a list is one of
/// accounts. Returns whether the file is whole.
fn read_part(
    file: File<'_>,
    section: &'static str,
    validator: &mut Validator<'_>,
    mut take: impl FnMut(&mut Validator<'_>, &Cursor<'_>),
) -> bool {
    let Some(text) = text_of(file, validator) else { return false };
    let bare = !file.main && yaml::is_list(&text);
    if bare && section == CREDENTIALS {
        return true;
    }
    let sections: &[&'static str] = if bare { &[yaml::ROOT] } else { &[CREDENTIALS, ACCOUNTS] };
    let parsed = ahead(&text, sections, |member| {
        let top = if bare { Trail::Root } else { Trail::Key(&Trail::Root, member.section) };
        if bare || member.section == section {
            let trail = Trail::Index(&top, member.index);
            take(validator, &Cursor { file: file.path, trail, at: member.node.at, node: &member.node });
        }
    });
    match parsed {
        Ok(root) => {
            let document = Document { file, root };
            if section == CREDENTIALS && !file.main {
                validator.top(&document);
            }
            rest_of(&document, bare, section, validator, take);
            true
        }
        Err(fault) => {
            broken(file, fault, validator);
            false
        }
    }
}

/// Parses a document in a thread of its own, so that it is a few members ahead of who takes them.
fn ahead<'t>(
    text: &'t str,
    sections: &[&'static str],
    mut take: impl FnMut(Member<'t>),
) -> Result<Node<'t>, yaml::Fault> {
    /// So many members go over at a time: each for itself would cost as much as parsing it.
    const TOGETHER: usize = 64;
    /// So many times may the parser be ahead.
    const AHEAD: usize = 4;
    std::thread::scope(|scope| {
        let (send, parts) = sync_channel::<Vec<Member<'t>>>(AHEAD);
        let parser = scope.spawn(move || {
            let mut part = Vec::with_capacity(TOGETHER);
            let parsed = yaml::parse(text, sections, &mut |member| {
                part.push(member);
                if part.len() == TOGETHER {
                    // Nobody stops taking before the end.
                    let _ = send.send(std::mem::replace(&mut part, Vec::with_capacity(TOGETHER)));
                }
            });
            let _ = send.send(part);
            parsed
        });
        parts.into_iter().flatten().for_each(&mut take);
        parser.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The members of a list that had to stay whole, and what is wrong with one that is none.
fn rest_of(
    document: &Document<'_>,
    bare: bool,
    section: &str,
    validator: &mut Validator<'_>,
    mut take: impl FnMut(&mut Validator<'_>, &Cursor<'_>),
) {
    let root = Cursor::root(document.file.path, &document.root);
    let fields = root.entries();
    let list = if bare { Some(root) } else { fields.as_ref().and_then(|fields| fields.get(section)) };
    let Some(list) = &list else { return };
    for item in list.items(validator.out) {
        take(validator, &item);
    }
}

/// The text of a file; none, with a problem, if there is none.
fn text_of(file: File<'_>, validator: &mut Validator<'_>) -> Option<String> {
    read_text(file.path).map_err(|(at, message)| broken(file, yaml::Fault { at, message }, validator)).ok()
}

/// A file that cannot be read as a whole: only that is told of it, and what is missed elsewhere may
/// stand in it.
fn broken(file: File<'_>, fault: yaml::Fault, validator: &mut Validator<'_>) {
    validator.complete = false;
    validator.out.forget(file.path);
    validator.out.problem(file.path, fault.at, String::new(), fault.message);
}

/// The text of a file, unless it is too large or no text.
fn read_text(path: &Path) -> Result<String, (Option<At>, String)> {
    let failed = |e: std::io::Error| (None, why_unreadable(&e).to_owned());
    let too_large = || {
        (
            None,
            format!(
                "is larger than {} MiB; account_files can hold the accounts in several files",
                yaml::MAX_BYTES >> 20
            ),
        )
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.len() > yaml::MAX_BYTES {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    file.take(yaml::MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > yaml::MAX_BYTES {
        return Err(too_large());
    }
    String::from_utf8(bytes).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&e.as_bytes()[..valid]).into_owned();
        let count = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let at = At {
            line: count(before.matches('\n').count()),
            column: count(before[line_start..].chars().count()),
        };
        (Some(at), format!("is not UTF-8 text: byte {valid} cannot be read"))
    })
}

/// The files that a pattern of `account_files` matches now; none if it is no pattern.
pub fn included(pattern: &str) -> Option<impl Iterator<Item = Result<PathBuf, glob::GlobError>>> {
    // Editors keep their locks and copies beside a file, with a dot in front.
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    let matches = glob::glob_with(pattern, options).ok()?;
    Some(matches.filter(|path| path.as_ref().map_or(true, |p| p.is_file())))
}

/// The files that the patterns of `account_files` match, each once, in the order of patterns and
/// names.
fn account_files(
    documents: &[Document<'_>],
    main: &[PathBuf],
    patterns: &mut Vec<String>,
    out: &mut Findings,
) -> Vec<PathBuf> {
    let identity = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut known: HashSet<PathBuf> = main.iter().map(|p| identity(p)).collect();
    let mut files = Vec::new();
    for document in documents {
        let root = Cursor::root(document.file.path, &document.root);
        let Some(fields) = root.entries() else { continue };
        fields.each("account_files", out, |item, out| {
            let Some(text) = item.text(out) else { return };
            // The directory is meant literally, whatever its name holds.
            let directory = relative_to(document.file.path, "");
            let escaped = glob::Pattern::escape(&directory.to_string_lossy());
            let pattern = if Path::new(text).is_absolute() {
                text.to_owned()
            } else {
                Path::new(&escaped).join(text).to_string_lossy().into_owned()
            };
            let Some(matches) = included(&pattern) else {
                item.problem(out, "is not a pattern of file names like accounts.d/*.yml");
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
                    Err(e) => out.problem(e.path(), None, String::new(), why_unreadable(e.error())),
                }
            }
            if !any {
                item.warning(out, WarningKind::NoFiles, "matches no file");
            }
            patterns.push(pattern);
        });
    }
    files
}
