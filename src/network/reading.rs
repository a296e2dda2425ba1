//! A [`Reading`] is what a network makes of one answer. It knows no clock.

use std::time::Duration;

use crate::model::{AppProblem, Capability, Cause, Expiry, Reason, Secret, Timestamp};

/// How far a refusal reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The whole login and every account behind it.
    Grant,
    /// Only the account that was asked about.
    Account,
}

/// How certain a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// The network named the cause: it counts at once.
    Plain,
    /// It can be temporary: it counts when a second probe says the same.
    Ambiguous,
}

/// A refusal that the network's code recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// None if the answer is the same for expired and revoked tokens. The known expiry then decides.
    pub reason: Option<Reason>,
    pub certainty: Certainty,
    pub reach: Reach,
}

impl Refusal {
    /// A named reason that concerns the whole login.
    pub const fn plain(reason: Reason) -> Self {
        Self { reason: Some(reason), certainty: Certainty::Plain, reach: Reach::Grant }
    }

    /// A reason that can be temporary, so that a second probe must confirm it.
    pub const fn ambiguous(reason: Reason) -> Self {
        Self { certainty: Certainty::Ambiguous, ..Self::plain(reason) }
    }

    /// The token has expired or was revoked; the answer does not tell which.
    pub const fn expired_or_revoked() -> Self {
        Self { reason: None, certainty: Certainty::Ambiguous, reach: Reach::Grant }
    }

    /// The same, about one account only.
    #[must_use]
    pub const fn of_account(self) -> Self {
        Self { reach: Reach::Account, ..self }
    }
}

/// What an answer says about the token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Says {
    /// Nothing about validity, such as an empty list. Never enough to call a connection valid.
    #[default]
    Nothing,
    Accepted,
    Refused(Refusal),
    /// The network answered, but not about the token.
    Undetermined(Cause),
}

impl Says {
    pub const fn plain(reason: Reason) -> Self {
        Self::Refused(Refusal::plain(reason))
    }

    pub const fn ambiguous(reason: Reason) -> Self {
        Self::Refused(Refusal::ambiguous(reason))
    }

    pub const fn expired_or_revoked() -> Self {
        Self::Refused(Refusal::expired_or_revoked())
    }

    /// The developer app is refused, not the token.
    pub const fn app_problem(problem: AppProblem) -> Self {
        Self::Undetermined(Cause::AppMisconfigured(problem))
    }
}

/// Granted scopes, of which some may hold for certain accounts only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    pub granted: Vec<String>,
    /// Scopes that hold only for these ids (Facebook's granular scopes).
    pub only_for: Vec<(String, Vec<String>)>,
}

impl Scopes {
    pub fn new<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self { granted: names.into_iter().map(Into::into).collect(), only_for: Vec::new() }
    }

    /// Whether this scope is granted, for this account if one is named.
    pub fn grants(&self, scope: &str, external_id: Option<&str>) -> bool {
        self.granted.iter().any(|s| s == scope)
            && external_id.is_none_or(|id| {
                self.only_for.iter().filter(|(s, _)| s == scope).all(|(_, ids)| ids.iter().any(|i| i == id))
            })
    }
}

/// What an answer says about one account.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The person's roles or tasks at the account; none if the answer does not tell them.
    pub roles: Option<Vec<String>>,
    /// The account's own token, for further calls.
    pub token: Option<Secret>,
    /// A further id by which the account can be asked about.
    pub parent: Option<String>,
    /// A refusal that concerns this account alone.
    pub refused: Option<Refusal>,
}

/// What an answer says about an account that it names, for example in a list.
#[derive(Clone, Debug)]
pub struct Listed {
    pub external_id: String,
    pub facts: Facts,
    /// Whether other parts of the list can add to it, so that it is not yet a fact.
    pub partial: bool,
}

impl Listed {
    pub fn new(external_id: impl Into<String>, facts: Facts) -> Self {
        Self { external_id: external_id.into(), facts, partial: false }
    }

    pub fn refused(external_id: impl Into<String>, refusal: Refusal) -> Self {
        Self::new(external_id, Facts { refused: Some(refusal), ..Facts::default() })
    }
}

/// Whether a list of accounts ends with this answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum List {
    Complete,
    /// The network's cursor or index of the next part.
    ContinuesAt(String),
}

