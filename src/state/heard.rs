//! What was heard of an account besides probes: what products reported when they used it.
//!
//! A report never changes the verdict of an account. It can block a capability for a while.

use std::sync::Arc;

use crate::model::{Capability, Cause, Reason, ReportResult, Timestamp};

/// Time in seconds for which ids of reports are remembered.
const REMEMBER_IDS: i64 = 72 * 3600;
/// Maximum number of ids that are remembered for one account.
const MAX_IDS: usize = 100;

/// What a product reported of one operation on an account, once it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub operation: Capability,
    pub result: ReportResult,
    /// When the product saw it.
    pub at: Timestamp,
    /// The reason that was read in it.
    pub reason: Option<Reason>,
    /// Why it does not tell how the connection is.
    pub cause: Option<Cause>,
    /// Until when the operation is blocked.
    pub until: Option<Timestamp>,
    /// The id of the reporter.
    pub by: Arc<str>,
}

/// A capability that the network blocks for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub reason: Reason,
    pub since: Timestamp,
    pub until: Timestamp,
    pub by: Arc<str>,
}

/// Kept small, and only for accounts of which something was heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The newest report of each operation and result.
    pub(super) reports: Vec<Report>,
    /// Indexed by [`Capability`].
    pub(super) blocks: [Option<Block>; 4],
    /// Hashes of the ids of reports and when they came, the oldest first.
    pub(super) ids: Vec<(u64, Timestamp)>,
}

/// What a report has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportEffect {
    /// Its id is known.
    Repeated,
    /// A newer one of the same operation is known.
    Outdated,
    /// It is the newest of its operation.
    Newest,
}

impl Heard {
    /// The newest report of each operation and result.
    pub fn reports(&self) -> &[Report] {
        &self.reports
    }

    /// The block of a capability that holds now.
    pub fn block(&self, capability: Capability, now: Timestamp) -> Option<&Block> {
        self.blocks[capability as usize].as_ref().filter(|block| block.until > now)
    }

    /// Applies a report. `id` is a hash of the id that its sender gave it.
    pub(super) fn apply(&mut self, report: Report, id: Option<u64>, now: Timestamp) -> ReportEffect {
        self.prune(now);
        if let Some(id) = id {
            if self.ids.iter().any(|(known, _)| *known == id) {
                return ReportEffect::Repeated;
            }
            if self.ids.len() >= MAX_IDS {
                self.ids.remove(0);
            }
            self.ids.push((id, now));
        }
        let same_operation = self.reports.iter().filter(|known| known.operation == report.operation);
        if same_operation.map(|known| known.at).max() > Some(report.at) {
            return ReportEffect::Outdated;
        }
        let block = &mut self.blocks[report.operation as usize];
        match (report.result, report.reason, report.until) {
            (ReportResult::Success, ..) => *block = None,
            (ReportResult::Blocked, Some(reason), Some(until)) => {
                let since =
                    block.as_ref().filter(|known| known.reason == reason).map_or(report.at, |b| b.since);
                *block = Some(Block { reason, since, until, by: report.by.clone() });
            }
            _ => {}
        }
        let same = |known: &&mut Report| (known.operation, known.result) == (report.operation, report.result);
        match self.reports.iter_mut().find(same) {
            Some(known) => *known = report,
            None => self.reports.push(report),
        }
        ReportEffect::Newest
    }

    /// Forgets what is over.
    pub(super) fn prune(&mut self, now: Timestamp) {
        self.ids.retain(|(_, at)| now.since(*at) < REMEMBER_IDS);
        for block in &mut self.blocks {
            if block.as_ref().is_some_and(|block| block.until <= now) {
                *block = None;
            }
        }
    }
}
