//! Reads the successes of a provider: what they tell of the token and of its owner.

use serde_json::Value;

use super::outcome::has_owner;
use super::{PROBE, USERINFO};
use crate::model::{Capability, Expiry, Reason, Secret};
use crate::network::{Answer, Grant, Question, Reading, Refusal, Scopes, google, parse, standard};

/// An accepted token with what is told about it, in the names of RFC 7662.
pub(super) fn described(grant: &Grant<'_>, json: &Value) -> Reading {
    let mut reading = Reading::accepted();
    reading.access_expiry = json.get("exp").map_or(Expiry::Unknown, parse::expiry);
    reading.issued = json.get("iat").and_then(parse::instant);
    let scopes = ["scope", "scopes", "scp"].iter().find_map(|name| json.get(name)).and_then(parse::scopes);
    reading.scopes = scopes.map(Scopes::new);
    let user = json.get("user").filter(|u| u.is_object()).unwrap_or(json);
    let told: Vec<String> = ["sub", "user_id", "id"]
        .iter()
        .filter_map(|name| json.get(name).or(user.get(name)))
        .filter_map(parse::text)
        .collect();
    reading.listed = standard::wrong_accounts(grant, &told);
    reading
}

/// Reads a success that does not object.
pub(super) fn accepted(grant: &Grant<'_>, question: Question, answer: &Answer) -> Option<Reading> {
    if question.is(&USERINFO) && !answer.text.is_empty() {
        // Userinfo may come signed (OpenID Connect Core, section 5.3.2).
        let claims = Secret::new(answer.text.as_str()).jwt_claims().filter(|c| c.get("sub").is_some())?;
        return Some(Reading {
            access_expiry: Expiry::Unknown,
            issued: None,
            scopes: None,
            ..described(grant, &claims)
        });
    }
    if let Some(reading) = standard::token_response(answer) {
        return Some(reading);
    }
    let json = &answer.json;
    let succeeded = answer.status.is_some();
    if json.get("is_suspended").and_then(parse::boolean) == Some(true) {
        // Reddit.
        return Some(Reading::refused(Refusal::plain(Reason::AccountSuspended)));
    }
    let mut reading = match json {
        // A public document: no token was needed for it.
        Value::Object(o) if o.contains_key("issuer") && o.contains_key("jwks_uri") => {
            return Some(Reading::default());
        }
        Value::Object(o) if o.is_empty() => return None,
        Value::Object(_) if json.get("active").and_then(parse::boolean) == Some(true) && !has_owner(json) => {
            described(grant, json)
        }
        Value::Object(_) if has_owner(json) => described(grant, json),
        // Telegram wraps it, others call it data.
        Value::Object(_) if ["result", "data"].iter().any(|n| json.get(n).is_some_and(has_owner)) => {
            Reading::accepted()
        }
        // Slack and Telegram, of any call.
        Value::Object(_) if json.get("ok").and_then(Value::as_bool) == Some(true) => Reading::accepted(),
        Value::Object(_)
            if json.get("exp").is_some() && (json.get("aud").is_some() || json.get("scope").is_some()) =>
        {
            described(grant, json)
        }
        // Google's tokeninfo, which has no `exp` in its first version.
        Value::Object(_) if json.get("issued_to").is_some() => google::read_token(grant, answer)?,
        // The operator chose the URL: what it answers to a token is its own affair.
        Value::Object(_) if question.is(&PROBE) && succeeded => Reading::accepted(),
        Value::Array(items) if question.is(&PROBE) && succeeded && !items.is_empty() => Reading::accepted(),
        _ => return None,
    };
    let member = json.get("result").filter(|r| r["user"]["is_bot"] == true);
    if let Some(member) = member {
        // Telegram's getChatMember, about the bot itself.
        match member["status"].as_str() {
            Some("left" | "kicked") => return Some(Reading::refused(Refusal::plain(Reason::MissingRole))),
            _ if member["can_post_messages"] == false => {
                reading.lost = vec![(Capability::Publish, Reason::MissingRole)]
            }
            _ => {}
        }
    }
    if json.get("application").is_some_and(Value::is_object) {
        // Discord's oauth2/@me.
        reading.access_expiry =
            reading.access_expiry.or(json.get("expires").map_or(Expiry::Unknown, parse::expiry));
    }
    if let Some(scopes) = answer.header("x-oauth-scopes") {
        // Slack, GitHub.
        reading.scopes = Some(Scopes::new(parse::split_scopes(scopes)));
    }
    Some(reading)
}
