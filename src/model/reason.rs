//! Why a connection is invalid: the one table of reasons.
//!
//! The texts are for a social-media manager, not for an engineer. A network may replace the steps
//! of a reason by its own (`Description::steps` in the room `network`).

use super::labels::from_label;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FixedBy {
    Connector,
    PageAdmin,
    Operator,
}

impl FixedBy {
    pub fn text(self) -> &'static str {
        match self {
            Self::Connector => "the person who connected the account",
            Self::PageAdmin => "an admin of the page or organization",
            Self::Operator => "the operator of this product",
        }
    }

    /// Whom the steps of [`Steps`] address as the one who can take them.
    pub fn reader(self) -> Reader {
        match self {
            Self::Connector => Reader::Connector,
            Self::PageAdmin => Reader::Admin,
            Self::Operator => Reader::Operator,
        }
    }
}

/// Who reads what is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reader {
    /// The person who connected the account.
    Connector,
    /// A colleague, or an admin of the page, who reads about a login that somebody else connected.
    Admin,
    /// The operator of the product.
    Operator,
}

impl Reader {
    pub const ALL: &'static [Self] = &[Self::Connector, Self::Admin, Self::Operator];
}

/// What to do, in order, addressed to each reader. An empty list of another reader than the
/// connector means: the connector's steps, to be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    pub connector: &'static [&'static str],
    pub admin: &'static [&'static str],
    pub operator: &'static [&'static str],
}

impl Steps {
    pub const NONE: Self = Self { connector: &[], admin: &[], operator: &[] };

    /// Steps of the connector, which others pass on.
    pub const fn connector(connector: &'static [&'static str]) -> Self {
        Self { connector, ..Self::NONE }
    }

    /// The reader's own list, which can be empty.
    pub fn list(self, reader: Reader) -> &'static [&'static str] {
        match reader {
            Reader::Connector => self.connector,
            Reader::Admin => self.admin,
            Reader::Operator => self.operator,
        }
    }

    /// The reader's list, or the connector's, to be passed on.
    pub fn read_by(self, reader: Reader) -> &'static [&'static str] {
        match self.list(reader) {
            [] => self.connector,
            list => list,
        }
    }
}

/// In the order of how much is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reconnecting {
    Helps,
    HelpsAfterSteps,
    DoesNotHelp,
}

impl Reconnecting {
    /// What it does, after the word "reconnecting".
    pub fn text(self) -> &'static str {
        match self {
            Self::Helps => "helps",
            Self::HelpsAfterSteps => "helps only after the steps before it",
            Self::DoesNotHelp => "changes nothing",
        }
    }
}

#[derive(Debug)]
pub struct ReasonInfo {
    pub label: &'static str,
    /// For people, in the subject of a mail.
    pub short: &'static str,
    pub meaning: &'static str,
    pub fixed_by: FixedBy,
    pub reconnecting: Reconnecting,
    /// Whether only a new token ends this state. The old one is then probed once a day, and its source
    /// is read at the probe interval. Otherwise the same token is probed at the probe interval.
    pub needs_new_token: bool,
    /// What to do; a waiting time stands among the network's own steps.
    pub steps: Steps,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal { $($field:ident: $value:expr),* $(,)? })*) => {
        /// Why a connection does not work, or [`Reason::Ok`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Reason { $($(#[$doc])* $name),* }

        impl Reason {
            /// All of them, `ok` first.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            pub fn info(self) -> &'static ReasonInfo {
                match self { $(Self::$name => {
                    const INFO: ReasonInfo = ReasonInfo { label: $label, $($field: $value),* };
                    &INFO
                })* }
            }
        }
    };
}

use FixedBy::{Connector, Operator, PageAdmin};
use Reconnecting::{DoesNotHelp, Helps, HelpsAfterSteps};

