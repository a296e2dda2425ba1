//! One connection, from its first byte to its last: the TLS handshake, HTTP/1.1 or HTTP/2, and
//! limits on time and memory, as clients may be slow, idle or hostile.
//!
//! It must not know any route: the function that answers requests is passed in.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::graceful::GracefulConnection;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::body::Body;

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum number of connections of one client address. Beyond this and the next two, the connection
    /// that has waited for its client longest is closed.
    pub of_peer: usize,
    /// Maximum number of connections of one listener.
    pub of_listener: usize,
    /// Maximum number of connections of all listeners together, without the one for health, which
    /// must answer when the others are full.
    pub total: usize,
    pub handshake: Duration,
    /// Time from the first byte of a request to the end of its head, and from the beginning of a
    /// connection to its first request.
    pub head: Duration,
    /// Time between two requests. Longer than common scrape intervals, so that Prometheus can keep
    /// its connection.
    pub idle: Duration,
    /// Time within which the client must read some of what is sent.
    pub stall: Duration,
    /// Time that an answer has waited for its client in all, from which on it is cut where the maximum
    /// number of such answers is reached.
    pub slow: Duration,
    /// Time from a request to the end of its answer. No Prometheus waits longer, as a series that is
    /// scraped less than every few minutes is stale between scrapes.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            of_peer: 256,
            of_listener: 512,
            total: 1024,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(180),
            stall: Duration::from_secs(30),
            slow: Duration::from_secs(1),
            answer: Duration::from_secs(120),
        }
    }
}

/// Maximum size of a request's head, and of hyper's buffers for a connection.
const MAX_BUFFER: usize = 32 << 10;
/// Flow-control window of HTTP/2. There are no request bodies, and a scrape needs no more.
const WINDOW: u32 = 64 << 10;
/// Maximum number of requests at the same time in one HTTP/2 connection.
const MAX_STREAMS: u32 = 16;
/// Time for closing an idle connection cleanly.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves a connection until it ends, exceeds a limit, or `stop` changes and the requests that have
/// begun are answered.
pub(super) async fn serve<F>(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    limits: &Limits,
    mut stop: watch::Receiver<bool>,
    activity: Arc<Activity>,
    answer: impl Fn(Request<Incoming>) -> F,
) where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    // It fails only for a connection that is gone.
    let _ = stream.set_nodelay(true);
    let Some(config) = tls else { return serve_http(stream, false, limits, stop, activity, answer).await };
    let result = tokio::select! {
        _ = stop.changed() => return,
        result = tokio::time::timeout(limits.handshake, handshake(stream, config)) => result,
    };
    match result {
        Ok(Ok(Some(stream))) => {
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            serve_http(stream, is_http2, limits, stop, activity, answer).await
        }
        Ok(Ok(None)) => tracing::debug!("a client sent HTTP where TLS is spoken"),
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

/// The encrypted connection; none if the client sent plain HTTP, which is answered with an error.
async fn handshake(
    mut stream: TcpStream,
    config: Arc<ServerConfig>,
) -> io::Result<Option<TlsStream<TcpStream>>> {
    let mut first = [0];
    // No TLS connection begins with a letter, every HTTP request does.
    if stream.peek(&mut first).await? == 1 && first[0].is_ascii_alphabetic() {
        let text = "Client sent an HTTP request to an HTTPS server.\n";
        let head = format!(
            "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: \
             {}\r\n\r\n",
            text.len()
        );
        stream.write_all((head + text).as_bytes()).await?;
        stream.shutdown().await?;
        return Ok(None);
    }
    TlsAcceptor::from(config).accept(stream).await.map(Some)
}

async fn serve_http<F>(
    io: impl AsyncRead + AsyncWrite + Unpin + 'static,
    is_http2: bool,
    limits: &Limits,
    stop: watch::Receiver<bool>,
    activity: Arc<Activity>,
    answer: impl Fn(Request<Incoming>) -> F,
) where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    activity.begin();
    // In HTTP/2, bytes between requests do not begin a request: they may be pings, for example.
    let noted = (!is_http2).then(|| activity.clone());
    let io = TokioIo::new(TimedStream { io, activity: noted, stall: limits.stall, timer: None });
    let service = service_fn(|request| activity.clone().track(answer(request)));
    if is_http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.max_concurrent_streams(MAX_STREAMS).max_header_list_size(32 << 10);
        builder.max_send_buf_size(WINDOW as usize);
        builder.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
        drive(builder.serve_connection(io, service), &activity, limits, stop).await;
    } else {
        let mut builder = http1::Builder::new();
        // hyper's own time limit for heads would end idle connections.
        builder.header_read_timeout(None).max_buf_size(MAX_BUFFER);
        drive(builder.serve_connection(io, service), &activity, limits, stop).await;
    }
}

