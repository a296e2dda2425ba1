//! Configurations: the exact messages about bad ones, and the values of good ones.
//!
//! `tests/config/bad/<name>.yaml` must give exactly `<name>.txt`. Files that are too large to store
//! are generated here and compared with `tests/config/generated`. `UPDATE_GOLDEN=1` writes the
//! texts anew: review the difference like code.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use token_exporter::config::{Config, Notice, Problems, keys, load};
use token_exporter::inventory::{AccountView, RateLimit, SecretSource};
use token_exporter::model::{Capability, Expiry, Reason, Timestamp, Use};
use token_exporter::network::{ProbeField, ProbeRefusal};
use token_exporter::source::{self, Unreadable};

const HERE: &str = "tests/config";

fn load_one(path: impl Into<PathBuf>) -> Result<Config, Problems> {
    load(&[path.into()])
}

/// Compares a text with the stored one, or stores it.
fn expect(file: &Path, found: &str) -> Option<String> {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file, found).unwrap();
    }
    let expected = std::fs::read_to_string(file).unwrap_or_default();
    (expected != found).then(|| format!("{}:\n--- expected\n{expected}\n--- found\n{found}", file.display()))
}

fn bad_files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(Path::new(HERE).join("bad")).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    files
}

#[test]
fn bad_configurations_are_told_why() {
    let mut failures = Vec::new();
    for file in bad_files() {
        let found =
            load_one(&file).map_or_else(|problems| problems.to_string(), |_| "nothing is wrong".to_owned());
        let found = found.replace(&format!("{HERE}/bad/"), "") + "\n";
        failures.extend(expect(&file.with_extension("txt"), &found));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// All words of letters and digits with "sim" in them, as in every secret of these files.
fn secrets(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    words.filter(|w| w.len() >= 6 && w.to_ascii_lowercase().contains("sim")).map(str::to_owned).collect()
}

#[test]
fn no_message_shows_a_secret_or_a_part_of_one() {
    let mut looked_for = 0;
    for file in bad_files() {
        let text = std::fs::read_to_string(&file).unwrap();
        let told = match load_one(&file) {
            Ok(config) => format!("{:?} {:?}", config.warnings, config),
            Err(problems) => format!("{problems} {problems:?}"),
        };
        for secret in secrets(&text) {
            looked_for += 1;
            for part in (0..=secret.len().saturating_sub(8)).map(|at| &secret[at..(at + 8).min(secret.len())])
            {
                assert!(!told.contains(part), "{}: {part} shows in\n{told}", file.display());
            }
        }
    }
    assert!(looked_for > 40, "{looked_for}");
}

/// A generated bad configuration: its name, its content, and its time limit.
fn generated(name: &str, content: &[u8]) -> Option<String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.yaml");
    std::fs::write(&file, content).unwrap();
    expect_problems(name, directory.path(), &file)
}

fn expect_problems(name: &str, directory: &Path, file: &Path) -> Option<String> {
    let started = Instant::now();
    let found =
        load_one(file).map_or_else(|problems| problems.to_string(), |_| "nothing is wrong".to_owned());
    let took = started.elapsed();
    // This only detects hanging; without limits in the parser, some of these take minutes.
    assert!(took < Duration::from_secs(60), "{name} took {took:?}");
    let found = found.replace(&format!("{}/", directory.display()), "") + "\n";
    expect(&Path::new(HERE).join("generated").join(name).with_extension("txt"), &found)
}

#[test]
fn bombs_and_broken_files_are_refused_at_once() {
    let mut block = String::new();
    for depth in 0..2000 {
        let _ = writeln!(block, "{}a:", " ".repeat(depth));
    }
    let mut chain = String::from("a0: &a0 [x]\n");
    for i in 1..3000 {
        let _ = writeln!(chain, "a{i}: &a{i} [*a{}]", i - 1);
    }
    let repeated = |text: &str, n: usize| text.repeat(n).into_bytes();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("deep-flow", [repeated("[", 40), repeated("]", 40)].concat()),
        ("deep-block", block.into_bytes()),
        ("deep-list", repeated("- ", 100_000)),
        ("deep-keys", repeated("? ", 100_000)),
        ("brackets", repeated("[", 200_000)),
        ("braces", repeated("{", 200_000)),
        ("braces-with-keys", repeated("{a: ", 50_000)),
        ("brackets-on-lines", repeated("[\n", 100_000)),
        ("closing-brackets", repeated("]", 200_000)),
        ("anchor-chain", chain.into_bytes()),
        ("anchors", repeated("&a ", 100_000)),
        ("tags", repeated("!!str ", 100_000)),
        (
            "many-keys",
            (0..100_000).fold(Vec::new(), |mut text, i| {
                text.extend(format!("k{i}: 1\n").bytes());
                text
            }),
        ),
        ("open-quote", [b"accounts: \"".to_vec(), repeated("sim ", 100_000)].concat()),
        ("one-long-line", [b"accounts: ".to_vec(), repeated("sim ", 500_000)].concat()),
        ("not-utf-8", b"global:\n  notify: [\"\xc3\xa4\xff\"]\n".to_vec()),
        ("utf-16", b"\xff\xfeg\0l\0o\0b\0a\0l\0".to_vec()),
        ("zero-bytes", b"global:\0\n".to_vec()),
    ];
    let failures: Vec<String> = cases.iter().filter_map(|(name, content)| generated(name, content)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn files_that_cannot_be_read_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let large = path("large.yaml");
    // A sparse file: 100 MB that take no space.
    std::fs::File::create(&large).unwrap().set_len(100_000_000).unwrap();
    std::fs::create_dir(path("directory.yaml")).unwrap();
    let failures: Vec<String> =
        [("too-large", large), ("missing", path("missing.yaml")), ("a-directory", path("directory.yaml"))]
            .iter()
            .filter_map(|(name, file)| expect_problems(name, directory.path(), file))
            .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn many_problems_are_told_at_once_and_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write(
        "a.yaml",
        "global: {probe_timeout: never}\nschedule:\n  - notices: [1d]\naccount_files: [more/*.yml, \
         none/*.yml]\n",
    );
    write(
        "b.yaml",
        "accounts:\n  - {id: one, network: mastodon, credential: jan}\nschedule:\n  - notices: \
         [1d]\nglobal: {}\n",
    );
    std::fs::create_dir(directory.path().join("more")).unwrap();
    write(
        "more/1.yml",
        "- {id: one, network: mastodon, credential: jane}\n- {id: two, network: mastodn, credential: jane}\n",
    );
    write("more/2.yml", "credentials:\n  - {id: jane, network: mastodon, token_env: JANE}\nglobal: {}\n");
    let problems = load(&["a.yaml", "b.yaml"].map(|name| directory.path().join(name))).unwrap_err();
    let found = problems.to_string().replace(&format!("{}/", directory.path().display()), "") + "\n";
    assert_eq!(expect(&Path::new(HERE).join("generated/several-files.txt"), &found), None);
}

#[test]
fn a_broken_file_does_not_make_references_into_it_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("a.yaml"), "credentials: [\n").unwrap();
    std::fs::write(path("b.yaml"), "accounts:\n  - {id: one, network: facebook, credential: jane}\n")
        .unwrap();
    let problems = load(&[path("a.yaml"), path("b.yaml")]).unwrap_err();
    assert_eq!(problems.list.len(), 1, "{problems}");
}

