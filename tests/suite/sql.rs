//! Lists of accounts from real databases.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use token_exporter::config::{Database, SourceKind, SqlAddress, SqlDriver, SqlServer, SqlSettings};
use token_exporter::inventory::SecretSource;
use token_exporter::model::Secret;
use token_exporter::source::read_sql;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::databases::{DatabaseServer, PASSWORD};

async fn accounts(settings: &SqlSettings) -> Vec<Value> {
    let listing = read_sql(settings).await.unwrap_or_else(|e| panic!("{e}"));
    let pages = listing.pages.iter().map(|page| serde_json::from_str::<Value>(page).expect("JSON"));
    pages.flat_map(|page| page["accounts"].as_array().expect("a list").clone()).collect()
}

/// The error, which must not show a token, a password or a DSN.
async fn refusal(settings: &SqlSettings) -> String {
    let error = read_sql(settings).await.err().expect("an error").error.0;
    let lower = error.to_lowercase();
    for secret in ["sim-", PASSWORD, "%20", "@127.0.0.1", "@localhost"] {
        assert!(!lower.contains(secret), "{error} shows {secret}");
    }
    error
}

fn server(settings: &mut SqlSettings) -> &mut SqlServer {
    let Database::Server(server) = &mut settings.database else { panic!("a server") };
    server
}

/// The same settings with another host.
fn at(mut settings: SqlSettings, name: &str) -> SqlSettings {
    let SqlAddress::Parts { host, .. } = &mut server(&mut settings).address else { panic!("parts") };
    *host = name.to_owned();
    settings
}

fn trusting(mut settings: SqlSettings, authority: &Path) -> SqlSettings {
    server(&mut settings).ca_file = Some(authority.to_owned());
    settings
}

fn with_dsn(mut settings: SqlSettings, dsn: &str) -> SqlSettings {
    server(&mut settings).address = SqlAddress::Dsn(SecretSource::Inline(Secret::new(dsn)));
    settings
}

/// The same settings with a column that is encrypted.
fn encrypted(settings: SqlSettings) -> SqlSettings {
    SqlSettings { bytes: vec!["bytes".to_owned()], ..settings }
}

/// The byte 0 in an encrypted column.
fn digits() -> Value {
    json!({"bytes": "00"})
}

