//! What is known, kept on disk, so that a restart forgets no verdict, no clock and no pending confirmation.
//!
//! One file of JSON lines: a head with the format's version, a line for each account and credential, and an end that
//! counts them. It is written beside the old one and then put in its place, so that there is always a whole one. A file
//! that cannot be read is set aside and never stops a start. Tokens are not in it.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::network::Clocks;
use crate::reason::{Capability, Cause, Reason};
use crate::roster::AccountView;
use crate::rules::AccountState;
use crate::store::{CredentialState, Snapshot, Store};
use crate::time::{Expiry, Timestamp};

/// The version of the format that this program writes, and the newest that it reads.
const VERSION: u32 = 1;
const FILE: &str = "state.jsonl";

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// The first.
    Head { version: u32, written: i64 },
    /// What is known about an account.
    Account(AccountLine),
    /// What is known about a credential.
    Credential(CredentialLine),
    /// The last: how many lines stand between it and the head.
    End { lines: u64 },
}

#[derive(Debug, Serialize, Deserialize)]
struct AccountLine {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<i64>,
    /// An ambiguous refusal that waits for its confirmation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<(String, i64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_conclusive: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
    capabilities: BTreeMap<String, String>,
    /// The granted ones of the scopes that the account's needs require.
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<String>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct CredentialLine {
    id: String,
    /// Unix seconds; 0 for an end that was said never to come.
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_access: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_probe: Option<i64>,
    failures: u8,
    deaths: u8,
}

impl AccountLine {
    fn new(view: AccountView<'_>, state: &AccountState) -> Self {
        let scopes = state.scopes.map(|bits| {
            let required = view.required_scopes().iter().enumerate();
            required.filter(|(i, _)| bits >> i & 1 == 1).map(|(_, name)| (*name).to_owned()).collect()
        });
        let known = |c: &Capability| state.capabilities[*c as usize].map(|r| (c.label().to_owned(), r.label().to_owned()));
        Self {
            id: view.id().to_owned(),
            verdict: state.verdict.map(|r| r.label().to_owned()),
            since: state.since.map(Timestamp::unix),
            pending: state.pending.map(|(r, t)| (r.label().to_owned(), t.unix())),
            last_conclusive: state.last_conclusive.map(Timestamp::unix),
            trouble: state.trouble.map(|c| c.label().to_owned()),
            capabilities: Capability::ALL.iter().filter_map(known).collect(),
            scopes,
        }
    }

    /// The state of the account that is now configured under this id.
    fn state(&self, view: AccountView<'_>) -> AccountState {
        let reason = |label: &String| Reason::from_label(label);
        let mut state = AccountState {
            verdict: self.verdict.as_ref().and_then(reason),
            since: self.since.and_then(Timestamp::from_unix),
            pending: self.pending.as_ref().and_then(|(r, t)| Reason::from_label(r).zip(Timestamp::from_unix(*t))),
            last_conclusive: self.last_conclusive.and_then(Timestamp::from_unix),
            trouble: self.trouble.as_deref().and_then(Cause::from_label),
            ..AccountState::default()
        };
        for capability in view.needs().iter() {
            state.capabilities[capability as usize] = self.capabilities.get(capability.label()).and_then(reason);
        }
        let bit = |(i, name): (usize, &&str), granted: &[String]| u32::from(granted.iter().any(|g| g == name)) << i;
        state.scopes = self.scopes.as_ref().map(|granted| {
            let required = view.required_scopes().iter().enumerate();
            required.fold(0, |bits, scope| bits | bit(scope, granted))
        });
        state
    }
}

impl CredentialLine {
    fn new(id: &str, state: &CredentialState) -> Self {
        let end = |expiry: Expiry| match expiry {
            Expiry::Unknown => None,
            Expiry::Never => Some(0),
            Expiry::At(instant) => Some(instant.unix()),
        };
        Self {
            id: id.to_owned(),
            access: end(state.clocks.access),
            refresh: end(state.clocks.refresh),
            data_access: end(state.clocks.data_access),
            issued: state.clocks.issued.map(Timestamp::unix),
            last_probe: state.last_probe.map(Timestamp::unix),
            failures: state.failures,
            deaths: state.deaths,
        }
    }

