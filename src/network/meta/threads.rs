//! Threads: a login of its own, with an app id and secret of its own.
//!
//! Asks `/me` first, which decides, then lets the token inspect itself for its end and its
//! permissions. Meta documents that inspection for testers of the app only, so a refusal to inspect
//! is no verdict. The call that refreshes a token is never made: it would change the token's life.
//!
//! Sources: Meta, "Threads API: Get Started", "Access Tokens and Permissions", "Long-Lived Access
//! Tokens", "Debug Access Tokens", "Retrieve a Threads User's Profile Information"; payloads in
//! gitroomhq/postiz-app `threads.provider.ts` and issue threads of public clients.

use crate::model::{Capability, Reason, Steps};
use crate::network::{
    Answer, Call, CallInfo, Description, Grant, Method, Network, Question, RateLimitStatus, Reading, Rights,
    Says, Seen, Style, meta,
};

pub(in crate::network) struct Threads;

impl Network for Threads {
    fn description(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn rights(&self, _: Style<'_>, _: &str, capability: Capability) -> Option<&'static Rights> {
        // threads_basic is not demanded: without it every call is refused, in plain words.
        Some(match capability {
            Capability::Publish => &Rights { scopes: &[&["threads_content_publish"]], roles: &[] },
            Capability::Inbox => &Rights {
                scopes: &[&["threads_manage_replies", "threads_read_replies", "threads_manage_mentions"]],
                roles: &[],
            },
            Capability::Analytics => &Rights { scopes: &[&["threads_manage_insights"]], roles: &[] },
            Capability::Ads => return None,
        })
    }

    fn next(&self, grant: &Grant<'_>, seen: &[Seen]) -> Vec<Call> {
        let token = &grant.tokens.access;
        match seen {
            [] => vec![meta::ask(grant.app, &ME, token).query("fields", "id,username")],
            [me] if me.reading.says == Says::Accepted => {
                vec![meta::ask(grant.app, &DEBUG_TOKEN, token).query("input_token", token)]
            }
            _ => Vec::new(),
        }
    }

    fn read(&self, grant: &Grant<'_>, seen: &[Seen], question: Question, answer: &Answer) -> Option<Reading> {
        let reading = meta::read(grant, seen, question, answer);
        let known_to_work = ME.readings(seen).any(|r| r.says == Says::Accepted);
        if question.is(&DEBUG_TOKEN) && known_to_work {
            let inspected = answer.json["data"].is_object();
            return Some(reading.filter(|_| inspected).unwrap_or_default());
        }
        reading
    }

    fn limits(&self, answer: &Answer) -> Vec<RateLimitStatus> {
        meta::limits(answer)
    }

    fn notices(&self) -> Option<&'static crate::network::NoticeForm> {
        Some(&super::notice::NOTICES)
    }
}

pub(super) static ME: CallInfo = CallInfo {
    name: "me",
    method: Method::Get,
    url: "https://graph.threads.net/{version}/me",
    tells: "whether the token works, and whose it is",
    cost: "one call of the profile's daily limit",
};

pub(super) static DEBUG_TOKEN: CallInfo = CallInfo {
    name: "debug_token",
    method: Method::Get,
    url: "https://graph.threads.net/{version}/debug_token",
    tells: "both ends (of the token and of the access to data) and the permissions, where Threads lets the \
            token inspect itself",
    cost: "one call of the profile's daily limit",
};

static DESCRIPTION: Description = Description {
    name: "threads",
    title: "Threads",
    carries: &["threads"],
    api_version: Some("v1.0"),
    calls: &[&ME, &DEBUG_TOKEN],
    token_prefixes: &[("THAA", 8), ("THQ", 8)],
    steps,
    notes: crate::network::Notes {
        lifetimes: &[
            "A login lives 60 days, and a product can renew it from the second day on. For private profiles \
             the permissions end after 90 days whatever is renewed (Meta, \"Long-Lived Access Tokens\").",
            "The end is read from `debug_token` where Threads lets the token inspect itself, which Meta \
             documents for testers of the app only. Elsewhere it comes from the token's source or the \
             configuration.",
        ],
        tells: &[
            "Expiry, removed app, changed password and security checks, with the codes that Facebook uses.",
            "A missing permission from a dead login, though Threads can send the first with status 500.",
        ],
        cannot_tell: &[
            "Where the token may not inspect itself: its end and its permissions, unless the token's source \
             tells them.",
        ],
        only_writes: &[
            "Actions that are blocked to protect the community (subcode 2207051, read as 12 hours), \
             and restricted profiles (4279013): only publishing stops.",
            "Limits on posting, and texts and media that are refused. Never a verdict.",
        ],
        interval: "1h. The budget is per profile and day and grows with its reach, with a floor (Meta, \
                   \"Rate Limits\").",
    },
    ..Description::DEFAULT
};

fn steps(reason: Reason) -> Steps {
    match reason {
        Reason::AccessRevoked => Steps::connector(&[
            "Check whether this product was removed on purpose: Threads → Settings → Account → Website \
             permissions lists the apps with access.",
            "If it was not, reconnect the account and accept every permission.",
        ]),
        Reason::TokenExpired => Steps::connector(&[
            "Reconnect the account. Do not delete it: planned posts would go with it.",
            "Threads grants access for 60 days at a time. If something is meant to renew it, it is stuck: \
             tell the operator of this product.",
            "For private profiles, permissions end after 90 days whatever renews the token.",
        ]),
        Reason::SecurityCheckpoint => Steps::connector(&[
            "Clear the browser's cookies for Threads and Instagram.",
            "Log in at www.threads.com and www.instagram.com in that browser and complete every security \
             check that is shown.",
            "If the security check itself fails, report that to the network.",
            "Wait 24 hours: connecting earlier can start the check anew.",
            "Then reconnect the account if it has not recovered by itself.",
        ]),
        Reason::AccountUnconfirmed => Steps::connector(&[
            "Log in to the Instagram app and confirm the e-mail address or phone number that is asked \
             for.",
            "Reconnect the account if it does not recover by itself.",
        ]),
        Reason::MissingPermission => Steps::connector(&[
            "Reconnect the account and leave every permission on.",
            "If the product is still being tested, accept the invitation in Threads → Settings → Account → \
             Website permissions → Invites.",
        ]),
        Reason::WrongAccount => Steps::connector(&[
            "Log in at www.threads.com with the right profile.",
            "Reconnect, and check the name that Threads shows while doing so.",
        ]),
        _ => Steps::NONE,
    }
}
