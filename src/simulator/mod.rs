//! Stands in for the networks.

mod demo;
mod fixtures;
mod server;

pub use demo::*;
pub use fixtures::*;
pub use server::{Simulator, fixture_token};