    fn state(&self) -> CredentialState {
        let end = |seconds: Option<i64>| match seconds {
            None => Expiry::Unknown,
            Some(0) => Expiry::Never,
            Some(seconds) => Timestamp::from_unix(seconds).map_or(Expiry::Unknown, Expiry::At),
        };
        let mut state = CredentialState::default();
        state.clocks = Clocks {
            access: end(self.access),
            refresh: end(self.refresh),
            data_access: end(self.data_access),
            issued: self.issued.and_then(Timestamp::from_unix),
        };
        state.last_probe = self.last_probe.and_then(Timestamp::from_unix);
        state.failures = self.failures;
        state.deaths = self.deaths;
        state
    }
}

/// Writes everything that is known into a folder, which is made if it is not there.
///
/// # Errors
/// When the folder cannot be written to; the file that was there stays as it was.
pub fn write(folder: &Path, snapshot: &Snapshot) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(|| format!("cannot write into {}", folder.display()))?;
    {
        let mut out = BufWriter::new(&mut file);
        let mut lines = 0;
        let mut put = |line: &Line| -> anyhow::Result<()> {
            serde_json::to_writer(&mut out, line)?;
            out.write_all(b"\n")?;
            Ok(())
        };
        put(&Line::Head { version: VERSION, written: Timestamp::now().unix() })?;
        for (view, state) in snapshot.roster.accounts().zip(snapshot.accounts.iter()) {
            put(&Line::Account(AccountLine::new(view, state)))?;
            lines += 1;
        }
        for (watched, state) in snapshot.roster.credentials().zip(snapshot.credentials.iter()) {
            put(&Line::Credential(CredentialLine::new(watched.id(), state)))?;
            lines += 1;
        }
        put(&Line::End { lines })?;
        out.flush()?;
    }
    file.as_file().sync_all()?;
    file.persist(folder.join(FILE))?;
    // The new name is safe only once the folder is.
    std::fs::File::open(folder)?.sync_all()?;
    Ok(())
}

/// Gives the store's accounts and credentials what the file in the folder knows of them. A file that is damaged or of a
/// newer version is set aside, with a message; that there is none is as well.
pub fn restore(folder: &Path, store: &Store) {
    let path = folder.join(FILE);
    match read(&path) {
        Ok(None) => {}
        Ok(Some((accounts, credentials))) => {
            tracing::info!(accounts = accounts.len(), credentials = credentials.len(), "state restored");
            store.restore(|view| accounts.get(view.id()).map(|line| line.state(view)), |id| credentials.get(id).map(CredentialLine::state));
        }
        Err(error) => {
            let aside = aside(&path);
            tracing::error!(file = %path.display(), aside = %aside.display(), error = format!("{error:#}"), "state not restored; its file is set aside");
            if let Err(error) = std::fs::rename(&path, &aside) {
                tracing::error!(%error, "the state's file cannot be set aside");
            }
        }
    }
}

type Lines = (HashMap<String, AccountLine>, HashMap<String, CredentialLine>);

/// A whole file, or none if there is none.
fn read(path: &Path) -> anyhow::Result<Option<Lines>> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context("cannot be opened"),
    };
    let (mut accounts, mut credentials) = Lines::default();
    let mut count = 0;
    let mut ended = false;
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.with_context(|| format!("line {} cannot be read", number + 1))?;
        anyhow::ensure!(!ended, "goes on after its end");
        match serde_json::from_str(&line).with_context(|| format!("line {} makes no sense", number + 1))? {
            Line::Head { version, .. } if number == 0 => {
                anyhow::ensure!(version <= VERSION, "version {version} is newer than this program, which knows {VERSION}");
            }
            _ if number == 0 => anyhow::bail!("does not begin with its version"),
            Line::Head { .. } => anyhow::bail!("line {} begins it anew", number + 1),
            Line::Account(line) => {
                accounts.insert(line.id.clone(), line);
                count += 1;
            }
            Line::Credential(line) => {
                credentials.insert(line.id.clone(), line);
                count += 1;
            }
            Line::End { lines } => {
                anyhow::ensure!(lines == count, "holds {count} lines where {lines} were written");
                ended = true;
            }
        }
    }
    anyhow::ensure!(ended, "ends too early");
    Ok(Some((accounts, credentials)))
}

/// A name beside the file that no file has yet.
fn aside(path: &Path) -> PathBuf {
    let stamp = Timestamp::now().unix();
    (0..).map(|n| path.with_extension(format!("jsonl.aside-{stamp}-{n}"))).find(|p| !p.exists()).unwrap_or_else(|| path.to_owned())
}
