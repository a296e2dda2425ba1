//! The place of each credential in the schedule, and where those that are due wait for their probes.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::probe::Prober;

/// How long a due credential waits so that others can share its batch.
const GATHER: Duration = Duration::from_secs(1);

/// The credentials of one app, or of one instance of a network without apps.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) app: Option<usize>,
    /// Credentials that are due. Entries of credentials that are not ready are obsolete.
    pub(super) ready: VecDeque<usize>,
    pub(super) running: usize,
    pub(super) paused: Option<Instant>,
    /// Whether the app has been paused, or its last probe has met a rate limit: one probe at a time.
    pub(super) limited: bool,
    batch_size: usize,
    /// Until when the first credential waits for others to fill the batch.
    pub(super) gather: Option<Instant>,
}

/// The place of one credential in the schedule, in 16 bytes: there may be a million.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// Index of the lane in which it waits when it is due.
    pub(super) lane: u32,
    pub(super) state: SlotState,
    /// Whether a probe of it is running. It may become ready again meanwhile.
    pub(super) probing: bool,
    /// Whether it must be probed alone, because a probe of several credentials has panicked.
    pub(super) alone: bool,
    /// Whether to ask the network even if the token has not changed.
    pub(super) requested: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotState {
    Idle,
    /// In the timetable, at this tick.
    Planned(u32),
    Ready,
}

impl Slot {
    pub(super) fn new(lane: u32) -> Self {
        Self { lane, state: SlotState::Idle, probing: false, alone: false, requested: false }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.state == SlotState::Ready
    }
}

/// A slot for each credential of the prober's inventory, and their lanes.
pub(super) fn assign(prober: &Prober) -> (Vec<Slot>, Vec<Lane>) {
    let mut lanes: Vec<Lane> = Vec::new();
    let mut indexes = HashMap::new();
    let credentials = prober.inventory().credentials();
    let slots = credentials.map(|credential| {
        let app = credential.app();
        let index = indexes.entry((app, credential.network(), credential.base_url())).or_insert_with(|| {
            lanes.push(Lane { app, batch_size: prober.batch_size(credential), ..Lane::default() });
            u32::try_from(lanes.len() - 1).unwrap_or(u32::MAX)
        });
        Slot::new(*index)
    });
    (slots.collect(), lanes)
}

impl Lane {
    /// Adds a credential unless it is ready already.
    pub(super) fn push(&mut self, slot: &mut Slot, credential: usize) {
        if slot.is_ready() {
            return;
        }
        slot.state = SlotState::Ready;
        if self.ready.is_empty() && self.batch_size > 1 {
            self.gather = Some(Instant::now() + GATHER);
        }
        self.ready.push_back(credential);
    }

    /// Adds a credential at the front, to be probed at once. An entry that it has already becomes
    /// obsolete.
    pub(super) fn push_first(&mut self, slot: &mut Slot, credential: usize) {
        slot.state = SlotState::Ready;
        slot.requested = true;
        self.gather = None;
        self.ready.push_front(credential);
    }

    /// Whether a probe may start, as far as pauses and batches are concerned.
    pub(super) fn may_start(&mut self, now: Instant) -> bool {
        if self.paused.is_some_and(|until| until > now) {
            return false;
        }
        self.paused = None;
        let full = self.ready.len() >= self.batch_size;
        if self.ready.is_empty() || !full && self.gather.is_some_and(|until| until > now) {
            return false;
        }
        self.gather = None;
        !self.limited || self.running == 0
    }

    /// Takes the credentials for one probe. A credential of which a probe is running has to wait for
    /// the end of it.
    pub(super) fn take_batch(&mut self, slots: &mut [Slot]) -> Vec<usize> {
        let mut batch = Vec::new();
        let mut later = VecDeque::new();
        while let Some(credential) = self.ready.pop_front() {
            let Some(slot) = slots.get_mut(credential).filter(|slot| slot.is_ready()) else { continue };
            if slot.probing || slot.alone && !batch.is_empty() {
                later.push_back(credential);
                continue;
            }
            slot.state = SlotState::Idle;
            slot.probing = true;
            batch.push(credential);
            if slot.alone || batch.len() == self.batch_size {
                break;
            }
        }
        self.ready.append(&mut later);
        batch
    }
}
