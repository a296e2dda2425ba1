//! MySQL and MariaDB.

use futures_util::TryStreamExt as _;
use mysql_async::consts::ColumnType;
use mysql_async::prelude::Queryable as _;
use mysql_async::{
    Column, Conn, DriverError, Error, IoError, OptsBuilder, Row, SslOpts, TlsError, Value as Cell,
};
use serde_json::Value;

use super::address::{Address, Place, closed, no_name, no_tls};
use super::rows::{Rows, binary, digits, number, time};
use super::{error, in_time, server_error, took_too_long};
use crate::config::SqlSettings;
use crate::source::retry::Failed;

/// Maximum size of a row.
const MAX_PACKET: usize = 64 << 20;
/// The character set of columns that hold bytes.
const BINARY: u16 = 63;

/// A connection that does not wait for the rest of an answer when it is dropped.
struct Connection(Option<Conn>);

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(conn) = self.0.take() {
            // Where there is no runtime, the socket is just closed.
            std::thread::spawn(move || drop(conn));
        }
    }
}

pub(super) async fn read(address: &Address, settings: &SqlSettings) -> Result<Rows, Failed> {
    let connect = async { Conn::new(options(address)).await.map_err(|e| explain(&e, address, settings)) };
    let conn = in_time(address, connect).await?;
    let mut connection = Connection(Some(conn));
    let Some(conn) = &mut connection.0 else { return Err(closed()) };
    let rows = rows(conn, settings).await.map_err(|failed| match failed {
        Why::Server(e) => explain(&e, address, settings),
        Why::Here(e) => e,
    })?;
    if let Some(conn) = connection.0.take() {
        // All rows are here: an error while saying goodbye changes nothing.
        let _ = conn.disconnect().await;
    }
    Ok(rows)
}

/// Why there are no rows.
enum Why {
    Server(Error),
    Here(Failed),
}

impl From<Error> for Why {
    fn from(failed: Error) -> Self {
        Self::Server(failed)
    }
}

impl From<Failed> for Why {
    fn from(failed: Failed) -> Self {
        Self::Here(failed)
    }
}

fn options(address: &Address) -> OptsBuilder {
    let mut options = OptsBuilder::default()
        .user(Some(&address.user))
        .pass(address.password.as_ref().map(|password| password.reveal()))
        .db_name(Some(&address.database))
        // Otherwise the server is asked for these.
        .prefer_socket(false)
        .max_allowed_packet(Some(MAX_PACKET))
        .wait_timeout(Some(60));
    options = match &address.place {
        Place::Socket(path) => options.socket(path.to_str()),
        Place::Host { name, port, addresses } => {
            options.ip_or_hostname(name).tcp_port(*port).resolved_ips(Some(addresses.clone()))
        }
    };
    options.ssl_opts(address.authorities.as_ref().map(|authorities| {
        let authorities = authorities.iter().map(|certificate| certificate.to_vec().into());
        SslOpts::default().with_root_certs(authorities.collect()).with_disable_built_in_roots(true)
    }))
}

async fn rows(conn: &mut Conn, settings: &SqlSettings) -> Result<Rows, Why> {
    let version: Option<String> = conn.query_first("SELECT VERSION()").await?;
    let limit = if version.is_some_and(|version| version.contains("MariaDB")) {
        format!("SET SESSION max_statement_time = {}", settings.timeout.as_secs_f64())
    } else {
        format!("SET SESSION max_execution_time = {}", settings.timeout.as_millis())
    };
    conn.query_drop(limit).await?;
    conn.query_drop("SET time_zone = '+00:00'").await?;
    // Also for a transaction that the query itself would begin.
    conn.query_drop("SET SESSION TRANSACTION READ ONLY").await?;
    conn.query_drop("START TRANSACTION READ ONLY").await?;
    // As a prepared statement, the query can be but one statement, and rows come with their types.
    let mut result = conn.exec_iter(&settings.query, ()).await?;
    let columns = result.columns().unwrap_or_default();
    let names: Vec<_> = columns.iter().map(Column::name_str).collect();
    let mut rows = Rows::new(names.iter().map(AsRef::as_ref), settings)?;
    let given = |column: &Column| settings.bytes.iter().any(|name| *name == column.name_str());
    if let Some(column) = columns.iter().find(|column| is_binary(column) && !given(column)) {
        let instead = "CONVERT(column USING utf8mb4) or HEX(column)";
        return Err(binary(&column.name_str(), instead).into());
    }
    if let Some(mut answer) = result.stream::<Row>().await? {
        while let Some(row) = answer.try_next().await? {
            // All cells, as none was taken from this row before: it fails for no input.
            rows.add(columns.iter().zip(row.unwrap()).map(|(column, cell)| value(column, cell)))?;
        }
    }
    Ok(rows)
}

