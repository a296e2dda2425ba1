//! What is wrong with a configuration: where, what was found, what would be right.
//!
//! The configuration is where secrets get into wrong places, so nothing is quoted from it unless it
//! passes [`shown`]: short, and nothing like a token.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

/// A place in a file, counted from 1; columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// In which file.
    pub file: PathBuf,
    /// Where in it; none where the file as a whole is meant.
    pub at: Option<At>,
    /// The path inside the document, `accounts[3].network`; empty for the document itself.
    pub path: String,
    /// What was found and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(at) = self.at {
            write!(f, ":{}:{}", at.line, at.column)?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Everything that is wrong, one a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// In the order of the files and of their lines.
    pub list: Vec<Problem>,
    /// How many more there were than are listed.
    pub more: usize,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.list.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        if self.more > 0 {
            write!(f, "\nand {} more problems", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// What a warning is about, for callers that treat kinds differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarningKind {
    /// An app or credential that nothing uses.
    Unused,
    /// A secret stands in the configuration itself.
    InlineSecret,
    /// A file with a secret may be read by everybody on this machine.
    ReadableByAll,
    /// A secret's source is not there (yet).
    SourceMissing,
    /// A pattern of `account_files` matches nothing.
    NoFiles,
    /// A rule of the schedule that is never reached.
    NeverReached,
    /// A check that anybody can pass.
    Forgeable,
}

/// Something that works but deserves a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What it is about.
    pub kind: WarningKind,
    /// Where and what.
    pub problem: Problem,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

/// So many problems, and so many warnings, are listed at most: who has more of them has one cause.
const MAX_LISTED: usize = 10_000;

/// Collects what is found while a configuration is read.
#[derive(Debug, Default)]
pub(super) struct Findings {
    problems: Problems,
    /// What is a problem only if everything could be read: the missing part may stand where nobody
    /// could look.
    doubtful: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
}

impl Findings {
    pub(super) fn doubtful(&mut self, file: &Path, at: Option<At>, path: String, message: impl Into<String>) {
        if self.doubtful.len() < MAX_LISTED {
            self.doubtful.push(Problem { file: file.to_owned(), at, path, message: message.into() });
        }
    }

    /// A file turned out to be broken: what was found in it so far counts no more.
    pub(super) fn forget(&mut self, file: &Path) {
        self.problems.list.retain(|problem| problem.file != file);
        self.doubtful.retain(|problem| problem.file != file);
        self.warnings.retain(|warning| warning.problem.file != file);
    }

    /// Whether a further warning would be listed.
    pub(super) fn lists_warnings(&self) -> bool {
        self.warnings.len() < MAX_LISTED
    }

    pub(super) fn problem(&mut self, file: &Path, at: Option<At>, path: String, message: impl Into<String>) {
        if self.problems.list.len() < MAX_LISTED {
            self.problems.list.push(Problem { file: file.to_owned(), at, path, message: message.into() });
        } else {
            self.problems.more += 1;
        }
    }

    pub(super) fn warning(
        &mut self,
        kind: WarningKind,
        file: &Path,
        at: Option<At>,
        path: String,
        message: impl Into<String>,
    ) {
        if self.lists_warnings() {
            self.warnings.push(Warning {
                kind,
                problem: Problem { file: file.to_owned(), at, path, message: message.into() },
            });
        }
    }

    /// ` (did you mean "mastodon"?)` where there is a near miss, else `; known are …` where the
    /// list is short.
    pub(super) fn hint<'c>(&self, text: &str, candidates: impl Iterator<Item = &'c str> + Clone) -> String {
        // Looking for near misses takes time, the more candidates the more.
        let worth_it = match candidates.clone().take(10_001).count() {
            0..=100 => MAX_LISTED,
            101..=10_000 => 100,
            _ => 3,
        };
        if self.problems.list.len() + self.doubtful.len() >= worth_it {
            return String::new();
        }
        if let Some(near) = nearest(text, candidates.clone()) {
            return format!(" (did you mean {}?)", shown(near));
        }
        let known: Vec<&str> = candidates.take(31).collect();
        if known.is_empty() || known.len() > 30 || known.iter().any(|name| looks_secret(name)) {
            return String::new();
        }
        format!("; known are {}", known.join(", "))
    }

    /// The problems in the order of `files`, if there are any. `complete`: everything could be
    /// read.
    pub(super) fn into_result(mut self, files: &[PathBuf], complete: bool) -> Result<Vec<Warning>, Problems> {
        for doubtful in std::mem::take(&mut self.doubtful).into_iter().filter(|_| complete) {
            self.problem(&doubtful.file, doubtful.at, doubtful.path, doubtful.message);
        }
        let place = |p: &Problem| (files.iter().position(|f| *f == p.file).unwrap_or(usize::MAX), p.at);
        if self.problems.list.is_empty() {
            self.warnings.sort_by_cached_key(|w| place(&w.problem));
            Ok(self.warnings)
        } else {
            self.problems.list.sort_by_cached_key(place);
            Err(self.problems)
        }
    }
}

