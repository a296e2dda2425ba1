//! One probe: read the token, let the network ask, carry questions and answers, conclude.
//!
//! Several credentials of one app can be probed together; where the network takes batches their
//! questions then share calls. A probe that fails is an [`Outcome`] like any other. Knows no
//! schedule, no store and no metric.

use std::sync::Arc;

use url::Url;

use crate::inventory::{CredentialView, Inventory};
use crate::model::{Cause, Timestamp};
use crate::network::{
    self, Account, Answer, Budget, Call, Clocks, Grant, Known, Network, Question, RateLimitStatus, Reading,
    ResolvedApp, Seen, Style, Tokens, conclude, parse, read_answer,
};
use crate::source;
use crate::state::Outcome;
use crate::transport::{Client, Limiter};

/// A probe ends after so many rounds, whatever the network would still like to ask.
const ROUNDS: usize = 64;

/// What probes work with.
#[derive(Clone, Debug)]
pub struct Prober {
    client: Client,
    inventory: Arc<Inventory>,
    /// By app of the inventory.
    limiters: Arc<[Option<Limiter>]>,
}

/// A credential while it is probed.
struct Running<'a> {
    credential: usize,
    watched: CredentialView<'a>,
    tokens: Tokens,
    clocks: Clocks,
    accounts: Vec<Account<'a>>,
    seen: Vec<Seen>,
    limits: Vec<RateLimitStatus>,
    calls: usize,
    done: bool,
}

impl Prober {
    /// A prober of these credentials.
    pub fn new(client: Client, inventory: Arc<Inventory>) -> Self {
        let limiters = inventory.apps().iter().map(|app| app.rate_limit.map(Limiter::new)).collect();
        Self { client, inventory, limiters }
    }

    /// Who is probed.
    pub fn inventory(&self) -> &Arc<Inventory> {
        &self.inventory
    }

    /// The limiter of an app, if it has one.
    pub fn limiter(&self, app: Option<usize>) -> Option<&Limiter> {
        app.and_then(|app| self.limiters.get(app)).and_then(Option::as_ref)
    }

    /// How many credentials of this one's app can be probed together. Whose app is not known might
    /// not share one.
    pub fn together(&self, credential: CredentialView<'_>) -> usize {
        let batch = credential.network().network().batch(credential.style());
        batch.filter(|_| credential.app().is_some()).map_or(1, |batch| batch.max)
    }

    /// Probes credentials that share one app (or, without an app, one network), by their places in
    /// the inventory.
    pub async fn probe(&self, credentials: &[usize]) -> Vec<(usize, Outcome)> {
        let mut outcomes = Vec::with_capacity(credentials.len());
        let mut running = Vec::with_capacity(credentials.len());
        let mut app = None;
        for &credential in credentials {
            let Some(watched) = self.inventory.credential(credential) else { continue };
            let accounts = watched.accounts();
            if app.is_none() {
                app = Some(self.app(watched).await);
            }
            if let Some(Err(cause)) = app {
                outcomes.push((credential, Outcome::undetermined(cause, accounts.len(), Timestamp::now())));
                continue;
            }
            match source::read_tokens(watched).await {
                Ok(token) => running.push(Running {
                    credential,
                    watched,
                    tokens: token.tokens,
                    clocks: token.clocks,
                    accounts: accounts
                        .filter_map(|a| self.inventory.account(a))
                        .map(|a| a.as_asked())
                        .collect(),
                    seen: Vec::new(),
                    limits: Vec::new(),
                    calls: 0,
                    done: false,
                }),
                Err(error) => {
                    tracing::warn!(credential = watched.id(), %error, "token cannot be read");
                    outcomes.push((
                        credential,
                        Outcome::undetermined(Cause::CredentialUnreadable, accounts.len(), Timestamp::now()),
                    ));
                }
            }
        }
        if let (Some(Ok(app)), Some(first)) = (&app, running.first()) {
            let network = first.watched.network().network();
            let style = first.watched.style();
            self.ask(network, style, app, &mut running).await;
            outcomes.extend(running.iter().map(|r| (r.credential, r.conclude(style, app))));
        }
        outcomes
    }

