//! `probe_expect` and `probe_refused`: how the answers of a probe URL are read.

use serde_json::{Value, json};

use super::field::{Field, Mapping};
use super::keys;
use super::quoting::shown;
use crate::model::Reason;
use crate::network::{ProbeField, ProbeRefusal, ProbeRules};

pub(super) fn probe_rules(mapping: &Mapping<'_>) -> ProbeRules {
    let expect = mapping.get("probe_expect").and_then(|f| expected(&f));
    let mut refused = Vec::new();
    mapping.each("probe_refused", |item| refused.extend(refusal(item)));
    ProbeRules { expect, refused }
}

/// The keys and values that are read as these rules.
pub(super) fn stored_rules(rules: &ProbeRules) -> [(&'static str, Value); 2] {
    let field = |field: &ProbeField| match &field.value {
        Some(value) => json!({"pointer": field.pointer, "value": value}),
        None => json!({"pointer": field.pointer}),
    };
    let refused = rules.refused.iter().map(|rule| {
        let mut refusal = rule.field.as_ref().map_or_else(|| json!({}), field);
        refusal["reason"] = rule.reason.label().into();
        if let Some(status) = rule.status {
            refusal["status"] = status.into();
        }
        refusal
    });
    [
        ("probe_expect", rules.expect.as_ref().map_or(Value::Null, field)),
        ("probe_refused", Value::Array(refused.collect())),
    ]
}

/// A pointer, or a pointer with its value.
fn expected(field: &Field<'_>) -> Option<ProbeField> {
    if field.as_mapping().is_none() {
        return Some(ProbeField { pointer: pointer(field)?, value: None });
    }
    let mapping = field.mapping(&[keys::PROBE_FIELD])?;
    let pointer = pointer(&mapping.required("pointer")?)?;
    Some(ProbeField { pointer, value: value(&mapping) })
}

fn refusal(field: &Field<'_>) -> Option<ProbeRefusal> {
    let mapping = field.mapping(&[keys::PROBE_REFUSAL, keys::PROBE_FIELD])?;
    let reason = mapping.required("reason").and_then(|f| reason(&f));
    let status = mapping.get("status").map(|f| status(&f));
    let place = mapping.get("pointer").map(|f| pointer(&f));
    let value = value(&mapping);
    if status.is_none() && place.is_none() {
        let message = "names nothing that means a refusal; expected {status: 403, reason: \
                       missing_permission} or {pointer: /error/code, value: 17, reason: token_expired}";
        return field.reject(message);
    }
    if place.is_none() && value.is_some() {
        return field.reject("has a value, but no pointer to where it would be");
    }
    // A key that is absent is fine, one that has a problem is not.
    if matches!(status, Some(None)) || matches!(place, Some(None)) {
        return None;
    }
    let field = place.flatten().map(|pointer| ProbeField { pointer, value });
    Some(ProbeRefusal { status: status.flatten(), field, reason: reason? })
}

fn pointer(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let escaped = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if text.starts_with('/') && escaped {
        return Some(text.to_owned());
    }
    let message = "is not a JSON pointer; expected one like /data/id (a / inside of a name is ~1, a ~ is ~0)";
    field.reject(format!("{} {message}", shown(text)))
}

fn value(mapping: &Mapping<'_>) -> Option<String> {
    mapping.get("value")?.scalar("a text, a number, true or false").map(str::to_owned)
}

fn status(field: &Field<'_>) -> Option<u16> {
    let status = field.number(300, 499).and_then(|n| u16::try_from(n).ok())?;
    if status == 429 {
        return field.reject("429 is a rate limit, which says nothing about a login");
    }
    Some(status)
}

fn reason(field: &Field<'_>) -> Option<Reason> {
    let reasons = Reason::ALL.iter().filter(|r| **r != Reason::Ok);
    let labels: Vec<&str> = reasons.map(|r| r.info().label).collect();
    field.word(&labels, |text| Reason::from_label(text).filter(|r| *r != Reason::Ok))
}
