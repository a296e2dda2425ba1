//! The Prometheus rules. Only functions of Prometheus 2.42.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use super::{DAY, WIDEST, Window, evaluation, windows};
use crate::config::{Config, Notice, ScheduleRule};
use crate::model::{Capability, FixedBy, Reason, Use, format_duration};
use crate::network::{NetworkId, advice};

/// What the rules depend on besides the schedule.
#[derive(Clone, Debug)]
pub struct Options {
    /// Seconds east of UTC of the calendar that `today` goes by.
    pub utc_offset: i64,
    /// Where the runbooks are: their names are put behind it.
    pub runbooks: String,
    /// The longest that passes between two probes of a connection when all is well.
    pub longest_gap: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { utc_offset: 0, runbooks: "docs/runbooks/".to_owned(), longest_gap: RAREST }
    }
}

/// Even a dead token is probed once in this time, unless its interval is longer.
const RAREST: Duration = Duration::from_secs(DAY);

/// The longest that passes between two probes of any connection of a configuration when all is
/// well.
pub fn longest_gap(config: &Config) -> Duration {
    let intervals =
        config.table.accounts().map(|a| a.probe_interval().unwrap_or(config.global.probe_interval));
    intervals.max().unwrap_or_default().max(RAREST)
}

/// An outage up to this long changes nothing.
const VALIDITY: &str = "6h";

/// What vanished while shards were missing, or did not agree how many there are, is not taken for
/// removed until so long after.
const SETTLED: &str = "15m";

/// What an ambiguous refusal is called, by what is known of the token's end.
const AMBIGUOUS: &str = "token_invalid|token_expired|access_revoked";

/// Labels that would make a new alert of an old one when an account is renamed or moves between
/// exporters.
const DROPPED: &[&str] = &["name", "external_id", "app", "reconnect_url", "job", "instance"];

/// Labels that bring texts to an alert; they go into its annotations.
const TEXTS: &[&str] = &["meaning", "fixed_by", "advice"];

/// Reasons that say no more than that the deadline has passed.
const ENDED: &[Reason] = &[Reason::TokenExpired, Reason::DataAccessExpired];

fn ended() -> String {
    ENDED.iter().map(|r| r.label()).collect::<Vec<_>>().join("|")
}

/// One alert. Texts are templates of Prometheus.
struct Alert<'a> {
    name: &'a str,
    expr: String,
    hold: Option<&'a str>,
    labels: Vec<(&'a str, String)>,
    summary: String,
    description: String,
    advice: String,
    /// What stops; for alerts about one connection.
    stops: Option<String>,
    /// The deadline and how long it is away; for alerts about one.
    deadline: Option<(String, &'a str)>,
}

/// The whole rules file.
pub fn rules(schedule: &[ScheduleRule], options: &Options) -> String {
    let mut out = String::from(
        "# Made by `token_exporter generate rules`; change the schedule in the configuration, not this \
         file.\n# Needs Prometheus 2.42 or later.\ngroups:\n  - name: connections\n",
    );
    let _ = writeln!(out, "    interval: {}\n    rules:", format_duration(evaluation(schedule)));
    let windows = windows(schedule);
    recordings(&mut out, &windows, options);
    texts(&mut out);
    for of_one_notice in windows.chunk_by(|a, b| a.notice == b.notice) {
        expiring(of_one_notice, options).write(&mut out, options);
    }
    for alert in states(options) {
        alert.write(&mut out, options);
    }
    out.push_str("  - name: connections_availability\n    interval: 5m\n    rules:\n");
    record(
        &mut out,
        "connection:availability:avg1d",
        "The share of the last day that the connection worked.",
        "avg_over_time(connection:valid[1d])",
    );
    record(
        &mut out,
        "connection:availability:avg30d",
        "The same for 30 days, as the mean of the days.",
        "avg_over_time(connection:availability:avg1d[30d])",
    );
    out.push_str("  - name: token_exporter\n    rules:\n");
    for alert in exporter() {
        alert.write(&mut out, options);
    }
    out
}

impl Alert<'_> {
    fn write(&self, out: &mut String, options: &Options) {
        let _ = writeln!(out, "      - alert: {}\n        expr: |-{}", self.name, indent(&self.expr, 10));
        if let Some(hold) = self.hold {
            let _ = writeln!(out, "        for: {hold}");
        }
        out.push_str("        labels:\n");
        for (name, value) in &self.labels {
            let _ = writeln!(out, "          {name}: {}", quoted(value));
        }
        if self.stops.is_some() {
            let texts = if self.expr.contains(TABLE) { TEXTS } else { &[] };
            for name in DROPPED.iter().chain(texts) {
                let _ = writeln!(out, "          {name}: \"\"");
            }
        }
        out.push_str("        annotations:\n");
        let mut annotation = |name: &str, text: &str| _ = writeln!(out, "          {name}: {}", quoted(text));
        annotation("summary", &self.summary);
        annotation("description", &self.description);
        annotation("advice", &self.advice);
        if let Some(stops) = &self.stops {
            annotation("stops", stops);
            annotation("name", "{{ $labels.name }}");
            annotation("reconnect_url", "{{ $labels.reconnect_url }}");
        }
        if let Some((deadline, left)) = &self.deadline {
            annotation("deadline", deadline);
            annotation("left", left);
        }
        annotation("runbook_url", &format!("{}{}.md", options.runbooks, self.name));
    }
}

