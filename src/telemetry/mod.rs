//! The exporter's own metrics, heartbeat for systemd, logging.

mod heartbeat;
mod metrics;

pub use heartbeat::{Heartbeat, Watchdog, ready, reloading, stopping};
pub use metrics::Metrics;
