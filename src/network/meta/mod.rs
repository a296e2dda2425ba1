//! What Facebook, Instagram and Threads have in common: the Graph API's error envelope and table,
//! `debug_token`, lists of permissions and pages, rate-limit headers, batches.
//!
//! Answers are judged by their body, never by status or `type`: `debug_token` reports a dead token
//! under 200, Threads a missing permission under 500, and `OAuthException` stands on throttling,
//! too.
//!
//! Sources: Meta, "Handle Errors" and "Error Reference" (Graph API), "Debug Token", "Permissions
//! Reference", "Batch Requests", "Rate Limits", "Instagram Platform: Error Codes"; payloads in
//! public trackers and test suites: facebookarchive/php-graph-sdk, arsduo/koala, restfb/restfb,
//! snarfed/bridgy, gitroomhq/postiz-app, inovector/mixpost, csharp-sdk/facebook-csharp-sdk issue
//! 186.

mod batch;
mod errors;
mod facebook;
mod instagram;
mod threads;

pub(super) use batch::BATCH;
pub(super) use facebook::Facebook;
pub(super) use instagram::Instagram;
pub(super) use threads::Threads;

use serde_json::Value;

use batch::{batch_items, read_batch};
use errors::Weight::{Plain, PlainOfAccount};
use errors::{GraphError, judge, names_another_object, refuse};

use crate::model::{AppProblem, Expiry, Reason, Secret};
use crate::network::{
    Answer, Budget, Call, CallInfo, Facts, Grant, List, Listed, Question, RateLimitStatus, Reading, Refusal,
    Reset, ResolvedApp, Says, Scopes, Seen, parse,
};

/// The app's own token: `id|secret`.
pub(super) fn app_token(app: &ResolvedApp) -> Option<Secret> {
    let secret = app.client_secret.as_ref().filter(|s| !s.is_empty() && !app.client_id.is_empty())?;
    Some(secret.prefixed(&format!("{}|", app.client_id)))
}

/// Asks under the configured version, proven by this token.
pub(super) fn ask(app: &ResolvedApp, call: &'static CallInfo, token: &Secret) -> Call {
    Call::new(call, &[&app.api_version]).bearer(token)
}

/// Whether the token's own account was asked about, at whichever of the three networks.
fn is_me(question: Question) -> bool {
    [&facebook::ME, &instagram::ME, &threads::ME].into_iter().any(|me| question.is(me))
}

/// Reads any answer of the Graph API, by its shape.
pub(super) fn read(grant: &Grant<'_>, seen: &[Seen], question: Question, answer: &Answer) -> Option<Reading> {
    if let Some(items) = batch_items(&answer.json) {
        return read_batch(grant, seen, question.about, &items);
    }
    if let Some(error) = GraphError::find(answer) {
        let says = judge(&error, names_another_object(grant, question, &error));
        if error.inspected {
            let data = &answer.json["data"];
            return match (parse::boolean(&data["is_valid"]), says) {
                (Some(true), _) => None,
                (Some(false), None) => Some(inspection(data, Says::Refused(Refusal::expired_or_revoked()))),
                (_, says) => says.map(|says| inspection(data, says)),
            };
        }
        // A bare error to `debug_token` concerns the token that asked: the app's, unless a token inspects
        // itself. A probe without a secret does that; of an answer that was handed in nobody knows.
        let inspecting = question.is(&facebook::DEBUG_TOKEN) || question.is(&threads::DEBUG_TOKEN);
        let asked_by_app = inspecting && (app_token(grant.app).is_some() || grant.tokens.access.is_empty());
        return says.map(|says| match says {
            Says::Refused(_) if asked_by_app => Reading::app_problem(AppProblem::Unknown),
            says => Reading::says(says),
        });
    }
    if !answer.maybe_success() {
        return None;
    }
    let data = answer.json.get("data");
    match data {
        Some(data @ Value::Object(_)) => inspected(grant, question, data),
        Some(Value::Array(items)) => read_list(grant, seen, question, items, answer.json.get("paging")),
        _ => node(grant, question, &answer.json),
    }
}

/// What `debug_token` says of a token besides its being valid or not.
fn inspection(data: &Value, says: Says) -> Reading {
    // 0 means "no end" on a live token only: it stays on dead ones.
    let end = |name: &str| match parse::expiry_or_never(&data[name]) {
        Expiry::Never if says != Says::Accepted => Expiry::Unknown,
        expiry => expiry,
    };
    Reading {
        access_expiry: end("expires_at"),
        data_access_expiry: end("data_access_expires_at"),
        issued: parse::instant(&data["issued_at"]),
        ..Reading::says(says)
    }
}

