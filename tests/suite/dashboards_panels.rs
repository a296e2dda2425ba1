//! Patterns in the dashboards that a real Grafana draws wrongly or refuses, although its types allow
//! them. Each check is also run on the pattern itself, which it must find.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::dashboards::{NAMES, list, load, panels, text};

/// What a check finds in a dashboard: one line for each fault.
type Check = fn(&Value) -> Vec<String>;

/// No dashboard has the faults, and the check finds them in a dashboard that has been changed back.
fn assert_absent(check: Check, dashboard: &str, change: impl FnOnce(&mut Value)) {
    for name in NAMES {
        assert_eq!(check(&load(name)), Vec::<String>::new(), "{name}");
    }
    let mut faulty = load(dashboard);
    change(&mut faulty);
    assert!(!check(&faulty).is_empty(), "{dashboard}: the check finds nothing");
}

fn titles_where(dashboard: &Value, faulty: impl Fn(&Value) -> bool) -> Vec<String> {
    panels(dashboard).filter(|p| faulty(p)).map(|p| text(p, "title").to_owned()).collect()
}

fn panel_mut<'a>(dashboard: &'a mut Value, kind: &str, title: &str) -> &'a mut Value {
    let mut panels = dashboard["panels"].as_array_mut().expect("panels").iter_mut();
    panels.find(|p| p["type"] == kind && p["title"] == title).unwrap_or_else(|| panic!("a panel {title}"))
}

fn provisioning(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/provisioning").join(file);
    serde_yaml::from_str(&std::fs::read_to_string(path).expect("a file")).expect("YAML")
}

/// The properties of this name in a panel: the default, and those of single columns.
fn properties<'a>(panel: &'a Value, id: &str) -> Vec<&'a Value> {
    let overrides = list(panel, "/fieldConfig/overrides").iter().flat_map(|o| list(o, "/properties"));
    let of_columns = overrides.filter(|p| p["id"] == id).map(|p| &p["value"]);
    panel["fieldConfig"]["defaults"].get(id).into_iter().chain(of_columns).collect()
}

/// With colours by threshold and equal neighbours merged, a timeline shows the thresholds' ranges
/// (`-∞+`) instead of the words and colours of its values.
fn timelines_without_words(dashboard: &Value) -> Vec<String> {
    titles_where(dashboard, |panel| {
        let coloured = |mapping: &Value| {
            let options = mapping["options"].as_object().expect("values");
            options.values().all(|o| o["color"].is_string() && o["text"].is_string())
        };
        panel["type"] == "state-timeline"
            && (panel["options"]["mergeValues"] == true
                && properties(panel, "color").iter().any(|color| color["mode"] == "thresholds")
                || !list(panel, "/fieldConfig/defaults/mappings").iter().all(coloured))
    })
}

#[test]
fn state_timelines_show_the_words_and_colours_of_their_values() {
    let timelines: usize =
        NAMES.iter().map(|n| panels(&load(n)).filter(|p| p["type"] == "state-timeline").count()).sum();
    assert_eq!(timelines, 5);
    assert_absent(timelines_without_words, "account", |account| {
        panel_mut(account, "state-timeline", "Probes")["fieldConfig"]["defaults"]["color"] =
            json!({"mode": "thresholds"});
    });
}

/// Grafana does not store a dashboard whose title is that of a folder.
fn titles_of_folders(dashboard: &Value) -> Vec<String> {
    let file = provisioning("dashboards/token_exporter.yml");
    let folders = list(&file, "/providers").iter().map(|p| text(p, "folder").to_lowercase());
    let title = text(dashboard, "title").to_lowercase();
    folders.filter(|folder| *folder == title).collect()
}

#[test]
fn no_dashboard_has_the_title_of_its_folder_or_of_another() {
    assert_absent(titles_of_folders, "exporter", |exporter| exporter["title"] = "token_exporter".into());
    let titles: BTreeSet<String> = NAMES.iter().map(|n| text(&load(n), "title").to_lowercase()).collect();
    assert_eq!(titles.len(), NAMES.len(), "{titles:?}");
}

/// Instants that stand for a day are drawn in the browser's time zone, on another day west or east
/// of Greenwich. And a bar chart writes its `noValue` under each bar whose label it leaves out.
fn bars_with_dates_or_texts_for_nothing(dashboard: &Value) -> Vec<String> {
    titles_where(dashboard, |panel| {
        let to_time = list(panel, "/transformations")
            .iter()
            .flat_map(|t| list(t, "/options/conversions"))
            .any(|c| c["destinationType"] == "time");
        let dates = properties(panel, "unit")
            .into_iter()
            .filter_map(Value::as_str)
            .any(|u| u.starts_with("time:") || u.starts_with("date"));
        let rounded = list(panel, "/targets").iter().any(|t| text(t, "expr").contains("86400000 * floor("));
        rounded
            || panel["type"] == "barchart" && (to_time || dates || !properties(panel, "noValue").is_empty())
    })
}

#[test]
fn bars_stand_for_spans_of_time_that_are_the_same_in_every_time_zone() {
    let deadlines = "Deadlines by days left";
    assert_absent(bars_with_dates_or_texts_for_nothing, "connections", |connections| {
        panel_mut(connections, "barchart", deadlines)["fieldConfig"]["defaults"]["noValue"] = "None.".into();
    });
    assert_absent(bars_with_dates_or_texts_for_nothing, "connections", |connections| {
        let target = &mut panel_mut(connections, "barchart", deadlines)["targets"][0];
        target["expr"] =
            "count_values(\"day\", 86400000 * floor(token_expiry_timestamp_seconds / 86400))".into();
    });
}

