//! What sources list: how rows become accounts, and what happens to those that cannot.

use std::sync::{Arc, Mutex};

use secrecy::zeroize::Zeroizing;

use token_exporter::config::{self, Config, Known, Last, load, load_keeping};
use token_exporter::inventory::{Inventory, SecretSource, SourceStatus};
use token_exporter::model::Secret;
use token_exporter::simulator::fixture_token;

use crate::daemon::{Running, network, sample};
use crate::http_source::{Server, json, reply};
use crate::prometheus::get;

const APPS: &str = "apps: [{id: masto, network: mastodon, base_url: \"http://127.0.0.1:1\"}, {id: other, \
                    network: mastodon, base_url: \"http://127.0.0.1:2\"}]\n";

/// A configuration with sources, and what is in force.
struct Listed {
    folder: tempfile::TempDir,
    config: Config,
    inventory: Inventory,
}

impl Listed {
    fn new(yaml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("main.yaml");
        std::fs::write(&file, format!("{APPS}{yaml}")).unwrap();
        let config = load(&[file]).unwrap_or_else(|problems| panic!("{problems}"));
        Self { folder, inventory: config.clone().inventory(|_| true), config: config.without_rows() }
    }

    /// A source `p`, with these settings besides where it is.
    fn with(settings: &str) -> Self {
        Self::new(&format!("sources: [{{id: p, http: {{url: \"http://127.0.0.1:1/\"}}, {settings}}}]\n"))
    }

    /// Puts a list in force, and returns the problems.
    fn refresh(&mut self, source: &str, pages: &[&str]) -> Vec<String> {
        let sources = self.config.statuses.clone();
        let last = Last { inventory: &self.inventory, sources: &sources };
        let pages: Vec<Zeroizing<String>> =
            pages.iter().map(|page| Zeroizing::new((*page).to_owned())).collect();
        let refreshed = config::refresh(&self.config, last, source, &pages, []).expect("JSON");
        let problems = refreshed.refused.list.iter().map(ToString::to_string).collect();
        self.config = refreshed.without_rows();
        self.inventory = refreshed.inventory(|_| true);
        problems
    }

    /// Reads the files again.
    fn reload(&mut self) {
        let last = Last { inventory: &self.inventory, sources: &self.config.statuses };
        let config = load_keeping(&[self.folder.path().join("main.yaml")], Known::Last(last)).unwrap();
        self.config = config.without_rows();
        self.inventory = config.inventory(|_| true);
    }

    fn status(&self, source: &str) -> &SourceStatus {
        self.config.statuses.iter().find(|status| status.id == source).expect("a source")
    }

    fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.inventory.accounts().map(|account| account.id().to_owned()).collect();
        ids.sort();
        ids
    }

    /// What became of an account.
    fn shown(&self, id: &str) -> String {
        let account = self.inventory.account(self.inventory.find(id).expect(id)).unwrap();
        let credential = account.credential().unwrap();
        let needs: Vec<&str> = account.needs().iter().map(|need| need.label()).collect();
        let labels: Vec<String> = account.labels().map(|(name, value)| format!("{name}={value}")).collect();
        format!(
            "{} {} {} {} needs={} notify={} {} by {} app={} scopes={}",
            account.name(),
            account.network().name(),
            account.external_id(),
            account.purpose().label(),
            needs.join(","),
            account.notify(),
            labels.join(","),
            credential.connected_by().unwrap_or("-"),
            credential.app_id(),
            credential.scopes().map_or_else(String::new, |scopes| scopes.join(",")),
        )
    }

    fn login(&self, id: &str) -> String {
        let account = self.inventory.account(self.inventory.find(id).expect(id)).unwrap();
        account.credential().unwrap().id().to_owned()
    }
}

