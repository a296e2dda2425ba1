//! `check`: probes each account once and lists the worst first. The exit code tells scripts.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::{Serialize, Serializer};

use super::options::{ConfigOptions, LogOptions};
use super::{block_on, print, table_width, until_stopped};
use crate::api::{columns, paragraph};
use crate::config::{Config, Known, load_keeping};
use crate::inventory::AccountView;
use crate::model::{Reason, Timestamp, format_duration, stops};
use crate::network::{Certainty, Finding, Verdict};
use crate::report::{Classification, describe, steps};
use crate::scheduler::probe_everything;
use crate::source::ask_once;

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Ids or names of the accounts to probe; all if none is given
    accounts: Vec<String>,
    /// Ask this source only, show what it lists and what is wrong with it, and probe that
    #[arg(long, value_name = "ID", conflicts_with = "accounts")]
    source: Option<String>,
    /// Print all steps and the network's answer, as for accounts that are named
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    config: ConfigOptions,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: Output,
    #[command(flatten)]
    log: LogOptions,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// For people
    Table,
    /// For programs
    Json,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        self.log.start();
        let mut config = match &self.source {
            // What is wrong with other sources does not matter.
            Some(_) => load_keeping(&self.config.files, Known::Stored(None))?,
            None => self.config.load()?,
        };
        if let Some(id) = &self.source {
            let known: Vec<&str> = config.sources.iter().map(|source| source.id.as_str()).collect();
            anyhow::ensure!(known.contains(&&**id), "no such source in the configuration: {id}");
            config.sources.retain(|source| source.id == *id);
            let refused = config.refused.list.iter();
            refused.filter(|problem| config.source_of(problem) == Some(id)).for_each(|p| eprintln!("{p}"));
        }
        let checked = block_on(until_stopped(async {
            let mut config = read_sources(config).await?;
            if let Some(id) = &self.source {
                eprint!("{}", listed(&config, id));
                let of_source: HashSet<usize> = places_of(&config, id).collect();
                config.table.retain(|account| of_source.contains(&account.place()));
            }
            check(config, &self.accounts).await
        }))?;
        print(&match self.output {
            Output::Json => format!("{}\n", serde_json::to_string_pretty(&checked.accounts)?),
            Output::Table if self.verbose || !self.accounts.is_empty() => checked.details(table_width()),
            Output::Table => checked.table(table_width()),
        })?;
        Ok(checked.exit_code())
    }
}

/// Asks the sources, and prints what is wrong with them.
pub(super) async fn read_sources(config: Config) -> anyhow::Result<Config> {
    let (config, answers) = ask_once(config).await;
    for asked in &answers {
        if !asked.refused.list.is_empty() {
            eprintln!("{}", asked.refused);
        }
    }
    let failed: Vec<String> = answers
        .iter()
        .filter_map(|asked| {
            Some(format!("the source {} cannot be read: {}", asked.id, asked.error.as_ref()?))
        })
        .collect();
    anyhow::ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(config)
}

fn places_of(config: &Config, source: &str) -> impl Iterator<Item = usize> {
    let places = config.table.places().iter().enumerate();
    places.filter(move |(_, place)| place.is_of(source)).map(|(index, _)| index)
}

/// How many accounts a source lists, of how many logins, and at which networks.
fn listed(config: &Config, source: &str) -> String {
    let places: HashSet<usize> = places_of(config, source).collect();
    let (mut networks, mut logins) = (BTreeMap::<&str, usize>::new(), HashSet::new());
    for account in config.table.accounts().filter(|account| places.contains(&account.place())) {
        *networks.entry(account.network().name()).or_default() += 1;
        logins.insert(account.credential_index());
    }
    let accounts: usize = networks.values().sum();
    let refused = config.statuses.iter().find(|status| status.id == source).map_or(0, |s| s.refused);
    let networks: Vec<String> = networks.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let networks = if networks.is_empty() { String::new() } else { format!(" ({})", networks.join(", ")) };
    format!("{source}: {accounts} accounts of {} logins{networks}; {refused} rows refused\n\n", logins.len())
}

struct Checked {
    /// The worst first.
    accounts: Vec<CheckedAccount>,
    at: Timestamp,
}

#[derive(Serialize)]
struct CheckedAccount {
    account: String,
    network: &'static str,
    name: String,
    #[serde(flatten)]
    classified: Classification,
    /// Whether the refusal is ambiguous and needs a second probe.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unconfirmed: bool,
    /// The needed capabilities that do not work.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stops: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    deadline: Option<Timestamp>,
    /// What the network answered, or why it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
    #[serde(skip)]
    steps: Vec<&'static str>,
    #[serde(skip)]
    rank: (u8, Reverse<usize>, i64),
}

fn as_text<S: Serializer>(deadline: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    deadline.map(|deadline| deadline.to_string()).serialize(serializer)
}

