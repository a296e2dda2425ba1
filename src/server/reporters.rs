//! Who may send reports: reporters with a token each, and the users of the web configuration.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::rate_limit::TokenBucket;
use crate::config::{ReporterSettings, WebRateLimit};
use crate::inventory::SecretSource;
use crate::model::{Secret, SecretDigest};
use crate::report::Reporter;

/// Reports that one reporter may send in the long run: 5,000 a second…
const INTERVAL: Duration = Duration::from_micros(200);
/// …and this many at once.
const BURST: u32 = 10_000;

/// A reporter and its share of the server.
pub(super) struct Sender {
    pub(super) reporter: Reporter,
    pub(super) bucket: Arc<TokenBucket>,
}

struct Known {
    sender: Arc<Sender>,
    source: SecretSource,
    /// None until its token was read.
    token: Option<SecretDigest>,
    /// Whether the token could not be read last.
    failing: bool,
}

/// The reporters of the configuration, with their tokens as they were read last.
pub struct Reporters {
    known: Mutex<Vec<Known>>,
    /// Of all users of the web configuration together.
    users: Arc<TokenBucket>,
}

fn bucket() -> Arc<TokenBucket> {
    Arc::new(TokenBucket::new(WebRateLimit { interval: INTERVAL, burst: BURST }))
}

impl Default for Reporters {
    fn default() -> Self {
        Self { known: Mutex::default(), users: bucket() }
    }
}

impl Reporters {
    /// Takes over the reporters of a configuration, and reads their tokens. A token that cannot be read
    /// stays as it was.
    pub async fn update(&self, settings: &[ReporterSettings]) {
        let mut reporters = Vec::with_capacity(settings.len());
        for ReporterSettings { id, token: source, networks, accounts } in settings {
            let read = source.read().await;
            let known = self.lock();
            let before = known.iter().find(|k| *k.sender.reporter.id == **id && k.source == *source);
            let token = match &read {
                Ok((secret, _)) => Some(secret.digest()),
                Err(error) => {
                    if before.is_none_or(|before| !before.failing) {
                        tracing::error!(reporter = id, %error, "the token of a reporter cannot be read");
                    }
                    before.and_then(|before| before.token)
                }
            };
            let reporter =
                Reporter { id: (&**id).into(), networks: networks.clone(), accounts: accounts.clone() };
            // What a reporter has used of its rate limit stays used.
            let bucket = before.map_or_else(bucket, |before| before.sender.bucket.clone());
            let sender = Arc::new(Sender { reporter, bucket });
            reporters.push(Known { sender, source: source.clone(), token, failing: read.is_err() });
        }
        *self.lock() = reporters;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// The reporter whose token a request carries. Compares with all tokens, whichever is right.
    pub(super) fn find(&self, headers: &HeaderMap) -> Option<Arc<Sender>> {
        let presented = bearer(headers)?.digest();
        let known = self.lock();
        let matching = known.iter().fold(None, |found, known| {
            if known.token.is_some_and(|token| token.is(&presented)) { Some(&known.sender) } else { found }
        });
        matching.cloned()
    }

    /// A user of the web configuration, who may report on all accounts.
    pub(super) fn user(&self, name: &str) -> Arc<Sender> {
        let reporter = Reporter { id: name.into(), networks: Vec::new(), accounts: Vec::new() };
        Arc::new(Sender { reporter, bucket: self.users.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bearer token of a request (RFC 6750), if it has one.
pub(super) fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(token.trim()))
}