#[tokio::test]
async fn postgresql_gives_rows_of_all_types() {
    let database = DatabaseServer::postgres().await;
    database.execute(
        "CREATE TYPE state AS ENUM ('connected', 'gone'); CREATE DOMAIN handle AS varchar(40); \
         CREATE TABLE accounts (id uuid, name text, network state, handle handle, code char(4), number \
         integer, small smallint, external_id bigint, huge numeric(30), ratio numeric(6,2), real real, \
         active boolean, expires_at timestamptz, next_use timestamp, day date, never timestamptz, data \
         jsonb, plain json, scopes text[], numbers integer[], empty text[], address inet, nothing text, \
         bytes bytea); INSERT INTO accounts VALUES ('6f2c1f5e-0000-4000-8000-000000000001', 'Zoë \"Z\" \
         {}', 'connected', '@zoe', 'ab', 7, 2, 9007199254740993, 123456789012345678901234567890, 12.50, \
         0.5, true, '2027-01-31 01:00:00.5+01', '2027-02-01 12:30:00', '2027-03-04', 'infinity', '{\"a\": \
         [1, null]}', '{\"b\":2}', ARRAY['a b', 'c\"d', 'e,f', NULL, 'NULL', ''], ARRAY[1,2], '{}', \
         '10.0.0.1', NULL, '\\x00'); GRANT SELECT, INSERT ON accounts TO exporter",
    );
    let all = "SELECT id, name, network, handle, code, number, small, external_id, huge, ratio, real, \
               active, expires_at, next_use, day, never, data, plain, scopes, numbers, empty, address, \
               nothing FROM accounts;";
    let expected = json!({
        "id": "6f2c1f5e-0000-4000-8000-000000000001", "name": "Zoë \"Z\" {}", "network": "connected",
        "handle": "@zoe", "code": "ab  ", "number": 7, "small": 2, "external_id": 9_007_199_254_740_993_u64,
        "huge": "123456789012345678901234567890", "ratio": 12.5, "real": 0.5, "active": true,
        "expires_at": "2027-01-31T00:00:00.5+00:00", "next_use": "2027-02-01T12:30:00Z",
        "day": "2027-03-04T00:00:00Z", "data": {"a": [1, null]}, "plain": {"b": 2},
        "scopes": ["a b", "c\"d", "e,f", null, "NULL", ""], "numbers": [1, 2], "empty": [], "address":
        "10.0.0.1",
    });
    assert_eq!(accounts(&database.settings(all)).await, [expected]);
    let many = "SELECT i AS id, repeat('x', 100) AS name FROM generate_series(1, 20000) AS i";
    let listed = accounts(&database.settings(many)).await;
    assert!(listed.len() == 20_000 && listed[19_999]["id"] == 20_000, "several pages");
    assert_eq!(accounts(&database.settings("SELECT 1 AS id WHERE false")).await, [Value::Null; 0]);

    let refused = async |query: &str| refusal(&database.settings(query)).await;
    let bytes = "the column bytes holds bytes, which are no text; encode(column, 'hex') or \
                 convert_from(column, 'UTF8') turns them into one";
    assert_eq!(refused("SELECT id, bytes FROM accounts").await, bytes);
    assert_eq!(accounts(&encrypted(database.settings("SELECT bytes FROM accounts"))).await, [digits()]);
    assert_eq!(
        refused("SELECT nane FROM accounts").await,
        "the server says: column \"nane\" does not exist (Perhaps you meant to reference the column \
         \"accounts.name\".)"
    );
    assert_eq!(
        refused("SELECT * FROM acounts").await,
        "the server says: relation \"acounts\" does not exist"
    );
    assert_eq!(refused("SELEC 1").await, "the server says: syntax error at or near \"SELEC\"");
    assert_eq!(refused("SELECT id, id FROM accounts").await, "two columns of the query are named \"id\"");
    assert_eq!(
        refused("SET search_path = x").await,
        "the query returns no columns; expected a SELECT statement"
    );
    assert_eq!(refused("SELECT $1 AS id").await, "the query has parameters ($1), which have no values");
    let read_only =
        "the query tries to change the database, and the transaction is read-only (SQLSTATE 25006)";
    assert_eq!(refused("INSERT INTO accounts (name) VALUES ('x') RETURNING name").await, read_only);
    let several = "the server says: cannot insert multiple commands into a prepared statement";
    assert_eq!(refused("COMMIT; INSERT INTO accounts (name) VALUES ('x'); SELECT 1").await, several);
    // Its message would quote the value.
    assert_eq!(
        refused("SELECT ('sim-token' || name)::integer AS id FROM accounts").await,
        "a value cannot be converted as the query asks (SQLSTATE 22P02)"
    );
    let mut slow = database.settings("SELECT pg_sleep(600)::text AS id");
    slow.timeout = Duration::from_secs(1);
    assert_eq!(refusal(&slow).await, "the query took longer than 1 s");
}