/// The longest text that is quoted from a configuration.
const MAX_SHOWN: usize = 40;

/// A text from the configuration for a message: quoted, shortened, or only described where it looks
/// like a secret.
pub(super) fn shown(text: &str) -> String {
    if looks_secret(text) {
        return "a text that looks like a secret (not shown)".to_owned();
    }
    let mut short: String = text.chars().take(MAX_SHOWN).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

/// A key for a message or a path: only what looks like a key, for `{token:abc}` is one to YAML.
pub(super) fn shown_key(key: &str) -> Cow<'_, str> {
    let plain = key.len() <= MAX_SHOWN
        && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '<'));
    if plain && !key.is_empty() && !looks_secret(key) {
        Cow::Borrowed(key)
    } else {
        Cow::Borrowed("(not shown)")
    }
}

/// How tokens of the networks begin, and how long a text must be to be taken for one.
const TOKEN_PREFIXES: &[(&str, usize)] = &[
    ("EAA", 8),
    ("IGAA", 8),
    ("IGQ", 8),
    ("THAA", 8),
    ("THQ", 8),
    ("ya29", 8),
    ("1//", 8),
    ("xox", 8),
    ("pina_", 8),
    ("act.", 12),
    ("rft.", 12),
    ("AQ", 16),
    ("AAAA", 16),
    ("GOCSPX-", 8),
    ("eyJ", 8),
    ("sim-", 5),
];

/// Whether a text, or a part of it, looks like a token or another secret. Rather once too often.
pub(crate) fn looks_secret(text: &str) -> bool {
    let part_of_token = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '+' | '=' | '~' | '%' | '|')
    };
    text.split(|c: char| !part_of_token(c)).any(|word| {
        let begins = |part: &str| {
            TOKEN_PREFIXES.iter().any(|(prefix, length)| part.len() >= *length && part.starts_with(prefix))
        };
        begins(word)
            || word.split(['/', '=', '|', '.', '+', '%', '~']).any(|part| begins(part) || random(part))
    })
}

/// Whether a word changes between small letters, capitals and digits more often than a name does.
fn random(word: &str) -> bool {
    fn class(c: char) -> u8 {
        match c {
            'a'..='z' => 1,
            'A'..='Z' => 2,
            '0'..='9' => 3,
            _ => 0,
        }
    }
    let classes: Vec<u8> = word.chars().map(class).filter(|c| *c != 0).collect();
    let changes = classes.windows(2).filter(|pair| pair[0] != pair[1]).count();
    classes.len() >= 16 && changes >= 6
}

/// The candidate that `text` was probably meant to be.
pub(super) fn nearest<'c>(text: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let text: Vec<char> = text.chars().take(64).flat_map(char::to_lowercase).collect();
    let allowed = (text.len() / 3).clamp(1, 3);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let letters: Vec<char> = candidate.chars().take(64).flat_map(char::to_lowercase).collect();
        if letters.len().abs_diff(text.len()) > allowed {
            continue;
        }
        let d = distance(&text, &letters);
        if d <= allowed && d < letters.len() && best.is_none_or(|(b, _)| d < b) {
            best = Some((d, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Letters to insert, delete, replace or swap with their neighbour.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let mut d = (last[j] + usize::from(a[i] != b[j])).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                d = d.min(before[j - 1] + 1);
            }
            row.push(d);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_found() {
        let known = ["facebook", "mastodon", "x", "tiktok"];
        for (text, near) in [
            ("mastadon", Some("mastodon")),
            ("Facebook", Some("facebook")),
            ("facebok", Some("facebook")),
            ("tiktko", Some("tiktok")),
            ("orkut", None),
            ("y", None),
            ("", None),
        ] {
            assert_eq!(nearest(text, known), near, "{text}");
        }
    }

    #[test]
    fn what_looks_like_a_token_is_not_shown() {
        for secret in [
            "EAABwzLixnjYBO0",
            "secrets/EAABwzLixnjYBO0",
            "Bearer ya29.a0AfH6SM",
            "token:EAABwzLixnjYBO0",
            "eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
            "sim-abc",
            "AQXdSP_W41_UPs5ioT_t8HESyODB4FqbkJ8LrV_5mff4gPODzOYR",
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "xoxb-2444333222-aBc",
        ] {
            assert!(looks_secret(secret), "{secret}");
            assert!(!shown(secret).contains(secret));
        }
        for name in [
            "jane-facebook",
            "acme-page-germany-2024",
            "mastadon",
            "17841400000000000",
            "10 days",
            "/etc/token_exporter/accounts.d",
        ] {
            assert!(!looks_secret(name), "{name}");
        }
        assert_eq!(shown(&"ab ".repeat(30)).chars().count(), MAX_SHOWN + 3);
        assert_eq!(shown_key("token:hunter2"), "(not shown)");
    }
}
