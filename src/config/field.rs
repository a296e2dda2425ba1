//! Typed access to the values of a file.
//!
//! Each value knows its file, position and path, and reports what is wrong with it. A method that
//! reports a problem returns nothing, and its caller goes on: all problems are found in one run.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::{Host, Url};

use super::findings::{Findings, Position, Problem};
use super::mistakes::glued_key;
use super::quoting::{shown, shown_key};
use super::validator::NOWHERE;
use super::yaml::{Key, Node, Value};
use crate::model::{Timestamp, format_duration, parse_duration};

#[derive(Clone, Copy)]
pub(super) enum KeyPath<'a> {
    Root,
    Key(&'a KeyPath<'a>, &'a str),
    Index(&'a KeyPath<'a>, usize),
}

impl fmt::Display for KeyPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Self::Root, key) => f.write_str(shown_key(key)),
            Self::Key(parent, key) => write!(f, "{parent}.{}", shown_key(key)),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) file: &'a Path,
    pub(super) path: KeyPath<'a>,
    /// Where the value begins, or its key if the value is empty.
    pub(super) at: Position,
    pub(super) node: &'a Node<'a>,
    pub(super) findings: &'a Findings,
}

#[derive(Clone, Copy)]
pub(super) struct Mapping<'a> {
    pub(super) field: Field<'a>,
    entries: &'a [(Key<'a>, Node<'a>)],
}

/// Maximum length of ids, in characters.
pub(super) const MAX_ID: usize = 128;
/// Maximum length of other texts that become labels or parts of mails, in characters.
pub(super) const MAX_TEXT: usize = 1024;
/// Maximum number of keys in a mapping. Finding duplicates takes the square of the number.
const MAX_KEYS: usize = 100;

impl<'a> Field<'a> {
    pub(super) fn root(file: &'a Path, node: &'a Node<'a>, findings: &'a Findings) -> Self {
        Self { file, path: KeyPath::Root, at: node.at, node, findings }
    }

    pub(super) fn finding(&self, message: impl Into<String>) -> Problem {
        Problem {
            file: self.file.to_owned(),
            at: Some(self.at).filter(|at| *at != NOWHERE),
            path: self.path.to_string(),
            message: message.into(),
        }
    }

    pub(super) fn problem(&self, message: impl Into<String>) {
        self.findings.problem(self.finding(message));
    }

    /// Reports a problem, because of which there is no value.
    pub(super) fn reject<T>(&self, message: impl Into<String>) -> Option<T> {
        self.problem(message);
        None
    }

    pub(super) fn warning(&self, message: impl Into<String>) {
        self.findings.warning(message.into(), |message| self.finding(message));
    }

    fn wrong_type<T>(&self, expected: &str) -> Option<T> {
        if let Value::Scalar(text) = &self.node.value
            && let Some(message) = glued_key(text)
        {
            return self.reject(message);
        }
        match self.node.value {
            Value::Null => self.reject(format!("is empty; expected {expected}")),
            _ => self.reject(format!("expected {expected}, found {}", self.node.value.kind())),
        }
    }

