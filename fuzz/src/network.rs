//! A network's answers: whole probes of one network, and single answers.
//!
//! An input is a line that selects how the grant was made, followed by answers in the order in
//! which the probe gets them:
//!
//! ```text
//! 001
//! === 200
//! content-type: application/json
//!
//! {"data": []}
//! === 401
//! ```

use std::sync::OnceLock;

use http::{HeaderMap, HeaderName, HeaderValue};
use token_exporter::model::{Capabilities, Capability, Cause, Reason, Secret, Timestamp};
use token_exporter::network::{
    Account, Answer, Body, Call, Clocks, Description, Finding, Grant, Known, NetworkId, Param, Question,
    RateLimitStatus, Reading, ResolvedApp, Says, Seen, Style, Tokens, Verdict, clocks, conclude, read_answer,
};
use token_exporter::report::describe;
use url::{Position, Url};

use super::CANARY;

/// The id of the account in the fixtures.
pub const ID: &str = "1000001";

/// The time of all probes, so that an input gives the same result on every day.
pub const NOW: i64 = 1_795_000_000;

/// Starts an answer.
const MARK: &str = "=== ";

/// Maximum number of answers in an input.
const MAX_ANSWERS: usize = 24;

/// Maximum number of rounds of a probe; a network must end long before.
const ROUNDS: usize = 64;

/// An answer in an input.
#[derive(Clone, Debug)]
pub struct Raw {
    /// The status, if there is one.
    pub status: Option<u16>,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// How the grant was made, from the first line of an input.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    /// The API and kind of OAuth, among those of the network.
    pub style: u8,
    /// The endpoints of a generic provider that are configured.
    pub endpoints: u8,
    /// 1: the token is a JWT; 2: there is no refresh token; 4: another program refreshes the token;
    /// 8: there is no app secret.
    pub token: u8,
}

/// Formats an input.
pub fn written(setup: Setup, answers: &[Raw]) -> Vec<u8> {
    let digit = |n: u8| char::from(b'0' + n);
    let mut out =
        format!("{}{}{}\n", digit(setup.style), digit(setup.endpoints), digit(setup.token)).into_bytes();
    for answer in answers {
        out.extend_from_slice(MARK.as_bytes());
        out.extend_from_slice(answer.status.map_or_else(String::new, |s| s.to_string()).as_bytes());
        for (name, value) in &answer.headers {
            out.extend_from_slice(format!("\n{name}: {value}").as_bytes());
        }
        out.extend_from_slice(b"\n\n");
        out.extend_from_slice(&answer.body);
        out.push(b'\n');
    }
    out
}

/// Parses an input. All inputs are valid.
fn parts(data: &[u8]) -> (Setup, Vec<Answer>) {
    let end = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let choice = |i: usize| data[..end].get(i).map_or(0, |b| b.wrapping_sub(b'0'));
    let setup = Setup { style: choice(0), endpoints: choice(1), token: choice(2) };
    let mut answers: Vec<Vec<&[u8]>> = Vec::new();
    for line in data[(end + 1).min(data.len())..].split(|b| *b == b'\n') {
        if line.starts_with(MARK.as_bytes()) {
            answers.push(Vec::new());
        }
        if let Some(answer) = answers.last_mut() {
            answer.push(line);
        }
    }
    (setup, answers.iter().take(MAX_ANSWERS).map(|lines| answer(lines)).collect())
}

fn answer(lines: &[&[u8]]) -> Answer {
    let status = lines[0].get(MARK.len()..).and_then(|s| std::str::from_utf8(s).ok()?.trim().parse().ok());
    let head = lines.iter().position(|l| l.is_empty()).unwrap_or(lines.len());
    let header = |line: &&[u8]| {
        let colon = line.iter().position(|b| *b == b':')?;
        Some((
            HeaderName::from_bytes(&line[..colon]).ok()?,
            HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?,
        ))
    };
    let mut headers = HeaderMap::new();
    lines[1.min(head)..head]
        .iter()
        .filter_map(header)
        .take(64)
        .for_each(|(name, value)| _ = headers.append(name, value));
    let body = lines.get(head + 1..).unwrap_or_default().join(&b'\n');
    Answer::new(status.filter(|s| (100..1000).contains(s)), headers, &body)
}

