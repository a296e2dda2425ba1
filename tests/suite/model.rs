//! Times and secrets.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::Value;
use std::time::Duration;
use token_exporter::model::{Secret, Timestamp, format_duration, parse_duration, parse_offset};

#[test]
fn durations_follow_prometheus() {
    for (text, seconds) in [
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5_400),
        ("10d", 864_000),
        ("0s", 0),
        ("90s", 90),
        ("2w", 1_209_600),
    ] {
        assert_eq!(parse_duration(text), Some(Duration::from_secs(seconds)), "{text}");
    }
    assert_eq!(parse_duration("1500ms"), Some(Duration::from_millis(1500)));
    for text in ["", "10", "1.5h", "30m1h", "1d1d", "1M", "-1s", "h", "1us", " 1s", "99999999999999y"] {
        assert_eq!(parse_duration(text), None, "{text:?}");
    }
}

#[test]
fn durations_are_written_as_they_are_read() {
    for text in ["30s", "5m", "1h30m", "10d", "1m30s", "2w", "250ms", "1y"] {
        assert_eq!(parse_duration(text).map(format_duration).as_deref(), Some(text));
    }
}

#[test]
fn instants_are_lenient_in_and_strict_out() {
    assert_eq!(Timestamp::from_unix(0), None);
    assert_eq!(Timestamp::from_unix(-1), None);
    assert_eq!(Timestamp::parse("2027-01-31T00:00:00Z").map(Timestamp::unix), Some(1_801_353_600));
    assert_eq!(Timestamp::parse("1801353600.9").map(Timestamp::unix), Some(1_801_353_600));
    assert_eq!(Timestamp::parse("9999-12-31T00:00:00Z").map(Timestamp::unix), Some(i64::from(u32::MAX)));
    assert_eq!(Timestamp::parse("tomorrow"), None);
    assert_eq!(
        Timestamp::from_unix(1_801_353_600).map(|t| t.to_string()).as_deref(),
        Some("2027-01-31T00:00:00Z")
    );
}

#[test]
fn offsets_are_read_strictly() {
    for (text, seconds) in
        [("+00:00", 0), ("-00:00", 0), ("+02:00", 7_200), ("-03:30", -12_600), ("+14:00", 50_400)]
    {
        assert_eq!(parse_offset(text).map(|o| o.local_minus_utc()), Some(seconds), "{text}");
    }
    for text in ["", "02:00", "+2:00", "+02", "+0200", "+02:60", "+15:00", "Z", "+-1:00", "+02:00 ", "é2:00"]
    {
        assert_eq!(parse_offset(text), None, "{text:?}");
    }
}

#[test]
fn nothing_shows() {
    let secret = Secret::new("sim-very-secret");
    assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "[REDACTED] Some([REDACTED])");
}

#[test]
fn only_a_signed_jwt_has_claims() {
    let segment = |json: &str| BASE64URL.encode(json);
    let jwt = format!(
        "{}.{}.c2ln",
        segment(r#"{"alg":"ES256K","typ":"at+jwt"}"#),
        segment(r#"{"exp":1795000000.5,"sub":"did:plc:sim"}"#)
    );
    let claims = Secret::new(jwt.as_str()).jwt_claims();
    assert_eq!(claims.and_then(|c| c.get("sub").cloned()), Some(Value::from("did:plc:sim")));
    for other in
        [String::new(), "ya29.a0.sim".into(), "sim-opaque".into(), format!("{jwt}.a.b"), "e30.e30.sim".into()]
    {
        assert_eq!(Secret::new(other.as_str()).jwt_claims(), None, "{other}");
    }
}

#[test]
fn proof_is_hmac_sha256() {
    // RFC 4231, test case 2.
    let proof = Secret::new("what do ya want for nothing?").hmac_sha256_hex(&Secret::new("Jefe"));
    assert_eq!(proof.reveal(), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}
