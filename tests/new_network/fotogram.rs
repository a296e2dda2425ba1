//! Fotogram, a made-up network: one file that can be copied to start a real one.
//!
//! Its API answers `GET /v1/me` with `{"id", "expires", "scopes"}`, and refuses with
//! `{"code": "token_expired"}` or `{"code": "closed"}`.

use super::{
    Answer, AppNeed, Call, CallInfo, Description, Grant, Method, Network, Notes, Question, Reading, Refusal,
    Rights, Scopes, Seen, Style, parse,
};
use crate::model::{Capability, Reason, Steps};

pub(super) struct Fotogram;

static ME: CallInfo = CallInfo {
    name: "me",
    method: Method::Get,
    url: "https://api.fotogram.example/v1/me",
    tells: "whether the token works, whose it is, when it ends and what it may do",
    cost: "one of 1,000 requests an hour",
};

static DESCRIPTION: Description = Description {
    name: "fotogram",
    title: "Fotogram",
    app: AppNeed::None,
    calls: &[&ME],
    token_prefixes: &[("foto_", 8)],
    steps: |reason| match reason {
        Reason::AccountDeactivated => {
            Steps::connector(&["Open the Fotogram app and reactivate the account.", "Reconnect it."])
        }
        _ => Steps::NONE,
    },
    notes: Notes {
        lifetimes: &["30 days; the end is read from the answer."],
        tells: &["Expired logins from closed accounts."],
        cannot_tell: &[],
        only_writes: &["Limits on posting. Never a verdict."],
        interval: "1h.",
    },
    ..Description::DEFAULT
};

static PUBLISH: Rights = Rights::scopes(&[&["photos.write"]]);

impl Network for Fotogram {
    fn description(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn rights(&self, _: Style<'_>, _: &str, capability: Capability) -> Option<&'static Rights> {
        (capability == Capability::Publish).then_some(&PUBLISH)
    }

    fn next(&self, grant: &Grant<'_>, seen: &[Seen]) -> Vec<Call> {
        match seen {
            [] => vec![Call::new(&ME, &[]).bearer(&grant.tokens.access)],
            _ => Vec::new(),
        }
    }

    fn read(&self, _: &Grant<'_>, _: &[Seen], question: Question, answer: &Answer) -> Option<Reading> {
        match answer.json["code"].as_str() {
            Some("token_expired") => return Some(Reading::refused(Refusal::plain(Reason::TokenExpired))),
            Some("closed") => return Some(Reading::refused(Refusal::plain(Reason::AccountDeactivated))),
            // An unknown code: shared code then says undetermined, never invalid.
            Some(_) => return None,
            None => {}
        }
        let own = question.is(&ME) && answer.maybe_success() && parse::text(&answer.json["id"]).is_some();
        own.then(|| Reading {
            access_expiry: parse::expiry(&answer.json["expires"]),
            scopes: parse::scopes(&answer.json["scopes"]).map(Scopes::new),
            ..Reading::accepted()
        })
    }
}
