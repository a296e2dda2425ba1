//! `WWW-Authenticate` headers, in the dialects of many servers.

use http::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use token_exporter::network::Answer;
use token_exporter::network::parse::{Challenge, challenges};

use super::network;

/// Parsing a header's value and formatting it again changes nothing, and no network fails on it.
pub fn check(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, value)]);
    let found = challenges(&headers);
    let length: usize = found
        .iter()
        .map(|c| c.scheme.len() + c.parameters.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>())
        .sum();
    assert!(length <= data.len(), "more comes out than went in: {found:?}");
    if let Ok(again) = HeaderValue::from_str(&written(&found)) {
        assert_eq!(challenges(&HeaderMap::from_iter([(WWW_AUTHENTICATE, again)])), found);
    }
    for status in [400, 401, 403, 429] {
        network::read_everywhere(&Answer::new(Some(status), headers.clone(), b""));
    }
}

/// The challenges in the syntax of RFC 9110.
fn written(challenges: &[Challenge]) -> String {
    let quoted = |(name, value): &(String, String)| {
        format!("{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
    };
    let one = |c: &Challenge| {
        format!("{} {}", c.scheme, c.parameters.iter().map(quoted).collect::<Vec<_>>().join(", "))
    };
    challenges.iter().map(one).collect::<Vec<_>>().join(", ")
}
