//! Errors of the Google Ads API (`GoogleAdsFailure`). They are about advertising only: the same
//! token can work for everything else, even if the status is 401.
//!
//! Sources: googleapis/googleapis `google/ads/googleads/v22/errors/authentication_error.proto` and
//! `authorization_error.proto`; cohnen/mcp-google-ads issue 7.

use serde_json::Value;

use super::without;
use crate::model::{AppProblem, Capability, Reason};
use crate::network::{Grant, Question, Reading, Refusal};

/// The codes in `details[].errors[].errorCode`, an object with the code under its category.
pub(super) fn codes(details: &[Value]) -> Vec<&str> {
    let errors = details.iter().filter_map(|d| d["errors"].as_array()).flatten();
    errors
        .filter_map(|e| e["errorCode"].as_object())
        .flat_map(serde_json::Map::values)
        .filter_map(Value::as_str)
        .collect()
}

/// What a code means; none if it is unknown or about the request.
pub(super) fn read(grant: &Grant<'_>, question: Question, code: &str) -> Option<Reading> {
    let lost = |reason| Some(without(grant, question, Capability::Ads, reason));
    let app = |problem| Some(Reading::app_problem(problem));
    match code {
        "NOT_ADS_USER" | "USER_PERMISSION_DENIED" | "ACTION_NOT_PERMITTED" => lost(Reason::MissingRole),
        "TWO_STEP_VERIFICATION_NOT_ENROLLED" | "ADVANCED_PROTECTION_NOT_ENROLLED" => {
            lost(Reason::TwoFactorRequired)
        }
        "CUSTOMER_NOT_ENABLED" => lost(Reason::AccountDeactivated),
        "ACTION_NOT_PERMITTED_FOR_SUSPENDED_ACCOUNT" => lost(Reason::AccountSuspended),
        "ACCESS_DENIED_FOR_ACCOUNT_TYPE" => lost(Reason::UnsupportedAccountType),
        "GOOGLE_ACCOUNT_DELETED" => Some(Reading::plain(Reason::AccountDeactivated)),
        "OAUTH_TOKEN_EXPIRED" => Some(Reading::plain(Reason::TokenExpired)),
        "OAUTH_TOKEN_REVOKED" => Some(Reading::plain(Reason::AccessRevoked)),
        "OAUTH_TOKEN_INVALID" | "OAUTH_TOKEN_DISABLED" => {
            Some(Reading::refused(Refusal::expired_or_revoked()))
        }
        "DEVELOPER_TOKEN_NOT_APPROVED"
        | "DEVELOPER_TOKEN_NOT_ON_ALLOWLIST"
        | "DEVELOPER_TOKEN_PROHIBITED"
        | "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION"
        | "CLOUD_PROJECT_NOT_UNDER_ORGANIZATION"
        | "ORGANIZATION_NOT_APPROVED"
        | "ORGANIZATION_NOT_ASSOCIATED_WITH_DEVELOPER_TOKEN"
        | "PROJECT_DISABLED"
        | "SERVICE_ACCESS_DENIED" => app(AppProblem::AccessLevel),
        code if code.starts_with("DEVELOPER_TOKEN_") => app(AppProblem::SecretRefused),
        "ORGANIZATION_NOT_RECOGNIZED" | "MISSING_TOS" => app(AppProblem::Unknown),
        _ => None,
    }
}