#[tokio::test]
async fn mariadb_gives_rows_of_all_types() {
    let database = DatabaseServer::mariadb().await;
    database.execute(
        "CREATE TABLE product.accounts (id char(36), name varchar(100) CHARACTER SET utf8mb4, network \
         enum('facebook_page', 'twitter'), token longtext, number int, small tinyint, external_id bigint \
         unsigned, ratio decimal(6,2), huge decimal(30), `double` double, `float` float, authorized \
         tinyint(1), flag bit(1), expires_at timestamp NULL, next_use datetime(3), day date, never \
         datetime, year year, data json, length time, nothing text, bytes blob); \
         SET sql_mode = ''; SET time_zone = '+02:00'; INSERT INTO product.accounts VALUES ('a-1', 'Zoë', \
         'facebook_page', 'sim-token', 7, -2, 18446744073709551615, 12.50, 123456789012345678901234567890, \
         0.25, 0.5, 1, 1, '2027-01-31 02:00:00', '2027-02-01 12:30:00.5', '2027-03-04', '0000-00-00', 2027, \
         '{\"a\": 1}', '-01:02:03', NULL, x'00')",
    );
    let all = "SELECT id, name, network, token, number, small, external_id, ratio, huge, `double`, \
               `float`, authorized, flag, expires_at, next_use, day, never, year, data, length, nothing \
               FROM product.accounts;";
    let expected = json!({
        "id": "a-1", "name": "Zoë", "network": "facebook_page", "token": "sim-token", "number": 7,
        "small": -2,
        "external_id": u64::MAX, "ratio": 12.5, "huge": "123456789012345678901234567890", "double": 0.25,
        "float": 0.5,
        "authorized": true, "flag": true, "expires_at": "2027-01-31T00:00:00.000000Z",
        "next_use": "2027-02-01T12:30:00.500000Z", "day": "2027-03-04T00:00:00.000000Z", "year": 2027,
        // An alias of a text type in MariaDB.
        "data": "{\"a\": 1}", "length": "-01:02:03",
    });
    assert_eq!(accounts(&database.settings(all)).await, [expected]);
    let many = "SELECT seq AS id, REPEAT('x', 100) AS name FROM seq_1_to_20000";
    let listed = accounts(&database.settings(many)).await;
    assert!(listed.len() == 20_000 && listed[19_999]["id"] == 20_000, "several pages");

    let refused = async |query: &str| refusal(&database.settings(query)).await;
    let bytes = "the column bytes holds bytes, which are no text; CONVERT(column USING utf8mb4) or \
                 HEX(column) turns them into one";
    assert_eq!(refused("SELECT id, bytes FROM accounts").await, bytes);
    assert_eq!(accounts(&encrypted(database.settings("SELECT bytes FROM accounts"))).await, [digits()]);
    assert_eq!(
        refused("SELECT nane FROM accounts").await,
        "the server says: Unknown column 'nane' in 'SELECT'"
    );
    assert_eq!(
        refused("SELECT * FROM acounts").await,
        "the server says: Table 'product.acounts' doesn't exist"
    );
    assert!(refused("SELEC 1").await.starts_with("the server says: You have an error in your SQL syntax"));
    let read_only =
        "the query tries to change the database, and the transaction is read-only (SQLSTATE 25006)";
    assert_eq!(refused("INSERT INTO accounts (id) VALUES ('x') RETURNING id").await, read_only);
    let several = refused("SELECT 1 AS id; INSERT INTO accounts (id) VALUES ('x')").await;
    assert!(several.starts_with("the server says: You have an error in your SQL syntax"), "{several}");
    assert_eq!(refused("DO 1").await, "the query returns no columns; expected a SELECT statement");
    assert_eq!(accounts(&database.settings("SELECT id FROM accounts")).await.len(), 1, "nothing was written");
    let mut slow = database.settings("SELECT SLEEP(600) AS id");
    slow.timeout = Duration::from_secs(1);
    assert_eq!(refusal(&slow).await, "the query took longer than 1 s");
}

