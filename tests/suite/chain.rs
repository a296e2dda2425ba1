//! The whole chain with the real programs: simulated networks, exporter, Prometheus, Alertmanager,
//! and a mail server that stores its mails. Days are seconds here; everything else is as shipped.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use token_exporter::model::Timestamp;
use token_exporter::simulator::Simulator;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::prometheus::{Process, eventually, get};

/// A generous limit for busy machines.
pub(crate) const LONG: Duration = Duration::from_secs(90);

/// A received mail: time, recipients and text.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    at: Timestamp,
    to: Vec<String>,
    raw: String,
}

/// A parsed mail.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) at: Timestamp,
    /// The recipients in the SMTP envelope.
    pub(crate) to: String,
    pub(crate) subject: String,
    /// The header `List-Unsubscribe`.
    pub(crate) unsubscribe: String,
    pub(crate) text: String,
    pub(crate) html: String,
}

pub(crate) type Mails = Arc<Mutex<Vec<Received>>>;

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
pub(crate) async fn mail_server() -> (String, Mails) {
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

/// Mails as Python's parser reads them: the subject, who they are to, List-Unsubscribe, text and HTML.
pub(crate) fn parsed(mails: &[&str]) -> Vec<[String; 5]> {
    const READER: &str = "import sys, json, email, email.policy
for raw in json.load(sys.stdin):
    m = email.message_from_bytes(raw.encode(), policy=email.policy.default)
    assert not m.defects, m.defects
    kinds = sorted(p.get_content_type() for p in m.walk())
    assert kinds == ['multipart/alternative', 'text/html', 'text/plain'], kinds
    parts = [m.get_body((k,)).get_content() for k in ('plain', 'html')]
    print(json.dumps([m['subject'], m['to'], m['list-unsubscribe'] or '', *parts]))
";
    let mut python = Command::new("python3")
        .args(["-c", READER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 (tests/run installs it)");
    let input = Value::from(mails).to_string();
    python.stdin.take().expect("its input").write_all(input.as_bytes()).expect("written");
    let output = python.wait_with_output().expect("its output");
    assert!(output.status.success(), "a mail cannot be read");
    let lines = String::from_utf8(output.stdout).expect("text");
    let texts = |line: &str| serde_json::from_str::<[String; 5]>(line).expect("five texts");
    let read: Vec<[String; 5]> =
        lines.lines().map(|line| texts(line).map(|text| text.replace("\r\n", "\n"))).collect();
    assert_eq!(read.len(), mails.len());
    read
}

/// Reads mails that were received.
pub(crate) fn read(mails: &[Received]) -> Vec<Mail> {
    let raw: Vec<&str> = mails.iter().map(|mail| mail.raw.as_str()).collect();
    let read = mails.iter().zip(parsed(&raw)).map(|(received, [subject, to, unsubscribe, text, html])| {
        assert_eq!(to.replace(' ', ""), received.to.join(","), "the head names who got it");
        Mail { at: received.at, to: received.to.join(","), subject, unsubscribe, text, html }
    });
    read.collect()
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

    /// Kills it if it runs.
    pub(crate) fn stop(&mut self) {
        drop(self.running.take());
    }

    /// Kills it if it runs, and starts it.
    pub(crate) fn restart(&mut self) {
        self.stop();
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

/// The directory of newer programs; `tests/run` unpacks them, or says that they are skipped.
pub(crate) fn newer() -> Option<PathBuf> {
    std::env::var_os("NEWER_PROMETHEUS").filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// What mails are grouped by: one Alertmanager groups them by login, as shipped, another by person.
pub(crate) const BY_CREDENTIAL: usize = 0;
pub(crate) const BY_PERSON: usize = 1;

/// All programs of a run, and the mails that have arrived. Two Alertmanagers get the same alerts.
pub(crate) struct Chain {
    pub(crate) networks: Arc<Simulator>,
    pub(crate) exporter: Program,
    pub(crate) prometheus: Program,
    pub(crate) alertmanagers: [Program; 2],
    pub(crate) on_exporter: String,
    on_prometheus: String,
    on_alertmanagers: [String; 2],
    folder: tempfile::TempDir,
    mails: [Mails; 2],
}

impl Chain {
    /// Starts the exporter with a configuration and all that follows it, with the Prometheus and
    /// Alertmanager in a folder or with the installed ones.
    pub(crate) async fn start(
        programs: Option<&Path>,
        folder: tempfile::TempDir,
        networks: Arc<Simulator>,
        config: &str,
    ) -> Self {
        let program = |name: &str| programs.map_or_else(|| PathBuf::from(name), |folder| folder.join(name));
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("config.yaml"), config).expect("written");
        std::fs::write(path("rules.yml"), generate(&["rules", "--config.file", &path("config.yaml")]))
            .expect("written");
        let templates =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/templates/*.tmpl").display().to_string();
        let servers = [mail_server().await, mail_server().await];
        for (grouping, (smarthost, _)) in servers.iter().enumerate() {
            let mut arguments = vec!["alertmanager", "--smtp-smarthost", smarthost];
            let file = path("config.yaml");
            arguments.extend(["--config.file", &file]);
            if grouping == BY_PERSON {
                arguments.extend(["--group-mails-by", "person", "--mail-recoveries"]);
            }
            let configuration = generate(&arguments).replace("templates/*.tmpl", &templates);
            std::fs::write(path(&format!("alertmanager-{grouping}.yml")), configuration).expect("written");
        }
        let mails = servers.map(|(_, mails)| mails);
        let [on_exporter, on_prometheus] = [free_address(), free_address()];
        let on_alertmanagers = [free_address(), free_address()];
        let scraped = format!(
            "global: {{scrape_interval: 1s}}\nrule_files: [rules.yml]\nalerting: {{alertmanagers: \
             [{{static_configs: [{{targets: {on_alertmanagers:?}}}]}}]}}\nscrape_configs: [{{job_name: \
             token_exporter, static_configs: [{{targets: [\"{on_exporter}\"]}}]}}]\n"
        );
        std::fs::write(path("prometheus.yml"), scraped).expect("written");

        let arguments = |list: &[(&str, &str)]| {
            list.iter().map(|(flag, value)| format!("--{flag}={value}")).collect::<Vec<_>>()
        };
        let exporter = Program::start(
            PathBuf::from(env!("CARGO_BIN_EXE_token_exporter")),
            arguments(&[
                ("config.file", &path("config.yaml")),
                ("config.auto-reload-interval", "1s"),
                ("storage.path", &path("state")),
                ("web.listen-address", &on_exporter),
            ]),
        );
        let prometheus = Program::start(
            program("prometheus"),
            arguments(&[
                ("config.file", &path("prometheus.yml")),
                ("storage.tsdb.path", &path("series")),
                ("web.listen-address", &on_prometheus),
                ("rules.alert.resend-delay", "5s"),
            ]),
        );
        let alertmanagers = [BY_CREDENTIAL, BY_PERSON].map(|grouping| {
            let mut list = vec![
                ("config.file", path(&format!("alertmanager-{grouping}.yml"))),
                ("storage.path", path(&format!("sent-{grouping}"))),
                ("data.maintenance-interval", "1s".to_owned()),
                ("web.listen-address", on_alertmanagers[grouping].clone()),
                ("cluster.listen-address", String::new()),
            ];
            // Newer versions can wait for all alerts before they send mails; see alerts/README.md.
            list.extend(programs.map(|_| ("dispatch.start-delay", "10s".to_owned())));
            let list: Vec<(&str, &str)> = list.iter().map(|(flag, value)| (*flag, value.as_str())).collect();
            Program::start(program("prometheus-alertmanager"), arguments(&list))
        });
        let chain = Self {
            networks,
            exporter,
            prometheus,
            alertmanagers,
            on_exporter,
            on_prometheus,
            on_alertmanagers,
            folder,
            mails,
        };
        chain.ready().await;
        chain
    }

    pub(crate) async fn ready(&self) {
        ready(&self.on_prometheus).await;
        for address in &self.on_alertmanagers {
            ready(address).await;
        }
    }

    /// Waits until the exporter shows so many series with this beginning and end.
    pub(crate) async fn shows(&self, what: &str, count: usize, starts: &str, ends: &str) {
        let url = format!("http://{}/metrics", self.on_exporter);
        let found = async || {
            let text = get(&url).await?;
            (text.lines().filter(|l| l.starts_with(starts) && l.ends_with(ends)).count() == count)
                .then_some(())
        };
        eventually(what, LONG, found).await;
    }

    /// Waits until Prometheus knows so many valid or invalid accounts.
    pub(crate) async fn knows(&self, count: usize) {
        let known = format!("http://{}/api/v1/query?query=count(connection:valid)", self.on_prometheus);
        eventually("Prometheus knows them", LONG, async || {
            get(&known).await.filter(|t| t.contains(&format!("\"{count}\"")))
        })
        .await;
    }

    /// Waits until so many mails to these recipients have arrived, with both groupings.
    pub(crate) async fn mailed(&self, to: &str, count: usize) {
        self.mailed_by([BY_CREDENTIAL, BY_PERSON], to, count).await;
    }

    /// Waits until so many mails to these recipients have arrived, with some groupings.
    pub(crate) async fn mailed_by<const N: usize>(&self, groupings: [usize; N], to: &str, count: usize) {
        for grouping in groupings {
            let mails = &self.mails[grouping];
            let arrived = || mails.lock().expect("mails").iter().filter(|m| m.to.join(",") == to).count();
            let what = format!("{count} mails to {to}, grouping {grouping}");
            eventually(&what, LONG, async || (arrived() >= count).then_some(())).await;
        }
    }

    /// Waits until both Alertmanagers have so many alerts with these labels.
    pub(crate) async fn alerting(&self, labels: &[(&str, &str)], count: usize) {
        let what = format!("{count} alerts with {labels:?}");
        for address in &self.on_alertmanagers {
            eventually(&what, LONG, async || alerts(address, labels).await.filter(|n| *n == count)).await;
        }
    }

    /// Waits until what the Alertmanagers have sent until now is on their disks.
    pub(crate) async fn noted(&self) {
        let sent = SystemTime::now();
        for grouping in [BY_CREDENTIAL, BY_PERSON] {
            let log = self.folder.path().join(format!("sent-{grouping}/nflog"));
            let noted =
                async || std::fs::metadata(&log).and_then(|m| m.modified()).ok().filter(|at| *at > sent);
            eventually("Alertmanager notes what it has sent", LONG, noted).await;
        }
    }

    /// Ends all programs, and returns the mails of each grouping.
    pub(crate) fn end(self) -> [Vec<Mail>; 2] {
        drop((self.exporter, self.prometheus, self.alertmanagers));
        self.mails.map(|mails| read(&mails.lock().expect("mails")))
    }
}
