//! What the networks of Google have in common: tokens, and the shapes in which Google says no.
//!
//! `tokeninfo` tells the expiry, the scopes and the client of an access token without any quota of
//! an API. Google prefers to be asked with the token in a header (google-auth-library-nodejs,
//! `getTokenInfo`): in an address it would end up in proxy logs. Refusals come in three shapes:
//! `error` as text (tokeninfo, the token endpoint), `error` as an object with `errors[].reason`
//! (older) or `details[].reason` (newer; names in googleapis/googleapis `google/api/error_reason.
//! proto`), and a `WWW-Authenticate` header. Codes are read before texts.

mod google_business;
mod youtube;

pub(super) use google_business::GoogleBusiness;
pub(super) use youtube::YouTube;

use serde_json::Value;

use crate::model::{AppProblem, Cause, Reason};
use crate::network::{Answer, Body, Call, CallInfo, Grant, Method, Reading, Refusal, Says, Scopes, parse};

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

/// The call that both networks begin with.
pub(super) static TOKENINFO: CallInfo = CallInfo {
    name: "tokeninfo",
    method: Method::Post,
    url: "https://oauth2.googleapis.com/tokeninfo",
    tells: "whether the access token lives, until when, for which scopes and which app",
    cost: "no quota; Google may throttle it",
};

/// Asks about the access token.
pub(super) fn ask_tokeninfo(grant: &Grant<'_>) -> Call {
    Call::new(&TOKENINFO, &[]).body(Body::Form(Vec::new())).bearer(&grant.tokens.access)
}

/// Whether one of these scopes (without prefix) is granted.
pub(super) fn grants_any(scopes: &Scopes, names: &[&str]) -> bool {
    scopes.granted.iter().any(|s| names.contains(&s.strip_prefix(PREFIX).unwrap_or(s)))
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
    // Only real client ids can be compared; an app may be configured under another name for its tests.
    let foreign = own.ends_with(".apps.googleusercontent.com")
        && !clients.is_empty()
        && clients.iter().all(|c| c != own);
    Some(Reading {
        says: if foreign { Says::Refused(Refusal::plain(Reason::TokenInvalid)) } else { Says::Accepted },
        // `expires_in` counts from a moment that a pasted answer does not tell: only `exp` is an instant.
        access_expiry: parse::expiry(&json["exp"]),
        scopes: scopes.map(Scopes::new),
        ..Reading::default()
    })
}

/// Reads who the token belongs to (the userinfo endpoint). It proves the token and tells nothing
/// else.
pub(super) fn read_person(answer: &Answer) -> Option<Reading> {
    let json = &answer.json;
    let named = ["email", "name", "picture"].iter().any(|n| json[*n].is_string());
    let person = (json["sub"].is_string() || json["id"].is_string())
        && named
        && json["kind"].is_null()
        && json["iss"].is_null();
    (answer.maybe_success() && person).then(Reading::accepted)
}

/// Reads a refusal whose `error` is a text: tokeninfo's, and those of the token endpoint, which a
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
        return Some(refused(Reason::ReauthRequired));
    }
    if is("admin_policy_enforced") {
        return Some(refused(Reason::AdminPolicyBlocked));
    }
    let expired_or_revoked = Says::Refused(Refusal::expired_or_revoked());
    Some(match error.as_deref() {
        Some("invalid_grant") => invalid_grant(description),
        Some("invalid_token") => expired_or_revoked,
        None if said("invalid value") => expired_or_revoked,
        Some("insufficient_scope") => refused(Reason::MissingPermission),
        Some("access_denied") if said("account restricted") => refused(Reason::AccountLocked),
        Some("invalid_client" | "deleted_client" | "disabled_client" | "unauthorized_client") => app(),
        Some("unsupported_grant_type" | "invalid_scope" | "redirect_uri_mismatch" | "org_internal") => app(),
        Some("invalid_request")
            if said("client id") || (said("missing required parameter") && !said("access_token")) =>
        {
            app()
        }
        // No token arrived. Userinfo also says so to a healthy token that lacks an identity scope
        // (google-api-nodejs-client #3900).
        Some("invalid_request") => Says::Undetermined(Cause::UnexpectedAnswer),
        Some("rate_limit_exceeded") => Says::Undetermined(Cause::RateLimited),
        Some("internal_failure" | "server_error" | "temporarily_unavailable" | "backend_error") => {
            Says::Undetermined(Cause::ServerError)
        }
        // Any other 403 of the token endpoint passes by itself (Chromium,
        // `oauth2_access_token_fetcher_impl.cc`).
        Some(_) if answer.is(403) => Says::Undetermined(Cause::RateLimited),
        _ => return None,
    })
}

