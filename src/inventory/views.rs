//! How accounts and credentials are read.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::builder::{AccountSettings, CredentialSettings, NOBODY};
use super::rows::{AccountRow, CredentialRow, EXTERNAL_ID, ID, NAME, RECONNECT_URL, TOKEN, TokenSource};
use super::{Inventory, SecretSource};
use crate::model::{Capabilities, Timestamp, Use};
use crate::network::{NetworkId, ProbeRules, Style};

#[derive(Clone, Copy)]
pub struct AccountView<'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) row: &'a AccountRow,
}

#[derive(Clone, Copy)]
pub struct CredentialView<'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) row: &'a CredentialRow,
    pub(super) index: usize,
}

/// The labels of `connection_info` besides the account's own.
pub const INFO_LABELS: &[&str] = &[
    "name",
    "kind",
    "use",
    "external_id",
    "credential",
    "app",
    "connected_by",
    "notify",
    "reconnect_url",
    "mail_language",
    "mail_reader",
];

/// Texts about one account, escaped for labels.
#[derive(Clone, Copy, Debug)]
pub struct EscapedTexts<'a> {
    pub name: &'a str,
    pub external_id: &'a str,
    pub credential: &'a str,
    pub app: &'a str,
    pub connected_by: &'a str,
    pub notify: &'a str,
    pub reconnect_url: &'a str,
}

impl<'a> AccountView<'a> {
    fn text(&self, index: usize) -> &'a str {
        self.row.texts.plain(&self.inventory.texts, index)
    }

    pub fn id(&self) -> &'a str {
        self.text(ID)
    }

    /// The name for people; the id if none is configured.
    pub fn name(&self) -> &'a str {
        self.text(NAME)
    }

    pub fn external_id(&self) -> &'a str {
        self.text(EXTERNAL_ID)
    }

    pub fn reconnect_url(&self) -> &'a str {
        self.text(RECONNECT_URL)
    }

    /// What the product thinks of it that it comes from.
    pub fn source_state(&self) -> Option<&'a str> {
        Some(self.inventory.words.plain(self.row.source_state)).filter(|state| !state.is_empty())
    }

    pub fn escaped_source_state(&self) -> Option<&'a str> {
        Some(self.inventory.words.escaped(self.row.source_state)).filter(|state| !state.is_empty())
    }

    /// The texts of `connection_info`; none if there is no credential.
    pub fn escaped(&self) -> Option<EscapedTexts<'a>> {
        let Self { inventory, row } = *self;
        let credential = inventory.credentials.get(row.credential as usize)?;
        let text = |index| row.texts.escaped(&inventory.texts, index);
        Some(EscapedTexts {
            name: text(NAME),
            external_id: text(EXTERNAL_ID),
            credential: credential.texts.escaped(&inventory.texts, ID),
            app: inventory.words.escaped(credential.app_id),
            connected_by: inventory.words.escaped(credential.connected_by),
            notify: self.recipients().map_or_else(|| inventory.words.escaped(row.notify), |list| &list.label),
            reconnect_url: text(RECONNECT_URL),
        })
    }

    /// Its own labels, each as `,name="value"`, escaped.
    pub fn escaped_labels(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let inventory = self.inventory;
        inventory.label_sets.get(self.row.labels).iter().map(|label| inventory.labels.escaped(*label))
    }

    pub fn labels(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let inventory = self.inventory;
        inventory.label_sets.get(self.row.labels).iter().map(|label| inventory.label(*label))
    }

    /// The numbers of its own labels, as [`super::InventoryBuilder::put_label`] returns them.
    pub fn label_numbers(&self) -> &'a [u32] {
        self.inventory.label_sets.get(self.row.labels)
    }

    /// The index of its own labels among [`Inventory::label_sets`].
    pub fn label_set(&self) -> usize {
        self.row.labels as usize
    }

    pub fn place(&self) -> usize {
        self.row.place as usize
    }

    pub fn settings(&self) -> &'a AccountSettings {
        &self.inventory.roles.get(self.row.role).0
    }

    pub fn network(&self) -> NetworkId {
        self.settings().network
    }

    pub fn kind(&self) -> &'static str {
        self.settings().kind
    }

    pub fn purpose(&self) -> Use {
        self.settings().purpose
    }

    pub fn needs(&self) -> Capabilities {
        self.settings().needs
    }

    pub fn next_use(&self) -> Option<Timestamp> {
        self.row.next_use
    }

    /// How often it is probed, if this is the usual interval.
    pub fn interval(&self, usual: Option<Duration>) -> Duration {
        self.settings().interval(usual)
    }

    /// Who is told about it, in single mails or digests, separated by commas; empty if there is nobody,
    /// or if all of them have opted out.
    pub fn notify(&self) -> &'a str {
        if self.opted_out() { "" } else { self.inventory.words.plain(self.row.notify) }
    }

    pub fn opted_out(&self) -> bool {
        self.inventory.words.plain(self.row.notify) == NOBODY
    }

    pub fn required_scopes(&self) -> &'a [&'static str] {
        self.inventory.scopes.get(self.row.role as usize).map_or(&[], Vec::as_slice)
    }

    pub fn credential_index(&self) -> usize {
        self.row.credential as usize
    }

    pub fn credential(&self) -> Option<CredentialView<'a>> {
        self.inventory.credential(self.credential_index())
    }

    pub fn app_id(&self) -> &'a str {
        self.credential().map_or("", |credential| credential.app_id())
    }

    pub fn style(&self) -> Style<'static> {
        self.inventory.roles.get(self.row.role).1
    }

    pub fn as_asked(&self) -> crate::network::Account<'a> {
        crate::network::Account {
            network: self.network(),
            kind: self.kind(),
            external_id: Some(self.external_id()).filter(|id| !id.is_empty()),
            needs: self.needs(),
        }
    }
}

