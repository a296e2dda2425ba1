//! What one answer of a network means, judged with the same code as a probe.
//!
//! Lenient about its input, as payloads come from logs and tickets. Knows no HTTP client.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::{AppProblem, Capabilities, Capability, Expiry, Reason, Secret, Timestamp};
use crate::network::{
    Account, Answer, Clocks, Finding, Grant, Known, NetworkId, Question, ResolvedApp, Seen, Style, Tokens,
    Verdict, WriteFact, advice, clocks, conclude, parse, read_answer,
};

/// One answer and its context. All fields but `network` may be absent or null; unknown fields are
/// ignored.
#[derive(Clone, Debug, Deserialize)]
pub struct Payload {
    /// Name or alias of the network.
    pub network: String,
    /// The call that was answered: a name, a path or a request line.
    #[serde(default)]
    pub call: Option<String>,
    #[serde(default)]
    pub http_status: Value,
    /// The response headers: an object, or a list of pairs.
    #[serde(default)]
    pub headers: Value,
    #[serde(default)]
    pub body: Value,
    #[serde(default)]
    pub context: Option<PayloadContext>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PayloadContext {
    /// When the access token expires: RFC 3339 or Unix seconds.
    pub expires_at: Value,
    pub refresh_expires_at: Value,
    pub api: Option<String>,
    /// `oauth1` or `oauth2`.
    pub auth: Option<String>,
    /// The granted scopes, for networks that do not return them.
    pub scopes: Value,
    /// What the account is used for; `[publish]` if absent.
    pub needs: Option<Vec<String>>,
    /// Page, profile, organization…
    pub kind: Option<String>,
    /// The network's id of the account.
    pub external_id: Value,
}

/// What an answer means, in the words of the output.
#[derive(Clone, Debug, Serialize)]
pub struct Classification {
    /// `valid`, `invalid` or `undetermined`.
    pub verdict: &'static str,
    /// Present if valid (`ok`) or invalid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// Present if undetermined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'static str>,
    /// Present if the cause is `app_misconfigured`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_problem: Option<&'static str>,
    /// Each needed capability: `ok` or a reason.
    pub capabilities: Map<String, Value>,
    pub advice: String,
    /// Present if the answer tells something that only a write can show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write: Option<DescribedWrite>,
}

/// [`WriteFact`] in the words of the output.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "says", rename_all = "snake_case")]
pub enum DescribedWrite {
    Blocked {
        reason: &'static str,
        /// Absent if the network does not say for how long.
        #[serde(skip_serializing_if = "Option::is_none")]
        lasts_seconds: Option<u64>,
    },
    Content,
}

/// What one answer means.
#[derive(Clone, Debug)]
pub struct Classified {
    pub network: NetworkId,
    pub finding: Finding,
    pub clocks: Clocks,
    pub write: Option<WriteFact>,
}

impl Classified {
    pub fn describe(&self) -> Classification {
        let write = self.write.map(|fact| match fact {
            WriteFact::Blocked { reason, lasts } => DescribedWrite::Blocked {
                reason: reason.label(),
                lasts_seconds: lasts.map(|lasts| lasts.as_secs()),
            },
            WriteFact::Content => DescribedWrite::Content,
        });
        Classification { write, ..describe(&self.finding, self.network) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct BadPayload {
    pub field: &'static str,
    pub problem: String,
}

fn bad(field: &'static str, problem: impl Into<String>) -> BadPayload {
    BadPayload { field, problem: problem.into() }
}

/// What one answer means at the time `now`.
///
/// # Errors
/// When the payload makes no sense: an unknown network or capability, a status that is no number.
pub fn classify(payload: &Payload, now: Timestamp) -> Result<Classified, BadPayload> {
    let network = NetworkId::from_name(&payload.network).ok_or_else(|| {
        let known: Vec<_> = NetworkId::all().map(NetworkId::name).collect();
        bad("network", format!("\"{}\" is not known; known are {}", payload.network, known.join(", ")))
    })?;
    let description = network.description();
    let context = payload.context.clone().unwrap_or_default();
    let needs = needs(&context)?;
    let answer = answer(payload)?;
    let call = payload.call.as_deref().and_then(|text| description.call(text));
    let question = Question { call, about: Some(0) };
    let external_id = parse::text(&context.external_id);
    let guess = network.network().guess(question, external_id.as_deref(), &answer);
    let access = expiry("context.expires_at", &context.expires_at)?;
    // Tokens of OAuth 1.0a do not expire.
    let likely = Style {
        api: guess.api.or(description.apis.first().copied()).unwrap_or(""),
        oauth1: access.at().is_none() && guess.oauth1,
    };
    let style = style(&context, description.apis, likely)?;
    let accounts = [Account {
        network,
        kind: context.kind.as_deref().or(guess.kind).or(description.kinds.first().copied()).unwrap_or(""),
        external_id: external_id.as_deref(),
        needs,
    }];
    let app = ResolvedApp {
        api_version: description.api_version.unwrap_or_default().to_owned(),
        ..ResolvedApp::default()
    };
    let tokens = Tokens {
        access: Secret::new(""),
        secret: None,
        refresh: None,
        scopes: parse::scopes(&context.scopes),
    };
    let grant = Grant { style, app: &app, tokens: &tokens, accounts: &accounts };
    let refresh = expiry("context.refresh_expires_at", &context.refresh_expires_at)?;
    let clocks = Clocks { access, refresh, ..Clocks::default() };
    judge(network, &grant, question, &answer, clocks, now).ok_or_else(|| bad("network", "gave no finding"))
}

/// What an answer to a question about the first account of a grant means.
pub(super) fn judge(
    network: NetworkId,
    grant: &Grant<'_>,
    question: Question,
    answer: &Answer,
    known: Clocks,
    now: Timestamp,
) -> Option<Classified> {
    let reading = read_answer(network.network(), grant, &[], question, answer);
    let write = reading.write;
    let seen = [Seen { question, reading }];
    let known = Known { now, clocks: known, auto_refresh: false, grace: 0, excuse: None };
    let finding = conclude(grant, &seen, &known).into_iter().next()?;
    Some(Classified { network, finding, clocks: clocks(known.clocks, &seen), write })
}

/// The style that the context names, or else the likely one.
fn style<'a>(context: &'a PayloadContext, apis: &[&str], likely: Style<'a>) -> Result<Style<'a>, BadPayload> {
    let api = match context.api.as_deref() {
        None => likely.api,
        Some(api) if apis.contains(&api) || apis.is_empty() => api,
        Some(api) => {
            return Err(bad("context.api", format!("\"{api}\" is not one of {}", apis.join(", "))));
        }
    };
    let oauth1 = match context.auth.as_deref() {
        None => likely.oauth1,
        Some("oauth2") => false,
        Some("oauth1") => true,
        Some(other) => return Err(bad("context.auth", format!("\"{other}\" is neither oauth1 nor oauth2"))),
    };
    Ok(Style { api, oauth1 })
}

fn needs(context: &PayloadContext) -> Result<Capabilities, BadPayload> {
    let Some(names) = &context.needs else { return Ok(Capabilities::DEFAULT) };
    let capability = |name: &String| {
        Capability::from_label(name).ok_or_else(|| {
            bad("context.needs", format!("\"{name}\" is not one of publish, inbox, analytics, ads"))
        })
    };
    names.iter().map(capability).collect()
}

/// A finding in the words of the output.
pub fn describe(finding: &Finding, network: NetworkId) -> Classification {
    let (verdict, reason, cause) = match finding.verdict {
        Verdict::Valid => ("valid", Some("ok"), None),
        Verdict::Invalid(reason, _) => ("invalid", Some(reason.label()), None),
        Verdict::Undetermined(cause) => ("undetermined", None, Some(cause.label())),
    };
    let advice = steps(finding, network).join(" ");
    let app_problem = match finding.verdict {
        Verdict::Undetermined(cause) => cause.app_problem().map(AppProblem::label),
        _ => None,
    };
    let capabilities =
        finding.capabilities.iter().map(|(c, r)| (c.label().to_owned(), Value::from(r.label()))).collect();
    Classification { verdict, reason, cause, app_problem, capabilities, advice, write: None }
}

/// What to do about a finding, in order. For a valid connection: about the capabilities that it lacks.
pub fn steps(finding: &Finding, network: NetworkId) -> Vec<&'static str> {
    let mut reasons: Vec<Reason> = match finding.verdict {
        Verdict::Undetermined(cause) => return vec![cause.meaning()],
        Verdict::Invalid(reason, _) => vec![reason],
        Verdict::Valid => finding.capabilities.iter().map(|(_, r)| *r).filter(|r| *r != Reason::Ok).collect(),
    };
    reasons.sort_unstable();
    reasons.dedup();
    reasons.into_iter().flat_map(|r| advice(r, network, r.info().fixed_by.reader())).copied().collect()
}

fn expiry(field: &'static str, value: &Value) -> Result<Expiry, BadPayload> {
    match value {
        Value::Null => Ok(Expiry::Unknown),
        // A token response says 0 for "does not expire".
        value if parse::integer(value) == Some(0) => Ok(Expiry::Never),
        value => match parse::instant(value) {
            Some(instant) => Ok(Expiry::At(instant)),
            None => Err(bad(field, "is neither RFC 3339 nor Unix seconds")),
        },
    }
}

fn answer(payload: &Payload) -> Result<Answer, BadPayload> {
    let status = match &payload.http_status {
        Value::Null => None,
        value => Some(
            parse::integer(value)
                .and_then(|n| u16::try_from(n).ok())
                .filter(|n| (100..1000).contains(n))
                .ok_or_else(|| bad("http_status", "is not an HTTP status"))?,
        ),
    };
    Ok(answer_of(status, &payload.headers, &payload.body))
}

/// An answer from headers as in [`Payload`], and a body that is JSON or a text.
pub(super) fn answer_of(status: Option<u16>, given: &Value, body: &Value) -> Answer {
    let headers = headers(given);
    match body {
        Value::Null => Answer::new(status, headers, b""),
        Value::String(text) => Answer::new(status, headers, text.as_bytes()),
        json => Answer { status, headers, json: json.clone(), text: String::new() },
    }
}

/// Headers from an object of texts or lists, or from a list of pairs or of `{name, value}`.
fn headers(given: &Value) -> HeaderMap {
    let mut pairs: Vec<(String, &Value)> = Vec::new();
    match given {
        Value::Object(fields) => pairs.extend(fields.iter().map(|(name, value)| (name.clone(), value))),
        Value::Array(items) => {
            for item in items {
                let (name, value) =
                    if item.is_array() { (&item[0], &item[1]) } else { (&item["name"], &item["value"]) };
                pairs.extend(parse::text(name).map(|name| (name, value)));
            }
        }
        _ => {}
    }
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let values = match value {
            Value::Array(items) => items.iter().filter_map(parse::text).collect(),
            other => parse::text(other).into_iter().collect::<Vec<_>>(),
        };
        for value in values {
            // Logs mangle headers: skip those that HTTP would not carry.
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.trim().as_bytes()), HeaderValue::from_str(value.trim()))
            {
                headers.append(name, value);
            }
        }
    }
    headers
}
