//! The inventory: a row for each account and each credential.

use std::collections::BTreeMap;
use std::time::Duration;

use super::builder::{AccountSettings, CredentialSettings};
use super::ids::Index;
use super::texts::{Distinct, RowTexts, Words, slice};
use super::{AccountView, App, CredentialView, InventoryBuilder, SecretSource};
use crate::model::Timestamp;
use crate::network::{NetworkId, Style};

/// The configured accounts, credentials and apps. Immutable: a reload makes a new one.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    apps: Vec<App>,
    pub(super) accounts: Vec<AccountRow>,
    pub(super) credentials: Vec<CredentialRow>,
    account_ids: Index,
    credential_ids: Index,
    /// The texts of all rows.
    pub(super) texts: String,
    /// Recipients, people, ids of apps.
    pub(super) words: Words,
    /// The accounts' own labels, as `,name="value"`.
    pub(super) labels: Words,
    pub(super) label_sets: Distinct<Box<[u32]>>,
    pub(super) credential_settings: Distinct<CredentialSettings>,
    pub(super) roles: Distinct<Role>,
    /// The scopes that an account's needs require, by role.
    pub(super) scopes: Vec<Vec<&'static str>>,
    /// Sources of secrets that are neither files nor variables.
    pub(super) sources: Vec<SecretSource>,
    /// For accounts that do not have an interval of their own.
    pub(super) usual_interval: Option<Duration>,
    /// `{account="…",network="…"` of each account, one after the other.
    account_labels: String,
    /// Where the labels of each account end.
    account_labels_ends: Vec<u32>,
    accounts_by_network: BTreeMap<NetworkId, usize>,
    credentials_by_network: BTreeMap<NetworkId, usize>,
}

/// An account's settings, and the style of its credential.
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
    pub(super) role: u32,
    pub(super) credential: u32,
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
        inventory.sort(holds);
        inventory.write_texts();
        inventory.count();
        inventory.close();
        inventory
    }

    fn sort(&mut self, holds: impl Fn(&str) -> bool) {
        let held: Vec<bool> = self.credentials().map(|credential| holds(credential.id())).collect();
        let Self { accounts, credentials, roles, usual_interval, .. } = self;
        accounts.retain(|row| held.get(row.credential as usize) == Some(&true));
        accounts.sort_by_key(|row| row.credential);
        let mut all = std::mem::take(credentials).into_iter().zip(0..);
        let mut first_account = 0;
        for (group, index) in accounts.chunk_by_mut(|a, b| a.credential == b.credential).zip(0..) {
            let interval = |row: &&AccountRow| roles.get(row.role).0.interval(*usual_interval);
            let Some(fastest) = group.iter().min_by_key(interval) else { continue };
            let (fastest_role, before) = (fastest.role, fastest.credential);
            if let Some((row, _)) = all.find(|(_, index)| *index == before) {
                credentials.push(CredentialRow { first_account, fastest_role, ..row });
            }
            for row in group {
                row.credential = index;
                first_account += 1;
            }
        }
    }

    /// Writes the texts in the order of the rows: neighbours are read together, and texts of
    /// dropped rows take no memory.
    fn write_texts(&mut self) {
        let Self { accounts, credentials, texts, .. } = self;
        let old = std::mem::take(texts);
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
        let (mut labels, mut ends) = (String::new(), Vec::with_capacity(self.accounts.len()));
        for account in self.accounts() {
            let (id, network) = (account.row.texts.escaped(&self.texts, ID), account.network().name());
            labels.extend(["{account=\"", id, "\",network=\"", network, "\""]);
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
    }

    /// Frees what only a builder needs.
    fn close(&mut self) {
        self.accounts.shrink_to_fit();
        self.credentials.shrink_to_fit();
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

    /// The number of accounts.
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

    /// The index of the account with this id.
    pub fn find(&self, id: &str) -> Option<usize> {
        let id_of = |index: u32| self.accounts[index as usize].texts.plain(&self.texts, ID);
        self.account_ids.find(id, id_of).map(|index| index as usize)
    }

    /// The index of the credential with this id.
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
        self.label_sets.items().iter().map(|set| set.iter().map(|label| self.label(*label)))
    }

    /// Name and value of a label.
    pub(super) fn label(&self, label: u32) -> (&str, &str) {
        let text = self.labels.plain(label);
        let parts = text.strip_prefix(',').and_then(|text| text.strip_suffix('"')?.split_once("=\""));
        parts.unwrap_or((text, ""))
    }

    pub fn apps(&self) -> &[App] {
        &self.apps
    }

    /// The app of a credential.
    pub fn app(&self, credential: CredentialView<'_>) -> Option<&App> {
        credential.app().and_then(|app| self.apps.get(app))
    }

    /// The number of accounts of each network that has any.
    pub fn accounts_by_network(&self) -> &BTreeMap<NetworkId, usize> {
        &self.accounts_by_network
    }

    /// The number of credentials of each network that has any.
    pub fn credentials_by_network(&self) -> &BTreeMap<NetworkId, usize> {
        &self.credentials_by_network
    }
}

