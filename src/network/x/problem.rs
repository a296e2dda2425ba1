//! X's errors: the shapes they come in, and phrases that stand for codes.

use serde_json::Value;

use crate::network::{Answer, parse};

/// One error in any of X's shapes: a problem of v2, an error with a code of v1.1, a text.
#[derive(Default)]
pub(super) struct Problem {
    pub(super) code: Option<i64>,
    /// A code of the Ads API, in upper case.
    pub(super) word: String,
    /// The part of `type` after `/problems/`, whatever the host; or `about:blank`.
    pub(super) kind: String,
    pub(super) title: String,
    pub(super) detail: String,
    /// All its texts, in lower case.
    pub(super) text: String,
    pub(super) status: Option<u16>,
    /// The id of the resource that it is about.
    pub(super) about: Option<String>,
}

pub(super) fn problems(answer: &Answer) -> Vec<Problem> {
    let mut found = Vec::new();
    collect(&answer.json, answer.status, &mut found);
    if let Some((status, text)) = parse::plain_text(answer)
        && answer.status.is_none_or(|s| s >= 400)
    {
        found.push(Problem::from_text(text, status.or(answer.status)));
    }
    found
}

fn collect(value: &Value, status: Option<u16>, found: &mut Vec<Problem>) {
    let Value::Object(fields) = value else { return };
    let mut add = |value: &Value| match value {
        Value::String(text) => found.push(Problem::from_text(text, status)),
        Value::Object(_) => found.push(Problem::from_object(value, status)),
        _ => {}
    };
    match &value["errors"] {
        Value::Array(errors) => errors.iter().for_each(&mut add),
        other => add(other),
    }
    // `error` beside `error_description` is one error in OAuth's shape.
    if fields.contains_key("error_description") {
        add(value);
    } else {
        add(&value["error"]);
    }
    if ["title", "type", "detail", "code", "message", "reason"].iter().any(|name| fields.contains_key(*name))
    {
        add(value);
    }
    if is_problem(&value["data"]) {
        collect(&value["data"], status, found);
    }
}

/// Whether `data` holds an error: some clients log errors inside it.
pub(super) fn is_problem(data: &Value) -> bool {
    data.get("id").is_none()
        && (data.get("errors").is_some() || data.get("title").is_some() && data.get("detail").is_some())
}

impl Problem {
    fn from_text(text: &str, status: Option<u16>) -> Self {
        // Not a title: a single word ("Unauthorized") could be any gateway's.
        Self { text: text.to_lowercase(), status, ..Self::default() }
    }

    fn from_object(value: &Value, status: Option<u16>) -> Self {
        let field = |name: &str| value[name].as_str().unwrap_or_default().trim();
        let kind = field("type").trim_end_matches('/');
        let kind = kind.rsplit_once("/problems/").map_or(kind, |(_, suffix)| suffix).to_lowercase();
        let texts = ["title", "detail", "message", "reason", "error", "error_description"].map(field);
        let inner = parse::integer(&value["status"])
            .and_then(|s| u16::try_from(s).ok())
            .filter(|s| (100..1000).contains(s));
        Self {
            code: parse::integer(&value["code"]),
            word: field("code").to_uppercase(),
            kind,
            title: field("title").to_owned(),
            detail: field("detail").to_owned(),
            text: texts.join(" | ").to_lowercase(),
            status: inner.or(status),
            about: parse::text(&value["resource_id"]).or_else(|| parse::text(&value["value"])),
        }
    }
}

/// Phrases that stand for a code of v1.1, for errors without one. The first that matches counts.
pub(super) const WORDINGS: &[(&str, i64)] = &[
    ("timestamp out of bounds", 135),
    ("temporarily locked", 326),
    ("your account is suspended", 64),
    ("account is suspended and is not permitted", 64),
    ("user has been suspended", 63),
    ("invalid or suspended application", 416),
    ("invalid or expired token", 89),
    ("invalid / expired token", 89),
    ("could not authenticate you", 32),
    ("bad authentication data", 215),
    ("unable to verify your credentials", 99),
    ("credentials do not allow access", 220),
    ("client is not permitted to perform", 87),
    ("application cannot perform write", 261),
    ("read-only application cannot post", 261),
    ("not allowed to access or delete your direct messages", 93),
    ("looks like it might be automated", 226),
    ("subset of", 453),
    ("currently have essential access", 453),
    ("rate limit exceeded", 88),
    ("too many requests", 88),
    ("over daily status update limit", 185),
    ("over capacity", 130),
    ("internal error", 131),
];

/// Phrases that stand for a problem type of v2.
pub(super) const TITLES: &[(&str, &str)] = &[
    ("user used for authentication is suspended", "user-suspended"),
    ("usagecapexceeded", "usage-capped"),
    ("usage cap exceeded", "usage-capped"),
    ("spendcapreached", "spend-cap"),
    ("spend cap", "spend-cap"),
    ("spending limit", "spend-cap"),
    ("creditsdepleted", "credits"),
    ("does not have any credits", "credits"),
    ("client-not-enrolled", "client-forbidden"),
    ("client forbidden", "client-forbidden"),
    ("developer app that is attached to a project", "client-forbidden"),
    ("oauth1 app permissions", "oauth1-permissions"),
    ("unauthorized_client", "client-forbidden"),
    ("invalid_client", "invalid-client"),
    ("unsupported authentication", "unsupported-authentication"),
    ("application-only is forbidden", "unsupported-authentication"),
];
