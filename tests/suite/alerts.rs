//! The alerting rules: promtool checks them and plays the last days of many accounts.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use token_exporter::alerting::{DAY, MailSettings, Options, RUNBOOKS, alertmanager, rules, windows};
use token_exporter::config::{Notice, ScheduleRule, default_schedule};
use token_exporter::model::{Reason, Use};
use token_exporter::network::{NetworkId, advice};

use crate::chain::newer;
use crate::golden::assert_golden;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Runs a program of Prometheus or Alertmanager in the installed version, and in the newer one if
/// there is one. Returns its output.
pub(crate) fn tool(program: &str, arguments: &[&str], file: &Path) -> String {
    let newer = newer().map(|folder| folder.join(program));
    let texts = std::iter::once(PathBuf::from(program)).chain(newer).map(|program| {
        let output = Command::new(&program)
            .args(arguments)
            .arg(file)
            .output()
            .expect("the program (tests/run installs it)");
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{} {arguments:?}: {text}", program.display());
        text
    });
    texts.collect()
}

pub(crate) fn generate(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_token_exporter"))
        .arg("generate")
        .args(arguments)
        .output()
        .expect("the program")
}

#[test]
fn the_shipped_rules_are_those_of_the_default_schedule() {
    let output = generate(&["rules"]);
    assert!(output.status.success());
    assert_golden("../alerts/connections.rules.yml", &String::from_utf8(output.stdout).expect("text"));
    tool(
        "promtool",
        &["check", "rules", "--lint=all", "--lint-fatal"],
        &root().join("alerts/connections.rules.yml"),
    );
}

/// After a restart of Prometheus, series that have ended stay visible for a while.
#[test]
fn rules_read_only_what_their_evaluation_has_written() {
    let text = rules(&default_schedule(), &Options::default());
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim_start().starts_with('#')).collect();
    let text = lines.join("\n");
    let rules: Vec<&str> = text.split("\n      - ").collect();
    for series in "info latest_verdict verdict capability_lost state_change_timestamp_seconds invalid \
                   lost_timestamp_seconds degraded operator_cause next_use_timestamp_seconds \
                   planned_use_at_risk_timestamp_seconds planned_use_mailed urgent_loss labelled_loss \
                   labelled_use labelled_recovery labelled_degraded recovered_timestamp_seconds \
                   down_since_timestamp_seconds time_zone_offset_seconds notice_deadline_timestamp_seconds \
                   new_event_timestamp_seconds event_timestamp_seconds moment_timestamp_seconds"
        .split(' ')
    {
        let name = format!("connection:{series}");
        for rule in &rules {
            let reads = rule.matches(&name).count();
            if rule.starts_with(&format!("record: {name}\n")) {
                // It reads itself as of the last evaluation.
                let earlier = ["timestamp(", "last_over_time("].map(|read| format!("{read}{name}"));
                assert!(reads == 1 || earlier.iter().any(|read| rule.contains(read)), "{rule}");
            } else {
                assert_eq!(reads, rule.matches(&format!("last_over_time({name}")).count(), "{name}: {rule}");
            }
        }
    }
}

#[test]
fn every_reason_and_every_advice_is_in_the_rules() {
    let text = rules(&default_schedule(), &Options::default());
    for reason in Reason::ALL.iter().filter(|r| **r != Reason::Ok) {
        assert!(text.contains(reason.info().meaning), "{reason}");
        for network in NetworkId::all() {
            let steps: Vec<String> = advice(*reason, network, reason.info().fixed_by.reader())
                .iter()
                .enumerate()
                .map(|(i, step)| format!("{}. {step}", i + 1))
                .collect();
            let steps = format!("{:?}", steps.join("\n"));
            assert!(text.contains(&steps), "{reason} {}: {steps}", network.name());
        }
    }
}

