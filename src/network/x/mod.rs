//! X (Twitter): who am I, asked with OAuth 1.0a or OAuth 2.0, and a tie-breaker where OAuth 1.0a
//! gets a bare no.
//!
//! There is no introspection, and `/2/oauth2/token` would use up the single-use refresh token: the
//! probe reads `/2/users/me`. OAuth 1.0a tokens have no end; the end and the scopes of an OAuth 2.0
//! token stand in its token response only. X charges for user reads, so nothing else is asked while
//! all is well.
//!
//! Facts: docs.x.com, "Response Codes and Errors", "Rate limits", "OAuth 2.0 Authorization Code
//! Flow with PKCE" and "Authenticated User Access" (Ads API); real answers in
//! plhery/node-twitter-api-v2 issues 265, 425 and 493, jsha/blocktogether issue 146, akrherz/iembot
//! issue 156, nextcloud/integration_twitter issue 25, xdevplatform/bookmarks-search
//! issue 10, xdevplatform/samples issue 58, xdevplatform/xdk issue 25.
//!
//! What a read-only probe cannot see: a spam filter that refuses posts, and an exhausted allowance
//! for posts.

mod problem;

use std::time::Duration;

use serde_json::Value;

use problem::{Problem, TITLES, WORDINGS, is_problem, problems};

use crate::model::{AppProblem, Capability, Cause, Expiry, Reason, Steps};
use crate::network::{
    Account, Answer, Auth, Budget, Call, CallInfo, Certainty, Description, Grant, Guess, Method, Network,
    OAuth1Keys, Question, RateLimitStatus, Reading, Refusal, Rights, Says, Scopes, Seen, Style, WriteFact,
    parse, standard,
};

pub(super) struct X;

static ME: CallInfo = CallInfo {
    name: "me",
    method: Method::Get,
    url: "https://api.x.com/2/users/me",
    tells: "whether the token works, whose it is, whether the account is locked or suspended; with \
            OAuth 1.0a also the access level",
    cost: "one user read ($0.010, charged once per account and UTC day); 75 per 15 minutes and user",
};

static TIE_BREAKER: CallInfo = CallInfo {
    name: "verify_credentials",
    method: Method::Get,
    url: "https://api.x.com/1.1/account/verify_credentials.json",
    tells: "OAuth 1.0a, after a bare refusal only: whether the token or the app's keys are refused",
    cost: "75 per 15 minutes and user",
};

static DESCRIPTION: Description = Description {
    name: "x",
    aliases: &["twitter"],
    title: "X",
    calls: &[&ME, &TIE_BREAKER],
    token_prefixes: &[("AAAA", 16)],
    steps,
    notes: crate::network::Notes {
        lifetimes: &[
            "OAuth 1.0a: no end. Access lasts until it is removed, the app's keys change or the account is \
             deleted.",
            "OAuth 2.0: access lives 2 hours (docs.x.com, \"OAuth 2.0 Authorization Code Flow with PKCE\"); \
             the refresh token is good for one use and its life is not published. Both ends come from the \
             token response or the configuration.",
        ],
        tells: &[
            "Locked, suspended and deactivated accounts: X names each.",
            "With OAuth 1.0a: access that was removed (code 89) from keys of the app that are refused (32, \
             215), and the access level from a header.",
            "An app without credit (402), at its spend cap, without the access level (453, \
             `client-not-enrolled`) or suspended, from a fault of the account.",
        ],
        cannot_tell: &[
            "OAuth 2.0 answers expired and revoked alike; the known expiry decides.",
            "OAuth 2.0 permissions: in the token response only.",
            "Roles at ad accounts: not asked, since every call costs.",
        ],
        only_writes: &[
            "Posts that X takes for automated (226, read as 12 hours): only publishing stops.",
            "An app at its usage cap, without credit (402) or without the access level: a fault of \
             the app.",
            "An exhausted allowance for posts, duplicates (187), texts that are too long (186) and \
             other content that is refused. Never a verdict.",
        ],
        interval: "12h. X charges $0.010 for a user read, once per account and UTC day however often it is \
                   read: about $3.65 a year for each account (docs.x.com, \"Pricing\"). X does not promise \
                   that repeated reads stay free, so the default is twice a day. Probing more often finds a \
                   loss earlier; the limit of 75 calls per 15 minutes and user is far away. With `1d`, the \
                   cost is the same; beyond a day, it falls.",
    },
    ..Description::DEFAULT
};

