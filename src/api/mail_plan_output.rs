//! A [`MailPlan`] as JSON, as a table and as a calendar.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::icalendar::{self, Calendar, Event};
use super::mail_plan::{Mail, MailPlan, SkippedAccounts};
use super::{columns, paragraph};
use crate::model::Timestamp;

/// Shown instead of recipients for accounts that have none.
const NO_RECIPIENTS: &str = "(fallback receiver)";

impl MailPlan {
    /// # Errors
    /// None in practice: every value has a JSON form.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// As a table with a line for each mail, and a summary below it. `width` is in columns.
    pub fn table(&self, width: usize) -> String {
        let zone = match self.utc_offset.local_minus_utc() {
            0 => "UTC".to_owned(),
            _ => self.utc_offset.to_string(),
        };
        let head = [&format!("WHEN ({zone})"), "NOTICE", "ACCOUNTS", "LOGIN", "TO", "DEADLINE"];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(self.mails.iter().map(|mail| {
            [
                if mail.now { "now".to_owned() } else { self.local(mail.at) },
                mail.notice.clone(),
                mail.names(),
                mail.credential.clone(),
                mail.recipients_or_fallback(", "),
                self.local(mail.deadline),
            ]
        }));
        let table = columns(&rows, [16, 6, 11, 11, 11, 16], width);
        self.summary().lines().fold(table, |text, line| text + &paragraph("", "", line, width))
    }

    /// The number of mails, and of accounts without any.
    fn summary(&self) -> String {
        let SkippedAccounts { invalid, no_deadline, unknown_deadline, no_rule, opted_out, digest } =
            self.skipped;
        let accounts: HashSet<&str> =
            self.mails.iter().flat_map(|m| &m.accounts).map(|a| a.account.as_str()).collect();
        let mut text = format!(
            "{} within {}, about {}",
            counted(self.mails.len(), "mail"),
            counted(self.days as usize, "day"),
            counted(accounts.len(), "account")
        );
        for (count, cause) in [
            (invalid, "invalid"),
            (no_deadline, "without a deadline"),
            (unknown_deadline, "with an unknown deadline"),
            (no_rule, "that no rule of the schedule matches"),
            (opted_out, "whose recipients have opted out"),
            (digest, "whose recipients take the digest"),
        ] {
            if count > 0 {
                let _ = write!(text, "; {count} {cause}");
            }
        }
        if self.mails.iter().any(|m| m.now) {
            text.push_str("\nnow: due already, sent at once unless it was sent before");
        }
        text
    }

    /// A date and time of day in the time zone of the recipients.
    fn local(&self, at: Timestamp) -> String {
        let local = at.utc().with_timezone(&self.utc_offset);
        let seconds = local.timestamp() % 60 != 0;
        local.format(if seconds { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%d %H:%M" }).to_string()
    }

    /// As a calendar (RFC 5545) with an event for each mail. Events keep their UID from one call to
    /// the next.
    pub fn ics(&self) -> String {
        let mut calendar = Calendar::new("schedule", "Connections about to expire");
        for mail in &self.mails {
            calendar.event(&Event {
                uid: &mail.uid(),
                stamp: self.now,
                at: mail.at,
                summary: &mail.summary(),
                description: &self.description(mail),
                url: None,
            });
        }
        calendar.end();
        calendar.take()
    }

    fn description(&self, mail: &Mail) -> String {
        let mut text = format!("Must be reconnected by {} {}.\n", self.local(mail.deadline), self.utc_offset);
        let _ = write!(text, "Mail to: {}\nLogin: {}", mail.recipients_or_fallback(", "), mail.credential);
        if let Some(person) = &mail.connected_by {
            let _ = write!(text, ", connected by {person}");
        }
        text.push_str("\nAccounts:");
        for account in &mail.accounts {
            let _ = write!(text, "\n- {} ({}, {})", account.name, account.network, account.account);
            if let Some(url) = &account.reconnect_url {
                let _ = write!(text, " {url}");
            }
        }
        text
    }
}

impl Mail {
    fn recipients_or_fallback(&self, separator: &str) -> String {
        if self.recipients.is_empty() { NO_RECIPIENTS.to_owned() } else { self.recipients.join(separator) }
    }

    fn names(&self) -> String {
        match self.accounts.as_slice() {
            [one] => one.name.clone(),
            [first, others @ ..] => format!("{} and {} more", first.name, others.len()),
            [] => self.credential.clone(),
        }
    }

    fn summary(&self) -> String {
        let what = self.names();
        if self.notice == "today" {
            format!("{what}: expires today")
        } else {
            format!("{what}: expires in {}", self.notice)
        }
    }

    /// The recipients are a part of it because the accounts of one credential can have different
    /// ones, and thus several mails.
    fn uid(&self) -> String {
        let recipients = self.recipients.join(",");
        icalendar::uid(&[&self.credential, &self.notice, &self.deadline.to_string(), &recipients])
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
