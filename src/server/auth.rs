//! Names and passwords of HTTP's basic authentication, against bcrypt hashes.
//!
//! A wrong password costs the same whether its user exists or not, and whatever the cost of the
//! user's hash. Checks take turns, so that they cannot keep the machine busy; a password once found
//! right is remembered.

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

use super::gate::AccessDenied;
use crate::model::Secret;

/// How long a request waits for its turn: as long as scrapes do.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who may come in.
pub(super) struct Users {
    hashes: HashMap<String, Secret>,
    /// The highest cost among them, which every wrong password is made to cost.
    cost: u32,
    /// Passwords found right, as proofs under a key of this process: one for each user.
    known: Mutex<HashMap<String, Secret>>,
    key: Secret,
}

/// Whose turn it is to have a password checked: one at a time, and of those that wait, one from
/// each address.
pub(super) struct Turns {
    one: Arc<Semaphore>,
    addresses: Mutex<HashMap<IpAddr, Weak<Semaphore>>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { one: Arc::new(Semaphore::new(1)), addresses: Mutex::default() }
    }
}

impl Turns {
    /// Waits for a turn, which lasts until what is returned is dropped.
    async fn wait(&self, peer: IpAddr) -> Option<[OwnedSemaphorePermit; 2]> {
        let of_address = self.of(peer).acquire_owned().await.ok()?;
        let of_all = self.one.clone().acquire_owned().await.ok()?;
        Some([of_address, of_all])
    }

    fn of(&self, peer: IpAddr) -> Arc<Semaphore> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        // No more than there are connections.
        addresses.retain(|_, turn| turn.strong_count() > 0);
        let turn = addresses.entry(network(peer)).or_default();
        turn.upgrade().unwrap_or_else(|| {
            let new = Arc::new(Semaphore::new(1));
            *turn = Arc::downgrade(&new);
            new
        })
    }
}

/// Who counts as one: with IPv6, a machine commonly has 2^64 addresses.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) >> 64 << 64).into()),
        ip @ IpAddr::V4(_) => ip,
    }
}

/// What a request says about who sent it.
#[derive(Clone)]
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

impl Users {
    pub(super) fn new(hashes: HashMap<String, Secret>) -> Self {
        let cost = hashes.values().filter_map(Secret::bcrypt_cost).max().unwrap_or(bcrypt::DEFAULT_COST);
        let mut key = Zeroizing::new([0; 32]);
        // Without randomness there is no TLS either; what is remembered never leaves this process.
        if default_provider().secure_random.fill(&mut *key).is_err() {
            tracing::warn!("the system gives no random numbers");
        }
        Self { hashes, cost, known: Mutex::default(), key: Secret::new(STANDARD.encode(*key)) }
    }

    /// Whether a request comes from one of them.
    pub(super) async fn check(
        self: &Arc<Self>,
        turns: &Turns,
        headers: &HeaderMap,
        peer: IpAddr,
    ) -> Result<(), AccessDenied> {
        let login = Login::read(headers).ok_or(AccessDenied::Unauthorized)?;
        if self.remembers(&login) {
            return Ok(());
        }
        let turn = tokio::time::timeout(PATIENCE, turns.wait(peer))
            .await
            .ok()
            .flatten()
            .ok_or(AccessDenied::Busy)?;
        let users = self.clone();
        // The turn goes along: it lasts as long as the work, even if whoever asked has gone.
        let checking = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            // Many requests may have come before the first one was answered.
            users.remembers(&login) || users.verify(&login)
        });
        if checking.await.unwrap_or(false) { Ok(()) } else { Err(AccessDenied::Unauthorized) }
    }

    /// Compares proofs under a secret key: how long that takes tells nothing of the password.
    fn remembers(&self, login: &Login) -> bool {
        let proof = login.password.hmac_sha256_hex(&self.key);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&login.name) == Some(&proof)
    }

    fn verify(&self, login: &Login) -> bool {
        let hash = self.hashes.get(&login.name);
        if hash.is_some_and(|hash| login.password.has_bcrypt(hash)) {
            let proof = login.password.hmac_sha256_hex(&self.key);
            self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(login.name.clone(), proof);
            return true;
        }
        // Each cost is twice the one before: what was spent, and once more from there up to the highest,
        // adds up to the highest.
        match hash.and_then(Secret::bcrypt_cost) {
            Some(spent) => (spent..self.cost).for_each(|cost| login.password.spend_bcrypt(cost)),
            None => login.password.spend_bcrypt(self.cost),
        }
        false
    }
}
