//! Moments: what a list of recipients loses within a short time is one mail, if mails are grouped by
//! person.

use std::time::Duration;

use super::template::fill;
use crate::model::format_duration;

const RECORDS: &str = include_str!("templates/moment.rules.yml.tmpl");

/// Events that are mailed once: their name, and the series with their accounts and times.
const EVENTS: [(&str, &str, &str); 3] = [
    ("loss", "losses", "connection:lost_timestamp_seconds"),
    ("use", "planned posts that will fail", "connection:planned_use_at_risk_timestamp_seconds"),
    ("recovery", "recoveries", "connection:recovered_timestamp_seconds"),
];

/// The records of the moments of all events.
pub(super) fn records(moment: Duration) -> String {
    let record = |(event, what, series): &(&str, &str, &str)| {
        fill(
            RECORDS,
            &[
                ("EVENT", event),
                ("WHAT", what),
                ("EVENTS", &now(series)),
                ("MOMENT", &format_duration(moment)),
                ("MOMENT_SECONDS", &moment.as_secs().to_string()),
            ],
        )
    };
    EVENTS.iter().map(record).collect()
}

/// A query with the label `moment`.
pub(super) fn label(event: &str) -> String {
    format!(
        "count_values by (account, network) (\"moment\", \
         last_over_time(connection:moment_timestamp_seconds{{event=\"{event}\"}}[500ms]))"
    )
}

/// The accounts of losses that a record with their times knows already.
pub(super) fn or_same_loss(record: &str) -> String {
    format!(
        "or on (account, network) (\n  max by (account, network) (\n    {}\n    or on (account, network) \
         {}\n  )\n  == on (account, network) last_over_time({record}[6h])\n)",
        now("connection:lost_timestamp_seconds"),
        now("connection:planned_use_at_risk_timestamp_seconds")
    )
}

/// What this evaluation has written.
pub(super) fn now(series: &str) -> String {
    format!("last_over_time({series}[500ms])")
}
