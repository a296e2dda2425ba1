//! One alert is enough for an app that its network refuses: a real Alertmanager mutes the alerts of
//! the app's own logins, and no others.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::alerts::root;
use crate::chain::{LONG, Program, free_address, newer, ready};
use crate::prometheus::{eventually, get};

/// The alerts about connections: name, account, and further labels as the rules give them.
const CONNECTIONS: [(&str, &str, &[&str]); 7] = [
    ("ConnectionUnverified", "page", &["network=facebook", "app=acme"]),
    ("ConnectionUnverified", "profile", &["network=instagram", "app=acme"]),
    ("ConnectionUnverified", "page-of-another-app", &["network=facebook", "app=other"]),
    ("ConnectionUnverified", "account-without-app", &["network=mastodon"]),
    ("ConnectionUnverified", "unread", &["network=facebook", "app=acme", "cause=credential_unreadable"]),
    ("ConnectionLost", "lost-page", &["network=facebook", "app=acme", "since=noon"]),
    ("ConnectionExpiring", "ending-page", &["network=facebook", "app=acme", "notice=10d"]),
];

/// Sends an alert with these labels, which ends at once if `ended`.
fn send(amtool: &Path, address: &str, labels: &[&str], ended: bool) {
    let mut command = Command::new(amtool);
    command.args(["--alertmanager.url", &format!("http://{address}"), "alert", "add"]);
    if ended {
        command.args(["--start", "2020-01-01T00:00:00Z", "--end", "2020-01-02T00:00:00Z"]);
    }
    let output = command.args(labels).output().expect("amtool (tests/run installs it)");
    assert!(output.status.success(), "{labels:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The accounts with a muted alert, once all alerts are there.
async fn muted(address: &str) -> Option<BTreeSet<String>> {
    let text = get(&format!("http://{address}/api/v2/alerts")).await?;
    let alerts: Vec<Value> = serde_json::from_str(&text).ok()?;
    let of_connections: Vec<&Value> = alerts.iter().filter(|a| a["labels"]["account"].is_string()).collect();
    let muted = of_connections.iter().filter(|a| a["status"]["state"] == "suppressed");
    let accounts = muted.filter_map(|a| a["labels"]["account"].as_str().map(str::to_owned)).collect();
    (of_connections.len() == CONNECTIONS.len()).then_some(accounts)
}

async fn mutes_by_app(programs: Option<&Path>) {
    let program = |name: &str| programs.map_or_else(|| PathBuf::from(name), |folder| folder.join(name));
    let (address, folder) = (free_address(), tempfile::tempdir().expect("a folder"));
    let arguments = [
        format!("--config.file={}", root().join("alerts/alertmanager.yml").display()),
        format!("--storage.path={}", folder.path().display()),
        format!("--web.listen-address={address}"),
        "--cluster.listen-address=".to_owned(),
    ];
    let _alertmanager = Program::start(program("prometheus-alertmanager"), arguments.to_vec());
    ready(&address).await;
    let amtool = program("amtool");
    for (name, account, labels) in CONNECTIONS {
        let own = [format!("alertname={name}"), format!("account={account}")];
        let labels: Vec<&str> = own.iter().map(String::as_str).chain(labels.iter().copied()).collect();
        send(&amtool, &address, &labels, false);
    }
    let wait = async |expected: &[&str]| {
        let expected: BTreeSet<String> = expected.iter().map(|&account| account.to_owned()).collect();
        let what = format!("muted are {expected:?}");
        eventually(&what, LONG, async || muted(&address).await.filter(|muted| *muted == expected)).await;
    };
    wait(&[]).await;
    let refused = |app: &'static str| {
        ["alertname=TokenExporterAppUnhealthy", "network=facebook", "problem=app_suspended", app]
    };
    send(&amtool, &address, &refused("app=acme"), false);
    wait(&["page", "profile"]).await;
    // The trouble of one app ends, and that of the other begins.
    send(&amtool, &address, &refused("app=acme"), true);
    wait(&[]).await;
    send(&amtool, &address, &refused("app=other"), false);
    wait(&["page-of-another-app"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_app_mutes_its_own_logins_only() {
    mutes_by_app(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_programs_mute_the_same_alerts() {
    if let Some(folder) = newer() {
        mutes_by_app(Some(&folder)).await;
    }
}
