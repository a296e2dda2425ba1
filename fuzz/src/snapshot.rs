//! The file of what was known before a restart.

use std::path::Path;

use token_exporter::config;
use token_exporter::roster::Roster;
use token_exporter::snapshot::{restore, write};
use token_exporter::store::{Snapshot, Store};

use super::folder;

/// Who is watched while a state is restored.
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

/// A store of these accounts of which nothing is known.
pub fn store() -> Store {
    let file = folder().join("snapshot.yaml");
    std::fs::write(&file, YAML).expect("written");
    let config = config::load(&[file]).unwrap_or_else(|problems| panic!("{problems}"));
    let store = Store::default();
    store.replace_roster(Roster::new(config, |_| true).into());
    store
}

/// Any file is taken or set aside; what was taken is the same after it was written and read once more.
pub fn check(data: &[u8]) {
    let folder = tempfile::tempdir_in(folder()).expect("a folder");
    let file = folder.path().join("state.jsonl");
    std::fs::write(&file, data).expect("written");
    let once = restored(folder.path());
    let taken = file.exists();
    let kept = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert!(kept >= 1, "a file that cannot be read is kept aside");
    if !taken {
        assert_eq!(shown(&once), shown(&store().snapshot()), "half of a damaged file was taken");
    }
    write(folder.path(), 1, &once).expect("written");
    assert_eq!(shown(&restored(folder.path())), shown(&once));
}

fn restored(folder: &Path) -> Snapshot {
    let store = store();
    restore(folder, &store);
    store.snapshot()
}

/// What a snapshot carries over a restart.
fn shown(snapshot: &Snapshot) -> String {
    let accounts = snapshot.accounts.iter().map(|a| format!("{a:?}\n"));
    let credentials = snapshot.credentials.iter().map(|c| format!("{:?} {:?} {} {}\n", c.clocks, c.last_probe, c.failures, c.deaths));
    accounts.chain(credentials).collect()
}
