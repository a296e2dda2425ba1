//! Where a database server is, and the connection to it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use tokio_rustls::rustls::pki_types::CertificateDer;
use url::Url;

use super::{CONNECT_TIME, error};
use crate::config::{SqlAddress, SqlDriver, SqlServer, why_unreadable};
use crate::inventory::SecretSource;
use crate::model::Secret;
use crate::source::retry::Failed;

pub(super) struct Address {
    pub(super) place: Place,
    pub(super) database: String,
    pub(super) user: String,
    pub(super) password: Option<Secret>,
    /// The authorities that may have signed the server's certificate; none: the connection is not
    /// encrypted.
    pub(super) authorities: Option<Vec<CertificateDer<'static>>>,
}

pub(super) enum Place {
    Socket(PathBuf),
    Host { name: String, port: u16, addresses: Vec<IpAddr> },
}

/// What a DSN says.
struct Dsn {
    host: String,
    port: Option<u16>,
    database: String,
    user: String,
    password: Option<Secret>,
    /// Whether it says that the connection is not encrypted.
    plaintext: bool,
}

impl Address {
    pub(super) async fn of(server: &SqlServer) -> Result<Self, Failed> {
        let dsn = match &server.address {
            SqlAddress::Dsn(source) => parse(secret(source, "DSN").await?.reveal(), server.driver)?,
            SqlAddress::Parts { host, port, database, user, password } => Dsn {
                host: host.clone(),
                port: *port,
                database: database.clone(),
                user: user.clone(),
                password: match password {
                    Some(source) => Some(secret(source, "password").await?),
                    None => None,
                },
                plaintext: false,
            },
        };
        let Dsn { host, port, database, user, password, plaintext } = dsn;
        let port = port.unwrap_or(match server.driver {
            SqlDriver::Postgres => 5432,
            SqlDriver::Mysql => 3306,
        });
        let mut authorities = None;
        let place = if host.starts_with('/') {
            Place::Socket(socket(&host, port, server.driver))
        } else {
            let local = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
            if server.ca_file.is_some() || !(local || plaintext || server.plaintext) {
                authorities = Some(certificates(server.ca_file.as_deref())?);
            }
            let lookup = tokio::net::lookup_host((host.as_str(), port));
            let addresses = match tokio::time::timeout(CONNECT_TIME, lookup).await {
                Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
                _ => return Err(Failed::temporary(format!("the host name {host} cannot be resolved"))),
            };
            Place::Host { name: host, port, addresses }
        };
        Ok(Self { place, database, user, password, authorities })
    }

    /// The server, for messages.
    pub(super) fn server(&self) -> String {
        match &self.place {
            Place::Socket(path) => path.display().to_string(),
            Place::Host { name, port, .. } => format!("{name}:{port}"),
        }
    }

    /// What an error of the operating system or of TLS means.
    pub(super) fn io_error(&self, failed: &std::io::Error) -> Failed {
        use std::io::ErrorKind;
        let tls = failed.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(tls) = tls {
            return self.tls_error(tls);
        }
        let server = self.server();
        Failed::temporary(match failed.kind() {
            ErrorKind::ConnectionRefused => format!("{server} refuses the connection"),
            ErrorKind::NotFound => format!("there is no socket {server}"),
            ErrorKind::PermissionDenied => format!("the socket {server} may not be used (permission denied)"),
            // What a decoder says of a message without its end is of the kind `Other`.
            ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::BrokenPipe
            | ErrorKind::Other => return closed(),
            kind => format!("the connection to {server} failed ({kind})"),
        })
    }

