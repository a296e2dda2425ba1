//! What the status page offers and what it leaves out: links to reconnect, deadlines, and characters that
//! reorder text.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use token_exporter::api::{Listing, Matches, Query, write_calendar, write_csv};
use token_exporter::model::{AppProblem, Capability, Cause, Reason, Reconnecting, Timestamp, escape_bidi};
use token_exporter::network::{Certainty, Verdict};
use token_exporter::page::{self, SCRIPT};
use token_exporter::state::Outcome;

use crate::api::validate;
use crate::page::{DAY, Site, header, words};
use crate::prometheus::http_client;

const URL: &str = "href=\"https://app.example.com/reconnect\"";
const URGENT: &str = "class=\"button urgent\"";
const ONE: &str = "apps: [{id: app, network: facebook, client_id: '1', client_secret: sim-secret}]\n\
    accounts: [{id: a, name: Alone, network: facebook, token: sim-a, reconnect_url: \
    'https://app.example.com/reconnect'}]\n";

const SITE: page::Site<'_> = page::Site { telemetry_path: "/metrics", reload_failure: None };

/// The server would also show a listing that is a moment old.
fn listing(site: &Site) -> Listing {
    Listing::new(site.store.snapshot(), Timestamp::now())
}

fn list(site: &Site, query: &str) -> String {
    let listing = listing(site);
    let query = Query::parse(query, listing.label_names()).expect("a query");
    page::list(&SITE, &listing, &query, &listing.page(&query), listing.at)
}

fn account(site: &Site, id: &str) -> String {
    let listing = listing(site);
    let index = listing.snapshot.inventory.find(id).expect("an account");
    page::account(&SITE, &listing, index, listing.at).expect("a page")
}

fn download<T: Iterator<Item = Bytes>>(site: &Site, write: fn(Matches) -> T) -> String {
    let parts: Vec<Bytes> = write(Arc::new(listing(site)).matches(&Query::default())).collect();
    String::from_utf8(parts.concat()).expect("UTF-8")
}

/// Whether the list and the account's page offer to reconnect, and whether the link stands out.
fn offered(site: &Site, about: &str) -> Option<bool> {
    let offers = [list(site, ""), account(site, "a")].map(|page| {
        let links = page.matches(URL).count();
        assert!(links <= 1, "{about}: {page}");
        (links == 1).then(|| page.contains(URGENT))
    });
    assert_eq!(offers[0], offers[1], "the list and the account agree: {about}");
    let before = account(site, "a").contains("Before you reconnect, log out of all other accounts");
    assert_eq!(before, offers[1].is_some(), "what comes before reconnecting: {about}");
    offers[0]
}

fn inconclusive(site: &Site, cause: Cause) {
    site.store.apply(0, &Outcome::undetermined(cause, 1, Timestamp::now()));
}

