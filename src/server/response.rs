//! Small responses.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use super::body::Body;

pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    with_type(status, "text/plain; charset=utf-8", body)
}

pub(super) fn html(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    with_type(status, "text/html; charset=utf-8", body)
}

pub(super) fn with_type(status: StatusCode, media: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body.into()));
    *response.status_mut() = status;
    set(&mut response, CONTENT_TYPE, media);
    response
}

pub(super) fn set(response: &mut Response<Body>, name: HeaderName, value: &'static str) {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
}

pub(super) fn not_found() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "Not found.\n")
}

pub(super) fn not_allowed(allowed: &'static str) -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed.\n");
    set(&mut response, ALLOW, allowed);
    response
}

/// For a limit that is reached.
pub(super) fn too_many(message: &'static str) -> Response<Body> {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, message);
    set(&mut response, RETRY_AFTER, "10");
    response
}

pub(super) fn stopping() -> Response<Body> {
    text(StatusCode::SERVICE_UNAVAILABLE, "token_exporter is shutting down.\n")
}
