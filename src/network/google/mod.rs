//! What Google's networks have in common: tokens and the shapes of refusals.
//!
//! `tokeninfo` tells the expiry, the scopes and the client of an access token without any quota of
//! an API. Google prefers to be asked with the token in a header (google-auth-library-nodejs,
//! `getTokenInfo`), as addresses end up in proxy logs. Refusals come in three shapes:
//! `error` as text (tokeninfo, the token endpoint), `error` as an object with `errors[].reason`
//! (older) or `details[].reason` (newer; names in googleapis/googleapis `google/api/error_reason.
//! proto`), and a `WWW-Authenticate` header. Codes are read before texts.

mod ads;
mod errors;
mod google_business;
mod notice;
mod youtube;

pub(super) use google_business::GoogleBusiness;
pub(super) use youtube::YouTube;

use self::errors::folded;
use crate::model::{AppProblem, Capability, Cause, Reason};
use crate::network::{
    Answer, Body, Call, CallInfo, Grant, Method, Question, Reading, Refusal, Says, Scopes, parse,
};

/// Every scope of Google begins with this; configurations often leave it out.
const PREFIX: &str = "https://www.googleapis.com/auth/";

/// Access tokens, refresh tokens, client secrets.
pub(super) const TOKEN_PREFIXES: &[(&str, usize)] = &[("ya29", 8), ("1//", 8), ("GOCSPX-", 8)];

/// A group of scopes, each under its full name and without its prefix.
macro_rules! scopes {
    ($($name:literal),+ $(,)?) => {
        &[$(concat!("https://www.googleapis.com/auth/", $name), $name),+]
    };
}
pub(super) use scopes;

pub(super) static TOKENINFO: CallInfo = CallInfo {
    name: "tokeninfo",
    method: Method::Post,
    url: "https://oauth2.googleapis.com/tokeninfo",
    tells: "whether the access token lives, until when, for which scopes and which app",
    cost: "no quota; Google may throttle it",
};

pub(super) fn ask_tokeninfo(grant: &Grant<'_>) -> Call {
    Call::new(&TOKENINFO, &[]).body(Body::Form(Vec::new())).bearer(&grant.tokens.access)
}

/// Whether one of these scopes (without prefix) is granted.
pub(super) fn grants_any(scopes: &Scopes, names: &[&str]) -> bool {
    scopes.granted.iter().any(|s| names.contains(&s.strip_prefix(PREFIX).unwrap_or(s)))
}

/// Reads an answer that is no error of a Google API. `own` reads the network's resources.
pub(super) fn read(
    grant: &Grant<'_>,
    answer: &Answer,
    own: impl FnOnce() -> Option<Reading>,
) -> Option<Reading> {
    read_oauth_error(answer)
        .map(Reading::says)
        .or_else(|| read_token(grant, answer))
        .or_else(own)
        .or_else(|| read_person(answer))
        .or_else(|| read_challenge(answer).map(Reading::says))
}

/// Reads what Google answers about a token: the claims of a living one, or the token response that
/// it came with.
pub(super) fn read_token(grant: &Grant<'_>, answer: &Answer) -> Option<Reading> {
    let json = &answer.json;
    let there = |name: &str| !json[name].is_null();
    let scopes = parse::scopes(&json["scope"]);
    let clients: Vec<String> =
        ["aud", "azp", "audience", "issued_to"].iter().filter_map(|n| parse::text(&json[*n])).collect();
    let timed = there("exp") || there("expires_in");
    let about_a_token = scopes.is_some() || !clients.is_empty() || json["access_token"].is_string();
    // Claims with an issuer are those of an ID token, which opens no API.
    if !answer.maybe_success() || !timed || !about_a_token || there("iss") || there("error") {
        return None;
    }
    let own = grant.app.client_id.as_str();
    // Only real client ids can be compared. Tests of an app may use another name.
    let real = own.ends_with(".apps.googleusercontent.com");
    let foreign = real && !clients.is_empty() && clients.iter().all(|c| c != own);
    Some(Reading {
        says: if foreign { Says::plain(Reason::TokenInvalid) } else { Says::Accepted },
        // Only `exp` is an instant: it is not known when `expires_in` was written.
        access_expiry: parse::expiry(&json["exp"]),
        scopes: scopes.map(Scopes::new),
        user_id: parse::text(&json["sub"]).or_else(|| parse::text(&json["user_id"])),
        ..Reading::default()
    })
}

/// Reads who the token belongs to (the userinfo endpoint). It only proves that the token works.
pub(super) fn read_person(answer: &Answer) -> Option<Reading> {
    let json = &answer.json;
    let named = ["email", "name", "picture"].iter().any(|n| json[*n].is_string());
    let person = (json["sub"].is_string() || json["id"].is_string())
        && named
        && json["kind"].is_null()
        && json["iss"].is_null();
    (answer.maybe_success() && person).then(Reading::accepted)
}