#[test]
fn the_objects_of_a_configuration_are_listed() {
    let mut listed = Listed::with("apps: {mastodon: other}");
    let problems = listed.refresh(
        "p",
        &[
            r#"{"credentials": [{"id": "jane", "network": "mastodon", "token": "sim-jane", "connected_by": "Jane 😀",
                "expires_at": "2027-01-31T00:00:00Z", "scopes": ["read", "write"]}],
               "accounts": [{"id": "a", "name": "A \ud83d\ude00", "network": "mastodon", "credential": "jane",
                "external_id": 17, "needs": ["publish"], "labels": {"team": "x"}, "notify": ["a@example.com"]}]}"#,
            r#"{"accounts": [{"id": "b", "network": "mastodon", "token": "sim-b", "app": "masto", "use": "paid"}]}"#,
            r#"[{"id": "c", "network": "mastodon", "credential": "jane"}]"#,
        ],
    );
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(
        listed.shown("a"),
        "A 😀 mastodon 17 owned needs=publish notify=a@example.com team=x by Jane 😀 app=other scopes=read,write"
    );
    assert_eq!(listed.shown("b"), "b mastodon  paid needs=publish notify=  by - app=masto scopes=");
    assert_eq!([listed.login("a"), listed.login("b"), listed.login("c")], ["jane", "b", "jane"]);
    let status = listed.status("p");
    assert_eq!((status.up, status.refused), (Some(true), 0));
    assert!(status.last_success.is_some());
    assert_eq!(listed.inventory.accounts_of("p"), 3);
}

#[test]
fn columns_become_accounts() {
    let mut listed = Listed::with(
        "map: {network: provider, external_id: uid, token: data.access_token, label_plan: plan.name}, values: \
         {network: {masto: mastodon}, use: {gold: paid}}, defaults: {needs: [publish], notify: \
         [ops@example.com], use: monitored}, apps: {mastodon: masto}",
    );
    let problems = listed.refresh(
        "p",
        &[r#"{"accounts": [
            {"id": 1, "name": "One", "provider": "masto", "uid": 4711, "data": {"access_token": "sim-1", "more": 1},
             "plan": {"name": "gold"}, "use": "gold", "label_team": "blue", "notify": "a@example.com, b@example.com",
             "scopes": "read write", "connected_by": "Jane", "kind": null, "reconnect_url": ""},
            {"id": "2", "provider": "masto", "data": {"access_token": "sim-2"}}
        ]}"#],
    );
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(
        listed.shown("1"),
        "One mastodon 4711 paid needs=publish notify=a@example.com,b@example.com team=blue,plan=gold by Jane \
         app=masto scopes=read,write"
    );
    assert_eq!(
        listed.shown("2"),
        "2 mastodon  monitored needs=publish notify=ops@example.com  by - app=masto scopes="
    );
}

#[test]
fn rows_of_one_login_share_it() {
    let mut listed = Listed::with("apps: {mastodon: masto}");
    let row = |id: &str, more: &str| format!("{{\"id\": \"{id}\", \"network\": \"mastodon\", {more}}}");
    let page = |rows: &[String]| format!("{{\"accounts\": [{}]}}", rows.join(","));
    let rows = [
        row("a", "\"token\": \"sim-1\""),
        row("b", "\"token\": \"sim-1\""),
        row("c", "\"token\": \"sim-2\""),
        row("d", "\"token\": \"sim-1\", \"connected_by\": \"Jane\""),
        row("e", "\"token\": \"sim-3\", \"credential\": \"login\""),
        row("f", "\"token\": \"sim-3\", \"credential\": \"login\""),
        row("g", "\"credential\": \"login\""),
        row("h", "\"token\": \"sim-1\", \"app\": \"other\""),
    ];
    assert_eq!(listed.refresh("p", &[&page(&rows)]), Vec::<String>::new());
    let logins: Vec<String> = ["a", "b", "c", "d", "e", "f", "g", "h"].map(|id| listed.login(id)).to_vec();
    assert_eq!(
        logins,
        ["a", "a", "c", "a", "login", "login", "login", "h"],
        "an app of its own is another login"
    );
    // A row with a problem takes no login with it.
    let rows = [row("a", "\"token\": \"sim-1\", \"needs\": [\"all\"]"), row("b", "\"token\": \"sim-1\"")];
    let mut fresh = Listed::with("apps: {mastodon: masto}");
    assert_eq!(fresh.refresh("p", &[&page(&rows)]).len(), 1);
    assert_eq!((fresh.ids(), fresh.login("b")), (vec!["b".to_owned()], "b".to_owned()));
}

#[test]
fn a_source_cannot_make_this_program_read_files_or_run_commands() {
    let mut listed = Listed::with("refresh_interval: 1m");
    for key in ["token_file", "token_env", "token_command", "token_secret_file", "token_secret_command"] {
        let value =
            if key.ends_with("command") { "[\"/bin/cat\", \"/etc/passwd\"]" } else { "\"/etc/passwd\"" };
        let token = if key.contains("secret") { ", \"token\": \"sim-a\"" } else { "" };
        let page = format!(
            "{{\"accounts\": [{{\"id\": \"a\", \"network\": \"mastodon\", \"app\": \"masto\", \"{key}\": {value}{token}}}]}}"
        );
        let problems = listed.refresh("p", &[&page]);
        let told = problems.iter().any(|p| p.contains("a source may only give the secret itself"));
        assert!(told && listed.ids().is_empty(), "{key}: {problems:?}");
    }
}

