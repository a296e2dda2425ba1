//! The Alertmanager configuration: who gets which alert, grouped so that each event is one mail.

use std::fmt::Write as _;
use std::time::Duration;

use super::{DAY, narrowest, windows};
use crate::config::ScheduleRule;
use crate::model::format_duration;

/// What differs from one place to another.
#[derive(Clone, Debug)]
pub struct MailSettings {
    /// The mail server, as host and port.
    pub smarthost: String,
    /// The sender.
    pub from: String,
    /// Who gets what nobody else is named for.
    pub operators: Vec<String>,
    /// Where pages go.
    pub pager: String,
}

/// How long mails wait for company; a good part of the narrowest window must remain.
fn group_wait(schedule: &[ScheduleRule]) -> Duration {
    Duration::from_secs((narrowest(schedule) / 8).clamp(1, 120))
}

/// The routes of notices. One that stands for less than a day can return with the next token before
/// a day is over: it is forgotten sooner.
fn expiring(schedule: &[ScheduleRule]) -> String {
    let windows = windows(schedule);
    let mut routes = String::new();
    let mut put = |which: &str, interval: &str| {
        for (receiver, named, by) in [("people", ", notify != \"\"", ", notify"), ("operator", "", "")] {
            let _ = write!(
                routes,
                "    - receiver: {receiver}\n      matchers: [alertname = \
                 \"ConnectionExpiring\"{which}{named}]\n      group_by: [alertname, credential, \
                 notice{by}]\n{interval}"
            );
        }
    };
    for window in
        windows.chunk_by(|a, b| a.notice == b.notice).filter_map(|same| same.iter().min_by_key(|w| w.width()))
    {
        if window.width() < DAY {
            let interval = format_duration(Duration::from_secs(window.width() * 3 / 2));
            put(
                &format!(", notice = \"{}\"", window.notice.label()),
                &format!("      group_interval: {interval}\n"),
            );
        }
    }
    put("", "");
    routes
}

/// As a string of YAML.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The whole Alertmanager configuration.
pub fn alertmanager(schedule: &[ScheduleRule], mail: &MailSettings) -> String {
    let operators =
        if mail.operators.is_empty() { "operator@localhost".to_owned() } else { mail.operators.join(", ") };
    TEMPLATE
        .replace("@EXPIRING@", &expiring(schedule))
        .replace("@WAIT@", &format_duration(group_wait(schedule)))
        .replace("@SMARTHOST@", &quoted(&mail.smarthost))
        .replace("@FROM@", &quoted(&mail.from))
        .replace("@OPERATORS@", &quoted(&operators))
        .replace("@PAGER@", &quoted(&mail.pager))
}

const TEMPLATE: &str = r#"# Made by `token_exporter generate alertmanager`. Needs Alertmanager 0.25 or later, and its retention of 120h.
# Change the mail server, the sender, the operator and the pager; leave the times: they make each event one mail.
global:
  smtp_smarthost: @SMARTHOST@
  smtp_from: @FROM@
  smtp_require_tls: false  # true if the mail server is on another machine

templates: [templates/*.tmpl]

route:
  receiver: operator
  group_by: [alertname, network, app, job]
  group_wait: @WAIT@
  # An alert that is away for a while and returns within this time is no news.
  group_interval: 36h
  # Longer than any alert that is mailed to people stands, shorter than the retention.
  repeat_interval: 110h
  routes:
    # Pages: an open loss, and the last day. They end with what they are about.
    - receiver: pager
      matchers: [alertname = "ConnectionInvalid"]
      group_by: [alertname, credential, reason]
      group_interval: 5m
    - receiver: pager
      matchers: [alertname = "ConnectionExpiring", severity = "critical"]
      group_by: [alertname, credential, notice]
      group_interval: 5m
      continue: true
    - receiver: pager
      matchers: [alertname =~ "TokenExporter.+", severity = "critical"]
      group_interval: 5m
      repeat_interval: 4h
    # Mails: one per login, notice and list of recipients.
    # Who was named and has opted out gets none, and nobody gets it instead.
    - receiver: nobody
      matchers: [alertname =~ "Connection.+", notify = "none"]
      group_by: [alertname, credential]
@EXPIRING@    - receiver: people
      matchers: [alertname = "ConnectionLost", notify != ""]
      group_by: [alertname, credential, since, notify]
    - receiver: operator
      matchers: [alertname = "ConnectionLost"]
      group_by: [alertname, credential, since]
    - receiver: people
      matchers: [alertname = "ConnectionDegraded", news = "yes", notify != ""]
      group_by: [alertname, credential, notify]
    - receiver: operator
      matchers: [alertname = "ConnectionDegraded", news = "yes"]
      group_by: [alertname, credential]
    # To mail recoveries, name `people` here and add `notify != ""` to the matchers.
    - receiver: nobody
      matchers: [alertname =~ "ConnectionReconnected|ConnectionDegraded"]
      group_by: [alertname, credential, notify]
    # All else, the exporter's own warnings and what could not be verified for long, goes to the operator.

# Where the app is to blame, its connections are not news.
inhibit_rules:
  - source_matchers: [alertname = "TokenExporterAppUnhealthy"]
    target_matchers: [alertname = "ConnectionUnverified"]
    equal: [network]

receivers:
  - name: people
    email_configs:
      - to: '{{ .GroupLabels.notify }}'
        send_resolved: false
        headers: {Subject: '{{ template "token_exporter.subject" . }}'}
        html: '{{ template "token_exporter.html" . }}'
        text: '{{ template "token_exporter.text" . }}'
  - name: operator
    email_configs:
      - to: @OPERATORS@
        send_resolved: false
        headers: {Subject: '{{ template "token_exporter.subject" . }}'}
        html: '{{ template "token_exporter.html" . }}'
        text: '{{ template "token_exporter.text" . }}'
  - name: pager
    webhook_configs:
      - url: @PAGER@
        send_resolved: true
  - name: nobody
"#;
