//! Random answers: no network's code may panic on them or report an account as invalid because of
//! them.
//!
//! The inputs are the same on every run; `PROPTEST_CASES` and `PROPTEST_RNG_SEED` select more and
//! others.

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use serde_json::{Map, Value, json};
use token_exporter::model::{Capabilities, Capability, Cause, Expiry, Reason, Secret, Timestamp};
use token_exporter::network::{
    Account, Answer, CallInfo, Certainty, Clocks, Facts, Grant, Known, List, Listed, NetworkId, Question,
    Reach, Reading, Refusal, ResolvedApp, Says, Scopes, Seen, Style, Tokens, Verdict, clocks, conclude,
    read_answer,
};
use token_exporter::report::{Payload, classify};
use token_exporter::simulator::{fill, load_fixtures};

use crate::reading::ID;

/// Maximum number of rounds of a probe: a network must end long before.
const ROUNDS: usize = 64;

pub(crate) fn runner(cases: u32) -> TestRunner {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(1);
    }
    TestRunner::new(config)
}

/// Letters that form no word of any network.
const NOISE: &str = "[bcdfghjklmnpqrstvwxz]{1,10}";

fn noise() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        NOISE.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((NOISE, inner), 1..5).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => noise().prop_map(|json| json.to_string().into_bytes()),
        1 => vec(any::<u8>(), 0..200),
        1 => "[bcdfghjklmnpqrstvwxz<>/ ]{0,200}".prop_map(String::into_bytes),
    ]
}

/// A status of each kind that has a meaning for some network.
const STATUSES: [Option<u16>; 12] = [
    None,
    Some(200),
    Some(204),
    Some(302),
    Some(400),
    Some(401),
    Some(402),
    Some(403),
    Some(404),
    Some(422),
    Some(429),
    Some(503),
];

fn headers() -> impl Strategy<Value = HeaderMap> {
    let names = [
        "www-authenticate",
        "content-type",
        "retry-after",
        "x-ratelimit-reset",
        "x-app-usage",
        "x-access-level",
        "date",
    ];
    let name = prop_oneof![
        prop::sample::select(names.to_vec()).prop_map(str::to_owned),
        NOISE.prop_map(|n| format!("x-{n}"))
    ];
    let value = prop_oneof![
        vec(32..127_u8, 0..60),
        NOISE.prop_map(String::into_bytes),
        (NOISE, NOISE).prop_map(|(a, b)| format!("Bearer {a}=\"{b}\"").into_bytes()),
        any::<i64>().prop_map(|n| n.to_string().into_bytes()),
    ];
    vec((name, value), 0..4).prop_map(|pairs| {
        let pair = |(name, value): (String, Vec<u8>)| {
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(&value).ok()?))
        };
        pairs.into_iter().filter_map(pair).collect()
    })
}

/// Every API and kind of OAuth of a network.
fn styles(network: NetworkId) -> impl Iterator<Item = Style<'static>> {
    let apis = network.description().apis;
    let apis = if apis.is_empty() { &[""][..] } else { apis };
    apis.iter().flat_map(|api| [false, true].map(|oauth1| Style { api, oauth1 }))
}

fn tokens() -> Tokens {
    Tokens {
        access: Secret::new("sim-token"),
        secret: Some(Secret::new("sim-secret")),
        refresh: None,
        scopes: None,
    }
}

fn known() -> Known {
    Known { now: Timestamp::now(), clocks: Clocks::default(), auto_refresh: false, grace: 0, excuse: None }
}

/// The meaning of a single answer for an account without needs.
fn verdict(
    network: NetworkId,
    style: Style<'_>,
    call: Option<&'static CallInfo>,
    answer: &Answer,
) -> Verdict {
    let description = network.description();
    let kind = description.kinds.first().copied().unwrap_or("");
    let accounts = [Account { network, kind, external_id: Some(ID), needs: Capabilities::NONE }];
    let app = ResolvedApp {
        client_id: "demo-client".into(),
        client_secret: Some(Secret::new("sim-client-secret")),
        ..ResolvedApp::default()
    };
    let tokens = tokens();
    let grant = Grant { style, app: &app, tokens: &tokens, accounts: &accounts };
    let question = Question { call, about: Some(0) };
    let reading = read_answer(network.network(), &grant, &[], question, answer);
    let _ = network.network().limits(answer);
    let _ = network.network().guess(question, Some(ID), answer);
    let _ = call.is_none_or(|call| network.network().concerns(call, kind));
    let seen = [Seen { question, reading }];
    let _ = network.network().next(&grant, &seen);
    conclude(&grant, &seen, &known()).pop().expect("a finding").verdict
}

