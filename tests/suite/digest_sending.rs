//! Digests over SMTP: each is sent once a person and day, through refusals, kills and two runs at the
//! same time.

use std::collections::VecDeque;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use token_exporter::config::Config;
use token_exporter::digest::{Busy, Digest, Exporters, Notes, Sent, ready_server, recipients};
use token_exporter::model::{Language, Reason};
use token_exporter::network::{Certainty, Verdict};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::chain::parsed as parsed_mails;
use crate::digest::{Answers, at, configuration, exporter, jane, letters, links, lost, news, row};
use crate::page::{DAY, Site};
use crate::prometheus::eventually;

struct Parsed {
    subject: String,
    text: String,
    html: String,
}

fn parsed(mails: &[String]) -> Vec<Parsed> {
    let raw: Vec<&str> = mails.iter().map(String::as_str).collect();
    let read = parsed_mails(&raw).into_iter();
    read.map(|[subject, _, _, text, html]| Parsed { subject, text, html }).collect()
}

/// What a mail server does with the next mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    Accept,
    /// Refuses the recipient with this answer.
    Refuse(&'static str),
    /// Refuses the mail itself with this answer.
    RefuseMail(&'static str),
    /// Never answers to the recipient.
    Stall,
    /// Closes the connection after the mail.
    HangUp,
    /// Never answers to the mail.
    Silence,
}

#[derive(Clone, Debug, Default)]
struct MailServer {
    address: String,
    /// What is done with the next mails; the last one for all others.
    behaviours: Arc<Mutex<VecDeque<Behaviour>>>,
    mails: Arc<Mutex<Vec<String>>>,
    /// All that clients have said, apart from mails.
    said: Arc<Mutex<Vec<String>>>,
    tls: Option<Arc<rustls::ServerConfig>>,
    offers_auth: bool,
}

impl MailServer {
    async fn start(mut self, behaviours: &[Behaviour]) -> Self {
        *self.behaviours.lock().unwrap() = behaviours.iter().copied().collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.address = listener.local_addr().unwrap().to_string();
        let server = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    stream.write_all(b"220 sink\r\n").await.unwrap();
                    if server.talk(&mut stream, false).await == Some(true)
                        && let Some(tls) = server.tls.clone()
                    {
                        let stream = TlsAcceptor::from(tls).accept(stream.into_inner()).await;
                        if let Ok(stream) = stream {
                            server.talk(&mut BufReader::new(stream), true).await;
                        }
                    }
                });
            }
        });
        self
    }

    fn next_behaviour(&self) -> Behaviour {
        let mut behaviours = self.behaviours.lock().unwrap();
        let next = behaviours.front().copied().unwrap_or(Behaviour::Accept);
        if behaviours.len() > 1 {
            behaviours.pop_front();
        }
        next
    }

    /// Whether TLS is to begin; none if the connection has ended.
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufReader<S>,
        encrypted: bool,
    ) -> Option<bool> {
        let mut behaviour = Behaviour::Accept;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let command = line.trim_end();
            self.said.lock().unwrap().push(command.to_owned());
            let answer = match command.split([' ', ':']).next().unwrap_or_default() {
                "EHLO" => {
                    let tls = if self.tls.is_some() && !encrypted { "250-STARTTLS\r\n" } else { "" };
                    let auth = if self.offers_auth { "250-AUTH PLAIN LOGIN\r\n" } else { "" };
                    format!("250-sink\r\n{tls}{auth}250 8BITMIME")
                }
                "STARTTLS" => {
                    stream.write_all(b"220 go on\r\n").await.ok()?;
                    return Some(true);
                }
                "AUTH" if command.ends_with("AGV4cG9ydGVyAHNpbS1zbXRwLXBhc3N3b3Jk") => {
                    "235 welcome".to_owned()
                }
                "AUTH" => format!("535 no: {command}, sim-smtp-password is wrong"),
                "RCPT" => {
                    behaviour = self.next_behaviour();
                    match behaviour {
                        Behaviour::Refuse(answer) => answer.to_owned(),
                        Behaviour::Stall => {
                            std::future::pending::<()>().await;
                            return None;
                        }
                        _ => "250 ok".to_owned(),
                    }
                }
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await.ok()?;
                    let mut mail = String::new();
                    loop {
                        let mut line = String::new();
                        stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
                        if line == ".\r\n" {
                            break;
                        }
                        mail.push_str(line.strip_prefix('.').unwrap_or(&line));
                    }
                    if !matches!(behaviour, Behaviour::RefuseMail(_)) {
                        self.mails.lock().unwrap().push(mail);
                    }
                    match behaviour {
                        Behaviour::RefuseMail(answer) => answer.to_owned(),
                        Behaviour::HangUp => return None,
                        Behaviour::Silence => {
                            std::future::pending::<()>().await;
                            return None;
                        }
                        _ => "250 accepted".to_owned(),
                    }
                }
                "QUIT" => "221 bye".to_owned(),
                _ => "250 ok".to_owned(),
            };
            stream.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
        }
    }

    fn mails(&self) -> Vec<String> {
        self.mails.lock().unwrap().clone()
    }

    /// The recipient and the Message-ID of each mail.
    fn received(&self) -> Vec<[String; 2]> {
        let header = |mail: &str, name: &str| {
            let line = mail.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim().to_owned()
        };
        self.mails().iter().map(|mail| [header(mail, "To:"), header(mail, "Message-ID:")]).collect()
    }
}

