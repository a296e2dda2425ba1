//! Queries of the dashboards, run by promtool over made-up series.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};
use token_exporter::model::Reason;

use crate::dashboards::{everything, expr, grafana_variables, list, load, panels, text};

/// Labels and value of each sample.
type Samples<'a> = &'a [(&'a str, f64)];

/// Lets promtool play some series and compare the queries' results.
fn play(series: &[(&str, &str)], expected: &[(&str, &str, Samples)]) {
    let series: Vec<Value> =
        series.iter().map(|(series, values)| json!({"series": series, "values": values})).collect();
    let expected: Vec<Value> = expected
        .iter()
        .map(|(at, query, samples)| {
            let sample = |(labels, value): &(&str, f64)| json!({"labels": labels, "value": value});
            let samples: Vec<Value> = samples.iter().map(sample).collect();
            let query = grafana_variables(query, &everything("5m"));
            json!({"expr": query, "eval_time": at, "exp_samples": samples})
        })
        .collect();
    let test = json!({"interval": "1m", "input_series": series, "promql_expr_test": expected});
    let test = json!({"evaluation_interval": "1m", "tests": [test]});
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

/// Thirteen hours after the first scrape, at 46,800 s: accounts in each state, with deadlines at the
/// limits of each span.
#[test]
fn waiting_unverified_lost_and_due_accounts_are_told_apart() {
    let (connections, account) = (load("connections"), load("account"));
    let days = |days: f64| 46_800.0 + 86_400.0 * days;
    let verified = Some(46_000.0);
    // Name, verdict, whether the last probe was conclusive, the time of the last one that was, deadline.
    let accounts = [
        ("waiting", None, None, None, Some(days(20.0))),
        ("never", None, Some(0), None, Some(days(20.0))),
        ("stale", Some("ok"), Some(0), Some(60.0), Some(days(-0.1))),
        ("lost", Some("not_admin"), Some(1), verified, Some(days(55.0))),
        ("free", Some("ok"), Some(1), verified, None),
        ("soon", Some("ok"), Some(1), verified, Some(days(0.5))),
        ("week", Some("ok"), Some(1), verified, Some(days(5.0))),
        ("ten", Some("ok"), Some(1), verified, Some(days(10.0))),
        ("sixty", Some("ok"), Some(1), verified, Some(days(60.0))),
        ("later", Some("ok"), Some(1), verified, Some(days(61.0))),
    ];
    let mut series = Vec::new();
    for (name, verdict, success, conclusive, deadline) in accounts {
        let mut add = |metric: &str, more: &str, value: Option<f64>| {
            let labels = format!("account=\"{name}\",network=\"x\"{more}");
            series.extend(value.map(|v| (format!("{metric}{{{labels}}}"), format!("{v}x790"))));
        };
        add("connection_info", ",name=\"N\"", Some(1.0));
        let reason = format!(",reason=\"{}\"", verdict.unwrap_or_default());
        add("connection_valid", &reason, verdict.map(|v| f64::from(u8::from(v == "ok"))));
        add("connection_probe_success", "", success.map(f64::from));
        add("connection_undetermined", ",cause=\"dns\"", (name == "stale").then_some(1.0));
        add("connection_last_conclusive_probe_timestamp_seconds", "", conclusive);
        add("token_expiry_timestamp_seconds", "", deadline);
        add("token_clock_expiry_timestamp_seconds", ",clock=\"access\"", deadline);
    }
    let series: Vec<(&str, &str)> = series.iter().map(|(s, v)| (s.as_str(), v.as_str())).collect();
    let of = |title: &str, nth: usize, id: &str| {
        let panel = panels(&account).find(|p| text(p, "title") == title).expect("a panel");
        let query = text(&panel["targets"][nth], "expr");
        grafana_variables(query, &BTreeMap::from([("account".to_owned(), id.to_owned())]))
    };
    let queries = [
        of("Reconnect by", 0, "lost"),
        of("Days left", 0, "lost"),
        of("Days left over time", 0, "lost"),
        of("Days left over time", 1, "lost"),
        of("Expiry times", 0, "lost"),
        of("Expiry times", 1, "lost"),
        of("Reconnect by", 0, "ten"),
        of("Days left", 0, "ten"),
        of("Expiry times", 0, "ten"),
        of("Days left", 0, "waiting"),
        of("Days left", 0, "free"),
    ];
    let answers: [Samples; 11] = [
        &[("{}", 0.0)],
        &[("{}", 0.0)],
        &[],
        &[],
        &[],
        &[("{clock=\"access\"}", 1000.0 * (46_800.0 + 86_400.0 * 55.0))],
        &[("{}", 1000.0 * (46_800.0 + 86_400.0 * 10.0))],
        &[("{}", 10.0)],
        &[("{clock=\"deadline\"}", 10.0), ("{clock=\"access\"}", 10.0)],
        &[("{}", 20.0)],
        &[],
    ];
    let mut expected: Vec<(&str, &str, Samples)> = vec![
        ("13h", expr(&connections, "Not probed yet"), &[("{}", 1.0)]),
        ("13h", expr(&connections, "Unverified"), &[("{}", 2.0)]),
        (
            "13h",
            expr(&connections, "Unverified connections"),
            &[
                ("{account=\"never\",name=\"N\",network=\"x\"}", 0.0),
                ("{account=\"stale\",cause=\"dns\",name=\"N\",network=\"x\"}", 60_000.0),
            ],
        ),
        (
            "13h",
            expr(&connections, "Deadlines by days left"),
            &[
                ("{due=\"00\"}", 2.0),
                ("{due=\"01\"}", 0.0),
                ("{due=\"05\"}", 1.0),
                ("{due=\"10\"}", 1.0),
                ("{due=\"30\"}", 1.0),
            ],
        ),
    ];
    expected.extend(queries.iter().zip(answers).map(|(query, samples)| ("13h", query.as_str(), samples)));
    play(&series, &expected);
}

/// After ten minutes: what a product plans and thinks, beside the verdicts.
#[test]
fn plans_and_opinions_of_products_are_compared_with_the_verdicts() {
    let connections = load("connections");
    // Name, verdict, state in the product, next use.
    let accounts = [
        ("unnoticed", "access_revoked", Some("Authorized"), Some(9000.0)),
        ("known", "account_locked", Some("disconnected"), Some(8000.0)),
        ("past", "account_locked", None, Some(60.0)),
        ("doubted", "ok", Some("refresh_needed"), Some(7000.0)),
        ("fine", "ok", Some("ok"), None),
        ("silent", "ok", None, None),
    ];
    let mut series = Vec::new();
    for (name, verdict, state, next_use) in accounts {
        for job in ["one", "two"] {
            let mut add = |metric: &str, more: &str, value: f64| {
                let labels = format!("account=\"{name}\",network=\"x\",job=\"{job}\"{more}");
                series.push((format!("{metric}{{{labels}}}"), format!("{value}x10")));
            };
            add("connection_info", ",name=\"N\"", 1.0);
            let reason = format!(",reason=\"{verdict}\"");
            add("connection_valid", &reason, f64::from(u8::from(verdict == "ok")));
            if let Some(state) = state {
                add("connection_source_state", &format!(",state=\"{state}\""), 1.0);
            }
            if let Some(next_use) = next_use {
                add("connection_next_use_timestamp_seconds", "", next_use);
            }
        }
    }
    let series: Vec<(&str, &str)> = series.iter().map(|(s, v)| (s.as_str(), v.as_str())).collect();
    let revoked = "account=\"unnoticed\",name=\"N\",network=\"x\",reason=\"access_revoked\"";
    let doubted = "{account=\"doubted\",name=\"N\",network=\"x\",reason=\"ok\",state=\"refresh_needed\"}";
    play(
        &series,
        &[
            (
                "10m",
                expr(&connections, "Planned posts that will fail"),
                &[
                    ("{account=\"known\",name=\"N\",network=\"x\",reason=\"account_locked\"}", 8_000_000.0),
                    (&format!("{{{revoked}}}"), 9_000_000.0),
                ],
            ),
            (
                "10m",
                expr(&connections, "Where the product disagrees"),
                &[(&format!("{{{revoked},state=\"Authorized\"}}"), 2.0), (doubted, 1.0)],
            ),
        ],
    );
}
