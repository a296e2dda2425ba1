//! Decides which credential is probed when, and hands outcomes to the store.
//!
//! One task owns the schedule. A credential waits in the timetable until it is due, and then in the
//! lane of its app. Lanes take turns, so that an app that is slow, limited or paused does not hold up
//! the others. Everything that a scheduler needs to start is in the store: a reload ends one
//! scheduler and starts the next.
//!
//! Must not know what answers mean, or how state is stored and exposed.

mod delay;
mod lane;
mod plan;
mod probe_everything;
mod probe_log;
mod start;
#[cfg(test)]
mod tests;
mod timetable;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{Id, JoinSet};

use self::lane::{Lane, Slot};
use self::probe_log::ProbeLog;
use self::timetable::Timetable;
use crate::inventory::CredentialView;
use crate::log_at;
use crate::model::{Cause, Timestamp};
use crate::network::Clocks;
use crate::probe::{Earlier, Prober};
use crate::state::{LONGEST_PAUSE, NextProbe, Outcome, Store};
use crate::telemetry::{Heartbeat, Metrics, prober_level};

pub use self::delay::delay_after;
use self::delay::old_token_due;
pub use self::plan::{Plan, planned};
pub use self::probe_everything::{ProbeResults, probe_everything};
pub use self::probe_log::log_verdict;

/// How many other credentials of an app are probed when a valid one is refused.
const WITNESSES: usize = 4;

/// Minimum time in seconds between two probes of a credential of which something was heard.
const DUE_INTERVAL: i64 = 10;

/// Asks for a probe at once. Credentials are indexes of the scheduler's inventory.
#[derive(Debug)]
pub enum ProbeRequest {
    /// A client waits for a result that is newer than the last probe it has seen. The reply is the
    /// version of the first snapshot that holds the result.
    NewerThan {
        seen: Option<Timestamp>,
        credential: usize,
        reply: oneshot::Sender<u64>,
    },
    SourceChanged(usize),
    /// Something was heard that a probe can check. It is probed at once, or [`DUE_INTERVAL`] after its last
    /// probe.
    Due(usize),
}

#[derive(Clone, Copy, Debug)]
pub struct SchedulerSettings {
    pub concurrency: usize,
    /// Whether credentials are probed only on request. Failed probes and refusals to confirm are
    /// followed up nevertheless.
    pub on_demand: bool,
}

impl SchedulerSettings {
    /// Whether a next probe is made without a request.
    fn plans(self, next: NextProbe) -> bool {
        !self.on_demand || matches!(next, NextProbe::Confirm | NextProbe::Failed(_))
    }
}

#[derive(Debug, Default)]
struct RunningProbe {
    lane: usize,
    credentials: Vec<usize>,
}

pub struct Scheduler {
    prober: Arc<Prober>,
    store: Arc<Store>,
    metrics: Metrics,
    settings: SchedulerSettings,
    slots: Vec<Slot>,
    timetable: Timetable,
    lanes: Vec<Lane>,
    next_lane: usize,
    /// Clients that wait for the next outcome of a credential.
    waiters: HashMap<usize, Vec<oneshot::Sender<u64>>>,
    /// Credentials of which something was heard, and since when they wait for a verdict.
    due: HashMap<usize, Instant>,
    /// Return the outcomes of a probe by credential, and how long it took.
    tasks: JoinSet<(Vec<(usize, Outcome)>, Duration)>,
    running: HashMap<Id, RunningProbe>,
    log: ProbeLog,
}

impl Scheduler {
    /// A scheduler for the prober's inventory. Plans each credential by what the store knows about
    /// it; those in `changed` are due at once.
    pub fn new(
        prober: Arc<Prober>,
        store: Arc<Store>,
        metrics: Metrics,
        settings: SchedulerSettings,
        changed: &[usize],
    ) -> Self {
        let (slots, lanes) = lane::assign(&prober);
        let mut scheduler = Self {
            prober,
            store,
            metrics,
            settings,
            timetable: Timetable::new(slots.len()),
            slots,
            lanes,
            next_lane: 0,
            waiters: HashMap::new(),
            due: HashMap::new(),
            tasks: JoinSet::new(),
            running: HashMap::new(),
            log: ProbeLog::new(),
        };
        scheduler.plan_all();
        for &credential in changed {
            scheduler.enqueue_first(credential);
        }
        scheduler
    }

