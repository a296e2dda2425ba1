//! The command line: what can be asked of the program, and nothing of how it is done.

use std::path::PathBuf;
use std::time::Duration;

use chrono::FixedOffset;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::inventory::{Shard, ordinal_of};
use crate::model::{parse_duration, parse_offset};

/// Tells which social-media connection is about to expire or has broken, why, and what to do.
#[derive(Debug, Parser)]
#[command(
    name = "token_exporter",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Cli {
    /// What to do; serve if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags of serve.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Probe all accounts regularly and serve metrics
    Serve(ServeArgs),
    /// Run the exporter against an embedded simulator of the networks; nothing to set up
    Demo(DemoArgs),
    /// Probe accounts once, the worst first; exit code 0 all valid, 1 some invalid, 2 could not
    /// run, 3 some undetermined
    Check(CheckArgs),
    /// Tell which mails are to come: when, to whom, about which accounts; probes every account once
    Schedule(ScheduleArgs),
    /// Tell what an answer of a network would mean; the body comes on standard input
    Classify(ClassifyArgs),
    /// Print the Prometheus rules or the Alertmanager configuration that the schedule asks for
    #[command(subcommand)]
    Generate(Generate),
    /// Ask a running exporter whether it is healthy; exit code 0 if so, 1 if not
    Healthcheck(HealthcheckArgs),
}

/// What can be generated.
#[derive(Clone, Debug, Subcommand)]
pub enum Generate {
    /// Print the Prometheus rules, a whole file
    Rules(GenerateRules),
    /// Print the Alertmanager configuration, a whole file
    Alertmanager(GenerateAlertmanager),
}

/// Flags of generate rules.
#[derive(Clone, Debug, Args)]
pub struct GenerateRules {
    /// Configuration file, may be given several times; the default schedule if none is given
    #[arg(long = "config.file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Time zone of the calendar that "today" goes by
    #[arg(long, value_name = "+HH:MM", default_value = "+00:00", value_parser = utc_offset, allow_hyphen_values = true)]
    pub utc_offset: FixedOffset,
    /// Where the runbooks are; NAME.md is put behind it
    #[arg(long, value_name = "URL", default_value = "docs/runbooks/")]
    pub runbook_url: String,
}

/// Flags of generate alertmanager.
#[derive(Clone, Debug, Args)]
pub struct GenerateAlertmanager {
    /// Configuration file, may be given several times; the default schedule if none is given
    #[arg(long = "config.file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Mail server as HOST:PORT
    #[arg(long, value_name = "ADDRESS", default_value = "localhost:25")]
    pub smtp_smarthost: String,
    /// Sender of the mails
    #[arg(long, value_name = "ADDRESS", default_value = "token-exporter@localhost")]
    pub smtp_from: String,
    /// Where pages go: a webhook
    #[arg(long, value_name = "URL", default_value = "http://localhost:9095/page")]
    pub pager_url: url::Url,
}

/// Flags of serve.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// Which configuration.
    #[command(flatten)]
    pub config: ConfigFiles,
    /// Validate the configuration, print every problem, and exit with 0 or 2
    #[arg(long = "config.check")]
    pub config_check: bool,
    /// Reload when configuration or token files change
    #[arg(long = "config.auto-reload", value_name = "BOOL", default_value_t = true, default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub auto_reload: bool,
    /// How often to look for changes
    #[arg(long = "config.auto-reload-interval", value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub auto_reload_interval: Duration,
    /// The HTTP side.
    #[command(flatten)]
    pub web: WebArgs,
    /// Address where health and readiness answer, too, and nothing else
    #[arg(long = "health.listen-address", value_name = "ADDRESS")]
    pub health_listen_address: Option<String>,
    /// Folder in which verdicts and clocks survive a restart; none to do without
    #[arg(long = "storage.path", value_name = "FOLDER", default_value = "data/", value_parser = storage_path)]
    pub storage_path: Storage,
    /// Which share of the credentials to probe, from 0; auto takes the number at the end of
    /// POD_NAME, or else of HOSTNAME
    #[arg(long, value_name = "N", default_value = "0", value_parser = ordinal)]
    pub shard: Ordinal,
    /// How many shards there are
    #[arg(long = "total-shards", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub total_shards: u32,
    /// Probe only what /probe is asked for, and nothing on a schedule
    #[arg(long = "probe.on-demand")]
    pub on_demand: bool,
    /// What is logged.
    #[command(flatten)]
    pub log: LogArgs,
}