#[test]
fn odd_schedules_make_good_rules() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.yaml");
    std::fs::write(
        &file,
        "accounts: [{id: a, network: mastodon, token: sim-a}]\nschedule: [{match: {network: [x, tiktok], \
         use: paid}, notices: [90s]}, {notices: [200s, 100s, 20s, today]}]\n",
    )
    .expect("written");
    let made = folder.path().join("rules.yml");
    for offset in ["+05:30", "-08:00", "+00:00"] {
        let output =
            generate(&["rules", "--config.file", &file.display().to_string(), "--utc-offset", offset]);
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

/// The series of one account with a deadline, for a number of minutes.
fn account(network: NetworkId, purpose: Use, deadline: u64, minutes: u64) -> Vec<Value> {
    let identity = format!(
        "account=\"{}\",network=\"{}\",job=\"t\",instance=\"i\"",
        name(network, purpose),
        network.name()
    );
    let constant =
        |series: String, value: u64| json!({"series": series, "values": format!("{value}x{minutes}")});
    vec![
        constant(
            format!(
                "connection_info{{{identity},use=\"{purpose}\",credential=\"c\",notify=\"a@b.example\",\
                 name=\"N\"}}"
            ),
            1,
        ),
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

/// The promised notices, written independently of the code.
fn promised(network: NetworkId, purpose: Use) -> &'static [&'static str] {
    match (network.name(), purpose) {
        ("facebook", Use::Monitored) => &["10d"],
        ("instagram", Use::Monitored) => &["10d", "1d", "today"],
        _ => &["10d", "5d", "1d", "today"],
    }
}

/// The latest of the promised notices at a time before a deadline on another day.
fn tightest(network: NetworkId, purpose: Use, left: u64) -> Vec<&'static str> {
    let mut come = [("10d", 10), ("5d", 5), ("1d", 1)]
        .into_iter()
        .filter(|(_, days)| left <= days * DAY)
        .map(|(notice, _)| notice);
    come.rfind(|notice| promised(network, purpose).contains(notice)).into_iter().collect()
}

/// Expects exactly these notices at a minute.
fn expect(
    who: &[(NetworkId, Use)],
    minute: u64,
    standing: impl Fn(NetworkId, Use) -> Vec<&'static str>,
) -> Value {
    let samples = who.iter().flat_map(|(network, purpose)| {
        let account = name(*network, *purpose);
        let notices = standing(*network, *purpose).into_iter();
        notices.map(move |notice| {
            json!({"labels": format!("{{account=\"{account}\",notice=\"{notice}\"}}"), "value": 1})
        })
    });
    json!({
        "expr": "count by (account, notice) (ALERTS{alertname=\"ConnectionExpiring\",alertstate=\"firing\"})",
        "eval_time": format!("{minute}m"),
        "exp_samples": samples.collect::<Vec<_>>(),
    })
}

/// The promised ones among some notices.
fn of(notices: &'static [&'static str]) -> impl Fn(NetworkId, Use) -> Vec<&'static str> {
    |network, purpose| notices.iter().copied().filter(|n| promised(network, purpose).contains(n)).collect()
}

fn promtool_test(rule_file: &Path, interval: &str, tests: &[Value]) {
    let file = json!({"rule_files": [rule_file], "evaluation_interval": interval, "tests": tests});
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("test.yml");
    std::fs::write(&path, file.to_string()).expect("written");
    tool("promtool", &["test", "rules"], &path);
}

fn shipped() -> PathBuf {
    root().join("alerts/connections.rules.yml")
}

#[test]
fn each_notice_stands_from_its_minute_on_and_not_before() {
    // Each boundary is at minute 10; deadlines count from the epoch, which is a midnight. All
    // accounts are added at minute 0: a late account gets the latest notice, however long it has
    // been due.
    let everyone = everyone();
    let tests: Vec<Value> = [10, 6, 5, 1]
        .iter()
        .map(|days| {
            let deadline = days * DAY + 600;
            let series = everyone.iter().flat_map(|(n, u)| account(*n, *u, deadline, 12));
            let series: Vec<Value> = series.collect();
            let at = |minute: u64| expect(&everyone, minute, |n, u| tightest(n, u, deadline - minute * 60));
            let checks = [at(0), at(9), at(10), at(11)];
            json!({"interval": "1m", "input_series": series, "promql_expr_test": checks})
        })
        .collect();
    promtool_test(&shipped(), "1m", &tests);
}

