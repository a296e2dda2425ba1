//! Lenient reading of what networks send: numbers as texts, milliseconds for seconds, unquoted
//! challenges.
//!
//! Nothing here decides what an answer means.

use http::HeaderMap;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::Value;

use super::{Answer, Reset};
use crate::model::{Expiry, Timestamp};

/// A text, or a number as text: ids come as both.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A whole number, also from a text or a float.
pub fn integer(value: &Value) -> Option<i64> {
    match value {
        // `exp` may be a float: it is truncated.
        Value::Number(n) => n.as_i64().or_else(|| n.as_f64().map(|f| f as i64)),
        Value::String(s) => {
            let s = s.trim();
            s.parse().ok().or_else(|| s.parse().ok().filter(|f: &f64| f.is_finite()).map(|f| f as i64))
        }
        _ => None,
    }
}

/// A truth value, also from a text or a number.
pub fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(b) => Some(*b),
        Value::String(s) if s.eq_ignore_ascii_case("true") || s == "1" => Some(true),
        Value::String(s) if s.eq_ignore_ascii_case("false") || s == "0" => Some(false),
        Value::Number(n) => n.as_i64().map(|n| n != 0),
        _ => None,
    }
}

/// Above this, an instant is in milliseconds (in seconds it would lie in the year 5138).
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// The end of the year 9999. A later instant is no instant.
const LAST_SECOND: i64 = 253_402_300_799;

/// An instant: Unix seconds or milliseconds, as number or text, or RFC 3339. None for 0 and
/// nonsense.
pub fn instant(value: &Value) -> Option<Timestamp> {
    match integer(value) {
        Some(n) if n >= MILLISECONDS_FROM => {
            Some(n / 1000).filter(|n| *n <= LAST_SECOND).and_then(Timestamp::from_unix)
        }
        Some(n) => Timestamp::from_unix(n),
        None => value.as_str().and_then(Timestamp::parse),
    }
}

/// An end where 0 says that there is none, as at Meta.
pub fn expiry_or_never(value: &Value) -> Expiry {
    if integer(value) == Some(0) { Expiry::Never } else { expiry(value) }
}

/// An end; nonsense and 0 are unknown.
pub fn expiry(value: &Value) -> Expiry {
    instant(value).map_or(Expiry::Unknown, Expiry::At)
}

/// Scopes as a list, or as a text separated by blanks or commas.
pub fn scopes(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(items) => Some(items.iter().filter_map(text).collect()),
        Value::String(list) => Some(split_scopes(list)),
        _ => None,
    }
}

/// Scopes from a text separated by blanks or commas.
pub fn split_scopes(list: &str) -> Vec<String> {
    list.split(|c: char| c == ',' || c.is_whitespace()).filter(|s| !s.is_empty()).map(str::to_owned).collect()
}

/// Whether a text contains another, whatever the case.
pub fn contains(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(&part.to_lowercase())
}

/// A short plain-text body, and the status in its first line, as some clients log it. Truncated
/// JSON and a gateway's pages are not reliable.
pub fn plain_text(answer: &Answer) -> Option<(Option<u16>, &str)> {
    let text = match &answer.json {
        Value::Null => answer.text.as_str(),
        Value::String(text) => text,
        _ => return None,
    };
    let text = text.trim();
    if text.is_empty() || text.len() >= 300 || text.starts_with(['{', '[', '<', '"']) {
        return None;
    }
    // "400 Bad Request", "HTTP/1.1 400 Bad Request".
    let status = |line: &str| {
        let mut words = line.split_whitespace().take(2);
        words.find_map(|w| w.trim_end_matches(':').parse().ok()).filter(|s| (400..600).contains(s))
    };
    Some(match text.split_once('\n').map(|(first, rest)| (status(first), rest.trim_start())) {
        Some((Some(status), rest)) => (Some(status), rest),
        _ => (None, text),
    })
}

/// Whether a path fits a pattern in which `{…}` stands for one segment.
pub fn path_matches(pattern: &str, path: &str) -> bool {
    let mut wanted = pattern.trim_matches('/').split('/');
    let mut found = path.trim_matches('/').split('/');
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return true,
            (Some(w), Some(f)) if segment_matches(w, f) => {}
            _ => return false,
        }
    }
}

/// One segment: literal, or with a `{…}` that stands for at least one character (`account:{id}`).
fn segment_matches(pattern: &str, segment: &str) -> bool {
    match (pattern.find('{'), pattern.rfind('}')) {
        (Some(open), Some(close)) => {
            let (head, tail) = (&pattern[..open], &pattern[close + 1..]);
            segment.len() > head.len() + tail.len() && segment.starts_with(head) && segment.ends_with(tail)
        }
        _ => pattern == segment,
    }
}

