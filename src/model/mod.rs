//! The words that everybody speaks: reasons, causes, capabilities, time and secrets. Knows no
//! network.

mod reason;
mod secret;
mod time;

pub use reason::*;
pub use secret::{STRICT, Secret, percent_encode};
pub use time::{Expiry, Timestamp, format_duration, parse_duration, parse_offset};
