//! Checks the sections of a configuration and collects what they say.
//!
//! Sections refer to each other, so they are read in this order: apps, credentials, accounts. What
//! each of them holds is checked in the modules of these names.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::RandomState;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::accounts::addresses;
use super::field::{Field, Mapping};
use super::findings::{Findings, Position, Problem};
use super::quoting::shown;
use super::sources::RowRules;
use super::yaml::Node;
use super::{Config, Last, keys, mails, people, reporters, schedule, sources};
use crate::inventory::{Mark, SourceStatus};
use crate::network::NetworkId;

pub(super) const SECOND: Duration = Duration::from_secs(1);
/// The longest time that can be configured.
pub(super) const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// A file's tree, without the members of the long lists.
pub(super) struct Document<'f> {
    pub(super) file: SourceFile<'f>,
    pub(super) root: Node<'f>,
    pub(super) findings: &'f Findings,
}

impl Document<'_> {
    pub(super) fn field(&self) -> Field<'_> {
        Field::root(self.file.path, &self.root, self.findings)
    }
}

#[derive(Clone, Copy)]
pub(super) struct SourceFile<'f> {
    pub(super) path: &'f Path,
    /// The index among all places.
    pub(super) number: u32,
    /// The index among the sources; none if it is named on the command line.
    pub(super) source: Option<usize>,
    /// How its rows become accounts, unless they are accounts already.
    pub(super) rules: Option<&'f RowRules>,
}

impl SourceFile<'_> {
    /// Whether it is an account file with this ending.
    pub(super) fn is_of(self, ending: &str) -> bool {
        !self.is_main()
            && self.path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(ending))
    }

    pub(super) fn is_main(self) -> bool {
        self.source.is_none()
    }
}

#[derive(Clone, Copy)]
pub(super) struct Origin {
    pub(super) file: u32,
    pub(super) at: Position,
}

/// The position of rows that do not come from a file, or were not read this time.
pub(super) const NOWHERE: Position = Position { line: 0, column: 0 };

/// How far reading has got.
#[derive(Clone, Copy)]
pub(super) struct Progress {
    table: Mark,
    problems: usize,
    /// Of the source that is being read.
    refused: usize,
}

/// What a row may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// As in a file that somebody has written.
    Written,
    /// As a source lists them: with tokens, and several of one login. They must not make this program
    /// read files or run commands.
    Listed,
    /// As they were when they were stored: without tokens.
    Stored,
}

#[derive(Clone)]
pub(super) struct DefinedApp {
    pub(super) origin: Origin,
    /// The index in `Config::apps`; none if the app has problems.
    pub(super) index: Option<usize>,
}

pub(super) struct Validator<'o> {
    pub(super) findings: &'o Findings,
    /// False if a file, list or id could not be read: what is not found may be there.
    pub(super) complete: bool,
    pub(super) config: Config,
    /// What stays where sources have problems. None: every problem is an error.
    pub(super) last: Option<Last<'o>>,
    /// Files and folders that may hold more than what was read of them.
    pub(super) unread: Vec<PathBuf>,
    /// Whether the rows of the main files stay, as these are not read now.
    pub(super) keep_main: bool,
    /// The ids of sources of which nothing was read, or not enough to drop what is missing.
    pub(super) kept_sources: Vec<String>,
    /// Where the next rows that are kept come from.
    pub(super) kept: Origin,
    /// Where rows come from now.
    pub(super) rows: Rows,
    /// The credentials of a list by their tokens' hashes.
    pub(super) logins: HashMap<u64, usize>,
    pub(super) hasher: RandomState,
    pub(super) apps: BTreeMap<String, DefinedApp>,
    /// Which of `Config::apps` a credential uses.
    pub(super) used_apps: Vec<bool>,
    /// The origins of the table's credentials and accounts, by index.
    pub(super) credentials: Vec<Origin>,
    pub(super) accounts: Vec<Origin>,
    /// Those that have problems and are not in the table, by id.
    pub(super) broken_credentials: HashMap<String, Origin>,
    pub(super) broken_accounts: HashMap<String, Origin>,
    /// The last one that was right.
    pub(super) last_base_url: Option<(String, Url)>,
    /// What an address that was right begins with, up to the last slash of its path.
    pub(super) reconnect_folder: Option<String>,
    /// The credentials that lines of account files name, by the number of the file.
    pub(super) named: HashMap<u32, HashSet<String>>,
}

