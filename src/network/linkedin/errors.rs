//! LinkedIn's errors, in all their shapes, and what they mean.

use serde_json::Value;

use super::{INTROSPECT, bare, page_ids};
use crate::model::{AppProblem, Capability, Cause, Reason, Timestamp};
use crate::network::{
    Answer, Budget, Grant, Listed, Question, RateLimitStatus, Reading, Refusal, Reset, Says, parse, standard,
};

/// What is left of a refusal once introspection has called the token active: what it says about
/// roles. A token that is refused all the same leaves roles and owner open; a missing permission to
/// ask does not count against them.
pub(super) fn in_the_light_of_introspection(reading: Reading) -> Reading {
    match reading.refusal().map(|refusal| refusal.reason) {
        None | Some(Some(Reason::NotAdmin | Reason::MissingRole)) => reading,
        Some(Some(Reason::MissingPermission)) => Reading::says(Says::Nothing),
        Some(_) => Reading::undetermined(Cause::UnexpectedAnswer),
    }
}

/// An error in one of LinkedIn's shapes: `{serviceErrorCode, message, status}`, the same with
/// `code`, a gateway's without a number, OAuth's `{error, error_description}`; or a 429 inside a
/// 200.
pub(super) struct Fault {
    number: Option<i64>,
    /// In upper case.
    code: String,
    /// In lower case.
    text: String,
    status: Option<u16>,
}

impl Fault {
    pub(super) fn find(answer: &Answer) -> Option<Self> {
        let json = &answer.json;
        if let Some(fault) = Self::from_text(answer) {
            return Some(fault);
        }
        let Value::Object(fields) = json else {
            // Some 401s say it in the challenge alone (RFC 6750).
            let challenge = parse::challenges(&answer.headers).into_iter().find(|c| c.get("error").is_some());
            return challenge.filter(|_| answer.is(401)).map(|c| Self {
                number: None,
                code: c.get("error").unwrap_or_default().to_uppercase(),
                text: c.get("error_description").unwrap_or_default().to_lowercase(),
                status: answer.status,
            });
        };
        if json["error"].is_object() {
            return Self::from_fields(&json["error"], answer.status);
        }
        let spoken = ["serviceErrorCode", "errorCode", "code", "message", "error", "error_description"];
        if !fields.contains_key("active")
            && spoken.iter().any(|name| json[*name].is_string() || json[*name].is_number())
        {
            return Self::from_fields(json, answer.status);
        }
        throttled(json, 4).then(|| Self {
            number: None,
            code: String::new(),
            text: String::new(),
            status: Some(429),
        })
    }

    /// From a body that is no JSON: only what the sentences say counts.
    fn from_text(answer: &Answer) -> Option<Self> {
        let (told, text) = parse::plain_text(answer)?;
        let failed = told.is_some() || answer.status.is_none_or(|s| s >= 400);
        (failed || standard::wants_permissions(text)).then(|| Self {
            number: None,
            code: String::new(),
            text: text.to_lowercase(),
            status: None,
        })
    }

