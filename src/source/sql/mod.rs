//! Reads accounts from a database: one connection, one read-only transaction, one query, whose rows
//! become JSON.
//!
//! Errors hold no values of the database. A message of the server is quoted only where it can hold
//! nothing but names and parts of the query.

mod address;
mod mysql;
mod postgres;
mod rows;
mod sqlite;

use std::time::Duration;

use super::listing::{Listing, SourceError};
use crate::config::{Database, SqlDriver, SqlSettings};

/// Time limit of the connection with its login.
const CONNECT_TIME: Duration = Duration::from_secs(30);
/// Time for the answer to arrive, beside the time limit of the query.
const TRANSFER_TIME: Duration = Duration::from_secs(10);

/// Runs the query and returns its rows as accounts.
///
/// # Errors
/// If the database does not answer, or the answer is not complete.
pub async fn read_sql(settings: &SqlSettings) -> Result<Listing, SourceError> {
    let whole = CONNECT_TIME + settings.timeout + TRANSFER_TIME;
    let read = async {
        match &settings.database {
            Database::Sqlite(file) => sqlite::read(file, settings).await,
            Database::Server(server) => {
                let address = address::Address::of(server).await?;
                match server.driver {
                    SqlDriver::Postgres => postgres::read(&address, settings).await,
                    SqlDriver::Mysql => mysql::read(&address, settings).await,
                }
            }
        }
    };
    match tokio::time::timeout(whole, read).await {
        Ok(rows) => Ok(rows?.finish()),
        Err(_) => Err(SourceError(format!("no complete answer within {} s", whole.as_secs()))),
    }
}

fn error(message: impl Into<String>) -> SourceError {
    SourceError(message.into())
}

fn took_too_long(settings: &SqlSettings) -> SourceError {
    error(format!("the query took longer than {} s", settings.timeout.as_secs()))
}

/// What a server's error means. `class` are the first two characters of its SQLSTATE.
fn server_error(state: &str, message: &str) -> SourceError {
    let meaning = match (state, state.get(..2).unwrap_or_default()) {
        (_, "42" | "3D" | "3F") => return error(format!("the server says: {message}")),
        ("25006", _) => "the query tries to change the database, and the transaction is read-only",
        ("28P01", _) | (_, "28") => "the server refuses this user name or password",
        ("57P03", _) => "the server is starting up or shutting down",
        (_, "57") => "the server ended the query",
        (_, "53") | ("08004", _) => "the server has no connections or resources left",
        (_, "22") => "a value cannot be converted as the query asks",
        _ => "the server reports an error",
    };
    error(format!("{meaning} (SQLSTATE {state})"))
}
