//! Bodies of responses: ready, or written while they are sent.

use std::io::{self, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, VARY};
use http::{HeaderMap, Response, StatusCode};
use http_body::{Frame, SizeHint};

use super::connection::RunningRequest;
use super::negotiation::accepts_gzip;
use super::response::{set, with_type};
use super::slots::Slot;

/// Number of parts that are written before other tasks may run: about a millisecond of work.
const PARTS_PER_TURN: u32 = 32;
/// Time between two parts up to which a client is not to blame: other tasks may have run meanwhile.
const SCHEDULING: Duration = Duration::from_millis(100);

pub(super) struct Body {
    full: Option<Bytes>,
    stream: Option<Arc<Slot>>,
    /// The request runs until its body is written.
    _request: Option<RunningRequest>,
}

/// An answer that is written while it is sent. Without parts before and after that.
#[derive(Default)]
pub(super) struct Stream {
    parts: Option<Box<dyn Iterator<Item = Bytes> + Send>>,
    gzip: Option<GzEncoder<Vec<u8>>>,
    /// Parts written since other tasks could run.
    written: u32,
    /// When a part was given away, while the client has not taken all of it.
    given: Option<Instant>,
    /// How long parts had to wait for the client.
    waited: Duration,
    cut: bool,
}

/// A response that is written while it is sent, compressed if the client accepts that.
pub(super) fn stream(
    headers: &HeaderMap,
    media: &'static str,
    vary: &'static str,
    parts: impl Iterator<Item = Bytes> + Send + 'static,
    slot: Arc<Slot>,
) -> Response<Body> {
    let gzip = accepts_gzip(headers);
    let mut response = with_type(StatusCode::OK, media, "");
    set(&mut response, VARY, vary);
    if gzip {
        set(&mut response, CONTENT_ENCODING, "gzip");
    }
    slot.with_stream(|stream| {
        stream.parts = Some(Box::new(parts));
        stream.gzip = gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast()));
    });
    response.body_mut().stream = Some(slot);
    response
}

impl Body {
    pub(super) fn empty() -> Self {
        Self::full(Bytes::new())
    }

    pub(super) fn full(bytes: Bytes) -> Self {
        Self { full: Some(bytes).filter(|b| !b.is_empty()), stream: None, _request: None }
    }

    pub(super) fn of(self, request: RunningRequest) -> Self {
        Self { _request: Some(request), ..self }
    }
}

impl Stream {
    /// Whether other tasks should run first.
    fn yields(&mut self) -> bool {
        let yields = self.written >= PARTS_PER_TURN;
        if yields {
            self.written = 0;
        }
        yields
    }

    /// How long its client has kept it waiting in all.
    pub(super) fn waited(&self) -> Duration {
        let current = self.given.map(|at| at.elapsed()).filter(|time| *time > SCHEDULING);
        self.waited + current.unwrap_or_default()
    }

    /// Ends it early, with an error for the client.
    pub(super) fn cut(&mut self) {
        *self = Self { cut: true, ..Self::default() };
    }

    fn poll(&mut self, task: &Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.cut {
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
        }
        self.waited = self.waited();
        self.given = None;
        if self.yields() {
            task.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = self.next();
        self.given = next.is_some().then(Instant::now);
        Poll::Ready(next.map(Ok))
    }

    /// The next bytes to send; none at the end.
    fn next(&mut self) -> Option<Bytes> {
        loop {
            let part = self.parts.as_mut()?.next();
            self.written += 1;
            let Some(encoder) = &mut self.gzip else { return part };
            let Some(part) = part else {
                let rest = self.gzip.take()?.finish().ok()?;
                return Some(Bytes::from(rest)).filter(|rest| !rest.is_empty());
            };
            // Writing to a vector does not fail.
            let _ = encoder.write_all(&part);
            if !encoder.get_ref().is_empty() {
                return Some(std::mem::take(encoder.get_mut()).into());
            }
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let next = match (self.full.take(), &self.stream) {
            (Some(bytes), _) => Some(Ok(bytes)),
            (None, Some(slot)) => ready!(slot.with_stream(|stream| stream.poll(task))),
            (None, None) => None,
        };
        if !matches!(next, Some(Ok(_))) {
            self.stream = None;
        }
        Poll::Ready(next.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.full.is_none() && self.stream.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.full, &self.stream) {
            (Some(bytes), _) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            (None, None) => SizeHint::with_exact(0),
            (None, Some(_)) => SizeHint::default(),
        }
    }
}
