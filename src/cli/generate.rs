//! `generate`: prints Prometheus rules or an Alertmanager configuration.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use chrono::FixedOffset;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};

use super::options::{CONFIG_FILE, load, utc_offset};
use super::print;
use crate::alerting;
use crate::config::{Config, ScheduleRule, SmtpSettings, default_schedule};

#[derive(Debug, Subcommand)]
pub(super) enum Generate {
    /// Print the Prometheus rules, a whole file
    Rules(Rules),
    /// Print the Alertmanager configuration, a whole file
    Alertmanager(Alertmanager),
}

#[derive(Debug, Args)]
struct ScheduleFiles {
    /// Configuration file; may be given several times. If none is given: config.yaml if there is one,
    /// or else the default schedule
    #[arg(long = "config.file", value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Rules {
    #[command(flatten)]
    config: ScheduleFiles,
    /// Time zone in which days begin
    #[arg(long, value_name = "+HH:MM", default_value = "+00:00", value_parser = utc_offset)]
    #[arg(allow_hyphen_values = true)]
    utc_offset: FixedOffset,
    /// URL to which the file name of a runbook is appended
    #[arg(long, value_name = "URL", default_value = alerting::RUNBOOKS)]
    runbook_url: url::Url,
    /// URL of the Grafana that has the dashboards, to which alerts then link
    #[arg(long, value_name = "URL")]
    grafana_url: Option<url::Url>,
}

#[derive(Debug, Args)]
pub(super) struct Alertmanager {
    #[command(flatten)]
    config: ScheduleFiles,
    /// Mail server as HOST:PORT [default: that of the configuration, or localhost:25]
    #[arg(long, value_name = "ADDRESS")]
    smtp_smarthost: Option<String>,
    /// Sender of the mails [default: that of the configuration, or token-exporter@localhost]
    #[arg(long, value_name = "ADDRESS")]
    smtp_from: Option<String>,
    /// Webhook that receives pages
    #[arg(long, value_name = "URL", default_value = "http://localhost:9095/page")]
    pager_url: url::Url,
    /// URL of the status page, to which mails link [default: that of the configuration]
    #[arg(long, value_name = "URL")]
    page_url: Option<url::Url>,
    /// What one mail about losses is for: a login, or all that a list of recipients loses within minutes
    #[arg(long, value_name = "WHAT", default_value = "credential")]
    group_mails_by: Grouping,
    /// Mail recoveries, too
    #[arg(long)]
    mail_recoveries: bool,
    /// What takes the place of mails (slack, msteams, telegram, webhook) or of the pager (pagerduty,
    /// opsgenie); may be given several times
    #[arg(long = "receiver", value_name = "KIND")]
    #[arg(value_parser = receiver_kinds())]
    receivers: Vec<alerting::Receiver>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Grouping {
    Credential,
    Person,
}

fn receiver_kinds() -> impl TypedValueParser<Value = alerting::Receiver> {
    let kinds = alerting::Receiver::ALL;
    PossibleValuesParser::new(kinds.map(alerting::Receiver::label))
        .map(move |label| kinds.into_iter().find(|kind| kind.label() == label).unwrap_or(kinds[0]))
}

impl Generate {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let text = match self {
            Self::Rules(rules) => {
                let config = rules.config.load()?;
                let defaults = alerting::Options::default();
                let options = alerting::Options {
                    utc_offset: i64::from(rules.utc_offset.local_minus_utc()),
                    runbooks: rules.runbook_url.into(),
                    grafana: rules.grafana_url.map(String::from),
                    longest_gap: config.as_ref().map_or(defaults.longest_gap, alerting::longest_gap),
                };
                alerting::rules(&config.map_or_else(default_schedule, |config| config.schedule), &options)
            }
            Self::Alertmanager(arguments) => {
                let config = arguments.config.load()?;
                let (schedule, settings) = arguments.settings(config);
                alerting::alertmanager(&schedule, &settings)
            }
        };
        print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Alertmanager {
    /// The schedule, and what the options and the configuration say.
    fn settings(self, config: Option<Config>) -> (Vec<ScheduleRule>, alerting::MailSettings) {
        let (schedule, operators, smtp, digest, people) = match config {
            Some(config) => {
                (config.schedule, config.global.notify, config.smtp, Some(config.digest), config.people)
            }
            None => (default_schedule(), Vec::new(), None, None, Vec::new()),
        };
        let configured = |value: fn(&SmtpSettings) -> String, usual: &str| {
            smtp.as_ref().map_or_else(|| usual.to_owned(), value)
        };
        let page_url = self.page_url.or_else(|| digest?.page_url).map(|mut url| {
            if !url.path().ends_with('/') {
                url.set_path(&format!("{}/", url.path()));
            }
            url.to_string()
        });
        let settings = alerting::MailSettings {
            smarthost: self
                .smtp_smarthost
                .unwrap_or_else(|| configured(SmtpSettings::smarthost, "localhost:25")),
            from: self
                .smtp_from
                .unwrap_or_else(|| configured(|smtp| smtp.from.clone(), "token-exporter@localhost")),
            smtp,
            operators,
            pager: self.pager_url.to_string(),
            page_url,
            people,
            grouping: match self.group_mails_by {
                Grouping::Credential => alerting::Grouping::Credential,
                Grouping::Person => alerting::Grouping::Person,
            },
            recoveries: self.mail_recoveries,
            receivers: self.receivers,
        };
        (schedule, settings)
    }
}

impl ScheduleFiles {
    fn load(&self) -> anyhow::Result<Option<Config>> {
        let usual = Path::new(CONFIG_FILE);
        if !self.files.is_empty() {
            load(&self.files).map(Some)
        } else if usual.try_exists().with_context(|| format!("cannot look for {CONFIG_FILE}"))? {
            load(&[usual.to_owned()]).map(Some)
        } else {
            eprintln!("there is no {CONFIG_FILE} here: this is for the default schedule");
            Ok(None)
        }
    }
}