/// As a string of YAML.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// As the lines of a block.
fn indent(text: &str, by: usize) -> String {
    text.lines().fold(String::new(), |mut out, line| {
        let _ = write!(out, "\n{:by$}{line}", "");
        out
    })
}

fn record(out: &mut String, name: &str, comment: &str, expr: &str) {
    let _ = writeln!(out, "      # {comment}\n      - record: {name}\n        expr: |-{}", indent(expr, 10));
}

/// What the alerts read: each account once, through outages of the exporter and of Prometheus,
/// whichever shard it is in.
fn recordings(out: &mut String, windows: &[Window], options: &Options) {
    record(
        out,
        "job:token_exporter_shards_unsettled",
        "How many shards are missing, or by how many they differ about how many there are; none when all is \
         well.",
        "max by (job) (token_exporter_total_shards)\n- count by (job) (count_values by (job) (\"ordinal\", \
         token_exporter_shard_ordinal))\n> 0\nor max by (job) (token_exporter_total_shards) - min by (job) \
         (token_exporter_total_shards) > 0",
    );
    record(
        out,
        "connection:info",
        "connection_info, once per account; through an outage, but not for an account that a living \
         exporter no longer has, unless shards are changing.",
        &format!(
            "(\n  connection_info\n  and topk by (account, network) (1, timestamp(connection_info))\n)\nor \
             on (account, network) (\n  topk by (account, network) (\n    1, \
             last_over_time(connection_info[{VALIDITY}]) unless on (job, instance) (\n      up == 1 unless \
             on (job) max_over_time(job:token_exporter_shards_unsettled[{SETTLED}])\n    )\n  )\n)"
        ),
    );
    record(
        out,
        "connection:latest_verdict",
        "connection_valid, once per account. Of several exporters the one holds that could tell last; of \
         the two reasons that can show after a restart of Prometheus, the newer.",
        "connection_valid\nand topk by (account, network) (\n  1, timestamp(connection_valid) unless on \
         (account, network, job, instance) (\n    connection_last_conclusive_probe_timestamp_seconds\n    < \
         on (account, network) group_left () max by (account, network) \
         (connection_last_conclusive_probe_timestamp_seconds)\n  )\n)",
    );
    record(
        out,
        "connection:verdict",
        "The same through outages and moves: an exporter that takes over a dead login, and knows less of \
         its past, does not rename what it died of.",
        &format!(
            "(\n  (connection:verdict == 0)\n  and on (account, network) \
             (connection:latest_verdict{{reason=~\"{AMBIGUOUS}\"}} == 0)\n  unless on (account, network, \
             job, instance) connection:latest_verdict\n)\nor on (account, network) \
             connection:latest_verdict\nor on (account, network) (\n  connection:verdict\n  and \
             last_over_time(connection_valid[{VALIDITY}])\n  and on (account, network) connection:info\n)"
        ),
    );
    record(
        out,
        "connection:valid",
        "The verdict without the reason: one series per account, whatever happens to it.",
        "max without (reason, job, instance) (connection:verdict)",
    );
    let latest = |metric: &str| format!("max by (account, network) (last_over_time({metric}[{VALIDITY}]))");
    record(
        out,
        "connection:capability_lost",
        "The needed capabilities that are gone: always 0. Carried on until somebody knows better.",
        "topk by (account, network, capability) (\n  1, max by (account, network, capability, reason) (\n    \
         connection_capability_available == 0 and on (account, network, job, instance) connection:latest_verdict\n  )\n)\n\
         or on (account, network, capability) (\n  connection:capability_lost\n  \
         unless on (account, network) connection_valid\n  and on (account, network) connection:info\n)",
    );
    record(
        out,
        "connection:state_change_timestamp_seconds",
        "Since when it is so. An exporter that finds an account as another one left it takes that for news; \
         here it is none.",
        &format!(
            "(connection:state_change_timestamp_seconds and on (account, network, reason) \
             connection:verdict)\nor on (account, network, reason) (\n  max by (account, network, reason) \
             (connection:verdict * 0 + 1)\n  * on (account, network) group_left () {}\n)",
            latest("connection_state_change_timestamp_seconds")
        ),
    );
    record(
        out,
        "connection:expiry_timestamp_seconds",
        "The deadline; none where the network now says that there is none.",
        &format!(
            "{}\nunless on (account, network) (token_has_expiry == 0)",
            latest("token_expiry_timestamp_seconds")
        ),
    );
    record(
        out,
        "connection:lifetime_seconds",
        "The token's own life, where it is known.",
        &format!("connection:expiry_timestamp_seconds\n- {}", latest("token_issued_timestamp_seconds")),
    );
    if windows.iter().any(Window::is_long) {
        record(
            out,
            "connection:long_known_timestamp_seconds",
            "The deadline, of who had it four days ago: as long as a notice stands.",
            &format!(
                "connection:expiry_timestamp_seconds\nand on (account, network) (\n  \
                 abs(connection:expiry_timestamp_seconds - \
                 last_over_time(connection:expiry_timestamp_seconds[{VALIDITY}] offset {})) < 300\n)",
                format_duration(Duration::from_secs(WIDEST))
            ),
        );
    }
    record(
        out,
        "connection:announced_timestamp_seconds",
        "The deadline, if it was known in time for a notice: a login that ends then is not lost.",
        &announced(windows, options),
    );
    record(
        out,
        "connection:invalid",
        "Who is invalid, with the reason.",
        "connection:info\n* on (account, network) group_left (reason) group by (account, network, reason) \
         (connection:verdict == 0)",
    );
    record(
        out,
        "connection:lost_timestamp_seconds",
        "Since when, for who was lost lately and not by an announced end.",
        &format!(
            "connection:invalid * on (account, network) group_left () \
             connection:state_change_timestamp_seconds\nand on (account, network) (time() - \
             connection:state_change_timestamp_seconds < {WIDEST})\nunless on (account, network) (\n  \
             connection:invalid{{reason=~\"{}\"}}\n  and on (account, network) (\n    \
             connection:state_change_timestamp_seconds - on (account, network) \
             connection:announced_timestamp_seconds > -300 < {WIDEST}\n  )\n)",
            ended()
        ),
    );
    let gone: Vec<String> = Capability::ALL
        .iter()
        .map(|capability| {
            format!(
                "connection:info * on (account, network) group_left (capability, reason) group by (account, \
                 network, capability, reason) (connection:capability_lost{{capability=\"{}\"}})",
                capability.label()
            )
        })
        .collect();
    record(
        out,
        "connection:degraded",
        "Who works in part only: a series for each capability that is gone.",
        &format!("(\n  {}\n)\nand on (account, network) (connection:valid == 1)", gone.join("\n  or ")),
    );
}

