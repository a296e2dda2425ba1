//! Where accounts and tokens come from. Today, accounts come from the configuration only; tokens are
//! read here.
//!
//! Must not know what a token is used for.

mod token;

pub use token::{
    Fingerprint, TokenHash, TokenSet, Unreadable, configured_clocks, file_warnings, read_tokens,
};
