//! The daemon: configuration in, engine and HTTP side running, reloads, a clean end.
//!
//! The caller binds and says when to stop, so that the same code runs in the binary, in `demo` and in tests.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::config::{self, Config};
use crate::engine::{Engine, Pace, Wish};
use crate::http::Client;
use crate::metrics::Metrics;
use crate::probe::Prober;
use crate::roster::Roster;
use crate::server::{self, Context, Door, ReloadWish};
use crate::shard::Shard;
use crate::snapshot;
use crate::store::{Snapshot, Store};
use crate::watch::{ConfigWatch, TokenWatch};

/// What the command line sets.
#[derive(Clone, Debug)]
pub struct Settings {
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
    pub web: server::Settings,
}

/// How long a shutdown waits for requests that have begun.
const GRACE: Duration = Duration::from_secs(10);

/// A daemon with its configuration read: nothing runs yet.
pub struct Daemon {
    settings: Settings,
    context: Arc<Context>,
    store: Arc<Store>,
    metrics: Metrics,
    reloads: mpsc::Receiver<ReloadWish>,
    config: Config,
}

/// The running engine and how to end it.
struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    wishes: mpsc::Sender<Wish>,
}

impl Daemon {
    /// Reads the configuration.
    ///
    /// # Errors
    /// Every problem of the configuration, in one text.
    pub fn new(settings: Settings) -> anyhow::Result<Self> {
        let config = load(&settings).map_err(anyhow::Error::msg)?;
        let metrics = Metrics::new()?;
        metrics.sharded(settings.shard);
        metrics.reloaded(true);
        let store = Arc::new(Store::default());
        let (wish, reloads) = mpsc::channel(4);
        let context = Arc::new(Context::new(store.clone(), metrics.clone(), settings.web.clone(), wish));
        Ok(Self { settings, context, store, metrics, reloads, config })
    }

    /// Runs until `stop` changes; `hangup` asks for reloads.
    ///
    /// # Errors
    /// When the HTTP client cannot be made at all.
    pub async fn run(
        self,
        listeners: Vec<(TcpListener, Door)>,
        mut stop: watch::Receiver<bool>,
        mut hangup: mpsc::Receiver<()>,
    ) -> anyhow::Result<()> {
        let Self { settings, context, store, metrics, mut reloads, config } = self;
        let mut files = ConfigWatch::new(&settings.config_files, &config);
        let client = client_for(&config)?;
        let roster = watched(config, settings.shard);
        store.replace_roster(roster.0.clone());
        if let Some(folder) = &settings.storage {
            snapshot::restore(folder, &store);
        }
        let mut running = start(roster, client, &settings, &store, &metrics);
        let keeper = settings.storage.clone().map(|folder| tokio::spawn(keep(folder, store.clone(), stop.clone())));
        context.set_wishes(running.wishes.clone());
        let mut servers = JoinSet::new();
        for (listener, door) in listeners {
            servers.spawn(server::serve(listener, door, context.clone(), stop.clone(), GRACE));
        }
        context.set_ready(true);
        let mut tokens = TokenWatch::default();
        let period = settings.watch.unwrap_or(Duration::from_secs(3600));
        let mut tick = tokio::time::interval(period);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);

        loop {
            let mut reply: Option<ReloadWish> = None;
            tokio::select! {
                _ = stop.changed() => break,
                Some(wish) = reloads.recv() => reply = Some(wish),
                Some(()) = hangup.recv() => {}
                _ = tick.tick() => {
                    if settings.watch.is_none() {
                        continue;
                    }
                    tokens = tokens.look(&store, &running.wishes).await;
                    if !files.changed() {
                        continue;
                    }
                }
            }
            let result = load(&settings).and_then(|config| client_for(&config).map(|c| (config, c)).map_err(|e| e.to_string()));
            metrics.reloaded(result.is_ok());
            let result = match result {
                Ok((config, client)) => {
                    files = ConfigWatch::new(&settings.config_files, &config);
                    // Probes under way are dropped and made again: they change nothing.
                    end(running).await;
                    running = start(watched(config, settings.shard), client, &settings, &store, &metrics);
                    context.set_wishes(running.wishes.clone());
                    tracing::info!("configuration reloaded");
                    Ok(())
                }
                Err(problems) => {
                    tracing::error!(%problems, "configuration not reloaded, the last one stays in force");
                    Err(problems)
                }
            };
            if let Some(reply) = reply {
                // Whoever asked may have gone.
                let _ = reply.send(result);
            }
        }