/// The deadlines that were known before they passed, or on their day where that is announced, by
/// accounts that get notices.
fn announced(windows: &[Window], options: &Options) -> String {
    let everyone: BTreeSet<_> = windows.iter().flat_map(|w| &w.matches).copied().collect();
    let day = windows.iter().find(|w| w.notice == Notice::Today);
    let shortest = windows.iter().map(Window::life).min().unwrap_or(DAY);
    let mut expr = "connection:expiry_timestamp_seconds > time()".to_owned();
    if let Some(day) = day {
        let _ = write!(
            expr,
            "\nor ({} and on (account, network) {})",
            on_its_day(options),
            selector(&day.matches)
        );
    }
    expr = format!("(\n  {}\n)", expr.replace('\n', "\n  "));
    let _ = write!(expr, "\nand on (account, network) {}", selector(&everyone));
    let _ = write!(expr, "\nunless on (account, network) (connection:lifetime_seconds < {shortest})");
    // Carried on, as long as the deadline stays the same.
    let _ = write!(
        expr,
        "\nor (\n  connection:expiry_timestamp_seconds\n  and on (account, network) (\n    \
         abs(last_over_time(connection:announced_timestamp_seconds[{VALIDITY}]) - \
         connection:expiry_timestamp_seconds) < 300\n  )\n)"
    );
    expr
}

