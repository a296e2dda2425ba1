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

use super::listing::Listing;
use super::retry::Failed;
use crate::config::{Database, SqlDriver, SqlSettings};
use address::Address;

/// Time limit of the connection with its login.
const CONNECT_TIME: Duration = Duration::from_secs(30);
/// Time for the answer to arrive, beside the time limit of the query.
const TRANSFER_TIME: Duration = Duration::from_secs(10);

/// Runs the query and returns its rows as accounts.
///
/// # Errors
/// If the database does not answer, or the answer is not complete.
pub async fn read_sql(settings: &SqlSettings) -> Result<Listing, Failed> {
    let whole = CONNECT_TIME + settings.timeout + TRANSFER_TIME;
    let read = async {
        match &settings.database {
            Database::Sqlite(file) => sqlite::read(file, settings).await,
            Database::Server(server) => {
                let address = Address::of(server).await?;
                match server.driver {
                    SqlDriver::Postgres => postgres::read(&address, settings).await,
                    SqlDriver::Mysql => mysql::read(&address, settings).await,
                }
            }
        }
    };
    match tokio::time::timeout(whole, read).await {
        Ok(rows) => Ok(rows?.finish()),
        Err(_) => Err(Failed::temporary(format!("no complete answer within {} s", whole.as_secs()))),
    }
}

fn error(message: impl Into<String>) -> Failed {
    Failed::lasting(message)
}

/// The result of connecting, in time.
async fn in_time<T>(
    address: &Address,
    connect: impl Future<Output = Result<T, Failed>>,
) -> Result<T, Failed> {
    tokio::time::timeout(CONNECT_TIME, connect).await.unwrap_or_else(|_| {
        let (server, limit) = (address.server(), CONNECT_TIME.as_secs());
        Err(Failed::temporary(format!("no connection to {server} within {limit} s")))
    })
}

fn took_too_long(settings: &SqlSettings) -> Failed {
    error(format!("the query took longer than {} s", settings.timeout.as_secs()))
}

/// What a server's error means. The first two characters of an SQLSTATE are its class.
fn server_error(state: &str, message: &str) -> Failed {
    let (meaning, passes) = match (state, state.get(..2).unwrap_or_default()) {
        (_, "42" | "3D" | "3F") => return error(format!("the server says: {message}")),
        ("25006", _) => ("the query tries to change the database, and the transaction is read-only", false),
        (_, "28") => ("the server refuses this user name or password", false),
        ("57P03", _) => ("the server is starting up or shutting down", true),
        (_, "57") => ("the server ended the query", true),
        (_, "53") | ("08004", _) => ("the server has no connections or resources left", true),
        (_, "22") => ("a value cannot be converted as the query asks", false),
        _ => ("the server reports an error", true),
    };
    let message = format!("{meaning} (SQLSTATE {state})");
    if passes { Failed::temporary(message) } else { error(message) }
}
