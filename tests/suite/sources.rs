//! Account files: what is bad costs itself only, and what was last read of it stays.

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use token_exporter::config::{Config, Known, Last, load, load_keeping, store};
use token_exporter::inventory::{Inventory, SecretSource, SourceStatus};
use token_exporter::simulator::fixture_token;

use crate::daemon::{Running, network, sample};
use crate::prometheus::get;

const MAIN: &str = "apps: [{id: app, network: mastodon, base_url: \"http://127.0.0.1:1\"}]\n";

/// A configuration in a folder, and what is in force.
struct Files {
    folder: tempfile::TempDir,
    inventory: Inventory,
    sources: Vec<SourceStatus>,
}

impl Files {
    fn new(main: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("d")).unwrap();
        std::fs::write(folder.path().join("main.yaml"), main).unwrap();
        Self { folder, inventory: Inventory::default(), sources: Vec::new() }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.folder.path().join(name)).unwrap();
    }

    /// Loads, once more if many accounts are missing, and returns the ids of the accounts with their
    /// names, and the problems.
    fn load(&mut self) -> (String, String) {
        let loaded = self.look();
        if self.sources.first().is_some_and(|source| source.shrunk) { self.look() } else { loaded }
    }

    fn look(&mut self) -> (String, String) {
        let mut config = self.config().unwrap();
        let problems = self.shown(&config.refused.to_string());
        self.sources = std::mem::take(&mut config.statuses);
        self.inventory = config.inventory(|_| true);
        let source = self.sources.first();
        let troubled = |source: &SourceStatus| source.refused > 0 || source.shrunk;
        assert!(source.is_none_or(|source| troubled(source) != problems.is_empty()), "{problems}");
        let mut accounts: Vec<String> =
            self.inventory.accounts().map(|a| format!("{}={}", a.id(), a.name())).collect();
        accounts.sort();
        (accounts.join(" "), problems)
    }

    fn config(&self) -> Result<Config, token_exporter::config::Problems> {
        let last = Last { inventory: &self.inventory, sources: &self.sources };
        load_keeping(&[self.folder.path().join("main.yaml")], Known::Last(last))
    }

    fn shown(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }

    fn refused(&self) -> usize {
        self.sources[0].refused
    }

    fn up(&self) -> bool {
        self.sources[0].up == Some(true)
    }

    /// What `--config.check` says.
    fn checked(&self) -> String {
        let problems = load(&[self.folder.path().join("main.yaml")]).err().unwrap_or_default();
        self.shown(&problems.to_string())
    }
}

/// An account with a token of its own.
fn own(id: &str, name: &str) -> String {
    format!("- {{id: {id}, name: {name}, network: mastodon, token: sim-{id}}}\n")
}

