//! No secret is shown: every fixture is played, and all output is searched for tokens, secrets and
//! proofs.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use token_exporter::model::{Cause, Secret};
use token_exporter::network::{Call, NetworkId};
use token_exporter::simulator::{fixture_token, load_fixtures};
use token_exporter::transport::Client;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::daemon::sample;
use crate::envelopes::named;
use crate::exporter::Exporter;
use crate::http_source::{Server, json, reply};
use crate::prometheus::{eventually, get, start_demo};
use crate::recipes::laravel;

/// What must not appear: tokens, client and token secrets (all fixtures' start alike), and values
/// derived from them.
fn secrets_in(text: &str) -> Option<&str> {
    let proof = Secret::new("sim-client-secret");
    let signs = ["sim-", "sim%2D", "c2ltLW", "oauth_signature", "appsecret_proof="];
    let found = signs.iter().find_map(|sign| text.find(sign)).or_else(|| {
        let known = NetworkId::all()
            .map(|n| Secret::new(fixture_token(n, "valid", "1000001")).hmac_sha256_hex(&proof));
        known.into_iter().find_map(|p| text.find(p.reveal()))
    })?;
    let start = found.saturating_sub(60);
    Some(text.get(start..(found + 60).min(text.len())).unwrap_or("(a secret)"))
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("unpoisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn no_fixture_brings_a_secret_into_logs_findings_or_debug_output() {
    let captured = Captured::default();
    let filter = Targets::new().with_target("token_exporter", Level::TRACE);
    let writer = tracing_subscriber::fmt::layer().with_writer(captured.clone());
    let subscriber = tracing_subscriber::registry().with(filter).with(writer);
    let mut output = String::new();
    // A single thread, because the subscriber is per thread.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tracing::subscriber::with_default(subscriber, || {
        // With only one subscriber, tracing caches for each call site whether the first thread
        // there wants its events, and other tests' threads do not. With a second subscriber it asks
        // every time.
        let _second = tracing::Dispatch::new(tracing_subscriber::registry());
        runtime.block_on(async {
            let client = crate::probing::client(10_000);
            let (simulator, address) = crate::probing::simulator().await;
            for fixtures in load_fixtures().expect("fixtures") {
                for case in &fixtures.cases {
                    if case.answers.values().any(|a| a.fault.is_some())
                        || !crate::reading::can_be_probed(fixtures.network, case)
                    {
                        continue;
                    }
                    let (outcome, debug) =
                        crate::probing::probe_and_show(&fixtures, case, address, &client).await;
                    output.push_str(&format!("{outcome:?}\n{debug}\n"));
                }
            }
            assert!(!simulator.requests().is_empty());
        });
    });
    let logged = String::from_utf8_lossy(&captured.0.lock().expect("unpoisoned")).into_owned();
    assert!(logged.contains("answered"), "trace messages are captured");
    assert_eq!(secrets_in(&logged), None);
    assert_eq!(secrets_in(&output), None);
    assert!(secrets_in("Bearer sim-x").is_some(), "the hunt finds what it looks for");
}

/// Asks for everything that is shown to programs and people.
async fn answers_without_secrets(address: &str, account: &str) {
    let paths = [
        format!("/account?id={account}"),
        "/?q=sim&network=x".to_owned(),
        "/?per_page=1000".to_owned(),
        "/connections.csv".to_owned(),
        "/connections.ics".to_owned(),
        "/api/v1/connections?per_page=1000".to_owned(),
    ];
    for path in paths {
        let page = get(&format!("http://{address}{path}")).await.unwrap_or_default();
        // A calendar without deadlines is short.
        assert!(
            page.len() > 500 || path.ends_with("ics") && page.contains("END:VCALENDAR"),
            "{path}: {page}"
        );
        assert_eq!(secrets_in(&page), None, "{path}");
    }
    let probe = format!("/probe?account={account}");
    for path in ["/", &probe, "/probe?account=sim", "/-/healthy", "/nowhere", "/metrics?x=1"] {
        let page = get(&format!("http://{address}{path}")).await.unwrap_or_default();
        assert_eq!(secrets_in(&page), None, "{path}");
    }
}

