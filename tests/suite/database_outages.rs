//! What becomes of the accounts in a database while something is wrong with it: the real program, and
//! real servers.

use std::path::PathBuf;

use token_exporter::simulator::fixture_token;

use crate::daemon::{network, sample};
use crate::databases::{DatabaseServer, PASSWORD};
use crate::exporter::{Exporter, LONG};
use crate::prometheus::{eventually, get};
use crate::secrets::nothing_shows_a_secret;

/// The row of an account of X.
fn row(number: u32) -> String {
    let id = 1_000_000 + number;
    let token = fixture_token(network("x"), "valid", &id.to_string());
    format!("('x-{number}', 'x', '{id}', '{token}', 'ok')")
}

fn rows(numbers: std::ops::RangeInclusive<u32>) -> String {
    numbers.map(row).collect::<Vec<_>>().join(",")
}

fn source(text: &str, name: &str) -> Option<f64> {
    sample(text, &format!("token_exporter_source_{name}{{source=\"product\"}}"))
}

/// What is shown of these accounts, and stays the same while nothing is known to be different.
fn shown(text: &str) -> Vec<String> {
    let families = ["valid", "state_change_timestamp_seconds", "info", "source_state"];
    let of_families = |line: &&str| families.iter().any(|f| line.starts_with(&format!("connection_{f}{{")));
    let mut shown: Vec<String> = text.lines().filter(of_families).map(str::to_owned).collect();
    shown.sort();
    shown
}

/// The exporter with the source `product`, which lists the accounts `x-1` to `x-4` of X, all valid.
struct Watched {
    server: DatabaseServer,
    folder: tempfile::TempDir,
    exporter: Exporter,
    /// What was shown of the accounts when all was well.
    good: Vec<String>,
}

impl Watched {
    async fn start(server: DatabaseServer, query: &str, more: &str) -> Self {
        server.execute(&format!(
            "CREATE TABLE product.accounts (id varchar(20), network varchar(20), external_id varchar(20), \
             token varchar(200), state varchar(20)); INSERT INTO product.accounts VALUES {}; CREATE VIEW \
             product.listed AS SELECT * FROM product.accounts",
            rows(1..=4)
        ));
        let folder = tempfile::tempdir().unwrap();
        let (_, networks) = crate::probing::simulator().await;
        let database = server.yaml();
        // It is asked again when the configuration is reloaded, and otherwise only after a failure.
        let yaml = format!(
            "global: {{probe_interval: 1s}}\napps: [{{id: app, network: x, client_id: key, base_url: \
             \"http://{networks}/x\"}}]\nsources:\n- {{id: product, sql: {{{database}, query: {query:?}, \
             timeout: 1s}}, refresh_interval: 1m}}\n{more}"
        );
        std::fs::write(folder.path().join("config.yaml"), yaml).unwrap();
        let exporter = Self::exporter(&folder);
        let mut watched = Self { server, folder, exporter, good: Vec::new() };
        let text = watched.until("all are valid", |text| {
            (1..=4).all(|id| text.contains(&format!("connection_valid{{account=\"x-{id}\"")))
        });
        watched.good = shown(&text);
        watched
    }

    fn exporter(folder: &tempfile::TempDir) -> Exporter {
        Exporter::start(folder.path(), |command| _ = command.args(["--log.level", "trace"]))
    }

    fn until(&self, what: &str, condition: impl Fn(&str) -> bool) -> String {
        self.exporter.wait_for(what, || self.exporter.ask("/metrics").filter(|text| condition(text)))
    }

    /// Waits for a line of the log after `from` bytes.
    fn until_logged(&self, from: usize, parts: &[&str]) {
        let line = |log: &str| log[from..].lines().any(|line| parts.iter().all(|part| line.contains(part)));
        self.exporter.wait_for(&parts.join(" "), || line(&self.exporter.log()).then_some(()));
    }

    async fn page(&self) -> String {
        get(&format!("http://{}/", self.exporter.listens().unwrap())).await.unwrap()
    }

    /// Waits for the page to show a problem: what it shows may be a moment old.
    async fn shows_problem(&self, why: &str) {
        let shown = async || {
            let page = self.page().await;
            (page.contains("The accounts of product could not all be read") && page.contains(why))
                .then_some(())
        };
        eventually(why, LONG, shown).await;
    }

    /// Has the source asked again, and returns the length of the log before.
    fn ask(&self) -> usize {
        let logged = self.exporter.log().len();
        self.exporter.signal("HUP");
        logged
    }

