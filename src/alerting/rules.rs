//! The Prometheus rules. They use only functions of Prometheus 2.42.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::moments::{self, now};
use super::schedule::{Accounts, DAY, EXPIRED, LONGEST, Window, evaluation_interval, moment, windows};
use super::template::fill;
use super::times::{day_record, down_for, on_this_day, readable, zoned};
use crate::config::{Config, Notice, ScheduleRule};
use crate::model::{AppProblem, Capability, FixedBy, Reason, Use, format_duration};
use crate::network::{NetworkId, advice};

const RULES: &str = include_str!("templates/connections.rules.yml.tmpl");
const ADVICE: &str = include_str!("templates/advice.rules.yml.tmpl");
const EXPIRING: &str = include_str!("templates/expiring.rules.yml.tmpl");
const LONG_KNOWN: &str = include_str!("templates/long_known.rules.yml.tmpl");
const WINDOW: &str = include_str!("templates/window.promql.tmpl");

/// The labels that identify an account.
const IDENTITY: &str = "account, network";
/// The time zones of readers, also during an outage of the exporter.
const TIME_ZONE_OFFSET: &str = "connection_time_zone_offset_seconds\nor \
     last_over_time(connection_time_zone_offset_seconds[6h]) unless on (job, instance) up == 1";

/// What the rules depend on besides the schedule.
#[derive(Clone, Debug)]
pub struct Options {
    /// The offset from UTC, in seconds to the east, of people without a time zone.
    pub utc_offset: i64,
    /// The URL of the runbooks' folder, with its last slash.
    pub runbooks: String,
    /// The URL of the Grafana that has the dashboards; alerts have no link to one without it.
    pub grafana: Option<String>,
    /// The longest time between two probes of a connection in normal operation.
    pub longest_gap: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { utc_offset: 0, runbooks: RUNBOOKS.to_owned(), grafana: None, longest_gap: LONGEST_BACKOFF }
    }
}

/// The project's own runbooks.
pub const RUNBOOKS: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/runbooks/");

/// The longest time between two probes of an invalid token, unless its probe interval is longer.
const LONGEST_BACKOFF: Duration = Duration::from_secs(DAY);

/// How long before a planned use of an invalid connection there is an alert, in seconds.
const USED_SOON: u64 = DAY;
/// How long before the end of an API version there is a warning, in seconds.
const VERSION_ENDS_SOON: u64 = 60 * DAY;
/// How long before the end of an API version it is critical, in seconds.
const VERSION_ENDS_NOW: u64 = 14 * DAY;

/// The longest time between two probes of any connection of a configuration in normal operation.
pub fn longest_gap(config: &Config) -> Duration {
    let intervals = config.table.accounts().map(|a| a.interval(config.global.probe_interval));
    intervals.max().unwrap_or_default().max(LONGEST_BACKOFF)
}

