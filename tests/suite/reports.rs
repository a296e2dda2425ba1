//! Reports of products over HTTP: who may send them, how they are read, and what follows.

use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use token_exporter::inventory::Shard;
use token_exporter::simulator::fixture_token;

use crate::chain::free_address;
use crate::daemon::{Running, network, sample};
use crate::exporter::Exporter;
use crate::probing::simulator;
use crate::prometheus::{eventually, http_client};

/// The token of the reporter in these configurations.
pub(crate) const TOKEN: &str = "sim-reporter-token";
const SOON: Duration = Duration::from_secs(20);

/// Two logins at X and a page at Facebook that work, and a reporter.
fn config(base: &str, reporters: &str) -> String {
    let x = |id: &str| fixture_token(network("x"), "valid", id);
    let page = fixture_token(network("facebook"), "many-pages", "1000001");
    format!(
        "global: {{probe_interval: 1h}}\napps:\n  - {{id: x, network: x, client_id: key, client_secret: sim-s, \
         base_url: {base}/x}}\n  - {{id: facebook, network: facebook, client_id: \"1234567890\", client_secret: \
         sim-s, base_url: {base}/facebook}}\naccounts:\n  - {{id: one, network: x, token: \"{}\", external_id: \
         \"2000001\"}}\n  - {{id: two, network: x, token: \"{}\", external_id: \"2000002\"}}\n  - {{id: page, \
         network: facebook, token: \"{page}\", external_id: \"1000001\"}}\n{reporters}",
        x("2000001"),
        x("2000002"),
    )
}

fn reporters() -> String {
    format!("reporters: [{{id: publisher, token: {TOKEN}}}]\n")
}

/// A daemon whose connections all work.
async fn start(reporters: &str) -> Running {
    let daemon = Running::start(|base| config(base, reporters)).await;
    daemon.until("all work", |text| text.matches("reason=\"ok\"} 1").count() == 6).await;
    daemon
}

pub(crate) fn post(address: &str, body: &Value) -> reqwest::RequestBuilder {
    http_client().post(format!("http://{address}/api/v1/reports")).bearer_auth(TOKEN).json(body)
}

/// Sends a report, and returns the status and the body of the answer.
pub(crate) async fn send(address: &str, body: &Value) -> (StatusCode, Value) {
    answer(post(address, body)).await
}

async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let answer = request.send().await.expect("an answer");
    let (status, text) = (answer.status(), answer.text().await.expect("a body"));
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

async fn accepted(address: &str, body: Value) -> Value {
    let (status, answer) = send(address, &body).await;
    assert_eq!(status, StatusCode::OK, "{body}: {answer}");
    answer
}

fn automated() -> Value {
    let message = "This request looks like it might be automated. To protect our users from spam and other \
                   malicious activity, we can't complete this action right now.";
    json!({"errors": [{"code": 226, "message": message}]})
}

