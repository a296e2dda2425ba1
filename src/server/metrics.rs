//! `/metrics` and `/sd`: answers to Prometheus.

use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::ServerContext;
use super::body::{Body, stream};
use super::negotiation::negotiate;
use super::response::text;
use crate::api::{TargetFilter, write_targets};
use crate::exposition::{Extent, Renderer};
use crate::model::Timestamp;

const VARY: &str = "accept, accept-encoding";

pub(super) fn metrics(context: &ServerContext, headers: &HeaderMap, extent: Extent) -> Response<Body> {
    let Ok(permit) = context.scrapes.clone().try_acquire_owned() else { return too_many() };
    let format = negotiate(headers);
    let mut renderer =
        Renderer::new(context.store.snapshot(), &context.metrics, Timestamp::now(), format, extent);
    let parts = std::iter::from_fn(move || renderer.next_chunk());
    stream(headers, format.content_type(), VARY, parts, permit)
}

/// The accounts as targets of Prometheus' HTTP service discovery.
pub(super) fn targets(context: &ServerContext, request: &Request<Incoming>) -> Response<Body> {
    let filter = match TargetFilter::parse(request.uri().query().unwrap_or("")) {
        Ok(filter) => filter,
        Err(problems) => return text(StatusCode::BAD_REQUEST, format!("{problems}\n")),
    };
    let Ok(permit) = context.scrapes.clone().try_acquire_owned() else { return too_many() };
    let parts = write_targets(context.store.snapshot().inventory, filter);
    stream(request.headers(), "application/json", VARY, parts, permit)
}

fn too_many() -> Response<Body> {
    text(StatusCode::SERVICE_UNAVAILABLE, "Limit of concurrent requests reached, try again later.\n")
}
