//! Finds the error in an answer of the Graph API: in any of Meta's envelopes, in a plain sentence,
//! in a log line, or in a header.

use serde_json::Value;

use crate::network::{Answer, parse};

/// An error in any of Meta's envelopes.
pub(super) struct GraphError {
    pub(super) code: Option<i64>,
    pub(super) subcode: Option<i64>,
    /// Message and texts for people, in lower case.
    pub(super) text: String,
    /// The `type`, in lower case.
    pub(super) kind: String,
    pub(super) transient: bool,
    /// Whether it is inside `data`, and so concerns the token that was inspected.
    pub(super) inspected: bool,
}

impl GraphError {
    pub(super) fn find(answer: &Answer) -> Option<Self> {
        Self::in_json(&answer.json).or_else(|| Self::in_text(answer))
    }

    fn in_json(json: &Value) -> Option<Self> {
        let inspected = json.get("data").and_then(|d| d.get("error")).filter(|e| e.is_object());
        if let Some(error) = inspected {
            return Some(Self { inspected: true, ..Self::from_object(error) });
        }
        match json.get("error") {
            Some(error) if error.get("error").is_some_and(Value::is_object) => {
                return error.get("error").map(Self::from_object);
            }
            Some(error @ Value::Object(_)) => return Some(Self::from_object(error)),
            Some(Value::String(text)) => return Some(Self::from_text(text)),
            _ => {}
        }
        // Instagram's old forms, and an error that a library has taken out of its envelope.
        let has =
            |value: &Value, names: &[&str]| names.iter().any(|n| value.get(n).is_some_and(|v| !v.is_null()));
        if let Some(meta) = json.get("meta").filter(|m| has(m, &["error_type", "error_message"])) {
            return Some(Self::from_object(meta));
        }
        // A post also has a message and a type, but no such type.
        let exception = json["type"].as_str().is_some_and(|t| t.ends_with("Exception"));
        let bare = has(json, &["error_type", "error_message", "error_msg"])
            || (has(json, &["message"])
                && (exception || (has(json, &["code"]) && has(json, &["error_subcode", "fbtrace_id"]))));
        if bare {
            return Some(Self::from_object(json));
        }
        match json.as_array().map(Vec::as_slice) {
            Some([only]) => Self::in_json(only),
            _ => None,
        }
    }

    fn from_object(error: &Value) -> Self {
        let first = |names: &[&str]| names.iter().find_map(|n| error.get(n).filter(|v| !v.is_null()));
        let words = ["message", "error_message", "error_msg", "error_user_title", "error_user_msg"];
        let text: Vec<&str> = words.iter().filter_map(|w| error.get(w).and_then(Value::as_str)).collect();
        let mut found = Self::from_text(&text.join(" "));
        let code = first(&["code", "error_code"]).and_then(parse::integer);
        // Beside `error_type`, the code is an HTTP status.
        let foreign =
            error.get("error_type").is_some() && code.is_some_and(|c| (400..=599).contains(&c) && c != 429);
        found.code = code.filter(|_| !foreign).or(found.code);
        found.subcode = first(&["error_subcode", "subcode"]).and_then(parse::integer).filter(|s| *s != 0);
        found.kind =
            first(&["type", "error_type"]).and_then(Value::as_str).unwrap_or_default().to_lowercase();
        found.transient = first(&["is_transient"]).and_then(parse::boolean).unwrap_or(false);
        found
    }

    /// From a message alone, which may begin with its code: `(#10) …`.
    fn from_text(text: &str) -> Self {
        let text = text.replace(['\u{2019}', '\u{2018}'], "'").to_lowercase();
        let code = text
            .split_once("(#")
            .and_then(|(_, rest)| rest.split_once(')'))
            .and_then(|(code, _)| code.trim().parse().ok());
        Self { code, subcode: None, text, kind: String::new(), transient: false, inspected: false }
    }

    /// From an answer that is a plain sentence, or has one only in its header
    /// (`WWW-Authenticate: OAuth "Facebook Platform" "invalid_token" "…"`).
    fn in_text(answer: &Answer) -> Option<Self> {
        /// A longer text is a page, not a message.
        const SENTENCE: usize = 1000;
        if !answer.json.is_null() {
            return None;
        }
        let text = answer.text.trim();
        if text.is_empty() {
            let header = answer.header("www-authenticate").filter(|h| h.contains("Facebook Platform"))?;
            return Some(Self {
                kind: if header.contains("\"invalid_token\"") { "invalid_token" } else { "" }.to_owned(),
                ..Self::from_text(header)
            });
        }
        if text.starts_with(['<', '{', '[', '"']) {
            // Facebook's page about an outage, which also comes with 400.
            let outage = text.starts_with('<')
                && text.contains("Sorry, something went wrong")
                && answer.status != Some(429);
            return outage.then(|| Self { transient: true, ..Self::from_text("") });
        }
        // Libraries put their own words before the body.
        let body = text.find('{').zip(text.rfind('}')).and_then(|(start, end)| text.get(start..=end));
        match body.map(serde_json::from_str::<Value>) {
            Some(Ok(json)) => Self::in_json(&json),
            Some(Err(_)) => None,
            None => (text.len() < SENTENCE).then(|| Self::from_line(text)),
        }
    }

    /// From a log line, which can name code and subcode: `code=100; subcode=33`.
    fn from_line(text: &str) -> Self {
        let found = Self::from_text(text);
        let subcode = number_after(&found.text, "subcode").filter(|s| *s != 0);
        // Other libraries also call an HTTP status a code.
        let named = subcode.is_some() || found.says("exception");
        let code = found.code.or_else(|| number_after(&found.text, "code").filter(|_| named));
        Self { code, subcode, ..found }
    }

    /// The object that the sentence names, if it names one.
    pub(super) fn object(&self) -> Option<&str> {
        let between = |start: &str, end: char| {
            let (_, rest) = self.text.split_once(start)?;
            rest.split(end).next().map(str::trim)
        };
        between("object with id '", '\'')
            .or_else(|| between("aliases you requested do not exist: ", ','))
            .or_else(|| between("page id ", ' '))
            .filter(|id| !id.is_empty())
    }

    pub(super) fn says(&self, part: &str) -> bool {
        self.text.contains(part)
    }

    pub(super) fn says_any(&self, parts: &[&str]) -> bool {
        parts.iter().any(|p| self.says(p))
    }
}

/// The number after a whole word, as in `code: 10` and `error_code="10"`; no HTTP status.
fn number_after(text: &str, word: &str) -> Option<i64> {
    text.match_indices(word).find_map(|(at, _)| {
        let before = &text[..at];
        let status = before.trim_end_matches([' ', '_', '-']);
        if before.ends_with(char::is_alphanumeric) || status.ends_with("status") || status.ends_with("http") {
            return None;
        }
        let number = text[at + word.len()..].trim_start_matches([' ', ':', '=', '"', '\'', '#']);
        let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
        number[..end].parse().ok()
    })
}
