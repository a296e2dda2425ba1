//! The rules as Prometheus reads them: promtool checks them and lets accounts live through their last days.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use token_exporter::alerting::{Options, rules};
use token_exporter::config::{Notice, ScheduleRule, default_schedule};
use token_exporter::network::NetworkId;
use token_exporter::reason::{Reason, Use, advice};

use crate::golden::assert_golden;

const DAY: u64 = 86_400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Runs a program of Prometheus or Alertmanager and gives what it printed.
fn tool(program: &str, arguments: &[&str], file: &Path) -> String {
    let output = Command::new(program).args(arguments).arg(file).output().expect("the program (tests/run installs it)");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text
}

fn generate(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_token_exporter")).arg("generate").args(arguments).output().expect("the program")
}

#[test]
fn the_shipped_rules_are_those_of_the_default_schedule() {
    let output = generate(&["rules"]);
    assert!(output.status.success());
    assert_golden("../alerts/connections.rules.yml", &String::from_utf8(output.stdout).expect("text"));
    tool("promtool", &["check", "rules", "--lint=all", "--lint-fatal"], &root().join("alerts/connections.rules.yml"));
}

#[test]
fn every_reason_and_every_advice_is_in_the_rules() {
    let text = rules(&default_schedule(), &Options::default());
    for reason in Reason::ALL.iter().filter(|r| **r != Reason::Ok) {
        assert!(text.contains(reason.info().meaning), "{reason}");
        for network in NetworkId::all() {
            for (i, step) in advice(*reason, network).iter().enumerate() {
                assert!(text.contains(&format!("{}. {step}", i + 1)), "{reason} {}", network.name());
            }
        }
    }
}

#[test]
fn odd_schedules_make_good_rules() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.yaml");
    std::fs::write(
        &file,
        "accounts: [{id: a, network: mastodon, token: sim-a}]\n\
         schedule: [{match: {network: [x, tiktok], use: paid}, notices: [90s]}, {notices: [200s, 100s, 20s, today]}]\n",
    )
    .expect("written");
    let made = folder.path().join("rules.yml");
    for offset in ["+05:30", "-08:00", "+00:00"] {
        let output = generate(&["rules", "--config.file", &file.display().to_string(), "--utc-offset", offset]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        for notice in ["90s", "200s", "100s", "20s", "today"] {
            assert!(text.contains(&format!("notice: \"{notice}\"")), "{notice}");
        }
        std::fs::write(&made, text).expect("written");
        tool("promtool", &["check", "rules", "--lint=all", "--lint-fatal"], &made);
    }
    for offset in ["2", "+2:00", "+15:00", "+01:60", "UTC"] {
        let output = generate(&["rules", "--utc-offset", offset]);
        assert_eq!(output.status.code(), Some(2), "{offset}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("+02:00"), "{offset}");
    }
}

/// One account with a deadline, for so many minutes.
fn account(network: NetworkId, purpose: Use, deadline: u64, minutes: u64) -> Vec<Value> {
    let identity = format!("account=\"{}\",network=\"{}\",job=\"t\",instance=\"i\"", name(network, purpose), network.name());
    let constant = |series: String, value: u64| json!({"series": series, "values": format!("{value}x{minutes}")});
    vec![
        constant(format!("connection_info{{{identity},use=\"{purpose}\",credential=\"c\",notify=\"a@b.example\",name=\"N\"}}"), 1),
        constant(format!("connection_valid{{{identity},reason=\"ok\"}}"), 1),
        constant(format!("token_expiry_timestamp_seconds{{{identity}}}"), deadline),
    ]
}

fn name(network: NetworkId, purpose: Use) -> String {
    format!("{}-{purpose}", network.name())
}

fn everyone() -> Vec<(NetworkId, Use)> {
    NetworkId::all().flat_map(|n| Use::ALL.iter().map(move |u| (n, *u))).collect()
}

/// What the product promises, written down once more.
fn promised(network: NetworkId, purpose: Use) -> &'static [&'static str] {
    match (network.name(), purpose) {
        ("facebook", Use::Monitored) => &["10d"],
        ("instagram", Use::Monitored) => &["10d", "1d", "today"],
        _ => &["10d", "5d", "1d", "today"],
    }
}

