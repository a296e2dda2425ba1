//! State on disk: what is restored after a restart, and what happens to unreadable files.

use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use token_exporter::inventory::Inventory;
use token_exporter::model::{AppProblem, Capability, Cause, Expiry, Reason, Timestamp};
use token_exporter::network::{Budget, Certainty, Clocks, Finding, RateLimitStatus, Reset, Verdict};
use token_exporter::state::{
    AccountState, Column, CompactClocks, CredentialState, Outcome, Snapshot, StateWriter, Store, View,
    begin_journal, journal_lines, restore, write_base,
};
use token_exporter::telemetry::{Metrics, Watchdog};

use crate::exporter::Exporter;
use crate::exposition::inventory;
use crate::prometheus::eventually;

const YAML: &str = "apps: [{id: app, network: facebook, client_id: \"1\", client_secret: \
                    sim-client-secret}]\ncredentials:\n\x20 - {id: jane, network: facebook, token: \
                    sim-jane}\n\x20 - {id: john, network: facebook, token: sim-john}\naccounts:\n\x20 - \
                    {id: a, network: facebook, credential: jane, needs: [publish, inbox]}\n\x20 - {id: b, \
                    network: facebook, credential: jane}\n\x20 - {id: c, network: facebook, credential: \
                    john}\n";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(1_800_000_000 + seconds).expect("in range")
}

/// A store with an item of each kind.
fn store() -> Store {
    let store = Store::default();
    store.replace_inventory(inventory(YAML));
    let finding = |verdict, capabilities: &[(Capability, Reason)]| Finding {
        verdict,
        capabilities: capabilities.to_vec(),
        scopes: vec![("pages_manage_posts", true), ("pages_messaging", false)],
    };
    let clocks = Clocks {
        access: Expiry::At(at(5000)),
        refresh: Expiry::Never,
        data_access: Expiry::Unknown,
        issued: Some(at(-9)),
    };
    let valid = finding(
        Verdict::Valid,
        &[(Capability::Publish, Reason::Ok), (Capability::Inbox, Reason::MissingRole)],
    );
    let gone = finding(
        Verdict::Invalid(Reason::NotAdmin, Certainty::Plain),
        &[(Capability::Publish, Reason::NotAdmin)],
    );
    store
        .apply(
            0,
            &Outcome {
                at: at(0),
                findings: vec![valid, gone],
                clocks: Some(clocks),
                limits: vec![],
                version_ended: false,
                token: None,
                names: Default::default(),
                observations: Vec::new(),
            },
        )
        .expect("applied");
    let maybe = finding(Verdict::Invalid(Reason::TokenInvalid, Certainty::Ambiguous), &[]);
    store
        .apply(
            1,
            &Outcome {
                at: at(1),
                findings: vec![maybe],
                clocks: None,
                limits: vec![],
                version_ended: false,
                token: None,
                names: Default::default(),
                observations: Vec::new(),
            },
        )
        .expect("applied");
    let mut limited = Outcome::undetermined(Cause::RateLimited, 1, at(2));
    let reset = Some(Reset::After(600));
    for budget in [Budget::App, Budget::Grant] {
        limited.limits.push(RateLimitStatus { bucket: "a", budget, used: Some(1.0), reset });
    }
    store.apply(1, &limited).expect("applied");
    store
}

fn shown(snapshot: &Snapshot) -> String {
    let credentials = snapshot.credentials.iter().map(|c| format!("{c:?}\n"));
    let accounts = snapshot.accounts.iter().map(|a| format!("{a:?}\n"));
    let apps = snapshot
        .apps
        .iter()
        .map(|a| format!("{:?} {:?} {:?} {}\n", a.health, a.fault_window, a.paused, a.limited));
    accounts.chain(credentials).chain(apps).collect()
}

fn files(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|f| f.expect("a file").file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names
}

