//! What the OAuth standards say, for the networks that follow them: error codes (RFC 6749, 6750,
//! 9449, 9470), expiry in a JWT (RFC 7519), rate-limit headers; and whose token it is.
//!
//! A network's own file decides where these apply: a code means one thing at a resource and another
//! at an introspection endpoint.

use http::HeaderMap;

use super::{Answer, Budget, Grant, Listed, RateLimitStatus, Reading, Refusal, parse};
use crate::model::{AppProblem, Cause, Expiry, Reason, Secret};

/// Phrases that list several possibilities: such a text does not say which one applies.
#[rustfmt::skip]
const ALTERNATIVES: &[&str] = &[
    "or expired", "or has expired", "or is expired", "expired or", ", expired", "expired,", "/expired",
    "expired/", "or revoked", "or has been revoked", "or was revoked", "revoked or",
];

/// Phrases that say that there was no token at all.
#[rustfmt::skip]
pub(super) const ABSENT: &[&str] = &[
    "missing", "no token", "no access token", "not provided", "not supplied", "not present",
    "token required", "token is required", "token is empty",
];

/// The refusal of a token, as its description hints: no code tells an expired token from a revoked
/// one.
pub(super) fn refusal(text: &str) -> Refusal {
    let text = text.to_lowercase();
    // The second is the text of the JWT library "jose".
    let expired = text.contains("expired") || text.contains("\"exp\" claim timestamp check failed");
    let revoked = text.contains("revoked");
    // "expired or is not yet valid" names one cause: the clock.
    let open = !text.contains("not yet valid") && ALTERNATIVES.iter().any(|a| text.contains(a));
    match (expired, revoked) {
        (true, false) if !open => Refusal::ambiguous(Reason::TokenExpired),
        (false, true) if !open => Refusal::ambiguous(Reason::AccessRevoked),
        _ => Refusal::expired_or_revoked(),
    }
}

/// Whether a text begins with a demand for other permissions: "Organization permissions must be used
/// when using organization as author", with any noun and role.
pub(super) fn wants_permissions(text: &str) -> bool {
    let text = text.trim_start().to_lowercase();
    let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_');
    text.split_once(" permissions must be used when using ").is_some_and(|(nouns, used)| {
        let used: Vec<&str> = used.split(' ').take(3).collect();
        let is_use = |user, role: &str| is_word(user) && role.starts_with(char::is_alphanumeric);
        nouns.split(" or ").all(is_word) && matches!(used[..], [user, "as", role] if is_use(user, role))
    })
}

/// The error and its description in the challenges of an answer.
pub(super) fn challenge(headers: &HeaderMap) -> Option<(String, String)> {
    parse::challenges(headers).into_iter().find_map(|c| {
        let error = c.get("error").filter(|_| matches!(c.scheme.as_str(), "bearer" | "dpop" | "oauth"))?;
        Some((error.to_owned(), c.get("error_description").unwrap_or_default().to_owned()))
    })
}

/// What an error code of the standards means where a token is used, or exchanged for a fresh one.
pub(super) fn error(code: &str, text: &str) -> Option<Reading> {
    let text = text.to_lowercase();
    Some(match code.to_ascii_lowercase().as_str() {
        // No token arrived: the fault is this program's or a proxy's, not the grant's.
        "invalid_token" if ABSENT.iter().any(|words| text.contains(words)) => {
            Reading::undetermined(Cause::UnexpectedAnswer)
        }
        "invalid_token" | "invalid_grant" => Reading::refused(refusal(&text)),
        "insufficient_scope" => Reading::plain(Reason::MissingPermission),
        "insufficient_user_authentication" => Reading::plain(Reason::ReauthRequired),
        "invalid_client" => Reading::app_problem(AppProblem::SecretRefused),
        "unauthorized_client" => Reading::app_problem(AppProblem::Unknown),
        "server_error" | "temporarily_unavailable" => Reading::undetermined(Cause::ServerError),
        "invalid_request"
        | "invalid_scope"
        | "invalid_target"
        | "unsupported_grant_type"
        | "unsupported_token_type"
        | "unsupported_response_type"
        | "use_dpop_nonce"
        | "invalid_dpop_proof" => Reading::undetermined(Cause::UnexpectedAnswer),
        _ => return None,
    })
}

/// Reads a successful answer of a token endpoint (RFC 6749, section 5.1).
pub(super) fn token_response(answer: &Answer) -> Option<Reading> {
    let json = &answer.json;
    let there = |name: &str| json.get(name).and_then(|v| v.as_str()).is_some_and(|t| !t.is_empty());
    if !(answer.maybe_success() && there("access_token") && there("token_type")) {
        return None;
    }
    let mut reading = Reading::accepted();
    reading.scopes = json.get("scope").and_then(parse::scopes).map(super::Scopes::new);
    reading.issued = json.get("created_at").and_then(parse::instant);
    Some(reading)
}

/// When a JWT ends; unknown for any other token.
pub(super) fn jwt_expiry(token: &Secret) -> Expiry {
    token.jwt_claims().as_ref().and_then(|c| c.get("exp")).map_or(Expiry::Unknown, parse::expiry)
}

/// Refuses the accounts whose configured id is none of the token owner's.
pub(super) fn wrong_accounts(grant: &Grant<'_>, owner: &[String]) -> Vec<Listed> {
    wrong_accounts_if(grant, |id| parse::same_identity(Some(id), owner) == Some(false))
}

/// Refuses the accounts whose configured id is another's by the network's own comparison.
pub(super) fn wrong_accounts_if(grant: &Grant<'_>, is_other: impl Fn(&str) -> bool) -> Vec<Listed> {
    let configured = grant.accounts.iter().filter_map(|a| a.external_id);
    let refusal = Refusal::plain(Reason::WrongAccount).of_account();
    configured.filter(|id| is_other(id)).map(|id| Listed::refused(id, refusal)).collect()
}

/// A limit from headers named `…limit`, `…remaining` and `…reset`, as most networks send it.
pub(super) fn rate_limit(
    answer: &Answer,
    prefix: &str,
    bucket: &'static str,
    budget: Budget,
) -> Option<RateLimitStatus> {
    let header = |name: &str| answer.header(&format!("{prefix}{name}"));
    // Envoy sends "100, 100;w=1": the limit, then its policies.
    let number = |name: &str| {
        header(name)?.split([',', ';']).next()?.trim().parse::<f64>().ok().filter(|n| n.is_finite())
    };
    let used = match (number("limit"), number("remaining")) {
        // More than the limit may remain where the limit has just changed.
        (Some(limit), Some(remaining)) if limit > 0.0 => Some((1.0 - remaining / limit).max(0.0)),
        _ => None,
    };
    RateLimitStatus::new(bucket, budget, used, header("reset").and_then(parse::reset))
}
