//! The dashboards: their structure, their queries against a real Prometheus, and the answers
//! rendered by Grafana's own code.
//!
//! No Grafana runs here. `tests/grafana` validates the dashboards against Grafana's published
//! types, and renders tables and series with its published data code. This file checks everything
//! else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use token_exporter::exposition::{FAMILIES, SMALL_FAMILIES};
use token_exporter::model::{Capability, Cause, Reason, Timestamp};
use token_exporter::network::NetworkId;
use token_exporter::telemetry::Metrics;

use crate::golden::assert_golden;
use crate::prometheus::{Prometheus, eventually, every_verdict_of_the_demo, http_client, start_demo};

const NAMES: [&str; 3] = ["connections", "account", "exporter"];
/// Labels that Prometheus adds, and the own label of accounts that the dashboards expect.
const OTHER_LABELS: [&str; 4] = ["job", "instance", "le", "team"];
const METRICS_OF_PROMETHEUS: [&str; 3] = ["up", "scrape_duration_seconds", "scrape_samples_scraped"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn load(name: &str) -> Value {
    let text =
        std::fs::read_to_string(root().join("dashboards").join(format!("{name}.json"))).expect("a dashboard");
    serde_json::from_str(&text).expect("JSON")
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// The panels, without rows.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(dashboard, "/panels").iter().filter(|p| text(p, "type") != "row")
}

fn panel<'a>(dashboard: &'a Value, title: &str) -> &'a Value {
    panels(dashboard).find(|p| text(p, "title") == title).unwrap_or_else(|| panic!("a panel {title}"))
}

fn expr<'a>(dashboard: &'a Value, title: &str) -> &'a str {
    text(&panel(dashboard, title)["targets"][0], "expr")
}

/// Every query of a dashboard, with its location.
fn queries(dashboard: &Value) -> Vec<(String, &str)> {
    let of_panels = panels(dashboard)
        .flat_map(|p| list(p, "/targets").iter().map(|t| (text(p, "title").to_owned(), text(t, "expr"))));
    let annotations =
        list(dashboard, "/annotations/list").iter().map(|a| (text(a, "name").to_owned(), text(a, "expr")));
    of_panels.chain(annotations).collect()
}

/// Every object in a document.
fn objects(value: &Value) -> Vec<&Map<String, Value>> {
    match value {
        Value::Object(map) => std::iter::once(map).chain(map.values().flat_map(objects)).collect(),
        Value::Array(items) => items.iter().flat_map(objects).collect(),
        _ => Vec::new(),
    }
}

fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Object(map) => map.values().flat_map(strings).collect(),
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}

// The words for labels come from the code.

/// A value mapping of Grafana.
fn mapping(words: impl IntoIterator<Item = (String, String)>) -> Value {
    let options: Map<String, Value> = words
        .into_iter()
        .enumerate()
        .map(|(index, (value, text))| (value, json!({"index": index, "text": text})))
        .collect();
    json!([{"type": "value", "options": options}])
}

fn reasons(ok: &str, words: impl Fn(Reason) -> String) -> Value {
    mapping(
        Reason::ALL
            .iter()
            .map(|r| (r.label().to_owned(), if *r == Reason::Ok { ok.to_owned() } else { words(*r) })),
    )
}

fn meaning(reason: Reason) -> String {
    reason.info().meaning.trim_end_matches('.').to_owned()
}

/// A reason in two or three words.
fn brief(reason: Reason) -> String {
    if reason == Reason::Ok { "connected".to_owned() } else { reason.label().replace('_', " ") }
}

/// The lost capabilities, as the sum of 1, 2, 4, 8 in their order.
fn lost(sum: usize) -> String {
    let gone = Capability::ALL.iter().enumerate().filter(|(i, _)| sum >> i & 1 == 1);
    let words: Vec<&str> = gone.map(|(_, c)| c.stops().split(" (").next().expect("a word")).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

/// The words of a column, by its name; none for the dashboard's own.
fn words_of_column(column: &str) -> Option<Value> {
    Some(match column {
        "Reason" | "Meaning" => reasons(&meaning(Reason::Ok), meaning),
        "Obstacle" => reasons("none: it is available", meaning),
        "Fixed by" => reasons("nothing to be done", |r| r.info().fixed_by.text().to_owned()),
        "Network" => {
            mapping(NetworkId::all().map(|n| (n.name().to_owned(), n.description().title.to_owned())))
        }
        "Lost" | "Capability" => {
            mapping(Capability::ALL.iter().map(|c| (c.label().to_owned(), c.stops().to_owned())))
        }
        "Lost capabilities" => {
            mapping((0..1 << Capability::ALL.len()).map(|sum| (sum.to_string(), lost(sum))))
        }
        _ => return None,
    })
}

/// A verdict as a number, its index in the list of reasons, so that one line shows an account's
/// verdicts over time.
fn verdict_code() -> (String, Value) {
    let selector = |reason: Reason| format!("connection_valid{{account=\"$account\",reason=\"{reason}\"}}");
    let terms: Vec<String> =
        Reason::ALL.iter().enumerate().map(|(i, r)| format!("{i} + 0 * {}", selector(*r))).collect();
    let expr = format!(
        "max(\n  (\n    {}\n  )\n  and topk by (account, network) (1, \
         timestamp(connection_valid{{account=\"$account\"}}))\n)",
        terms.join("\n    or ")
    );
    let mut words = mapping(Reason::ALL.iter().enumerate().map(|(i, r)| (i.to_string(), brief(*r))));
    for (i, reason) in Reason::ALL.iter().enumerate() {
        words[0]["options"][i.to_string()]["color"] =
            if *reason == Reason::Ok { "green" } else { "red" }.into();
    }
    (expr, words)
}

#[test]
fn words_come_from_the_code() {
    let (code, code_words) = verdict_code();
    for name in NAMES {
        let mut dashboard = load(name);
        let mut derived = 0;
        for panel in dashboard["panels"].as_array_mut().expect("panels") {
            for place in panel
                .pointer_mut("/fieldConfig/overrides")
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                let column = place["matcher"]["options"].as_str().unwrap_or_default().to_owned();
                for property in place["properties"].as_array_mut().expect("properties") {
                    if let (true, Some(words)) = (property["id"] == "mappings", words_of_column(&column)) {
                        property["value"] = words;
                        derived += 1;
                    }
                }
            }
            if ["Connection", "Verdict and reason"].contains(&text(panel, "title")) {
                panel["targets"][0]["expr"] = code.clone().into();
                panel["fieldConfig"]["defaults"]["mappings"] = code_words.clone();
                derived += 1;
            }
        }
        assert!(derived > 0, "{name} has no words of the code");
        // Sorted keys and two spaces, as Grafana itself writes a dashboard.
        let written = serde_json::to_string_pretty(&dashboard).expect("JSON") + "\n";
        assert_golden(&format!("../dashboards/{name}.json"), &written);
    }
}

