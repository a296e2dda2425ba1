//! Accepts connections, up to a maximum number.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::{ServerContext, connection, routes};
use crate::telemetry::Heartbeat;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Main,
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
    let of_listener = Arc::new(Semaphore::new(context.limits.of_listener));
    let total = match endpoint {
        Endpoint::Main => {
            context.connections.get_or_init(|| Arc::new(Semaphore::new(context.limits.total))).clone()
        }
        Endpoint::Health => of_listener.clone(),
    };
    let mut connections = JoinSet::new();
    loop {
        // Frees the results of connections that have ended.
        while connections.try_join_next().is_some() {}
        let accept = async {
            let permits = (of_listener.clone().acquire_owned().await, total.clone().acquire_owned().await);
            (listener.accept().await, permits)
        };
        let (accepted, permits) = tokio::select! {
            _ = stop.changed() => break,
            () = heartbeat.answer() => continue,
            accepted = accept => accepted,
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
        connections.spawn(async move {
            let _permits = permits;
            let tls = match endpoint {
                Endpoint::Main => context.access.rules().await.tls.clone(),
                Endpoint::Health => None,
            };
            let limits = context.limits;
            let answer = move |request| {
                let context = context.clone();
                async move { routes::handle(&context, endpoint, peer.ip(), request).await }
            };
            connection::serve(stream, tls, &limits, stop, answer).await;
        });
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, ended).await.is_err() {
        tracing::warn!("connections were still open at the end of the shutdown's grace");
    }
}
