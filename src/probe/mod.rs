//! Probes credentials: reads their tokens, sends the calls of their network, and concludes.
//!
//! Credentials of one app can be probed together: networks that take batches then share calls among
//! them. A probe that fails has an [`Outcome`] like any other.
//!
//! Must not know the schedule, the stored state or metrics.

mod observe;

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::inventory::{CredentialView, Inventory, SecretSource};
use crate::model::{AppProblem, Cause, Timestamp};
use crate::network::{
    self, Account, Answer, Budget, Call, Clocks, Grant, Known, LoginNames, Network, Question,
    RateLimitStatus, Reading, Reset, ResolvedApp, Says, Seen, Style, Tokens, conclude, parse, read_answer,
    user_hash,
};
use crate::source::{self, TokenHash, TokenSet, Unreadable};
use crate::state::{Observation, Outcome};
use crate::transport::{Client, Failure, Limiter};

use self::observe::observe;
pub use self::observe::quote;

/// Maximum number of rounds of calls in one probe.
const ROUNDS: usize = 64;
/// How many seconds one half of an OAuth 1.0a pair may be older than the other before a refusal counts.
const HALF_PAIR_GRACE: i64 = 600;

/// What earlier probes of a credential have shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Earlier {
    /// Of the tokens of the last conclusive probe, unless it was made by an earlier process.
    pub token: Option<TokenHash>,
    pub probed: Option<Timestamp>,
    /// When the credential last worked; none if it does not work now.
    pub worked: Option<Timestamp>,
    /// Whether to ask the network only if the token has changed since.
    pub only_if_changed: bool,
}

/// Probes the credentials of an inventory. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Prober {
    client: Client,
    inventory: Arc<Inventory>,
    limiters: Arc<[Option<Limiter>]>,
}

struct Running<'a> {
    credential: usize,
    watched: CredentialView<'a>,
    tokens: Tokens,
    token: TokenHash,
    names: LoginNames,
    /// Whether only one half of an OAuth 1.0a pair has been replaced yet.
    half_replaced: bool,
    clocks: Clocks,
    accounts: Vec<Account<'a>>,
    seen: Vec<Seen>,
    limits: Vec<RateLimitStatus>,
    observations: Vec<Observation>,
    calls: usize,
    done: bool,
}

/// What the credentials of one probe have in common.
#[derive(Clone, Copy)]
struct Context<'a> {
    network: &'a dyn Network,
    style: Style<'a>,
    app: &'a ResolvedApp,
}

impl Prober {
    pub fn new(client: Client, inventory: Arc<Inventory>) -> Self {
        let limiters = inventory.apps().iter().map(|app| app.rate_limit.map(Limiter::new)).collect();
        Self { client, inventory, limiters }
    }

    pub fn inventory(&self) -> &Arc<Inventory> {
        &self.inventory
    }

    pub fn limiter(&self, app: Option<usize>) -> Option<&Limiter> {
        app.and_then(|app| self.limiters.get(app)).and_then(Option::as_ref)
    }

    /// Maximum number of credentials of the same app that can be probed together: one if the app is
    /// not known, as they may not share it.
    pub fn batch_size(&self, credential: CredentialView<'_>) -> usize {
        let batch = credential.network().network().batch(credential.style());
        batch.filter(|_| credential.app().is_some()).map_or(1, |batch| batch.max)
    }

    /// Probes credentials that share one app or, without an app, one network.
    pub async fn probe(&self, credentials: &[usize]) -> Vec<(usize, Outcome)> {
        let known: Vec<_> = credentials.iter().map(|credential| (*credential, Earlier::default())).collect();
        self.probe_again(&known).await
    }