    pub(super) fn tls_error(&self, failed: &rustls::Error) -> Failed {
        use rustls::CertificateError as Wrong;
        let server = self.server();
        let rustls::Error::InvalidCertificate(wrong) = failed else {
            return error(format!("no encrypted connection to {server}: {failed}"));
        };
        let why = match wrong {
            // An authority that was made anew has the same name and another key.
            Wrong::UnknownIssuer | Wrong::BadSignature => {
                "no known authority has signed it; tls_config.ca_file names the certificate of the one \
                 that has"
                    .to_owned()
            }
            Wrong::Expired | Wrong::ExpiredContext { .. } => "it has expired".to_owned(),
            Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => {
                "it is for another host name".to_owned()
            }
            other => rustls::Error::InvalidCertificate(other.clone()).to_string(),
        };
        error(format!("the certificate of {server} is not trusted: {why}"))
    }
}

pub(super) fn closed() -> Failed {
    Failed::temporary("the server closed the connection before the answer was complete")
}

pub(super) fn no_tls() -> Failed {
    error(
        "the server offers no encryption; `plaintext: true` allows a connection without it, in a network \
         that nobody else can read",
    )
}

pub(super) fn no_name() -> Failed {
    error("the host is no name that a certificate could hold")
}

async fn secret(source: &SecretSource, what: &str) -> Result<Secret, Failed> {
    let read = source.read_line().await;
    read.map_err(|e| error(format!("no {what} can be read from {}: {e}", source.place())))
}

/// PostgreSQL's clients name the folder of the socket.
fn socket(path: &str, port: u16, driver: SqlDriver) -> PathBuf {
    let path = Path::new(path);
    if driver == SqlDriver::Postgres && path.is_dir() {
        path.join(format!(".s.PGSQL.{port}"))
    } else {
        path.to_owned()
    }
}

/// The certificates of a file, or of the system's authorities.
fn certificates(file: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, Failed> {
    let Some(file) = file else { return Ok(rustls_native_certs::load_native_certs().certs) };
    let unreadable = |why: &str| error(format!("the ca_file {} {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| unreadable(why_unreadable(&e)))?;
    Secret::new(text)
        .certificates()
        .filter(|all| !all.is_empty())
        .ok_or_else(|| unreadable("holds no certificate"))
}

fn parse(text: &str, driver: SqlDriver) -> Result<Dsn, Failed> {
    let (schemes, example) = match driver {
        SqlDriver::Postgres => (["postgres", "postgresql"], "postgres://user:password@host:5432/database"),
        SqlDriver::Mysql => (["mysql", "mariadb"], "mysql://user:password@host:3306/database"),
    };
    let wrong = |what: &str| {
        let hint = "special characters in the password are percent-encoded; or give host, user and \
                    password_file apart";
        error(format!("the DSN {what}; expected {example} ({hint})"))
    };
    let url = Url::parse(text).map_err(|_| wrong("is not a URL"))?;
    // Some programs name their driver, too: postgresql+psycopg.
    if !schemes.contains(&url.scheme().split('+').next().unwrap_or_default()) {
        return Err(wrong("is for another kind of server"));
    }
    let decoded = |text: &str| {
        let text = percent_decode_str(text).decode_utf8();
        text.map(std::borrow::Cow::into_owned).map_err(|_| wrong("is not UTF-8 text"))
    };
    let mut dsn = Dsn {
        host: decoded(url.host_str().unwrap_or_default())?,
        port: url.port(),
        database: decoded(url.path().trim_start_matches('/'))?,
        user: decoded(url.username())?,
        password: url.password().map(decoded).transpose()?.map(Secret::new),
        plaintext: false,
    };
    for (key, value) in url.query_pairs() {
        match key.as_ref() {
            // The folder or path of a Unix socket.
            "host" | "socket" => dsn.host = value.into_owned(),
            "sslmode" | "ssl-mode" => {
                dsn.plaintext = ["disable", "disabled"].iter().any(|word| value.eq_ignore_ascii_case(word));
            }
            _ => {}
        }
    }
    drop(Secret::new(String::from(url)));
    dsn.host = dsn.host.trim_start_matches('[').trim_end_matches(']').to_owned();
    for (part, what) in
        [(&dsn.host, "names no host"), (&dsn.user, "names no user"), (&dsn.database, "names no database")]
    {
        if part.is_empty() {
            return Err(wrong(what));
        }
    }
    Ok(dsn)
}
