//! token_exporter: which social-media connection is about to expire or has broken, why, and what to do.

pub mod classify;
pub mod engine;
pub mod exposition;
pub mod fixtures;
pub mod column;
pub mod config;
pub mod http;
pub mod oauth1;
pub mod token;
pub mod limiter;
pub mod metrics;
pub mod network;
pub mod page;
pub mod probe;
pub mod reason;
pub mod roster;
pub mod rules;
pub mod secret;
pub mod serve;
pub mod server;
pub mod store;
pub mod time;
