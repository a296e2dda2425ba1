//! The options of the HTTP server, for `serve` and `demo`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use listenfd::ListenFd;
use tokio::net::TcpListener;

use crate::server::{self, AccessControl, Endpoint, WebSettings};

#[derive(Debug, Args)]
pub struct WebOptions {
    /// Address to listen on; may be given several times
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = ":10219")]
    pub listen_address: Vec<String>,
    /// Path to configuration file that can enable TLS or authentication. See:
    /// https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
    #[arg(long = "web.config.file", value_name = "FILE")]
    pub(super) config_file: Option<PathBuf>,
    /// Path under which metrics are served
    #[arg(long = "web.telemetry-path", value_name = "PATH", default_value = "/metrics")]
    #[arg(value_parser = telemetry_path)]
    pub(super) telemetry_path: String,
    /// Use systemd socket activation listeners instead of port listeners (Linux only)
    #[arg(long = "web.systemd-socket")]
    systemd_socket: bool,
    /// URL under which the exporter is reached from outside; its path is the default route prefix
    #[arg(long = "web.external-url", value_name = "URL", value_parser = external_url)]
    external_url: Option<url::Url>,
    /// Prefix of all paths
    #[arg(long = "web.route-prefix", value_name = "PATH", value_parser = route_prefix)]
    route_prefix: Option<String>,
    /// Allow reloads by POST to /-/reload
    #[arg(long = "web.enable-lifecycle")]
    enable_lifecycle: bool,
    /// Maximum number of scrapes at the same time; 0 for no limit
    #[arg(long = "web.max-requests", value_name = "N", default_value_t = 40)]
    max_requests: usize,
    /// Exclude metrics about the process itself (process_*)
    #[arg(long = "web.disable-exporter-metrics")]
    pub(super) disable_exporter_metrics: bool,
}

impl WebOptions {
    /// The prefix of all paths: empty, or with a leading slash and no trailing one.
    pub(super) fn prefix(&self) -> String {
        let given = self.route_prefix.as_deref();
        let path = given.or(self.external_url.as_ref().map(url::Url::path)).unwrap_or("");
        let bare = path.trim_matches('/');
        if bare.is_empty() { String::new() } else { format!("/{bare}") }
    }

    pub(super) fn settings(&self, events_apart: bool) -> WebSettings {
        WebSettings {
            telemetry_path: self.telemetry_path.clone(),
            route_prefix: self.prefix(),
            external_url: self.external_url.clone(),
            enable_lifecycle: self.enable_lifecycle,
            max_requests: self.max_requests,
            events_apart,
        }
    }

    /// Reads the web configuration and logs its warnings.
    pub(super) fn access(&self) -> anyhow::Result<Arc<AccessControl>> {
        let access = AccessControl::new(self.config_file.as_deref())
            .map_err(|problems| anyhow::anyhow!("{problems}"))?;
        for warning in access.warnings() {
            tracing::warn!(%warning, "web configuration warning");
        }
        Ok(Arc::new(access))
    }

    /// Binds all addresses, with a warning for each that is open to other machines.
    pub(super) async fn bind(&self, access: &AccessControl) -> anyhow::Result<Vec<(TcpListener, Endpoint)>> {
        let mut listeners = Vec::new();
        if self.systemd_socket {
            listeners = inherited()?;
        } else {
            for address in &self.listen_address {
                listeners.push(bind(address, "--web.listen-address").await?);
            }
        }
        for listener in &listeners {
            let bound = listener.local_addr().context("cannot get the address of the listener")?;
            if let Some(risk) = access.risk(bound.ip()) {
                tracing::warn!(address = %bound, "{risk}");
            }
        }
        Ok(listeners.into_iter().map(|listener| (listener, Endpoint::Main)).collect())
    }
}

/// The sockets that systemd has passed to this process.
fn inherited() -> anyhow::Result<Vec<TcpListener>> {
    let mut passed = ListenFd::from_env();
    anyhow::ensure!(passed.len() > 0, "--web.systemd-socket: systemd has passed no socket (LISTEN_FDS)");
    let sockets = (0..passed.len()).filter_map(|index| passed.take_tcp_listener(index).transpose());
    let listeners = sockets.map(|socket| {
        let socket = socket?;
        socket.set_nonblocking(true)?;
        tracing::info!(address = %socket.local_addr()?, "listening");
        TcpListener::from_std(socket)
    });
    listeners.collect::<std::io::Result<_>>().context("--web.systemd-socket")
}

/// Binds an address; `:10219` means port 10219 on all interfaces.
pub(super) async fn bind(address: &str, option: &str) -> anyhow::Result<TcpListener> {
    let listener = match address.strip_prefix(':') {
        Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
            Err(error) if error.kind() != std::io::ErrorKind::AddrInUse => {
                TcpListener::bind(format!("0.0.0.0:{port}")).await
            }
            result => result,
        },
        None => TcpListener::bind(address).await,
    };
    let listener = listener.with_context(|| format!("cannot listen on {address} ({option})"))?;
    let bound = listener.local_addr().context("cannot get the address of the listener")?;
    tracing::info!(address = %bound, "listening");
    Ok(listener)
}

/// Whether a text can stand in the path of a request as it is written.
fn is_path(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~!$&'()*+,;=:@%".contains(c);
    text.chars().all(plain) && !text.contains("//")
}

fn telemetry_path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') || text.len() == 1 || !is_path(text) {
        return Err("must be a path such as /metrics".to_owned());
    }
    if server::is_taken(text) { Err("serves something else".to_owned()) } else { Ok(text.to_owned()) }
}

fn route_prefix(text: &str) -> Result<String, String> {
    if is_path(text) { Ok(text.to_owned()) } else { Err("must be a path such as /token-exporter".to_owned()) }
}

fn external_url(text: &str) -> Result<url::Url, String> {
    let url = url::Url::parse(text).ok().filter(|url| {
        let web = matches!(url.scheme(), "http" | "https") && url.host().is_some();
        let bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        web && bare && url.password().is_none() && is_path(url.path())
    });
    url.ok_or_else(|| "must be a URL such as https://example.com/token-exporter".to_owned())
}
