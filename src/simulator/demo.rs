//! The configurations of the demo and of tests: YAML with an account for each case of the fixtures.

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::{Value, json};

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
    let reporter = json!({"id": "demo-product", "token": DEMO_REPORTER_TOKEN});
    format!("{}reporters: [{reporter}]\n", yaml.finish(probe_interval))
}

/// The token of the product that publishes in the demo.
pub const DEMO_REPORTER_TOKEN: &str = "sim-reporter-token";

/// What the product of the demo reports: it has published for one page, and Facebook blocks another.
pub fn demo_reports() -> Value {
    let message = "It looks like you were misusing this feature by going too fast. You've been temporarily \
                   blocked from using it.";
    json!([
        {"account": "facebook-valid", "operation": "publish", "ok": true},
        {
            "account": "facebook-tasks-new-without-community",
            "operation": "publish",
            "http_status": 400,
            "body": {"error": {"message": message, "type": "OAuthException", "code": 368}},
        },
    ])
}

/// Accounts in one file of a generated configuration: files have a maximum size.
pub const ACCOUNTS_PER_FILE: usize = 10_000;

/// Writes the files of a configuration with `count` generated accounts, each with a credential of its
/// own.
///
/// # Errors
/// When a file cannot be written.
pub fn generated_config(
    fixtures: &[Fixtures],
    address: SocketAddr,
    now: Timestamp,
    probe_interval: &str,
    count: usize,
    mut write: impl FnMut(&str) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let cases: Vec<(&Fixtures, &Case)> = demo_cases(fixtures)
        .filter(|(_, case)| case.demo.as_ref().is_some_and(|demo| demo.also.is_empty()))
        .collect();
    let healthy: Vec<(&Fixtures, &Case)> = cases.iter().copied().filter(|(_, c)| c.name == "valid").collect();
    let mut yaml = Yaml::new(address, now);
    for number in 0..count {
        if number > 0 && number % ACCOUNTS_PER_FILE == 0 {
            write(&yaml.take_lists())?;
        }
        // Nineteen of twenty are healthy.
        let from = if number % 20 == 0 { &cases } else { &healthy };
        if let Some((fixtures, case)) = from.get(number / 20 % from.len().max(1)).or(from.first()) {
            let external_id = (1_000_001 + number).to_string();
            yaml.case(fixtures, case, &format!("account-{number}"), &external_id);
        }
    }
    write(&yaml.finish(probe_interval))
}

/// A configuration with one case only, for tests.
pub fn single_case_config(fixtures: &Fixtures, case: &Case, address: SocketAddr, now: Timestamp) -> String {
    let mut yaml = Yaml::new(address, now);
    yaml.case(fixtures, case, "account", DEMO_ID);
    yaml.finish("1h")
}

/// A configuration that grows case by case, with an entry on each line.
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

    /// The credentials and accounts so far, as a file of their own.
    fn take_lists(&mut self) -> String {
        let [credentials, accounts] = [&mut self.credentials, &mut self.accounts].map(std::mem::take);
        format!("credentials:\n{credentials}accounts:\n{accounts}")
    }

    fn finish(mut self, probe_interval: &str) -> String {
        let lists = self.take_lists();
        let apps = if self.apps.is_empty() { self.apps } else { format!("apps:\n{}", self.apps) };
        format!(
            "global:\n  probe_interval: {probe_interval}\n  notify: [social-ops@example.com]\n{apps}{lists}"
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
        if !self.app_ids.contains(&id) {
            let mut app = json!({
                "id": id,
                "network": network.name(),
                "client_id": "demo-client",
                "client_secret": "sim-client-secret",
                "base_url": Simulator::base_url(self.address, network),
            });
            set(&mut app, "api", api);
            for (key, value) in &fixtures.app {
                set(&mut app, key, Some(value.as_str()));
            }
            add(&mut self.apps, &app);
            self.app_ids.push(id.clone());
        }
        Some(id)
    }

    /// Adds the credential and the accounts of a case.
    fn case(&mut self, fixtures: &Fixtures, case: &Case, id: &str, default_external_id: &str) {
        let network = fixtures.network;
        let context = &case.context;
        let external_id = context.external_id.as_deref().unwrap_or(default_external_id);
        let demo = case.demo.as_ref();
        let person = demo.and_then(|d| d.connected_by.as_deref()).unwrap_or("Jane Doe");
        let token = fixture_token(network, &case.name, external_id);
        let mut credential =
            json!({"id": id, "network": network.name(), "token": token, "connected_by": person});
        match self.app(fixtures, case) {
            Some(app) => set(&mut credential, "app", Some(app)),
            None => set(&mut credential, "base_url", Some(Simulator::base_url(self.address, network))),
        }
        let oauth1 = context.auth.as_deref() == Some("oauth1");
        set(&mut credential, "token_secret", oauth1.then_some("sim-token-secret"));
        let time = |text: &Option<String>| Some(fill(text.as_ref()?, self.now, external_id, &token));
        set(&mut credential, "expires_at", time(&context.expires_at));
        set(&mut credential, "refresh_expires_at", time(&context.refresh_expires_at));
        set(&mut credential, "scopes", context.scopes.clone());
        set(&mut credential, "auto_refresh", demo.is_some_and(|d| d.auto_refresh).then_some(true));
        add(&mut self.credentials, &credential);

        let name = demo.map_or(case.name.as_str(), |d| &d.name);
        let mut account = account(network, case, id, person);
        set(&mut account, "next_use", demo.and_then(|d| time(&d.next_use)));
        self.account(account.clone(), id, name, external_id);
        for also in demo.iter().flat_map(|d| &d.also) {
            self.account(account.clone(), &format!("{id}-{also}"), &format!("{name} {also}"), also);
        }
    }

    fn account(&mut self, mut account: Value, id: &str, name: &str, external_id: &str) {
        account["id"] = id.into();
        account["name"] = name.into();
        account["external_id"] = external_id.into();
        account["reconnect_url"] = format!("https://app.example.com/reconnect/{id}").into();
        add(&mut self.accounts, &account);
    }
}

/// What all accounts of a case have in common.
fn account(network: NetworkId, case: &Case, credential: &str, person: &str) -> Value {
    let demo = case.demo.as_ref();
    let user = person.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), ".");
    let mut account = json!({
        "network": network.name(),
        "credential": credential,
        "labels": {"team": demo.and_then(|d| d.team.as_deref()).unwrap_or("marketing")},
        "notify": [format!("{user}@example.com")],
    });
    set(&mut account, "kind", case.context.kind.clone());
    set(&mut account, "needs", case.context.needs.clone());
    set(&mut account, "use", demo.and_then(|d| d.purpose.clone()));
    set(&mut account, "state", demo.and_then(|d| d.state.clone()));
    account
}

fn set(entry: &mut Value, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        entry[key] = value.into();
    }
}

/// Adds an entry to a list. JSON is YAML, too.
fn add(list: &mut String, entry: &Value) {
    let _ = writeln!(list, "  - {entry}");
}
