//! The HTTP server: who may connect, which request goes where, and how answers are sent.
//!
//! It reads snapshots, and can request probes and reloads. It must not know how anything in a
//! snapshot was found out, nor how pages and metrics are written.

mod access;
mod admission;
mod body;
mod connection;
mod events;
mod listener;
mod metrics;
mod negotiation;
mod origin;
mod pages;
mod passwords;
mod peers;
mod probe;
mod rate_limit;
mod reload;
mod reporters;
mod reports;
mod response;
mod routes;
mod slots;
mod tls;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, mpsc};
use url::Url;

pub use access::AccessControl;
pub use connection::Limits;
pub use listener::{Endpoint, serve};
pub use peers::Peers;
pub use reload::ReloadRequest;
pub use reporters::Reporters;
pub use routes::is_taken;

use self::admission::Connections;
use self::slots::Slots;
use crate::api::ListingCache;
use crate::event::NoticeReceiver;
use crate::page::ReloadFailure;
use crate::report::Acceptor;
use crate::scheduler::ProbeRequest;
use crate::state::View;
use crate::telemetry::Metrics;
use crate::transport::Client;

#[derive(Clone, Debug)]
pub struct WebSettings {
    pub telemetry_path: String,
    /// Prefix of all paths: empty, or with a leading slash and no trailing one.
    pub route_prefix: String,
    /// URL under which browsers reach the exporter, if it is known.
    pub external_url: Option<Url>,
    /// Whether `/-/reload` is enabled.
    pub enable_lifecycle: bool,
    /// Maximum number of scrapes at the same time, beyond which they are refused; 0 for no limit.
    pub max_requests: usize,
    /// Whether notices have an endpoint of their own, so that the main one does not take them.
    pub events_apart: bool,
}

/// What all requests share.
pub struct ServerContext {
    pub store: View,
    pub metrics: Metrics,
    pub access: Arc<AccessControl>,
    pub limits: Limits,
    pub reporters: Reporters,
    pub acceptor: Arc<Acceptor>,
    /// The other shards, if their addresses are known.
    pub peers: Option<Peers>,
    /// None: no endpoint takes notices.
    pub notices: Option<NoticeReceiver>,
    settings: WebSettings,
    notice_limits: events::NoticeLimits,
    /// Where requested probes go, when a scheduler runs.
    probes: Mutex<Option<mpsc::Sender<ProbeRequest>>>,
    reloads: mpsc::Sender<ReloadRequest>,
    reload_failure: Mutex<Option<Arc<ReloadFailure>>>,
    /// Connections of all listeners but that of health.
    connections: Arc<Connections>,
    scrapes: Slots,
    waiting_for_probes: Slots,
    listings: Arc<ListingCache>,
    pages: Slots,
    rendering: Semaphore,
    downloads: Slots,
    reports: Slots,
    reading_reports: Semaphore,
    ready: AtomicBool,
}

impl ServerContext {
    /// A context that is not ready yet, with no access control and nothing to report on.
    pub fn new(
        store: View,
        metrics: Metrics,
        settings: WebSettings,
        reloads: mpsc::Sender<ReloadRequest>,
    ) -> Self {
        Self {
            listings: ListingCache::new(store.clone()),
            store,
            notices: None,
            notice_limits: events::NoticeLimits::default(),
            access: Arc::default(),
            limits: Limits::default(),
            reporters: Reporters::default(),
            acceptor: Arc::new(Acceptor::new(Arc::default(), metrics.clone())),
            metrics,
            peers: None,
            connections: Arc::default(),
            scrapes: Slots::new(settings.max_requests),
            settings,
            probes: Mutex::new(None),
            reloads,
            reload_failure: Mutex::default(),
            waiting_for_probes: Slots::new(probe::MAX_WAITING),
            pages: Slots::new(pages::MAX_WAITING),
            rendering: Semaphore::new(pages::MAX_RENDERING),
            downloads: Slots::new(pages::MAX_DOWNLOADS),
            reports: Slots::new(reports::MAX_REQUESTS),
            reading_reports: Semaphore::new(reports::MAX_READING),
            ready: AtomicBool::new(false),
        }
    }

    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Of the last reload; none if it was successful.
    pub fn set_reload_failure(&self, failure: Option<ReloadFailure>) {
        *self.reload_failure.lock().unwrap_or_else(PoisonError::into_inner) = failure.map(Arc::new);
    }

    fn reload_failure(&self) -> Option<Arc<ReloadFailure>> {
        let failure = self.reload_failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        failure.or_else(|| self.access.reload_failure())
    }

    /// Sets where requests for probes go, and the client of the configuration in force.
    pub fn set_probes(&self, client: Client, probes: mpsc::Sender<ProbeRequest>) {
        if let Some(notices) = &self.notices {
            notices.set_running(client, probes.clone());
        }
        *self.probes.lock().unwrap_or_else(PoisonError::into_inner) = Some(probes);
    }

    fn probes(&self) -> Option<mpsc::Sender<ProbeRequest>> {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
