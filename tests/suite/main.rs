//! All integration tests, one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod alerts;
mod arbitrary;
mod cli;
mod config;
mod conformance;
mod daemon;
mod docs;
mod exposition;
mod golden;
mod kubernetes;
mod mailing;
mod new_network;
mod probing;
mod prometheus;
mod reading;
mod readme;
mod scaling;
mod schedule;
mod secrets;
mod state;
