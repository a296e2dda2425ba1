//! YouTube: whether the access token is alive, until when, its scopes, and the channel that it
//! opens.
//!
//! It asks tokeninfo, which needs none of the project's quota, and then `channels.list?mine=true`
//! (1 unit) for the channel if the granted scopes allow that: a healthy token for uploads only gets
//! 403 there. An access token lives one hour. Only the token response tells when the grant itself
//! ends.
//!
//! Sources: YouTube Data API "Errors", "Channels: list", "Quota calculator"; YouTube Analytics
//! "Reports: Query" (which wants `youtube.readonly` besides its own scope); tokland/youtube-upload
//! #333 (401 without a channel); googleapis/googleapis.dart #255 (no channel: no `items`); for
//! tokens see the module on Google.

use super::errors::{self, Fault};
use super::scopes;
use crate::model::{AppProblem, Capability, Cause, Reason, Steps};
use crate::network::{
    Answer, Call, CallInfo, Description, Grant, Method, Network, Question, RateLimitStatus, Reading, Refusal,
    Rights, Says, Seen, Style, google, parse, standard,
};

pub(in crate::network) struct YouTube;

static CHANNELS: CallInfo = CallInfo {
    name: "channels",
    method: Method::Get,
    url: "https://www.googleapis.com/youtube/v3/channels",
    tells: "which channel the token opens, and whether it or its owner is suspended or closed",
    cost: "1 of 10,000 units that the project has each day",
};

static DESCRIPTION: Description = Description {
    name: "youtube",
    title: "YouTube",
    kinds: &["channel"],
    calls: &[&google::TOKENINFO, &CHANNELS],
    token_prefixes: google::TOKEN_PREFIXES,
    steps,
    notes: crate::network::Notes {
        lifetimes: &[
            "Access lives one hour; `tokeninfo` tells its end. A token without a refresher is dead within \
             the hour: set `auto_refresh` where something else renews it.",
            "No answer tells the end of the grant. Most have none; it ends after 7 days while the Google \
             project is in testing, after 6 months without use, and on a date where the person granted \
             access for a time only: that one stands in the token response (`refresh_token_expires_in`; \
             Google, \"Using OAuth 2.0 to Access Google APIs\").",
        ],
        tells: &[
            "Suspended and closed channels, and logins without a channel, from dead tokens.",
            "Which permissions the person left out: `tokeninfo` lists those that were granted.",
            "A spent quota or a switched-off API from a fault of the channel.",
        ],
        cannot_tell: &[
            "Expired and revoked: Google has one sentence for both (\"Token has been expired or revoked.\"); \
             the known expiry decides.",
            "`password_changed`: ends a grant only where it reads mail, and then in that same sentence.",
            "Roles given in YouTube Studio: in no answer of the API.",
            "The refresh token itself: looking at it means using it, which a probe never does. A removed \
             refresh token shows once the access token has ended.",
        ],
        only_writes: &[
            "A project without quota for uploads, or one that Google has not audited, which can \
             upload privately only: a fault of the app.",
            "Too many uploads of one channel (`uploadLimitExceeded`), and titles, thumbnails and \
             comments that are refused. Never a verdict.",
        ],
        interval: "1h. A probe costs one of the 10,000 units that the project has each day for everything \
                   but uploads and searches, which have limits of their own (YouTube Data API, \"Quota \
                   calculator\"): a hundred channels hourly take a quarter of it, so use 6h for more than \
                   that.",
    },
    ..Description::DEFAULT
};

