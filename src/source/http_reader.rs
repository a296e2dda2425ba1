//! Sends requests to a configured URL, with its TLS, proxy and authorization.
//!
//! Secrets and files of TLS are read again when they are used. Redirects are not followed, so
//! credentials stay with the configured host. Private addresses are allowed: the host is configured.

use std::time::{Duration, Instant};

use http::StatusCode;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, Proxy, Response};
use secrecy::zeroize::Zeroizing;
use serde::Deserialize;
use url::Url;

use super::retry::Failed;
use super::token::{Fingerprint, read_pem, text};
use crate::config::{HttpAuthorization, HttpConnection, HttpSettings, OAuth2Settings};
use crate::inventory::SecretSource;
use crate::model::{Secret, Timestamp, format_duration, percent_encode};
use crate::network::{Answer, Reset, parse};
use crate::transport::{client_builder, failure, identity, sensitive};

/// Maximum size of the answer of an OAuth 2.0 token endpoint.
const MAX_TOKEN_BYTES: usize = 64 << 10;

const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long an answer may pause.
const SILENCE: Duration = Duration::from_secs(60);
/// Maximum duration of a request of [`HttpReader::get`].
const GET_TIME: Duration = Duration::from_secs(60);

pub struct HttpReader {
    settings: HttpSettings,
    /// The client, and the files of its settings. Reading the system's certificates takes time.
    client: Option<([Option<Fingerprint>; 3], Client)>,
    /// The access token of OAuth 2.0, and until when it is used.
    token: Option<(Secret, Instant)>,
}

impl HttpReader {
    pub fn new(settings: HttpSettings) -> Self {
        Self { settings, client: None, token: None }
    }

    pub fn url(&self) -> &Url {
        &self.settings.url
    }

    /// An answer in JSON of at most `most` bytes; none if the server does not know the URL, which must
    /// have the origin of the configured one.
    ///
    /// # Errors
    /// If there is no answer, or another one.
    pub async fn get(&mut self, url: Url, most: usize) -> Result<Option<Zeroizing<String>>, Failed> {
        if url.origin() != self.settings.url.origin() {
            return Err(Failed::lasting("another host, which gets no credentials"));
        }
        let answer = async {
            let mut request = self.client().await?.get(url).header(ACCEPT, "application/json");
            if let Some(authorization) = self.authorization().await? {
                request = request.header(AUTHORIZATION, authorization);
            }
            let response = request.send().await.map_err(|e| unanswered(&e))?;
            if response.status() == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            self.check(&response)?;
            body(response, most).await.map(Some)
        };
        tokio::time::timeout(GET_TIME, answer).await.unwrap_or_else(|_| {
            Err(Failed::temporary(format!("no complete answer within {}", format_duration(GET_TIME))))
        })
    }

    /// It may have been revoked.
    pub(super) fn forget_token(&mut self) {
        self.token = None;
    }

    /// The same client as before, unless its files have changed.
    pub(super) async fn client(&mut self) -> Result<Client, Failed> {
        let connection = &self.settings.connection;
        let identity = connection.identity.as_ref();
        let files =
            [connection.ca_file.as_ref(), identity.map(|(file, _)| file), identity.map(|(_, key)| key)];
        let files = files.map(|path| Fingerprint::of(path?));
        if let Some((_, client)) = self.client.as_ref().filter(|(known, _)| *known == files) {
            return Ok(client.clone());
        }
        let client = new_client(connection).await?;
        self.client = Some((files, client.clone()));
        Ok(client)
    }

    /// Whether an answer can hold a page.
    pub(super) fn check(&self, response: &Response) -> Result<(), Failed> {
        let oauth2 = matches!(self.settings.authorization, HttpAuthorization::OAuth2(_));
        let status = response.status();
        if status == StatusCode::UNAUTHORIZED && oauth2 {
            // The next attempt fetches another token.
            return Err(Failed::temporary(shown(status)));
        }
        refused(response)?;
        let content = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = content.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if kind.eq_ignore_ascii_case("application/json") {
            return Ok(());
        }
        Err(Failed::lasting("the answer has another Content-Type than application/json"))
    }

    /// The value of `Authorization`.
    pub(super) async fn authorization(&mut self) -> Result<Option<HeaderValue>, Failed> {
        let value = match &self.settings.authorization {
            HttpAuthorization::None => return Ok(None),
            HttpAuthorization::Credentials { scheme, credentials } => {
                secret(credentials).await?.prefixed(&format!("{scheme} "))
            }
            HttpAuthorization::Basic { username, password } => secret(password).await?.basic(username),
            HttpAuthorization::OAuth2(settings) => {
                if self.token.as_ref().is_none_or(|(_, until)| *until <= Instant::now()) {
                    let fetched = fetch_token(settings).await;
                    self.token = Some(fetched.map_err(|failed| before("token_url", failed))?);
                }
                let Some((token, _)) = &self.token else { return Ok(None) };
                token.prefixed("Bearer ")
            }
        };
        sensitive(&value).map(Some).map_err(|failure| Failed::lasting(failure.error))
    }
}

