//! The daemon: configuration in, engine and HTTP side running, reloads, a clean end.
//!
//! The caller binds and says when to stop, so that the same code runs in the binary, in `demo` and
//! in tests.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::watch::{ConfigWatch, TokenWatch};
use crate::config::{self, Config};
use crate::inventory::{Inventory, Shard};
use crate::probe::Prober;
use crate::scheduler::{ProbeRequest, Scheduler, SchedulerSettings};
use crate::server::{self, Endpoint, Gate, ReloadRequest, ServerContext};
use crate::state::{StateWriter, Store};
use crate::telemetry::{self, Heartbeat, Metrics, Watchdog};
use crate::transport::Client;

/// What the command line sets.
#[derive(Clone, Debug)]
pub struct DaemonSettings {
    /// The configuration files, merged.
    pub config_files: Vec<PathBuf>,
    /// How often changes of the configuration and of token files are looked for; none: never.
    pub watch: Option<Duration>,
    /// The folder in which state survives a restart, if any.
    pub storage: Option<PathBuf>,
    /// Which share of the credentials is probed here.
    pub shard: Shard,
    /// Whether only what requests ask for is probed.
    pub on_demand: bool,
    /// Whether to log what deserves a look in the configuration.
    pub show_warnings: bool,
    /// The HTTP side.
    pub web: server::WebSettings,
}

/// How long a shutdown waits for requests that have begun.
const GRACE: Duration = Duration::from_secs(10);

/// A daemon with its configuration read: nothing runs yet.
pub struct Daemon {
    settings: DaemonSettings,
    context: ServerContext,
    store: Arc<Store>,
    keeper: StateWriter,
    metrics: Metrics,
    reloads: mpsc::Receiver<ReloadRequest>,
    files: ConfigWatch,
    config: Config,
}

/// The running engine and how to end it.
struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    wishes: mpsc::Sender<ProbeRequest>,
}

impl Daemon {
    /// Reads the configuration.
    ///
    /// # Errors
    /// Every problem of the configuration, in one text; or that another process uses the storage.
    pub fn new(settings: DaemonSettings) -> anyhow::Result<Self> {
        let mut files = ConfigWatch::new(&settings.config_files);
        let config = load(&settings, &mut files).map_err(anyhow::Error::msg)?;
        let metrics = Metrics::new()?;
        metrics.sharded(settings.shard);
        metrics.reloaded(true);
        let store = Arc::new(Store::default());
        let (keeper, view) = StateWriter::new(store.clone(), settings.storage.clone(), metrics.clone())?;
        let (wish, reloads) = mpsc::channel(4);
        let context = ServerContext::new(view, metrics.clone(), settings.web.clone(), wish);
        Ok(Self { settings, context, store, keeper, metrics, reloads, files, config })
    }

    /// Lets in only whom a gate lets in.
    #[must_use]
    pub fn behind(mut self, gate: Arc<Gate>) -> Self {
        self.context.gate = gate;
        self
    }

    /// Runs until `stop` changes; `hangup` asks for reloads.
    ///
    /// # Errors
    /// When the HTTP client cannot be made at all.
    pub async fn run(
        self,
        listeners: Vec<(TcpListener, Endpoint)>,
        mut stop: watch::Receiver<bool>,
        hangup: mpsc::Receiver<()>,
    ) -> anyhow::Result<()> {
        let Self { settings, context, store, mut keeper, metrics, reloads, files, config } = self;
        let context = Arc::new(context);
        let client = client_for(&config)?;
        let (inventory, concurrency) = watched(config, settings.shard);
        store.replace_roster(inventory.clone());
        keeper.restore();
        let mut heart = Watchdog::default();
        let (keep, kept) = watch::channel(false);
        let keeper = tokio::spawn(keeper.run(kept, heart.part("state")));
        let mut servers = JoinSet::new();
        for (listener, door) in listeners {
            servers.spawn(server::serve(
                listener,
                door,
                context.clone(),
                stop.clone(),
                GRACE,
                heart.part("server"),
            ));
        }
        let mut reloader =
            Reloader { settings, context, store, metrics, pulse: heart.part("engine"), files, running: None };
        reloader.start((inventory, concurrency), client);
        let watchdog = tokio::spawn(heart.watch());
        reloader.context.set_ready(true);
        telemetry::ready(&reloader.status());

        tokio::select! {
            _ = stop.changed() => {}
            () = reloader.run(reloads, hangup) => {}
        }

        tracing::info!("stopping");
        telemetry::stopping();
        reloader.context.set_ready(false);
        watchdog.abort();
        reloader.end().await;
        // Whoever waits for a probe's result sees it, and nothing is shown that is not kept.
        let _ = keep.send(true);
        let ended = async { while servers.join_next().await.is_some() {} };
        if let (Err(_), ()) = tokio::join!(keeper, ended) {
            tracing::error!("keeping the state ended with a fault");
        }
        Ok(())
    }
}

/// Puts configurations in force, one after the other.
struct Reloader {
    settings: DaemonSettings,
    context: Arc<ServerContext>,
    store: Arc<Store>,
    metrics: Metrics,
    pulse: Heartbeat,
    files: ConfigWatch,
    /// None only while one engine makes room for the next.
    running: Option<Running>,
}

