//! The mails to come: as they are printed, and as the program finds them out.

use token_exporter::api::{NoticeStatus, Plan, Span, plan};
use token_exporter::config;
use token_exporter::model::{Expiry, Timestamp, parse_offset};

use crate::golden::assert_golden;

/// Accounts in each state that matters, on a fixed day.
fn fixed() -> Plan {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a file");
    std::fs::write(file.path(), include_str!("../golden/schedule.yaml")).expect("written");
    let mut config = config::load(&[file.path().to_owned()]).unwrap_or_else(|p| panic!("{p}"));
    let rules = std::mem::take(&mut config.schedule);
    let inventory = config.inventory(|_| true);
    let at = |text: &str| Timestamp::parse(text).expect("an instant");
    let standings: Vec<NoticeStatus> = inventory
        .accounts()
        .map(|account| {
            let (deadline, issued) = match account.credential().expect("a login").id() {
                "jane" => (Expiry::At(at("2027-01-31T23:30:00Z")), Some(at("2026-12-02T23:30:00Z"))),
                "soon" => (Expiry::At(at("2027-01-19T08:00:15Z")), None),
                "endless" => (Expiry::Never, None),
                "unread" => (Expiry::Unknown, None),
                _ => (Expiry::At(at("2027-01-25T00:00:00Z")), None),
            };
            NoticeStatus { deadline, issued, broken: account.id() == "broken" }
        })
        .collect();
    let span = Span {
        now: at("2027-01-16T12:00:00Z"),
        days: 30,
        offset: parse_offset("+02:00").expect("an offset"),
    };
    plan(&rules, &inventory, &standings, &span)
}

#[test]
fn the_mails_are_printed_as_before() {
    let plan = fixed();
    assert_golden("golden/schedule.txt", &plan.table(160));
    assert_golden("golden/schedule.json", &format!("{}\n", plan.json().expect("JSON")));
    assert_golden("golden/schedule.ics", &plan.ics());
}

#[test]
fn the_calendar_is_one() {
    let text = fixed().ics();
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "every line ends with CRLF");
    let lines: Vec<&str> = text.strip_suffix("\r\n").expect("a last line's end").split("\r\n").collect();
    assert!(lines.iter().all(|l| l.len() <= 75), "folded at 75 octets");
    // Unfolded, every line is a property; the components nest; every event has what it must have, once.
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