#[tokio::test(flavor = "multi_thread")]
async fn reconnecting_is_offered_where_it_helps() {
    for reason in Reason::ALL.iter().copied().filter(|reason| *reason != Reason::Ok) {
        let site = Site::start(ONE, "").await;
        site.found("a", Verdict::Invalid(reason, Certainty::Plain), Some(40 * DAY));
        let expected = match reason.info().reconnecting {
            Reconnecting::Helps => Some(true),
            Reconnecting::HelpsAfterSteps => Some(false),
            Reconnecting::DoesNotHelp => None,
        };
        assert_eq!(offered(&site, reason.label()), expected, "{reason:?}");
        inconclusive(&site, Cause::AppMisconfigured(AppProblem::SecretRefused));
        assert_eq!(offered(&site, "a refused app"), None, "{reason:?}");
        let page = words(&account(&site, "a"));
        assert!(page.contains("Do not reconnect now. The network refuses the app itself"), "{page}");
    }
    // A capability that reconnecting brings back beside one that it does not.
    let site = Site::start(&ONE.replace("token: sim-a", "token: sim-a, needs: [publish, inbox]"), "").await;
    let lost =
        [(Capability::Publish, Reason::PageRestricted), (Capability::Inbox, Reason::MissingPermission)];
    site.apply("a", Verdict::Valid, &lost, None);
    assert_eq!(offered(&site, "one of two"), Some(true));
    site.apply("a", Verdict::Valid, &lost[..1], None);
    assert_eq!(offered(&site, "not that one"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_the_operator_is_not_put_on_people() {
    for cause in Cause::ALL.iter().copied() {
        let site = Site::start(ONE, "").await;
        assert_eq!(offered(&site, "before the first probe"), None);
        inconclusive(&site, cause);
        assert_eq!(offered(&site, "no verdict yet"), None, "{cause:?}");
        let app = matches!(cause, Cause::AppMisconfigured(_));
        let known = [
            (Verdict::Valid, Some(40), (!cause.is_for_operator()).then_some(false)),
            (Verdict::Valid, Some(2), (!app).then_some(true)),
            (Verdict::Invalid(Reason::TokenExpired, Certainty::Plain), None, (!app).then_some(true)),
        ];
        for (verdict, days, expected) in known {
            site.found("a", verdict, days.map(|days| days * DAY));
            inconclusive(&site, cause);
            assert_eq!(offered(&site, cause.label()), expected, "{cause:?} {verdict:?} {days:?}");
        }
    }
}

const LOGIN: &str = "credentials: [{id: jane, network: mastodon, token: sim-jane, connected_by: Jane}]\n\
    accounts:\n\
    - {id: a, name: First, network: mastodon, credential: jane}\n\
    - {id: b, name: Second, network: mastodon, credential: jane, reconnect_url: \
    'https://app.example.com/reconnect'}\n\
    - {id: c, name: Third, network: mastodon, credential: jane, needs: [publish, analytics]}\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_explained_and_reconnected_once() {
    let site = Site::start(LOGIN, "").await;
    site.found("jane", Verdict::Invalid(Reason::AccessRevoked, Certainty::Plain), Some(40 * DAY));
    let page = list(&site, "");
    let text = words(&page);
    for (part, times) in [
        ("Login jane 3 accounts reconnect together", 1),
        ("Access revoked. The access of this product was removed at the network.", 1),
        ("Since ", 1),
        ("What to do about ", 1),
        ("Reconnect the login jane", 1),
        ("Not working: publishing (scheduled posts).", 2),
        ("Not working: publishing (scheduled posts) and analytics.", 1),
    ] {
        assert_eq!(text.matches(part).count(), times, "{part}: {text}");
    }
    assert_eq!(page.matches("class=\"badge disconnected\"").count(), 3);
    // Whichever of them is looked at or searched for: the address is one for the login.
    for page in
        [list(&site, "q=first"), list(&site, "per_page=1&page=3"), account(&site, "a"), account(&site, "c")]
    {
        assert_eq!(page.matches(URL).count(), 1, "{page}");
    }
    // Accounts that differ say so themselves.
    let inventory = site.store.snapshot().inventory;
    let index = inventory.find_credential("jane").expect("a credential");
    let finding = |reason| token_exporter::network::Finding {
        verdict: if reason == Reason::Ok {
            Verdict::Valid
        } else {
            Verdict::Invalid(reason, Certainty::Plain)
        },
        capabilities: vec![(Capability::Publish, reason)],
        scopes: Vec::new(),
    };
    let outcome = Outcome {
        findings: vec![
            finding(Reason::PageRestricted),
            finding(Reason::Ok),
            finding(Reason::MissingPermission),
        ],
        at: Timestamp::now(),
        clocks: None,
        limits: Vec::new(),
        version_ended: false,
        token: None,
        names: Default::default(),
        observations: Vec::new(),
    };
    site.store.apply(index, &outcome).expect("applied");
    let page = list(&site, "");
    let text = words(&page);
    for part in ["Page restricted. ", "Missing permission. "] {
        assert_eq!(text.matches(part).count(), 1, "{part}: {text}");
    }
    assert_eq!((page.matches(URL).count(), page.matches(URGENT).count()), (1, 1), "one of them needs it");
    assert_eq!(list(&site, "q=first").matches(URL).count(), 0, "that one does not");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_has_no_deadline_any_more() {
    let site = Site::start(LOGIN, "").await;
    let shown = || {
        let cell = |csv: String| {
            let line = csv.lines().nth(1).expect("a line").to_owned();
            line.split("\",\"").nth(11).expect("a deadline").to_owned()
        };
        (
            list(&site, "").contains("class=\"deadline "),
            words(&account(&site, "a")).contains("A person must reconnect by"),
            !cell(download(&site, write_csv)).is_empty(),
            download(&site, write_calendar).contains("BEGIN:VEVENT"),
        )
    };
    site.found("jane", Verdict::Valid, Some(40 * DAY + 60));
    assert_eq!(shown(), (true, true, true, true));
    assert!(words(&account(&site, "a")).contains("(in 40 days)"));
    site.found("jane", Verdict::Invalid(Reason::PasswordChanged, Certainty::Plain), Some(40 * DAY + 60));
    assert_eq!(shown(), (false, false, false, false));
    let page = words(&account(&site, "a"));
    assert!(page.contains("None: this connection is lost already.") && !page.contains("40 days"), "{page}");
    let answer: Value = serde_json::from_str(&site.text("/api/v1/connections/a").await).expect("JSON");
    assert!(answer["deadline"].is_string(), "programs get what is known, with the state: {answer}");
}

/// What does not depend on when it is asked.
fn without_plan(mut connection: Value) -> Value {
    let fields = connection.as_object_mut().expect("an object");
    fields.retain(|name, _| !matches!(name.as_str(), "next_probe" | "next_token_read"));
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_answers_for_one_account() {
    let odd = "a/b c+d%41?\u{e9}&\"";
    let yaml = format!("{LOGIN}- {{id: {}, network: mastodon, token: sim-odd}}\n", Value::from(odd));
    let mut answers = Vec::new();
    for prefix in ["", "/social"] {
        let site = Site::start(&yaml, prefix).await;
        site.found("jane", Verdict::Invalid(Reason::AccessRevoked, Certainty::Plain), Some(DAY));
        let list: Value = serde_json::from_str(&site.text("/api/v1/connections").await).expect("JSON");
        for listed in list["connections"].as_array().expect("connections") {
            let id = listed["account"].as_str().expect("an id");
            let id: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
            let path = format!("/api/v1/connections/{}", id.replace('+', "%20"));
            let text = site.text(&path).await;
            let one: Value = serde_json::from_str(&text).expect("JSON");
            answers.push(("Connection", text));
            assert_eq!(without_plan(one), without_plan(listed.clone()), "{path}");
        }
        for path in ["nobody", "", "a/", "%ff", "A"] {
            let answer = site.answer(&format!("/api/v1/connections/{path}")).await;
            assert_eq!(
                (answer.status(), header(&answer, "content-type"), header(&answer, "cache-control")),
                (StatusCode::NOT_FOUND, "application/problem+json", "private, no-cache"),
                "{path}"
            );
            let text = answer.text().await.expect("a problem");
            assert!(text.contains("\"status\":404") && text.contains("No account with this ID"), "{text}");
            answers.push(("Problem", text));
        }
        let refused = site.answer("/api/v1/connections/a?state=lost").await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        answers.push(("Problem", refused.text().await.expect("a problem")));
        let address = format!("{}/api/v1/connections/b", site.base);
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            let answer = http_client().request(method, &address).send().await.expect("an answer");
            assert_eq!(
                (answer.status(), header(&answer, "allow")),
                (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD")
            );
        }
        let head = http_client().head(&address).send().await.expect("an answer");
        assert_eq!(head.status(), StatusCode::OK);
        site.found("jane", Verdict::Valid, Some(DAY));
        let first = site.answer("/api/v1/connections/b").await;
        let again = http_client().get(&address).header("if-none-match", header(&first, "etag"));
        let again = again.send().await.expect("an answer");
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    }
    let answers: Vec<_> = answers.iter().map(|(schema, answer)| (*schema, answer.as_str())).collect();
    validate(&answers);
}

/// All characters of Unicode's property `Bidi_Control`.
const BIDI: [char; 12] = [
    '\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}',
    '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
];

#[tokio::test(flavor = "multi_thread")]
async fn characters_that_reorder_text_are_escaped_where_people_read() {
    let all: String = BIDI.iter().collect();
    assert_eq!(escape_bidi("Zoë שלום\u{202e}x"), "Zoë שלום\\u{202e}x");
    let name = Value::from(format!("Acme{all}gro.live"));
    let yaml = format!(
        "credentials: [{{id: {name}, network: mastodon, token: sim-1, connected_by: {name}}}]\n\
         accounts:\n  - {{id: {name}, name: {name}, network: mastodon, credential: {name}, kind: profile, \
         external_id: {name}, labels: {{team: {name}}}, notify: [jane@example.com]}}\n\
         \x20 - {{id: second, network: mastodon, credential: {name}}}\n"
    );
    let site = Site::start(&yaml, "").await;
    site.found(name.as_str().expect("a text"), Verdict::Valid, Some(20 * DAY));
    let encoded: String =
        url::form_urlencoded::byte_serialize(name.as_str().unwrap_or("").as_bytes()).collect();
    let escaped = format!("Acme{}gro.live", all.escape_unicode().to_string().to_lowercase());
    for path in [
        "/".to_owned(),
        format!("/?team={encoded}"),
        format!("/account?id={encoded}"),
        format!("/account?id=no{encoded}"),
    ] {
        let page = site.answer(&path).await.text().await.expect("a page");
        let text = words(&page);
        assert!(text.contains(&escaped) && !text.contains(BIDI), "{path}: {text}");
        // The values of the form stay as they are, so that it finds what it offers.
        if path.starts_with("/?team") {
            assert_eq!(page.matches(&format!("<option value=\"Acme{all}gro.live\" selected")).count(), 1);
        }
    }
    let csv = site.text("/connections.csv").await;
    assert!(csv.matches(&escaped).count() >= 5 && !csv.contains(BIDI), "{csv}");
    let calendar = site.text("/connections.ics").await.replace("\r\n ", "");
    assert!(calendar.contains(&escaped.replace('\\', "\\\\")) && !calendar.contains(BIDI), "{calendar}");
    let api = site.text("/api/v1/connections").await;
    assert!(api.contains(&all), "programs get the name as it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn full_width_signs_begin_formulas_too() {
    let signs = ["=", "+", "-", "@", "＝", "＋", "－", "＠"];
    let accounts = signs.iter().enumerate().map(|(i, sign)| {
        let name = Value::from(format!("{sign}1+1"));
        format!("  - {{id: a-{i}, name: {name}, network: mastodon, token: sim-{i}}}\n")
    });
    let site = Site::start(&format!("accounts:\n{}", accounts.collect::<String>()), "").await;
    let csv = site.text("/connections.csv").await;
    for sign in signs {
        assert!(csv.contains(&format!(",\"'{sign}1+1\",")), "{sign:?}: {csv}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_comes_from_here_and_the_page_waits_for_nobody_else() {
    let site = Site::start(ONE, "/social").await;
    let answer = site.answer("/").await;
    let policy = header(&answer, "content-security-policy").to_owned();
    for part in ["script-src 'self'", "connect-src 'self'", "default-src 'none'"] {
        assert!(policy.split("; ").any(|p| p == part), "{policy}");
    }
    let page = answer.text().await.expect("a page");
    let scripts: BTreeSet<&str> = page
        .split("<script ")
        .skip(1)
        .filter_map(|rest| rest.split_once("</script>"))
        .map(|(s, _)| s)
        .collect();
    let expected = format!("src=\"page.js?{}\" defer>", env!("CARGO_PKG_VERSION"));
    assert_eq!(scripts, BTreeSet::from([expected.as_str()]), "nothing inline");
    assert!(!page.contains("http-equiv"), "no refresh that takes away what somebody types");
    assert!(words(&page).contains("Times are in UTC."), "what holds without the script");
    let script = site.answer("/page.js").await;
    assert_eq!(header(&script, "content-type"), "text/javascript; charset=utf-8");
    assert_eq!(script.text().await.expect("a script"), SCRIPT);
}
