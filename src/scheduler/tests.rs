use std::fmt::Write as _;

use super::*;
use crate::config;

/// A scheduler for some credentials at each of several instances of Mastodon, none of which
/// answers.
fn scheduler(instances: &[usize], concurrency: usize) -> anyhow::Result<Scheduler> {
    let mut yaml = "accounts:\n".to_owned();
    for (port, count) in instances.iter().enumerate() {
        for i in 0..*count {
            writeln!(
                yaml,
                "  - {{id: a-{port}-{i}, network: mastodon, token: sim-{i}, \
                 base_url: \"http://127.0.0.1:{}\"}}",
                port + 1
            )?;
        }
    }
    built(&yaml, concurrency, &Arc::default())
}

fn built(yaml: &str, concurrency: usize, store: &Arc<Store>) -> anyhow::Result<Scheduler> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), yaml)?;
    let config = config::load(&[file.path().to_owned()]).map_err(|p| anyhow::anyhow!("{p}"))?;
    let inventory = Arc::new(config.inventory(|_| true));
    store.replace_roster(inventory.clone());
    let prober = Prober::new(crate::transport::Client::new(Duration::from_secs(1), false)?, inventory);
    Ok(Scheduler::new(
        Arc::new(prober),
        store.clone(),
        Metrics::new()?,
        SchedulerSettings { concurrency, on_demand: false },
        &[],
    ))
}

fn panics(scheduler: &Scheduler) -> f64 {
    let families = scheduler.metrics.gather();
    let family = families.iter().find(|f| f.name() == "token_exporter_probe_panics_total");
    family.map_or(0.0, |f| f.get_metric().iter().map(|m| m.get_counter().get_value()).sum())
}

/// Lets a probe of these credentials panic.
#[allow(clippy::panic, reason = "it is what is tested")]
async fn explode(scheduler: &mut Scheduler, credentials: &[usize]) {
    let handle = scheduler.tasks.spawn(async { panic!("a network's code") });
    for credential in credentials {
        scheduler.slots[*credential].probing = true;
    }
    scheduler.running.insert(handle.id(), RunningProbe { lane: 0, credentials: credentials.to_vec() });
    if let Some(Err(error)) = scheduler.tasks.join_next_with_id().await {
        scheduler.panicked(error.id());
    }
}

#[tokio::test]
async fn a_panic_costs_one_probe_and_is_counted() -> anyhow::Result<()> {
    let mut scheduler = scheduler(&[3], 8)?;
    explode(&mut scheduler, &[0, 1]).await;
    assert!(
        scheduler.store.snapshot().credentials.iter().all(|c| c.last_probe.is_none()),
        "nothing is said of those that were together"
    );
    let count = |is: fn(&Slot) -> bool| scheduler.slots.iter().filter(|slot| is(slot)).count();
    assert_eq!(
        (panics(&scheduler), count(Slot::is_ready), count(|slot| slot.probing)),
        (1.0, 2, 0),
        "they are probed again"
    );
    scheduler.start_probes();
    assert_eq!(scheduler.tasks.len(), 2, "each alone");
    scheduler.tasks.shutdown().await;

    explode(&mut scheduler, &[2]).await;
    let snapshot = scheduler.store.snapshot();
    assert_eq!(
        snapshot.accounts.get(2).map(|a| (a.verdict, a.trouble)),
        Some((None, Some(Cause::UnexpectedAnswer)))
    );
    assert!(panics(&scheduler) >= 2.0 && scheduler.slots[2].is_planned(), "it is tried again later");
    Ok(())
}

#[tokio::test]
async fn a_probe_that_ended_before_it_was_shown_is_not_made_again() -> anyhow::Result<()> {
    let mut scheduler = scheduler(&[2], 8)?;
    let now = Timestamp::now();
    let applied = scheduler
        .store
        .apply(0, &Outcome::undetermined(Cause::Timeout, 1, now))
        .map(|applied| applied.version);
    let mut request = |credential, seen| {
        let (reply, answer) = oneshot::channel();
        scheduler.accept(ProbeRequest::NewerThan { seen, credential, reply });
        (answer, scheduler.slots[credential].is_ready())
    };
    let (mut answer, queued) = request(0, None);
    assert_eq!((answer.try_recv().ok(), queued), (applied, false), "news for a client that has seen nothing");
    let (mut answer, queued) = request(0, Some(now));
    assert!(answer.try_recv().is_err() && queued, "a client that has seen it wants another");
    assert!(request(1, None).1, "nothing is known of others");
    Ok(())
}

#[tokio::test]
async fn a_network_that_keeps_its_callers_waiting_leaves_places_to_others() -> anyhow::Result<()> {
    let mut scheduler = scheduler(&[50, 50], 8)?;
    for credential in 0..50 {
        scheduler.enqueue(credential);
    }
    scheduler.start_probes();
    assert_eq!(
        scheduler.lanes.iter().map(|l| l.running).collect::<Vec<_>>(),
        [8, 0],
        "no other lane needs them"
    );
    for credential in 50..100 {
        scheduler.enqueue(credential);
    }
    for expected in [[7, 1], [6, 2], [5, 3], [4, 4]] {
        let first = scheduler.running.iter().find(|(_, probe)| probe.lane == 0).map(|(id, _)| *id);
        if let Some(id) = first {
            scheduler.ended(id);
        }
        scheduler.settings.concurrency += 1;
        scheduler.start_probes();
        assert_eq!(scheduler.lanes.iter().map(|l| l.running).collect::<Vec<_>>(), expected);
    }
    Ok(())
}

#[tokio::test]
async fn a_storm_of_refusals_pauses_an_app_once_and_over_a_reload() -> anyhow::Result<()> {
    let yaml = "apps: [{id: app, network: x, client_id: key}]\naccounts:\n".to_owned()
        + &(0..10)
            .map(|i| format!("  - {{id: a-{i}, network: x, token: sim-{i}, external_id: \"{i}\"}}\n"))
            .collect::<String>();
    let store = Arc::default();
    built(&yaml, 8, &store)?;
    // Ten were under way together.
    for credential in 0..10 {
        store.apply(credential, &Outcome::undetermined(Cause::RateLimited, 1, Timestamp::now()));
    }
    let mut scheduler = built(&yaml, 8, &store)?;
    let left =
        scheduler.lanes[0].paused.map(|until| until.saturating_duration_since(Instant::now()).as_secs());
    assert!(
        left.is_some_and(|left| (50..=60).contains(&left)),
        "a minute for all ten, not one for each: {left:?}"
    );
    for credential in 0..10 {
        scheduler.enqueue(credential);
    }
    scheduler.start_probes();
    assert!(scheduler.tasks.is_empty(), "the new scheduler waits, too");
    scheduler.lanes[0].paused = None;
    scheduler.start_probes();
    assert_eq!(scheduler.tasks.len(), 1, "then one shows whether it is over");
    Ok(())
}
