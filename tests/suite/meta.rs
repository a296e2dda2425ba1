//! What Meta's networks have in common: rate limits, batches, lines of logs, ended API versions.

use http::{HeaderMap, HeaderName, HeaderValue};
use token_exporter::model::{AppProblem, Cause, Reason, Secret};
use token_exporter::network::{
    Answer, Budget, Call, Question, RateLimitStatus, Reading, Refusal, Reset, ResolvedApp, Says, Style,
};
use token_exporter::simulator::load_fixtures;

use crate::networks::{grant, network, tokens};
use crate::probing::{client, probe, simulator};

fn answer(headers: &[(&'static str, &'static str)], body: &str) -> Answer {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    Answer::new(Some(200), headers, body.as_bytes())
}

fn limits(headers: &[(&'static str, &'static str)], body: &str) -> Vec<RateLimitStatus> {
    network("facebook").network().limits(&answer(headers, body))
}

#[test]
fn rate_limits_are_read_from_every_header() {
    let limits = limits(
        &[
            ("x-app-usage", r#"{"call_count":28,"total_time":25,"total_cputime":"31"}"#),
            ("x-page-usage", "not json"),
            (
                "x-business-use-case-usage",
                concat!(
                    r#"{"1":[{"type":"pages","call_count":10,"estimated_time_to_regain_access":0}],"#,
                    r#""2":[{"type":"instagram","total_time":99,"estimated_time_to_regain_access":5}]}"#,
                ),
            ),
            ("x-ad-account-usage", r#"{"acc_id_util_pct":9.5,"reset_time_duration":100}"#),
        ],
        "",
    );
    let limit = |bucket, budget, used, reset| RateLimitStatus { bucket, budget, used: Some(used), reset };
    assert_eq!(
        limits,
        [
            limit("app_usage", Budget::App, 0.31, None),
            limit("business_use_case_usage", Budget::Grant, 0.99, Some(Reset::After(300))),
            limit("ad_account_usage", Budget::Grant, 0.095, Some(Reset::After(100))),
        ]
    );
}

#[test]
fn instagram_counts_in_words_of_its_own() {
    let limits = limits(&[("x-app-usage", r#"{"call_volume":7,"cpu_time":2}"#)], "");
    assert_eq!(limits.first().and_then(|l| l.used), Some(0.07));
}

#[test]
fn only_a_limit_of_the_app_concerns_the_app() {
    let budget = |body: &str| limits(&[], body).first().map(|l| l.budget);
    let error = |code: i64| format!(r#"{{"error": {{"message": "x", "code": {code}}}}}"#);
    for code in [4, 341] {
        assert_eq!(budget(&error(code)), Some(Budget::App), "{code}");
    }
    for code in [9, 17, 32, 613, 80_001, 80_002, 80_014] {
        assert_eq!(budget(&error(code)), Some(Budget::Grant), "{code}");
    }
    let blocked = r#"{"error": {"message": "Action is blocked", "code": 4, "error_subcode": 2207051}}"#;
    assert_eq!(budget(blocked), Some(Budget::Grant));
    assert_eq!(budget("(#4) Application request limit reached"), Some(Budget::App));
    assert_eq!(budget("Calls to this api have exceeded the rate limit."), Some(Budget::Grant));
    for code in [2, 10, 190, 80_015] {
        assert_eq!(budget(&error(code)), None, "{code}");
    }
}

#[test]
fn batches_come_apart_in_order() {
    let facebook = network("facebook").network();
    let batch = facebook.batch(Style { api: "", oauth1: false }).expect("batches");
    let body = r#"[{"code":200,
        "headers":[{"name":"x-app-usage","value":"{\"call_count\":5}"}],"body":"{\"id\":\"1\"}"},
        null,{"code":"400","body":{"error":{}}}]"#;
    let items = (batch.unpack)(&answer(&[], body), 4).unwrap_or_default();
    let statuses: Vec<Option<u16>> = items.iter().map(|i| i.as_ref().and_then(|a| a.status)).collect();
    assert_eq!(statuses, [Some(200), None, Some(400), None]);
    assert_eq!(items[0].as_ref().map(|a| facebook.limits(a).len()), Some(1));
    let refused = answer(&[], r#"{"error":{"message":"Too many requests in batch message."}}"#);
    assert!((batch.unpack)(&refused, 2).is_none());
}

#[test]
fn a_batch_shows_no_token() {
    let facebook = network("facebook");
    let app = ResolvedApp {
        client_id: "1".into(),
        client_secret: Some(Secret::new("sim-secret")),
        api_version: "v27.0".into(),
        ..ResolvedApp::default()
    };
    let me = facebook.description().call("permissions").expect("a call");
    let call = Call::new(me, &["v27.0"]).bearer(&Secret::new("sim-token")).query("fields", "id,name");
    let batch = facebook.network().batch(Style { api: "", oauth1: false }).expect("batches");
    let packed = (batch.pack)(&app, &[&call, &call]);
    assert_eq!(packed.path, "/v27.0/");
    assert!(!format!("{packed:?}").contains("sim-"));
}

#[test]
fn codes_are_read_from_lines_of_logs() {
    let undetermined = Some(Says::Undetermined(Cause::UnexpectedAnswer));
    let refused = |refusal| Some(Says::Refused(refusal));
    let missing = Refusal::plain(Reason::MissingPermission).of_account();
    let (app, tokens) = (ResolvedApp::default(), tokens(""));
    for (line, says) in [
        ("Authorization Error; code=100; subcode=33", undetermined),
        ("Authorization Error; code=190; subcode=463", refused(Refusal::plain(Reason::TokenExpired))),
        ("OAuthException: (#100) No matching user found (code 100, subcode 2018001)", undetermined),
        ("OAuthException: (#10) No matching user found (code 10, subcode 2018001)", undetermined),
        ("OAuthException: (#10) No matching user found (code 10)", refused(missing)),
        ("FacebookException(code=10,type=OAuthException,message=refused)", refused(missing)),
        ("type: OAuthException, code: 200, message: x [HTTP 403]", refused(missing)),
        ("OAuthException: request failed with status code 200", None),
        ("HTTP code 190", None),
        ("code 10", None),
    ] {
        let answer = Answer { text: line.to_owned(), ..Answer::default() };
        let reading =
            network("facebook").network().read(&grant(&app, &tokens, &[]), &[], Question::default(), &answer);
        assert_eq!(reading.map(|r| r.says), says, "{line}");
    }
}

#[test]
fn a_later_version_answers_for_one_that_has_ended() {
    let read = |name: &str, asked: &str, header: &'static str, served: &'static str, body: &str| {
        let app = ResolvedApp { api_version: asked.into(), ..ResolvedApp::default() };
        let answer = answer(&[(header, served)], body);
        let tokens = tokens("sim-token");
        let reading =
            network(name).network().read(&grant(&app, &tokens, &[]), &[], Question::default(), &answer);
        reading.map(|Reading { says, version_ended, .. }| (says, version_ended))
    };
    let good = r#"{"id": "1000001", "name": "ACME"}"#;
    let accepted = |ended| Some((Says::Accepted, ended));
    assert_eq!(read("facebook", "v21.0", "facebook-api-version", "v22.0", good), accepted(true));
    assert_eq!(read("facebook", "v22.0", "facebook-api-version", "v22.0", good), accepted(false));
    assert_eq!(read("facebook", "v22.0", "facebook-api-version", "v21.0", good), accepted(false));
    assert_eq!(read("facebook", "v9.0", "facebook-api-version", "v10.0", good), accepted(true));
    assert_eq!(read("instagram", "v21.0", "instagram-api-version", "v22.0", good), accepted(true));
    assert_eq!(read("threads", "v1.0", "threads-api-version", "v1.0", good), accepted(false));
    let dead = r#"{"error": {"message": "x", "type": "OAuthException", "code": 190, "error_subcode": 460}}"#;
    let refused = Says::Refused(Refusal::plain(Reason::PasswordChanged));
    assert_eq!(read("facebook", "v21.0", "facebook-api-version", "v22.0", dead), Some((refused, true)));
    let unknown = r#"{"surprise": true}"#;
    let ended = Says::Undetermined(Cause::AppMisconfigured(AppProblem::VersionEnded));
    assert_eq!(
        read("facebook", "v21.0", "facebook-api-version", "v22.0", unknown).map(|(says, _)| says),
        Some(ended)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_tells_an_ended_version_although_the_login_is_valid() {
    let (_simulator, address) = simulator().await;
    let fixtures = load_fixtures().expect("fixtures");
    let facebook = fixtures.iter().find(|f| f.network.name() == "facebook").expect("fixtures of Facebook");
    for (name, ended) in [("version-served-is-a-later-one-and-works", true), ("valid", false)] {
        let case = facebook.cases.iter().find(|case| case.name == name).expect("a case");
        let outcome = probe(facebook, case, address, &client(10_000)).await;
        assert!(outcome.cause().is_none(), "{name}: {outcome:?}");
        assert_eq!(outcome.version_ended, ended, "{name}");
    }
}
