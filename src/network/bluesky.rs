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

use super::{
    Answer, AppNeed, Budget, Call, CallInfo, Description, Grant, Method, Network, Question, RateLimitStatus,
    Reading, Refusal, Rights, Scopes, Seen, Style, parse, standard,
};
use crate::model::{AppProblem, Capability, Cause, Reason, Secret};

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
    aliases: &[],
    title: "Bluesky",
    apis: &[],
    app: AppNeed::None,
    kinds: &["profile"],
    carries: &[],
    api_version: None,
    version_ends: &[],
    calls: &[&SESSION, &STATUS],
    token_prefixes: &[],
    steps,
    notes: super::Notes {
        lifetimes: &[
            "With an app password: access lives 2 hours, the refresh token 90 days. Both ends are read from \
             the tokens themselves (bluesky-social/atproto, `packages/pds`).",
            "With OAuth: access lives an hour; the session's end is not told.",
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
            "Tokens from OAuth are bound to a key that this program does not hold: of them only the \
             account's state can be told.",
            "The refresh token itself: looking at it means using it up, which a probe never does.",
        ],
        interval: "1h. 3,000 questions per address and 5 minutes are far away (docs.bsky.app, \"Rate \
                   Limits\"); the access token is read anew for every probe, so its source must be kept \
                   fresh.",
    },
};

fn steps(reason: Reason) -> &'static [&'static str] {
    match reason {
        Reason::TokenExpired => &[
            "Reconnect the account with an app password. Do not delete it: planned posts would go with \
                 it.",
            "Normally the session is renewed every two hours by itself. If this returns, the renewal is \
                 stuck: tell the operator of this product (a removed app password stops it, too).",
        ],
        Reason::AccessRevoked => &[
            "Ask the person who connected whether the removal was meant: Bluesky → Settings → Privacy \
                 and security → App passwords lists the apps with access.",
            "If it was not, make a new app password and reconnect the account with it.",
        ],
        Reason::MissingPermission => &[
            "Make a new app password under Bluesky → Settings → Privacy and security → App passwords.",
            "Tick \"Allow access to your direct messages\" if the inbox is needed, and reconnect the \
                 account with it.",
        ],
        Reason::AccountDeactivated => &[
            "If the account is still wanted, log in at Bluesky and choose \"Reactivate my account\".",
            "Reconnect it, or remove it from this product.",
        ],
        Reason::AccountSuspended => &[
            "Log in at Bluesky: the notice there says why the account was taken down and offers an \
                 appeal.",
            "Reconnect the account once the appeal is granted; before that it does not help.",
        ],
        _ => &[],
    }
}

/// What stands for any permission that allows it; see [`granted`].
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

/// The granted scopes, and those that the capabilities need, where a permission allows them
/// (atproto.com, "Permissions"). A permission names resources and parameters in many ways; a
/// permission set allows only what belongs to its own namespace.
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
        // A set that is not known here may be newer than this list: it is not held against the login.
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

    /// The values of a parameter; the one that `named` says is meant may stand as the name.
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
        let mut reading = refused(grant, question, answer).or_else(|| told(grant, question, answer))?;
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
        // Counted per address and server, or per account: another server's logins are not concerned.
        standard::rate_limit(answer, "ratelimit-", "requests", Budget::Grant).into_iter().collect()
    }
}

fn claim(token: &Secret, name: &str) -> Option<serde_json::Value> {
    token.jwt_claims().and_then(|claims| claims.get(name).cloned())
}

/// Whether the token is bound to a key: it came through OAuth.
fn is_bound(token: &Secret) -> bool {
    claim(token, "cnf").is_some()
}

fn token_scopes(grant: &Grant<'_>) -> Option<Vec<String>> {
    claim(&grant.tokens.access, "scope")
        .as_ref()
        .and_then(parse::scopes)
        .or_else(|| grant.tokens.scopes.clone())
}

