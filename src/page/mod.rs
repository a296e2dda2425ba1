//! Pages for people, as HTML: a function of what is shown and the time, with every value escaped.
//!
//! No script, nothing from elsewhere: one stylesheet, one icon. All addresses are relative to the
//! page, so that they hold behind any prefix and proxy; every page therefore stands on the first
//! level below the prefix.

mod account;
mod list;
mod words;

pub use account::account;
pub use list::list;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::api::{Connection, ConnectionState, QueryProblem};

/// The stylesheet of all pages.
pub const STYLE: &str = include_str!("style.css");
/// The icon of all pages.
pub const ICON: &str = include_str!("icon.svg");

/// What a page says of its surroundings.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// Where metrics are served, below the prefix.
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
                a.skip href="#main" { "Skip to the content" }
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
                    p { "token_exporter " (env!("CARGO_PKG_VERSION")) ". It only reads: nothing is ever changed at a network. Times are in UTC." }
                }
            }
        }
    }
    .into_string()
}

/// A request that cannot be answered, and what would be right.
pub fn bad_request(site: &Site<'_>, problems: &[QueryProblem]) -> String {
    let main = html! {
        h1 { "This address cannot be answered" }
        p { @if problems.len() == 1 { "One thing in it is" } @else { (problems.len()) " things in it are" } " not understood:" }
        ul.problems {
            @for problem in problems {
                li { strong { (problem.parameter) } " is " code { (problem.found) } "; expected: " (problem.expected) "." }
            }
        }
        p { a href="./" { "All connections" } }
    };
    frame(site, "Not understood", &main)
}

/// An account that does not exist.
pub fn unknown_account(site: &Site<'_>, id: &str) -> String {
    let main = html! {
        h1 { "There is no such account" }
        p { "No account with the id " code { (id) } " is configured here. It may have been removed, or be another shard's." }
        p { a href="./" { "All connections" } }
    };
    frame(site, "No such account", &main)
}

/// How a connection is: a sign, a colour and, for everybody, a word.
fn badge(state: ConnectionState) -> Markup {
    let sign = match state {
        ConnectionState::Disconnected => "✕",
        ConnectionState::Degraded => "◐",
        ConnectionState::Unverified => "?",
        ConnectionState::Connected => "✓",
        ConnectionState::Waiting => "…",
    };
    html! { span class={ "badge " (state.label()) } { span aria-hidden="true" { (sign) } " " (state.title()) } }
}

/// The address of an account's page.
fn account_address(connection: &Connection<'_>) -> String {
    let id = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("id", connection.account.id())
        .finish();
    format!("account?{id}")
}

/// A link out of here, to where a connection can be made anew.
fn reconnect(connection: &Connection<'_>, urgent: bool) -> Markup {
    html! {
        @if let Some(url) = connection.reconnect_url() {
            a.button.urgent[urgent] href=(url) rel="external noopener noreferrer" {
                "Reconnect" span.unseen { " " (connection.account.name()) }
            }
        }
    }
}

/// Nothing.
fn nothing() -> Markup {
    PreEscaped(String::new())
}
