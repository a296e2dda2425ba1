//! token_exporter: the binary. Reads the command line, binds, and lets the library run.
#![allow(clippy::print_stderr, reason = "what went wrong is printed there")]

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use token_exporter::api::{self, Period};
use token_exporter::cli::{
    CheckArgs, ClassifyArgs, Cli, Command, DemoArgs, Generate, HealthcheckArgs, Level, LogArgs, LogFormat,
    Output, Payload, ScheduleArgs, ScheduleOutput, ServeArgs, WebArgs,
};
use token_exporter::config::Config;
use token_exporter::daemon::{Daemon, DaemonSettings, signals};
use token_exporter::inventory::Shard;
use token_exporter::model::Timestamp;
use token_exporter::scheduler::probe_everything;
use token_exporter::server::{Endpoint, Gate};
use token_exporter::simulator::Simulator;
use token_exporter::{alerting, cli, config, daemon, server, simulator};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Could not run.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        None => run_serve(cli.serve),
        Some(Command::Serve(serve)) => run_serve(serve),
        Some(Command::Demo(demo)) => run_demo(demo),
        Some(Command::Check(check)) => run_check(check),
        Some(Command::Schedule(schedule)) => run_schedule(schedule),
        Some(Command::Classify(classify)) => run_classify(&classify),
        Some(Command::Generate(generate)) => run_generate(generate),
        Some(Command::Healthcheck(healthcheck)) => Ok(run_healthcheck(&healthcheck)),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("token_exporter: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

/// Writes to standard output. A reader that has seen enough (`| head`) is no failure.
fn say(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

/// Logs of this program alone: libraries would show requests in theirs. A panic goes there, too,
/// with its place and not with what it says: that can hold what a network sent.
fn start_logging(log: &LogArgs) {
    let level = match log.level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    };
    let registry = tracing_subscriber::registry().with(EnvFilter::new(format!("off,token_exporter={level}")));
    match log.format {
        LogFormat::Logfmt => {
            registry.with(tracing_logfmt::builder().layer().with_writer(std::io::stderr)).init()
        }
        LogFormat::Json => registry
            .with(tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr))
            .init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "a fault in this program");
    }));
}

/// Runs to the end. What still hangs then, on a disk that does not answer, say, does not hold the
/// process.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

fn load(files: &[std::path::PathBuf]) -> anyhow::Result<config::Config> {
    config::load(files).map_err(|problems| anyhow::anyhow!("{problems}"))
}

fn run_serve(serve: ServeArgs) -> anyhow::Result<u8> {
    if serve.config_check {
        return check_config(&serve);
    }
    let shard = serve.share(|name| std::env::var(name).ok()).map_err(anyhow::Error::msg)?;
    start_logging(&serve.log);
    block_on(async {
        // First of all: a wish to reload must not end a process that still starts.
        let (stop, hangup) = signals().context("cannot watch signals")?;
        let settings = DaemonSettings {
            config_files: serve.config.files,
            watch: serve.auto_reload.then_some(serve.auto_reload_interval),
            storage: serve.storage_path.0,
            shard,
            on_demand: serve.on_demand,
            show_warnings: true,
            web: web_settings(&serve.web),
        };
        let gate = gate(&serve.web)?;
        let daemon = Daemon::new(settings)?.behind(gate.clone());
        let mut doors: Vec<(TcpListener, Endpoint)> = Vec::new();
        for address in &serve.web.listen_address {
            doors.push((open(address, &gate).await?, Endpoint::Main));
        }
        if let Some(address) = &serve.health_listen_address {
            doors.push((bind(address, "--health.listen-address").await?, Endpoint::Health));
        }
        daemon.run(doors, stop, hangup).await?;
        Ok(0)
    })
}

/// Docker knows 0 and 1, and shows what was printed.
fn run_healthcheck(healthcheck: &HealthcheckArgs) -> u8 {
    match daemon::ask(&healthcheck.url) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error:#}");
            1
        }
    }
}

/// Prints what is wrong with the configuration and that of the HTTP side, or that nothing is.
fn check_config(serve: &ServeArgs) -> anyhow::Result<u8> {
    let web = Gate::new(serve.web.config_file.as_deref());
    if let Err(problems) = &web {
        eprintln!("{problems}");
    }
    match config::load(&serve.config.files) {
        Ok(config) => {
            let web = web.map(|gate| gate.warnings().to_vec());
            for warning in config.warnings.iter().chain(web.iter().flatten()) {
                eprintln!("warning: {warning}");
            }
            if web.is_err() {
                return Ok(FAILED);
            }
            let Config { apps, table, .. } = &config;
            let credentials = table.credentials().len();
            say(&format!(
                "configuration is valid: {} apps, {credentials} credentials, {} accounts\n",
                apps.len(),
                table.len()
            ))?;
            Ok(0)
        }
        Err(problems) => {
            eprintln!("{problems}");
            Ok(FAILED)
        }
    }
}

