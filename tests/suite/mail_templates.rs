//! The templates of mails, rendered by amtool.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::Value;
use token_exporter::alerting::mail_templates;
use token_exporter::model::{Language, Reader, Reason, Reconnecting, escape_bidi};
use token_exporter::network::NetworkId;
use token_exporter::wording::Catalogue;

use crate::alerts::root;
use crate::golden::assert_golden;
use crate::mail_data::{Alert, SETTINGS, data, render, render_text};

const DEADLINE: &str = "Sunday 31 January 2027, 14:00 UTC";
const POST: &str = "Tuesday 1 December 2026, 09:00 UTC";

fn lost(account: &str, name: &str, reason: &str) -> Alert {
    Alert::of(account, name).with("reason", reason).says("since", "Monday 30 November 2026, 20:24 UTC")
}

fn store(i: usize) -> Alert {
    Alert::of(&format!("store-{i:03}"), &format!("Store {i}"))
}

fn stores(number: usize) -> Vec<Alert> {
    let since = "Monday 30 November 2026, 20:24 UTC";
    (0..number).map(|i| store(i).with("reason", "password_changed").says("since", since)).collect()
}

/// A notice about Jane's two pages.
fn notice(notice: &str, left: &str) -> Vec<Alert> {
    let severity = if notice == "today" { "critical" } else { "info" };
    let page = |(account, name)| {
        let page = Alert::of(account, name).with("notice", notice).with("severity", severity);
        let next = match notice {
            "10d" => "5d",
            "1d" => "today",
            _ => "none",
        };
        page.says("deadline", DEADLINE).says("left", left).says("next_notice", next)
    };
    [("acme", "ACME on Facebook"), ("acme-jobs", "ACME Jobs")].map(page).to_vec()
}

/// Three logins that were lost in one moment; those of one person have two accounts, or a planned post.
fn logins() -> Vec<Alert> {
    let own = |alert: Alert| alert.with("mail_reader", "connector");
    let other = |alert: Alert| {
        let url = "https://app.example.com/reconnect?login=bob";
        alert
            .with("credential", "bob-x")
            .with("connected_by", "Bob")
            .with("network", "x")
            .says("reconnect_url", url)
    };
    let third = |alert: Alert| alert.with("credential", "kim-facebook").with("connected_by", "Kim");
    vec![
        third(lost("a", "Alpha", "password_changed")),
        own(lost("b", "Beta", "password_changed")),
        other(lost("c", "Gamma", "account_locked")).says("next_use", POST),
        own(lost("d", "Delta", "password_changed")),
        third(lost("e", "Epsilon", "page_restricted")),
    ]
}

fn recovered() -> Vec<Alert> {
    let down = |i| {
        store(i)
            .with("severity", "info")
            .says("down_since", "Monday 30 November 2026, 20:24 UTC")
            .says("down_until", "Tuesday 1 December 2026, 08:10 UTC")
            .says("down_for", "12 hours")
    };
    (0..2).map(down).collect()
}

fn unverified() -> Vec<Alert> {
    let unverified = |i| {
        let alert = store(i).with("notify", "").with("cause", "clock_skew");
        alert.with("credential", &format!("login-{i}")).says("advice", "Set the clock.")
    };
    (0..52).map(unverified).collect()
}