fn account<'c>(config: &'c Config, id: &str) -> AccountView<'c> {
    config.table.find(id).and_then(|index| config.table.account(index)).unwrap()
}

#[test]
fn the_example_is_right_and_complete() {
    let config = load_one("config.example.yaml").unwrap();
    // The example's secrets and account files are not there.
    let missing = [
        "the file does not exist",
        "the environment variable is not set",
        "there is no such program",
        "matches no file",
    ];
    let unexpected = config.warnings.iter().filter(|w| !missing.contains(&w.message.as_str()));
    let unexpected: Vec<String> = unexpected.map(ToString::to_string).collect();
    assert_eq!(unexpected, Vec::<String>::new());
    let text = std::fs::read_to_string("config.example.yaml").unwrap();
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let words: Vec<&str> = text.split(|c| !is_part(c)).collect();
    let mut checked = 0;
    for key in keys() {
        checked += 1;
        assert!(words.contains(&key), "the example does not show {key}");
    }
    assert!(checked > 30, "{checked}");
}

/// Examples that show a part of a configuration, with what belongs before it.
fn whole(example: &str) -> String {
    let source = "sources:\n  - id: example\n";
    let sql = "      driver: sqlite\n      database: accounts.db\n      query: SELECT 1\n";
    if example.starts_with("credentials:\n") {
        format!("apps: [{{id: fb, network: facebook, client_id: key, client_secret: sim-s}}]\n{example}")
    } else if example.starts_with("    sql:\n") {
        format!("{source}{}", example.replacen("    sql:\n", &format!("    sql:\n{sql}"), 1))
    } else if example.starts_with("      ") {
        format!("{source}    sql:\n{sql}{example}")
    } else {
        example.to_owned()
    }
}

