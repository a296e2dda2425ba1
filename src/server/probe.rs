//! `/probe`: probes one account now and answers with its metrics.

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::oneshot;

use super::ServerContext;
use super::body::Body;
use super::metrics::metrics;
use super::response::{not_found, text, too_many};
use crate::exposition::Extent;
use crate::model::{Timestamp, parse_duration};
use crate::scheduler::ProbeRequest;

/// Time limit for a probe, unless Prometheus names a shorter one.
const PROBE_TIMEOUT: Duration = Duration::from_secs(60);
/// Age up to which the last result is the answer, whatever the client asks for.
const MIN_AGE: Duration = Duration::from_secs(10);
/// Maximum number of requests that wait for probes.
pub(super) const MAX_WAITING: usize = 256;

pub(super) async fn probe(
    context: &ServerContext,
    peer: IpAddr,
    request: &Request<Incoming>,
) -> Response<Body> {
    let (id, max_age) = match parameters(request.uri().query().unwrap_or("")) {
        Ok(parameters) => parameters,
        Err(problem) => return text(StatusCode::BAD_REQUEST, problem),
    };
    let snapshot = context.store.snapshot();
    let Some(index) = snapshot.inventory.find(&id) else { return no_such_account() };
    let Some(credential) = snapshot.inventory.account(index).map(|a| a.credential_index()) else {
        return not_found();
    };
    let last = snapshot.credentials.get(credential).and_then(|c| c.last_probe);
    let age = last.and_then(|last| u64::try_from(Timestamp::now().since(last)).ok());
    if age.map(Duration::from_secs).is_some_and(|age| age < MIN_AGE || max_age.is_some_and(|max| age <= max))
    {
        return metrics(context, peer, request.headers(), Extent::Account(index));
    }
    drop(snapshot);
    let Some(_slot) = context.waiting_for_probes.take(peer) else {
        return too_many("Too many requests wait for probes, try again later.\n");
    };
    let (reply, probed) = oneshot::channel();
    let sent = match context.probes() {
        Some(probes) => probes.send(ProbeRequest::NewerThan { seen: last, credential, reply }).await.is_ok(),
        None => false,
    };
    let shown = async { sent && matches!(probed.await, Ok(version) if context.store.reaches(version).await) };
    let timeout = scrape_timeout(request.headers()).map_or(PROBE_TIMEOUT, |t| t.min(PROBE_TIMEOUT));
    if !tokio::time::timeout(timeout, shown).await.unwrap_or(false) {
        return text(
            StatusCode::GATEWAY_TIMEOUT,
            "The probe did not end in time; its rate limit may not let it.\n",
        );
    }
    // A reload during the probe may have moved or removed the account.
    match context.store.snapshot().inventory.find(&id) {
        Some(index) => metrics(context, peer, request.headers(), Extent::Account(index)),
        None => no_such_account(),
    }
}

/// The account's id, and the age up to which a former probe is good enough.
fn parameters(query: &str) -> Result<(String, Option<Duration>), String> {
    let (mut account, mut max_age) = (None, None);
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "account" | "target" => account = Some(value.into_owned()),
            "max_age" => {
                let age = parse_duration(&value)
                    .ok_or_else(|| format!("max_age: {value:?} is not a duration such as 30s, 5m or 1h\n"))?;
                max_age = Some(age);
            }
            _ => {}
        }
    }
    let account = account.ok_or("The parameter \"account\" is missing: /probe?account=ID\n")?;
    Ok((account, max_age))
}

fn no_such_account() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "There is no such account.\n")
}

/// How long Prometheus waits, less the time that the answer needs to get there.
fn scrape_timeout(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get("x-prometheus-scrape-timeout-seconds")?.to_str().ok()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().map(|timeout| timeout.mul_f64(0.95))
}
