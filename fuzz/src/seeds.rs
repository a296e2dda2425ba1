//! Seeds and dictionaries, made from the project's fixtures.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use http::{HeaderName, HeaderValue};
use serde_json::Value;
use token_exporter::model::{Capability, Cause, Expiry, Reason, Timestamp};
use token_exporter::network::{Answer, Certainty, Clocks, Finding, NetworkId, Verdict};
use token_exporter::simulator;
use token_exporter::simulator::{Case, Fixtures, Reply, fill, load_fixtures};
use token_exporter::state::Outcome;

use super::network::{Holder, ID, NOW, Raw, Setup};
use super::{CANARY, challenge, config, network, notice, report, snapshot, token, web};

/// A fuzz target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The configuration.
    Config,
    /// Token files.
    Token,
    /// `WWW-Authenticate`.
    Challenge,
    /// The state on disk.
    Snapshot,
    /// The web configuration.
    Web,
    /// Notices of networks.
    Notice,
    /// Bodies of reports.
    Report,
    /// A network's answers.
    Network(NetworkId),
}

impl Target {
    /// Every target.
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::Config, Self::Web, Self::Token, Self::Challenge, Self::Notice, Self::Report, Self::Snapshot]
            .into_iter()
            .chain(NetworkId::all().map(Self::Network))
    }

    /// The name of the target's corpus.
    pub fn name(self) -> String {
        match self {
            Self::Config => "config".into(),
            Self::Token => "token".into(),
            Self::Challenge => "challenge".into(),
            Self::Notice => "notice".into(),
            Self::Snapshot => "snapshot".into(),
            Self::Web => "web".into(),
            Self::Report => "report".into(),
            Self::Network(id) => format!("network-{id}"),
        }
    }

    /// Runs the target's checks on one input.
    pub fn check(self, data: &[u8]) {
        match self {
            Self::Config => config::check(data),
            Self::Token => token::check(data),
            Self::Challenge => challenge::check(data),
            Self::Notice => notice::check(data),
            Self::Snapshot => snapshot::check(data),
            Self::Web => web::check(data),
            Self::Report => report::check(data),
            Self::Network(id) => network::check(id, data),
        }
    }

    /// The initial inputs.
    pub fn seeds(self) -> Vec<Vec<u8>> {
        match self {
            Self::Config => configurations(),
            Self::Token => tokens(),
            Self::Challenge => challenges(),
            Self::Notice => notices(),
            Self::Snapshot => states(),
            Self::Web => web_configurations(),
            Self::Report => reports(),
            Self::Network(id) => answers(id),
        }
    }

    /// Words of the target's inputs, for its dictionary.
    pub fn words(self) -> BTreeSet<String> {
        let mut words = BTreeSet::from([CANARY.to_owned()]);
        let seeds = match self {
            Self::Network(id) => {
                let calls = id.description().calls.iter().map(|c| c.name.to_owned());
                words.extend(calls.chain(id.description().kinds.iter().map(|k| (*k).to_owned())));
                let replies = of(id);
                let replies =
                    replies.healthy.values().chain(replies.cases.iter().flat_map(|c| c.answers.values()));
                for reply in replies {
                    words.extend(reply.headers.keys().map(|name| name.to_lowercase()));
                    if let Ok(body) = serde_json::from_str::<Value>(&filled(&reply.body)) {
                        words_of(&body, &mut words);
                    }
                }
                Vec::new()
            }
            _ => self.seeds(),
        };
        for seed in seeds {
            let text = String::from_utf8_lossy(&seed).into_owned();
            words.extend(
                text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').map(str::to_owned),
            );
        }
        words.retain(|w| (2..=40).contains(&w.len()));
        words
    }

    /// [`Target::words`] in libFuzzer's notation.
    pub fn dictionary(self) -> String {
        let byte = |b: u8| {
            if b.is_ascii_alphanumeric() || b == b'_' {
                char::from(b).to_string()
            } else {
                format!("\\x{b:02X}")
            }
        };
        self.words().iter().map(|w| format!("\"{}\"\n", w.bytes().map(byte).collect::<String>())).collect()
    }
}

/// The keys of an object, and its texts and numbers unless they are too long.
fn words_of(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, inner)| {
            into.insert(format!("\"{name}\":"));
            words_of(inner, into);
        }),
        Value::Array(items) => items.iter().for_each(|inner| words_of(inner, into)),
        Value::String(text) => _ = into.insert(text.clone()),
        Value::Number(number) => _ = into.insert(number.to_string()),
        Value::Null | Value::Bool(_) => {}
    }
}