#[test]
fn the_examples_of_the_guides_are_right() {
    let folder = std::fs::read_dir("docs/sources").unwrap().map(|entry| entry.unwrap().path());
    let guides = folder.chain(["docs/digest.md", "docs/oauth2.md", "docs/sources.md"].map(Into::into));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.yaml");
    let mut checked = 0;
    for guide in guides {
        let text = std::fs::read_to_string(&guide).unwrap();
        for example in text.split("```yaml\n").skip(1).map(|e| e.split("```").next().unwrap()) {
            // Those of other programs.
            if ["# kustomization.yaml", "components:"].iter().any(|start| example.starts_with(start)) {
                continue;
            }
            std::fs::write(&file, whole(example)).unwrap();
            let problems = load_one(&file).err().map(|problems| problems.to_string()).unwrap_or_default();
            assert_eq!(problems, "", "{}: {example}", guide.display());
            checked += 1;
        }
    }
    assert!(checked >= 18, "{checked}");
}

#[test]
fn everything_that_a_configuration_says_is_there() {
    let config = load_one(Path::new(HERE).join("good/everything.yaml")).unwrap();
    assert_eq!(config.global.probe_interval, Some(Duration::from_secs(1800)));
    assert_eq!(config.global.probe_timeout, Duration::from_millis(2500));
    assert_eq!(config.global.probe_concurrency, 8);
    assert!(config.global.allow_private_networks);

    let app = &config.apps[0];
    assert_eq!((app.id.as_str(), app.client_id.as_str(), app.api), ("acme-facebook", "0123", ""));
    assert!(
        matches!(&app.client_secret, Some(SecretSource::File(path)) if path.ends_with("tests/config/good/../secrets/app"))
    );
    assert_eq!(app.rate_limit, Some(RateLimit { count: 20, per: Duration::from_secs(1) }));
    assert_eq!(app.base_url.as_ref().map(url::Url::as_str), Some("http://127.0.0.1:8080/graph"));
    assert_eq!(config.apps[1].api, "instagram_login");
    let generic = config.apps.iter().find(|a| a.id == "sso").unwrap();
    assert_eq!(
        generic.endpoints,
        [
            ("issuer", "https://id.example.com/".to_owned()),
            ("probe_url", "https://api.example.com/me".to_owned())
        ]
    );
    let field = |pointer: &str, value: Option<&str>| ProbeField {
        pointer: pointer.to_owned(),
        value: value.map(str::to_owned),
    };
    let refusal = |status, field, reason| ProbeRefusal { status, field, reason };
    assert_eq!(generic.probe_rules.expect, Some(field("/data/active", Some("true"))));
    assert_eq!(
        generic.probe_rules.refused,
        [
            refusal(Some(403), None, Reason::MissingPermission),
            refusal(None, Some(field("/error/code", Some("17"))), Reason::TokenExpired),
            refusal(Some(400), Some(field("/blocked", None)), Reason::AccountSuspended),
        ]
    );
    let own = config.table.find_credential("api-login").and_then(|i| config.table.credential(i)).unwrap();
    let rules = own.probe_rules().map(|rules| rules.expect.clone());
    assert_eq!(rules, Some(Some(field("/id", None))));

    let page = account(&config, "acme-page");
    let jane = page.credential().unwrap();
    assert_eq!((jane.id(), jane.app(), jane.connected_by()), ("jane-facebook", Some(0), Some("Jane Doe")));
    assert_eq!(jane.expires_at(), Timestamp::parse("2027-01-31T00:00:00Z"));
    assert_eq!(jane.refresh_expires_at(), Timestamp::from_unix(1_812_067_200));
    assert_eq!(jane.scopes(), Some(&["pages_show_list".to_owned(), "pages_manage_posts".to_owned()][..]));
    assert!(jane.auto_refresh());
    assert_eq!(
        (page.name(), page.kind(), page.external_id()),
        ("ACME on Facebook", "page", "17841400000000000")
    );
    assert_eq!(page.needs().iter().collect::<Vec<_>>(), [Capability::Publish, Capability::Inbox]);
    assert_eq!(page.purpose(), Use::Paid);
    assert_eq!(page.labels().collect::<Vec<_>>(), [("team", "marketing"), ("country", "NO")]);
    assert_eq!(page.notify(), "jane@example.com");
    assert_eq!(page.reconnect_url(), "https://app.example.com/reconnect/acme-page?x=1");
    assert_eq!(page.interval(None), Duration::from_secs(6 * 3600));

    let quiet = account(&config, "quiet");
    assert_eq!(quiet.notify(), "ops@example.com");
    assert_eq!((quiet.name(), quiet.labels().count()), ("quiet", 2), "labels through an alias");
    let own = account(&config, "own-token");
    let own = own.credential().unwrap();
    assert_eq!(own.id(), "own-token");
    assert!(matches!(own.token(), SecretSource::Command(words) if words == ["pass", "show", "x"]));
    assert!(matches!(own.token_secret(), Some(SecretSource::Env(name)) if name == "X_TOKEN_SECRET"));

    for id in ["0123", "17841400000000000", "1e5", "0x1F", "true", "NO", "1_000", "2027-01-31"] {
        assert_eq!(account(&config, id).external_id(), id, "ids keep their text");
    }
    assert_eq!(account(&config, "from-a-file").credential_index(), page.credential_index());
    assert_eq!(account(&config, "from-another-file").network().name(), "mastodon");

    assert_eq!(config.schedule.len(), 2);
    assert_eq!(config.schedule[0].notices, [Notice::Before(Duration::from_secs(90)), Notice::Today]);
    assert_eq!(config.schedule[0].networks.iter().map(|n| n.name()).collect::<Vec<_>>(), ["x", "mastodon"]);
    assert_eq!(config.table.places().len(), 3);
    assert_eq!(config.patterns.len(), 1);
}