fn steps(reason: Reason) -> Steps {
    match reason {
        Reason::AccountLocked => Steps::connector(&[
            "Log in at x.com as the account itself and unlock it: X asks for a code by phone or e-mail, or \
             sets a puzzle.",
            "Wait until the account can post at x.com again: the connection then usually recovers by \
             itself.",
            "Reconnect the account if it does not recover by itself.",
        ]),
        Reason::AccountSuspended => Steps::connector(&[
            "Log in at x.com as the account itself and read the notice.",
            "Appeal first: help.x.com → Contact Us → Locked and suspended accounts. Reconnecting does not \
             help before the suspension ends.",
            "Reconnect the account once it is restored.",
        ]),
        Reason::AccessRevoked => Steps::connector(&[
            "Check whether this product was removed on purpose: X → More → Settings and privacy → Security \
             and account access → Apps and sessions → Connected apps lists the apps with access.",
            "If it was not, reconnect the account while logged in at x.com as the right account.",
        ]),
        Reason::AccountRestricted => Steps::connector(&[
            "X takes recent posts for automated ones. Log in at x.com as the account itself and deal with \
             any notice.",
            "Post once by hand, pause planned posts for a day, and vary their text.",
            "Reconnecting is not needed.",
        ]),
        Reason::AccountDeactivated => Steps::connector(&[
            "Log in at x.com within 30 days of the deactivation to bring the account back, if it is still \
             wanted.",
            "Reconnect it, or remove it from this product.",
        ]),
        Reason::MissingPermission => Steps {
            connector: &[
                "Reconnect the account and accept everything that X shows.",
                "If that changes nothing, ask the operator of this product to raise the app's permissions \
                 at X, and reconnect again: older logins keep their old level.",
            ],
            operator: &[
                "Ask the person who connected the account to reconnect it, and to accept everything that X \
                 shows.",
                "If that changes nothing, raise the app's permissions in X's developer console → User \
                 authentication settings (Read and write, and Direct message for the inbox), and have the \
                 account reconnected again: older logins keep their old level.",
            ],
            ..Steps::NONE
        },
        _ => Steps::NONE,
    }
}

const READ: &[&str] = &["read", "read-write", "read-write-directmessages", "read-write-privatemessages"];
const WRITE: &[&str] = &["read-write", "read-write-directmessages", "read-write-privatemessages"];
const MESSAGES: &[&str] = &["read-write-directmessages", "read-write-privatemessages"];

