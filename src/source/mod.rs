//! Where accounts and tokens come from. Today, accounts come from the configuration only; tokens are
//! read here.
//!
//! Must not know what a token is used for.

mod command;
mod envelope;
mod listing;
mod token;

pub use envelope::{Decryptor, Fault, RowProblem};
pub use listing::{Listing, SourceError};
pub use token::{
    Fingerprint, TokenHash, TokenSet, Unreadable, configured_clocks, file_warnings, read_tokens,
};