pub fn rules(schedule: &[ScheduleRule], options: &Options) -> String {
    let windows = windows(schedule);
    let longest = format_duration(Duration::from_secs(LONGEST));
    let is_long = windows.iter().any(|(window, _)| window.is_long());
    let notified = windows.iter().flat_map(|(_, accounts)| accounts).copied().collect();
    let shortest_lifetime = windows.iter().map(|(w, _)| w.shortest_lifetime()).min().unwrap_or(DAY);
    let or_today = windows.iter().find(|(w, _)| w.notice == Notice::Today).map(|(_, accounts)| {
        format!("or ({} and on (account, network) {})", on_this_day(), selector(accounts))
    });
    let day = or_today.as_ref().map_or_else(String::new, |_| day_record(options));
    let capabilities = Capability::ALL.iter().map(|c| (c.label(), c.stops()));
    let problems = AppProblem::ALL.iter().map(|p| (p.label(), p.meaning()));
    fill(
        RULES,
        &[
            ("INTERVAL", &format_duration(evaluation_interval(schedule))),
            ("TIME_ZONE_OFFSET", TIME_ZONE_OFFSET),
            ("DAY", &day),
            ("MOMENTS", &moments::records(moment(schedule), evaluation_interval(schedule))),
            ("OR_SAME_LOSS", &moments::or_same_loss("connection:planned_use_mailed")),
            ("OR_SAME_URGENT_LOSS", &moments::or_same_loss("connection:urgent_loss")),
            ("ZONED_LOSS", &zoned(&now("connection:lost_timestamp_seconds"), IDENTITY)),
            ("ZONED_USE", &zoned(&now("connection:planned_use_at_risk_timestamp_seconds"), IDENTITY)),
            ("ZONED_RECOVERY", &zoned(&now("connection:recovered_timestamp_seconds"), IDENTITY)),
            ("ZONED_DEGRADED", &zoned(&now("connection:degraded"), "account, network, capability")),
            ("MOMENT_OF_LOSS", &moments::label("loss")),
            ("MOMENT_OF_RECOVERY", &moments::label("recovery")),
            ("SINCE", &escaped(&readable("$value", options))),
            ("DOWN_SINCE", &escaped(&readable("$labels.down_since", options))),
            ("DOWN_FOR", &escaped(&down_for())),
            ("LONG_KNOWN", &if is_long { fill(LONG_KNOWN, &[("LONGEST", &longest)]) } else { String::new() }),
            ("OR_TODAY", &or_today.unwrap_or_default()),
            ("NOTIFIED", &selector(&notified)),
            ("SHORTEST_LIFETIME", &shortest_lifetime.to_string()),
            ("LONGEST", &longest),
            ("LONGEST_SECONDS", &LONGEST.to_string()),
            ("LONGEST_GAP", &options.longest_gap.as_secs().to_string()),
            ("EXPIRED", &expired()),
            ("LOST_CAPABILITIES", &lost_capabilities()),
            ("ADVICE", &advice_records()),
            ("EXPIRING", &expiring(&windows, options)),
            ("TO_DO", &escaped(&to_do())),
            ("NEEDED_CAPABILITIES", &escaped(&needed_capabilities())),
            ("ALL_CAPABILITIES", &all_capabilities()),
            ("CAPABILITY", &escaped(&by_value("capability", capabilities))),
            ("APP_PROBLEM", &escaped(&by_value("problem", problems))),
            ("ACCOUNT_DASHBOARD", &dashboard(options, ACCOUNT_DASHBOARD)),
            ("EXPORTER_DASHBOARD", &dashboard(options, "token-exporter-exporter")),
            ("NEXT_USE", &escaped(&next_use(options))),
            ("USED_SOON", &USED_SOON.to_string()),
            ("VERSION_ENDS_SOON", &VERSION_ENDS_SOON.to_string()),
            ("VERSION_ENDS_NOW", &VERSION_ENDS_NOW.to_string()),
            ("RUNBOOKS", &escaped(&options.runbooks)),
        ],
    )
}

/// A text as the content of a YAML string with double quotes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The dashboard of the account of an alert.
const ACCOUNT_DASHBOARD: &str = "token-exporter-account?var-account={{ $labels.account | urlquery }}";

/// An annotation with the URL of a dashboard, if Grafana's is known.
fn dashboard(options: &Options, path: &str) -> String {
    let url = |grafana: &String| format!("{}/d/{path}", grafana.trim_end_matches('/'));
    options
        .grafana
        .as_ref()
        .map(url)
        .map_or_else(String::new, |url| format!("dashboard_url: \"{}\"", escaped(&url)))
}

/// [`EXPIRED`] as a regular expression.
fn expired() -> String {
    EXPIRED.map(Reason::label).join("|")
}

/// A series for each capability that an account has lost.
fn lost_capabilities() -> String {
    let lost: Vec<String> = Capability::ALL
        .iter()
        .map(|capability| {
            format!(
                "last_over_time(connection:info[500ms])\n* on (account, network) group_left (capability, \
                 reason)\ngroup by (account, network, capability, reason) (\n  \
                 last_over_time(connection:capability_lost{{capability=\"{}\"}}[500ms])\n)",
                capability.label()
            )
        })
        .collect();
    lost.join("\nor ")
}

/// What each reason means and what to do about it: for all networks, then for networks with steps
/// of their own.
fn advice_records() -> String {
    let reasons = || Reason::ALL.iter().copied().filter(|r| *r != Reason::Ok);
    let reader = |reason: Reason| reason.info().fixed_by.reader();
    let general = move |reason: Reason| reason.info().steps.read_by(reader(reason));
    let own = NetworkId::all().flat_map(|network| {
        let label = format!("network: \"{}\", ", network.name());
        reasons()
            .map(move |reason| (reason, advice(reason, network, reader(reason))))
            .filter(move |(reason, steps)| *steps != general(*reason))
            .map(move |(reason, steps)| advice_record(&label, reason, steps))
    });
    let general = reasons().map(|reason| advice_record("", reason, general(reason)));
    general.chain(own).collect()
}

