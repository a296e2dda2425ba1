//! Notices changes of configuration and token files.
//!
//! It polls metadata instead of subscribing to events: that works on every file system, through
//! Kubernetes' symbolic links, and for any number of files.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::io::Read as _;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;
use tokio::sync::mpsc;

use crate::config::{Config, FilePattern, open_regular};
use crate::inventory::{CredentialView, Inventory, SecretSource};
use crate::scheduler::ProbeRequest;
use crate::source::Fingerprint;
use crate::state::{Snapshot, Store};

/// Watches the files of a configuration and those that it includes.
#[derive(Clone, Debug, Default)]
pub(super) struct ConfigWatch {
    main: Vec<PathBuf>,
    patterns: Vec<FilePattern>,
    stamps: Vec<Stamp>,
    hasher: DefaultHashBuilder,
    digest: u64,
    /// Whether something could not be read, which may end without a trace in the metadata.
    pub(super) trouble: bool,
}

/// A file and its metadata, or those of the file that it links to.
type Stamp = (PathBuf, Option<Fingerprint>);

impl ConfigWatch {
    pub(super) fn new(main: &[PathBuf]) -> Self {
        Self { main: main.to_vec(), ..Self::default() }
    }

    /// Also watches what this configuration includes.
    pub(super) fn follow(&mut self, config: &Config) {
        if self.patterns != config.patterns {
            self.patterns.clone_from(&config.patterns);
            self.changed();
        }
    }

    /// Whether the content has changed since the last check. A file that was only touched has not.
    pub(super) fn changed(&mut self) -> bool {
        let files = self.files();
        let stamps: Vec<Stamp> = files.iter().map(|file| (file.clone(), Fingerprint::of(file))).collect();
        if stamps == self.stamps && !self.trouble {
            return false;
        }
        self.stamps = stamps;
        let digest = digest(&files, self.hasher.build_hasher());
        std::mem::replace(&mut self.digest, digest) != digest
    }

    /// Makes the next check find a change.
    pub(super) fn forget(&mut self) {
        self.stamps.clear();
        self.digest = 0;
    }

    fn files(&self) -> Vec<PathBuf> {
        let included = self.patterns.iter().flat_map(FilePattern::files).flatten();
        self.main.iter().cloned().chain(included).collect()
    }
}

fn digest(files: &[PathBuf], mut hasher: impl Hasher) -> u64 {
    for file in files {
        file.hash(&mut hasher);
        let read = open_regular(file).and_then(|mut file| {
            let mut part = vec![0; 1 << 16];
            loop {
                match file.read(&mut part)? {
                    0 => return Ok(()),
                    length => hasher.write(&part[..length]),
                }
            }
        });
        read.is_ok().hash(&mut hasher);
    }
    hasher.finish()
}

/// Notices token files that change between probes.
#[derive(Debug, Default)]
pub(super) struct TokenWatch {
    inventory: Arc<Inventory>,
    /// By credential of the inventory: a hash of the metadata of its token's file and, with OAuth
    /// 1.0a, of its token secret's. None if the token comes from no file.
    fingerprints: Vec<Option<NonZeroU64>>,
    hasher: RandomState,
}

impl TokenWatch {
    /// Requests a probe of each credential whose file has changed since the last check or, without
    /// one, since its last probe.
    pub(super) async fn check(self, store: &Store, probes: &mpsc::Sender<ProbeRequest>) -> Self {
        let snapshot = store.snapshot();
        // On a thread of its own: there may be many files, on a slow disk.
        let Ok((watch, changed)) = tokio::task::spawn_blocking(move || self.compare(&snapshot)).await else {
            return Self::default();
        };
        for credential in changed {
            if probes.send(ProbeRequest::SourceChanged(credential)).await.is_err() {
                break;
            }
        }
        watch
    }

    /// The new fingerprints, and the indexes of the credentials that have changed.
    fn compare(self, snapshot: &Snapshot) -> (Self, Vec<usize>) {
        let inventory = snapshot.inventory.clone();
        let mut changed = Vec::new();
        let mut fingerprints = Vec::with_capacity(inventory.credentials().len());
        for (index, credential) in inventory.credentials().enumerate() {
            let secret = credential.token_secret().and_then(SecretSource::fingerprint);
            let files = [credential.token().fingerprint(), secret];
            let now = files[0].and_then(|_| NonZeroU64::new(self.hasher.hash_one(files)));
            let is_new = match self.before(&inventory, index, credential) {
                Some(before) => now.is_some() && now != before,
                None => {
                    let probed = snapshot.credentials.get(index).and_then(|state| state.last_probe);
                    let written = files.iter().flatten().map(Fingerprint::written).max().flatten();
                    probed.is_some() && written >= probed
                }
            };
            changed.extend(is_new.then_some(index));
            fingerprints.push(now);
        }
        (Self { inventory, fingerprints, hasher: self.hasher }, changed)
    }

    /// The last fingerprint of a credential, also from before a reload that has not changed where its
    /// token comes from.
    fn before(
        &self,
        inventory: &Arc<Inventory>,
        index: usize,
        credential: CredentialView<'_>,
    ) -> Option<Option<NonZeroU64>> {
        if Arc::ptr_eq(&self.inventory, inventory) {
            return self.fingerprints.get(index).copied();
        }
        let old = self.inventory.credential(self.inventory.find_credential(credential.id())?)?;
        let same = old.token() == credential.token() && old.token_secret() == credential.token_secret();
        self.fingerprints.get(old.index()).copied().filter(|_| same)
    }
}
