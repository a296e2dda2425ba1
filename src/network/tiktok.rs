//! TikTok: two unrelated APIs, whose tokens are not interchangeable.
//!
//! *login_kit* (Login Kit, Display and Content Posting, `open.tiktokapis.com/v2`): asks `user/info`
//! for `open_id` alone, since any further field needs a further scope. *business* (Accounts API,
//! `business-api.tiktok.com/open_api/v1.3`): asks `token_info`, which tells the granted scopes, and
//! then reads the account. Neither tells when a token ends, and both answer an expired and a
//! revoked token alike. Both can send their errors with status 200, so codes decide.
//!
//! Sources: TikTok for Developers "Error Handling", "OAuth Error Handling", "Get User Info", "Query
//! Creator Info", "Get Post Status", "Webhook Events", "Scopes"; API for Business "Accounts API";
//! airbytehq/airbyte `source-tiktok-marketing` tests (codes 40105, 40100, 40133);
//! gitroomhq/postiz-app and chatwoot/chatwoot TikTok clients.

use std::time::Duration;

use serde_json::Value;

use super::{
    Answer, Auth, Body, Budget, Call, CallInfo, Description, Facts, Grant, Guess, Listed, Method, Network,
    Notice, NoticeForm, NoticeRefusal, NoticeRequest, NoticeSet, Question, RateLimitStatus, Reading, Refusal,
    Reset, Rights, Says, Scopes, Seen, Style, Subject, WriteFact, notice::hexadecimal, parse, standard,
};
use crate::model::{AppProblem, Capability, Cause, Reason, Steps};

pub(super) struct TikTok;

const LOGIN_KIT: &str = "login_kit";
const BUSINESS: &str = "business";

static USER_INFO: CallInfo = CallInfo {
    name: "user_info",
    method: Method::Get,
    url: "https://open.tiktokapis.com/v2/user/info/",
    tells: "login_kit: whether the token lives, and whose it is",
    cost: "1 of 600 requests a minute and app",
};

static TOKEN_INFO: CallInfo = CallInfo {
    name: "token_info",
    method: Method::Post,
    url: "https://business-api.tiktok.com/open_api/v1.3/tt_user/token_info/get/",
    tells: "business: whether the token lives, whose it is, and its scopes",
    cost: "1 of 40 requests a minute and account",
};

static BUSINESS_GET: CallInfo = CallInfo {
    name: "business_get",
    method: Method::Get,
    url: "https://business-api.tiktok.com/open_api/v1.3/business/get/",
    tells: "business: whether the account can be read with it",
    cost: "1 of 40 requests a minute and account",
};

static DESCRIPTION: Description = Description {
    name: "tiktok",
    title: "TikTok",
    apis: &[LOGIN_KIT, BUSINESS],
    calls: &[&USER_INFO, &TOKEN_INFO, &BUSINESS_GET],
    token_prefixes: &[("act.", 12), ("rft.", 12)],
    steps,
    notes: super::Notes {
        lifetimes: &[
            "Login Kit: access lives 2 or 24 hours, the refresh token 180 or 365 days (TikTok has shortened \
             both). Each renewal hands out a new refresh token, and the old one stops at once (TikTok for \
             Developers, \"Manage OAuth Access Tokens\").",
            "Business: access lives a day, the refresh token a year.",
            "No answer tells either end: both come from the token response or the configuration.",
            "An access token that has just ended is no loss where `auto_refresh` is set, or where the \
             refresh token is known to live: the verdict stands until the renewal is overdue.",
        ],
        tells: &[
            "A missing permission from a refused token: by its code.",
            "With the business API also the granted permissions, and whose token it is.",
            "A ban from posting, where somebody who posts hands that answer to `classify`.",
            "An app that has not been audited, lacks an approved scope or has too many active users.",
            "The app's limit (40100) from that of one token or advertiser.",
        ],
        cannot_tell: &[
            "Expired, revoked, deleted and banned share one code (`access_token_invalid`, 40105). The known \
             expiry decides between `token_expired` and `access_revoked`; without one it is `token_invalid`.",
            "`account_suspended`: only TikTok's webhook names it (TikTok for Developers, \"Webhook \
             Events\").",
            "Granted permissions at Login Kit: they stand in the token response only, and people can switch \
             each off.",
        ],
        only_writes: &[
            "A ban from posting (`spam_risk_user_banned_from_posting`) and posts that TikTok takes \
             for spam (`spam_risk`, read as a day): only publishing stops.",
            "That an app has not been audited, has too many active users, or has not verified the domain of \
             its media: a fault of the app, never of the account.",
            "The caps of posts a day and of pending shares, and captions, files and privacy levels \
             that are refused. Never a verdict.",
        ],
        interval: "1h. 600 questions a minute and app (Login Kit) and 40 a minute and account (business) are \
                   far away; the access token is read anew for every probe, so its source must be kept \
                   fresh.",
    },
    ..Description::DEFAULT
};

