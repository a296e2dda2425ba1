//! Writes changes of the store to disk, and only then shows them to readers: what a client has seen
//! survives a kill.
//!
//! Changes are collected for a moment, appended to the journal and shown. What was appended survives
//! a kill of this process; a sync every few seconds makes it survive a power failure. When the
//! journal has outgrown the base, a new base is written in the background. If storage fails or
//! hangs, that is logged and tried again, and exporting goes on.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::{Changes, Snapshot, Store, View, files, format};
use crate::telemetry::{Heartbeat, Metrics};

/// Changes within this time share a write.
const COLLECT: Duration = Duration::from_millis(50);
/// Interval between checks for background work that has ended or is due.
const TICK: Duration = Duration::from_secs(1);
/// Interval between syncs of the journal.
const SYNC_EVERY: Duration = Duration::from_secs(5);
/// Time limit for a few lines, after which readers no longer wait for the write.
const WRITE_LIMIT: Duration = Duration::from_secs(5);
/// Time after which writing a base counts as hanging.
const REWRITE_LIMIT: Duration = Duration::from_secs(60);
/// Delay before storage is tried again after a failure…
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// …or this many times as long as the failed try took, if that is longer.
const RETRY_FACTOR: u32 = 20;
/// A journal up to this size in bytes is never replaced.
const SMALL_JOURNAL: u64 = 1 << 20;
/// File in the storage folder that is locked by the process using the folder.
const LOCK: &str = "lock";

#[derive(Debug)]
pub struct StateWriter {
    store: Arc<Store>,
    shown: watch::Sender<Snapshot>,
    storage: Option<Storage>,
}

impl StateWriter {
    /// A writer for a store and a storage folder, if any, and the view in which it shows changes.
    ///
    /// # Errors
    /// If another process uses the folder.
    pub fn new(store: Arc<Store>, folder: Option<PathBuf>, metrics: Metrics) -> anyhow::Result<(Self, View)> {
        let (shown, view) = watch::channel(store.snapshot());
        let storage = folder.map(|folder| Storage::new(folder, metrics)).transpose()?;
        Ok((Self { store, shown, storage }, View::new(view)))
    }

    pub fn restore(&mut self) {
        if let Some(storage) = &mut self.storage {
            storage.generation = files::restore(&storage.folder, &self.store) + 1;
        }
        self.shown.send_replace(self.store.snapshot());
    }

    /// Writes and shows changes until `stop` changes, including those made before that.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>, mut heartbeat: Heartbeat) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = stop.changed() => break,
                () = heartbeat.answer() => {}
                () = self.store.changed() => {
                    self.write_and_show().await;
                    tokio::time::sleep(COLLECT).await;
                }
                _ = tick.tick() => if let Some(storage) = &mut self.storage {
                    storage.tick(&self.store).await;
                }
            }
        }
        self.write_and_show().await;
        if let Some(storage) = self.storage {
            storage.end().await;
        }
    }

    async fn write_and_show(&mut self) {
        let changes = self.store.take_changes();
        if let Some(storage) = &mut self.storage {
            storage.write(&changes).await;
        }
        self.shown.send_replace(changes.snapshot);
    }
}

#[derive(Debug)]
struct Storage {
    folder: PathBuf,
    metrics: Metrics,
    /// None while the folder cannot be used at all.
    lock: Option<File>,
    generation: u64,
    /// None before the first one, and after a write to it has failed.
    journal: Option<Arc<File>>,
    /// Size of the journal's lines in bytes, without its head.
    journal_size: u64,
    base_size: u64,
    /// Whether the next base begins a generation, and so a journal of its own.
    next_generation: bool,
    /// When to write a base; none if there is no need.
    rewrite_at: Option<Instant>,
    /// When the oldest line that is not synced was appended.
    unsynced_since: Option<Instant>,
    background: Option<BackgroundJob>,
    /// A job that has exceeded its time limit.
    hanging: Option<JoinHandle<()>>,
    /// Whether a failure was logged, and no success since.
    failing: bool,
}

