//! Who is probed when.

mod engine;
mod once;
mod timetable;

pub use engine::{Engine, Pace, ProbeRequest};
pub use once::{Probed, once};
