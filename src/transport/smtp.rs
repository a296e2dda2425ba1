//! Sends mails to an SMTP server: what was certainly refused, and what may have been accepted.

use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, Identity, TlsParameters,
};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use tokio::time::timeout;

use crate::model::Secret;

/// Time limit for connecting, and for each command.
const COMMAND_TIME: Duration = Duration::from_secs(60);
/// Time limit for sending a mail and for the answer to it.
const MAIL_TIME: Duration = Duration::from_secs(300);
/// The port on which TLS begins at once, and not with STARTTLS.
const IMPLICIT_TLS_PORT: u16 = 465;

/// A server, with the texts of the files that its settings name.
#[derive(Clone, Debug)]
pub struct SmtpServer {
    pub host: String,
    pub port: u16,
    /// How this program calls itself.
    pub hello: String,
    pub auth: Option<(String, Secret)>,
    /// Whether encryption begins with STARTTLS. Without it, the server's certificate does not matter.
    pub require_tls: bool,
    /// The only authorities to trust, in PEM form; without it, those of the system.
    pub authorities: Option<Secret>,
    /// The client's certificate and its key, in PEM form.
    pub identity: Option<(Secret, Secret)>,
}

/// Why a mail was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct NotSent {
    pub error: String,
    /// Whether the server may have accepted the mail nevertheless.
    pub unclear: bool,
}

fn refused(error: impl Into<String>) -> NotSent {
    NotSent { error: error.into(), unclear: false }
}

pub struct SmtpConnection(AsyncSmtpConnection);

impl SmtpServer {
    /// # Errors
    /// If the server cannot be reached, is not trusted, offers no encryption although it must, or does
    /// not let this program in.
    pub async fn connect(&self) -> Result<SmtpConnection, NotSent> {
        let connecting = timeout(3 * COMMAND_TIME, self.open()).await;
        connecting.unwrap_or_else(|_| Err(refused("the server does not answer")))
    }

    async fn open(&self) -> Result<SmtpConnection, NotSent> {
        // Fails only if a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let hello = ClientId::Domain(self.hello.clone());
        let implicit = self.port == IMPLICIT_TLS_PORT;
        let tls = if implicit { Some(self.tls()?) } else { None };
        let address = (self.host.as_str(), self.port);
        let connection =
            AsyncSmtpConnection::connect_tokio1(address, Some(COMMAND_TIME), &hello, tls, None).await;
        let mut connection = connection.map_err(|error| refused(described(&error)))?;
        if !implicit && self.require_tls {
            if !connection.can_starttls() {
                return Err(refused("the server offers no STARTTLS, and require_tls is true"));
            }
            let upgraded = connection.starttls(self.tls()?, &hello).await;
            upgraded.map_err(|error| refused(described(&error)))?;
        }
        if let Some((name, password)) = &self.auth {
            let credentials = Credentials::new(name.clone(), password.reveal().to_owned());
            let entered = connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await;
            // Not in the server's words, which may repeat what it was sent.
            let why = |error: lettre::transport::smtp::Error| match error.status() {
                Some(code) => refused(format!("the server refuses auth_username or the password ({code})")),
                None => refused(format!("authentication: {}", described(&error))),
            };
            entered.map_err(why)?;
        }
        Ok(SmtpConnection(connection))
    }

    fn tls(&self) -> Result<TlsParameters, NotSent> {
        let mut builder = TlsParameters::builder(self.host.clone());
        if let Some(authorities) = &self.authorities {
            let certificates = authorities.certificates().unwrap_or_default();
            if certificates.is_empty() {
                return Err(refused("ca_file holds no certificate, or a damaged one"));
            }
            builder = builder.certificate_store(CertificateStore::None);
            for certificate in certificates {
                let certificate = Certificate::from_der(certificate.to_vec());
                builder = builder.add_root_certificate(
                    certificate.map_err(|_| refused("ca_file holds a damaged certificate"))?,
                );
            }
        }
        if let Some((certificate, key)) = &self.identity {
            let identity = Identity::from_pem(certificate.reveal().as_bytes(), key.reveal().as_bytes());
            let damaged = |_| refused("cert_file holds no certificate, or key_file no key");
            builder = builder.identify_with(identity.map_err(damaged)?);
        }
        builder.build().map_err(|error| refused(format!("TLS: {}", described(&error))))
    }
}

/// An error and its causes.
fn described(error: &lettre::transport::smtp::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.extend([": ", &cause_text]);
        }
        next = cause.source();
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

impl SmtpConnection {
    /// Announces a mail to one recipient, up to where its text follows. The server has accepted
    /// nothing then.
    ///
    /// # Errors
    /// If the server refuses the sender or the recipient, or does not answer.
    pub async fn announce(&mut self, from: &Address, to: &Address) -> Result<(), NotSent> {
        let announced = async {
            self.0.command(Mail::new(Some(from.clone()), vec![])).await?;
            self.0.command(Rcpt::new(to.clone(), vec![])).await?;
            self.0.command(Data).await
        };
        match timeout(3 * COMMAND_TIME, announced).await {
            Ok(answer) => answer.map(drop).map_err(|error| refused(described(&error))),
            Err(_) => Err(refused("the server does not answer")),
        }
    }

    /// Sends the mail that was announced, with its headers. The connection can be used again if that
    /// succeeds.
    ///
    /// # Errors
    /// If it was refused, or if nobody knows whether it was accepted.
    pub async fn deliver(&mut self, mail: &[u8]) -> Result<(), NotSent> {
        match timeout(MAIL_TIME, self.0.message(mail)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(NotSent { error: described(&error), unclear: error.status().is_none() }),
            Err(_) => Err(NotSent { error: "no answer to the mail".to_owned(), unclear: true }),
        }
    }

    pub async fn quit(mut self) {
        // The mails have been accepted; how it ends does not matter.
        let _ = timeout(COMMAND_TIME, self.0.quit()).await;
    }
}
