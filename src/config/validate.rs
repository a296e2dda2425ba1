//! From trees to the configuration: each section once, in the order in which they refer to each
//! other.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::problem::{At, Findings, WarningKind, shown};
use super::read::{Cursor, Fields, SecretKeys};
use super::values::{
    Offer, SECOND, YEAR, addresses, default_api, default_schedule, labels, labels_of, needs, network,
    purpose, rate_limit, schedule, scopes,
};
use super::yaml::{Node, Value};
use super::{App, Config};
use crate::inventory::{AccountSettings, CredentialSettings, Full, NewAccount, NewCredential};
use crate::model::{Capabilities, Capability, Use};
use crate::network::{AppNeed, NetworkId};

/// A file's tree, without the members of its long lists.
pub(super) struct Document<'t> {
    pub(super) file: File<'t>,
    pub(super) root: Node<'t>,
}

/// A file of the configuration.
#[derive(Clone, Copy)]
pub(super) struct File<'t> {
    pub(super) path: &'t Path,
    /// Its place among all files.
    pub(super) number: u32,
    /// Named on the command line, not by `account_files`.
    pub(super) main: bool,
}

/// Said of what would be one too many.
const FULL: &str = "there is no room for more: the texts of all accounts may take 4 GiB";

const MAIN_KEYS: &[&str] = &["global", "apps", "credentials", "accounts", "account_files", "schedule"];
const ACCOUNT_FILE_KEYS: &[&str] = &["credentials", "accounts"];
const GLOBAL_KEYS: &[&str] =
    &["probe_interval", "probe_timeout", "probe_concurrency", "notify", "allow_private_networks"];
const APP_KEYS: &[&str] = &[
    "id",
    "network",
    "api",
    "client_id",
    "client_secret_file",
    "client_secret_env",
    "client_secret",
    "api_version",
    "base_url",
    "rate_limit",
];
/// What tells a generic provider's endpoints.
const ENDPOINT_KEYS: &[&str] = &["issuer", "introspection_url", "userinfo_url", "probe_url"];
/// The network whose provider is told by its endpoints.
const GENERIC: &str = "oauth2";
/// What a credential may say, also one that is part of an account.
const GRANT_KEYS: &[&str] = &[
    "app",
    "connected_by",
    "token_file",
    "token_env",
    "token_command",
    "token",
    "token_secret_file",
    "token_secret_env",
    "token_secret_command",
    "token_secret",
    "expires_at",
    "refresh_expires_at",
    "auto_refresh",
    "scopes",
    "base_url",
];
const ACCOUNT_KEYS: &[&str] = &[
    "id",
    "name",
    "network",
    "kind",
    "external_id",
    "credential",
    "needs",
    "use",
    "labels",
    "notify",
    "notify_opt_out",
    "reconnect_url",
    "probe_interval",
];
const CLIENT_SECRET: SecretKeys = SecretKeys(&["client_secret_file", "client_secret_env", "client_secret"]);
const TOKEN: SecretKeys = SecretKeys(&["token_file", "token_env", "token", "token_command"]);
const TOKEN_SECRET: SecretKeys =
    SecretKeys(&["token_secret_file", "token_secret_env", "token_secret", "token_secret_command"]);

/// Where something stands, in few bytes: one for each account while they are read.
#[derive(Clone, Copy)]
struct Place {
    file: u32,
    at: At,
}

/// Where an app's id was first used, and which it is; none where it has problems of its own.
struct Known {
    place: Place,
    index: Option<usize>,
}

/// Reads section by section.
pub(super) struct Validator<'o> {
    pub(super) out: &'o mut Findings,
    /// Whether what is not found is not there. It may be when a file, a list or an id could not be
    /// read.
    pub(super) complete: bool,
    config: Config,
    /// By the number of the file.
    paths: Vec<PathBuf>,
    apps: BTreeMap<String, Known>,
    used_apps: Vec<bool>,
    /// Where the credentials and accounts of the table stand…
    credentials: Vec<Place>,
    accounts: Vec<Place>,
    /// …and those that have problems of their own.
    broken_credentials: HashMap<String, Place>,
    broken_accounts: HashMap<String, Place>,
}