/// The number of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordinal {
    /// This one.
    Given(u32),
    /// The one at the end of the pod's name.
    OfPod,
}

impl ServeArgs {
    /// The share of the credentials to probe. `variable` reads the environment.
    ///
    /// # Errors
    /// When there is no such share, or the environment does not tell which.
    pub fn share(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Shard, String> {
        let total = self.total_shards;
        match self.shard {
            Ordinal::Given(ordinal) => Shard::new(ordinal, total)
                .ok_or_else(|| format!("--shard {ordinal} must be less than --total-shards {total}")),
            Ordinal::OfPod => {
                let set = |name| variable(name).filter(|value| !value.is_empty()).map(|value| (name, value));
                let Some((name, pod)) = set("POD_NAME").or_else(|| set("HOSTNAME")) else {
                    return Err("--shard auto: neither POD_NAME nor HOSTNAME is set".to_owned());
                };
                let ordinal =
                    ordinal_of(&pod).map_err(|problem| format!("--shard auto: {name} {problem}"))?;
                Shard::new(ordinal, total).ok_or_else(|| {
                    format!(
                        "--shard auto: {name} {pod:?} makes it shard {ordinal}, which must be less than \
                         --total-shards {total}"
                    )
                })
            }
        }
    }
}

/// Which configuration.
#[derive(Clone, Debug, Args)]
pub struct ConfigFiles {
    /// Configuration file; may be given several times
    #[arg(long = "config.file", value_name = "FILE", default_value = "config.yaml")]
    pub files: Vec<PathBuf>,
}

/// The HTTP side.
#[derive(Clone, Debug, Args)]
pub struct WebArgs {
    /// Address to listen on; may be given several times
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = ":10219")]
    pub listen_address: Vec<String>,
    /// Path to configuration file that can enable TLS or authentication. See:
    /// https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
    #[arg(long = "web.config.file", value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// Path of the metrics
    #[arg(long = "web.telemetry-path", value_name = "PATH", default_value = "/metrics", value_parser = telemetry_path)]
    pub telemetry_path: String,
    /// URL under which the exporter is reached from outside; its path is the default route prefix
    #[arg(long = "web.external-url", value_name = "URL")]
    pub external_url: Option<url::Url>,
    /// Prefix of all paths
    #[arg(long = "web.route-prefix", value_name = "PATH")]
    pub route_prefix: Option<String>,
    /// Allow reloads by POST to /-/reload
    #[arg(long = "web.enable-lifecycle")]
    pub enable_lifecycle: bool,
    /// Scrapes at once; 0 for no limit
    #[arg(long = "web.max-requests", value_name = "N", default_value_t = 40)]
    pub max_requests: usize,
}

impl WebArgs {
    /// The prefix of all paths: empty, or with a leading slash and none at its end.
    pub fn prefix(&self) -> String {
        let given = self.route_prefix.as_deref();
        let path = given.or(self.external_url.as_ref().map(url::Url::path)).unwrap_or("");
        let bare = path.trim_matches('/');
        if bare.is_empty() { String::new() } else { format!("/{bare}") }
    }
}

/// What is logged.
#[derive(Clone, Debug, Args)]
pub struct LogArgs {
    /// Only log messages of this severity or above
    #[arg(long = "log.level", value_name = "LEVEL", default_value = "info")]
    pub level: Level,
    /// Notation of log messages
    #[arg(long = "log.format", value_name = "FORMAT", default_value = "logfmt")]
    pub format: LogFormat,
}

