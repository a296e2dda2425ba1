//! Notices of networks, with signatures that are right, and without.

use base64::Engine as _;
use http::{HeaderMap, HeaderName, HeaderValue};
use token_exporter::model::{BASE64URL, Secret};
use token_exporter::network::{NetworkId, NoticeForm, NoticeKeys, NoticeRequest};

use super::CANARY;

/// How a notice is made of the input: the first byte tells the network, the second one how it is signed.
enum Signing {
    Not,
    Callback,
    Webhook,
    TikTok,
}

/// A notice counts only with a signature, is about a limited number of logins, and shows no secret.
pub fn check(data: &[u8]) {
    let [network, signing, payload @ ..] = data else { return };
    let forms: Vec<&NoticeForm> = NetworkId::all().filter_map(|id| id.network().notices()).collect();
    let form = forms[usize::from(*network) % forms.len()];
    let signing = match signing % 4 {
        0 => Signing::Not,
        1 => Signing::Callback,
        2 => Signing::Webhook,
        _ => Signing::TikTok,
    };
    let secret = Secret::new(CANARY);
    let sign = |text: &str| Secret::new(text).hmac_sha256_hex(&secret).reveal().to_owned();
    let text = String::from_utf8_lossy(payload).into_owned();
    let (header, body) = match signing {
        Signing::Not => (None, payload.to_vec()),
        Signing::Callback => {
            let payload = BASE64URL.encode(payload);
            let bytes: Vec<u8> = sign(&payload)
                .as_bytes()
                .chunks(2)
                .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
                .collect();
            (None, format!("signed_request={}.{payload}", BASE64URL.encode(bytes)).into_bytes())
        }
        Signing::Webhook => {
            (Some(("x-hub-signature-256", format!("sha256={}", sign(&text)))), text.clone().into_bytes())
        }
        Signing::TikTok => {
            let signature = sign(&format!("1.{text}"));
            (Some(("tiktok-signature", format!("t=1,s={signature}"))), text.clone().into_bytes())
        }
    };
    let headers = HeaderMap::from_iter(header.and_then(|(name, value)| {
        Some((HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?))
    }));
    let keys = NoticeKeys {
        issuer: "https://accounts.google.com/".to_owned(),
        set: serde_json::json!({"keys": [{"kty": "RSA", "kid": "key", "n": "AQAB", "e": "AQAB"}]}),
    };
    let request = NoticeRequest {
        client_id: "demo-client",
        secret: form.keys.is_none().then_some(&secret),
        keys: form.keys.map(|_| &keys),
        headers: &headers,
        body: &body,
    };
    let read = (form.read)(&request);
    assert!(!format!("{request:?} {read:?}").contains(CANARY) || text.contains(CANARY), "a secret shows");
    if let Ok(set) = read {
        assert!(!matches!(signing, Signing::Not), "a notice without a signature counts");
        assert!(form.keys.is_none(), "a notice without the network's key counts");
        assert!(set.notices.len() <= 1000);
    }
    if let Some(get) = form.get {
        let answer = get(&secret, &text);
        assert!(answer.is_none_or(|answer| answer.len() < 1024 && !answer.contains('<')));
    }
}