fn advice_record(network: &str, reason: Reason, steps: &[&str]) -> String {
    let info = reason.info();
    let steps: Vec<String> = steps.iter().enumerate().map(|(i, step)| format!("{}. {step}", i + 1)).collect();
    fill(
        ADVICE,
        &[
            ("NETWORK", network),
            ("REASON", info.label),
            ("MEANING", &escaped(info.meaning)),
            ("FIXED_BY", &escaped(info.fixed_by.text())),
            ("STEPS", &escaped(&steps.join("\n"))),
        ],
    )
}

/// Who has to do what, by the labels `fixed_by` and `advice`.
fn to_do() -> String {
    format!(
        "{{{{ if $labels.advice }}}}To be done by {{{{ if and $labels.connected_by (eq $labels.fixed_by \
         \"{}\") }}}}{{{{ $labels.connected_by }}}}, who connected the account{{{{ else }}}}{{{{ \
         $labels.fixed_by }}}}{{{{ end }}}}:\n{{{{ $labels.advice }}}}{{{{ else }}}}Log in at the network \
         itself, deal with any notice that it shows, and reconnect the account.{{{{ end }}}}",
        FixedBy::Connector.text()
    )
}

/// The capabilities that an account needs, by the result `$needs` of a query.
fn needed_capabilities() -> String {
    let listed = |capability: &Capability| {
        format!(
            "{{{{ range $needs }}}}{{{{ if eq .Labels.capability \"{}\" }}}}{{{{ $comma }}}}{}{{{{ $comma = \
             \", \" }}}}{{{{ end }}}}{{{{ end }}}}",
            capability.label(),
            capability.stops()
        )
    };
    Capability::ALL.iter().map(listed).collect()
}

fn all_capabilities() -> String {
    Capability::ALL.iter().map(|c| c.stops()).collect::<Vec<_>>().join(", ")
}

/// The text that belongs to the value of a label.
fn by_value<'a>(label: &str, texts: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let text = |(value, text)| format!("{{{{ if eq $labels.{label} \"{value}\" }}}}{text}{{{{ end }}}}");
    texts.map(text).collect()
}

/// When the account is next used, if that is known.
fn next_use(options: &Options) -> String {
    format!(
        "{{{{ range query (printf \"last_over_time(connection:next_use_timestamp_seconds\
         {{account=%q,network=%q}}[500ms]) > time()\" $labels.account $labels.network) }}}}\
         {}{{{{ end }}}}",
        readable("(value .)", options)
    )
}

/// The alerts for the notices of the schedule, one for each notice.
fn expiring(windows: &[(Window, Accounts)], options: &Options) -> String {
    let deadline = escaped(&readable("$value", options));
    let alerts = windows.chunk_by(|(a, _), (b, _)| a.notice == b.notice).filter_map(|same| {
        let (first, _) = same.first()?;
        let exprs: Vec<String> =
            same.iter().map(|(window, accounts)| expiring_accounts(window, accounts)).collect();
        let record =
            format!("connection:notice_deadline_timestamp_seconds{{notice=\"{}\"}}", first.notice.label());
        Some(fill(
            EXPIRING,
            &[
                ("EXPR", &exprs.join("or ")),
                ("SEVERITY", first.severity()),
                ("NOTICE", &first.notice.label()),
                ("BY", if first.notice == Notice::Today { "today," } else { "by" }),
                ("ZONED", &zoned(&now(&record), IDENTITY)),
                ("DEADLINE", &deadline),
                ("NEXT_NOTICE", &escaped(&next_notice(same))),
                ("NEXT_USE", &escaped(&next_use(options))),
                ("NEEDED_CAPABILITIES", &escaped(&needed_capabilities())),
                ("ALL_CAPABILITIES", &all_capabilities()),
                ("RUNBOOKS", &escaped(&options.runbooks)),
                ("ACCOUNT_DASHBOARD", &dashboard(options, ACCOUNT_DASHBOARD)),
            ],
        ))
    });
    alerts.collect()
}