#[test]
fn a_bad_row_costs_itself_and_keeps_its_last_content() {
    let mut listed = Listed::with("apps: {mastodon: masto}");
    let good = |id: &str, name: &str| {
        format!(
            "{{\"id\": \"{id}\", \"name\": \"{name}\", \"network\": \"mastodon\", \"token\": \"sim-{id}\"}}"
        )
    };
    let page = |rows: &[String]| format!("{{\"accounts\": [{}]}}", rows.join(","));
    listed.refresh("p", &[&page(&[good("a", "1"), good("b", "1"), good("c", "1")])]);
    let bad = good("b", "2").replace("mastodon", "mastadon");
    let problems = listed.refresh("p", &[&page(&[good("a", "2"), bad, good("c", "2")])]);
    let expected = "source p: accounts[1].network: \"mastadon\" is not known (did you mean \"mastodon\"?)";
    assert_eq!(problems, [expected]);
    assert_eq!(listed.ids(), ["a", "b", "c"]);
    assert!(listed.shown("a").starts_with("2 ") && listed.shown("b").starts_with("1 "));
    let status = listed.status("p");
    assert_eq!((status.up, status.refused, status.problems.len()), (Some(true), 1, 1));
    // Values of rows are never quoted if they may be secrets.
    let problems = listed.refresh(
        "p",
        &[&page(&[good("a", "3")
            .replace("\"1\"", "\"sim-abcdefgh\"")
            .replace("\"network\": \"mastodon\"", "\"network\": \"sim-abcdefgh\"")])],
    );
    assert!(!format!("{problems:?}").contains("sim-abcdefgh"), "{problems:?}");
    // A row without an id may be any row.
    let anonymous = "{\"network\": \"mastodon\", \"token\": \"sim-x\"}".to_owned();
    listed.refresh("p", &[&page(&[good("a", "4"), anonymous])]);
    assert_eq!(listed.ids(), ["a", "b", "c"]);
}

