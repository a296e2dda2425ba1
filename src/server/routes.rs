//! Which path is answered by what, and the headers that every answer has.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::{
    CONNECTION, CONTENT_SECURITY_POLICY, REFERRER_POLICY, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;

use super::access::{AccessDenied, AccessRules};
use super::body::Body;
use super::metrics::{metrics, targets};
use super::origin::{is_foreign, named_host};
use super::pages::{self, Download};
use super::probe::probe;
use super::reload::reload;
use super::reports;
use super::response::{not_allowed, not_found, set, text};
use super::{Endpoint, ServerContext, events};
use crate::exposition::Extent;
use crate::page::{ICON, SCRIPT, STYLE};

/// The paths below the route prefix that answer GET and HEAD, besides that of the metrics.
const PATHS: [&str; 13] = [
    "/-/healthy",
    "/-/ready",
    "/probe",
    "/sd",
    "",
    "/",
    "/account",
    "/api/v1/connections",
    "/connections.csv",
    "/connections.ics",
    "/style.css",
    "/page.js",
    "/icon.svg",
];

/// Whether metrics cannot be served under this path.
pub fn is_taken(path: &str) -> bool {
    let prefixes = ["/-/", "/events/"];
    PATHS.contains(&path) || path == reports::PATH || prefixes.iter().any(|prefix| path.starts_with(prefix))
}

/// Answers a request, if its sender is allowed in.
pub(super) async fn handle(
    context: &ServerContext,
    endpoint: Endpoint,
    peer: IpAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    let rules = match endpoint {
        Endpoint::Main => context.access.rules().await,
        Endpoint::Events | Endpoint::Health => Arc::new(AccessRules::default()),
    };
    let is_head = request.method() == Method::HEAD;
    let app = events::app_of(context, endpoint, &request);
    let mut response = match (named_host(&request), app) {
        (Ok(host), Some(app)) => events::events(context, peer, host.as_ref(), &app, request).await,
        (Ok(_), None) if endpoint == Endpoint::Events => not_found(),
        (Ok(host), None) => admit(context, endpoint, &rules, peer, host.as_ref(), request).await,
        (Err((status, problem)), _) => bad_request(request.version(), status, problem),
    };
    set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(&mut response, REFERRER_POLICY, "no-referrer");
    set(
        &mut response,
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    );
    response.headers_mut().extend(rules.headers.clone());
    if is_head {
        *response.body_mut() = Body::empty();
    }
    response
}

/// Answers a request whose head is right, if its sender is allowed in.
async fn admit(
    context: &ServerContext,
    endpoint: Endpoint,
    rules: &AccessRules,
    peer: IpAddr,
    host: Option<&Authority>,
    request: Request<Incoming>,
) -> Response<Body> {
    let path = request.uri().path().strip_prefix(context.settings.route_prefix.as_str());
    let is_report = endpoint == Endpoint::Main && path == Some(reports::PATH);
    let own_proof = is_report && reports::has_token(context, request.headers());
    match context.access.admit(rules, request.headers(), peer, own_proof).await {
        Ok(()) if is_report && is_foreign(&request, host, context.settings.external_url.as_ref()) => {
            foreign()
        }
        Ok(()) if is_report => reports::reports(context, peer, request).await,
        Ok(()) => route(context, endpoint, peer, host, &request).await,
        Err(denied) => {
            let accepts_tokens = is_report && matches!(denied, AccessDenied::Unauthorized);
            let mut response = refuse(denied);
            if accepts_tokens && !context.reporters.is_empty() {
                reports::ask_for_token(&mut response);
            }
            response
        }
    }
}

fn foreign() -> Response<Body> {
    text(StatusCode::FORBIDDEN, "Refused: this request may come from a page of another site.\n")
}

fn refuse(denied: AccessDenied) -> Response<Body> {
    let (status, message) = match denied {
        AccessDenied::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "Too many requests.\n"),
        AccessDenied::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized.\n"),
        AccessDenied::Busy => {
            (StatusCode::SERVICE_UNAVAILABLE, "Too many passwords wait to be checked, try again later.\n")
        }
    };
    let mut response = text(status, message);
    match denied {
        AccessDenied::Unauthorized => {
            set(&mut response, WWW_AUTHENTICATE, "Basic realm=\"token_exporter\", charset=\"UTF-8\"");
        }
        AccessDenied::RateLimited | AccessDenied::Busy => set(&mut response, RETRY_AFTER, "1"),
    }
    response
}

/// The answer to a request whose end is in doubt: the connection is not used again.
fn bad_request(version: Version, status: StatusCode, problem: &'static str) -> Response<Body> {
    let mut response = text(status, problem);
    if version < Version::HTTP_2 {
        set(&mut response, CONNECTION, "close");
    }
    response
}

async fn route(
    context: &ServerContext,
    endpoint: Endpoint,
    peer: IpAddr,
    host: Option<&Authority>,
    request: &Request<Incoming>,
) -> Response<Body> {
    let settings = &context.settings;
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let whole = request.uri().path();
    let path = match (whole.strip_prefix(settings.route_prefix.as_str()), endpoint) {
        (Some(path), _) => path,
        // Health is asked for by machines, which know no prefix.
        (None, Endpoint::Events | Endpoint::Health) => whole,
        (None, Endpoint::Main) if whole == "/" && reads => {
            let prefix = settings.route_prefix.trim_start_matches('/');
            return pages::redirect(StatusCode::FOUND, prefix);
        }
        (None, Endpoint::Main) => return not_found(),
    };
    if endpoint == Endpoint::Health && !matches!(path, "/-/healthy" | "/-/ready") {
        return not_found();
    }
    let account = path.strip_prefix("/api/v1/connections/");
    if matches!(path, "/-/reload" | "/probe") && is_foreign(request, host, settings.external_url.as_ref()) {
        return foreign();
    }
    match path {
        "/-/reload" => reload(context, request.method()).await,
        path if path != settings.telemetry_path && !PATHS.contains(&path) && account.is_none() => not_found(),
        _ if !reads => not_allowed("GET, HEAD"),
        "/-/healthy" => text(StatusCode::OK, "token_exporter is healthy.\n"),
        "/-/ready" if context.ready.load(Ordering::Relaxed) => {
            text(StatusCode::OK, "token_exporter is ready.\n")
        }
        "/-/ready" => text(StatusCode::SERVICE_UNAVAILABLE, "token_exporter is not ready.\n"),
        "/probe" => probe(context, peer, request).await,
        "/sd" => targets(context, peer, request),
        path if path == settings.telemetry_path => {
            metrics(context, peer, request.headers(), Extent::Everything)
        }
        // The route prefix without its slash.
        "" => {
            let last = settings.route_prefix.rsplit('/').next().unwrap_or("");
            pages::redirect(StatusCode::PERMANENT_REDIRECT, last)
        }
        "/account" => pages::render(context, peer, request, pages::account).await,
        "/api/v1/connections" => {
            pages::not_modified(pages::render(context, peer, request, pages::api).await, request.headers())
        }
        "/connections.csv" => pages::download(context, peer, request, Download::Csv).await,
        "/connections.ics" => pages::download(context, peer, request, Download::Calendar).await,
        "/style.css" => pages::asset("text/css; charset=utf-8", STYLE),
        "/page.js" => pages::asset("text/javascript; charset=utf-8", SCRIPT),
        "/icon.svg" => pages::asset("image/svg+xml", ICON),
        _ => match account {
            Some(id) => pages::not_modified(pages::connection(context, request, id), request.headers()),
            None => pages::render(context, peer, request, pages::list).await,
        },
    }
}
