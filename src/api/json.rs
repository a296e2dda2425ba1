//! Connections as JSON: the body of `/api/v1/connections`. Unknown values are absent, never null.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::{Connection, ConnectionState, Listing, ListingPage, Query, QueryProblem};
use crate::model::{Cause, Expiry, Timestamp};
use crate::network::advice;
use crate::scheduler::{Plan, planned};

#[derive(Serialize)]
struct Body<'a> {
    overview: OverviewJson,
    total: usize,
    page: usize,
    per_page: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    connections: Vec<ConnectionJson<'a>>,
}

#[derive(Serialize)]
struct OverviewJson {
    accounts: usize,
    logins: usize,
    states: BTreeMap<&'static str, usize>,
    expiring_within_30d: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_probe: Option<Instant>,
}

/// A timestamp in the notation of RFC 3339.
struct Instant(Timestamp);

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[derive(Serialize)]
struct ConnectionJson<'a> {
    account: &'a str,
    name: &'a str,
    network: &'static str,
    kind: &'a str,
    #[serde(rename = "use")]
    purpose: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    external_id: &'a str,
    credential: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    app: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    connected_by: Option<&'a str>,
    labels: BTreeMap<&'a str, &'a str>,
    notify: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reconnect_url: Option<&'a str>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unconfirmed_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_problem: Option<&'static str>,
    needs: Vec<&'static str>,
    capabilities: BTreeMap<&'static str, &'static str>,
    stops: Vec<&'static str>,
    scopes: BTreeMap<&'static str, bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    has_deadline: Option<bool>,
    clocks: ClocksJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_probe: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_conclusive_probe: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_probe: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_probe_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token_read: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<AdviceJson>,
}

#[derive(Serialize)]
struct ClocksJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_access: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued: Option<Instant>,
}

#[derive(Serialize)]
struct AdviceJson {
    meaning: &'static str,
    fixed_by: &'static str,
    reconnecting: &'static str,
    steps: &'static [&'static str],
}

/// A page of the connections that match a query.
///
/// # Errors
/// None in practice: every value has a JSON form.
pub fn connections_json(listing: &Listing, query: &Query, page: &ListingPage) -> serde_json::Result<String> {
    let overview = &listing.overview;
    let address = |number: usize| format!("?{}", query.address(number));
    let has_next = page.before + page.accounts.len() < page.total && !page.accounts.is_empty();
    let connections = page.accounts.iter().filter_map(|account| listing.connection(*account));
    let body = Body {
        overview: OverviewJson {
            accounts: overview.accounts,
            logins: overview.logins,
            states: ConnectionState::ALL.iter().map(|s| (s.label(), overview.states[*s as usize])).collect(),
            expiring_within_30d: overview.expiring,
            last_probe: overview.last_probe.map(Instant),
        },
        total: page.total,
        page: query.page,
        per_page: query.per_page,
        previous: (query.page > 1).then(|| address(query.page - 1)),
        next: has_next.then(|| address(query.page + 1)),
        connections: connections.map(|c| connection_json(&c, listing)).collect(),
    };
    serde_json::to_string(&body)
}

fn connection_json<'a>(connection: &Connection<'a>, listing: &Listing) -> ConnectionJson<'a> {
    let Connection { account, account_state, credential, credential_state, .. } = connection;
    let clocks = &credential_state.clocks;
    let instant = |expiry: Expiry| expiry.at().map(Instant);
    let plan = planned(&listing.snapshot, account.credential_index(), listing.at);
    ConnectionJson {
        account: account.id(),
        name: account.name(),
        network: account.network().name(),
        kind: account.kind(),
        purpose: account.purpose().label(),
        external_id: account.external_id(),
        credential: credential.id(),
        app: account.app_id(),
        connected_by: credential.connected_by(),
        labels: connection.labels().collect(),
        notify: connection.notify().collect(),
        reconnect_url: connection.reconnect_url(),
        state: connection.state(listing.at).label(),
        reason: account_state.verdict.map(|r| r.info().label),
        since: account_state.since.map(Instant),
        unconfirmed_reason: account_state.pending.map(|(r, _)| r.info().label),
        cause: connection.cause().map(|c| c.label()),
        app_problem: connection.cause().and_then(Cause::app_problem).map(|p| p.label()),
        needs: account.needs().iter().map(|c| c.label()).collect(),
        capabilities: connection.capabilities().map(|(c, r)| (c.label(), r.info().label)).collect(),
        stops: connection.stops().map(|c| c.label()).collect(),
        scopes: connection.scopes().collect(),
        deadline: instant(connection.deadline()),
        has_deadline: match connection.deadline() {
            Expiry::Unknown => None,
            Expiry::Never => Some(false),
            Expiry::At(_) => Some(true),
        },
        clocks: ClocksJson {
            access: instant(clocks.access),
            refresh: instant(clocks.refresh),
            data_access: instant(clocks.data_access),
            issued: clocks.issued.map(Instant),
        },
        last_probe: credential_state.last_probe.map(Instant),
        last_conclusive_probe: account_state.last_conclusive.map(Instant),
        next_probe: plan.map(|plan| Instant(plan.at)),
        next_probe_reason: plan.map(Plan::label),
        next_token_read: plan.and_then(|plan| plan.token_read).map(Instant),
        advice: connection.reasons().next().map(|reason| {
            let info = reason.info();
            AdviceJson {
                meaning: info.meaning,
                fixed_by: info.fixed_by.text(),
                reconnecting: info.reconnecting.text(),
                steps: advice(reason, account.network()),
            }
        }),
    }
}

/// Problems of a request as `application/problem+json` (RFC 9457).
pub fn problems_json(status: u16, title: &str, problems: &[QueryProblem]) -> String {
    let errors: Vec<_> = problems
        .iter()
        .map(|p| serde_json::json!({"parameter": p.parameter, "found": p.found, "expected": p.expected}))
        .collect();
    let mut body = serde_json::json!({"type": "about:blank", "title": title, "status": status});
    if !errors.is_empty() {
        body["errors"] = errors.into();
    }
    body.to_string()
}
