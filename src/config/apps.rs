//! The members of the section `apps`.

use std::time::Duration;

use super::field::{Field, Mapping};
use super::keys;
use super::probe_rules::probe_rules;
use super::quoting::shown;
use super::secrets::secret_source;
use super::validator::{DefinedApp, Rows, SourceFile, Validator};
use super::yaml::Value;
use crate::inventory::{App, RateLimit};
use crate::model::Timestamp;
use crate::network::{AppNeed, NetworkId};

/// The network whose provider is described by its endpoints.
pub(super) const GENERIC: &str = "oauth2";

impl Validator<'_> {
    pub(super) fn app(&mut self, file: SourceFile<'_>, field: &Field<'_>) {
        // Which keys are allowed depends on the network.
        let named = |m: &Mapping<'_>| {
            m.get("network").is_some_and(|f| matches!(&f.node.value, Value::Scalar(text) if text == GENERIC))
        };
        let generic = field.as_mapping().is_some_and(|m| named(&m));
        let allowed = if generic { keys::GENERIC_APP } else { keys::APP };
        let Some(mapping) = field.mapping(allowed) else {
            self.complete = false;
            return;
        };
        let id = self.id(&mapping, file, |this, id| this.apps.get(id).map(|app| app.origin));
        if let Some((id, origin)) = id {
            self.apps.insert(id.to_owned(), DefinedApp { origin, index: None });
        }
        let network = network(&mapping);
        // An app without id or network may be the one that a credential refers to.
        self.complete &= id.is_some() && network.is_some();
        let api = api(&mapping, network);
        let client_id = client_id(&mapping, network);
        let client_secret = secret_source(&mapping, keys::CLIENT_SECRET, Rows::Written);
        if let Some(network) = network.filter(|n| n.description().needs_secret)
            && !mapping.has_any(keys::CLIENT_SECRET)
        {
            let message = format!(
                "client_secret_file is missing: {network} tells about a token only to an app with its secret"
            );
            mapping.field.problem(message);
        }
        let api_version = api_version(&mapping, network);
        warn_if_ended(&mapping, field, network, api_version.as_deref());
        let base_url = mapping.get("base_url").and_then(|f| f.base_url());
        let rate_limit = mapping.get("rate_limit").and_then(|f| rate_limit(&f));
        let mut endpoints = Vec::new();
        for key in keys::ENDPOINTS.iter().copied().filter(|_| generic) {
            let url = mapping.get(key).and_then(|f| f.endpoint());
            endpoints.extend(url.map(|url| (key, url.to_string())));
        }
        let probe_rules = probe_rules(&mapping);
        if generic {
            probes_something(&mapping);
        }
        let (Some((id, _)), Some(network), Some(api), Some(client_id), Some(api_version)) =
            (id, network, api, client_id, api_version)
        else {
            return;
        };
        if let Some(app) = self.apps.get_mut(id) {
            app.index = Some(self.config.apps.len());
        }
        self.config.apps.push(App {
            id: id.to_owned(),
            network,
            api,
            client_id,
            client_secret,
            api_version,
            base_url,
            rate_limit,
            endpoints,
            probe_rules,
        });
        self.used_apps.push(false);
    }
}

/// An app of a generic provider tells what to ask; its rules are about the answers of a probe URL.
fn probes_something(mapping: &Mapping<'_>) {
    let endpoints = mapping.has_any(keys::ENDPOINTS);
    if !endpoints && !mapping.has_any(&["base_url"]) {
        let message = format!("has nothing to ask: add one of {}, base_url", keys::ENDPOINTS.join(", "));
        mapping.field.problem(message);
    }
    let probed = mapping.has_any(&["probe_url"]) || !endpoints;
    for rule in keys::PROBE_RULES.iter().filter_map(|key| mapping.get(key)).filter(|_| !probed) {
        rule.problem("is about the answers of probe_url, which is missing");
    }
}

pub(super) fn network(mapping: &Mapping<'_>) -> Option<NetworkId> {
    network_name(&mapping.required("network")?)
}

pub(super) fn network_name(field: &Field<'_>) -> Option<NetworkId> {
    let text = field.scalar("the name of a network")?;
    if let Some(network) = NetworkId::from_name(text) {
        return Some(network);
    }
    let names: Vec<&str> = NetworkId::all()
        .flat_map(|n| std::iter::once(n.name()).chain(n.description().aliases.iter().copied()))
        .collect();
    field.word(&names, |_| None)
}

/// The first of the network's APIs; empty if it has one only.
pub(super) fn default_api(network: NetworkId) -> &'static str {
    network.description().apis.first().copied().unwrap_or("")
}

fn api(mapping: &Mapping<'_>, network: Option<NetworkId>) -> Option<&'static str> {
    let (Some(field), Some(network)) = (mapping.get("api"), network) else {
        return Some(network.map_or("", default_api));
    };
    let apis = network.description().apis;
    if apis.is_empty() {
        return field.reject(format!("{network} has one API only; leave the key out"));
    }
    field.word(apis, |text| apis.iter().copied().find(|api| *api == text))
}

fn client_id(mapping: &Mapping<'_>, network: Option<NetworkId>) -> Option<String> {
    let needed = network.is_some_and(|n| n.description().app == AppNeed::Required);
    let field = if needed { mapping.required("client_id") } else { mapping.get("client_id") };
    field.map_or(Some(""), |f| f.text()).map(str::to_owned)
}

fn api_version(mapping: &Mapping<'_>, network: Option<NetworkId>) -> Option<String> {
    let Some(field) = mapping.get("api_version") else {
        return Some(network.and_then(|n| n.description().api_version).unwrap_or("").to_owned());
    };
    let text = field.text()?;
    let description = network.map(NetworkId::description);
    let fits = |text: &str| match description.filter(|d| d.api_version.is_some()) {
        Some(description) => description.is_version(text),
        // It becomes part of the path of requests.
        None => text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')),
    };
    if fits(text) {
        return Some(text.to_owned());
    }
    let like = description.and_then(|d| d.api_version).unwrap_or("v1.0");
    let meant = [format!("v{text}"), format!("v{text}.0"), format!("{text}.0"), text.replace('-', "")];
    match meant.iter().find(|text| fits(text)) {
        Some(meant) => field.reject(format!("is not a version like {like}; write {meant}")),
        None => field.reject(format!("is not a version like {like}")),
    }
}

fn warn_if_ended(mapping: &Mapping<'_>, app: &Field<'_>, network: Option<NetworkId>, version: Option<&str>) {
    let Some((network, version)) = network.zip(version) else { return };
    let ended = network.description().version_end(version).filter(|end| *end <= Timestamp::now());
    if let Some(end) = ended {
        let place = mapping.get("api_version");
        let message =
            format!("{network} ended the API version {version} on {}", end.utc().format("%Y-%m-%d"));
        place.as_ref().unwrap_or(app).warning(message);
    }
}

fn rate_limit(field: &Field<'_>) -> Option<RateLimit> {
    let text = field.scalar("a rate limit like 20/s")?;
    let limit = text.split_once('/').and_then(|(count, unit)| {
        let seconds = match unit.trim() {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        let count = count.trim().parse().ok().filter(|n: &u32| *n > 0)?;
        Some(RateLimit { count, per: Duration::from_secs(seconds) })
    });
    limit.or_else(|| {
        let wrong = "is not a rate limit; expected one like 20/s, 200/m, 4800/h or 10000/d";
        field.reject(format!("{} {wrong}", shown(text)))
    })
}
