//! Accounts and credentials as they are configured, in compact rows: what a million of them need to
//! fit into memory.
//!
//! An account or a credential is a row of fixed size; its own texts stand in one arena, whatever
//! repeats (labels, recipients, people, folders, settings that many share) is held once. The
//! configuration fills a table, everybody else reads it through views. Knows no YAML, and nothing
//! of whether anything works.

use std::borrow::Cow;
use std::hash::BuildHasher;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashTable};
use url::Url;

use super::SecretSource;
use super::intern::{Distinct, Lists, Piece, Words};
use crate::model::{Capabilities, Timestamp, Use};
use crate::network::{NetworkId, Style};

/// One grant of one person, on its way into the table.
#[derive(Clone, Debug)]
pub struct NewCredential<'a> {
    /// Its name here; an account's id where the account has a token of its own.
    pub id: &'a str,
    /// Who granted it.
    pub connected_by: Option<&'a str>,
    /// Where the token comes from.
    pub token: SecretSource,
    /// Where the second half of an OAuth 1.0a token comes from.
    pub token_secret: Option<SecretSource>,
    /// When the access token ends, where nothing else tells.
    pub expires_at: Option<Timestamp>,
    /// When the refresh token ends, where nothing else tells.
    pub refresh_expires_at: Option<Timestamp>,
    /// What many credentials have in common.
    pub grant: CredentialSettings,
}

/// What many credentials have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CredentialSettings {
    /// Where it was granted.
    pub network: NetworkId,
    /// Its app, by its place among the apps.
    pub app: Option<usize>,
    /// The id of that app; empty without one.
    pub app_id: String,
    /// Which of the network's APIs it is for; empty where there is one.
    pub api: &'static str,
    /// Something else refreshes the access token.
    pub auto_refresh: bool,
    /// What was granted, where nothing else tells.
    pub scopes: Option<Vec<String>>,
    /// Takes the place of scheme, host and prefix of the network's hosts, for networks without
    /// apps.
    pub base_url: Option<Url>,
}

/// One page, profile, channel…, on its way into the table.
#[derive(Clone, Debug)]
pub struct NewAccount<'a> {
    /// Its name in labels and on the command line.
    pub id: &'a str,
    /// Its name for people; the id where it has none.
    pub name: Option<&'a str>,
    /// The network's id of it.
    pub external_id: Option<&'a str>,
    /// Through which login it is reached, by its place in the table.
    pub credential: usize,
    /// Labels of its own.
    pub labels: &'a [(&'a str, &'a str)],
    /// Who gets its mails, separated by commas.
    pub notify: &'a str,
    /// Everybody who would get its mails has opted out.
    pub opted_out: bool,
    /// Where a person can connect it anew.
    pub reconnect_url: Option<&'a str>,
    /// What many accounts have in common.
    pub role: AccountSettings,
}

/// What many accounts have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AccountSettings {
    /// Where it is.
    pub network: NetworkId,
    /// Page, profile, organization…
    pub kind: &'static str,
    /// What it is used for.
    pub needs: Capabilities,
    /// Why it is watched.
    pub purpose: Use,
    /// How often it is probed, if not as often as all.
    pub probe_interval: Option<Duration>,
}

/// There is no room: texts and rows are counted in four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Accounts and credentials.
#[derive(Clone, Debug, Default)]
pub struct Table {
    credentials: Vec<CredentialRow>,
    accounts: Vec<AccountRow>,
    /// Ids, names, external ids, and what is left of addresses and paths without their beginnings.
    texts: String,
    /// Rendered labels, lists of recipients, people, beginnings of addresses and paths.
    words: Words,
    /// Accounts' own labels, as words.
    labels: Lists,
    grants: Distinct<CredentialSettings>,
    roles: Distinct<(AccountSettings, Way)>,
    /// The scopes that a role's needs require, by role.
    scopes: Vec<Vec<&'static str>>,
    /// Sources of secrets that are no path and no variable.
    sources: Vec<SecretSource>,
    intervals: Distinct<Duration>,
    ids: Ids,
}

