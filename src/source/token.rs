//! Reads tokens from files, environment variables, commands and the configuration.
//!
//! Every probe reads its sources again, so that tokens can be refreshed without notice to this
//! program. Errors never quote what a source holds.

use std::fmt;
use std::hash::RandomState;
use std::io::Read as _;
use std::num::NonZeroU32;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use secrecy::zeroize::{Zeroize as _, Zeroizing};
use serde_json::{Map, Value};

use super::command;
use crate::config::{is_variable, open_regular};
use crate::inventory::{CredentialView, SecretSource};
use crate::model::{Expiry, Secret, Timestamp, Wiped};
use crate::network::{Clocks, Tokens, parse};

/// Maximum length of a secret.
pub(super) const MAX_BYTES: usize = 64 * 1024;

const MAX_PEM_BYTES: usize = 1 << 20;

const COMMAND_TIME: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("the file does not exist")]
    Missing,
    #[error("the file may not be read (permission denied)")]
    Denied,
    #[error("not a regular file")]
    NotAFile,
    #[error("the file cannot be read ({0})")]
    Io(std::io::ErrorKind),
    #[error("longer than 64 KiB: not a token")]
    TooLong,
    #[error("not UTF-8 text")]
    NotText,
    #[error("empty")]
    Empty,
    #[error("blanks, quotes or control characters inside the token")]
    NotAToken,
    #[error("more than one line, or control characters")]
    NotALine,
    #[error("JSON without an access_token")]
    NoAccessToken,
    #[error("the environment variable is not set")]
    NotSet,
    #[error("the command cannot be started ({0})")]
    NotStarted(std::io::ErrorKind),
    #[error("the command was stopped after {0} s")]
    TooSlow(u64),
    #[error("the command failed with exit code {0}")]
    Failed(i32),
    #[error("the command failed with a signal")]
    Killed,
    #[error("not read since the start")]
    Unread,
    #[error("the command does not print one line for each line that it reads")]
    Unmatched,
}

/// Tells whether a file has changed, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    modified: Option<SystemTime>,
    size: u64,
    inode: u64,
}

#[derive(Clone, Debug)]
pub struct TokenSet {
    pub tokens: Tokens,
    /// As far as the sources and the configuration tell.
    pub clocks: Clocks,
    /// When the files of the token and of the token secret were written, if they come from files.
    pub written: [Option<Timestamp>; 2],
    /// What is ignored in the token's source, and why.
    pub warnings: Vec<&'static str>,
}

/// Tells whether tokens have changed, without keeping them: short hashes under a key that each process
/// draws anew. It is kept in memory only, and never logged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash {
    /// Of the access token and the refresh token.
    token: NonZeroU32,
    /// Of the token secret of OAuth 1.0a.
    secret: Option<NonZeroU32>,
}

impl TokenHash {
    pub fn of(tokens: &Tokens) -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let short = |hash: u64| NonZeroU32::new((hash >> 32) as u32).unwrap_or(NonZeroU32::MIN);
        Self {
            token: short(
                tokens.access.keyed_hash(&*KEY) ^ tokens.refresh.as_ref().map_or(0, |r| r.keyed_hash(&*KEY)),
            ),
            secret: tokens.secret.as_ref().map(|secret| short(secret.keyed_hash(&*KEY))),
        }
    }

    /// Whether the token, and whether the token secret, differs from an earlier one.
    pub fn changed_since(self, earlier: Self) -> [bool; 2] {
        [self.token != earlier.token, self.secret != earlier.secret]
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenHash").finish_non_exhaustive()
    }
}

impl Fingerprint {
    /// Of the file at the end of all links; none if there is no file.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { modified: metadata.modified().ok(), size: metadata.len(), inode: metadata.ino() })
    }

    pub fn written(&self) -> Option<Timestamp> {
        timestamp(self.modified?)
    }
}

impl SecretSource {
    /// The secret without blanks around it, and when its file was written if it has one.
    ///
    /// # Errors
    /// If there is no secret, or what is there cannot be one.
    pub async fn read(&self) -> Result<(Secret, Option<Timestamp>), Unreadable> {
        match self.content().await? {
            Content::Ready(secret) => Ok((secret, None)),
            Content::Text(text, written) => Ok((bare(&text)?, written)),
        }
    }

