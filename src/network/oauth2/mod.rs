//! Any OAuth 2.0 provider: introspection (RFC 7662), OpenID Connect userinfo, or a configured probe
//! URL.
//!
//! Introspection is asked first: it tells validity, expiry and scopes, and it is the one standard
//! way to look at a refresh token without using it up. Then the probe URL, or userinfo, with the
//! token itself. An `exp` in a JWT is an upper bound for the expiry and proves nothing else. With
//! an `issuer`, missing endpoints come from its discovery document (OpenID Connect Discovery 1.0,
//! RFC 8414).
//!
//! Challenges are read after RFC 6750, 9449 and 9470. Many APIs answer in a shape of their own;
//! those that are read here are documented in "Opcodes and status codes" (docs.discord.com),
//! "auth.test" (docs.slack.dev), reddit.com/dev/api, "Making requests"
//! (core.telegram.org/bots/api), "Microsoft Entra authentication and authorization error codes"
//! (learn.microsoft.com), "Authorization" (developer.spotify.com), "Troubleshooting"
//! (docs.github.com).

mod errors;

use serde_json::Value;
use url::{Position, Url};

use errors::{codes, refused};

use crate::model::{AppProblem, Capability, Expiry, Reason, Secret};
use crate::network::{
    Answer, AppNeed, Auth, Body, Budget, Call, CallInfo, Description, Grant, Method, Network, Param,
    Question, RateLimitStatus, Reading, Refusal, Requirement, Says, Scopes, Seen, Style, parse, standard,
};

pub(super) struct OAuth2;

/// Stands in where neither an endpoint nor a `base_url` is configured: reserved, resolves nowhere
/// (RFC 2606).
const NOWHERE: &str = "https://oauth2.invalid";

static INTROSPECTION: CallInfo = CallInfo {
    name: "introspection",
    method: Method::Post,
    url: "https://provider.example/oauth2/introspect",
    tells: "whether the access token is active, its expiry and scopes, whose it is",
    cost: "one request",
};

static REFRESH: CallInfo = CallInfo {
    name: "introspection_refresh",
    method: Method::Post,
    url: "https://provider.example/oauth2/introspect",
    tells: "when the refresh token ends; asked where the token source holds one",
    cost: "one request",
};

static USERINFO: CallInfo = CallInfo {
    name: "userinfo",
    method: Method::Get,
    url: "https://provider.example/oauth2/userinfo",
    tells: "whether the access token works, and whose it is",
    cost: "one request",
};

static PROBE: CallInfo = CallInfo {
    name: "probe",
    method: Method::Get,
    url: "https://provider.example/api/me",
    tells: "whether the access token works at the API itself; any URL that answers to a GET with \
                    the token",
    cost: "one request",
};

static OPENID: CallInfo = CallInfo {
    name: "openid_configuration",
    method: Method::Get,
    url: "https://provider.example/.well-known/openid-configuration",
    tells: "the endpoints, where an issuer is configured in their place",
    cost: "one request",
};

static METADATA: CallInfo = CallInfo {
    name: "authorization_server_metadata",
    method: Method::Get,
    url: "https://provider.example/.well-known/oauth-authorization-server",
    tells: "the same for providers without OpenID Connect",
    cost: "one request",
};

static DESCRIPTION: Description = Description {
    name: "oauth2",
    aliases: &[],
    title: "OAuth 2.0",
    apis: &[],
    app: AppNeed::Optional,
    kinds: &["profile"],
    carries: &[],
    api_version: None,
    calls: &[&INTROSPECTION, &REFRESH, &USERINFO, &PROBE, &OPENID, &METADATA],
    token_prefixes: &[],
    steps: &[],
    notes: crate::network::Notes {
        lifetimes: &["Whatever the provider sets. Introspection tells the end of the access token, and of \
                      the refresh token without using it up (RFC 7662); the `exp` of a JWT is an upper \
                      bound. Otherwise the end comes from the token response or the configuration."],
        tells: &[
            "A refused token from a missing permission and from a demand for a fresh login: by the codes of \
             RFC 6750 and 9470.",
            "What some widespread providers say in words of their own (Discord, GitHub, Microsoft, Reddit, \
             Slack, Spotify, Telegram).",
        ],
        cannot_tell: &[
            "Expired and revoked: introspection says `{\"active\": false}` to both on purpose (RFC 7662, \
             section 2.2); the known expiry decides.",
            "Revocation, where the API checks JWTs without asking its issuer: such a token works until its \
             `exp`.",
            "Roles and the state of accounts: no standard tells them.",
        ],
        interval: "1h. Know your provider's limits: Discord, for one, shuts out addresses that collect \
                   10,000 refusals in 10 minutes.",
    },
};