#[cfg(test)]
mod tests {
    use super::super::{NewAccount, NewCredential, escape};
    use super::*;
    use crate::model::{Capabilities, Use};
    use crate::network::ProbeRules;

    const HOUR: Duration = Duration::from_secs(3600);

    fn settings() -> Option<CredentialSettings> {
        let network = NetworkId::from_name("mastodon")?;
        Some(CredentialSettings {
            network,
            app: None,
            app_id: String::new(),
            api: "",
            auto_refresh: false,
            scopes: None,
            base_url: None,
            probe_rules: ProbeRules::default(),
        })
    }

    fn role(probe_interval: Option<Duration>) -> Option<AccountSettings> {
        let (network, needs) = (settings()?.network, Capabilities::DEFAULT);
        Some(AccountSettings { network, kind: "account", needs, purpose: Use::Owned, probe_interval })
    }

    fn credential(id: &str, token: SecretSource) -> Option<NewCredential<'_>> {
        Some(NewCredential {
            id,
            connected_by: Some("Jane").filter(|_| id != "b"),
            token,
            token_secret: Some(SecretSource::Env("SECOND".to_owned())).filter(|_| id == "c"),
            expires_at: Timestamp::from_unix(7),
            refresh_expires_at: None,
            grant: settings()?,
        })
    }

    /// Shared credentials `a` to `c` with accounts in turn, and between them accounts with
    /// credentials of their own.
    fn filled() -> Option<InventoryBuilder> {
        let mut builder = InventoryBuilder::default();
        for id in ["a", "b", "c", "unused"] {
            let file = SecretSource::File(format!("secrets/{id}").into());
            builder.add_credential(credential(id, file)?).ok()?;
        }
        for number in 0..40_usize {
            let id = format!("account-{number}{}", if number == 7 { "\"" } else { "" });
            let own = number % 4 == 3;
            let index = if own {
                let source = if number % 8 == 3 {
                    SecretSource::Env(format!("TOKEN_{number}"))
                } else {
                    SecretSource::Command(vec![id.clone()])
                };
                builder.add_credential(credential(&id, source)?).ok()?
            } else {
                number % 4
            };
            let interval = Duration::from_secs(60 * u64::try_from(number).ok()? + 60);
            let name = format!("Name {number}");
            let url = [format!("https://x.y/r/{id}"), format!("https://x.y/?i={number}"), String::new()];
            let account = NewAccount {
                id: &id,
                name: Some(name.as_str()).filter(|_| number % 3 > 0),
                external_id: Some("0123").filter(|_| number % 5 > 0),
                credential: index,
                labels: &[("team", "web"), ("number", &number.to_string())],
                notify: "a@example.com,b@example.com",
                opted_out: number == 8,
                reconnect_url: Some(url[number % 3].as_str()).filter(|url| !url.is_empty()),
                role: role(Some(interval).filter(|_| number > 2))?,
            };
            builder.add_account(&account).ok()?;
        }
        Some(builder)
    }

    /// An inventory of all that a builder holds, and of the credentials that are picked.
    fn built(builder: InventoryBuilder, holds: impl Fn(&str) -> bool) -> Inventory {
        Inventory::new(Vec::new(), builder, Some(HOUR), holds)
    }

    /// Everything that can be read of an account, by its id.
    fn told(inventory: &Inventory, id: &str) -> Option<String> {
        let account = inventory.account(inventory.find(id)?)?;
        let credential = account.credential()?;
        assert_eq!(inventory.find_credential(credential.id()), Some(credential.index()));
        let labels: Vec<_> = account.labels().collect();
        let of_account = (
            account.name(),
            account.external_id(),
            account.reconnect_url(),
            labels,
            account.notify(),
            account.probe_interval(),
        );
        let of_credential = (
            credential.id(),
            credential.token(),
            credential.token_secret(),
            credential.connected_by(),
            credential.expires_at(),
            credential.network(),
        );
        Some(format!("{} {of_account:?} {of_credential:?}", account.id()))
    }

    #[test]
    fn nothing_is_lost_when_accounts_are_put_side_by_side() {
        let builder = filled().unwrap_or_default();
        let ids: Vec<String> = builder.accounts().map(|a| a.id().to_owned()).collect();
        assert_eq!(ids.len(), 40);
        let before: Vec<_> = ids.iter().map(|id| told(&builder.clone().into_unsorted(), id)).collect();
        let first = before[0].as_deref().unwrap_or("");
        assert!(first.contains("https://x.y/r/account-0") && first.contains("secrets/a"), "{first}");
        let inventory = built(builder, |_| true);
        assert_eq!(ids.iter().map(|id| told(&inventory, id)).collect::<Vec<_>>(), before);
        assert_eq!(inventory.find("account-40"), None);
        // A credential without accounts is not kept.
        assert_eq!((inventory.credentials().len(), inventory.find_credential("unused")), (13, None));
        let mut next = 0;
        for credential in inventory.credentials() {
            let accounts = credential.accounts();
            assert_eq!(accounts.start, next);
            next = accounts.end;
            assert!(!accounts.is_empty(), "{}", credential.id());
            for index in accounts {
                let of = inventory.account(index).map(|account| account.credential_index());
                assert_eq!(of, Some(credential.index()), "{}", credential.id());
            }
        }
        assert_eq!(next, 40);
        let interval = |id| Some(inventory.credential(inventory.find_credential(id)?)?.interval());
        // The first account of "a" has the usual interval, its second one five minutes.
        assert_eq!(interval("a"), Some(Duration::from_secs(300)));
        assert_eq!(interval("account-7\""), Some(Duration::from_secs(480)));
    }

    #[test]
    fn a_shard_holds_only_its_own_share() {
        let builder = filled().unwrap_or_default();
        let whole = built(builder.clone(), |_| true);
        let share = built(builder.clone(), |credential| credential == "b" || credential == "account-11");
        let ids: Vec<&str> = share.accounts().map(|a| a.id()).collect();
        assert_eq!((ids.len(), share.credentials().len()), (11, 2));
        assert!(ids.iter().all(|id| told(&share, id) == told(&whole, id)), "{ids:?}");
        assert_eq!((share.find("account-0"), share.find_credential("a")), (None, None));
        assert!(share.texts.len() < whole.texts.len() / 2);
        let mut few = builder;
        few.retain(|account| account.id() == "account-11");
        let few = built(few, |_| true);
        assert_eq!((few.len(), few.credentials().len()), (1, 1));
        assert_eq!(told(&few, "account-11"), told(&whole, "account-11"));
    }

    #[test]
    fn samples_find_every_text_escaped() {
        let escaped = |special: &str, index: usize| {
            let texts = std::array::from_fn(|i| format!("text {i}{}", if i == index { special } else { "" }));
            let [id, name, external_id, notify, url, login, person, app_id, label] = &texts;
            let mut builder = InventoryBuilder::default();
            let grant = CredentialSettings { app_id: app_id.clone(), ..settings()? };
            let token = SecretSource::Env("TOKEN".to_owned());
            let credential = NewCredential { connected_by: Some(person), grant, ..credential(login, token)? };
            let account = NewAccount {
                id,
                name: Some(name),
                external_id: Some(external_id),
                credential: builder.add_credential(credential).ok()?,
                labels: &[("team", label)],
                notify,
                opted_out: false,
                reconnect_url: Some(url),
                role: role(None)?,
            };
            builder.add_account(&account).ok()?;
            let inventory = built(builder, |_| true);
            let account = inventory.account(0)?;
            let found = account.escaped()?;
            let label_of = |name: &str, text: &str| format!("{name}=\"{}\"", escape(text));
            let account_labels = format!("{{{},network=\"mastodon\"", label_of("account", id));
            assert_eq!(inventory.account_labels(0), account_labels);
            let labels: Vec<&str> = account.escaped_labels().collect();
            assert_eq!(labels, [format!(",{}", label_of("team", label))]);
            assert_eq!(account.labels().collect::<Vec<_>>(), [("team", label.as_str())]);
            assert_eq!(
                [found.name, found.external_id, found.notify, found.reconnect_url],
                [name, external_id, notify, url].map(|text| escape(text))
            );
            assert_eq!(
                [found.credential, found.connected_by, found.app],
                [login, person, app_id].map(|text| escape(text))
            );
            Some(())
        };
        for special in ["", "\\", "\"", "\n", "=\"", "\","] {
            assert!((0..9).all(|index| escaped(special, index).is_some()), "{special:?}");
        }
    }
}