/// A variable with a value for each account, or that reads all accounts, costs megabytes: it is asked
/// for when the page is loaded (1), not whenever the page refreshes (2).
fn lists_of_accounts_at_each_refresh(dashboard: &Value) -> Vec<String> {
    list(dashboard, "/templating/list")
        .iter()
        .filter(|v| text(v, "definition").contains("connection_") && v["refresh"] != 1)
        .map(|v| text(v, "name").to_owned())
        .collect()
}

#[test]
fn lists_of_accounts_are_asked_for_once_and_as_values_of_a_label() {
    assert_absent(lists_of_accounts_at_each_refresh, "account", |account| {
        account["templating"]["list"][1]["refresh"] = 2.into();
    });
    // Without a type and a version, Grafana reads all series to find the values of a label.
    let file = provisioning("datasources/prometheus.yml");
    let sources = list(&file, "/datasources");
    assert!(!sources.is_empty());
    for source in sources {
        assert_eq!(text(&source["jsonData"], "prometheusType"), "Prometheus");
        let version = text(&source["jsonData"], "prometheusVersion");
        let parts: Vec<u32> = version.split('.').map_while(|part| part.parse().ok()).collect();
        assert!(parts.len() == 3 && parts >= vec![2, 24, 0], "{version:?}: no version with this API");
    }
}

/// Without a current value, Grafana takes the first Prometheus by alphabet.
fn data_sources_by_alphabet(dashboard: &Value) -> Vec<String> {
    list(dashboard, "/templating/list")
        .iter()
        .filter(|v| v["type"] == "datasource")
        .filter(|v| v["current"]["value"] != "default" || v["current"]["text"] != "default")
        .map(|v| text(v, "name").to_owned())
        .collect()
}

#[test]
fn dashboards_open_with_grafanas_default_data_source() {
    assert_absent(data_sources_by_alphabet, "connections", |connections| {
        connections["templating"]["list"][0]["current"] = json!({});
    });
}

/// The base colour of the thresholds is also that of "unknown". Lines have no colour where they have
/// no value.
fn colours_for_unknown(dashboard: &Value) -> Vec<String> {
    titles_where(dashboard, |panel| {
        let bases = properties(panel, "thresholds").into_iter().map(|t| &t["steps"][0]);
        panel["type"] != "timeseries"
            && bases
                .into_iter()
                .any(|b| !b["value"].is_null() || !["gray", "text"].contains(&text(b, "color")))
    })
}

#[test]
fn unknown_is_neither_good_nor_bad() {
    let steps = |base| json!([{"color": base, "value": null}, {"color": "green", "value": 5}]);
    assert_absent(colours_for_unknown, "account", |account| {
        panel_mut(account, "stat", "Days left")["fieldConfig"]["defaults"]["thresholds"]["steps"] =
            steps("red");
    });
    assert_absent(colours_for_unknown, "connections", |connections| {
        panel_mut(connections, "stat", "Unverified")["fieldConfig"]["defaults"]["thresholds"]["steps"] =
            steps("green");
    });
}

/// What is left until a deadline says nothing about an account that is already disconnected.
fn deadlines_of_lost_accounts(dashboard: &Value) -> Vec<String> {
    titles_where(dashboard, |panel| {
        list(panel, "/targets").iter().map(|t| text(t, "expr")).any(|query| {
            query.contains("token_expiry_timestamp_seconds{account=\"$account\"}")
                && !query.contains("unless on () (connection_valid{account=\"$account\"} == 0")
        })
    })
}

#[test]
fn a_lost_account_has_no_days_left() {
    assert_absent(deadlines_of_lost_accounts, "account", |account| {
        panel_mut(account, "stat", "Days left")["targets"][0]["expr"] =
            "(max(token_expiry_timestamp_seconds{account=\"$account\"}) - time()) / 86400".into();
    });
    let mut account = load("account");
    for (title, word) in [("Reconnect by", "now"), ("Days left", "none")] {
        let zero =
            &panel_mut(&mut account, "stat", title)["fieldConfig"]["defaults"]["mappings"][0]["options"]["0"];
        assert_eq!((text(zero, "text"), text(zero, "color")), (word, "red"));
    }
}

/// An account that waits for its first probe is no fault of anything.
fn waiting_counted_as_unverified(dashboard: &Value) -> Vec<String> {
    titles_where(dashboard, |panel| {
        text(panel, "title").starts_with("Unverified")
            && !list(panel, "/targets")
                .iter()
                .all(|t| text(t, "expr").contains("and on (account, network) connection_probe_success{"))
    })
}

#[test]
fn accounts_that_were_never_probed_are_not_unverified() {
    assert_absent(waiting_counted_as_unverified, "connections", |connections| {
        let target = &mut panel_mut(connections, "stat", "Unverified")["targets"][0];
        let query =
            text(target, "expr").replace("and on (account, network) connection_probe_success{", "and x{");
        target["expr"] = query.into();
    });
    assert!(panels(&load("connections")).any(|p| p["title"] == "Not probed yet"));
}
