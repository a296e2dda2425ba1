//! Bluesky and other servers of the AT Protocol: one account per token.
//!
//! `getSession` tells whether the session works and in what state the account is; where it is
//! refused, `getRepoStatus`, which needs no token, tells whether the account was deactivated or
//! taken down. The tokens are JWTs: their `exp` gives the clocks, `scope` the scopes. Tokens from
//! OAuth are bound to a key (DPoP) that this program does not hold; of them only the account's
//! state can be told. `createSession` and `refreshSession` are never called: the first is tightly
//! limited, the second uses the refresh token up.
//!
//! What cannot be seen: a removed app password ends the refresh token; the access token works on
//! for up to two hours.
//!
//! Facts: bluesky-social/atproto `packages/pds/src/auth-verifier.ts`,
//! `packages/pds/src/api/com/atproto/server/`, `lexicons/com/atproto/`; docs.bsky.app, "Rate
//! Limits"; atproto.com, "Permissions".

use serde_json::Value;

use super::{
    Answer, AppNeed, Budget, Call, CallInfo, Description, Grant, Method, Network, Question, RateLimitStatus,
    Reading, Rights, Scopes, Seen, Style, parse, standard,
};
use crate::model::{AppProblem, Capability, Cause, Reason, Secret, Steps};

pub(super) struct Bluesky;

static SESSION: CallInfo = CallInfo {
    name: "getSession",
    method: Method::Get,
    url: "https://bsky.social/xrpc/com.atproto.server.getSession",
    tells: "whether the session works, whose it is, and the account's state",
    cost: "one of 3,000 requests per address and 5 minutes",
};

static STATUS: CallInfo = CallInfo {
    name: "getRepoStatus",
    method: Method::Get,
    url: "https://bsky.social/xrpc/com.atproto.sync.getRepoStatus",
    tells: "whether the account was deactivated, suspended or taken down; asked without a token, \
            where the session is refused",
    cost: "one of 3,000 requests per address and 5 minutes",
};

static DESCRIPTION: Description = Description {
    name: "bluesky",
    title: "Bluesky",
    app: AppNeed::None,
    calls: &[&SESSION, &STATUS],
    steps,
    notes: super::Notes {
        lifetimes: &[
            "With an app password: access lives 2 hours, the refresh token 90 days. Both ends are read from \
             the tokens themselves (bluesky-social/atproto, `packages/pds`).",
            "With OAuth: access lives an hour; no answer says when the session ends.",
        ],
        tells: &[
            "Expired, revoked, deactivated and suspended: also where the session itself is refused, since \
             the account's state can be asked without a token.",
            "An app password without access to direct messages: from the token's own scope.",
            "Which permissions an OAuth login has, as scopes, single permissions or permission sets \
             (atproto.com, \"Permissions\").",
        ],
        cannot_tell: &[
            "A removed app password ends the refresh token only. The access token works on for up to 2 \
             hours, and the probe says so.",
            "Tokens from OAuth are bound to a key that this program does not have: for them, only the \
             account's state can be checked.",
            "The refresh token itself: checking it would use it up, which a probe never does.",
        ],
        only_writes: &["Posts that are too long and files that are too large. Never a verdict."],
        interval: "1h. The limit of 3,000 requests per address and 5 minutes is far away (docs.bsky.app, \
                   \"Rate Limits\"). The access token is read again for every probe, so its source must be \
                   kept up to date.",
    },
    ..Description::DEFAULT
};

fn steps(reason: Reason) -> Steps {
    match reason {
        Reason::TokenExpired => Steps::connector(&[
            "Reconnect the account with an app password. Do not delete it: planned posts would go with \
             it.",
            "Normally the session is renewed every two hours by itself. If this returns, the renewal is \
             stuck: tell the operator of this product (a removed app password stops it, too).",
        ]),
        Reason::AccessRevoked => Steps::connector(&[
            "Check whether this product was removed on purpose: Bluesky → Settings → Privacy and security \
             → App passwords lists the apps with access.",
            "If it was not, make a new app password and reconnect the account with it.",
        ]),
        Reason::MissingPermission => Steps::connector(&[
            "Make a new app password under Bluesky → Settings → Privacy and security → App passwords. Tick \
             \"Allow access to your direct messages\" if the inbox is needed.",
            "Reconnect the account with it.",
        ]),
        Reason::AccountDeactivated => Steps::connector(&[
            "If the account is still wanted, log in at Bluesky and choose \"Reactivate my account\".",
            "Reconnect it, or remove it from this product.",
        ]),
        Reason::AccountSuspended => Steps::connector(&[
            "Log in at Bluesky: the notice there says why the account was taken down and offers an \
             appeal.",
            "Reconnect the account once the appeal is granted; before that it does not help.",
        ]),
        _ => Steps::NONE,
    }
}