#[test]
fn everything_known_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let before = store().snapshot();
    write_base(folder.path(), 1, &before).expect("written");
    let after = Store::default();
    after.replace_inventory(inventory(YAML));
    restore(folder.path(), &after);
    assert_eq!(shown(&after.snapshot()), shown(&before));
    assert_eq!(files(folder.path()), ["state.jsonl"]);
    let text = std::fs::read_to_string(folder.path().join("state.jsonl")).expect("text");
    assert!(!text.contains("sim-"), "{text}");

    // Removed accounts are forgotten; new ones start without state.
    let other = Store::default();
    other.replace_inventory(inventory(&YAML.replace("id: b,", "id: new,")));
    restore(folder.path(), &other);
    let other = other.snapshot();
    assert_eq!(other.accounts.get(0), before.accounts.get(0));
    assert_eq!(other.accounts.get(1).and_then(|a| a.verdict), None);
}

#[test]
fn what_is_wrong_with_an_app_comes_back() {
    let store = store();
    let refused = Cause::AppMisconfigured(AppProblem::SecretRefused);
    for second in 3..6 {
        store.apply(1, &Outcome::undetermined(refused, 1, at(second))).expect("applied");
    }
    let folder = tempfile::tempdir().expect("a folder");
    write_base(folder.path(), 1, &store.snapshot()).expect("written");
    let after = Store::default();
    after.replace_inventory(inventory(YAML));
    restore(folder.path(), &after);
    let after = after.snapshot();
    assert_eq!(after.apps[0].problem(), Some(AppProblem::SecretRefused));
    assert_eq!(after.accounts.get(2).and_then(|a| a.trouble), Some(refused));
}

/// The state that an empty store reads from a directory, and the newest generation there.
fn read(folder: &Path) -> (String, u64) {
    static INVENTORY: OnceLock<Arc<Inventory>> = OnceLock::new();
    let store = Store::default();
    store.replace_inventory(INVENTORY.get_or_init(|| inventory(YAML)).clone());
    let newest = restore(folder, &store);
    (shown(&store.snapshot()), newest)
}

#[test]
fn journals_go_on_from_their_base() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store();
    write_base(folder.path(), 3, &store.take_changes().snapshot).expect("written");
    let append = |generation: u64, at: Timestamp| {
        store.apply(0, &Outcome::undetermined(Cause::Dns, 2, at)).expect("applied");
        let mut file = begin_journal(folder.path(), generation).expect("a journal");
        file.write_all(&journal_lines(&store.take_changes()).expect("lines")).expect("appended");
        shown(&store.snapshot())
    };
    let old = append(2, at(40));
    assert_ne!(read(folder.path()).0, old, "a journal from before the base is not read");
    let first = append(3, at(50));
    assert_eq!(read(folder.path()), (first, 3));
    let second = append(4, at(60));
    assert_eq!(read(folder.path()), (second, 4), "one that was begun while a base was written, too");
    write_base(folder.path(), 4, &store.snapshot()).expect("written");
    assert_eq!(files(folder.path()), ["journal-4.jsonl", "state.jsonl"], "what has passed is removed");
}

#[test]
fn a_journal_is_read_as_far_as_it_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store();
    write_base(folder.path(), 1, &store.take_changes().snapshot).expect("written");
    let mut steps = vec![shown(&store.snapshot())];
    let mut file = begin_journal(folder.path(), 1).expect("a journal");
    let path = folder.path().join("journal-1.jsonl");
    let mut ends = vec![std::fs::metadata(&path).expect("there").len()];
    for second in [10, 20, 30] {
        store.apply(0, &Outcome::undetermined(Cause::Timeout, 2, at(second))).expect("applied");
        file.write_all(&journal_lines(&store.take_changes()).expect("lines")).expect("appended");
        steps.push(shown(&store.snapshot()));
        ends.push(std::fs::metadata(&path).expect("there").len());
    }
    let whole = std::fs::read(&path).expect("bytes");
    // Cut off at every byte. The lines of the app and the credential are separate, so one of them
    // can be missing; but accounts never come without their credential.
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).expect("written");
        let (now, _) = read(folder.path());
        let done = ends.iter().rposition(|end| *end <= length as u64).unwrap_or(0);
        let credential = |text: &str| text.lines().take(5).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(credential(&now), credential(&steps[done]), "{length}");
        assert_eq!(
            files(folder.path()),
            ["journal-1.jsonl", "state.jsonl"],
            "{length}: a torn end is no damage"
        );
    }
    // Blocks that were never written before the machine crashed.
    let length = usize::try_from(ends[2]).expect("small");
    std::fs::write(&path, [&whole[..length], &[0; 4096]].concat()).expect("written");
    assert_eq!((read(folder.path()).0, files(folder.path()).len()), (steps[2].clone(), 2));

    // Damage in the middle: the part before it is restored, and the file is kept for inspection.
    let mut damaged = whole.clone();
    damaged[usize::try_from(ends[2]).expect("small") + 5] = 0;
    std::fs::write(&path, &damaged).expect("written");
    assert_eq!(read(folder.path()).0, steps[2]);
    let left = files(folder.path());
    assert!(left.len() == 2 && left[0].starts_with("journal-1.jsonl.aside-"), "{left:?}");

    // From a newer program.
    std::fs::write(&path, String::from_utf8_lossy(&whole).replacen("\"version\":1", "\"version\":2", 1))
        .expect("written");
    assert_eq!(read(folder.path()).0, steps[0]);
    assert_eq!(files(folder.path()).len(), 3);
}

