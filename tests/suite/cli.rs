//! The command line: exit codes, output streams, and errors about bad input.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use token_exporter::model::{AppProblem, Timestamp};
use token_exporter::simulator;
use token_exporter::simulator::load_fixtures;

use crate::golden::assert_golden;
use crate::probing::simulator;

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_token_exporter"));
    command.args(arguments);
    command
}

pub(crate) fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = program(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    // A program that needs no input may have exited.
    let _ = child.stdin.take().expect("its input").write_all(input.as_bytes());
    child.wait_with_output().expect("its end")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn write(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).expect("written");
    path.display().to_string()
}

#[test]
fn help_is_as_before() {
    for (name, arguments) in [
        ("help", vec!["--help"]),
        ("help-serve", vec!["serve", "--help"]),
        ("help-check", vec!["check", "--help"]),
        ("help-schedule", vec!["schedule", "--help"]),
        ("help-digest", vec!["digest", "--help"]),
        ("help-classify", vec!["classify", "--help"]),
        ("help-demo", vec!["demo", "--help"]),
        ("help-generate-rules", vec!["generate", "rules", "--help"]),
        ("help-generate-alertmanager", vec!["generate", "alertmanager", "--help"]),
        ("help-healthcheck", vec!["healthcheck", "--help"]),
        ("help-init", vec!["init", "--help"]),
        ("help-recipe", vec!["recipe", "--help"]),
        ("help-completions", vec!["completions", "--help"]),
        ("help-man", vec!["man", "--help"]),
    ] {
        let output = program(&arguments).env("COLUMNS", "120").output().expect("the program");
        assert!(output.status.success());
        assert_golden(&format!("golden/{name}.txt"), &text(&output.stdout));
    }
}

#[test]
fn what_cannot_run_exits_with_2_and_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = write(folder.path(), "good.yaml", "accounts: [{id: a, network: mastodon, token: sim-a}]\n");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = taken.local_addr().expect("an address").to_string();
    let bad = write(folder.path(), "bad.yaml", "accounts: [{id: a, network: mastadon, token: sim-a}]\n");
    let missing = folder.path().join("missing.yaml").display().to_string();
    for (arguments, said) in [
        (vec!["--config.file", &missing], "missing.yaml: "),
        (vec!["--config.file", &bad], "did you mean \"mastodon\"?"),
        (
            vec!["--config.check", "--config.file", &bad],
            "bad.yaml:1:29: accounts[0].network: \"mastadon\" is not known",
        ),
        (vec!["--config.file", &good, "--web.listen-address", &address], "cannot listen on"),
        (vec!["--config.file", &good, "--web.listen-address", "nonsense"], "cannot listen on nonsense"),
        (
            vec!["--config.file", &good, "--shard", "3", "--total-shards", "3"],
            "--shard 3 must be less than --total-shards 3",
        ),
        (
            vec!["--config.check", "--config.file", &good, "--shard", "3", "--total-shards", "3"],
            "--shard 3 must be less than --total-shards 3",
        ),
        (vec!["--config.check", "--web.telemetry-path", "/probe"], "serves something else"),
        (vec!["--config.check", "--web.telemetry-path", "/a b"], "must be a path such as /metrics"),
        (vec!["--config.check", "--web.route-prefix", "/a?b"], "must be a path such as /token-exporter"),
        (
            vec!["--config.check", "--web.external-url", "javascript:alert(1)"],
            "must be a URL such as https://",
        ),
        (
            vec!["--config.check", "--web.external-url", "https://a:b@example.com"],
            "must be a URL such as https://",
        ),
        (vec!["--config.auto-reload-interval", "soon"], "not a duration such as 30s, 5m or 1h"),
        (vec!["--no-such-flag"], "unexpected argument"),
        (vec!["check", "--config.file", &missing], "missing.yaml: "),
        (vec!["check", "nobody", "--config.file", &good], "no such account in the configuration: nobody"),
        (vec!["schedule", "--config.file", &missing], "missing.yaml: "),
        (vec!["schedule", "--utc-offset", "CET"], "not an offset such as +02:00 or -03:30"),
        (vec!["classify", "--network", "orkut"], "\"orkut\" is not known"),
        (vec!["classify"], "--network"),
    ] {
        let output = run(&arguments, "");
        let said_it = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said_it}");
        assert!(said_it.contains(said), "{arguments:?}: {said_it}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(!said_it.contains("sim-a"), "{said_it}");
    }
    let output = run(&["--config.check", "--config.file", &good], "");
    assert_eq!(
        (output.status.code(), text(&output.stdout).as_str()),
        (Some(0), "configuration is valid: 0 apps, 1 credentials, 1 accounts\n")
    );
}

