//! What is known, kept on disk, so that a restart – wanted or not – forgets no verdict, no clock
//! and no pending confirmation.
//!
//! A base file of JSON lines holds everything: a head with the format's version, a line for each
//! app and for each credential with its accounts, and an end that counts them and carries their
//! checksum. It is written beside the old one and then put in its place, so that there is always a
//! whole one. What changes after that is appended to a journal of the same lines; base and journals
//! carry a generation, so that it is clear which journals go on from which base. Whatever cannot be
//! read is set aside and never stops a start. Tokens are not in it. Knows nothing of when to write:
//! that is `keeper`'s.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read as _, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use flate2::Crc;
use serde::{Deserialize, Serialize};

use crate::inventory::{AccountView, Inventory};
use crate::model::{Capability, Cause, Expiry, Reason, Timestamp};
use crate::network::Clocks;
use crate::state::{
    AccountState, AppHealth, AppState, Changes, CredentialState, Part, Snapshot, Store, Suspicion,
};

/// The version of the format that this program writes, and the newest that it reads.
const VERSION: u32 = 1;
const BASE: &str = "state.jsonl";
/// The next base while it is written. One name, so that a kill leaves no more than one behind.
const NEW_BASE: &str = "state.jsonl.new";
const JOURNAL: (&str, &str) = ("journal-", ".jsonl");
/// No line is longer, whatever stands in a damaged file: a login with a hundred thousand pages
/// fits.
const MAX_LINE: u64 = 64 << 20;

/// One line of a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    /// The first.
    Head { version: u32, generation: u64, written: Timestamp },
    /// What is known about an app.
    #[serde(borrow)]
    App(AppLine<'a>),
    /// What is known about a credential and its accounts: in one line, so that no half of a login
    /// comes back.
    #[serde(borrow)]
    Credential(CredentialLine<'a>),
    /// The last of a base: how many lines stand between it and the head, and the checksum of all
    /// before it.
    End { lines: u64, crc32: u32 },
}

#[derive(Debug, Serialize, Deserialize)]
struct AppLine<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    health: AppHealth,
    suspicion: Suspicion,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<Timestamp>,
    patience: u8,
}

#[derive(Debug, Serialize, Deserialize)]
struct CredentialLine<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    /// Unix seconds; 0 for an end that was said never to come.
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_access: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_probe: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "is_default")]
    failures: u8,
    #[serde(default, skip_serializing_if = "is_default")]
    deaths: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "is_default")]
    part: Part,
    #[serde(borrow)]
    accounts: Vec<AccountLine<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AccountLine<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    /// An ambiguous refusal that waits for its confirmation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<(Cow<'a, str>, Timestamp)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_conclusive: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<Cow<'a, str>>,
    capabilities: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    /// The granted ones of the scopes that the account's needs require.
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<Cow<'a, str>>>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl<'a> AppLine<'a> {
    fn new(id: &'a str, state: &AppState) -> Self {
        let AppState { health, suspicion, paused, patience, .. } = state;
        Self {
            id: id.into(),
            health: *health,
            suspicion: suspicion.clone(),
            paused: *paused,
            patience: *patience,
        }
    }

    fn state(self) -> AppState {
        let Self { health, suspicion, paused, patience, .. } = self;
        // What a network's headers said about its limits is old news after a restart.
        AppState { health, suspicion, paused, patience, limits: Vec::new() }
    }
}

impl<'a> CredentialLine<'a> {
    /// The credential at a place of the inventory.
    fn new(snapshot: &'a Snapshot, place: usize) -> Option<Self> {
        let watched = snapshot.inventory.credential(place)?;
        let state = snapshot.credentials.get(place)?;
        let account =
            |place| Some(AccountLine::new(snapshot.inventory.account(place)?, snapshot.accounts.get(place)?));
        let end = |expiry: Expiry| match expiry {
            Expiry::Unknown => None,
            Expiry::Never => Some(0),
            Expiry::At(instant) => Some(instant.unix()),
        };
        Some(Self {
            id: watched.id().into(),
            access: end(state.clocks.access),
            refresh: end(state.clocks.refresh),
            data_access: end(state.clocks.data_access),
            issued: state.clocks.issued,
            last_probe: state.last_probe,
            failures: state.failures,
            deaths: state.deaths,
            paused: state.paused,
            part: state.part,
            accounts: watched.accounts().filter_map(account).collect(),
        })
    }