/// Each kind of mail, by the name of its golden file.
fn mails() -> Vec<(&'static str, Value)> {
    let one = |reason| lost("acme", "ACME on Facebook", reason);
    let mut planned = stores(5);
    planned[3] = planned[3].clone().says("next_use", POST);
    let reasons = [
        lost("p1", "P1", "missing_role").says("stops", "ads"),
        lost("p2", "P2", "missing_permission").with("network", "instagram").with("kind", "business"),
        lost("p3", "P3", "missing_role"),
    ];
    let degraded = Alert::of("acme", "ACME on Facebook").with("reason", "missing_permission");
    let degraded = degraded.with("capability", "inbox").says("stops", "inbox (messages and comments)");
    let problem = Alert { labels: serde_json::Map::new(), annotations: serde_json::Map::new() };
    let problem = problem
        .with("severity", "critical")
        .with("app", "acme-x")
        .says("summary", "The developer app acme-x (x) is refused");
    let problem =
        problem.says("description", "The network refuses the app itself.").says("advice", "Check the app.");
    vec![
        (
            "loss_connector",
            data("ConnectionLost", &[one("password_changed").with("mail_reader", "connector")]),
        ),
        ("loss_admin", data("ConnectionLost", &[one("security_checkpoint").says("next_use", POST)])),
        ("loss_operator", data("ConnectionLost", &[one("wrong_token_type").with("notify", "")])),
        ("loss_without_reconnecting", data("ConnectionLost", &[one("page_restricted")])),
        ("loss_pages", data("ConnectionLost", &planned)),
        ("loss_reasons", data("ConnectionLost", &reasons)),
        ("loss_logins", data("ConnectionLost", &logins())),
        ("loss_many", data("ConnectionLost", &stores(300))),
        ("planned_post", data("ConnectionPlannedUseAtRisk", &[one("access_revoked").says("next_use", POST)])),
        ("degraded", data("ConnectionDegraded", &[degraded])),
        ("notice_10d", data("ConnectionExpiring", &notice("10d", "10 days left"))),
        ("notice_1d", data("ConnectionExpiring", &notice("1d", "1 day left")[..1])),
        ("notice_today", data("ConnectionExpiring", &notice("today", "3 hours left"))),
        ("notice_passed", data("ConnectionExpiring", &notice("today", "passed"))),
        ("recovered", data("ConnectionReconnected", &recovered())),
        ("unverified", data("ConnectionUnverified", &unverified())),
        ("exporter", data("TokenExporterAppUnhealthy", &[problem])),
    ]
}

/// The subject, the text, the title and the short text of a mail, in one run of amtool.
fn texts(data: &Value) -> [String; 4] {
    let calls =
        ["subject", "text", "title", "short"].map(|t| format!("{{{{ template \"token_exporter.{t}\" . }}}}"));
    let all = render_text(&format!("{SETTINGS}{}", calls.join("^^^")), "text", data);
    let mut texts = all.split("^^^").map(str::to_owned);
    std::array::from_fn(|_| texts.next().expect("a text"))
}

fn mail(name: &str) -> Value {
    mails().into_iter().find(|(known, _)| *known == name).expect("a mail").1
}

/// The same mail in another language.
fn in_language(mut data: Value, language: Language) -> Value {
    data["commonLabels"]["mail_language"] = language.code().into();
    data
}

#[test]
fn nothing_but_the_made_templates_is_shipped() {
    let made = mail_templates();
    let size: usize = made.iter().map(|(name, text)| name.len() + text.len()).sum();
    assert!(size < 1 << 20, "{size} bytes are too much for a ConfigMap");
    let mut made: Vec<String> = made.into_iter().map(|(name, _)| name).collect();
    assert_eq!(made.len(), Language::ALL.len() + 1);
    let folder = std::fs::read_dir(root().join("alerts/templates")).expect("the templates");
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("a file").file_name().into_string();
    let mut shipped: Vec<String> = folder.map(|entry| name(entry).expect("a name")).collect();
    made.sort_unstable();
    shipped.sort_unstable();
    assert_eq!(shipped, made);
}

#[test]
fn mails_as_text_and_texts_for_chats() {
    let mut chats = String::new();
    for (name, data) in mails() {
        let [subject, text, title, short] = texts(&data);
        assert_eq!(text.lines().next(), Some(subject.as_str()), "{name}");
        assert!(subject.chars().count() <= 100, "{name}: {subject}");
        assert!(!text.contains("\n\n\n"), "{name}: {text}");
        assert_golden(&format!("golden/mails/{name}.txt"), &text);
        let _ = write!(chats, "=== {name}\n{title}\n{short}\n\n");
    }
    assert_golden("golden/mails/chats.txt", &chats);
    let mut over = mail("loss_connector");
    over["status"] = "resolved".into();
    over["alerts"][0]["status"] = "resolved".into();
    assert!(render("title", &over).starts_with("Over: Disconnected: ACME on Facebook"));
}

