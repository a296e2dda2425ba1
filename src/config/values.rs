//! The values that are more than a word: what an account needs, its labels, rate limits, notices.

use std::time::Duration;

use super::problem::{Findings, WarningKind, shown};
use super::read::{Cursor, Fields, is_name};
use super::{Notice, ScheduleRule};
use crate::inventory::RateLimit;
use crate::model::{Capabilities, Capability, Use, parse_duration};
use crate::network::parse::split_scopes;
use crate::network::{NetworkId, Style};

/// So many labels may an account have of its own: each is repeated on every alert.
const MAX_LABELS: usize = 32;
/// How long the name of a label may be.
const MAX_LABEL_NAME: usize = 64;

/// Labels that metrics and alerts have already, or that Prometheus and Alertmanager set.
const RESERVED_LABELS: &[&str] = &[
    "account",
    "network",
    "name",
    "kind",
    "use",
    "external_id",
    "credential",
    "app",
    "connected_by",
    "notify",
    "reconnect_url",
    "reason",
    "capability",
    "scope",
    "clock",
    "notice",
    "since",
    "news",
    "meaning",
    "fixed_by",
    "advice",
    "cause",
    "bucket",
    "severity",
    "alertname",
    "alertstate",
    "job",
    "instance",
    "le",
    "quantile",
];

pub(super) const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
/// A notice that stands for less could pass between two evaluations of the rules, or while mails
/// wait for company.
const NARROWEST: Duration = Duration::from_secs(10);
/// Nothing that this program waits for is further away.
pub(super) const YEAR: Duration = Duration::from_secs(365 * 86_400);

pub(super) fn network(fields: &Fields<'_>, out: &mut Findings) -> Option<NetworkId> {
    let cursor = fields.required("network", out)?;
    network_word(&cursor, out)
}

pub(super) fn network_word(cursor: &Cursor<'_>, out: &mut Findings) -> Option<NetworkId> {
    let text = cursor.scalar(out, "the name of a network")?;
    if let Some(network) = NetworkId::from_name(text) {
        return Some(network);
    }
    let names: Vec<&str> = NetworkId::all()
        .flat_map(|n| std::iter::once(n.name()).chain(n.description().aliases.iter().copied()))
        .collect();
    cursor.word(out, &names, |_| None)
}

pub(super) fn default_api(network: NetworkId) -> &'static str {
    network.description().apis.first().copied().unwrap_or("")
}

pub(super) fn labels_of<T: Copy>(all: &[T], label: fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().map(|v| label(*v)).collect()
}

pub(super) fn purpose(cursor: &Cursor<'_>, out: &mut Findings) -> Option<Use> {
    cursor.word(out, &labels_of(Use::ALL, Use::label), Use::from_label)
}

/// Mail addresses in their order, each once.
pub(super) fn addresses(fields: &Fields<'_>, name: &str, out: &mut Findings) -> Vec<String> {
    let mut addresses: Vec<String> = Vec::new();
    fields.each(name, out, |item, out| {
        if let Some(address) = item.mail_address(out)
            && !addresses.iter().any(|a| a.eq_ignore_ascii_case(address))
        {
            addresses.push(address.to_owned());
        }
    });
    addresses
}

/// A list of words, or a single one; empty where the key is absent.
pub(super) fn one_or_more<T>(
    fields: &Fields<'_>,
    name: &str,
    out: &mut Findings,
    parse: impl Fn(&Cursor<'_>, &mut Findings) -> Option<T>,
) -> Vec<T> {
    let Some(cursor) = fields.get(name) else { return Vec::new() };
    if !cursor.is_list() {
        return parse(&cursor, out).into_iter().collect();
    }
    let items: Vec<Cursor<'_>> = cursor.items(out).collect();
    if items.is_empty() {
        cursor.problem(out, "is empty; leave the key out to match all");
    }
    items.iter().filter_map(|item| parse(item, out)).collect()
}

/// Scopes as a list, or as the text that token responses have.
pub(super) fn scopes(cursor: &Cursor<'_>, out: &mut Findings) -> Vec<String> {
    if !cursor.is_list() {
        return cursor.scalar(out, "a list of scopes").map(split_scopes).unwrap_or_default();
    }
    let items: Vec<Cursor<'_>> = cursor.items(out).collect();
    items.iter().filter_map(|item| item.text(out)).map(str::to_owned).collect()
}

/// What an account's network offers.
pub(super) struct Offer {
    pub(super) network: NetworkId,
    pub(super) kind: &'static str,
    pub(super) style: Style<'static>,
}

impl Offer {
    fn has(&self, capability: Capability) -> bool {
        self.network.network().requirement(self.style, self.kind, capability).is_some()
    }
}

/// What an account needs, all of it offered by its network.
pub(super) fn needs(fields: &Fields<'_>, offer: &Offer, out: &mut Findings) -> Capabilities {
    // Nothing is offered for a kind whose API is gone; its verdict says so better than a refusal here.
    let foregone = offer.network.network().foregone(offer.kind).is_some();
    if fields.get("needs").is_none() {
        return Capabilities::DEFAULT.iter().filter(|c| foregone || offer.has(*c)).collect();
    }
    let mut needs = Vec::new();
    fields.each("needs", out, |item, out| {
        let Some(capability) =
            item.word(out, &labels_of(Capability::ALL, Capability::label), Capability::from_label)
        else {
            return;
        };
        if foregone || offer.has(capability) {
            needs.push(capability);
            return;
        }
        let offered: Vec<&str> =
            Capability::ALL.iter().filter(|c| offer.has(**c)).map(|c| c.label()).collect();
        let offered = if offered.is_empty() { "nothing".to_owned() } else { offered.join(", ") };
        item.problem(
            out,
            format!(
                "{} does not offer {capability} for a {}; it offers {offered}",
                offer.network, offer.kind
            ),
        );
    });
    needs.into_iter().collect()
}

/// An account's own labels.
pub(super) fn labels<'a>(fields: &'a Fields<'a>, out: &mut Findings) -> Vec<(&'a str, &'a str)> {
    let mut labels = Vec::new();
    for (key, value) in fields.all() {
        let name = &*key.text;
        if !is_name(name) || name.len() > MAX_LABEL_NAME {
            value.problem(
                out,
                format!(
                    "is not the name of a label: letters, digits and _, at most {MAX_LABEL_NAME} of them, \
                     no digit first"
                ),
            );
        } else if name.starts_with("__") {
            value.problem(out, "names that begin with __ belong to Prometheus");
        } else if RESERVED_LABELS.contains(&name) {
            value.problem(out, "this label is taken; choose another name");
        } else if let Some(text) = value.text(out) {
            labels.push((name, text));
        }
    }
    if labels.len() > MAX_LABELS {
        fields.problem(out, format!("holds {} labels; at most {MAX_LABELS} are allowed", labels.len()));
    }
    labels
}

