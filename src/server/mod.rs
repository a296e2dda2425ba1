//! The HTTP side: routes, negotiation, who is let in. Reads snapshots, and can wish for a probe or
//! a reload; nothing else.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Frame;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::api::{TargetFilter, Targets};
use crate::exposition::{Extent, Format, Renderer};
use crate::model::{Timestamp, parse_duration};
use crate::scheduler::ProbeRequest;
use crate::state::View;
use crate::telemetry::{Heartbeat, Metrics};

mod auth;
mod gate;
mod pages;
mod tls;
mod wire;

pub use gate::{AccessDenied, Gate, Rules};
pub use wire::Limits;

use pages::{Desk, Place, look};

/// What can be set about the HTTP side.
#[derive(Clone, Debug)]
pub struct WebSettings {
    /// Where metrics are served.
    pub telemetry_path: String,
    /// Stands before every path; empty or with a leading slash and none at its end.
    pub route_prefix: String,
    /// Whether `/-/reload` works.
    pub enable_lifecycle: bool,
    /// So many scrapes at once; more are turned away.
    pub max_requests: usize,
}

/// A wish for a reload, and where its result goes.
pub type ReloadRequest = oneshot::Sender<Result<(), String>>;

/// What requests can see and wish for.
pub struct ServerContext {
    /// What is known and kept.
    pub store: View,
    /// What the exporter counts about itself.
    pub metrics: Metrics,
    /// What stands before all routes, but for those of health.
    pub gate: Arc<Gate>,
    /// What connections may take.
    pub limits: Limits,
    settings: WebSettings,
    wishes: Mutex<Option<mpsc::Sender<ProbeRequest>>>,
    reload: mpsc::Sender<ReloadRequest>,
    scrapes: Arc<Semaphore>,
    connections: OnceLock<Arc<Semaphore>>,
    desk: Desk,
    ready: AtomicBool,
}

impl ServerContext {
    /// For a server that is not ready yet.
    pub fn new(
        store: View,
        metrics: Metrics,
        settings: WebSettings,
        reload: mpsc::Sender<ReloadRequest>,
    ) -> Self {
        let scrapes = Arc::new(Semaphore::new(if settings.max_requests == 0 {
            Semaphore::MAX_PERMITS
        } else {
            settings.max_requests
        }));
        let desk = Desk::new(store.clone());
        Self {
            store,
            metrics,
            gate: Arc::default(),
            limits: Limits::default(),
            settings,
            wishes: Mutex::new(None),
            reload,
            scrapes,
            connections: OnceLock::new(),
            desk,
            ready: AtomicBool::new(false),
        }
    }

    /// Sets whether `/-/ready` says so.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Sets where wishes for probes go.
    pub fn set_wishes(&self, wishes: mpsc::Sender<ProbeRequest>) {
        *self.wishes.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(wishes);
    }

