//! The scheduler: whose turn it is, and what requests and limits do.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use token_exporter::model::{Cause, Reason, Timestamp};
use token_exporter::network::{Budget, RateLimitStatus, Reset};
use token_exporter::probe::Prober;
use token_exporter::scheduler::{ProbeRequest, Scheduler, SchedulerSettings, planned};
use token_exporter::state::{Outcome, Snapshot, Store};
use token_exporter::telemetry::{Metrics, Watchdog};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

use crate::exposition::inventory;
use crate::mistakes::{ACCEPTED, answer, instance};
use crate::probing::client;

/// A scheduler that runs until it is dropped, and its store.
pub(crate) struct Scheduled {
    pub(crate) store: Arc<Store>,
    pub(crate) stop: watch::Sender<bool>,
    requests: mpsc::Sender<ProbeRequest>,
    _watchdog: Watchdog,
}

impl Scheduled {
    pub(crate) fn start(prober: Prober, store: Arc<Store>, changed: &[usize]) -> Self {
        Self::start_with(prober, store, changed, false)
    }

    fn start_with(prober: Prober, store: Arc<Store>, changed: &[usize], on_demand: bool) -> Self {
        let settings = SchedulerSettings { concurrency: 8, on_demand };
        let metrics = Metrics::new().expect("metrics");
        let scheduler = Scheduler::new(Arc::new(prober), store.clone(), metrics, settings, changed);
        let (stop, stopped) = watch::channel(false);
        let (requests, received) = mpsc::channel(8);
        let mut watchdog = Watchdog::default();
        tokio::spawn(scheduler.run(received, stopped, watchdog.part("engine")));
        Self { store, stop, requests, _watchdog: watchdog }
    }

    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&Snapshot) -> bool) {
        for _ in 0..1000 {
            if condition(&self.store.snapshot()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{what}: {:?}", self.store.snapshot().accounts.get(0));
    }
}

/// Time limit of a request in milliseconds.
const TIMEOUT: u128 = 2000;

/// A server that never answers. Returns its address, and the number of connections that it has got.
pub(crate) async fn silent() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let count: Arc<AtomicUsize> = Arc::default();
    let counted = count.clone();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            open.push(stream);
        }
    });
    (address, count)
}

/// Logins at instances of Mastodon, this many at each.
pub(crate) fn instances(instances: &[(&str, usize)]) -> String {
    let mut yaml = "accounts:\n".to_owned();
    for (instance, (base, count)) in instances.iter().enumerate() {
        for i in 0..*count {
            let account = format!("id: a-{instance}-{i}, network: mastodon, token: sim-{i}");
            writeln!(yaml, "  - {{{account}, base_url: \"{base}\"}}").expect("written");
        }
    }
    yaml
}

/// Logins of one app at X.
fn logins(base: &str, count: usize) -> String {
    let mut yaml =
        format!("apps: [{{id: app, network: x, client_id: key, base_url: \"{base}\"}}]\naccounts:\n");
    for i in 0..count {
        writeln!(yaml, "  - {{id: a-{i}, network: x, token: sim-{i}, external_id: \"{i}\"}}")
            .expect("written");
    }
    yaml
}

