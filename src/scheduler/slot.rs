//! The place of each credential in the schedule.

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
    /// In its lane.
    Ready,
}

impl Slot {
    pub(super) fn new(lane: u32) -> Self {
        Self { lane, state: SlotState::Idle, probing: false, alone: false, requested: false }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.state == SlotState::Ready
    }

    #[cfg(test)]
    pub(super) fn is_planned(&self) -> bool {
        matches!(self.state, SlotState::Planned(_))
    }
}
