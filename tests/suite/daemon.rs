//! The daemon in this process with the simulator: schedule, rules and reloads together.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use token_exporter::daemon::{Daemon, DaemonSettings};
use token_exporter::inventory::Shard;
use token_exporter::model::Cause;
use token_exporter::network::NetworkId;
use token_exporter::server::{self, Endpoint};
use token_exporter::simulator::{DEMO_ID, Simulator, fixture_token};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::probing::simulator;
use crate::prometheus::{eventually, get, http_client};

/// A running daemon, its configuration file and its address.
pub(crate) struct Running {
    folder: tempfile::TempDir,
    pub(crate) address: String,
    health: String,
    simulator: Arc<Simulator>,
    networks: std::net::SocketAddr,
    stop: watch::Sender<bool>,
    hangup: mpsc::Sender<()>,
    task: JoinHandle<()>,
}

const SOON: Duration = Duration::from_secs(20);

impl Running {
    /// Starts with a configuration in which `BASE` is replaced by the simulator's address.
    pub(crate) async fn start(yaml: impl Fn(&str) -> String) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (simulator, networks) = simulator().await;
        std::fs::write(folder.path().join("config.yaml"), yaml(&format!("http://{networks}")))
            .expect("written");
        Self::start_in(folder, simulator, networks).await
    }

    /// Restarts with the same configuration, state and networks.
    pub(crate) async fn restart(self) -> Self {
        self.stop.send(true).expect("it listens");
        tokio::time::timeout(Duration::from_secs(15), self.task).await.expect("it stops").expect("no panic");
        Self::start_in(self.folder, self.simulator, self.networks).await
    }

    async fn start_in(
        folder: tempfile::TempDir,
        simulator: Arc<Simulator>,
        networks: std::net::SocketAddr,
    ) -> Self {
        let file = folder.path().join("config.yaml");
        let web = server::WebSettings {
            telemetry_path: "/metrics".to_owned(),
            route_prefix: String::new(),
            external_url: None,
            enable_lifecycle: true,
            max_requests: 2,
            events_apart: false,
        };
        let settings = DaemonSettings {
            config_files: vec![file],
            watch: Some(Duration::from_millis(100)),
            storage: Some(folder.path().join("data")),
            shard: Shard::WHOLE,
            peers: Vec::new(),
            on_demand: false,
            without_process_metrics: false,
            show_warnings: true,
            web,
        };
        let daemon = Daemon::new(settings, Arc::default()).expect("a configuration");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("an address").to_string();
        let health = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let health_address = health.local_addr().expect("an address").to_string();
        let (stop, stopped) = watch::channel(false);
        let (hangup, hangups) = mpsc::channel(1);
        let task = tokio::spawn(daemon.run(
            vec![(listener, Endpoint::Main), (health, Endpoint::Health)],
            stopped,
            hangups,
        ));
        Self { folder, address, health: health_address, simulator, networks, stop, hangup, task }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, yaml: &str) {
        std::fs::write(
            self.path().join("config.yaml"),
            yaml.replace("BASE", &format!("http://{}", self.networks)),
        )
        .expect("written");
    }

    pub(crate) async fn metrics(&self) -> String {
        get(&format!("http://{}/metrics", self.address)).await.unwrap_or_default()
    }

    /// Waits until the metrics meet a condition, and returns them.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&str) -> bool) -> String {
        eventually(what, SOON, async || Some(self.metrics().await).filter(|text| condition(text))).await
    }

    pub(crate) async fn end(self) {
        self.stop.send(true).expect("it listens");
        tokio::time::timeout(Duration::from_secs(15), self.task).await.expect("it stops").expect("no panic");
    }
}

/// The number of series of a family with this label and value.
fn count(text: &str, family: &str, label: &str, value: &str) -> usize {
    let start = format!("{family}{{");
    let end = format!(" {value}");
    text.lines().filter(|l| l.starts_with(&start) && l.contains(label) && l.ends_with(&end)).count()
}

pub(crate) fn sample(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|l| l.strip_prefix(series)?.trim().parse().ok())
}

pub(crate) fn network(name: &str) -> NetworkId {
    NetworkId::from_name(name).expect("a network")
}

