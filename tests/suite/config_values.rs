//! How single values of configuration files are read, and quoted in messages.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use token_exporter::config::{Config, Position, Problems, load, read_web_file};

fn read<T>(text: &str, read: impl FnOnce(&Path) -> T) -> T {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    read(file.path())
}

fn config(text: &str) -> Result<Config, Problems> {
    read(text, |path| load(&[path.to_owned()]))
}

/// The message about the only problem of a configuration.
fn message(text: &str) -> String {
    let problems = config(text).expect_err(text);
    assert_eq!(problems.list.len(), 1, "{problems}");
    problems.list[0].message.clone()
}

/// The message about an account of this network.
fn about_network(network: &str) -> String {
    message(&format!("accounts: [{{id: a, token: sim-a, network: {network:?}}}]\n"))
}

#[test]
fn near_misses_are_found() {
    for (text, near) in [
        ("mastadon", Some("mastodon")),
        ("Facebook", Some("facebook")),
        ("facebok", Some("facebook")),
        ("tiktko", Some("tiktok")),
        ("orkut", None),
        ("y", None),
        ("", None),
    ] {
        let message = about_network(text);
        let found = message.split_once("did you mean \"").and_then(|(_, rest)| rest.split_once("\"?"));
        assert_eq!(found.map(|(near, _)| near), near, "{message}");
    }
}

#[test]
fn what_looks_like_a_token_is_not_shown() {
    for secret in [
        "EAABwzLixnjYBO0",
        "secrets/EAABwzLixnjYBO0",
        "Bearer ya29.a0AfH6SM",
        "token:EAABwzLixnjYBO0",
        "eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
        "sim-abc",
        "AQXdSP_W41_UPs5ioT_t8HESyODB4FqbkJ8LrV_5mff4gPODzOYR",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "xoxb-2444333222-aBc",
    ] {
        let message = about_network(secret);
        assert!(message.starts_with("a text that looks like a secret (not shown) is not known"), "{message}");
        assert!(!message.contains(secret));
    }
    for name in [
        "jane-facebook",
        "acme-page-germany-2024",
        "mastadon",
        "17841400000000000",
        "10 days",
        "/etc/token_exporter/accounts.d",
    ] {
        let message = about_network(name);
        assert!(message.starts_with(&format!("{name:?} is not known")), "{message}");
    }
    let message = about_network(&"ab ".repeat(30));
    let (quoted, _) = message.split_once(" is not known").expect(&message);
    assert_eq!(quoted.chars().count(), 40 + 3, "shortened");
    let problems = config("{token:hunter2: x}").expect_err("no such key");
    assert!(
        problems.to_string().contains(": (not shown): a blank is missing after the colon of token"),
        "{problems}"
    );
    assert!(!problems.to_string().contains("hunter2"));
}

#[test]
fn durations_of_the_web_configuration_follow_go() {
    let interval = |text: &str| {
        let yaml = format!("rate_limit: {{interval: {text:?}, burst: 1}}\n");
        let (file, problems) = read(&yaml, read_web_file);
        problems.list.is_empty().then(|| file.rate_limit.map_or(Duration::ZERO, |limit| limit.interval))
    };
    for (text, millis) in [
        ("0", 0),
        ("1s", 1000),
        ("1.5s", 1500),
        ("1h30m", 5_400_000),
        ("250us", 0),
        ("1m1m", 120_000),
        (".5s", 500),
        ("0s", 0),
    ] {
        assert_eq!(interval(text).map(|d| d.as_millis()), Some(millis), "{text}");
    }
    for text in ["", "1", "-1s", "1d", "s", "1..5s", "1 s", "1e3s", "+1s", "99999999999999999999h"] {
        assert_eq!(interval(text), None, "{text:?}");
    }
}

#[test]
fn scalars_are_what_was_written() {
    for (text, found) in [
        ("0123", Some("0123")),
        ("1e5", Some("1e5")),
        ("'~'", Some("~")),
        ("!!str ~", Some("~")),
        ("~", None),
        ("NULL", None),
        ("NO", Some("NO")),
    ] {
        let account = format!("{{id: a, network: mastodon, token: sim-a, external_id: {text}}}");
        let config = config(&format!("accounts: [{account}]\n")).expect(text);
        let account = config.table.accounts().next().expect("an account");
        assert_eq!(account.external_id(), found.unwrap_or(""), "{text}");
    }
}

#[test]
fn columns_count_characters() {
    let problems =
        config("\u{feff}# ä\näö: {ü: x}\nglobal: {ü: x, notify: [ä, ß]}\n").expect_err("unknown keys");
    let places: Vec<_> = problems.list.iter().filter_map(|problem| problem.at).collect();
    let at = |line, column| Position { line, column };
    assert_eq!(places, [at(2, 1), at(3, 10), at(3, 25), at(3, 28)], "{problems}");
}

proptest! {
    /// Any text leads to a configuration or to problems.
    #[test]
    fn no_text_causes_a_panic(parts in prop::collection::vec(prop::sample::select(vec![
        "a", ": ", "- ", "\n", "\n  ", "\t", "[", "]", "{", "}", ", ", "&a ", "*a", "'", "\"", "\\",
        "|", ">", "? ", "!!str ", "!", "%", "---", "...", "<<", "#", "~", "ä", "\r", "\0", ":", "-",
    ]), 0..60)) {
        let _ = config(&parts.concat());
        let _ = read(&parts.concat(), read_web_file);
    }
}
