//! Puts configurations in force, one after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::run::DaemonSettings;
use super::sources::{Refresh, SourceTasks};
use super::watch::{ConfigWatch, TokenWatch};
use crate::config::{self, Config, Known, Last};
use crate::inventory::{Elsewhere, FILES, Inventory, SourceStatus};
use crate::model::Timestamp;
use crate::page::ReloadFailure;
use crate::probe::Prober;
use crate::scheduler::{ProbeRequest, Scheduler, SchedulerSettings};
use crate::server::{ReloadRequest, ServerContext};
use crate::source::{Listing, Reply, RowProblem};
use crate::state::{Snapshot, Store};
use crate::telemetry::{self, Heartbeat, Metrics};
use crate::transport::Client;

/// How long to wait before account files are read again of which more than half of the accounts are
/// missing: somebody may be writing them.
const SECOND_LOOK: Duration = Duration::from_secs(2);

pub(super) struct Reloader {
    pub(super) settings: DaemonSettings,
    pub(super) context: Arc<ServerContext>,
    pub(super) store: Arc<Store>,
    pub(super) metrics: Metrics,
    pub(super) heartbeat: Heartbeat,
    pub(super) files: ConfigWatch,
    /// None only between two schedulers.
    pub(super) running: Option<Running>,
    pub(super) storing: Option<JoinHandle<()>>,
    /// The configuration without its rows, and the client for its networks; none before the start.
    pub(super) in_force: Option<(Config, Client)>,
    /// What other shards hold.
    pub(super) elsewhere: Elsewhere,
    pub(super) asking: Option<SourceTasks>,
    pub(super) refreshes: mpsc::Sender<Refresh>,
}

pub(super) struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    probes: mpsc::Sender<ProbeRequest>,
}

pub(super) struct Setup {
    /// Without its rows.
    pub(super) config: Config,
    pub(super) inventory: Arc<Inventory>,
    /// What other shards hold of the rows that were read.
    elsewhere: Elsewhere,
    client: Client,
    /// How long reading the files took, if they were read.
    seconds: Option<f64>,
}

impl Reloader {
    /// Reloads when a request comes or the configuration changes.
    pub(super) async fn run(
        &mut self,
        mut reloads: mpsc::Receiver<ReloadRequest>,
        mut hangup: mpsc::Receiver<()>,
        mut refreshes: mpsc::Receiver<Refresh>,
    ) {
        let mut tokens = TokenWatch::default();
        let mut tick = tokio::time::interval(self.settings.watch.unwrap_or(Duration::from_secs(3600)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(reply) = reloads.recv() => {
                    let result = self.reload().await;
                    // The client may have gone.
                    let _ = reply.send(result);
                }
                Some(refresh) = refreshes.recv() => self.refreshed(refresh).await,
                Some(()) = hangup.recv() => {
                    let _ = self.reload().await;
                }
                _ = tick.tick(), if self.settings.watch.is_some() => {
                    if self.config_changed().await {
                        let _ = self.reload().await;
                    }
                    if let Some((config, _)) = &self.in_force {
                        self.context.reporters.update(&config.reporters).await;
                    }
                    if let Some(running) = &self.running {
                        tokens = tokens.check(&self.store, &running.probes).await;
                    }
                }
            }
        }
    }

    async fn config_changed(&mut self) -> bool {
        self.with_files(|_, files| files.changed()).await.unwrap_or(false)
    }

