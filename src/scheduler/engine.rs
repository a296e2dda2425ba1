//! The engine: decides which credential is probed when, keeps that bounded, and hands outcomes to
//! the store.
//!
//! One task owns the schedule. Credentials wait in a heap until they are due, then in a lane for
//! their app, and are taken from the lanes in turn: an app that is slow, limited or paused does not
//! hold up the others. Everything it needs to start anew is in the store, so a reload ends one
//! engine and starts the next.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{Id, JoinSet};

use super::timetable::Timetable;
use crate::inventory::{CredentialView, stable_hash};
use crate::model::{Cause, Timestamp};
use crate::network::{Clocks, NetworkId};
use crate::probe::Prober;
use crate::state::{
    Applied, CONFIRM_AFTER, CONFIRM_WITHIN, CredentialState, LONGEST_PAUSE, NextProbe, Outcome, Store,
};
use crate::telemetry::{Heartbeat, Metrics};

/// A wish for a probe at once.
#[derive(Debug)]
pub enum ProbeRequest {
    /// A client waits for a result that is newer than the last probe it has seen. The reply is the
    /// version of the first snapshot that holds the result.
    NewerThan { seen: Option<Timestamp>, credential: usize, reply: oneshot::Sender<u64> },
    /// The token's source changed.
    SourceChanged(usize),
}

/// Credentials of one app, or of one network that needs none.
#[derive(Debug, Default)]
struct Lane {
    ready: VecDeque<usize>,
    /// How many probes are under way.
    flying: usize,
    paused: Option<Instant>,
    /// It was limited: one probe at a time, until one shows that this is over.
    limited: bool,
    /// So many can share a call…
    together: usize,
    /// …and are waited for until then.
    gather: Option<Instant>,
}

/// A probe under way.
#[derive(Debug, Default)]
struct RunningProbe {
    lane: usize,
    credentials: Vec<usize>,
}

/// How much is probed.
#[derive(Clone, Copy, Debug)]
pub struct SchedulerSettings {
    /// So many probes at once.
    pub concurrency: usize,
    /// Only what is wished for is probed, and what such a probe left open.
    pub on_demand: bool,
}

/// Probes everything in a inventory until it is told to stop.
pub struct Scheduler {
    prober: Arc<Prober>,
    store: Arc<Store>,
    metrics: Metrics,
    pace: SchedulerSettings,
    timetable: Timetable,
    lanes: Vec<Lane>,
    lane_of: Vec<u32>,
    turn: usize,
    queued: HashSet<usize>,
    waiting: HashMap<usize, Vec<oneshot::Sender<u64>>>,
    tasks: JoinSet<(Vec<(usize, Outcome)>, Duration)>,
    flying: HashMap<Id, RunningProbe>,
    busy: HashSet<usize>,
    /// Those that were part of a probe that a fault in this program ended: probed alone, they cost
    /// no other its probe.
    alone: HashSet<usize>,
}

/// Credentials that were never probed, or are overdue after a stop, are spread so that about so
/// many start in a second.
const CATCH_UP_PER_SECOND: f64 = 20.0;
/// Where questions share calls, whoever is due waits so long for company.
const GATHER: Duration = Duration::from_secs(1);
/// After trouble the next try comes after this, then twice that, up to the usual interval.
const FIRST_RETRY: Duration = Duration::from_secs(60);
/// Dead tokens are probed ever more rarely, down to once in this time (or the interval, if longer).
const RAREST: Duration = Duration::from_secs(86_400);
/// How many other credentials of an app are asked when a good one turns bad.
const WITNESSES: usize = 4;

impl SchedulerSettings {
    /// Whether such a next probe is made without being wished for. What a probe left open – a
    /// refusal to be confirmed, trouble on the way – is always followed up.
    fn plans(self, next: NextProbe) -> bool {
        !self.on_demand || matches!(next, NextProbe::Confirm | NextProbe::Failed(_))
    }
}