reasons! {
    Ok = "ok" {
        short: "working",
        meaning: "The connection works.",
        fixed_by: Connector, reconnecting: DoesNotHelp, needs_new_token: false,
        steps: Steps::connector(&[
            "Nothing is broken. If a deadline is near, reconnect now: there is no need to wait for it, and \
             reconnecting ahead of time refreshes the permissions, too.",
            "If the person who connected the account is about to leave, let another admin connect it \
             beforehand.",
        ]),
    }
    TokenExpired = "token_expired" {
        short: "permission expired",
        meaning: "The permission to use the account has run out: networks grant it for a limited time.",
        fixed_by: Connector, reconnecting: Helps, needs_new_token: true,
        steps: Steps {
            connector: &[
                "Reconnect the account. Do not delete it: planned posts would go with it.",
                "If something is meant to renew this login by itself, it is stuck: tell the operator of \
                 this product.",
            ],
            operator: &[
                "If something is meant to renew this login by itself, find out why it is stuck.",
                "Otherwise ask the person who connected the account to reconnect it. It must not be \
                 deleted: planned posts would go with it.",
            ],
            ..Steps::NONE
        },
    }
    TokenInvalid = "token_invalid" {
        short: "login no longer accepted",
        meaning: "The network no longer accepts the login and does not say why.",
        fixed_by: Connector, reconnecting: Helps, needs_new_token: true,
        steps: Steps::connector(&[
            "Log in at the network itself and deal with any notice that it shows.",
            "Reconnect the account. Do not delete it: planned posts would go with it.",
            "If this comes back again and again, remove this product from the list of connected apps at \
             the network, then connect from scratch.",
        ]),
    }
    PasswordChanged = "password_changed" {
        short: "password changed",
        meaning: "The password was changed, or the network ended the session for security.",
        fixed_by: Connector, reconnecting: Helps, needs_new_token: true,
        steps: Steps::connector(&[
            "Log in at the network with the new password.",
            "Reconnect the account. Everything behind the same login comes back together.",
        ]),
    }
    AccessRevoked = "access_revoked" {
        short: "access removed",
        meaning: "The access of this product was removed at the network.",
        fixed_by: Connector, reconnecting: Helps, needs_new_token: true,
        steps: Steps::connector(&[
            "Check whether this product was removed on purpose: the settings at the network list the apps \
             with access. Everything behind the same login stops with it.",
            "If it was not, reconnect the account and accept every permission.",
        ]),
    }
    SecurityCheckpoint = "security_checkpoint" {
        short: "security check needed",
        meaning: "The network holds the login back until a security check is completed, after an \
         unfamiliar login or reported content for example.",
        fixed_by: Connector, reconnecting: HelpsAfterSteps, needs_new_token: false,
        steps: Steps::connector(&[
            "Log in at the network itself, in a browser, and complete the security check.",
            "If the security check itself fails, report that to the network.",
            "Reconnect the account if it does not recover by itself.",
        ]),
    }
    TwoFactorRequired = "two_factor_required" {
        short: "two-factor authentication needed",
        meaning: "The page or business demands two-factor authentication, and this login has none.",
        fixed_by: Connector, reconnecting: HelpsAfterSteps, needs_new_token: false,
        steps: Steps::connector(&[
            "Switch on two-factor authentication at the network.",
            "Then reconnect the account.",
        ]),
    }
    ReauthRequired = "reauth_required" {
        short: "fresh login needed",
        meaning: "The rules of the organization demand a fresh login.",
        fixed_by: Connector, reconnecting: Helps, needs_new_token: true,
        steps: Steps::connector(&[
            "Reconnect the account.",
            "If this returns regularly, ask the organization's administrator to exempt the app from \
             session control.",
        ]),
    }
    DataAccessExpired = "data_access_expired" {
        short: "data access expired",
        meaning: "The access to data has run out, because it has not been confirmed for 90 days. The login \
         itself lives on.",
        fixed_by: Connector, reconnecting: Helps, needs_new_token: false,
        steps: Steps::connector(&[
            "Reconnect the account: a fresh consent starts a new period.",
            "Next time, reconnect ahead of the deadline: then nothing stops.",
        ]),
    }
    AccountUnconfirmed = "account_unconfirmed" {
        short: "account not confirmed",
        meaning: "The account is not confirmed at the network (e-mail, phone or business verification is \
         open).",
        fixed_by: Connector, reconnecting: HelpsAfterSteps, needs_new_token: false,
        steps: Steps::connector(&[
            "Log in at the network and complete the confirmation.",
            "Reconnect the account if it does not recover by itself.",
        ]),
    }
    AccountLocked = "account_locked" {
        short: "account locked",
        meaning: "The network has locked the account until its owner unlocks it, or while it reviews it.",
        fixed_by: Connector, reconnecting: HelpsAfterSteps, needs_new_token: false,
        steps: Steps::connector(&[
            "Log in at the network and unlock the account.",
            "Reconnect the account if it does not recover by itself.",
        ]),
    }
    AccountSuspended = "account_suspended" {
        short: "account suspended",
        meaning: "The network has suspended the account.",
        fixed_by: Connector, reconnecting: HelpsAfterSteps, needs_new_token: false,
        steps: Steps::connector(&[
            "Appeal at the network first: reconnecting does not help before the suspension ends.",
            "Reconnect the account afterwards. Do not delete it meanwhile: planned posts would go with \
             it.",
        ]),
    }
    AccountRestricted = "account_restricted" {
        short: "account restricted",
        meaning: "The network has restricted what the account may do.",
        fixed_by: Connector, reconnecting: HelpsAfterSteps, needs_new_token: false,
        steps: Steps::connector(&[
            "Log in at the network and see what is restricted, and until when.",
            "Then reconnect the account if it has not recovered by itself.",
        ]),
    }
    AccountDeactivated = "account_deactivated" {
        short: "account deactivated",
        meaning: "The account was deactivated or deleted at the network.",
        fixed_by: Connector, reconnecting: HelpsAfterSteps, needs_new_token: false,
        steps: Steps::connector(&[
            "Reactivate the account at the network if it is still wanted.",
            "Reconnect it, or remove it from this product.",
        ]),
    }
    AdminPolicyBlocked = "admin_policy_blocked" {
        short: "blocked by the organization",
        meaning: "An administrator of the organization does not allow this product.",
        fixed_by: PageAdmin, reconnecting: HelpsAfterSteps, needs_new_token: false,
        steps: Steps {
            connector: &[
                "Ask the administrator of your organization to allow the app of this product.",
                "Then reconnect the account.",
            ],
            admin: &[
                "Allow the app of this product in the settings of the organization.",
                "Then ask the person who connected the account to reconnect it.",
            ],
            ..Steps::NONE
        },
    }
    NotAdmin = "not_admin" {
        short: "not an admin any more",
        meaning: "This login is no longer an admin of the page, or lacks the two-factor authentication \
         that the page demands.",
        fixed_by: PageAdmin, reconnecting: HelpsAfterSteps, needs_new_token: false,
        steps: Steps {
            connector: &[
                "Ask an admin of the page to give you access again. If you no longer look after the page, \
                 let another admin of the page connect the account.",
                "Check that two-factor authentication is switched on for your login: the network answers \
                 both cases alike.",
                "Then reconnect the account.",
            ],
            admin: &[
                "Give the person who connected the account access to the page again. If that person has \
                 left, let another admin of the page connect the account.",
                "Ask that person to check that two-factor authentication is switched on: the network \
                 answers both cases alike.",
                "Then ask the person who connected the account to reconnect it.",
            ],
            ..Steps::NONE
        },
    }
    MissingRole = "missing_role" {
        short: "role missing",
        meaning: "The role of this login at the page does not cover what this product does with the \
         account.",
        fixed_by: PageAdmin, reconnecting: HelpsAfterSteps, needs_new_token: false,
        steps: Steps {
            connector: &[
                "Ask an admin of the page for the missing role.",
                "Then refresh the connection; reconnecting before the role is given changes nothing.",
            ],
            admin: &[
                "Give the person who connected the account the missing role at the page.",
                "Then ask the person who connected the account to refresh the connection; reconnecting \
                 before the role is given changes nothing.",
            ],
            ..Steps::NONE
        },
    }
    MissingPermission = "missing_permission" {
        short: "permission missing",
        meaning: "A permission that this product needs was not granted, was taken back, or is new.",
        fixed_by: Connector, reconnecting: Helps, needs_new_token: false,
        steps: Steps::connector(&[
            "Reconnect the account. Tick every permission and every page.",
        ]),
    }
    MissingRoleAndPermission = "missing_role_and_permission" {
        short: "role and permission missing",
        meaning: "Both the role at the page and a permission for this product are missing.",
        fixed_by: PageAdmin, reconnecting: HelpsAfterSteps, needs_new_token: false,
        steps: Steps {
            connector: &[
                "Ask an admin of the page for the missing role.",
                "Then reconnect the account. Tick every permission and every page.",
            ],
            admin: &[
                "Give the person who connected the account the missing role at the page.",
                "Then ask the person who connected the account to reconnect it, and to tick every \
                 permission and every page.",
            ],
            ..Steps::NONE
        },
    }
    PageRestricted = "page_restricted" {
        short: "page restricted",
        meaning: "The page is unpublished, or restricted by country or age.",
        fixed_by: PageAdmin, reconnecting: DoesNotHelp, needs_new_token: false,
        steps: Steps {
            connector: &[
                "Publish the page, or lift its restrictions by country and age, in its settings.",
                "If you are not allowed to do that, ask an admin of the page.",
                "Nothing needs to be reconnected: the connection recovers by itself.",
            ],
            admin: &[
                "Publish the page, or lift its restrictions by country and age, in its settings.",
                "Nothing needs to be reconnected: the connection recovers by itself.",
            ],
            ..Steps::NONE
        },
    }
    PageUnavailable = "page_unavailable" {
        short: "page not found",
        meaning: "The page, channel or location does not exist any more, or cannot be reached through this \
         login.",
        fixed_by: PageAdmin, reconnecting: HelpsAfterSteps, needs_new_token: false,
        steps: Steps {
            connector: &[
                "Check at the network whether the page still exists and who owns it.",
                "If you cannot see it, ask an admin of the page.",
                "Connect the right page, or remove the account from this product.",
            ],
            admin: &[
                "Check at the network whether the page still exists and who owns it.",
                "If it exists, give the person who connected the account access to it, and have the \
                 account reconnected.",
                "If it does not, connect the right page, or remove the account from this product.",
            ],
            ..Steps::NONE
        },
    }
    UnsupportedAccountType = "unsupported_account_type" {
        short: "account type not supported",
        meaning: "The network does not open this type of account to products like this one.",
        fixed_by: Connector, reconnecting: HelpsAfterSteps, needs_new_token: false,
        steps: Steps::connector(&[
            "Switch the account to a business or professional type if the network offers that, and \
             reconnect it.",
            "Otherwise remove it from this product.",
        ]),
    }
    WrongTokenType = "wrong_token_type" {
        short: "wrong kind of login",
        meaning: "The stored login is of another kind than this account needs.",
        fixed_by: Operator, reconnecting: HelpsAfterSteps, needs_new_token: true,
        steps: Steps {
            connector: &[
                "Tell the operator of this product that the stored login is of another kind than this \
                 account needs.",
                "When the operator has corrected that, reconnect the account.",
            ],
            admin: &[
                "Tell the operator of this product that the stored login is of another kind than this \
                 account needs.",
                "When the operator has corrected that, ask the person who connected the account to \
                 reconnect it.",
            ],
            operator: &[
                "Check which token is stored for this account.",
                "Then ask the person who connected the account to reconnect it.",
            ],
        },
    }
    WrongAccount = "wrong_account" {
        short: "wrong account",
        meaning: "The login works, but belongs to another account than the configured one.",
        fixed_by: Connector, reconnecting: HelpsAfterSteps, needs_new_token: true,
        steps: Steps::connector(&[
            "Log in at the network with the right account.",
            "Reconnect, and check the account's name while doing so.",
        ]),
    }
    PublishingAuthorizationRequired = "publishing_authorization_required" {
        short: "publishing authorization needed",
        meaning: "The network lets nobody publish on the page before identity and country are confirmed \
         (Page Publishing Authorization).",
        fixed_by: Connector, reconnecting: DoesNotHelp, needs_new_token: false,
        steps: Steps::connector(&[
            "Log in at the network with the login that was connected, open the page, and complete the \
             authorization that its notice asks for.",
            "Nothing needs to be reconnected: publishing works again afterwards.",
        ]),
    }
}

impl Reason {
    pub fn label(self) -> &'static str {
        self.info().label
    }
}

from_label!(Reason);
