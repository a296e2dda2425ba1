//! What stands before the routes: TLS, passwords, a rate limit and headers, as the file of
//! `--web.config.file` says.
//!
//! The file, and the certificates and keys that it names, are looked at again when a connection or
//! request comes. What is wrong with them is logged, and what was in force stays so. Knows nothing
//! of routes, metrics or accounts.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use rustls::ServerConfig;
use secrecy::zeroize::Zeroizing;

use super::auth::{Turns, Users};
use super::tls;
use crate::config::web::{self as file, ClientAuth, WebFile, WebRateLimit};
use crate::config::{Problem, Problems, Warning};

/// How long a look at the files is fresh. Reading them for each request would let requests keep the
/// disk busy.
const FRESH: Duration = Duration::from_secs(1);
/// How long a request waits for a look: a disk that hangs must not keep scrapes waiting.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// A larger file is no certificate and no key.
const MAX_FILE: u64 = 1 << 20;

/// Why a request goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessDenied {
    /// The rate limit is used up.
    TooMany,
    /// A name and password are needed, or those that came are wrong.
    Unauthorized,
    /// So many passwords wait to be checked that this one's turn did not come.
    Busy,
}

/// What is in force.
#[derive(Default)]
pub struct Rules {
    tls: Option<Arc<ServerConfig>>,
    headers: HeaderMap,
    users: Option<Arc<Users>>,
    bucket: Option<Arc<Bucket>>,
    /// Whether clients must show a password or a certificate of a known authority.
    guarded: bool,
}

impl Rules {
    /// How connections are encrypted; none: they are not.
    pub fn tls(&self) -> Option<&Arc<ServerConfig>> {
        self.tls.as_ref()
    }

    /// What is set on every answer.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

/// Holds what is in force, and keeps it true to the files.
#[derive(Default)]
pub struct Gate {
    file: Option<PathBuf>,
    warnings: Vec<Warning>,
    state: Mutex<State>,
    turns: Turns,
}

#[derive(Default)]
struct State {
    rules: Arc<Rules>,
    /// What was looked at last: the file, and those that it names.
    files: Vec<PathBuf>,
    prints: Vec<u64>,
    looked: Option<Instant>,
    looking: bool,
}

impl Gate {
    /// Reads a web configuration; without one, the gate is open.
    ///
    /// # Errors
    /// With everything that is wrong with it.
    pub fn new(path: Option<&Path>) -> Result<Self, Problems> {
        let Some(path) = path else { return Ok(Self::default()) };
        let read = Loaded::read(path);
        let rules = Arc::new(read.rules?);
        let state = State {
            rules,
            files: read.files,
            prints: read.prints,
            looked: Some(Instant::now()),
            looking: false,
        };
        Ok(Self {
            file: Some(path.to_owned()),
            warnings: read.warnings,
            state: Mutex::new(state),
            turns: Turns::default(),
        })
    }

    /// What works but deserved a look at the start.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// What is in force as things are known, without a look at the files.
    pub fn known(&self) -> Arc<Rules> {
        self.lock().rules.clone()
    }

    /// What is in force. Looks at the files first if the last look was a while ago.
    pub async fn rules(self: &Arc<Self>) -> Arc<Rules> {
        if let Some(path) = self.begin_look() {
            let gate = self.clone();
            let look = tokio::task::spawn_blocking(move || gate.look(&path));
            // A look that takes too long goes on, and its result holds for later requests.
            if let Ok(Err(_)) = tokio::time::timeout(LOOK_TIMEOUT, look).await {
                tracing::error!("looking at the web configuration ended with a fault");
                self.lock().looking = false;
            }
        }
        self.known()
    }

    /// Whether a request may pass.
    ///
    /// # Errors
    /// Why it may not.
    pub async fn admit(&self, rules: &Rules, headers: &HeaderMap, peer: IpAddr) -> Result<(), AccessDenied> {
        if rules.bucket.as_ref().is_some_and(|bucket| !bucket.take(Instant::now())) {
            return Err(AccessDenied::TooMany);
        }
        match &rules.users {
            Some(users) => users.check(&self.turns, headers, peer).await,
            None => Ok(()),
        }
    }

