//! Who is probed when.

mod engine;
mod once;
mod timetable;

pub use engine::{Engine, Pace, Wish};
pub use once::{Probed, once};
