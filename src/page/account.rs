//! The page of one account: its state, what to do about it, and all that is known of it.

use maud::{Markup, html};

use super::list::uncertainty;
use super::words::{and, counted, distance, instant, words};
use super::{MAX_OTHERS, Site, account_address, badge, frame, kind, reconnect};
use crate::api::{Connection, ConnectionState, Listing};
use crate::model::{Capability, Cause, Expiry, FixedBy, Language, Reason, Timestamp, format_duration};
use crate::network::advice;
use crate::scheduler::planned;
use crate::state::Report;
use crate::wording::Catalogue;

pub fn account(site: &Site<'_>, listing: &Listing, index: usize, now: Timestamp) -> Option<String> {
    let connection = listing.connection(index)?;
    let account = &connection.account;
    let state = connection.state(now);
    let main = html! {
        p.up { a href="./" { "All connections" } }
        h1 { (account.name()) }
        p { (badge(state)) " " span.quiet { (kind(&connection)) } }
        div.now { (status(&connection, now)) (steps(listing, &connection, now)) }
        div.facts {
            (capabilities(&connection))
            (deadlines(&connection, now))
            (probes(listing, &connection, now))
            (reports(&connection, now))
            (notice(&connection, now))
            (details(&connection))
        }
        (other_accounts(listing, &connection, index, now))
    };
    Some(frame(site, &format!("{}: {}", account.name(), state.title().to_lowercase()), &main))
}

/// The reasons without repetitions.
fn reasons(connection: &Connection<'_>) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = connection.reasons().collect();
    reasons.sort_unstable();
    reasons.dedup();
    reasons
}

fn unknown() -> Markup {
    html! { span.quiet { "unknown" } }
}

fn status(connection: &Connection<'_>, now: Timestamp) -> Markup {
    let stops: Vec<&str> = connection.stops().map(|c| c.stops()).collect();
    html! {
        section.what aria-label="Status" {
            @for reason in reasons(connection) {
                p.lead { strong { (words(reason.info().label)) } ". " (reason.info().meaning) }
            }
            @match connection.state(now) {
                ConnectionState::Connected => p.lead { "The connection works." },
                ConnectionState::Waiting => p.lead { "This connection has not been probed yet." },
                _ => {}
            }
            @if let Some(since) = connection.account_state.since { p { "Since " (instant(now, since)) "." } }
            @if !stops.is_empty() { p { "Not working: " strong { (and(&stops)) } "." } }
            @if let (Expiry::At(at), None) = (connection.deadline(), connection.reasons().next()) {
                p {
                    @if at > now { "It must be reconnected by " }
                    @else { "It should have been reconnected by " }
                    (instant(now, at)) "."
                }
            }
            (uncertainty(connection, now))
        }
    }
}

fn steps(listing: &Listing, connection: &Connection<'_>, now: Timestamp) -> Markup {
    let mut reasons = reasons(connection);
    let app_is_refused = connection.cause().and_then(Cause::app_problem).is_some();
    if reasons.is_empty() && !app_is_refused && connection.account_state.verdict == Some(Reason::Ok) {
        reasons.push(Reason::Ok);
    }
    let network = connection.account.network();
    html! {
        section #do aria-labelledby="do-title" {
            h2 #do-title { "What to do" }
            @if app_is_refused {
                p {
                    strong { "Do not reconnect now." } " The network refuses the app itself: reconnecting "
                    "does not help until the operator of this product has repaired it."
                }
            } @else if reasons.is_empty() { p { "Nothing yet. Wait for a conclusive probe." } }
            @for reason in &reasons {
                @let info = reason.info();
                @if reasons.len() > 1 { h3 { (words(info.label)) } }
                @if *reason != Reason::Ok {
                    p {
                        "Who can fix it: " strong { (info.fixed_by.text()) }
                        @if let (FixedBy::Connector, Some(person)) =
                            (info.fixed_by, connection.credential.connected_by()) { " (" (person) ")" }
                        ". Reconnecting " (info.reconnecting.text()) "."
                    }
                }
                ol { @for step in advice(*reason, network, info.fixed_by.reader()) { li { (step) } } }
            }
            @let button = reconnect(listing, std::slice::from_ref(connection), now);
            @if !button.0.is_empty() {
                p { (Catalogue::of(Language::En).sentence("mail.before_reconnecting")) }
                (button)
            }
        }
    }
}

