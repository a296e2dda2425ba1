//! `/events/<app>`: takes the notices that networks send by themselves.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use http::header::ALLOW;
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;

use super::body::Body;
use super::peers::HANDED_ON;
use super::rate_limit::TokenBucket;
use super::response::{not_found, set, text, too_many, with_type};
use super::slots::Slots;
use super::{Endpoint, ServerContext};
use crate::config::WebRateLimit;
use crate::model::EventResult;

/// Maximum size of a notice in bytes.
const MAX_BODY: usize = 64 << 10;
/// Time limit for a notice to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Notices per second, and how many may come at once.
const RATE: WebRateLimit = WebRateLimit { interval: Duration::from_millis(10), burst: 200 };
/// Maximum number of notices that are received at the same time.
const MAX_RECEIVING: usize = 64;

pub(super) struct NoticeLimits {
    rate: TokenBucket,
    receiving: Slots,
}

impl Default for NoticeLimits {
    fn default() -> Self {
        Self { rate: TokenBucket::new(RATE), receiving: Slots::new(MAX_RECEIVING) }
    }
}

/// The app whose notices a request brings, where the endpoint serves them. With an endpoint of their own, the
/// main one takes only those that other shards hand on.
pub(super) fn app_of<B>(context: &ServerContext, endpoint: Endpoint, request: &Request<B>) -> Option<String> {
    let path = request.uri().path();
    let handed_on = request.headers().contains_key(HANDED_ON);
    let inside = path.strip_prefix(context.settings.route_prefix.as_str());
    let path = match endpoint {
        Endpoint::Main if !context.settings.events_apart || handed_on => inside?,
        Endpoint::Events => inside.unwrap_or(path),
        Endpoint::Main | Endpoint::Health => return None,
    };
    let app = path.strip_prefix("/events/")?;
    percent_decode_str(app).decode_utf8().ok().map(Into::into)
}

pub(super) async fn events(
    context: &ServerContext,
    peer: IpAddr,
    host: Option<&Authority>,
    app: &str,
    request: Request<Incoming>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Some(notices) = &context.notices else { return not_found() };
    let Some(form) = notices.form(app) else { return not_found() };
    let allowed = if form.get.is_some() { "GET, POST" } else { "POST" };
    let is_get = head.method == Method::GET && form.get.is_some();
    if !is_get && head.method != Method::POST {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed.\n");
        set(&mut response, ALLOW, allowed);
        return response;
    }
    let limits = &context.notice_limits;
    if !limits.rate.take(Instant::now()) {
        notices.refused(app, EventResult::RateLimited);
        return limited(StatusCode::TOO_MANY_REQUESTS);
    }
    let Some(_slot) = limits.receiving.take(peer) else {
        notices.refused(app, EventResult::RateLimited);
        return limited(StatusCode::SERVICE_UNAVAILABLE);
    };
    if is_get {
        return match notices.get(app, head.uri.query().unwrap_or("")).await {
            Some(answer) => text(StatusCode::OK, answer),
            None => text(StatusCode::FORBIDDEN, "Refused: this is not the handshake of the network.\n"),
        };
    }
    let body = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await;
    let body = match body {
        Ok(Ok(body)) => body.to_bytes(),
        incomplete => {
            notices.refused(app, EventResult::Malformed);
            return match incomplete {
                Ok(Err(error)) if error.is::<LengthLimitError>() => {
                    text(StatusCode::PAYLOAD_TOO_LARGE, "The notice is too large.\n")
                }
                Ok(_) => text(StatusCode::BAD_REQUEST, "The notice is incomplete.\n"),
                Err(_) => text(StatusCode::REQUEST_TIMEOUT, "The notice took too long.\n"),
            };
        }
    };
    let Some(reply) = notices.post(app, &head.headers, &body).await else { return not_found() };
    let path = head.uri.path();
    let path = path.strip_prefix(context.settings.route_prefix.as_str()).unwrap_or(path);
    if let Some(peers) = context.peers.as_ref().filter(|_| reply.about_logins)
        && !peers.hand_to_all(path, &head.headers, &body).await
    {
        // The network sends it again, and this shard then knows it.
        return limited(StatusCode::SERVICE_UNAVAILABLE);
    }
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match (reply.confirmation, status.as_u16()) {
        (Some(code), _) => {
            let site = match (&context.settings.external_url, host) {
                (Some(url), _) => url.as_str().trim_end_matches('/').to_owned(),
                (None, host) => format!("https://{}", host.map_or("", Authority::as_str)),
            };
            let url = format!("{site}{path}?confirmation_code={code}");
            let answer = serde_json::json!({"url": url, "confirmation_code": code});
            with_type(status, "application/json", answer.to_string())
        }
        (None, 401) => text(status, "The signature is wrong, or that of another app.\n"),
        (None, 503) => limited(status),
        (None, 200..300) => text(status, ""),
        (None, _) => text(status, "Not a notice that can be read, or not a recent one.\n"),
    }
}

fn limited(status: StatusCode) -> Response<Body> {
    let mut response = too_many("Too many notices, or they cannot be checked now; try again later.\n");
    *response.status_mut() = status;
    response
}
