//! The Prometheus rules. Only functions of Prometheus 2.42.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{DAY, WIDEST, Window, evaluation, windows};
use crate::config::{Notice, ScheduleRule};
use crate::network::NetworkId;
use crate::reason::{Capability, Reason, Use, advice};
use crate::time::format_duration;

/// What the rules depend on besides the schedule.
#[derive(Clone, Debug)]
pub struct Options {
    /// Seconds east of UTC of the calendar that `today` goes by.
    pub utc_offset: i64,
    /// Where the runbooks are: their names are put behind it.
    pub runbooks: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { utc_offset: 0, runbooks: "docs/runbooks/".to_owned() }
    }
}

/// An outage up to this long changes nothing.
const VALIDITY: &str = "6h";

/// What vanished while shards were missing, or did not agree how many there are, is not taken for removed until so long after.
const SETTLED: &str = "15m";

/// What an ambiguous refusal is called, by what is known of the token's end.
const AMBIGUOUS: &str = "token_invalid|token_expired|access_revoked";

/// Labels that would make a new alert of an old one when an account is renamed or moves between exporters.
const DROPPED: &[&str] = &["name", "external_id", "app", "reconnect_url", "job", "instance"];

const INVALID_SUMMARY: &str = "{{ $labels.name }} ({{ $labels.network }}) is disconnected: {{ $labels.reason }}";

/// One alert.
struct Alert<'a> {
    name: &'a str,
    expr: String,
    hold: Option<&'a str>,
    labels: Vec<(&'a str, String)>,
    /// Whether it is about one connection.
    connection: bool,
    summary: &'a str,
    /// As it stands in YAML.
    description: String,
    /// As it stands in YAML.
    advice: String,
}

