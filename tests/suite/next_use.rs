//! What is planned to be done with accounts: probes before it, and where it is shown.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::Value;
use token_exporter::inventory::Inventory;
use token_exporter::model::{Cause, Timestamp};
use token_exporter::network::{Certainty, Clocks, Finding, Verdict};
use token_exporter::scheduler::{delay_after, planned};
use token_exporter::state::{NextProbe, Outcome, Store};

use crate::exposition::inventory;
use crate::page::{Site, words};
use crate::prometheus::eventually;
use crate::scheduling::{Scheduled, instances, silent, store};

const NOW: i64 = 1_800_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(NOW + seconds).expect("a time")
}

/// A login with accounts that are used in this many seconds.
fn login(uses: &[i64]) -> Arc<Inventory> {
    let accounts = uses.iter().enumerate().map(|(i, use_in)| {
        let next_use = NOW + use_in;
        format!(
            "  - {{id: a-{i}, network: mastodon, credential: c, next_use: {next_use}, probe_interval: 12h}}\n"
        )
    });
    let credential = "credentials: [{id: c, network: mastodon, token: sim-a}]\n";
    inventory(&format!("{credential}accounts:\n{}", accounts.collect::<String>()))
}

/// Seconds from the last probe to the next one.
fn wait(login: &Inventory, next: NextProbe, last: i64, now: i64) -> i64 {
    let credential = login.credential(0).expect("a login");
    let delay = delay_after(next, credential, Clocks::default(), at(last), at(now));
    i64::try_from(delay.as_secs()).expect("seconds")
}

#[test]
fn a_login_is_probed_ten_minutes_before_its_use() {
    let usual = wait(&login(&[-1]), NextProbe::Regular, 0, 0);
    assert!(usual > 4000, "the usual probe is far: {usual}");
    let regular = |uses: &[i64], last, now| wait(&login(uses), NextProbe::Regular, last, now);
    assert_eq!(regular(&[3600], 0, 0), 3000);
    assert_eq!(regular(&[3700, 3600, 601, 50_000, -600], 0, 0), 1, "the first use that lies ahead");
    assert_eq!(regular(&[3600], 0, 2000), 3000, "neither a reload nor a restart moves it");
    assert_eq!(regular(&[3600], 0, 3300), 3000, "it is late after a stop, but still before the use");
    assert_eq!(regular(&[600], 0, 0), usual, "a probe ten minutes before is enough");
    assert_eq!(regular(&[300, 3600], 0, 0), 3000);
    assert_eq!(regular(&[3600], 0, 3600), usual, "what has passed is ignored");
    assert_eq!(regular(&[1_000_000], 0, 0), usual, "the usual probe comes before");
}

#[test]
fn other_probes_are_not_later_than_that_and_confirmations_not_earlier() {
    let plain = login(&[-1]);
    let soon = login(&[610]);
    assert_eq!(wait(&soon, NextProbe::Failed(4), 0, 0), 10);
    assert_eq!(wait(&soon, NextProbe::NewToken, 0, 0), 10, "the token is read before it is used");
    let confirmation = wait(&plain, NextProbe::Confirm, 0, 0);
    assert_eq!(wait(&soon, NextProbe::Confirm, 0, 0), confirmation);
    assert!(confirmation > 29);
}

fn valid(at: Timestamp) -> Outcome {
    let finding = Finding { verdict: Verdict::Valid, capabilities: vec![], scopes: vec![] };
    Outcome { findings: vec![finding], ..Outcome::undetermined(Cause::Timeout, 1, at) }
}

#[test]
fn the_plan_says_that_a_use_is_the_reason() {
    let store = Store::default();
    store.replace_inventory(login(&[3600]));
    let applied = store.apply(0, &valid(at(0))).expect("a login");
    assert_eq!(applied.next, NextProbe::Regular);
    let plan = |now: i64| planned(&store.snapshot(), 0, at(now)).map(|plan| (plan.label(), plan.at));
    assert_eq!(plan(0), Some(("next_use", at(3000))));
    assert_eq!(plan(3100), Some(("next_use", at(3100))), "overdue");
    store.apply(0, &valid(at(3000))).expect("a login");
    assert_eq!(plan(3000).map(|(label, _)| label), Some("interval"));
    let refused = Finding {
        verdict: Verdict::Invalid(token_exporter::model::Reason::TokenInvalid, Certainty::Ambiguous),
        capabilities: vec![],
        scopes: vec![],
    };
    store.apply(0, &Outcome { findings: vec![refused], ..valid(at(2990)) }).expect("a login");
    assert_eq!(plan(2990).map(|(label, _)| label), Some("confirmation"));
}

