//! The inventory: a row for each account and each credential.

use std::collections::BTreeMap;
use std::time::Duration;

use super::builder::{AccountSettings, CredentialSettings};
use super::people::People;
use super::texts::{Distinct, Index, LabelSets, RowTexts, Words, slice};
use super::{AccountView, App, CredentialView, InventoryBuilder, Place, SecretSource};
use crate::model::Timestamp;
use crate::network::{NetworkId, Style};

/// The configured accounts, credentials and apps. Immutable: a reload makes a new one.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    apps: Vec<App>,
    pub(super) accounts: Vec<AccountRow>,
    pub(super) credentials: Vec<CredentialRow>,
    pub(super) account_ids: Index,
    pub(super) credential_ids: Index,
    pub(super) texts: String,
    pub(super) words: Words,
    /// The accounts' own labels, as `,name="value"`.
    pub(super) labels: Words,
    pub(super) label_sets: LabelSets,
    pub(super) credential_settings: Distinct<CredentialSettings>,
    pub(super) roles: Distinct<Role>,
    /// The scopes that an account's needs require, by role.
    pub(super) scopes: Vec<Vec<&'static str>>,
    /// Sources of secrets that are neither files nor variables.
    pub(super) sources: Vec<SecretSource>,
    /// Where rows come from, by their number.
    pub(super) places: Vec<Place>,
    /// For accounts that do not have an interval of their own.
    pub(super) usual_interval: Option<Duration>,
    /// `{account="…",network="…"` of each account, one after the other.
    account_labels: String,
    account_labels_ends: Vec<u32>,
    accounts_by_network: BTreeMap<NetworkId, usize>,
    accounts_by_source: BTreeMap<String, usize>,
    credentials_by_network: BTreeMap<NetworkId, usize>,
    pub(super) people: People,
}

