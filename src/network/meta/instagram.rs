//! Instagram's two APIs: through the Facebook login of somebody who manages the linked page (the
//! default), and through Instagram's own login.
//!
//! The first is probed like Facebook (`facebook.rs`); the role is the person's role at the linked
//! page. The second has no documented introspection: `/me` tells that the token works and the kind
//! of account; the expiry must come from the token's source. Tokens are never refreshed, as that
//! changes them.
//!
//! Sources: Meta, "Instagram API with Instagram Login", "Instagram API with Facebook Login", "IG
//! User" (reference), "Instagram Platform: Content Publishing" and "Error Codes"; dc-bowl
//! instafeed.js issue 654 for the end of personal accounts.

use super::facebook;
use crate::model::{Capability, Reason, Steps};
use crate::network::{
    Answer, Batch, Call, CallInfo, Description, Grant, Method, Network, Question, RateLimitStatus, Reading,
    Rights, Seen, Style, meta,
};

/// Instagram's own login.
pub(super) const OWN: &str = "instagram_login";

pub(in crate::network) struct Instagram;

impl Network for Instagram {
    fn description(&self) -> &'static Description {
        &DESCRIPTION
    }

    /// Without an API of its own, the account uses a Facebook login.
    fn rights(&self, style: Style<'_>, _: &str, capability: Capability) -> Option<&'static Rights> {
        // One scope of a group is enough: a product may answer only messages, or only comments. The
        // scopes to read (instagram_basic, instagram_business_basic) are not required: without them
        // the call is refused.
        Some(match (capability, style.api == OWN) {
            (Capability::Publish, false) => {
                &Rights { scopes: &[&["instagram_content_publish"]], roles: facebook::PUBLISH_ROLES }
            }
            (Capability::Inbox, false) => &Rights {
                scopes: &[&["instagram_manage_messages", "instagram_manage_comments"]],
                roles: facebook::INBOX_ROLES,
            },
            (Capability::Analytics, false) => {
                &Rights { scopes: &[&["instagram_manage_insights"]], roles: facebook::ANALYTICS_ROLES }
            }
            (Capability::Ads, false) => {
                &Rights { scopes: &[&["ads_management", "ads_read"]], roles: facebook::ADS_ROLES }
            }
            // The names without "instagram" ended on 27 January 2025. Old token responses have them.
            (Capability::Publish, true) => &Rights {
                scopes: &[&["instagram_business_content_publish", "business_content_publish"]],
                roles: &[],
            },
            (Capability::Inbox, true) => &Rights {
                scopes: &[&[
                    "instagram_business_manage_messages",
                    "instagram_business_manage_comments",
                    "business_manage_messages",
                    "business_manage_comments",
                ]],
                roles: &[],
            },
            (Capability::Analytics, true) => {
                &Rights { scopes: &[&["instagram_business_manage_insights"]], roles: &[] }
            }
            (Capability::Ads, true) => return None,
        })
    }

    fn next(&self, grant: &Grant<'_>, seen: &[Seen]) -> Vec<Call> {
        if grant.style.api != OWN {
            return facebook::next(grant, seen);
        }
        if !seen.is_empty() {
            return Vec::new();
        }
        let me = meta::ask(grant.app, &ME, &grant.tokens.access);
        vec![me.query("fields", "user_id,username,account_type")]
    }

    fn read(&self, grant: &Grant<'_>, seen: &[Seen], question: Question, answer: &Answer) -> Option<Reading> {
        facebook::read(grant, seen, question, answer)
    }

    fn limits(&self, answer: &Answer) -> Vec<RateLimitStatus> {
        meta::limits(answer)
    }

    /// Batches are documented for graph.facebook.com only.
    fn batch(&self, style: Style<'_>) -> Option<&'static Batch> {
        (style.api != OWN).then_some(&meta::BATCH)
    }

    fn notices(&self) -> Option<&'static crate::network::NoticeForm> {
        Some(&super::notice::NOTICES)
    }
}

pub(super) static ME: CallInfo = CallInfo {
    name: "me",
    method: Method::Get,
    url: "https://graph.instagram.com/{version}/me",
    tells: "Instagram login, which asks nothing else: whether the token works, whose it is, and the type of \
            account. Facebook login, at graph.facebook.com: the cause where debug_token names none",
    cost: "one call of the account's daily limit",
};