    /// A password: one line, which may hold blanks and quotes, unlike a token.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn read_line(&self) -> Result<Secret, Unreadable> {
        match self.content().await? {
            Content::Ready(secret) => Ok(secret),
            Content::Text(text, _) if text.chars().any(char::is_control) => Err(Unreadable::NotALine),
            Content::Text(text, _) => Ok(Secret::new(text.as_str())),
        }
    }

    /// Where the secret comes from, for messages.
    pub fn place(&self) -> String {
        match self {
            Self::Inline(_) => "the configuration".to_owned(),
            Self::Unread => "its source".to_owned(),
            Self::File(path) => path.display().to_string(),
            Self::Env(name) => format!("the variable {name}"),
            Self::Command(words) => format!("the command {}", words.first().map_or("", String::as_str)),
        }
    }

    pub fn fingerprint(&self) -> Option<Fingerprint> {
        let Self::File(path) = self else { return None };
        Fingerprint::of(path)
    }

    async fn content(&self) -> Result<Content, Unreadable> {
        let (text, written) = match self {
            Self::Inline(secret) => return Ok(Content::Ready(secret.clone())),
            Self::Unread => return Err(Unreadable::Unread),
            Self::File(path) => read_file(path, MAX_BYTES).await?,
            Self::Env(name) => match std::env::var(name) {
                Ok(text) => (Zeroizing::new(text), None),
                Err(std::env::VarError::NotPresent) => return Err(Unreadable::NotSet),
                Err(std::env::VarError::NotUnicode(_)) => return Err(Unreadable::NotText),
            },
            Self::Command(words) => (command::run(words, COMMAND_TIME).await?, None),
        };
        let trimmed = text.trim_start_matches('\u{feff}').trim();
        if trimmed.is_empty() {
            Err(Unreadable::Empty)
        } else {
            Ok(Content::Text(Zeroizing::new(trimmed.to_owned()), written))
        }
    }
}

/// What a source holds. Texts that may hold a secret are wiped when they are dropped.
enum Content {
    Ready(Secret),
    Text(Zeroizing<String>, Option<Timestamp>),
}

/// Reads a file on a thread for blocking work, in one step: handing over costs more than reading.
async fn read_file(path: &Path, most: usize) -> Result<(Zeroizing<String>, Option<Timestamp>), Unreadable> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read_file_now(&path, most)).await;
    read.unwrap_or(Err(Unreadable::Io(std::io::ErrorKind::Other)))
}

fn read_file_now(path: &Path, most: usize) -> Result<(Zeroizing<String>, Option<Timestamp>), Unreadable> {
    let unreadable = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => Unreadable::Missing,
        std::io::ErrorKind::PermissionDenied => Unreadable::Denied,
        std::io::ErrorKind::IsADirectory | std::io::ErrorKind::InvalidInput => Unreadable::NotAFile,
        kind => Unreadable::Io(kind),
    };
    let file = open_regular(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let written = metadata.modified().ok().and_then(timestamp);
    // Never grows: that would leave copies of the token in memory.
    let mut bytes =
        Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(most).min(most) + 1));
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > most {
        return Err(Unreadable::TooLong);
    }
    Ok((text(bytes)?, written))
}

/// The text of a file in PEM form: certificates, or a key.
///
/// # Errors
/// Why it cannot be read.
pub async fn read_pem(path: &Path) -> Result<Secret, String> {
    let read = read_file(path, MAX_PEM_BYTES).await.map_err(|error| match error {
        Unreadable::TooLong => "longer than 1 MiB: not a certificate".to_owned(),
        error => error.to_string(),
    });
    read.map(|(text, _)| Secret::new(text.as_str())).map_err(|why| format!("{}: {why}", path.display()))
}

fn timestamp(time: SystemTime) -> Option<Timestamp> {
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    i64::try_from(seconds).ok().and_then(Timestamp::from_unix)
}

pub(super) fn text(mut bytes: Zeroizing<Vec<u8>>) -> Result<Zeroizing<String>, Unreadable> {
    String::from_utf8(std::mem::take(&mut bytes)).map(Zeroizing::new).map_err(|error| {
        error.into_bytes().zeroize();
        Unreadable::NotText
    })
}

fn bare(text: &str) -> Result<Secret, Unreadable> {
    // Quotes are in no token, but in what is left of JSON that was cut.
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '"') {
        Err(Unreadable::NotAToken)
    } else {
        Ok(Secret::new(text))
    }
}

/// Reads the tokens of a credential.
///
/// # Errors
/// If the token, or the token secret of OAuth 1.0a, cannot be read.
pub async fn read_tokens(credential: CredentialView<'_>) -> Result<TokenSet, Unreadable> {
    let mut set = match credential.token().content().await? {
        Content::Ready(access) => only(access, None),
        Content::Text(text, written) if text.starts_with('{') => response(&text, written)?,
        Content::Text(text, written) => only(bare(&text)?, written),
    };
    if let Some(source) = credential.token_secret() {
        let (secret, written) = source.read().await?;
        (set.tokens.secret, set.written[1]) = (Some(secret), written);
    }
    set.clocks = set.clocks.or(configured_clocks(credential));
    if set.tokens.scopes.is_none() {
        set.tokens.scopes = credential.scopes().map(<[String]>::to_vec);
    }
    Ok(set)
}

/// An access token that lives no longer is meant to be refreshed, in seconds.
const SHORT: i64 = 86_400;

