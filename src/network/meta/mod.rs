//! What Facebook, Instagram and Threads have in common: the Graph API's error envelope and table,
//! `debug_token`, lists of permissions and pages, rate-limit headers, batches.
//!
//! Answers are judged by their body, never by status or `type`: `debug_token` reports a dead token
//! under 200, Threads a missing permission under 500, and `OAuthException` stands on throttling,
//! too. Subcodes go before codes, codes before texts; texts are needed because Instagram often
//! sends no subcode. A code alone never condemns where it has several causes.
//!
//! Sources: Meta, "Handle Errors" and "Error Reference" (Graph API), "Debug Token", "Permissions
//! Reference", "Batch Requests", "Rate Limits", "Instagram Platform: Error Codes"; payloads in
//! public trackers and test suites: facebookarchive/php-graph-sdk, arsduo/koala, restfb/restfb,
//! snarfed/bridgy, gitroomhq/postiz-app, inovector/mixpost, csharp-sdk/facebook-csharp-sdk issue
//! 186.

mod facebook;
mod instagram;
mod threads;

pub(super) use facebook::Facebook;
pub(super) use instagram::Instagram;
pub(super) use threads::Threads;

use serde_json::Value;

use crate::model::{Cause, Expiry, Reason, Secret, percent_encode};
use crate::network::{
    Answer, Auth, Batch, Body, Budget, Call, CallInfo, Facts, Grant, List, Listed, Method, Param, Question,
    RateLimitStatus, Reading, Refusal, Reset, ResolvedApp, Says, Scopes, Seen, parse,
};

/// The app's own token: `id|secret`.
pub(super) fn app_token(app: &ResolvedApp) -> Option<Secret> {
    let secret = app.client_secret.as_ref().filter(|s| !s.is_empty() && !app.client_id.is_empty())?;
    Some(secret.prefixed(&format!("{}|", app.client_id)))
}

/// Asks under the configured version, proven by this token.
pub(super) fn ask(app: &ResolvedApp, call: &'static CallInfo, token: &Secret) -> Call {
    Call::new(call, &[&app.api_version]).bearer(token)
}

/// Whether the token's own account was asked about, at whichever of the three networks.
fn is_me(question: Question) -> bool {
    [&facebook::ME, &instagram::ME, &threads::ME].into_iter().any(|me| question.is(me))
}

/// An error in any of Meta's envelopes.
struct GraphError {
    code: Option<i64>,
    subcode: Option<i64>,
    /// Message and texts for people, in lower case.
    text: String,
    /// The `type`, in lower case.
    kind: String,
    transient: bool,
    /// It stands inside `data`, and so concerns the token that was inspected.
    inspected: bool,
}

impl GraphError {
    /// The error of an answer, if there is one.
    fn find(answer: &Answer) -> Option<Self> {
        Self::in_json(&answer.json).or_else(|| Self::in_text(answer))
    }

    fn in_json(json: &Value) -> Option<Self> {
        let inspected = json.get("data").and_then(|d| d.get("error")).filter(|e| e.is_object());
        if let Some(error) = inspected {
            return Some(Self { inspected: true, ..Self::from_object(error) });
        }
        match json.get("error") {
            Some(error) if error.get("error").is_some_and(Value::is_object) => {
                return error.get("error").map(Self::from_object);
            }
            Some(error @ Value::Object(_)) => return Some(Self::from_object(error)),
            Some(Value::String(text)) => return Some(Self::from_text(text)),
            _ => {}
        }
        // Instagram's old forms, and an error that a library has taken out of its envelope.
        let has =
            |value: &Value, names: &[&str]| names.iter().any(|n| value.get(n).is_some_and(|v| !v.is_null()));
        if let Some(meta) = json.get("meta").filter(|m| has(m, &["error_type", "error_message"])) {
            return Some(Self::from_object(meta));
        }
        // A post has a message and a type, too, but not this one.
        let exception = json["type"].as_str().is_some_and(|t| t.ends_with("Exception"));
        let bare = has(json, &["error_type", "error_message", "error_msg"])
            || (has(json, &["message"])
                && (exception || (has(json, &["code"]) && has(json, &["error_subcode", "fbtrace_id"]))));
        if bare {
            return Some(Self::from_object(json));
        }
        match json.as_array().map(Vec::as_slice) {
            Some([only]) => Self::in_json(only),
            _ => None,
        }
    }

    fn from_object(error: &Value) -> Self {
        let first = |names: &[&str]| names.iter().find_map(|n| error.get(n).filter(|v| !v.is_null()));
        let words = ["message", "error_message", "error_msg", "error_user_title", "error_user_msg"];
        let text: Vec<&str> = words.iter().filter_map(|w| error.get(w).and_then(Value::as_str)).collect();
        let mut found = Self::from_text(&text.join(" "));
        let code = first(&["code", "error_code"]).and_then(parse::integer);
        // Beside `error_type` stands an HTTP status, not a code of the Graph API.
        let foreign =
            error.get("error_type").is_some() && code.is_some_and(|c| (400..=599).contains(&c) && c != 429);
        found.code = code.filter(|_| !foreign).or(found.code);
        found.subcode = first(&["error_subcode", "subcode"]).and_then(parse::integer).filter(|s| *s != 0);
        found.kind =
            first(&["type", "error_type"]).and_then(Value::as_str).unwrap_or_default().to_lowercase();
        found.transient = first(&["is_transient"]).and_then(parse::boolean).unwrap_or(false);
        found
    }

