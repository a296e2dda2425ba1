//! The lines of the state files, one JSON object each. Tokens are not among them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZeroU64;
use std::sync::Arc;

use anyhow::Context as _;
use flate2::Crc;
use serde::{Deserialize, Serialize};

use super::{
    AccountState, AppFaultWindow, AppHealth, AppState, Block, Changes, CredentialState, Heard, LastNotice,
    Report, Snapshot, WindowEntry,
};
use crate::inventory::AccountView;
use crate::model::{AppProblem, Capability, Cause, Expiry, Reason, ReportResult, Timestamp};
use crate::network::{Clocks, LoginNames};

/// Version of the format that this program writes, and the newest that it reads.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line<'a> {
    /// The first line.
    Head {
        version: u32,
        generation: u64,
        written: Timestamp,
    },
    App(AppLine<'a>),
    /// A credential with its accounts: in one line, so that a login is restored as a whole or not
    /// at all.
    Credential(CredentialLine<'a>),
    /// What was heard of an account besides probes. Not written for other accounts.
    Heard(HeardLine<'a>),
    /// The last line of a base: number of lines between the head and this one, and the checksum of
    /// everything before it.
    End {
        lines: u64,
        crc32: u32,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AppLine<'a> {
    pub(super) id: Cow<'a, str>,
    health: AppHealth,
    #[serde(rename = "suspicion")]
    fault_window: AppFaultWindow,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<Timestamp>,
    /// 0 if the app is not limited.
    #[serde(rename = "patience")]
    limited: u8,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CredentialLine<'a> {
    pub(super) id: Cow<'a, str>,
    /// In Unix seconds, like the next two; 0 if there is no end, none if the end is unknown.
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
    #[serde(default, rename = "part", skip_serializing_if = "is_default")]
    window_entry: WindowEntry,
    /// Hashes of the names by which notices tell the login.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<NonZeroU64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<[u64; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<NoticeLine<'a>>,
    pub(super) accounts: Vec<AccountLine<'a>>,
}

/// The last notice about a login.
#[derive(Debug, Serialize, Deserialize)]
struct NoticeLine<'a> {
    at: Timestamp,
    event: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<Cow<'a, str>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AccountLine<'a> {
    pub(super) id: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<(Cow<'a, str>, Timestamp)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_conclusive: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_problem: Option<Cow<'a, str>>,
    capabilities: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    /// Those that are granted of the scopes that the account's needs require.
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<Cow<'a, str>>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HeardLine<'a> {
    pub(super) id: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reports: Vec<ReportLine<'a>>,
    /// By capability.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    blocks: BTreeMap<Cow<'a, str>, BlockLine<'a>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    report_ids: Vec<(u64, Timestamp)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ReportLine<'a> {
    operation: Cow<'a, str>,
    result: Cow<'a, str>,
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    by: Cow<'a, str>,
}

#[derive(Debug, Serialize, Deserialize)]
struct BlockLine<'a> {
    reason: Cow<'a, str>,
    since: Timestamp,
    until: Timestamp,
    by: Cow<'a, str>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl<'a> Line<'a> {
    pub(super) fn head(generation: u64) -> Self {
        Self::Head { version: VERSION, generation, written: Timestamp::now() }
    }

    pub(super) fn app(snapshot: &'a Snapshot, index: usize) -> Option<Self> {
        let app = snapshot.inventory.apps().get(index)?;
        let AppState { health, fault_window, known_problem, paused, limited, .. } =
            snapshot.apps.get(index)?;
        Some(Self::App(AppLine {
            id: (&app.id).into(),
            health: *health,
            fault_window: fault_window.clone(),
            problem: known_problem.map(|p| p.label().into()),
            paused: *paused,
            limited: u8::from(*limited),
        }))
    }

    pub(super) fn credential(snapshot: &'a Snapshot, index: usize) -> Option<Self> {
        let watched = snapshot.inventory.credential(index)?;
        let state = snapshot.credentials.get(index)?;
        let clocks = state.clocks.get();
        let account =
            |index| Some(AccountLine::new(snapshot.inventory.account(index)?, snapshot.accounts.get(index)?));
        let seconds = |expiry: Expiry| match expiry {
            Expiry::Unknown => None,
            Expiry::Never => Some(0),
            Expiry::At(instant) => Some(instant.unix()),
        };
        Some(Self::Credential(CredentialLine {
            id: watched.id().into(),
            access: seconds(clocks.access),
            refresh: seconds(clocks.refresh),
            data_access: seconds(clocks.data_access),
            issued: clocks.issued,
            last_probe: state.last_probe,
            failures: state.failures,
            deaths: state.deaths,
            paused: state.paused,
            window_entry: state.window_entry,
            user: state.names.user,
            tokens: state.names.tokens.as_deref().copied(),
            notice: state.notice.as_deref().map(|notice| NoticeLine {
                at: notice.at,
                event: notice.event.as_str().into(),
                lost: notice.lost.map(|reason| reason.label().into()),
            }),
            accounts: watched.accounts().filter_map(account).collect(),
        }))
    }

    pub(super) fn heard(snapshot: &'a Snapshot, index: usize) -> Option<Self> {
        let id = snapshot.inventory.account(index)?.id().into();
        let heard = snapshot.heard.get(index)?;
        let report = |report: &'a Report| ReportLine {
            operation: report.operation.label().into(),
            result: report.result.label().into(),
            at: report.at,
            reason: report.reason.map(|reason| reason.label().into()),
            cause: report.cause.map(|cause| cause.label().into()),
            until: report.until,
            by: (&*report.by).into(),
        };
        let block = |capability: &Capability| {
            let Block { reason, since, until, by } = heard.blocks[*capability as usize].as_ref()?;
            let by = (&**by).into();
            let line = BlockLine { reason: reason.label().into(), since: *since, until: *until, by };
            Some((capability.label().into(), line))
        };
        Some(Self::Heard(HeardLine {
            id,
            reports: heard.reports.iter().map(report).collect(),
            blocks: Capability::ALL.iter().filter_map(block).collect(),
            report_ids: heard.ids.clone(),
        }))
    }

    /// Reads line `number` of a file, counted from 1.
    pub(super) fn parse(line: &'a [u8], number: usize) -> anyhow::Result<Self> {
        let line = serde_json::from_slice(line).with_context(|| format!("line {number} makes no sense"))?;
        match line {
            Self::Head { version, generation, .. } if number == 1 => {
                anyhow::ensure!(
                    version <= VERSION,
                    "version {version} is newer than this program, which knows {VERSION}"
                );
                anyhow::ensure!(generation < u64::MAX, "no generation can follow");
            }
            _ if number == 1 => anyhow::bail!("does not begin with its version"),
            Self::Head { .. } => anyhow::bail!("line {number} begins it anew"),
            _ => {}
        }
        Ok(line)
    }
}

impl AppLine<'_> {
    /// Rate-limit usage is not stored: it is outdated after a restart.
    pub(super) fn state(self) -> AppState {
        let Self { health, fault_window, problem, paused, limited, .. } = self;
        let known_problem = problem.as_deref().and_then(AppProblem::from_label);
        AppState { health, fault_window, known_problem, paused, limited: limited > 0, ..AppState::default() }
    }
}

impl CredentialLine<'_> {
    pub(super) fn state(&self) -> CredentialState {
        let expiry = |seconds: Option<i64>| match seconds {
            None => Expiry::Unknown,
            Some(0) => Expiry::Never,
            Some(seconds) => Timestamp::from_unix(seconds).map_or(Expiry::Unknown, Expiry::At),
        };
        CredentialState {
            clocks: Clocks {
                access: expiry(self.access),
                refresh: expiry(self.refresh),
                data_access: expiry(self.data_access),
                issued: self.issued,
            }
            .into(),
            last_probe: self.last_probe,
            failures: self.failures,
            deaths: self.deaths,
            token: None,
            paused: self.paused,
            window_entry: self.window_entry,
            names: LoginNames { user: self.user, tokens: self.tokens.map(Arc::new) },
            notice: self.notice.as_ref().map(|notice| {
                let lost = notice.lost.as_deref().and_then(Reason::from_label);
                Arc::new(LastNotice { at: notice.at, event: notice.event.to_string(), lost })
            }),
        }
    }
}

impl HeardLine<'_> {
    pub(super) fn heard(&self) -> Heard {
        let report = |line: &ReportLine<'_>| {
            Some(Report {
                operation: Capability::from_label(&line.operation)?,
                result: ReportResult::from_label(&line.result)?,
                at: line.at,
                reason: line.reason.as_deref().and_then(Reason::from_label),
                cause: line.cause.as_deref().and_then(Cause::from_label),
                until: line.until,
                by: (&*line.by).into(),
            })
        };
        let mut heard = Heard {
            reports: self.reports.iter().filter_map(report).collect(),
            ids: self.report_ids.clone(),
            ..Heard::default()
        };
        for (capability, line) in &self.blocks {
            let known = Capability::from_label(capability).zip(Reason::from_label(&line.reason));
            if let Some((capability, reason)) = known {
                let BlockLine { since, until, .. } = *line;
                heard.blocks[capability as usize] =
                    Some(Block { reason, since, until, by: (&*line.by).into() });
            }
        }
        heard
    }
}

