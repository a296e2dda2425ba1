//! What Facebook, Instagram and Threads have in common: the Graph API's error envelope and table,
//! `debug_token`, lists of permissions and pages, rate-limit headers, batches.
//!
//! Answers are judged by their body, not by status or `type`: `debug_token` reports a dead token
//! with status 200, Threads a missing permission with 500, and throttling also is an
//! `OAuthException`.
//!
//! Sources: Meta, "Handle Errors" and "Error Reference" (Graph API), "Debug Token", "Permissions
//! Reference", "Batch Requests", "Rate Limits", "Instagram Platform: Error Codes"; payloads in
//! public trackers and test suites: facebookarchive/php-graph-sdk, arsduo/koala, restfb/restfb,
//! snarfed/bridgy, gitroomhq/postiz-app, inovector/mixpost, csharp-sdk/facebook-csharp-sdk issue
//! 186.

mod batch;
mod envelope;
mod errors;
mod limits;
mod notice;
mod facebook;
mod instagram;
mod threads;
mod writes;

pub(super) use batch::BATCH;
pub(super) use facebook::Facebook;
pub(super) use instagram::Instagram;
pub(super) use threads::Threads;

use serde_json::Value;

use batch::{batch_items, read_batch};
use envelope::GraphError;
use errors::judge;
use limits::limits;

use crate::model::{AppProblem, Cause, Expiry, Reason, Secret, Steps};
use crate::network::{
    Answer, Call, CallInfo, Facts, Grant, List, Listed, Question, Reading, Refusal, ResolvedApp, Says,
    Scopes, Seen, parse,
};

/// The latest version, of 4 November 2026.
pub(super) const VERSION: &str = "v27.0";

/// Versions with a published end: <https://developers.facebook.com/docs/graph-api/changelog>. That
/// of v26.0 and v27.0 is still to be determined.
pub(super) static VERSION_ENDS: &[(&str, &str)] = &[
    ("v13.0", "2024-05-28"),
    ("v14.0", "2024-09-17"),
    ("v15.0", "2024-11-20"),
    ("v16.0", "2025-05-14"),
    ("v17.0", "2025-09-12"),
    ("v18.0", "2026-01-26"),
    ("v19.0", "2026-05-21"),
    ("v20.0", "2026-09-24"),
    ("v21.0", "2027-01-21"),
    ("v22.0", "2027-05-20"),
    ("v23.0", "2027-10-08"),
    ("v24.0", "2028-02-18"),
    ("v25.0", "2028-07-29"),
];

/// What to do when the access to data has run out, on Facebook and Instagram.
const DATA_ACCESS_EXPIRED: Steps = Steps::connector(&[
    "Reconnect the account: Meta withholds data when the app has not been confirmed for 90 days, even though \
     the login itself lives on.",
    "Next time, reconnect ahead of the deadline: then nothing stops.",
]);

/// The app's own token: `id|secret`.
pub(super) fn app_token(app: &ResolvedApp) -> Option<Secret> {
    let secret = app.client_secret.as_ref().filter(|s| !s.is_empty() && !app.client_id.is_empty())?;
    Some(secret.prefixed(&format!("{}|", app.client_id)))
}

/// A call under the configured version, with this token.
pub(super) fn ask(app: &ResolvedApp, call: &'static CallInfo, token: &Secret) -> Call {
    Call::new(call, &[&app.api_version]).bearer(token)
}

/// Whether the call is `me`, at any of the three networks.
fn is_me(question: Question) -> bool {
    [&facebook::ME, &instagram::ME, &threads::ME].into_iter().any(|me| question.is(me))
}

/// Reads any answer of the Graph API.
pub(super) fn read(grant: &Grant<'_>, seen: &[Seen], question: Question, answer: &Answer) -> Option<Reading> {
    let reading = read_shape(grant, seen, question, answer);
    if !is_of_later_version(grant, answer) {
        return reading;
    }
    match reading.filter(|r| r.says != Says::Undetermined(Cause::UnexpectedAnswer)) {
        Some(reading) => Some(Reading { version_ended: true, ..reading }),
        None => Some(Reading::app_problem(AppProblem::VersionEnded)),
    }
}

/// Whether an answer comes from a later version than the requested one, which has then ended: Meta
/// answers under the oldest version that is left (Meta, "Graph API Versioning", and "Debugging API
/// Requests" on the header). Of an answer that was handed in, the requested version is not known.
fn is_of_later_version(grant: &Grant<'_>, answer: &Answer) -> bool {
    let number = |version: &str| {
        let (major, minor) = version.trim().strip_prefix('v')?.split_once('.')?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    };
    let headers = ["facebook-api-version", "instagram-api-version", "threads-api-version"];
    let served = headers.iter().find_map(|name| answer.header(name)).and_then(number);
    let asked = number(&grant.app.api_version);
    !grant.tokens.access.is_empty() && served.zip(asked).is_some_and(|(served, asked)| served > asked)
}

