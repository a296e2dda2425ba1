//! The configurations of the demo and of tests: YAML with an account for each case of the fixtures.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

use super::fixtures::{Case, Fixtures, fill};
use super::server::{Simulator, fixture_token};
use crate::model::Timestamp;
use crate::network::{AppNeed, NetworkId};

/// The external id of a case that names none.
pub const DEMO_ID: &str = "1000001";

/// The cases that the demo shows, in the order of the fixtures.
fn demo_cases(fixtures: &[Fixtures]) -> impl Iterator<Item = (&Fixtures, &Case)> {
    let cases = fixtures.iter().flat_map(|f| f.cases.iter().map(move |case| (f, case)));
    cases.filter(|(_, case)| case.demo.is_some())
}

/// The configuration of the demo, for a simulator at this address.
pub fn demo_config(
    fixtures: &[Fixtures],
    address: SocketAddr,
    now: Timestamp,
    probe_interval: &str,
) -> String {
    let mut yaml = Yaml::new(address, now);
    for (fixtures, case) in demo_cases(fixtures) {
        yaml.case(fixtures, case, &format!("{}-{}", fixtures.network, case.name), DEMO_ID);
    }
    yaml.finish(probe_interval)
}

/// A configuration with `count` generated accounts, each with a credential of its own.
pub fn generated_config(
    fixtures: &[Fixtures],
    address: SocketAddr,
    now: Timestamp,
    probe_interval: &str,
    count: usize,
) -> String {
    let cases: Vec<(&Fixtures, &Case)> = demo_cases(fixtures)
        .filter(|(_, case)| case.demo.as_ref().is_some_and(|demo| demo.also.is_empty()))
        .collect();
    let healthy: Vec<(&Fixtures, &Case)> = cases.iter().copied().filter(|(_, c)| c.name == "valid").collect();
    let mut yaml = Yaml::new(address, now);
    for number in 0..count {
        // Nineteen of twenty are healthy.
        let from = if number % 20 == 0 { &cases } else { &healthy };
        if let Some((fixtures, case)) = from.get(number / 20 % from.len().max(1)).or(from.first()) {
            let external_id = (1_000_001 + number).to_string();
            yaml.case(fixtures, case, &format!("account-{number}"), &external_id);
        }
    }
    yaml.finish(probe_interval)
}

/// A configuration with one case only, for tests.
pub fn single_case_config(fixtures: &Fixtures, case: &Case, address: SocketAddr, now: Timestamp) -> String {
    let mut yaml = Yaml::new(address, now);
    yaml.case(fixtures, case, "account", DEMO_ID);
    yaml.finish("1h")
}

/// A configuration that grows case by case.
struct Yaml {
    address: SocketAddr,
    now: Timestamp,
    app_ids: Vec<String>,
    apps: String,
    credentials: String,
    accounts: String,
}

impl Yaml {
    fn new(address: SocketAddr, now: Timestamp) -> Self {
        let [apps, credentials, accounts] = [const { String::new() }; 3];
        Self { address, now, app_ids: Vec::new(), apps, credentials, accounts }
    }

    fn finish(self, probe_interval: &str) -> String {
        let Self { apps, credentials, accounts, .. } = self;
        let apps = if apps.is_empty() { String::new() } else { format!("apps:\n{apps}") };
        format!(
            "global:\n  probe_interval: {probe_interval}\n  notify: [social-ops@example.com]\n\
             {apps}credentials:\n{credentials}accounts:\n{accounts}"
        )
    }

