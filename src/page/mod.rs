//! The status page as HTML, made from a listing and the time. Every value is escaped.
//!
//! There are no external resources, only one stylesheet, one icon and one script, and the pages work
//! without the script. All addresses are relative, so that they work behind any prefix and proxy. All
//! pages are therefore on the first level below the prefix. Knows no HTTP.

mod account;
mod list;
mod words;

pub use account::account;
pub use list::list;

use maud::{DOCTYPE, Markup, html};

use crate::api::{Connection, ConnectionState, Listing, QueryProblem};
use crate::model::{Cause, Expiry, Reconnecting, Timestamp, escape_bidi};
use words::{DAY, number, time};

pub const STYLE: &str = include_str!("style.css");
pub const SCRIPT: &str = include_str!("page.js");
pub const ICON: &str = include_str!("icon.svg");

/// Maximum number of problems of a configuration that are listed.
const MAX_PROBLEMS: usize = 20;
/// Maximum number of other accounts of a login that are read.
const MAX_OTHERS: usize = 50;

/// What all pages show of the server.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The path of the metrics below the prefix.
    pub telemetry_path: &'a str,
    /// Why the last reload of the configuration failed, if it did.
    pub reload_failure: Option<&'a ReloadFailure>,
}

#[derive(Clone, Debug)]
pub struct ReloadFailure {
    pub at: Timestamp,
    /// One on each line, with its place and without secrets.
    pub problems: String,
}

fn frame(site: &Site<'_>, title: &str, main: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – token_exporter" }
                link rel="stylesheet" href={ "style.css?" (env!("CARGO_PKG_VERSION")) };
                script src={ "page.js?" (env!("CARGO_PKG_VERSION")) } defer {}
                link rel="icon" type="image/svg+xml" href="icon.svg";
            }
            body {
                a.skip href="#main" { "Skip to content" }
                header {
                    a.brand href="./" { img src="icon.svg" alt="" width="28" height="28"; " token_exporter" }
                    nav aria-label="Site" {
                        a href="./" { "Connections" }
                        a href="api/v1/connections" { "JSON" }
                        a href=(site.telemetry_path.trim_start_matches('/')) { "Metrics" }
                    }
                    p.notice #stale role="status" {}
                }
                main #main tabindex="-1" {
                    @if let Some(failure) = site.reload_failure { (reload_failure(failure)) }
                    (main)
                }
                footer {
                    p {
                        "token_exporter " (env!("CARGO_PKG_VERSION")) ". It only reads and never changes "
                        "anything at a network. " span #zone { "Times are in UTC." }
                    }
                }
            }
        }
    };
    escape_texts(&page.into_string())
}

/// Escapes bidirectional control characters in the texts of a page. Attributes keep them, as values of
/// forms and addresses. Only tags have `<` and `>`: maud escapes all others.
fn escape_texts(page: &str) -> String {
    let mut out = String::with_capacity(page.len());
    for part in page.split_inclusive('>') {
        let (text, tag) = part.split_at(part.find('<').unwrap_or(part.len()));
        out.push_str(&escape_bidi(text));
        out.push_str(tag);
    }
    out
}

fn reload_failure(failure: &ReloadFailure) -> Markup {
    let problems = failure.problems.lines();
    let more = problems.clone().count().saturating_sub(MAX_PROBLEMS);
    html! {
        section.notice aria-label="Configuration" {
            p {
                strong { "The configuration could not be reloaded" } " ("
                (time(failure.at, "%-d %b %Y, %H:%M:%S")) "). The last valid one stays in force."
            }
            ul.problems { @for problem in problems.take(MAX_PROBLEMS) { li { (problem) } } }
            @if more > 0 {
                p { (number(more)) " more: " code { "serve --config.check" } " shows them all." }
            }
        }
    }
}

/// The answer to a request with problems.
pub fn bad_request(site: &Site<'_>, problems: &[QueryProblem]) -> String {
    let main = html! {
        h1 { "Invalid address" }
        p {
            @if problems.len() == 1 { "One parameter is" } @else { (problems.len()) " parameters are" }
            " not valid:"
        }
        ul.problems {
            @for problem in problems {
                li {
                    strong { (problem.parameter) }
                    @if problem.found.is_empty() { " is missing" } @else { " is " code { (problem.found) } }
                    "; expected: " (problem.expected) "."
                }
            }
        }
        p { a href="./" { "All connections" } }
    };
    frame(site, "Invalid address", &main)
}

/// The answer to a request for an account that does not exist.
pub fn unknown_account(site: &Site<'_>, id: &str) -> String {
    let main = html! {
        h1 { "Account not found" }
        p {
            "No account with the ID " code { (id) } " is configured here. "
            "It may have been removed or belong to another shard."
        }
        p { a href="./" { "All connections" } }
    };
    frame(site, "Account not found", &main)
}

/// A state as a sign, a colour and a word.
fn badge(state: ConnectionState) -> Markup {
    let sign = match state {
        ConnectionState::Disconnected => "✕",
        ConnectionState::Degraded => "◐",
        ConnectionState::Unverified => "?",
        ConnectionState::Connected => "✓",
        ConnectionState::Waiting => "…",
    };
    html! {
        span class={ "badge " (state.label()) } { span aria-hidden="true" { (sign) } " " (state.title()) }
    }
}

/// The network and kind of an account.
fn kind(connection: &Connection<'_>) -> String {
    let account = &connection.account;
    format!("{} {}", account.network().description().title, account.kind().replace('_', " "))
}

/// The address of the page of an account.
fn account_address(connection: &Connection<'_>) -> String {
    let id = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("id", connection.account.id())
        .finish();
    format!("account?{id}")
}

/// The link to reconnect a login, some of whose accounts are shown; none where that does not help.
fn reconnect(listing: &Listing, shown: &[Connection<'_>], now: Timestamp) -> Markup {
    let Some(first) = shown.first() else { return html! {} };
    let accounts = || first.credential.accounts();
    let others = accounts().take(MAX_OTHERS).filter_map(|i| listing.connection(i));
    let url = shown.iter().copied().chain(others).find_map(|c| c.reconnect_url());
    let urgent = shown.iter().filter_map(|c| urgent(c, now)).max();
    html! {
        @if let (Some(url), Some(urgent)) = (url, urgent) {
            a.button.urgent[urgent] href=(url) rel="external noopener noreferrer" {
                "Reconnect"
                span.unseen {
                    @if accounts().len() > 1 { " the login " (first.credential.id()) }
                    @else { " " (first.account.name()) }
                }
            }
        }
    }
}

/// Whether reconnecting is all that should be done now; none if it does not help.
fn urgent(connection: &Connection<'_>, now: Timestamp) -> Option<bool> {
    let deadline = connection.deadline_ahead().and_then(Expiry::at);
    match connection.reconnecting() {
        Reconnecting::DoesNotHelp => None,
        Reconnecting::HelpsAfterSteps => Some(false),
        Reconnecting::Helps if connection.reasons().next().is_some() => Some(true),
        Reconnecting::Helps if deadline.is_some_and(|at| at.since(now) < 10 * DAY) => Some(true),
        Reconnecting::Helps => (!connection.cause().is_some_and(Cause::is_for_operator)).then_some(false),
    }
}
