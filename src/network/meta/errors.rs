//! Errors of the Graph API: what each code and text means.
//!
//! Errors about the app come first, then subcodes, texts and codes. Texts are needed because
//! Instagram often sends no subcode. A code that has several causes is no refusal by itself.

use super::envelope::GraphError;
use super::{facebook, instagram, threads, writes};
use crate::model::{AppProblem, Cause, Reason};
use crate::network::{Budget, Certainty, Grant, Question, Reading, Refusal, Says, parse};

/// Sentences about the app or its request, in any text of an error. No account is to blame.
const APP_TEXTS: &[(&str, AppProblem)] = &[
    ("data use checkup", AppProblem::CheckupDue),
    ("api access disrupted", AppProblem::CheckupDue),
    ("api access blocked", AppProblem::AppSuspended),
    ("api access deactivated", AppProblem::AppSuspended),
    ("api access disabled", AppProblem::AppSuspended),
    ("app not active", AppProblem::AppSuspended),
    ("app is not active", AppProblem::AppSuspended),
    ("application is not active", AppProblem::AppSuspended),
    ("disabled for non-active", AppProblem::AppSuspended),
    ("application has been deleted", AppProblem::AppDeleted),
    ("error validating client secret", AppProblem::SecretRefused),
    ("invalid appsecret_proof", AppProblem::SecretRefused),
    ("require an appsecret_proof", AppProblem::SecretRefused),
    ("app secret proof", AppProblem::SecretRefused),
    ("invalid platform app", AppProblem::SecretRefused),
    ("invalid client_id", AppProblem::SecretRefused),
    ("invalid client secret", AppProblem::SecretRefused),
    ("invalid app id", AppProblem::SecretRefused),
    ("invalid application id", AppProblem::SecretRefused),
    ("match a valid application", AppProblem::SecretRefused),
    ("provide valid app id", AppProblem::SecretRefused),
    ("missing client_id or access_token", AppProblem::SecretRefused),
    ("does not have advanced access", AppProblem::AccessLevel),
    ("must be reviewed and approved by facebook", AppProblem::AccessLevel),
    ("not admins, developers or testers of the app", AppProblem::TesterOnly),
    ("has not accepted the invite to test the app", AppProblem::TesterOnly),
    ("insufficient developer role", AppProblem::TesterOnly),
    ("not a sandbox user of this client", AppProblem::TesterOnly),
    // Seen for apps in development, for apps under review, and without any reason.
    ("cannot call api for app", AppProblem::Unknown),
    ("cannot call api on behalf of", AppProblem::Unknown),
    ("must provide an app access token", AppProblem::Unknown),
    ("did not match the viewing app", AppProblem::Unknown),
    ("an access token is required to request this resource", AppProblem::Unknown),
];

/// Codes and subcodes about the app, whatever the language of the text. Meta, "Error Reference" and
/// "Common Error Codes" (Messenger Platform).
const APP_CODES: &[(i64, AppProblem)] = &[
    // "… requires version v2.1 or higher", "… is deprecated for versions v3.3 and higher".
    (12, AppProblem::VersionEnded),
    (2635, AppProblem::VersionEnded),
    (101, AppProblem::SecretRefused),
    (104, AppProblem::Unknown),
    (1_349_245, AppProblem::TesterOnly),
    (2_018_027, AppProblem::TesterOnly),
    (2_018_028, AppProblem::TesterOnly),
];

/// Sentences about throttling, for answers without a code.
const THROTTLE_TEXTS: &[&str] = &[
    "request limit reached",
    "request limited reached",
    "too many calls",
    "too many requests",
    "rate limit",
    "maximum number of requests",
];

/// Sentences about an outage, for answers without a code.
const OUTAGE_TEXTS: &[&str] = &[
    "an unknown error",
    "unexpected error has occurred",
    "service temporarily unavailable",
    "unknown error occurred",
];