/// Expects at a minute that exactly these notices stand, for whom they are promised.
fn expect(who: &[(NetworkId, Use)], minute: u64, standing: &[&str]) -> Value {
    let samples: Vec<Value> =
        who.iter()
            .copied()
            .flat_map(|(network, purpose)| {
                standing.iter().filter(move |n| promised(network, purpose).contains(n)).map(
                    move |notice| json!({"labels": format!("{{account=\"{}\",notice=\"{notice}\"}}", name(network, purpose)), "value": 1}),
                )
            })
            .collect();
    json!({
        "expr": "count by (account, notice) (ALERTS{alertname=\"ConnectionExpiring\",alertstate=\"firing\"})",
        "eval_time": format!("{minute}m"),
        "exp_samples": samples,
    })
}

fn promtool_test(rule_file: &Path, tests: &[Value]) {
    let file = json!({"rule_files": [rule_file], "evaluation_interval": "1m", "tests": tests});
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("test.yml");
    std::fs::write(&path, file.to_string()).expect("written");
    tool("promtool", &["test", "rules"], &path);
}

#[test]
fn each_notice_stands_from_its_minute_on_and_not_before() {
    // The instant of each boundary is minute 10; deadlines count from the epoch, which is a midnight.
    let everyone = everyone();
    let boundaries: [(u64, &[&str], &[&str]); 4] = [(10, &[], &["10d"]), (6, &["10d"], &[]), (5, &[], &["5d"]), (1, &["5d"], &["1d"])];
    let mut tests: Vec<Value> = boundaries
        .iter()
        .map(|(days, before, after)| {
            let series: Vec<Value> = everyone.iter().flat_map(|(n, u)| account(*n, *u, days * DAY + 600, 12)).collect();
            json!({"interval": "1m", "input_series": series, "promql_expr_test": [expect(&everyone, 9, before), expect(&everyone, 10, after)]})
        })
        .collect();
    // The last day: the deadline is at six in the morning of the second day.
    // Two days take a while: one account for each rule of the schedule.
    let some: Vec<_> = ["facebook", "instagram", "tiktok"]
        .into_iter()
        .filter_map(NetworkId::from_name)
        .map(|n| (n, if n.name() == "tiktok" { Use::Owned } else { Use::Monitored }))
        .collect();
    let series: Vec<Value> = some.iter().flat_map(|(n, u)| account(*n, *u, DAY + 6 * 3600, 2 * 1440 + 5)).collect();
    let moments: [(u64, &[&str]); 7] = [
        (359, &["5d"]),
        (360, &["1d"]),
        (1439, &["1d"]),
        (1440, &["1d", "today"]),
        (1799, &["1d", "today"]),
        (1800, &["today"]),
        (2879, &["today"]),
    ];
    let mut checks: Vec<Value> = moments.iter().map(|(minute, standing)| expect(&some, *minute, standing)).collect();
    checks.push(expect(&some, 2880, &[]));
    tests.push(json!({"interval": "1m", "input_series": series, "promql_expr_test": checks}));
    promtool_test(&root().join("alerts/connections.rules.yml"), &tests);
}

