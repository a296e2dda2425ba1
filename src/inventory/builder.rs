//! What the configuration fills.

use std::ops::Deref;
use std::time::Duration;

use url::Url;

use super::rows::{AccountRow, CredentialRow, TokenSource};
use super::texts::{RowTexts, number};
use super::{AccountView, Inventory, SecretSource};
use crate::model::{Capabilities, Language, Timestamp, Use};
use crate::network::{NetworkId, ProbeRules, Style};

/// A credential to be added: one token of one person.
#[derive(Clone, Debug)]
pub struct NewCredential<'a, G = CredentialSettings> {
    /// The account's id if the account has a token of its own.
    pub id: &'a str,
    /// The person who granted it.
    pub connected_by: Option<&'a str>,
    pub token: SecretSource,
    /// The second half of an OAuth 1.0a token.
    pub token_secret: Option<SecretSource>,
    /// When the access token expires, if the network does not tell.
    pub expires_at: Option<Timestamp>,
    /// When the refresh token expires, if the network does not tell.
    pub refresh_expires_at: Option<Timestamp>,
    pub grant: G,
}

/// Settings that many credentials share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CredentialSettings {
    pub network: NetworkId,
    pub app: Option<usize>,
    /// The id of that app; empty without one.
    pub app_id: String,
    /// Which of the network's APIs it is for; empty if there is only one.
    pub api: &'static str,
    /// Whether another program refreshes the access token.
    pub auto_refresh: bool,
    /// The granted scopes, if the network does not tell.
    pub scopes: Option<Vec<String>>,
    /// Replaces scheme, host and path prefix of the network's API; for networks without apps.
    pub base_url: Option<Url>,
    /// Replace those of the app; for networks without apps.
    pub probe_rules: ProbeRules,
}

/// An account to be added: a page, profile, channel…
#[derive(Clone, Debug)]
pub struct NewAccount<'a, R = AccountSettings> {
    pub id: &'a str,
    /// The name for people; the id if there is none.
    pub name: Option<&'a str>,
    pub external_id: Option<&'a str>,
    pub credential: usize,
    /// As [`InventoryBuilder::put_label`] returns them.
    pub labels: &'a [u32],
    pub notify: &'a str,
    pub opted_out: bool,
    pub reconnect_url: Option<&'a str>,
    /// What the product thinks of it that it comes from.
    pub source_state: Option<&'a str>,
    /// When something is next done with it: the next planned post.
    pub next_use: Option<Timestamp>,
    pub role: R,
}

/// Settings that many accounts share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AccountSettings {
    pub network: NetworkId,
    pub kind: &'static str,
    pub needs: Capabilities,
    pub purpose: Use,
    /// None: the usual interval.
    pub probe_interval: Option<Duration>,
    /// Of its mails; none: that of its recipients.
    pub language: Option<Language>,
}

impl AccountSettings {
    /// How often the account is probed: as it says itself, else as usual, else as its network
    /// prefers.
    pub fn interval(&self, usual: Option<Duration>) -> Duration {
        self.probe_interval.or(usual).unwrap_or_else(|| self.network.network().default_interval())
    }
}

/// Texts and rows are counted in four bytes, and there is no room for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Accounts and credentials while the configuration is read. They can be read and found as in an
/// [`Inventory`], which [`Inventory::new`] makes of them.
#[derive(Clone, Debug, Default)]
pub struct InventoryBuilder {
    pub(super) unsorted: Inventory,
    /// Where the next rows come from.
    pub(super) place: u32,
}

/// Stands for recipients who have all opted out; no mail address is written like this.
pub(super) const NOBODY: &str = "none";
/// More than `account="",network=""` and the name of a network take.
const ACCOUNT_LABELS: usize = 64;

impl InventoryBuilder {
    /// Adds a credential, whose id must be new. Returns its index.
    ///
    /// # Errors
    /// If there is no room.
    pub fn add_credential(&mut self, credential: NewCredential<'_>) -> Result<usize, Full> {
        let app_id = self.unsorted.words.put(&credential.grant.app_id)?;
        let settings = self.unsorted.credential_settings.put(&credential.grant)?;
        self.push_credential(credential, app_id, settings)
    }

    /// Adds a credential with the settings of the one that has the index `grant`. See
    /// [`InventoryBuilder::add_credential`].
    ///
    /// # Errors
    /// If there is no room.
    pub fn add_credential_like(&mut self, credential: NewCredential<'_, usize>) -> Result<usize, Full> {
        let like = self.unsorted.credentials.get(credential.grant).ok_or(Full)?;
        let (app_id, settings) = (like.app_id, like.settings);
        self.push_credential(credential, app_id, settings)
    }