/// Where the texts stand.
const TABLE: &str = "connection:advice";

/// What reasons mean and what to do: first what holds for all networks, then what a network says of
/// its own.
fn texts(out: &mut String) {
    let _ = writeln!(
        out,
        "      # What each reason means, who can fix it, and how; a network's own steps go before the \
         general ones."
    );
    let mut put = |network: Option<NetworkId>, reason: Reason, steps: &[&str]| {
        let network = network.map(|n| format!("network: \"{}\", ", n.name())).unwrap_or_default();
        let info = reason.info();
        let steps: Vec<String> =
            steps.iter().enumerate().map(|(i, step)| format!("{}. {step}", i + 1)).collect();
        let _ = writeln!(
            out,
            "      - record: {TABLE}\n        expr: vector(1)\n        labels: {{{network}reason: \
             \"{reason}\", meaning: {}, fixed_by: {}, advice: {}}}",
            quoted(info.meaning),
            quoted(info.fixed_by.text()),
            quoted(&steps.join("\n"))
        );
    };
    let invalid = || Reason::ALL.iter().copied().filter(|r| *r != Reason::Ok);
    for reason in invalid() {
        put(None, reason, reason.info().steps);
    }
    for network in NetworkId::all() {
        for reason in invalid().filter(|r| advice(*r, network) != r.info().steps) {
            put(Some(network), reason, advice(reason, network));
        }
    }
}

/// A vector with the texts for its labels `network` and `reason`; who has none, of a newer
/// exporter, say, stays. `identity`: the labels that tell its series apart.
fn explained(vector: &str, identity: &str) -> String {
    let texts = TEXTS.join(", ");
    format!(
        "{vector} * on (network, reason) group_left ({texts}) {TABLE}\nor on ({identity}) {vector} * on \
         (reason) group_left ({texts}) {TABLE}{{network=\"\"}}\nor on ({identity}) {vector}"
    )
}

/// What the label `meaning` says.
const MEANING: &str = "{{ or $labels.meaning \"The network no longer accepts the connection.\" }}";

/// Who is to do what, by the labels `fixed_by` and `advice`.
fn advising() -> String {
    format!(
        "{{{{ if $labels.advice }}}}To be done by {{{{ if and $labels.connected_by (eq $labels.fixed_by \
         {:?}) }}}}{{{{ $labels.connected_by }}}}, who connected the account{{{{ else }}}}{{{{ \
         $labels.fixed_by }}}}{{{{ end }}}}:\n{{{{ $labels.advice }}}}{{{{ else }}}}Log in at the network \
         itself, deal with any notice that it shows, and reconnect the account.{{{{ end }}}}",
        FixedBy::Connector.text()
    )
}

/// What stops for an account: all that it needs. Where that is not known, all that there is.
fn stops() -> String {
    let listed = |capability: &Capability| {
        format!(
            "{{{{ range $needs }}}}{{{{ if eq .Labels.capability {:?} }}}}{{{{ $comma }}}}{}{{{{ $comma = \
             \", \" }}}}{{{{ end }}}}{{{{ end }}}}",
            capability.label(),
            capability.stops()
        )
    };
    let all: Vec<&str> = Capability::ALL.iter().map(|c| c.stops()).collect();
    format!(
        "{{{{ $needs := query (printf \"group by (capability) \
         (last_over_time(connection_capability_available{{account=%q,network=%q}}[{VALIDITY}]))\" \
         $labels.account $labels.network) }}}}{{{{ $comma := \"\" }}}}{}{{{{ if not $needs }}}}{}{{{{ end \
         }}}}",
        Capability::ALL.iter().map(listed).collect::<String>(),
        all.join(", ")
    )
}

