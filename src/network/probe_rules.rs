//! What the configuration says about the answers of a probe URL: what has to be in a success, and
//! what is a refusal.

use serde_json::Value;

use super::{Answer, Refusal, parse};
use crate::model::Reason;

/// How the answers of a probe URL are read where the provider's own words do not tell enough.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProbeRules {
    /// A success without it is not accepted.
    pub expect: Option<ProbeField>,
    /// The first rule that matches gives the reason.
    pub refused: Vec<ProbeRefusal>,
}

/// A place in an answer, and optionally the value expected there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProbeField {
    /// A JSON pointer (RFC 6901).
    pub pointer: String,
    /// As written in the configuration; none: anything but null.
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

    /// The refusal that the rules see in an answer. A field states the reason plainly; a status alone
    /// may be temporary.
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
        found.is_some_and(|found| match (&self.value, found) {
            (None, _) => true,
            (Some(wanted), Value::Bool(is)) => *wanted == is.to_string(),
            (Some(wanted), value) => parse::text(value).as_ref() == Some(wanted),
        })
    }
}
