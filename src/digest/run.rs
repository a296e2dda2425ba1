//! Writes the digests of all who want one, and sends each once a person and day.

use anyhow::Context as _;
use lettre::Address;

use super::mail::{Envelope, address, encode};
use super::{Day, Exporters, Letter, Links, Notes, Report};
use crate::config::SmtpSettings;
use crate::inventory::Person;
use crate::model::{Secret, Timestamp};
use crate::source::read_pem;
use crate::transport::{NotSent, SmtpConnection, SmtpServer};

/// How often a run tries to reach the server.
const MAX_UNREACHABLE: usize = 3;

/// What digests are made of.
pub struct Digest {
    pub people: Vec<Person>,
    pub exporters: Exporters,
    pub links: Links,
}

/// What came of sending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    pub sent: usize,
    pub failed: usize,
}

impl Digest {
    /// The digests of all people, whatever was sent before. None of them if there is nothing to tell.
    ///
    /// # Errors
    /// If an exporter cannot be asked.
    pub async fn letters(&mut self, notes: Option<&Notes>, now: Timestamp) -> anyhow::Result<Vec<Letter>> {
        let mut letters = Vec::new();
        for person in &self.people {
            let note = notes.and_then(|notes| notes.read(&person.mail).ok()).unwrap_or_default();
            let told = note.told(Day::of(person, now).date);
            let report = Report::ask(&mut self.exporters, person, told, now).await?;
            if !report.is_empty() {
                letters.push(Letter::new(&report, &self.links));
            }
        }
        Ok(letters)
    }

    /// Sends the digest of each person whose time has come, unless it was sent already. The failure of
    /// one does not stop the others.
    ///
    /// # Errors
    /// If nothing can be sent at all.
    pub async fn send(
        &mut self,
        server: &SmtpServer,
        from: &str,
        notes: &Notes,
        now: Timestamp,
    ) -> anyhow::Result<Sent> {
        let from_address = address(from).context("smtp.from")?;
        let mut outbox = Outbox { server, from: from_address, connection: None, unreachable: (0, None) };
        let mut count = Sent::default();
        for person in std::mem::take(&mut self.people) {
            let day = Day::of(&person, now);
            if !day.open {
                continue;
            }
            let mail = &person.mail;
            let note = match notes.read(mail) {
                Ok(note) if note.is_done(day.date) => continue,
                Ok(note) => note,
                Err(error) => {
                    tracing::error!(to = mail, "{error:#}: remove the file if the mail is to be sent");
                    count.failed += 1;
                    continue;
                }
            };
            let report = Report::ask(&mut self.exporters, &person, note.told(day.date), now).await?;
            if report.is_empty() {
                continue;
            }
            let letter = Letter::new(&report, &self.links);
            let envelope = Envelope { from, day: day.date, at: now };
            let result = async {
                let encoded = encode(&letter, &envelope)?;
                let announced = outbox.announce(&address(mail)?).await?;
                let begun = note.begin(day.date, report.told);
                notes.write(mail, &begun)?;
                match outbox.deliver(announced, &encoded).await {
                    Ok(()) => notes.write(mail, &begun.accepted()),
                    Err(error) if error.unclear => Err(error).context("perhaps sent"),
                    Err(error) => {
                        notes.write(mail, &begun.refused())?;
                        Err(error.into())
                    }
                }
            };
            match result.await {
                Ok(()) => {
                    tracing::info!(to = mail, day = %day.date, "digest sent");
                    count.sent += 1;
                }
                Err(error) => {
                    tracing::error!(to = mail, "digest not sent: {error:#}");
                    count.failed += 1;
                }
            }
        }
        outbox.close().await;
        Ok(count)
    }
}

/// A connection to the server, which is opened for the first mail and after each failure.
struct Outbox<'s> {
    server: &'s SmtpServer,
    from: Address,
    connection: Option<SmtpConnection>,
    /// How often the server could not be reached, and why the last time.
    unreachable: (usize, Option<NotSent>),
}

impl Outbox<'_> {
    /// A connection on which the text of a mail may follow. If this fails, nothing was sent.
    async fn announce(&mut self, to: &Address) -> Result<SmtpConnection, NotSent> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        connection.announce(&self.from, to).await?;
        Ok(connection)
    }

    async fn deliver(&mut self, mut announced: SmtpConnection, mail: &[u8]) -> Result<(), NotSent> {
        announced.deliver(mail).await?;
        self.connection = Some(announced);
        Ok(())
    }

    /// A server that cannot be reached is not tried again for each person.
    async fn connect(&mut self) -> Result<SmtpConnection, NotSent> {
        let (failures, last) = &mut self.unreachable;
        if let Some(error) = last.as_ref().filter(|_| *failures >= MAX_UNREACHABLE) {
            return Err(error.clone());
        }
        let connected = self.server.connect().await;
        if let Err(error) = &connected {
            *failures += 1;
            *last = Some(error.clone());
        }
        connected
    }

    async fn close(self) {
        if let Some(connection) = self.connection {
            connection.quit().await;
        }
    }
}

/// The server of the settings, with the secrets and files that they name.
///
/// # Errors
/// If one of them cannot be read.
pub async fn ready_server(settings: &SmtpSettings) -> anyhow::Result<SmtpServer> {
    let SmtpSettings { host, port, from, auth, require_tls, ca_file, identity, .. } = settings;
    let pem = async |path: &std::path::Path| -> anyhow::Result<Secret> {
        read_pem(path).await.map_err(|error| anyhow::anyhow!("smtp.tls_config: {error}"))
    };
    let auth = match auth {
        Some((name, password)) => {
            let read = password.read_line().await;
            let place = password.place();
            Some((name.clone(), read.with_context(|| format!("smtp.auth_password: {place}"))?))
        }
        None => None,
    };
    let authorities = match ca_file {
        Some(path) => Some(pem(path).await?),
        None => None,
    };
    let identity = match identity {
        Some((certificate, key)) => Some((pem(certificate).await?, pem(key).await?)),
        None => None,
    };
    let hello = from.rsplit_once('@').map_or("localhost", |(_, domain)| domain).to_owned();
    let (host, port, require_tls) = (host.clone(), *port, *require_tls);
    Ok(SmtpServer { host, port, hello, auth, require_tls, authorities, identity })
}