/// A token file that is read in part, and an expiry that can only be a mistake.
#[test]
fn the_check_warns_of_ends_that_are_ignored_and_says_where() {
    let folder = tempfile::tempdir().expect("a folder");
    let soon = Timestamp::now().plus(86_400).unix();
    for (token, warnings) in [
        (
            format!("\"refresh_token\": \"\", \"refresh_expires_at\": {soon}"),
            vec!["refresh_token is empty; its expiry is ignored"],
        ),
        ("\"expires_at\": 9999999999".to_owned(), vec!["an expiry more than ten years ahead is ignored"]),
        (
            "\"expires_in\": 3000000000, \"refresh_token\": \"\"".to_owned(),
            vec![
                "an expiry more than ten years ahead is ignored",
                "refresh_token is empty; its expiry is ignored",
            ],
        ),
        (
            format!("\"expires_at\": {soon}, \"refresh_token\": \"sim-r\", \"refresh_expires_at\": {soon}"),
            vec![],
        ),
        (
            "\"expires_in\": 3600, \"refresh_token\": \"sim-r\"".to_owned(),
            vec![
                "the access token is short-lived and has a refresh_token: if another program refreshes it, \
                 auto_refresh: true is missing, without which its end is a deadline",
            ],
        ),
        ("\"expires_in\": 5184000, \"refresh_token\": \"sim-r\"".to_owned(), vec![]),
    ] {
        let file = write(folder.path(), "token", &format!("{{\"access_token\": \"sim-a\", {token}}}"));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("a file");
        let account = "accounts: [{id: a, network: mastodon, token_file: token}]\n";
        let config = write(folder.path(), "config.yaml", account);
        let output = run(&["--config.check", "--config.file", &config], "");
        let expected: String =
            warnings.iter().map(|warning| format!("warning: {file}: {warning}\n")).collect();
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), expected));
    }
    let account =
        "accounts: [{id: a, network: mastodon, token_file: token, refresh_expires_at: 9999999999}]\n";
    let config = write(folder.path(), "config.yaml", account);
    let output = run(&["--config.check", "--config.file", &config], "");
    let place =
        "config.yaml:1:78: accounts[0].refresh_expires_at: is more than ten years ahead; it is ignored\n";
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).ends_with(place), "{}", text(&output.stderr));
}