    /// Whether it is a list that is not empty.
    pub(super) fn has_items(&self) -> bool {
        matches!(&self.node.value, Value::List(items) if !items.is_empty())
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.node.value, Value::List(_))
    }

    /// The mapping, if it is one; its keys are not checked.
    pub(super) fn as_mapping(&self) -> Option<Mapping<'a>> {
        let Value::Map(entries) = &self.node.value else { return None };
        Some(Mapping { field: *self, entries })
    }

    /// The mapping, with any keys but no duplicates.
    pub(super) fn open_mapping(&self) -> Option<Mapping<'a>> {
        let Some(mapping) = self.as_mapping() else { return self.wrong_type("a mapping") };
        let entries = mapping.entries;
        for (i, (key, _)) in entries.iter().enumerate() {
            if let Some((first, _)) = entries[..i].iter().find(|(earlier, _)| earlier.text == key.text) {
                let message = format!("duplicate key; first at {}:{}", first.at.line, first.at.column);
                self.key_problem(key, message);
            }
            if i > MAX_KEYS {
                return self.reject(format!("holds more than {MAX_KEYS} keys"));
            }
        }
        Some(mapping)
    }

    /// The mapping, whose keys must be among those of `known`. None if it has a merge key, which
    /// could add any key.
    pub(super) fn mapping(&self, known: &[&[&str]]) -> Option<Mapping<'a>> {
        let mapping = self.open_mapping()?;
        let mut merged = false;
        for (key, _) in mapping.entries {
            if key.text == "<<" {
                merged = true;
                let message = "merge keys are not supported; write the keys out, or give an alias for a \
                               whole value (labels: *team)";
                self.key_problem(key, message);
            } else if !known.iter().any(|keys| keys.contains(&&*key.text)) {
                let hint = || self.findings.hint(&key.text, known.iter().copied().flatten().copied());
                let message = glued_key(&key.text).unwrap_or_else(|| format!("unknown key{}", hint()));
                self.key_problem(key, message);
            }
        }
        (!merged).then_some(mapping)
    }

    fn key_problem(&self, key: &Key<'_>, message: impl Into<String>) {
        let path = KeyPath::Key(&self.path, &key.text);
        Field { path, at: key.at, ..*self }.problem(message);
    }

    pub(super) fn items(&'a self) -> impl Iterator<Item = Field<'a>> + 'a {
        let items = match &self.node.value {
            Value::List(items) => Some(items),
            _ => self.wrong_type("a list"),
        };
        let nodes = items.into_iter().flatten().enumerate();
        nodes.map(|(i, node)| Field { path: KeyPath::Index(&self.path, i), at: node.at, node, ..*self })
    }

    pub(super) fn scalar(&self, expected: &str) -> Option<&'a str> {
        match &self.node.value {
            Value::Scalar(text) => Some(text),
            _ => self.wrong_type(expected),
        }
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        self.line("a text", MAX_TEXT)
    }

    /// The id of an app, credential or account, here or at the network.
    pub(super) fn id(&self) -> Option<&'a str> {
        self.line("an id", MAX_ID)
    }

    fn line(&self, expected: &str, most: usize) -> Option<&'a str> {
        let text = self.scalar(expected)?;
        if is_line(text, most) {
            return Some(text);
        }
        let wrong = if text.trim().is_empty() {
            format!("is empty; expected {expected}")
        } else if text.chars().any(char::is_control) {
            "holds line breaks or control characters".to_owned()
        } else if text.len() > most && text.chars().count() > most {
            format!("is longer than {most} characters")
        } else if text.trim().len() < text.len() {
            "begins or ends with a blank".to_owned()
        } else {
            return Some(text);
        };
        self.reject(wrong)
    }

    pub(super) fn word<T>(&self, known: &[&str], parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.scalar("a single word")?;
        parse(text).or_else(|| {
            let hint = self.findings.hint(text, known.iter().copied());
            self.reject(format!("{} is not known{hint}", shown(text)))
        })
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self.scalar("true or false")? {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => self.reject("expected true or false"),
        }
    }

    pub(super) fn number(&self, least: usize, most: usize) -> Option<usize> {
        let text = self.scalar("a number")?;
        let message = || format!("{} is not a whole number from {least} to {most}", shown(text));
        let number = text.parse().ok().filter(|n| (least..=most).contains(n));
        number.or_else(|| self.reject(message()))
    }

    pub(super) fn duration(&self, least: Duration, most: Duration) -> Option<Duration> {
        let text = self.scalar("a duration (30s, 5m, 1h, 10d)")?;
        let wrong = match parse_duration(text) {
            None => "is not a duration; expected one like 30s, 5m, 1h30m or 10d".to_owned(),
            Some(d) if d < least => format!("is too short; expected at least {}", format_duration(least)),
            Some(d) if d > most => format!("is too long; expected at most {}", format_duration(most)),
            Some(d) => return Some(d),
        };
        self.reject(format!("{} {wrong}", shown(text)))
    }

    pub(super) fn instant(&self) -> Option<Timestamp> {
        let text = self.scalar("an instant")?;
        instant(text).or_else(|| {
            let wrong = if is_in_milliseconds(text) {
                "looks like milliseconds; expected Unix seconds"
            } else {
                "is not an instant; expected 2027-01-31T00:00:00Z or Unix seconds"
            };
            self.reject(format!("{} {wrong}", shown(text)))
        })
    }

    /// An expiry. One that can only be a mistake is ignored, with a warning.
    pub(super) fn expiry(&self) -> Option<Timestamp> {
        let expiry = self.instant()?;
        if expiry > Timestamp::latest_expiry() {
            self.warning("is more than ten years ahead; it is ignored");
            return None;
        }
        Some(expiry)
    }

    /// The URL of an endpoint: encrypted, or on this machine.
    pub(super) fn endpoint(&self) -> Option<Url> {
        let url = self.url("https://host")?;
        let local = match url.host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        if url.scheme() == "http" && !local {
            let message = "is not encrypted: expected https:// (http:// is for this machine only: \
                           127.0.0.1, [::1], localhost)";
            return self.reject(message);
        }
        Some(url)
    }

    /// A URL that replaces scheme, host and path prefix of a network's endpoints.
    pub(super) fn base_url(&self) -> Option<Url> {
        let url = self.endpoint()?;
        if url.query().is_some() || url.fragment().is_some() {
            let message = "holds a ? or #; expected scheme, host and perhaps the beginning of a path";
            return self.reject(message);
        }
        Some(url)
    }

    /// A URL. It may hold a password and is never quoted.
    pub(super) fn url(&self, example: &str) -> Option<Url> {
        let text = self.text()?;
        let wrong = match Url::parse(text) {
            Ok(url) if !matches!(url.scheme(), "http" | "https") || url.host().is_none() => {
                format!("is no web address like {example}")
            }
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                "holds a user name or password; leave them out".to_owned()
            }
            Ok(_) if text.contains(char::is_whitespace) => "holds a blank".to_owned(),
            Ok(url) => return Some(url),
            Err(_) => format!("is no web address like {example}"),
        };
        self.reject(wrong)
    }

    pub(super) fn mail_address(&self) -> Option<&'a str> {
        let text = self.scalar("a mail address")?;
        match mail_problem(text) {
            None => Some(text),
            Some(wrong) => self.reject(format!("is not a mail address: it {wrong}")),
        }
    }
}

