//! Batches: many calls to the Graph API in one request.

use serde_json::Value;

use super::{app_token, read};
use crate::model::{Secret, percent_encode};
use crate::network::{
    Answer, Auth, Batch, Body, Call, CallInfo, Grant, Method, Param, Question, Reading, ResolvedApp, Says,
    Seen, parse,
};

static BATCH_CALL: CallInfo = CallInfo {
    name: "batch",
    method: Method::Post,
    url: "https://graph.facebook.com/{version}/",
    tells: "what each call in it tells",
    cost: "as much as the calls in it",
};

pub(in crate::network) static BATCH: Batch = Batch { max: 50, pack, unpack };

/// Each item carries its own token. The app's token, or that of the first item, is for the whole.
fn pack(app: &ResolvedApp, calls: &[&Call]) -> Call {
    // Text is collected until a secret follows.
    let mut text = String::from("[");
    let mut parts = Vec::new();
    for (i, call) in calls.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let method = call.info.method.as_str();
        // Path and parameters are percent-encoded, and so need no escaping in JSON.
        let path = call.path.trim_start_matches('/');
        text += &format!(r#"{comma}{{"method":"{method}","relative_url":"{path}"#);
        let token = bearer(call).map(|token| ("access_token", Param::from(token)));
        let mut separator = '?';
        for (name, value) in call.query.iter().chain(&token) {
            text += &format!("{separator}{name}=");
            match value {
                Param::Text(value) => text += &percent_encode(value),
                Param::Secret(value) => {
                    parts.push(Secret::new(std::mem::take(&mut text)));
                    parts.push(value.percent_encoded());
                }
            }
            separator = '&';
        }
        text += "\"}";
    }
    text.push(']');
    parts.push(Secret::new(text));
    let mut form: Vec<(&'static str, Param)> = Vec::new();
    if let Some(token) = app_token(app).or_else(|| calls.iter().find_map(|call| bearer(call)).cloned()) {
        form.push(("access_token", token.into()));
    }
    form.push(("include_headers", "true".into()));
    form.push(("batch", Secret::concat(&parts).into()));
    let host = calls.first().map_or("https://graph.facebook.com".into(), |c| c.host.clone());
    Call::at(&BATCH_CALL, host, format!("/{}/", percent_encode(&app.api_version))).body(Body::Form(form))
}

fn bearer(call: &Call) -> Option<&Secret> {
    match &call.auth {
        Auth::Bearer(token) => Some(token),
        _ => None,
    }
}

/// An item that Meta had no time for is null.
fn unpack(answer: &Answer, count: usize) -> Option<Vec<Option<Answer>>> {
    let items = answer.json.as_array()?;
    Some((0..count).map(|i| items.get(i).and_then(batch_item)).collect())
}

fn batch_item(item: &Value) -> Option<Answer> {
    let status = u16::try_from(parse::integer(item.get("code")?)?).ok();
    let mut headers = http::HeaderMap::new();
    for header in item["headers"].as_array().into_iter().flatten() {
        let name = header["name"].as_str().and_then(|n| http::HeaderName::try_from(n).ok());
        let value = parse::text(&header["value"]).and_then(|v| http::HeaderValue::try_from(v).ok());
        if let (Some(name), Some(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    match item.get("body")? {
        Value::String(text) => Some(Answer::new(status, headers, text.as_bytes())),
        Value::Null => None,
        json => Some(Answer { status, headers, json: json.clone(), text: String::new() }),
    }
}

/// The answers in a whole answer to a batch, or in one item of it.
pub(super) fn batch_items(json: &Value) -> Option<Vec<Answer>> {
    let is_item = |v: &Value| v.get("code").is_some() && v.get("body").is_some();
    match json {
        Value::Array(items) if items.iter().any(is_item) => {
            Some(items.iter().filter_map(batch_item).collect())
        }
        item if is_item(item) => batch_item(item).map(|answer| vec![answer]),
        _ => None,
    }
}

/// The answer that matters most: a refusal, then an undetermined one, then the rest.
pub(super) fn read_batch(
    grant: &Grant<'_>,
    seen: &[Seen],
    about: Option<usize>,
    items: &[Answer],
) -> Option<Reading> {
    let weight = |reading: &Reading| match reading.says {
        Says::Refused(_) => 0,
        Says::Undetermined(_) => 1,
        Says::Accepted => 2,
        Says::Nothing => 3,
    };
    // There is no batch inside a batch.
    let readings = items
        .iter()
        .filter(|a| batch_items(&a.json).is_none())
        .filter_map(|a| read(grant, seen, Question { call: None, about }, a));
    readings.min_by_key(weight)
}
