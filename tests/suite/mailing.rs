//! The whole chain with the real programs: simulated networks, exporter, Prometheus, Alertmanager,
//! and a mail server that stores its mails. Each program is killed and restarted once. Days are
//! seconds here; everything else is as shipped.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use token_exporter::model::Timestamp;
use token_exporter::network::NetworkId;
use token_exporter::simulator::fixture_token;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::probing::simulator;
use crate::prometheus::{Process, eventually, get};

/// A generous limit for busy machines.
pub(crate) const LONG: Duration = Duration::from_secs(90);

/// A received mail: time, recipients and text.
#[derive(Clone, Debug)]
struct Received {
    at: Timestamp,
    to: Vec<String>,
    raw: String,
}

/// A parsed mail.
#[derive(Clone, Debug)]
struct Mail {
    at: Timestamp,
    /// The recipients in the SMTP envelope.
    to: String,
    subject: String,
    text: String,
    html: String,
}

type Mails = Arc<Mutex<Vec<Received>>>;

/// Receives the mails of one connection. It implements only the part of SMTP that Alertmanager
/// uses.
async fn serve_mail(stream: TcpStream, mails: Mails) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut to = Vec::new();
    write.write_all(b"220 sink\r\n").await?;
    while let Some(line) = lines.next_line().await? {
        if let Some(address) = line.strip_prefix("RCPT TO:<") {
            to.push(address.split('>').next().unwrap_or_default().to_owned());
        }
        if line == "DATA" {
            write.write_all(b"354 go on\r\n").await?;
            let mut raw = String::new();
            while let Some(line) = lines.next_line().await?.filter(|l| l != ".") {
                raw.push_str(line.strip_prefix('.').unwrap_or(&line));
                raw.push_str("\r\n");
            }
            mails.lock().expect("mails").push(Received {
                at: Timestamp::now(),
                to: std::mem::take(&mut to),
                raw,
            });
        }
        let answer: &[u8] = if line == "QUIT" { b"221 bye\r\n" } else { b"250 ok\r\n" };
        write.write_all(answer).await?;
    }
    Ok(())
}

/// Starts a mail server on loopback. Returns its address and its mails.
async fn mail_server() -> (String, Mails) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("an address").to_string();
    let mails = Mails::default();
    let kept = mails.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_mail(stream, kept.clone()));
        }
    });
    (address, mails)
}

/// Parses mails with Python's mail parser.
fn read(mails: &[Received]) -> Vec<Mail> {
    const READER: &str = "import sys, json, email, email.policy\nfor raw in json.load(sys.stdin):\n\x20   m \
                          = email.message_from_bytes(raw.encode(), policy=email.policy.default)\n\x20   \
                          assert not m.defects, m.defects\n\x20   parts = {k: m.get_body((k,)) for k in \
                          ('plain', 'html')}\n\x20   kinds = sorted(p.get_content_type() for p in \
                          m.walk())\n\x20   assert kinds == ['multipart/alternative', 'text/html', \
                          'text/plain'], kinds\n\x20   print(json.dumps([m['subject'], m['to'], \
                          parts['plain'].get_content(), parts['html'].get_content()]))\n";
    let mut python = Command::new("python3")
        .args(["-c", READER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 (tests/run installs it)");
    let raw: Vec<&str> = mails.iter().map(|m| m.raw.as_str()).collect();
    python
        .stdin
        .take()
        .expect("its input")
        .write_all(Value::from(raw).to_string().as_bytes())
        .expect("written");
    let output = python.wait_with_output().expect("its output");
    assert!(output.status.success(), "a mail cannot be read");
    let lines = String::from_utf8(output.stdout).expect("text");
    let read = mails.iter().zip(lines.lines()).map(|(received, line)| {
        let [subject, to, text, html]: [String; 4] = serde_json::from_str(line).expect("four texts");
        assert_eq!(to.replace(' ', ""), received.to.join(","), "the head names who got it");
        Mail { at: received.at, to: received.to.join(","), subject, text: text.replace("\r\n", "\n"), html }
    });
    let read: Vec<Mail> = read.collect();
    assert_eq!(read.len(), mails.len());
    read
}

/// A program that can be killed and restarted.
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<String>,
    running: Option<Process>,
}

impl Program {
    pub(crate) fn start(path: PathBuf, arguments: Vec<String>) -> Self {
        let mut program = Self { path, arguments, running: None };
        program.restart();
        program
    }

    /// Kills it if it runs, and starts it.
    fn restart(&mut self) {
        drop(self.running.take());
        let child = Command::new(&self.path)
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.running = Some(Process(child.unwrap_or_else(|e| panic!("{}: {e}", self.path.display()))));
    }
}

/// A free address, for programs that do not report their port or must come back to the same one.
pub(crate) fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").to_string()
}

