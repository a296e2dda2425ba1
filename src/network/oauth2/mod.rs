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

mod codes;
mod families;
mod outcome;
mod refusal;
mod success;

use serde_json::Value;
use url::{Position, Url};

use outcome::{has_owner, objection};
use refusal::{codes, refused};
use success::{accepted, described};

use crate::model::{AppProblem, Capability, Expiry, Secret};
use crate::network::{
    Answer, Auth, Body, Budget, Call, CallInfo, Description, Grant, Method, Network, Param, Question,
    RateLimitStatus, Reading, Refusal, Rights, Says, Seen, Style, parse, standard,
};

pub(super) struct OAuth2;

/// The host of an app without endpoints, which its `base_url` replaces. The name is reserved and never
/// resolves (RFC 2606).
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
    title: "OAuth 2.0",
    calls: &[&INTROSPECTION, &REFRESH, &USERINFO, &PROBE, &OPENID, &METADATA],
    notes: crate::network::Notes {
        lifetimes: &[
            "Whatever the provider sets. Introspection tells the end of the access token, and that of \
                      the refresh token without using it up (RFC 7662); the `exp` of a JWT is an upper \
                      bound. Otherwise the end comes from the token response or the configuration.",
        ],
        tells: &[
            "A refused token from a missing permission and from a demand for a fresh login: by the codes of \
             RFC 6750 and 9470.",
            "What widespread providers say in their own codes (GitHub, Microsoft, Okta, Reddit, \
             Salesforce, Slack, Strava, Telegram, Zoom), in numbers (Baidu, Bilibili, DingTalk, Discord, \
             Douyin, Flickr, Kakao, Lark, QQ, TikTok Shop, VK, WeChat, WeCom, Weibo), or in sentences about \
             the token, its scopes or the account.",
            "A success from an answer with status 200 whose body says that it failed; for other APIs, \
             `probe_expect` and `probe_refused` say which is which ([oauth2.md](oauth2.md)).",
        ],
        cannot_tell: &[
            "Expired and revoked: introspection says `{\"active\": false}` to both on purpose (RFC 7662, \
             section 2.2); the known expiry decides.",
            "Revocation, where the API checks JWTs without asking its issuer: such a token works until its \
             `exp`.",
            "Roles and the state of accounts: no standard covers them.",
        ],
        only_writes: &[],
        interval: "1h. Know your provider's limits: Discord, for one, shuts out addresses that collect \
                   10,000 refusals in 10 minutes.",
    },
    ..Description::DEFAULT
};

/// What scopes and roles allow at an unknown provider is unknown: every token has every capability.
static ANYTHING: Rights = Rights::scopes(&[]);

