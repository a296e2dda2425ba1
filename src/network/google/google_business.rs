//! Google Business Profile: whether the access token is alive, whether it can see the location, and
//! whether the location may speak for the business.
//!
//! It asks tokeninfo, then for each location the location itself and its VoiceOfMerchantState
//! (verified, suspended, under review, claimed by somebody else). A location that the login may not
//! see is answered like one that is gone. The list of accounts then tells whether the API serves
//! this project and login at all. `locations/{id}/admins` does not tell which person the token
//! belongs to.
//!
//! Sources: Business Profile APIs "My Business Account Management", "Business Information" and
//! "Verifications" references (VoiceOfMerchantState), "Limits"; spotonlive/php-google-my-business
//! #19 (404 comes and goes); googleapis/google-api-php-client #2215 (API not enabled); for tokens
//! and errors see the module on Google.

use serde_json::Value;

use super::errors::{self, Fault};
use super::scopes;
use crate::model::{Capability, Reason, Steps};
use crate::network::{
    Answer, Call, CallInfo, Certainty, Description, Grant, Method, Network, Question, RateLimitStatus,
    Reading, Refusal, Rights, Says, Scopes, Seen, Style, google, parse,
};

pub(in crate::network) struct GoogleBusiness;

static LOCATION: CallInfo = CallInfo {
    name: "location",
    method: Method::Get,
    url: "https://mybusinessbusinessinformation.googleapis.com/v1/locations/{id}",
    tells: "whether the login still sees the location",
    cost: "1 of 300 requests a minute and project",
};

static VOICE: CallInfo = CallInfo {
    name: "voice_of_merchant_state",
    method: Method::Get,
    url: "https://mybusinessverifications.googleapis.com/v1/locations/{id}/VoiceOfMerchantState",
    tells: "whether the location is verified, suspended, under review or claimed by somebody else",
    cost: "1 of 300 requests a minute and project",
};

static ACCOUNTS: CallInfo = CallInfo {
    name: "accounts",
    method: Method::Get,
    url: "https://mybusinessaccountmanagement.googleapis.com/v1/accounts",
    tells: "after a 404, or without a location: whether the login manages anything",
    cost: "1 of 300 requests a minute and project",
};

static DESCRIPTION: Description = Description {
    name: "google_business",
    title: "Google Business Profile",
    kinds: &["location"],
    calls: &[&google::TOKENINFO, &LOCATION, &VOICE, &ACCOUNTS],
    token_prefixes: google::TOKEN_PREFIXES,
    steps,
    notes: crate::network::Notes {
        lifetimes: &["As at YouTube: access lives one hour and `tokeninfo` tells its end; no answer tells \
                      the end of the grant. Set `auto_refresh` where something else renews the token."],
        tells: &[
            "Verified, unverified, suspended, under review, and claimed by somebody else: from \
             VoiceOfMerchantState.",
            "A location that is not served to this login from an API that is not served to this project.",
        ],
        cannot_tell: &[
            "A location that is gone from one that the login may not see: both are 404, and it comes and \
             goes. It is read as `missing_role` after a second probe.",
            "Whether the role is strong enough: no answer ties a role to the login. All capabilities need \
             one permission, and the role is not claimed.",
            "Expired and revoked, `password_changed`: as at YouTube.",
        ],
        only_writes: &[],
        interval: "1h. Each API serves 300 questions a minute and project (Business Profile APIs, \
                   \"Limits\"); a probe asks two of them once for each location.",
    },
    ..Description::DEFAULT
};

