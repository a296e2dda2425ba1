//! Requests and answers as values: a network asks with a [`Call`] and reads an [`Answer`].
//!
//! Nothing here opens a connection. Secrets inside a call stay [`Secret`]s until the HTTP client
//! sends them.

use std::borrow::Cow;
use std::fmt;

use http::HeaderMap;
use serde_json::Value;

use super::Reading;
use crate::model::{Secret, percent_encode};

/// A parameter: plain text, or a secret.
#[derive(Clone, Debug)]
pub enum Param {
    Text(Cow<'static, str>),
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

/// The methods that a probe may use. A POST only ever reads (introspection, batches of GETs).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// How a call is authenticated.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Not at all, or by its parameters.
    None,
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer(Secret),
    /// `Authorization: Basic …` with client id and secret (RFC 6749, section 2.3.1).
    Basic(String, Secret),
    /// The network's own header.
    Header(&'static str, Secret),
    /// `Authorization: OAuth …`, signed with HMAC-SHA1 (RFC 5849). The client adds time and nonce.
    OAuth1(Box<OAuth1Keys>),
}

/// The four keys of OAuth 1.0a.
#[derive(Clone, Debug)]
pub struct OAuth1Keys {
    pub consumer_key: String,
    pub consumer_secret: Secret,
    pub token: Secret,
    pub token_secret: Secret,
}

#[derive(Clone, Debug, Default)]
pub enum Body {
    #[default]
    Empty,
    /// `application/x-www-form-urlencoded`.
    Form(Vec<(&'static str, Param)>),
    /// A flat JSON object with texts.
    Json(Vec<(&'static str, Param)>),
}

/// One call that a probe can make. Each is one static: calls are equal if they are the same static.
#[derive(Debug)]
pub struct CallInfo {
    /// The name in fixtures and logs.
    pub name: &'static str,
    pub method: Method,
    /// The address, with `{…}` for the parts of the path that vary.
    pub url: &'static str,
    pub tells: &'static str,
    /// What it costs in quota or money.
    pub cost: &'static str,
}

impl PartialEq for CallInfo {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl CallInfo {
    pub fn path(&self) -> &'static str {
        self.split().1
    }

    /// Scheme with host, and path.
    fn split(&self) -> (&'static str, &'static str) {
        let host = self.url.find("://").map_or(0, |at| at + 3);
        self.url.split_at(self.url[host..].find('/').map_or(self.url.len(), |at| host + at))
    }

    /// What the earlier answers to this call said, in order.
    pub fn readings<'a>(&self, seen: &'a [Seen]) -> impl DoubleEndedIterator<Item = &'a Reading> {
        seen.iter().filter(|s| s.question.is(self)).map(|s| &s.reading)
    }

    pub fn was_asked(&self, seen: &[Seen]) -> bool {
        self.readings(seen).next().is_some()
    }
}

/// What was asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Question {
    /// None if a probe never makes it, or if it is not known.
    pub call: Option<&'static CallInfo>,
    /// Index of the account it is about; none if it is about the whole grant.
    pub about: Option<usize>,
}

impl Question {
    pub fn is(self, call: &CallInfo) -> bool {
        self.call.is_some_and(|asked| asked == call)
    }
}

/// A question and what its answer said.
#[derive(Clone, Debug)]
pub struct Seen {
    pub question: Question,
    pub reading: Reading,
}

/// One request to a network.
#[derive(Clone, Debug)]
pub struct Call {
    pub info: &'static CallInfo,
    /// See [`Question::about`].
    pub about: Option<usize>,
    /// Scheme and host; a configured `base_url` takes their place.
    pub host: Cow<'static, str>,
    /// With its leading slash, and percent-encoded.
    pub path: String,
    pub query: Vec<(&'static str, Param)>,
    pub headers: Vec<(&'static str, String)>,
    pub auth: Auth,
    pub body: Body,
}

impl Call {
    /// A call to the documented address. `parts` replace the `{…}` in its path, in order.
    pub fn new(info: &'static CallInfo, parts: &[&str]) -> Self {
        let (host, mut rest) = info.split();
        let mut path = String::with_capacity(rest.len());
        for part in parts {
            let Some((open, close)) = rest.find('{').zip(rest.find('}')) else { break };
            path.push_str(&rest[..open]);
            path.push_str(&percent_encode(part));
            rest = &rest[close + 1..];
        }
        path.push_str(rest);
        Self::at(info, host, path)
    }

    /// A call to an address that is only known at run time.
    pub fn at(info: &'static CallInfo, host: impl Into<Cow<'static, str>>, path: impl Into<String>) -> Self {
        Self {
            info,
            about: None,
            host: host.into(),
            path: path.into(),
            query: Vec::new(),
            headers: Vec::new(),
            auth: Auth::None,
            body: Body::Empty,
        }
    }

    pub fn question(&self) -> Question {
        Question { call: Some(self.info), about: self.about }
    }

    #[must_use]
    pub fn body(self, body: Body) -> Self {
        Self { body, ..self }
    }

    #[must_use]
    pub fn about(mut self, account: usize) -> Self {
        self.about = Some(account);
        self
    }

    #[must_use]
    pub fn query(mut self, name: &'static str, value: impl Into<Param>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    #[must_use]
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    #[must_use]
    pub fn bearer(self, token: &Secret) -> Self {
        self.auth(Auth::Bearer(token.clone()))
    }
}

/// What came back, parsed as far as possible.
#[derive(Clone, Default)]
pub struct Answer {
    /// None if an answer was handed in without one.
    pub status: Option<u16>,
    pub headers: HeaderMap,
    /// [`Value::Null`] if the body is not JSON.
    pub json: Value,
    /// The body if it is not JSON.
    pub text: String,
}

impl Answer {
    /// From a received body. JSON can begin with a byte-order mark and blanks.
    pub fn new(status: Option<u16>, headers: HeaderMap, body: &[u8]) -> Self {
        let bytes = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        match serde_json::from_slice(bytes) {
            Ok(json) => Self { status, headers, json, text: String::new() },
            Err(_) => {
                Self { status, headers, json: Value::Null, text: String::from_utf8_lossy(bytes).into_owned() }
            }
        }
    }

    pub fn is(&self, status: u16) -> bool {
        self.status == Some(status)
    }

    /// Whether the status is a success or not known.
    pub fn maybe_success(&self) -> bool {
        self.status.is_none_or(|s| (200..300).contains(&s))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }
}

/// Bodies can contain tokens, as that of `/me/accounts` at Facebook.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}
