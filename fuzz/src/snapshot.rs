//! The state files.
//!
//! An input is a base without its end, and after a line `%%%` the journal that follows it. The
//! check appends the end with its checksum, which a fuzzer would not find; a base that already has
//! one is used unchanged.

use std::path::Path;

use flate2::Crc;
use token_exporter::config;
use token_exporter::state::{Snapshot, Store, restore, write_base};

use super::folder;

/// Separates the base from the journal.
pub const MARK: &str = "%%%\n";

/// The accounts while state is restored.
pub const YAML: &str = r#"
apps: [{id: app, network: facebook, client_id: "1", client_secret: sim-client-secret}]
credentials:
  - {id: jane, network: facebook, token: sim-jane}
  - {id: john, network: facebook, token: sim-john}
accounts:
  - {id: a, network: facebook, credential: jane, needs: [publish, inbox]}
  - {id: b, network: facebook, credential: jane}
  - {id: c, network: facebook, credential: john}
"#;

/// An empty store for these accounts.
pub fn store() -> Store {
    let file = folder().join("snapshot.yaml");
    std::fs::write(&file, YAML).expect("written");
    let config = config::load(&[file]).unwrap_or_else(|problems| panic!("{problems}"));
    let store = Store::default();
    store.replace_inventory(config.inventory(|_| true).into());
    store
}

/// Files are either read or set aside. State that was read is the same after it is written and read
/// again.
pub fn check(data: &[u8]) {
    let at = data.windows(MARK.len()).position(|w| w == MARK.as_bytes());
    let (base, journal) = at.map_or((data, &b""[..]), |at| (&data[..at], &data[at + MARK.len()..]));
    let folder = tempfile::tempdir_in(folder()).expect("a folder");
    let [base_file, journal_file] = ["state.jsonl", "journal-1.jsonl"].map(|name| folder.path().join(name));
    std::fs::write(&base_file, ended(base)).expect("written");
    if !journal.is_empty() {
        std::fs::write(&journal_file, journal).expect("written");
    }
    let before = std::fs::read_dir(folder.path()).expect("a folder").count();
    let (generation, once) = restored(folder.path());
    let after = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(after, before, "what cannot be read is kept aside");
    if !base_file.exists() && journal.is_empty() {
        assert_eq!(shown(&once), shown(&store().snapshot()), "half of a damaged file was taken");
    }
    write_base(folder.path(), generation + 1, &once).expect("written");
    let (again, twice) = restored(folder.path());
    assert_eq!(again, generation + 1);
    assert_eq!(shown(&twice), shown(&once));
}

/// Appends its end to a base.
fn ended(base: &[u8]) -> Vec<u8> {
    let mut file = base.to_vec();
    if !base.windows(5).any(|w| w == b"\"end\"") {
        let mut crc = Crc::new();
        crc.update(base);
        let lines = base.iter().filter(|b| **b == b'\n').count().saturating_sub(1);
        file.extend_from_slice(
            format!("{{\"end\":{{\"lines\":{lines},\"crc32\":{}}}}}\n", crc.sum()).as_bytes(),
        );
    }
    file
}

fn restored(folder: &Path) -> (u64, Snapshot) {
    let store = store();
    let generation = restore(folder, &store);
    (generation, store.snapshot())
}

/// The parts of a snapshot that survive a restart.
fn shown(snapshot: &Snapshot) -> String {
    let accounts = snapshot.accounts.iter().map(|a| format!("{a:?}\n"));
    let credentials = snapshot
        .credentials
        .iter()
        .map(|c| format!("{:?} {:?} {} {}\n", c.clocks, c.last_probe, c.failures, c.deaths));
    let apps = snapshot.apps.iter().map(|a| format!("{:?}\n", a.healthy()));
    accounts.chain(credentials).chain(apps).collect()
}