    /// From a message alone, whose code may stand in front: `(#10) …`.
    fn from_text(text: &str) -> Self {
        let text = text.replace(['\u{2019}', '\u{2018}'], "'").to_lowercase();
        let code = text
            .split_once("(#")
            .and_then(|(_, rest)| rest.split_once(')'))
            .and_then(|(code, _)| code.trim().parse().ok());
        Self { code, subcode: None, text, kind: String::new(), transient: false, inspected: false }
    }

    /// From an answer that is a bare sentence, or has none but in its header
    /// (`WWW-Authenticate: OAuth "Facebook Platform" "invalid_token" "…"`).
    fn in_text(answer: &Answer) -> Option<Self> {
        /// Longer than any sentence of Meta's: a page.
        const SENTENCE: usize = 1000;
        if !answer.json.is_null() {
            return None;
        }
        let text = answer.text.trim();
        if text.is_empty() {
            let header = answer.header("www-authenticate").filter(|h| h.contains("Facebook Platform"))?;
            return Some(Self {
                kind: if header.contains("\"invalid_token\"") { "invalid_token" } else { "" }.to_owned(),
                ..Self::from_text(header)
            });
        }
        if text.starts_with(['<', '{', '[', '"']) {
            // Facebook's own page of an outage, which comes with 400, too.
            let outage = text.starts_with('<')
                && text.contains("Sorry, something went wrong")
                && answer.status != Some(429);
            return outage.then(|| Self { transient: true, ..Self::from_text("") });
        }
        // Libraries put words of their own before the body.
        let body = text.find('{').zip(text.rfind('}')).and_then(|(start, end)| text.get(start..=end));
        match body.map(serde_json::from_str::<Value>) {
            Some(Ok(json)) => Self::in_json(&json),
            Some(Err(_)) => None,
            None => (text.len() < SENTENCE).then(|| Self::from_text(text)),
        }
    }

    fn says(&self, part: &str) -> bool {
        self.text.contains(part)
    }

    fn says_any(&self, parts: &[&str]) -> bool {
        parts.iter().any(|p| self.says(p))
    }
}

/// Sentences about the app or about how it asks: no account is to blame.
const APP_TEXTS: &[&str] = &[
    "api access blocked",
    "api access deactivated",
    "api access disabled",
    "application has been deleted",
    "error validating client secret",
    "invalid appsecret_proof",
    "require an appsecret_proof",
    "app secret proof",
    "must provide an app access token",
    "did not match the viewing app",
    "invalid platform app",
    "invalid client_id",
    "invalid client secret",
    "invalid app id",
    "match a valid application",
    "app not active",
    "app is not active",
    "application is not active",
    "insufficient developer role",
    "disabled for non-active",
    "provide valid app id",
    "an access token is required to request this resource",
    "missing client_id or access_token",
    "unknown path components",
];

/// Sentences about throttling, for answers without a code.
const THROTTLE_TEXTS: &[&str] = &[
    "request limit reached",
    "request limited reached",
    "too many calls",
    "too many requests",
    "rate limit",
    "maximum number of requests",
];

/// Sentences about an outage, for answers without a code.
const OUTAGE_TEXTS: &[&str] = &[
    "an unknown error",
    "unexpected error has occurred",
    "service temporarily unavailable",
    "unknown error occurred",
];

/// How a sentence is to be taken.
#[derive(Clone, Copy)]
enum Weight {
    /// It names the cause.
    Plain,
    /// It can have other causes.
    Doubtful,
    /// It names the cause and concerns the account that was asked about.
    PlainOfAccount,
    /// It can have other causes and concerns the account that was asked about.
    DoubtfulOfAccount,
}

use Weight::{Doubtful, DoubtfulOfAccount, Plain, PlainOfAccount};

/// A refusal of this weight.
fn refuse(reason: Reason, weight: Weight) -> Says {
    Says::Refused(match weight {
        Plain => Refusal::plain(reason),
        Doubtful => Refusal::ambiguous(reason),
        PlainOfAccount => Refusal::plain(reason).of_account(),
        DoubtfulOfAccount => Refusal::ambiguous(reason).of_account(),
    })
}

/// Subcodes that tell the cause whatever the code. 458 to 467, 490 and 492 come with 190 and 102,
/// rarely with 200; the seven-digit ones with writes.
const SUBCODES: &[(i64, Reason, Weight)] = &[
    (458, Reason::AccessRevoked, Plain),
    (459, Reason::SecurityCheckpoint, Plain),
    (460, Reason::PasswordChanged, Plain),
    (461, Reason::TokenInvalid, Doubtful),
    (462, Reason::TokenInvalid, Doubtful),
    (463, Reason::TokenExpired, Plain),
    (464, Reason::AccountUnconfirmed, Plain),
    (465, Reason::TokenInvalid, Doubtful),
    (466, Reason::AccessRevoked, Plain),
    (467, Reason::TokenInvalid, Doubtful),
    (468, Reason::TokenInvalid, Doubtful),
    (490, Reason::SecurityCheckpoint, Plain),
    (492, Reason::NotAdmin, PlainOfAccount),
    // Named ESC_APP_INACTIVE in Meta's SDK for Android.
    (493, Reason::DataAccessExpired, Plain),
    (2_069_032, Reason::WrongTokenType, PlainOfAccount),
    (1_404_006, Reason::SecurityCheckpoint, Plain),
    (1_404_078, Reason::SecurityCheckpoint, PlainOfAccount),
    (4_854_002, Reason::SecurityCheckpoint, PlainOfAccount),
    (1_404_112, Reason::AccountLocked, Plain),
    (2_207_050, Reason::AccountLocked, PlainOfAccount),
];

