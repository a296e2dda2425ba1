//! What people and programs look at: the status page, an account's page, downloads and the JSON
//! API.

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, ETAG, HeaderName, IF_NONE_MATCH, LOCATION, RETRY_AFTER,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::Semaphore;

use super::{Body, ServerContext, accepts_gzip, html, text, with_type};
use crate::api::{
    Listing, ListingCache, Query, QueryProblem, connections_json, problems_json, write_calendar, write_csv,
};
use crate::model::Timestamp;
use crate::page::{self, Site};
use crate::state::View;

/// So many pages are drawn at once; further ones wait.
const DRAWN: usize = 4;
/// So many downloads at once; each holds a moment of everything for as long as its reader takes.
const DOWNLOADS: usize = 4;

/// For those who look: the newest listing, and how many may look at once.
pub(super) struct Desk {
    listings: Arc<ListingCache>,
    drawing: Semaphore,
    downloads: Arc<Semaphore>,
}

impl Desk {
    pub(super) fn new(store: View) -> Self {
        Self {
            listings: ListingCache::new(store),
            drawing: Semaphore::new(DRAWN),
            downloads: Arc::new(Semaphore::new(DOWNLOADS)),
        }
    }
}

/// What can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The prefix without its slash.
    Endpoint,
    List,
    Account,
    Api,
    Csv,
    Ics,
    Style,
    Icon,
}

impl Place {
    /// The place that a path means, if any.
    pub(super) fn at(path: &str) -> Option<Self> {
        Some(match path {
            "" => Self::Endpoint,
            "/" => Self::List,
            "/account" => Self::Account,
            "/api/v1/connections" => Self::Api,
            "/connections.csv" => Self::Csv,
            "/connections.ics" => Self::Ics,
            "/style.css" => Self::Style,
            "/icon.svg" => Self::Icon,
            _ => return None,
        })
    }
}

/// Answers a request to look at something.
pub(super) async fn look(
    context: &ServerContext,
    place: Place,
    request: &Request<Incoming>,
) -> Response<Body> {
    match place {
        Place::Endpoint => door(&context.settings.route_prefix),
        Place::Style => asset("text/css; charset=utf-8", page::STYLE),
        Place::Icon => asset("image/svg+xml", page::ICON),
        Place::List | Place::Account | Place::Api => draw(context, place, request).await,
        Place::Csv | Place::Ics => download(context, place, request).await,
    }
}

/// Addresses on pages are relative: they need the slash. So is this one, as the prefix may look
/// otherwise from outside.
fn door(prefix: &str) -> Response<Body> {
    let last = prefix.rsplit('/').next().unwrap_or("");
    let mut response = text(StatusCode::PERMANENT_REDIRECT, "");
    if let Ok(there) = HeaderValue::from_str(&format!("{last}/")) {
        response.headers_mut().insert(LOCATION, there);
    }
    response
}

fn asset(media: &'static str, content: &'static str) -> Response<Body> {
    let mut response = with_type(StatusCode::OK, media, content);
    set(&mut response, CACHE_CONTROL, "public, max-age=86400");
    response
}

async fn draw(context: &ServerContext, place: Place, request: &Request<Incoming>) -> Response<Body> {
    let (Some(listing), Ok(_permit)) =
        (context.desk.listings.listing().await, context.desk.drawing.acquire().await)
    else {
        return stopping();
    };
    let raw = request.uri().query().unwrap_or("").to_owned();
    let telemetry_path = context.settings.telemetry_path.clone();
    // Drawing takes a moment, and searching in a million names a longer one: probes and scrapes go on
    // meanwhile.
    let drawn = tokio::task::spawn_blocking(move || {
        let site = Site { telemetry_path: &telemetry_path };
        match place {
            Place::Account => account(&site, &listing, &raw),
            Place::Api => api(&listing, &raw),
            _ => list(&site, &listing, &raw),
        }
    });
    let Ok(response) = drawn.await else {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "The page could not be drawn.\n");
    };
    if place == Place::Api { revalidated(response, request.headers()) } else { response }
}

fn list(site: &Site<'_>, listing: &Listing, raw: &str) -> Response<Body> {
    let response = match Query::parse(raw, listing.label_names()) {
        Ok(query) => {
            html(StatusCode::OK, page::list(site, listing, &query, &listing.page(&query), Timestamp::now()))
        }
        Err(problems) => html(StatusCode::BAD_REQUEST, page::bad_request(site, &problems)),
    };
    private(response)
}

