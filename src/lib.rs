//! token_exporter: which social-media connection is about to expire or has broken, why, and what to do.

pub mod check;
pub mod classify;
pub mod cli;
pub mod column;
pub mod config;
pub mod demo;
pub mod engine;
pub mod exposition;
pub mod fixtures;
pub mod http;
pub mod limiter;
pub mod metrics;
pub mod network;
pub mod oauth1;
pub mod page;
pub mod probe;
pub mod reason;
pub mod roster;
pub mod rules;
pub mod secret;
pub mod serve;
pub mod server;
pub mod simulator;
pub mod store;
pub mod time;
pub mod token;