/// What holds for both servers: logins, ways to name the server, encryption.
async fn connects_safely(database: &mut DatabaseServer, encrypted: &str) {
    let settings = || database.settings("SELECT 1 AS id");
    let one = [json!({"id": 1})];
    assert_eq!(accounts(&at(settings(), "localhost")).await, one);
    let escaped = token_exporter::model::percent_encode(PASSWORD);
    let scheme = if encrypted.contains("pg_") { "postgresql+psycopg" } else { "mysql" };
    let dsn = |rest: &str| with_dsn(settings(), &format!("{scheme}://exporter:{escaped}@{rest}"));
    assert_eq!(accounts(&dsn(&format!("127.0.0.1:{}/product?pool=5", database.port))).await, one);

    let mut wrong = settings();
    let SqlAddress::Parts { password, .. } = &mut server(&mut wrong).address else { panic!("parts") };
    *password = Some(SecretSource::Inline(Secret::new("sim-wrong")));
    let refused = refusal(&wrong).await;
    assert!(refused.starts_with("the server refuses this user name or password"), "{refused}");
    *password_of(&mut wrong) = Some(SecretSource::Env("SIM_NO_SUCH_VARIABLE".to_owned()));
    assert_eq!(
        refusal(&wrong).await,
        "no password can be read from the variable SIM_NO_SUCH_VARIABLE: the environment variable is not set"
    );
    let unknown = refusal(&at(settings(), "no-such-host.invalid")).await;
    assert_eq!(unknown, "the host name no-such-host.invalid cannot be resolved");
    for dsn in ["sim-no-url", "http://exporter:sim-x@127.0.0.1/product", "mysql://exporter:sim-#x@h/p"] {
        let refused = refusal(&with_dsn(settings(), dsn)).await;
        assert!(refused.starts_with("the DSN is"), "{refused}");
    }
    let other = refusal(&dsn(&format!("127.0.0.1:{}/", database.port))).await;
    assert!(other.starts_with("the DSN names no database"), "{other}");

    // With an authority, even the loopback connection is encrypted and verified.
    let ask = |host: &str| trusting(at(database.settings(encrypted), host), &database.authority());
    assert_eq!(accounts(&ask("localhost")).await, [json!({"encrypted": 1})]);
    assert_eq!(accounts(&at(database.settings(encrypted), "localhost")).await, [json!({"encrypted": 0})]);
    let name =
        format!("the certificate of 127.0.0.1:{} is not trusted: it is for another host name", database.port);
    assert_eq!(refusal(&ask("127.0.0.1")).await, name);
    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), stranger.cert.pem()).expect("written");
    let refused = refusal(&trusting(at(settings(), "localhost"), file.path())).await;
    let untrusted =
        format!("the certificate of localhost:{} is not trusted: no known authority", database.port);
    assert!(refused.starts_with(&untrusted), "{refused}");
    // A name of this machine that does not look like one: encrypted, unless that is switched off.
    let refused = refusal(&at(settings(), "127.1")).await;
    assert!(refused.contains("certificate"), "{refused}");
    let mut plain = at(settings(), "127.1");
    server(&mut plain).plaintext = true;
    assert_eq!(accounts(&plain).await, one);
    assert_eq!(accounts(&dsn(&format!("127.1:{}/product?sslmode=disable", database.port))).await, one);

    let gone = settings();
    let port = database.port;
    database.kill();
    assert_eq!(refusal(&gone).await, format!("127.0.0.1:{port} refuses the connection"));
}

fn password_of(settings: &mut SqlSettings) -> &mut Option<SecretSource> {
    let SqlAddress::Parts { password, .. } = &mut server(settings).address else { panic!("parts") };
    password
}

#[tokio::test]
async fn postgresql_is_connected_to_safely() {
    let mut database = DatabaseServer::postgres().await;
    let socket = at(database.settings("SELECT 1 AS id"), &database.socket());
    assert_eq!(accounts(&socket).await, [json!({"id": 1})]);
    let query = "SELECT ssl::integer AS encrypted FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    connects_safely(&mut database, query).await;
}

#[tokio::test]
async fn mariadb_is_connected_to_safely() {
    let mut database = DatabaseServer::mariadb().await;
    let socket = at(database.settings("SELECT 1 AS id"), &database.socket());
    assert_eq!(accounts(&socket).await, [json!({"id": 1})]);
    let query = "SELECT variable_value <> '' AS encrypted FROM information_schema.session_status WHERE \
                 variable_name = 'Ssl_cipher'";
    connects_safely(&mut database, query).await;
}

/// Kills the server when a part of its answer has arrived.
async fn dies_while_answering(mut database: DatabaseServer, query: &str) {
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut settings = database.settings(query);
    let SqlAddress::Parts { port, .. } = &mut server(&mut settings).address else { panic!("parts") };
    *port = Some(proxy.local_addr().expect("an address").port());
    let forwarded = async {
        let (client, _) = proxy.accept().await.expect("a client");
        let server = tokio::net::TcpStream::connect(("127.0.0.1", database.port)).await.expect("the server");
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
            (client.into_split(), server.into_split());
        let upward = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
        let (mut answered, mut buffer) = (0, vec![0; 16 << 10]);
        loop {
            let count = from_server.read(&mut buffer).await.unwrap_or(0);
            if count == 0 {
                break;
            }
            to_client.write_all(&buffer[..count]).await.expect("forwarded");
            answered += count;
            if answered > 64 << 10 {
                database.kill();
            }
        }
        drop(to_client);
        upward.abort();
        answered
    };
    let (answered, refused) = tokio::join!(forwarded, refusal(&settings));
    assert!(answered > 64 << 10);
    assert!(
        refused == "the server closed the connection before the answer was complete"
            || refused == "the server ended the query (SQLSTATE 57P02)",
        "{refused}"
    );
}

