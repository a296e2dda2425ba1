//! What single networks ask next, and how they read headers, clocks and lists in parts.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use token_exporter::model::{AppProblem, Capabilities, Cause, Expiry, Reason, Secret, Timestamp};
use token_exporter::network::{
    Account, Answer, Budget, Certainty, Clocks, Grant, Known, List, NetworkId, Question, RateLimitStatus,
    Reading, Refusal, Reset, ResolvedApp, Says, Scopes, Seen, Style, Tokens, Verdict, conclude, read_answer,
};

pub(crate) fn network(name: &str) -> NetworkId {
    NetworkId::from_name(name).expect("a network")
}

pub(crate) fn tokens(access: &str) -> Tokens {
    Tokens { access: Secret::new(access), secret: None, refresh: None, scopes: None }
}

pub(crate) fn grant<'a>(app: &'a ResolvedApp, tokens: &'a Tokens, accounts: &'a [Account<'a>]) -> Grant<'a> {
    Grant { style: Style { api: "", oauth1: false }, app, tokens, accounts }
}

/// The question that a network calls by this name, about the whole grant.
pub(crate) fn question(network: NetworkId, name: &str) -> Question {
    Question { call: Some(network.description().call(name).expect("a call")), about: None }
}

pub(crate) fn answer(status: u16, json: Value) -> Answer {
    Answer { status: Some(status), json, ..Answer::default() }
}

/// The limits in an answer with these headers.
fn limits(name: &str, headers: &[(&'static str, &'static str)]) -> Vec<RateLimitStatus> {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    network(name).network().limits(&Answer { headers, ..Answer::default() })
}

#[test]
fn limits_are_read_in_every_dialect() {
    let envoy = limits(
        "oauth2",
        &[
            ("x-ratelimit-limit", "100, 100;w=1, 1000;w=60"),
            ("x-ratelimit-remaining", "25"),
            ("x-ratelimit-reset", "67150"),
        ],
    );
    assert_eq!(envoy.iter().map(|l| l.used).collect::<Vec<_>>(), [Some(0.75)]);
    assert_eq!(envoy[0].reset, Some(Reset::After(67_150)));
    let mastodon = limits("mastodon", &[("x-ratelimit-reset", "2026-11-22T12:00:00.000000Z")]);
    assert!(matches!(mastodon[..], [RateLimitStatus { reset: Some(Reset::At(_)), .. }]), "{mastodon:?}");
    assert_eq!(limits("oauth2", &[("x-ratelimit-limit", "0"), ("x-ratelimit-remaining", "0")]), []);
    assert_eq!(limits("oauth2", &[]), []);
}

#[test]
fn x_tells_limits_by_headers() {
    let limit = |bucket, budget, used, reset| RateLimitStatus { bucket, budget, used: Some(used), reset };
    let reset = Timestamp::from_unix(1_795_000_000).map(Reset::At);
    assert_eq!(
        limits(
            "x",
            &[
                ("x-rate-limit-limit", "75"),
                ("x-rate-limit-remaining", "60"),
                ("x-rate-limit-reset", "1795000000"),
                ("x-app-limit-24hour-limit", "500"),
                ("x-app-limit-24hour-remaining", "0"),
                ("x-user-limit-24hour-limit", "50"),
                ("x-user-limit-24hour-remaining", "74"),
            ]
        ),
        [
            limit("15min", Budget::Grant, 1.0 - 60.0 / 75.0, reset),
            limit("app-24hour", Budget::App, 1.0, None),
            // More is left than there is: that must not be exported as less than nothing used.
            limit("user-24hour", Budget::Grant, 0.0, None),
        ]
    );
}

#[test]
fn linkedin_tells_a_daily_limit_that_ends_at_midnight() {
    let date = HeaderValue::from_static("Sun, 22 Nov 2026 18:00:00 GMT");
    let headers = std::iter::once((http::header::DATE, date)).collect();
    let json = json!({"status": 429, "message": "Resource level throttle [APPLICATION DAY] limit for \
     calls to this resource is reached."});
    let limits = network("linkedin").network().limits(&Answer { headers, ..answer(429, json) });
    let midnight = Timestamp::parse("2026-11-23T00:00:00Z").map(Reset::At);
    let limit = RateLimitStatus::new("application-day", Budget::App, Some(1.0), midnight);
    assert_eq!(limits, Vec::from_iter(limit));
}

/// A part of LinkedIn's role list with one row.
fn rows(role: &str, page: u32, start: usize, more: bool) -> Value {
    let links = if more { json!([{"rel": "next", "href": "/rest/organizationAcls"}]) } else { json!([]) };
    json!({
        "paging": {"start": start, "count": 1, "links": links},
        "elements": [{"role": role, "organization": format!("urn:li:organization:{page}"), "state":
         "APPROVED"}],
    })
}

/// What a probe of LinkedIn says about these accounts of one login, each a kind and an id, when the
/// role list comes in these parts.
fn linkedin(accounts: &[(&'static str, &'static str)], parts: &[Value]) -> Vec<Verdict> {
    let network = network("linkedin");
    let account = |(kind, id): &(&'static str, &'static str)| Account {
        network,
        kind,
        external_id: Some(id),
        needs: Capabilities::DEFAULT,
    };
    let accounts: Vec<_> = accounts.iter().map(account).collect();
    let app = ResolvedApp {
        client_id: "app".into(),
        client_secret: Some(Secret::new("s")),
        api_version: "202609".into(),
        ..ResolvedApp::default()
    };
    let tokens = tokens("t");
    let grant = grant(&app, &tokens, &accounts);
    let mut seen: Vec<Seen> = Vec::new();
    let mut parts = parts.iter();
    while let Some(call) = network.network().next(&grant, &seen).pop() {
        let introspected = call.info.name == "introspectToken";
        let json = if introspected { Some(json!({"active": true})) } else { parts.next().cloned() };
        let answer = json.map_or_else(|| answer(503, Value::Null), |json| answer(200, json));
        let reading = read_answer(network.network(), &grant, &seen, call.question(), &answer);
        seen.push(Seen { question: call.question(), reading });
    }
    let known = Known {
        now: Timestamp::now(),
        clocks: Clocks::default(),
        auto_refresh: false,
        grace: 0,
        excuse: None,
    };
    conclude(&grant, &seen, &known).into_iter().map(|f| f.verdict).collect()
}

#[test]
fn linkedins_role_list_counts_when_it_is_complete() {
    let no = |reason| Verdict::Invalid(reason, Certainty::Plain);
    let pages = [("organization", "7"), ("organization", "urn:li:organization:8")];
    let all = [
        rows("ANALYST", 7, 0, true),
        rows("CONTENT_ADMINISTRATOR", 7, 1, true),
        rows("ANALYST", 8, 2, false),
    ];
    assert_eq!(linkedin(&pages, &all), [Verdict::Valid, no(Reason::MissingRole)]);
    assert_eq!(
        linkedin(&pages, &[rows("ANALYST", 5, 0, true), rows("ADMINISTRATOR", 8, 1, false)]),
        [no(Reason::NotAdmin), Verdict::Valid]
    );
    let (app, tokens, network) = (ResolvedApp::default(), tokens("t"), network("linkedin"));
    let active = [Seen { question: question(network, "introspectToken"), reading: Reading::accepted() }];
    let part = |json: &Value| {
        let question = question(network, "organizationAcls");
        let answer = answer(200, json.clone());
        read_answer(network.network(), &grant(&app, &tokens, &[]), &active, question, &answer).list
    };
    assert_eq!(part(&all[1]), Some(List::ContinuesAt("2".to_owned())));
    assert_eq!(part(&all[2]), Some(List::Complete));
    let cut = linkedin(&pages, &all[..1]);
    assert!(cut.iter().all(|v| *v == Verdict::Undetermined(Cause::ServerError)), "{cut:?}");
}

#[test]
fn trouble_with_linkedins_role_list_leaves_the_profile_alone() {
    let login = [("profile", "yrZCpj2Z12"), ("organization", "7")];
    let unknown = |cause| [Verdict::Valid, Verdict::Undetermined(cause)];
    assert_eq!(linkedin(&login, &[]), unknown(Cause::ServerError));
    for (answer, cause) in [
        (json!({"status": 429, "message": "Throttle limit"}), Cause::RateLimited),
        (
            json!({"status": 426, "code": "NONEXISTENT_VERSION"}),
            Cause::AppMisconfigured(AppProblem::VersionEnded),
        ),
        (json!({"status": 401, "serviceErrorCode": 65601}), Cause::UnexpectedAnswer),
    ] {
        assert_eq!(linkedin(&login, std::slice::from_ref(&answer)), unknown(cause), "{answer}");
    }
    // Not allowed to ask: the role stays unknown and is not held against the page.
    let refused = json!({"status": 403, "serviceErrorCode": 100, "message": "Not enough permissions to \
     access: organizationAcls"});
    assert_eq!(linkedin(&login, &[refused]), [Verdict::Valid, Verdict::Valid]);
}

#[test]
fn linkedin_tells_a_token_of_another_app() {
    let (network, tokens) = (network("linkedin"), tokens("t"));
    let introspected = |app: &ResolvedApp| {
        let answer = answer(200, json!({"active": true, "client_id": "other"}));
        let question = question(network, "introspectToken");
        read_answer(network.network(), &grant(app, &tokens, &[]), &[], question, &answer)
    };
    let app = ResolvedApp { client_id: "app".into(), ..ResolvedApp::default() };
    let refusal = introspected(&app).refusal();
    assert_eq!(refusal.and_then(|r| r.reason), Some(Reason::TokenInvalid));
    assert_eq!(introspected(&ResolvedApp::default()).says, Says::Accepted);
}

#[test]
fn a_linkedin_sentence_wants_permissions_whatever_its_nouns() {
    let (network, tokens, app) = (network("linkedin"), tokens("t"), ResolvedApp::default());
    for (text, wanted) in [
        ("Organization Or Events permissions must be used when using organization as author", true),
        ("Member permissions must be used when using person as owner.", true),
        ("Application permissions must be used when using app as actor", true),
        ("The Organization permissions must be used when using organization as author", false),
        ("Organization permissions must be used when using an organization as author", false),
        ("Organization permissions must be used when posting", false),
        (" permissions must be used when using organization as author", false),
    ] {
        let answer = answer(403, json!({"message": text}));
        let grant = grant(&app, &tokens, &[]);
        let reading = read_answer(network.network(), &grant, &[], Question::default(), &answer);
        let missing = reading.refusal().and_then(|r| r.reason) == Some(Reason::MissingPermission);
        assert_eq!(missing, wanted, "{text}");
    }
}

fn jwt(claims: &Value) -> String {
    let segment = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}.c2ln", segment(&json!({"alg": "ES256K"})), segment(claims))
}