impl<'a> CredentialView<'a> {
    pub fn id(&self) -> &'a str {
        self.row.texts.plain(&self.inventory.texts, ID)
    }

    pub fn index(&self) -> usize {
        self.index
    }

    pub fn place(&self) -> usize {
        self.row.place as usize
    }

    pub fn settings(&self) -> &'a CredentialSettings {
        self.inventory.credential_settings.get(self.row.settings)
    }

    pub fn network(&self) -> NetworkId {
        self.settings().network
    }

    pub fn app(&self) -> Option<usize> {
        self.settings().app
    }

    pub fn app_id(&self) -> &'a str {
        &self.settings().app_id
    }

    pub fn style(&self) -> Style<'static> {
        Style { api: self.settings().api, oauth1: self.row.token_secret != 0 }
    }

    pub fn auto_refresh(&self) -> bool {
        self.settings().auto_refresh
    }

    pub fn scopes(&self) -> Option<&'a [String]> {
        self.settings().scopes.as_deref()
    }

    pub fn base_url(&self) -> Option<&'a Url> {
        self.settings().base_url.as_ref()
    }

    /// How the answers of its probe URL are read; none: as its app says.
    pub fn probe_rules(&self) -> Option<&'a ProbeRules> {
        Some(&self.settings().probe_rules).filter(|rules| !rules.is_empty())
    }

    pub fn connected_by(&self) -> Option<&'a str> {
        Some(self.inventory.words.plain(self.row.connected_by)).filter(|person| !person.is_empty())
    }

    pub fn token(&self) -> SecretSource {
        let text = self.row.texts.plain(&self.inventory.texts, TOKEN);
        match self.row.token {
            TokenSource::File => SecretSource::File(PathBuf::from(text)),
            TokenSource::Env => SecretSource::Env(text.to_owned()),
            TokenSource::Other(number) => self.inventory.sources[number as usize - 1].clone(),
        }
    }

    pub fn token_secret(&self) -> Option<&'a SecretSource> {
        self.row.token_secret.checked_sub(1).and_then(|index| self.inventory.sources.get(index as usize))
    }

    pub fn expires_at(&self) -> Option<Timestamp> {
        self.row.expires_at
    }

    pub fn refresh_expires_at(&self) -> Option<Timestamp> {
        self.row.refresh_expires_at
    }

    pub fn accounts(&self) -> Range<usize> {
        let Inventory { accounts, credentials, .. } = self.inventory;
        let end = credentials.get(self.index + 1).map_or(accounts.len(), |next| next.first_account as usize);
        self.row.first_account as usize..end
    }

    /// The first use of its accounts after a time.
    pub fn next_use(&self, after: Timestamp) -> Option<Timestamp> {
        let rows = self.inventory.accounts.get(self.accounts()).unwrap_or_default();
        rows.iter().filter_map(|row| row.next_use).filter(|at| *at > after).min()
    }

    /// How often it is probed: the shortest interval of its accounts.
    pub fn interval(&self) -> Duration {
        self.inventory.roles.get(self.row.fastest_role).0.interval(self.inventory.usual_interval)
    }
}
