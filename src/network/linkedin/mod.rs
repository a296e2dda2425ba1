//! LinkedIn: the token is introspected, then the person's roles at the pages (or the person itself)
//! are read.
//!
//! Introspection is a POST that only reads; it tells state, end and scopes. It decides: ordinary
//! calls answer healthy fresh tokens with 65601 "revoked" now and then
//! (jclusso/omniauth-linkedin-openid issue 6, decioferreira/omniauth-linkedin-oauth2 issues 17 and
//! 81, tomasvotava/fastapi-sso issue 196), so their refusal of a token that introspection calls
//! active does not count. The role list is requested without filters, so that it contains revoked
//! roles, too.
//!
//! Facts: Microsoft Learn, "Token Introspection", "Refresh Tokens with OAuth 2.0", "Organization
//! Access Control by Role", "API Error Handling", "API Rate Limiting" and "Versioning"; LinkedIn's
//! earlier public draft of introspection (milliseconds, `expires_in` for an instant,
//! `member_restricted`); real answers in linkedin-developers/linkedin-api-python-client
//! issue 49, linkedin-developers/linkedin-api-js-client issue 35, PipedreamHQ/pipedream issue
//! 21823, xcarpentier/react-native-linkedin issue 80.
//!
//! What a read-only probe cannot see: a restricted member (no documented answer names one) and an
//! exhausted daily quota of other calls. There are no rate headers; quotas end at midnight UTC.

mod errors;
mod roles;

use errors::{Fault, after_introspection, spent_limit};
use roles::list;

use crate::model::{AppProblem, Capability, Cause, Expiry, Reason, Secret, Steps};
use crate::network::{
    Answer, AppNeed, Body, Call, CallInfo, Description, Grant, Guess, Listed, Method, Network, Param,
    Question, RateLimitStatus, Reading, Refusal, ResolvedApp, Rights, Says, Scopes, Seen, Style, parse,
};

/// Rows of the role list per call, and maximum number of calls: an endless list must not use up the
/// daily quota.
const PAGE: usize = 100;
const PAGES: usize = 20;

/// Any of these lets a login read the person's roles at pages.
const READS_ROLES: &[&str] = &["rw_organization_admin", "r_organization_admin"];

pub(super) struct LinkedIn;

static INTROSPECT: CallInfo = CallInfo {
    name: "introspectToken",
    method: Method::Post,
    url: "https://www.linkedin.com/oauth/v2/introspectToken",
    tells: "whether the token is active, revoked or expired, when it ends, its scopes",
    cost: "one call; its limit is not published",
};

static ACLS: CallInfo = CallInfo {
    name: "organizationAcls",
    method: Method::Get,
    url: "https://api.linkedin.com/rest/organizationAcls",
    tells: "the person's roles at each page, also those that were taken away",
    cost: "one call per 100 roles, of the daily quota of app and member",
};

static USERINFO: CallInfo = CallInfo {
    name: "userinfo",
    method: Method::Get,
    url: "https://api.linkedin.com/v2/userinfo",
    tells: "whose token it is (profiles, with the scope openid)",
    cost: "one call of the daily quota of app and member",
};

static ME: CallInfo = CallInfo {
    name: "me",
    method: Method::Get,
    url: "https://api.linkedin.com/v2/me",
    tells: "whose token it is (profiles, with a profile scope)",
    cost: "one call of the daily quota of app and member",
};

/// From <https://learn.microsoft.com/linkedin/marketing/integrations/migrations>, and its copy in
/// api-evangelist/linkedin-ads `lifecycle/linkedin-ads-lifecycle.yml`. Each version is supported for
/// at least a year; the exact day is published later.
#[rustfmt::skip] // a block for each year
static VERSION_ENDS: &[(&str, &str)] = &[
    ("202407", "2025-07-22"), ("202408", "2025-08-18"), ("202409", "2025-09-15"),
    ("202410", "2025-10-15"), ("202411", "2025-11-17"),
    ("202504", "2026-04-15"), ("202505", "2026-05-15"), ("202506", "2026-06-15"),
    ("202507", "2026-07-15"), ("202508", "2026-08-17"), ("202509", "2026-09-15"),
    ("202510", "2026-10-15"), ("202511", "2026-11-16"),
    ("202601", "2027-01-15"), ("202602", "2027-02-15"), ("202603", "2027-03-16"),
    ("202604", "2027-04-15"), ("202605", "2027-05-15"), ("202606", "2027-06-15"),
    ("202607", "2027-07-15"),
];

