//! Log messages on standard error.

use std::sync::OnceLock;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::log_queue::QueueWriter;

static PROBER_LEVEL: OnceLock<Level> = OnceLock::new();

/// Logs this program's messages of `level` and above, as JSON or logfmt. Messages of libraries are
/// dropped: they would show requests. Each probe is logged at the level `prober`.
///
/// A panic is logged with its location only, as its message can hold what a network sent.
pub fn start_logging(level: Level, prober: Level, json: bool) {
    // Fails if it was set before, to the same level.
    let _ = PROBER_LEVEL.set(prober);
    let filter = Targets::new().with_target("token_exporter", level);
    let registry = tracing_subscriber::registry().with(filter);
    if json {
        let layer = tracing_subscriber::fmt::layer().json().flatten_event(true);
        registry.with(layer.with_writer(QueueWriter::start)).init();
    } else {
        registry.with(tracing_logfmt::builder().layer().with_writer(QueueWriter::start)).init();
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "a fault in this program");
    }));
}

/// The level at which each probe and each of its calls is logged.
pub fn prober_level() -> Level {
    PROBER_LEVEL.get().copied().unwrap_or(Level::DEBUG)
}

/// Logs an event at a level that is only known at run time.
#[macro_export]
macro_rules! log_at {
    ($level:expr, $($fields:tt)*) => {
        match $level {
            tracing::Level::ERROR => tracing::error!($($fields)*),
            tracing::Level::WARN => tracing::warn!($($fields)*),
            tracing::Level::INFO => tracing::info!($($fields)*),
            tracing::Level::DEBUG => tracing::debug!($($fields)*),
            tracing::Level::TRACE => tracing::trace!($($fields)*),
        }
    };
}