/// A style as a key.
type Way = (&'static str, bool);

/// Which rows have which id.
#[derive(Clone, Debug, Default)]
struct Ids {
    state: DefaultHashBuilder,
    accounts: HashTable<u32>,
    credentials: HashTable<u32>,
}

/// Stands in place of recipients who have all opted out; no mail address is written so.
const NOBODY: &str = "none";
/// The length of a rest that is the id: `https://app.example.com/reconnect/` + `acme-page`.
const ID: u16 = u16::MAX;
/// Marks the length of the id of an account some of whose texts must be escaped in labels.
const ESCAPED: u16 = 1 << 15;

#[derive(Clone, Copy, Debug)]
struct AccountRow {
    /// Where its texts begin: id, name, external id, what its reconnect URL has beyond a beginning
    /// that others share.
    texts: u32,
    /// How long it is, perhaps [`ESCAPED`].
    id: u16,
    /// 0: it has none but its id.
    name: u16,
    external_id: u16,
    url_rest: u16,
    url_beginning: u32,
    labels: u32,
    notify: u32,
    role: u32,
    credential: u32,
}

#[derive(Clone, Copy, Debug)]
struct CredentialRow {
    /// Where its texts begin: what the token's source has beyond a beginning that others share, id.
    texts: u32,
    id: u16,
    token_rest: u16,
    token_beginning: u32,
    kind: SourceKind,
    /// The second half's place among the sources, from 1.
    token_secret: u32,
    connected_by: u32,
    grant: u32,
    expires_at: Option<Timestamp>,
    refresh_expires_at: Option<Timestamp>,
    /// The first of its accounts, once they stand side by side; they end where the next one's
    /// begin.
    first: u32,
    interval: u32,
}

/// How a token's source is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SourceKind {
    File,
    Env,
    /// Among the sources; its place is the beginning.
    Other,
}

/// One account, as read from the table.
#[derive(Clone, Copy)]
pub struct AccountView<'a> {
    table: &'a Table,
    row: &'a AccountRow,
}

/// The texts about one account, where they stand.
#[derive(Clone, Copy, Debug)]
pub struct AccountTexts<'a> {
    /// As [`AccountView::name`].
    pub name: Piece<'a>,
    /// As [`AccountView::external_id`].
    pub external_id: Piece<'a>,
    /// As [`CredentialView::id`].
    pub credential: Piece<'a>,
    /// As [`CredentialView::app_id`].
    pub app: Piece<'a>,
    /// As [`CredentialView::connected_by`]; empty without one.
    pub connected_by: Piece<'a>,
    /// As [`AccountView::notify_label`].
    pub notify: Piece<'a>,
    /// As [`AccountView::reconnect_url`], in two parts to be written one after the other.
    pub reconnect_url: [Piece<'a>; 2],
}

/// A credential and the accounts behind it, as read from the table.
#[derive(Clone, Copy)]
pub struct CredentialView<'a> {
    table: &'a Table,
    row: &'a CredentialRow,
    index: usize,
}

/// The longest beginning that ends where others go on: up to the last slash or equals sign.
fn beginning(text: &str) -> (&str, &str) {
    text.split_at(text.rfind(['/', '=']).map_or(0, |at| at + 1))
}

fn short(length: usize) -> Result<u16, Full> {
    // The configuration limits every text to far less.
    u16::try_from(length).ok().filter(|n| *n < ESCAPED).ok_or(Full)
}

/// Where an account's id stands: a credential of its own may just have written it.
fn put_id(texts: &mut String, id: &str) -> usize {
    if !texts.ends_with(id) {
        texts.push_str(id);
    }
    texts.len() - id.len()
}

fn number(count: usize) -> Result<u32, Full> {
    u32::try_from(count).map_err(|_| Full)
}

impl Table {
    /// Adds a credential; the caller has seen to it that its id is new. Returns its place.
    ///
    /// # Errors
    /// When there is no room.
    pub fn add_credential(&mut self, credential: NewCredential<'_>) -> Result<usize, Full> {
        let NewCredential { id, connected_by, token, token_secret, expires_at, refresh_expires_at, grant } =
            credential;
        let (kind, told) = match &token {
            SecretSource::File(path) => (SourceKind::File, path.to_str()),
            SecretSource::Env(name) => (SourceKind::Env, Some(name.as_str())),
            SecretSource::Command(_) | SecretSource::Inline(_) => (SourceKind::Other, None),
        };
        let texts = number(self.texts.len())?;
        let (kind, (token_beginning, token_rest)) = match told {
            Some(text) => (kind, self.split(text, id)?),
            None => (SourceKind::Other, (number(self.put_source(token) - 1)?, 0)),
        };
        // Last, so that an account of the same id can share it.
        self.texts.push_str(id);
        let row = CredentialRow {
            texts,
            id: short(id.len())?,
            token_rest,
            token_beginning,
            kind,
            token_secret: token_secret.map_or(Ok(0), |source| number(self.put_source(source)))?,
            connected_by: connected_by.map_or(Ok(0), |person| self.words.put(person).ok_or(Full))?,
            grant: self.grants.put(grant).ok_or(Full)?,
            expires_at,
            refresh_expires_at,
            first: 0,
            interval: 0,
        };
        let place = self.credentials.len();
        self.credentials.push(row);
        let Self { ids, credentials, texts, .. } = self;
        let hash = |at: &u32| ids.state.hash_one(credentials[*at as usize].id(texts));
        ids.credentials.insert_unique(ids.state.hash_one(id), number(place)?, hash);
        Ok(place)
    }

