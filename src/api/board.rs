//! Keeps the newest listing for those who look: made when somebody asks and something has changed,
//! away from requests, and forgotten soon after the last of them.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::Listing;
use crate::model::Timestamp;
use crate::state::View;

/// No listing is shown for longer than this. It also holds its moment's memory for so long.
const LIFE: Duration = Duration::from_secs(60);
/// Making listings may take one part in so many of the time.
const SHARE: u32 = 50;
/// So long a request waits for a newer listing while there is one that will do.
const PATIENCE: Duration = Duration::from_millis(50);

/// The newest listing.
pub struct Board {
    store: View,
    newest: Mutex<Weak<Listing>>,
    /// One is made at a time.
    turn: Semaphore,
}

impl Board {
    /// Of what this store knows.
    pub fn new(store: View) -> Arc<Self> {
        Arc::new(Self { store, newest: Mutex::default(), turn: Semaphore::new(1) })
    }

    /// A listing that is new enough. None only while the program ends.
    pub async fn listing(self: &Arc<Self>) -> Option<Arc<Listing>> {
        let Some(known) = self.known() else { return self.clone().renewed().await };
        if self.will_do(&known) {
            return Some(known);
        }
        // It is made whether or not this request waits for it.
        let making = tokio::spawn(self.clone().renewed());
        match tokio::time::timeout(PATIENCE, making).await {
            Ok(Ok(Some(listing))) => Some(listing),
            _ => Some(known),
        }
    }

    fn known(&self) -> Option<Arc<Listing>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    fn will_do(&self, listing: &Listing) -> bool {
        listing.snapshot.version == self.store.snapshot().version
            || listing.made.elapsed() < listing.cost * SHARE
    }

    async fn renewed(self: Arc<Self>) -> Option<Arc<Listing>> {
        let _turn = self.turn.acquire().await.ok()?;
        // Whoever had the turn before may have made it.
        if let Some(known) = self.known().filter(|known| self.will_do(known)) {
            return Some(known);
        }
        let store = self.store.clone();
        let make = move || Listing::new(store.snapshot(), Timestamp::now());
        let listing = Arc::new(tokio::task::spawn_blocking(make).await.ok()?);
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&listing);
        let held = listing.clone();
        tokio::spawn(async move {
            tokio::time::sleep(LIFE).await;
            drop(held);
        });
        Some(listing)
    }
}
