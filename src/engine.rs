//! The engine: decides which credential is probed when, keeps that bounded, and hands outcomes to the store.
//!
//! One task owns the schedule. Credentials wait in a heap until they are due, then in a lane for their app, and are
//! taken from the lanes in turn: an app that is slow, limited or paused does not hold up the others. Everything it
//! needs to start anew is in the store, so a reload ends one engine and starts the next.

use std::collections::{HashMap, HashSet, VecDeque};
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
use crate::timetable::Timetable;

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
}

/// Probes everything in a roster until it is told to stop.
pub struct Engine {
    prober: Arc<Prober>,
    store: Arc<Store>,
    metrics: Metrics,
    concurrency: usize,
    timetable: Timetable,
    lanes: Vec<Lane>,
    lane_of: Vec<u32>,
    turn: usize,
    queued: HashSet<usize>,
    waiting: HashMap<usize, Vec<oneshot::Sender<()>>>,
    tasks: JoinSet<(Vec<(usize, Outcome)>, Duration)>,
    flying: HashMap<Id, Vec<usize>>,
    busy: HashSet<usize>,
}

/// The first probes of many credentials are spread so that about so many start in a second.
const FIRST_ROUND_PER_SECOND: f64 = 20.0;
/// After trouble the next try comes after this, then twice that, up to the usual interval.
const FIRST_RETRY: Duration = Duration::from_secs(60);
/// Dead tokens are probed ever more rarely, down to once in this time (or the interval, if longer).
const RAREST: Duration = Duration::from_secs(86_400);
/// No header makes the exporter wait longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(86_400);
/// How many other credentials of an app are asked when a good one turns bad.
const WITNESSES: usize = 4;

