//! Notices of Facebook, Instagram and Threads: the two callbacks with a `signed_request`, and the
//! webhook about permissions.
//!
//! Sources: Meta, "Data Deletion Callback" (the form of `signed_request`), "Threads API: Get Started"
//! and "Instagram API with Instagram Login" (uninstall callbacks), "Webhooks: Getting Started" (the
//! handshake and `X-Hub-Signature-256`), "Webhooks Reference: Permissions".

use base64::Engine as _;
use serde_json::Value;

use crate::model::{BASE64URL, Reason, Secret};
use crate::network::notice::hexadecimal;
use crate::network::{Notice, NoticeForm, NoticeRefusal, NoticeRequest, NoticeSet, Subject, parse};

pub(in crate::network) static NOTICES: NoticeForm =
    NoticeForm { read, status: 200, get: Some(get), keys: None, token_names: None };

/// Signed with the app's secret, this is the token that Meta must present when it registers the address.
const VERIFY_TOKEN: &[u8] = b"token_exporter";
/// Maximum number of entries in a webhook, as Meta batches them.
const MAX_ENTRIES: usize = 1000;

fn read(request: &NoticeRequest<'_>) -> Result<NoticeSet, NoticeRefusal> {
    let secret = request.secret.ok_or(NoticeRefusal::BadSignature)?;
    match request.headers.get("x-hub-signature-256") {
        Some(signature) => {
            let tag =
                signature.to_str().ok().and_then(|text| text.strip_prefix("sha256=")).and_then(hexadecimal);
            if !tag.is_some_and(|tag| secret.has_signed(request.body, &tag)) {
                return Err(NoticeRefusal::BadSignature);
            }
            webhook(request.body).ok_or(NoticeRefusal::Malformed)
        }
        None => signed_request(secret, request.body),
    }
}

/// The callbacks for an app that a person has removed, and for the request to delete data that can
/// follow. Both send the same.
fn signed_request(secret: &Secret, body: &[u8]) -> Result<NoticeSet, NoticeRefusal> {
    let mut fields = url::form_urlencoded::parse(body);
    let (_, text) = fields.find(|(name, _)| name == "signed_request").ok_or(NoticeRefusal::BadSignature)?;
    let (signature, payload) = text.split_once('.').ok_or(NoticeRefusal::BadSignature)?;
    let tag = BASE64URL.decode(signature).map_err(|_| NoticeRefusal::BadSignature)?;
    if !secret.has_signed(payload.as_bytes(), &tag) {
        return Err(NoticeRefusal::BadSignature);
    }
    let claims =
        BASE64URL.decode(payload).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let claims = claims.ok_or(NoticeRefusal::Malformed)?;
    if !claims["algorithm"].as_str().is_some_and(|name| name.eq_ignore_ascii_case("HMAC-SHA256")) {
        return Err(NoticeRefusal::BadSignature);
    }
    let user = parse::text(&claims["user_id"]).ok_or(NoticeRefusal::Malformed)?;
    let at = parse::instant(&claims["issued_at"]).ok_or(NoticeRefusal::Malformed)?;
    let lost = Some(Reason::AccessRevoked);
    let notice = Notice { event: "signed_request", about: Subject::user(&user), lost };
    let set = NoticeSet::new(payload.as_bytes(), at, vec![notice]);
    Ok(NoticeSet { confirmation: Some(format!("{:016x}", set.id >> 64)), ..set })
}

/// A webhook. Only its topic `permissions` is about logins.
fn webhook(body: &[u8]) -> Option<NoticeSet> {
    let json: Value = serde_json::from_slice(body).ok()?;
    let entries = json["entry"].as_array()?;
    let at = entries.iter().filter_map(|entry| parse::instant(&entry["time"])).max()?;
    let entries = entries.iter().take(MAX_ENTRIES).filter(|_| json["object"] == "permissions");
    let user = |entry: &Value| parse::text(&entry["uid"]).or_else(|| parse::text(&entry["id"]));
    let notice = |user: String| Notice { event: "permissions", about: Subject::user(&user), lost: None };
    Some(NoticeSet::new(body, at, entries.filter_map(user).map(notice).collect()))
}

/// Answers the handshake that registers a webhook, and the link that confirms a request to delete data.
fn get(secret: &Secret, query: &str) -> Option<String> {
    let field = |wanted: &str| url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted);
    if field("confirmation_code").is_some() {
        return Some(
            "token_exporter keeps no data of the person besides a hash of the app-scoped ID, which is \
             removed with the connection.\n"
                .to_owned(),
        );
    }
    let (_, token) = field("hub.verify_token").filter(|_| query.contains("hub.mode=subscribe"))?;
    let (_, challenge) = field("hub.challenge")?;
    let proper = challenge.len() <= 256 && challenge.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let known = hexadecimal(&token).is_some_and(|tag| secret.has_signed(VERIFY_TOKEN, &tag));
    (proper && known).then(|| challenge.into_owned())
}
