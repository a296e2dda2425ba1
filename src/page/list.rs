//! The list of connections: an overview, filters and a page of connections, grouped by login, the
//! most urgent first.

use std::time::Duration;

use maud::{Markup, html};

use super::words::{DAY, and, counted, date, distance, instant, number, time, words};
use super::{Site, account_address, badge, frame, kind, reconnect};
use crate::api::{Connection, ConnectionState, Listing, ListingPage, NEXT_USE, PARAMETERS, Query};
use crate::inventory::SourceStatus;
use crate::model::{Expiry, Timestamp, Use, format_duration};

/// Maximum number of refused apps that are named.
const MAX_APPS: usize = 10;
/// The choices of the filter "Expires within", in days.
const EXPIRES_WITHIN: [u64; 5] = [1, 5, 10, 30, 60];

pub fn list(site: &Site<'_>, listing: &Listing, query: &Query, page: &ListingPage, now: Timestamp) -> String {
    let overview = &listing.overview;
    let headline = headline(listing);
    let main = html! {
        h1 { (headline) }
        @if let Some(last) = overview.last_probe {
            p.quiet {
                "Last probe " (distance(now, last)) ". "
                "State of " (time(listing.at, "%-d %b %Y, %H:%M:%S")) "."
            }
        }
        (refused_apps(listing))
        (refused_rows(listing))
        @if overview.accounts == 0 {
            p { "Accounts appear here when they are in the configuration." }
        } @else {
            (tiles(listing, query))
            (filters(listing, query))
            (active_filters(query))
            section aria-labelledby="found" {
                (found(listing, query, page))
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
        if query.is_everything() { headline } else { format!("{} found", counted(page.total, "connection")) };
    frame(site, &title, &main)
}

fn headline(listing: &Listing) -> String {
    use ConnectionState::{Connected, Degraded, Disconnected, Unverified, Waiting};
    let overview = &listing.overview;
    let count = |state: ConnectionState| overview.states[state as usize];
    match (overview.accounts, count(Disconnected)) {
        (0, _) => "No accounts are configured".to_owned(),
        (1, 0) if count(Connected) == 1 => "The one connection works".to_owned(),
        (all, 0) if count(Connected) == all => format!("All {} connections work", number(all)),
        (_, 0) => {
            let others = [Degraded, Unverified, Waiting].into_iter().filter(|s| count(*s) > 0);
            let others: Vec<String> =
                others.map(|s| format!("{} {}", number(count(s)), s.title().to_lowercase())).collect();
            let others: Vec<&str> = others.iter().map(String::as_str).collect();
            format!("No connection is known to be disconnected; {}", and(&others))
        }
        (all, disconnected) => {
            let are = if disconnected == 1 { "is" } else { "are" };
            format!("{} of {} {are} disconnected", number(disconnected), counted(all, "connection"))
        }
    }
}

/// The apps that their networks refuse.
fn refused_apps(listing: &Listing) -> Markup {
    let snapshot = &listing.snapshot;
    let apps = snapshot.inventory.apps().iter().zip(snapshot.apps.iter());
    let refused: Vec<_> = apps.filter_map(|(app, state)| Some((app, state.problem()?))).collect();
    html! {
        @if !refused.is_empty() {
            section.notice aria-labelledby="apps" {
                h2 #apps {
                    @if refused.len() == 1 { "An app does not work" }
                    @else { (counted(refused.len(), "app")) " do not work" }
                }
                ul {
                    @for (app, problem) in refused.iter().take(MAX_APPS) {
                        li {
                            strong { (app.id) } " (" (app.network.description().title) "): "
                            (problem.meaning())
                        }
                    }
                    @if refused.len() > MAX_APPS { li { (number(refused.len() - MAX_APPS)) " more" } }
                }
                p { "Until then, their connections keep their last known state." }
            }
        }
    }
}

/// The sources of accounts that have problems.
fn refused_rows(listing: &Listing) -> Markup {
    let sources = listing.snapshot.sources.iter();
    let troubled = |source: &&SourceStatus| source.refused > 0 || source.up == Some(false) || source.shrunk;
    let refusing: Vec<_> = sources.filter(troubled).collect();
    html! {
        @if !refusing.is_empty() {
            section.notice aria-labelledby="sources" {
                @for source in &refusing {
                    h2 #sources { "The accounts of " (source.id) " could not all be read" }
                    ul {
                        @for problem in &source.problems { li { (problem) } }
                        @if source.refused > source.problems.len() {
                            li { (counted(source.refused, "row or file")) " refused in all" }
                        }
                    }
                }
                p { "What was last read of them stays. New accounts among them are not watched yet." }
            }
        }
    }
}

/// The overview: each number is a link to the connections that it counts.
fn tiles(listing: &Listing, query: &Query) -> Markup {
    let overview = &listing.overview;
    let tile = |name: &str, class: &str, count: usize, counted: Query| {
        let current = (query.address(1) == counted.address(1)).then_some("page");
        html! {
            li {
                a class={ "tile " (class) } href=(list_address(counted.address(1))) aria-current=[current] {
                    strong { (number(count)) } " " (name)
                }
            }
        }
    };
    let in_state = |state| Query { states: vec![state], ..Query::default() };
    let expiring = Query { expires_within: Some(days(30)), ..Query::default() };
    let always = [ConnectionState::Disconnected, ConnectionState::Connected];
    html! {
        nav aria-label="Connections by state" {
            ul.tiles {
                (tile("All", "all", overview.accounts, Query::default()))
                @for state in ConnectionState::ALL.iter().copied() {
                    @let count = overview.states[state as usize];
                    @if count > 0 || always.contains(&state) {
                        (tile(state.title(), state.label(), count, in_state(state)))
                    }
                }
                (tile("Expire within 30 days", "expiring", overview.expiring, expiring))
            }
        }
    }
}

/// The address of the list with the query of [`Query::address`].
fn list_address(query: String) -> String {
    if query.is_empty() { "./".to_owned() } else { format!("./?{query}") }
}

fn days(count: u64) -> Duration {
    Duration::from_secs(count * DAY.unsigned_abs())
}

/// The form for search and filters. Its fields are the parameters of [`Query`].
fn filters(listing: &Listing, query: &Query) -> Markup {
    let networks = listing.snapshot.inventory.accounts_by_network();
    let networks = networks.keys().map(|n| (n.name().to_owned(), n.description().title.to_owned()));
    // An active filter stays a choice when no connection has its reason any more.
    let reasons = listing
        .reasons()
        .chain(query.reasons.iter().copied().filter(|r| !listing.reasons().any(|l| l == *r)));
    let reasons = reasons.map(|r| (r.info().label.to_owned(), words(r.info().label)));
    let states = ConnectionState::ALL.iter().map(|s| (s.label().to_owned(), s.title().to_owned()));
    let uses = Use::ALL.iter().map(|u| (u.label().to_owned(), words(u.label())));
    let mut within: Vec<Duration> = EXPIRES_WITHIN.into_iter().map(days).collect();
    within.extend(query.expires_within.filter(|d| !within.contains(d)));
    within.sort_unstable();
    let within = within.into_iter().map(|d| (format_duration(d), duration(d)));
    let labels = listing.label_choices().filter(|(name, _)| !PARAMETERS.contains(name));
    html! {
        form.filters method="get" action="./" role="search" aria-label="Connections" {
            p.search {
                label for="q" { "Search" }
                input #q type="search" name="q" value=(query.search) maxlength="200"
                    placeholder="name, ID or person" autocomplete="off";
            }
            p.go { button type="submit" { "Show" } }
            details open[query.filters().any(|(name, _)| name != "q")] {
                summary { "Filters" }
                div {
                    (choice(query, "state", "State", states))
                    (choice(query, "reason", "Reason", reasons))
                    (choice(query, "network", "Network", networks))
                    (choice(query, "expires_within", "Expires within", within))
                    (choice(query, "use", "Use", uses))
                    @for (name, values) in labels {
                        (choice(query, name, &words(name), values.iter().map(|v| (v.clone(), v.clone()))))
                    }
                }
            }
            @if query.by_next_use { input type="hidden" name="sort" value=(NEXT_USE); }
            @if query.per_page != Query::default().per_page {
                input type="hidden" name="per_page" value=(query.per_page);
            }
        }
    }
}

fn duration(duration: Duration) -> String {
    let (seconds, day) = (duration.as_secs(), DAY.unsigned_abs());
    if seconds.is_multiple_of(day) {
        counted(usize::try_from(seconds / day).unwrap_or(usize::MAX), "day")
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

/// The active filters, each a link to the list without it.
fn active_filters(query: &Query) -> Markup {
    let title = |name: &str| if name == "q" { "Search".to_owned() } else { words(name) };
    html! {
        @if !query.is_everything() {
            nav.chips aria-label="Active filters" {
                ul {
                    @for (i, (name, value)) in query.filters().enumerate() {
                        li {
                            a href=(list_address(query.address_without(i))) {
                                span.unseen { "Remove the filter " }
                                (title(name)) ": " (value) " " span aria-hidden="true" { "✕" }
                            }
                        }
                    }
                    li { a href="./" { "Remove all" } }
                }
            }
        }
    }
}

/// The number of connections that match, and downloads of them.
fn found(listing: &Listing, query: &Query, page: &ListingPage) -> Markup {
    let from = page.before + 1;
    let to = page.before + page.accounts.len();
    let address = |path: &str| match query.address(1) {
        filters if filters.is_empty() => path.to_owned(),
        filters => format!("{path}?{filters}"),
    };
    html! {
        div.found {
            h2 #found {
                @if page.accounts.is_empty() || page.accounts.len() == page.total {
                    (counted(page.total, "connection"))
                } @else {
                    (number(from)) "–" (number(to)) " of " (counted(page.total, "connection"))
                }
                @if !query.is_everything() { " found" }
            }
            @if listing.has_next_uses {
                @let other = Query { by_next_use: !query.by_next_use, ..query.clone() };
                p {
                    @if query.by_next_use { "Those that are used next come first. " }
                    a href=(list_address(other.address(1))) {
                        @if query.by_next_use { "Sort by urgency" } @else { "Sort by next use" }
                    }
                }
            }
            @if page.total > 0 {
                p {
                    "Download: "
                    a href=(address("connections.csv")) { "CSV" } ", "
                    a href=(address("connections.ics")) { "calendar of deadlines" } ", "
                    a href=(address("api/v1/connections")) { "JSON" }
                }
            }
        }
    }
}

fn empty(query: &Query, page: &ListingPage) -> Markup {
    html! {
        @if page.total > 0 {
            p.empty {
                "There is no page " (query.page) ". "
                a href=(list_address(query.address(1))) { "Go to the first page" } "."
            }
        } @else {
            p.empty { "Nothing matches. " a href="./" { "Show all connections" } "." }
        }
    }
}

fn table(listing: &Listing, page: &ListingPage, now: Timestamp) -> Markup {
    let connections: Vec<Connection<'_>> =
        page.accounts.iter().filter_map(|i| listing.connection(*i)).collect();
    let groups = connections.chunk_by(|a, b| a.account.credential_index() == b.account.credential_index());
    // On narrow screens the stylesheet shows rows as blocks, and browsers would drop the implicit roles.
    html! {
        table role="table" aria-labelledby="found" {
            thead role="rowgroup" {
                tr role="row" {
                    @for title in ["Connection", "State", "Deadline", "Connected by", "Action"] {
                        th scope="col" role="columnheader" { (title) }
                    }
                }
            }
            @for group in groups {
                @let cells = login_cells(listing, group, now);
                tbody role="rowgroup" {
                    @if let [first, ..] = group && first.credential.accounts().len() > 1 {
                        @let common = common_explanation(first, group, now);
                        (login(first, group.len(), &cells, common.as_ref()))
                        @let cells = html! { td.same role="cell" colspan="3" {} };
                        @for connection in group { (row(connection, common.is_none(), &cells, now)) }
                    } @else {
                        @for connection in group { (row(connection, true, &cells, now)) }
                    }
                }
            }
        }
    }
}

fn login(first: &Connection<'_>, shown: usize, cells: &Markup, explanation: Option<&Markup>) -> Markup {
    let all = first.credential.accounts().len();
    html! {
        tr.login role="row" {
            th scope="rowgroup" role="rowheader" colspan="2" {
                "Login " span.id { (first.credential.id()) } " "
                span.quiet {
                    (counted(all, "account")) " reconnect together"
                    @if shown < all { ", " (shown) " of them shown here" }
                }
                @if let Some(explanation) = explanation { (explanation) }
            }
            (cells)
        }
    }
}

/// The cells that are the same for all accounts of a login.
fn login_cells(listing: &Listing, shown: &[Connection<'_>], now: Timestamp) -> Markup {
    let person = shown.first().and_then(|first| first.credential.connected_by()).unwrap_or("unknown");
    html! {
        @match shown.iter().find_map(Connection::deadline_ahead) {
            Some(expiry) => td role="cell" data-title="Deadline" { (deadline(expiry, now)) },
            None => td.same role="cell" {},
        }
        td role="cell" data-title="Connected by" { (person) }
        td role="cell" data-title="Action" { (reconnect(listing, shown, now)) }
    }
}

/// A row; `cells` follow those of the name and the state. An explanation that all accounts of a login share
/// stands above them.
fn row(connection: &Connection<'_>, explained: bool, cells: &Markup, now: Timestamp) -> Markup {
    let in_group = connection.credential.accounts().len() > 1;
    let stops: Vec<&str> = connection.stops().map(|c| c.stops()).collect();
    html! {
        tr role="row" class=[in_group.then_some("of-login")] {
            th scope="row" role="rowheader" {
                a.name href=(account_address(connection)) { (connection.account.name()) }
                span.quiet { (kind(connection)) }
                @if let Some(at) = connection.account.next_use().filter(|at| *at > now) {
                    " " span.quiet { "Next use " (instant(now, at)) }
                }
            }
            td role="cell" data-title="State" {
                (badge(connection.state(now)))
                @if explained { (explanation(connection, connection, &stops, now)) }
                @else if !stops.is_empty() { p.quiet { "Not working: " (and(&stops)) "." } }
            }
            (cells)
        }
    }
}

/// The explanation that all shown accounts of a login have in common, if they do.
fn common_explanation(first: &Connection<'_>, shown: &[Connection<'_>], now: Timestamp) -> Option<Markup> {
    let mut each = shown.iter().map(|connection| explanation(connection, first, &[], now));
    let common = each.next()?;
    (shown.len() > 1 && each.all(|other| other.0 == common.0)).then_some(common)
}

/// The reasons of a state, and what does not work. The page of `linked` says what to do.
fn explanation(
    connection: &Connection<'_>,
    linked: &Connection<'_>,
    stops: &[&str],
    now: Timestamp,
) -> Markup {
    let mut reasons: Vec<_> = connection.reasons().collect();
    reasons.dedup();
    html! {
        @for reason in &reasons {
            p { strong { (words(reason.info().label)) } ". " (reason.info().meaning) }
        }
        @if !reasons.is_empty() {
            p.quiet {
                @if !stops.is_empty() { "Not working: " (and(stops)) ". " }
                @if let Some(since) = connection.account_state.since { "Since " (instant(now, since)) ". " }
                a.go href={ (account_address(linked)) "#do" } {
                    "What to do" span.unseen { " about " (linked.account.name()) }
                }
            }
        }
        (uncertainty(connection, now))
    }
}

/// Why the state is uncertain.
pub(super) fn uncertainty(connection: &Connection<'_>, now: Timestamp) -> Markup {
    let state = connection.account_state;
    let unverified =
        state.conclusive() == Some(false) || connection.state(now) == ConnectionState::Unverified;
    html! {
        @if let Some((reason, first)) = state.pending {
            p.doubt {
                "Refused " (distance(now, first)) " (" (words(reason.info().label).to_lowercase()) "). "
                "A second probe has to confirm it."
            }
        }
        @if let Some(cause) = connection.cause() {
            @let problem = cause.app_problem().map(|p| words(p.label()).to_lowercase());
            p.doubt {
                strong { (words(cause.label())) @if let Some(problem) = problem { ": " (problem) } }
                ". " (cause.meaning())
            }
        }
        @if unverified {
            p.doubt.quiet {
                @match state.last_conclusive {
                    Some(last) => { "Not verified since " (instant(now, last)) "." }
                    None => "Not verified yet.",
                }
            }
        }
    }
}

/// The deadline as a date and a distance, or the word for its absence.
fn deadline(expiry: Expiry, now: Timestamp) -> Markup {
    match expiry {
        Expiry::At(at) => {
            let class = match at.since(now).div_euclid(DAY) {
                ..1 => "within-1d",
                1..5 => "within-5d",
                5..10 => "within-10d",
                10.. => "later",
            };
            html! {
                span class={ "deadline " (class) } { (date(now, at)) br; span.far { (distance(now, at)) } }
            }
        }
        Expiry::Never => html! { span.quiet { "no deadline" } },
        Expiry::Unknown => html! { span.quiet { "unknown" } },
    }
}

fn pages(query: &Query, page: &ListingPage) -> Markup {
    let last = page.total.div_ceil(query.per_page);
    let link = |number: usize, text: &str, rel: Option<&str>| {
        html! { li { a href=(list_address(query.address(number))) rel=[rel] { (text) } } }
    };
    html! {
        @if last > 1 {
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
}