/// The whole rules file.
pub fn rules(schedule: &[ScheduleRule], options: &Options) -> String {
    let mut out = String::from(
        "# Made by `token_exporter generate rules`; change the schedule in the configuration, not this file.\n\
         # Needs Prometheus 2.42 or later.\ngroups:\n  - name: connections\n",
    );
    let _ = writeln!(out, "    interval: {}\n    rules:", format_duration(evaluation(schedule)));
    recordings(&mut out);
    let mut advised = false;
    for window in windows(schedule) {
        let label = window.notice.label();
        let (summary, description) = expiring_texts(window.notice);
        let advice = if advised { "*reconnect_in_time".to_owned() } else { format!("&reconnect_in_time |-{}", indent(IN_TIME, 12)) };
        advised = true;
        Alert {
            name: "ConnectionExpiring",
            expr: expiring(&window, options),
            hold: None,
            labels: vec![("severity", window.severity().to_owned()), ("notice", label)],
            connection: true,
            summary,
            description: quoted(description),
            advice,
        }
        .write(&mut out, options);
    }
    for alert in states() {
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
        if self.connection {
            for name in DROPPED {
                let _ = writeln!(out, "          {name}: \"\"");
            }
        }
        out.push_str("        annotations:\n");
        let _ = writeln!(out, "          summary: {}", quoted(self.summary));
        let _ = writeln!(out, "          description: {}", self.description);
        let _ = writeln!(out, "          advice: {}", self.advice);
        if self.connection {
            out.push_str("          name: \"{{ $labels.name }}\"\n          reconnect_url: \"{{ $labels.reconnect_url }}\"\n");
        }
        let _ = writeln!(out, "          runbook_url: {}", quoted(&format!("{}{}.md", options.runbooks, self.name)));
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

/// What the alerts read: each account once, through outages of the exporter and of Prometheus, whichever shard it is in.
fn recordings(out: &mut String) {
    record(
        out,
        "job:token_exporter_shards_unsettled",
        "How many shards are missing, or by how many they differ about how many there are; none when all is well.",
        "max by (job) (token_exporter_total_shards)\n\
         - count by (job) (count_values by (job) (\"ordinal\", token_exporter_shard_ordinal))\n> 0\n\
         or max by (job) (token_exporter_total_shards) - min by (job) (token_exporter_total_shards) > 0",
    );
    record(
        out,
        "connection:info",
        "connection_info, once per account; through an outage, but not for an account that a living exporter no longer has, unless shards are changing.",
        &format!(
            "(\n  connection_info\n  and topk by (account, network) (1, timestamp(connection_info))\n)\n\
             or on (account, network) (\n  topk by (account, network) (\n    1, last_over_time(connection_info[{VALIDITY}]) unless on (job, instance) (\n      \
             up == 1 unless on (job) max_over_time(job:token_exporter_shards_unsettled[{SETTLED}])\n    )\n  )\n)"
        ),
    );
    record(
        out,
        "connection:latest_verdict",
        "connection_valid, once per account. Of several exporters the one holds that could tell last; of the two reasons that can show after a restart of Prometheus, the newer.",
        "connection_valid\nand topk by (account, network) (\n  1, timestamp(connection_valid) unless on (account, network, job, instance) (\n    \
         connection_last_conclusive_probe_timestamp_seconds\n    \
         < on (account, network) group_left () max by (account, network) (connection_last_conclusive_probe_timestamp_seconds)\n  )\n)",
    );
    record(
        out,
        "connection:verdict",
        "The same through outages and moves: an exporter that takes over a dead login, and knows less of its past, does not rename what it died of.",
        &format!(
            "(\n  (connection:verdict == 0)\n  \
             and on (account, network) (connection:latest_verdict{{reason=~\"{AMBIGUOUS}\"}} == 0)\n  \
             unless on (account, network, job, instance) connection:latest_verdict\n)\n\
             or on (account, network) connection:latest_verdict\n\
             or on (account, network) (\n  connection:verdict\n  and last_over_time(connection_valid[{VALIDITY}])\n  \
             and on (account, network) connection:info\n)"
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
        "Since when it is so. An exporter that finds an account as another one left it takes that for news; here it is none.",
        &format!(
            "(connection:state_change_timestamp_seconds and on (account, network, reason) connection:verdict)\n\
             or on (account, network, reason) (\n  \
             max by (account, network, reason) (connection:verdict * 0 + 1)\n  * on (account, network) group_left () {}\n)",
            latest("connection_state_change_timestamp_seconds")
        ),
    );
    record(
        out,
        "connection:expiry_timestamp_seconds",
        "The deadline; none where the network now says that there is none.",
        &format!("{}\nunless on (account, network) (token_has_expiry == 0)", latest("token_expiry_timestamp_seconds")),
    );
    record(
        out,
        "connection:lifetime_seconds",
        "The token's own life, where it is known.",
        &format!("connection:expiry_timestamp_seconds\n- {}", latest("token_issued_timestamp_seconds")),
    );
}

const IN_TIME: &str = "To be done by the person who connected the account:\n\
    1. Reconnect the account before the deadline. Reconnecting ahead of time loses nothing and refreshes the permissions.\n\
    2. If that person is leaving, let their successor connect it.\n\
    3. Do not delete the account: planned posts would go with it.";

fn expiring_texts(notice: Notice) -> (&'static str, &'static str) {
    match notice {
        Notice::Today => (
            "{{ $labels.name }} ({{ $labels.network }}) must be reconnected today",
            "The permission to use {{ $labels.name }} ({{ $labels.network }}) ends today, at {{ $value | humanizeTimestamp }}. \
             After that nothing that needs it works: publishing, inbox, analytics, ads.",
        ),
        Notice::Before(_) => (
            "{{ $labels.name }} ({{ $labels.network }}) must be reconnected by {{ $value | humanizeTimestamp }}",
            "The permission to use {{ $labels.name }} ({{ $labels.network }}) ends at {{ $value | humanizeTimestamp }}. \
             After that nothing that needs it works: publishing, inbox, analytics, ads.",
        ),
    }
}

/// The accounts that a window is for.
fn selector(matches: &BTreeSet<(usize, Use)>) -> String {
    let all: BTreeSet<usize> = NetworkId::all().map(NetworkId::index).collect();
    let mut by_networks: BTreeMap<BTreeSet<usize>, Vec<&str>> = BTreeMap::new();
    for purpose in Use::ALL {
        let networks: BTreeSet<usize> = matches.iter().filter(|(_, u)| u == purpose).map(|(n, _)| *n).collect();
        if !networks.is_empty() {
            by_networks.entry(networks).or_default().push(purpose.label());
        }
    }
    let names = |set: &BTreeSet<usize>| {
        let names: Vec<&str> = NetworkId::all().filter(|n| set.contains(&n.index())).map(NetworkId::name).collect();
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
            if matchers.is_empty() { "connection:info".to_owned() } else { format!("connection:info{{{}}}", matchers.join(",")) }
        })
        .collect();
    parts.sort();
    if parts.len() == 1 { parts.concat() } else { format!("({})", parts.join(" or ")) }
}

fn expiring(window: &Window, options: &Options) -> String {
    let since_midnight = match options.utc_offset {
        0 => format!("time() % {DAY}"),
        offset => format!("(time() {} {}) % {DAY}", if offset < 0 { '-' } else { '+' }, offset.abs()),
    };
    let midnight = format!("time() - {since_midnight}");
    let today = format!("(connection:expiry_timestamp_seconds >= {midnight} < {midnight} + {DAY})");
    let (inside, life) = match window.notice {
        Notice::Today => (today.clone(), DAY),
        Notice::Before(before) => {
            let begin = before.as_secs();
            (format!("(connection:expiry_timestamp_seconds > time() + {} <= time() + {begin})", window.until), begin)
        }
    };
    let mut expr = format!(
        "{}\n* on (account, network) group_left () (\n  {inside}\n  \
         unless on (account, network) (connection:verdict{{reason!=\"token_expired\"}} == 0)\n  \
         unless on (account, network) (connection:lifetime_seconds < {life})",
        selector(&window.matches)
    );
    if window.before_today {
        // Who was added on the very day gets that day's notice alone.
        let _ = write!(
            expr,
            "\n  unless on (account, network) (\n    {today}\n    \
             unless on (account, network) last_over_time(connection:expiry_timestamp_seconds[{VALIDITY}] offset 1d)\n  )"
        );
    }
    expr.push_str("\n)");
    expr
}

/// The alerts about what has happened to a connection.
fn states() -> Vec<Alert<'static>> {
    let invalid = "max by (account, network, reason) (connection:verdict == 0)";
    let lost = format!(
        "connection:info\n* on (account, network) group_left () connection:state_change_timestamp_seconds\n\
         * on (account, network) group_left (reason) (\n  1 + {invalid}\n  \
         and on (account, network) (time() - connection:state_change_timestamp_seconds < {WIDEST})\n  \
         unless on (account, network) (\n    connection:verdict{{reason=\"token_expired\"}} == 0\n    \
         and on (account, network) (\n      connection:state_change_timestamp_seconds - on (account, network) connection:expiry_timestamp_seconds > -300 < {DAY}\n    )\n  )\n)"
    );
    let gone: Vec<String> = Capability::ALL
        .iter()
        .map(|capability| {
            format!(
                "connection:info * on (account, network) group_left (capability, reason) \
                 connection:capability_lost{{capability=\"{}\"}}",
                capability.label()
            )
        })
        .collect();
    let gone = format!("(\n  {}\n)\nand on (account, network) (connection:valid == 1)", gone.join("\n  or "));
    let before = format!("on (account, network, capability) (last_over_time(connection_capability_available[{VALIDITY}] offset 4d) == 0)");
    let degraded_summary = "{{ $labels.name }} ({{ $labels.network }}) works in part: no {{ $labels.capability }} ({{ $labels.reason }})";
    let alert = |name: &'static str, severity: &str| Alert {
        name,
        expr: String::new(),
        hold: None,
        labels: vec![("severity", severity.to_owned())],
        connection: true,
        summary: INVALID_SUMMARY,
        description: "*meaning".to_owned(),
        advice: "*advice".to_owned(),
    };
    let meaning = format!("&meaning |-{}", indent(&meanings(), 12));
    vec![
        Alert {
            expr: format!("connection:info\n* on (account, network) group_left (reason) {invalid}"),
            advice: format!("&advice |-{}", indent(&advices(), 12)),
            description: meaning,
            ..alert("ConnectionInvalid", "critical")
        },
        Alert {
            expr: lost,
            labels: vec![("severity", "warning".to_owned()), ("since", "{{ $value | humanizeTimestamp }}".to_owned())],
            ..alert("ConnectionLost", "warning")
        },
        Alert {
            expr: format!("{gone}\nunless {before}"),
            labels: vec![("severity", "warning".to_owned()), ("news", "yes".to_owned())],
            summary: degraded_summary,
            ..alert("ConnectionDegraded", "warning")
        },
        Alert { expr: format!("{gone}\nand {before}"), summary: degraded_summary, ..alert("ConnectionDegraded", "warning") },
        Alert {
            expr: format!(
                "connection:info\nunless on (account, network) (\n  time() - max by (account, network) \
                 (last_over_time(connection_last_conclusive_probe_timestamp_seconds[{VALIDITY}])) < {}\n)",
                DAY / 2
            ),
            hold: Some("12h"),
            summary: "{{ $labels.name }} ({{ $labels.network }}) could not be verified for long",
            description: quoted(
                "No probe of {{ $labels.name }} ({{ $labels.network }}) could tell whether it works. The last verdict stands, but it is old.",
            ),
            advice: quoted(
                "To be done by the operator: see the cause in token_exporter_probe_failures_total and on the way out to the network.",
            ),
            ..alert("ConnectionUnverified", "warning")
        },
        Alert {
            expr: "connection:info\nand on (account, network) (connection:valid == 1)\n\
                   and on (account, network) (min_over_time(connection:valid[1d]) == 0)"
                .to_owned(),
            summary: "{{ $labels.name }} ({{ $labels.network }}) is connected again",
            description: quoted("{{ $labels.name }} ({{ $labels.network }}) was disconnected within the last day and works again."),
            advice: quoted("Nothing needs to be done. Posts that failed meanwhile may have to be sent again."),
            ..alert("ConnectionReconnected", "info")
        },
    ]
}