fn steps(reason: Reason) -> Steps {
    match reason {
        Reason::MissingRole => Steps {
            connector: &[
                "Check on Google that the business profile still exists.",
                "Ask an owner to add you as owner or manager: Business Profile → three-dot menu → Business \
                 Profile settings → People and access.",
                "If somebody else claims the business, request ownership at business.google.com.",
                "Then refresh the connection; reconnecting before the role is given changes nothing.",
            ],
            admin: &[
                "Check on Google that the business profile still exists.",
                "Add the person who connected the account as owner or manager: Business Profile → \
                 three-dot menu → Business Profile settings → People and access.",
                "If somebody else claims the business, request ownership at business.google.com.",
                "Then ask the person who connected the account to refresh the connection; reconnecting \
                 before the role is given changes nothing.",
            ],
            ..Steps::NONE
        },
        Reason::NotAdmin => Steps {
            connector: &[
                "Check which Google account you connected: it manages no business profile.",
                "Ask an owner to add it under People and access, or reconnect with the account that \
                 manages the profile.",
            ],
            admin: &[
                "Ask the person who connected the account which Google account was used: it manages no \
                 business profile.",
                "Add that Google account under People and access, or let somebody who manages the profile \
                 connect it.",
            ],
            ..Steps::NONE
        },
        Reason::AccountSuspended => Steps::connector(&[
            "Open the business profile with an owner's login: the notice there names the guideline.",
            "Bring the profile in line with it, then ask for reinstatement with the Business Profile \
             appeals tool.",
        ]),
        Reason::AccountLocked => Steps::connector(&[
            "Google is reviewing the business profile. Wait: this usually takes a few days. Do not edit \
             the profile meanwhile.",
        ]),
        Reason::AccountUnconfirmed => Steps::connector(&[
            "Open the business profile with an owner's login and choose \"Get verified\"; finish a \
             verification that is already under way.",
        ]),
        Reason::AccessRevoked => Steps::connector(&[
            "Check whether this product was removed on purpose: Google Account → Security → Your \
             connections to third-party apps & services lists the apps with access.",
            "If it was not, reconnect the account and accept every permission.",
        ]),
        Reason::MissingPermission => Steps::connector(&[
            "Reconnect the account and tick \"See, edit, create, and delete your Google business \
             listings\" on Google's page.",
        ]),
        Reason::ReauthRequired => Steps::connector(&[
            "Reconnect the account.",
            "If this returns regularly, ask the Google Workspace administrator to exempt the app from \
             session control (Admin console → Security → Google Cloud session control).",
        ]),
        _ => Steps::NONE,
    }
}

/// The one scope, under its present and its former name.
const MANAGE: &[&str] = &["business.manage", "plus.business.manage"];

/// The role decides what is allowed, and no answer tells the role of this login.
static MANAGED: Rights = Rights::scopes(&[scopes!["business.manage", "plus.business.manage"]]);