    /// Returns its place, from 1.
    fn put_source(&mut self, source: SecretSource) -> usize {
        self.sources.push(source);
        self.sources.len()
    }

    /// Takes note of a text whose beginning is shared, and the length of what is left and goes to
    /// the texts.
    fn split(&mut self, text: &str, id: &str) -> Result<(u32, u16), Full> {
        let (beginning, rest) = beginning(text);
        let beginning = self.words.put(beginning).ok_or(Full)?;
        if rest == id {
            return Ok((beginning, ID));
        }
        self.texts.push_str(rest);
        Ok((beginning, short(rest.len())?))
    }

    /// Adds an account; the caller has seen to it that its id is new. Returns its place.
    ///
    /// # Errors
    /// When there is no room.
    pub fn add_account(&mut self, account: &NewAccount<'_>) -> Result<usize, Full> {
        let mut rendered = String::new();
        let mut labels = Vec::with_capacity(account.labels.len());
        for (name, value) in account.labels {
            rendered.clear();
            push_label(&mut rendered, name, value);
            labels.push(self.words.put(&rendered).ok_or(Full)?);
        }
        let texts = put_id(&mut self.texts, account.id);
        let name = account.name.filter(|name| *name != account.id).unwrap_or("");
        let external_id = account.external_id.unwrap_or("");
        self.texts.push_str(name);
        self.texts.push_str(external_id);
        let credential = self.credential(account.credential);
        let style = credential.map_or(Style { api: "", oauth1: false }, |c| c.style());
        let of_login = credential.map_or([""; 3], |c| [c.id(), c.app_id(), c.connected_by().unwrap_or("")]);
        let of_account = [account.id, name, external_id, account.notify, account.reconnect_url.unwrap_or("")];
        let plain = of_account.into_iter().chain(of_login).all(is_plain);
        let role = self.roles.put((account.role, (style.api, style.oauth1))).ok_or(Full)?;
        if role as usize == self.scopes.len() {
            self.scopes.push(required_scopes(&account.role, style));
        }
        let (url_beginning, url_rest) = self.split(account.reconnect_url.unwrap_or(""), account.id)?;
        let row = AccountRow {
            texts: number(texts)?,
            id: short(account.id.len())? | if plain { 0 } else { ESCAPED },
            name: short(name.len())?,
            external_id: short(external_id.len())?,
            url_rest,
            url_beginning,
            labels: self.labels.put(&labels).ok_or(Full)?,
            notify: self.words.put(if account.opted_out { NOBODY } else { account.notify }).ok_or(Full)?,
            role,
            credential: number(account.credential)?,
        };
        let place = self.accounts.len();
        self.accounts.push(row);
        let Self { ids, accounts, texts, .. } = self;
        let hash = |at: &u32| ids.state.hash_one(accounts[*at as usize].id(texts));
        ids.accounts.insert_unique(ids.state.hash_one(account.id), number(place)?, hash);
        Ok(place)
    }

