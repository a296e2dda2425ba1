//! Errors of Google's APIs: one envelope, with reasons in two spellings and texts that name the
//! project.
//!
//! Sources: googleapis/googleapis `google/api/error_reason.proto`; google-api-php-client issues
//! 2215 (API not enabled) and 2422 (project deleted); google-api-nodejs-client issue 3241 (project
//! not found); googleworkspace/python-samples issue 18; java-docs-samples issue 276 (billing);
//! firebase-ios-sdk issue 13968 (consumer suspended); gethouston/houston pull request 1220 (project
//! denied).

use serde_json::Value;

use super::{ads, read_challenge};
use crate::model::{AppProblem, Cause, Reason};
use crate::network::{Answer, Budget, Grant, Question, RateLimitStatus, Reading, Reset, Says, parse};

/// Sentences about a project, in a text that mentions one.
const PROJECT_TEXTS: &[(&str, AppProblem)] = &[
    ("has not been used", AppProblem::ApiDisabled),
    ("is not enabled", AppProblem::ApiDisabled),
    ("has been deleted", AppProblem::AppDeleted),
    ("not found or deleted", AppProblem::AppDeleted),
    ("is not found and", AppProblem::AppDeleted),
    ("has been suspended", AppProblem::AppSuspended),
    ("has been denied access", AppProblem::AppSuspended),
    ("billing", AppProblem::OutOfCredit),
    ("on resource project", AppProblem::Unknown),
    ("permission to use project", AppProblem::Unknown),
];

/// An error in the envelope that all of Google's APIs share.
#[derive(Debug)]
pub(super) struct Fault<'a> {
    /// Machine-readable reasons, those of `details` before those of `errors`.
    pub(super) reasons: Vec<&'a str>,
    /// Codes of the Google Ads API, which has an envelope of its own inside of `details`.
    pub(super) ads: Vec<&'a str>,
    /// The canonical status, such as `NOT_FOUND`; empty if there is none.
    pub(super) status: &'a str,
    /// Repeats the HTTP status.
    pub(super) code: Option<i64>,
    pub(super) message: &'a str,
    details: &'a [Value],
}

impl<'a> Fault<'a> {
    pub(super) fn of(answer: &'a Answer) -> Option<Self> {
        // Some endpoints wrap their error in a list, and client libraries unwrap it from `error`.
        let body = answer.json.as_array().and_then(|items| items.first()).unwrap_or(&answer.json);
        let bare = body["message"].is_string() && (body["errors"].is_array() || body["status"].is_string());
        let error = if body["error"].is_object() {
            &body["error"]
        } else if bare {
            body
        } else {
            return None;
        };
        let text = |value: &'a Value| value.as_str().unwrap_or_default();
        let details = list(&error["details"]);
        Some(Self {
            reasons: details
                .iter()
                .chain(list(&error["errors"]))
                .filter_map(|e| e["reason"].as_str())
                .collect(),
            ads: ads::codes(details),
            status: text(&error["status"]),
            code: parse::integer(&error["code"]).filter(|c| *c >= 100).or(answer.status.map(i64::from)),
            message: text(&error["message"]),
            details,
        })
    }

    /// Reads first what the error says about the project, then the network's own reasons, then
    /// those of all Google APIs, then text and status.
    pub(super) fn read(
        &self,
        grant: &Grant<'_>,
        question: Question,
        answer: &Answer,
        own: impl Fn(&str) -> Option<Says>,
    ) -> Option<Reading> {
        let general = || self.says(answer, own).map(Reading::says);
        self.of_project()
            .map(Reading::app_problem)
            .or_else(|| self.ads.iter().find_map(|code| ads::read(grant, question, code)))
            .or_else(general)
    }

    /// Whether the error names no reason. Only then its status can decide.
    pub(super) fn is_unnamed(&self) -> bool {
        self.reasons.is_empty() && self.ads.is_empty()
    }

    fn said(&self, part: &str) -> bool {
        parse::contains(self.message, part)
    }

