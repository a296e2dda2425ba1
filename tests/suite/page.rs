//! The status page: its content and order, refused queries, and escaping.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use token_exporter::api::{ConnectionState, Listing, Query};
use token_exporter::model::{Capability, Cause, Expiry, Reason, Timestamp};
use token_exporter::network::{Certainty, Clocks, Finding, Verdict};
use token_exporter::server::{self, Endpoint, ServerContext};
use token_exporter::state::{Outcome, Snapshot, Store, View};
use token_exporter::telemetry::{Metrics, Watchdog};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::exposition::inventory;
use crate::prometheus::http_client;

/// The HTTP server with a store that the test fills.
pub(crate) struct Site {
    pub(crate) store: Arc<Store>,
    pub(crate) base: String,
    pub(crate) context: Arc<ServerContext>,
    shown: watch::Sender<Snapshot>,
    _stop: watch::Sender<bool>,
    _reloads: mpsc::Receiver<server::ReloadRequest>,
}

impl Site {
    pub(crate) async fn start(yaml: &str, prefix: &str) -> Self {
        Self::start_within(yaml, prefix, server::Limits::default()).await
    }

    async fn start_within(yaml: &str, prefix: &str, limits: server::Limits) -> Self {
        let store = Arc::new(Store::default());
        store.replace_inventory(inventory(yaml));
        let settings = server::WebSettings {
            telemetry_path: "/metrics".to_owned(),
            route_prefix: prefix.to_owned(),
            external_url: None,
            enable_lifecycle: false,
            max_requests: 2,
            events_apart: false,
        };
        let (reload, reloads) = mpsc::channel(1);
        let (shown, view) = watch::channel(store.snapshot());
        let mut context =
            ServerContext::new(View::new(view), Metrics::new().expect("metrics"), settings, reload);
        context.limits = limits;
        let context = Arc::new(context);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let base = format!("http://{}{prefix}", listener.local_addr().expect("an address"));
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(server::serve(
            listener,
            Endpoint::Main,
            context.clone(),
            stopped,
            Duration::from_secs(1),
            Watchdog::default().part("server"),
        ));
        Self { store, base, context, shown, _stop: stop, _reloads: reloads }
    }

