//! Mastodon, and servers that speak its API: one profile per token, each server with a host of its
//! own.
//!
//! `accounts/verify_credentials` tells whether the token works and whose it is. It needs
//! `read:accounts` or `profile`; where the token is not known to have that,
//! `apps/verify_credentials`, which any token may ask since 4.3, goes first, so that a token for
//! publishing alone is not taken for a broken one. Tokens live until they are revoked. No answer
//! tells the token's scopes: `scopes` of the app are those it registered, not those that were
//! granted.
//!
//! Servers of other makers answer in words of their own; those that are read here come from
//! GoToSocial `internal/api/util/auth.go` and `internal/middleware/tokencheck.go`, Pleroma's and
//! Akkoma's `OAuthScopesPlug` and `EnsureAuthenticatedPlug`, Pixelfed `app/Exceptions/Handler.php`
//! and `app/Models/AccountInterstitial.php`, Friendica `src/Factory/Api/Mastodon/Error.php`,
//! akirk/enable-mastodon-apps `includes/class-mastodon-api.php`, Misskey
//! `packages/backend/src/server/api/ApiCallService.ts`.
//!
//! Facts: docs.joinmastodon.org, "accounts API methods", "apps API methods", "OAuth Scopes", "Rate
//! limits"; mastodon/mastodon `app/controllers/api/base_controller.rb`,
//! `config/locales/doorkeeper.en.yml`, `config/initializers/rack_attack.rb`.

use super::{
    Answer, Budget, Call, CallInfo, Description, Grant, Method, Network, Question, RateLimitStatus, Reading,
    Refusal, Rights, Says, Seen, Style, parse, standard,
};
use crate::model::{Capability, Cause, Reason, Steps};

pub(super) struct Mastodon;

static ACCOUNT: CallInfo = CallInfo {
    name: "verify_credentials",
    method: Method::Get,
    url: "https://mastodon.social/api/v1/accounts/verify_credentials",
    tells: "whether the token works, whose it is, and whether the login is disabled or unconfirmed",
    cost: "one of 300 requests per token and 5 minutes",
};

static APP: CallInfo = CallInfo {
    name: "app_verify_credentials",
    method: Method::Get,
    url: "https://mastodon.social/api/v1/apps/verify_credentials",
    tells: "whether the token works, without any scope; asked first where the token is not known to \
            read accounts",
    cost: "one of 300 requests per token and 5 minutes",
};

static DESCRIPTION: Description = Description {
    name: "mastodon",
    title: "Mastodon",
    calls: &[&ACCOUNT, &APP],
    steps,
    notes: super::Notes {
        lifetimes: &["No end: access lasts until it is removed."],
        tells: &[
            "Removed access, disabled logins, unconfirmed mail addresses and approvals that are still open: \
             by texts that Mastodon never translates, and its words for \"expired\" and \"revoked\" in many \
             languages.",
            "A token that may only write from a broken one.",
            "Dead tokens and missing permissions at GoToSocial, Pleroma, Akkoma, Pixelfed, Friendica, \
             WordPress and Misskey's descendants, each in its own words.",
        ],
        cannot_tell: &[
            "Granted permissions: no answer names them (those of the app are the ones it requested), so \
             they come from the token response or the configuration.",
            "`password_changed`: looks like removed access.",
            "At Friendica, a dead token from a missing permission: one text for both.",
            "In a language that this program does not know, removed access is `token_invalid`.",
            "A server that was shut down for good looks like one that is down: undetermined forever.",
        ],
        only_writes: &[
            "Posts that the server does not take (422), in the account's language. Never a verdict.",
        ],
        interval: "1h. The limit of 300 requests per token and 5 minutes is far away (docs.joinmastodon.org, \
                   \"Rate limits\").",
    },
    ..Description::DEFAULT
};

