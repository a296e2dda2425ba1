//! The reader of refusals: it collects codes and texts from all places where APIs put them, and
//! interprets them in a fixed order.
//!
//! Statements of a cause come first: a policy, a required login, a number, the account's state, a
//! missing scope; then codes; last, sentences about the token.

use serde_json::Value;

use super::codes::{by_code, by_entra_number};
use super::families;
use super::outcome::{Objection, folded};
use crate::model::{AppProblem, Cause, Reason};
use crate::network::{Answer, Reading, Refusal, Says, parse, standard};

/// Members that contain errors, at any depth.
const CONTAINERS: &[&str] =
    &["error", "errors", "meta", "fault", "detail", "details", "extensions", "innererror", "baseresp"];
#[rustfmt::skip]
const TEXTS: &[&str] = &[
    "error", "errors", "message", "msg", "errmsg", "errormsg", "errormessage", "errordescription",
    "description", "detail", "details", "title", "errorsummary", "exceptionmessage", "developermessage",
    "displaymessage", "faultstring", "reason", "submsg",
];
#[rustfmt::skip]
const CODES: &[&str] = &[
    "error", "errors", "code", "errcode", "errorcode", "errorsubtype", "errortype", "tag", "type",
    "reason", "category", "value",
];

/// The codes and texts of an answer.
struct Said<'a> {
    answer: &'a Answer,
    /// The status; of a success, the one that the body names.
    status: Option<u16>,
    codes: Vec<String>,
    /// In lower case.
    texts: Vec<String>,
    /// All texts joined.
    text: String,
}

/// Reads an answer that is no success, or one whose body objects.
pub(super) fn refused(answer: &Answer, objection: Option<Objection>) -> Option<Reading> {
    if matches!(answer.status, Some(429 | 500..)) {
        return None;
    }
    let said = Said::of(answer, objection);
    // Other statuses than 400, 401 and 403 are not about who asks.
    let denied = answer.maybe_success() || matches!(said.status, Some(400 | 401 | 403));
    said.policy()
        .or_else(|| said.fresh_login())
        .or_else(|| families::read(&answer.json, &said.text))
        .or_else(|| by_entra_number(&said.text))
        .or_else(|| said.telegram())
        .or_else(|| denied.then(|| said.account()).flatten())
        .or_else(|| denied.then(|| said.scopes()).flatten())
        .or_else(|| said.by_codes())
        .or_else(|| said.temporary())
        .or_else(|| denied.then(|| said.token()).flatten())
        .or_else(|| said.without_a_word())
}

/// The codes of a body.
pub(super) fn codes(json: &Value) -> Vec<String> {
    let (mut codes, mut texts) = (Vec::new(), Vec::new());
    collect(json, 0, &mut codes, &mut texts);
    codes
}

fn collect(value: &Value, depth: usize, codes: &mut Vec<String>, texts: &mut Vec<String>) {
    const DEEPEST: usize = 4;
    let object = match value {
        Value::Object(object) => object,
        Value::Array(items) if depth == 0 => {
            return items.first().into_iter().for_each(|first| collect(first, 1, codes, texts));
        }
        Value::String(text) if depth == 0 => return texts.push(text.to_lowercase()),
        _ => return,
    };
    for (key, value) in object {
        let key = folded(key);
        let container = CONTAINERS.contains(&key.as_str());
        let members = match value {
            Value::Array(items) if container => items.as_slice(),
            value => std::slice::from_ref(value),
        };
        for member in members {
            match member {
                Value::String(text) => {
                    if TEXTS.contains(&key.as_str()) {
                        texts.push(text.to_lowercase());
                    }
                    if CODES.contains(&key.as_str()) {
                        codes.push(text.clone());
                    }
                }
                Value::Object(_) if (container || depth == 0) && depth < DEEPEST => {
                    collect(member, depth + 1, codes, texts);
                }
                _ => {}
            }
        }
    }
}

