//! The Alertmanager configuration: who gets which alert, grouped so that each event is one mail.

use std::time::Duration;

use super::schedule::{DAY, group_wait, windows};
use super::template::fill;
use crate::config::ScheduleRule;
use crate::model::format_duration;

const CONFIGURATION: &str = include_str!("templates/alertmanager.yml.tmpl");
const SHORT_NOTICE: &str = include_str!("templates/short_notice.route.yml.tmpl");

/// What differs from one installation to another.
#[derive(Clone, Debug)]
pub struct MailSettings {
    pub smarthost: String,
    pub from: String,
    /// Addresses for alerts without recipients of their own.
    pub operators: Vec<String>,
    pub pager: String,
}

pub fn alertmanager(schedule: &[ScheduleRule], mail: &MailSettings) -> String {
    let operators = match mail.operators.as_slice() {
        [] => "operator@localhost".to_owned(),
        addresses => addresses.join(", "),
    };
    // In a YAML string with single quotes.
    let quoted = |text: &str| text.replace('\'', "''");
    fill(
        CONFIGURATION,
        &[
            ("SMARTHOST", &quoted(&mail.smarthost)),
            ("FROM", &quoted(&mail.from)),
            ("OPERATORS", &quoted(&operators)),
            ("PAGER", &quoted(&mail.pager)),
            ("GROUP_WAIT", &format_duration(group_wait(schedule))),
            ("SHORT_NOTICES", &short_notices(schedule)),
        ],
    )
}

/// Routes for notices that are sent for less than a day. The notice of the next token can follow
/// before a day has passed, so Alertmanager must consider the group changed sooner.
fn short_notices(schedule: &[ScheduleRule]) -> String {
    let windows = windows(schedule);
    let shortest = windows
        .chunk_by(|(a, _), (b, _)| a.notice == b.notice)
        .filter_map(|same| same.iter().map(|(window, _)| window).min_by_key(|w| w.width()));
    let routes = shortest.filter(|window| window.width() < DAY).map(|window| {
        let interval = format_duration(Duration::from_secs(window.width() * 3 / 2));
        fill(SHORT_NOTICE, &[("NOTICE", &window.notice.label()), ("GROUP_INTERVAL", &interval)])
    });
    routes.collect()
}