    fn state(&self) -> CredentialState {
        let end = |seconds: Option<i64>| match seconds {
            None => Expiry::Unknown,
            Some(0) => Expiry::Never,
            Some(seconds) => Timestamp::from_unix(seconds).map_or(Expiry::Unknown, Expiry::At),
        };
        CredentialState {
            clocks: Clocks {
                access: end(self.access),
                refresh: end(self.refresh),
                data_access: end(self.data_access),
                issued: self.issued,
            },
            last_probe: self.last_probe,
            failures: self.failures,
            deaths: self.deaths,
            paused: self.paused,
            part: self.part,
        }
    }
}

impl<'a> AccountLine<'a> {
    fn new(view: AccountView<'a>, state: &AccountState) -> Self {
        let scopes = state.scopes.map(|bits| {
            let required = view.required_scopes().iter().enumerate();
            required.filter(|(i, _)| bits >> i & 1 == 1).map(|(_, name)| (*name).into()).collect()
        });
        let known =
            |c: &Capability| state.capabilities[*c as usize].map(|r| (c.label().into(), r.label().into()));
        Self {
            id: view.id().into(),
            verdict: state.verdict.map(|r| r.label().into()),
            since: state.since,
            pending: state.pending.map(|(r, t)| (r.label().into(), t)),
            last_conclusive: state.last_conclusive,
            trouble: state.trouble.map(|c| c.label().into()),
            capabilities: Capability::ALL.iter().filter_map(known).collect(),
            scopes,
        }
    }

    /// The state of the account that is now configured under this id.
    fn state(&self, view: AccountView<'_>) -> AccountState {
        let reason = |label: &Cow<'_, str>| Reason::from_label(label);
        let mut state = AccountState {
            verdict: self.verdict.as_ref().and_then(reason),
            since: self.since,
            pending: self.pending.as_ref().and_then(|(r, t)| Some((reason(r)?, *t))),
            last_conclusive: self.last_conclusive,
            trouble: self.trouble.as_deref().and_then(Cause::from_label),
            ..AccountState::default()
        };
        for capability in view.needs().iter() {
            state.capabilities[capability as usize] =
                self.capabilities.get(capability.label()).and_then(reason);
        }
        state.scopes = self.scopes.as_ref().map(|granted| {
            let required = view.required_scopes().iter().enumerate();
            required.fold(0, |bits, (i, name)| bits | u32::from(granted.iter().any(|g| g == name)) << i)
        });
        state
    }
}

/// Writes lines and counts what it writes.
struct Writer<W> {
    out: W,
    crc: Crc,
    bytes: u64,
}

impl<W: Write> Writer<W> {
    fn new(out: W) -> Self {
        Self { out, crc: Crc::new(), bytes: 0 }
    }

    fn line(&mut self, line: &Line<'_>) -> std::io::Result<()> {
        serde_json::to_writer(&mut *self, line)?;
        self.write_all(b"\n")
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.crc.update(bytes.get(..written).unwrap_or(bytes));
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

fn head(generation: u64) -> Line<'static> {
    Line::Head { version: VERSION, generation, written: Timestamp::now() }
}

/// Writes everything that is known into a folder, as the base of this generation, and removes the
/// journals before it. Returns its size.
///
/// # Errors
/// When the folder cannot be written to; the files that were there stay as they were.
pub fn write(folder: &Path, generation: u64, snapshot: &Snapshot) -> anyhow::Result<u64> {
    let new = folder.join(NEW_BASE);
    let cannot = || format!("cannot write {}", new.display());
    let mut out = Writer::new(BufWriter::with_capacity(1 << 16, File::create(&new).with_context(cannot)?));
    let mut all = || -> std::io::Result<()> {
        out.line(&head(generation))?;
        let mut lines = 0;
        for (app, state) in snapshot.inventory.apps().iter().zip(snapshot.apps.iter()) {
            out.line(&Line::App(AppLine::new(&app.id, state)))?;
            lines += 1;
        }
        for line in (0..snapshot.inventory.credentials().len())
            .filter_map(|place| CredentialLine::new(snapshot, place))
        {
            out.line(&Line::Credential(line))?;
            lines += 1;
        }
        let crc32 = out.crc.sum();
        out.line(&Line::End { lines, crc32 })?;
        out.flush()?;
        out.out.get_ref().sync_all()
    };
    all().with_context(cannot)?;
    let base = folder.join(BASE);
    std::fs::rename(&new, &base).with_context(|| format!("cannot put {} in place", base.display()))?;
    // The new name is safe only once the folder is.
    sync(folder)?;
    for (_, path) in journals(folder).into_iter().filter(|(g, _)| *g < generation) {
        // One that stays is not read again: its generation has passed.
        let _ = std::fs::remove_file(path);
    }
    Ok(out.bytes)
}

fn sync(folder: &Path) -> anyhow::Result<()> {
    File::open(folder).and_then(|f| f.sync_all()).with_context(|| format!("cannot sync {}", folder.display()))
}

fn journal_path(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("{}{generation}{}", JOURNAL.0, JOURNAL.1))
}

