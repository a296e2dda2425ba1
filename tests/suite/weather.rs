//! Faults between the exporter and the networks: no verdict may change, and resource use stays
//! bounded.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use token_exporter::model::{Cause, Timestamp};
use token_exporter::network::Verdict;
use token_exporter::probe::Prober;
use token_exporter::simulator;
use token_exporter::simulator::{Fixtures, load_fixtures};
use token_exporter::transport::{Client, MAX_BODY_BYTES};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::probing::{client, simulator};

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sky {
    /// It reaches the networks.
    Fair,
    /// It is closed.
    Closed,
    /// It gets no answer.
    Silent,
    /// It gets an answer byte by byte.
    Dripping,
    /// It gets an endless answer.
    Endless,
    /// It gets a truncated answer.
    CutOff,
    /// It gets an answer that decompresses to a much larger one.
    Bomb,
    /// It gets an answer that is not HTTP.
    Garbage,
    /// It gets another site's page.
    Page,
    /// It gets a redirect to a private address.
    Redirect,
    /// It gets a server error.
    Broken,
    /// It gets status 429 without a time to come back.
    Limited,
}

/// A proxy between the exporter and the simulator.
#[derive(Clone)]
pub(crate) struct Weather {
    pub(crate) address: SocketAddr,
    sky: watch::Sender<Sky>,
    /// The number of requests without an answer.
    silent: Arc<AtomicUsize>,
}

impl Weather {
    pub(crate) async fn over(networks: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("an address");
        let (sky, seen) = watch::channel(Sky::Fair);
        let silent: Arc<AtomicUsize> = Arc::default();
        let weather = Self { address, sky, silent: silent.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (mut seen, silent) = (seen.clone(), silent.clone());
                tokio::spawn(async move {
                    let sky = *seen.borrow_and_update();
                    tokio::select! {
                        () = meet(stream, sky, networks, &silent) => {}
                        // A change ends running connections.
                        _ = seen.changed() => {}
                    }
                });
            }
        });
        weather
    }

    /// The number of requests so far without an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.silent.load(Ordering::Relaxed)
    }

    pub(crate) fn turn(&self, sky: Sky) {
        self.sky.send_replace(sky);
    }
}

async fn meet(mut stream: TcpStream, sky: Sky, networks: SocketAddr, silent: &AtomicUsize) {
    if sky == Sky::Fair {
        let Ok(mut network) = TcpStream::connect(networks).await else { return };
        // Both sides may close at any time.
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut network).await;
        return;
    }
    if sky == Sky::Closed {
        return;
    }
    // Wait at least for the request's headers.
    let mut request = [0; 4096];
    let _ = stream.read(&mut request).await;
    let head = |status: &str, more: &str| {
        format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{more}\r\n").into_bytes()
    };
    let whole = |status: &str, body: &str| {
        [head(status, &format!("content-length: {}\r\n", body.len())), body.into()].concat()
    };
    let answer = match sky {
        Sky::Fair | Sky::Closed => Vec::new(),
        Sky::Silent => {
            silent.fetch_add(1, Ordering::Relaxed);
            return std::future::pending().await;
        }
        Sky::Dripping => {
            for byte in head("200 OK", "content-length: 2\r\n").into_iter().cycle() {
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Vec::new()
        }
        Sky::Endless => {
            let _ = stream.write_all(&head("200 OK", "")).await;
            while stream.write_all(&[b' '; 65_536]).await.is_ok() {}
            Vec::new()
        }
        Sky::CutOff => [head("200 OK", "content-length: 1000\r\n"), b"{\"data\": ".to_vec()].concat(),
        Sky::Bomb => {
            static BOMB: OnceLock<Vec<u8>> = OnceLock::new();
            let body = BOMB.get_or_init(|| {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                // One and a half times the limit for a body.
                encoder.write_all(&vec![b' '; MAX_BODY_BYTES / 2 * 3]).expect("into memory");
                encoder.finish().expect("into memory")
            });
            [
                head("200 OK", &format!("content-encoding: gzip\r\ncontent-length: {}\r\n", body.len())),
                body.clone(),
            ]
            .concat()
        }
        Sky::Garbage => b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec(),
        Sky::Page => whole("200 OK", "<html><body>Sign in to the hotel's network</body></html>"),
        Sky::Redirect => head("302 Found", "location: https://portal.example/\r\ncontent-length: 0\r\n"),
        Sky::Broken => whole("503 Service Unavailable", "{}"),
        Sky::Limited => whole("429 Too Many Requests", "{}"),
    };
    let _ = stream.write_all(&answer).await;
    let _ = stream.shutdown().await;
    // Wait until the client closes: closing with unread data here could discard data that the
    // client has not read yet.
    while stream.read(&mut request).await.is_ok_and(|read| read > 0) {}
}

