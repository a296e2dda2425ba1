//! `demo`: runs the exporter against the simulator, both in this process.

use std::fs::File;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::net::TcpListener;

use super::options::LogOptions;
use super::web::WebOptions;
use super::{block_on, print};
use crate::daemon::{Daemon, DaemonSettings, signals};
use crate::inventory::Shard;
use crate::model::Timestamp;
use crate::simulator::{self, Simulator};
use crate::transport::{client_builder, failure};

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Number of generated accounts, instead of one account in every state
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    accounts: Option<u32>,
    #[command(flatten)]
    web: WebOptions,
    #[command(flatten)]
    log: LogOptions,
}

impl Demo {
    pub(super) fn run(mut self) -> anyhow::Result<ExitCode> {
        self.log.start();
        // Without a host, the demo listens on loopback only.
        for address in &mut self.web.listen_address {
            if let Some(port) = address.strip_prefix(':') {
                *address = format!("127.0.0.1:{port}");
            }
        }
        block_on(self.serve())
    }

    async fn serve(self) -> anyhow::Result<ExitCode> {
        // Before anybody can know that it runs: shells start jobs in the background with SIGINT ignored.
        let (stop, hangup) = signals().context("cannot watch signals")?;
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen on loopback")?;
        let networks = listener.local_addr().context("cannot get the simulator's address")?;
        let fixtures = simulator::load_fixtures()?;
        let now = Timestamp::now();
        let mut files = Vec::new();
        let mut add = |yaml: &str| -> std::io::Result<()> {
            // A file without a name: however the demo ends, nothing is left of it.
            let mut file = tempfile::tempfile()?;
            file.write_all(yaml.as_bytes())?;
            files.push(file);
            Ok(())
        };
        let written = match self.accounts.map(usize::try_from) {
            None => add(&simulator::demo_config(&fixtures, networks, now, "15s")),
            Some(count) => {
                let count = count.unwrap_or(usize::MAX);
                simulator::generated_config(&fixtures, networks, now, "5m", count, add)
            }
        };
        written.context("cannot write the configuration to a temporary file")?;
        let path = |file: &File| PathBuf::from(format!("/dev/fd/{}", file.as_raw_fd()));
        let settings = DaemonSettings {
            config_files: files.iter().map(path).collect(),
            watch: None,
            storage: None,
            shard: Shard::WHOLE,
            peers: Vec::new(),
            on_demand: false,
            // It would warn about tokens in the configuration; these are made up.
            show_warnings: false,
            without_process_metrics: self.web.disable_exporter_metrics,
            web: self.web.settings(false),
        };
        let access = self.web.access()?;
        let scheme = if access.has_tls() { "https" } else { "http" };
        let daemon = Daemon::new(settings, access.clone())?;
        let listeners = self.web.bind(&access).await?;
        let simulation = tokio::spawn(Arc::new(Simulator::new(fixtures)).serve(listener));
        let prefix = self.web.prefix();
        let first = listeners.first().and_then(|(listener, _)| listener.local_addr().ok());
        let product = first
            .filter(|_| self.accounts.is_none())
            .map(|address| tokio::spawn(publish(format!("{scheme}://{address}{prefix}/api/v1/reports"))));
        let mut greeting = String::new();
        for address in listeners.iter().filter_map(|(listener, _)| listener.local_addr().ok()) {
            greeting += &format!("token_exporter demo: {scheme}://{address}{prefix}/\n");
            greeting +=
                &format!("metrics:             {scheme}://{address}{prefix}{}\n", self.web.telemetry_path);
        }
        greeting += &format!("simulated networks:  http://{networks}/\n");
        greeting += "A product publishes every minute, and reports that Facebook blocks one of its pages.\n";
        greeting += "Every account shows within a minute or two: ambiguous refusals wait for a second \
                     probe. Stop with Ctrl-C.\n";
        print(&greeting)?;
        Box::pin(daemon.run(listeners, stop, hangup)).await;
        simulation.abort();
        if let Some(product) = product {
            product.abort();
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Plays a product that publishes every minute, and reports what it saw.
async fn publish(url: String) {
    let Ok(client) = client_builder(Duration::from_secs(5)).no_proxy().build() else { return };
    let mut tick = tokio::time::interval(Duration::from_secs(60));
    loop {
        tick.tick().await;
        let request = client.post(&url).bearer_auth(simulator::DEMO_REPORTER_TOKEN);
        if let Err(error) = request.json(&simulator::demo_reports()).send().await {
            tracing::debug!(error = failure(&error).error, "the demo's product could not report");
        }
    }
}
