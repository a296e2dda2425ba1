//! Starts all parts of the exporter, and stops them in the right order.
//!
//! The caller binds the listeners and says when to stop, so that `serve`, `demo` and tests run the
//! same code.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use url::Url;

use super::reload::{Reloader, Setup, load};
use super::sources::Refresh;
use super::watch::ConfigWatch;
use crate::config::Known;
use crate::event::NoticeReceiver;
use crate::inventory::{Elsewhere, Shard};
use crate::report::Acceptor;
use crate::server::{self, AccessControl, Endpoint, Peers, ReloadRequest, ServerContext};
use crate::state::{StateWriter, Store};
use crate::telemetry::{self, Metrics, Watchdog};

/// How long a shutdown waits for requests that have begun.
const GRACE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub struct DaemonSettings {
    pub config_files: Vec<PathBuf>,
    /// How often the configuration and token files are checked for changes; none: never.
    pub watch: Option<Duration>,
    /// The folder in which state survives a restart, if any.
    pub storage: Option<PathBuf>,
    pub shard: Shard,
    /// The addresses of all shards, in the order of their numbers; empty if they are not known.
    pub peers: Vec<Url>,
    /// Whether to probe only what requests ask for.
    pub on_demand: bool,
    /// Whether to log the warnings of the configuration.
    pub show_warnings: bool,
    pub web: server::WebSettings,
    /// Whether to leave out the metrics about the process.
    pub without_process_metrics: bool,
}

/// A daemon that has read its configuration and does not run yet.
pub struct Daemon {
    reloader: Reloader,
    setup: Setup,
    state_writer: StateWriter,
    watchdog: Watchdog,
    reloads: mpsc::Receiver<ReloadRequest>,
    refreshed: mpsc::Receiver<Refresh>,
}

impl Daemon {
    /// # Errors
    /// With every problem of the configuration; or when another process uses the storage, or no HTTP
    /// client can be made.
    pub fn new(settings: DaemonSettings, access: Arc<AccessControl>) -> anyhow::Result<Self> {
        let mut files = ConfigWatch::new(&settings.config_files);
        let setup = load(&settings, &mut files, Known::Stored(settings.storage.as_deref()))
            .map_err(anyhow::Error::msg)?;
        let metrics = Metrics::new()?;
        if settings.without_process_metrics {
            metrics.exclude_process()?;
        }
        metrics.sharded(settings.shard);
        metrics.reloaded(true);
        let store = Arc::new(Store::default());
        let (state_writer, view) =
            StateWriter::new(store.clone(), settings.storage.clone(), metrics.clone())?;
        let (reload, reloads) = mpsc::channel(4);
        let mut context = ServerContext::new(view, metrics.clone(), settings.web.clone(), reload);
        context.acceptor = Arc::new(Acceptor::new(store.clone(), metrics.clone()));
        if !settings.peers.is_empty() {
            context.peers = Some(Peers::new(settings.shard, settings.peers.clone())?);
        }
        context.access = access;
        context.notices = Some(NoticeReceiver::new(store.clone(), metrics.clone()));
        let context = Arc::new(context);
        let mut watchdog = Watchdog::default();
        let heartbeat = watchdog.part("scheduler");
        let (refreshes, refreshed) = mpsc::channel(1);
        let reloader = Reloader {
            settings,
            context,
            store,
            metrics,
            heartbeat,
            files,
            running: None,
            storing: None,
            in_force: None,
            elsewhere: Elsewhere::default(),
            asking: None,
            refreshes,
        };
        Ok(Self { reloader, setup, state_writer, watchdog, reloads, refreshed })
    }

    /// Runs until `stop` changes; `hangup` requests reloads.
    pub async fn run(
        self,
        listeners: Vec<(TcpListener, Endpoint)>,
        mut stop: watch::Receiver<bool>,
        hangup: mpsc::Receiver<()>,
    ) {
        let Self { mut reloader, setup, mut state_writer, mut watchdog, reloads, refreshed } = self;
        reloader.store.set_on_demand(reloader.settings.on_demand);
        reloader.store.replace_inventory(setup.inventory.clone());
        state_writer.restore();
        let (stop_writing, stopped) = watch::channel(false);
        let state_writer = tokio::spawn(state_writer.run(stopped, watchdog.part("state")));
        let mut servers = JoinSet::new();
        for (listener, endpoint) in listeners {
            let (context, heartbeat) = (reloader.context.clone(), watchdog.part("server"));
            servers.spawn(server::serve(listener, endpoint, context, stop.clone(), GRACE, heartbeat));
        }
        reloader.context.reporters.update(&setup.config.reporters).await;
        reloader.start(setup);
        reloader.ask_sources();
        let watchdog = tokio::spawn(watchdog.watch());
        reloader.context.set_ready(true);
        telemetry::ready(&reloader.status());

        tokio::select! {
            _ = stop.changed() => {}
            () = reloader.run(reloads, hangup, refreshed) => {}
        }

        tracing::info!("stopping");
        telemetry::stopping();
        reloader.context.set_ready(false);
        watchdog.abort();
        reloader.asking = None;
        reloader.stop().await;
        reloader.stored().await;
        // The state is written after the last probe and before the last answer: requests that wait for
        // a probe see its result, and they see nothing that is not written.
        let _ = stop_writing.send(true);
        let ended = async { while servers.join_next().await.is_some() {} };
        if let (Err(_), ()) = tokio::join!(state_writer, ended) {
            tracing::error!("the state writer panicked");
        }
    }
}
