//! Every fixture case as a whole probe: YAML, token, network, HTTP client, simulator, and the
//! resulting finding.

use std::sync::Arc;
use std::time::Duration;

use token_exporter::model::{Cause, Reason, Timestamp};
use token_exporter::network::{Certainty, NetworkId, Verdict};
use token_exporter::probe::Prober;
use token_exporter::simulator;
use token_exporter::simulator::{Case, Fixtures, Simulator, load_fixtures};
use token_exporter::state::Outcome;
use token_exporter::transport::Client;
use tokio::net::TcpListener;

use crate::reading::{can_be_probed, differences};

/// Starts a simulator of all networks on loopback; it runs until the test ends.
pub(crate) async fn simulator() -> (Arc<Simulator>, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("an address");
    let simulator = Arc::new(Simulator::new(load_fixtures().expect("fixtures")));
    tokio::spawn(simulator.clone().serve(listener));
    (simulator, address)
}

pub(crate) fn client(milliseconds: u64) -> Client {
    Client::new(Duration::from_millis(milliseconds), false).expect("a client")
}

/// Runs one probe of one case, with everything but the schedule.
pub(crate) async fn probe(
    fixtures: &Fixtures,
    case: &Case,
    address: std::net::SocketAddr,
    client: &Client,
) -> Outcome {
    let yaml = simulator::single_case_config(fixtures, case, address, Timestamp::now());
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a file");
    std::fs::write(file.path(), &yaml).expect("written");
    let config = token_exporter::config::load(&[file.path().to_owned()])
        .unwrap_or_else(|p| panic!("{}/{}: {p}\n{yaml}", fixtures.network, case.name));
    let prober = Prober::new(client.clone(), Arc::new(config.inventory(|_| true)));
    prober.probe(&[0]).await.pop().expect("an outcome").1
}

/// The same, with the debug output of all intermediate values.
pub(crate) async fn probe_and_show(
    fixtures: &Fixtures,
    case: &Case,
    address: std::net::SocketAddr,
    client: &Client,
) -> (Outcome, String) {
    let yaml = simulator::single_case_config(fixtures, case, address, Timestamp::now());
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a file");
    std::fs::write(file.path(), &yaml).expect("written");
    let config = token_exporter::config::load(&[file.path().to_owned()]).expect("a configuration");
    let mut shown = format!("{config:?}");
    let prober = Prober::new(client.clone(), Arc::new(config.inventory(|_| true)));
    shown.push_str(&format!("{prober:?}"));
    (prober.probe(&[0]).await.pop().expect("an outcome").1, shown)
}

/// An account of the demo, and the case that it must show.
pub(crate) struct Shown<'a> {
    /// Its id in the configuration.
    pub(crate) account: String,
    pub(crate) network: NetworkId,
    pub(crate) case: &'a Case,
}

