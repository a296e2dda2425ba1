//! The status page as HTML, made from a listing and the time. Every value is escaped.
//!
//! There are no scripts and no external resources, only one stylesheet and one icon. All addresses
//! are relative, so that they work behind any prefix and proxy. All pages are therefore on the first
//! level below the prefix. Knows no HTTP.

mod account;
mod list;
mod words;

pub use account::account;
pub use list::list;

use maud::{DOCTYPE, Markup, html};

use crate::api::{Connection, ConnectionState, QueryProblem};

pub const STYLE: &str = include_str!("style.css");
pub const ICON: &str = include_str!("icon.svg");

/// The settings of the server that pages link to.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The path of the metrics below the prefix.
    pub telemetry_path: &'a str,
}

fn frame(site: &Site<'_>, title: &str, main: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – token_exporter" }
                link rel="stylesheet" href={ "style.css?" (env!("CARGO_PKG_VERSION")) };
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
                }
                main #main tabindex="-1" { (main) }
                footer {
                    p {
                        "token_exporter " (env!("CARGO_PKG_VERSION")) ". It only reads and never changes "
                        "anything at a network. Times are in UTC."
                    }
                }
            }
        }
    }
    .into_string()
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

/// The link to reconnect, if there is one. An urgent one stands out.
fn reconnect(connection: &Connection<'_>, urgent: bool) -> Markup {
    html! {
        @if let Some(url) = connection.reconnect_url() {
            a.button.urgent[urgent] href=(url) rel="external noopener noreferrer" {
                "Reconnect" span.unseen { " " (connection.account.name()) }
            }
        }
    }
}