/// Reads a refusal whose `error` is a text: from tokeninfo, or from the token endpoint, which a
/// probe never calls.
pub(super) fn read_oauth_error(answer: &Answer) -> Option<Says> {
    let json = &answer.json;
    let error = json["error"].as_str().map(str::to_lowercase);
    let description = json["error_description"].as_str().unwrap_or_default();
    if error.is_none() && description.is_empty() {
        return None;
    }
    let said = |part: &str| parse::contains(description, part);
    let is = |name: &str| error.as_deref() == Some(name) || said(name);
    let subtype = json["error_subtype"].as_str().unwrap_or_default();
    let rapt = |name: &str| subtype.eq_ignore_ascii_case(name) || is(name);
    if rapt("invalid_rapt") || rapt("rapt_required") || said("reauth related error") {
        return Some(Says::plain(Reason::ReauthRequired));
    }
    if is("admin_policy_enforced") {
        return Some(Says::plain(Reason::AdminPolicyBlocked));
    }
    let without_parameter = said("missing required parameter") && !said("access_token");
    Some(match error.as_deref() {
        Some("invalid_grant") => invalid_grant(description),
        Some("invalid_token") => Says::expired_or_revoked(),
        None if said("invalid value") => Says::expired_or_revoked(),
        Some("insufficient_scope") => Says::plain(Reason::MissingPermission),
        Some("access_denied") if said("account restricted") => Says::plain(Reason::AccountLocked),
        Some("deleted_client") => Says::app_problem(AppProblem::AppDeleted),
        Some("invalid_client") if said("not found") || said("deleted") => {
            Says::app_problem(AppProblem::AppDeleted)
        }
        Some("disabled_client") => Says::app_problem(AppProblem::AppSuspended),
        Some("invalid_client") if said("disabled") => Says::app_problem(AppProblem::AppSuspended),
        Some("invalid_client") => Says::app_problem(AppProblem::SecretRefused),
        Some("access_denied") if said("client not authorized") => Says::app_problem(AppProblem::Unknown),
        Some("invalid_request") if said("client id") || without_parameter => {
            Says::app_problem(AppProblem::Unknown)
        }
        Some(
            "unauthorized_client"
            | "unsupported_grant_type"
            | "invalid_scope"
            | "redirect_uri_mismatch"
            | "org_internal",
        ) => Says::app_problem(AppProblem::Unknown),
        // No token arrived. Userinfo also says so to a healthy token that lacks an identity scope
        // (google-api-nodejs-client #3900).
        Some("invalid_request") => Says::Undetermined(Cause::UnexpectedAnswer),
        Some("rate_limit_exceeded") => Says::Undetermined(Cause::RateLimited),
        Some("internal_failure" | "server_error" | "temporarily_unavailable" | "backend_error") => {
            Says::Undetermined(Cause::ServerError)
        }
        // Any other 403 of the token endpoint is temporary (Chromium,
        // `oauth2_access_token_fetcher_impl.cc`).
        Some(_) if answer.is(403) => Says::Undetermined(Cause::RateLimited),
        _ => return None,
    })
}

/// What the description of an `invalid_grant` names; none if it names only the token or nothing.
/// Other providers use the same words (help.salesforce.com, GAM-team/GAM pull request 1171,
/// googleapis/google-api-ruby-client issue 720).
pub(super) fn grant_reason(description: &str) -> Option<Says> {
    let said = |part: &str| parse::contains(description, part);
    let any = |parts: &[&str]| parts.iter().any(|part| said(part));
    let account = any(&["account", "user", "robot"]);
    Some(if said("deactivated") || account && any(&["deleted", "inactive"]) {
        Says::plain(Reason::AccountDeactivated)
    } else if account && any(&["disabled", "suspended"]) {
        Says::plain(Reason::AccountSuspended)
    } else if said("admin_policy") {
        Says::plain(Reason::AdminPolicyBlocked)
    } else if said("inactivity") {
        Says::plain(Reason::TokenExpired)
    } else if said("invalid jwt") && any(&["iat", "timeframe", "short-lived"]) {
        Says::Undetermined(Cause::ClockSkew)
    } else if any(OF_REQUEST) {
        Says::app_problem(AppProblem::Unknown)
    } else {
        return None;
    })
}

/// Descriptions of an `invalid_grant` that are about the request, not about a grant.
const OF_REQUEST: &[&str] = &[
    "invalid jwt",
    "auth code",
    "authorization code",
    "code verifier",
    "already redeemed",
    "email or user id",
];

/// Why a grant is refused, which only the description tells.
fn invalid_grant(description: &str) -> Says {
    let said = |part| parse::contains(description, part);
    grant_reason(description).unwrap_or(match (said("expired"), said("revoked")) {
        // The token is malformed, of another client, or long dead.
        _ if said("bad request") => Says::ambiguous(Reason::TokenInvalid),
        (true, false) => Says::plain(Reason::TokenExpired),
        (false, true) => Says::plain(Reason::AccessRevoked),
        _ => Says::expired_or_revoked(),
    })
}

/// Reads `WWW-Authenticate` (RFC 6750), which is all that some refusals have.
pub(super) fn read_challenge(answer: &Answer) -> Option<Says> {
    parse::challenges(&answer.headers).iter().find_map(|challenge| match challenge.get("error") {
        Some("insufficient_scope") => Some(Says::plain(Reason::MissingPermission)),
        Some("invalid_token") if answer.status.is_none_or(|s| s == 401) => Some(Says::expired_or_revoked()),
        _ => None,
    })
}

/// A lost capability. If the account does not need it, the account itself is refused what was asked
/// for.
fn without(grant: &Grant<'_>, question: Question, lost: Capability, reason: Reason) -> Reading {
    if grant.account(question).is_some_and(|a| a.needs.contains(lost)) {
        Reading { lost: vec![(lost, reason)], ..Reading::accepted() }
    } else {
        Reading::refused(Refusal::plain(reason).of_account())
    }
}