/// What an unknown provider's scopes and roles allow is not known: whoever has a token has every
/// capability.
static ANYTHING: Requirement = Requirement { scopes: &[], roles: &[] };

impl Network for OAuth2 {
    fn description(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn requirement(
        &self,
        _style: Style<'_>,
        _kind: &str,
        _capability: Capability,
    ) -> Option<&'static Requirement> {
        Some(&ANYTHING)
    }

    fn next(&self, grant: &Grant<'_>, seen: &[Seen]) -> Vec<Call> {
        if seen.iter().any(|s| !matches!(s.reading.says, Says::Nothing | Says::Accepted)) {
            return Vec::new();
        }
        let configured = |name: &str| setting(&grant.app.endpoints, name);
        let discovered = |name: &str| seen.iter().find_map(|s| setting(&s.reading.endpoints, name));
        let enough = configured("introspection_url").is_some()
            || configured("userinfo_url").is_some()
            || configured("probe_url").is_some();
        let issuer = configured("issuer").or((!enough).then_some(NOWHERE));
        if let Some(issuer) = issuer
            && seen.iter().all(|s| s.reading.endpoints.is_empty())
            && !(configured("introspection_url").is_some()
                && (configured("userinfo_url").is_some() || configured("probe_url").is_some()))
        {
            if !OPENID.was_asked(seen) {
                return well_known(&OPENID, issuer).into_iter().collect();
            }
            if !METADATA.was_asked(seen) {
                return well_known(&METADATA, issuer).into_iter().collect();
            }
        }
        // A discovered endpoint without a secret would refuse: callers of introspection have to
        // authenticate.
        let secret = grant.app.client_secret.as_ref();
        let introspection = configured("introspection_url")
            .or_else(|| discovered("introspection_url").filter(|_| secret.is_some()));
        if let Some(url) = introspection {
            if !INTROSPECTION.was_asked(seen) {
                return introspect(&INTROSPECTION, url, grant, &grant.tokens.access, "access_token")
                    .into_iter()
                    .collect();
            }
            if let Some(token) = grant.tokens.refresh.as_ref().filter(|_| !REFRESH.was_asked(seen)) {
                return introspect(&REFRESH, url, grant, token, "refresh_token").into_iter().collect();
            }
        }
        let alive = seen.iter().any(|s| s.reading.says == Says::Accepted);
        let userinfo = configured("userinfo_url")
            .or_else(|| discovered("userinfo_url").filter(|_| !alive && configured("probe_url").is_none()))
            .filter(|_| !USERINFO.was_asked(seen))
            .map(|url| (&USERINFO, url));
        let probe = configured("probe_url").filter(|_| !PROBE.was_asked(seen)).map(|url| (&PROBE, url));
        let with_token = |(call, url): (&'static CallInfo, &str)| {
            Some(at(url, |host, path| Call::at(call, host, path))?.bearer(&grant.tokens.access))
        };
        probe.into_iter().chain(userinfo).filter_map(with_token).collect()
    }