static DESCRIPTION: Description = Description {
    name: "instagram",
    title: "Instagram",
    apis: &["facebook_login", OWN],
    kinds: &["profile", "business", "creator"],
    carries: &["instagram"],
    api_version: Some(meta::VERSION),
    version_ends: super::VERSION_ENDS,
    calls: &[&facebook::DEBUG_TOKEN, &facebook::PERMISSIONS, &facebook::ACCOUNTS, &ME, &facebook::ACCOUNT],
    token_prefixes: &[("IGAA", 8), ("IGQ", 8)],
    steps,
    notes: crate::network::Notes {
        lifetimes: &[
            "Through Facebook's login: as at Facebook, 60 days, and 90 days for the access to data, both \
             read from `debug_token`.",
            "Through Instagram's own login: 60 days, and a product can renew it from the second day on. \
             There is no documented introspection, so the end comes from the token's source or the \
             configuration (Meta, \"Instagram API with Instagram Login\").",
        ],
        tells: &[
            "What Facebook's answers tell of the login, the linked page and the person's tasks there.",
            "Personal accounts from professional ones: by `account_type`, or by the missing link to a page. \
             Creator accounts count as professional; they can publish.",
        ],
        cannot_tell: &[
            "`two_factor_required` and `not_admin` share one sentence, as at Facebook.",
            "What the linked page still demands of the person (two-factor authentication, Page Publishing \
             Authorization): Meta documents that publishing then fails without a warning.",
            "The switch for connected tools in the Instagram app, without which there are no messages: it \
             stands in no answer that a probe reads.",
            "Instagram often sends no subcode. A text that nobody has seen yet is undetermined, not invalid.",
        ],
        only_writes: &[
            "Restricted and inactive accounts (subcode 2207050), and actions that Instagram blocks to \
             protect its community (2207051, read as 12 hours): only publishing stops.",
            "The daily publishing limit (2207042), and captions, images, videos, carousels and tags \
             that are refused. Never a verdict.",
        ],
        interval: "1h. The budget is per account and day and grows with the account's reach (Meta, \"Rate \
                   Limits\"); through Facebook's login the first questions count against the app's hourly \
                   budget.",
    },
    ..Description::DEFAULT
};