/// The status that a body names.
fn stated_status(json: &Value) -> Option<u16> {
    let nested = json.get("error").filter(|e| e.is_object()).unwrap_or(json);
    let names = ["status", "statusCode", "status_code", "error_code", "code", "error"];
    let numbers = names.iter().filter_map(|name| nested.get(name)).filter_map(parse::integer);
    numbers.filter_map(|n| u16::try_from(n).ok()).find(|n| (400..600).contains(n))
}

impl<'a> Said<'a> {
    fn of(answer: &'a Answer, objection: Option<Objection>) -> Self {
        let (mut codes, mut texts) = (Vec::new(), Vec::new());
        collect(&answer.json, 0, &mut codes, &mut texts);
        // The text of a page is no error message.
        if answer.text.len() < 300 && !answer.text.trim_start().starts_with('<') {
            texts.push(answer.text.to_lowercase());
        }
        let mut status = answer.status;
        if answer.maybe_success() {
            let unauthenticated = (objection == Some(Objection::Unauthenticated)).then_some(401);
            status = stated_status(&answer.json).or(unauthenticated).or(status);
        } else if let Some((error, description)) = standard::challenge(&answer.headers) {
            codes.push(error);
            texts.push(description.to_lowercase());
        }
        let text = texts.join(" ");
        Self { answer, status, codes, texts, text }
    }

    fn says(&self, part: &str) -> bool {
        self.text.contains(part)
    }

    /// An organization requires a login through its own provider (docs.github.com, "Troubleshooting the
    /// REST API").
    fn policy(&self) -> Option<Reading> {
        let header = self.answer.header("x-github-sso").filter(|_| !self.answer.maybe_success());
        let required = header.is_some_and(|sso| sso.starts_with("required"));
        (required || self.says("saml enforcement")).then(|| Reading::plain(Reason::AdminPolicyBlocked))
    }

    /// Microsoft's claims challenge ("Claims challenges, claims requests, and client capabilities",
    /// learn.microsoft.com): whatever the body says, the token is only too old for a policy.
    fn fresh_login(&self) -> Option<Reading> {
        let mut challenges = self.answer.headers.get_all(http::header::WWW_AUTHENTICATE).iter();
        let claims = challenges.any(|c| c.to_str().is_ok_and(|c| c.contains("insufficient_claims")));
        (claims || self.says("evaluation resulted in")).then(|| Reading::plain(Reason::ReauthRequired))
    }

    /// Telegram's answers ("Making requests", core.telegram.org/bots/api): the texts are about the bot
    /// or about others.
    fn telegram(&self) -> Option<Reading> {
        let json = &self.answer.json;
        if json.get("ok").and_then(parse::boolean) != Some(false) {
            return None;
        }
        let about_another = self.says("is an administrator");
        if (self.says("rights") || self.says("administrator")) && !about_another {
            return Some(Reading::plain(Reason::MissingRole));
        }
        Some(match json.get("error_code").and_then(parse::integer)? {
            401 => Reading::refused(standard::refusal(&self.text)),
            403 if self.says("kicked") || self.says("not a member") => Reading::plain(Reason::MissingRole),
            429 => Reading::undetermined(Cause::RateLimited),
            500.. => Reading::undetermined(Cause::ServerError),
            _ => Reading::undetermined(Cause::UnexpectedAnswer),
        })
    }

    fn account(&self) -> Option<Reading> {
        self.texts.iter().find_map(|text| state_of_account(text)).map(Reading::plain)
    }

    fn scopes(&self) -> Option<Reading> {
        let codes = || self.codes.iter().map(|code| code.to_lowercase());
        // The answer to a request for a token: about the requested scopes.
        if codes().any(|code| code.starts_with("invalid_scope")) {
            return None;
        }
        let by_code = codes().any(|code| code.contains("scope") && !code.contains(' '));
        // "Invalid token or insufficient scope" does not say which.
        let open = is_about_a_bad_token(&self.text) && self.says(" or ");
        let by_text = !open && self.texts.iter().any(|text| misses_a_scope(text));
        (by_code || by_text).then(|| Reading::plain(Reason::MissingPermission))
    }