#[derive(Debug)]
struct BackgroundJob {
    since: Instant,
    is_sync: bool,
    handle: JoinHandle<anyhow::Result<u64>>,
}

impl Storage {
    fn new(folder: PathBuf, metrics: Metrics) -> anyhow::Result<Self> {
        let mut storage = Self {
            folder,
            metrics,
            lock: None,
            generation: 1,
            journal: None,
            journal_size: 0,
            base_size: 0,
            next_generation: true,
            rewrite_at: Some(Instant::now()),
            unsynced_since: None,
            background: None,
            hanging: None,
            failing: false,
        };
        match lock(&storage.folder) {
            Ok(lock) => storage.lock = Some(lock),
            Err(error) if error.is::<InUse>() => return Err(error),
            Err(error) => storage.failed(&error, Duration::ZERO),
        }
        Ok(storage)
    }

    async fn write(&mut self, changes: &Changes) {
        let start = Instant::now();
        if changes.inventory {
            // What was removed from the inventory is removed from the files, too.
            self.begin_generation_at(start);
        }
        self.rewrite(&changes.snapshot).await;
        let Some(journal) = self.journal.clone() else { return };
        let start = Instant::now();
        let lines = match format::journal_lines(changes) {
            Ok(lines) if lines.is_empty() => return,
            Ok(lines) => lines,
            Err(error) => {
                let error = anyhow::Error::new(error).context("cannot write down what has changed");
                return self.give_up_journal(&error, start.elapsed());
            }
        };
        let size = lines.len() as u64;
        let append = move || (&*journal).write_all(&lines).context("cannot append to the journal");
        if let Err(error) = self.within_limit(append).await {
            return self.give_up_journal(&error, start.elapsed());
        }
        self.journal_size += size;
        self.unsynced_since.get_or_insert(start);
        if self.journal_size > self.base_size.max(SMALL_JOURNAL) && !self.next_generation {
            self.begin_generation_at(start);
        }
    }

    fn begin_generation_at(&mut self, at: Instant) {
        self.next_generation = true;
        self.rewrite_at.get_or_insert(at);
    }

    /// The journal may end with an incomplete line: append nothing more to it. The next base will
    /// hold everything.
    fn give_up_journal(&mut self, error: &anyhow::Error, took: Duration) {
        self.journal = None;
        self.unsynced_since = None;
        self.next_generation = true;
        self.failed(error, took);
    }

    async fn rewrite(&mut self, snapshot: &Snapshot) {
        let start = Instant::now();
        if self.background.is_some() || self.rewrite_at.is_none_or(|at| at > start) {
            return;
        }
        self.rewrite_at = None;
        if self.next_generation
            && let Err(error) = self.begin_generation().await
        {
            return self.failed(&error, start.elapsed());
        }
        let (folder, generation, snapshot) = (self.folder.clone(), self.generation, snapshot.clone());
        let handle = tokio::task::spawn_blocking(move || files::write_base(&folder, generation, &snapshot));
        self.background = Some(BackgroundJob { since: start, is_sync: false, handle });
    }

    async fn begin_generation(&mut self) -> anyhow::Result<()> {
        if self.lock.is_none() {
            let folder = self.folder.clone();
            self.lock = Some(self.within_limit(move || lock(&folder)).await?);
        }
        // A journal without lines can be begun again.
        self.generation += u64::from(self.journal_size > 0);
        self.journal_size = 0;
        let (folder, generation) = (self.folder.clone(), self.generation);
        let journal = self.within_limit(move || files::begin_journal(&folder, generation)).await?;
        self.journal = Some(Arc::new(journal));
        self.next_generation = false;
        Ok(())
    }