/// The label `capability`, in words.
fn stopped() -> String {
    Capability::ALL
        .iter()
        .map(|c| format!("{{{{ if eq $labels.capability {:?} }}}}{}{{{{ end }}}}", c.label(), c.stops()))
        .collect()
}

/// The value of an alert as a date and time where the recipients are.
fn date(options: &Options) -> String {
    let offset = options.utc_offset;
    let moved = if offset == 0 {
        "(toTime $value)".to_owned()
    } else {
        format!("((toTime $value).Add {offset}000000000)")
    };
    let sign = if offset < 0 { '-' } else { '+' };
    let zone = match offset.unsigned_abs() {
        0 => String::new(),
        seconds => format!("{sign}{:02}:{:02}", seconds / 3600, seconds % 3600 / 60),
    };
    format!("{{{{ {moved}.Format \"Monday 2 January 2006, 15:04\" }}}} UTC{zone}")
}

/// How far away the value of an alert is, in round words.
const LEFT: &str = "{{ $left := query (printf \"%f - time()\" $value) | first | value }}{{ if lt $left 0.0 \
                    }}passed{{ else if lt $left 120.0 }}a moment left{{ else if lt $left 7200.0 }}{{ query \
                    (printf \"(%f - time()) / 60\" $value) | first | value | printf \"%.0f\" }} minutes \
                    left{{ else if lt $left 64800.0 }}{{ query (printf \"(%f - time()) / 3600\" $value) | \
                    first | value | printf \"%.0f\" }} hours left{{ else if lt $left 129600.0 }}1 day \
                    left{{ else }}{{ query (printf \"(%f - time()) / 86400\" $value) | first | value | \
                    printf \"%.0f\" }} days left{{ end }}";

const IN_TIME: &str = "To be done by {{ with $labels.connected_by }}{{ . }}, who connected the account{{ \
                       else }}the person who connected the account{{ end }}:\n1. Reconnect the account \
                       before the deadline. Reconnecting ahead of time loses nothing and refreshes the \
                       permissions.\n2. If that person is leaving, let their successor connect it.\n3. Do \
                       not delete the account: planned posts would go with it.";

/// The accounts that a window is for.
fn selector(matches: &BTreeSet<(usize, Use)>) -> String {
    let all: BTreeSet<usize> = NetworkId::all().map(NetworkId::index).collect();
    let mut by_networks: BTreeMap<BTreeSet<usize>, Vec<&str>> = BTreeMap::new();
    for purpose in Use::ALL {
        let networks: BTreeSet<usize> =
            matches.iter().filter(|(_, u)| u == purpose).map(|(n, _)| *n).collect();
        if !networks.is_empty() {
            by_networks.entry(networks).or_default().push(purpose.label());
        }
    }
    let names = |set: &BTreeSet<usize>| {
        let names: Vec<&str> =
            NetworkId::all().filter(|n| set.contains(&n.index())).map(NetworkId::name).collect();
        names.join("|")
    };
    let mut parts: Vec<String> = by_networks
        .iter()
        .map(|(networks, uses)| {
            let mut matchers = Vec::new();
            let others: BTreeSet<usize> = all.difference(networks).copied().collect();
            if networks.len() <= others.len() {
                matchers.push(format!("network=~\"{}\"", names(networks)));
            } else if !others.is_empty() {
                matchers.push(format!("network!~\"{}\"", names(&others)));
            }
            if uses.len() < Use::ALL.len() {
                matchers.push(format!("use=~\"{}\"", uses.join("|")));
            }
            if matchers.is_empty() {
                "connection:info".to_owned()
            } else {
                format!("connection:info{{{}}}", matchers.join(","))
            }
        })
        .collect();
    parts.sort();
    if parts.len() == 1 { parts.concat() } else { format!("({})", parts.join(" or ")) }
}

/// The calendar day's first instant.
fn midnight(options: &Options) -> String {
    match options.utc_offset {
        0 => format!("time() - time() % {DAY}"),
        offset => {
            format!("time() - (time() {} {}) % {DAY}", if offset < 0 { '-' } else { '+' }, offset.abs())
        }
    }
}

