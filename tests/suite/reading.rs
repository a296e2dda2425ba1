//! Every fixture case with a single answer, read as by `classify`.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use token_exporter::model::{AppProblem, Capability, Expiry, Timestamp, format_duration};
use token_exporter::network::{
    Answer, Budget, Certainty, Clocks, Finding, NetworkId, Style, Verdict, WriteFact,
};
use token_exporter::report::{Payload, classify};
use token_exporter::simulator::{Case, Expect, fill, load_fixtures};

pub(crate) const ID: &str = "1000001";
const TOKEN: &str = "sim-reading";

/// A payload for `classify` from one answer of a case.
pub(crate) fn payload(network: &str, case: &Case, call: &str, now: Timestamp) -> Payload {
    let reply = &case.answers[call];
    let context = &case.context;
    let id = context.external_id.as_deref().unwrap_or(ID);
    let filled = |text: &str| fill(text, now, id, TOKEN);
    let mut fields = serde_json::Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value);
        }
    };
    set("expires_at", context.expires_at.as_deref().map(|t| json!(filled(t))));
    set("refresh_expires_at", context.refresh_expires_at.as_deref().map(|t| json!(filled(t))));
    set("api", context.api.as_ref().map(|v| json!(v)));
    set("auth", context.auth.as_ref().map(|v| json!(v)));
    set("scopes", context.scopes.as_ref().map(|v| json!(v)));
    set("needs", context.needs.as_ref().map(|v| json!(v)));
    set("kind", context.kind.as_ref().map(|v| json!(v)));
    set("external_id", context.external_id.as_ref().map(|v| json!(v)));
    serde_json::from_value(json!({
        "network": network,
        "call": call,
        "http_status": reply.status.unwrap_or(200),
        "headers": reply.headers,
        "body": filled(&reply.body),
        "context": fields,
    }))
    .expect("a payload")
}

/// The differences between a finding and the expected one.
pub(crate) fn differences(
    expect: &Expect,
    finding: &Finding,
    clocks: Option<&Clocks>,
    now: Timestamp,
) -> Vec<String> {
    let mut found = Vec::new();
    let (verdict, reason, cause, ambiguous) = match finding.verdict {
        Verdict::Valid => ("valid", None, None, false),
        Verdict::Invalid(reason, certainty) => {
            ("invalid", Some(reason.label()), None, certainty == Certainty::Ambiguous)
        }
        Verdict::Undetermined(cause) => ("undetermined", None, Some(cause.label()), false),
    };
    if verdict != expect.verdict
        || reason != expect.reason.as_deref().filter(|r| *r != "ok")
        || cause != expect.cause.as_deref()
    {
        found.push(format!(
            "expected {} {:?} {:?}, found {verdict} {reason:?} {cause:?}",
            expect.verdict, expect.reason, expect.cause
        ));
    }
    let problem = match finding.verdict {
        Verdict::Undetermined(cause) => cause.app_problem().map(AppProblem::label),
        _ => None,
    };
    if expect.problem.is_some() && problem != expect.problem.as_deref() {
        found.push(format!("expected problem {:?}, found {problem:?}", expect.problem));
    }
    if expect.ambiguous.is_some_and(|a| a != ambiguous) {
        found.push(format!("ambiguous is {ambiguous}"));
    }
    if let Some(expected) = &expect.capabilities {
        let capabilities =
            finding.capabilities.iter().map(|(c, r)| (c.label().to_owned(), r.label().to_owned())).collect();
        if *expected != capabilities {
            found.push(format!("expected capabilities {expected:?}, found {capabilities:?}"));
        }
    }
    if let Some(clocks) = clocks {
        for (clock, wanted) in &expect.clocks {
            let is = match clock.as_str() {
                "access" => clocks.access,
                "refresh" => clocks.refresh,
                "data_access" => clocks.data_access,
                "issued" => clocks.issued.map_or(Expiry::Unknown, Expiry::At),
                other => panic!("no such clock: {other}"),
            };
            let want = match wanted.as_str() {
                "never" => Expiry::Never,
                "unknown" => Expiry::Unknown,
                marker => Expiry::At(Timestamp::parse(&fill(marker, now, ID, TOKEN)).expect("an instant")),
            };
            if is != want {
                found.push(format!("clock {clock}: expected {want:?}, found {is:?}"));
            }
        }
    }
    found
}

