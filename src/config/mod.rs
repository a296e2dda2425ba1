//! The configuration and the web configuration: what their files say, once that is known to be
//! right.
//!
//! [`load`] reads all files, reports all problems in one run and resolves all references: a
//! [`Config`] need not be checked again. [`read_web_file`] does the same for the file of
//! `--web.config.file`, as far as YAML goes. This room sends no requests and reads no secrets, and
//! knows nothing of probes, their results or the server.

use std::time::Duration;

use crate::inventory::{App, Inventory, InventoryBuilder};

mod account_files;
mod accounts;
mod apps;
mod credentials;
mod field;
mod findings;
mod keep;
mod keys;
mod load;
mod mistakes;
mod probe_rules;
mod quoting;
mod schedule;
mod secrets;
mod validator;
mod web;
mod yaml;

pub use account_files::{FilePattern, open_regular};
pub use field::why_unreadable;
pub use findings::{Position, Problem, Problems};
pub use keys::keys;
pub use load::{load, load_keeping};
pub use quoting::looks_secret;
pub use schedule::{Notice, ScheduleRule, default_schedule};
pub use secrets::is_variable;
pub use web::{ClientAuth, Pem, Placed, Tls, TlsVersion, WebFile, WebRateLimit, read_web_file, web_keys};

#[derive(Clone, Debug, Default)]
pub struct Config {
    pub global: Global,
    pub apps: Vec<App>,
    /// The accounts, and the credentials behind them.
    pub table: InventoryBuilder,
    /// Which notices are sent. The first rule that matches an account counts.
    pub schedule: Vec<ScheduleRule>,
    /// The members of `account_files`, for watching: a new file that matches is part of the
    /// configuration.
    pub patterns: Vec<FilePattern>,
    pub warnings: Vec<Problem>,
    /// The problems of account files, of which the last good content stays.
    pub refused: Problems,
}

#[derive(Clone, Debug)]
pub struct Global {
    pub probe_interval: Option<Duration>,
    /// Maximum duration of one request.
    pub probe_timeout: Duration,
    /// Maximum number of probes that run at the same time.
    pub probe_concurrency: usize,
    /// Recipients of accounts that name none.
    pub notify: Vec<String>,
    /// Whether requests may go to private addresses.
    pub allow_private_networks: bool,
}

impl Default for Global {
    fn default() -> Self {
        Self {
            probe_interval: None,
            probe_timeout: Duration::from_secs(10),
            probe_concurrency: 64,
            notify: Vec::new(),
            allow_private_networks: false,
        }
    }
}

impl Config {
    /// The inventory of the credentials that `mine` picks (a shard's share) and of their accounts.
    pub fn inventory(self, mine: impl Fn(&str) -> bool) -> Inventory {
        Inventory::new(self.apps, self.table, self.global.probe_interval, mine)
    }
}