    /// Runs on a thread of its own, as the disk may be slow. None after a panic.
    async fn with_files<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&DaemonSettings, &mut ConfigWatch) -> T + Send + 'static,
    ) -> Option<T> {
        let (settings, mut files) = (self.settings.clone(), self.files.clone());
        let task = tokio::task::spawn_blocking(move || (work(&settings, &mut files), files));
        let (result, files) = task.await.ok()?;
        self.files = files;
        Some(result)
    }

    /// Reads the configuration and puts it in force. One with problems changes nothing. The result
    /// is logged as well; a good one tells which rows of account files are refused.
    async fn reload(&mut self) -> Result<String, String> {
        telemetry::reloading();
        let Snapshot { inventory, sources, .. } = self.store.snapshot();
        let load = move |settings: &DaemonSettings, files: &mut ConfigWatch| {
            load(settings, files, Known::Last(Last { inventory: &inventory, sources: &sources }))
        };
        let setup = self.with_files(load).await;
        let result = match setup.unwrap_or_else(|| Err("a fault in this program".to_owned())) {
            Ok(setup) => {
                let refused = setup.config.statuses.iter().flat_map(|source| &source.problems);
                let refused = refused.map(|problem| format!("refused: {problem}\n")).collect();
                self.replace(setup).await;
                // With the settings that may be new, and compared with all other sources again.
                self.ask_sources();
                tracing::info!("configuration reloaded");
                Ok(refused)
            }
            Err(problems) => {
                tracing::error!(%problems, "configuration not reloaded, the last one stays in force");
                Err(problems)
            }
        };
        self.metrics.reloaded(result.is_ok());
        let failure = result.clone().err().map(|problems| ReloadFailure { at: Timestamp::now(), problems });
        self.context.set_reload_failure(failure);
        telemetry::ready(&match &result {
            Ok(_) => self.status(),
            Err(_) => format!("{}; a newer configuration cannot be read", self.status()),
        });
        result
    }

    async fn replace(&mut self, setup: Setup) {
        // Running probes are cancelled and repeated: they change nothing.
        self.stop().await;
        // The state is written before and after the indexes of credentials change.
        self.context.store.reaches(self.store.snapshot().version).await;
        self.context.reporters.update(&setup.config.reporters).await;
        self.start(setup);
        self.context.store.reaches(self.store.snapshot().version).await;
    }

    pub(super) fn ask_sources(&mut self) {
        self.asking = self.in_force.as_ref().map(|(config, _)| SourceTasks::start(config, &self.refreshes));
    }

    /// Puts what a source has answered in force.
    async fn refreshed(&mut self, refresh: Refresh) {
        let Refresh { source, result, took, settled } = refresh;
        self.metrics.refreshed(&source, took.as_secs_f64());
        let replaced = match result {
            Ok(Reply::Listed(listing, refused)) => self.replace_list(&source, listing, refused).await,
            Ok(Reply::Unchanged) => {
                self.note(&source, None);
                Ok(true)
            }
            Err(error) => Err(error.to_string()),
        };
        match replaced {
            // Its task may have ended.
            Ok(is_settled) => _ = settled.send(is_settled),
            Err(error) => self.note(&source, Some(error)),
        }
    }

    /// Returns whether the list is in force as it is, so that the same list need not be read again.
    async fn replace_list(
        &mut self,
        source: &str,
        listing: Listing,
        refused: Vec<RowProblem>,
    ) -> Result<bool, String> {
        let before = self.store.snapshot();
        let (inventory, sources) = (before.inventory.clone(), before.sources.clone());
        let (config, client) = self.in_force.clone().ok_or("nothing is in force")?;
        let config = Config { statuses: sources.to_vec(), ..config };
        let (shard, id) = (self.settings.shard, source.to_owned());
        let refresh = move || {
            let last = Last { inventory: &inventory, sources: &sources };
            let refused = refused.into_iter().map(|problem| (problem.row, problem.to_string()));
            let config = config::refresh(&config, last, &id, &listing.pages, refused)?;
            log_refused(&config);
            let (rest, elsewhere) = (config.without_rows(), Elsewhere::new(&config.table, shard));
            Ok((rest, elsewhere, Arc::new(config.inventory(|credential| shard.holds(credential)))))
        };
        let refreshed = tokio::task::spawn_blocking(refresh).await;
        let (config, elsewhere, inventory) =
            refreshed.unwrap_or_else(|_| Err("a fault in this program".to_owned()))?;
        let status = config.statuses.iter().find(|status| status.id == source);
        let settled = status.is_some_and(|status| !status.shrunk && !status.conflicting);
        let accounts = inventory.accounts_of(source);
        tracing::info!(source, accounts, "accounts of a source replaced");
        // Ids have come or gone that another source gives, too. Its list has not changed, but what counts
        // of it has.
        let gone = accounts < before.inventory.accounts_of(source);
        let mut others =
            config.statuses.iter().zip(before.sources.iter()).filter(|(new, _)| new.id != source);
        if others.any(|(new, old)| new.conflicting && (gone || !old.conflicting)) {
            self.files.forget();
        }
        self.replace(Setup { config, inventory, elsewhere, client, seconds: None }).await;
        Ok(settled)
    }

    /// Notes that a source has answered without a new list, or why it has not.
    fn note(&self, source: &str, error: Option<String>) {
        let mut statuses = self.store.snapshot().sources.to_vec();
        let Some(status) = statuses.iter_mut().find(|status| status.id == source) else { return };
        let was_up = status.up != Some(false);
        // The error of the last attempt.
        let last = (!was_up && !status.problems.is_empty()).then(|| status.problems.remove(0));
        status.up = Some(error.is_none());
        match error {
            Some(error) => {
                if last.as_ref() != Some(&error) {
                    tracing::error!(source, error, "source not read, its last good list stays");
                }
                status.problems.insert(0, error);
            }
            None => {
                status.last_success = Some(Timestamp::now());
                if !was_up {
                    tracing::info!(source, "the source answers again");
                }
            }
        }
        self.store.set_sources(statuses);
    }

    pub(super) fn start(&mut self, Setup { config, inventory, elsewhere, client, seconds }: Setup) {
        if let Some(seconds) = seconds {
            config.statuses_of_files().for_each(|source| self.metrics.refreshed(&source.id, seconds));
        }
        tracing::info!(
            accounts = inventory.len(),
            credentials = inventory.credentials().len(),
            "configuration in force"
        );
        if !config.reporters.is_empty() {
            inventory
                .accounts_by_network()
                .keys()
                .for_each(|network| self.metrics.announce_reports(*network));
        }
        self.elsewhere.update(elsewhere);
        self.context.acceptor.set_elsewhere(self.elsewhere.clone());
        let changed = self.store.replace_inventory(inventory.clone());
        self.store.set_sources(config.statuses.clone());
        self.keep_rows(&config.statuses, &inventory);
        let prober = Arc::new(Prober::new(client.clone(), inventory));
        let concurrency = config.global.probe_concurrency;
        let settings = SchedulerSettings { concurrency, on_demand: self.settings.on_demand };
        let scheduler = Scheduler::new(prober, self.store.clone(), self.metrics.clone(), settings, &changed);
        let (stop, stopped) = watch::channel(false);
        let (probes, requests) = mpsc::channel(1024);
        self.context.set_probes(client.clone(), probes.clone());
        self.in_force = Some((config, client));
        let task = tokio::spawn(scheduler.run(requests, stopped, self.heartbeat.clone()));
        self.running = Some(Running { stop, task, probes });
    }

    pub(super) async fn stop(&mut self) {
        let Some(running) = self.running.take() else { return };
        // It fails only if the scheduler has ended already.
        let _ = running.stop.send(true);
        if running.task.await.is_err() {
            tracing::error!("the scheduler panicked");
        }
    }

    /// Stores the rows of all sources, on a thread of its own, after any earlier ones.
    fn keep_rows(&mut self, sources: &[SourceStatus], inventory: &Arc<Inventory>) {
        let Some(folder) = self.settings.storage.clone() else { return };
        let (sources, inventory, before) = (sources.to_vec(), inventory.clone(), self.storing.take());
        let store = move || {
            for source in &sources {
                if let Err(error) = config::store(&folder, &inventory, source) {
                    tracing::error!(
                        source = source.id, %error,
                        "rows of a source cannot be stored: a restart while it cannot be read would lose them"
                    );
                }
            }
        };
        self.storing = Some(tokio::spawn(async move {
            if let Some(before) = before {
                let _ = before.await;
            }
            let _ = tokio::task::spawn_blocking(store).await;
        }));
    }

    /// Waits until the rows of all sources are stored.
    pub(super) async fn stored(&mut self) {
        if let Some(storing) = self.storing.take() {
            let _ = storing.await;
        }
    }

    /// The status that the service manager shows.
    pub(super) fn status(&self) -> String {
        let Snapshot { inventory, sources, .. } = self.store.snapshot();
        let refused: usize = sources.iter().map(|source| source.refused).sum();
        let refused = if refused > 0 { format!("; {refused} rows or files refused") } else { String::new() };
        format!(
            "watching {} accounts of {} credentials{refused}",
            inventory.len(),
            inventory.credentials().len()
        )
    }
}

