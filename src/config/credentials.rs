//! The members of the section `credentials`, and accounts that have a token of their own.

use url::Url;

use super::apps::{GENERIC, default_api, network};
use super::field::{Field, Mapping};
use super::keys;
use super::probe_rules::probe_rules;
use super::quoting::shown;
use super::secrets::secret_source;
use super::validator::{Origin, Rows, SourceFile, Validator};
use super::yaml::Value;
use crate::inventory::{CredentialSettings, Full, NewCredential, SecretSource};
use crate::network::parse::split_scopes;
use crate::network::{AppNeed, NetworkId};

/// The problem of the credential or account that no longer fits into the table.
pub(super) const FULL: &str = "there is no room for more: the texts of all accounts may take 4 GiB";

impl Validator<'_> {
    /// Returns whether it was added.
    pub(super) fn named_credential(&mut self, file: SourceFile<'_>, field: &Field<'_>) -> bool {
        let begin = self.mark(file);
        let mapping = field.mapping(keys::CREDENTIAL);
        let Some(mapping) = &mapping else {
            self.complete = false;
            self.without_id(file);
            return self.end_row(file, begin, false);
        };
        let id = self.id(mapping, file, Self::defined_credential);
        self.complete &= id.is_some();
        let credential = self.credential(mapping, id.map_or("", |(id, _)| id), network(mapping));
        let added = id.zip(credential).and_then(|((_, at), new)| self.add_credential(field, new, at));
        let added = self.end_row(file, begin, added.is_some());
        if let Some((id, origin)) = id.filter(|_| !added) {
            self.broken_credentials.insert(id.to_owned(), origin);
        }
        added
    }

    pub(super) fn defined_credential(&self, id: &str) -> Option<Origin> {
        let origin = self.config.table.find_credential(id).and_then(|index| self.credentials.get(index));
        origin.or_else(|| self.broken_credentials.get(id)).copied()
    }

    fn add_credential(&mut self, field: &Field<'_>, new: NewCredential<'_>, at: Origin) -> Option<usize> {
        let added = self.config.table.add_credential(new);
        if added.is_ok() {
            self.credentials.push(at);
        }
        added.map_err(|Full| field.problem(FULL)).ok()
    }

    /// What the keys of [`keys::GRANT`] say.
    fn credential<'m>(
        &mut self,
        mapping: &'m Mapping<'m>,
        id: &'m str,
        network: Option<NetworkId>,
    ) -> Option<NewCredential<'m>> {
        let token = secret_source(mapping, keys::TOKEN, self.rows);
        if !mapping.has_any(keys::TOKEN) {
            mapping.field.problem(format!("names no token: expected one of {}", keys::TOKEN.join(", ")));
        }
        let token_secret = secret_source(mapping, keys::TOKEN_SECRET, self.rows);
        let app = network.and_then(|network| self.app_of(mapping, network));
        let issuer = app.flatten().and_then(|i| self.config.apps.get(i));
        if app.is_some()
            && mapping.has_any(keys::TOKEN_SECRET)
            && issuer.is_none_or(|app| app.client_secret.is_none())
        {
            let which =
                issuer.map_or("there is none".to_owned(), |app| format!("{} has none", shown(&app.id)));
            let message = format!("OAuth 1.0a (token_secret) needs an app with a client secret; {which}");
            mapping.field.problem(message);
        }
        let connected_by = mapping.get("connected_by").and_then(|f| f.text());
        let expires_at = mapping.get("expires_at").and_then(|f| f.expiry());
        let refresh_expires_at = mapping.get("refresh_expires_at").and_then(|f| f.expiry());
        let auto_refresh = mapping.get("auto_refresh").and_then(|f| f.boolean()).unwrap_or(false);
        let scopes = mapping.get("scopes").map(|f| scopes(&f));
        let base_url = mapping.get("base_url").and_then(|f| match network {
            Some(n) if n.description().app == AppNeed::Required => {
                f.reject(format!("belongs to the app: {n} credentials have one"))
            }
            _ => base_url(&f, &mut self.last_base_url),
        });
        let probe_rules = probe_rules(mapping);
        let (network, app) = (network?, app?);
        if network.name() != GENERIC {
            for rule in keys::PROBE_RULES.iter().filter_map(|key| mapping.get(key)) {
                rule.problem(format!("is for {GENERIC} only: the answers of {network} are known"));
            }
        } else if app.is_none() && !mapping.has_any(&["base_url"]) {
            let message = "has nothing to ask: add base_url, or app with the id of an app that has endpoints";
            mapping.field.problem(message);
        }
        let api = issuer.map_or_else(|| default_api(network), |app| app.api);
        let app_id = issuer.map_or_else(String::new, |app| app.id.clone());
        let grant =
            CredentialSettings { network, app, app_id, api, auto_refresh, scopes, base_url, probe_rules };
        let token = token?;
        Some(NewCredential { id, connected_by, token, token_secret, expires_at, refresh_expires_at, grant })
    }

    /// The index of a credential's app, or `Some(None)` if it has no app; none if there is a
    /// problem.
    fn app_of(&mut self, mapping: &Mapping<'_>, network: NetworkId) -> Option<Option<usize>> {
        if let Some(field) = mapping.get("app") {
            return self.named_app(&field, network).map(Some);
        }
        let apps = self.config.apps.iter().enumerate();
        let serving: Vec<usize> = apps.filter(|(_, a)| a.network == network).map(|(i, _)| i).collect();
        let need = network.description().app;
        match serving.as_slice() {
            [one] => {
                self.used_apps[*one] = true;
                Some(Some(*one))
            }
            [] if need != AppNeed::Required => Some(None),
            [] => {
                // An app that has problems itself may be the one.
                if self.apps.values().all(|app| app.index.is_some()) {
                    let message =
                        format!("no app can serve it: {network} needs one, and apps lists none of {network}");
                    self.findings.unresolved(mapping.field.finding(message));
                }
                None
            }
            _ if need == AppNeed::None || mapping.get("base_url").is_some() => Some(None),
            several => {
                let ids: Vec<String> =
                    several.iter().take(10).map(|i| shown(&self.config.apps[*i].id)).collect();
                let (count, ids) = (several.len(), ids.join(", "));
                mapping.field.reject(format!("app is missing: {network} has {count}; name one of {ids}"))
            }
        }
    }

    fn named_app(&mut self, field: &Field<'_>, network: NetworkId) -> Option<usize> {
        let id = field.id()?;
        let Some(app) = self.apps.get(id) else {
            let hint = self.findings.hint(id, self.apps.keys().map(String::as_str));
            self.findings.unresolved(field.finding(format!("{} is not known{hint}", shown(id))));
            return None;
        };
        let index = app.index?;
        let other = self.config.apps[index].network;
        if other != network {
            let id = shown(id);
            let message = format!("{id} is an app of {other}, which cannot serve a credential of {network}");
            return field.reject(message);
        }
        self.used_apps[index] = true;
        Some(index)
    }

    /// The index of the credential that an account names, or of the one that it contains.
    pub(super) fn credential_of(
        &mut self,
        mapping: &Mapping<'_>,
        id: Option<(&str, Origin)>,
        network: Option<NetworkId>,
    ) -> Option<usize> {
        match (mapping.get("credential"), mapping.has_any(keys::TOKEN)) {
            (Some(field), true) if self.rows == Rows::Listed => {
                self.listed_credential(&field, mapping, id, network)
            }
            (Some(field), true) => {
                field.reject("a credential and a token of its own exclude each other; leave one of them out")
            }
            (Some(field), false) => {
                for key in keys::GRANT.iter().copied().flatten() {
                    if let Some(stray) = mapping.given(key) {
                        stray.problem("belongs to the credential that the account names");
                    }
                }
                self.shared_credential(&field, network)
            }
            (None, true) => self.own_credential(mapping, id, network),
            (None, false) => mapping.field.reject(match self.rows {
                Rows::Listed => "has neither a token nor the id of a credential",
                Rows::Written | Rows::Stored => {
                    "names neither a credential nor a token of its own (token_file, token_env, \
                         token_command or token)"
                }
            }),
        }
    }

    fn shared_credential(&mut self, field: &Field<'_>, network: Option<NetworkId>) -> Option<usize> {
        let id = field.id()?;
        let Some(index) = self.config.table.find_credential(id) else {
            if !self.broken_credentials.contains_key(id) {
                let mut known: Vec<&str> = self.config.table.credentials().map(|c| c.id()).collect();
                known.extend(self.broken_credentials.keys().map(String::as_str));
                known.sort_unstable();
                let hint = self.findings.hint(id, known.iter().copied());
                self.findings.unresolved(field.finding(format!("{} is not known{hint}", shown(id))));
            }
            return None;
        };
        let carrier = self.config.table.credential(index)?.network();
        let carries = carrier.description().carries;
        if let Some(network) = network.filter(|n| *n != carrier && !carries.contains(&n.name())) {
            let also = carries.iter().filter(|c| **c != carrier.name());
            let also: String = also.map(|c| format!(" and {c}")).collect();
            let id = shown(id);
            let message = format!(
                "{id} is a credential of {carrier}, which carries accounts of {carrier}{also}, not of \
                 {network}"
            );
            return field.reject(message);
        }
        Some(index)
    }

    fn own_credential(
        &mut self,
        mapping: &Mapping<'_>,
        id: Option<(&str, Origin)>,
        network: Option<NetworkId>,
    ) -> Option<usize> {
        let credential = self.credential(mapping, id.map_or("", |(id, _)| id), network);
        let (id, origin) = id?;
        if self.rows == Rows::Listed {
            return self.login(&mapping.field, credential?, origin);
        }
        if let Some(first) = self.defined_credential(id) {
            let message = format!(
                "{} is also a credential's id ({}); an account with its own token is a credential of that id",
                shown(id),
                self.shown_origin(first)
            );
            return mapping.get("id")?.reject(message);
        }
        self.add_credential(&mapping.field, credential?, origin)
    }
}