/// Severities.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Level {
    /// Errors alone.
    Error,
    /// And warnings.
    Warn,
    /// And what happens.
    Info,
    /// And each probe.
    Debug,
    /// And each call.
    Trace,
}

/// Notations of log messages.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// `ts=… level=… message=…`
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// Flags of demo.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// So many generated accounts instead of one in every state
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub accounts: Option<u32>,
    /// The HTTP side.
    #[command(flatten)]
    pub web: WebArgs,
    /// What is logged.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Flags of check.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// Accounts to probe; all if none is named
    pub accounts: Vec<String>,
    /// Which configuration.
    #[command(flatten)]
    pub config: ConfigFiles,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
    /// What is logged.
    #[command(flatten)]
    pub log: LogArgs,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Flags of schedule.
#[derive(Clone, Debug, Args)]
pub struct ScheduleArgs {
    /// How far to look ahead
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3660))]
    pub days: u32,
    /// Where days begin and how times are shown, as +HH:MM or -HH:MM
    #[arg(long = "utc-offset", value_name = "OFFSET", default_value = "+00:00", value_parser = utc_offset, allow_hyphen_values = true)]
    pub utc_offset: FixedOffset,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub output: ScheduleOutput,
    /// Which configuration.
    #[command(flatten)]
    pub config: ConfigFiles,
    /// What is logged.
    #[command(flatten)]
    pub log: LogArgs,
}

/// How the mails to come are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScheduleOutput {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// For calendars.
    Ics,
}

/// Flags of classify.
#[derive(Clone, Debug, Args)]
pub struct ClassifyArgs {
    /// Network that answered
    #[arg(long, value_name = "NAME", required_unless_present = "jsonl")]
    pub network: Option<String>,
    /// Call that was answered: a name, a path or a request line
    #[arg(long, value_name = "CALL")]
    pub call: Option<String>,
    /// HTTP status
    #[arg(long, value_name = "STATUS")]
    pub status: Option<u16>,
    /// Response header; may be given several times
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// When the access token ends: RFC 3339 or Unix seconds
    #[arg(long, value_name = "TIME")]
    pub expires_at: Option<String>,
    /// Which of the network's APIs
    #[arg(long, value_name = "API")]
    pub api: Option<String>,
    /// oauth1 or oauth2
    #[arg(long, value_name = "AUTH")]
    pub auth: Option<String>,
    /// Read one JSON object a line, print one a line
    #[arg(long, conflicts_with_all = ["network", "call", "status", "headers", "expires_at", "api", "auth"])]
    pub jsonl: bool,
}

/// What healthcheck asks.
#[derive(Clone, Debug, Args)]
pub struct HealthcheckArgs {
    /// Where health answers over plain HTTP
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:10219/-/healthy")]
    pub url: url::Url,
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text).ok_or("not a duration such as 30s, 5m or 1h")?;
    if duration.is_zero() { Err("must be more than zero".to_owned()) } else { Ok(duration) }
}

fn ordinal(text: &str) -> Result<Ordinal, String> {
    match text {
        "auto" => Ok(Ordinal::OfPod),
        number => {
            number.parse().map(Ordinal::Given).map_err(|_| "must be a number from 0, or auto".to_owned())
        }
    }
}

fn utc_offset(text: &str) -> Result<FixedOffset, String> {
    parse_offset(text).ok_or_else(|| "not an offset such as +02:00 or -03:30".to_owned())
}

/// Where state is kept: a folder, or nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage(pub Option<PathBuf>);

fn storage_path(text: &str) -> Result<Storage, String> {
    match text {
        "" => Err("must be a folder, or none".to_owned()),
        "none" => Ok(Storage(None)),
        folder => Ok(Storage(Some(PathBuf::from(folder)))),
    }
}

fn telemetry_path(text: &str) -> Result<String, String> {
    let fits = text.starts_with('/') && text.len() > 1 && !text.contains(['?', '#']);
    if fits { Ok(text.to_owned()) } else { Err("must be a path such as /metrics".to_owned()) }
}