#[test]
fn mails_as_html() {
    for (name, data) in mails() {
        let html = render("html", &data);
        assert!(html.starts_with("<!DOCTYPE html>") && html.ends_with("</html>"), "{name}: {html}");
        for loaded in ["src=", "url(", "<link", "<script", "@import"] {
            assert!(!html.contains(loaded), "{name}: {loaded}");
        }
        if ["loss_logins", "notice_today"].contains(&name) {
            assert_golden(&format!("golden/mails/{name}.html"), &html);
        }
    }
}

/// What each reason's mail says to each reader: the reason in a few words, what it means, and the steps.
#[test]
fn every_reason_is_told_to_each_reader() {
    let alerts: Vec<Alert> = Reason::ALL
        .iter()
        .filter(|reason| **reason != Reason::Ok)
        .map(|reason| lost("acme", "ACME", reason.label()))
        .collect();
    let data = data("ConnectionLost", &alerts);
    for (reader, name) in
        [(Reader::Connector, "connector"), (Reader::Admin, "admin"), (Reader::Operator, "operator")]
    {
        let text = format!(
            "{{{{ range .Alerts }}}}=== {{{{ .Labels.reason }}}}: {{{{ template \"token_exporter.en.reason\" \
             .Labels.reason }}}}\n{{{{ template \"token_exporter.en.meaning\" . }}}}\n{{{{ template \
             \"token_exporter.en.steps\" (printf \"text {name} facebook %s Jane Doe\" .Labels.reason) }}}}\n\
             \n{{{{ end }}}}"
        );
        let said = render_text(&text, "text", &data);
        let asks = said.to_lowercase().contains("ask the person who connected");
        assert!(reader != Reader::Connector || !asks, "a hedge: {said}");
        assert_golden(&format!("golden/mails/reasons_{name}.txt"), &said);
    }
}

