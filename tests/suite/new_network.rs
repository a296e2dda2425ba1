//! A complete network in one file, as an example for `CONTRIBUTING.md`.
//!
//! Fotogram is fictitious. Its API answers `GET /v1/me` with `{"id", "expires", "scopes"}`, and
//! refuses with `{"code": "token_expired"}` or `{"code": "closed"}`. A real network would be in
//! `src/network/fotogram.rs`.

use serde_json::{Value, json};
use token_exporter::model::{Capabilities, Capability, Cause, Expiry, Reason, Secret, Timestamp};
use token_exporter::network::{
    Account, Answer, AppNeed, Call, CallInfo, Clocks, Description, Finding, Grant, Known, Method, Network,
    NetworkId, Notes, Question, Reading, Refusal, Requirement, ResolvedApp, Scopes, Seen, Style, Tokens,
    Verdict, conclude, parse, read_answer,
};

struct Fotogram;

static ME: CallInfo = CallInfo {
    name: "me",
    method: Method::Get,
    url: "https://api.fotogram.example/v1/me",
    tells: "whether the token works, whose it is, when it ends and what it may do",
    cost: "one of 1,000 requests an hour",
};

static DESCRIPTION: Description = Description {
    name: "fotogram",
    aliases: &[],
    title: "Fotogram",
    apis: &[],
    app: AppNeed::None,
    kinds: &["profile"],
    carries: &[],
    api_version: None,
    calls: &[&ME],
    steps: &[(
        Reason::AccountDeactivated,
        &["Open the Fotogram app and reactivate the account.", "Reconnect it."],
    )],
    notes: Notes {
        lifetimes: &["30 days; the end is read from the answer."],
        tells: &["Expired logins from closed accounts."],
        cannot_tell: &["Limits on posting: told to those who post only."],
        interval: "1h.",
    },
};

static PUBLISH: Requirement = Requirement { scopes: &[&["photos.write"]], roles: &[] };

impl Network for Fotogram {
    fn description(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn requirement(
        &self,
        _style: Style<'_>,
        _kind: &str,
        capability: Capability,
    ) -> Option<&'static Requirement> {
        (capability == Capability::Publish).then_some(&PUBLISH)
    }

    fn next(&self, grant: &Grant<'_>, seen: &[Seen]) -> Vec<Call> {
        match seen {
            [] => vec![Call::new(&ME, &[]).bearer(&grant.tokens.access)],
            _ => Vec::new(),
        }
    }

    fn read(
        &self,
        _grant: &Grant<'_>,
        _seen: &[Seen],
        question: Question,
        answer: &Answer,
    ) -> Option<Reading> {
        match answer.json["code"].as_str() {
            Some("token_expired") => return Some(Reading::refused(Refusal::plain(Reason::TokenExpired))),
            Some("closed") => return Some(Reading::refused(Refusal::plain(Reason::AccountDeactivated))),
            // None: an unknown answer. Shared code then reports undetermined, never invalid.
            Some(_) => return None,
            None => {}
        }
        let mine = question.is(&ME) && answer.maybe_success() && parse::text(&answer.json["id"]).is_some();
        mine.then(|| Reading {
            access_expiry: parse::expiry(&answer.json["expires"]),
            scopes: parse::scopes(&answer.json["scopes"]).map(Scopes::new),
            ..Reading::accepted()
        })
    }
}

/// Probes one account at Fotogram with these answers in turn.
fn probe(answers: &[(u16, Value)]) -> (Finding, Vec<&'static str>, Clocks) {
    // A test cannot have an entry in the list of networks, so it uses that of a network without
    // scopes of its own.
    let network = NetworkId::from_name("oauth2").expect("a network");
    let accounts =
        [Account { network, kind: "profile", external_id: Some("7"), needs: Capabilities::DEFAULT }];
    let tokens = Tokens { access: Secret::new("sim-token"), secret: None, refresh: None, scopes: None };
    let app = ResolvedApp::default();
    let grant =
        Grant { style: Style { api: "", oauth1: false }, app: &app, tokens: &tokens, accounts: &accounts };
    let mut seen: Vec<Seen> = Vec::new();
    let mut asked = Vec::new();
    let mut answers = answers.iter();
    while let Some(call) = Fotogram.next(&grant, &seen).pop() {
        let (status, json) = answers.next().expect("an answer to each question").clone();
        let answer = Answer { status: Some(status), json, ..Answer::default() };
        asked.push(call.info.name);
        let reading = read_answer(&Fotogram, &grant, &seen, call.question(), &answer);
        seen.push(Seen { question: call.question(), reading });
    }
    let known = Known { now: Timestamp::now(), clocks: Clocks::default(), auto_refresh: false, grace: 0 };
    let clocks = token_exporter::network::clocks(known.clocks, &seen);
    (conclude(&grant, &seen, &known).pop().expect("a finding"), asked, clocks)
}

#[test]
fn one_file_is_a_network() {
    use token_exporter::network::Certainty::Plain;
    let end = 4_000_000_000_i64;
    let (finding, asked, clocks) =
        probe(&[(200, json!({"id": 7, "expires": end, "scopes": "photos.read photos.write"}))]);
    assert_eq!((finding.verdict, asked), (Verdict::Valid, vec![ME.name]));
    assert_eq!(clocks.access, Timestamp::from_unix(end).map_or(Expiry::Unknown, Expiry::At));

    let (finding, ..) = probe(&[(401, json!({"code": "token_expired"}))]);
    assert_eq!(finding.verdict, Verdict::Invalid(Reason::TokenExpired, Plain));
    assert_eq!(finding.capabilities, [(Capability::Publish, Reason::TokenExpired)]);
    let (finding, ..) = probe(&[(403, json!({"code": "closed"}))]);
    assert_eq!(finding.verdict, Verdict::Invalid(Reason::AccountDeactivated, Plain));

    // Unknown answers cannot become a verdict, without any code for that in the file.
    for (status, cause) in [
        (429, Cause::RateLimited),
        (503, Cause::ServerError),
        (401, Cause::UnexpectedAnswer),
        (200, Cause::UnexpectedAnswer),
    ] {
        let (finding, ..) = probe(&[(status, json!({"code": "something new"}))]);
        assert_eq!(finding.verdict, Verdict::Undetermined(cause), "{status}");
    }
    assert_eq!(Fotogram.description().call("GET /v1/me").map(|c| c.name), Some(ME.name));
    assert!(Fotogram.requirement(Style { api: "", oauth1: false }, "profile", Capability::Ads).is_none());
}
