//! A real Alertmanager with the shipped routes and templates, and a mail server that keeps what it gets.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::prometheus::{Process, eventually, get, http_client};

/// A mail: its recipients, and its head and parts, decoded.
#[derive(Clone, Debug)]
struct Received {
    to: Vec<String>,
    text: String,
}

/// Takes one connection's mails. No more of SMTP than Alertmanager speaks.
async fn serve_mail(stream: TcpStream, mails: Arc<Mutex<Vec<Received>>>) -> std::io::Result<()> {
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
                raw.push('\n');
            }
            mails.lock().expect("mails").push(Received { to: std::mem::take(&mut to), text: unquoted(&raw) });
        }
        let answer: &[u8] = if line == "QUIT" { b"221 bye\r\n" } else { b"250 ok\r\n" };
        write.write_all(answer).await?;
    }
    Ok(())
}

/// Quoted-printable, undone.
fn unquoted(raw: &str) -> String {
    let joined = raw.replace("=\n", "");
    let mut bytes = Vec::new();
    let mut rest = joined.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'=').then(|| after.get(..2)).flatten().and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn start_alertmanager(config: &Path, storage: &Path, address: &str) -> Process {
    let child = Command::new("prometheus-alertmanager")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", storage.display()))
        .arg(format!("--web.listen-address={address}"))
        .args(["--cluster.listen-address=", "--log.level=error"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("prometheus-alertmanager (tests/run installs it)");
    Process(child)
}

async fn ready(address: &str) {
    let url = format!("http://{address}/-/ready");
    eventually("Alertmanager is ready", Duration::from_secs(60), async || get(&url).await.filter(|t| t.contains("OK"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_pages_of_one_login_are_one_mail_through_a_restart() {
    let sink = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let smarthost = sink.local_addr().expect("an address").to_string();
    let mails: Arc<Mutex<Vec<Received>>> = Arc::default();
    let kept = mails.clone();
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = sink.accept().await {
            tokio::spawn(serve_mail(stream, kept.clone()));
        }
    });
    let folder = tempfile::tempdir().expect("a folder");
    let schedule = folder.path().join("config.yaml");
    std::fs::write(&schedule, "accounts: [{id: a, network: mastodon, token: sim-a}]\nschedule: [{notices: [40s, 20s]}]\n")
        .expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_token_exporter"))
        .args(["generate", "alertmanager", "--smtp-smarthost", &smarthost, "--config.file"])
        .arg(&schedule)
        .output()
        .expect("the program");
    let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/templates/*.tmpl").display().to_string();
    let text = String::from_utf8(output.stdout).expect("text").replace("templates/*.tmpl", &templates);
    let config = folder.path().join("alertmanager.yml");
    std::fs::write(&config, text).expect("written");
    let address = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").to_string();
    let storage = folder.path().join("data");
    let running = start_alertmanager(&config, &storage, &address);
    ready(&address).await;

    // A login with 40 pages is lost; two of the pages have another recipient, and one belongs to nobody.
    let odd = "<b>\"Ünïcode\" & Söhne</b>";
    let alerts: Vec<Value> = (0..43)
        .map(|i| {
            let notify = match i {
                0..40 => "jane@example.com,joe@example.com",
                40..42 => "ann@example.com",
                _ => "",
            };
            let name = if i == 7 { odd.to_owned() } else { format!("page {i:02}") };
            json!({
                "labels": {
                    "alertname": "ConnectionLost", "severity": "warning", "account": format!("page-{i}"), "network": "facebook",
                    "credential": "jane", "connected_by": "Jane", "reason": "access_revoked", "since": "then", "notify": notify,
                },
                "annotations": {"name": name, "description": "Access was removed.", "advice": "By Jane:\n1. Reconnect."},
            })
        })
        .collect();
    let post = async || {
        let body = json!(alerts).to_string();
        let request = http_client().post(format!("http://{address}/api/v2/alerts")).header("content-type", "application/json").body(body);
        assert!(request.send().await.expect("an answer").status().is_success());
    };
    post().await;
    eventually("three mails", Duration::from_secs(60), async || (mails.lock().expect("mails").len() >= 3).then_some(())).await;
    // Stopped in an orderly way, its storage kept.
    let pid = running.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(running);
    let _running = start_alertmanager(&config, &storage, &address);
    ready(&address).await;
    post().await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    serving.abort();

    let mails = mails.lock().expect("mails").clone();
    let mut recipients: Vec<Vec<String>> = mails.iter().map(|m| m.to.clone()).collect();
    recipients.sort();
    assert_eq!(recipients, [vec!["ann@example.com"], vec!["jane@example.com", "joe@example.com"], vec!["operator@localhost"]]);
    let jane = mails.iter().find(|m| m.to.len() == 2).expect("Jane's mail");
    assert!(jane.text.contains("40 accounts on facebook disconnected: access revoked"), "{}", jane.text);
    assert!((0..40).filter(|i| *i != 7).all(|i| jane.text.matches(&format!("page {i:02}")).count() == 2), "once in each part");
    assert!(!jane.text.contains("page 40") && !jane.text.contains("page 42"));
    for part in [
        odd,
        "&lt;b&gt;&#34;Ünïcode&#34; &amp; Söhne&lt;/b&gt;",
        "By Jane:\n1. Reconnect.",
        "Content-Type: text/html",
        "Content-Type: text/plain",
    ] {
        assert!(jane.text.contains(part), "{part}: {}", jane.text);
    }
}