fn project() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    if here.join("tests/fixtures").is_dir() { here.to_owned() } else { here.join("..") }
}

fn now() -> Timestamp {
    Timestamp::from_unix(NOW).expect("in range")
}

fn of(id: NetworkId) -> Fixtures {
    load_fixtures()
        .expect("fixtures")
        .into_iter()
        .find(|f| f.network == id)
        .expect("each network has fixtures")
}

fn filled(text: &str) -> String {
    fill(text, now(), ID, "sim-page-token")
}

/// All configurations of the tests, the example, and the demo's.
fn configurations() -> Vec<Vec<u8>> {
    let read =
        |path: &Path| std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let tests = project().join("tests/config");
    let mut bad: Vec<PathBuf> = std::fs::read_dir(tests.join("bad"))
        .expect("a folder")
        .map(|e| e.expect("an entry").path())
        .collect();
    bad.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    bad.sort_unstable();
    let mut texts: Vec<String> = bad.iter().map(|path| read(path)).collect();
    texts.push(read(&project().join("config.example.yaml")));
    texts.push(read(&tests.join("good/everything.yaml")));
    texts.push(format!(
        "{}{}{}",
        config::ACCOUNT_FILES,
        config::MARK,
        read(&tests.join("good/accounts.d/1.yml"))
    ));
    let login = r#"{"id": "ä\u00e9\ud83e\udd80", "network": "mastodon", "base_url": "https://a.example", "token": "sim-a"}"#;
    let page =
        r#"{"id": "page", "network": "mastodon", "credential": "äé🦀", "labels": {"n": -1.5e3, "no": null}}"#;
    let lines = format!("{{\"credential\": {login}}}\n\n{page}\n{{\"account\": {page}}}\n{page:.50}");
    for accounts in [format!("[{page}, {login}]"), format!("{login}\n{page}\n"), lines] {
        texts.push(format!("{}{}{accounts}", config::ACCOUNT_FILES, config::MARK));
    }
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    texts.extend(load_fixtures().expect("fixtures").iter().filter_map(|f| {
        Some(simulator::single_case_config(f, f.cases.iter().find(|c| c.name == "valid")?, address, now()))
    }));
    texts.iter().map(|text| with_canaries(text).into_bytes()).collect()
}

/// A text with the canary in place of each simulated secret.
fn with_canaries(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("sim-") {
        let end = rest[at..]
            .find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c))
            .map_or(rest.len(), |n| at + n);
        out.push_str(&rest[..at]);
        out.push_str(CANARY);
        rest = &rest[end..];
    }
    out + rest
}

/// The guide's examples, and each of their sections with an error.
fn web_configurations() -> Vec<Vec<u8>> {
    let guide = std::fs::read_to_string(project().join("docs/web-config.md")).expect("the guide");
    let examples = guide.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let inline = format!(
        "tls_server_config:\n  cert: |\n    -----BEGIN CERTIFICATE-----\n    {CANARY}\n    -----END \
         CERTIFICATE-----\n  key: {CANARY}\n"
    );
    let hash = format!("basic_auth_users: {{a: {CANARY}, {CANARY}: b, c: $2y$10${CANARY}}}\n");
    let odd = "rate_limit: {interval: 1h, burst: -1}\nhttp_server_config: {http2: maybe, headers: \
               {X-Frame-Options: no, Other: x}}\n";
    examples.map(str::to_owned).chain([inline, hash, odd.to_owned()]).map(String::into_bytes).collect()
}

