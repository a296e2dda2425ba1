//! From trees to the configuration: each section once, in the order in which they refer to each other.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use super::problem::{At, Findings, WarningKind, shown};
use super::read::{Cursor, Fields, SecretKeys};
use super::values::{
    Offer, SECOND, YEAR, addresses, default_api, default_schedule, labels, labels_of, needs, network, purpose, rate_limit, schedule, scopes,
};
use super::yaml::{Node, Value};
use super::{Account, App, Config, Credential, Global};
use crate::network::{AppNeed, NetworkId, Style};
use crate::reason::{Capabilities, Capability, Use};

/// A file's tree.
pub(super) struct Document<'t> {
    pub(super) path: &'t Path,
    pub(super) root: Node<'t>,
    /// Named on the command line, not by `account_files`.
    pub(super) main: bool,
}

const MAIN_KEYS: &[&str] = &["global", "apps", "credentials", "accounts", "account_files", "schedule"];
const ACCOUNT_FILE_KEYS: &[&str] = &["credentials", "accounts"];
const GLOBAL_KEYS: &[&str] = &["probe_interval", "probe_timeout", "probe_concurrency", "notify", "allow_private_networks"];
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
const TOKEN_SECRET: SecretKeys = SecretKeys(&["token_secret_file", "token_secret_env", "token_secret", "token_secret_command"]);

/// Where an id was first used, and what it stands for; none where that has problems of its own.
struct Known<'d> {
    file: &'d Path,
    at: At,
    index: Option<usize>,
}

/// Reads section by section.
pub(super) struct Validator<'o, 'd> {
    out: &'o mut Findings,
    /// Whether what is not found is not there. It may be when a file, a list or an id could not be read.
    complete: bool,
    config: Config,
    apps: BTreeMap<String, Known<'d>>,
    credentials: BTreeMap<String, Known<'d>>,
    accounts: HashMap<String, Known<'d>>,
    used_apps: Vec<bool>,
}

impl<'o, 'd> Validator<'o, 'd> {
    pub(super) fn new(out: &'o mut Findings, complete: bool) -> Self {
        let config = Config {
            global: Global::default(),
            apps: Vec::new(),
            credentials: Vec::new(),
            accounts: Vec::new(),
            schedule: Vec::new(),
            files: Vec::new(),
            patterns: Vec::new(),
            warnings: Vec::new(),
        };
        let (apps, credentials, accounts) = (BTreeMap::new(), BTreeMap::new(), HashMap::new());
        Self { out, complete, config, apps, credentials, accounts, used_apps: Vec::new() }
    }

