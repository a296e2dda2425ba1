//! Notifications to systemd: ready, reloading, stopping, and the watchdog, which is notified as long
//! as every part of the daemon responds. Without systemd nothing is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sd_notify::NotifyState;
use tokio::sync::watch;

/// Asks every part of the daemon for a heartbeat at intervals.
#[derive(Debug, Default)]
pub struct Watchdog {
    /// Number of the last heartbeat that was asked for.
    beat: watch::Sender<u64>,
    /// Each part with the last heartbeat that it has answered.
    parts: Vec<(&'static str, Arc<AtomicU64>)>,
}

/// Answers for one part of the daemon.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    beat: watch::Receiver<u64>,
    answered: Arc<AtomicU64>,
}

impl Watchdog {
    pub fn part(&mut self, name: &'static str) -> Heartbeat {
        let answered = Arc::default();
        self.parts.push((name, Arc::clone(&answered)));
        Heartbeat { beat: self.beat.subscribe(), answered }
    }

    /// Returns the parts that have not answered the last heartbeat, and asks for the next one.
    pub fn beat(&self) -> Vec<&'static str> {
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

    /// Notifies systemd's watchdog as long as all parts answer. Returns at once if there is no watchdog.
    pub async fn watch(self) {
        let Some(limit) = sd_notify::watchdog_enabled() else { return };
        // systemd recommends half of the limit. A quarter allows for a part that is late once.
        let mut beats = tokio::time::interval(limit / 4);
        loop {
            beats.tick().await;
            let silent = self.beat();
            if silent.is_empty() {
                notify(&[NotifyState::Watchdog]);
            } else {
                tracing::error!(parts = silent.join(", "), "no heartbeat, so the watchdog is not notified");
            }
        }
    }
}

impl Heartbeat {
    /// Waits until a heartbeat is asked for, and answers.
    pub async fn answer(&mut self) {
        match self.beat.changed().await {
            Ok(()) => self.answered.store(*self.beat.borrow_and_update(), Ordering::Relaxed),
            // The watchdog is gone.
            Err(_) => std::future::pending().await,
        }
    }
}

pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "systemd cannot be notified of the reload"),
    }
}

pub fn stopping() {
    notify(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd cannot be notified");
    }
}
