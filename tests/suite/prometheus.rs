//! The demo, scraped by a real Prometheus.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use token_exporter::exposition::{FAMILIES, SMALL_FAMILIES};
use token_exporter::simulator::load_fixtures;

use crate::probing::shown_cases;

/// A process that ends with the test.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the demo on a free loopback port. Returns the process, its address, and its standard
/// error.
pub(crate) fn start_demo(arguments: &[&str]) -> (Process, String, std::thread::JoinHandle<String>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_token_exporter"))
        .args(["demo", "--web.listen-address", "127.0.0.1:0"])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the demo");
    let mut errors = child.stderr.take().expect("its standard error");
    let log = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = errors.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let mut lines = BufReader::new(child.stdout.take().expect("its standard output")).lines();
    let first = lines.next().expect("a first line").expect("readable");
    let address = first.rsplit("://").next().expect("an address").trim_end_matches('/').to_owned();
    // Keep reading: the demo would fail when it writes to a closed pipe.
    std::thread::spawn(move || lines.for_each(drop));
    (Process(child), address, log)
}

/// Waits until a condition holds.
pub(crate) async fn eventually<T>(
    what: &str,
    within: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(start.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A client that does not decompress answers.
pub(crate) fn http_client() -> reqwest::Client {
    // The exporter's own client may have installed it already in this process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().no_gzip().build().expect("a client")
}

pub(crate) async fn get(url: &str) -> Option<String> {
    http_client().get(url).send().await.ok()?.text().await.ok()
}

/// A real Prometheus. A scrape that takes longer than the interval fails and stores nothing, so the
/// interval is long enough for a busy machine.
pub(crate) struct Prometheus {
    pub(crate) address: String,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Starts it; each of these jobs scrapes the target.
    pub(crate) async fn start(target: &str, jobs: &[&str]) -> Self {
        let job =
            |job: &&str| format!("  - job_name: {job}\n    static_configs: [{{targets: [\"{target}\"]}}]\n");
        Self::start_with(&jobs.iter().map(job).collect::<String>()).await
    }

    /// Starts it with these jobs.
    pub(crate) async fn start_with(jobs: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("prometheus.yml");
        let globals = "global: {scrape_interval: 5s, scrape_timeout: 5s}";
        std::fs::write(&config, format!("{globals}\nscrape_configs:\n{jobs}")).expect("written");
        // Prometheus does not report its port for 0: use a free one.
        let free =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={free}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus, from the package prometheus (tests/run installs it)");
        let prometheus = Self { address: free.to_string(), _process: Process(child), _folder: folder };
        let ready = format!("http://{}/-/ready", prometheus.address);
        eventually("Prometheus is ready", Duration::from_secs(60), async || {
            get(&ready).await.filter(|t| t.contains("Ready"))
        })
        .await;
        prometheus
    }

    pub(crate) async fn query(&self, query: &str) -> Vec<Value> {
        let encoded: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let text =
            get(&format!("http://{}/api/v1/query?query={encoded}", self.address)).await.unwrap_or_default();
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }
}

/// Waits until Prometheus has every account of the demo with its reason. Returns them.
pub(crate) async fn every_verdict_of_the_demo(prometheus: &Prometheus) -> BTreeMap<String, String> {
    let fixtures = load_fixtures().expect("fixtures");
    let mut expected: BTreeMap<String, String> = BTreeMap::new();
    for shown in shown_cases(&fixtures) {
        let expect = shown.case.probe.as_ref().unwrap_or(&shown.case.expect);
        if expect.verdict != "undetermined" {
            expected.insert(shown.account, expect.reason.clone().unwrap_or_else(|| "ok".to_owned()));
        }
    }
    assert!(expected.len() >= 30, "the demo is to have at least 30 accounts");
    // Ambiguous refusals appear after a second probe, 30 to 60 s after the first.
    let start = Instant::now();
    loop {
        let found: BTreeMap<String, String> = prometheus
            .query("connection_valid")
            .await
            .iter()
            .filter_map(|s| {
                Some((
                    s["metric"]["account"].as_str()?.to_owned(),
                    s["metric"]["reason"].as_str()?.to_owned(),
                ))
            })
            .collect();
        let differing: Vec<_> = expected
            .iter()
            .filter(|(a, r)| found.get(*a) != Some(r))
            .map(|(a, r)| (a, r, found.get(a)))
            .collect();
        let strangers: Vec<_> = found.keys().filter(|a| !expected.contains_key(*a)).collect();
        if differing.is_empty() && strangers.is_empty() {
            return expected;
        }
        assert!(
            start.elapsed() < Duration::from_secs(400),
            "expected, found: {differing:?}; not expected: {strangers:?}"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_reads_every_family_and_every_reason() {
    let (_demo, address, _log) = start_demo(&[]);
    let prometheus = Prometheus::start(&address, &["token_exporter"]).await;
    let expected = every_verdict_of_the_demo(&prometheus).await;

    let names: BTreeSet<String> = prometheus
        .query("count by (__name__) ({job=\"token_exporter\"})")
        .await
        .iter()
        .filter_map(|s| s["metric"]["__name__"].as_str().map(str::to_owned))
        .collect();
    // The demo has no sources and no people; their tests read the metrics about them.
    let absent = |name: &&str| {
        name.starts_with("token_exporter_source_") || *name == "connection_time_zone_offset_seconds"
    };
    let names_of_families = FAMILIES.iter().map(|f| f.name).chain(SMALL_FAMILIES.iter().map(|f| f.name));
    for name in names_of_families.filter(|name| !absent(name)) {
        assert!(names.contains(name), "Prometheus has no series of {name}");
    }
    for name in [
        "token_exporter_probes_total",
        "token_exporter_probe_failures_total",
        "token_exporter_build_info",
        "process_cpu_seconds_total",
    ] {
        assert!(names.contains(name), "Prometheus has no series of {name}");
    }
    assert!(names.contains("token_exporter_probe_duration_seconds_bucket"));
    // The join that dashboards and rules use.
    let joined = prometheus
        .query("connection_valid * on (account, network) group_left (name, team) connection_info")
        .await;
    assert_eq!(joined.len(), expected.len());
    assert_eq!(prometheus.query("up == 1").await.len(), 1);
}