#[test]
fn a_bad_file_keeps_what_was_last_read_of_it() {
    let mut files = Files::new(&format!("{MAIN}account_files: [d/*.yml, literal.yml]\n"));
    files.write("literal.yml", "[]");
    files.write("d/a.yml", &own("a", "1"));
    files.write(
        "d/b.yml",
        "credentials: [{id: jane, network: mastodon, token: sim-j}]\naccounts:\n- {id: b, name: '1', \
         network: mastodon, credential: jane}\n- {id: c, name: '1', network: mastodon, token: sim-c}\n",
    );
    assert_eq!(files.load(), ("a=1 b=1 c=1".to_owned(), String::new()));
    let success = files.sources[0].last_success;
    assert!(files.up() && success.is_some() && files.inventory.accounts_of("files") == 3);

    // Whatever is wrong with one file, the others go on, and nothing of it leaves.
    let b = files.folder.path().join("d/b.yml");
    let break_it: &[(&str, &dyn Fn())] = &[
        ("d/b.yml:", &|| std::fs::write(&b, "[").unwrap()),
        ("d/b.yml: is empty", &|| std::fs::write(&b, "").unwrap()),
        ("d/b.yml:2:1", &|| std::fs::write(&b, own("b", "cut") + "- {id: c, name: \"cut").unwrap()),
        ("d/b.yml:1:7: is not UTF-8", &|| std::fs::write(&b, b"- id: \xff").unwrap()),
        ("d/b.yml: does not exist", &|| {
            std::fs::remove_file(&b).unwrap();
            symlink("nowhere", &b).unwrap();
        }),
        ("d/b.yml: cannot be read", &|| {
            std::fs::remove_file(&b).unwrap();
            symlink("b.yml", &b).unwrap();
        }),
        ("d/b.yml: is not a regular file", &|| {
            std::fs::remove_file(&b).unwrap();
            let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
            rustix::fs::mknodat(rustix::fs::CWD, &b, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        }),
        ("d/b.yml: is a directory", &|| {
            std::fs::remove_file(&b).unwrap();
            std::fs::create_dir(&b).unwrap();
        }),
    ];
    for (i, (problem, break_it)) in break_it.iter().enumerate() {
        break_it();
        files.write("d/a.yml", &own("a", &i.to_string()));
        let begin = Instant::now();
        let (accounts, problems) = files.load();
        assert_eq!(accounts, format!("a={i} b=1 c=1"), "{problem}");
        assert!(problems.starts_with(problem) && problems.lines().count() == 1, "{problem}: {problems}");
        assert_eq!((files.up(), files.refused()), (false, 1), "{problem}");
        assert_eq!(files.sources[0].last_success, success, "{problem}");
        assert!(begin.elapsed() < Duration::from_secs(5), "{problem}");
        assert!(files.checked().starts_with(problem), "{problem}");
    }
    // Accounts that moved to a good file meanwhile are read there, credentials are still found.
    files.write("d/a.yml", &(own("c", "2") + "- {id: d, name: '2', network: mastodon, credential: jane}\n"));
    assert_eq!(files.load().0, "b=1 c=2 d=2");

    // A readable folder that has it no longer: it leaves.
    std::fs::remove_dir(&b).unwrap();
    files.write("d/a.yml", &own("a", "3"));
    assert_eq!(files.load(), ("a=3".to_owned(), String::new()));
    assert!(files.up());

    // The folder itself, and a file that is named.
    files.remove("literal.yml");
    std::fs::rename(files.folder.path().join("d"), files.folder.path().join("e")).unwrap();
    let (accounts, problems) = files.load();
    assert_eq!(accounts, "a=3");
    assert_eq!(problems, "literal.yml: does not exist\nd: does not exist");
    assert_eq!(files.checked(), "literal.yml: does not exist");
}

#[test]
fn a_bad_row_keeps_what_was_last_read_of_it() {
    let mut files = Files::new(&format!("{MAIN}account_files: [d/*.yml]\n"));
    let shared = |credential: &str, rows: &str| format!("credentials: [{credential}]\naccounts:\n{rows}");
    let jane = "{id: jane, network: mastodon, token: sim-j, connected_by: Jane}";
    files.write("d/a.yml", &shared(jane, "- {id: a, name: '1', network: mastodon, credential: jane}\n"));
    files.write("d/b.yml", &[own("b", "1"), own("c", "1")].concat());
    assert_eq!(files.load().0, "a=1 b=1 c=1");

    // A mistake in a row, whatever it is, costs this row; those that are gone are gone.
    for row in [
        "{id: b, name: '2', network: mastadon, token: sim-b}",
        "{id: b, name: '2', network: mastodon, token: sim-b, notify: [nobody]}",
        "{id: b, name: '2', network: mastodon, token: sim-b, labels: {9: x}}",
        "{id: b, name: '2', network: mastodon, token: sim-b, nane: x}",
        "{id: b, name: '2', network: mastodon, credential: jack}",
        "{id: b, name: '2', network: mastodon, needs: [all], token: sim-b}",
    ] {
        files.write("d/b.yml", &[format!("- {row}\n"), own("d", "1")].concat());
        let (accounts, problems) = files.load();
        assert_eq!(accounts, "a=1 b=1 d=1", "{row}");
        assert!(problems.starts_with("d/b.yml:1:") && problems.lines().count() == 1, "{row}: {problems}");
        assert_eq!((files.up(), files.refused()), (true, 1), "{row}");
    }
    // Without an id it could be any account of this file.
    files.write("d/b.yml", &[own("e", "1"), "- {name: '2'}\n- 7\n".to_owned()].concat());
    let (accounts, _) = files.load();
    assert_eq!((accounts.as_str(), files.refused()), ("a=1 b=1 d=1 e=1", 2));
    // The same with a list under a key that is not known.
    files.write("d/b.yml", &format!("acounts:\n{}", own("e", "1")));
    assert_eq!(files.load().0, "a=1 b=1 d=1 e=1");
    files.write("d/b.yml", &own("b", "2"));
    assert_eq!(files.load(), ("a=1 b=2".to_owned(), String::new()));

    // A bad credential keeps working for its accounts, old and new ones.
    let bad = "{id: jane, network: mastodon, token: sim-new, connected_by: [Jane]}";
    let rows = "- {id: a, name: '2', network: mastodon, credential: jane}\n- {id: f, name: '2', network: \
                mastodon, credential: jane}\n";
    files.write("d/a.yml", &shared(bad, rows));
    assert_eq!(files.load().0, "a=2 b=2 f=2");
    assert_eq!(files.refused(), 1);
    let person = files.inventory.account(0).unwrap().credential().unwrap().connected_by();
    assert_eq!(person, Some("Jane"));
    // A start knows nothing earlier: the row and those that refer to it are refused.
    files.inventory = Inventory::default();
    assert_eq!(files.load().0, "b=2");
    assert_eq!(files.refused(), 3);
}

#[test]
fn an_id_that_two_files_have_belongs_to_the_first() {
    let mut files = Files::new(&format!("{MAIN}account_files: [d/*.yml]\naccounts:\n{}", own("m", "1")));
    files.write("d/a.yml", &[own("a", "1"), own("a", "2")].concat());
    files.write("d/b.yml", &[own("a", "3"), own("b", "1"), own("m", "2")].concat());
    let (accounts, problems) = files.load();
    assert_eq!(accounts, "a=1 b=1 m=1");
    let expected = "d/a.yml:2:8: [1].id: \"a\" is already used at d/a.yml:1:8\nd/b.yml:1:8: [0].id: \"a\" is \
                    already used at d/a.yml:1:8\nd/b.yml:3:8: [2].id: \"m\" is already used at main.yaml:4:8";
    assert_eq!((problems.as_str(), files.refused()), (expected, 3));
    assert_eq!(files.checked(), expected);
    files.write("d/a.yml", "[]");
    assert_eq!(files.load().0, "a=3 b=1 m=1");
}

#[test]
fn a_list_that_halves_counts_when_it_is_seen_twice() {
    let mut files = Files::new(&format!("{MAIN}account_files: [d/*.yml]\n"));
    let rows = |ids: &str| ids.chars().map(|id| own(&id.to_string(), "1")).collect::<String>();
    files.write("d/a.yml", &rows("abc"));
    files.write("d/b.yml", &rows("de"));
    assert_eq!(files.look().0, "a=1 b=1 c=1 d=1 e=1");
    files.remove("d/b.yml");
    assert_eq!(files.look().0, "a=1 b=1 c=1", "less than half are gone");
    files.write("d/a.yml", &rows("a"));
    assert_eq!(files.look().0, "a=1 b=1 c=1");
    assert!(files.sources[0].shrunk);
    files.write("d/a.yml", &rows("ab"));
    assert_eq!(files.look().0, "a=1 b=1", "they are back before the second look");
    files.write("d/a.yml", "[]");
    assert_eq!(files.look().0, "a=1 b=1");
    assert_eq!(files.look().0, "");
    assert!(!files.sources[0].shrunk);
    // What moves into the configuration itself does not leave.
    files.write("d/a.yml", &rows("abc"));
    assert_eq!(files.look().0, "a=1 b=1 c=1");
    files.write("main.yaml", &format!("{MAIN}account_files: [d/*.yml]\naccounts:\n{}", rows("ab")));
    files.write("d/a.yml", "[]");
    assert_eq!(files.look().0, "a=1 b=1");
}

#[test]
fn rows_are_stored_without_their_tokens() {
    let apps = "apps: [{id: x-app, network: x, client_id: key, client_secret: sim-key-secret}, {id: app, \
                network: mastodon, base_url: \"http://127.0.0.1:1\"}, {id: other, network: mastodon, base_url: \
                \"http://127.0.0.1:2\"}]\naccount_files: [d/*.yml]\nglobal: {notify: [ops@example.com]}\n";
    let mut files = Files::new(apps);
    files.write("token", "sim-token-in-a-file");
    files.write(
        "d/a.yml",
        "credentials:\n- {id: jane, network: mastodon, app: other, token_file: ../token, connected_by: Jane Doe, \
         expires_at: 2026-12-24T00:00:00Z, refresh_expires_at: 1798761600, auto_refresh: true, scopes: [read, \
         write]}\n- {id: any, network: oauth2, base_url: \"https://id.example.com/api\", token_env: PATH, \
         probe_expect: {pointer: /ok, value: true}, probe_refused: [{status: 403, reason: missing_permission}, \
         {pointer: /error/code, value: 17, reason: token_expired}]}\naccounts:\n- {id: a, name: 'A \"page\"', \
         network: mastodon, kind: profile, external_id: '1', credential: jane, needs: [publish, analytics], use: \
         paid, labels: {team: x, zone: y}, notify: [a@example.com, b@example.com], reconnect_url: \
         \"https://app.example.com/a\", probe_interval: 90m, state: refresh needed}\n- {id: b, network: mastodon, credential: jane, \
         needs: [], notify: [a@example.com], notify_opt_out: [a@example.com]}\n- {id: c, network: oauth2, \
         credential: any}\n",
    );
    files.write(
        "d/b.yml",
        "- {id: own, network: mastodon, app: app, token: sim-token-inside}\n- {id: two, network: x, token: \
         sim-first-half, token_secret: sim-second-half}\n- {id: run, network: mastodon, app: app, token_command: \
         [/bin/echo, word]}\n",
    );
    let shown = |inventory: &Inventory, id: &str| {
        let account = inventory.account(inventory.find(id).expect(id)).unwrap();
        let credential = account.credential().unwrap();
        let place = &inventory.places()[account.place()];
        let clocks = (credential.expires_at(), credential.refresh_expires_at());
        let of_account = format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            account.settings(),
            account.labels().collect::<Vec<_>>(),
            account.name(),
            account.external_id(),
            (account.notify(), account.opted_out()),
            (account.reconnect_url(), account.source_state()),
            (place.path.file_name(), &place.source)
        );
        (of_account, format!("{:?} {clocks:?} {:?}", credential.settings(), credential.connected_by()))
    };
    let ids = ["a", "b", "c", "own", "two", "run"];
    assert_eq!(files.load().1, "");
    let before: Vec<_> = ids.iter().map(|id| shown(&files.inventory, id)).collect();
    store(files.folder.path(), &files.inventory, &files.sources[0]).unwrap();
    let stored = std::fs::read_to_string(files.folder.path().join("source-files.jsonl")).unwrap();
    for secret in ["sim-token-in-a-file", "sim-token-inside", "sim-first-half", "sim-second-half", "sim-key"]
    {
        assert!(!stored.contains(secret), "{secret} is stored");
    }

    // After a restart both files are broken: all is as it was, but tokens that stood in them.
    files.write("d/a.yml", "[");
    files.write("d/b.yml", "[");
    let main = [files.folder.path().join("main.yaml")];
    let mut config = load_keeping(&main, Known::Stored(Some(files.folder.path()))).unwrap();
    let sources = std::mem::take(&mut config.statuses);
    assert_eq!((sources[0].refused, sources[0].last_success), (2, files.sources[0].last_success));
    let restored = config.inventory(|_| true);
    let after: Vec<_> = ids.iter().map(|id| shown(&restored, id)).collect();
    assert_eq!(before, after);
    let token = |id: &str| restored.credential(restored.find_credential(id).unwrap()).unwrap().token();
    assert!(matches!(token("jane"), SecretSource::File(path) if path.ends_with("token")));
    assert_eq!(token("any"), SecretSource::Env("PATH".to_owned()));
    assert_eq!(token("run"), SecretSource::Command(vec!["/bin/echo".to_owned(), "word".to_owned()]));
    assert_eq!([token("own"), token("two")], [SecretSource::Unread, SecretSource::Unread]);
    // A readable file counts, and a stored row whose app is gone does not.
    files.write("d/b.yml", &own("new", "1").replace("network", "app: app, network"));
    files.write("main.yaml", &apps.replace("{id: other, ", "{id: another, "));
    let config = load_keeping(&main, Known::Stored(Some(files.folder.path()))).unwrap();
    let mut left: Vec<String> =
        config.inventory(|_| true).accounts().map(|account| account.id().to_owned()).collect();
    left.sort();
    assert_eq!(left, ["c", "new", "own", "run", "two"], "three of six stay for a second look");
}

