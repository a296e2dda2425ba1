//! SQLite.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags};
use serde_json::Value;

use super::rows::{Rows, binary, digits, time};
use super::{error, took_too_long};
use crate::config::{SqlSettings, why_unreadable};
use crate::model::Timestamp;
use crate::source::retry::Failed;

/// How long to wait for a writer.
const BUSY_TIME: Duration = Duration::from_secs(5);
/// Steps of SQLite's machine between two looks at the clock.
const STEPS: i32 = 10_000;

pub(super) async fn read(file: &Path, settings: &SqlSettings) -> Result<Rows, Failed> {
    let (file, settings): (PathBuf, _) = (file.to_owned(), settings.clone());
    let read = tokio::task::spawn_blocking(move || {
        // SQLite's own message holds no reason.
        std::fs::File::open(&file)
            .map_err(|e| error(format!("the file {} {}", file.display(), why_unreadable(&e))))?;
        rows(&file, &settings)
    });
    read.await.unwrap_or_else(|_| Err(error("the database cannot be read")))
}

fn rows(file: &Path, settings: &SqlSettings) -> Result<Rows, Failed> {
    let failed = |e: Error| explain(&e, settings);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIME).map_err(failed)?;
    let deadline = Instant::now() + settings.timeout;
    connection.progress_handler(STEPS, Some(move || Instant::now() > deadline)).map_err(failed)?;
    let mut statement = connection.prepare(&settings.query).map_err(|e| match &e {
        // The message can hold only what the query says: nothing has been read but the schema.
        Error::SqliteFailure(e, Some(message)) if e.code == ErrorCode::Unknown => {
            error(format!("SQLite says: {message}"))
        }
        Error::SqlInputError { error: e, msg, .. } if e.code == ErrorCode::Unknown => {
            error(format!("SQLite says: {msg}"))
        }
        e => explain(e, settings),
    })?;
    let mut rows = Rows::new(statement.column_names(), settings)?;
    if !statement.readonly() {
        return Err(error("the query tries to change the database, which is opened for reading only"));
    }
    let columns: Vec<(String, Kind)> =
        statement.columns().map(|c| (c.name().to_owned(), Kind::of(c.decl_type()))).collect();
    let mut answer = statement.query([]).map_err(failed)?;
    while let Some(row) = answer.next().map_err(failed)? {
        rows.add(
            columns.iter().enumerate().map(|(i, (name, kind))| {
                value(name, *kind, row.get_ref(i).map_err(failed)?, &settings.bytes)
            }),
        )?;
    }
    Ok(rows)
}

/// What a column was declared as; SQLite itself knows neither booleans nor times.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Boolean,
    Time,
    Other,
}

impl Kind {
    fn of(declared: Option<&str>) -> Self {
        let declared = declared.unwrap_or_default().to_ascii_lowercase();
        match declared.as_str() {
            "tinyint(1)" => Self::Boolean,
            text if text.starts_with("bool") => Self::Boolean,
            text if text.starts_with("date") || text.starts_with("timestamp") => Self::Time,
            _ => Self::Other,
        }
    }
}

fn value(name: &str, kind: Kind, cell: ValueRef<'_>, bytes: &[String]) -> Result<Value, Failed> {
    /// As seconds, this is in the year 5138.
    const MILLISECONDS_FROM: i64 = 100_000_000_000;
    Ok(match cell {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) if kind == Kind::Boolean => (number != 0).into(),
        // Prisma stores milliseconds.
        ValueRef::Integer(number) if kind == Kind::Time && number >= MILLISECONDS_FROM => {
            Timestamp::from_unix(number / 1000).map_or(Value::Null, |time| time.to_string().into())
        }
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text);
            let text = text.map_err(|_| error(format!("the column {name} holds no UTF-8 text")))?;
            if kind == Kind::Time { time(text) } else { text.into() }
        }
        ValueRef::Blob(blob) if bytes.iter().any(|column| column == name) => digits(blob),
        ValueRef::Blob(_) => return Err(binary(name, "CAST(column AS TEXT) or hex(column)")),
    })
}

fn explain(failed: &Error, settings: &SqlSettings) -> Failed {
    let code = match failed {
        Error::SqliteFailure(e, _) | Error::SqlInputError { error: e, .. } => e.code,
        Error::MultipleStatement => return error("the query holds several statements; expected one SELECT"),
        _ => return error("the database cannot be read"),
    };
    error(match code {
        ErrorCode::OperationInterrupted => return took_too_long(settings),
        ErrorCode::NotADatabase => "the file is no SQLite database (or it is encrypted)",
        ErrorCode::DatabaseCorrupt => "the database is damaged",
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            return Failed::temporary("another program has locked the database");
        }
        ErrorCode::ReadOnly => "the query tries to change the database, which is opened for reading only",
        ErrorCode::CannotOpen => {
            "the database cannot be opened (in WAL mode, this user must be able to write to its folder)"
        }
        ErrorCode::PermissionDenied => "the database may not be read (permission denied)",
        _ => "SQLite cannot run the query",
    })
}
