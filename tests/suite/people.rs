//! The people who receive mails: what the configuration says of them, and what follows.

use std::fmt::Write as _;
use std::path::PathBuf;

use chrono::Weekday;
use token_exporter::api::{ExpiryStatus, Period, plan_mails};
use token_exporter::config::{
    Config, HttpAuthorization, Known, Last, Notice, ScheduleRule, load, load_keeping,
};
use token_exporter::inventory::{Inventory, SecretSource};
use token_exporter::model::{Expiry, Language, Timestamp, parse_offset};

use crate::page::Site;
use crate::prometheus::get;

fn loaded(path: impl Into<PathBuf>) -> Config {
    load(&[path.into()]).unwrap_or_else(|problems| panic!("{problems}"))
}

fn configuration(yaml: &str) -> Config {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), yaml).unwrap();
    loaded(file.path())
}

#[test]
fn all_that_is_said_of_people_is_there() {
    let config = loaded("tests/config/good/everything.yaml");
    let [jane, jim, ops] = &config.people[..] else { panic!("{:?}", config.people) };
    assert_eq!((&*jane.mail, jane.name.as_deref(), jane.daily), ("Jane@example.com", Some("Jane Doe"), true));
    assert_eq!((jane.zone().name(), jane.language), ("America/Argentina/Buenos_Aires", Some(Language::Pt)));
    assert_eq!(jane.digest_hours(), (&[Weekday::Mon, Weekday::Fri][..], 450..1440));
    assert_eq!(jane.working_hours(), Some(jane.digest_hours()));

    let working = [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri];
    assert_eq!((jim.daily, jim.working_hours()), (false, Some((&working[..], 540..1020))));

    assert_eq!((ops.name.as_deref(), ops.daily, ops.language), (None, false, None));
    assert_eq!((ops.zone().name(), ops.time_zone, ops.working_hours()), ("UTC", None, None));
    assert_eq!(ops.digest_hours(), (&working[..], 480..1440));
}

#[test]
fn all_that_is_said_of_mails_is_there() {
    let config = loaded("tests/config/good/everything.yaml");
    let smtp = config.smtp.unwrap();
    assert_eq!((smtp.smarthost().as_str(), &*smtp.host, smtp.port), ("[::1]:25", "::1", 25));
    assert_eq!((&*smtp.from, smtp.require_tls), ("token-exporter@example.com", false));
    assert_eq!(smtp.auth, Some(("exporter".to_owned(), SecretSource::Env("SMTP_PASSWORD".to_owned()))));
    assert!(smtp.ca_file.unwrap().ends_with("good/accounts.d/1.yml"));
    assert_eq!(
        smtp.unsubscribe_url.as_deref(),
        Some("mailto:ops@example.com?subject=no%20mails%20to%20{address}")
    );
    let [plain, secret] = &config.digest.exporters[..] else { panic!("{:?}", config.digest) };
    assert_eq!(plain.url.as_str(), "http://token-exporter-0.token-exporter:10219/");
    assert_eq!(plain.authorization, HttpAuthorization::None);
    assert!(matches!(secret.authorization, HttpAuthorization::Credentials { .. }));
    assert_eq!(config.digest.page_url.unwrap().as_str(), "https://exporter.example.com/prefix/");

    let nothing = configuration("accounts: []\n");
    assert_eq!((nothing.smtp, nothing.people.len(), nothing.digest.page_url), (None, 0, None));
    let urls: Vec<&str> = nothing.digest.exporters.iter().map(|exporter| exporter.url.as_str()).collect();
    assert_eq!(urls, ["http://localhost:10219/"]);
}

/// An account a line: its recipients' label, who takes the digest, and what its mails are like.
fn shown(inventory: &Inventory) -> String {
    let mut text = String::new();
    for account in inventory.accounts() {
        let summer = Timestamp::parse("2027-07-01T00:00:00Z").unwrap();
        let zone = account.recipients().and_then(|recipients| recipients.time_zone_at(summer));
        let (zone, offset) = zone.unwrap_or(("-", 0));
        let notify = account.escaped().unwrap().notify.to_owned();
        let digest = account.notify_digest().join(",");
        let language = account.language().map_or("-", Language::code);
        let reader = account.reader_is_connector();
        let id = account.id();
        writeln!(text, "{id}: [{notify}] [{digest}] {language} {reader} {zone} {offset}").unwrap();
    }
    text
}

