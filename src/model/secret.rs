//! Texts that must never be seen: tokens, client secrets, proofs.
//!
//! A [`Secret`] prints as `[REDACTED]`, is wiped when dropped, and can be combined into other
//! secrets without leaving this type. Its text comes out through [`Secret::reveal`] alone, which
//! only the code that sends requests and mails, and that signs requests, calls (a test reads the
//! sources for other callers).

use std::fmt;
use std::hash::BuildHasher;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::digest::{SHA512, digest};
use ring::hmac;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::zeroize::Zeroize as _;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::stable_hash;

/// JWTs have no padding, but some issuers add it.
pub const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Everything but the unreserved characters of RFC 3986: for path segments and OAuth 1.0a alike.
pub const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub fn percent_encode(text: &str) -> String {
    utf8_percent_encode(text, STRICT).to_string()
}

/// What is shown instead of a secret.
pub const REDACTED: &str = "[REDACTED]";

/// A text that is never logged, shown or stored.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself, to be sent to the network that issued it and to nobody else.
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }

    /// `{text}{separator}{self}` as a secret of its own, as in Facebook's app token `id|secret`.
    #[must_use]
    pub fn prefixed(&self, text: &str) -> Self {
        Self::new(format!("{text}{}", self.reveal()))
    }

    /// Texts and secrets in a row, as one secret: a request that carries tokens inside its body.
    #[must_use]
    pub fn concat<'a>(parts: impl IntoIterator<Item = &'a Self> + Clone) -> Self {
        // All the room at once: a text that grows leaves copies behind.
        let room = parts.clone().into_iter().map(|part| part.reveal().len()).sum();
        Self::new(parts.into_iter().fold(String::with_capacity(room), |text, part| text + part.reveal()))
    }

    /// The value of `Authorization` for a user with this password (RFC 7617).
    #[must_use]
    pub fn basic(&self, user: &str) -> Self {
        Self::new(format!("Basic {}", STANDARD.encode(self.prefixed(&format!("{user}:")).reveal())))
    }

    /// A hash under a random key, to compare secrets without keeping them.
    pub fn keyed_hash(&self, key: &impl BuildHasher) -> u64 {
        key.hash_one(self.reveal())
    }

    #[must_use]
    pub fn percent_encoded(&self) -> Self {
        Self::new(percent_encode(self.reveal()))
    }

    /// Hexadecimal HMAC-SHA256 of this secret under `key`: Meta's `appsecret_proof`.
    #[must_use]
    pub fn hmac_sha256_hex(&self, key: &Secret) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.reveal().as_bytes());
        let mut hex = String::with_capacity(64);
        for byte in hmac::sign(&key, self.reveal().as_bytes()).as_ref() {
            hex.push_str(&format!("{byte:02x}"));
        }
        Self::new(hex)
    }

    pub fn digest(&self) -> SecretDigest {
        let mut digest = [0; 32];
        digest
            .copy_from_slice(ring::digest::digest(&ring::digest::SHA256, self.reveal().as_bytes()).as_ref());
        SecretDigest(digest)
    }

    /// Whether a tag is the HMAC-SHA256 of a message under this secret. Compares in constant time.
    pub fn has_signed(&self, message: &[u8], tag: &[u8]) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.reveal().as_bytes());
        hmac::verify(&key, message, tag).is_ok()
    }

    /// Hashes of the names by which Google's notices tell a refresh token: its first 16 characters,
    /// and the base64 of its double SHA-512.
    pub fn name_hashes(&self) -> [u64; 2] {
        let text = self.reveal();
        let twice = digest(&SHA512, digest(&SHA512, text.as_bytes()).as_ref());
        [stable_hash(text.get(..16).unwrap_or(text)), stable_hash(&STANDARD_NO_PAD.encode(twice))]
    }

    /// HMAC-SHA1 of a text under this secret, as OAuth 1.0a signs with it.
    pub fn hmac_sha1(&self, text: &str) -> hmac::Tag {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.reveal().as_bytes());
        hmac::sign(&key, text.as_bytes())
    }

    /// The claims of a JWT (RFC 7519). None for an opaque token, and for an encrypted one with its
    /// five segments.
    ///
    /// The signature is not checked: what a claim says is a hint, never a proof.
    pub fn jwt_claims(&self) -> Option<Value> {
        let mut segments = self.reveal().trim().split('.');
        let (header, claims, _signature) = (segments.next()?, segments.next()?, segments.next()?);
        if segments.next().is_some() {
            return None;
        }
        let json = |segment: &str| {
            BASE64URL.decode(segment).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
        };
        // Opaque tokens hold dots, too: Google's "ya29.", Discord's for bots.
        json(header)?.get("alg")?;
        json(claims).filter(Value::is_object)
    }

    /// The cost of a password's bcrypt hash; none for anything else.
    pub fn bcrypt_cost(&self) -> Option<u32> {
        self.reveal()
            .parse::<bcrypt::HashParts>()
            .ok()
            .map(|hash| hash.get_cost())
            .filter(|cost| (4..=31).contains(cost))
    }

    /// Whether this is the password of a bcrypt hash.
    pub fn has_bcrypt(&self, hash: &Secret) -> bool {
        bcrypt::verify(self.reveal(), hash.reveal()).unwrap_or(false)
    }

    /// Takes as long as [`has_bcrypt`](Self::has_bcrypt) does with a hash of this cost.
    pub fn spend_bcrypt(&self, cost: u32) {
        std::hint::black_box(bcrypt::hash_with_salt(self.reveal(), cost, [0; 16]).is_ok());
    }

    pub fn private_key(&self) -> Option<PrivateKeyDer<'static>> {
        PrivateKeyDer::from_pem_slice(self.reveal().as_bytes()).ok()
    }

    /// The certificates that a text in PEM form holds; none where one is damaged.
    pub fn certificates(&self) -> Option<Vec<CertificateDer<'static>>> {
        CertificateDer::pem_slice_iter(self.reveal().as_bytes()).collect::<Result<_, _>>().ok()
    }

    /// A text with this secret replaced, also where it stands percent-encoded.
    pub fn removed_from(&self, text: &str) -> String {
        /// Shorter secrets may be words of the text.
        const SHORTEST: usize = 4;
        if self.reveal().len() < SHORTEST {
            return text.to_owned();
        }
        text.replace(self.reveal(), REDACTED).replace(&percent_encode(self.reveal()), REDACTED)
    }

    pub fn is_empty(&self) -> bool {
        self.reveal().is_empty()
    }
}

/// SHA-256 of a secret, by which it is recognised.
#[derive(Clone, Copy)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// Takes the same time wherever the two differ.
    pub fn is(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }
}

/// JSON whose strings are wiped when it is dropped.
pub struct Wiped(pub Value);

impl Drop for Wiped {
    fn drop(&mut self) {
        fn wipe(value: &mut Value) {
            match value {
                Value::String(text) => text.zeroize(),
                Value::Array(items) => items.iter_mut().for_each(wipe),
                Value::Object(fields) => fields.values_mut().for_each(wipe),
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
        wipe(&mut self.0);
    }
}

/// Whether two are the same is for configurations to compare; who may guess at them never gets
/// here.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.reveal() == other.reveal()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}
