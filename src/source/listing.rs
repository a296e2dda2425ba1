//! What sources of accounts give.

use secrecy::zeroize::Zeroizing;

/// What a source lists: JSON documents of the form {"credentials": [...], "accounts": [...]}. Wiped
/// when dropped.
pub struct Listing {
    pub pages: Vec<Zeroizing<String>>,
}

/// Why there is no list. In plain words, without secrets, DSNs or URLs' userinfo and queries.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(pub String);
