//! What people and programs ask.

mod board;
mod calendar;
mod connection;
pub mod csv;
pub mod ics;
pub mod json;
mod listing;
mod mails;
mod query;
mod targets;

pub use board::*;
pub use connection::*;
pub use listing::*;
pub use mails::*;
pub use query::*;
pub use targets::{TargetFilter, Targets};
