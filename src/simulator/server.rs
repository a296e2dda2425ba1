//! The simulator's HTTP server, which answers with the fixtures.
//!
//! The first segment of a path names the network, so that one server can be the `base_url` of all.
//! The token of a request names the case and the account: `sim-<network>-<case>.<id>`. A call that
//! the case does not answer is answered as for a healthy account.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::fixtures::{Case, Fixtures, NetworkFault, Reply, fill};
use crate::model::Timestamp;
use crate::network::{CallInfo, NetworkId, parse};

/// Maximum size of a request's body. A batch of fifty calls stays far below.
const MAX_REQUEST: usize = 1 << 20;
/// Unpacked size of a gzip bomb.
const BOMB: usize = 64 << 20;

#[derive(Debug)]
pub struct Simulator {
    fixtures: Vec<Fixtures>,
    /// Cases by account id, with which tests let connections break and recover.
    overrides: Mutex<HashMap<String, String>>,
    /// Documents by path, such as keys that a test has made.
    documents: Mutex<HashMap<String, String>>,
    requests: Mutex<HashMap<&'static str, u64>>,
    exchanges: AtomicU64,
}

pub fn fixture_token(network: NetworkId, case: &str, id: &str) -> String {
    format!("sim-{network}-{case}.{id}")
}

impl Simulator {
    pub fn new(fixtures: Vec<Fixtures>) -> Self {
        Self {
            fixtures,
            overrides: Mutex::default(),
            documents: Mutex::default(),
            requests: Mutex::default(),
            exchanges: AtomicU64::new(0),
        }
    }

    /// Answers requests about an account as in another case from now on; none: as its token says.
    pub fn play(&self, id: &str, case: Option<&str>) {
        let mut overrides = lock(&self.overrides);
        match case {
            Some(case) => overrides.insert(id.to_owned(), case.to_owned()),
            None => overrides.remove(id),
        };
    }

    /// Serves a document at a path from now on, which begins with the name of a network.
    pub fn publish(&self, path: &str, document: String) {
        lock(&self.documents).insert(path.to_owned(), document);
    }

    /// Number of calls so far, by name.
    pub fn requests(&self) -> HashMap<&'static str, u64> {
        lock(&self.requests).clone()
    }

    /// Number of HTTP requests so far; a batch is one.
    pub fn exchanges(&self) -> u64 {
        self.exchanges.load(Ordering::Relaxed)
    }

    /// Answers requests until the task is dropped.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let simulator = self.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let simulator = simulator.clone();
                    async move { simulator.answer(request).await }
                });
                // A connection that a fault interrupts ends with an error.
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    }

    pub fn base_url(address: SocketAddr, network: NetworkId) -> String {
        format!("http://{address}/{network}")
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Hangup> {
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, MAX_REQUEST).collect().await.map(|b| b.to_bytes()).unwrap_or_default();
        let body = String::from_utf8_lossy(&body).into_owned();
        let path = parts.uri.path_and_query().map_or("/", |p| p.as_str());
        if let Some(document) = lock(&self.documents).get(path) {
            return Ok(respond(&Reply { body: document.clone(), ..Reply::default() }, "", ""));
        }
        let (network, rest) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
        let Some(fixtures) = self.fixtures.iter().find(|f| f.network.name() == network) else {
            return Ok(plain(StatusCode::NOT_FOUND, "the simulator does not know this network"));
        };
        let headers =
            parts.headers.iter().filter_map(|(_, v)| v.to_str().ok()).collect::<Vec<_>>().join("\n");
        if let Some(items) = batch(&body) {
            return Ok(self.answer_batch(fixtures, &items, &headers));
        }
        let Some((reply, id, token)) =
            self.find(fixtures, parts.method.as_str(), &format!("/{rest}"), &body, &headers)
        else {
            return Ok(plain(StatusCode::NOT_FOUND, "the simulator does not know this call"));
        };
        match reply.fault {
            Some(NetworkFault::Reset) => return Err(Hangup),
            Some(NetworkFault::Slow) => std::future::pending().await,
            _ => {}
        }
        Ok(respond(&reply, &id, &token))
    }

    /// Several calls in one request, as Facebook takes them.
    fn answer_batch(&self, fixtures: &Fixtures, items: &[Value], headers: &str) -> Response<Body> {
        let answer = |item: &Value| {
            let method = item["method"].as_str().unwrap_or("GET");
            let url = item["relative_url"].as_str().unwrap_or("");
            let target = format!("/{}", url.trim_start_matches('/'));
            let Some((reply, id, token)) = self.find(fixtures, method, &target, "", headers) else {
                return json!({"code": 404, "headers": [], "body": "{}"});
            };
            if reply.fault.is_some() {
                return Value::Null;
            }
            let headers: Vec<Value> =
                reply.headers.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
            let body = fill(&reply.body, Timestamp::now(), &id, &token);
            json!({"code": reply.status.unwrap_or(200), "headers": headers, "body": body})
        };
        let answers: Vec<Value> = items.iter().map(answer).collect();
        let reply = Reply { body: Value::Array(answers).to_string(), ..Reply::default() };
        respond(&reply, "", "")
    }

    /// The answer to a call, and the id and token for its markers.
    fn find(
        &self,
        fixtures: &Fixtures,
        method: &str,
        target: &str,
        body: &str,
        headers: &str,
    ) -> Option<(Reply, String, String)> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let description = fixtures.network.description();
        let mut calls = description.calls.iter();
        let call = calls.find(|c| c.method.as_str() == method && parse::path_matches(c.path(), path))?;
        *lock(&self.requests).entry(call.name).or_default() += 1;
        let texts = [query, body, headers, path]
            .map(|text| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned());
        let by_token = texts.iter().find_map(|text| named_case(fixtures, text));
        // Some calls need no token. The id of the account then determines the case.
        let by_id = || {
            fixtures.cases.iter().find_map(|case| {
                let id = case.context.external_id.as_deref()?;
                texts.iter().any(|text| text.contains(id)).then(|| (case, id.to_owned(), String::new()))
            })
        };
        let (case, id, token) = by_token.or_else(by_id)?;
        let id = id_in_path(call, path).unwrap_or(id);
        let overridden = lock(&self.overrides).get(&id).cloned();
        let case = overridden.and_then(|name| fixtures.cases.iter().find(|c| c.name == name)).unwrap_or(case);
        let api = case.context.api.as_deref().or(description.apis.first().copied()).unwrap_or("");
        let reply = case
            .answers
            .get(call.name)
            .or_else(|| fixtures.healthy.get(&format!("{api}/{}", call.name)))
            .or_else(|| fixtures.healthy.get(call.name))?;
        Some((reply.clone(), id, token))
    }
}