/// Runs a check with every network, API, kind of OAuth and call, and with a call that a probe never
/// makes.
fn everywhere(mut check: impl FnMut(NetworkId, Style<'_>, Option<&'static CallInfo>)) {
    for network in NetworkId::all() {
        for style in styles(network) {
            for call in network.description().calls.iter().copied().map(Some).chain([None]) {
                check(network, style, call);
            }
        }
    }
}

#[test]
fn noise_is_never_a_refusal() {
    // Each is the answer to every call of every network, with every status.
    let checked = runner(64).run(&(headers(), body()), |(headers, body)| {
        let mut answer = Answer::new(None, headers, &body);
        let mut failure = None;
        for status in STATUSES {
            answer.status = status;
            everywhere(|network, style, call| {
                // Google leaves out false values: an object of unknown fields is a valid answer
                // about an unverified location.
                let empty =
                    call.is_some_and(|c| c.name == "voice_of_merchant_state") && answer.json.is_object();
                let found = verdict(network, style, call, &answer);
                // A 401 of an unknown provider that names no cause counts if a second probe says the same.
                let bare = found == Verdict::Invalid(Reason::TokenInvalid, Certainty::Ambiguous)
                    && network.name() == "oauth2"
                    && status == Some(401);
                if matches!(found, Verdict::Invalid(..)) && !empty && !bare {
                    failure.get_or_insert(format!(
                        "{network} {style:?} {:?} {status:?}: {found:?}",
                        call.map(|c| c.name)
                    ));
                }
            });
        }
        failure.map_or(Ok(()), |f| Err(TestCaseError::fail(f)))
    });
    assert!(checked.is_ok(), "{}", checked.unwrap_err());
}

/// Fields of a success that say that it was none, as no network's own fields do.
fn objecting_field() -> impl Strategy<Value = Vec<(String, Value)>> {
    let number = || {
        (100_000_000_i64..999_000_000)
            .prop_flat_map(|n| prop_oneof![Just(json!(n)), Just(json!(n.to_string()))])
    };
    let name = |names: &'static [&'static str]| prop::sample::select(names).prop_map(str::to_owned);
    let numbers =
        name(&["errcode", "errCode", "err_code", "errno", "error_code", "errorCode", "ret", "retcode"]);
    let codes = name(&["code", "status", "statusCode", "status_code", "result"]);
    let texts =
        name(&["message", "errmsg", "error_msg", "error_message", "description", "sub_msg", "detail"]);
    let states = name(&["status", "stat", "state", "result"]);
    let words = prop::sample::select(&["fail", "FAILED", "failure", "Error", "invalid", "ng"][..]);
    let successes = name(&["ok", "success", "succeeded", "isSuccess"]);
    let no = prop::sample::select(vec![json!(false), json!("false"), json!(0), json!("0")]);
    prop_oneof![
        (numbers, number()).prop_map(|field| vec![field]),
        (codes, number(), texts, NOISE).prop_map(|(c, n, t, text)| vec![(c, n), (t, text.into())]),
        (states, words).prop_map(|(state, word)| vec![(state, word.into())]),
        (successes, no).prop_map(|field| vec![field]),
    ]
}

/// A success whose body objects, at its top or one object further down.
fn objecting() -> impl Strategy<Value = Value> {
    let object = || {
        (objecting_field(), vec((NOISE, noise()), 0..3)).prop_map(|(field, others)| {
            Value::Object(field.into_iter().chain(others).collect::<Map<String, Value>>())
        })
    };
    let list = (NOISE, NOISE).prop_map(|(code, text)| json!([{"errorCode": code, "message": text}]));
    prop_oneof![
        3 => object(),
        2 => (NOISE, object()).prop_map(|(name, inner)| json!({name: inner})),
        1 => list,
    ]
}

