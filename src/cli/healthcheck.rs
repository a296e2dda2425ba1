//! `healthcheck`: asks a running exporter whether it is healthy, for containers without curl.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use url::{Position, Url};

/// Time limit for each step: connecting, sending, and each part of the answer.
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct Healthcheck {
    /// URL of the health endpoint, over plain HTTP
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:10219/-/healthy")]
    url: Url,
}

impl Healthcheck {
    /// Docker knows the exit codes 0 and 1, and shows what was printed.
    pub(super) fn run(&self) -> ExitCode {
        match ask(&self.url) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            }
        }
    }
}

/// Sends one request; an error unless the answer's status is 200.
fn ask(url: &Url) -> anyhow::Result<()> {
    anyhow::ensure!(
        url.scheme() == "http",
        "{url}: only http is asked; --health.listen-address answers to it without TLS and password"
    );
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let mut addresses = (host, url.port_or_known_default().unwrap_or(80))
        .to_socket_addrs()
        .with_context(|| format!("{url}: the host is not known"))?;
    let mut stream = addresses
        .find_map(|address| TcpStream::connect_timeout(&address, TIMEOUT).ok())
        .with_context(|| format!("{url}: nobody listens there"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let host = &url[Position::BeforeHost..Position::AfterPort];
    let path = &url[Position::BeforePath..Position::AfterQuery];
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut line = String::new();
    BufReader::new(stream.take(1024))
        .read_line(&mut line)
        .with_context(|| format!("{url}: no answer within {TIMEOUT:?}"))?;
    anyhow::ensure!(line.split(' ').nth(1) == Some("200"), "{url}: answered {:?}", line.trim_end());
    Ok(())
}