/// The notice that follows that of some windows, which differ in their accounts; "none" if none does.
fn next_notice(windows: &[(Window, Accounts)]) -> String {
    let mut following: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (window, accounts) in windows {
        let next = match window.until {
            0 if window.before_today => Notice::Today.label(),
            0 => "none".to_owned(),
            until => format_duration(Duration::from_secs(until)),
        };
        let of = NetworkId::all().flat_map(|network| {
            let uses =
                Use::ALL.iter().filter(move |purpose| accounts.contains(&(network.index(), **purpose)));
            uses.map(move |purpose| format!("{} {}", network.name(), purpose.label()))
        });
        following.entry(next).or_default().extend(of);
    }
    let mut following: Vec<(String, Vec<String>)> = following.into_iter().collect();
    following.sort_by_key(|(_, accounts)| accounts.len());
    let Some((most, _)) = following.pop() else { return String::new() };
    let of = "(printf \"%s %s\" $labels.network $labels.use)";
    following.iter().rev().fold(most, |otherwise, (next, accounts)| {
        let accounts = accounts.join("|");
        format!("{{{{ if match \"^({accounts})$\" {of} }}}}{next}{{{{ else }}}}{otherwise}{{{{ end }}}}")
    })
}

/// The accounts whose deadline lies in a window.
fn expiring_accounts(window: &Window, accounts: &Accounts) -> String {
    let today = on_this_day();
    let deadline = match (window.notice, window.until) {
        (Notice::Today, _) => today.clone(),
        (Notice::Before(_), 0) => {
            format!("connection:expiry_timestamp_seconds > time() <= time() + {}", window.from())
        }
        (Notice::Before(_), until) => {
            format!("connection:expiry_timestamp_seconds > time() + {until} <= time() + {}", window.from())
        }
    };
    // After its longest time an alert only fires for accounts that were not there when it began.
    let unless_long_known = format!(
        "unless on (account, network) (connection:long_known_timestamp_seconds <= time() + {})",
        window.from().saturating_sub(LONGEST)
    );
    // An account that is added on the day of its deadline gets only the notice of that day.
    let unless_new_today = format!(
        "unless on (account, network) (\n  ({today})\n  unless on (account, network) \
         last_over_time(connection:expiry_timestamp_seconds[6h] offset 1d)\n)"
    );
    fill(
        WINDOW,
        &[
            ("ACCOUNTS", &selector(accounts)),
            ("DEADLINE", &deadline),
            ("EXPIRED", &expired()),
            ("SHORTEST_LIFETIME", &window.shortest_lifetime().to_string()),
            ("UNLESS_LONG_KNOWN", if window.is_long() { &unless_long_known } else { "" }),
            ("UNLESS_NEW_TODAY", if window.before_today { &unless_new_today } else { "" }),
        ],
    )
}

fn selector(accounts: &Accounts) -> String {
    let all: BTreeSet<usize> = NetworkId::all().map(NetworkId::index).collect();
    let mut uses_by_networks: BTreeMap<BTreeSet<usize>, Vec<&str>> = BTreeMap::new();
    for purpose in Use::ALL {
        let networks: BTreeSet<usize> =
            accounts.iter().filter(|(_, u)| u == purpose).map(|(n, _)| *n).collect();
        if !networks.is_empty() {
            uses_by_networks.entry(networks).or_default().push(purpose.label());
        }
    }
    let names = |set: &BTreeSet<usize>| {
        let names: Vec<&str> =
            NetworkId::all().filter(|n| set.contains(&n.index())).map(NetworkId::name).collect();
        names.join("|")
    };
    let selectors: BTreeSet<String> = uses_by_networks
        .iter()
        .map(|(networks, uses)| {
            let others: BTreeSet<usize> = all.difference(networks).copied().collect();
            let mut matchers = Vec::new();
            if networks.len() <= others.len() {
                matchers.push(format!("network=~\"{}\"", names(networks)));
            } else if !others.is_empty() {
                matchers.push(format!("network!~\"{}\"", names(&others)));
            }
            if uses.len() < Use::ALL.len() {
                matchers.push(format!("use=~\"{}\"", uses.join("|")));
            }
            match matchers.as_slice() {
                [] => "last_over_time(connection:info[500ms])".to_owned(),
                matchers => format!("last_over_time(connection:info{{{}}}[500ms])", matchers.join(",")),
            }
        })
        .collect();
    let selectors: Vec<String> = selectors.into_iter().collect();
    if selectors.len() == 1 { selectors.concat() } else { format!("({})", selectors.join(" or ")) }
}
