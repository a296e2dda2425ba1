//! The accounts: members of the section `accounts`, or of an account file that is a list.

use super::apps::network;
use super::credentials::FULL;
use super::field::{Field, Mapping, is_name};
use super::keys;
use super::people::account_language;
use super::validator::{Origin, SECOND, SourceFile, Validator, YEAR};
use super::yaml::Value;
use crate::inventory::{AccountSettings, Full, INFO_LABELS, NewAccount};
use crate::model::{Capabilities, Capability, Use};
use crate::network::{NetworkId, Style};

/// Maximum number of labels of an account. They are repeated on every alert.
const MAX_LABELS: usize = 32;
/// Maximum length of a label's name, in characters.
const MAX_LABEL_NAME: usize = 64;
/// Maximum length of a product's state, which is the value of a label.
pub(super) const MAX_STATE: usize = 64;

/// Labels that metrics and alerts have already, or that Prometheus and Alertmanager set.
const RESERVED_LABELS: [&[&str]; 5] = [
    &["account", "network", "reason", "capability", "scope", "clock", "bucket"],
    &["notice", "since", "news", "meaning", "fixed_by", "advice", "cause", "severity"],
    &["moment", "urgent", "down_since", "utc_offset"],
    &["alertname", "alertstate", "job", "instance", "le", "quantile"],
    INFO_LABELS,
];

impl Validator<'_> {
    /// Returns whether it was added.
    pub(super) fn account(&mut self, file: SourceFile<'_>, field: &Field<'_>) -> bool {
        let begin = self.mark(file);
        let mapping = field.mapping(keys::ACCOUNT);
        let Some(mapping) = &mapping else {
            self.without_id(file);
            return self.end_row(file, begin, false);
        };
        let id = self.id(mapping, file, Self::defined_account);
        let added = self.account_with(id, mapping).is_some();
        let added = self.end_row(file, begin, added);
        if let Some((id, origin)) = id.filter(|_| !added) {
            self.broken_accounts.insert(id.to_owned(), origin);
        }
        added
    }

    pub(super) fn defined_account(&self, id: &str) -> Option<Origin> {
        let origin = self.config.table.find(id).and_then(|index| self.accounts.get(index));
        origin.or_else(|| self.broken_accounts.get(id)).copied()
    }

    fn account_with(&mut self, id: Option<(&str, Origin)>, mapping: &Mapping<'_>) -> Option<()> {
        let name = mapping.given("name").and_then(|f| f.text());
        let network = network(mapping);
        let credential = self.credential_of(mapping, id, network);
        let kind = network.and_then(|network| kind(mapping, network));
        let external_id = mapping.get("external_id").and_then(|f| f.id());
        let style = credential.and_then(|i| self.config.table.credential(i)).map(|c| c.style());
        let needs = match (network, kind, style) {
            (Some(network), Some(kind), Some(style)) => needs(mapping, network, kind, style),
            _ => {
                mapping.each("needs", |item| _ = capability(item));
                Capabilities::NONE
            }
        };
        let purpose = mapping.get("use").and_then(|f| purpose(&f)).unwrap_or(Use::Owned);
        let own_labels = mapping.get("labels");
        let own_labels = own_labels.as_ref().and_then(|f| f.open_mapping());
        let labels = own_labels.as_ref().map(|m| self.labels(m)).unwrap_or_default();
        let mut notify = addresses(mapping, "notify");
        if notify.is_empty() {
            notify.clone_from(&self.config.global.notify);
        }
        let named = !notify.is_empty();
        let without = addresses(mapping, "notify_opt_out");
        notify.retain(|address| !without.iter().any(|o| o.eq_ignore_ascii_case(address)));
        let reconnect_url = mapping.get("reconnect_url");
        let reconnect_url = reconnect_url.as_ref().and_then(|f| self.reconnect_url(f));
        let state = mapping.get("state");
        let source_state = state.as_ref().and_then(source_state);
        let language = mapping.get("language").and_then(|f| account_language(&f, self.rows));
        let probe_interval = mapping.get("probe_interval").and_then(|f| f.duration(SECOND, YEAR));
        let next_use = mapping.get("next_use").and_then(|f| f.instant());
        let (id, origin) = id?;
        let account = NewAccount {
            id,
            name,
            external_id,
            credential: credential?,
            labels: &labels,
            notify: &notify.join(","),
            opted_out: named && notify.is_empty(),
            reconnect_url,
            source_state,
            next_use,
            role: AccountSettings {
                network: network?,
                kind: kind?,
                needs,
                purpose,
                probe_interval,
                language,
            },
        };
        let added = self.config.table.add_account(&account);
        added.map_err(|Full| mapping.field.problem(FULL)).ok()?;
        self.accounts.push(origin);
        Some(())
    }

    fn labels(&mut self, mapping: &Mapping<'_>) -> Vec<u32> {
        let mut labels = Vec::with_capacity(mapping.len());
        for (name, value) in mapping.all() {
            // One that another account has is right.
            if let Value::Scalar(text) = &value.node.value
                && is_name(name)
                && let Some(known) = self.config.table.find_label(name, text)
            {
                labels.push(known);
            } else if let Some(text) = label(name, &value) {
                let added = self.config.table.put_label(name, text);
                labels.extend(added.map_err(|Full| mapping.field.problem(FULL)));
            }
        }
        if labels.len() > MAX_LABELS {
            let message = format!("holds {} labels; at most {MAX_LABELS} are allowed", labels.len());
            mapping.field.problem(message);
        }
        labels
    }

    fn reconnect_url<'f>(&mut self, field: &Field<'f>) -> Option<&'f str> {
        let text = field.text()?;
        // Most differ only in what follows the last slash.
        let known = self.reconnect_folder.as_ref().and_then(|folder| text.strip_prefix(&**folder));
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if !known.is_some_and(|name| name.bytes().all(plain)) {
            let url = field.url("https://app.example.com/reconnect")?;
            let (begin, _) = text.rsplit_once('/')?;
            let is_folder = url.as_str() == text && url.query().is_none() && url.fragment().is_none();
            self.reconnect_folder = is_folder.then(|| format!("{begin}/"));
        }
        Some(text)
    }
}