/// The case, id and token that a text names.
fn named_case<'a>(fixtures: &'a Fixtures, text: &str) -> Option<(&'a Case, String, String)> {
    let start = format!("sim-{}-", fixtures.network);
    text.match_indices(&start).find_map(|(at, _)| {
        let token = &text[at..];
        let end = token.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.:/~".contains(c)));
        let token = &token[..end.unwrap_or(token.len())];
        let (name, id) = token[start.len()..].split_once('.')?;
        let case = fixtures.cases.iter().find(|c| c.name == name)?;
        Some((case, id.to_owned(), token.to_owned()))
    })
}

/// The id in the path, if the call has one there.
fn id_in_path(call: &CallInfo, path: &str) -> Option<String> {
    let wanted = call.path().trim_matches('/').split('/');
    let found = path.trim_matches('/').split('/');
    let pairs =
        wanted.zip(found).filter(|(w, _)| w.contains('{') && w.contains("id") && !w.contains("version"));
    pairs.last().map(|(wanted, segment)| {
        let head = wanted.find('{').unwrap_or(0);
        let tail = wanted.rfind('}').map_or(0, |at| wanted.len() - at - 1);
        let id = &segment[head..segment.len() - tail];
        percent_decode_str(id).decode_utf8_lossy().into_owned()
    })
}

/// The calls of a batch, if the body is one.
fn batch(body: &str) -> Option<Vec<Value>> {
    let (_, batch) = url::form_urlencoded::parse(body.as_bytes()).find(|(name, _)| name == "batch")?;
    serde_json::from_str(&batch).ok()
}

fn respond(reply: &Reply, id: &str, token: &str) -> Response<Body> {
    let text = fill(&reply.body, Timestamp::now(), id, token);
    let mut response = Response::new(Body::Full(Some(Bytes::from(text.clone()))));
    *response.status_mut() =
        reply.status.and_then(|s| StatusCode::from_u16(s).ok()).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    set(headers, reply, id, token);
    match reply.fault {
        Some(NetworkFault::CutOff) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len() + 100));
            *response.body_mut() = Body::Cut(Some(Bytes::from(text)));
        }
        Some(NetworkFault::Oversized) => *response.body_mut() = Body::Endless,
        Some(NetworkFault::GzipBomb) => {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            for _ in 0..BOMB / 65_536 {
                // Writing to a vector does not fail.
                let _ = encoder.write_all(&[b' '; 65_536]);
            }
            *response.body_mut() = Body::Full(encoder.finish().ok().map(Bytes::from));
        }
        Some(NetworkFault::Slow | NetworkFault::Reset) | None => {}
    }
    response
}

fn set(headers: &mut HeaderMap, reply: &Reply, id: &str, token: &str) {
    for (name, value) in &reply.headers {
        let value = fill(value, Timestamp::now(), id, token);
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value))
        {
            headers.insert(name, value);
        }
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::Full(Some(Bytes::from_static(text.as_bytes()))));
    *response.status_mut() = status;
    response
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends a connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed, as the fixture says")]
struct Hangup;

enum Body {
    Full(Option<Bytes>),
    Cut(Option<Bytes>),
    Endless,
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Hangup;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Hangup>>> {
        static ZEROS: [u8; 65_536] = [b'0'; 65_536];
        Poll::Ready(match &mut *self {
            Self::Full(bytes) => bytes.take().map(|b| Ok(Frame::data(b))),
            Self::Cut(bytes) => Some(bytes.take().map(Frame::data).ok_or(Hangup)),
            Self::Endless => Some(Ok(Frame::data(Bytes::from_static(&ZEROS)))),
        })
    }
}