fn web_settings(web: &WebArgs) -> server::WebSettings {
    server::WebSettings {
        telemetry_path: web.telemetry_path.clone(),
        route_prefix: web.prefix(),
        enable_lifecycle: web.enable_lifecycle,
        max_requests: web.max_requests,
    }
}

/// Binds an address; `:10219` means all of this machine's.
async fn bind(address: &str, flag: &str) -> anyhow::Result<TcpListener> {
    let listener = match address.strip_prefix(':') {
        Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
            Err(error) if error.kind() != std::io::ErrorKind::AddrInUse => {
                TcpListener::bind(format!("0.0.0.0:{port}")).await
            }
            result => result,
        },
        None => TcpListener::bind(address).await,
    };
    let listener = listener.with_context(|| format!("cannot listen on {address} ({flag})"))?;
    let bound = listener.local_addr().context("cannot tell the address listened on")?;
    tracing::info!(address = %bound, "listening");
    Ok(listener)
}

/// Binds an address at which everything is served, with a warning if others can reach it too
/// easily.
async fn open(address: &str, gate: &Gate) -> anyhow::Result<TcpListener> {
    let listener = bind(address, "--web.listen-address").await?;
    let bound = listener.local_addr().context("cannot tell the address listened on")?;
    if let Some(risk) = gate.risk(bound.ip()) {
        tracing::warn!(address = %bound, "{risk}");
    }
    Ok(listener)
}

fn gate(web: &WebArgs) -> anyhow::Result<Arc<Gate>> {
    let gate = Gate::new(web.config_file.as_deref()).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    for warning in gate.warnings() {
        tracing::warn!(%warning, "the web configuration deserves a look");
    }
    Ok(Arc::new(gate))
}

fn run_demo(options: DemoArgs) -> anyhow::Result<u8> {
    start_logging(&options.log);
    block_on(async {
        let simulator = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))
            .await
            .context("cannot listen on loopback")?;
        let address = simulator.local_addr().context("cannot tell the simulator's address")?;
        let fixtures = simulator::load_fixtures()?;
        let now = Timestamp::now();
        let yaml = match options.accounts {
            None => simulator::demo_config(&fixtures, address, now, "15s"),
            Some(count) => simulator::generated_config(
                &fixtures,
                address,
                now,
                "5m",
                usize::try_from(count).unwrap_or(usize::MAX),
            ),
        };
        // The configuration takes the same road as any other: through a file.
        let mut file = tempfile::Builder::new().prefix("token_exporter-demo-").suffix(".yaml").tempfile()?;
        file.write_all(yaml.as_bytes())?;
        let settings = DaemonSettings {
            config_files: vec![file.path().to_owned()],
            watch: None,
            storage: None,
            shard: Shard::WHOLE,
            on_demand: false,
            // Its tokens stand in the configuration, which is nothing to warn of: they are made up.
            show_warnings: false,
            web: web_settings(&options.web),
        };
        let gate = gate(&options.web)?;
        let scheme = if gate.known().tls().is_some() { "https" } else { "http" };
        let daemon = Daemon::new(settings)?.behind(gate.clone());
        let mut doors: Vec<(TcpListener, Endpoint)> = Vec::new();
        for address in demo_addresses(&options.web.listen_address) {
            doors.push((open(&address, &gate).await?, Endpoint::Main));
        }
        let addresses: Vec<SocketAddr> = doors.iter().filter_map(|(l, _)| l.local_addr().ok()).collect();
        let playing = tokio::spawn(Arc::new(Simulator::new(fixtures)).serve(simulator));
        let prefix = options.web.prefix();
        let mut greeting = String::new();
        for address in addresses {
            greeting += &format!("token_exporter demo: {scheme}://{address}{prefix}/\n");
            greeting +=
                &format!("metrics:             {scheme}://{address}{prefix}{}\n", options.web.telemetry_path);
        }
        greeting += &format!("simulated networks:  http://{address}/\n");
        greeting += "Every account shows within a minute or two: ambiguous refusals wait for a second \
                     probe. Stop with Ctrl-C.\n";
        say(&greeting)?;
        let (stop, hangup) = signals().context("cannot watch signals")?;
        daemon.run(doors, stop, hangup).await?;
        playing.abort();
        Ok(0)
    })
}

/// The demo stays on loopback unless it is told otherwise.
fn demo_addresses(addresses: &[String]) -> Vec<String> {
    addresses
        .iter()
        .map(|a| a.strip_prefix(':').map_or_else(|| a.clone(), |port| format!("127.0.0.1:{port}")))
        .collect()
}

