//! The list of connections: an overview, filters, and a page of them, the worst first and by login.

use std::time::Duration;

use maud::{Markup, html};

use super::words::{DAY, and, counted, date, distance, instant, number, words};
use super::{Site, account_address, badge, frame, nothing, reconnect};
use crate::api::{Connection, ConnectionState, Listing, Page, Parameter, Query};
use crate::model::{Cause, Expiry, Reconnecting, Timestamp, Use, format_duration};

/// So many apps in trouble are named.
const APPS: usize = 10;
/// The choices of "expires within".
const WITHIN: [u64; 5] = [1, 5, 10, 30, 60];

/// One page of the list.
pub fn list(site: &Site<'_>, listing: &Listing, query: &Query, page: &Page, now: Timestamp) -> String {
    let overview = &listing.overview;
    let lead = lead(listing);
    let main = html! {
        h1 { (lead) }
        @if let Some(last) = overview.last_probe {
            p.quiet { "Last probe " (distance(now, last)) ". This page is of " (listing.at.utc().format("%-d %b %Y, %H:%M:%S")) "." }
        }
        (troubles(listing))
        @if overview.accounts == 0 {
            p { "List accounts in the configuration, and they show here." }
        } @else {
            (tiles(listing, query))
            (form(listing, query))
            (chips(query))
            section aria-labelledby="found" {
                (found(query, page))
                @if page.accounts.is_empty() {
                    (empty(query, page))
                } @else {
                    (table(listing, page, now))
                    (pages(query, page))
                }
            }
        }
    };
    let title =
        if query.is_everything() { lead } else { format!("{} found", counted(page.total, "connection")) };
    frame(site, &title, &main)
}

/// What matters most, in one sentence.
fn lead(listing: &Listing) -> String {
    let overview = &listing.overview;
    let count = |state: ConnectionState| overview.states[state as usize];
    let all = overview.accounts;
    if all == 0 {
        "No accounts are configured".to_owned()
    } else if count(ConnectionState::Disconnected) > 0 {
        let are = if count(ConnectionState::Disconnected) == 1 { "is" } else { "are" };
        format!(
            "{} of {} {are} disconnected",
            number(count(ConnectionState::Disconnected)),
            counted(all, "connection")
        )
    } else if count(ConnectionState::Connected) == all {
        if all == 1 {
            "The one connection works".to_owned()
        } else {
            format!("All {} connections work", number(all))
        }
    } else {
        let rest = [ConnectionState::Degraded, ConnectionState::Unverified, ConnectionState::Waiting]
            .into_iter()
            .filter(|s| count(*s) > 0);
        let rest: Vec<String> =
            rest.map(|s| format!("{} {}", number(count(s)), s.title().to_lowercase())).collect();
        format!(
            "No connection is known to be disconnected; {}",
            and(&rest.iter().map(String::as_str).collect::<Vec<_>>())
        )
    }
}

/// Apps that are to blame themselves.
fn troubles(listing: &Listing) -> Markup {
    let snapshot = &listing.snapshot;
    let apps = snapshot.inventory.apps().iter().zip(snapshot.apps.iter());
    let sick: Vec<_> = apps.filter(|(_, state)| state.healthy() == Some(false)).map(|(app, _)| app).collect();
    html! {
        @if !sick.is_empty() {
            section.notice aria-labelledby="apps" {
                h2 #apps { @if sick.len() == 1 { "An app is in trouble" } @else { (counted(sick.len(), "app")) " are in trouble" } }
                p {
                    @for (place, app) in sick.iter().take(APPS).enumerate() {
                        @if place > 0 { ", " }
                        strong { (app.id) } " (" (app.network.description().title) ")"
                    }
                    @if let Some(more) = sick.len().checked_sub(APPS).filter(|more| *more > 0) { " and " (number(more)) " more" }
                    ". " (Cause::AppMisconfigured.meaning()) " Until then, the last verdicts about their connections stand."
                }
            }
        }
    }
}