/// `debug_token` without an error. `is_valid` goes before every date.
fn inspected(grant: &Grant<'_>, question: Question, data: &Value) -> Option<Reading> {
    if !parse::boolean(data.get("is_valid")?)? {
        return Some(inspection(data, Says::Refused(Refusal::expired_or_revoked())));
    }
    let app_id = parse::text(&data["app_id"]);
    if app_id.is_some_and(|id| !grant.app.client_id.is_empty() && id != grant.app.client_id) {
        return Some(Reading::app_problem(AppProblem::Unknown));
    }
    let mut reading = inspection(data, Says::Accepted);
    reading.scopes = parse::scopes(&data["scopes"])
        .map(|granted| Scopes { granted, only_for: granular(&data["granular_scopes"]) });
    let kind = data["type"].as_str().unwrap_or_default();
    if kind.eq_ignore_ascii_case("app") {
        reading.says = refuse(Reason::WrongTokenType, Plain);
    }
    if kind.eq_ignore_ascii_case("page") {
        // A page's token lists the page that it is for; an empty id where that is not told.
        let page = parse::text(&data["profile_id"]).unwrap_or_default();
        let other = grant
            .account(question)
            .filter(|a| a.network.name() == "facebook" && a.kind == "page")
            .is_some_and(|a| parse::same_identity(a.external_id, std::slice::from_ref(&page)) == Some(false));
        if other {
            reading.says = refuse(Reason::WrongAccount, PlainOfAccount);
        }
        reading.listed.push(Listed::new(page, Facts::default()));
    }
    Some(reading)
}

/// Scopes that hold for certain objects only. Those of ads and businesses name ad accounts and
/// businesses, which are not what a connection is configured by.
fn granular(value: &Value) -> Vec<(String, Vec<String>)> {
    let entries = value.as_array().map(Vec::as_slice).unwrap_or_default();
    entries
        .iter()
        .filter_map(|entry| {
            let scope =
                entry["scope"].as_str().filter(|s| !s.contains("ads") && !s.starts_with("business_"))?;
            let ids: Vec<String> = entry["target_ids"].as_array()?.iter().filter_map(parse::text).collect();
            (!ids.is_empty()).then(|| (scope.to_owned(), ids))
        })
        .collect()
}

/// A list under `data`: permissions, pages, or anything else that the token was allowed to read.
fn read_list(
    grant: &Grant<'_>,
    seen: &[Seen],
    question: Question,
    items: &[Value],
    paging: Option<&Value>,
) -> Option<Reading> {
    let any = |names: &[&str]| items.iter().any(|item| names.iter().any(|n| item.get(n).is_some()));
    if items.is_empty() {
        // "No page was ticked", "no permission for any", "nothing posted yet": it proves nothing.
        return Some(Reading { list: Some(List::Complete), ..Reading::default() });
    }
    if any(&["permission"]) {
        return Some(permissions(seen, items));
    }
    if any(&["account_type", "user_id"]) || (items.len() == 1 && is_me(question)) {
        return node(grant, question, &items[0]);
    }
    if question.is(&facebook::ACCOUNTS)
        || any(&["tasks", "perms", "access_token", "instagram_business_account"])
    {
        return Some(pages(grant, question, items, paging));
    }
    items.iter().any(Value::is_object).then(Reading::accepted)
}

/// `/me/permissions`: what the person granted and has not taken back. The token itself can hold
/// less.
fn permissions(seen: &[Seen], items: &[Value]) -> Reading {
    let told = seen.iter().rev().find_map(|s| s.reading.scopes.as_ref());
    let granted = items
        .iter()
        .filter(|item| item["status"].as_str().is_none_or(|s| s.eq_ignore_ascii_case("granted")))
        .filter_map(|item| parse::text(&item["permission"]))
        .filter(|scope| told.is_none_or(|t| t.granted.contains(scope)))
        .collect();
    let only_for = told.map(|t| t.only_for.clone()).unwrap_or_default();
    Reading { scopes: Some(Scopes { granted, only_for }), ..Reading::accepted() }
}

/// A page's tasks; none where they are not told, which is not the same as having none.
fn tasks(page: &Value) -> Option<Vec<String>> {
    page["tasks"].as_array().map(|tasks| tasks.iter().filter_map(parse::text).collect())
}

/// Not published: the one restriction of a page that can be read.
fn unpublished(node: &Value) -> Option<Refusal> {
    (parse::boolean(&node["is_published"]) == Some(false))
        .then(|| Refusal::plain(Reason::PageRestricted).of_account())
}