#[test]
fn a_success_that_objects_is_no_success_and_no_refusal_unless_it_is_recognised() {
    let checked = runner(64).run(&objecting(), |json| {
        let mut failure = None;
        for status in [None, Some(200), Some(204)] {
            let answer = Answer { status, json: json.clone(), ..Answer::default() };
            everywhere(|network, style, call| {
                // Google leaves out false values: any object is an answer about an unverified location.
                let empty = call.is_some_and(|c| c.name == "voice_of_merchant_state");
                let found = verdict(network, style, call, &answer);
                if !matches!(found, Verdict::Undetermined(_)) && !empty {
                    failure.get_or_insert(format!(
                        "{network} {style:?} {:?} {status:?}: {found:?}",
                        call.map(|c| c.name)
                    ));
                }
            });
        }
        failure.map_or(Ok(()), |f| Err(TestCaseError::fail(f)))
    });
    assert!(checked.is_ok(), "{}", checked.unwrap_err());
}

/// JSON pointers to everything in a value.
fn places(value: &Value, here: &str, into: &mut Vec<String>) {
    into.push(here.to_owned());
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, inner)| {
            places(inner, &format!("{here}/{}", name.replace('~', "~0").replace('/', "~1")), into)
        }),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, inner)| places(inner, &format!("{here}/{i}"), into))
        }
        _ => {}
    }
}

/// Sets a value at a pointer, or removes what is there.
fn change(value: &mut Value, place: &str, new: Option<Value>) {
    if let Some(new) = new {
        if let Some(old) = value.pointer_mut(place) {
            *old = new;
        }
        return;
    }
    let Some((parent, name)) = place.rsplit_once('/') else { return };
    match value.pointer_mut(parent) {
        Some(Value::Object(fields)) => _ = fields.remove(&name.replace("~1", "/").replace("~0", "~")),
        Some(Value::Array(items)) => {
            _ = name.parse().ok().filter(|i| *i < items.len()).map(|i: usize| items.remove(i))
        }
        _ => {}
    }
}

/// Values that often cause bugs.
fn odd_values() -> Vec<Value> {
    let odd = json!([
        null, true, false, "", " ", "true", "0", "-1", "1e400", "{{", "urn:li:organization:", "ä\u{0}\u{feff}", "a b,c", "999999999999999999999999",
        0, -1, 1, 190, 0.5, 1e300, i64::MAX, i64::MIN, u64::MAX, [], {}, [[]], [{}], [null], {"": ""}, {"error": {}}, {"data": [[]]}
    ]);
    odd.as_array().expect("a list").clone()
}

fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![3 => prop::sample::select(odd_values()), 1 => noise()]
}

#[test]
fn known_answers_may_be_mutilated() {
    let now = Timestamp::now();
    let mut odd = odd_values().into_iter().cycle();
    let mut read = 0;
    for fixtures in load_fixtures().expect("fixtures") {
        let network = fixtures.network;
        let healthy = fixtures
            .healthy
            .iter()
            .map(|(key, reply)| (key.split_once('/').map_or(key.as_str(), |(_, call)| call), reply));
        let cases =
            fixtures.cases.iter().flat_map(|c| c.answers.iter().map(|(call, reply)| (call.as_str(), reply)));
        for (call, reply) in healthy.chain(cases) {
            let Ok(whole) = serde_json::from_str::<Value>(&fill(&reply.body, now, ID, "sim-token")) else {
                continue;
            };
            let call = network.description().call(call);
            let mut all = Vec::new();
            places(&whole, "", &mut all);
            for place in all {
                // The value is removed, then replaced by some of the odd values; all of them occur
                // in turn.
                for new in [None].into_iter().chain(odd.by_ref().take(5).map(Some).collect::<Vec<_>>()) {
                    let mut json = whole.clone();
                    change(&mut json, &place, new);
                    let answer = Answer { status: reply.status.or(Some(200)), json, ..Answer::default() };
                    for style in styles(network) {
                        verdict(network, style, call, &answer);
                    }
                    read += 1;
                }
            }
        }
    }
    assert!(read > 10_000, "{read}");
}

fn expiry() -> impl Strategy<Value = Expiry> {
    prop_oneof![
        Just(Expiry::Unknown),
        Just(Expiry::Never),
        (0..4_000_000_000_i64).prop_map(|s| Timestamp::from_unix(s).map_or(Expiry::Unknown, Expiry::At)),
    ]
}

