//! `serve`: probes all accounts regularly and serves metrics.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use url::Url;

use super::options::{ConfigOptions, LogOptions};
use super::web::{self, WebOptions};
use super::{FAILED, block_on, print};
use crate::config::{self, Config};
use crate::daemon::{Daemon, DaemonSettings, signals};
use crate::inventory::{SecretSource, Shard, ordinal_of};
use crate::model::parse_duration;
use crate::server::{AccessControl, Endpoint};
use crate::source;

#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    pub config: ConfigOptions,
    /// Validate the configuration, print every problem, and exit with 0 or 2
    #[arg(long = "config.check")]
    config_check: bool,
    /// Reload when configuration or token files change
    #[arg(long = "config.auto-reload", value_name = "BOOL", default_value_t = true)]
    #[arg(default_missing_value = "true", num_args = 0..=1, require_equals = true)]
    #[arg(action = clap::ArgAction::Set)]
    auto_reload: bool,
    /// How often to check for changes
    #[arg(long = "config.auto-reload-interval", value_name = "DURATION", default_value = "30s")]
    #[arg(value_parser = duration)]
    auto_reload_interval: Duration,
    #[command(flatten)]
    pub web: WebOptions,
    /// Additional address that serves health and readiness only
    #[arg(long = "health.listen-address", value_name = "ADDRESS")]
    pub health_listen_address: Option<String>,
    /// Address for notices of networks (/events/) only, without TLS, instead of --web.listen-address; may
    /// be given several times
    #[arg(long = "events.listen-address", value_name = "ADDRESS")]
    events_listen_address: Vec<String>,
    /// Folder in which verdicts and clocks survive a restart; "none" keeps them in memory only
    #[arg(long = "storage.path", value_name = "FOLDER", default_value = "data/")]
    #[arg(value_parser = storage_path)]
    pub storage_path: Storage,
    /// Number of this shard, from 0; auto takes the number at the end of POD_NAME, or else of
    /// HOSTNAME
    #[arg(long, value_name = "N", default_value = "0", value_parser = ordinal)]
    shard: Ordinal,
    /// Number of shards
    #[arg(long = "total-shards", value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    total_shards: u32,
    /// Where all shards are reached, to hand on reports about accounts that another shard holds: the URL of
    /// each in the order of their numbers, or one URL in which {shard} stands for the number
    #[arg(long = "shard.peers", value_name = "URL")]
    peers: Vec<String>,
    /// Probe only what /probe is asked for, and nothing on a schedule
    #[arg(long = "probe.on-demand")]
    on_demand: bool,
    #[command(flatten)]
    log: LogOptions,
}

/// The folder for state, if there is one. (clap would take a bare `Option` for an optional flag.)
#[derive(Clone, Debug)]
pub struct Storage(pub Option<PathBuf>);

