//! `man`: writes the manual pages.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Command, CommandFactory as _};

use super::Cli;

#[derive(Debug, Args)]
pub(super) struct Man {
    /// Folder to write to, such as /usr/local/share/man/man1
    folder: PathBuf,
}

impl Man {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        std::fs::create_dir_all(&self.folder)
            .and_then(|()| write_pages(&command, &self.folder))
            .with_context(|| format!("cannot write to {}", self.folder.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes the page of a command and those of its subcommands.
fn write_pages(command: &Command, folder: &Path) -> io::Result<()> {
    let source = concat!("token_exporter ", env!("CARGO_PKG_VERSION"));
    // The quotes hold the place of the date: pages without one are the same whenever they are written.
    clap_mangen::Man::new(command.clone()).date("\"\"").source(source).generate_to(folder)?;
    command.get_subcommands().try_for_each(|subcommand| write_pages(subcommand, folder))
}
