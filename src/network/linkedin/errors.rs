//! LinkedIn's errors, in all their shapes, and what they mean.

use serde_json::Value;

use super::{INTROSPECT, bare, page_ids};
use crate::model::{AppProblem, Capability, Cause, Reason, Timestamp};
use crate::network::{
    Answer, Budget, Grant, Listed, Question, RateLimitStatus, Reading, Refusal, Reset, Says, parse, standard,
};

/// What remains of a refusal after introspection has called the token active: what it says about
/// roles. If the token is refused all the same, roles and owner stay unknown; a missing permission to
/// ask for them is not held against the account.
pub(super) fn after_introspection(reading: Reading) -> Reading {
    match reading.refusal().map(|refusal| refusal.reason) {
        None | Some(Some(Reason::NotAdmin | Reason::MissingRole)) => reading,
        Some(Some(Reason::MissingPermission)) => Reading::says(Says::Nothing),
        Some(_) => Reading::undetermined(Cause::UnexpectedAnswer),
    }
}

const APP: Says = Says::app_problem(AppProblem::Unknown);
const SECRET: Says = Says::app_problem(AppProblem::SecretRefused);
const VERSION: Says = Says::app_problem(AppProblem::VersionEnded);
const LIMITED: Says = Says::Undetermined(Cause::RateLimited);
const EXPIRED: Says = Says::ambiguous(Reason::TokenExpired);
const INVALID: Says = Says::ambiguous(Reason::TokenInvalid);
const REVOKED: Says = Says::ambiguous(Reason::AccessRevoked);
const RESTRICTED: Says = Says::ambiguous(Reason::AccountRestricted);
const TOKEN: Says = Says::expired_or_revoked();

/// Values of `serviceErrorCode` and `code`, and what they mean.
#[rustfmt::skip] // a row each
static CODES: &[(&[i64], &[&str], Says)] = &[
    // Also the answer to healthy tokens just after they were issued.
    (&[65601], &["REVOKED_ACCESS_TOKEN"], REVOKED),
    (&[65602], &["EXPIRED_ACCESS_TOKEN"], Says::plain(Reason::TokenExpired)),
    // An empty token, or another kind of header.
    (&[65603, 65604], &["EMPTY_ACCESS_TOKEN"], APP),
    (&[65600], &["INVALID_ACCESS_TOKEN"], INVALID),
    (&[], &["MEMBER_RESTRICTED"], RESTRICTED),
    (&[], &["INVALID_CLIENT", "INVALID_CLIENT_ID"], SECRET),
    (&[], &["UNAUTHORIZED_CLIENT", "UNAUTHORIZED_SCOPE_ERROR"], Says::app_problem(AppProblem::AccessLevel)),
    (&[], &["VERSION_MISSING", "NONEXISTENT_VERSION"], VERSION),
    (&[101], &["TOO_MANY_REQUESTS"], LIMITED),
    // About an authorization code or a refresh token, which a probe never sends.
    (&[], &["INVALID_GRANT"], Says::Undetermined(Cause::UnexpectedAnswer)),
];

/// Sentences that stand for a code, in lower case. All parts of a row must be present; the first row
/// that matches counts.
#[rustfmt::skip] // a row each
static SENTENCES: &[(&[&str], Says)] = &[
    (&["empty oauth2"], APP),
    (&["unknown authentication sche"], APP),
    (&["token", "revoked", "expired"], TOKEN),
    (&["token", "revoked"], REVOKED),
    // Fresh tokens got these texts, too.
    (&["token", "has expired"], EXPIRED),
    (&["token", "is expired"], EXPIRED),
    (&["token expired"], EXPIRED),
    (&["expired access token"], EXPIRED),
    (&["invalid access token"], INVALID),
    (&["unable to verify access token"], INVALID),
    (&["token is invalid"], INVALID),
    (&["invalid token"], INVALID),
    (&["member_restricted"], RESTRICTED),
    (&["member is restricted"], RESTRICTED),
    (&["client authentication failed"], SECRET),
    (&["client_id"], SECRET),
    (&["client_secret"], SECRET),
    (&["a version must be present"], VERSION),
    (&["requested version", "not active"], VERSION),
    (&["throttle limit"], LIMITED),
    (&["level throttle"], LIMITED),
];

