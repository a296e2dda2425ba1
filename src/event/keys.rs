//! The public keys of networks that sign their notices with keys of their own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use url::Url;

use crate::network::{Call, KeyCalls, NoticeKeys};
use crate::transport::Client;

/// Age at which keys are fetched again.
const LIFETIME: Duration = Duration::from_secs(6 * 3600);
/// Least time between two fetches: notices signed with unknown keys must not cause more.
const MIN_INTERVAL: Duration = Duration::from_secs(60);
/// The same after a failure.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// Fetched keys, by the base URL of the app.
#[derive(Default)]
pub(super) struct KeyCache(tokio::sync::Mutex<HashMap<Option<Url>, Fetched>>);

struct Fetched {
    keys: Option<Arc<NoticeKeys>>,
    /// Of the last attempt.
    at: Instant,
    failed: bool,
}

impl KeyCache {
    /// The keys, fetched again if they are old or, with `newer`, if the last fetch is a while ago. None if
    /// there never were any.
    pub(super) async fn get(
        &self,
        client: &Client,
        calls: &KeyCalls,
        base_url: Option<&Url>,
        newer: bool,
    ) -> Option<Arc<NoticeKeys>> {
        // One fetch at a time; the others wait for its result.
        let mut cache = self.0.lock().await;
        let known = cache.get(&base_url.cloned());
        let interval = match known {
            Some(Fetched { failed: true, .. }) => RETRY_INTERVAL,
            _ if newer => MIN_INTERVAL,
            _ => LIFETIME,
        };
        let keys = known.and_then(|known| known.keys.clone());
        if known.is_some_and(|known| known.at.elapsed() < interval) {
            return keys;
        }
        let at = Instant::now();
        let fetched = fetch(client, calls, base_url).await;
        let failed = fetched.is_none();
        let keys = fetched.map(Arc::new).or(keys);
        cache.insert(base_url.cloned(), Fetched { keys: keys.clone(), at, failed });
        keys
    }
}

async fn fetch(client: &Client, calls: &KeyCalls, base_url: Option<&Url>) -> Option<NoticeKeys> {
    let warn =
        |error: &str| tracing::warn!(call = calls.discovery.name, error, "no keys to check notices by");
    let ask = async |call: Call| match client.send(&call, base_url).await {
        Ok(answer) if answer.is(200) => Some(answer.json),
        Ok(answer) => {
            warn(&format!("HTTP {}", answer.status.unwrap_or_default()));
            None
        }
        Err(failure) => {
            warn(&failure.error);
            None
        }
    };
    let document = ask(Call::new(calls.discovery, &[])).await?;
    let issuer = document["issuer"].as_str()?.to_owned();
    let address = Url::parse(document["jwks_uri"].as_str()?).ok()?;
    let mut call = Call::new(calls.keys, &[]);
    let host = &address[..url::Position::BeforePath];
    if call.host != host {
        call.host = host.to_owned().into();
    }
    call.path = address[url::Position::BeforePath..].to_owned();
    let set = ask(call).await?;
    if set["keys"].as_array().is_none_or(Vec::is_empty) {
        warn("the answer holds no keys");
        return None;
    }
    Some(NoticeKeys { issuer, set })
}