/// Sentences that tell the cause, in lower case, the more telling first.
const TEXTS: &[(&str, Reason, Weight)] = &[
    ("not an instagram business", Reason::UnsupportedAccountType, PlainOfAccount),
    ("user access token is not supported", Reason::WrongTokenType, PlainOfAccount),
    ("page access token is required", Reason::WrongTokenType, PlainOfAccount),
    ("must be called with a page access token", Reason::WrongTokenType, PlainOfAccount),
    ("user access token is required", Reason::WrongTokenType, PlainOfAccount),
    ("nonexisting field (accounts)", Reason::WrongTokenType, PlainOfAccount),
    ("requires a page access token", Reason::WrongTokenType, PlainOfAccount),
    ("posted to a page as the page itself", Reason::WrongTokenType, PlainOfAccount),
    // One log blames a changed password for this sentence without its subcode.
    ("must be an administrator", Reason::NotAdmin, DoubtfulOfAccount),
    ("not have sufficient administrative permission", Reason::MissingRole, PlainOfAccount),
    ("does not have an appropriate role on the page", Reason::MissingRole, PlainOfAccount),
    ("must be granted before impersonating", Reason::MissingPermission, PlainOfAccount),
    ("belongs to a page that has been deleted", Reason::PageUnavailable, PlainOfAccount),
    ("belongs to a page that is not accessible", Reason::PageUnavailable, PlainOfAccount),
    ("changed their password", Reason::PasswordChanged, Plain),
    ("changed the password", Reason::PasswordChanged, Plain),
    ("changed the session for security", Reason::PasswordChanged, Plain),
    ("does not match current stored session", Reason::PasswordChanged, Plain),
    ("hasn't engaged the app in longer than 90 days", Reason::DataAccessExpired, Plain),
    ("session has expired", Reason::TokenExpired, Plain),
    ("session expired", Reason::TokenExpired, Plain),
    ("access token has expired", Reason::TokenExpired, Plain),
    ("passed its expiration time", Reason::TokenExpired, Plain),
    ("invalidated explicitly", Reason::AccessRevoked, Plain),
    ("has not authorized application", Reason::AccessRevoked, Plain),
    ("revoked_access_token", Reason::AccessRevoked, Plain),
    ("not a confirmed user", Reason::AccountUnconfirmed, Plain),
    ("cannot access the app till you log in", Reason::SecurityCheckpoint, Plain),
    ("checkpoint", Reason::SecurityCheckpoint, Plain),
    ("a security check is required", Reason::SecurityCheckpoint, Plain),
    ("page publishing authorization", Reason::SecurityCheckpoint, PlainOfAccount),
    ("confirm your identity", Reason::SecurityCheckpoint, PlainOfAccount),
    ("user access is restricted", Reason::AccountLocked, PlainOfAccount),
    ("because the user logged out", Reason::TokenInvalid, Doubtful),
    ("active access token must be used", Reason::TokenInvalid, Doubtful),
    ("cannot get application info", Reason::TokenInvalid, Doubtful),
    ("does not belong to system user", Reason::TokenInvalid, Doubtful),
    ("cannot parse access token", Reason::TokenInvalid, Doubtful),
    ("debug only access token", Reason::TokenInvalid, Doubtful),
    ("access token signature", Reason::TokenInvalid, Doubtful),
    ("could not be decrypted", Reason::TokenInvalid, Doubtful),
    ("malformed access token", Reason::TokenInvalid, Doubtful),
    ("is malformed", Reason::TokenInvalid, Doubtful),
    ("bad signature", Reason::TokenInvalid, Doubtful),
];

/// Refusals that are about one message, its recipient or one post, not about the login, although
/// they carry codes of missing permissions: somebody who has not written lately or has not
/// consented, a post that too few people saw.
const ELSEWHERE_SUBCODES: &[i64] =
    &[2_018_048, 2_018_065, 2_018_108, 2_018_109, 2_018_278, 2_534_022, 2_534_048];
const ELSEWHERE_TEXTS: &[&str] = &[
    "allowed window",
    "user consent is required",
    "isn't receiving messages",
    "isn't available right now",
    "not enough viewers",
];

