//! The sources of accounts, and what stays of the last inventory where a source cannot be read.
//!
//! Each row knows the place that it was read from. So an inventory holds the last good list of every
//! source, and a new one takes over the rows of places that could not be read this time.

use std::path::{Path, PathBuf};

use super::texts::number;
use super::{
    AccountView, App, CredentialSettings, CredentialView, Full, Inventory, InventoryBuilder, NewAccount,
    NewCredential,
};
use crate::model::Timestamp;

/// The id of the source that the account files are.
pub const FILES: &str = "files";

/// Where rows come from: a file, or a source that is no file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub path: PathBuf,
    /// The id of the source that it belongs to; none for the configuration itself.
    pub source: Option<String>,
}

impl Place {
    /// What stands in messages in place of the name of a file.
    pub fn of_source(id: &str) -> PathBuf {
        PathBuf::from(format!("source {id}"))
    }

    pub fn is_of(&self, source: &str) -> bool {
        self.source.as_deref() == Some(source)
    }
}

/// How the last refresh of a source went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceStatus {
    pub id: String,
    /// Whether all of it could be read, apart from refused rows; none before the first attempt.
    pub up: Option<bool>,
    /// None if it was never up.
    pub last_success: Option<Timestamp>,
    /// Whether the last list lacks more than half of the accounts: they leave when that is seen again.
    pub shrunk: bool,
    /// Whether another source gives one of its ids, too.
    pub conflicting: bool,
    /// The number of rows, and of whole files, that are refused.
    pub refused: usize,
    /// The first problems, each with its place.
    pub problems: Vec<String>,
}

/// The number of rows at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub credentials: usize,
    pub accounts: usize,
    texts: usize,
}

impl InventoryBuilder {
    /// Adds a place. Returns its number.
    pub fn add_place(&mut self, path: &Path, source: Option<&str>) -> u32 {
        self.unsorted.places.push(Place { path: path.to_owned(), source: source.map(str::to_owned) });
        number(self.unsorted.places.len() - 1).unwrap_or(u32::MAX)
    }

    /// Rows that are added from now on come from this place.
    pub fn read_from(&mut self, place: u32) {
        self.place = place;
    }

    pub fn mark(&self) -> Mark {
        let Inventory { credentials, accounts, texts, .. } = &self.unsorted;
        Mark { credentials: credentials.len(), accounts: accounts.len(), texts: texts.len() }
    }

    /// Removes the rows that were added since then.
    pub fn roll_back(&mut self, mark: Mark) {
        while self.unsorted.credentials.len() > mark.credentials {
            self.unsorted.unindex_last_credential();
            self.unsorted.credentials.pop();
        }
        while self.unsorted.accounts.len() > mark.accounts {
            self.unsorted.unindex_last_account();
            self.unsorted.accounts.pop();
        }
        self.unsorted.texts.truncate(mark.texts);
    }

    /// Adds a credential as it was in an earlier inventory. Returns its index; none if its app is not
    /// among `apps` any more, or there is no room.
    pub fn keep_credential(&mut self, old: CredentialView<'_>, apps: &[App]) -> Option<usize> {
        let app = match old.app_id() {
            "" => None,
            id => Some(apps.iter().position(|app| app.id == id && app.network == old.network())?),
        };
        let api = app.map_or(old.style().api, |app| apps[app].api);
        let grant = CredentialSettings { app, api, ..old.settings().clone() };
        let credential = NewCredential {
            id: old.id(),
            connected_by: old.connected_by(),
            token: old.token(),
            token_secret: old.token_secret().cloned(),
            expires_at: old.expires_at(),
            refresh_expires_at: old.refresh_expires_at(),
            grant,
        };
        self.add_credential(credential).ok()
    }

    /// Adds an account as it was in an earlier inventory, to this credential.
    ///
    /// # Errors
    /// If there is no room.
    pub fn keep_account(&mut self, old: AccountView<'_>, credential: usize) -> Result<usize, Full> {
        let mut labels = Vec::new();
        for (name, value) in old.labels() {
            labels.push(self.put_label(name, value)?);
        }
        let given = |text| Some(text).filter(|text: &&str| !text.is_empty());
        self.add_account(&NewAccount {
            id: old.id(),
            name: Some(old.name()),
            external_id: given(old.external_id()),
            credential,
            labels: &labels,
            notify: old.notify(),
            opted_out: old.opted_out(),
            reconnect_url: given(old.reconnect_url()),
            source_state: old.source_state(),
            next_use: old.next_use(),
            role: *old.settings(),
        })
    }
}