impl Network for X {
    fn description(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn rights(&self, style: Style<'_>, _: &str, capability: Capability) -> Option<&'static Rights> {
        match (style.oauth1, capability) {
            (true, Capability::Publish) => Some(&Rights { scopes: &[WRITE], roles: &[] }),
            (true, Capability::Inbox) => Some(&Rights { scopes: &[MESSAGES], roles: &[] }),
            (true, Capability::Analytics) => Some(&Rights { scopes: &[READ], roles: &[] }),
            (true, Capability::Ads) => {
                Some(&Rights { scopes: &[READ], roles: &["AD_MANAGER", "ACCOUNT_ADMIN"] })
            }
            (false, Capability::Publish) => {
                Some(&Rights { scopes: &[&["tweet.write"], &["tweet.read"], &["users.read"]], roles: &[] })
            }
            (false, Capability::Inbox) => Some(&Rights {
                scopes: &[&["dm.read"], &["dm.write"], &["tweet.read"], &["users.read"]],
                roles: &[],
            }),
            (false, Capability::Analytics) => {
                Some(&Rights { scopes: &[&["tweet.read"], &["users.read"]], roles: &[] })
            }
            // The Ads API takes OAuth 1.0a only.
            (false, Capability::Ads) => None,
        }
    }

    fn next(&self, grant: &Grant<'_>, seen: &[Seen]) -> Vec<Call> {
        let Some(auth) = authorization(grant) else { return Vec::new() };
        let Some(me) = ME.readings(seen).next() else {
            let call = Call::new(&ME, &[]).query("user.fields", "verified,verified_type,subscription_type");
            return vec![call.auth(auth)];
        };
        let bare = me.refusal().is_some_and(|r| r.certainty == Certainty::Ambiguous);
        if grant.style.oauth1 && bare && !TIE_BREAKER.was_asked(seen) {
            let call = Call::new(&TIE_BREAKER, &[]).query("include_entities", "false");
            vec![call.query("skip_status", "true").auth(auth)]
        } else {
            Vec::new()
        }
    }

    fn read(&self, grant: &Grant<'_>, seen: &[Seen], question: Question, answer: &Answer) -> Option<Reading> {
        let reading =
            interpret(grant, question, answer).or_else(|| by_bare_status(answer))?.under(answer.status);
        let breaks_tie = question.is(&TIE_BREAKER) && ME.was_asked(seen);
        Some(if breaks_tie { break_tie(reading) } else { reading })
    }

    fn guess(&self, _: Question, _: Option<&str>, answer: &Answer) -> Guess {
        let oauth1 = access_level(answer).is_some()
            // Permissions at an ad account: the Ads API takes OAuth 1.0a only.
            || answer.json["data"]["permissions"].is_array()
            || problems(answer).iter().any(|p| p.code == Some(89));
        Guess { oauth1, ..Guess::default() }
    }

    fn default_interval(&self) -> Duration {
        Duration::from_secs(12 * 3600)
    }

    fn limits(&self, answer: &Answer) -> Vec<RateLimitStatus> {
        let buckets = [
            ("15min", "x-rate-limit-", Budget::Grant),
            ("app-24hour", "x-app-limit-24hour-", Budget::App),
            ("user-24hour", "x-user-limit-24hour-", Budget::Grant),
        ];
        // The quota of the app's product, "Monthly" for example, without a header.
        let capped = problems(answer).iter().any(|p| p.kind == "usage-capped");
        let cap = RateLimitStatus::new("usage-cap", Budget::App, capped.then_some(1.0), None);
        let limit = |(bucket, prefix, budget)| standard::rate_limit(answer, prefix, bucket, budget);
        buckets.into_iter().filter_map(limit).chain(cap).collect()
    }
}

/// None if a key of OAuth 1.0a is missing: a call without it would only blame the token.
fn authorization(grant: &Grant<'_>) -> Option<Auth> {
    if !grant.style.oauth1 {
        return Some(Auth::Bearer(grant.tokens.access.clone()));
    }
    Some(Auth::OAuth1(Box::new(OAuth1Keys {
        consumer_key: grant.app.client_id.clone(),
        consumer_secret: grant.app.client_secret.clone()?,
        token: grant.tokens.access.clone(),
        token_secret: grant.tokens.secret.clone()?,
    })))
}

/// X does not say how long its filter against automation (226) blocks posts; half a day is assumed.
const AUTOMATION_BLOCK: Duration = Duration::from_secs(12 * 3600);

/// Codes of refused posts and messages: recipients, duplicates, texts that are too long, media, replies
/// to posts that are gone or closed (developer.x.com, "Response codes" of v1.1).
const CONTENT: &[i64] = &[150, 151, 170, 186, 187, 323, 324, 325, 327, 354, 385, 386, 421, 422, 433];

/// The same without a code (gitroomhq/postiz-app and trypostit/trypost).
const CONTENT_TEXTS: &[&str] = &["duplicate content", "status is a duplicate", "video longer than"];

/// Reasons that the tie-breaker can give.
const CONFIRMED: &[Reason] =
    &[Reason::AccessRevoked, Reason::TokenInvalid, Reason::AccountLocked, Reason::AccountSuspended];

/// The tie-breaker tells a refused token from refused keys or a wrong clock. Nothing else in its
/// answer counts: many apps may not call it (453), and it has accepted suspended users
/// (jsha/blocktogether issue 146).
fn break_tie(reading: Reading) -> Reading {
    let counts = match reading.says {
        Says::Refused(refusal) => refusal.reason.is_some_and(|reason| CONFIRMED.contains(&reason)),
        Says::Undetermined(cause) => cause == Cause::ClockSkew,
        // v1.1 accepts token and keys, but v2 does not: the app has no access to v2.
        Says::Accepted => return Reading::app_problem(AppProblem::AccessLevel),
        Says::Nothing => false,
    };
    if counts { reading } else { Reading::says(Says::Nothing) }
}

fn interpret(grant: &Grant<'_>, question: Question, answer: &Answer) -> Option<Reading> {
    let asked = Asked {
        grant,
        account: grant.account(question),
        own: question.call.is_some(),
        oauth1: grant.style.oauth1,
    };
    let problems = problems(answer);
    if let Some(reading) = success(&asked, answer) {
        // Errors beside data concern parts of it, unless they concern the account itself.
        let state =
            problems.iter().filter(|p| p.about.is_none()).find_map(|p| match (p.code, p.kind.as_str()) {
                (Some(64 | 326), _) | (_, "user-suspended") => asked.judge(p),
                _ => None,
            });
        return state.or(Some(reading));
    }
    // Of several errors, a plain refusal weighs most, any other trouble least.
    problems
        .iter()
        .filter_map(|p| asked.judge(p))
        .min_by_key(|r| r.refusal().map_or(2, |refusal| u8::from(refusal.certainty == Certainty::Ambiguous)))
}

/// What an answer without a readable body means.
fn by_bare_status(answer: &Answer) -> Option<Reading> {
    match answer.status {
        Some(402) => Some(Reading::app_problem(AppProblem::OutOfCredit)),
        Some(420) => Some(Reading::undetermined(Cause::RateLimited)),
        _ => None,
    }
}

/// The question and whom it is about.
struct Asked<'a> {
    grant: &'a Grant<'a>,
    account: Option<&'a Account<'a>>,
    /// It was a call of a probe; all of them are about the token's own account.
    own: bool,
    oauth1: bool,
}

impl Asked<'_> {
    /// Codes come before types, types before texts, texts before the status.
    fn judge(&self, problem: &Problem) -> Option<Reading> {
        let by_code = problem.code.and_then(|code| self.by_code(code, problem));
        by_code
            .or_else(|| self.by_type(&problem.kind, problem))
            .or_else(|| by_word(problem))
            .or_else(|| self.by_text(problem))
            .or_else(|| self.by_status(problem))
    }