fn steps(reason: Reason) -> Steps {
    match reason {
        Reason::AccessRevoked => Steps::connector(&[
            "Check whether this product was removed on purpose: Facebook → Settings & privacy → Settings → \
             Business Integrations, and Instagram → Settings → Website permissions → Apps and websites, \
             list the apps with access.",
            "If it was not, reconnect the account. Tick the account and its page, and accept every \
             permission.",
        ]),
        Reason::PasswordChanged => Steps::connector(&[
            "Log in with the new password at Facebook, or at Instagram if the account is connected with \
             Instagram's own login.",
            "Reconnect the account. Everything behind the same login comes back together.",
        ]),
        Reason::SecurityCheckpoint => Steps::connector(&[
            "Clear the browser's cookies for Facebook and Instagram.",
            "Log in at www.instagram.com and at www.facebook.com in that browser and complete every \
             security check that is shown.",
            "If the security check itself fails, report that to the network.",
            "Wait 24 hours: connecting earlier can start the check anew.",
            "Then reconnect the account if it has not recovered by itself.",
        ]),
        Reason::PublishingAuthorizationRequired => Steps::connector(&[
            "Log in at www.facebook.com with the login that was connected, switch to the linked page, and \
             follow the notice about Page Publishing Authorization: it asks for two-factor authentication \
             and for a confirmation of the country.",
            "Publish again when Facebook has confirmed it, which can take days. Reconnecting is not \
             needed.",
        ]),
        Reason::DataAccessExpired => super::DATA_ACCESS_EXPIRED,
        Reason::AccountUnconfirmed => Steps::connector(&[
            "Log in to the Instagram app and at facebook.com, and confirm the e-mail address or phone \
             number that is asked for.",
            "Reconnect the account if it does not recover by itself.",
        ]),
        Reason::AccountLocked => Steps::connector(&[
            "Open the Instagram app, log in, and follow what it shows; Settings → Account status names the \
             restriction and its end.",
            "Then reconnect the account if it has not recovered by itself.",
        ]),
        Reason::NotAdmin => Steps {
            connector: &[
                "Ask an admin of the linked Facebook page to give you access again: Page → Settings → Page \
                 setup → Page access, or Meta Business Suite → Settings → People. If you no longer look \
                 after the page, let another admin connect the account.",
                "Check that two-factor authentication is switched on for your login (Accounts Centre → \
                 Password and security): some pages demand it, and Meta answers both cases alike.",
                "Then reconnect the account.",
            ],
            admin: &[
                "Give the person who connected the account access to the linked Facebook page again: Page \
                 → Settings → Page setup → Page access, or Meta Business Suite → Settings → People. If \
                 that person has left, let another admin connect the account.",
                "Ask that person to check that two-factor authentication is switched on (Accounts Centre → \
                 Password and security): some pages demand it, and Meta answers both cases alike.",
                "Then ask the person who connected the account to reconnect it.",
            ],
            ..Steps::NONE
        },
        Reason::MissingRole => Steps {
            connector: &[
                "Ask an admin of the linked Facebook page for the missing task: Content to publish, \
                 Messages and Community activity for the inbox, Insights for analytics, Ads for \
                 advertising (Meta Business Suite → Settings → People).",
                "Then refresh the connection; reconnecting before the role is given changes nothing.",
            ],
            admin: &[
                "Give the person who connected the account the missing task at the linked Facebook page: \
                 Content to publish, Messages and Community activity for the inbox, Insights for \
                 analytics, Ads for advertising (Meta Business Suite → Settings → People).",
                "Then ask the person who connected the account to refresh the connection; reconnecting \
                 before the role is given changes nothing.",
            ],
            ..Steps::NONE
        },
        Reason::MissingPermission => Steps::connector(&[
            "Reconnect the account. Tick the Instagram account and its Facebook page, and leave every \
             permission on.",
            "For the inbox, also switch on Instagram app → Settings → Messages and story replies → Message \
             controls → Connected tools → Allow access to messages.",
            "If the product is still being tested, accept the tester's invitation in Instagram → Settings \
             → Website permissions → Apps and websites → Tester invites.",
        ]),
        Reason::MissingRoleAndPermission => Steps {
            connector: &[
                "Ask an admin of the linked Facebook page for the missing task (Meta Business Suite → \
                 Settings → People).",
                "Then reconnect the account, tick it and its page, and leave every permission on.",
            ],
            admin: &[
                "Give the person who connected the account the missing task at the linked Facebook page \
                 (Meta Business Suite → Settings → People).",
                "Then ask the person who connected the account to reconnect it, and to tick every \
                 permission and every page.",
            ],
            ..Steps::NONE
        },
        Reason::PageUnavailable => Steps {
            connector: &[
                "Check in the Instagram app whether the account still exists, and in Meta Business Suite \
                 whether it is still linked to its Facebook page.",
                "If the link is missing, link the account again and reconnect it. If the account no longer \
                 exists, remove it from this product.",
            ],
            admin: &[
                "Check in the Instagram app whether the account still exists, and in Meta Business Suite \
                 whether it is still linked to its Facebook page.",
                "If the link is missing, link the account again, and ask the person who connected the \
                 account to reconnect it. If the account no longer exists, remove it from this product.",
            ],
            ..Steps::NONE
        },
        Reason::UnsupportedAccountType => Steps::connector(&[
            "In the Instagram app: Settings → Account type and tools → Switch to professional account. \
             Business and creator accounts both work.",
            "Unless the product uses Instagram's own login, link the account to a Facebook page: Meta \
             Business Suite → Settings → Business assets → Instagram accounts.",
            "Reconnect the account.",
        ]),
        Reason::WrongTokenType => Steps {
            operator: &[
                "Check which token is stored and which API is configured: tokens of Facebook (EAA…) and of \
                 Instagram's own login (IG…) do not work in each other's place.",
                "Then ask the person who connected the account to reconnect it.",
            ],
            ..Steps::NONE
        },
        Reason::WrongAccount => Steps::connector(&[
            "Log in at Instagram with the right account; switching accounts in the app is not enough for \
             the browser.",
            "Reconnect, and check the name that Instagram shows while doing so.",
        ]),
        _ => Steps::NONE,
    }
}
