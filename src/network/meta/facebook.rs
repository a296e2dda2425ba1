//! Facebook: a person's login (or one page's token) and the pages and Instagram accounts that hang
//! on it.
//!
//! Asks `debug_token` with the app's token, then `/me/permissions` and `/me/accounts`, then reads
//! each account itself: a healthy `debug_token` does not show that a page or a role is gone. Only
//! writes show identity checks and Page Publishing Authorization, so a probe cannot tell them.
//!
//! Sources: Meta, "Debug Token", "User Accounts", "User Permissions", "Page" (reference), "Pages
//! API: Overview" (tasks), "Permissions Reference", "Securing Graph API Requests"
//! (appsecret_proof), "Batch Requests"; for the groups' end the Graph API changelog of 2024-01-23;
//! for the tasks facebook/facebook-python-business-sdk `page.py`.

use crate::model::{Capability, Cause, Reason, Secret, Steps};
use crate::network::{
    Account, Answer, AppNeed, Batch, Call, CallInfo, Certainty, Description, Facts, Grant, List, Method,
    Network, Question, RateLimitStatus, Reach, Reading, Refusal, Rights, Says, Seen, Style, meta, parse,
};

/// Maximum number of parts of `/me/accounts` that are read, with 100 pages each.
const LISTS: usize = 20;

pub(in crate::network) struct Facebook;

