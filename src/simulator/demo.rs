//! `demo`: the simulator and the exporter in one process, with an account in every state.
//!
//! The accounts are those of the fixtures' cases that ask for it, written as YAML and loaded like
//! any configuration.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

use super::server::{Simulator, fixture_token};
use crate::model::Timestamp;
use crate::network::{AppNeed, NetworkId};
use crate::simulator::{Case, Fixtures, fill};

/// The account of a case that names none.
pub const DEMO_ID: &str = "1000001";

/// An account of the demo and what it must show: the demo's test reads the same list.
#[derive(Clone, Debug)]
pub struct Shown<'a> {
    /// Its id in the configuration.
    pub account: String,
    /// Its network.
    pub network: NetworkId,
    /// The case behind it.
    pub case: &'a Case,
}

/// The accounts of the demo, in the order of the fixtures.
pub fn shown_cases(fixtures: &[Fixtures]) -> Vec<Shown<'_>> {
    let mut shown = Vec::new();
    for fixtures in fixtures {
        let network = fixtures.network;
        for case in &fixtures.cases {
            let Some(demo) = &case.demo else { continue };
            let account = format!("{network}-{}", case.name);
            shown.push(Shown { account: account.clone(), network, case });
            shown.extend(demo.also.iter().map(|id| Shown {
                account: format!("{account}-{id}"),
                network,
                case,
            }));
        }
    }
    shown
}

/// The configuration of the demo, against a simulator at this address.
pub fn demo_config(
    fixtures: &[Fixtures],
    address: SocketAddr,
    now: Timestamp,
    probe_interval: &str,
) -> String {
    let mut yaml = Yaml::new(probe_interval);
    for fixtures in fixtures {
        for case in fixtures.cases.iter().filter(|c| c.demo.is_some()) {
            yaml.case(fixtures, case, address, now, &format!("{}-{}", fixtures.network, case.name), DEMO_ID);
        }
    }
    yaml.finish()
}

/// A configuration of so many generated accounts, each with a login of its own, in the demo's
/// mixture of states.
pub fn generated_config(
    fixtures: &[Fixtures],
    address: SocketAddr,
    now: Timestamp,
    probe_interval: &str,
    count: usize,
) -> String {
    let cases: Vec<(&Fixtures, &Case)> = fixtures
        .iter()
        .flat_map(|f| {
            f.cases.iter().filter(|c| c.demo.as_ref().is_some_and(|d| d.also.is_empty())).map(move |c| (f, c))
        })
        .collect();
    let healthy: Vec<(&Fixtures, &Case)> = cases.iter().copied().filter(|(_, c)| c.name == "valid").collect();
    let mut yaml = Yaml::new(probe_interval);
    for number in 0..count {
        // Nineteen of twenty are well, as in life.
        let from = if number % 20 == 0 { &cases } else { &healthy };
        if let Some((fixtures, case)) = from.get(number / 20 % from.len().max(1)).or(from.first()) {
            yaml.case(
                fixtures,
                case,
                address,
                now,
                &format!("account-{number}"),
                &format!("{}", 1_000_001 + number),
            );
        }
    }
    yaml.finish()
}

/// A configuration with one case alone, as tests use it.
pub fn single_case_config(fixtures: &Fixtures, case: &Case, address: SocketAddr, now: Timestamp) -> String {
    let mut yaml = Yaml::new("1h");
    yaml.case(fixtures, case, address, now, "account", DEMO_ID);
    yaml.finish()
}

/// The parts of a configuration that grow together.
struct Yaml {
    global: String,
    apps: Vec<String>,
    app_texts: String,
    credentials: String,
    accounts: String,
}

impl Yaml {
    fn new(probe_interval: &str) -> Self {
        let global =
            format!("global:\n  probe_interval: {probe_interval}\n  notify: [social-ops@example.com]\n");
        Self {
            global,
            apps: Vec::new(),
            app_texts: String::new(),
            credentials: String::new(),
            accounts: String::new(),
        }
    }

