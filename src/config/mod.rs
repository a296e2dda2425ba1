//! The configuration and the web configuration: what their files say, once that is known to be
//! right.
//!
//! [`load`] reads all files, reports all problems in one run and resolves all references: a
//! [`Config`] need not be checked again. [`read_web_file`] does the same for the file of
//! `--web.config.file`, as far as YAML goes. This room sends no requests and reads no secrets, and
//! knows nothing of probes, their results or the server.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use crate::inventory::{App, FILES, Inventory, InventoryBuilder, Person, SourceStatus};
use crate::model::Timestamp;

mod account_files;
mod accounts;
mod ahead;
mod alike;
mod apps;
mod credentials;
mod field;
mod findings;
mod keep;
mod json;
mod keys;
mod lines;
mod listing;
mod load;
mod mails;
mod mistakes;
mod people;
mod probe_rules;
mod quoting;
mod reporters;
mod schedule;
mod secrets;
mod shape;
mod sources;
mod stored;
mod validator;
mod web;
mod yaml;

pub use account_files::{FilePattern, open_regular};
pub use field::why_unreadable;
pub use findings::{Position, Problem, Problems};
pub use keys::{keys, row_keys};
pub use listing::refresh;
pub use load::{load, load_keeping, load_settings};
pub use mails::{ADDRESS, DigestSettings, SmtpSettings};
pub use quoting::looks_secret;
pub use reporters::ReporterSettings;
pub use schedule::{Notice, ScheduleRule, default_schedule};
pub use secrets::is_variable;
pub use sources::{
    Database, DecryptScheme, DecryptSettings, HttpAuthorization, HttpConnection, HttpSettings, KeyForm,
    KeySources, OAuth2Settings, SourceKind, SourceSettings, SqlAddress, SqlDriver, SqlServer, SqlSettings,
};
pub use sources::{recipe, recipes};
pub use stored::store;
pub use web::{ClientAuth, Pem, Placed, Tls, TlsVersion, WebFile, WebRateLimit, read_web_file, web_keys};

/// Maximum number of problems of a source that pages show.
const SHOWN_PROBLEMS: usize = 20;

#[derive(Clone, Debug, Default)]
pub struct Config {
    pub global: Global,
    pub apps: Vec<App>,
    /// The accounts, and the credentials behind them.
    pub table: InventoryBuilder,
    /// Which notices are sent. The first rule that matches an account counts.
    pub schedule: Vec<ScheduleRule>,
    /// Which files are part of the configuration, for watching: a new file that matches is, too.
    pub patterns: Vec<FilePattern>,
    /// The sources of accounts: first the account files, if there are any, then `sources`.
    pub sources: Vec<SourceSettings>,
    /// How all sources were read, in the same order.
    pub statuses: Vec<SourceStatus>,
    /// Who may send reports.
    pub reporters: Vec<ReporterSettings>,
    /// What is known of those who receive mails.
    pub people: Vec<Person>,
    pub smtp: Option<SmtpSettings>,
    pub digest: DigestSettings,
    pub warnings: Vec<Problem>,
    /// The problems of sources, of which the last good rows stay.
    pub refused: Problems,
}

/// What is in force.
#[derive(Clone, Copy, Debug)]
pub struct Last<'l> {
    pub inventory: &'l Inventory,
    pub sources: &'l [SourceStatus],
}

impl<'l> Last<'l> {
    pub(crate) fn source(&self, id: &str) -> Option<&'l SourceStatus> {
        self.sources.iter().find(|source| source.id == id)
    }
}

/// What is known of sources before they are read.
#[derive(Clone, Copy, Debug)]
pub enum Known<'k> {
    Last(Last<'k>),
    /// At a start: what an earlier process has stored in this folder, if there is one.
    Stored(Option<&'k Path>),
}

#[derive(Clone, Debug)]
pub struct Global {
    pub probe_interval: Option<Duration>,
    /// Maximum duration of one request.
    pub probe_timeout: Duration,
    /// Maximum number of probes that run at the same time.
    pub probe_concurrency: usize,
    /// Recipients of accounts that name none.
    pub notify: Vec<String>,
    /// Whether requests may go to private addresses.
    pub allow_private_networks: bool,
}

impl Default for Global {
    fn default() -> Self {
        Self {
            probe_interval: None,
            probe_timeout: Duration::from_secs(10),
            probe_concurrency: 64,
            notify: Vec::new(),
            allow_private_networks: false,
        }
    }
}

/// The status of a source of files before these are read.
fn before_reading(id: &str, last: Option<Last<'_>>) -> SourceStatus {
    let before = last.and_then(|last| last.source(id)).cloned().unwrap_or_default();
    let (last_success, shrunk) = (before.last_success, before.shrunk);
    SourceStatus { id: id.to_owned(), last_success, shrunk, ..SourceStatus::default() }
}

impl Config {
    /// The configuration before it is read.
    fn start(last: Option<Last<'_>>) -> Self {
        let statuses = vec![before_reading(FILES, last)];
        Self { schedule: default_schedule(), statuses, ..Self::default() }
    }

    /// All of it but the accounts and credentials.
    #[must_use]
    pub fn without_rows(&self) -> Self {
        Self {
            global: self.global.clone(),
            apps: self.apps.clone(),
            table: InventoryBuilder::default(),
            schedule: self.schedule.clone(),
            patterns: self.patterns.clone(),
            sources: self.sources.clone(),
            statuses: self.statuses.clone(),
            reporters: self.reporters.clone(),
            people: self.people.clone(),
            smtp: self.smtp.clone(),
            digest: self.digest.clone(),
            warnings: Vec::new(),
            refused: Problems::default(),
        }
    }

    /// Says how the sources that `read` names were read.
    fn finish(&mut self, mut problems: Problems, read: impl Fn(&str) -> bool) {
        let places: HashMap<&Path, &Option<String>> =
            self.table.places().iter().map(|place| (&*place.path, &place.source)).collect();
        let source = |problem: &Problem| places.get(&*problem.file)?.as_deref();
        for status in self.statuses.iter_mut().filter(|status| read(&status.id)) {
            let own = problems.list.iter().filter(|problem| source(problem) == Some(&status.id));
            status.problems = own.take(SHOWN_PROBLEMS).map(ToString::to_string).collect();
            status.up = Some(status.up != Some(false));
            if status.up == Some(true) {
                status.last_success = Some(Timestamp::now());
            }
        }
        self.statuses.retain(|status| self.sources.iter().any(|source| source.id == status.id));
        self.warnings = std::mem::take(&mut problems.warnings);
        self.refused = problems;
    }

    /// How the sources that are files were read.
    pub fn statuses_of_files(&self) -> impl Iterator<Item = &SourceStatus> {
        let is_file = |id: &str| self.sources.iter().any(|source| source.id == id && source.is_file());
        self.statuses.iter().filter(move |status| is_file(&status.id))
    }

    /// The source that a problem is about.
    pub fn source_of(&self, problem: &Problem) -> Option<&str> {
        let place = self.table.places().iter().find(|place| place.path == problem.file);
        place.and_then(|place| place.source.as_deref())
    }

    /// The inventory of the credentials that `mine` picks (a shard's share) and of their accounts.
    pub fn inventory(self, mine: impl Fn(&str) -> bool) -> Inventory {
        Inventory::new(self.apps, self.table, self.global.probe_interval, mine).with_people(self.people)
    }
}
