//! Arguments, and one file for each subcommand.

mod args;
mod check;
mod classify;

pub use args::*;
pub use check::*;
pub use classify::*;
