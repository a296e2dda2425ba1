//! What was heard of accounts besides probes: how long it counts, and that it outlives reloads and restarts.

use token_exporter::model::{Capability, Reason, ReportResult, Timestamp};
use token_exporter::network::{Certainty, Finding, Verdict};
use token_exporter::state::{
    AppliedReport, Outcome, Report, ReportEffect, Snapshot, Sparse, Store, begin_journal, journal_lines,
    restore, write_base,
};

use crate::exposition::inventory;

const YAML: &str = "credentials: [{id: jane, network: mastodon, token: sim-a, base_url: \"https://a.example\"}]\n\
                    accounts:\n  - {id: a, network: mastodon, credential: jane, needs: [publish, inbox]}\n  \
                    - {id: b, network: mastodon, credential: jane}\n";
const HOUR: i64 = 3600;

/// Valid accounts, probed now.
fn store() -> (Store, Timestamp) {
    let (store, now) = (Store::default(), Timestamp::now());
    store.replace_inventory(inventory(YAML));
    probe(&store, now, Verdict::Valid, Reason::Ok);
    (store, now)
}

fn probe(store: &Store, at: Timestamp, verdict: Verdict, reason: Reason) {
    let finding = |needs: &[Capability]| Finding {
        verdict,
        capabilities: needs.iter().map(|capability| (*capability, reason)).collect(),
        scopes: Vec::new(),
    };
    let findings = vec![finding(&[Capability::Publish, Capability::Inbox]), finding(&[Capability::Publish])];
    let outcome = Outcome {
        at,
        findings,
        clocks: None,
        limits: Vec::new(),
        version_ended: false,
        token: None,
        names: Default::default(),
        observations: Vec::new(),
    };
    store.apply(0, &outcome).expect("applied");
}

fn report(result: ReportResult, at: Timestamp) -> Report {
    let blocked = result == ReportResult::Blocked;
    Report {
        operation: Capability::Publish,
        result,
        at,
        reason: blocked.then_some(Reason::AccountRestricted),
        cause: None,
        until: blocked.then_some(at.plus(24 * HOUR)),
        by: "publisher".into(),
    }
}

fn apply(store: &Store, result: ReportResult, at: Timestamp, id: Option<u64>) -> AppliedReport {
    store.apply_report("a", report(result, at), id, at).expect("an account")
}

fn publish(snapshot: &Snapshot, now: Timestamp) -> Option<Reason> {
    snapshot.capability(0, Capability::Publish, now)
}

#[test]
fn a_block_counts_until_its_end_and_changes_no_verdict() {
    let (store, now) = store();
    let applied = apply(&store, ReportResult::Blocked, now, None);
    assert_eq!(
        (applied.before, applied.after, applied.effect),
        (Some(Reason::Ok), Some(Reason::AccountRestricted), ReportEffect::Newest)
    );
    let snapshot = store.snapshot();
    assert_eq!(publish(&snapshot, now.plus(24 * HOUR - 1)), Some(Reason::AccountRestricted));
    assert_eq!(publish(&snapshot, now.plus(24 * HOUR)), Some(Reason::Ok), "then what the probe says");
    assert_eq!(snapshot.capability(0, Capability::Inbox, now), Some(Reason::Ok), "another capability");
    assert_eq!(snapshot.capability(0, Capability::Ads, now), None, "not needed");
    assert_eq!(snapshot.capability(1, Capability::Publish, now), Some(Reason::Ok), "another account");
    assert!(snapshot.accounts.get(0).is_some_and(|state| state.is_valid()));

    // A probe cannot see it, and so does not end it. A loss that it sees has more weight.
    probe(&store, now.plus(60), Verdict::Valid, Reason::Ok);
    assert_eq!(publish(&store.snapshot(), now.plus(60)), Some(Reason::AccountRestricted));
    probe(
        &store,
        now.plus(90),
        Verdict::Invalid(Reason::AccountSuspended, Certainty::Plain),
        Reason::AccountSuspended,
    );
    assert_eq!(publish(&store.snapshot(), now.plus(90)), Some(Reason::AccountSuspended));
}