        tracing::info!("stopping");
        context.set_ready(false);
        end(running).await;
        while servers.join_next().await.is_some() {}
        if let Some(keeper) = keeper
            && keeper.await.is_err()
        {
            tracing::error!("keeping the state ended with a fault");
        }
        if let Some(folder) = settings.storage {
            save(folder, store.snapshot()).await;
        }
        Ok(())
    }
}

/// How often the state is written, if anything has changed.
const KEEP_EVERY: Duration = Duration::from_secs(5);

/// Writes the state at intervals until `stop` changes.
async fn keep(folder: PathBuf, store: Arc<Store>, mut stop: watch::Receiver<bool>) {
    let mut written = store.changes();
    loop {
        tokio::select! {
            _ = stop.changed() => return,
            () = tokio::time::sleep(KEEP_EVERY) => {}
        }
        let changes = store.changes();
        if changes != written {
            written = changes;
            save(folder.clone(), store.snapshot()).await;
        }
    }
}

/// Writes the state, away from the tasks that probe and serve. That it cannot be written is told, and tried again later.
async fn save(folder: PathBuf, snapshot: Snapshot) {
    let written = tokio::task::spawn_blocking(move || snapshot::write(&folder, &snapshot)).await;
    match written {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(error = format!("{error:#}"), "state not written"),
        Err(_) => tracing::error!("writing the state ended with a fault"),
    }
}

fn load(settings: &Settings) -> Result<Config, String> {
    /// More would hide the rest of the log.
    const SHOWN: usize = 20;
    let config = config::load(&settings.config_files).map_err(|problems| problems.to_string())?;
    if settings.show_warnings {
        for warning in config.warnings.iter().take(SHOWN) {
            tracing::warn!(%warning, "the configuration deserves a look");
        }
        if let Some(more) = config.warnings.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            tracing::warn!(more, "the configuration deserves more looks: --config.check shows them all");
        }
    }
    Ok(config)
}

fn client_for(config: &Config) -> anyhow::Result<Client> {
    Client::new(config.global.probe_timeout, config.global.allow_private_networks)
}

/// Who is probed here, and how many at once.
fn watched(mut config: Config, shard: Shard) -> (Arc<Roster>, usize) {
    // An app's limit holds for all shards together: each takes its share of it.
    for limit in config.apps.iter_mut().filter_map(|app| app.rate_limit.as_mut()) {
        limit.per = limit.per.saturating_mul(shard.total());
    }
    let concurrency = config.global.probe_concurrency;
    (Arc::new(Roster::new(config, |credential| shard.holds(credential))), concurrency)
}

fn start(
    (roster, concurrency): (Arc<Roster>, usize),
    client: Client,
    settings: &Settings,
    store: &Arc<Store>,
    metrics: &Metrics,
) -> Running {
    tracing::info!(accounts = roster.len(), credentials = roster.credentials().len(), "configuration in force");
    let changed = store.replace_roster(roster.clone());
    let pace = Pace { concurrency, on_demand: settings.on_demand };
    let engine = Engine::new(Arc::new(Prober::new(client, roster)), store.clone(), metrics.clone(), pace, &changed);
    let (stop, stopped) = watch::channel(false);
    let (wishes, wished) = mpsc::channel(1024);
    Running { stop, task: tokio::spawn(engine.run(wished, stopped)), wishes }
}

async fn end(running: Running) {
    // Both fail only if the engine has ended already.
    let _ = running.stop.send(true);
    if running.task.await.is_err() {
        tracing::error!("the engine ended with a fault");
    }
}

/// Turns the process's signals into a wish to stop and wishes to reload. A second signal to stop ends the process at once.
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
