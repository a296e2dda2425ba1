//! The text of `/metrics`, for a fixed snapshot and time.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
#[cfg(target_os = "linux")]
use std::time::{Duration, Instant};

use token_exporter::config::{self, Config};
use token_exporter::exposition::{CHUNK, Extent, FAMILIES, Format, Renderer, SMALL_FAMILIES};
use token_exporter::inventory::{Inventory, Shard, SourceStatus};
use token_exporter::model::{AppProblem, Capability, Cause, Expiry, Reason, ReportResult, Timestamp};
use token_exporter::network::{Budget, Certainty, Clocks, Finding, RateLimitStatus, Reset, Verdict};
use token_exporter::state::{Outcome, Report, Snapshot, Store};
use token_exporter::telemetry::Metrics;

use crate::golden::assert_golden;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(1_800_000_000 + seconds).expect("in range")
}

pub(crate) fn inventory(yaml: &str) -> Arc<Inventory> {
    Arc::new(configuration(yaml).inventory(|_| true))
}

fn configuration(yaml: &str) -> Config {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a file");
    std::fs::write(file.path(), yaml).expect("written");
    config::load(&[file.path().to_owned()]).unwrap_or_else(|p| panic!("{p}"))
}

fn finding(
    verdict: Verdict,
    capabilities: &[(Capability, Reason)],
    scopes: &[(&'static str, bool)],
) -> Finding {
    Finding { verdict, capabilities: capabilities.to_vec(), scopes: scopes.to_vec() }
}

/// Accounts in each state that the exposition distinguishes.
fn snapshot() -> Snapshot {
    let store = Store::default();
    let config = configuration(include_str!("../golden/exposition.yaml"));
    let (id, last_success) = ("files".to_owned(), Some(at(-600)));
    store.replace_inventory(Arc::new(config.inventory(|_| true)));
    let files = SourceStatus { id, up: Some(false), last_success, refused: 2, ..SourceStatus::default() };
    store.set_sources(vec![files]);
    let applied = |credential: &str, outcome: Outcome| {
        let inventory = store.snapshot().inventory;
        let index = inventory.find_credential(credential).expect("a credential");
        store.apply(index, &outcome).expect("applied");
    };
    let clocks =
        |access, refresh, data_access| Clocks { access, refresh, data_access, issued: Some(at(-86_400)) };
    applied(
        "jane",
        Outcome {
            at: at(-60),
            findings: vec![
                finding(
                    Verdict::Valid,
                    &[(Capability::Publish, Reason::Ok), (Capability::Inbox, Reason::MissingRole)],
                    &[("pages_manage_posts", true), ("pages_messaging", false)],
                ),
                finding(
                    Verdict::Invalid(Reason::NotAdmin, Certainty::Plain),
                    &[(Capability::Publish, Reason::NotAdmin)],
                    &[("pages_manage_posts", true)],
                ),
            ],
            clocks: Some(clocks(Expiry::At(at(864_000)), Expiry::Unknown, Expiry::At(at(5_000_000)))),
            limits: vec![RateLimitStatus {
                bucket: "app_usage",
                budget: Budget::App,
                used: Some(0.28),
                reset: Some(Reset::After(600)),
            }],
            version_ended: false,
            token: None,
            names: Default::default(),
            observations: Vec::new(),
        },
    );
    applied(
        "never",
        Outcome {
            at: at(-50),
            findings: vec![finding(Verdict::Valid, &[(Capability::Publish, Reason::Ok)], &[])],
            clocks: Some(Clocks { access: Expiry::Never, ..Clocks::default() }),
            limits: vec![],
            version_ended: false,
            token: None,
            names: Default::default(),
            observations: Vec::new(),
        },
    );
    let out_of_credit = Cause::AppMisconfigured(AppProblem::OutOfCredit);
    applied("poor", Outcome::undetermined(out_of_credit, 1, at(-45)));
    // No network has answered about this app.
    applied("idle", Outcome::undetermined(Cause::Timeout, 1, at(-45)));
    applied("unread", Outcome::undetermined(Cause::CredentialUnreadable, 1, at(-40)));
    applied(
        "late",
        Outcome {
            at: at(-30),
            findings: vec![finding(
                Verdict::Invalid(Reason::TokenExpired, Certainty::Plain),
                &[(Capability::Publish, Reason::TokenExpired)],
                &[],
            )],
            clocks: Some(clocks(Expiry::At(at(-3600)), Expiry::Unknown, Expiry::Unknown)),
            limits: vec![],
            version_ended: false,
            token: None,
            names: Default::default(),
            observations: Vec::new(),
        },
    );
    let blocked = Report {
        operation: Capability::Publish,
        result: ReportResult::Blocked,
        at: at(-20),
        reason: Some(Reason::AccountRestricted),
        cause: None,
        until: Some(at(86_380)),
        by: "publisher".into(),
    };
    let inventory = store.snapshot().inventory;
    let never = inventory.find_credential("never").and_then(|index| inventory.credential(index));
    let account = never.and_then(|credential| inventory.account(credential.accounts().start));
    store.apply_report(account.expect("an account").id(), blocked, None, at(-20)).expect("applied");
    store.snapshot()
}

fn render(snapshot: Snapshot, format: Format, extent: Extent) -> String {
    let metrics = Metrics::new().expect("metrics");
    metrics.sharded(Shard::WHOLE);
    let mut cursor = Renderer::new(snapshot, &metrics, at(0), format, extent);
    let mut text = Vec::new();
    while let Some(chunk) = cursor.next_chunk() {
        assert!(chunk.len() < CHUNK + 8192, "a chunk of {} bytes", chunk.len());
        text.extend_from_slice(&chunk);
    }
    String::from_utf8(text).expect("UTF-8")
}

/// Values that change between runs and releases do not belong in a golden file.
fn steady(text: &str) -> String {
    let passing = |line: &&str| !line.contains("process_") && !line.contains("token_exporter_build_info{");
    text.lines().filter(passing).map(|line| format!("{line}\n")).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_is_measured() {
    let measured = |text: &str, name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name}"))
    };
    let text = render(snapshot(), Format::Text, Extent::Everything);
    let value = |name: &str| measured(&text, name);
    let now = Timestamp::now().unix() as f64;
    assert!((3.0..=value("process_max_fds")).contains(&value("process_open_fds")));
    assert!((1e6..value("process_virtual_memory_bytes")).contains(&value("process_resident_memory_bytes")));
    assert!((now - 3600.0..=now + 1.0).contains(&value("process_start_time_seconds")));
    assert!(value("process_threads") >= 2.0);
    // A scrape takes time of the processor, so one of them ends between two whole seconds.
    let start = Instant::now();
    while measured(&render(snapshot(), Format::Text, Extent::Everything), "process_cpu_seconds_total").fract()
        == 0.0
    {
        assert!(start.elapsed() < Duration::from_secs(60), "the processor's time has no fractions");
    }
}

#[test]
fn both_formats_are_as_before() {
    assert_golden("golden/metrics.txt", &steady(&render(snapshot(), Format::Text, Extent::Everything)));
    assert_golden(
        "golden/metrics.openmetrics.txt",
        &steady(&render(snapshot(), Format::OpenMetrics, Extent::Everything)),
    );
    assert_golden("golden/probe.txt", &render(snapshot(), Format::Text, Extent::Account(1)));
}

#[test]
fn every_family_is_shown_and_no_other() {
    let text = render(snapshot(), Format::Text, Extent::Everything);
    let described = |name: &str| text.contains(&format!("# TYPE {name} "));
    for name in FAMILIES.iter().map(|f| f.name).chain(SMALL_FAMILIES.iter().map(|f| f.name)) {
        assert!(described(name), "{name} is not described");
        assert!(text.contains(&format!("\n{name}{{")), "{name} has no sample");
    }
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or("");
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|s| name.strip_suffix(s).filter(|n| described(n)))
            .unwrap_or(name);
        assert!(described(family), "{line} belongs to no family");
    }
}