    fn read(&self, grant: &Grant<'_>, seen: &[Seen], question: Question, answer: &Answer) -> Option<Reading> {
        let active = INTROSPECTION.readings(seen).any(|r| r.says == Says::Accepted);
        if question.is(&OPENID) || question.is(&METADATA) {
            return discovery(grant, answer);
        }
        if question.is(&REFRESH) {
            return refresh(answer).or_else(|| active.then(Reading::default));
        }
        let mut reading = if question.is(&INTROSPECTION) {
            introspection(grant, answer)?
        } else if question.is(&USERINFO) && active {
            // Userinfo wants the scope "openid"; introspection has the last word.
            resource(grant, question, answer).filter(|r| r.says == Says::Accepted).unwrap_or_default()
        } else {
            resource(grant, question, answer)?
        };
        if matches!(reading.says, Says::Accepted | Says::Refused(_)) {
            reading.access_expiry = reading.access_expiry.or(standard::jwt_expiry(&grant.tokens.access));
        }
        Some(reading)
    }

    fn limits(&self, answer: &Answer) -> Vec<RateLimitStatus> {
        let of = |prefix| standard::rate_limit(answer, prefix, "requests", Budget::Grant);
        of("x-ratelimit-").or_else(|| of("ratelimit-")).into_iter().collect()
    }
}