impl<'a> AccountLine<'a> {
    fn new(view: AccountView<'a>, state: &AccountState) -> Self {
        let scopes = state.scopes.map(|granted| {
            let required = view.required_scopes().iter().enumerate();
            required.filter(|(i, _)| granted.contains(*i)).map(|(_, name)| (*name).into()).collect()
        });
        let app_problem = state.trouble.and_then(Cause::app_problem).filter(|p| *p != AppProblem::Unknown);
        let known =
            |c: &Capability| state.capabilities[*c as usize].map(|r| (c.label().into(), r.label().into()));
        Self {
            id: view.id().into(),
            verdict: state.verdict.map(|r| r.label().into()),
            since: state.since,
            pending: state.pending.map(|(r, t)| (r.label().into(), t)),
            last_conclusive: state.last_conclusive,
            trouble: state.trouble.map(|c| c.label().into()),
            app_problem: app_problem.map(|p| p.label().into()),
            capabilities: Capability::ALL.iter().filter_map(known).collect(),
            scopes,
        }
    }

    fn trouble(&self) -> Option<Cause> {
        let cause = self.trouble.as_deref().and_then(Cause::from_label)?;
        let problem = self.app_problem.as_deref().and_then(AppProblem::from_label);
        Some(match (cause, problem) {
            (Cause::AppMisconfigured(_), Some(problem)) => Cause::AppMisconfigured(problem),
            _ => cause,
        })
    }

