//! Asks a running exporter whether it is healthy, for containers in which there is no curl.
//!
//! Plain HTTP to this machine, one request: knows nothing of the exporter but its answer's first
//! line.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use anyhow::Context as _;
use url::{Position, Url};

/// How long each step may take: connecting, sending, and each part of the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks once.
///
/// # Errors
/// When there is no answer, or one that is not 200.
pub fn ask(url: &Url) -> anyhow::Result<()> {
    anyhow::ensure!(
        url.scheme() == "http",
        "{url}: only http is asked; --health.listen-address answers to it without TLS and password"
    );
    let addresses: Vec<_> = (
        url.host_str().unwrap_or_default().trim_matches(['[', ']']),
        url.port_or_known_default().unwrap_or(80),
    )
        .to_socket_addrs()
        .with_context(|| format!("{url}: the host is not known"))?
        .collect();
    let connected = addresses.iter().find_map(|address| TcpStream::connect_timeout(address, PATIENCE).ok());
    let mut stream = connected.with_context(|| format!("{url}: nobody listens there"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (host, path) =
        (&url[Position::BeforeHost..Position::AfterPort], &url[Position::BeforePath..Position::AfterQuery]);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut line = String::new();
    BufReader::new(stream.take(1024))
        .read_line(&mut line)
        .with_context(|| format!("{url}: no answer within {PATIENCE:?}"))?;
    anyhow::ensure!(line.split(' ').nth(1) == Some("200"), "{url}: answered {:?}", line.trim_end());
    Ok(())
}
