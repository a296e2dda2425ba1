//! Decrypts columns of a source, as the products do that encrypted them. Errors quote neither values
//! nor keys.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use aes::Aes256;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt as _, KeyIvInit as _};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flate2::{Decompress, FlushDecompress, Status};
use md5::{Digest as _, Md5};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::{digest, hmac, pbkdf2};
use secrecy::zeroize::Zeroizing;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::command;
use super::listing::{Listing, SourceError};
use super::token::{MAX_BYTES, text};
use crate::config::{DecryptScheme, DecryptSettings, KeyForm, KeySources};
use crate::inventory::SecretSource;
use crate::model::{Secret, Wiped};

/// Maximum length of an encrypted value: base64 inside of base64, and what is around it.
const MAX_VALUE: usize = 2 * MAX_BYTES;
/// Maximum duration of a command that decrypts all values of a refresh.
const COMMAND_TIME: Duration = Duration::from_secs(60);
/// After how many rows other tasks get their turn.
const ROWS_AT_A_TIME: usize = 256;
/// As Active Record Encryption derives its keys.
const RAILS_ROUNDS: NonZeroU32 = NonZeroU32::MIN.saturating_add((1 << 16) - 1);

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

type Key = Zeroizing<[u8; 32]>;
type Bytes = Zeroizing<Vec<u8>>;

/// Decrypts what a source has listed in one refresh.
pub struct Decryptor {
    columns: Vec<String>,
    scheme: Ready,
}

/// A scheme with its keys.
enum Ready {
    Laravel(Vec<Key>),
    Rails(Vec<Key>),
    N8n(Secret),
    Aes256Gcm { key: Key, apart: Option<[String; 2]> },
    Command(Vec<String>),
}

/// A value that cannot be decrypted, while others can. It costs its row only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{column} {fault}")]
pub struct RowProblem {
    /// The index among the accounts of the list.
    pub row: usize,
    pub column: String,
    pub fault: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("is not encrypted in the way that decrypt says")]
    Form,
    #[error("cannot be decrypted: it was encrypted with another key, or has been changed")]
    Refused,
    #[error("is longer than a token can be")]
    TooLong,
    #[error("does not hold a text")]
    NotText,
}

impl Decryptor {
    /// Reads the keys, and derives those that have to be derived.
    ///
    /// # Errors
    /// If a key cannot be read, or cannot be one.
    pub async fn new(settings: &DecryptSettings) -> Result<Self, SourceError> {
        let scheme = match &settings.scheme {
            DecryptScheme::Laravel(keys) => {
                let keys = read_all(keys).await?;
                let keys = keys.iter().map(|key| {
                    let text = key.reveal();
                    key_of(KeyForm::Base64, text.strip_prefix("base64:").unwrap_or(text))
                });
                Ready::Laravel(keys.collect::<Result<_, _>>()?)
            }
            DecryptScheme::Rails { keys, salt } => {
                let (keys, salt) = (read_all(keys).await?, read(salt, "key_derivation_salt").await?);
                let derived = tokio::task::spawn_blocking(move || rails_keys(&keys, &salt)).await;
                Ready::Rails(derived.map_err(|_| SourceError("deriving the keys has failed".to_owned()))?)
            }
            DecryptScheme::N8n(key) => Ready::N8n(read(key, "key").await?),
            DecryptScheme::Aes256Gcm { key, form, apart } => {
                let key = key_of(*form, read(key, "key").await?.reveal())?;
                Ready::Aes256Gcm { key, apart: apart.clone() }
            }
            DecryptScheme::Command(words) => Ready::Command(words.clone()),
        };
        Ok(Self { columns: settings.columns.clone(), scheme })
    }