#[derive(Clone, Copy, Debug)]
enum Ordinal {
    Given(u32),
    /// The number at the end of the pod's name.
    OfPod,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        if self.config_check {
            return self.check_config();
        }
        let shard = self.share(|name| std::env::var(name).ok()).map_err(anyhow::Error::msg)?;
        let peers = self.peers()?;
        self.log.start();
        block_on(async {
            // First of all: a request to reload must not end a process that is still starting.
            let (stop, hangup) = signals().context("cannot watch signals")?;
            let access = self.web.access()?;
            let settings = DaemonSettings {
                web: self.web.settings(!self.events_listen_address.is_empty()),
                without_process_metrics: self.web.disable_exporter_metrics,
                config_files: self.config.files,
                watch: self.auto_reload.then_some(self.auto_reload_interval),
                storage: self.storage_path.0,
                shard,
                peers,
                on_demand: self.on_demand,
                show_warnings: true,
            };
            let daemon = Daemon::new(settings, access.clone())?;
            let mut listeners = self.web.bind(&access).await?;
            if let Some(address) = &self.health_listen_address {
                listeners.push((web::bind(address, "--health.listen-address").await?, Endpoint::Health));
            }
            for address in &self.events_listen_address {
                listeners.push((web::bind(address, "--events.listen-address").await?, Endpoint::Events));
            }
            Box::pin(daemon.run(listeners, stop, hangup)).await;
            Ok(ExitCode::SUCCESS)
        })
    }

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

    /// The addresses of all shards; none if they are not known.
    fn peers(&self) -> anyhow::Result<Vec<Url>> {
        let total = self.total_shards;
        let texts: Vec<String> = match self.peers.as_slice() {
            [one] if one.contains("{shard}") => {
                (0..total).map(|shard| one.replace("{shard}", &shard.to_string())).collect()
            }
            given => given.to_vec(),
        };
        anyhow::ensure!(
            texts.is_empty() || texts.len() == total as usize,
            "--shard.peers is given {} times, but there are {total} shards; expected the URL of each, or one \
             with {{shard}} in place of the number",
            texts.len()
        );
        texts.iter().map(|text| peer(text)).collect()
    }

    /// Prints every problem of the configuration and of the web configuration.
    fn check_config(&self) -> anyhow::Result<ExitCode> {
        let access = AccessControl::new(self.web.config_file.as_deref());
        let config = config::load(&self.config.files);
        let share = self.share(|name| std::env::var(name).ok());
        for problems in access.as_ref().err().into_iter().chain(config.as_ref().err()) {
            eprintln!("{problems}");
        }
        if let Err(problem) = &share {
            eprintln!("{problem}");
        }
        let warnings = config.as_ref().map_or_else(|problems| &problems.warnings, |config| &config.warnings);
        let web_warnings = access.as_ref().map_or_else(|problems| &*problems.warnings, |a| a.warnings());
        for warning in warnings.iter().chain(web_warnings) {
            eprintln!("warning: {warning}");
        }
        if let Ok(config) = &config {
            warn_of_token_files(config);
        }
        let (Ok(config), Ok(_), Ok(_)) = (config, access, share) else {
            return Ok(ExitCode::from(FAILED));
        };
        let (apps, credentials, accounts) =
            (config.apps.len(), config.table.credentials().len(), config.table.accounts().len());
        print(&format!(
            "configuration is valid: {apps} apps, {credentials} credentials, {accounts} accounts\n"
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn peer(text: &str) -> anyhow::Result<Url> {
    let url = Url::parse(text).ok().filter(|url| {
        let bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        matches!(url.scheme(), "http" | "https") && url.host().is_some() && bare && url.password().is_none()
    });
    url.with_context(|| {
        format!("--shard.peers {text:?} is not a URL such as http://token-exporter-{{shard}}:10219")
    })
}

/// Many of a kind are summed up.
fn warn_of_token_files(config: &Config) {
    const MAX_OF_A_KIND: usize = 10;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for credential in config.table.credentials() {
        let SecretSource::File(path) = credential.token() else { continue };
        for warning in source::file_warnings(&path, credential.auto_refresh()) {
            let count = counts.entry(warning.clone()).or_default();
            *count += 1;
            if *count <= MAX_OF_A_KIND {
                eprintln!("warning: {}: {warning}", path.display());
            }
        }
    }
    for (warning, count) in counts.iter().filter(|(_, count)| **count > MAX_OF_A_KIND) {
        eprintln!("warning: {} more token files: {warning}", count - MAX_OF_A_KIND);
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text).ok_or("not a duration such as 30s, 5m or 1h")?;
    if duration.is_zero() { Err("must be more than zero".to_owned()) } else { Ok(duration) }
}

fn ordinal(text: &str) -> Result<Ordinal, String> {
    if text == "auto" {
        return Ok(Ordinal::OfPod);
    }
    text.parse().map(Ordinal::Given).map_err(|_| "must be a number from 0, or auto".to_owned())
}

fn storage_path(text: &str) -> Result<Storage, String> {
    match text {
        "" => Err("must be a folder, or none".to_owned()),
        "none" => Ok(Storage(None)),
        folder => Ok(Storage(Some(PathBuf::from(folder)))),
    }
}