/// Rows of a list may repeat a login.
impl Validator<'_> {
    /// The credential that a row names and describes at the same time.
    fn listed_credential(
        &mut self,
        field: &Field<'_>,
        mapping: &Mapping<'_>,
        id: Option<(&str, Origin)>,
        network: Option<NetworkId>,
    ) -> Option<usize> {
        let name = field.id()?;
        if self.config.table.find_credential(name).is_some() {
            return self.shared_credential(field, network);
        }
        let credential = self.credential(mapping, name, network)?;
        self.add_credential(&mapping.field, credential, id?.1)
    }

    /// The credential of an earlier row with the same token, or a new one.
    fn login(&mut self, field: &Field<'_>, new: NewCredential<'_>, origin: Origin) -> Option<usize> {
        let SecretSource::Inline(token) = &new.token else { return None };
        let key = token.keyed_hash(&self.hasher);
        let same = |old: &usize| {
            let old = self.config.table.credential(*old);
            old.is_some_and(|old| {
                old.token() == new.token
                    && old.token_secret() == new.token_secret.as_ref()
                    && *old.settings() == new.grant
            })
        };
        if let Some(index) = self.logins.get(&key).copied().filter(same) {
            return Some(index);
        }
        if let Some(first) = self.defined_credential(new.id) {
            return field.reject(format!(
                "{} is also a credential's id ({})",
                shown(new.id),
                self.shown_origin(first)
            ));
        }
        let index = self.add_credential(field, new, origin)?;
        self.logins.insert(key, index);
        Some(index)
    }
}

/// `last` is the last one that was right: many credentials have the same.
fn base_url(field: &Field<'_>, last: &mut Option<(String, Url)>) -> Option<Url> {
    if let (Some((text, url)), Value::Scalar(same)) = (&*last, &field.node.value)
        && text == same
    {
        return Some(url.clone());
    }
    let url = field.base_url()?;
    *last = Some((field.text()?.to_owned(), url.clone()));
    Some(url)
}

/// Scopes as a list, or as the text that token responses have.
fn scopes(field: &Field<'_>) -> Vec<String> {
    if !field.is_list() {
        return field.scalar("a list of scopes").map(split_scopes).unwrap_or_default();
    }
    let items: Vec<Field<'_>> = field.items().collect();
    items.iter().filter_map(|item| item.text()).map(str::to_owned).collect()
}