    pub(super) fn run(mut self, documents: &'d [Document<'d>]) -> Config {
        for document in documents {
            let root = Cursor::root(document.path, &document.root);
            if document.main {
                root.fields(MAIN_KEYS, self.out);
            } else if !root.is_list() {
                root.fields(ACCOUNT_FILE_KEYS, self.out);
            }
        }
        let main = || documents.iter().filter(|d| d.main);
        self.only_once(main(), "global", Self::global);
        for document in main() {
            self.each(document, "apps", |this, item| this.app(document.path, item));
        }
        for document in documents {
            self.each(document, "credentials", |this, item| this.named_credential(document.path, item));
        }
        for document in documents {
            if !document.main && matches!(document.root.value, Value::List(_)) {
                for item in Cursor::root(document.path, &document.root).items(self.out) {
                    self.account(document.path, &item);
                }
            } else {
                self.each(document, "accounts", |this, item| this.account(document.path, item));
            }
        }
        self.config.schedule = default_schedule();
        self.only_once(main(), "schedule", |this, cursor| this.config.schedule = schedule(cursor, this.out));
        self.unused();
        self.config
    }

    /// Each member of a list at the top of a document.
    fn each(&mut self, document: &'d Document<'d>, section: &str, mut take: impl FnMut(&mut Self, &Cursor<'_>)) {
        let root = Cursor::root(document.path, &document.root);
        let Some(fields) = root.entries() else { return };
        if let Some(list) = fields.get(section) {
            self.complete &= list.is_list();
            for item in list.items(self.out) {
                take(self, &item);
            }
        }
    }

    /// A section that may stand in one document only.
    fn only_once<'a>(
        &mut self,
        documents: impl Iterator<Item = &'a Document<'a>>,
        section: &str,
        mut take: impl FnMut(&mut Self, &Cursor<'_>),
    ) {
        let mut first: Option<(&Path, At)> = None;
        for document in documents {
            let root = Cursor::root(document.path, &document.root);
            let Some(fields) = root.entries() else { continue };
            let Some(found) = fields.get(section) else { continue };
            if let Some((file, at)) = first {
                found.problem(self.out, format!("may stand in one file only; first at {}:{}:{}", file.display(), at.line, at.column));
            } else {
                first = Some((document.path, found.at));
                take(self, &found);
            }
        }
    }

    fn global(&mut self, cursor: &Cursor<'_>) {
        let out = &mut *self.out;
        let Some(fields) = cursor.fields(GLOBAL_KEYS, out) else { return };
        let global = &mut self.config.global;
        if let Some(d) = fields.get("probe_interval").and_then(|c| c.duration(out, SECOND, YEAR)) {
            global.probe_interval = d;
        }
        if let Some(d) = fields.get("probe_timeout").and_then(|c| c.duration(out, Duration::from_millis(100), Duration::from_secs(600))) {
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

    /// The id of an item, known from now on, and whether it was not before.
    fn id(out: &mut Findings, fields: &Fields<'_>, file: &'d Path, known: &mut impl Registry<'d>) -> Option<String> {
        let cursor = fields.required("id", out)?;
        let id = cursor.id(out)?;
        if let Some(first) = known.find(id) {
            cursor.problem(out, already_used(id, first));
            return None;
        }
        known.add(id.to_owned(), Known { file, at: cursor.at, index: None });
        Some(id.to_owned())
    }

    fn app(&mut self, file: &'d Path, cursor: &Cursor<'_>) {
        let Some(fields) = cursor.entries() else {
            self.complete = false;
            cursor.fields(APP_KEYS, self.out);
            return;
        };
        // Which keys there are depends on the network.
        let named = fields.get("network");
        let generic = named.as_ref().is_some_and(|c| matches!(&c.node.value, Value::Scalar(text) if text == GENERIC));
        let keys = if generic { [APP_KEYS, ENDPOINT_KEYS].concat() } else { APP_KEYS.to_vec() };
        if cursor.fields(&keys, self.out).is_none() {
            self.complete = false;
            return;
        }
        let id = Self::id(self.out, &fields, file, &mut self.apps);
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
        let client_id = match if needs_id { fields.required("client_id", out) } else { fields.get("client_id") } {
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
                endpoints.extend(fields.get(key).and_then(|c| c.endpoint(out)).map(|url| (key, url.to_string())));
            }
        }
        let (Some(id), Some(network), Some(api), Some(client_id), Some(api_version)) = (id, network, api, client_id, api_version) else {
            return;
        };
        if let Some(known) = self.apps.get_mut(&id) {
            known.index = Some(self.config.apps.len());
        }
        let (client_id, api_version) = (client_id.to_owned(), api_version.to_owned());
        self.config.apps.push(App { id, network, api, client_id, client_secret, api_version, base_url, rate_limit, endpoints });
        self.used_apps.push(false);
    }

    fn named_credential(&mut self, file: &'d Path, cursor: &Cursor<'_>) {
        let keys = [&["id", "network"], GRANT_KEYS].concat();
        let Some(fields) = cursor.fields(&keys, self.out) else {
            self.complete = false;
            return;
        };
        let id = Self::id(self.out, &fields, file, &mut self.credentials);
        self.complete &= id.is_some();
        let network = network(&fields, self.out);
        let credential = self.credential(&fields, id.clone().unwrap_or_default(), network);
        if let (Some(id), Some(credential)) = (id, credential) {
            if let Some(known) = self.credentials.get_mut(&id) {
                known.index = Some(self.config.credentials.len());
            }
            self.config.credentials.push(credential);
        }
    }

    /// A credential from a mapping: one of its own, or an account that has its own token.
    fn credential(&mut self, fields: &Fields<'_>, id: String, network: Option<NetworkId>) -> Option<Credential> {
        let token = fields.secret(&TOKEN, self.out);
        if !fields.has_secret(&TOKEN) {
            fields.problem(self.out, "names no token: expected one of token_file, token_env, token_command, token");
        }
        let token_secret = fields.secret(&TOKEN_SECRET, self.out);
        let app = network.and_then(|network| self.app_of(fields, network));
        let out = &mut *self.out;
        let secret_of_app = app.flatten().and_then(|i| self.config.apps.get(i)).map(|a| a.client_secret.is_some());
        if let (Some(app), true, false) = (app, fields.has_secret(&TOKEN_SECRET), secret_of_app == Some(true)) {
            let which = app
                .and_then(|i| self.config.apps.get(i))
                .map_or_else(|| "there is none".to_owned(), |a| format!("{} has none", shown(&a.id)));
            fields.problem(out, format!("OAuth 1.0a (token_secret) needs an app with a client secret; {which}"));
        }
        let connected_by = fields.get("connected_by").map(|c| c.text(out).map(str::to_owned));
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
        Some(Credential {
            id,
            network: network?,
            app: app?,
            connected_by: connected_by.flatten(),
            token: token?,
            token_secret,
            expires_at,
            refresh_expires_at,
            auto_refresh,
            scopes,
            base_url,
        })
    }

    /// The app of a credential, or that it has none; nothing where that is a problem.
    fn app_of(&mut self, fields: &Fields<'_>, network: NetworkId) -> Option<Option<usize>> {
        let out = &mut *self.out;
        if let Some(cursor) = fields.get("app") {
            let id = cursor.id(out)?;
            let Some(known) = self.apps.get(id) else {
                unknown(&cursor, id, &self.apps, self.complete, out);
                return None;
            };
            let index = known.index?;
            let other = self.config.apps[index].network;
            if other != network {
                cursor.problem(out, format!("{} is an app of {other}, which cannot serve a credential of {network}", shown(id)));
                return None;
            }
            self.used_apps[index] = true;
            return Some(Some(index));
        }
        let serving: Vec<usize> = self.config.apps.iter().enumerate().filter(|(_, a)| a.network == network).map(|(i, _)| i).collect();
        let need = network.description().app;
        match serving.as_slice() {
            [one] => {
                self.used_apps[*one] = true;
                Some(Some(*one))
            }
            [] if need != AppNeed::Required => Some(None),
            [] => {
                // An app that has problems of its own may be the one.
                let certain = self.complete && self.apps.values().all(|known| known.index.is_some());
                if certain {
                    fields.problem(out, format!("no app can serve it: {network} needs one, and apps lists none of {network}"));
                }
                None
            }
            _ if need == AppNeed::None || fields.get("base_url").is_some() => Some(None),
            several => {
                let ids: Vec<String> = several.iter().take(10).map(|i| shown(&self.config.apps[*i].id)).collect();
                fields.problem(out, format!("app is missing: {network} has {}; name one of {}", several.len(), ids.join(", ")));
                None
            }
        }
    }

    fn account(&mut self, file: &'d Path, cursor: &Cursor<'_>) {
        let keys = [ACCOUNT_KEYS, GRANT_KEYS].concat();
        let Some(fields) = cursor.fields(&keys, self.out) else { return };
        let id = Self::id(self.out, &fields, file, &mut self.accounts);
        let name = fields.given("name").map(|c| c.text(self.out).map(str::to_owned));
        let network = network(&fields, self.out);
        let credential = self.credential_of(&fields, id.as_deref(), network, file);
        let out = &mut *self.out;
        let kind = match (fields.get("kind"), network) {
            (Some(c), Some(network)) => {
                let kinds = network.description().kinds;
                c.word(out, kinds, |text| kinds.iter().copied().find(|kind| *kind == text))
            }
            (None, Some(network)) => Some(network.description().kinds.first().copied().unwrap_or("")),
            (_, None) => None,
        };
        let external_id = fields.get("external_id").and_then(|c| c.id(out)).map(str::to_owned);
        let style = credential.and_then(|i| self.config.credentials.get(i)).map(|c| self.style(c));
        let needs = match (network, kind, style) {
            (Some(network), Some(kind), Some(style)) => needs(&fields, &Offer { network, kind, style }, self.out),
            _ => {
                fields.each("needs", self.out, |item, out| {
                    item.word(out, &labels_of(Capability::ALL, Capability::label), Capability::from_label);
                });
                Capabilities::NONE
            }
        };
        let out = &mut *self.out;
        let purpose = fields.get("use").and_then(|c| purpose(&c, out)).unwrap_or(Use::Owned);
        let labels = fields.get("labels").map(|c| labels(&c, out)).unwrap_or_default();
        let mut notify = addresses(&fields, "notify", out);
        if notify.is_empty() {
            notify.clone_from(&self.config.global.notify);
        }
        let named = !notify.is_empty();
        let opted_out = addresses(&fields, "notify_opt_out", out);
        notify.retain(|address| !opted_out.iter().any(|o| o.eq_ignore_ascii_case(address)));
        let reconnect_url = fields.get("reconnect_url").filter(|c| c.url(out, "https://app.example.com/reconnect").is_some());
        let reconnect_url = reconnect_url.and_then(|c| c.text(out)).map(str::to_owned);
        let probe_interval = fields.get("probe_interval").and_then(|c| c.duration(out, SECOND, YEAR));
        if let (Some(id), Some(network), Some(kind), Some(credential)) = (id, network, kind, credential) {
            self.config.accounts.push(Account {
                name: name.flatten().unwrap_or_else(|| id.clone()),
                id,
                network,
                kind: kind.to_owned(),
                external_id,
                credential,
                needs,
                purpose,
                labels,
                opted_out: named && notify.is_empty(),
                notify,
                reconnect_url,
                probe_interval,
            });
        }
    }

    /// The credential that an account names, or the one that it is itself.
    fn credential_of(&mut self, fields: &Fields<'_>, id: Option<&str>, network: Option<NetworkId>, file: &'d Path) -> Option<usize> {
        let own = fields.has_secret(&TOKEN);
        match fields.get("credential") {
            Some(cursor) if own => {
                cursor.problem(self.out, "a credential and a token of its own exclude each other; leave one of them out");
                None
            }
            Some(cursor) => {
                for key in GRANT_KEYS {
                    if let Some(stray) = fields.given(key) {
                        stray.problem(self.out, "belongs to the credential that the account names");
                    }
                }
                let named = cursor.id(self.out)?;
                let Some(known) = self.credentials.get(named) else {
                    unknown(&cursor, named, &self.credentials, self.complete, self.out);
                    return None;
                };
                let index = known.index?;
                let carrier = self.config.credentials[index].network;
                let carries = carrier.description().carries;
                if let Some(network) = network.filter(|n| *n != carrier && !carries.contains(&n.name())) {
                    let also: String = carries.iter().filter(|c| **c != carrier.name()).map(|c| format!(" and {c}")).collect();
                    let message = format!(
                        "{} is a credential of {carrier}, which carries accounts of {carrier}{also}, not of {network}",
                        shown(named)
                    );
                    cursor.problem(self.out, message);
                    return None;
                }
                Some(index)
            }
            None if own => {
                let credential = self.credential(fields, id.unwrap_or_default().to_owned(), network);
                let (id, cursor) = (id?, fields.get("id")?);
                if let Some(first) = self.credentials.get(id) {
                    let place = format!("{}:{}:{}", first.file.display(), first.at.line, first.at.column);
                    cursor.problem(
                        self.out,
                        format!(
                            "{} is also a credential's id ({place}); an account with its own token is a credential of that id",
                            shown(id)
                        ),
                    );
                    return None;
                }
                let index = self.config.credentials.len();
                self.config.credentials.push(credential?);
                self.credentials.insert(id.to_owned(), Known { file, at: cursor.at, index: Some(index) });
                Some(index)
            }
            None => {
                fields
                    .problem(self.out, "names neither a credential nor a token of its own (token_file, token_env, token_command or token)");
                None
            }
        }
    }

    fn style(&self, credential: &Credential) -> Style<'static> {
        let app = credential.app.and_then(|i| self.config.apps.get(i));
        Style { api: app.map_or_else(|| default_api(credential.network), |a| a.api), oauth1: credential.token_secret.is_some() }
    }

    /// Apps and credentials that nothing uses.
    fn unused(&mut self) {
        let mut used = vec![false; self.config.credentials.len()];
        for account in &self.config.accounts {
            used[account.credential] = true;
        }
        let unused = |known: &BTreeMap<String, Known<'d>>, used: &[bool], what: &str, by: &str, out: &mut Findings| {
            for (id, known) in known {
                if known.index.is_some_and(|i| !used[i]) {
                    out.warning(
                        WarningKind::Unused,
                        known.file,
                        Some(known.at),
                        String::new(),
                        format!("the {what} {} is used by no {by}", shown(id)),
                    );
                }
            }
        };
        unused(&self.apps, &self.used_apps, "app", "credential", self.out);
        unused(&self.credentials, &used, "credential", "account", self.out);
    }
}