// Checks without any data.

#[test]
fn panels_are_complete_and_stand_side_by_side() {
    let mut uids = BTreeSet::new();
    for name in NAMES {
        let dashboard = load(name);
        assert!(uids.insert(text(&dashboard, "uid").to_owned()), "{name}: its uid is taken");
        assert!(
            text(&dashboard, "uid").len() <= 40
                && !text(&dashboard, "title").is_empty()
                && !text(&dashboard, "description").is_empty()
        );
        assert_eq!(dashboard["schemaVersion"], 38, "what Grafana 9.4 writes");
        let mut ids = BTreeSet::new();
        let mut cells: BTreeMap<(u64, u64), &str> = BTreeMap::new();
        for panel in list(&dashboard, "/panels") {
            let title = text(panel, "title");
            assert!(!title.is_empty(), "{name}: a panel without a title");
            assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{name}, {title}: its id is taken");
            let [x, y, w, h] =
                ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().expect("a place"));
            assert!(w > 0 && h > 0 && x + w <= 24, "{name}, {title}: outside the 24 columns");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                if let Some(other) = cells.insert(cell, title) {
                    panic!("{name}: {title} lies over {other}");
                }
            }
        }
        // No gaps: each row of cells is filled from the left.
        for (x, y) in cells.keys().filter(|(x, _)| *x > 0) {
            assert!(cells.contains_key(&(x - 1, *y)), "{name}: nothing left of ({x}, {y})");
        }
        for panel in panels(&dashboard) {
            let title = text(panel, "title");
            let defaults = &panel["fieldConfig"]["defaults"];
            for (what, found) in [
                ("description", text(panel, "description")),
                ("unit", text(defaults, "unit")),
                ("noValue", text(defaults, "noValue")),
            ] {
                assert!(!found.is_empty(), "{name}, {title}: no {what}");
            }
            assert!(!list(panel, "/targets").is_empty(), "{name}, {title}: no query");
            let refs: BTreeSet<&str> = list(panel, "/targets").iter().map(|t| text(t, "refId")).collect();
            assert_eq!(
                refs.len(),
                list(panel, "/targets").len(),
                "{name}, {title}: a query's letter is taken"
            );
            assert!(
                list(panel, "/targets").iter().all(|t| t["instant"] != t["range"]),
                "{name}, {title}: either instant or range"
            );
        }
    }
}

#[test]
fn everything_asks_the_chosen_data_source_and_takes_colours_from_the_theme() {
    for name in NAMES {
        let dashboard = load(name);
        for object in objects(&dashboard).iter().filter(|o| o.contains_key("datasource")) {
            assert_eq!(object["datasource"], json!({"type": "prometheus", "uid": "${datasource}"}), "{name}");
        }
        let asking = panels(&dashboard).flat_map(|p| std::iter::once(p).chain(list(p, "/targets")));
        for each in asking.chain(list(&dashboard, "/annotations/list")) {
            assert!(each.get("datasource").is_some(), "{name}: {each} names no data source");
        }
        let variables = list(&dashboard, "/templating/list");
        assert_eq!(
            (text(&variables[0], "type"), text(&variables[0], "name")),
            ("datasource", "datasource"),
            "{name}: its first variable"
        );
        for variable in &variables[1..] {
            assert!(
                variable.get("datasource").is_some() && variable["query"]["query"] == variable["definition"],
                "{name}: {variable}"
            );
            assert!(
                !text(variable, "label").is_empty() && !text(variable, "description").is_empty(),
                "{name}: {variable}"
            );
        }
        for color in strings(&dashboard) {
            assert!(
                !color.starts_with('#') && !color.starts_with("rgb"),
                "{name}: {color} is the same in light and dark, but not as readable"
            );
        }
    }
}

#[test]
fn links_lead_to_dashboards_and_variables_that_exist() {
    let dashboards: BTreeMap<String, Value> =
        NAMES.iter().map(|n| load(n)).map(|d| (text(&d, "uid").to_owned(), d)).collect();
    for (uid, dashboard) in &dashboards {
        let variables_of = |d: &Value| -> BTreeSet<String> {
            list(d, "/templating/list").iter().map(|v| text(v, "name").to_owned()).collect()
        };
        let (mut reached, own) = (BTreeSet::new(), variables_of(dashboard));
        for url in strings(dashboard).into_iter().filter_map(|s| s.strip_prefix("/d/")) {
            let (target, query) = url.split_once('?').expect("a link with variables");
            let there = variables_of(
                dashboards.get(target).unwrap_or_else(|| panic!("{uid}: no dashboard {target}")),
            );
            for name in query.split('&').filter_map(|pair| pair.strip_prefix("var-")?.split('=').next()) {
                assert!(there.contains(name), "{uid}: {target} has no variable {name}");
            }
            reached.insert(target.to_owned());
        }
        assert_eq!(
            reached.iter().filter(|t| *t != uid).count(),
            NAMES.len() - 1,
            "{uid} leads to both others"
        );
        for (place, query) in queries(dashboard) {
            for name in query.split('$').skip(1).map(|rest| {
                rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().expect("a name")
            }) {
                // "$1" is a group in label_replace; "$__…" are Grafana's own.
                assert!(
                    name == "1" || name.starts_with("__") || own.contains(name),
                    "{uid}, {place}: no variable {name}"
                );
            }
        }
    }
}