/// One report, lists, and reports with problems.
fn reports() -> Vec<Vec<u8>> {
    let texts = [
        r#"{"account":"page","operation":"inbox","ok":true,"id":"a-1","at":1795086400}"#.to_owned(),
        r#"[{"account":"page","http_status":400,"headers":{"date":["x"]},"body":{"error":{"code":368,"message":"temporarily blocked for 3 days"}}},{"network":"twitter","external_id":2,"http_status":"403","body":{"errors":[{"code":226}]}}]"#.to_owned(),
        format!(r#"{{"account":"{CANARY}","{CANARY}":1,"body":"{CANARY}","http_status":42,"at":"{CANARY}"}}"#),
        format!(r#"{{"account":"m","http_status":422,"headers":[["authorization","Bearer {CANARY}"]],"body":"{{\"error\":\"{CANARY}\"}}"}}"#),
        r#"[7,null,{},[],{"account":"x","ok":false},{"account":"x","ok":true,"http_status":500}]"#.to_owned(),
        r#"{"account":"x","http_status":429}"#.to_owned(),
    ];
    texts.into_iter().map(String::into_bytes).collect()
}

/// The contents of token files.
fn tokens() -> Vec<Vec<u8>> {
    let texts = [
        "EAAsim-token",
        "\u{feff}ya29.sim-token\r\n",
        "eyJhbGciOiJFUzI1NksifQ.eyJleHAiOjE3OTUwODY0MDAsInN1YiI6ImRpZDpwbGM6c2ltIn0.c2lt",
        r#"{"access_token":"sim-access-token","token_type":"Bearer","expires_in":3599,"refresh_token":"1//sim-refresh-token","scope":"openid email"}"#,
        r#"{"access_token":"sim-access-token","expires_at":1795086400,"refresh_token":"sim-refresh-token","refresh_token_expires_at":"2027-06-30T00:00:00Z","created_at":1795000000}"#,
        r#"{"access_token":"sim-access-token","expires_in":"86400","refresh_token":"sim-refresh-token","refresh_token_expires_in":31536000,"issued_at":1795000000123,"scopes":["a","b"]}"#,
        r#"{"code":0,"message":"OK","data":{"access_token":"act.sim-access-token","expires_in":86400,"refresh_expires_in":31536000,"scope":"user.info.basic,video.list"}}"#,
        r#"{"access_token":" sim-access token ","expires_in":-1,"issued_at":null,"scope":null}"#,
        r#"{"accessJwt":"sim","refreshJwt":"sim"}"#,
        "sim-token with blanks",
        "\n",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Notices of each network: as they come, and to be signed by the check.
fn notices() -> Vec<Vec<u8>> {
    let texts = [
        r#"{"algorithm":"HMAC-SHA256","issued_at":1796040000,"user_id":"5000001"}"#,
        r#"{"object":"permissions","entry":[{"uid":"5000001","time":1796040000,"changes":[]}]}"#,
        "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=00ff&confirmation_code=1",
        concat!(
            r#"{"client_key":"demo-client","event":"authorization.removed","create_time":1796040000,"#,
            r#""user_openid":"1","content":"{\"reason\":4}"}"#
        ),
        include_str!("../../tests/notices/token-revoked.jwt"),
        "eyJhbGciOiJub25lIiwia2lkIjoia2V5In0.e30.",
    ];
    let seeds = (0..6_u8).flat_map(|network| (0..4_u8).map(move |signing| [network, signing]));
    seeds.flat_map(|head| texts.map(|text| [&head[..], text.as_bytes()].concat())).collect()
}

/// All challenges of the fixtures and of the specifications.
fn challenges() -> Vec<Vec<u8>> {
    let mut found: BTreeSet<String> = BTreeSet::from(
        [
            r#"Basic realm="WallyWorld", charset="UTF-8""#,
            r#"Newauth realm="apps", type=1, title="Login to \"apps\"", Basic realm="simple""#,
            r#"Bearer realm="example", error="invalid_token", error_description="The access token expired""#,
            r#"Bearer error="insufficient_user_authentication", acr_values="myACR", max_age="5""#,
            r#"DPoP error="use_dpop_nonce", algs="ES256 PS256", Bearer"#,
            r#"OAuth "Facebook Platform" "invalid_token" "The access token could not be decrypted""#,
            "Negotiate a87421000492aa874209af8bc028==",
        ]
        .map(str::to_owned),
    );
    for fixtures in load_fixtures().expect("fixtures") {
        let replies = fixtures.healthy.values().chain(fixtures.cases.iter().flat_map(|c| c.answers.values()));
        let headers = replies
            .flat_map(|r| &r.headers)
            .filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"));
        found.extend(headers.map(|(_, value)| filled(value)));
    }
    found.into_iter().map(String::into_bytes).collect()
}

/// Files with an item of each kind, whole and damaged.
fn states() -> Vec<Vec<u8>> {
    let store = snapshot::store();
    let mut files = vec![state_file(&store)];
    let finding = |verdict, capabilities: &[(Capability, Reason)]| Finding {
        verdict,
        capabilities: capabilities.to_vec(),
        scopes: vec![("pages_manage_posts", true), ("pages_messaging", false)],
    };
    let clocks = Clocks {
        access: Expiry::At(now().plus(5000)),
        refresh: Expiry::Never,
        data_access: Expiry::At(now().plus(9000)),
        issued: Some(now().plus(-9)),
    };
    let valid = finding(
        Verdict::Valid,
        &[(Capability::Publish, Reason::Ok), (Capability::Inbox, Reason::MissingRole)],
    );
    let gone = finding(
        Verdict::Invalid(Reason::NotAdmin, Certainty::Plain),
        &[(Capability::Publish, Reason::NotAdmin)],
    );
    let maybe = finding(Verdict::Invalid(Reason::TokenInvalid, Certainty::Ambiguous), &[]);
    let outcomes = [
        (
            0,
            Outcome {
                at: now(),
                findings: vec![valid, gone],
                clocks: Some(clocks),
                limits: vec![],
                version_ended: false,
                token: None,
                names: Default::default(),
                observations: Vec::new(),
            },
        ),
        (
            1,
            Outcome {
                at: now().plus(1),
                findings: vec![maybe],
                clocks: None,
                limits: vec![],
                version_ended: false,
                token: None,
                names: Default::default(),
                observations: Vec::new(),
            },
        ),
        (1, Outcome::undetermined(Cause::Timeout, 1, now().plus(2))),
    ];
    for (credential, outcome) in &outcomes {
        store.apply(*credential, outcome);
        files.push(state_file(&store));
    }
    let whole = files.last().cloned().unwrap_or_default();
    files.push(whole[..whole.len() / 2].to_vec());
    files.push(String::from_utf8_lossy(&whole).replace("\"version\":", "\"version\":9").into_bytes());
    // Without its end, which the check appends; and with its last lines in a journal.
    let lines: Vec<&[u8]> = whole.split_inclusive(|b| *b == b'\n').collect();
    let (head, body) = (lines[0], &lines[1..lines.len() - 1]);
    files.push([head, &body.concat()].concat());
    files.push([head, &body[..1].concat(), snapshot::MARK.as_bytes(), head, &body[1..].concat()].concat());
    files
}

fn state_file(store: &token_exporter::state::Store) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    token_exporter::state::write_base(folder.path(), 1, &store.snapshot()).expect("written");
    let file =
        std::fs::read_dir(folder.path()).expect("a folder").next().expect("a file").expect("a file").path();
    std::fs::read(file).expect("read")
}

/// A network's answers in each case of its fixtures: whole probes, and the case's own answers in a
/// row.
fn answers(id: NetworkId) -> Vec<Vec<u8>> {
    let fixtures = of(id);
    let mut seeds = Vec::new();
    for case in &fixtures.cases {
        let setup = setup(id, case);
        let mut going = Vec::new();
        Holder::new(id, setup).probe(|call| {
            let reply = reply(&fixtures, case, call.info.name)?;
            going.push(raw(reply));
            Some(parsed(reply))
        });
        seeds.push(network::written(setup, &going));
        seeds.push(network::written(setup, &case.answers.values().map(raw).collect::<Vec<_>>()));
    }
    seeds.sort_unstable();
    seeds.dedup();
    seeds
}

fn setup(id: NetworkId, case: &Case) -> Setup {
    let oauth1 = case.context.auth.as_deref() == Some("oauth1");
    let discovered = case
        .answers
        .keys()
        .any(|call| matches!(call.as_str(), "openid_configuration" | "authorization_server_metadata"));
    let style = network::style_number(id, case.context.api.as_deref(), oauth1);
    Setup { style, endpoints: u8::from(discovered), token: u8::from(id.name() == "bluesky") }
}

fn reply<'f>(fixtures: &'f Fixtures, case: &'f Case, call: &str) -> Option<&'f Reply> {
    let api =
        case.context.api.as_deref().or(fixtures.network.description().apis.first().copied()).unwrap_or("");
    let healthy: &BTreeMap<String, Reply> = &fixtures.healthy;
    let found = case
        .answers
        .get(call)
        .or_else(|| healthy.get(&format!("{api}/{call}")))
        .or_else(|| healthy.get(call));
    found.filter(|reply| reply.fault.is_none())
}

fn raw(reply: &Reply) -> Raw {
    let headers = reply.headers.iter().map(|(name, value)| (name.clone(), filled(value))).collect();
    Raw { status: Some(reply.status.unwrap_or(200)), headers, body: filled(&reply.body).into_bytes() }
}

fn parsed(reply: &Reply) -> Answer {
    let header = |(name, value): (&String, &String)| {
        Some((name.parse::<HeaderName>().ok()?, filled(value).parse::<HeaderValue>().ok()?))
    };
    let headers = reply.headers.iter().filter_map(header).collect();
    Answer::new(Some(reply.status.unwrap_or(200)), headers, filled(&reply.body).as_bytes())
}