#[test]
fn today_follows_the_offset() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rules.yml");
    let schedule = [ScheduleRule { networks: Vec::new(), uses: Vec::new(), notices: vec![Notice::Today] }];
    let options = Options { utc_offset: -5 * 3600, ..Options::default() };
    std::fs::write(&path, rules(&schedule, &options)).expect("written");
    // Three in the morning in UTC is ten in the evening before: that day begins at five and ends at five. (The first
    // day's first hours are before the epoch there.)
    let network = NetworkId::from_name("x").expect("a network");
    let series = account(network, Use::Owned, 2 * DAY + 3 * 3600, 3240);
    let check = |minute: u64, count: u64| {
        let samples: Vec<Value> = (0..count).map(|_| json!({"labels": "{}", "value": 1})).collect();
        json!({"expr": "count(ALERTS{notice=\"today\",alertstate=\"firing\"})", "eval_time": format!("{minute}m"), "exp_samples": samples})
    };
    let checks = [check(1739, 0), check(1740, 1), check(2880, 1), check(3179, 1), check(3180, 0)];
    promtool_test(&path, &[json!({"interval": "1m", "input_series": series, "promql_expr_test": checks})]);
}

#[test]
fn the_shipped_tests_pass() {
    for entry in std::fs::read_dir(root().join("alerts/tests")).expect("the folder") {
        let path = entry.expect("an entry").path();
        tool("promtool", &["test", "rules"], &path);
    }
}

#[test]
fn the_shipped_alertmanager_configuration_is_that_of_the_default_schedule() {
    let output = generate(&["alertmanager"]);
    assert!(output.status.success());
    let file = root().join("alerts/alertmanager.yml");
    assert_golden("../alerts/alertmanager.yml", &String::from_utf8(output.stdout).expect("text"));
    // It reads the templates, too.
    assert!(tool("amtool", &["check-config"], &file).contains("1 templates"));
}

