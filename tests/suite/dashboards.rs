//! The dashboards as documents: their texts, layout, links, metrics and labels.
//!
//! No Grafana runs here. `tests/grafana` validates the dashboards against Grafana's published types.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};
use token_exporter::exposition::{FAMILIES, SMALL_FAMILIES};
use token_exporter::model::{AppProblem, Capability, Cause, Reason};
use token_exporter::network::NetworkId;
use token_exporter::telemetry::Metrics;

use crate::golden::assert_golden;

pub(crate) const NAMES: [&str; 3] = ["connections", "account", "exporter"];
/// Labels that Prometheus adds, and the own label of accounts that the dashboards expect.
const OTHER_LABELS: [&str; 4] = ["job", "instance", "le", "team"];
const METRICS_OF_PROMETHEUS: [&str; 3] = ["up", "scrape_duration_seconds", "scrape_samples_scraped"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

pub(crate) fn load(name: &str) -> Value {
    let text =
        std::fs::read_to_string(root().join("dashboards").join(format!("{name}.json"))).expect("a dashboard");
    serde_json::from_str(&text).expect("JSON")
}

pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// The panels, without rows.
pub(crate) fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(dashboard, "/panels").iter().filter(|p| text(p, "type") != "row")
}

fn panel<'a>(dashboard: &'a Value, title: &str) -> &'a Value {
    panels(dashboard).find(|p| text(p, "title") == title).unwrap_or_else(|| panic!("a panel {title}"))
}

pub(crate) fn expr<'a>(dashboard: &'a Value, title: &str) -> &'a str {
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

pub(crate) fn meaning(reason: Reason) -> String {
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
        "Problem" => {
            mapping(AppProblem::ALL.iter().map(|p| (p.label().to_owned(), p.label().replace('_', " "))))
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
        let mut titles = BTreeSet::new();
        for panel in panels(&dashboard) {
            let title = text(panel, "title");
            assert!(titles.insert(title), "{name}: two panels {title}");
            let defaults = &panel["fieldConfig"]["defaults"];
            for (what, found) in [
                ("description", text(panel, "description")),
                ("unit", text(defaults, "unit")),
                ("noValue", text(defaults, "noValue")),
            ] {
                // A bar chart writes its noValue under its bars (see dashboards_panels).
                assert!(
                    found.is_empty() == (what == "noValue" && panel["type"] == "barchart"),
                    "{name}, {title}: {what}"
                );
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
pub(crate) fn named(query: &str) -> (BTreeSet<String>, BTreeSet<String>) {
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
        metrics.announce_reports(network);
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
    // Every metric about connections must be on a dashboard, but for what others say as well and what
    // only mails show.
    let elsewhere = [
        "token_expires_in_seconds",
        "token_has_expiry",
        "token_issued_timestamp_seconds",
        "connection_time_zone_offset_seconds",
    ];
    for family in FAMILIES.iter().filter(|f| !elsewhere.contains(&f.name)) {
        assert!(used.contains(family.name), "no dashboard shows {}", family.name);
    }
}

// Grafana's own types.

/// Runs a script of `tests/grafana` and returns its output.
pub(crate) fn script(name: &str, arguments: &[String], input: &str) -> String {
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

pub(crate) fn grafana_variables(query: &str, variables: &BTreeMap<String, String>) -> String {
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

pub(crate) fn everything(interval: &str) -> BTreeMap<String, String> {
    let fixed = ["network", "team", "use", "account", "job", "instance"].map(|name| (name, ".*"));
    let times = [("__interval", interval), ("__rate_interval", interval), ("__range", "10m")];
    fixed.into_iter().chain(times).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
