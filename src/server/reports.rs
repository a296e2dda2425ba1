//! `POST /api/v1/reports`: what a product saw when it used connections.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use secrecy::zeroize::Zeroizing;
use serde_json::{Value, json};

use super::ServerContext;
use super::body::Body;
use super::passwords::user_of;
use super::reporters::{Sender, bearer};
use super::response::{not_allowed, not_found, set, too_many, with_type};
use crate::model::{Timestamp, Wiped};
use crate::report::{Accepted, FieldProblem, Item, Refused, Reports};
use crate::scheduler::ProbeRequest;

pub(super) const PATH: &str = "/api/v1/reports";
/// Maximum size of a body in bytes.
const MAX_BODY: usize = 64 << 10;
/// Size in bytes up to which a body that is too large is read.
const MAX_READ: usize = 1 << 20;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request waits until its reports are on disk. Storage that hangs takes no longer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(6);
/// How long it waits for a scheduler, which a reload replaces.
const SCHEDULER_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of requests at the same time.
pub(super) const MAX_REQUESTS: usize = 1024;
/// Maximum number of requests whose reports are read at the same time; further ones wait.
pub(super) const MAX_READING: usize = 2;

/// What comes of one report.
enum Outcome {
    Accepted(Accepted),
    Invalid(Vec<FieldProblem>),
    Refused(Refused),
    /// The answer of another shard.
    HandedOn(Value),
}

/// Whether a request has a token of its own instead of a password.
pub(super) fn has_token(context: &ServerContext, headers: &HeaderMap) -> bool {
    bearer(headers).is_some() && !context.reporters.is_empty()
}

/// Adds to a refusal that a token is accepted.
pub(super) fn ask_for_token(response: &mut Response<Body>) {
    let challenge = HeaderValue::from_static("Bearer realm=\"token_exporter\"");
    response.headers_mut().append(WWW_AUTHENTICATE, challenge);
}

pub(super) async fn reports(
    context: &ServerContext,
    peer: IpAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    let has_users = context.access.has_users();
    if context.reporters.is_empty() && !has_users {
        return not_found();
    }
    if request.method() != Method::POST {
        return not_allowed("POST");
    }
    let user = || user_of(request.headers()).filter(|_| has_users && bearer(request.headers()).is_none());
    // The password of a user was checked before.
    let sender = context.reporters.find(request.headers());
    let Some(sender) = sender.or_else(|| user().map(|name| context.reporters.user(&name))) else {
        let mut response = problem(StatusCode::UNAUTHORIZED, "The token of a reporter is needed.");
        ask_for_token(&mut response);
        return response;
    };
    let Some(_slot) = context.reports.take(peer) else {
        return too_many("Too many reports at once, try again later.\n");
    };
    if let Err(wait) = sender.bucket.take_many(1, Instant::now()) {
        return limited(wait);
    }
    let (parts, body) = request.into_parts();
    let body = match read_body(&parts.headers, body).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let reports = match Reports::parse(&body) {
        Ok(reports) => reports,
        Err(wrong) => return problem(StatusCode::BAD_REQUEST, &wrong),
    };
    let more = u32::try_from(reports.items.len()).unwrap_or(u32::MAX).saturating_sub(1);
    if let Err(wait) = sender.bucket.take_many(more, Instant::now()) {
        return limited(wait);
    }
    let is_list = reports.is_list;
    let (items, mut outcomes) = accept(context, reports, sender).await;
    let due: BTreeSet<usize> = accepted(&outcomes).filter_map(|accepted| accepted.due).collect();
    for credential in due {
        make_due(context, credential).await;
    }
    if let Some(version) = accepted(&outcomes).map(|accepted| accepted.version).max() {
        // What was answered survives a kill of this process.
        let _ = tokio::time::timeout(WRITE_TIMEOUT, context.store.reaches(version)).await;
    }
    hand_on(context, &parts.headers, &items, &mut outcomes).await;
    let mut answers: Vec<(StatusCode, Value)> = outcomes.into_iter().map(answer).collect();
    match answers.pop() {
        Some((status, answer)) if !is_list => json_response(status, &answer),
        last => json_response(StatusCode::OK, &answers.into_iter().chain(last).map(|(_, a)| a).collect()),
    }
}

/// Reads a body within its limits.
async fn read_body(headers: &HeaderMap, body: Incoming) -> Result<Zeroizing<Vec<u8>>, Response<Body>> {
    let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") || headers.contains_key(CONTENT_ENCODING) {
        let expected = "Expected Content-Type: application/json, without Content-Encoding.";
        let mut response = problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, expected);
        set(&mut response, ACCEPT, "application/json");
        return Err(response);
    }
    match tokio::time::timeout(BODY_TIMEOUT, collect(body)).await {
        Ok(Ok(Some(body))) => Ok(body),
        Ok(Ok(None)) => Err(problem(StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than 64 KiB.")),
        Ok(Err(_)) => Err(problem(StatusCode::BAD_REQUEST, "The body could not be read.")),
        Err(_) => Err(problem(StatusCode::REQUEST_TIMEOUT, "The body did not come within 10 seconds.")),
    }
}

/// A body; none if it is too large. Clients read no answer before they have sent all, so that what is
/// not much too large is read nevertheless.
async fn collect(mut body: Incoming) -> hyper::Result<Option<Zeroizing<Vec<u8>>>> {
    let (mut collected, mut size) = (Zeroizing::new(Vec::new()), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        size += data.len();
        if size <= MAX_BODY {
            collected.extend_from_slice(&data);
        } else if size > MAX_READ {
            break;
        }
    }
    Ok((size <= MAX_BODY).then_some(collected))
}

/// Reads and applies reports, on a thread of its own: a list may take milliseconds.
async fn accept(
    context: &ServerContext,
    reports: Reports,
    sender: Arc<Sender>,
) -> (Vec<Wiped>, Vec<Outcome>) {
    // The semaphore is never closed.
    let _permit = context.reading_reports.acquire().await;
    let acceptor = context.acceptor.clone();
    let work = move || {
        let now = Timestamp::now();
        let accept = |item: &Wiped| match Item::parse(&item.0, now) {
            Ok(item) => match acceptor.accept(&item, &sender.reporter, now) {
                Ok(accepted) => Outcome::Accepted(accepted),
                Err(refused) => Outcome::Refused(refused),
            },
            Err(problems) => {
                acceptor.rejected();
                Outcome::Invalid(problems)
            }
        };
        let outcomes: Vec<Outcome> = reports.items.iter().map(accept).collect();
        (reports.items, outcomes)
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_default()
}

fn accepted(outcomes: &[Outcome]) -> impl Iterator<Item = &Accepted> {
    outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Accepted(accepted) => Some(accepted),
        Outcome::Invalid(_) | Outcome::Refused(_) | Outcome::HandedOn(_) => None,
    })
}

