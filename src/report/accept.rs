//! What follows from a report: what it is read as, what is kept of it, and whether a probe is due.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::body::{AccountRef, Item, Saw};
use super::classification::{Classified, judge};
use crate::inventory::{AccountView, CredentialView, Elsewhere, Inventory};
use crate::log_at;
use crate::model::{Capability, Cause, Reason, ReportResult, Secret, Timestamp, labels};
use crate::network::{Account, Answer, Grant, NetworkId, Question, ResolvedApp, Tokens, Verdict, WriteFact};
use crate::state::{NextProbe, Report, ReportEffect, Snapshot, Store};
use crate::telemetry::Metrics;

/// How long a block counts in seconds if the network does not say.
const BLOCK: i64 = 24 * 3600;
/// Longest time in seconds that a network can say.
const LONGEST_BLOCK: i64 = 90 * 86_400;

labels! {
    /// What follows from a report.
    Acted {
        /// A probe is made at once.
        ProbeNow = "probe_now",
        /// It is kept: it blocks a capability, or ends a block.
        Recorded = "recorded",
        /// It changes nothing.
        Ignored = "ignored",
    }
}

/// Who reports, and about what.
#[derive(Clone, Debug)]
pub struct Reporter {
    pub id: Arc<str>,
    /// Empty: all networks.
    pub networks: Vec<NetworkId>,
    /// Ids. Empty: all accounts.
    pub accounts: Vec<String>,
}

impl Reporter {
    fn is_limited(&self) -> bool {
        !self.networks.is_empty() || !self.accounts.is_empty()
    }

    fn permits(&self, account: AccountView<'_>) -> bool {
        (self.networks.is_empty() || self.networks.contains(&account.network()))
            && (self.accounts.is_empty() || self.accounts.iter().any(|id| id == account.id()))
    }
}

/// Why a report is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The reporter may not report on this account, whether it exists or not.
    Forbidden,
    Unknown,
    /// Several accounts have this id at the network.
    Ambiguous,
    /// The shard with this number holds the account.
    Elsewhere(u32),
}

/// A report that was accepted.
#[derive(Clone, Copy, Debug)]
pub struct Accepted {
    pub verdict: &'static str,
    pub reason: Option<Reason>,
    pub cause: Option<Cause>,
    /// What is lost, if only that.
    pub capability: Option<Capability>,
    /// Until when it counts as lost.
    pub until: Option<Timestamp>,
    pub acted: Acted,
    /// The credential to probe, by index in the inventory.
    pub due: Option<usize>,
    /// Version of the first snapshot that holds it.
    pub version: u64,
}

/// Accepts reports.
pub struct Acceptor {
    store: Arc<Store>,
    metrics: Metrics,
    /// The accounts that other shards hold.
    elsewhere: Mutex<Arc<Elsewhere>>,
    external_ids: Mutex<Arc<ExternalIds>>,
}

/// What was read in a report.
struct Read {
    result: ReportResult,
    verdict: Verdict,
    reason: Option<Reason>,
    cause: Option<Cause>,
    lost: Option<Capability>,
    until: Option<Timestamp>,
}

impl Acceptor {
    pub fn new(store: Arc<Store>, metrics: Metrics) -> Self {
        Self { store, metrics, elsewhere: Mutex::default(), external_ids: Mutex::default() }
    }

    /// Replaces what is known of the accounts of other shards.
    pub fn set_elsewhere(&self, elsewhere: Elsewhere) {
        *self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(elsewhere);
    }

    /// Counts a report that is not accepted.
    pub fn rejected(&self) {
        self.metrics.reported(None, ReportResult::Rejected);
    }

    /// Reads a report and applies it.
    ///
    /// # Errors
    /// If the account is not here, or the reporter may not report on it.
    pub fn accept(&self, item: &Item, by: &Reporter, now: Timestamp) -> Result<Accepted, Refused> {
        let accepted = self.read_and_apply(item, by, now);
        if matches!(accepted, Err(refused) if !matches!(refused, Refused::Elsewhere(_))) {
            self.rejected();
        }
        accepted
    }

