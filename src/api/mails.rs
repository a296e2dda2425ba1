//! `schedule`: the mails to come, as far as can be told now: when, to whom, about which accounts.
//!
//! [`standings`] reads what one probe of everything found; the rest is pure: the schedule's rules,
//! who is watched, where each connection stands, and the time make a [`Plan`]. Nothing here knows
//! which mails have been sent.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use chrono::FixedOffset;
use comfy_table::{ContentArrangement, Table, presets};
use serde::{Serialize, Serializer};

use super::calendar::{self, Calendar, Event};
use crate::config::{Notice, ScheduleRule};
use crate::inventory::Inventory;
use crate::model::{Expiry, Reason, Timestamp};
use crate::network::{Clocks, Verdict};
use crate::scheduler::ProbeResults;

const DAY: i64 = 86_400;

/// Where one connection stands, as far as its notices are concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoticeStatus {
    /// When a person must reconnect.
    pub deadline: Expiry,
    /// When the token that the deadline ends was issued.
    pub issued: Option<Timestamp>,
    /// It is invalid, for another reason than that its deadline has passed: nobody needs to be told
    /// that it will end.
    pub broken: bool,
}

/// Which mails are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The time.
    pub now: Timestamp,
    /// For so many days from now.
    pub days: u32,
    /// Where the days begin, and how times are shown to people.
    pub offset: FixedOffset,
}

/// One mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mail {
    /// When it is due; for one that is due already, since when.
    #[serde(serialize_with = "as_text")]
    pub at: Timestamp,
    /// It is due already: sent at once, unless it has been.
    pub now: bool,
    /// The notice: `10d`, `today`…
    pub notice: String,
    /// When a person must reconnect.
    #[serde(serialize_with = "as_text")]
    pub deadline: Timestamp,
    /// The login.
    pub credential: String,
    /// Who connected it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected_by: Option<String>,
    /// Who gets it; nobody in particular if empty.
    pub recipients: Vec<String>,
    /// What it is about.
    pub accounts: Vec<Announced>,
}

/// An account that a mail is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Announced {
    /// Its id in the configuration.
    pub account: String,
    /// Its name for people.
    pub name: String,
    /// Its network.
    pub network: &'static str,
    /// Why it is watched.
    #[serde(rename = "use")]
    pub purpose: &'static str,
    /// Where it can be reconnected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconnect_url: Option<String>,
}

/// How many accounts get no mail, whenever, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Silent {
    /// Invalid: what is lost is not announced.
    pub invalid: usize,
    /// Nothing of theirs ends.
    pub no_deadline: usize,
    /// Nobody tells when they end.
    pub unknown_deadline: usize,
    /// No rule of the schedule matches.
    pub no_rule: usize,
    /// All recipients have opted out.
    pub opted_out: usize,
}

/// The mails to come.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// From when.
    #[serde(rename = "from", serialize_with = "as_text")]
    now: Timestamp,
    /// Until when.
    #[serde(serialize_with = "as_text")]
    until: Timestamp,
    /// Where the days begin.
    #[serde(serialize_with = "as_text")]
    utc_offset: FixedOffset,
    #[serde(skip)]
    days: u32,
    /// By time.
    pub mails: Vec<Mail>,
    /// Who gets none.
    pub without_mails: Silent,
}