    /// What is risky about listening at an address, if anything is.
    pub fn risk(&self, address: IpAddr) -> Option<&'static str> {
        let rules = self.known();
        if address.is_loopback() {
            None
        } else if !rules.guarded {
            Some(
                "open to other machines without a password: set one with --web.config.file, put it behind a \
                 proxy, or listen on 127.0.0.1",
            )
        } else if rules.tls.is_none() {
            Some(
                "passwords come over the network as plain text: add tls_server_config to --web.config.file, \
                 or put it behind a proxy",
            )
        } else {
            None
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file, if it is time for a look and nobody else is looking.
    fn begin_look(&self) -> Option<PathBuf> {
        let path = self.file.clone()?;
        let mut state = self.lock();
        let due = !state.looking && state.looked.is_none_or(|at| at.elapsed() >= FRESH);
        state.looking |= due;
        due.then_some(path)
    }

    fn look(&self, path: &Path) {
        let (files, before) = {
            let state = self.lock();
            (state.files.clone(), state.prints.clone())
        };
        let changed = (prints(&files) != before).then(|| Loaded::read(path));
        let mut state = self.lock();
        state.looking = false;
        state.looked = Some(Instant::now());
        let Some(read) = changed else { return };
        (state.files, state.prints) = (read.files, read.prints);
        match read.rules.and_then(|rules| state.rules.followed_by(rules, path)) {
            Ok(rules) => {
                state.rules = Arc::new(rules);
                tracing::info!("web configuration reloaded");
                for warning in &read.warnings {
                    tracing::warn!(%warning, "the web configuration deserves a look");
                }
            }
            Err(problems) => {
                tracing::error!(%problems, "web configuration not reloaded, the last one stays in force")
            }
        }
    }
}

impl Rules {
    /// New rules in place of these. A file that is being written is empty for a moment: what is
    /// encrypted and guarded stays so until a restart.
    fn followed_by(&self, mut next: Self, path: &Path) -> Result<Self, Problems> {
        let fixed = |message: &str| {
            let message = format!("{message} while running; restart for that");
            Problems {
                list: vec![Problem { file: path.to_owned(), at: None, path: String::new(), message }],
                more: 0,
            }
        };
        if self.tls.is_some() != next.tls.is_some() {
            return Err(fixed("TLS cannot be switched on or off"));
        }
        if self.guarded && !next.guarded {
            return Err(fixed("passwords and client certificates cannot be given up"));
        }
        // Whoever used up the limit does not get it anew because a certificate was renewed.
        if let (Some(old), Some(new)) = (&self.bucket, &next.bucket)
            && old.limit == new.limit
        {
            next.bucket = Some(old.clone());
        }
        Ok(next)
    }
}

/// A web configuration as it was read.
struct Loaded {
    rules: Result<Rules, Problems>,
    warnings: Vec<Warning>,
    /// The file, and those that it names.
    files: Vec<PathBuf>,
    /// Their fingerprints, taken before they were read: what changes meanwhile shows at the next
    /// look.
    prints: Vec<u64>,
}

impl Loaded {
    fn read(path: &Path) -> Self {
        let mut files = vec![path.to_owned()];
        let mut prints_before = prints(&files);
        let (file, mut problems) = file::read(path);
        let WebFile { tls: section, http2, headers, users, rate_limit, warnings } = file;
        let named: Vec<PathBuf> = section.iter().flat_map(tls::files).collect();
        prints_before.extend(prints(&named));
        files.extend(named);
        let guarded = !users.is_empty()
            || section.as_ref().is_some_and(|tls| tls.client_auth == ClientAuth::RequireAndVerify);
        let tls =
            section.and_then(|section| tls::server_config(&section, http2, &mut problems.list)).map(Arc::new);
        let rules = if problems.list.is_empty() {
            let users = (!users.is_empty()).then(|| Arc::new(Users::new(users)));
            Ok(Rules {
                tls,
                headers,
                users,
                bucket: rate_limit.map(|limit| Arc::new(Bucket::new(limit))),
                guarded,
            })
        } else {
            problems.list.sort_by_key(|problem| problem.at);
            Err(problems)
        };
        Self { rules, warnings, files, prints: prints_before }
    }
}

/// The content of a file that is no device, no pipe and not too large.
pub(super) fn content(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Zeroizing::new(Vec::new());
    std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE { Err(std::io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

/// What tells one content of each file from another.
fn prints(files: &[PathBuf]) -> Vec<u64> {
    let print = |file: &PathBuf| {
        let mut hasher = DefaultHasher::new();
        content(file).ok().as_deref().hash(&mut hasher);
        hasher.finish()
    };
    files.iter().map(print).collect()
}

/// A token bucket.
struct Bucket {
    limit: WebRateLimit,
    state: Mutex<(f64, Instant)>,
}

impl Bucket {
    fn new(limit: WebRateLimit) -> Self {
        Self { limit, state: Mutex::new((f64::from(limit.burst), Instant::now())) }
    }

    /// Whether one more request may pass now.
    fn take(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (level, at) = *state;
        let gained = now.saturating_duration_since(at).as_secs_f64() / self.limit.interval.as_secs_f64();
        let level = (level + gained).min(f64::from(self.limit.burst));
        let passes = level >= 1.0;
        *state = (if passes { level - 1.0 } else { level }, now.max(at));
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_refills_one_by_one_up_to_the_burst() {
        let bucket = Bucket::new(WebRateLimit { interval: Duration::from_secs(10), burst: 2 });
        let start = Instant::now();
        let after = |seconds: u64| bucket.take(start + Duration::from_secs(seconds));
        let passed: Vec<bool> = [0, 0, 0, 9, 11, 12, 100, 100, 100].into_iter().map(after).collect();
        assert_eq!(passed, [true, true, false, false, true, false, true, true, false]);
    }
}