/// `/me/accounts`: the pages of a login, with their tokens, and the Instagram accounts linked to
/// them.
fn pages(grant: &Grant<'_>, question: Question, items: &[Value], paging: Option<&Value>) -> Reading {
    let mut reading = Reading::accepted();
    let mut linked = Vec::new();
    for page in items {
        let Some(id) = parse::text(&page["id"]) else { continue };
        let token = page["access_token"].as_str().filter(|t| !t.is_empty()).map(Secret::new);
        let facts = Facts { roles: tasks(page), token, ..Facts::default() };
        if let Some(account) = parse::text(&page["instagram_business_account"]["id"]) {
            linked.push(Listed::new(account, Facts { parent: Some(id.clone()), ..facts.clone() }));
        }
        reading.listed.push(Listed::new(id, Facts { refused: unpublished(page), ..facts }));
    }
    if let Some(account) = grant.account(question) {
        // Read alone, the list speaks of one connection: of the configured one, or of whichever is in it.
        let listed = if account.network.name() == "instagram" { &linked } else { &reading.listed };
        match account.external_id {
            Some(id) if listed.iter().any(|l| l.external_id == id) => {}
            None if !listed.is_empty() => reading.facts = common(listed),
            _ => reading.says = Says::Nothing,
        }
    }
    reading.listed.extend(linked);
    let after = paging
        .filter(|p| p.get("next").is_some_and(Value::is_string))
        .and_then(|p| p["cursors"]["after"].as_str());
    reading.list = Some(after.map_or(List::Complete, |after| List::ContinuesAt(after.to_owned())));
    reading
}

/// What holds for each of these accounts: a role counts if any of them has it, a refusal if all of
/// them have it.
fn common(listed: &[Listed]) -> Facts {
    let roles: Option<Vec<Vec<String>>> = listed.iter().map(|l| l.facts.roles.clone()).collect();
    let refused = listed
        .iter()
        .all(|l| l.facts.refused.is_some())
        .then(|| listed.first().and_then(|l| l.facts.refused))
        .flatten();
    Facts { roles: roles.map(|r| r.concat()), refused, ..Facts::default() }
}

/// One object that the token was allowed to read, or the receipt for one that it wrote.
fn node(grant: &Grant<'_>, question: Question, node: &Value) -> Option<Reading> {
    if let Some(token) = node["access_token"].as_str().filter(|_| node.get("id").is_none()) {
        // A token response. An app's token says nothing about the person's.
        let scopes = ["permissions", "scope"].iter().find_map(|name| parse::scopes(&node[*name]));
        return Some(if token.contains('|') {
            Reading::default()
        } else {
            Reading { scopes: scopes.map(Scopes::new), ..Reading::accepted() }
        });
    }
    let told: Vec<String> = ["user_id", "id"].iter().filter_map(|name| parse::text(&node[*name])).collect();
    let receipt =
        ["post_id", "video_id", "message_id"].iter().any(|name| parse::text(&node[*name]).is_some());
    if told.is_empty() && !receipt && parse::boolean(&node["success"]) != Some(true) {
        return None;
    }
    let mut reading = Reading::accepted();
    if ["personal", "consumer"]
        .iter()
        .any(|kind| node["account_type"].as_str().is_some_and(|t| t.eq_ignore_ascii_case(kind)))
    {
        reading.says = refuse(Reason::UnsupportedAccountType, PlainOfAccount);
    } else if is_somebody_else(grant, question, node, &told) {
        reading.says = refuse(Reason::WrongAccount, Plain);
    }
    let token = node["access_token"].as_str().filter(|t| !t.is_empty()).map(Secret::new);
    reading.facts = Facts { roles: tasks(node), refused: unpublished(node), token, ..Facts::default() };
    Some(reading)
}

/// Whether the token belongs to another account than the configured one. Only where `me` *is* the
/// account: at Instagram's own login (whose `id` is the app's alias, so that only `user_id` counts)
/// and at Threads.
fn is_somebody_else(grant: &Grant<'_>, question: Question, node: &Value, told: &[String]) -> bool {
    let only = grant.accounts.first().filter(|_| question.about.is_none() && grant.accounts.len() == 1);
    let Some(account) = grant.account(question).or(only) else {
        return false;
    };
    let own = match account.network.name() {
        "instagram" => {
            grant.style.api == "instagram_login"
                && node.get("user_id").is_some()
                && node.get("username").is_some()
        }
        "threads" => node.get("username").is_some(),
        _ => false,
    };
    own && parse::same_identity(account.external_id, told) == Some(false)
}

/// What the headers of any Meta host say about rate limits.
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
    limits
}

/// The highest of the three percentages that Meta counts.
fn highest(usage: &Value) -> Option<f64> {
    let counted =
        ["call_count", "total_time", "total_cputime"].iter().filter_map(|name| number(&usage[*name]));
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
}