    fn by_codes(&self) -> Option<Reading> {
        let exchanged = self.answer.status.is_some_and(|s| (200..300).contains(&s));
        let mut readings: Vec<Reading> = self
            .codes
            .iter()
            .filter_map(|code| match code.to_lowercase().as_str() {
                // Reddit refuses codes and clients inside a success.
                "invalid_grant" if exchanged => Some(Reading::app_problem(AppProblem::Unknown)),
                _ => by_code(code, &self.text),
            })
            .collect();
        // A general code says less than a sentence about the token.
        let unexpected = |r: &Reading| r.says == Says::Undetermined(Cause::UnexpectedAnswer);
        if self.texts.iter().any(|text| names_a_bad_token(text)) {
            readings.retain(|r| !unexpected(r));
        }
        // The more specific one: the header may say invalid_token, the body token_expired.
        let open = |r: &Reading| r.refusal().is_some_and(|r| r.reason.is_none());
        let specific = readings.iter().position(|r| !open(r)).unwrap_or(0);
        (!readings.is_empty()).then(|| readings.swap_remove(specific))
    }

    /// A temporary condition, as the body or GitHub's 403 says.
    fn temporary(&self) -> Option<Reading> {
        Some(Reading::undetermined(match self.status {
            Some(429) => Cause::RateLimited,
            Some(500..) => Cause::ServerError,
            Some(403) if self.says("rate limit") => Cause::RateLimited,
            _ => return None,
        }))
    }

    fn token(&self) -> Option<Reading> {
        let json = &self.answer.json;
        // Strava says which field is invalid.
        let strava = json["errors"].as_array().into_iter().flatten();
        let field = strava.into_iter().any(|e| e["field"] == "access_token" && e["code"] == "invalid");
        // Google's tokeninfo, one of whose shapes has no `error`.
        let token_info = json["error"].is_null() && json["error_description"] == "Invalid Value";
        let bad = if self.status == Some(401) {
            is_about_a_bad_token(&self.text)
        } else {
            self.texts.iter().any(|text| names_a_bad_token(text))
        };
        (field || token_info || bad).then(|| Reading::refused(standard::refusal(&self.text)))
    }

    /// A 401 that says nothing about the token.
    fn without_a_word(&self) -> Option<Reading> {
        if self.status != Some(401) {
            return None;
        }
        let challenges = parse::challenges(&self.answer.headers);
        if !challenges.is_empty() {
            // A demand for a password comes from the client's check or a proxy: no token would help. A
            // token challenge without an error means that no token arrived (RFC 6750, section 3.1).
            let password = challenges.iter().all(|c| c.scheme == "basic");
            let cause =
                if password { Cause::AppMisconfigured(AppProblem::Unknown) } else { Cause::UnexpectedAnswer };
            return Some(Reading::undetermined(cause));
        }
        let silent = |text: &str| {
            let letters: Vec<&str> =
                text.split(|c: char| !c.is_alphabetic()).filter(|w| !w.is_empty()).collect();
            SILENT.contains(&letters.join(" ").as_str())
        };
        let codes = self.codes.iter().filter(|code| !code.contains(':'));
        let bare =
            self.texts.iter().all(|text| silent(text)) && codes.clone().all(|c| silent(&c.to_lowercase()));
        bare.then(|| Reading::refused(Refusal::expired_or_revoked()))
    }
}

/// Texts of a 401 that only repeat the status.
#[rustfmt::skip]
const SILENT: &[&str] = &[
    "", "unauthorized", "unauthorised", "unauthenticated", "http unauthorized", "unauthorized access",
    "unauthorized request", "request unauthorized", "not authenticated", "not logged in", "not authorized",
    "authorization error", "authorization failed", "authentication error", "authentication failed",
    "auth error", "error",
];

fn words(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect()
}