/// Reads an answer by its shape.
fn read_shape(grant: &Grant<'_>, seen: &[Seen], question: Question, answer: &Answer) -> Option<Reading> {
    if let Some(items) = batch_items(&answer.json) {
        return read_batch(grant, seen, question.about, &items);
    }
    if let Some(error) = GraphError::find(answer) {
        let reading = judge(grant, question, &error);
        if error.inspected {
            let data = &answer.json["data"];
            let unknown = || Reading::refused(Refusal::expired_or_revoked());
            return match parse::boolean(&data["is_valid"]) {
                Some(true) => None,
                Some(false) => Some(inspection(data, reading.unwrap_or_else(unknown))),
                None => reading.map(|reading| inspection(data, reading)),
            };
        }
        // A bare error to `debug_token` is about the token that asked: the app's, unless a token
        // inspects itself, as in a probe without the app's secret. Of an answer that was handed in,
        // it is not known.
        let inspecting = question.is(&facebook::DEBUG_TOKEN) || question.is(&threads::DEBUG_TOKEN);
        let asked_by_app = inspecting && (app_token(grant.app).is_some() || grant.tokens.access.is_empty());
        return reading.map(|reading| match reading.says {
            Says::Refused(_) if asked_by_app => Reading::app_problem(AppProblem::SecretRefused),
            _ => reading,
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

/// Adds what `debug_token` says besides whether the token is valid.
fn inspection(data: &Value, reading: Reading) -> Reading {
    // 0 means "no end" on a live token only: it stays on dead ones.
    let end = |name: &str| match parse::expiry_or_never(&data[name]) {
        Expiry::Never if reading.says != Says::Accepted => Expiry::Unknown,
        expiry => expiry,
    };
    Reading {
        access_expiry: end("expires_at"),
        data_access_expiry: end("data_access_expires_at"),
        issued: parse::instant(&data["issued_at"]),
        // The person, also for the token of a page; the id is the app's own for that person.
        user_id: parse::text(&data["user_id"]),
        ..reading
    }
}

/// `debug_token` without an error. `is_valid` goes before every date.
fn inspected(grant: &Grant<'_>, question: Question, data: &Value) -> Option<Reading> {
    if !parse::boolean(data.get("is_valid")?)? {
        return Some(inspection(data, Reading::refused(Refusal::expired_or_revoked())));
    }
    let app_id = parse::text(&data["app_id"]);
    if app_id.is_some_and(|id| !grant.app.client_id.is_empty() && id != grant.app.client_id) {
        return Some(Reading::app_problem(AppProblem::Unknown));
    }
    let mut reading = inspection(data, Reading::accepted());
    reading.scopes = parse::scopes(&data["scopes"])
        .map(|granted| Scopes { granted, only_for: granular(&data["granular_scopes"]) });
    let kind = data["type"].as_str().unwrap_or_default();
    if kind.eq_ignore_ascii_case("app") {
        reading.says = Says::plain(Reason::WrongTokenType);
    }
    if kind.eq_ignore_ascii_case("page") {
        // A page's token lists the page that it is for; an empty id where that is not told.
        let page = parse::text(&data["profile_id"]).unwrap_or_default();
        let other = grant
            .account(question)
            .filter(|a| a.network.name() == "facebook" && a.kind == "page")
            .is_some_and(|a| parse::same_identity(a.external_id, std::slice::from_ref(&page)) == Some(false));
        if other {
            reading.says = Says::Refused(Refusal::plain(Reason::WrongAccount).of_account());
        }
        reading.listed.push(Listed::new(page, Facts::default()));
    }
    Some(reading)
}

/// Scopes that hold for certain objects only. Those of ads and businesses name ad accounts and
/// businesses, which are not what a connection is configured by.
fn granular(value: &Value) -> Vec<(String, Vec<String>)> {
    let limited = |entry: &Value| {
        let scope = entry["scope"].as_str().filter(|s| !s.contains("ads") && !s.starts_with("business_"))?;
        let ids: Vec<String> = entry["target_ids"].as_array()?.iter().filter_map(parse::text).collect();
        (!ids.is_empty()).then(|| (scope.to_owned(), ids))
    };
    value.as_array().into_iter().flatten().filter_map(limited).collect()
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
        return Some(empty_list(grant, seen, question, paging));
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

/// An empty list proves nothing: it can mean that nothing was posted yet. But a login that may read
/// the list of pages and gets none has no page. A probe also asks the page itself, as the list
/// leaves out pages of a business portfolio.
fn empty_list(grant: &Grant<'_>, seen: &[Seen], question: Question, paging: Option<&Value>) -> Reading {
    let alone = question.is(&facebook::ACCOUNTS) && seen.is_empty();
    let page = grant.account(question).filter(|a| alone && facebook::has_page(a));
    let readable =
        grant.tokens.scopes.as_ref().is_some_and(|s| s.iter().any(|s| facebook::LIST.contains(&s.as_str())));
    let list = end_of_list(paging);
    let says = match page {
        Some(_) if readable && list == Some(List::Complete) => {
            Says::Refused(Refusal::ambiguous(Reason::NotAdmin).of_account())
        }
        _ => Says::Nothing,
    };
    Reading { list, ..Reading::says(says) }
}

/// Whether a list is complete; none if it continues without saying where. An empty part can be
/// followed by others.
fn end_of_list(paging: Option<&Value>) -> Option<List> {
    match paging.filter(|paging| paging.get("next").is_some_and(Value::is_string)) {
        None => Some(List::Complete),
        Some(paging) => paging["cursors"]["after"].as_str().map(|after| List::ContinuesAt(after.to_owned())),
    }
}

/// `/me/permissions`: what the person has granted and not taken back. The token can have fewer
/// scopes.
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

/// What an answer tells about a page. That it is not published is the only restriction that can be
/// read.
fn facts(page: &Value) -> Facts {
    let unpublished = parse::boolean(&page["is_published"]) == Some(false);
    Facts {
        roles: page["tasks"].as_array().map(|tasks| tasks.iter().filter_map(parse::text).collect()),
        token: page["access_token"].as_str().filter(|t| !t.is_empty()).map(Secret::new),
        refused: unpublished.then(|| Refusal::plain(Reason::PageRestricted).of_account()),
        ..Facts::default()
    }
}

/// `/me/accounts`: the pages of a login, with their tokens, and the Instagram accounts linked to
/// them.
fn pages(grant: &Grant<'_>, question: Question, items: &[Value], paging: Option<&Value>) -> Reading {
    let mut reading = Reading::accepted();
    let mut linked = Vec::new();
    for page in items {
        let Some(id) = parse::text(&page["id"]) else { continue };
        if let Some(account) = parse::text(&page["instagram_business_account"]["id"]) {
            linked
                .push(Listed::new(account, Facts { parent: Some(id.clone()), refused: None, ..facts(page) }));
        }
        reading.listed.push(Listed::new(id, facts(page)));
    }
    if let Some(account) = grant.account(question) {
        // Without other answers, the list is about the configured account, or about any in it.
        let listed = if account.network.name() == "instagram" { &linked } else { &reading.listed };
        match account.external_id {
            Some(id) if listed.iter().any(|l| l.external_id == id) => {}
            None if !listed.is_empty() => reading.facts = common(listed),
            _ => reading.says = Says::Nothing,
        }
    }
    reading.listed.extend(linked);
    reading.list = end_of_list(paging);
    reading
}

/// The roles that any of these accounts has, and the refusal if all of them have one.
fn common(listed: &[Listed]) -> Facts {
    let roles: Option<Vec<Vec<String>>> = listed.iter().map(|l| l.facts.roles.clone()).collect();
    let all_refused = listed.iter().all(|l| l.facts.refused.is_some());
    let refused = listed.first().filter(|_| all_refused).and_then(|l| l.facts.refused);
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
    let kind = node["account_type"].as_str().unwrap_or_default();
    if kind.eq_ignore_ascii_case("personal") || kind.eq_ignore_ascii_case("consumer") {
        reading.says = Says::Refused(Refusal::plain(Reason::UnsupportedAccountType).of_account());
    } else if is_somebody_else(grant, question, node, &told) {
        reading.says = Says::plain(Reason::WrongAccount);
    }
    // At Facebook, `me` can be a page.
    let own = question.is(&instagram::ME) && grant.style.api == instagram::OWN || question.is(&threads::ME);
    let user_id = ["id", "user_id"].iter().find_map(|name| parse::text(&node[*name])).filter(|_| own);
    Some(Reading { facts: facts(node), user_id, ..reading })
}

/// Whether the token belongs to another account than the configured one. Only where `me` *is* the
/// account: at Instagram's own login (whose `id` is the app's alias, so that only `user_id` counts)
/// and at Threads.
fn is_somebody_else(grant: &Grant<'_>, question: Question, node: &Value, told: &[String]) -> bool {
    let only = grant.accounts.first().filter(|_| question.about.is_none() && grant.accounts.len() == 1);
    let Some(account) = grant.account(question).or(only) else { return false };
    let own = match account.network.name() {
        "instagram" => grant.style.api == instagram::OWN && node.get("user_id").is_some(),
        "threads" => true,
        _ => false,
    };
    own && node.get("username").is_some() && parse::same_identity(account.external_id, told) == Some(false)
}
