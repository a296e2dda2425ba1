//! Asks the running exporters about the connections of one person.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use url::Url;

use crate::config::HttpSettings;
use crate::model::percent_encode;
use crate::source::{Failed, HttpReader};

/// Maximum number of connections that are read of an exporter at once.
const MAX_ROWS: usize = 1000;
const MAX_BYTES: usize = 64 << 20;
/// How often an exporter is asked that is busy, or does not answer.
const MAX_ATTEMPTS: u32 = 3;
const RETRY_DELAY: Duration = Duration::from_secs(1);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(30);

/// One exporter, or all shards.
pub struct Exporters(Vec<HttpReader>);

/// A connection, as the API describes it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Row {
    pub(super) account: String,
    pub(super) name: String,
    pub(super) network: String,
    pub(super) credential: String,
    pub(super) connected_by: Option<String>,
    pub(super) reconnect_url: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) since: Option<String>,
    pub(super) cause: Option<String>,
    pub(super) capabilities: BTreeMap<String, String>,
    pub(super) stops: Vec<String>,
    pub(super) deadline: Option<String>,
    pub(super) next_use: Option<String>,
}

/// Connections that match a query, and how many there are beside those that were read.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Rows {
    pub(super) total: usize,
    #[serde(rename = "connections")]
    pub(super) rows: Vec<Row>,
}

impl Exporters {
    pub fn new(settings: &[HttpSettings]) -> Self {
        Self(settings.iter().cloned().map(HttpReader::new).collect())
    }

    /// The connections of all exporters that match a query, in the order of each.
    ///
    /// # Errors
    /// If one of the exporters cannot be asked: what it knows would be missing.
    pub(super) async fn rows(&mut self, query: &str) -> anyhow::Result<Rows> {
        let mut all = Rows::default();
        for exporter in &mut self.0 {
            let url = address(exporter.url(), &["connections"], &format!("{query}&per_page={MAX_ROWS}"))?;
            let text =
                ask(exporter, url).await?.with_context(|| format!("{}: no API there", exporter.url()))?;
            let read: Rows = parse(exporter, &text)?;
            all.total += read.total;
            all.rows.extend(read.rows);
        }
        Ok(all)
    }

    /// A connection; none if no exporter has it.
    ///
    /// # Errors
    /// If one of the exporters cannot be asked.
    pub(super) async fn row(&mut self, account: &str) -> anyhow::Result<Option<Row>> {
        for exporter in &mut self.0 {
            let url = address(exporter.url(), &["connections", account], "")?;
            if let Some(text) = ask(exporter, url).await? {
                return parse(exporter, &text).map(Some);
            }
        }
        Ok(None)
    }
}

async fn ask(exporter: &mut HttpReader, url: Url) -> anyhow::Result<Option<String>> {
    let mut attempts = 1;
    loop {
        match exporter.get(url.clone(), MAX_BYTES).await {
            Ok(answer) => return Ok(answer.map(|text| text.to_string())),
            Err(Failed { retry: Some(delay), .. }) if attempts < MAX_ATTEMPTS => {
                tokio::time::sleep(delay.clamp(RETRY_DELAY, MAX_RETRY_DELAY)).await;
            }
            Err(error) => return Err(error).with_context(|| format!("{} cannot be asked", exporter.url())),
        }
        attempts += 1;
    }
}

/// serde_json quotes what it has found, which may be long.
fn parse<'t, T: Deserialize<'t>>(exporter: &HttpReader, text: &'t str) -> anyhow::Result<T> {
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        anyhow::anyhow!("{}: not the answer of an exporter (line {line}, column {column})", exporter.url())
    })
}

/// An address of the API below that of an exporter.
fn address(base: &Url, path: &[&str], query: &str) -> anyhow::Result<Url> {
    let mut url = base.clone();
    {
        let mut segments = url
            .path_segments_mut()
            .map_err(|()| anyhow::anyhow!("{base}: not the address of an exporter"))?;
        segments.pop_if_empty().extend(["api", "v1"]).extend(path);
    }
    url.set_query(Some(query).filter(|query| !query.is_empty()));
    Ok(url)
}

/// The part of a query that selects the connections of a person.
pub(super) fn of_recipient(mail: &str) -> String {
    format!("recipient={}", percent_encode(mail))
}