/// Each stands for any permission that allows it; see [`granted`].
const CREATE_POSTS: &str = "repo:app.bsky.feed.post?action=create";
const MESSAGES: &str = "rpc:chat.bsky.convo.sendMessage";

static PUBLISH: Rights = Rights::scopes(&[&[
    "com.atproto.access",
    "com.atproto.appPass",
    "com.atproto.appPassPrivileged",
    "transition:generic",
    CREATE_POSTS,
]]);
/// Direct messages are closed to ordinary app passwords.
static INBOX: Rights = Rights::scopes(&[&[
    "com.atproto.appPassPrivileged",
    "com.atproto.access",
    "transition:chat.bsky",
    MESSAGES,
]]);

/// Permission sets of Bluesky that do not allow posts (`lexicons/app/bsky/auth*.json`).
const SETS_WITHOUT_POSTS: &[&str] = &[
    "app.bsky.authDeleteContent",
    "app.bsky.authManageFeedDeclarations",
    "app.bsky.authManageLabelerService",
    "app.bsky.authManageModeration",
    "app.bsky.authManageNotifications",
    "app.bsky.authManageProfile",
    "app.bsky.authViewAll",
];

/// The granted scopes, and the ones that capabilities need if a permission allows them
/// (atproto.com, "Permissions"). A permission set covers only its own namespace.
fn granted(scopes: Vec<String>) -> Scopes {
    let any = |allows: fn(&str) -> bool| scopes.iter().any(|scope| allows(scope));
    let implied = [(any(allows_posts), CREATE_POSTS), (any(allows_messages), MESSAGES)];
    let mut granted = Scopes::new(scopes.clone());
    granted.granted.extend(implied.into_iter().filter(|(yes, _)| *yes).map(|(_, name)| name.to_owned()));
    granted
}

fn allows_posts(scope: &str) -> bool {
    match Permission::parse(scope) {
        permission if permission.resource == "repo" => {
            let actions = permission.values("action", false);
            permission.values("collection", true).iter().any(|c| ["*", "app.bsky.feed.post"].contains(c))
                && (actions.is_empty() || actions.contains(&"create"))
        }
        // An unknown set may be newer than this list: it is not held against the login.
        Permission { resource: "include", name, .. } => {
            name.starts_with("app.bsky.") && !SETS_WITHOUT_POSTS.contains(&name)
        }
        _ => false,
    }
}

fn allows_messages(scope: &str) -> bool {
    match Permission::parse(scope) {
        permission if permission.resource == "rpc" => {
            let methods = ["*", "chat.bsky.convo.sendMessage"];
            permission.values("lxm", true).iter().any(|method| methods.contains(method))
        }
        Permission { resource: "include", name, .. } => name.starts_with("chat.bsky."),
        _ => false,
    }
}

/// A scope as a permission: `resource:name?parameter=value&…`.
struct Permission<'a> {
    resource: &'a str,
    name: &'a str,
    parameters: &'a str,
}

impl<'a> Permission<'a> {
    fn parse(scope: &'a str) -> Self {
        let (head, parameters) = scope.split_once('?').unwrap_or((scope, ""));
        let (resource, name) = head.split_once(':').unwrap_or((head, ""));
        Self { resource, name, parameters }
    }

    /// The values of a parameter. If `named`, the permission's name is one of them.
    fn values(&self, parameter: &str, named: bool) -> Vec<&'a str> {
        let own = Some(self.name).filter(|name| named && !name.is_empty());
        let others = self.parameters.split('&').filter_map(|pair| pair.split_once('='));
        own.into_iter().chain(others.filter(|(name, _)| *name == parameter).map(|(_, value)| value)).collect()
    }
}

