//! Reads the query of a URL, and reports all of its problems together.

use std::time::Duration;

use url::form_urlencoded::{Serializer, parse};

use super::ConnectionState;
use crate::model::{Reason, Use, format_duration, parse_duration};
use crate::network::NetworkId;

/// Default number of connections on a page.
const PER_PAGE: usize = 100;
/// Maximum number of connections on a page.
pub const MAX_PER_PAGE: usize = 1000;
/// Maximum number of characters to search for.
const MAX_SEARCH: usize = 200;
/// Maximum length of a mail address, in bytes.
const MAX_ADDRESS: usize = 254;
/// Maximum number of values in a query. Each may be compared with every connection.
const MAX_VALUES: usize = 100;

/// The fixed parameters. All others are names of labels from the configuration.
pub const PARAMETERS: [&str; 10] =
    ["q", "network", "reason", "state", "use", "recipient", "expires_within", "sort", "page", "per_page"];
/// The value of `sort` for the nearest use first.
pub const NEXT_USE: &str = "next_use";

/// A query. Values of the same parameter are alternatives; different parameters must all match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Words that must all occur in the name, the ids or the person who connected the account.
    pub search: String,
    /// Empty for all networks. The same holds for the lists below.
    pub networks: Vec<NetworkId>,
    pub reasons: Vec<Reason>,
    pub states: Vec<ConnectionState>,
    pub uses: Vec<Use>,
    /// Mail addresses: of accounts that they are told of, in single mails or digests.
    pub recipients: Vec<String>,
    pub labels: Vec<(String, String)>,
    /// Only connections that are not disconnected and have a deadline within this time.
    pub expires_within: Option<Duration>,
    /// Whether those that are used next come first, instead of the most urgent.
    pub by_next_use: bool,
    /// The number of the page, from 1.
    pub page: usize,
    pub per_page: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            search: String::new(),
            networks: Vec::new(),
            reasons: Vec::new(),
            states: Vec::new(),
            uses: Vec::new(),
            recipients: Vec::new(),
            labels: Vec::new(),
            expires_within: None,
            by_next_use: false,
            page: 1,
            per_page: PER_PAGE,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryProblem {
    pub parameter: String,
    pub found: String,
    /// A description of valid values.
    pub expected: String,
}