impl Scheduler {
    /// An engine for the prober's inventory; what the store knows decides who is due when. Those whose
    /// token `changed` are due at once.
    pub fn new(
        prober: Arc<Prober>,
        store: Arc<Store>,
        metrics: Metrics,
        pace: SchedulerSettings,
        changed: &[usize],
    ) -> Self {
        let inventory = prober.inventory().clone();
        let mut places: HashMap<(Option<usize>, NetworkId, Option<&url::Url>), u32> = HashMap::new();
        let lane_of: Vec<u32> = inventory
            .credentials()
            .map(|c| {
                let next = u32::try_from(places.len()).unwrap_or(u32::MAX);
                *places.entry((c.app(), c.network(), c.base_url())).or_insert(next)
            })
            .collect();
        let mut lanes: Vec<Lane> = (0..places.len()).map(|_| Lane::default()).collect();
        for (watched, lane) in inventory.credentials().zip(&lane_of) {
            if let Some(lane) = lanes.get_mut(*lane as usize).filter(|lane| lane.together == 0) {
                lane.together = prober.together(watched);
            }
        }
        let mut engine = Self {
            lanes,
            timetable: Timetable::new(lane_of.len()),
            lane_of,
            prober,
            store,
            metrics,
            pace,
            turn: 0,
            queued: HashSet::new(),
            waiting: HashMap::new(),
            tasks: JoinSet::new(),
            flying: HashMap::new(),
            busy: HashSet::new(),
            alone: HashSet::new(),
        };
        engine.schedule_all();
        for &credential in changed {
            engine.enqueue(credential, false);
        }
        engine
    }

    fn schedule_all(&mut self) {
        let inventory = self.prober.inventory().clone();
        let snapshot = self.store.snapshot();
        let (now, instant) = (Timestamp::now(), Instant::now());
        let mut late = Vec::new();
        for (index, watched) in inventory.credentials().enumerate() {
            let state = snapshot.credentials.get(index);
            let Some((state, last)) = state.and_then(|s| s.last_probe.map(|last| (s, last))) else {
                if !self.pace.on_demand {
                    late.push((true, None, index));
                }
                continue;
            };
            let pending =
                watched.accounts().any(|a| snapshot.accounts.get(a).is_some_and(|a| a.pending.is_some()));
            // The same as when that probe ended, so that neither a reload nor a restart moves it. A probe
            // that lies ahead was made by a clock that has been set back since.
            let last = last.min(now);
            let next = next_of(state, pending);
            if !self.pace.plans(next) {
                continue;
            }
            let wait = delay_after(next, watched.id(), watched.interval(), state.clocks, last);
            let since = u64::try_from(now.since(last)).unwrap_or(0);
            let at = instant + wait.saturating_sub(Duration::from_secs(since));
            match until(state.paused, now, instant) {
                Some(until) if until > instant => self.timetable.plan(index, at.max(until)),
                _ if at > instant => self.timetable.plan(index, at),
                // Refusals that wait for their second look go first.
                _ => late.push((!pending, Some(last), index)),
            }
        }
        late.sort_unstable();
        let per_second = CATCH_UP_PER_SECOND;
        for (place, (_, _, index)) in late.iter().copied().enumerate() {
            let Some(watched) = inventory.credential(index) else { continue };
            let within = watched.interval().mul_f64(place as f64 / late.len() as f64);
            self.timetable
                .plan(index, instant + within.min(Duration::from_secs_f64(place as f64 / per_second)));
        }
        let lanes = self.lane_of.iter().zip(inventory.credentials());
        for (lane, app) in
            lanes.filter_map(|(lane, watched)| Some((*lane, snapshot.apps.get(watched.app()?)?)))
        {
            if let Some(lane) = self.lanes.get_mut(lane as usize) {
                lane.paused = until(app.paused, now, instant);
                lane.limited = app.patience > 0;
            }
        }
        for network in inventory.credentials().map(|c| c.network()).collect::<HashSet<_>>() {
            self.metrics.announce(network);
        }
    }

    /// Runs until `stop` changes or its sender is gone. Probes under way are then dropped: they
    /// change nothing.
    pub async fn run(
        mut self,
        mut wishes: mpsc::Receiver<ProbeRequest>,
        mut stop: watch::Receiver<bool>,
        mut pulse: Heartbeat,
    ) {
        loop {
            self.collect_due();
            self.dispatch();
            let wake = self.next_wake();
            tokio::select! {
                _ = stop.changed() => break,
                () = pulse.answer() => {}
                Some(wish) = wishes.recv() => self.grant(wish),
                Some(done) = self.tasks.join_next_with_id() => match done {
                    Ok((id, (outcomes, took))) => {
                        for credential in self.landed(id) {
                            self.alone.remove(&credential);
                        }
                        self.finish(outcomes, took);
                    }
                    Err(error) => self.lost(error.id()),
                },
                () = tokio::time::sleep_until(wake.into()) => {}
            }
        }
        self.tasks.shutdown().await;
    }

