//! Networks as pure code: which calls a probe makes, and what the answers mean.
//!
//! Must not open connections, read clocks or know metrics. A network is one file here, one folder
//! under `tests/fixtures`, and one line in the list below. Its main part is [`Network::read`], which
//! reads the answers of a probe and those that are given to `classify`.

use std::fmt;
use std::time::Duration;

mod conclude;
mod exchange;
mod google;
mod meta;
mod notice;
pub mod parse;
mod probe_rules;
mod reading;
mod standard;

pub use conclude::{Clocks, Finding, Known, Verdict, clocks, conclude};
pub use exchange::{Answer, Auth, Body, Call, CallInfo, Method, OAuth1Keys, Param, Question, Seen};
pub use notice::{
    KeyCalls, LoginNames, Notice, NoticeForm, NoticeKeys, NoticeRefusal, NoticeRequest, NoticeSet, Subject,
    user_hash,
};
pub use probe_rules::{ProbeField, ProbeRefusal, ProbeRules};
pub use reading::{
    Budget, Certainty, Facts, List, Listed, RateLimitStatus, Reach, Reading, Refusal, Reset, Says, Scopes,
    WriteFact,
};

use crate::model::{Capabilities, Capability, Cause, Reader, Reason, Secret, Steps, Timestamp};

/// Declares the networks. Each has its own module, or is in the module of a family.
macro_rules! networks {
    ($($(mod $module:ident)? $(in $family:ident)?: $network:ident,)*) => {
        $($(mod $module;)?)*

        /// Every network, in the order of the documentation.
        pub static NETWORKS: &[&dyn Network] = &[$(&$($module::)?$($family::)?$network),*];
    };
}

networks! {
    in meta: Facebook,
    in meta: Instagram,
    in meta: Threads,
    mod linkedin: LinkedIn,
    mod tiktok: TikTok,
    mod x: X,
    in google: YouTube,
    in google: GoogleBusiness,
    mod pinterest: Pinterest,
    mod bluesky: Bluesky,
    mod mastodon: Mastodon,
    mod oauth2: OAuth2,
}

/// One network: what to ask it, and what its answers mean.
pub trait Network: Sync {
    fn description(&self) -> &'static Description;

    /// What a capability needs; none if the network does not offer it.
    fn rights(&self, style: Style<'_>, kind: &str, capability: Capability) -> Option<&'static Rights>;

    /// The next calls, given what the answers so far said; none ends the probe.
    fn next(&self, grant: &Grant<'_>, seen: &[Seen]) -> Vec<Call>;

    /// What an answer means, given the answers before it; none if it is not recognised, which is
    /// *undetermined*, never *invalid*.
    fn read(&self, grant: &Grant<'_>, seen: &[Seen], question: Question, answer: &Answer) -> Option<Reading>;

    /// The probe interval unless another one is configured.
    fn default_interval(&self) -> Duration {
        Duration::from_secs(3600)
    }

    /// What an answer says about rate limits.
    fn limits(&self, _: &Answer) -> Vec<RateLimitStatus> {
        Vec::new()
    }

    /// Whether there still is an API for this kind of account. Accounts without one are invalid.
    fn supports(&self, _: &str) -> bool {
        true
    }

    /// What the shape of an answer tells about its grant, for `classify`.
    fn guess(&self, _question: Question, _external_id: Option<&str>, _: &Answer) -> Guess {
        Guess::default()
    }

    /// Whether a call about the whole grant matters for accounts of this kind.
    fn concerns(&self, _call: &'static CallInfo, _kind: &str) -> bool {
        true
    }

    /// How the network's own notices are received; none if it sends none about logins.
    fn notices(&self) -> Option<&'static NoticeForm> {
        None
    }

    /// How several calls are sent as one request; none if the network does not offer that.
    fn batch(&self, _style: Style<'_>) -> Option<&'static Batch> {
        None
    }
}

/// What is known about a network.
#[derive(Debug)]
pub struct Description {
    /// In configuration and labels.
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    /// For people.
    pub title: &'static str,
    /// Its APIs where there are several; the first is the default.
    pub apis: &'static [&'static str],
    pub app: AppNeed,
    /// Whether every probe needs the app's client secret.
    pub needs_secret: bool,
    /// Kinds of accounts; the first is the default.
    pub kinds: &'static [&'static str],
    /// Networks whose accounts can use a credential of this one.
    pub carries: &'static [&'static str],
    /// The default version of its API.
    pub api_version: Option<&'static str>,
    /// Versions of its API with their published ends.
    pub version_ends: &'static [(&'static str, &'static str)],
    /// Every call that a probe can make.
    pub calls: &'static [&'static CallInfo],
    /// How its tokens begin, and their minimum length. Such a text is never printed.
    pub token_prefixes: &'static [(&'static str, usize)],
    /// What to do about a reason; empty lists if the general steps apply.
    pub steps: fn(Reason) -> Steps,
    pub notes: Notes,
}