/// The accounts of the demo, in the order of the fixtures.
pub(crate) fn shown_cases(fixtures: &[Fixtures]) -> Vec<Shown<'_>> {
    let mut shown = Vec::new();
    for fixtures in fixtures {
        let network = fixtures.network;
        for case in &fixtures.cases {
            let Some(demo) = &case.demo else { continue };
            let account = format!("{network}-{}", case.name);
            shown.push(Shown { account: account.clone(), network, case });
            shown.extend(demo.also.iter().map(|id| Shown {
                account: format!("{account}-{id}"),
                network,
                case,
            }));
        }
    }
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_is_probed_as_expected() {
    let (_simulator, address) = simulator().await;
    let mut failures = Vec::new();
    let mut probed = 0;
    let [impatient, patient] = [500, 10_000].map(client);
    for fixtures in load_fixtures().expect("fixtures") {
        let network = fixtures.network;
        for case in &fixtures.cases {
            if !can_be_probed(network, case) {
                continue;
            }
            let slow = case.answers.values().any(|a| a.fault.is_some());
            let now = Timestamp::now();
            let outcome = probe(&fixtures, case, address, if slow { &impatient } else { &patient }).await;
            let expect = case.probe.as_ref().unwrap_or(&case.expect);
            probed += 1;
            // The probe's placeholders were filled slightly earlier or later: expiry times are
            // compared only in readings.
            for finding in &outcome.findings {
                for difference in differences(expect, finding, None, now) {
                    failures.push(format!("{network}/{}: {difference}", case.name));
                }
            }
        }
    }
    assert!(probed > 0, "nothing was probed");
    assert!(failures.is_empty(), "{} of {probed} differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn the_demo_shows_only_what_can_be_probed() {
    for shown in shown_cases(&load_fixtures().expect("fixtures")) {
        assert!(
            can_be_probed(shown.network, shown.case),
            "{}: its configuration would be refused",
            shown.account
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn facebook_is_asked_in_batches() {
    let (simulator, address) = simulator().await;
    let facebook = NetworkId::from_name("facebook").expect("a network");
    let mut yaml = format!(
        "apps:\n  - {{id: app, network: facebook, client_id: \"1234567890\", client_secret: sim-s, \
         base_url: \"{}\"}}\naccounts:\n",
        Simulator::base_url(address, facebook)
    );
    for i in 0..100 {
        let id = (1_000_001 + i).to_string();
        let token = token_exporter::simulator::fixture_token(facebook, "valid", &id);
        yaml +=
            &format!("  - {{id: page-{i}, network: facebook, token: \"{token}\", external_id: \"{id}\"}}\n");
    }
    let prober = Prober::new(client(10_000), crate::exposition::inventory(&yaml));
    let outcomes = prober.probe(&(0..100).collect::<Vec<_>>()).await;
    assert_eq!(
        outcomes.iter().filter(|(_, o)| o.findings.iter().all(|f| f.verdict == Verdict::Valid)).count(),
        100
    );
    // debug_token, permissions, accounts and the page, for each of 100: eight calls of fifty.
    assert_eq!(simulator.requests().values().sum::<u64>(), 400);
    assert_eq!(simulator.exchanges(), 8);
}

#[test]
fn the_demo_shows_every_network_and_every_reason() {
    let fixtures = load_fixtures().expect("fixtures");
    let shown = shown_cases(&fixtures);
    for network in NetworkId::all() {
        assert!(shown.iter().any(|s| s.network == network), "{network} is not shown");
    }
    let expected = |s: &Shown<'_>| s.case.probe.as_ref().unwrap_or(&s.case.expect).clone();
    // No probe finds this one: only a write shows it.
    let read = |reason: &&Reason| **reason != Reason::PublishingAuthorizationRequired;
    for reason in Reason::ALL.iter().filter(read) {
        let found = shown.iter().any(|s| {
            let expect = expected(s);
            let valid = expect.verdict == "valid" && *reason == Reason::Ok;
            valid || expect.reason.as_deref() == Some(reason.label())
        });
        assert!(found, "{reason} is not shown");
    }
    let degraded = |s: &Shown<'_>| {
        let expect = expected(s);
        expect.verdict == "valid" && expect.capabilities.is_some_and(|c| c.values().any(|r| r != "ok"))
    };
    assert!(shown.iter().any(degraded), "no degraded connection is shown");
    assert!(shown.iter().any(|s| expected(s).verdict == "undetermined"), "no undetermined one is shown");
    assert!(
        shown.iter().any(|s| s.case.demo.as_ref().is_some_and(|d| d.also.len() >= 39)),
        "no login with many pages is shown"
    );
}

/// A federated instance is a configured host: it must not lead into the exporter's own network.
#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_not_connected_to() {
    for (base_url, allowed) in [
        ("https://10.255.255.1", false),
        ("https://[fe80::1]", false),
        ("https://169.254.169.254", false),
        ("https://10.255.255.1", true),
    ] {
        let yaml =
            format!("accounts: [{{id: a, network: mastodon, token: sim-a, base_url: \"{base_url}\"}}]\n");
        let client = Client::new(Duration::from_millis(300), allowed).expect("a client");
        let prober = Prober::new(client, crate::exposition::inventory(&yaml));
        let outcome = prober.probe(&[0]).await.pop().expect("an outcome").1;
        let Verdict::Undetermined(cause) = outcome.findings[0].verdict else {
            panic!("a verdict without an answer")
        };
        // Nothing answers there: a call ends with a timeout, or at once if there is no route.
        assert!(cause == Cause::Connect || allowed, "{base_url}: {cause}");
    }
}

/// A Facebook credential has pages, groups and Instagram accounts: one probe covers all of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_facebook_login_carries_instagram_accounts_and_groups() {
    let (simulator, address) = simulator().await;
    // Instagram's fixtures answer like Facebook, with an Instagram account linked to the page.
    let yaml = format!(
        "apps: [{{id: app, network: facebook, client_id: \"1234567890\", client_secret: sim-s, base_url: \"http://{address}/instagram\"}}]\n\
         credentials: [{{id: jane, network: facebook, token: sim-instagram-valid.{ID}}}]\n\
         accounts:\n\
         \x20 - {{id: ig, network: instagram, credential: jane, external_id: \"{ID}\", needs: [publish, inbox, analytics]}}\n\
         \x20 - {{id: group, network: facebook, kind: group, credential: jane, external_id: \"99\"}}\n",
        ID = simulator::DEMO_ID
    );
    let prober = Prober::new(client(10_000), crate::exposition::inventory(&yaml));
    let outcome = prober.probe(&[0]).await.pop().expect("an outcome").1;
    assert_eq!(outcome.findings[0].verdict, Verdict::Valid);
    assert!(
        outcome.findings[0].capabilities.iter().all(|(_, r)| *r == Reason::Ok)
            && outcome.findings[0].capabilities.len() == 3
    );
    assert_eq!(
        outcome.findings[1].verdict,
        Verdict::Invalid(Reason::UnsupportedAccountType, Certainty::Plain)
    );
    assert_eq!(simulator.requests()["debug_token"], 1, "one probe serves both");
}
