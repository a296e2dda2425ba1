//! Where accounts and tokens come from.

mod token;

pub use token::*;