/// Deadlines on this calendar day.
fn on_its_day(options: &Options) -> String {
    let midnight = midnight(options);
    format!("connection:expiry_timestamp_seconds >= {midnight} < {midnight} + {DAY}")
}

/// Whose deadline lies in a window.
fn inside(window: &Window, options: &Options) -> String {
    let today = format!("({})", on_its_day(options));
    let inside = match window.notice {
        Notice::Today => today.clone(),
        Notice::Before(before) => {
            let until = if window.until == 0 { String::new() } else { format!(" + {}", window.until) };
            format!("(connection:expiry_timestamp_seconds > time(){until} <= time() + {})", before.as_secs())
        }
    };
    let mut expr = format!(
        "{}\n* on (account, network) group_left () (\n  {inside}\n  unless on (account, network) \
         connection:invalid{{reason!~\"{}\"}}\n  unless on (account, network) (connection:lifetime_seconds \
         < {})",
        selector(&window.matches),
        ended(),
        window.life()
    );
    if window.is_long() {
        // After its first days it is for those alone who were not there before.
        let _ = write!(
            expr,
            "\n  unless on (account, network) (connection:long_known_timestamp_seconds <= time() + {})",
            window.from().saturating_sub(WIDEST)
        );
    }
    if window.before_today {
        // Who was added on the very day gets that day's notice alone.
        let _ = write!(
            expr,
            "\n  unless on (account, network) (\n    {today}\n    unless on (account, network) \
             last_over_time(connection:expiry_timestamp_seconds[{VALIDITY}] offset 1d)\n  )"
        );
    }
    expr.push_str("\n)");
    expr
}

/// The alert for one notice of the schedule.
fn expiring(windows: &[Window], options: &Options) -> Alert<'static> {
    let notice = windows.first().map_or(Notice::Today, |w| w.notice);
    let severity = windows.first().map_or("critical", Window::severity);
    let expr: Vec<String> = windows.iter().map(|w| inside(w, options)).collect();
    let date = date(options);
    let when = if notice == Notice::Today { "today," } else { "by" };
    Alert {
        name: "ConnectionExpiring",
        expr: expr.join("\nor "),
        hold: None,
        labels: vec![("severity", severity.to_owned()), ("notice", notice.label())],
        summary: format!(
            "{{{{ $labels.name }}}} ({{{{ $labels.network }}}}) must be reconnected {when} {date}"
        ),
        description: format!(
            "The permission to use {{{{ $labels.name }}}} ({{{{ $labels.network }}}}) ends on {date}."
        ),
        advice: IN_TIME.to_owned(),
        stops: Some(stops()),
        deadline: Some((date, LEFT)),
    }
}