/// A chain that ends with the general case.
fn chain(cases: impl Iterator<Item = (String, String)>, otherwise: &str) -> String {
    let mut text = String::new();
    for (i, (condition, case)) in cases.enumerate() {
        let _ = write!(text, "{{{{- {}if {condition} -}}}}\n{case}\n", if i == 0 { "" } else { "else " });
    }
    text + &format!("{{{{- else -}}}}\n{otherwise}\n{{{{- end }}}}")
}

/// The meaning of the label `reason`.
fn meanings() -> String {
    let cases = Reason::ALL
        .iter()
        .filter(|r| **r != Reason::Ok)
        .map(|r| (format!("eq $labels.reason {:?}", r.info().label), r.info().meaning.to_owned()));
    chain(cases, "The network no longer accepts the connection.")
        + " {{ if $labels.capability }}Meanwhile {{ $labels.capability }} does not work for it; the rest does."
        + "{{ else }}Meanwhile nothing that needs it works: publishing, inbox, analytics, ads.{{ end }}"
}

/// What to do about the labels `network` and `reason`: first what networks say of their own, then what holds for all.
fn advices() -> String {
    let steps = |reason: Reason, steps: &[&str]| {
        let mut text = format!("To be done by {}:", reason.info().fixed_by.text());
        for (i, step) in steps.iter().enumerate() {
            let _ = write!(text, "\n{}. {step}", i + 1);
        }
        text
    };
    let invalid = || Reason::ALL.iter().copied().filter(|r| *r != Reason::Ok);
    let special = NetworkId::all().flat_map(|network| {
        invalid().filter(move |r| advice(*r, network) != r.info().steps).map(move |r| {
            let condition = format!("and (eq $labels.network {:?}) (eq $labels.reason {:?})", network.name(), r.info().label);
            (condition, steps(r, advice(r, network)))
        })
    });
    let general = invalid().map(|r| (format!("eq $labels.reason {:?}", r.info().label), steps(r, r.info().steps)));
    chain(special.chain(general), "Log in at the network itself, deal with any notice that it shows, and reconnect the account.")
}