    /// The same list with its encrypted columns decrypted.
    ///
    /// A decrypted text that is a JSON object becomes that object, so that `map` can reach into it
    /// with dots; any other stays a text. A value that cannot be decrypted is left out and reported.
    /// The columns of nonce and tag are left out.
    ///
    /// # Errors
    /// If there are encrypted values, but none of them can be decrypted.
    pub async fn open(&self, listing: &Listing) -> Result<(Listing, Vec<RowProblem>), SourceError> {
        let broken = |_| SourceError("the list is no JSON document with accounts".to_owned());
        let mut pages = Vec::new();
        for page in &listing.pages {
            pages.push(Page::parse(page).map_err(broken)?);
        }
        let rows = pages.iter().flat_map(|page| &page.accounts);
        let mut work =
            Work { decryptor: self, answers: self.ask(rows).await?, opened: 0, problems: Vec::new() };
        let mut opened = Listing { pages: Vec::new() };
        let mut number = 0;
        for (page, text) in pages.iter().zip(&listing.pages) {
            // Never grows: what is encrypted is longer.
            let mut out = Zeroizing::new(String::with_capacity(text.len() + 16));
            out.push('{');
            for (name, member) in &page.others {
                out.push_str(&format!("{}:{},", Value::from(name.as_str()), member.get()));
            }
            out.push_str(r#""accounts":["#);
            for (index, row) in page.accounts.iter().enumerate() {
                if number % ROWS_AT_A_TIME == 0 {
                    tokio::task::yield_now().await;
                }
                if index > 0 {
                    out.push(',');
                }
                work.row(number, row, &mut out);
                number += 1;
            }
            out.push_str("]}");
            opened.pages.push(out);
        }
        let Work { opened: count, problems, .. } = work;
        if count > 0 || problems.is_empty() { Ok((opened, problems)) } else { Err(self.none(&problems)) }
    }

    /// Why not a single value could be decrypted.
    fn none(&self, problems: &[RowProblem]) -> SourceError {
        let why = if matches!(self.scheme, Ready::Command(_)) {
            "the command answers with empty lines"
        } else if problems.iter().any(|problem| problem.fault == Fault::Refused) {
            "the key is wrong"
        } else {
            "the scheme or the columns are wrong"
        };
        SourceError(format!("none of {} encrypted values can be decrypted: {why}", problems.len()))
    }

    /// The answers of a command to all values that can be one line; none without a command.
    async fn ask<'r>(
        &self,
        rows: impl Iterator<Item = &'r &'r RawValue>,
    ) -> Result<Option<Answers>, SourceError> {
        let Ready::Command(words) = &self.scheme else { return Ok(None) };
        let mut lines = Vec::new();
        for row in rows {
            let row = Wiped(value(row));
            let Value::Object(row) = &row.0 else { continue };
            let values = self.columns.iter().filter_map(|column| row.get(column)?.as_str());
            lines.extend(values.filter(|text| is_line(text)).map(str::to_owned));
        }
        if lines.is_empty() {
            return Ok(None);
        }
        let answers = command::filter(words, &lines, COMMAND_TIME).await;
        let failed = |error| SourceError(format!("values cannot be decrypted: {error}"));
        Ok(Some(answers.map_err(failed)?.into_iter()))
    }
}

type Answers = std::vec::IntoIter<Zeroizing<String>>;

struct Page<'p> {
    accounts: Vec<&'p RawValue>,
    others: BTreeMap<String, &'p RawValue>,
}

impl<'p> Page<'p> {
    fn parse(text: &'p str) -> serde_json::Result<Self> {
        let mut others: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
        let accounts =
            others.remove("accounts").map_or(Ok(Vec::new()), |list| serde_json::from_str(list.get()))?;
        Ok(Self { accounts, others })
    }
}

fn value(row: &RawValue) -> Value {
    serde_json::from_str(row.get()).unwrap_or_default()
}

/// The rows of a list on their way.
struct Work<'d> {
    decryptor: &'d Decryptor,
    answers: Option<Answers>,
    opened: usize,
    problems: Vec<RowProblem>,
}

impl Work<'_> {
    /// Writes a row with its columns decrypted.
    fn row(&mut self, number: usize, row: &RawValue, out: &mut String) {
        let mut value = Wiped(value(row));
        let Value::Object(row) = &mut value.0 else { return out.push_str(row.get()) };
        for column in &self.decryptor.columns {
            match self.column(row, column) {
                Ok(None) => {}
                Ok(Some(text)) => {
                    self.opened += 1;
                    row.insert(column.clone(), shown(text));
                }
                Err(fault) => {
                    row.remove(column);
                    self.problems.push(RowProblem { row: number, column: column.clone(), fault });
                }
            }
        }
        if let Ready::Aes256Gcm { apart: Some(apart), .. } = &self.decryptor.scheme {
            apart.iter().for_each(|column| _ = row.remove(column));
        }
        out.push_str(&Zeroizing::new(value.0.to_string()));
    }

    /// The decrypted text of a column; none if it has no value, or one that is not encrypted.
    fn column(&mut self, row: &Map<String, Value>, column: &str) -> Result<Option<Zeroizing<String>>, Fault> {
        match row.get(column) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.len() > MAX_VALUE => Err(Fault::TooLong),
            Some(Value::String(text)) => match (&self.decryptor.scheme, &mut self.answers) {
                (Ready::Command(_), Some(answers)) if is_line(text) => {
                    answers.next().filter(|answer| !answer.is_empty()).map(Some).ok_or(Fault::Refused)
                }
                (scheme, _) => scheme.decrypt(text, row),
            },
            Some(_) => Err(Fault::Form),
        }
    }
}

impl fmt::Debug for Decryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decryptor").field("columns", &self.columns).finish_non_exhaustive()
    }
}

fn is_line(text: &str) -> bool {
    text.len() <= MAX_VALUE && !text.contains('\n')
}