    /// Rounds of questions and answers until nothing is left to ask.
    async fn ask(
        &self,
        network: &dyn Network,
        style: Style<'_>,
        app: &ResolvedApp,
        running: &mut [Running<'_>],
    ) {
        for _ in 0..ROUNDS {
            let mut asked: Vec<(usize, Call)> = Vec::new();
            for (place, r) in running.iter_mut().enumerate().filter(|(_, r)| !r.done) {
                // Generous: paging of lists, and a few questions about each account.
                let allowed = 64 + 4 * r.accounts.len();
                let mut calls = network.next(&r.grant(style, app), &r.seen);
                calls.truncate(allowed.saturating_sub(r.calls));
                r.calls += calls.len();
                r.done = calls.is_empty();
                asked.extend(calls.into_iter().map(|call| (place, call)));
            }
            if asked.is_empty() {
                return;
            }
            let answers = self.carry(network, style, app, running, &asked).await;
            for ((place, call), answer) in asked.into_iter().zip(answers) {
                let Some(r) = running.get_mut(place) else { continue };
                let reading = match answer {
                    Ok(answer) => {
                        r.limits.extend(network.limits(&answer));
                        let reading =
                            read_answer(network, &r.grant(style, app), &r.seen, call.question(), &answer);
                        if reading.says == network::Says::Undetermined(Cause::RateLimited) {
                            r.limits.extend(retry_after(&answer, r.watched.app().is_some()));
                        }
                        blame_clock(reading, style, &answer)
                    }
                    Err(cause) => {
                        // No way through: further questions of this probe would meet the same.
                        r.done = true;
                        Reading::undetermined(cause)
                    }
                };
                r.done |= reading.says == network::Says::Undetermined(Cause::RateLimited);
                r.seen.push(Seen { question: call.question(), reading });
            }
        }
    }

    /// Carries questions to the network, together where it takes batches.
    async fn carry(
        &self,
        network: &dyn Network,
        style: Style<'_>,
        app: &ResolvedApp,
        running: &mut [Running<'_>],
        asked: &[(usize, Call)],
    ) -> Vec<Result<Answer, Cause>> {
        let mut answers = Vec::with_capacity(asked.len());
        let batch = network.batch(style).filter(|_| asked.len() > 1);
        for chunk in asked.chunks(batch.map_or(1, |b| b.max)) {
            let Some((place, first)) = chunk.first() else { continue };
            let watched = running.get(*place).map(|r| r.watched);
            let limiter = self.limiter(watched.and_then(|w| w.app()));
            let base_url = watched.and_then(|w| self.base_url(w));
            // Networks count each question of a batch.
            if let Some(limiter) = limiter {
                limiter.acquire(chunk.len()).await;
            }
            let Some(batch) = batch.filter(|_| chunk.len() > 1) else {
                answers.push(self.client.send(first, base_url).await);
                continue;
            };
            let calls: Vec<&Call> = chunk.iter().map(|(_, call)| call).collect();
            match self.client.send(&(batch.pack)(app, &calls), base_url).await {
                Err(cause) => answers.extend(chunk.iter().map(|_| Err(cause))),
                Ok(answer) => {
                    if let Some(r) = running.get_mut(*place) {
                        r.limits.extend(network.limits(&answer));
                    }
                    match (batch.unpack)(&answer, chunk.len()) {
                        Some(items) => {
                            answers.extend(items.into_iter().map(|item| item.ok_or(Cause::Timeout)))
                        }
                        None => {
                            let cause = running.get(*place).map_or(Cause::UnexpectedAnswer, |r| {
                                batch_trouble(&read_answer(
                                    network,
                                    &r.grant(style, app),
                                    &[],
                                    Question::default(),
                                    &answer,
                                ))
                            });
                            answers.extend(chunk.iter().map(|_| Err(cause)));
                        }
                    }
                }
            }
        }
        answers
    }

    /// The app of a credential as its network sees it.
    async fn app(&self, credential: CredentialView<'_>) -> Result<ResolvedApp, Cause> {
        let Some(app) = self.inventory.app(credential) else {
            let api_version = credential.network().description().api_version.unwrap_or_default().to_owned();
            return Ok(ResolvedApp { api_version, ..ResolvedApp::default() });
        };
        let client_secret = match &app.client_secret {
            None => None,
            Some(source) => match source.read().await {
                Ok((secret, _)) => Some(secret),
                Err(error) => {
                    tracing::warn!(app = app.id, %error, "client secret cannot be read");
                    return Err(Cause::AppMisconfigured);
                }
            },
        };
        Ok(ResolvedApp {
            client_id: app.client_id.clone(),
            client_secret,
            api_version: app.api_version.clone(),
            endpoints: app.endpoints.clone(),
        })
    }

    fn base_url<'a>(&'a self, credential: CredentialView<'a>) -> Option<&'a Url> {
        credential.base_url().or_else(|| self.inventory.app(credential).and_then(|app| app.base_url.as_ref()))
    }
}

impl Running<'_> {
    fn grant<'a>(&'a self, style: Style<'a>, app: &'a ResolvedApp) -> Grant<'a> {
        Grant { style, app, tokens: &self.tokens, accounts: &self.accounts }
    }

    fn conclude(&self, style: Style<'_>, app: &ResolvedApp) -> Outcome {
        let now = Timestamp::now();
        let auto_refresh = self.watched.auto_refresh();
        let clocks = network::clocks(self.clocks, &self.seen);
        let lifetime = clocks.access.at().zip(clocks.issued).map_or(0, |(end, start)| end.since(start));
        let interval = i64::try_from(self.watched.interval().as_secs()).unwrap_or(i64::MAX);
        let known = Known { now, clocks: self.clocks, auto_refresh, grace: lifetime.max(interval) };
        Outcome {
            at: now,
            findings: conclude(&self.grant(style, app), &self.seen, &known),
            clocks: Some(clocks),
            limits: self.limits.clone(),
        }
    }
}

/// What `Retry-After` asks for, whichever network sends it.
fn retry_after(answer: &Answer, has_app: bool) -> Option<RateLimitStatus> {
    let budget = if has_app { Budget::App } else { Budget::Grant };
    parse::retry_after(answer).map(|reset| RateLimitStatus {
        bucket: "retry_after",
        budget,
        used: None,
        reset: Some(reset),
    })
}

/// A signed request is refused when the clocks differ; the answer's date tells.
fn blame_clock(reading: Reading, style: Style<'_>, answer: &Answer) -> Reading {
    /// RFC 5849 leaves the tolerance to the network; X allows five minutes.
    const TOLERANCE: i64 = 300;
    let refused = reading.refusal().is_some_and(|r| r.certainty == network::Certainty::Ambiguous);
    let date = answer.header("date").and_then(parse::reset);
    match date {
        Some(network::Reset::At(date))
            if refused && style.oauth1 && date.since(Timestamp::now()).abs() > TOLERANCE =>
        {
            Reading::undetermined(Cause::ClockSkew)
        }
        _ => reading,
    }
}

/// A batch that was refused as a whole says nothing about the tokens in it: it was the app that
/// asked.
fn batch_trouble(reading: &Reading) -> Cause {
    match reading.says {
        network::Says::Undetermined(cause) => cause,
        network::Says::Refused(_) => Cause::AppMisconfigured,
        network::Says::Accepted | network::Says::Nothing => Cause::UnexpectedAnswer,
    }
}