#[test]
fn an_id_that_two_sources_give_belongs_to_the_first() {
    let url = "http: {url: \"http://127.0.0.1:1/\"}, apps: {mastodon: masto}";
    let yaml = format!(
        "sources: [{{id: p, {url}}}, {{id: q, {url}}}]\naccounts: [{{id: m, name: main, network: mastodon, \
         token: sim-m, app: masto}}]\n"
    );
    let mut listed = Listed::new(&yaml);
    let page = |name: &str, ids: &str| {
        let rows = ids.chars().map(|id| {
            format!("{{\"id\": \"{id}\", \"name\": \"{name}\", \"network\": \"mastodon\", \"token\": \"sim-{name}{id}\"}}")
        });
        format!("{{\"accounts\": [{}]}}", rows.collect::<Vec<_>>().join(","))
    };
    let owner = |listed: &Listed, id: &str| listed.shown(id).split(' ').next().unwrap().to_owned();
    // The second answers first, and the first takes the id over.
    assert!(listed.refresh("q", &[&page("q", "ab")]).is_empty());
    assert_eq!(listed.refresh("p", &[&page("p", "bcm")]).len(), 1, "m is in the configuration itself");
    assert_eq!(["a", "b", "c", "m"].map(|id| owner(&listed, id)), ["q", "p", "p", "main"]);
    assert!(listed.status("p").conflicting);
    let problems = listed.refresh("q", &[&page("q", "ab")]);
    assert_eq!(problems, ["source q: accounts[1].id: \"b\" is already used at source p"]);
    assert!(listed.status("q").conflicting && listed.status("q").refused == 1);
    listed.refresh("p", &[&page("p", "c")]);
    listed.refresh("p", &[&page("p", "c")]);
    assert!(listed.refresh("q", &[&page("q", "ab")]).is_empty());
    assert_eq!(owner(&listed, "b"), "q");
    assert!(!listed.status("q").conflicting);

    // A reload of the files leaves the lists alone, and one that removes a source removes its accounts.
    listed.reload();
    assert_eq!(listed.ids(), ["a", "b", "c", "m"]);
    let file = listed.folder.path().join("main.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(&format!("{{id: p, {url}}}, "), "")).unwrap();
    listed.reload();
    assert_eq!(listed.ids(), ["a", "b", "m"]);
}

#[test]
fn a_list_that_halves_counts_when_it_is_seen_twice() {
    let mut listed = Listed::with("apps: {mastodon: masto}");
    let page = |ids: &str| {
        let rows = ids
            .chars()
            .map(|id| format!("{{\"id\": \"{id}\", \"network\": \"mastodon\", \"token\": \"sim-{id}\"}}"));
        format!("{{\"accounts\": [{}]}}", rows.collect::<Vec<_>>().join(","))
    };
    listed.refresh("p", &[&page("abcde")]);
    assert!(listed.refresh("p", &[&page("abc")]).is_empty());
    assert_eq!(listed.ids(), ["a", "b", "c"]);
    let problems = listed.refresh("p", &[&page("a")]);
    assert_eq!(problems, ["source p: 2 of 3 accounts are missing; they leave when they are missing again"]);
    assert!(listed.status("p").shrunk && listed.ids() == ["a", "b", "c"]);
    assert!(listed.refresh("p", &[&page("ab")]).is_empty());
    assert_eq!((listed.ids().len(), listed.status("p").shrunk), (2, false));
    listed.refresh("p", &["[]"]);
    assert_eq!(listed.ids(), ["a", "b"]);
    listed.refresh("p", &["[]"]);
    assert!(listed.ids().is_empty());
}

#[test]
fn lists_survive_a_restart_without_their_tokens() {
    let mut listed = Listed::with("apps: {mastodon: masto}");
    let row = |id: &str| format!("{{\"id\": \"{id}\", \"network\": \"mastodon\", \"token\": \"sim-{id}\"}}");
    listed.refresh("p", &[&format!("[{},{}]", row("a"), row("b"))]);
    let data = tempfile::tempdir().unwrap();
    config::store(data.path(), &listed.inventory, listed.status("p")).unwrap();
    let text = std::fs::read_to_string(data.path().join("source-p.jsonl")).unwrap();
    assert!(!text.contains("sim-"), "{text}");
    let main = [listed.folder.path().join("main.yaml")];
    let config = load_keeping(&main, Known::Stored(Some(data.path()))).unwrap();
    assert_eq!(config.statuses[0].up, None, "it has not been asked yet");
    assert_eq!(config.statuses[0].last_success, listed.status("p").last_success);
    (listed.config, listed.inventory) = (config.without_rows(), config.inventory(|_| true));
    assert_eq!(listed.ids(), ["a", "b"]);
    let token = |listed: &Listed| listed.inventory.credential(0).unwrap().token();
    assert_eq!(token(&listed), SecretSource::Unread);
    assert!(listed.refresh("p", &[&format!("[{},{}]", row("a"), row("b"))]).is_empty());
    assert!(matches!(token(&listed), SecretSource::Inline(_)));
}

#[test]
fn a_key_may_have_several_places() {
    let mut listed = Listed::with(
        "map: {network: provider, token: \"data.access, data.oauth , plain\"}, apps: {mastodon: masto}",
    );
    let problems = listed.refresh(
        "p",
        &[r#"{"accounts": [
            {"id": "1", "provider": "mastodon", "data": {"access": "sim-1", "oauth": "sim-not"}},
            {"id": "2", "provider": "mastodon", "data": {"access": "", "oauth": "sim-2"}, "plain": "sim-not"},
            {"id": "3", "provider": "mastodon", "data": "{text", "plain": "sim-3"},
            {"id": "4", "provider": "mastodon", "data": " {\"access\": null, \"oauth\": \"sim-4\"}", "plain": "sim-not"}
        ]}"#],
    );
    assert!(problems.is_empty(), "{problems:?}");
    for id in ["1", "2", "3", "4"] {
        let account = listed.inventory.account(listed.inventory.find(id).unwrap()).unwrap();
        let token = account.credential().unwrap().token();
        assert_eq!(token, SecretSource::Inline(Secret::new(format!("sim-{id}"))), "{id}");
    }
}

