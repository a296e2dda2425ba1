//! The fixtures under `tests/fixtures`: what networks answer, as data, one directory per network.
//!
//! The simulator and the tests use the same files. A YAML file has up to three parts: `app` (the
//! settings of the developer app that the answers are about), `answers` (the answer to each call of
//! a healthy account) and `cases` (answers in other situations, and what they mean).
//! Texts may contain markers: `{{id}}` is the account's id, `{{token}}` the token that was sent,
//! `{{now+60d}}` a time in Unix seconds, and `{{iso now-1h}}` a time in RFC 3339.

use std::collections::BTreeMap;

use include_dir::{Dir, include_dir};
use serde::Deserialize;

use crate::model::{Timestamp, parse_duration};
use crate::network::NetworkId;

static FILES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/tests/fixtures");

#[derive(Debug)]
pub struct Fixtures {
    pub network: NetworkId,
    /// Settings of the developer app, by key of the configuration.
    pub app: BTreeMap<String, String>,
    /// The answers for a healthy account by call, or by `api/call` for networks with several APIs.
    pub healthy: BTreeMap<String, Reply>,
    pub cases: Vec<Case>,
}

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
    /// Lower case, with dashes, unique in its network.
    pub name: String,
    /// Where the shape of the answer comes from.
    pub source: String,
    #[serde(default)]
    pub context: CaseContext,
    /// Answers by call; other calls are answered as for a healthy account. A name that is no call of
    /// the network stands for a call that no probe makes.
    pub answers: BTreeMap<String, Reply>,
    /// What the answer means when it is classified alone or, if there are several, what the whole
    /// probe finds.
    pub expect: Expect,
    /// What the whole probe finds, if that differs.
    pub probe: Option<Expect>,
    pub demo: Option<DemoAccount>,
}

/// The configuration of a case's account. Times may be markers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaseContext {
    pub api: Option<String>,
    /// `oauth1` or `oauth2`.
    pub auth: Option<String>,
    pub expires_at: Option<String>,
    pub refresh_expires_at: Option<String>,
    pub scopes: Option<Vec<String>>,
    pub needs: Option<Vec<String>>,
    pub kind: Option<String>,
    pub external_id: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reply {
    /// The HTTP status; 200 if absent.
    pub status: Option<u16>,
    pub headers: BTreeMap<String, String>,
    pub body: String,
    /// A fault instead of an answer.
    pub fault: Option<NetworkFault>,
}

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

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// `valid`, `invalid` or `undetermined`.
    pub verdict: String,
    /// For invalid.
    pub reason: Option<String>,
    /// For undetermined.
    pub cause: Option<String>,
    /// For `app_misconfigured`: what is wrong with the app; unchecked if absent.
    pub problem: Option<String>,
    /// The rate limits that the answer tells, each `app` or `grant`; unchecked if absent.
    pub budgets: Option<BTreeMap<String, String>>,
    /// Needed capabilities, each `ok` or a reason; unchecked if absent.
    pub capabilities: Option<BTreeMap<String, String>>,
    /// Whether a second probe has to confirm it; unchecked if absent.
    pub ambiguous: Option<bool>,
    /// What only a write shows: `content`, or the reason of a block and how long it lasts
    /// (`account_restricted 12h`).
    pub write: Option<String>,
    /// Clocks (`access`, `refresh`, `data_access`, `issued`), each `never` or a marker; unchecked if
    /// absent.
    #[serde(default)]
    pub clocks: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemoAccount {
    pub name: String,
    /// `owned`, `paid` or `monitored`.
    #[serde(rename = "use")]
    pub purpose: Option<String>,
    pub team: Option<String>,
    pub connected_by: Option<String>,
    /// Ids of further accounts of the same credential.
    #[serde(default)]
    pub also: Vec<String>,
    #[serde(default)]
    pub auto_refresh: bool,
    /// What the product thinks of it.
    pub state: Option<String>,
    /// When it is next used, as a time that can be filled in.
    pub next_use: Option<String>,
}

/// All fixtures, in the order of the networks.
///
/// # Errors
/// When a file is not as described, which is a mistake in this repository.
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

/// Replaces the markers of a text. What is no marker stays: JSON inside JSON can look like one.
pub fn fill(text: &str, now: Timestamp, id: &str, token: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, (marker, after))) =
        rest.split_once("{{").and_then(|(before, rest)| Some((before, rest.split_once("}}")?)))
    {
        out.push_str(before);
        out += &match marker {
            "id" => id.to_owned(),
            "token" => token.to_owned(),
            _ => match (marker.strip_prefix("iso ").and_then(|m| moment(m, now)), moment(marker, now)) {
                (Some(instant), _) => instant.to_string(),
                (None, Some(instant)) => instant.unix().to_string(),
                (None, None) => format!("{{{{{marker}}}}}"),
            },
        };
        rest = after;
    }
    out + rest
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
