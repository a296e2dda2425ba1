//! Refusals of resources: the codes of the standards, and those that widespread providers use
//! instead.

use serde_json::Value;

use crate::model::{AppProblem, Cause, Reason};
use crate::network::{Answer, Reading, Refusal, parse, standard};

/// The status, or the one that the body tells where that of HTTP is not known or a success.
fn status(answer: &Answer) -> Option<u16> {
    if answer.status.is_some_and(|s| !(200..300).contains(&s)) {
        return answer.status;
    }
    let json = &answer.json;
    let nested = json.get("error").filter(|e| e.is_object()).unwrap_or(json);
    let told = ["status", "statusCode", "status_code", "error_code", "code", "error"]
        .iter()
        .filter_map(|name| nested.get(name));
    told.filter_map(parse::integer)
        .find_map(|n| u16::try_from(n).ok().filter(|n| (400..600).contains(n)))
        .or(answer.status)
}

/// The error codes of a body, in the places where APIs put them.
pub(super) fn codes(json: &Value) -> Vec<String> {
    let error = json.get("error").unwrap_or(&Value::Null);
    let first = json.get("errors").and_then(|e| e.get(0)).unwrap_or(&Value::Null);
    let extensions = first.get("extensions").unwrap_or(&Value::Null);
    let places = [
        Some(error),
        error.get("code"),
        error.get("error"),
        error.get("type"),
        error.get(".tag"),
        json.get("code"),
        json.get("error_code"),
        json.get("errorCode"),
        json.get("error_subtype"),
        first.get("code"),
        first.get("reason"),
        first.get("type"),
        extensions.get("code"),
    ];
    places.into_iter().flatten().filter_map(|v| v.as_str()).map(str::to_owned).collect()
}

/// The texts of an error, in the places where APIs put them.
fn message(json: &Value) -> String {
    let error = json.get("error").unwrap_or(&Value::Null);
    let first = json.get("errors").and_then(|e| e.get(0)).unwrap_or(&Value::Null);
    let names = ["message", "error_description", "error_message", "description", "detail", "msg", "title"];
    let own = names.iter().filter_map(|n| json.get(n));
    let nested = names.iter().filter_map(|n| error.get(n).or_else(|| first.get(n)));
    own.chain(nested).chain([error, first]).filter_map(|v| v.as_str()).collect::<Vec<_>>().join(" ")
}

pub(super) fn refused(answer: &Answer) -> Option<Reading> {
    if matches!(answer.status, Some(429 | 500..)) {
        return None;
    }
    let json = &answer.json;
    let challenge = standard::challenge(&answer.headers)
        .filter(|_| !answer.status.is_some_and(|s| (200..300).contains(&s)));
    let text = format!(
        "{} {}",
        message(json),
        challenge.as_ref().map_or("", |(_, description)| description.as_str())
    );
    let status = status(answer);
    let exchanged = answer.status.is_some_and(|s| (200..300).contains(&s));
    let said = codes(json).into_iter().chain(challenge.into_iter().map(|(error, _)| error));
    let mut readings: Vec<Reading> = said
        .filter_map(|c| match c.to_ascii_lowercase().as_str() {
            // Reddit refuses codes and clients inside of a success.
            "invalid_grant" if exchanged => Some(Reading::app_problem(AppProblem::Unknown)),
            _ => by_code(&c, &text),
        })
        .collect();
    // The more telling one: a header says invalid_token, a body token_expired.
    let open = |r: &Reading| r.refusal().is_some_and(|r| r.reason.is_none());
    if let Some(telling) = readings.iter().position(|r| !open(r)) {
        return Some(readings.swap_remove(telling));
    }
    if let Some(first) = readings.into_iter().next() {
        return Some(first);
    }
    if matches!(status, Some(429 | 500..)) {
        let cause = if status == Some(429) { Cause::RateLimited } else { Cause::ServerError };
        return Some(Reading::undetermined(cause));
    }
    let schemes: Vec<String> = parse::challenges(&answer.headers).into_iter().map(|c| c.scheme).collect();
    if status == Some(401) && !schemes.is_empty() && schemes.iter().all(|s| s == "basic") {
        // It asks for a password: that of the client, or of a proxy. No token would have helped.
        return Some(Reading::app_problem(AppProblem::Unknown));
    }
    by_shape(json, status, &text)
}

