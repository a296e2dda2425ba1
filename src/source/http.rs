//! Reads a list of accounts over HTTP, page by page.
//!
//! A list counts as a whole or not at all. Redirects are not followed, and pages come from one origin
//! only, so credentials stay with the configured host. Private addresses are allowed: the host is
//! configured.

use std::collections::HashSet;
use std::time::Duration;

use http::StatusCode;
use http::header::{ACCEPT, AUTHORIZATION, ETAG, HeaderValue, IF_NONE_MATCH};
use reqwest::{Client, RequestBuilder};
use serde::Deserialize;
use serde::de::IgnoredAny;
use url::Url;

use super::http_reader::{HttpReader, before, body, unanswered};
use super::listing::Listing;
use super::retry::Failed;
use crate::config::HttpSettings;
use crate::model::format_duration;

/// Maximum size of a page after decompression.
const MAX_PAGE_BYTES: usize = 64 << 20;
/// Maximum size of all pages together.
const MAX_LIST_BYTES: usize = 512 << 20;
const MAX_PAGES: usize = 10_000;
/// Maximum duration of an attempt, if the refresh interval is longer.
const MAX_TIME: Duration = Duration::from_secs(600);

/// A list of accounts at a URL. It keeps no page between refreshes.
pub struct HttpSource {
    reader: HttpReader,
    interval: Duration,
    /// The `ETag` of the list that was accepted last, and of the one that was read last.
    accepted: Option<HeaderValue>,
    offered: Option<HeaderValue>,
}

pub enum HttpAnswer {
    /// The list is the one that was accepted last.
    Unchanged,
    Listed(Listing),
}

impl HttpSource {
    pub fn new(settings: HttpSettings, interval: Duration) -> Self {
        Self { reader: HttpReader::new(settings), interval, accepted: None, offered: None }
    }

    /// Reads the whole list. Secrets and files of TLS are read again each time.
    ///
    /// # Errors
    /// If a part of the list is missing, or not what it should be.
    pub async fn read(&mut self) -> Result<HttpAnswer, Failed> {
        self.offered = None;
        let limit = self.interval.min(MAX_TIME);
        let answer = tokio::time::timeout(limit, self.pages()).await.unwrap_or_else(|_| {
            Err(Failed::temporary(format!("no complete answer within {}", format_duration(limit))))
        });
        if answer.is_err() {
            // It may have been revoked.
            self.reader.forget_token();
        }
        answer
    }

    /// The list that was read last is in force: while it stays the same, it is not sent again.
    pub fn accepted(&mut self) {
        self.accepted = self.offered.take();
    }

    async fn pages(&mut self) -> Result<HttpAnswer, Failed> {
        let client = self.reader.client().await?;
        let authorization = self.reader.authorization().await?;
        let first = self.reader.url();
        let (mut url, mut seen) = (first.clone(), HashSet::new());
        let (mut pages, mut room) = (Vec::new(), MAX_LIST_BYTES);
        loop {
            let number = pages.len() + 1;
            let known = self.accepted.as_ref().filter(|_| number == 1);
            let read = async {
                let request = self.request(&client, url.clone(), authorization.as_ref(), known);
                let mut response = request.send().await.map_err(|e| unanswered(&e))?;
                if known.is_some() && response.status() == StatusCode::NOT_MODIFIED {
                    return Ok(None);
                }
                self.reader.check(&response)?;
                let tag = response.headers_mut().remove(ETAG);
                let page = body(response, room.min(MAX_PAGE_BYTES)).await?;
                let next = next_page(&page)?.map(|next| next_url(&url, &next)).transpose()?;
                Ok(Some((page, tag, next)))
            };
            let read = read.await.map_err(|failed: Failed| on_page(number, failed))?;
            let Some((page, tag, next)) = read else {
                self.offered = self.accepted.clone();
                return Ok(HttpAnswer::Unchanged);
            };
            room -= page.len();
            pages.push(page);
            let Some(next) = next else {
                // An unchanged first page tells nothing about the others.
                self.offered = tag.filter(|_| number == 1);
                return Ok(HttpAnswer::Listed(Listing { pages }));
            };
            seen.insert(std::mem::replace(&mut url, next));
            if seen.contains(&url) {
                return Err(on_page(number, Failed::lasting("next leads back to an earlier page")));
            }
            if seen.len() >= MAX_PAGES {
                return Err(Failed::lasting(format!("more than {MAX_PAGES} pages")));
            }
        }
    }

    fn request(
        &self,
        client: &Client,
        url: Url,
        authorization: Option<&HeaderValue>,
        known: Option<&HeaderValue>,
    ) -> RequestBuilder {
        let mut request = client
            .get(url)
            .header(ACCEPT, "application/json")
            // As Prometheus tells its sources of targets.
            .header("x-prometheus-refresh-interval-seconds", self.interval.as_secs());
        for (name, value) in [(AUTHORIZATION, authorization), (IF_NONE_MATCH, known)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        request
    }
}

fn on_page(number: usize, failed: Failed) -> Failed {
    if number == 1 { failed } else { before(&format!("page {number}"), failed) }
}

/// What is read of a page here: that it is whole, and what follows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    version: Option<u64>,
    credentials: Option<Vec<IgnoredAny>>,
    accounts: Option<Vec<IgnoredAny>>,
    next: Option<String>,
}

/// Checks that a page is whole, and returns where the next one is.
fn next_page(page: &str) -> Result<Option<String>, Failed> {
    // serde_json quotes what it has found.
    let wrong = |error: serde_json::Error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        if error.is_data() {
            let expected = r#"{"accounts": […], "credentials": […], "next": "…"} or a list of accounts"#;
            Failed::lasting(format!("expected {expected}; found something else at {place}"))
        } else {
            Failed::temporary(format!("the JSON is damaged or not complete ({place})"))
        }
    };
    if page.trim_start().starts_with('[') {
        return serde_json::from_str::<Vec<IgnoredAny>>(page).map(|_| None).map_err(wrong);
    }
    let page: Page = serde_json::from_str(page).map_err(wrong)?;
    if page.version.is_some_and(|version| version != 1) {
        return Err(Failed::lasting("version is not 1, the only one that is known"));
    }
    if page.credentials.is_none() && page.accounts.is_none() {
        return Err(Failed::lasting("the answer has neither accounts nor credentials"));
    }
    Ok(page.next.filter(|next| !next.is_empty()))
}

/// The URL of the next page, which must have the same origin.
fn next_url(current: &Url, next: &str) -> Result<Url, Failed> {
    let Ok(mut url) = current.join(next) else { return Err(Failed::lasting("next is not a URL")) };
    if url.origin() != current.origin() || !url.username().is_empty() || url.password().is_some() {
        return Err(Failed::lasting("next leads to another host, which gets no credentials"));
    }
    url.set_fragment(None);
    Ok(url)
}