#[test]
fn promtool_has_nothing_to_say() {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, from the package prometheus (tests/run installs it)");
    let text = render(snapshot(), Format::Text, Extent::Everything);
    promtool.stdin.take().expect("its input").write_all(text.as_bytes()).expect("written");
    let output = promtool.wait_with_output().expect("its end");
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_strict_openmetrics_parser_accepts_it() {
    const READ: &str = "import sys\nfrom prometheus_client.openmetrics.parser import \
                        text_string_to_metric_families as read\nprint(sum(len(family.samples) for family in \
                        read(sys.stdin.read())))";
    let mut python = Command::new("/usr/bin/python3")
        .args(["-c", READ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 (tests/run installs it)");
    let text = render(snapshot(), Format::OpenMetrics, Extent::Everything);
    python.stdin.take().expect("its input").write_all(text.as_bytes()).expect("written");
    let output = python.wait_with_output().expect("its end");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: usize = String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number");
    assert_eq!(read, text.lines().filter(|l| !l.starts_with('#')).count());
}

#[test]
fn a_scrape_sees_one_moment() {
    let store = Store::default();
    let pages: String = (0..2000)
        .map(|i| {
            format!(
                "  - {{id: page-{i}, name: Page, network: facebook, credential: jane, external_id: \
                 \"{i}\"}}\n"
            )
        })
        .collect();
    store.replace_inventory(inventory(&format!(
        "apps: [{{id: a, network: facebook, client_id: \"1\", client_secret: sim-s}}]\ncredentials: [{{id: \
         jane, network: facebook, token: sim-t}}]\naccounts:\n{pages}"
    )));
    let outcome = |verdict| Outcome {
        at: at(0),
        findings: vec![finding(verdict, &[(Capability::Publish, Reason::Ok)], &[]); 2000],
        clocks: None,
        limits: vec![],
        version_ended: false,
        token: None,
        names: Default::default(),
        observations: Vec::new(),
    };
    store.apply(0, &outcome(Verdict::Valid)).expect("applied");
    let metrics = Metrics::new().expect("metrics");
    let mut cursor = Renderer::new(store.snapshot(), &metrics, at(1), Format::Text, Extent::Everything);
    let mut text = Vec::new();
    let mut chunks = 0;
    while let Some(chunk) = cursor.next_chunk() {
        text.extend_from_slice(&chunk);
        chunks += 1;
        // The credential is revoked during the scrape.
        if chunks == 2 {
            store
                .apply(0, &outcome(Verdict::Invalid(Reason::AccessRevoked, Certainty::Plain)))
                .expect("applied");
        }
    }
    let text = String::from_utf8(text).expect("UTF-8");
    assert!(chunks > 4);
    assert_eq!(text.matches("reason=\"access_revoked\"").count(), 0, "half of a login shows as revoked");
    let later = render(store.snapshot(), Format::Text, Extent::Everything);
    assert_eq!(
        later.lines().filter(|l| l.starts_with("connection_valid{") && l.ends_with(" 0")).count(),
        2000
    );
}

#[test]
fn an_ended_api_version_is_exported_until_another_one_is_used() {
    const NAME: &str = "token_exporter_app_api_version_expiry_timestamp_seconds";
    let app = |version: &str| {
        inventory(&format!(
            "apps: [{{id: a, network: facebook, client_id: \"1\", client_secret: sim-s, api_version: \
             {version}}}]\naccounts: [{{id: page, network: facebook, token: sim-t}}]"
        ))
    };
    let store = Store::default();
    let probed = |seconds, version_ended| {
        let findings = vec![finding(Verdict::Valid, &[(Capability::Publish, Reason::Ok)], &[])];
        let outcome =
            Outcome { findings, version_ended, ..Outcome::undetermined(Cause::Timeout, 0, at(seconds)) };
        store.apply(0, &outcome).expect("applied");
    };
    let ends = || {
        let text = render(store.snapshot(), Format::Text, Extent::Everything);
        assert!(text.contains("token_exporter_app_healthy{app=\"a\",network=\"facebook\"} 1\n"), "{text}");
        let line = text.lines().find_map(|line| line.strip_prefix(NAME)).map(str::to_owned);
        line.and_then(|line| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()))
    };
    let unix = |seconds| Some(at(seconds).unix() as f64);
    // Its end is not published.
    store.replace_inventory(app("v27.0"));
    probed(0, false);
    assert_eq!(ends(), None);
    probed(10, true);
    probed(20, true);
    assert_eq!(ends(), unix(10), "the first answer under a later version counts");
    // A timeout says nothing about the version.
    store.apply(0, &Outcome::undetermined(Cause::Timeout, 1, at(30))).expect("applied");
    assert_eq!(ends(), unix(10));
    store.replace_inventory(app("v27.0"));
    assert_eq!(ends(), unix(10));
    store.replace_inventory(app("v28.0"));
    assert_eq!(ends(), None);
    probed(40, true);
    probed(50, false);
    assert_eq!(ends(), None);
    // The published end lies before.
    store.replace_inventory(app("v20.0"));
    let published = ends();
    assert!(published.is_some_and(|end| Some(end) < unix(0)), "{published:?}");
    probed(60, true);
    assert_eq!(ends(), published);
}
