//! How mails are sent, and what digests are made of: the sections `smtp` and `digest`.

use std::net::IpAddr;
use std::path::PathBuf;

use url::Url;

use super::field::{Field, Mapping};
use super::keys;
use super::quoting::shown;
use super::secrets::secret_source;
use super::sources::{HttpAuthorization, HttpConnection, HttpSettings, exporter, tls_files};
use super::validator::Rows;
use crate::inventory::SecretSource;

/// Stands in a URL for the address of somebody who wants no more mails.
pub const ADDRESS: &str = "{address}";

/// The server that sends mails. Keys and values are those of Alertmanager's global section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpSettings {
    /// Without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
    pub from: String,
    /// The user's name and password.
    pub auth: Option<(String, SecretSource)>,
    /// Whether mails are sent over encrypted connections only.
    pub require_tls: bool,
    /// The only authorities to trust; without it, those of the system.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Where somebody can stop mails; [`ADDRESS`] in it stands for the recipient.
    pub unsubscribe_url: Option<String>,
}

impl SmtpSettings {
    /// `host:port`
    pub fn smarthost(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestSettings {
    /// The exporters that know the connections: one, or all shards.
    pub exporters: Vec<HttpSettings>,
    /// The status page, to which mails link. Its path ends with a slash.
    pub page_url: Option<Url>,
}

impl Default for DigestSettings {
    fn default() -> Self {
        let here = |url| HttpSettings {
            url,
            authorization: HttpAuthorization::None,
            connection: HttpConnection::default(),
        };
        let url = Url::parse("http://localhost:10219/").ok();
        Self { exporters: url.map(here).into_iter().collect(), page_url: None }
    }
}

pub(super) fn smtp(field: &Field<'_>) -> Option<SmtpSettings> {
    let mapping = field.mapping(&[keys::SMTP, keys::SMTP_PASSWORD])?;
    let smarthost = mapping.required("smarthost").and_then(|f| smarthost(&f));
    let from = mapping.required("from").and_then(|f| f.mail_address()).map(str::to_owned);
    let require_tls = mapping.get("require_tls").map_or(Some(true), |f| f.boolean());
    let auth = auth(&mapping);
    if let (Some(key), Some(false), Some((host, _))) = (mapping.get("require_tls"), require_tls, &smarthost)
        && mapping.has_any(&["auth_username"])
        && !is_local(host)
    {
        key.problem(
            "would send the password over a connection that may not be encrypted; leave require_tls at true \
             (false is for a server on this machine)",
        );
    }
    let (ca_file, identity) = tls_files(&mapping);
    let unsubscribe_url = mapping.get("unsubscribe_url").and_then(|f| unsubscribe_url(&f));
    let (host, port) = smarthost?;
    let (from, auth, require_tls) = (from?, auth?, require_tls?);
    Some(SmtpSettings { host, port, from, auth, require_tls, ca_file, identity, unsubscribe_url })
}

fn smarthost(field: &Field<'_>) -> Option<(String, u16)> {
    let text = field.text()?;
    let example = "expected host:port as in mail.example.com:587";
    let split = match text.strip_prefix('[') {
        Some(rest) => rest.split_once("]:").filter(|(host, _)| host.parse::<IpAddr>().is_ok()),
        None => text.rsplit_once(':').filter(|(host, _)| !host.contains(':')),
    };
    let Some((host, port)) = split else {
        return field.reject(format!("{} has no port; {example}", shown(text)));
    };
    let right = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':');
    if host.is_empty() || !host.bytes().all(right) {
        return field.reject(format!("{} is not a server; {example}", shown(text)));
    }
    match port.parse() {
        Ok(port) if port > 0 => Some((host.to_owned(), port)),
        _ => field.reject(format!("{} is not a port; {example}", shown(port))),
    }
}

/// None if it has problems.
fn auth(mapping: &Mapping<'_>) -> Option<Option<(String, SecretSource)>> {
    let name = mapping.get("auth_username");
    match (&name, mapping.has_any(keys::SMTP_PASSWORD)) {
        (None, false) => return Some(None),
        (None, true) => return mapping.field.reject("auth_username is missing: it belongs to the password"),
        (Some(name), false) => {
            return name
                .reject(format!("has no password: expected one of {}", keys::SMTP_PASSWORD.join(", ")));
        }
        (Some(_), true) => {}
    }
    let name = name.and_then(|f| f.text()).map(str::to_owned);
    let password = secret_source(mapping, keys::SMTP_PASSWORD, Rows::Written);
    Some(Some((name?, password?)))
}

fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn unsubscribe_url(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let filled = Url::parse(&text.replace(ADDRESS, "jane%40example.com"));
    let of_web = |url: &Url| matches!(url.scheme(), "https" | "http") && url.host().is_some();
    let right = filled.is_ok_and(|url| of_web(&url) || url.scheme() == "mailto");
    let bare = text.replace(ADDRESS, "");
    if !right || bare.contains(|c: char| c.is_whitespace() || matches!(c, '{' | '}' | '<' | '>' | '"')) {
        return field.reject(format!(
            "is no address like https://app.example.com/mails?address={ADDRESS} or \
             mailto:ops@example.com?subject={ADDRESS}"
        ));
    }
    Some(text.to_owned())
}

pub(super) fn digest(field: &Field<'_>) -> Option<DigestSettings> {
    let mapping = field.mapping(&[keys::DIGEST])?;
    let mut settings = DigestSettings::default();
    if let Some(list) = mapping.get("exporters") {
        if list.is_list() && !list.has_items() {
            list.problem("is empty; leave the key out for http://localhost:10219");
        }
        settings.exporters = list.items().filter_map(|item| exporter(&item)).collect();
    }
    settings.page_url = mapping.get("page_url").and_then(|f| page_url(&f));
    Some(settings)
}

fn page_url(field: &Field<'_>) -> Option<Url> {
    let mut url = field.url("https://exporter.example.com/")?;
    if url.query().is_some() || url.fragment().is_some() {
        return field.reject("holds a ? or #; expected the address of the status page");
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Some(url)
}
