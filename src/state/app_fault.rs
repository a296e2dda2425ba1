//! Whether an app, and not its accounts, is to blame for refusals.

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// A period in which the credentials of one app are watched for failing together.
///
/// The window opens when a valid credential is ambiguously refused, and lasts one probe interval.
/// If at least three credentials, and more than half of those probed in it, are newly refused, the
/// app is to blame, and the window stays open until enough of them work again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppFaultWindow {
    opened: Option<Timestamp>,
    /// Number of this window, so that the entries of earlier windows need not be cleared.
    #[serde(rename = "window")]
    number: u32,
    probed: u32,
    #[serde(rename = "turned")]
    refused: u32,
}

/// What a credential has contributed to the [`AppFaultWindow`] of its app. Packed, as each
/// credential has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(Rust, packed)]
pub struct WindowEntry {
    window: u32,
    #[serde(rename = "turned")]
    refused: bool,
}

/// What a probe of one credential says about its app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// An account that was valid before is ambiguously refused.
    NewlyRefused,
    Works,
    Nothing,
}

impl AppFaultWindow {
    /// Records a probe. `interval` is the probe interval in seconds. Returns whether the window has
    /// just opened; other credentials of the app should then be probed, too.
    pub fn record(
        &mut self,
        entry: &mut WindowEntry,
        evidence: Evidence,
        now: Timestamp,
        interval: i64,
    ) -> bool {
        if self.opened.is_some_and(|opened| now.since(opened) > interval) && !self.app_to_blame() {
            self.opened = None;
        }
        let opens = self.opened.is_none() && evidence == Evidence::NewlyRefused;
        if opens {
            *self = Self { opened: Some(now), number: self.number.wrapping_add(1), probed: 0, refused: 0 };
        }
        if self.opened.is_none() {
            return false;
        }
        if entry.window != self.number {
            *entry = WindowEntry { window: self.number, refused: false };
            self.probed = self.probed.saturating_add(1);
        }
        match evidence {
            Evidence::NewlyRefused if !entry.refused => {
                entry.refused = true;
                self.refused = self.refused.saturating_add(1);
            }
            Evidence::Works if entry.refused => {
                entry.refused = false;
                // Saturating, as state that was restored after a kill may be off by one.
                self.refused = self.refused.saturating_sub(1);
            }
            _ => {}
        }
        opens
    }

    pub fn app_to_blame(&self) -> bool {
        self.opened.is_some() && self.refused >= 3 && self.refused > self.probed / 2
    }
}

/// Which of the last ten probes that reached an app failed because of the app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppHealth {
    /// One bit for each probe.
    faults: u16,
    noted: u8,
}

impl AppHealth {
    const LAST: u8 = 10;

    pub fn record(&mut self, fault: bool) {
        self.faults = ((self.faults << 1) | u16::from(fault)) & ((1 << Self::LAST) - 1);
        self.noted = (self.noted + 1).min(Self::LAST);
    }

    /// Forgets the faults: the app has been repaired.
    pub fn repaired(&mut self) {
        self.faults = 0;
    }

    /// Whether at most half of the probes failed because of the app; none before the first probe.
    pub fn healthy(self) -> Option<bool> {
        (self.noted > 0).then(|| self.faults.count_ones() * 2 <= u32::from(self.noted))
    }
}