    /// How many accounts there are.
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Whether there is no account.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// One account.
    pub fn account(&self, index: usize) -> Option<AccountView<'_>> {
        self.accounts.get(index).map(|row| AccountView { table: self, row })
    }

    /// Every account, in order.
    pub fn accounts(&self) -> impl ExactSizeIterator<Item = AccountView<'_>> {
        self.accounts.iter().map(|row| AccountView { table: self, row })
    }

    /// One credential.
    pub fn credential(&self, index: usize) -> Option<CredentialView<'_>> {
        self.credentials.get(index).map(|row| CredentialView { table: self, row, index })
    }

    /// Every credential, in order.
    pub fn credentials(&self) -> impl ExactSizeIterator<Item = CredentialView<'_>> {
        self.credentials.iter().enumerate().map(|(index, row)| CredentialView { table: self, row, index })
    }

    /// The place of the account with this id.
    pub fn find(&self, id: &str) -> Option<usize> {
        let same = |at: &u32| self.accounts[*at as usize].id(&self.texts) == id;
        self.ids.accounts.find(self.ids.state.hash_one(id), same).map(|at| *at as usize)
    }

    /// The place of the credential with this id.
    pub fn find_credential(&self, id: &str) -> Option<usize> {
        let same = |at: &u32| self.credentials[*at as usize].id(&self.texts) == id;
        self.ids.credentials.find(self.ids.state.hash_one(id), same).map(|at| *at as usize)
    }

    /// Keeps the accounts that are wanted; [`Table::grouped`] makes their ids known anew.
    pub fn retain(&mut self, wanted: impl Fn(AccountView<'_>) -> bool) {
        let mut accounts = std::mem::take(&mut self.accounts);
        accounts.retain(|row| wanted(AccountView { table: self, row }));
        self.accounts = accounts;
    }

    /// Puts the accounts of each credential side by side, and keeps only the credentials that are
    /// `mine` and have any. Gives back what only a growing table needs.
    #[must_use]
    pub fn grouped(mut self, usual: Duration, mine: impl Fn(&str) -> bool) -> Self {
        const NOBODY: u32 = u32::MAX;
        let Self { accounts, credentials, texts, ids, .. } = &mut self;
        let own: Vec<bool> = credentials.iter().map(|row| mine(row.id(texts))).collect();
        accounts.retain(|row| own.get(row.credential as usize) == Some(&true));
        let sorted = accounts.is_sorted_by_key(|row| row.credential);
        if !sorted {
            accounts.sort_by_key(|row| row.credential);
        }
        let mut place = vec![NOBODY; credentials.len()];
        let mut next = 0;
        for group in accounts.chunk_by(|a, b| a.credential == b.credential) {
            if let Some(place) = group.first().and_then(|row| place.get_mut(row.credential as usize)) {
                *place = next;
                next += 1;
            }
        }
        let mut places = place.iter();
        credentials.retain(|_| places.next().is_some_and(|place| *place != NOBODY));
        for row in accounts.iter_mut() {
            row.credential = place.get(row.credential as usize).copied().unwrap_or(NOBODY);
        }
        let moved =
            !sorted || accounts.len() != ids.accounts.len() || credentials.len() != ids.credentials.len();
        self.count(usual);
        if moved {
            self.tidy();
        }
        self.close();
        self
    }

    /// Tells credentials which accounts are theirs, and how often the most impatient of them wants
    /// to be probed.
    fn count(&mut self, usual: Duration) {
        let Self { accounts, credentials, roles, intervals, .. } = self;
        let mut start = 0;
        for group in accounts.chunk_by(|a, b| a.credential == b.credential) {
            let wish = |row: &AccountRow| roles.get(row.role).0.probe_interval.unwrap_or(usual);
            let interval = group.iter().map(wish).min().unwrap_or(usual);
            if let Some(row) = group.first().and_then(|first| credentials.get_mut(first.credential as usize))
            {
                // Both count rows, and rows are counted in four bytes.
                row.first = u32::try_from(start).unwrap_or(u32::MAX);
                row.interval = intervals.put(interval).unwrap_or(0);
            }
            start += group.len();
        }
    }

    /// Writes the texts anew in the order of the rows: neighbours are read together, and nobody
    /// needs those of rows that are gone.
    fn tidy(&mut self) {
        let Self { ids, accounts, credentials, texts, .. } = self;
        let old = std::mem::take(texts);
        let size = accounts.iter().map(AccountRow::size).sum::<usize>()
            + credentials.iter().map(CredentialRow::size).sum::<usize>();
        texts.reserve_exact(size);
        // Not more than before, and that could be counted.
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let mut accounts_left = accounts.iter_mut().peekable();
        for (credential, row) in credentials.iter_mut().enumerate() {
            let text = slice(&old, row.texts, row.size());
            row.texts = place(texts.len());
            texts.push_str(text);
            while let Some(row) = accounts_left.next_if(|row| row.credential as usize == credential) {
                let (id, rest) = slice(&old, row.texts, row.size()).split_at(row.id_size());
                row.texts = place(put_id(texts, id));
                texts.push_str(rest);
            }
        }
        (ids.accounts, ids.credentials) = (HashTable::new(), HashTable::new());
        let hash = |at: &u32| ids.state.hash_one(accounts[*at as usize].id(texts));
        for at in (0..).take(accounts.len()) {
            ids.accounts.insert_unique(hash(&at), at, hash);
        }
        let hash = |at: &u32| ids.state.hash_one(credentials[*at as usize].id(texts));
        for at in (0..).take(credentials.len()) {
            ids.credentials.insert_unique(hash(&at), at, hash);
        }
    }

    fn close(&mut self) {
        self.texts.shrink_to_fit();
        self.accounts.shrink_to_fit();
        self.credentials.shrink_to_fit();
        self.sources.shrink_to_fit();
        self.words.close();
        self.labels.close();
        self.grants.close();
        self.roles.close();
        self.intervals.close();
    }

    /// Each set of labels that accounts have of their own, by [`AccountView::label_set`].
    pub fn label_sets(&self) -> impl ExactSizeIterator<Item = impl Iterator<Item = (&str, Cow<'_, str>)>> {
        (0..self.labels.len()).map(|set| self.label_set(u32::try_from(set).unwrap_or(0)))
    }

    fn label_set(&self, set: u32) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        self.labels.get(set).iter().map(|word| self.label(*word))
    }

    fn label(&self, word: u32) -> (&str, Cow<'_, str>) {
        let text = self.words.get(word).trim_start_matches(',');
        let (name, value) = text.split_once("=\"").unwrap_or((text, ""));
        (name, unescape(value.strip_suffix('"').unwrap_or(value)))
    }
}

