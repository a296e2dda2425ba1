//! The schedule: the windows of its notices, the mails that it plans, and how the plan is printed.

use std::time::Duration;

use token_exporter::alerting::{DAY, windows};
use token_exporter::api::{ExpiryStatus, Mail, MailPlan, Period, SkippedAccounts, plan_mails};
use token_exporter::config::{self, Notice, ScheduleRule};
use token_exporter::inventory::Inventory;
use token_exporter::model::{Cause, Expiry, Reason, Timestamp, Use, parse_offset};
use token_exporter::network::{Certainty, Clocks, NetworkId, Verdict};

use crate::golden::assert_golden;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a date and time")
}

fn period(now: &str, days: u32, offset: &str) -> Period {
    Period { now: at(now), days, offset: parse_offset(offset).expect("an offset") }
}

fn load_yaml(yaml: &str) -> (Vec<ScheduleRule>, Inventory) {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a file");
    std::fs::write(file.path(), yaml).expect("written");
    let mut config = config::load(&[file.path().to_owned()]).unwrap_or_else(|p| panic!("{p}\n{yaml}"));
    let rules = std::mem::take(&mut config.schedule);
    (rules, config.inventory(|_| true))
}

/// A Facebook page and its credential, followed by more configuration.
fn load(more: &str) -> (Vec<ScheduleRule>, Inventory) {
    load_yaml(&format!(
        "global: {{notify: [ops@example.com]}}\napps:\n  - {{id: app, network: facebook, client_id: \"1\", \
         client_secret: sim-s}}\ncredentials:\n  - {{id: jane, network: facebook, token: \
         sim-jane}}\naccounts:\n  - {{id: page, network: facebook, credential: jane}}\n{more}"
    ))
}

fn ending(deadline: &str) -> ExpiryStatus {
    ExpiryStatus { deadline: Expiry::At(at(deadline)), ..ExpiryStatus::default() }
}

/// The planned mails in short: time (or `now`), notice, recipients, accounts.
fn planned(more: &str, status: ExpiryStatus, period: &Period) -> Vec<String> {
    let (rules, inventory) = load(more);
    let statuses = vec![status; inventory.len()];
    let plan = plan_mails(&rules, &inventory, &statuses, period);
    let short = |m: &Mail| {
        let accounts: Vec<&str> = m.accounts.iter().map(|a| a.account.as_str()).collect();
        let when = if m.now { "now".to_owned() } else { m.at.to_string() };
        format!("{when} {} {} {}", m.notice, m.recipients.join(","), accounts.join(","))
    };
    plan.mails.iter().map(short).collect()
}

/// The times and notices of the planned mails.
fn notices(more: &str, status: ExpiryStatus, period: &Period) -> Vec<String> {
    let words = |line: String| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    planned(more, status, period).into_iter().map(words).collect()
}

fn rule(notices: &[Notice]) -> ScheduleRule {
    ScheduleRule { networks: Vec::new(), uses: Vec::new(), notices: notices.to_vec() }
}

fn before(seconds: u64) -> Notice {
    Notice::Before(Duration::from_secs(seconds))
}

#[test]
fn windows_are_bounded_and_do_not_overlap() {
    let all = |notices: &[Notice]| -> Vec<(String, u64, u64)> {
        windows(&[rule(notices)]).iter().map(|(w, _)| (w.notice.label(), w.from(), w.until)).collect()
    };
    assert_eq!(
        all(&[before(10 * DAY), before(5 * DAY), before(DAY), Notice::Today]),
        [
            ("10d".to_owned(), 10 * DAY, 5 * DAY),
            ("5d".to_owned(), 5 * DAY, DAY),
            ("1d".to_owned(), DAY, 0),
            ("today".to_owned(), 0, 0),
        ]
    );
    assert_eq!(all(&[before(200), before(90)]), [("200s".to_owned(), 200, 90), ("90s".to_owned(), 90, 0)]);
    assert_eq!(all(&[before(30 * DAY)]), [("30d".to_owned(), 30 * DAY, 0)]);
    for days in 1..60 {
        assert!(windows(&[rule(&[before(days * DAY)])]).iter().all(|(w, _)| w.width() <= 4 * DAY));
    }
}

#[test]
fn an_account_has_the_windows_of_the_first_rule_that_matches() {
    let facebook = NetworkId::from_name("facebook").expect("a network");
    let first = ScheduleRule {
        networks: vec![facebook],
        uses: vec![Use::Monitored],
        notices: vec![before(10 * DAY)],
    };
    let windows = windows(&[first, rule(&[before(5 * DAY)])]);
    let networks = NetworkId::all().count();
    assert_eq!(
        windows.iter().map(|(_, accounts)| accounts.len()).collect::<Vec<_>>(),
        [1, networks * Use::ALL.len() - 1]
    );
    assert!(windows[0].1.contains(&(facebook.index(), Use::Monitored)));
}