#[test]
fn a_file_that_cannot_be_read_is_set_aside_and_stops_nothing() {
    let whole = {
        let folder = tempfile::tempdir().expect("a folder");
        write_base(folder.path(), 1, &store().snapshot()).expect("written");
        std::fs::read_to_string(folder.path().join("state.jsonl")).expect("text")
    };
    let cut = whole.lines().take(3).map(|l| format!("{l}\n")).collect::<String>();
    let missing =
        whole.lines().enumerate().filter(|(i, _)| *i != 2).map(|(_, l)| format!("{l}\n")).collect::<String>();
    for (name, text) in [
        ("empty", String::new()),
        ("cut off", cut),
        ("cut off in a line", whole[..whole.len() / 2].to_owned()),
        ("a line missing", missing),
        ("a digit flipped", whole.replacen(":18000000", ":18000010", 1)),
        ("newer", whole.replacen("\"version\":1", "\"version\":2", 1)),
        ("noise", "\u{0}\u{1}\u{2}".to_owned()),
        ("twice", format!("{whole}{whole}")),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("state.jsonl"), &text).expect("written");
        let after = Store::default();
        after.replace_inventory(inventory(YAML));
        restore(folder.path(), &after);
        assert!(after.snapshot().accounts.iter().all(|a| a.verdict.is_none()), "{name}");
        let left = files(folder.path());
        assert!(left.len() == 1 && left[0].starts_with("state.jsonl.aside-"), "{name}: {left:?}");
        assert_eq!(
            std::fs::read_to_string(folder.path().join(&left[0])).expect("text"),
            text,
            "{name}: nothing is lost"
        );
        // And a new one is written.
        write_base(folder.path(), 1, &after.snapshot()).expect("written");
    }
}

/// A running state writer, with its store and view.
struct Kept {
    store: Arc<Store>,
    view: View,
    metrics: Metrics,
    stop: tokio::sync::watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
    _watchdog: Watchdog,
}

impl Kept {
    fn start(folder: &Path) -> Self {
        Self::start_with(folder, YAML)
    }

    fn start_with(folder: &Path, yaml: &str) -> Self {
        let store = Arc::new(Store::default());
        store.replace_inventory(inventory(yaml));
        let metrics = Metrics::new().expect("metrics");
        let (mut writer, view) = StateWriter::new(store.clone(), Some(folder.to_owned()), metrics.clone())
            .expect("nobody else is there");
        writer.restore();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let mut watchdog = Watchdog::default();
        let task = tokio::spawn(writer.run(stopped, watchdog.part("state")));
        Self { store, view, metrics, stop, task, _watchdog: watchdog }
    }

    /// Makes a change and waits until readers see it.
    async fn change(&self, second: i64) {
        let applied =
            self.store.apply(0, &Outcome::undetermined(Cause::Dns, 2, at(second))).expect("applied");
        let seen = tokio::time::timeout(Duration::from_secs(30), self.view.reaches(applied.version)).await;
        assert_eq!(seen, Ok(true), "whatever the storage does");
    }