/// A part of the texts.
fn slice(texts: &str, start: u32, length: usize) -> &str {
    texts.get(start as usize..start as usize + length).unwrap_or("")
}

/// How much of the texts a rest takes.
fn size(rest: u16) -> usize {
    if rest == ID { 0 } else { usize::from(rest) }
}

impl AccountRow {
    fn id<'a>(&self, texts: &'a str) -> &'a str {
        slice(texts, self.texts, self.id_size())
    }

    fn id_size(&self) -> usize {
        usize::from(self.id & !ESCAPED)
    }

    fn size(&self) -> usize {
        self.id_size() + usize::from(self.name) + usize::from(self.external_id) + size(self.url_rest)
    }
}

impl CredentialRow {
    fn id<'a>(&self, texts: &'a str) -> &'a str {
        slice(texts, self.texts, self.size()).get(size(self.token_rest)..).unwrap_or("")
    }

    fn size(&self) -> usize {
        size(self.token_rest) + usize::from(self.id)
    }
}

/// The first name of each group of scopes that these needs require, each once.
fn required_scopes(role: &AccountSettings, style: Style<'_>) -> Vec<&'static str> {
    let requirements =
        role.needs.iter().filter_map(|c| role.network.network().requirement(style, role.kind, c));
    let mut names: Vec<&'static str> = Vec::new();
    for name in requirements.flat_map(|r| r.scopes).filter_map(|group| group.first()) {
        if !names.contains(name) {
            names.push(name);
        }
    }
    // A bit each in the state of an account.
    names.truncate(32);
    names
}

/// Appends `,name="value"` in the notation of both exposition formats.
fn push_label(out: &mut String, name: &str, value: &str) {
    out.push(',');
    out.push_str(name);
    out.push_str("=\"");
    escape(out, value);
    out.push('"');
}

/// Whether [`escape`] would leave it as it is.
fn is_plain(text: &str) -> bool {
    // All bytes, without an early end: that takes many at a time, and there is hardly ever one to find.
    !text.bytes().fold(false, |found, b| found | (b == b'\\') | (b == b'"') | (b == b'\n'))
}

/// Appends a label value, escaped as both exposition formats want it.
pub fn escape(out: &mut String, value: &str) {
    if is_plain(value) {
        out.push_str(value);
        return;
    }
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

/// What [`escape`] was given.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => plain.push('\n'),
                Some(c) => plain.push(c),
                None => {}
            },
            (c, false) => plain.push(c),
        }
    }
    Cow::Owned(plain)
}

