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
use crate::network::{Budget, Clocks, NetworkId, Verdict};
use crate::probe::Prober;
use crate::reason::Cause;
use crate::roster::{Watched, stable_hash};
use crate::rules::{CONFIRM_AFTER, CONFIRM_WITHIN};
use crate::store::{CredentialState, Next, Outcome, Store, must_pause};
use crate::time::Timestamp;

/// A wish for a probe at once.
#[derive(Debug)]
pub enum Wish {
    /// Somebody waits for the result.
    Probe(usize, oneshot::Sender<()>),
    /// The token's source changed.
    Changed(usize),
}

/// Credentials of one app, or of one network that needs none.
#[derive(Debug, Default)]
struct Lane {
    ready: VecDeque<usize>,
    paused: Option<Instant>,
    /// How often in a row it was paused without the network saying for how long.
    patience: u32,
    /// So many can share a call…
    together: usize,
    /// …and are waited for until then.
    gather: Option<Instant>,
}

/// How much is probed.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// So many probes at once.
    pub concurrency: usize,
    /// Only what is wished for is probed, and what such a probe left open.
    pub on_demand: bool,
}

/// Probes everything in a roster until it is told to stop.
pub struct Engine {
    prober: Arc<Prober>,
    store: Arc<Store>,
    metrics: Metrics,
    pace: Pace,
    /// Due times, as a heap of the earliest; an entry counts if it is the credential's latest.
    heap: BinaryHeap<Reverse<(Instant, usize)>>,
    due: Vec<Option<Instant>>,
    lanes: Vec<Lane>,
    lane_of: Vec<usize>,
    turn: usize,
    queued: HashSet<usize>,
    waiting: HashMap<usize, Vec<oneshot::Sender<()>>>,
    tasks: JoinSet<(Vec<(usize, Outcome)>, Duration)>,
    flying: HashMap<Id, Vec<usize>>,
    busy: HashSet<usize>,
}

/// The first probes of many credentials are spread so that about so many start in a second.
const FIRST_ROUND_PER_SECOND: f64 = 20.0;
/// Where questions share calls, whoever is due waits so long for company.
const GATHER: Duration = Duration::from_secs(1);
/// After trouble the next try comes after this, then twice that, up to the usual interval.
const FIRST_RETRY: Duration = Duration::from_secs(60);
/// Dead tokens are probed ever more rarely, down to once in this time (or the interval, if longer).
const RAREST: Duration = Duration::from_secs(86_400);
/// No header makes the exporter wait longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(86_400);
/// How many other credentials of an app are asked when a good one turns bad.
const WITNESSES: usize = 4;

impl Pace {
    /// Whether such a next probe is made without being wished for. What a probe left open – a refusal to be confirmed, trouble
    /// on the way – is always followed up.
    fn plans(self, next: Next) -> bool {
        !self.on_demand || matches!(next, Next::Confirm | Next::Failed(_))
    }
}