fn steps(reason: Reason) -> Steps {
    match reason {
        Reason::AccessRevoked => Steps::connector(&[
            "Check whether this product was removed on purpose: Google Account → Security → Your \
             connections to third-party apps & services lists the apps with access.",
            "If it was not, reconnect the account and tick every permission on Google's page.",
        ]),
        Reason::TokenInvalid => Steps {
            connector: &[
                "Log in at youtube.com with the Google account that was connected and deal with any \
                 notice.",
                "Reconnect the account. Do not delete it: planned posts would go with it.",
                "If all channels fail within 7 days of connecting, tell the operator of this product: its \
                 Google project is still in testing and must be published.",
            ],
            operator: &[
                "If all channels fail within 7 days of connecting, publish the Google project of the app: \
                 it is still in testing.",
                "Otherwise ask the person who connected the account to log in at youtube.com with the \
                 connected Google account, to deal with any notice, and to reconnect.",
            ],
            ..Steps::NONE
        },
        Reason::MissingPermission => Steps::connector(&[
            "Reconnect the account and tick every box on Google's consent page: each permission can be \
             left out there.",
        ]),
        Reason::PageUnavailable => Steps {
            connector: &[
                "Open youtube.com with the connected Google account and check that it has a channel; \
                 create one if it has not.",
                "Reconnect, and choose the channel (not the person) when Google asks which account to \
                 use.",
            ],
            admin: &[
                "Ask the person who connected the account to open youtube.com with the connected Google \
                 account, and to check that it has a channel or to create one.",
                "Then ask that person to reconnect, and to choose the channel (not the person) when Google \
                 asks which account to use.",
            ],
            ..Steps::NONE
        },
        Reason::WrongAccount => Steps::connector(&[
            "Reconnect, and choose the right channel when Google asks which account or brand account to \
             use: one login opens one channel.",
        ]),
        Reason::MissingRole => Steps {
            connector: &[
                "Let the owner or a manager of the brand account connect the channel: roles given in \
                 YouTube Studio do not count for other products.",
            ],
            admin: &["Let the owner or a manager of the brand account connect the channel: roles given in \
                 YouTube Studio do not count for other products."],
            ..Steps::NONE
        },
        Reason::AccountSuspended => Steps::connector(&[
            "Open youtube.com or studio.youtube.com with the connected account: the notice there leads to \
             the appeal.",
            "Reconnect the account once it is restored.",
        ]),
        Reason::AccountRestricted => Steps::connector(&[
            "Log in at youtube.com, complete the set-up of the channel that YouTube asks for, and lift any \
             restriction shown in YouTube Studio.",
        ]),
        Reason::ReauthRequired => Steps::connector(&[
            "Reconnect the account.",
            "If this returns regularly, ask the Google Workspace administrator to exempt the app from \
             session control (Admin console → Security → Google Cloud session control).",
        ]),
        Reason::AdminPolicyBlocked => Steps {
            connector: &[
                "Ask the Google Workspace administrator to trust the app (Admin console → Security → API \
                 controls) and to switch YouTube on for you.",
                "Then reconnect the account.",
            ],
            admin: &[
                "In Google Workspace, trust the app (Admin console → Security → API controls) and switch \
                 YouTube on for the person who connected the account.",
                "Then ask the person who connected the account to reconnect it.",
            ],
            ..Steps::NONE
        },
        _ => Steps::NONE,
    }
}

/// Scopes that open `channels.list`; `youtube.upload` does not.
const OPEN_CHANNELS: &[&str] =
    &["youtube", "youtube.force-ssl", "youtube.readonly", "youtubepartner", "youtubepartner-channel-audit"];

