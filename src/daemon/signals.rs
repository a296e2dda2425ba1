//! The process's signals.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::telemetry::flush_log;

/// Turns SIGTERM and SIGINT into a change of `stop`, and SIGHUP into requests to reload. A second
/// signal to stop ends the process at once.
///
/// # Errors
/// When the signals cannot be watched.
pub fn signals() -> std::io::Result<(watch::Receiver<bool>, mpsc::Receiver<()>)> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let (stop, stopped) = watch::channel(false);
    let (reload, reloads) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {
                    // One pending reload serves all requests.
                    let _ = reload.try_send(());
                    continue;
                }
            }
            if stop.send_replace(true) {
                flush_log();
                std::process::exit(130);
            }
        }
    });
    Ok((stopped, reloads))
}