/// The alerts about what has happened to a connection.
fn states(options: &Options) -> Vec<Alert<'static>> {
    let alert = |name: &'static str, severity: &str, summary: &str| Alert {
        name,
        expr: String::new(),
        hold: None,
        labels: vec![("severity", severity.to_owned())],
        summary: format!("{{{{ $labels.name }}}} ({{{{ $labels.network }}}}) {summary}"),
        description: MEANING.to_owned(),
        advice: advising(),
        stops: Some(stops()),
        deadline: None,
    };
    let disconnected = "is disconnected: {{ $labels.reason }}";
    let in_part = "works in part: no {{ $labels.capability }} ({{ $labels.reason }})";
    let degraded = || Alert { stops: Some(stopped()), ..alert("ConnectionDegraded", "warning", in_part) };
    // News stand for no longer than any other alert that is mailed.
    let old = format!(
        "on (account, network, capability) (last_over_time(connection_capability_available[{VALIDITY}] \
         offset {}) == 0)",
        format_duration(Duration::from_secs(WIDEST))
    );
    let gone = explained("connection:degraded", "account, network, capability");
    let latest = |metric: &str| format!("max by (account, network) (last_over_time({metric}[{VALIDITY}]))");
    vec![
        Alert {
            expr: explained("connection:invalid", "account, network"),
            ..alert("ConnectionInvalid", "critical", disconnected)
        },
        Alert {
            expr: explained("connection:lost_timestamp_seconds", "account, network"),
            labels: vec![
                ("severity", "warning".to_owned()),
                ("since", "{{ $value | humanizeTimestamp }}".to_owned()),
            ],
            ..alert("ConnectionLost", "warning", disconnected)
        },
        Alert {
            expr: format!("(\n  {}\n)\nunless {old}", gone.replace('\n', "\n  ")),
            labels: vec![("severity", "warning".to_owned()), ("news", "yes".to_owned())],
            ..degraded()
        },
        Alert { expr: format!("(\n  {}\n)\nand {old}", gone.replace('\n', "\n  ")), ..degraded() },
        Alert {
            // Neither is a probe conclusive, nor are there probes; how often there are some is the account's
            // own matter.
            expr: format!(
                "connection:info\nunless on (account, network) (\n  {} == 1\n  and time() - {} <= {}\n)",
                latest("connection_probe_success"),
                latest("connection_last_probe_timestamp_seconds"),
                options.longest_gap.as_secs()
            ),
            hold: Some("1d"),
            description: "No probe of {{ $labels.name }} ({{ $labels.network }}) could tell for a day \
                          whether it works. The last verdict stands, but it is old."
                .to_owned(),
            advice: "To be done by the operator: see the cause in token_exporter_probe_failures_total and \
                     on the way out to the network."
                .to_owned(),
            stops: Some("nothing that is known".to_owned()),
            ..alert("ConnectionUnverified", "warning", "could not be verified for long")
        },
        Alert {
            expr: "connection:info\nand on (account, network) (connection:valid == 1)\nand on (account, \
                   network) (min_over_time(connection:valid[1d]) == 0)"
                .to_owned(),
            description: "{{ $labels.name }} ({{ $labels.network }}) was disconnected within the last day \
                          and works again."
                .to_owned(),
            advice: "Nothing needs to be done. Posts that failed meanwhile may have to be sent again."
                .to_owned(),
            stops: Some("nothing any more".to_owned()),
            ..alert("ConnectionReconnected", "info", "is connected again")
        },
    ]
}

/// The alerts about the exporter itself: one each, however many accounts it watches.
fn exporter() -> Vec<Alert<'static>> {
    let alert = |name, severity: &str, expr: &str, hold, summary, description: &str, advice: &str| Alert {
        name,
        expr: expr.to_owned(),
        hold: Some(hold),
        labels: vec![("severity", severity.to_owned())],
        summary: str::to_owned(summary),
        description: description.to_owned(),
        advice: advice.to_owned(),
        stops: None,
        deadline: None,
    };
    vec![
        alert(
            "TokenExporterAppUnhealthy",
            "critical",
            "min by (app, network) (token_exporter_app_healthy) == 0",
            "5m",
            "The developer app {{ $labels.app }} ({{ $labels.network }}) is refused",
            "The network refuses the app itself, so nothing can be told about its connections. Their last \
             verdicts stand.",
            "To be done by the operator: check the app's id, secret, status and quota at the network. \
             Nobody needs to reconnect.",
        ),
        alert(
            "TokenExporterDown",
            "critical",
            "(up == 0 and on (job, instance) last_over_time(token_exporter_build_info[7d]))\nor on () \
             (absent(token_exporter_build_info) * 0)",
            "10m",
            "token_exporter{{ with $labels.instance }} at {{ . }}{{ end }} cannot be scraped",
            "Prometheus gets no metrics. Verdicts are carried on for 6 hours; notices still come.",
            "To be done by the operator: see whether the process runs and whether Prometheus reaches it.",
        ),
        alert(
            "TokenExporterReloadFailed",
            "warning",
            "token_exporter_config_last_reload_successful == 0",
            "5m",
            "token_exporter at {{ $labels.instance }} runs with an old configuration",
            "The configuration has changed and cannot be loaded; the previous one stays in force.",
            "To be done by the operator: token_exporter --config.check tells every problem with its line \
             and column.",
        ),
        alert(
            "TokenExporterShardMissing",
            "critical",
            "job:token_exporter_shards_unsettled > 0",
            "10m",
            "Shards of token_exporter are missing, or do not agree how many there are",
            "The accounts of a missing shard are not watched; where shards differ about --total-shards, \
             some accounts are watched by none or by two.",
            "To be done by the operator: start every shard from 0 to --total-shards minus 1 with the same \
             --total-shards, and let Prometheus scrape each.",
        ),
    ]
}