    /// The source fails: that is visible, and nothing else changes.
    async fn is_down(&self, why: &str) {
        let logged = self.ask();
        let text = self.until(why, |text| source(text, "up") == Some(0.0));
        self.until_logged(logged, &["level=error", "source not read, its last good list stays", why]);
        self.shows_problem(why).await;
        self.ask();
        let attempts = source(&text, "refresh_duration_seconds_count");
        let again = self.until("another attempt", |text| {
            source(text, "refresh_duration_seconds_count") > attempts && source(text, "up") == Some(0.0)
        });
        let success = "last_success_timestamp_seconds";
        assert_eq!(source(&again, success), source(&text, success));
        for text in [text, again] {
            assert_eq!((shown(&text), source(&text, "accounts")), (self.good.clone(), Some(4.0)), "{why}");
            assert!(text.contains("connection_probe_success{account=\"x-1\",network=\"x\"} 1\n"), "{why}");
        }
    }

    /// All is well again, as if nothing had been wrong.
    async fn is_well(&self) {
        self.ask();
        let well = |text: &str| source(text, "up") == Some(1.0) && source(text, "rows_refused") == Some(0.0);
        let text = self.until("the source answers", |text| well(text) && shown(text) == self.good);
        assert_eq!(source(&text, "accounts"), Some(4.0));
        self.exporter.wait_for("nothing is undetermined", || {
            (!self.exporter.ask("/metrics")?.contains("connection_undetermined{")).then_some(())
        });
        let all_read = async || (!self.page().await.contains("could not all be read")).then_some(());
        eventually("the page is without problems", LONG, all_read).await;
    }