    fn failures(&self) -> f64 {
        let families = self.metrics.gather();
        let family =
            families.iter().find(|f| f.name() == "token_exporter_state_write_failures_total").expect("there");
        family.get_metric()[0].get_counter().get_value()
    }

    async fn end(self) {
        self.stop.send(true).expect("it listens");
        self.task.await.expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_shown_before_it_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = Kept::start(folder.path());
    for second in 0..20 {
        kept.change(second).await;
        // Like a kill at this time.
        let copy = tempfile::tempdir().expect("a folder");
        for file in files(folder.path()) {
            // The next base may be replacing the old one right now.
            let _ = std::fs::copy(folder.path().join(&file), copy.path().join(&file));
        }
        assert_eq!(read(copy.path()).0, shown(&kept.view.snapshot()), "{second}");
    }
    assert_eq!(kept.failures(), 0.0);
    let last = shown(&kept.store.snapshot());
    kept.end().await;
    assert_eq!(read(folder.path()).0, last);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_folder_serves_one_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = Kept::start(folder.path());
    let other = |folder: &Path| {
        StateWriter::new(Arc::default(), Some(folder.to_owned()), Metrics::new().expect("metrics"))
    };
    let error = other(folder.path()).expect_err("it is taken").to_string();
    assert!(
        error.contains("another token_exporter") && error.contains(&folder.path().display().to_string()),
        "{error}"
    );
    kept.end().await;
    assert!(other(folder.path()).is_ok(), "free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_that_fails_is_counted_and_caught_up_with() {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = parent.path().join("data");
    // A file instead of the directory: nobody, not even root, can write into it.
    std::fs::write(&folder, "").expect("written");
    let kept = Kept::start(&folder);
    kept.change(1).await;
    assert!(kept.failures() >= 1.0);
    std::fs::remove_file(&folder).expect("removed");
    let caught_up = async || (read(&folder).0 == shown(&kept.store.snapshot())).then_some(());
    eventually("what was missed is written", Duration::from_secs(60), caught_up).await;
    let failures = kept.failures();
    kept.change(2).await;
    assert_eq!((read(&folder).0, kept.failures()), (shown(&kept.store.snapshot()), failures));
    kept.end().await;
}

/// A pipe without a reader stands for a hanging disk: opening it blocks.
#[tokio::test(flavor = "multi_thread")]
async fn storage_that_hangs_holds_up_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("state.jsonl.new");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let kept = Kept::start(folder.path());
    kept.change(1).await;
    kept.change(2).await;
    assert_eq!(
        read(folder.path()).0,
        shown(&kept.store.snapshot()),
        "the journal does not wait for the base"
    );
    // The disk works again.
    let reader = std::thread::spawn(move || {
        std::io::copy(&mut std::fs::File::open(pipe).expect("a pipe"), &mut std::io::sink())
    });
    kept.change(3).await;
    kept.end().await;
    reader.join().expect("no panic").expect("read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_does_not_outgrow_its_base() {
    const CREDENTIALS: usize = 2000;
    let yaml = (0..CREDENTIALS).map(|i| {
        format!(
            "  - {{id: account-{i}, network: mastodon, token: sim-{i}, base_url: \"https://a.example\"}}\n"
        )
    });
    let yaml = format!("accounts:\n{}", yaml.collect::<String>());
    let folder = tempfile::tempdir().expect("a folder");
    let kept = Kept::start_with(folder.path(), &yaml);
    let size = || {
        files(folder.path())
            .iter()
            .filter_map(|f| folder.path().join(f).metadata().ok())
            .map(|m| m.len())
            .sum::<u64>()
    };
    let mut appended = 0;
    for second in 0..12 {
        let mut version = 0;
        for credential in 0..CREDENTIALS {
            version = kept
                .store
                .apply(credential, &Outcome::undetermined(Cause::Dns, 1, at(second)))
                .expect("applied")
                .version;
        }
        assert!(kept.view.reaches(version).await);
        appended += CREDENTIALS as u64 * 200;
    }
    // At most: a base and a journal of its size or a megabyte, and both again while one replaces
    // the other.
    let base = || folder.path().join("state.jsonl").metadata().map_or(0, |m| m.len());
    let bounded = async || (base() > 0 && size() < 2 * (base() + base().max(1 << 20))).then_some(());
    eventually("it has been replaced", Duration::from_secs(60), bounded).await;
    assert!(
        appended > 2 * (1 << 20) && base() < 1 << 20,
        "{appended} bytes at least were appended to {}",
        base()
    );
    kept.end().await;
    let store = Store::default();
    store.replace_inventory(inventory(&yaml));
    restore(folder.path(), &store);
    assert!(store.snapshot().credentials.iter().all(|c| c.last_probe == Some(at(11))));
}

/// Files that token_exporter 0.1.0 has written: a configuration, a base and the journal that a kill
/// ended, and metrics of the moment before the kill.
const OLD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/state/0.1.0");

/// A copy of them, as a start may change them.
fn old_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("data")).expect("a folder");
    for file in ["config.yaml", "data/state.jsonl", "data/journal-2.jsonl"] {
        std::fs::copy(Path::new(OLD).join(file), folder.path().join(file)).expect("copied");
    }
    folder
}