impl Description {
    /// What holds for a network that says nothing else of itself.
    pub const DEFAULT: Description = Description {
        name: "",
        aliases: &[],
        title: "",
        apis: &[],
        app: AppNeed::Optional,
        needs_secret: false,
        kinds: &["profile"],
        carries: &[],
        api_version: None,
        version_ends: &[],
        calls: &[],
        token_prefixes: &[],
        steps: |_| Steps::NONE,
        notes: Notes { lifetimes: &[], tells: &[], cannot_tell: &[], only_writes: &[], interval: "" },
    };
}

/// Sentences about a network for the documentation, with their source where it matters.
#[derive(Debug)]
pub struct Notes {
    /// How long logins live, and where a probe learns of their end.
    pub lifetimes: &'static [&'static str],
    /// What its answers distinguish.
    pub tells: &'static [&'static str],
    /// What no read-only probe can see or distinguish.
    pub cannot_tell: &'static [&'static str],
    /// What the network tells only those who write, and how it is read.
    pub only_writes: &'static [&'static str],
    /// How often to probe, and why.
    pub interval: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppNeed {
    /// A credential cannot be probed without one.
    Required,
    /// A probe without one tells less.
    Optional,
    /// The network has no apps.
    None,
}

/// What a capability needs.
#[derive(Debug)]
pub struct Rights {
    /// One scope of each group; a group's first name stands for it in metrics.
    pub scopes: &'static [&'static [&'static str]],
    /// Any of these roles; empty if roles do not matter.
    pub roles: &'static [&'static str],
}

impl Rights {
    pub const fn scopes(scopes: &'static [&'static [&'static str]]) -> Self {
        Self { scopes, roles: &[] }
    }
}

/// What the scopes and calls of a grant depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Style<'a> {
    /// Empty if the network has only one.
    pub api: &'a str,
    /// OAuth 1.0a instead of 2.0.
    pub oauth1: bool,
}

/// What the shape of an answer tells of its grant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Guess {
    pub api: Option<&'static str>,
    pub oauth1: bool,
    pub kind: Option<&'static str>,
}

/// The developer app of a grant, as a network sees it.
#[derive(Clone, Debug, Default)]
pub struct ResolvedApp {
    pub client_id: String,
    pub client_secret: Option<Secret>,
    /// The network's default if none is configured.
    pub api_version: String,
    /// Endpoints of a generic provider, by the name of their setting.
    pub endpoints: Vec<(&'static str, String)>,
    /// How the answers of a generic provider's probe URL are read.
    pub probe_rules: ProbeRules,
}

/// The tokens of a grant, as a network sees them.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub access: Secret,
    /// Of OAuth 1.0a.
    pub secret: Option<Secret>,
    /// For networks that can be asked about it without using it.
    pub refresh: Option<Secret>,
    /// From the token response or the configuration.
    pub scopes: Option<Vec<String>>,
}

/// One account of a grant, as a network sees it.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// Not always that of the grant: Instagram accounts can use a Facebook login.
    pub network: NetworkId,
    pub kind: &'a str,
    /// The network's id of it.
    pub external_id: Option<&'a str>,
    pub needs: Capabilities,
}

/// One person's grant and its accounts: what a probe is about.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    pub style: Style<'a>,
    pub app: &'a ResolvedApp,
    pub tokens: &'a Tokens,
    pub accounts: &'a [Account<'a>],
}

#[derive(Debug)]
pub struct Batch {
    /// Maximum number of calls in one batch.
    pub max: usize,
    pub pack: fn(&ResolvedApp, &[&Call]) -> Call,
    /// An answer for each call, none for one that was cut off; none at all if it is not a batch's.
    pub unpack: fn(&Answer, usize) -> Option<Vec<Option<Answer>>>,
}

/// A network, as its index in [`NETWORKS`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkId(u8);

impl NetworkId {
    pub fn all() -> impl Iterator<Item = Self> {
        (0..NETWORKS.len()).filter_map(|i| u8::try_from(i).ok()).map(Self)
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|id| {
            let description = id.description();
            description.name == name || description.aliases.contains(&name)
        })
    }

    pub fn network(self) -> &'static dyn Network {
        NETWORKS[usize::from(self.0)]
    }

    pub fn description(self) -> &'static Description {
        self.network().description()
    }

    pub fn name(self) -> &'static str {
        self.description().name
    }

    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Names under which networks and clients ask about the token's own account, without separators.