    fn wishes(&self) -> Option<mpsc::Sender<ProbeRequest>> {
        self.wishes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// How long `/probe` waits for its probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(60);

/// What a listener answers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Everything.
    Main,
    /// Health and readiness alone, for probes of the machinery around it.
    Health,
}

/// Serves until `stop` changes, then finishes what it has begun, for at most `grace`.
pub async fn serve(
    listener: TcpListener,
    door: Endpoint,
    context: Arc<ServerContext>,
    mut stop: watch::Receiver<bool>,
    grace: Duration,
    mut pulse: Heartbeat,
) {
    let places = Arc::new(Semaphore::new(context.limits.of_listener));
    let total = match door {
        Endpoint::Main => {
            context.connections.get_or_init(|| Arc::new(Semaphore::new(context.limits.total))).clone()
        }
        Endpoint::Health => places.clone(),
    };
    let mut connections = JoinSet::new();
    loop {
        // Those that have ended would be kept until somebody asks for them.
        while connections.try_join_next().is_some() {}
        let accepted = async {
            let place = (places.clone().acquire_owned().await, total.clone().acquire_owned().await);
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            _ = stop.changed() => break,
            () = pulse.answer() => continue,
            accepted = accepted => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, usually: it passes, and a tight loop would not help.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (context, stop) = (context.clone(), stop.clone());
        connections.spawn(async move {
            let _place = place;
            let tls = match door {
                Endpoint::Main => context.gate.rules().await.tls().cloned(),
                Endpoint::Health => None,
            };
            let limits = context.limits;
            let answer = move |request| {
                let context = context.clone();
                async move { handle(&context, door, peer.ip(), request).await }
            };
            wire::serve(stream, tls, &limits, stop, answer).await;
        });
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, ended).await.is_err() {
        tracing::warn!("connections were still open at the end of the shutdown's grace");
    }
}

async fn handle(
    context: &ServerContext,
    door: Endpoint,
    peer: IpAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    let rules = match door {
        Endpoint::Main => context.gate.rules().await,
        Endpoint::Health => Arc::new(Rules::default()),
    };
    let mut response = match context.gate.admit(&rules, request.headers(), peer).await {
        Ok(()) => route(context, door, &request).await,
        Err(refusal) => refused(refusal),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        (
            "content-security-policy",
            "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'; \
             form-action 'self'",
        ),
    ] {
        headers.insert(name, http::HeaderValue::from_static(value));
    }
    headers.extend(rules.headers().clone());
    if request.method() == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    response
}

fn refused(refusal: AccessDenied) -> Response<Body> {
    let (status, said) = match refusal {
        AccessDenied::TooMany => (StatusCode::TOO_MANY_REQUESTS, "Too many requests.\n"),
        AccessDenied::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized.\n"),
        AccessDenied::Busy => {
            (StatusCode::SERVICE_UNAVAILABLE, "Too many passwords wait to be checked, try again later.\n")
        }
    };
    let mut response = text(status, said);
    let (name, value) = match refusal {
        AccessDenied::Unauthorized => (WWW_AUTHENTICATE, "Basic realm=\"token_exporter\", charset=\"UTF-8\""),
        AccessDenied::TooMany | AccessDenied::Busy => (RETRY_AFTER, "1"),
    };
    response.headers_mut().insert(name, http::HeaderValue::from_static(value));
    response
}

async fn route(context: &ServerContext, door: Endpoint, request: &Request<Incoming>) -> Response<Body> {
    let path = request.uri().path();
    let Some(path) = path.strip_prefix(context.settings.route_prefix.as_str()) else {
        return not_found();
    };
    let reading = matches!(*request.method(), Method::GET | Method::HEAD);
    match path {
        path if door == Endpoint::Health && !matches!(path, "/-/healthy" | "/-/ready") => not_found(),
        "/-/reload" => reload(context, request.method()).await,
        "/probe" | "/sd" | "/-/healthy" | "/-/ready" if !reading => not_allowed("GET, HEAD"),
        path if (path == context.settings.telemetry_path || Place::at(path).is_some()) && !reading => {
            not_allowed("GET, HEAD")
        }
        "/-/healthy" => text(StatusCode::OK, "token_exporter is healthy.\n"),
        "/-/ready" if context.ready.load(Ordering::Relaxed) => {
            text(StatusCode::OK, "token_exporter is ready.\n")
        }
        "/-/ready" => text(StatusCode::SERVICE_UNAVAILABLE, "token_exporter is not ready.\n"),
        "/probe" => probe(context, request).await,
        "/sd" => targets(context, request),
        path if path == context.settings.telemetry_path => {
            metrics(context, request.headers(), Extent::Everything)
        }
        path => match Place::at(path) {
            Some(place) => look(context, place, request).await,
            None => not_found(),
        },
    }
}

fn metrics(context: &ServerContext, headers: &HeaderMap, extent: Extent) -> Response<Body> {
    let format = negotiate(headers);
    let parts = || {
        let mut cursor =
            Renderer::new(context.store.snapshot(), &context.metrics, Timestamp::now(), format, extent);
        std::iter::from_fn(move || cursor.next_chunk())
    };
    streamed(context, headers, format.content_type(), parts)
}

/// A response that is written while it is sent, if not too many are.
fn streamed<I>(
    context: &ServerContext,
    headers: &HeaderMap,
    media: &'static str,
    parts: impl FnOnce() -> I,
) -> Response<Body>
where
    I: Iterator<Item = Bytes> + Send + 'static,
{
    let Ok(permit) = context.scrapes.clone().try_acquire_owned() else {
        return text(
            StatusCode::SERVICE_UNAVAILABLE,
            "Limit of concurrent requests reached, try again later.\n",
        );
    };
    let gzip = accepts_gzip(headers);
    let mut response = Response::new(Body::stream(Box::new(parts()), gzip, permit));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(media));
    headers.insert(VARY, http::HeaderValue::from_static("accept, accept-encoding"));
    if gzip {
        headers.insert(CONTENT_ENCODING, http::HeaderValue::from_static("gzip"));
    }
    response
}

/// The accounts as targets for Prometheus' HTTP service discovery.
fn targets(context: &ServerContext, request: &Request<Incoming>) -> Response<Body> {
    let filter = match TargetFilter::parse(request.uri().query().unwrap_or("")) {
        Ok(filter) => filter,
        Err(problems) => return text(StatusCode::BAD_REQUEST, format!("{problems}\n")),
    };
    let parts = || {
        let mut targets = Targets::new(context.store.snapshot().inventory, filter);
        std::iter::from_fn(move || targets.next_chunk())
    };
    streamed(context, request.headers(), "application/json", parts)
}

async fn probe(context: &ServerContext, request: &Request<Incoming>) -> Response<Body> {
    let mut account = None;
    let mut max_age = None;
    for (name, value) in url::form_urlencoded::parse(request.uri().query().unwrap_or("").as_bytes()) {
        match &*name {
            "account" | "target" => account = Some(value),
            "max_age" => match parse_duration(&value) {
                Some(age) => max_age = Some(age),
                None => {
                    return text(
                        StatusCode::BAD_REQUEST,
                        format!("max_age: {value:?} is not a duration such as 30s, 5m or 1h\n"),
                    );
                }
            },
            _ => {}
        }
    }
    let Some(id) = account else {
        return text(StatusCode::BAD_REQUEST, "The parameter \"account\" is missing: /probe?account=ID\n");
    };
    let snapshot = context.store.snapshot();
    let Some(index) = snapshot.inventory.find(&id) else {
        return text(StatusCode::NOT_FOUND, "There is no such account.\n");
    };
    let Some(credential) = snapshot.inventory.account(index).map(|a| a.credential_index()) else {
        return not_found();
    };
    let last = snapshot.credentials.get(credential).and_then(|c| c.last_probe);
    let age = last.and_then(|last| u64::try_from(Timestamp::now().since(last)).ok());
    if max_age.zip(age).is_some_and(|(max, age)| Duration::from_secs(age) <= max) {
        return metrics(context, request.headers(), Extent::Account(index));
    }
    drop(snapshot);
    let (done, wait) = oneshot::channel();
    let sent = match context.wishes() {
        Some(wishes) => {
            wishes.send(ProbeRequest::NewerThan { seen: last, credential, reply: done }).await.is_ok()
        }
        None => false,
    };
    let probed = async { sent && matches!(wait.await, Ok(version) if context.store.reaches(version).await) };
    let patience = scrape_timeout(request.headers()).map_or(PROBE_TIMEOUT, |t| t.min(PROBE_TIMEOUT));
    if !tokio::time::timeout(patience, probed).await.unwrap_or(false) {
        return text(
            StatusCode::GATEWAY_TIMEOUT,
            "The probe did not end in time; its rate limit may not let it.\n",
        );
    }
    // A reload meanwhile may have moved or removed it.
    match context.store.snapshot().inventory.find(&id) {
        Some(index) => metrics(context, request.headers(), Extent::Account(index)),
        None => text(StatusCode::NOT_FOUND, "There is no such account.\n"),
    }
}

/// How long Prometheus waits, less what the way back takes.
fn scrape_timeout(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get("x-prometheus-scrape-timeout-seconds")?.to_str().ok()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().map(|timeout| timeout.mul_f64(0.95))
}

async fn reload(context: &ServerContext, method: &Method) -> Response<Body> {
    if !matches!(*method, Method::POST | Method::PUT) {
        return not_allowed("POST, PUT");
    }
    if !context.settings.enable_lifecycle {
        return text(StatusCode::FORBIDDEN, "Lifecycle API is not enabled.\n");
    }
    let (done, wait) = oneshot::channel();
    let sent = context.reload.send(done).await.is_ok();
    match wait.await {
        Ok(Ok(())) if sent => text(StatusCode::OK, ""),
        Ok(Err(problems)) => {
            text(StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config:\n{problems}\n"))
        }
        _ => text(StatusCode::SERVICE_UNAVAILABLE, "token_exporter is shutting down.\n"),
    }
}

/// The format that the client likes best; the older one if it does not say.
fn negotiate(headers: &HeaderMap) -> Format {
    let mut best = (0.0, Format::Text);
    for accept in headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok()) {
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or("").to_ascii_lowercase();
            let (mut q, mut version) = (1.0_f32, None);
            for part in parts {
                match part.split_once('=') {
                    Some(("q", value)) => q = value.parse().unwrap_or(0.0),
                    Some(("version", value)) => version = Some(value.trim_matches('"')),
                    _ => {}
                }
            }
            let format = match (media.as_str(), version) {
                ("application/openmetrics-text", None | Some("1.0.0")) => Format::OpenMetrics,
                ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", _) => Format::Text,
                _ => continue,
            };
            if q > best.0 {
                best = (q, format);
            }
        }
    }
    best.1
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(',')).any(|coding| {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = parameters
            .trim()
            .strip_prefix("q=")
            .and_then(|q| q.parse::<f32>().ok())
            .is_some_and(|q| q <= 0.0);
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    with_type(status, "text/plain; charset=utf-8", body)
}

fn html(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    with_type(status, "text/html; charset=utf-8", body)
}

fn with_type(status: StatusCode, media: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(media));
    response
}