#[tokio::test]
async fn postgresql_that_dies_while_it_answers_gives_no_list() {
    let query = "SELECT i AS id, repeat('x', 1000) AS name, pg_sleep(0.001)::text AS slept FROM \
                 generate_series(1, 1000000) AS i";
    dies_while_answering(DatabaseServer::postgres().await, query).await;
}

#[tokio::test]
async fn mariadb_that_dies_while_it_answers_gives_no_list() {
    let query = "SELECT seq AS id, REPEAT('x', 1000) AS name, SLEEP(0.001) AS slept FROM seq_1_to_1000000";
    dies_while_answering(DatabaseServer::mariadb().await, query).await;
}

/// An SQLite database, and the settings of a source that asks it.
struct Sqlite(tempfile::TempDir);

impl Sqlite {
    fn new(statements: &str) -> Self {
        let database = Self(tempfile::tempdir().expect("a folder"));
        let connection = rusqlite::Connection::open(database.file()).expect("a database");
        connection.execute_batch(statements).expect("statements");
        database
    }

    fn file(&self) -> std::path::PathBuf {
        self.0.path().join("product.db")
    }

    fn settings(&self, query: &str) -> SqlSettings {
        let (database, timeout) = (Database::Sqlite(self.file()), Duration::from_secs(1));
        let (max_rows, max_bytes) = (100_000, 64 << 20);
        SqlSettings { database, query: query.to_owned(), bytes: Vec::new(), timeout, max_rows, max_bytes }
    }
}

#[tokio::test]
async fn sqlite_gives_rows_of_all_types() {
    let database = Sqlite::new(
        "CREATE TABLE accounts (id INTEGER, name TEXT, active BOOLEAN, authorized tinyint(1), expires_at \
         DATETIME, refresh_expires_at TIMESTAMP, next_use DATETIME, ratio REAL, absent TEXT, bytes BLOB, \
         token TEXT); INSERT INTO accounts VALUES (9007199254740993, 'Zoë', 1, 0, '2027-01-31 00:00:00', \
         1801526400000, 1801526400, 0.5, NULL, x'00', 'sim-token');",
    );
    let all = "SELECT id, name, active, authorized, expires_at, refresh_expires_at, next_use, ratio, \
               absent, token, upper(name) AS shout FROM accounts;";
    let expected = json!({
        "id": 9_007_199_254_740_993_u64, "name": "Zoë", "active": true, "authorized": false,
        "expires_at": "2027-01-31T00:00:00Z", "refresh_expires_at": "2027-02-02T00:00:00Z", "next_use":
        1_801_526_400,
        "ratio": 0.5, "token": "sim-token", "shout": "ZOë",
    });
    assert_eq!(accounts(&database.settings(all)).await, [expected]);

    let refused = async |query: &str| refusal(&database.settings(query)).await;
    assert_eq!(
        refused("SELECT bytes FROM accounts").await,
        "the column bytes holds bytes, which are no text; CAST(column AS TEXT) or hex(column) turns them \
         into one"
    );
    assert_eq!(accounts(&encrypted(database.settings("SELECT bytes FROM accounts"))).await, [digits()]);
    assert_eq!(refused("SELECT nane FROM accounts").await, "SQLite says: no such column: nane");
    assert_eq!(refused("SELECT * FROM acounts").await, "SQLite says: no such table: acounts");
    assert_eq!(refused("SELEC 1").await, "SQLite says: near \"SELEC\": syntax error");
    let several = "the query holds several statements; expected one SELECT";
    assert_eq!(refused("SELECT 1 AS id; DELETE FROM accounts").await, several);
    let read_only = "the query tries to change the database, which is opened for reading only";
    assert_eq!(refused("DELETE FROM accounts RETURNING id").await, read_only);
    assert_eq!(refused("SELECT json(token) AS id FROM accounts").await, "SQLite cannot run the query");
    let endless =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS id FROM n";
    assert_eq!(refused(endless).await, "the query took longer than 1 s");
    let three = database.settings("VALUES (1), (2), (3)");
    assert_eq!(accounts(&SqlSettings { max_rows: 3, ..three.clone() }).await.len(), 3);
    assert_eq!(
        refusal(&SqlSettings { max_rows: 2, ..three.clone() }).await,
        "the query returns more than 2 rows"
    );
    assert_eq!(refusal(&SqlSettings { max_bytes: 50, ..three }).await, "the rows take more than 50 bytes");
}

