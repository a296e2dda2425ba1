//! HTTP basic authentication against bcrypt hashes.
//!
//! A wrong password takes the same time whether its user exists or not, and whatever the cost of
//! the user's hash. Passwords are checked one at a time, so that checks cannot keep the machine
//! busy; those found right are remembered.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use rustls::crypto::ring::default_provider;
use secrecy::zeroize::Zeroizing;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::access::AccessDenied;
use super::slots::{Slot, Slots};
use crate::model::Secret;

/// How long a request waits for its check: as long as scrapes commonly do.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum number of passwords that wait to be checked.
const MAX_WAITING: usize = 64;

pub(super) struct Users {
    hashes: HashMap<String, Secret>,
    /// The highest cost among the hashes, which every wrong password takes.
    cost: u32,
    /// By user: a keyed hash of the password that was found right.
    known: Mutex<HashMap<String, Secret>>,
    key: Secret,
}

/// Lets one password be checked at a time and, of those that wait, one from each address.
pub(super) struct PasswordQueue {
    all: Arc<Semaphore>,
    addresses: Mutex<HashMap<IpAddr, Weak<Semaphore>>>,
    waiting: Slots,
}

impl Default for PasswordQueue {
    fn default() -> Self {
        let all = Arc::new(Semaphore::new(1));
        Self { all, addresses: Mutex::default(), waiting: Slots::new(MAX_WAITING) }
    }
}

impl PasswordQueue {
    /// Waits until a password may be checked, which lasts until the permits are dropped.
    async fn wait(&self, peer: IpAddr) -> Option<([OwnedSemaphorePermit; 2], Arc<Slot>)> {
        let slot = self.waiting.take(peer)?;
        let of_address = self.of_address(peer).acquire_owned().await.ok()?;
        let of_all = self.all.clone().acquire_owned().await.ok()?;
        Some(([of_address, of_all], slot))
    }

    fn of_address(&self, peer: IpAddr) -> Arc<Semaphore> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        // Keeps no more than there are connections.
        addresses.retain(|_, semaphore| semaphore.strong_count() > 0);
        let known = addresses.entry(peer).or_default();
        known.upgrade().unwrap_or_else(|| {
            let new = Arc::new(Semaphore::new(1));
            *known = Arc::downgrade(&new);
            new
        })
    }
}

struct Login {
    name: String,
    password: Secret,
}

impl Login {
    fn read(headers: &HeaderMap) -> Option<Self> {
        let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
        let (name, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        Some(Self { name: name.to_owned(), password: Secret::new(password) })
    }
}

/// The user that a request names.
pub(super) fn user_of(headers: &HeaderMap) -> Option<String> {
    Login::read(headers).map(|login| login.name)
}

impl Users {
    pub(super) fn new(hashes: HashMap<String, Secret>) -> Self {
        let cost = hashes.values().filter_map(Secret::bcrypt_cost).max().unwrap_or(bcrypt::DEFAULT_COST);
        let mut key = Zeroizing::new([0; 32]);
        // Without random numbers there is no TLS either; the hashes never leave this process.
        if default_provider().secure_random.fill(&mut *key).is_err() {
            tracing::warn!("the system gives no random numbers");
        }
        Self { hashes, cost, known: Mutex::default(), key: Secret::new(STANDARD.encode(*key)) }
    }

    /// Whether a request comes from one of the users.
    pub(super) async fn check(
        self: &Arc<Self>,
        queue: &PasswordQueue,
        headers: &HeaderMap,
        peer: IpAddr,
    ) -> Result<(), AccessDenied> {
        let login = Login::read(headers).ok_or(AccessDenied::Unauthorized)?;
        if self.remembers(&login) {
            return Ok(());
        }
        let Ok(Some(permits)) = tokio::time::timeout(QUEUE_TIMEOUT, queue.wait(peer)).await else {
            return Err(AccessDenied::Busy);
        };
        let users = self.clone();
        let checking = tokio::task::spawn_blocking(move || {
            // Held for as long as the check takes, even if the client has gone.
            let _permits = permits;
            // Other requests may have come with the same password meanwhile.
            users.remembers(&login) || users.verify(&login)
        });
        if checking.await.unwrap_or(false) { Ok(()) } else { Err(AccessDenied::Unauthorized) }
    }

    /// Compares keyed hashes: the time that this takes does not depend on the password.
    fn remembers(&self, login: &Login) -> bool {
        let hashed = login.password.hmac_sha256_hex(&self.key);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&login.name) == Some(&hashed)
    }

    fn verify(&self, login: &Login) -> bool {
        let hash = self.hashes.get(&login.name);
        if hash.is_some_and(|hash| login.password.has_bcrypt(hash)) {
            let hashed = login.password.hmac_sha256_hex(&self.key);
            self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(login.name.clone(), hashed);
            return true;
        }
        // Each cost takes twice the time of the one below: with the check itself, all costs from that
        // of the hash up to the highest add up to the highest.
        match hash.and_then(Secret::bcrypt_cost) {
            Some(spent) => (spent..self.cost).for_each(|cost| login.password.spend_bcrypt(cost)),
            None => login.password.spend_bcrypt(self.cost),
        }
        false
    }
}
