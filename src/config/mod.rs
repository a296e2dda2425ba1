//! The configuration: what it says once it is known to be right.
//!
//! [`load`] reads every file, reports every problem in one go, and resolves all references: whoever holds a
//! [`Config`] need not check anything again. The way there: `yaml` makes a tree that knows its places, `read`
//! takes typed values from it, `values` the compound ones, `validate` puts them together, `problem` says what is wrong. Nothing here
//! talks to a network or reads a secret.

use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use crate::network::NetworkId;
use crate::reason::{Capabilities, Use};
use crate::time::Timestamp;
use crate::token::SecretSource;

mod problem;
mod read;
mod validate;
mod values;
pub mod web;
mod yaml;

pub use problem::{At, Problem, Problems, Warning, WarningKind};

use problem::Findings;
use read::{Cursor, relative_to, why_unreadable};
use validate::{Document, Validator};

/// Everything that the configuration says.
#[derive(Clone, Debug)]
pub struct Config {
    /// What holds for all.
    pub global: Global,
    /// The developer apps.
    pub apps: Vec<App>,
    /// The logins, those that accounts have of their own among them.
    pub credentials: Vec<Credential>,
    /// The accounts that are watched.
    pub accounts: Vec<Account>,
    /// Which notices are sent; the first rule that matches holds.
    pub schedule: Vec<ScheduleRule>,
    /// Every file that was read, for watching.
    pub files: Vec<PathBuf>,
    /// The patterns of `account_files`, for watching: a new file that one matches belongs to the configuration.
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

/// A developer app.
#[derive(Clone, Debug)]
pub struct App {
    /// Its name here.
    pub id: String,
    /// Where it is registered.
    pub network: NetworkId,
    /// Which of the network's APIs it uses; empty where there is one.
    pub api: &'static str,
    /// The network's id of it; empty where the network needs none.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Option<SecretSource>,
    /// The version of the API; the network's default is filled in.
    pub api_version: String,
    /// Takes the place of scheme, host and prefix of the network's hosts.
    pub base_url: Option<Url>,
    /// How many requests the network allows.
    pub rate_limit: Option<RateLimit>,
    /// Endpoints of a generic provider, by the name of their setting.
    pub endpoints: Vec<(&'static str, String)>,
}

/// So many requests in such a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many.
    pub count: u32,
    /// In which time.
    pub per: Duration,
}

/// One grant of one person.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Its name here; an account's id where the account has a token of its own.
    pub id: String,
    /// Where it was granted.
    pub network: NetworkId,
    /// Its app, as an index into [`Config::apps`].
    pub app: Option<usize>,
    /// Who granted it.
    pub connected_by: Option<String>,
    /// Where the token comes from.
    pub token: SecretSource,
    /// Where the second half of an OAuth 1.0a token comes from.
    pub token_secret: Option<SecretSource>,
    /// When the access token ends, where nothing else tells.
    pub expires_at: Option<Timestamp>,
    /// When the refresh token ends, where nothing else tells.
    pub refresh_expires_at: Option<Timestamp>,
    /// Something else refreshes the access token.
    pub auto_refresh: bool,
    /// What was granted, where nothing else tells.
    pub scopes: Option<Vec<String>>,
    /// Takes the place of scheme, host and prefix of the network's hosts, for networks without apps.
    pub base_url: Option<Url>,
}

/// One page, profile, channel…
#[derive(Clone, Debug)]
pub struct Account {
    /// Its name in labels and on the command line.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Where it is.
    pub network: NetworkId,
    /// Page, profile, organization…
    pub kind: String,
    /// The network's id of it.
    pub external_id: Option<String>,
    /// Through which login it is reached, as an index into [`Config::credentials`].
    pub credential: usize,
    /// What it is used for.
    pub needs: Capabilities,
    /// Why it is watched.
    pub purpose: Use,
    /// Labels of its own.
    pub labels: Vec<(String, String)>,
    /// Who gets its mails: its own or the global recipients, without those who opted out, each once.
    pub notify: Vec<String>,
    /// Where a person can connect it anew.
    pub reconnect_url: Option<String>,
    /// How often it is probed, if not as often as all.
    pub probe_interval: Option<Duration>,
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
                let whole = units.into_iter().find(|(_, unit)| seconds >= *unit && seconds.is_multiple_of(*unit));
                whole.map_or_else(|| format!("{seconds}s"), |(name, unit)| format!("{}{name}", seconds / unit))
            }
            Self::Today => "today".to_owned(),
        }
    }
}

