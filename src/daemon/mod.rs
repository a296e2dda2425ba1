//! Runs everything together: the scheduler and the HTTP server, with reloads and a clean shutdown.
//!
//! It must not know options of the command line, nor how a probe or an answer is made.

mod reload;
mod run;
mod signals;
mod sources;
mod watch;

pub use run::{Daemon, DaemonSettings};
pub use signals::signals;
