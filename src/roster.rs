//! Who is watched: the configuration in the compact form that probing and exposition work on.
//!
//! Immutable once made; a reload makes a new one. An account takes one row of fixed size and its own texts in
//! one arena; whatever repeats (kinds, label sets, recipient lists) is held once. Accounts of one credential
//! stand side by side, so that a credential knows them as a range.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::config::{self, Config};
use crate::network::{NetworkId, Style};
use crate::reason::{Capabilities, Use};

/// How many there are of each network.
pub type Counts = BTreeMap<NetworkId, usize>;

/// Who is watched.
#[derive(Debug, Default)]
pub struct Roster {
    apps: Vec<config::App>,
    credentials: Vec<Watched>,
    rows: Vec<Row>,
    /// Id, name, external id, reconnect URL and label block of each account, one after the other.
    texts: String,
    kinds: Interner,
    /// Rendered labels of accounts' own: `,team="web"`.
    labels: Interner,
    notify: Interner,
    /// Names of the scopes that accounts' needs require, by style, kind and needs.
    scopes: Vec<Vec<&'static str>>,
    /// How many accounts and credentials there are of each network.
    counts: (Counts, Counts),
}

/// A credential and the accounts behind it.
#[derive(Debug)]
pub struct Watched {
    /// As configured.
    pub config: config::Credential,
    /// Its accounts.
    pub accounts: Range<usize>,
    /// How often it is probed: as its most impatient account wants.
    pub interval: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    texts: u32,
    lengths: [u16; 5],
    kind: u16,
    network: NetworkId,
    purpose: Use,
    needs: Capabilities,
    scopes: u16,
    labels: u32,
    notify: u32,
    credential: u32,
}

/// Texts that repeat, each held once.
#[derive(Debug, Default)]
struct Interner {
    texts: Vec<Box<str>>,
    places: HashMap<Box<str>, u32>,
}

impl Interner {
    fn put(&mut self, text: &str) -> u32 {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(text.into());
        self.places.insert(text.into(), place);
        place
    }

    fn get(&self, place: u32) -> &str {
        self.texts.get(place as usize).map_or("", |t| t)
    }
}

/// One account, as read from the roster.
#[derive(Clone, Copy)]
pub struct AccountView<'a> {
    roster: &'a Roster,
    row: &'a Row,
}

impl Roster {
    /// From a configuration, keeping only the credentials that `mine` picks (a shard's share).
    pub fn new(config: Config, mine: impl Fn(&str) -> bool) -> Self {
        let Config { global, apps, credentials, accounts, .. } = config;
        let mut roster = Self { apps, ..Self::default() };
        let mut by_credential: Vec<Vec<config::Account>> = credentials.iter().map(|_| Vec::new()).collect();
        for account in accounts {
            if let Some(of_credential) = by_credential.get_mut(account.credential) {
                of_credential.push(account);
            }
        }
        let mut scope_lists = HashMap::new();
        for (credential, accounts) in credentials.into_iter().zip(by_credential) {
            if !mine(&credential.id) || accounts.is_empty() {
                continue;
            }
            let start = roster.rows.len();
            *roster.counts.1.entry(credential.network).or_default() += 1;
            let interval = accounts.iter().map(|a| a.probe_interval.unwrap_or(global.probe_interval)).min();
            for account in accounts {
                roster.push(&credential, account, &mut scope_lists);
            }
            roster.credentials.push(Watched {
                config: credential,
                accounts: start..roster.rows.len(),
                interval: interval.unwrap_or(global.probe_interval),
            });
        }
        roster.texts.shrink_to_fit();
        for interner in [&mut roster.kinds, &mut roster.labels, &mut roster.notify] {
            interner.places = HashMap::new();
        }
        roster
    }

    fn push(
        &mut self,
        credential: &config::Credential,
        account: config::Account,
        scope_lists: &mut HashMap<(NetworkId, &'static str, bool, String, Capabilities), u16>,
    ) {
        *self.counts.0.entry(account.network).or_default() += 1;
        let mut block = String::new();
        push_label(&mut block, "account", &account.id);
        push_label(&mut block, "network", account.network.name());
        let mut labels = String::new();
        for (name, value) in &account.labels {
            push_label(&mut labels, name, value);
        }
        let style = self.style(credential);
        let key = (account.network, style.api, style.oauth1, account.kind.clone(), account.needs);
        let scopes = *scope_lists.entry(key).or_insert_with(|| {
            self.scopes.push(required_scopes(account.network, style, &account.kind, account.needs));
            u16::try_from(self.scopes.len() - 1).unwrap_or(u16::MAX)
        });
        let texts = [
            account.id.as_str(),
            &account.name,
            account.external_id.as_deref().unwrap_or(""),
            account.reconnect_url.as_deref().unwrap_or(""),
            &block,
        ];
        let start = self.texts.len();
        let lengths = texts.map(|text| {
            // The configuration limits every one of these texts to far less.
            let length = u16::try_from(text.len()).unwrap_or(0);
            self.texts.push_str(&text[..usize::from(length)]);
            length
        });
        self.rows.push(Row {
            texts: u32::try_from(start).unwrap_or(u32::MAX),
            lengths,
            kind: u16::try_from(self.kinds.put(&account.kind)).unwrap_or(0),
            network: account.network,
            purpose: account.purpose,
            needs: account.needs,
            scopes,
            labels: self.labels.put(&labels),
            notify: self.notify.put(&account.notify.join(",")),
            credential: u32::try_from(self.credentials.len()).unwrap_or(u32::MAX),
        });
    }

    /// The developer apps.
    pub fn apps(&self) -> &[config::App] {
        &self.apps
    }

    /// The credentials that accounts use.
    pub fn credentials(&self) -> &[Watched] {
        &self.credentials
    }

    /// How many accounts, and how many credentials, there are of each network.
    pub fn counts(&self) -> (&Counts, &Counts) {
        (&self.counts.0, &self.counts.1)
    }

    /// How many accounts there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nobody is watched.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// One account.
    pub fn account(&self, index: usize) -> Option<AccountView<'_>> {
        self.rows.get(index).map(|row| AccountView { roster: self, row })
    }