/// A folder, exporters and a mail server.
struct Scene {
    folder: tempfile::TempDir,
    answers: Answers,
    server: MailServer,
    config: Config,
}

const PEOPLE: &str = "{mail: jane@example.com, name: Jane Doe, mails: daily, time_zone: Europe/Berlin}";

impl Scene {
    async fn new(people: &str, behaviours: &[Behaviour]) -> Self {
        Self::with(people, "require_tls: false", MailServer::default().start(behaviours).await).await
    }

    async fn with(people: &str, smtp: &str, server: MailServer) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let answers = news();
        let smtp = format!("smarthost: '{}', from: exporter@example.com, {smtp}", server.address);
        let config = configuration(folder.path(), &[exporter(answers.clone()).await], people, &smtp);
        Self { folder, answers, server, config }
    }

    async fn send(&self, now: &str) -> anyhow::Result<Sent> {
        let notes = Notes::open(&self.folder.path().join("data"))?;
        let smtp = self.config.smtp.as_ref().unwrap();
        let mut digest = Digest {
            people: recipients(&self.config.people, None),
            exporters: Exporters::new(&self.config.digest.exporters),
            links: links(),
        };
        digest.send(&ready_server(smtp).await?, &smtp.from, &notes, at(now)).await
    }

    /// The number of mails after sending, and whether the sending failed.
    async fn sends(&self, now: &str) -> (usize, usize) {
        let sent = self.send(now).await.unwrap();
        (self.server.mails().len(), sent.failed)
    }
}

#[tokio::test]
async fn each_is_sent_once_a_person_and_day() {
    let people = format!("{PEOPLE}, {{mail: jim@example.com, mails: daily}}, {{mail: max@example.com}}");
    let scene = Scene::new(&people, &[Behaviour::Accept]).await;
    for hour in 9..14 {
        scene.send(&format!("2027-01-20T{hour:02}:14:00Z")).await.unwrap();
    }
    assert_eq!(
        scene.server.received(),
        [
            [
                "\"Jane Doe\" <jane@example.com>",
                "<digest.2027-01-20.8c87b489ce35cf2e2f39f80e282cb2e8@example.com>"
            ],
            ["jim@example.com", "<digest.2027-01-20.05fb2d0e3d19673bbcf6278d82dbcbe9@example.com>"],
        ]
        .map(|mail| mail.map(str::to_owned))
    );
    assert_eq!(scene.sends("2027-01-21T09:14:00Z").await, (4, 0), "and again on the next day");
}

#[tokio::test]
async fn a_mail_is_complete() {
    let scene = Scene::new(PEOPLE, &[Behaviour::Accept]).await;
    scene.send("2027-01-20T09:14:00Z").await.unwrap();
    let mails = scene.server.mails();
    let read = parsed(&mails);
    let letter = letters(news(), vec![jane(Language::En)]).await.remove(0);
    assert_eq!(read[0].subject, letter.subject);
    assert_eq!(read[0].text.trim_end(), letter.text().trim_end());
    assert_eq!(read[0].html.trim_end(), letter.html().trim_end());
    let head = mails[0].split("\r\n\r\n").next().unwrap();
    for line in [
        "From: token_exporter <exporter@example.com>",
        "Date: Wed, 20 Jan 2027 09:14:00 +0000",
        "Auto-Submitted: auto-generated",
        "Content-Language: en",
        "List-Unsubscribe:",
    ] {
        assert!(head.contains(line), "{line}: {head}");
    }
    let unfolded = head.replace("\r\n ", "");
    assert!(unfolded.contains("<mailto:ops@example.com?subject=Please%20stop%20mails"), "{head}");
}