impl Query {
    /// Reads the part of a URL behind its question mark. `labels` are the names of labels from the
    /// configuration.
    ///
    /// # Errors
    /// All problems of the query.
    pub fn parse<'l>(
        raw: &str,
        labels: impl Iterator<Item = &'l str> + Clone,
    ) -> Result<Self, Vec<QueryProblem>> {
        let mut query = Self::default();
        let mut problems = Vec::new();
        let mut values = 0_usize;
        for (name, value) in parse(raw.as_bytes()) {
            // Forms also send their empty fields.
            if value.is_empty() {
                continue;
            }
            values += 1;
            if values > MAX_VALUES {
                problems.push(QueryProblem {
                    parameter: name.into_owned(),
                    found: "one value too many".to_owned(),
                    expected: format!("at most {MAX_VALUES} values"),
                });
                break;
            }
            let read = if PARAMETERS.contains(&&*name) {
                query.read(&name, &value)
            } else if labels.clone().any(|label| label == name) {
                query.labels.push((name.to_string(), value.to_string()));
                Ok(())
            } else {
                let known = listed(labels.clone().take(20));
                let labels = if known.is_empty() { known } else { format!(", or a label: {known}") };
                Err(format!("one of the parameters {}{labels}", PARAMETERS.join(", ")))
            };
            if let Err(expected) = read {
                problems.push(QueryProblem {
                    parameter: name.into_owned(),
                    found: value.chars().take(MAX_SEARCH).collect(),
                    expected,
                });
            }
        }
        if problems.is_empty() { Ok(query) } else { Err(problems) }
    }

    /// Reads a value of a parameter, or describes valid values.
    fn read(&mut self, parameter: &str, value: &str) -> Result<(), String> {
        match parameter {
            "q" if value.chars().count() > MAX_SEARCH => {
                return Err(format!("at most {MAX_SEARCH} characters"));
            }
            "q" if self.search.is_empty() => value.trim().clone_into(&mut self.search),
            "q" => return Err("a single search with all words in one value".to_owned()),
            "network" => {
                add(&mut self.networks, NetworkId::from_name(value), NetworkId::all().map(NetworkId::name))?;
            }
            "reason" => {
                add(&mut self.reasons, Reason::from_label(value), broken().map(|r| r.info().label))?;
            }
            "state" => {
                let all = ConnectionState::ALL.iter().map(|s| s.label());
                add(&mut self.states, ConnectionState::from_label(value), all)?;
            }
            "use" => add(&mut self.uses, Use::from_label(value), Use::ALL.iter().map(|u| u.label()))?,
            "recipient" => {
                // The label `notify` is a list.
                let addresses = || value.split(',').map(str::trim).filter(|address| !address.is_empty());
                let known = self.recipients.len() + addresses().count();
                if known > MAX_VALUES || addresses().any(|address| address.len() > MAX_ADDRESS) {
                    return Err(format!(
                        "at most {MAX_VALUES} mail addresses of at most {MAX_ADDRESS} characters"
                    ));
                }
                self.recipients.extend(addresses().map(str::to_owned));
            }
            "expires_within" => {
                let given = parse_duration(value).filter(|_| self.expires_within.is_none());
                self.expires_within = Some(given.ok_or("a single duration such as 10d, 12h or 30m")?);
            }
            "sort" if value == NEXT_USE => self.by_next_use = true,
            "sort" => return Err(NEXT_USE.to_owned()),
            "page" => self.page = number(value, usize::MAX).ok_or("a number of at least 1")?,
            _ => {
                self.per_page = number(value, MAX_PER_PAGE)
                    .ok_or_else(|| format!("a number from 1 to {MAX_PER_PAGE}"))?;
            }
        }
        Ok(())
    }

    /// Whether every connection matches.
    pub fn is_everything(&self) -> bool {
        self.filters().next().is_none()
    }

    /// The filters as names and values, in a fixed order.
    pub fn filters(&self) -> impl Iterator<Item = (&str, String)> {
        let search = Some(self.search.clone()).filter(|s| !s.is_empty()).map(|s| ("q", s));
        let networks = self.networks.iter().map(|n| ("network", n.name().to_owned()));
        let reasons = self.reasons.iter().map(|r| ("reason", r.info().label.to_owned()));
        let states = self.states.iter().map(|s| ("state", s.label().to_owned()));
        let uses = self.uses.iter().map(|u| ("use", u.label().to_owned()));
        let recipients = self.recipients.iter().map(|address| ("recipient", address.clone()));
        let labels = self.labels.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let within = self.expires_within.map(|d| ("expires_within", format_duration(d)));
        let fixed = search.into_iter().chain(networks).chain(reasons).chain(states).chain(uses);
        fixed.chain(recipients).chain(labels).chain(within)
    }

    /// The part of a URL behind its question mark, for a page of this query.
    pub fn address(&self, page: usize) -> String {
        self.address_where(page, |_| true)
    }

    /// The same for the first page, without the filter at an index of [`Query::filters`].
    pub fn address_without(&self, filter: usize) -> String {
        self.address_where(1, |i| i != filter)
    }

    fn address_where(&self, page: usize, keep: impl Fn(usize) -> bool) -> String {
        let mut out = Serializer::new(String::new());
        for (_, (name, value)) in self.filters().enumerate().filter(|(i, _)| keep(*i)) {
            out.append_pair(name, &value);
        }
        if self.by_next_use {
            out.append_pair("sort", NEXT_USE);
        }
        for (name, value, default) in [("per_page", self.per_page, PER_PAGE), ("page", page, 1)] {
            if value != default {
                out.append_pair(name, &value.to_string());
            }
        }
        out.finish()
    }
}

/// The reasons for which a connection does not work, or works only in part.
pub(super) fn broken() -> impl Iterator<Item = Reason> {
    Reason::ALL.iter().copied().filter(|r| *r != Reason::Ok)
}

/// Adds a value unless it is there already, or lists the valid values.
fn add<T: PartialEq>(
    values: &mut Vec<T>,
    value: Option<T>,
    all: impl Iterator<Item = &'static str>,
) -> Result<(), String> {
    let value = value.ok_or_else(|| format!("one of {}", listed(all)))?;
    if !values.contains(&value) {
        values.push(value);
    }
    Ok(())
}

fn number(text: &str, most: usize) -> Option<usize> {
    text.parse().ok().filter(|n| (1..=most).contains(n))
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
