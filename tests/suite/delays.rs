//! The delays between probes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use token_exporter::inventory::Inventory;
use token_exporter::model::{Cause, Expiry, Timestamp, stable_hash};
use token_exporter::network::{Clocks, Finding, Verdict};
use token_exporter::scheduler::delay_after;
use token_exporter::state::{CONFIRM_AFTER, CONFIRM_WITHIN, NextProbe, Outcome, Store};

use crate::exposition::inventory;

const HOUR: Duration = Duration::from_secs(3600);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(1_800_000_000 + seconds).unwrap_or_else(Timestamp::now)
}

/// Logins that are probed once an interval: `credential-0`, `credential-1`…
fn logins(count: usize, interval: &str, more: &str) -> Arc<Inventory> {
    let accounts = (0..count).map(|i| {
        format!("  - {{id: credential-{i}, network: mastodon, token: sim-{i}, probe_interval: {interval}{more}}}\n")
    });
    inventory(&format!("accounts:\n{}", accounts.collect::<String>()))
}

fn delay(logins: &Inventory, next: NextProbe, clocks: Clocks, last: Timestamp) -> Duration {
    delay_after(next, logins.credential(0).expect("a login"), clocks, last, last)
}

#[test]
fn probes_are_spread_over_the_interval_and_keep_their_place() {
    let mut minutes = [0_u32; 60];
    for login in logins(6000, "1h", "").credentials() {
        let wait = delay_after(NextProbe::Regular, login, Clocks::default(), at(0), at(0));
        assert!(wait >= HOUR / 10 && wait <= HOUR * 11 / 10, "{wait:?}");
        let due = at(i64::try_from(wait.as_secs()).unwrap_or(0));
        minutes[usize::try_from(due.unix() % 3600 / 60).unwrap_or(0)] += 1;
        // From its place on, it comes once an interval.
        let again = delay_after(NextProbe::Regular, login, Clocks::default(), due, due);
        assert!(again.abs_diff(HOUR) <= Duration::from_secs(2), "{again:?}");
    }
    let busiest = minutes.iter().max().copied().unwrap_or(0);
    assert!(busiest < 6000 / 60 * 3, "{minutes:?}");
}

#[test]
fn an_expiry_is_looked_at_when_it_comes() {
    let delay = |more: &str, clocks, last| delay(&logins(1, "1h", more), NextProbe::Regular, clocks, last);
    let access = Clocks { access: Expiry::At(at(100)), ..Clocks::default() };
    let data_access = Clocks { data_access: Expiry::At(at(100)), ..Clocks::default() };
    assert_eq!(delay("", access, at(0)), Duration::from_secs(102));
    assert!(delay("", access, at(200)) >= HOUR / 10, "once it has passed, it does not hurry any more");
    let refreshed = ", auto_refresh: true";
    let usual = delay(refreshed, Clocks::default(), at(0));
    assert_eq!(delay(refreshed, access, at(0)), usual, "the token is replaced in time");
    assert!(usual > Duration::from_secs(102));
    assert_eq!(delay(refreshed, data_access, at(0)), Duration::from_secs(102), "no refresh moves this end");
}

#[test]
fn trouble_is_retried_ever_more_rarely_up_to_the_interval() {
    let (hourly, often) = (logins(1, "1h", ""), logins(1, "1s", ""));
    let failed =
        |times, logins| delay(logins, NextProbe::Failed(times), Clocks::default(), at(0)).as_secs_f64();
    assert!((45.0..=75.0).contains(&failed(1, &hourly)));
    assert!((90.0..=150.0).contains(&failed(2, &hourly)));
    assert!((2700.0..=4500.0).contains(&failed(255, &hourly)));
    assert!(failed(9, &often) <= 1.25);
}

#[test]
fn a_refusal_is_confirmed_within_the_minute() {
    let logins = logins(1, "1h", "");
    for second in 0..1000 {
        let wait = delay(&logins, NextProbe::Confirm, Clocks::default(), at(second)).as_secs_f64();
        assert!(wait > CONFIRM_AFTER as f64 && wait < CONFIRM_WITHIN as f64, "{wait}");
    }
}