/// The state of the asking account by a text: "your account has been suspended", "inactive user".
fn state_of_account(text: &str) -> Option<Reason> {
    const SUBJECTS: &[&str] = &["account", "user", "profile", "login"];
    const BETWEEN: &[&str] =
        &["is", "was", "has", "been", "currently", "temporarily", "permanently", "already"];
    let state = |word: &str| match word {
        "suspended" | "blocked" | "banned" | "disabled" => Some(Reason::AccountSuspended),
        "deactivated" | "inactive" | "deleted" => Some(Reason::AccountDeactivated),
        "locked" => Some(Reason::AccountLocked),
        _ => None,
    };
    let words = words(text);
    let after = words.iter().enumerate().filter(|(_, w)| SUBJECTS.contains(w)).find_map(|(at, _)| {
        let mut rest = words[at + 1..].iter().skip_while(|w| BETWEEN.contains(w));
        let reason = state(rest.next()?)?;
        // "Blocked by that user" and "disabled for your plan" are about something else.
        let limited = rest.next().is_some_and(|w| matches!(*w, "by" | "for" | "from" | "to"));
        (!limited).then_some(reason)
    });
    after.or_else(|| {
        words.windows(2).filter(|pair| SUBJECTS.contains(&pair[1])).find_map(|pair| state(pair[0]))
    })
}

/// Whether a text says that the token lacks a scope.
fn misses_a_scope(text: &str) -> bool {
    #[rustfmt::skip]
    const LACKING: &[&str] = &[
        "missing", "insufficient", "mismatch", "not match", "not contain", "n't contain", "require", "need",
        "lack", "not have", "n't have", "not been granted", "n't been granted", "not granted", "outside",
        "invalid oauth scope",
    ];
    text.contains("scope") && LACKING.iter().any(|part| text.contains(part))
}

/// Whether a word means the token that was sent, and not a cursor, a form or a device.
fn names_a_token(words: &[&str], at: usize) -> bool {
    #[rustfmt::skip]
    const OTHERS: &[&str] = &[
        "csrf", "xsrf", "page", "pagination", "next", "previous", "continuation", "cursor", "sync",
        "upload", "device", "registration", "fcm", "push", "verification", "confirmation", "reset",
        "captcha", "recaptcha", "card", "payment", "share", "invite", "invitation", "request", "json",
        "unexpected", "syntax", "max", "report", "state",
    ];
    let word = words[at];
    let is = matches!(word, "token" | "jwt" | "accesstoken" | "authtoken" | "oauthtoken" | "bearertoken");
    is && !at.checked_sub(1).is_some_and(|before| OTHERS.contains(&words[before]))
}

/// Whether a text (in lower case) says explicitly that a token is bad. Outside a 401, nothing less
/// counts.
fn names_a_bad_token(text: &str) -> bool {
    const NEAR: usize = 6;
    let words = words(text);
    let token = |at: &usize| names_a_token(&words, *at);
    let bad = |at: &usize| match words[*at] {
        "invalid" | "expired" | "revoked" => true,
        "exist" | "valid" => {
            words[at.saturating_sub(2)..*at].iter().any(|w| matches!(*w, "not" | "longer" | "t"))
        }
        _ => false,
    };
    // A complaint about a field of a form says nothing else about it.
    let others = ["parameter", "argument", "field"];
    let absent = standard::ABSENT.iter().chain(&others).any(|part| text.contains(part));
    !absent
        && (0..words.len()).filter(token).any(|t| (0..words.len()).filter(bad).any(|b| t.abs_diff(b) <= NEAR))
}

/// Whether the text of a 401 says that the token was checked and found bad, not that there was none.
pub(super) fn is_about_a_bad_token(text: &str) -> bool {
    let text = text.to_lowercase();
    let any = |words: &[&str]| words.iter().any(|w| text.contains(w));
    let found = words(&text);
    // "Signature has expired" is PyJWT's text.
    let token = (0..found.len()).any(|at| names_a_token(&found, at))
        || any(&["credentials", "signature has expired", "session"]);
    let absent = any(standard::ABSENT) || any(&["required", "absent", "without"]);
    let ended = any(&["expired", "revoked"]);
    #[rustfmt::skip]
    let bad = any(&[
        "invalid", "not valid", "malformed", "bad ", "inactive", "not active", "not exist",
        "not recognized", "could not be verified",
    ]);
    token && (ended && !any(standard::ABSENT) || bad && !absent)
}
