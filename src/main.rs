//! The program: parses the command line, runs the subcommand and reports an error.
#![allow(clippy::print_stderr, reason = "errors are printed there")]

use std::process::ExitCode;

use token_exporter::cli::{Cli, FAILED};
use token_exporter::telemetry::flush_log;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let result = Cli::from_command_line().run();
    flush_log();
    result.unwrap_or_else(|error| {
        eprintln!("token_exporter: {error:#}");
        ExitCode::from(FAILED)
    })
}
