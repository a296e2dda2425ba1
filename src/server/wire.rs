//! One connection, from its first byte to its last: the TLS handshake, HTTP/1.1 or HTTP/2, and
//! limits on all that it takes.
//!
//! Whoever connects may be slow, idle or hostile; none of it may hold memory or a place for ever.
//! Knows nothing of routes: what answers is handed in.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
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

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once for each listener; more wait to be accepted.
    pub of_listener: usize,
    /// Connections at once for all listeners but the one for health, which must answer when the
    /// others are full.
    pub total: usize,
    /// The time for a TLS handshake.
    pub handshake: Duration,
    /// The time from a request's first byte to the end of its head, and from a connection's
    /// beginning to its first request.
    pub head: Duration,
    /// The time between two requests. Longer than scrape intervals are: a connection saves the next
    /// handshake.
    pub idle: Duration,
    /// The time in which a client must read something of what is sent.
    pub stall: Duration,
    /// The time from a request to the end of its answer. No Prometheus waits longer: a series that
    /// is scraped less than every few minutes is stale between scrapes.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            of_listener: 512,
            total: 1024,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(180),
            stall: Duration::from_secs(30),
            answer: Duration::from_secs(120),
        }
    }
}

/// What a request's head, and what hyper keeps of a connection, may measure.
const MAX_BUFFER: usize = 32 << 10;
/// What HTTP/2 may have in flight in either direction; there are no request bodies, and a scrape
/// needs no more for its speed.
const WINDOW: u32 = 64 << 10;
/// Requests at once in one HTTP/2 connection.
const STREAMS: u32 = 16;
/// The time for a polite end with nobody waiting for an answer.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves a connection until it ends, a limit is passed, or `stop` changes and what was begun is
/// answered.
pub(crate) async fn serve<F, B>(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    limits: &Limits,
    mut stop: watch::Receiver<bool>,
    answer: impl Fn(Request<Incoming>) -> F,
) where
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = bytes::Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    // It fails only for a connection that is gone.
    let _ = stream.set_nodelay(true);
    let Some(config) = tls else { return drive_http1(stream, limits, stop, answer).await };
    let shaken = tokio::select! {
        _ = stop.changed() => return,
        shaken = tokio::time::timeout(limits.handshake, handshake(stream, config)) => shaken,
    };
    match shaken {
        Ok(Ok(Some(stream))) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
            drive_http2(stream, limits, stop, answer).await
        }
        Ok(Ok(Some(stream))) => drive_http1(stream, limits, stop, answer).await,
        Ok(Ok(None)) => tracing::debug!("a client sent HTTP where TLS is spoken"),
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

/// The encrypted connection; none for a client that takes https for http, which is told so.
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

async fn drive_http1<IO, F, B>(
    io: IO,
    limits: &Limits,
    stop: watch::Receiver<bool>,
    answer: impl Fn(Request<Incoming>) -> F,
) where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
    F: Future<Output = Response<B>>,
    B: Body<Data = bytes::Bytes, Error = Infallible> + Unpin + 'static,
{
    let activity = Activity::new();
    let io =
        TokioIo::new(TimedStream { io, heard: Some(activity.clone()), stall: limits.stall, stalled: None });
    let service = service_fn(|request| counted(activity.begin(), answer(request)));
    // Its own time limit for heads would end connections between requests.
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(io, service);
    drive(connection, &activity, limits, stop).await;
}

async fn drive_http2<IO, F, B>(
    io: IO,
    limits: &Limits,
    stop: watch::Receiver<bool>,
    answer: impl Fn(Request<Incoming>) -> F,
) where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = bytes::Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    let activity = Activity::new();
    // What HTTP/2 hears between requests may be anything: pings, say.
    let io = TokioIo::new(TimedStream { io, heard: None, stall: limits.stall, stalled: None });
    let service = service_fn(|request| counted(activity.begin(), answer(request)));
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.max_concurrent_streams(STREAMS).max_header_list_size(32 << 10).max_send_buf_size(WINDOW as usize);
    builder.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
    drive(builder.serve_connection(io, service), &activity, limits, stop).await;
}

