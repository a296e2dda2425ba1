//! token_exporter tells which social-media connection is about to expire or has broken, why, and
//! what to do.
//!
//! The library has twenty-two rooms. A room may use those before it and must not use those after it.
//! In this order, they tell the story of one probe:
//!
//! - [`model`]: the words that all rooms share: reasons, causes, capabilities, times and secrets.
//! - [`network`]: what to ask a network, and what its answers mean, as pure code.
//! - [`wording`]: what mails say, in the languages of their readers.
//! - [`inventory`]: the apps, credentials and accounts to watch, in compact rows.
//! - [`config`]: reads the configuration and reports all its problems.
//! - [`alerting`]: writes the rules of Prometheus and the configuration of Alertmanager.
//! - [`telemetry`]: the exporter's own metrics, its log, and its messages to systemd.
//! - [`transport`]: the HTTP client that carries calls to networks.
//! - [`source`]: reads tokens from files, commands and variables, and lists of accounts over HTTP.
//! - [`state`]: what is known about each account, in memory and on disk.
//! - [`probe`]: reads a token, asks the network, and concludes.
//! - [`scheduler`]: decides which credential is probed when.
//! - [`report`]: reads what a product saw when it used a connection.
//! - [`event`]: takes the notices that networks send by themselves.
//! - [`exposition`]: writes a snapshot of the state as metrics.
//! - [`api`]: lists of connections for programs: JSON, CSV, calendars and targets.
//! - [`page`]: the same lists as pages for people.
//! - [`server`]: the HTTP server and its access control.
//! - [`simulator`]: stands in for all networks, for the demo and for tests.
//! - [`digest`]: one mail a day for each person who wants that.
//! - [`daemon`]: runs all of this together, and reloads.
//! - [`cli`]: the command line.

pub mod model;
pub mod network;
pub mod wording;
pub mod inventory;
pub mod config;
pub mod alerting;
pub mod telemetry;
pub mod transport;
pub mod source;
pub mod state;
pub mod probe;
pub mod scheduler;
pub mod report;
pub mod event;
pub mod exposition;
pub mod api;
pub mod page;
pub mod server;
pub mod simulator;
pub mod digest;
pub mod daemon;
pub mod cli;