/// Whether a journal is still what a start would read.
pub fn is_in_place(folder: &Path, generation: u64, journal: &File) -> bool {
    let file = |metadata: std::io::Result<std::fs::Metadata>| metadata.map(|m| (m.dev(), m.ino())).ok();
    let there = file(std::fs::metadata(journal_path(folder, generation)));
    there.is_some() && there == file(journal.metadata())
}

/// Begins the journal of a generation.
///
/// # Errors
/// When the folder cannot be written to.
pub fn journal(folder: &Path, generation: u64) -> anyhow::Result<File> {
    let path = journal_path(folder, generation);
    let mut file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    Writer::new(&mut file)
        .line(&head(generation))
        .with_context(|| format!("cannot write {}", path.display()))?;
    sync(folder)?;
    Ok(file)
}

/// The lines that a journal needs for these changes.
///
/// # Errors
/// None that can be met: writing into memory does not fail.
pub fn lines(changes: &Changes) -> std::io::Result<Vec<u8>> {
    let Changes { snapshot, credentials, apps, .. } = changes;
    let mut out = Writer::new(Vec::new());
    for place in apps {
        if let Some((app, state)) = snapshot.inventory.apps().get(*place).zip(snapshot.apps.get(*place)) {
            out.line(&Line::App(AppLine::new(&app.id, state)))?;
        }
    }
    for line in credentials.iter().filter_map(|place| CredentialLine::new(snapshot, *place)) {
        out.line(&Line::Credential(line))?;
    }
    Ok(out.out)
}

/// Gives the store's accounts, credentials and apps what the files in the folder know of them, and
/// returns the newest generation there. A file that is damaged or of a newer version is set aside,
/// with a message.
pub fn restore(folder: &Path, store: &Store) -> u64 {
    let inventory = store.snapshot().inventory;
    let mut known = Known::new(&inventory);
    let base = folder.join(BASE);
    let mut newest = 0;
    match read_base(&base, &mut known) {
        Ok(generation) => newest = generation,
        Err(error) => {
            set_aside(&base, &error);
            known = Known::new(&inventory);
        }
    }
    for (generation, path) in journals(folder) {
        if generation < newest {
            continue;
        }
        newest = generation;
        if let Err(error) = read_journal(&path, &mut known) {
            set_aside(&path, &error);
        }
    }
    if known.lines > 0 {
        tracing::info!(lines = known.lines, "state restored");
        store.restore(known.accounts, known.credentials, known.apps);
    }
    newest
}

fn set_aside(path: &Path, error: &anyhow::Error) {
    let aside = aside(path);
    tracing::error!(file = %path.display(), aside = %aside.display(), error = format!("{error:#}"), "state not restored; its file is set aside");
    if let Err(error) = std::fs::rename(path, &aside) {
        tracing::error!(%error, "the state's file cannot be set aside");
    }
}

/// The journals of a folder, the oldest first.
fn journals(folder: &Path) -> Vec<(u64, PathBuf)> {
    let generation = |path: &Path| {
        let name = path.file_name()?.to_str()?;
        let generation = name.strip_prefix(JOURNAL.0)?.strip_suffix(JOURNAL.1)?.parse().ok();
        generation.filter(|g| *g < u64::MAX)
    };
    let paths = std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut journals: Vec<(u64, PathBuf)> =
        paths.filter_map(|path| Some((generation(&path)?, path))).collect();
    journals.sort_unstable();
    journals
}

/// What was read so far, in the roster's order.
struct Known<'r> {
    inventory: &'r Inventory,
    accounts: Vec<AccountState>,
    credentials: Vec<CredentialState>,
    apps: Vec<AppState>,
    lines: u64,
}

impl<'r> Known<'r> {
    fn new(inventory: &'r Inventory) -> Self {
        Self {
            accounts: vec![AccountState::default(); inventory.len()],
            credentials: vec![CredentialState::default(); inventory.credentials().len()],
            apps: vec![AppState::default(); inventory.apps().len()],
            lines: 0,
            inventory,
        }
    }

