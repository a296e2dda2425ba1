//! Access control as the web configuration describes it: TLS, passwords, a rate limit, and headers
//! for all answers.
//!
//! The file, and the certificates and keys that it names, are checked for changes when a connection
//! or a request comes. A change with problems is logged, and the previous rules stay in force.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use rustls::ServerConfig;
use secrecy::zeroize::Zeroizing;

use super::passwords::{PasswordQueue, Users};
use super::rate_limit::TokenBucket;
use super::tls;
use crate::config::{ClientAuth, Problem, Problems, WebFile, open_regular, read_web_file};
use crate::model::Timestamp;
use crate::page::ReloadFailure;

/// Minimum time between two checks for changes, as many requests must not keep the disk busy.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a request waits for a check: a disk that hangs must not delay scrapes.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum size of a certificate or key file.
const MAX_FILE: u64 = 1 << 20;

/// Why a request is refused.
pub(super) enum AccessDenied {
    RateLimited,
    /// The password is missing or wrong.
    Unauthorized,
    /// Too many passwords wait to be checked.
    Busy,
}

#[derive(Default)]
pub(super) struct AccessRules {
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Added to every answer.
    pub(super) headers: HeaderMap,
    users: Option<Arc<Users>>,
    rate_limit: Option<Arc<TokenBucket>>,
    /// Whether clients need a password or a certificate of a known authority.
    authenticated: bool,
}

/// Holds the rules in force, and keeps them up to date.
#[derive(Default)]
pub struct AccessControl {
    file: Option<PathBuf>,
    warnings: Vec<Problem>,
    state: Mutex<State>,
    passwords: PasswordQueue,
}

#[derive(Default)]
struct State {
    rules: Arc<AccessRules>,
    files: Vec<(PathBuf, Fingerprint)>,
    checked: Option<Instant>,
    checking: bool,
    /// Why the file could not be read last.
    failure: Option<Arc<ReloadFailure>>,
}

type Fingerprint = u64;

impl AccessControl {
    /// Reads a web configuration; everyone has access without one.
    ///
    /// # Errors
    /// With all its problems.
    pub fn new(path: Option<&Path>) -> Result<Self, Problems> {
        let Some(path) = path else { return Ok(Self::default()) };
        let Loaded { rules, warnings, files } = Loaded::read(path);
        let rules = Arc::new(rules?);
        let state = State { rules, files, checked: Some(Instant::now()), ..State::default() };
        Ok(Self {
            file: Some(path.to_owned()),
            warnings,
            state: Mutex::new(state),
            passwords: PasswordQueue::default(),
        })
    }

    /// The warnings of the configuration as it was read first.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    pub fn has_tls(&self) -> bool {
        self.lock().rules.tls.is_some()
    }

    /// What is risky about listening on an address, if anything is.
    pub fn risk(&self, address: IpAddr) -> Option<&'static str> {
        let rules = self.lock().rules.clone();
        match (rules.authenticated, &rules.tls) {
            _ if address.is_loopback() => None,
            (true, Some(_)) => None,
            (true, None) => Some(
                "passwords come over the network as plain text: add tls_server_config to --web.config.file, \
                 or put it behind a proxy",
            ),
            (false, _) => Some(
                "open to other machines without a password: set one with --web.config.file, put it behind a \
                 proxy, or listen on 127.0.0.1",
            ),
        }
    }

    /// The rules in force, after a check for changes if the last one is old enough.
    pub(super) async fn rules(self: &Arc<Self>) -> Arc<AccessRules> {
        if let Some(path) = self.begin_check() {
            let access = self.clone();
            let check = tokio::task::spawn_blocking(move || access.check(&path));
            // A check that takes longer goes on, and later requests see its result.
            if let Ok(Err(_)) = tokio::time::timeout(CHECK_TIMEOUT, check).await {
                tracing::error!("the check of the web configuration panicked");
                self.lock().checking = false;
            }
        }
        self.lock().rules.clone()
    }

    /// Whether there are users with passwords.
    pub(super) fn has_users(&self) -> bool {
        self.lock().rules.users.is_some()
    }

    /// Whether a request may pass. One with `own_proof` needs no password, as its path checks who has
    /// sent it.
    pub(super) async fn admit(
        &self,
        rules: &AccessRules,
        headers: &HeaderMap,
        peer: IpAddr,
        own_proof: bool,
    ) -> Result<(), AccessDenied> {
        if rules.rate_limit.as_ref().is_some_and(|bucket| !bucket.take(Instant::now())) {
            return Err(AccessDenied::RateLimited);
        }
        match &rules.users {
            Some(users) if !own_proof => users.check(&self.passwords, headers, peer).await,
            _ => Ok(()),
        }
    }

    /// Why the web configuration that is there now is not in force, if it is not.
    pub(super) fn reload_failure(&self) -> Option<Arc<ReloadFailure>> {
        self.lock().failure.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file to check, if a check is due and none is running.
    fn begin_check(&self) -> Option<PathBuf> {
        let path = self.file.clone()?;
        let mut state = self.lock();
        let due = !state.checking && state.checked.is_none_or(|at| at.elapsed() >= CHECK_INTERVAL);
        state.checking |= due;
        due.then_some(path)
    }

    fn check(&self, path: &Path) {
        let files = self.lock().files.clone();
        let changed = files.iter().any(|(file, before)| fingerprint(file) != *before);
        let loaded = changed.then(|| Loaded::read(path));
        let mut state = self.lock();
        state.checking = false;
        state.checked = Some(Instant::now());
        let Some(loaded) = loaded else { return };
        state.files = loaded.files;
        match loaded.rules.and_then(|rules| state.rules.replaced_by(rules, path)) {
            Ok(rules) => {
                (state.rules, state.failure) = (Arc::new(rules), None);
                tracing::info!("web configuration reloaded");
                for warning in &loaded.warnings {
                    tracing::warn!(%warning, "web configuration warning");
                }
            }
            Err(problems) => {
                tracing::error!(%problems, "web configuration not reloaded, the last one stays in force");
                let problems = problems.to_string();
                state.failure = Some(Arc::new(ReloadFailure { at: Timestamp::now(), problems }));
            }
        }
    }
}

