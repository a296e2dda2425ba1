//! A source that is asked: over HTTP, or in a database.
//!
//! Its list is decrypted if need be, and compared with the last one that was accepted.

use std::hash::{BuildHasher as _, RandomState};

use super::envelope::{Decryptor, RowProblem};
use super::http::{HttpAnswer, HttpSource};
use super::listing::Listing;
use super::retry::Failed;
use super::sql::read_sql;
use crate::config::{self, Config, DecryptSettings, Last, SourceKind, SourceSettings, SqlSettings};

pub enum Reply {
    /// The list is the one that was accepted last.
    Unchanged,
    /// A list, and which of its values cannot be decrypted.
    Listed(Listing, Vec<RowProblem>),
}

pub struct AskedSource {
    kind: Kind,
    decrypt: Option<DecryptSettings>,
    hasher: RandomState,
    /// Hashes of the list that was accepted last, and of the one that was read last.
    accepted: Option<u64>,
    offered: Option<u64>,
}

enum Kind {
    Http(Box<HttpSource>),
    Sql(Box<SqlSettings>),
}

impl AskedSource {
    /// None for files, which are read with the configuration.
    pub fn new(settings: &SourceSettings) -> Option<Self> {
        let kind = match &settings.kind {
            SourceKind::File => return None,
            SourceKind::Http(http) => {
                Kind::Http(Box::new(HttpSource::new(http.clone(), settings.refresh_interval)))
            }
            SourceKind::Sql(sql) => Kind::Sql(Box::new(sql.clone())),
        };
        let decrypt = settings.decrypt.clone();
        Some(Self { kind, decrypt, hasher: RandomState::new(), accepted: None, offered: None })
    }

    /// Reads the list.
    ///
    /// # Errors
    /// If it cannot be read as a whole, or not be decrypted at all.
    pub async fn ask(&mut self) -> Result<Reply, Failed> {
        self.offered = None;
        let listing = match &mut self.kind {
            Kind::Http(source) => match source.read().await? {
                HttpAnswer::Unchanged => return Ok(Reply::Unchanged),
                HttpAnswer::Listed(listing) => listing,
            },
            Kind::Sql(settings) => read_sql(settings).await?,
        };
        let texts: Vec<&str> = listing.pages.iter().map(|page| page.as_str()).collect();
        let hash = self.hasher.hash_one(texts);
        if self.accepted == Some(hash) {
            return Ok(Reply::Unchanged);
        }
        self.offered = Some(hash);
        let Some(decrypt) = &self.decrypt else { return Ok(Reply::Listed(listing, Vec::new())) };
        let failed = |error| Failed { error, retry: None };
        let decryptor = Decryptor::new(decrypt).await.map_err(failed)?;
        let (listing, problems) = decryptor.open(&listing).await.map_err(failed)?;
        Ok(Reply::Listed(listing, problems))
    }

    /// The list that was read last is in force: while it stays the same, it is not read again.
    pub fn accepted(&mut self) {
        self.accepted = self.offered.or(self.accepted);
        if let Kind::Http(source) = &mut self.kind {
            source.accepted();
        }
    }
}

/// What came of asking a source once.
#[derive(Debug)]
pub struct Asked {
    pub id: String,
    /// Why there is no list.
    pub error: Option<String>,
    /// Rows that are refused, each with its place.
    pub refused: config::Problems,
}

/// Asks the sources of a configuration once, one after the other, and adds what they list.
pub async fn ask_once(mut config: Config) -> (Config, Vec<Asked>) {
    let mut answers = Vec::new();
    for settings in config.sources.clone() {
        let Some(mut source) = AskedSource::new(&settings) else { continue };
        let mut asked = Asked { id: settings.id.clone(), error: None, refused: config::Problems::default() };
        match source.ask().await {
            Ok(Reply::Listed(listing, refused)) => {
                let rest = config.without_rows();
                let sources = rest.statuses.clone();
                let inventory = config.clone().inventory(|_| true);
                let last = Last { inventory: &inventory, sources: &sources };
                let refused = refused.into_iter().map(|problem| (problem.row, problem.to_string()));
                match config::refresh(&rest, last, &settings.id, &listing.pages, refused) {
                    Ok(refreshed) => {
                        config = refreshed;
                        asked.refused = std::mem::take(&mut config.refused);
                    }
                    Err(problem) => asked.error = Some(problem),
                }
            }
            Ok(Reply::Unchanged) => {}
            Err(failed) => asked.error = Some(failed.error.0),
        }
        answers.push(asked);
    }
    (config, answers)
}