/// Subcodes that tell the cause whatever the code. 458 to 467, 490 and 492 come with 190 and 102,
/// rarely with 200; the seven-digit ones with writes.
const SUBCODES: &[(i64, Refusal)] = &[
    (458, Refusal::plain(Reason::AccessRevoked)),
    (459, Refusal::plain(Reason::SecurityCheckpoint)),
    (460, Refusal::plain(Reason::PasswordChanged)),
    (461, Refusal::ambiguous(Reason::TokenInvalid)),
    (462, Refusal::ambiguous(Reason::TokenInvalid)),
    (463, Refusal::plain(Reason::TokenExpired)),
    (464, Refusal::plain(Reason::AccountUnconfirmed)),
    (465, Refusal::ambiguous(Reason::TokenInvalid)),
    (466, Refusal::plain(Reason::AccessRevoked)),
    (467, Refusal::ambiguous(Reason::TokenInvalid)),
    (468, Refusal::ambiguous(Reason::TokenInvalid)),
    (490, Refusal::plain(Reason::SecurityCheckpoint)),
    (492, Refusal::plain(Reason::NotAdmin).of_account()),
    // Named ESC_APP_INACTIVE in Meta's SDK for Android.
    (493, Refusal::plain(Reason::DataAccessExpired)),
    (2_069_032, Refusal::plain(Reason::WrongTokenType).of_account()),
    (1_404_006, Refusal::plain(Reason::SecurityCheckpoint)),
    (1_404_078, Refusal::plain(Reason::PublishingAuthorizationRequired).of_account()),
    (4_854_002, Refusal::plain(Reason::SecurityCheckpoint).of_account()),
    (1_404_112, Refusal::plain(Reason::AccountLocked)),
    (2_207_050, Refusal::plain(Reason::AccountLocked).of_account()),
    // The owner has switched off the access to direct messages.
    (2_534_041, Refusal::plain(Reason::MissingPermission).of_account()),
];