/// What the description of an `invalid_grant` names; none: it is about the token itself, or says
/// nothing. Other providers use the same words (help.salesforce.com, GAM-team/GAM pull request 1171,
/// googleapis/google-api-ruby-client issue 720).
pub(super) fn grant_reason(description: &str) -> Option<Says> {
    let said = |part: &str| parse::contains(description, part);
    let any = |parts: &[&str]| parts.iter().any(|part| said(part));
    let account = any(&["account", "user", "robot"]);
    Some(if said("deactivated") || account && any(&["deleted", "inactive"]) {
        refused(Reason::AccountDeactivated)
    } else if account && any(&["disabled", "suspended"]) {
        refused(Reason::AccountSuspended)
    } else if said("admin_policy") {
        refused(Reason::AdminPolicyBlocked)
    } else if said("inactivity") {
        refused(Reason::TokenExpired)
    } else if said("invalid jwt") && any(&["iat", "timeframe", "short-lived"]) {
        Says::Undetermined(Cause::ClockSkew)
    } else if any(&[
        "invalid jwt",
        "auth code",
        "authorization code",
        "code verifier",
        "already redeemed",
        "email or user id",
    ]) {
        // The caller's own request: it says nothing about a grant.
        app()
    } else {
        return None;
    })
}

/// Why a grant is refused: one code, and the reason only in its description.
fn invalid_grant(description: &str) -> Says {
    let said = |part| parse::contains(description, part);
    if let Some(says) = grant_reason(description) {
        says
    } else if said("bad request") {
        // Malformed, of another client, or dead for long.
        Says::Refused(Refusal::ambiguous(Reason::TokenInvalid))
    } else {
        match (said("expired"), said("revoked")) {
            (true, false) => refused(Reason::TokenExpired),
            (false, true) => refused(Reason::AccessRevoked),
            _ => Says::Refused(Refusal::expired_or_revoked()),
        }
    }
}

/// A refusal in the envelope that all of Google's APIs share.
#[derive(Debug)]
pub(super) struct Fault<'a> {
    /// Machine-readable reasons, those of `details` before those of `errors`.
    pub(super) reasons: Vec<&'a str>,
    /// The canonical status (`NOT_FOUND`), or nothing.
    pub(super) status: &'a str,
    /// The code, which repeats the HTTP status.
    pub(super) code: Option<i64>,
    /// The text.
    pub(super) message: &'a str,
    /// The project was never given any quota.
    zero_quota: bool,
}

impl<'a> Fault<'a> {
    /// The refusal in an answer, if it has this shape.
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
        let list = |name: &str| error[name].as_array().map(Vec::as_slice).unwrap_or_default();
        let text = |value: &'a Value| value.as_str().unwrap_or_default();
        let none = |value: &Value| parse::integer(value) == Some(0);
        Some(Self {
            reasons: list("details")
                .iter()
                .chain(list("errors"))
                .filter_map(|e| e["reason"].as_str())
                .collect(),
            status: text(&error["status"]),
            code: parse::integer(&error["code"]).filter(|c| *c >= 100).or(answer.status.map(i64::from)),
            message: text(&error["message"]),
            zero_quota: list("details").iter().any(|d| {
                let violations = d["violations"].as_array().map(Vec::as_slice).unwrap_or_default();
                none(&d["metadata"]["quota_limit_value"]) || violations.iter().any(|v| none(&v["quotaValue"]))
            }),
        })
    }

    /// What it says: first by the network's own reasons, then by those of all networks, then by
    /// status and text.
    pub(super) fn says(&self, answer: &Answer, own: impl Fn(&str) -> Option<Says>) -> Option<Says> {
        if self.zero_quota {
            // Waiting does not help: the project is not approved for this API.
            return Some(app());
        }
        // The reason beside these may be no more than "forbidden".
        let said = |part| parse::contains(self.message, part);
        let scope =
            parse::challenges(&answer.headers).iter().any(|c| c.get("error") == Some("insufficient_scope"));
        if scope || said("insufficient authentication scopes") {
            return Some(refused(Reason::MissingPermission));
        }
        if said("has not been used in project") || said("valid api key") {
            return Some(app());
        }
        let by_reason = self.reasons.iter().find_map(|reason| own(reason).or_else(|| common(reason)));
        by_reason.or_else(|| self.by_text()).or_else(|| self.by_status(answer))
    }

    fn by_text(&self) -> Option<Says> {
        let said = |part| parse::contains(self.message, part);
        if said("insufficient permission") {
            Some(refused(Reason::MissingPermission))
        } else if said("it is disabled") {
            Some(app())
        } else if said("missing required authentication credential") || said("login required") {
            // No token arrived, or userinfo was asked with one that has no identity scope.
            Some(Says::Undetermined(Cause::UnexpectedAnswer))
        } else {
            None
        }
    }

    fn by_status(&self, answer: &Answer) -> Option<Says> {
        let said = |part| parse::contains(self.message, part);
        match self.status {
            "RESOURCE_EXHAUSTED" => return Some(Says::Undetermined(Cause::RateLimited)),
            "UNAVAILABLE" | "INTERNAL" | "DEADLINE_EXCEEDED" => {
                return Some(Says::Undetermined(Cause::ServerError));
            }
            _ => {}
        }
        match self.code {
            Some(429) => return Some(Says::Undetermined(Cause::RateLimited)),
            Some(500..) => return Some(Says::Undetermined(Cause::ServerError)),
            _ => {}
        }
        // A 401 for a reason that nobody has taught this program can hit a healthy token: YouTube's
        // youtubeSignupRequired is one. Only a 401 without any reason speaks of the token.
        if !self.reasons.is_empty() {
            return None;
        }
        let invalid = said("invalid credentials") || said("invalid authentication credentials");
        if self.status == "UNAUTHENTICATED" || (self.code == Some(401) && invalid) {
            return Some(Says::Refused(Refusal::expired_or_revoked()));
        }
        read_challenge(answer)
    }
}

