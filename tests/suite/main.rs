//! All integration tests, one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod alerts;
mod arbitrary;
mod cli;
mod config;
mod conformance;
mod daemon;
mod deploy;
mod docs;
mod exporter;
mod exposition;
mod fuzzing;
mod golden;
mod kills;
mod mailing;
mod new_network;
mod probing;
mod prometheus;
mod reading;
mod readme;
mod schedule;
mod secrets;
mod state;
mod web;
