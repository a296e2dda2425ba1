//! When the notices of a schedule are sent. This is the only place that knows: the rules, the routes
//! and the mails to come all ask a [`Window`].

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use chrono::FixedOffset;

use crate::config::{Notice, ScheduleRule};
use crate::model::{Reason, Timestamp, Use};
use crate::network::NetworkId;

/// A day, in seconds.
pub const DAY: u64 = 86_400;

/// The longest time that a mailed alert may fire, in seconds. Alertmanager forgets after 120 hours
/// what it has sent.
pub(super) const LONGEST: u64 = 4 * DAY;

/// Reasons that only say that the deadline has passed. Any other reason makes a notice pointless.
pub const EXPIRED: [Reason; 2] = [Reason::TokenExpired, Reason::DataAccessExpired];

/// Networks, by index, and uses of the accounts that a window is for.
pub(super) type Accounts = BTreeSet<(usize, Use)>;

/// The time before a deadline during which a notice is sent: it ends with the next notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub notice: Notice,
    /// The end of the window, in seconds before the deadline. 0 for [`Notice::Today`], whose window
    /// is the calendar day of the deadline.
    pub until: u64,
    /// Whether [`Notice::Today`] is the next notice and its day begins within this window.
    pub before_today: bool,
}

impl Window {
    /// The windows of a rule, one for each notice.
    pub fn of_rule(rule: &ScheduleRule) -> impl Iterator<Item = Self> + '_ {
        let next = rule.notices.iter().skip(1).map(Some).chain([None]);
        rule.notices.iter().zip(next).map(|(notice, next)| {
            let until = next.map_or(0, |next| seconds_before(*next));
            // The day of the deadline begins less than a day before it.
            let before_today = next == Some(&Notice::Today) && seconds_before(*notice) >= DAY;
            Self { notice: *notice, until, before_today }
        })
    }

    /// The beginning of the window, in seconds before the deadline.
    pub fn from(&self) -> u64 {
        seconds_before(self.notice)
    }

    /// How long the alert of the notice fires for one account, in seconds. An account can be added,
    /// and its deadline become known, at any time within the window.
    pub fn width(&self) -> u64 {
        match self.notice {
            Notice::Before(_) => self.from().saturating_sub(self.until).min(LONGEST),
            Notice::Today => DAY,
        }
    }

    /// Whether the window is longer than an alert may fire.
    pub fn is_long(&self) -> bool {
        self.from().saturating_sub(self.until) > LONGEST
    }

    /// The shortest lifetime of tokens that the notice is for, in seconds. Tokens with a shorter one
    /// are renewed automatically.
    pub fn shortest_lifetime(&self) -> u64 {
        match self.notice {
            Notice::Before(_) => self.from(),
            Notice::Today => DAY,
        }
    }

    pub fn severity(&self) -> &'static str {
        match self.notice {
            Notice::Today => "critical",
            Notice::Before(_) if self.from() >= 7 * DAY => "info",
            Notice::Before(_) => "warning",
        }
    }

    /// The window of one deadline. `offset` is that of the calendar that [`Notice::Today`] follows.
    pub fn of_deadline(&self, deadline: Timestamp, offset: FixedOffset) -> Range<Timestamp> {
        let signed = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
        match self.notice {
            Notice::Before(_) => deadline.plus(-signed(self.from()))..deadline.plus(-signed(self.until)),
            Notice::Today => {
                let day = signed(DAY);
                let time_of_day = (deadline.unix() + i64::from(offset.local_minus_utc())).rem_euclid(day);
                deadline.plus(-time_of_day)..deadline.plus(day - time_of_day)
            }
        }
    }
}

fn seconds_before(notice: Notice) -> u64 {
    match notice {
        Notice::Before(before) => before.as_secs(),
        Notice::Today => 0,
    }
}

/// The windows of a schedule and the accounts that each is for, the earliest first. The first rule
/// that matches an account holds.
pub fn windows(schedule: &[ScheduleRule]) -> Vec<(Window, Accounts)> {
    let mut windows: Vec<(Window, Accounts)> = Vec::new();
    for network in NetworkId::all() {
        for purpose in Use::ALL {
            let rule = schedule.iter().find(|rule| rule.matches(network, *purpose));
            for window in rule.into_iter().flat_map(Window::of_rule) {
                let account = (network.index(), *purpose);
                match windows.iter_mut().find(|(w, _)| *w == window) {
                    Some((_, accounts)) => _ = accounts.insert(account),
                    None => windows.push((window, Accounts::from([account]))),
                }
            }
        }
    }
    windows
        .sort_by_key(|(w, _)| (matches!(w.notice, Notice::Today), std::cmp::Reverse((w.from(), w.width()))));
    windows
}

/// The width of the narrowest window, in seconds.
fn narrowest(schedule: &[ScheduleRule]) -> u64 {
    windows(schedule).iter().map(|(w, _)| w.width()).min().unwrap_or(DAY).max(1)
}

/// The evaluation interval of the rules: short enough for the narrowest window.
pub(super) fn evaluation_interval(schedule: &[ScheduleRule]) -> Duration {
    Duration::from_secs((narrowest(schedule) / 6).clamp(1, 60))
}

/// How long Alertmanager waits for further alerts of a mail: a small part of the narrowest window.
pub(super) fn group_wait(schedule: &[ScheduleRule]) -> Duration {
    Duration::from_secs((narrowest(schedule) / 8).clamp(1, 120))
}

/// How long the events of a list of recipients are one moment after its first.
pub(super) fn moment(schedule: &[ScheduleRule]) -> Duration {
    Duration::from_secs((narrowest(schedule) / 5).clamp(1, 300))
}

/// How soon Alertmanager tries again to send what was held back until working hours.
pub(super) fn held_interval(schedule: &[ScheduleRule]) -> Duration {
    Duration::from_secs((narrowest(schedule) / 10).clamp(1, 900))
}
