//! Where alerts go: working hours, receivers and recoveries, with real Alertmanagers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{Datelike as _, Timelike as _};
use serde_json::{Value, json};
use token_exporter::model::Timestamp;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use crate::alerts::{generate, root};
use crate::chain::{LONG, Mails, Program, free_address, mail_server, newer, read, ready};
use crate::prometheus::{eventually, http_client};

const RECEIVERS: [&str; 6] = ["slack", "msteams", "pagerduty", "opsgenie", "telegram", "webhook"];

/// Those that Alertmanager 0.25 does not have, or not with secrets from files.
const NEW: [&str; 2] = ["msteams", "telegram"];

/// An Alertmanager with a configuration of `generate alertmanager`.
struct Alertmanager {
    program: Program,
    address: String,
    _folder: tempfile::TempDir,
}

impl Alertmanager {
    /// `people` are lines of the configuration, `change` is applied to what is generated.
    async fn start(
        programs: Option<&Path>,
        people: &str,
        arguments: &[&str],
        change: impl Fn(String) -> String,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        // Times of seconds: a mail waits for one second, and what is held is tried again each second.
        let config = format!(
            "accounts: [{{id: a, network: mastodon, token: sim-a}}]\nschedule: [{{notices: [10s]}}]\n{people}"
        );
        std::fs::write(path("config.yaml"), config).expect("written");
        let file = path("config.yaml");
        let output = generate(&[&["alertmanager", "--config.file", &file], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        let templates = root().join("alerts/templates/*.tmpl").display().to_string();
        let text = change(text.replace("templates/*.tmpl", &templates));
        std::fs::write(path("alertmanager.yml"), text).expect("written");
        let address = free_address();
        let arguments = [
            format!("--config.file={}", path("alertmanager.yml")),
            format!("--storage.path={}", path("sent")),
            format!("--web.listen-address={address}"),
            "--data.maintenance-interval=1s".to_owned(),
            "--cluster.listen-address=".to_owned(),
        ];
        let name = "prometheus-alertmanager";
        let program = programs.map_or_else(|| PathBuf::from(name), |folder| folder.join(name));
        let alertmanager =
            Self { program: Program::start(program, arguments.to_vec()), address, _folder: folder };
        ready(&alertmanager.address).await;
        alertmanager
    }

    /// Sends alerts as Prometheus does, which end after some seconds unless they are sent again.
    async fn send(&self, alerts: &[Value], valid: i64) {
        let mut alerts = alerts.to_vec();
        for alert in &mut alerts {
            alert["endsAt"] = Timestamp::now().plus(valid).to_string().into();
        }
        let url = format!("http://{}/api/v2/alerts", self.address);
        let request = http_client().post(url).header("Content-Type", "application/json");
        // It may be starting.
        drop(request.body(Value::from(alerts).to_string()).send().await);
    }
}

/// An alert about an account whose name is `what`.
fn alert(name: &str, what: &str, to: &str, labels: &[(&str, &str)]) -> Value {
    let mut all = json!({
        "alertname": name, "account": what, "network": "x", "credential": what, "reason": "account_locked",
        "since": "noon", "moment": "noon", "severity": "warning",
    });
    if !to.is_empty() {
        all["notify"] = to.into();
    }
    for (label, value) in labels {
        all[*label] = (*value).into();
    }
    json!({
        "labels": all,
        "annotations": {
            "name": what, "summary": format!("{what} has news"), "description": "It is so.",
            "advice": "Do it.", "stops": "nothing", "deadline": "Sunday 31 January 2027, 14:00 UTC",
            "left": "3 hours left",
        },
    })
}

/// Each kind of alert that people get, by what it is called here.
fn kinds(to: &str) -> Vec<Value> {
    let planned = "ConnectionPlannedUseAtRisk";
    vec![
        alert("ConnectionLost", "loss", to, &[("urgent", "no")]),
        alert("ConnectionLost", "urgent-loss", to, &[("urgent", "yes")]),
        alert("ConnectionExpiring", "notice", to, &[("notice", "10d"), ("severity", "info")]),
        alert("ConnectionExpiring", "last-notice", to, &[("notice", "today"), ("severity", "critical")]),
        alert(planned, "held-post", to, &[("news", "held"), ("severity", "critical")]),
        alert(planned, "new-post", to, &[("news", "yes"), ("severity", "critical")]),
        alert(planned, "known-post", to, &[("news", "no"), ("severity", "critical")]),
        alert("ConnectionDegraded", "part", to, &[("news", "yes"), ("capability", "inbox")]),
        alert("ConnectionReconnected", "recovery", to, &[("severity", "info")]),
    ]
}

/// What came to each list of recipients, in the order of the alphabet.
fn came(mails: &Mails) -> BTreeMap<String, Vec<String>> {
    let mut came: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for mail in read(&mails.lock().expect("mails")) {
        let about = |what: &&Value| {
            let name = what["labels"]["account"].as_str().expect("a name");
            mail.subject.contains(&format!(" {name} on X"))
        };
        let kinds = kinds("");
        let kind = kinds.iter().find(about).unwrap_or_else(|| panic!("{}", mail.subject));
        came.entry(mail.to).or_default().push(kind["labels"]["account"].as_str().expect("a name").to_owned());
    }
    came.values_mut().for_each(|kinds| kinds.sort());
    came
}

/// The lines of people who work always, and of some who do not work today and tomorrow.
fn people() -> String {
    let today = Timestamp::now().utc().weekday();
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let off = [today, today.succ()].map(|day| days[day.num_days_from_monday() as usize]);
    let others: Vec<&str> = days.into_iter().filter(|day| !off.contains(day)).collect();
    let out = format!("days: [{}]", others.join(", "));
    format!(
        "people:\n  - {{mail: in@example.com, days: [{}]}}\n  - {{mail: out@example.com, {out}}}\n  \
         - {{mail: O+ut.2@example.com, {out}}}\n",
        days.join(", ")
    )
}

async fn hours(programs: Option<&Path>) {
    let (smarthost, mails) = mail_server().await;
    let arguments = ["--smtp-smarthost", &smarthost, "--mail-recoveries"];
    let alertmanager = Alertmanager::start(programs, &people(), &arguments, |text| text).await;
    let lists = [
        "in@example.com",
        "out@example.com",
        "out@example.com,O+ut.2@example.com",
        "in@example.com,out@example.com",
        "else@example.com",
        "none",
        "",
    ];
    let alerts: Vec<Value> = lists.iter().flat_map(|to| kinds(to)).collect();
    alertmanager.send(&alerts, 300).await;
    let usual = ["last-notice", "loss", "new-post", "notice", "part", "recovery", "urgent-loss"];
    let outside = ["held-post", "last-notice", "new-post", "recovery", "urgent-loss"];
    let list = |what: &[&str]| what.iter().map(|what| (*what).to_owned()).collect::<Vec<_>>();
    let expected: BTreeMap<String, Vec<String>> = [
        (lists[0], list(&usual)),
        (lists[1], list(&outside)),
        (lists[2], list(&outside)),
        (lists[3], list(&usual)),
        (lists[4], list(&usual)),
        ("operator@localhost", list(&usual)),
    ]
    .map(|(to, what)| (to.to_owned(), what))
    .into();
    let all = expected.values().map(Vec::len).sum::<usize>();
    let arrived = || mails.lock().expect("mails").len();
    eventually("the mails", LONG, async || (arrived() >= all).then_some(())).await;
    // What is held is tried several times.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(came(&mails), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_wait_is_held_until_working_hours() {
    hours(None).await;
    if let Some(folder) = newer() {
        hours(Some(&folder)).await;
    }
}

/// Working hours begin in one to two minutes: what was held is then sent once.
async fn morning(programs: Option<PathBuf>) {
    let (smarthost, mails) = mail_server().await;
    let now = Timestamp::now().utc();
    // Where it is not nearly midnight.
    let (zone, shift) = if now.hour() < 12 { ("UTC", 0) } else { ("Pacific/Honolulu", 10 * 60) };
    let start = now.hour() * 60 + now.minute() + 2 - shift;
    let days = "days: [mon, tue, wed, thu, fri, sat, sun]";
    let people = format!(
        "people: [{{mail: early@example.com, {days}, time_zone: {zone}, hours: '{:02}:{:02}-24:00'}}]\n",
        start / 60,
        start % 60
    );
    let arguments = ["--smtp-smarthost", &smarthost];
    let mut alertmanager = Alertmanager::start(programs.as_deref(), &people, &arguments, |text| text).await;
    let alerts = [alert("ConnectionLost", "loss", "early@example.com", &[("urgent", "no")])];
    let begin = Timestamp::now().plus(i64::from(120 - now.second()));
    let arrived = || mails.lock().expect("mails").len();
    // Killed while the mail is held, and again after it was sent.
    let mut kills = [begin.plus(-20), begin.plus(10)].into_iter().peekable();
    while Timestamp::now() < begin.plus(30) {
        if kills.next_if(|at| Timestamp::now() >= *at).is_some() {
            alertmanager.program.restart();
        }
        assert!(arrived() == 0 || Timestamp::now() >= begin.plus(-2), "before working hours");
        // A pause that is shorter than the alert's validity ends nothing.
        alertmanager.send(&alerts, 12).await;
        let pause = if Timestamp::now() > begin.plus(20) { 8 } else { 1 };
        tokio::time::sleep(Duration::from_secs(pause)).await;
    }
    assert_eq!(came(&mails), BTreeMap::from([("early@example.com".to_owned(), vec!["loss".to_owned()])]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_held_is_sent_once_when_working_hours_begin() {
    match newer() {
        Some(folder) => _ = tokio::join!(morning(None), morning(Some(folder))),
        None => morning(None).await,
    }
}

/// Runs amtool of the installed version, or of the newer one.
fn amtool(newer: Option<&Path>, arguments: &[&str]) -> (bool, String) {
    let program = newer.map_or_else(|| PathBuf::from("amtool"), |folder| folder.join("amtool"));
    let output = Command::new(program).args(arguments).output().expect("amtool");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

#[test]
fn every_alert_takes_its_route_with_all_options() {
    let folder = tempfile::tempdir().expect("a folder");
    let (config, made) = (folder.path().join("config.yaml"), folder.path().join("alertmanager.yml"));
    let accounts = "accounts: [{id: a, network: mastodon, token: sim-a}]\n";
    std::fs::write(&config, accounts.to_owned() + &people()).expect("written");
    let arguments =
        ["--config.file", &config.display().to_string(), "--group-mails-by", "person", "--mail-recoveries"];
    let output = generate(&[&["alertmanager"], &arguments[..]].concat());
    std::fs::write(&made, output.stdout).expect("written");
    let config = format!("--config.file={}", made.display());
    let newer = newer();
    for to in
        ["in@example.com", "out@example.com", "in@example.com,out@example.com", "x@example.com", "none", ""]
    {
        let reader = match to {
            "none" => "nobody",
            "" => "operator",
            _ => "people",
        };
        let has_hours = ["in@example.com", "out@example.com"].contains(&to);
        for alert in kinds(to) {
            let held = if has_hours { "pager,people" } else { "pager,nobody" };
            let receivers = match alert["labels"]["account"].as_str().expect("a name") {
                "last-notice" | "new-post" => format!("pager,{reader}"),
                "held-post" => held.to_owned(),
                "known-post" => "pager,nobody".to_owned(),
                _ => reader.to_owned(),
            };
            let verify = format!("--verify.receivers={receivers}");
            let labels: Vec<String> = alert["labels"]
                .as_object()
                .expect("labels")
                .iter()
                .map(|(label, value)| format!("{label}={}", value.as_str().expect("text")))
                .collect();
            let mut arguments = vec!["config", "routes", "test", &config, &verify];
            arguments.extend(labels.iter().map(String::as_str));
            for program in [None, newer.as_deref()].into_iter().collect::<BTreeSet<_>>() {
                let (right, text) = amtool(program, &arguments);
                assert!(right, "{labels:?}: {text}");
            }
        }
    }
    let text = std::fs::read_to_string(&made).expect("read");
    // Losses of a moment are one mail, which waits for all of them.
    assert!(text.contains("group_by: [alertname, moment, notify]\n      group_wait: 7m\n"), "{text}");
}

#[test]
fn the_mail_server_is_that_of_the_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    let (config, made) = (folder.path().join("config.yaml"), folder.path().join("alertmanager.yml"));
    let text = "global: {notify: [ops@example.com]}\naccounts: [{id: a, network: mastodon, token: sim-a}]\n\
                smtp: {smarthost: 'mail.example.com:587', from: t@example.com, auth_username: t, \
                PASSWORD, tls_config: {ca_file: /etc/ca.pem}, unsubscribe_url: \
                'https://app.example.com/mails?a=1&address={address}'}\ndigest: {page_url: \
                'https://exporter.example.com/x'}\npeople: [{mail: sat@example.com, days: [sat]}]\n";
    let make = |password: &str, arguments: &[&str]| {
        std::fs::write(&config, text.replace("PASSWORD", password)).expect("written");
        let file = config.display().to_string();
        let output = generate(&[&["alertmanager", "--config.file", &file], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        std::fs::write(&made, &text).expect("written");
        let (right, checked) = amtool(None, &["check-config", &made.display().to_string()]);
        assert!(right, "{checked}");
        text
    };
    let text = make("auth_password_file: /run/secrets/mail", &[]);
    for part in [
        "smtp_smarthost: 'mail.example.com:587'\n",
        "smtp_from: 't@example.com'\n",
        "smtp_auth_username: 't'\n",
        "smtp_auth_password_file: '/run/secrets/mail'\n",
        "smtp_require_tls: true\n",
        "tls_config: {ca_file: '/etc/ca.pem'}\n",
        "?a=1&amp;address={{ or .GroupLabels.notify \"ops@example.com\" | urlquery }}{{ end }}",
        "<{{ template \"token_exporter.unsubscribe\" . }}>'",
        "{{ define \"token_exporter.page\" }}https://exporter.example.com/x/{{ . }}{{ end }}",
        "# Mails come at any time, as alerts do not last until the next hours: sat@example.com\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("time_intervals"), "{text}");
    let options = ["--smtp-smarthost", "other.example.com:25", "--smtp-from", "me@example.com"];
    let text =
        make("auth_password: sim-secret", &[&options[..], &["--page-url", "https://x.example.com"]].concat());
    for part in [
        "smtp_smarthost: 'other.example.com:25'\n",
        "smtp_from: 'me@example.com'\n",
        "smtp_auth_password_file: '/etc/alertmanager/secrets/smtp-password'\n",
        "https://x.example.com/{{ . }}",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("sim-secret"), "secrets stay where they are");
}

#[test]
fn every_combination_of_receivers_is_a_good_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("alertmanager.yml");
    let newer = newer();
    for chosen in 0..1 << RECEIVERS.len() {
        let kinds: Vec<&str> =
            (0..RECEIVERS.len()).filter(|i| chosen >> i & 1 == 1).map(|i| RECEIVERS[i]).collect();
        let arguments = kinds.iter().flat_map(|kind| ["--receiver", *kind]);
        let output = generate(&std::iter::once("alertmanager").chain(arguments).collect::<Vec<_>>());
        let text = String::from_utf8(output.stdout).expect("text");
        let version = kinds.iter().map(|kind| match *kind {
            "msteams" => 28,
            "telegram" => 26,
            _ => 25,
        });
        let version = version.max().unwrap_or(25);
        assert!(text.contains(&format!("Needs Alertmanager 0.{version} or later")), "{kinds:?}: {text}");
        let pages = ["pagerduty", "opsgenie"].iter().any(|kind| kinds.contains(kind));
        for kind in RECEIVERS {
            let key = if kind == "msteams" { "msteamsv2_configs:" } else { &format!("{kind}_configs:") };
            // The pager is a webhook unless something else takes its place.
            let expected = kinds.contains(&kind) || (kind == "webhook" && !pages);
            assert_eq!(text.contains(key), expected, "{kind}: {kinds:?}");
        }
        let mails = !kinds.iter().any(|kind| ["slack", "msteams", "telegram", "webhook"].contains(kind));
        assert_eq!(text.contains("email_configs:"), mails, "{kinds:?}");
        std::fs::write(&path, text).expect("written");
        let check = ["check-config", &path.display().to_string()];
        if !kinds.iter().any(|kind| NEW.contains(kind)) {
            let (right, text) = amtool(None, &check);
            assert!(right, "{kinds:?}: {text}");
        }
        if let Some(newer) = &newer {
            let (right, text) = amtool(Some(newer), &check);
            assert!(right, "{kinds:?}: {text}");
        }
    }
}

type Requests = Arc<Mutex<Vec<(String, Value)>>>;

/// A server that takes everything as chats and pagers do. Returns its address and the requests.
async fn sink() -> (String, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("an address").to_string();
    let requests = Requests::default();
    let kept = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let kept = Arc::clone(&kept);
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                loop {
                    let (mut first, mut length) = (String::new(), 0);
                    if stream.read_line(&mut first).await? == 0 {
                        return std::io::Result::Ok(());
                    }
                    loop {
                        let mut line = String::new();
                        stream.read_line(&mut line).await?;
                        let line = line.trim().to_ascii_lowercase();
                        length =
                            line.strip_prefix("content-length: ").map_or(length, |n| n.parse().unwrap_or(0));
                        if line.is_empty() {
                            break;
                        }
                    }
                    let mut body = vec![0; length];
                    stream.read_exact(&mut body).await?;
                    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
                    let body = serde_json::from_slice(&body).unwrap_or_default();
                    kept.lock().expect("requests").push((path, body));
                    // As Telegram does; the others only look at the status.
                    let message = json!({"message_id": 1, "date": 1, "chat": {"id": 1, "type": "group"}});
                    let answer = json!({"ok": true, "result": message}).to_string();
                    let head = "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length";
                    stream.write_all(format!("{head}: {}\r\n\r\n{answer}", answer.len()).as_bytes()).await?;
                }
            });
        }
    });
    (address, requests)
}

/// Sends an alert through all receivers that a version has.
async fn receivers(programs: Option<&Path>) {
    let (sink, requests) = sink().await;
    let kinds: Vec<&str> =
        RECEIVERS.into_iter().filter(|kind| programs.is_some() || !NEW.contains(kind)).collect();
    let arguments: Vec<&str> = kinds.iter().flat_map(|kind| ["--receiver", *kind]).collect();
    let arguments = [&arguments[..], &["--page-url", "https://exporter.example.com"]].concat();
    let secrets = tempfile::tempdir().expect("a folder");
    let change = |text: String| {
        for (name, secret) in [
            ("slack-url", format!("http://{sink}/slack")),
            ("msteams-url", format!("http://{sink}/msteams")),
            ("telegram-token", "sim-telegram".to_owned()),
            ("pagerduty-key", "sim-pagerduty".to_owned()),
            ("opsgenie-key", "sim-opsgenie".to_owned()),
        ] {
            std::fs::write(secrets.path().join(name), secret).expect("written");
        }
        let addresses = format!(
            "global:\n  pagerduty_url: http://{sink}/pagerduty\n  opsgenie_api_url: \
             http://{sink}/opsgenie/\n  telegram_api_url: http://{sink}\n"
        );
        text.replace("/etc/alertmanager/secrets", &secrets.path().display().to_string())
            .replace("http://localhost:9096/", &format!("http://{sink}/"))
            .replacen("global:\n", &addresses, 1)
    };
    let alertmanager = Alertmanager::start(programs, "", &arguments, change).await;
    let alerts = kinds_for_receivers();
    alertmanager.send(&alerts, 300).await;
    let arrived = || requests.lock().expect("requests").len();
    eventually("all requests", LONG, async || (arrived() >= kinds.len()).then_some(())).await;
    let requests = requests.lock().expect("requests");
    for (path, about) in [
        ("/slack", "Disconnected: loss &lt;!channel&gt;"),
        ("/msteams", "Disconnected: loss <!channel>"),
        ("/botsim-telegram/sendMessage", "Disconnected: loss <!channel>"),
        ("/pagerduty", "Planned posts will fail"),
        ("/opsgenie/v2/alerts", "Planned posts will fail"),
        ("/token-exporter", "\"loss\""),
    ] {
        let known = kinds.iter().any(|kind| path.contains(kind)) || path == "/token-exporter";
        let found: Vec<&Value> = requests.iter().filter(|(at, _)| at == path).map(|(_, body)| body).collect();
        assert_eq!(found.len(), usize::from(known), "{path}: {requests:?}");
        assert!(found.iter().all(|body| body.to_string().contains(about)), "{path}: {found:?}");
    }
    if let Some(folder) = std::env::var_os("KEEP_MAILS") {
        let all: Vec<&Value> = requests.iter().map(|(_, body)| body).collect();
        let text = serde_json::to_string_pretty(&all).expect("JSON");
        std::fs::write(Path::new(&folder).join("receivers.json"), text).expect("written");
    }
}

/// One alert for people, and one for the pager only.
fn kinds_for_receivers() -> Vec<Value> {
    let all = kinds("jane@example.com");
    let chosen = |what: &&Value| ["loss", "known-post"].iter().any(|name| what["labels"]["account"] == *name);
    let mut chosen: Vec<Value> = all.iter().filter(chosen).cloned().collect();
    for alert in &mut chosen {
        if alert["labels"]["account"] == "loss" {
            alert["annotations"]["name"] = "loss <!channel>".into();
        }
    }
    chosen
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_get_the_texts_of_mails() {
    receivers(None).await;
    if let Some(folder) = newer() {
        receivers(Some(&folder)).await;
    }
}
