//! Properties of every network, tested with damaged copies of its healthy answers.

use serde_json::{Value, json};
use token_exporter::model::{Cause, Timestamp};
use token_exporter::network::Verdict;
use token_exporter::report::{Payload, classify};
use token_exporter::simulator::{Fixtures, Reply, fill, load_fixtures};

use crate::reading::ID;

const HTML: &str = "<!DOCTYPE html><html><head><title>Sorry, something went \
                    wrong.</title></head><body>invalid expired revoked</body></html>";

fn verdict(fixtures: &Fixtures, key: &str, status: Option<u16>, body: Value) -> Verdict {
    let (api, call) = key.split_once('/').map_or((None, key), |(api, call)| (Some(api), call));
    let payload: Payload = serde_json::from_value(json!({
        "network": fixtures.network.name(), "call": call, "http_status": status, "body": body,
        "context": {"needs": [], "external_id": ID, "api": api},
    }))
    .expect("a payload");
    classify(&payload, Timestamp::now()).expect("classified").finding.verdict
}

fn healthy(reply: &Reply) -> Value {
    let text = fill(&reply.body, Timestamp::now(), ID, "sim-healthy");
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

/// Runs a check on each healthy answer of each network.
fn each(check: impl Fn(&Fixtures, &str, &Reply)) {
    let mut checked = 0;
    for fixtures in load_fixtures().expect("fixtures") {
        assert!(!fixtures.healthy.is_empty(), "{} has no healthy answers", fixtures.network);
        for (key, reply) in &fixtures.healthy {
            check(&fixtures, key, reply);
            checked += 1;
        }
    }
    assert!(checked > 0);
}

#[test]
fn healthy_answers_are_never_refusals() {
    each(|fixtures, key, reply| {
        let found = verdict(fixtures, key, reply.status.or(Some(200)), healthy(reply));
        assert!(!matches!(found, Verdict::Invalid(..)), "{}/{key}: {found:?}", fixtures.network);
    });
}

#[test]
fn trouble_at_the_network_is_undetermined() {
    each(|fixtures, key, _| {
        let name = fixtures.network;
        for (status, body, cause) in [
            (503, json!(HTML), Some(Cause::ServerError)),
            (500, json!(""), Some(Cause::ServerError)),
            (
                502,
                json!("upstream connect error or disconnect/reset before headers"),
                Some(Cause::ServerError),
            ),
            (504, json!("{\"message\":\"Gateway Timeout\"}"), Some(Cause::ServerError)),
            (429, json!(""), Some(Cause::RateLimited)),
            (429, json!(HTML), Some(Cause::RateLimited)),
            (200, json!(HTML), None),
            (200, json!(""), None),
            (400, json!(HTML), None),
            (403, json!(HTML), None),
            (404, json!(HTML), None),
            (302, json!(""), None),
            (200, json!([]), None),
            (200, json!({}), None),
            (200, json!("null"), None),
            (200, json!("\u{feff}  "), None),
            (418, json!({"short": "stout"}), None),
        ] {
            // Google leaves out false values: an empty VoiceOfMerchantState is a valid answer about
            // an unverified location.
            if key == "voice_of_merchant_state" && status == 200 && body == json!({}) {
                continue;
            }
            let found = verdict(fixtures, key, Some(status), body.clone());
            match cause {
                Some(cause) => {
                    assert_eq!(found, Verdict::Undetermined(cause), "{name}/{key}: {status} {body}")
                }
                None => assert!(
                    matches!(found, Verdict::Undetermined(_)),
                    "{name}/{key}: {status} {body}: {found:?}"
                ),
            }
        }
    });
}

#[test]
fn truncated_answers_are_never_a_verdict() {
    each(|fixtures, key, reply| {
        let text = fill(&reply.body, Timestamp::now(), ID, "sim-healthy");
        let text = text.trim();
        for cut in (1..text.len()).step_by(7).filter(|cut| text.is_char_boundary(*cut)) {
            let found = verdict(fixtures, key, Some(200), json!(text[..cut]));
            assert!(
                matches!(found, Verdict::Undetermined(_)),
                "{}/{key} cut at {cut}: {found:?}",
                fixtures.network
            );
        }
    });
}

#[test]
fn unknown_fields_and_numbers_as_texts_change_nothing() {
    fn with_extra(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let mut fields: serde_json::Map<_, _> =
                    fields.iter().map(|(k, v)| (k.clone(), with_extra(v))).collect();
                fields.insert("x_never_heard_of".into(), json!({"a": [1, null, "x"]}));
                Value::Object(fields)
            }
            Value::Array(items) => Value::Array(items.iter().map(with_extra).collect()),
            other => other.clone(),
        }
    }
    fn with_texts(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                Value::Object(fields.iter().map(|(k, v)| (k.clone(), with_texts(v))).collect())
            }
            Value::Array(items) => Value::Array(items.iter().map(with_texts).collect()),
            Value::Number(n) => Value::String(n.to_string()),
            other => other.clone(),
        }
    }
    each(|fixtures, key, reply| {
        let plain = healthy(reply);
        let expected = verdict(fixtures, key, reply.status, plain.clone());
        for changed in [with_extra(&plain), with_texts(&plain)] {
            assert_eq!(
                verdict(fixtures, key, reply.status, changed.clone()),
                expected,
                "{}/{key}: {changed}",
                fixtures.network
            );
        }
    });
}

#[test]
fn every_network_has_the_shared_cases() {
    for fixtures in load_fixtures().expect("fixtures") {
        for name in ["valid", "rate-limited", "server-error", "wrong-app-secret", "localised-text"] {
            let applies = name != "wrong-app-secret"
                || fixtures.network.description().app != token_exporter::network::AppNeed::None;
            let there = fixtures.cases.iter().any(|c| c.name == name);
            assert!(there || !applies, "{}: no case \"{name}\"", fixtures.network);
        }
    }
}

#[test]
fn every_call_has_a_healthy_answer() {
    for fixtures in load_fixtures().expect("fixtures") {
        for call in fixtures.network.description().calls {
            let there =
                fixtures.healthy.keys().any(|k| k == call.name || k.ends_with(&format!("/{}", call.name)));
            assert!(there, "{}: no healthy answer to {}", fixtures.network, call.name);
        }
    }
}