pub(crate) fn store(yaml: &str) -> (Arc<Store>, Prober) {
    let store = Arc::new(Store::default());
    let inventory = inventory(yaml);
    store.replace_inventory(inventory.clone());
    (store, Prober::new(client(u64::try_from(TIMEOUT).expect("short")), inventory))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_ended_before_it_was_shown_is_not_made_again() {
    let (base, connections) = silent().await;
    let (store, prober) = store(&instances(&[(&base, 2)]));
    let now = Timestamp::now();
    let outcome = Outcome::undetermined(Cause::Timeout, 1, now);
    let version = store.apply(0, &outcome).expect("a credential").version;
    let scheduled = Scheduled::start_with(prober, store, &[], true);
    let request = async |credential, seen| {
        let (reply, answer) = oneshot::channel();
        let request = ProbeRequest::NewerThan { seen, credential, reply };
        scheduled.requests.send(request).await.expect("it runs");
        (answer.await.expect("an answer"), connections.load(Ordering::Relaxed))
    };
    assert_eq!(request(0, None).await, (version, 0), "news for a client that has seen nothing");
    let (newer, probes) = request(0, Some(now)).await;
    assert!(newer > version && probes == 1, "a client that has seen it gets another");
    assert_eq!(request(1, None).await.1, 2, "nothing is known of others");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_does_not_answer_leaves_places_to_others() {
    let ((slow, connections), (quick, given)) = (silent().await, instance().await);
    *given.lock().expect("no panic") = answer(200, 0, "", ACCEPTED);
    let (store, prober) = store(&instances(&[(&slow, 50), (&quick, 500)]));
    let start = Instant::now();
    let scheduled = Scheduled::start_with(prober, store, &(0..50).collect::<Vec<_>>(), true);
    while connections.load(Ordering::Relaxed) < 8 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for credential in 50..550 {
        scheduled.requests.send(ProbeRequest::SourceChanged(credential)).await.expect("it runs");
    }
    // While others of them still wait.
    let most_are_valid = |snapshot: &Snapshot| {
        let valid = snapshot.accounts.iter().filter(|a| a.is_valid()).count();
        let taken = connections.load(Ordering::Relaxed);
        let timeouts = usize::try_from(start.elapsed().as_millis() / TIMEOUT).expect("few");
        assert!(valid > 450 || taken <= 8 + 4 * timeouts, "{valid} {taken} {timeouts}: more than half");
        valid > 100
    };
    scheduled.until("the others are probed", most_are_valid).await;
}

fn limited(at: Timestamp, limits: &[RateLimitStatus]) -> Outcome {
    Outcome { limits: limits.to_vec(), ..Outcome::undetermined(Cause::RateLimited, 1, at) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_the_app_pauses_it_over_a_reload() {
    let (base, connections) = silent().await;
    let (store, prober) = store(&logins(&base, 10));
    let limit =
        RateLimitStatus { bucket: "app", budget: Budget::App, used: None, reset: Some(Reset::After(3)) };
    let now = Timestamp::now();
    for login in 0..10 {
        let applied = store.apply(login, &limited(now, &[limit])).expect("a credential");
        assert_eq!(applied.app_paused, Some(now.plus(3)), "once for all ten");
    }
    let scheduled = Scheduled::start(prober, store, &(0..10).collect::<Vec<_>>());
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(connections.load(Ordering::Relaxed), 0, "the new scheduler waits, too");
    while connections.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(connections.load(Ordering::Relaxed), 1, "one shows whether it is over");
    scheduled.stop.send_replace(true);
}

/// A network that answers 429 and says neither when to come back nor whose limit it is.
#[test]
fn refusals_without_a_word_of_the_app_pause_their_logins_alone() {
    let (store, _) = store(&logins("http://127.0.0.1:1", 10));
    let now = Timestamp::now();
    let valid = Outcome {
        findings: vec![token_exporter::network::Finding {
            verdict: token_exporter::network::Verdict::Valid,
            capabilities: vec![],
            scopes: vec![],
        }],
        ..Outcome::undetermined(Cause::Timeout, 1, now)
    };
    store.apply(9, &valid).expect("a credential");
    let before = planned(&store.snapshot(), 9, now);
    assert!(before.is_some_and(|plan| plan.label() == "interval"), "{before:?}");
    let mut waits = Vec::new();
    for probe in 0..40 {
        let applied = store.apply(probe % 9, &limited(now, &[])).expect("a credential");
        assert_eq!((applied.app_paused, applied.limited), (None, true), "one probe at a time, no pause");
        if probe % 9 == 0 {
            let plan = planned(&store.snapshot(), 0, now).expect("a plan");
            assert_eq!(plan.label(), "retry");
            waits.push(plan.at.since(now) as f64 / f64::from(60 << waits.len()));
        }
    }
    assert!(waits.len() == 5 && waits.iter().all(|wait| (0.7..=1.3).contains(wait)), "{waits:?}");
    assert_eq!(planned(&store.snapshot(), 9, now), before, "a login that works is probed as usual");
    let applied = store.apply(9, &valid).expect("a credential");
    assert!(!applied.limited && store.snapshot().accounts.get(9).and_then(|a| a.verdict) == Some(Reason::Ok));
}
