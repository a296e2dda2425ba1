//! `schedule`: lists the mails to come.

use std::process::ExitCode;

use chrono::FixedOffset;
use clap::{Args, ValueEnum};

use super::check::read_sources;
use super::options::{ConfigOptions, LogOptions, utc_offset};
use super::{block_on, print, table_width, until_stopped};
use crate::api::{Period, expiry_statuses, plan_mails};
use crate::scheduler::probe_everything;

#[derive(Debug, Args)]
pub(super) struct Schedule {
    /// Number of days to look ahead
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=3660))]
    days: u32,
    /// Time zone in which days begin and times are shown, as +HH:MM or -HH:MM
    #[arg(long = "utc-offset", value_name = "OFFSET", default_value = "+00:00", value_parser = utc_offset)]
    #[arg(allow_hyphen_values = true)]
    utc_offset: FixedOffset,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: Output,
    #[command(flatten)]
    config: ConfigOptions,
    #[command(flatten)]
    log: LogOptions,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// For people
    Table,
    /// For programs
    Json,
    /// For calendars
    Ics,
}

impl Schedule {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        self.log.start();
        let mut config = self.config.load()?;
        let rules = std::mem::take(&mut config.schedule);
        let plan = block_on(until_stopped(async {
            let probed = probe_everything(read_sources(config).await?).await?;
            let statuses = expiry_statuses(&probed).await;
            let period = Period { now: probed.at, days: self.days, offset: self.utc_offset };
            anyhow::Ok(plan_mails(&rules, &probed.inventory, &statuses, &period))
        }))?;
        print(&match self.output {
            Output::Json => format!("{}\n", plan.json()?),
            Output::Table => plan.table(table_width()),
            Output::Ics => plan.ics(),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