/// The account's id, from the configuration or from the token.
fn did(grant: &Grant<'_>) -> Option<String> {
    let configured = grant.accounts.iter().filter_map(|a| a.external_id).find(|id| id.starts_with("did:"));
    let own = || {
        claim(&grant.tokens.access, "sub")
            .as_ref()
            .and_then(parse::text)
            .filter(|sub| sub.starts_with("did:"))
    };
    configured.map(str::to_owned).or_else(own)
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
    let plain = |reason| Some(Reading::refused(Refusal::plain(reason)));
    let ambiguous = |reason| Some(Reading::refused(Refusal::ambiguous(reason)));
    let undetermined = |cause| Some(Reading::undetermined(cause));
    if says("missing required scope") {
        return plain(Reason::MissingPermission);
    }
    match error.to_ascii_lowercase().as_str() {
        // The entry server turns "account not found" into this, too: not plain enough to overrule the
        // account's state.
        "expiredtoken" if says("revoked") => ambiguous(Reason::AccessRevoked),
        "expiredtoken" => ambiguous(Reason::TokenExpired),
        // It was sent to the entry server instead of the account's own, or without the proof that it is bound
        // to.
        "invalidtoken" | "invalid_token" if says("pds access only") || says("dpop") => {
            undetermined(Cause::AppMisconfigured(AppProblem::Unknown))
        }
        "invalidtoken" if is_bound(&grant.tokens.access) => {
            undetermined(Cause::AppMisconfigured(AppProblem::Unknown))
        }
        "invalidtoken" if says("token type") || (says("bad token scope") && is_refresh_token(grant)) => {
            plain(Reason::WrongTokenType)
        }
        "invalidtoken" if says("bad token scope") || says("bad token method") => {
            plain(Reason::MissingPermission)
        }
        "invalidtoken" if says("unexpected authorization type") => undetermined(Cause::UnexpectedAnswer),
        "invalidtoken" if says("expired") || says("revoked") => {
            Some(Reading::refused(standard::refusal(&message)))
        }
        "invalidtoken" => ambiguous(Reason::TokenInvalid),
        "accounttakedown" | "accounttakendown" | "repotakendown" | "accountsuspended" | "reposuspended" => {
            plain(Reason::AccountSuspended)
        }
        "accountdeactivated" | "repodeactivated" => plain(Reason::AccountDeactivated),
        "accountnotfound" => ambiguous(Reason::AccountDeactivated),
        // Asked for a bound token, it may only be the wrong server.
        "reponotfound" if question.is(&STATUS) && !is_bound(&grant.tokens.access) => {
            ambiguous(Reason::AccountDeactivated)
        }
        "invalidrequest" if says("could not find user info") || says("profile not found") => {
            ambiguous(Reason::AccountDeactivated)
        }
        "invalidrequest"
            if says("could not find repo") && question.is(&STATUS) && !is_bound(&grant.tokens.access) =>
        {
            ambiguous(Reason::AccountDeactivated)
        }
        "insufficientscope" | "scopemissing" | "scopemissingerror" => plain(Reason::MissingPermission),
        "authfactortokenrequired" => plain(Reason::TwoFactorRequired),
        "invalid_grant" if says("inactivity") => ambiguous(Reason::TokenExpired),
        "authenticationrequired" if says("invalid identifier or password") => ambiguous(Reason::TokenInvalid),
        "ratelimitexceeded" => undetermined(Cause::RateLimited),
        "upstreamfailure" | "upstreamtimeout" | "internalservererror" | "notenoughresources" => {
            undetermined(Cause::ServerError)
        }
        code => standard::error(code, &message),
    }
}

/// Whether a refresh token lies where the access token should.
fn is_refresh_token(grant: &Grant<'_>) -> bool {
    token_scopes(grant).is_some_and(|scopes| scopes.iter().any(|s| s == "com.atproto.refresh"))
}

fn told(grant: &Grant<'_>, question: Question, answer: &Answer) -> Option<Reading> {
    let json = &answer.json;
    let there = |name: &str| json.get(name).is_some();
    if !answer.maybe_success() {
        return None;
    }
    let plain = |reason| Some(Reading::refused(Refusal::plain(reason)));
    if let Some(did) = json.get("did").and_then(parse::text) {
        let active = json.get("active").and_then(parse::boolean);
        match json.get("status").and_then(|v| v.as_str()) {
            Some("deactivated" | "deleted") => return plain(Reason::AccountDeactivated),
            Some("takendown" | "suspended") => return plain(Reason::AccountSuspended),
            // "desynchronized" and "throttled" are about the server.
            None if active == Some(false) => {
                return Some(Reading::refused(Refusal::ambiguous(Reason::AccountDeactivated)));
            }
            _ => {}
        }
        // Profiles and repositories are public: they say nothing about the token.
        let public = [
            "followersCount",
            "postsCount",
            "displayName",
            "indexedAt",
            "viewer",
            "associated",
            "collections",
            "rev",
        ];
        if question.is(&STATUS)
            || !there("handle")
            || (!question.is(&SESSION) && public.iter().any(|field| there(field)))
        {
            return Some(Reading::default());
        }
        let mut reading = match token_scopes(grant) {
            Some(scopes) if scopes.iter().any(|s| s == "com.atproto.takendown") => {
                return plain(Reason::AccountSuspended);
            }
            Some(scopes) if scopes.iter().any(|s| s == "com.atproto.signupQueued") => {
                return plain(Reason::AccountUnconfirmed);
            }
            _ => Reading::accepted(),
        };
        // Handles change; an account's DID never does.
        let last = |id: &str| id.rsplit(':').next().unwrap_or_default().to_owned();
        reading.listed =
            standard::wrong_accounts_if(grant, |id| id.starts_with("did:") && last(id) != last(&did));
        return Some(reading);
    }
    // `checkAccountStatus` answers to the account itself alone.
    if let (Some(activated), true) = (json.get("activated").and_then(parse::boolean), there("validDid")) {
        return if activated { Some(Reading::accepted()) } else { plain(Reason::AccountDeactivated) };
    }
    // A record was written; one that was only read has a value.
    let written = there("uri") && there("cid") && !there("value");
    let lists = ["notifications", "convos", "preferences"]
        .iter()
        .any(|l| json.get(l).and_then(|v| v.as_array()).is_some_and(|a| !a.is_empty()));
    (written || lists).then(Reading::accepted)
}