#[test]
fn only_the_configuration_itself_must_be_right() {
    let mut files = Files::new(&format!("{MAIN}account_files: [d/*.yml]\n"));
    files.write("d/a.yml", "[");
    assert_eq!(files.load().0, "");
    // It may refer to what cannot be read now.
    let main = format!(
        "{MAIN}account_files: [d/*.yml]\naccounts: [{{id: a, network: mastodon, credential: jane}}]\n"
    );
    files.write("main.yaml", &main);
    let (accounts, problems) = files.load();
    assert_eq!((accounts.as_str(), files.refused()), ("", 2));
    assert!(problems.contains("main.yaml:3:51: accounts[0].credential: \"jane\" is not known"), "{problems}");
    files.write("d/a.yml", "[]");
    assert!(files.config().is_err(), "the credential is nowhere");
    files.write("main.yaml", "accounts: [{id: a}]\naccount_files: [d/*.yml]\n");
    files.write("d/a.yml", "[");
    assert!(files.config().unwrap_err().to_string().contains("d/a.yml:"), "every problem is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_account_file_neither_stops_a_start_nor_loses_accounts() {
    let account = |i: u32| {
        let id = (1_000_000 + i).to_string();
        let token = fixture_token(network("x"), "valid", &id);
        format!("- {{id: x-{i}, network: x, token: \"{token}\", external_id: \"{id}\"}}\n")
    };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
    write("a.yml", &account(1));
    symlink("nowhere", path("b.yml")).unwrap();
    let pattern = folder.path().join("*.yml").display().to_string();
    let daemon = Running::start(|base| {
        format!(
            "global: {{probe_interval: 1h}}\napps: [{{id: app, network: x, client_id: key, base_url: \
             \"{base}/x\"}}]\naccount_files: [\"{pattern}\"]\n"
        )
    })
    .await;
    let valid = |text: &str, i: u32| {
        sample(text, &format!("connection_valid{{account=\"x-{i}\",network=\"x\",reason=\"ok\"}}"))
            == Some(1.0)
    };
    let of_files =
        |text: &str, name: &str| sample(text, &format!("token_exporter_source_{name}{{source=\"files\"}}"));
    let text = daemon.until("it starts without the bad file", |text| valid(text, 1)).await;
    assert_eq!((of_files(&text, "up"), of_files(&text, "rows_refused")), (Some(0.0), Some(1.0)));
    assert_eq!(of_files(&text, "last_success_timestamp_seconds"), None);
    let page = get(&format!("http://{}/", daemon.address)).await.unwrap();
    assert!(page.contains("b.yml: does not exist"), "{page}");

    std::fs::remove_file(path("b.yml")).unwrap();
    write("b.yml", &[account(2), account(3)].concat());
    let text = daemon.until("the file is read", |text| valid(text, 2) && valid(text, 3)).await;
    assert_eq!((of_files(&text, "up"), of_files(&text, "rows_refused")), (Some(1.0), Some(0.0)));
    assert_eq!(of_files(&text, "accounts"), Some(3.0));
    assert!(of_files(&text, "last_success_timestamp_seconds").is_some());
    assert!(of_files(&text, "refresh_duration_seconds_count") >= Some(2.0));
    let page = get(&format!("http://{}/", daemon.address)).await.unwrap();
    assert!(!page.contains("could not all be read"));
    let since = |text: &str| {
        sample(text, "connection_state_change_timestamp_seconds{account=\"x-2\",network=\"x\"}").unwrap()
    };
    let before = since(&text);

    // A pipe: reading it would wait for ever. Meanwhile a good file changes.
    std::fs::remove_file(path("b.yml")).unwrap();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, path("b.yml"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    write("a.yml", &[account(1), account(4)].concat());
    let text = daemon.until("the good file counts", |text| valid(text, 4)).await;
    assert!(valid(&text, 2) && valid(&text, 3) && since(&text) == before);
    assert_eq!((of_files(&text, "accounts"), of_files(&text, "rows_refused")), (Some(4.0), Some(1.0)));
    assert_eq!(sample(&text, "token_exporter_config_last_reload_successful"), Some(1.0));

    // A bad row, beside one that is gone.
    std::fs::remove_file(path("b.yml")).unwrap();
    write("b.yml", &account(2).replace("network: x", "network: twiter"));
    let text = daemon.until("what is gone leaves", |text| !text.contains("account=\"x-3\"")).await;
    assert!(valid(&text, 2) && since(&text) == before);
    assert_eq!((of_files(&text, "up"), of_files(&text, "rows_refused")), (Some(1.0), Some(1.0)));
    std::fs::remove_file(path("b.yml")).unwrap();
    daemon.until("a file that is gone takes its accounts", |text| !text.contains("account=\"x-2\"")).await;
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_beside_a_bad_file_keeps_accounts_and_verdicts() {
    let files = tempfile::tempdir().unwrap();
    let account = |id: &str, token: &str| {
        format!("- {{id: {id}, network: x, {token}, external_id: \"{}\"}}\n", id.trim_start_matches("x-"))
    };
    let token = |id: &str| fixture_token(network("x"), "valid", id);
    let path = files.path().join("token");
    std::fs::write(&path, token("1000001")).unwrap();
    let rows = account("x-1000001", &format!("token_file: \"{}\"", path.display()))
        + &account("x-1000002", &format!("token: \"{}\"", token("1000002")));
    std::fs::write(files.path().join("a.yml"), &rows).unwrap();
    let pattern = files.path().join("*.yml").display().to_string();
    let daemon = Running::start(|base| {
        format!(
            "global: {{probe_interval: 1s}}\napps: [{{id: app, network: x, client_id: key, base_url: \
             \"{base}/x\"}}]\naccount_files: [\"{pattern}\"]\n"
        )
    })
    .await;
    let of = |text: &str, family: &str, id: &str, more: &str| {
        sample(text, &format!("{family}{{account=\"x-{id}\",network=\"x\"{more}}}"))
    };
    let valid = |text: &str, id: &str| of(text, "connection_valid", id, ",reason=\"ok\"") == Some(1.0);
    let since = |text: &str, id: &str| of(text, "connection_state_change_timestamp_seconds", id, "");
    let both = |text: &str| valid(text, "1000001") && valid(text, "1000002");
    let before = daemon.until("both are probed", both).await;
    std::fs::write(files.path().join("a.yml"), "[").unwrap();
    let daemon = daemon.restart().await;

    // The token in its own file is read and probed; the one that stood in the bad file is not known.
    let unavailable = ",cause=\"source_unavailable\"";
    let text = daemon
        .until("the restart has probed", |text| {
            of(text, "connection_undetermined", "1000002", unavailable) == Some(1.0)
                && of(text, "connection_probe_success", "1000001", "") == Some(1.0)
        })
        .await;
    assert!(both(&text), "the last verdicts stand");
    for id in ["1000001", "1000002"] {
        assert_eq!(since(&text, id), since(&before, id), "nothing has changed");
    }
    assert_eq!(sample(&text, "token_exporter_source_accounts{source=\"files\"}"), Some(2.0));
    std::fs::write(files.path().join("a.yml"), &rows).unwrap();
    let probed = |text: &str| of(text, "connection_probe_success", "1000002", "") == Some(1.0);
    let text = daemon.until("the file is good again", |text| both(text) && probed(text)).await;
    assert_eq!(since(&text, "1000002"), since(&before, "1000002"));
    daemon.end().await;
}