    /// Runs until `stop` changes or its sender is dropped. Running probes are then aborted, and change
    /// nothing.
    pub async fn run(
        mut self,
        mut requests: mpsc::Receiver<ProbeRequest>,
        mut stop: watch::Receiver<bool>,
        mut heartbeat: Heartbeat,
    ) {
        loop {
            let now = Instant::now();
            while let Some(credential) = self.timetable.pop(&mut self.slots, now) {
                if let Some((slot, lane)) = self.slot_and_lane(credential) {
                    lane.push(slot, credential);
                }
            }
            self.start_probes();
            self.log.count_at(now);
            let wake = self.next_wake();
            tokio::select! {
                _ = stop.changed() => break,
                () = heartbeat.answer() => {}
                Some(request) = requests.recv() => self.accept(request),
                Some(result) = self.tasks.join_next_with_id() => match result {
                    Ok((id, (outcomes, took))) => {
                        for credential in self.ended(id) {
                            if let Some(slot) = self.slots.get_mut(credential) {
                                slot.alone = false;
                            }
                            if outcomes.iter().all(|(probed, _)| *probed != credential) {
                                self.unchanged(credential);
                            }
                        }
                        self.apply(outcomes, took);
                    }
                    Err(error) => self.panicked(error.id()),
                },
                () = tokio::time::sleep_until(wake.into()) => {}
            }
        }
        self.tasks.shutdown().await;
        self.log.count();
    }

    fn slot_and_lane(&mut self, credential: usize) -> Option<(&mut Slot, &mut Lane)> {
        let slot = self.slots.get_mut(credential)?;
        let lane = self.lanes.get_mut(slot.lane as usize)?;
        Some((slot, lane))
    }

    fn enqueue_first(&mut self, credential: usize) {
        if let Some((slot, lane)) = self.slot_and_lane(credential) {
            lane.push_first(slot, credential);
        }
    }

    fn accept(&mut self, request: ProbeRequest) {
        let credential = match request {
            ProbeRequest::SourceChanged(credential) => credential,
            ProbeRequest::Due(credential) => return self.heard_of(credential),
            ProbeRequest::NewerThan { seen, credential, reply } => {
                let snapshot = self.store.snapshot();
                if snapshot.credentials.get(credential).is_some_and(|state| state.last_probe > seen) {
                    // A probe has just ended, and readers do not see its outcome yet. Fails if the client
                    // is gone.
                    let _ = reply.send(snapshot.version);
                    return;
                }
                let Some(slot) = self.slots.get(credential) else { return };
                let waiters = self.waiters.entry(credential).or_default();
                waiters.retain(|waiter| !waiter.is_closed());
                waiters.push(reply);
                // A probe that is running or was requested serves this client too.
                if slot.requested && slot.is_ready() {
                    return;
                }
                credential
            }
        };
        self.enqueue_first(credential);
    }

    /// Makes a probe due, unless one waits already. One that is running may have asked too early: another
    /// one follows it.
    fn heard_of(&mut self, credential: usize) {
        let snapshot = self.store.snapshot();
        let Some(state) = snapshot.credentials.get(credential) else { return };
        let Some(slot) = self.slots.get(credential).copied() else { return };
        let (now, instant) = (Timestamp::now(), Instant::now());
        self.due.entry(credential).or_insert(instant);
        // What is paused is planned for the end of its pause.
        if slot.probing || slot.requested && slot.is_ready() || state.paused > Some(now) {
            return;
        }
        let wait = state.last_probe.map_or(0, |last| DUE_INTERVAL - now.since(last));
        match u64::try_from(wait) {
            Ok(wait @ 1..) => {
                let at = instant + Duration::from_secs(wait);
                if !slot.is_ready() && self.timetable.planned(slot).is_none_or(|planned| planned > at) {
                    self.timetable.plan(&mut self.slots, credential, at);
                }
                if let Some(slot) = self.slots.get_mut(credential) {
                    slot.requested = true;
                }
            }
            _ => self.enqueue_first(credential),
        }
    }

