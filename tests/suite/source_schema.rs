//! The schema of the lists that sources give over HTTP.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use token_exporter::config::{Known, Last, load_keeping, refresh, row_keys};
use token_exporter::inventory::Inventory;
use token_exporter::model::{Capability, Language, Use};
use token_exporter::network::NetworkId;

fn schema() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sources.schema.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn words(list: &Value) -> BTreeSet<&str> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

#[test]
fn the_schema_has_the_keys_and_words_of_the_program() {
    let schema = schema();
    let definitions = &schema["$defs"];
    // A list cannot name files, variables and commands of the machine of its reader.
    let elsewhere = |key: &&str| !["_file", "_env", "_command"].iter().any(|ending| key.ends_with(ending));
    for (name, keys) in ["account", "credential"].into_iter().zip(row_keys()) {
        let known: BTreeSet<&str> = keys.into_iter().filter(elsewhere).collect();
        let properties = definitions[name]["properties"].as_object().unwrap();
        assert_eq!(properties.keys().map(String::as_str).collect::<BTreeSet<_>>(), known, "{name}");
    }
    let networks: BTreeSet<&str> = NetworkId::all()
        .flat_map(|n| std::iter::once(n.name()).chain(n.description().aliases.iter().copied()))
        .collect();
    assert_eq!(words(&definitions["network"]["enum"]), networks);
    let capabilities = Capability::ALL.iter().map(|c| c.label()).collect();
    assert_eq!(words(&definitions["capability"]["enum"]), capabilities);
    assert_eq!(words(&definitions["use"]["enum"]), Use::ALL.iter().map(|u| u.label()).collect());
    let language = definitions["account"]["properties"]["language"]["description"].as_str().unwrap();
    let codes: Vec<&str> = Language::ALL.iter().map(|language| language.code()).collect();
    assert!(language.contains(&codes.join(" ")), "{language}");
}

/// Which of the documents the schema accepts, by Python's implementation of JSON Schema.
pub(crate) fn accepted(documents: &[Value]) -> Vec<bool> {
    const PROGRAM: &str = "import json, sys
from jsonschema import Draft202012Validator as V
schema, documents = json.load(sys.stdin)
V.check_schema(schema)
print(json.dumps([V(schema).is_valid(document) for document in documents]))";
    let mut python = Command::new("python3")
        .args(["-c", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 with jsonschema (tests/run installs it)");
    write!(python.stdin.take().unwrap(), "{}", json!([schema(), documents])).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What the program refuses in the same document as the answer of a source.
fn problems(document: &Value) -> String {
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("main.yaml");
    let apps = "[{id: acme, network: facebook, client_id: '1', client_secret: sim-app}, {id: x, network: x, \
                client_id: key, client_secret: sim-app}]";
    let source = "{id: product, http: {url: 'http://localhost/'}}";
    std::fs::write(&main, format!("apps: {apps}\nsources: [{source}]\n")).unwrap();
    let config = load_keeping(&[main], Known::Stored(None)).unwrap();
    let inventory = Inventory::default();
    let last = Last { inventory: &inventory, sources: &config.statuses };
    match refresh(&config, last, "product", &[document.to_string().into()], []) {
        Ok(config) => config.refused.to_string(),
        Err(error) => error,
    }
}

#[test]
fn the_schema_and_the_program_accept_the_same() {
    let account = |key: &str, value: Value| {
        let mut account = json!({"id": "a", "network": "facebook", "token": "sim-a"});
        account[key] = value;
        json!({"accounts": [account]})
    };
    let login = json!({"id": "jane", "network": "facebook", "token": "sim-jane", "connected_by": "Jane",
        "expires_at": "2027-01-31T00:00:00Z", "refresh_expires_at": 1_800_000_000, "auto_refresh": true,
        "scopes": "pages_show_list, pages_manage_posts", "app": "acme"});
    let full = json!({"id": "page", "name": "ACME", "network": "facebook", "kind": "page",
        "external_id": 1_000_001, "credential": "jane", "needs": ["publish", "inbox"], "use": "owned",
        "labels": {"team": "marketing", "floor": 3}, "notify": ["jane@example.com"],
        "notify_opt_out": ["bob@example.com"], "reconnect_url": "https://app.example.com/reconnect",
        "probe_interval": "6h"});
    let good = [
        json!([]),
        json!({"accounts": []}),
        json!({"credentials": [login.clone()]}),
        json!({"credentials": [login.clone()], "accounts": [full]}),
        json!([{"id": 7, "network": "twitter", "token": "sim-a", "token_secret": "sim-b"}]),
        account("scopes", json!(["pages_show_list"])),
        account("needs", json!("publish, inbox")),
        account("notify", json!("jane@example.com,bob@example.com")),
        account("state", json!("refresh_needed")),
        account("language", json!("pt_BR")),
        account("language", json!("nl")),
    ];
    let bad = [
        json!("accounts"),
        json!({"accounts": {}}),
        json!([{"network": "facebook", "token": "sim-a"}]),
        json!([{"id": "a", "token": "sim-a"}]),
        json!([{"id": "a", "network": "facebook"}]),
        json!({"credentials": [{"id": "jane", "network": "facebook"}]}),
        account("network", json!("facebok")),
        account("nane", json!("ACME")),
        account("id", json!("")),
        account("id", json!("a".repeat(129))),
        account("token", json!("sim a")),
        account("needs", json!(["all"])),
        account("use", json!("rented")),
        account("state", json!("a".repeat(65))),
        account("language", json!(["de"])),
        account("labels", json!({"9": "x"})),
        account("expires_at", json!(1_800_000_000_000_u64)),
        account("auto_refresh", json!("perhaps")),
        account("token_secret_file", json!("/etc/passwd")),
        account("token_secret_command", json!(["cat", "/etc/passwd"])),
        account("probe_interval", json!(3600)),
    ];
    let all: Vec<Value> = good.iter().chain(&bad).cloned().collect();
    for (i, (document, accepted)) in all.iter().zip(accepted(&all)).enumerate() {
        let problems = problems(document);
        assert_eq!(accepted, i < good.len(), "{document}");
        assert_eq!(problems.is_empty(), accepted, "{document}: {problems}");
    }
    // What is about whole pages is checked while they are read.
    let pages = [
        json!({"version": 1, "accounts": [], "next": "/accounts?page=2"}),
        json!({"version": 1, "credentials": [], "next": null}),
        json!({"version": 2, "accounts": []}),
        json!({"version": 1, "next": "/accounts?page=2"}),
        json!({"accounts": [], "next": 2}),
        json!({"account": []}),
    ];
    assert_eq!(accepted(&pages), [true, true, false, false, false, false]);
}
