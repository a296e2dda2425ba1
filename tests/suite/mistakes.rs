//! Mistakes of files, clocks and single answers: they are no loss. And what a lost or limited login
//! means for the next probes.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use token_exporter::model::{Cause, Reason, Timestamp};
use token_exporter::network::{Certainty, NetworkId, Verdict};
use token_exporter::probe::{Earlier, Prober};
use token_exporter::scheduler::planned;
use token_exporter::simulator::{DEMO_ID, fixture_token};
use token_exporter::source::{TokenHash, read_tokens};
use token_exporter::state::{NextProbe, Outcome, Store};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::exposition::inventory;
use crate::probing::{client, simulator};
use crate::scheduling::Scheduled;

const DAY: i64 = 86_400;

fn network(name: &str) -> NetworkId {
    NetworkId::from_name(name).expect("a network")
}

/// A Mastodon server that gives the same answer to every request. Returns its address, and the answer:
/// status, headers, body.
pub(crate) async fn instance() -> (String, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let answer: Arc<Mutex<String>> = Arc::default();
    let given = answer.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = given.lock().expect("no panic").clone();
            let mut request = [0; 8192];
            // The client may have gone.
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (address, answer)
}

const REFUSED: &str = r#"{"error": "The access token was revoked"}"#;
pub(crate) const ACCEPTED: &str =
    r#"{"id": "1", "username": "acme", "acct": "acme", "source": {"privacy": "public"}}"#;

