//! Runs all of it.

mod health;
mod run;
mod watch;

pub use health::ask;
pub use run::{Daemon, DaemonSettings, signals};