#[tokio::test]
async fn mails_come_on_working_days_within_hours_in_the_persons_zone() {
    let people = "{mail: tokyo@example.com, mails: daily, time_zone: Asia/Tokyo, days: [thu, sat], \
                  hours: 09:00-12:00}, {mail: utc@example.com, mails: daily}";
    let scene = Scene::new(people, &[Behaviour::Accept]).await;
    let mut days = Vec::new();
    // From Wednesday on, every hour.
    let (begin, mut before) = (at("2027-01-20T00:14:00Z"), 0);
    for hour in 0..24 * 6 {
        let time = begin.plus(hour * 3600).to_string();
        let (count, failed) = scene.sends(&time).await;
        assert_eq!(failed, 0);
        for [to, _] in &scene.server.received()[before..count] {
            days.push(format!("{time} {to}"));
        }
        before = count;
    }
    assert_eq!(
        days,
        [
            "2027-01-20T08:14:00Z utc@example.com",
            "2027-01-21T00:14:00Z tokyo@example.com",
            "2027-01-21T08:14:00Z utc@example.com",
            "2027-01-22T08:14:00Z utc@example.com",
            "2027-01-23T00:14:00Z tokyo@example.com",
            "2027-01-25T08:14:00Z utc@example.com",
        ]
    );
}

