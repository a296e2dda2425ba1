//! Errors that only a write gets: blocked actions and refused content.
//!
//! Sources: Meta, "Instagram Platform: Error Codes", "Video API: Error Codes", "Handle Errors" (368,
//! 506, 1609005), "WhatsApp Error Codes", "Messenger Platform: Error Codes"; pipeboard-co/meta-ads-mcp
//! pull request 134 (368 leaves the token valid); gitroomhq/postiz-app and trypostit/trypost, two open
//! products. Where these two contradict each other:
//!
//! - 1390008 is "posting too fast" or "caption too long". Captured answers in both English and
//!   Portuguese say "We limit how often you can post", under 368: a block.
//! - 1346003 is "abusive content" or a thumbnail, 1609008 a link to Facebook or a format of reels,
//!   2061006 a malformed link or a video that is too short: content, whichever of them is right.
//!   Facebook's text for the first is in facebookarchive/php-graph-sdk issue 528.
//! - 1349125 is a limit or an invalid format, 1363047 and 1609010 an outage or an invalid format. Meta
//!   documents none of them, so they stay unknown.

use std::time::Duration;

use super::envelope::GraphError;
use super::errors::is_about_recipient;
use crate::model::{Capability, Cause, Reason};
use crate::network::{Reading, Says, WriteFact};

const HOUR: Duration = Duration::from_secs(3600);

/// Blocks by their subcode, or by their code where there is no subcode.
#[rustfmt::skip] // a row each
const BLOCKS: &[(i64, Reason, Option<Duration>)] = &[
    // "A security check is required to proceed."
    (1_404_006, Reason::SecurityCheckpoint, None),
    // "Confirm your identity before you can publish as this Page."
    (4_854_002, Reason::SecurityCheckpoint, None),
    // "You're restricted from acting as your Page until you complete Page Publishing Authorization."
    (1_404_078, Reason::PublishingAuthorizationRequired, None),
    // "For security reasons, your account has limited access to the site for a few days."
    (1_404_112, Reason::AccountLocked, Some(HOUR.saturating_mul(72))),
    (1_390_008, Reason::AccountRestricted, None),
    (25, Reason::AccountLocked, None),
    (2_207_050, Reason::AccountLocked, None),
    // "We restrict certain activity to protect our community." Six hours are not enough, twelve are
    // (subzeroid/instagrapi, "Handle Exceptions").
    (2_207_051, Reason::AccountRestricted, Some(HOUR.saturating_mul(12))),
    // Threads, "User restricted" (gitroomhq/postiz-app).
    (4_279_013, Reason::AccountRestricted, None),
    // WhatsApp: account locked; spam rate limit.
    (131_031, Reason::AccountLocked, None),
    (131_048, Reason::AccountRestricted, None),
];

/// Sentences that stand for a subcode of [`BLOCKS`], in lower case.
const BLOCK_TEXTS: &[(&str, i64)] = &[
    ("a security check is required", 1_404_006),
    ("confirm your identity", 4_854_002),
    ("page publishing authorization", 1_404_078),
    ("user access is restricted", 2_207_050),
    ("action is blocked", 2_207_051),
    ("we restrict certain activity", 2_207_051),
    ("limit how often you can post", 1_390_008),
    ("by going too fast", 1_390_008),
];

/// Codes and subcodes of refused content.
#[rustfmt::skip]
const CONTENT: &[i64] = &[
    // A duplicate, the same with 368, photos posted before.
    506, 1_404_082, 1_366_051,
    // Reported as abusive, a link.
    1_346_003, 1_609_005, 1_609_008, 2_061_006,
    // Photos and videos: too large, too small, too long, too short, of a wrong format or shape.
    324, 352, 1_366_046, 6000, 1_363_020, 1_363_022, 1_363_023, 1_363_024, 1_363_025, 1_363_026,
    1_363_031, 1_363_032, 36_000, 36_001, 36_003, 2_207_004, 2_207_005, 2_207_009, 2_207_023, 2_207_026,
    2_207_057,
    // Media that cannot be fetched, is not ready, or has expired.
    9004, 9007, 2_207_008, 2_207_020, 2_207_027, 2_207_052,
    // Captions, carousels, tags; reels of a kind that the account does not offer.
    36_004, 2_207_010, 2_207_028, 2_207_035, 2_207_036, 2_207_037, 2_207_040, 2_207_081,
    // Messenger: the person is not available.
    551,
];