/// A grant's own data, for [`Grant`] to borrow.
pub struct Holder {
    id: NetworkId,
    style: Style<'static>,
    app: ResolvedApp,
    tokens: Tokens,
    accounts: Vec<Account<'static>>,
    auto_refresh: bool,
}

impl Holder {
    /// A grant with accounts of several kinds.
    pub fn new(id: NetworkId, setup: Setup) -> Self {
        let description = id.description();
        let styles = styles(description);
        let style = styles[usize::from(setup.style) % styles.len()];
        let accounts = accounts(id, style);
        let has = |bit: u8| setup.token & bit != 0;
        let url = |path: &str| format!("https://auth.example.com{path}");
        let endpoints = match setup.endpoints % 4 {
            _ if id.name() != "oauth2" => vec![],
            0 => vec![
                ("introspection_url", url("/oauth2/introspect")),
                ("userinfo_url", url("/oauth2/userinfo")),
                ("probe_url", url("/api/me?fields=id")),
            ],
            1 => vec![("issuer", "https://provider.example".to_owned())],
            2 => vec![("introspection_url", url("/oauth2/introspect"))],
            _ => vec![("probe_url", url("/api/me"))],
        };
        let jwt =
            format!("eyJhbGciOiJFUzI1NksifQ.eyJleHAiOjE3OTUwODY0MDAsInN1YiI6ImRpZDpwbGM6c2ltIn0.{CANARY}");
        Self {
            id,
            style,
            app: ResolvedApp {
                client_id: "planner".into(),
                client_secret: (!has(8)).then(|| Secret::new(format!("app-{CANARY}"))),
                api_version: description.api_version.unwrap_or_default().to_owned(),
                endpoints,
                ..ResolvedApp::default()
            },
            tokens: Tokens {
                access: Secret::new(if has(1) { jwt } else { format!("access-{CANARY}") }),
                secret: style.oauth1.then(|| Secret::new(format!("secret-{CANARY}"))),
                refresh: (!has(2)).then(|| Secret::new(format!("refresh-{CANARY}"))),
                scopes: None,
            },
            accounts,
            auto_refresh: has(4),
        }
    }

