//! Options that several subcommands have.

use std::path::PathBuf;

use chrono::FixedOffset;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, ValueEnum};
use tracing::Level;

use crate::config::{self, Config};
use crate::model::parse_offset;
use crate::telemetry::start_logging;

/// Where the configuration is if no option names it.
pub(super) const CONFIG_FILE: &str = "config.yaml";

#[derive(Debug, Args)]
pub struct ConfigOptions {
    /// Configuration file; may be given several times
    #[arg(long = "config.file", value_name = "FILE", default_value = CONFIG_FILE)]
    pub files: Vec<PathBuf>,
}

impl ConfigOptions {
    pub(super) fn load(&self) -> anyhow::Result<Config> {
        load(&self.files)
    }
}

pub(super) fn load(files: &[PathBuf]) -> anyhow::Result<Config> {
    config::load(files).map_err(|problems| anyhow::anyhow!("{problems}"))
}

#[derive(Debug, Args)]
pub(super) struct LogOptions {
    /// Only log messages of this severity or above
    #[arg(long = "log.level", value_name = "LEVEL", default_value = "info")]
    #[arg(value_parser = PossibleValuesParser::new(LEVELS).try_map(|level| level.parse::<Level>()))]
    level: Level,
    /// Severity at which each probe and its calls are logged
    #[arg(long = "log.prober", value_name = "LEVEL", default_value = "debug")]
    #[arg(value_parser = PossibleValuesParser::new(LEVELS).try_map(|level| level.parse::<Level>()))]
    prober: Level,
    /// Format of log messages
    #[arg(long = "log.format", value_name = "FORMAT", default_value = "logfmt")]
    format: LogFormat,
}

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// `ts=… level=… message=…`
    Logfmt,
    /// One JSON object per line
    Json,
}

impl LogOptions {
    pub(super) fn start(&self) {
        start_logging(self.level, self.prober, self.format == LogFormat::Json);
    }
}

pub(super) fn utc_offset(text: &str) -> Result<FixedOffset, String> {
    parse_offset(text).ok_or_else(|| "not an offset such as +02:00 or -03:30".to_owned())
}