    fn start_probes(&mut self) {
        let now = Instant::now();
        let count = self.lanes.len();
        let mut blocked = vec![false; count];
        while self.tasks.len() < self.settings.concurrency {
            let ready =
                |lane: &usize| !blocked[*lane] && self.lanes.get(*lane).is_some_and(|l| !l.ready.is_empty());
            let in_turn = (0..count).map(|i| (self.next_lane + i) % count).filter(ready);
            // The lane with the fewest running probes, so that a slow network leaves room for others.
            let fewest = in_turn.min_by_key(|lane| self.lanes.get(*lane).map(|l| l.running));
            let Some(lane) = fewest else { break };
            self.next_lane = lane + 1;
            blocked[lane] = !self.start_probe(lane, now);
        }
    }

    /// Starts a probe of the first credentials in a lane. Returns false if that is not possible now.
    fn start_probe(&mut self, index: usize, now: Instant) -> bool {
        let Some(lane) = self.lanes.get_mut(index) else { return false };
        if !lane.may_start(now) || self.prober.limiter(lane.app).is_some_and(|l| !l.wait().is_zero()) {
            return false;
        }
        let credentials = lane.take_batch(&mut self.slots);
        if credentials.is_empty() {
            return false;
        }
        lane.running += 1;
        let batch: Vec<_> =
            credentials.iter().map(|credential| (*credential, self.earlier(*credential))).collect();
        let prober = self.prober.clone();
        let handle = self.tasks.spawn(async move {
            let start = Instant::now();
            let outcomes = prober.probe_again(&batch).await;
            (outcomes, start.elapsed())
        });
        self.running.insert(handle.id(), RunningProbe { lane: index, credentials });
        true
    }

    /// What is known of a credential of which a probe starts. It need not be probed if only a new token
    /// helps and its token is the old one, unless that was last probed a day ago.
    fn earlier(&mut self, credential: usize) -> Earlier {
        let snapshot = self.store.snapshot();
        let requested =
            self.slots.get_mut(credential).is_some_and(|slot| std::mem::take(&mut slot.requested));
        let Some(state) = snapshot.credentials.get(credential) else { return Earlier::default() };
        let interval =
            self.prober.inventory().credential(credential).map(|c| c.interval()).unwrap_or_default();
        let waits = snapshot.next_probe(credential) == Some(NextProbe::NewToken);
        let is_time = |last| Timestamp::now() >= old_token_due(last, interval);
        Earlier {
            token: state.token,
            probed: state.last_probe,
            worked: snapshot.last_worked(credential),
            only_if_changed: waits && !requested && !state.last_probe.is_some_and(is_time),
        }
    }

    /// The token of a credential was read and is the old one: plans the next look at it.
    fn unchanged(&mut self, credential: usize) {
        if self.waiters.contains_key(&credential) {
            // A client wants a probe in any case.
            self.enqueue_first(credential);
            return;
        }
        let Some(watched) = self.prober.inventory().credential(credential) else { return };
        let (next, clocks) = (NextProbe::NewToken, Clocks::default());
        let now = Timestamp::now();
        let delay = delay_after(next, watched, clocks, now, now);
        if self.settings.plans(next) && self.slots.get(credential).is_some_and(|slot| !slot.is_ready()) {
            self.timetable.plan(&mut self.slots, credential, Instant::now() + delay);
        }
    }

    /// Notes that a probe has ended, and returns its credentials.
    fn ended(&mut self, id: Id) -> Vec<usize> {
        let probe = self.running.remove(&id).unwrap_or_default();
        if let Some(lane) = self.lanes.get_mut(probe.lane) {
            lane.running = lane.running.saturating_sub(1);
        }
        for credential in &probe.credentials {
            if let Some(slot) = self.slots.get_mut(*credential) {
                slot.probing = false;
            }
        }
        probe.credentials
    }

    /// When there is something to do, unless a request arrives or a probe ends before.
    fn next_wake(&self) -> Instant {
        let now = Instant::now();
        let is_full = self.tasks.len() >= self.settings.concurrency;
        let lanes = self.lanes.iter().filter(|lane| !is_full && !lane.ready.is_empty());
        let lanes = lanes.filter_map(|lane| {
            let limited = self.prober.limiter(lane.app).map(|l| l.wait()).filter(|wait| !wait.is_zero());
            lane.paused.max(lane.gather).or_else(|| Some(now + limited?))
        });
        lanes.chain(self.timetable.next()).fold(now + Duration::from_secs(60), Instant::min)
    }