/// Reads `WWW-Authenticate` (RFC 6750): all that some refusals carry.
pub(super) fn read_challenge(answer: &Answer) -> Option<Says> {
    parse::challenges(&answer.headers).iter().find_map(|challenge| match challenge.get("error") {
        Some("insufficient_scope") => Some(refused(Reason::MissingPermission)),
        Some("invalid_token") if answer.status.is_none_or(|s| s == 401) => {
            Some(Says::Refused(Refusal::expired_or_revoked()))
        }
        _ => None,
    })
}

/// The reasons that every Google API shares, in either spelling: `rateLimitExceeded`,
/// `RATE_LIMIT_EXCEEDED`.
fn common(reason: &str) -> Option<Says> {
    Some(match folded(reason).as_str() {
        "autherror" | "expired" | "authorizationrequired" | "invalidcredentials" => {
            Says::Refused(Refusal::expired_or_revoked())
        }
        "accesstokenexpired" => refused(Reason::TokenExpired),
        "accesstokentypeunsupported" => Says::Refused(Refusal::ambiguous(Reason::TokenInvalid)),
        // Seen to come and go.
        "accountstateinvalid" => Says::Refused(Refusal::ambiguous(Reason::AccountSuspended)),
        "accesstokenscopeinsufficient"
        | "insufficientpermissions"
        | "insufficientpermission"
        | "insufficientscopes" => refused(Reason::MissingPermission),
        "userblockedbyadmin" | "domainpolicy" => refused(Reason::AdminPolicyBlocked),
        "credentialsmissing" | "required" => Says::Undetermined(Cause::UnexpectedAnswer),
        "servicedisabled"
        | "accessnotconfigured"
        | "consumersuspended"
        | "consumerinvalid"
        | "userprojectdenied"
        | "billingdisabled"
        | "servicenotvisible"
        | "gcpsuspended"
        | "resourceprojectinvalid"
        | "securitypolicyviolated"
        | "keyinvalid"
        | "keyexpired"
        | "dailylimitexceededunreg" => app(),
        key if key.starts_with("apikey") => app(),
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

fn refused(reason: Reason) -> Says {
    Says::Refused(Refusal::plain(reason))
}

fn app() -> Says {
    Says::Undetermined(Cause::AppMisconfigured(AppProblem::Unknown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Secret;
    use crate::network::{ResolvedApp, Style, Tokens};
    use serde_json::json;

    #[test]
    fn a_token_of_another_app_is_refused() {
        let tokens = Tokens { access: Secret::new("sim-token"), secret: None, refresh: None, scopes: None };
        let answer = Answer {
            status: Some(200),
            json: json!({"aud": "2-b.apps.googleusercontent.com", "exp": "1795000000"}),
            ..Answer::default()
        };
        let says = |client_id: &str| {
            let app = ResolvedApp { client_id: client_id.into(), ..ResolvedApp::default() };
            let grant =
                Grant { style: Style { api: "", oauth1: false }, app: &app, tokens: &tokens, accounts: &[] };
            read_token(&grant, &answer).map(|r| r.says)
        };
        assert_eq!(says("1-a.apps.googleusercontent.com"), Some(refused(Reason::TokenInvalid)));
        assert_eq!(says("2-b.apps.googleusercontent.com"), Some(Says::Accepted));
        assert_eq!(says(""), Some(Says::Accepted));
    }
}
