//! Typed reading of the tree: each value knows its file, its place and its path, and reports what
//! is wrong with it.
//!
//! A reader that finds a problem returns nothing and goes on, so that every problem is found in one
//! go.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::{Host, Url};

use super::problem::{At, Findings, WarningKind, looks_secret, shown, shown_key};
use super::yaml::{Key, Node, Value};
use crate::inventory::SecretSource;
use crate::model::{Secret, Timestamp, format_duration, parse_duration};

/// The way from the document to a value.
#[derive(Clone, Copy)]
pub(super) enum Trail<'a> {
    Root,
    Key(&'a Trail<'a>, &'a str),
    Index(&'a Trail<'a>, usize),
}

impl fmt::Display for Trail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Self::Root, key) => f.write_str(&shown_key(key)),
            Self::Key(parent, key) => write!(f, "{parent}.{}", shown_key(key)),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// One value of a file.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    pub(super) file: &'a Path,
    pub(super) trail: Trail<'a>,
    /// Where it stands; where there is nothing, where its key stands.
    pub(super) at: At,
    pub(super) node: &'a Node<'a>,
}

/// A mapping whose keys have been checked.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    file: &'a Path,
    trail: Trail<'a>,
    at: At,
    entries: &'a [(Key<'a>, Node<'a>)],
}

/// How long ids may be, in characters.
const MAX_ID: usize = 128;
/// How long any other text may be that becomes a label or part of a mail.
const MAX_TEXT: usize = 1024;

impl<'a> Cursor<'a> {
    pub(super) fn root(file: &'a Path, node: &'a Node<'a>) -> Self {
        Self { file, trail: Trail::Root, at: node.at, node }
    }

    pub(super) fn problem(&self, out: &mut Findings, message: impl Into<String>) {
        out.problem(self.file, Some(self.at), self.trail.to_string(), message);
    }

    pub(super) fn warning(&self, out: &mut Findings, kind: WarningKind, message: impl Into<String>) {
        if out.lists_warnings() {
            out.warning(kind, self.file, Some(self.at), self.trail.to_string(), message);
        }
    }

    /// A problem only if everything could be read.
    pub(super) fn doubtful(&self, out: &mut Findings, message: impl Into<String>) {
        out.doubtful(self.file, Some(self.at), self.trail.to_string(), message);
    }

