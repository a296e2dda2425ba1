//! The mails that the schedule will send, as far as they can be predicted: when, to whom and about
//! which accounts.
//!
//! [`expiry_statuses`] reads the results of one probe of everything; [`plan_mails`] is pure. Mails
//! that have been sent already are not known here.

use std::collections::BTreeMap;

use chrono::FixedOffset;
use serde::{Serialize, Serializer};

use crate::alerting::{EXPIRED, Window};
use crate::config::{Notice, ScheduleRule};
use crate::inventory::Inventory;
use crate::model::{Expiry, Timestamp};
use crate::network::{Clocks, Verdict};
use crate::scheduler::ProbeResults;

/// What the notices of one account depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpiryStatus {
    /// When a person must reconnect.
    pub deadline: Expiry,
    /// When the token was issued. Unknown for a token that is renewed automatically: its
    /// authorization is older.
    pub issued: Option<Timestamp>,
    /// The account is invalid for another reason than a passed deadline, so it gets no notices.
    pub broken: bool,
}

impl ExpiryStatus {
    /// `verdict` is `None` if the account was not probed.
    pub fn new(clocks: Clocks, auto_refresh: bool, verdict: Option<Verdict>, now: Timestamp) -> Self {
        let deadline = clocks.deadline(auto_refresh);
        let passed = deadline.at().is_some_and(|t| t <= now);
        let broken = match verdict {
            Some(Verdict::Invalid(reason, _)) => !(passed && EXPIRED.contains(&reason)),
            Some(Verdict::Valid | Verdict::Undetermined(_)) | None => false,
        };
        Self { deadline, issued: clocks.issued.filter(|_| !auto_refresh), broken }
    }
}

/// The status of every account after one probe of everything, in the order of the inventory.
pub async fn expiry_statuses(probed: &ProbeResults) -> Vec<ExpiryStatus> {
    let mut statuses = vec![ExpiryStatus::default(); probed.inventory.len()];
    for (index, credential) in probed.inventory.credentials().enumerate() {
        let clocks = probed.clocks(index).await;
        let findings = probed.outcome(index).map_or(&[][..], |o| &o.findings);
        for (i, account) in credential.accounts().enumerate() {
            let verdict = findings.get(i).map(|f| f.verdict);
            if let Some(status) = statuses.get_mut(account) {
                *status = ExpiryStatus::new(clocks, credential.auto_refresh(), verdict, probed.at);
            }
        }
    }
    statuses
}

#[derive(Clone, Copy, Debug)]
pub struct Period {
    pub now: Timestamp,
    pub days: u32,
    /// The time zone in which times are printed, and in which the days of recipients begin of whom no
    /// other one is known.
    pub offset: FixedOffset,
}