/// What an error means; none for one that nobody has seen.
fn judge(error: &GraphError, about_other: bool) -> Option<Says> {
    let undetermined = |cause| Some(Says::Undetermined(cause));
    if error.says_any(APP_TEXTS) {
        return undetermined(Cause::AppMisconfigured);
    }
    if throttled(error) {
        return undetermined(Cause::RateLimited);
    }
    // Transient whatever else they say; `is_transient` itself is sometimes wrong in both directions.
    if matches!(error.code, Some(-2 | -1 | 1 | 2)) || (error.code.is_none() && error.says_any(OUTAGE_TEXTS)) {
        return undetermined(Cause::ServerError);
    }
    let subcode = error.subcode.or_else(|| error.code.filter(|c| (458..=493).contains(c)));
    let told = SUBCODES.iter().find(|(s, ..)| Some(*s) == subcode);
    // "May be due to a system error" (467): then the flag decides.
    if let Some((_, reason, weight)) =
        told.filter(|(.., weight)| !(error.transient && matches!(weight, Doubtful)))
    {
        return Some(refuse(*reason, *weight));
    }
    if error.subcode.is_some_and(|s| ELSEWHERE_SUBCODES.contains(&s)) || error.says_any(ELSEWHERE_TEXTS) {
        return undetermined(Cause::UnexpectedAnswer);
    }
    if error.transient && error.code != Some(368) {
        return undetermined(Cause::ServerError);
    }
    if let Some((_, reason, weight)) = TEXTS.iter().find(|(text, ..)| error.says(text)) {
        // With code 101 the same sentence speaks of the app's key.
        return Some(match error.code {
            Some(101) => Says::Undetermined(Cause::AppMisconfigured),
            _ => refuse(*reason, *weight),
        });
    }
    match error.code {
        // No subcode: "expired, revoked, or otherwise invalid" (Meta, "Handle Errors").
        Some(190 | 102 | 452) => Some(Says::Refused(Refusal::expired_or_revoked())),
        Some(450) => Some(refuse(Reason::TokenExpired, Plain)),
        Some(101 | 104) => undetermined(Cause::AppMisconfigured),
        Some(412) => Some(refuse(Reason::AccessRevoked, Plain)),
        Some(21) => Some(refuse(Reason::PageUnavailable, PlainOfAccount)),
        Some(803) => Some(refuse(Reason::PageUnavailable, DoubtfulOfAccount)),
        Some(25) => Some(refuse(Reason::AccountLocked, PlainOfAccount)),
        // "Temporarily blocked for policies violations: wait and retry".
        Some(368) => undetermined(Cause::RateLimited),
        // The capability is the app's, and a wrong endpoint is answered alike.
        Some(3) => Some(refuse(Reason::MissingPermission, DoubtfulOfAccount)),
        Some(10 | 200..=299) => Some(refuse(Reason::MissingPermission, PlainOfAccount)),
        Some(100) => Some(invalid_parameter(error, about_other)),
        Some(2500) => undetermined(Cause::UnexpectedAnswer),
        Some(_) => None,
        None => by_type(error),
    }
}

/// Too many calls, of whatever kind; also posts that come too fast or too often.
fn throttled(error: &GraphError) -> bool {
    matches!(error.code, Some(4 | 9 | 17 | 32 | 341 | 429 | 613 | 80_000..=80_014))
        || matches!(error.subcode, Some(2_207_051 | 2_207_042))
        || error.says("action is blocked")
        // A batch of more than 50 has "too many requests" in one message.
        || (error.code.is_none() && error.kind != "graphbatchexception" && error.says_any(THROTTLE_TEXTS))
}

/// Code 100 means a wrong parameter, a missing permission, or an object out of reach.
fn invalid_parameter(error: &GraphError, about_other: bool) -> Says {
    if error.says("missing permission or reviewable feature") {
        return refuse(Reason::MissingPermission, PlainOfAccount);
    }
    let unreachable = error.subcode == Some(33)
        || error.says("does not exist, cannot be loaded due to missing permissions");
    if unreachable {
        // The object can be a post or a comment that was deleted.
        let other = about_other || error.says("unsupported delete request");
        return if other {
            Says::Undetermined(Cause::UnexpectedAnswer)
        } else {
            refuse(Reason::PageUnavailable, DoubtfulOfAccount)
        };
    }
    // Instagram's way of saying that the app may not touch this account: a tester's invitation that was
    // not accepted, advanced access that the app lacks. Elsewhere, and of other methods, the same
    // words mean a wrong path or field.
    let untouchable = error.kind.starts_with("igapi") && error.says("unsupported request - method type: get");
    let permission = untouchable
        || error.says_any(&["missing permission", "no permission"])
        || (error.says("permission") && error.says_any(&["requires", "does not have"]))
        || error.subcode == Some(10);
    if permission {
        refuse(Reason::MissingPermission, PlainOfAccount)
    } else {
        Says::Undetermined(Cause::UnexpectedAnswer)
    }
}

/// Instagram's old errors have a telling type and no code.
fn by_type(error: &GraphError) -> Option<Says> {
    match error.kind.as_str() {
        "oauthaccesstokenexception" | "oauthaccesstokenerror" | "invalid_token" => {
            Some(Says::Refused(Refusal::expired_or_revoked()))
        }
        "oauthpermissionsexception" | "oauthpermissionexception" => {
            Some(refuse(Reason::MissingPermission, PlainOfAccount))
        }
        "oauthratelimitexception" | "oauthratelimiterror" => Some(Says::Undetermined(Cause::RateLimited)),
        _ if error.says("access_token provided is invalid") => {
            Some(Says::Refused(Refusal::expired_or_revoked()))
        }
        "oauthparameterexception" | "oauthclientexception" => {
            Some(Says::Undetermined(Cause::AppMisconfigured))
        }
        _ if error.says("does not have permission for this action") => {
            Some(refuse(Reason::MissingPermission, PlainOfAccount))
        }
        _ if error.says("hasn't authorized the application") => {
            Some(refuse(Reason::MissingPermission, PlainOfAccount))
        }
        _ if error.says("object with id") => {
            Some(invalid_parameter(error, false)).filter(|s| matches!(s, Says::Refused(_)))
        }
        _ => None,
    }
}

