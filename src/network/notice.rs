//! Notices that networks send by themselves: how they are checked, and what they prove.
//!
//! A network's own file checks the signature. What counts at once is only what the network signs and
//! states plainly.

use std::num::NonZeroU64;
use std::sync::Arc;

use http::HeaderMap;
use ring::digest::{SHA256, digest};
use serde_json::Value;

use super::CallInfo;
use crate::model::{Reason, Secret, Timestamp, stable_hash};

/// How a network's notices are received.
#[derive(Debug)]
pub struct NoticeForm {
    /// Reads a notice whose signature is right.
    pub read: fn(&NoticeRequest<'_>) -> Result<NoticeSet, NoticeRefusal>,
    /// Status of the answer to a notice that was read.
    pub status: u16,
    /// Answers a GET, by the app's secret and the query; none if the network sends none.
    pub get: Option<fn(&Secret, &str) -> Option<String>>,
    /// Where the network publishes the keys that sign its notices; none if the app's secret does.
    pub keys: Option<&'static KeyCalls>,
    /// Hashes of the names by which notices tell a refresh token; none if they do not.
    pub token_names: Option<fn(&Secret) -> [u64; 2]>,
}

/// The calls that lead to a network's public keys. A probe never makes them.
#[derive(Debug)]
pub struct KeyCalls {
    /// The document that tells the issuer and where the keys are.
    pub discovery: &'static CallInfo,
    pub keys: &'static CallInfo,
}

/// The keys that sign a network's notices.
#[derive(Debug)]
pub struct NoticeKeys {
    pub issuer: String,
    /// A JSON Web Key Set (RFC 7517).
    pub set: Value,
}

/// A notice as it arrived, and what it is checked by.
#[derive(Clone, Copy, Debug)]
pub struct NoticeRequest<'a> {
    pub client_id: &'a str,
    /// Never empty. None if the app's secret does not sign notices.
    pub secret: Option<&'a Secret>,
    pub keys: Option<&'a NoticeKeys>,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

/// What a notice says, which may be about several logins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeSet {
    /// Tells this notice from others; the same if it is sent again.
    pub id: u128,
    /// When the network wrote it.
    pub at: Timestamp,
    pub notices: Vec<Notice>,
    /// The code that confirms a request to delete data, if the network wants one in the answer.
    pub confirmation: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The network's name of the event.
    pub event: &'static str,
    pub about: Subject,
    /// Why the login is lost, if the notice states that plainly. Otherwise a probe must tell.
    pub lost: Option<Reason>,
}

/// Who a notice is about, as a hash of the name in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The network's id of the person.
    User(NonZeroU64),
    /// A refresh token.
    Token(u64),
}

/// Why a notice is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeRefusal {
    BadSignature,
    /// It is signed by a key that is not among those that are known.
    UnknownKey,
    /// It is signed, but for another app.
    OtherApp,
    Malformed,
}

/// Hashes of the names by which notices tell a login.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginNames {
    pub user: Option<NonZeroU64>,
    pub tokens: Option<Arc<[u64; 2]>>,
}

impl LoginNames {
    pub fn subjects(&self) -> impl Iterator<Item = Subject> {
        let tokens = self.tokens.iter().flat_map(|tokens| **tokens).map(Subject::Token);
        self.user.map(Subject::User).into_iter().chain(tokens)
    }
}

impl Subject {
    pub fn user(id: &str) -> Self {
        Self::User(user_hash(id))
    }
}

impl NoticeSet {
    /// A set without a confirmation. `signed` is the part of the notice that stays the same if it is
    /// sent again.
    pub(super) fn new(signed: &[u8], at: Timestamp, notices: Vec<Notice>) -> Self {
        let hash = digest(&SHA256, signed);
        let id = hash.as_ref().iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte));
        Self { id, at, notices, confirmation: None }
    }
}

/// A hash of a network's id of a person.
pub fn user_hash(id: &str) -> NonZeroU64 {
    NonZeroU64::new(stable_hash(id)).unwrap_or(NonZeroU64::MIN)
}

/// The bytes that hexadecimal digits stand for.
pub(super) fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect()
}
