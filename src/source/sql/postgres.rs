//! PostgreSQL.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::config::SslMode;
use tokio_postgres::types::{Kind, Type};
use tokio_postgres::{Client, Config, Error, NoTls, SimpleQueryMessage};

use super::address::{Address, Place, closed, no_name, no_tls};
use super::rows::{Rows, binary, number, time};
use super::{error, in_time, server_error, took_too_long};
use crate::config::SqlSettings;
use crate::source::retry::Failed;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub(super) async fn read(address: &Address, settings: &SqlSettings) -> Result<Rows, Failed> {
    let mut config = Config::new();
    config.user(&address.user).dbname(&address.database).application_name("token_exporter");
    if let Some(password) = &address.password {
        config.password(password.reveal());
    }
    // The stream is encrypted before it is handed over.
    config.ssl_mode(SslMode::Disable);
    let connect = async {
        let stream = connect(address).await?;
        config.connect_raw(stream, NoTls).await.map_err(|e| explain(&e, address, settings))
    };
    let (client, connection) = in_time(address, connect).await?;
    let mut connection = pin!(connection);
    let rows = tokio::select! {
        rows = rows(client, address, settings) => rows,
        ended = &mut connection => Err(ended.map_or_else(|e| explain(&e, address, settings), |()| closed())),
    }?;
    // Tells the server that the connection ends, which happens when the client is dropped.
    let _ = tokio::time::timeout(Duration::from_secs(1), connection).await;
    Ok(rows)
}

async fn connect(address: &Address) -> Result<Box<dyn Stream>, Failed> {
    let failed = |e: io::Error| address.io_error(&e);
    let (name, mut stream) = match &address.place {
        Place::Socket(path) => return Ok(Box::new(UnixStream::connect(path).await.map_err(failed)?)),
        Place::Host { name, port, addresses } => {
            let addresses: Vec<_> = addresses.iter().map(|ip| (*ip, *port).into()).collect();
            (name, TcpStream::connect(addresses.as_slice()).await.map_err(failed)?)
        }
    };
    let Some(authorities) = &address.authorities else { return Ok(Box::new(stream)) };
    // SSLRequest, answered with S or N.
    stream.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await.map_err(failed)?;
    if stream.read_u8().await.map_err(failed)? != b'S' {
        return Err(no_tls());
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities.iter().cloned());
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(name.clone()).map_err(|_| no_name())?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    Ok(Box::new(connector.connect(name, stream).await.map_err(failed)?))
}

async fn rows(client: Client, address: &Address, settings: &SqlSettings) -> Result<Rows, Failed> {
    let failed = |e: Error| explain(&e, address, settings);
    // With `SET LOCAL`, poolers need not know these settings.
    let begin = format!(
        "BEGIN READ ONLY; SET LOCAL statement_timeout = {}; SET LOCAL TimeZone = 'UTC'; \
         SET LOCAL DateStyle = 'ISO'",
        settings.timeout.as_millis()
    );
    client.batch_execute(&begin).await.map_err(failed)?;
    // Tells the types of the columns, and refuses several statements in one, which could end the
    // transaction. The rows then come as texts, as `query_raw` would send few types.
    let statement = client.prepare(&settings.query).await.map_err(failed)?;
    if !statement.params().is_empty() {
        return Err(error("the query has parameters ($1), which have no values"));
    }
    let mut rows = Rows::new(statement.columns().iter().map(|column| column.name()), settings)?;
    let types: Vec<Type> = statement.columns().iter().map(|column| column.type_().clone()).collect();
    let given = |name: &str| settings.bytes.iter().any(|column| column == name);
    let mut binary_columns = statement.columns().iter().filter(|column| is_binary(column.type_()));
    if let Some(column) = binary_columns.find(|column| !given(column.name())) {
        return Err(binary(column.name(), "encode(column, 'hex') or convert_from(column, 'UTF8')"));
    }
    drop(statement);
    let mut answer = pin!(client.simple_query_raw(&settings.query).await.map_err(failed)?);
    while let Some(message) = answer.try_next().await.map_err(failed)? {
        if let SimpleQueryMessage::Row(row) = message {
            rows.add(types.iter().enumerate().map(|(i, kind)| {
                let text = row.try_get(i).map_err(failed)?;
                Ok(text.map_or(Value::Null, |text| value(kind, text)))
            }))?;
        }
    }
    client.batch_execute("ROLLBACK").await.map_err(failed)?;
    Ok(rows)
}

fn is_binary(kind: &Type) -> bool {
    match kind.kind() {
        Kind::Array(inner) | Kind::Domain(inner) => is_binary(inner),
        _ => *kind == Type::BYTEA,
    }
}

fn value(kind: &Type, text: &str) -> Value {
    match kind.kind() {
        Kind::Domain(inner) => return value(inner, text),
        Kind::Array(member) => {
            let members = members(text).into_iter();
            return members.map(|text| text.map_or(Value::Null, |text| value(member, &text))).collect();
        }
        _ => {}
    }
    match *kind {
        Type::BOOL => (text == "t").into(),
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID | Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC => {
            number(text)
        }
        Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::DATE => time(text),
        Type::BYTEA => text.trim_start_matches("\\x").into(),
        Type::JSON | Type::JSONB => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        _ => text.into(),
    }
}

/// The members of an array: `{a,"b \"c\"",NULL}`. Arrays in arrays count as one list.
fn members(text: &str) -> Vec<Option<String>> {
    let (mut members, mut member, mut quoted, mut within) = (Vec::new(), String::new(), false, false);
    // The bounds of an array that does not begin at 1 stand before it: [0:1]={a,b}.
    let mut chars = text[text.find('{').unwrap_or(0)..].chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => (within, quoted) = (!within, true),
            '\\' => member.extend(chars.next()),
            ',' | '}' if !within => {
                if quoted || !member.is_empty() {
                    let text = std::mem::take(&mut member);
                    members.push(Some(text).filter(|text| quoted || text != "NULL"));
                }
                quoted = false;
            }
            '{' if !within => {}
            c => member.push(c),
        }
    }
    members
}

fn explain(failed: &Error, address: &Address, settings: &SqlSettings) -> Failed {
    if let Some(server) = failed.as_db_error() {
        let state = server.code().code();
        // The server's words about its time limit are translated.
        if state == "57014" {
            return took_too_long(settings);
        }
        let hint = server.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
        return server_error(state, &format!("{}{hint}", server.message()));
    }
    if failed.is_closed() {
        return closed();
    }
    let mut source = std::error::Error::source(failed);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return address.io_error(io);
        }
        source = inner.source();
    }
    // The error itself names a step, its source could hold what was sent.
    error(format!("{} does not speak as expected ({failed})", address.server()))
}