/// Hints stand beside problems, and many of one kind are summed up.
#[test]
fn the_check_sums_up_hints_and_shows_them_beside_problems() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |yaml: &str| {
        let config = write(folder.path(), "config.yaml", yaml);
        let output = run(&["--config.check", "--config.file", &config], "");
        (output.status.code(), text(&output.stderr).replace(&format!("{}/", folder.path().display()), ""))
    };
    let account = |i: usize, token: &str| format!("- {{id: a-{i}, network: mastodon, {token}}}\n");
    let missing: String = (0..1000).map(|i| account(i, "token_file: missing")).collect();
    let (code, said) = check(&format!("accounts:\n{missing}{}", account(1000, "token_env: NOT_SET_HERE")));
    assert_eq!((code, said.lines().count()), (Some(0), 11), "{said}");
    assert!(
        said.contains("accounts[9].token_file: the file does not exist (and 990 more like this)"),
        "{said}"
    );
    assert!(said.contains("accounts[1000].token_env: the environment variable is not set"), "{said}");

    let (code, said) = check("accounts:\n- {id: a, network: mastadon, token: '${TOKEN}'}\n");
    assert_eq!(code, Some(2));
    assert!(said.starts_with("config.yaml:2:20: accounts[0].network: \"mastadon\" is not known"), "{said}");
    let hint = "warning: config.yaml:2:37: accounts[0].token: variables are not replaced here; name this one \
                with token_env\n";
    assert!(said.ends_with(hint), "{said}");

    for i in 0..30 {
        let content = if i == 0 { "${TOKEN}" } else { "" };
        let file = write(folder.path(), &format!("t-{i}"), content);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("a file");
    }
    let empty: String = (0..30).map(|i| account(i, &format!("token_file: t-{i}"))).collect();
    let (code, said) = check(&format!("accounts:\n{empty}"));
    assert_eq!((code, said.lines().count()), (Some(0), 12), "{said}");
    assert!(said.contains("warning: t-1: no token can be read: empty\n"), "{said}");
    assert!(said.contains("warning: 19 more token files: no token can be read: empty\n"), "{said}");
    assert!(
        said.contains("warning: t-0: a variable, which is not replaced here; token_env names one\n"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_by_its_exit_code() {
    let (_simulator, address) = simulator().await;
    let folder = tempfile::tempdir().expect("a folder");
    let fixtures = load_fixtures().expect("fixtures");
    let x = fixtures.iter().find(|f| f.network.name() == "x").expect("X");
    for (case, code, verdict) in
        [("valid", 0, "valid"), ("suspended", 1, "invalid"), ("rate-limited", 3, "undetermined")]
    {
        let case = x.cases.iter().find(|c| c.name == case).unwrap_or_else(|| panic!("no case {case}"));
        let file = write(
            folder.path(),
            "config.yaml",
            &simulator::single_case_config(x, case, address, Timestamp::now()),
        );
        let arguments = ["check", "--config.file", &file, "--output", "json"].map(str::to_owned);
        let output = tokio::task::spawn_blocking(move || run(&arguments.each_ref().map(String::as_str), ""))
            .await
            .expect("run");
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        let lines: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(
            (lines.len(), lines[0]["verdict"].as_str(), lines[0]["account"].as_str()),
            (1, Some(verdict), Some("account"))
        );
        assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_takes_a_thousand_accounts_the_worst_first() {
    let (_simulator, address) = simulator().await;
    let folder = tempfile::tempdir().expect("a folder");
    let fixtures: Vec<_> = load_fixtures()
        .expect("fixtures")
        .into_iter()
        .filter(|f| ["facebook", "x"].contains(&f.network.name()))
        .collect();
    let file = folder.path().join("config.yaml").display().to_string();
    simulator::generated_config(&fixtures, address, Timestamp::now(), "1h", 1000, |yaml| {
        std::fs::write(&file, yaml)
    })
    .expect("written");
    let piped = file.clone();
    let output =
        tokio::task::spawn_blocking(move || run(&["check", "--config.file", &piped], "")).await.expect("run");
    let table = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.is_empty(), "nothing but the table on a pipe: {}", text(&output.stderr));
    let lines: Vec<Vec<char>> = table.lines().map(|line| line.chars().collect()).collect();
    assert_eq!(lines.len(), 1002, "a line for each account, the head and the summary: {table}");
    assert!(lines.iter().all(|line| line.len() <= 80), "{table}");
    let head = table.lines().next().expect("a head");
    let names = ["NAME", "NETWORK", "STATE", "REASON", "DEADLINE", "FIRST STEP"];
    let places = names.map(|name| head.find(name).unwrap_or_else(|| panic!("no {name}: {head}")));
    assert!(places.is_sorted(), "{head}");
    let state = |line: &Vec<char>| line[places[2]..places[3]].iter().collect::<String>().trim().to_owned();
    let order = ["invalid", "undetermined", "degraded", "valid"];
    let states: Vec<usize> = lines[1..1001]
        .iter()
        .map(|line| order.iter().position(|name| *name == state(line)).expect("a state"))
        .collect();
    assert!(states.is_sorted(), "the worst first");
    assert!(
        table
            .trim_end()
            .lines()
            .last()
            .is_some_and(|l| l.contains(" valid, ") && l.contains(" undetermined"))
    );

    let wide = file.clone();
    let output = tokio::task::spawn_blocking(move || {
        program(&["check", "--config.file", &wide]).env("COLUMNS", "1000").output().expect("the program")
    });
    let table = text(&output.await.expect("run").stdout);
    assert!(!table.contains('…'), "wide enough to cut nothing");
    assert!(table.lines().any(|line| line.contains(" invalid ") && line.ends_with('.')), "{table}");

    // On a terminal there is a progress bar; `script` provides a terminal.
    let command = format!("{} check --config.file {file}", env!("CARGO_BIN_EXE_token_exporter"));
    let output = tokio::task::spawn_blocking(move || {
        Command::new("script").args(["-qec", &command, "/dev/null"]).output()
    })
    .await
    .expect("run");
    let seen = text(&output.expect("script, from Debian's bsdutils").stdout);
    assert!(seen.contains("/1000 logins probed"), "{}", &seen[..seen.len().min(500)]);
}

/// A name and an id are both accepted.
#[tokio::test(flavor = "multi_thread")]
async fn check_prints_every_step_for_accounts_that_are_named() {
    let (_simulator, address) = simulator().await;
    let folder = tempfile::tempdir().expect("a folder");
    let fixtures = load_fixtures().expect("fixtures");
    let yaml = simulator::demo_config(&fixtures, address, Timestamp::now(), "1h");
    let file = write(folder.path(), "config.yaml", &yaml);
    let facebook = fixtures.iter().find(|f| f.network.name() == "facebook").expect("Facebook");
    let case = facebook.cases.iter().find(|c| c.name == "password-changed").expect("a case");
    let name = case.demo.as_ref().expect("in the demo").name.clone();
    let check = async |arguments: &[&str]| {
        let arguments: Vec<String> =
            ["check", "--config.file", &file].iter().chain(arguments).map(|a| (*a).to_owned()).collect();
        let output = tokio::task::spawn_blocking(move || {
            run(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), "")
        });
        text(&output.await.expect("run").stdout)
    };
    let by_id = check(&["facebook-password-changed"]).await;
    let is_step = |line: &&str| line.trim_start().chars().nth(1) == Some('.');
    let steps: Vec<&str> = by_id.lines().filter(is_step).collect();
    assert!(steps.len() > 1, "{by_id}");
    assert!(by_id.contains(": invalid, password_changed\n"), "{by_id}");
    assert!(by_id.contains(" answered 200:") && !by_id.contains("sim-"), "{by_id}");
    assert!(by_id.lines().all(|line| line.chars().count() <= 80), "{by_id}");
    assert!(check(&[&name]).await.contains(by_id.lines().next().expect("a line")), "{name}");
    let all = check(&["--verbose"]).await;
    assert!(all.matches("\n\n").count() > 30 && all.contains(steps[0]), "{all}");
}

#[test]
fn generate_finds_the_configuration_as_serve_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let generate = |kind: &str, file: Option<&str>| {
        let mut command = program(&["generate", kind]);
        command.args(file.iter().flat_map(|file| ["--config.file", file])).current_dir(folder.path());
        let output = command.output().expect("the program");
        assert!(output.status.success(), "{}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    };
    for kind in ["rules", "alertmanager"] {
        let _ = std::fs::remove_file(folder.path().join("config.yaml"));
        let (usual, note) = generate(kind, None);
        assert!(note.contains("there is no config.yaml here"), "{note}");
        write(
            folder.path(),
            "config.yaml",
            "global: {notify: [ops@example.com]}\nschedule: [{notices: [3d]}]\n",
        );
        let found = generate(kind, None);
        assert_eq!(found, generate(kind, Some("config.yaml")));
        assert!(found.1.is_empty() && found.0 != usual, "{}", found.1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn schedule_tells_the_mails_to_come() {
    let (_simulator, address) = simulator().await;
    let folder = tempfile::tempdir().expect("a folder");
    let fixtures = load_fixtures().expect("fixtures");
    let facebook = fixtures.iter().find(|f| f.network.name() == "facebook").expect("Facebook");
    let case = |name: &str| {
        facebook.cases.iter().find(|c| c.name == name).unwrap_or_else(|| panic!("no case {name}"))
    };
    let schedule = async |file: &str, output: &str| {
        let arguments =
            ["schedule", "--days", "60", "--config.file", file, "--output", output].map(str::to_owned);
        let output = tokio::task::spawn_blocking(move || run(&arguments.each_ref().map(String::as_str), ""))
            .await
            .expect("run");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let notices = |found: &str| -> Vec<String> {
        let found: Value = serde_json::from_str(found).expect("JSON");
        let mails = found["mails"].as_array().expect("mails");
        mails
            .iter()
            .map(|m| format!("{} {}", m["notice"].as_str().expect("a notice"), m["recipients"]))
            .collect()
    };
    let expected = ["10d", "5d", "1d", "today"].map(|notice| format!("{notice} [\"jane.doe@example.com\"]"));

    // From the network: the token ends in 55 days.
    let file = write(
        folder.path(),
        "valid.yaml",
        &simulator::single_case_config(facebook, case("valid"), address, Timestamp::now()),
    );
    assert_eq!(notices(&schedule(&file, "json").await), expected);
    let table = schedule(&file, "table").await;
    assert!(
        table.contains(" today ") && table.ends_with("\n4 mails within 60 days, about 1 account\n"),
        "{table}"
    );
    assert!(table.lines().count() == 6 && table.lines().all(|l| l.chars().count() <= 80), "{table}");
    let calendar = schedule(&file, "ics").await;
    assert!(
        calendar.starts_with("BEGIN:VCALENDAR\r\n") && calendar.matches("BEGIN:VEVENT\r\n").count() == 4,
        "{calendar}"
    );

    // Lost connections get no notice.
    let file = write(
        folder.path(),
        "lost.yaml",
        &simulator::single_case_config(facebook, case("password-changed"), address, Timestamp::now()),
    );
    let table = schedule(&file, "table").await;
    assert!(table.ends_with("\n0 mails within 60 days, about 0 accounts; 1 invalid\n"), "{table}");

    // If neither the network nor the token tells, the configuration's value counts.
    let ends = Timestamp::now().plus(20 * 86_400);
    let quiet = format!(
        "global: {{notify: [jane.doe@example.com]}}\naccounts:\n\
         \x20 - {{id: a, network: mastodon, base_url: \"http://127.0.0.1:1\", token: sim-a, expires_at: \"{ends}\"}}\n\
         \x20 - {{id: b, network: mastodon, base_url: \"http://127.0.0.1:1\", token_file: missing, refresh_expires_at: \"{ends}\"}}\n\
         \x20 - {{id: c, network: mastodon, base_url: \"http://127.0.0.1:1\", token: sim-c}}\n"
    );
    let file = write(folder.path(), "quiet.yaml", &quiet);
    let found = schedule(&file, "json").await;
    assert_eq!(notices(&found), expected.iter().flat_map(|n| [n.clone(), n.clone()]).collect::<Vec<_>>());
    assert_eq!(serde_json::from_str::<Value>(&found).expect("JSON")["without_mails"]["unknown_deadline"], 1);
}

#[test]
fn classify_reads_one_answer_or_many() {
    let body = r#"{"data":{"error":{"code":190,"message":"Error validating access token: The session has been invalidated","subcode":460},"is_valid":false,"scopes":[]}}"#;
    let output = run(
        &[
            "classify",
            "--network",
            "facebook",
            "--call",
            "debug_token",
            "--status",
            "200",
            "--header",
            "x-fb-rev: 1",
        ],
        body,
    );
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (found["verdict"].as_str(), found["reason"].as_str()),
        (Some("invalid"), Some("password_changed"))
    );
    assert_eq!(found["capabilities"], json!({"publish": "password_changed"}));
    assert!(found["advice"].as_str().is_some_and(|a| a.contains("econnect")));

    let lines = [
        json!({"network": "facebook", "http_status": 200, "body": serde_json::from_str::<Value>(body).expect("JSON")}),
        json!({"network": "twitter", "http_status": "503", "body": "<html>"}),
        json!({"network": "x", "call": "GET /2/users/me", "http_status": 200, "body": {"data": {"id": "1", "username": "acme"}}, "context": {"needs": []}}),
        json!({"network": "facebook", "http_status": 400, "body": {"error": {"message": "Error validating client secret.", "type": "OAuthException", "code": 1}}}),
    ];
    let input: String = lines.iter().map(|l| format!("{l}\n")).collect();
    let output = run(&["classify", "--jsonl"], &input);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let found: Vec<Value> =
        text(&output.stdout).lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert_eq!(found.len(), 4);
    assert_eq!(found[0]["reason"], "password_changed");
    assert_eq!(
        (found[1]["verdict"].as_str(), found[1]["cause"].as_str(), found[1].get("reason")),
        (Some("undetermined"), Some("server_error"), None)
    );
    assert_eq!((found[2]["verdict"].as_str(), found[2]["reason"].as_str()), (Some("valid"), Some("ok")));
    assert_eq!(found[2]["capabilities"], json!({}));
    assert!(found[..3].iter().all(|f| f.get("app_problem").is_none()));
    assert_eq!(
        (&found[3]["cause"], &found[3]["app_problem"]),
        (&json!("app_misconfigured"), &json!("secret_refused"))
    );
    assert_eq!(found[3]["advice"], AppProblem::SecretRefused.meaning());

    // An invalid line is skipped with a message that does not quote it.
    let output = run(
        &["classify", "--jsonl"],
        "{\"network\":\"x\",\"body\":\"sim-token\"\n{\"network\":\"x\",\"http_status\":503}\n",
    );
    assert_eq!(output.status.code(), Some(2));
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert!(lines[0]["error"].is_string() && lines[1]["verdict"] == "undetermined", "{lines:?}");
    assert!(!text(&output.stderr).contains("sim-token"));
}

/// Not even a kill leaves a file of the demo behind.
#[test]
fn the_demo_leaves_no_files_behind() {
    for signal in ["KILL", "INT"] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut demo = program(&["demo", "--accounts", "3", "--web.listen-address", "127.0.0.1:0"])
            .env("TMPDIR", folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the demo");
        let mut lines = BufReader::new(demo.stdout.take().expect("its output")).lines();
        assert!(lines.next().is_some_and(|line| line.is_ok_and(|line| line.contains("http://127.0.0.1:"))));
        let kill = format!("kill -{signal} {}", demo.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
        demo.wait().expect("its end");
        let left: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").collect();
        assert!(left.is_empty(), "{signal}: {left:?}");
    }
}

#[test]
fn the_demo_has_room_for_a_million_accounts() {
    let address = "127.0.0.1:1".parse().expect("an address");
    let (count, mut sizes) = (simulator::ACCOUNTS_PER_FILE + 1, Vec::new());
    let fixtures = load_fixtures().expect("fixtures");
    let folder = tempfile::tempdir().expect("a folder");
    simulator::generated_config(&fixtures, address, Timestamp::now(), "5m", count, |yaml| {
        sizes.push(yaml.len());
        std::fs::write(folder.path().join(format!("{}.yaml", sizes.len())), yaml)
    })
    .expect("written");
    assert!(sizes.len() == 2 && sizes[0] < 50 << 20, "a file may have 64 MiB: {sizes:?}");
    let files = [1, 2].map(|number| folder.path().join(format!("{number}.yaml")));
    let config = token_exporter::config::load(&files).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.table.accounts().len(), count);
}