pub(super) fn before(what: &str, mut failed: Failed) -> Failed {
    failed.error.0.insert_str(0, &format!("{what}: "));
    failed
}

pub(super) fn unanswered(error: &reqwest::Error) -> Failed {
    Failed::temporary(failure(error).error)
}

async fn secret(source: &SecretSource) -> Result<Secret, Failed> {
    source.read_line().await.map_err(|error| Failed::lasting(format!("{}: {error}", source.place())))
}

async fn new_client(connection: &HttpConnection) -> Result<Client, Failed> {
    let mut builder = client_builder(CONNECT_TIME).read_timeout(SILENCE);
    if let Some(path) = &connection.ca_file {
        let certificates = read_pem(path).await.map_err(Failed::lasting)?.certificates();
        let trusted: Vec<Certificate> = certificates
            .into_iter()
            .flatten()
            .filter_map(|certificate| Certificate::from_der(&certificate).ok())
            .collect();
        if trusted.is_empty() {
            return Err(Failed::lasting("ca_file holds no certificate, or a damaged one"));
        }
        builder = builder.tls_certs_only(trusted);
    }
    if let Some((certificate, key)) = &connection.identity {
        let (certificate, key) = (read_pem(certificate).await, read_pem(key).await);
        let (certificate, key) = (certificate.map_err(Failed::lasting)?, key.map_err(Failed::lasting)?);
        let damaged = || Failed::lasting("cert_file holds no certificate, or key_file no key");
        builder = builder.identity(identity(&certificate, &key).ok_or_else(damaged)?);
    }
    let unusable = |e: reqwest::Error| Failed::lasting(format!("TLS or proxy: {}", failure(&e).error));
    builder = match &connection.proxy_url {
        Some(url) => builder.proxy(Proxy::all(url.clone()).map_err(unusable)?),
        None => builder.no_proxy(),
    };
    builder.build().map_err(unusable)
}

fn shown(status: StatusCode) -> String {
    format!("HTTP {} {}", status.as_u16(), status.canonical_reason().unwrap_or_default())
        .trim_end()
        .to_owned()
}

/// An error, unless the status is 200.
fn refused(response: &Response) -> Result<(), Failed> {
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(());
    }
    let busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status);
    if busy || status.is_server_error() {
        return Err(Failed {
            retry: Some(retry_after(response.headers())),
            ..Failed::temporary(shown(status))
        });
    }
    let hint = if status.is_redirection() { "; redirects are not followed" } else { "" };
    Err(Failed::lasting(format!("{}{hint}", shown(status))))
}

fn retry_after(headers: &HeaderMap) -> Duration {
    let seconds = match parse::retry_after(&Answer::new(None, headers.clone(), &[])) {
        Some(Reset::After(seconds)) => i64::from(seconds),
        Some(Reset::At(at)) => at.since(Timestamp::now()),
        None => 0,
    };
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

pub(super) async fn body(mut response: Response, most: usize) -> Result<Zeroizing<String>, Failed> {
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok());
    let mut bytes = Zeroizing::new(Vec::with_capacity(announced.unwrap_or(0).min(most)));
    while let Some(chunk) = response.chunk().await.map_err(|e| unanswered(&e))? {
        let length = bytes.len() + chunk.len();
        if length > most {
            return Err(Failed::lasting(format!("the answer has more than {most} bytes")));
        }
        if length > bytes.capacity() {
            // A vector that grows by itself leaves copies of tokens behind.
            let mut larger = Zeroizing::new(Vec::with_capacity((2 * length).min(most)));
            larger.extend_from_slice(&bytes);
            bytes = larger;
        }
        bytes.extend_from_slice(&chunk);
    }
    text(bytes).map_err(|error| Failed::temporary(error.to_string()))
}

/// The answer of a token endpoint (RFC 6749, section 5.1).
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: Option<u64>,
}

/// An access token, and until when it is used.
async fn fetch_token(settings: &OAuth2Settings) -> Result<(Secret, Instant), Failed> {
    let client = new_client(&settings.connection).await?;
    let client_id = percent_encode(&settings.client_id);
    let basic = secret(&settings.client_secret).await?.percent_encoded().basic(&client_id);
    let mut form = vec![("grant_type", "client_credentials".to_owned())];
    if !settings.scopes.is_empty() {
        form.push(("scope", settings.scopes.join(" ")));
    }
    let request = client.post(settings.token_url.clone()).header(ACCEPT, "application/json").form(&form);
    let basic = sensitive(&basic).map_err(|failure| Failed::lasting(failure.error))?;
    let asked = Instant::now();
    let response = request.header(AUTHORIZATION, basic).send().await.map_err(|e| unanswered(&e))?;
    refused(&response)?;
    let body = body(response, MAX_TOKEN_BYTES).await?;
    let answer: Result<TokenAnswer, _> = serde_json::from_str(&body);
    let answer = answer.map_err(|_| Failed::lasting("the answer has no access_token"))?;
    // Renewed a minute early, and never kept if the end is unknown.
    let life = Duration::from_secs(answer.expires_in.unwrap_or(0).saturating_sub(60).min(86_400));
    Ok((Secret::new(answer.access_token), asked + life))
}