/// An error in one of LinkedIn's shapes: `{serviceErrorCode, message, status}`, the same with
/// `code`, a gateway's without a number, OAuth's `{error, error_description}`, or a 429 inside a
/// success.
#[derive(Default)]
pub(super) struct Fault {
    number: Option<i64>,
    /// In upper case.
    code: String,
    /// In lower case.
    text: String,
    status: Option<u16>,
    /// Codes of `errorDetails.inputErrors`, in upper case.
    inputs: Vec<String>,
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
                code: c.get("error").unwrap_or_default().to_uppercase(),
                text: c.get("error_description").unwrap_or_default().to_lowercase(),
                status: answer.status,
                ..Self::default()
            });
        };
        if json["error"].is_object() {
            return Self::from_fields(&json["error"], answer.status);
        }
        let names = ["serviceErrorCode", "errorCode", "code", "message", "error", "error_description"];
        let found = names.iter().any(|name| json[*name].is_string() || json[*name].is_number());
        if found && !fields.contains_key("active") {
            return Self::from_fields(json, answer.status);
        }
        throttled(json, 4).then(|| Self { status: Some(429), ..Self::default() })
    }

    /// From a body that is no JSON: only its sentences count.
    fn from_text(answer: &Answer) -> Option<Self> {
        let (status, text) = parse::plain_text(answer)?;
        let failed = status.is_some() || answer.status.is_none_or(|s| s >= 400);
        let is_fault = failed || standard::wants_permissions(text);
        is_fault.then(|| Self { text: text.to_lowercase(), ..Self::default() })
    }

    fn from_fields(json: &Value, status: Option<u16>) -> Option<Self> {
        let text = |name: &str| parse::text(&json[name]).unwrap_or_default();
        let inner = parse::integer(&json["status"])
            .and_then(|s| u16::try_from(s).ok())
            .filter(|s| (100..1000).contains(s));
        let status = inner.or(status);
        let code = if json["code"].is_null() { text("error") } else { text("code") };
        let number = parse::integer(&json["serviceErrorCode"]);
        let details = json["errorDetails"]["inputErrors"].as_array().into_iter().flatten();
        let inputs: Vec<String> = details.filter_map(|e| e["code"].as_str()).map(str::to_uppercase).collect();
        let texts = [text("message"), text("error_description")].map(|text| text.to_lowercase());
        let message = texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" | ");
        // A message on a success without any mark of an error is no fault.
        let marked = number.is_some()
            || !code.is_empty()
            || status.is_none_or(|s| s >= 400)
            || standard::wants_permissions(&message);
        marked.then(|| Self { number, code: code.to_uppercase(), text: message, status, inputs })
    }

    pub(super) fn judge(&self, grant: &Grant<'_>, question: Question) -> Option<Reading> {
        let introspecting = question.is(&INTROSPECT);
        self.by_status()
            .or_else(|| self.content())
            .or_else(|| self.by_code())
            .or_else(|| self.by_text(grant, question))
            .or_else(|| {
                match self.status {
                    // Documented: a wrong client secret.
                    Some(401) if introspecting => Some(Reading::says(SECRET)),
                    // Documented for tokens only, but without the cause.
                    Some(401) => Some(Reading::says(TOKEN)),
                    // Documented: a malformed client id or token.
                    Some(400) if introspecting => Some(Reading::says(APP)),
                    _ => None,
                }
            })
    }

    /// Whether the post itself is refused: the same was posted before (Arisamiga/Linkedin-RSS issue 5;
    /// ComposioHQ/composio issue 2710).
    fn content(&self) -> Option<Reading> {
        let duplicate = |code: &String| code == "DUPLICATE_POST";
        let told = duplicate(&self.code) || self.inputs.iter().any(duplicate);
        (told || self.text.contains("content is a duplicate of")).then(Reading::content)
    }

    fn by_code(&self) -> Option<Reading> {
        let is_listed = |(numbers, codes, _): &&(&[i64], &[&str], Says)| {
            self.number.is_some_and(|n| numbers.contains(&n)) || codes.contains(&self.code.as_str())
        };
        CODES.iter().find(is_listed).map(|(.., says)| Reading::says(*says))
    }

    fn by_status(&self) -> Option<Reading> {
        Some(match self.status? {
            429 => Reading::says(LIMITED),
            426 => Reading::says(VERSION),
            500.. => Reading::undetermined(Cause::ServerError),
            _ => return None,
        })
    }

    fn by_text(&self, grant: &Grant<'_>, question: Question) -> Option<Reading> {
        let says = |part: &str| self.text.contains(part);
        if standard::wants_permissions(&self.text) {
            return Some(Reading::plain(Reason::MissingPermission));
        }
        if let Some((_, says)) = SENTENCES.iter().find(|(parts, _)| parts.iter().all(|part| says(part))) {
            return Some(Reading::says(*says));
        }
        let forbidden = self.status.is_none_or(|s| s == 403);
        let denied = forbidden && (self.number == Some(100) || self.code == "ACCESS_DENIED");
        if says("admin_only") {
            Some(self.not_admin(grant, question))
        } else if says("insufficient permissions to perform") {
            Some(Reading::refused(Refusal::plain(Reason::MissingRole).of_account()))
        } else if says("not enough permissions") || says("unpermitted fields") || denied {
            Some(self.lacking(grant, question))
        } else {
            None
        }
    }

    /// The person may not manage one page. The answer names it, and it may be another page than the
    /// one asked about: a single lost page makes a whole list fail.
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

    /// A permission is missing. If the account needs other capabilities, too, only the one behind the
    /// refused resource is lost.
    fn lacking(&self, grant: &Grant<'_>, question: Question) -> Reading {
        let needs = grant.account(question).map(|a| a.needs).unwrap_or_default();
        let partial = self.capability().filter(|c| needs.contains(*c) && needs.iter().count() > 1);
        match partial {
            Some(capability) => {
                Reading { lost: vec![(capability, Reason::MissingPermission)], ..Reading::accepted() }
            }
            None => Reading::plain(Reason::MissingPermission),
        }
    }

    /// The capability that the refused resource serves.
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

/// The exhausted daily limit, where the refusal says whose it is. Days end at midnight UTC.
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

/// Whether an answer contains a refusal for too many calls, as batches and decorated fields do.
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