fn account(site: &Site<'_>, listing: &Listing, raw: &str) -> Response<Body> {
    let mut problems = Vec::new();
    let mut id = None;
    for (name, value) in url::form_urlencoded::parse(raw.as_bytes()) {
        if name == "id" && id.is_none() {
            id = Some(value);
        } else {
            let expected = "the parameter id alone, once".to_owned();
            problems.push(QueryProblem { parameter: name.into_owned(), found: value.into_owned(), expected });
        }
    }
    if id.is_none() {
        problems.push(QueryProblem {
            parameter: "id".to_owned(),
            found: String::new(),
            expected: "the id of an account".to_owned(),
        });
    }
    private(match id {
        Some(id) if problems.is_empty() => {
            let found = listing.find(&id);
            match found.and_then(|index| page::account(site, listing, index, Timestamp::now())) {
                Some(page) => html(StatusCode::OK, page),
                None => html(StatusCode::NOT_FOUND, page::unknown_account(site, &id)),
            }
        }
        _ => html(StatusCode::BAD_REQUEST, page::bad_request(site, &problems)),
    })
}

fn api(listing: &Listing, raw: &str) -> Response<Body> {
    let query = match Query::parse(raw, listing.label_names()) {
        Ok(query) => query,
        Err(problems) => {
            let body = problems_json(400, "The query is not understood", &problems);
            return private(with_type(StatusCode::BAD_REQUEST, "application/problem+json", body));
        }
    };
    let Ok(body) = connections_json(listing, &query, &listing.page(&query)) else {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "The answer could not be written.\n");
    };
    // Only equality matters, and only within one run: whoever changes the body changes the tag.
    let mut hash = DefaultHasher::new();
    hash.write(body.as_bytes());
    let tag = format!("\"{:016x}-{:x}\"", hash.finish(), body.len());
    let mut response = private(with_type(StatusCode::OK, "application/json", body));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// Nothing new for those who have it already.
fn revalidated(mut response: Response<Body>, asked: &HeaderMap) -> Response<Body> {
    let Some(tag) = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()) else { return response };
    let known =
        asked.get_all(IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
    if known.map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(http::header::CONTENT_TYPE);
    }
    response
}

async fn download(context: &ServerContext, place: Place, request: &Request<Incoming>) -> Response<Body> {
    let Some(listing) = context.desk.listings.listing().await else { return stopping() };
    let site = Site { telemetry_path: &context.settings.telemetry_path };
    let query = match Query::parse(request.uri().query().unwrap_or(""), listing.label_names()) {
        Ok(query) => query,
        Err(problems) => return private(html(StatusCode::BAD_REQUEST, page::bad_request(&site, &problems))),
    };
    let Ok(permit) = context.desk.downloads.clone().try_acquire_owned() else {
        let mut response =
            text(StatusCode::SERVICE_UNAVAILABLE, "Too many downloads at once, try again later.\n");
        set(&mut response, RETRY_AFTER, "10");
        return response;
    };
    let matches = listing.matches(&query);
    let (media, name, parts): (_, _, Box<dyn Iterator<Item = Bytes> + Send>) = if place == Place::Csv {
        ("text/csv; charset=utf-8", "attachment; filename=\"connections.csv\"", Box::new(write_csv(matches)))
    } else {
        (
            "text/calendar; charset=utf-8",
            "attachment; filename=\"connections.ics\"",
            Box::new(write_calendar(matches)),
        )
    };
    let gzip = accepts_gzip(request.headers());
    let mut response = private(with_type(StatusCode::OK, media, ""));
    *response.body_mut() = Body::stream(parts, gzip, permit);
    set(&mut response, CONTENT_DISPOSITION, name);
    set(&mut response, http::header::VARY, "accept-encoding");
    if gzip {
        set(&mut response, http::header::CONTENT_ENCODING, "gzip");
    }
    response
}

/// For whoever asked and nobody else, and asked anew each time.
fn private(mut response: Response<Body>) -> Response<Body> {
    set(&mut response, CACHE_CONTROL, "private, no-cache");
    response
}

fn set(response: &mut Response<Body>, name: HeaderName, value: &'static str) {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
}

fn stopping() -> Response<Body> {
    text(StatusCode::SERVICE_UNAVAILABLE, "token_exporter is shutting down.\n")
}