fn counted(text: &str, network: &str, result: &str) -> f64 {
    let series = format!("token_exporter_reports_total{{network=\"{network}\",result=\"{result}\"}}");
    sample(text, &series).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_write_shows_blocks_a_capability_until_a_success() {
    let daemon = start(&reporters()).await;
    let address = daemon.address.clone();
    let blocked =
        accepted(&address, json!({"account": "one", "http_status": 403, "body": automated()})).await;
    assert_eq!(
        (&blocked["reason"], &blocked["capability"], &blocked["acted"]),
        (&json!("account_restricted"), &json!("publish"), &json!("recorded"))
    );
    assert!(blocked["until"].is_string(), "{blocked}");
    // The answer comes after it is shown.
    let lost = "connection_capability_available{account=\"one\",network=\"x\",capability=\"publish\",reason=\
                \"account_restricted\"}";
    let text = daemon.metrics().await;
    assert_eq!(sample(&text, lost), Some(0.0));
    assert_eq!(
        sample(&text, "connection_valid{account=\"one\",network=\"x\",reason=\"ok\"}"),
        Some(1.0),
        "a report changes no verdict"
    );
    let seen = "connection_report_timestamp_seconds{account=\"one\",network=\"x\",operation=\"publish\",result=\
                \"blocked\"}";
    assert!(sample(&text, seen).is_some() && counted(&text, "x", "blocked") == 1.0, "{text}");
    let get =
        async |path: &str| crate::prometheus::get(&format!("http://{address}{path}")).await.expect(path);
    let api = get("/api/v1/connections/one").await;
    crate::api::validate(&[("Connection", &api)]);
    let api: Value = serde_json::from_str(&api).expect("JSON");
    assert_eq!(
        (&api["state"], &api["capabilities"]["publish"], &api["reports"][0]["by"]),
        (&json!("degraded"), &json!("account_restricted"), &json!("publisher"))
    );
    let page = get("/account?id=one").await;
    assert!(page.contains("Reports") && page.contains("by publisher") && page.contains(", until "), "{page}");

    // It is kept over a restart, and over a reload.
    let daemon = daemon.restart().await;
    let address = daemon.address.clone();
    daemon.until("it is back", |text| sample(text, lost) == Some(0.0)).await;
    daemon.write(&config("BASE", &format!("{}# changed\n", reporters())));
    daemon.until("reloaded", |text| sample(text, lost) == Some(0.0)).await;

    let success = accepted(&address, json!({"account": "one", "operation": "publish", "ok": true})).await;
    assert_eq!((&success["verdict"], &success["acted"]), (&json!("valid"), &json!("recorded")));
    assert_eq!(sample(&daemon.metrics().await, lost), None);
    let again = accepted(&address, json!({"account": "one", "ok": true})).await;
    assert_eq!(again["acted"], "ignored", "there is nothing to take back");
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_read_can_check_is_probed_at_once_and_nothing_else() {
    let daemon = start(&reporters()).await;
    let address = daemon.address.clone();
    let last = |text: &str, account: &str| {
        let series =
            format!("connection_last_probe_timestamp_seconds{{account=\"{account}\",network=\"x\"}}");
        sample(text, &series).expect("a probe")
    };
    let before = daemon.metrics().await;
    let unauthorized = json!({"title": "Unauthorized", "type": "about:blank", "status": 401});
    let report = |account: &str| json!({"account": account, "http_status": 401, "body": unauthorized});
    let refused = accepted(&address, report("one")).await;
    assert_eq!((&refused["verdict"], &refused["acted"]), (&json!("invalid"), &json!("probe_now")));
    // The next ones within ten seconds wait for their end; one probe serves all.
    for _ in 0..20 {
        assert_eq!(accepted(&address, report("one")).await["acted"], "probe_now");
    }
    let verified = |text: &str| sample(text, "token_exporter_report_verdict_seconds_count") >= Some(1.0);
    let text = daemon.until("a verdict", verified).await;
    assert!(last(&text, "one") >= last(&before, "one"));
    assert_eq!(last(&text, "two"), last(&before, "two"), "another login");
    let probes = |text: &str| sample(text, "token_exporter_probes_total{network=\"x\"}").unwrap_or_default();
    assert!(probes(&text) <= probes(&before) + 2.0, "{}", probes(&text));
    assert_eq!(
        sample(&text, "connection_valid{account=\"one\",network=\"x\",reason=\"ok\"}"),
        Some(1.0),
        "the probe says that it works"
    );

    // Content, limits, outages and unknown answers change nothing.
    for (status, body, result, verdict) in [
        (429, json!({"title": "Too Many Requests"}), "rate_limited", "undetermined"),
        (503, json!("Over capacity"), "unavailable", "undetermined"),
        (418, json!("what is this? sim-secret"), "unclassified", "undetermined"),
        (201, json!({"data": {"id": "1790000000000000000", "text": "Hello"}}), "success", "valid"),
    ] {
        let text = daemon.metrics().await;
        let before = counted(&text, "x", result);
        let read = accepted(&address, json!({"account": "two", "http_status": status, "body": body})).await;
        assert_eq!(
            (&read["verdict"], &read["acted"]),
            (&json!(verdict), &json!("ignored")),
            "{status}: {read}"
        );
        assert_eq!(counted(&daemon.metrics().await, "x", result), before + 1.0, "{status}: {read}");
    }
    let text = daemon.metrics().await;
    assert_eq!(sample(&text, "token_exporter_reports_unclassified_total{network=\"x\"}"), Some(1.0));
    assert_eq!(last(&text, "two"), last(&before, "two"));
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_answered_in_order_and_a_bad_item_costs_itself() {
    let daemon = start(&reporters()).await;
    let address = daemon.address.clone();
    let list = json!([
        {"account": "one", "ok": true, "id": "a-1"},
        {"acount": "one", "http_status": 42, "operation": "dance", "at": "tomorrow", "headers": 7},
        {"network": "twitter", "external_id": "2000002", "operation": "inbox", "http_status": 429},
        {"account": "one", "ok": true, "id": "a-1"},
        {"account": "nobody", "ok": true},
        7,
    ]);
    let (status, answers) = send(&address, &list).await;
    assert_eq!(status, StatusCode::OK);
    let answers = answers.as_array().expect("a list");
    assert_eq!(answers.len(), 6);
    assert_eq!(answers[0]["verdict"], "valid");
    let fields: Vec<&str> = answers[1]["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|error| {
            assert!(error["expected"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
            error["field"].as_str().expect("a field")
        })
        .collect();
    assert_eq!(fields, ["acount", "account", "operation", "at", "http_status", "headers"]);
    assert_eq!((&answers[2]["cause"], &answers[2]["acted"]), (&json!("rate_limited"), &json!("ignored")));
    assert_eq!(answers[3]["acted"], "ignored");
    assert_eq!((&answers[4]["status"], &answers[5]["status"]), (&json!(404), &json!(400)));
    let text = daemon.metrics().await;
    assert_eq!(counted(&text, "x", "repeated"), 1.0);
    assert_eq!(counted(&text, "unknown", "rejected"), 3.0);
    crate::api::validate(&[("ReportAnswers", &Value::Array(answers.clone()).to_string())]);
    assert_eq!(send(&address, &json!([])).await, (StatusCode::OK, json!([])));

    let too_many: Vec<Value> = (0..101).map(|_| json!({"account": "one", "ok": true})).collect();
    assert_eq!(send(&address, &json!(too_many)).await.0, StatusCode::BAD_REQUEST);
    let (status, single) = send(&address, &json!({"account": "nobody", "ok": true})).await;
    assert_eq!((status, &single["status"]), (StatusCode::NOT_FOUND, &json!(404)));
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_reporters_may_report_and_only_within_their_limits() {
    let daemon = start("").await;
    let ok = json!({"account": "one", "ok": true});
    let address = daemon.address.clone();
    assert_eq!(send(&address, &ok).await.0, StatusCode::NOT_FOUND, "no reporters, no path");
    daemon.write(&config(
        "BASE",
        "reporters:\n  - {id: publisher, token_file: token}\n  - {id: limited, token: sim-limited, networks: \
             [x], accounts: [one, page]}\n",
    ));
    std::fs::write(daemon.path().join("token"), TOKEN).expect("written");
    eventually("a reload", SOON, async || (send(&address, &ok).await.0 == StatusCode::OK).then_some(()))
        .await;

    let url = format!("http://{address}/api/v1/reports");
    let client = http_client();
    let with = |token: &str| client.post(&url).bearer_auth(token).json(&ok);
    for request in [
        client.post(&url).json(&ok),
        with("sim-other"),
        with(""),
        client.post(&url).json(&ok).basic_auth("a", Some("b")),
    ] {
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(answer.headers()["www-authenticate"], "Bearer realm=\"token_exporter\"");
    }
    let limited =
        async |report: Value| answer(client.post(&url).bearer_auth("sim-limited").json(&report)).await.0;
    assert_eq!(limited(ok.clone()).await, StatusCode::OK);
    for other in ["two", "page", "nobody"] {
        assert_eq!(limited(json!({"account": other, "ok": true})).await, StatusCode::FORBIDDEN, "{other}");
    }
    assert_eq!(limited(json!({"network": "x", "external_id": "1", "ok": true})).await, StatusCode::FORBIDDEN);

    // A new token counts as soon as its file has it.
    std::fs::write(daemon.path().join("token"), "sim-new-token").expect("written");
    let renewed = async || (answer(with("sim-new-token")).await.0 == StatusCode::OK).then_some(());
    eventually("the new token", SOON, renewed).await;
    assert_eq!(send(&address, &ok).await.0, StatusCode::UNAUTHORIZED);
    std::fs::remove_file(daemon.path().join("token")).expect("removed");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(answer(with("sim-new-token")).await.0, StatusCode::OK, "an unreadable file changes nothing");

    let with = |token: &str| client.post(&url).bearer_auth(token);
    let status = async |request: reqwest::RequestBuilder| answer(request).await.0;
    let token = "sim-new-token";
    assert_eq!(status(client.get(&url).bearer_auth(token)).await, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(status(with(token).body(ok.to_string())).await, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let json =
        |body: String| with(token).header("content-type", "application/json; charset=utf-8").body(body);
    assert_eq!(status(json(ok.to_string())).await, StatusCode::OK);
    assert_eq!(status(json("{\"account\":".to_owned())).await, StatusCode::BAD_REQUEST);
    let large = json!({"account": "one", "http_status": 400, "body": "x".repeat(64 << 10)}).to_string();
    assert_eq!(status(json(large)).await, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(
        status(json(ok.to_string()).header("origin", "https://evil.example")).await,
        StatusCode::FORBIDDEN,
        "a page of another site"
    );
    // A flood is refused, and told when to come again.
    let list = json!((0..100).collect::<Vec<_>>()).to_string();
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..600 {
        flood.spawn(json(list.clone()).send());
    }
    let answers = flood.join_all().await;
    let refused: Vec<_> = answers.iter().flatten().filter(|answer| answer.status() == 429).collect();
    assert!(!refused.is_empty() && refused.iter().all(|answer| answer.headers().contains_key("retry-after")));
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_the_web_configuration_may_report() {
    let (_simulator, networks) = simulator().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("config.yaml"), config(&format!("http://{networks}"), "")).expect("written");
    let hash = bcrypt::hash("sim-password", 4).expect("a hash");
    std::fs::write(path("web.yaml"), format!("basic_auth_users: {{ops: '{hash}'}}\n")).expect("written");
    let exporter = Exporter::start(folder.path(), |command| {
        command.arg("--web.config.file").arg(path("web.yaml"));
    });
    let address = exporter.wait_for("an address", || exporter.listens());
    let url = format!("http://{address}/api/v1/reports");
    let report = http_client().post(&url).json(&json!({"account": "one", "ok": true}));
    let with = |password| report.try_clone().expect("a request").basic_auth("ops", Some(password));
    assert_eq!(answer(with("sim-password")).await.0, StatusCode::OK);
    assert_eq!(answer(with("sim-other")).await.0, StatusCode::UNAUTHORIZED);
    let bearer = report.try_clone().expect("a request").bearer_auth(TOKEN);
    assert_eq!(answer(bearer).await.0, StatusCode::UNAUTHORIZED, "there is no reporter");

    // With a reporter, its token is enough, and only for this path.
    std::fs::write(path("config.yaml"), config(&format!("http://{networks}"), &reporters()))
        .expect("written");
    let bearer = || report.try_clone().expect("a request").bearer_auth(TOKEN);
    let accepted = async || (answer(bearer()).await.0 == StatusCode::OK).then_some(());
    eventually("a reload", SOON, accepted).await;
    assert_eq!(answer(with("sim-password")).await.0, StatusCode::OK);
    let refused = report.try_clone().expect("a request").send().await.expect("an answer");
    let challenges: Vec<_> = refused.headers().get_all("www-authenticate").iter().collect();
    assert_eq!((refused.status(), challenges.len()), (StatusCode::UNAUTHORIZED, 2), "{challenges:?}");
    let metrics = http_client().get(format!("http://{address}/metrics")).bearer_auth(TOKEN);
    assert_eq!(answer(metrics).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_of_three_shards_takes_a_report_and_hands_it_on_once() {
    const ACCOUNTS: usize = 12;
    let (_simulator, networks) = simulator().await;
    let mut yaml = format!(
        "apps: [{{id: x, network: x, client_id: key, client_secret: sim-s, base_url: \"http://{networks}/x\"}}]\n{}\
         accounts:\n",
        reporters()
    );
    for i in 0..ACCOUNTS {
        let token = fixture_token(network("x"), "valid", &format!("{}", 2_000_000 + i));
        yaml += &format!(
            "  - {{id: x-{i}, network: x, token: \"{token}\", external_id: \"{}\"}}\n",
            2_000_000 + i
        );
    }
    let addresses: Vec<String> = (0..3).map(|_| free_address()).collect();
    let start = |ordinal: usize| {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("config.yaml"), &yaml).expect("written");
        let exporter = Exporter::start(folder.path(), |command| {
            command.args(["--web.listen-address", &addresses[ordinal], "--total-shards", "3"]);
            command.args(["--shard", &ordinal.to_string()]);
            for address in &addresses {
                command.args(["--shard.peers", &format!("http://{address}")]);
            }
        });
        (folder, exporter)
    };
    let mut shards: Vec<_> = (0..3).map(start).collect();
    for (_, exporter) in &shards {
        exporter.wait_for("its accounts", || {
            let text = exporter.ask("/metrics")?;
            let count = |family: &str| text.matches(family).count();
            let accounts = count("\nconnection_info{");
            (accounts > 0 && accounts == count("\nconnection_valid{")).then_some(())
        });
    }
    let holder = |account: &str| Shard::new(0, 3).expect("a shard").holder(account) as usize;
    let list: Vec<Value> = (0..ACCOUNTS)
        .map(|i| match i % 2 {
            0 => json!({"account": format!("x-{i}"), "http_status": 403, "body": automated()}),
            _ => json!({"network": "x", "external_id": format!("{}", 2_000_000 + i), "http_status": 403, "body": automated()}),
        })
        .collect();
    let (status, answers) = send(&addresses[0], &json!(list)).await;
    assert_eq!(status, StatusCode::OK);
    let answers = answers.as_array().expect("a list").clone();
    assert!(answers.len() == ACCOUNTS && answers.iter().all(|a| a["acted"] == "recorded"), "{answers:?}");
    let mut blocked = 0;
    for (ordinal, (_, exporter)) in shards.iter().enumerate() {
        let text = exporter.ask("/metrics").expect("metrics");
        let lost = text.lines().filter(|line| {
            line.starts_with("connection_capability_available{") && line.contains("account_restricted")
        });
        for line in lost {
            let account = line.split('"').nth(1).expect("an account");
            assert_eq!(holder(account), ordinal, "{account}");
            blocked += 1;
        }
    }
    assert_eq!(blocked, ACCOUNTS);
    assert_eq!(send(&addresses[0], &json!({"account": "nobody", "ok": true})).await.0, StatusCode::NOT_FOUND);

    // What was handed on is not handed on again.
    let elsewhere = (0..ACCOUNTS).map(|i| format!("x-{i}")).find(|id| holder(id) == 2).expect("an account");
    let report = json!({"account": elsewhere, "ok": true});
    let misdirected = post(&addresses[0], &report).header("x-token-exporter-shard", "1");
    let (status, told) = answer(misdirected).await;
    assert_eq!((status, &told["shard"]), (StatusCode::MISDIRECTED_REQUEST, &json!(2)));
    // Without the shard that holds it, the answer names it. The others go on.
    drop(shards.pop());
    let mine = (0..ACCOUNTS).map(|i| format!("x-{i}")).find(|id| holder(id) == 0).expect("an account");
    let (_, answers) = send(&addresses[0], &json!([report, {"account": mine, "ok": true}])).await;
    assert_eq!((&answers[0]["status"], &answers[0]["shard"]), (&json!(421), &json!(2)), "{answers}");
    assert_eq!(answers[1]["acted"], "recorded");
}

/// Each example of docs/reports.md reports what it promises, with whatever interprets it here.
#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_clients_work() {
    let page = include_str!("../../docs/reports.md");
    let daemon =
        Running::start(|base| config(base, &reporters()).replace("id: page,", "id: acme-page,")).await;
    daemon.until("all work", |text| text.matches("reason=\"ok\"} 1").count() == 6).await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut clients = 0;
    for (language, program, file) in [
        ("sh", "sh", "client.sh"),
        ("python", "python3", "client.py"),
        ("typescript", "node", "client.ts"),
        ("php", "php", "client.php"),
        ("ruby", "ruby", "client.rb"),
    ] {
        let block =
            page.split(&format!("```{language}\n")).nth(1).and_then(|rest| rest.split("\n```").next());
        let code = block.unwrap_or_else(|| panic!("an example in {language}"));
        let path = folder.path().join(file);
        let mut arguments = vec![path.display().to_string()];
        if language == "typescript" {
            // Node.js before 22.18 knows no types.
            let compiler = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/grafana/node_modules/typescript");
            let script = "const ts = require(process.argv[1]); const code = require('fs').readFileSync(process.argv[2], \
                          'utf8'); eval(ts.transpile(code, {target: 'es2022'}))";
            arguments =
                vec!["-e".to_owned(), script.to_owned(), compiler.to_owned(), path.display().to_string()];
        }
        std::fs::write(&path, code).expect("written");
        if Command::new(program).arg("--version").output().is_err() {
            let _ =
                writeln!(std::io::stderr(), "skipped: {program} is not installed (tests/run installs it)");
            continue;
        }
        let mut command = Command::new(program);
        command.args(arguments).env("REPORTER_TOKEN", TOKEN);
        command.env("TOKEN_EXPORTER", format!("http://{}", daemon.address));
        let output =
            tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect(program);
        let said = String::from_utf8_lossy(&output.stdout).replace(": ", ":").replace('\'', "\"");
        let failed = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("\"acted\":\"probe_now\""), "{language}: {said} {failed}");
        clients += 1;
    }
    assert!(clients >= 2, "{clients}");
    daemon.end().await;
}

/// No time is asserted: a small form of `make bench-reports`.
#[tokio::test(flavor = "multi_thread")]
async fn many_reports_cost_no_probe_and_no_scrape() {
    const LISTS: usize = 60;
    let daemon = start(&reporters()).await;
    let address = daemon.address.clone();
    let list: Vec<Value> = (0..100)
        .map(|i| match i % 4 {
            0 => json!({"account": "one", "http_status": 403, "body": automated()}),
            1 => json!({"account": "two", "http_status": 401, "body": {"title": "Unauthorized", "status": 401}}),
            2 => json!({"account": "page", "http_status": 400, "body": {"error": {"code": 506}}, "id": format!("{i}")}),
            _ => json!({"account": "one", "ok": true}),
        })
        .collect();
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..LISTS {
        let request = post(&address, &json!(list));
        senders.spawn(async move { answer(request).await.0 });
    }
    let mut scrapes = 0;
    while !senders.is_empty() {
        assert!(daemon.metrics().await.contains("connection_valid{"), "a scrape is lost");
        scrapes += 1;
        while let Some(status) = senders.try_join_next() {
            assert_eq!(status.expect("no panic"), StatusCode::OK);
        }
    }
    assert!(scrapes > 0);
    let text = daemon.metrics().await;
    let all: f64 = token_exporter::model::ReportResult::ALL
        .iter()
        .map(|r| counted(&text, "x", r.label()) + counted(&text, "facebook", r.label()))
        .sum();
    assert_eq!(all, (LISTS * 100) as f64);
    let verified = |text: &str| sample(text, "token_exporter_report_verdict_seconds_count") >= Some(1.0);
    daemon.until("the probe that was due", verified).await;
    daemon.end().await;
}