/// The possible causes for each fault.
const EXPECTED: [(Sky, &[Cause]); 11] = [
    (Sky::Closed, &[Cause::Connect]),
    (Sky::Silent, &[Cause::Timeout]),
    (Sky::Dripping, &[Cause::Timeout]),
    (Sky::Endless, &[Cause::UnexpectedAnswer, Cause::Timeout]),
    (Sky::CutOff, &[Cause::UnexpectedAnswer, Cause::Connect]),
    (Sky::Bomb, &[Cause::UnexpectedAnswer, Cause::Timeout]),
    (Sky::Garbage, &[Cause::Connect]),
    (Sky::Page, &[Cause::UnexpectedAnswer]),
    (Sky::Redirect, &[Cause::UnexpectedAnswer]),
    (Sky::Broken, &[Cause::ServerError]),
    (Sky::Limited, &[Cause::RateLimited]),
];

/// Probes a network's healthy account at an address.
async fn probe(fixtures: &Fixtures, base: &str, client: Client) -> (String, Vec<Verdict>) {
    let valid = fixtures.cases.iter().find(|c| c.name == "valid").expect("a valid case");
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let yaml = simulator::single_case_config(fixtures, valid, nowhere, Timestamp::now())
        .replace("http://127.0.0.1:1", base);
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a file");
    std::fs::write(file.path(), &yaml).expect("written");
    let config =
        token_exporter::config::load(&[file.path().to_owned()]).unwrap_or_else(|p| panic!("{p}\n{yaml}"));
    let prober = Prober::new(client, Arc::new(config.inventory(|_| true)));
    let outcome = prober.probe(&[0]).await.pop().expect("an outcome").1;
    (fixtures.network.name().to_owned(), outcome.findings.iter().map(|f| f.verdict).collect())
}

fn check(network: &str, what: &str, verdicts: &[Verdict], causes: &[Cause]) {
    for verdict in verdicts {
        let fits = matches!(verdict, Verdict::Undetermined(cause) if causes.contains(cause));
        assert!(fits, "{network}, {what}: {verdict:?}, expected undetermined {causes:?}");
    }
    assert!(!verdicts.is_empty(), "{network}, {what}");
}