    pub(crate) async fn answer(&self, path: &str) -> reqwest::Response {
        self.shown.send_replace(self.store.snapshot());
        http_client().get(format!("{}{path}", self.base)).send().await.expect("an answer")
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        let answer = self.answer(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.text().await.expect("a text")
    }

    /// Stores a probe's findings for all accounts of a credential.
    pub(crate) fn found(&self, credential: &str, verdict: Verdict, deadline: Option<i64>) {
        let capability = match verdict {
            Verdict::Invalid(reason, _) => reason,
            _ => Reason::Ok,
        };
        self.apply(credential, verdict, &[(Capability::Publish, capability)], deadline);
    }

    pub(crate) fn apply(
        &self,
        credential: &str,
        verdict: Verdict,
        capabilities: &[(Capability, Reason)],
        deadline: Option<i64>,
    ) {
        let inventory = self.store.snapshot().inventory;
        let index = inventory.find_credential(credential).expect("a credential");
        let now = Timestamp::now();
        let accounts = inventory.credential(index).expect("a credential").accounts().len();
        let finding = Finding { verdict, capabilities: capabilities.to_vec(), scopes: Vec::new() };
        let clocks = Clocks {
            access: deadline.map_or(Expiry::Never, |s| Expiry::At(now.plus(s))),
            ..Clocks::default()
        };
        let outcome = Outcome {
            at: now,
            findings: vec![finding; accounts],
            clocks: Some(clocks),
            limits: Vec::new(),
            version_ended: false,
            token: None,
            names: Default::default(),
            observations: Vec::new(),
        };
        self.store.apply(index, &outcome).expect("applied");
        self.shown.send_replace(self.store.snapshot());
    }
}

pub(crate) const DAY: i64 = 86_400;
const PLAIN: Verdict = Verdict::Invalid(Reason::PasswordChanged, Certainty::Plain);

const YAML: &str = "
apps: [{id: app, network: facebook, client_id: \"1\", client_secret: sim-client-secret}]
credentials:
  - \
     {id: jane, network: facebook, token: sim-jane, connected_by: Jane Doe}
  - {id: john, network: facebook, \
     token: sim-john, connected_by: Jöhn Roe}
  - {id: soon, network: mastodon, token: sim-soon}
  - {id: later, \
     network: mastodon, token: sim-later}
  - {id: part, network: facebook, token: sim-part}
  - {id: quiet, network: \
     facebook, token: sim-quiet}
  - {id: maybe, network: facebook, token: sim-maybe}
  - {id: fresh, network: \
     facebook, token: sim-fresh}
accounts:
  - {id: later, name: Later, network: mastodon, credential: later, labels: \
     {team: web}}
  - {id: soon, name: Soon, network: mastodon, credential: soon, use: paid, labels: {team: web, \
     region: eu}, reconnect_url: 'https://app.example.com/soon'}
  - {id: page-1, name: First page, network: facebook, \
     credential: john, labels: {team: shop}}
  - {id: page-2, name: Second page, network: facebook, credential: \
     john, labels: {team: shop}, reconnect_url: 'https://app.example.com/john'}
  - {id: jane, name: Jane's page, network: facebook, credential: jane, use: monitored}
  - {id: part, name: Half a page, network: facebook, credential: part, needs: [publish, inbox]}
  - {id: quiet, name: Quiet page, network: facebook, credential: quiet}
  - {id: maybe, name: Perhaps a page, network: facebook, credential: maybe}
  - {id: fresh, name: Fresh page, network: facebook, credential: fresh}
";

/// An account in each state.
async fn everything(prefix: &str) -> Site {
    let site = Site::start(YAML, prefix).await;
    site.found("jane", Verdict::Valid, None);
    site.found("john", PLAIN, Some(40 * DAY + 60));
    site.found("soon", Verdict::Valid, Some(4 * DAY + 60));
    site.found("later", Verdict::Valid, Some(50 * DAY));
    site.apply(
        "part",
        Verdict::Valid,
        &[(Capability::Publish, Reason::Ok), (Capability::Inbox, Reason::MissingRole)],
        None,
    );
    let inventory = site.store.snapshot().inventory;
    let quiet = inventory.find_credential("quiet").expect("a credential");
    site.store.apply(quiet, &Outcome::undetermined(Cause::RateLimited, 1, Timestamp::now()));
    site.found("maybe", Verdict::Valid, None);
    site.found("maybe", Verdict::Invalid(Reason::TokenInvalid, Certainty::Ambiguous), None);
    site
}

pub(crate) fn header<'a>(answer: &'a reqwest::Response, name: &str) -> &'a str {
    answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// The accounts of a page in order, by the ids in their links.
fn names(page: &str) -> Vec<&str> {
    page.split("<a class=\"name\" href=\"account?id=")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect()
}

/// The page's text, without its markup.
pub(crate) fn words(page: &str) -> String {
    let text: String =
        page.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text).collect();
    text.replace("&amp;", "&")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worst_comes_first_and_a_login_stays_together() {
    let site = everything("").await;
    let page = site.text("/").await;
    assert_eq!(
        names(&page),
        ["page-1", "page-2", "part", "quiet", "soon", "later", "jane", "maybe", "fresh"]
    );
    let text = words(&page);
    for part in [
        "2 of 9 connections are disconnected",
        "Login john 2 accounts reconnect together",
        "Jöhn Roe",
        "Password changed. The password was changed",
        "Not working: publishing (scheduled posts).",
        "Partly working",
        "Missing role",
        "Not working: inbox (messages and comments).",
        "in 4 days",
        "no deadline",
        "Rate limited. The network has limited the rate of requests.",
        "Not verified yet.",
        "Refused just now (token invalid). A second probe has to confirm it.",
        "Not probed yet",
    ] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    // One link for the lost login, one for the near deadline.
    assert_eq!(page.matches("class=\"button urgent\"").count(), 2);
    assert_eq!(page.matches("href=\"https://app.example.com/john\"").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_find_what_they_say() {
    let site = everything("").await;
    for (query, expected) in [
        ("state=disconnected", "page-1 page-2"),
        ("state=degraded&state=waiting", "part fresh"),
        ("state=unverified", "quiet"),
        ("network=mastodon", "soon later"),
        ("network=mastodon&network=facebook&use=paid", "soon"),
        ("reason=password_changed", "page-1 page-2"),
        ("reason=missing_role", "part"),
        ("team=web", "soon later"),
        ("team=web&team=shop&region=eu", "soon"),
        ("team=nobody", ""),
        ("expires_within=10d", "soon"),
        ("expires_within=60d", "soon later"),
        ("expires_within=4d", ""),
        ("q=PAGE", "page-1 page-2 part quiet jane maybe fresh"),
        ("q=second+page", "page-2"),
        ("q=J%C3%96HN", "page-1 page-2"),
        ("q=doe", "jane"),
        ("q=%3Cscript%3E", ""),
        ("per_page=2&page=2", "part quiet"),
        ("network=facebook&per_page=3&page=2", "quiet jane maybe"),
        ("page=9", ""),
    ] {
        let page = site.text(&format!("/?{query}")).await;
        assert_eq!(names(&page).join(" "), expected, "{query}");
        assert_eq!(
            words(&page).contains("Nothing matches."),
            expected.is_empty() && !query.contains("page="),
            "{query}"
        );
    }
    let page = site.text("/?q=second").await;
    assert!(
        words(&page).contains("2 accounts reconnect together, 1 of them shown here"),
        "a part of a login says so"
    );
    assert!(words(&site.text("/?page=9").await).contains("There is no page 9."));
}

/// Every query has the same result as a check of each connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_filter_agrees_with_what_is_shown_of_each() {
    let site = everything("").await;
    let listing = Listing::new(site.store.snapshot(), Timestamp::now());
    let count = |query: &str| {
        let query = Query::parse(query, listing.label_names()).expect("a query");
        listing.page(&query).total
    };
    for state in ConnectionState::ALL.iter().copied() {
        let by_hand =
            (0..9).filter(|i| listing.connection(*i).is_some_and(|c| c.state(listing.at) == state)).count();
        assert_eq!(
            (count(&format!("state={}", state.label())), listing.overview.states[state as usize]),
            (by_hand, by_hand),
            "{state:?}"
        );
    }
    for reason in Reason::ALL.iter().filter(|r| **r != Reason::Ok) {
        let by_hand = (0..9)
            .filter(|i| listing.connection(*i).is_some_and(|c| c.reasons().any(|r| r == *reason)))
            .count();
        assert_eq!(count(&format!("reason={}", reason.info().label)), by_hand, "{reason:?}");
        assert_eq!(listing.reasons().any(|r| r == *reason), by_hand > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_show_and_removed_accounts_are_gone() {
    let site = everything("").await;
    assert!(words(&site.text("/").await).contains("2 of 9 connections are disconnected"));
    site.found("john", Verdict::Valid, None);
    let shown = async |text: &str| {
        crate::prometheus::eventually(text, Duration::from_secs(20), async || {
            words(&site.text("/").await).contains(text).then_some(())
        })
        .await;
    };
    shown("No connection is known to be disconnected; 1 partly working, 1 not verified and 1 not probed yet")
        .await;
    for credential in ["part", "quiet", "maybe", "fresh"] {
        site.found(credential, Verdict::Valid, None);
    }
    shown("All 9 connections work").await;
    site.store.replace_inventory(inventory("accounts: []"));
    shown("No accounts are configured").await;
    assert_eq!(site.answer("/account?id=jane").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_a_page_of_its_own() {
    let site = everything("").await;
    let text = words(&site.text("/account?id=page-1").await);
    for part in [
        "First page",
        "Disconnected",
        "Password changed",
        "Not working: publishing (scheduled posts).",
        "Who can fix it: the person who connected the account (Jöhn Roe). Reconnecting helps.",
        "Log in at facebook.com with the new password.",
        "pages_manage_posts",
        "CREATE_CONTENT",
        "None: this connection is lost already.",
        "Last conclusive probe",
        "Team",
        "1 other account reconnects together with it.",
        "Second page",
    ] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    let text = words(&site.text("/account?id=soon").await);
    assert!(text.contains("A person must reconnect by") && text.contains("(in 4 days)"), "{text}");
    let text = words(&site.text("/account?id=quiet").await);
    assert!(
        text.contains("inconclusive: rate limited")
            && text.contains("Nothing yet. Wait for a conclusive probe."),
        "{text}"
    );
    let text = words(&site.text("/account?id=fresh").await);
    assert!(text.contains("This connection has not been probed yet."), "{text}");
    let text = words(&site.text("/account?id=jane").await);
    assert!(text.contains("The connection works.") && text.contains("never"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_answered_says_why() {
    let site = everything("").await;
    let answer = site.answer("/?network=myspace&colour=%3Cb%3Ered&page=0").await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let page = answer.text().await.expect("a page");
    let text = words(&page);
    assert!(text.contains("3 parameters are not valid"), "{text}");
    for part in [
        "network is myspace; expected: one of facebook,",
        "colour is <b>red; expected: one of the parameters q,",
        "or a label: region, team",
        "page is 0; expected: a number of at least 1",
    ] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    assert!(!page.contains("<b>"));
    for path in [
        "/connections.csv?x=1",
        "/connections.ics?x=1",
        "/account",
        "/account?id=",
        "/account?id=a&id=b",
        "/account?id=jane&x=1",
        "/api/v1/connections?x=1",
    ] {
        let status = site.answer(path).await.status();
        let expected = if path == "/account?id=" { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
        assert_eq!(status, expected, "{path}");
    }
    let answer = site.answer("/account?id=%3Cscript%3E").await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert!(
        words(&answer.text().await.expect("a page"))
            .contains("No account with the ID <script> is configured here")
    );
    for path in [
        "/",
        "/account",
        "/connections.csv",
        "/connections.ics",
        "/api/v1/connections",
        "/style.css",
        "/page.js",
        "/icon.svg",
    ] {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            let answer = http_client()
                .request(method.clone(), format!("{}{path}", site.base))
                .send()
                .await
                .expect("an answer");
            assert_eq!(
                (answer.status(), header(&answer, "allow")),
                (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD"),
                "{method} {path}"
            );
        }
        let answer = http_client().head(format!("{}{path}?", site.base)).send().await.expect("an answer");
        assert_ne!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert!(answer.bytes().await.expect("nothing").is_empty(), "HEAD {path}");
    }
}

/// Text that would be markup, script or a formula without escaping.
const NASTY: &str = "\"'><script>alert(1)</script><b onmouseover=alert(2)>&amp; \u{202e}=1+1";

#[tokio::test(flavor = "multi_thread")]
async fn every_value_is_escaped() {
    let nasty = serde_json::Value::from(NASTY).to_string();
    let formula = serde_json::Value::from("=HYPERLINK(\"http://evil.example/\",\"x\")").to_string();
    let yaml = format!(
        "credentials: [{{id: {nasty}, network: mastodon, token: sim-1, connected_by: {nasty}}}]\n\
         accounts:\n  - {{id: {nasty}, name: {nasty}, network: mastodon, credential: {nasty}, \
         external_id: {nasty}, labels: {{team: {nasty}}}, \
         reconnect_url: 'https://app.example.com/?a=\"><script>alert(3)</script>'}}\n\
         \x20 - {{id: second, name: {formula}, network: mastodon, credential: {nasty}}}\n"
    );
    let site = Site::start(&yaml, "").await;
    site.found(NASTY, PLAIN, Some(DAY));
    let encoded: String = url::form_urlencoded::byte_serialize(NASTY.as_bytes()).collect();
    for path in [
        "/".to_owned(),
        format!("/?q={encoded}"),
        format!("/?team={encoded}"),
        format!("/account?id={encoded}"),
        "/account?id=second".to_owned(),
    ] {
        let page = site.text(&path).await;
        for sign in ["<script>", "<b ", "onmouseover=alert(2)>&amp; "] {
            assert!(!page.contains(sign), "{sign} in {path}: {page}");
        }
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{path}");
        assert!(words(&page).contains("<b onmouseover=alert(2)>&amp; "), "{path}: {}", words(&page));
        // The page has nothing that a strict content security policy forbids.
        assert!(!page.contains(" style=") && !page.contains("<style"), "{path}");
    }
    let csv = site.text("/connections.csv").await;
    let line = csv.split("\r\n").find(|l| l.starts_with("\"second\"")).expect("a line");
    assert!(line.contains(",\"'=HYPERLINK(\"\"http://evil.example/\"\",\"\"x\"\")\","), "{line}");
    site.found(NASTY, Verdict::Valid, Some(DAY));
    let feed = crate::prometheus::eventually("an event", Duration::from_secs(20), async || {
        let feed = site.text("/connections.ics").await.replace("\r\n ", "");
        (feed.matches("BEGIN:VEVENT").count() == 1).then_some(feed)
    })
    .await;
    assert!(
        feed.split("\r\n").all(|l| l.is_empty()
            || l.split_once(':')
                .is_some_and(|(name, _)| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'-'))),
        "{feed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_is_strict_and_nothing_comes_from_elsewhere() {
    let site = everything("").await;
    for path in ["/", "/account?id=jane", "/?x=1", "/account?id=nobody"] {
        let answer = site.answer(path).await;
        let header = |name: &str| header(&answer, name).to_owned();
        let policy = header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'")
                && !policy.contains("unsafe")
                && !policy.contains('*')
                && !policy.contains("http"),
            "{policy}"
        );
        assert_eq!(
            (header("cache-control"), header("x-content-type-options")),
            ("private, no-cache".to_owned(), "nosniff".to_owned())
        );
        assert_eq!(header("content-type"), "text/html; charset=utf-8");
        let page = answer.text().await.expect("a page");
        assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">"));
        assert!(!page.contains("javascript:") && !page.contains("<script>"));
        assert_eq!(page.matches("<script ").count(), 1);
        for source in page
            .split(" src=\"")
            .skip(1)
            .chain(page.split("<link ").skip(1).filter_map(|l| l.split_once("href=\"")).map(|(_, rest)| rest))
        {
            let address = source.split('"').next().unwrap_or("");
            assert!(!address.contains(':') && !address.starts_with('/'), "{address}");
        }
    }
}

/// Follows every link of every page below a prefix, as a browser would.
#[tokio::test(flavor = "multi_thread")]
async fn every_link_leads_somewhere_behind_a_prefix() {
    let site = everything("/social/tokens").await;
    let client = http_client();
    // Without its trailing slash, the prefix redirects to the page.
    let mut open = VecDeque::from([site.base.clone(), format!("{}/?per_page=2", site.base)]);
    let mut seen: BTreeSet<String> = open.iter().cloned().collect();
    while let Some(address) = open.pop_front() {
        let answer = client.get(&address).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "{address}");
        let here = answer.url().clone();
        assert!(here.path().starts_with("/social/tokens/"), "{here}");
        if answer.headers()["content-type"] != "text/html; charset=utf-8" {
            continue;
        }
        let page = answer.text().await.expect("a page");
        for link in page
            .split("href=\"")
            .skip(1)
            .chain(page.split("src=\"").skip(1))
            .filter_map(|rest| rest.split('"').next())
        {
            let mut there = here.join(&link.replace("&amp;", "&")).unwrap_or_else(|e| panic!("{link}: {e}"));
            there.set_fragment(None);
            if there.host() == here.host() && there.port() == here.port() && seen.insert(there.to_string()) {
                open.push_back(there.to_string());
            }
        }
    }
    for part in [
        "/account?id=page-1",
        "/?state=disconnected",
        "/connections.csv",
        "/metrics",
        "/icon.svg",
        "/?per_page=2&page=5",
    ] {
        assert!(seen.iter().any(|a| a.ends_with(part)), "{part} was linked: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_hold_everything_that_matches() {
    let site = everything("").await;
    let answer = site.answer("/connections.csv?network=mastodon&per_page=1").await;
    assert_eq!(answer.headers()["content-disposition"], "attachment; filename=\"connections.csv\"");
    assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8");
    let csv = answer.text().await.expect("a table");
    let lines: Vec<&str> = csv.trim_start_matches('\u{feff}').split("\r\n").collect();
    assert_eq!(lines.len(), 4, "{csv}");
    assert!(lines[0].starts_with("\"account\",\"name\",\"network\","), "{csv}");
    assert!(
        lines[1].starts_with("\"soon\",\"Soon\",\"mastodon\",\"profile\",\"paid\",\"connected\","),
        "{csv}"
    );
    let columns: BTreeSet<usize> = lines[..3].iter().map(|l| l.matches("\",\"").count()).collect();
    assert_eq!(columns.len(), 1, "{csv}");

    let calendar = site.text("/connections.ics").await;
    let events: Vec<&str> = calendar.split("BEGIN:VEVENT").skip(1).collect();
    assert_eq!(events.len(), 2, "one for each login that works and has a deadline: {calendar}");
    assert!(
        events[0].contains("SUMMARY:Reconnect Soon")
            && events[0].contains("URL:https://app.example.com/soon"),
        "{calendar}"
    );
    assert!(calendar.starts_with("BEGIN:VCALENDAR\r\n") && calendar.ends_with("END:VCALENDAR\r\n"));
    let uid = |calendar: &str| calendar.lines().find(|l| l.starts_with("UID:")).map(str::to_owned);
    assert_eq!(
        uid(&site.text("/connections.ics?state=connected").await),
        uid(&calendar),
        "whatever else is asked for"
    );
    assert!(
        site.text("/connections.ics?state=waiting").await.contains("BEGIN:VTIMEZONE"),
        "an empty calendar is one"
    );

    let packed = http_client()
        .get(format!("{}/connections.csv", site.base))
        .header("accept-encoding", "gzip")
        .send()
        .await
        .expect("an answer");
    assert_eq!(packed.headers()["content-encoding"], "gzip");
}

/// Downloads are streamed: many accounts and slow clients.
#[tokio::test(flavor = "multi_thread")]
async fn slow_downloads_are_few_and_complete() {
    let mut yaml = String::from("credentials: [{id: jane, network: mastodon, token: sim-jane}]\naccounts:\n");
    let long = "x".repeat(900);
    for i in 0..12_000 {
        yaml += &format!("  - {{id: account-{i}, name: {long}, network: mastodon, credential: jane}}\n");
    }
    // However slow they are, none takes the place of another.
    let limits = server::Limits { slow: Duration::from_secs(3600), ..server::Limits::default() };
    let site = Site::start_within(&yaml, "", limits).await;
    // Twelve megabytes each, more than the buffers on the way. One client address gets three of the four
    // downloads.
    let mut slow = Vec::new();
    for _ in 0..3 {
        slow.push(site.answer("/connections.csv").await);
    }
    let refused = site.answer("/connections.ics").await;
    assert_eq!((refused.status(), header(&refused, "retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "10"));
    assert_eq!(site.answer("/").await.status(), StatusCode::OK, "pages go on");
    assert_eq!(site.answer("/metrics").await.status(), StatusCode::OK, "and so do scrapes");
    for answer in slow {
        assert_eq!(answer.text().await.expect("a table").matches("\r\n").count(), 12_001);
    }
    let again = crate::prometheus::eventually("a place is free", Duration::from_secs(20), async || {
        Some(site.answer("/connections.csv").await).filter(|a| a.status() == StatusCode::OK)
    });
    drop(again.await);
}