/// Accounts in each relevant state, at a fixed time.
fn fixed() -> MailPlan {
    let (rules, inventory) = load_yaml(include_str!("../golden/schedule.yaml"));
    let statuses: Vec<ExpiryStatus> = inventory
        .accounts()
        .map(|account| {
            let (deadline, issued) = match account.credential().expect("a login").id() {
                "jane" => (Expiry::At(at("2027-01-31T23:30:00Z")), Some(at("2026-12-02T23:30:00Z"))),
                "soon" => (Expiry::At(at("2027-01-19T08:00:15Z")), None),
                "endless" => (Expiry::Never, None),
                "unread" => (Expiry::Unknown, None),
                _ => (Expiry::At(at("2027-01-25T00:00:00Z")), None),
            };
            ExpiryStatus { deadline, issued, broken: account.id() == "broken" }
        })
        .collect();
    plan_mails(&rules, &inventory, &statuses, &period("2027-01-16T12:00:00Z", 30, "+02:00"))
}

#[test]
fn the_mails_are_printed_as_before() {
    let plan = fixed();
    assert_golden("golden/schedule.txt", &plan.table(160));
    assert_golden("golden/schedule.json", &format!("{}\n", plan.json().expect("JSON")));
    assert_golden("golden/schedule.ics", &plan.ics());
}

#[test]
fn long_and_odd_names_are_folded_and_escaped() {
    for (name, escaped) in [
        ("x".repeat(75), "x".repeat(75)),
        ("x".repeat(76), "x".repeat(76)),
        ("ü".repeat(200), "ü".repeat(200)),
        ("日本".repeat(60), "日本".repeat(60)),
        ("a\\b;c,d\ne\r\u{7}:\"f\"".to_owned(), "a\\\\b\\;c\\,d\\ne:\"f\"".to_owned()),
    ] {
        let mut plan = fixed();
        plan.mails.truncate(1);
        plan.mails[0].accounts.truncate(1);
        name.clone_into(&mut plan.mails[0].accounts[0].name);
        let text = plan.ics();
        assert!(text.split("\r\n").all(|line| line.len() <= 75), "{text}");
        let notice = &plan.mails[0].notice;
        let summary = format!("\r\nSUMMARY:{escaped}: expires in {notice}\r\n");
        assert!(text.replace("\r\n ", "").contains(&summary), "{text}");
    }
}

#[test]
fn the_status_follows_from_clocks_and_verdict() {
    let now = at("2027-01-31T12:00:00Z");
    let (early, late) = (at("2027-01-31T11:00:00Z"), at("2027-02-05T00:00:00Z"));
    let clocks = |access| Clocks {
        access: Expiry::At(access),
        refresh: Expiry::At(late),
        issued: Some(early),
        ..Clocks::default()
    };
    let refreshed = ExpiryStatus::new(clocks(early), true, Some(Verdict::Valid), now);
    assert_eq!(refreshed, ExpiryStatus { deadline: Expiry::At(late), issued: None, broken: false });
    let fixed = ExpiryStatus::new(clocks(early), false, None, now);
    assert_eq!(fixed, ExpiryStatus { deadline: Expiry::At(early), issued: Some(early), broken: false });
    for (access, verdict, broken) in [
        (early, Verdict::Invalid(Reason::TokenExpired, Certainty::Plain), false),
        (early, Verdict::Invalid(Reason::PasswordChanged, Certainty::Plain), true),
        (late, Verdict::Invalid(Reason::TokenExpired, Certainty::Plain), true),
        (late, Verdict::Invalid(Reason::AccessRevoked, Certainty::Plain), true),
        (late, Verdict::Undetermined(Cause::Timeout), false),
    ] {
        let status = ExpiryStatus::new(clocks(access), false, Some(verdict), now);
        assert_eq!(status.broken, broken, "{verdict:?}");
    }
}