/// What only a write shows, in the words of the fixtures.
pub(crate) fn written(fact: WriteFact) -> String {
    match fact {
        WriteFact::Blocked { reason, lasts: Some(lasts) } => format!("{reason} {}", format_duration(lasts)),
        WriteFact::Blocked { reason, lasts: None } => reason.to_string(),
        WriteFact::Content => "content".to_owned(),
    }
}

/// Whether a probe makes the case's calls, and a configuration allows its needs.
pub(crate) fn can_be_probed(network: NetworkId, case: &Case) -> bool {
    let context = &case.context;
    let description = network.description();
    let api = context.api.as_deref().or(description.apis.first().copied()).unwrap_or("");
    let style = Style { api, oauth1: context.auth.as_deref() == Some("oauth1") };
    let kind = context.kind.as_deref().or(description.kinds.first().copied()).unwrap_or("");
    let offered = |need: &String| {
        Capability::from_label(need).is_some_and(|c| network.network().rights(style, kind, c).is_some())
    };
    case.answers.keys().all(|call| description.calls.iter().any(|c| c.name == call))
        && context.needs.iter().flatten().all(offered)
}

#[test]
fn every_single_answer_is_read_as_expected() {
    let now = Timestamp::now();
    let mut failures = Vec::new();
    let mut read = 0;
    for fixtures in load_fixtures().expect("fixtures") {
        for case in fixtures.cases.iter().filter(|c| c.answers.len() == 1) {
            let (call, reply) = case.answers.iter().next().expect("one answer");
            if reply.fault.is_some() {
                continue;
            }
            let classified =
                classify(&payload(fixtures.network.name(), case, call, now), now).expect("a payload");
            read += 1;
            for difference in differences(&case.expect, &classified.finding, Some(&classified.clocks), now) {
                failures.push(format!("{}/{}: {difference}", fixtures.network, case.name));
            }
            let write = classified.write.map(written);
            if write != case.expect.write {
                let expected = &case.expect.write;
                failures.push(format!(
                    "{}/{}: expected write {expected:?}, found {write:?}",
                    fixtures.network, case.name
                ));
            }
            let shown = serde_json::to_string(&classified.describe()).expect("JSON");
            assert!(!shown.contains("sim-"), "a token shows in {shown}");
        }
    }
    assert!(read > 0, "no fixture was read");
    assert!(failures.is_empty(), "{} of {read} differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn answers_tell_whose_limit_is_spent() {
    let now = Timestamp::now();
    for fixtures in load_fixtures().expect("fixtures") {
        for case in &fixtures.cases {
            let Some(expected) = &case.expect.budgets else { continue };
            let reply = case.answers.values().next().expect("an answer");
            let filled = |text: &str| fill(text, now, ID, TOKEN);
            let mut headers = HeaderMap::new();
            for (name, value) in &reply.headers {
                headers.insert(
                    HeaderName::try_from(name).expect("a name"),
                    HeaderValue::try_from(filled(value)).expect("a value"),
                );
            }
            let answer = Answer::new(reply.status, headers, filled(&reply.body).as_bytes());
            let told: BTreeMap<String, String> = fixtures
                .network
                .network()
                .limits(&answer)
                .iter()
                .map(|limit| {
                    let whose = if limit.budget == Budget::App { "app" } else { "grant" };
                    (limit.bucket.to_owned(), whose.to_owned())
                })
                .collect();
            assert_eq!(told, *expected, "{}/{}", fixtures.network, case.name);
        }
    }
}

#[test]
fn cases_are_named_once_and_say_where_they_come_from() {
    for fixtures in load_fixtures().expect("fixtures") {
        let mut names: Vec<&str> = fixtures.cases.iter().map(|c| c.name.as_str()).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "{}: a name stands twice", fixtures.network);
        for case in &fixtures.cases {
            let fits = case.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            assert!(fits, "{}/{}: lower case, digits and dashes", fixtures.network, case.name);
            assert!(case.source.len() > 10, "{}/{}: where does it come from?", fixtures.network, case.name);
        }
    }
}