fn refusal() -> impl Strategy<Value = Refusal> {
    let certainty = prop::sample::select(vec![Certainty::Plain, Certainty::Ambiguous]);
    let reach = prop::sample::select(vec![Reach::Grant, Reach::Account]);
    (prop::option::of(prop::sample::select(Reason::ALL)), certainty, reach)
        .prop_map(|(reason, certainty, reach)| Refusal { reason, certainty, reach })
}

/// A text that networks could send instead of an id, a cursor or an address.
fn foreign() -> impl Strategy<Value = String> {
    let likely = prop::sample::select(vec![
        "7",
        "8",
        "100",
        "urn:li:organization:7",
        "did:plc:sim",
        "https://id.example/x",
        "http://[",
        "//",
        "",
    ]);
    prop_oneof![3 => likely.prop_map(str::to_owned), 1 => ".{0,20}"]
}

fn facts() -> impl Strategy<Value = Facts> {
    let parts = (
        prop::option::of(vec(foreign(), 0..3)),
        any::<bool>(),
        prop::option::of(foreign()),
        prop::option::of(refusal()),
    );
    parts.prop_map(|(roles, token, parent, refused)| Facts {
        roles,
        token: token.then(|| Secret::new("sim-page")),
        parent,
        refused,
    })
}

/// Any reading of an answer.
fn reading() -> impl Strategy<Value = Reading> {
    let says = prop_oneof![
        1 => Just(Says::Nothing),
        3 => Just(Says::Accepted),
        1 => refusal().prop_map(Says::Refused),
        1 => prop::sample::select(Cause::ALL).prop_map(Says::Undetermined),
    ];
    let scope = prop::sample::select(every_scope());
    let scopes = prop::option::of((vec(scope.clone(), 0..6), vec((scope, vec(foreign(), 0..3)), 0..2)));
    let listed = vec((foreign(), facts(), any::<bool>()), 0..4);
    let list = prop_oneof![1 => Just(List::Complete), 3 => foreign().prop_map(List::ContinuesAt)];
    let lost = vec((prop::sample::select(Capability::ALL), prop::sample::select(Reason::ALL)), 0..2);
    let endpoint = prop::sample::select(vec!["issuer", "introspection_url", "userinfo_url", "probe_url"]);
    let endpoints = vec((endpoint, foreign()), 0..3);
    let parts = (
        says,
        [expiry(), expiry(), expiry()],
        scopes,
        lost,
        facts(),
        listed,
        prop::option::weighted(0.9, list),
        endpoints,
    );
    parts.prop_map(|(says, [access, refresh, data_access], scopes, lost, facts, listed, list, endpoints)| {
        Reading {
            version_ended: false,
            endless: false,
            says,
            access_expiry: access,
            refresh_expiry: refresh,
            data_access_expiry: data_access,
            issued: access.at(),
            scopes: scopes.map(|(granted, only_for)| Scopes { granted, only_for }),
            lost,
            facts,
            listed: listed
                .into_iter()
                .map(|(external_id, facts, partial)| Listed { external_id, facts, partial })
                .collect(),
            list,
            endpoints,
            write: None,
            user_id: None,
        }
    })
}

/// All scopes that any capability of any network needs.
fn every_scope() -> Vec<String> {
    let mut scopes = Vec::new();
    for network in NetworkId::all() {
        for style in styles(network) {
            for kind in network.description().kinds {
                for rights in Capability::ALL.iter().filter_map(|c| network.network().rights(style, kind, *c))
                {
                    scopes.extend(rights.scopes.iter().copied().flatten().map(|s| (*s).to_owned()));
                }
            }
        }
    }
    scopes.sort_unstable();
    scopes.dedup();
    scopes
}

