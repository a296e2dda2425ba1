//! The generic provider: what it asks, and what the sentences in answers say.

use serde_json::{Value, json};
use token_exporter::model::{Cause, Reason, Secret};
use token_exporter::network::{
    ProbeField, ProbeRefusal, ProbeRules, Reading, Refusal, ResolvedApp, Says, Seen, Tokens, read_answer,
};

use crate::networks::{answer, grant, network, question, tokens};

fn app(endpoints: &[(&'static str, &str)], secret: bool) -> ResolvedApp {
    ResolvedApp {
        client_id: "planner".into(),
        client_secret: secret.then(|| Secret::new("sim-secret")),
        endpoints: endpoints.iter().map(|(name, url)| (*name, (*url).to_owned())).collect(),
        ..ResolvedApp::default()
    }
}

/// Everything that a probe asks when these answers come: `name host path`.
fn asked(app: &ResolvedApp, refresh: bool, answers: &[(&str, u16, Value)]) -> Vec<String> {
    let refresh = refresh.then(|| Secret::new("sim-refresh"));
    let tokens = Tokens { refresh, ..tokens("sim-access") };
    let (grant, network) = (grant(app, &tokens, &[]), network("oauth2").network());
    let (mut seen, mut asked) = (Vec::new(), Vec::new());
    loop {
        let calls = network.next(&grant, &seen);
        if calls.is_empty() {
            return asked;
        }
        for call in calls {
            asked.push(format!("{} {}{}", call.info.name, call.host, call.path));
            let (status, json) = answers
                .iter()
                .find(|(asked, ..)| *asked == call.info.name)
                .map_or((404, Value::Null), |(_, status, json)| (*status, json.clone()));
            let reading = read_answer(network, &grant, &seen, call.question(), &answer(status, json));
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
    let answers = [
        ("openid_configuration", 404, Value::Null),
        ("authorization_server_metadata", 200, document.clone()),
        ("userinfo", 200, json!({"sub": "1"})),
    ];
    assert_eq!(
        asked(&issuer, false, &answers),
        [
            "openid_configuration https://id.example/tenant/.well-known/openid-configuration",
            "authorization_server_metadata \
             https://id.example/.well-known/oauth-authorization-server/tenant",
            "userinfo https://id.example/me?v=2",
        ]
    );
    let with_secret = app(&[("issuer", "https://id.example/tenant")], true);
    let answers =
        [("openid_configuration", 200, document.clone()), ("introspection", 200, json!({"active": true}))];
    assert_eq!(
        asked(&with_secret, false, &answers),
        [
            "openid_configuration https://id.example/tenant/.well-known/openid-configuration",
            "introspection https://id.example/introspect",
        ]
    );
    // A document of another issuer is not used.
    let other = app(&[("issuer", "https://other.example")], true);
    let answers = ["openid_configuration", "authorization_server_metadata"]
        .map(|document_of| (document_of, 200, document.clone()));
    assert_eq!(asked(&other, false, &answers).len(), 2);
}

#[test]
fn introspection_comes_first_and_a_refusal_ends_the_probe() {
    let endpoints =
        [("introspection_url", "https://id.example/introspect"), ("probe_url", "https://api.example/me")];
    let both = app(&endpoints, true);
    let names = |refresh, answers: &[(&str, u16, Value)]| -> Vec<String> {
        let asked = asked(&both, refresh, answers);
        asked.iter().filter_map(|a| a.split(' ').next().map(str::to_owned)).collect()
    };
    let active = ("introspection", 200, json!({"active": true}));
    assert_eq!(
        names(true, &[active, ("introspection_refresh", 500, Value::Null)]),
        ["introspection", "introspection_refresh", "probe"]
    );
    assert_eq!(names(true, &[("introspection", 200, json!({"active": false}))]), ["introspection"]);
    assert_eq!(
        names(false, &[("introspection", 401, json!({"error": "invalid_client"}))]),
        ["introspection"]
    );
    assert_eq!(names(false, &[]), ["introspection", "probe"]);
}

#[test]
fn a_base_url_alone_is_asked_itself() {
    let asked = asked(&app(&[], false), true, &[("probe", 200, json!({"id": "7"}))]);
    assert_eq!(asked, ["probe https://oauth2.invalid"]);
}

fn field(pointer: &str, value: Option<&str>) -> ProbeField {
    ProbeField { pointer: pointer.to_owned(), value: value.map(str::to_owned) }
}

/// What the probe URL of this app says with such an answer.
fn probed(app: &ResolvedApp, status: u16, json: Value) -> Reading {
    let (tokens, network) = (tokens("sim-access"), network("oauth2"));
    let question = question(network, "probe");
    read_answer(network.network(), &grant(app, &tokens, &[]), &[], question, &answer(status, json))
}

#[test]
fn fields_are_compared_as_they_are_written() {
    let json = json!({"data": {"id": 7, "ok": true, "name": "acme", "gone": null}, "list": [{"a/b": "1"}]});
    for (pointer, value, there) in [
        ("/data/id", None, true),
        ("/data/id", Some("7"), true),
        ("/data/id", Some("8"), false),
        ("/data/ok", Some("true"), true),
        ("/data/name", Some("acme"), true),
        ("/data/gone", None, false),
        ("/data", None, true),
        ("/data", Some("{}"), false),
        ("/list/0/a~1b", Some("1"), true),
        ("/nowhere", None, false),
    ] {
        assert_eq!(field(pointer, value).is_in(&json), there, "{pointer} {value:?}");
    }
}

#[test]
fn the_configured_rules_go_before_what_is_known() {
    let refused = vec![
        ProbeRefusal { status: Some(404), field: None, reason: Reason::MissingRole },
        ProbeRefusal { status: None, field: Some(field("/code", Some("17"))), reason: Reason::TokenExpired },
    ];
    let probe_rules = ProbeRules { expect: Some(field("/me/id", None)), refused };
    let app = ResolvedApp { probe_rules, ..app(&[("probe_url", "https://api.example/me")], false) };
    let plain = |reason| Says::Refused(Refusal::plain(reason));
    let unexpected = Says::Undetermined(Cause::UnexpectedAnswer);
    for (status, json, expected) in [
        (200, json!({"me": {"id": 7}}), Says::Accepted),
        (200, json!({"me": {"id": 7}, "code": 3, "message": "partial"}), Says::Accepted),
        (200, json!({"me": null}), unexpected),
        (200, json!({"id": 7}), unexpected),
        (200, json!({"code": 17}), plain(Reason::TokenExpired)),
        (404, json!({}), Says::Refused(Refusal::ambiguous(Reason::MissingRole))),
        (429, json!({"code": 17}), Says::Undetermined(Cause::RateLimited)),
        (503, json!({"code": 17}), Says::Undetermined(Cause::ServerError)),
        (403, json!({"code": 18}), unexpected),
    ] {
        assert_eq!(probed(&app, status, json.clone()).says, expected, "{status} {json}");
    }
}

/// The refusal in such an answer.
fn refusal(status: u16, json: Value) -> Option<Refusal> {
    probed(&ResolvedApp::default(), status, json).refusal()
}

#[test]
fn a_token_that_did_not_arrive_is_not_refused() {
    let says = |text| refusal(401, json!({"error": "invalid_token", "error_description": text}));
    assert_eq!(says("No access token was provided"), None);
    assert_eq!(says("The access token is invalid"), Some(Refusal::expired_or_revoked()));
}

#[test]
fn a_text_hints_only_where_it_names_one_cause() {
    for (text, reason) in [
        ("The access token expired", Some(Reason::TokenExpired)),
        ("Access token has expired or is not yet valid.", Some(Reason::TokenExpired)),
        ("\"exp\" claim timestamp check failed", Some(Reason::TokenExpired)),
        ("Token was revoked. You have to re-authorize from the user.", Some(Reason::AccessRevoked)),
        ("The access token is invalid or expired", None),
        ("Token is invalid or has expired", None),
        ("The access token provided is expired, revoked, malformed, or invalid", None),
        ("Token has been expired or revoked.", None),
        ("The access token is invalid", None),
        ("", None),
    ] {
        let refusal = refusal(401, json!({"error": "invalid_token", "error_description": text}));
        let expected = reason.map_or(Refusal::expired_or_revoked(), Refusal::ambiguous);
        assert_eq!(refusal, Some(expected), "{text}");
    }
}

#[test]
fn accounts_are_told_from_what_they_may_not_do() {
    for (text, reason) in [
        ("Sorry. Your account was suspended", Some(Reason::AccountSuspended)),
        ("403 Forbidden - Your account has been blocked.", Some(Reason::AccountSuspended)),
        ("User inactive or deleted.", Some(Reason::AccountDeactivated)),
        ("inactive user", Some(Reason::AccountDeactivated)),
        ("The account is locked, you've tried too often", Some(Reason::AccountLocked)),
        ("This feature is disabled for your account", None),
        ("The user is blocked by another member", None),
        ("User account not found", None),
    ] {
        assert_eq!(refusal(403, json!({"message": text})), reason.map(Refusal::plain), "{text}");
    }
}

#[test]
fn outside_a_401_a_token_has_to_be_called_bad() {
    for text in [
        "Invalid access token.",
        "The access_token provided is invalid.",
        "Your access token has expired",
        "This access token does not exist",
        "Token is no longer valid",
    ] {
        assert!(refusal(403, json!({"message": text})).is_some(), "{text}");
    }
    for text in [
        "invalid page token",
        "the pagetoken has expired",
        "The registration token is not a valid FCM registration token",
        "Unexpected token < in JSON at position 0: invalid JSON",
        "the token belongs to a sandbox",
        "Invalid request: access token is required",
        "invalid value for max_tokens",
        "invalid parameter: token",
    ] {
        assert_eq!(refusal(403, json!({"message": text})), None, "{text}");
    }
}