    fn apply(&mut self, outcomes: Vec<(usize, Outcome)>, took: Duration) {
        let inventory = self.prober.inventory().clone();
        for (credential, outcome) in outcomes {
            let Some(watched) = inventory.credential(credential) else { continue };
            let Some(applied) = self.store.apply(credential, &outcome) else { continue };
            self.metrics.probed(watched.network(), took.as_secs_f64(), applied.cause);
            log_at!(
                prober_level(),
                credential = watched.id(),
                network = watched.network().name(),
                cause = applied.cause.map(Cause::label),
                next = ?applied.next,
                seconds = took.as_secs_f64(),
                "probed"
            );
            self.log.probed(&inventory, watched, &outcome, &applied);
            for waiter in self.waiters.remove(&credential).into_iter().flatten() {
                // Fails if the client is gone.
                let _ = waiter.send(applied.version);
            }
            if !matches!(applied.next, NextProbe::Failed(_) | NextProbe::Confirm)
                && let Some(since) = self.due.remove(&credential)
            {
                self.metrics.report_verified(since.elapsed().as_secs_f64());
            }
            let (now, instant) = (Timestamp::now(), Instant::now());
            let delay = delay_after(applied.next, watched, applied.clocks, outcome.at, now);
            let at = (instant + delay).max(instant_of(applied.paused, now, instant).unwrap_or(instant));
            let Some((slot, lane)) = self.slot_and_lane(credential) else { continue };
            lane.paused = lane.paused.max(instant_of(applied.app_paused, now, instant));
            lane.limited = applied.limited || lane.paused.is_some_and(|until| until > instant);
            if !slot.is_ready() && self.settings.plans(applied.next) {
                self.timetable.plan(&mut self.slots, credential, at);
            }
            if applied.suspicious {
                self.probe_witnesses(credential);
            }
        }
    }

    /// Probes other valid credentials of the app, as they tell whether the app is to blame.
    fn probe_witnesses(&mut self, credential: usize) {
        let snapshot = self.store.snapshot();
        let inventory = snapshot.inventory.clone();
        let app = inventory.credential(credential).and_then(|c| c.app());
        let valid = |watched: &CredentialView<'_>| {
            watched.accounts().any(|a| snapshot.accounts.get(a).is_some_and(|s| s.is_valid()))
        };
        let others = inventory.credentials().enumerate();
        let others = others.filter(|(i, c)| *i != credential && c.app() == app && valid(c));
        for (witness, _) in others.take(WITNESSES) {
            self.enqueue_first(witness);
        }
    }

    /// A probe has panicked, by a fault in the code of a network. If it was a probe of several
    /// credentials, each of them is probed again alone.
    fn panicked(&mut self, id: Id) {
        let inventory = self.prober.inventory().clone();
        let credentials = self.ended(id);
        let together = credentials.len() > 1;
        for (place, credential) in credentials.into_iter().enumerate() {
            let Some(watched) = inventory.credential(credential) else { continue };
            if place == 0 {
                tracing::error!(credential = watched.id(), together, "a fault in this program cost a probe");
                self.metrics.panicked(watched.network());
            }
            if together {
                if let Some(slot) = self.slots.get_mut(credential) {
                    slot.alone = true;
                }
                self.enqueue_first(credential);
            } else {
                let (accounts, now) = (watched.accounts().len(), Timestamp::now());
                let outcome = Outcome::undetermined(Cause::UnexpectedAnswer, accounts, now);
                self.apply(vec![(credential, outcome)], Duration::ZERO);
            }
        }
    }
}

/// The instant of a time; none if it has passed. At most [`LONGEST_PAUSE`] from now.
fn instant_of(time: Option<Timestamp>, now: Timestamp, instant: Instant) -> Option<Instant> {
    let wait = u64::try_from(time?.since(now).min(LONGEST_PAUSE)).ok()?;
    Some(instant + Duration::from_secs(wait))
}