#[test]
fn a_token_lives_through_its_last_days() {
    // From the twelfth day before the deadline, at six in the morning, to the day after it, in
    // steps of two hours: days take long to play.
    let everyone = everyone();
    const STEP: u64 = 120;
    let deadline = 12 * DAY + 6 * 3600;
    let end = 13 * DAY + 2 * 3600;
    let series = everyone.iter().flat_map(|(n, u)| account(*n, *u, deadline, end / 60 / STEP));
    let series: Vec<Value> = series.collect();
    let minute = |before: u64| (deadline - before) / 60;
    let midnight = 12 * DAY / 60;
    let mut checks = vec![
        expect(&everyone, minute(10 * DAY) - STEP, of(&[])),
        expect(&everyone, minute(10 * DAY), of(&["10d"])),
        // No alert lasts longer than Alertmanager remembers its notification.
        expect(&everyone, minute(6 * DAY) - STEP, of(&["10d"])),
        expect(&everyone, minute(6 * DAY), of(&[])),
        expect(&everyone, minute(5 * DAY) - STEP, of(&[])),
        expect(&everyone, minute(5 * DAY), of(&["5d"])),
        expect(&everyone, minute(DAY) - STEP, of(&["5d"])),
        expect(&everyone, minute(DAY), of(&["1d"])),
        expect(&everyone, midnight - STEP, of(&["1d"])),
        expect(&everyone, midnight, of(&["1d", "today"])),
        expect(&everyone, minute(0) - STEP, of(&["1d", "today"])),
        expect(&everyone, minute(0), of(&["today"])),
        expect(&everyone, midnight + 1440 - STEP, of(&["today"])),
        expect(&everyone, midnight + 1440, of(&[])),
    ];
    // How often each was seen: without gaps or extra ones.
    let seen = |days: u64| days * 1440 / STEP;
    let samples: Vec<Value> = everyone
        .iter()
        .flat_map(|(network, purpose)| {
            let account = name(*network, *purpose);
            promised(*network, *purpose).iter().map(move |notice| {
                let times = seen(if matches!(*notice, "10d" | "5d") { 4 } else { 1 });
                json!({"labels": format!("{{account=\"{account}\",notice=\"{notice}\"}}"), "value": times})
            })
        })
        .collect();
    checks.push(json!({
        "expr": "sum by (account, notice) (\
            count_over_time(ALERTS{alertname=\"ConnectionExpiring\",alertstate=\"firing\"}[20d]))",
        "eval_time": format!("{}m", midnight + 1440),
        "exp_samples": samples,
    }));
    let test = json!({"interval": format!("{STEP}m"), "input_series": series, "promql_expr_test": checks});
    promtool_test(&shipped(), &format!("{STEP}m"), &[test]);
}

#[test]
fn who_is_added_late_gets_the_tightest_notice_for_days_alone() {
    let monitored: Vec<(NetworkId, Use)> =
        everyone().into_iter().filter(|(n, u)| promised(*n, *u) == ["10d"]).collect();
    assert_eq!(monitored.len(), 1);
    // Eight days before the deadline: the notice lasts four days, as for accounts that were added
    // in time.
    let series: Vec<Value> = monitored.iter().flat_map(|(n, u)| account(*n, *u, 8 * DAY, 5 * 48)).collect();
    let checks = [
        expect(&monitored, 0, of(&["10d"])),
        expect(&monitored, 4 * 1440 - 30, of(&["10d"])),
        expect(&monitored, 4 * 1440, of(&[])),
        expect(&monitored, 5 * 1440 - 30, of(&[])),
    ];
    promtool_test(
        &shipped(),
        "30m",
        &[json!({"interval": "30m", "input_series": series, "promql_expr_test": checks})],
    );
}

#[test]
fn long_intervals_are_given_their_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("config.yaml");
    std::fs::write(
        &config,
        "accounts: [{id: a, network: mastodon, token: sim-a, probe_interval: 7d}, {id: b, network: \
         mastodon, token: sim-b}]\n",
    )
    .expect("written");
    let output = generate(&["rules", "--config.file", &config.display().to_string()]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("<= 604800\n"), "a week");
    let same = std::fs::read_to_string(shipped())
        .expect("the shipped file")
        .replace("<= 86400\n          )", "<= 604800\n          )");
    assert_eq!(text, same, "nothing else differs");
}