const CONTENT_TEXTS: &[&str] = &[
    "duplicate status message",
    "already posted this",
    "reported as abusive",
    "text must be at most",
    "parameter too long",
];

/// Subcodes of a right that publishing lacks, which the token has otherwise (Meta, "Video API: Error
/// Codes": no permission to upload here, no permission to edit this video).
const LACKING: &[(i64, Reason)] = &[(1_363_042, Reason::MissingPermission), (1_363_005, Reason::MissingRole)];

/// What an error means for a write, given what it says otherwise; none if nothing more.
pub(super) fn read(error: &GraphError, says: Option<Says>) -> Option<Reading> {
    let told = [error.subcode, error.code];
    let of_token = |code: &i64| matches!(code, 102 | 190 | 458..=493);
    if error.inspected || told.iter().flatten().any(of_token) {
        return None;
    }
    let lost = |reason| vec![(Capability::Publish, reason)];
    if let Some((_, reason)) = LACKING.iter().find(|(code, _)| told.contains(&Some(*code))) {
        return Some(Reading { lost: lost(*reason), ..Reading::accepted() });
    }
    // A limit or an unknown answer does not show that the token works.
    let says = match says {
        Some(Says::Undetermined(cause)) => Says::Undetermined(cause),
        Some(Says::Refused(_)) => Says::Accepted,
        _ => Says::Undetermined(Cause::UnexpectedAnswer),
    };
    if let Some((reason, lasts)) = block(error) {
        let write = Some(WriteFact::Blocked { reason, lasts });
        return Some(Reading { lost: lost(reason), write, ..Reading::says(says) });
    }
    let content = told.iter().flatten().any(|code| CONTENT.contains(code))
        || error.says_any(CONTENT_TEXTS)
        || is_about_recipient(error);
    content.then(|| Reading {
        write: Some(WriteFact::Content),
        says: if says == Says::Accepted { Says::Undetermined(Cause::UnexpectedAnswer) } else { says },
        ..Reading::default()
    })
}

fn block(error: &GraphError) -> Option<(Reason, Option<Duration>)> {
    let row = |code: i64| BLOCKS.iter().find(|(known, ..)| *known == code);
    let by_text = || BLOCK_TEXTS.iter().find(|(text, _)| error.says(text)).and_then(|(_, code)| row(*code));
    let found = error.subcode.and_then(row).or_else(|| error.code.and_then(row)).or_else(by_text);
    let length = || length(&error.text);
    match found {
        Some((_, reason, lasts)) => Some((*reason, lasts.or_else(length))),
        // "Temporarily blocked for policies violations", unless the text or subcode names the content.
        None if error.code == Some(368) => {
            let content =
                error.subcode.is_some_and(|s| CONTENT.contains(&s)) || error.says_any(CONTENT_TEXTS);
            (!content).then(|| (Reason::AccountRestricted, length()))
        }
        None => None,
    }
}

/// How long a block lasts by its text: "for 3 days", "in 24 hours".
fn length(text: &str) -> Option<Duration> {
    let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
    words.windows(3).find_map(|words| {
        let count: u32 = words[1].parse().ok().filter(|n| (1..=90).contains(n))?;
        let unit = match words[2].trim_end_matches('s') {
            "minute" => HOUR / 60,
            "hour" => HOUR,
            "day" => HOUR.saturating_mul(24),
            "week" => HOUR.saturating_mul(24 * 7),
            _ => return None,
        };
        matches!(words[0], "for" | "in" | "last" | "lasts").then(|| unit.saturating_mul(count))
    })
}
