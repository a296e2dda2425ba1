//! When notices are sent: the section `schedule`.

use std::time::Duration;

use super::accounts::purpose;
use super::apps::network_name;
use super::field::{Field, Mapping};
use super::keys;
use super::quoting::shown;
use super::validator::YEAR;
use crate::model::{Use, parse_duration};
use crate::network::NetworkId;

const DAY: Duration = Duration::from_secs(86_400);
/// Shortest time between two notices. A notice that holds for less could pass between two
/// evaluations of the alerting rules, or while Alertmanager groups mails.
const MIN_GAP: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleRule {
    /// Empty: all networks.
    pub networks: Vec<NetworkId>,
    /// Empty: all uses.
    pub uses: Vec<Use>,
    /// The earliest notice comes first.
    pub notices: Vec<Notice>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    Before(Duration),
    Today,
}

impl Notice {
    /// The value of the label `notice`: `10d`, `90s`, `today`.
    pub fn label(self) -> String {
        let Self::Before(before) = self else { return "today".to_owned() };
        let seconds = before.as_secs();
        let units = [("d", 86_400), ("h", 3600), ("m", 60)];
        let whole = units.into_iter().find(|(_, unit)| seconds >= *unit && seconds.is_multiple_of(*unit));
        let (name, unit) = whole.unwrap_or(("s", 1));
        format!("{}{name}", seconds / unit)
    }
}

impl ScheduleRule {
    /// Whether it matches such an account. The first rule that does is the one that counts.
    pub fn matches(&self, network: NetworkId, purpose: Use) -> bool {
        (self.networks.is_empty() || self.networks.contains(&network))
            && (self.uses.is_empty() || self.uses.contains(&purpose))
    }
}

pub fn default_schedule() -> Vec<ScheduleRule> {
    let before = |days: u32| Notice::Before(DAY * days);
    let monitored = |name: &str, notices: &[Notice]| {
        let networks = vec![NetworkId::from_name(name)?];
        Some(ScheduleRule { networks, uses: vec![Use::Monitored], notices: notices.to_vec() })
    };
    let mut rules = Vec::new();
    rules.extend(monitored("facebook", &[before(10)]));
    rules.extend(monitored("instagram", &[before(10), before(1), Notice::Today]));
    rules.push(ScheduleRule {
        networks: Vec::new(),
        uses: Vec::new(),
        notices: vec![before(10), before(5), before(1), Notice::Today],
    });
    rules
}

pub(super) fn schedule(field: &Field<'_>) -> Vec<ScheduleRule> {
    let mut rules: Vec<ScheduleRule> = Vec::new();
    for item in field.items() {
        let Some(mapping) = item.mapping(&[keys::SCHEDULE_RULE]) else { continue };
        if rules.iter().any(|r| r.networks.is_empty() && r.uses.is_empty()) {
            item.warning("is never reached: a rule before it matches everything");
        }
        let mut rule = ScheduleRule { networks: Vec::new(), uses: Vec::new(), notices: Vec::new() };
        if let Some(matching) = mapping.get("match")
            && let Some(matched) = matching.mapping(&[keys::SCHEDULE_MATCH])
        {
            rule.networks = one_or_more(&matched, "network", network_name);
            rule.uses = one_or_more(&matched, "use", purpose);
        }
        if let Some(list) = mapping.required("notices") {
            rule.notices = notices(&list);
        }
        rules.push(rule);
    }
    if rules.is_empty() && field.is_list() {
        field.problem("is empty; leave the key out for the default schedule");
    }
    rules
}

fn one_or_more<T>(mapping: &Mapping<'_>, key: &str, parse: impl Fn(&Field<'_>) -> Option<T>) -> Vec<T> {
    let Some(field) = mapping.get(key) else { return Vec::new() };
    if !field.is_list() {
        return parse(&field).into_iter().collect();
    }
    let items: Vec<Field<'_>> = field.items().collect();
    if items.is_empty() {
        field.problem("is empty; leave the key out to match all");
    }
    items.iter().filter_map(parse).collect()
}

fn notices(field: &Field<'_>) -> Vec<Notice> {
    let mut notices: Vec<Notice> = Vec::new();
    let mut empty = true;
    for item in field.items() {
        empty = false;
        let Some(text) = item.scalar("a duration or today") else { continue };
        let before = parse_duration(text).filter(|d| *d >= MIN_GAP && *d <= YEAR);
        let notice = if text == "today" { Some(Notice::Today) } else { before.map(Notice::Before) };
        let Some(notice) = notice else {
            let text = shown(text);
            item.problem(format!("{text} is not a notice; expected a duration from 10s to 1y, or today"));
            continue;
        };
        let wrong = match (notices.last(), notice) {
            (Some(Notice::Today), _) => "nothing can follow today".to_owned(),
            (Some(Notice::Before(last)), Notice::Before(d)) if d >= *last => {
                format!("{} is not shorter than the notice before it", shown(text))
            }
            (Some(Notice::Before(last)), Notice::Before(d)) if *last - d < MIN_GAP => {
                let gap = MIN_GAP.as_secs();
                format!("{} is less than {gap}s after the notice before it", shown(text))
            }
            _ => {
                notices.push(notice);
                continue;
            }
        };
        item.problem(wrong);
    }
    if empty && field.is_list() {
        field.problem("is empty; expected notices like [10d, 1d, today]");
    }
    notices
}