impl Network for YouTube {
    fn description(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn rights(&self, _: Style<'_>, _: &str, capability: Capability) -> Option<&'static Rights> {
        Some(match capability {
            Capability::Publish => &Rights {
                scopes: &[scopes!["youtube.upload", "youtube", "youtube.force-ssl", "youtubepartner"]],
                roles: &[],
            },
            Capability::Inbox => &Rights { scopes: &[scopes!["youtube.force-ssl"]], roles: &[] },
            Capability::Analytics => &Rights {
                scopes: &[
                    scopes!["yt-analytics.readonly", "yt-analytics-monetary.readonly"],
                    scopes!["youtube.readonly", "youtube", "youtube.force-ssl", "youtubepartner"],
                ],
                roles: &[],
            },
            Capability::Ads => &Rights { scopes: &[scopes!["adwords"]], roles: &[] },
        })
    }

    fn next(&self, grant: &Grant<'_>, seen: &[Seen]) -> Vec<Call> {
        match seen {
            [] => vec![google::ask_tokeninfo(grant)],
            [Seen { reading, .. }] if reading.says == Says::Accepted => {
                let open = reading.scopes.as_ref().is_none_or(|s| google::grants_any(s, OPEN_CHANNELS));
                let channels = Call::new(&CHANNELS, &[])
                    .query("part", "id,snippet,status")
                    .query("mine", "true")
                    .bearer(&grant.tokens.access);
                if open { vec![channels] } else { Vec::new() }
            }
            _ => Vec::new(),
        }
    }

    fn read(&self, grant: &Grant<'_>, _: &[Seen], question: Question, answer: &Answer) -> Option<Reading> {
        if let Some(fault) = Fault::of(answer) {
            // Only comments are barred.
            if fault.reasons.contains(&"ineligibleAccount") {
                return Some(google::without(grant, question, Capability::Inbox, Reason::AccountRestricted));
            }
            if CONTENT.iter().any(|reason| fault.reasons.contains(reason)) {
                return Some(Reading::content());
            }
            let reading = fault.read(grant, question, answer, own);
            // A limit for a probe. For an upload it means that the project's quota is too small.
            let spent = question.call.is_none() && fault.spent_quota() && !answer.is(429);
            return reading.map(|reading| match reading.says {
                Says::Undetermined(Cause::RateLimited) if spent => Reading::app_problem(AppProblem::SpendCap),
                _ => reading,
            });
        }
        google::read(grant, answer, || read_resource(grant, question, answer))
    }

    fn limits(&self, answer: &Answer) -> Vec<RateLimitStatus> {
        errors::limits(answer)
    }

    fn notices(&self) -> Option<&'static crate::network::NoticeForm> {
        Some(&super::notice::NOTICES)
    }
}

/// Reasons for which YouTube refuses one video, thumbnail or comment (YouTube Data API, "Errors": videos,
/// thumbnails, comments, commentThreads).
#[rustfmt::skip]
const CONTENT: &[&str] = &[
    "invalidTitle", "invalidDescription", "invalidTags", "invalidCategoryId", "invalidVideoMetadata",
    "invalidVideoGameRating", "invalidRecordingDetails", "invalidFilename", "invalidPublishAt",
    "invalidImage", "mediaBodyRequired", "mediaBytesRequired", "defaultLanguageNotSet",
    "forbiddenLicenseSetting", "forbiddenPrivacySetting", "forbiddenEmbedSetting", "videoNotFound",
    "commentsDisabled", "commentTextRequired", "commentTextTooLong", "invalidCommentThreadMetadata",
    "invalidCommentMetadata", "operationNotSupported",
];

/// YouTube's own reasons.
fn own(reason: &str) -> Option<Says> {
    let refusal = match reason {
        // The token is fine: its owner has no channel.
        "youtubeSignupRequired" | "authenticatedUserNotChannel" | "channelNotFound" => {
            Refusal::plain(Reason::PageUnavailable).of_account()
        }
        "authenticatedUserAccountSuspended" | "channelSuspended" | "accountSuspended" => {
            Refusal::plain(Reason::AccountSuspended)
        }
        "authenticatedUserAccountClosed" | "channelClosed" | "accountClosed" => {
            Refusal::plain(Reason::AccountDeactivated)
        }
        "insufficientCapabilities" | "cmsUserAccountNotFound" | "contentOwnerAccountNotFound" => {
            Refusal::plain(Reason::MissingRole)
        }
        // The first can be temporary, the second does not say what is forbidden.
        "accountDelegationForbidden" | "forbidden" => Refusal::ambiguous(Reason::MissingRole),
        _ => return None,
    };
    Some(Says::Refused(refusal))
}

/// A resource or a list of them: `kind` says which.
fn read_resource(grant: &Grant<'_>, question: Question, answer: &Answer) -> Option<Reading> {
    let json = &answer.json;
    let kind = json["kind"].as_str().unwrap_or_default();
    if !answer.maybe_success() {
        return None;
    }
    let channels =
        kind == "youtube#channelListResponse" || (question.is(&CHANNELS) && json["pageInfo"].is_object());
    let items = json["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    if channels {
        return Some(read_channels(grant, items));
    }
    if kind.starts_with("youtube") && kind.ends_with("Response") {
        // An empty list proves nothing.
        return Some(Reading::says(if items.is_empty() { Says::Nothing } else { Says::Accepted }));
    }
    // Only a living token gets a resource (an uploaded video), a report, or the customers of Google
    // Ads.
    let customer = json["resourceNames"][0].as_str().is_some_and(|name| name.starts_with("customers/"));
    (kind.starts_with("youtube") || customer).then(Reading::accepted)
}

fn read_channels(grant: &Grant<'_>, items: &[serde_json::Value]) -> Reading {
    let told: Vec<String> = items
        .iter()
        .flat_map(|item| [&item["id"], &item["snippet"]["customUrl"]])
        .filter_map(parse::text)
        .collect();
    if told.is_empty() {
        return Reading::refused(Refusal::plain(Reason::PageUnavailable).of_account());
    }
    let listed = standard::wrong_accounts_if(grant, |id| parse::other_identity(id, &told, is_channel_id));
    Reading { listed, ..Reading::accepted() }
}

/// `UC` and 22 more characters. Handles and names change; these ids do not.
fn is_channel_id(id: &str) -> bool {
    id.len() == 24
        && id.starts_with("UC")
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}