    /// Every account, in order.
    pub fn accounts(&self) -> impl ExactSizeIterator<Item = AccountView<'_>> {
        self.rows.iter().map(|row| AccountView { roster: self, row })
    }

    /// The place of the account with this id.
    pub fn find(&self, id: &str) -> Option<usize> {
        self.accounts().position(|a| a.id() == id)
    }

    /// Each set of labels that accounts have of their own, rendered; by [`AccountView::label_set`].
    pub fn label_sets(&self) -> impl ExactSizeIterator<Item = &str> {
        self.labels.texts.iter().map(|text| &**text)
    }

    /// The app of a credential.
    pub fn app(&self, credential: &config::Credential) -> Option<&config::App> {
        credential.app.and_then(|app| self.apps.get(app))
    }

    /// The way a credential's grant was made in.
    pub fn style(&self, credential: &config::Credential) -> Style<'static> {
        let default = credential.network.description().apis.first().copied().unwrap_or("");
        let api = self.app(credential).map_or(default, |app| app.api);
        Style { api, oauth1: credential.token_secret.is_some() }
    }
}

/// The first name of each group of scopes that these needs require, each once.
fn required_scopes(network: NetworkId, style: Style<'_>, kind: &str, needs: Capabilities) -> Vec<&'static str> {
    let requirements = needs.iter().filter_map(|c| network.network().requirement(style, kind, c));
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

/// Appends `,name="value"` in the notation of both exposition formats (the comma only between labels).
fn push_label(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push(',');
    }
    out.push_str(name);
    out.push_str("=\"");
    escape(out, value);
    out.push('"');
}

/// Appends a label value, escaped as both exposition formats want it.
pub fn escape(out: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

/// Reads rendered labels: the inverse of what [`Roster`] does with an account's own.
pub fn parse_labels(rendered: &str) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    let mut rest = rendered;
    std::iter::from_fn(move || {
        let (name, after) = rest.trim_start_matches(',').split_once("=\"")?;
        let mut escaped = false;
        let end = after.bytes().position(|b| {
            let ends = b == b'"' && !escaped;
            escaped = b == b'\\' && !escaped;
            ends
        })?;
        rest = &after[end + 1..];
        Some((name, unescape(&after[..end])))
    })
}

fn unescape(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some(plain) => plain,
                None => break,
            },
            c => c,
        });
    }
    Cow::Owned(out)
}

/// A hash of an id that is the same on every machine and in every version.
pub fn stable_hash(id: &str) -> u64 {
    let digest = Sha256::digest(id.as_bytes());
    digest.iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

impl<'a> AccountView<'a> {
    fn text(&self, which: usize) -> &'a str {
        let before: usize = self.row.lengths[..which].iter().copied().map(usize::from).sum();
        let start = self.row.texts as usize + before;
        self.roster.texts.get(start..start + usize::from(self.row.lengths[which])).unwrap_or("")
    }

    /// Its id in the configuration.
    pub fn id(&self) -> &'a str {
        self.text(0)
    }

    /// Its name for people.
    pub fn name(&self) -> &'a str {
        self.text(1)
    }

    /// The network's id of it; empty if none is configured.
    pub fn external_id(&self) -> &'a str {
        self.text(2)
    }

    /// Where it can be reconnected; empty if that is not configured.
    pub fn reconnect_url(&self) -> &'a str {
        self.text(3)
    }

    /// Its identity labels as they stand in every series: `account="…",network="…"`.
    pub fn label_block(&self) -> &'a str {
        self.text(4)
    }

    /// Its own labels, rendered.
    pub fn own_labels(&self) -> &'a str {
        self.roster.labels.get(self.row.labels)
    }

    /// The place of its own labels among [`Roster::label_sets`].
    pub fn label_set(&self) -> usize {
        self.row.labels as usize
    }

    /// Its network.
    pub fn network(&self) -> NetworkId {
        self.row.network
    }

    /// Page, profile, organization…
    pub fn kind(&self) -> &'a str {
        self.roster.kinds.get(u32::from(self.row.kind))
    }

    /// Why it is watched.
    pub fn purpose(&self) -> Use {
        self.row.purpose
    }

    /// What it is used for.
    pub fn needs(&self) -> Capabilities {
        self.row.needs
    }

    /// Who gets its mails, separated by commas.
    pub fn notify(&self) -> &'a str {
        self.roster.notify.get(self.row.notify)
    }

    /// The scopes that its needs require.
    pub fn required_scopes(&self) -> &'a [&'static str] {
        self.roster.scopes.get(usize::from(self.row.scopes)).map_or(&[], Vec::as_slice)
    }

    /// The place of its credential.
    pub fn credential_index(&self) -> usize {
        self.row.credential as usize
    }

    /// Its credential.
    pub fn credential(&self) -> Option<&'a Watched> {
        self.roster.credentials.get(self.credential_index())
    }

    /// Its app's id; empty without an app.
    pub fn app_id(&self) -> &'a str {
        self.credential().and_then(|c| self.roster.app(&c.config)).map_or("", |app| &app.id)
    }

    /// The way its grant was made in.
    pub fn style(&self) -> Style<'static> {
        self.credential().map_or(Style { api: "", oauth1: false }, |c| self.roster.style(&c.config))
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
