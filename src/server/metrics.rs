//! `/metrics` and `/sd`: answers to Prometheus.

use std::net::IpAddr;

use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::ServerContext;
use super::body::{Body, stream};
use super::negotiation::negotiate;
use super::response::{text, too_many};
use crate::api::{TargetFilter, write_targets};
use crate::exposition::{Extent, Renderer};
use crate::model::Timestamp;

const VARY: &str = "accept, accept-encoding";
const LIMIT_REACHED: &str = "Limit of concurrent requests reached, try again later.\n";

pub(super) fn metrics(
    context: &ServerContext,
    peer: IpAddr,
    headers: &HeaderMap,
    extent: Extent,
) -> Response<Body> {
    let Some(slot) = context.scrapes.take_from_slow(peer, context.limits.slow) else {
        return too_many(LIMIT_REACHED);
    };
    let format = negotiate(headers);
    let mut renderer =
        Renderer::new(context.store.snapshot(), &context.metrics, Timestamp::now(), format, extent);
    let parts = std::iter::from_fn(move || renderer.next_chunk());
    stream(headers, format.content_type(), VARY, parts, slot)
}

/// The accounts as targets of Prometheus' HTTP service discovery.
pub(super) fn targets(context: &ServerContext, peer: IpAddr, request: &Request<Incoming>) -> Response<Body> {
    let filter = match TargetFilter::parse(request.uri().query().unwrap_or("")) {
        Ok(filter) => filter,
        Err(problems) => return text(StatusCode::BAD_REQUEST, format!("{problems}\n")),
    };
    let Some(slot) = context.scrapes.take_from_slow(peer, context.limits.slow) else {
        return too_many(LIMIT_REACHED);
    };
    let parts = write_targets(context.store.snapshot().inventory, filter);
    stream(request.headers(), "application/json", VARY, parts, slot)
}