impl Network for Facebook {
    fn description(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn rights(&self, _: Style<'_>, kind: &str, capability: Capability) -> Option<&'static Rights> {
        match (kind, capability) {
            // Posting to profiles ended in 2018, and groups have no API.
            ("profile" | "group", Capability::Publish | Capability::Inbox | Capability::Analytics) => None,
            ("profile" | "group", Capability::Ads) => Some(&PROFILE_ADS),
            (_, Capability::Publish) => Some(&PUBLISH),
            (_, Capability::Inbox) => Some(&INBOX),
            (_, Capability::Analytics) => Some(&ANALYTICS),
            (_, Capability::Ads) => Some(&ADS),
        }
    }

    fn next(&self, grant: &Grant<'_>, seen: &[Seen]) -> Vec<Call> {
        next(grant, seen)
    }

    fn read(&self, grant: &Grant<'_>, seen: &[Seen], question: Question, answer: &Answer) -> Option<Reading> {
        read(grant, seen, question, answer)
    }

    fn limits(&self, answer: &Answer) -> Vec<RateLimitStatus> {
        meta::limits(answer)
    }

    /// The Groups API ended for all versions on 22 April 2024.
    fn supports(&self, kind: &str) -> bool {
        kind != "group"
    }

    fn batch(&self, _: Style<'_>) -> Option<&'static Batch> {
        Some(&meta::BATCH)
    }

    fn notices(&self) -> Option<&'static crate::network::NoticeForm> {
        Some(&super::notice::NOTICES)
    }
}

/// Tasks of a page, classic and new, that let a person publish. Full control contains every task.
pub(super) const PUBLISH_ROLES: &[&str] = &[
    "CREATE_CONTENT",
    "PROFILE_PLUS_CREATE_CONTENT",
    "PROFILE_PLUS_FACEBOOK_ACCESS",
    "MANAGE",
    "PROFILE_PLUS_MANAGE",
    "PROFILE_PLUS_FULL_CONTROL",
];

/// Tasks that let a person answer messages and comments.
pub(super) const INBOX_ROLES: &[&str] = &[
    "MESSAGING",
    "MODERATE",
    "MODERATE_COMMUNITY",
    "PAGES_MESSAGING",
    "PROFILE_PLUS_MESSAGING",
    "PROFILE_PLUS_MODERATE",
    "PROFILE_PLUS_MODERATE_DELEGATE_COMMUNITY",
    "MANAGE",
    "PROFILE_PLUS_MANAGE",
    "PROFILE_PLUS_FULL_CONTROL",
];

/// Tasks that let a person see statistics.
pub(super) const ANALYTICS_ROLES: &[&str] =
    &["ANALYZE", "PROFILE_PLUS_ANALYZE", "MANAGE", "PROFILE_PLUS_MANAGE", "PROFILE_PLUS_FULL_CONTROL"];

/// Tasks that let a person advertise.
pub(super) const ADS_ROLES: &[&str] =
    &["ADVERTISE", "PROFILE_PLUS_ADVERTISE", "MANAGE", "PROFILE_PLUS_MANAGE", "PROFILE_PLUS_FULL_CONTROL"];

/// Scopes to read pages. No capability requires them: without them the call itself is refused.
const READ: &[&str] = &["pages_read_engagement", "manage_pages"];

/// Scopes to read the list of pages.
pub(super) const LIST: &[&str] = &["pages_show_list", "manage_pages"];

// One scope of a group is enough: a product may use only a part of the capability. Old logins still
// have the old names manage_pages and publish_pages.
static PUBLISH: Rights = Rights { scopes: &[&["pages_manage_posts", "publish_pages"]], roles: PUBLISH_ROLES };
static INBOX: Rights =
    Rights { scopes: &[&["pages_messaging", "pages_manage_engagement", "manage_pages"]], roles: INBOX_ROLES };
static ANALYTICS: Rights = Rights { scopes: &[&["read_insights"]], roles: ANALYTICS_ROLES };
static ADS: Rights =
    Rights { scopes: &[&["ads_management", "ads_read", "pages_manage_ads"]], roles: ADS_ROLES };
static PROFILE_ADS: Rights = Rights::scopes(&[&["ads_management", "ads_read"]]);

pub(super) static DEBUG_TOKEN: CallInfo = CallInfo {
    name: "debug_token",
    method: Method::Get,
    url: "https://graph.facebook.com/{version}/debug_token",
    tells: "whether the token is valid and why not, both ends (of the token and of the access to data), \
            permissions, and which accounts they hold for",
    cost: "one call of the app's hourly limit",
};

pub(super) static PERMISSIONS: CallInfo = CallInfo {
    name: "permissions",
    method: Method::Get,
    url: "https://graph.facebook.com/{version}/me/permissions",
    tells: "permissions that the person declined, took back or let lapse",
    cost: "one call of the app's hourly limit",
};

pub(super) static ACCOUNTS: CallInfo = CallInfo {
    name: "accounts",
    method: Method::Get,
    url: "https://graph.facebook.com/{version}/me/accounts",
    tells: "the pages of the login, the person's tasks there, their tokens, linked Instagram accounts; 100 \
            at a time",
    cost: "one call of the app's hourly limit for each 100 pages",
};

pub(super) static ME: CallInfo = CallInfo {
    name: "me",
    method: Method::Get,
    url: "https://graph.facebook.com/{version}/me",
    tells: "the cause where debug_token names none; whether the token works, for accounts without an id",
    cost: "one call of the app's hourly limit",
};

pub(super) static ACCOUNT: CallInfo = CallInfo {
    name: "account",
    method: Method::Get,
    url: "https://graph.facebook.com/{version}/{account}",
    tells: "whether this page or Instagram account still answers to this login, and whether the page is \
            published",
    cost: "one call of the account's own daily limit",
};

static DESCRIPTION: Description = Description {
    name: "facebook",
    title: "Facebook",
    app: AppNeed::Required,
    kinds: &["page", "group", "profile"],
    carries: &["facebook", "instagram"],
    api_version: Some(meta::VERSION),
    version_ends: super::VERSION_ENDS,
    calls: &[&DEBUG_TOKEN, &PERMISSIONS, &ACCOUNTS, &ME, &ACCOUNT],
    token_prefixes: &[("EAA", 8)],
    steps,
    notes: crate::network::Notes {
        lifetimes: &[
            "A person's login lives 60 days; only a new login starts a new period. The end is read from \
             `debug_token` (Meta, \"Access Tokens\").",
            "A page's token made from such a login has no end of its own, nor have most tokens of system \
             users: `debug_token` then says 0.",
            "Access to data is a clock of its own, about 90 days from the person's last consent, read from \
             `data_access_expires_at`. Facebook goes on calling a token valid after it.",
        ],
        tells: &[
            "Password changed, app removed, security check, expiry, unconfirmed person: by subcode, or by \
             the text where there is none (Meta, \"Handle Errors\").",
            "Missing role, missing permission, or both: the person's tasks come from `me/accounts`, \
             permissions and the pages they hold for from `debug_token` and `me/permissions`.",
            "A page that was not ticked, a lost role and a page that is gone, though Facebook answers all \
             three with one sentence: the lists decide.",
            "A fault of the app (\"API access blocked.\") from a fault of the login.",
        ],
        cannot_tell: &[
            "`two_factor_required`: no known answer names it alone. Facebook's one sentence for it and for a \
             lost role is read as `not_admin`, and the advice names both.",
            "`page_restricted` by country or age: no field shows it; only `is_published` can be read (Meta, \
             \"Page\" reference).",
        ],
        only_writes: &[
            "Identity checks (code 368 with subcode 1404006 or 4854002) and Page Publishing \
             Authorization (1404078): only publishing stops, and a probe of such a page shows \
             `publish` as available.",
            "Blocks for posting too often or against the rules (368): for as long as the text says, \
             if it says so. With 1404112 they last some days.",
            "Content that is refused: duplicates (506, 1404082), photos posted before, links, photos \
             and videos that Facebook does not take, and recipients who cannot be written to. Never a \
             verdict.",
            "Limits (4, 17, 32, 613, 80001). Never a verdict.",
        ],
        interval: "1h. Every question counts against the app's hourly budget, which the product itself uses, \
                   too (Meta, \"Rate Limits\"); batches save connections, not budget. With thousands of \
                   logins on one app, 6h or a `rate_limit` is better.",
    },
    ..Description::DEFAULT
};

fn steps(reason: Reason) -> Steps {
    match reason {
        Reason::AccessRevoked => Steps::connector(&[
            "Check whether this product was removed on purpose: Facebook → Settings & privacy → Settings → \
             Business Integrations lists the apps with access. All pages and Instagram accounts behind the \
             same login stop with it.",
            "If it was not, reconnect the account. Tick every page and accept every permission.",
        ]),
        Reason::PasswordChanged => Steps::connector(&[
            "Log in at facebook.com with the new password. If Facebook ended the session by itself, look \
             for a security notice there.",
            "Reconnect the account. Pages and Instagram accounts of the same login come back together.",
        ]),
        Reason::SecurityCheckpoint => Steps::connector(&[
            "Clear the browser's cookies for Facebook.",
            "Log in at www.facebook.com in that browser and complete every security check that is shown \
             (identity, two-factor authentication, reported content).",
            "If the security check itself fails, report that to the network.",
            "Wait 24 hours: connecting earlier can start the check anew.",
            "Then reconnect the account if it has not recovered by itself.",
        ]),
        Reason::PublishingAuthorizationRequired => Steps::connector(&[
            "Log in at www.facebook.com with the login that was connected, switch to the page, and follow \
             the notice about Page Publishing Authorization: it asks for two-factor authentication and for \
             a confirmation of the country.",
            "Publish again when Facebook has confirmed it, which can take days. Reconnecting is not \
             needed.",
        ]),
        Reason::DataAccessExpired => super::DATA_ACCESS_EXPIRED,
        Reason::AccountUnconfirmed => Steps::connector(&[
            "Log in at facebook.com and confirm the e-mail address or phone number (Settings & privacy → \
             Settings → Accounts Centre → Personal details).",
            "Reconnect the account if it does not recover by itself.",
        ]),
        Reason::AccountLocked => Steps::connector(&[
            "Log in at facebook.com and open Support Inbox (Help & support) and Account Status: they show \
             the restriction and its end.",
            "Complete what is asked there.",
            "Reconnect the account if it does not recover by itself.",
        ]),
        Reason::NotAdmin => Steps {
            connector: &[
                "Ask an admin of the page to give you Facebook access or task access again: Page → \
                 Settings → Page setup → Page access, or Meta Business Suite → Settings → People. If you \
                 no longer look after the page, let another admin connect it.",
                "Check that two-factor authentication is switched on for your login (Accounts Centre → \
                 Password and security): some pages demand it, and Meta answers both cases alike.",
                "Then reconnect the account.",
            ],
            admin: &[
                "Give the person who connected the account Facebook access or task access to the page \
                 again: Page → Settings → Page setup → Page access, or Meta Business Suite → Settings → \
                 People. If that person has left, let another admin connect the page.",
                "Ask that person to check that two-factor authentication is switched on (Accounts Centre → \
                 Password and security): some pages demand it, and Meta answers both cases alike.",
                "Then ask the person who connected the account to reconnect it.",
            ],
            ..Steps::NONE
        },
        Reason::MissingRole => Steps {
            connector: &[
                "Ask an admin of the page for the missing task: Content to publish, Messages and Community \
                 activity for the inbox, Insights for analytics, Ads for advertising (Page → Settings → \
                 Page setup → Page access, or Meta Business Suite → Settings → People).",
                "Then refresh the connection; reconnecting before the role is given changes nothing.",
            ],
            admin: &[
                "Give the person who connected the account the missing task at the page: Content to \
                 publish, Messages and Community activity for the inbox, Insights for analytics, Ads for \
                 advertising (Page → Settings → Page setup → Page access, or Meta Business Suite → \
                 Settings → People).",
                "Then ask the person who connected the account to refresh the connection; reconnecting \
                 before the role is given changes nothing.",
            ],
            ..Steps::NONE
        },
        Reason::MissingPermission => Steps::connector(&[
            "Reconnect the account. In Facebook's dialog, choose \"Edit settings\", tick every page and \
             leave every permission on.",
            "If the same login connected other pages lately, tick those pages, too: the last dialog \
             decides for all of them.",
            "If this comes back, remove this product under Settings & privacy → Settings → Business \
             Integrations and connect from scratch.",
        ]),
        Reason::MissingRoleAndPermission => Steps {
            connector: &[
                "Ask an admin of the page for the missing task (Page → Settings → Page setup → Page \
                 access, or Meta Business Suite → Settings → People).",
                "Then reconnect the account. Tick every permission and every page.",
            ],
            admin: &[
                "Give the person who connected the account the missing task at the page (Page → Settings → \
                 Page setup → Page access, or Meta Business Suite → Settings → People).",
                "Then ask the person who connected the account to reconnect it, and to tick every \
                 permission and every page.",
            ],
            ..Steps::NONE
        },
        Reason::PageRestricted => Steps {
            connector: &[
                "Publish the page, or lift its restrictions by country and age: Page → Settings → Privacy \
                 → Page and tagging / Followers and public content.",
                "If you are not allowed to do that, ask an admin of the page.",
                "Nothing needs to be reconnected: the connection recovers by itself.",
            ],
            admin: &[
                "Publish the page, or lift its restrictions by country and age: Page → Settings → Privacy \
                 → Page and tagging / Followers and public content.",
                "Nothing needs to be reconnected: the connection recovers by itself.",
            ],
            ..Steps::NONE
        },
        Reason::PageUnavailable => Steps {
            connector: &[
                "Check at facebook.com whether the page still exists, was merged, or was moved to another \
                 business portfolio.",
                "If you cannot see it, ask an admin of the page.",
                "Connect the right page, or remove the account from this product.",
            ],
            admin: &[
                "Check at facebook.com whether the page still exists, was merged, or was moved to another \
                 business portfolio.",
                "If it exists, give the person who connected the account access to it, and have the \
                 account reconnected.",
                "If it does not, connect the right page, or remove the account from this product.",
            ],
            ..Steps::NONE
        },
        Reason::UnsupportedAccountType => Steps::connector(&[
            "Facebook has closed its API for groups (April 2024) and for posting to profiles: no \
             reconnecting helps.",
            "Remove the account from this product and post there by hand, or use a page instead.",
        ]),
        Reason::WrongTokenType => Steps {
            operator: &[
                "Check which token is stored: a person's or a page's token is needed, not the app's, and a \
                 page's token serves that page only.",
                "Then ask the person who connected the account to reconnect it.",
            ],
            ..Steps::NONE
        },
        _ => Steps::NONE,
    }
}

/// The next calls for a Facebook login, also for Instagram accounts that use one.
pub(super) fn next(grant: &Grant<'_>, seen: &[Seen]) -> Vec<Call> {
    let token = &grant.tokens.access;
    let Some(inspection) = DEBUG_TOKEN.readings(seen).next() else {
        let asker = meta::app_token(grant.app);
        let call = meta::ask(grant.app, &DEBUG_TOKEN, asker.as_ref().unwrap_or(token));
        return vec![call.query("input_token", token)];
    };
    match inspection.says {
        Says::Accepted => {}
        // Another call often names the cause.
        Says::Refused(refusal) if refusal.certainty == Certainty::Ambiguous && !ME.was_asked(seen) => {
            return vec![me(grant)];
        }
        _ => return Vec::new(),
    }
    // With a dead login or a throttled app, more calls tell nothing and prolong the throttling.
    let over = |s: &Seen| match s.reading.says {
        Says::Refused(refusal) => refusal.reach == Reach::Grant,
        Says::Undetermined(_) => true,
        Says::Accepted | Says::Nothing => false,
    };
    if seen.iter().any(|s| s.question.about.is_none() && over(s)) {
        return Vec::new();
    }
    let alive = |a: &Account<'_>| a.network.network().supports(a.kind);
    let pages: Vec<&str> =
        grant.accounts.iter().filter(|a| has_page(a)).filter_map(|a| a.external_id).collect();
    if !is_page_token(seen) {
        if !PERMISSIONS.was_asked(seen) {
            let permissions = proven(grant, meta::ask(grant.app, &PERMISSIONS, token), token);
            let accounts = (!pages.is_empty()).then(|| accounts(grant, None));
            return [permissions].into_iter().chain(accounts).collect();
        }
        let more = ACCOUNTS.readings(seen).next_back().and_then(Reading::next_part);
        if let Some(after) = more.filter(|_| {
            ACCOUNTS.readings(seen).count() < LISTS && pages.iter().any(|id| listed(seen, id).is_none())
        }) {
            return vec![accounts(grant, Some(after))];
        }
    }
    let unread = |i: usize| !seen.iter().any(|s| s.question.about == Some(i));
    grant
        .accounts
        .iter()
        .enumerate()
        .filter(|(i, a)| alive(a) && unread(*i))
        .map(|(i, a)| account(grant, seen, a).about(i))
        .collect()
}

/// Whether an account is a page or hangs on one.
pub(super) fn has_page(account: &Account<'_>) -> bool {
    let profile = account.kind == "profile" && account.network.name() == "facebook";
    account.network.network().supports(account.kind) && !profile
}

/// Adds the proof that the app's secret is known, if there is a secret.
fn proven(grant: &Grant<'_>, call: Call, token: &Secret) -> Call {
    match grant.app.client_secret.as_ref().filter(|s| !s.is_empty()) {
        Some(secret) => call.query("appsecret_proof", token.hmac_sha256_hex(secret)),
        None => call,
    }
}

fn me(grant: &Grant<'_>) -> Call {
    let token = &grant.tokens.access;
    proven(grant, meta::ask(grant.app, &ME, token), token).query("fields", "id,name")
}

fn accounts(grant: &Grant<'_>, after: Option<&str>) -> Call {
    let token = &grant.tokens.access;
    let call = proven(grant, meta::ask(grant.app, &ACCOUNTS, token), token)
        .query("fields", "id,name,tasks,access_token,is_published,instagram_business_account{id,username}")
        .query("limit", "100");
    match after {
        Some(after) => call.query("after", after.to_owned()),
        None => call,
    }
}

/// Reads one account with the page's token from the list. Without one it uses the person's token
/// and asks for the page's, which Facebook gives to people with a role there.
fn account(grant: &Grant<'_>, seen: &[Seen], account: &Account<'_>) -> Call {
    let profile = account.kind == "profile" && account.network.name() == "facebook";
    let Some(id) = account.external_id.filter(|_| !profile) else { return me(grant) };
    let own = listed(seen, id).and_then(|facts| facts.token.as_ref());
    let fields = match (account.network.name(), own) {
        ("instagram", _) => "id,username",
        (_, None) if !is_page_token(seen) => "id,name,is_published,access_token",
        _ => "id,name,is_published",
    };
    let token = own.unwrap_or(&grant.tokens.access);
    let call = Call::new(&ACCOUNT, &[&grant.app.api_version, id]).bearer(token);
    proven(grant, call, token).query("fields", fields)
}

/// What the lists say about an account.
fn listed<'a>(seen: &'a [Seen], id: &str) -> Option<&'a Facts> {
    ACCOUNTS.readings(seen).flat_map(|r| &r.listed).find(|l| l.external_id == id).map(|l| &l.facts)
}

