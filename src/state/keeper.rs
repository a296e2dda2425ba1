//! Keeps what is known on disk, and shows it to readers only then: what somebody has seen survives
//! a kill.
//!
//! Changes are gathered for a moment, appended to the journal and shown; a write that reached the
//! system is safe from a kill of this process, and every few seconds what was written is made safe
//! from a failure of power. When the journal has outgrown the base, the base is written anew beside
//! all that. Storage that fails or hangs is told, tried again and otherwise ignored: exporting goes
//! on. Knows no format (that is `snapshot`'s) and nothing of probes.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::disk;
use crate::state::{Changes, Snapshot, Store, View};
use crate::telemetry::{Heartbeat, Metrics};

/// Changes within this time share a write.
const GATHER: Duration = Duration::from_millis(50);
/// How often to look whether something is due.
const TICK: Duration = Duration::from_secs(1);
/// What was written is made safe from a failure of power this often.
const SYNC_EVERY: Duration = Duration::from_secs(5);
/// Storage that takes longer for a few lines hangs: readers do not wait for it any longer.
const WRITE_LIMIT: Duration = Duration::from_secs(5);
/// Storage that takes longer for everything hangs, too.
const REWRITE_LIMIT: Duration = Duration::from_secs(60);
/// After trouble, storage is tried again after this, or after so many times what the last try took.
const RETRY_AFTER: (Duration, u32) = (Duration::from_secs(5), 20);
/// A journal is replaced when it is larger than its base, and than this.
const SMALL_JOURNAL: u64 = 1 << 20;
/// In the storage folder: held by the process that uses it.
const LOCK: &str = "lock";

/// Keeps a store's changes, and shows them.
#[derive(Debug)]
pub struct StateWriter {
    store: Arc<Store>,
    shown: watch::Sender<Snapshot>,
    files: Option<Files>,
}

impl StateWriter {
    /// A keeper of this store in this folder, if any, and the view that it shows things in.
    ///
    /// # Errors
    /// When another process uses the folder.
    pub fn new(store: Arc<Store>, folder: Option<PathBuf>, metrics: Metrics) -> anyhow::Result<(Self, View)> {
        let (shown, view) = watch::channel(store.snapshot());
        let files = folder.map(|folder| Files::new(folder, metrics)).transpose()?;
        Ok((Self { store, shown, files }, View::new(view)))
    }

    /// Gives the store what is on disk, and shows that.
    pub fn restore(&mut self) {
        if let Some(files) = &mut self.files {
            files.generation = disk::restore(&files.folder, &self.store) + 1;
        }
        self.shown.send_replace(self.store.snapshot());
    }

    /// Keeps and shows changes until `stop` changes, and the last of them then.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>, mut pulse: Heartbeat) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = stop.changed() => break,
                () = pulse.answer() => {}
                () = self.store.changed() => {
                    self.keep().await;
                    tokio::time::sleep(GATHER).await;
                }
                _ = tick.tick() => if let Some(files) = &mut self.files {
                    files.look_after(&self.store).await;
                }
            }
        }
        self.keep().await;
        if let Some(files) = self.files {
            files.end().await;
        }
    }

    async fn keep(&mut self) {
        let changes = self.store.take_changes();
        if let Some(files) = &mut self.files {
            files.keep(&changes).await;
        }
        self.shown.send_replace(changes.snapshot);
    }
}

/// The files in the folder, and how they fare.
#[derive(Debug)]
struct Files {
    folder: PathBuf,
    metrics: Metrics,
    /// None while the folder cannot be used at all.
    lock: Option<File>,
    generation: u64,
    /// None until one was begun, and after one could not be written to.
    journal: Option<Arc<File>>,
    /// The sizes of the journal's lines and of the base.
    sizes: (u64, u64),
    /// Whether the next base goes with a journal of its own.
    turn: bool,
    /// When the base is to be written anew, if it is.
    rewrite_at: Option<Instant>,
    /// Since when there is something that a failure of power would take.
    unsynced: Option<Instant>,
    /// What is done beside all else.
    work: Option<Work>,
    /// A write that took too long and has not come back yet.
    hanging: Option<JoinHandle<()>>,
    /// Whether the last thing that was told is trouble.
    troubled: bool,
}

