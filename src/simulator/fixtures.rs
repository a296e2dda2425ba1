//! The fixtures under `tests/fixtures`: what networks answer, as data, one directory a network.
//!
//! The same files feed the simulator (and through it `demo`) and the tests. A directory holds YAML
//! files with `app` (settings of the app that the answers speak of), `answers` (what the network
//! says to each call when all is well) and `cases` (what it says otherwise, and what that means).
//! Texts may hold markers: `{{id}}` the account's id, `{{token}}` the token that was sent,
//! `{{now+60d}}` an instant in Unix seconds, `{{iso now-1h}}` the same as RFC 3339.

use std::collections::BTreeMap;

use include_dir::{Dir, include_dir};
use serde::Deserialize;

use crate::model::{Timestamp, parse_duration};
use crate::network::NetworkId;

static FILES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/tests/fixtures");

/// Everything known about one network's answers.
#[derive(Debug)]
pub struct Fixtures {
    /// The network.
    pub network: NetworkId,
    /// Settings of the developer app that the answers speak of, by their key in the configuration.
    pub app: BTreeMap<String, String>,
    /// What it answers to each call when all is well; for networks with several APIs by `api/call`.
    pub healthy: BTreeMap<String, Reply>,
    /// What it answers otherwise.
    pub cases: Vec<Case>,
}

/// One file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    app: BTreeMap<String, String>,
    answers: BTreeMap<String, Reply>,
    cases: Vec<Case>,
}

/// One situation, what the network answers in it, and what that means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Names the situation: lower case, with dashes, unique in its network.
    pub name: String,
    /// Where the shape of the answer comes from.
    pub source: String,
    /// The account around it.
    #[serde(default)]
    pub context: CaseContext,
    /// Answers by call; to other calls the network answers as when all is well. A name that is none
    /// of the network's calls stands for a call that a probe never makes.
    pub answers: BTreeMap<String, Reply>,
    /// What it means: the single answer read alone, or the whole probe if there are several.
    pub expect: Expect,
    /// What the whole probe says, where that differs.
    #[serde(default)]
    pub probe: Option<Expect>,
    /// The account that shows this case in the demo.
    #[serde(default)]
    pub demo: Option<DemoAccount>,
}

/// What is configured for a case's account.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaseContext {
    /// Which of the network's APIs.
    pub api: Option<String>,
    /// `oauth1` or `oauth2`.
    pub auth: Option<String>,
    /// When the access token ends (may hold a marker).
    pub expires_at: Option<String>,
    /// When the refresh token ends (may hold a marker).
    pub refresh_expires_at: Option<String>,
    /// The configured scopes.
    pub scopes: Option<Vec<String>>,
    /// What the account is used for.
    pub needs: Option<Vec<String>>,
    /// Page, profile…
    pub kind: Option<String>,
    /// The network's id of the account.
    pub external_id: Option<String>,
}

/// One answer, or a fault in its place.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reply {
    /// The HTTP status; 200 if absent.
    pub status: Option<u16>,
    /// The headers.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
    /// A fault to play instead.
    pub fault: Option<NetworkFault>,
}

/// How a network can fail to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkFault {
    /// No answer until the client gives up.
    Slow,
    /// The connection ends in the middle of the body.
    CutOff,
    /// The connection ends before any answer.
    Reset,
    /// A body without an end.
    Oversized,
    /// A small body that unpacks to a huge one.
    GzipBomb,
}

/// What a case means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// `valid`, `invalid` or `undetermined`.
    pub verdict: String,
    /// For invalid.
    #[serde(default)]
    pub reason: Option<String>,
    /// For undetermined.
    #[serde(default)]
    pub cause: Option<String>,
    /// Needed capabilities, each `ok` or a reason; unchecked if absent.
    #[serde(default)]
    pub capabilities: Option<BTreeMap<String, String>>,
    /// Whether a second probe has to confirm it; unchecked if absent.
    #[serde(default)]
    pub ambiguous: Option<bool>,
    /// Clocks (`access`, `refresh`, `data_access`, `issued`), each `never` or a marker; unchecked
    /// if absent.
    #[serde(default)]
    pub clocks: BTreeMap<String, String>,
}

/// An account of the demo.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemoAccount {
    /// Its name.
    pub name: String,
    /// `owned`, `paid` or `monitored`.
    #[serde(default, rename = "use")]
    pub purpose: Option<String>,
    /// Its team label.
    #[serde(default)]
    pub team: Option<String>,
    /// Who connected it.
    #[serde(default)]
    pub connected_by: Option<String>,
    /// Ids of further accounts behind the same login.
    #[serde(default)]
    pub also: Vec<String>,
    /// Something else refreshes the token.
    #[serde(default)]
    pub auto_refresh: bool,
}

/// All fixtures, in the order of the networks.
///
/// # Errors
/// When a file is not as described: a mistake in this repository, told by file and position.
pub fn load_fixtures() -> anyhow::Result<Vec<Fixtures>> {
    NetworkId::all().map(load_network).collect()
}

fn load_network(network: NetworkId) -> anyhow::Result<Fixtures> {
    let mut fixtures =
        Fixtures { network, app: BTreeMap::new(), healthy: BTreeMap::new(), cases: Vec::new() };
    let files = FILES.get_dir(network.name()).map(Dir::files).into_iter().flatten();
    for file in files.filter(|f| f.path().extension().is_some_and(|e| e == "yaml")) {
        let text = file.contents_utf8().unwrap_or_default();
        let parsed: File =
            serde_yaml::from_str(text).map_err(|e| anyhow::anyhow!("{}: {e}", file.path().display()))?;
        fixtures.app.extend(parsed.app);
        fixtures.healthy.extend(parsed.answers);
        fixtures.cases.extend(parsed.cases);
    }
    Ok(fixtures)
}

/// Fills the markers of a text.
pub fn fill(text: &str, now: Timestamp, id: &str, token: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find("{{") {
        let Some(length) = rest[open..].find("}}") else { break };
        out.push_str(&rest[..open]);
        let marker = &rest[open + 2..open + length];
        match marker {
            "id" => out.push_str(id),
            "token" => out.push_str(token),
            _ => match (marker.strip_prefix("iso ").and_then(|m| moment(m, now)), moment(marker, now)) {
                (Some(instant), _) => out.push_str(&instant.to_string()),
                (None, Some(instant)) => out.push_str(&instant.unix().to_string()),
                // Not a marker: JSON inside JSON can look like one.
                (None, None) => out.push_str(&rest[open..open + length + 2]),
            },
        }
        rest = &rest[open + length + 2..];
    }
    out.push_str(rest);
    out
}

/// `now`, `now+60d`, `now-1h`.
fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    let offset = text.trim().strip_prefix("now")?;
    let seconds = |text: &str| parse_duration(text).and_then(|d| i64::try_from(d.as_secs()).ok());
    match offset.split_at_checked(1) {
        None => Some(now),
        Some(("+", amount)) => seconds(amount).map(|s| now.plus(s)),
        Some(("-", amount)) => seconds(amount).map(|s| now.plus(-s)),
        Some(_) => None,
    }
}