#[test]
fn without_a_schedule_there_is_the_default_one() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.yaml");
    std::fs::write(&file, "global: {}\naccounts:\napps: []\n").unwrap();
    let config = load_one(&file).unwrap();
    let days = |n: u64| Notice::Before(Duration::from_secs(n * 86_400));
    let notices: Vec<&[Notice]> = config.schedule.iter().map(|r| r.notices.as_slice()).collect();
    assert_eq!(
        notices,
        [&[days(10)][..], &[days(10), days(1), Notice::Today], &[days(10), days(5), days(1), Notice::Today]]
    );
    assert!(config.schedule[0].uses == [Use::Monitored] && config.schedule[2].uses.is_empty());
    assert_eq!(config.global.probe_interval, None);
}

#[test]
fn a_network_has_an_interval_of_its_own_unless_the_configuration_says_otherwise() {
    let intervals = |global: &str| {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.yaml");
        let account =
            |id, network, more| format!("  - {{id: {id}, network: {network}, token: sim-{id}{more}}}\n");
        let accounts = [
            account("billed", "x", ""),
            account("free", "mastodon", ""),
            account("own", "x", ", probe_interval: 2d"),
        ];
        std::fs::write(&file, format!("{global}accounts:\n{}", accounts.concat())).unwrap();
        let config = load_one(&file).unwrap();
        let longest_gap = token_exporter::alerting::longest_gap(&config);
        let inventory = config.inventory(|_| true);
        let hours = |id: &str| {
            let credential = inventory.credential(inventory.find_credential(id).unwrap()).unwrap();
            credential.interval().as_secs() / 3600
        };
        (hours("billed"), hours("free"), hours("own"), longest_gap.as_secs() / 3600)
    };
    assert_eq!(intervals(""), (12, 1, 48, 48));
    assert_eq!(intervals("global: {probe_interval: 3h}\n"), (3, 3, 48, 48));
}