/// What the answer to a write, such as a post, tells that no read can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteFact {
    /// The network accepts the token, but blocks what was tried for a while.
    Blocked {
        reason: Reason,
        /// None if the network does not say for how long.
        lasts: Option<Duration>,
    },
    /// What was sent is refused (a duplicate, too long, a wrong format). This says nothing about the
    /// connection.
    Content,
}

/// What one answer says.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    pub says: Says,
    pub access_expiry: Expiry,
    /// Whether tokens of this network do not end unless an answer says otherwise.
    pub endless: bool,
    /// When the refresh token or the grant ends.
    pub refresh_expiry: Expiry,
    /// When the access to data ends.
    pub data_access_expiry: Expiry,
    pub issued: Option<Timestamp>,
    /// The granted scopes; none if the answer does not tell them.
    pub scopes: Option<Scopes>,
    /// Capabilities that the answer refutes, each with its reason.
    pub lost: Vec<(Capability, Reason)>,
    /// About the account that was asked about.
    pub facts: Facts,
    /// About other accounts.
    pub listed: Vec<Listed>,
    /// Set if the answer is a list of accounts, or the last part of one.
    pub list: Option<List>,
    /// Endpoints that a provider's discovery document names, by the name of their setting.
    pub endpoints: Vec<(&'static str, String)>,
    /// Whether the API version that was asked for has ended: another one answered.
    pub version_ended: bool,
    /// What only a write can show.
    pub write: Option<WriteFact>,
    /// The network's id of the person or account that the token belongs to, which its notices name.
    pub user_id: Option<String>,
}

impl Reading {
    pub fn says(says: Says) -> Self {
        Self { says, ..Self::default() }
    }

    pub fn accepted() -> Self {
        Self::says(Says::Accepted)
    }

    pub fn refused(refusal: Refusal) -> Self {
        Self::says(Says::Refused(refusal))
    }

    pub fn plain(reason: Reason) -> Self {
        Self::says(Says::plain(reason))
    }

    pub fn ambiguous(reason: Reason) -> Self {
        Self::says(Says::ambiguous(reason))
    }

    pub fn undetermined(cause: Cause) -> Self {
        Self::says(Says::Undetermined(cause))
    }

    pub fn app_problem(problem: AppProblem) -> Self {
        Self::says(Says::app_problem(problem))
    }

    /// What was sent is refused, which says nothing about the connection.
    pub fn content() -> Self {
        Self { write: Some(WriteFact::Content), ..Self::undetermined(Cause::UnexpectedAnswer) }
    }

    /// What remains of it under this status: with a limit or a fault of the network, an answer says
    /// nothing about an account.
    #[must_use]
    pub fn under(self, status: Option<u16>) -> Self {
        let cause = match status {
            Some(420 | 429) => Cause::RateLimited,
            Some(500..) => Cause::ServerError,
            _ => return self,
        };
        Self::undetermined(if let Says::Undetermined(told) = self.says { told } else { cause })
    }

    /// Where the list continues; none if it does not.
    pub fn next_part(&self) -> Option<&str> {
        match &self.list {
            Some(List::ContinuesAt(position)) => Some(position),
            Some(List::Complete) | None => None,
        }
    }

    pub fn refusal(&self) -> Option<Refusal> {
        match self.says {
            Says::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

/// When a rate limit ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    At(Timestamp),
    /// Seconds after the answer.
    After(u32),
}

/// Whose budget a rate limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    App,
    Grant,
}

/// What a network's headers say about its rate limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimitStatus {
    /// The network's own name of it.
    pub bucket: &'static str,
    pub budget: Budget,
    /// The share that is used; above 1 if the limit is exceeded.
    pub used: Option<f64>,
    pub reset: Option<Reset>,
}

impl RateLimitStatus {
    /// None if neither the used share nor the reset is known. A share that is not finite or is
    /// negative counts as unknown, because it would be exported.
    pub fn new(
        bucket: &'static str,
        budget: Budget,
        used: Option<f64>,
        reset: Option<Reset>,
    ) -> Option<Self> {
        let used = used.filter(|used| used.is_finite() && *used >= 0.0);
        (used.is_some() || reset.is_some()).then_some(Self { bucket, budget, used, reset })
    }
}