impl ScheduleRule {
    /// Whether this rule is the one for such an account, if none before it is.
    pub fn matches(&self, network: NetworkId, purpose: Use) -> bool {
        (self.networks.is_empty() || self.networks.contains(&network)) && (self.uses.is_empty() || self.uses.contains(&purpose))
    }
}

/// The schedule of a configuration that has none.
pub fn default_schedule() -> Vec<ScheduleRule> {
    values::default_schedule()
}

/// Reads the configuration from these files and from the account files that they name.
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
    let (texts, mut complete) = read_all(&files, &mut out);
    let mut documents = parse_all(&texts, true, &mut out, &mut complete);

    let mut patterns = Vec::new();
    let found = account_files(&documents, &files, &mut patterns, &mut out);
    let (account_texts, all_read) = read_all(&found, &mut out);
    complete &= all_read;
    documents.extend(parse_all(&account_texts, false, &mut out, &mut complete));

    let config = Validator::new(&mut out, complete).run(&documents);
    drop(documents);
    files.extend(found.iter().cloned());
    let warnings = out.into_result(&files)?;
    Ok(Config { files, patterns, warnings, ..config })
}

/// A file's path and text.
type Text<'p> = (&'p Path, String);

/// The texts of files, and whether all could be read.
fn read_all<'p>(files: &'p [PathBuf], out: &mut Findings) -> (Vec<Text<'p>>, bool) {
    let mut texts = Vec::new();
    for path in files {
        match read_text(path) {
            Ok(text) => texts.push((path.as_path(), text)),
            Err((at, message)) => out.problem(path, at, String::new(), message),
        }
    }
    let complete = texts.len() == files.len();
    (texts, complete)
}

/// The text of a file, unless it is too large or no text.
fn read_text(path: &Path) -> Result<String, (Option<At>, String)> {
    let failed = |e: std::io::Error| (None, why_unreadable(&e).to_owned());
    let too_large =
        || (None, format!("is larger than {} MiB; account_files can hold the accounts in several files", yaml::MAX_BYTES >> 20));
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
        let at = At { line: count(before.matches('\n').count()), column: count(before[line_start..].chars().count()) };
        (Some(at), format!("is not UTF-8 text: byte {valid} cannot be read"))
    })
}

/// The trees of the texts; `main` are those that may hold every section.
fn parse_all<'t>(texts: &'t [Text<'_>], main: bool, out: &mut Findings, complete: &mut bool) -> Vec<Document<'t>> {
    let mut documents = Vec::new();
    for (path, text) in texts {
        match yaml::parse(text) {
            Ok(root) => documents.push(Document { path, root, main }),
            Err(fault) => {
                *complete = false;
                out.problem(path, fault.at, String::new(), fault.message);
            }
        }
    }
    documents
}

/// The files that a pattern of `account_files` matches now; none if it is no pattern.
pub fn included(pattern: &str) -> Option<impl Iterator<Item = Result<PathBuf, glob::GlobError>>> {
    // Editors keep their locks and copies beside a file, with a dot in front.
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    let matches = glob::glob_with(pattern, options).ok()?;
    Some(matches.filter(|path| path.as_ref().map_or(true, |p| p.is_file())))
}

/// The files that the patterns of `account_files` match, each once, in the order of patterns and names.
fn account_files(documents: &[Document<'_>], main: &[PathBuf], patterns: &mut Vec<String>, out: &mut Findings) -> Vec<PathBuf> {
    let identity = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut known: HashSet<PathBuf> = main.iter().map(|p| identity(p)).collect();
    let mut files = Vec::new();
    for document in documents {
        let root = Cursor::root(document.path, &document.root);
        let Some(fields) = root.entries() else { continue };
        fields.each("account_files", out, |item, out| {
            let Some(text) = item.text(out) else { return };
            // The directory is meant literally, whatever its name holds.
            let directory = relative_to(document.path, "");
            let escaped = glob::Pattern::escape(&directory.to_string_lossy());
            let pattern =
                if Path::new(text).is_absolute() { text.to_owned() } else { Path::new(&escaped).join(text).to_string_lossy().into_owned() };
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
