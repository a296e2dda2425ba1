//! One account with all that is known of it.

use crate::inventory::{AccountView, CredentialView};
use crate::model::{AppProblem, Capability, Cause, Expiry, Reason, Reconnecting, Timestamp, labels};
use crate::state::{AccountState, AppState, CredentialState, Heard, Snapshot};

labels! {
    /// The state of a connection. The order is that of urgency.
    ConnectionState {
        Disconnected = "disconnected",
        /// It works, but has lost a capability that it needs.
        Degraded = "degraded",
        /// No probe was conclusive yet, or not for a long time.
        Unverified = "unverified",
        Connected = "connected",
        /// It has not been probed yet.
        Waiting = "waiting",
    }
}

impl ConnectionState {
    /// On the status page.
    pub fn title(self) -> &'static str {
        match self {
            Self::Disconnected => "Disconnected",
            Self::Degraded => "Partly working",
            Self::Unverified => "Not verified",
            Self::Connected => "Connected",
            Self::Waiting => "Not probed yet",
        }
    }
}

/// Age in seconds at which a verdict counts as unverified. For accounts that are rarely probed it is
/// two probe intervals, if that is more.
const STALE: i64 = 43_200;

#[derive(Clone, Copy)]
pub struct Connection<'a> {
    pub account: AccountView<'a>,
    pub account_state: &'a AccountState,
    pub credential: CredentialView<'a>,
    pub credential_state: &'a CredentialState,
    /// What was heard of it besides probes, if anything was.
    pub heard: Option<&'a Heard>,
    app_state: Option<&'a AppState>,
    /// Indexed by [`Capability`]; see [`Snapshot::capability`].
    capabilities: [Option<Reason>; 4],
}

impl<'a> Connection<'a> {
    pub fn at(snapshot: &'a Snapshot, index: usize, now: Timestamp) -> Option<Self> {
        let account = snapshot.inventory.account(index)?;
        let credential = account.credential()?;
        Some(Self {
            account,
            account_state: snapshot.accounts.get(index)?,
            credential,
            app_state: credential.app().and_then(|app| snapshot.apps.get(app)),
            credential_state: snapshot.credentials.get(account.credential_index())?,
            heard: snapshot.heard.get(index),
            capabilities: std::array::from_fn(|c| snapshot.capability(index, *Capability::ALL.get(c)?, now)),
        })
    }

    pub fn state(&self, now: Timestamp) -> ConnectionState {
        match self.account_state.verdict {
            None if self.account_state.conclusive().is_none() => ConnectionState::Waiting,
            None => ConnectionState::Unverified,
            Some(_) if self.is_disconnected() => ConnectionState::Disconnected,
            Some(_) if self.is_stale(now) => ConnectionState::Unverified,
            Some(_) if self.lost_capabilities().next().is_some() => ConnectionState::Degraded,
            Some(_) => ConnectionState::Connected,
        }
    }

    pub fn is_disconnected(&self) -> bool {
        self.account_state.verdict.is_some_and(|reason| reason != Reason::Ok)
    }

    fn is_stale(&self, now: Timestamp) -> bool {
        let interval = i64::try_from(self.credential.interval().as_secs()).unwrap_or(i64::MAX);
        let stale = STALE.max(interval.saturating_mul(2));
        self.account_state.last_conclusive.is_none_or(|last| now.since(last) > stale)
    }

    /// Why it does not work, or works in part: the reason of the whole connection or else those of the
    /// lost capabilities.
    pub fn reasons(&self) -> impl Iterator<Item = Reason> + use<'a> {
        let whole = self.account_state.verdict.filter(|reason| *reason != Reason::Ok);
        let parts = self.lost_capabilities().map(|(_, reason)| reason);
        whole.into_iter().chain(parts.filter(move |_| whole.is_none()))
    }

    /// The needed capabilities that are known to be lost, and why.
    pub fn lost_capabilities(&self) -> impl Iterator<Item = (Capability, Reason)> + use<'a> {
        self.capabilities().filter(|(_, reason)| *reason != Reason::Ok)
    }

    /// The needed capabilities whose availability is known.
    pub fn capabilities(&self) -> impl Iterator<Item = (Capability, Reason)> + use<'a> {
        let known = self.capabilities;
        Capability::ALL.iter().filter_map(move |c| Some((*c, known[*c as usize]?)))
    }

    /// The needed capabilities that do not work now.
    pub fn stops(&self) -> impl Iterator<Item = Capability> + use<'a> {
        let known = self.capabilities;
        let all = self.is_disconnected();
        self.account.needs().iter().filter(move |c| match known[*c as usize] {
            Some(reason) => reason != Reason::Ok,
            None => all,
        })
    }

    /// Why the last probe was inconclusive. `None` for an ambiguous refusal that a second probe must
    /// confirm. The problem of an app may be known from the probe of another account.
    pub fn cause(&self) -> Option<Cause> {
        match self.account_state.trouble? {
            unknown @ Cause::AppMisconfigured(AppProblem::Unknown) => {
                Some(self.app_state.and_then(AppState::problem).map_or(unknown, Cause::AppMisconfigured))
            }
            cause => Some(cause),
        }
    }

    pub fn deadline(&self) -> Expiry {
        self.credential_state.clocks.get().deadline(self.credential.auto_refresh())
    }

    /// The deadline for people: none if the connection is lost already.
    pub fn deadline_ahead(&self) -> Option<Expiry> {
        (!self.is_disconnected()).then(|| self.deadline())
    }

    /// Whether reconnecting helps now: against the reasons, or ahead of a deadline if there are none.
    pub fn reconnecting(&self) -> Reconnecting {
        let app_is_refused = matches!(self.cause(), Some(Cause::AppMisconfigured(_)));
        if app_is_refused || self.account_state.verdict.is_none() {
            return Reconnecting::DoesNotHelp;
        }
        let each = || self.reasons().map(|reason| reason.info().reconnecting);
        if each().next().is_none() {
            return Reconnecting::Helps;
        }
        let helping = each().filter(|reconnecting| *reconnecting != Reconnecting::DoesNotHelp);
        helping.max().unwrap_or(Reconnecting::DoesNotHelp)
    }

    /// Where it can be reconnected, if that is an HTTP or HTTPS URL.
    pub fn reconnect_url(&self) -> Option<&'a str> {
        let url = self.account.reconnect_url();
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        let web = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
        web.then_some(url)
    }

    /// Who gets single mails about it.
    pub fn notify(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.account.notify_single().split(',').filter(|address| !address.is_empty())
    }

    /// The required scopes and whether each is granted. Empty while that is unknown.
    pub fn scopes(&self) -> impl Iterator<Item = (&'static str, bool)> + use<'a> {
        let granted = self.account_state.scopes;
        let required = self.account.required_scopes().iter().enumerate();
        required.filter_map(move |(i, scope)| Some((*scope, granted?.contains(i))))
    }
}