/// The names of the calls that Bluesky makes next.
fn bluesky_asks(grant: &Grant<'_>, seen: &[Seen]) -> Vec<&'static str> {
    network("bluesky").network().next(grant, seen).iter().map(|call| call.info.name).collect()
}

#[test]
fn bluesky_reads_clocks_and_scopes_from_the_tokens() {
    let access = json!({"scope": "com.atproto.appPass", "sub": "did:plc:sim", "iat": 1_795_000_000, "exp":
     1_795_007_200});
    let refresh = jwt(&json!({"scope": "com.atproto.refresh", "exp": 1_802_776_000}));
    let tokens = Tokens { refresh: Some(Secret::new(refresh)), ..tokens(&jwt(&access)) };
    let (app, network) = (ResolvedApp::default(), network("bluesky"));
    let grant = grant(&app, &tokens, &[]);
    let answer = answer(400, json!({"error": "ExpiredToken", "message": "Token has expired"}));
    let session = question(network, "getSession");
    let reading = read_answer(network.network(), &grant, &[], session, &answer);
    let at = |seconds| Timestamp::from_unix(seconds).map_or(Expiry::Unknown, Expiry::At);
    assert_eq!((reading.access_expiry, reading.refresh_expiry), (at(1_795_007_200), at(1_802_776_000)));
    assert_eq!(reading.scopes, Some(Scopes::new(["com.atproto.appPass"])));
    // The account's state may say why.
    assert_eq!(bluesky_asks(&grant, &[Seen { question: session, reading }]), ["getRepoStatus"]);
}

#[test]
fn bluesky_never_sends_a_bound_token() {
    let access = json!({"sub": "did:plc:sim", "cnf": {"jkt": "sim"}, "scope": "atproto transition:generic"});
    let (app, tokens, network) = (ResolvedApp::default(), tokens(&jwt(&access)), network("bluesky"));
    let grant = grant(&app, &tokens, &[]);
    assert_eq!(bluesky_asks(&grant, &[]), ["getRepoStatus"]);
    let answer = answer(400, json!({"error": "InvalidToken", "message": "Malformed token"}));
    let reading = read_answer(network.network(), &grant, &[], question(network, "getSession"), &answer);
    assert_eq!(reading.says, Says::Undetermined(Cause::AppMisconfigured(AppProblem::Unknown)));
}

#[test]
fn google_refuses_a_token_of_another_app() {
    let claims = answer(200, json!({"aud": "2-b.apps.googleusercontent.com", "exp": "1795000000"}));
    let says = |client_id: &str| {
        let app = ResolvedApp { client_id: client_id.into(), ..ResolvedApp::default() };
        let (youtube, tokens) = (network("youtube").network(), tokens("sim-token"));
        youtube.read(&grant(&app, &tokens, &[]), &[], Question::default(), &claims).map(|r| r.says)
    };
    let refused = Says::Refused(Refusal::plain(Reason::TokenInvalid));
    assert_eq!(says("1-a.apps.googleusercontent.com"), Some(refused));
    assert_eq!(says("2-b.apps.googleusercontent.com"), Some(Says::Accepted));
    assert_eq!(says(""), Some(Says::Accepted));
}

#[test]
fn a_probe_learns_whose_token_it_is() {
    for (name, api, call, body, expected) in [
        (
            "facebook",
            "",
            "debug_token",
            json!({"data": {"is_valid": true, "type": "USER", "user_id": 5_000_001}}),
            "5000001",
        ),
        (
            "facebook",
            "",
            "debug_token",
            json!({"data": {"is_valid": false, "user_id": "5000001", "error": {"code": 190, "subcode": 458}}}),
            "5000001",
        ),
        (
            "instagram",
            "instagram_login",
            "me",
            json!({"id": "5000002", "user_id": "17841", "username": "acme"}),
            "5000002",
        ),
        ("threads", "", "me", json!({"id": "5000003", "username": "acme"}), "5000003"),
        ("threads", "", "debug_token", json!({"data": {"is_valid": true, "user_id": "5000003"}}), "5000003"),
        (
            "tiktok",
            "login_kit",
            "user_info",
            json!({"data": {"user": {"open_id": "-000sim"}}, "error": {"code": "ok"}}),
            "-000sim",
        ),
        (
            "tiktok",
            "business",
            "token_info",
            json!({"code": 0, "data": {"creator_id": "-000sim", "scope": "x"}}),
            "-000sim",
        ),
        (
            "youtube",
            "",
            "tokeninfo",
            json!({"sub": "1087", "aud": "sim", "exp": "1795000000", "scope": "x"}),
            "1087",
        ),
        (
            "google_business",
            "",
            "tokeninfo",
            json!({"sub": "1087", "aud": "sim", "exp": "1795000000", "scope": "x"}),
            "1087",
        ),
        ("x", "", "me", json!({"data": {"id": "2244994945", "username": "acme"}}), "2244994945"),
    ] {
        let network = network(name);
        let (app, tokens) = (ResolvedApp::default(), tokens("sim-a"));
        let grant = Grant { style: Style { api, oauth1: false }, app: &app, tokens: &tokens, accounts: &[] };
        let question = question(network, call);
        let reading = read_answer(network.network(), &grant, &[], question, &answer(200, body));
        assert_eq!(reading.user_id.as_deref(), Some(expected), "{name} {call}");
    }
    // At Facebook, `me` can be the page.
    let facebook = network("facebook");
    let (app, tokens) = (ResolvedApp::default(), tokens("sim-a"));
    let me = answer(200, json!({"id": "1000001", "name": "ACME"}));
    let asked = question(facebook, "me");
    let reading = read_answer(facebook.network(), &grant(&app, &tokens, &[]), &[], asked, &me);
    assert_eq!(reading.user_id, None);
}
