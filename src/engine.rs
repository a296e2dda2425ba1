//! The engine: decides which credential is probed when, keeps that bounded, and hands outcomes to the store.
//!
//! One task owns the schedule. Credentials wait in a heap until they are due, then in a lane for their app, and are
//! taken from the lanes in turn: an app that is slow, limited or paused does not hold up the others. Everything it
//! needs to start anew is in the store, so a reload ends one engine and starts the next.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{Id, JoinSet};

use crate::metrics::Metrics;
use crate::network::{Clocks, NetworkId};
use crate::probe::Prober;
use crate::reason::Cause;
use crate::roster::{Watched, stable_hash};
use crate::rules::{CONFIRM_AFTER, CONFIRM_WITHIN};
use crate::service::Pulse;
use crate::store::{Applied, CredentialState, LONGEST_PAUSE, Next, Outcome, Store};
use crate::time::Timestamp;

/// A wish for a probe at once.
#[derive(Debug)]
pub enum Wish {
    /// Somebody waits for the result: the version of the snapshot that holds it.
    Probe(usize, oneshot::Sender<u64>),
    /// The token's source changed.
    Changed(usize),
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
}

/// A probe under way.
#[derive(Debug, Default)]
struct Flight {
    lane: usize,
    credentials: Vec<usize>,
}

/// Probes everything in a roster until it is told to stop.
pub struct Engine {
    prober: Arc<Prober>,
    store: Arc<Store>,
    metrics: Metrics,
    concurrency: usize,
    /// Due times, as a heap of the earliest; an entry counts if it is the credential's latest.
    heap: BinaryHeap<Reverse<(Instant, usize)>>,
    due: Vec<Option<Instant>>,
    lanes: Vec<Lane>,
    lane_of: Vec<usize>,
    turn: usize,
    queued: HashSet<usize>,
    waiting: HashMap<usize, Vec<oneshot::Sender<u64>>>,
    tasks: JoinSet<(Vec<(usize, Outcome)>, Duration)>,
    flying: HashMap<Id, Flight>,
    busy: HashSet<usize>,
    /// Those that were part of a probe that a fault in this program ended: probed alone, they cost no other its probe.
    alone: HashSet<usize>,
}

/// Credentials that were never probed, or are overdue after a stop, are spread so that about so many start in a second.
const CATCH_UP_PER_SECOND: f64 = 20.0;
/// After trouble the next try comes after this, then twice that, up to the usual interval.
const FIRST_RETRY: Duration = Duration::from_secs(60);
/// Dead tokens are probed ever more rarely, down to once in this time (or the interval, if longer).
const RAREST: Duration = Duration::from_secs(86_400);
/// How many other credentials of an app are asked when a good one turns bad.
const WITNESSES: usize = 4;

impl Engine {
    /// An engine for the prober's roster; what the store knows decides who is due when. Those whose token `changed` are
    /// due at once.
    pub fn new(prober: Arc<Prober>, store: Arc<Store>, metrics: Metrics, concurrency: usize, changed: &[usize]) -> Self {
        let roster = prober.roster().clone();
        let mut places: HashMap<(Option<usize>, NetworkId, Option<&url::Url>), usize> = HashMap::new();
        let lane_of: Vec<usize> = roster
            .credentials()
            .iter()
            .map(|c| {
                let next = places.len();
                *places.entry((c.config.app, c.config.network, c.config.base_url.as_ref())).or_insert(next)
            })
            .collect();
        let lanes = (0..places.len()).map(|_| Lane::default()).collect();
        let mut engine = Self {
            lanes,
            due: vec![None; lane_of.len()],
            lane_of,
            prober,
            store,
            metrics,
            concurrency,
            heap: BinaryHeap::new(),
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
        let roster = self.prober.roster().clone();
        let snapshot = self.store.snapshot();
        let (now, instant) = (Timestamp::now(), Instant::now());
        let mut late = Vec::new();
        for (index, watched) in roster.credentials().iter().enumerate() {
            let state = snapshot.credentials.get(index);
            let Some((state, last)) = state.and_then(|s| s.last_probe.map(|last| (s, last))) else {
                late.push((true, None, index));
                continue;
            };
            let pending = watched.accounts.clone().any(|a| snapshot.accounts.get(a).is_some_and(|a| a.pending.is_some()));
            // The same as when that probe ended, so that neither a reload nor a restart moves it. A probe that lies ahead was
            // made by a clock that has been set back since.
            let last = last.min(now);
            let wait = delay_after(next_of(state, pending), watched, state.clocks, last);
            let since = u64::try_from(now.since(last)).unwrap_or(0);
            let at = instant + wait.saturating_sub(Duration::from_secs(since));
            match until(state.paused, now, instant) {
                Some(until) if until > instant => self.plan(index, at.max(until)),
                _ if at > instant => self.plan(index, at),
                // Refusals that wait for their second look go first.
                _ => late.push((!pending, Some(last), index)),
            }
        }
        late.sort_unstable();
        let per_second = CATCH_UP_PER_SECOND;
        for (place, (_, _, index)) in late.iter().copied().enumerate() {
            let Some(watched) = roster.credentials().get(index) else { continue };
            let within = watched.interval.mul_f64(place as f64 / late.len() as f64);
            self.plan(index, instant + within.min(Duration::from_secs_f64(place as f64 / per_second)));
        }
        let lanes = self.lane_of.iter().zip(roster.credentials());
        for (lane, app) in lanes.filter_map(|(lane, watched)| Some((*lane, snapshot.apps.get(watched.config.app?)?))) {
            if let Some(lane) = self.lanes.get_mut(lane) {
                lane.paused = until(app.paused, now, instant);
                lane.limited = app.patience > 0;
            }
        }
        for network in roster.credentials().iter().map(|c| c.config.network).collect::<HashSet<_>>() {
            self.metrics.announce(network);
        }
    }

    fn plan(&mut self, credential: usize, at: Instant) {
        if let Some(due) = self.due.get_mut(credential) {
            *due = Some(at);
            self.heap.push(Reverse((at, credential)));
        }
    }

    /// Runs until `stop` changes or its sender is gone. Probes under way are then dropped: they change nothing.
    pub async fn run(mut self, mut wishes: mpsc::Receiver<Wish>, mut stop: watch::Receiver<bool>, mut pulse: Pulse) {
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
        while let Some(Reverse((at, credential))) = self.heap.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            self.heap.pop();
            // Planned anew meanwhile: that entry counts, not this one.
            if self.due.get(credential).copied().flatten() == Some(at) {
                self.enqueue(credential, false);
            }
        }
    }