/// Whether an error names another object than the account: a deleted comment, say.
fn names_another_object(grant: &Grant<'_>, question: Question, error: &GraphError) -> bool {
    if question.call.is_some() {
        return false;
    }
    let configured = grant.account(question).and_then(|a| a.external_id);
    let named = error
        .text
        .split_once("object with id '")
        .and_then(|(_, rest)| rest.split_once('\''))
        .map(|(id, _)| id);
    configured.zip(named).is_some_and(|(configured, named)| {
        named.bytes().all(|b| b.is_ascii_digit() || b == b'_')
            && parse::same_identity(Some(configured), &[named.to_owned()]) != Some(true)
    })
}

/// Reads any answer of the Graph API, by its shape.
pub(super) fn read(grant: &Grant<'_>, seen: &[Seen], question: Question, answer: &Answer) -> Option<Reading> {
    if let Some(items) = batch_items(&answer.json) {
        return read_batch(grant, seen, question.about, &items);
    }
    if let Some(error) = GraphError::find(answer) {
        let says = judge(&error, names_another_object(grant, question, &error));
        if error.inspected {
            let data = &answer.json["data"];
            return match (parse::boolean(&data["is_valid"]), says) {
                (Some(true), _) => None,
                (Some(false), None) => Some(inspection(data, Says::Refused(Refusal::expired_or_revoked()))),
                (_, says) => says.map(|says| inspection(data, says)),
            };
        }
        // A bare error to `debug_token` concerns the token that asked: the app's, unless a token inspects
        // itself. A probe without a secret does that; of an answer that was handed in nobody knows.
        let inspecting = question.is(&facebook::DEBUG_TOKEN) || question.is(&threads::DEBUG_TOKEN);
        let asked_by_app = inspecting && (app_token(grant.app).is_some() || grant.tokens.access.is_empty());
        return says.map(|says| match says {
            Says::Refused(_) if asked_by_app => Reading::undetermined(Cause::AppMisconfigured),
            says => Reading::says(says),
        });
    }
    if !answer.maybe_success() {
        return None;
    }
    let data = answer.json.get("data");
    match data {
        Some(data @ Value::Object(_)) => inspected(grant, question, data),
        Some(Value::Array(items)) => read_list(grant, seen, question, items, answer.json.get("paging")),
        _ => node(grant, question, &answer.json),
    }
}

/// What `debug_token` says of a token besides its being valid or not.
fn inspection(data: &Value, says: Says) -> Reading {
    // 0 means "no end" on a live token only: it stays on dead ones.
    let end = |name: &str| match parse::expiry_or_never(&data[name]) {
        Expiry::Never if says != Says::Accepted => Expiry::Unknown,
        expiry => expiry,
    };
    Reading {
        access_expiry: end("expires_at"),
        data_access_expiry: end("data_access_expires_at"),
        issued: parse::instant(&data["issued_at"]),
        ..Reading::says(says)
    }
}

/// `debug_token` without an error. `is_valid` goes before every date.
fn inspected(grant: &Grant<'_>, question: Question, data: &Value) -> Option<Reading> {
    if !parse::boolean(data.get("is_valid")?)? {
        return Some(inspection(data, Says::Refused(Refusal::expired_or_revoked())));
    }
    let app_id = parse::text(&data["app_id"]);
    if app_id.is_some_and(|id| !grant.app.client_id.is_empty() && id != grant.app.client_id) {
        return Some(Reading::undetermined(Cause::AppMisconfigured));
    }
    let mut reading = inspection(data, Says::Accepted);
    reading.scopes = parse::scopes(&data["scopes"])
        .map(|granted| Scopes { granted, only_for: granular(&data["granular_scopes"]) });
    let kind = data["type"].as_str().unwrap_or_default();
    if kind.eq_ignore_ascii_case("app") {
        reading.says = refuse(Reason::WrongTokenType, Plain);
    }
    if kind.eq_ignore_ascii_case("page") {
        // A page's token lists the page that it is for; an empty id where that is not told.
        let page = parse::text(&data["profile_id"]).unwrap_or_default();
        let other = grant
            .account(question)
            .filter(|a| a.network.name() == "facebook" && a.kind == "page")
            .is_some_and(|a| parse::same_identity(a.external_id, std::slice::from_ref(&page)) == Some(false));
        if other {
            reading.says = refuse(Reason::WrongAccount, PlainOfAccount);
        }
        reading.listed.push(Listed::new(page, Facts::default()));
    }
    Some(reading)
}

/// Scopes that hold for certain objects only. Those of ads and businesses name ad accounts and
/// businesses, which are not what a connection is configured by.
fn granular(value: &Value) -> Vec<(String, Vec<String>)> {
    let entries = value.as_array().map(Vec::as_slice).unwrap_or_default();
    entries
        .iter()
        .filter_map(|entry| {
            let scope =
                entry["scope"].as_str().filter(|s| !s.contains("ads") && !s.starts_with("business_"))?;
            let ids: Vec<String> = entry["target_ids"].as_array()?.iter().filter_map(parse::text).collect();
            (!ids.is_empty()).then(|| (scope.to_owned(), ids))
        })
        .collect()
}