/// Every reason, network and reader in every language.
#[test]
fn no_mail_lacks_a_text() {
    let pairs = NetworkId::all().flat_map(|n| Reason::ALL.iter().map(move |r| (n, *r)));
    let mut alerts: Vec<Alert> = pairs
        .map(|(network, reason)| lost("acme", "ACME", reason.label()).with("network", network.name()))
        .collect();
    alerts.push(lost("acme", "ACME", "a_reason_of_tomorrow").with("network", "a-network"));
    let data = data("ConnectionLost", &alerts);
    let mut text = "{{ range .Alerts }}".to_owned();
    for language in Language::ALL.iter().map(|language| language.code()) {
        for reader in ["connector", "admin", "operator"] {
            let _ = write!(
                text,
                "+{{{{ template \"token_exporter.{language}.reason\" .Labels.reason }}}}|{{{{ template \
                 \"token_exporter.{language}.meaning\" . }}}}|{{{{ template \
                 \"token_exporter.{language}.steps\" \
                 (printf \"text {reader} %s %s Jane Doe\" .Labels.network .Labels.reason) }}}}"
            );
        }
    }
    let started = Instant::now();
    let said = render_text(&format!("{text}{{{{ end }}}}"), "text", &data);
    let mut count = 0;
    for mail in said.split('+').skip(1) {
        let parts: Vec<&str> = mail.splitn(3, '|').collect();
        assert!(parts.len() == 3 && parts.iter().all(|p| !p.trim().is_empty()), "{mail}");
        let is_list = parts[2].contains("\n1. ")
            || parts[2].contains(Catalogue::of(Language::En).sentence("mail.unknown_reason"));
        assert!(is_list || parts[0].contains("tomorrow"), "{mail}");
        count += 1;
    }
    assert_eq!(count, alerts.len() * Language::ALL.len() * 3);
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

/// One loss and one notice in each language that is not English.
#[test]
fn mails_in_other_languages() {
    for language in Language::ALL.iter().filter(|language| **language != Language::En) {
        let code = language.code();
        for name in ["loss_pages", "notice_passed"] {
            let text = render("text", &in_language(mail(name), *language));
            if Catalogue::of(*language).text("password changed") == "password changed" {
                // Not translated yet.
                assert_eq!(text, render("text", &mail(name)), "{code}");
            } else {
                assert_golden(&format!("golden/mails/{name}.{code}.txt"), &text);
            }
        }
        let html = render("html", &in_language(mail("loss_logins"), *language));
        assert!(html.contains(&format!("<html lang=\"{code}\">")), "{html}");
    }
}

#[test]
fn a_login_is_reconnected_by_one_link_and_only_if_that_helps() {
    let reasons = || Reason::ALL.iter().filter(|reason| **reason != Reason::Ok);
    let login = |reason: &Reason| {
        let account = |name| lost(name, name, reason.label()).with("credential", reason.label());
        [account("a"), account("b")]
    };
    let text = render("text", &data("ConnectionLost", &reasons().flat_map(login).collect::<Vec<_>>()));
    let sections: Vec<&str> = text.split("\n== ").skip(1).collect();
    assert_eq!(sections.len(), reasons().count());
    for reason in reasons() {
        let short = format!("\nReason: {}\n", reason.info().short);
        let meant = |s: &&&str| s.contains(&format!("\n{}\n", reason.info().meaning)) || s.contains(&short);
        let section = sections.iter().find(meant).unwrap_or_else(|| panic!("{reason}: {text}"));
        let helps = reason.info().reconnecting != Reconnecting::DoesNotHelp;
        assert_eq!(
            section.matches("\nReconnect: https://").count(),
            usize::from(helps),
            "{reason}: {section}"
        );
    }
    assert!(!render("text", &mail("loss_without_reconnecting")).contains("Before you reconnect"));
    let mut mail = logins();
    mail[0].annotations.remove("reconnect_url");
    let html = render("html", &data("ConnectionLost", &mail));
    assert_eq!(html.matches(">Reconnect</a>").count(), 3, "one for each login: {html}");
}

#[test]
fn the_most_urgent_login_comes_first_and_fifty_accounts_are_listed() {
    let text = render("text", &mail("loss_logins"));
    let order: Vec<usize> = ["Bob's X login", "Your Facebook login", "Kim's Facebook login"]
        .iter()
        .map(|heading| text.find(&format!("== {heading} ==")).unwrap_or_else(|| panic!("{heading}: {text}")))
        .collect();
    // Bob has a planned post; Kim's login was listed first, with as many accounts as Jane's.
    assert!(order[0] < order[1].min(order[2]), "{text}");
    let lost_together = |number: usize| -> Vec<Alert> {
        let own = |(i, alert): (usize, Alert)| {
            let url = format!("https://app.example.com/reconnect?login={i}");
            alert.with("credential", &format!("login-{i}")).says("reconnect_url", &url)
        };
        stores(number).into_iter().enumerate().map(own).collect()
    };
    let mut alerts = lost_together(300);
    alerts[250] = alerts[250].clone().says("next_use", POST);
    let started = Instant::now();
    let data = data("ConnectionLost", &alerts);
    let text = render("text", &data);
    assert_eq!(
        render("subject", &data),
        "Disconnected: 300 accounts of 300 logins – password changed; next post Tue 1 Dec 09:00"
    );
    assert_eq!(text.matches("\n* Store ").count(), 50);
    assert!(text.find("* Store 250 ") < text.find("* Store 0 "), "{text}");
    assert!(
        text.contains("\nand 250 more\nhttps://exporter.example.com/?recipient=jane%40example.com\n"),
        "{text}"
    );
    assert_eq!(text.matches("1. Log in at facebook.com").count(), 1, "steps are written once: {text}");
    let html = render("html", &data);
    assert_eq!(html.matches(">Reconnect</a>").count(), 50);
    assert!(html.contains("href=\"https://exporter.example.com/?recipient=jane%40example.com\""), "{html}");
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}

#[test]
fn without_settings_a_mail_has_no_empty_link() {
    let text = render_text("{{ template \"token_exporter.text\" . }}", "text", &mail("loss_many"));
    assert!(text.contains("\nand 250 more\n") && !text.contains("?recipient"), "{text}");
    let html = render_text("{{ template \"token_exporter.html\" . }}", "html", &mail("loss_many"));
    // The link of those who want no mails has a text; it is hidden.
    let shown =
        html.matches("href=\"\"").count() - html.matches("href=\"\" style=\"color:#1557b0\"></a>").count();
    assert_eq!(shown, 2, "in the style and at the end: {html}");
    assert!(html.contains("a[href=\"\"] { display: none; }"));
}

#[test]
fn characters_that_reorder_text_are_written_out() {
    let bidi =
        "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
    let (raw, escaped) = (format!("Acme{bidi}gro"), escape_bidi(&format!("Acme{bidi}gro")).into_owned());
    let alert = |name: &str, person: &str| {
        let alert = Alert::of(name, name).with("reason", "not_admin").with("connected_by", person);
        let alert = alert.with("credential", &raw);
        alert
            .says("summary", &raw)
            .says("description", &format!("{raw} is lost."))
            .says("advice", &format!("Ask {raw}."))
    };
    let one = [alert(&raw, &raw)];
    let mut apart = vec![alert(&raw, &raw), alert("Other", &raw), alert("Third", "Jane")];
    for (i, alert) in apart.iter_mut().enumerate() {
        *alert = alert.clone().with("credential", &format!("{raw}{i}"));
    }
    for name in ["ConnectionLost", "ConnectionUnverified", "ConnectionReconnected", "ConnectionExpiring"] {
        for alerts in [&one[..], &apart] {
            let data = data(name, alerts);
            for mail in [texts(&data).concat(), render("html", &data)] {
                assert!(!mail.contains(|c| bidi.contains(c)), "{name}: {mail}");
                assert!(mail.contains(&escaped), "{name}: {mail}");
            }
        }
    }
}

#[test]
fn names_are_escaped_in_html_alone() {
    let odd = "<b>\"Ünïcode\" & Söhne</b>";
    let data = data("ConnectionLost", &[lost("odd", odd, "not_admin").with("connected_by", odd)]);
    assert!(render("text", &data).contains(odd));
    let html = render("html", &data);
    assert!(
        html.contains("&lt;b&gt;&#34;Ünïcode&#34; &amp; Söhne&lt;/b&gt;") && !html.contains(odd),
        "{html}"
    );
}

#[test]
fn a_subject_says_what_and_how_bad() {
    let expect = [
        ("loss_connector", "Disconnected: ACME on Facebook – password changed"),
        (
            "loss_pages",
            "Disconnected: 5 accounts of Jane Doe's Facebook login – password changed; \
             next post Tue 1 Dec 09:00",
        ),
        ("loss_logins", "Disconnected: 5 accounts of 3 logins – several reasons; next post Tue 1 Dec 09:00"),
        ("planned_post", "The post of Tue 1 Dec 09:00 will fail: ACME on Facebook – access removed"),
        ("degraded", "Working only in part: ACME on Facebook – no inbox, permission missing"),
        ("notice_1d", "Reconnect by Sunday 31 January: ACME on Facebook – 1 day left"),
        (
            "notice_today",
            "Reconnect today by 14:00 UTC: 2 accounts of Jane Doe's Facebook login – 3 hours left",
        ),
        (
            "notice_passed",
            "Ended today at 14:00 UTC: 2 accounts of Jane Doe's Facebook login – reconnect now",
        ),
        ("recovered", "Connected again: 2 accounts of Jane Doe's Facebook login"),
        ("unverified", "Cannot be verified: 52 accounts of 52 logins – clock skew"),
        ("exporter", "The developer app acme-x (x) is refused"),
    ];
    for (name, subject) in expect {
        assert_eq!(render("subject", &mail(name)), subject);
    }
}

#[test]
fn mails_call_networks_by_their_names() {
    for network in NetworkId::all() {
        let data = data("ConnectionLost", &[lost("a", "A", "not_admin").with("network", network.name())]);
        let title = network.description().title;
        assert_eq!(render("subject", &data), format!("Disconnected: A on {title} – not an admin any more"));
    }
}
