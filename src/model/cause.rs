//! Why a probe could not tell, and what is wrong with an app.

use std::fmt;

use super::labels::labels;

/// Why a probe could not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// The network asks to wait.
    RateLimited,
    /// No answer in time.
    Timeout,
    /// No connection to the network.
    Connect,
    /// The network's name could not be resolved.
    Dns,
    /// No secure connection.
    Tls,
    /// The network itself has a fault.
    ServerError,
    /// An answer that this program does not recognise.
    UnexpectedAnswer,
    /// The developer app, not the account, is refused.
    AppMisconfigured(AppProblem),
    /// The token could not be read.
    CredentialUnreadable,
    /// The clocks here and at the network differ too much.
    ClockSkew,
}

labels! {
    /// What is wrong with a developer app.
    AppProblem {
        SecretRefused = "secret_refused",
        AppDeleted = "app_deleted",
        AppSuspended = "app_suspended",
        /// A periodic review, such as Meta's Data Use Checkup, is overdue.
        CheckupDue = "checkup_due",
        /// The app's tier or approval does not cover the call.
        AccessLevel = "access_level",
        /// The API version that the app asks for has ended.
        VersionEnded = "version_ended",
        OutOfCredit = "out_of_credit",
        SpendCap = "spend_cap",
        /// The app is in development: only its testers can use it.
        TesterOnly = "tester_only",
        /// The API is not enabled for the app's project.
        ApiDisabled = "api_disabled",
        Unknown = "unknown",
    }
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
    ];

    pub fn label(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::ServerError => "server_error",
            Self::UnexpectedAnswer => "unexpected_answer",
            Self::AppMisconfigured(_) => "app_misconfigured",
            Self::CredentialUnreadable => "credential_unreadable",
            Self::ClockSkew => "clock_skew",
        }
    }

    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|cause| cause.label() == label)
    }

    /// What is wrong with the app, where the app is to blame.
    pub fn app_problem(self) -> Option<AppProblem> {
        match self {
            Self::AppMisconfigured(problem) => Some(problem),
            _ => None,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl AppProblem {
    /// Whether it can concern some logins of the app while others work.
    pub fn is_partial(self) -> bool {
        matches!(self, Self::TesterOnly | Self::AccessLevel)
    }

    /// What it means, and what the operator does.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::SecretRefused => {
                "The network refuses the app's id or secret. Compare both with the network's developer \
                 console and correct the configuration."
            }
            Self::AppDeleted => {
                "The app no longer exists at the network. Restore it in the developer console, or register a \
                 new app and let everybody reconnect through it."
            }
            Self::AppSuspended => {
                "The network has suspended or deactivated the app. Read the notice in the developer console \
                 and appeal or reactivate it there."
            }
            Self::CheckupDue => {
                "A review that the network asks of its apps is overdue. Complete it in the developer \
                 console; access returns afterwards."
            }
            Self::AccessLevel => {
                "The app's access level or approval does not cover what this product does. Apply for the \
                 product, tier or Advanced Access in the developer console."
            }
            Self::VersionEnded => {
                "The API version that is configured has ended. Set api_version to a newer one, or remove it \
                 to use the default."
            }
            Self::OutOfCredit => {
                "The app's credit or subscription is used up. Top it up or renew it in the developer console."
            }
            Self::SpendCap => {
                "The app has reached its spending limit for this billing period. Raise the limit in the \
                 developer console, or wait for the next period."
            }
            Self::TesterOnly => {
                "The app is in development or testing mode and serves its testers only. Publish the app, or \
                 invite the person as a tester."
            }
            Self::ApiDisabled => {
                "The API is not enabled for the app's project. Enable it in the network's console."
            }
            Self::Unknown => {
                "The network refuses the app without saying why. Check its id, secret, status and quota in \
                 the developer console."
            }
        }
    }
}

impl Cause {
    /// What it means and what to do about it.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::RateLimited => {
                "The network has limited the rate of requests. The last verdict stands; nothing needs to be \
                 done."
            }
            Self::Timeout => "The network did not answer in time. The last verdict stands.",
            Self::Connect => {
                "No connection to the network. The last verdict stands; check the network connection of \
                 this machine if it lasts."
            }
            Self::Dns => {
                "The network's name could not be resolved. The last verdict stands; check DNS if it lasts."
            }
            Self::Tls => {
                "No secure connection to the network. The last verdict stands; check certificates, proxy and \
                 clock."
            }
            Self::ServerError => {
                "The network itself has a fault. The last verdict stands; nothing needs to be done."
            }
            Self::UnexpectedAnswer => {
                "The network's answer says nothing about the connection. The last verdict stands."
            }
            Self::AppMisconfigured(problem) => problem.meaning(),
            Self::CredentialUnreadable => {
                "The token or the app's secret could not be read, or the token's refresher is late with a \
                 fresh one. The operator has to check their sources."
            }
            Self::ClockSkew => {
                "The clocks here and at the network differ too much. The operator has to set this machine's \
                 clock."
            }
        }
    }
}