#[test]
fn the_calendar_is_one() {
    let text = fixed().ics();
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "every line ends with CRLF");
    let lines: Vec<&str> = text.strip_suffix("\r\n").expect("a last line's end").split("\r\n").collect();
    assert!(lines.iter().all(|l| l.len() <= 75), "folded at 75 octets");
    // After unfolding, every line is a property, components nest, and every event has its required
    // properties once.
    let unfolded = text.replace("\r\n ", "");
    let mut open = Vec::new();
    let mut uids = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for line in unfolded.lines() {
        let (name, value) = line.split_once(':').expect("a property");
        assert!(name.bytes().all(|b| b.is_ascii_uppercase() || b == b'-'), "{line}");
        match name {
            "BEGIN" => {
                open.push(value);
                names.clear();
            }
            "END" => {
                assert_eq!(open.pop(), Some(value));
                if value == "VEVENT" {
                    for needed in ["UID", "DTSTAMP", "DTSTART", "SUMMARY", "DESCRIPTION"] {
                        assert_eq!(names.iter().filter(|n| **n == needed).count(), 1, "{needed}");
                    }
                }
            }
            "UID" => uids.push(value),
            "DTSTAMP" | "DTSTART" => assert!(value.len() == 16 && value.ends_with('Z'), "{line}"),
            _ => {}
        }
        names.push(name);
    }
    assert!(open.is_empty());
    let count = uids.len();
    uids.sort_unstable();
    uids.dedup();
    assert_eq!((uids.len(), count), (fixed().mails.len(), fixed().mails.len()), "an identity for each");
}

