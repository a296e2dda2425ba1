//! Who is probed when.

mod engine;
mod probe_everything;
mod timetable;

pub use engine::{ProbeRequest, Scheduler, SchedulerSettings};
pub use probe_everything::{ProbeResults, probe_everything};
