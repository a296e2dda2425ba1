//! Limits on how many requests are answered, or wait, at the same time.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::body::Stream;

/// A maximum number of requests. One client address gets at most three quarters of it, so that the rest
/// stays free for others.
pub(super) struct Slots {
    maximum: usize,
    taken: Mutex<Vec<Weak<Slot>>>,
}

/// Room for one request, until this is dropped.
pub(super) struct Slot {
    peer: IpAddr,
    stream: Mutex<Stream>,
}

impl Slots {
    /// 0 means no limit.
    pub(super) fn new(maximum: usize) -> Self {
        Self { maximum: if maximum == 0 { usize::MAX } else { maximum }, taken: Mutex::default() }
    }

    /// A slot, if one is free.
    pub(super) fn take(&self, peer: IpAddr) -> Option<Arc<Slot>> {
        self.take_from_slow(peer, Duration::MAX)
    }

    /// A slot, if one is free, or else that of the stream whose client has kept it waiting longest, and
    /// for at least `slow`. That stream is cut.
    pub(super) fn take_from_slow(&self, peer: IpAddr, slow: Duration) -> Option<Arc<Slot>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|slot| slot.strong_count() > 0);
        let of_peer = taken.iter().filter_map(Weak::upgrade).filter(|slot| slot.peer == peer).count();
        let exceeds_share = of_peer >= self.maximum - self.maximum / 4;
        if exceeds_share || taken.len() >= self.maximum {
            let slots = taken.iter().enumerate().filter_map(|(index, slot)| Some((index, slot.upgrade()?)));
            let slots = slots.filter(|(_, slot)| !exceeds_share || slot.peer == peer);
            let waited = slots.filter_map(|(index, slot)| {
                // One that is locked is being written right now.
                let waited = slot.stream.try_lock().ok()?.waited();
                Some((waited, index, slot)).filter(|_| waited >= slow)
            });
            let (_, index, slowest) = waited.max_by_key(|(waited, ..)| *waited)?;
            taken.swap_remove(index);
            slowest.with_stream(Stream::cut);
        }
        let slot = Arc::new(Slot { peer, stream: Mutex::default() });
        taken.push(Arc::downgrade(&slot));
        Some(slot)
    }
}

impl Slot {
    pub(super) fn with_stream<T>(&self, action: impl FnOnce(&mut Stream) -> T) -> T {
        action(&mut self.stream.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