impl<'o> Validator<'o> {
    pub(super) fn new(out: &'o mut Findings) -> Self {
        Self {
            out,
            complete: true,
            config: Config { schedule: default_schedule(), ..Config::default() },
            paths: Vec::new(),
            apps: BTreeMap::new(),
            used_apps: Vec::new(),
            credentials: Vec::new(),
            accounts: Vec::new(),
            broken_credentials: HashMap::new(),
            broken_accounts: HashMap::new(),
        }
    }

    /// A file by its number, which this gives out.
    pub(super) fn file<'t>(&mut self, path: &'t Path, main: bool) -> File<'t> {
        self.paths.push(path.to_owned());
        File { path, number: u32::try_from(self.paths.len() - 1).unwrap_or(u32::MAX), main }
    }

    /// What stands at the top of a document.
    pub(super) fn top(&mut self, document: &Document<'_>) {
        let root = Cursor::root(document.file.path, &document.root);
        if document.file.main {
            root.fields(&[MAIN_KEYS], self.out);
        } else if !root.is_list() {
            root.fields(&[ACCOUNT_FILE_KEYS], self.out);
        }
        for section in ACCOUNT_FILE_KEYS {
            let fields = root.entries();
            if let Some(list) = fields.as_ref().and_then(|fields| fields.get(section)) {
                self.complete &= list.is_list();
            }
        }
    }

    /// The sections that only main documents have.
    pub(super) fn main(&mut self, documents: &[Document<'_>]) {
        self.only_once(documents, "global", Self::global);
        for document in documents {
            let root = Cursor::root(document.file.path, &document.root);
            if let Some(list) = root.entries().as_ref().and_then(|fields| fields.get("apps")) {
                self.complete &= list.is_list();
                for item in list.items(self.out) {
                    self.app(document.file, &item);
                }
            }
        }
        self.only_once(documents, "schedule", |this, cursor| {
            this.config.schedule = schedule(cursor, this.out)
        });
    }

    /// What has been read, once everything has.
    pub(super) fn finish(mut self) -> (Config, bool) {
        self.unused();
        (self.config, self.complete)
    }

    /// A section that may stand in one document only.
    fn only_once(
        &mut self,
        documents: &[Document<'_>],
        section: &str,
        mut take: impl FnMut(&mut Self, &Cursor<'_>),
    ) {
        let mut first: Option<(&Path, At)> = None;
        for document in documents {
            let root = Cursor::root(document.file.path, &document.root);
            let Some(fields) = root.entries() else { continue };
            let Some(found) = fields.get(section) else { continue };
            if let Some((file, at)) = first {
                found.problem(
                    self.out,
                    format!(
                        "may stand in one file only; first at {}:{}:{}",
                        file.display(),
                        at.line,
                        at.column
                    ),
                );
            } else {
                first = Some((document.file.path, found.at));
                take(self, &found);
            }
        }
    }

    fn global(&mut self, cursor: &Cursor<'_>) {
        let out = &mut *self.out;
        let Some(fields) = cursor.fields(&[GLOBAL_KEYS], out) else { return };
        let global = &mut self.config.global;
        if let Some(d) = fields.get("probe_interval").and_then(|c| c.duration(out, SECOND, YEAR)) {
            global.probe_interval = d;
        }
        if let Some(d) = fields
            .get("probe_timeout")
            .and_then(|c| c.duration(out, Duration::from_millis(100), Duration::from_secs(600)))
        {
            global.probe_timeout = d;
        }
        if let Some(n) = fields.get("probe_concurrency").and_then(|c| c.number(out, 1, 4096)) {
            global.probe_concurrency = n;
        }
        if let Some(b) = fields.get("allow_private_networks").and_then(|c| c.boolean(out)) {
            global.allow_private_networks = b;
        }
        global.notify = addresses(&fields, "notify", out);
    }

    /// `{file}:{line}:{column}`
    fn shown_place(&self, place: Place) -> String {
        let path = self.paths.get(place.file as usize).map(|path| path.display());
        path.map_or_else(String::new, |path| format!("{path}:{}:{}", place.at.line, place.at.column))
    }

    /// The id of an item and its place, unless it has been used before.
    fn id<'f>(
        &mut self,
        fields: &'f Fields<'f>,
        file: File<'_>,
        known: impl Fn(&Self, &str) -> Option<Place>,
    ) -> Option<(&'f str, Place)> {
        let cursor = fields.required("id", self.out)?;
        let id = cursor.id(self.out)?;
        if let Some(first) = known(self, id) {
            let message = format!("{} is already used at {}", shown(id), self.shown_place(first));
            cursor.problem(self.out, message);
            return None;
        }
        Some((id, Place { file: file.number, at: cursor.at }))
    }

    fn known_credential(&self, id: &str) -> Option<Place> {
        let place = self.config.table.find_credential(id).and_then(|index| self.credentials.get(index));
        place.or_else(|| self.broken_credentials.get(id)).copied()
    }

    fn known_account(&self, id: &str) -> Option<Place> {
        let place = self.config.table.find(id).and_then(|index| self.accounts.get(index));
        place.or_else(|| self.broken_accounts.get(id)).copied()
    }

    fn app(&mut self, file: File<'_>, cursor: &Cursor<'_>) {
        let Some(fields) = cursor.entries() else {
            self.complete = false;
            cursor.fields(&[APP_KEYS], self.out);
            return;
        };
        // Which keys there are depends on the network.
        let named = fields.get("network");
        let generic =
            named.as_ref().is_some_and(|c| matches!(&c.node.value, Value::Scalar(text) if text == GENERIC));
        let keys = if generic { &[APP_KEYS, ENDPOINT_KEYS][..] } else { &[APP_KEYS] };
        if cursor.fields(keys, self.out).is_none() {
            self.complete = false;
            return;
        }
        let id = self.id(&fields, file, |this, id| this.apps.get(id).map(|known| known.place));
        if let Some((id, place)) = id {
            self.apps.insert(id.to_owned(), Known { place, index: None });
        }
        let out = &mut *self.out;
        let network = network(&fields, out);
        // Whatever is not known of it could be what another item refers to.
        self.complete &= id.is_some() && network.is_some();
        let api = match (fields.get("api"), network) {
            (Some(c), Some(network)) if network.description().apis.is_empty() => {
                c.problem(out, format!("{network} has one API only; leave the key out"));
                None
            }
            (Some(c), Some(network)) => {
                let apis = network.description().apis;
                c.word(out, apis, |text| apis.iter().copied().find(|api| *api == text))
            }
            (_, network) => Some(network.map_or("", default_api)),
        };
        let needs_id = network.is_some_and(|n| n.description().app == AppNeed::Required);
        let client_id =
            match if needs_id { fields.required("client_id", out) } else { fields.get("client_id") } {
                Some(c) => c.text(out),
                None => Some(""),
            };
        let client_secret = fields.secret(&CLIENT_SECRET, out);
        let api_version = match fields.get("api_version") {
            None => Some(network.and_then(|n| n.description().api_version).unwrap_or("")),
            Some(c) => c.text(out).filter(|text| {
                // It becomes part of the path of requests.
                let fits = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
                if !fits {
                    c.problem(out, "is not a version like v25.0");
                }
                fits
            }),
        };
        let base_url = fields.get("base_url").and_then(|c| c.base_url(out));
        let rate_limit = fields.get("rate_limit").and_then(|c| rate_limit(&c, out));
        let mut endpoints = Vec::new();
        if generic {
            for key in ENDPOINT_KEYS.iter().copied() {
                endpoints
                    .extend(fields.get(key).and_then(|c| c.endpoint(out)).map(|url| (key, url.to_string())));
            }
        }
        let (Some((id, _)), Some(network), Some(api), Some(client_id), Some(api_version)) =
            (id, network, api, client_id, api_version)
        else {
            return;
        };
        if let Some(known) = self.apps.get_mut(id) {
            known.index = Some(self.config.apps.len());
        }
        let (id, client_id, api_version) = (id.to_owned(), client_id.to_owned(), api_version.to_owned());
        self.config.apps.push(App {
            id,
            network,
            api,
            client_id,
            client_secret,
            api_version,
            base_url,
            rate_limit,
            endpoints,
        });
        self.used_apps.push(false);
    }

    /// A member of `credentials`.
    pub(super) fn named_credential(&mut self, file: File<'_>, cursor: &Cursor<'_>) {
        let Some(fields) = cursor.fields(&[&["id", "network"], GRANT_KEYS], self.out) else {
            self.complete = false;
            return;
        };
        let id = self.id(&fields, file, Self::known_credential);
        self.complete &= id.is_some();
        let network = network(&fields, self.out);
        let credential = self.credential(&fields, id.map_or("", |(id, _)| id), network);
        if let Some((id, place)) = id
            && credential.and_then(|credential| self.add_credential(cursor, credential, place)).is_none()
        {
            self.broken_credentials.insert(id.to_owned(), place);
        }
    }

    fn add_credential(
        &mut self,
        cursor: &Cursor<'_>,
        credential: NewCredential<'_>,
        place: Place,
    ) -> Option<usize> {
        let added = self.config.table.add_credential(credential);
        if added.is_ok() {
            self.credentials.push(place);
        }
        added.map_err(|Full| cursor.problem(self.out, FULL)).ok()
    }

    /// A credential from a mapping: one of its own, or an account that has its own token.
    fn credential<'f>(
        &mut self,
        fields: &'f Fields<'f>,
        id: &'f str,
        network: Option<NetworkId>,
    ) -> Option<NewCredential<'f>> {
        let token = fields.secret(&TOKEN, self.out);
        if !fields.has_secret(&TOKEN) {
            fields.problem(
                self.out,
                "names no token: expected one of token_file, token_env, token_command, token",
            );
        }
        let token_secret = fields.secret(&TOKEN_SECRET, self.out);
        let app = network.and_then(|network| self.app_of(fields, network));
        let out = &mut *self.out;
        let of_app = app.flatten().and_then(|i| self.config.apps.get(i));
        if let (Some(_), true, false) =
            (app, fields.has_secret(&TOKEN_SECRET), of_app.is_some_and(|app| app.client_secret.is_some()))
        {
            let which = of_app
                .map_or_else(|| "there is none".to_owned(), |app| format!("{} has none", shown(&app.id)));
            fields.problem(
                out,
                format!("OAuth 1.0a (token_secret) needs an app with a client secret; {which}"),
            );
        }
        let connected_by = fields.get("connected_by").and_then(|c| c.text(out));
        let expires_at = fields.get("expires_at").and_then(|c| c.instant(out));
        let refresh_expires_at = fields.get("refresh_expires_at").and_then(|c| c.instant(out));
        let auto_refresh = fields.get("auto_refresh").and_then(|c| c.boolean(out)).unwrap_or(false);
        let scopes = fields.get("scopes").map(|c| scopes(&c, out));
        let base_url = fields.get("base_url").and_then(|c| match network {
            Some(n) if n.description().app == AppNeed::Required => {
                c.problem(out, format!("belongs to the app: {n} credentials have one"));
                None
            }
            _ => c.base_url(out),
        });
        let (network, app) = (network?, app?);
        let api = of_app.map_or_else(|| default_api(network), |app| app.api);
        let app_id = of_app.map_or_else(String::new, |app| app.id.clone());
        let grant = CredentialSettings { network, app, app_id, api, auto_refresh, scopes, base_url };
        Some(NewCredential {
            id,
            connected_by,
            token: token?,
            token_secret,
            expires_at,
            refresh_expires_at,
            grant,
        })
    }

    /// The app of a credential, or that it has none; nothing where that is a problem.
    fn app_of(&mut self, fields: &Fields<'_>, network: NetworkId) -> Option<Option<usize>> {
        let out = &mut *self.out;
        if let Some(cursor) = fields.get("app") {
            let id = cursor.id(out)?;
            let Some(known) = self.apps.get(id) else {
                let hint = out.hint(id, self.apps.keys().map(String::as_str));
                cursor.doubtful(out, format!("{} is not known{hint}", shown(id)));
                return None;
            };
            let index = known.index?;
            let other = self.config.apps[index].network;
            if other != network {
                cursor.problem(
                    out,
                    format!(
                        "{} is an app of {other}, which cannot serve a credential of {network}",
                        shown(id)
                    ),
                );
                return None;
            }
            self.used_apps[index] = true;
            return Some(Some(index));
        }
        let serving: Vec<usize> = self
            .config
            .apps
            .iter()
            .enumerate()
            .filter(|(_, a)| a.network == network)
            .map(|(i, _)| i)
            .collect();
        let need = network.description().app;
        match serving.as_slice() {
            [one] => {
                self.used_apps[*one] = true;
                Some(Some(*one))
            }
            [] if need != AppNeed::Required => Some(None),
            [] => {
                // An app that has problems of its own may be the one.
                if self.apps.values().all(|known| known.index.is_some()) {
                    fields.doubtful(
                        out,
                        format!("no app can serve it: {network} needs one, and apps lists none of {network}"),
                    );
                }
                None
            }
            _ if need == AppNeed::None || fields.get("base_url").is_some() => Some(None),
            several => {
                let ids: Vec<String> =
                    several.iter().take(10).map(|i| shown(&self.config.apps[*i].id)).collect();
                fields.problem(
                    out,
                    format!(
                        "app is missing: {network} has {}; name one of {}",
                        several.len(),
                        ids.join(", ")
                    ),
                );
                None
            }
        }
    }

    /// A member of `accounts`.
    pub(super) fn account(&mut self, file: File<'_>, cursor: &Cursor<'_>) {
        let Some(fields) = cursor.fields(&[ACCOUNT_KEYS, GRANT_KEYS], self.out) else { return };
        let id = self.id(&fields, file, Self::known_account);
        if self.account_with(id, &fields, cursor).is_none()
            && let Some((id, place)) = id
        {
            self.broken_accounts.insert(id.to_owned(), place);
        }
    }

    fn account_with(
        &mut self,
        id: Option<(&str, Place)>,
        fields: &Fields<'_>,
        cursor: &Cursor<'_>,
    ) -> Option<()> {
        let name = fields.given("name").and_then(|c| c.text(self.out));
        let network = network(fields, self.out);
        let credential = self.credential_of(fields, id, network, cursor);
        let out = &mut *self.out;
        let kind = match (fields.get("kind"), network) {
            (Some(c), Some(network)) => {
                let kinds = network.description().kinds;
                c.word(out, kinds, |text| kinds.iter().copied().find(|kind| *kind == text))
            }
            (None, Some(network)) => Some(network.description().kinds.first().copied().unwrap_or("")),
            (_, None) => None,
        };
        let external_id = fields.get("external_id").and_then(|c| c.id(out));
        let style = credential.and_then(|i| self.config.table.credential(i)).map(|c| c.style());
        let needs = match (network, kind, style) {
            (Some(network), Some(kind), Some(style)) => needs(fields, &Offer { network, kind, style }, out),
            _ => {
                fields.each("needs", out, |item, out| {
                    item.word(out, &labels_of(Capability::ALL, Capability::label), Capability::from_label);
                });
                Capabilities::NONE
            }
        };
        let purpose = fields.get("use").and_then(|c| purpose(&c, out)).unwrap_or(Use::Owned);
        let own_labels = fields.get("labels");
        let own_labels = own_labels.as_ref().and_then(|c| c.any_fields(out));
        let labels = own_labels.as_ref().map(|fields| labels(fields, out)).unwrap_or_default();
        let mut notify = addresses(fields, "notify", out);
        if notify.is_empty() {
            notify.clone_from(&self.config.global.notify);
        }
        let named = !notify.is_empty();
        let opted_out = addresses(fields, "notify_opt_out", out);
        notify.retain(|address| !opted_out.iter().any(|o| o.eq_ignore_ascii_case(address)));
        let reconnect_url =
            fields.get("reconnect_url").filter(|c| c.url(out, "https://app.example.com/reconnect").is_some());
        let reconnect_url = reconnect_url.as_ref().and_then(|c| c.text(out));
        let probe_interval = fields.get("probe_interval").and_then(|c| c.duration(out, SECOND, YEAR));
        let (id, place) = id?;
        let role = AccountSettings { network: network?, kind: kind?, needs, purpose, probe_interval };
        let (credential, opted_out) = (credential?, named && notify.is_empty());
        let notify = notify.join(",");
        let account = NewAccount {
            id,
            name,
            external_id,
            credential,
            labels: &labels,
            notify: &notify,
            opted_out,
            reconnect_url,
            role,
        };
        let added = self.config.table.add_account(&account);
        added.map_err(|Full| cursor.problem(self.out, FULL)).ok()?;
        self.accounts.push(place);
        Some(())
    }

    /// The credential that an account names, or the one that it is itself.
    fn credential_of(
        &mut self,
        fields: &Fields<'_>,
        id: Option<(&str, Place)>,
        network: Option<NetworkId>,
        account: &Cursor<'_>,
    ) -> Option<usize> {
        let own = fields.has_secret(&TOKEN);
        match fields.get("credential") {
            Some(cursor) if own => {
                cursor.problem(
                    self.out,
                    "a credential and a token of its own exclude each other; leave one of them out",
                );
                None
            }
            Some(cursor) => {
                for key in GRANT_KEYS {
                    if let Some(stray) = fields.given(key) {
                        stray.problem(self.out, "belongs to the credential that the account names");
                    }
                }
                let named = cursor.id(self.out)?;
                let Some(index) = self.config.table.find_credential(named) else {
                    if !self.broken_credentials.contains_key(named) {
                        self.unknown_credential(&cursor, named);
                    }
                    return None;
                };
                let carrier = self.config.table.credential(index)?.network();
                let carries = carrier.description().carries;
                if let Some(network) = network.filter(|n| *n != carrier && !carries.contains(&n.name())) {
                    let also: String = carries
                        .iter()
                        .filter(|c| **c != carrier.name())
                        .map(|c| format!(" and {c}"))
                        .collect();
                    let message = format!(
                        "{} is a credential of {carrier}, which carries accounts of {carrier}{also}, not of \
                         {network}",
                        shown(named)
                    );
                    cursor.problem(self.out, message);
                    return None;
                }
                Some(index)
            }
            None if own => {
                let credential = self.credential(fields, id.map_or("", |(id, _)| id), network);
                let (id, place) = id?;
                if let Some(first) = self.known_credential(id) {
                    let first = self.shown_place(first);
                    fields.get("id")?.problem(
                        self.out,
                        format!(
                            "{} is also a credential's id ({first}); an account with its own token is a \
                             credential of that id",
                            shown(id)
                        ),
                    );
                    return None;
                }
                self.add_credential(account, credential?, place)
            }
            None => {
                fields.problem(
                    self.out,
                    "names neither a credential nor a token of its own (token_file, token_env, \
                     token_command or token)",
                );
                None
            }
        }
    }

    /// An id that no credential has, as far as they have been read.
    fn unknown_credential(&mut self, cursor: &Cursor<'_>, id: &str) {
        let mut known: Vec<&str> = self.config.table.credentials().map(|c| c.id()).collect();
        known.extend(self.broken_credentials.keys().map(String::as_str));
        known.sort_unstable();
        let hint = self.out.hint(id, known.iter().copied());
        cursor.doubtful(self.out, format!("{} is not known{hint}", shown(id)));
    }

    /// Apps and credentials that nothing uses.
    fn unused(&mut self) {
        let mut used = vec![false; self.config.table.credentials().len()];
        for account in self.config.table.accounts() {
            used[account.credential_index()] = true;
        }
        let apps = self.apps.iter().filter(|(_, known)| known.index.is_some_and(|i| !self.used_apps[i]));
        let apps = apps.map(|(id, known)| ("app", id.as_str(), known.place, "credential"));
        let credentials =
            self.config.table.credentials().zip(&self.credentials).zip(used).filter(|(_, used)| !used);
        let credentials =
            credentials.map(|((credential, place), _)| ("credential", credential.id(), *place, "account"));
        for (what, id, place, by) in apps.chain(credentials) {
            let Some(path) = self.paths.get(place.file as usize).filter(|_| self.out.lists_warnings()) else {
                continue;
            };
            let message = format!("the {what} {} is used by no {by}", shown(id));
            self.out.warning(WarningKind::Unused, path, Some(place.at), String::new(), message);
        }
    }
}
