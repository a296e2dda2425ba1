//! What is found while a configuration is read: problems and warnings, each with its place in a
//! file.

use std::fmt;
use std::path::{Path, PathBuf};

use super::quoting::{looks_secret, nearest, shown};

/// A position in a file, counted from 1; columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub file: PathBuf,
    /// None if the problem concerns the file as a whole.
    pub at: Option<Position>,
    /// The path inside the document, such as `accounts[3].network`; empty for the document itself.
    pub path: String,
    /// What was found and what would be right.
    pub message: String,
}

impl Problem {
    /// A problem of a file as a whole, or at a position that has no path.
    pub(super) fn of_file(file: &Path, at: Option<Position>, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), at, path: String::new(), message: message.into() }
    }
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

/// All problems of a configuration, displayed one per line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// Sorted by file and position.
    pub list: Vec<Problem>,
    /// The number of problems beyond those in `list`.
    pub more: usize,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.list.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))?;
        if self.more > 0 {
            write!(f, "\nand {} more problems", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarningKind {
    /// An app or credential that nothing refers to.
    Unused,
    /// A secret written into the configuration itself.
    InlineSecret,
    /// A file with a secret that every user of this machine can read.
    ReadableByAll,
    /// The file, environment variable or program of a secret does not exist (yet).
    SourceMissing,
    /// A pattern of `account_files` that matches no file.
    NoFiles,
    /// A rule of the schedule that is never reached.
    NeverReached,
    /// An expiry more than ten years ahead.
    TooFar,
    /// A version of an API that the network has ended.
    VersionEnded,
    /// A client certificate check that anybody can pass.
    Forgeable,
}

/// Something that works but deserves attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub kind: WarningKind,
    pub problem: Problem,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

/// Maximum number of problems, and of warnings, that are listed.
const MAX_LISTED: usize = 10_000;

/// Collects problems and warnings.
#[derive(Debug, Default)]
pub(super) struct Findings {
    problems: Problems,
    /// References to something that was not found. They are problems only if every file could be
    /// read: otherwise the target may be in the part that is missing.
    unresolved: Vec<Problem>,
    warnings: Vec<Warning>,
}

impl Findings {
    pub(super) fn problem(&mut self, problem: Problem) {
        if self.problems.list.len() < MAX_LISTED {
            self.problems.list.push(problem);
        } else {
            self.problems.more += 1;
        }
    }

    pub(super) fn unresolved(&mut self, problem: Problem) {
        if self.unresolved.len() < MAX_LISTED {
            self.unresolved.push(problem);
        }
    }

    pub(super) fn warning(&mut self, kind: WarningKind, problem: Problem) {
        if self.lists_warnings() {
            self.warnings.push(Warning { kind, problem });
        }
    }

    /// Whether a further warning would be listed.
    pub(super) fn lists_warnings(&self) -> bool {
        self.warnings.len() < MAX_LISTED
    }

    /// Drops what was found in a file that turned out to be broken.
    pub(super) fn forget(&mut self, file: &Path) {
        self.problems.list.retain(|problem| problem.file != file);
        self.unresolved.retain(|problem| problem.file != file);
        self.warnings.retain(|warning| warning.problem.file != file);
    }

    /// ` (did you mean "mastodon"?)` for a near miss, else `; known are …` if the list is short.
    pub(super) fn hint<'c>(&self, text: &str, candidates: impl Iterator<Item = &'c str> + Clone) -> String {
        // Comparing takes time in proportion to the number of candidates.
        let max_hints = match candidates.clone().take(10_001).count() {
            0..=100 => MAX_LISTED,
            101..=10_000 => 100,
            _ => 3,
        };
        if self.problems.list.len() + self.unresolved.len() >= max_hints {
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

    /// The warnings, or the problems if there are any, in the order of `files`. `complete`: every
    /// file could be read, so that unresolved references are problems.
    pub(super) fn into_result(mut self, files: &[PathBuf], complete: bool) -> Result<Vec<Warning>, Problems> {
        if complete {
            for problem in std::mem::take(&mut self.unresolved) {
                self.problem(problem);
            }
        }
        let order = |p: &Problem| (files.iter().position(|f| *f == p.file).unwrap_or(usize::MAX), p.at);
        if self.problems.list.is_empty() {
            self.warnings.sort_by_cached_key(|w| order(&w.problem));
            Ok(self.warnings)
        } else {
            self.problems.list.sort_by_cached_key(order);
            Err(self.problems)
        }
    }
}