impl AccessRules {
    /// New rules in place of these. TLS and passwords cannot be removed before a restart, as a file
    /// that is being written is empty for a moment.
    fn replaced_by(&self, mut new: Self, path: &Path) -> Result<Self, Problems> {
        let refused = |message: &str| {
            let message = format!("{message} while running; restart for that");
            Problems {
                list: vec![Problem { file: path.to_owned(), at: None, path: String::new(), message }],
                ..Problems::default()
            }
        };
        if self.tls.is_some() != new.tls.is_some() {
            return Err(refused("TLS cannot be switched on or off"));
        }
        if self.authenticated && !new.authenticated {
            return Err(refused("passwords and client certificates cannot be given up"));
        }
        // A bucket that is empty stays so, unless the limit itself has changed.
        if let (Some(old), Some(bucket)) = (&self.rate_limit, &new.rate_limit)
            && old.limit == bucket.limit
        {
            new.rate_limit = Some(old.clone());
        }
        Ok(new)
    }
}

struct Loaded {
    rules: Result<AccessRules, Problems>,
    warnings: Vec<Problem>,
    /// The file, and those that it names. The fingerprints are taken before the files are read, so
    /// that the next check notices what has changed meanwhile.
    files: Vec<(PathBuf, Fingerprint)>,
}

impl Loaded {
    fn read(path: &Path) -> Self {
        let mut files = vec![(path.to_owned(), fingerprint(path))];
        let (file, mut problems) = read_web_file(path);
        let WebFile { tls, http2, headers, users, rate_limit, warnings } = file;
        files.extend(tls.iter().flat_map(tls::files).map(|file| {
            let fingerprint = fingerprint(&file);
            (file, fingerprint)
        }));
        let certified = tls.as_ref().is_some_and(|tls| tls.client_auth == ClientAuth::RequireAndVerify);
        let rules = AccessRules {
            tls: tls.and_then(|tls| tls::server_config(&tls, http2, &mut problems.list)).map(Arc::new),
            headers,
            authenticated: certified || !users.is_empty(),
            users: (!users.is_empty()).then(|| Arc::new(Users::new(users))),
            rate_limit: rate_limit.map(|limit| Arc::new(TokenBucket::new(limit))),
        };
        problems.list.sort_by_key(|problem| problem.at);
        problems.warnings.clone_from(&warnings);
        let rules = if problems.list.is_empty() { Ok(rules) } else { Err(problems) };
        Self { rules, warnings, files }
    }
}

/// The content of a file that is no device, no pipe and not too large.
pub(super) fn content(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    open_regular(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE { Err(std::io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

fn fingerprint(file: &Path) -> Fingerprint {
    let mut hasher = DefaultHasher::new();
    content(file).ok().as_deref().hash(&mut hasher);
    hasher.finish()
}