async fn check(mut config: Config, named: &[String]) -> anyhow::Result<Checked> {
    if !named.is_empty() {
        let known: HashSet<&str> = config.table.accounts().flat_map(|a| [a.id(), a.name()]).collect();
        let unknown: Vec<&str> =
            named.iter().filter(|name| !known.contains(name.as_str())).map(String::as_str).collect();
        anyhow::ensure!(unknown.is_empty(), "no such account in the configuration: {}", unknown.join(", "));
        config.table.retain(|account| named.iter().any(|n| n == account.id() || n == account.name()));
    }
    let probed = probe_everything(config).await?;
    let mut accounts = Vec::with_capacity(probed.inventory.len());
    for (index, outcome) in probed.outcomes() {
        let Some(credential) = probed.inventory.credential(index) else { continue };
        let deadline = outcome.clocks.unwrap_or_default().deadline(credential.auto_refresh()).at();
        for (position, (account, finding)) in credential.accounts().zip(&outcome.findings).enumerate() {
            let Some(account) = probed.inventory.account(account) else { continue };
            let answer = outcome.explanation(position).and_then(|seen| seen.in_words());
            accounts.push(CheckedAccount { answer, ..CheckedAccount::new(account, finding, deadline) });
        }
    }
    accounts.sort_by(|a, b| a.rank.cmp(&b.rank).then_with(|| a.account.cmp(&b.account)));
    Ok(Checked { accounts, at: probed.at })
}

impl CheckedAccount {
    fn new(account: AccountView<'_>, finding: &Finding, deadline: Option<Timestamp>) -> Self {
        let lost = finding.capabilities.iter().filter(|(_, r)| *r != Reason::Ok).count();
        let severity = match finding.verdict {
            Verdict::Invalid(..) => 0,
            Verdict::Undetermined(_) => 1,
            Verdict::Valid if lost > 0 => 2,
            Verdict::Valid => 3,
        };
        Self {
            account: account.id().to_owned(),
            network: account.network().name(),
            name: account.name().to_owned(),
            classified: describe(finding, account.network()),
            unconfirmed: matches!(finding.verdict, Verdict::Invalid(_, Certainty::Ambiguous)),
            stops: stops(&finding.capabilities),
            deadline,
            answer: None,
            steps: steps(finding, account.network()),
            rank: (severity, Reverse(lost), deadline.map_or(i64::MAX, Timestamp::unix)),
        }
    }

    /// Whether the connection is valid but lacks a capability.
    fn is_degraded(&self) -> bool {
        self.classified.verdict == "valid"
            && self.classified.capabilities.values().any(|reason| reason != "ok")
    }

    /// The state and its reason, in the words of the table.
    fn state(&self) -> (&'static str, String) {
        if self.is_degraded() {
            let lost = self.classified.capabilities.iter().filter(|(_, reason)| *reason != "ok");
            let lost = lost.map(|(name, reason)| format!("{name}: {}", reason.as_str().unwrap_or("")));
            return ("degraded", lost.collect::<Vec<_>>().join(", "));
        }
        let mut reason = self.classified.reason.or(self.classified.cause).unwrap_or("").to_owned();
        if let Some(problem) = self.classified.app_problem {
            reason = format!("{reason}: {problem}");
        }
        if self.unconfirmed {
            reason += " (not confirmed yet)";
        }
        (self.classified.verdict, reason)
    }
}

impl Checked {
    fn count(&self, verdict: &str) -> usize {
        self.accounts.iter().filter(|account| account.classified.verdict == verdict).count()
    }

    /// 0 all valid, 1 some invalid, 3 none invalid but some undetermined.
    fn exit_code(&self) -> ExitCode {
        ExitCode::from(match (self.count("invalid"), self.count("undetermined")) {
            (0, 0) => 0,
            (0, _) => 3,
            _ => 1,
        })
    }

    /// A line for each account.
    fn table(&self, width: usize) -> String {
        let head = ["NAME", "NETWORK", "STATE", "REASON", "DEADLINE", "FIRST STEP"];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(self.accounts.iter().map(|account| {
            let (state, reason) = account.state();
            [
                account.name.clone(),
                account.network.to_owned(),
                state.to_owned(),
                reason,
                account.deadline.map_or_else(String::new, |deadline| self.distance(deadline)),
                account.steps.first().copied().unwrap_or_default().to_owned(),
            ]
        }));
        columns(&rows, [12, 8, 12, 15, 8, 12], width) + &self.summary()
    }

    /// All that is known of each account.
    fn details(&self, width: usize) -> String {
        let mut text = String::new();
        let mut add =
            |first: &str, indent: &str, words: &str| text += &paragraph(first, indent, words, width);
        for account in &self.accounts {
            let (state, reason) = account.state();
            let CheckedAccount { account: id, network, name, .. } = account;
            add("", "  ", &format!("{name} ({network}, {id}): {state}, {reason}"));
            if !account.stops.is_empty() {
                add("  ", "    ", &format!("not working: {}", account.stops.join(", ")));
            }
            if let Some(deadline) = account.deadline {
                let date = deadline.utc().format("%Y-%m-%d");
                add("  ", "    ", &format!("deadline: {date} ({})", self.distance(deadline)));
            }
            if let Some(answer) = &account.answer {
                add("  ", "    ", answer);
            }
            for (step, number) in account.steps.iter().zip(1..) {
                add("  ", "     ", &format!("{number}. {step}"));
            }
            add("", "", "");
        }
        text + &self.summary()
    }

    fn summary(&self) -> String {
        let [valid, invalid, undetermined] = ["valid", "invalid", "undetermined"].map(|v| self.count(v));
        format!("{valid} valid, {invalid} invalid, {undetermined} undetermined\n")
    }

    /// How far away a deadline is.
    fn distance(&self, deadline: Timestamp) -> String {
        let left = deadline.since(self.at);
        let seconds = left.unsigned_abs();
        let unit = [86_400, 3600, 60].into_iter().find(|unit| seconds >= 2 * unit).unwrap_or(1);
        let rounded = format_duration(Duration::from_secs(seconds / unit * unit));
        if left >= 0 { format!("in {rounded}") } else { format!("{rounded} ago") }
    }
}
