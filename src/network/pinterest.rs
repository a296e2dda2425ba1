//! Pinterest (API v5): one profile per token.
//!
//! `user_account` tells whether the token works, whose it is and whether the account is a business
//! account; `ad_accounts`, asked only where ads are needed, tells the role. Neither tells expiry or
//! scopes: those come from the token response or the configuration. A token without
//! `user_accounts:read` is tried on `boards` instead. Refreshing is never tried: Pinterest's
//! refresh tokens are good for one use.
//!
//! Codes and schemas: pinterest/api-description `v5/openapi.json`; scopes and roles:
//! developers.pinterest.com, "Scopes" and "Business Access". The status alone misleads (a missing
//! scope is a 401), and so does the code alone (30 is a limit with 429 and a missing user with
//! 404): the pair decides.

use serde_json::Value;

use super::{
    Account, Answer, Budget, Call, CallInfo, Description, Facts, Grant, Listed, Method, Network, Question,
    RateLimitStatus, Reading, Refusal, Reset, Rights, Says, Seen, Style, parse, standard,
};
use crate::model::{AppProblem, Capability, Cause, Reason, Steps};

pub(super) struct Pinterest;

static USER: CallInfo = CallInfo {
    name: "user_account",
    method: Method::Get,
    url: "https://api.pinterest.com/v5/user_account",
    tells: "whether the token works, whose it is, and whether the account is a business account",
    cost: "one request of the org_read category",
};

static BOARDS: CallInfo = CallInfo {
    name: "boards",
    method: Method::Get,
    url: "https://api.pinterest.com/v5/boards",
    tells: "whether a token without user_accounts:read works; asked in place of user_account",
    cost: "one request of the org_read category",
};

static AD_ACCOUNTS: CallInfo = CallInfo {
    name: "ad_accounts",
    method: Method::Get,
    url: "https://api.pinterest.com/v5/ad_accounts",
    tells: "the person's roles at ad accounts; asked only where ads are needed",
    cost: "one request of the ads_read category",
};

static DESCRIPTION: Description = Description {
    name: "pinterest",
    title: "Pinterest",
    calls: &[&USER, &BOARDS, &AD_ACCOUNTS],
    token_prefixes: &[("pina_", 8)],
    steps,
    notes: super::Notes {
        lifetimes: &[
            "Access lives 30 days, the refresh token 60; each renewal hands out a new one and starts a new \
             period (developers.pinterest.com, \"Authentication\").",
            "No answer names either end: both come from the token response or the configuration.",
        ],
        tells: &[
            "Disapproved accounts and accounts under review, by code.",
            "A missing permission from a dead token, though both are 401: the code decides together with \
             the status.",
            "Personal from business accounts, and the person's role at ad accounts.",
        ],
        cannot_tell: &[
            "Expired and revoked: one code (2) for both; the known expiry decides.",
            "Granted permissions: in the token response only.",
            "`not_admin`, `password_changed`: no answer names them.",
        ],
        only_writes: &[
            "That an app with trial access may not create Pins: a fault of the app.",
            "A board that is gone, and Pins that lack something or have a wrong form. Never a \
             verdict.",
        ],
        interval: "1h. An app with trial access has 1,000 requests a day, enough for forty accounts every \
                   hour; use 6h for more. Approved apps have 100 a second and user.",
    },
    ..Description::DEFAULT
};

fn steps(reason: Reason) -> Steps {
    match reason {
        Reason::AccessRevoked => Steps::connector(&[
            "Check whether this product was removed on purpose: Pinterest → Settings → Security → \
             Connected apps lists the apps with access.",
            "If it was not, reconnect the account and accept every permission.",
        ]),
        Reason::AccountLocked => Steps::connector(&[
            "Pinterest is reviewing the account. Open the business hub (pinterest.com/business/hub) and \
             follow the notice there.",
            "Wait for the end of the review.",
            "Then reconnect the account if it has not recovered by itself.",
        ]),
        Reason::AccountSuspended => Steps::connector(&[
            "Pinterest has disapproved the account. Open the business hub (pinterest.com/business/hub) and \
             appeal.",
            "Reconnect the account once the appeal is granted; before that it does not help.",
        ]),
        Reason::UnsupportedAccountType => Steps::connector(&[
            "Switch to a business account: Settings → Account management → Convert to a business account.",
            "Reconnect the account: analytics and ads are for business accounts only.",
        ]),
        Reason::MissingRole => Steps {
            connector: &[
                "Ask an owner or admin of the business to give you access: Business Access → Employees (or \
                 Partners) → Ad accounts.",
                "Then refresh the connection; reconnecting before the role is given changes nothing.",
            ],
            admin: &[
                "Give the person who connected the account access to the business: Business Access → \
                 Employees (or Partners) → Ad accounts.",
                "Then ask the person who connected the account to refresh the connection; reconnecting \
                 before the role is given changes nothing.",
            ],
            ..Steps::NONE
        },
        _ => Steps::NONE,
    }
}

