//! What a scrape costs, beside copying its bytes and beside the prometheus crate's own vectors. Ratios within one run
//! are meant to be read, not times: `make bench`.
#![allow(clippy::expect_used, clippy::print_stdout, missing_docs, reason = "a bench prints, and may stop")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::{Encoder as _, IntGaugeVec, Opts, Registry, TextEncoder};
use token_exporter::exposition::{Cursor, Extent, FAMILIES, Format};
use token_exporter::metrics::Metrics;
use token_exporter::network::{Clocks, Finding, Verdict};
use token_exporter::reason::{Capability, Reason};
use token_exporter::roster::Roster;
use token_exporter::store::{Outcome, Snapshot, Store};
use token_exporter::time::{Expiry, Timestamp};

fn snapshot(accounts: usize) -> Snapshot {
    let mut yaml = String::from("accounts:\n");
    for i in 0..accounts {
        yaml += &format!(
            "  - {{id: account-{i}, name: Account {i}, network: mastodon, token: sim-{i}, external_id: \"{i}\", labels: {{team: t{}}}, notify: [p{}@example.com]}}\n",
            i % 7,
            i % 50
        );
    }
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a file");
    std::fs::write(file.path(), yaml).expect("written");
    let config = token_exporter::config::load(&[file.path().to_owned()]).expect("a configuration");
    let store = Store::default();
    store.replace_roster(Arc::new(Roster::new(config, |_| true)));
    let now = Timestamp::now();
    for credential in 0..accounts {
        let clocks = Clocks { access: Expiry::At(now.plus(86_400)), ..Clocks::default() };
        let finding = Finding { verdict: Verdict::Valid, capabilities: vec![(Capability::Publish, Reason::Ok)], scopes: Vec::new() };
        store.apply(credential, &Outcome { at: now, findings: vec![finding], clocks: Some(clocks), limits: Vec::new() });
    }
    store.snapshot()
}

/// The median of a few runs.
fn time(mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..7)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

fn main() {
    println!("| accounts | bytes | copy | written from the snapshot | ratio | prometheus crate | ratio to ours |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for accounts in [1_000, 10_000, 50_000] {
        let snapshot = snapshot(accounts);
        let metrics = Metrics::new().expect("metrics");
        let cursor = || Cursor::new(snapshot.clone(), &metrics, Timestamp::now(), Format::Text, Extent::Everything);
        let mut body = Vec::new();
        let mut whole = cursor();
        while let Some(chunk) = whole.next_chunk() {
            body.extend_from_slice(&chunk);
        }
        let mut warm = vec![0_u8; body.len()];
        let copy = time(|| black_box(&mut warm).copy_from_slice(black_box(&body)));
        let ours = time(|| {
            let mut cursor = cursor();
            while let Some(chunk) = cursor.next_chunk() {
                black_box(chunk);
            }
        });
        let registry = Registry::new();
        for family in FAMILIES {
            let vector = IntGaugeVec::new(Opts::new(family.name, family.help), &["account", "network"]).expect("a vector");
            registry.register(Box::new(vector.clone())).expect("registered");
            for i in 0..accounts {
                vector.with_label_values(&[&format!("account-{i}"), "mastodon"]).set(1);
            }
        }
        let theirs = time(|| {
            let mut out = Vec::new();
            TextEncoder::new().encode(&registry.gather(), &mut out).expect("encoded");
            black_box(out);
        });
        println!(
            "| {accounts} | {} | {copy:.1?} | {ours:.1?} | {:.1} | {theirs:.1?} | {:.0} |",
            body.len(),
            ours.as_secs_f64() / copy.as_secs_f64(),
            theirs.as_secs_f64() / ours.as_secs_f64()
        );
    }
}
