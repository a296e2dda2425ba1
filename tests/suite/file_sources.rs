//! Sources that are files: as the account files, with a name, defaults and problems of their own.

use std::path::Path;
use std::sync::{Arc, Mutex};

use secrecy::zeroize::Zeroizing;
use token_exporter::config::{self, Config, Known, Last, load, load_keeping};
use token_exporter::inventory::{Inventory, SourceStatus};
use token_exporter::simulator::fixture_token;

use crate::cli::{run, text};
use crate::daemon::{Running, network, sample};
use crate::http_source::{Server, json};
use crate::probing::simulator;

const APPS: &str = "apps: [{id: masto, network: mastodon, base_url: \"http://127.0.0.1:1\"}, {id: other, \
                    network: mastodon, base_url: \"http://127.0.0.1:2\"}]\n";

/// A configuration in a folder, and what is in force.
struct Files {
    folder: tempfile::TempDir,
    config: Config,
    inventory: Inventory,
}

impl Files {
    fn new(sources: &str, files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let new = Self { folder, config: Config::default(), inventory: Inventory::default() };
        new.write("main.yaml", &format!("{APPS}{sources}\n"));
        files.iter().for_each(|(name, content)| new.write(name, content));
        new
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Reads the files once, and returns the accounts with their names and sources, and the problems.
    fn load(&mut self) -> (String, String) {
        let last = Last { inventory: &self.inventory, sources: &self.config.statuses };
        let main = [self.folder.path().join("main.yaml")];
        let config = load_keeping(&main, Known::Last(last)).unwrap_or_else(|problems| panic!("{problems}"));
        let problems = self.shown(&config.refused.to_string());
        self.put(config);
        (self.accounts(), problems)
    }

    fn put(&mut self, config: Config) {
        self.config = config.without_rows();
        self.inventory = config.inventory(|_| true);
    }

    fn accounts(&self) -> String {
        let mut accounts: Vec<String> = self
            .inventory
            .accounts()
            .map(|account| {
                let source = self.inventory.places()[account.place()].source.as_deref();
                format!("{}={}@{}", account.id(), account.name(), source.unwrap_or("-"))
            })
            .collect();
        accounts.sort();
        accounts.join(" ")
    }

    fn shown(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }

    fn status(&self, source: &str) -> &SourceStatus {
        self.config.statuses.iter().find(|status| status.id == source).expect("a source")
    }

    /// Whether a source is up, and what it refuses.
    fn state(&self, source: &str) -> (Option<bool>, usize, String) {
        let status = self.status(source);
        (status.up, status.refused, self.shown(&status.problems.join("\n")))
    }

    /// What `--config.check` says.
    fn checked(&self) -> String {
        let problems = load(&[self.folder.path().join("main.yaml")]).err().unwrap_or_default();
        self.shown(&problems.to_string())
    }
}

/// An account with a token of its own.
fn own(id: &str, name: &str) -> String {
    format!("- {{id: {id}, name: {name}, network: mastodon, app: masto, token: sim-{id}}}\n")
}

const TWO: &str =
    "account_files: [d/*.yml]\nsources: [{id: team-a, file: [a/*.yml, a.yml]}, {id: team-b, file: [b/*]}]";

#[test]
fn each_source_has_its_own_accounts_and_problems() {
    let mut files = Files::new(TWO, &[]);
    for (name, id) in [("d/1.yml", "d"), ("a/1.yml", "a"), ("a.yml", "aa"), ("b/1.yml", "b")] {
        files.write(name, &own(id, "1"));
    }
    assert_eq!(files.load(), ("a=1@team-a aa=1@team-a b=1@team-b d=1@files".to_owned(), String::new()));
    let success = files.status("team-a").last_success;
    assert!(success.is_some());

    // A bad file and a bad row cost themselves only, and belong to their source.
    files.write("a/1.yml", "[");
    files.write("a.yml", &own("aa", "2"));
    files.write("b/1.yml", &[own("b", "2"), "- {id: c, network: mastadon}\n".to_owned()].concat());
    let (accounts, problems) = files.load();
    assert_eq!(accounts, "a=1@team-a aa=2@team-a b=2@team-b d=1@files");
    assert_eq!(problems, files.checked());
    let (up, refused, problem) = files.state("team-a");
    assert_eq!((up, refused, files.status("team-a").last_success), (Some(false), 1, success));
    assert!(problem.starts_with("a/1.yml:") && problem.lines().count() == 1, "{problem}");
    let (up, refused, problem) = files.state("team-b");
    assert_eq!((up, refused), (Some(true), 1));
    assert!(problem.lines().all(|line| line.starts_with("b/1.yml:2:")), "{problem}");
    assert_eq!(files.state("files"), (Some(true), 0, String::new()));

    // So does a folder that cannot be read, as long as accounts of it are known.
    files.write("b/1.yml", &own("b", "3"));
    std::fs::rename(files.folder.path().join("a"), files.folder.path().join("moved")).unwrap();
    assert_eq!(files.load().0, "a=1@team-a aa=2@team-a b=3@team-b d=1@files");
    assert_eq!(files.state("team-a"), (Some(false), 1, "a: does not exist".to_owned()));
    files.write("a.yml", &[own("aa", "3"), own("a", "3")].concat());
    files.load();
    let (accounts, problems) = files.load();
    assert_eq!((accounts.as_str(), &*problems), ("a=3@team-a aa=3@team-a b=3@team-b d=1@files", ""));

    // A list that halves stays until the next look, and the others do not.
    files.write("a.yml", &own("x", "1"));
    files.write("b/1.yml", &own("y", "1"));
    files.write("main.yaml", &format!("{APPS}{}\n", TWO.replace(", {id: team-b, file: [b/*]}", "")));
    assert_eq!(files.load().0, "a=3@team-a aa=3@team-a d=1@files x=1@team-a");
    let missing = "source team-a: 2 of 2 accounts are missing; they leave when they are missing again";
    assert_eq!((files.status("team-a").shrunk, files.state("team-a").2), (true, missing.to_owned()));
    assert_eq!(files.load().0, "d=1@files x=1@team-a");
}

#[test]
fn rows_become_accounts_as_those_of_other_sources() {
    let settings = "map: {network: provider, name: page.title}, values: {network: {fedi: mastodon}}, defaults: \
                    {needs: [publish, analytics], notify: [a@example.com]}, apps: {mastodon: other}";
    let mut files = Files::new(&format!("sources: [{{id: a, file: [a/*], {settings}}}]"), &[]);
    files.write("token", "sim-token");
    files.write(
        "a/1.yml",
        "credentials: [{id: jane, network: fedi, token_file: ../token}]\naccounts:\n- {id: y1, provider: fedi, \
         page: {title: Y1}, credential: jane, label_team: north, needs: []}\n- {id: y2, provider: fedi, page: \
         {title: Y2}, token_file: ../token, notify: 'b@example.com, c@example.com', name: ''}\n- {id: bad, \
         provider: tiktak, token: sim-t}\n",
    );
    files.write(
        "a/2.json",
        "[{\"id\": \"j\", \"provider\": \"fedi\", \"page\": {\"title\": \"J\"}, \"token\": \"sim-j\"}]",
    );
    files.write(
        "a/3.jsonl",
        "{\"id\": \"l1\", \"provider\": \"fedi\", \"page\": {\"title\": \"L1\"}, \"token\": \"sim-l\"}\n\
         {\"credential\": {\"id\": \"joe\", \"network\": \"fedi\", \"token\": \"sim-joe\"}}\n\
         {\"id\": \"l2\", \"provider\": \"fedi\", \"credential\": \"joe\"}\n",
    );
    let (accounts, problems) = files.load();
    assert_eq!(accounts, "j=J@a l1=L1@a l2=l2@a y1=Y1@a y2=Y2@a");
    assert!(problems.starts_with("a/1.yml:5:23: accounts[2].network: \"tiktak\" is not known"), "{problems}");
    let shown = |id: &str| {
        let account = files.inventory.account(files.inventory.find(id).expect(id)).unwrap();
        let needs: Vec<&str> = account.needs().iter().map(|need| need.label()).collect();
        let labels: Vec<String> = account.labels().map(|(name, value)| format!("{name}={value} ")).collect();
        let app = account.credential().unwrap().app_id().to_owned();
        format!("{app} {} {}{}", needs.join(","), labels.concat(), account.notify())
    };
    assert_eq!(shown("y1"), "other  team=north a@example.com");
    assert_eq!(shown("y2"), "other publish,analytics b@example.com,c@example.com");
    for id in ["j", "l1", "l2"] {
        assert_eq!(shown(id), "other publish,analytics a@example.com", "{id}");
    }
}

#[test]
fn an_id_belongs_to_the_first_source_whatever_its_kind() {
    let app = "apps: {mastodon: masto}";
    let http = format!("http: {{url: \"http://127.0.0.1:1/\"}}, {app}");
    let yaml =
        format!("sources: [{{id: a, file: [a.yml]}}, {{id: p, {http}}}, {{id: b, file: [b.yml, a.yml]}}]");
    let mut files = Files::new(&yaml, &[("a.yml", &own("x", "a")), ("b.yml", &own("y", "b"))]);
    assert_eq!(files.load(), ("x=a@a y=b@b".to_owned(), String::new()), "a file belongs to the first, too");
    let list = |files: &mut Files| {
        let row = |id: &str| {
            format!(
                "{{\"id\": \"{id}\", \"name\": \"p\", \"network\": \"mastodon\", \"token\": \"sim-p{id}\"}}"
            )
        };
        let page = Zeroizing::new(format!("[{}, {}, {}]", row("x"), row("y"), row("z")));
        let sources = files.config.statuses.clone();
        let last = Last { inventory: &files.inventory, sources: &sources };
        let config = config::refresh(&files.config, last, "p", &[page], []).expect("JSON");
        let problems = files.shown(&config.refused.to_string());
        files.put(config);
        (files.accounts(), problems)
    };
    let expected = "source p: accounts[0].id: \"x\" is already used at a.yml";
    assert_eq!(list(&mut files), ("x=a@a y=p@p z=p@p".to_owned(), expected.to_owned()));
    files.write("b.yml", &[own("y", "b"), own("w", "b")].concat());
    let (accounts, problems) = files.load();
    assert_eq!(accounts, "w=b@b x=a@a y=p@p z=p@p");
    assert_eq!(problems, "b.yml:1:8: [0].id: \"y\" is already used at source p");
    assert_eq!((files.status("b").refused, files.status("p").up), (1, Some(true)));
}

#[test]
fn what_is_not_supported_is_told() {
    for (source, expected) in [
        ("{id: a, file: []}", "sources[0].file: names no file: expected a list like [accounts.d/*.yml]"),
        ("{id: a, file: a.yml}", "sources[0].file: expected a list, found "),
        ("{id: a, file: ['a/[.yml']}", "sources[0].file[0]: is not a pattern of file names"),
        (
            "{id: a, file: [a.yml], refresh_interval: 5m}",
            "sources[0].refresh_interval: is not for files: they are read again when they change",
        ),
        (
            "{id: a, file: [a.yml], http: {url: \"https://a.example.com\"}}",
            "expected exactly one of file, http, sql",
        ),
        ("{id: files, file: [a.yml]}", "files is the source of account_files; choose another id"),
        ("{id: a, file: [a.yml]}, {id: a, file: [b.yml]}", "sources[1]: the id \"a\" is already used"),
        ("{id: a, file: [a.yml], decrypt: {scheme: laravel}}", "unknown key"),
    ] {
        let problems =
            Files::new(&format!("sources: [{source}]"), &[("a.yml", "[]"), ("b.yml", "[]")]).checked();
        assert!(problems.contains(expected) && problems.lines().count() == 1, "{source}: {problems}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_noticed_and_a_check_shows_a_source() {
    let (_networks, address) = simulator().await;
    let account = |number: u32, provider: &str| {
        let id = (1_000_000 + number).to_string();
        let token = fixture_token(network("x"), "valid", &id);
        format!(
            "{{\"id\": \"x-{number}\", \"network\": \"{provider}\", \"token\": \"{token}\", \"external_id\": \"{id}\"}}\n"
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("a.jsonl", &account(1, "twitter"));
    write("b.yml", "[");
    let main = |base: &str, folder: &Path| {
        let folder = folder.display();
        format!(
            "global: {{probe_interval: 1h}}\napps: [{{id: app, network: x, client_id: key, base_url: \
             \"{base}/x\"}}]\nsources: [{{id: team-a, file: ['{folder}/*.jsonl'], values: {{network: {{birds: \
             x}}}}}}, {{id: team-b, file: ['{folder}/b.yml']}}]\n"
        )
    };
    let daemon = Running::start(|base| main(base, folder.path())).await;
    let valid = |text: &str, id: u32| {
        sample(text, &format!("connection_valid{{account=\"x-{id}\",network=\"x\",reason=\"ok\"}}"))
            == Some(1.0)
    };
    let of = |text: &str, source: &str, name: &str| {
        sample(text, &format!("token_exporter_source_{name}{{source=\"{source}\"}}"))
    };
    let text_of = daemon.until("it starts", |text| valid(text, 1)).await;
    assert_eq!(of(&text_of, "team-a", "up"), Some(1.0));
    assert_eq!((of(&text_of, "team-b", "up"), of(&text_of, "team-b", "accounts")), (Some(0.0), Some(0.0)));
    assert!(!text_of.contains("source=\"files\""));
    write("b.yml", &account(2, "x").replace("{\"id", "- {\"id"));
    write("c.jsonl", &account(3, "birds"));
    let text_of = daemon.until("the changes count", |text| valid(text, 2) && valid(text, 3)).await;
    assert_eq!((of(&text_of, "team-a", "accounts"), of(&text_of, "team-b", "up")), (Some(2.0), Some(1.0)));
    assert!(of(&text_of, "team-b", "refresh_duration_seconds_count") >= Some(2.0));
    daemon.end().await;

    // A check of one source shows what is wrong with it, and with no other.
    write("b.yml", "[");
    write("d.jsonl", "{\"id\": \"d\", \"network\": \"x\"}\n");
    write("main.yaml", &main(&format!("http://{address}"), folder.path()));
    let config = folder.path().join("main.yaml").display().to_string();
    let output = run(&["check", "--config.file", &config, "--source", "team-a"], "");
    let (shown, problems) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{shown}{problems}");
    assert!(shown.contains("x-1") && shown.contains("x-3") && !shown.contains("x-2"), "{shown}");
    assert!(
        problems.contains("d.jsonl:1:1: names neither a credential nor a token")
            && !problems.contains("b.yml"),
        "{problems}"
    );
    assert!(problems.contains("team-a: 2 accounts of 2 logins (x 2); 1 rows refused"), "{problems}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_returns_to_a_file_when_an_earlier_source_drops_it() {
    let row = |number: u32, begin: &str| {
        let id = (1_000_000 + number).to_string();
        let token = fixture_token(network("x"), "valid", &id);
        format!(
            "{begin}{{\"id\": \"x-{number}\", \"network\": \"x\", \"token\": \"{token}\", \"external_id\": \"{id}\"}}"
        )
    };
    let list = Arc::new(Mutex::new(format!("[{}{}]", row(1, ""), row(2, ","))));
    let served = list.clone();
    let server = Server::start(move |_| json(&*served.lock().unwrap())).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("b.yml"), row(2, "- ")).unwrap();
    let (url, file) = (server.url("/"), folder.path().join("b.yml").display().to_string());
    let daemon = Running::start(|base| {
        format!(
            "global: {{probe_interval: 1h}}\napps: [{{id: app, network: x, client_id: key, base_url: \
             \"{base}/x\"}}]\nsources: [{{id: product, http: {{url: '{url}'}}, refresh_interval: 1s}}, {{id: \
             team-b, file: ['{file}']}}]\n"
        )
    })
    .await;
    let of = |text: &str, source: &str, name: &str| {
        sample(text, &format!("token_exporter_source_{name}{{source=\"{source}\"}}"))
    };
    let owned = |text: &str, product: f64, team: f64, refused: f64| {
        of(text, "product", "accounts") == Some(product)
            && of(text, "team-b", "accounts") == Some(team)
            && of(text, "team-b", "rows_refused") == Some(refused)
    };
    daemon
        .until("the product has both, and the file's row is refused", |text| owned(text, 2.0, 0.0, 1.0))
        .await;
    *list.lock().unwrap() = format!("[{}]", row(1, ""));
    daemon.until("the file's row counts", |text| owned(text, 1.0, 1.0, 0.0)).await;
    daemon.end().await;
}