    fn enqueue(&mut self, credential: usize, first: bool) {
        if let Some(due) = self.due.get_mut(credential) {
            *due = None;
        }
        if self.queued.insert(credential) {
            let lane = self.lane_of.get(credential).copied().unwrap_or(0);
            if let Some(lane) = self.lanes.get_mut(lane) {
                if first { lane.ready.push_front(credential) } else { lane.ready.push_back(credential) }
            }
        }
    }

    fn grant(&mut self, wish: Wish) {
        let credential = match wish {
            Wish::Probe(credential, reply) => {
                self.waiting.entry(credential).or_default().push(reply);
                credential
            }
            Wish::Changed(credential) => credential,
        };
        self.enqueue(credential, true);
    }

    /// Starts probes as far as the bounds allow.
    fn dispatch(&mut self) {
        let now = Instant::now();
        let lanes = self.lanes.len();
        let mut passed = vec![false; lanes];
        while self.tasks.len() < self.concurrency {
            // Whoever has the fewest under way is next, so that a network that keeps its callers waiting does not take all places.
            let inviting = |lane: &usize| !passed[*lane] && self.lanes.get(*lane).is_some_and(|l| !l.ready.is_empty());
            let in_turn = (0..lanes).map(|place| (self.turn + place) % lanes).filter(inviting);
            let Some(next) = in_turn.min_by_key(|lane| self.lanes.get(*lane).map(|l| l.flying)) else { break };
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
        if lane.limited && lane.flying > 0 {
            return false;
        }
        let Some(&first) = lane.ready.front() else { return false };
        let Some(watched) = self.prober.roster().credentials().get(first) else { return false };
        let (network, app) = (watched.config.network, watched.config.app);
        if self.prober.limiter(app).is_some_and(|l| !l.wait().is_zero()) {
            return false;
        }
        let together = network.network().batch().map_or(1, |batch| batch.max);
        // A credential that is being probed right now waits: its result is on the way.
        let mut credentials = Vec::new();
        let mut later = VecDeque::new();
        while let Some(credential) = lane.ready.pop_front() {
            let alone = self.alone.contains(&credential);
            if self.busy.contains(&credential) || (alone && !credentials.is_empty()) {
                later.push_back(credential);
            } else {
                credentials.push(credential);
                self.queued.remove(&credential);
                if alone || credentials.len() == together {
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
        self.flying.insert(handle.id(), Flight { lane: place, credentials });
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
        if let Some(Reverse((at, _))) = self.heap.peek() {
            wake = wake.min(*at);
        }
        if self.tasks.len() < self.concurrency {
            for lane in self.lanes.iter().filter(|l| !l.ready.is_empty()) {
                let first = lane.ready.front().and_then(|c| self.prober.roster().credentials().get(*c));
                let limited = first.and_then(|w| self.prober.limiter(w.config.app)).map_or(Duration::ZERO, |l| l.wait());
                if let Some(until) = lane.paused {
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
            let roster = self.prober.roster().clone();
            let Some(watched) = roster.credentials().get(credential) else { continue };
            let Some(applied) = self.store.apply(credential, &outcome) else { continue };
            self.metrics.probed(watched.config.network, took.as_secs_f64(), applied.cause);
            tracing::debug!(
                credential = watched.config.id,
                network = watched.config.network.name(),
                cause = applied.cause.map(Cause::label),
                next = ?applied.next,
                "probed"
            );
            for waiting in self.waiting.remove(&credential).into_iter().flatten() {
                // Whoever waited may have gone.
                let _ = waiting.send(applied.version);
            }
            let at = Instant::now() + delay_after(applied.next, watched, applied.clocks, outcome.at);
            let at = at.max(self.obey_limits(credential, &applied).unwrap_or(at));
            if !self.queued.contains(&credential) {
                self.plan(credential, at);
            }
            if applied.suspicious {
                self.call_witnesses(credential);
            }
        }
    }

    /// Pauses the lane as the network wants it. Returns until when the credential has to wait.
    fn obey_limits(&mut self, credential: usize, applied: &Applied) -> Option<Instant> {
        let (now, instant) = (Timestamp::now(), Instant::now());
        if let Some(lane) = self.lane_of.get(credential).and_then(|lane| self.lanes.get_mut(*lane)) {
            lane.paused = lane.paused.max(until(applied.app_paused, now, instant));
            lane.limited = applied.limited;
        }
        until(applied.paused, now, instant)
    }

    /// A credential that worked is refused: do others of its app fare alike?
    fn call_witnesses(&mut self, credential: usize) {
        let snapshot = self.store.snapshot();
        let roster = snapshot.roster.clone();
        let app = roster.credentials().get(credential).and_then(|c| c.config.app);
        let valid = |watched: &Watched| watched.accounts.clone().any(|a| snapshot.accounts.get(a).is_some_and(|s| s.is_valid()));
        let others = roster.credentials().iter().enumerate().filter(|(i, c)| *i != credential && c.config.app == app && valid(c));
        let witnesses: Vec<usize> = others.map(|(i, _)| i).take(WITNESSES).collect();
        for witness in witnesses {
            self.enqueue(witness, true);
        }
    }

    /// A panic in a network's code costs one credential's probe, no more: where several were probed together, each is
    /// probed again alone.
    fn lost(&mut self, id: Id) {
        let roster = self.prober.roster().clone();
        let credentials = self.landed(id);
        let together = credentials.len() > 1;
        for (place, credential) in credentials.into_iter().enumerate() {
            let Some(watched) = roster.credentials().get(credential) else { continue };
            if place == 0 {
                tracing::error!(credential = watched.config.id, together, "a fault in this program cost a probe");
                self.metrics.panicked(watched.config.network);
            }
            if together {
                self.alone.insert(credential);
                self.enqueue(credential, true);
            } else {
                let outcome = Outcome::undetermined(Cause::UnexpectedAnswer, watched.accounts.len(), Timestamp::now());
                self.finish(vec![(credential, outcome)], Duration::ZERO);
            }
        }
    }
}

/// What the state says follows, when the outcome itself is no longer at hand.
fn next_of(state: &CredentialState, pending: bool) -> Next {
    match (state.failures, state.deaths) {
        (0, _) if pending => Next::Confirm,
        (0, 0) => Next::Regular,
        (0, deaths) => Next::Dead(deaths),
        (failures, _) => Next::Failed(failures),
    }
}

/// The instant of a time of day, if that is still to come.
fn until(paused: Option<Timestamp>, now: Timestamp, instant: Instant) -> Option<Instant> {
    let wait = u64::try_from(paused?.since(now).min(LONGEST_PAUSE)).ok()?;
    Some(instant + Duration::from_secs(wait))
}

/// How long until the next probe, counted from the last one, which ended `now`. The same each time it is asked.
fn delay_after(next: Next, watched: &Watched, clocks: Clocks, now: Timestamp) -> Duration {
    let interval = watched.interval;
    let jitter = || fraction(&format!("{} {}", watched.config.id, now.unix()));
    let regular = || {
        // Each credential keeps its own place within the interval, so that probes stay spread over it.
        let period = interval.as_secs_f64();
        let place = period * fraction(&watched.config.id);
        let into = (now.unix() as f64 - place).rem_euclid(period);
        let left = period - into;
        // A probe out of turn moves the next one to its place, but not right behind itself.
        let regular = Duration::from_secs_f64(if left < period / 10.0 { left + period } else { left });
        // An expiry between two probes is looked at when it comes.
        let soon = [clocks.access, clocks.data_access].into_iter().filter_map(crate::time::Expiry::at);
        let soon = soon.map(|t| t.since(now) + 2).filter(|s| *s > 0).min();
        soon.and_then(|s| u64::try_from(s).ok()).map_or(regular, |s| regular.min(Duration::from_secs(s)))
    };
    match next {
        Next::Regular => regular(),
        Next::Failed(times) => {
            let delay = FIRST_RETRY * 2_u32.pow(u32::from(times.clamp(1, 16)) - 1);
            delay.min(interval).mul_f64(0.75 + 0.5 * jitter())
        }
        Next::Confirm => Duration::from_secs_f64(CONFIRM_AFTER as f64 + 1.0 + (CONFIRM_WITHIN - CONFIRM_AFTER - 10) as f64 * jitter()),
        Next::Dead(times) => {
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
    use super::*;
    use crate::config;
    use crate::secret::Secret;
    use crate::time::Expiry;
    use crate::token::SecretSource;

    const HOUR: Duration = Duration::from_secs(3600);

    fn watched(id: &str, interval: Duration) -> Option<Watched> {
        let config = config::Credential {
            id: id.into(),
            network: NetworkId::all().next()?,
            app: None,
            connected_by: None,
            token: SecretSource::Inline(Secret::new("sim-t")),
            token_secret: None,
            expires_at: None,
            refresh_expires_at: None,
            auto_refresh: false,
            scopes: None,
            base_url: None,
        };
        Some(Watched { config, accounts: 0..1, interval })
    }

    fn delay(next: Next, id: &str, interval: Duration, clocks: Clocks, now: Timestamp) -> Duration {
        watched(id, interval).map_or(Duration::MAX, |w| delay_after(next, &w, clocks, now))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(1_800_000_000 + seconds).unwrap_or_else(Timestamp::now)
    }

    #[test]
    fn probes_are_spread_over_the_interval_and_keep_their_place() {
        let mut minutes = [0_u32; 60];
        for i in 0..6000 {
            let id = format!("credential-{i}");
            let wait = delay(Next::Regular, &id, HOUR, Clocks::default(), at(0));
            assert!(wait >= HOUR / 10 && wait <= HOUR * 11 / 10, "{wait:?}");
            let due = at(i64::try_from(wait.as_secs()).unwrap_or(0));
            minutes[usize::try_from(due.unix() % 3600 / 60).unwrap_or(0)] += 1;
            // From its place on, it comes once an interval.
            let again = delay(Next::Regular, &id, HOUR, Clocks::default(), due);
            assert!(again.abs_diff(HOUR) <= Duration::from_secs(2), "{again:?}");
        }
        let busiest = minutes.iter().max().copied().unwrap_or(0);
        assert!(busiest < 6000 / 60 * 3, "{minutes:?}");
    }

    #[test]
    fn an_expiry_is_looked_at_when_it_comes() {
        let clocks = Clocks { access: Expiry::At(at(100)), ..Clocks::default() };
        assert_eq!(delay(Next::Regular, "a", HOUR, clocks, at(0)), Duration::from_secs(102));
        assert!(delay(Next::Regular, "a", HOUR, clocks, at(200)) >= HOUR / 10, "once it has passed, it does not hurry any more");
    }

    #[test]
    fn trouble_is_retried_ever_more_rarely_up_to_the_interval() {
        let failed = |times, interval| delay(Next::Failed(times), "a", interval, Clocks::default(), at(0)).as_secs_f64();
        assert!((45.0..=75.0).contains(&failed(1, HOUR)));
        assert!((90.0..=150.0).contains(&failed(2, HOUR)));
        assert!((2700.0..=4500.0).contains(&failed(255, HOUR)));
        assert!(failed(9, Duration::from_secs(1)) <= 1.25);
    }

    #[test]
    fn a_refusal_is_confirmed_within_the_minute() {
        for _ in 0..1000 {
            let wait = delay(Next::Confirm, "a", HOUR, Clocks::default(), at(0)).as_secs_f64();
            assert!(wait > CONFIRM_AFTER as f64 && wait < CONFIRM_WITHIN as f64, "{wait}");
        }
    }

    #[test]
    fn dead_tokens_are_probed_ever_more_rarely() {
        let dead = |times, interval| delay(Next::Dead(times), "a", interval, Clocks::default(), at(0)).as_secs();
        assert!((6480..=7200).contains(&dead(1, HOUR)));
        assert!((12_960..=14_400).contains(&dead(2, HOUR)));
        assert!((77_760..=86_400).contains(&dead(200, HOUR)));
        let week = Duration::from_secs(7 * 86_400);
        assert!(dead(200, week) <= week.as_secs(), "never more rarely than its interval wants");
    }
}