/// Looks for secrets in the answers, the log and the state of an exporter that logs all it can.
pub(crate) async fn nothing_shows_a_secret(exporter: &Exporter, data: &Path, account: &str) {
    answers_without_secrets(&exporter.listens().expect("it runs"), account).await;
    let files = std::fs::read_dir(data).expect("a folder").map(|entry| entry.expect("an entry").path());
    let files: Vec<_> = files.filter(|path| path.is_file()).collect();
    assert!(files.iter().any(|path| path.extension().is_some_and(|e| e == "jsonl")), "{files:?}");
    for path in files {
        let text = String::from_utf8_lossy(&std::fs::read(&path).expect("a file")).into_owned();
        assert_eq!(secrets_in(&text), None, "{}", path.display());
    }
    let log = exporter.log();
    assert!(log.contains("answered"), "trace messages are captured: {log}");
    assert_eq!(secrets_in(&log), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_show_no_secret_anywhere() {
    let (_simulator, networks) = crate::probing::simulator().await;
    let row = |id: &str, rest: &str| format!("{{\"id\": \"{id}\", \"network\": \"x\", {rest}}}");
    let token = |id: &str| fixture_token(crate::daemon::network("x"), "valid", id);
    let valid = row("x-1", &format!("\"external_id\": \"1000001\", \"token\": \"{}\"", token("1000001")));
    let bad = [
        row("blank", "\"token\": \"sim- token\""),
        row("list", "\"token\": [\"sim-token\"]"),
        row("key", "\"token\": \"sim-token\", \"sim-key\": 1"),
        row("state", "\"token\": \"sim-token\", \"expires_at\": \"sim-token\""),
        row("file", "\"token_file\": \"sim-token\""),
        "{\"id\": \"network\", \"network\": \"sim-token\", \"token\": \"sim-token\"}".to_owned(),
    ];
    let rows = format!("[{valid},{}]", bad.join(","));
    let server = Server::start(move |request| match request.split([' ', '?']).nth(1)? {
        "/rows" => json(&rows),
        "/cut" => json(&rows[..rows.len() - 20]),
        "/text" => json("sim-token"),
        _ => Some(reply(500, &["x-problem: sim-token"], "sim-token")),
    })
    .await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let database = rusqlite::Connection::open(path("product.db")).expect("a database");
    let sealed = laravel(&token("1000002"));
    let statements = format!(
        "CREATE TABLE accounts (id, network, external_id, token); INSERT INTO accounts VALUES ('x-2', 'x', \
         '1000002', '{sealed}'), ('bad', 'x', NULL, 'sim-not-encrypted')"
    );
    database.execute_batch(&statements).expect("a table");
    let [right, wrong] = ["Laravel, AES-256-GCM", "Laravel, AES-256-CBC with a previous key"].map(named);
    let wrong = wrong.previous.expect("another key");
    let mut yaml = format!(
        "global: {{probe_interval: 1s}}\napps: [{{id: app, network: x, client_id: key, base_url: \
         \"http://{networks}/x\"}}]\nsources:\n"
    );
    for name in ["rows", "cut", "text", "error"] {
        yaml += &format!(
            "- {{id: {name}, http: {{url: {:?}, authorization: {{credentials: sim-token}}}}}}\n",
            server.url(&format!("/{name}?key=sim-token"))
        );
    }
    for (id, key) in [("right", &right.key), ("wrong", &wrong)] {
        yaml += &format!(
            "- {{id: {id}, sql: {{driver: sqlite, database: product.db, query: SELECT * FROM accounts, \
             decrypt: {{scheme: laravel, key: {key:?}, columns: [token]}}}}}}\n"
        );
    }
    std::fs::write(path("config.yaml"), yaml).expect("written");
    let exporter = Exporter::start(folder.path(), |command| _ = command.args(["--log.level", "trace"]));
    let up =
        |text: &str, source: &str| sample(text, &format!("token_exporter_source_up{{source={source:?}}}"));
    exporter.wait_for("all sources have answered", || {
        let text = exporter.ask("/metrics")?;
        let answered = ["rows", "right"].iter().all(|id| up(&text, id) == Some(1.0))
            && ["cut", "text", "error", "wrong"].iter().all(|id| up(&text, id) == Some(0.0));
        (answered && text.matches("connection_last_probe_timestamp_seconds{").count() == 2).then_some(())
    });
    nothing_shows_a_secret(&exporter, &path("data"), "x-1").await;
    let log = exporter.log();
    for seen in ["blank", "the key is wrong", "not encrypted in the way", "HTTP 500 Internal Server Error"] {
        assert!(log.contains(seen), "{seen}: {log}");
    }
    assert!(![&right.key, &wrong, &sealed].iter().any(|secret| log.contains(&secret[..20])), "{log}");
}

/// Everything that a report can hold is a secret here.
#[tokio::test(flavor = "multi_thread")]
async fn reports_show_no_secret_anywhere() {
    let (_simulator, networks) = crate::probing::simulator().await;
    let folder = tempfile::tempdir().expect("a folder");
    let token = fixture_token(crate::daemon::network("x"), "valid", "1000001");
    let yaml = format!(
        "apps: [{{id: app, network: x, client_id: key, client_secret: sim-s, base_url: \"http://{networks}/x\"}}]\n\
         accounts: [{{id: x-1, network: x, token: {token}, external_id: '1000001'}}]\nreporters: [{{id: publisher, \
         token: {}}}]\n",
        crate::reports::TOKEN
    );
    std::fs::write(folder.path().join("config.yaml"), yaml).expect("written");
    let exporter = Exporter::start(folder.path(), |command| _ = command.args(["--log.level", "trace"]));
    exporter.wait_for("a probe", || exporter.ask("/metrics")?.contains("reason=\"ok\"} 1").then_some(()));
    let address = exporter.listens().expect("it runs");
    let errors =
        serde_json::json!({"errors": [{"code": 226, "message": "sim-token"}], "access_token": "sim-token"});
    for report in [
        serde_json::json!({"account": "x-1", "http_status": 403, "body": errors, "id": "sim-id"}),
        serde_json::json!({"account": "x-1", "http_status": 401, "headers": {"authorization": "Bearer sim-token"},
                           "body": "sim-token is not valid"}),
        serde_json::json!({"account": "x-1", "http_status": 418, "body": {"sim-key": "sim-token"}}),
        serde_json::json!({"account": "sim-token", "http_status": 400, "body": "sim-token"}),
        serde_json::json!({"network": "sim-token", "external_id": "sim-token", "operation": "sim-token", "at": "sim-token",
                           "ok": "sim-token", "http_status": "sim-token", "headers": "sim-token"}),
        serde_json::json!("sim-token"),
    ] {
        let (_, answer) = crate::reports::send(&address, &report).await;
        assert_eq!(secrets_in(&answer.to_string()), None, "{report}");
    }
    nothing_shows_a_secret(&exporter, &folder.path().join("data"), "x-1").await;
    let text = exporter.ask("/metrics").expect("metrics");
    assert!(text.contains("connection_report_timestamp_seconds{") && exporter.log().contains("by=report"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_running_demo_shows_no_secret_anywhere() {
    let (demo, address, log) = start_demo(&["--log.level", "trace"]);
    let metrics = format!("http://{address}/metrics");
    let text = eventually("every account was probed", std::time::Duration::from_secs(150), async || {
        let text = get(&metrics).await?;
        let probed =
            text.lines().filter(|l| l.starts_with("connection_last_probe_timestamp_seconds{")).count();
        let accounts = text.lines().filter(|l| l.starts_with("connection_info{")).count();
        (accounts > 0 && probed == accounts).then_some(text)
    })
    .await;
    assert_eq!(secrets_in(&text), None);
    answers_without_secrets(&address, "facebook-valid").await;
    drop(demo);
    let log = log.join().expect("the log");
    assert!(log.contains("answered"), "trace messages are captured: {log}");
    assert_eq!(secrets_in(&log), None);
}

/// A call with a token to the host of `base_url`.
async fn send_to(base_url: &str) -> Result<token_exporter::network::Answer, Cause> {
    let userinfo = NetworkId::from_name("oauth2").and_then(|n| n.description().call("userinfo"));
    let call = Call::new(userinfo.expect("a call"), &[]).bearer(&Secret::new("sim-token"));
    // Private networks are allowed here: what is refused now is always refused.
    let client = Client::new(std::time::Duration::from_secs(60), true).expect("a client");
    let base_url = base_url.parse().expect("a URL");
    client.send(&call, Some(&base_url)).await.map_err(|failure| failure.cause)
}

#[tokio::test]
async fn a_token_does_not_follow_a_redirect() {
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let asked = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let answer = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{}/\r\nContent-Length: 0\r\n\r\n",
        elsewhere.local_addr().expect("an address")
    );
    let address = asked.local_addr().expect("an address");
    let server = tokio::spawn(async move {
        let (mut stream, _) = asked.accept().await.expect("a request");
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.expect("a request");
        stream.write_all(answer.as_bytes()).await.expect("sent");
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    let status = send_to(&format!("http://{address}")).await.expect("an answer").status;
    assert!(server.await.expect("a request").contains("sim-token"), "the token was sent where it belongs");
    assert_eq!(status, Some(307), "the redirect itself is the answer");
    elsewhere.set_nonblocking(true).expect("a socket");
    let nobody = elsewhere.accept().expect_err("somebody asked elsewhere");
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_token_does_not_leave_this_machine_in_the_open() {
    // Any attempt would report that the name cannot be resolved.
    for base_url in ["http://provider.invalid", "http://localhost.invalid", "ftp://provider.invalid"] {
        assert_eq!(send_to(base_url).await.err(), Some(Cause::Connect), "{base_url}");
    }
}

/// Only the code that builds and signs requests, or makes keys of secrets, may read their text.
#[test]
fn secrets_are_revealed_where_requests_are_made_and_nowhere_else() {
    fn sources(folder: &std::path::Path, into: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { sources(&path, into) } else { into.push(path) }
        }
    }
    let src = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let reveals = |path: &&std::path::PathBuf| {
        let text = std::fs::read_to_string(path).expect("a source");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        code.contains(".reveal()") || code.contains("expose_secret")
    };
    let mut found: Vec<_> =
        files.iter().filter(reveals).filter_map(|p| p.strip_prefix(&src).ok()?.to_str()).collect();
    found.sort_unstable();
    let expected = [
        "model/secret.rs",
        "source/envelope.rs",
        "source/sql/address.rs",
        "source/sql/mysql.rs",
        "source/sql/postgres.rs",
        "transport/client.rs",
        "transport/oauth1.rs",
        "transport/smtp.rs",
    ];
    assert_eq!(found, expected);
}