/// Whether a configured id is one of the ids that the network reports. None if that is unknown: no
/// id is configured or reported, or a name is configured while the network reports numbers.
pub fn same_identity(configured: Option<&str>, reported: &[String]) -> Option<bool> {
    fn bare(id: &str) -> &str {
        id.rsplit(':').next().unwrap_or(id).trim_start_matches('@')
    }
    let configured = bare(configured?);
    if reported.iter().any(|id| bare(id).eq_ignore_ascii_case(configured)) {
        return Some(true);
    }
    let numeric = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
    let comparable = numeric(configured) && reported.iter().any(|id| numeric(bare(id)));
    comparable.then_some(false)
}

/// Whether a configured id certainly belongs to another account. `is_id` recognises a network's own
/// ids: a configured name is never compared with a reported id.
pub fn other_identity(configured: &str, reported: &[String], is_id: impl Fn(&str) -> bool) -> bool {
    match same_identity(Some(configured), reported) {
        Some(same) => !same,
        None => is_id(configured) && reported.iter().any(|id| is_id(id)),
    }
}

/// One challenge of a `WWW-Authenticate` header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// Lower-case scheme: `bearer`, `oauth`, `dpop`, `basic`.
    pub scheme: String,
    /// Parameters, names in lower case.
    pub parameters: Vec<(String, String)>,
}

impl Challenge {
    fn new(scheme: String) -> Self {
        Self { scheme: scheme.to_lowercase(), parameters: Vec::new() }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// The challenges of an answer: in one header or several, values quoted or bare, commas inside
/// quotes. Meta's positional form (`OAuth "Facebook Platform" "invalid_token" "text"`)
/// yields a scheme without parameters.
pub fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(parse_challenges)
        .collect()
}

/// The challenges in one header value.
pub fn parse_challenges(value: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut tokens = Lexer { rest: value };
    let mut word: Option<String> = None;
    while let Some(token) = tokens.next() {
        match token {
            // Two words in a row: the first was a scheme.
            Token::Word(next) => challenges.extend(word.replace(next).map(Challenge::new)),
            Token::Equals => {
                let value = match tokens.next() {
                    Some(Token::Word(v) | Token::Quoted(v)) => v,
                    _ => String::new(),
                };
                if let (Some(name), Some(challenge)) = (word.take(), challenges.last_mut()) {
                    challenge.parameters.push((name.to_lowercase(), value));
                }
            }
            Token::Quoted(_) | Token::Comma => challenges.extend(word.take().map(Challenge::new)),
        }
    }
    challenges.extend(word.map(Challenge::new));
    challenges
}

enum Token {
    Word(String),
    Quoted(String),
    Equals,
    Comma,
}

struct Lexer<'a> {
    rest: &'a str,
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.rest = self.rest.trim_start();
        let first = self.rest.chars().next()?;
        let (token, used) = match first {
            ',' => (Token::Comma, 1),
            '=' => (Token::Equals, 1),
            '"' => {
                let (mut text, mut escaped) = (String::new(), false);
                let end = self.rest.char_indices().skip(1).find_map(|(at, c)| {
                    let is_special = !std::mem::replace(&mut escaped, false);
                    match c {
                        '"' if is_special => return Some(at + 1),
                        '\\' if is_special => escaped = true,
                        _ => text.push(c),
                    }
                    None
                });
                (Token::Quoted(text), end.unwrap_or(self.rest.len()))
            }
            _ => {
                let end = self
                    .rest
                    .find(|c: char| c == ',' || c == '=' || c == '"' || c.is_whitespace())
                    .unwrap_or(self.rest.len());
                (Token::Word(self.rest[..end].to_owned()), end)
            }
        };
        self.rest = &self.rest[used..];
        Some(token)
    }
}

/// When a limit ends: an instant (Unix seconds or milliseconds, RFC 3339, HTTP date), or seconds
/// after the answer.
pub fn reset(text: &str) -> Option<Reset> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        if !number.is_finite() || number < 0.0 {
            return None;
        }
        // A billion seconds are 32 years: anything above is an instant.
        return if number >= 1e9 {
            let seconds = if number >= MILLISECONDS_FROM as f64 { number / 1000.0 } else { number };
            Timestamp::from_unix(seconds as i64).map(Reset::At)
        } else {
            Some(Reset::After(number.ceil() as u32))
        };
    }
    let date =
        chrono::DateTime::parse_from_rfc3339(text).or_else(|_| chrono::DateTime::parse_from_rfc2822(text));
    date.ok().and_then(|d| Timestamp::from_unix(d.timestamp())).map(Reset::At)
}

/// `Retry-After` (RFC 9110): seconds or a date.
pub fn retry_after(answer: &Answer) -> Option<Reset> {
    answer.header(RETRY_AFTER.as_str()).and_then(reset)
}
