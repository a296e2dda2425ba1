//! Programs that print a token.

use std::time::{Duration, Instant};

use token_exporter::inventory::SecretSource;
use token_exporter::source::Unreadable;

#[tokio::test]
async fn a_command_that_hangs_is_stopped() {
    let start = Instant::now();
    let command = SecretSource::Command(vec!["sleep".to_owned(), "60".to_owned()]);
    assert_eq!(command.read().await.err(), Some(Unreadable::TooSlow));
    assert!((10..20).contains(&start.elapsed().as_secs()));
}

async fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn children_of_a_command_end_with_it() {
    let note = tempfile::NamedTempFile::new().expect("a file");
    let script = format!("sleep 600 & echo $! >{}; wait", note.path().display());
    let command = SecretSource::Command(vec!["sh".to_owned(), "-c".to_owned(), script]);
    let started = until(|| std::fs::read_to_string(note.path()).ok()?.strip_suffix('\n').map(str::to_owned));
    let child = tokio::select! {
        _ = command.read() => String::new(),
        child = started => child,
    };
    assert!(!child.is_empty(), "the command ended early");
    // It may have ended as a zombie.
    let dead = |stat: String| stat.rsplit(") ").next().is_some_and(|state| state.starts_with('Z'));
    until(|| std::fs::read_to_string(format!("/proc/{child}/stat")).map_or(true, dead).then_some(())).await;
}