#[test]
fn a_success_ends_a_block_and_what_is_old_or_repeated_changes_nothing() {
    let (store, now) = store();
    apply(&store, ReportResult::Blocked, now, Some(1));
    assert_eq!(apply(&store, ReportResult::Success, now.plus(-1), Some(2)).effect, ReportEffect::Outdated);
    assert_eq!(publish(&store.snapshot(), now), Some(Reason::AccountRestricted));
    let applied = apply(&store, ReportResult::Success, now.plus(5), Some(3));
    assert_eq!((applied.before, applied.after), (Some(Reason::AccountRestricted), Some(Reason::Ok)));
    let before = store.snapshot();
    let again = apply(&store, ReportResult::Blocked, now.plus(9), Some(1));
    assert_eq!((again.effect, again.version), (ReportEffect::Repeated, before.version));
    let heard = before.heard.get(0).expect("heard of");
    let known: Vec<_> = heard.reports().iter().map(|report| (report.result, report.at)).collect();
    assert_eq!(known, [(ReportResult::Blocked, now), (ReportResult::Success, now.plus(5))]);
    // Content errors and limits leave a trace and nothing else.
    for result in [ReportResult::Content, ReportResult::RateLimited, ReportResult::Refused] {
        assert_eq!(apply(&store, result, now.plus(10), None).after, Some(Reason::Ok), "{result}");
    }
    // An id is known for 72 hours.
    let later = now.plus(72 * HOUR + 9);
    assert_eq!(apply(&store, ReportResult::Blocked, later, Some(1)).effect, ReportEffect::Newest);
    assert!(store.apply_report("c", report(ReportResult::Success, now), None, now).is_none());
}

#[test]
fn ids_are_bounded_for_each_account() {
    let (store, now) = store();
    for id in 0..1000 {
        apply(&store, ReportResult::Success, now, Some(id));
    }
    assert_eq!(apply(&store, ReportResult::Success, now, Some(999)).effect, ReportEffect::Repeated);
    assert_eq!(apply(&store, ReportResult::Success, now, Some(0)).effect, ReportEffect::Newest);
    let line = journal_lines(&store.take_changes()).expect("lines");
    assert!(line.len() < 8 << 10, "{} bytes", line.len());
}

#[test]
fn what_was_heard_outlives_reloads_and_restarts() {
    let (store, now) = store();
    let folder = tempfile::tempdir().expect("a folder");
    write_base(folder.path(), 1, &store.snapshot()).expect("written");
    let plain = std::fs::read_to_string(folder.path().join("state.jsonl")).expect("text");
    assert!(!plain.contains("heard"), "without reports, the files are as before: {plain}");

    let mut journal = begin_journal(folder.path(), 1).expect("a journal");
    store.take_changes();
    apply(&store, ReportResult::Blocked, now, Some(7));
    let changes = store.take_changes();
    std::io::Write::write_all(&mut journal, &journal_lines(&changes).expect("lines")).expect("written");
    let before = changes.snapshot.heard.get(0).cloned();
    let check = |store: &Store, account: usize| {
        let snapshot = store.snapshot();
        assert_eq!(snapshot.heard.get(account), before.as_ref());
        assert_eq!(snapshot.heard.iter().count(), 1);
    };
    let restored = |folder: &std::path::Path| {
        let store = Store::default();
        store.replace_inventory(inventory(YAML));
        restore(folder, &store);
        store
    };
    check(&restored(folder.path()), 0);
    write_base(folder.path(), 2, &restored(folder.path()).snapshot()).expect("written");
    let store = restored(folder.path());
    check(&store, 0);
    assert_eq!(publish(&store.snapshot(), now), Some(Reason::AccountRestricted));
    assert_eq!(apply(&store, ReportResult::Blocked, now.plus(1), Some(7)).effect, ReportEffect::Repeated);

    // By its id, wherever it is in the list; and gone with its account.
    let first =
        YAML.replace("accounts:\n", "accounts:\n  - {id: new, network: mastodon, credential: jane}\n");
    store.replace_inventory(inventory(&first));
    check(&store, 1);
    store.replace_inventory(inventory(&YAML.replace("id: a,", "id: c,")));
    assert_eq!(store.snapshot().heard.iter().count(), 0);
}

#[test]
fn clones_of_a_sparse_map_keep_what_they_had() {
    let mut map: Sparse<u32> = [(5, 50), (3_000_000, 30)].into_iter().collect();
    let before = map.clone();
    *map.entry(5) += 1;
    *map.entry(7) = 70;
    let values = |map: &Sparse<u32>| map.iter().map(|(index, value)| (index, *value)).collect::<Vec<_>>();
    assert_eq!(values(&before), [(5, 50), (3_000_000, 30)]);
    assert_eq!(values(&map), [(5, 51), (7, 70), (3_000_000, 30)]);
    assert_eq!((map.get(7), map.get(6), map.get(9_000_000)), (Some(&70), None, None));
}