    fn read_and_apply(&self, item: &Item, by: &Reporter, now: Timestamp) -> Result<Accepted, Refused> {
        let snapshot = self.store.snapshot();
        let inventory = snapshot.inventory.clone();
        let index = self.find(&inventory, &item.account, by)?;
        let known = inventory.account(index);
        let Some((account, credential)) = known.and_then(|a| a.credential().map(|c| (a, c))) else {
            return Err(Refused::Unknown);
        };
        if !by.permits(account) {
            return Err(Refused::Forbidden);
        }
        let at = item.at.unwrap_or(now);
        let read = match &item.saw {
            Saw::Success => Read::success(),
            Saw::Answer(answer) => Read::answer(&snapshot, index, credential, item.operation, answer, at),
        };
        // Where only a new token helps, that is what is waited for.
        let waits = snapshot.next_probe(account.credential_index()) == Some(NextProbe::NewToken);
        // While it is held, a change of the store copies what they share.
        drop(snapshot);
        let report = Report {
            operation: item.operation,
            result: read.result,
            at,
            reason: read.reason,
            cause: read.cause,
            until: read.until,
            by: by.id.clone(),
        };
        let applied = self.store.apply_report(account.id(), report, item.id, now).ok_or(Refused::Unknown)?;
        let result = match applied.effect {
            ReportEffect::Newest => read.result,
            ReportEffect::Repeated => ReportResult::Repeated,
            ReportEffect::Outdated => ReportResult::Outdated,
        };
        self.metrics.reported(Some(account.network()), result);
        if applied.before != applied.after {
            log_change(account, credential, item.operation, [applied.before, applied.after], read.until);
        }
        let acted = match result {
            ReportResult::Blocked if read.until > Some(now) => Acted::Recorded,
            ReportResult::Success if applied.ended_block => Acted::Recorded,
            ReportResult::Refused | ReportResult::AppRefused if !waits => Acted::ProbeNow,
            _ => Acted::Ignored,
        };
        Ok(Accepted {
            verdict: match read.verdict {
                Verdict::Valid => "valid",
                Verdict::Invalid(..) => "invalid",
                Verdict::Undetermined(_) => "undetermined",
            },
            reason: read.reason,
            cause: read.cause,
            capability: read.lost,
            until: read.until,
            acted,
            due: (acted == Acted::ProbeNow).then(|| account.credential_index()),
            version: applied.version,
        })
    }

    /// The index of an account.
    fn find(
        &self,
        inventory: &Arc<Inventory>,
        account: &AccountRef,
        by: &Reporter,
    ) -> Result<usize, Refused> {
        let elsewhere = self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (found, elsewhere) = match account {
            AccountRef::Id(id) => (inventory.find(id), elsewhere.account(id)),
            AccountRef::External { network, id } => {
                let index = self.external_ids(inventory);
                (index.find(inventory, *network, id)?, elsewhere.external_id(*network, id))
            }
        };
        match (found, elsewhere) {
            (Some(index), _) => Ok(index),
            (None, Some(shard)) => Err(Refused::Elsewhere(shard)),
            (None, None) => Err(if by.is_limited() { Refused::Forbidden } else { Refused::Unknown }),
        }
    }

    fn external_ids(&self, inventory: &Arc<Inventory>) -> Arc<ExternalIds> {
        let mut known = self.external_ids.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::ptr::eq(known.inventory.as_ptr(), Arc::as_ptr(inventory)) {
            *known = Arc::new(ExternalIds::new(inventory));
        }
        known.clone()
    }
}

impl Read {
    fn success() -> Self {
        let (result, verdict) = (ReportResult::Success, Verdict::Valid);
        Self { result, verdict, reason: Some(Reason::Ok), cause: None, lost: None, until: None }
    }

    fn answer(
        snapshot: &Snapshot,
        index: usize,
        credential: CredentialView<'_>,
        operation: Capability,
        answer: &Answer,
        at: Timestamp,
    ) -> Self {
        let unknown = Verdict::Undetermined(Cause::UnexpectedAnswer);
        let Some(Classified { finding, write, .. }) =
            classified(snapshot, index, credential, operation, answer, at)
        else {
            return Self::of(ReportResult::Unclassified, unknown);
        };
        match write {
            Some(WriteFact::Blocked { reason, lasts }) => {
                let lasts = lasts.and_then(|lasts| i64::try_from(lasts.as_secs()).ok());
                let until = at.plus(lasts.map_or(BLOCK, |lasts| lasts.min(LONGEST_BLOCK)));
                let read = Self::of(ReportResult::Blocked, finding.verdict);
                return Self { reason: Some(reason), lost: Some(operation), until: Some(until), ..read };
            }
            Some(WriteFact::Content) => return Self::of(ReportResult::Content, finding.verdict),
            None => {}
        }
        let lost = finding.capabilities.iter().find(|(capability, reason)| {
            *reason != Reason::Ok && snapshot.capability(index, *capability, at) == Some(Reason::Ok)
        });
        match (finding.verdict, lost) {
            (Verdict::Valid, Some((capability, reason))) => {
                let read = Self::of(ReportResult::Refused, finding.verdict);
                Self { reason: Some(*reason), lost: Some(*capability), ..read }
            }
            (Verdict::Valid, None) if answer.maybe_success() => Self::success(),
            // An error whose answer accepts the token: what it is about is not known.
            (Verdict::Valid, None) => Self::of(ReportResult::Unclassified, finding.verdict),
            (Verdict::Invalid(..), _) => Self::of(ReportResult::Refused, finding.verdict),
            (Verdict::Undetermined(cause), _) => Self::of(result_of(cause), finding.verdict),
        }
    }

    fn of(result: ReportResult, verdict: Verdict) -> Self {
        let (reason, cause) = match verdict {
            Verdict::Valid => (Some(Reason::Ok), None),
            Verdict::Invalid(reason, _) => (Some(reason), None),
            Verdict::Undetermined(cause) => (None, Some(cause)),
        };
        Self { result, verdict, reason, cause, lost: None, until: None }
    }
}

