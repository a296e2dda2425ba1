//! The cost of a page of the status page with 100,000 accounts, compared with 1,000. Look at ratios
//! within one run, not at times. Run it with `make bench`.
#![allow(clippy::expect_used, clippy::print_stdout, missing_docs, reason = "a bench prints, and may stop")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use token_exporter::api::{Listing, Query, connections_json};
use token_exporter::model::{Capability, Expiry, Reason, Timestamp};
use token_exporter::network::{Certainty, Clocks, Finding, Verdict};
use token_exporter::page::{self, Site};
use token_exporter::state::{Outcome, Snapshot, Store};

/// Two accounts per credential; one credential in twenty is invalid.
fn snapshot(accounts: usize) -> Snapshot {
    let mut yaml = String::from("credentials:\n");
    for i in 0..accounts / 2 {
        let _ = writeln!(
            yaml,
            "  - {{id: login-{i}, network: mastodon, token: sim-{i}, connected_by: Person {}}}",
            i % 500
        );
    }
    yaml += "accounts:\n";
    for i in 0..accounts {
        let _ = writeln!(
            yaml,
            "  - {{id: account-{i}, name: Account {i}, network: mastodon, credential: login-{}, \
             external_id: \"{i}\", labels: {{team: t{}}}}}",
            i / 2,
            i % 7
        );
    }
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a file");
    std::fs::write(file.path(), yaml).expect("written");
    let config = token_exporter::config::load(&[file.path().to_owned()]).expect("a configuration");
    let store = Store::default();
    store.replace_inventory(Arc::new(config.inventory(|_| true)));
    let now = Timestamp::now();
    for credential in 0..accounts / 2 {
        let days = i64::try_from(credential % 90).unwrap_or(0);
        let clocks = Clocks { access: Expiry::At(now.plus(86_400 * days + 3600)), ..Clocks::default() };
        let (verdict, reason) = if credential % 20 == 0 {
            (Verdict::Invalid(Reason::AccessRevoked, Certainty::Plain), Reason::AccessRevoked)
        } else {
            (Verdict::Valid, Reason::Ok)
        };
        let finding =
            Finding { verdict, capabilities: vec![(Capability::Publish, reason)], scopes: Vec::new() };
        store.apply(
            credential,
            &Outcome {
                at: now,
                findings: vec![finding; 2],
                clocks: Some(clocks),
                limits: Vec::new(),
                version_ended: false,
                token: None,
                names: Default::default(),
                observations: Vec::new(),
            },
        );
    }
    store.snapshot()
}

/// The fastest of several runs: other load on the machine only adds time.
fn time(mut run: impl FnMut()) -> Duration {
    let once = |_| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    (0..100).map(once).min().unwrap_or_default()
}

fn main() {
    let few = Listing::new(snapshot(1_000), Timestamp::now());
    let many = Listing::new(snapshot(100_000), Timestamp::now());
    let site = Site { telemetry_path: "/metrics", reload_failure: None };
    println!("| page of 100 | 1,000 accounts | 100,000 accounts | ratio |");
    println!("| --- | --- | --- | --- |");
    let row = |name: &str, cost: &dyn Fn(&Listing) -> Duration| {
        let (few, many) = (cost(&few), cost(&many));
        println!("| {name} | {few:.0?} | {many:.0?} | {:.1} |", many.as_secs_f64() / few.as_secs_f64());
    };
    for (name, raw, last) in [
        ("the first", "", false),
        ("the last", "", true),
        ("disconnected", "state=disconnected", false),
        ("a team", "team=t3", false),
        ("expiring, a network", "expires_within=30d&network=mastodon", false),
        ("a search", "q=account-7", false),
    ] {
        row(name, &|listing| {
            let mut query = Query::parse(raw, listing.label_names()).expect("a query");
            if last {
                query.page = listing.page(&query).total / query.per_page;
            }
            time(|| {
                let page = listing.page(&query);
                black_box(page::list(&site, listing, &query, &page, listing.at));
            })
        });
    }
    let query = Query::default();
    row("as JSON", &|listing| {
        time(|| drop(black_box(connections_json(listing, &query, &listing.page(&query)))))
    });
    row("one account", &|listing| {
        let id = format!("account-{}", listing.snapshot.inventory.len() - 1);
        time(|| {
            let place = listing.snapshot.inventory.find(&id).expect("an account");
            black_box(page::account(&site, listing, place, listing.at));
        })
    });
    row("the order itself (when something has changed)", &|listing| {
        time(|| drop(black_box(Listing::new(listing.snapshot.clone(), listing.at))))
    });
}