impl Period {
    fn end(&self) -> Timestamp {
        self.now.plus(i64::from(self.days) * 86_400)
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct MailPlan {
    #[serde(rename = "from", serialize_with = "as_text")]
    pub(super) now: Timestamp,
    #[serde(serialize_with = "as_text")]
    pub(super) until: Timestamp,
    #[serde(serialize_with = "as_text")]
    pub(super) utc_offset: FixedOffset,
    #[serde(skip)]
    pub(super) days: u32,
    /// By time.
    pub mails: Vec<Mail>,
    #[serde(rename = "without_mails")]
    pub skipped: SkippedAccounts,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mail {
    /// When it is due. In the past if it is due already.
    #[serde(serialize_with = "as_text")]
    pub at: Timestamp,
    /// It is due already: sent at once unless it was sent before.
    pub now: bool,
    /// The label of the notice, such as `10d` or `today`.
    pub notice: String,
    /// When a person must reconnect.
    #[serde(serialize_with = "as_text")]
    pub deadline: Timestamp,
    pub credential: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected_by: Option<String>,
    /// Empty if Alertmanager's fallback receiver gets the mail.
    pub recipients: Vec<String>,
    pub accounts: Vec<MailAccount>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MailAccount {
    pub account: String,
    pub name: String,
    pub network: &'static str,
    #[serde(rename = "use")]
    pub purpose: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconnect_url: Option<String>,
}

/// The number of accounts that get no mail at any time, by the cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SkippedAccounts {
    pub invalid: usize,
    pub no_deadline: usize,
    pub unknown_deadline: usize,
    /// No rule of the schedule matches.
    pub no_rule: usize,
    /// All recipients have opted out.
    pub opted_out: usize,
    /// All recipients take the digest.
    pub digest: usize,
}

fn as_text<S: Serializer>(value: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// What the accounts of one mail have in common: the time, credential, notice and recipients.
type Group<'a> = (Timestamp, usize, String, &'a str);

/// Plans one mail for each credential, notice and list of recipients. `statuses` are in the order of
/// the inventory.
pub fn plan_mails(
    rules: &[ScheduleRule],
    inventory: &Inventory,
    statuses: &[ExpiryStatus],
    period: &Period,
) -> MailPlan {
    let mut skipped = SkippedAccounts::default();
    let mut groups: BTreeMap<Group<'_>, (Timestamp, Vec<MailAccount>)> = BTreeMap::new();
    for (account, status) in inventory.accounts().zip(statuses) {
        let rule = rules.iter().find(|rule| rule.matches(account.network(), account.purpose()));
        let counter = match (status.deadline, rule) {
            _ if status.broken => &mut skipped.invalid,
            (Expiry::Never, _) => &mut skipped.no_deadline,
            (Expiry::Unknown, _) => &mut skipped.unknown_deadline,
            (_, None) => &mut skipped.no_rule,
            _ if account.opted_out() => &mut skipped.opted_out,
            _ if account.notify_single().is_empty() && !account.notify_digest().is_empty() => {
                &mut skipped.digest
            }
            (Expiry::At(deadline), Some(rule)) => {
                let offset = account.recipients().and_then(|list| list.offset_at(deadline));
                let offset = offset.unwrap_or(period.offset);
                for (notice, at) in due_notices(rule, deadline, status.issued, period, offset) {
                    let group = (at, account.credential_index(), notice.label(), account.notify_single());
                    let (_, accounts) = groups.entry(group).or_insert_with(|| (deadline, Vec::new()));
                    accounts.push(MailAccount {
                        account: account.id().to_owned(),
                        name: account.name().to_owned(),
                        network: account.network().name(),
                        purpose: account.purpose().label(),
                        reconnect_url: Some(account.reconnect_url().to_owned()).filter(|url| !url.is_empty()),
                    });
                }
                continue;
            }
        };
        *counter += 1;
    }
    let mails = groups.into_iter().map(|((at, credential, notice, notify), (deadline, accounts))| {
        let credential = inventory.credential(credential);
        Mail {
            at,
            now: at <= period.now,
            notice,
            deadline,
            credential: credential.map_or_else(String::new, |c| c.id().to_owned()),
            connected_by: credential.and_then(|c| c.connected_by()).map(str::to_owned),
            recipients: notify.split(',').filter(|r| !r.is_empty()).map(str::to_owned).collect(),
            accounts,
        }
    });
    MailPlan {
        now: period.now,
        until: period.end(),
        utc_offset: period.offset,
        days: period.days,
        mails: mails.collect(),
        skipped,
    }
}

/// The notices of one deadline that are still to be sent, each with its time: those that begin
/// within the period and, of those that have begun, only the last, if its window is still open.
/// `offset` is that of the recipients' days.
fn due_notices(
    rule: &ScheduleRule,
    deadline: Timestamp,
    issued: Option<Timestamp>,
    period: &Period,
    offset: FixedOffset,
) -> Vec<(Notice, Timestamp)> {
    let lifetime = issued.map(|issued| u64::try_from(deadline.since(issued)).unwrap_or(0));
    let mut due = Vec::new();
    let mut last_begun = None;
    for window in Window::of_rule(rule) {
        if lifetime.is_some_and(|lifetime| lifetime < window.shortest_lifetime()) {
            continue;
        }
        let times = window.of_deadline(deadline, offset);
        if times.start > period.now {
            due.extend((times.start <= period.end()).then_some((window.notice, times.start)));
        } else {
            last_begun = (period.now < times.end).then_some((window.notice, times.start));
        }
    }
    due.extend(last_begun);
    due
}