    fn by_code(&self, code: i64, problem: &Problem) -> Option<Reading> {
        Some(match code {
            // The signature is checked first, so the keys were right. Tokens of OAuth 1.0a do not expire.
            89 if self.oauth1 => Reading::plain(Reason::AccessRevoked),
            89 => Reading::refused(Refusal::expired_or_revoked()),
            // Also the answer to a wrong clock, which only the text shows.
            32 if problem.text.contains("timestamp") => Reading::undetermined(Cause::ClockSkew),
            // Token or app keys: if it is the keys, every account of the app gets it.
            32 | 215 => Reading::ambiguous(Reason::TokenInvalid),
            135 => Reading::undetermined(Cause::ClockSkew),
            326 => Reading::plain(Reason::AccountLocked),
            64 => Reading::plain(Reason::AccountSuspended),
            63 if self.is_own(problem) => Reading::plain(Reason::AccountSuspended),
            34 | 50 if self.is_own(problem) => Reading::ambiguous(Reason::AccountDeactivated),
            // About a looked-up user (in nextcloud/integration_twitter issue 25 it was temporary).
            34 | 50 | 63 => Reading::undetermined(Cause::UnexpectedAnswer),
            87 | 220 => Reading::plain(Reason::MissingPermission),
            93 => self.lacking(Capability::Inbox),
            261 => self.lacking(Capability::Publish),
            // The token works, but X's filter against automation stopped a post.
            226 => Reading {
                lost: vec![(Capability::Publish, Reason::AccountRestricted)],
                write: Some(WriteFact::Blocked {
                    reason: Reason::AccountRestricted,
                    lasts: Some(AUTOMATION_BLOCK),
                }),
                ..self.accepted()
            },
            code if CONTENT.contains(&code) => Reading::content(),
            68 | 251 => Reading::app_problem(AppProblem::VersionEnded),
            99 => Reading::app_problem(AppProblem::SecretRefused),
            416 => Reading::app_problem(AppProblem::AppSuspended),
            453 => Reading::app_problem(AppProblem::AccessLevel),
            // TLS is required.
            92 => Reading::app_problem(AppProblem::Unknown),
            88 | 161 | 185 | 205 | 344 | 420 | 429 => Reading::undetermined(Cause::RateLimited),
            130 | 131 => Reading::undetermined(Cause::ServerError),
            _ => return None,
        })
    }

