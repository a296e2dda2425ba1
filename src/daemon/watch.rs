//! Notices changes on disk: of the configuration and what it includes, and of token files.
//!
//! Looks at metadata at intervals instead of asking the system to tell: that works on every file
//! system, through Kubernetes' symbolic links, and for any number of files.

use std::collections::hash_map::DefaultHasher;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::config::{self, Config};
use crate::inventory::{CredentialView, Inventory, SecretSource};
use crate::scheduler::ProbeRequest;
use crate::source::Fingerprint;
use crate::state::{Snapshot, Store};

/// Watches the files of a configuration.
#[derive(Clone, Debug)]
pub(super) struct ConfigWatch {
    main: Vec<PathBuf>,
    patterns: Vec<String>,
    stamps: Vec<Stamp>,
    digest: u64,
}

/// What a look at a file's metadata shows: of the file that links on the way lead to.
type Stamp = (PathBuf, Option<Fingerprint>);

impl ConfigWatch {
    /// Watches these files.
    pub(super) fn new(main: &[PathBuf]) -> Self {
        Self { main: main.to_vec(), patterns: Vec::new(), stamps: Vec::new(), digest: 0 }
    }

    /// Watches what this configuration includes, too. To be called after the look that came before
    /// it was read: what changes meanwhile is then noticed at the next.
    pub(super) fn follow(&mut self, config: &Config) {
        if self.patterns != config.patterns {
            self.patterns.clone_from(&config.patterns);
            self.changed();
        }
    }

    /// Whether the content has changed since the last look. A file that was only touched has not.
    pub(super) fn changed(&mut self) -> bool {
        let files = self.files();
        let stamps = stamps(&files);
        if stamps == self.stamps {
            return false;
        }
        self.stamps = stamps;
        let digest = digest(&files);
        std::mem::replace(&mut self.digest, digest) != digest
    }

    fn files(&self) -> Vec<PathBuf> {
        let included = self.patterns.iter().flat_map(|pattern| config::included(pattern)).flatten().flatten();
        self.main.iter().cloned().chain(included).collect()
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    files.iter().map(|f| (f.clone(), Fingerprint::of(f))).collect()
}

fn digest(files: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.hash(&mut hasher);
        std::fs::read(file).ok().hash(&mut hasher);
    }
    hasher.finish()
}

/// Notices token files that change between probes.
#[derive(Debug, Default)]
pub(super) struct TokenWatch {
    inventory: Arc<Inventory>,
    /// By credential of the inventory, hashed, for there may be a million: of the token's file and,
    /// with OAuth 1.0a, of its second half's. None where the token comes from no file.
    prints: Vec<Option<NonZeroU64>>,
    state: RandomState,
}

impl TokenWatch {
    /// Looks at all token files and wishes for a probe of each credential whose file changed since
    /// the last look or, where there was none, since its last probe.
    pub(super) async fn look(self, store: &Store, wishes: &mpsc::Sender<ProbeRequest>) -> Self {
        let snapshot = store.snapshot();
        // Away from the tasks that probe and serve: there may be many files, on a slow disk.
        let Ok((watch, changed)) = tokio::task::spawn_blocking(move || self.compare(&snapshot)).await else {
            return Self::default();
        };
        for credential in changed {
            if wishes.send(ProbeRequest::SourceChanged(credential)).await.is_err() {
                break;
            }
        }
        watch
    }

    fn compare(self, snapshot: &Snapshot) -> (Self, Vec<usize>) {
        let inventory = snapshot.inventory.clone();
        let same = Arc::ptr_eq(&self.inventory, &inventory);
        let before = |place: usize, now: CredentialView<'_>| {
            if same {
                return self.prints.get(place);
            }
            let old = self
                .inventory
                .find_credential(now.id())
                .and_then(|place| self.inventory.credential(place))?;
            let source = |c: CredentialView<'_>| (c.token(), c.token_secret().cloned());
            self.prints.get(old.index()).filter(|_| source(old) == source(now))
        };
        let mut changed = Vec::new();
        let mut prints = Vec::with_capacity(inventory.credentials().len());
        for (place, watched) in inventory.credentials().enumerate() {
            let found =
                [watched.token().fingerprint(), watched.token_secret().and_then(SecretSource::fingerprint)];
            let now = found[0].and_then(|_| NonZeroU64::new(self.state.hash_one(found)));
            let news = match before(place, watched) {
                Some(before) => *before != now && now.is_some(),
                None => {
                    let probed = snapshot.credentials.get(place).and_then(|state| state.last_probe);
                    probed.is_some_and(|probed| {
                        found.iter().flatten().any(|print| print.written() >= Some(probed))
                    })
                }
            };
            changed.extend(news.then_some(place));
            prints.push(now);
        }
        (Self { inventory, prints, state: self.state }, changed)
    }
}