fn setting<'a>(endpoints: &'a [(&'static str, String)], name: &str) -> Option<&'a str> {
    endpoints.iter().find(|(n, url)| *n == name && !url.is_empty()).map(|(_, url)| url.as_str())
}

/// A call to a configured or discovered URL. Its query stays with its path.
fn at(url: &str, call: impl FnOnce(String, String) -> Call) -> Option<Call> {
    let url = Url::parse(url).ok().filter(|u| u.has_host())?;
    Some(call(
        url[..Position::BeforePath].to_owned(),
        url[Position::BeforePath..Position::AfterQuery].to_owned(),
    ))
}

fn well_known(document: &'static CallInfo, issuer: &str) -> Option<Call> {
    at(issuer, |host, path| {
        let (path, document_path) = (path.trim_end_matches('/'), document.path());
        // OpenID Connect puts the document after the issuer's path, RFC 8414 before it.
        let path = if *document == OPENID {
            format!("{path}{document_path}")
        } else {
            format!("{document_path}{path}")
        };
        Call::at(document, host, path)
    })
}

fn introspect(
    call: &'static CallInfo,
    url: &str,
    grant: &Grant<'_>,
    token: &Secret,
    hint: &'static str,
) -> Option<Call> {
    let mut form: Vec<(&'static str, Param)> =
        vec![("token", token.into()), ("token_type_hint", hint.into())];
    let auth = match &grant.app.client_secret {
        Some(secret) => Auth::Basic(grant.app.client_id.clone(), secret.clone()),
        None => {
            if !grant.app.client_id.is_empty() {
                form.push(("client_id", grant.app.client_id.clone().into()));
            }
            Auth::None
        }
    };
    at(url, |host, path| Call::at(call, host, path).body(Body::Form(form)).auth(auth))
}

/// Reads a discovery document. That there is none says nothing about the token.
fn discovery(grant: &Grant<'_>, answer: &Answer) -> Option<Reading> {
    if answer.status.is_some_and(|s| s >= 500 || s == 429) {
        return None;
    }
    let told = |name: &str| answer.json.get(name).and_then(|v| v.as_str());
    let mut reading = Reading::default();
    let issuer = setting(&grant.app.endpoints, "issuer").map(|i| i.trim_end_matches('/'));
    // RFC 8414, section 3.3: a document of another issuer must not be used; client secrets would go
    // astray.
    let own = issuer.is_none() || issuer == told("issuer").map(|i| i.trim_end_matches('/'));
    // Plain http where the issuer itself is configured so: on loopback.
    let plain = issuer.is_some_and(|i| i.starts_with("http://"));
    if answer.maybe_success() && own {
        for (setting, name) in
            [("introspection_url", "introspection_endpoint"), ("userinfo_url", "userinfo_endpoint")]
        {
            if let Some(url) = told(name).filter(|url| plain || names_a_host(url)) {
                reading.endpoints.push((setting, url.to_owned()));
            }
        }
    }
    Some(reading)
}

/// Whether a URL that somebody else wrote is https and names a host. A bare address could lead
/// anywhere, home included; names are resolved and checked before they are connected to.
fn names_a_host(url: &str) -> bool {
    Url::parse(url).is_ok_and(|u| u.scheme() == "https" && u.domain().is_some_and(|name| name != "localhost"))
}

/// Reads what introspection says of the refresh token. Some servers know access tokens only and
/// call every other inactive: only a clock is taken from it, no verdict.
fn refresh(answer: &Answer) -> Option<Reading> {
    let active = answer.json.get("active").and_then(parse::boolean).filter(|_| answer.maybe_success())?;
    let exp = answer.json.get("exp").filter(|_| active);
    Some(Reading { refresh_expiry: exp.map_or(Expiry::Unknown, parse::expiry), ..Reading::default() })
}

fn introspection(grant: &Grant<'_>, answer: &Answer) -> Option<Reading> {
    if answer.maybe_success()
        && let Some(reading) = introspected(grant, &answer.json)
    {
        return Some(reading);
    }
    match answer.status {
        // Whatever it calls the error: it is the caller that is refused here, never the token.
        Some(401) => Some(Reading::app_problem(AppProblem::Unknown)),
        Some(403) if answer.json.is_object() => Some(Reading::app_problem(AppProblem::Unknown)),
        // No such endpoint: the other ways may still tell.
        Some(404 | 405) => Some(Reading::default()),
        Some(429 | 500..) => None,
        _ => standard::error(&codes(&answer.json).into_iter().next()?, "").filter(|r| r.refusal().is_none()),
    }
}

/// An answer of RFC 7662, section 2.2.
fn introspected(grant: &Grant<'_>, json: &Value) -> Option<Reading> {
    if !json.get("active").and_then(parse::boolean)? {
        return Some(Reading::refused(Refusal::expired_or_revoked()));
    }
    Some(described(grant, json))
}

/// An accepted token with what is told about it, in the names of RFC 7662.
fn described(grant: &Grant<'_>, json: &Value) -> Reading {
    let mut reading = Reading::accepted();
    reading.access_expiry = json.get("exp").map_or(Expiry::Unknown, parse::expiry);
    reading.issued = json.get("iat").and_then(parse::instant);
    let scopes = ["scope", "scopes", "scp"].iter().find_map(|name| json.get(name)).and_then(parse::scopes);
    reading.scopes = scopes.map(Scopes::new);
    let user = json.get("user").filter(|u| u.is_object()).unwrap_or(json);
    let told: Vec<String> = ["sub", "user_id", "id"]
        .iter()
        .filter_map(|name| json.get(name).or(user.get(name)))
        .filter_map(parse::text)
        .collect();
    reading.listed = standard::wrong_accounts(grant, &told);
    reading
}

/// Reads an answer of userinfo, of a probe URL, or of any other call that carried the token.
fn resource(grant: &Grant<'_>, question: Question, answer: &Answer) -> Option<Reading> {
    if answer.maybe_success() && answer.json.get("active").and_then(parse::boolean) == Some(false) {
        // Elsewhere an inactive person may be meant, not an inactive token.
        let about_a_token =
            ["client_id", "token_type", "exp", "scope"].iter().any(|name| answer.json.get(name).is_some());
        return introspected(grant, &answer.json).filter(|_| about_a_token || !has_owner(&answer.json));
    }
    if let Some(reading) = refused(answer) {
        return Some(reading);
    }
    accepted(grant, question, answer)
}

/// Whether an object tells of a person or an account.
fn has_owner(json: &Value) -> bool {
    let names = [
        "sub",
        "id",
        "user_id",
        "username",
        "preferred_username",
        "login",
        "email",
        "user",
        "account",
        "accountId",
        "me",
    ];
    names.iter().any(|name| json.get(name).is_some_and(|v| !v.is_null()))
}

/// Whether a success carries an error all the same.
fn has_error(json: &Value) -> bool {
    let there = |v: &Value| match v {
        Value::Null | Value::Bool(false) => false,
        Value::String(s) => !s.is_empty(),
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => !o.is_empty(),
        Value::Number(n) => n.as_i64() != Some(0),
        Value::Bool(true) => true,
    };
    let denied = |name: &str| json.get(name).and_then(Value::as_bool) == Some(false);
    let failed = json
        .get("status")
        .and_then(|v| v.as_str())
        .is_some_and(|s| matches!(s.to_lowercase().as_str(), "error" | "fail" | "failure"));
    ["error", "errors", "error_code", "errorCode"].iter().any(|name| json.get(name).is_some_and(there))
        || denied("ok")
        || denied("success")
        || failed
}

fn accepted(grant: &Grant<'_>, question: Question, answer: &Answer) -> Option<Reading> {
    if !answer.maybe_success() {
        return None;
    }
    if question.is(&USERINFO) && !answer.text.is_empty() {
        // Userinfo may come signed (OpenID Connect Core, section 5.3.2).
        let claims = Secret::new(answer.text.as_str()).jwt_claims().filter(|c| c.get("sub").is_some())?;
        return Some(Reading {
            access_expiry: Expiry::Unknown,
            issued: None,
            scopes: None,
            ..described(grant, &claims)
        });
    }
    if let Some(reading) = standard::token_response(answer) {
        return Some(reading);
    }
    let json = &answer.json;
    if has_error(json) {
        return None;
    }
    let succeeded = answer.status.is_some();
    if json.get("is_suspended").and_then(parse::boolean) == Some(true) {
        // Reddit.
        return Some(Reading::refused(Refusal::plain(Reason::AccountSuspended)));
    }
    let mut reading = match json {
        // A public document: no token was needed for it.
        Value::Object(o) if o.contains_key("issuer") && o.contains_key("jwks_uri") => {
            return Some(Reading::default());
        }
        Value::Object(o) if o.is_empty() => return None,
        Value::Object(_) if json.get("active").and_then(parse::boolean) == Some(true) && !has_owner(json) => {
            described(grant, json)
        }
        Value::Object(_) if has_owner(json) => described(grant, json),
        // Telegram wraps it, others call it data.
        Value::Object(_) if ["result", "data"].iter().any(|n| json.get(n).is_some_and(has_owner)) => {
            Reading::accepted()
        }
        // Slack and Telegram, of any call.
        Value::Object(_) if json.get("ok").and_then(Value::as_bool) == Some(true) => Reading::accepted(),
        Value::Object(_)
            if json.get("exp").is_some() && (json.get("aud").is_some() || json.get("scope").is_some()) =>
        {
            described(grant, json)
        }
        // The operator chose the URL: what it answers to a token is its own affair.
        Value::Object(_) if question.is(&PROBE) && succeeded => Reading::accepted(),
        Value::Array(items) if question.is(&PROBE) && succeeded && !items.is_empty() => Reading::accepted(),
        _ => return None,
    };
    let member = json.get("result").filter(|r| r["user"]["is_bot"] == true);
    if let Some(member) = member {
        // Telegram's getChatMember, about the bot itself.
        match member["status"].as_str() {
            Some("left" | "kicked") => return Some(Reading::refused(Refusal::plain(Reason::MissingRole))),
            _ if member["can_post_messages"] == false => {
                reading.lost = vec![(Capability::Publish, Reason::MissingRole)]
            }
            _ => {}
        }
    }
    if json.get("application").is_some_and(Value::is_object) {
        // Discord's oauth2/@me.
        reading.access_expiry =
            reading.access_expiry.or(json.get("expires").map_or(Expiry::Unknown, parse::expiry));
    }
    if let Some(scopes) = answer.header("x-oauth-scopes") {
        // Slack, GitHub.
        reading.scopes = Some(Scopes::new(parse::split_scopes(scopes)));
    }
    Some(reading)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use serde_json::json;

    use super::*;
    use crate::network::{ResolvedApp, Tokens, read_answer};

    fn app(endpoints: &[(&'static str, &str)], secret: bool) -> ResolvedApp {
        ResolvedApp {
            client_id: "planner".into(),
            client_secret: secret.then(|| Secret::new("sim-secret")),
            api_version: String::new(),
            endpoints: endpoints.iter().map(|(name, url)| (*name, (*url).to_owned())).collect(),
        }
    }

    /// Everything that a probe asks when these answers come: `name host path`.
    fn asked(app: &ResolvedApp, refresh: bool, answers: &[(&CallInfo, u16, Value)]) -> Vec<String> {
        let tokens = Tokens {
            access: Secret::new("sim-access"),
            secret: None,
            refresh: refresh.then(|| Secret::new("sim-refresh")),
            scopes: None,
        };
        let grant = Grant { style: Style { api: "", oauth1: false }, app, tokens: &tokens, accounts: &[] };
        let (mut seen, mut asked) = (Vec::new(), Vec::new());
        loop {
            let calls = OAuth2.next(&grant, &seen);
            if calls.is_empty() {
                return asked;
            }
            for call in calls {
                asked.push(format!("{} {}{}", call.info.name, call.host, call.path));
                let (status, json) = answers
                    .iter()
                    .find(|(asked, ..)| *asked == call.info)
                    .map_or((404, Value::Null), |(_, status, json)| (*status, json.clone()));
                let answer =
                    Answer { status: Some(status), headers: HeaderMap::new(), json, text: String::new() };
                let reading = read_answer(&OAuth2, &grant, &seen, call.question(), &answer);
                seen.push(Seen { question: call.question(), reading });
            }
        }
    }

    #[test]
    fn endpoints_come_from_the_issuer() {
        let document = json!({
            "issuer": "https://id.example/tenant", "introspection_endpoint": "https://id.example/introspect",
            "userinfo_endpoint": "https://id.example/me?v=2", "jwks_uri": "https://id.example/keys",
        });
        let issuer = app(&[("issuer", "https://id.example/tenant/")], false);
        assert_eq!(
            asked(
                &issuer,
                false,
                &[
                    (&OPENID, 404, Value::Null),
                    (&METADATA, 200, document.clone()),
                    (&USERINFO, 200, json!({"sub": "1"}))
                ]
            ),
            [
                "openid_configuration https://id.example/tenant/.well-known/openid-configuration",
                "authorization_server_metadata \
                 https://id.example/.well-known/oauth-authorization-server/tenant",
                "userinfo https://id.example/me?v=2",
            ]
        );
        let with_secret = app(&[("issuer", "https://id.example/tenant")], true);
        assert_eq!(
            asked(
                &with_secret,
                false,
                &[(&OPENID, 200, document.clone()), (&INTROSPECTION, 200, json!({"active": true}))]
            ),
            [
                "openid_configuration https://id.example/tenant/.well-known/openid-configuration",
                "introspection https://id.example/introspect",
            ]
        );
        // A document of another issuer is not used.
        let other = app(&[("issuer", "https://other.example")], true);
        assert_eq!(
            asked(&other, false, &[(&OPENID, 200, document.clone()), (&METADATA, 200, document)]).len(),
            2
        );
    }

    #[test]
    fn introspection_comes_first_and_a_refusal_ends_the_probe() {
        let endpoints =
            [("introspection_url", "https://id.example/introspect"), ("probe_url", "https://api.example/me")];
        let both = app(&endpoints, true);
        let names = |asked: Vec<String>| {
            asked.iter().filter_map(|a| a.split(' ').next().map(str::to_owned)).collect::<Vec<_>>()
        };
        assert_eq!(
            names(asked(
                &both,
                true,
                &[(&INTROSPECTION, 200, json!({"active": true})), (&REFRESH, 500, Value::Null)]
            )),
            [INTROSPECTION.name, REFRESH.name, PROBE.name]
        );
        assert_eq!(
            names(asked(&both, true, &[(&INTROSPECTION, 200, json!({"active": false}))])),
            [INTROSPECTION.name]
        );
        assert_eq!(
            names(asked(&both, false, &[(&INTROSPECTION, 401, json!({"error": "invalid_client"}))])),
            [INTROSPECTION.name]
        );
        assert_eq!(names(asked(&both, false, &[])), [INTROSPECTION.name, PROBE.name]);
    }
}
