//! What a client accepts: the format of metrics, and gzip.

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};

use crate::exposition::Format;

/// The format that the client prefers; the text format if it has no preference.
pub(super) fn negotiate(headers: &HeaderMap) -> Format {
    let mut best = (0.0, Format::Text);
    for range in list(headers, ACCEPT) {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or("").to_ascii_lowercase();
        let (mut q, mut version) = (1.0_f32, None);
        for part in parts {
            match part.split_once('=') {
                Some(("q", value)) => q = value.parse().unwrap_or(0.0),
                Some(("version", value)) => version = Some(value.trim_matches('"')),
                _ => {}
            }
        }
        let format = match (media.as_str(), version) {
            ("application/openmetrics-text", None | Some("1.0.0")) => Format::OpenMetrics,
            ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", _) => Format::Text,
            _ => continue,
        };
        if q > best.0 {
            best = (q, format);
        }
    }
    best.1
}

pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    list(headers, ACCEPT_ENCODING).any(|coding| {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let q = parameters.trim().strip_prefix("q=").and_then(|q| q.parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case("gzip") && q.is_none_or(|q| q > 0.0)
    })
}

/// The members of a header that is a list.
pub(super) fn list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','))
}
