//! Log messages on standard error.

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Logs this program's messages of `level` and above, as JSON or logfmt. Messages of libraries are
/// dropped: they would show requests.
///
/// A panic is logged with its location only, as its message can hold what a network sent.
pub fn start_logging(level: Level, json: bool) {
    let filter = Targets::new().with_target("token_exporter", level);
    let registry = tracing_subscriber::registry().with(filter);
    if json {
        let layer = tracing_subscriber::fmt::layer().json().flatten_event(true);
        registry.with(layer.with_writer(std::io::stderr)).init();
    } else {
        registry.with(tracing_logfmt::builder().layer().with_writer(std::io::stderr)).init();
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "a fault in this program");
    }));
}