impl Engine {
    /// An engine for the prober's roster; what the store knows decides who is due when. Those whose token `changed` are
    /// due at once.
    pub fn new(prober: Arc<Prober>, store: Arc<Store>, metrics: Metrics, concurrency: usize, changed: &[usize]) -> Self {
        let roster = prober.roster().clone();
        let mut places: HashMap<(Option<usize>, NetworkId), u32> = HashMap::new();
        let lane_of: Vec<u32> = roster
            .credentials()
            .map(|c| {
                let next = u32::try_from(places.len()).unwrap_or(u32::MAX);
                *places.entry((c.app(), c.network())).or_insert(next)
            })
            .collect();
        let mut engine = Self {
            lanes: (0..places.len()).map(|_| Lane::default()).collect(),
            timetable: Timetable::new(lane_of.len()),
            lane_of,
            prober,
            store,
            metrics,
            concurrency,
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
        for (index, watched) in roster.credentials().enumerate() {
            let state = snapshot.credentials.get(index);
            let place = fraction(watched.id());
            let spread = first_round.min(watched.interval()).mul_f64(place);
            let overdue = all.min(watched.interval()).mul_f64(place);
            let delay = match state.and_then(|s| s.last_probe.map(|last| (s, last))) {
                Some((state, last)) => {
                    let pending = watched.accounts().any(|a| snapshot.accounts.get(a).is_some_and(|a| a.pending.is_some()));
                    let next = if pending { Next::Confirm } else { next_of(state) };
                    let due = delay_after(next, place, watched.interval(), state.clocks, now).as_secs();
                    let since = u64::try_from(now.since(last)).unwrap_or(0);
                    // Overdue ones (after a long stop) come back spread out.
                    if since >= due { overdue } else { Duration::from_secs(due - since) }
                }
                None => spread,
            };
            self.timetable.plan(index, instant + delay);
        }
        for network in roster.credentials().map(|c| c.network()).collect::<HashSet<_>>() {
            self.metrics.announce(network);
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
        while let Some(credential) = self.timetable.pop(now) {
            self.enqueue(credential, false);
        }
    }

    fn enqueue(&mut self, credential: usize, first: bool) {
        self.timetable.forget(credential);
        if self.queued.insert(credential) {
            let lane = self.lane_of.get(credential).copied().unwrap_or(0);
            if let Some(lane) = self.lanes.get_mut(lane as usize) {
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

    /// Starts probes, one lane after the other, as far as the bounds allow.
    fn dispatch(&mut self) {
        let now = Instant::now();
        let mut idle = 0;
        while self.tasks.len() < self.concurrency && idle < self.lanes.len() {
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
        let Some(watched) = self.prober.roster().credential(first) else { return false };
        let (network, app) = (watched.network(), watched.app());
        if self.prober.limiter(app).is_some_and(|l| !l.wait().is_zero()) {
            return false;
        }
        let together = network.network().batch().map_or(1, |batch| batch.max);
        // A credential that is being probed right now waits: its result is on the way.
        let mut credentials = Vec::new();
        let mut later = VecDeque::new();
        while let Some(credential) = lane.ready.pop_front() {
            if self.busy.contains(&credential) {
                later.push_back(credential);
            } else {
                credentials.push(credential);
                self.queued.remove(&credential);
                if credentials.len() == together {
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
        if let Some(at) = self.timetable.next() {
            wake = wake.min(at);
        }
        if self.tasks.len() < self.concurrency {
            for lane in self.lanes.iter().filter(|l| !l.ready.is_empty()) {
                let first = lane.ready.front().and_then(|c| self.prober.roster().credential(*c));
                let limited = first.and_then(|w| self.prober.limiter(w.app())).map_or(Duration::ZERO, |l| l.wait());
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
            self.busy.remove(&credential);
            let roster = self.prober.roster().clone();
            let Some(watched) = roster.credential(credential) else { continue };
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
                let _ = waiting.send(());
            }
            let mut at = Instant::now() + delay_after(applied.next, fraction(watched.id()), watched.interval(), applied.clocks, outcome.at);
            if let Some(until) = self.obey_limits(credential, &outcome) {
                at = at.max(until);
            }
            if !self.queued.contains(&credential) {
                self.timetable.plan(credential, at);
            }
            if applied.suspicious {
                self.call_witnesses(credential);
            }
        }
    }

    /// Pauses the lane, or only the credential, as the network wants it.
    fn obey_limits(&mut self, credential: usize, outcome: &Outcome) -> Option<Instant> {
        let limited = outcome.findings.iter().any(|f| f.verdict == Verdict::Undetermined(Cause::RateLimited));
        let lane = self.lanes.get_mut(*self.lane_of.get(credential)? as usize)?;
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
        let app = roster.credential(credential).and_then(|c| c.app());
        let valid = |watched: &Watched<'_>| watched.accounts().any(|a| snapshot.accounts.get(a).is_some_and(|s| s.is_valid()));
        let others = roster.credentials().enumerate().filter(|(i, c)| *i != credential && c.app() == app && valid(c));
        let witnesses: Vec<usize> = others.map(|(i, _)| i).take(WITNESSES).collect();
        for witness in witnesses {
            self.enqueue(witness, true);
        }
    }

    /// A panic in a network's code costs this probe, no more.
    fn lost(&mut self, error: &tokio::task::JoinError) {
        for credential in self.flying.remove(&error.id()).unwrap_or_default() {
            let roster = self.prober.roster().clone();
            let Some(watched) = roster.credential(credential) else { continue };
            tracing::error!(credential = watched.id(), "a fault in this program cost a probe");
            self.metrics.panicked(watched.network());
            let outcome = Outcome::undetermined(Cause::UnexpectedAnswer, watched.accounts().len(), Timestamp::now());
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

/// How long until the next probe of a credential whose place in the interval is this fraction of it.
fn delay_after(next: Next, place: f64, interval: Duration, clocks: Clocks, now: Timestamp) -> Duration {
    let regular = || {
        // Each credential keeps its own place within the interval, so that probes stay spread over it.
        let period = interval.as_secs_f64();
        let place = period * place;
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
    use crate::time::Expiry;

    const HOUR: Duration = Duration::from_secs(3600);

    fn delay(next: Next, id: &str, interval: Duration, clocks: Clocks, now: Timestamp) -> Duration {
        delay_after(next, fraction(id), interval, clocks, now)
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
