//! What the service manager hears: ready, reloading, stopping, and signs of life for as long as
//! every part of the daemon shows one.
//!
//! The protocol is systemd's; where nobody listens, nothing is said. Knows nothing of what the
//! parts do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sd_notify::NotifyState;
use tokio::sync::watch;

/// Asks every part of the daemon for a sign of life, again and again.
#[derive(Debug, Default)]
pub struct Watchdog {
    beat: watch::Sender<u64>,
    parts: Vec<(&'static str, Arc<AtomicU64>)>,
}

/// A part's way to show that it lives.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    beat: watch::Receiver<u64>,
    answered: Arc<AtomicU64>,
}

impl Watchdog {
    /// The pulse of one more part.
    pub fn part(&mut self, name: &'static str) -> Heartbeat {
        let answered = Arc::default();
        self.parts.push((name, Arc::clone(&answered)));
        Heartbeat { beat: self.beat.subscribe(), answered }
    }

    /// The parts that have not answered the last beat; then the next beat.
    fn beat(&self) -> Vec<&'static str> {
        let last = *self.beat.borrow();
        let silent = self
            .parts
            .iter()
            .filter(|(_, answered)| answered.load(Ordering::Relaxed) < last)
            .map(|(name, _)| *name)
            .collect();
        self.beat.send_replace(last + 1);
        silent
    }

    /// Tells systemd's watchdog that the daemon works, as long as all its parts answer. Ends at
    /// once where there is no watchdog.
    pub async fn watch(self) {
        let Some(limit) = sd_notify::watchdog_enabled() else { return };
        // Twice within the limit is asked for; a part may be late now and then.
        let mut beats = tokio::time::interval(limit / 4);
        loop {
            beats.tick().await;
            let silent = self.beat();
            if silent.is_empty() {
                tell(&[NotifyState::Watchdog]);
            } else {
                tracing::error!(
                    parts = silent.join(", "),
                    "no sign of life: the watchdog is not told that all is well"
                );
            }
        }
    }
}

impl Heartbeat {
    /// Waits until a sign of life is asked for, and gives it.
    pub async fn answer(&mut self) {
        match self.beat.changed().await {
            Ok(()) => self.answered.store(*self.beat.borrow_and_update(), Ordering::Relaxed),
            // Nobody asks any more.
            Err(_) => std::future::pending().await,
        }
    }
}

/// The daemon answers requests.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is being read anew.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "systemd cannot be told of the reload"),
    }
}

/// The daemon is ending.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd cannot be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_is_silent_is_named() {
        let mut heart = Watchdog::default();
        let (mut engine, server) = (heart.part("engine"), heart.part("server"));
        assert!(heart.beat().is_empty(), "nothing was asked before");
        engine.answer().await;
        assert_eq!(heart.beat(), ["server"]);
        let mut again = server.clone();
        engine.answer().await;
        again.answer().await;
        assert!(heart.beat().is_empty(), "a part that was started anew answers for the old one");
    }
}