#[tokio::test]
async fn a_day_stays_one_if_the_time_zone_changes() {
    let person = |zone: &str| {
        let days = "days: [mon, tue, wed, thu, fri, sat, sun], hours: 00:00-24:00";
        format!("{{mail: jane@example.com, mails: daily, time_zone: {zone}, {days}}}")
    };
    let mut scene = Scene::new(&person("Asia/Tokyo"), &[Behaviour::Accept]).await;
    assert_eq!(scene.sends("2027-01-20T09:00:00Z").await, (1, 0));
    assert_eq!(scene.sends("2027-01-20T15:30:00Z").await, (2, 0), "half past midnight in Tokyo");
    // It is the 20th in Los Angeles, of which there was a mail.
    let zone = Some("America/Los_Angeles".parse().unwrap());
    scene.config.people[0].time_zone = zone;
    assert_eq!(scene.sends("2027-01-20T16:00:00Z").await, (2, 0));
    assert_eq!(scene.sends("2027-01-21T16:00:00Z").await, (2, 0), "nor of the 21st");
    assert_eq!(scene.sends("2027-01-22T16:00:00Z").await, (3, 0));
    assert_eq!(scene.sends("2026-12-01T16:00:00Z").await, (4, 0), "the clock was wrong");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_not_a_mail() {
    // Killed before the text of the mail: certainly not sent, however often.
    let scene =
        Scene::new(PEOPLE, &[Behaviour::Stall, Behaviour::Stall, Behaviour::Stall, Behaviour::Accept]).await;
    for hour in 9..12 {
        let time = format!("2027-01-20T{hour:02}:00:00Z");
        let killed = tokio::time::timeout(Duration::from_millis(500), scene.send(&time)).await;
        assert!(killed.is_err());
    }
    assert_eq!(scene.sends("2027-01-20T12:00:00Z").await, (1, 0));
    assert_eq!(scene.sends("2027-01-20T13:00:00Z").await, (1, 0));
}

#[tokio::test]
async fn what_was_refused_is_sent_by_the_next_run() {
    use Behaviour::{Accept, Refuse, RefuseMail};
    let refusals = [Refuse("450 later"), RefuseMail("451 later"), Refuse("550 nobody"), Accept];
    let scene = Scene::new(PEOPLE, &refusals).await;
    for hour in 9..12 {
        assert_eq!(scene.sends(&format!("2027-01-20T{hour:02}:00:00Z")).await, (0, 1));
    }
    assert_eq!(scene.sends("2027-01-20T12:00:00Z").await, (1, 0));
    assert_eq!(scene.sends("2027-01-20T13:00:00Z").await, (1, 0));

    let mut scene = Scene::new(PEOPLE, &[Accept]).await;
    scene.config.smtp.as_mut().unwrap().port = 1;
    assert_eq!(scene.sends("2027-01-20T09:00:00Z").await, (0, 1), "nobody listens");
    let port = scene.server.address.rsplit_once(':').unwrap().1.parse().unwrap();
    scene.config.smtp.as_mut().unwrap().port = port;
    assert_eq!(scene.sends("2027-01-20T10:00:00Z").await, (1, 0));
}

#[tokio::test]
async fn one_persons_failure_does_not_stop_the_others() {
    let people =
        format!("{PEOPLE}, {{mail: jim@example.com, mails: daily}}, {{mail: 'm..x@-', mails: daily}}");
    let scene = Scene::new(&people, &[Behaviour::Refuse("550 nobody"), Behaviour::Accept]).await;
    let sent = scene.send("2027-01-20T09:00:00Z").await.unwrap();
    assert_eq!(sent, Sent { sent: 1, failed: 2 });
    assert_eq!(scene.server.received()[0][0], "jim@example.com");
}

#[tokio::test]
async fn what_nobody_knows_is_sent_once_more_and_not_a_third_time() {
    for unclear in [Behaviour::HangUp, Behaviour::Silence] {
        let scene = Scene::new(PEOPLE, &[unclear]).await;
        for hour in 9..13 {
            let time = format!("2027-01-20T{hour:02}:00:00Z");
            // A process that is killed while it waits for the answer.
            let waits = Duration::from_millis(500);
            let killed = tokio::time::timeout(waits, scene.send(&time)).await;
            assert_eq!(killed.is_err(), unclear == Behaviour::Silence && hour < 11);
        }
        let received = scene.server.received();
        assert_eq!(received.len(), 2, "{received:?}");
        assert_eq!(received[0], received[1], "with the same Message-ID");
        *scene.server.behaviours.lock().unwrap() = VecDeque::from([Behaviour::Accept]);
        assert_eq!(scene.sends("2027-01-20T13:00:00Z").await, (2, 0), "not a third time");
        assert_eq!(scene.sends("2027-01-21T09:00:00Z").await, (3, 0), "but on the next day");
    }
}

#[tokio::test]
async fn one_unclear_and_then_refused_counts_once() {
    use Behaviour::{Accept, HangUp, Refuse};
    let scene = Scene::new(PEOPLE, &[HangUp, Refuse("450 later"), Refuse("450 later"), HangUp, Accept]).await;
    let mut counts = Vec::new();
    for hour in 9..15 {
        counts.push(scene.sends(&format!("2027-01-20T{hour:02}:00:00Z")).await);
    }
    assert_eq!(counts, [(1, 1), (1, 1), (1, 1), (2, 1), (2, 0), (2, 0)]);
}

#[tokio::test]
async fn two_runs_at_the_same_time_send_one_mail() {
    let scene = Scene::new(PEOPLE, &[Behaviour::Accept]).await;
    let (first, second) =
        tokio::join!(scene.send("2027-01-20T09:00:00Z"), scene.send("2027-01-20T09:00:00Z"));
    let results = [first, second].map(|result| result.map_err(|error| error.is::<Busy>()).err());
    assert!(results.contains(&None) && results.contains(&Some(true)), "{results:?}");
    assert_eq!(scene.server.mails().len(), 1);
}

#[tokio::test]
async fn what_works_again_is_told_once() {
    let scene = Scene::new(PEOPLE, &[Behaviour::Accept]).await;
    assert_eq!(scene.sends("2027-01-20T09:00:00Z").await, (1, 0));
    // ACME Shop works again, ACME Club has been removed.
    scene.answers.set("state=disconnected", &[lost("page", "ACME on Facebook", "jane", json!({}))]);
    let back = row("shop", "ACME Shop", "jane", json!({"since": "2027-01-20T16:30:00Z"}));
    scene.answers.put("connections/shop", back);
    assert_eq!(scene.sends("2027-01-21T09:00:00Z").await, (2, 0));
    assert_eq!(scene.sends("2027-01-22T09:00:00Z").await, (3, 0));
    let read = parsed(&scene.server.mails());
    let again = "WORKING AGAIN\n\nYour Facebook login\n- ACME Shop\nDid not work since: Tuesday 19 January 2027, \
                 08:02\nWorks again since: Wednesday 20 January 2027, 17:30\n";
    let told: Vec<bool> = read.iter().map(|mail| mail.text.contains(again)).collect();
    assert_eq!(told, [false, true, false], "{}", read[1].text);
}

/// A certificate for this machine, in PEM form, and a server that has it.
fn certificate() -> (String, Arc<rustls::ServerConfig>) {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    (own.cert.pem(), Arc::new(config))
}

#[tokio::test]
async fn passwords_are_sent_over_tls_only() {
    let (pem, tls) = certificate();
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("ca.pem"), &pem).unwrap();
    std::fs::write(files.path().join("other.pem"), certificate().0).unwrap();
    std::fs::write(files.path().join("password"), "sim-smtp-password\n").unwrap();
    std::fs::write(files.path().join("wrong"), "sim-smtp-passwort\n").unwrap();
    let settings = |ca: &str, password: &str| {
        let path = |name: &str| files.path().join(name).display().to_string();
        format!(
            "tls_config: {{ca_file: '{}'}}, auth_username: exporter, auth_password_file: '{}'",
            path(ca),
            path(password)
        )
    };
    let start = async |tls: Option<Arc<rustls::ServerConfig>>| {
        let server = MailServer { tls, offers_auth: true, ..MailServer::default() };
        server.start(&[Behaviour::Accept]).await
    };
    let commands = |scene: &Scene| -> Vec<String> {
        let said = scene.server.said.lock().unwrap().clone();
        said.iter().map(|line| line.split([' ', ':']).next().unwrap_or_default().to_owned()).collect()
    };

    let right = Scene::with(PEOPLE, &settings("ca.pem", "password"), start(Some(tls.clone())).await).await;
    assert_eq!(right.sends("2027-01-20T09:00:00Z").await, (1, 0));
    assert_eq!(commands(&right), ["EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "QUIT"]);

    let stranger =
        Scene::with(PEOPLE, &settings("other.pem", "password"), start(Some(tls.clone())).await).await;
    assert_eq!(stranger.sends("2027-01-20T09:00:00Z").await, (0, 1));
    assert_eq!(commands(&stranger), ["EHLO", "STARTTLS"]);

    let plain = Scene::with(PEOPLE, &settings("ca.pem", "password"), start(None).await).await;
    assert_eq!(plain.sends("2027-01-20T09:00:00Z").await, (0, 1));
    assert!(!commands(&plain).contains(&"AUTH".to_owned()), "{:?}", commands(&plain));

    let local = Scene::with(PEOPLE, "require_tls: false", start(Some(tls.clone())).await).await;
    assert_eq!(local.sends("2027-01-20T09:00:00Z").await, (1, 0), "its certificate does not matter");
    assert!(!commands(&local).contains(&"STARTTLS".to_owned()), "{:?}", commands(&local));

    let wrong = Scene::with(PEOPLE, &settings("ca.pem", "wrong"), start(Some(tls)).await).await;
    let server = ready_server(wrong.config.smtp.as_ref().unwrap()).await.unwrap();
    assert!(!format!("{server:?}").contains("sim-"), "{server:?}");
    let error = server.connect().await.err().unwrap();
    assert_eq!(error.to_string(), "the server refuses auth_username or the password (535)");
}

/// Runs the program to its end, or kills it when a mail has arrived.
async fn run(
    folder: &Path,
    arguments: &[&str],
    kill_at: Option<(&MailServer, usize)>,
) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_token_exporter"))
        .arg("digest")
        .args(arguments)
        .args(["--log.format", "json", "--log.level", "trace"])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    if let Some((server, count)) = kill_at {
        eventually("a mail", Duration::from_secs(60), async || (server.mails().len() >= count).then_some(()))
            .await;
        child.kill().unwrap();
    }
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    for secret in ["sim-smtp-password", "c2ltLXNtdHAtcGFzc3dvcmQ", "AGV4cG9ydGVyAHNpbS1zbXRwLXBhc3N3b3Jk"] {
        assert!(!text.contains(secret), "{text}");
    }
    (output.status.code(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_sends_what_the_exporter_knows() {
    let site = Site::start(
        "apps: [{id: app, network: facebook, client_id: \"1\", client_secret: sim-client-secret}]
credentials: [{id: jane, network: facebook, token: sim-jane, connected_by: Jane Doe}, {id: soon, network: mastodon, token: sim-soon}]
accounts:
  - {id: page, name: ACME on Facebook, network: facebook, credential: jane, notify: [jane@example.com], needs: [publish, inbox]}
  - {id: toots, name: ACME Toots, network: mastodon, credential: soon, notify: [jane@example.com, ops@example.com]}
  - {id: other, name: Not hers, network: facebook, credential: jane, notify: [ops@example.com]}
people: [{mail: jane@example.com, mails: daily}]
",
        "/prefix",
    )
    .await;
    site.found("jane", Verdict::Invalid(Reason::PasswordChanged, Certainty::Plain), None);
    site.found("soon", Verdict::Valid, Some(3 * DAY));
    let server = MailServer { offers_auth: true, ..MailServer::default() };
    let server = server.start(&[Behaviour::Silence, Behaviour::Accept]).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("password"), "sim-smtp-password").unwrap();
    let always = "days: [mon, tue, wed, thu, fri, sat, sun], hours: 00:00-24:00";
    let people = format!("{{mail: jane@example.com, name: Jane Doe, mails: daily, {always}}}");
    let smtp = format!(
        "smarthost: '{}', from: exporter@example.com, require_tls: false, auth_username: exporter, \
         auth_password_file: password",
        server.address
    );
    configuration(folder.path(), std::slice::from_ref(&site.base), &people, &smtp);

    let (code, text) = run(folder.path(), &[], None).await;
    assert_eq!(code, Some(0), "{text}");
    for expected in [
        "To: jane@example.com\nSubject: Social-media connections: 1 not working, 1 ends soon\n",
        "\nYour Facebook login\n- ACME on Facebook\nSince: ",
        "\nMastodon login soon\n- ACME Toots\nDeadline: ",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains("Not hers"), "{text}");
    assert!(!folder.path().join("data").exists(), "printing leaves nothing behind");
    let (code, text) = run(folder.path(), &["--to", "OPS@example.com"], None).await;
    assert!(code == Some(0) && text.contains("- Not hers") && text.contains("Hello,"), "{text}");
    let (code, text) = run(folder.path(), &["--to", "stranger@example.com"], None).await;
    assert!(code == Some(0) && text.contains("there is nothing to tell"), "{text}");

    let sending = ["--send"];
    let (code, _) = run(folder.path(), &sending, Some((&server, 1))).await;
    assert_eq!(code, None, "killed");
    for _ in 0..4 {
        let (code, text) = run(folder.path(), &sending, None).await;
        assert_eq!(code, Some(0), "{text}");
    }
    let received = server.received();
    assert_eq!(received.len(), 2, "the one that was killed is sent again, once");
    assert_eq!(received[0], received[1]);

    *server.behaviours.lock().unwrap() = VecDeque::from([Behaviour::Refuse("550 nobody")]);
    let (code, text) = run(folder.path(), &["--send", "--to", "ops@example.com"], None).await;
    // Whether it is a working day within hours depends on the day of the test.
    assert!(code == Some(0) || code == Some(1) && text.contains("550"), "{code:?} {text}");
    let (code, text) = run(folder.path(), &["--send", "--storage.path", "none"], None).await;
    assert!(code == Some(2) && text.contains("--send needs --storage.path"), "{text}");
    configuration(folder.path(), &["http://127.0.0.1:1".to_owned()], &people, &smtp);
    let (code, text) = run(folder.path(), &sending, None).await;
    assert_eq!(code, Some(0), "done for today, so nothing is asked: {text}");
    std::fs::remove_dir_all(folder.path().join("data")).unwrap();
    let (code, text) = run(folder.path(), &sending, None).await;
    assert!(code == Some(2) && text.contains("http://127.0.0.1:1/ cannot be asked: "), "{text}");
    std::fs::write(folder.path().join("config.yaml"), "people: []\n").unwrap();
    let (code, text) = run(folder.path(), &[], None).await;
    assert!(code == Some(0) && text.contains("nobody wants one mail a day"), "{text}");
    std::fs::write(folder.path().join("config.yaml"), format!("people: [{people}]\n")).unwrap();
    let (code, text) = run(folder.path(), &sending, None).await;
    assert!(code == Some(2) && text.contains("no section smtp"), "{text}");
}