    async fn tick(&mut self, store: &Store) {
        let now = Instant::now();
        if let Some(job) = &self.background {
            if !job.handle.is_finished() {
                if now.duration_since(job.since) > REWRITE_LIMIT {
                    self.log_failure(&anyhow::anyhow!("it takes longer than {} s", REWRITE_LIMIT.as_secs()));
                }
                return;
            }
            self.finish_background().await;
        }
        self.rewrite(&store.snapshot()).await;
        let sync_due = self.unsynced_since.is_some_and(|since| now.duration_since(since) > SYNC_EVERY);
        if self.background.is_none()
            && let Some(journal) = self.journal.clone().filter(|_| sync_due)
        {
            self.unsynced_since = None;
            let (folder, generation) = (self.folder.clone(), self.generation);
            let handle = tokio::task::spawn_blocking(move || {
                journal.sync_data().context("cannot sync the journal")?;
                // Lines appended to a file that was moved away would be lost.
                let in_place = files::is_in_place(&folder, generation, &journal);
                anyhow::ensure!(in_place, "the journal is not there any more");
                Ok(0)
            });
            self.background = Some(BackgroundJob { since: now, is_sync: true, handle });
        }
    }

    async fn finish_background(&mut self) {
        let Some(BackgroundJob { since, is_sync, handle }) = self.background.take() else { return };
        match handle.await.context("a fault in this program").flatten() {
            // It is not known which lines are on disk.
            Err(error) if is_sync => self.give_up_journal(&error, since.elapsed()),
            Err(error) => self.failed(&error, since.elapsed()),
            Ok(_) if is_sync => {}
            Ok(size) => {
                self.base_size = size;
                // Unless the journal was given up meanwhile.
                if self.journal.is_some() && std::mem::take(&mut self.failing) {
                    tracing::info!(folder = %self.folder.display(), "state is written again");
                }
            }
        }
    }

    /// Counts and logs a failure of the storage, and plans the next try.
    fn failed(&mut self, error: &anyhow::Error, took: Duration) {
        self.rewrite_at = Some(Instant::now() + RETRY_AFTER.max(took * RETRY_FACTOR));
        self.metrics.state_not_written();
        self.log_failure(error);
    }

    /// Logs the first of a row of failures.
    fn log_failure(&mut self, error: &anyhow::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            let folder = self.folder.display();
            tracing::error!(
                %folder, error = format!("{error:#}"),
                "state cannot be written: exporting goes on, but a restart would forget the latest"
            );
        }
    }

    /// Runs a job on a thread for blocking work, and waits for it at most [`WRITE_LIMIT`].
    async fn within_limit<T: Send + 'static>(
        &mut self,
        job: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let free = self.hanging.as_ref().is_none_or(JoinHandle::is_finished);
        anyhow::ensure!(free, "an earlier write still hangs");
        let (done, result) = oneshot::channel();
        let handle = tokio::task::spawn_blocking(move || {
            // Fails if the limit was exceeded.
            let _ = done.send(job());
        });
        match tokio::time::timeout(WRITE_LIMIT, result).await {
            Ok(result) => result.context("a fault in this program").flatten(),
            Err(_) => {
                self.hanging = Some(handle);
                anyhow::bail!("it takes longer than {} s", WRITE_LIMIT.as_secs())
            }
        }
    }

    async fn end(mut self) {
        // What is not finished by then is done again after the next start.
        let _ = tokio::time::timeout(WRITE_LIMIT, self.finish_background()).await;
        if let Some(journal) = self.journal.clone()
            && let Err(error) =
                self.within_limit(move || journal.sync_data().context("cannot sync the journal")).await
        {
            self.log_failure(&error);
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "another token_exporter keeps its state in {0}: give each process a --storage.path of its own, or none"
)]
struct InUse(String);

/// Creates the folder if necessary, and locks it for this process until the file is closed.
fn lock(folder: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(LOCK);
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(InUse(folder.display().to_string()).into()),
        Err(std::fs::TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {
            tracing::warn!(
                folder = %folder.display(),
                "this storage cannot be locked: see that no other process uses it"
            );
            Ok(file)
        }
        Err(std::fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}
