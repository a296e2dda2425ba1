//! What people and programs can ask about connections, and the formats of the answers.
//!
//! A [`Query`] is read from a URL; a [`Listing`] is a snapshot of all connections in order; the
//! [`ListingCache`] keeps the latest one; a [`Connection`] is all that is known of one account.
//! Formats are JSON, CSV and calendars (the status page is another room). [`plan_mails`] predicts
//! the mails of the schedule, [`write_targets`] lists the accounts for service discovery. Knows no HTTP
//! and no HTML.

mod cache;
mod columns;
mod connection;
mod csv;
mod deadline_calendar;
mod icalendar;
mod json;
mod listing;
mod mail_plan;
mod mail_plan_output;
mod query;
mod targets;

pub use cache::ListingCache;
pub use columns::{columns, paragraph};
pub use connection::{Connection, ConnectionState};
pub use csv::write_csv;
pub use deadline_calendar::write_calendar;
pub use json::{connection_json, connections_json, problems_json};
pub use listing::{Listing, ListingPage, Matches, Overview};
pub use mail_plan::{
    ExpiryStatus, Mail, MailAccount, MailPlan, Period, SkippedAccounts, expiry_statuses, plan_mails,
};
pub use query::{MAX_PER_PAGE, NEXT_USE, PARAMETERS, Query, QueryProblem};
pub use targets::{TargetFilter, write_targets};
