//! Error codes: those of the standards, those of single providers, and Microsoft Entra's numbers.

use crate::model::{AppProblem, Cause, Reason};
use crate::network::{Reading, Says, google, standard};

const APP: Says = Says::app_problem(AppProblem::Unknown);
const DELETED: Says = Says::app_problem(AppProblem::AppDeleted);
const DISABLED: Says = Says::app_problem(AppProblem::AppSuspended);
const SECRET: Says = Says::app_problem(AppProblem::SecretRefused);
const DEACTIVATED: Says = Says::plain(Reason::AccountDeactivated);
const LOCKED: Says = Says::plain(Reason::AccountLocked);
const POLICY: Says = Says::plain(Reason::AdminPolicyBlocked);
const PERMISSION: Says = Says::plain(Reason::MissingPermission);
const REAUTH: Says = Says::plain(Reason::ReauthRequired);
const EXPIRED: Says = Says::plain(Reason::TokenExpired);
const REVOKED: Says = Says::plain(Reason::AccessRevoked);
const LIMITED: Says = Says::Undetermined(Cause::RateLimited);
const SERVER: Says = Says::Undetermined(Cause::ServerError);
const UNEXPECTED: Says = Says::Undetermined(Cause::UnexpectedAnswer);

/// Codes in lower case, with `_` for `-`; a text that must stand beside them (empty: any); and what
/// they mean. The first row that matches counts.
#[rustfmt::skip] // a row each
static CODES: &[(&[&str], &str, Says)] = &[
    (&["token_expired", "expired_token", "tokenexpired", "expiredtoken"], "", EXPIRED),
    (&["access_token_expired", "expired_access_token"], "", EXPIRED),
    (&["token_revoked", "revoked_token", "tokenrevoked", "access_token_revoked"], "", REVOKED),
    (&["accessor_was_revoked"], "", REVOKED),
    (&["missing_scope", "no_permission", "team_access_not_granted", "e3003"], "", PERMISSION),
    (&["consent_required"], "", PERMISSION),
    (&["account_inactive", "account_deactivated", "account_disabled"], "", DEACTIVATED),
    (&["user_inactive", "user_deactivated", "user_disabled"], "", DEACTIVATED),
    (&["account_suspended", "user_suspended"], "", Says::plain(Reason::AccountSuspended)),
    (&["account_locked", "user_locked"], "", LOCKED),
    (&["invalid_rapt", "rapt_required", "insufficient_claims"], "", REAUTH),
    (&["login_required", "interaction_required"], "", REAUTH),
    (&["two_factor_setup_required"], "", Says::plain(Reason::TwoFactorRequired)),
    (&["org_login_required", "ekm_access_denied", "enterprise_is_restricted"], "", POLICY),
    (&["admin_policy_enforced"], "", POLICY),
    (&["not_allowed_token_type"], "", Says::plain(Reason::WrongTokenType)),
    (&["disabled_client"], "", DISABLED),
    (&["deleted_client"], "", DELETED),
    (&["invalid_client_id"], "", SECRET),
    (&["ratelimited", "rate_limited", "rate_limit_exceeded", "too_many_requests"], "", LIMITED),
    (&["slow_down"], "", LIMITED),
    (&["fatal_error", "internal_error", "service_unavailable", "request_timeout"], "", SERVER),
    (&["team_added_to_org"], "", SERVER),
    // At introspection: Keycloak's and Janssen's answers to a client that may not ask.
    (&["invalid_request"], "authentication failed", SECRET),
    (&["access_denied"], "authorization server denied", APP),
    (&["not_authed", "access_denied"], "", UNEXPECTED),
    (&["invalid_grant"], "invalid_rapt", REAUTH),
    (&["invalid_grant"], "rapt_required", REAUTH),
];

/// Other names of the standard's `invalid_token`.
#[rustfmt::skip]
const INVALID_TOKEN: &[&str] = &[
    "invalid_auth", "invalid_access_token", "invalid_oauth_token", "bad_oauth_token", "token_invalid",
    "token_not_valid", "inactive_token", "token_inactive", "invalidauthenticationtoken", "invalidtoken",
    "invalidauthentication", "authentication_failed", "invalid_session_id", "invalidsessionid",
    "bad_authorization", "e0000011", "e3002",
];

/// What a code means beside a text in lower case.
pub(super) fn by_code(code: &str, text: &str) -> Option<Reading> {
    // Apigee's codes have a path: `keymanagement.service.invalid_access_token`.
    let code = code.rsplit('.').next().unwrap_or(code).to_lowercase().replace('-', "_");
    let code = code.as_str();
    let matches = |row: &&(&[&str], &str, Says)| row.0.contains(&code) && text.contains(row.1);
    if let Some((.., says)) = CODES.iter().find(matches) {
        return Some(Reading::says(*says));
    }
    let grant = || google::grant_reason(text).filter(|_| code == "invalid_grant").map(Reading::says);
    let code = if INVALID_TOKEN.contains(&code) { "invalid_token" } else { code };
    grant().or_else(|| standard::error(code, text))
}

/// Numbers of Microsoft Entra, in the same form ("Microsoft Entra authentication and authorization
/// error codes" and "Error AADSTS500571", learn.microsoft.com; 530003: Azure/azure-cli issue 29282).
#[rustfmt::skip] // a row each
static ENTRA: &[(&[i64], &str, Says)] = &[
    (&[50055, 50058, 50074, 50076, 50078, 50158, 70043], "", REAUTH),
    (&[50072, 50079], "", Says::plain(Reason::TwoFactorRequired)),
    (&[50034, 50057, 500_571], "", DEACTIVATED),
    // The same number also refuses addresses that Microsoft has seen attack.
    (&[50053], "ip address", UNEXPECTED),
    (&[50053], "", LOCKED),
    (&[50173], "", Says::plain(Reason::PasswordChanged)),
    (&[53000, 53001, 53002, 53003, 530_003], "", POLICY),
    (&[65001], "", PERMISSION),
    (&[70008, 700_082, 700_084], "", EXPIRED),
    (&[700_016], "", DELETED),
    (&[7_000_215, 7_000_222], "", SECRET),
];

/// What Microsoft Entra's number in a text (in lower case) means. All of its digits count: 530003 is
/// not 53000.
pub(super) fn by_entra_number(text: &str) -> Option<Reading> {
    let digits = |rest: &str| rest.bytes().take_while(u8::is_ascii_digit).count();
    let number = text.match_indices("aadsts").find_map(|(at, word)| {
        let rest = &text[at + word.len()..];
        rest[..digits(rest)].parse::<i64>().ok()
    })?;
    let matches = |row: &&(&[i64], &str, Says)| row.0.contains(&number) && text.contains(row.1);
    ENTRA.iter().find(matches).map(|(.., says)| Reading::says(*says))
}
