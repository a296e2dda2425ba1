//! Each event is one mail, although exporter, Prometheus and Alertmanager are killed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use token_exporter::model::Timestamp;
use token_exporter::network::NetworkId;
use token_exporter::simulator::fixture_token;

use crate::chain::{BY_CREDENTIAL, BY_PERSON, Chain, LONG, Mail, Program, free_address, newer};
use crate::probing::simulator;
use crate::prometheus::{eventually, get};

/// A name that would break any output without escaping.
const ODD: &str = "<b>\"Ünïcode\" & Söhne</b>";

const PAGES: usize = 40;

/// Logins of one person: all but the last are lost together.
const LOGINS: [(&str, &str); 4] =
    [("first", "2000011"), ("second", "2000012"), ("third", "2000013"), ("fourth", "2000014")];

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

    /// When a post is planned.
    fn next_use(&self) -> Timestamp {
        self.deadline.plus(7200)
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
        let mut logins = vec![
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
        let of_pam = |(name, id): &(&str, &str)| {
            self.mastodon(name, id, ", connected_by: Pam", ", notify: [pam@example.com]")
        };
        logins.extend(LOGINS.iter().map(of_pam));
        let mut yaml = format!(
            "global: {{probe_interval: 2s, probe_timeout: 5s}}\nreporters: [{{id: publisher, token: {}}}]\nschedule: \
             [{{notices: [60s, 30s, today]}}]\napps:\n  - {{id: facebook, network: facebook, client_id: \"1234567890\", \
             client_secret: sim-s, base_url: \"{}\"}}\n  - {{id: x, network: x, client_id: key, \
             client_secret: sim-s, base_url: \"{}\"}}\ncredentials:\n  - {{id: jane, network: facebook, \
             token: {}, connected_by: Jane Doe}}\n  - {{id: flapping, network: x, token: {}, connected_by: \
             Xavier}}\n  - {{id: blocked, network: x, token: {}, connected_by: Blaise}}\n",
            crate::reports::TOKEN,
            self.base("facebook"),
            self.base("x"),
            Self::token("facebook", "many-pages", "1000001"),
            Self::token("x", "valid", "3000001"),
            Self::token("x", "valid", "3000002"),
        );
        yaml.extend(logins.iter().map(|(login, _)| login.as_str()));
        yaml += "accounts:\n  - {id: flapping, network: x, credential: flapping, external_id: \"3000001\", \
                 notify: [xavier@example.com]}\n  - {id: blocked, name: The blocked account, network: x, credential: \
                 blocked, external_id: \"3000002\", notify: [blaise@example.com]}\n";
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
            let planned = if i == 3 { format!(", next_use: \"{}\"", self.next_use()) } else { String::new() };
            let more = format!(", notify: [jane@example.com, joe@example.com]{planned}");
            yaml += &page(&format!("page-{i}"), i, &name, &more);
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
/// Runs the chain with the Prometheus and Alertmanager in a folder, or with the installed ones.
async fn chain(programs: Option<&Path>) {
    let (networks, address) = simulator().await;
    let folder = tempfile::tempdir().expect("a folder");
    // Enough for all programs to start before the first notice.
    let deadline = Timestamp::now().plus(105);
    let places = Places { networks: address, folder: folder.path().to_owned(), deadline };
    places.write_token("2000005", deadline);
    let mut chain = Chain::start(programs, folder, networks, &places.config()).await;
    let networks = Arc::clone(&chain.networks);

    chain.shows("all that can work works", PAGES + 2 + 12, "connection_valid{", "reason=\"ok\"} 1").await;
    chain.knows(PAGES + 14).await;

    // Publishing fails as it does when X takes it for automated: the product reports it, one mail follows.
    let report =
        serde_json::json!({"account": "blocked", "http_status": 403, "body": {"errors": [{"code": 226}]}});
    let (status, answer) = crate::reports::send(&chain.on_exporter, &report).await;
    assert!(status == 200 && answer["acted"] == "recorded", "{answer}");

    // The credential with 40 pages is revoked: one mail to each list of recipients.
    let asked = || networks.requests().get("debug_token").copied().unwrap_or_default();
    let before = asked();
    networks.play("1000001", Some("password-changed"));
    chain.shows("the loss", PAGES + 2, "connection_valid{", "reason=\"password_changed\"} 0").await;
    assert!(asked() - before <= 2, "within two probe rounds, not {}", asked() - before);
    // One person loses three logins within seconds.
    for (_, id) in &LOGINS[..3] {
        networks.play(id, Some("account-suspended"));
    }
    // A network fails for the rest of the run.
    networks.play("2000006", Some("server-error"));
    // A refusal that the second probe does not confirm.
    networks.play("3000001", Some("bare-unauthorized-end-unknown"));
    chain.shows("a doubt", 1, "connection_probe_success{account=\"flapping\"", " 0").await;
    networks.play("3000001", None);
    chain.mailed("jane@example.com,joe@example.com", 1).await;
    chain.mailed("ann@example.com", 1).await;
    chain.mailed("blaise@example.com", 1).await;
    chain.mailed_by([BY_CREDENTIAL], "pam@example.com", 3).await;
    chain.mailed_by([BY_PERSON], "pam@example.com", 1).await;

    // Each program is killed while notices are active. Sent notifications are on Alertmanager's
    // disk by then.
    chain.mailed("rita@example.com", 2).await;
    chain.exporter.restart();
    places.write_token("2000005", places.deadline.plus(30 * 86_400));
    chain
        .shows("the exporter is back", PAGES + 2, "connection_valid{", "reason=\"password_changed\"} 0")
        .await;
    chain.mailed("sue@example.com", 4).await;
    chain.mailed("operator@localhost", 2).await;
    chain.noted().await;
    chain.alertmanagers.iter_mut().for_each(Program::restart);
    chain.prometheus.restart();
    chain.ready().await;
    chain.alerting(&[("alertname", "ConnectionLost")], PAGES + 5).await;
    chain.mailed("sue@example.com", 6).await;
    chain.mailed("operator@localhost", 3).await;

    // Another login of the same person is lost: another mail.
    networks.play(LOGINS[3].1, Some("account-suspended"));
    // Recovery: the alert resolves, and is mailed where that is wanted.
    networks.play("1000001", None);
    let probe = format!("http://{}/probe?account=page-0", chain.on_exporter);
    let recovered = async || get(&probe).await.filter(|text| text.contains("reason=\"ok\"} 1"));
    eventually("a probe", LONG, recovered).await;
    let lost = [("alertname", "ConnectionLost"), ("credential", "jane")];
    let back = [("alertname", "ConnectionReconnected"), ("credential", "jane")];
    chain.alerting(&lost, 0).await;
    chain.alerting(&back, PAGES + 2).await;
    chain.mailed_by([BY_PERSON], "jane@example.com,joe@example.com", 2).await;
    chain.mailed_by([BY_CREDENTIAL], "pam@example.com", 4).await;
    chain.mailed_by([BY_PERSON], "pam@example.com", 2).await;
    for (_, id) in &LOGINS[..3] {
        networks.play(id, None);
    }

    // After a notice, the deadline causes a page but no further mail.
    let passed = async || (Timestamp::now() > places.deadline).then_some(());
    eventually("the deadline", LONG, passed).await;
    networks.play("2000001", Some("token-expired"));
    chain.shows("the end", 1, "connection_valid{account=\"soon\"", "reason=\"token_expired\"} 0").await;
    let page = [("alertname", "ConnectionInvalid"), ("credential", "soon")];
    chain.alerting(&page, 1).await;
    // No further mail comes, for the duration of a notice and its group interval.
    tokio::time::sleep(Duration::from_secs(45)).await;
    let [by_credential, by_person] = chain.end();
    let mails = [by_credential.as_slice(), &by_person].concat();
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
    check_counts(&by_credential, &places, BY_CREDENTIAL);
    check_counts(&by_person, &places, BY_PERSON);
    check(&by_credential, &places);
    let all = by_person.iter().find(|mail| mail.subject.starts_with("Disconnected: 3 accounts"));
    let text = &all.expect("a mail about three logins").text;
    for (name, _) in &LOGINS[..3] {
        assert_eq!(text.matches(&format!("The {name} account")).count(), 1, "{name}: {text}");
    }
    for mail in &mails {
        let recipients = if mail.to == "operator@localhost" { String::new() } else { mail.to.clone() };
        let to: String = url::form_urlencoded::byte_serialize(recipients.as_bytes()).collect();
        let to = if to.is_empty() { to } else { format!("%20to%20{to}") };
        let url = format!("mailto:operator@localhost?subject=No%20more%20mails{to}");
        assert_eq!(mail.unsubscribe, format!("<{url}>"));
        assert!(to.is_empty() || (mail.text.contains(&url) && mail.html.contains(&url)), "{}", mail.html);
    }
}

/// Checks that exactly the promised mails were sent.
fn check_counts(mails: &[Mail], places: &Places, grouping: usize) {
    let mut count: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for mail in mails {
        *count.entry((&mail.to, mail.subject.split(" – ").next().unwrap_or_default())).or_default() += 1;
    }
    let (short, time) =
        (places.deadline.utc().format("%a %-d %b %H:%M"), places.deadline.utc().format("%H:%M UTC"));
    let mut expected: Vec<(String, String, usize)> = vec![
        ("ann@example.com".to_owned(), "Disconnected: Also of Ann on Facebook".to_owned(), 1),
        ("blaise@example.com".to_owned(), "Working only in part: The blocked account on X".to_owned(), 1),
        (
            "jane@example.com,joe@example.com".to_owned(),
            "Disconnected: 40 accounts of Jane Doe's Facebook login".to_owned(),
            1,
        ),
        ("rita@example.com".to_owned(), format!("Reconnect by {short}: The renewed account on Mastodon"), 1),
        (
            "rita@example.com".to_owned(),
            format!("Reconnect today by {time}: The renewed account on Mastodon"),
            1,
        ),
    ];
    for (to, name) in
        [("operator@localhost", "unnamed"), ("sue@example.com", "also-soon"), ("sue@example.com", "soon")]
    {
        expected.push((to.to_owned(), format!("Reconnect by {short}: The {name} account on Mastodon"), 2));
        expected.push((
            to.to_owned(),
            format!("Reconnect today by {time}: The {name} account on Mastodon"),
            1,
        ));
    }
    let to_pam = |what: &str, accounts: &str| {
        ("pam@example.com".to_owned(), format!("{what}: {accounts} on Mastodon"), 1)
    };
    let account = |(name, _): &(&str, &str)| format!("The {name} account");
    expected.push(to_pam("Disconnected", &account(&LOGINS[3])));
    if grouping == BY_CREDENTIAL {
        expected.extend(LOGINS[..3].iter().map(|login| to_pam("Disconnected", &account(login))));
    } else {
        for what in ["Disconnected", "Connected again"] {
            expected.push(("pam@example.com".to_owned(), format!("{what}: 3 accounts of 3 logins"), 1));
        }
        for (to, accounts) in [
            ("ann@example.com", "Also of Ann on Facebook"),
            ("jane@example.com,joe@example.com", "40 accounts of Jane Doe's Facebook login"),
        ] {
            expected.push((to.to_owned(), format!("Connected again: {accounts}"), 1));
        }
    }
    expected.sort();
    let found: Vec<(String, String, usize)> =
        count.into_iter().map(|((to, subject), n)| (to.to_owned(), subject.to_owned(), n)).collect();
    assert_eq!(found, expected);
}

/// Checks what the mails say.
fn check(mails: &[Mail], places: &Places) {
    let date = places.deadline.utc().format("%A %-d %B %Y, %H:%M UTC");
    let short = places.deadline.utc().format("%a %-d %b %H:%M");
    // Notices come when they are due, not before.
    let mut by_time: Vec<Timestamp> = mails
        .iter()
        .filter(|m| {
            m.subject.starts_with("Reconnect by") && m.subject.contains(": The soon account on Mastodon")
        })
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
    let jane = find("jane@example.com,joe@example.com", "Disconnected");
    for i in (0..PAGES).filter(|i| *i != 7) {
        let name = format!("Store {i:02} of ACME");
        assert!(
            jane.text.matches(&name).count() == 1 && jane.html.matches(&name).count() == 1,
            "{name}: once in each part"
        );
    }
    let next_use = places.next_use().utc().format("Next planned post: %A %-d %B %Y, %H:%M UTC").to_string();
    assert_eq!(jane.text.matches(&next_use).count(), 1, "one mail, which names the next post: {}", jane.text);
    assert!(jane.text.contains(ODD) && !jane.html.contains(ODD));
    assert!(jane.html.contains("&lt;b&gt;&#34;Ünïcode&#34; &amp; Söhne&lt;/b&gt;"));
    assert!(!jane.text.contains("Also of Ann") && !jane.text.contains("Of nobody"));
    for (text, html) in [
        ("The password was changed", ""),
        (
            "Not working: publishing (scheduled posts), inbox (messages and comments)\n",
            "</b> publishing (scheduled posts), inbox (messages and comments)<",
        ),
        (
            "Jane Doe connected this login. Ask Jane Doe to do the following. If Jane Doe cannot, \
             somebody else with access can reconnect.\n1. Log in at facebook.com with the new password.",
            ">1. Log in at facebook.com with the new password.",
        ),
        (
            "\n2. Reconnect the account. Pages and Instagram accounts of the same login come back together.",
            "",
        ),
        (
            "Reconnect: https://app.example.com/reconnect?login=jane&from=mail\n",
            "href=\"https://app.example.com/reconnect?login=jane&amp;from=mail\"",
        ),
    ] {
        let html = if html.is_empty() { text.trim() } else { html };
        assert!(jane.text.contains(text), "{text}: {}", jane.text);
        assert!(jane.html.contains(html), "{html}: {}", jane.html);
    }
    assert!(
        jane.text.matches("\nReconnect: ").count() == 1 && jane.html.matches(">Reconnect</a>").count() == 1
    );
    let sue = find("sue@example.com", &format!("Reconnect by {short}: The soon account on Mastodon"));
    for part in [
        format!("Deadline: {date} (a moment left)"),
        "Will stop working: publishing (scheduled posts)\n".to_owned(),
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

/// Lets a login be lost, another end at its deadline and a third recover while Prometheus is down, and
/// again while Alertmanager is.
async fn outages(programs: Option<&Path>) {
    // Whether a person loses two logins in an outage. Before version 0.30, Alertmanager may send mails
    // about the first alerts after its own outage before it has the others.
    let several = |outage: usize| outage == 0 || programs.is_some();
    let (networks, address) = simulator().await;
    let folder = tempfile::tempdir().expect("a folder");
    let first = Timestamp::now().plus(120);
    let places = Places { networks: address, folder: folder.path().to_owned(), deadline: first };
    let deadlines = [first, first.plus(60)];
    let mut yaml =
        "global: {probe_interval: 2s, probe_timeout: 5s}\nschedule: [{notices: [60s, 30s, today]}]\n\
                    credentials:\n"
            .to_owned();
    let id = |kind: usize, outage: usize| format!("{}", 2_000_001 + 10 * outage + kind);
    let mut accounts = String::new();
    for (outage, deadline) in deadlines.iter().enumerate() {
        for (kind, name) in ["lost", "ends", "back", "also"].iter().enumerate() {
            let ends = if kind == 1 { format!(", expires_at: \"{deadline}\"") } else { String::new() };
            let planned =
                if kind == 0 { format!(", next_use: \"{}\"", first.plus(7200)) } else { String::new() };
            let person = if kind == 3 { "lost" } else { name };
            let notify = format!(", notify: [{person}-{outage}@example.com]{planned}");
            let (login, account) =
                places.mastodon(&format!("{name}-{outage}"), &id(kind, outage), &ends, &notify);
            yaml += &login;
            accounts += &account;
        }
    }
    let mut chain = Chain::start(programs, folder, networks, &format!("{yaml}accounts:\n{accounts}")).await;
    chain.shows("all work", 8, "connection_valid{", "reason=\"ok\"} 1").await;
    chain.knows(8).await;
    for outage in 0..2 {
        chain.networks.play(&id(2, outage), Some("account-suspended"));
        chain.mailed(&format!("back-{outage}@example.com"), 1).await;
    }
    for (outage, deadline) in deadlines.iter().enumerate() {
        chain.mailed(&format!("ends-{outage}@example.com"), 3).await;
        chain.noted().await;
        let stopped = |chain: &mut Chain, act: fn(&mut Program)| match outage {
            0 => act(&mut chain.prometheus),
            _ => chain.alertmanagers.iter_mut().for_each(act),
        };
        stopped(&mut chain, Program::stop);
        chain.networks.play(&id(0, outage), Some("account-suspended"));
        if several(outage) {
            chain.networks.play(&id(3, outage), Some("account-suspended"));
        }
        chain.networks.play(&id(2, outage), None);
        eventually("the deadline", LONG, async || (Timestamp::now() > *deadline).then_some(())).await;
        chain.networks.play(&id(1, outage), Some("token-expired"));
        for (name, end) in [
            ("lost", "reason=\"account_suspended\"} 0"),
            ("ends", "reason=\"token_expired\"} 0"),
            ("back", "reason=\"ok\"} 1"),
        ] {
            chain.shows(name, 1, &format!("connection_valid{{account=\"{name}-{outage}\""), end).await;
        }
        stopped(&mut chain, Program::restart);
        chain.ready().await;
        // In less than the five minutes for which Prometheus still shows the former verdicts.
        let to = format!("lost-{outage}@example.com");
        chain.mailed_by([BY_CREDENTIAL], &to, if several(outage) { 2 } else { 1 }).await;
        chain.mailed_by([BY_PERSON], &to, 1).await;
        chain.mailed_by([BY_PERSON], &format!("back-{outage}@example.com"), 2).await;
        let [lost, ends, back] = ["lost", "ends", "back"].map(|name| format!("{name}-{outage}"));
        chain.alerting(&[("alertname", "ConnectionInvalid"), ("account", &lost)], 1).await;
        chain.alerting(&[("alertname", "ConnectionInvalid"), ("account", &ends)], 1).await;
        chain.alerting(&[("alertname", "ConnectionLost"), ("account", &ends)], 0).await;
        chain.alerting(&[("alertname", "ConnectionReconnected"), ("account", &back)], 1).await;
        chain.alerting(&[("alertname", "ConnectionLost"), ("account", &back)], 0).await;
        chain.alerting(&[("alertname", "ConnectionDegraded")], 0).await;
    }
    // No further mail comes, for some evaluations and their group wait.
    tokio::time::sleep(Duration::from_secs(20)).await;
    for (grouping, mails) in chain.end().into_iter().enumerate() {
        let mut count: BTreeMap<(String, String), usize> = BTreeMap::new();
        for mail in mails {
            let subject = mail.subject.split(" – ").next().unwrap_or_default().to_owned();
            *count.entry((mail.to, subject)).or_default() += 1;
        }
        let mut expected = BTreeMap::new();
        for (outage, deadline) in deadlines.iter().enumerate() {
            let (date, time) = (deadline.utc().format("%a %-d %b %H:%M"), deadline.utc().format("%H:%M UTC"));
            let mut expect = |to: &str, what: &str, accounts: &str, times: usize| {
                expected.insert((format!("{to}-{outage}@example.com"), format!("{what}: {accounts}")), times);
            };
            let account = |name: &str| format!("The {name}-{outage} account on Mastodon");
            if grouping == BY_PERSON && several(outage) {
                expect("lost", "Disconnected", "2 accounts of 2 logins", 1);
            } else {
                expect("lost", "Disconnected", &account("lost"), 1);
                if several(outage) {
                    expect("lost", "Disconnected", &account("also"), 1);
                }
            }
            expect("back", "Disconnected", &account("back"), 1);
            if grouping == BY_PERSON {
                expect("back", "Connected again", &account("back"), 1);
            }
            expect("ends", &format!("Reconnect by {date}"), &account("ends"), 2);
            expect("ends", &format!("Reconnect today by {time}"), &account("ends"), 1);
        }
        assert_eq!(count, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_one_mail_although_everything_is_killed_once() {
    chain(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_prometheus_or_alertmanager_is_down_is_mailed_once() {
    outages(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_programs_send_the_same_mails() {
    if let Some(folder) = newer() {
        chain(Some(&folder)).await;
        outages(Some(&folder)).await;
    }
}