/// Work that is done beside all else.
#[derive(Debug)]
struct Work {
    since: Instant,
    /// The journal is made safe; else a base is written.
    syncing: bool,
    /// Ends with the size of the base.
    job: JoinHandle<anyhow::Result<u64>>,
}

impl Files {
    fn new(folder: PathBuf, metrics: Metrics) -> anyhow::Result<Self> {
        let mut files = Self {
            folder,
            metrics,
            lock: None,
            generation: 1,
            journal: None,
            sizes: (0, 0),
            turn: true,
            rewrite_at: Some(Instant::now()),
            unsynced: None,
            work: None,
            hanging: None,
            troubled: false,
        };
        match lock(&files.folder) {
            Ok(lock) => files.lock = Some(lock),
            Err(error) if error.is::<InUse>() => return Err(error),
            Err(error) => files.trouble(&error, Duration::ZERO),
        }
        Ok(files)
    }

    /// Puts changes where a kill cannot take them.
    async fn keep(&mut self, changes: &Changes) {
        if changes.inventory {
            // Who is gone goes from the files, too.
            self.turn = true;
            self.rewrite_at = self.rewrite_at.or(Some(Instant::now()));
        }
        self.rewrite(&changes.snapshot).await;
        let Some(journal) = self.journal.clone() else { return };
        let start = Instant::now();
        let lines = match disk::lines(changes) {
            Ok(lines) if lines.is_empty() => return,
            lines => lines.context("cannot write down what has changed"),
        };
        let size = lines.as_ref().map_or(0, Vec::len) as u64;
        let appended = match lines {
            Ok(lines) => {
                self.limited(move || (&*journal).write_all(&lines).context("cannot append to the journal"))
                    .await
            }
            Err(error) => Err(error),
        };
        match appended {
            Ok(()) => {
                self.sizes.0 += size;
                self.unsynced = self.unsynced.or(Some(start));
                if self.sizes.0 > self.sizes.1.max(SMALL_JOURNAL) && !self.turn {
                    self.turn = true;
                    self.rewrite_at = self.rewrite_at.or(Some(start));
                }
            }
            Err(error) => self.give_up_journal(&error, start.elapsed()),
        }
    }

    /// Nothing more is written to a journal that may end in half a line: all that is known goes
    /// into the next base.
    fn give_up_journal(&mut self, error: &anyhow::Error, took: Duration) {
        self.journal = None;
        self.unsynced = None;
        self.turn = true;
        self.trouble(error, took);
    }

    /// Begins to write the base anew, if that is due.
    async fn rewrite(&mut self, snapshot: &Snapshot) {
        let start = Instant::now();
        if self.work.is_some() || self.rewrite_at.is_none_or(|at| at > start) {
            return;
        }
        self.rewrite_at = None;
        if self.turn
            && let Err(error) = self.begin_journal().await
        {
            return self.trouble(&error, start.elapsed());
        }
        let (folder, generation, snapshot) = (self.folder.clone(), self.generation, snapshot.clone());
        let job = tokio::task::spawn_blocking(move || disk::write(&folder, generation, &snapshot));
        self.work = Some(Work { since: start, syncing: false, job });
    }

    async fn begin_journal(&mut self) -> anyhow::Result<()> {
        if self.lock.is_none() {
            let folder = self.folder.clone();
            self.lock = Some(self.limited(move || lock(&folder)).await?);
        }
        // One in which nothing stands can be begun once more.
        self.generation += u64::from(self.sizes.0 > 0);
        self.sizes.0 = 0;
        let (folder, generation) = (self.folder.clone(), self.generation);
        self.journal = Some(Arc::new(self.limited(move || disk::journal(&folder, generation)).await?));
        self.turn = false;
        Ok(())
    }

