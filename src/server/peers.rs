//! Hands requests on to the other shards.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, StatusCode};
use tokio::sync::Semaphore;
use url::Url;

use crate::inventory::Shard;
use crate::transport::{client_builder, failure};

/// Marks a request that was handed on, with the number of the shard that it came to first. It is not handed
/// on again.
pub(super) const HANDED_ON: HeaderName = HeaderName::from_static("x-token-exporter-shard");
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum number of requests that are handed on at the same time; further ones are refused.
const MAX_RUNNING: usize = 64;
/// Maximum size of an answer in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// The addresses of all shards.
pub struct Peers {
    shard: Shard,
    urls: Vec<Url>,
    client: reqwest::Client,
    running: Semaphore,
}

impl Peers {
    /// `urls` are those of all shards in the order of their numbers, with their route prefixes; empty if they
    /// are not known.
    ///
    /// # Errors
    /// If the system's certificates cannot be used.
    pub fn new(shard: Shard, urls: Vec<Url>) -> anyhow::Result<Self> {
        let client = client_builder(CONNECT_TIMEOUT).timeout(TIMEOUT).no_proxy().build();
        let client = client.context("no client for the other shards")?;
        Ok(Self { shard, urls, client, running: Semaphore::new(MAX_RUNNING) })
    }

    /// Sends a body to the same path of all other shards, as [`hand_on`](Self::hand_on) does. Returns whether
    /// all of them have taken it, or it was handed on already.
    pub(super) async fn hand_to_all(&self, path: &str, headers: &HeaderMap, body: &Bytes) -> bool {
        if headers.contains_key(HANDED_ON) {
            return true;
        }
        let shards = (0..self.shard.total()).filter(|shard| *shard != self.shard.ordinal());
        let answers = shards.map(|shard| self.hand_on(shard, path, headers, body.clone()));
        let answers = futures_util::future::join_all(answers).await;
        answers.iter().all(|answer| answer.as_ref().is_some_and(|(status, _)| status.is_success()))
    }

    /// Sends a body to the same path of another shard, with the headers that tell who sends it and in what
    /// form. Returns the answer; none if the shard cannot be reached or the request was handed on already.
    pub(super) async fn hand_on(
        &self,
        shard: u32,
        path: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Option<(StatusCode, Bytes)> {
        if headers.contains_key(HANDED_ON) || shard == self.shard.ordinal() {
            return None;
        }
        let base = self.urls.get(shard as usize)?;
        let _permit = self.running.try_acquire().ok()?;
        let url = Url::parse(&format!("{}{path}", base.as_str().trim_end_matches('/'))).ok()?;
        // Networks sign their notices in headers of their own.
        let passed = |name: &HeaderName| {
            *name == AUTHORIZATION || *name == CONTENT_TYPE || name.as_str().contains("signature")
        };
        let passed = headers.iter().filter(|(name, _)| passed(name));
        let mut passed: HeaderMap = passed.map(|(name, value)| (name.clone(), value.clone())).collect();
        passed.insert(HANDED_ON, self.shard.ordinal().into());
        let answer = async {
            let mut answer = self.client.post(url).headers(passed).body(body).send().await?;
            let mut bytes = Vec::new();
            while let Some(chunk) = answer.chunk().await? {
                bytes.extend_from_slice(&chunk);
                if bytes.len() > MAX_ANSWER {
                    return Ok(None);
                }
            }
            Ok(Some((answer.status(), Bytes::from(bytes))))
        };
        let answer: reqwest::Result<_> = answer.await;
        answer.unwrap_or_else(|error| {
            tracing::warn!(shard, error = failure(&error).error, "a shard cannot be reached");
            None
        })
    }
}