fn generate(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_token_exporter"))
        .arg("generate")
        .args(arguments)
        .output()
        .expect("the program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// A name that would break any output without escaping.
const ODD: &str = "<b>\"Ünïcode\" & Söhne</b>";

const PAGES: usize = 40;

/// The files and addresses of a run.
struct Places {
    networks: std::net::SocketAddr,
    folder: PathBuf,
    deadline: Timestamp,
}

impl Places {
    /// The simulated network with a base URL.
    fn base(&self, network: &str) -> String {
        format!("http://{}/{network}", self.networks)
    }

    fn token(network: &str, case: &str, id: &str) -> String {
        fixture_token(NetworkId::from_name(network).expect("a network"), case, id)
    }

    /// A credential at Mastodon with one account; `more` is added to both lines.
    fn mastodon(&self, name: &str, id: &str, login: &str, account: &str) -> (String, String) {
        let (token, base) = (Self::token("mastodon", "valid", id), self.base("mastodon"));
        let token = if login.contains("token_file") { String::new() } else { format!("token: {token}, ") };
        let base = if login.contains("base_url") { String::new() } else { format!("base_url: \"{base}\", ") };
        (
            format!("  - {{id: {name}, network: mastodon, {base}{token}scopes: [read, write]{login}}}\n"),
            format!(
                "  - {{id: {name}, name: The {name} account, network: mastodon, credential: {name}, \
                 external_id: \"{id}\"{account}}}\n"
            ),
        )
    }

    /// Writes a credential's token that ends at a given time.
    fn write_token(&self, id: &str, ends: Timestamp) {
        let token = Self::token("mastodon", "valid", id);
        let text = format!("{{\"access_token\": \"{token}\", \"expires_at\": {}}}", ends.unix());
        let (path, fresh) = (self.folder.join("token"), self.folder.join("token.new"));
        std::fs::write(&fresh, text).and_then(|()| std::fs::rename(fresh, path)).expect("written");
    }

    fn config(&self) -> String {
        let ends = format!(", expires_at: \"{}\"", self.deadline);
        let closed = free_address();
        let logins = [
            self.mastodon(
                "soon",
                "2000001",
                &format!("{ends}, connected_by: Sue Sommer"),
                ", notify: [sue@example.com], needs: [publish]",
            ),
            self.mastodon("also-soon", "2000002", &ends, ", notify: [sue@example.com]"),
            self.mastodon("unnamed", "2000003", &ends, ""),
            self.mastodon(
                "unwanted",
                "2000004",
                &ends,
                ", notify: [kim@example.com], notify_opt_out: [kim@example.com]",
            ),
            self.mastodon("renewed", "2000005", ", token_file: token", ", notify: [rita@example.com]"),
            self.mastodon("troubled", "2000006", "", ", notify: [tom@example.com]"),
            self.mastodon(
                "unreachable",
                "2000007",
                &format!(", base_url: \"http://{closed}\""),
                ", notify: [tom@example.com]",
            ),
        ];
        let mut yaml = format!(
            "global: {{probe_interval: 2s, probe_timeout: 5s}}\nschedule: [{{notices: [60s, 30s, \
             today]}}]\napps:\n  - {{id: facebook, network: facebook, client_id: \"1234567890\", \
             client_secret: sim-s, base_url: \"{}\"}}\n  - {{id: x, network: x, client_id: key, \
             client_secret: sim-s, base_url: \"{}\"}}\ncredentials:\n  - {{id: jane, network: facebook, \
             token: {}, connected_by: Jane Doe}}\n  - {{id: flapping, network: x, token: {}, connected_by: \
             Xavier}}\n",
            self.base("facebook"),
            self.base("x"),
            Self::token("facebook", "many-pages", "1000001"),
            Self::token("x", "valid", "3000001"),
        );
        yaml.extend(logins.iter().map(|(login, _)| login.as_str()));
        yaml += "accounts:\n  - {id: flapping, network: x, credential: flapping, external_id: \"3000001\", \
                 notify: [xavier@example.com]}\n";
        yaml.extend(logins.iter().map(|(_, account)| account.as_str()));
        let page = |name: &str, number: usize, text: &str, more: &str| {
            format!(
                "  - {{id: {name}, name: '{text}', network: facebook, credential: jane, \
                 external_id: \"{}\", needs: [publish, inbox], \
                 reconnect_url: \"https://app.example.com/reconnect?login=jane&from=mail\"{more}}}\n",
                1_000_001 + number
            )
        };
        for i in 0..PAGES {
            let name = if i == 7 { ODD.to_owned() } else { format!("Store {i:02} of ACME") };
            yaml += &page(&format!("page-{i}"), i, &name, ", notify: [jane@example.com, joe@example.com]");
        }
        yaml += &page("shared", 0, "Also of Ann", ", notify: [ann@example.com]");
        yaml += &page(
            "unwanted-page",
            1,
            "Of nobody",
            ", notify: [kim@example.com], notify_opt_out: [kim@example.com]",
        );
        yaml
    }
}

/// The number of alerts with these labels in Alertmanager.
async fn alerts(address: &str, labels: &[(&str, &str)]) -> Option<usize> {
    let text = get(&format!("http://{address}/api/v2/alerts?active=true")).await?;
    let alerts: Vec<Value> = serde_json::from_str(&text).ok()?;
    Some(alerts.iter().filter(|a| labels.iter().all(|(name, value)| a["labels"][*name] == **value)).count())
}

pub(crate) async fn ready(address: &str) {
    let url = format!("http://{address}/-/ready");
    eventually(&url, LONG, async || get(&url).await.filter(|t| t.contains("OK") || t.contains("Ready")))
        .await;
}

/// Runs the chain with the Prometheus and Alertmanager in a folder, or with the installed ones.
async fn chain(programs: Option<&Path>) {
    let program = |name: &str| programs.map_or_else(|| PathBuf::from(name), |folder| folder.join(name));
    let (networks, address) = simulator().await;
    let (smarthost, mails) = mail_server().await;
    let kept = tempfile::tempdir().expect("a folder");
    let folder = kept.path();
    // Enough for all programs to start before the first notice.
    let places =
        Places { networks: address, folder: folder.to_owned(), deadline: Timestamp::now().plus(105) };
    let path = |name: &str| folder.join(name).display().to_string();
    places.write_token("2000005", places.deadline);
    std::fs::write(path("config.yaml"), places.config()).expect("written");
    std::fs::write(path("rules.yml"), generate(&["rules", "--config.file", &path("config.yaml")]))
        .expect("written");
    let templates =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/templates/*.tmpl").display().to_string();
    let alertmanager =
        ["alertmanager", "--smtp-smarthost", &smarthost, "--config.file", &path("config.yaml")];
    let alertmanager = generate(&alertmanager).replace("templates/*.tmpl", &templates);
    std::fs::write(path("alertmanager.yml"), alertmanager).expect("written");
    let [on_exporter, on_prometheus, on_alertmanager] = [free_address(), free_address(), free_address()];
    let prometheus = format!(
        "global: {{scrape_interval: 1s}}\nrule_files: [rules.yml]\nalerting: {{alertmanagers: \
         [{{static_configs: [{{targets: [\"{on_alertmanager}\"]}}]}}]}}\nscrape_configs: [{{job_name: \
         token_exporter, static_configs: [{{targets: [\"{on_exporter}\"]}}]}}]\n"
    );
    std::fs::write(path("prometheus.yml"), prometheus).expect("written");

    let arguments = |list: &[(&str, &str)]| {
        list.iter().map(|(flag, value)| format!("--{flag}={value}")).collect::<Vec<_>>()
    };
    let mut exporter = Program::start(
        PathBuf::from(env!("CARGO_BIN_EXE_token_exporter")),
        arguments(&[
            ("config.file", &path("config.yaml")),
            ("config.auto-reload-interval", "1s"),
            ("storage.path", &path("state")),
            ("web.listen-address", &on_exporter),
        ]),
    );
    let mut prometheus = Program::start(
        program("prometheus"),
        arguments(&[
            ("config.file", &path("prometheus.yml")),
            ("storage.tsdb.path", &path("series")),
            ("web.listen-address", &on_prometheus),
            ("rules.alert.resend-delay", "5s"),
        ]),
    );
    let mut alertmanager = Program::start(
        program("prometheus-alertmanager"),
        arguments(&[
            ("config.file", &path("alertmanager.yml")),
            ("storage.path", &path("sent")),
            ("data.maintenance-interval", "1s"),
            ("web.listen-address", &on_alertmanager),
            ("cluster.listen-address", ""),
        ]),
    );
    ready(&on_prometheus).await;
    ready(&on_alertmanager).await;

    let metrics = async || get(&format!("http://{on_exporter}/metrics")).await;
    let shows = async |what: &str, count: usize, starts: &str, ends: &str| {
        let found = async || {
            let text = metrics().await?;
            (text.lines().filter(|l| l.starts_with(starts) && l.ends_with(ends)).count() == count)
                .then_some(())
        };
        eventually(what, LONG, found).await;
    };
    let arrived = |to: &str| mails.lock().expect("mails").iter().filter(|m| m.to.join(",") == to).count();
    let mailed = async |to: &str, count: usize| {
        eventually(to, LONG, async || (arrived(to) >= count).then_some(())).await
    };

    shows("all that can work works", PAGES + 2 + 7, "connection_valid{", "reason=\"ok\"} 1").await;
    let known = format!("http://{on_prometheus}/api/v1/query?query=count(connection:valid)");
    eventually("Prometheus knows them", LONG, async || {
        get(&known).await.filter(|t| t.contains(&format!("\"{}\"", PAGES + 9)))
    })
    .await;

    // The credential with 40 pages is revoked: one mail to each list of recipients.
    let asked = || networks.requests().get("debug_token").copied().unwrap_or_default();
    let before = asked();
    networks.play("1000001", Some("password-changed"));
    shows("the loss", PAGES + 2, "connection_valid{", "reason=\"password_changed\"} 0").await;
    assert!(asked() - before <= 2, "within two probe rounds, not {}", asked() - before);
    // A network fails for the rest of the run.
    networks.play("2000006", Some("server-error"));
    // A refusal that the second probe does not confirm.
    networks.play("3000001", Some("bare-unauthorized-end-unknown"));
    shows("a doubt", 1, "connection_probe_success{account=\"flapping\"", " 0").await;
    networks.play("3000001", None);
    mailed("jane@example.com,joe@example.com", 1).await;
    mailed("ann@example.com", 1).await;

    // Each program is killed while notices are active. Sent notifications are on Alertmanager's
    // disk by then.
    mailed("rita@example.com", 2).await;
    exporter.restart();
    places.write_token("2000005", places.deadline.plus(30 * 86_400));
    shows("the exporter is back", PAGES + 2, "connection_valid{", "reason=\"password_changed\"} 0").await;
    mailed("sue@example.com", 4).await;
    mailed("operator@localhost", 2).await;
    let sent = SystemTime::now();
    let log = folder.join("sent/nflog");
    let noted = async || std::fs::metadata(&log).and_then(|m| m.modified()).ok().filter(|at| *at > sent);
    eventually("Alertmanager notes what it has sent", LONG, noted).await;
    alertmanager.restart();
    prometheus.restart();
    ready(&on_alertmanager).await;
    ready(&on_prometheus).await;
    eventually("alerts are told again", LONG, async || {
        alerts(&on_alertmanager, &[("alertname", "ConnectionLost")]).await.filter(|n| *n == PAGES + 2)
    })
    .await;
    mailed("sue@example.com", 6).await;
    mailed("operator@localhost", 3).await;

    // Recovery: the alert resolves without a mail.
    networks.play("1000001", None);
    let probe = format!("http://{on_exporter}/probe?account=page-0");
    eventually("a probe", LONG, async || get(&probe).await).await;
    let lost = [("alertname", "ConnectionLost"), ("credential", "jane")];
    let back = [("alertname", "ConnectionReconnected"), ("credential", "jane")];
    eventually("the alert ends", LONG, async || alerts(&on_alertmanager, &lost).await.filter(|n| *n == 0))
        .await;
    eventually("recovery is told", LONG, async || {
        alerts(&on_alertmanager, &back).await.filter(|n| *n == PAGES + 2)
    })
    .await;

    // After a notice, the deadline causes a page but no further mail.
    let passed = async || (Timestamp::now() > places.deadline).then_some(());
    eventually("the deadline", LONG, passed).await;
    networks.play("2000001", Some("token-expired"));
    shows("the end", 1, "connection_valid{account=\"soon\"", "reason=\"token_expired\"} 0").await;
    let page = [("alertname", "ConnectionInvalid"), ("credential", "soon")];
    eventually("a page", LONG, async || alerts(&on_alertmanager, &page).await.filter(|n| *n == 1)).await;
    // No further mail comes, for the duration of a notice and its group interval.
    tokio::time::sleep(Duration::from_secs(45)).await;
    drop((exporter, prometheus, alertmanager));

    let mails = read(&mails.lock().expect("mails"));
    if let Some(folder) = std::env::var_os("KEEP_MAILS") {
        for (i, mail) in mails.iter().enumerate() {
            std::fs::write(Path::new(&folder).join(format!("{i}.html")), &mail.html).expect("written");
            std::fs::write(
                Path::new(&folder).join(format!("{i}.txt")),
                format!("{}\n\n{}", mail.subject, mail.text),
            )
            .expect("written");
        }
    }
    check(&mails, &places);
}

/// Checks that exactly the promised mails were sent, with the required content.
fn check(mails: &[Mail], places: &Places) {
    let mut count: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for mail in mails {
        *count.entry((&mail.to, mail.subject.split(" – ").next().unwrap_or_default())).or_default() += 1;
    }
    let date = places.deadline.utc().format("%A %-d %B %Y, %H:%M UTC");
    let mut expected: Vec<(String, String, usize)> = vec![
        ("ann@example.com".to_owned(), "Also of Ann (Facebook) disconnected: password changed".to_owned(), 1),
        (
            "jane@example.com,joe@example.com".to_owned(),
            "40 accounts (Facebook) disconnected: password changed".to_owned(),
            1,
        ),
        ("rita@example.com".to_owned(), format!("The renewed account (Mastodon): reconnect by {date}"), 1),
        (
            "rita@example.com".to_owned(),
            format!("The renewed account (Mastodon): reconnect today, {date}"),
            1,
        ),
    ];
    for (to, name) in
        [("operator@localhost", "unnamed"), ("sue@example.com", "also-soon"), ("sue@example.com", "soon")]
    {
        expected.push((to.to_owned(), format!("The {name} account (Mastodon): reconnect by {date}"), 2));
        expected.push((to.to_owned(), format!("The {name} account (Mastodon): reconnect today, {date}"), 1));
    }
    expected.sort();
    let found: Vec<(String, String, usize)> =
        count.into_iter().map(|((to, subject), n)| (to.to_owned(), subject.to_owned(), n)).collect();
    assert_eq!(found, expected);

    // Notices come when they are due, not before.
    let mut by_time: Vec<Timestamp> = mails
        .iter()
        .filter(|m| m.subject.starts_with("The soon account (Mastodon): reconnect by"))
        .map(|m| m.at)
        .collect();
    by_time.sort_unstable();
    assert!(
        by_time[0] >= places.deadline.plus(-60) && by_time[1] >= places.deadline.plus(-30),
        "{by_time:?}"
    );

    let find = |to: &str, subject: &str| {
        mails
            .iter()
            .find(|m| m.to == to && m.subject.contains(subject))
            .unwrap_or_else(|| panic!("a mail to {to}: {subject}"))
    };
    let jane = find("jane@example.com,joe@example.com", "disconnected");
    for i in (0..PAGES).filter(|i| *i != 7) {
        let name = format!("Store {i:02} of ACME");
        assert!(
            jane.text.matches(&name).count() == 1 && jane.html.matches(&name).count() == 1,
            "{name}: once in each part"
        );
    }
    assert!(jane.text.contains(ODD) && !jane.html.contains(ODD));
    assert!(jane.html.contains("&lt;b&gt;&#34;Ünïcode&#34; &amp; Söhne&lt;/b&gt;"));
    assert!(!jane.text.contains("Also of Ann") && !jane.text.contains("Of nobody"));
    for (text, html) in [
        ("The password of the person who connected was changed", ""),
        (
            "Not working: publishing (scheduled posts), inbox (messages and comments)\n",
            "</b> publishing (scheduled posts), inbox (messages and comments)<",
        ),
        (
            "To be done by Jane Doe, who connected the account:\n1. Log in at facebook.com with the new \
             password.",
            ">1. Log in at facebook.com with the new password.",
        ),
        (
            "\n2. Reconnect the account; pages and Instagram accounts of the same login come back together.",
            "",
        ),
        (
            "Reconnect: https://app.example.com/reconnect?login=jane&from=mail\n",
            "href=\"https://app.example.com/reconnect?login=jane&amp;from=mail\"",
        ),
        ("Connected by: Jane Doe\n", "<b>Connected by:</b> Jane Doe"),
    ] {
        let html = if html.is_empty() { text.trim() } else { html };
        assert!(jane.text.contains(text), "{text}: {}", jane.text);
        assert!(jane.html.contains(html), "{html}: {}", jane.html);
    }
    let sue = find("sue@example.com", "The soon account (Mastodon): reconnect by");
    for part in [
        format!("Deadline: {date} (a moment left)"),
        "Stops working then: publishing (scheduled posts)\n".to_owned(),
        "Sue Sommer".to_owned(),
    ] {
        assert!(sue.text.contains(&part), "{part}: {}", sue.text);
    }
    for mail in mails {
        for loaded in ["src=", "url(", "<link", "<script", "@import", "ZgotmplZ", "<no value>"] {
            assert!(!mail.html.contains(loaded) && !mail.text.contains(loaded), "{loaded}: {}", mail.html);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_one_mail_although_everything_is_killed_once() {
    chain(None).await;
}

/// The directory of newer programs; `tests/run` unpacks them, or says that they are skipped.
pub(crate) fn newer() -> Option<PathBuf> {
    std::env::var_os("NEWER_PROMETHEUS").filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_programs_send_the_same_mails() {
    if let Some(folder) = newer() {
        chain(Some(&folder)).await;
    }
}