/// Runs a connection within its limits.
async fn drive<C: GracefulConnection>(
    connection: C,
    activity: &Activity,
    limits: &Limits,
    mut stop: watch::Receiver<bool>,
) {
    let mut connection = pin!(connection);
    let mut timer = pin!(sleep_until(Instant::now()));
    // When the connection is cut, after it has been asked to end.
    let mut cut: Option<Instant> = None;
    loop {
        let running = std::future::poll_fn(|context| {
            if connection.as_mut().poll(context).is_ready() {
                return Poll::Ready(true);
            }
            // Polling may have changed the deadline.
            timer.as_mut().reset(cut.unwrap_or_else(|| activity.deadline(limits)));
            timer.as_mut().poll(context).map(|()| false)
        });
        tokio::select! {
            ended = running => if ended || cut.is_some() { return },
            _ = stop.changed(), if cut.is_none() => {}
        }
        let time = if activity.is_busy() && *stop.borrow() { limits.answer } else { CLOSE_TIMEOUT };
        cut = Some(Instant::now() + time);
        connection.as_mut().graceful_shutdown();
    }
}

/// What a connection is doing: answering requests, or waiting for one.
pub(super) struct Activity(Mutex<ActivityState>);

struct ActivityState {
    running: HashMap<u64, Running>,
    begun: u64,
    /// When the last request ended, or the connection began.
    idle_since: Instant,
    /// When the first byte of an incomplete request came.
    head_since: Option<Instant>,
}

struct Running {
    since: Instant,
    /// When its answer was ready to be read.
    answered: Option<Instant>,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(ActivityState {
            running: HashMap::new(),
            begun: 0,
            idle_since: Instant::now(),
            head_since: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, ActivityState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a request begins. It runs until its answer is written.
    fn track(
        self: Arc<Self>,
        answer: impl Future<Output = Response<Body>>,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> {
        let mut state = self.lock();
        state.head_since = None;
        state.begun += 1;
        let number = state.begun;
        state.running.insert(number, Running { since: Instant::now(), answered: None });
        drop(state);
        let request = RunningRequest { activity: self, number };
        async move {
            let answer = answer.await;
            request.answered();
            Ok(answer.map(|body| body.of(request)))
        }
    }

    /// Notes that the TLS handshake has ended, if there was one.
    fn begin(&self) {
        self.lock().idle_since = Instant::now();
    }

    /// Since when it has been waiting for its client: for a request, or to read answers. None while a
    /// request is being worked on.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        let state = self.lock();
        let answered = state.running.values().map(|request| request.answered).min();
        answered.unwrap_or(Some(state.idle_since))
    }

    fn bytes_read(&self) {
        let mut state = self.lock();
        if state.running.is_empty() {
            state.head_since.get_or_insert_with(Instant::now);
        }
    }

    fn is_busy(&self) -> bool {
        !self.lock().running.is_empty()
    }

    /// When the connection has exceeded a limit.
    fn deadline(&self, limits: &Limits) -> Instant {
        let state = self.lock();
        match (state.running.values().map(|request| request.since).min(), state.head_since) {
            (Some(oldest), _) => oldest + limits.answer,
            (None, Some(since)) => since + limits.head,
            (None, None) if state.begun == 0 => state.idle_since + limits.head,
            (None, None) => state.idle_since + limits.idle,
        }
    }
}

/// A request that runs until this is dropped.
pub(super) struct RunningRequest {
    activity: Arc<Activity>,
    number: u64,
}

impl RunningRequest {
    fn answered(&self) {
        if let Some(running) = self.activity.lock().running.get_mut(&self.number) {
            running.answered = Some(Instant::now());
        }
    }
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        let mut state = self.activity.lock();
        state.running.remove(&self.number);
        state.idle_since = Instant::now();
    }
}

/// A stream that fails if the client reads nothing of what is written for a while, and that notes
/// when bytes were read.
struct TimedStream<IO> {
    io: IO,
    activity: Option<Arc<Activity>>,
    stall: Duration,
    /// Runs while writing makes no progress.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<IO> TimedStream<IO> {
    /// The result of an attempt to write; an error if none has succeeded for too long.
    fn watch<T>(&mut self, context: &mut Context<'_>, attempt: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if attempt.is_ready() {
            self.timer = None;
            return attempt;
        }
        let stall = self.stall;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for TimedStream<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        if let Some(activity) = self.activity.as_ref().filter(|_| buffer.filled().len() > before) {
            activity.bytes_read();
        }
        read
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for TimedStream<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let attempt = Pin::new(&mut self.io).poll_write(context, bytes);
        self.watch(context, attempt)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let attempt = Pin::new(&mut self.io).poll_write_vectored(context, bytes);
        self.watch(context, attempt)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let attempt = Pin::new(&mut self.io).poll_flush(context);
        self.watch(context, attempt)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let attempt = Pin::new(&mut self.io).poll_shutdown(context);
        self.watch(context, attempt)
    }
}
