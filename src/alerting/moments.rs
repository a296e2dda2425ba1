//! Moments: what a list of recipients loses within a short time is one mail, if mails are grouped by
//! person.

use std::time::Duration;

use super::template::fill;
use crate::model::format_duration;

const RECORDS: &str = include_str!("templates/moment.rules.yml.tmpl");

/// The accounts of losses, with the time of the loss.
const LOSSES: [&str; 2] =
    ["connection:lost_timestamp_seconds", "connection:planned_use_at_risk_timestamp_seconds"];

/// The records of the moments of losses and of recoveries.
pub(super) fn records(moment: Duration, interval: Duration) -> String {
    let record = |event: &str, what: &str, events: &str| {
        let new = now(&format!("connection:new_event_timestamp_seconds{{event=\"{event}\"}}"));
        let moments = format!("connection:moment_timestamp_seconds{{event=\"{event}\"}}");
        let open = (moment + interval).as_secs();
        let open = format!("max by (notify) (last_over_time({moments}[6h])) > time() - {open}");
        fill(
            RECORDS,
            &[
                ("EVENT", event),
                ("WHAT", what),
                ("EVENTS", events),
                ("NEW", &new),
                ("OPEN", &open),
                ("MOMENT", &format_duration(moment)),
                ("MOMENT_SECONDS", &moment.as_secs().to_string()),
            ],
        )
    };
    let recoveries = now("connection:recovered_timestamp_seconds");
    record("loss", "losses", &losses()) + &record("recovery", "recoveries", &recoveries)
}

/// Also those that are too old to be mailed, if a post of them will fail.
fn losses() -> String {
    LOSSES.map(now).join("\nor on (account, network) ")
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
    let losses = losses().replace('\n', "\n    ");
    format!(
        "or on (account, network) (\n  max by (account, network) (\n    {losses}\n  )\n  == on (account, \
         network) last_over_time({record}[6h])\n)"
    )
}

/// What this evaluation has written.
pub(super) fn now(series: &str) -> String {
    format!("last_over_time({series}[500ms])")
}