fn as_text<S: Serializer>(value: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Where every account of the inventory stands after one probe of everything, in the roster's order.
pub async fn standings(probed: &ProbeResults) -> Vec<NoticeStatus> {
    let mut standings = vec![NoticeStatus::default(); probed.inventory.len()];
    for (credential, watched) in probed.inventory.credentials().enumerate() {
        let clocks = probed.clocks(credential).await;
        let findings = probed.outcome(credential).map_or(&[][..], |o| &o.findings);
        for (place, index) in watched.accounts().enumerate() {
            let verdict = findings.get(place).map(|f| f.verdict);
            if let Some(standing) = standings.get_mut(index) {
                *standing = NoticeStatus::new(clocks, watched.auto_refresh(), verdict, probed.at);
            }
        }
    }
    standings
}

impl NoticeStatus {
    /// From what is known of a credential's clocks and what a probe said about one of its accounts,
    /// if there was one.
    fn new(clocks: Clocks, auto_refresh: bool, verdict: Option<Verdict>, now: Timestamp) -> Self {
        let deadline = clocks.deadline(auto_refresh);
        let passed = deadline.at().is_some_and(|t| t <= now);
        let broken = match verdict {
            Some(Verdict::Invalid(reason, _)) => {
                !(passed && matches!(reason, Reason::TokenExpired | Reason::DataAccessExpired))
            }
            Some(Verdict::Valid | Verdict::Undetermined(_)) | None => false,
        };
        // A token that is refreshed again and again tells nothing of the beginning of its grant.
        Self { deadline, issued: clocks.issued.filter(|_| !auto_refresh), broken }
    }
}

/// What the accounts of one mail share: its instant, credential, notice and recipients.
type Group<'a> = (Timestamp, usize, String, &'a str);

/// The mails to come: one for each credential, notice and list of recipients. `standings` are in
/// the roster's order.
pub fn plan(rules: &[ScheduleRule], inventory: &Inventory, standings: &[NoticeStatus], span: &Span) -> Plan {
    let mut silent = Silent::default();
    let mut groups: BTreeMap<Group<'_>, (Timestamp, Vec<Announced>)> = BTreeMap::new();
    for (view, standing) in inventory.accounts().zip(standings) {
        if standing.broken {
            silent.invalid += 1;
            continue;
        }
        let deadline = match standing.deadline {
            Expiry::At(deadline) => deadline,
            Expiry::Never => {
                silent.no_deadline += 1;
                continue;
            }
            Expiry::Unknown => {
                silent.unknown_deadline += 1;
                continue;
            }
        };
        let Some(rule) = rules.iter().find(|rule| rule.matches(view.network(), view.purpose())) else {
            silent.no_rule += 1;
            continue;
        };
        if view.opted_out() {
            silent.opted_out += 1;
            continue;
        }
        for (notice, at) in due(&rule.notices, deadline, standing.issued, span) {
            let group = (at, view.credential_index(), notice.label(), view.notify());
            groups.entry(group).or_insert_with(|| (deadline, Vec::new())).1.push(Announced {
                account: view.id().to_owned(),
                name: view.name().to_owned(),
                network: view.network().name(),
                purpose: view.purpose().label(),
                reconnect_url: Some(view.reconnect_url()).filter(|url| !url.is_empty()),
            });
        }
    }
    let mails = groups.into_iter().map(|((at, credential, notice, notify), (deadline, accounts))| {
        let login = inventory.credential(credential);
        Mail {
            at,
            now: at <= span.now,
            notice,
            deadline,
            credential: login.map_or_else(String::new, |c| c.id().to_owned()),
            connected_by: login.and_then(|c| c.connected_by()).map(str::to_owned),
            recipients: notify.split(',').filter(|r| !r.is_empty()).map(str::to_owned).collect(),
            accounts,
        }
    });
    Plan {
        now: span.now,
        until: span.until(),
        utc_offset: span.offset,
        days: span.days,
        mails: mails.collect(),
        without_mails: silent,
    }
}

impl Span {
    fn until(&self) -> Timestamp {
        self.now.plus(i64::from(self.days) * DAY)
    }
}

/// The notices of one deadline that are still to be sent, each with its instant: those to come
/// within the span, and of those past the tightest alone, if it is still open.
fn due(
    notices: &[Notice],
    deadline: Timestamp,
    issued: Option<Timestamp>,
    span: &Span,
) -> Vec<(Notice, Timestamp)> {
    let life = issued.map(|issued| deadline.since(issued));
    let mut due = Vec::new();
    let mut tightest = None;
    for (place, notice) in notices.iter().enumerate() {
        // What lives for less than its notice is renewed by something else.
        let least = if let Notice::Before(before) = notice { seconds(*before) } else { DAY };
        if life.is_some_and(|life| life < least) {
            continue;
        }
        let (opens, closes) = window(*notice, notices.get(place + 1), deadline, span.offset);
        if opens > span.now {
            due.extend((opens <= span.until()).then_some((*notice, opens)));
        } else {
            tightest = (span.now < closes).then_some((*notice, opens));
        }
    }
    due.extend(tightest);
    due
}