/// Sentences that tell the cause, in lower case, the more specific first.
const TEXTS: &[(&str, Refusal)] = &[
    ("not an instagram business", Refusal::plain(Reason::UnsupportedAccountType).of_account()),
    ("user access token is not supported", Refusal::plain(Reason::WrongTokenType).of_account()),
    ("page access token is required", Refusal::plain(Reason::WrongTokenType).of_account()),
    ("must be called with a page access token", Refusal::plain(Reason::WrongTokenType).of_account()),
    ("user access token is required", Refusal::plain(Reason::WrongTokenType).of_account()),
    ("nonexisting field (accounts)", Refusal::plain(Reason::WrongTokenType).of_account()),
    ("requires a page access token", Refusal::plain(Reason::WrongTokenType).of_account()),
    ("posted to a page as the page itself", Refusal::plain(Reason::WrongTokenType).of_account()),
    ("user is not admin", Refusal::plain(Reason::NotAdmin).of_account()),
    ("to be admin of the ad account", Refusal::plain(Reason::NotAdmin).of_account()),
    // Also seen after a changed password, then without its subcode.
    ("must be an administrator", Refusal::ambiguous(Reason::NotAdmin).of_account()),
    ("not have sufficient administrative permission", Refusal::plain(Reason::MissingRole).of_account()),
    ("does not have an appropriate role on the page", Refusal::plain(Reason::MissingRole).of_account()),
    ("must be granted before impersonating", Refusal::plain(Reason::MissingPermission).of_account()),
    ("belongs to a page that has been deleted", Refusal::plain(Reason::PageUnavailable).of_account()),
    ("belongs to a page that is not accessible", Refusal::plain(Reason::PageUnavailable).of_account()),
    ("changed their password", Refusal::plain(Reason::PasswordChanged)),
    ("changed the password", Refusal::plain(Reason::PasswordChanged)),
    ("changed the session for security", Refusal::plain(Reason::PasswordChanged)),
    ("does not match current stored session", Refusal::plain(Reason::PasswordChanged)),
    ("hasn't engaged the app in longer than 90 days", Refusal::plain(Reason::DataAccessExpired)),
    ("session has expired", Refusal::plain(Reason::TokenExpired)),
    ("session expired", Refusal::plain(Reason::TokenExpired)),
    ("access token has expired", Refusal::plain(Reason::TokenExpired)),
    ("passed its expiration time", Refusal::plain(Reason::TokenExpired)),
    ("invalidated explicitly", Refusal::plain(Reason::AccessRevoked)),
    ("has not authorized application", Refusal::plain(Reason::AccessRevoked)),
    ("revoked_access_token", Refusal::plain(Reason::AccessRevoked)),
    ("not a confirmed user", Refusal::plain(Reason::AccountUnconfirmed)),
    ("cannot access the app till you log in", Refusal::plain(Reason::SecurityCheckpoint)),
    ("checkpoint", Refusal::plain(Reason::SecurityCheckpoint)),
    ("a security check is required", Refusal::plain(Reason::SecurityCheckpoint)),
    ("page publishing authorization", Refusal::plain(Reason::PublishingAuthorizationRequired).of_account()),
    ("confirm your identity", Refusal::plain(Reason::SecurityCheckpoint).of_account()),
    ("user access is restricted", Refusal::plain(Reason::AccountLocked).of_account()),
    ("because the user logged out", Refusal::ambiguous(Reason::TokenInvalid)),
    ("active access token must be used", Refusal::ambiguous(Reason::TokenInvalid)),
    ("cannot get application info", Refusal::ambiguous(Reason::TokenInvalid)),
    ("does not belong to system user", Refusal::ambiguous(Reason::TokenInvalid)),
    ("cannot parse access token", Refusal::ambiguous(Reason::TokenInvalid)),
    ("debug only access token", Refusal::ambiguous(Reason::TokenInvalid)),
    ("access token signature", Refusal::ambiguous(Reason::TokenInvalid)),
    ("could not be decrypted", Refusal::ambiguous(Reason::TokenInvalid)),
    ("malformed access token", Refusal::ambiguous(Reason::TokenInvalid)),
    ("is malformed", Refusal::ambiguous(Reason::TokenInvalid)),
    ("bad signature", Refusal::ambiguous(Reason::TokenInvalid)),
];

/// Refusals that are not about the login, although they carry codes of missing permissions. Meta,
/// "Common Error Codes" (Messenger Platform), and payloads in public trackers.
const RECIPIENT_SUBCODES: &[i64] = &[
    // Nobody found, blocked, has not written lately, has stopped the messages.
    1_545_041, 1_893_015, 2_018_001, 2_018_048, 2_018_065, 2_018_108, 2_018_109, 2_018_278, 2_534_014,
    2_534_022, 2_534_048, // A conversation that another app holds.
    2_018_336, 2_534_037,
];
const RECIPIENT_TEXTS: &[&str] =
    &["allowed window", "user consent is required", "isn't receiving messages", "isn't available right now"];
/// The same for a call that new pages do not have, and for the Ad Library, which wants an identity
/// confirmed, whatever the account.
const ELSEWHERE_SUBCODES: &[i64] = &[2_069_030, 2_332_002];
const ELSEWHERE_TEXTS: &[&str] = &["not enough viewers", "facebook.com/ads/library/api"];

/// What an error means; none if it is not known.
pub(super) fn judge(grant: &Grant<'_>, question: Question, error: &GraphError) -> Option<Reading> {
    if let Some(problem) = app_problem(question, error) {
        return Some(Reading::app_problem(problem));
    }
    let says = says(error, is_about_account(grant, question, error));
    // A probe never writes.
    let write = if question.call.is_none() { writes::read(error, says) } else { None };
    write.or_else(|| says.map(Reading::says))
}

