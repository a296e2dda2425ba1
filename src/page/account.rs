//! The page of one account: what is wrong, who can put it right and how, and all that is known of
//! it.

use maud::{Markup, html};

use super::list::doubts;
use super::words::{and, counted, distance, instant, words};
use super::{Site, account_address, badge, frame, reconnect};
use crate::api::{Connection, ConnectionState, Listing};
use crate::model::{Expiry, Reason, Reconnecting, Timestamp, format_duration};
use crate::network::advice;

/// So many of a login's other accounts are shown.
const SIBLINGS: usize = 50;

/// The page of the account at a place of the listing's inventory.
pub fn account(site: &Site<'_>, listing: &Listing, index: usize, now: Timestamp) -> Option<String> {
    let connection = listing.connection(index)?;
    let account = &connection.account;
    let state = connection.state(now);
    let main = html! {
        p.up { a href="./" { "All connections" } }
        h1 { (account.name()) }
        p { (badge(state)) " " span.quiet { (account.network().description().title) " " (account.kind().replace('_', " ")) } }
        div.now { (what(&connection, now)) (steps(&connection)) }
        div.facts {
            (capabilities(&connection))
            (clocks(&connection, now))
            (probes(&connection, now))
            (details(&connection))
        }
        (siblings(listing, &connection, index, now))
    };
    Some(frame(site, &format!("{}: {}", account.name(), state.title().to_lowercase()), &main))
}

/// The reasons, each once.
fn reasons(connection: &Connection<'_>) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = connection.reasons().collect();
    reasons.sort_unstable();
    reasons.dedup();
    reasons
}

fn what(connection: &Connection<'_>, now: Timestamp) -> Markup {
    let stops: Vec<&str> = connection.stops().map(|c| c.stops()).collect();
    html! {
        section.what aria-label="What is known" {
            @for reason in reasons(connection) {
                p.lead { strong { (words(reason.info().label)) } ". " (reason.info().meaning) }
            }
            @if connection.state(now) == ConnectionState::Connected { p.lead { "The connection works." } }
            @if connection.state(now) == ConnectionState::Waiting { p.lead { "It has not been probed yet: nothing is known of it." } }
            @if let Some(since) = connection.known.since { p { "It has been so since " (instant(now, since)) "." } }
            @if !stops.is_empty() { p { "Meanwhile this stops: " strong { (and(&stops)) } "." } }
            @if let (Expiry::At(at), true) = (connection.deadline(), connection.reasons().next().is_none()) {
                p {
                    @if at > now { "It must be reconnected by " } @else { "It should have been reconnected by " }
                    (instant(now, at)) "."
                }
            }
            (doubts(connection, now))
        }
    }
}

fn steps(connection: &Connection<'_>) -> Markup {
    let mut reasons = reasons(connection);
    if reasons.is_empty() && connection.known.verdict == Some(Reason::Ok) {
        reasons.push(Reason::Ok);
    }
    let network = connection.account.network();
    let person = connection.login.connected_by();
    html! {
        section #do aria-labelledby="do-title" {
            h2 #do-title { "What to do" }
            @if reasons.is_empty() { p { "Nothing yet: wait until a probe could tell." } }
            @for reason in &reasons {
                @let info = reason.info();
                @if reasons.len() > 1 { h3 { (words(info.label)) } }
                @if *reason != Reason::Ok {
                    p {
                        "Who can put it right: " strong { (info.fixed_by.text()) }
                        @if let (crate::model::FixedBy::Connector, Some(person)) = (info.fixed_by, person) { " (" (person) ")" }
                        ". Reconnecting " (info.reconnecting.text()) "."
                    }
                }
                ol { @for step in advice(*reason, network) { li { (step) } } }
            }
            (reconnect(connection, reasons.iter().all(|r| r.info().reconnecting != Reconnecting::DoesNotHelp)))
        }
    }
}

/// What it is needed for: what the network asks for that, and what is there.
fn capabilities(connection: &Connection<'_>) -> Markup {
    let account = &connection.account;
    let style = account.style();
    let known = |c| connection.capabilities().find(|(known, _)| *known == c).map(|(_, reason)| reason);
    let scopes: Vec<_> = connection.scopes().collect();
    html! {
        section aria-labelledby="needs" {
            h2 #needs { "Roles and permissions" }
            @if account.needs().is_empty() { p { "It is needed for nothing in particular: it is only kept connected." } } @else {
                table role="table" aria-labelledby="needs" {
                    thead role="rowgroup" { tr role="row" {
                        th scope="col" role="columnheader" { "Needed for" }
                        th scope="col" role="columnheader" { "State" }
                        th scope="col" role="columnheader" { "Asks for" }
                    } }
                    tbody role="rowgroup" {
                        @for capability in account.needs().iter() {
                            tr role="row" {
                                th scope="row" role="rowheader" { (capability.stops()) }
                                td role="cell" data-title="State" {
                                    @match known(capability) {
                                        Some(Reason::Ok) => "available",
                                        Some(reason) => strong { "gone: " (words(reason.info().label).to_lowercase()) },
                                        None => span.quiet { "not known" },
                                    }
                                }
                                td role="cell" data-title="Asks for" {
                                    @match account.network().network().requirement(style, account.kind(), capability) {
                                        Some(needed) => {
                                            @if !needed.roles.is_empty() { p { "Role: " (needed.roles.join(" or ")) } }
                                            @if !needed.scopes.is_empty() {
                                                p { "Permissions: " @for (i, group) in needed.scopes.iter().enumerate() {
                                                    @if i > 0 { ", " } @for (j, scope) in group.iter().enumerate() { @if j > 0 { " or " } code { (scope) } }
                                                } }
                                            }
                                            @if needed.roles.is_empty() && needed.scopes.is_empty() { span.quiet { "nothing in particular" } }
                                        }
                                        None => span.quiet { "not offered by this network" },
                                    }
                                }
                            }
                        }
                    }
                }
            }
            @if !account.required_scopes().is_empty() {
                h3 { "Permissions granted" }
                @if scopes.is_empty() { p.quiet { "The network has not told." } } @else {
                    ul.scopes { @for (scope, granted) in scopes {
                        li { code { (scope) } " " @if granted { "granted" } @else { strong { "missing" } } }
                    } }
                }
            }
        }
    }
}