    /// Sees what has become of the work that is done beside all else, and begins what is due.
    async fn look_after(&mut self, store: &Store) {
        let now = Instant::now();
        if let Some(work) = &self.work {
            if !work.job.is_finished() {
                if now.duration_since(work.since) > REWRITE_LIMIT {
                    self.tell(&anyhow::anyhow!("it takes longer than {} s", REWRITE_LIMIT.as_secs()));
                }
                return;
            }
            self.finish_work().await;
        }
        self.rewrite(&store.snapshot()).await;
        if self.work.is_none()
            && let Some(journal) = self
                .journal
                .clone()
                .filter(|_| self.unsynced.is_some_and(|since| now.duration_since(since) > SYNC_EVERY))
        {
            self.unsynced = None;
            let (folder, generation) = (self.folder.clone(), self.generation);
            let job = tokio::task::spawn_blocking(move || {
                journal.sync_data().context("cannot sync the journal")?;
                // What is appended to a file that somebody has moved away is lost.
                anyhow::ensure!(
                    disk::is_in_place(&folder, generation, &journal),
                    "the journal is not there any more"
                );
                Ok(0)
            });
            self.work = Some(Work { since: now, syncing: true, job });
        }
    }

    /// Waits for the work beside all else, and sees what has become of it.
    async fn finish_work(&mut self) {
        let Some(Work { since, syncing, job }) = self.work.take() else { return };
        match job.await.context("a fault in this program").flatten() {
            // Whether what was appended is there, nobody knows after this.
            Err(error) if syncing => self.give_up_journal(&error, since.elapsed()),
            Err(error) => self.trouble(&error, since.elapsed()),
            Ok(_) if syncing => {}
            Ok(size) => {
                self.sizes.1 = size;
                // Unless a journal was given up meanwhile.
                if self.journal.is_some() && std::mem::take(&mut self.troubled) {
                    tracing::info!(folder = %self.folder.display(), "state is written again");
                }
            }
        }
    }

    /// Storage does not do what it should: to be tried again later.
    fn trouble(&mut self, error: &anyhow::Error, took: Duration) {
        self.rewrite_at = Some(Instant::now() + RETRY_AFTER.0.max(took * RETRY_AFTER.1));
        self.metrics.state_not_written();
        self.tell(error);
    }

    /// Tells of trouble, once until it is over.
    fn tell(&mut self, error: &anyhow::Error) {
        if !std::mem::replace(&mut self.troubled, true) {
            let folder = self.folder.display();
            tracing::error!(%folder, error = format!("{error:#}"), "state cannot be written: exporting goes on, but a restart would forget the latest");
        }
    }

    /// Does something to files away from the tasks that probe and serve, within a limit.
    async fn limited<T: Send + 'static>(
        &mut self,
        job: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        anyhow::ensure!(
            self.hanging.as_ref().is_none_or(JoinHandle::is_finished),
            "an earlier write still hangs"
        );
        let (done, result) = oneshot::channel();
        let job = tokio::task::spawn_blocking(move || {
            // Whoever wanted it may have given up.
            let _ = done.send(job());
        });
        match tokio::time::timeout(WRITE_LIMIT, result).await {
            Ok(result) => result.context("a fault in this program").flatten(),
            Err(_) => {
                self.hanging = Some(job);
                anyhow::bail!("it takes longer than {} s", WRITE_LIMIT.as_secs())
            }
        }
    }

    /// Makes what was written safe, within the limit.
    async fn end(mut self) {
        // What is left of it after that is tried anew at the next start.
        let _ = tokio::time::timeout(WRITE_LIMIT, self.finish_work()).await;
        if let Some(journal) = self.journal.clone()
            && let Err(error) =
                self.limited(move || journal.sync_data().context("cannot sync the journal")).await
        {
            self.tell(&error);
        }
    }
}

/// Another process uses the folder.
#[derive(Debug, thiserror::Error)]
#[error(
    "another token_exporter keeps its state in {0}: give each process a --storage.path of its own, or none"
)]
struct InUse(String);

/// Makes the folder if it is not there, and takes it for this process until the file is closed.
fn lock(folder: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(LOCK);
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(InUse(folder.display().to_string()).into()),
        Err(std::fs::TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {
            tracing::warn!(folder = %folder.display(), "this storage cannot be locked: see that no other process uses it");
            Ok(file)
        }
        Err(std::fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}