/// The metrics and labels in a query, without labels that the query creates, for example with
/// `label_replace`.
fn named(query: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    const WORDS: [&str; 7] = ["and", "or", "unless", "bool", "offset", "by", "on"];
    const LISTS: [&str; 5] = ["by", "on", "without", "ignoring", "group_left"];
    let (mut metrics, mut labels, mut made) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut rest = query;
    let (mut in_braces, mut in_list, mut list_follows) = (false, false, false);
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            let string = rest[1..].split('"').next().expect("the end of a string");
            if !in_braces {
                made.insert(string.to_owned());
            }
            rest = &rest[string.len() + 2..];
        } else if c.is_ascii_alphanumeric() || "_:$".contains(c) {
            let word: &str = rest
                .split(|c: char| !c.is_ascii_alphanumeric() && !"_:$.".contains(c))
                .next()
                .expect("a word");
            rest = &rest[word.len()..];
            let called = ["(", "by ("].iter().any(|next| rest.trim_start().starts_with(next));
            if in_braces || in_list {
                labels.insert(word.to_owned());
            } else if LISTS.contains(&word) {
                list_follows = true;
            } else if !called && !WORDS.contains(&word) && !c.is_ascii_digit() && c != '$' {
                metrics.insert(word.to_owned());
            }
        } else {
            match c {
                '{' => in_braces = true,
                '}' => in_braces = false,
                '(' => in_list = std::mem::take(&mut list_follows),
                ')' => in_list = false,
                _ => {}
            }
            rest = &rest[c.len_utf8()..];
        }
    }
    (metrics, labels.difference(&made).cloned().collect())
}

#[test]
fn every_metric_and_every_label_exists() {
    let metrics = Metrics::new().expect("metrics");
    for network in NetworkId::all() {
        metrics.announce(network);
        metrics.panicked(network);
        metrics.probed(network, 1.0, Some(Cause::Timeout));
    }
    let own = metrics.gather();
    let mut names: BTreeSet<String> = METRICS_OF_PROMETHEUS.iter().map(ToString::to_string).collect();
    names.extend(
        FAMILIES.iter().map(|f| f.name.to_owned()).chain(SMALL_FAMILIES.iter().map(|f| f.name.to_owned())),
    );
    names.extend(own.iter().flat_map(|f| [f.name().to_owned(), format!("{}_bucket", f.name())]));
    let mut labels: BTreeSet<&str> = OTHER_LABELS.into_iter().chain(["account", "network"]).collect();
    labels.extend(FAMILIES.iter().flat_map(|f| f.labels).chain(SMALL_FAMILIES.iter().flat_map(|f| f.labels)));
    labels.extend(
        own.iter()
            .flat_map(|f| f.get_metric())
            .flat_map(|m| m.get_label())
            .map(prometheus::proto::LabelPair::name),
    );

    let mut used = BTreeSet::new();
    for name in NAMES {
        let dashboard = load(name);
        let variables = list(&dashboard, "/templating/list").iter().skip(1).map(|v| {
            // label_values(selector, label) as PromQL.
            let inner = text(v, "definition")
                .strip_prefix("label_values(")
                .and_then(|s| s.strip_suffix(')'))
                .expect("label_values");
            let (selector, label) = inner.rsplit_once(", ").expect("a selector and a label");
            (text(v, "name").to_owned(), format!("count by ({label}) ({selector})"))
        });
        let all: Vec<(String, String)> = queries(&dashboard)
            .into_iter()
            .map(|(place, q)| (place, q.to_owned()))
            .chain(variables)
            .collect();
        for (place, query) in all {
            let (found, found_labels) = named(&query);
            assert!(!found.is_empty(), "{name}, {place}: no metric");
            for metric in &found {
                assert!(names.contains(metric), "{name}, {place}: no metric {metric}");
            }
            for label in &found_labels {
                assert!(labels.contains(label.as_str()), "{name}, {place}: no label {label}");
            }
            used.extend(found);
        }
    }
    // Every metric about connections must be on a dashboard.
    for family in FAMILIES.iter().filter(|f| {
        !["token_expires_in_seconds", "token_has_expiry", "token_issued_timestamp_seconds"].contains(&f.name)
    }) {
        assert!(used.contains(family.name), "no dashboard shows {}", family.name);
    }
}

// Grafana's own types.