/// The overview, each number a link to what it counts.
fn tiles(listing: &Listing, query: &Query) -> Markup {
    let overview = &listing.overview;
    let tile = |name: &str, class: &str, count: usize, wanted: Query| {
        let current = (query.address(1) == wanted.address(1)).then_some("page");
        html! { li { a class={ "tile " (class) } href=(there(wanted.address(1))) aria-current=[current] { strong { (number(count)) } " " (name) } } }
    };
    html! {
        nav aria-label="Connections by state" {
            ul.tiles {
                (tile("All", "all", overview.accounts, Query::default()))
                @for state in ConnectionState::ALL {
                    @let count = overview.states[state as usize];
                    @if count > 0 || matches!(state, ConnectionState::Disconnected | ConnectionState::Connected) {
                        (tile(state.title(), state.label(), count, Query { states: vec![state], ..Query::default() }))
                    }
                }
                (tile("Expire within 30 days", "expiring", overview.expiring, Query { expires_within: Some(days(30)), ..Query::default() }))
            }
        }
    }
}

/// The list at an address of [`Query`].
fn there(address: String) -> String {
    if address.is_empty() { "./".to_owned() } else { format!("./?{address}") }
}

fn days(count: u64) -> Duration {
    Duration::from_secs(count * DAY.unsigned_abs())
}

/// Search and filters. What is chosen becomes the address.
fn form(listing: &Listing, query: &Query) -> Markup {
    let networks = listing
        .snapshot
        .inventory
        .counts()
        .0
        .keys()
        .map(|n| (n.name().to_owned(), n.description().title.to_owned()));
    // A reason that is asked for stays among the choices when the last connection with it has
    // recovered.
    let reasons = listing
        .reasons()
        .chain(query.reasons.iter().copied().filter(|r| !listing.reasons().any(|l| l == *r)));
    let reasons = reasons.map(|r| (r.info().label.to_owned(), words(r.info().label)));
    let states = ConnectionState::ALL.into_iter().map(|s| (s.label().to_owned(), s.title().to_owned()));
    let uses = Use::ALL.iter().map(|u| (u.label().to_owned(), words(u.label())));
    let mut within: Vec<Duration> = WITHIN.into_iter().map(days).collect();
    within.extend(query.expires_within.filter(|d| !within.contains(d)));
    within.sort_unstable();
    let within = within.into_iter().map(|d| (format_duration(d), spoken(d)));
    html! {
        form.filters method="get" action="./" role="search" aria-label="Connections" {
            p.search {
                label for="q" { "Search" }
                input #q type="search" name="q" value=(query.search) maxlength="200" placeholder="name, id or person" autocomplete="off";
            }
            p.go { button type="submit" { "Show" } }
            details open[query.filters().any(|(name, _)| name != Parameter::Q.name())] {
                summary { "Filters" }
                div {
                    (choice(query, Parameter::State.name(), "State", states))
                    (choice(query, Parameter::Reason.name(), "Reason", reasons))
                    (choice(query, Parameter::Network.name(), "Network", networks))
                    (choice(query, Parameter::ExpiresWithin.name(), "Expires within", within))
                    (choice(query, Parameter::Use.name(), "Use", uses))
                    @for (name, values) in listing.label_choices().filter(|(name, _)| Parameter::ALL.into_iter().all(|p| p.name() != *name)) {
                        (choice(query, name, &words(name), values.iter().map(|v| (v.clone(), v.clone()))))
                    }
                }
            }
            @if query.per_page != Query::default().per_page { input type="hidden" name=(Parameter::PerPage.name()) value=(query.per_page); }
        }
    }
}

fn spoken(duration: Duration) -> String {
    let exact = duration.as_secs().is_multiple_of(DAY.unsigned_abs());
    if exact {
        counted(usize::try_from(duration.as_secs() / DAY.unsigned_abs()).unwrap_or(usize::MAX), "day")
    } else {
        format_duration(duration)
    }
}

fn choice(query: &Query, name: &str, title: &str, values: impl Iterator<Item = (String, String)>) -> Markup {
    let chosen = query.filters().find(|(n, _)| *n == name).map(|(_, value)| value);
    html! {
        p {
            label for={ "by-" (name) } { (title) }
            select id={ "by-" (name) } name=(name) {
                option value="" { "Any" }
                @for (value, shown) in values {
                    option value=(value) selected[chosen.as_ref() == Some(&value)] { (shown) }
                }
            }
        }
    }
}

