//! Connections as JSON: the bodies of `/api/v1/connections` and of one account below it. Unknown
//! values are absent, never null.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{Connection, ConnectionState, Listing, ListingPage, Query, QueryProblem};
use crate::model::{Cause, Expiry, Language, Reason, Timestamp};
use crate::network::advice;
use crate::scheduler::{Plan, planned};
use crate::state::{Heard, Report, Snapshot};

/// An object that leaves out what is absent.
struct Object<M>(M);

impl<M: SerializeMap> Object<M> {
    fn put(&mut self, name: &str, value: impl Serialize) -> Result<(), M::Error> {
        self.0.serialize_entry(name, &value)
    }

    fn some(&mut self, name: &str, value: Option<impl Serialize>) -> Result<(), M::Error> {
        value.map_or(Ok(()), |value| self.put(name, value))
    }
}

/// A timestamp in the notation of RFC 3339.
struct Instant(Timestamp);

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

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

struct ConnectionJson<'a> {
    connection: Connection<'a>,
    snapshot: &'a Snapshot,
    at: Timestamp,
}

impl Serialize for ConnectionJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { connection, snapshot, at } = self;
        let Connection { account, account_state, credential, credential_state, .. } = connection;
        let clocks = credential_state.clocks.get();
        let plan = planned(snapshot, account.credential_index(), *at);
        let mut out = Object(serializer.serialize_map(None)?);
        out.put("account", account.id())?;
        out.put("name", account.name())?;
        out.put("network", account.network().name())?;
        out.put("kind", account.kind())?;
        out.put("use", account.purpose().label())?;
        out.some("external_id", present(account.external_id()))?;
        out.put("credential", credential.id())?;
        out.some("app", present(account.app_id()))?;
        out.some("connected_by", credential.connected_by())?;
        out.put("labels", account.labels().collect::<BTreeMap<_, _>>())?;
        out.put("notify", connection.notify().collect::<Vec<_>>())?;
        out.put("digest", account.notify_digest())?;
        out.some("language", account.language().map(Language::code))?;
        out.some("reconnect_url", connection.reconnect_url())?;
        out.some("source_state", account.source_state())?;
        out.put("state", connection.state(*at).label())?;
        out.some("reason", account_state.verdict.map(|r| r.info().label))?;
        out.some("since", account_state.since.map(Instant))?;
        out.some("unconfirmed_reason", account_state.pending.map(|(r, _)| r.info().label))?;
        out.some("cause", connection.cause().map(|c| c.label()))?;
        out.some("app_problem", connection.cause().and_then(Cause::app_problem).map(|p| p.label()))?;
        out.put("needs", account.needs().iter().map(|c| c.label()).collect::<Vec<_>>())?;
        let capabilities = connection.capabilities().map(|(c, r)| (c.label(), r.info().label));
        out.put("capabilities", capabilities.collect::<BTreeMap<_, _>>())?;
        out.put("stops", connection.stops().map(|c| c.label()).collect::<Vec<_>>())?;
        out.put("scopes", connection.scopes().collect::<BTreeMap<_, _>>())?;
        out.some("deadline", connection.deadline().at().map(Instant))?;
        let has_deadline = match connection.deadline() {
            Expiry::Unknown => None,
            deadline => Some(deadline != Expiry::Never),
        };
        out.some("has_deadline", has_deadline)?;
        let clocks = [
            ("access", clocks.access.at()),
            ("refresh", clocks.refresh.at()),
            ("data_access", clocks.data_access.at()),
            ("issued", clocks.issued),
        ];
        let known = clocks.into_iter().filter_map(|(clock, at)| Some((clock, Instant(at?))));
        out.put("clocks", known.collect::<BTreeMap<_, _>>())?;
        out.some("last_probe", credential_state.last_probe.map(Instant))?;
        out.some("last_conclusive_probe", account_state.last_conclusive.map(Instant))?;
        out.some("next_probe", plan.map(|plan| Instant(plan.at)))?;
        out.some("next_probe_reason", plan.map(Plan::label))?;
        out.some("next_use", account.next_use().map(Instant))?;
        out.some("next_token_read", plan.and_then(|plan| plan.token_read).map(Instant))?;
        let reports = connection.heard.map_or(&[][..], Heard::reports);
        out.some(
            "reports",
            (!reports.is_empty()).then(|| reports.iter().map(ReportJson::new).collect::<Vec<_>>()),
        )?;
        let notice = credential_state.notice.as_deref().map(|notice| NoticeJson {
            event: &notice.event,
            at: Instant(notice.at),
            reason: notice.lost.map(|reason| reason.info().label),
        });
        out.some("notice", notice)?;
        let advice = connection.reasons().next().map(|reason| {
            let info = reason.info();
            AdviceJson {
                meaning: info.meaning,
                fixed_by: info.fixed_by.text(),
                reconnecting: info.reconnecting.text(),
                steps: advice(reason, account.network(), info.fixed_by.reader()),
            }
        });
        out.some("advice", advice)?;
        out.0.end()
    }
}

fn present(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// The network's last notice about the login.
#[derive(Serialize)]
struct NoticeJson<'a> {
    event: &'a str,
    at: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// The newest report of an operation and a result.
#[derive(Serialize)]
struct ReportJson<'a> {
    operation: &'static str,
    result: &'static str,
    at: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Instant>,
    by: &'a str,
}

impl<'a> ReportJson<'a> {
    fn new(report: &'a Report) -> Self {
        Self {
            operation: report.operation.label(),
            result: report.result.label(),
            at: Instant(report.at),
            reason: report.reason.map(Reason::label),
            cause: report.cause.map(Cause::label),
            until: report.until.map(Instant),
            by: &report.by,
        }
    }
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
    let (snapshot, at) = (&listing.snapshot, listing.at);
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
        connections: connections.map(|connection| ConnectionJson { connection, snapshot, at }).collect(),
    };
    serde_json::to_string(&body)
}

/// One connection. `None` if there is no account with this id.
///
/// # Errors
/// None in practice: every value has a JSON form.
pub fn connection_json(snapshot: &Snapshot, id: &str, at: Timestamp) -> Option<serde_json::Result<String>> {
    let connection = Connection::at(snapshot, snapshot.inventory.find(id)?, at)?;
    Some(serde_json::to_string(&ConnectionJson { connection, snapshot, at }))
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