/// A list under `data`: permissions, pages, or anything else that the token was allowed to read.
fn read_list(
    grant: &Grant<'_>,
    seen: &[Seen],
    question: Question,
    items: &[Value],
    paging: Option<&Value>,
) -> Option<Reading> {
    let any = |names: &[&str]| items.iter().any(|item| names.iter().any(|n| item.get(n).is_some()));
    if items.is_empty() {
        // "No page was ticked", "no permission for any", "nothing posted yet": it proves nothing.
        return Some(Reading { list: Some(List::Complete), ..Reading::default() });
    }
    if any(&["permission"]) {
        return Some(permissions(seen, items));
    }
    if any(&["account_type", "user_id"]) || (items.len() == 1 && is_me(question)) {
        return node(grant, question, &items[0]);
    }
    if question.is(&facebook::ACCOUNTS)
        || any(&["tasks", "perms", "access_token", "instagram_business_account"])
    {
        return Some(pages(grant, question, items, paging));
    }
    items.iter().any(Value::is_object).then(Reading::accepted)
}

/// `/me/permissions`: what the person granted and has not taken back. The token itself can hold
/// less.
fn permissions(seen: &[Seen], items: &[Value]) -> Reading {
    let told = seen.iter().rev().find_map(|s| s.reading.scopes.as_ref());
    let granted = items
        .iter()
        .filter(|item| item["status"].as_str().is_none_or(|s| s.eq_ignore_ascii_case("granted")))
        .filter_map(|item| parse::text(&item["permission"]))
        .filter(|scope| told.is_none_or(|t| t.granted.contains(scope)))
        .collect();
    let only_for = told.map(|t| t.only_for.clone()).unwrap_or_default();
    Reading { scopes: Some(Scopes { granted, only_for }), ..Reading::accepted() }
}

/// A page's tasks; none where they are not told, which is not the same as having none.
fn tasks(page: &Value) -> Option<Vec<String>> {
    page["tasks"].as_array().map(|tasks| tasks.iter().filter_map(parse::text).collect())
}

/// Not published: the one restriction of a page that can be read.
fn unpublished(node: &Value) -> Option<Refusal> {
    (parse::boolean(&node["is_published"]) == Some(false))
        .then(|| Refusal::plain(Reason::PageRestricted).of_account())
}

/// `/me/accounts`: the pages of a login, with their tokens, and the Instagram accounts linked to
/// them.
fn pages(grant: &Grant<'_>, question: Question, items: &[Value], paging: Option<&Value>) -> Reading {
    let mut reading = Reading::accepted();
    let mut linked = Vec::new();
    for page in items {
        let Some(id) = parse::text(&page["id"]) else { continue };
        let token = page["access_token"].as_str().filter(|t| !t.is_empty()).map(Secret::new);
        let facts = Facts { roles: tasks(page), token, ..Facts::default() };
        if let Some(account) = parse::text(&page["instagram_business_account"]["id"]) {
            linked.push(Listed::new(account, Facts { parent: Some(id.clone()), ..facts.clone() }));
        }
        reading.listed.push(Listed::new(id, Facts { refused: unpublished(page), ..facts }));
    }
    if let Some(account) = grant.account(question) {
        // Read alone, the list speaks of one connection: of the configured one, or of whichever is in it.
        let listed = if account.network.name() == "instagram" { &linked } else { &reading.listed };
        match account.external_id {
            Some(id) if listed.iter().any(|l| l.external_id == id) => {}
            None if !listed.is_empty() => reading.facts = common(listed),
            _ => reading.says = Says::Nothing,
        }
    }
    reading.listed.extend(linked);
    let after = paging
        .filter(|p| p.get("next").is_some_and(Value::is_string))
        .and_then(|p| p["cursors"]["after"].as_str());
    reading.list = Some(after.map_or(List::Complete, |after| List::ContinuesAt(after.to_owned())));
    reading
}

/// What holds for each of these accounts: a role counts if any of them has it, a refusal if all of
/// them have it.
fn common(listed: &[Listed]) -> Facts {
    let roles: Option<Vec<Vec<String>>> = listed.iter().map(|l| l.facts.roles.clone()).collect();
    let refused = listed
        .iter()
        .all(|l| l.facts.refused.is_some())
        .then(|| listed.first().and_then(|l| l.facts.refused))
        .flatten();
    Facts { roles: roles.map(|r| r.concat()), refused, ..Facts::default() }
}

/// One object that the token was allowed to read, or the receipt for one that it wrote.
fn node(grant: &Grant<'_>, question: Question, node: &Value) -> Option<Reading> {
    if let Some(token) = node["access_token"].as_str().filter(|_| node.get("id").is_none()) {
        // A token response. An app's token says nothing about the person's.
        let scopes = ["permissions", "scope"].iter().find_map(|name| parse::scopes(&node[*name]));
        return Some(if token.contains('|') {
            Reading::default()
        } else {
            Reading { scopes: scopes.map(Scopes::new), ..Reading::accepted() }
        });
    }
    let told: Vec<String> = ["user_id", "id"].iter().filter_map(|name| parse::text(&node[*name])).collect();
    let receipt =
        ["post_id", "video_id", "message_id"].iter().any(|name| parse::text(&node[*name]).is_some());
    if told.is_empty() && !receipt && parse::boolean(&node["success"]) != Some(true) {
        return None;
    }
    let mut reading = Reading::accepted();
    if ["personal", "consumer"]
        .iter()
        .any(|kind| node["account_type"].as_str().is_some_and(|t| t.eq_ignore_ascii_case(kind)))
    {
        reading.says = refuse(Reason::UnsupportedAccountType, PlainOfAccount);
    } else if is_somebody_else(grant, question, node, &told) {
        reading.says = refuse(Reason::WrongAccount, Plain);
    }
    let token = node["access_token"].as_str().filter(|t| !t.is_empty()).map(Secret::new);
    reading.facts = Facts { roles: tasks(node), refused: unpublished(node), token, ..Facts::default() };
    Some(reading)
}