impl Reloader {
    /// Reloads when it is asked to or notices a change.
    async fn run(&mut self, mut reloads: mpsc::Receiver<ReloadRequest>, mut hangup: mpsc::Receiver<()>) {
        let mut tokens = TokenWatch::default();
        let mut tick = tokio::time::interval(self.settings.watch.unwrap_or(Duration::from_secs(3600)));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let reply = tokio::select! {
                Some(wish) = reloads.recv() => Some(wish),
                Some(()) = hangup.recv() => None,
                _ = tick.tick(), if self.settings.watch.is_some() => {
                    if self.config_changed().await {
                        // What is said of it is in the log.
                        let _ = self.reload().await;
                    }
                    if let Some(running) = &self.running {
                        tokens = tokens.look(&self.store, &running.wishes).await;
                    }
                    continue;
                }
            };
            let result = self.reload().await;
            if let Some(reply) = reply {
                // Whoever asked may have gone.
                let _ = reply.send(result);
            }
        }
    }

    async fn config_changed(&mut self) -> bool {
        let mut files = self.files.clone();
        // Away from the tasks that probe and serve: a disk may be slow.
        match tokio::task::spawn_blocking(move || (files.changed(), files)).await {
            Ok((changed, files)) => {
                self.files = files;
                changed
            }
            Err(_) => false,
        }
    }

    /// Reads the configuration and puts it in force; one that cannot be read changes nothing.
    async fn reload(&mut self) -> Result<(), String> {
        telemetry::reloading();
        let (settings, mut files) = (self.settings.clone(), self.files.clone());
        let read = move || {
            let read = load(&settings, &mut files).and_then(|config| {
                let client = client_for(&config).map_err(|error| error.to_string())?;
                Ok((watched(config, settings.shard), client))
            });
            (read, files)
        };
        let read = match tokio::task::spawn_blocking(read).await {
            Ok((read, files)) => {
                self.files = files;
                read
            }
            Err(_) => Err("a fault in this program".to_owned()),
        };
        let result = match read {
            Ok((inventory, client)) => {
                // Probes under way are dropped and made again: they change nothing.
                self.end().await;
                // What is known under the old places is kept before they change.
                self.context.store.reaches(self.store.snapshot().version).await;
                self.start(inventory, client);
                self.context.store.reaches(self.store.snapshot().version).await;
                tracing::info!("configuration reloaded");
                Ok(())
            }
            Err(problems) => {
                tracing::error!(%problems, "configuration not reloaded, the last one stays in force");
                Err(problems)
            }
        };
        self.metrics.reloaded(result.is_ok());
        telemetry::ready(&match &result {
            Ok(()) => self.status(),
            Err(_) => format!("{}; a newer configuration cannot be read", self.status()),
        });
        result
    }

    fn start(&mut self, (inventory, concurrency): (Arc<Inventory>, usize), client: Client) {
        tracing::info!(
            accounts = inventory.len(),
            credentials = inventory.credentials().len(),
            "configuration in force"
        );
        let changed = self.store.replace_roster(inventory.clone());
        let prober = Arc::new(Prober::new(client, inventory));
        let scheduling = SchedulerSettings { concurrency, on_demand: self.settings.on_demand };
        let engine = Scheduler::new(prober, self.store.clone(), self.metrics.clone(), scheduling, &changed);
        let (stop, stopped) = watch::channel(false);
        let (wishes, wished) = mpsc::channel(1024);
        self.context.set_wishes(wishes.clone());
        self.running = Some(Running {
            stop,
            task: tokio::spawn(engine.run(wished, stopped, self.pulse.clone())),
            wishes,
        });
    }

    async fn end(&mut self) {
        let Some(running) = self.running.take() else { return };
        // Both fail only if the engine has ended already.
        let _ = running.stop.send(true);
        if running.task.await.is_err() {
            tracing::error!("the engine ended with a fault");
        }
    }

    /// What the service manager shows.
    fn status(&self) -> String {
        let inventory = self.store.snapshot().inventory;
        format!("watching {} accounts of {} credentials", inventory.len(), inventory.credentials().len())
    }
}

/// Reads the configuration. The watch looks at the files before they are read, so that it notices
/// what changes while they are.
fn load(settings: &DaemonSettings, files: &mut ConfigWatch) -> Result<Config, String> {
    /// More would hide the rest of the log.
    const SHOWN: usize = 20;
    files.changed();
    let config = config::load(&settings.config_files).map_err(|problems| problems.to_string())?;
    if settings.show_warnings {
        for warning in config.warnings.iter().take(SHOWN) {
            tracing::warn!(%warning, "the configuration deserves a look");
        }
        if let Some(more) = config.warnings.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            tracing::warn!(more, "the configuration deserves more looks: --config.check shows them all");
        }
    }
    files.follow(&config);
    Ok(config)
}

fn client_for(config: &Config) -> anyhow::Result<Client> {
    Client::new(config.global.probe_timeout, config.global.allow_private_networks)
}

/// Who is probed here, and how many at once.
fn watched(mut config: Config, shard: Shard) -> (Arc<Inventory>, usize) {
    // An app's limit holds for all shards together: each takes its share of it.
    for limit in config.apps.iter_mut().filter_map(|app| app.rate_limit.as_mut()) {
        limit.per = limit.per.saturating_mul(shard.total());
    }
    let concurrency = config.global.probe_concurrency;
    (Arc::new(config.inventory(|credential| shard.holds(credential))), concurrency)
}

/// Turns the process's signals into a wish to stop and wishes to reload. A second signal to stop
/// ends the process at once.
///
/// # Errors
/// When the signals cannot be watched.
pub fn signals() -> std::io::Result<(watch::Receiver<bool>, mpsc::Receiver<()>)> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangups = signal(SignalKind::hangup())?;
    let (stop, stopped) = watch::channel(false);
    let (reload, reloads) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut stopping = false;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangups.recv() => {
                    // One reload that is still to come serves for all.
                    let _ = reload.try_send(());
                    continue;
                }
            }
            if std::mem::replace(&mut stopping, true) {
                std::process::exit(130);
            }
            let _ = stop.send(true);
        }
    });
    Ok((stopped, reloads))
}
