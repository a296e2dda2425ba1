//! The cost of a scrape, compared with copying its bytes, with sending a static body, and with the
//! prometheus crate's vectors; also its memory. Look at ratios within one run, not at times. Run it
//! with `make bench`.
#![allow(clippy::expect_used, clippy::print_stdout, missing_docs, reason = "a bench prints, and may stop")]

use std::convert::Infallible;
use std::fmt::Write as _;
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::Frame;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use prometheus::{Encoder as _, IntGaugeVec, Opts, Registry, TextEncoder};
use token_exporter::exposition::{Extent, FAMILIES, Format, Renderer};
use token_exporter::model::{Capability, Expiry, Reason, Timestamp};
use token_exporter::network::{Clocks, Finding, Verdict};
use token_exporter::server::{self, Endpoint, ServerContext, WebSettings};
use token_exporter::state::{Outcome, Snapshot, Store, View};
use token_exporter::telemetry::{Metrics, Watchdog};
use tokio::net::TcpListener;

mod common;
use common::{FileFormat, Shape, configuration, drain, memory, report, side_by_side, sizes, time, wanted};

/// A store in which every account has been probed.
fn probed(accounts: usize) -> Arc<Store> {
    let folder = tempfile::tempdir().expect("a folder");
    configuration(folder.path(), accounts, Shape::Shared, FileFormat::Yaml);
    let config = token_exporter::config::load(&[folder.path().join("config.yaml")]).expect("a configuration");
    let inventory = Arc::new(config.inventory(|_| true));
    let store = Arc::new(Store::default());
    store.replace_inventory(inventory.clone());
    let now = Timestamp::now();
    for (place, credential) in inventory.credentials().enumerate() {
        let clocks = Clocks {
            access: Expiry::At(now.plus(86_400)),
            issued: Some(now.plus(-86_400)),
            ..Clocks::default()
        };
        let finding = Finding {
            verdict: Verdict::Valid,
            capabilities: vec![(Capability::Publish, Reason::Ok)],
            scopes: Vec::new(),
        };
        let findings = vec![finding; credential.accounts().len()];
        store.apply(
            place,
            &Outcome {
                at: now,
                findings,
                clocks: Some(clocks),
                limits: Vec::new(),
                version_ended: false,
                token: None,
                names: Default::default(),
                observations: Vec::new(),
            },
        );
    }
    store
}

fn cursor(snapshot: &Snapshot, metrics: &Metrics) -> Renderer {
    Renderer::new(snapshot.clone(), metrics, Timestamp::now(), Format::Text, Extent::Everything)
}

fn chunks(snapshot: &Snapshot, metrics: &Metrics) -> Vec<Bytes> {
    let mut cursor = cursor(snapshot, metrics);
    std::iter::from_fn(|| cursor.next_chunk()).collect()
}

/// Compares writing the text with copying its bytes.
fn rendering(metrics: &Metrics) {
    let mut table = "| accounts | series | MB | copy ms | write ms | ratio | ns per series |\n| --- | --- \
                     | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for accounts in sizes() {
        let snapshot = probed(accounts).snapshot();
        let body = chunks(&snapshot, metrics).concat();
        let series =
            body.split(|b| *b == b'\n').filter(|line| line.first().is_some_and(|b| *b != b'#')).count();
        let mut warm = body.clone();
        let (copy, write, ratio) = side_by_side(
            9,
            || black_box(&mut warm).copy_from_slice(black_box(&body)),
            || {
                let mut cursor = cursor(&snapshot, metrics);
                while let Some(chunk) = cursor.next_chunk() {
                    black_box(chunk);
                }
            },
        );
        let _ = writeln!(
            table,
            "| {accounts} | {series} | {:.1} | {:.2} | {:.2} | {ratio:.1} | {:.0} |",
            body.len() as f64 / 1e6,
            copy.as_secs_f64() * 1e3,
            write.as_secs_f64() * 1e3,
            write.as_nanos() as f64 / series as f64
        );
    }
    report("rendering", &table);
}

/// Compares writing the text with the prometheus crate's vectors with the same labels.
fn crate_vectors(metrics: &Metrics) {
    let accounts = 10_000;
    let snapshot = probed(accounts).snapshot();
    let registry = Registry::new();
    for family in FAMILIES {
        let vector =
            IntGaugeVec::new(Opts::new(family.name, family.help), &["account", "network"]).expect("a vector");
        registry.register(Box::new(vector.clone())).expect("registered");
        for i in 0..accounts {
            vector.with_label_values(&[&format!("account-{i}"), "mastodon"]).set(1);
        }
    }
    let (ours, theirs, ratio) = side_by_side(
        5,
        || {
            let mut cursor = cursor(&snapshot, metrics);
            while let Some(chunk) = cursor.next_chunk() {
                black_box(chunk);
            }
        },
        || {
            let mut out = Vec::new();
            TextEncoder::new().encode(&registry.gather(), &mut out).expect("encoded");
            black_box(out);
        },
    );
    report(
        "crate",
        &format!(
            "{accounts} accounts: {ours:.1?} here, {theirs:.1?} with the prometheus crate's vectors for {} \
             families: {ratio:.0} times as long.\n",
            FAMILIES.len()
        ),
    );
}

/// A static body.
struct Ready(Arc<Vec<Bytes>>, usize);