pub(super) fn rate_limit(cursor: &Cursor<'_>, out: &mut Findings) -> Option<RateLimit> {
    let text = cursor.scalar(out, "a rate limit like 20/s")?;
    let limit = text.split_once('/').and_then(|(count, unit)| {
        let seconds = match unit.trim() {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        let count = count.trim().parse().ok().filter(|n: &u32| *n > 0)?;
        Some(RateLimit { count, per: Duration::from_secs(seconds) })
    });
    if limit.is_none() {
        cursor.problem(
            out,
            format!("{} is not a rate limit; expected one like 20/s, 200/m, 4800/h or 10000/d", shown(text)),
        );
    }
    limit
}

pub(super) fn notices(cursor: &Cursor<'_>, out: &mut Findings) -> Vec<Notice> {
    let mut notices: Vec<Notice> = Vec::new();
    let mut empty = true;
    for item in cursor.items(out) {
        empty = false;
        let Some(text) = item.scalar(out, "a duration or today") else { continue };
        let notice = if text == "today" {
            Notice::Today
        } else if let Some(before) = parse_duration(text).filter(|d| *d >= NARROWEST && *d <= YEAR) {
            Notice::Before(before)
        } else {
            item.problem(
                out,
                format!("{} is not a notice; expected a duration from 10s to 1y, or today", shown(text)),
            );
            continue;
        };
        match (notices.last(), notice) {
            (Some(Notice::Today), _) => item.problem(out, "nothing can follow today"),
            (Some(Notice::Before(last)), Notice::Before(d)) if d >= *last => {
                item.problem(
                    out,
                    format!(
                        "{} does not come after the notice before it; expected ever shorter durations",
                        shown(text)
                    ),
                );
            }
            (Some(Notice::Before(last)), Notice::Before(d)) if *last - d < NARROWEST => {
                item.problem(
                    out,
                    format!(
                        "{} follows too soon: the notice before it needs {}s to be mailed",
                        shown(text),
                        NARROWEST.as_secs()
                    ),
                );
            }
            _ => notices.push(notice),
        }
    }
    if empty && cursor.is_list() {
        cursor.problem(out, "is empty; expected notices like [10d, 1d, today]");
    }
    notices
}

/// The schedule of a configuration that has none.
pub(super) fn default_schedule() -> Vec<ScheduleRule> {
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

/// The rules of a schedule, the first of which that matches holds.
pub(super) fn schedule(cursor: &Cursor<'_>, out: &mut Findings) -> Vec<ScheduleRule> {
    let mut rules: Vec<ScheduleRule> = Vec::new();
    for item in cursor.items(out) {
        let Some(fields) = item.fields(&[&["match", "notices"]], out) else { continue };
        if rules.iter().any(|r| r.networks.is_empty() && r.uses.is_empty()) {
            item.warning(
                out,
                WarningKind::NeverReached,
                "is never reached: a rule before it matches everything",
            );
        }
        let mut rule = ScheduleRule { networks: Vec::new(), uses: Vec::new(), notices: Vec::new() };
        if let Some(matching) = fields.get("match")
            && let Some(matched) = matching.fields(&[&["network", "use"]], out)
        {
            rule.networks = one_or_more(&matched, "network", out, network_word);
            rule.uses = one_or_more(&matched, "use", out, purpose);
        }
        if let Some(list) = fields.required("notices", out) {
            rule.notices = notices(&list, out);
        }
        rules.push(rule);
    }
    if rules.is_empty() && cursor.is_list() {
        cursor.problem(out, "is empty; leave the key out for the default schedule");
    }
    rules
}