    /// What the text says is wrong with the project. Reason and status do not tell: "forbidden" and
    /// `PERMISSION_DENIED` are also for people without a role.
    fn of_project(&self) -> Option<AppProblem> {
        let said = |part| self.said(part);
        if self.has_no_quota() {
            // Waiting does not help: the project is not approved for this API.
            return Some(AppProblem::AccessLevel);
        }
        if said("access not configured") {
            return Some(AppProblem::ApiDisabled);
        }
        if said("valid api key") {
            return Some(AppProblem::SecretRefused);
        }
        let of_project = said("project") || said("consumer '");
        PROJECT_TEXTS.iter().find(|(text, _)| of_project && said(text)).map(|(_, problem)| *problem)
    }

    /// Whether the project has never had any quota.
    fn has_no_quota(&self) -> bool {
        let none = |value: &Value| parse::integer(value) == Some(0);
        self.details.iter().any(|d| {
            none(&d["metadata"]["quota_limit_value"])
                || list(&d["violations"]).iter().any(|v| none(&v["quotaValue"]))
        })
    }

    fn says(&self, answer: &Answer, own: impl Fn(&str) -> Option<Says>) -> Option<Says> {
        // The reason beside these may be no more than "forbidden".
        let scope =
            parse::challenges(&answer.headers).iter().any(|c| c.get("error") == Some("insufficient_scope"));
        if scope || self.said("insufficient authentication scopes") {
            return Some(Says::plain(Reason::MissingPermission));
        }
        if self.said("unregistered callers") {
            return Some(Says::Undetermined(Cause::UnexpectedAnswer));
        }
        let by_reason = self.reasons.iter().find_map(|reason| own(reason).or_else(|| common(reason)));
        by_reason.or_else(|| self.by_text()).or_else(|| self.by_status(answer))
    }

    fn by_text(&self) -> Option<Says> {
        let said = |part| self.said(part);
        if said("insufficient permission") {
            Some(Says::plain(Reason::MissingPermission))
        } else if said("it is disabled") {
            Some(Says::app_problem(AppProblem::ApiDisabled))
        } else if self.ads.is_empty()
            && (said("missing required authentication credential") || said("login required"))
        {
            // No token arrived, or userinfo was asked with one that has no identity scope.
            Some(Says::Undetermined(Cause::UnexpectedAnswer))
        } else {
            None
        }
    }

    fn by_status(&self, answer: &Answer) -> Option<Says> {
        match (self.status, self.code) {
            ("RESOURCE_EXHAUSTED", _) => return Some(Says::Undetermined(Cause::RateLimited)),
            ("UNAVAILABLE" | "INTERNAL" | "DEADLINE_EXCEEDED", _) | (_, Some(500..)) => {
                return Some(Says::Undetermined(Cause::ServerError));
            }
            (_, Some(429)) => return Some(Says::Undetermined(Cause::RateLimited)),
            _ => {}
        }
        // A 401 for an unknown reason can hit a healthy token: YouTube's youtubeSignupRequired is
        // one. Only a 401 without any reason speaks of the token.
        if !self.is_unnamed() {
            return None;
        }
        let invalid = self.said("invalid credentials") || self.said("invalid authentication credentials");
        if self.status == "UNAUTHENTICATED" || (self.code == Some(401) && invalid) {
            return Some(Says::expired_or_revoked());
        }
        read_challenge(answer)
    }

    /// Whether the project has used up its quota of the day.
    pub(super) fn spent_quota(&self) -> bool {
        self.reasons.iter().any(|r| ["quotaexceeded", "dailylimitexceeded"].contains(&folded(r).as_str()))
    }

