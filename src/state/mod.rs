//! What is known about accounts, credentials and apps: which findings count, in memory, as snapshots
//! for readers, and on disk.
//!
//! Must not know HTTP, the answers of networks, or how state is exposed.

mod app_fault;
mod clocks;
mod column;
mod confirmation;
mod files;
mod format;
mod heard;
mod notice;
mod outcome;
mod rate_limits;
mod snapshot;
mod sparse;
mod store;
mod writer;

pub use app_fault::{AppFaultWindow, AppHealth, Evidence, WindowEntry};
pub use clocks::CompactClocks;
pub use column::Column;
pub use confirmation::{AccountState, CONFIRM_AFTER, CONFIRM_WITHIN, GrantedScopes, apply_finding};
pub use files::{begin_journal, restore, write_base};
pub use format::journal_lines;
pub use heard::{Block, Heard, Report, ReportEffect};
pub use notice::{AppliedNotice, LastNotice};
pub use outcome::{Applied, Change, NextProbe, Observation, Outcome};
pub use rate_limits::{LONGEST_APP_PAUSE, LONGEST_PAUSE, RateLimitUsage};
pub use snapshot::{AppState, Changes, CredentialState, Snapshot, View};
pub use sparse::Sparse;
pub use store::{AppliedReport, Store};
pub use writer::StateWriter;
