//! The settings of a source that is a database.

use std::path::PathBuf;
use std::time::Duration;

use super::decrypt::{DecryptScheme, DecryptSettings};
use crate::config::field::{Field, Mapping, relative_to, why_unreadable};
use crate::config::keys;
use crate::config::secrets::secret_source;
use crate::config::validator::Rows;
use crate::inventory::SecretSource;

/// Which accounts a database lists.
#[derive(Clone, Debug)]
pub struct SqlSettings {
    pub database: Database,
    pub query: String,
    /// Columns that may hold bytes, which become hexadecimal digits: encrypted ones.
    pub bytes: Vec<String>,
    /// Time limit of the query.
    pub timeout: Duration,
    /// Maximum number of rows.
    pub max_rows: usize,
    /// Maximum size of all rows as JSON.
    pub max_bytes: usize,
}

#[derive(Clone, Debug)]
pub enum Database {
    /// The file of an SQLite database.
    Sqlite(PathBuf),
    Server(SqlServer),
}

#[derive(Clone, Debug)]
pub struct SqlServer {
    pub driver: SqlDriver,
    pub address: SqlAddress,
    /// Certificates of the authorities that may sign the server's; none: those of the system.
    pub ca_file: Option<PathBuf>,
    /// Whether connections to other machines may be unencrypted.
    pub plaintext: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlDriver {
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
}

#[derive(Clone, Debug)]
pub enum SqlAddress {
    /// A URL with user name and password.
    Dsn(SecretSource),
    Parts {
        /// A host name, an address, or the path of a Unix socket.
        host: String,
        port: Option<u16>,
        database: String,
        user: String,
        password: Option<SecretSource>,
    },
}

const DRIVERS: [&str; 3] = ["postgres", "mysql", "sqlite"];
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_TIMEOUT: Duration = Duration::from_secs(3600);
const MAX_ROWS: usize = 1_000_000;
const MAX_BYTES: usize = 512 << 20;
/// Maximum size of a query in a file.
const MAX_QUERY_BYTES: u64 = 1 << 20;

pub(super) fn sql(field: &Field<'_>, decrypt: Option<&DecryptSettings>) -> Option<SqlSettings> {
    let mapping = field.mapping(&[keys::SQL, keys::SQL_SERVER, keys::DSN, keys::PASSWORD, keys::QUERY])?;
    let driver = mapping
        .required("driver")
        .and_then(|field| field.word(&DRIVERS, |word| DRIVERS.into_iter().find(|known| *known == word)));
    let database = match driver {
        Some("sqlite") => sqlite(&mapping),
        Some("mysql") => server(&mapping, SqlDriver::Mysql),
        Some(_) => server(&mapping, SqlDriver::Postgres),
        None => None,
    };
    let query = query(&mapping);
    let timeout = match mapping.get("timeout") {
        Some(field) => field.duration(Duration::from_secs(1), MAX_TIMEOUT),
        None => Some(DEFAULT_TIMEOUT),
    };
    let bytes = match decrypt {
        Some(DecryptSettings { columns, scheme: DecryptScheme::Aes256Gcm { apart: None, .. } }) => {
            columns.clone()
        }
        _ => Vec::new(),
    };
    let (max_rows, max_bytes) = (MAX_ROWS, MAX_BYTES);
    let (database, query, timeout) = (database?, query?, timeout?);
    Some(SqlSettings { database, query, bytes, timeout, max_rows, max_bytes })
}

fn sqlite(mapping: &Mapping<'_>) -> Option<Database> {
    for key in [keys::SQL_SERVER, keys::DSN, keys::PASSWORD].into_iter().flatten() {
        if let Some(field) = mapping.given(key) {
            field.problem("has no effect: sqlite needs only database, the name of its file");
        }
    }
    let file = mapping.required("database")?;
    Some(Database::Sqlite(relative_to(file.file, file.text()?)))
}

fn server(mapping: &Mapping<'_>, driver: SqlDriver) -> Option<Database> {
    let address = address(mapping);
    let tls = mapping.get("tls_config");
    let ca_file = tls.and_then(|field| ca_file(&field));
    let plaintext = mapping.get("plaintext").is_some_and(|field| field.boolean() == Some(true));
    if let Some(field) = tls.filter(|_| plaintext) {
        field.problem("contradicts plaintext: true");
    }
    Some(Database::Server(SqlServer { driver, address: address?, ca_file, plaintext }))
}

fn ca_file(field: &Field<'_>) -> Option<PathBuf> {
    let mapping = field.mapping(&[&["ca_file"]])?;
    let file = mapping.required("ca_file")?;
    let path = relative_to(file.file, file.text()?);
    if let Err(e) = std::fs::metadata(&path) {
        file.warning(format!("the file {}", why_unreadable(&e)));
    }
    Some(path)
}

fn address(mapping: &Mapping<'_>) -> Option<SqlAddress> {
    const PARTS: [&str; 4] = ["host", "port", "database", "user"];
    if !mapping.has_any(keys::DSN) {
        let text = |key| mapping.required(key).and_then(|field| Some(field.text()?.to_owned()));
        let (host, database, user) = (text("host"), text("database"), text("user"));
        let port = match mapping.get("port") {
            Some(field) => Some(u16::try_from(field.number(1, usize::from(u16::MAX))?).ok()?),
            None => None,
        };
        let password = secret_source(mapping, keys::PASSWORD, Rows::Written);
        if password.is_none() && mapping.has_any(keys::PASSWORD) {
            return None;
        }
        return Some(SqlAddress::Parts { host: host?, port, database: database?, user: user?, password });
    }
    for key in PARTS.iter().chain(keys::PASSWORD) {
        if let Some(field) = mapping.given(key) {
            field.problem("has no effect beside a DSN, which holds it");
        }
    }
    secret_source(mapping, keys::DSN, Rows::Written).map(SqlAddress::Dsn)
}

/// The statement that lists the accounts.
fn query(mapping: &Mapping<'_>) -> Option<String> {
    let mut given = keys::QUERY.iter().filter_map(|key| Some((*key, mapping.given(key)?)));
    let Some((key, field)) = given.next() else {
        return mapping.field.reject("one of query, query_file and recipe is missing");
    };
    if let Some((_, further)) = given.next() {
        return further.reject("only one of query, query_file and recipe may be given");
    }
    let text = field.scalar("a text")?;
    let query = match key {
        "query" => text.to_owned(),
        _ => query_file(&field, text)?,
    };
    if query.trim().is_empty() {
        return field.reject("is empty; expected a SELECT statement");
    }
    Some(query)
}

fn query_file(field: &Field<'_>, name: &str) -> Option<String> {
    let path = relative_to(field.file, name);
    let size = std::fs::metadata(&path).map(|metadata| metadata.len());
    if size.is_ok_and(|size| size > MAX_QUERY_BYTES) {
        return field.reject("is longer than 1 MiB");
    }
    std::fs::read_to_string(path).map_err(|e| field.problem(format!("the file {}", why_unreadable(&e)))).ok()
}
