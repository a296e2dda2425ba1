//! State on disk: what comes back after a restart, and what happens to files that cannot be read.

use std::path::Path;

use token_exporter::network::{Certainty, Clocks, Finding, Verdict};
use token_exporter::reason::{Capability, Cause, Reason};
use token_exporter::snapshot::{restore, write};
use token_exporter::store::{Outcome, Snapshot, Store};
use token_exporter::time::{Expiry, Timestamp};

use crate::exposition::roster;

const YAML: &str = "apps: [{id: app, network: facebook, client_id: \"1\", client_secret: sim-client-secret}]\n\
                    credentials:\n\
                    \x20 - {id: jane, network: facebook, token: sim-jane}\n\
                    \x20 - {id: john, network: facebook, token: sim-john}\n\
                    accounts:\n\
                    \x20 - {id: a, network: facebook, credential: jane, needs: [publish, inbox]}\n\
                    \x20 - {id: b, network: facebook, credential: jane}\n\
                    \x20 - {id: c, network: facebook, credential: john}\n";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(1_800_000_000 + seconds).expect("in range")
}

/// A store in which something of each kind is known.
fn store() -> Store {
    let store = Store::default();
    store.replace_roster(roster(YAML));
    let finding = |verdict, capabilities: &[(Capability, Reason)]| Finding {
        verdict,
        capabilities: capabilities.to_vec(),
        scopes: vec![("pages_manage_posts", true), ("pages_messaging", false)],
    };
    let clocks = Clocks { access: Expiry::At(at(5000)), refresh: Expiry::Never, data_access: Expiry::Unknown, issued: Some(at(-9)) };
    let valid = finding(Verdict::Valid, &[(Capability::Publish, Reason::Ok), (Capability::Inbox, Reason::MissingRole)]);
    let gone = finding(Verdict::Invalid(Reason::NotAdmin, Certainty::Plain), &[(Capability::Publish, Reason::NotAdmin)]);
    store.apply(0, &Outcome { at: at(0), findings: vec![valid, gone], clocks: Some(clocks), limits: vec![] }).expect("applied");
    let maybe = finding(Verdict::Invalid(Reason::TokenInvalid, Certainty::Ambiguous), &[]);
    store.apply(1, &Outcome { at: at(1), findings: vec![maybe], clocks: None, limits: vec![] }).expect("applied");
    store.apply(1, &Outcome::undetermined(Cause::Timeout, 1, at(2))).expect("applied");
    store
}

fn shown(snapshot: &Snapshot) -> String {
    let credentials = snapshot.credentials.iter().map(|c| format!("{:?} {:?} {} {}\n", c.clocks, c.last_probe, c.failures, c.deaths));
    let accounts = snapshot.accounts.iter().map(|a| format!("{a:?}\n"));
    accounts.chain(credentials).collect()
}

fn files(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).expect("a folder").map(|f| f.expect("a file").file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names
}

#[test]
fn everything_known_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let before = store().snapshot();
    write(folder.path(), &before).expect("written");
    let after = Store::default();
    after.replace_roster(roster(YAML));
    restore(folder.path(), &after);
    assert_eq!(shown(&after.snapshot()), shown(&before));
    assert_eq!(files(folder.path()), ["state.jsonl"]);
    let text = std::fs::read_to_string(folder.path().join("state.jsonl")).expect("text");
    assert!(!text.contains("sim-"), "{text}");

    // Who has gone is forgotten, who is new begins anew.
    let other = Store::default();
    other.replace_roster(roster(&YAML.replace("id: b,", "id: new,")));
    restore(folder.path(), &other);
    let other = other.snapshot();
    assert_eq!(other.accounts.get(0), before.accounts.get(0));
    assert_eq!(other.accounts.get(1).and_then(|a| a.verdict), None);
}

#[test]
fn a_file_that_cannot_be_read_is_set_aside_and_stops_nothing() {
    let whole = {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), &store().snapshot()).expect("written");
        std::fs::read_to_string(folder.path().join("state.jsonl")).expect("text")
    };
    let cut = whole.lines().take(3).map(|l| format!("{l}\n")).collect::<String>();
    let missing = whole.lines().enumerate().filter(|(i, _)| *i != 2).map(|(_, l)| format!("{l}\n")).collect::<String>();
    for (name, text) in [
        ("empty", String::new()),
        ("cut off", cut),
        ("cut off in a line", whole[..whole.len() / 2].to_owned()),
        ("a line missing", missing),
        ("newer", whole.replacen("\"version\":1", "\"version\":2", 1)),
        ("noise", "\u{0}\u{1}\u{2}".to_owned()),
        ("twice", format!("{whole}{whole}")),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("state.jsonl"), &text).expect("written");
        let after = Store::default();
        after.replace_roster(roster(YAML));
        restore(folder.path(), &after);
        assert!(after.snapshot().accounts.iter().all(|a| a.verdict.is_none()), "{name}");
        let left = files(folder.path());
        assert!(left.len() == 1 && left[0].starts_with("state.jsonl.aside-"), "{name}: {left:?}");
        assert_eq!(std::fs::read_to_string(folder.path().join(&left[0])).expect("text"), text, "{name}: nothing is lost");
        // And it is written anew.
        write(folder.path(), &after.snapshot()).expect("written");
    }
}