/// The filters in force, each a link to the list without it.
fn chips(query: &Query) -> Markup {
    if query.is_everything() {
        return nothing();
    }
    html! {
        nav.chips aria-label="Filters in force" {
            ul {
                @for (place, (name, value)) in query.filters().enumerate() {
                    @let name = if name == Parameter::Q.name() { "Search".to_owned() } else { words(name) };
                    li {
                        a href=(there(query.address_without(place))) {
                            span.unseen { "Remove the filter " } (name) ": " (value) " " span aria-hidden="true" { "✕" }
                        }
                    }
                }
                li { a href="./" { "Remove all" } }
            }
        }
    }
}

/// How many there are, and how to take them away.
fn found(query: &Query, page: &Page) -> Markup {
    let from = page.before + 1;
    let to = page.before + page.accounts.len();
    let address = |path: &str| match query.address(1) {
        filters if filters.is_empty() => path.to_owned(),
        filters => format!("{path}?{filters}"),
    };
    html! {
        div.found {
            h2 #found {
                @if page.accounts.is_empty() || page.accounts.len() == page.total { (counted(page.total, "connection")) }
                @else { (number(from)) "–" (number(to)) " of " (counted(page.total, "connection")) }
                @if !query.is_everything() { " found" }
            }
            @if page.total > 0 {
                p {
                    "Take them away: "
                    a href=(address("connections.csv")) { "table (CSV)" } ", "
                    a href=(address("connections.ics")) { "deadlines (calendar)" } ", "
                    a href=(address("api/v1/connections")) { "JSON" }
                }
            }
        }
    }
}

fn empty(query: &Query, page: &Page) -> Markup {
    html! {
        @if page.total > 0 {
            p.empty { "There is no page " (query.page) ". " a href=(there(query.address(1))) { "Go to the first one" } "." }
        } @else {
            p.empty { "Nothing matches. " a href="./" { "Show all connections" } "." }
        }
    }
}

fn table(listing: &Listing, page: &Page, now: Timestamp) -> Markup {
    let connections: Vec<Connection<'_>> =
        page.accounts.iter().filter_map(|i| listing.connection(*i)).collect();
    let groups = connections.chunk_by(|a, b| a.account.credential_index() == b.account.credential_index());
    // The roles say again what the elements are: they get lost where a narrow screen shows rows as
    // blocks.
    html! {
        table role="table" aria-labelledby="found" {
            thead role="rowgroup" {
                tr role="row" {
                    th scope="col" role="columnheader" { "Connection" }
                    th scope="col" role="columnheader" { "State" }
                    th scope="col" role="columnheader" { "Deadline" }
                    th scope="col" role="columnheader" { "Connected by" }
                    th scope="col" role="columnheader" { "Action" }
                }
            }
            @for group in groups {
                tbody role="rowgroup" {
                    @if let [first, ..] = group && first.login.accounts().len() > 1 {
                        (login(first, group, now))
                        @for connection in group { (row(connection, true, now)) }
                    } @else {
                        @for connection in group { (row(connection, false, now)) }
                    }
                }
            }
        }
    }
}

/// The heading of accounts that reconnect together.
fn login(first: &Connection<'_>, shown: &[Connection<'_>], now: Timestamp) -> Markup {
    let all = first.login.accounts().len();
    let reconnected = shown.iter().find(|c| c.reconnect_url().is_some()).unwrap_or(first);
    html! {
        tr.login role="row" {
            th scope="rowgroup" role="rowheader" colspan="2" {
                "Login " span.id { (first.login.id()) } " "
                span.quiet { (counted(all, "account")) " reconnect together" @if shown.len() < all { ", " (shown.len()) " of them here" } }
            }
            td role="cell" data-title="Deadline" { (deadline(first, now)) }
            td role="cell" data-title="Connected by" { (first.login.connected_by().unwrap_or("not known")) }
            td role="cell" data-title="Action" { (action(reconnected, now)) }
        }
    }
}