/// Runs a script of `tests/grafana` and returns its output.
fn script(name: &str, arguments: &[String], input: &str) -> String {
    let mut child = Command::new("node")
        .arg(root().join("tests/grafana").join(name))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("node (tests/run installs it)");
    let mut stdin = child.stdin.take().expect("its standard input");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("the script's end");
    assert!(
        output.status.success(),
        "{name} (tests/run installs what it needs): {}",
        String::from_utf8_lossy(&output.stderr)
    );
    // A script that fails may exit before it has read its input.
    let _ = writer.join().expect("the writer");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn dashboards_are_of_grafanas_own_types() {
    let files: Vec<String> =
        NAMES.iter().map(|n| root().join(format!("dashboards/{n}.json")).display().to_string()).collect();
    let problems = script("schema.mjs", &files, "");
    assert!(problems.is_empty(), "{problems}");
    // The check can fail: a misspelt option, a value that no version knows, an unknown unit.
    let folder = tempfile::tempdir().expect("a folder");
    let mut broken = load("connections");
    broken["timepickr"] = json!({});
    broken["panels"][1]["options"]["colorMode"] = "loud".into();
    broken["panels"][2]["fieldConfig"]["defaults"]["unit"] = "furlongs".into();
    let file = folder.path().join("broken.json");
    std::fs::write(&file, broken.to_string()).expect("written");
    let problems = script("schema.mjs", &[file.display().to_string()], "");
    for part in ["timepickr", "colorMode", "furlongs"] {
        assert!(problems.contains(part), "{part} is not among: {problems}");
    }
}

// The queries in situations that the demo does not reach: promtool plays them.

fn grafana_variables(query: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = query;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let name: String =
            rest[at + 1..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        match variables.get(&name) {
            Some(value) => out.push_str(value),
            None => _ = write!(out, "${name}"),
        }
        rest = &rest[at + 1 + name.len()..];
    }
    out + rest
}

fn everything(interval: &str) -> BTreeMap<String, String> {
    let fixed = ["network", "team", "use", "account", "job", "instance"].map(|name| (name, ".*"));
    let times = [("__interval", interval), ("__rate_interval", interval), ("__range", "10m")];
    fixed.into_iter().chain(times).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Labels and value of each sample.
type Samples<'a> = &'a [(&'a str, f64)];

/// Lets promtool play some series and compare the queries' results.
fn play(series: &[(&str, &str)], expected: &[(&str, &str, Samples)]) {
    let series: Vec<Value> =
        series.iter().map(|(series, values)| json!({"series": series, "values": values})).collect();
    let expected: Vec<Value> = expected
        .iter()
        .map(|(at, query, samples)| {
            let samples: Vec<Value> = samples.iter().map(|(labels, value)| json!({"labels": labels, "value": value})).collect();
            json!({"expr": grafana_variables(query, &everything("5m")), "eval_time": at, "exp_samples": samples})
        })
        .collect();
    let test = json!({"evaluation_interval": "1m", "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": expected}]});
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("test.yml");
    std::fs::write(&file, test.to_string()).expect("written");
    let output = Command::new("promtool")
        .args(["test", "rules"])
        .arg(&file)
        .output()
        .expect("promtool (tests/run installs it)");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_recovery_and_a_renewal_are_told_once_and_at_their_time() {
    let dashboard = load("connections");
    let annotation = |name: &str| {
        list(&dashboard, "/annotations/list")
            .iter()
            .find(|a| text(a, "name") == name)
            .map(|a| text(a, "expr"))
            .expect("an annotation")
    };
    let (recoveries, renewals) = (annotation("Recoveries"), annotation("Renewals"));
    let told: Samples = &[("{account=\"a\",name=\"ACME\",network=\"x\"}", 720_000.0)];
    let moved: Samples = &[("{account=\"a\",name=\"ACME\",network=\"x\"}", 5_000_000.0)];
    play(
        &[
            ("connection_info{account=\"a\",network=\"x\",name=\"ACME\"}", "1x40"),
            ("connection_info{account=\"new\",network=\"x\",name=\"New\"}", "_x12 1x28"),
            // Invalid until minute 11, connected from minute 12 on; the deadline moves by about 58
            // days with it.
            ("connection_valid{account=\"a\",network=\"x\",reason=\"password_changed\"}", "0x11 stale"),
            ("connection_valid{account=\"a\",network=\"x\",reason=\"ok\"}", "_x12 1x28"),
            ("connection_state_change_timestamp_seconds{account=\"a\",network=\"x\"}", "60x11 720x28"),
            ("token_expiry_timestamp_seconds{account=\"a\",network=\"x\"}", "1000000x11 6000000x28"),
            // A new account has not recovered.
            ("connection_valid{account=\"new\",network=\"x\",reason=\"ok\"}", "_x12 1x28"),
            ("connection_state_change_timestamp_seconds{account=\"new\",network=\"x\"}", "_x12 720x28"),
            ("token_expiry_timestamp_seconds{account=\"new\",network=\"x\"}", "_x12 6000000x28"),
        ],
        &[
            ("10m", recoveries, &[]),
            ("15m", recoveries, told),
            ("20m", recoveries, &[]),
            ("10m", renewals, &[]),
            ("15m", renewals, moved),
            ("20m", renewals, &[]),
        ],
    );
}

#[test]
fn two_reasons_at_once_after_a_restart_of_prometheus_are_one_verdict() {
    let connections = load("connections");
    let number = |title: &str| expr(&connections, title);
    let account = grafana_variables(
        expr(&load("account"), "Connection"),
        &BTreeMap::from([("account".to_owned(), "a".to_owned())]),
    );
    let one: Samples = &[("{}", 1.0)];
    let none: Samples = &[("{}", 0.0)];
    let twin = |metric: &str, labels: &str| format!("{metric}{{account=\"a\",network=\"x\",{labels}}}");
    play(
        &[
            // After a change during a restart of Prometheus, the old series is visible for five
            // minutes.
            (&twin("connection_info", "name=\"Old\""), "1x10"),
            (&twin("connection_info", "name=\"New\""), "_x11 1x20"),
            (&twin("connection_valid", "reason=\"not_admin\""), "0x10"),
            (&twin("connection_valid", "reason=\"ok\""), "_x11 1x20"),
            (&twin("connection_capability_available", "capability=\"publish\",reason=\"not_admin\""), "0x10"),
            (&twin("connection_capability_available", "capability=\"publish\",reason=\"ok\""), "_x11 1x20"),
            (&twin("connection_state_change_timestamp_seconds", ""), "60x10 660x20"),
            (&twin("connection_last_conclusive_probe_timestamp_seconds", ""), "60x10 660x20"),
        ],
        &[
            ("10m", number("Disconnected"), one),
            ("10m", number("Connected"), none),
            ("12m", number("Disconnected"), none),
            ("12m", number("Connected"), one),
            ("12m", number("Degraded"), none),
            ("12m", number("Unverified"), none),
            ("12m", number("Disconnected connections"), &[]),
            (
                "10m",
                &account,
                &[("{}", Reason::ALL.iter().position(|r| *r == Reason::NotAdmin).expect("a reason") as f64)],
            ),
            ("12m", &account, none),
        ],
    );
}

// The demo and a real Prometheus, with every query.

/// The demo's accounts, read from Prometheus without the dashboards' queries.
struct Demo {
    info: BTreeMap<String, BTreeMap<String, String>>,
    verdicts: BTreeMap<String, String>,
    degraded: BTreeSet<String>,
    judged: BTreeSet<String>,
    deadlines: BTreeMap<String, f64>,
}

impl Demo {
    async fn read(asked: &Asked, verdicts: BTreeMap<String, String>) -> Self {
        let series = async |query: &str| -> Vec<(BTreeMap<String, String>, f64)> {
            let data = asked.ask(query, true).await;
            assert!(!list(&data, "/result").is_empty(), "the demo shows {query}");
            list(&data, "/result")
                .iter()
                .map(|s| {
                    let labels = serde_json::from_value(s["metric"].clone()).expect("labels");
                    (labels, s["value"][1].as_str().and_then(|v| v.parse().ok()).expect("a number"))
                })
                .collect()
        };
        let account = |labels: &BTreeMap<String, String>| labels["account"].clone();
        let info =
            series("connection_info{job=\"one\"}").await.into_iter().map(|(l, _)| (account(&l), l)).collect();
        let judged = series("connection_last_conclusive_probe_timestamp_seconds{job=\"one\"}")
            .await
            .iter()
            .map(|(l, _)| account(l))
            .collect();
        let deadlines = series("token_expiry_timestamp_seconds{job=\"one\"}")
            .await
            .iter()
            .map(|(l, v)| (account(l), *v))
            .collect();
        let lost = series("connection_capability_available{job=\"one\"} == 0").await;
        let degraded = lost
            .iter()
            .map(|(l, _)| account(l))
            .filter(|a| verdicts.get(a).is_some_and(|r| r == "ok"))
            .collect();
        Self { info, verdicts, degraded, judged, deadlines }
    }

    /// The accounts that this value of a variable selects.
    fn chosen(&self, variable: &str, value: &str) -> BTreeSet<&str> {
        self.info
            .iter()
            .filter(|(_, labels)| variable.is_empty() || labels.get(variable).is_some_and(|v| v == value))
            .map(|(a, _)| a.as_str())
            .collect()
    }
}

/// A Prometheus, queried in the same way as by Grafana.
#[derive(Clone)]
struct Asked {
    client: reqwest::Client,
    base: Arc<str>,
    now: f64,
}

impl Asked {
    async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        let answer = self.client.get(format!("{}{path}?{query}", self.base)).send().await.expect("an answer");
        let answer: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
        assert_eq!(answer["status"], "success", "{parameters:?}: {answer}");
        answer["data"].clone()
    }

    async fn ask(&self, query: &str, instant: bool) -> Value {
        let (now, start) = (self.now.to_string(), (self.now - 300.0).to_string());
        if instant {
            self.get("/api/v1/query", &[("query", query), ("time", &now)]).await
        } else {
            self.get(
                "/api/v1/query_range",
                &[("query", query), ("start", &start), ("end", &now), ("step", "15")],
            )
            .await
        }
    }

    /// The values that Grafana offers for a variable.
    async fn values(&self, definition: &str) -> Vec<String> {
        let inner =
            definition.strip_prefix("label_values(").and_then(|s| s.strip_suffix(')')).expect("label_values");
        let (selector, label) = inner.rsplit_once(", ").expect("a selector and a label");
        let start = (self.now - 300.0).to_string();
        let found = self
            .get(&format!("/api/v1/label/{label}/values"), &[("match[]", selector), ("start", &start)])
            .await;
        found.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    }
}

/// A value as Grafana writes it into a regular expression within a string.
fn escaped(value: &str) -> String {
    value
        .chars()
        .flat_map(|c| if "\\^$*+?.()|{}[]".contains(c) { vec!['\\', '\\', c] } else { vec![c] })
        .collect()
}

/// By title of a panel: each query and Prometheus' answer.
type Answers = BTreeMap<String, Vec<(Value, Value)>>;

/// Runs all queries of a dashboard with one choice of its variables. Returns the answers of each
/// panel.
async fn ask_all(asked: &Asked, dashboard: &Value, variables: &BTreeMap<String, String>) -> Answers {
    let mut answers: Answers = BTreeMap::new();
    for panel in panels(dashboard) {
        for target in list(panel, "/targets") {
            let data = asked
                .ask(&grafana_variables(text(target, "expr"), variables), target["instant"] == true)
                .await;
            answers.entry(text(panel, "title").to_owned()).or_default().push((target.clone(), data));
        }
    }
    for annotation in list(dashboard, "/annotations/list") {
        let data = asked.ask(&grafana_variables(text(annotation, "expr"), variables), false).await;
        answers.entry(text(annotation, "name").to_owned()).or_default().push((annotation.clone(), data));
    }
    answers
}

fn rows(answers: &Answers, title: &str) -> Vec<Value> {
    list(&answers[title][0].1, "/result").to_vec()
}

/// The single number of an answer; none if it is empty.
fn number(answers: &Answers, title: &str) -> Option<usize> {
    let rows = rows(answers, title);
    assert!(rows.len() <= 1, "{title}: one number");
    rows.first().map(|row| row["value"][1].as_str().and_then(|v| v.parse().ok()).expect("a whole number"))
}

/// The dashboard's numbers and lists must match the demo's accounts.
fn assert_connections(demo: &Demo, chosen: &BTreeSet<&str>, answers: &Answers, now: f64, what: &str) {
    let of = |which: &dyn Fn(&str) -> bool| {
        chosen.iter().copied().filter(|a| which(a)).collect::<BTreeSet<&str>>()
    };
    let verdict = |a: &str| demo.verdicts.get(a).map(String::as_str);
    let known = of(&|a| verdict(a).is_some());
    let broken = of(&|a| verdict(a).is_some_and(|r| r != "ok"));
    let working = of(&|a| verdict(a) == Some("ok"));
    let unverified = of(&|a| !demo.judged.contains(a));
    let left = |a: &str| demo.deadlines.get(a).map(|at| at - now);
    let due = of(&|a| verdict(a) == Some("ok") && left(a).is_some_and(|s| s < 864_000.0));
    let soon = of(&|a| verdict(a) == Some("ok") && left(a).is_some_and(|s| s <= 5_184_000.0));
    let degraded = of(&|a| demo.degraded.contains(a));
    let accounts = |title: &str| -> BTreeSet<String> {
        let found: Vec<String> =
            rows(answers, title).iter().map(|r| text(&r["metric"], "account").to_owned()).collect();
        found.into_iter().collect()
    };

    let expected = |number: usize| (!known.is_empty()).then_some(number);
    assert_eq!(number(answers, "Disconnected"), expected(broken.len()), "{what}");
    assert_eq!(number(answers, "Connected"), expected(working.len()), "{what}");
    assert_eq!(number(answers, "Unverified"), Some(unverified.len()), "{what}");
    assert_eq!(number(answers, "Degraded").unwrap_or(0), degraded.len(), "{what}");
    assert_eq!(number(answers, "Due within 10 days").unwrap_or(0), due.len(), "{what}");
    for (title, set) in [
        ("Disconnected connections", &broken),
        ("Degraded connections", &degraded),
        ("Unverified connections", &unverified),
        ("Deadlines", &soon),
    ] {
        assert!(
            accounts(title).iter().map(String::as_str).eq(set.iter().copied()),
            "{what}, {title}: {:?} in place of {set:?}",
            accounts(title)
        );
        // One row each; degraded ones have one per capability.
        assert!(
            title.starts_with("Degraded") || rows(answers, title).len() == set.len(),
            "{what}, {title}: an account twice"
        );
    }
    for row in rows(answers, "Disconnected connections") {
        let account = text(&row["metric"], "account");
        assert_eq!(Some(text(&row["metric"], "reason")), verdict(account), "{what}: {account}");
        for label in ["name", "connected_by", "reconnect_url"] {
            assert_eq!(text(&row["metric"], label), demo.info[account][label], "{what}: {account}");
        }
    }
    let total = |title: &str| -> usize {
        rows(answers, title).iter().filter_map(|r| r["value"][1].as_str()?.parse::<usize>().ok()).sum()
    };
    assert_eq!(total("Deadlines by day"), soon.len(), "{what}");
    assert_eq!(total("Disconnected by network and reason"), broken.len(), "{what}");
    assert_eq!(total("Accounts by network"), chosen.len(), "{what}");
}

/// Renders the panels of a dashboard with Grafana's code. Returns by title the fields with their
/// texts, colours and links.
fn draw(
    version: &str,
    dashboard: &Value,
    answers: &Answers,
    variables: &BTreeMap<String, String>,
) -> BTreeMap<String, Value> {
    let mut variables = variables.clone();
    variables.extend([
        ("datasource".to_owned(), "The Prometheus".to_owned()),
        ("__url_time_range".to_owned(), "from=now-1h&to=now".to_owned()),
    ]);
    let asked: Vec<Value> = panels(dashboard)
        .map(|panel| {
            let results: Vec<Value> = answers[text(panel, "title")]
                .iter()
                .map(|(target, data)| json!({"refId": target["refId"], "format": target["format"], "legend": target["legendFormat"], "data": data}))
                .collect();
            json!({"panel": panel, "variables": variables, "results": results})
        })
        .collect();
    let drawn = script("panels.mjs", &[], &json!({"version": version, "panels": asked}).to_string());
    let drawn: Vec<Value> = serde_json::from_str(&drawn).expect("JSON");
    panels(dashboard).map(|p| text(p, "title").to_owned()).zip(drawn).collect()
}

/// A column's texts, or another property of its cells.
fn column<'a>(frames: &'a Value, name: &str, what: &str) -> &'a [Value] {
    let fields = list(frames, "/0/fields");
    let field = fields.iter().find(|f| text(f, "name") == name).unwrap_or_else(|| panic!("a column {name}"));
    list(field, &format!("/{what}"))
}

