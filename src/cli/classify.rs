//! `classify`: tells what an answer of a network means.

use std::io::{BufRead as _, Read as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use super::{FAILED, print};
use crate::model::Timestamp;
use crate::report::{Payload, PayloadContext, classify};

#[derive(Debug, Args)]
pub(super) struct Classify {
    /// Network that answered
    #[arg(long, value_name = "NAME", required_unless_present = "jsonl")]
    network: Option<String>,
    /// Call that was answered: a name, a path or a request line
    #[arg(long, value_name = "CALL")]
    call: Option<String>,
    /// HTTP status
    #[arg(long, value_name = "STATUS")]
    status: Option<u16>,
    /// Response header; may be given several times
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// When the access token expires: RFC 3339 or Unix seconds
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// Which of the network's APIs
    #[arg(long, value_name = "API")]
    api: Option<String>,
    /// oauth1 or oauth2
    #[arg(long, value_name = "AUTH")]
    auth: Option<String>,
    /// Read one JSON object per line, and print one per line
    #[arg(long, conflicts_with_all = ["network", "call", "status", "headers", "expires_at", "api", "auth"])]
    jsonl: bool,
}

impl Classify {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        if self.jsonl {
            return classify_lines();
        }
        let mut body = String::new();
        std::io::stdin().lock().read_to_string(&mut body).context("cannot read standard input")?;
        let payload = Payload {
            headers: self.headers()?,
            network: self.network.unwrap_or_default(),
            call: self.call,
            http_status: json!(self.status),
            body: Value::from(body),
            context: Some(PayloadContext {
                expires_at: json!(self.expires_at),
                api: self.api,
                auth: self.auth,
                ..PayloadContext::default()
            }),
        };
        let classified = classify(&payload, Timestamp::now())?;
        print(&format!("{}\n", serde_json::to_string_pretty(&classified.describe())?))?;
        Ok(ExitCode::SUCCESS)
    }

    /// The headers as a list of `[name, value]` pairs.
    fn headers(&self) -> anyhow::Result<Value> {
        let pair = |header: &String| {
            let (name, value) = header
                .split_once(':')
                .with_context(|| format!("--header {header:?} is not of the form 'Name: value'"))?;
            Ok(json!([name, value]))
        };
        self.headers.iter().map(pair).collect()
    }
}

/// Classifies each line of standard input. A bad line is reported, and the others are read.
fn classify_lines() -> anyhow::Result<ExitCode> {
    let now = Timestamp::now();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut exit_code = ExitCode::SUCCESS;
    for (number, line) in std::io::stdin().lock().lines().enumerate() {
        let line = line.context("cannot read standard input")?;
        if line.trim().is_empty() {
            continue;
        }
        let result = serde_json::from_str::<Payload>(&line)
            // serde's message can quote the payload, which may hold a token: give its position only.
            .map_err(|e| format!("not a payload (column {})", e.column()))
            .and_then(|payload| classify(&payload, now).map_err(|e| e.to_string()));
        let printed = match result {
            Ok(classified) => serde_json::to_string(&classified.describe())?,
            Err(problem) => {
                exit_code = ExitCode::from(FAILED);
                eprintln!("token_exporter: line {}: {problem}", number + 1);
                json!({"error": problem}).to_string()
            }
        };
        writeln!(out, "{printed}")?;
    }
    out.flush()?;
    Ok(exit_code)
}
