//! Whether a success objects: many APIs always answer 200 and report failures in the body.
//!
//! Only the listed fields count, at the top of an answer and one object further down. An answer that
//! objects is never a success; the [reader of refusals](super::refusal) interprets it.

use serde_json::{Map, Value};

use super::refusal::is_about_a_bad_token;
use crate::network::parse;

/// Result numbers: anything but 0 objects.
const NUMBERS: &[&str] = &["errcode", "errno", "errorcode", "ret", "retcode"];
/// Result numbers only if a text stands beside them.
const CODES: &[&str] = &["code", "status", "statuscode", "result"];
#[rustfmt::skip]
const TEXTS: &[&str] = &[
    "message", "msg", "errmsg", "errormsg", "errormessage", "description", "errordescription", "submsg",
    "statusmsg", "detail",
];
/// Fields with a word for the result.
const STATES: &[&str] = &["status", "stat", "state", "result"];
const FAILURES: &[&str] = &["fail", "failed", "failure", "error", "invalid", "unauthorized", "ng"];
/// Fields that are false after a failure.
const SUCCESSES: &[&str] = &["ok", "success", "succeeded", "issuccess"];

/// How a success objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Objection {
    /// A field of the answer says that it failed.
    Stated,
    /// Its only content is a text that would belong to a 401.
    Unauthenticated,
}

pub(super) fn objection(json: &Value) -> Option<Objection> {
    let stated = match json {
        Value::Object(top) => objects(top) || top.values().filter_map(Value::as_object).any(objects),
        Value::Array(items) => items.first().and_then(Value::as_object).is_some_and(lists_an_error),
        _ => false,
    };
    let unauthenticated =
        || only_text(json).is_some_and(belongs_to_a_401).then_some(Objection::Unauthenticated);
    // `{"error": "…"}` is both: the text says more.
    unauthenticated().or(stated.then_some(Objection::Stated))
}

/// A key in lower case and without separators: `errCode` and `err_code` are the same field.
pub(super) fn folded(key: &str) -> String {
    key.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn objects(object: &Map<String, Value>) -> bool {
    let text = object.iter().any(|(key, v)| TEXTS.contains(&folded(key).as_str()) && v.is_string());
    let owner = names_an_owner(object);
    object.iter().any(|(key, value)| {
        let key = folded(key);
        let (is, number) = (|names: &[&str]| names.contains(&key.as_str()), whole(value));
        let word = value.as_str().map(str::to_lowercase);
        is(NUMBERS) && number.is_some_and(|n| n != 0)
            || is(&["errcode", "errorcode"]) && word.as_deref().is_some_and(is_a_code)
            || is(CODES) && text && !owner && number.is_some_and(|n| !matches!(n, 0 | 1 | 200..=299))
            || is(STATES) && word.is_some_and(|w| FAILURES.contains(&w.as_str()))
            || is(SUCCESSES) && parse::boolean(value) == Some(false)
            || is(&["error", "errors"]) && is_an_error(value)
    })
}

/// Whether a text in place of a number is an error code.
fn is_a_code(word: &str) -> bool {
    !matches!(word, "" | "0" | "ok" | "none" | "success")
}

/// A whole number, or one written in digits.
fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(_) => parse::integer(value),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Whether `error` or `errors` holds an error. TikTok's success has an error object with the code
/// `ok`.
fn is_an_error(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(there) => *there,
        Value::Number(_) => parse::integer(value) != Some(0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => {
            let code = fields.get("code").map(|c| parse::text(c).unwrap_or_default().to_lowercase());
            !fields.is_empty() && !code.is_some_and(|c| matches!(c.as_str(), "ok" | "0" | "success"))
        }
    }
}

/// Whether the first element of a list is an error: a code beside a text.
fn lists_an_error(first: &Map<String, Value>) -> bool {
    let any = |names: &[&str]| first.keys().any(|key| names.contains(&folded(key).as_str()));
    any(&["errorcode", "error", "code"]) && any(TEXTS)
}

/// The text of an answer with a single member.
fn only_text(json: &Value) -> Option<&str> {
    let object = json.as_object().filter(|object| object.len() == 1)?;
    object.values().next()?.as_str()
}

fn belongs_to_a_401(text: &str) -> bool {
    let says = |part| parse::contains(text, part);
    is_about_a_bad_token(text) || says("unauthenticated") || says("unauthorized") || says("not logged in")
}

/// Whether an object describes a person or an account.
pub(super) fn has_owner(json: &Value) -> bool {
    json.as_object().is_some_and(names_an_owner)
}

fn names_an_owner(object: &Map<String, Value>) -> bool {
    #[rustfmt::skip]
    let names = [
        "sub", "id", "user_id", "username", "preferred_username", "login", "email", "user", "account",
        "accountId", "me",
    ];
    names.iter().any(|name| object.get(*name).is_some_and(|v| !v.is_null()))
}