impl Network for GoogleBusiness {
    fn description(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn rights(&self, _: Style<'_>, _: &str, capability: Capability) -> Option<&'static Rights> {
        match capability {
            Capability::Publish | Capability::Inbox | Capability::Analytics => Some(&MANAGED),
            Capability::Ads => None,
        }
    }

    fn next(&self, grant: &Grant<'_>, seen: &[Seen]) -> Vec<Call> {
        let Some(token) = seen.first() else { return vec![google::ask_tokeninfo(grant)] };
        let manages = token.reading.scopes.as_ref().is_none_or(|s| google::grants_any(s, MANAGE));
        if token.reading.says != Says::Accepted || !manages {
            return Vec::new();
        }
        let accounts = || Call::new(&ACCOUNTS, &[]).query("pageSize", "20").bearer(&grant.tokens.access);
        if seen.len() == 1 {
            let locations = grant.accounts.iter().enumerate();
            let calls: Vec<Call> =
                locations.flat_map(|(i, a)| ask_location(grant, i, a.external_id)).collect();
            return if calls.is_empty() { vec![accounts()] } else { calls };
        }
        let unseen = |s: &Seen| {
            s.reading.refusal().is_some_and(|r| r.certainty == Certainty::Ambiguous && r.reason.is_some())
        };
        if seen.iter().any(unseen) && !ACCOUNTS.was_asked(seen) { vec![accounts()] } else { Vec::new() }
    }

    fn read(&self, grant: &Grant<'_>, seen: &[Seen], question: Question, answer: &Answer) -> Option<Reading> {
        if let Some(fault) = Fault::of(answer) {
            if parse::contains(fault.message, "method not found") {
                // The address is wrong, not the location.
                return None;
            }
            return fault.read(grant, question, answer, own).or_else(|| by_status(&fault).map(Reading::says));
        }
        let own = || {
            let voice = read_voice(question, answer);
            voice.or_else(|| read_resource(answer, question, manages(grant, seen))).map(Reading::says)
        };
        google::read(grant, answer, own)
    }

    fn limits(&self, answer: &Answer) -> Vec<RateLimitStatus> {
        errors::limits(answer)
    }

    fn notices(&self) -> Option<&'static crate::network::NoticeForm> {
        Some(&super::notice::NOTICES)
    }
}

/// Whether the one permission is known to be granted.
fn manages(grant: &Grant<'_>, seen: &[Seen]) -> bool {
    let told = seen.iter().find_map(|s| s.reading.scopes.clone());
    let scopes = told.or_else(|| grant.tokens.scopes.clone().map(Scopes::new));
    scopes.is_some_and(|scopes| google::grants_any(&scopes, MANAGE))
}

fn ask_location(grant: &Grant<'_>, account: usize, external_id: Option<&str>) -> Vec<Call> {
    // "accounts/1/locations/2", "locations/2" and "2" all name the same location.
    let Some(id) = external_id.and_then(|id| id.rsplit('/').next()).filter(|id| !id.is_empty()) else {
        return Vec::new();
    };
    let location = Call::new(&LOCATION, &[id]).query("readMask", "name,title,metadata,openInfo");
    let voice = Call::new(&VOICE, &[id]);
    [location, voice].map(|call| call.about(account).bearer(&grant.tokens.access)).into()
}

/// The older APIs of Business Profile name their reasons.
fn own(reason: &str) -> Option<Says> {
    match google::folded(reason).as_str() {
        "forbidden" | "permissiondenied" => Some(NO_ROLE),
        "notfound" => Some(NOT_SEEN),
        _ => None,
    }
}

/// The status decides if there is no reason.
fn by_status(fault: &Fault<'_>) -> Option<Says> {
    match (fault.status, fault.code) {
        ("NOT_FOUND", _) | ("", Some(404)) => Some(NOT_SEEN),
        // An unknown reason may be about the app.
        ("PERMISSION_DENIED", _) | ("", Some(403)) if fault.is_unnamed() => Some(NO_ROLE),
        _ => None,
    }
}

const NO_ROLE: Says = Says::Refused(Refusal::plain(Reason::MissingRole).of_account());

/// 404: the login may not see the location, or the location is gone. It can also be temporary.
const NOT_SEEN: Says = Says::Refused(Refusal::ambiguous(Reason::MissingRole).of_account());

/// Whether the location may speak for the business. Fields that are false are left out, down to an
/// empty object.
fn read_voice(question: Question, answer: &Answer) -> Option<Says> {
    let json = answer.json.as_object().filter(|_| answer.maybe_success())?;
    let there = |name: &str| json.get(name).is_some_and(|v| !v.is_null());
    let yes = |name: &str| json.get(name).and_then(parse::boolean) == Some(true);
    let reason = if yes("hasVoiceOfMerchant") {
        return Some(Says::Accepted);
    } else if there("complyWithGuidelines") {
        Reason::AccountSuspended
    } else if there("resolveOwnershipConflict") {
        Reason::MissingRole
    } else if there("waitForVoiceOfMerchant") {
        Reason::AccountLocked
    } else if there("verify") {
        Reason::AccountUnconfirmed
    } else if yes("hasBusinessAuthority") {
        Reason::AccountLocked
    } else if there("hasVoiceOfMerchant")
        || there("hasBusinessAuthority")
        || (question.is(&VOICE) && json.is_empty())
    {
        Reason::AccountUnconfirmed
    } else {
        return None;
    };
    Some(Says::Refused(Refusal::plain(reason).of_account()))
}

/// A resource with its name, or a list that is not empty: only a living token gets these.
fn read_resource(answer: &Answer, question: Question, manages: bool) -> Option<Says> {
    let json = answer.json.as_object().filter(|_| answer.maybe_success())?;
    let named =
        |prefix: &str| json.get("name").and_then(Value::as_str).is_some_and(|n| n.starts_with(prefix));
    if parse::boolean(&answer.json["metadata"]["hasVoiceOfMerchant"]) == Some(false) {
        // Only VoiceOfMerchantState tells why.
        return Some(Says::Nothing);
    }
    if named("accounts/") || named("locations/") || json.get("timeSeries").is_some_and(Value::is_object) {
        return Some(Says::Accepted);
    }
    let list = |name: &str| json.get(name).and_then(Value::as_array);
    let managed = list("accounts").or_else(|| list("locations"));
    // Empty lists are left out of answers.
    let left_out = question.is(&ACCOUNTS) && json.keys().all(|name| name == "nextPageToken");
    if left_out || managed.is_some_and(Vec::is_empty) {
        // Without the permission, or before the last page, this does not mean that it manages
        // nothing.
        let shown = manages && !json.contains_key("nextPageToken");
        return Some(if shown { Says::ambiguous(Reason::NotAdmin) } else { Says::Nothing });
    }
    let others =
        ["admins", "accountAdmins", "reviews", "localPosts", "multiDailyMetricTimeSeries", "invitations"];
    let list = managed.or_else(|| others.iter().find_map(|name| list(name)))?;
    Some(if list.is_empty() { Says::Nothing } else { Says::Accepted })
}