const OWN_ACCOUNT: &[&str] = &["me", "usersme", "verifycredentials"];

impl Description {
    /// Whether a text looks like a version of this API: like the default one, with other digits. Six
    /// digits are a year and a month.
    pub fn is_version(&self, text: &str) -> bool {
        let form = |text: &str| {
            let mut form = text.replace(|c: char| c.is_ascii_digit(), "0");
            while form.contains("00") {
                form = form.replace("00", "0");
            }
            form
        };
        let month =
            |text: &str| text.get(4..6).and_then(|m| m.parse().ok()).is_some_and(|m| (1..=12).contains(&m));
        let dated = |text: &str| text.len() == 6 && form(text) == "0" && month(text);
        self.api_version.is_some_and(|like| {
            form(text) == form(like) && text.len() <= like.len() + 1 && (!dated(like) || dated(text))
        })
    }

    /// When a version of the API ends; none if the network has not published it.
    pub fn version_end(&self, version: &str) -> Option<Timestamp> {
        let (_, day) = self.version_ends.iter().find(|(known, _)| *known == version)?;
        Timestamp::parse(&format!("{day}T00:00:00Z"))
    }

    /// The call with this name, path or request line; none if a probe never makes it.
    pub fn call(&self, text: &str) -> Option<&'static CallInfo> {
        let text = text.trim();
        let target = text.split_once(' ').map_or(text, |(_, rest)| rest.trim());
        // "voiceOfMerchantState" and "voice_of_merchant_state" are the same name.
        let folded = |name: &str| name.replace(['_', '-', '/'], "").to_lowercase();
        let calls = || self.calls.iter().copied();
        if let Some(exact) = calls().find(|c| folded(c.name) == folded(target)) {
            return Some(exact);
        }
        let own = |name: &str| OWN_ACCOUNT.contains(&folded(name).as_str());
        if let Some(own) = calls().find(|c| own(target) && own(c.name)) {
            return Some(own);
        }
        let path = target.find("://").map_or(target, |at| {
            let rest = &target[at + 3..];
            rest.find('/').map_or("/", |slash| &rest[slash..])
        });
        let path = path.split(['?', '#']).next().unwrap_or(path);
        // "me/accounts" and "me_accounts" mean "/{version}/me/accounts". That comes first, as "me" is
        // no version.
        let wanted = folded(path.trim_end_matches(".json"));
        let by_its_end = calls().find(|c| {
            let known = c.path().trim_end_matches(".json");
            let mut ends = known.match_indices('/').skip(1).map(|(at, _)| folded(&known[at..]));
            !wanted.is_empty() && ends.any(|end| end == wanted)
        });
        by_its_end.or_else(|| calls().find(|c| parse::path_matches(c.path(), path)))
    }
}

/// Reads an answer. One that the network does not recognise is *undetermined*.
pub fn read_answer(
    network: &dyn Network,
    grant: &Grant<'_>,
    seen: &[Seen],
    question: Question,
    answer: &Answer,
) -> Reading {
    let read = network.read(grant, seen, question, answer);
    // A limit says nothing about an account, whatever else stands in the answer.
    let read = read.map(|reading| if answer.is(429) { reading.under(answer.status) } else { reading });
    read.unwrap_or_else(|| {
        Reading::undetermined(match answer.status {
            Some(429) => Cause::RateLimited,
            Some(500..) => Cause::ServerError,
            _ => Cause::UnexpectedAnswer,
        })
    })
}

/// What a reader has to do about a reason at a network, in order.
pub fn advice(reason: Reason, network: NetworkId, reader: Reader) -> &'static [&'static str] {
    let (own, general) = ((network.description().steps)(reason), reason.info().steps);
    let lists = [own.list(reader), general.list(reader), own.connector];
    lists.into_iter().find(|list| !list.is_empty()).unwrap_or(general.connector)
}

/// Whether the steps of a reader are those of the person who connected, to be passed on.
pub fn is_passed_on(reason: Reason, network: NetworkId, reader: Reader) -> bool {
    let (own, general) = ((network.description().steps)(reason), reason.info().steps);
    reader != Reader::Connector && own.list(reader).is_empty() && general.list(reader).is_empty()
}

impl Grant<'_> {
    pub fn account(&self, question: Question) -> Option<&Account<'_>> {
        question.about.and_then(|i| self.accounts.get(i))
    }
}