impl Network for Bluesky {
    fn description(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn rights(&self, _: Style<'_>, _: &str, capability: Capability) -> Option<&'static Rights> {
        match capability {
            Capability::Publish => Some(&PUBLISH),
            Capability::Inbox => Some(&INBOX),
            Capability::Analytics | Capability::Ads => None,
        }
    }

    fn next(&self, grant: &Grant<'_>, seen: &[Seen]) -> Vec<Call> {
        let token = &grant.tokens.access;
        let status = || did(grant).map(|did| Call::new(&STATUS, &[]).query("did", did));
        match seen {
            [] if is_bound(token) => status().into_iter().collect(),
            [] => vec![Call::new(&SESSION, &[]).bearer(token)],
            [Seen { question, reading }] if question.is(&SESSION) && reading.refusal().is_some() => {
                status().into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn read(&self, grant: &Grant<'_>, _: &[Seen], question: Question, answer: &Answer) -> Option<Reading> {
        let mut reading = refused(grant, question, answer).or_else(|| accepted(grant, question, answer))?;
        if !question.is(&STATUS) {
            reading.access_expiry = reading.access_expiry.or(standard::jwt_expiry(&grant.tokens.access));
            reading.refresh_expiry =
                grant.tokens.refresh.as_ref().map(standard::jwt_expiry).unwrap_or_default();
            reading.issued = claim(&grant.tokens.access, "iat").as_ref().and_then(parse::instant);
            reading.scopes = token_scopes(grant).map(granted);
        }
        Some(reading)
    }

    fn limits(&self, answer: &Answer) -> Vec<RateLimitStatus> {
        // Counted per address and server, or per account: logins of other servers are not affected.
        standard::rate_limit(answer, "ratelimit-", "requests", Budget::Grant).into_iter().collect()
    }
}

fn claim(token: &Secret, name: &str) -> Option<Value> {
    token.jwt_claims().and_then(|claims| claims.get(name).cloned())
}

/// Whether the token is bound to a key: it came through OAuth.
fn is_bound(token: &Secret) -> bool {
    claim(token, "cnf").is_some()
}

fn token_scopes(grant: &Grant<'_>) -> Option<Vec<String>> {
    let own = claim(&grant.tokens.access, "scope").as_ref().and_then(parse::scopes);
    own.or_else(|| grant.tokens.scopes.clone())
}

/// The account's id, from the configuration or from the token.
fn did(grant: &Grant<'_>) -> Option<String> {
    let configured = grant.accounts.iter().filter_map(|a| a.external_id).find(|id| id.starts_with("did:"));
    let subject = || claim(&grant.tokens.access, "sub").as_ref().and_then(parse::text);
    configured.map(str::to_owned).or_else(|| subject().filter(|sub| sub.starts_with("did:")))
}

fn refused(grant: &Grant<'_>, question: Question, answer: &Answer) -> Option<Reading> {
    let text = |name: &str| answer.json.get(name).and_then(|v| v.as_str()).unwrap_or_default();
    let challenge = standard::challenge(&answer.headers);
    let error = match (text("error"), &challenge) {
        ("", Some((code, _))) => code.as_str(),
        (code, _) => code,
    };
    if error.is_empty() || matches!(answer.status, Some(429 | 500..)) {
        return None;
    }
    let description = challenge.as_ref().map_or("", |(_, description)| description.as_str());
    let message = format!("{} {} {description}", text("message"), text("error_description"));
    let says = |part: &str| parse::contains(&message, part);
    if says("missing required scope") {
        return Some(Reading::plain(Reason::MissingPermission));
    }
    // A bound token may have been sent to the wrong server.
    let at_own_server = question.is(&STATUS) && !is_bound(&grant.tokens.access);
    Some(match error.to_ascii_lowercase().as_str() {
        // The entry server also answers so to "account not found": not plain enough to overrule the
        // account's state.
        "expiredtoken" if says("revoked") => Reading::ambiguous(Reason::AccessRevoked),
        "expiredtoken" => Reading::ambiguous(Reason::TokenExpired),
        // It was sent to the entry server instead of the account's own, or without the proof of the key
        // that it is bound to.
        "invalidtoken" | "invalid_token" if says("pds access only") || says("dpop") => {
            Reading::app_problem(AppProblem::Unknown)
        }
        "invalidtoken" => invalid_token(grant, &message),
        "accounttakedown" | "accounttakendown" | "repotakendown" | "accountsuspended" | "reposuspended" => {
            Reading::plain(Reason::AccountSuspended)
        }
        "accountdeactivated" | "repodeactivated" => Reading::plain(Reason::AccountDeactivated),
        "accountnotfound" => Reading::ambiguous(Reason::AccountDeactivated),
        "reponotfound" if at_own_server => Reading::ambiguous(Reason::AccountDeactivated),
        "invalidrequest"
            if says("could not find user info")
                || says("profile not found")
                || says("could not find repo") && at_own_server =>
        {
            Reading::ambiguous(Reason::AccountDeactivated)
        }
        // "Invalid app.bsky.feed.post record: Record/text must not be longer than 300 graphemes".
        "invalidrequest" | "invalidrecord" if says("invalid ") && says(" record:") => Reading::content(),
        "blobtoolarge" | "invalidmimetype" | "payloadtoolarge" | "recordtoolarge" => Reading::content(),
        "insufficientscope" | "scopemissing" | "scopemissingerror" => {
            Reading::plain(Reason::MissingPermission)
        }
        "authfactortokenrequired" => Reading::plain(Reason::TwoFactorRequired),
        "invalid_grant" if says("inactivity") => Reading::ambiguous(Reason::TokenExpired),
        "authenticationrequired" if says("invalid identifier or password") => {
            Reading::ambiguous(Reason::TokenInvalid)
        }
        "ratelimitexceeded" => Reading::undetermined(Cause::RateLimited),
        "upstreamfailure" | "upstreamtimeout" | "internalservererror" | "notenoughresources" => {
            Reading::undetermined(Cause::ServerError)
        }
        code => return standard::error(code, &message),
    })
}

/// What the code `InvalidToken` means beside this message.
fn invalid_token(grant: &Grant<'_>, message: &str) -> Reading {
    let says = |part: &str| parse::contains(message, part);
    if is_bound(&grant.tokens.access) {
        Reading::app_problem(AppProblem::Unknown)
    } else if says("token type") || says("bad token scope") && is_refresh_token(grant) {
        Reading::plain(Reason::WrongTokenType)
    } else if says("bad token scope") || says("bad token method") {
        Reading::plain(Reason::MissingPermission)
    } else if says("unexpected authorization type") {
        Reading::undetermined(Cause::UnexpectedAnswer)
    } else if says("expired") || says("revoked") {
        Reading::refused(standard::refusal(message))
    } else {
        Reading::ambiguous(Reason::TokenInvalid)
    }
}

/// Whether a refresh token was configured in place of the access token.
fn is_refresh_token(grant: &Grant<'_>) -> bool {
    token_scopes(grant).is_some_and(|scopes| scopes.iter().any(|s| s == "com.atproto.refresh"))
}

fn accepted(grant: &Grant<'_>, question: Question, answer: &Answer) -> Option<Reading> {
    let json = &answer.json;
    let there = |name: &str| json.get(name).is_some();
    if !answer.maybe_success() {
        return None;
    }
    if let Some(did) = json.get("did").and_then(parse::text) {
        return Some(account(grant, question, json, &did));
    }
    // `checkAccountStatus` answers only to the account itself.
    if let (Some(activated), true) = (json.get("activated").and_then(parse::boolean), there("validDid")) {
        let deactivated = || Reading::plain(Reason::AccountDeactivated);
        return Some(if activated { Reading::accepted() } else { deactivated() });
    }
    // The answer to a written record; a record that was read has a value.
    let written = there("uri") && there("cid") && !there("value");
    let lists = ["notifications", "convos", "preferences"];
    let filled = |name: &&str| json.get(*name).and_then(|v| v.as_array()).is_some_and(|a| !a.is_empty());
    (written || lists.iter().any(filled)).then(Reading::accepted)
}

/// Reads a session, or another answer that names an account.
fn account(grant: &Grant<'_>, question: Question, json: &Value, did: &str) -> Reading {
    match json.get("status").and_then(|v| v.as_str()) {
        Some("deactivated" | "deleted") => return Reading::plain(Reason::AccountDeactivated),
        Some("takendown" | "suspended") => return Reading::plain(Reason::AccountSuspended),
        // "desynchronized" and "throttled" are about the server.
        None if json.get("active").and_then(parse::boolean) == Some(false) => {
            return Reading::ambiguous(Reason::AccountDeactivated);
        }
        _ => {}
    }
    let there = |name: &str| json.get(name).is_some();
    let is_public = !question.is(&SESSION) && PUBLIC.iter().any(|name| there(name));
    if question.is(&STATUS) || !there("handle") || is_public {
        return Reading::default();
    }
    let scopes = token_scopes(grant).unwrap_or_default();
    let has = |scope: &str| scopes.iter().any(|s| s == scope);
    if has("com.atproto.takendown") {
        return Reading::plain(Reason::AccountSuspended);
    }
    if has("com.atproto.signupQueued") {
        return Reading::plain(Reason::AccountUnconfirmed);
    }
    // Handles change; an account's DID never does.
    let last = |id: &str| id.rsplit(':').next().unwrap_or_default().to_owned();
    let is_other = |id: &str| id.starts_with("did:") && last(id) != last(did);
    Reading { listed: standard::wrong_accounts_if(grant, is_other), ..Reading::accepted() }
}

/// Members of profiles and repositories: these are public and say nothing about the token.
#[rustfmt::skip]
const PUBLIC: &[&str] = &[
    "followersCount", "postsCount", "displayName", "indexedAt", "viewer", "associated", "collections", "rev",
];
