//! What this program tells about itself: its metrics, its log, and its state for systemd.
//!
//! Knows nothing of probes, stored state or HTTP.

mod heartbeat;
mod log_queue;
mod logging;
mod metrics;
#[cfg(target_os = "linux")]
mod process;

pub use heartbeat::{Heartbeat, Watchdog, ready, reloading, stopping};
pub use log_queue::flush_log;
pub use logging::{prober_level, start_logging};
pub use metrics::Metrics;
