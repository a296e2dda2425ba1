//! `demo`: runs the exporter against the simulator, both in this process.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::Arc;

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
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen on loopback")?;
        let networks = listener.local_addr().context("cannot get the simulator's address")?;
        let fixtures = simulator::load_fixtures()?;
        let now = Timestamp::now();
        let yaml = match self.accounts {
            None => simulator::demo_config(&fixtures, networks, now, "15s"),
            Some(count) => simulator::generated_config(
                &fixtures,
                networks,
                now,
                "5m",
                usize::try_from(count).unwrap_or(usize::MAX),
            ),
        };
        // The configuration is loaded from a file, like any other.
        let mut file = tempfile::Builder::new().prefix("token_exporter-demo-").suffix(".yaml").tempfile()?;
        file.write_all(yaml.as_bytes())?;
        let settings = DaemonSettings {
            config_files: vec![file.path().to_owned()],
            watch: None,
            storage: None,
            shard: Shard::WHOLE,
            on_demand: false,
            // It would warn about tokens in the configuration; these are made up.
            show_warnings: false,
            web: self.web.settings(),
        };
        let access = self.web.access()?;
        let scheme = if access.has_tls() { "https" } else { "http" };
        let daemon = Daemon::new(settings, access.clone())?;
        let listeners = self.web.bind(&access).await?;
        let simulation = tokio::spawn(Arc::new(Simulator::new(fixtures)).serve(listener));
        let prefix = self.web.prefix();
        let mut greeting = String::new();
        for address in listeners.iter().filter_map(|(listener, _)| listener.local_addr().ok()) {
            greeting += &format!("token_exporter demo: {scheme}://{address}{prefix}/\n");
            greeting +=
                &format!("metrics:             {scheme}://{address}{prefix}{}\n", self.web.telemetry_path);
        }
        greeting += &format!("simulated networks:  http://{networks}/\n");
        greeting += "Every account shows within a minute or two: ambiguous refusals wait for a second \
                     probe. Stop with Ctrl-C.\n";
        print(&greeting)?;
        let (stop, hangup) = signals().context("cannot watch signals")?;
        daemon.run(listeners, stop, hangup).await;
        simulation.abort();
        Ok(ExitCode::SUCCESS)
    }
}