    /// Moves everything that is due into the lanes.
    fn collect_due(&mut self) {
        let now = Instant::now();
        while let Some(credential) = self.timetable.pop(now) {
            self.enqueue(credential, false);
        }
    }

    fn enqueue(&mut self, credential: usize, first: bool) {
        self.timetable.forget(credential);
        let lane = self.lane_of.get(credential).copied().unwrap_or(0);
        let Some(lane) = self.lanes.get_mut(lane as usize) else { return };
        let news = self.queued.insert(credential);
        if first {
            // Where it stood before, it is passed over.
            lane.gather = None;
            lane.ready.push_front(credential);
        } else if news {
            if lane.ready.is_empty() && lane.together > 1 {
                lane.gather = Some(Instant::now() + GATHER);
            }
            lane.ready.push_back(credential);
        }
    }

    fn grant(&mut self, wish: ProbeRequest) {
        let credential = match wish {
            ProbeRequest::NewerThan { seen, credential, reply } => {
                let snapshot = self.store.snapshot();
                if snapshot.credentials.get(credential).is_some_and(|state| state.last_probe > seen) {
                    // A probe that has just ended is not shown yet: it is the one that was wished for.
                    let _ = reply.send(snapshot.version);
                    return;
                }
                self.waiting.entry(credential).or_default().push(reply);
                if self.busy.contains(&credential) {
                    // The probe under way is for all who wait.
                    return;
                }
                credential
            }
            ProbeRequest::SourceChanged(credential) => credential,
        };
        self.enqueue(credential, true);
    }

    /// Starts probes as far as the bounds allow.
    fn dispatch(&mut self) {
        let now = Instant::now();
        let lanes = self.lanes.len();
        let mut passed = vec![false; lanes];
        while self.tasks.len() < self.pace.concurrency {
            // Whoever has the fewest under way is next, so that a network that keeps its callers waiting does
            // not take all places.
            let inviting =
                |lane: &usize| !passed[*lane] && self.lanes.get(*lane).is_some_and(|l| !l.ready.is_empty());
            let in_turn = (0..lanes).map(|place| (self.turn + place) % lanes).filter(inviting);
            let Some(next) = in_turn.min_by_key(|lane| self.lanes.get(*lane).map(|l| l.flying)) else {
                break;
            };
            self.turn = next + 1;
            passed[next] = !self.start_from(next, now);
        }
    }

    fn start_from(&mut self, place: usize, now: Instant) -> bool {
        let Some(lane) = self.lanes.get_mut(place) else { return false };
        if lane.paused.is_some_and(|until| until > now) {
            return false;
        }
        lane.paused = None;
        let Some(&first) = lane.ready.front() else { return false };
        if lane.ready.len() < lane.together && lane.gather.is_some_and(|until| until > now) {
            return false;
        }
        lane.gather = None;
        if lane.limited && lane.flying > 0 {
            return false;
        }
        let Some(watched) = self.prober.inventory().credential(first) else { return false };
        if self.prober.limiter(watched.app()).is_some_and(|l| !l.wait().is_zero()) {
            return false;
        }
        // A credential that is being probed right now waits: its result is on the way.
        let mut credentials = Vec::new();
        let mut later = VecDeque::new();
        while let Some(credential) = lane.ready.pop_front() {
            if !self.queued.contains(&credential) {
                continue;
            }
            let alone = self.alone.contains(&credential);
            if self.busy.contains(&credential) || (alone && !credentials.is_empty()) {
                later.push_back(credential);
            } else {
                credentials.push(credential);
                self.queued.remove(&credential);
                if alone || credentials.len() == lane.together {
                    break;
                }
            }
        }
        lane.ready.append(&mut later);
        if credentials.is_empty() {
            return false;
        }
        let prober = self.prober.clone();
        let probed = credentials.clone();
        let handle = self.tasks.spawn(async move {
            let start = Instant::now();
            let outcomes = prober.probe(&probed).await;
            (outcomes, start.elapsed())
        });
        lane.flying += 1;
        self.busy.extend(&credentials);
        self.flying.insert(handle.id(), RunningProbe { lane: place, credentials });
        true
    }

