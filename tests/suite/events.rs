//! Notices of networks: signatures as the networks document them, hostile ones, and what follows from
//! them in the real program.
#![allow(clippy::print_stderr, reason = "shows what was measured")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use ring::{hmac, signature};
use serde_json::{Value, json};
use token_exporter::model::{Reason, Secret, Timestamp};
use token_exporter::network::{
    Notice, NoticeForm, NoticeKeys, NoticeRefusal, NoticeRequest, NoticeSet, Subject,
};

use crate::daemon::network;
use crate::exporter::{Exporter, LONG};
use crate::probing::simulator;
use token_exporter::simulator::{DEMO_ID, fixture_token};

const SECRET: &str = "sim-client-secret";
const CLIENT: &str = "1000000000-sim.apps.googleusercontent.com";
const ISSUER: &str = "https://accounts.google.com/";
const EVENT_TYPES: &str = "https://schemas.openid.net/secevent/";

fn form(name: &str) -> &'static NoticeForm {
    network(name).network().notices().expect("it sends notices")
}

fn read(name: &str, client_id: &str, header: Option<(&'static str, &str)>, body: &[u8]) -> Outcome {
    let headers = header.map(|(name, value)| {
        (http::HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
    });
    let secret = Secret::new(SECRET);
    let (headers, keys) = (HeaderMap::from_iter(headers), keys());
    let form = form(name);
    let secret = form.keys.is_none().then_some(&secret);
    let keys = form.keys.map(|_| &keys);
    (form.read)(&NoticeRequest { client_id, secret, keys, headers: &headers, body })
}

type Outcome = Result<NoticeSet, NoticeRefusal>;

fn key() -> RsaKeyPair {
    // Made for these tests.
    let text = include_str!("../notices/rsa.base64").replace('\n', "");
    RsaKeyPair::from_pkcs8(&STANDARD.decode(text).expect("base64")).expect("a key")
}

fn key_set() -> Value {
    let components = signature::RsaPublicKeyComponents::<Vec<u8>>::from(key().public());
    let [n, e] = [components.n, components.e].map(|number| URL_SAFE_NO_PAD.encode(number));
    json!({"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "sim-key", "n": n, "e": e}]})
}

fn keys() -> NoticeKeys {
    NoticeKeys { issuer: ISSUER.to_owned(), set: key_set() }
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn token(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", encoded(header), encoded(claims));
    let signature = sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn rsa(encoding: &'static dyn RsaEncoding) -> impl Fn(&[u8]) -> Vec<u8> {
    move |message| {
        let key = key();
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(encoding, &SystemRandom::new(), message, &mut signature).expect("signed");
        signature
    }
}

fn header() -> Value {
    json!({"alg": "RS256", "kid": "sim-key", "typ": "secevent+jwt"})
}

fn claims(event: &str, content: &Value, at: i64) -> Value {
    json!({"iss": ISSUER, "aud": CLIENT, "iat": at, "jti": format!("sim-{event}-{at}-{content}"),
        "events": {format!("{EVENT_TYPES}{event}"): content}})
}

fn hexadecimal(key: &str, message: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), message.as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn tiktok(reason: i64, at: i64) -> (String, String) {
    let content = json!({"reason": reason}).to_string();
    let body = json!({"client_key": "demo-client", "event": "authorization.removed", "create_time": at,
        "user_openid": DEMO_ID, "content": content});
    let body = body.to_string();
    (format!("t={at},s={}", hexadecimal(SECRET, &format!("{at}.{body}"))), body)
}

fn signed_request(secret: &str, payload: &Value) -> String {
    let payload = encoded(payload);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), payload.as_bytes());
    format!("signed_request={}.{payload}", URL_SAFE_NO_PAD.encode(tag))
}

fn only(outcome: Outcome) -> Notice {
    let set = outcome.expect("it is signed");
    assert_eq!(set.notices.len(), 1, "{set:?}");
    set.notices[0]
}

/// Signed by other programs (Python's hmac, OpenSSL) after the networks' documentation.
#[test]
fn known_answers() {
    let at = Timestamp::from_unix(1_796_040_000);
    let signed = "signed_request=ldzCQv9GOc8Dz4tAc58h9vUKHDyJcrJSQqSqhKL-x9U.\
                  eyJ1c2VyX2lkIjogIjUwMDAwMDEiLCAiYWxnb3JpdGhtIjogIkhNQUMtU0hBMjU2IiwgImlzc3\
                  VlZF9hdCI6IDE3OTYwNDAwMDB9";
    for name in ["facebook", "instagram", "threads"] {
        let set = read(name, "1234567890", None, signed.as_bytes()).expect("it is signed");
        let lost = Some(Reason::AccessRevoked);
        let expected = Notice { event: "signed_request", about: Subject::user("5000001"), lost };
        assert_eq!((Some(set.at), &set.notices[..]), (at, &[expected][..]), "{name}");
        assert_eq!(set.confirmation.map(|code| code.len()), Some(16));
    }
    let webhook = concat!(
        r#"{"object":"permissions","entry":[{"uid":"5000001","id":"5000001","time":1796040000,"#,
        r#""changes":[{"field":"pages_manage_posts","value":{"verb":"revoked"}}]}]}"#
    );
    let hub = "sha256=d63f88f16e725fc78f080acecf2bfac3da066e6d72b4009290ad950d05674964";
    let notice = only(read("facebook", "", Some(("x-hub-signature-256", hub)), webhook.as_bytes()));
    assert_eq!(notice, Notice { event: "permissions", about: Subject::user("5000001"), lost: None });

    for (reason, signature, lost) in [
        (1, "4898948aaa682df0b1d6c68e878ce25b56d39e46ad9667c9421c04a974ae714f", Some(Reason::AccessRevoked)),
        (
            2,
            "1f4cfd90e8901ae507a94a0ff00fbb241a4954abf3e1e1735665f31d9763acc6",
            Some(Reason::AccountDeactivated),
        ),
        (
            3,
            "2783590b5a120ec2d8c194167c6334ca18e4fc7cc4281740023e271ad5f816ad",
            Some(Reason::AccountRestricted),
        ),
        (
            4,
            "e75e4f62e14938ae78ae8b349476d182390b33ce0aaf63673fbf2e3cc03041f2",
            Some(Reason::AccountSuspended),
        ),
        (5, "3a24ca9719fcfcc33868ec16a4e594125e556bcf80529032b94e729979058c49", None),
    ] {
        let body = format!(
            concat!(
                r#"{{"client_key":"demo-client","event":"authorization.removed","create_time":1796040000,"#,
                r#""user_openid":"1000001","content":"{{\"reason\":{}}}"}}"#
            ),
            reason
        );
        let header = format!("t=1796040001,s={signature}");
        let notice =
            only(read("tiktok", "demo-client", Some(("tiktok-signature", &header)), body.as_bytes()));
        let about = Subject::user("1000001");
        assert_eq!(notice, Notice { event: "authorization.removed", about, lost }, "reason {reason}");
    }

    let google = include_str!("../notices/token-revoked.jwt");
    let [_, hash] = Secret::new("1//0sim-refresh-token-of-jane").name_hashes();
    for name in ["youtube", "google_business"] {
        let lost = Some(Reason::AccessRevoked);
        let expected = Notice { event: "token-revoked", about: Subject::Token(hash), lost };
        assert_eq!(only(read(name, CLIENT, None, google.as_bytes())), expected);
    }
}

#[test]
fn what_security_events_mean() {
    let subject = json!({"subject_type": "iss-sub", "iss": ISSUER, "sub": "7375626A656374"});
    let read_event = |event: &str, content: &Value| {
        let token = token(&header(), &claims(event, content, 1_796_040_000), rsa(&RSA_PKCS1_SHA256));
        read("youtube", CLIENT, None, token.as_bytes()).expect("it is signed").notices
    };
    let of_person = |more: Value| {
        let mut content = json!({"subject": subject});
        content.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        content
    };
    for (event, more, lost) in [
        ("oauth/event-type/tokens-revoked", json!({}), Some(Reason::AccessRevoked)),
        ("risc/event-type/account-disabled", json!({"reason": "hijacking"}), Some(Reason::AccountLocked)),
        (
            "risc/event-type/account-disabled",
            json!({"reason": "bulk-account"}),
            Some(Reason::AccountSuspended),
        ),
        ("risc/event-type/account-disabled", json!({}), None),
        ("risc/event-type/account-enabled", json!({}), None),
        ("risc/event-type/account-purged", json!({}), None),
        ("risc/event-type/sessions-revoked", json!({}), None),
        ("risc/event-type/account-credential-change-required", json!({}), None),
    ] {
        let notices = read_event(event, &of_person(more));
        let about = Subject::user("7375626A656374");
        assert_eq!(notices.iter().map(|n| (n.about, n.lost)).collect::<Vec<_>>(), [(about, lost)], "{event}");
        assert!(event.ends_with(notices[0].event));
    }
    let [prefix, _] = Secret::new("1//0sim-refresh-token-of-jane").name_hashes();
    let token = json!({"subject": {"token_type": "refresh_token", "token_identifier_alg": "prefix",
        "token": "1//0sim-refresh-"}});
    assert_eq!(read_event("oauth/event-type/token-revoked", &token)[0].about, Subject::Token(prefix));
    // Nobody is named, or somebody of another issuer.
    let stranger = json!({"subject": {"iss": "https://evil.example/", "sub": "7375626A656374"}});
    let unknown = json!({"subject": {"token_identifier_alg": "plain", "token": "1//0"}});
    for content in [json!({"state": "test"}), json!({"subject": {}}), stranger, unknown] {
        assert_eq!(read_event("oauth/event-type/tokens-revoked", &content), [], "{content}");
    }
    assert_eq!(read_event("risc/event-type/verification", &of_person(json!({"state": "test"}))), []);
}

#[test]
fn hostile_tokens_are_refused() {
    let event = claims("oauth/event-type/tokens-revoked", &json!({"subject": {"sub": "1"}}), 1_796_040_000);
    let with = |name: &str, value: Value| {
        let mut claims = event.clone();
        claims[name] = value;
        claims
    };
    let good = rsa(&RSA_PKCS1_SHA256);
    let refused = |token: &str| read("youtube", CLIENT, None, token.as_bytes()).expect_err("it is refused");
    let good_token = token(&header(), &event, &good);
    assert!(read("youtube", CLIENT, None, good_token.as_bytes()).is_ok());

    // Other algorithms, also with the public key as the secret of an HMAC.
    let public = key().public().as_ref().to_vec();
    let set = key_set();
    let modulus = set["keys"][0]["n"].as_str().expect("a number").to_owned();
    for key in [&public[..], modulus.as_bytes(), b""] {
        let sign = |m: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), m).as_ref().to_vec();
        for alg in ["HS256", "RS256"] {
            let header = json!({"alg": alg, "kid": "sim-key"});
            assert_eq!(refused(&token(&header, &event, sign)), NoticeRefusal::BadSignature, "{alg}");
        }
    }
    for alg in ["none", "None", "NONE", "", "HS512", "ES256", "EdDSA", "PS256", "RS512"] {
        let header = json!({"alg": alg, "kid": "sim-key"});
        for sign in [|_: &[u8]| Vec::new(), |_: &[u8]| vec![0; 256]] {
            assert_eq!(refused(&token(&header, &event, sign)), NoticeRefusal::BadSignature, "{alg}");
        }
        assert_eq!(refused(&token(&header, &event, &good)), NoticeRefusal::BadSignature, "{alg}");
    }
    assert_eq!(refused(&token(&header(), &event, rsa(&RSA_PKCS1_SHA512))), NoticeRefusal::BadSignature);
    assert_eq!(refused(&token(&header(), &event, rsa(&RSA_PSS_SHA256))), NoticeRefusal::BadSignature);

    // Keys that are named by the token itself do not count.
    let mut own_key = header();
    own_key["kid"] = "other".into();
    own_key["jwk"] = set["keys"][0].clone();
    own_key["jku"] = "https://evil.example/keys".into();
    assert_eq!(refused(&token(&own_key, &event, &good)), NoticeRefusal::UnknownKey);
    assert_eq!(
        refused(&token(&json!({"alg": "RS256"}), &event, &good)),
        NoticeRefusal::BadSignature,
        "no kid"
    );

    // Changed, truncated or long.
    let parts: Vec<&str> = good_token.split('.').collect();
    let changed = format!("{}.{}.{}", parts[0], encoded(&with("jti", "other".into())), parts[2]);
    for token in [
        changed,
        good_token[..good_token.len() - 1].to_owned(),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{good_token}.{good_token}"),
        ".".repeat(3),
        String::new(),
        "a".repeat(65_536),
        format!("{}.{}.{}", "e".repeat(20_000), "e".repeat(20_000), "e".repeat(20_000)),
    ] {
        assert_eq!(refused(&token), NoticeRefusal::BadSignature, "{}", token.len());
    }
    for length in 0..good_token.len() {
        refused(&good_token[..length]);
    }

    // For others, or no security event: an ID token is signed by the same keys.
    let signed = |claims: &Value| token(&header(), claims, &good);
    for claims in [
        with("aud", "other.apps.googleusercontent.com".into()),
        with("aud", json!([])),
        with("aud", Value::Null),
        with("iss", "https://accounts.google.com".into()),
        with("iss", Value::Null),
    ] {
        assert_eq!(refused(&signed(&claims)), NoticeRefusal::OtherApp, "{claims}");
    }
    assert!(read("youtube", CLIENT, None, signed(&with("aud", json!(["x", CLIENT]))).as_bytes()).is_ok());
    let nobody = read("youtube", "", None, signed(&with("aud", "".into())).as_bytes());
    assert_eq!(nobody, Err(NoticeRefusal::OtherApp), "an app without a client id");
    for claims in [
        with("events", Value::Null),
        with("events", json!({})),
        with("jti", Value::Null),
        with("iat", Value::Null),
    ] {
        assert_eq!(refused(&signed(&claims)), NoticeRefusal::Malformed, "{claims}");
    }
}

#[test]
fn hostile_requests_to_meta_and_tiktok_are_refused() {
    let payload = json!({"algorithm": "HMAC-SHA256", "issued_at": 1_796_040_000, "user_id": "5000001"});
    let with = |name: &str, value: Value| {
        let mut payload = payload.clone();
        payload[name] = value;
        signed_request(SECRET, &payload)
    };
    let facebook = |body: &str| read("facebook", "1234567890", None, body.as_bytes());
    let good = signed_request(SECRET, &payload);
    assert!(facebook(&good).is_ok());
    let (tag, rest) = good.split_once('.').expect("two parts");
    for body in [
        signed_request("other", &payload),
        signed_request("", &payload),
        with("algorithm", "none".into()),
        with("algorithm", Value::Null),
        format!("signed_request=.{rest}"),
        format!("{tag}."),
        format!("{}.{rest}", &tag[..tag.len() - 2]),
        format!("{good}A"),
        "signed_request=".to_owned(),
        String::new(),
        "a".repeat(65_536),
    ] {
        assert_eq!(facebook(&body), Err(NoticeRefusal::BadSignature), "{}", &body[..body.len().min(99)]);
    }
    for body in
        [with("user_id", Value::Null), with("issued_at", Value::Null), signed_request(SECRET, &json!(1))]
    {
        let refusal = facebook(&body).expect_err("it is refused");
        assert!(matches!(refusal, NoticeRefusal::Malformed | NoticeRefusal::BadSignature));
    }
    // The encoding of the signature does not make another notice of it.
    assert_eq!(facebook(&good).expect("ok").id, facebook(&format!("x=1&{good}&y=2")).expect("ok").id);

    let hub = |secret: &str, body: &str| {
        let value = format!("sha256={}", hexadecimal(secret, body));
        read("threads", "", Some(("x-hub-signature-256", &value)), body.as_bytes())
    };
    let entry = r#"{"object":"page","entry":[{"id":"1","time":1796040000}]}"#;
    assert_eq!(hub(SECRET, entry).expect("another topic").notices, []);
    assert_eq!(hub("other", entry), Err(NoticeRefusal::BadSignature));
    for body in ["", "{}", "[]", r#"{"entry":1}"#, r#"{"entry":[]}"#] {
        assert_eq!(hub(SECRET, body), Err(NoticeRefusal::Malformed), "{body}");
    }
    for value in ["", "sha256=", "sha256=zz", "sha256=d6", "sha1=00"] {
        let refused = read("facebook", "", Some(("x-hub-signature-256", value)), good.as_bytes());
        assert_eq!(refused, Err(NoticeRefusal::BadSignature), "{value}");
    }

    let (header, body) = tiktok(1, 1_796_040_000);
    let ask = |client: &str, header: &str, body: &str| {
        read("tiktok", client, Some(("tiktok-signature", header)), body.as_bytes())
    };
    assert!(ask("demo-client", &header, &body).is_ok());
    assert_eq!(ask("other", &header, &body), Err(NoticeRefusal::OtherApp));
    for header in ["", "t=1", "s=00", "t=,s=", &header.replace("t=1", "t=2"), &header[..header.len() - 2]] {
        assert_eq!(ask("demo-client", header, &body), Err(NoticeRefusal::BadSignature), "{header}");
    }
    assert_eq!(ask("demo-client", &header, &format!("{body} ")), Err(NoticeRefusal::BadSignature));
}

/// The status and the rest of an answer.
fn send(address: &str, first: &str, lines: &[&str], body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(LONG)).expect("set");
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    // A server that refuses a body may close before it has read all of it.
    let _ = write!(
        stream,
        "{first} HTTP/1.1\r\nhost: test\r\n{lines}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("{answer:?}")), answer)
}

struct World {
    folder: tempfile::TempDir,
    simulator: std::sync::Arc<token_exporter::simulator::Simulator>,
    networks: std::net::SocketAddr,
}

/// A login at TikTok, one at Facebook with three pages, and one at YouTube.
async fn world() -> World {
    let (simulator, networks) = simulator().await;
    let folder = tempfile::tempdir().expect("a folder");
    let youtube = fixture_token(network("youtube"), "valid", DEMO_ID);
    let file = json!({"access_token": youtube, "refresh_token": "1//0sim-refresh-token-of-jane"});
    std::fs::write(folder.path().join("token"), file.to_string()).expect("written");
    let (tiktok, facebook) = (
        fixture_token(network("tiktok"), "valid", DEMO_ID),
        fixture_token(network("facebook"), "many-pages", DEMO_ID),
    );
    let pages: String = (0..3)
        .map(|i| {
            let id = 1_000_001 + i;
            format!("  - {{id: page-{i}, network: facebook, credential: jane, external_id: \"{id}\"}}\n")
        })
        .collect();
    let app = |id: &str, client: &str, rest: &str| {
        let base = format!("http://{networks}/{id}");
        format!("  - {{id: {id}, network: {id}, client_id: \"{client}\", base_url: \"{base}\"{rest}}}\n")
    };
    let secret = format!(", client_secret: {SECRET}");
    let apps = [
        app("tiktok", "demo-client", &secret),
        app("facebook", "1234567890", &secret),
        app("youtube", CLIENT, ""),
        app("linkedin", "key", &secret),
    ]
    .concat();
    let yaml = format!(
        "global: {{probe_interval: 1h}}\napps:\n{apps}credentials:\n  - {{id: jane, network: facebook, token: \
         \"{facebook}\"}}\naccounts:\n  - {{id: banned, network: tiktok, token: \"{tiktok}\", external_id: \
         \"{DEMO_ID}\"}}\n  - {{id: channel, network: youtube, token_file: token, external_id: \
         \"{DEMO_ID}\"}}\n{pages}"
    );
    std::fs::write(folder.path().join("config.yaml"), yaml).expect("written");
    World { folder, simulator, networks }
}

/// The reasons of an account's series of `connection_valid` and their values.
fn verdict(exporter: &Exporter, account: &str) -> Option<String> {
    let text = exporter.get("/metrics")?;
    let start = format!("connection_valid{{account=\"{account}\"");
    let line = text.lines().find(|line| line.starts_with(&start))?;
    Some(line.split_once("reason=\"")?.1.replace("\"}", "").trim_end_matches(".0").to_owned())
}

fn counted(exporter: &Exporter, network: &str, result: &str) -> String {
    let text = exporter.get("/metrics").expect("metrics");
    let start = format!("token_exporter_events_total{{network=\"{network}\",result=\"{result}\"}} ");
    text.lines()
        .find_map(|line| line.strip_prefix(&start))
        .unwrap_or_default()
        .trim_end_matches(".0")
        .to_owned()
}

fn valid(exporter: &Exporter, account: &str) {
    exporter.wait_for(account, || (verdict(exporter, account)? == "ok 1").then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_notice_counts_within_a_second_and_survives_a_kill() {
    let world = world().await;
    let start = || Exporter::start(world.folder.path(), |_| {});
    let exporter = start();
    valid(&exporter, "banned");
    let address = exporter.listens().expect("it listens");
    world.simulator.play(DEMO_ID, Some("access-revoked"));
    let (header, body) = tiktok(4, Timestamp::now().unix());
    let header = format!("tiktok-signature: {header}");
    let begin = Instant::now();
    assert_eq!(send(&address, "POST /events/tiktok", &[&header], &body).0, 200);
    exporter.wait_for("the ban", || (verdict(&exporter, "banned")? == "account_suspended 0").then_some(()));
    eprintln!("from the notice to connection_valid 0: {:?}", begin.elapsed());
    assert_eq!(counted(&exporter, "tiktok", "applied"), "1");
    // Once more, as TikTok does for three days.
    assert_eq!(send(&address, "POST /events/tiktok", &[&header], &body).0, 200);
    assert_eq!(counted(&exporter, "tiktok", "repeated"), "1");
    let log = exporter.log();
    let line = log.lines().find(|line| line.contains("verdict changed") && line.contains("account=banned"));
    let changed = log.lines().filter(|line| line.contains("account=banned") && line.contains("by=event"));
    assert_eq!(changed.count(), 1, "{line:?}");
    assert!(!log.contains("authorization.removed\\\""), "the body is not logged");
    let json = exporter.get("/api/v1/connections/banned").expect("an answer");
    assert!(json.contains(r#""notice":{"event":"authorization.removed","at":"#), "{json}");
    let page = exporter.get("/account?id=banned").expect("a page");
    assert!(page.contains("Notice of the network") && page.contains("read as account suspended"), "{page}");

    exporter.kill();
    drop(exporter);
    let exporter = start();
    exporter.wait_for("what was known", || {
        (verdict(&exporter, "banned")? == "account_suspended 0").then_some(())
    });
    let json = exporter.get("/api/v1/connections/banned").expect("an answer");
    assert!(json.contains("authorization.removed"), "{json}");
    // The person is still known, so that another notice finds the login.
    let (header, body) = tiktok(1, Timestamp::now().unix());
    let address = exporter.listens().expect("it listens");
    assert_eq!(
        send(&address, "POST /events/tiktok", &[&format!("tiktok-signature: {header}")], &body).0,
        200
    );
    exporter.wait_for("the reason", || (verdict(&exporter, "banned")? == "access_revoked 0").then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_with_pages_is_deauthorized_in_one_step() {
    let world = world().await;
    let exporter = Exporter::start(world.folder.path(), |_| {});
    for page in ["page-0", "page-1", "page-2"] {
        valid(&exporter, page);
    }
    let address = exporter.listens().expect("it listens");
    let now = Timestamp::now().unix();
    let payload = |user: &str, at: i64| {
        signed_request(SECRET, &json!({"algorithm": "HMAC-SHA256", "issued_at": at, "user_id": user}))
    };
    let post = |body: &str| {
        send(&address, "POST /events/facebook", &["content-type: application/x-www-form-urlencoded"], body)
    };
    assert_eq!(post(&payload("somebody else", now)).0, 200);
    assert_eq!(counted(&exporter, "facebook", "unknown_login"), "1");
    for (at, name) in [(now + 310, "the future"), (now - 73 * 3600, "old")] {
        assert_eq!(post(&payload("5000001", at)).0, 400, "{name}");
    }
    assert_eq!(counted(&exporter, "facebook", "outdated"), "2");
    // Written before the last probe that worked: only a probe is due.
    assert_eq!(post(&payload("5000001", now - 3600)).0, 200);
    assert_eq!(counted(&exporter, "facebook", "probe_due"), "1");
    assert_eq!(post(&payload("5000001", now).replace('e', "f")).0, 401);
    assert_eq!(counted(&exporter, "facebook", "bad_signature"), "1");

    world.simulator.play(DEMO_ID, Some("app-removed"));
    let (status, answer) = post(&payload("5000001", Timestamp::now().unix()));
    assert_eq!(status, 200);
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    let answer: Value = serde_json::from_str(body).expect("JSON");
    let code = answer["confirmation_code"].as_str().expect("a code");
    assert_eq!(answer["url"], format!("https://test/events/facebook?confirmation_code={code}"));
    let page = send(&address, &format!("GET /events/facebook?confirmation_code={code}"), &[], "");
    assert!(page.0 == 200 && page.1.contains("no data"), "{page:?}");
    exporter.wait_for("the loss", || {
        let text = exporter.get("/metrics")?;
        let of_pages = text.lines().filter(|line| line.starts_with("connection_valid{account=\"page-"));
        let lost = of_pages.filter(|line| line.contains("reason=\"access_revoked\"} 0")).count();
        assert!(lost == 0 || lost == 3, "half of a login is lost");
        (lost == 3).then_some(())
    });
    // The handshake of webhooks.
    let verify = hexadecimal(SECRET, "token_exporter");
    let hub = |token: &str, challenge: &str| {
        let query = format!("hub.mode=subscribe&hub.challenge={challenge}&hub.verify_token={token}");
        send(&address, &format!("GET /events/facebook?{query}"), &[], "")
    };
    let (status, answer) = hub(&verify, "1158201444");
    assert!(status == 200 && answer.ends_with("\r\n\r\n1158201444"), "{answer}");
    for (token, challenge) in [("", "1"), ("abcd", "1"), (&*verify, "%3Cscript%3E"), (&*verify, "")] {
        let status = hub(token, challenge).0;
        assert!(status == 403 || challenge.is_empty(), "{token} {challenge}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_refresh_token_is_found_by_its_prefix() {
    let world = world().await;
    let networks = world.networks;
    let configuration = json!({"issuer": ISSUER, "jwks_uri": format!("http://{networks}/oauth2/v3/certs")});
    world.simulator.publish("/youtube/.well-known/risc-configuration", configuration.to_string());
    let exporter = Exporter::start(world.folder.path(), |_| {});
    valid(&exporter, "channel");
    let address = exporter.listens().expect("it listens");
    let post = |token: &str| {
        let lines = ["content-type: application/secevent+jwt"];
        // Within the rate limit.
        exporter.wait_for("room", || {
            Some(send(&address, "POST /events/youtube", &lines, token)).filter(|(status, _)| *status != 429)
        })
    };
    let sign = |claims: &Value| token(&header(), claims, rsa(&RSA_PKCS1_SHA256));
    let now = Timestamp::now().unix();
    let subject = |alg: &str, token: &str| {
        json!({"subject": {"subject_type": "oauth_token", "token_type": "refresh_token",
            "token_identifier_alg": alg, "token": token}})
    };
    let revoked = claims("oauth/event-type/token-revoked", &subject("prefix", "1//0sim-refresh-"), now);
    assert_eq!(post(&sign(&revoked)).0, 503, "the keys are not there yet");
    world.simulator.publish("/youtube/oauth2/v3/certs", key_set().to_string());
    // After a failure the keys are fetched again ten seconds later.
    let test = claims("risc/event-type/verification", &json!({"state": "test"}), now);
    exporter.wait_for("the keys", || (post(&sign(&test)).0 == 202).then_some(()));
    assert_eq!(counted(&exporter, "youtube", "ignored"), "1");
    let other = claims("oauth/event-type/token-revoked", &subject("prefix", "1//0sim-somebody"), now);
    assert_eq!(post(&sign(&other)).0, 202);
    assert_eq!(counted(&exporter, "youtube", "unknown_login"), "1");
    let mut foreign = revoked.clone();
    foreign["aud"] = "other".into();
    assert_eq!(post(&sign(&foreign)).0, 401);
    assert_eq!(counted(&exporter, "youtube", "other_app"), "1");
    let exchanges = world.simulator.exchanges();
    let unknown = token(&json!({"alg": "RS256", "kid": "unknown"}), &revoked, rsa(&RSA_PKCS1_SHA256));
    for _ in 0..20 {
        assert_eq!(post(&unknown).0, 401);
    }
    assert!(world.simulator.exchanges() <= exchanges + 4, "unknown keys fetch the keys once a minute");
    assert_eq!(verdict(&exporter, "channel").as_deref(), Some("ok 1"));

    world.simulator.play(DEMO_ID, Some("access-revoked"));
    assert_eq!(post(&sign(&revoked)).0, 202);
    exporter.wait_for("the loss", || (verdict(&exporter, "channel")? == "access_revoked 0").then_some(()));
    assert_eq!(counted(&exporter, "youtube", "applied"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_path_answers_nothing_else_and_asks_for_no_password() {
    let world = world().await;
    let web = world.folder.path().join("web.yml");
    let hash = "$2y$04$2UXri9cIDdgeKjBo4Rlpx.U3ZLDV8X1IxKmsfOvhcM5oXQt/mLmXq";
    std::fs::write(&web, format!("basic_auth_users: {{prometheus: {hash}}}\n")).expect("written");
    let apart = |more: &[&str]| {
        Exporter::start(world.folder.path(), |command| {
            command.arg("--web.config.file").arg(&web).args(more);
        })
    };
    let now = Timestamp::now().unix();
    let exporter = apart(&[]);
    let address = exporter.wait_for("it listens", || exporter.listens());
    assert_eq!(send(&address, "GET /metrics", &[], "").0, 401, "a password");
    let (header, body) = tiktok(5, now);
    let header = format!("tiktok-signature: {header}");
    let foreign = ["sec-fetch-site: cross-site", &header];
    assert_eq!(send(&address, "POST /events/tiktok", &foreign, &body).0, 200);
    let unknown = send(&address, "POST /events/nobody", &[&header], &body);
    assert_eq!(unknown.0, 404);
    let without_date = |answer: &str| {
        let lines = answer.lines().filter(|line| !line.to_lowercase().starts_with("date:"));
        lines.collect::<Vec<_>>().join("\n")
    };
    let linkedin = send(&address, "POST /events/linkedin", &[&header], &body);
    assert_eq!(without_date(&linkedin.1), without_date(&unknown.1), "a network without notices");
    for (first, status) in [
        ("GET /events/tiktok", 405),
        ("PUT /events/tiktok", 405),
        ("DELETE /events/facebook", 405),
        ("HEAD /events/tiktok", 405),
        ("POST /events/", 404),
        ("POST /events/tiktok/", 404),
        ("POST /events/../metrics", 404),
        ("POST /events/%ff", 404),
        ("POST /events/tiktok", 401),
    ] {
        let (found, answer) = send(&address, first, &[], "");
        assert!(found == status || found == 401 && status == 404, "{first}: {answer}");
    }
    let large = "a".repeat(65_537);
    assert_eq!(send(&address, "POST /events/tiktok", &[&header], &large).0, 413);
    drop(exporter);

    let exporter = apart(&["--events.listen-address", "127.0.0.1:0", "--web.route-prefix", "/social"]);
    let addresses = exporter.wait_for("it listens", || {
        let log = exporter.log();
        let found = log.lines().filter_map(|line| line.split_once("message=listening address="));
        let found: Vec<String> = found.map(|(_, address)| address.trim().to_owned()).collect();
        (found.len() == 2).then_some(found)
    });
    let [main, events] = &addresses[..] else { panic!("two addresses") };
    let (header, body) = tiktok(5, now - 1);
    let header = format!("tiktok-signature: {header}");
    assert_eq!(send(main, "POST /social/events/tiktok", &[&header], &body).0, 401, "not here: a password");
    for path in ["/events/tiktok", "/social/events/tiktok"] {
        assert_eq!(send(events, &format!("POST {path}"), &[&header], &body).0, 200);
    }
    for path in
        ["/", "/metrics", "/social/metrics", "/-/healthy", "/api/v1/connections", "/probe?account=banned"]
    {
        assert_eq!(send(events, &format!("GET {path}"), &[], "").0, 404, "{path}");
    }
    // A flood is refused with the time of the next try, and other listeners do not notice.
    let mut limited = 0;
    for _ in 0..600 {
        let (status, answer) = send(events, "POST /events/tiktok", &[], "");
        assert!(matches!(status, 401 | 429), "{answer}");
        limited += usize::from(status == 429 && answer.contains("retry-after"));
    }
    eprintln!("{limited} of 600 notices are refused by the rate limit");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_shard_takes_a_notice_for_all() {
    let world = world().await;
    // Free ports: each shard must know the others' before they start.
    let free: Vec<_> =
        (0..3).map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("loopback")).collect();
    let addresses: Vec<String> =
        free.iter().map(|listener| listener.local_addr().expect("an address").to_string()).collect();
    drop(free);
    let folders: Vec<_> = addresses.iter().map(|_| tempfile::tempdir().expect("a folder")).collect();
    let start = |(shard, folder): (usize, &tempfile::TempDir)| {
        for file in ["config.yaml", "token"] {
            std::fs::copy(world.folder.path().join(file), folder.path().join(file)).expect("copied");
        }
        Exporter::start(folder.path(), |command| {
            command.args(["--web.listen-address", &addresses[shard], "--total-shards", "3"]);
            command.args(["--shard", &shard.to_string(), "--events.listen-address", "127.0.0.1:0"]);
            for address in &addresses {
                command.arg("--shard.peers").arg(format!("http://{address}"));
            }
        })
    };
    let shards: Vec<Exporter> = folders.iter().enumerate().map(start).collect();
    let holds = |shard: &&Exporter| verdict(shard, "banned").is_some_and(|verdict| verdict == "ok 1");
    let holder = shards[0].wait_for("a shard with the login", || shards.iter().position(|s| holds(&s)));
    let other = (holder + 1) % 3;
    let events = shards[other].wait_for("it listens", || {
        let log = shards[other].log();
        let found = log.lines().filter_map(|line| line.split_once("message=listening address="));
        found.map(|(_, address)| address.trim().to_owned()).nth(2)
    });
    let post = |reason: i64| {
        let (header, body) = tiktok(reason, Timestamp::now().unix());
        send(&events, "POST /events/tiktok", &[&format!("tiktok-signature: {header}")], &body).0
    };
    for shard in &shards {
        shard.wait_for("it answers", || shard.get("/-/ready").filter(|answer| answer.contains(" 200 ")));
    }
    assert_eq!(post(4), 200);
    shards[holder]
        .wait_for("the ban", || (verdict(&shards[holder], "banned")? == "account_suspended 0").then_some(()));
    assert_eq!(counted(&shards[other], "tiktok", "unknown_login"), "1");
    assert_eq!(counted(&shards[holder], "tiktok", "applied"), "1");
    // The network sends it again if a shard cannot be reached.
    shards[holder].kill();
    shards[holder].end();
    assert_eq!(post(1), 503);
}