pub(super) type Role = (AccountSettings, Style<'static>);

/// Indexes of the texts of a row.
pub(super) const ID: usize = 0;
pub(super) const NAME: usize = 1;
pub(super) const EXTERNAL_ID: usize = 2;
pub(super) const RECONNECT_URL: usize = 3;
pub(super) const TOKEN: usize = 1;

#[derive(Clone, Debug)]
pub(super) struct AccountRow {
    /// By [`ID`], [`NAME`], [`EXTERNAL_ID`] and [`RECONNECT_URL`].
    pub(super) texts: RowTexts<4>,
    pub(super) notify: u32,
    pub(super) labels: u32,
    pub(super) source_state: u32,
    pub(super) role: u32,
    pub(super) credential: u32,
    pub(super) place: u32,
    pub(super) next_use: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub(super) struct CredentialRow {
    /// By [`ID`] and [`TOKEN`], the path or variable of the token.
    pub(super) texts: RowTexts<2>,
    pub(super) token: TokenSource,
    /// Among the sources, counted from 1; 0 if there is none.
    pub(super) token_secret: u32,
    pub(super) connected_by: u32,
    pub(super) app_id: u32,
    pub(super) settings: u32,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) refresh_expires_at: Option<Timestamp>,
    pub(super) place: u32,
    /// Its accounts end where those of the next credential begin.
    pub(super) first_account: u32,
    /// The role of its account that is probed most often.
    pub(super) fastest_role: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenSource {
    File,
    Env,
    /// Among the sources, counted from 1.
    Other(u32),
}

impl Inventory {
    /// The accounts and credentials of a builder, and their apps. Only the credentials that `holds`
    /// picks are kept, and of these only those that have accounts.
    ///
    /// Accounts of the same credential stand side by side; apart from that, the order stays.
    pub fn new(
        apps: Vec<App>,
        builder: InventoryBuilder,
        usual_interval: Option<Duration>,
        holds: impl Fn(&str) -> bool,
    ) -> Self {
        let mut inventory = Self { apps, usual_interval, ..builder.into_unsorted() };
        if inventory.sort(holds) {
            inventory.write_texts();
        }
        inventory.write_labels();
        inventory.count();
        inventory.close();
        inventory
    }

    /// Whether rows have been moved or dropped, which texts and indexes do not know yet.
    fn sort(&mut self, holds: impl Fn(&str) -> bool) -> bool {
        let in_order = self.accounts.is_sorted_by_key(|row| row.credential);
        let held: Vec<bool> = self.credentials().map(|credential| holds(credential.id())).collect();
        let Self { accounts, credentials, roles, usual_interval, .. } = self;
        accounts.retain(|row| held.get(row.credential as usize) == Some(&true));
        accounts.sort_by_key(|row| row.credential);
        let mut groups = accounts.chunk_by_mut(|a, b| a.credential == b.credential).peekable();
        let (mut numbers, mut index, mut first_account) = (0.., 0, 0);
        credentials.retain_mut(|row| {
            let before = numbers.next();
            let Some(group) = groups.next_if(|group| before == Some(group[0].credential)) else {
                return false;
            };
            let interval = |row: &&AccountRow| roles.get(row.role).0.interval(*usual_interval);
            let fastest_role = group.iter().min_by_key(interval).map_or(0, |fastest| fastest.role);
            (row.first_account, row.fastest_role) = (first_account, fastest_role);
            for row in group {
                row.credential = index;
                first_account += 1;
            }
            index += 1;
            true
        });
        !in_order
            || self.account_ids.len() > self.accounts.len()
            || self.credential_ids.len() > self.credentials.len()
    }

    /// Writes the texts in the order of the rows: neighbours are read together, and texts of
    /// dropped rows take no memory.
    fn write_texts(&mut self) {
        let Self { accounts, credentials, texts, .. } = self;
        let old = std::mem::take(texts);
        texts.reserve_exact(old.len());
        for row in credentials.iter_mut() {
            row.texts = row.texts.moved(&old, texts);
        }
        for row in accounts.iter_mut() {
            row.texts = row.texts.moved(&old, texts);
        }
        drop(old);
        (self.account_ids, self.credential_ids) = (Index::default(), Index::default());
        (0..).take(self.credentials.len()).for_each(|index| self.index_credential(index));
        (0..).take(self.accounts.len()).for_each(|index| self.index_account(index));
    }

    fn write_labels(&mut self) {
        let texts = |account: AccountView<'_>| {
            let id = account.row.texts.escaped(&self.texts, ID);
            ["{account=\"", id, "\",network=\"", account.network().name(), "\""]
        };
        let length = self.accounts().flat_map(texts).map(str::len).sum();
        let (mut labels, mut ends) = (String::with_capacity(length), Vec::with_capacity(self.accounts.len()));
        for account in self.accounts() {
            labels.extend(texts(account));
            // The builder has seen to it that there is room.
            ends.push(u32::try_from(labels.len()).unwrap_or(u32::MAX));
        }
        (self.account_labels, self.account_labels_ends) = (labels, ends);
    }

    fn count(&mut self) {
        let count = |networks: &mut dyn Iterator<Item = NetworkId>| {
            let mut counts = BTreeMap::new();
            networks.for_each(|network| *counts.entry(network).or_default() += 1);
            counts
        };
        let accounts = count(&mut self.accounts().map(|account| account.network()));
        let credentials = count(&mut self.credentials().map(|credential| credential.network()));
        (self.accounts_by_network, self.credentials_by_network) = (accounts, credentials);
        let mut by_place = vec![0; self.places.len()];
        for row in &self.accounts {
            if let Some(count) = by_place.get_mut(row.place as usize) {
                *count += 1;
            }
        }
        for (place, count) in self.places.iter().zip(by_place) {
            if let Some(source) = &place.source {
                *self.accounts_by_source.entry(source.clone()).or_default() += count;
            }
        }
    }

    /// Frees what only a builder needs.
    fn close(&mut self) {
        self.accounts.shrink_to_fit();
        self.credentials.shrink_to_fit();
        let Self { account_ids, accounts, credential_ids, credentials, texts, .. } = self;
        account_ids.shrink(|index| accounts[index as usize].texts.plain(texts, ID));
        credential_ids.shrink(|index| credentials[index as usize].texts.plain(texts, ID));
        self.texts.shrink_to_fit();
        self.account_labels.shrink_to_fit();
        self.sources.shrink_to_fit();
        self.words.close();
        self.labels.close();
        self.label_sets.close();
        self.credential_settings.close();
        self.roles.close();
    }

    pub(super) fn index_account(&mut self, index: u32) {
        let Self { account_ids, accounts, texts, .. } = self;
        account_ids.insert(index, |index| accounts[index as usize].texts.plain(texts, ID));
    }

    pub(super) fn index_credential(&mut self, index: u32) {
        let Self { credential_ids, credentials, texts, .. } = self;
        credential_ids.insert(index, |index| credentials[index as usize].texts.plain(texts, ID));
    }

    pub(super) fn unindex_last_account(&mut self) {
        let Self { account_ids, accounts, texts, .. } = self;
        account_ids.remove_last(accounts.len(), |index| accounts[index as usize].texts.plain(texts, ID));
    }

    pub(super) fn unindex_last_credential(&mut self) {
        let Self { credential_ids, credentials, texts, .. } = self;
        credential_ids
            .remove_last(credentials.len(), |index| credentials[index as usize].texts.plain(texts, ID));
    }

    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    pub fn account(&self, index: usize) -> Option<AccountView<'_>> {
        self.accounts.get(index).map(|row| AccountView { inventory: self, row })
    }

    pub fn accounts(&self) -> impl ExactSizeIterator<Item = AccountView<'_>> {
        self.accounts.iter().map(|row| AccountView { inventory: self, row })
    }

    pub fn credential(&self, index: usize) -> Option<CredentialView<'_>> {
        self.credentials.get(index).map(|row| CredentialView { inventory: self, row, index })
    }

    pub fn credentials(&self) -> impl ExactSizeIterator<Item = CredentialView<'_>> {
        let rows = self.credentials.iter().enumerate();
        rows.map(|(index, row)| CredentialView { inventory: self, row, index })
    }

    pub fn find(&self, id: &str) -> Option<usize> {
        let id_of = |index: u32| self.accounts[index as usize].texts.plain(&self.texts, ID);
        self.account_ids.find(id, id_of).map(|index| index as usize)
    }

    pub fn find_credential(&self, id: &str) -> Option<usize> {
        let id_of = |index: u32| self.credentials[index as usize].texts.plain(&self.texts, ID);
        self.credential_ids.find(id, id_of).map(|index| index as usize)
    }

    /// `{account="…",network="…"` of the account with this index, as every sample begins.
    pub fn account_labels(&self, index: usize) -> &str {
        let end = |index: usize| self.account_labels_ends.get(index).map_or(0, |end| *end);
        slice(&self.account_labels, [index.checked_sub(1).map_or(0, end), end(index)])
    }

    /// Each distinct set of labels of accounts, by [`AccountView::label_set`].
    pub fn label_sets(&self) -> impl ExactSizeIterator<Item = impl Iterator<Item = (&str, &str)>> {
        self.label_sets.all().map(|set| set.iter().map(|label| self.label(*label)))
    }

    pub(super) fn label(&self, label: u32) -> (&str, &str) {
        let text = self.labels.plain(label);
        let parts = text.strip_prefix(',').and_then(|text| text.strip_suffix('"')?.split_once("=\""));
        parts.unwrap_or((text, ""))
    }

    pub fn apps(&self) -> &[App] {
        &self.apps
    }

    pub fn app(&self, credential: CredentialView<'_>) -> Option<&App> {
        credential.app().and_then(|app| self.apps.get(app))
    }

    /// The places that rows come from, by [`AccountView::place`] and [`CredentialView::place`].
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The number of accounts that come from this source.
    pub fn accounts_of(&self, source: &str) -> usize {
        self.accounts_by_source.get(source).copied().unwrap_or_default()
    }

    pub fn accounts_by_network(&self) -> &BTreeMap<NetworkId, usize> {
        &self.accounts_by_network
    }

    pub fn credentials_by_network(&self) -> &BTreeMap<NetworkId, usize> {
        &self.credentials_by_network
    }
}