fn steps(reason: Reason) -> Steps {
    match reason {
        Reason::AccessRevoked => Steps::connector(&[
            "Check whether this product was removed on purpose: TikTok app → Settings and privacy → \
             Security & permissions → Apps and services permissions lists the apps with access.",
            "If it was not, log in at tiktok.com to see that the account is not banned, then reconnect it \
             and accept every permission.",
        ]),
        Reason::TokenInvalid => Steps::connector(&[
            "Log in at tiktok.com with the connected account and deal with any notice: TikTok answers \
             alike for removed access, a banned account and a lapsed login.",
            "Reconnect the account.",
        ]),
        Reason::TokenExpired => Steps::connector(&[
            "Reconnect the account. Do not delete it: planned posts would go with it.",
            "TikTok's access lasts hours and is renewed by itself: if it stopped long before the yearly \
             reconnection, the renewal is stuck. Tell the operator of this product.",
        ]),
        Reason::MissingPermission => Steps::connector(&[
            "Reconnect the account and leave every switch on TikTok's permission page on: each can be \
             switched off there.",
        ]),
        Reason::AccountRestricted => Steps::connector(&[
            "Open the TikTok app: Settings and privacy → Support → Account check (or the notice in the \
             inbox) shows the restriction and the way to appeal.",
            "Post again after it has ended; reconnecting does not lift it.",
        ]),
        Reason::AccountSuspended => Steps::connector(&[
            "Open the TikTok app and appeal from the notice about the ban.",
            "Reconnect the account once it is restored.",
        ]),
        Reason::MissingRole => Steps {
            connector: &[
                "Ask an admin of the advertiser account to give you access: TikTok Business Center → Users \
                 → Members.",
                "Then refresh the connection; reconnecting before the role is given changes nothing.",
            ],
            admin: &[
                "Give the person who connected the account access to the advertiser account: TikTok \
                 Business Center → Users → Members.",
                "Then ask the person who connected the account to refresh the connection; reconnecting \
                 before the role is given changes nothing.",
            ],
            ..Steps::NONE
        },
        Reason::WrongAccount => Steps::connector(&[
            "Log out at tiktok.com, log in with the right account, and reconnect: TikTok connects \
             whichever account the browser is logged in to.",
        ]),
        _ => Steps::NONE,
    }
}