/// Whether all pages of the login are known.
fn list_is_complete(seen: &[Seen]) -> bool {
    ACCOUNTS.readings(seen).next_back().is_some_and(|r| r.list == Some(List::Complete))
}

/// The page of a page's token; none for other tokens.
fn page_of_token(seen: &[Seen]) -> Option<&str> {
    DEBUG_TOKEN.readings(seen).next()?.listed.first().map(|l| l.external_id.as_str())
}

fn is_page_token(seen: &[Seen]) -> bool {
    page_of_token(seen).is_some()
}

/// Reads an answer to a Facebook login; a probe also considers the answers before it.
pub(super) fn read(grant: &Grant<'_>, seen: &[Seen], question: Question, answer: &Answer) -> Option<Reading> {
    let reading = meta::read(grant, seen, question, answer)?;
    if seen.is_empty() {
        return Some(reading);
    }
    Some(match grant.account(question) {
        _ if question.is(&PERMISSIONS) || question.is(&ACCOUNTS) => optional(reading),
        Some(account) if question.is(&ACCOUNT) => with_known_pages(seen, account, reading),
        _ => reading,
    })
}

/// The lists need their own permissions, without which the token can still work.
fn optional(reading: Reading) -> Reading {
    match reading.refusal() {
        Some(refusal)
            if refusal.reach == Reach::Account && refusal.reason != Some(Reason::WrongTokenType) =>
        {
            Reading { says: Says::Nothing, ..reading }
        }
        _ => reading,
    }
}