    fn by_type(&self, kind: &str, problem: &Problem) -> Option<Reading> {
        Some(match kind {
            "user-suspended" if self.own || problem.about.is_none() || self.is_own(problem) => {
                Reading::plain(Reason::AccountSuspended)
            }
            "user-suspended" => Reading::undetermined(Cause::UnexpectedAnswer),
            "oauth1-permissions" => Reading::plain(Reason::MissingPermission),
            // An app's own bearer token was used in place of a user's.
            "unsupported-authentication"
                if parse::contains(&problem.text, "application-only is forbidden") =>
            {
                Reading::ambiguous(Reason::TokenInvalid)
            }
            "unsupported-authentication" => Reading::app_problem(AppProblem::Unknown),
            "app-suspended" => Reading::app_problem(AppProblem::AppSuspended),
            "client-forbidden" => Reading::app_problem(AppProblem::AccessLevel),
            "invalid-client" => Reading::app_problem(AppProblem::SecretRefused),
            // Also sent with the type `credits`.
            "spend-cap" => Reading::app_problem(AppProblem::SpendCap),
            "credits" | "credits-depleted" if problem.text.contains("spend cap") => {
                Reading::app_problem(AppProblem::SpendCap)
            }
            "credits" | "credits-depleted" => Reading::app_problem(AppProblem::OutOfCredit),
            // The account's own id was looked up.
            "resource-not-found"
                if problem.text.contains("could not find user") && !self.own && self.is_own(problem) =>
            {
                Reading::ambiguous(Reason::AccountDeactivated)
            }
            // The cap of the app. With 429, it is a limit that a probe can wait for.
            "usage-capped" if !self.own && matches!(problem.status, Some(402 | 403)) => {
                Reading::app_problem(AppProblem::SpendCap)
            }
            "usage-capped" | "rate-limit-exceeded" => Reading::undetermined(Cause::RateLimited),
            _ => return None,
        })
    }

    fn by_text(&self, problem: &Problem) -> Option<Reading> {
        let fits = |part: &str| problem.text.contains(part);
        if let Some((_, kind)) = TITLES.iter().find(|(part, _)| fits(part)) {
            return self.by_type(kind, problem);
        }
        if let Some((_, code)) = WORDINGS.iter().find(|(part, _)| fits(part)) {
            return self.by_code(*code, problem);
        }
        if CONTENT_TEXTS.iter().any(|part| fits(part)) {
            return Some(Reading::content());
        }
        // A refused write (an allowance, a spam filter, a paid feature): never a disconnection. Two open
        // products read it as a missing right; X also answers so where replies are restricted.
        let write =
            fits("not permitted to perform this action") || fits("not permitted to access this feature");
        write.then(|| Reading::undetermined(Cause::UnexpectedAnswer))
    }

    fn by_status(&self, problem: &Problem) -> Option<Reading> {
        let blank = matches!(problem.kind.as_str(), "" | "about:blank");
        let says = |word: &str| problem.title.eq_ignore_ascii_case(word);
        // The title decides where the status is missing or belongs to an enclosing success.
        let status = problem.status.filter(|s| *s >= 400);
        Some(match status {
            Some(401) if problem.kind == "about:blank" || says("unauthorized") => self.bare_refusal(),
            None if blank && says("unauthorized") => self.bare_refusal(),
            // The only 403 without a code that is known to mean a missing scope.
            Some(403) | None
                if blank && says("forbidden") && problem.detail.eq_ignore_ascii_case("forbidden") =>
            {
                Reading::plain(Reason::MissingPermission)
            }
            Some(402) => Reading::app_problem(AppProblem::OutOfCredit),
            Some(420 | 429) => Reading::undetermined(Cause::RateLimited),
            Some(500..) => Reading::undetermined(Cause::ServerError),
            _ => return None,
        })
    }

