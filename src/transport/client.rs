//! The HTTP client: time and size limits, and the causes of failed calls.
//!
//! Queries and bodies carry tokens and are never logged.

use std::borrow::Cow;
use std::error::Error as _;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use url::Url;

use super::guard::{self, PublicOnly};
use super::oauth1;
use crate::log_at;
use crate::model::{Cause, Secret, Timestamp};
use crate::network::{Answer, Auth, Body, Call, Method, Param};
use crate::telemetry::prober_level;

/// Maximum size of a body after decompression. Lists of pages stay well below a megabyte.
pub const MAX_BODY_BYTES: usize = 8 << 20;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Failure {
    pub cause: Cause,
    /// In the words of the operating system or of TLS. Without the URL, whose query carries tokens.
    pub error: String,
}

impl Failure {
    pub fn new(cause: Cause, error: impl Into<String>) -> Self {
        Self { cause, error: error.into() }
    }
}

/// Sends calls. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    /// For the hosts of networks. Uses the proxy settings of the environment.
    outward: reqwest::Client,
    /// For hosts that were configured or named by an answer: public addresses only. Uses no proxy, which
    /// would resolve the name again.
    foreign: reqwest::Client,
    /// For loopback addresses, which no proxy can reach.
    local: reqwest::Client,
    allow_private_networks: bool,
}

impl Client {
    /// A client with a time limit for each call. `allow_private_networks` permits configured hosts
    /// there.
    ///
    /// # Errors
    /// If the system's certificates cannot be used.
    pub fn new(timeout: Duration, allow_private_networks: bool) -> anyhow::Result<Self> {
        let builder = || {
            client_builder(timeout)
                .timeout(timeout)
                .pool_idle_timeout(Duration::from_secs(60))
                .pool_max_idle_per_host(64)
        };
        let outward = builder().build()?;
        let foreign = if allow_private_networks {
            outward.clone()
        } else {
            builder().no_proxy().dns_resolver(PublicOnly).build()?
        };
        Ok(Self { outward, foreign, local: builder().no_proxy().build()?, allow_private_networks })
    }

    /// Sends a call and returns the answer. `base_url` replaces the call's own host.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn send(&self, call: &Call, base_url: Option<&Url>) -> Result<Answer, Failure> {
        let result = async { self.exchange(self.request(call, base_url)?).await }.await;
        let (name, level) = (call.info.name, prober_level());
        match &result {
            Ok(answer) => log_at!(level, call = name, status = answer.status, "answered"),
            Err(Failure { cause, error }) => log_at!(level, call = name, %cause, error, "no answer"),
        }
        result
    }

    async fn exchange(&self, request: reqwest::RequestBuilder) -> Result<Answer, Failure> {
        let mut response = request.send().await.map_err(|e| failure(&e))?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| failure(&e))? {
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                let error = format!("HTTP {status} with a body of more than {} MiB", MAX_BODY_BYTES >> 20);
                return Err(Failure::new(Cause::UnexpectedAnswer, error));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer::new(Some(status), headers, &body))
    }

    fn request(&self, call: &Call, base_url: Option<&Url>) -> Result<reqwest::RequestBuilder, Failure> {
        let base = base_url.map_or(call.host.as_ref(), Url::as_str).trim_end_matches('/');
        let address = format!("{base}{}", call.path);
        let mut url =
            Url::parse(&address).map_err(|e| Failure::new(Cause::UnexpectedAnswer, e.to_string()))?;
        let query: Vec<(String, String)> =
            call.query.iter().map(|(n, v)| ((*n).to_owned(), text(v).to_owned())).collect();
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(&query);
        }
        let (method, name) = match call.info.method {
            Method::Get => (reqwest::Method::GET, "GET"),
            Method::Post => (reqwest::Method::POST, "POST"),
        };
        // The host of a network is a constant; any other was configured or named by an answer.
        let foreign = base_url.is_some() || matches!(call.host, Cow::Owned(_));
        let client = match (is_loopback(&url), foreign) {
            (true, _) => &self.local,
            (false, false) => &self.outward,
            (false, true) => {
                if !self.allow_private_networks
                    && let Err(error) = guard::check(&url)
                {
                    return Err(Failure::new(Cause::Connect, error.to_string()));
                }
                if url.scheme() != "https" {
                    return Err(Failure::new(Cause::Connect, "only https leaves this machine"));
                }
                &self.foreign
            }
        };
        let mut request = client.request(method, url).header(ACCEPT, "application/json");
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        request = match &call.auth {
            Auth::None => request,
            Auth::Bearer(token) => request.header(AUTHORIZATION, sensitive(&token.prefixed("Bearer "))?),
            Auth::Basic(id, secret) => request.header(AUTHORIZATION, sensitive(&secret.basic(id))?),
            Auth::Header(name, secret) => request.header(*name, sensitive(secret)?),
            Auth::OAuth1(keys) => {
                let nonce = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
                let signed =
                    oauth1::authorization(keys, name, &address, &query, Timestamp::now().unix(), &nonce);
                request.header(AUTHORIZATION, sensitive(&signed)?)
            }
        };
        Ok(match &call.body {
            Body::Empty => request,
            Body::Form(fields) => {
                request.form(&fields.iter().map(|(n, v)| (*n, text(v))).collect::<Vec<_>>())
            }
            Body::Json(fields) => {
                let object = fields.iter().map(|(n, v)| ((*n).to_owned(), text(v).into()));
                request.json(&object.collect::<serde_json::Map<String, serde_json::Value>>())
            }
        })
    }
}

