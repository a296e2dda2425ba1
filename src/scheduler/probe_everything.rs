//! Probes every credential once, for `check` and `schedule`: without a schedule, without second probes
//! of refusals, and without stored state.

use std::collections::BTreeMap;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use tokio::task::JoinSet;

use crate::config::Config;
use crate::inventory::Inventory;
use crate::model::{Cause, Timestamp};
use crate::network::{Clocks, NetworkId};
use crate::probe::Prober;
use crate::source;
use crate::state::Outcome;
use crate::transport::Client;

#[derive(Debug)]
pub struct ProbeResults {
    pub inventory: Arc<Inventory>,
    pub at: Timestamp,
    /// One for each credential; none if its probe panicked.
    outcomes: Vec<Option<Outcome>>,
}

/// Probes every credential of a configuration once.
///
/// # Errors
/// If no HTTP client can be created.
pub async fn probe_everything(config: Config) -> anyhow::Result<ProbeResults> {
    let concurrency = config.global.probe_concurrency;
    let client = Client::new(config.global.probe_timeout, config.global.allow_private_networks)?;
    let inventory = Arc::new(config.inventory(|_| true));
    let prober = Prober::new(client, inventory.clone());
    let mut outcomes: Vec<Option<Outcome>> = inventory.credentials().map(|_| None).collect();
    for (credential, outcome) in probe_all(&prober, concurrency).await {
        if let Some(entry) = outcomes.get_mut(credential) {
            *entry = Some(outcome);
        }
    }
    Ok(ProbeResults { inventory, at: Timestamp::now(), outcomes })
}

impl ProbeResults {
    pub fn outcomes(&self) -> impl Iterator<Item = (usize, &Outcome)> {
        self.outcomes
            .iter()
            .enumerate()
            .filter_map(|(credential, outcome)| outcome.as_ref().map(|o| (credential, o)))
    }

    pub fn outcome(&self, credential: usize) -> Option<&Outcome> {
        self.outcomes.get(credential).and_then(Option::as_ref)
    }

    /// The clocks of a credential: from its probe or, if that has failed, from its token source or, if
    /// that cannot be read, from the configuration.
    pub async fn clocks(&self, credential: usize) -> Clocks {
        let outcome = self.outcome(credential);
        if let Some(clocks) = outcome.and_then(|o| o.clocks) {
            return clocks;
        }
        let Some(watched) = self.inventory.credential(credential) else { return Clocks::default() };
        // A source that could not be read is not read again: it may be a slow command.
        if outcome.and_then(Outcome::cause) != Some(Cause::CredentialUnreadable)
            && let Ok(token) = source::read_tokens(watched).await
        {
            return token.clocks;
        }
        source::configured_clocks(watched)
    }
}

async fn probe_all(prober: &Prober, concurrency: usize) -> Vec<(usize, Outcome)> {
    let inventory = prober.inventory();
    let bar = progress(inventory.credentials().len());
    let mut groups: BTreeMap<(NetworkId, Option<usize>), Vec<usize>> = BTreeMap::new();
    for (index, watched) in inventory.credentials().enumerate() {
        groups.entry((watched.network(), watched.app())).or_default().push(index);
    }
    // The apps take turns, so that one with a tight rate limit starts early and does not delay others.
    let mut queues: Vec<Vec<Vec<usize>>> = groups
        .into_values()
        .map(|group| {
            let first = group.first().and_then(|c| inventory.credential(*c));
            let batch_size = first.map_or(1, |watched| prober.batch_size(watched));
            group.chunks(batch_size).rev().map(<[usize]>::to_vec).collect()
        })
        .collect();
    let mut outcomes = Vec::new();
    let mut tasks: JoinSet<Vec<(usize, Outcome)>> = JoinSet::new();
    loop {
        while tasks.len() < concurrency && !queues.is_empty() {
            queues.retain(|queue| !queue.is_empty());
            let turn = usize::from(queues.len() > 1);
            queues.rotate_left(turn);
            let Some(credentials) = queues.first_mut().and_then(Vec::pop) else { break };
            let prober = prober.clone();
            tasks.spawn(async move { prober.probe(&credentials).await });
        }
        match tasks.join_next().await {
            None => break,
            Some(Ok(done)) => {
                bar.inc(u64::try_from(done.len()).unwrap_or(0));
                outcomes.extend(done);
            }
            Some(Err(error)) => tracing::error!(%error, "a fault in this program cost a probe"),
        }
    }
    bar.finish_and_clear();
    outcomes
}

fn progress(credentials: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(credentials).unwrap_or(0));
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} logins probed, {rate}/s, {eta} left");
    let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        // Writing to a terminal does not fail.
        let _ = write!(out, "{:.0}", state.per_sec());
    };
    style.map_or(bar.clone(), |style| bar.with_style(style.with_key("rate", rate)))
}