/// Maximum number of problems, and of warnings, in the log, where more would hide the rest.
const SHOWN: usize = 20;

fn log_refused(config: &Config) {
    let problems = &config.refused;
    for problem in problems.list.iter().take(SHOWN) {
        let source = config.source_of(problem).unwrap_or(FILES);
        tracing::error!(source, %problem, "row or file refused, its last good content stays");
    }
    let more = (problems.list.len() + problems.more).saturating_sub(SHOWN);
    if more > 0 {
        tracing::error!(more, "further rows or files refused: --config.check shows them all");
    }
}

/// Reads the configuration. The files are stamped before they are read, so that a change meanwhile
/// is noticed by the next check.
pub(super) fn load(
    settings: &DaemonSettings,
    files: &mut ConfigWatch,
    known: Known<'_>,
) -> Result<Setup, String> {
    files.changed();
    let begin = Instant::now();
    files.trouble = true;
    let read = |known| config::load_keeping(&settings.config_files, known).map_err(|p| p.to_string());
    let mine = |credential: &str| settings.shard.holds(credential);
    let mut config = read(known)?;
    let shrunk = config.statuses_of_files().find(|source| source.shrunk).map(|source| source.id.clone());
    if let Some(source) = shrunk {
        tracing::warn!(source, "more than half of the accounts are missing; reading again");
        std::thread::sleep(SECOND_LOOK);
        let sources = std::mem::take(&mut config.statuses);
        let inventory = config.inventory(mine);
        config = read(Known::Last(Last { inventory: &inventory, sources: &sources }))?;
    }
    files.trouble = config.statuses_of_files().any(|source| source.up == Some(false));
    log_refused(&config);
    if settings.show_warnings {
        for warning in config.warnings.iter().take(SHOWN) {
            tracing::warn!(%warning, "configuration warning");
        }
        if let Some(more) = config.warnings.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            tracing::warn!(more, "further configuration warnings: --config.check shows them all");
        }
    }
    files.follow(&config);
    let client = Client::new(config.global.probe_timeout, config.global.allow_private_networks)
        .map_err(|error| format!("{error:#}"))?;
    // All shards together keep an app's rate limit: each takes its share.
    for limit in config.apps.iter_mut().filter_map(|app| app.rate_limit.as_mut()) {
        limit.per = limit.per.saturating_mul(settings.shard.total());
    }
    let (rest, elsewhere) = (config.without_rows(), Elsewhere::new(&config.table, settings.shard));
    let inventory = Arc::new(config.inventory(mine));
    Ok(Setup { config: rest, inventory, elsewhere, client, seconds: Some(begin.elapsed().as_secs_f64()) })
}