#[test]
fn an_alert_says_when_and_for_how_long() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rules.yml");
    // Half past five in Adelaide is eight in the evening in UTC, the day before.
    let options = Options { utc_offset: 9 * 3600 + 1800, ..Options::default() };
    std::fs::write(&path, rules(&default_schedule(), &options)).expect("written");
    let network = NetworkId::from_name("x").expect("a network");
    let deadline = 3 * DAY + 20 * 3600;
    let mut series = account(network, Use::Owned, deadline, 4 * 48);
    // The time zone of the reader comes before that of the options.
    let mut elsewhere = account(network, Use::Paid, deadline, 4 * 48);
    let zone = "connection_time_zone_offset_seconds{account=\"x-paid\",network=\"x\",\
                time_zone=\"America/Caracas\"}";
    elsewhere.push(json!({"series": zone, "values": "-14400x192"}));
    series.extend(elsewhere);
    // As in the annotations, by a query that gets the alert's name.
    let told = |minute: u64, notice: &str, left: &str| {
        let today = notice == "today";
        let next = if today {
            "none"
        } else if notice == "1d" {
            "today"
        } else {
            "1d"
        };
        let alert = |purpose: &str, deadline: &str| {
            json!({
                "exp_labels": {
                    "account": format!("x-{purpose}"), "network": "x", "use": purpose, "credential": "c",
                    "notify": "a@b.example", "notice": notice,
                    "severity": if today { "critical" } else { "warning" },
                },
                "exp_annotations": {
                    "summary": format!(
                        "N (x) must be reconnected {} {deadline}", if today { "today," } else { "by" }
                    ),
                    "description": format!("The permission to use N (x) ends on {deadline}."),
                    "advice": "To be done by the person who connected the account:\n\
                        1. Reconnect the account before the deadline. Reconnecting ahead of time loses \
                        nothing and refreshes the permissions.\n\
                        2. If that person is leaving, let their successor connect it.\n\
                        3. Do not delete the account: planned posts would go with it.",
                    "stops": "publishing (scheduled posts), inbox (messages and comments), analytics, ads",
                    "name": "N",
                    "reconnect_url": "",
                    "deadline": deadline,
                    "left": left,
                    "next_notice": next,
                    "next_use": "",
                    "runbook_url": format!("{RUNBOOKS}ConnectionExpiring.md"),
                },
            })
        };
        json!({
            "eval_time": format!("{minute}m"),
            "alertname": "ConnectionExpiring",
            "exp_alerts": [
                alert("owned", "Monday 5 January 1970, 05:30 UTC+09:30"),
                alert("paid", "Sunday 4 January 1970, 16:00 UTC-04:00"),
            ],
        })
    };
    let minute = |before: u64| (deadline - before) / 60;
    let tests = [
        told(0, "5d", "4 days left"),
        told(minute(DAY), "1d", "1 day left"),
        told(minute(0) + 30, "today", "passed"),
    ];
    promtool_test(
        &path,
        "30m",
        &[json!({"interval": "30m", "input_series": series, "alert_rule_test": tests})],
    );
}

#[test]
fn three_hundred_logins_that_are_lost_within_a_minute_are_one_moment() {
    let series: Vec<Value> = (0..300)
        .flat_map(|i| {
            let minute = 3 + i % 2;
            let identity = format!("account=\"a-{i}\",network=\"x\",job=\"t\",instance=\"i\"");
            let constant = |name: &str, labels: &str, values: String| {
                json!({"series": format!("{name}{{{identity}{labels}}}"), "values": values})
            };
            let info = format!(",use=\"owned\",credential=\"c-{i}\",notify=\"a@b.example\"");
            let (valid, since) = ("connection_valid", "connection_state_change_timestamp_seconds");
            [
                constant("connection_info", &info, "1x9".to_owned()),
                constant(valid, ",reason=\"ok\"", format!("1x{} stale", minute - 1)),
                constant(valid, ",reason=\"account_locked\"", format!("_x{minute} 0x5")),
                constant(since, "", format!("0x{} {}x5", minute - 1, minute * 60 - i % 60)),
            ]
        })
        .collect();
    let check = json!({
        "expr": "count by (moment) (ALERTS{alertname=\"ConnectionLost\",alertstate=\"firing\"})",
        "eval_time": "6m",
        "exp_samples": [{"labels": "{moment=\"1970-01-01 00:02:02 +0000 UTC\"}", "value": 300}],
    });
    let test = json!({"interval": "1m", "input_series": series, "promql_expr_test": [check]});
    promtool_test(&shipped(), "1m", &[test]);
}

