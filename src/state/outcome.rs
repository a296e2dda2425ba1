//! The outcome of a probe, and what follows from it.

use super::AccountState;
use crate::model::{AppProblem, Cause, Timestamp};
use crate::network::{Clocks, Finding, LoginNames, RateLimitStatus, Says, Verdict};
use crate::source::TokenHash;

#[derive(Clone, Debug)]
pub struct Outcome {
    pub at: Timestamp,
    /// One for each account of the credential, in the order of the inventory.
    pub findings: Vec<Finding>,
    /// None if the token could not be read.
    pub clocks: Option<Clocks>,
    pub limits: Vec<RateLimitStatus>,
    /// Whether the network has answered under a later API version than the app's, which has ended then.
    pub version_ended: bool,
    /// Of the tokens that were probed; none if they could not be read.
    pub token: Option<TokenHash>,
    /// By which notices tell this login, as far as the probe has learnt them.
    pub names: LoginNames,
    /// What the calls of the probe came to, in their order.
    pub observations: Vec<Observation>,
}

/// What one call of a probe came to, for logs.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Position among the credential's accounts; none if the call was about the whole credential.
    pub about: Option<usize>,
    pub says: Says,
    /// None if no call was made.
    pub host: Option<String>,
    /// None if there was no answer.
    pub status: Option<u16>,
    /// The error, or the answer without its secrets. Empty for an answer that accepts the token.
    pub text: String,
}

impl Observation {
    /// A probe that went wrong before it made a call, or for another cause than a call.
    pub fn without_call(cause: Cause, text: String) -> Self {
        Self { about: None, says: Says::Undetermined(cause), host: None, status: None, text }
    }

    /// For people; none if there is nothing to say.
    pub fn in_words(&self) -> Option<String> {
        let Self { host, status, text, .. } = self;
        match (host.as_deref(), status) {
            _ if text.is_empty() => None,
            (Some(host), Some(status)) => Some(format!("{host} answered {status}: {text}")),
            (Some(host), None) => Some(format!("{host}: {text}")),
            (None, _) => Some(text.clone()),
        }
    }
}

impl Outcome {
    /// A probe that was undetermined for the same cause for every account.
    pub fn undetermined(cause: Cause, accounts: usize, at: Timestamp) -> Self {
        let finding =
            Finding { verdict: Verdict::Undetermined(cause), capabilities: Vec::new(), scopes: Vec::new() };
        Self {
            at,
            findings: vec![finding; accounts],
            clocks: None,
            limits: Vec::new(),
            version_ended: false,
            token: None,
            names: LoginNames::default(),
            observations: Vec::new(),
        }
    }

    /// What explains the finding for an account: the first call that led to it, or else the last one.
    pub fn explanation(&self, position: usize) -> Option<&Observation> {
        let verdict = self.findings.get(position)?.verdict;
        let about = |o: &&Observation| o.about.is_none_or(|about| about == position);
        let explains = |o: &&Observation| match (verdict, o.says) {
            (Verdict::Invalid(..), Says::Refused(_)) => true,
            (Verdict::Undetermined(cause), Says::Undetermined(said)) => cause == said,
            _ => false,
        };
        let observations = || self.observations.iter().filter(about);
        observations().find(explains).or_else(|| observations().next_back())
    }

    /// The first cause for which the probe was not conclusive.
    pub fn cause(&self) -> Option<Cause> {
        self.findings.iter().find_map(|f| match f.verdict {
            Verdict::Undetermined(cause) => Some(cause),
            _ => None,
        })
    }

    /// What the network says is wrong with the app; a precise problem goes before an unknown one.
    pub fn app_problem(&self) -> Option<AppProblem> {
        let problems = self.findings.iter().filter_map(|f| match f.verdict {
            Verdict::Undetermined(cause) => cause.app_problem(),
            _ => None,
        });
        problems.min_by_key(|problem| *problem == AppProblem::Unknown)
    }

    /// Whether the network has judged the app or one of its accounts. No connection, a limit or a
    /// fault of the network says nothing about the app.
    pub fn reached_app(&self) -> bool {
        self.app_problem().is_some()
            || self.findings.iter().any(|f| !matches!(f.verdict, Verdict::Undetermined(_)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextProbe {
    /// The probe interval has passed.
    Regular,
    /// The last probes were not conclusive; this many in a row.
    Failed(u8),
    /// A second probe must confirm a refusal.
    Confirm,
    /// Only a new token helps: the token's source is read, and the network is asked if the token has
    /// changed, or once a day.
    NewToken,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    pub next: NextProbe,
    /// Whether a valid credential was refused, so that others of the app should be probed, too.
    pub suspicious: bool,
    /// Why the probe does not count as conclusive.
    pub cause: Option<Cause>,
    pub clocks: Clocks,
    /// Until when the credential must not be probed.
    pub paused: Option<Timestamp>,
    /// Until when no credential of the app, or of the network if it has no app, must be probed.
    pub app_paused: Option<Timestamp>,
    /// Whether to probe one credential of the app at a time.
    pub limited: bool,
    /// Version of the first snapshot that holds the outcome.
    pub version: u64,
    /// The accounts whose verdict, capabilities or pending refusal has changed.
    pub changes: Vec<Change>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Position among the credential's accounts.
    pub position: usize,
    pub before: AccountState,
    pub after: AccountState,
}
