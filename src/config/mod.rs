//! placeholder until the configuration lands.
#![allow(missing_docs)]
use crate::network::NetworkId;
use crate::reason::{Capabilities, Use};
use crate::time::Timestamp;
use crate::token::SecretSource;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

#[derive(Debug)]
pub struct Config {
    pub global: Global,
    pub apps: Vec<App>,
    pub credentials: Vec<Credential>,
    pub accounts: Vec<Account>,
    pub files: Vec<PathBuf>,
    pub warnings: Vec<String>,
}
#[derive(Debug)]
pub struct Global {
    pub probe_interval: Duration,
    pub probe_timeout: Duration,
    pub probe_concurrency: usize,
    pub notify: Vec<String>,
    pub allow_private_networks: bool,
}
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    pub count: u32,
    pub per: Duration,
}
#[derive(Debug, Clone)]
pub struct App {
    pub id: String,
    pub network: NetworkId,
    pub api: &'static str,
    pub client_id: String,
    pub client_secret: Option<SecretSource>,
    pub api_version: String,
    pub base_url: Option<Url>,
    pub rate_limit: Option<RateLimit>,
    pub endpoints: Vec<(&'static str, String)>,
}
#[derive(Debug, Clone)]
pub struct Credential {
    pub id: String,
    pub network: NetworkId,
    pub app: Option<usize>,
    pub connected_by: Option<String>,
    pub token: SecretSource,
    pub token_secret: Option<SecretSource>,
    pub expires_at: Option<Timestamp>,
    pub refresh_expires_at: Option<Timestamp>,
    pub auto_refresh: bool,
    pub scopes: Option<Vec<String>>,
    pub base_url: Option<Url>,
}
#[derive(Debug)]
pub struct Account {
    pub id: String,
    pub name: String,
    pub network: NetworkId,
    pub kind: String,
    pub external_id: Option<String>,
    pub credential: usize,
    pub needs: Capabilities,
    pub purpose: Use,
    pub labels: Vec<(String, String)>,
    pub notify: Vec<String>,
    pub reconnect_url: Option<String>,
    pub probe_interval: Option<Duration>,
}
pub fn load(_paths: &[PathBuf]) -> Result<Config, String> {
    Err(String::new())
}
