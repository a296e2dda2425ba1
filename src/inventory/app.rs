//! The developer apps through which tokens were issued, as configured.

use std::time::Duration;

use url::Url;

use super::SecretSource;
use crate::network::NetworkId;

/// A developer app.
#[derive(Clone, Debug)]
pub struct App {
    /// Its name here.
    pub id: String,
    /// Where it is registered.
    pub network: NetworkId,
    /// Which of the network's APIs it uses; empty where there is one.
    pub api: &'static str,
    /// The network's id of it; empty where the network needs none.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Option<SecretSource>,
    /// The version of the API; the network's default is filled in.
    pub api_version: String,
    /// Takes the place of scheme, host and prefix of the network's hosts.
    pub base_url: Option<Url>,
    /// How many requests the network allows.
    pub rate_limit: Option<RateLimit>,
    /// Endpoints of a generic provider, by the name of their setting.
    pub endpoints: Vec<(&'static str, String)>,
}

/// So many requests in such a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many.
    pub count: u32,
    /// In which time.
    pub per: Duration,
}
