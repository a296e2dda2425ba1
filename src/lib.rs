//! token_exporter: which social-media connection is about to expire or has broken, why, and what to do.
//!
//! The story of one probe, module by module, each knowing only those before it:
//!
//! 1. [`config`] reads YAML; [`roster`] keeps who is watched in compact form.
//! 2. [`engine`] decides that a credential is due. [`probe`] reads its [`token`] and lets its [`network`] ask.
//! 3. [`http`] carries questions and answers. The network, pure code, reads each answer, and
//!    [`network::conclude`] makes of all of them a finding for each account.
//! 4. [`rules`] decide whether the finding counts; [`store`] keeps what is known, and hands out snapshots.
//! 5. [`exposition`] turns a snapshot and the time into text; [`server`] sends it to whom [`web`] lets in, over a
//!    [`connection`].
//!
//! [`classify`] reads a single answer as a probe would, [`check`] and [`schedule`] probe everything [`once`],
//! and [`demo`] runs it all against the [`simulator`], which plays [`fixtures`]. [`alerting`] writes what Prometheus and
//! Alertmanager need to mail the right person.

pub mod alerting;
pub mod check;
pub mod classify;
pub mod cli;
pub mod column;
pub mod config;
pub mod connection;
pub mod demo;
pub mod engine;
pub mod exposition;
pub mod fixtures;
pub mod guard;
pub mod health;
pub mod http;
pub mod keeper;
pub mod limiter;
pub mod metrics;
pub mod network;
pub mod oauth1;
pub mod once;
pub mod page;
pub mod probe;
pub mod reason;
pub mod roster;
pub mod rules;
pub mod schedule;
pub mod secret;
pub mod serve;
pub mod server;
pub mod service;
pub mod simulator;
pub mod snapshot;
pub mod store;
pub mod time;
pub mod token;
pub mod watch;
pub mod web;