    /// A probe is under way no more, however it ended.
    fn landed(&mut self, id: Id) -> Vec<usize> {
        let flight = self.flying.remove(&id).unwrap_or_default();
        if let Some(lane) = self.lanes.get_mut(flight.lane) {
            lane.flying = lane.flying.saturating_sub(1);
        }
        for credential in &flight.credentials {
            self.busy.remove(credential);
        }
        flight.credentials
    }

    /// When there is something to do at the latest, if nothing happens before.
    fn next_wake(&self) -> Instant {
        let now = Instant::now();
        let mut wake = now + Duration::from_secs(60);
        if let Some(at) = self.timetable.next() {
            wake = wake.min(at);
        }
        if self.tasks.len() < self.pace.concurrency {
            for lane in self.lanes.iter().filter(|l| !l.ready.is_empty()) {
                let first = lane.ready.front().and_then(|c| self.prober.inventory().credential(*c));
                let limited =
                    first.and_then(|w| self.prober.limiter(w.app())).map_or(Duration::ZERO, |l| l.wait());
                if let Some(until) = lane.paused.max(lane.gather) {
                    wake = wake.min(until);
                } else if !limited.is_zero() {
                    wake = wake.min(now + limited);
                }
            }
        }
        wake
    }

    fn finish(&mut self, outcomes: Vec<(usize, Outcome)>, took: Duration) {
        for (credential, outcome) in outcomes {
            let inventory = self.prober.inventory().clone();
            let Some(watched) = inventory.credential(credential) else { continue };
            let Some(applied) = self.store.apply(credential, &outcome) else { continue };
            self.metrics.probed(watched.network(), took.as_secs_f64(), applied.cause);
            tracing::debug!(
                credential = watched.id(),
                network = watched.network().name(),
                cause = applied.cause.map(Cause::label),
                next = ?applied.next,
                "probed"
            );
            for waiting in self.waiting.remove(&credential).into_iter().flatten() {
                // Whoever waited may have gone.
                let _ = waiting.send(applied.version);
            }
            let at = Instant::now()
                + delay_after(applied.next, watched.id(), watched.interval(), applied.clocks, outcome.at);
            let at = at.max(self.obey_limits(credential, &applied).unwrap_or(at));
            if self.pace.plans(applied.next) && !self.queued.contains(&credential) {
                self.timetable.plan(credential, at);
            }
            if applied.suspicious {
                self.call_witnesses(credential);
            }
        }
    }

    /// Pauses the lane as the network wants it. Returns until when the credential has to wait.
    fn obey_limits(&mut self, credential: usize, applied: &Applied) -> Option<Instant> {
        let (now, instant) = (Timestamp::now(), Instant::now());
        if let Some(lane) = self.lane_of.get(credential).and_then(|lane| self.lanes.get_mut(*lane as usize)) {
            lane.paused = lane.paused.max(until(applied.app_paused, now, instant));
            lane.limited = applied.limited;
        }
        until(applied.paused, now, instant)
    }

    /// A credential that worked is refused: do others of its app fare alike?
    fn call_witnesses(&mut self, credential: usize) {
        let snapshot = self.store.snapshot();
        let inventory = snapshot.inventory.clone();
        let app = inventory.credential(credential).and_then(|c| c.app());
        let valid = |watched: &CredentialView<'_>| {
            watched.accounts().any(|a| snapshot.accounts.get(a).is_some_and(|s| s.is_valid()))
        };
        let others = inventory
            .credentials()
            .enumerate()
            .filter(|(i, c)| *i != credential && c.app() == app && valid(c));
        let witnesses: Vec<usize> = others.map(|(i, _)| i).take(WITNESSES).collect();
        for witness in witnesses {
            self.enqueue(witness, true);
        }
    }

    /// A panic in a network's code costs one credential's probe, no more: where several were probed
    /// together, each is probed again alone.
    fn lost(&mut self, id: Id) {
        let inventory = self.prober.inventory().clone();
        let credentials = self.landed(id);
        let together = credentials.len() > 1;
        for (place, credential) in credentials.into_iter().enumerate() {
            let Some(watched) = inventory.credential(credential) else { continue };
            if place == 0 {
                tracing::error!(credential = watched.id(), together, "a fault in this program cost a probe");
                self.metrics.panicked(watched.network());
            }
            if together {
                self.alone.insert(credential);
                self.enqueue(credential, true);
            } else {
                let outcome = Outcome::undetermined(
                    Cause::UnexpectedAnswer,
                    watched.accounts().len(),
                    Timestamp::now(),
                );
                self.finish(vec![(credential, outcome)], Duration::ZERO);
            }
        }
    }
}