    fn push_credential<G>(
        &mut self,
        credential: NewCredential<'_, G>,
        app_id: u32,
        settings: u32,
    ) -> Result<usize, Full> {
        let NewCredential { id, connected_by, token, token_secret, expires_at, refresh_expires_at, .. } =
            credential;
        let inventory = &mut self.unsorted;
        let (source, text) = match &token {
            SecretSource::File(path) => (TokenSource::File, path.to_str()),
            SecretSource::Env(name) => (TokenSource::Env, Some(name.as_str())),
            SecretSource::Command(_) | SecretSource::Inline(_) | SecretSource::Unread => {
                (TokenSource::Other(0), None)
            }
        };
        let texts = RowTexts::put(&mut inventory.texts, [id, text.unwrap_or("")])?;
        let mut put_source = |source| {
            inventory.sources.push(source);
            number(inventory.sources.len())
        };
        let row = CredentialRow {
            texts,
            token: if text.is_some() { source } else { TokenSource::Other(put_source(token)?) },
            token_secret: token_secret.map_or(Ok(0), put_source)?,
            connected_by: inventory.words.put(connected_by.unwrap_or(""))?,
            app_id,
            settings,
            expires_at,
            refresh_expires_at,
            place: self.place,
            first_account: 0,
            fastest_role: 0,
        };
        let index = inventory.credentials.len();
        inventory.credentials.push(row);
        inventory.index_credential(number(index)?);
        Ok(index)
    }

    /// The number of a label, if an account has had it.
    pub fn find_label(&mut self, name: &str, value: &str) -> Option<u32> {
        self.unsorted.labels.find_label(name, value)
    }

    /// The number of a label.
    ///
    /// # Errors
    /// If there is no room.
    pub fn put_label(&mut self, name: &str, value: &str) -> Result<u32, Full> {
        self.unsorted.labels.put_label(name, value)
    }

    /// Adds an account, whose id must be new. Returns its index.
    ///
    /// # Errors
    /// If there is no room.
    pub fn add_account(&mut self, account: &NewAccount<'_>) -> Result<usize, Full> {
        let inventory = &mut self.unsorted;
        let credential = inventory.credential(account.credential);
        let style = credential.map_or(Style { api: "", oauth1: false }, |credential| credential.style());
        let role = inventory.roles.put(&(account.role, style))?;
        if role as usize == inventory.scopes.len() {
            inventory.scopes.push(required_scopes(&account.role, style));
        }
        self.push_account(account, role)
    }

    /// Adds an account with the settings of the one that has the index `role`. Their credentials must
    /// have the same settings. See [`InventoryBuilder::add_account`].
    ///
    /// # Errors
    /// If there is no room.
    pub fn add_account_like(&mut self, account: &NewAccount<'_, usize>) -> Result<usize, Full> {
        let role = self.unsorted.accounts.get(account.role).ok_or(Full)?.role;
        self.push_account(account, role)
    }

    fn push_account<R>(&mut self, account: &NewAccount<'_, R>, role: u32) -> Result<usize, Full> {
        let inventory = &mut self.unsorted;
        let texts = [
            account.id,
            account.name.unwrap_or(account.id),
            account.external_id.unwrap_or(""),
            account.reconnect_url.unwrap_or(""),
        ];
        let row = AccountRow {
            texts: RowTexts::put(&mut inventory.texts, texts)?,
            notify: inventory.words.put(if account.opted_out { NOBODY } else { account.notify })?,
            labels: inventory.label_sets.put(account.labels)?,
            source_state: inventory.words.put(account.source_state.unwrap_or(""))?,
            role,
            credential: number(account.credential)?,
            place: self.place,
            next_use: account.next_use,
        };
        let index = inventory.accounts.len();
        // The labels that all samples have must find room as well.
        number(inventory.texts.len() + index * ACCOUNT_LABELS)?;
        inventory.accounts.push(row);
        inventory.index_account(number(index)?);
        Ok(index)
    }

    /// Keeps the accounts that are wanted. [`InventoryBuilder::find`] must not be called afterwards.
    pub fn retain(&mut self, wanted: impl Fn(AccountView<'_>) -> bool) {
        let mut accounts = std::mem::take(&mut self.unsorted.accounts);
        accounts.retain(|row| wanted(AccountView { inventory: &self.unsorted, row }));
        self.unsorted.accounts = accounts;
    }

    /// Makes room for what files of this size say, so that it is not copied while it grows. Room that
    /// is not used takes no memory.
    pub fn reserve(&mut self, bytes: usize) {
        /// A row takes more in most files.
        const ROW: usize = 200;
        /// So do rows that have labels; there are not more entries in an index than rows in most files.
        const ENTRY: usize = 400;
        let inventory = &mut self.unsorted;
        inventory.texts.reserve(bytes / 2);
        inventory.accounts.reserve(bytes / ROW);
        inventory.credentials.reserve(bytes / ROW);
        inventory.account_ids.reserve(bytes / ENTRY);
        inventory.credential_ids.reserve(bytes / ENTRY);
        inventory.labels.reserve(bytes / ENTRY);
        inventory.label_sets.reserve(bytes / ENTRY);
    }

    pub(super) fn into_unsorted(self) -> Inventory {
        self.unsorted
    }
}

impl Deref for InventoryBuilder {
    type Target = Inventory;

    fn deref(&self) -> &Inventory {
        &self.unsorted
    }
}

/// The first name of each group of scopes that these needs require.
fn required_scopes(role: &AccountSettings, style: Style<'_>) -> Vec<&'static str> {
    let requirements =
        role.needs.iter().filter_map(|need| role.network.network().rights(style, role.kind, need));
    let mut names: Vec<&'static str> = Vec::new();
    for name in requirements.flat_map(|r| r.scopes).filter_map(|group| group.first()) {
        if !names.contains(name) {
            names.push(name);
        }
    }
    // The state of an account has one bit for each.
    names.truncate(32);
    names
}
