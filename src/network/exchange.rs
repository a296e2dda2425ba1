//! What goes over the wire, as values: a network asks with a [`Call`] and is answered with an
//! [`Answer`].
//!
//! Nothing here opens a connection. Secrets inside a call stay [`Secret`]s until the HTTP client
//! sends them.

use std::borrow::Cow;
use std::fmt;

use http::HeaderMap;
use serde_json::Value;

use crate::model::Secret;

/// A parameter: plain text, or a secret.
#[derive(Clone, Debug)]
pub enum Param {
    /// May be shown.
    Text(Cow<'static, str>),
    /// Must not be shown.
    Secret(Secret),
}

impl From<&'static str> for Param {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Param {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<Secret> for Param {
    fn from(secret: Secret) -> Self {
        Self::Secret(secret)
    }
}

impl From<&Secret> for Param {
    fn from(secret: &Secret) -> Self {
        Self::Secret(secret.clone())
    }
}

/// The two methods a probe may use. A POST only ever reads (introspection, batches of GETs).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// POST
    Post,
}

/// How a call proves who asks.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Not at all, or through its parameters.
    None,
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer(Secret),
    /// `Authorization: Basic …` with client id and secret (RFC 6749, section 2.3.1).
    Basic(String, Secret),
    /// A header of the network's own.
    Header(&'static str, Secret),
    /// `Authorization: OAuth …`, signed with HMAC-SHA1 (RFC 5849). The client adds time and nonce.
    OAuth1(Box<OAuth1Keys>),
}

/// The four keys of OAuth 1.0a.
#[derive(Clone, Debug)]
pub struct OAuth1Keys {
    /// Identifies the app.
    pub consumer_key: String,
    /// Proves the app.
    pub consumer_secret: Secret,
    /// Identifies the grant.
    pub token: Secret,
    /// Proves the grant.
    pub token_secret: Secret,
}

/// What a call carries.
#[derive(Clone, Debug, Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// `application/x-www-form-urlencoded`.
    Form(Vec<(&'static str, Param)>),
    /// A flat JSON object of texts.
    Json(Vec<(&'static str, Param)>),
}

/// One question to a network.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its name in [`crate::network::Description::calls`].
    pub name: &'static str,
    /// The account it is about (index into [`crate::network::Grant::accounts`]); none: the whole
    /// grant.
    pub about: Option<usize>,
    /// GET or POST.
    pub method: Method,
    /// Scheme and host; a configured `base_url` takes their place.
    pub host: Cow<'static, str>,
    /// Path with its leading slash, already percent-encoded where it holds foreign text.
    pub path: String,
    /// Query parameters in order.
    pub query: Vec<(&'static str, Param)>,
    /// Headers besides authorization and content type.
    pub headers: Vec<(&'static str, String)>,
    /// Who asks.
    pub auth: Auth,
    /// What is sent along.
    pub body: Body,
}

impl Call {
    /// A GET without parameters and authorization.
    pub fn get(name: &'static str, host: impl Into<Cow<'static, str>>, path: impl Into<String>) -> Self {
        Self {
            name,
            about: None,
            method: Method::Get,
            host: host.into(),
            path: path.into(),
            query: Vec::new(),
            headers: Vec::new(),
            auth: Auth::None,
            body: Body::Empty,
        }
    }

    /// A POST that carries this body.
    pub fn post(
        name: &'static str,
        host: impl Into<Cow<'static, str>>,
        path: impl Into<String>,
        body: Body,
    ) -> Self {
        Self { method: Method::Post, body, ..Self::get(name, host, path) }
    }

    /// The same call, about one account.
    #[must_use]
    pub fn about(mut self, account: usize) -> Self {
        self.about = Some(account);
        self
    }

    /// With a query parameter more.
    #[must_use]
    pub fn query(mut self, name: &'static str, value: impl Into<Param>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// With a header more.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With this proof of who asks.
    #[must_use]
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// With `Authorization: Bearer …`.
    #[must_use]
    pub fn bearer(self, token: &Secret) -> Self {
        self.auth(Auth::Bearer(token.clone()))
    }
}

/// What came back, parsed as far as it goes.
#[derive(Clone, Default)]
pub struct Answer {
    /// The HTTP status; none where a payload was handed in without one.
    pub status: Option<u16>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as JSON; [`Value::Null`] if it is none.
    pub json: Value,
    /// The body as text, if it is not JSON.
    pub text: String,
}

impl Answer {
    /// From a received body. A byte-order mark and blanks around JSON are forgiven.
    pub fn new(status: Option<u16>, headers: HeaderMap, body: &[u8]) -> Self {
        let bytes = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        match serde_json::from_slice(bytes) {
            Ok(json) => Self { status, headers, json, text: String::new() },
            Err(_) => {
                Self { status, headers, json: Value::Null, text: String::from_utf8_lossy(bytes).into_owned() }
            }
        }
    }

    /// Whether the status is this one.
    pub fn is(&self, status: u16) -> bool {
        self.status == Some(status)
    }

    /// Whether the status is a success, or not known.
    pub fn maybe_success(&self) -> bool {
        self.status.is_none_or(|s| (200..300).contains(&s))
    }

    /// A header's text, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }
}

/// Bodies can hold tokens (`/me/accounts` at Facebook does): shape only.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}