impl<'o> Validator<'o> {
    pub(super) fn new(findings: &'o Findings, config: Config, last: Option<Last<'o>>) -> Self {
        let known = config.apps.iter().enumerate().map(|(index, app)| {
            let origin = Origin { file: 0, at: NOWHERE };
            (app.id.clone(), DefinedApp { origin, index: Some(index) })
        });
        Self {
            findings,
            complete: true,
            apps: known.collect(),
            used_apps: vec![false; config.apps.len()],
            config,
            last,
            unread: Vec::new(),
            keep_main: false,
            kept_sources: Vec::new(),
            kept: Origin { file: 0, at: NOWHERE },
            rows: Rows::Written,
            logins: HashMap::new(),
            hasher: RandomState::new(),
            credentials: Vec::new(),
            accounts: Vec::new(),
            broken_credentials: HashMap::new(),
            broken_accounts: HashMap::new(),
            last_base_url: None,
            reconnect_folder: None,
            named: HashMap::new(),
        }
    }

    pub(super) fn file<'f>(&mut self, path: &'f Path, source: Option<usize>) -> SourceFile<'f> {
        let id = source.and_then(|source| self.config.statuses.get(source)).map(|status| &*status.id);
        let number = self.config.table.add_place(path, id);
        SourceFile { path, number, source, rules: None }
    }

    /// The status of a source. What the main files refer to and cannot be found is the account files'.
    fn status(&mut self, source: Option<usize>) -> Option<&mut SourceStatus> {
        self.config.statuses.get_mut(source.unwrap_or_default())
    }

    /// Counts a row or file that is refused.
    fn refuse(&mut self, source: Option<usize>) {
        if let Some(status) = self.status(source) {
            status.refused += 1;
        }
    }

    /// Reports a file that cannot be read as a whole, and nothing else in it.
    pub(super) fn broken(&mut self, file: SourceFile<'_>, at: Option<Position>, message: String) {
        self.findings.forget(file.path);
        self.broken_accounts.retain(|_, origin| origin.file != file.number);
        self.broken_credentials.retain(|_, origin| origin.file != file.number);
        self.unreadable(file.source, Problem::of_file(file.path, at, message));
    }

    /// Reports a file or folder that cannot be read.
    pub(super) fn unreadable(&mut self, source: Option<usize>, problem: Problem) {
        self.complete = false;
        self.refuse(source);
        if let Some(status) = self.status(source) {
            status.up = Some(false);
        }
        self.unread.push(problem.file.clone());
        self.findings.problem(problem);
    }

    /// What is in force is not known before the main files are read.
    pub(super) fn start_from(&mut self, last: Last<'o>) {
        self.last = Some(last);
        for status in &mut self.config.statuses {
            if let Some(before) = last.source(&status.id) {
                status.last_success = before.last_success;
            }
        }
    }

    pub(super) fn mark(&mut self, file: SourceFile<'_>) -> Progress {
        Progress {
            table: self.config.table.mark(),
            problems: self.findings.problems(),
            refused: self.status(file.source).map_or(0, |status| status.refused),
        }
    }

    /// Takes back the rows that were added since then.
    pub(super) fn roll_back(&mut self, file: SourceFile<'_>, mark: Progress) {
        self.config.table.roll_back(mark.table);
        self.credentials.truncate(mark.table.credentials);
        self.accounts.truncate(mark.table.accounts);
        if let Some(status) = self.status(file.source) {
            status.refused = mark.refused;
        }
    }

    /// Ends the reading of a row, which is refused if it was not added or has a problem. Returns
    /// whether it was added.
    pub(super) fn end_row(&mut self, file: SourceFile<'_>, begin: Progress, added: bool) -> bool {
        let fine = self.last.is_none() || self.findings.problems() == begin.problems;
        if added && fine {
            return true;
        }
        if self.last.is_some() {
            self.roll_back(file, begin);
        }
        self.refuse(file.source);
        false
    }

    /// Reports a row that cannot be read.
    pub(super) fn broken_row(&mut self, file: SourceFile<'_>, problem: Problem) {
        self.complete = false;
        self.findings.problem(problem);
        self.refuse(file.source);
        self.without_id(file);
    }

    /// Notes that a row cannot be told from others.
    pub(super) fn without_id(&mut self, file: SourceFile<'_>) {
        if self.unread.last().is_none_or(|last| last != file.path) {
            self.unread.push(file.path.to_owned());
        }
    }

    pub(super) fn top(&mut self, document: &Document<'_>) {
        let (root, begin) = (document.field(), self.findings.problems());
        if document.file.is_main() {
            root.mapping(&[keys::MAIN]);
        } else if !root.is_list() {
            root.mapping(&[keys::ACCOUNT_FILE]);
        }
        let mapping = root.as_mapping();
        let lists = mapping.iter().flat_map(|m| keys::ACCOUNT_FILE.iter().filter_map(|key| m.get(key)));
        let are_lists = lists.into_iter().all(|list| list.is_list());
        self.complete &= are_lists;
        // Rows may stand under a key that is not known.
        if !document.file.is_main() && (!are_lists || self.findings.problems() > begin) {
            self.refuse(document.file.source);
            self.without_id(document.file);
        }
    }

    pub(super) fn main(&mut self, documents: &[Document<'_>]) {
        documents.iter().for_each(|document| self.top(document));
        self.single(documents, "global", Self::global);
        for document in documents {
            let Some(mapping) = document.field().as_mapping() else { continue };
            if let Some(list) = mapping.get("apps") {
                self.complete &= list.is_list();
                for item in list.items() {
                    self.app(document.file, &item);
                }
            }
        }
        self.single(documents, "schedule", |this, field| {
            this.config.schedule = schedule::schedule(field);
        });
        self.single(documents, "smtp", |this, field| this.config.smtp = mails::smtp(field));
        self.single(documents, "digest", |this, field| {
            this.config.digest = mails::digest(field).unwrap_or_default();
        });
        for document in documents {
            let Some(mapping) = document.field().as_mapping() else { continue };
            mapping.each("people", |item| people::person(item, &mut self.config.people));
            mapping.each("sources", |item| self.source(item));
            mapping.each("reporters", |item| reporters::reporter(item, &mut self.config.reporters));
        }
    }

    fn source(&mut self, field: &Field<'_>) {
        let Some(mut source) = sources::source(field) else { return };
        let apps = field.as_mapping();
        let apps = apps.as_ref().and_then(|mapping| mapping.get("apps"));
        for (network, app) in apps.as_ref().and_then(|apps| apps.open_mapping()).iter().flat_map(Mapping::all)
        {
            let Some(id) = app.id() else { continue };
            let index = self.apps.get(id).and_then(|app| app.index);
            match index.and_then(|index| self.config.apps.get(index)) {
                Some(known) if NetworkId::from_name(network) != Some(known.network) => {
                    app.problem(format!("{} is an app of {}", shown(id), known.network));
                }
                Some(known) => source.rows.apps.push((known.network, id.to_owned())),
                None if self.apps.contains_key(id) => {}
                None => app.problem(format!("{} is not an app", shown(id))),
            }
        }
        let statuses = &mut self.config.statuses;
        if statuses.iter().any(|status| status.id == source.id) {
            field.problem(format!("the id {} is already used", shown(&source.id)));
            return;
        }
        statuses.push(if source.is_file() {
            super::before_reading(&source.id, self.last)
        } else {
            let before = self.last.and_then(|last| last.source(&source.id)).cloned().unwrap_or_default();
            SourceStatus { id: source.id.clone(), ..before }
        });
        self.config.sources.push(source);
    }

    fn single(&mut self, documents: &[Document<'_>], section: &str, read: impl Fn(&mut Self, &Field<'_>)) {
        let mut first = None;
        for document in documents {
            let Some(mapping) = document.field().as_mapping() else { continue };
            let Some(found) = mapping.get(section) else { continue };
            match first {
                None => {
                    first = Some(Origin { file: document.file.number, at: found.at });
                    read(self, &found);
                }
                Some(origin) => {
                    let message =
                        format!("may be set in one file only; first at {}", self.shown_origin(origin));
                    found.problem(message);
                }
            }
        }
    }

    fn global(&mut self, field: &Field<'_>) {
        let Some(mapping) = field.mapping(&[keys::GLOBAL]) else { return };
        let global = &mut self.config.global;
        if let Some(d) = mapping.get("probe_interval").and_then(|f| f.duration(SECOND, YEAR)) {
            global.probe_interval = Some(d);
        }
        let (least, most) = (Duration::from_millis(100), Duration::from_secs(600));
        if let Some(d) = mapping.get("probe_timeout").and_then(|f| f.duration(least, most)) {
            global.probe_timeout = d;
        }
        if let Some(n) = mapping.get("probe_concurrency").and_then(|f| f.number(1, 4096)) {
            global.probe_concurrency = n;
        }
        if let Some(b) = mapping.get("allow_private_networks").and_then(|f| f.boolean()) {
            global.allow_private_networks = b;
        }
        global.notify = addresses(&mapping, "notify");
    }

    /// `{file}:{line}:{column}`
    pub(super) fn shown_origin(&self, origin: Origin) -> String {
        let Some(place) = self.config.table.places().get(origin.file as usize) else { return String::new() };
        let (path, Position { line, column }) = (place.path.display(), origin.at);
        if origin.at == NOWHERE { path.to_string() } else { format!("{path}:{line}:{column}") }
    }

    /// The id of an item and where it is defined; none, with a problem, if it has been used before.
    pub(super) fn id<'m>(
        &mut self,
        mapping: &'m Mapping<'m>,
        file: SourceFile<'_>,
        defined: impl Fn(&Self, &str) -> Option<Origin>,
    ) -> Option<(&'m str, Origin)> {
        let Some((field, id)) = mapping.required("id").and_then(|field| Some((field, field.id()?))) else {
            self.without_id(file);
            return None;
        };
        if let Some(first) = defined(self, id) {
            let other = self.config.table.places().get(first.file as usize).map(|place| place.source.clone());
            if let Some(status) =
                self.status(file.source).filter(|status| other != Some(Some(status.id.clone())))
            {
                status.conflicting = true;
            }
            return field.reject(format!("{} is already used at {}", shown(id), self.shown_origin(first)));
        }
        Some((id, Origin { file: file.number, at: field.at }))
    }

    /// Warns of apps and credentials that nothing uses.
    pub(super) fn unused(&self) {
        let table = &self.config.table;
        let mut used = vec![false; table.credentials().len()];
        for account in table.accounts() {
            used[account.credential_index()] = true;
        }
        // What sources list is not known yet.
        let listed = self.config.sources.iter().any(|source| !source.is_file());
        let unused = |index: usize| !listed && !self.used_apps[index];
        let apps = self.apps.iter().filter(|(_, app)| app.index.is_some_and(unused));
        let apps = apps.map(|(id, app)| ("app", id.as_str(), app.origin, "credential"));
        let credentials = table.credentials().zip(&self.credentials).zip(used);
        let credentials = credentials.filter(|((_, origin), used)| !used && origin.at != NOWHERE);
        let credentials =
            credentials.map(|((credential, origin), _)| ("credential", credential.id(), *origin, "account"));
        for (what, id, origin, by) in apps.chain(credentials) {
            let Some(place) = table.places().get(origin.file as usize) else { continue };
            let message = format!("the {what} {} is used by no {by}", shown(id));
            let problem = |message| Problem::of_file(&place.path, Some(origin.at), message);
            self.findings.warning(message, problem);
        }
    }
}