#[tokio::test]
async fn a_file_that_is_no_sqlite_database_is_told_from_one_that_is_missing() {
    let database = Sqlite::new("CREATE TABLE accounts (id TEXT)");
    std::fs::write(database.file(), "sim-token ".repeat(1000)).expect("written");
    let refused = refusal(&database.settings("SELECT id FROM accounts")).await;
    assert_eq!(refused, "the file is no SQLite database (or it is encrypted)");
    std::fs::remove_file(database.file()).expect("removed");
    let missing = refusal(&database.settings("SELECT id FROM accounts")).await;
    assert!(missing.ends_with("product.db does not exist") && !database.file().exists(), "{missing}");
}

/// The settings of `sql`, given as the inner lines of a YAML mapping, of a file in `folder`.
fn configured(folder: &Path, sql: &str) -> SqlSettings {
    let file = folder.join("config.yaml");
    let text = format!("sources:\n  - id: product\n    sql:\n      {}\n", sql.replace('\n', "\n      "));
    std::fs::write(&file, text).expect("written");
    let config = token_exporter::config::load(&[file]).unwrap_or_else(|problems| panic!("{problems}"));
    match config.sources.into_iter().next().expect("a source").kind {
        SourceKind::Sql(settings) => settings,
        _ => panic!("another kind"),
    }
}

#[test]
fn a_database_is_configured_in_parts_by_dsn_or_by_file() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("list.sql"), "SELECT 2 AS id;\n").expect("written");
    let within = |name: &str| folder.path().join(name);
    let settings = configured(
        folder.path(),
        "driver: postgres\nhost: db.example.com\nport: 6432\ndatabase: product\nuser: exporter\n\
         password_file: secrets/db\ntls_config: {ca_file: ca.pem}\nquery_file: list.sql\ntimeout: 5s",
    );
    let Database::Server(server) = settings.database else { panic!("a server") };
    let SqlAddress::Parts { host, port, database, user, password } = server.address else { panic!("parts") };
    assert_eq!(
        (host.as_str(), port, database.as_str(), user.as_str()),
        ("db.example.com", Some(6432), "product", "exporter")
    );
    assert_eq!(password, Some(SecretSource::File(within("secrets/db"))));
    assert_eq!(
        (server.driver, server.ca_file, server.plaintext),
        (SqlDriver::Postgres, Some(within("ca.pem")), false)
    );
    assert_eq!((settings.query.as_str(), settings.timeout), ("SELECT 2 AS id;\n", Duration::from_secs(5)));

    let settings = configured(
        folder.path(),
        "driver: mysql\ndsn_env: SIM_DSN\nplaintext: true\nquery: |\n  SELECT id\n  FROM accounts",
    );
    let Database::Server(server) = settings.database else { panic!("a server") };
    let SqlAddress::Dsn(dsn) = server.address else { panic!("a DSN") };
    assert_eq!((dsn, server.driver), (SecretSource::Env("SIM_DSN".to_owned()), SqlDriver::Mysql));
    assert!(server.plaintext && server.ca_file.is_none());
    assert_eq!(
        (settings.query.as_str(), settings.timeout),
        ("SELECT id\nFROM accounts\n", Duration::from_secs(30))
    );

    let settings = configured(folder.path(), "driver: sqlite\ndatabase: product.db\nquery: SELECT 1 AS id");
    let Database::Sqlite(file) = settings.database else { panic!("a file") };
    assert_eq!(file, within("product.db"));
}
