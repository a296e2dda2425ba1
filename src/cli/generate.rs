//! `generate`: prints Prometheus rules or an Alertmanager configuration.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use chrono::FixedOffset;
use clap::{Args, Subcommand};

use super::options::{CONFIG_FILE, load, utc_offset};
use super::print;
use crate::alerting;
use crate::config::{Config, default_schedule};

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
    /// Mail server as HOST:PORT
    #[arg(long, value_name = "ADDRESS", default_value = "localhost:25")]
    smtp_smarthost: String,
    /// Sender of the mails
    #[arg(long, value_name = "ADDRESS", default_value = "token-exporter@localhost")]
    smtp_from: String,
    /// Webhook that receives pages
    #[arg(long, value_name = "URL", default_value = "http://localhost:9095/page")]
    pager_url: url::Url,
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
            Self::Alertmanager(alertmanager) => {
                let (schedule, operators) = match alertmanager.config.load()? {
                    Some(config) => (config.schedule, config.global.notify),
                    None => (default_schedule(), Vec::new()),
                };
                let settings = alerting::MailSettings {
                    smarthost: alertmanager.smtp_smarthost,
                    from: alertmanager.smtp_from,
                    operators,
                    pager: alertmanager.pager_url.to_string(),
                };
                alerting::alertmanager(&schedule, &settings)
            }
        };
        print(&text)?;
        Ok(ExitCode::SUCCESS)
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