/// The capabilities that the account needs, and the roles and permissions that they require.
fn capabilities(connection: &Connection<'_>) -> Markup {
    let account = &connection.account;
    html! {
        section aria-labelledby="needs" {
            h2 #needs { "Roles and permissions" }
            @if account.needs().is_empty() {
                p { "This account needs no capabilities: it is only kept connected." }
            } @else {
                table role="table" aria-labelledby="needs" {
                    thead role="rowgroup" { tr role="row" {
                        th scope="col" role="columnheader" { "Needed for" }
                        th scope="col" role="columnheader" { "State" }
                        th scope="col" role="columnheader" { "Requires" }
                    } }
                    tbody role="rowgroup" {
                        @for capability in account.needs().iter() { (capability_row(connection, capability)) }
                    }
                }
            }
            @if !account.required_scopes().is_empty() {
                @let scopes: Vec<_> = connection.scopes().collect();
                h3 { "Permissions granted" }
                @if scopes.is_empty() { p { (unknown()) } } @else {
                    ul.scopes { @for (scope, granted) in scopes {
                        li { code { (scope) } " " @if granted { "granted" } @else { strong { "missing" } } }
                    } }
                }
            }
        }
    }
}

fn capability_row(connection: &Connection<'_>, capability: Capability) -> Markup {
    let account = &connection.account;
    let reason = connection.capabilities().find(|(c, _)| *c == capability).map(|(_, reason)| reason);
    let rights = account.network().network().rights(account.style(), account.kind(), capability);
    html! {
        tr role="row" {
            th scope="row" role="rowheader" { (capability.stops()) }
            td role="cell" data-title="State" {
                @match reason {
                    Some(Reason::Ok) => "available",
                    Some(reason) => strong { "lost: " (words(reason.info().label).to_lowercase()) },
                    None => (unknown()),
                }
            }
            td role="cell" data-title="Requires" {
                @match rights {
                    Some(rights) => {
                        @if !rights.roles.is_empty() { p { "Role: " (rights.roles.join(" or ")) } }
                        @if !rights.scopes.is_empty() {
                            p { "Permissions: " @for (i, group) in rights.scopes.iter().enumerate() {
                                @if i > 0 { ", " }
                                @for (j, scope) in group.iter().enumerate() {
                                    @if j > 0 { " or " }
                                    code { (scope) }
                                }
                            } }
                        }
                        @if rights.roles.is_empty() && rights.scopes.is_empty() {
                            span.quiet { "nothing" }
                        }
                    }
                    None => span.quiet { "not offered by this network" },
                }
            }
        }
    }
}

fn deadlines(connection: &Connection<'_>, now: Timestamp) -> Markup {
    let clocks = connection.credential_state.clocks.get();
    let shown = |expiry: Expiry| match expiry {
        Expiry::At(at) => instant(now, at),
        Expiry::Never => html! { "never" },
        Expiry::Unknown => unknown(),
    };
    html! {
        section aria-labelledby="deadlines" {
            h2 #deadlines { "Deadlines" }
            @if connection.is_disconnected() { p { "None: this connection is lost already." } }
            dl {
                @if let Some(deadline) = connection.deadline_ahead() {
                    dt { "A person must reconnect by" } dd { (shown(deadline)) }
                    dt { "Access ends" }
                    dd {
                        (shown(clocks.access))
                        @if connection.credential.auto_refresh() { ", renewed automatically" }
                    }
                    dt { "Renewal ends" } dd { (shown(clocks.refresh)) }
                    dt { "Access to data ends" } dd { (shown(clocks.data_access)) }
                }
                dt { "Token issued" } dd { (shown(clocks.issued.map_or(Expiry::Unknown, Expiry::At))) }
            }
        }
    }
}

fn probes(listing: &Listing, connection: &Connection<'_>, now: Timestamp) -> Markup {
    let plan = planned(&listing.snapshot, connection.account.credential_index(), now);
    // What is due now comes in a moment.
    let soon = |at: Timestamp| instant(now, at.max(now.plus(1)));
    let state = connection.account_state;
    let failures = connection.credential_state.failures;
    let shown = |at: Option<Timestamp>| match at {
        Some(at) => instant(now, at),
        None => html! { span.quiet { "none yet" } },
    };
    let result = match (connection.cause(), state.pending, state.conclusive()) {
        (Some(cause), _, _) => html! { "inconclusive: " (words(cause.label()).to_lowercase()) },
        (None, Some((reason, first)), _) => html! {
            "refused " (distance(now, first)) ", to be confirmed by a second probe: "
            (words(reason.info().label).to_lowercase())
        },
        (None, None, Some(_)) => match state.verdict {
            Some(Reason::Ok) => html! { "the connection works" },
            Some(_) => html! { "the connection does not work" },
            None => unknown(),
        },
        (None, None, None) => html! { span.quiet { "none yet" } },
    };
    html! {
        section aria-labelledby="probes" {
            h2 #probes { "Probes" }
            dl {
                dt { "Last probe" } dd { (shown(connection.credential_state.last_probe)) }
                dt { "Result" } dd { (result) }
                @if failures > 1 { dt { "Inconclusive probes" } dd { (failures) " in a row" } }
                dt { "Last conclusive probe" } dd { (shown(state.last_conclusive)) }
                dt { "State since" } dd { (shown(state.since)) }
                @if let Some(plan) = plan {
                    dt { "Next probe" } dd { (soon(plan.at)) ": " (plan.text()) }
                    @if let Some(at) = plan.token_read {
                        dt { "Token is read" } dd { (soon(at)) ", and probed at once if it has changed" }
                    }
                }
                @if let Some(at) = connection.account.next_use() {
                    dt { "Next use" } dd { (instant(now, at)) }
                }
                dt { "Probe interval" } dd { (format_duration(connection.credential.interval())) }
            }
        }
    }
}

