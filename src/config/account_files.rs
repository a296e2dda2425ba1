//! `account_files`: which files a configuration includes, and how they are opened.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use glob::{GlobError, MatchOptions};

use super::field::{relative_to, why_unreadable};
use super::findings::Problem;
use super::validator::{Document, Validator};

/// The index of the account files among the sources.
const ACCOUNT_FILES: usize = 0;

/// A member of `account_files`.
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

/// The members of `account_files`, and the files that they match: each file once, in the order of
/// patterns and names.
pub(super) fn account_files(
    documents: &[Document<'_>],
    main: &[PathBuf],
    validator: &mut Validator<'_>,
) -> (Vec<FilePattern>, Vec<(PathBuf, usize)>) {
    let identity = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut known: HashSet<PathBuf> = main.iter().map(|path| identity(path)).collect();
    let (mut patterns, mut files) = (Vec::new(), Vec::new());
    for document in documents {
        let Some(mapping) = document.field().as_mapping() else { continue };
        mapping.each("account_files", |item| {
            let Some(text) = item.text() else { return };
            let Some(pattern) = FilePattern::new(&relative_to(document.file.path, ""), text) else {
                item.problem("is not a pattern of file names like accounts.d/*.yml");
                return;
            };
            let matches = pattern.files();
            if matches.is_empty() {
                let folder = std::fs::metadata(&pattern.fixed);
                match folder.err().filter(|_| validator.has_rows_of(&pattern.fixed)) {
                    Some(e) => {
                        let problem = Problem::of_file(&pattern.fixed, None, why_unreadable(&e));
                        validator.unreadable(Some(ACCOUNT_FILES), problem);
                    }
                    None => item.warning("matches no file"),
                }
            }
            for path in matches {
                match path {
                    Ok(path) if known.insert(identity(&path)) => files.push((path, ACCOUNT_FILES)),
                    Ok(_) => {}
                    Err(e) => {
                        let problem = Problem::of_file(e.path(), None, why_unreadable(e.error()));
                        validator.unreadable(Some(ACCOUNT_FILES), problem);
                    }
                }
            }
            patterns.push(pattern);
        });
    }
    (patterns, files)
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