fn row(connection: &Connection<'_>, in_group: bool, now: Timestamp) -> Markup {
    let account = &connection.account;
    html! {
        tr role="row" class=[in_group.then_some("of-login")] {
            th scope="row" role="rowheader" {
                a.name href=(account_address(connection)) { (account.name()) }
                span.quiet { (account.network().description().title) " " (account.kind().replace('_', " ")) }
            }
            td role="cell" data-title="State" { (badge(connection.state(now))) (why(connection, now)) }
            @if in_group {
                td.same role="cell" colspan="3" {}
            } @else {
                td role="cell" data-title="Deadline" { (deadline(connection, now)) }
                td role="cell" data-title="Connected by" { (connection.login.connected_by().unwrap_or("not known")) }
                td role="cell" data-title="Action" { (action(connection, now)) }
            }
        }
    }
}

/// The link to reconnect, unless that changes nothing; it stands out where it is all that should be
/// done now.
fn action(connection: &Connection<'_>, now: Timestamp) -> Markup {
    match connection.reasons().next().map(|reason| reason.info().reconnecting) {
        Some(Reconnecting::DoesNotHelp) => nothing(),
        Some(helps) => reconnect(connection, helps == Reconnecting::Helps),
        None => reconnect(connection, connection.deadline().at().is_some_and(|t| t.since(now) < 10 * DAY)),
    }
}

/// Why it is as it is, and what that means for those who work with it.
fn why(connection: &Connection<'_>, now: Timestamp) -> Markup {
    let known = connection.known;
    let mut reasons: Vec<_> = connection.reasons().collect();
    reasons.dedup();
    let stops: Vec<&str> = connection.stops().map(|c| c.stops()).collect();
    html! {
        @for reason in &reasons {
            p { strong { (words(reason.info().label)) } ". " (reason.info().meaning) }
        }
        @if !reasons.is_empty() {
            p.quiet {
                @if !stops.is_empty() { "Stops " (and(&stops)) ". " }
                @if let Some(since) = known.since { "Since " (instant(now, since)) ". " }
                a.go href={ (account_address(connection)) "#do" } { "What to do" span.unseen { " about " (connection.account.name()) } }
            }
        }
        (doubts(connection, now))
    }
}

/// What is not known, in words.
pub(super) fn doubts(connection: &Connection<'_>, now: Timestamp) -> Markup {
    let known = connection.known;
    html! {
        @if let Some((reason, first)) = known.pending {
            p.doubt { "Refused " (distance(now, first)) " (" (words(reason.info().label).to_lowercase()) "). A second look will tell whether that holds." }
        }
        @if let Some(cause) = connection.trouble() {
            p.doubt { strong { (words(cause.label())) } ". " (cause.meaning()) }
        }
        @if connection.known.conclusive() == Some(false) || connection.state(now) == ConnectionState::Unverified {
            p.doubt.quiet {
                @match known.last_conclusive {
                    Some(last) => { "Not verified since " (instant(now, last)) "." }
                    None => "Never verified yet.",
                }
            }
        }
    }
}

/// A deadline as a date and how far away it is; its absence in words.
fn deadline(connection: &Connection<'_>, now: Timestamp) -> Markup {
    match connection.deadline() {
        Expiry::At(at) => {
            let class = match at.since(now).div_euclid(DAY) {
                ..1 => "within-1d",
                1..5 => "within-5d",
                5..10 => "within-10d",
                10.. => "later",
            };
            html! { span class={ "deadline " (class) } { (date(now, at)) br; span.far { (distance(now, at)) } } }
        }
        Expiry::Never => html! { span.quiet { "no deadline" } },
        Expiry::Unknown => html! { span.quiet { "not known" } },
    }
}

fn pages(query: &Query, page: &Page) -> Markup {
    let last = page.total.div_ceil(query.per_page);
    if last < 2 {
        return nothing();
    }
    let link = |number: usize, text: &str, rel: Option<&str>| html! { li { a href=(there(query.address(number))) rel=[rel] { (text) } } };
    html! {
        nav.pages aria-label="Pages" {
            ul {
                @if query.page > 1 {
                    @if query.page > 2 { (link(1, "First", None)) }
                    (link(query.page - 1, "Previous", Some("prev")))
                }
                li { span aria-current="page" { "Page " (number(query.page)) " of " (number(last)) } }
                @if query.page < last {
                    (link(query.page + 1, "Next", Some("next")))
                    @if query.page + 1 < last { (link(last, "Last", None)) }
                }
            }
        }
    }
}