const PEOPLE: &str = "people:
  - {mail: jane@example.com, name: Jane Doe, time_zone: Europe/Berlin, language: de}
  - {mail: jim@example.com, mails: daily, time_zone: Asia/Kolkata, language: fr}
  - {mail: max@example.com, time_zone: America/New_York, language: de}
";

fn accounts(lists: &[(&str, &str, &str)]) -> String {
    let rows = lists.iter().map(|(id, notify, more)| {
        format!(
            "  - {{id: {id}, network: bluesky, token: sim-{id}, connected_by: Jane Doe, notify: [{notify}]{more}}}\n"
        )
    });
    format!("accounts:\n{}", rows.collect::<String>())
}

#[test]
fn labels_follow_from_the_people_who_receive_the_mails() {
    let yaml = accounts(&[
        ("her-own", "JANE@example.com", ""),
        ("of-a-stranger", "stranger@example.com", ""),
        ("two", "max@example.com, jane@example.com", ""),
        ("one-of-two", "jim@example.com, jane@example.com", ""),
        ("unknown-too", "jane@example.com, stranger@example.com", ""),
        ("digest", "jim@example.com", ""),
        ("opted-out", "jane@example.com", ", notify_opt_out: [jane@example.com]"),
        ("in-japanese", "jane@example.com", ", language: ja"),
        ("in-italian", "stranger@example.com", ", language: it"),
    ]);
    let with_people = configuration(&(yaml.clone() + PEOPLE)).inventory(|_| true);
    assert_eq!(
        shown(&with_people),
        "her-own: [JANE@example.com] [] de true Europe/Berlin 7200
of-a-stranger: [stranger@example.com] [] - false - 0
two: [max@example.com,jane@example.com] [] de false America/New_York -14400
one-of-two: [jane@example.com] [jim@example.com] de true Europe/Berlin 7200
unknown-too: [jane@example.com,stranger@example.com] [] - false Europe/Berlin 7200
digest: [none] [jim@example.com] - false - 0
opted-out: [none] [] - false - 0
in-japanese: [jane@example.com] [] ja true Europe/Berlin 7200
in-italian: [stranger@example.com] [] it false - 0
"
    );
    let without = shown(&configuration(&yaml).inventory(|_| true));
    assert!(without.contains("digest: [jim@example.com] [] - false - 0\n"), "{without}");
    assert!(without.contains("in-italian: [stranger@example.com] [] it false - 0\n"), "{without}");
}

#[test]
fn people_of_a_reload_hold_for_rows_that_stay() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let main = |people: &str| {
        std::fs::write(path("config.yaml"), format!("account_files: [rows.jsonl]\n{people}")).unwrap();
    };
    let line = |id: &str, more: &str| {
        format!(
            "{{\"id\": \"{id}\", \"network\": \"bluesky\", \"token\": \"sim-{id}\", \"notify\": \
             [\"jane@example.com\"]{more}}}\n"
        )
    };
    let rows: String = (0..6)
        .map(|i| line(&format!("a{i}"), if i % 2 == 0 { "" } else { ", \"language\": \"ja\"" }))
        .collect();
    std::fs::write(path("rows.jsonl"), rows).unwrap();
    main("");
    let files = [path("config.yaml")];
    let first = load_keeping(&files, Known::Stored(None)).unwrap();
    let sources = first.statuses.clone();
    let first = first.inventory(|_| true);
    let line = |id: usize, notify: &str, digest: &str, language: &str| {
        format!("a{id}: [{notify}] [{digest}] {language} false - 0\n")
    };
    let all = |notify: &str, digest: &str| -> String {
        (0..6).map(|i| line(i, notify, digest, if i % 2 == 0 { "-" } else { "ja" })).collect()
    };
    assert_eq!(shown(&first), all("jane@example.com", ""), "languages of rows that are alike");

    // The file is damaged now, so its rows stay; they have other people.
    std::fs::write(path("rows.jsonl"), "{\n").unwrap();
    main("people: [{mail: jane@example.com, mails: daily}]\n");
    let last = Last { inventory: &first, sources: &sources };
    let second = load_keeping(&files, Known::Last(last)).unwrap();
    let sources = second.statuses.clone();
    let second = second.inventory(|_| true);
    assert_eq!(shown(&second), all("none", "jane@example.com"));

    // Stored lists keep who receives mails, not how.
    token_exporter::config::store(directory.path(), &second, &sources[0]).unwrap();
    main("");
    let third = load_keeping(&files, Known::Stored(Some(directory.path()))).unwrap().inventory(|_| true);
    assert_eq!(shown(&third), all("jane@example.com", ""));
}