/// Keeps a connection going within its limits.
async fn drive<C: GracefulConnection>(
    connection: C,
    activity: &Activity,
    limits: &Limits,
    mut stop: watch::Receiver<bool>,
) {
    let mut connection = pin!(connection);
    let mut alarm = pin!(sleep_until(Instant::now()));
    // When it is cut, once it has been asked to end.
    let mut cut: Option<Instant> = None;
    loop {
        let running = std::future::poll_fn(|context| {
            if connection.as_mut().poll(context).is_ready() {
                return Poll::Ready(true);
            }
            // Whatever has just moved may have moved the deadline, too.
            alarm.as_mut().reset(cut.unwrap_or_else(|| activity.deadline(limits)));
            alarm.as_mut().poll(context).map(|()| false)
        });
        tokio::select! {
            ended = running => if ended || cut.is_some() { return },
            _ = stop.changed(), if cut.is_none() => {}
        }
        let patience = if activity.is_busy() && *stop.borrow() { limits.answer } else { FAREWELL };
        cut = Some(Instant::now() + patience);
        connection.as_mut().graceful_shutdown();
    }
}

/// What a connection is doing: requests under way, or waiting for one.
struct Activity(Mutex<Beat>);

struct Beat {
    /// When each request under way began.
    under_way: HashMap<u64, Instant>,
    begun: u64,
    /// When the last request ended, or the connection began.
    since: Instant,
    /// When the first byte of a request came whose head is not complete.
    heard: Option<Instant>,
}

impl Activity {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Beat {
            under_way: HashMap::new(),
            begun: 0,
            since: Instant::now(),
            heard: None,
        })))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Beat> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(self: &Arc<Self>) -> UnderWay {
        let mut beat = self.lock();
        beat.heard = None;
        beat.begun += 1;
        let number = beat.begun;
        beat.under_way.insert(number, Instant::now());
        UnderWay { activity: self.clone(), number }
    }

    fn hear(&self) {
        let mut beat = self.lock();
        if beat.under_way.is_empty() {
            beat.heard.get_or_insert_with(Instant::now);
        }
    }

    fn is_busy(&self) -> bool {
        !self.lock().under_way.is_empty()
    }

    /// When the connection has taken all the time that it may.
    fn deadline(&self, limits: &Limits) -> Instant {
        let beat = self.lock();
        match (beat.under_way.values().min(), beat.heard) {
            (Some(oldest), _) => *oldest + limits.answer,
            (None, Some(heard)) => heard + limits.head,
            (None, None) if beat.begun == 0 => beat.since + limits.head,
            (None, None) => beat.since + limits.idle,
        }
    }
}

/// A request under way, until its answer is written.
struct UnderWay {
    activity: Arc<Activity>,
    number: u64,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut beat = self.activity.lock();
        beat.under_way.remove(&self.number);
        beat.since = Instant::now();
    }
}

async fn counted<B>(
    under_way: UnderWay,
    answer: impl Future<Output = Response<B>>,
) -> Result<Response<Counted<B>>, Infallible> {
    Ok(answer.await.map(|body| Counted { body, _under_way: under_way }))
}

/// A body whose request is under way until it is written.
struct Counted<B> {
    body: B,
    _under_way: UnderWay,
}

impl<B: Body + Unpin> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that fails when nothing of what is written gets away for a while, and tells when
/// something was read.
struct TimedStream<IO> {
    io: IO,
    heard: Option<Arc<Activity>>,
    stall: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<IO> TimedStream<IO> {
    /// What came of an attempt to write, unless it has been of no avail for too long.
    fn watch<T>(&mut self, context: &mut Context<'_>, attempt: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if attempt.is_ready() {
            self.stalled = None;
            return attempt;
        }
        let stall = self.stall;
        let alarm = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        ready!(alarm.as_mut().poll(context));
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
        if let Some(activity) = self.heard.as_ref().filter(|_| buffer.filled().len() > before) {
            activity.hear();
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