/// Checks for every rendered panel.
fn assert_drawn(dashboard: &Value, drawn: &BTreeMap<String, Value>) {
    for panel in panels(dashboard) {
        let title = text(panel, "title");
        let frames = &drawn[title];
        let names: BTreeSet<&str> =
            list(frames, "").iter().flat_map(|f| list(f, "/fields")).map(|f| text(f, "name")).collect();
        if ["table", "barchart"].contains(&text(panel, "type")) {
            assert!(list(frames, "").len() == 1, "{title}: one table, not {}", list(frames, "").len());
            for name in &names {
                assert!(
                    !name.contains("Value") && !["Time", "__name__", "job"].contains(name),
                    "{title}: a column {name}"
                );
            }
            for matcher in
                list(panel, "/fieldConfig/overrides").iter().filter(|o| o["matcher"]["id"] == "byName")
            {
                let column = text(&matcher["matcher"], "options");
                assert!(names.contains(column), "{title}: no column {column} among {names:?}");
            }
            for sorted in list(panel, "/options/sortBy") {
                assert!(
                    names.contains(text(sorted, "displayName")),
                    "{title}: sorted by a column that it has not"
                );
            }
        }
        for words in list(frames, "")
            .iter()
            .flat_map(|f| list(f, "/fields"))
            .flat_map(|f| list(f, "/text"))
            .filter_map(Value::as_str)
        {
            assert!(
                !["NaN", "undefined", "null", "Invalid date", ""].contains(&words),
                "{title}: a cell says {words:?}"
            );
        }
        for href in list(frames, "")
            .iter()
            .flat_map(|f| list(f, "/fields"))
            .flat_map(|f| list(f, "/href"))
            .filter_map(Value::as_str)
        {
            assert!(
                !href.contains('$') && (href.starts_with("/d/") || href.starts_with("https://")),
                "{title}: a link to {href}"
            );
        }
    }
}