/// What the product thinks of the account that it comes from: a word or two.
fn source_state<'m>(field: &Field<'m>) -> Option<&'m str> {
    let text = field.text()?;
    if text.len() > MAX_STATE {
        return field.reject(format!("is longer than {MAX_STATE} bytes"));
    }
    Some(text)
}

/// The kind of an account, by default the network's first.
fn kind(mapping: &Mapping<'_>, network: NetworkId) -> Option<&'static str> {
    let kinds = network.description().kinds;
    match mapping.get("kind") {
        Some(field) => field.word(kinds, |text| kinds.iter().copied().find(|kind| *kind == text)),
        None => Some(kinds.first().copied().unwrap_or("")),
    }
}

fn capability(field: &Field<'_>) -> Option<Capability> {
    let names: Vec<&str> = Capability::ALL.iter().map(|c| c.label()).collect();
    field.word(&names, Capability::from_label)
}

pub(super) fn purpose(field: &Field<'_>) -> Option<Use> {
    let names: Vec<&str> = Use::ALL.iter().map(|u| u.label()).collect();
    field.word(&names, Use::from_label)
}

fn needs(mapping: &Mapping<'_>, network: NetworkId, kind: &str, style: Style<'_>) -> Capabilities {
    // Networks offer nothing for a kind whose API has been shut down. Its accounts are allowed, so that
    // their state can say so.
    let shut_down = !network.network().supports(kind);
    let offers = |capability| network.network().rights(style, kind, capability).is_some();
    if mapping.get("needs").is_none() {
        return Capabilities::DEFAULT.iter().filter(|c| shut_down || offers(*c)).collect();
    }
    let mut needs = Vec::new();
    mapping.each("needs", |item| {
        let Some(capability) = capability(item) else { return };
        if shut_down || offers(capability) {
            needs.push(capability);
            return;
        }
        let offered: Vec<&str> = Capability::ALL.iter().filter(|c| offers(**c)).map(|c| c.label()).collect();
        let offered = if offered.is_empty() { "nothing".to_owned() } else { offered.join(", ") };
        item.problem(format!("{network} does not offer {capability} for a {kind}; it offers {offered}"));
    });
    needs.into_iter().collect()
}

/// The value of a label.
fn label<'a>(name: &str, value: &Field<'a>) -> Option<&'a str> {
    if !is_name(name) || name.len() > MAX_LABEL_NAME {
        let message = format!(
            "is not the name of a label: letters, digits and _, at most {MAX_LABEL_NAME} of them, no digit \
             first"
        );
        value.reject(message)
    } else if name.starts_with("__") {
        value.reject("names that begin with __ belong to Prometheus")
    } else if RESERVED_LABELS.iter().any(|labels| labels.contains(&name)) {
        value.reject("this label is taken; choose another name")
    } else {
        value.text()
    }
}

/// Mail addresses in the order of the file, without duplicates.
pub(super) fn addresses(mapping: &Mapping<'_>, key: &str) -> Vec<String> {
    let mut addresses: Vec<String> = Vec::new();
    mapping.each(key, |item| {
        if let Some(address) = item.mail_address()
            && !addresses.iter().any(|a| a.eq_ignore_ascii_case(address))
        {
            addresses.push(address.to_owned());
        }
    });
    addresses
}
