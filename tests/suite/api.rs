//! The JSON API: answers match their description, paging, and conditional requests.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use reqwest::StatusCode;
use serde_json::Value;
use token_exporter::api::{ConnectionState, PARAMETERS};
use token_exporter::model::{AppProblem, Capability, Cause, Reason, ReportResult, Use};
use token_exporter::network::{Certainty, NetworkId, Verdict};

use crate::page::{DAY, Site, header};
use crate::prometheus::{eventually, get, http_client, start_demo};

const DESCRIPTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.yaml");

/// Validates the description against OpenAPI's schema, and answers against the description.
pub(crate) fn validate(answers: &[(&str, &str)]) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut arguments = vec![DESCRIPTION.to_owned()];
    for (number, (schema, answer)) in answers.iter().enumerate() {
        let file = folder.path().join(format!("{number}.json"));
        std::fs::write(&file, answer).expect("written");
        arguments.push(format!("{schema}={}", file.display()));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/openapi.mjs");
    let output =
        Command::new("node").arg(script).args(arguments).output().expect("node (tests/run installs it)");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn accounts(page: &Value) -> Vec<String> {
    let connections = page["connections"].as_array().expect("a list");
    connections.iter().map(|c| c["account"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_as_described() {
    let (_demo, address, _log) = start_demo(&[]);
    let base = format!("http://{address}/api/v1/connections");
    let page = eventually("accounts in every state", std::time::Duration::from_secs(150), async || {
        let text = get(&format!("{base}?per_page=1000")).await?;
        let overview = &json(&text)["overview"]["states"];
        let there = |state: ConnectionState| overview[state.label()].as_u64().unwrap_or(0) > 0;
        let all = [
            ConnectionState::Disconnected,
            ConnectionState::Degraded,
            ConnectionState::Unverified,
            ConnectionState::Connected,
        ]
        .into_iter()
        .all(there);
        (all && !there(ConnectionState::Waiting)).then_some(text)
    })
    .await;
    let parsed = json(&page);
    assert_eq!(parsed["connections"].as_array().map(Vec::len), parsed["total"].as_u64().map(|n| n as usize));
    assert!(!page.contains("null"), "unknown is absent");
    let second = get(&format!("{base}?per_page=7&page=3")).await.expect("a page");
    let nothing = get(&format!("{base}?q=nobody+of+this+name")).await.expect("a page");
    let problem = get(&format!("{base}?network=myspace&page=x")).await.expect("problems");
    validate(&[("Page", &page), ("Page", &second), ("Page", &nothing), ("Problem", &problem)]);
}

/// The description has the same lists and parameters as the code.
#[test]
fn the_description_holds_the_same_lists() {
    let text = std::fs::read_to_string(DESCRIPTION).expect("a description");
    let description: Value = serde_yaml::from_str(&text).expect("YAML");
    let listed = |name: &str| -> Vec<String> {
        let values = description["components"]["schemas"][name]["enum"].as_array().expect("an enumeration");
        values.iter().map(|v| v.as_str().expect("a text").to_owned()).collect()
    };
    let labels = |labels: Vec<&str>| labels.into_iter().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(listed("Network"), labels(NetworkId::all().map(NetworkId::name).collect()));
    assert_eq!(listed("State"), labels(ConnectionState::ALL.iter().map(|s| s.label()).collect()));
    assert_eq!(listed("Use"), labels(Use::ALL.iter().map(|u| u.label()).collect()));
    assert_eq!(listed("Cause"), labels(Cause::ALL.iter().map(|c| c.label()).collect()));
    assert_eq!(listed("AppProblem"), labels(AppProblem::ALL.iter().map(|p| p.label()).collect()));
    assert_eq!(listed("ReportResult"), labels(ReportResult::ALL.iter().map(|r| r.label()).collect()));
    assert_eq!(listed("Capability"), labels(Capability::ALL.iter().map(|c| c.label()).collect()));
    assert_eq!(
        listed("Trouble"),
        labels(Reason::ALL.iter().filter(|r| **r != Reason::Ok).map(|r| r.info().label).collect())
    );
    let parameters =
        description["paths"]["/api/v1/connections"]["get"]["parameters"].as_array().expect("parameters");
    let names: Vec<&str> =
        parameters.iter().filter(|p| p["in"] == "query").filter_map(|p| p["name"].as_str()).collect();
    let expected: Vec<&str> = PARAMETERS.into_iter().chain(["labels"]).collect();
    assert_eq!(names, expected);
    let page = include_str!("../../docs/api.md");
    for name in PARAMETERS.into_iter().chain(ConnectionState::ALL.iter().map(|s| s.label())) {
        assert!(page.contains(&format!("`{name}`")), "docs/api.md tells of {name}");
    }
    let block = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    validate(&[("Page", block)]);
}

fn logins(count: usize) -> String {
    let accounts =
        (0..count).map(|i| format!("  - {{id: account-{i}, network: mastodon, token: sim-{i}}}\n"));
    format!("accounts:\n{}", accounts.collect::<String>())
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_hold_each_connection_once() {
    let site = Site::start(&logins(25), "/prefix").await;
    let base = url::Url::parse(&format!("{}/api/v1/connections?network=mastodon&per_page=10", site.base))
        .expect("an address");
    let (mut found, mut address, mut pages) = (Vec::new(), base.clone(), 0);
    loop {
        let page = json(
            &http_client()
                .get(address.clone())
                .send()
                .await
                .expect("an answer")
                .text()
                .await
                .expect("a page"),
        );
        assert_eq!(page["total"], 25);
        found.extend(accounts(&page));
        pages += 1;
        assert_eq!(page["previous"].is_string(), pages > 1);
        let Some(next) = page["next"].as_str() else { break };
        address = base.join(next).expect("an address");
    }
    assert_eq!((pages, found.len(), found.iter().collect::<BTreeSet<_>>().len()), (3, 25, 25));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_changed_is_not_sent_again() {
    let site = Site::start(&logins(3), "").await;
    let ask = async |path: &str, known: Option<&str>| {
        let request = http_client().get(format!("{}{path}", site.base));
        known
            .map_or(request.try_clone(), |tag| Some(request.header("if-none-match", tag)))
            .expect("a request")
            .send()
            .await
            .expect("an answer")
    };
    let tag_of = |answer: &reqwest::Response| header(answer, "etag").to_owned();
    let path = "/api/v1/connections";
    let first = ask(path, None).await;
    assert_eq!((first.status(), header(&first, "cache-control")), (StatusCode::OK, "private, no-cache"));
    assert_eq!(first.headers()["content-type"], "application/json");
    let tag = tag_of(&first);
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let again = ask(path, Some(&known)).await;
        assert_eq!((again.status(), tag_of(&again)), (StatusCode::NOT_MODIFIED, tag.clone()), "{known}");
        assert!(again.bytes().await.expect("nothing").is_empty());
    }
    assert_eq!(ask(path, Some("\"other\"")).await.status(), StatusCode::OK);
    assert_ne!(tag_of(&ask(&format!("{path}?per_page=2"), None).await), tag, "another question");
    site.found("account-1", Verdict::Invalid(Reason::AccessRevoked, Certainty::Plain), Some(DAY));
    eventually("a change", std::time::Duration::from_secs(20), async || {
        (ask(path, Some(&tag)).await.status() == StatusCode::OK).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn problems_are_told_in_one_go() {
    let site = Site::start(&logins(1), "").await;
    let answer = site.answer("/api/v1/connections?reason=tired&per_page=5000").await;
    assert_eq!(
        (answer.status(), header(&answer, "content-type")),
        (StatusCode::BAD_REQUEST, "application/problem+json")
    );
    let body = json(&answer.text().await.expect("problems"));
    let told: Vec<(&str, &str)> = body["errors"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|e| (e["parameter"].as_str().unwrap_or(""), e["found"].as_str().unwrap_or("")))
        .collect();
    assert_eq!(told, [("reason", "tired"), ("per_page", "5000")]);
}

/// The problem that one login's probe has told holds for the others of the app, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_app_says_why() {
    let site = Site::start(
        "apps: [{id: app, network: facebook, client_id: '1', client_secret: sim-secret}]\naccounts:\n  - {id: \
         first, network: facebook, token: sim-1}\n  - {id: second, network: facebook, token: sim-2}\n",
        "",
    )
    .await;
    for (account, problem) in [("first", AppProblem::CheckupDue), ("second", AppProblem::Unknown)] {
        site.apply(account, Verdict::Undetermined(Cause::AppMisconfigured(problem)), &[], None);
    }
    let page = site.text("/api/v1/connections").await;
    validate(&[("Page", &page)]);
    let page: Value = serde_json::from_str(&page).expect("JSON");
    for connection in page["connections"].as_array().expect("connections") {
        assert_eq!(connection["cause"], "app_misconfigured");
        assert_eq!(connection["app_problem"], "checkup_due", "{connection}");
    }
    let meaning = AppProblem::CheckupDue.meaning();
    let list = site.text("/").await;
    assert!(
        list.contains("An app does not work") && list.contains(&format!("(Facebook): {meaning}")),
        "{list}"
    );
    let second = site.text("/account?id=second").await;
    assert!(second.contains("App misconfigured: checkup due") && second.contains(meaning), "{second}");

    for _ in 0..4 {
        site.found("first", Verdict::Valid, None);
    }
    let list = site.text("/").await;
    assert!(!list.contains("An app does not work"), "{list}");
}
