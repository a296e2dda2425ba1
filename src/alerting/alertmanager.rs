//! The Alertmanager configuration: who gets which alert, grouped so that each event is one mail.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::hours::hours;
use super::receivers::{self, Kind};
use super::schedule::{DAY, evaluation_interval, group_wait, held_interval, moment, windows};
use super::template::fill;
use crate::config::{ADDRESS, ScheduleRule, SmtpSettings};
use crate::inventory::{Person, SecretSource};
use crate::model::format_duration;

const CONFIGURATION: &str = include_str!("templates/alertmanager.yml.tmpl");
const SHORT_NOTICE: &str = include_str!("templates/short_notice.route.yml.tmpl");
const MOMENT_USES: &str = include_str!("templates/moment_uses.route.yml.tmpl");
const RECOVERIES: &str = include_str!("templates/recoveries.route.yml.tmpl");

/// Where Alertmanager reads the password of the mail server if the exporter has it from elsewhere
/// than a file.
const PASSWORD_FILE: &str = "/etc/alertmanager/secrets/smtp-password";

/// What losses, and posts that will fail, are grouped by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grouping {
    /// One mail for each login.
    #[default]
    Credential,
    /// One mail for all that a list of recipients loses within a few minutes.
    Person,
}

/// What differs from one installation to another.
#[derive(Clone, Debug, Default)]
pub struct MailSettings {
    pub smarthost: String,
    pub from: String,
    /// Further settings of the mail server.
    pub smtp: Option<SmtpSettings>,
    /// Addresses for alerts without recipients of their own.
    pub operators: Vec<String>,
    /// The URL of the webhook that gets pages.
    pub pager: String,
    /// The URL of the status page.
    pub page_url: Option<String>,
    pub people: Vec<Person>,
    pub grouping: Grouping,
    /// Whether recoveries are mailed.
    pub recoveries: bool,
    /// What takes the place of mails and of the pager.
    pub receivers: Vec<Kind>,
}

pub fn alertmanager(schedule: &[ScheduleRule], mail: &MailSettings) -> String {
    let operators = match mail.operators.as_slice() {
        [] => mail.operator().to_owned(),
        addresses => addresses.join(", "),
    };
    let (losses, or_moment) = match mail.grouping {
        Grouping::Credential => ("alertname, credential, since", ""),
        Grouping::Person => ("alertname, moment", "; one for all that a list loses within a few minutes"),
    };
    let wait = match mail.grouping {
        Grouping::Credential => String::new(),
        // Until the moment is over and the last of its alerts have arrived.
        Grouping::Person => {
            let wait = moment(schedule) + 2 * evaluation_interval(schedule);
            format!("group_wait: {}", format_duration(wait))
        }
    };
    let (time_intervals, working_hours) = hours(&mail.people, held_interval(schedule), losses, &wait);
    let recoveries = match mail.recoveries {
        true => fill(RECOVERIES, &[("LOSSES", losses), ("WAIT", &wait)]),
        false => "# Recoveries are mailed with --mail-recoveries.".to_owned(),
    };
    let uses = match mail.grouping {
        Grouping::Credential => String::new(),
        Grouping::Person => fill(MOMENT_USES, &[("LOSSES", losses), ("WAIT", &wait)]),
    };
    fill(
        CONFIGURATION,
        &[
            ("VERSION", &receivers::version(&mail.receivers).to_string()),
            ("SMARTHOST", &quoted(&mail.smarthost)),
            ("FROM", &quoted(&mail.from)),
            ("SMTP", &mail.server()),
            ("GROUP_WAIT", &format_duration(group_wait(schedule))),
            ("OR_MOMENT", or_moment),
            ("LOSSES", losses),
            ("WAIT", &wait),
            ("TIME_INTERVALS", &time_intervals),
            ("WORKING_HOURS", &working_hours),
            ("SHORT_NOTICES", &short_notices(schedule)),
            ("MOMENT_USES", &uses),
            ("RECOVERIES", &recoveries),
            ("READERS", &receivers::readers(mail, &operators)),
            ("PAGER", &receivers::pager(mail)),
        ],
    )
}

/// The content of a YAML string with single quotes.
pub(super) fn quoted(text: &str) -> String {
    text.replace('\'', "''")
}

impl MailSettings {
    /// The address that people write to.
    pub(super) fn operator(&self) -> &str {
        self.operators.first().map_or("operator@localhost", String::as_str)
    }

    /// A template for the URL where the recipients of a mail can stop mails.
    pub(super) fn unsubscribe(&self) -> String {
        let operator = self.operator();
        match self.smtp.as_ref().and_then(|smtp| smtp.unsubscribe_url.as_ref()) {
            Some(url) => {
                url.replace(ADDRESS, &format!("{{{{ or .GroupLabels.notify \"{operator}\" | urlquery }}}}"))
            }
            None => format!(
                "mailto:{operator}?subject=No%20more%20mails{{{{ with .GroupLabels.notify }}}}%20to%20{{{{ . \
                 | urlquery }}}}{{{{ end }}}}"
            ),
        }
    }

    /// The settings of the mail server beside its address.
    fn server(&self) -> String {
        let Some(smtp) = &self.smtp else {
            return "smtp_require_tls: false  # true if the mail server is on another machine".to_owned();
        };
        let auth = smtp.auth.as_ref().map(|(name, password)| {
            let file = match password {
                SecretSource::File(path) => absolute(path),
                _ => PASSWORD_FILE.into(),
            };
            format!(
                "smtp_auth_username: '{}'\nsmtp_auth_password_file: '{}'\n",
                quoted(name),
                quoted(&file.display().to_string())
            )
        });
        format!("{}smtp_require_tls: {}", auth.unwrap_or_default(), smtp.require_tls)
    }

    /// The keys of `tls_config` and their files.
    pub(super) fn tls_files(&self) -> Vec<(&'static str, String)> {
        let Some(smtp) = &self.smtp else { return Vec::new() };
        let (certificate, key) = smtp.identity.as_ref().map(|(c, k)| (c, k)).unzip();
        let files = [("ca_file", smtp.ca_file.as_ref()), ("cert_file", certificate), ("key_file", key)];
        let path = |path: &PathBuf| absolute(path).display().to_string();
        files.into_iter().filter_map(|(name, file)| Some((name, path(file?)))).collect()
    }
}

/// Alertmanager has another working directory.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Routes for notices that are sent for less than a day. The notice of the next token can follow
/// before a day has passed, so Alertmanager must consider the group changed sooner.
fn short_notices(schedule: &[ScheduleRule]) -> String {
    let windows = windows(schedule);
    let shortest = windows
        .chunk_by(|(a, _), (b, _)| a.notice == b.notice)
        .filter_map(|same| same.iter().map(|(window, _)| window).min_by_key(|w| w.width()));
    let routes = shortest.filter(|window| window.width() < DAY).map(|window| {
        let interval = format_duration(Duration::from_secs(window.width() * 3 / 2));
        fill(SHORT_NOTICE, &[("NOTICE", &window.notice.label()), ("GROUP_INTERVAL", &interval)])
    });
    routes.collect()
}