#[test]
fn a_token_that_must_be_replaced_is_read_once_an_interval() {
    let logins = logins(1, "1h", "");
    for seconds in 0..4000 {
        let read = delay(&logins, NextProbe::NewToken, Clocks::default(), at(seconds));
        assert!(read >= Duration::from_secs(1) && read <= HOUR + Duration::from_secs(1), "{read:?}");
        let due = at(seconds + i64::try_from(read.as_secs()).unwrap_or(0));
        let again = delay(&logins, NextProbe::NewToken, Clocks::default(), due);
        assert!(
            again.abs_diff(HOUR) <= Duration::from_secs(2) || again <= Duration::from_secs(2),
            "{again:?}"
        );
    }
}

/// Hundreds of credentials, a day in which every probe fails, and what comes after: simulated,
/// in no time.
#[test]
fn a_day_without_networks_changes_nothing_and_ends_gently() -> anyhow::Result<()> {
    const COUNT: usize = 600;
    let accounts = (0..COUNT).map(|i| {
        format!("  - {{id: a-0-{i}, network: mastodon, token: sim-{i}, base_url: \"http://127.0.0.1:1\"}}\n")
    });
    let inventory = inventory(&format!("accounts:\n{}", accounts.collect::<String>()));
    let store = Store::default();
    store.replace_inventory(inventory.clone());
    let (outage, back, end) = (7_200, 7_200 + 86_400, 7_200 + 86_400 + 3 * 3600);
    let mut heap: BinaryHeap<Reverse<(i64, usize)>> = inventory
        .credentials()
        .enumerate()
        .map(|(i, c)| {
            let fraction = (stable_hash(c.id()) >> 11) as f64 / (1_u64 << 53) as f64;
            Reverse(((3600.0 * fraction) as i64, i))
        })
        .collect();
    let mut minutes = vec![0_usize; usize::try_from(end / 60 + 1)?];
    let mut recovered = 0;
    while let Some(Reverse((second, credential))) = heap.pop().filter(|Reverse((second, _))| *second < end) {
        minutes[usize::try_from(second / 60)?] += 1;
        let well = !(outage..back).contains(&second);
        let finding = Finding { verdict: Verdict::Valid, capabilities: vec![], scopes: vec![] };
        let outcome = if well {
            Outcome {
                at: at(second),
                findings: vec![finding],
                clocks: Some(Clocks::default()),
                limits: vec![],
                version_ended: false,
                token: None,
                names: Default::default(),
                observations: Vec::new(),
            }
        } else {
            Outcome::undetermined(Cause::Timeout, 1, at(second))
        };
        let before = store.snapshot().accounts.get(credential).cloned().unwrap_or_default();
        let Some(applied) = store.apply(credential, &outcome) else { continue };
        let after = store.snapshot().accounts.get(credential).cloned().unwrap_or_default();
        if second >= outage {
            assert_eq!((after.verdict, after.since), (before.verdict, before.since));
            assert!(well || after.last_conclusive < Some(at(outage)), "its age shows");
        }
        recovered += usize::from(second >= back && before.last_conclusive < Some(at(outage)));
        let Some(watched) = inventory.credential(credential) else { continue };
        let wait = delay_after(applied.next, watched, applied.clocks, at(second), at(second));
        heap.push(Reverse((second + i64::try_from(wait.as_secs())?.max(1), credential)));
    }
    assert_eq!(recovered, COUNT, "all come back");
    let range = |from: i64, to: i64| {
        &minutes[usize::try_from(from / 60).unwrap_or(0)..usize::try_from(to / 60).unwrap_or(0)]
    };
    let busiest = |minutes: &[usize]| minutes.iter().max().copied().unwrap_or(0);
    // Ten a minute is the usual. Each credential is tried again after a minute, two, four… up to its
    // interval.
    assert!(busiest(range(outage, back)) <= 80, "bounded when it begins: {:?}", range(outage, back));
    assert!(busiest(range(outage + 7200, back)) <= 30, "and while it lasts: {:?}", range(outage, back));
    assert!(busiest(range(back, end)) <= 30, "and no crowd when it is over: {:?}", range(back, end));
    assert!(range(back, back + 5400).iter().sum::<usize>() >= COUNT, "all within an interval and its jitter");
    Ok(())
}