/// Faulty answers say nothing about a token, and the probe ends in time.
#[tokio::test(flavor = "multi_thread")]
async fn no_weather_is_a_verdict() {
    let (_simulator, networks) = simulator().await;
    let [patient, impatient] = [60_000, 2000].map(client);
    let all = Arc::new(load_fixtures().expect("fixtures"));
    for (sky, causes) in EXPECTED {
        let client = if causes.contains(&Cause::Timeout) { &impatient } else { &patient };
        let weather = Weather::over(networks).await;
        weather.turn(sky);
        let base = format!("http://{}", weather.address);
        let probes = (0..all.len()).map(|network| {
            let (all, base, client) = (all.clone(), base.clone(), client.clone());
            tokio::spawn(async move { probe(&all[network], &base, client).await })
        });
        for probe in probes.collect::<Vec<_>>() {
            let (network, verdicts) = probe.await.expect("no panic");
            check(&network, &format!("{sky:?}"), &verdicts, causes);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_speaks_no_tls_is_told_from_whoever_is_not_there() {
    let (_simulator, networks) = simulator().await;
    let weather = Weather::over(networks).await;
    weather.turn(Sky::Garbage);
    let garbage = format!("https://{}", weather.address);
    let client = client(20_000);
    let all = load_fixtures().expect("fixtures");
    let nobody =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
    for (base, cause) in [(garbage, Cause::Tls), (format!("http://{nobody}"), Cause::Connect)] {
        for fixtures in &all {
            let (network, verdicts) = probe(fixtures, &base, client.clone()).await;
            check(&network, &base, &verdicts, &[cause]);
        }
    }
}

/// A daemon goes through all faults and back: verdicts stay, their age shows, and work stays
/// bounded.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_changes_no_verdict() {
    use crate::exporter::{Exporter, World};

    const ACCOUNTS: usize = 20;
    let (_simulator, networks) = simulator().await;
    let weather = Weather::over(networks).await;
    tokio::task::spawn_blocking(move || {
        let mut world = World::new(weather.address, 1, ACCOUNTS, 0);
        let yaml = std::fs::read_to_string(world.path("config.yaml")).expect("readable");
        let yaml = yaml.replace(
            "probe_interval: 1s, probe_timeout: 30s",
            "probe_interval: 5s, probe_timeout: 4s, probe_concurrency: 4",
        );
        std::fs::write(world.path("config.yaml"), yaml).expect("written");
        // Only valid ones: invalid ones are probed less often.
        for account in 0..ACCOUNTS {
            world.write_token(account);
            world.write_token(account);
        }
        let exporter = Exporter::start(world.folder.path(), |_| {});
        exporter.wait_for("all are known", || {
            exporter.ask("/metrics").filter(|scrape| world.check_scrape(scrape) == ACCOUNTS)
        });
        for (place, sky) in
            [Sky::Closed, Sky::Silent, Sky::Dripping, Sky::Endless, Sky::Bomb, Sky::Broken, Sky::Page]
                .into_iter()
                .enumerate()
        {
            weather.turn(sky);
            let turned = Timestamp::now().unix();
            // The first probe may have started before the change; the next ones are affected by it.
            for account in [2 * place, 2 * place + 1] {
                let last = format!("connection_last_probe_timestamp_seconds{{account=\"account-{account}\"");
                let answer = exporter.wait_for("a probe", || {
                    let answer = exporter.ask(&format!("/probe?account=account-{account}"))?;
                    let line = answer.lines().find(|line| line.starts_with(&last))?;
                    let at: i64 = line.rsplit(' ').next()?.parse().ok()?;
                    (at > turned).then_some(answer)
                });
                world.check(&answer);
            }
            let scrape = exporter.wait_for("a scrape", || exporter.ask("/metrics"));
            assert_eq!(world.check_scrape(&scrape), ACCOUNTS, "{sky:?}");
        }
        let memory = std::fs::read_to_string(format!("/proc/{}/status", exporter.pid)).expect("Linux");
        let peak = memory
            .lines()
            .find_map(|l| l.strip_prefix("VmHWM:"))
            .and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok());
        // Four answers of at most 8 MiB each, plus the program itself.
        assert!(peak.is_some_and(|kib| kib < 256 << 10), "{peak:?} KiB");
        let over = Timestamp::now().unix();
        assert!(world.conclusive().iter().any(|at| *at < over), "the age of what is known shows");
        weather.turn(Sky::Fair);
        exporter.wait_for("all have been probed again", || {
            let scrape = exporter.ask("/metrics")?;
            world.check_scrape(&scrape);
            let again = world.conclusive().iter().filter(|at| **at > over).count();
            if again < ACCOUNTS && Timestamp::now().unix() > over + 60 {
                let told: String =
                    scrape.lines().filter(|l| l.contains("_failures_total{") && !l.ends_with(" 0")).collect();
                panic!("only {again} were probed again: {told}");
            }
            (again == ACCOUNTS).then_some(())
        });
        exporter.signal("TERM");
        assert_eq!(exporter.end().code(), Some(0));
    })
    .await
    .expect("no panic");
}
