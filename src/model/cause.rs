//! Why a probe could not tell, and what is wrong with an app.

use super::labels::{described, from_label};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    RateLimited,
    Timeout,
    Connect,
    Dns,
    Tls,
    ServerError,
    /// An answer that this program does not recognise.
    UnexpectedAnswer,
    /// The developer app, not the account, is refused.
    AppMisconfigured(AppProblem),
    CredentialUnreadable,
    ClockSkew,
    /// The account's source has not been read since the start, so there is no token.
    SourceUnavailable,
}

impl Cause {
    /// Every cause once, whatever the app problem.
    pub const ALL: &'static [Self] = &[
        Self::RateLimited,
        Self::Timeout,
        Self::Connect,
        Self::Dns,
        Self::Tls,
        Self::ServerError,
        Self::UnexpectedAnswer,
        Self::AppMisconfigured(AppProblem::Unknown),
        Self::CredentialUnreadable,
        Self::ClockSkew,
        Self::SourceUnavailable,
    ];

    pub fn label(self) -> &'static str {
        self.describe().0
    }

    /// What it means and what to do about it.
    pub fn meaning(self) -> &'static str {
        self.describe().1
    }

    pub fn app_problem(self) -> Option<AppProblem> {
        match self {
            Self::AppMisconfigured(problem) => Some(problem),
            _ => None,
        }
    }

    /// Whether the operator of this program has to act. Otherwise it is the network, or the way to it.
    pub fn is_for_operator(self) -> bool {
        match self {
            Self::AppMisconfigured(_)
            | Self::CredentialUnreadable
            | Self::ClockSkew
            | Self::SourceUnavailable => true,
            Self::RateLimited
            | Self::Timeout
            | Self::Connect
            | Self::Dns
            | Self::Tls
            | Self::ServerError
            | Self::UnexpectedAnswer => false,
        }
    }

    fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::RateLimited => (
                "rate_limited",
                "The network has limited the rate of requests. The last verdict stands; nothing needs to be \
                 done.",
            ),
            Self::Timeout => ("timeout", "The network did not answer in time. The last verdict stands."),
            Self::Connect => (
                "connect",
                "No connection to the network. The last verdict stands; check the network connection of \
                 this machine if it lasts.",
            ),
            Self::Dns => (
                "dns",
                "The network's name could not be resolved. The last verdict stands; check DNS if it lasts.",
            ),
            Self::Tls => (
                "tls",
                "No secure connection to the network. The last verdict stands; check certificates, proxy and \
                 clock.",
            ),
            Self::ServerError => (
                "server_error",
                "The network itself has a fault. The last verdict stands; nothing needs to be done.",
            ),
            Self::UnexpectedAnswer => (
                "unexpected_answer",
                "The network's answer says nothing about the connection. The last verdict stands.",
            ),
            Self::AppMisconfigured(problem) => ("app_misconfigured", problem.meaning()),
            Self::CredentialUnreadable => (
                "credential_unreadable",
                "The token or the app's secret could not be read, or the token's refresher is late with a \
                 fresh one. The operator has to check their sources.",
            ),
            Self::ClockSkew => (
                "clock_skew",
                "The clocks here and at the network differ too much. The operator has to set this machine's \
                 clock.",
            ),
            Self::SourceUnavailable => (
                "source_unavailable",
                "The source of the account has not answered since this program started, so its token is not \
                 known. The operator has to let the source answer.",
            ),
        }
    }
}

from_label!(Cause);

described! {
    /// What is wrong with a developer app.
    AppProblem {
        SecretRefused = "secret_refused"
            => "The network refuses the app's id or secret. Compare both with the network's developer \
                console and correct the configuration.",
        AppDeleted = "app_deleted"
            => "The app no longer exists at the network. Restore it in the developer console, or register a \
                new app and let everybody reconnect through it.",
        AppSuspended = "app_suspended"
            => "The network has suspended or deactivated the app. Read the notice in the developer console \
                and appeal or reactivate it there.",
        CheckupDue = "checkup_due"
            => "A review that the network asks of its apps is overdue. Complete it in the developer \
                console; access returns afterwards.",
        AccessLevel = "access_level"
            => "The app's access level or approval does not cover what this product does. Apply for the \
                product, tier or Advanced Access in the developer console.",
        VersionEnded = "version_ended"
            => "The API version that is configured has ended. Set api_version to a newer one, or remove it \
                to use the default.",
        OutOfCredit = "out_of_credit"
            => "The app's credit or subscription is used up. Top it up or renew it in the developer console.",
        SpendCap = "spend_cap"
            => "The app has reached its spending limit or its quota for this period. Raise the limit in the \
                developer console, or wait for the next period.",
        TesterOnly = "tester_only"
            => "The app is in development or testing mode and serves its testers only. Publish the app, or \
                invite the person as a tester.",
        ApiDisabled = "api_disabled"
            => "The API is not enabled for the app's project. Enable it in the network's console.",
        Unknown = "unknown"
            => "The network refuses the app without saying why. Check its id, secret, status and quota in \
                the developer console.",
    }
}

impl AppProblem {
    /// Whether it can concern some logins of the app while others work.
    pub fn is_partial(self) -> bool {
        matches!(self, Self::TesterOnly | Self::AccessLevel)
    }
}
