//! Notices changes on disk: of the configuration and what it includes, and of token files.
//!
//! Looks at metadata at intervals instead of asking the system to tell: that works on every file system, through
//! Kubernetes' symbolic links, and for any number of files.

use std::collections::hash_map::DefaultHasher;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::mpsc;

use crate::config::{self, Config};
use crate::engine::Wish;
use crate::roster::{Roster, Watched};
use crate::store::Store;
use crate::token::SecretSource;

/// Watches the files of a configuration.
#[derive(Debug)]
pub struct ConfigWatch {
    main: Vec<PathBuf>,
    patterns: Vec<String>,
    stamps: Vec<Stamp>,
    digest: u64,
}

/// What a look at a file's metadata shows: of the file that links on the way lead to.
type Stamp = (PathBuf, Option<(SystemTime, u64)>);

impl ConfigWatch {
    /// Watches what this configuration was read from.
    pub fn new(main: &[PathBuf], config: &Config) -> Self {
        let mut watch = Self { main: main.to_vec(), patterns: config.patterns.clone(), stamps: Vec::new(), digest: 0 };
        let files = watch.files();
        watch.stamps = stamps(&files);
        watch.digest = digest(&files);
        watch
    }

    /// Whether the content has changed since the last look. A file that was only touched has not.
    pub fn changed(&mut self) -> bool {
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
    let stamp = |path: &Path| std::fs::metadata(path).ok().and_then(|m| m.modified().ok().map(|t| (t, m.len())));
    files.iter().map(|f| (f.clone(), stamp(f))).collect()
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
#[derive(Default)]
pub struct TokenWatch {
    roster: Option<Arc<Roster>>,
    /// By credential, hashed: of the token and, with OAuth 1.0a, of its second half. None where there is no file.
    prints: Vec<Option<NonZeroU64>>,
    state: RandomState,
}

impl TokenWatch {
    /// Looks at all token files and wishes for a probe of each credential whose file changed since the last look.
    pub async fn look(self, store: &Store, wishes: &mpsc::Sender<Wish>) -> Self {
        let roster = store.snapshot().roster;
        let known = self.roster.as_ref().is_some_and(|r| Arc::ptr_eq(r, &roster));
        let looked = roster.clone();
        let state = self.state.clone();
        let prints = move |c: Watched<'_>| {
            let prints = (c.token().fingerprint()?, c.token_secret().and_then(SecretSource::fingerprint));
            NonZeroU64::new(state.hash_one(prints))
        };
        let look = move || looked.credentials().map(prints).collect::<Vec<_>>();
        let Ok(prints) = tokio::task::spawn_blocking(look).await else { return self };
        if known {
            let changed = self.prints.iter().zip(&prints).enumerate().filter(|(_, (old, new))| old != new && new.is_some());
            for (credential, _) in changed {
                if wishes.send(Wish::Changed(credential)).await.is_err() {
                    break;
                }
            }
        }
        Self { roster: Some(roster), prints, state: self.state }
    }
}