/// What is wrong with the app; none if the error is not about the app.
fn app_problem(question: Question, error: &GraphError) -> Option<AppProblem> {
    let by_text = APP_TEXTS.iter().find(|(text, _)| error.says(text)).map(|(_, problem)| *problem);
    let by_code = || {
        let known = |code: i64| [error.subcode, error.code].contains(&Some(code));
        APP_CODES.iter().find(|(code, _)| known(*code)).map(|(_, problem)| *problem)
    };
    by_text.or_else(by_code).or_else(|| {
        // The paths of a probe exist in every version that exists.
        error.says("unknown path components").then_some(match question.call {
            Some(_) => AppProblem::VersionEnded,
            None => AppProblem::Unknown,
        })
    })
}

/// What an error that is not about the app says about the login or the account.
fn says(error: &GraphError, about_account: bool) -> Option<Says> {
    let undetermined = |cause| Some(Says::Undetermined(cause));
    if throttled(error).is_some() {
        return undetermined(Cause::RateLimited);
    }
    // Transient whatever else they say; `is_transient` itself is sometimes wrong in both
    // directions.
    if matches!(error.code, Some(-2 | -1 | 1 | 2)) || (error.code.is_none() && error.says_any(OUTAGE_TEXTS)) {
        return undetermined(Cause::ServerError);
    }
    let subcode = error.subcode.or_else(|| error.code.filter(|c| (458..=493).contains(c)));
    let told = SUBCODES.iter().find(|(s, _)| Some(*s) == subcode).map(|(_, refusal)| *refusal);
    // "May be due to a system error" (467): then the flag decides.
    if let Some(refusal) = told.filter(|r| !(error.transient && r.certainty == Certainty::Ambiguous)) {
        return Some(Says::Refused(refusal));
    }
    let elsewhere = |s| ELSEWHERE_SUBCODES.contains(&s);
    if is_about_recipient(error) || error.subcode.is_some_and(elsewhere) || error.says_any(ELSEWHERE_TEXTS) {
        return undetermined(Cause::UnexpectedAnswer);
    }
    if error.transient && error.code != Some(368) {
        return undetermined(Cause::ServerError);
    }
    if let Some((_, refusal)) = TEXTS.iter().find(|(text, _)| error.says(text)) {
        return Some(Says::Refused(*refusal));
    }
    Some(Says::Refused(match error.code {
        // No subcode: "expired, revoked, or otherwise invalid" (Meta, "Handle Errors").
        Some(190 | 102 | 452) => Refusal::expired_or_revoked(),
        Some(450) => Refusal::plain(Reason::TokenExpired),
        Some(412) => Refusal::plain(Reason::AccessRevoked),
        Some(21) if about_account => Refusal::plain(Reason::PageUnavailable).of_account(),
        Some(803) if about_account => Refusal::ambiguous(Reason::PageUnavailable).of_account(),
        Some(25) => Refusal::plain(Reason::AccountLocked).of_account(),
        // "Temporarily blocked for policies violations: wait and retry".
        Some(368) => return undetermined(Cause::RateLimited),
        // The app lacks the capability, or the endpoint is wrong.
        Some(3) => Refusal::ambiguous(Reason::MissingPermission).of_account(),
        // With an unknown subcode, these codes can mean anything.
        Some(10 | 200..=299) if error.subcode.is_some() => return undetermined(Cause::UnexpectedAnswer),
        Some(10 | 200..=299) => MISSING_PERMISSION,
        Some(100) => return Some(invalid_parameter(error, about_account)),
        Some(2500) => return undetermined(Cause::UnexpectedAnswer),
        Some(_) => return None,
        None => return by_type(error, about_account),
    }))
}

/// Whether a message was refused because of its recipient.
pub(super) fn is_about_recipient(error: &GraphError) -> bool {
    error.subcode.is_some_and(|s| RECIPIENT_SUBCODES.contains(&s)) || error.says_any(RECIPIENT_TEXTS)
}

const MISSING_PERMISSION: Refusal = Refusal::plain(Reason::MissingPermission).of_account();