static DESCRIPTION: Description = Description {
    name: "linkedin",
    title: "LinkedIn",
    app: AppNeed::Required,
    needs_secret: true,
    kinds: &["organization", "profile"],
    // The latest that LinkedIn is known to list (n8n-io/n8n pull request 39065).
    api_version: Some("202609"),
    version_ends: VERSION_ENDS,
    calls: &[&INTROSPECT, &ACLS, &USERINFO, &ME],
    token_prefixes: &[("AQ", 16)],
    steps,
    notes: crate::network::Notes {
        lifetimes: &[
            "Access lives 60 days for most apps; introspection tells the end. Data-portability logins live \
             a year.",
            "Approved partners also get a refresh token: 365 days from the first consent, which renewing \
             never extends (Microsoft Learn, \"Refresh Tokens with OAuth 2.0\"). Only the token response \
             names its end.",
        ],
        tells: &[
            "Expired from revoked: introspection says which (Microsoft Learn, \"Token Introspection\").",
            "A role that was taken away from one that is too weak: the role list is requested without \
             filters and contains revoked roles, too.",
            "A missing role from a missing permission.",
        ],
        cannot_tell: &[
            "`account_restricted`: no documented answer names a restricted member. Only an early draft of \
             introspection did; that wording is read, and is ambiguous.",
            "Roles, where the login has no permission to read them (`rw_organization_admin` or \
             `r_organization_admin`): they then do not count against the account.",
            "Roles at ad accounts, which differ from those at pages. `ads` is judged by its permission only.",
            "An exhausted daily quota of other calls: LinkedIn sends no rate headers.",
            "Whether 65601 (\"revoked\") on an ordinary call is true: healthy new tokens sometimes get it, \
             so introspection decides.",
        ],
        only_writes: &["Duplicate posts (`DUPLICATE_POST`). Never a verdict."],
        interval: "1h, or 6h for apps in the development tier. Quotas are per app and per member and day, \
                   some as small as 100 calls, and end at midnight UTC (Microsoft Learn, \"API Rate \
                   Limiting\").",
    },
    ..Description::DEFAULT
};

fn steps(reason: Reason) -> Steps {
    match reason {
        Reason::TokenExpired => Steps::connector(&[
            "Reconnect the account. Do not delete it: planned posts would go with it.",
            "LinkedIn grants access for a limited time (often 60 days, at most a year) and then needs a \
             fresh consent. If something is meant to renew it before the year is over, it is stuck: tell \
             the operator of this product.",
        ]),
        Reason::AccessRevoked => Steps::connector(&[
            "Check whether this product was removed on purpose: LinkedIn → Me → Settings & Privacy → Data \
             privacy → Other applications → Permitted Services lists the apps with access.",
            "If it was not, reconnect the account and accept every permission.",
        ]),
        Reason::NotAdmin => Steps {
            connector: &[
                "Ask a super admin of the LinkedIn page to add you again: Page → Settings → Manage admins \
                 → Page admins → Add admin. If you no longer look after the page, let another super admin \
                 connect it.",
                "Then reconnect the account.",
            ],
            admin: &[
                "Add the person who connected the account to the LinkedIn page again: Page → Settings → \
                 Manage admins → Page admins → Add admin. If that person has left, let another super admin \
                 connect the page.",
                "Then ask the person who connected the account to reconnect it.",
            ],
            ..Steps::NONE
        },
        Reason::MissingRole => Steps {
            connector: &[
                "Ask a super admin of the LinkedIn page for a stronger role: Page → Settings → Manage \
                 admins. Super admin covers everything; Content admin covers posts and comments; Analyst \
                 covers statistics only.",
                "Then refresh the connection; reconnecting before the role is given changes nothing.",
            ],
            admin: &[
                "Give the person who connected the account a stronger role at the LinkedIn page: Page → \
                 Settings → Manage admins. Super admin covers everything; Content admin covers posts and \
                 comments; Analyst covers statistics only.",
                "Then ask the person who connected the account to refresh the connection; reconnecting \
                 before the role is given changes nothing.",
            ],
            ..Steps::NONE
        },
        Reason::MissingRoleAndPermission => Steps {
            connector: &[
                "Ask a super admin of the LinkedIn page for the missing role: Page → Settings → Manage \
                 admins.",
                "Then reconnect the account and accept every permission that LinkedIn shows.",
            ],
            admin: &[
                "Give the person who connected the account the missing role at the LinkedIn page: Page → \
                 Settings → Manage admins.",
                "Then ask the person who connected the account to reconnect it, and to accept every \
                 permission.",
            ],
            ..Steps::NONE
        },
        Reason::MissingPermission => Steps {
            connector: &[
                "Reconnect the account and accept every permission that LinkedIn shows.",
                "If that changes nothing, ask the operator of this product whether LinkedIn has approved \
                 the app for the product that grants it (Community Management, Advertising).",
            ],
            operator: &[
                "Ask the person who connected the account to reconnect it, and to accept every \
                 permission.",
                "If that changes nothing, check whether LinkedIn has approved the app for the product that \
                 grants the permission (Community Management, Advertising).",
            ],
            ..Steps::NONE
        },
        Reason::AccountRestricted => Steps::connector(&[
            "Log in at linkedin.com: a restricted profile sees a notice and is asked to verify its \
             identity.",
            "Reconnect the account when the restriction has ended, or let another admin of the page \
             connect it.",
        ]),
        _ => Steps::NONE,
    }
}