/// What products reported, the newest first.
fn reports(connection: &Connection<'_>, now: Timestamp) -> Markup {
    let mut reports: Vec<&Report> = connection.heard.iter().flat_map(|heard| heard.reports()).collect();
    reports.sort_by_key(|report| std::cmp::Reverse(report.at));
    let read_as = |report: &Report| {
        let known = report.reason.filter(|r| *r != Reason::Ok).map(Reason::label);
        let detail = known.or(report.cause.map(Cause::label)).filter(|label| *label != report.result.label());
        let result = words(report.result.label()).to_lowercase();
        detail.map_or(result.clone(), |label| format!("{result}: {}", words(label).to_lowercase()))
    };
    html! {
        @if !reports.is_empty() {
            section aria-labelledby="reports" {
                h2 #reports { "Reports" }
                dl {
                    @for report in reports {
                        dt { (words(report.operation.label())) ": " (read_as(report)) }
                        dd {
                            (instant(now, report.at)) ", by " (report.by)
                            @if let Some(until) = report.until.filter(|until| *until > now) {
                                @let block = connection.heard.and_then(|h| h.block(report.operation, now));
                                @if block.is_some() { ", until " (instant(now, until)) }
                                @else { ", no longer: a success was reported" }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The network's last own notice about the login.
fn notice(connection: &Connection<'_>, now: Timestamp) -> Markup {
    html! {
        @if let Some(notice) = &connection.credential_state.notice {
            section aria-labelledby="notice" {
                h2 #notice { "Notice of the network" }
                dl {
                    dt { code { (notice.event) } }
                    dd {
                        (instant(now, notice.at)) ", read as "
                        @match notice.lost {
                            Some(reason) => (words(reason.info().label).to_lowercase()),
                            None => "a change that a probe must check",
                        }
                    }
                }
            }
        }
    }
}

fn details(connection: &Connection<'_>) -> Markup {
    let account = &connection.account;
    let credential = connection.credential;
    let entry = |name: &str, value: &str| html! { @if !value.is_empty() { dt { (name) } dd { (value) } } };
    let notify: Vec<&str> = connection.notify().collect();
    html! {
        section aria-labelledby="details" {
            h2 #details { "Details" }
            dl {
                (entry("Connected by", credential.connected_by().unwrap_or("")))
                (entry("Mails go to", &notify.join(", ")))
                (entry("In the daily mail of", &account.notify_digest().join(", ")))
                (entry("State in the product", account.source_state().unwrap_or("")))
                (entry("Use", account.purpose().label()))
                @for (name, value) in account.labels() { (entry(&words(name), value)) }
                (entry("Account", account.id()))
                (entry("ID at the network", account.external_id()))
                (entry("Login", credential.id()))
                (entry("App", account.app_id()))
                @if let Some(reason) = connection.account_state.verdict {
                    dt { "Reason in metrics" } dd { code { (reason.info().label) } }
                }
            }
        }
    }
}

fn other_accounts(listing: &Listing, connection: &Connection<'_>, index: usize, now: Timestamp) -> Markup {
    let others = connection.credential.accounts().filter(|i| *i != index);
    let count = connection.credential.accounts().len() - 1;
    html! {
        @if count > 0 {
            section aria-labelledby="login" {
                h2 #login { "Other accounts of this login" }
                p {
                    (counted(count, "other account")) " reconnect" @if count == 1 { "s" }
                    " together with it."
                }
                ul.siblings {
                    @for other in others.take(MAX_OTHERS).filter_map(|i| listing.connection(i)) {
                        li {
                            a href=(account_address(&other)) { (other.account.name()) } " "
                            (badge(other.state(now)))
                        }
                    }
                    @if count > MAX_OTHERS { li { "and " (count - MAX_OTHERS) " more" } }
                }
            }
        }
    }
}