#[tokio::test]
async fn files_of_0_1_0_are_read() {
    let folder = old_folder();
    let store = Arc::new(Store::default());
    store.replace_inventory(inventory(include_str!("../state/0.1.0/config.yaml")));
    let metrics = Metrics::new().expect("metrics");
    let (mut writer, view) =
        StateWriter::new(store, Some(folder.path().join("data")), metrics).expect("nobody else is there");
    writer.restore();
    let snapshot = view.snapshot();
    let time = |seconds: i64| Timestamp::from_unix(1_796_024_000 + seconds);
    let expected = [
        ("page-one", Some(Reason::AccessRevoked), time(309), None, time(309), None),
        ("page-two", Some(Reason::AccessRevoked), time(309), None, time(309), None),
        ("valid", Some(Reason::Ok), time(309), None, time(391), None),
        ("never-expiring", Some(Reason::Ok), time(309), None, time(391), None),
        ("scope-missing", Some(Reason::Ok), time(309), None, time(391), None),
        ("confirmed", Some(Reason::PageUnavailable), time(350), None, time(350), None),
        ("pending", Some(Reason::Ok), time(309), Some(Reason::PageUnavailable), time(309), None),
        ("server-error", Some(Reason::Ok), time(309), None, time(309), Some(Cause::ServerError)),
        ("unreadable", None, None, None, None, Some(Cause::CredentialUnreadable)),
        ("rate-limited", None, None, None, None, Some(Cause::RateLimited)),
        ("refused-1", Some(Reason::Ok), time(309), Some(Reason::TokenInvalid), time(309), None),
        (
            "refused-2",
            Some(Reason::Ok),
            time(309),
            None,
            time(309),
            Some(Cause::AppMisconfigured(AppProblem::Unknown)),
        ),
        (
            "refused-3",
            Some(Reason::Ok),
            time(309),
            None,
            time(309),
            Some(Cause::AppMisconfigured(AppProblem::Unknown)),
        ),
        ("oauth1", Some(Reason::Ok), time(309), None, time(391), None),
    ];
    assert_eq!(expected.len(), snapshot.accounts.len());
    for (id, verdict, since, pending, last_conclusive, trouble) in expected {
        let index = snapshot.inventory.find(id).expect("an account");
        let account = snapshot.accounts.get(index).expect("its state");
        let pending = pending.zip(time(391));
        assert_eq!(
            (account.verdict, account.since, account.pending, account.last_conclusive, account.trouble),
            (verdict, since, pending, last_conclusive, trouble),
            "{id}"
        );
    }
    let credential = |id| {
        let index = snapshot.inventory.find_credential(id).expect("a credential");
        snapshot.credentials.get(index).expect("its state")
    };
    let expiry = |seconds| Timestamp::from_unix(seconds).map_or(Expiry::Unknown, Expiry::At);
    assert_eq!(
        credential("valid").clocks.get(),
        Clocks {
            access: expiry(1_800_776_391),
            refresh: Expiry::Unknown,
            data_access: expiry(1_803_368_391),
            issued: Timestamp::from_unix(1_795_592_391),
        }
    );
    assert_eq!(credential("never-expiring").clocks.get().access, Expiry::Never);
    assert_eq!((credential("jane").deaths, credential("jane").last_probe), (1, time(309)));
    assert_eq!(credential("refused-2").failures, 2);
    let apps: Vec<_> = snapshot.apps.iter().map(|a| (a.healthy(), a.paused, a.limited)).collect();
    assert_eq!(
        apps,
        [(Some(true), None, false), (Some(true), time(609), true), (Some(false), None, false)],
        "too many of the last app's credentials were refused together"
    );
    let valid = snapshot.accounts.get(snapshot.inventory.find("scope-missing").expect("an account"));
    let (capabilities, scopes) = valid.map(|a| (a.capabilities, a.scopes)).expect("its state");
    assert_eq!(capabilities, [Some(Reason::MissingPermission), Some(Reason::Ok), None, None]);
    assert_eq!(scopes, Some([false, true].into_iter().collect()));
}