impl Network for LinkedIn {
    fn description(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn rights(&self, _: Style<'_>, kind: &str, capability: Capability) -> Option<&'static Rights> {
        Some(match (is_profile(kind), capability) {
            (true, Capability::Publish) => &Rights { scopes: &[&["w_member_social"]], roles: &[] },
            (true, Capability::Inbox) => &Rights { scopes: &[&["w_member_social_feed"]], roles: &[] },
            (true, Capability::Analytics) => &Rights { scopes: &[&["r_member_postAnalytics"]], roles: &[] },
            (false, Capability::Publish) => &Rights {
                scopes: &[&["w_organization_social"]],
                roles: &[
                    "ADMINISTRATOR",
                    "CONTENT_ADMINISTRATOR",
                    "CONTENT_ADMIN",
                    "DIRECT_SPONSORED_CONTENT_POSTER",
                ],
            },
            (false, Capability::Inbox) => &Rights {
                scopes: &[
                    &["r_organization_social_feed", "r_organization_social"],
                    &["w_organization_social_feed", "w_organization_social"],
                ],
                roles: &["ADMINISTRATOR", "CONTENT_ADMINISTRATOR", "CONTENT_ADMIN"],
            },
            (false, Capability::Analytics) => {
                &Rights { scopes: &[READS_ROLES], roles: &["ADMINISTRATOR", "ANALYST", "CURATOR"] }
            }
            // Roles at ad accounts are others than those at pages: the role list does not tell them.
            (_, Capability::Ads) => &Rights { scopes: &[&["rw_ads"]], roles: &[] },
        })
    }

    fn next(&self, grant: &Grant<'_>, seen: &[Seen]) -> Vec<Call> {
        let Some(introspection) = INTROSPECT.readings(seen).next() else {
            return introspect(grant);
        };
        if introspection.says != Says::Accepted {
            return Vec::new();
        }
        let scopes = introspection.scopes.as_ref();
        let allowed = |wanted: &[&str]| scopes.is_none_or(|s| grants_any(s, wanted));
        let mut calls = Vec::new();
        let has_page = grant.accounts.iter().any(|a| !is_profile(a.kind) && a.external_id.is_some());
        if has_page && allowed(READS_ROLES) {
            match ACLS.readings(seen).next_back() {
                None => calls.push(ask_roles(grant, None)),
                Some(list) if ACLS.readings(seen).count() < PAGES => {
                    calls.extend(list.next_part().map(|start| ask_roles(grant, Some(start))));
                }
                Some(_) => {}
            }
        }
        if grant.accounts.iter().any(|a| is_profile(a.kind))
            && !USERINFO.was_asked(seen)
            && !ME.was_asked(seen)
        {
            // Each needs its own scope. Without one, introspection is enough.
            let granted = |wanted: &[&str]| scopes.is_some() && allowed(wanted);
            let call = if granted(&["openid"]) {
                Some(&USERINFO)
            } else if granted(&["r_liteprofile", "r_basicprofile", "r_fullprofile"]) {
                Some(&ME)
            } else {
                None
            };
            calls.extend(call.map(|call| Call::new(call, &[]).bearer(&grant.tokens.access)));
        }
        calls
    }

    fn read(&self, grant: &Grant<'_>, seen: &[Seen], question: Question, answer: &Answer) -> Option<Reading> {
        let active = INTROSPECT.readings(seen).any(|r| r.says == Says::Accepted);
        if let Some(fault) = Fault::find(answer) {
            let reading = fault.judge(grant, question)?.under(answer.status);
            return Some(if active && !question.is(&INTROSPECT) {
                after_introspection(reading)
            } else {
                reading
            });
        }
        // Both are documented by the status alone.
        if answer.is(426) {
            return Some(Reading::app_problem(AppProblem::VersionEnded));
        }
        if answer.is(401) && question.is(&INTROSPECT) {
            return Some(Reading::app_problem(AppProblem::SecretRefused));
        }
        introspection(grant.app, answer)
            .or_else(|| list(grant, seen, question, active, answer))
            .or_else(|| person(grant, question, answer))
            .or_else(|| other_success(question, answer))
            .map(|reading| reading.under(answer.status))
    }

    fn limits(&self, answer: &Answer) -> Vec<RateLimitStatus> {
        spent_limit(answer).into_iter().collect()
    }

    fn guess(&self, question: Question, external_id: Option<&str>, answer: &Answer) -> Guess {
        let kind = |kind| Guess { kind, ..Guess::default() };
        // The ids of pages are numbers.
        if external_id.is_some_and(|id| bare(id).bytes().all(|b| b.is_ascii_digit())) {
            return kind(Some("organization"));
        }
        let scopes = parse::scopes(&answer.json["scope"]).unwrap_or_default();
        let granted = |part: &str| scopes.iter().any(|scope| scope.contains(part));
        // Whom the grant allows to post as.
        let member = granted("w_member_social") && !granted("organization");
        kind((member || question.is(&USERINFO) || question.is(&ME)).then_some("profile"))
    }

    fn concerns(&self, call: &'static CallInfo, kind: &str) -> bool {
        if *call == ACLS { !is_profile(kind) } else { *call == INTROSPECT || is_profile(kind) }
    }
}

fn grants_any(scopes: &Scopes, wanted: &[&str]) -> bool {
    wanted.iter().any(|scope| scopes.grants(scope, None))
}

/// Kinds as people write them; all else is a page.
fn is_profile(kind: &str) -> bool {
    matches!(kind, "profile" | "person" | "member" | "user")
}

fn introspect(grant: &Grant<'_>) -> Vec<Call> {
    // Without a secret, the answer would be that the secret is wrong.
    let Some(secret) = &grant.app.client_secret else { return Vec::new() };
    let form: Vec<(&'static str, Param)> = vec![
        ("client_id", grant.app.client_id.clone().into()),
        ("client_secret", secret.into()),
        ("token", Secret::into(grant.tokens.access.clone())),
    ];
    vec![Call::new(&INTROSPECT, &[]).body(Body::Form(form))]
}

fn ask_roles(grant: &Grant<'_>, start: Option<&str>) -> Call {
    let call = Call::new(&ACLS, &[]).query("q", "roleAssignee").query("count", PAGE.to_string());
    let call = if let Some(start) = start { call.query("start", start.to_owned()) } else { call };
    call.header("LinkedIn-Version", grant.app.api_version.clone())
        .header("X-Restli-Protocol-Version", "2.0.0")
        .bearer(&grant.tokens.access)
}

fn introspection(app: &ResolvedApp, answer: &Answer) -> Option<Reading> {
    let json = &answer.json;
    let active = parse::boolean(json.get("active")?)?;
    let status = json["status"].as_str().unwrap_or_default().to_lowercase();
    let says = match status.as_str() {
        "revoked" => Says::plain(Reason::AccessRevoked),
        "expired" => Says::plain(Reason::TokenExpired),
        "member_restricted" | "restricted" => Says::ambiguous(Reason::AccountRestricted),
        "active" if !active => Says::Undetermined(Cause::UnexpectedAnswer),
        // No token, or another client's.
        _ if !active => Says::ambiguous(Reason::TokenInvalid),
        _ => {
            let issued_to = parse::text(&json["client_id"]);
            let foreign = issued_to.is_some_and(|id| !app.client_id.is_empty() && id != app.client_id);
            // A two-legged token belongs to the app itself, not to a member.
            let two_legged = json["auth_type"].as_str().is_some_and(|t| t.eq_ignore_ascii_case("2L"))
                && json["scope"].is_null();
            if foreign {
                Says::plain(Reason::TokenInvalid)
            } else if two_legged {
                Says::plain(Reason::WrongTokenType)
            } else {
                Says::Accepted
            }
        }
    };
    // The draft calls the instant `expires_in`; a number of seconds would be relative to a clock.
    let instant = |name: &str| parse::instant(&json[name]).filter(|t| t.unix() > 1_000_000_000);
    let end = instant("expires_at").or_else(|| instant("expires_in")).or_else(|| instant("exp"));
    Some(Reading {
        access_expiry: end.map_or(Expiry::Unknown, Expiry::At),
        issued: instant("created_at"),
        scopes: parse::scopes(&json["scope"]).filter(|s| !s.is_empty()).map(Scopes::new),
        ..Reading::says(says)
    })
}

/// The last part of a URN, or the text itself.
fn bare(id: &str) -> &str {
    id.rsplit(':').next().unwrap_or(id)
}

/// The configured ids of the grant's pages.
fn page_ids<'a>(grant: &'a Grant<'_>) -> impl Iterator<Item = &'a str> {
    grant.accounts.iter().filter(|a| !is_profile(a.kind)).filter_map(|a| a.external_id)
}

/// `/v2/userinfo` and `/v2/me`.
fn person(grant: &Grant<'_>, question: Question, answer: &Answer) -> Option<Reading> {
    let json = &answer.json;
    let named = |names: &[&str]| names.iter().any(|n| json.get(*n).is_some());
    let other = question.call.is_none();
    let names = ["localizedFirstName", "localizedLastName", "vanityName", "localizedHeadline"];
    let id = if question.is(&USERINFO) || other && named(&["sub"]) {
        parse::text(&json["sub"])
    } else if question.is(&ME) || other && named(&names) {
        parse::text(&json["id"])
    } else {
        None
    };
    let id = id.filter(|id| !id.is_empty() && answer.maybe_success())?;
    let refusal = Refusal::plain(Reason::WrongAccount).of_account();
    let profiles = grant.accounts.iter().filter(|a| is_profile(a.kind)).filter_map(|a| a.external_id);
    let others = profiles.filter(|other| comparable(other, &id) && bare(other) != bare(&id));
    let listed = others.map(|other| Listed::refused(other, refusal)).collect();
    Some(Reading { listed, ..Reading::accepted() })
}

/// Whether a configured id has the form of the reported one: the name in a profile's address has
/// not.
fn comparable(configured: &str, reported: &str) -> bool {
    let looks_generated = |id: &str| id.bytes().any(|b| b.is_ascii_uppercase() || b == b'_');
    let is_id = configured.len() == reported.len() && looks_generated(configured);
    configured.starts_with("urn:li:person:") || is_id
}

/// Answers to calls that a probe never makes: something that was created or looked up.
fn other_success(question: Question, answer: &Answer) -> Option<Reading> {
    if question.call.is_some() || !answer.maybe_success() {
        return None;
    }
    let created =
        answer.is(201) && ["x-restli-id", "x-linkedin-id"].iter().any(|name| answer.header(name).is_some());
    let found = parse::text(&answer.json["id"]).is_some_and(|id| !id.is_empty());
    (created || found).then(Reading::accepted)
}