fn not_found() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "Not found.\n")
}

fn not_allowed(allow: &'static str) -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed.\n");
    response.headers_mut().insert(ALLOW, http::HeaderValue::from_static(allow));
    response
}

/// A response's body: ready, or written while it is sent.
pub struct Body {
    full: Option<Bytes>,
    stream: Option<Stream>,
}

struct Stream {
    parts: Box<dyn Iterator<Item = Bytes> + Send>,
    gzip: Option<GzEncoder<Vec<u8>>>,
    /// So many parts have been written since other tasks had their turn.
    written: u32,
    /// Counts this response among those under way.
    _permit: OwnedSemaphorePermit,
}

impl Body {
    fn empty() -> Self {
        Self { full: None, stream: None }
    }

    fn full(bytes: Bytes) -> Self {
        Self { full: Some(bytes).filter(|b| !b.is_empty()), stream: None }
    }

    fn stream(
        parts: Box<dyn Iterator<Item = Bytes> + Send>,
        gzip: bool,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let gzip = gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast()));
        Self { full: None, stream: Some(Stream { parts, gzip, written: 0, _permit: permit }) }
    }
}

/// After so many parts a response lets probes and other requests have their turn: about a
/// millisecond's work.
const TURN: u32 = 32;

impl Stream {
    /// Whether it is somebody else's turn.
    fn yields(&mut self) -> bool {
        let over = self.written >= TURN;
        if over {
            self.written = 0;
        }
        over
    }

    /// The next bytes to send; none at the end.
    fn next(&mut self) -> Option<Bytes> {
        loop {
            let chunk = self.parts.next();
            self.written += 1;
            let Some(encoder) = &mut self.gzip else { return chunk };
            match chunk {
                Some(chunk) => {
                    // Writing to a vector does not fail.
                    let _ = encoder.write_all(&chunk);
                    if !encoder.get_ref().is_empty() {
                        return Some(std::mem::take(encoder.get_mut()).into());
                    }
                }
                None => {
                    return self
                        .gzip
                        .take()
                        .and_then(|encoder| encoder.finish().ok())
                        .map(Bytes::from)
                        .filter(|b| !b.is_empty());
                }
            }
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.stream.as_mut().is_some_and(Stream::yields) {
            task.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = self.full.take().or_else(|| self.stream.as_mut().and_then(Stream::next));
        if next.is_none() {
            self.stream = None;
        }
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.full.is_none() && self.stream.is_none()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match (&self.full, &self.stream) {
            (Some(bytes), None) => {
                http_body::SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
            }
            (None, None) => http_body::SizeHint::with_exact(0),
            _ => http_body::SizeHint::default(),
        }
    }
}
