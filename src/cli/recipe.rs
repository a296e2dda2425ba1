//! `recipe`: prints how the accounts of a product are read, to be changed if need be.

use std::process::ExitCode;

use clap::Args;

use super::print;
use crate::config;

#[derive(Debug, Args)]
pub(super) struct Recipe {
    /// Name of the product; lists all names if it is missing
    name: Option<String>,
}

impl Recipe {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let Some(name) = &self.name else {
            print(&(config::recipes().join("\n") + "\n"))?;
            return Ok(ExitCode::SUCCESS);
        };
        print(known(name)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The text of a recipe.
pub(super) fn known(name: &str) -> anyhow::Result<&'static str> {
    let known = || format!("no recipe is named {name}; there are {}", config::recipes().join(", "));
    config::recipe(name).ok_or_else(|| anyhow::anyhow!(known()))
}
