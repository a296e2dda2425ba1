//! Errors of the Graph API: where they stand in an answer, and what each code and text means.
//!
//! Subcodes go before codes, codes before texts; texts are needed because Instagram often sends no
//! subcode. A code alone never condemns where it has several causes.

use serde_json::Value;

use crate::model::{AppProblem, Cause, Reason};
use crate::network::{Answer, Grant, Question, Refusal, Says, parse};

/// An error in any of Meta's envelopes.
pub(super) struct GraphError {
    code: Option<i64>,
    subcode: Option<i64>,
    /// Message and texts for people, in lower case.
    text: String,
    /// The `type`, in lower case.
    kind: String,
    transient: bool,
    /// It stands inside `data`, and so concerns the token that was inspected.
    pub(super) inspected: bool,
}

impl GraphError {
    /// The error of an answer, if there is one.
    pub(super) fn find(answer: &Answer) -> Option<Self> {
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
pub(super) enum Weight {
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
pub(super) fn refuse(reason: Reason, weight: Weight) -> Says {
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
pub(super) fn judge(error: &GraphError, about_other: bool) -> Option<Says> {
    let undetermined = |cause| Some(Says::Undetermined(cause));
    if error.says_any(APP_TEXTS) {
        return undetermined(Cause::AppMisconfigured(AppProblem::Unknown));
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
            Some(101) => Says::Undetermined(Cause::AppMisconfigured(AppProblem::Unknown)),
            _ => refuse(*reason, *weight),
        });
    }
    match error.code {
        // No subcode: "expired, revoked, or otherwise invalid" (Meta, "Handle Errors").
        Some(190 | 102 | 452) => Some(Says::Refused(Refusal::expired_or_revoked())),
        Some(450) => Some(refuse(Reason::TokenExpired, Plain)),
        Some(101 | 104) => undetermined(Cause::AppMisconfigured(AppProblem::Unknown)),
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
            Some(Says::Undetermined(Cause::AppMisconfigured(AppProblem::Unknown)))
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
pub(super) fn names_another_object(grant: &Grant<'_>, question: Question, error: &GraphError) -> bool {
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
