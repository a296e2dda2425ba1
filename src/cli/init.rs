//! `init`: writes a configuration to begin with.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::options::CONFIG_FILE;
use super::print;
use super::recipe::known;
use crate::network::{AppNeed, NetworkId};

#[derive(Debug, Args)]
pub(super) struct Init {
    /// Read the accounts of this product (`token_exporter recipe` lists the names); without it, they
    /// are listed in files
    recipe: Option<String>,
    /// File to write; an existing one is never replaced
    #[arg(long = "config.file", value_name = "FILE", default_value = CONFIG_FILE)]
    file: PathBuf,
}

const HEAD: &str = "\
# What token_exporter watches. Next:
#   token_exporter --config.check    tells what is wrong with this file
#   token_exporter check             probes all accounts once, the worst first
#   token_exporter                   serves metrics and the status page at http://localhost:10219
global:
  notify: [ops@example.com]         # gets the mails about accounts that name nobody else

# The developer apps through which people have connected their accounts. Delete those that you do not have.
apps:
";

const FILES: &str = "
# Who has connected accounts, with the token that the network has issued.
credentials:
  - id: jane-facebook
    network: facebook
    connected_by: Jane Doe
    token_file: secrets/jane-facebook   # a bare token, or the token response as JSON

# The pages, profiles and channels behind these tokens.
accounts:
  - id: acme-page
    name: ACME on Facebook
    network: facebook
    external_id: \"1000001\"            # the network's own id of it
    credential: jane-facebook
    needs: [publish, inbox]             # what the product does: publish, inbox, analytics, ads

# Further accounts, in the same form.
# account_files: [accounts.d/*.yml]
";

impl Init {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let text = match &self.recipe {
            Some(name) => of_recipe(name, known(name)?),
            None => format!("{HEAD}{}{FILES}", apps(|network| network == "facebook")),
        };
        let path = self.file.display();
        let mut file = File::create_new(&self.file).with_context(|| format!("cannot write {path}"))?;
        file.write_all(text.as_bytes()).with_context(|| format!("cannot write {path}"))?;
        print(&format!("{path} is written; edit it, then run: token_exporter --config.check\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The apps of these networks that credentials cannot do without.
fn apps(wanted: impl Fn(&str) -> bool) -> String {
    let networks = NetworkId::all().filter(|network| wanted(network.name()));
    // OAuth 1.0a needs the secret of the app.
    let needed = |network: &NetworkId| {
        network.description().app == AppNeed::Required || (network.name() == "x" && wanted("token_secret"))
    };
    let networks = networks.filter(needed);
    let app = |network: NetworkId| {
        format!(
            "  - id: {network}\n    network: {network}\n    client_id: \"the app's id\"\n    \
             client_secret_file: secrets/{network}-app\n"
        )
    };
    networks.map(app).collect()
}

/// A recipe names the networks that it can list.
fn of_recipe(name: &str, recipe: &str) -> String {
    let words: Vec<&str> = recipe.split(|c: char| !(c.is_ascii_lowercase() || c == '_')).collect();
    let driver = ["mysql", "sqlite"].into_iter().find(|driver| recipe.contains(&format!("driver: {driver}")));
    let driver = driver.unwrap_or("postgres");
    let address = if driver == "sqlite" {
        "      database: /path/to/the/database.db\n".to_owned()
    } else {
        format!(
            "      host: 127.0.0.1\n      database: {name}\n      user: token_exporter     # needs to read \
             only\n      password_file: secrets/{name}-password\n"
        )
    };
    let salt = if recipe.contains("scheme: rails") {
        format!(", key_derivation_salt_file: secrets/{name}-salt")
    } else {
        String::new()
    };
    let decrypt = match (recipe.contains("decrypt:"), recipe.contains("encrypted: sometimes")) {
        (false, _) => String::new(),
        (true, false) => format!("      decrypt: {{key_file: secrets/{name}-key{salt}}}\n"),
        (true, true) => {
            format!("      # decrypt: {{key_file: secrets/{name}-key{salt}}}   # if it encrypts its tokens\n")
        }
    };
    format!(
        "{HEAD}{apps}\n# Its database, asked every five minutes.\n\
         #   token_exporter check --source {name}    shows what it lists\n\
         #   token_exporter recipe {name}            prints the query\n\
         sources:\n  - id: {name}\n    sql:\n      driver: {driver}\n\
         {address}      recipe: {name}\n{decrypt}",
        apps = apps(|network| words.contains(&network)),
    )
}