static PUBLISH: Rights =
    Rights::scopes(&[&["pins:write"], &["pins:read"], &["boards:read"], &["boards:write"]]);
static ANALYTICS: Rights = Rights::scopes(&[&["user_accounts:read"]]);
static ADS: Rights = Rights {
    scopes: &[&["ads:read"], &["ads:write"]],
    roles: &["OWNER", "RESTRICTED_OWNER", "ADMIN", "CAMPAIGN_MANAGER"],
};

impl Network for Pinterest {
    fn description(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn rights(&self, _: Style<'_>, _: &str, capability: Capability) -> Option<&'static Rights> {
        match capability {
            Capability::Publish => Some(&PUBLISH),
            Capability::Analytics => Some(&ANALYTICS),
            Capability::Ads => Some(&ADS),
            // There is no API for messages and comments.
            Capability::Inbox => None,
        }
    }

    fn next(&self, grant: &Grant<'_>, seen: &[Seen]) -> Vec<Call> {
        let token = &grant.tokens.access;
        match seen {
            [] if without_profile(grant) => {
                vec![Call::new(&BOARDS, &[]).query("page_size", "1").bearer(token)]
            }
            [] => vec![Call::new(&USER, &[]).bearer(token)],
            [first] if first.reading.says == Says::Accepted && needs_ads(grant) => {
                vec![Call::new(&AD_ACCOUNTS, &[]).query("page_size", "250").bearer(token)]
            }
            _ => Vec::new(),
        }
    }

    fn read(&self, grant: &Grant<'_>, seen: &[Seen], question: Question, answer: &Answer) -> Option<Reading> {
        if let Some(reading) = refused(question, answer) {
            return Some(softened(reading, seen, question));
        }
        if !answer.maybe_success() {
            return None;
        }
        profile(grant, question, answer)
            .or_else(|| list(grant, question, answer))
            .or_else(|| standard::token_response(answer))
            .or_else(|| written(answer))
    }

    fn limits(&self, answer: &Answer) -> Vec<RateLimitStatus> {
        // The reset is sent as the number of seconds left.
        let limit = standard::rate_limit(answer, "x-ratelimit-", "requests", Budget::Grant);
        // Trial access is limited per app and day, approved access per user and minute.
        let is_daily = |l: &RateLimitStatus| matches!(l.reset, Some(Reset::After(seconds)) if seconds > 60);
        let whose = |l| if is_daily(&l) { RateLimitStatus { budget: Budget::App, ..l } } else { l };
        limit.map(whose).into_iter().collect()
    }
}

fn needs_ads(grant: &Grant<'_>) -> bool {
    grant.accounts.iter().any(|a| a.needs.contains(Capability::Ads))
}

/// Whether the token is known to have the scope of `boards` but not that of `user_account`.
fn without_profile(grant: &Grant<'_>) -> bool {
    let has = |scopes: &[String], scope: &str| scopes.iter().any(|s| s == scope);
    grant.tokens.scopes.as_deref().is_some_and(|s| !has(s, "user_accounts:read") && has(s, "boards:read"))
}

fn refused(question: Question, answer: &Answer) -> Option<Reading> {
    let json = &answer.json;
    let code = json.get("code").and_then(parse::integer)?;
    let text = |name: &str| json.get(name).and_then(|v| v.as_str()).unwrap_or_default();
    let message = text("message");
    let says = |parts: &[&str]| parts.iter().any(|part| parse::contains(message, part));
    // Refusals of the app come under the codes of refused accounts.
    if says(&["trial access", "your application", "consumer type", "restricted feature"]) {
        return Some(Reading::app_problem(AppProblem::AccessLevel));
    }
    if code == 283 && parse::contains(text("data"), "application") {
        return Some(Reading::app_problem(AppProblem::SecretRefused));
    }
    // A Pin names its board, and a board that is gone is no fault of the account.
    if question.call.is_none() && (code == 40 || says(&["board not found"])) {
        return Some(Reading::content());
    }
    // Logs and proxies lose statuses; an error inside a success is still an error.
    Some(match (answer.status.filter(|s| !(200..300).contains(s)), code) {
        (Some(429), _) | (None, 8) => Reading::undetermined(Cause::RateLimited),
        (None, 30) if says(&["rate limit"]) => Reading::undetermined(Cause::RateLimited),
        (Some(500..), _) | (None, 4197) => Reading::undetermined(Cause::ServerError),
        (Some(401), 2) => Reading::refused(Refusal::expired_or_revoked()),
        // Elsewhere, code 2 also means "not found".
        (None | Some(403), 2) if says(&["authentication failed"]) => {
            Reading::refused(Refusal::expired_or_revoked())
        }
        (Some(401 | 403), 3) => Reading::plain(Reason::MissingPermission),
        (None, 3) if says(&["permission", "scope"]) => Reading::plain(Reason::MissingPermission),
        (Some(401 | 403), 7 | 29) | (Some(403), 403) => Reading::plain(Reason::MissingRole),
        (None, 7 | 29 | 403) if says(&["not permitted", "not authorized", "don't have access"]) => {
            Reading::plain(Reason::MissingRole)
        }
        (Some(403) | None, 2625) => Reading::plain(Reason::AccountSuspended),
        (Some(403) | None, 2626) => Reading::plain(Reason::AccountLocked),
        (Some(403) | None, 654) => Reading::plain(Reason::UnsupportedAccountType),
        (Some(404), 40) => Reading::plain(Reason::PageUnavailable),
        (Some(404), 404) | (None, 40) if says(&["board not found"]) => {
            Reading::plain(Reason::PageUnavailable)
        }
        // "Invalid request": what was sent lacks something or has a wrong form.
        (Some(400), 1) if question.call.is_none() => Reading::content(),
        // Among them 400/1104, "the token … is not valid or has expired": the token of a report.
        _ => return None,
    })
}

/// If the profile was read, a refusal of the ad accounts affects ads only.
fn softened(reading: Reading, seen: &[Seen], question: Question) -> Reading {
    let optional = question.is(&AD_ACCOUNTS) && seen.iter().any(|s| s.reading.says == Says::Accepted);
    match reading.refusal().and_then(|r| r.reason) {
        Some(reason @ (Reason::MissingPermission | Reason::MissingRole | Reason::UnsupportedAccountType))
            if optional =>
        {
            Reading { lost: vec![(Capability::Ads, reason)], ..Reading::default() }
        }
        _ => reading,
    }
}

fn profile(grant: &Grant<'_>, question: Question, answer: &Answer) -> Option<Reading> {
    let json = &answer.json;
    let username = json.get("username").and_then(parse::text)?;
    let kind = json.get("account_type").and_then(|v| v.as_str());
    if kind.is_none() && !question.is(&USER) {
        return None;
    }
    let mut reading = Reading::accepted();
    let owner: Vec<String> = json.get("id").and_then(parse::text).into_iter().chain([username]).collect();
    reading.listed = standard::wrong_accounts(grant, &owner);
    if kind.is_some_and(|k| k.eq_ignore_ascii_case("PINNER")) {
        // Personal accounts can publish; analytics and ads are for business accounts.
        let lost = [Capability::Analytics, Capability::Ads];
        reading.lost = lost.map(|capability| (capability, Reason::UnsupportedAccountType)).into();
    }
    Some(reading)
}

/// A list of ad accounts, boards or pins. All of them need a token, but an empty list may be a
/// placeholder.
fn list(grant: &Grant<'_>, question: Question, answer: &Answer) -> Option<Reading> {
    let items = answer.json.get("items")?.as_array()?;
    let Some(first) = items.first() else { return Some(Reading::default()) };
    first.get("id")?;
    let mut reading = Reading::accepted();
    if items.iter().any(|i| i.get("permissions").is_some()) {
        let roles_at = |id: Option<&str>| {
            let is_wanted = |i: &&Value| id.is_none_or(|id| parse::text(&i["id"]).as_deref() == Some(id));
            let wanted = items.iter().filter(is_wanted);
            wanted.filter_map(|i| i.get("permissions").and_then(parse::scopes)).flatten().collect::<Vec<_>>()
        };
        // An account may be an ad account itself; a profile has the roles of all of them.
        // Where the list continues, a stronger role may follow.
        let is_cut = answer.json.get("bookmark").and_then(|b| b.as_str()).is_some_and(|b| !b.is_empty());
        let of = |account: &Account<'_>| {
            let own = account.external_id.map(|id| roles_at(Some(id))).filter(|own| !own.is_empty());
            own.or_else(|| (!is_cut).then(|| roles_at(None)))
        };
        reading.facts.roles = grant.account(question).and_then(of);
        let facts = |a| Facts { roles: of(a), ..Facts::default() };
        let listed = grant.accounts.iter().filter_map(|a| Some(Listed::new(a.external_id?, facts(a))));
        reading.listed = listed.collect();
    }
    Some(reading)
}

/// The answer to a call that wrote or read a Pin, a board or analytics.
fn written(answer: &Answer) -> Option<Reading> {
    let there = |name: &str| answer.json.get(name).is_some();
    let analytics = || {
        answer.json.as_object().is_some_and(|o| o.values().any(|part| part.get("summary_metrics").is_some()))
    };
    (there("id") && (there("board_id") || there("privacy")) || analytics()).then(Reading::accepted)
}
