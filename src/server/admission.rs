//! Which connections are open, and which of them gives way when there are too many.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use super::connection::{Activity, Limits};

/// The open connections of all listeners that share limits.
#[derive(Default)]
pub(super) struct Connections(Mutex<Table>);

#[derive(Default)]
struct Table {
    open: HashMap<u64, Open>,
    admitted: u64,
}

struct Open {
    listener: Option<SocketAddr>,
    peer: IpAddr,
    activity: Arc<Activity>,
    task: AbortHandle,
}

/// Keeps a connection in the table until it ends.
pub(super) struct Entry {
    connections: Arc<Connections>,
    id: u64,
}

impl Connections {
    /// Starts the task of a new connection. Where a limit is reached, the connection that has waited for
    /// its client longest is closed. Returns false, without a start, if all of them have requests that
    /// are being worked on.
    pub(super) fn admit(
        self: &Arc<Self>,
        limits: &Limits,
        listener: Option<SocketAddr>,
        peer: IpAddr,
        activity: Arc<Activity>,
        start: impl FnOnce(Entry) -> AbortHandle,
    ) -> bool {
        let mut table = self.lock();
        let has_room = table.make_room(limits.of_peer, |other| other.peer == peer)
            && table.make_room(limits.of_listener, |other| other.listener == listener)
            && table.make_room(limits.total, |_| true);
        if !has_room {
            return false;
        }
        table.admitted += 1;
        let id = table.admitted;
        let task = start(Entry { connections: self.clone(), id });
        table.open.insert(id, Open { listener, peer, activity, task });
        true
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Closes one of the connections that share a limit if it is reached. Returns false if none can be.
    fn make_room(&mut self, limit: usize, shares: impl Fn(&Open) -> bool) -> bool {
        let others = || self.open.iter().filter(|(_, other)| shares(other));
        if others().count() < limit {
            return true;
        }
        let waits = others().filter_map(|(id, other)| Some((other.activity.waits_since()?, *id)));
        let longest = waits.min().and_then(|(_, id)| self.open.remove(&id));
        longest.map(|closed| closed.task.abort()).is_some()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections.lock().open.remove(&self.id);
    }
}

/// The addresses that one client commonly has: with IPv6, a network of 2^64.
pub(super) fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) >> 64 << 64).into()),
        ip @ IpAddr::V4(_) => ip,
    }
}