/// From when until when a notice is sent: from its instant until the next notice or the deadline;
/// `today` for the whole calendar day, also after the deadline.
fn window(
    notice: Notice,
    next: Option<&Notice>,
    deadline: Timestamp,
    offset: FixedOffset,
) -> (Timestamp, Timestamp) {
    match notice {
        Notice::Before(before) => {
            let opens = deadline.plus(-seconds(before));
            let until = match next {
                Some(Notice::Before(next)) => deadline.plus(-seconds(*next)),
                Some(Notice::Today) | None => deadline,
            };
            (opens, until)
        }
        Notice::Today => {
            let shift = i64::from(offset.local_minus_utc());
            let into_day = (deadline.unix() + shift).rem_euclid(DAY);
            (deadline.plus(-into_day), deadline.plus(DAY - into_day))
        }
    }
}

fn seconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

impl Plan {
    /// As a JSON object.
    ///
    /// # Errors
    /// None in practice: every value has a JSON form.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// As a table for people, as wide as given, with a closing line about what is not in it.
    pub fn table(&self, width: u16) -> String {
        let zone = if self.utc_offset.local_minus_utc() == 0 {
            "UTC".to_owned()
        } else {
            self.utc_offset.to_string()
        };
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_HORIZONTAL_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
        table.set_header([
            &format!("WHEN ({zone})"),
            "NOTICE",
            "TO",
            "ACCOUNTS",
            "LOGIN",
            &format!("DEADLINE ({zone})"),
        ]);
        for mail in &self.mails {
            let when = if mail.now { "now".to_owned() } else { self.shown(mail.at) };
            let accounts: Vec<&str> = mail.accounts.iter().map(|a| a.account.as_str()).collect();
            let to = if mail.recipients.is_empty() { NOBODY.to_owned() } else { mail.recipients.join("\n") };
            table.add_row([
                &when,
                &mail.notice,
                &to,
                &accounts.join("\n"),
                &mail.credential,
                &self.shown(mail.deadline),
            ]);
        }
        format!("{table}\n{}\n", self.closing())
    }

    /// How many mails there are, and which accounts get none.
    fn closing(&self) -> String {
        let Silent { invalid, no_deadline, unknown_deadline, no_rule, opted_out } = self.without_mails;
        let announced: HashSet<&str> =
            self.mails.iter().flat_map(|m| &m.accounts).map(|a| a.account.as_str()).collect();
        let days = if self.days == 1 { "day" } else { "days" };
        let mut text = format!(
            "{} within {} {days}, about {}",
            counted(self.mails.len(), "mail"),
            self.days,
            counted(announced.len(), "account")
        );
        for (count, why) in [
            (invalid, "invalid"),
            (no_deadline, "without a deadline"),
            (unknown_deadline, "with an unknown deadline"),
            (no_rule, "that no rule of the schedule matches"),
            (opted_out, "whose recipients have opted out"),
        ] {
            if count > 0 {
                let _ = write!(text, "; {count} {why}");
            }
        }
        if self.mails.iter().any(|m| m.now) {
            text.push_str("\nnow: at once, unless it has been sent already");
        }
        text
    }