    fn finish(self) -> String {
        let Self { global, app_texts, credentials, accounts, .. } = self;
        let apps = if app_texts.is_empty() { String::new() } else { format!("apps:\n{app_texts}") };
        format!("{global}{apps}credentials:\n{credentials}accounts:\n{accounts}")
    }

    /// The app of a case. Cases in which the app itself is refused or slowed down have one of
    /// their own, or the others would suffer.
    fn app(&mut self, fixtures: &Fixtures, case: &Case, address: SocketAddr) -> Option<String> {
        let network = fixtures.network;
        if network.description().app == AppNeed::None {
            return None;
        }
        let api = case.context.api.as_deref().or(network.description().apis.first().copied());
        let expected = case.probe.as_ref().unwrap_or(&case.expect);
        let broken = matches!(expected.cause.as_deref(), Some("app_misconfigured" | "rate_limited"));
        let mut id = format!("demo-{network}");
        if let Some(api) = api {
            let _ = write!(id, "-{api}");
        }
        if broken {
            let _ = write!(id, "-{}", case.name);
        }
        if !self.apps.contains(&id) {
            let api = api.map_or_else(String::new, |api| format!("    api: {api}\n"));
            let base_url = Simulator::base_url(address, network);
            let _ = write!(
                self.app_texts,
                "  - id: {id}\n    network: {network}\n{api}    client_secret: sim-client-secret\n    \
                 base_url: {base_url}\n"
            );
            let known = fixtures.app.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            let settings: BTreeMap<&str, &str> =
                [("client_id", "demo-client")].into_iter().chain(known).collect();
            for (key, value) in settings {
                let _ = writeln!(self.app_texts, "    {key}: {}", quoted(value));
            }
            self.apps.push(id.clone());
        }
        Some(id)
    }

    fn case(
        &mut self,
        fixtures: &Fixtures,
        case: &Case,
        address: SocketAddr,
        now: Timestamp,
        id: &str,
        default_id: &str,
    ) {
        let network = fixtures.network;
        let context = &case.context;
        let external_id = context.external_id.as_deref().unwrap_or(default_id);
        let demo = case.demo.as_ref();
        let app = self.app(fixtures, case, address);
        let token = fixture_token(network, &case.name, external_id);
        let out = &mut self.credentials;
        let _ = write!(out, "  - id: {id}\n    network: {network}\n    token: {}\n", quoted(&token));
        match app {
            Some(app) => _ = writeln!(out, "    app: {app}"),
            None => _ = writeln!(out, "    base_url: {}", Simulator::base_url(address, network)),
        }
        if context.auth.as_deref() == Some("oauth1") {
            let _ = writeln!(out, "    token_secret: sim-token-secret");
        }
        for (key, value) in
            [("expires_at", &context.expires_at), ("refresh_expires_at", &context.refresh_expires_at)]
        {
            if let Some(value) = value {
                let _ = writeln!(out, "    {key}: {}", quoted(&fill(value, now, external_id, &token)));
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
        self.account(network, case, id, id, name, external_id, person);
        for also in demo.iter().flat_map(|d| &d.also) {
            self.account(network, case, &format!("{id}-{also}"), id, &format!("{name} {also}"), also, person);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one line of YAML each")]
    fn account(
        &mut self,
        network: NetworkId,
        case: &Case,
        id: &str,
        credential: &str,
        name: &str,
        external_id: &str,
        person: &str,
    ) {
        let demo = case.demo.as_ref();
        let mail = format!(
            "{}@example.com",
            person.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), ".")
        );
        let out = &mut self.accounts;
        let _ = write!(
            out,
            "  - id: {id}\n    name: {}\n    network: {network}\n    credential: {credential}\n    \
             external_id: {}\n",
            quoted(name),
            quoted(external_id)
        );
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
        let _ = write!(
            out,
            "    labels: {{team: {}}}\n    notify: [{mail}]\n    reconnect_url: https://app.example.com/reconnect/{id}\n",
            quoted(team)
        );
    }
}

/// A text as a double-quoted scalar: JSON's notation is YAML's, too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn list(items: &[String]) -> String {
    format!("[{}]", items.iter().map(|i| quoted(i)).collect::<Vec<_>>().join(", "))
}