/// Whose limit was reached; none if the error is not about a limit. Posting too often counts, too.
/// Codes 4 and 341 speak of the app, 17 of the person, 32 of the token in use, 613 of one endpoint,
/// 80000 to 80014 of one page or account (Meta, "Rate Limits").
pub(super) fn throttled(error: &GraphError) -> Option<Budget> {
    if matches!(error.subcode, Some(2_207_051 | 2_207_042)) || error.says("action is blocked") {
        return Some(Budget::Grant);
    }
    match error.code {
        Some(4 | 341) => Some(Budget::App),
        Some(9 | 17 | 32 | 429 | 613 | 80_000..=80_014) => Some(Budget::Grant),
        // A batch of more than 50 has "too many requests" in one message.
        None if error.kind != "graphbatchexception" && error.says_any(THROTTLE_TEXTS) => {
            let app = error.says_any(&["application request limit", "calls from this app"]);
            Some(if app { Budget::App } else { Budget::Grant })
        }
        _ => None,
    }
}

/// Code 100 means a wrong parameter, a missing permission, or an object out of reach.
fn invalid_parameter(error: &GraphError, about_account: bool) -> Says {
    if error.says("missing permission or reviewable feature") {
        return Says::Refused(MISSING_PERMISSION);
    }
    if error.subcode == Some(33) || error.says("does not exist, cannot be loaded due to missing permissions")
    {
        // The object can be a post or a comment that was deleted, or a container that Meta cannot
        // find although it is there ("Authorization Error").
        return if about_account && !error.says("unsupported delete request") {
            Says::Refused(Refusal::ambiguous(Reason::PageUnavailable).of_account())
        } else {
            Says::Undetermined(Cause::UnexpectedAnswer)
        };
    }
    // At Instagram this means that the app must not use the account: a tester has not accepted the
    // invitation, or the app lacks advanced access. Elsewhere it means a wrong path or field.
    let barred = error.kind.starts_with("igapi") && error.says("unsupported request - method type: get");
    let permission = barred
        || error.says_any(&["missing permission", "no permission"])
        || (error.says("permission") && error.says_any(&["requires", "does not have"]))
        || error.subcode == Some(10);
    if permission { Says::Refused(MISSING_PERMISSION) } else { Says::Undetermined(Cause::UnexpectedAnswer) }
}

/// Instagram's old errors have a telling type and no code.
fn by_type(error: &GraphError, about_account: bool) -> Option<Says> {
    Some(match error.kind.as_str() {
        "oauthaccesstokenexception" | "oauthaccesstokenerror" | "invalid_token" => Says::expired_or_revoked(),
        "oauthpermissionsexception" | "oauthpermissionexception" => Says::Refused(MISSING_PERMISSION),
        "oauthratelimitexception" | "oauthratelimiterror" => Says::Undetermined(Cause::RateLimited),
        _ if error.says("access_token provided is invalid") => Says::expired_or_revoked(),
        "oauthparameterexception" | "oauthclientexception" => Says::app_problem(AppProblem::Unknown),
        _ if error.says("does not have permission for this action")
            || error.says("hasn't authorized the application") =>
        {
            Says::Refused(MISSING_PERMISSION)
        }
        _ if error.says("object with id") => {
            return Some(invalid_parameter(error, about_account)).filter(|s| matches!(s, Says::Refused(_)));
        }
        _ => return None,
    })
}

/// Whether an error names an object, and this is the account that was asked about.
fn is_about_account(grant: &Grant<'_>, question: Question, error: &GraphError) -> bool {
    let Some(object) = error.object() else { return false };
    let configured = grant.account(question).and_then(|a| a.external_id);
    if object == "me" {
        return is_own_account(grant, question);
    }
    match configured {
        Some(_) => parse::same_identity(configured, &[object.to_owned()]) == Some(true),
        None => question.is(&facebook::ACCOUNT),
    }
}

/// Whether `me` is the account itself, not the person who connected it.
fn is_own_account(grant: &Grant<'_>, question: Question) -> bool {
    question.is(&threads::ME) || (question.is(&instagram::ME) && grant.style.api == instagram::OWN)
}
