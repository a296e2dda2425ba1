//! Where a secret comes from. How it is read is the business of `source`.

use std::path::PathBuf;

use crate::model::Secret;

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A file, read on every probe.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// A program and its arguments; the secret is what it prints.
    Command(Vec<String>),
    /// The configuration itself.
    Inline(Secret),
}
