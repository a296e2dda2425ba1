//! The words that all rooms share: reasons, causes, capabilities, time and secrets. Each list
//! exists once, here; a label is public and is relied on by dashboards, rules and tests. This room
//! must not know any network, file or metric.

mod capability;
mod cause;
mod heard;
mod labels;
mod language;
mod reason;
mod secret;
mod text;
mod time;

pub use capability::{Capabilities, Capability, Use, stops};
pub use cause::{AppProblem, Cause};
pub use heard::{EventResult, ReportResult};
pub(crate) use labels::{from_label, labels};
pub use language::Language;
pub use reason::{FixedBy, Reader, Reason, ReasonInfo, Reconnecting, Steps};
pub use secret::{BASE64URL, REDACTED, STRICT, Secret, SecretDigest, Wiped, percent_encode};
pub use text::{escape_bidi, stable_hash};
pub use time::{Expiry, Timestamp, format_duration, parse_duration, parse_offset};