fn assert_drawn_connections(demo: &Demo, drawn: &BTreeMap<String, Value>) {
    let table = &drawn["Disconnected connections"];
    let names: Vec<&str> = list(table, "/0/fields").iter().map(|f| text(f, "name")).collect();
    assert_eq!(
        names,
        ["Account", "Network", "Reason", "Since", "Connected by", "Lost capabilities", "Reconnect", "Id"]
    );
    for (row, id) in column(table, "Id", "text").iter().filter_map(Value::as_str).enumerate() {
        let info = &demo.info[id];
        let cell = |name: &str| column(table, name, "text")[row].as_str().unwrap_or_default();
        let reason = Reason::from_label(&demo.verdicts[id]).expect("a reason");
        assert_eq!(cell("Reason"), meaning(reason), "{id}");
        assert_eq!(cell("Account"), info["name"]);
        assert_eq!(
            cell("Network"),
            NetworkId::from_name(&info["network"]).expect("a network").description().title
        );
        assert_eq!(cell("Reconnect"), "Reconnect");
        assert!(cell("Since").ends_with(" ago"), "{}", cell("Since"));
        assert!(
            !cell("Lost capabilities").contains(|c: char| c.is_ascii_digit()),
            "{id}: {}",
            cell("Lost capabilities")
        );
        assert_eq!(column(table, "Reconnect", "href")[row], info["reconnect_url"].as_str());
        let life = format!(
            "/d/token-exporter-account?var-datasource=The Prometheus&var-account={id}&from=now-1h&to=now"
        );
        // Recent versions undo the escaping and leave it to the browser.
        let href = column(table, "Account", "href")[row].as_str().unwrap_or_default();
        assert_eq!(href.replace("%20", " "), life);
    }
    // Red, orange, yellow and green at 1, 5 and 10 days: the demo has deadlines of each kind.
    let deadlines = &drawn["Deadlines"];
    let mut colors: BTreeMap<&str, &str> = BTreeMap::new();
    for (days, color) in
        column(deadlines, "Days left", "text").iter().zip(column(deadlines, "Days left", "color"))
    {
        let days: f64 = days.as_str().and_then(|d| d.parse().ok()).expect("a number of days");
        let kind = [(0.95, "today"), (4.95, "5d"), (9.95, "10d")]
            .iter()
            .find(|(below, _)| days < *below)
            .map_or("later", |(_, kind)| kind);
        let color = color.as_str().expect("a colour");
        assert_eq!(*colors.entry(kind).or_insert(color), color, "{days} days");
    }
    assert_eq!(colors.len(), 4, "{colors:?}");
    assert_eq!(colors.values().collect::<BTreeSet<_>>().len(), 4, "{colors:?}");
}