impl Engine {
    /// An engine for the prober's roster; what the store knows decides who is due when. Those whose token `changed` are
    /// due at once.
    pub fn new(prober: Arc<Prober>, store: Arc<Store>, metrics: Metrics, pace: Pace, changed: &[usize]) -> Self {
        let roster = prober.roster().clone();
        let mut places: HashMap<(Option<usize>, NetworkId), usize> = HashMap::new();
        let lane_of: Vec<usize> = roster
            .credentials()
            .iter()
            .map(|c| {
                let next = places.len();
                *places.entry((c.config.app, c.config.network)).or_insert(next)
            })
            .collect();
        let mut lanes: Vec<Lane> = (0..places.len()).map(|_| Lane::default()).collect();
        for (watched, lane) in roster.credentials().iter().zip(&lane_of) {
            if let Some(lane) = lanes.get_mut(*lane).filter(|lane| lane.together == 0) {
                lane.together = prober.together(&watched.config);
            }
        }
        let mut engine = Self {
            lanes,
            due: vec![None; lane_of.len()],
            lane_of,
            prober,
            store,
            metrics,
            pace,
            heap: BinaryHeap::new(),
            turn: 0,
            queued: HashSet::new(),
            waiting: HashMap::new(),
            tasks: JoinSet::new(),
            flying: HashMap::new(),
            busy: HashSet::new(),
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
        let all = Duration::from_secs_f64(roster.credentials().len() as f64 / FIRST_ROUND_PER_SECOND);
        let fresh = snapshot.credentials.iter().filter(|s| s.last_probe.is_none()).count();
        let first_round = Duration::from_secs_f64(fresh as f64 / FIRST_ROUND_PER_SECOND);
        for (index, watched) in roster.credentials().iter().enumerate() {
            let state = snapshot.credentials.get(index);
            let place = fraction(&watched.config.id);
            let spread = first_round.min(watched.interval).mul_f64(place);
            let overdue = all.min(watched.interval).mul_f64(place);
            let delay = match state.and_then(|s| s.last_probe.map(|last| (s, last))) {
                Some((state, last)) => {
                    let pending = watched.accounts.clone().any(|a| snapshot.accounts.get(a).is_some_and(|a| a.pending.is_some()));
                    let next = if pending { Next::Confirm } else { next_of(state) };
                    if !self.pace.plans(next) {
                        continue;
                    }
                    let due = delay_after(next, watched, state.clocks, now).as_secs();
                    let since = u64::try_from(now.since(last)).unwrap_or(0);
                    // Overdue ones (after a long stop) come back spread out.
                    if since >= due { overdue } else { Duration::from_secs(due - since) }
                }
                None if self.pace.on_demand => continue,
                None => spread,
            };
            self.plan(index, instant + delay);
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
    pub async fn run(mut self, mut wishes: mpsc::Receiver<Wish>, mut stop: watch::Receiver<bool>) {
        loop {
            self.collect_due();
            self.dispatch();
            let wake = self.next_wake();
            tokio::select! {
                _ = stop.changed() => break,
                Some(wish) = wishes.recv() => self.grant(wish),
                Some(done) = self.tasks.join_next_with_id() => match done {
                    Ok((id, (outcomes, took))) => {
                        self.flying.remove(&id);
                        self.finish(outcomes, took);
                    }
                    Err(error) => self.lost(&error),
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
                if first {
                    lane.gather = None;
                    lane.ready.push_front(credential);
                } else {
                    if lane.ready.is_empty() && lane.together > 1 {
                        lane.gather = Some(Instant::now() + GATHER);
                    }
                    lane.ready.push_back(credential);
                }
            }
        }
    }

    fn grant(&mut self, wish: Wish) {
        let credential = match wish {
            Wish::Probe(credential, reply) => {
                self.waiting.entry(credential).or_default().push(reply);
                if self.busy.contains(&credential) {
                    // The probe under way is for all who wait.
                    return;
                }
                credential
            }
            Wish::Changed(credential) => credential,
        };
        self.enqueue(credential, true);
    }

    /// Starts probes, one lane after the other, as far as the bounds allow.
    fn dispatch(&mut self) {
        let now = Instant::now();
        let mut idle = 0;
        while self.tasks.len() < self.pace.concurrency && idle < self.lanes.len() {
            let turn = self.turn % self.lanes.len();
            self.turn = turn + 1;
            if self.start_from(turn, now) { idle = 0 } else { idle += 1 }
        }
    }

    fn start_from(&mut self, lane: usize, now: Instant) -> bool {
        let Some(lane) = self.lanes.get_mut(lane) else { return false };
        if lane.paused.is_some_and(|until| until > now) {
            return false;
        }
        lane.paused = None;
        let Some(&first) = lane.ready.front() else { return false };
        if lane.ready.len() < lane.together && lane.gather.is_some_and(|until| until > now) {
            return false;
        }
        lane.gather = None;
        let Some(watched) = self.prober.roster().credentials().get(first) else { return false };
        if self.prober.limiter(watched.config.app).is_some_and(|l| !l.wait().is_zero()) {
            return false;
        }
        // A credential that is being probed right now waits: its result is on the way.
        let mut credentials = Vec::new();
        let mut later = VecDeque::new();
        while let Some(credential) = lane.ready.pop_front() {
            if self.busy.contains(&credential) {
                later.push_back(credential);
            } else {
                credentials.push(credential);
                self.queued.remove(&credential);
                if credentials.len() == lane.together {
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
        self.busy.extend(&credentials);
        self.flying.insert(handle.id(), credentials);
        true
    }

    /// When there is something to do at the latest, if nothing happens before.
    fn next_wake(&self) -> Instant {
        let now = Instant::now();
        let mut wake = now + Duration::from_secs(60);
        if let Some(Reverse((at, _))) = self.heap.peek() {
            wake = wake.min(*at);
        }
        if self.tasks.len() < self.pace.concurrency {
            for lane in self.lanes.iter().filter(|l| !l.ready.is_empty()) {
                let first = lane.ready.front().and_then(|c| self.prober.roster().credentials().get(*c));
                let limited = first.and_then(|w| self.prober.limiter(w.config.app)).map_or(Duration::ZERO, |l| l.wait());
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
            self.busy.remove(&credential);
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
                let _ = waiting.send(());
            }
            let mut at = Instant::now() + delay_after(applied.next, watched, applied.clocks, outcome.at);
            if let Some(until) = self.obey_limits(credential, &outcome) {
                at = at.max(until);
            }
            if self.pace.plans(applied.next) && !self.queued.contains(&credential) {
                self.plan(credential, at);
            }
            if applied.suspicious {
                self.call_witnesses(credential);
            }
        }
    }

    /// Pauses the lane, or only the credential, as the network wants it.
    fn obey_limits(&mut self, credential: usize, outcome: &Outcome) -> Option<Instant> {
        let limited = outcome.findings.iter().any(|f| f.verdict == Verdict::Undetermined(Cause::RateLimited));
        let lane = self.lanes.get_mut(*self.lane_of.get(credential)?)?;
        let now = Timestamp::now();
        let later = |until: Timestamp| {
            let wait = u64::try_from(until.since(now)).unwrap_or(0);
            Instant::now() + Duration::from_secs(wait).min(LONGEST_PAUSE)
        };
        let mut wait: Option<Instant> = None;
        let mut told = false;
        for (budget, until) in outcome.limits.iter().filter_map(|l| must_pause(l, limited, now)) {
            told = true;
            match budget {
                Budget::App => lane.paused = lane.paused.max(Some(later(until))),
                Budget::Grant => wait = wait.max(Some(later(until))),
            }
        }
        if !limited {
            lane.patience = 0;
        } else if !told {
            // It wants patience and does not say how much: ever more.
            let pause = FIRST_RETRY * 2_u32.pow(lane.patience.min(4));
            lane.patience += 1;
            lane.paused = lane.paused.max(Some(Instant::now() + pause));
        }
        wait
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

    /// A panic in a network's code costs this probe, no more.
    fn lost(&mut self, error: &tokio::task::JoinError) {
        for credential in self.flying.remove(&error.id()).unwrap_or_default() {
            let roster = self.prober.roster().clone();
            let Some(watched) = roster.credentials().get(credential) else { continue };
            tracing::error!(credential = watched.config.id, "a fault in this program cost a probe");
            self.metrics.panicked(watched.config.network);
            let outcome = Outcome::undetermined(Cause::UnexpectedAnswer, watched.accounts.len(), Timestamp::now());
            self.finish(vec![(credential, outcome)], Duration::ZERO);
        }
    }
}

/// What the state says follows, when the outcome itself is no longer at hand.
fn next_of(state: &CredentialState) -> Next {
    match (state.failures, state.deaths) {
        (0, 0) => Next::Regular,
        (0, deaths) => Next::Dead(deaths),
        (failures, _) => Next::Failed(failures),
    }
}

/// How long until the next probe.
fn delay_after(next: Next, watched: &Watched, clocks: Clocks, now: Timestamp) -> Duration {
    let interval = watched.interval;
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
            delay.min(interval).mul_f64(0.75 + 0.5 * fastrand::f64())
        }
        Next::Confirm => {
            Duration::from_secs_f64(CONFIRM_AFTER as f64 + 1.0 + (CONFIRM_WITHIN - CONFIRM_AFTER - 10) as f64 * fastrand::f64())
        }
        Next::Dead(times) => {
            let rare = interval.saturating_mul(2_u32.pow(u32::from(times.min(16))));
            rare.min(RAREST.max(interval)).mul_f64(0.9 + 0.1 * fastrand::f64())
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