/// What the answer about an account means once the login and its pages are known. Facebook has the
/// same sentence for a page that is gone, a lost role, and a page that was not ticked.
fn with_known_pages(seen: &[Seen], account: &Account<'_>, reading: Reading) -> Reading {
    let Some(id) = account.external_id else { return reading };
    let instagram = account.network.name() == "instagram";
    let refusal = reading.refusal().filter(|r| r.reach == Reach::Account);
    let says = |refusal: Refusal| Reading { says: Says::Refused(refusal.of_account()), ..reading.clone() };
    if let Some(page) = page_of_token(seen) {
        let other = !instagram && parse::same_identity(Some(id), &[page.to_owned()]) == Some(false);
        return if other && refusal.is_some() { says(Refusal::plain(Reason::WrongAccount)) } else { reading };
    }
    if listed(seen, id).is_some() || !list_is_complete(seen) {
        return reading;
    }
    let scopes = seen.iter().rev().find_map(|s| s.reading.scopes.as_ref());
    let any_page = ACCOUNTS.readings(seen).any(|r| !r.listed.is_empty());
    let Some(refusal) = refusal else {
        // Any token can read a public page. Only people with a role get the page's token.
        let named = scopes.is_some_and(|s| s.only_for.iter().any(|(_, ids)| ids.iter().any(|i| i == id)));
        let public = reading.says == Says::Accepted && !instagram && !named && reading.facts.token.is_none();
        let readable = scopes.is_some_and(|s| LIST.iter().any(|scope| s.grants(scope, None)));
        return match (public, any_page) {
            (false, _) => reading,
            (true, false) if readable => says(Refusal::ambiguous(Reason::NotAdmin)),
            (true, _) => Reading::undetermined(Cause::UnexpectedAnswer),
        };
    };
    let base: &[&str] = if instagram { &["instagram_basic"] } else { READ };
    match refusal.reason {
        Some(Reason::NotAdmin | Reason::UnsupportedAccountType) => reading,
        _ if scopes.is_some_and(|s| !base.iter().any(|scope| s.grants(scope, Some(id)))) => {
            says(Refusal::plain(Reason::MissingPermission))
        }
        // It is linked to none of the pages: it was unlinked, or is a personal account now.
        _ if instagram && any_page => says(Refusal::ambiguous(Reason::UnsupportedAccountType)),
        _ => says(Refusal::ambiguous(Reason::NotAdmin)),
    }
}
