//! No secret is shown: every fixture is played, and all output is searched for tokens, secrets and
//! proofs.

use std::io::Write;
use std::sync::{Arc, Mutex};

use token_exporter::model::{Cause, Secret};
use token_exporter::network::{Call, NetworkId};
use token_exporter::simulator::load_fixtures;
use token_exporter::transport::Client;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::prometheus::{eventually, get, start_demo};

/// What must not appear: tokens, client and token secrets (all fixtures' start alike), and values
/// derived from them.
fn secrets_in(text: &str) -> Option<&str> {
    let proof = Secret::new("sim-client-secret");
    let signs = ["sim-", "sim%2D", "c2ltLW", "oauth_signature", "appsecret_proof="];
    let found = signs.iter().find_map(|sign| text.find(sign)).or_else(|| {
        let known = NetworkId::all().map(|n| {
            Secret::new(token_exporter::simulator::fixture_token(n, "valid", "1000001"))
                .hmac_sha256_hex(&proof)
        });
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
    let looked_at = [
        "/account?id=facebook-valid",
        "/?q=sim&network=x",
        "/?per_page=1000",
        "/connections.csv",
        "/connections.ics",
        "/api/v1/connections?per_page=1000",
    ];
    for path in looked_at {
        let page = get(&format!("http://{address}{path}")).await.unwrap_or_default();
        assert!(page.len() > 500, "{path} was answered: {page}");
        assert_eq!(secrets_in(&page), None, "{path}");
    }
    for path in
        ["/", "/probe?account=facebook-valid", "/probe?account=sim", "/-/healthy", "/nowhere", "/metrics?x=1"]
    {
        let page = get(&format!("http://{address}{path}")).await.unwrap_or_default();
        assert_eq!(secrets_in(&page), None, "{path}");
    }
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
    ];
    assert_eq!(found, expected);
}
