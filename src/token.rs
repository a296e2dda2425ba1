//! placeholder until token sources land.
#![allow(missing_docs)]
use crate::config::Credential;
use crate::network::{Clocks, Tokens};
use crate::secret::Secret;
use crate::time::Timestamp;
use std::path::PathBuf;

#[derive(Clone, Debug)]
pub enum SecretSource {
    File(PathBuf),
    Env(String),
    Command(Vec<String>),
    Inline(Secret),
}
#[derive(Clone, Debug, thiserror::Error)]
#[error("x")]
pub struct Unreadable;
impl SecretSource {
    pub async fn read(&self) -> Result<(Secret, Option<Timestamp>), Unreadable> {
        Err(Unreadable)
    }
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        None
    }
}
pub struct TokenSet {
    pub tokens: Tokens,
    pub clocks: Clocks,
}
pub async fn read(_credential: &Credential) -> Result<TokenSet, Unreadable> {
    Err(Unreadable)
}
pub type Fingerprint = u64;