    /// Probes credentials about which something is known. Returns no outcome for a credential whose
    /// token had to change for a probe, and has not.
    pub async fn probe_again(&self, credentials: &[(usize, Earlier)]) -> Vec<(usize, Outcome)> {
        let mut outcomes = Vec::with_capacity(credentials.len());
        let mut running = Vec::with_capacity(credentials.len());
        let mut app = None;
        for &(credential, earlier) in credentials {
            let Some(watched) = self.inventory.credential(credential) else { continue };
            if app.is_none() {
                app = Some(self.app(watched).await);
            }
            let started = match app {
                Some(Err(ref failure)) => Err(failure.clone()),
                _ => self.start(credential, watched, earlier).await,
            };
            match started {
                Ok(started) => running.extend(started),
                Err(Failure { cause, error }) => {
                    let accounts = watched.accounts().len();
                    let mut outcome = Outcome::undetermined(cause, accounts, Timestamp::now());
                    outcome.observations.push(Observation::without_call(cause, error));
                    outcomes.push((credential, outcome));
                }
            }
        }
        if let (Some(Ok(app)), Some(first)) = (&app, running.first()) {
            let network = first.watched.network().network();
            let context = Context { network, style: first.watched.style(), app };
            let mut clock = ClockCheck::default();
            self.ask(context, &mut running, &mut clock).await;
            outcomes.extend(running.iter().map(|r| (r.credential, context.conclude(r, clock))));
        }
        outcomes
    }

