//! token_exporter: which social-media connection is about to expire or has broken, why, and what to do.

pub mod classify;
pub mod config;
pub mod fixtures;
pub mod network;
pub mod reason;
pub mod secret;
pub mod time;
pub mod token;
