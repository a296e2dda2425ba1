//! Where accounts and tokens come from: lists over HTTP; tokens in files, commands and variables.
//!
//! Must not know what a token is used for.

mod asked;
mod command;
mod envelope;
mod http;
mod http_reader;
mod listing;
mod retry;
mod sql;
mod token;

pub use asked::{Asked, AskedSource, Reply, ask_once};
pub use envelope::{Decryptor, Fault, RowProblem};
pub use http::{HttpAnswer, HttpSource};
pub use http_reader::HttpReader;
pub use listing::{Listing, SourceError};
pub use retry::{Backoff, Failed};
pub use sql::read_sql;
pub use token::{
    Fingerprint, TokenHash, TokenSet, Unreadable, configured_clocks, file_warnings, read_pem, read_tokens,
};
