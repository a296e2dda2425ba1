//! All integration tests, in one binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod alerts;
mod api;
mod arbitrary;
mod browser;
mod chain;
mod cli;
mod config;
mod config_values;
mod conclude;
mod confirmation;
mod conformance;
mod daemon;
mod database_outages;
mod databases;
mod dashboards;
mod dashboards_live;
mod dashboards_panels;
mod dashboards_replay;
mod delays;
mod digest;
mod deploy;
mod docs;
mod envelopes;
mod events;
mod exporter;
mod exposition;
mod faults;
mod file_sources;
mod fuzzing;
mod golden;
mod heard;
mod http_source;
mod http_source_tls;
mod inhibition;
mod inventory;
mod json_files;
mod kills;
mod kubernetes;
mod listing;
mod logs;
mod mail_data;
mod mail_templates;
mod mailing;
mod meta;
mod mistakes;
mod model;
mod networks;
mod new_network;
mod oauth2;
mod next_use;
mod page;
mod page_offers;
mod page_words;
mod parsing;
mod people;
mod probing;
mod prometheus;
mod query;
mod reading;
mod recipes;
mod readme;
mod reports;
mod requests;
mod rooms;
mod scaling;
mod runbooks;
mod schedule;
mod scheduling;
mod secrets;
mod service;
mod sharding;
mod source_schema;
mod sources;
mod sql;
mod state;
mod token_commands;
mod transport;
mod weather;
mod web;
mod wording;
