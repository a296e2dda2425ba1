//! What a call came to, as it may stand in a log: with the host, the status and the network's own
//! words, and without secrets.

use serde_json::Value;
use url::Url;

use crate::config::looks_secret;
use crate::model::{REDACTED, Secret};
use crate::network::{Answer, Call, Grant, Says};
use crate::state::Observation;
use crate::transport::Failure;

/// Longest quotation of an answer in characters: enough to recognise and report it.
const MAX_QUOTED: usize = 800;

/// Parts of the names of JSON fields whose values are not shown: secrets and personal data.
const HIDDEN_FIELDS: [&str; 10] =
    ["token", "secret", "password", "assertion", "proof", "cookie", "session", "email", "phone", "birth"];

/// What a call came to. An answer that accepts the token is not quoted.
pub(super) fn observe(
    call: &Call,
    base_url: Option<&Url>,
    grant: &Grant<'_>,
    says: Says,
    answer: &Result<Answer, Failure>,
) -> Observation {
    let address = base_url.map_or(call.host.as_ref(), Url::as_str);
    let host = address.split_once("://").map_or(address, |(_, rest)| rest).split('/').next();
    let (status, text) = match answer {
        Ok(answer) if says == Says::Accepted => (answer.status, String::new()),
        Ok(answer) => (answer.status, quote(answer, grant)),
        Err(failure) => (None, failure.error.clone()),
    };
    Observation { about: call.about, says, host: host.map(str::to_owned), status, text }
}

/// The body of an answer on one line, shortened and without secrets.
pub fn quote(answer: &Answer, grant: &Grant<'_>) -> String {
    let mut json = answer.json.clone();
    hide(&mut json);
    let body = if json.is_null() { answer.text.clone() } else { json.to_string() };
    let tokens = grant.tokens;
    let secrets: [Option<&Secret>; 4] = [
        Some(&tokens.access),
        tokens.secret.as_ref(),
        tokens.refresh.as_ref(),
        grant.app.client_secret.as_ref(),
    ];
    let body = secrets.into_iter().flatten().fold(body, |body, secret| secret.removed_from(&body));
    let mut quote = String::new();
    for word in body.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if quote.len() > MAX_QUOTED {
            break;
        }
        if !quote.is_empty() {
            quote.push(' ');
        }
        let parts = word.split_inclusive(['"', '\'', ',', ':', ';', '?', '&', '=', '<', '>', '(', ')']);
        parts.for_each(|part| quote.push_str(if looks_secret(part) { REDACTED } else { part }));
    }
    if let Some((end, _)) = quote.char_indices().nth(MAX_QUOTED) {
        quote.truncate(end);
        quote.push('…');
    }
    quote
}

fn hide(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = name.to_lowercase();
                if value.is_string() && HIDDEN_FIELDS.iter().any(|part| name.contains(part)) {
                    *value = REDACTED.into();
                } else {
                    hide(value);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