#[test]
fn today_follows_the_offset() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rules.yml");
    let schedule = [ScheduleRule { networks: Vec::new(), uses: Vec::new(), notices: vec![Notice::Today] }];
    let options = Options { utc_offset: -5 * 3600, ..Options::default() };
    std::fs::write(&path, rules(&schedule, &options)).expect("written");
    // Three in the morning in UTC is ten in the evening of the day before there: that day begins at
    // five and ends at five. (The first day's first hours are before the epoch there.)
    let network = NetworkId::from_name("x").expect("a network");
    let series = account(network, Use::Owned, 2 * DAY + 3 * 3600, 324);
    let check = |minute: u64, count: u64| {
        let samples: Vec<Value> = (0..count).map(|_| json!({"labels": "{}", "value": 1})).collect();
        let expr = "count(ALERTS{notice=\"today\",alertstate=\"firing\"})";
        json!({"expr": expr, "eval_time": format!("{minute}m"), "exp_samples": samples})
    };
    let checks = [check(1730, 0), check(1740, 1), check(2880, 1), check(3170, 1), check(3180, 0)];
    promtool_test(
        &path,
        "10m",
        &[json!({"interval": "10m", "input_series": series, "promql_expr_test": checks})],
    );
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
    // Mailed alerts last less than the repeat interval, and that is less than Alertmanager's
    // retention.
    let text = std::fs::read_to_string(&file).expect("the file");
    let longest =
        windows(&default_schedule()).iter().map(|(window, _)| window.width()).max().expect("a window");
    assert!(
        text.contains("repeat_interval: 110h\n")
            && text.contains("retention of 120h")
            && longest < 110 * 3600
    );
    // It also reads the templates.
    assert!(tool("amtool", &["check-config"], &file).contains("1 templates"));
}

#[test]
fn a_setting_that_looks_like_a_placeholder_stays_as_it_is() {
    let mail = MailSettings {
        smarthost: "localhost:25".to_owned(),
        from: "x@SMARTHOST@y".to_owned(),
        pager: "http://localhost/@FROM@".to_owned(),
        ..MailSettings::default()
    };
    let text = alertmanager(&default_schedule(), &mail);
    assert!(text.contains("\n  smtp_from: 'x@SMARTHOST@y'\n") && text.contains("'http://localhost/@FROM@'"));
    // The default schedule has no short notices: their placeholder leaves no line, not even an empty one.
    assert!(text.contains("group_by: [alertname, credential]\n    - receiver: people\n"), "{text}");
}

#[test]
fn short_windows_are_evaluated_often() {
    let interval = |seconds| {
        let notices = vec![Notice::Before(Duration::from_secs(seconds))];
        let schedule = [ScheduleRule { networks: Vec::new(), uses: Vec::new(), notices }];
        let text = rules(&schedule, &Options::default());
        text.lines().find_map(|line| line.trim().strip_prefix("interval: ")).map(str::to_owned)
    };
    assert_eq!(interval(DAY).as_deref(), Some("1m"));
    assert_eq!(interval(90).as_deref(), Some("15s"));
}

