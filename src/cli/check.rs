//! `check`: one probe of each account now, the worst first. The answer for scripts is the exit
//! code.

use std::cmp::Reverse;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::{Map, Value};

use super::classify;
use crate::config::Config;
use crate::model::{Cause, Expiry, Reason, Timestamp, format_duration, stops};
use crate::network::{Certainty, Finding, NetworkId, Verdict};
use crate::scheduler::probe_everything;

/// What one probe said about one account.
#[derive(Debug, Serialize)]
pub struct CheckedAccount {
    account: String,
    network: &'static str,
    name: String,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    /// Whether an ambiguous refusal would still want a second probe.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unconfirmed: bool,
    capabilities: Map<String, Value>,
    /// What stops meanwhile.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stops: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<String>,
    advice: String,
    #[serde(skip)]
    rank: (u8, Reverse<usize>, i64),
}

/// The result of a check.
#[derive(Debug)]
pub struct Checked {
    /// The worst first.
    pub lines: Vec<CheckedAccount>,
    now: Timestamp,
}

/// Probes the accounts named, or all.
///
/// # Errors
/// When a named account does not exist, or no HTTP client can be made.
pub async fn check(mut config: Config, accounts: &[String]) -> anyhow::Result<Checked> {
    if !accounts.is_empty() {
        let unknown: Vec<&str> =
            accounts.iter().filter(|id| config.table.find(id).is_none()).map(String::as_str).collect();
        anyhow::ensure!(unknown.is_empty(), "no such account in the configuration: {}", unknown.join(", "));
        config.table.retain(|account| accounts.iter().any(|id| id == account.id()));
    }
    let probed = probe_everything(config).await?;
    let mut lines: Vec<CheckedAccount> = Vec::with_capacity(probed.inventory.len());
    for (credential, outcome) in probed.outcomes() {
        let Some(watched) = probed.inventory.credential(credential) else { continue };
        let deadline = outcome.clocks.unwrap_or_default().deadline(watched.auto_refresh());
        for (index, finding) in watched.accounts().zip(&outcome.findings) {
            if let Some(view) = probed.inventory.account(index) {
                lines.push(line(view.id(), view.network(), view.name(), finding, deadline));
            }
        }
    }
    lines.sort_by(|a, b| a.rank.cmp(&b.rank).then_with(|| a.account.cmp(&b.account)));
    Ok(Checked { lines, now: probed.at })
}

fn line(
    account: &str,
    network: NetworkId,
    name: &str,
    finding: &Finding,
    deadline: Expiry,
) -> CheckedAccount {
    let described = classify::describe(finding, network);
    let lost = finding.capabilities.iter().filter(|(_, r)| *r != Reason::Ok).count();
    let rank = match finding.verdict {
        Verdict::Invalid(..) => 0,
        Verdict::Undetermined(_) => 1,
        Verdict::Valid if lost > 0 => 2,
        Verdict::Valid => 3,
    };
    CheckedAccount {
        account: account.to_owned(),
        network: network.name(),
        name: name.to_owned(),
        verdict: described.verdict,
        reason: described.reason,
        cause: described.cause,
        unconfirmed: matches!(finding.verdict, Verdict::Invalid(_, Certainty::Ambiguous)),
        capabilities: described.capabilities,
        stops: stops(&finding.capabilities),
        deadline: deadline.at().map(|t| t.to_string()),
        advice: described.advice,
        rank: (rank, Reverse(lost), deadline.at().map_or(i64::MAX, Timestamp::unix)),
    }
}

impl Checked {
    /// 0 all valid, 1 some invalid, 3 none invalid but some undetermined.
    pub fn exit_code(&self) -> u8 {
        let has = |verdict| self.lines.iter().any(|l| l.verdict == verdict);
        if has("invalid") {
            1
        } else if has("undetermined") {
            3
        } else {
            0
        }
    }

    /// As a JSON array.
    ///
    /// # Errors
    /// None in practice: every value has a JSON form.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&self.lines)
    }

    /// As a table for people, as wide as given.
    pub fn table(&self, width: u16) -> String {
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_HORIZONTAL_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
        table.set_header(["ACCOUNT", "NETWORK", "STATE", "REASON", "DEADLINE", "WHAT TO DO"]);
        for line in &self.lines {
            let lost = line
                .capabilities
                .iter()
                .filter(|(_, r)| *r != "ok")
                .map(|(c, r)| format!("{c}: {}", r.as_str().unwrap_or("")));
            let degraded = line.verdict == "valid" && line.capabilities.values().any(|r| r != "ok");
            let state = if degraded { "degraded" } else { line.verdict };
            let reason = match (line.reason, line.cause) {
                _ if degraded => lost.collect::<Vec<_>>().join("\n"),
                (Some(reason), _) if line.unconfirmed => format!("{reason} (not confirmed yet)"),
                (Some(label), _) | (None, Some(label)) => label.to_owned(),
                (None, None) => String::new(),
            };
            let known = line.cause.and_then(Cause::from_label).map(Cause::meaning);
            let reason = if line.stops.is_empty() || degraded {
                reason
            } else {
                format!("{reason}\nstops: {}", line.stops.join(", "))
            };
            let deadline = line
                .deadline
                .as_deref()
                .and_then(Timestamp::parse)
                .map_or_else(String::new, |t| self.in_words(t));
            table.add_row([
                &line.account,
                line.network,
                state,
                &reason,
                &deadline,
                known.unwrap_or(&line.advice),
            ]);
        }
        let count = |verdict| self.lines.iter().filter(|l| l.verdict == verdict).count();
        format!(
            "{table}\n{} valid, {} invalid, {} undetermined\n",
            count("valid"),
            count("invalid"),
            count("undetermined")
        )
    }

    fn in_words(&self, deadline: Timestamp) -> String {
        let left = deadline.since(self.now);
        let seconds = left.unsigned_abs();
        // Two units are enough to read.
        let rough = if seconds >= 2 * 86_400 { seconds / 86_400 * 86_400 } else { seconds / 60 * 60 };
        let rough = format_duration(std::time::Duration::from_secs(rough));
        let date = deadline.utc().format("%Y-%m-%d");
        if left >= 0 { format!("{date} (in {rough})") } else { format!("{date} ({rough} ago)") }
    }
}