/// Error codes: those of the standards, and those that providers made up.
fn by_code(code: &str, text: &str) -> Option<Reading> {
    let plain = |reason| Some(Reading::refused(Refusal::plain(reason)));
    let undetermined = |cause| Some(Reading::undetermined(cause));
    let lower = code.to_ascii_lowercase();
    if lower == "invalid_grant" || lower == "interaction_required" || lower == "invalid_client" {
        // Microsoft Entra: the number in the text is the code proper. Google's is in error_subtype or the
        // text.
        for (number, reason) in [
            ("AADSTS50173", Reason::PasswordChanged),
            ("AADSTS50057", Reason::AccountDeactivated),
            ("AADSTS50053", Reason::AccountLocked),
            ("AADSTS700082", Reason::TokenExpired),
            ("AADSTS70043", Reason::ReauthRequired),
            ("AADSTS50076", Reason::ReauthRequired),
            ("AADSTS50079", Reason::TwoFactorRequired),
            ("AADSTS53003", Reason::AdminPolicyBlocked),
            ("AADSTS65001", Reason::MissingPermission),
            ("invalid_rapt", Reason::ReauthRequired),
            ("rapt_required", Reason::ReauthRequired),
        ] {
            if text.contains(number) {
                return plain(reason);
            }
        }
    }
    match lower.as_str() {
        "token_expired"
        | "expired_token"
        | "access_token_expired"
        | "expired_access_token"
        | "tokenexpired"
        | "expiredtoken" => plain(Reason::TokenExpired),
        "token_revoked" | "revoked_token" | "access_token_revoked" | "tokenrevoked" => {
            plain(Reason::AccessRevoked)
        }
        "invalid_auth"
        | "invalid_access_token"
        | "invalid_oauth_token"
        | "token_invalid"
        | "inactive_token"
        | "token_inactive"
        | "invalidauthenticationtoken"
        | "invalidtoken"
        | "e3002" => standard::error("invalid_token", text),
        "missing_scope" | "no_permission" | "team_access_not_granted" | "consent_required" | "e3003" => {
            plain(Reason::MissingPermission)
        }
        "account_inactive"
        | "account_deactivated"
        | "account_disabled"
        | "user_deactivated"
        | "user_disabled" => plain(Reason::AccountDeactivated),
        "account_suspended" | "user_suspended" => plain(Reason::AccountSuspended),
        "account_locked" | "user_locked" => plain(Reason::AccountLocked),
        "invalid_rapt" | "rapt_required" | "login_required" | "interaction_required" => {
            plain(Reason::ReauthRequired)
        }
        "two_factor_setup_required" => plain(Reason::TwoFactorRequired),
        "org_login_required" | "ekm_access_denied" | "enterprise_is_restricted" | "admin_policy_enforced" => {
            plain(Reason::AdminPolicyBlocked)
        }
        "not_allowed_token_type" => plain(Reason::WrongTokenType),
        "disabled_client" | "deleted_client" | "invalid_client_id" => {
            undetermined(Cause::AppMisconfigured(AppProblem::Unknown))
        }
        "ratelimited" | "rate_limited" | "rate_limit_exceeded" | "too_many_requests" | "slow_down" => {
            undetermined(Cause::RateLimited)
        }
        "fatal_error"
        | "internal_error"
        | "service_unavailable"
        | "request_timeout"
        | "team_added_to_org" => undetermined(Cause::ServerError),
        // Of introspection: Keycloak's and Janssen's words for a client that may not ask.
        "invalid_request" if parse::contains(text, "authentication failed") => {
            undetermined(Cause::AppMisconfigured(AppProblem::Unknown))
        }
        "access_denied" if parse::contains(text, "authorization server denied") => {
            undetermined(Cause::AppMisconfigured(AppProblem::Unknown))
        }
        "not_authed" | "access_denied" => undetermined(Cause::UnexpectedAnswer),
        code => standard::error(code, text),
    }
}

/// Refusals of APIs that have numbers or texts in place of codes.
fn by_shape(json: &Value, status: Option<u16>, text: &str) -> Option<Reading> {
    let refusal = || Some(Reading::refused(standard::refusal(text)));
    let plain = |reason| Some(Reading::refused(Refusal::plain(reason)));
    let says = |part: &str| parse::contains(text, part);
    let number =
        |name: &str| json.get(name).filter(|v| v.is_number() || v.is_string()).and_then(parse::integer);
    let client_error = status.is_none_or(|s| (400..500).contains(&s));
    if client_error && json.get("message").is_some_and(Value::is_string) {
        // Discord. The numbers are its own, the texts make sure that it is Discord's.
        match number("code") {
            Some(0) if says("401: unauthorized") => return refusal(),
            Some(40001) if says("unauthorized") => return refusal(),
            Some(50014) if says("authentication token") => return refusal(),
            Some(50025) if says("access token") => return refusal(),
            Some(50026) if says("scope") => return plain(Reason::MissingPermission),
            Some(50001) if says("missing access") => return plain(Reason::MissingRole),
            Some(50013) if says("missing permissions") => return plain(Reason::MissingRole),
            Some(40002) if says("verify your account") => return plain(Reason::AccountUnconfirmed),
            _ => {}
        }
    }
    // Reddit.
    if number("error") == Some(401) && says("unauthorized") {
        return refusal();
    }
    // Telegram.
    if json.get("ok").and_then(parse::boolean) == Some(false)
        && let Some(code) = number("error_code")
    {
        return match code {
            401 => refusal(),
            403 if says("kicked") || says("not a member") => plain(Reason::MissingRole),
            _ => None,
        };
    }
    if status == Some(403) && says("rate limit") {
        return Some(Reading::undetermined(Cause::RateLimited));
    }
    if status == Some(403)
        && (says("account was suspended")
            || says("account has been suspended")
            || says("account is suspended"))
    {
        return plain(Reason::AccountSuspended);
    }
    if status == Some(401) && is_about_a_bad_token(text) {
        return refusal();
    }
    None
}

/// Whether the text of a 401 says that the token was looked at and found bad, and not that none was
/// there.
fn is_about_a_bad_token(text: &str) -> bool {
    let text = text.to_lowercase();
    let any = |words: &[&str]| words.iter().any(|w| text.contains(w));
    // "Signature has expired": PyJWT.
    let token = any(&["token", "credentials", "jwt", "signature has expired"]) && !text.contains("csrf");
    let absent = any(standard::ABSENT) || any(&["required", "absent", "without"]);
    let ended = any(&["expired", "revoked"]);
    let bad = any(&[
        "invalid",
        "not valid",
        "malformed",
        "bad ",
        "inactive",
        "not active",
        "not recognized",
        "could not be verified",
    ]);
    token && (ended && !any(standard::ABSENT) || bad && !absent)
}
