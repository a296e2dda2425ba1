//! What people and programs ask about connections: which, in which order, and all that is known of
//! each.
//!
//! One story in small files: [`Query`] is what somebody asks for, read once; [`Listing`] is one
//! moment of everything in order, the worst first; [`Board`] keeps the newest one; [`Connection`]
//! is all that is known of one account. [`json`], [`csv`] and [`ics`] write connections down; the
//! status page is another way to do that. Knows no HTTP and no HTML.

use std::borrow::Cow;

use crate::inventory::{AccountView, CredentialView};
use crate::model::{Capability, Cause, Expiry, Reason, Timestamp};
use crate::state::{AccountState, CredentialState, Snapshot};

/// How a connection is, in one word. The order is that of their urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ConnectionState {
    /// It does not work.
    Disconnected,
    /// It works, but something that it is needed for is gone.
    Degraded,
    /// Probes could not tell, never or not for long.
    Unverified,
    /// It works.
    Connected,
    /// It has not been probed yet.
    Waiting,
}

impl ConnectionState {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 5] =
        [Self::Disconnected, Self::Degraded, Self::Unverified, Self::Connected, Self::Waiting];

    /// As programs write it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Degraded => "degraded",
            Self::Unverified => "unverified",
            Self::Connected => "connected",
            Self::Waiting => "waiting",
        }
    }

    /// As people read it.
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

/// A verdict older than this is shown as unverified, in seconds; later for accounts that are seldom
/// probed. The alert `ConnectionUnverified` goes by the same half day.
const STALE: i64 = 43_200;

/// All that is known of one account.
#[derive(Clone, Copy)]
pub struct Connection<'a> {
    /// As configured.
    pub account: AccountView<'a>,
    /// What is known of it.
    pub known: &'a AccountState,
    /// Its login and all that hangs on it.
    pub login: CredentialView<'a>,
    /// What is known of its login.
    pub grant: &'a CredentialState,
}

impl<'a> Connection<'a> {
    /// The account at a place of the inventory.
    pub fn at(snapshot: &'a Snapshot, index: usize) -> Option<Self> {
        let account = snapshot.inventory.account(index)?;
        Some(Self {
            account,
            known: snapshot.accounts.get(index)?,
            login: account.credential()?,
            grant: snapshot.credentials.get(account.credential_index())?,
        })
    }

    /// How it is, in one word.
    pub fn state(&self, now: Timestamp) -> ConnectionState {
        match self.known.verdict {
            None if self.known.conclusive().is_none() => ConnectionState::Waiting,
            None => ConnectionState::Unverified,
            Some(reason) if reason != Reason::Ok => ConnectionState::Disconnected,
            Some(_) if self.is_stale(now) => ConnectionState::Unverified,
            Some(_) if self.lost().next().is_some() => ConnectionState::Degraded,
            Some(_) => ConnectionState::Connected,
        }
    }

    fn is_stale(&self, now: Timestamp) -> bool {
        let seldom = i64::try_from(self.login.interval().as_secs()).unwrap_or(i64::MAX).saturating_mul(2);
        self.known.last_conclusive.is_none_or(|last| now.since(last) > STALE.max(seldom))
    }

    /// Why it does not work, or not fully: first the reason for the whole, or else those of the
    /// capabilities that are gone.
    pub fn reasons(&self) -> impl Iterator<Item = Reason> + use<'a> {
        let whole = self.known.verdict.filter(|reason| *reason != Reason::Ok);
        let parts = self.lost().map(|(_, reason)| reason);
        whole.into_iter().chain(parts.filter(move |_| whole.is_none()))
    }

    /// The needed capabilities that are known to be gone, and why.
    pub fn lost(&self) -> impl Iterator<Item = (Capability, Reason)> + use<'a> {
        self.capabilities().filter(|(_, reason)| *reason != Reason::Ok)
    }

    /// What is known of the needed capabilities.
    pub fn capabilities(&self) -> impl Iterator<Item = (Capability, Reason)> + use<'a> {
        let known = &self.known.capabilities;
        Capability::ALL.iter().filter_map(|c| Some((*c, known[*c as usize]?)))
    }

    /// What stops meanwhile.
    pub fn stops(&self) -> impl Iterator<Item = Capability> + use<'a> {
        let known = self.known;
        let all = known.verdict.is_some_and(|reason| reason != Reason::Ok);
        self.account.needs().iter().filter(move |c| match known.capabilities[*c as usize] {
            Some(reason) => reason != Reason::Ok,
            None => all,
        })
    }

    /// Why the last probe could not tell, if it could not; an ambiguous refusal that waits for a
    /// second look is none.
    pub fn trouble(&self) -> Option<Cause> {
        self.known.trouble
    }

    /// When a person must reconnect.
    pub fn deadline(&self) -> Expiry {
        self.grant.clocks.deadline(self.login.auto_refresh())
    }

    /// Where it can be reconnected, if that is a web address.
    pub fn reconnect_url(&self) -> Option<String> {
        let url = self.account.reconnect_url();
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        let web = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
        web.then_some(url)
    }

    /// Its own labels.
    pub fn labels(&self) -> impl Iterator<Item = (&'a str, Cow<'a, str>)> + use<'a> {
        self.account.labels()
    }

    /// Who gets its mails.
    pub fn notify(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.account.notify().split(',').filter(|address| !address.is_empty())
    }

    /// The scopes that its needs require, and whether each is granted; empty while that is unknown.
    pub fn scopes(&self) -> impl Iterator<Item = (&'static str, bool)> + use<'a> {
        let granted = self.known.scopes;
        let required = self.account.required_scopes().iter().enumerate();
        required.filter_map(move |(i, scope)| Some((*scope, granted? >> i & 1 == 1)))
    }
}