    /// Reads the tokens. None if they had to change for a probe, and have not.
    async fn start<'a>(
        &'a self,
        credential: usize,
        watched: CredentialView<'a>,
        earlier: Earlier,
    ) -> Result<Option<Running<'a>>, Failure> {
        let set = source::read_tokens(watched).await.map_err(|error| {
            let secret = watched.token_secret().map(|secret| format!(" or {}", secret.place()));
            let place = watched.token().place() + &secret.unwrap_or_default();
            unreadable("the token", &place, error)
        })?;
        let token = TokenHash::of(&set.tokens);
        if earlier.only_if_changed && !earlier.changed(&set, token).contains(&true) {
            return Ok(None);
        }
        for warning in set.warnings.iter().filter(|_| earlier.token != Some(token)) {
            let file = match watched.token() {
                SecretSource::File(path) => path.display().to_string(),
                _ => String::new(),
            };
            tracing::warn!(credential = watched.id(), file, warning, "token source warning");
        }
        let accounts = watched.accounts().filter_map(|a| self.inventory.account(a));
        let token_names = watched.network().network().notices().and_then(|form| form.token_names);
        let names = token_names.zip(set.tokens.refresh.as_ref()).map(|(names, refresh)| names(refresh));
        Ok(Some(Running {
            credential,
            watched,
            half_replaced: earlier.half_replaced(&set, token, watched.interval()),
            token,
            names: LoginNames { user: None, tokens: names.map(Arc::new) },
            tokens: set.tokens,
            clocks: set.clocks,
            accounts: accounts.map(|a| a.as_asked()).collect(),
            seen: Vec::new(),
            limits: Vec::new(),
            observations: Vec::new(),
            calls: 0,
            done: false,
        }))
    }

    async fn ask(&self, context: Context<'_>, running: &mut [Running<'_>], clock: &mut ClockCheck) {
        let network = context.network;
        for _ in 0..ROUNDS {
            let mut asked: Vec<(usize, Call)> = Vec::new();
            for (index, r) in running.iter_mut().enumerate().filter(|(_, r)| !r.done) {
                // Enough for the pages of lists, and a few calls for each account.
                let allowed = 64 + 4 * r.accounts.len();
                let mut calls = network.next(&context.grant(r), &r.seen);
                calls.truncate(allowed.saturating_sub(r.calls));
                r.calls += calls.len();
                r.done = calls.is_empty();
                asked.extend(calls.into_iter().map(|call| (index, call)));
            }
            if asked.is_empty() {
                return;
            }
            let answers = self.send(context, running, &asked, clock).await;
            for ((index, call), answer) in asked.into_iter().zip(answers) {
                let Some(r) = running.get_mut(index) else { continue };
                let reading = match &answer {
                    Ok(answer) => {
                        clock.compare(answer);
                        r.limits.extend(network.limits(answer));
                        let reading =
                            read_answer(network, &context.grant(r), &r.seen, call.question(), answer);
                        if reading.says == Says::Undetermined(Cause::RateLimited) {
                            r.limits.extend(retry_after(answer, Budget::Grant));
                        }
                        reading
                    }
                    Err(failure) => {
                        // Further calls of this probe would fail, too.
                        r.done = true;
                        Reading::undetermined(failure.cause)
                    }
                };
                let base_url = self.base_url(r.watched);
                let observation = observe(&call, base_url, &context.grant(r), reading.says, &answer);
                r.observations.push(observation);
                r.done |= reading.says == Says::Undetermined(Cause::RateLimited);
                r.seen.push(Seen { question: call.question(), reading });
            }
        }
    }

    async fn send(
        &self,
        context: Context<'_>,
        running: &mut [Running<'_>],
        asked: &[(usize, Call)],
        clock: &mut ClockCheck,
    ) -> Vec<Result<Answer, Failure>> {
        let mut answers = Vec::with_capacity(asked.len());
        let batch = context.network.batch(context.style).filter(|_| asked.len() > 1);
        for chunk in asked.chunks(batch.map_or(1, |b| b.max)) {
            let Some((index, first)) = chunk.first() else { continue };
            let Some(r) = running.get_mut(*index) else { continue };
            let base_url = self.base_url(r.watched);
            if let Some(limiter) = self.limiter(r.watched.app()) {
                // Networks count each call of a batch.
                limiter.acquire(chunk.len()).await;
            }
            let Some(batch) = batch.filter(|_| chunk.len() > 1) else {
                answers.push(self.client.send(first, base_url).await);
                continue;
            };
            let calls: Vec<&Call> = chunk.iter().map(|(_, call)| call).collect();
            let failure = match self.client.send(&(batch.pack)(context.app, &calls), base_url).await {
                Err(failure) => failure,
                Ok(answer) => {
                    clock.compare(&answer);
                    r.limits.extend(context.network.limits(&answer));
                    if let Some(items) = (batch.unpack)(&answer, chunk.len()) {
                        let cut_off = || Failure::new(Cause::Timeout, "the network has cut off the batch");
                        answers.extend(items.into_iter().map(|item| item.ok_or_else(cut_off)));
                        continue;
                    }
                    let grant = context.grant(r);
                    let reading = read_answer(context.network, &grant, &[], Question::default(), &answer);
                    let cause = batch_failure(&reading);
                    if cause == Cause::RateLimited {
                        // The app has sent the batch.
                        r.limits.extend(retry_after(&answer, Budget::App));
                    }
                    let status = answer.status.unwrap_or_default();
                    Failure::new(cause, format!("HTTP {status}: {}", quote(&answer, &context.grant(r))))
                }
            };
            answers.extend(chunk.iter().map(|_| Err(failure.clone())));
        }
        answers
    }

    async fn app(&self, credential: CredentialView<'_>) -> Result<ResolvedApp, Failure> {
        let Some(app) = self.inventory.app(credential) else {
            let api_version = credential.network().description().api_version.unwrap_or_default().to_owned();
            let probe_rules = credential.probe_rules().cloned().unwrap_or_default();
            return Ok(ResolvedApp { api_version, probe_rules, ..ResolvedApp::default() });
        };
        let client_secret = match &app.client_secret {
            None => None,
            Some(source) => match source.read().await {
                Ok((secret, _)) => Some(secret),
                Err(error) => {
                    // The network has refused nothing: this machine has not got the secret.
                    return Err(unreadable("the app's secret", &source.place(), error));
                }
            },
        };
        Ok(ResolvedApp {
            client_id: app.client_id.clone(),
            client_secret,
            api_version: app.api_version.clone(),
            endpoints: app.endpoints.clone(),
            probe_rules: credential.probe_rules().unwrap_or(&app.probe_rules).clone(),
        })
    }

    fn base_url<'a>(&'a self, credential: CredentialView<'a>) -> Option<&'a Url> {
        credential.base_url().or_else(|| self.inventory.app(credential).and_then(|app| app.base_url.as_ref()))
    }
}

impl<'a> Context<'a> {
    fn grant<'r>(self, running: &'r Running<'_>) -> Grant<'r>
    where
        'a: 'r,
    {
        Grant { style: self.style, app: self.app, tokens: &running.tokens, accounts: &running.accounts }
    }

