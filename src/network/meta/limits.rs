//! Rate limits of Meta: headers in percent, and codes of errors.
//!
//! Sources: Meta, "Rate Limits" (Graph API); headers of graph.instagram.com in public clients.

use serde_json::Value;

use super::envelope::GraphError;
use super::errors::throttled;
use crate::network::{Answer, Budget, RateLimitStatus, Reset, parse};

/// Pause in seconds after an error about a limit without its end. Limits are counted over an hour,
/// and earlier calls prolong them.
const WAIT: u32 = 300;

/// Headers tell how much of a limit is used, errors whose limit is exceeded. Only a limit of the
/// app pauses the app.
pub(super) fn limits(answer: &Answer) -> Vec<RateLimitStatus> {
    let header = |name: &str| answer.header(name).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let after = |seconds: i64| u32::try_from(seconds).ok().filter(|s| *s > 0).map(Reset::After);
    let mut limits = Vec::new();
    let mut push = |bucket, budget, used: Option<f64>, reset: Option<Reset>| {
        limits.extend(RateLimitStatus::new(bucket, budget, used.map(|percent| percent / 100.0), reset));
    };
    if let Some(usage) = header("x-app-usage") {
        push("app_usage", Budget::App, highest(&usage), None);
    }
    if let Some(usage) = header("x-page-usage") {
        push("page_usage", Budget::Grant, highest(&usage), None);
    }
    if let Some(usage) = header("x-business-use-case-usage") {
        let entries =
            || usage.as_object().into_iter().flat_map(|o| o.values()).filter_map(Value::as_array).flatten();
        let used = entries().filter_map(highest).reduce(f64::max);
        let minutes = entries().filter_map(|e| parse::integer(&e["estimated_time_to_regain_access"])).max();
        push(
            "business_use_case_usage",
            Budget::Grant,
            used,
            minutes.and_then(|m| after(m.saturating_mul(60))),
        );
    }
    if let Some(usage) = header("x-ad-account-usage") {
        let reset = parse::integer(&usage["reset_time_duration"]).and_then(after);
        push("ad_account_usage", Budget::Grant, number(&usage["acc_id_util_pct"]), reset);
    }
    if let Some(budget) = GraphError::find(answer).as_ref().and_then(throttled) {
        let bucket = if budget == Budget::App { "app_requests" } else { "requests" };
        limits.push(RateLimitStatus { bucket, budget, used: None, reset: Some(Reset::After(WAIT)) });
    }
    limits
}

/// The highest percentage. Instagram's own host has other names for them.
fn highest(usage: &Value) -> Option<f64> {
    let names = ["call_count", "total_time", "total_cputime", "call_volume", "cpu_time"];
    names.iter().filter_map(|name| number(&usage[*name])).reduce(f64::max)
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|n: &f64| n.is_finite())
}