/// Ids that were used.
trait Registry<'d> {
    fn find(&self, id: &str) -> Option<&Known<'d>>;
    fn add(&mut self, id: String, known: Known<'d>);
}

impl<'d> Registry<'d> for BTreeMap<String, Known<'d>> {
    fn find(&self, id: &str) -> Option<&Known<'d>> {
        self.get(id)
    }
    fn add(&mut self, id: String, known: Known<'d>) {
        self.insert(id, known);
    }
}

impl<'d> Registry<'d> for HashMap<String, Known<'d>> {
    fn find(&self, id: &str) -> Option<&Known<'d>> {
        self.get(id)
    }
    fn add(&mut self, id: String, known: Known<'d>) {
        self.insert(id, known);
    }
}

fn already_used(id: &str, first: &Known<'_>) -> String {
    format!("{} is already used at {}:{}:{}", shown(id), first.file.display(), first.at.line, first.at.column)
}

/// An id that refers to nothing.
fn unknown(cursor: &Cursor<'_>, id: &str, known: &BTreeMap<String, Known<'_>>, complete: bool, out: &mut Findings) {
    // What is not found may stand in the file that could not be read.
    if complete {
        let hint = out.hint(id, known.keys().map(String::as_str));
        cursor.problem(out, format!("{} is not known{hint}", shown(id)));
    }
}
