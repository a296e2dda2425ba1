//! What Prometheus and Alertmanager need to send the right mail to the right person: text, made
//! from the schedule.
//!
//! [`rules()`] writes the Prometheus rules, [`alertmanager()`] the routes. Both follow the
//! [`Window`]s that the schedule opens before a deadline. Knows no network beyond its name and its
//! advice, and nothing of probing.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::config::{Notice, ScheduleRule};
use crate::model::Use;
use crate::network::NetworkId;

mod alertmanager;
mod rules;

pub use alertmanager::{MailSettings, alertmanager};
pub use rules::{Options, longest_gap, rules};

const DAY: u64 = 86_400;

/// Alertmanager forgets after 120 hours what it has sent, so no alert that is mailed may stand that
/// long.
const WIDEST: u64 = 4 * DAY;

/// While a notice stands, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The notice that it announces.
    pub notice: Notice,
    /// The end of the window, in seconds before the deadline: the next notice. Nothing for
    /// [`Notice::Today`].
    pub until: u64,
    /// Whether `today` follows within the window.
    pub before_today: bool,
    /// For which accounts: network and use.
    pub matches: BTreeSet<(usize, Use)>,
}

impl Window {
    /// The beginning of the window, in seconds before the deadline.
    pub fn from(&self) -> u64 {
        match self.notice {
            Notice::Before(before) => before.as_secs(),
            Notice::Today => 0,
        }
    }

    /// How long the notice stands for one account, which may come to know its deadline at any time
    /// within the window.
    pub fn width(&self) -> u64 {
        match self.notice {
            Notice::Before(before) => before.as_secs().saturating_sub(self.until).min(WIDEST),
            Notice::Today => DAY,
        }
    }

    /// Whether the window is longer than a notice may stand.
    pub fn is_long(&self) -> bool {
        self.from().saturating_sub(self.until) > WIDEST
    }

    /// How long a token must live to be announced: what lives for less is renewed by something
    /// else.
    pub fn life(&self) -> u64 {
        match self.notice {
            Notice::Before(before) => before.as_secs(),
            Notice::Today => DAY,
        }
    }

    /// How much it matters.
    pub fn severity(&self) -> &'static str {
        match self.notice {
            Notice::Today => "critical",
            Notice::Before(before) if before.as_secs() >= 7 * DAY => "info",
            Notice::Before(_) => "warning",
        }
    }
}

/// The windows that a schedule opens, the earliest first. An account belongs to the first rule that
/// matches it.
pub fn windows(schedule: &[ScheduleRule]) -> Vec<Window> {
    let mut windows: Vec<Window> = Vec::new();
    for network in NetworkId::all() {
        for purpose in Use::ALL {
            let Some(rule) = schedule.iter().find(|rule| rule.matches(network, *purpose)) else { continue };
            for (i, notice) in rule.notices.iter().enumerate() {
                let next = rule.notices.get(i + 1);
                let begin = if let Notice::Before(before) = notice { before.as_secs() } else { 0 };
                let until = if let Some(Notice::Before(next)) = next { next.as_secs() } else { 0 };
                // The day of the deadline begins less than a day before it.
                let before_today = next == Some(&Notice::Today) && until == 0 && begin >= DAY;
                let same = windows
                    .iter_mut()
                    .find(|w| w.notice == *notice && w.until == until && w.before_today == before_today);
                let who = (network.index(), *purpose);
                match same {
                    Some(window) => {
                        window.matches.insert(who);
                    }
                    None => windows.push(Window {
                        notice: *notice,
                        until,
                        before_today,
                        matches: BTreeSet::from([who]),
                    }),
                }
            }
        }
    }
    windows.sort_by_key(|w| (matches!(w.notice, Notice::Today), std::cmp::Reverse((w.from(), w.width()))));
    windows
}

/// The narrowest window: what evaluation and waiting have to fit into.
fn narrowest(schedule: &[ScheduleRule]) -> u64 {
    windows(schedule).iter().map(Window::width).min().unwrap_or(DAY).max(1)
}

/// How often rules are evaluated: often enough for the narrowest window.
fn evaluation(schedule: &[ScheduleRule]) -> Duration {
    Duration::from_secs((narrowest(schedule) / 6).clamp(1, 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(notices: &[Notice]) -> ScheduleRule {
        ScheduleRule { networks: Vec::new(), uses: Vec::new(), notices: notices.to_vec() }
    }

    fn before(seconds: u64) -> Notice {
        Notice::Before(Duration::from_secs(seconds))
    }

    #[test]
    fn windows_are_bounded_and_do_not_overlap() {
        let all = |notices: &[Notice]| -> Vec<(String, u64, u64)> {
            windows(&[rule(notices)]).iter().map(|w| (w.notice.label(), w.from(), w.until)).collect()
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
        assert_eq!(
            all(&[before(200), before(90)]),
            [("200s".to_owned(), 200, 90), ("90s".to_owned(), 90, 0)]
        );
        assert_eq!(all(&[before(30 * DAY)]), [("30d".to_owned(), 30 * DAY, 0)]);
        for days in 1..60 {
            assert!(windows(&[rule(&[before(days * DAY)])]).iter().all(|w| w.width() <= WIDEST));
        }
    }

    #[test]
    fn the_first_rule_holds() {
        let facebook = NetworkId::from_name("facebook").map(|n| vec![n]).unwrap_or_default();
        let first = ScheduleRule {
            networks: facebook.clone(),
            uses: vec![Use::Monitored],
            notices: vec![before(10 * DAY)],
        };
        let windows = windows(&[first, rule(&[before(5 * DAY)])]);
        let networks = NetworkId::all().count();
        assert_eq!(
            windows.iter().map(|w| w.matches.len()).collect::<Vec<_>>(),
            [1, networks * Use::ALL.len() - 1]
        );
        assert!(windows[0].matches.contains(&(facebook[0].index(), Use::Monitored)));
    }

    #[test]
    fn small_windows_are_evaluated_often() {
        assert_eq!(evaluation(&[rule(&[before(DAY)])]), Duration::from_secs(60));
        assert_eq!(evaluation(&[rule(&[before(90)])]), Duration::from_secs(15));
    }
}
