//! Who may send reports: the section `reporters`.

use super::apps::network_name;
use super::field::Field;
use super::keys;
use super::quoting::shown;
use super::secrets::secret_source;
use super::validator::Rows;
use crate::inventory::SecretSource;
use crate::network::NetworkId;

/// A product that may report what it saw when it used connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReporterSettings {
    pub id: String,
    pub token: SecretSource,
    /// Empty: all networks.
    pub networks: Vec<NetworkId>,
    /// The ids of accounts that it may report on. Empty: all accounts.
    pub accounts: Vec<String>,
}

/// Adds a reporter to those that are known already.
pub(super) fn reporter(field: &Field<'_>, known: &mut Vec<ReporterSettings>) {
    let Some(mapping) = field.mapping(&[keys::REPORTER, keys::REPORTER_TOKEN]) else { return };
    let id = mapping.required("id").and_then(|f| match f.id()? {
        id if known.iter().any(|other| other.id == id) => {
            f.reject(format!("the id {} is already used", shown(id)))
        }
        id => Some(id.to_owned()),
    });
    if !mapping.has_any(keys::REPORTER_TOKEN) {
        field.problem(format!("names no token: expected one of {}", keys::REPORTER_TOKEN.join(", ")));
    }
    let token = secret_source(&mapping, keys::REPORTER_TOKEN, Rows::Written);
    let (mut networks, mut accounts) = (Vec::new(), Vec::new());
    mapping.each("networks", |item| networks.extend(network_name(item)));
    mapping.each("accounts", |item| accounts.extend(item.id().map(str::to_owned)));
    for (key, is_empty) in [("networks", networks.is_empty()), ("accounts", accounts.is_empty())] {
        // An empty list must not mean everything.
        if let Some(list) = mapping.given(key).filter(|list| is_empty && !list.has_items()) {
            list.problem("is empty; leave the key out to allow all");
        }
    }
    if let (Some(id), Some(token)) = (id, token) {
        known.push(ReporterSettings { id, token, networks, accounts });
    }
}
