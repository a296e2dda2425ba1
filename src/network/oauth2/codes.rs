//! Error codes: those of the standards, those that providers made up, and Microsoft Entra's numbers.

use crate::model::{AppProblem, Cause, Reason};
use crate::network::{Reading, Refusal, google, standard};

/// What a code means beside a text in lower case.
pub(super) fn by_code(code: &str, text: &str) -> Option<Reading> {
    let plain = |reason| Some(Reading::refused(Refusal::plain(reason)));
    let undetermined = |cause| Some(Reading::undetermined(cause));
    let app = |problem| Some(Reading::app_problem(problem));
    // Apigee's codes have a path: `keymanagement.service.invalid_access_token`.
    let code = code.rsplit('.').next().unwrap_or(code).to_lowercase().replace('-', "_");
    match code.as_str() {
        "token_expired"
        | "expired_token"
        | "access_token_expired"
        | "expired_access_token"
        | "tokenexpired"
        | "expiredtoken" => plain(Reason::TokenExpired),
        "token_revoked"
        | "revoked_token"
        | "access_token_revoked"
        | "tokenrevoked"
        | "accessor_was_revoked" => plain(Reason::AccessRevoked),
        "invalid_auth"
        | "invalid_access_token"
        | "invalid_oauth_token"
        | "bad_oauth_token"
        | "token_invalid"
        | "token_not_valid"
        | "inactive_token"
        | "token_inactive"
        | "invalidauthenticationtoken"
        | "invalidauthentication"
        | "authentication_failed"
        | "invalid_session_id"
        | "invalidsessionid"
        | "invalidtoken"
        | "bad_authorization"
        | "e0000011"
        | "e3002" => standard::error("invalid_token", text),
        "missing_scope" | "no_permission" | "team_access_not_granted" | "consent_required" | "e3003" => {
            plain(Reason::MissingPermission)
        }
        "account_inactive"
        | "account_deactivated"
        | "account_disabled"
        | "user_inactive"
        | "user_deactivated"
        | "user_disabled" => plain(Reason::AccountDeactivated),
        "account_suspended" | "user_suspended" => plain(Reason::AccountSuspended),
        "account_locked" | "user_locked" => plain(Reason::AccountLocked),
        "invalid_rapt"
        | "rapt_required"
        | "login_required"
        | "interaction_required"
        | "insufficient_claims" => plain(Reason::ReauthRequired),
        "two_factor_setup_required" => plain(Reason::TwoFactorRequired),
        "org_login_required" | "ekm_access_denied" | "enterprise_is_restricted" | "admin_policy_enforced" => {
            plain(Reason::AdminPolicyBlocked)
        }
        "not_allowed_token_type" => plain(Reason::WrongTokenType),
        "disabled_client" => app(AppProblem::AppSuspended),
        "deleted_client" => app(AppProblem::AppDeleted),
        "invalid_client_id" => app(AppProblem::SecretRefused),
        "ratelimited" | "rate_limited" | "rate_limit_exceeded" | "too_many_requests" | "slow_down" => {
            undetermined(Cause::RateLimited)
        }
        "fatal_error"
        | "internal_error"
        | "service_unavailable"
        | "request_timeout"
        | "team_added_to_org" => undetermined(Cause::ServerError),
        // Of introspection: Keycloak's and Janssen's words for a client that may not ask.
        "invalid_request" if text.contains("authentication failed") => app(AppProblem::SecretRefused),
        "access_denied" if text.contains("authorization server denied") => app(AppProblem::Unknown),
        "not_authed" | "access_denied" => undetermined(Cause::UnexpectedAnswer),
        "invalid_grant" if text.contains("invalid_rapt") || text.contains("rapt_required") => {
            plain(Reason::ReauthRequired)
        }
        "invalid_grant" => {
            google::grant_reason(text).map(Reading::says).or_else(|| standard::error(&code, text))
        }
        code => standard::error(code, text),
    }
}

/// Numbers of Microsoft Entra ("Microsoft Entra authentication and authorization error codes",
/// learn.microsoft.com).
#[rustfmt::skip] // a row each
static ENTRA: &[(&[i64], Result<Reason, Cause>)] = &[
    (&[50055, 50058, 50074, 50076, 50078, 50158, 70043], Ok(Reason::ReauthRequired)),
    (&[50072, 50079], Ok(Reason::TwoFactorRequired)),
    (&[50034, 50057, 500_571], Ok(Reason::AccountDeactivated)),
    (&[50053], Ok(Reason::AccountLocked)),
    (&[50173], Ok(Reason::PasswordChanged)),
    (&[53000, 53001, 53002, 53003, 530_003], Ok(Reason::AdminPolicyBlocked)),
    (&[65001], Ok(Reason::MissingPermission)),
    (&[70008, 700_082, 700_084], Ok(Reason::TokenExpired)),
    (&[700_016], Err(Cause::AppMisconfigured(AppProblem::AppDeleted))),
    (&[7_000_215, 7_000_222], Err(Cause::AppMisconfigured(AppProblem::SecretRefused))),
];

/// What Microsoft Entra's number in a text (in lower case) means. All of its digits count: 530003 is
/// not 53000.
pub(super) fn by_entra_number(text: &str) -> Option<Reading> {
    let digits = |rest: &str| rest.bytes().take_while(u8::is_ascii_digit).count();
    let number = text.match_indices("aadsts").find_map(|(at, word)| {
        let rest = &text[at + word.len()..];
        rest[..digits(rest)].parse::<i64>().ok()
    })?;
    let (_, means) = ENTRA.iter().find(|(numbers, _)| numbers.contains(&number))?;
    Some(match *means {
        Ok(reason) => Reading::refused(Refusal::plain(reason)),
        Err(cause) => Reading::undetermined(cause),
    })
}
