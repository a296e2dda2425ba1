//! The developer apps through which tokens were issued, and the sources of secrets, as configured.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::model::{Secret, Timestamp};
use crate::network::{NetworkId, ProbeRules};

#[derive(Clone, Debug)]
pub struct App {
    pub id: String,
    pub network: NetworkId,
    /// Which of the network's APIs it uses; empty if there is only one.
    pub api: &'static str,
    /// The network's id of the app; empty if the network does not need one.
    pub client_id: String,
    pub client_secret: Option<SecretSource>,
    /// The network's default if none is configured.
    pub api_version: String,
    /// Replaces scheme, host and path prefix of the network's API.
    pub base_url: Option<Url>,
    pub rate_limit: Option<RateLimit>,
    /// Endpoints of a generic provider, by the name of their setting.
    pub endpoints: Vec<(&'static str, String)>,
    pub probe_rules: ProbeRules,
}

impl App {
    /// When the version of the API that it uses ends, if the network has published that.
    pub fn version_end(&self) -> Option<Timestamp> {
        self.network.description().version_end(&self.api_version)
    }
}

/// At most `count` requests in `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    pub count: u32,
    pub per: Duration,
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A file, read on every probe.
    File(PathBuf),
    Env(String),
    /// A program and its arguments; the secret is what it prints.
    Command(Vec<String>),
    Inline(Secret),
    /// Unknown until the source of the credential answers.
    Unread,
}