impl Network for OAuth2 {
    fn description(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn rights(&self, _: Style<'_>, _: &str, _: Capability) -> Option<&'static Rights> {
        Some(&ANYTHING)
    }

    fn next(&self, grant: &Grant<'_>, seen: &[Seen]) -> Vec<Call> {
        if seen.iter().any(|s| !matches!(s.reading.says, Says::Nothing | Says::Accepted)) {
            return Vec::new();
        }
        let configured = |name: &str| setting(&grant.app.endpoints, name);
        let discovered = |name: &str| seen.iter().find_map(|s| setting(&s.reading.endpoints, name));
        if grant.app.endpoints.iter().all(|(_, url)| url.is_empty()) {
            let probe = Call::at(&PROBE, NOWHERE, "").bearer(&grant.tokens.access);
            return if PROBE.was_asked(seen) { Vec::new() } else { vec![probe] };
        }
        let is_complete = configured("introspection_url").is_some()
            && (configured("userinfo_url").is_some() || configured("probe_url").is_some());
        if let Some(issuer) = configured("issuer")
            && !is_complete
            && seen.iter().all(|s| s.reading.endpoints.is_empty())
            && let Some(document) = [&OPENID, &METADATA].into_iter().find(|d| !d.was_asked(seen))
        {
            return well_known(document, issuer).into_iter().collect();
        }
        // A discovered endpoint needs a secret: callers of introspection must authenticate.
        let secret = grant.app.client_secret.as_ref();
        let introspection = configured("introspection_url")
            .or_else(|| discovered("introspection_url").filter(|_| secret.is_some()));
        if let Some(url) = introspection {
            let access = Some((&INTROSPECTION, &grant.tokens.access, "access_token"));
            let refresh = grant.tokens.refresh.as_ref().map(|token| (&REFRESH, token, "refresh_token"));
            let mut tokens = access.into_iter().chain(refresh);
            if let Some((call, token, hint)) = tokens.find(|(call, ..)| !call.was_asked(seen)) {
                return introspect(call, url, grant, token, hint).into_iter().collect();
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
            // Userinfo needs the scope "openid", so introspection decides.
            resource(grant, question, answer).filter(|r| r.says == Says::Accepted).unwrap_or_default()
        } else if question.is(&PROBE) {
            probed(grant, question, answer)?
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
    let id = &grant.app.client_id;
    let auth = match &grant.app.client_secret {
        Some(secret) => Auth::Basic(id.clone(), secret.clone()),
        None => Auth::None,
    };
    if matches!(auth, Auth::None) && !id.is_empty() {
        form.push(("client_id", id.clone().into()));
    }
    at(url, |host, path| Call::at(call, host, path).body(Body::Form(form)).auth(auth))
}

/// Reads a discovery document. That there is none says nothing about the token.
fn discovery(grant: &Grant<'_>, answer: &Answer) -> Option<Reading> {
    if answer.status.is_some_and(|s| s >= 500 || s == 429) {
        return None;
    }
    let member = |name: &str| answer.json.get(name).and_then(|v| v.as_str());
    let mut reading = Reading::default();
    let issuer = setting(&grant.app.endpoints, "issuer").map(|i| i.trim_end_matches('/'));
    // RFC 8414, section 3.3: a document of another issuer must not be used, or it would receive client
    // secrets.
    let own = issuer.is_none() || issuer == member("issuer").map(|i| i.trim_end_matches('/'));
    // Plain http only if the issuer itself is configured so, on loopback.
    let plain = issuer.is_some_and(|i| i.starts_with("http://"));
    if answer.maybe_success() && own {
        for (setting, name) in
            [("introspection_url", "introspection_endpoint"), ("userinfo_url", "userinfo_endpoint")]
        {
            if let Some(url) = member(name).filter(|url| plain || names_a_host(url)) {
                reading.endpoints.push((setting, url.to_owned()));
            }
        }
    }
    Some(reading)
}

/// Whether a URL from a document is https and names a host. An address could lead anywhere, the local
/// network included; names are resolved and checked before a connection.
fn names_a_host(url: &str) -> bool {
    Url::parse(url).is_ok_and(|u| u.scheme() == "https" && u.domain().is_some_and(|name| name != "localhost"))
}

/// Reads what introspection says about the refresh token: only its end, no verdict, because some servers
/// know access tokens only and call every other token inactive.
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
        // Whatever the error is called: it refuses the caller, never the token.
        Some(401) => Some(Reading::app_problem(AppProblem::SecretRefused)),
        Some(403) if answer.json.is_object() => Some(Reading::app_problem(AppProblem::Unknown)),
        // No such endpoint: the other calls may still tell.
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

/// Reads an answer of userinfo, of a probe URL, or of any other call that carried the token.
fn resource(grant: &Grant<'_>, question: Question, answer: &Answer) -> Option<Reading> {
    if answer.maybe_success() && answer.json.get("active").and_then(parse::boolean) == Some(false) {
        // Elsewhere, the person may be inactive, not the token.
        let about_a_token =
            ["client_id", "token_type", "exp", "scope"].iter().any(|name| answer.json.get(name).is_some());
        return introspected(grant, &answer.json).filter(|_| about_a_token || !has_owner(&answer.json));
    }
    if !answer.maybe_success() {
        return refused(answer, None);
    }
    match objection(&answer.json) {
        Some(objection) => refused(answer, Some(objection)),
        None => accepted(grant, question, answer),
    }
}

/// Reads an answer of the probe URL: first as the configuration says, then as any other.
fn probed(grant: &Grant<'_>, question: Question, answer: &Answer) -> Option<Reading> {
    let rules = &grant.app.probe_rules;
    if let Some(refusal) = rules.refusal(answer).filter(|_| !matches!(answer.status, Some(429 | 500..))) {
        return Some(Reading::refused(refusal));
    }
    let reading = resource(grant, question, answer);
    let Some(expected) = rules.expect.as_ref().filter(|_| answer.maybe_success()) else { return reading };
    match reading {
        Some(reading) if reading.refusal().is_some() => Some(reading),
        _ if !expected.is_in(&answer.json) => None,
        reading => Some(reading.filter(|r| r.says == Says::Accepted).unwrap_or_else(Reading::accepted)),
    }
}
