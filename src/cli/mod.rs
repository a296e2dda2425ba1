//! The command line: one file for each subcommand, with its arguments and what it does.
//!
//! The last room: it may use all the others, and none of them knows it.
#![allow(clippy::print_stderr, reason = "problems are printed there")]

mod check;
mod classify;
mod completions;
mod demo;
mod digest;
mod generate;
mod healthcheck;
mod init;
mod man;
mod options;
mod recipe;
mod schedule;
mod serve;
mod web;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

use crate::daemon::signals;

/// Exit code for a program that could not do its work.
pub const FAILED: u8 = 2;

/// What `--version` prints after the name, in the format of Prometheus' programs.
const VERSION: &str = concat!(
    "version ",
    env!("CARGO_PKG_VERSION"),
    " (branch: ",
    env!("BUILD_BRANCH"),
    ", revision: ",
    env!("BUILD_REVISION"),
    ")\n  rust version:     ",
    env!("BUILD_RUST_VERSION"),
    "\n  platform:         ",
    env!("BUILD_TARGET"),
    "\n  features:         ",
    env!("BUILD_FEATURES"),
);

/// Tells which social-media connection is about to expire or has broken, why, and what to do.
#[derive(Debug, Parser)]
#[command(
    name = "token_exporter",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Cli {
    /// `serve` if absent.
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    pub serve: serve::Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Probe all accounts regularly and serve metrics
    Serve(serve::Serve),
    /// Run the exporter against an embedded simulator of the networks; needs no configuration
    Demo(demo::Demo),
    /// Probe accounts once and print the worst first; exit code 0 all valid, 1 some invalid, 2 could
    /// not run, 3 some undetermined
    Check(check::Check),
    /// List the mails to come: when, to whom and about which accounts; probes every account once
    Schedule(schedule::Schedule),
    /// Write one mail for each person who wants one a day: what does not work, what ends soon and what
    /// is back; exit code 0 done or nothing to do, 1 some mails could not be sent, 2 could not run
    Digest(digest::DigestCommand),
    /// Tell what an answer of a network means; reads the body from standard input
    Classify(classify::Classify),
    /// Print Prometheus rules or an Alertmanager configuration made from the schedule
    #[command(subcommand)]
    Generate(generate::Generate),
    /// Write a commented configuration to begin with, for a product's database or for files
    Init(init::Init),
    /// Print how the accounts of a product are read from its database
    Recipe(recipe::Recipe),
    /// Ask a running exporter whether it is healthy; exit code 0 if so, 1 if not
    Healthcheck(healthcheck::Healthcheck),
    /// Print a script with which a shell completes the commands and options
    Completions(completions::Completions),
    /// Write the manual pages: one for the program and one for each command
    Man(man::Man),
}

impl Cli {
    /// Reads the command line. Ends the process if it is wrong, or asks for help or the version.
    #[must_use]
    pub fn from_command_line() -> Self {
        // The name is printed before the version.
        let command = Self::command().display_name("token_exporter,").version(VERSION);
        Self::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
    }

    /// # Errors
    /// When it could not do its work; the exit code is then [`FAILED`].
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            None => self.serve.run(),
            Some(Command::Serve(serve)) => serve.run(),
            Some(Command::Demo(demo)) => demo.run(),
            Some(Command::Check(check)) => check.run(),
            Some(Command::Schedule(schedule)) => schedule.run(),
            Some(Command::Digest(digest)) => digest.run(),
            Some(Command::Classify(classify)) => classify.run(),
            Some(Command::Generate(generate)) => generate.run(),
            Some(Command::Init(init)) => init.run(),
            Some(Command::Recipe(recipe)) => recipe.run(),
            Some(Command::Healthcheck(healthcheck)) => Ok(healthcheck.run()),
            Some(Command::Completions(completions)) => completions.run(),
            Some(Command::Man(man)) => man.run(),
        }
    }
}

/// Writes to standard output. A reader that has gone (`| head`) is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

/// The width of tables in columns: the terminal's, or else what COLUMNS says, or 80.
fn table_width() -> usize {
    let terminal = std::io::stdout().is_terminal().then(|| console::Term::stdout().size().1.into());
    let variable = || std::env::var("COLUMNS").ok()?.parse().ok();
    terminal.or_else(variable).unwrap_or(80)
}

/// Runs a command that ends by itself. If a signal ends it before, what it has started is ended, too.
async fn until_stopped<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let (mut stop, mut hangup) = signals().context("cannot watch signals")?;
    tokio::select! {
        result = work => return result,
        _ = stop.changed() => {}
        _ = hangup.recv() => {}
    }
    anyhow::bail!("stopped by a signal")
}

/// Runs to the end. Tasks that still hang then, on a disk that does not answer for example, do not
/// keep the process alive.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(async {
        // With a handler, a write beyond a limit on file sizes fails like one to a full disk.
        let _handler = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()));
        work.await
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}