impl<'a> Mapping<'a> {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn value_of(&self, name: &str) -> Option<&'a Value<'a>> {
        self.entries.iter().find(|(key, _)| key.text == name).map(|(_, node)| &node.value)
    }

    /// The value of a key; none if it is absent or empty.
    pub(super) fn get(&'a self, name: &str) -> Option<Field<'a>> {
        self.given(name).filter(|field| !matches!(field.node.value, Value::Null))
    }

    /// The value of a key, even an empty one.
    pub(super) fn given(&'a self, name: &str) -> Option<Field<'a>> {
        let (key, node) = self.entries.iter().find(|(key, _)| key.text == name)?;
        Some(self.value(key, node))
    }

    fn value(&'a self, key: &'a Key<'a>, node: &'a Node<'a>) -> Field<'a> {
        let at = if matches!(node.value, Value::Null) { key.at } else { node.at };
        Field { path: KeyPath::Key(&self.field.path, &key.text), at, node, ..self.field }
    }

    pub(super) fn required(&'a self, name: &str) -> Option<Field<'a>> {
        let found = self.given(name);
        if found.is_none() {
            self.field.problem(format!("{name} is missing"));
        }
        found
    }

    pub(super) fn all(&'a self) -> impl Iterator<Item = (&'a str, Field<'a>)> {
        self.entries.iter().map(|(key, node)| (&*key.text, self.value(key, node)))
    }

    pub(super) fn has_any(&self, names: &[&str]) -> bool {
        self.entries.iter().any(|(key, _)| names.contains(&&*key.text))
    }

    /// Calls `take` for each member of a list, if the key is present.
    pub(super) fn each(&self, name: &str, mut take: impl FnMut(&Field<'_>)) {
        if let Some(list) = self.get(name) {
            for item in list.items() {
                take(&item);
            }
        }
    }
}

/// What is wrong with a mail address.
pub(super) fn mail_problem(text: &str) -> Option<&'static str> {
    Some(match text.split_once('@') {
        _ if !text.bytes().all(|b| b.is_ascii_graphic())
            && text.chars().any(|c| c.is_whitespace() || c.is_control()) =>
        {
            "holds blanks or control characters"
        }
        _ if text.bytes().any(|b| matches!(b, b',' | b';')) => {
            "holds a comma or semicolon; write one address per list item"
        }
        _ if text.bytes().any(|b| matches!(b, b'<' | b'>' | b'"')) => {
            "holds < > or quotes; write the bare address"
        }
        _ if text.len() > 254 => "is longer than 254 characters",
        None => "has no @",
        Some((name, host)) if name.is_empty() || host.is_empty() || host.contains('@') => "is incomplete",
        Some(_) => return None,
    })
}

/// Whether a text is certainly a right line. Almost all are ASCII, where looking at bytes is enough.
pub(super) fn is_line(text: &str, most: usize) -> bool {
    let plain = text.bytes().fold(true, |plain, b| plain & matches!(b, b' '..=b'~'));
    plain && (1..=most).contains(&text.len()) && !text.starts_with(' ') && !text.ends_with(' ')
}

pub(super) fn instant(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text).filter(|_| !is_in_milliseconds(text))
}

fn is_in_milliseconds(text: &str) -> bool {
    /// As seconds, this is in the year 5138.
    const MILLISECONDS_FROM: f64 = 100_000_000_000.0;
    text.parse::<f64>().is_ok_and(|n| n >= MILLISECONDS_FROM)
}

pub(super) fn relative_to(file: &Path, path: &str) -> PathBuf {
    file.parent().map_or_else(|| PathBuf::from(path), |directory| directory.join(path))
}

/// Whether a text can be the name of a label or an environment variable.
pub(super) fn is_name(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Why a file cannot be read, in the same words on every system.
pub fn why_unreadable(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => "does not exist",
        std::io::ErrorKind::PermissionDenied => "may not be read (permission denied)",
        std::io::ErrorKind::IsADirectory => "is a directory",
        std::io::ErrorKind::InvalidInput => "is not a regular file",
        _ => "cannot be read",
    }
}
