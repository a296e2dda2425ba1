use super::lane::SlotState;
use super::*;
use crate::config;

/// A scheduler for three logins at a server that does not answer.
fn scheduler() -> anyhow::Result<Scheduler> {
    let file = tempfile::NamedTempFile::new()?;
    let account =
        |i| format!("{{id: a-{i}, network: mastodon, token: sim-a, base_url: \"http://127.0.0.1:1\"}}");
    std::fs::write(file.path(), format!("accounts: [{}, {}, {}]", account(0), account(1), account(2)))?;
    let config = config::load(&[file.path().to_owned()]).map_err(|p| anyhow::anyhow!("{p}"))?;
    let inventory = Arc::new(config.inventory(|_| true));
    let store = Arc::new(Store::default());
    store.replace_inventory(inventory.clone());
    let prober = Prober::new(crate::transport::Client::new(Duration::from_secs(1), false)?, inventory);
    let settings = SchedulerSettings { concurrency: 8, on_demand: false };
    Ok(Scheduler::new(Arc::new(prober), store, Metrics::new()?, settings, &[]))
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
    let mut scheduler = scheduler()?;
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
    assert!(
        panics(&scheduler) >= 2.0 && matches!(scheduler.slots[2].state, SlotState::Planned(_)),
        "it is tried again later"
    );
    Ok(())
}

#[tokio::test]
async fn requests_that_were_given_up_take_no_memory() -> anyhow::Result<()> {
    let mut scheduler = scheduler()?;
    let request = || {
        let (reply, result) = oneshot::channel();
        (ProbeRequest::NewerThan { seen: None, credential: 0, reply }, result)
    };
    let (first, _waits) = request();
    scheduler.accept(first);
    for _ in 0..1000 {
        scheduler.accept(request().0);
    }
    let waiters = scheduler.waiters.get(&0).map_or(0, Vec::len);
    let ready: usize = scheduler.lanes.iter().map(|lane| lane.ready.len()).sum();
    assert!((1..=2).contains(&waiters) && ready <= 3, "{waiters} waiters, {ready} places in a lane");
    Ok(())
}