impl http_body::Body for Ready {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.0.get(self.1).cloned();
        self.1 += 1;
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// Serves a static body with the exporter's server.
async fn serve_ready(listener: TcpListener, chunks: Arc<Vec<Bytes>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let chunks = chunks.clone();
        let service = service_fn(move |_| {
            let chunks = chunks.clone();
            async move { Ok::<_, Infallible>(http::Response::new(Ready(chunks, 0))) }
        });
        tokio::spawn(async move {
            auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await
        });
    }
}

fn ask(address: SocketAddr, header: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a connection");
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n{header}Connection: close\r\n\r\n")
        .expect("asked");
    stream
}

/// Sends a request and reads the whole answer. Returns its length.
fn length(address: SocketAddr, header: &str) -> usize {
    drain(ask(address, header))
}

fn exchange(address: SocketAddr, header: &str) {
    black_box(length(address, header));
}

/// The exporter's server and one with a static body, on loopback.
fn servers(
    runtime: &tokio::runtime::Runtime,
    store: Arc<Store>,
    metrics: &Metrics,
) -> (SocketAddr, SocketAddr) {
    let body = Arc::new(chunks(&store.snapshot(), metrics));
    let metrics = metrics.clone();
    runtime.block_on(async {
        let bind = || TcpListener::bind("127.0.0.1:0");
        let (ours, ready) = (bind().await.expect("loopback"), bind().await.expect("loopback"));
        let addresses = (ours.local_addr().expect("an address"), ready.local_addr().expect("an address"));
        let settings = WebSettings {
            telemetry_path: "/metrics".to_owned(),
            route_prefix: String::new(),
            external_url: None,
            enable_lifecycle: false,
            max_requests: 64,
            events_apart: false,
        };
        let (reload, _) = tokio::sync::mpsc::channel(1);
        let (_, shown) = tokio::sync::watch::channel(store.snapshot());
        let context = Arc::new(ServerContext::new(View::new(shown), metrics, settings, reload));
        tokio::spawn(async move {
            // Kept, or the server would stop.
            let (_stop, stopped) = tokio::sync::watch::channel(false);
            server::serve(
                ours,
                Endpoint::Main,
                context,
                stopped,
                Duration::ZERO,
                Watchdog::default().part("server"),
            )
            .await;
        });
        tokio::spawn(serve_ready(ready, body));
        addresses
    })
}

/// Compares a scrape over loopback with one of a static body, and measures the memory of running
/// scrapes.
fn serving(metrics: &Metrics) {
    let mut table = "| accounts | MB | static body ms | metrics ms | ratio | extra KB per running scrape \
                     |\n| --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    let mut packed = "| accounts | level | ms | MB/s | compression ratio | × writing the text |\n| --- | \
                      --- | --- | --- | --- | --- |\n"
        .to_owned();
    for accounts in sizes().into_iter().filter(|n| *n >= 10_000) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let store = probed(accounts);
        let (ours, ready) = servers(&runtime, store.clone(), metrics);
        let size = length(ours, "");
        let (plain, live, ratio) = side_by_side(9, || exchange(ready, ""), || exchange(ours, ""));
        // Eight clients that stop reading in the middle, so their scrapes stay open.
        let before = memory("self", "VmRSS");
        let slow: Vec<TcpStream> = (0..8)
            .map(|_| {
                let stream = ask(ours, "");
                std::io::copy(&mut (&stream).take(size as u64 / 4), &mut std::io::sink()).expect("a part");
                stream
            })
            .collect();
        let each = memory("self", "VmRSS").saturating_sub(before) / slow.len();
        drop(slow);
        let ms = |d: Duration| d.as_secs_f64() * 1e3;
        let _ = writeln!(
            table,
            "| {accounts} | {:.1} | {:.1} | {:.1} | {ratio:.2} | {} |",
            size as f64 / 1e6,
            ms(plain),
            ms(live),
            each / 1000
        );
        if accounts != 100_000 {
            continue;
        }
        let snapshot = store.snapshot();
        let body = chunks(&snapshot, metrics);
        let written = time(|| drop(black_box(chunks(&snapshot, metrics))));
        for level in [1, 2, 3, 6] {
            let mut length = 0;
            let took = time(|| {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
                for chunk in &body {
                    encoder.write_all(chunk).expect("a vector");
                    length += encoder.get_ref().len();
                    encoder.get_mut().clear();
                }
                length += encoder.finish().expect("a vector").len();
            });
            let bytes: usize = body.iter().map(Bytes::len).sum();
            let _ = writeln!(
                packed,
                "| {accounts} | {level} | {:.0} | {:.0} | {:.1} | {:.1} |",
                ms(took),
                bytes as f64 / 1e6 / took.as_secs_f64(),
                bytes as f64 / length as f64,
                took.as_secs_f64() / written.as_secs_f64()
            );
        }
        let (identity, gzip, ratio) =
            side_by_side(5, || exchange(ours, ""), || exchange(ours, "Accept-Encoding: gzip\r\n"));
        let _ = writeln!(
            packed,
            "\nA whole scrape of {accounts} accounts: {:.0} ms without gzip, {:.0} ms with gzip ({ratio:.1} \
             times).",
            ms(identity),
            ms(gzip)
        );
    }
    report("serving", &table);
    report("gzip", &packed);
}

fn main() {
    let metrics = Metrics::new().expect("metrics");
    for (name, part) in
        [("rendering", rendering as fn(&Metrics)), ("crate", crate_vectors), ("serving", serving)]
    {
        if wanted(name) {
            part(&metrics);
        }
    }
}
