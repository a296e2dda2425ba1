//! Asks the sources of accounts, each in a task of its own.

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::config::{Config, SourceSettings};
use crate::source::{AskedSource, Backoff, Reply, SourceError};

/// What came of a refresh.
pub(super) struct Refresh {
    pub(super) source: String,
    pub(super) result: Result<Reply, SourceError>,
    pub(super) took: Duration,
    /// Whether the list is in force, so that the same list need not be read again.
    pub(super) settled: oneshot::Sender<bool>,
}

/// The tasks end when this is dropped.
pub(super) struct SourceTasks {
    _tasks: JoinSet<()>,
}

impl SourceTasks {
    pub(super) fn start(config: &Config, refreshes: &mpsc::Sender<Refresh>) -> Self {
        let mut tasks = JoinSet::new();
        for settings in &config.sources {
            if let Some(source) = AskedSource::new(settings) {
                tasks.spawn(ask_regularly(settings.clone(), source, refreshes.clone()));
            }
        }
        Self { _tasks: tasks }
    }
}

/// A refresh ends before the next one begins, so that they never overlap.
async fn ask_regularly(settings: SourceSettings, mut source: AskedSource, refreshes: mpsc::Sender<Refresh>) {
    let interval = settings.refresh_interval;
    loop {
        let begin = Instant::now();
        let mut backoff = Backoff::new(interval);
        loop {
            let attempt = Instant::now();
            let answer = source.ask().await;
            let next = match &answer {
                Ok(_) => None,
                Err(failed) => backoff.next(failed, begin.elapsed()),
            };
            let (settled, is_settled) = oneshot::channel();
            let result = answer.map_err(|failed| failed.error);
            let refresh = Refresh { source: settings.id.clone(), result, took: attempt.elapsed(), settled };
            if refreshes.send(refresh).await.is_err() {
                return;
            }
            if is_settled.await == Ok(true) {
                source.accepted();
            }
            let Some(delay) = next else { break };
            tokio::time::sleep(delay).await;
        }
        tokio::time::sleep(interval.saturating_sub(begin.elapsed())).await;
    }
}