    /// An instant as a date and time of day where the recipients are.
    fn shown(&self, at: Timestamp) -> String {
        let local = at.utc().with_timezone(&self.utc_offset);
        let seconds = local.timestamp() % 60 != 0;
        local.format(if seconds { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%d %H:%M" }).to_string()
    }

    /// As a calendar (RFC 5545), an event for each mail. An event keeps its identity and place
    /// however often it is made.
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
        let mut text = format!("Must be reconnected by {} {}.\n", self.shown(mail.deadline), self.utc_offset);
        let to = if mail.recipients.is_empty() { NOBODY.to_owned() } else { mail.recipients.join(", ") };
        let _ = writeln!(text, "Mail to: {to}");
        let _ = match &mail.connected_by {
            Some(person) => writeln!(text, "Login: {}, connected by {person}", mail.credential),
            None => writeln!(text, "Login: {}", mail.credential),
        };
        text.push_str("Accounts:");
        for account in &mail.accounts {
            let _ = write!(text, "\n- {} ({}, {})", account.name, account.network, account.account);
            if let Some(url) = &account.reconnect_url {
                let _ = write!(text, " {url}");
            }
        }
        text
    }
}

/// Who gets the mails of accounts that name nobody.
const NOBODY: &str = "(fallback receiver)";

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

impl Mail {
    fn summary(&self) -> String {
        let what = match self.accounts.as_slice() {
            [one] => one.name.clone(),
            [first, others @ ..] => format!("{} and {} more", first.name, others.len()),
            [] => self.credential.clone(),
        };
        if self.notice == "today" {
            format!("{what}: expires today")
        } else {
            format!("{what}: expires in {}", self.notice)
        }
    }