/// The account `x-N` of X, with a token of this kind.
fn row(number: u32, kind: &str) -> String {
    let id = (1_000_000 + number).to_string();
    let token = fixture_token(network("x"), kind, &id);
    format!(
        "{{\"id\": \"x-{number}\", \"network\": \"x\", \"external_id\": \"{id}\", \"token\": \"{token}\", \
         \"state\": \"refresh {number}\"}}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_fails_keeps_its_accounts_over_restarts() {
    let body =
        Arc::new(Mutex::new(Some(format!("[{},{},{}]", row(1, "valid"), row(2, "valid"), row(3, "valid")))));
    let answered = body.clone();
    let server = Server::start(move |_| match &*answered.lock().unwrap() {
        Some(body) => json(body),
        None => Some(reply(503, &[], "")),
    })
    .await;
    let list = |rows: &[String]| *body.lock().unwrap() = Some(format!("[{}]", rows.join(",")));
    let url = server.url("/accounts");
    let daemon = Running::start(|base| {
        format!(
            "global: {{probe_interval: 1s}}\napps: [{{id: app, network: x, client_id: key, base_url: \
             \"{base}/x\"}}]\nsources: [{{id: product, http: {{url: \"{url}\"}}, refresh_interval: 1s}}]\n"
        )
    })
    .await;
    let of = |text: &str, family: &str, id: u32, more: &str| {
        sample(text, &format!("{family}{{account=\"x-{id}\",network=\"x\"{more}}}"))
    };
    let valid = |text: &str, id: u32| of(text, "connection_valid", id, ",reason=\"ok\"") == Some(1.0);
    let since = |text: &str, id: u32| of(text, "connection_state_change_timestamp_seconds", id, "");
    let source =
        |text: &str, name: &str| sample(text, &format!("token_exporter_source_{name}{{source=\"product\"}}"));
    let all = |text: &str| (1..=3).all(|id| valid(text, id));
    let before = daemon.until("all are probed", all).await;
    assert_eq!((source(&before, "up"), source(&before, "accounts")), (Some(1.0), Some(3.0)));
    // What the product thinks of it is shown beside the verdict.
    let state =
        |text: &str, id: u32| of(text, "connection_source_state", id, &format!(",state=\"refresh {id}\""));
    assert!((1..=3).all(|id| state(&before, id) == Some(1.0)));
    let one = get(&format!("http://{}/api/v1/connections/x-2", daemon.address)).await.unwrap();
    assert!(one.contains("\"source_state\":\"refresh 2\""), "{one}");
    let page = get(&format!("http://{}/account?id=x-2", daemon.address)).await.unwrap();
    assert!(page.contains("<dt>State in the product</dt><dd>refresh 2</dd>"), "{page}");

    // It fails: nothing but its own metrics changes, and the page says why.
    *body.lock().unwrap() = None;
    let text = daemon.until("the source is down", |text| source(text, "up") == Some(0.0)).await;
    assert!(all(&text) && source(&text, "accounts") == Some(3.0));
    let page = get(&format!("http://{}/", daemon.address)).await.unwrap();
    assert!(page.contains("The accounts of product could not all be read") && page.contains("503"), "{page}");

    // A restart meanwhile: the last verdicts stand.
    let daemon = daemon.restart().await;
    let unavailable = |text: &str, id: u32| {
        of(text, "connection_undetermined", id, ",cause=\"source_unavailable\"") == Some(1.0)
    };
    let down = |text: &str| source(text, "up") == Some(0.0) && (1..=3).all(|id| unavailable(text, id));
    let text = daemon.until("no token is known", down).await;
    assert!(all(&text));
    for id in 1..=3 {
        assert_eq!(state(&text, id), Some(1.0));
        assert_eq!(since(&text, id), since(&before, id), "nothing has changed");
    }

    // It is back, with a token that was revoked, and without an account.
    list(&[row(1, "valid"), row(2, "locked")]);
    let text = daemon
        .until("the new list counts", |text| {
            valid(text, 1) && !valid(text, 2) && !text.contains("account=\"x-3\"")
        })
        .await;
    assert_eq!(since(&text, 1), since(&before, 1));
    assert_eq!((source(&text, "up"), source(&text, "rows_refused")), (Some(1.0), Some(0.0)));
    assert!(
        source(&text, "last_success_timestamp_seconds") >= source(&before, "last_success_timestamp_seconds")
    );
    assert!(source(&text, "refresh_duration_seconds_count") >= Some(1.0));

    // No token is anywhere on disk.
    let path = daemon.path().join("data");
    for entry in std::fs::read_dir(&path).unwrap() {
        let path = entry.unwrap().path();
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        assert!(!text.contains("sim-"), "{}: {text}", path.display());
    }
    daemon.end().await;
}