    /// What a line says takes the place of what an earlier one said. Who is watched no longer is
    /// passed over.
    fn note_app(&mut self, line: AppLine<'_>) {
        self.lines += 1;
        if let Some(state) = self
            .inventory
            .apps()
            .iter()
            .position(|app| app.id == line.id)
            .and_then(|place| self.apps.get_mut(place))
        {
            *state = line.state();
        }
    }

    fn note_credential(&mut self, line: &CredentialLine<'_>) {
        self.lines += 1;
        if let Some(state) =
            self.inventory.find_credential(&line.id).and_then(|place| self.credentials.get_mut(place))
        {
            *state = line.state();
        }
        // By their own ids: an account that hangs on another credential now is still the same connection.
        for account in &line.accounts {
            let Some(place) = self.inventory.find(&account.id) else { continue };
            if let Some((state, view)) = self.accounts.get_mut(place).zip(self.inventory.account(place)) {
                *state = account.state(view);
            }
        }
    }
}

/// Reads the next line into `line`, without its end. None at the end of the file; false for a line
/// that has no end.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> anyhow::Result<Option<bool>> {
    line.clear();
    reader.take(MAX_LINE).read_until(b'\n', line)?;
    anyhow::ensure!((line.len() as u64) < MAX_LINE, "is too long");
    let whole = line.last() == Some(&b'\n');
    Ok(if line.is_empty() { None } else { Some(whole) })
}

fn parse(line: &[u8], number: usize) -> anyhow::Result<Line<'_>> {
    let line = serde_json::from_slice(line).with_context(|| format!("line {number} makes no sense"))?;
    match line {
        Line::Head { version, generation, .. } if number == 1 => {
            anyhow::ensure!(
                version <= VERSION,
                "version {version} is newer than this program, which knows {VERSION}"
            );
            anyhow::ensure!(generation < u64::MAX, "no generation can follow");
        }
        _ if number == 1 => anyhow::bail!("does not begin with its version"),
        Line::Head { .. } => anyhow::bail!("line {number} begins it anew"),
        _ => {}
    }
    Ok(line)
}

/// Reads a whole base and returns its generation: 0 if there is none.
fn read_base(path: &Path, known: &mut Known<'_>) -> anyhow::Result<u64> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error).context("cannot be opened"),
    };
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut line = Vec::new();
    let mut crc = Crc::new();
    let (mut generation_of_base, mut count, mut ended) = (0, 0, false);
    for number in 1.. {
        if next_line(&mut reader, &mut line)
            .with_context(|| format!("line {number} cannot be read"))?
            .is_none()
        {
            break;
        }
        anyhow::ensure!(!ended, "goes on after its end");
        match parse(&line, number)? {
            Line::Head { generation, .. } => generation_of_base = generation,
            Line::App(app) => known.note_app(app),
            Line::Credential(credential) => known.note_credential(&credential),
            Line::End { lines, crc32 } => {
                anyhow::ensure!(lines == count, "holds {count} lines where {lines} were written");
                anyhow::ensure!(crc32 == crc.sum(), "its checksum is wrong");
                ended = true;
            }
        }
        crc.update(&line);
        count += u64::from(number > 1);
    }
    anyhow::ensure!(ended, "ends too early");
    Ok(generation_of_base)
}

/// Reads a journal as far as it goes: its last line is torn where a kill or a full disk ended it,
/// and that is no damage.
fn read_journal(path: &Path, known: &mut Known<'_>) -> anyhow::Result<()> {
    let mut reader = BufReader::with_capacity(1 << 16, File::open(path).context("cannot be opened")?);
    let mut line = Vec::new();
    for number in 1.. {
        match next_line(&mut reader, &mut line).with_context(|| format!("line {number} cannot be read"))? {
            Some(true) => {}
            Some(false) | None => break,
        }
        match parse(&line, number) {
            Ok(Line::App(app)) => known.note_app(app),
            Ok(Line::Credential(credential)) => known.note_credential(&credential),
            Ok(Line::Head { .. }) => {}
            Ok(Line::End { .. }) => anyhow::bail!("line {number} is the end of a base"),
            // Nothing after it: a block that was never written, after the machine went down.
            Err(_) if number > 1 && reader.fill_buf().is_ok_and(<[u8]>::is_empty) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A name beside the file that no file has yet.
fn aside(path: &Path) -> PathBuf {
    let stamp = Timestamp::now().unix();
    (0..)
        .map(|n| path.with_extension(format!("jsonl.aside-{stamp}-{n}")))
        .find(|p| !p.exists())
        .unwrap_or_else(|| path.to_owned())
}
