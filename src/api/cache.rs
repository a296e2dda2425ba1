//! Keeps the latest [`Listing`]. It is made on request, if something has changed, in a thread of its
//! own, and dropped soon after the last request.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::Listing;
use crate::model::Timestamp;
use crate::state::View;

/// Maximum age of a listing. Its snapshot stays in memory for that time.
const MAX_AGE: Duration = Duration::from_secs(60);
/// A listing is reused, although outdated, for this many times the time that it took to make.
const REUSE_FACTOR: u32 = 50;
/// How long a request waits for a new listing while an older one is available.
const MAX_WAIT: Duration = Duration::from_millis(50);

pub struct ListingCache {
    store: View,
    latest: Mutex<Weak<Listing>>,
    /// Only one listing is made at a time.
    permit: Semaphore,
}

impl ListingCache {
    pub fn new(store: View) -> Arc<Self> {
        Arc::new(Self { store, latest: Mutex::default(), permit: Semaphore::new(1) })
    }

    /// A listing that is recent enough. `None` only while the program shuts down.
    pub async fn listing(self: &Arc<Self>) -> Option<Arc<Listing>> {
        let Some(latest) = self.latest() else { return self.clone().renew().await };
        if self.is_recent(&latest) {
            return Some(latest);
        }
        // The new listing is completed even if this request stops waiting for it.
        let renewal = tokio::spawn(self.clone().renew());
        match tokio::time::timeout(MAX_WAIT, renewal).await {
            Ok(Ok(Some(listing))) => Some(listing),
            _ => Some(latest),
        }
    }

    fn latest(&self) -> Option<Arc<Listing>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    fn is_recent(&self, listing: &Listing) -> bool {
        listing.snapshot.version == self.store.snapshot().version
            || listing.made.elapsed() < listing.cost * REUSE_FACTOR
    }

    async fn renew(self: Arc<Self>) -> Option<Arc<Listing>> {
        let _permit = self.permit.acquire().await.ok()?;
        // Another request may have made it meanwhile.
        if let Some(latest) = self.latest().filter(|latest| self.is_recent(latest)) {
            return Some(latest);
        }
        let store = self.store.clone();
        let make = move || Listing::new(store.snapshot(), Timestamp::now());
        let listing = Arc::new(tokio::task::spawn_blocking(make).await.ok()?);
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&listing);
        let held = listing.clone();
        tokio::spawn(async move {
            tokio::time::sleep(MAX_AGE).await;
            drop(held);
        });
        Some(listing)
    }
}
