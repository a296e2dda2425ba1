//! OAuth 1.0a request signing with HMAC-SHA1 (RFC 5849, section 3.4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::model::{Secret, percent_encode as encode};
use crate::network::OAuth1Keys;

/// The `Authorization` header of a request without a form body. `url` has no query; `query` holds the
/// decoded parameters.
pub fn authorization(
    keys: &OAuth1Keys,
    method: &str,
    url: &str,
    query: &[(String, String)],
    timestamp: i64,
    nonce: &str,
) -> Secret {
    let timestamp = timestamp.to_string();
    let protocol = [
        ("oauth_consumer_key", keys.consumer_key.as_str()),
        ("oauth_nonce", nonce),
        ("oauth_signature_method", "HMAC-SHA1"),
        ("oauth_timestamp", &timestamp),
        ("oauth_token", keys.token.reveal()),
        ("oauth_version", "1.0"),
    ];
    let signed = query.iter().map(|(n, v)| (n.as_str(), v.as_str())).chain(protocol);
    let mut parameters: Vec<(String, String)> = signed.map(|(n, v)| (encode(n), encode(v))).collect();
    parameters.sort_unstable();
    let parameters = parameters.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join("&");
    let base = format!("{method}&{}&{}", encode(url), encode(&parameters));
    let key = Secret::new(format!(
        "{}&{}",
        encode(keys.consumer_secret.reveal()),
        encode(keys.token_secret.reveal())
    ));
    let signature = STANDARD.encode(key.hmac_sha1(&base).as_ref());
    let fields = protocol.iter().copied().chain([("oauth_signature", signature.as_str())]);
    Secret::new(format!(
        "OAuth {}",
        fields.map(|(n, v)| format!("{n}=\"{}\"", encode(v))).collect::<Vec<_>>().join(", ")
    ))
}