    /// Rows are refused, or missing: that is visible, and nothing changes for their accounts.
    async fn lacks_rows(&self, refused: f64, why: &str) {
        let logged = self.ask();
        self.until_logged(logged, &["level=error", "row or file refused, its last good content stays", why]);
        self.shows_problem(why).await;
        let text = self.until(why, |text| source(text, "rows_refused") == Some(refused));
        assert_eq!(source(&text, "up"), Some(1.0));
        let (before, after) = (&self.good, shown(&text));
        assert!(before.iter().all(|line| after.contains(line)), "{why}: {before:?} {after:?}");
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

/// A query that takes longer than the interval of its source runs once at a time: otherwise its list
/// would change.
fn refreshes_do_not_overlap(server: &DatabaseServer) {
    let folder = tempfile::tempdir().unwrap();
    let database = server.yaml();
    let yaml = format!(
        "apps: [{{id: app, network: x, client_id: key, base_url: \"http://127.0.0.1:1\"}}]\nsources:\n- \
         {{id: product, sql: {{{database}, query: \"SELECT 'x-1' AS id, 'x' AS network, 'sim-x' AS token, \
         (SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%never two%' AND state = 'active') || \
         pg_sleep(1.2)::text AS label_running\"}}, refresh_interval: 1s}}\n"
    );
    std::fs::write(folder.path().join("config.yaml"), yaml).unwrap();
    let exporter = Exporter::start(folder.path(), |_| {});
    exporter.wait_for("it has been asked four times", || {
        let text = exporter.ask("/metrics")?;
        (source(&text, "refresh_duration_seconds_count") >= Some(4.0)).then_some(())
    });
    let log = exporter.log();
    assert_eq!(log.matches("accounts of a source replaced").count(), 1, "{log}");
    assert!(exporter.ask("/metrics").unwrap().contains("running=\"1\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_outlast_what_goes_wrong_with_postgresql() {
    let server = DatabaseServer::postgres().await;
    refreshes_do_not_overlap(&server);
    server.execute(
        "CREATE SCHEMA product; GRANT USAGE ON SCHEMA product TO exporter; ALTER DEFAULT PRIVILEGES IN \
         SCHEMA product GRANT SELECT ON TABLES TO exporter",
    );
    let query = "SELECT id, network, external_id, token, state FROM product.listed ORDER BY id";
    let mut watched = Watched::start(server, query, "").await;

    // It stops, and the exporter is restarted meanwhile.
    watched.server.kill();
    watched.is_down("refuses the connection").await;
    watched.exporter.signal("TERM");
    watched.exporter.end();
    watched.exporter = Watched::exporter(&watched.folder);
    let text = watched.until("the restart is over", |text| {
        let unavailable =
            "connection_undetermined{account=\"x-4\",network=\"x\",cause=\"source_unavailable\"} 1\n";
        text.contains(unavailable) && source(text, "up") == Some(0.0)
    });
    assert_eq!((shown(&text), source(&text, "accounts")), (watched.good.clone(), Some(4.0)));
    watched.server.start_again().await;
    watched.is_well().await;

    // It is slow.
    let view = "CREATE OR REPLACE VIEW product.listed AS SELECT a.* FROM product.accounts a";
    watched.server.execute(&format!("{view}, (SELECT pg_sleep(60)) AS slept"));
    watched.is_down("the query took longer than 1 s").await;
    watched.server.execute(view);
    watched.is_well().await;

    // The password is another one.
    watched.server.execute("ALTER ROLE exporter PASSWORD 'sim-another'");
    watched.is_down("the server refuses this user name or password").await;
    watched.server.execute(&format!("ALTER ROLE exporter PASSWORD '{PASSWORD}'"));
    watched.is_well().await;

    // A column is named differently.
    watched.server.execute("ALTER VIEW product.listed RENAME COLUMN token TO secret");
    watched.is_down("the server says: column").await;
    watched.server.execute("ALTER VIEW product.listed RENAME COLUMN secret TO token");
    watched.is_well().await;

    // A row is bad: the others count.
    watched.server.execute(&format!(
        "UPDATE product.accounts SET network = 'mastadon' WHERE id = 'x-2'; INSERT INTO product.accounts \
         VALUES {}",
        row(5)
    ));
    watched.lacks_rows(1.0, "accounts[1].network").await;
    watched.until("the new account is valid", |text| text.contains("connection_valid{account=\"x-5\""));
    watched.server.execute(
        "UPDATE product.accounts SET network = 'x' WHERE id = 'x-2'; DELETE FROM product.accounts WHERE id = \
         'x-5'",
    );
    watched.is_well().await;

    // Most rows are missing, or all, for a moment.
    for missing in ["id > 'x-1'", "true"] {
        watched.server.execute(&format!("DELETE FROM product.accounts WHERE {missing}"));
        let why =
            if missing == "true" { "4 of 4 accounts are missing" } else { "3 of 4 accounts are missing" };
        watched.lacks_rows(0.0, why).await;
        watched.server.execute(&format!(
            "DELETE FROM product.accounts; INSERT INTO product.accounts VALUES {}",
            rows(1..=4)
        ));
        watched.is_well().await;
    }
    nothing_shows_a_secret(&watched.exporter, &watched.data(), "x-1").await;
    // For good.
    watched.server.execute("DELETE FROM product.accounts");
    watched.lacks_rows(0.0, "4 of 4 accounts are missing").await;
    watched.ask();
    watched.until("they leave", |text| shown(text).is_empty() && source(text, "up") == Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_outlast_what_goes_wrong_with_mariadb() {
    let server = DatabaseServer::mariadb().await;
    server.execute(&format!(
        "CREATE TABLE product.others (id text, network text, external_id text, token text, state text); \
         INSERT INTO product.others VALUES {}, ('x-1', 'x', '1', 'sim-other', 'ok')",
        row(6)
    ));
    let others = format!("- {{id: others, sql: {{{}, query: SELECT * FROM others}}}}\n", server.yaml());
    let mut watched = Watched::start(server, "SELECT * FROM listed", &others).await;

    // Another source has one of the ids. It may have answered first.
    watched.ask();
    let refused = "token_exporter_source_rows_refused{source=\"others\"} 1\n";
    let other = "connection_valid{account=\"x-6\"";
    let text =
        watched.until("the other source has answered", |text| text.contains(refused) && text.contains(other));
    watched.good = shown(&text);
    let page = watched.page().await;
    assert!(page.contains("x-1&quot; is already used at source product"), "{page}");
    watched.until_logged(0, &["level=error", "row or file refused", "is already used at source product"]);
    // Otherwise the page would never be without problems.
    watched.server.execute("DELETE FROM product.others WHERE id = 'x-1'");
    watched.is_well().await;

    watched.server.kill();
    watched.is_down("refuses the connection").await;
    watched.server.start_again().await;
    watched.is_well().await;

    let view = "CREATE OR REPLACE VIEW product.listed AS SELECT a.* FROM product.accounts a";
    watched.server.execute(&format!("{view} JOIN (SELECT SLEEP(60) AS slept) AS s ON s.slept = 0"));
    watched.is_down("the query took longer than 1 s").await;
    watched.server.execute(view);
    watched.is_well().await;

    // The column of the tokens is gone, and the query, which names none, goes on without it.
    watched
        .server
        .execute("CREATE OR REPLACE VIEW product.listed AS SELECT id, network FROM product.accounts");
    watched.lacks_rows(4.0, "has neither a token nor the id of a credential").await;
    watched.server.execute(view);
    watched.is_well().await;
    nothing_shows_a_secret(&watched.exporter, &watched.data(), "x-1").await;
}