/// The alerts about the exporter itself: one each, however many accounts it watches.
fn exporter() -> Vec<Alert<'static>> {
    let alert = |name, severity: &str, expr: &str, hold, summary, description: &str, advice: &str| Alert {
        name,
        expr: expr.to_owned(),
        hold: Some(hold),
        labels: vec![("severity", severity.to_owned())],
        connection: false,
        summary,
        description: quoted(description),
        advice: quoted(advice),
    };
    vec![
        alert(
            "TokenExporterAppUnhealthy",
            "critical",
            "min by (app, network) (token_exporter_app_healthy) == 0",
            "5m",
            "The developer app {{ $labels.app }} ({{ $labels.network }}) is refused",
            "The network refuses the app itself, so nothing can be told about its connections. Their last verdicts stand.",
            "To be done by the operator: check the app's id, secret, status and quota at the network. Nobody needs to reconnect.",
        ),
        alert(
            "TokenExporterDown",
            "critical",
            "(up == 0 and on (job, instance) last_over_time(token_exporter_build_info[7d]))\n\
             or on () (absent(token_exporter_build_info) * 0)",
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
            "To be done by the operator: token_exporter --config.check tells every problem with its line and column.",
        ),
        alert(
            "TokenExporterShardMissing",
            "critical",
            "job:token_exporter_shards_unsettled > 0",
            "10m",
            "Shards of token_exporter are missing, or do not agree how many there are",
            "The accounts of a missing shard are not watched; where shards differ about --total-shards, some accounts are watched by none or by two.",
            "To be done by the operator: start every shard from 0 to --total-shards minus 1 with the same --total-shards, and let Prometheus scrape each.",
        ),
    ]
}
