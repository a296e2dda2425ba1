//! Digests: what they say, from what exporters say.

use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use token_exporter::config::{Config, load};
use token_exporter::digest::{Digest, Exporters, Letter, Links};
use token_exporter::inventory::Person;
use token_exporter::model::{Language, Timestamp};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use crate::golden::assert_golden;

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a date and time")
}

/// A Wednesday, at 10:14 in Berlin.
pub(crate) fn now() -> Timestamp {
    at("2027-01-20T09:14:00Z")
}

/// Answers of an exporter, by a part of the path and query. Nothing matches a query without one.
#[derive(Clone, Default)]
pub(crate) struct Answers(Arc<Mutex<Vec<(String, Value)>>>);

impl Answers {
    pub(crate) fn set(&self, part: &str, rows: &[Value]) {
        let answer = json!({"overview": {}, "total": rows.len(), "page": 1, "connections": rows});
        self.put(part, answer);
    }

    pub(crate) fn put(&self, part: &str, answer: Value) {
        let mut answers = self.0.lock().unwrap();
        answers.retain(|(known, _)| known != part);
        answers.push((part.to_owned(), answer));
    }

    fn find(&self, target: &str) -> Option<String> {
        let answers = self.0.lock().unwrap();
        let found = answers.iter().find(|(part, _)| target.contains(part.as_str()));
        match found {
            Some((_, answer)) => Some(answer.to_string()),
            None if target.contains('?') => Some(r#"{"total": 0, "connections": []}"#.to_owned()),
            None => None,
        }
    }
}

/// An exporter that says what it is told to say. Returns its URL.
pub(crate) async fn exporter(answers: Answers) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/prefix", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answers = answers.clone();
            tokio::spawn(async move {
                let (read, mut write) = stream.split();
                let mut lines = BufReader::new(read).lines();
                let mut target = String::new();
                while let Ok(Some(line)) = lines.next_line().await {
                    if let Some(rest) = line.strip_prefix("GET /prefix/api/v1/") {
                        rest.clone_into(&mut target);
                    }
                    if !line.is_empty() {
                        continue;
                    }
                    let (status, body) = match answers.find(&target) {
                        Some(body) => ("200 OK", body),
                        None => ("404 Not Found", "{}".to_owned()),
                    };
                    let head = format!(
                        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                        body.len()
                    );
                    if write.write_all((head + &body).as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

pub(crate) fn row(account: &str, name: &str, credential: &str, more: Value) -> Value {
    let mut row = json!({"account": account, "name": name, "network": "facebook", "credential": credential,
        "connected_by": "Jane Doe", "reconnect_url": format!("https://app.example.com/reconnect/{account}"),
        "state": "connected", "reason": "ok", "capabilities": {}, "stops": []});
    row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    row
}

pub(crate) fn lost(account: &str, name: &str, credential: &str, more: Value) -> Value {
    let mut row = row(
        account,
        name,
        credential,
        json!({"state": "disconnected", "stops": ["publish"],
        "reason": "password_changed", "since": "2027-01-19T07:02:11Z"}),
    );
    row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    row
}

/// Something to tell in each section.
pub(crate) fn news() -> Answers {
    let answers = Answers::default();
    let fields = |value: Value| value;
    answers.set(
        "state=disconnected",
        &[
            lost("shop", "ACME Shop", "jane", fields(json!({"next_use": "2027-01-20T15:00:00Z"}))),
            lost("page", "ACME on Facebook", "jane", json!({})),
            lost(
                "club",
                "ACME Club",
                "jim",
                json!({"connected_by": "Jim Poe", "reason": "missing_role",
                "since": "2027-01-18T11:30:00Z", "stops": ["publish", "inbox"]}),
            ),
        ],
    );
    answers.set(
        "expires_within=1209600s",
        &[row(
            "photos",
            "ACME Photos",
            "jane-instagram",
            json!({"network": "instagram",
            "deadline": "2027-01-25T22:30:00Z"}),
        )],
    );
    answers.set(
        "state=degraded",
        &[row("nordics", "ACME Nordics", "jane", json!({"state": "degraded",
            "capabilities": {"publish": "ok", "inbox": "missing_permission", "analytics": "missing_permission"}}))],
    );
    answers
}

pub(crate) fn jane(language: Language) -> Person {
    Person {
        mail: "jane@example.com".to_owned(),
        name: Some("Jane Doe".to_owned()),
        daily: true,
        time_zone: Some("Europe/Berlin".parse().unwrap()),
        language: Some(language),
        ..Person::default()
    }
}

pub(crate) fn links() -> Links {
    Links {
        page: Some("https://exporter.example.com/".parse().unwrap()),
        unsubscribe: None,
        operator: Some("ops@example.com".to_owned()),
    }
}

/// The configuration of these exporters and this mail server.
pub(crate) fn configuration(folder: &Path, urls: &[String], people: &str, smtp: &str) -> Config {
    let exporters: Vec<String> = urls.iter().map(|url| format!("{{url: '{url}'}}")).collect();
    let yaml = format!(
        "global: {{notify: [ops@example.com]}}\npeople: [{people}]\ndigest: {{exporters: [{}]}}\nsmtp: {{{smtp}}}\n",
        exporters.join(", ")
    );
    std::fs::write(folder.join("config.yaml"), yaml).unwrap();
    load(&[folder.join("config.yaml")]).unwrap_or_else(|problems| panic!("{problems}"))
}

pub(crate) async fn letters(answers: Answers, people: Vec<Person>) -> Vec<Letter> {
    let folder = tempfile::tempdir().unwrap();
    let config =
        configuration(folder.path(), &[exporter(answers).await], "", "smarthost: 'mail:25', from: a@b.c");
    let mut digest = Digest { people, exporters: Exporters::new(&config.digest.exporters), links: links() };
    digest.letters(None, now()).await.unwrap()
}

#[tokio::test]
async fn it_says_what_is_to_be_done() {
    for language in [Language::En, Language::De, Language::Ja] {
        let letters = letters(news(), vec![jane(language)]).await;
        let letter = &letters[0];
        let code = language.code();
        let text = format!("To: {}\nSubject: {}\n\n{}", letter.to, letter.subject, letter.text());
        assert_golden(&format!("golden/digest.{code}.txt"), &text);
        assert_golden(&format!("golden/digest.{code}.html"), &letter.html().replace("><", ">\n<"));
    }
}

#[tokio::test]
async fn a_login_is_shown_once_and_lists_are_short() {
    let answers = Answers::default();
    let rows: Vec<Value> = (0..300)
        .map(|i| {
            let fields = json!({"connected_by": "Jim Poe", "since": "2027-01-19T07:02:11Z"});
            lost(&format!("page-{i}"), &format!("Page {i}"), &format!("login-{}", i / 40), fields)
        })
        .collect();
    answers.set("state=disconnected", &rows);
    let letter = letters(answers, vec![jane(Language::En)]).await.remove(0);
    let text = letter.text();
    assert_eq!(letter.subject, "Social-media connections: 300 not working");
    assert_eq!(text.matches("\n- Page").count(), 50, "{text}");
    let page = "https://exporter.example.com/?recipient=jane%40example.com";
    assert!(text.contains(&format!("\nand 250 more: {page}&state=disconnected\n")), "{text}");
    let link = format!("<a href=\"{page}&amp;state=disconnected\">and 250 more</a>");
    assert!(letter.html().contains(&link), "{}", letter.html());
    assert_eq!(text.matches("\nReconnect: ").count(), 2, "{text}");
    assert_eq!(text.matches("1. Log in at facebook.com").count(), 1, "{text}");
    assert_eq!(letter.html().matches("<li>Page").count(), 50);
    assert!(text.contains("https://exporter.example.com/?recipient=jane%40example.com\n"), "{text}");
}

#[tokio::test]
async fn texts_of_others_stay_texts() {
    let answers = Answers::default();
    let odd = "<b>\u{202e}Söhne</b>\r\nBcc: all@example.com";
    let fields = json!({"connected_by": "<i>Jim</i>\nPoe", "reconnect_url": "https://a.b/\"><script>"});
    answers.set("state=disconnected", &[lost("a", odd, "login", fields)]);
    let mut reader = jane(Language::En);
    reader.name = Some("Jane <Doe>".to_owned());
    let letter = letters(answers, vec![reader]).await.remove(0);
    let (text, html) = (letter.text(), letter.html());
    assert!(text.contains("- <b>\\u{202e}Söhne</b>  Bcc: all@example.com\n"), "{text}");
    assert!(text.contains("<i>Jim</i> Poe's Facebook login\n"), "{text}");
    assert!(html.contains("&lt;b&gt;\\u{202e}Söhne&lt;/b&gt;"), "{html}");
    assert!(
        !html.contains("<script>") && !html.contains("<i>") && html.contains("Jane &lt;Doe&gt;"),
        "{html}"
    );
}

#[tokio::test]
async fn nothing_to_tell_is_no_mail() {
    assert_eq!(letters(Answers::default(), vec![jane(Language::En)]).await, []);
}

#[tokio::test]
async fn all_shards_are_asked_and_none_may_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    let other = Answers::default();
    other.set(
        "state=disconnected",
        &[lost("other", "Other", "other", json!({"since": "2027-01-20T07:00:00Z"}))],
    );
    let urls = [exporter(news()).await, exporter(other).await];
    let smtp = "smarthost: 'mail:25', from: a@b.c";
    let config = configuration(folder.path(), &urls, "", smtp);
    let mut digest = Digest {
        people: vec![jane(Language::En)],
        exporters: Exporters::new(&config.digest.exporters),
        links: links(),
    };
    let letters = digest.letters(None, now()).await.unwrap();
    assert!(letters[0].subject.contains("4 not working"), "{}", letters[0].subject);
    let text = letters[0].text();
    let order: Vec<Option<usize>> =
        ["ACME Shop", "Other", "ACME Club"].iter().map(|name| text.find(&format!("\n- {name}"))).collect();
    assert!(order.is_sorted() && order[0].is_some(), "{order:?} {text}");

    let nowhere = "http://127.0.0.1:1/".to_owned();
    let config = configuration(folder.path(), &[urls[0].clone(), nowhere], "", smtp);
    digest.exporters = Exporters::new(&config.digest.exporters);
    let error = format!("{:#}", digest.letters(None, now()).await.unwrap_err());
    assert!(error.starts_with("http://127.0.0.1:1/ cannot be asked: "), "{error}");
}
