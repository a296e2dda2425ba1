//! The outcome of a probe, and what follows from it.

use crate::model::{AppProblem, Cause, Timestamp};
use crate::network::{Clocks, Finding, RateLimitStatus, Verdict};
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
        }
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}
