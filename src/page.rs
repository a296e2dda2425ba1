//! Pages for people, as HTML: a function of what is shown, with every value escaped.

use maud::{DOCTYPE, html};

use crate::server::Settings;

/// The landing page: what this is and where to go.
pub fn landing(settings: &Settings) -> String {
    let prefix = &settings.route_prefix;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "token_exporter" }
                style { "body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem;color-scheme:light dark}" }
            }
            body {
                main {
                    h1 { "token_exporter" }
                    p { "Tells which social-media connection is about to expire or has broken, why, and what to do." }
                    ul {
                        li { a href={ (prefix) (settings.telemetry_path) } { "Metrics" } }
                        li { a href={ (prefix) "/-/healthy" } { "Health" } }
                        li { a href={ (prefix) "/-/ready" } { "Readiness" } }
                    }
                    p { "Version " (env!("CARGO_PKG_VERSION")) }
                }
            }
        }
    }
    .into_string()
}
