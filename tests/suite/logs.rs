//! What the log says about probes, and that it never stands in their way.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use token_exporter::model::Secret;
use token_exporter::network::{Answer, Grant, NetworkId, ResolvedApp, Style, Tokens};
use token_exporter::probe::quote;
use token_exporter::simulator::fixture_token;

use crate::exporter::{Exporter, LONG, World, request};
use crate::probing::simulator;

/// The value of a field of a line in logfmt.
fn field<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let (_, rest) = line.split_once(&format!(" {name}="))?;
    match rest.strip_prefix('"') {
        Some(quoted) => {
            let end = quoted.match_indices('"').find(|(at, _)| !quoted[..*at].ends_with('\\'))?.0;
            Some(&quoted[..end])
        }
        None => rest.split(' ').next(),
    }
}

/// The lines with a message, so far.
fn lines(exporter: &Exporter, message: &str) -> Vec<String> {
    let log = exporter.log();
    log.lines().filter(|line| field(line, "message") == Some(message)).map(str::to_owned).collect()
}

fn line(exporter: &Exporter, message: &str) -> String {
    exporter.wait_for(message, || lines(exporter, message).pop())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_is_logged_from_the_first_refusal_to_the_verdict() {
    let (_simulator, networks) = simulator().await;
    tokio::task::spawn_blocking(move || {
        let world = World::new(networks, 1, 1, 0);
        let put = |case: &str| {
            let x = NetworkId::from_name("x").expect("a network");
            let token = fixture_token(x, case, "1000001");
            let scopes = "tweet.read users.read tweet.write";
            let text = format!("{{\"access_token\": \"{token}\", \"scope\": \"{scopes}\"}}");
            std::fs::write(world.path("new"), text).expect("written");
            let private = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(world.path("new"), private).expect("set");
            std::fs::rename(world.path("new"), world.path("tokens/0")).expect("put in place");
        };
        put("valid");
        let exporter = Exporter::start(world.folder.path(), |_| {});
        exporter
            .wait_for("it is valid", || exporter.ask("/metrics")?.contains("reason=\"ok\"").then_some(()));
        assert!(lines(&exporter, "verdict changed").is_empty(), "a valid account is no news");
        put("deactivated");
        let refusal = line(&exporter, "refused, a second probe has to confirm it");
        let loss = line(&exporter, "verdict changed");
        let host = networks.to_string();
        for line in [&refusal, &loss] {
            for (name, value) in [
                ("account", "account-0"),
                ("network", "x"),
                ("app", "app"),
                ("credential", "account-0"),
                ("reason", "account_deactivated"),
                ("host", &host),
                ("status", "404"),
            ] {
                assert_eq!(field(line, name), Some(value), "{name}: {line}");
            }
            assert!(field(line, "answer").is_some_and(|answer| answer.contains("ot found")), "{line}");
        }
        assert_eq!(
            ["level", "from", "to"].map(|name| field(&loss, name)),
            [Some("warn"), Some("valid"), Some("invalid")]
        );
        put("valid");
        let back = exporter.wait_for("it is back", || {
            lines(&exporter, "verdict changed").into_iter().find(|line| line.contains("to=valid"))
        });
        assert_eq!(
            ["from", "before"].map(|name| field(&back, name)),
            [Some("invalid"), Some("account_deactivated")]
        );
        assert_eq!(lines(&exporter, "verdict changed").len(), 2, "one line for each change");
        assert!(!exporter.log().contains("sim-"), "{}", exporter.log());
    })
    .await
    .expect("no panic");
}

/// A configuration of logins at a port where nothing listens.
fn unreachable(accounts: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let account = |i| {
        format!("  - {{id: a-{i}, network: mastodon, token: sim-{i}, base_url: \"http://127.0.0.1:1\"}}\n")
    };
    let accounts: String = (0..accounts).map(account).collect();
    std::fs::write(folder.path().join("config.yaml"), format!("accounts:\n{accounts}")).expect("written");
    folder
}

#[test]
fn the_first_failure_of_a_kind_is_logged_and_the_others_are_counted() {
    let folder = unreachable(30);
    let exporter = Exporter::start(folder.path(), |_| {});
    exporter.wait_for("all are probed", || {
        let failures = "probe_failures_total{cause=\"connect\",network=\"mastodon\"} 30";
        exporter.ask("/metrics")?.contains(failures).then_some(())
    });
    let message = "probe not conclusive, the last verdict stands";
    let first = lines(&exporter, message);
    assert_eq!(first.len(), 1, "{}", exporter.log());
    for (name, value) in [
        ("network", "mastodon"),
        ("cause", "connect"),
        ("host", "127.0.0.1:1"),
        ("error", "Connection refused (os error 111)"),
    ] {
        assert_eq!(field(&first[0], name), Some(value), "{name}: {}", first[0]);
    }
    assert!(lines(&exporter, "probed").is_empty(), "each probe is logged at level debug");
    exporter.signal("TERM");
    assert!(exporter.end().success());
    let count = line(&exporter, "further probes not conclusive");
    assert_eq!(field(&count, "cause"), Some("connect"));
    // Failed probes may have been repeated.
    assert!(field(&count, "count").is_some_and(|count| count.parse().is_ok_and(|n: u32| n >= 29)), "{count}");
}

/// Blackbox exporter's `--log.prober` is the level at which its probes are logged.
#[test]
fn each_probe_is_logged_at_the_level_of_the_prober() {
    let folder = unreachable(3);
    let exporter = Exporter::start(folder.path(), |command| {
        command.arg("--log.prober=info");
    });
    exporter.wait_for("all are logged", || (lines(&exporter, "probed").len() == 3).then_some(()));
    let calls = lines(&exporter, "no answer");
    assert!(calls.len() == 3 && calls.iter().all(|line| line.contains("level=info")), "{calls:?}");
}

/// The real binary, whose log goes where `stderr` leads.
struct Logging(Child);

impl Drop for Logging {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Logging {
    fn start(world: &World, stderr: impl Into<Stdio>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_token_exporter"));
        command
            .args(["--web.listen-address", "127.0.0.1:0", "--storage.path", "none", "--log.prober", "info"])
            .arg("--config.file")
            .arg(world.path("config.yaml"))
            .stderr(stderr);
        Self(command.spawn().expect("the program"))
    }

    /// Waits until lines are dropped, and then until further probes have ended.
    fn goes_on_without_a_log(mut self, address: &str) {
        let value = |name: &str| {
            let scrape = request(address, "GET", "/metrics")?;
            let line = scrape.lines().find(|line| line.starts_with(name))?;
            line.rsplit(' ').next()?.parse::<f64>().ok()
        };
        let reaches = |what: &str, name: &str, least: f64| {
            let start = Instant::now();
            loop {
                match value(name) {
                    Some(value) if value >= least => return value,
                    value => assert!(start.elapsed() < LONG, "{what}: {value:?}"),
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        reaches("lines are dropped", "token_exporter_log_lines_dropped_total", 1.0);
        let name = "token_exporter_probes_total{network=\"x\"}";
        let probes = reaches("it probes", name, 1.0);
        reaches("it goes on", name, probes + 300.0);
        let signalled = Command::new("sh").args(["-c", &format!("kill {}", self.0.id())]).status();
        assert!(signalled.expect("a shell").success());
        let start = Instant::now();
        while self.0.try_wait().expect("a child").is_none() {
            assert!(start.elapsed() < LONG, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(self.0.wait().expect("its end").code(), Some(0));
    }
}

fn address(line: &str) -> Option<String> {
    Some(line.split_once("message=listening address=")?.1.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_reader_that_stands_still_stops_no_probe() {
    let (_simulator, networks) = simulator().await;
    tokio::task::spawn_blocking(move || {
        let world = World::new(networks, 1, 300, 0);
        let mut exporter = Logging::start(&world, Stdio::piped());
        let mut log = BufReader::new(exporter.0.stderr.take().expect("its log"));
        let mut text = String::new();
        let address = loop {
            text.clear();
            assert!(log.read_line(&mut text).expect("readable") > 0, "it has ended");
            if let Some(address) = address(&text) {
                break address;
            }
        };
        exporter.goes_on_without_a_log(&address);
        drop(log);
    })
    .await
    .expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_log_stops_no_probe() {
    let (_simulator, networks) = simulator().await;
    tokio::task::spawn_blocking(move || {
        let world = World::new(networks, 1, 300, 0);
        let path = world.path("log");
        let exporter = Logging::start(&world, std::fs::File::create(&path).expect("a file"));
        let start = Instant::now();
        let address = loop {
            let log = std::fs::read_to_string(&path).expect("the log");
            if let Some(address) = log.lines().find_map(address) {
                break address;
            }
            assert!(start.elapsed() < LONG, "{log}");
            std::thread::sleep(Duration::from_millis(5));
        };
        // To the process, a limit on file sizes looks like a full disk.
        let limit = ["--pid", &exporter.0.id().to_string(), "--fsize=1:"].map(str::to_owned);
        assert!(Command::new("prlimit").args(limit).status().expect("prlimit").success());
        exporter.goes_on_without_a_log(&address);
    })
    .await
    .expect("no panic");
}

#[test]
fn answers_are_quoted_without_secrets() {
    let mut app = ResolvedApp { client_secret: Some(Secret::new("top-level-1")), ..ResolvedApp::default() };
    app.client_id = "1234567890".to_owned();
    let tokens = Tokens {
        access: Secret::new("plainword"),
        secret: Some(Secret::new("half/pair")),
        refresh: None,
        scopes: None,
    };
    let style = Style { api: "", oauth1: false };
    let grant = Grant { style, app: &app, tokens: &tokens, accounts: &[] };
    let quoted = |body: &str| quote(&Answer::new(Some(400), http::HeaderMap::new(), body.as_bytes()), &grant);

    let told = r#"{"error":{"code":190,"fbtrace_id":"AbC1dEf2","message":"Session has expired on Monday"}}"#;
    assert_eq!(quoted(told), told, "what it says is shown");
    for secret in [
        r#"{"error": "the token plainword is unknown"}"#,
        r#"{"error": "half/pair and half%2Fpair"}"#,
        r#"{"error": "top-level-1"}"#,
        r#"{"access_token": "short", "data": [{"client_secret": "short"}]}"#,
        r#"{"message": "https://host.example/me?access_token=EAABsbCS1iHgBAKZCqZB9fF6x2&fields=id"}"#,
        r#"{"user": {"email": "short@example.com", "phone_number": "short"}}"#,
        "<html>token=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl</html>",
    ] {
        let quote = quoted(secret);
        assert!(quote.contains("[REDACTED]"), "{quote}");
        for hidden in ["plainword", "half", "top-level-1", "short", "EAAB", "eyJ"] {
            assert!(!quote.contains(hidden), "{hidden}: {quote}");
        }
    }
    let long = quoted(&"<p>\n\t\u{1b}[31mSorry</p>".repeat(1000));
    assert!(long.chars().count() == 801 && long.ends_with('…'), "{long}");
    assert!(!long.chars().any(char::is_control), "{long}");
}