#[test]
fn every_alert_takes_its_route() {
    let file = root().join("alerts/alertmanager.yml");
    let config = format!("--config.file={}", file.display());
    let someone = "notify=jane@example.com";
    for (labels, receivers) in [
        (vec!["alertname=ConnectionExpiring", "severity=info", "notice=10d", someone], "people"),
        (vec!["alertname=ConnectionExpiring", "severity=warning", "notice=1d", someone], "people"),
        (vec!["alertname=ConnectionExpiring", "severity=critical", "notice=today", someone], "pager,people"),
        (vec!["alertname=ConnectionExpiring", "severity=info", "notice=10d"], "operator"),
        (vec!["alertname=ConnectionExpiring", "severity=critical", "notice=today"], "pager,operator"),
        (vec!["alertname=ConnectionLost", "severity=warning", someone], "people"),
        (vec!["alertname=ConnectionLost", "severity=warning"], "operator"),
        (vec!["alertname=ConnectionInvalid", "severity=critical", someone], "pager"),
        (vec!["alertname=ConnectionDegraded", "severity=warning", "news=yes", someone], "people"),
        (vec!["alertname=ConnectionDegraded", "severity=warning", "news=yes"], "operator"),
        (vec!["alertname=ConnectionDegraded", "severity=warning", someone], "nobody"),
        (vec!["alertname=ConnectionReconnected", "severity=info", someone], "nobody"),
        (vec!["alertname=ConnectionUnverified", "severity=warning", someone], "operator"),
        (vec!["alertname=TokenExporterDown", "severity=critical"], "pager"),
        (vec!["alertname=TokenExporterAppUnhealthy", "severity=critical"], "pager"),
        (vec!["alertname=TokenExporterShardMissing", "severity=critical"], "pager"),
        (vec!["alertname=TokenExporterReloadFailed", "severity=warning"], "operator"),
    ] {
        let verify = format!("--verify.receivers={receivers}");
        let output = Command::new("amtool").args(["config", "routes", "test", &config, &verify]).args(&labels).output().expect("amtool");
        assert!(
            output.status.success(),
            "{labels:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn the_operators_of_the_configuration_get_what_nobody_else_gets() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.yaml");
    std::fs::write(
        &file,
        "global: {notify: [a@example.com, \"o'b@example.com\"]}\naccounts: [{id: a, network: mastodon, token: sim-a}]\nschedule: [{notices: [90s]}]\n",
    )
    .expect("written");
    let output = generate(&["alertmanager", "--config.file", &file.display().to_string(), "--smtp-smarthost", "mail.example.com:587"]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("to: 'a@example.com, o''b@example.com'"), "{text}");
    assert!(text.contains("group_wait: 11s") && text.contains("smtp_smarthost: 'mail.example.com:587'"), "{text}");
    let made = folder.path().join("alertmanager.yml");
    std::fs::write(&made, text).expect("written");
    tool("amtool", &["check-config"], &made);
}

/// The mail that a template makes of alerts.
fn render(template: &str, data: &Value) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("data.json");
    std::fs::write(&path, data.to_string()).expect("written");
    let output = Command::new("amtool")
        .args(["template", "render", "--template.glob"])
        .arg(root().join("alerts/templates/*.tmpl"))
        .arg(format!("--template.text={{{{ template \"token_exporter.{template}\" . }}}}"))
        .args(["--template.type", if template == "html" { "html" } else { "text" }])
        .arg(format!("--template.data={}", path.display()))
        .output()
        .expect("amtool");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_mail_names_every_account_and_escapes_what_it_names() {
    let alert = |name: &str| {
        json!({
            "status": "firing",
            "labels": {"alertname": "ConnectionLost", "network": "facebook", "kind": "page", "connected_by": "Jane", "reason": "password_changed"},
            "annotations": {"name": name, "advice": "By Jane:\n1. First.\n2. Then.", "description": "It is gone.", "reconnect_url": "https://app.example.com/?a=1&b=2"},
        })
    };
    let odd = "<b>\"Ünïcode\" & Söhne</b>";
    let data = |names: &[&str]| {
        json!({
            "receiver": "people",
            "status": "firing",
            "alerts": names.iter().map(|n| alert(n)).collect::<Vec<_>>(),
            "groupLabels": {"alertname": "ConnectionLost", "network": "facebook", "reason": "password_changed"},
            "commonLabels": {},
            "commonAnnotations": {"advice": "By Jane:\n1. First.\n2. Then.", "description": "It is gone."},
            "externalURL": "",
        })
    };
    let one = data(&[odd]);
    assert_eq!(render("subject", &one).trim(), format!("{odd} on facebook disconnected: password changed"));
    let text = render("text", &one);
    for part in [odd, "Connected by: Jane", "Reconnect: https://app.example.com/?a=1&b=2", "By Jane:\n1. First.\n2. Then.", "It is gone."] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let html = render("html", &one);
    assert!(html.contains("&lt;b&gt;&#34;Ünïcode&#34; &amp; Söhne&lt;/b&gt;") && !html.contains("<b>\"Ü"), "{html}");
    for part in ["<a href=\"https://app.example.com/?a=1&amp;b=2\">", ">1. First.</p>", ">2. Then.</p>", "It is gone."] {
        assert!(html.contains(part), "{part}: {html}");
    }
    assert!(!html.contains("src="), "nothing is loaded from elsewhere");
    let many: Vec<String> = (0..40).map(|i| format!("page {i:02}")).collect();
    let many = data(&many.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(render("subject", &many).trim(), "40 accounts on facebook disconnected: password changed");
    for template in ["text", "html"] {
        let mail = render(template, &many);
        assert!((0..40).all(|i| mail.contains(&format!("page {i:02}"))));
        assert_eq!(mail.matches("1. First.").count(), 1);
    }
}

#[test]
fn every_alert_has_a_runbook() {
    let text = rules(&default_schedule(), &Options::default());
    let mut pages: Vec<&str> = text.lines().filter_map(|l| l.trim().strip_prefix("- alert: ")).collect();
    pages.sort_unstable();
    pages.dedup();
    assert_eq!(pages.len(), 10);
    for page in &pages {
        let content = std::fs::read_to_string(root().join(format!("docs/runbooks/{page}.md"))).expect("a runbook");
        assert!(content.starts_with(&format!("# {page}\n")) && content.contains("## What to do"), "{page}");
    }
    let files = std::fs::read_dir(root().join("docs/runbooks")).expect("the folder").count();
    assert_eq!(files, pages.len());
}