fn run_check(options: CheckArgs) -> anyhow::Result<u8> {
    start_logging(&options.log);
    let config = load(&options.config.files)?;
    let checked = block_on(cli::check(config, &options.accounts))?;
    match options.output {
        Output::Json => say(&format!("{}\n", checked.json()?))?,
        Output::Table => say(&checked.table(width()))?,
    }
    Ok(checked.exit_code())
}

/// How wide a table may be: as the terminal, if it is one.
fn width() -> u16 {
    let terminal = std::io::stdout().is_terminal().then(|| console::Term::stdout().size().1);
    terminal.unwrap_or(160)
}

fn run_schedule(options: ScheduleArgs) -> anyhow::Result<u8> {
    start_logging(&options.log);
    let mut config = load(&options.config.files)?;
    let rules = std::mem::take(&mut config.schedule);
    let plan = block_on(async {
        let probed = probe_everything(config).await?;
        let statuses = api::expiry_statuses(&probed).await;
        let period = Period { now: probed.at, days: options.days, offset: options.utc_offset };
        anyhow::Ok(api::plan_mails(&rules, &probed.inventory, &statuses, &period))
    })?;
    match options.output {
        ScheduleOutput::Json => say(&format!("{}\n", plan.json()?))?,
        ScheduleOutput::Table => say(&plan.table(width()))?,
        ScheduleOutput::Ics => say(&plan.ics())?,
    }
    Ok(0)
}

fn run_generate(what: Generate) -> anyhow::Result<u8> {
    let read = |files: &[std::path::PathBuf]| -> anyhow::Result<_> {
        if files.is_empty() {
            return Ok((config::default_schedule(), Vec::new(), alerting::Options::default().longest_gap));
        }
        let config = load(files)?;
        let longest_gap = alerting::longest_gap(&config);
        Ok((config.schedule, config.global.notify, longest_gap))
    };
    let text = match what {
        Generate::Rules(options) => {
            let (schedule, _, longest_gap) = read(&options.files)?;
            let utc_offset = i64::from(options.utc_offset.local_minus_utc());
            alerting::rules(
                &schedule,
                &alerting::Options { utc_offset, runbooks: options.runbook_url, longest_gap },
            )
        }
        Generate::Alertmanager(options) => {
            let (schedule, operators, _) = read(&options.files)?;
            let settings = alerting::MailSettings {
                smarthost: options.smtp_smarthost,
                from: options.smtp_from,
                operators,
                pager: options.pager_url.to_string(),
            };
            alerting::alertmanager(&schedule, &settings)
        }
    };
    say(&text)?;
    Ok(0)
}

fn run_classify(options: &ClassifyArgs) -> anyhow::Result<u8> {
    let now = Timestamp::now();
    if options.jsonl {
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        let mut bad = false;
        for (number, line) in std::io::stdin().lock().lines().enumerate() {
            let line = line.context("cannot read standard input")?;
            if line.trim().is_empty() {
                continue;
            }
            let result = serde_json::from_str::<Payload>(&line)
                // serde's message can quote the payload, and payloads hold tokens: its position is enough.
                .map_err(|e| format!("not a payload (column {})", e.column()))
                .and_then(|payload| cli::classify(&payload, now).map_err(|e| e.to_string()));
            let printed = match result {
                Ok((finding, _, network)) => serde_json::to_string(&cli::describe(&finding, network))?,
                Err(problem) => {
                    bad = true;
                    eprintln!("token_exporter: line {}: {problem}", number + 1);
                    serde_json::json!({"error": problem}).to_string()
                }
            };
            writeln!(out, "{printed}")?;
        }
        out.flush()?;
        return Ok(if bad { FAILED } else { 0 });
    }
    let mut body = String::new();
    std::io::stdin().lock().read_to_string(&mut body).context("cannot read standard input")?;
    let mut headers = serde_json::Map::new();
    for header in &options.headers {
        let (name, value) = header
            .split_once(':')
            .with_context(|| format!("--header {header:?} is not of the form 'Name: value'"))?;
        let value = serde_json::Value::from(value.trim());
        let values = headers.entry(name.trim()).or_insert_with(|| serde_json::Value::Array(Vec::new()));
        if let Some(values) = values.as_array_mut() {
            values.push(value);
        }
    }
    let payload = serde_json::json!({
        "network": options.network,
        "call": options.call,
        "http_status": options.status,
        "headers": headers,
        "body": body,
        "context": {"expires_at": options.expires_at, "api": options.api, "auth": options.auth},
    });
    let payload: Payload = serde_json::from_value(payload).context("cannot read the arguments")?;
    let (finding, _, network) = cli::classify(&payload, now)?;
    say(&format!("{}\n", serde_json::to_string_pretty(&cli::describe(&finding, network))?))?;
    Ok(0)
}