#[test]
fn each_notice_is_planned_at_its_time() {
    let found = notices("", ending("2027-01-31T15:00:00Z"), &period("2027-01-10T00:00:00Z", 30, "+00:00"));
    let expected = [
        "2027-01-21T15:00:00Z 10d",
        "2027-01-26T15:00:00Z 5d",
        "2027-01-30T15:00:00Z 1d",
        "2027-01-31T00:00:00Z today",
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_period_is_limited() {
    let deadline = ending("2027-01-31T15:00:00Z");
    assert_eq!(
        notices("", deadline, &period("2027-01-20T15:00:00Z", 1, "+00:00")),
        ["2027-01-21T15:00:00Z 10d"]
    );
    assert!(notices("", deadline, &period("2027-01-20T14:59:59Z", 1, "+00:00")).is_empty());
}

#[test]
fn today_is_the_calendar_day_of_the_recipients() {
    let today = |deadline: &str, now: &str, offset: &str| {
        let rule = "schedule:\n  - notices: [today]\n";
        notices(rule, ending(deadline), &period(now, 30, offset)).join("; ")
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
fn notices_can_be_minutes_or_seconds_before_the_deadline() {
    let rule = "schedule:\n  - notices: [10m, 90s]\n";
    let deadline = ending("2027-01-31T00:00:30Z");
    let found = notices(rule, deadline, &period("2027-01-30T00:00:00Z", 1, "+00:00"));
    assert_eq!(found, ["2027-01-30T23:50:30Z 10m", "2027-01-30T23:59:00Z 90s"]);
    let found = notices(rule, deadline, &period("2027-01-30T23:59:00Z", 1, "+00:00"));
    assert_eq!(found, ["now 90s"]);
    assert!(
        notices(rule, deadline, &period("2027-01-31T00:00:30Z", 1, "+00:00")).is_empty(),
        "the deadline has passed"
    );
}

#[test]
fn a_late_account_gets_the_last_notice_that_has_begun() {
    let deadline = ending("2027-01-31T12:00:00Z");
    let now = |now: &str| notices("", deadline, &period(now, 1, "+00:00"));
    assert_eq!(now("2027-01-21T12:00:00Z"), ["now 10d"]);
    assert_eq!(now("2027-01-25T11:59:59Z"), ["now 10d"]);
    assert_eq!(now("2027-01-26T11:59:59Z"), ["now 10d", "2027-01-26T12:00:00Z 5d"], "up to the next notice");
    assert_eq!(now("2027-01-29T11:59:59Z"), ["now 5d"]);
    assert_eq!(now("2027-01-29T12:00:00Z"), ["now 5d", "2027-01-30T12:00:00Z 1d"]);
    assert_eq!(now("2027-01-30T12:00:00Z"), ["now 1d", "2027-01-31T00:00:00Z today"]);
    assert_eq!(now("2027-01-31T00:00:00Z"), ["now today"], "not the 1d notice, too");
    let only = "schedule:\n  - notices: [10d]\n";
    assert_eq!(
        notices(only, deadline, &period("2027-01-31T11:59:59Z", 30, "+00:00")),
        ["now 10d"],
        "up to the deadline"
    );
    assert!(notices(only, deadline, &period("2027-01-31T12:00:00Z", 30, "+00:00")).is_empty());
}

#[test]
fn today_may_begin_before_a_notice_of_hours() {
    let rule = "schedule:\n  - notices: [6h, today]\n";
    let deadline = ending("2027-01-31T12:00:00Z");
    let found = |now: &str| notices(rule, deadline, &period(now, 1, "+00:00"));
    assert_eq!(found("2027-01-30T20:00:00Z"), ["2027-01-31T00:00:00Z today", "2027-01-31T06:00:00Z 6h"]);
    assert_eq!(found("2027-01-31T08:00:00Z"), ["now today"]);
}

#[test]
fn notices_need_tokens_that_live_long_enough() {
    let lived = |issued: &str| ExpiryStatus { issued: Some(at(issued)), ..ending("2027-01-31T12:00:00Z") };
    let found = |issued: &str, now: &str| notices("", lived(issued), &period(now, 1, "+00:00"));
    // Of eight days' life: the 10d notice would be open, but its instant lies before the token's birth.
    assert!(found("2027-01-23T12:00:00Z", "2027-01-23T12:00:00Z").is_empty());
    assert_eq!(found("2027-01-21T12:00:00Z", "2027-01-23T12:00:00Z"), ["now 10d"]);
    // Of a day's life: the last day. Of an hour's: nothing, for it is renewed all the time.
    assert_eq!(found("2027-01-30T12:00:00Z", "2027-01-31T11:00:00Z"), ["now today"]);
    assert!(found("2027-01-31T11:00:00Z", "2027-01-31T11:00:00Z").is_empty());
}

#[test]
fn one_mail_for_each_credential_notice_and_list_of_recipients() {
    let more = "  - {id: two, network: facebook, credential: jane}\n\x20 - {id: three, network: \
                facebook, credential: jane, notify: [kim@example.com, lee@example.com]}\n\x20 - {id: \
                watched, network: facebook, credential: jane, use: monitored}\n\x20 - {id: other, \
                network: facebook, token: sim-other}\n";
    let found = planned(more, ending("2027-01-31T12:00:00Z"), &period("2027-01-20T12:00:00Z", 7, "+00:00"));
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
fn recipients_who_opted_out_get_no_mail() {
    let more = "  - {id: two, network: facebook, credential: jane, notify: [kim@example.com, \
                lee@example.com], notify_opt_out: [Kim@example.com]}\n\x20 - {id: three, network: \
                facebook, credential: jane, notify_opt_out: [ops@example.com]}\n";
    let found = planned(more, ending("2027-01-31T12:00:00Z"), &period("2027-01-21T00:00:00Z", 1, "+00:00"));
    let expected =
        ["2027-01-21T12:00:00Z 10d lee@example.com two", "2027-01-21T12:00:00Z 10d ops@example.com page"];
    assert_eq!(found, expected);
}

#[test]
fn the_first_rule_that_matches_applies() {
    let more = "schedule:\n  - match: {use: [paid]}\n    notices: [1d]\n  - match: {network: \
                facebook}\n    notices: [2d]\n  - notices: [3d]\n";
    let found = notices(more, ending("2027-01-31T12:00:00Z"), &period("2027-01-20T12:00:00Z", 30, "+00:00"));
    assert_eq!(found, ["2027-01-29T12:00:00Z 2d"]);
}

#[test]
fn accounts_without_mails_are_counted() {
    let more = "  - {id: two, network: facebook, credential: jane}\n  - {id: three, network: facebook, \
                token: sim-3}\n\x20 - {id: four, network: facebook, token: sim-4}\n  - {id: five, \
                network: facebook, token: sim-5, use: paid}\nschedule:\n  - match: {use: [owned]}\n    \
                notices: [1d]\n";
    let (rules, inventory) = load(more);
    let ends = ending("2027-01-31T12:00:00Z");
    let never = ExpiryStatus { deadline: Expiry::Never, ..ExpiryStatus::default() };
    let statuses = [ends, ExpiryStatus { broken: true, ..ends }, never, ExpiryStatus::default(), ends];
    let plan = plan_mails(&rules, &inventory, &statuses, &period("2027-01-20T12:00:00Z", 30, "+00:00"));
    assert_eq!(
        plan.skipped,
        SkippedAccounts {
            invalid: 1,
            no_deadline: 1,
            unknown_deadline: 1,
            no_rule: 1,
            opted_out: 0,
            digest: 0,
        }
    );
    let closing = "1 mail within 30 days, about 1 account; 1 invalid; 1 without a deadline; 1 with an \
                   unknown deadline; 1 that no rule of the schedule matches";
    assert!(plan.table(160).contains(closing), "{}", plan.table(160));
}

#[test]
fn events_keep_their_uid() {
    let (rules, inventory) = load("");
    let uid = |deadline: &str, now: &str| {
        let plan = plan_mails(&rules, &inventory, &[ending(deadline)], &period(now, 30, "+00:00"));
        plan.ics().lines().find_map(|l| l.strip_prefix("UID:")).map(str::to_owned)
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