fn clocks(connection: &Connection<'_>, now: Timestamp) -> Markup {
    let clocks = &connection.grant.clocks;
    let told = |expiry: Expiry| match expiry {
        Expiry::At(at) => instant(now, at),
        Expiry::Never => html! { "never" },
        Expiry::Unknown => html! { span.quiet { "not known" } },
    };
    html! {
        section aria-labelledby="clocks" {
            h2 #clocks { "Clocks" }
            dl {
                dt { "A person must reconnect by" } dd { (told(connection.deadline())) }
                dt { "Access ends" } dd { (told(clocks.access)) @if connection.login.auto_refresh() { ", renewed by itself" } }
                dt { "Renewal ends" } dd { (told(clocks.refresh)) }
                dt { "Access to data ends" } dd { (told(clocks.data_access)) }
                dt { "Issued" } dd { (told(clocks.issued.map_or(Expiry::Unknown, Expiry::At))) }
            }
        }
    }
}

fn probes(connection: &Connection<'_>, now: Timestamp) -> Markup {
    let known = connection.known;
    let at = |at: Option<Timestamp>| match at {
        Some(at) => instant(now, at),
        None => html! { span.quiet { "none yet" } },
    };
    html! {
        section aria-labelledby="probes" {
            h2 #probes { "Last probes" }
            dl {
                dt { "Last probe" } dd { (at(connection.grant.last_probe)) }
                dt { "It found" } dd {
                    @match (connection.trouble(), known.pending, known.conclusive()) {
                        (Some(cause), _, _) => { "no conclusion: " (words(cause.label()).to_lowercase()) }
                        (None, Some((reason, first)), _) => { "a refusal " (distance(now, first)) " that a second probe must confirm: " (words(reason.info().label).to_lowercase()) }
                        (None, None, Some(_)) => { (known.verdict.map_or("nothing", |r| if r == Reason::Ok { "a working connection" } else { "a broken connection" })) }
                        (None, None, None) => span.quiet { "nothing yet" },
                    }
                }
                @if connection.grant.failures > 1 { dt { "Without a conclusion" } dd { (connection.grant.failures) " probes in a row" } }
                dt { "Last conclusive probe" } dd { (at(known.last_conclusive)) }
                dt { "Verdict since" } dd { (at(known.since)) }
                dt { "Probed every" } dd { (format_duration(connection.login.interval())) }
            }
        }
    }
}

fn details(connection: &Connection<'_>) -> Markup {
    let account = &connection.account;
    let credential = connection.login;
    let entry = |name: &str, value: &str| html! { @if !value.is_empty() { dt { (name) } dd { (value) } } };
    let notify: Vec<&str> = connection.notify().collect();
    html! {
        section aria-labelledby="details" {
            h2 #details { "Details" }
            dl {
                (entry("Connected by", credential.connected_by().unwrap_or("")))
                (entry("Mails go to", &notify.join(", ")))
                (entry("Use", account.purpose().label()))
                @for (name, value) in connection.labels() { (entry(&words(name), &value)) }
                (entry("Account", account.id()))
                (entry("Id at the network", account.external_id()))
                (entry("Login", credential.id()))
                (entry("App", account.app_id()))
                @if let Some(reason) = connection.known.verdict { dt { "Reason in metrics" } dd { code { (reason.info().label) } } }
            }
        }
    }
}

/// What reconnects together with it.
fn siblings(listing: &Listing, connection: &Connection<'_>, index: usize, now: Timestamp) -> Markup {
    let others = connection.login.accounts().filter(|i| *i != index);
    let count = connection.login.accounts().len() - 1;
    html! {
        @if count > 0 {
            section aria-labelledby="login" {
                h2 #login { "Behind the same login" }
                p { (counted(count, "other account")) " reconnect" @if count == 1 { "s" } " together with it." }
                ul.siblings {
                    @for other in others.take(SIBLINGS).filter_map(|i| listing.connection(i)) {
                        li { a href=(account_address(&other)) { (other.account.name()) } " " (badge(other.state(now))) }
                    }
                    @if count > SIBLINGS { li { "and " (count - SIBLINGS) " more" } }
                }
            }
        }
    }
}