/// A decrypted text as `map` sees it.
fn shown(mut text: Zeroizing<String>) -> Value {
    if text.starts_with('{')
        && let Ok(object) = serde_json::from_str::<Map<String, Value>>(&text)
    {
        return Value::Object(object);
    }
    Value::String(std::mem::take(&mut text))
}

impl Ready {
    /// The text of a value; none for a value that is not encrypted.
    fn decrypt(&self, value: &str, row: &Map<String, Value>) -> Result<Option<Zeroizing<String>>, Fault> {
        let bytes = match self {
            Self::Laravel(keys) => laravel(keys, value)?,
            Self::Rails(_) if !value.starts_with(r#"{"p":"#) => return Ok(None),
            Self::Rails(keys) => rails(keys, value)?,
            Self::N8n(key) => n8n(key, value)?,
            Self::Aes256Gcm { key, apart: None } => nonce_first(key, value)?,
            Self::Aes256Gcm { key, apart: Some([iv, tag]) } => {
                let part = |column: &str| row.get(column).and_then(Value::as_str).unwrap_or("");
                match (part(iv), part(tag)) {
                    ("", "") => return Ok(None),
                    (iv, tag) => in_columns(key, value, iv, tag)?,
                }
            }
            Self::Command(_) => return Err(Fault::Form),
        };
        if bytes.len() > MAX_BYTES {
            return Err(Fault::TooLong);
        }
        text(bytes).map(Some).map_err(|_| Fault::NotText)
    }
}

async fn read(source: &SecretSource, what: &str) -> Result<Secret, SourceError> {
    let read = source.read().await;
    let failed =
        |error| SourceError(format!("the {what} of decrypt cannot be read: {}: {error}", source.place()));
    read.map(|(secret, _)| secret).map_err(failed)
}

/// The current key and the previous ones.
async fn read_all(sources: &KeySources) -> Result<Vec<Secret>, SourceError> {
    let mut keys = vec![read(&sources.current, "key").await?];
    if let Some(previous) = &sources.previous {
        let list = read(previous, "previous_keys").await?;
        let listed = list.reveal().split(',').filter(|key| !key.is_empty());
        keys.extend(listed.map(Secret::new));
    }
    Ok(keys)
}

fn key_of(form: KeyForm, text: &str) -> Result<Key, SourceError> {
    let key = match form {
        KeyForm::Base64 => base64(text).and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok()),
        KeyForm::Sha256 => digest::digest(&digest::SHA256, text.as_bytes()).as_ref().try_into().ok(),
    };
    key.map(Zeroizing::new)
        .ok_or_else(|| SourceError("a key of decrypt is not base64 of 32 bytes".to_owned()))
}

/// Each key as Rails derives it with SHA-256, the default since 7.1, and with SHA-1. Which of them is
/// right shows in the tags of the values.
fn rails_keys(keys: &[Secret], salt: &Secret) -> Vec<Key> {
    let derive = |key: &Secret, algorithm| {
        let mut derived = Zeroizing::new([0; 32]);
        let (salt, secret) = (salt.reveal().as_bytes(), key.reveal().as_bytes());
        pbkdf2::derive(algorithm, RAILS_ROUNDS, salt, secret, &mut *derived);
        derived
    };
    let algorithms = [pbkdf2::PBKDF2_HMAC_SHA256, pbkdf2::PBKDF2_HMAC_SHA1];
    algorithms.iter().flat_map(|algorithm| keys.iter().map(|key| derive(key, *algorithm))).collect()
}

/// Base64 of JSON. AES-256-CBC has a MAC of both other parts as they are written; AES-256-GCM, a tag.
fn laravel(keys: &[Key], value: &str) -> Result<Bytes, Fault> {
    #[derive(Deserialize)]
    struct Payload {
        iv: String,
        value: String,
        #[serde(default)]
        mac: String,
        #[serde(default)]
        tag: String,
    }
    let payload: Payload =
        base64(value).and_then(|json| serde_json::from_slice(&json).ok()).ok_or(Fault::Form)?;
    let (iv, mut sealed) = base64(&payload.iv).zip(base64(&payload.value)).ok_or(Fault::Form)?;
    if !payload.tag.is_empty() {
        sealed.extend_from_slice(&base64(&payload.tag).ok_or(Fault::Form)?);
        return gcm(keys, &iv, &sealed);
    }
    let mac = hex(&payload.mac).ok_or(Fault::Form)?;
    let signed = payload.iv + &payload.value;
    let signs = |key: &&Key| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &***key);
        hmac::verify(&key, signed.as_bytes(), &mac).is_ok()
    };
    keys.iter().find(signs).and_then(|key| cbc(&**key, &iv, &sealed)).ok_or(Fault::Refused)
}