/// An HTTP answer whose date is this many seconds away from now.
pub(crate) fn answer(status: u16, date: i64, headers: &str, body: &str) -> String {
    let date = Timestamp::now().plus(date).utc().format("%a, %d %b %Y %H:%M:%S GMT");
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Any\r\ndate: {date}\r\n{headers}content-type: application/json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_explains_a_refusal_but_never_an_acceptance() {
    let (base, given) = instance().await;
    let yaml = format!("accounts: [{{id: a, network: mastodon, token: sim-a, base_url: \"{base}\"}}]\n");
    let prober = Prober::new(client(5_000), inventory(&yaml));
    for (status, date, headers, body, expected) in [
        (401, 0, "", REFUSED, "Invalid"),
        (401, 110, "", REFUSED, "Invalid"),
        (401, -110, "", REFUSED, "Invalid"),
        (401, 130, "", REFUSED, "Undetermined(ClockSkew)"),
        (401, -130, "", REFUSED, "Undetermined(ClockSkew)"),
        (401, -900, "age: 900\r\n", REFUSED, "Invalid"),
        (401, -900, "age: 60\r\n", REFUSED, "Undetermined(ClockSkew)"),
        (200, 7200, "", ACCEPTED, "Valid"),
        (503, 7200, "", "{}", "Undetermined(ServerError)"),
    ] {
        *given.lock().expect("no panic") = answer(status, date, headers, body);
        let outcome = prober.probe(&[0]).await.pop().expect("an outcome").1;
        let verdict = format!("{:?}", outcome.findings[0].verdict);
        assert!(verdict.starts_with(expected), "{status} {date} {headers}: {verdict}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_after_pauses_the_login_that_it_was_said_to() {
    let (base, given) = instance().await;
    *given.lock().expect("no panic") = answer(429, 0, "retry-after: 7000\r\n", "{}");
    let yaml = format!(
        "apps: [{{id: app, network: pinterest, client_id: key, base_url: \"{base}\"}}]\naccounts:\n  - {{id: \
         a, network: pinterest, token: sim-a}}\n  - {{id: b, network: pinterest, token: sim-b}}\n"
    );
    let inventory = inventory(&yaml);
    let store = Store::default();
    store.replace_inventory(inventory.clone());
    let prober = Prober::new(client(5_000), inventory);
    let outcome = prober.probe(&[0]).await.pop().expect("an outcome").1;
    assert_eq!(outcome.cause(), Some(Cause::RateLimited));
    let applied = store.apply(0, &outcome).expect("a credential");
    assert_eq!(applied.app_paused, None, "the app goes on");
    assert!(applied.paused.is_some_and(|until| (6990..=7000).contains(&until.since(outcome.at))));
    let plan = planned(&store.snapshot(), 0, Timestamp::now()).expect("a plan");
    assert_eq!((Some(plan.at), plan.label()), (applied.paused, "pause"));
    assert_eq!(planned(&store.snapshot(), 1, Timestamp::now()), None, "the other was not probed yet");
}

#[test]
fn an_app_pauses_for_an_hour_at_most() {
    use token_exporter::network::{Budget, RateLimitStatus, Reset};

    let accounts: String =
        (0..4).map(|i| format!("  - {{id: a-{i}, network: pinterest, token: sim-{i}}}\n")).collect();
    let yaml = format!("apps: [{{id: app, network: pinterest, client_id: key}}]\naccounts:\n{accounts}");
    let store = Store::default();
    store.replace_inventory(inventory(&yaml));
    let now = Timestamp::now();
    let limited = |budget, used, hours: u32| {
        let reset = Some(Reset::After(hours * 3600));
        let mut outcome = Outcome::undetermined(Cause::RateLimited, 1, now);
        outcome.limits = vec![RateLimitStatus { bucket: "requests", budget, used, reset }];
        outcome
    };
    let app = |outcome: &Outcome| store.apply(0, outcome).and_then(|applied| applied.app_paused);
    assert_eq!(app(&limited(Budget::Grant, None, 5)), None);
    assert_eq!(app(&limited(Budget::App, Some(0.2), 5)), None, "that is not the limit that was exceeded");
    assert_eq!(app(&limited(Budget::App, Some(1.0), 5)), Some(now.plus(3600)));
}

/// Where the same token can work again, it is probed as usual; where only a new one helps, its source
/// is read as often.
#[test]
fn lost_logins_are_probed_again() {
    let only_a_new_one = [
        Reason::TokenExpired,
        Reason::TokenInvalid,
        Reason::PasswordChanged,
        Reason::AccessRevoked,
        Reason::ReauthRequired,
        Reason::WrongTokenType,
        Reason::WrongAccount,
    ];
    let inventory = inventory("accounts: [{id: a, network: mastodon, token: sim-a}]\n");
    for reason in Reason::ALL.iter().copied().filter(|r| *r != Reason::Ok) {
        let store = Store::default();
        store.replace_inventory(inventory.clone());
        let now = Timestamp::now();
        let at = now.plus(-30);
        let mut outcome = Outcome::undetermined(Cause::Timeout, 1, at);
        outcome.findings[0].verdict = Verdict::Invalid(reason, Certainty::Plain);
        let next = store.apply(0, &outcome).map(|applied| applied.next);
        let plan = planned(&store.snapshot(), 0, now).expect("a plan");
        let interval = 3600 + 360;
        if only_a_new_one.contains(&reason) {
            assert_eq!((next, plan.label()), (Some(NextProbe::NewToken), "old_token"), "{reason}");
            assert!((DAY - 5400..=DAY + 5400).contains(&plan.at.since(at)), "{reason}: {plan:?}");
            let read = plan.token_read.map(|read| read.since(now));
            assert!(read.is_some_and(|wait| wait <= interval), "{reason}: {plan:?}");
        } else {
            assert_eq!((next, plan.label()), (Some(NextProbe::Regular), "interval"), "{reason}");
            assert!(plan.at.since(at) <= interval && plan.token_read.is_none(), "{reason}: {plan:?}");
        }
    }
}

fn verdict(snapshot: &token_exporter::state::Snapshot, account: usize) -> Option<Reason> {
    snapshot.accounts.get(account).and_then(|a| a.verdict)
}

/// The daemon watches files, too; a scheduler reads every source by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_token_of_a_login_that_was_lost_for_a_month_is_probed_within_an_interval() {
    let (simulator, address) = simulator().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    let token = |case: &str| fixture_token(network("facebook"), case, DEMO_ID);
    for source in
        [format!("token_file: {}", path.display()), format!("token_command: [cat, {}]", path.display())]
    {
        std::fs::write(&path, token("password-changed")).expect("written");
        let inventory = inventory(&format!(
            "global: {{probe_interval: 1s}}\napps: [{{id: app, network: facebook, client_id: \"1234567890\", \
             client_secret: sim-s, base_url: \"http://{address}/facebook\"}}]\naccounts: [{{id: a, network: \
             facebook, {source}, external_id: \"{DEMO_ID}\"}}]\n"
        ));
        let store = Arc::new(Store::default());
        store.replace_inventory(inventory.clone());
        let prober = Prober::new(client(5_000), inventory);
        let lost = prober.probe(&[0]).await.pop().expect("an outcome").1;
        for day in (0..30).rev() {
            store.apply(0, &Outcome { at: Timestamp::now().plus(-day * DAY), ..lost.clone() });
        }
        assert_eq!(verdict(&store.snapshot(), 0), Some(Reason::PasswordChanged));
        let asked = simulator.exchanges();
        let scheduled = Scheduled::start(prober, store, &[]);
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(simulator.exchanges(), asked, "the old token is probed once a day");
        std::fs::write(&path, token("valid")).expect("written");
        let written = std::time::Instant::now();
        scheduled.until("it works", |snapshot| verdict(snapshot, 0) == Some(Reason::Ok)).await;
        assert!(written.elapsed() < Duration::from_secs(4), "{:?}", written.elapsed());
        scheduled.stop.send_replace(true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_a_credential_gains_is_probed_at_once() {
    let (_simulator, address) = simulator().await;
    let yaml = |pages: usize| {
        let token = fixture_token(network("facebook"), "many-pages", DEMO_ID);
        let pages = (0..pages).map(|i| {
            format!(
                "  - {{id: page-{i}, network: facebook, credential: jane, external_id: \"{}\"}}\n",
                1_000_001 + i
            )
        });
        format!(
            "apps: [{{id: app, network: facebook, client_id: \"1234567890\", client_secret: sim-s, base_url: \
             \"http://{address}/facebook\"}}]\ncredentials: [{{id: jane, network: facebook, token: \
             \"{token}\"}}]\naccounts:\n{}",
            pages.collect::<String>()
        )
    };
    let store = Arc::new(Store::default());
    let before = inventory(&yaml(2));
    store.replace_inventory(before.clone());
    let outcome = Prober::new(client(5_000), before.clone()).probe(&[0]).await.pop().expect("an outcome").1;
    store.apply(0, &outcome);
    assert!(store.replace_inventory(before).is_empty(), "nothing has changed");
    let after = inventory(&yaml(3));
    // The usual probe is an hour away, with a reload as after a restart with another configuration.
    for is_restart in [false, true] {
        let store = Arc::new(Store::default());
        store.replace_inventory(inventory(&yaml(2)));
        store.apply(0, &outcome);
        let changed = store.replace_inventory(after.clone());
        assert_eq!(changed, vec![0]);
        let changed = if is_restart { Vec::new() } else { changed };
        let scheduled = Scheduled::start(Prober::new(client(5_000), after.clone()), store, &changed);
        scheduled.until("it is known", |snapshot| verdict(snapshot, 2) == Some(Reason::Ok)).await;
        scheduled.stop.send_replace(true);
    }
}

/// Sets when a file was written.
fn written(path: &Path, ago: u64) {
    let file = std::fs::File::options().write(true).open(path).expect("a file");
    file.set_modified(SystemTime::now() - Duration::from_secs(ago)).expect("set");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_of_a_pair_is_no_refused_login() {
    let (_simulator, address) = simulator().await;
    let folder = tempfile::tempdir().expect("a folder");
    let [token, secret] = ["token", "secret"].map(|name| folder.path().join(name));
    let inventory = inventory(&format!(
        "apps: [{{id: app, network: x, client_id: key, client_secret: sim-s, base_url: \
         \"http://{address}/x\"}}]\naccounts: [{{id: a, network: x, token_file: {}, token_secret_file: {}, \
         external_id: \"{DEMO_ID}\"}}]\n",
        token.display(),
        secret.display()
    ));
    let put = |path: &Path, text: &str, ago: u64| {
        std::fs::write(path, text).expect("written");
        written(path, ago);
    };
    let [good, bad] = ["valid", "revoked-oauth1"].map(|case| fixture_token(network("x"), case, DEMO_ID));
    put(&token, &good, 5000);
    put(&secret, "sim-secret", 5000);
    let pair = read_tokens(inventory.credential(0).expect("a credential")).await.expect("a pair").tokens;
    let now = Timestamp::now();
    let known = Earlier {
        token: Some(TokenHash::of(&pair)),
        probed: Some(now.plus(-1000)),
        worked: Some(now.plus(-1000)),
        only_if_changed: false,
    };
    // After a restart only the times of the files tell.
    let restarted = Earlier { token: None, ..known };
    let lost = Earlier { worked: None, ..known };
    let prober = Prober::new(client(5_000), inventory);
    let probe = async |earlier| {
        let outcome = prober.probe_again(&[(0, earlier)]).await.pop().expect("an outcome").1;
        outcome.findings[0].verdict
    };
    assert_eq!(probe(known).await, Verdict::Valid);
    let half = Verdict::Undetermined(Cause::CredentialUnreadable);
    let refused = |verdict| matches!(verdict, Verdict::Invalid(..));

    put(&token, &bad, 60);
    assert_eq!((probe(known).await, probe(restarted).await), (half, half), "the secret is the old one");
    assert!(refused(probe(lost).await), "it did not work before either");
    put(&token, &bad, 700);
    assert!(refused(probe(known).await) && refused(probe(restarted).await), "ten minutes are enough");
    put(&token, &bad, 60);
    put(&secret, "sim-new-secret", 30);
    assert!(refused(probe(known).await) && refused(probe(restarted).await), "both are new");
    put(&token, &good, 5000);
    assert_eq!(probe(known).await, Verdict::Valid, "a pair that is accepted is complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_cut_is_unreadable() {
    let (_simulator, address) = simulator().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    let yaml = format!(
        "accounts: [{{id: a, network: mastodon, token_file: {}, base_url: \"http://{address}/mastodon\"}}]\n",
        path.display()
    );
    let prober = Prober::new(client(5_000), inventory(&yaml));
    for text in [
        "",
        "\n",
        "\0\0\0\0\0\0\0\0",
        "{",
        "{\"access_token\": \"sim-a",
        "{\"access_token\": \"\"}",
        "{\"access_token\": null}",
        "{\"refresh_token\": \"sim-r\"}",
        "[{\"access_token\":\"sim-a\"}]",
        "\"sim-a",
        "sim-a\",\"expires_in\":60}",
    ] {
        std::fs::write(&path, text).expect("written");
        let outcome = prober.probe(&[0]).await.pop().expect("an outcome").1;
        assert_eq!(outcome.cause(), Some(Cause::CredentialUnreadable), "{text:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_refresh_token_and_a_far_expiry_are_no_clocks() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    let inventory =
        inventory(&format!("accounts: [{{id: a, network: mastodon, token_file: {}}}]\n", path.display()));
    let soon = Timestamp::now().plus(5 * DAY).unix();
    for (text, access, refresh, warnings) in [
        (
            format!("\"expires_at\": {soon}, \"refresh_token\": \"sim-r\", \"refresh_expires_at\": {soon}"),
            true,
            true,
            0,
        ),
        (
            format!("\"expires_at\": {soon}, \"refresh_token\": \"\", \"refresh_expires_at\": {soon}"),
            true,
            false,
            1,
        ),
        (format!("\"expires_at\": {soon}, \"refresh_expires_at\": {soon}"), true, true, 0),
        ("\"expires_at\": \"9999-12-31T00:00:00Z\"".to_owned(), false, false, 1),
        ("\"expires_in\": 3000000000, \"refresh_token\": \"\"".to_owned(), false, false, 2),
    ] {
        std::fs::write(&path, format!("{{\"access_token\": \"sim-a\", {text}}}")).expect("written");
        let set = read_tokens(inventory.credential(0).expect("a credential")).await.expect("tokens");
        let clocks = [set.clocks.access, set.clocks.refresh].map(|clock| clock.at().is_some());
        assert_eq!((clocks, set.warnings.len()), ([access, refresh], warnings), "{text}: {:?}", set.warnings);
    }
}