/// Whether the token belongs to another account than the configured one. Only where `me` *is* the
/// account: at Instagram's own login (whose `id` is the app's alias, so that only `user_id` counts)
/// and at Threads.
fn is_somebody_else(grant: &Grant<'_>, question: Question, node: &Value, told: &[String]) -> bool {
    let only = grant.accounts.first().filter(|_| question.about.is_none() && grant.accounts.len() == 1);
    let Some(account) = grant.account(question).or(only) else {
        return false;
    };
    let own = match account.network.name() {
        "instagram" => {
            grant.style.api == "instagram_login"
                && node.get("user_id").is_some()
                && node.get("username").is_some()
        }
        "threads" => node.get("username").is_some(),
        _ => false,
    };
    own && parse::same_identity(account.external_id, told) == Some(false)
}

/// What the headers of any Meta host say about rate limits.
pub(super) fn limits(answer: &Answer) -> Vec<RateLimitStatus> {
    let header = |name: &str| answer.header(name).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let mut limits = Vec::new();
    let mut push = |bucket, budget, used: Option<f64>, reset: Option<Reset>| {
        limits.extend(RateLimitStatus::told(bucket, budget, used.map(|percent| percent / 100.0), reset));
    };
    if let Some(usage) = header("x-app-usage") {
        push("app_usage", Budget::App, highest(&usage), None);
    }
    if let Some(usage) = header("x-page-usage") {
        push("page_usage", Budget::Grant, highest(&usage), None);
    }
    if let Some(usage) = header("x-business-use-case-usage") {
        let entries =
            || usage.as_object().into_iter().flat_map(|o| o.values()).filter_map(Value::as_array).flatten();
        let used =
            entries().filter_map(highest).fold(None, |max: Option<f64>, v| Some(max.map_or(v, |m| m.max(v))));
        let minutes = entries()
            .filter_map(|e| parse::integer(&e["estimated_time_to_regain_access"]))
            .max()
            .filter(|m| *m > 0);
        let reset = minutes.and_then(|m| u32::try_from(m.saturating_mul(60)).ok()).map(Reset::After);
        push("business_use_case_usage", Budget::Grant, used, reset);
    }
    if let Some(usage) = header("x-ad-account-usage") {
        let seconds = parse::integer(&usage["reset_time_duration"])
            .and_then(|s| u32::try_from(s).ok())
            .filter(|s| *s > 0);
        push("ad_account_usage", Budget::Grant, number(&usage["acc_id_util_pct"]), seconds.map(Reset::After));
    }
    limits
}

/// The highest of the three percentages that Meta counts.
fn highest(usage: &Value) -> Option<f64> {
    let counted =
        ["call_count", "total_time", "total_cputime"].iter().filter_map(|name| number(&usage[*name]));
    counted.fold(None, |max, v| Some(max.map_or(v, |m: f64| m.max(v))))
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|n: &f64| n.is_finite())
}

static BATCH_CALL: CallInfo = CallInfo {
    name: "batch",
    method: Method::Post,
    url: "https://graph.facebook.com/{version}/",
    tells: "what each call in it tells",
    cost: "as much as the calls in it",
};

/// How Meta takes many questions in one call.
pub(super) static BATCH: Batch = Batch { max: 50, pack, unpack };

/// Makes one call of many. Each item carries its own token; the app's token, or the first item's,
/// stands for the rest.
fn pack(app: &ResolvedApp, calls: &[&Call]) -> Call {
    // What is no secret is collected until one comes.
    let mut text = String::from("[");
    let mut parts = Vec::new();
    for (i, call) in calls.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        // Path and parameters are percent-encoded, and so need no escaping in JSON.
        for part in [
            comma,
            "{\"method\":\"",
            call.info.method.as_str(),
            "\",\"relative_url\":\"",
            call.path.trim_start_matches('/'),
        ] {
            text.push_str(part);
        }
        let mut separator = "?";
        let token = bearer(call).map(|token| ("access_token", Param::from(token)));
        for (name, value) in call
            .query
            .iter()
            .map(|(name, value)| (*name, value))
            .chain(token.as_ref().map(|(name, value)| (*name, value)))
        {
            for part in [separator, name, "="] {
                text.push_str(part);
            }
            match value {
                Param::Text(value) => text.push_str(&percent_encode(value)),
                Param::Secret(value) => {
                    parts.push(Secret::new(std::mem::take(&mut text)));
                    parts.push(value.percent_encoded());
                }
            }
            separator = "&";
        }
        text.push_str("\"}");
    }
    text.push(']');
    parts.push(Secret::new(text));
    let mut form: Vec<(&'static str, Param)> = Vec::new();
    if let Some(token) = app_token(app).or_else(|| calls.iter().find_map(|call| bearer(call)).cloned()) {
        form.push(("access_token", token.into()));
    }
    form.push(("include_headers", "true".into()));
    form.push(("batch", Secret::concat(&parts).into()));
    let host = calls.first().map_or("https://graph.facebook.com".into(), |c| c.host.clone());
    Call::at(&BATCH_CALL, host, format!("/{}/", percent_encode(&app.api_version))).body(Body::Form(form))
}