    /// The state of an account, as far as it still has the needs that it had when this was written.
    pub(super) fn state(&self, view: AccountView<'_>) -> AccountState {
        let reason = |label: &Cow<'_, str>| Reason::from_label(label);
        let mut state = AccountState {
            verdict: self.verdict.as_ref().and_then(reason),
            since: self.since,
            pending: self.pending.as_ref().and_then(|(r, t)| Some((reason(r)?, *t))),
            last_conclusive: self.last_conclusive,
            trouble: self.trouble(),
            ..AccountState::default()
        };
        for capability in view.needs().iter() {
            state.capabilities[capability as usize] =
                self.capabilities.get(capability.label()).and_then(reason);
        }
        state.scopes = self.scopes.as_ref().map(|granted| {
            view.required_scopes().iter().map(|name| granted.iter().any(|g| g == name)).collect()
        });
        state
    }
}

/// Writes lines, and keeps the checksum and the number of bytes written.
pub(super) struct LineWriter<W> {
    pub(super) out: W,
    pub(super) crc: Crc,
    pub(super) bytes: u64,
}

impl<W: Write> LineWriter<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, crc: Crc::new(), bytes: 0 }
    }

    pub(super) fn line(&mut self, line: &Line<'_>) -> std::io::Result<()> {
        serde_json::to_writer(&mut *self, line)?;
        self.write_all(b"\n")
    }
}

impl<W: Write> Write for LineWriter<W> {
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

/// The lines to append to a journal for these changes.
///
/// # Errors
/// None in practice: writing to memory does not fail.
pub fn journal_lines(changes: &Changes) -> std::io::Result<Vec<u8>> {
    let Changes { snapshot, credentials, apps, heard, .. } = changes;
    let mut out = LineWriter::new(Vec::new());
    let apps = apps.iter().filter_map(|index| Line::app(snapshot, *index));
    let credentials = credentials.iter().filter_map(|index| Line::credential(snapshot, *index));
    let heard = heard.iter().filter_map(|index| Line::heard(snapshot, *index));
    for line in apps.chain(credentials).chain(heard) {
        out.line(&line)?;
    }
    Ok(out.out)
}
