//! What the formats look like. Knows no account.

use std::io::Write as _;

use super::Format;
use crate::inventory::escape;

/// The comments before a family's samples.
pub(super) fn write_header(out: &mut Vec<u8>, format: Format, name: &str, help: &str, kind: &str) {
    let (name, kind) = match (format, kind) {
        (Format::OpenMetrics, "counter") => (name.strip_suffix("_total").unwrap_or(name), kind),
        (Format::OpenMetrics, "info") => (name.strip_suffix("_info").unwrap_or(name), kind),
        (Format::Text, "info") => (name, "gauge"),
        _ => (name, kind),
    };
    let mut help = help.replace('\\', "\\\\").replace('\n', "\\n");
    if format == Format::OpenMetrics {
        help = help.replace('"', "\\\"");
    }
    // Writing to a vector does not fail.
    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    if format == Format::OpenMetrics && name.ends_with("_seconds") {
        let _ = writeln!(out, "# UNIT {name} seconds");
    }
}

pub(super) fn write_sample(out: &mut Vec<u8>, name: &str, labels: &[(&str, &str)], value: f64) {
    let labels: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    // Writing to a vector does not fail.
    let _ = writeln!(out, "{name}{labels} {}", format_float(value));
}

#[inline(always)]
pub(super) fn write_integer(out: &mut Vec<u8>, value: i64) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value).as_bytes();
    // Most values are instants. A copy whose length is constant takes no call.
    match digits.first_chunk::<10>() {
        Some(instant) if digits.len() == 10 => out.extend_from_slice(instant),
        _ => out.extend_from_slice(digits),
    }
}

pub(super) fn format_float(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}