#[test]
fn every_probe_comes_to_an_end() {
    let account = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        prop::option::of(foreign()),
        vec(prop::sample::select(Capability::ALL), 0..4),
    );
    let token = prop_oneof![Just(String::new()), Just("a.b.c".to_owned()), ".{0,20}"];
    let grants = (
        vec(account, 1..4),
        token,
        any::<bool>(),
        vec(
            (
                prop::sample::select(vec!["issuer", "introspection_url", "userinfo_url", "probe_url"]),
                foreign(),
            ),
            0..3,
        ),
    );
    let checked = runner(512).run(
        &(grants, vec(reading(), 1..8)),
        |((accounts, token, secret, endpoints), readings)| {
            for network in NetworkId::all() {
                let description = network.description();
                // An account's network, or another one that its credentials can carry.
                let carried: Vec<NetworkId> = NetworkId::all()
                    .filter(|n| *n == network || description.carries.contains(&n.name()))
                    .collect();
                let accounts: Vec<Account<'_>> = accounts
                    .iter()
                    .map(|(which, kind, id, needs)| {
                        let network = *which.get(&carried);
                        let needs: Capabilities = needs.iter().copied().collect();
                        Account {
                            network,
                            kind: kind.get::<&str>(network.description().kinds),
                            external_id: id.as_deref(),
                            needs,
                        }
                    })
                    .collect();
                let app = ResolvedApp {
                    client_id: "demo-client".into(),
                    client_secret: secret.then(|| Secret::new("sim-client-secret")),
                    api_version: description.api_version.unwrap_or_default().to_owned(),
                    endpoints: endpoints.clone(),
                    ..ResolvedApp::default()
                };
                let tokens = Tokens {
                    access: Secret::new(token.clone()),
                    refresh: secret.then(|| Secret::new("sim-refresh")),
                    ..tokens()
                };
                for style in styles(network) {
                    let grant = Grant { style, app: &app, tokens: &tokens, accounts: &accounts };
                    let mut seen: Vec<Seen> = Vec::new();
                    let mut rounds = 0;
                    loop {
                        let calls = network.network().next(&grant, &seen);
                        if calls.is_empty() {
                            break;
                        }
                        rounds += 1;
                        prop_assert!(rounds <= ROUNDS, "{network} goes on asking: {:?}", calls);
                        for call in calls {
                            let info = call.info;
                            prop_assert!(
                                description
                                    .calls
                                    .iter()
                                    .any(|c| (c.name, c.method) == (info.name, info.method)),
                                "{network}: {info:?} is not documented"
                            );
                            prop_assert!(
                                call.about.is_none_or(|i| i < accounts.len()),
                                "{network}: about nobody"
                            );
                            let reading = readings[seen.len() % readings.len()].clone();
                            seen.push(Seen { question: call.question(), reading });
                        }
                    }
                    prop_assert!(
                        seen.len() <= ROUNDS + 4 * accounts.len(),
                        "{network} asks {} questions",
                        seen.len()
                    );
                    let _ = clocks(Clocks::default(), &seen);
                    prop_assert_eq!(conclude(&grant, &seen, &known()).len(), accounts.len());
                }
            }
            Ok(())
        },
    );
    assert!(checked.is_ok(), "{}", checked.unwrap_err());
}

#[test]
fn any_payload_is_classified_or_refused() {
    let names: Vec<&str> = NetworkId::all().map(NetworkId::name).collect();
    let calls: Vec<String> = NetworkId::all()
        .flat_map(|n| n.description().calls)
        .flat_map(|c| [c.name.to_owned(), format!("{} {}", c.method.as_str(), c.url)])
        .collect();
    let call = prop_oneof![prop::sample::select(calls), ".{0,30}"];
    let context = vec(
        (prop::sample::select(vec!["expires_at", "refresh_expires_at", "scopes", "external_id"]), odd()),
        0..4,
    );
    let inputs = (prop::sample::select(names), call, odd(), vec((".{0,12}", odd()), 0..3), odd(), context);
    let checked = runner(512).run(&inputs, |(network, call, status, headers, body, context)| {
        let headers: Map<String, Value> = headers.into_iter().collect();
        let context: Map<String, Value> = context.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        let payload =
            json!({"network": network, "call": call, "http_status": status, "headers": headers, "body": body, "context": context});
        let payload: Payload = serde_json::from_value(payload).expect("a payload");
        if let Ok(classified) = classify(&payload, Timestamp::now()) {
            let described = classified.describe();
            prop_assert!(described.reason.is_some() != described.cause.is_some());
        }
        Ok(())
    });
    assert!(checked.is_ok(), "{}", checked.unwrap_err());
}