/// What the state says follows, when the outcome itself is no longer at hand.
fn next_of(state: &CredentialState, pending: bool) -> NextProbe {
    match (state.failures, state.deaths) {
        (0, _) if pending => NextProbe::Confirm,
        (0, 0) => NextProbe::Regular,
        (0, deaths) => NextProbe::Dead(deaths),
        (failures, _) => NextProbe::Failed(failures),
    }
}

/// The instant of a time of day, if that is still to come.
fn until(paused: Option<Timestamp>, now: Timestamp, instant: Instant) -> Option<Instant> {
    let wait = u64::try_from(paused?.since(now).min(LONGEST_PAUSE)).ok()?;
    Some(instant + Duration::from_secs(wait))
}

/// How long until the next probe, counted from the last one, which ended `now`. The same each time
/// it is asked.
fn delay_after(next: NextProbe, id: &str, interval: Duration, clocks: Clocks, now: Timestamp) -> Duration {
    let jitter = || fraction(&format!("{id} {}", now.unix()));
    let regular = || {
        // Each credential keeps its own place within the interval, so that probes stay spread over it.
        let period = interval.as_secs_f64();
        let place = period * fraction(id);
        let into = (now.unix() as f64 - place).rem_euclid(period);
        let left = period - into;
        // A probe out of turn moves the next one to its place, but not right behind itself.
        let regular = Duration::from_secs_f64(if left < period / 10.0 { left + period } else { left });
        // An expiry between two probes is looked at when it comes.
        let soon = [clocks.access, clocks.data_access].into_iter().filter_map(crate::model::Expiry::at);
        let soon = soon.map(|t| t.since(now) + 2).filter(|s| *s > 0).min();
        soon.and_then(|s| u64::try_from(s).ok()).map_or(regular, |s| regular.min(Duration::from_secs(s)))
    };
    match next {
        NextProbe::Regular => regular(),
        NextProbe::Failed(times) => {
            let delay = FIRST_RETRY * 2_u32.pow(u32::from(times.clamp(1, 16)) - 1);
            delay.min(interval).mul_f64(0.75 + 0.5 * jitter())
        }
        NextProbe::Confirm => Duration::from_secs_f64(
            CONFIRM_AFTER as f64 + 1.0 + (CONFIRM_WITHIN - CONFIRM_AFTER - 10) as f64 * jitter(),
        ),
        NextProbe::Dead(times) => {
            let rare = interval.saturating_mul(2_u32.pow(u32::from(times.min(16))));
            rare.min(RAREST.max(interval)).mul_f64(0.9 + 0.1 * jitter())
        }
    }
}

