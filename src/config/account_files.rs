//! `account_files`, and sources that are files: which files a configuration includes, and how they are
//! opened.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use glob::{GlobError, MatchOptions};

use super::field::{Field, Mapping, relative_to, why_unreadable};
use super::sources::SourceSettings;
use super::validator::{Document, Validator};
use super::yaml::Value;

/// The index of the account files among the sources.
const ACCOUNT_FILES: usize = 0;

/// A member of `account_files`, or of a source's `file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePattern {
    glob: String,
    /// The longest part without wildcards: the folder to search, or the file itself.
    fixed: PathBuf,
    /// Whether there is more than the fixed part.
    wild: bool,
}

impl FilePattern {
    /// None if the text is not a pattern. A relative one begins in `folder`.
    fn new(folder: &Path, text: &str) -> Option<Self> {
        let mut fixed = if Path::new(text).is_absolute() { PathBuf::new() } else { folder.to_owned() };
        // Only `text` is a pattern; the name of the folder is taken literally.
        let glob = Path::new(&glob::Pattern::escape(&fixed.to_string_lossy())).join(text);
        let glob = glob.to_string_lossy().into_owned();
        glob::Pattern::new(&glob).ok()?;
        let wild = |part: &Path| part.to_string_lossy().contains(['*', '?', '[']);
        let parts = Path::new(text).components().map(|part| Path::new(part.as_os_str()));
        fixed.extend(parts.take_while(|part| !wild(part)));
        Some(Self { glob, fixed, wild: wild(Path::new(text)) })
    }

    /// The files that match now. What cannot be read is among them, as somebody has meant it to be a
    /// file; so is a name without wildcards.
    pub fn files(&self) -> Vec<Result<PathBuf, GlobError>> {
        if !self.wild {
            return vec![Ok(self.fixed.clone())];
        }
        // Editors keep locks and backup copies beside a file, under names that begin with a dot.
        let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() };
        // `*` alone also matches folders that have nothing to do with the files beside them.
        let any_name = self.glob.rsplit('/').next().is_some_and(|name| name.chars().all(|c| c == '*'));
        let skipped = |path: &Result<PathBuf, GlobError>| any_name && path.as_ref().is_ok_and(|p| p.is_dir());
        glob::glob_with(&self.glob, options).into_iter().flatten().filter(|path| !skipped(path)).collect()
    }
}

/// The files that `account_files` and the sources of this kind match: each file once, in the order of
/// sources, patterns and names, with the index of its source.
pub(super) fn account_files(
    documents: &[Document<'_>],
    main: &[PathBuf],
    validator: &mut Validator<'_>,
) -> Vec<(PathBuf, usize)> {
    let known = main.iter().map(|path| identity(path)).collect();
    let mut found = Found { known, files: Vec::new(), validator };
    let mappings: Vec<Mapping<'_>> = documents.iter().filter_map(|d| d.field().as_mapping()).collect();
    for mapping in &mappings {
        mapping.each("account_files", |item| found.add(item, ACCOUNT_FILES));
    }
    if !found.validator.config.patterns.is_empty() {
        found.validator.config.sources.insert(0, SourceSettings::account_files());
    }
    for mapping in &mappings {
        mapping.each("sources", |source| {
            let source = source.as_mapping();
            let Some(Value::Scalar(id)) = source.as_ref().and_then(|source| source.value_of("id")) else {
                return;
            };
            let index = found.validator.config.statuses.iter().position(|status| status.id == **id);
            if let (Some(source), Some(index)) = (&source, index) {
                source.each("file", |item| found.add(item, index));
            }
        });
    }
    found.files
}

/// The same for all names of a file.
fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

struct Found<'v, 'o> {
    known: HashSet<PathBuf>,
    files: Vec<(PathBuf, usize)>,
    validator: &'v mut Validator<'o>,
}

impl Found<'_, '_> {
    /// Adds the files that a pattern of a source matches.
    fn add(&mut self, item: &Field<'_>, source: usize) {
        let Some(text) = item.text() else { return };
        let Some(pattern) = FilePattern::new(&relative_to(item.file, ""), text) else {
            item.problem("is not a pattern of file names like accounts.d/*.yml");
            return;
        };
        let matches = pattern.files();
        if matches.is_empty() {
            let folder = std::fs::metadata(&pattern.fixed);
            match folder.err().filter(|_| self.validator.has_rows_of(&pattern.fixed)) {
                Some(e) => self.unreadable(&pattern.fixed, source, &e),
                None => item.warning("matches no file"),
            }
        }
        for path in matches {
            match path {
                Ok(path) if self.known.insert(identity(&path)) => self.files.push((path, source)),
                Ok(_) => {}
                Err(e) => self.unreadable(e.path(), source, e.error()),
            }
        }
        self.validator.config.patterns.push(pattern);
    }

    fn unreadable(&mut self, path: &Path, source: usize, error: &std::io::Error) {
        let place = self.validator.file(path, Some(source));
        self.validator.broken(place, None, why_unreadable(error).to_owned());
    }
}

/// Opens a file for reading, without waiting: opening a pipe could take forever.
///
/// # Errors
/// If it cannot be opened, or is no regular file.
pub fn open_regular(path: &Path) -> std::io::Result<File> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(nonblocking).open(path)?;
    match file.metadata()?.file_type() {
        kind if kind.is_file() => Ok(file),
        kind if kind.is_dir() => Err(std::io::ErrorKind::IsADirectory.into()),
        _ => Err(std::io::ErrorKind::InvalidInput.into()),
    }
}
