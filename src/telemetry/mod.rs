//! What this program tells about itself: its metrics, its log, and its state for systemd.
//!
//! Knows nothing of probes, stored state or HTTP.

mod heartbeat;
mod logging;
mod metrics;
#[cfg(target_os = "linux")]
mod process;

pub use heartbeat::{Heartbeat, Watchdog, ready, reloading, stopping};
pub use logging::start_logging;
pub use metrics::Metrics;
