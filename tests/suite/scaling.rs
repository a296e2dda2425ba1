//! Several processes: shards, probes on request, and a real Prometheus that discovers the accounts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser as _;
use serde_json::Value;
use token_exporter::api::{TargetFilter, write_targets};
use token_exporter::cli::Cli;
use token_exporter::daemon::{Daemon, DaemonSettings};
use token_exporter::exposition::CHUNK;
use token_exporter::inventory::{Inventory, Shard};
use token_exporter::network::NetworkId;
use token_exporter::scheduler::probe_everything;
use token_exporter::server::{self, Endpoint};
use token_exporter::simulator::{DEMO_ID, Simulator, fixture_token};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::probing::simulator;
use crate::prometheus::{Process, eventually, get, http_client};

const SOON: Duration = Duration::from_secs(60);

/// An exporter in this process.
struct Exporter {
    address: String,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    _hangup: mpsc::Sender<()>,
}

impl Exporter {
    async fn start(config: &Path, shard: Shard, on_demand: bool) -> Self {
        let web = server::WebSettings {
            telemetry_path: "/metrics".to_owned(),
            route_prefix: String::new(),
            external_url: None,
            enable_lifecycle: false,
            max_requests: 0,
            events_apart: false,
        };
        let settings = DaemonSettings {
            config_files: vec![config.to_owned()],
            watch: None,
            storage: None,
            shard,
            peers: Vec::new(),
            on_demand,
            without_process_metrics: false,
            show_warnings: false,
            web,
        };
        let daemon = Daemon::new(settings, Arc::default()).expect("a configuration");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("an address").to_string();
        let (stop, stopped) = watch::channel(false);
        let (hangup, hangups) = mpsc::channel(1);
        let task = tokio::spawn(daemon.run(vec![(listener, Endpoint::Main)], stopped, hangups));
        Self { address, stop, task, _hangup: hangup }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn get(&self, path: &str) -> String {
        get(&self.url(path)).await.expect("an answer")
    }

    async fn end(self) {
        self.stop.send(true).expect("it listens");
        tokio::time::timeout(SOON, self.task).await.expect("it stops").expect("no panic");
    }
}

/// A directory with a configuration in which `BASE` is replaced by the networks' address.
fn configured(yaml: &str, networks: std::net::SocketAddr) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, yaml.replace("BASE", &format!("http://{networks}"))).expect("written");
    (folder, file)
}

fn network(name: &str) -> NetworkId {
    NetworkId::from_name(name).expect("a network")
}

/// One Facebook credential with a number of pages.
fn pages(count: usize, app: &str) -> String {
    let token = fixture_token(network("facebook"), "many-pages", DEMO_ID);
    let mut yaml = format!(
        "apps:\n  - {{id: app, network: facebook, client_id: \"1234567890\", client_secret: sim-s, \
         base_url: BASE/facebook{app}}}\ncredentials:\n  - {{id: jane, network: facebook, token: \
         \"{token}\"}}\naccounts:\n"
    );
    for i in 0..count {
        yaml += &format!(
            "  - {{id: page-{i}, network: facebook, credential: jane, external_id: \"{}\"}}\n",
            1_000_001 + i
        );
    }
    yaml
}

/// A number of credentials at X.
fn logins(count: usize, app: &str) -> String {
    let mut yaml = format!(
        "apps:\n  - {{id: app, network: x, client_id: key, client_secret: sim-s, base_url: \
         BASE/x{app}}}\naccounts:\n"
    );
    for i in 0..count {
        let id = 1_000_001 + i;
        yaml += &format!(
            "  - {{id: x-{i}, network: x, token: \"{}\", external_id: \"{id}\"}}\n",
            fixture_token(network("x"), "valid", &id.to_string())
        );
    }
    yaml
}

fn asked(simulator: &Simulator, call: &str) -> u64 {
    simulator.requests().get(call).copied().unwrap_or(0)
}

fn accounts_in(text: &str) -> BTreeSet<String> {
    let infos = text.lines().filter_map(|l| l.strip_prefix("connection_info{account=\""));
    infos.filter_map(|l| l.split('"').next()).map(str::to_owned).collect()
}