    fn grant(&self) -> Grant<'_> {
        Grant { style: self.style, app: &self.app, tokens: &self.tokens, accounts: &self.accounts }
    }

    fn known(&self) -> Known {
        let now = Timestamp::from_unix(NOW).expect("in range");
        Known { now, clocks: Clocks::default(), auto_refresh: self.auto_refresh, grace: 3600, excuse: None }
    }

    /// Runs a probe like [`token_exporter::probe`], with these answers. None if there are too few.
    pub fn probe(&self, mut answer: impl FnMut(&Call) -> Option<Answer>) {
        let network = self.id.network();
        let grant = self.grant();
        let (mut seen, mut recognised) = (Vec::new(), false);
        for round in 0.. {
            let calls = network.next(&grant, &seen);
            if calls.is_empty() {
                break;
            }
            assert!(round < ROUNDS, "{} goes on asking: {calls:?}", self.id);
            calls.iter().for_each(|call| self.check_call(call));
            if let Some(batch) = network.batch(self.style)
                && calls.len() > 1
            {
                self.check_call(&(batch.pack)(&self.app, &calls.iter().collect::<Vec<_>>()));
            }
            let mut interrupted = false;
            for call in calls {
                let Some(answer) = answer(&call) else {
                    interrupted = true;
                    let reading = Reading::undetermined(Cause::Timeout);
                    seen.push(Seen { question: call.question(), reading });
                    continue;
                };
                network.limits(&answer).iter().for_each(check_limit);
                recognised |= network.read(&grant, &seen, call.question(), &answer).is_some();
                let reading = read_answer(network, &grant, &seen, call.question(), &answer);
                check_reading(&reading, &answer);
                interrupted |= reading.says == Says::Undetermined(Cause::RateLimited);
                seen.push(Seen { question: call.question(), reading });
            }
            if interrupted {
                break;
            }
        }
        self.check_findings(&seen, recognised);
    }

    /// Reads an answer as the answer to each call in turn, and to a call that a probe never makes.
    fn alone(&self, answer: &Answer) {
        let network = self.id.network();
        let grant = self.grant();
        network.limits(answer).iter().for_each(check_limit);
        for question in questions(self.id) {
            let _ = network.guess(question, Some(ID), answer);
            let own = network.read(&grant, &[], question, answer);
            let reading = read_answer(network, &grant, &[], question, answer);
            check_reading(&reading, answer);
            let seen = [Seen { question, reading }];
            network.next(&grant, &seen).iter().for_each(|call| self.check_call(call));
            self.check_findings(&seen, own.is_some());
        }
        if let Some(batch) = network.batch(self.style) {
            for count in [1, 2, 5] {
                let Some(items) = (batch.unpack)(answer, count) else { continue };
                assert_eq!(items.len(), count, "a batch answers each question");
                items.iter().flatten().for_each(|item| {
                    check_reading(&read_answer(network, &grant, &[], Question::default(), item), item)
                });
            }
        }
    }

    /// Checks a call: it is documented, goes to the documented address, and shows no secret.
    pub fn check_call(&self, call: &Call) {
        let id = self.id;
        let info = call.info;
        let known = id.description().calls.iter().any(|c| (c.name, c.method) == (info.name, info.method));
        let batch = self.id.network().batch(self.style).is_some() && call.about.is_none();
        assert!(known || batch, "{id}: {} is not documented", info.name);
        assert!(call.about.is_none_or(|i| i < self.accounts.len()), "{id}: about nobody");
        let address = format!("{}{}", call.host, call.path);
        let url = Url::parse(&address);
        if let Ok(url) = &url {
            assert_eq!(
                &url[Position::BeforePath..Position::AfterQuery],
                call.path,
                "{id}: foreign text leads elsewhere"
            );
            assert!(url.fragment().is_none(), "{id}: a fragment in {address}");
        }
        let own = matches!(call.host, std::borrow::Cow::Borrowed(_));
        assert!(!own || url.is_ok_and(|u| u.scheme() == "https" && u.query().is_none()), "{id}: {address}");
        let texts = call.query.iter().chain(match &call.body {
            Body::Form(fields) | Body::Json(fields) => fields.as_slice(),
            Body::Empty => &[],
        });
        for text in
            texts.filter_map(|(_, value)| if let Param::Text(text) = value { Some(text) } else { None })
        {
            assert!(!text.contains(CANARY), "{id}: a secret as plain text");
        }
        let shown = format!("{call:?}");
        assert!(!shown.contains(CANARY), "{id}: a secret shows in {shown}");
        for (name, value) in &call.headers {
            assert!(HeaderValue::from_str(value).is_ok(), "{id}: header {name} cannot be sent");
        }
    }

    /// Checks findings: they are well formed and based on an answer.
    fn check_findings(&self, seen: &[Seen], recognised: bool) {
        let known = self.known();
        let findings = conclude(&self.grant(), seen, &known);
        assert_eq!(findings.len(), self.accounts.len());
        let clocks = clocks(known.clocks, seen);
        let _ = [false, true].map(|auto| clocks.deadline(auto));
        let accepted = seen.iter().any(|s| s.reading.says == Says::Accepted);
        for (account, finding) in self.accounts.iter().zip(&findings) {
            check_finding(account, finding);
            let unsupported = !account.network.network().supports(account.kind);
            match finding.verdict {
                Verdict::Invalid(reason, _) => {
                    assert!(
                        unsupported || recognised,
                        "{}: {reason:?} for an answer that nobody recognised",
                        self.id
                    );
                }
                Verdict::Valid => assert!(accepted, "{}: valid, though nothing was accepted", self.id),
                Verdict::Undetermined(_) => {}
            }
        }
    }
}

/// Each call of a network, and a call that a probe never makes, for the first account.
fn questions(id: NetworkId) -> impl Iterator<Item = Question> {
    let calls = id.description().calls.iter().copied().map(Some).chain([None]);
    calls.map(|call| Question { call, about: Some(0) })
}