fn steps(reason: Reason) -> Steps {
    match reason {
        Reason::AccessRevoked => Steps::connector(&[
            "Check whether this product was removed on purpose: on the server, Preferences → Account → \
             Authorized apps lists the apps with access.",
            "If it was not, reconnect the account and accept every permission.",
        ]),
        Reason::TokenInvalid => Steps::connector(&[
            "Log in at the server itself and look under Preferences → Account → Authorized apps whether \
             this product is still there.",
            "Reconnect the account.",
        ]),
        Reason::AccountSuspended => Steps::connector(&[
            "The server's moderators have disabled the login. Log in at the server and appeal under \
             Preferences → Account status.",
            "Reconnect the account once the appeal is granted; before that it does not help.",
        ]),
        Reason::AccountUnconfirmed => Steps::connector(&[
            "Open the confirmation mail of the server, or have it sent again under Preferences → Account.",
            "On servers that approve new members, wait for the moderators.",
            "Reconnect the account if it does not recover by itself.",
        ]),
        _ => Steps::NONE,
    }
}

static PUBLISH: Rights = Rights::scopes(&[&["write:statuses", "write"], &["write:media", "write"]]);
static INBOX: Rights = Rights::scopes(&[
    &["read:notifications", "read"],
    &["read:statuses", "read"],
    &["write:statuses", "write"],
]);
static ANALYTICS: Rights = Rights::scopes(&[&["read:statuses", "read"], &["read:accounts", "read"]]);

/// Doorkeeper's "expired" in many languages: servers answer in the account's language without being
/// asked to (mastodon/mastodon issue 4637).
#[rustfmt::skip]
const EXPIRED: &[&str] = &[
    "期限", "abgelaufen", "expiré", "expirado", "caducado", "caducat", "scaduto", "verlopen", "wygas",
    "истек", "истёк", "过期", "過期", "만료",
];
/// Its "revoked".
#[rustfmt::skip]
const REVOKED: &[&str] = &[
    "取り消", "widerrufen", "révoqué", "revocado", "revogado", "revocat", "ingetrokken", "unieważnion",
    "отозван", "撤销", "撤銷", "취소",
];