/// What all clients of this program share: its name, TLS, a time limit for connecting, and that
/// redirects are not followed, which would take credentials elsewhere.
pub fn client_builder(connect_timeout: Duration) -> reqwest::ClientBuilder {
    // Fails only if a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("token_exporter/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(connect_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
}

/// A client certificate with its key, both in PEM form; none if one of them is damaged.
pub fn identity(certificate: &Secret, key: &Secret) -> Option<reqwest::Identity> {
    let pem = Secret::concat([certificate, &Secret::new("\n"), key]);
    reqwest::Identity::from_pem(pem.reveal().as_bytes()).ok()
}

pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

fn text(param: &Param) -> &str {
    match param {
        Param::Text(text) => text,
        Param::Secret(secret) => secret.reveal(),
    }
}

/// A header value that HTTP libraries do not log.
///
/// # Errors
/// If no header can hold the secret.
pub fn sensitive(secret: &Secret) -> Result<HeaderValue, Failure> {
    let unreadable = |_| Failure::new(Cause::CredentialUnreadable, "the token fits into no header");
    let mut value = HeaderValue::from_str(secret.reveal()).map_err(unreadable)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether TLS has failed. An I/O error may hold the TLS error without naming it as its source.
fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let within = || error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>() || within().is_some_and(|inner| is_tls(inner))
}

/// The cause of an error, and the error at its root: the others only say that a request failed, and
/// the first one shows the URL with its query.
pub fn failure(error: &reqwest::Error) -> Failure {
    let mut chain: Vec<&(dyn std::error::Error + 'static)> = Vec::new();
    let mut next = error.source();
    while let Some(inner) = next {
        chain.push(inner);
        next = inner.source();
    }
    let sources = || chain.iter().copied();
    let cause = if error.is_timeout() {
        Cause::Timeout
    } else if sources().any(|inner| inner.is::<guard::Refused>()) {
        Cause::Connect
    } else if sources().any(is_tls) {
        Cause::Tls
    // The error types of the connector are private: its message tells a failed lookup.
    } else if sources().any(|inner| inner.to_string().contains("dns error")) {
        Cause::Dns
    } else if error.is_decode() || error.is_body() {
        Cause::UnexpectedAnswer
    } else {
        Cause::Connect
    };
    Failure::new(cause, chain.last().map_or_else(String::new, ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct NoSuchName;

    impl reqwest::dns::Resolve for NoSuchName {
        fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
            Box::pin(async { Err(std::io::Error::other("Name or service not known").into()) })
        }
    }

    #[tokio::test]
    async fn an_unknown_name_differs_from_a_host_that_does_not_answer() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        for (url, expected) in
            [("https://nowhere.example/", Cause::Dns), ("http://127.0.0.1:1/", Cause::Connect)]
        {
            let Ok(client) = reqwest::Client::builder().no_proxy().dns_resolver(NoSuchName).build() else {
                return;
            };
            let cause = client.get(url).send().await.map_err(|e| failure(&e).cause).err();
            assert_eq!(cause, Some(expected), "{url}");
        }
    }
}