/// Asks the scheduler for a probe. If a reload is replacing it, the next one is asked.
async fn make_due(context: &ServerContext, credential: usize) {
    let ask = async {
        loop {
            if let Some(probes) = context.probes()
                && probes.send(ProbeRequest::Due(credential)).await.is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let _ = tokio::time::timeout(SCHEDULER_TIMEOUT, ask).await;
}

/// Sends the reports about accounts of other shards there, those of one shard together.
async fn hand_on(context: &ServerContext, headers: &HeaderMap, items: &[Wiped], outcomes: &mut [Outcome]) {
    let mut shards: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (index, outcome) in outcomes.iter().enumerate() {
        if let Outcome::Refused(Refused::Elsewhere(shard)) = outcome {
            shards.entry(*shard).or_default().push(index);
        }
    }
    let asked = shards.into_iter().map(async |(shard, indexes)| {
        let list: Vec<&Value> = indexes.iter().filter_map(|i| items.get(*i)).map(|item| &item.0).collect();
        let body = serde_json::to_vec(&list).ok()?.into();
        let (status, answer) = context.peers.as_ref()?.hand_on(shard, PATH, headers, body).await?;
        let answers = serde_json::from_slice::<Vec<Value>>(&answer).ok()?;
        let complete = status == StatusCode::OK && answers.len() == indexes.len();
        complete.then(|| indexes.into_iter().zip(answers))
    });
    for (index, answer) in futures_util::future::join_all(asked).await.into_iter().flatten().flatten() {
        if let Some(outcome) = outcomes.get_mut(index) {
            *outcome = Outcome::HandedOn(answer);
        }
    }
}

/// The answer to one report, and its status if it came alone.
fn answer(outcome: Outcome) -> (StatusCode, Value) {
    match outcome {
        Outcome::Accepted(accepted) => {
            let mut answer = json!({"verdict": accepted.verdict, "acted": accepted.acted.label()});
            let words = [
                ("reason", accepted.reason.map(|reason| reason.label().to_owned())),
                ("cause", accepted.cause.map(|cause| cause.label().to_owned())),
                ("capability", accepted.capability.map(|capability| capability.label().to_owned())),
                ("until", accepted.until.map(|until| until.to_string())),
            ];
            for (name, value) in words {
                if let Some(value) = value {
                    answer[name] = value.into();
                }
            }
            (StatusCode::OK, answer)
        }
        Outcome::Invalid(problems) => {
            let errors = problems.iter().map(|p| json!({"field": p.field, "expected": p.expected}));
            let mut answer = problem_json(StatusCode::BAD_REQUEST, "The report has problems.");
            answer["errors"] = errors.collect();
            (StatusCode::BAD_REQUEST, answer)
        }
        Outcome::Refused(refused) => {
            let (status, title) = match refused {
                Refused::Forbidden => {
                    (StatusCode::FORBIDDEN, "This reporter may not report on this account.")
                }
                Refused::Unknown => (StatusCode::NOT_FOUND, "There is no such account."),
                Refused::Ambiguous => (
                    StatusCode::CONFLICT,
                    "Several accounts have this external_id: name one of them with account.",
                ),
                Refused::Elsewhere(_) => {
                    (StatusCode::MISDIRECTED_REQUEST, "Another shard holds this account: report it there.")
                }
            };
            let mut answer = problem_json(status, title);
            if let Refused::Elsewhere(shard) = refused {
                answer["shard"] = shard.into();
            }
            (status, answer)
        }
        Outcome::HandedOn(answer) => {
            let status = answer["status"].as_u64().and_then(|status| u16::try_from(status).ok());
            let status = status.and_then(|status| StatusCode::from_u16(status).ok());
            (status.unwrap_or(StatusCode::OK), answer)
        }
    }
}

fn problem_json(status: StatusCode, title: &str) -> Value {
    json!({"type": "about:blank", "title": title, "status": status.as_u16()})
}

fn problem(status: StatusCode, title: &str) -> Response<Body> {
    json_response(status, &problem_json(status, title))
}

fn limited(wait: Duration) -> Response<Body> {
    let mut response = problem(StatusCode::TOO_MANY_REQUESTS, "This reporter sends too many reports.");
    response.headers_mut().insert(RETRY_AFTER, (wait.as_secs() + 1).into());
    response
}

fn json_response(status: StatusCode, body: &Value) -> Response<Body> {
    let media = if status.is_success() { "application/json" } else { "application/problem+json" };
    with_type(status, media, body.to_string())
}
