//! Which path is answered by what, and the headers that every answer has.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::{
    CONTENT_SECURITY_POLICY, REFERRER_POLICY, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::access::{AccessDenied, AccessRules};
use super::body::Body;
use super::metrics::{metrics, targets};
use super::pages::{self, Download};
use super::probe::probe;
use super::reload::reload;
use super::response::{not_allowed, not_found, set, text};
use super::{Endpoint, ServerContext};
use crate::exposition::Extent;
use crate::page::{ICON, STYLE};

enum Route {
    Healthy,
    Ready,
    Reload,
    Probe,
    Targets,
    Metrics,
    /// The route prefix without its slash.
    Prefix,
    List,
    Account,
    Api,
    Csv,
    Calendar,
    Style,
    Icon,
}

impl Route {
    fn find(path: &str, telemetry_path: &str) -> Option<Self> {
        Some(match path {
            "/-/healthy" => Self::Healthy,
            "/-/ready" => Self::Ready,
            "/-/reload" => Self::Reload,
            "/probe" => Self::Probe,
            "/sd" => Self::Targets,
            path if path == telemetry_path => Self::Metrics,
            "" => Self::Prefix,
            "/" => Self::List,
            "/account" => Self::Account,
            "/api/v1/connections" => Self::Api,
            "/connections.csv" => Self::Csv,
            "/connections.ics" => Self::Calendar,
            "/style.css" => Self::Style,
            "/icon.svg" => Self::Icon,
            _ => return None,
        })
    }
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
        Endpoint::Health => Arc::new(AccessRules::default()),
    };
    let mut response = match context.access.admit(&rules, request.headers(), peer).await {
        Ok(()) => route(context, endpoint, &request).await,
        Err(denied) => refuse(denied),
    };
    set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(&mut response, REFERRER_POLICY, "no-referrer");
    set(
        &mut response,
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'; \
         form-action 'self'",
    );
    response.headers_mut().extend(rules.headers.clone());
    if request.method() == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    response
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

async fn route(context: &ServerContext, endpoint: Endpoint, request: &Request<Incoming>) -> Response<Body> {
    let settings = &context.settings;
    let path = request.uri().path().strip_prefix(settings.route_prefix.as_str());
    let Some(route) = path.and_then(|path| Route::find(path, &settings.telemetry_path)) else {
        return not_found();
    };
    if endpoint == Endpoint::Health && !matches!(route, Route::Healthy | Route::Ready) {
        return not_found();
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    match route {
        Route::Reload => reload(context, request.method()).await,
        _ if !reads => not_allowed("GET, HEAD"),
        Route::Healthy => text(StatusCode::OK, "token_exporter is healthy.\n"),
        Route::Ready if context.ready.load(Ordering::Relaxed) => {
            text(StatusCode::OK, "token_exporter is ready.\n")
        }
        Route::Ready => text(StatusCode::SERVICE_UNAVAILABLE, "token_exporter is not ready.\n"),
        Route::Probe => probe(context, request).await,
        Route::Targets => targets(context, request),
        Route::Metrics => metrics(context, request.headers(), Extent::Everything),
        Route::Prefix => pages::redirect(&settings.route_prefix),
        Route::List => pages::render(context, request, pages::list).await,
        Route::Account => pages::render(context, request, pages::account).await,
        Route::Api => {
            pages::not_modified(pages::render(context, request, pages::api).await, request.headers())
        }
        Route::Csv => pages::download(context, request, Download::Csv).await,
        Route::Calendar => pages::download(context, request, Download::Calendar).await,
        Route::Style => pages::asset("text/css; charset=utf-8", STYLE),
        Route::Icon => pages::asset("image/svg+xml", ICON),
    }
}