fn result_of(cause: Cause) -> ReportResult {
    match cause {
        Cause::RateLimited => ReportResult::RateLimited,
        Cause::AppMisconfigured(_) => ReportResult::AppRefused,
        Cause::UnexpectedAnswer => ReportResult::Unclassified,
        Cause::Timeout
        | Cause::Connect
        | Cause::Dns
        | Cause::Tls
        | Cause::ServerError
        | Cause::CredentialUnreadable
        | Cause::ClockSkew
        | Cause::SourceUnavailable => ReportResult::Unavailable,
    }
}

/// Reads an answer as `classify` does, with what is known of the account.
fn classified(
    snapshot: &Snapshot,
    index: usize,
    credential: CredentialView<'_>,
    operation: Capability,
    answer: &Answer,
    at: Timestamp,
) -> Option<Classified> {
    let account = snapshot.inventory.account(index)?;
    let state = snapshot.accounts.get(index)?;
    let clocks = snapshot.credentials.get(credential.index())?.clocks.get();
    let app = snapshot.inventory.app(credential);
    let default_version = account.network().description().api_version.unwrap_or_default();
    let app = ResolvedApp {
        client_id: app.map(|app| app.client_id.clone()).unwrap_or_default(),
        api_version: app.map_or_else(|| default_version.to_owned(), |app| app.api_version.clone()),
        endpoints: app.map(|app| app.endpoints.clone()).unwrap_or_default(),
        probe_rules: credential
            .probe_rules()
            .or(app.map(|app| &app.probe_rules))
            .cloned()
            .unwrap_or_default(),
        ..ResolvedApp::default()
    };
    let granted = state.scopes.map(|granted| {
        let required = account.required_scopes().iter().enumerate();
        required.filter(|(i, _)| granted.contains(*i)).map(|(_, scope)| (*scope).to_owned()).collect()
    });
    let scopes = credential.scopes().map(<[String]>::to_vec).or(granted);
    let tokens = Tokens { access: Secret::new(""), secret: None, refresh: None, scopes };
    let needs = account.needs().iter().chain([operation]).collect();
    // The id in the answer to a successful write is that of what was written.
    let external_id = account.as_asked().external_id.filter(|_| !answer.maybe_success());
    let accounts = [Account { needs, external_id, ..account.as_asked() }];
    let grant = Grant { style: account.style(), app: &app, tokens: &tokens, accounts: &accounts };
    judge(account.network(), &grant, Question { call: None, about: Some(0) }, answer, clocks, at)
}

/// Logs that a capability is lost or available again.
fn log_change(
    account: AccountView<'_>,
    credential: CredentialView<'_>,
    operation: Capability,
    [before, after]: [Option<Reason>; 2],
    until: Option<Timestamp>,
) {
    let lost = |reason: Option<Reason>| reason.filter(|reason| *reason != Reason::Ok);
    let words = |reason: Reason| format!("{operation}: {reason}");
    let state = |reason| if lost(reason).is_some() { "degraded" } else { "valid" };
    let level = if lost(after).is_some() { tracing::Level::WARN } else { tracing::Level::INFO };
    log_at!(
        level,
        account = account.id(),
        network = account.network().name(),
        app = Some(credential.app_id()).filter(|app| !app.is_empty()),
        credential = credential.id(),
        from = state(before),
        to = state(after),
        reason = lost(after).map_or_else(|| Reason::Ok.label().to_owned(), words),
        before = before.map(words),
        until = until.map(|until| until.to_string()),
        by = "report",
        "verdict changed"
    );
}

/// Finds accounts by their ids at networks. Made when it is first needed.
#[derive(Default)]
struct ExternalIds {
    inventory: Weak<Inventory>,
    /// Hashes and indexes of accounts, sorted.
    sorted: Vec<(u64, u32)>,
}

impl ExternalIds {
    fn new(inventory: &Arc<Inventory>) -> Self {
        let named = inventory.accounts().enumerate().filter(|(_, account)| !account.external_id().is_empty());
        let mut sorted: Vec<(u64, u32)> = named
            .filter_map(|(index, account)| {
                Some((hash_of(account.network(), account.external_id()), u32::try_from(index).ok()?))
            })
            .collect();
        sorted.sort_unstable();
        Self { inventory: Arc::downgrade(inventory), sorted }
    }

    fn find(&self, inventory: &Inventory, network: NetworkId, id: &str) -> Result<Option<usize>, Refused> {
        let hashed = hash_of(network, id);
        let first = self.sorted.partition_point(|(known, _)| *known < hashed);
        let alike = self.sorted[first..].iter().take_while(|(known, _)| *known == hashed);
        let same = |account: AccountView<'_>| account.network() == network && account.external_id() == id;
        let mut found =
            alike.map(|(_, index)| *index as usize).filter(|i| inventory.account(*i).is_some_and(same));
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(Refused::Ambiguous),
            (found, _) => Ok(found),
        }
    }
}

fn hash_of(network: NetworkId, id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (network, id).hash(&mut hasher);
    hasher.finish()
}