/// Every API and kind of OAuth.
fn styles(description: &'static Description) -> Vec<Style<'static>> {
    let apis = if description.apis.is_empty() { &[""][..] } else { description.apis };
    apis.iter().flat_map(|api| [false, true].map(|oauth1| Style { api, oauth1 })).collect()
}

/// The value of [`Setup::style`] for this style.
pub fn style_number(id: NetworkId, api: Option<&str>, oauth1: bool) -> u8 {
    let all = styles(id.description());
    let api = api.or(id.description().apis.first().copied()).unwrap_or("");
    all.iter()
        .position(|s| s.api == api && s.oauth1 == oauth1)
        .and_then(|at| u8::try_from(at).ok())
        .unwrap_or(0)
}

/// Accounts of a credential: one of each kind, one without an id, and one of each network that it
/// can carry.
fn accounts(id: NetworkId, style: Style<'static>) -> Vec<Account<'static>> {
    let of = |network: NetworkId, kind: &'static str, external_id: Option<&'static str>| {
        let offered = |c: &Capability| network.network().rights(style, kind, *c).is_some();
        let needs: Capabilities = Capability::ALL.iter().copied().filter(offered).collect();
        Account { network, kind, external_id, needs }
    };
    let first = |network: NetworkId| network.description().kinds.first().copied().unwrap_or("");
    let mut accounts: Vec<Account<'static>> =
        id.description().kinds.iter().take(4).map(|kind| of(id, kind, Some(ID))).collect();
    accounts.push(of(id, first(id), None));
    let carried = id.description().carries.iter().filter_map(|name| NetworkId::from_name(name));
    accounts.extend(carried.map(|n| of(n, first(n), Some("17841400000000001"))));
    accounts
}

fn check_finding(account: &Account<'_>, finding: &Finding) {
    let named: Capabilities = finding.capabilities.iter().map(|(c, _)| *c).collect();
    let all_lost = finding.capabilities.iter().all(|(_, r)| *r != Reason::Ok);
    match finding.verdict {
        Verdict::Undetermined(_) => assert!(finding.capabilities.is_empty()),
        Verdict::Invalid(..) => assert!(named == account.needs && all_lost),
        Verdict::Valid => assert!(named == account.needs && (!all_lost || account.needs.is_empty())),
    }
    let told = describe(finding, account.network);
    assert_ne!(told.reason.is_some(), told.cause.is_some());
    assert!(told.verdict != "invalid" || !told.advice.is_empty(), "no advice for {:?}", told.reason);
    assert!(!format!("{finding:?}{told:?}").contains(CANARY));
}

/// A rate limit says nothing about a token. (A 500 may: Threads names a missing permission in one.)
fn check_reading(reading: &Reading, answer: &Answer) {
    assert!(
        answer.status != Some(429) || !matches!(reading.says, Says::Refused(_)),
        "{:?} under {:?}",
        reading.says,
        answer.status
    );
    let facts = reading.listed.iter().map(|l| &l.facts).chain([&reading.facts]);
    let shown = format!("{:?}", facts.map(|f| f.token.as_ref()).collect::<Vec<_>>());
    assert!(shown.chars().all(|c| "SomeNone([REDACTED]), ".contains(c)), "a token shows in {shown}");
}

/// Exported values must be finite.
fn check_limit(limit: &RateLimitStatus) {
    assert!(limit.used.is_none_or(|used| used.is_finite() && used >= 0.0), "{limit:?}");
}

/// The answers of one network.
pub fn check(id: NetworkId, data: &[u8]) {
    let (setup, answers) = parts(data);
    let holder = Holder::new(id, setup);
    let mut coming = answers.iter();
    holder.probe(|_| coming.next().cloned());
    answers.iter().for_each(|answer| holder.alone(answer));
}

/// An answer without a body, to every call of every network.
pub fn read_everywhere(answer: &Answer) {
    static HOLDERS: OnceLock<Vec<Holder>> = OnceLock::new();
    for holder in
        HOLDERS.get_or_init(|| NetworkId::all().map(|id| Holder::new(id, Setup::default())).collect())
    {
        for question in questions(holder.id) {
            check_reading(&read_answer(holder.id.network(), &holder.grant(), &[], question, answer), answer);
        }
    }
}