    fn conclude(self, running: &Running<'_>, clock: ClockCheck) -> Outcome {
        let now = Timestamp::now();
        let half_replaced = running.half_replaced.then_some(Cause::CredentialUnreadable);
        let excuse = half_replaced.or_else(|| clock.is_wrong().then_some(Cause::ClockSkew));
        let auto_refresh = running.watched.auto_refresh();
        let clocks = network::clocks(running.clocks, &running.seen);
        let lifetime = clocks.access.at().zip(clocks.issued).map_or(0, |(end, start)| end.since(start));
        let interval = i64::try_from(running.watched.interval().as_secs()).unwrap_or(i64::MAX);
        let grace = lifetime.max(interval);
        let known = Known { now, clocks: running.clocks, auto_refresh, grace, excuse };
        let mut observations = running.observations.clone();
        observations.extend(excuse.map(|cause| {
            let error = if half_replaced.is_some() {
                "one half of the token pair is new, the other is not".to_owned()
            } else {
                format!("this machine's clock differs by {} s", clock.difference)
            };
            Observation::without_call(cause, error)
        }));
        let user = running.seen.iter().find_map(|s| s.reading.user_id.as_deref()).map(user_hash);
        Outcome {
            observations,
            at: now,
            findings: conclude(&self.grant(running), &running.seen, &known),
            clocks: Some(clocks),
            limits: running.limits.clone(),
            version_ended: running.seen.iter().any(|s| s.reading.version_ended),
            token: Some(running.token),
            names: LoginNames { user, ..running.names.clone() },
        }
    }
}

impl Earlier {
    /// Whether the token, and whether the token secret, has changed since. Without a hash the times of
    /// the files tell; what comes from no file counts as changed.
    fn changed(self, set: &TokenSet, token: TokenHash) -> [bool; 2] {
        match self.token {
            Some(earlier) => token.changed_since(earlier),
            None => {
                let since = self.worked.or(self.probed);
                let [first, second] = set.written.map(|at| at.is_none_or(|at| Some(at) >= since));
                [first, second && set.tokens.secret.is_some()]
            }
        }
    }

    /// Whether one half of an OAuth 1.0a pair that worked has just been replaced, and the other not yet.
    fn half_replaced(self, set: &TokenSet, token: TokenHash, interval: Duration) -> bool {
        let (Some(worked), Some(_)) = (self.worked, &set.tokens.secret) else { return false };
        let replaced = match self.changed(set, token) {
            [true, false] => set.written[0],
            [false, true] => set.written[1],
            _ => return false,
        };
        let interval = i64::try_from(interval.as_secs()).unwrap_or(i64::MAX);
        let since = replaced.map_or(worked.plus(interval), |at| at.max(worked));
        Timestamp::now().since(since) <= HALF_PAIR_GRACE
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct ClockCheck {
    agrees: bool,
    differs: bool,
    /// In seconds, by the last answer that tells.
    difference: i64,
}

impl ClockCheck {
    fn compare(&mut self, answer: &Answer) {
        /// Difference in seconds from which on a clock is wrong.
        const TOLERANCE: i64 = 120;
        let Some(Reset::At(date)) = answer.header("date").and_then(parse::reset) else { return };
        // A cache keeps the date of the original answer and says how old it is.
        let age = answer.header("age").and_then(|age| age.trim().parse::<u32>().ok()).unwrap_or(0);
        self.difference = date.plus(age.into()).since(Timestamp::now()).abs();
        let off = self.difference >= TOLERANCE;
        self.differs |= off;
        self.agrees |= !off;
    }

    fn is_wrong(self) -> bool {
        self.differs && !self.agrees
    }
}

fn unreadable(what: &str, place: &str, error: Unreadable) -> Failure {
    let cause = match error {
        Unreadable::Unread => Cause::SourceUnavailable,
        _ => Cause::CredentialUnreadable,
    };
    Failure::new(cause, format!("{what} cannot be read from {place}: {error}"))
}

/// The rate limit that `Retry-After` states, for any network.
fn retry_after(answer: &Answer, budget: Budget) -> Option<RateLimitStatus> {
    parse::retry_after(answer).map(|reset| RateLimitStatus {
        bucket: "retry_after",
        budget,
        used: None,
        reset: Some(reset),
    })
}

/// Why a batch has failed as a whole. A refusal says nothing about the tokens in it, as the app has sent
/// the batch.
fn batch_failure(reading: &Reading) -> Cause {
    match reading.says {
        Says::Undetermined(cause) => cause,
        Says::Refused(_) => Cause::AppMisconfigured(AppProblem::Unknown),
        Says::Accepted | Says::Nothing => Cause::UnexpectedAnswer,
    }
}
