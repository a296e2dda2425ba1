//! For people and programs: the status page, an account's page, downloads and the JSON API.

use std::hash::{DefaultHasher, Hasher as _};
use std::net::IpAddr;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::ServerContext;
use super::body::{Body, stream};
use super::negotiation;
use super::response::{html, set, stopping, text, too_many, with_type};
use crate::api::{
    Listing, Query, QueryProblem, connection_json, connections_json, problems_json, write_calendar, write_csv,
};
use crate::model::Timestamp;
use crate::page::{self, Site};

const PROBLEM: &str = "application/problem+json";
/// Maximum number of pages rendered at the same time; further requests wait.
pub(super) const MAX_RENDERING: usize = 4;
/// Maximum number of requests for pages that are rendered or wait for that.
pub(super) const MAX_WAITING: usize = 64;
/// Maximum number of downloads at the same time. Each keeps a snapshot in memory for as long as its
/// client takes to read it.
pub(super) const MAX_DOWNLOADS: usize = 4;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Download {
    Csv,
    Calendar,
}

/// Redirects to a path, which is relative as links on pages are: a proxy may have changed the route
/// prefix.
pub(super) fn redirect(status: StatusCode, path: &str) -> Response<Body> {
    let mut response = text(status, "");
    if let Ok(location) = HeaderValue::from_str(&format!("{path}/")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

pub(super) fn asset(media: &'static str, content: &'static str) -> Response<Body> {
    let mut response = with_type(StatusCode::OK, media, content);
    set(&mut response, CACHE_CONTROL, "public, max-age=86400");
    response
}

/// Renders the newest listing for a query, on a thread of its own: searching a million names takes
/// a while, and must not delay probes and scrapes.
pub(super) async fn render(
    context: &ServerContext,
    peer: IpAddr,
    request: &Request<Incoming>,
    page: fn(&Site<'_>, &Listing, &str) -> Response<Body>,
) -> Response<Body> {
    let Some(_slot) = context.pages.take(peer) else {
        return too_many("Too many pages at once, try again later.\n");
    };
    let (Some(listing), Ok(_permit)) = (context.listings.listing().await, context.rendering.acquire().await)
    else {
        return stopping();
    };
    let query = request.uri().query().unwrap_or("").to_owned();
    let telemetry_path = context.settings.telemetry_path.clone();
    let failure = context.reload_failure();
    let rendered = tokio::task::spawn_blocking(move || {
        let site = Site { telemetry_path: &telemetry_path, reload_failure: failure.as_deref() };
        private(page(&site, &listing, &query))
    });
    rendered
        .await
        .unwrap_or_else(|_| text(StatusCode::INTERNAL_SERVER_ERROR, "The page could not be drawn.\n"))
}

pub(super) fn list(site: &Site<'_>, listing: &Listing, query: &str) -> Response<Body> {
    match Query::parse(query, listing.label_names()) {
        Ok(query) => {
            html(StatusCode::OK, page::list(site, listing, &query, &listing.page(&query), Timestamp::now()))
        }
        Err(problems) => html(StatusCode::BAD_REQUEST, page::bad_request(site, &problems)),
    }
}

pub(super) fn account(site: &Site<'_>, listing: &Listing, query: &str) -> Response<Body> {
    let mut problems = Vec::new();
    let mut id = None;
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if name == "id" && id.is_none() {
            id = Some(value);
        } else {
            let expected = "the parameter id alone, once".to_owned();
            problems.push(QueryProblem { parameter: name.into_owned(), found: value.into_owned(), expected });
        }
    }
    let Some(id) = id.filter(|_| problems.is_empty()) else {
        return html(StatusCode::BAD_REQUEST, page::bad_request(site, &problems));
    };
    let index = listing.snapshot.inventory.find(&id);
    match index.and_then(|index| page::account(site, listing, index, Timestamp::now())) {
        Some(page) => html(StatusCode::OK, page),
        None => html(StatusCode::NOT_FOUND, page::unknown_account(site, &id)),
    }
}

pub(super) fn api(_: &Site<'_>, listing: &Listing, query: &str) -> Response<Body> {
    let query = match Query::parse(query, listing.label_names()) {
        Ok(query) => query,
        Err(problems) => return bad_query(&problems),
    };
    json(connections_json(listing, &query, &listing.page(&query)))
}

/// One connection, by the last segment of the path.
pub(super) fn connection(context: &ServerContext, request: &Request<Incoming>, id: &str) -> Response<Body> {
    let query = url::form_urlencoded::parse(request.uri().query().unwrap_or("").as_bytes());
    let problems: Vec<_> = query
        .map(|(name, value)| QueryProblem {
            parameter: name.into_owned(),
            found: value.into_owned(),
            expected: "no parameters".to_owned(),
        })
        .collect();
    if !problems.is_empty() {
        return bad_query(&problems);
    }
    let id = percent_encoding::percent_decode_str(id).decode_utf8_lossy();
    private(match connection_json(&context.store.snapshot(), &id, Timestamp::now()) {
        Some(body) => json(body),
        None => {
            let body = problems_json(404, "No account with this ID is configured here", &[]);
            with_type(StatusCode::NOT_FOUND, PROBLEM, body)
        }
    })
}

fn bad_query(problems: &[QueryProblem]) -> Response<Body> {
    let body = problems_json(400, "The query is not understood", problems);
    with_type(StatusCode::BAD_REQUEST, PROBLEM, body)
}

/// A JSON body with its tag.
fn json(body: serde_json::Result<String>) -> Response<Body> {
    let Ok(body) = body else {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "The answer could not be written.\n");
    };
    // Tags are compared within one run of the program only: any hash of the body will do.
    let mut hash = DefaultHasher::new();
    hash.write(body.as_bytes());
    let tag = format!("\"{:016x}-{:x}\"", hash.finish(), body.len());
    let mut response = with_type(StatusCode::OK, "application/json", body);
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// Drops the body if the client has it already.
pub(super) fn not_modified(mut response: Response<Body>, request: &HeaderMap) -> Response<Body> {
    let Some(tag) = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()) else { return response };
    let mut known = negotiation::list(request, IF_NONE_MATCH).map(str::trim);
    if known.any(|known| known == "*" || known.trim_start_matches("W/") == tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(CONTENT_TYPE);
    }
    response
}

pub(super) async fn download(
    context: &ServerContext,
    peer: IpAddr,
    request: &Request<Incoming>,
    download: Download,
) -> Response<Body> {
    let Some(slot) = context.downloads.take_from_slow(peer, context.limits.slow) else {
        return too_many("Too many downloads at once, try again later.\n");
    };
    let Some(listing) = context.listings.listing().await else { return stopping() };
    let query = match Query::parse(request.uri().query().unwrap_or(""), listing.label_names()) {
        Ok(query) => query,
        Err(problems) => {
            let failure = context.reload_failure();
            let telemetry_path = &context.settings.telemetry_path;
            let site = Site { telemetry_path, reload_failure: failure.as_deref() };
            return private(html(StatusCode::BAD_REQUEST, page::bad_request(&site, &problems)));
        }
    };
    let matches = listing.matches(&query);
    let (media, disposition, parts): (_, _, Box<dyn Iterator<Item = Bytes> + Send>) = match download {
        Download::Csv => (
            "text/csv; charset=utf-8",
            "attachment; filename=\"connections.csv\"",
            Box::new(write_csv(matches)),
        ),
        Download::Calendar => (
            "text/calendar; charset=utf-8",
            "attachment; filename=\"connections.ics\"",
            Box::new(write_calendar(matches)),
        ),
    };
    let mut response = private(stream(request.headers(), media, "accept-encoding", parts, slot));
    set(&mut response, CONTENT_DISPOSITION, disposition);
    response
}

/// Only this client may store the response, and it must revalidate it each time.
fn private(mut response: Response<Body>) -> Response<Body> {
    set(&mut response, CACHE_CONTROL, "private, no-cache");
    response
}
