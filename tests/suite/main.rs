//! All integration tests, one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod alerts;
mod cli;
mod config;
mod conformance;
mod daemon;
mod exposition;
mod golden;
mod mailing;
mod probing;
mod prometheus;
mod reading;
mod readme;
mod secrets;