#[test]
fn what_deserves_a_look_is_warned_about() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.yaml");
    std::fs::write(directory.path().join("open"), "sim-token").unwrap();
    std::fs::write(directory.path().join("closed"), "sim-token").unwrap();
    #[cfg(unix)]
    for (name, mode) in [("open", 0o644), ("closed", 0o600)] {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(directory.path().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    std::fs::write(
        &file,
        "apps:
  - {id: nobodys, network: oauth2, issuer: \"https://id.example.com\"}
  - {id: old, network: facebook, client_id: '1', api_version: v19.0}
credentials:
  - {id: unused, network: mastodon, token_file: closed}
accounts:
  - {id: open, network: mastodon, token_file: open}
  - {id: closed, network: mastodon, token_file: closed}
  - {id: missing, network: mastodon, token_file: secrets/missing}
  - {id: inline, network: mastodon, token: sim-token}
  - {id: env, network: mastodon, token_env: TOKEN_EXPORTER_TEST_NOT_SET}
  - {id: command, network: mastodon, token_command: [./fetch]}
account_files: [accounts.d/*.yml]
schedule:
  - notices: [1d]
  - match: {use: paid}
    notices: [2d]
",
    )
    .unwrap();
    let config = load_one(&file).unwrap();
    let found: String = config.warnings.iter().map(|w| format!("{w}\n")).collect();
    let found = found.replace(&format!("{}/", directory.path().display()), "");
    assert_eq!(expect(&Path::new(HERE).join("generated/warnings.txt"), &found), None);
    assert!(!format!("{config:?}").contains("sim-token"));
}

/// A configuration with one account whose token comes from `source`.
fn credential(directory: &Path, source: &str) -> Config {
    let file = directory.join("config.yaml");
    let account = format!(
        "accounts:\n  - id: one\n    network: mastodon\n    refresh_expires_at: 2000000000\n    scopes: \
         read\n    {source}\n"
    );
    std::fs::write(&file, account).unwrap();
    load_one(file).unwrap()
}

#[tokio::test]
async fn token_files_hold_tokens_or_token_responses() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let written = Timestamp::from_unix(1_900_000_000).unwrap();
    let read = async |content: &str| {
        std::fs::write(&path, content).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_900_000_000)).unwrap();
        source::read_tokens(credential(directory.path(), "token_file: token").table.credential(0).unwrap())
            .await
    };
    let configured = Expiry::At(Timestamp::from_unix(2_000_000_000).unwrap());

    let set = read("\u{feff} sim-bare\r\n").await.unwrap();
    assert_eq!(set.tokens.access.reveal(), "sim-bare");
    assert_eq!(
        (set.clocks.access, set.clocks.refresh, set.clocks.issued),
        (Expiry::Unknown, configured, None)
    );
    assert_eq!(set.tokens.scopes.as_deref(), Some(&["read".to_owned()][..]));

    let set =
        read(r#"{"access_token":"sim-a","refresh_token":"sim-r","expires_in":"3600","refresh_token_expires_in":7200,"scope":"a,b c"}"#)
            .await
            .unwrap();
    assert_eq!(
        (set.tokens.access.reveal(), set.tokens.refresh.as_ref().unwrap().reveal()),
        ("sim-a", "sim-r")
    );
    assert_eq!(
        (set.clocks.access, set.clocks.refresh),
        (Expiry::At(written.plus(3600)), Expiry::At(written.plus(7200)))
    );
    assert_eq!(set.clocks.issued, Some(written));
    assert_eq!(set.tokens.scopes.unwrap(), ["a", "b", "c"]);

    let set = read(r#"{"access_token":"sim-a","expires_at":"2027-01-31T00:00:00Z","refresh_expires_at":1801353600000,"scopes":["a"]}"#)
        .await
        .unwrap();
    let end = Expiry::At(Timestamp::parse("2027-01-31T00:00:00Z").unwrap());
    assert_eq!((set.clocks.access, set.clocks.refresh, set.clocks.issued), (end, end, None));

    let set = read(r#"{"access_token":"sim-a","created_at":1800000000,"expires_in":60}"#).await.unwrap();
    assert_eq!(set.clocks.access, Expiry::At(Timestamp::from_unix(1_800_000_060).unwrap()));

    for (content, wrong) in [
        ("", Unreadable::Empty),
        (" \n", Unreadable::Empty),
        ("sim one", Unreadable::NotAToken),
        ("sim-one\nsim-two", Unreadable::NotAToken),
        ("{}", Unreadable::NoAccessToken),
        (r#"{"access_token": 1}"#, Unreadable::NoAccessToken),
        (r#"{"access_token": "sim-a""#, Unreadable::NoAccessToken),
        (r#"{"access_token": "sim a"}"#, Unreadable::NotAToken),
        (&"x".repeat(70_000), Unreadable::TooLong),
    ] {
        let error = read(content).await.unwrap_err();
        assert_eq!(error, wrong, "{content:.20}");
        assert!(!error.to_string().contains("sim"));
    }
}

#[tokio::test]
async fn other_sources_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let read = async |source: &str| {
        source::read_tokens(credential(directory.path(), source).table.credential(0).unwrap()).await
    };
    let access = async |source: &str| read(source).await.map(|set| set.tokens.access.reveal().to_owned());
    assert_eq!(access("token: sim-inline").await.unwrap(), "sim-inline");
    assert_eq!(access("token_env: CARGO_PKG_NAME").await.unwrap(), "token_exporter");
    assert_eq!(access("token_env: TOKEN_EXPORTER_TEST_NOT_SET").await.unwrap_err(), Unreadable::NotSet);
    assert_eq!(access("token_file: not-there").await.unwrap_err(), Unreadable::Missing);
    assert_eq!(access("token_command: [echo, sim-command]").await.unwrap(), "sim-command");
    assert_eq!(
        access("token_command: [echo, '{\"access_token\": \"sim-json\", \"expires_in\": 60}']")
            .await
            .unwrap(),
        "sim-json"
    );
    assert_eq!(
        read("token_command: [echo, '{\"access_token\": \"sim-json\", \"expires_in\": 60}']")
            .await
            .unwrap()
            .clocks
            .access,
        Expiry::Unknown
    );
    assert_eq!(
        access("token_command: [sh, -c, 'echo $CARGO_PKG_NAME']").await.unwrap_err(),
        Unreadable::Empty
    );
    assert_eq!(
        access("token_command: [sh, -c, 'echo sim; echo secret >&2; exit 3']").await.unwrap_err().to_string(),
        "the command failed with exit code 3"
    );
    assert_eq!(access("token_command: [sh, -c, 'cat /dev/zero']").await.unwrap_err(), Unreadable::TooLong);
    assert_eq!(
        access("token_command: [no-such-program-here]").await.unwrap_err(),
        Unreadable::NotStarted(std::io::ErrorKind::NotFound)
    );
}

#[test]
fn fingerprints_change_with_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let source = SecretSource::File(path.clone());
    assert_eq!(source.fingerprint(), None);
    std::fs::write(&path, "sim-a").unwrap();
    let first = source.fingerprint().unwrap();
    assert_eq!(source.fingerprint(), Some(first));
    std::fs::write(&path, "sim-longer").unwrap();
    assert_ne!(source.fingerprint(), Some(first));
    assert_eq!(SecretSource::Env("X".to_owned()).fingerprint(), None);
}