impl Network for TikTok {
    fn description(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn rights(&self, style: Style<'_>, _: &str, capability: Capability) -> Option<&'static Rights> {
        // Publishing needs user.info.basic as well, which every app has and the probe itself
        // proves.
        Some(match (capability, style.api == BUSINESS) {
            (Capability::Publish, _) => &Rights { scopes: &[&["video.publish", "video.upload"]], roles: &[] },
            (Capability::Analytics, false) => {
                &Rights { scopes: &[&["video.list"], &["user.info.stats"]], roles: &[] }
            }
            (Capability::Analytics, true) => &Rights {
                scopes: &[&["user.insights", "user.info.stats"], &["video.insights", "video.list"]],
                roles: &[],
            },
            (Capability::Inbox, true) => &Rights {
                scopes: &[
                    &["comment.list", "comment.list.manage", "message.list.read", "message.list.manage"],
                    &["comment.list.manage", "message.list.send", "message.list.manage"],
                ],
                roles: &[],
            },
            (Capability::Ads, true) => &Rights { scopes: &[&["biz.spark.auth"]], roles: &[] },
            (Capability::Inbox | Capability::Ads, false) => return None,
        })
    }

    fn next(&self, grant: &Grant<'_>, seen: &[Seen]) -> Vec<Call> {
        if grant.style.api == BUSINESS {
            return next_of_business(grant, seen);
        }
        let user_info = Call::new(&USER_INFO, &[]).query("fields", "open_id").bearer(&grant.tokens.access);
        if seen.is_empty() { vec![user_info] } else { Vec::new() }
    }

    fn read(&self, grant: &Grant<'_>, _: &[Seen], _: Question, answer: &Answer) -> Option<Reading> {
        interpret(grant, answer).map(|reading| reading.under(answer.status))
    }

    /// TikTok sends no headers: its refusals say whose limit it was.
    fn limits(&self, answer: &Answer) -> Vec<RateLimitStatus> {
        /// In seconds: the limits hold for a sliding minute.
        const WINDOW: u32 = 60;
        let json = &answer.json;
        let reset = Some(Reset::After(WINDOW));
        let spent = |bucket, budget| RateLimitStatus::new(bucket, budget, Some(1.0), reset);
        let word = json["error"]["code"].as_str().or(json["code"].as_str());
        let limit = match (parse::integer(&json["code"]), word) {
            // "App … reaches the QPS limit".
            (Some(40100), _) => spent("app-qps", Budget::App),
            // "Advertiser (…)'s QPS (21) reaches QPS limit 20".
            (Some(40133 | 51021), _) | (_, Some("rate_limit_exceeded")) => spent("requests", Budget::Grant),
            _ => None,
        };
        limit.into_iter().collect()
    }

    fn guess(&self, question: Question, _: Option<&str>, answer: &Answer) -> Guess {
        let business = !answer.json["error"].is_object() && parse::integer(&answer.json["code"]).is_some();
        let asked = question.is(&TOKEN_INFO) || question.is(&BUSINESS_GET);
        Guess { api: Some(if business || asked { BUSINESS } else { LOGIN_KIT }), ..Guess::default() }
    }

    fn notices(&self) -> Option<&'static NoticeForm> {
        Some(&NOTICES)
    }
}

fn interpret(grant: &Grant<'_>, answer: &Answer) -> Option<Reading> {
    let json = &answer.json;
    if json["event"] == "authorization.removed" {
        return Some(removed(json));
    }
    match &json["error"] {
        error @ Value::Object(_) => read_v2(grant, answer, error),
        Value::String(error) => v2_code(error)
            .or_else(|| read_oauth_error(error, json["error_description"].as_str().unwrap_or_default()))
            .map(Reading::says),
        // Number or text: the two APIs differ in the type of their codes.
        _ if parse::integer(&json["code"]).is_some() => read_business(grant, answer),
        _ if json["code"].is_string() => read_v2(grant, answer, json),
        _ if json["access_token"].is_string() && answer.maybe_success() => Some(read_grant(grant, json)),
        _ => None,
    }
}

fn next_of_business(grant: &Grant<'_>, seen: &[Seen]) -> Vec<Call> {
    let app = &grant.app.client_id;
    let business_get = |id: &str| {
        let call = Call::new(&BUSINESS_GET, &[])
            .query("business_id", id.to_owned())
            .query("fields", r#"["username"]"#)
            .auth(Auth::Header("Access-Token", grant.tokens.access.clone()));
        vec![call]
    };
    let configured = grant.accounts.first().and_then(|a| a.external_id);
    match seen {
        [] if app.is_empty() => configured.map(business_get).unwrap_or_default(),
        [] => {
            let body = Body::Json(vec![
                ("app_id", app.clone().into()),
                ("access_token", (&grant.tokens.access).into()),
            ]);
            vec![Call::new(&TOKEN_INFO, &[]).body(body)]
        }
        [Seen { question, reading }] if question.is(&TOKEN_INFO) && reading.says == Says::Accepted => {
            // A healthy token can lack any scope of the profile.
            let open = reading
                .scopes
                .as_ref()
                .is_none_or(|s| s.granted.iter().any(|name| name.starts_with("user.info.")));
            // The account that the token belongs to goes before the configured one.
            let id = reading.facts.parent.as_deref().or(configured);
            id.filter(|_| open).map(business_get).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// The open API: `error` is an object, or its fields are at the top, as in the documentation.
fn read_v2(grant: &Grant<'_>, answer: &Answer, error: &Value) -> Option<Reading> {
    let code = error["code"].as_str().unwrap_or_default();
    let data = &answer.json["data"];
    if code.eq_ignore_ascii_case("spam_risk_user_banned_from_posting") {
        return Some(banned_from_posting());
    }
    if !code.eq_ignore_ascii_case("ok") {
        return v2_code(code).map(|says| Reading { write: write_fact(code), ..Reading::says(says) });
    }
    if !answer.maybe_success() {
        return None;
    }
    if let Some(reading) = publish_failure(data) {
        return Some(reading);
    }
    let user = &data["user"];
    let told = [&user["open_id"], &user["union_id"], &user["username"], &data["creator_username"]];
    Some(Reading {
        says: accepted_unless_empty(data),
        listed: wrong_accounts(grant, &told),
        user_id: parse::text(&user["open_id"]),
        ..Reading::default()
    })
}

/// TikTok bars the account from posting through any product, and from nothing else. It does not say
/// until when.
fn banned_from_posting() -> Reading {
    let write = Some(WriteFact::Blocked { reason: Reason::AccountRestricted, lasts: None });
    Reading { lost: vec![(Capability::Publish, Reason::AccountRestricted)], write, ..Reading::accepted() }
}

/// Reasons for which TikTok refuses one post (TikTok for Developers, "Get Post Status", "Direct Post").
#[rustfmt::skip]
const CONTENT: &[&str] = &[
    "spam_risk_text", "privacy_level_option_mismatch", "privacy_level_check_failed", "invalid_file_upload",
    "file_format_check_failed", "duration_check_failed", "frame_rate_check_failed",
    "picture_size_check_failed", "video_pull_failed", "photo_pull_failed", "publish_cancelled", "user_cancel",
];

/// What only a write shows: refused content, and a post that TikTok took for spam. The daily cap of
/// posts and the cap of pending shares are limits.
fn write_fact(code: &str) -> Option<WriteFact> {
    /// TikTok names no end; its own limits on posts are for 24 hours.
    const SPAM: Duration = Duration::from_secs(24 * 3600);
    match code.to_lowercase().as_str() {
        "spam_risk" => Some(WriteFact::Blocked { reason: Reason::AccountRestricted, lasts: Some(SPAM) }),
        code => CONTENT.contains(&code).then_some(WriteFact::Content),
    }
}

/// The codes of the open API other than `ok`.
fn v2_code(code: &str) -> Option<Says> {
    Some(match code.to_lowercase().as_str() {
        "access_token_invalid" => Says::expired_or_revoked(),
        "scope_not_authorized" | "scope_permission_missed" => Says::plain(Reason::MissingPermission),
        "rate_limit_exceeded"
        | "spam_risk_too_many_posts"
        | "spam_risk_too_many_pending_share"
        | "spam_risk" => Says::Undetermined(Cause::RateLimited),
        "internal_error" | "internal" => Says::Undetermined(Cause::ServerError),
        // The app has not been audited, or has too many active users.
        "reached_active_user_cap" | "unaudited_client_can_only_post_to_private_accounts" => {
            Says::app_problem(AppProblem::AccessLevel)
        }
        // The request itself is wrong, or the app has not verified the domain of the media.
        "url_ownership_unverified" | "app_version_check_failed" | "invalid_params" | "invalid_param" => {
            Says::app_problem(AppProblem::Unknown)
        }
        code if CONTENT.contains(&code) => Says::Undetermined(Cause::UnexpectedAnswer),
        _ => return None,
    })
}

/// A token response, which also tells the scopes that the person left on.
fn read_grant(grant: &Grant<'_>, json: &Value) -> Reading {
    Reading {
        scopes: parse::scopes(&json["scope"]).map(Scopes::new),
        listed: wrong_accounts(grant, &[&json["open_id"]]),
        user_id: parse::text(&json["open_id"]),
        ..Reading::accepted()
    }
}

/// Refusals of the token endpoint, which a probe never calls.
fn read_oauth_error(error: &str, description: &str) -> Option<Says> {
    const CODES: [&str; 4] = ["authorization code", "auth code", "code verifier", "code_verifier"];
    let said = |part| parse::contains(description, part);
    Some(match error.to_lowercase().as_str() {
        // A used authorization code says nothing about the grant.
        "invalid_grant" if CODES.into_iter().any(said) => Says::app_problem(AppProblem::Unknown),
        "invalid_grant" | "invalid_token" => Says::expired_or_revoked(),
        "invalid_client" => Says::app_problem(AppProblem::SecretRefused),
        "unauthorized_client" | "invalid_scope" => Says::app_problem(AppProblem::AccessLevel),
        "invalid_request" | "unsupported_grant_type" => Says::app_problem(AppProblem::Unknown),
        "server_error" | "temporarily_unavailable" => Says::Undetermined(Cause::ServerError),
        "too_many_requests" | "slow_down" => Says::Undetermined(Cause::RateLimited),
        _ => return None,
    })
}

/// The status of an earlier post can tell that the access has ended.
fn publish_failure(data: &Value) -> Option<Reading> {
    match data["fail_reason"].as_str().or(data["reason"].as_str())? {
        "auth_removed" => Some(Reading::plain(Reason::AccessRevoked)),
        "spam_risk_user_banned_from_posting" => Some(banned_from_posting()),
        "spam_risk_too_many_posts" | "spam_risk_too_many_pending_share" => {
            Some(Reading::undetermined(Cause::RateLimited))
        }
        // The token was accepted.
        reason => write_fact(reason).map(|fact| Reading { write: Some(fact), ..Reading::accepted() }),
    }
}

/// A webhook event. Only there TikTok says why the access has ended.
fn removed(event: &Value) -> Reading {
    Reading::refused(Refusal::plain(match removal(event) {
        Some(2) => Reason::AccountDeactivated,
        // The person's age.
        Some(3) => Reason::AccountRestricted,
        Some(4) => Reason::AccountSuspended,
        // Removed by the person or by the developer, or unknown.
        _ => Reason::AccessRevoked,
    }))
}

/// The number of the reason why an authorization was removed.
fn removal(event: &Value) -> Option<i64> {
    // `content` is JSON inside a text.
    let inner: Value =
        event["content"].as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    parse::integer(&inner["reason"]).or_else(|| parse::integer(&event["content"]["reason"]))
}

static NOTICES: NoticeForm =
    NoticeForm { read: read_notice, status: 200, get: None, keys: None, token_names: None };

/// A webhook, with the signature in `TikTok-Signature: t=…,s=…` (TikTok for Developers, "Webhooks
/// Verification"). The time `t` is that of the delivery, which can be repeated for 72 hours.
fn read_notice(request: &NoticeRequest<'_>) -> Result<NoticeSet, NoticeRefusal> {
    let secret = request.secret.ok_or(NoticeRefusal::BadSignature)?;
    let header = request.headers.get("tiktok-signature").and_then(|value| value.to_str().ok());
    let parts = || header.unwrap_or_default().split(',').filter_map(|part| part.trim().split_once('='));
    let part = |name| parts().find(|(key, _)| *key == name).map(|(_, value)| value);
    let (time, tag) = part("t").zip(part("s").and_then(hexadecimal)).ok_or(NoticeRefusal::BadSignature)?;
    if !secret.has_signed(&[time.as_bytes(), b".", request.body].concat(), &tag) {
        return Err(NoticeRefusal::BadSignature);
    }
    let json: Value = serde_json::from_slice(request.body).map_err(|_| NoticeRefusal::Malformed)?;
    if json["client_key"] != *request.client_id {
        return Err(NoticeRefusal::OtherApp);
    }
    let at = parse::instant(&json["create_time"]).ok_or(NoticeRefusal::Malformed)?;
    let user = parse::text(&json["user_openid"]).filter(|_| json["event"] == "authorization.removed");
    let plain = removed(&json).refusal().filter(|_| matches!(removal(&json), Some(1..=4)));
    let lost = plain.and_then(|refusal| refusal.reason);
    let notice =
        user.map(|user| Notice { event: "authorization.removed", about: Subject::user(&user), lost });
    Ok(NoticeSet::new(request.body, at, notice.into_iter().collect()))
}

/// The API for Business: `code` is a number, 0 is the only success, whatever the status.
fn read_business(grant: &Grant<'_>, answer: &Answer) -> Option<Reading> {
    let json = &answer.json;
    let code = parse::integer(&json["code"])?;
    if code != 0 {
        return business_code(code, json["message"].as_str().unwrap_or_default()).map(Reading::says);
    }
    if !answer.maybe_success() {
        return None;
    }
    let data = &json["data"];
    if let Some(reading) = publish_failure(data) {
        return Some(reading);
    }
    Some(Reading {
        says: accepted_unless_empty(data),
        // An advertiser's token has numbers here, which are not scopes of the Accounts API.
        scopes: parse::scopes(&data["scope"])
            .filter(|s| s.iter().all(|name| name.parse::<u64>().is_err()))
            .map(Scopes::new),
        listed: wrong_accounts(grant, &[&data["creator_id"], &data["open_id"], &data["username"]]),
        facts: Facts { parent: parse::text(&data["creator_id"]), ..Facts::default() },
        user_id: ["creator_id", "open_id"].iter().find_map(|name| parse::text(&data[*name])),
        ..Reading::default()
    })
}

/// The codes of the API for Business. Lists of them contradict each other, so a text that names the
/// cause goes before a code of the disputed range.
fn business_code(code: i64, message: &str) -> Option<Says> {
    let said = |part| parse::contains(message, part);
    let expired_or_revoked = Says::expired_or_revoked();
    let token = ["access token", "access_token", "refresh token", "refresh_token"].into_iter().any(said);
    let dead = match (said("expired"), said("incorrect") || said("revoked")) {
        (true, false) => Some(Says::plain(Reason::TokenExpired)),
        (_, true) => Some(expired_or_revoked),
        (false, false) => None,
    };
    let about_token = || dead.filter(|_| token);
    let auth_code = ["auth code", "auth_code", "authorization code"].into_iter().any(said);
    Some(match code {
        40100 | 40133 | 51021 => Says::Undetermined(Cause::RateLimited),
        40001 | 40002 if said("permission") && said("advertiser") => {
            Says::Refused(Refusal::plain(Reason::MissingRole).of_account())
        }
        40002 if said("exist") && said("deleted") => {
            Says::Refused(Refusal::plain(Reason::PageUnavailable).of_account())
        }
        40002 | 40101..=40119 if auth_code => Says::app_problem(AppProblem::Unknown),
        40105 => about_token().unwrap_or(expired_or_revoked),
        40101..=40119 => about_token().unwrap_or(match code {
            40102 | 40103 | 40107 => expired_or_revoked,
            _ if said("app does not exist") => Says::app_problem(AppProblem::AppDeleted),
            _ => Says::app_problem(AppProblem::Unknown),
        }),
        40001 => about_token().unwrap_or(Says::plain(Reason::MissingPermission)),
        40002 => about_token().unwrap_or(Says::app_problem(AppProblem::Unknown)),
        50000..=50999 => Says::Undetermined(Cause::ServerError),
        _ if said("too many requests") || said("qps limit") || said("rate limit") => {
            Says::Undetermined(Cause::RateLimited)
        }
        _ => return about_token(),
    })
}

/// An empty list proves nothing; any other success was given to a living token.
fn accepted_unless_empty(data: &Value) -> Says {
    let mut lists = data.as_object().into_iter().flatten().filter_map(|(_, v)| v.as_array()).peekable();
    let only_empty = lists.peek().is_some() && lists.all(Vec::is_empty);
    let identified = ["open_id", "creator_id", "username", "creator_username", "publish_id", "access_token"]
        .iter()
        .any(|n| !data[*n].is_null());
    if data.is_null() || (only_empty && !identified) { Says::Nothing } else { Says::Accepted }
}

fn wrong_accounts(grant: &Grant<'_>, told: &[&Value]) -> Vec<Listed> {
    let told: Vec<String> = told.iter().copied().filter_map(parse::text).collect();
    standard::wrong_accounts_if(grant, |id| parse::other_identity(id, &told, is_open_id))
}

/// Open ids begin like this or are UUIDs. Names can change, so they are not compared with ids.
fn is_open_id(id: &str) -> bool {
    let long = id.len() >= 20 && (id.starts_with("-000") || id.starts_with("_000"));
    let parts: Vec<usize> = id.split('-').map(str::len).collect();
    long || parts == [8, 4, 4, 4, 12]
}