/// Credentials at X with OAuth 2.0 tokens, which are refused without a reason: `x-0`, `x-1`…
fn x_logins(base: &str, logins: usize, interval: &str, extra: &str) -> String {
    let mut yaml = format!(
        "global: {{probe_interval: {interval}}}\napps:\n  - {{id: app, network: x, client_id: key, \
         client_secret: sim-s, base_url: {base}/x{extra}}}\naccounts:\n"
    );
    for i in 0..logins {
        let id = 1_000_001 + i;
        let token = fixture_token(network("x"), "valid", &id.to_string());
        yaml +=
            &format!("  - {{id: x-{i}, network: x, app: app, token: \"{token}\", external_id: \"{id}\"}}\n");
    }
    yaml
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_revoked_and_restored_with_all_its_pages_in_one_step() {
    let daemon = Running::start(|base| {
        let token = fixture_token(network("facebook"), "many-pages", DEMO_ID);
        let mut yaml = format!(
            "global: {{probe_interval: 1s}}\napps:\n  - {{id: app, network: facebook, client_id: \
             \"1234567890\", client_secret: sim-s, base_url: {base}/facebook}}\ncredentials:\n  - {{id: \
             jane, network: facebook, token: \"{token}\"}}\naccounts:\n"
        );
        for i in 0..40 {
            yaml += &format!(
                "  - {{id: page-{i}, network: facebook, credential: jane, external_id: \"{}\"}}\n",
                1_000_001 + i
            );
        }
        yaml
    })
    .await;
    let valid = |text: &str| count(text, "connection_valid", "reason=\"ok\"", "1");
    let invalid = |text: &str| count(text, "connection_valid", "reason=\"password_changed\"", "0");
    daemon.until("40 pages are valid", |text| valid(text) == 40).await;
    let probes = daemon.simulator.requests();
    assert!(
        probes["accounts"] <= probes["debug_token"],
        "one probe of the credential serves all its pages: {probes:?}"
    );

    daemon.simulator.play(DEMO_ID, Some("password-changed"));
    let text = daemon.until("the revocation shows", |text| valid(text) < 40).await;
    assert_eq!((valid(&text), invalid(&text)), (0, 40), "no scrape shows half of a login revoked");
    daemon.simulator.play(DEMO_ID, None);
    // The old token is probed once a day, unless somebody asks, and at most once in ten seconds.
    let probe = format!("http://{}/probe?account=page-0", daemon.address);
    let recovered = async || get(&probe).await.filter(|text| text.contains("reason=\"ok\"} 1"));
    eventually("the recovery shows", SOON, recovered).await;
    let text = daemon.metrics().await;
    assert_eq!((valid(&text), invalid(&text)), (40, 0));
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ambiguous_refusal_counts_after_a_second_probe() {
    let daemon = Running::start(|base| x_logins(base, 2, "1s", "")).await;
    let valid = |text: &str| count(text, "connection_valid", "reason=\"ok\"", "1");
    daemon.until("both are valid", |text| valid(text) == 2).await;
    let turned = Instant::now();
    daemon.simulator.play(DEMO_ID, Some("bare-unauthorized-end-unknown"));
    daemon
        .until("the first refusal", |text| {
            sample(text, "connection_probe_success{account=\"x-0\",network=\"x\"}") == Some(0.0)
        })
        .await;
    assert_eq!(valid(&daemon.metrics().await), 2, "one refusal is none");
    let flipped = |text: &str| {
        count(text, "connection_valid", "account=\"x-0\",network=\"x\",reason=\"token_invalid\"", "0") == 1
    };
    eventually("the second refusal", Duration::from_secs(70), async || {
        flipped(&daemon.metrics().await).then_some(())
    })
    .await;
    assert!(turned.elapsed() >= Duration::from_secs(30), "confirmed after {:?}", turned.elapsed());
    assert_eq!(valid(&daemon.metrics().await), 1);
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_failures_of_one_app_blame_the_app() {
    let daemon = Running::start(|base| x_logins(base, 6, "1s", "")).await;
    let valid = |text: &str| count(text, "connection_valid", "reason=\"ok\"", "1");
    let healthy = |text: &str| sample(text, "token_exporter_app_healthy{app=\"app\",network=\"x\"}");
    daemon.until("all are valid", |text| valid(text) == 6 && healthy(text) == Some(1.0)).await;
    for i in 0..6 {
        daemon.simulator.play(&format!("{}", 1_000_001 + i), Some("bare-unauthorized-end-unknown"));
    }
    let text = daemon.until("the app is to blame", |text| healthy(text) == Some(0.0)).await;
    assert_eq!(valid(&text), 6, "no connection is blamed");
    for i in 0..6 {
        daemon.simulator.play(&format!("{}", 1_000_001 + i), None);
    }
    let recovered =
        |text: &str| healthy(text) == Some(1.0) && count(text, "connection_probe_success", "", "1") == 6;
    eventually("the app is well again", Duration::from_secs(90), async || {
        recovered(&daemon.metrics().await).then_some(())
    })
    .await;
    let text = daemon.metrics().await;
    assert_eq!(valid(&text), 6);
    let misconfigured =
        sample(&text, "token_exporter_probe_failures_total{cause=\"app_misconfigured\",network=\"x\"}");
    assert!(misconfigured.is_some_and(|n| n > 0.0));
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_asks_for_patience_gets_it() {
    let daemon = Running::start(|base| x_logins(base, 1, "1s", "")).await;
    daemon.until("it is valid", |text| count(text, "connection_valid", "reason=\"ok\"", "1") == 1).await;
    daemon.simulator.play(DEMO_ID, Some("rate-limited"));
    let limited = "token_exporter_probe_failures_total{cause=\"rate_limited\",network=\"x\"}";
    daemon.until("the limit is met", |text| sample(text, limited) == Some(1.0)).await;
    let asked = daemon.simulator.exchanges();
    // Several intervals, but much less than the answer's reset.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let text = daemon.metrics().await;
    assert_eq!(
        (daemon.simulator.exchanges(), sample(&text, limited)),
        (asked, Some(1.0)),
        "it was asked again too early"
    );
    assert_eq!(count(&text, "connection_valid", "reason=\"ok\"", "1"), 1, "patience is no refusal");
    assert!(text.contains("token_exporter_rate_limit_reset_timestamp_seconds{app=\"app\",network=\"x\""));
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_token_file_is_probed_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("token");
    let token_of = |case: &str| fixture_token(network("x"), case, DEMO_ID);
    std::fs::write(&secret, token_of("bare-unauthorized-end-passed")).expect("written");
    let daemon = Running::start(|base| {
        format!(
            "global: {{probe_interval: 1h}}\naccounts:\n  - {{id: acme, network: x, token_file: {}, \
             external_id: \"{DEMO_ID}\"}}\napps:\n  - {{id: app, network: x, client_id: key, base_url: \
             {base}/x}}\n",
            secret.display()
        )
    })
    .await;
    daemon
        .until("it was probed", |text| {
            text.contains("connection_last_probe_timestamp_seconds{account=\"acme\"")
        })
        .await;
    std::fs::write(
        &secret,
        format!(
            "{{\"access_token\": \"{}\", \"scope\": \"tweet.read users.read tweet.write\"}}",
            token_of("valid")
        ),
    )
    .expect("written");
    // The regular probe is an hour away.
    daemon
        .until("the new token is probed", |text| count(text, "connection_valid", "reason=\"ok\"", "1") == 1)
        .await;
    std::fs::remove_file(&secret).expect("removed");
    let probe = format!("http://{}/probe?account=acme", daemon.address);
    let failed = "connection_probe_success{account=\"acme\",network=\"x\"} 0";
    let probed =
        eventually("a probe", SOON, async || get(&probe).await.filter(|text| text.contains(failed))).await;
    let cause = "connection_undetermined{account=\"acme\",network=\"x\",cause=\"credential_unreadable\"} 1";
    assert!(probed.contains(cause), "{probed}");
    assert!(
        probed.contains("connection_valid{account=\"acme\",network=\"x\",reason=\"ok\"} 1"),
        "an unreadable token is no refusal"
    );
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_counter_exists_from_the_start() {
    let daemon = Running::start(|base| x_logins(base, 1, "1h", "")).await;
    let zero = "token_exporter_probe_panics_total{network=\"x\"} 0\n";
    let text = daemon.until("the scheduler runs", |text| text.contains(zero)).await;
    for counter in text.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.strip_suffix(" counter")) {
        assert!(text.lines().any(|l| l.starts_with(counter)), "{counter} has no series");
    }
    for cause in Cause::ALL {
        let label = format!("cause=\"{cause}\"");
        assert_eq!(count(&text, "token_exporter_probe_failures_total", &label, "0"), 1, "{cause}");
    }
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_keep_what_stays_and_drop_what_goes() {
    let daemon = Running::start(|base| x_logins(base, 3, "1h", "")).await;
    let valid = |text: &str| count(text, "connection_valid", "reason=\"ok\"", "1");
    let before = daemon.until("all are valid", |text| valid(text) == 3).await;
    let since =
        |text: &str| sample(text, "connection_state_change_timestamp_seconds{account=\"x-0\",network=\"x\"}");
    let requests = daemon.simulator.exchanges();

    daemon.write(&x_logins("BASE", 2, "1h", ""));
    let text = daemon.until("the removed account is gone", |text| !text.contains("account=\"x-2\"")).await;
    assert_eq!(
        (valid(&text), since(&text)),
        (2, since(&before)),
        "the others keep their verdict and its age"
    );
    assert_eq!(daemon.simulator.exchanges(), requests, "nothing is asked again for a reload");

    let elsewhere = fixture_token(network("x"), "suspended", DEMO_ID);
    let moved =
        x_logins("BASE", 2, "1h", "").replace(&fixture_token(network("x"), "valid", DEMO_ID), &elsewhere);
    daemon.write(&moved);
    // The regular probe is an hour away.
    daemon
        .until("the other token is probed at once", |text| {
            count(text, "connection_valid", "reason=\"account_suspended\"", "0") == 1
        })
        .await;
    daemon.write(&x_logins("BASE", 2, "1h", ""));
    daemon.until("and the first one, too", |text| valid(text) == 2).await;

    daemon.write("accounts: [{id: x-0, network: mastadon}]\n");
    let successful = "token_exporter_config_last_reload_successful";
    let text = daemon
        .until("the broken configuration is noticed", |text| sample(text, successful) == Some(0.0))
        .await;
    assert_eq!(valid(&text), 2, "the last good one stays in force");

    daemon.write(&x_logins("BASE", 3, "1h", ""));
    daemon.until("the third is back", |text| valid(text) == 3 && sample(text, successful) == Some(1.0)).await;

    // The same on request and by signal.
    let client = http_client();
    let reload = format!("http://{}/-/reload", daemon.address);
    assert_eq!(client.post(&reload).send().await.expect("an answer").status(), 200);
    assert_eq!(client.get(&reload).send().await.expect("an answer").status(), 405);
    daemon.hangup.send(()).await.expect("it listens");
    daemon.end().await;
}

/// The page says when and why, with places and without secrets, until a reload succeeds.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_reload_shows_on_the_page() {
    let daemon = Running::start(|base| x_logins(base, 1, "1h", "")).await;
    let page = async |path: &str| {
        let answer = http_client().get(format!("http://{}{path}", daemon.address)).send().await.ok()?;
        answer.text().await.ok()
    };
    let failed = "The configuration could not be reloaded";
    assert!(!page("/").await.expect("a page").contains(failed));
    let broken = "global: {probe_interval: sim-secret}\naccounts:\n  - {id: x-0, network: mastadon, token: \
                  {sim-secret: 1}, client_secret: sim-secret}\n";
    daemon.write(broken);
    for path in ["/", "/account?id=x-0", "/account?id=new", "/?x=1"] {
        let shown = eventually(path, SOON, async || page(path).await.filter(|page| page.contains(failed)));
        let shown = crate::page::words(&shown.await);
        assert!(shown.contains("The last valid one stays in force."), "{shown}");
        assert!(shown.contains("config.yaml:3:") && shown.contains("mastadon"), "{shown}");
        assert!(!shown.contains("sim-secret"), "{shown}");
    }
    daemon.write(&format!("accounts: [{}]\n", "{id: 1}, ".repeat(50)));
    eventually("only the first problems", SOON, async || {
        page("/").await.filter(|page| page.contains(" more: ") && page.matches("<li>").count() < 40)
    })
    .await;
    daemon.write(&x_logins("BASE", 1, "1h", ""));
    eventually("a good reload", SOON, async || page("/").await.filter(|page| !page.contains(failed))).await;
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_forgets_nothing_and_asks_nothing_again() {
    let daemon = Running::start(|base| x_logins(base, 3, "1h", "")).await;
    let known = |text: &str| -> Vec<String> {
        let kept = [
            "connection_valid{",
            "connection_state_change_timestamp_seconds{",
            "connection_capability_available{",
            "token_has_expiry{",
        ];
        text.lines().filter(|l| kept.iter().any(|k| l.starts_with(k))).map(str::to_owned).collect()
    };
    let before = daemon
        .until("all are valid", |text| count(text, "connection_valid", "reason=\"ok\"", "1") == 3)
        .await;
    let asked = daemon.simulator.exchanges();
    let daemon = daemon.restart().await;
    assert_eq!(known(&daemon.metrics().await), known(&before), "the first scrape shows what was known");
    assert_eq!(daemon.simulator.exchanges(), asked, "their next probe is an hour away");
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_bounds_what_is_asked() {
    let daemon = Running::start(|base| x_logins(base, 60, "1s", ", rate_limit: 20/s")).await;
    daemon
        .until("everything was probed once", |text| {
            count(text, "connection_valid", "reason=\"ok\"", "1") == 60
        })
        .await;
    let (start, before) = (Instant::now(), daemon.simulator.exchanges());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (took, asked) = (start.elapsed().as_secs_f64(), daemon.simulator.exchanges() - before);
    // 60 credentials are due per second, 20 probes are allowed.
    assert!(asked as f64 <= 20.0 * (took + 1.0), "{asked} in {took} s");
    assert!(asked > 20, "and not much less than allowed: {asked} in {took} s");
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_http_side_says_clearly_what_it_does_not_do() {
    let daemon = Running::start(|base| x_logins(base, 1, "1h", "")).await;
    let client = http_client();
    let url = |path: &str| format!("http://{}{path}", daemon.address);
    for (method, path, status) in [
        ("GET", "/", 200),
        ("GET", "/metrics", 200),
        ("HEAD", "/metrics", 200),
        ("POST", "/metrics", 405),
        ("DELETE", "/", 405),
        ("GET", "/-/healthy", 200),
        ("HEAD", "/-/ready", 200),
        ("POST", "/-/ready", 405),
        ("GET", "/probe", 400),
        ("GET", "/probe?account=nobody", 404),
        ("GET", "/probe?account=x-0", 200),
        ("GET", "/nowhere", 404),
        ("GET", "/../../etc/passwd", 404),
    ] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let answer = client.request(method.clone(), url(path)).send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{method} {path}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        if status == 405 {
            assert!(answer.headers().contains_key("allow"), "{method} {path}");
        }
        if method == reqwest::Method::HEAD {
            assert!(answer.bytes().await.expect("a body").is_empty());
        }
    }
    for (path, status) in
        [("/-/healthy", 200), ("/-/ready", 200), ("/metrics", 404), ("/", 404), ("/-/reload", 404)]
    {
        let answer = client.get(format!("http://{}{path}", daemon.health)).send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{path} at the health address");
    }
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    let answer = client.get(url("/metrics")).header("accept", accept).send().await.expect("an answer");
    assert!(
        answer.headers()["content-type"]
            .to_str()
            .expect("text")
            .starts_with("application/openmetrics-text; version=1.0.0")
    );
    assert!(answer.text().await.expect("text").ends_with("# EOF\n"));
    let plain = client.get(url("/metrics")).send().await.expect("an answer");
    assert!(plain.headers()["content-type"].to_str().expect("text").starts_with("text/plain; version=0.0.4"));
    let zipped =
        client.get(url("/metrics")).header("accept-encoding", "gzip").send().await.expect("an answer");
    assert_eq!(zipped.headers()["content-encoding"], "gzip");
    let mut text = String::new();
    let bytes = zipped.bytes().await.expect("a body");
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(bytes.as_ref()), &mut text)
        .expect("gzip");
    assert!(text.contains("\nconnection_info{account=\"x-0\""));
    daemon.end().await;
}

/// As Kubernetes mounts a ConfigMap or a Secret: the files are symbolic links through `..data` to a
/// directory that is replaced as a whole.
#[tokio::test(flavor = "multi_thread")]
async fn configurations_and_tokens_that_are_swapped_by_links_are_noticed() {
    let mount = tempfile::tempdir().expect("a folder");
    let mut version = 0;
    let mut publish = |files: &[(&str, &str)]| {
        version += 1;
        let (folder, link) = (format!("..{version}"), mount.path().join("..data_tmp"));
        std::fs::create_dir(mount.path().join(&folder)).expect("a folder");
        for (name, text) in files {
            std::fs::write(mount.path().join(&folder).join(name), text).expect("written");
            let visible = mount.path().join(name);
            if !visible.is_symlink() {
                std::os::unix::fs::symlink(format!("..data/{name}"), visible).expect("a link");
            }
        }
        std::os::unix::fs::symlink(&folder, &link).expect("a link");
        std::fs::rename(link, mount.path().join("..data")).expect("swapped");
        if version > 1 {
            std::fs::remove_dir_all(mount.path().join(format!("..{}", version - 1))).expect("removed");
        }
    };
    let token_of = |case: &str| fixture_token(network("x"), case, DEMO_ID);
    let accounts = |ids: &[&str], folder: &Path| {
        let line = |id: &&str| {
            format!(
                "- {{id: {id}, network: x, token_file: {}, external_id: \"{DEMO_ID}\"}}\n",
                folder.join("token").display()
            )
        };
        ids.iter().map(line).collect::<String>()
    };
    publish(&[("accounts.yml", &accounts(&["one"], mount.path())), ("token", &token_of("valid"))]);
    let pattern = mount.path().join("*.yml").display().to_string();
    let yaml = |base: &str| {
        format!(
            "global: {{probe_interval: 1h}}\napps: [{{id: app, network: x, client_id: key, base_url: \
             \"{base}/x\"}}]\naccount_files: [\"{pattern}\"]\n"
        )
    };
    let daemon = Running::start(yaml).await;
    let valid = |text: &str| count(text, "connection_valid", "reason=\"ok\"", "1");
    daemon.until("it is valid", |text| valid(text) == 1).await;

    // Accounts and token change together: the existing account is probed at once, in spite of the
    // reload.
    publish(&[("accounts.yml", &accounts(&["one", "two"], mount.path())), ("token", &token_of("suspended"))]);
    daemon
        .until("both see the new token", |text| {
            count(text, "connection_valid", "account_suspended", "0") == 2
        })
        .await;
    publish(&[("accounts.yml", &accounts(&["two"], mount.path())), ("token", &token_of("valid"))]);
    let text = daemon.until("the second is valid again", |text| valid(text) == 1).await;
    assert!(!text.contains("account=\"one\""), "the first is gone");

    // A bad row keeps what was last read of it.
    publish(&[("accounts.yml", "- {id: two, network: mastadon}\n"), ("token", &token_of("valid"))]);
    let refused = "token_exporter_source_rows_refused{source=\"files\"}";
    let text = daemon.until("the mistake is noticed", |text| sample(text, refused) == Some(1.0)).await;
    assert_eq!((valid(&text), sample(&text, "token_exporter_config_last_reload_successful")), (1, Some(1.0)));

    // A token alone, as when a Secret is rotated: it is probed at once, not after an hour.
    publish(&[("accounts.yml", "- {id: two, network: mastadon}\n"), ("token", &token_of("suspended"))]);
    daemon
        .until("the new token counts", |text| count(text, "connection_valid", "account_suspended", "0") == 1)
        .await;
    daemon.end().await;
}

/// Reloads that are more frequent than probes, and a probe that becomes due between them.
#[tokio::test(flavor = "multi_thread")]
async fn reloads_do_not_move_the_schedule() {
    let daemon = Running::start(|base| x_logins(base, 20, "4s", "")).await;
    let valid = |text: &str| count(text, "connection_valid", "reason=\"ok\"", "1");
    // Meanwhile, everything is probed for the first time…
    let reload = format!("http://{}/-/reload", daemon.address);
    let reloads = Arc::new(AtomicU32::new(0));
    let counted = reloads.clone();
    let reloading = tokio::spawn(async move {
        let client = http_client();
        loop {
            assert_eq!(client.post(&reload).send().await.expect("an answer").status(), 200);
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    daemon.until("all are known", |text| valid(text) == 20).await;
    // …and again, each in turn, but not more often.
    let (asked, start) = (daemon.simulator.exchanges(), Instant::now());
    let last = |text: &str| -> Vec<f64> {
        let series = (0..20)
            .map(|i| format!("connection_last_probe_timestamp_seconds{{account=\"x-{i}\",network=\"x\"}}"));
        series.filter_map(|series| sample(text, &series)).collect()
    };
    let before = last(&daemon.metrics().await);
    let reloaded = || reloads.load(Ordering::Relaxed);
    let again =
        |text: &str| last(text).iter().zip(&before).all(|(now, before)| now > before) && reloaded() >= 5;
    eventually("all are probed again", Duration::from_secs(90), async || {
        again(&daemon.metrics().await).then_some(())
    })
    .await;
    let (asked, rounds) = (daemon.simulator.exchanges() - asked, start.elapsed().as_secs_f64() / 4.0 + 2.0);
    reloading.abort();
    // A probe that a reload interrupts is made again, so there can be a few more.
    assert!(
        f64::from(u32::try_from(asked).expect("few")) <= rounds * 20.0 + f64::from(reloaded()),
        "{asked} in {rounds} rounds"
    );
    daemon.end().await;
}