    /// Whose limit is used up; none if it is not one for the calls of a probe.
    fn limit(&self) -> Option<RateLimitStatus> {
        /// YouTube counts these calls separately (YouTube Data API, "Quota calculator").
        const OTHER_CALLS: &[&str] = &["video uploads", "search queries"];
        let info = |name: &str| {
            self.details.iter().find_map(|d| d["metadata"][name].as_str()).unwrap_or_default().to_lowercase()
        };
        let (limit, consumer) = (info("quota_limit"), info("consumer"));
        let is = |names: &[&str]| self.reasons.iter().any(|r| names.contains(&folded(r).as_str()));
        if OTHER_CALLS.iter().any(|calls| self.said(calls))
            || is(&["uploadratelimitexceeded", "uploadlimitexceeded"])
        {
            return None;
        }
        let (bucket, budget) =
            if is(&["userratelimitexceeded"]) || self.said("per user") || limit.contains("peruser") {
                ("user", Budget::Grant)
            } else if is(&["quotaexceeded", "dailylimitexceeded", "servinglimitexceeded"])
                || self.said("consumer 'project")
                || consumer.starts_with("projects/")
            {
                ("project", Budget::App)
            } else {
                return None;
            };
        // Google names only the period, which is short for a user.
        let per_minute = self.said("per minute") || limit.contains("perminute");
        let wait = match budget {
            _ if per_minute => 60,
            Budget::Grant => 300,
            Budget::App => 3600,
        };
        Some(RateLimitStatus { bucket, budget, used: None, reset: Some(Reset::After(wait)) })
    }
}

/// Whose limit an answer says is used up: the project's, or that of one user.
pub(super) fn limits(answer: &Answer) -> Vec<RateLimitStatus> {
    let fault = Fault::of(answer).filter(|fault| {
        fault.of_project().is_none()
            && fault.says(answer, |_| None) == Some(Says::Undetermined(Cause::RateLimited))
    });
    fault.and_then(|fault| fault.limit()).into_iter().collect()
}

/// The reasons that every Google API shares, in either spelling: `rateLimitExceeded`,
/// `RATE_LIMIT_EXCEEDED`.
fn common(reason: &str) -> Option<Says> {
    Some(match folded(reason).as_str() {
        "autherror" | "expired" | "authorizationrequired" | "invalidcredentials" => {
            Says::expired_or_revoked()
        }
        "accesstokenexpired" => Says::plain(Reason::TokenExpired),
        "accesstokentypeunsupported" => Says::ambiguous(Reason::TokenInvalid),
        // Seen to come and go.
        "accountstateinvalid" => Says::ambiguous(Reason::AccountSuspended),
        "accesstokenscopeinsufficient"
        | "insufficientpermissions"
        | "insufficientpermission"
        | "insufficientscopes" => Says::plain(Reason::MissingPermission),
        "userblockedbyadmin" | "domainpolicy" => Says::plain(Reason::AdminPolicyBlocked),
        "credentialsmissing" | "required" => Says::Undetermined(Cause::UnexpectedAnswer),
        "servicedisabled" | "accessnotconfigured" => Says::app_problem(AppProblem::ApiDisabled),
        "consumersuspended" | "gcpsuspended" => Says::app_problem(AppProblem::AppSuspended),
        "consumerinvalid" | "resourceprojectinvalid" => Says::app_problem(AppProblem::AppDeleted),
        "billingdisabled" => Says::app_problem(AppProblem::OutOfCredit),
        "servicenotvisible" => Says::app_problem(AppProblem::AccessLevel),
        "keyinvalid" | "keyexpired" => Says::app_problem(AppProblem::SecretRefused),
        key if key.starts_with("apikey") => Says::app_problem(AppProblem::SecretRefused),
        "userprojectdenied" | "securitypolicyviolated" | "dailylimitexceededunreg" => {
            Says::app_problem(AppProblem::Unknown)
        }
        "ratelimitexceeded"
        | "resourcequotaexceeded"
        | "userratelimitexceeded"
        | "dailylimitexceeded"
        | "quotaexceeded"
        | "servinglimitexceeded"
        | "uploadratelimitexceeded"
        | "uploadlimitexceeded" => Says::Undetermined(Cause::RateLimited),
        "backenderror" | "internalerror" | "notready" => Says::Undetermined(Cause::ServerError),
        _ => return None,
    })
}

/// A reason in lower case and without underscores.
pub(super) fn folded(reason: &str) -> String {
    reason.chars().filter(|c| *c != '_').flat_map(char::to_lowercase).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