    /// The app of a case. Cases in which the app itself is refused or rate-limited have an app of
    /// their own, as it would affect the others.
    fn app(&mut self, fixtures: &Fixtures, case: &Case) -> Option<String> {
        let network = fixtures.network;
        if network.description().app == AppNeed::None {
            return None;
        }
        let api = case.context.api.as_deref().or(network.description().apis.first().copied());
        let expected = case.probe.as_ref().unwrap_or(&case.expect);
        let broken = matches!(expected.cause.as_deref(), Some("app_misconfigured" | "rate_limited"));
        let parts = [Some(network.name()), api, broken.then_some(case.name.as_str())];
        let id = format!("demo-{}", parts.into_iter().flatten().collect::<Vec<_>>().join("-"));
        if self.app_ids.contains(&id) {
            return Some(id);
        }
        let out = &mut self.apps;
        let _ = writeln!(out, "  - id: {id}\n    network: {network}");
        if let Some(api) = api {
            let _ = writeln!(out, "    api: {api}");
        }
        let base_url = Simulator::base_url(self.address, network);
        let _ = writeln!(out, "    client_secret: sim-client-secret\n    base_url: {base_url}");
        let known = fixtures.app.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let settings: BTreeMap<&str, &str> =
            [("client_id", "demo-client")].into_iter().chain(known).collect();
        for (key, value) in settings {
            let _ = writeln!(out, "    {key}: {}", quoted(value));
        }
        self.app_ids.push(id.clone());
        Some(id)
    }

    /// Adds the credential and the accounts of a case.
    fn case(&mut self, fixtures: &Fixtures, case: &Case, id: &str, default_external_id: &str) {
        let network = fixtures.network;
        let context = &case.context;
        let external_id = context.external_id.as_deref().unwrap_or(default_external_id);
        let demo = case.demo.as_ref();
        let app = self.app(fixtures, case);
        let token = fixture_token(network, &case.name, external_id);
        let out = &mut self.credentials;
        let _ = writeln!(out, "  - id: {id}\n    network: {network}\n    token: {}", quoted(&token));
        let _ = match app {
            Some(app) => writeln!(out, "    app: {app}"),
            None => writeln!(out, "    base_url: {}", Simulator::base_url(self.address, network)),
        };
        if context.auth.as_deref() == Some("oauth1") {
            let _ = writeln!(out, "    token_secret: sim-token-secret");
        }
        for (key, time) in
            [("expires_at", &context.expires_at), ("refresh_expires_at", &context.refresh_expires_at)]
        {
            if let Some(time) = time {
                let _ = writeln!(out, "    {key}: {}", quoted(&fill(time, self.now, external_id, &token)));
            }
        }
        if let Some(scopes) = &context.scopes {
            let _ = writeln!(out, "    scopes: {}", list(scopes));
        }
        if demo.is_some_and(|d| d.auto_refresh) {
            let _ = writeln!(out, "    auto_refresh: true");
        }
        let person = demo.and_then(|d| d.connected_by.as_deref()).unwrap_or("Jane Doe");
        let _ = writeln!(out, "    connected_by: {}", quoted(person));

        let name = demo.map_or(case.name.as_str(), |d| &d.name);
        let common = common_settings(network, case, id, person);
        self.account(id, name, external_id, &common);
        for also in demo.iter().flat_map(|d| &d.also) {
            self.account(&format!("{id}-{also}"), &format!("{name} {also}"), also, &common);
        }
    }

    fn account(&mut self, id: &str, name: &str, external_id: &str, common: &str) {
        let (name, external_id) = (quoted(name), quoted(external_id));
        let _ = write!(
            self.accounts,
            "  - id: {id}\n    name: {name}\n    external_id: {external_id}\n{common}    \
             reconnect_url: https://app.example.com/reconnect/{id}\n"
        );
    }
}

/// The settings that all accounts of a case have in common.
fn common_settings(network: NetworkId, case: &Case, credential: &str, person: &str) -> String {
    let demo = case.demo.as_ref();
    let mut out = format!("    network: {network}\n    credential: {credential}\n");
    if let Some(kind) = &case.context.kind {
        let _ = writeln!(out, "    kind: {kind}");
    }
    if let Some(needs) = &case.context.needs {
        let _ = writeln!(out, "    needs: {}", list(needs));
    }
    if let Some(purpose) = demo.and_then(|d| d.purpose.as_deref()) {
        let _ = writeln!(out, "    use: {purpose}");
    }
    let team = demo.and_then(|d| d.team.as_deref()).unwrap_or("marketing");
    let user = person.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), ".");
    let _ = writeln!(out, "    labels: {{team: {}}}\n    notify: [{user}@example.com]", quoted(team));
    out
}

/// A text as a double-quoted scalar, which YAML writes as JSON does.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn list(items: &[String]) -> String {
    format!("[{}]", items.iter().map(|i| quoted(i)).collect::<Vec<_>>().join(", "))
}