    /// The same for the same mail whenever the calendar is made. The recipients belong to it:
    /// without them the mails of a login whose accounts name different people would be one
    /// event.
    fn uid(&self) -> String {
        calendar::uid(&[
            &self.credential,
            &self.notice,
            &self.deadline.to_string(),
            &self.recipients.join(","),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::model::parse_offset;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap_or_else(|| unreachable!("{text}"))
    }

    fn span(now: &str, days: u32, offset: &str) -> Span {
        Span { now: at(now), days, offset: parse_offset(offset).unwrap_or_else(|| unreachable!("{offset}")) }
    }

    /// One login with a Facebook page; what else is in the configuration follows.
    fn load(more: &str) -> (Vec<ScheduleRule>, Inventory) {
        let yaml = format!(
            "global: {{notify: [ops@example.com]}}\napps:\n  - {{id: app, network: facebook, client_id: \
             \"1\", client_secret: sim-s}}\ncredentials:\n  - {{id: jane, network: facebook, token: \
             sim-jane}}\naccounts:\n  - {{id: page, network: facebook, credential: jane}}\n{more}"
        );
        let file =
            tempfile::Builder::new().suffix(".yaml").tempfile().unwrap_or_else(|e| unreachable!("{e}"));
        std::fs::write(file.path(), &yaml).unwrap_or_else(|e| unreachable!("{e}"));
        let mut config =
            config::load(&[file.path().to_owned()]).unwrap_or_else(|p| unreachable!("{p}\n{yaml}"));
        let rules = std::mem::take(&mut config.schedule);
        (rules, config.inventory(|_| true))
    }

    fn ending(deadline: &str) -> NoticeStatus {
        NoticeStatus { deadline: Expiry::At(at(deadline)), ..NoticeStatus::default() }
    }

    /// The mails in short: instant (or now), notice, recipients, accounts.
    fn told(more: &str, standing: NoticeStatus, span: &Span) -> Vec<String> {
        let (rules, inventory) = load(more);
        let standings = vec![standing; inventory.len()];
        let plan = plan(&rules, &inventory, &standings, span);
        let short = |m: &Mail| {
            let accounts: Vec<&str> = m.accounts.iter().map(|a| a.account.as_str()).collect();
            let when = if m.now { "now".to_owned() } else { m.at.to_string() };
            format!("{when} {} {} {}", m.notice, m.recipients.join(","), accounts.join(","))
        };
        plan.mails.iter().map(short).collect()
    }

    /// The instants and notices alone.
    fn notices(more: &str, standing: NoticeStatus, span: &Span) -> Vec<String> {
        let words = |line: String| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
        told(more, standing, span).into_iter().map(words).collect()
    }

    #[test]
    fn each_notice_comes_at_its_instant() {
        let found = notices("", ending("2027-01-31T15:00:00Z"), &span("2027-01-10T00:00:00Z", 30, "+00:00"));
        let expected = [
            "2027-01-21T15:00:00Z 10d",
            "2027-01-26T15:00:00Z 5d",
            "2027-01-30T15:00:00Z 1d",
            "2027-01-31T00:00:00Z today",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_span_ends_where_it_says() {
        let deadline = ending("2027-01-31T15:00:00Z");
        assert_eq!(
            notices("", deadline, &span("2027-01-20T15:00:00Z", 1, "+00:00")),
            ["2027-01-21T15:00:00Z 10d"]
        );
        assert!(notices("", deadline, &span("2027-01-20T14:59:59Z", 1, "+00:00")).is_empty());
    }

    #[test]
    fn today_begins_and_ends_where_the_people_are() {
        let today = |deadline: &str, now: &str, offset: &str| {
            let rule = "schedule:\n  - notices: [today]\n";
            notices(rule, ending(deadline), &span(now, 30, offset)).join("; ")
        };
        for (deadline, offset, expected) in [
            ("2027-01-31T15:00:00Z", "+00:00", "2027-01-31T00:00:00Z today"),
            // The first and the last second of a day.
            ("2027-01-31T00:00:00Z", "+00:00", "2027-01-31T00:00:00Z today"),
            ("2027-01-31T23:59:59Z", "+00:00", "2027-01-31T00:00:00Z today"),
            ("2027-01-31T23:30:00Z", "+02:00", "2027-01-31T22:00:00Z today"),
            ("2027-01-31T21:59:59Z", "+02:00", "2027-01-30T22:00:00Z today"),
            ("2027-01-31T01:00:00Z", "-03:30", "2027-01-30T03:30:00Z today"),
            ("2027-01-31T12:00:00Z", "+05:45", "2027-01-30T18:15:00Z today"),
        ] {
            assert_eq!(today(deadline, "2027-01-20T00:00:00Z", offset), expected, "{deadline} {offset}");
        }
        // Late is not lost, but the next day it is too late.
        for (now, expected) in [
            ("2027-01-30T23:59:59Z", "2027-01-31T00:00:00Z today"),
            ("2027-01-31T00:00:00Z", "now today"),
            ("2027-01-31T23:59:59Z", "now today"),
            ("2027-02-01T00:00:00Z", ""),
        ] {
            assert_eq!(today("2027-01-31T08:00:00Z", now, "+00:00"), expected, "{now}");
        }
    }

    #[test]
    fn short_notices_are_as_good_as_long_ones() {
        let rule = "schedule:\n  - notices: [10m, 90s]\n";
        let deadline = ending("2027-01-31T00:00:30Z");
        let found = notices(rule, deadline, &span("2027-01-30T00:00:00Z", 1, "+00:00"));
        assert_eq!(found, ["2027-01-30T23:50:30Z 10m", "2027-01-30T23:59:00Z 90s"]);
        let found = notices(rule, deadline, &span("2027-01-30T23:59:00Z", 1, "+00:00"));
        assert_eq!(found, ["now 90s"]);
        assert!(
            notices(rule, deadline, &span("2027-01-31T00:00:30Z", 1, "+00:00")).is_empty(),
            "the deadline has passed"
        );
    }

    #[test]
    fn who_is_late_hears_the_tightest_notice_that_is_open() {
        let deadline = ending("2027-01-31T12:00:00Z");
        let now = |now: &str| notices("", deadline, &span(now, 1, "+00:00"));
        assert_eq!(now("2027-01-21T12:00:00Z"), ["now 10d"]);
        assert_eq!(now("2027-01-25T11:59:59Z"), ["now 10d"]);
        assert_eq!(
            now("2027-01-26T11:59:59Z"),
            ["now 10d", "2027-01-26T12:00:00Z 5d"],
            "up to the next notice"
        );
        assert_eq!(now("2027-01-29T11:59:59Z"), ["now 5d"]);
        assert_eq!(now("2027-01-29T12:00:00Z"), ["now 5d", "2027-01-30T12:00:00Z 1d"]);
        assert_eq!(now("2027-01-30T12:00:00Z"), ["now 1d", "2027-01-31T00:00:00Z today"]);
        assert_eq!(now("2027-01-31T00:00:00Z"), ["now today"], "not the 1d notice, too");
        let only = "schedule:\n  - notices: [10d]\n";
        assert_eq!(
            notices(only, deadline, &span("2027-01-31T11:59:59Z", 30, "+00:00")),
            ["now 10d"],
            "up to the deadline"
        );
        assert!(notices(only, deadline, &span("2027-01-31T12:00:00Z", 30, "+00:00")).is_empty());
    }

    #[test]
    fn today_may_begin_before_a_notice_of_hours() {
        let rule = "schedule:\n  - notices: [6h, today]\n";
        let deadline = ending("2027-01-31T12:00:00Z");
        let found = |now: &str| notices(rule, deadline, &span(now, 1, "+00:00"));
        assert_eq!(found("2027-01-30T20:00:00Z"), ["2027-01-31T00:00:00Z today", "2027-01-31T06:00:00Z 6h"]);
        assert_eq!(found("2027-01-31T08:00:00Z"), ["now today"]);
    }

    #[test]
    fn no_notice_is_wider_than_the_life_of_the_token() {
        let lived =
            |issued: &str| NoticeStatus { issued: Some(at(issued)), ..ending("2027-01-31T12:00:00Z") };
        let found = |issued: &str, now: &str| notices("", lived(issued), &span(now, 1, "+00:00"));
        // Of eight days' life: the 10d notice would be open, but its instant lies before the token's birth.
        assert!(found("2027-01-23T12:00:00Z", "2027-01-23T12:00:00Z").is_empty());
        assert_eq!(found("2027-01-21T12:00:00Z", "2027-01-23T12:00:00Z"), ["now 10d"]);
        // Of a day's life: the last day. Of an hour's: nothing, for it is renewed all the time.
        assert_eq!(found("2027-01-30T12:00:00Z", "2027-01-31T11:00:00Z"), ["now today"]);
        assert!(found("2027-01-31T11:00:00Z", "2027-01-31T11:00:00Z").is_empty());
    }

    #[test]
    fn a_login_stands_where_clocks_and_probe_put_it() {
        use crate::model::Cause;
        use crate::network::Certainty::Plain;
        let now = at("2027-01-31T12:00:00Z");
        let (early, late) = (at("2027-01-31T11:00:00Z"), at("2027-02-05T00:00:00Z"));
        let clocks = |access| Clocks {
            access: Expiry::At(access),
            refresh: Expiry::At(late),
            issued: Some(early),
            ..Clocks::default()
        };
        let refreshed = NoticeStatus::new(clocks(early), true, Some(Verdict::Valid), now);
        assert_eq!(refreshed, NoticeStatus { deadline: Expiry::At(late), issued: None, broken: false });
        let fixed = NoticeStatus::new(clocks(early), false, None, now);
        assert_eq!(fixed, NoticeStatus { deadline: Expiry::At(early), issued: Some(early), broken: false });
        for (access, verdict, broken) in [
            (early, Verdict::Invalid(Reason::TokenExpired, Plain), false),
            (early, Verdict::Invalid(Reason::PasswordChanged, Plain), true),
            (late, Verdict::Invalid(Reason::TokenExpired, Plain), true),
            (late, Verdict::Invalid(Reason::AccessRevoked, Plain), true),
            (late, Verdict::Undetermined(Cause::Timeout), false),
        ] {
            assert_eq!(
                NoticeStatus::new(clocks(access), false, Some(verdict), now).broken,
                broken,
                "{verdict:?}"
            );
        }
    }

    #[test]
    fn one_mail_for_each_credential_notice_and_list_of_recipients() {
        let more = "  - {id: two, network: facebook, credential: jane}\n\x20 - {id: three, network: \
                    facebook, credential: jane, notify: [kim@example.com, lee@example.com]}\n\x20 - {id: \
                    watched, network: facebook, credential: jane, use: monitored}\n\x20 - {id: other, \
                    network: facebook, token: sim-other}\n";
        let found = told(more, ending("2027-01-31T12:00:00Z"), &span("2027-01-20T12:00:00Z", 7, "+00:00"));
        let expected = [
            "2027-01-21T12:00:00Z 10d kim@example.com,lee@example.com three",
            "2027-01-21T12:00:00Z 10d ops@example.com page,two,watched",
            "2027-01-21T12:00:00Z 10d ops@example.com other",
            "2027-01-26T12:00:00Z 5d kim@example.com,lee@example.com three",
            "2027-01-26T12:00:00Z 5d ops@example.com page,two",
            "2027-01-26T12:00:00Z 5d ops@example.com other",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn who_opted_out_gets_none() {
        let more = "  - {id: two, network: facebook, credential: jane, notify: [kim@example.com, \
                    lee@example.com], notify_opt_out: [Kim@example.com]}\n\x20 - {id: three, network: \
                    facebook, credential: jane, notify_opt_out: [ops@example.com]}\n";
        let found = told(more, ending("2027-01-31T12:00:00Z"), &span("2027-01-21T00:00:00Z", 1, "+00:00"));
        let expected =
            ["2027-01-21T12:00:00Z 10d lee@example.com two", "2027-01-21T12:00:00Z 10d ops@example.com page"];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_first_rule_that_matches_holds() {
        let more = "schedule:\n  - match: {use: [paid]}\n    notices: [1d]\n  - match: {network: \
                    facebook}\n    notices: [2d]\n  - notices: [3d]\n";
        let found =
            notices(more, ending("2027-01-31T12:00:00Z"), &span("2027-01-20T12:00:00Z", 30, "+00:00"));
        assert_eq!(found, ["2027-01-29T12:00:00Z 2d"]);
    }

    #[test]
    fn who_gets_no_mail_is_counted() {
        let more = "  - {id: two, network: facebook, credential: jane}\n  - {id: three, network: facebook, \
                    token: sim-3}\n\x20 - {id: four, network: facebook, token: sim-4}\n  - {id: five, \
                    network: facebook, token: sim-5, use: paid}\nschedule:\n  - match: {use: [owned]}\n    \
                    notices: [1d]\n";
        let (rules, inventory) = load(more);
        let ends = ending("2027-01-31T12:00:00Z");
        let never = NoticeStatus { deadline: Expiry::Never, ..NoticeStatus::default() };
        let standings = [ends, NoticeStatus { broken: true, ..ends }, never, NoticeStatus::default(), ends];
        let plan = plan(&rules, &inventory, &standings, &span("2027-01-20T12:00:00Z", 30, "+00:00"));
        assert_eq!(
            plan.without_mails,
            Silent { invalid: 1, no_deadline: 1, unknown_deadline: 1, no_rule: 1, opted_out: 0 }
        );
        let closing = "1 mail within 30 days, about 1 account; 1 invalid; 1 without a deadline; 1 with an \
                       unknown deadline; 1 that no rule of the schedule matches";
        assert_eq!(plan.closing(), closing);
    }

    #[test]
    fn an_event_keeps_its_identity() {
        let (rules, inventory) = load("");
        let uid = |deadline: &str, now: &str| {
            let plan = plan(&rules, &inventory, &[ending(deadline)], &span(now, 30, "+00:00"));
            plan.mails.first().map(Mail::uid)
        };
        let first = uid("2027-01-31T12:00:00Z", "2027-01-20T00:00:00Z");
        assert!(first.as_ref().is_some_and(|uid| uid.len() == 32 + "@token-exporter".len()));
        assert_eq!(first, uid("2027-01-31T12:00:00Z", "2027-01-22T00:00:00Z"), "whenever it is made");
        assert_ne!(
            first,
            uid("2027-02-01T12:00:00Z", "2027-01-20T00:00:00Z"),
            "a renewed token is another matter"
        );
        assert_ne!(first, uid("2027-01-31T12:00:00Z", "2027-01-26T12:00:00Z"), "another notice");
    }
}