#[test]
fn a_base_is_written_as_0_1_0_wrote_it() {
    let folder = old_folder();
    let data = folder.path().join("data");
    std::fs::remove_file(data.join("journal-2.jsonl")).expect("removed");
    let store = Store::default();
    store.replace_inventory(inventory(include_str!("../state/0.1.0/config.yaml")));
    assert_eq!(restore(&data, &store), 2);
    write_base(&data, 2, &store.snapshot()).expect("written");
    let lines = |path: &Path| -> Vec<String> {
        let text = std::fs::read_to_string(path).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        // Without head and end: they hold the time of writing, and a checksum of it.
        lines[1..lines.len() - 1].iter().map(|line| (*line).to_owned()).collect()
    };
    assert_eq!(lines(&data.join("state.jsonl")), lines(&Path::new(OLD).join("data/state.jsonl")));
}

/// The networks do not answer now, and tokens are missing: what was known stands.
#[test]
fn a_start_on_files_of_0_1_0_shows_what_was_shown_before() {
    let folder = old_folder();
    let exporter = Exporter::start(folder.path(), |_| {});
    let scrape = exporter.wait_for("a scrape", || exporter.ask("/metrics"));
    let shown: std::collections::HashSet<&str> = scrape.lines().collect();
    let metrics = std::fs::read_to_string(Path::new(OLD).join("metrics.txt")).expect("metrics");
    let missing: Vec<&str> = metrics.lines().filter(|line| !shown.contains(line)).collect();
    assert!(missing.is_empty(), "{missing:#?}\n{scrape}");
    assert!(!exporter.log().contains("aside"), "{}", exporter.log());
}

#[test]
fn a_clone_of_a_column_does_not_change() {
    let mut column: Column<usize> = (0..1000).collect();
    let before = column.clone();
    for index in [0, 63, 64, 999] {
        if let Some(element) = column.get_mut(index) {
            *element += 5000;
        }
    }
    assert_eq!(before.iter().copied().collect::<Vec<_>>(), (0..1000).collect::<Vec<_>>());
    assert_eq!(column.get(64), Some(&5064));
    assert_eq!(column.get(65), Some(&65));
    assert_eq!(column.get(1000), None);
    assert!(column.get_mut(1000).is_none());
    assert_eq!(column.len(), 1000);
}

#[test]
fn clocks_are_kept_in_less_memory_without_a_loss() {
    let at = |seconds| Timestamp::from_unix(seconds).map_or(Expiry::Unknown, Expiry::At);
    for (access, refresh) in [(Expiry::Unknown, Expiry::Never), (at(1), at(1_800_000_000))] {
        let clocks = Clocks { access, refresh, data_access: at(2_000_000_000), issued: None };
        assert_eq!(CompactClocks::from(clocks).get(), clocks);
    }
    // The year 9999 is held at the last instant, which is no "never".
    let far = Clocks { access: at(253_402_300_799), ..Clocks::default() };
    assert!(matches!(CompactClocks::from(far).get().access, Expiry::At(_)));
    let sizes = (size_of::<AccountState>(), size_of::<CredentialState>());
    assert!(sizes <= (28, 64), "{sizes:?}");
}