/// In real time: the timetable holds it, and a probe shortly before the use is the only one.
#[tokio::test(flavor = "multi_thread")]
async fn the_scheduler_probes_shortly_before_a_use_and_once() {
    let (base, connections) = silent().await;
    let now = Timestamp::now();
    let yaml = instances(&[(&base, 2)]);
    let with_use = |seconds: i64| format!("token: sim-0, next_use: {}", now.plus(600 + seconds).unix());
    let (store, prober) = store(&yaml.replacen("token: sim-0", &with_use(3), 1));
    for credential in 0..2 {
        store.apply(credential, &valid(now)).expect("a login");
    }
    let start = Instant::now();
    let scheduled = Scheduled::start(prober, store.clone(), &[]);
    let probed = || async { (connections.load(Ordering::Relaxed) > 0).then_some(()) };
    eventually("it is probed", Duration::from_secs(30), probed).await;
    assert!(start.elapsed() > Duration::from_millis(1500), "not before: {:?}", start.elapsed());
    let failed = |snapshot: &token_exporter::state::Snapshot| {
        snapshot.credentials.get(0).is_some_and(|state| state.last_probe > Some(now))
    };
    scheduled.until("the probe ends", failed).await;
    assert_eq!(connections.load(Ordering::Relaxed), 1, "the other login is not probed");
    let plan = planned(&store.snapshot(), 0, Timestamp::now()).expect("a plan");
    assert_eq!(plan.label(), "retry", "of the failure, not of the use");
}

fn accounts() -> String {
    let now = Timestamp::now();
    let account = |id: &str, use_in: Option<i64>| {
        let next_use =
            use_in.map_or(String::new(), |seconds| format!(", next_use: \"{}\"", now.plus(seconds)));
        format!("  - {{id: {id}, network: mastodon, token: sim-{id}{next_use}}}\n")
    };
    let uses = [("none", None), ("late", Some(90_000)), ("past", Some(-90_000)), ("soon", Some(7300))];
    format!("accounts:\n{}", uses.map(|(id, use_in)| account(id, use_in)).concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_can_be_sorted_by_the_next_use() {
    let site = Site::start(&accounts(), "").await;
    let ids = async |path: &str| {
        let body: Value = serde_json::from_str(&site.text(path).await).expect("JSON");
        let list = body["connections"].as_array().expect("a list").clone();
        list.iter().map(|c| c["account"].as_str().expect("an id").to_owned()).collect::<Vec<_>>().join(" ")
    };
    let api = "/api/v1/connections";
    assert_eq!(ids(api).await, "none late past soon");
    assert_eq!(ids(&format!("{api}?sort=next_use")).await, "soon late none past");
    assert_eq!(ids(&format!("{api}?sort=next_use&per_page=2&page=2")).await, "none past");
    assert_eq!(ids(&format!("{api}?sort=next_use&q=late")).await, "late");
    assert_eq!(site.answer(&format!("{api}?sort=name")).await.status(), 400);
    let csv = site.text("/connections.csv?sort=next_use").await;
    let first = csv.lines().nth(1).expect("a row");
    assert!(csv.lines().next().is_some_and(|head| head.contains("\"next_use\"")), "{csv}");
    assert!(first.starts_with("\"soon\"") && first.matches('T').count() >= 1, "{first}");
    let page = site.text("/").await;
    assert!(page.contains("href=\"./?sort=next_use\""), "the list offers it");
    assert!(words(&page).contains("(in 2 hours)"), "{}", words(&page));
    let sorted = site.text("/?sort=next_use").await;
    let place = |id: &str| sorted.find(&format!(">{id}</a>")).expect("shown");
    assert!(place("soon") < place("late") && place("late") < place("none"));
    assert!(words(&sorted).contains("Sort by urgency"));
    assert!(sorted.contains("<input type=\"hidden\" name=\"sort\" value=\"next_use\">"), "filters keep it");
    let without = Site::start("accounts: [{id: a, network: mastodon, token: sim-a}]", "").await;
    assert!(!without.text("/").await.contains("sort=next_use"), "nothing to sort by");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_use_is_on_the_page_of_its_account_and_in_the_api() {
    let site = Site::start(&accounts(), "").await;
    let page = words(&site.text("/account?id=soon").await);
    assert!(page.contains("Next use"), "{page}");
    assert!(!words(&site.text("/account?id=none").await).contains("Next use"));
    let body: Value = serde_json::from_str(&site.text("/api/v1/connections/soon").await).expect("JSON");
    let next_use = body["next_use"].as_str().and_then(Timestamp::parse).expect("an instant");
    assert!((7200..7400).contains(&next_use.since(Timestamp::now())), "{next_use}");
    let body: Value = serde_json::from_str(&site.text("/api/v1/connections/none").await).expect("JSON");
    assert_eq!(body.get("next_use"), None);
}