/// A stable fraction of 1 for an id.
fn fraction(id: &str) -> f64 {
    (stable_hash(id) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use super::*;
    use crate::config;
    use crate::model::Expiry;

    const HOUR: Duration = Duration::from_secs(3600);

    fn delay(next: NextProbe, id: &str, interval: Duration, clocks: Clocks, now: Timestamp) -> Duration {
        delay_after(next, id, interval, clocks, now)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(1_800_000_000 + seconds).unwrap_or_else(Timestamp::now)
    }

    #[test]
    fn probes_are_spread_over_the_interval_and_keep_their_place() {
        let mut minutes = [0_u32; 60];
        for i in 0..6000 {
            let id = format!("credential-{i}");
            let wait = delay(NextProbe::Regular, &id, HOUR, Clocks::default(), at(0));
            assert!(wait >= HOUR / 10 && wait <= HOUR * 11 / 10, "{wait:?}");
            let due = at(i64::try_from(wait.as_secs()).unwrap_or(0));
            minutes[usize::try_from(due.unix() % 3600 / 60).unwrap_or(0)] += 1;
            // From its place on, it comes once an interval.
            let again = delay(NextProbe::Regular, &id, HOUR, Clocks::default(), due);
            assert!(again.abs_diff(HOUR) <= Duration::from_secs(2), "{again:?}");
        }
        let busiest = minutes.iter().max().copied().unwrap_or(0);
        assert!(busiest < 6000 / 60 * 3, "{minutes:?}");
    }

    #[test]
    fn an_expiry_is_looked_at_when_it_comes() {
        let clocks = Clocks { access: Expiry::At(at(100)), ..Clocks::default() };
        assert_eq!(delay(NextProbe::Regular, "a", HOUR, clocks, at(0)), Duration::from_secs(102));
        assert!(
            delay(NextProbe::Regular, "a", HOUR, clocks, at(200)) >= HOUR / 10,
            "once it has passed, it does not hurry any more"
        );
    }

    #[test]
    fn trouble_is_retried_ever_more_rarely_up_to_the_interval() {
        let failed = |times, interval| {
            delay(NextProbe::Failed(times), "a", interval, Clocks::default(), at(0)).as_secs_f64()
        };
        assert!((45.0..=75.0).contains(&failed(1, HOUR)));
        assert!((90.0..=150.0).contains(&failed(2, HOUR)));
        assert!((2700.0..=4500.0).contains(&failed(255, HOUR)));
        assert!(failed(9, Duration::from_secs(1)) <= 1.25);
    }

    #[test]
    fn a_refusal_is_confirmed_within_the_minute() {
        for _ in 0..1000 {
            let wait = delay(NextProbe::Confirm, "a", HOUR, Clocks::default(), at(0)).as_secs_f64();
            assert!(wait > CONFIRM_AFTER as f64 && wait < CONFIRM_WITHIN as f64, "{wait}");
        }
    }

    #[test]
    fn dead_tokens_are_probed_ever_more_rarely() {
        let dead = |times, interval| {
            delay(NextProbe::Dead(times), "a", interval, Clocks::default(), at(0)).as_secs()
        };
        assert!((6480..=7200).contains(&dead(1, HOUR)));
        assert!((12_960..=14_400).contains(&dead(2, HOUR)));
        assert!((77_760..=86_400).contains(&dead(200, HOUR)));
        let week = Duration::from_secs(7 * 86_400);
        assert!(dead(200, week) <= week.as_secs(), "never more rarely than its interval wants");
    }

    /// An engine for so many credentials at each instance of Mastodon, all on ports where nobody
    /// listens.
    fn engine(instances: &[usize], concurrency: usize) -> anyhow::Result<Scheduler> {
        use std::fmt::Write as _;
        let mut yaml = "accounts:\n".to_owned();
        for (port, count) in instances.iter().enumerate() {
            for i in 0..*count {
                writeln!(
                    yaml,
                    "  - {{id: a-{port}-{i}, network: mastodon, token: sim-{i}, base_url: \"http://127.0.0.1:{}\"}}",
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

    fn panics(engine: &Scheduler) -> f64 {
        let families = engine.metrics.gather();
        let family = families.iter().find(|f| f.name() == "token_exporter_probe_panics_total");
        family.map_or(0.0, |f| f.get_metric().iter().map(|m| m.get_counter().get_value()).sum())
    }

    #[tokio::test]
    #[allow(clippy::panic, reason = "it is what is tested")]
    async fn a_panic_costs_one_probe_and_is_counted() -> anyhow::Result<()> {
        let mut engine = engine(&[3], 8)?;
        let mut explode = async |credentials: &[usize]| {
            let handle = engine.tasks.spawn(async { panic!("a network's code") });
            engine.busy.extend(credentials);
            engine.flying.insert(handle.id(), RunningProbe { lane: 0, credentials: credentials.to_vec() });
            if let Some(Err(error)) = engine.tasks.join_next_with_id().await {
                engine.lost(error.id());
            }
        };
        explode(&[0, 1]).await;
        assert!(
            engine.store.snapshot().credentials.iter().all(|c| c.last_probe.is_none()),
            "nothing is said of those that were together"
        );
        assert_eq!(
            (panics(&engine), engine.queued.len(), engine.busy.len()),
            (1.0, 2, 0),
            "they are asked again"
        );
        engine.dispatch();
        assert_eq!(engine.tasks.len(), 2, "each alone");
        engine.tasks.shutdown().await;

        let mut explode = async |credentials: &[usize]| {
            let handle = engine.tasks.spawn(async { panic!("a network's code") });
            engine.flying.insert(handle.id(), RunningProbe { lane: 0, credentials: credentials.to_vec() });
            if let Some(Err(error)) = engine.tasks.join_next_with_id().await {
                engine.lost(error.id());
            }
        };
        explode(&[2]).await;
        let snapshot = engine.store.snapshot();
        assert_eq!(
            snapshot.accounts.get(2).map(|a| (a.verdict, a.trouble)),
            Some((None, Some(Cause::UnexpectedAnswer)))
        );
        assert!(panics(&engine) >= 2.0 && engine.timetable.is_planned(2), "it is tried again later");
        Ok(())
    }

    #[tokio::test]
    async fn a_probe_that_ended_before_it_was_shown_is_not_made_again() -> anyhow::Result<()> {
        let mut engine = engine(&[2], 8)?;
        let now = Timestamp::now();
        let applied = engine
            .store
            .apply(0, &Outcome::undetermined(Cause::Timeout, 1, now))
            .map(|applied| applied.version);
        let mut wish = |credential, seen| {
            let (reply, answer) = oneshot::channel();
            engine.grant(ProbeRequest::NewerThan { seen, credential, reply });
            (answer, engine.queued.contains(&credential))
        };
        let (mut answer, queued) = wish(0, None);
        assert_eq!(
            (answer.try_recv().ok(), queued),
            (applied, false),
            "it is news to whoever has seen nothing"
        );
        let (mut answer, queued) = wish(0, Some(now));
        assert!(answer.try_recv().is_err() && queued, "whoever has seen it wants another");
        assert!(wish(1, None).1, "and of others nothing is known");
        Ok(())
    }

    #[tokio::test]
    async fn a_network_that_keeps_its_callers_waiting_leaves_places_to_others() -> anyhow::Result<()> {
        let mut engine = engine(&[50, 50], 8)?;
        for credential in 0..50 {
            engine.enqueue(credential, false);
        }
        engine.dispatch();
        assert_eq!(
            engine.lanes.iter().map(|l| l.flying).collect::<Vec<_>>(),
            [8, 0],
            "nobody else wants them"
        );
        for credential in 50..100 {
            engine.enqueue(credential, false);
        }
        for expected in [[7, 1], [6, 2], [5, 3], [4, 4]] {
            let first = engine.flying.iter().find(|(_, flight)| flight.lane == 0).map(|(id, _)| *id);
            if let Some(id) = first {
                engine.landed(id);
            }
            engine.pace.concurrency += 1;
            engine.dispatch();
            assert_eq!(engine.lanes.iter().map(|l| l.flying).collect::<Vec<_>>(), expected);
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
        let mut engine = built(&yaml, 8, &store)?;
        let left =
            engine.lanes[0].paused.map(|until| until.saturating_duration_since(Instant::now()).as_secs());
        assert!(
            left.is_some_and(|left| (50..=60).contains(&left)),
            "a minute for all ten, not one for each: {left:?}"
        );
        for credential in 0..10 {
            engine.enqueue(credential, false);
        }
        engine.dispatch();
        assert!(engine.tasks.is_empty(), "the new engine waits, too");
        engine.lanes[0].paused = None;
        engine.dispatch();
        assert_eq!(engine.tasks.len(), 1, "then one shows whether it is over");
        Ok(())
    }

    /// Hundreds of credentials, a day in which every probe fails, and what comes after: simulated,
    /// in no time.
    #[test]
    fn a_day_without_networks_changes_nothing_and_ends_gently() -> anyhow::Result<()> {
        const COUNT: usize = 600;
        let engine = engine(&[COUNT], 64)?;
        let (store, inventory) = (&engine.store, engine.prober.inventory().clone());
        let (outage, back, end) = (7_200, 7_200 + 86_400, 7_200 + 86_400 + 3 * 3600);
        let mut heap: BinaryHeap<Reverse<(i64, usize)>> = inventory
            .credentials()
            .enumerate()
            .map(|(i, c)| Reverse(((3600.0 * fraction(c.id())) as i64, i)))
            .collect();
        let mut minutes = vec![0_usize; usize::try_from(end / 60 + 1)?];
        let mut recovered = 0;
        while let Some(Reverse((second, credential))) =
            heap.pop().filter(|Reverse((second, _))| *second < end)
        {
            minutes[usize::try_from(second / 60)?] += 1;
            let well = !(outage..back).contains(&second);
            let finding = crate::network::Finding {
                verdict: crate::network::Verdict::Valid,
                capabilities: vec![],
                scopes: vec![],
            };
            let outcome = if well {
                Outcome {
                    at: at(second),
                    findings: vec![finding],
                    clocks: Some(Clocks::default()),
                    limits: vec![],
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
            let wait =
                delay_after(applied.next, watched.id(), watched.interval(), applied.clocks, at(second));
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
        assert!(
            range(back, back + 5400).iter().sum::<usize>() >= COUNT,
            "all within an interval and its jitter"
        );
        Ok(())
    }
}