fn rails(keys: &[Key], value: &str) -> Result<Bytes, Fault> {
    #[derive(Deserialize)]
    struct Message {
        p: String,
        h: Headers,
    }
    #[derive(Deserialize)]
    struct Headers {
        iv: String,
        at: String,
        /// Whether the text is compressed.
        #[serde(default)]
        c: bool,
    }
    let message: Message = serde_json::from_str(value).map_err(|_| Fault::Form)?;
    let sealed = |text: &str, tag: &str| Some((base64(text)?, base64(tag)?));
    let (mut sealed, tag) = sealed(&message.p, &message.h.at).ok_or(Fault::Form)?;
    sealed.extend_from_slice(&tag);
    let bytes = gcm(keys, &base64(&message.h.iv).ok_or(Fault::Form)?, &sealed)?;
    if message.h.c { inflated(&bytes) } else { Ok(bytes) }
}

/// As `openssl enc -aes-256-cbc -md md5` writes it. It has no tag, so the text must prove itself: the
/// data of a credential is a JSON object.
fn n8n(key: &Secret, value: &str) -> Result<Bytes, Fault> {
    let bytes = base64(value).ok_or(Fault::Form)?;
    let (salt, sealed) =
        bytes.strip_prefix(b"Salted__").and_then(|rest| rest.split_at_checked(8)).ok_or(Fault::Form)?;
    let mut derived = Zeroizing::new([0; 48]);
    let mut last: &[u8] = &[];
    for part in derived.chunks_exact_mut(16) {
        let hash = Md5::new().chain_update(last).chain_update(key.reveal()).chain_update(salt).finalize();
        part.copy_from_slice(&hash);
        last = part;
    }
    let (key, iv) = derived.split_at(32);
    let is_object =
        |bytes: &Bytes| serde_json::from_slice(bytes).is_ok_and(|value| Wiped(value).0.is_object());
    cbc(key, iv, sealed).filter(is_object).ok_or(Fault::Refused)
}

fn nonce_first(key: &Key, value: &str) -> Result<Bytes, Fault> {
    // Hexadecimal digits are base64, too. The tag tells which of both it is.
    let value = value.strip_prefix("\\x").unwrap_or(value);
    let mut forms = [hex(value), base64(value)].into_iter().flatten().filter(|bytes| bytes.len() >= 12 + 16);
    let mut fault = Fault::Form;
    let opened = forms.find_map(|bytes| {
        fault = Fault::Refused;
        let (nonce, sealed) = bytes.split_at(12);
        gcm(std::slice::from_ref(key), nonce, sealed).ok()
    });
    opened.ok_or(fault)
}

fn in_columns(key: &Key, value: &str, iv: &str, tag: &str) -> Result<Bytes, Fault> {
    let parts = || Some((base64(iv)?, base64(value)?, base64(tag)?));
    let (iv, mut sealed, tag) = parts().ok_or(Fault::Form)?;
    sealed.extend_from_slice(&tag);
    gcm(std::slice::from_ref(key), &iv, &sealed)
}

/// Opens an encrypted text with its tag behind it.
fn gcm(keys: &[Key], iv: &[u8], sealed: &[u8]) -> Result<Bytes, Fault> {
    let open = |key: &Key| {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &**key).ok()?);
        let nonce = Nonce::try_assume_unique_for_key(iv).ok()?;
        let mut bytes = Zeroizing::new(sealed.to_vec());
        let length = key.open_in_place(nonce, Aad::empty(), &mut bytes).ok()?.len();
        bytes.truncate(length);
        Some(bytes)
    };
    keys.iter().find_map(open).ok_or(Fault::Refused)
}

fn cbc(key: &[u8], iv: &[u8], sealed: &[u8]) -> Option<Bytes> {
    let cipher = cbc::Decryptor::<Aes256>::new_from_slices(key, iv).ok()?;
    let mut bytes = Zeroizing::new(sealed.to_vec());
    let length = cipher.decrypt_padded::<Pkcs7>(&mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}

/// A text that Rails has compressed.
fn inflated(bytes: &[u8]) -> Result<Bytes, Fault> {
    // Never grows: that would leave copies of the text in memory.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
    match Decompress::new(true).decompress_vec(bytes, &mut text, FlushDecompress::Finish) {
        Ok(Status::StreamEnd) => Ok(text),
        Ok(Status::Ok | Status::BufError) if text.len() > MAX_BYTES => Err(Fault::TooLong),
        Ok(Status::Ok | Status::BufError) | Err(_) => Err(Fault::Form),
    }
}

/// Databases break base64 into lines.
fn base64(text: &str) -> Option<Bytes> {
    let text: Zeroizing<String> = Zeroizing::new(text.split_ascii_whitespace().collect());
    BASE64.decode(text.as_bytes()).ok().map(Zeroizing::new)
}

fn hex(text: &str) -> Option<Bytes> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect::<Option<Vec<u8>>>().map(Zeroizing::new)
}