    fn wrong_type(&self, out: &mut Findings, expected: &str) {
        match self.node.value {
            Value::Null => self.problem(out, format!("is empty; expected {expected}")),
            _ => self.problem(out, format!("expected {expected}, found {}", self.node.value.kind())),
        }
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.node.value, Value::List(_))
    }

    /// The mapping, after a look at its keys: none twice, none unknown. Nothing where keys are
    /// merged in, for then it is unknown what it holds.
    pub(super) fn fields(&'a self, known: &[&[&str]], out: &mut Findings) -> Option<Fields<'a>> {
        let fields = self.any_fields(out)?;
        for (key, _) in
            fields.entries.iter().filter(|(key, _)| !known.iter().any(|keys| keys.contains(&&*key.text)))
        {
            let message = if key.text == "<<" {
                "merge keys are not supported; write the keys out, or give an alias for a whole value \
                 (labels: *team)"
                    .to_owned()
            } else {
                format!("unknown key{}", out.hint(&key.text, known.iter().copied().flatten().copied()))
            };
            out.problem(self.file, Some(key.at), Trail::Key(&self.trail, &key.text).to_string(), message);
        }
        (!fields.entries.iter().any(|(key, _)| key.text == "<<")).then_some(fields)
    }

    /// The mapping as it is, if it is one.
    pub(super) fn entries(&'a self) -> Option<Fields<'a>> {
        let Value::Map(entries) = &self.node.value else { return None };
        Some(Fields { file: self.file, trail: self.trail, at: self.at, entries })
    }

    /// The mapping, whatever its keys, but none of them twice.
    pub(super) fn any_fields(&'a self, out: &mut Findings) -> Option<Fields<'a>> {
        let Some(fields) = self.entries() else {
            self.wrong_type(out, "a mapping");
            return None;
        };
        let entries = fields.entries;
        for (i, (key, _)) in entries.iter().enumerate() {
            if let Some((first, _)) = entries[..i].iter().find(|(earlier, _)| earlier.text == key.text) {
                let message = format!(
                    "the key stands here for the second time; first at {}:{}",
                    first.at.line, first.at.column
                );
                out.problem(self.file, Some(key.at), Trail::Key(&self.trail, &key.text).to_string(), message);
            }
            // Looking back costs the square of the number of keys; no mapping of a configuration has many.
            if i > 100 {
                self.problem(out, "holds more than 100 keys");
                return None;
            }
        }
        Some(fields)
    }

    /// The members of a list; none of a list that is absent.
    pub(super) fn items(&'a self, out: &mut Findings) -> impl Iterator<Item = Cursor<'a>> + 'a {
        let items: &[Node<'a>] = match &self.node.value {
            Value::List(items) => items,
            _ => {
                self.wrong_type(out, "a list");
                &[]
            }
        };
        items.iter().enumerate().map(|(i, node)| Cursor {
            file: self.file,
            trail: Trail::Index(&self.trail, i),
            at: node.at,
            node,
        })
    }

    /// Any scalar as it was written.
    pub(super) fn scalar(&self, out: &mut Findings, expected: &str) -> Option<&'a str> {
        match &self.node.value {
            Value::Scalar(text) => Some(text),
            _ => {
                self.wrong_type(out, expected);
                None
            }
        }
    }

    /// A text of one line.
    pub(super) fn text(&self, out: &mut Findings) -> Option<&'a str> {
        self.line(out, "a text", MAX_TEXT)
    }

    /// An id: of an app, a credential, an account, here or at the network.
    pub(super) fn id(&self, out: &mut Findings) -> Option<&'a str> {
        self.line(out, "an id", MAX_ID)
    }

    fn line(&self, out: &mut Findings, expected: &str, most: usize) -> Option<&'a str> {
        let text = self.scalar(out, expected)?;
        // Bytes are quicker to look at than characters, and mostly enough.
        let plain = text.bytes().fold(true, |plain, b| plain & matches!(b, b' '..=b'~'));
        let wrong = if text.trim().is_empty() {
            format!("is empty; expected {expected}")
        } else if !plain && text.chars().any(char::is_control) {
            "holds line breaks or control characters".to_owned()
        } else if text.len() > most && text.chars().count() > most {
            format!("is longer than {most} characters")
        } else if text.trim().len() < text.len() {
            "begins or ends with a blank".to_owned()
        } else {
            return Some(text);
        };
        self.problem(out, wrong);
        None
    }

    /// One of a list of words.
    pub(super) fn word<T>(
        &self,
        out: &mut Findings,
        known: &[&str],
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.scalar(out, "a single word")?;
        let found = parse(text);
        if found.is_none() {
            self.problem(
                out,
                format!("{} is not known{}", shown(text), out.hint(text, known.iter().copied())),
            );
        }
        found
    }

    pub(super) fn boolean(&self, out: &mut Findings) -> Option<bool> {
        match self.scalar(out, "true or false")? {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => {
                self.problem(out, "expected true or false");
                None
            }
        }
    }

    pub(super) fn number(&self, out: &mut Findings, least: usize, most: usize) -> Option<usize> {
        let text = self.scalar(out, "a number")?;
        let number = text.parse().ok().filter(|n| (least..=most).contains(n));
        if number.is_none() {
            self.problem(out, format!("{} is not a whole number from {least} to {most}", shown(text)));
        }
        number
    }

    pub(super) fn duration(&self, out: &mut Findings, least: Duration, most: Duration) -> Option<Duration> {
        let text = self.scalar(out, "a duration (30s, 5m, 1h, 10d)")?;
        match parse_duration(text) {
            None => self.problem(
                out,
                format!("{} is not a duration; expected one like 30s, 5m, 1h30m or 10d", shown(text)),
            ),
            Some(d) if d < least => self.problem(
                out,
                format!("{} is too short; expected at least {}", shown(text), format_duration(least)),
            ),
            Some(d) if d > most => self.problem(
                out,
                format!("{} is too long; expected at most {}", shown(text), format_duration(most)),
            ),
            Some(d) => return Some(d),
        }
        None
    }

    pub(super) fn instant(&self, out: &mut Findings) -> Option<Timestamp> {
        /// In seconds this would lie in the year 5138.
        const MILLISECONDS_FROM: f64 = 100_000_000_000.0;
        let text = self.scalar(out, "an instant")?;
        if text.parse::<f64>().is_ok_and(|n| n >= MILLISECONDS_FROM) {
            self.problem(out, format!("{} looks like milliseconds; expected Unix seconds", shown(text)));
            return None;
        }
        let instant = Timestamp::parse(text);
        if instant.is_none() {
            self.problem(
                out,
                format!("{} is not an instant; expected 2027-01-31T00:00:00Z or Unix seconds", shown(text)),
            );
        }
        instant
    }

    /// An address that requests go to: encrypted, or on this machine.
    pub(super) fn endpoint(&self, out: &mut Findings) -> Option<Url> {
        let url = self.url(out, "https://host")?;
        let local = match url.host() {
            Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
            Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        if url.scheme() == "http" && !local {
            self.problem(
                out,
                "is not encrypted: expected https:// (http:// is for this machine only: 127.0.0.1, [::1], \
                 localhost)",
            );
            return None;
        }
        Some(url)
    }

    /// What takes the place of scheme, host and prefix of a network's addresses.
    pub(super) fn base_url(&self, out: &mut Findings) -> Option<Url> {
        let url = self.endpoint(out)?;
        if url.query().is_some() || url.fragment().is_some() {
            self.problem(out, "holds a ? or #; expected scheme, host and perhaps the beginning of a path");
            return None;
        }
        Some(url)
    }

    /// A web address; what stands in it is never quoted, for it may hold a password.
    pub(super) fn url(&self, out: &mut Findings, example: &str) -> Option<Url> {
        let text = self.text(out)?;
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
        self.problem(out, wrong);
        None
    }

    /// The address of a mailbox.
    pub(super) fn mail_address(&self, out: &mut Findings) -> Option<&'a str> {
        let text = self.scalar(out, "a mail address")?;
        let wrong = match text.split_once('@') {
            _ if !text.bytes().all(|b| b.is_ascii_graphic())
                && text.chars().any(|c| c.is_whitespace() || c.is_control()) =>
            {
                "holds blanks or control characters"
            }
            _ if text.contains([',', ';']) => "holds a comma or semicolon; write one address per list item",
            _ if text.contains(['<', '>', '"']) => "holds < > or quotes; write the bare address",
            _ if text.len() > 254 => "is longer than 254 characters",
            None => "has no @",
            Some((name, host)) if name.is_empty() || host.is_empty() || host.contains('@') => "is incomplete",
            Some(_) => return Some(text),
        };
        self.problem(out, format!("is not a mail address: it {wrong}"));
        None
    }

    /// A secret that stands in the configuration itself.
    fn inline_secret(&self, out: &mut Findings) -> Option<SecretSource> {
        let text = self.scalar(out, "a secret")?.trim();
        if text.is_empty() {
            self.problem(out, "is empty; expected a secret");
        } else if text.starts_with('{') {
            self.problem(
                out,
                "looks like a token response; put it into a file and name that with token_file",
            );
        } else if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            self.problem(out, "holds blanks or control characters");
        } else {
            self.warning(
                out,
                WarningKind::InlineSecret,
                "a secret stands in the configuration; a file or an environment variable keeps it apart",
            );
            return Some(SecretSource::Inline(Secret::new(text)));
        }
        None
    }

    fn secret_file(&self, out: &mut Findings) -> Option<SecretSource> {
        let text = self.scalar(out, "the name of a file")?;
        if text.is_empty() || text.chars().any(char::is_control) {
            self.problem(out, "is not the name of a file");
            return None;
        }
        let path = relative_to(self.file, text);
        match std::fs::metadata(&path) {
            Ok(metadata) if !metadata.is_file() => {
                self.problem(out, "is not a file");
                return None;
            }
            Ok(metadata) if readable_by_all(&metadata) => {
                self.warning(
                    out,
                    WarningKind::ReadableByAll,
                    "everybody on this machine may read this file (chmod 600)",
                );
            }
            Ok(_) => {}
            // A token where the name of its file should be.
            Err(_) if looks_secret(text) && !text.contains(['/', '\\']) => {
                self.problem(out, "looks like a secret, not like the name of a file");
                return None;
            }
            Err(e) => {
                self.warning(out, WarningKind::SourceMissing, format!("the file {}", why_unreadable(&e)))
            }
        }
        Some(SecretSource::File(path))
    }

    fn secret_env(&self, out: &mut Findings) -> Option<SecretSource> {
        let text = self.scalar(out, "the name of an environment variable")?;
        if !is_name(text) || looks_secret(text) {
            self.problem(out, "is not the name of an environment variable (letters, digits and _)");
            return None;
        }
        if std::env::var_os(text).is_none() {
            self.warning(out, WarningKind::SourceMissing, "the environment variable is not set");
        }
        Some(SecretSource::Env(text.to_owned()))
    }

    fn secret_command(&self, out: &mut Findings) -> Option<SecretSource> {
        if matches!(self.node.value, Value::Scalar(_)) {
            self.problem(
                out,
                "expected a list: the program and its arguments; there is no shell to split a text",
            );
            return None;
        }
        let mut words = Vec::new();
        for word in self.items(out) {
            let text = word.scalar(out, "a text")?;
            if text.contains('\0') {
                word.problem(out, "holds a control character");
                return None;
            }
            words.push(text.to_owned());
        }
        let Some(program) = words.first_mut().filter(|p| !p.is_empty()) else {
            if self.is_list() {
                self.problem(out, "names no program");
            }
            return None;
        };
        if program.contains('/') {
            let path = relative_to(self.file, program);
            if !path.is_file() {
                self.warning(out, WarningKind::SourceMissing, "there is no such program");
            }
            *program = path.to_string_lossy().into_owned();
        }
        Some(SecretSource::Command(words))
    }
}

