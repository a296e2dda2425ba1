//! Notices of Google: security event tokens of Cross-Account Protection (RISC).
//!
//! The keys that sign them also sign ID tokens, which any person who logs in gets. Only the issuer and
//! the claim `events` tell the two apart.
//!
//! Sources: Google, "Protect user accounts with Cross-Account Protection"; RFC 8417 (security event
//! tokens), RFC 8935 (delivery); OpenID, "OAuth Event Types 1.0".

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind, EncodingKey, Validation, decode, decode_header, signature,
};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde_json::Value;

use crate::model::{Reason, Secret, stable_hash};
use crate::network::{
    CallInfo, KeyCalls, Method, Notice, NoticeForm, NoticeKeys, NoticeRefusal, NoticeRequest, NoticeSet,
    Subject, parse,
};

pub(super) static NOTICES: NoticeForm = NoticeForm {
    read,
    status: 202,
    get: None,
    keys: Some(&KeyCalls { discovery: &CONFIGURATION, keys: &KEYS }),
    token_names: Some(Secret::name_hashes),
};

static CONFIGURATION: CallInfo = CallInfo {
    name: "risc_configuration",
    method: Method::Get,
    url: "https://accounts.google.com/.well-known/risc-configuration",
    tells: "the issuer of security events, and where its keys are",
    cost: "none",
};

static KEYS: CallInfo = CallInfo {
    name: "risc_keys",
    method: Method::Get,
    url: "https://www.googleapis.com/oauth2/v3/certs",
    tells: "the keys that sign security events",
    cost: "none",
};

fn read(request: &NoticeRequest<'_>) -> Result<NoticeSet, NoticeRefusal> {
    let keys = request.keys.ok_or(NoticeRefusal::UnknownKey)?;
    let claims = verified(request.body, keys, request.client_id)?;
    let id = claims["jti"].as_str().ok_or(NoticeRefusal::Malformed)?;
    let at = parse::instant(&claims["iat"]).ok_or(NoticeRefusal::Malformed)?;
    let events = claims["events"].as_object().filter(|events| !events.is_empty());
    let events = events.ok_or(NoticeRefusal::Malformed)?;
    let notices = events.iter().filter_map(|(name, event)| notice(name, event, &keys.issuer)).collect();
    Ok(NoticeSet::new(id.as_bytes(), at, notices))
}

/// What an event means; none if it is not about a login that it names.
fn notice(name: &str, event: &Value, issuer: &str) -> Option<Notice> {
    let name = name.strip_prefix("https://schemas.openid.net/secevent/")?;
    let (event_name, lost) = match name {
        "oauth/event-type/tokens-revoked" => ("tokens-revoked", Some(Reason::AccessRevoked)),
        "oauth/event-type/token-revoked" => ("token-revoked", Some(Reason::AccessRevoked)),
        "risc/event-type/account-disabled" => (
            "account-disabled",
            match event["reason"].as_str() {
                Some("hijacking") => Some(Reason::AccountLocked),
                Some("bulk-account") => Some(Reason::AccountSuspended),
                _ => None,
            },
        ),
        "risc/event-type/account-enabled" => ("account-enabled", None),
        "risc/event-type/account-purged" => ("account-purged", None),
        "risc/event-type/account-credential-change-required" => ("account-credential-change-required", None),
        "risc/event-type/sessions-revoked" => ("sessions-revoked", None),
        // `verification` tests the address.
        _ => return None,
    };
    Some(Notice { event: event_name, about: subject(&event["subject"], issuer)?, lost })
}

/// A person by the id at the issuer, or a refresh token by its first characters or its hash.
fn subject(subject: &Value, issuer: &str) -> Option<Subject> {
    if let Some(token) = subject["token"].as_str() {
        let name = match subject["token_identifier_alg"].as_str()? {
            "prefix" => token.to_owned(),
            "hash_base64_sha512_sha512" => token.trim_end_matches('=').replace('-', "+").replace('_', "/"),
            _ => return None,
        };
        return Some(Subject::Token(stable_hash(&name)));
    }
    let of_issuer = |iss: &str| iss.trim_end_matches('/') == issuer.trim_end_matches('/');
    let id = parse::text(&subject["sub"]).filter(|id| !id.is_empty())?;
    subject["iss"].as_str().is_none_or(of_issuer).then(|| Subject::user(&id))
}

/// The claims of a token that the issuer has signed for this client.
fn verified(token: &[u8], keys: &NoticeKeys, client_id: &str) -> Result<Value, NoticeRefusal> {
    // Fails if it is installed already.
    let _ = PROVIDER.install_default();
    let token = token.trim_ascii();
    let header = decode_header(token).map_err(|_| NoticeRefusal::BadSignature)?;
    let kid = header.kid.filter(|_| header.alg == Algorithm::RS256).ok_or(NoticeRefusal::BadSignature)?;
    let known = keys.set["keys"].as_array().into_iter().flatten();
    let mut known = known.filter(|key| key["kty"] == "RSA" && key["kid"] == *kid);
    let key = known.next().ok_or(NoticeRefusal::UnknownKey)?;
    let part = |name: &str| key[name].as_str().unwrap_or_default();
    let key =
        DecodingKey::from_rsa_components(part("n"), part("e")).map_err(|_| NoticeRefusal::UnknownKey)?;
    let mut rules = Validation::new(Algorithm::RS256);
    rules.set_required_spec_claims(&["iss", "aud"]);
    rules.set_issuer(&[&keys.issuer]);
    rules.set_audience(&[client_id]);
    // A security event does not end.
    rules.validate_exp = false;
    match decode(token, &key, &rules) {
        Ok(data) if !client_id.is_empty() => Ok(data.claims),
        Err(error) if *error.kind() == ErrorKind::InvalidSignature => Err(NoticeRefusal::BadSignature),
        Ok(_) => Err(NoticeRefusal::OtherApp),
        Err(error) => Err(match error.kind() {
            ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience | ErrorKind::MissingRequiredClaim(_) => {
                NoticeRefusal::OtherApp
            }
            ErrorKind::Json(_) | ErrorKind::Utf8(_) => NoticeRefusal::Malformed,
            _ => NoticeRefusal::BadSignature,
        }),
    }
}

/// Lets `jsonwebtoken` verify RS256 with ring, and nothing else.
static PROVIDER: CryptoProvider =
    CryptoProvider { signer_factory, verifier_factory, key_utils: KeyUtils::new_unimplemented() };

struct Rs256(DecodingKey);

impl signature::Verifier<Vec<u8>> for Rs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let DecodingKeyKind::RsaModulusExponent { n, e } = self.0.kind() else {
            return Err(signature::Error::new());
        };
        let key = RsaPublicKeyComponents { n, e };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Rs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

fn verifier_factory(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    match algorithm {
        Algorithm::RS256 => Ok(Box::new(Rs256(key.clone()))),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

fn signer_factory(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::InvalidAlgorithm.into())
}
