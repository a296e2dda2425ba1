//! Two threads for the two halves of reading a file: one takes its text apart, the other checks it.

use std::sync::mpsc::sync_channel;

/// The number of values that are sent together. Sending each by itself would cost as much as parsing it.
const BATCH: usize = 256;
/// Maximum number of batches that wait.
const BATCHES_AHEAD: usize = 16;

/// Runs `produce` in a thread of its own, some values ahead of `take`. It ends early once `take` has
/// returned false.
pub(super) fn ahead<T: Send, R: Send>(
    produce: impl FnOnce(&mut dyn FnMut(T) -> bool) -> R + Send,
    take: impl FnMut(T) -> bool,
) -> R {
    std::thread::scope(|scope| {
        let (sender, batches) = sync_channel::<Vec<T>>(BATCHES_AHEAD);
        let producer = scope.spawn(move || {
            let mut batch = Vec::with_capacity(BATCH);
            let result = produce(&mut |value| {
                batch.push(value);
                let full = batch.len() == BATCH;
                !full || sender.send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH))).is_ok()
            });
            // The receiver may have ended.
            let _ = sender.send(batch);
            result
        });
        // Drops the receiver at its end.
        let _ = batches.into_iter().flatten().all(take);
        producer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