fn bearer(call: &Call) -> Option<&Secret> {
    match &call.auth {
        Auth::Bearer(token) => Some(token),
        _ => None,
    }
}

/// Makes many answers of one. An item that Meta had no time for is null.
fn unpack(answer: &Answer, count: usize) -> Option<Vec<Option<Answer>>> {
    let items = answer.json.as_array()?;
    Some((0..count).map(|i| items.get(i).and_then(batch_item)).collect())
}

fn batch_item(item: &Value) -> Option<Answer> {
    let status = u16::try_from(parse::integer(item.get("code")?)?).ok();
    let mut headers = http::HeaderMap::new();
    for header in item["headers"].as_array().into_iter().flatten() {
        let name = header["name"].as_str().and_then(|n| http::HeaderName::try_from(n).ok());
        let value = parse::text(&header["value"]).and_then(|v| http::HeaderValue::try_from(v).ok());
        if let (Some(name), Some(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    match item.get("body")? {
        Value::String(text) => Some(Answer::new(status, headers, text.as_bytes())),
        Value::Null => None,
        json => Some(Answer { status, headers, json: json.clone(), text: String::new() }),
    }
}

/// The answers inside a batch's answer that was handed in whole, or inside one item of it.
fn batch_items(json: &Value) -> Option<Vec<Answer>> {
    let is_item = |v: &Value| v.get("code").is_some() && v.get("body").is_some();
    match json {
        Value::Array(items) if items.iter().any(is_item) => {
            Some(items.iter().filter_map(batch_item).collect())
        }
        item if is_item(item) => batch_item(item).map(|answer| vec![answer]),
        _ => None,
    }
}

/// The weightiest of a batch's answers: a refusal, then what could not be told, then the rest.
fn read_batch(grant: &Grant<'_>, seen: &[Seen], about: Option<usize>, items: &[Answer]) -> Option<Reading> {
    let weight = |reading: &Reading| match reading.says {
        Says::Refused(_) => 0,
        Says::Undetermined(_) => 1,
        Says::Accepted => 2,
        Says::Nothing => 3,
    };
    // Items are read without a batch inside a batch.
    let readings = items
        .iter()
        .filter(|a| batch_items(&a.json).is_none())
        .filter_map(|a| read(grant, seen, Question { call: None, about }, a));
    readings.min_by_key(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[(&'static str, &'static str)], body: &str) -> Answer {
        let map = headers
            .iter()
            .map(|(n, v)| (http::HeaderName::from_static(n), http::HeaderValue::from_static(v)))
            .collect();
        Answer::new(Some(200), map, body.as_bytes())
    }

    #[test]
    fn rate_limits_are_read_from_every_header() {
        let limits = limits(&answer(
            &[
                ("x-app-usage", r#"{"call_count":28,"total_time":25,"total_cputime":"31"}"#),
                ("x-page-usage", "not json"),
                (
                    "x-business-use-case-usage",
                    r#"{"1":[{"type":"pages","call_count":10,"estimated_time_to_regain_access":0}],"2":[{"type":"instagram","total_time":99,"estimated_time_to_regain_access":5}]}"#,
                ),
                ("x-ad-account-usage", r#"{"acc_id_util_pct":9.5,"reset_time_duration":100}"#),
            ],
            "",
        ));
        let limit = |bucket, budget, used, reset| RateLimitStatus { bucket, budget, used: Some(used), reset };
        assert_eq!(
            limits,
            [
                limit("app_usage", Budget::App, 0.31, None),
                limit("business_use_case_usage", Budget::Grant, 0.99, Some(Reset::After(300))),
                limit("ad_account_usage", Budget::Grant, 0.095, Some(Reset::After(100))),
            ]
        );
    }

    #[test]
    fn batches_come_apart_in_order() {
        let body = r#"[{"code":200,"headers":[{"name":"x-app-usage","value":"{\"call_count\":5}"}],"body":"{\"id\":\"1\"}"},null,{"code":"400","body":{"error":{}}}]"#;
        let items = unpack(&answer(&[], body), 4).unwrap_or_default();
        let statuses: Vec<Option<u16>> = items.iter().map(|i| i.as_ref().and_then(|a| a.status)).collect();
        assert_eq!(statuses, [Some(200), None, Some(400), None]);
        assert_eq!(items[0].as_ref().map(|a| limits(a).len()), Some(1));
        assert!(
            unpack(&answer(&[], r#"{"error":{"message":"Too many requests in batch message."}}"#), 2)
                .is_none()
        );
    }

    #[test]
    fn a_batch_shows_no_token() {
        let app = ResolvedApp {
            client_id: "1".into(),
            client_secret: Some(Secret::new("sim-secret")),
            api_version: "v25.0".into(),
            endpoints: Vec::new(),
        };
        let call = ask(&app, &facebook::ME, &Secret::new("sim-token")).query("fields", "id,name");
        let packed = pack(&app, &[&call, &call]);
        assert_eq!(packed.path, "/v25.0/");
        assert!(!format!("{packed:?}").contains("sim-"));
    }
}