impl<'a> AccountView<'a> {
    /// A part of its texts.
    fn text(&self, start: usize, length: u16) -> &'a str {
        slice(&self.table.texts, self.row.texts, self.row.size())
            .get(start..start + usize::from(length))
            .unwrap_or("")
    }

    /// Its id in the configuration.
    pub fn id(&self) -> &'a str {
        self.row.id(&self.table.texts)
    }

    /// Its id, to be copied fast.
    pub fn id_piece(&self) -> Piece<'a> {
        Piece::new(&self.table.texts, self.row.texts as usize, self.row.id_size())
    }

    /// The texts about it and its login, to be copied fast; none if it has no login.
    pub fn pieces(&self) -> Option<AccountTexts<'a>> {
        let Self { table, row } = self;
        let login = table.credentials.get(row.credential as usize)?;
        let id = self.id_piece();
        let name = row.texts as usize + row.id_size();
        let external_id = name + usize::from(row.name);
        let url = external_id + usize::from(row.external_id);
        let own = |at: usize, size: u16| Piece::new(&table.texts, at, usize::from(size));
        Some(AccountTexts {
            name: if row.name == 0 { id } else { own(name, row.name) },
            external_id: own(external_id, row.external_id),
            credential: Piece::new(
                &table.texts,
                login.texts as usize + size(login.token_rest),
                usize::from(login.id),
            ),
            app: table.grants.get(login.grant).app_id.as_str().into(),
            connected_by: table.words.piece(login.connected_by),
            notify: table.words.piece(row.notify),
            reconnect_url: [
                table.words.piece(row.url_beginning),
                if row.url_rest == ID { id } else { own(url, row.url_rest) },
            ],
        })
    }

    /// Whether all texts about it and its login can stand in labels as they are.
    pub fn is_plain(&self) -> bool {
        self.row.id & ESCAPED == 0
    }

    /// Its name for people.
    pub fn name(&self) -> &'a str {
        if self.row.name == 0 { self.id() } else { self.text(self.row.id_size(), self.row.name) }
    }

    /// The network's id of it; empty if none is configured.
    pub fn external_id(&self) -> &'a str {
        self.text(self.row.id_size() + usize::from(self.row.name), self.row.external_id)
    }

    /// Where it can be reconnected; empty if that is not configured.
    pub fn reconnect_url(&self) -> String {
        self.pieces().map_or_else(String::new, |pieces| pieces.reconnect_url.map(Piece::as_str).concat())
    }

    /// Its own labels, each as `,name="value"`, escaped for exposition.
    pub fn rendered_labels(&self) -> impl Iterator<Item = Piece<'a>> + use<'a> {
        let table = self.table;
        table.labels.get(self.row.labels).iter().map(|word| table.words.piece(*word))
    }

    /// Its own labels, names and values.
    pub fn labels(&self) -> impl Iterator<Item = (&'a str, Cow<'a, str>)> + use<'a> {
        self.table.label_set(self.row.labels)
    }

    /// The place of its own labels among [`Table::label_sets`].
    pub fn label_set(&self) -> usize {
        self.row.labels as usize
    }

    /// Its network.
    pub fn network(&self) -> NetworkId {
        self.role().network
    }

    /// Page, profile, organization…
    pub fn kind(&self) -> &'static str {
        self.role().kind
    }

    /// Why it is watched.
    pub fn purpose(&self) -> Use {
        self.role().purpose
    }

    /// What it is used for.
    pub fn needs(&self) -> Capabilities {
        self.role().needs
    }

    /// How often it is probed, if not as often as all.
    pub fn probe_interval(&self) -> Option<Duration> {
        self.role().probe_interval
    }

    fn role(&self) -> &'a AccountSettings {
        &self.table.roles.get(self.row.role).0
    }

    /// Who gets its mails, separated by commas; empty if nobody is named, or if all of them have
    /// opted out.
    pub fn notify(&self) -> &'a str {
        if self.opted_out() { "" } else { self.notify_label() }
    }

    /// Whether everybody who would get its mails has opted out.
    pub fn opted_out(&self) -> bool {
        self.notify_label() == NOBODY
    }

    /// The same for mail routes: whose recipients have all opted out is not to be taken for one
    /// that has none.
    pub fn notify_label(&self) -> &'a str {
        self.table.words.get(self.row.notify)
    }

    /// The scopes that its needs require.
    pub fn required_scopes(&self) -> &'a [&'static str] {
        self.table.scopes.get(self.row.role as usize).map_or(&[], Vec::as_slice)
    }

    /// The place of its credential.
    pub fn credential_index(&self) -> usize {
        self.row.credential as usize
    }

    /// Its credential.
    pub fn credential(&self) -> Option<CredentialView<'a>> {
        self.table.credential(self.credential_index())
    }

    /// Its app's id; empty without an app.
    pub fn app_id(&self) -> &'a str {
        self.credential().map_or("", |credential| credential.app_id())
    }

    /// The way its grant was made in.
    pub fn style(&self) -> Style<'static> {
        self.credential().map_or(Style { api: "", oauth1: false }, |credential| credential.style())
    }

    /// As a network sees it.
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
    /// Its name here; an account's id where the account has a token of its own.
    pub fn id(&self) -> &'a str {
        self.row.id(&self.table.texts)
    }

    /// Its place in the table.
    pub fn index(&self) -> usize {
        self.index
    }

    fn grant(&self) -> &'a CredentialSettings {
        self.table.grants.get(self.row.grant)
    }

    /// Where it was granted.
    pub fn network(&self) -> NetworkId {
        self.grant().network
    }

    /// Its app, by its place among the apps.
    pub fn app(&self) -> Option<usize> {
        self.grant().app
    }

    /// The id of its app; empty without one.
    pub fn app_id(&self) -> &'a str {
        &self.grant().app_id
    }

    /// The way its grant was made in.
    pub fn style(&self) -> Style<'static> {
        Style { api: self.grant().api, oauth1: self.row.token_secret != 0 }
    }

    /// Something else refreshes the access token.
    pub fn auto_refresh(&self) -> bool {
        self.grant().auto_refresh
    }

    /// What was granted, where nothing else tells.
    pub fn scopes(&self) -> Option<&'a [String]> {
        self.grant().scopes.as_deref()
    }

    /// Takes the place of scheme, host and prefix of the network's hosts, for networks without
    /// apps.
    pub fn base_url(&self) -> Option<&'a Url> {
        self.grant().base_url.as_ref()
    }

    /// Who granted it.
    pub fn connected_by(&self) -> Option<&'a str> {
        Some(self.table.words.get(self.row.connected_by)).filter(|person| !person.is_empty())
    }

    /// Where the token comes from.
    pub fn token(&self) -> SecretSource {
        let (beginning, rest) = (self.row.token_beginning, self.row.token_rest);
        let text = || {
            let rest = if rest == ID {
                self.id()
            } else {
                slice(&self.table.texts, self.row.texts, usize::from(rest))
            };
            format!("{}{rest}", self.table.words.get(beginning))
        };
        match self.row.kind {
            SourceKind::File => SecretSource::File(PathBuf::from(text())),
            SourceKind::Env => SecretSource::Env(text()),
            SourceKind::Other => self.table.sources[beginning as usize].clone(),
        }
    }

    /// Where the second half of an OAuth 1.0a token comes from.
    pub fn token_secret(&self) -> Option<&'a SecretSource> {
        self.row.token_secret.checked_sub(1).and_then(|place| self.table.sources.get(place as usize))
    }

    /// When the access token ends, where nothing else tells.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.row.expires_at
    }

    /// When the refresh token ends, where nothing else tells.
    pub fn refresh_expires_at(&self) -> Option<Timestamp> {
        self.row.refresh_expires_at
    }

    /// Its accounts, once they stand side by side.
    pub fn accounts(&self) -> Range<usize> {
        let end = self
            .table
            .credentials
            .get(self.index + 1)
            .map_or(self.table.accounts.len(), |next| next.first as usize);
        self.row.first as usize..end
    }

    /// How often it is probed: as its most impatient account wants.
    pub fn interval(&self) -> Duration {
        *self.table.intervals.get(self.row.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn grant() -> Option<CredentialSettings> {
        let network = NetworkId::from_name("mastodon")?;
        Some(CredentialSettings {
            network,
            app: None,
            app_id: String::new(),
            api: "",
            auto_refresh: false,
            scopes: None,
            base_url: None,
        })
    }

    fn credential(id: &str, token: SecretSource) -> Option<NewCredential<'_>> {
        Some(NewCredential {
            id,
            connected_by: Some("Jane").filter(|_| id != "b"),
            token,
            token_secret: Some(SecretSource::Env("SECOND".to_owned())).filter(|_| id == "c"),
            expires_at: Timestamp::from_unix(7),
            refresh_expires_at: None,
            grant: grant()?,
        })
    }

    /// Named logins `a` to `c` with accounts in turn, and accounts with logins of their own between
    /// them.
    fn filled() -> Option<Table> {
        let mut table = Table::default();
        for id in ["a", "b", "c", "unused"] {
            table.add_credential(credential(id, SecretSource::File(format!("secrets/{id}").into()))?).ok()?;
        }
        for number in 0..40_usize {
            let id = format!("account-{number}{}", if number == 7 { "\"" } else { "" });
            let own = number % 4 == 3;
            let place = if own {
                let source = if number % 8 == 3 {
                    SecretSource::Env(format!("TOKEN_{number}"))
                } else {
                    SecretSource::Command(vec![id.clone()])
                };
                table.add_credential(credential(&id, source)?).ok()?
            } else {
                number % 4
            };
            let interval = Duration::from_secs(60 * u64::try_from(number).ok()? + 60);
            let role = AccountSettings {
                network: grant()?.network,
                kind: "account",
                needs: Capabilities::DEFAULT,
                purpose: Use::Owned,
                probe_interval: Some(interval).filter(|_| number > 2),
            };
            let name = format!("Name {number}");
            let url = [format!("https://x.y/r/{id}"), format!("https://x.y/?i={number}"), String::new()];
            let account = NewAccount {
                id: &id,
                name: Some(name.as_str()).filter(|_| number % 3 > 0),
                external_id: Some("0123").filter(|_| number % 5 > 0),
                credential: place,
                labels: &[("team", "web"), ("number", &number.to_string())],
                notify: "a@example.com,b@example.com",
                opted_out: number == 8,
                reconnect_url: Some(url[number % 3].as_str()).filter(|url| !url.is_empty()),
                role,
            };
            table.add_account(&account).ok()?;
        }
        Some(table)
    }

    /// All that can be read of an account, by its id.
    fn told(table: &Table, id: &str) -> Option<String> {
        let account = table.account(table.find(id)?)?;
        let login = account.credential()?;
        assert_eq!(table.find_credential(login.id()), Some(login.index()));
        let labels: Vec<_> = account.labels().collect();
        let at = (
            account.name(),
            account.external_id(),
            account.reconnect_url(),
            labels,
            account.notify(),
            account.probe_interval(),
        );
        let of = (
            login.id(),
            login.token(),
            login.token_secret(),
            login.connected_by(),
            login.expires_at(),
            login.network(),
        );
        Some(format!("{} {at:?} {of:?}", account.id()))
    }

    #[test]
    fn nothing_is_lost_when_accounts_are_put_side_by_side() {
        let table = filled().unwrap_or_default();
        let ids: Vec<String> = table.accounts().map(|a| a.id().to_owned()).collect();
        assert_eq!(ids.len(), 40);
        let before: Vec<_> = ids.iter().map(|id| told(&table, id)).collect();
        assert!(
            before[0]
                .as_deref()
                .is_some_and(|t| t.contains("https://x.y/r/account-0") && t.contains("secrets/a")),
            "{:?}",
            before[0]
        );
        let grouped = table.clone().grouped(HOUR, |_| true);
        assert_eq!(ids.iter().map(|id| told(&grouped, id)).collect::<Vec<_>>(), before);
        assert_eq!(grouped.find("account-40"), None);
        // Who has no account is nobody's login.
        assert_eq!((grouped.credentials().len(), grouped.find_credential("unused")), (13, None));
        let mut next = 0;
        for login in grouped.credentials() {
            assert_eq!(login.accounts().start, next);
            next = login.accounts().end;
            let of = |place| grouped.account(place).map_or(usize::MAX, |account| account.credential_index());
            assert!(
                !login.accounts().is_empty() && login.accounts().all(|place| of(place) == login.index()),
                "{}",
                login.id()
            );
        }
        assert_eq!(next, 40);
        let interval =
            |id| grouped.find_credential(id).and_then(|i| grouped.credential(i)).map(|c| c.interval());
        assert_eq!(
            (interval("a"), interval("account-7\"")),
            (Some(HOUR.min(Duration::from_secs(300))), Some(Duration::from_secs(480)))
        );
        let plain = |id| grouped.find(id).and_then(|i| grouped.account(i)).map(|a| a.is_plain());
        assert_eq!((plain("account-6"), plain("account-7\"")), (Some(true), Some(false)));
    }

    #[test]
    fn any_text_that_labels_must_escape_is_noticed() {
        let plain = |special: &str, place: usize| {
            let [id, name, external_id, notify, url, login, person, app_id] =
                std::array::from_fn(|i| format!("text {i}{}", if i == place { special } else { "" }));
            let mut table = Table::default();
            let grant = CredentialSettings { app_id, ..grant()? };
            let token = SecretSource::Env("TOKEN".to_owned());
            let credential =
                NewCredential { connected_by: Some(&person), grant, ..credential(&login, token)? };
            let credential = table.add_credential(credential).ok()?;
            let role = AccountSettings {
                network: table.credential(credential)?.network(),
                kind: "account",
                needs: Capabilities::DEFAULT,
                purpose: Use::Owned,
                probe_interval: None,
            };
            let (name, external_id, reconnect_url) = (Some(&*name), Some(&*external_id), Some(&*url));
            let account = NewAccount {
                id: &id,
                name,
                external_id,
                credential,
                labels: &[],
                notify: &notify,
                opted_out: false,
                reconnect_url,
                role,
            };
            table.add_account(&account).ok()?;
            table.account(0).map(|account| account.is_plain())
        };
        for special in ["\\", "\"", "\n"] {
            assert_eq!((0..8).find(|place| plain(special, *place) != Some(false)), None, "{special:?}");
        }
        assert_eq!(plain("", 0), Some(true));
    }

    #[test]
    fn a_share_holds_only_what_is_its_own() {
        let whole = filled().unwrap_or_default();
        let share = whole.clone().grouped(HOUR, |credential| credential == "b" || credential == "account-11");
        let ids: Vec<&str> = share.accounts().map(|a| a.id()).collect();
        assert_eq!((ids.len(), share.credentials().len()), (11, 2));
        assert!(ids.iter().all(|id| told(&share, id) == told(&whole, id)), "{ids:?}");
        assert_eq!((share.find("account-0"), share.find_credential("a")), (None, None));
        assert!(share.texts.len() < whole.texts.len() / 2);
        let mut few = whole.clone();
        few.retain(|account| account.id() == "account-11");
        let few = few.grouped(HOUR, |_| true);
        assert_eq!(
            (few.len(), few.credentials().len(), told(&few, "account-11")),
            (1, 1, told(&whole, "account-11"))
        );
    }

    #[test]
    fn labels_come_out_as_they_went_in() {
        for value in
            ["", "plain", "with \"quotes\"", "back\\slash", "\\n is no line break", "a\nb", "\\\\\"\n"]
        {
            let mut rendered = String::new();
            push_label(&mut rendered, "name", value);
            let inner = rendered.strip_prefix(",name=\"").and_then(|text| text.strip_suffix('"'));
            assert_eq!(inner.map(unescape).as_deref(), Some(value), "{rendered}");
        }
    }
}