/// Runs queries for many choices at the same time.
async fn ask_each(
    asked: &Asked,
    dashboard: &Value,
    choices: Vec<(String, BTreeMap<String, String>)>,
) -> Vec<(String, Answers)> {
    let (dashboard, places) = (Arc::new(dashboard.clone()), Arc::new(tokio::sync::Semaphore::new(8)));
    let tasks: Vec<_> = choices
        .into_iter()
        .map(|(value, variables)| {
            let (asked, dashboard, places) = (asked.clone(), Arc::clone(&dashboard), Arc::clone(&places));
            tokio::spawn(async move {
                let _place = places.acquire().await.expect("a place");
                (value, ask_all(&asked, &dashboard, &variables).await)
            })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("answers"));
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_says_what_the_demo_is_for_every_value_of_every_variable() {
    let (_demo, address, _log) = start_demo(&[]);
    // Scraped twice, like a redundant pair of exporters: no join may fail on duplicates, and no
    // count may include them.
    let prometheus = Prometheus::start(&address, &["one", "two"]).await;
    let verdicts = every_verdict_of_the_demo(&prometheus).await;
    // All queries are for one time, at which both jobs have been scraped.
    let working = verdicts.values().filter(|reason| *reason == "ok").count();
    let settled = format!(
        "sum(up) == 2 and count(connection_valid == 0) == {} and count(connection_valid == 1) == {}",
        2 * (verdicts.len() - working),
        2 * working
    );
    let asked = eventually("a moment with both twins", Duration::from_secs(120), async || {
        // Seconds since 1970 fit a float exactly.
        let now = Timestamp::now().unix() as f64;
        let asked =
            Asked { client: http_client(), base: format!("http://{}", prometheus.address).into(), now };
        let both = asked.ask(&settled, true).await;
        (!list(&both, "/result").is_empty()).then_some(asked)
    })
    .await;
    let now = asked.now;
    let demo = Demo::read(&asked, verdicts).await;

    // Connections: all of them, then each value of each variable.
    let dashboard = load("connections");
    let all = everything("60s");
    let answers = ask_all(&asked, &dashboard, &all).await;
    assert_connections(&demo, &demo.chosen("", ""), &answers, now, "all");
    for (title, answer) in &answers {
        // No account recovers in the demo; promtool tests that.
        let expected = !["Recoveries", "Renewals"].contains(&title.as_str());
        assert!(answer.iter().all(|(_, data)| list(data, "/result").is_empty() != expected), "{title}");
    }
    for version in ["oldest", "newest"] {
        let drawn = draw(version, &dashboard, &answers, &all);
        assert_drawn(&dashboard, &drawn);
        assert_drawn_connections(&demo, &drawn);
    }
    for variable in &list(&dashboard, "/templating/list")[1..] {
        let name = text(variable, "name");
        let values = asked.values(&grafana_variables(text(variable, "definition"), &all)).await;
        let expected: BTreeSet<&str> = demo.info.values().map(|labels| labels[name].as_str()).collect();
        assert!(values.iter().map(String::as_str).eq(expected.into_iter()), "{name}: {values:?}");
        let choices = values.into_iter().map(|value| {
            let mut variables = all.clone();
            variables.insert(name.to_owned(), escaped(&value));
            (value, variables)
        });
        for (value, answers) in ask_each(&asked, &dashboard, choices.collect()).await {
            assert_connections(&demo, &demo.chosen(name, &value), &answers, now, &format!("{name} {value}"));
        }
    }

    // One account: each of them. If the metrics of a query exist, it has an answer.
    let dashboard = load("account");
    let accounts = asked.values(text(&list(&dashboard, "/templating/list")[1], "definition")).await;
    assert_eq!(accounts.len(), demo.info.len());
    let choices = accounts.into_iter().map(|account| {
        let mut variables = all.clone();
        variables.insert("account".to_owned(), account.clone());
        (account, variables)
    });
    let mut there: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let named_series = asked.ask("count by (__name__, account) ({account!=\"\"})", true).await;
    for series in list(&named_series, "/result") {
        there
            .entry(text(&series["metric"], "account").to_owned())
            .or_default()
            .insert(text(&series["metric"], "__name__").to_owned());
    }
    let mut shown = BTreeSet::new();
    for (account, answers) in ask_each(&asked, &dashboard, choices.collect()).await {
        for (title, answer) in &answers {
            for (target, data) in answer {
                let (metrics, _) = named(text(target, "expr"));
                let empty = list(data, "/result").is_empty();
                assert!(
                    !empty
                        || !metrics.is_subset(&there[&account])
                        || ["Recoveries", "Renewals"].contains(&title.as_str()),
                    "{account}: {title}"
                );
                if !empty {
                    shown.insert(title.clone());
                }
            }
        }
        let code = demo
            .verdicts
            .get(&account)
            .and_then(|r| Reason::from_label(r))
            .and_then(|r| Reason::ALL.iter().position(|o| *o == r));
        assert_eq!(number(&answers, "Connection"), code, "{account}");
        let login = demo.chosen("credential", &demo.info[&account]["credential"]);
        let judged = login.iter().filter(|a| demo.verdicts.contains_key(**a)).count();
        assert_eq!(rows(&answers, "The same login").len(), judged, "{account}");
        // An account with all data, rendered by both versions.
        if demo.degraded.contains(&account)
            && demo.deadlines.contains_key(&account)
            && there[&account].contains("token_scope_granted")
            && shown.insert("drawn".to_owned())
        {
            let mut variables = all.clone();
            variables.insert("account".to_owned(), account.clone());
            for version in ["oldest", "newest"] {
                let drawn = draw(version, &dashboard, &answers, &variables);
                assert_drawn(&dashboard, &drawn);
                assert_eq!(column(&drawn["Connection"], "connection", "text")[0], "connected");
                assert!(
                    column(&drawn["Capabilities now"], "Obstacle", "text")
                        .iter()
                        .any(|t| t != "none: it is available")
                );
            }
        }
    }
    assert!(shown.contains("drawn"), "the demo has a degraded account with a deadline and scopes");
    for panel in panels(&dashboard) {
        assert!(shown.contains(text(panel, "title")), "{}: empty for every account", text(panel, "title"));
    }

    // The exporter: all, each job, each instance.
    let dashboard = load("exporter");
    let mut choices = vec![("all".to_owned(), all.clone())];
    for variable in &list(&dashboard, "/templating/list")[1..] {
        let values = asked.values(&grafana_variables(text(variable, "definition"), &all)).await;
        assert!(!values.is_empty());
        choices.extend(values.into_iter().map(|value| {
            let mut variables = all.clone();
            variables.insert(text(variable, "name").to_owned(), escaped(&value));
            (value, variables)
        }));
    }
    for (value, answers) in ask_each(&asked, &dashboard, choices).await {
        for (title, answer) in &answers {
            assert!(
                answer.iter().all(|(_, data)| !list(data, "/result").is_empty()),
                "{value}: {title} is empty"
            );
        }
        if value == "one" {
            for version in ["oldest", "newest"] {
                let drawn = draw(version, &dashboard, &answers, &all);
                let of = |title: &str, name: &str| {
                    column(&drawn[title], name, "text")[0].as_str().unwrap_or_default().to_owned()
                };
                assert_eq!(
                    (of("Exporter", "up"), of("Configuration", "configuration")),
                    ("up".to_owned(), "loaded".to_owned())
                );
                assert_eq!(
                    (of("Shards missing", "missing"), of("Accounts", "accounts")),
                    ("0".to_owned(), demo.info.len().to_string())
                );
                assert_drawn(&dashboard, &drawn);
            }
        }
    }
}
