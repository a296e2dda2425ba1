//! A simulator of all networks on loopback, for the demo and for tests.
//!
//! It must not know how a probe works, nor what the exporter makes of an answer.

mod demo;
mod fixtures;
mod server;

pub use demo::{
    ACCOUNTS_PER_FILE, DEMO_ID, DEMO_REPORTER_TOKEN, demo_config, demo_reports, generated_config,
    single_case_config,
};
pub use fixtures::{
    Case, CaseContext, DemoAccount, Expect, Fixtures, NetworkFault, Reply, fill, load_fixtures,
};
pub use server::{Simulator, fixture_token};