    /// OAuth 2.0: expired, revoked, deleted or banned. OAuth 1.0a: token, keys or clock.
    fn bare_refusal(&self) -> Reading {
        Reading::refused(if self.oauth1 {
            Refusal::ambiguous(Reason::TokenInvalid)
        } else {
            Refusal::expired_or_revoked()
        })
    }

    /// Whether an error about a looked-up user is about the token's own account.
    fn is_own(&self, problem: &Problem) -> bool {
        let configured = self.account.and_then(|a| a.external_id);
        match &problem.about {
            Some(id) => self.own || parse::same_identity(configured, std::slice::from_ref(id)) == Some(true),
            None => self.own,
        }
    }

    /// One capability lacks a permission. Only that one is lost if the account needs others, too.
    fn lacking(&self, capability: Capability) -> Reading {
        let needs = self.account.map(|a| a.needs).unwrap_or_default();
        if needs.contains(capability) && needs.iter().count() > 1 {
            Reading { lost: vec![(capability, Reason::MissingPermission)], ..self.accepted() }
        } else {
            Reading::plain(Reason::MissingPermission)
        }
    }

    fn accepted(&self) -> Reading {
        let access_expiry = if self.oauth1 { Expiry::Never } else { Expiry::Unknown };
        Reading { access_expiry, ..Reading::accepted() }
    }
}

/// The Ads API's codes.
fn by_word(problem: &Problem) -> Option<Reading> {
    Some(match problem.word.as_str() {
        "UNAUTHORIZED_ACCESS" if problem.status == Some(401) => Reading::ambiguous(Reason::TokenInvalid),
        "UNAUTHORIZED_CLIENT_APPLICATION" => Reading::app_problem(AppProblem::AccessLevel),
        "TOO_MANY_REQUESTS" => Reading::undetermined(Cause::RateLimited),
        "INTERNAL_ERROR" | "OVER_CAPACITY" | "SERVICE_UNAVAILABLE" => {
            Reading::undetermined(Cause::ServerError)
        }
        _ => return None,
    })
}

/// An answer that carries what was asked for.
fn success(asked: &Asked<'_>, answer: &Answer) -> Option<Reading> {
    if !answer.maybe_success() {
        return None;
    }
    let json = &answer.json;
    // v1.1 has no `data`.
    let user = if json["screen_name"].is_string() || json.is_array() { json } else { &json["data"] };
    let owner: Vec<String> = match user {
        // A user; posts have ids, too.
        Value::Object(fields)
            if asked.own || fields.contains_key("username") || fields.contains_key("screen_name") =>
        {
            ["id", "id_str", "username", "screen_name"]
                .iter()
                .filter_map(|name| parse::text(&user[*name]))
                .collect()
        }
        Value::Object(fields) if !fields.is_empty() && !is_problem(user) => Vec::new(),
        // v1.1 sends lists without `data`; an item with a message is an error.
        Value::Array(items) if items.first().is_some_and(|i| !json.is_array() || i["message"].is_null()) => {
            Vec::new()
        }
        // An empty list comes without `data`.
        _ if parse::integer(&json["meta"]["result_count"]) == Some(0) => {
            return Some(Reading::says(Says::Nothing));
        }
        _ => return None,
    };
    if parse::boolean(&user["suspended"]) == Some(true) {
        return Some(Reading::plain(Reason::AccountSuspended));
    }
    let mut reading = Reading { listed: standard::wrong_accounts(asked.grant, &owner), ..asked.accepted() };
    reading.user_id = owner.into_iter().next().filter(|_| asked.own);
    reading.facts.roles = parse::scopes(&user["permissions"]);
    reading.scopes = access_level(answer).filter(|_| asked.oauth1).map(|level| Scopes::new([level]));
    Some(reading)
}

/// What a token of OAuth 1.0a may do; other tokens are answered without it.
fn access_level(answer: &Answer) -> Option<String> {
    answer
        .header("x-access-level")
        .map(|level| level.trim().to_lowercase())
        .filter(|level| READ.contains(&level.as_str()))
}
