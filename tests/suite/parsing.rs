//! Lenient reading of what networks send.

use serde_json::json;
use token_exporter::model::{Expiry, Timestamp};
use token_exporter::network::Reset;
use token_exporter::network::parse::{
    Challenge, boolean, expiry, expiry_or_never, instant, integer, parse_challenges, path_matches, reset,
    same_identity,
};

fn challenge(scheme: &str, parameters: &[(&str, &str)]) -> Challenge {
    Challenge {
        scheme: scheme.into(),
        parameters: parameters.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
    }
}

#[test]
fn challenges_in_every_shape() {
    let cases: [(&str, Vec<Challenge>); 7] = [
        (
            r#"Bearer realm="a, b", error="invalid_token""#,
            vec![challenge("bearer", &[("realm", "a, b"), ("error", "invalid_token")])],
        ),
        ("Bearer error=insufficient_scope", vec![challenge("bearer", &[("error", "insufficient_scope")])]),
        (
            r#"DPoP algs="ES256", Bearer"#,
            vec![challenge("dpop", &[("algs", "ES256")]), challenge("bearer", &[])],
        ),
        (
            r#"Basic realm=x, Bearer realm="y", error = "invalid_token""#,
            vec![
                challenge("basic", &[("realm", "x")]),
                challenge("bearer", &[("realm", "y"), ("error", "invalid_token")]),
            ],
        ),
        (r#"OAuth "Facebook Platform" "invalid_token" "text""#, vec![challenge("oauth", &[])]),
        (
            r#"Bearer error_description="say \"no\"""#,
            vec![challenge("bearer", &[("error_description", "say \"no\"")])],
        ),
        ("", vec![]),
    ];
    for (text, expected) in cases {
        assert_eq!(parse_challenges(text), expected, "{text}");
    }
}

#[test]
fn resets_in_every_shape() {
    let at = |s| Timestamp::from_unix(s).map(Reset::At);
    assert_eq!(reset("1795000000"), at(1_795_000_000));
    assert_eq!(reset("1795000000123"), at(1_795_000_000));
    assert_eq!(reset("67150"), Some(Reset::After(67_150)));
    assert_eq!(reset("0.2"), Some(Reset::After(1)));
    assert_eq!(reset("2026-11-22T12:00:00.000Z"), at(1_795_348_800));
    assert_eq!(reset("Sun, 22 Nov 2026 12:00:00 GMT"), at(1_795_348_800));
    assert_eq!(reset("soon"), None);
    assert_eq!(reset("-5"), None);
}

#[test]
fn numbers_are_forgiven() {
    assert_eq!(integer(&json!("3599")), Some(3599));
    assert_eq!(instant(&json!(1_795_000_000_123_i64)), Timestamp::from_unix(1_795_000_000));
    for nonsense in [json!(1e300), json!("1e300"), json!(i64::MAX), json!("9223372036854775807")] {
        assert_eq!(instant(&nonsense), None, "{nonsense}");
    }
    assert_eq!(expiry_or_never(&json!("0")), Expiry::Never);
    assert_eq!(expiry(&json!(0)), Expiry::Unknown);
    assert_eq!(boolean(&json!("true")), Some(true));
}

#[test]
fn identities_are_compared_with_care() {
    let told = vec!["urn:li:organization:123".to_owned(), "acme".to_owned()];
    assert_eq!(same_identity(Some("123"), &told), Some(true));
    assert_eq!(same_identity(Some("@ACME"), &told), Some(true));
    assert_eq!(same_identity(Some("124"), &told), Some(false));
    assert_eq!(same_identity(Some("acme-old-name"), &told), None);
    assert_eq!(same_identity(None, &told), None);
}

#[test]
fn patterns_match_whole_paths() {
    assert!(path_matches("/{version}/me/accounts", "/v27.0/me/accounts"));
    assert!(!path_matches("/{version}/me", "/v27.0/me/accounts"));
    assert!(path_matches("/v1/locations/{id}:check", "/v1/locations/7:check"));
    assert!(!path_matches("/v1/{id}", "/v1/"));
}
