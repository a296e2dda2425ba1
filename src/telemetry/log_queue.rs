//! A bounded queue in front of standard error. Logging never waits for whoever reads the log: lines
//! that do not fit, or cannot be written, are dropped and counted.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

/// Maximum number of lines that wait to be written.
const MAX_LINES: usize = 2048;
/// Time limit for writing what waits when the process ends.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

static QUEUE: OnceLock<SyncSender<Message>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

enum Message {
    Line(Vec<u8>),
    /// Asks for a reply once all lines before it are written.
    Flush(SyncSender<()>),
}

/// Puts each line that is written to it into the queue.
pub(super) struct QueueWriter;

impl QueueWriter {
    pub(super) fn start() -> Self {
        QUEUE.get_or_init(|| {
            let (queue, messages) = sync_channel(MAX_LINES);
            std::thread::spawn(move || write_lines(messages));
            queue
        });
        Self
    }
}

impl Write for QueueWriter {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        if QUEUE.get().is_none_or(|queue| queue.try_send(Message::Line(line.to_vec())).is_err()) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn write_lines(messages: Receiver<Message>) {
    for message in messages {
        match message {
            Message::Line(line) => {
                if std::io::stderr().write_all(&line).is_err() {
                    DROPPED.fetch_add(1, Ordering::Relaxed);
                }
            }
            Message::Flush(done) => {
                // Fails if the time limit has passed.
                let _ = done.send(());
            }
        }
    }
}

/// Number of lines that were dropped since the start.
pub(super) fn dropped_lines() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Waits until the log is written, but not for long: its reader may have stopped reading.
pub fn flush_log() {
    let Some(queue) = QUEUE.get() else { return };
    let (done, written) = sync_channel(1);
    let start = Instant::now();
    while let Err(TrySendError::Full(_)) = queue.try_send(Message::Flush(done.clone())) {
        if start.elapsed() >= FLUSH_LIMIT {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = written.recv_timeout(FLUSH_LIMIT);
}
