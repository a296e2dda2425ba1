//! What is found while a configuration is read: problems and warnings, each with its place in a
//! file.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
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

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// Sorted by file and position.
    pub list: Vec<Problem>,
    pub more: usize,
    pub warnings: Vec<Problem>,
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

/// Maximum number of problems that are listed.
const MAX_LISTED: usize = 10_000;
/// Maximum number of warnings of one kind that are listed; more are only counted.
const MAX_OF_A_KIND: usize = 10;

/// Where all fields of a configuration report problems and warnings.
#[derive(Debug, Default)]
pub(super) struct Findings {
    problems: RefCell<Problems>,
    /// References to something that was not found. They are problems only if every file could be
    /// read: otherwise the target may be in the part that is missing.
    unresolved: RefCell<Vec<Problem>>,
    /// What works but deserves attention.
    warnings: RefCell<Vec<Problem>>,
    /// By their messages without quoted texts: their number, and the index of the last that is listed.
    kinds: RefCell<HashMap<String, (usize, usize)>>,
}

impl Findings {
    pub(super) fn problem(&self, problem: Problem) {
        let mut problems = self.problems.borrow_mut();
        if problems.list.len() < MAX_LISTED {
            problems.list.push(problem);
        } else {
            problems.more += 1;
        }
    }

    /// The number of problems so far.
    pub(super) fn problems(&self) -> usize {
        let problems = self.problems.borrow();
        problems.list.len() + problems.more
    }

    pub(super) fn unresolved(&self, problem: Problem) {
        let mut unresolved = self.unresolved.borrow_mut();
        if unresolved.len() < MAX_LISTED {
            unresolved.push(problem);
        }
    }

    /// Adds a warning, or only counts it if there are many of its kind already.
    pub(super) fn warning(&self, message: String, problem: impl FnOnce(String) -> Problem) {
        let (mut warnings, mut kinds) = (self.warnings.borrow_mut(), self.kinds.borrow_mut());
        let kind = kind(&message);
        let (count, last) = match kinds.get_mut(&*kind) {
            Some(known) => known,
            None => kinds.entry(kind.into_owned()).or_default(),
        };
        *count += 1;
        if *count <= MAX_OF_A_KIND {
            *last = warnings.len();
            warnings.push(problem(message));
        }
    }

    /// Drops what was found in a file that turned out to be broken.
    pub(super) fn forget(&self, file: &Path) {
        self.problems.borrow_mut().list.retain(|problem| problem.file != file);
        self.unresolved.borrow_mut().retain(|problem| problem.file != file);
    }

    /// ` (did you mean "mastodon"?)` for a near miss, else `; known are …` if the list is short.
    pub(super) fn hint<'c>(&self, text: &str, candidates: impl Iterator<Item = &'c str> + Clone) -> String {
        // Comparing takes time in proportion to the number of candidates.
        let max_hints = match candidates.clone().take(10_001).count() {
            0..=100 => MAX_LISTED,
            101..=10_000 => 100,
            _ => 3,
        };
        if self.problems.borrow().list.len() + self.unresolved.borrow().len() >= max_hints {
            return String::new();
        }
        if let Some(near) = nearest(text, candidates.clone()) {
            return format!(" (did you mean {}?)", shown(near));
        }
        const MOST: usize = 40;
        let known: Vec<&str> = candidates.take(MOST + 1).collect();
        if known.is_empty() || known.len() > MOST || known.iter().any(|name| looks_secret(name)) {
            return String::new();
        }
        format!("; known are {}", known.join(", "))
    }

    /// The problems with the warnings, in the order of `files`, and the unresolved references that
    /// are no problems. `complete`: every file could be read, so that all of them are problems.
    pub(super) fn into_problems(self, files: &[PathBuf], complete: bool) -> (Problems, Vec<Problem>) {
        let mut unresolved = self.unresolved.take();
        if complete {
            unresolved.drain(..).for_each(|problem| self.problem(problem));
        }
        let mut problems = self.problems.into_inner();
        problems.warnings = self.warnings.into_inner();
        for (count, last) in self.kinds.into_inner().into_values().filter(|(count, _)| *count > MAX_OF_A_KIND)
        {
            if let Some(warning) = problems.warnings.get_mut(last) {
                warning.message += &format!(" (and {} more like this)", count - MAX_OF_A_KIND);
            }
        }
        let order = |p: &Problem| (files.iter().position(|f| *f == p.file).unwrap_or(usize::MAX), p.at);
        problems.warnings.sort_by_cached_key(order);
        problems.list.sort_by_cached_key(order);
        (problems, unresolved)
    }
}

/// A message without its quoted texts.
fn kind(message: &str) -> Cow<'_, str> {
    if !message.contains('"') {
        return Cow::Borrowed(message);
    }
    Cow::Owned(message.split('"').step_by(2).collect())
}
