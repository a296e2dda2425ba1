//! Rate limits of Meta: headers in percent, and codes of errors.
//!
//! Sources: Meta, "Rate Limits" (Graph API); headers of graph.instagram.com in public clients.

use serde_json::Value;

use super::envelope::GraphError;
use super::errors::throttled;
use crate::network::{Answer, Budget, RateLimitStatus, Reset, parse};

/// Pause in seconds after an error that names a limit, but not its end. Limits are counted over an
/// hour, and calls that come too early lengthen it.
const WAIT: u32 = 300;

/// What an answer of any Meta host says about rate limits: in its headers how much is used, in its
/// error whose limit was reached. Only what is the app's pauses the app.
pub(super) fn limits(answer: &Answer) -> Vec<RateLimitStatus> {
    let header = |name: &str| answer.header(name).and_then(|text| serde_json::from_str::<Value>(text).ok());
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
        let used =
            entries().filter_map(highest).fold(None, |max: Option<f64>, v| Some(max.map_or(v, |m| m.max(v))));
        let minutes = entries()
            .filter_map(|e| parse::integer(&e["estimated_time_to_regain_access"]))
            .max()
            .filter(|m| *m > 0);
        let reset = minutes.and_then(|m| u32::try_from(m.saturating_mul(60)).ok()).map(Reset::After);
        push("business_use_case_usage", Budget::Grant, used, reset);
    }
    if let Some(usage) = header("x-ad-account-usage") {
        let seconds = parse::integer(&usage["reset_time_duration"])
            .and_then(|s| u32::try_from(s).ok())
            .filter(|s| *s > 0);
        push("ad_account_usage", Budget::Grant, number(&usage["acc_id_util_pct"]), seconds.map(Reset::After));
    }
    if let Some(budget) = GraphError::find(answer).as_ref().and_then(throttled) {
        let bucket = if budget == Budget::App { "app_requests" } else { "requests" };
        limits.push(RateLimitStatus { bucket, budget, used: None, reset: Some(Reset::After(WAIT)) });
    }
    limits
}

/// The highest of the percentages that Meta counts. Instagram's own host names them otherwise.
fn highest(usage: &Value) -> Option<f64> {
    let names = ["call_count", "total_time", "total_cputime", "call_volume", "cpu_time"];
    let counted = names.iter().filter_map(|name| number(&usage[*name]));
    counted.fold(None, |max, v| Some(max.map_or(v, |m: f64| m.max(v))))
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|n: &f64| n.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[(&'static str, &'static str)], body: &str) -> Answer {
        let map = headers
            .iter()
            .map(|(n, v)| (http::HeaderName::from_static(n), http::HeaderValue::from_static(v)))
            .collect();
        Answer::new(Some(200), map, body.as_bytes())
    }

    #[test]
    fn rate_limits_are_read_from_every_header() {
        let limits = limits(&answer(
            &[
                ("x-app-usage", r#"{"call_count":28,"total_time":25,"total_cputime":"31"}"#),
                ("x-page-usage", "not json"),
                (
                    "x-business-use-case-usage",
                    concat!(
                        r#"{"1":[{"type":"pages","call_count":10,"estimated_time_to_regain_access":0}],"#,
                        r#""2":[{"type":"instagram","total_time":99,"estimated_time_to_regain_access":5}]}"#,
                    ),
                ),
                ("x-ad-account-usage", r#"{"acc_id_util_pct":9.5,"reset_time_duration":100}"#),
            ],
            "",
        ));
        let limit = |bucket, budget, used, reset| RateLimitStatus { bucket, budget, used: Some(used), reset };
        assert_eq!(
            limits,
            [
                limit("app_usage", Budget::App, 0.31, None),
                limit("business_use_case_usage", Budget::Grant, 0.99, Some(Reset::After(300))),
                limit("ad_account_usage", Budget::Grant, 0.095, Some(Reset::After(100))),
            ]
        );
    }
    #[test]
    fn instagram_counts_in_words_of_its_own() {
        let limits = limits(&answer(&[("x-app-usage", r#"{"call_volume":7,"cpu_time":2}"#)], ""));
        assert_eq!(limits.first().and_then(|l| l.used), Some(0.07));
    }

    #[test]
    fn only_a_limit_of_the_app_concerns_the_app() {
        let budget = |body: &str| limits(&answer(&[], body)).first().map(|l| l.budget);
        let error = |code: i64| format!(r#"{{"error": {{"message": "x", "code": {code}}}}}"#);
        for code in [4, 341] {
            assert_eq!(budget(&error(code)), Some(Budget::App), "{code}");
        }
        for code in [9, 17, 32, 613, 80_001, 80_002, 80_014] {
            assert_eq!(budget(&error(code)), Some(Budget::Grant), "{code}");
        }
        let blocked = r#"{"error": {"message": "Action is blocked", "code": 4, "error_subcode": 2207051}}"#;
        assert_eq!(budget(blocked), Some(Budget::Grant));
        assert_eq!(budget("(#4) Application request limit reached"), Some(Budget::App));
        assert_eq!(budget("Calls to this api have exceeded the rate limit."), Some(Budget::Grant));
        for code in [2, 10, 190, 80_015] {
            assert_eq!(budget(&error(code)), None, "{code}");
        }
    }
}
