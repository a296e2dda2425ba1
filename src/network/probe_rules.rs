//! What the configuration says about the answers of a probe URL: what has to be in a success, and
//! what is a refusal.

use serde_json::Value;

use super::{Answer, Refusal, parse};
use crate::model::Reason;

/// How the answers of a probe URL are read where the provider's own words do not tell enough.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProbeRules {
    /// Must be in a success, or it is none.
    pub expect: Option<ProbeField>,
    /// The first that fits tells the reason.
    pub refused: Vec<ProbeRefusal>,
}

/// A place in an answer, and perhaps what must be there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProbeField {
    /// A JSON pointer (RFC 6901).
    pub pointer: String,
    /// As it is written in the configuration; none: anything but null.
    pub value: Option<String>,
}

/// What is a refusal: a status, a field, or both together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProbeRefusal {
    pub status: Option<u16>,
    pub field: Option<ProbeField>,
    pub reason: Reason,
}

impl ProbeRules {
    pub fn is_empty(&self) -> bool {
        self.expect.is_none() && self.refused.is_empty()
    }

    /// The refusal that an answer is. A field names the reason plainly; a status alone can be
    /// something passing.
    pub fn refusal(&self, answer: &Answer) -> Option<Refusal> {
        let fits = |rule: &&ProbeRefusal| {
            rule.status.is_none_or(|status| answer.is(status))
                && rule.field.as_ref().is_none_or(|field| field.is_in(&answer.json))
        };
        let rule = self.refused.iter().find(fits)?;
        Some(match rule.field {
            Some(_) => Refusal::plain(rule.reason),
            None => Refusal::ambiguous(rule.reason),
        })
    }
}

impl ProbeField {
    pub fn is_in(&self, json: &Value) -> bool {
        let found = json.pointer(&self.pointer).filter(|value| !value.is_null());
        match (&self.value, found) {
            (None, found) => found.is_some(),
            (Some(wanted), Some(Value::Bool(is))) => *wanted == is.to_string(),
            (Some(wanted), Some(value)) => parse::text(value).is_some_and(|text| text == *wanted),
            (Some(_), None) => false,
        }
    }
}
