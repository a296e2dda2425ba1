//! Accepts connections.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::admission::client_network;
use super::connection::{self, Activity};
use super::{ServerContext, routes};
use crate::telemetry::Heartbeat;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Main,
    /// Notices of networks only, without access control: their signatures let them in.
    Events,
    /// Health and readiness only, without access control.
    Health,
}

/// Serves until `stop` changes, then finishes the requests that have begun, within `grace`.
pub async fn serve(
    listener: TcpListener,
    endpoint: Endpoint,
    context: Arc<ServerContext>,
    mut stop: watch::Receiver<bool>,
    grace: Duration,
    mut heartbeat: Heartbeat,
) {
    let open = match endpoint {
        Endpoint::Main => context.connections.clone(),
        Endpoint::Events | Endpoint::Health => Arc::default(),
    };
    let address = listener.local_addr().ok();
    let mut connections = JoinSet::new();
    loop {
        // Frees the results of connections that have ended.
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            _ = stop.changed() => break,
            () = heartbeat.answer() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Usually out of file descriptors, which passes: do not retry in a tight loop.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (context, stop) = (context.clone(), stop.clone());
        let (limits, peer, activity) = (context.limits, client_network(peer.ip()), Activity::new());
        let start = |entry, activity| {
            connections.spawn(async move {
                let _entry = entry;
                let tls = match endpoint {
                    Endpoint::Main => context.access.rules().await.tls.clone(),
                    Endpoint::Events | Endpoint::Health => None,
                };
                let answer = move |request| {
                    let context = context.clone();
                    async move { routes::handle(&context, endpoint, peer, request).await }
                };
                connection::serve(stream, tls, &limits, stop, activity, answer).await;
            })
        };
        if !open.admit(&limits, address, peer, activity.clone(), |entry| start(entry, activity)) {
            tracing::debug!(%peer, "a connection was closed, as too many requests are being worked on");
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, ended).await.is_err() {
        tracing::warn!("connections were still open at the end of the shutdown's grace");
    }
}