fn is_binary(column: &Column) -> bool {
    use ColumnType::{
        MYSQL_TYPE_BLOB, MYSQL_TYPE_GEOMETRY, MYSQL_TYPE_LONG_BLOB, MYSQL_TYPE_MEDIUM_BLOB,
        MYSQL_TYPE_STRING, MYSQL_TYPE_TINY_BLOB, MYSQL_TYPE_VAR_STRING, MYSQL_TYPE_VARCHAR,
    };
    column.character_set() == BINARY
        && matches!(
            column.column_type(),
            MYSQL_TYPE_BLOB
                | MYSQL_TYPE_GEOMETRY
                | MYSQL_TYPE_LONG_BLOB
                | MYSQL_TYPE_MEDIUM_BLOB
                | MYSQL_TYPE_STRING
                | MYSQL_TYPE_TINY_BLOB
                | MYSQL_TYPE_VAR_STRING
                | MYSQL_TYPE_VARCHAR
        )
}

fn value(column: &Column, cell: Cell) -> Result<Value, Failed> {
    // How MySQL stores booleans.
    let boolean = column.column_length() == 1
        && matches!(column.column_type(), ColumnType::MYSQL_TYPE_TINY | ColumnType::MYSQL_TYPE_BIT);
    Ok(match cell {
        Cell::NULL => Value::Null,
        Cell::Int(number) if boolean => (number != 0).into(),
        Cell::Int(number) => number.into(),
        Cell::UInt(number) => number.into(),
        Cell::Float(number) => number.into(),
        Cell::Double(number) => number.into(),
        Cell::Date(year, month, day, hour, minute, second, micros) => {
            time(&format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}"))
        }
        Cell::Time(negative, days, hours, minutes, seconds, _) => {
            let sign = if negative { "-" } else { "" };
            format!("{sign}{:02}:{minutes:02}:{seconds:02}", days * 24 + u32::from(hours)).into()
        }
        Cell::Bytes(bytes) if column.column_type() == ColumnType::MYSQL_TYPE_BIT => {
            let number = bytes.iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
            if boolean { (number != 0).into() } else { number.into() }
        }
        Cell::Bytes(bytes) if is_binary(column) => digits(&bytes),
        Cell::Bytes(bytes) => {
            let not_text = |_| error(format!("the column {} holds no UTF-8 text", column.name_str()));
            let text = String::from_utf8(bytes).map_err(not_text)?;
            match column.column_type() {
                ColumnType::MYSQL_TYPE_DECIMAL | ColumnType::MYSQL_TYPE_NEWDECIMAL => number(&text),
                ColumnType::MYSQL_TYPE_JSON => serde_json::from_str(&text).unwrap_or_else(|_| text.into()),
                _ => text.into(),
            }
        }
    })
}

fn explain(failed: &Error, address: &Address, settings: &SqlSettings) -> Failed {
    match failed {
        // The time limit of MySQL and that of MariaDB.
        Error::Server(server) if matches!(server.code, 3024 | 1969) => took_too_long(settings),
        Error::Server(server) => match server.code {
            1792 => server_error("25006", ""),
            1044 | 1698 => server_error("28000", ""),
            1040 | 1203 | 1226 => server_error("53300", ""),
            1053 | 1317 | 1927 => server_error("57000", ""),
            _ => server_error(&server.state, &server.message),
        },
        Error::Driver(DriverError::ConnectionClosed) => closed(),
        Error::Driver(DriverError::NoClientSslFlagFromServer) => no_tls(),
        Error::Driver(DriverError::PacketTooLarge) => {
            error(format!("a row takes more than {} MiB", MAX_PACKET >> 20))
        }
        Error::Driver(DriverError::UnknownAuthPlugin { name }) => {
            error(format!("the server wants a login of the kind {name}, which is not supported"))
        }
        Error::Io(IoError::Io(io)) => address.io_error(io),
        Error::Io(IoError::Tls(TlsError::Tls(tls))) => address.tls_error(tls),
        Error::Io(IoError::Tls(_)) => no_name(),
        // Its text could hold what the server sent.
        Error::Driver(_) | Error::Other(_) | Error::Url(_) => {
            error(format!("{} does not speak as expected", address.server()))
        }
    }
}
