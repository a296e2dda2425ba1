//! `check`: probes each account once and lists the worst first. The exit code tells scripts.

use std::cmp::Reverse;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use serde::{Serialize, Serializer};

use super::options::{ConfigOptions, LogOptions};
use super::{Classification, block_on, describe, print, table_width};
use crate::config::Config;
use crate::inventory::AccountView;
use crate::model::{Reason, Timestamp, format_duration, stops};
use crate::network::{Certainty, Finding, Verdict};
use crate::scheduler::probe_everything;

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Accounts to probe; all if none is named
    accounts: Vec<String>,
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
        let checked = block_on(check(self.config.load()?, &self.accounts))?;
        print(&match self.output {
            Output::Json => format!("{}\n", serde_json::to_string_pretty(&checked.accounts)?),
            Output::Table => checked.table(table_width()),
        })?;
        Ok(checked.exit_code())
    }
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
    #[serde(skip)]
    rank: (u8, Reverse<usize>, i64),
}

fn as_text<S: Serializer>(deadline: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    deadline.map(|deadline| deadline.to_string()).serialize(serializer)
}

async fn check(mut config: Config, named: &[String]) -> anyhow::Result<Checked> {
    if !named.is_empty() {
        let unknown: Vec<&str> =
            named.iter().filter(|id| config.table.find(id).is_none()).map(String::as_str).collect();
        anyhow::ensure!(unknown.is_empty(), "no such account in the configuration: {}", unknown.join(", "));
        config.table.retain(|account| named.iter().any(|id| id == account.id()));
    }
    let probed = probe_everything(config).await?;
    let mut accounts = Vec::with_capacity(probed.inventory.len());
    for (index, outcome) in probed.outcomes() {
        let Some(credential) = probed.inventory.credential(index) else { continue };
        let deadline = outcome.clocks.unwrap_or_default().deadline(credential.auto_refresh()).at();
        for (account, finding) in credential.accounts().zip(&outcome.findings) {
            let account = probed.inventory.account(account);
            accounts.extend(account.map(|account| CheckedAccount::new(account, finding, deadline)));
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
            return ("degraded", lost.collect::<Vec<_>>().join("\n"));
        }
        let mut reason = self.classified.reason.or(self.classified.cause).unwrap_or("").to_owned();
        if let Some(problem) = self.classified.app_problem {
            reason = format!("{reason}: {problem}");
        }
        if self.unconfirmed {
            reason += " (not confirmed yet)";
        }
        if !self.stops.is_empty() {
            reason = format!("{reason}\nnot working: {}", self.stops.join(", "));
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

    fn table(&self, width: u16) -> String {
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_HORIZONTAL_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
        table.set_header(["ACCOUNT", "NETWORK", "STATE", "REASON", "DEADLINE", "WHAT TO DO"]);
        for account in &self.accounts {
            let (state, reason) = account.state();
            let deadline = account.deadline.map_or_else(String::new, |deadline| self.in_words(deadline));
            table.add_row([
                &account.account,
                account.network,
                state,
                &reason,
                &deadline,
                &account.classified.advice,
            ]);
        }
        format!(
            "{table}\n{} valid, {} invalid, {} undetermined\n",
            self.count("valid"),
            self.count("invalid"),
            self.count("undetermined")
        )
    }

    fn in_words(&self, deadline: Timestamp) -> String {
        let left = deadline.since(self.at);
        let seconds = left.unsigned_abs();
        // Whole days, or whole minutes below two days.
        let rounded = if seconds >= 2 * 86_400 { seconds / 86_400 * 86_400 } else { seconds / 60 * 60 };
        let rounded = format_duration(Duration::from_secs(rounded));
        let date = deadline.utc().format("%Y-%m-%d");
        if left >= 0 { format!("{date} (in {rounded})") } else { format!("{date} ({rounded} ago)") }
    }
}
