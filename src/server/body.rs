//! Bodies of responses: ready, or written while they are sent.

use std::convert::Infallible;
use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, VARY};
use http::{HeaderMap, Response, StatusCode};
use http_body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::connection::RunningRequest;
use super::negotiation::accepts_gzip;
use super::response::{set, with_type};

/// Number of parts that are written before other tasks may run: about a millisecond of work.
const PARTS_PER_TURN: u32 = 32;

pub(super) struct Body {
    full: Option<Bytes>,
    stream: Option<Stream>,
    /// The request runs until its body is written.
    _request: Option<RunningRequest>,
}

struct Stream {
    parts: Box<dyn Iterator<Item = Bytes> + Send>,
    gzip: Option<GzEncoder<Vec<u8>>>,
    /// Parts written since other tasks could run.
    written: u32,
    /// Limits the number of streams at the same time.
    _permit: OwnedSemaphorePermit,
}

/// A response that is written while it is sent, compressed if the client accepts that.
pub(super) fn stream(
    headers: &HeaderMap,
    media: &'static str,
    vary: &'static str,
    parts: impl Iterator<Item = Bytes> + Send + 'static,
    permit: OwnedSemaphorePermit,
) -> Response<Body> {
    let gzip = accepts_gzip(headers);
    let mut response = with_type(StatusCode::OK, media, "");
    set(&mut response, VARY, vary);
    if gzip {
        set(&mut response, CONTENT_ENCODING, "gzip");
    }
    response.body_mut().stream = Some(Stream {
        parts: Box::new(parts),
        gzip: gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast())),
        written: 0,
        _permit: permit,
    });
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

    /// The next bytes to send; none at the end.
    fn next(&mut self) -> Option<Bytes> {
        loop {
            let part = self.parts.next();
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
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
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

    fn size_hint(&self) -> SizeHint {
        match (&self.full, &self.stream) {
            (Some(bytes), _) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            (None, None) => SizeHint::with_exact(0),
            (None, Some(_)) => SizeHint::default(),
        }
    }
}
