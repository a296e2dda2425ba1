//! Reads the successes of a provider: what they say about the token and its owner.

use serde_json::Value;

use super::outcome::has_owner;
use super::{PROBE, USERINFO};
use crate::model::{Capability, Expiry, Reason, Secret};
use crate::network::{Answer, Grant, Question, Reading, Scopes, google, parse, standard};

/// An accepted token and its properties, in the names of RFC 7662.
pub(super) fn described(grant: &Grant<'_>, json: &Value) -> Reading {
    let mut reading = Reading::accepted();
    reading.access_expiry = json.get("exp").map_or(Expiry::Unknown, parse::expiry);
    reading.issued = json.get("iat").and_then(parse::instant);
    let scopes = ["scope", "scopes", "scp"].iter().find_map(|name| json.get(name)).and_then(parse::scopes);
    reading.scopes = scopes.map(Scopes::new);
    let user = json.get("user").filter(|u| u.is_object()).unwrap_or(json);
    let owner = ["sub", "user_id", "id"].iter().filter_map(|name| json.get(name).or(user.get(name)));
    reading.listed = standard::wrong_accounts(grant, &owner.filter_map(parse::text).collect::<Vec<_>>());
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
    if json.get("is_suspended").and_then(parse::boolean) == Some(true) {
        // Reddit.
        return Some(Reading::plain(Reason::AccountSuspended));
    }
    let mut reading = by_shape(grant, question, answer)?;
    // Telegram's getChatMember, about the bot itself.
    if let Some(member) = json.get("result").filter(|r| r["user"]["is_bot"] == true) {
        match member["status"].as_str() {
            Some("left" | "kicked") => return Some(Reading::plain(Reason::MissingRole)),
            _ if member["can_post_messages"] == false => {
                reading.lost = vec![(Capability::Publish, Reason::MissingRole)];
            }
            _ => {}
        }
    }
    // Discord's oauth2/@me.
    if json.get("application").is_some_and(Value::is_object) {
        let end = json.get("expires").map_or(Expiry::Unknown, parse::expiry);
        reading.access_expiry = reading.access_expiry.or(end);
    }
    // Slack, GitHub.
    if let Some(scopes) = answer.header("x-oauth-scopes") {
        reading.scopes = Some(Scopes::new(parse::split_scopes(scopes)));
    }
    Some(reading)
}

/// What the shape of a success says about the token.
fn by_shape(grant: &Grant<'_>, question: Question, answer: &Answer) -> Option<Reading> {
    let json = &answer.json;
    let there = |name: &str| json.get(name).is_some();
    let is_true = |name: &str| json.get(name).and_then(parse::boolean) == Some(true);
    // The operator chose the URL: any other success of it counts.
    let chosen = question.is(&PROBE) && answer.status.is_some();
    let object = match json {
        Value::Object(object) => object,
        Value::Array(items) => return (chosen && !items.is_empty()).then(Reading::accepted),
        _ => return None,
    };
    if there("issuer") && there("jwks_uri") {
        // A public document: it is served without a token.
        Some(Reading::default())
    } else if object.is_empty() {
        None
    } else if is_true("active") || has_owner(json) {
        Some(described(grant, json))
    } else if ["result", "data"].iter().any(|name| json.get(name).is_some_and(has_owner)) {
        // Telegram has `result`, others `data`.
        Some(Reading::accepted())
    } else if json.get("ok").and_then(Value::as_bool) == Some(true) {
        // Slack and Telegram, of any call.
        Some(Reading::accepted())
    } else if there("exp") && (there("aud") || there("scope")) {
        Some(described(grant, json))
    } else if there("issued_to") {
        // Google's tokeninfo, whose first version has no `exp`.
        google::read_token(grant, answer)
    } else {
        chosen.then(Reading::accepted)
    }
}