impl<'a> Fields<'a> {
    /// The value of a key; none where the key is absent or holds nothing.
    pub(super) fn get(&'a self, name: &'a str) -> Option<Cursor<'a>> {
        self.given(name).filter(|cursor| !matches!(cursor.node.value, Value::Null))
    }

    /// The value of a key, also where it holds nothing.
    pub(super) fn given(&'a self, name: &'a str) -> Option<Cursor<'a>> {
        let (key, node) = self.entries.iter().find(|(key, _)| key.text == name)?;
        Some(self.cursor(key, node))
    }

    fn cursor(&'a self, key: &'a Key<'a>, node: &'a Node<'a>) -> Cursor<'a> {
        let at = if matches!(node.value, Value::Null) { key.at } else { node.at };
        Cursor { file: self.file, trail: Trail::Key(&self.trail, &key.text), at, node }
    }

    /// The value of a key that must be there.
    pub(super) fn required(&'a self, name: &'a str, out: &mut Findings) -> Option<Cursor<'a>> {
        let found = self.given(name);
        if found.is_none() {
            self.problem(out, format!("{name} is missing"));
        }
        found
    }

    /// Every key with its value.
    pub(super) fn all(&'a self) -> impl Iterator<Item = (&'a Key<'a>, Cursor<'a>)> {
        self.entries.iter().map(|(key, node)| (key, self.cursor(key, node)))
    }

    /// The members of a list; none where the key is absent.
    pub(super) fn each(
        &'a self,
        name: &'a str,
        out: &mut Findings,
        mut take: impl FnMut(&Cursor<'_>, &mut Findings),
    ) {
        if let Some(list) = self.get(name) {
            for item in list.items(out) {
                take(&item, out);
            }
        }
    }

    pub(super) fn problem(&self, out: &mut Findings, message: impl Into<String>) {
        out.problem(self.file, Some(self.at), self.trail.to_string(), message);
    }

    pub(super) fn doubtful(&self, out: &mut Findings, message: impl Into<String>) {
        out.doubtful(self.file, Some(self.at), self.trail.to_string(), message);
    }

    /// Where a secret comes from: one of the keys `name`_file, _env, _command and `name` itself.
    pub(super) fn secret(&'a self, keys: &SecretKeys, out: &mut Findings) -> Option<SecretSource> {
        let given: Vec<(usize, Cursor<'a>)> =
            keys.0.iter().enumerate().filter_map(|(i, key)| Some((i, self.given(key)?))).collect();
        let [(form, cursor)] = given.as_slice() else {
            for (_, cursor) in given.iter().skip(1) {
                cursor.problem(out, format!("only one of {} may be given", keys.0.join(", ")));
            }
            return None;
        };
        match form {
            0 => cursor.secret_file(out),
            1 => cursor.secret_env(out),
            2 => cursor.inline_secret(out),
            _ => cursor.secret_command(out),
        }
    }

    /// Whether any key of a secret is there.
    pub(super) fn has_secret(&self, keys: &SecretKeys) -> bool {
        self.entries.iter().any(|(key, _)| keys.0.contains(&&*key.text))
    }
}

/// The keys under which a secret's source may stand: file, environment variable, the secret itself,
/// command.
pub(super) struct SecretKeys(pub(super) &'static [&'static str]);

/// A path as the file that names it means it.
pub(super) fn relative_to(file: &Path, path: &str) -> PathBuf {
    file.parent().map_or_else(|| PathBuf::from(path), |directory| directory.join(path))
}

/// The name of a label or an environment variable.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Why a file cannot be read, in words that are the same on every system.
pub(super) fn why_unreadable(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => "does not exist",
        std::io::ErrorKind::PermissionDenied => "may not be read (permission denied)",
        std::io::ErrorKind::IsADirectory => "is a directory",
        _ => "cannot be read",
    }
}

#[cfg(unix)]
pub(super) fn readable_by_all(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o004 != 0
}

#[cfg(not(unix))]
pub(super) fn readable_by_all(_metadata: &std::fs::Metadata) -> bool {
    false
}
