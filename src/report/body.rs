//! The form of reports: JSON objects, each about one operation on one account.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::classification::answer_of;
use crate::config::looks_secret;
use crate::model::{Capability, Timestamp, Wiped, stable_hash};
use crate::network::{Answer, NetworkId, parse};

/// Maximum number of reports in one request.
pub const MAX_REPORTS: usize = 100;
/// Maximum length of ids in bytes.
const MAX_ID: usize = 512;
/// Seconds by which the clock of a reporter may be ahead of this machine's.
const CLOCK_TOLERANCE: i64 = 300;

const FIELDS: [&str; 10] =
    ["account", "network", "external_id", "operation", "at", "http_status", "headers", "body", "id", "ok"];

/// The reports of one request, not checked yet. They are wiped when dropped, as bodies may hold tokens.
pub struct Reports {
    pub items: Vec<Wiped>,
    /// Whether they came as a list.
    pub is_list: bool,
}

/// A report whose form is right.
#[derive(Debug)]
pub struct Item {
    pub account: AccountRef,
    pub operation: Capability,
    /// When the product saw it; none: now.
    pub at: Option<Timestamp>,
    /// A hash of the id that its sender gave it.
    pub id: Option<u64>,
    pub saw: Saw,
}

/// Which account a report is about.
#[derive(Debug)]
pub enum AccountRef {
    Id(String),
    External { network: NetworkId, id: String },
}

#[derive(Debug)]
pub enum Saw {
    Success,
    Answer(Answer),
}

/// What is wrong with a field, without its value, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldProblem {
    pub field: Cow<'static, str>,
    pub expected: Cow<'static, str>,
}

impl Reports {
    /// # Errors
    /// What is wrong with the request as a whole.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        // serde's message can quote the body: give its position only.
        let value: Value = serde_json::from_slice(body)
            .map_err(|e| format!("the body is no JSON: line {}, column {}", e.line(), e.column()))?;
        let (items, is_list) = match value {
            Value::Array(items) => (items, true),
            item => (vec![item], false),
        };
        let items: Vec<Wiped> = items.into_iter().map(Wiped).collect();
        if items.len() > MAX_REPORTS {
            return Err(format!("{} reports at once; expected at most {MAX_REPORTS}", items.len()));
        }
        Ok(Self { items, is_list })
    }
}

impl Item {
    /// # Errors
    /// All problems of the report.
    pub fn parse(value: &Value, now: Timestamp) -> Result<Self, Vec<FieldProblem>> {
        let mut problems = Vec::new();
        let Value::Object(fields) = value else {
            let form = "an object such as {\"account\": \"acme-page\", \"http_status\": 403, \"body\": …}";
            return Err(vec![FieldProblem { field: "".into(), expected: form.into() }]);
        };
        for name in fields.keys().filter(|name| !FIELDS.contains(&name.as_str())) {
            let is_shown = name.len() <= 32 && !looks_secret(name);
            let field = if is_shown { name.clone() } else { "a field".to_owned() };
            let expected = format!("one of {}", FIELDS.join(", "));
            problems.push(FieldProblem { field: field.into(), expected: expected.into() });
        }
        let mut given = Given { fields, problems };
        let account = given.account();
        let operations = "publish, inbox, analytics or ads; publish if it is absent";
        let operation = given.read("operation", operations, |v| Capability::from_label(v.as_str()?));
        let at =
            given.read("at", "a time such as 2027-01-31T09:00:00Z or Unix seconds, not in the future", |v| {
                parse::instant(v).filter(|at| at.since(now) <= CLOCK_TOLERANCE)
            });
        let id =
            given.read("id", "a text that no other report has", |v| given_id(v).map(|id| stable_hash(&id)));
        let saw = given.saw();
        match (account, saw) {
            (Some(account), Some(saw)) if given.problems.is_empty() => {
                let operation = operation.unwrap_or(Capability::Publish);
                Ok(Self { account, operation, at: at.map(|at| at.min(now)), id, saw })
            }
            _ => Err(given.problems),
        }
    }
}

/// The fields of a report while they are read.
struct Given<'g> {
    fields: &'g Map<String, Value>,
    problems: Vec<FieldProblem>,
}

impl<'g> Given<'g> {
    /// The value of a field; none if it is absent or null.
    fn get(&self, name: &str) -> Option<&'g Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    fn problem(&mut self, field: &'static str, expected: impl Into<Cow<'static, str>>) {
        self.problems.push(FieldProblem { field: field.into(), expected: expected.into() });
    }

    /// Reads a field that may be absent.
    fn read<T>(
        &mut self,
        name: &'static str,
        expected: &'static str,
        read: impl FnOnce(&'g Value) -> Option<T>,
    ) -> Option<T> {
        let read = read(self.get(name)?);
        if read.is_none() {
            self.problem(name, expected);
        }
        read
    }

    fn account(&mut self) -> Option<AccountRef> {
        let id = self.read("account", "the id of an account", given_id);
        let network = self.read("network", "the name of a network", |v| NetworkId::from_name(v.as_str()?));
        let external_id = self.read("external_id", "the id of the account at its network", given_id);
        if self.get("account").is_some() {
            return id.map(AccountRef::Id);
        }
        match (self.get("network").is_some(), self.get("external_id").is_some()) {
            (false, false) => self.problem("account", "the id of an account, or network and external_id"),
            (false, true) => self.problem("network", "the name of a network, together with external_id"),
            (true, false) => self.problem("external_id", "the id of the account at its network"),
            (true, true) => {}
        }
        Some(AccountRef::External { network: network?, id: external_id? })
    }

    fn saw(&mut self) -> Option<Saw> {
        let ok = self.read("ok", "true or false", Value::as_bool);
        let status = self.read("http_status", "a number from 100 to 599", |value| {
            let number = u16::try_from(parse::integer(value)?).ok()?;
            (100..600).contains(&number).then_some(number)
        });
        if let Some(headers) =
            self.get("headers").filter(|headers| !headers.is_object() && !headers.is_array())
        {
            let _ = headers;
            self.problem("headers", "an object such as {\"retry-after\": \"60\"}");
        }
        if ok == Some(true) {
            if status.is_some_and(|status| status >= 400) {
                self.problem("ok", "false or absent where http_status tells of an error");
            }
            return Some(Saw::Success);
        }
        let (headers, body) = (self.get("headers"), self.get("body"));
        if self.get("http_status").is_none() && body.is_none() {
            self.problem("http_status", "the status that the network answered with, or body, or ok: true");
        }
        let null = &Value::Null;
        Some(Saw::Answer(answer_of(status, headers.unwrap_or(null), body.unwrap_or(null))))
    }
}

/// An id, which is a text or a number.
fn given_id(value: &Value) -> Option<String> {
    parse::text(value).filter(|id| !id.is_empty() && id.len() <= MAX_ID)
}