/// What is wrong with a token file, what is ignored in it, and what it suggests. Nothing about a file
/// that is not there, which the configuration tells.
pub fn file_warnings(path: &Path, auto_refresh: bool) -> Vec<String> {
    let read = read_file_now(path, MAX_BYTES).and_then(|(text, written)| {
        let text = text.trim_start_matches('\u{feff}').trim();
        match text {
            "" => Err(Unreadable::Empty),
            _ if text.starts_with('{') => response(text, written),
            _ if is_variable(text) => {
                let hint = "a variable, which is not replaced here; token_env names one";
                Ok(TokenSet { warnings: vec![hint], ..only(bare(text)?, written) })
            }
            _ => Ok(only(bare(text)?, written)),
        }
    });
    let set = match read {
        Ok(set) => set,
        Err(Unreadable::Missing | Unreadable::NotAFile) => return Vec::new(),
        Err(error) => return vec![format!("no token can be read: {error}")],
    };
    let mut warnings: Vec<String> = set.warnings.iter().map(|warning| (*warning).to_owned()).collect();
    let life = set.clocks.access.at().zip(set.clocks.issued).map(|(end, issued)| end.since(issued));
    if set.tokens.refresh.is_some() && life.is_some_and(|life| life <= SHORT) && !auto_refresh {
        let hint = "the access token is short-lived and has a refresh_token: if another program refreshes \
                    it, auto_refresh: true is missing, without which its end is a deadline";
        warnings.push(hint.to_owned());
    }
    warnings
}

pub fn configured_clocks(credential: CredentialView<'_>) -> Clocks {
    let expiry = |time: Option<Timestamp>| time.map_or(Expiry::Unknown, Expiry::At);
    Clocks {
        access: expiry(credential.expires_at()),
        refresh: expiry(credential.refresh_expires_at()),
        ..Clocks::default()
    }
}

fn only(access: Secret, written: Option<Timestamp>) -> TokenSet {
    TokenSet {
        tokens: Tokens { access, secret: None, refresh: None, scopes: None },
        clocks: Clocks::default(),
        written: [written, None],
        warnings: Vec::new(),
    }
}

/// Reads a stored token response (RFC 6749, section 5.1) with the extensions of networks.
fn response(text: &str, written: Option<Timestamp>) -> Result<TokenSet, Unreadable> {
    let json = Wiped(serde_json::from_str::<Value>(text).unwrap_or_default());
    let Value::Object(object) = &json.0 else { return Err(Unreadable::NoAccessToken) };
    // TikTok's business API wraps the response.
    let object = match object.get("data") {
        Some(Value::Object(inner)) if !object.contains_key("access_token") => inner,
        _ => object,
    };
    let secret = |name: &str| {
        object.get(name).and_then(Value::as_str).map(str::trim).filter(|t| !t.is_empty()).map(bare)
    };
    let access = secret("access_token").ok_or(Unreadable::NoAccessToken)??;
    let said = first(object, &["issued_at", "created_at"]).and_then(parse::instant);
    let issued = said.or(written);
    let end = |at: &[&str], lasts: &[&str]| {
        let instant = first(object, at).and_then(parse::instant);
        let seconds = || first(object, lasts).and_then(parse::integer).filter(|s| *s > 0);
        instant.or_else(|| Some(issued?.plus(seconds()?))).map_or(Expiry::Unknown, Expiry::At)
    };
    let mut clocks = Clocks {
        access: end(&["expires_at"], &["expires_in"]),
        refresh: end(
            &["refresh_token_expires_at", "refresh_expires_at"],
            &["refresh_token_expires_in", "refresh_expires_in"],
        ),
        data_access: Expiry::Unknown,
        // Only a response with `expires_in` is assumed to have been stored when it was issued.
        issued: said.or_else(|| first(object, &["expires_in"]).and(written)),
    };
    let scopes = first(object, &["scope", "scopes"]).and_then(parse::scopes).filter(|s| !s.is_empty());
    let mut warnings = Vec::new();
    for clock in [&mut clocks.access, &mut clocks.refresh] {
        if clock.at().is_some_and(|end| end > Timestamp::latest_expiry()) {
            *clock = Expiry::Unknown;
            warnings.push("an expiry more than ten years ahead is ignored");
        }
    }
    let refresh = secret("refresh_token").transpose()?;
    if refresh.is_none() && object.contains_key("refresh_token") {
        clocks.refresh = Expiry::Unknown;
        warnings.push("refresh_token is empty; its expiry is ignored");
    }
    let tokens = Tokens { access, secret: None, refresh, scopes };
    Ok(TokenSet { tokens, clocks, written: [written, None], warnings })
}

fn first<'v>(object: &'v Map<String, Value>, names: &[&str]) -> Option<&'v Value> {
    names.iter().find_map(|name| object.get(*name)).filter(|v| !v.is_null())
}
