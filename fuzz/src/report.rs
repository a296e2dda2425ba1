//! Bodies of reports.

use std::sync::{Arc, OnceLock};

use token_exporter::config;
use token_exporter::model::{Capability, Timestamp};
use token_exporter::report::{Acceptor, Acted, Item, Reporter, Reports};
use token_exporter::state::Store;
use token_exporter::telemetry::Metrics;

use super::{CANARY, folder};

/// The accounts that seeds report on, at every network.
fn place() -> &'static (Arc<Store>, Acceptor, Reporter) {
    static PLACE: OnceLock<(Arc<Store>, Acceptor, Reporter)> = OnceLock::new();
    PLACE.get_or_init(|| {
        let yaml = folder().join("report.yaml");
        let text = "apps:\n  - {id: f, network: facebook, client_id: \"1\", client_secret: sim-s}\n  - {id: x, network: x, \
                    client_id: a, client_secret: sim-s}\naccounts:\n  - {id: page, network: facebook, token: sim-a, \
                    external_id: \"1\", needs: [publish, inbox]}\n  - {id: x, network: x, token: sim-b, external_id: \
                    \"2\"}\n  - {id: m, network: mastodon, token: sim-c, base_url: https://a.example}\n";
        std::fs::write(&yaml, text).expect("written");
        let config = config::load(&[yaml]).unwrap_or_else(|problems| panic!("{problems}"));
        let store = Arc::new(Store::default());
        store.replace_inventory(config.inventory(|_| true).into());
        let acceptor = Acceptor::new(store.clone(), Metrics::new().expect("metrics"));
        let reporter = Reporter { id: "fuzz".into(), networks: Vec::new(), accounts: Vec::new() };
        (store, acceptor, reporter)
    })
}

/// Problems are short and quote nothing; a report changes no verdict, blocks what was reported at most, and
/// leaves nothing of its body.
pub fn check(data: &[u8]) {
    let (store, acceptor, by) = place();
    let now = Timestamp::now();
    let short = |text: &str| assert!(text.len() < 400 && !text.contains(CANARY), "{text}");
    let reports = match Reports::parse(data) {
        Ok(reports) => reports,
        Err(wrong) => return short(&wrong),
    };
    for item in &reports.items {
        let item = match Item::parse(&item.0, now) {
            Ok(item) => item,
            Err(problems) => {
                assert!(!problems.is_empty());
                problems
                    .iter()
                    .for_each(|problem| short(&format!("{}: {}", problem.field, problem.expected)));
                continue;
            }
        };
        assert!(item.at.is_none_or(|at| at <= now), "a report of the future");
        if let Ok(accepted) = acceptor.accept(&item, by, now) {
            assert_eq!(accepted.due.is_some(), accepted.acted == Acted::ProbeNow);
            assert!(accepted.reason.is_some() || accepted.cause.is_some());
        }
    }
    let snapshot = store.take_changes().snapshot;
    assert!(snapshot.accounts.iter().all(|state| state.verdict.is_none() && state.pending.is_none()));
    for (_, heard) in snapshot.heard.iter() {
        assert!(heard.reports().len() <= 4 * 8 && !format!("{heard:?}").contains(CANARY));
        for block in Capability::ALL.iter().filter_map(|capability| heard.block(*capability, now)) {
            assert!(block.until.since(now) <= 90 * 86_400 && &*block.by == "fuzz");
        }
    }
}