#[test]
fn every_alert_takes_its_route() {
    let file = root().join("alerts/alertmanager.yml");
    let config = format!("--config.file={}", file.display());
    let someone = "notify=jane@example.com";
    let opted_out = "notify=none";
    for (labels, receivers) in [
        (vec!["alertname=ConnectionExpiring", "severity=info", "notice=10d", someone], "people"),
        (vec!["alertname=ConnectionExpiring", "severity=warning", "notice=1d", someone], "people"),
        (vec!["alertname=ConnectionExpiring", "severity=critical", "notice=today", someone], "pager,people"),
        (vec!["alertname=ConnectionExpiring", "severity=info", "notice=10d"], "operator"),
        (vec!["alertname=ConnectionExpiring", "severity=info", "notice=10d", opted_out], "nobody"),
        (
            vec!["alertname=ConnectionExpiring", "severity=critical", "notice=today", opted_out],
            "pager,nobody",
        ),
        (vec!["alertname=ConnectionLost", "severity=warning", opted_out], "nobody"),
        (vec!["alertname=ConnectionDegraded", "severity=warning", "news=yes", opted_out], "nobody"),
        (vec!["alertname=ConnectionUnverified", "severity=warning", opted_out], "nobody"),
        (vec!["alertname=ConnectionInvalid", "severity=critical", opted_out], "pager"),
        (vec!["alertname=ConnectionExpiring", "severity=critical", "notice=today"], "pager,operator"),
        (vec!["alertname=ConnectionLost", "severity=warning", someone], "people"),
        (vec!["alertname=ConnectionLost", "severity=warning"], "operator"),
        (vec!["alertname=ConnectionInvalid", "severity=critical", someone], "pager"),
        (
            vec!["alertname=ConnectionPlannedUseAtRisk", "severity=critical", "news=yes", someone],
            "pager,people",
        ),
        (vec!["alertname=ConnectionPlannedUseAtRisk", "severity=critical", "news=yes"], "pager,operator"),
        (
            vec!["alertname=ConnectionPlannedUseAtRisk", "severity=critical", "news=yes", opted_out],
            "pager,nobody",
        ),
        (
            vec!["alertname=ConnectionPlannedUseAtRisk", "severity=critical", "news=no", someone],
            "pager,nobody",
        ),
        (vec!["alertname=ConnectionDegraded", "severity=warning", "news=yes", someone], "people"),
        (vec!["alertname=ConnectionDegraded", "severity=warning", "news=yes"], "operator"),
        (vec!["alertname=ConnectionDegraded", "severity=warning", someone], "nobody"),
        (vec!["alertname=ConnectionReconnected", "severity=info", someone], "nobody"),
        (vec!["alertname=ConnectionUnverified", "severity=warning", someone], "operator"),
        (vec!["alertname=ConnectionUnverified", "severity=warning", "cause=clock_skew", someone], "operator"),
        (
            vec!["alertname=ConnectionUnverified", "severity=warning", "cause=clock_skew", opted_out],
            "operator",
        ),
        (vec!["alertname=TokenExporterDown", "severity=critical"], "pager,operator"),
        (vec!["alertname=TokenExporterAppUnhealthy", "severity=critical"], "pager,operator"),
        (vec!["alertname=TokenExporterShardMissing", "severity=critical"], "pager,operator"),
        (vec!["alertname=TokenExporterApiVersionEnding", "severity=critical"], "pager,operator"),
        (vec!["alertname=TokenExporterApiVersionEnding", "severity=warning"], "operator"),
        (vec!["alertname=TokenExporterReloadFailed", "severity=warning"], "operator"),
        (vec!["alertname=TokenExporterSourceStale", "severity=warning"], "operator"),
    ] {
        let verify = format!("--verify.receivers={receivers}");
        for amtool in
            std::iter::once(PathBuf::from("amtool")).chain(newer().map(|folder| folder.join("amtool")))
        {
            let output = Command::new(amtool)
                .args(["config", "routes", "test", &config, &verify])
                .args(&labels)
                .output()
                .expect("amtool");
            let text = format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(output.status.success(), "{labels:?}: {text}");
        }
    }
}

#[test]
fn the_operators_of_the_configuration_get_what_nobody_else_gets() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.yaml");
    std::fs::write(
        &file,
        "global: {notify: [a@example.com, \"o'b@example.com\"]}\naccounts: [{id: a, network: mastodon, \
         token: sim-a}]\nschedule: [{notices: [90s]}]\n",
    )
    .expect("written");
    let output = generate(&[
        "alertmanager",
        "--config.file",
        &file.display().to_string(),
        "--smtp-smarthost",
        "mail.example.com:587",
    ]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("to: 'a@example.com, o''b@example.com'"), "{text}");
    assert!(
        text.contains("notice = \"90s\"") && text.contains("group_interval: 2m15s"),
        "a short notice is forgotten sooner: {text}"
    );
    assert!(
        text.contains("group_wait: 11s") && text.contains("smtp_smarthost: 'mail.example.com:587'"),
        "{text}"
    );
    let made = folder.path().join("alertmanager.yml");
    std::fs::write(&made, text).expect("written");
    tool("amtool", &["check-config"], &made);
}