    fn from_fields(json: &Value, status: Option<u16>) -> Option<Self> {
        let text = |name: &str| parse::text(&json[name]).unwrap_or_default();
        let inner = parse::integer(&json["status"])
            .and_then(|s| u16::try_from(s).ok())
            .filter(|s| (100..1000).contains(s));
        let status = inner.or(status);
        let code = if json["code"].is_null() { text("error") } else { text("code") };
        let number = parse::integer(&json["serviceErrorCode"]);
        let texts = [text("message"), text("error_description")].map(|text| text.to_lowercase());
        let message = texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" | ");
        // A message on a success (with nothing that marks an error) is no fault.
        let marked = number.is_some()
            || !code.is_empty()
            || status.is_none_or(|s| s >= 400)
            || standard::wants_permissions(&message);
        marked.then(|| Self { number, code: code.to_uppercase(), text: message, status })
    }

    pub(super) fn judge(&self, grant: &Grant<'_>, question: Question) -> Option<Reading> {
        let introspecting = question.is(&INTROSPECT);
        self.by_status().or_else(|| self.by_code()).or_else(|| self.by_text(grant, question)).or_else(|| {
            match self.status {
                // Documented: a wrong client secret.
                Some(401) if introspecting => Some(Reading::app_problem(AppProblem::SecretRefused)),
                // Documented for tokens alone, here without the word for which trouble it is.
                Some(401) => Some(Reading::refused(Refusal::expired_or_revoked())),
                // Documented: a client id or token that is none.
                Some(400) if introspecting => Some(Reading::app_problem(AppProblem::Unknown)),
                _ => None,
            }
        })
    }

    fn by_code(&self) -> Option<Reading> {
        Some(match (self.number, self.code.as_str()) {
            // Also the answer to healthy tokens just after they were issued.
            (Some(65601), _) | (_, "REVOKED_ACCESS_TOKEN") => {
                Reading::refused(Refusal::ambiguous(Reason::AccessRevoked))
            }
            (Some(65602), _) | (_, "EXPIRED_ACCESS_TOKEN") => {
                Reading::refused(Refusal::plain(Reason::TokenExpired))
            }
            // A blank token, or a header of another kind.
            (Some(65603 | 65604), _) | (_, "EMPTY_ACCESS_TOKEN") => Reading::app_problem(AppProblem::Unknown),
            (Some(65600), _) | (_, "INVALID_ACCESS_TOKEN") => {
                Reading::refused(Refusal::ambiguous(Reason::TokenInvalid))
            }
            (_, "MEMBER_RESTRICTED") => Reading::refused(Refusal::ambiguous(Reason::AccountRestricted)),
            (_, "INVALID_CLIENT" | "INVALID_CLIENT_ID") => Reading::app_problem(AppProblem::SecretRefused),
            (_, "UNAUTHORIZED_CLIENT" | "UNAUTHORIZED_SCOPE_ERROR") => {
                Reading::app_problem(AppProblem::AccessLevel)
            }
            (_, "VERSION_MISSING" | "NONEXISTENT_VERSION") => Reading::app_problem(AppProblem::VersionEnded),
            (Some(101), _) | (_, "TOO_MANY_REQUESTS") => Reading::undetermined(Cause::RateLimited),
            // About an authorization code or a refresh token, which a probe never sends.
            (_, "INVALID_GRANT") => Reading::undetermined(Cause::UnexpectedAnswer),
            _ => return None,
        })
    }

    fn by_status(&self) -> Option<Reading> {
        Some(match self.status? {
            429 => Reading::undetermined(Cause::RateLimited),
            426 => Reading::app_problem(AppProblem::VersionEnded),
            500.. => Reading::undetermined(Cause::ServerError),
            _ => return None,
        })
    }

    fn by_text(&self, grant: &Grant<'_>, question: Question) -> Option<Reading> {
        let says = |part: &str| self.text.contains(part);
        let token = says("token");
        let forbidden = self.status.is_none_or(|s| s == 403);
        Some(if standard::wants_permissions(&self.text) {
            Reading::refused(Refusal::plain(Reason::MissingPermission))
        } else if says("empty oauth2") || says("unknown authentication sche") {
            Reading::app_problem(AppProblem::Unknown)
        } else if token && says("revoked") && says("expired") {
            Reading::refused(Refusal::expired_or_revoked())
        } else if token && says("revoked") {
            Reading::refused(Refusal::ambiguous(Reason::AccessRevoked))
        } else if token
            && (says("has expired")
                || says("is expired")
                || says("token expired")
                || says("expired access token"))
        {
            // By text alone: fresh tokens were told so, too.
            Reading::refused(Refusal::ambiguous(Reason::TokenExpired))
        } else if [
            "invalid access token",
            "unable to verify access token",
            "token is invalid",
            "invalid token",
        ]
        .iter()
        .any(|p| says(p))
        {
            Reading::refused(Refusal::ambiguous(Reason::TokenInvalid))
        } else if says("member_restricted") || says("member is restricted") {
            Reading::refused(Refusal::ambiguous(Reason::AccountRestricted))
        } else if says("client authentication failed") || says("client_id") || says("client_secret") {
            Reading::app_problem(AppProblem::SecretRefused)
        } else if says("a version must be present") || says("requested version") && says("not active") {
            Reading::app_problem(AppProblem::VersionEnded)
        } else if says("throttle limit") || says("level throttle") {
            Reading::undetermined(Cause::RateLimited)
        } else if says("admin_only") {
            self.not_admin(grant, question)
        } else if says("insufficient permissions to perform") {
            Reading::refused(Refusal::plain(Reason::MissingRole).of_account())
        } else if says("not enough permissions")
            || says("unpermitted fields")
            || forbidden && (self.number == Some(100) || self.code == "ACCESS_DENIED")
        {
            self.lacking(grant, question)
        } else {
            return None;
        })
    }

    /// One page is closed to the person. The answer names it, and it may be another than the one
    /// that is meant: a single lost page ends a whole list.
    fn not_admin(&self, grant: &Grant<'_>, question: Question) -> Reading {
        let refused = Refusal::plain(Reason::NotAdmin).of_account();
        let named = self
            .text
            .split_once("urn:li:organization:")
            .map(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next());
        let Some(page) = named.flatten().filter(|id| !id.is_empty()) else {
            return Reading::refused(refused);
        };
        if grant.account(question).is_some_and(|a| a.external_id.is_none()) {
            return Reading::refused(refused);
        }
        let lost = page_ids(grant).filter(|id| bare(id) == page);
        let listed = lost.map(|id| Listed::refused(id, refused)).collect();
        Reading { listed, ..Reading::undetermined(Cause::UnexpectedAnswer) }
    }

    /// A permission is missing: for the one capability behind the refused resource if the account
    /// needs others, too.
    fn lacking(&self, grant: &Grant<'_>, question: Question) -> Reading {
        let needs = grant.account(question).map(|a| a.needs).unwrap_or_default();
        let partial = self.capability().filter(|c| needs.contains(*c) && needs.iter().count() > 1);
        match partial {
            Some(capability) => {
                Reading { lost: vec![(capability, Reason::MissingPermission)], ..Reading::accepted() }
            }
            None => Reading::refused(Refusal::plain(Reason::MissingPermission)),
        }
    }

    /// What the refused resource is good for.
    fn capability(&self) -> Option<Capability> {
        let resource = self.text.split_once("to access").map_or("", |(_, resource)| resource);
        let names = |parts: &[&str]| parts.iter().any(|p| resource.contains(p));
        if names(&["adaccount", "adanalytics", "adcampaign", "adtarget", "creatives", "leadform"]) {
            Some(Capability::Ads)
        } else if names(&[
            "socialactions",
            "comments",
            "reactions",
            "likes",
            "socialmetadata",
            "organizationalentitynotifications",
        ]) {
            Some(Capability::Inbox)
        } else if names(&["statistics", "analytics"]) {
            Some(Capability::Analytics)
        } else if names(&["create", "post /", "registerupload", "initializeupload", "media resource"]) {
            Some(Capability::Publish)
        } else {
            None
        }
    }
}

/// The daily limit that is used up, where the refusal says whose it is. Days end at midnight UTC.
pub(super) fn spent_limit(answer: &Answer) -> Option<RateLimitStatus> {
    const DAY: i64 = 86_400;
    let fault = Fault::find(answer)?;
    let (bucket, budget) = if fault.text.contains("member day") {
        ("member-day", Budget::Grant)
    } else if fault.text.contains("application day") {
        ("application-day", Budget::App)
    } else {
        return None;
    };
    let midnight = match answer.header("date").and_then(parse::reset) {
        Some(Reset::At(now)) => Timestamp::from_unix((now.unix() / DAY + 1) * DAY).map(Reset::At),
        _ => None,
    };
    RateLimitStatus::new(bucket, budget, Some(1.0), midnight)
}

/// Whether an answer holds a refusal for too many calls somewhere inside (batches and decorated
/// fields do).
fn throttled(value: &Value, depth: usize) -> bool {
    match value {
        Value::Object(fields) => {
            parse::integer(&value["status"]) == Some(429)
                || depth > 0 && fields.values().any(|inner| throttled(inner, depth - 1))
        }
        Value::Array(items) => depth > 0 && items.iter().any(|inner| throttled(inner, depth - 1)),
        _ => false,
    }
}