impl Network for Mastodon {
    fn description(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn rights(&self, _: Style<'_>, _: &str, capability: Capability) -> Option<&'static Rights> {
        match capability {
            Capability::Publish => Some(&PUBLISH),
            Capability::Inbox => Some(&INBOX),
            Capability::Analytics => Some(&ANALYTICS),
            Capability::Ads => None,
        }
    }

    fn next(&self, grant: &Grant<'_>, seen: &[Seen]) -> Vec<Call> {
        let token = &grant.tokens.access;
        let account = || vec![Call::new(&ACCOUNT, &[]).bearer(token)];
        match seen {
            [] if reads_accounts(grant) => account(),
            [] => vec![Call::new(&APP, &[]).bearer(token)],
            [_] if app_accepted(seen) => account(),
            _ => Vec::new(),
        }
    }

    fn read(&self, grant: &Grant<'_>, seen: &[Seen], question: Question, answer: &Answer) -> Option<Reading> {
        let reading = refused(grant, question, answer).or_else(|| accepted(grant, question, answer))?;
        let after_app = question.is(&ACCOUNT) && app_accepted(seen);
        Some(match reading.refusal().and_then(|r| r.reason) {
            // Before 4.3, this call needed a scope: a missing one says nothing about the token.
            Some(Reason::MissingPermission) if question.is(&APP) => Reading::default(),
            // The token works, or its scopes would not be checked; it may only not read the account.
            Some(Reason::MissingPermission) if after_app => Reading {
                lost: vec![(Capability::Analytics, Reason::MissingPermission)],
                endless: true,
                ..Reading::accepted()
            },
            // The app's call accepts a token of the app itself.
            Some(Reason::TokenInvalid) if after_app && says(answer, "requires an authenticated user") => {
                Reading::plain(Reason::WrongTokenType)
            }
            _ => reading,
        })
    }

    fn limits(&self, answer: &Answer) -> Vec<RateLimitStatus> {
        standard::rate_limit(answer, "x-ratelimit-", "requests", Budget::Grant).into_iter().collect()
    }
}

/// Whether the call to the app was not refused.
fn app_accepted(seen: &[Seen]) -> bool {
    APP.readings(seen).any(|r| matches!(r.says, Says::Accepted | Says::Nothing))
}

/// Whether the token is known to have a scope that reads its own account.
fn reads_accounts(grant: &Grant<'_>) -> bool {
    let reads = |s: &String| matches!(s.as_str(), "read" | "read:accounts" | "profile");
    grant.tokens.scopes.as_deref().is_some_and(|scopes| scopes.iter().any(reads))
}

fn says(answer: &Answer, part: &str) -> bool {
    answer.json.get("error").and_then(|v| v.as_str()).is_some_and(|text| parse::contains(text, part))
}

/// Sentences and Pleroma's identifiers that name the cause. They are never translated.
#[rustfmt::skip] // a row each
static SENTENCES: &[(&[&str], Says)] = &[
    (&["login is currently disabled", "account is currently disabled", "account_is_disabled"],
     Says::plain(Reason::AccountSuspended)),
    (&["missing a confirmed e-mail", "pending approval", "account is awaiting approval",
       "missing_confirmed_email", "awaiting_approval"],
     Says::plain(Reason::AccountUnconfirmed)),
    (&["use web browser to proceed"], Says::plain(Reason::SecurityCheckpoint)),
    (&["outside the authorized scopes", "does not cover required scopes", "insufficient permissions",
       "insufficient scope", "invalid scope(s) provided"],
     Says::plain(Reason::MissingPermission)),
    (&["this action is not allowed"], Says::plain(Reason::MissingRole)),
    // An app's own token, or that of a deleted or disabled person.
    (&["requires an authenticated user", "user not supplied or not authorized"],
     Says::ambiguous(Reason::TokenInvalid)),
    (&["account not supplied or not authorized"], Says::ambiguous(Reason::AccountSuspended)),
];

fn refused(grant: &Grant<'_>, question: Question, answer: &Answer) -> Option<Reading> {
    let json = &answer.json;
    let texts = [&json["error"], &json["error"]["message"], &json["message"]];
    let error = texts.iter().find_map(|text| text.as_str()).unwrap_or_default();
    // Pixelfed's answer to every dead token, with status 500.
    let dead = error == "Unauthenticated.";
    match answer.status {
        Some(500) if dead => {}
        Some(429 | 500..) => return None,
        _ => {}
    }
    let sent = question.is(&ACCOUNT) || question.is(&APP);
    if dead || (sent && parse::contains(error, "unauthorized: token not supplied")) {
        // GoToSocial answers so to a dead token; a probe always sends one.
        return Some(Reading::refused(Refusal::expired_or_revoked()));
    }
    // "Validation failed: Text character limit of 500 exceeded", in the account's language.
    if answer.is(422) && question.call.is_none() && !error.is_empty() {
        return Some(Reading::content());
    }
    misskey(json["error"]["code"].as_str().unwrap_or_default())
        .or_else(|| refused_by_text(grant, question, json["identifier"].as_str().unwrap_or_default(), error))
        .or_else(|| refused_token(answer, error))
}

/// What a sentence or an identifier says.
fn refused_by_text(grant: &Grant<'_>, question: Question, id: &str, error: &str) -> Option<Reading> {
    let says = |part: &&str| parse::contains(error, part) || id == *part;
    if says(&"not authorized with a valid user or is missing a required scope") {
        // A token that is known to have the scope is dead.
        let is_dead = question.is(&ACCOUNT) && reads_accounts(grant);
        let missing = Refusal::ambiguous(Reason::MissingPermission);
        return Some(Reading::refused(if is_dead { Refusal::expired_or_revoked() } else { missing }));
    }
    SENTENCES.iter().find(|(parts, _)| parts.iter().any(says)).map(|(_, says)| Reading::says(*says))
}

fn refused_token(answer: &Answer, error: &str) -> Option<Reading> {
    // Logs and proxies lose statuses; an error inside a success is still an error.
    let status = answer.status.filter(|s| !(200..300).contains(s));
    let says = |part: &str| parse::contains(error, part);
    if status.is_none() && (says("too many requests") || says("throttled")) {
        return Some(Reading::undetermined(Cause::RateLimited));
    }
    let challenge = standard::challenge(&answer.headers);
    let description = challenge.as_ref().map_or("", |(_, description)| description.as_str());
    let words =
        format!("{error} {} {description}", answer.json["error_description"].as_str().unwrap_or_default());
    let code = Some(error)
        .filter(|e| standard::error(e, "").is_some())
        .or(challenge.as_ref().map(|(code, _)| code.as_str()));
    match code {
        // There are no refresh tokens: this is about an authorization code.
        Some("invalid_grant") => return Some(Reading::undetermined(Cause::UnexpectedAnswer)),
        Some("invalid_token") => return Some(Reading::refused(refusal(&words))),
        Some(code) => return standard::error(code, &words),
        None => {}
    }
    // Without the header, as pasted into tickets. Pleroma answers 403 and "Invalid credentials." to
    // dead tokens.
    let unsent = ["not supplied", "not provided", "missing", "no token"].iter().any(|part| says(part));
    let known = says("access token") || says("invalid credentials");
    let refuses = match status {
        Some(401) => answer.json["error"].is_string() && !error.is_empty() && !unsent && !basic(answer),
        Some(403) | None => known && !unsent,
        _ => false,
    };
    refuses.then(|| Reading::refused(refusal(&words)))
}

/// The codes of Misskey and its descendants.
fn misskey(code: &str) -> Option<Reading> {
    Some(match code {
        "AUTHENTICATION_FAILED" => Reading::refused(Refusal::expired_or_revoked()),
        "PERMISSION_DENIED" => Reading::plain(Reason::MissingPermission),
        "YOUR_ACCOUNT_SUSPENDED" => Reading::plain(Reason::AccountSuspended),
        "CREDENTIAL_REQUIRED" => Reading::undetermined(Cause::UnexpectedAnswer),
        "RATE_LIMIT_EXCEEDED" => Reading::undetermined(Cause::RateLimited),
        _ => return None,
    })
}

/// A password in front of the whole server; not Mastodon's own answer.
fn basic(answer: &Answer) -> bool {
    parse::challenges(&answer.headers).iter().any(|c| c.scheme == "basic")
}

/// Doorkeeper names the cause in the account's language.
fn refusal(words: &str) -> Refusal {
    let words = words.to_lowercase();
    let any = |list: &[&str]| list.iter().any(|w| words.contains(w));
    match (any(EXPIRED), any(REVOKED)) {
        (true, false) => Refusal::ambiguous(Reason::TokenExpired),
        (false, true) => Refusal::ambiguous(Reason::AccessRevoked),
        _ if words.contains("the access token was revoked") => Refusal::plain(Reason::AccessRevoked),
        _ if words.contains("the access token expired") => Refusal::plain(Reason::TokenExpired),
        _ => standard::refusal(&words),
    }
}

fn accepted(grant: &Grant<'_>, question: Question, answer: &Answer) -> Option<Reading> {
    // A list of notifications or posts is judged by its first entry; an empty one proves nothing.
    let json = answer.json.get(0).unwrap_or(&answer.json);
    let there = |name: &str| json.get(name).is_some();
    if !answer.maybe_success() || there("error") {
        return None;
    }
    let id = json.get("id").and_then(parse::text);
    let username = json.get("username").or_else(|| json.get("acct")).and_then(parse::text);
    match (id, username) {
        // Accounts are public, but only the owner gets `source`.
        (Some(id), Some(username)) if question.is(&ACCOUNT) || there("source") => {
            if json.get("suspended").and_then(parse::boolean) == Some(true) {
                return Some(Reading::plain(Reason::AccountSuspended));
            }
            let listed = standard::wrong_accounts(grant, &[id, username]);
            Some(Reading { endless: true, listed, ..Reading::accepted() })
        }
        _ if there("name") && (question.is(&APP) || there("vapid_key")) => Some(Reading::accepted()),
        // A post with "favourited" was read or written with a token.
        (Some(_), _) if there("account") && there("favourited") => Some(Reading::accepted()),
        // Only the owner sees notifications, uploads and scheduled posts.
        (Some(_), _) if there("type") && (there("account") || there("preview_url")) => {
            Some(Reading::accepted())
        }
        (Some(_), _) if there("scheduled_at") => Some(Reading::accepted()),
        _ => standard::token_response(answer),
    }
}