#[test]
fn sections_may_be_in_several_files_and_a_mail_in_one_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(
        path("a.yaml"),
        "people: [{mail: a@example.com}]\nsmtp: {smarthost: 'mail:25', from: a@example.com}\n",
    )
    .unwrap();
    std::fs::write(path("b.yaml"), "people: [{mail: b@example.com}, {mail: A@example.com}]\nsmtp: {}\n")
        .unwrap();
    let problems = load(&[path("a.yaml"), path("b.yaml")]).unwrap_err();
    let messages: Vec<String> =
        problems.list.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect();
    let first = format!("smtp: may be set in one file only; first at {}:2:7", path("a.yaml").display());
    let twice = "people[1].mail: \"A@example.com\" is already among the people".to_owned();
    assert_eq!(messages, [twice, first]);
}

#[tokio::test(flavor = "multi_thread")]
async fn page_and_api_know_who_is_told_in_which_way() {
    let yaml = accounts(&[
        ("single", "jane@example.com", ""),
        ("both", "jane@example.com, jim@example.com", ""),
        ("digest", "jim@example.com", ""),
        ("opted-out", "jane@example.com, max@example.com", ", notify_opt_out: [jane@example.com]"),
        ("nobody", "", ""),
    ]);
    let site = Site::start(&(yaml + PEOPLE), "").await;
    let found = async |query: &str| -> String {
        let url = format!("{}/api/v1/connections?{query}", site.base);
        let page: serde_json::Value = serde_json::from_str(&get(&url).await.unwrap()).unwrap();
        let rows = page["connections"].as_array().unwrap().iter();
        rows.map(|c| format!("{} {} {} {}\n", c["account"], c["notify"], c["digest"], c["language"]))
            .collect::<String>()
            .replace('"', "")
    };
    let (single, both) =
        ("single [jane@example.com] [] de\n", "both [jane@example.com] [jim@example.com] de\n");
    let (digest, rest) = ("digest [] [jim@example.com] null\n", "opted-out [max@example.com] [] de\n");
    assert_eq!(found("recipient=Jane%40example.com").await, [single, both].concat());
    assert_eq!(found("recipient=jim@example.com").await, [both, digest].concat());
    assert_eq!(
        found("recipient=max@example.com&recipient=jim@example.com").await,
        [both, digest, rest].concat()
    );
    assert_eq!(found("recipient=example.com").await, "");
    assert_eq!(found("recipient=jane@example.com&q=both").await, both);

    let page = get(&format!("{}/?recipient=jim%40example.com", site.base)).await.unwrap();
    assert!(page.contains("Recipient: jim@example.com"), "a filter that can be removed");
    let account = get(&format!("{}/account?id=both", site.base)).await.unwrap();
    assert!(account.contains("<dt>In the daily mail of</dt><dd>jim@example.com</dd>"), "{account}");
    let csv = get(&format!("{}/connections.csv?recipient=jim%40example.com", site.base)).await.unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0].contains("\"notify\",\"digest\",\"language\""), "{csv}");
    assert!(lines[1].contains("\"jane@example.com\",\"jim@example.com\",\"de\""), "{csv}");
    assert!(lines[2].contains("\"\",\"jim@example.com\",\"\""), "{csv}");
}

#[test]
fn the_day_of_a_deadline_is_that_of_its_readers() {
    let yaml = accounts(&[
        ("berlin", "jane@example.com", ""),
        ("new-york", "max@example.com", ""),
        ("elsewhere", "stranger@example.com", ""),
    ]);
    let inventory = configuration(&(yaml + PEOPLE)).inventory(|_| true);
    // The night in which clocks are put forward in New York.
    let deadline = Expiry::At(Timestamp::parse("2027-03-14T23:30:00Z").unwrap());
    let statuses = [ExpiryStatus { deadline, ..ExpiryStatus::default() }; 3];
    let rules = [ScheduleRule { networks: Vec::new(), uses: Vec::new(), notices: vec![Notice::Today] }];
    let now = Timestamp::parse("2027-03-10T00:00:00Z").unwrap();
    let period = Period { now, days: 10, offset: parse_offset("+09:00").unwrap() };
    let plan = plan_mails(&rules, &inventory, &statuses, &period);
    let days: Vec<String> =
        plan.mails.iter().map(|mail| format!("{} {}", mail.recipients.join(","), mail.at)).collect();
    assert_eq!(
        days,
        [
            "max@example.com 2027-03-14T04:00:00Z",
            "stranger@example.com 2027-03-14T15:00:00Z",
            "jane@example.com 2027-03-14T23:00:00Z",
        ]
    );
}