#[test]
fn the_pod_tells_its_shard() {
    let share = |arguments: &[&str], variables: &[(&str, &str)]| {
        let cli =
            Cli::try_parse_from(["token_exporter"].iter().chain(arguments)).map_err(|e| e.to_string())?;
        let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
        cli.serve.share(|name| variables.get(name).map(|v| (*v).to_owned()))
    };
    let auto = ["--shard", "auto", "--total-shards", "4"];
    assert_eq!(share(&[], &[]), Ok(Shard::WHOLE));
    assert_eq!(share(&auto, &[("HOSTNAME", "token-exporter-3")]), Ok(Shard::new(3, 4).expect("a share")));
    assert_eq!(
        share(&auto, &[("HOSTNAME", "node-0"), ("POD_NAME", "a-2")]),
        Ok(Shard::new(2, 4).expect("a share")),
        "the pod's name first"
    );
    assert_eq!(
        share(&auto, &[("HOSTNAME", "a-1"), ("POD_NAME", "")]),
        Ok(Shard::new(1, 4).expect("a share"))
    );
    for (variables, said) in [
        (vec![], "neither POD_NAME nor HOSTNAME is set"),
        (
            vec![("HOSTNAME", "mars")],
            "HOSTNAME \"mars\" does not end in -0, -1, … as the names of a StatefulSet's pods do",
        ),
        (
            vec![("POD_NAME", "a-4")],
            "POD_NAME \"a-4\" makes it shard 4, which must be less than --total-shards 4",
        ),
    ] {
        assert_eq!(share(&auto, &variables), Err(format!("--shard auto: {said}")));
    }
    for bad in ["-1", "three", "1.5", ""] {
        assert!(
            share(&[&format!("--shard={bad}")], &[])
                .is_err_and(|e| e.contains("must be a number from 0, or auto")),
            "{bad}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_share_everything_and_the_apps_limit() {
    let (simulator, networks) = simulator().await;
    let (_folder, config) =
        configured(&(logins(60, ", rate_limit: 30/s") + "global: {probe_interval: 1s}\n"), networks);
    let mut shards = Vec::new();
    for ordinal in 0..3 {
        shards.push(Exporter::start(&config, Shard::new(ordinal, 3).expect("a share"), false).await);
    }
    let mut found = BTreeSet::new();
    for (ordinal, shard) in shards.iter().enumerate() {
        let text = shard.get("/metrics").await;
        assert!(
            text.contains(&format!("\ntoken_exporter_shard_ordinal {ordinal}\n"))
                && text.contains("\ntoken_exporter_total_shards 3\n")
        );
        let accounts = accounts_in(&text);
        assert!(accounts.len() >= 10, "shard {ordinal} has {}", accounts.len());
        for account in accounts {
            assert!(found.insert(account.clone()), "{account} is in two shards");
        }
    }
    assert_eq!(found.len(), 60);
    // Each account is due once a second; the app allows 30 a second for all three together.
    let all = async || {
        let mut probed = 0;
        for shard in &shards {
            probed += shard.get("/metrics").await.matches("\nconnection_valid{").count();
        }
        (probed == 60).then_some(())
    };
    eventually("everything is probed", SOON, all).await;
    let (start, before) = (Instant::now(), simulator.exchanges());
    eventually("a hundred probes more", SOON, async || (simulator.exchanges() - before >= 100).then_some(()))
        .await;
    let (took, asked) = (start.elapsed().as_secs_f64(), simulator.exchanges() - before);
    assert!(asked as f64 <= 30.0 * (took + 1.0), "{asked} in {took} s");
    for shard in shards {
        shard.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_probe_serves_all_who_ask_for_its_login() {
    let (simulator, networks) = simulator().await;
    // A probe of this credential needs several calls: with the app's limit it takes seconds.
    let (_folder, config) = configured(&pages(40, ", rate_limit: 1/s"), networks);
    let exporter = Exporter::start(&config, Shard::WHOLE, true).await;
    let scrapes = (0..40).map(|i| {
        let url = exporter.url(&format!("/probe?account=page-{i}"));
        tokio::spawn(async move { (i, get(&url).await.expect("an answer")) })
    });
    for scrape in scrapes.collect::<Vec<_>>() {
        let (i, text) = scrape.await.expect("no panic");
        assert_eq!(accounts_in(&text), BTreeSet::from([format!("page-{i}")]), "its own metrics alone");
        assert!(
            text.contains(&format!(
                "\nconnection_valid{{account=\"page-{i}\",network=\"facebook\",reason=\"ok\"}} 1\n"
            )),
            "{text}"
        );
        assert!(!text.contains("token_exporter_"), "nothing about the exporter");
    }
    assert_eq!(asked(&simulator, "debug_token"), 1);
    exporter.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_fresh_enough_is_not_asked_again() {
    let (simulator, networks) = simulator().await;
    let (_folder, config) = configured(&logins(2, ""), networks);
    let exporter = Exporter::start(&config, Shard::WHOLE, true).await;
    let valid = "\nconnection_valid{account=\"x-0\",network=\"x\",reason=\"ok\"} 1\n";
    assert!(
        exporter.get("/probe?target=x-0&max_age=1h").await.contains(valid),
        "nothing is known yet: it is asked"
    );
    assert_eq!(simulator.exchanges(), 1);
    for _ in 0..20 {
        assert!(exporter.get("/probe?account=x-0&max_age=1h").await.contains(valid));
    }
    assert_eq!(simulator.exchanges(), 1);
    let clients = (0..8).map(|_| {
        let url = exporter.url("/probe?account=x-0");
        tokio::spawn(async move {
            for _ in 0..10 {
                assert!(get(&url).await.is_some_and(|text| text.contains(valid)));
            }
        })
    });
    let start = Instant::now();
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("no panic");
    }
    let most = 2 + start.elapsed().as_secs() / 9;
    assert!(
        simulator.exchanges() <= most,
        "80 requests without an age within {:?}: {} probes",
        start.elapsed(),
        simulator.exchanges()
    );
    let before = simulator.exchanges();
    eventually("who does not name an age gets a probe after ten seconds", SOON, async || {
        assert!(exporter.get("/probe?account=x-0").await.contains(valid));
        (simulator.exchanges() > before).then_some(())
    })
    .await;
    // On demand: the other account was not requested.
    assert!(
        !exporter.get("/metrics").await.contains("connection_last_probe_timestamp_seconds{account=\"x-1\"")
    );

    let answer =
        http_client().get(exporter.url("/probe?account=x-0&max_age=soon")).send().await.expect("an answer");
    assert_eq!(answer.status(), 400);
    assert_eq!(
        answer.text().await.expect("text"),
        "max_age: \"soon\" is not a duration such as 30s, 5m or 1h\n"
    );
    exporter.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubtful_refusal_is_confirmed_though_nobody_asks_again() {
    let (simulator, networks) = simulator().await;
    let (_folder, config) = configured(&logins(1, ""), networks);
    let exporter = Exporter::start(&config, Shard::WHOLE, true).await;
    simulator.play(DEMO_ID, Some("bare-unauthorized-end-unknown"));
    assert!(
        exporter
            .get("/probe?account=x-0")
            .await
            .contains("connection_probe_success{account=\"x-0\",network=\"x\"} 0")
    );
    let confirmed =
        async || exporter.get("/metrics").await.contains("reason=\"token_invalid\"} 0").then_some(());
    eventually("the second look", Duration::from_secs(120), confirmed).await;
    assert_eq!(simulator.exchanges(), 2);
    exporter.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_is_answered_before_prometheus_gives_up() {
    // A network that accepts and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let (_folder, config) = configured(&logins(1, ""), silent.local_addr().expect("an address"));
    let exporter = Exporter::start(&config, Shard::WHOLE, true).await;
    let request = http_client()
        .get(exporter.url("/probe?account=x-0"))
        .header("X-Prometheus-Scrape-Timeout-Seconds", "0.5");
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 504);
    exporter.end().await;
}

/// A whole answer to raw bytes that are sent from one of the addresses of loopback.
async fn raw(address: &str, from: &str, request: &str) -> std::io::Result<String> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(std::net::SocketAddr::new(from.parse().expect("an address"), 0))?;
    let mut stream = socket.connect(address.parse().expect("an address")).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_number_of_requests_waits_for_probes() {
    // A network that accepts and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let yaml = format!("global: {{probe_timeout: 5m}}\n{}", logins(1, ""));
    let (_folder, config) = configured(&yaml, silent.local_addr().expect("an address"));
    let exporter = Exporter::start(&config, Shard::WHOLE, true).await;
    let refused = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let head = "GET /probe?account=x-0 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
    let clients = (0..250).map(|_| {
        let (address, refused) = (exporter.address.clone(), refused.clone());
        tokio::spawn(async move {
            let answer = raw(&address, "127.0.0.1", &format!("{head}\r\n")).await.expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 10\r\n"), "{answer}");
            refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        })
    });
    let clients: Vec<_> = clients.collect();
    let beyond = async || (refused.load(std::sync::atomic::Ordering::Relaxed) == 250 - 192).then_some(());
    eventually("three quarters of 256 wait, the others are refused", SOON, beyond).await;
    let hurried = format!("{head}x-prometheus-scrape-timeout-seconds: 0.5\r\n\r\n");
    let other = raw(&exporter.address, "127.0.0.2", &hurried).await.expect("an answer");
    assert!(other.starts_with("HTTP/1.1 504"), "another address may wait: {other}");
    assert!(exporter.get("/metrics").await.contains("token_exporter_build_info"));
    clients.iter().for_each(JoinHandle::abort);
    let again = async || {
        let answer = raw(&exporter.address, "127.0.0.1", &hurried).await.expect("an answer");
        answer.starts_with("HTTP/1.1 504").then_some(())
    };
    eventually("requests that were given up leave room", SOON, again).await;
    exporter.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_about_many_logins_travel_together_where_the_network_takes_that() {
    for (name, api) in
        [("facebook", ""), ("instagram", ", api: facebook_login"), ("instagram", ", api: instagram_login")]
    {
        let (simulator, networks) = simulator().await;
        let mut yaml = format!(
            "apps:\n  - {{id: app, network: {name}, client_id: \"1234567890\", client_secret: sim-s, \
             base_url: BASE/{name}{api}}}\naccounts:\n"
        );
        for i in 0..100 {
            let id = 1_000_001 + i;
            let token = fixture_token(network(name), "valid", &id.to_string());
            yaml +=
                &format!("  - {{id: a-{i}, network: {name}, token: \"{token}\", external_id: \"{id}\"}}\n");
        }
        let (_folder, config) = configured(&yaml, networks);
        let probed = probe_everything(
            token_exporter::config::load(std::slice::from_ref(&config)).expect("a configuration"),
        )
        .await
        .expect("probes");
        assert_eq!(probed.outcomes().filter(|(_, o)| o.cause().is_none()).count(), 100, "{name}{api}");
        let (questions, exchanges) = (simulator.requests().values().sum::<u64>(), simulator.exchanges());
        if api.ends_with("instagram_login") {
            assert_eq!(questions, exchanges, "no batches are documented there");
        } else {
            assert!(exchanges * 25 <= questions, "{name}{api}: {questions} questions in {exchanges} calls");
        }
    }
}

/// The whole list, as it is streamed.
fn listed(inventory: &Arc<Inventory>, query: &str) -> (Value, usize) {
    let (mut text, mut largest) = (Vec::new(), 0);
    for chunk in write_targets(inventory.clone(), TargetFilter::parse(query).expect("a filter")) {
        largest = largest.max(chunk.len());
        text.extend_from_slice(&chunk);
    }
    (serde_json::from_slice(&text).expect("JSON"), largest)
}

fn ids(list: &Value) -> Vec<&str> {
    let groups = list.as_array().expect("a list");
    groups
        .iter()
        .flat_map(|g| g["targets"].as_array().expect("targets"))
        .map(|t| t.as_str().expect("text"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_targets_is_whole_filtered_and_written_in_chunks() {
    let mut yaml = logins(3_000, "")
        + "  - {id: \"Größe \\\"42\\\"\", network: mastodon, base_url: BASE, token: sim-m}\n";
    yaml += "global: {probe_interval: 6h}\n";
    let (_folder, config) = configured(&yaml, std::net::SocketAddr::from(([127, 0, 0, 1], 1)));
    let inventory = Arc::new(
        token_exporter::config::load(std::slice::from_ref(&config))
            .expect("a configuration")
            .inventory(|_| true),
    );
    let (all, largest) = listed(&inventory, "");
    assert_eq!(ids(&all).len(), 3_001);
    assert!(largest <= CHUNK + 4096, "{largest}");
    assert_eq!(
        all[0],
        serde_json::json!({"targets": ["x-0"], "labels": {
            "__meta_token_exporter_network": "x", "__meta_token_exporter_credential": "x-0",
            "__meta_token_exporter_app": "app", "__meta_token_exporter_probe_interval": "6h"
        }})
    );
    assert_eq!(ids(&listed(&inventory, "network=mastodon").0), ["Größe \"42\""]);
    assert_eq!(listed(&inventory, "network=tiktok").0, serde_json::json!([]));
    let mut parts: Vec<String> = Vec::new();
    for ordinal in 0..4 {
        parts.extend(
            ids(&listed(&inventory, &format!("shard={ordinal}/4")).0).iter().map(|id| (*id).to_owned()),
        );
    }
    parts.sort_unstable();
    let mut whole: Vec<String> = ids(&all).iter().map(|id| (*id).to_owned()).collect();
    whole.sort_unstable();
    assert_eq!(parts, whole, "the shares are the whole, and overlap nowhere");

    let (_, networks) = simulator().await;
    let (_folder, config) = configured(&pages(3, ""), networks);
    let exporter = Exporter::start(&config, Shard::WHOLE, true).await;
    let answer = http_client()
        .get(exporter.url("/sd"))
        .header("accept-encoding", "gzip")
        .send()
        .await
        .expect("an answer");
    let header = |name: &str| answer.headers()[name].to_str().expect("text");
    assert_eq!(
        (answer.status().as_u16(), header("content-type"), header("content-encoding")),
        (200, "application/json", "gzip")
    );
    let list: Value = serde_json::from_str(&exporter.get("/sd").await).expect("JSON");
    assert_eq!(
        (list.as_array().map(Vec::len), ids(&list)),
        (Some(1), vec!["page-0", "page-1", "page-2"]),
        "a login is one group"
    );
    let answer = http_client()
        .get(exporter.url("/sd?network=mastadon&shard=3/3&page=2"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 400);
    let problems = answer.text().await.expect("text");
    for said in [
        "network: \"mastadon\" is not one of facebook, ",
        "shard: \"3/3\" is not a share such as 0/3",
        "unknown parameter \"page\"",
    ] {
        assert!(problems.contains(said), "{problems}");
    }
    assert_eq!(http_client().post(exporter.url("/sd")).send().await.expect("an answer").status(), 405);
    exporter.end().await;
}

/// The code blocks of a kind in a page of the documentation.
fn blocks(page: &str, kind: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).expect("a page");
    let fence = format!("\n```{kind}\n");
    text.split(&fence).skip(1).filter_map(|t| t.split("\n```").next()).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_finds_the_accounts_and_asks_for_each() {
    let (simulator, networks) = simulator().await;
    let yaml = pages(5, "") + &logins(3, "").replace("apps:\n", "").replace("accounts:\n", "");
    // Merges two lists of apps.
    let (app, accounts) =
        yaml.split_once("  - {id: app, network: x").map(|(a, b)| (a.to_owned(), b)).expect("an app of X");
    let (line, accounts) = accounts.split_once('\n').expect("lines");
    let yaml = app.replacen("apps:\n", &format!("apps:\n  - {{id: app-x, network: x{line}\n"), 1) + accounts;
    let (folder, config) = configured(&yaml, networks);
    let exporter = Exporter::start(&config, Shard::WHOLE, true).await;

    let documented = blocks("docs/scaling.md", "yaml")
        .into_iter()
        .find(|b| b.contains("http_sd_configs"))
        .expect("the example");
    let example = documented.replace("token-exporter.example:10219", &exporter.address);
    assert_ne!(example, documented, "the example names the exporter's address");
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, format!("global: {{scrape_interval: 1s}}\n{example}")).expect("written");
    let checked = Command::new("promtool")
        .args(["check", "config"])
        .arg(&file)
        .output()
        .expect("promtool (tests/run installs it)");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
    let begin = Instant::now();
    let child = Command::new("prometheus")
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("tsdb").display()))
        .arg(format!("--web.listen-address={free}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("prometheus (tests/run installs it)");
    let _prometheus = Process(child);
    let query = async |expression: &str| -> Vec<Value> {
        let encoded: String = url::form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        let text = get(&format!("http://{free}/api/v1/query?query={encoded}")).await.unwrap_or_default();
        serde_json::from_str::<Value>(&text).unwrap_or_default()["data"]["result"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    let found = eventually("all accounts are discovered and probed", Duration::from_secs(120), async || {
        Some(query("connection_valid == 1").await).filter(|found| found.len() == 8)
    })
    .await;
    for series in &found {
        let labels = &series["metric"];
        assert_eq!(
            (&labels["instance"], &labels["job"]),
            (&labels["account"], &Value::from("connections")),
            "one target for each account"
        );
    }
    // It continues to request probes, but the exporter probes each login once in ten seconds at most.
    let scrapes = async || query("min(count_over_time(connection_valid[1h])) >= 3").await.pop();
    eventually("each was scraped several times", Duration::from_secs(120), scrapes).await;
    let most = 1 + begin.elapsed().as_secs() / 10;
    let (page, logins) = (asked(&simulator, "debug_token"), asked(&simulator, "me"));
    assert!((1..=most).contains(&page) && (3..=3 * most).contains(&logins), "{:?}", simulator.requests());
    let own = query("token_exporter_total_shards{job=\"token_exporter\"}").await;
    assert_eq!(own.len(), 1, "the exporter's own metrics come from a job of their own");
    assert!(
        query("connection_info{job=\"token_exporter\"}").await.is_empty(),
        "and the accounts' do not come twice"
    );
    exporter.end().await;
}
