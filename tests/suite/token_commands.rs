//! Programs that print a token.

use std::path::Path;
use std::time::{Duration, Instant};

use token_exporter::inventory::SecretSource;
use token_exporter::source::Unreadable;

use crate::prometheus::eventually;

#[tokio::test]
async fn a_command_that_hangs_is_stopped() {
    let start = Instant::now();
    let command = SecretSource::Command(vec!["sleep".to_owned(), "60".to_owned()]);
    assert_eq!(command.read().await.err(), Some(Unreadable::TooSlow(10)));
    assert!((10..20).contains(&start.elapsed().as_secs()));
}

async fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    eventually(what, Duration::from_secs(30), async || ask()).await
}

/// Waits until a process has ended. It may then be a zombie.
pub(crate) async fn ends(process: &str) {
    let dead = |stat: String| stat.rsplit(") ").next().is_some_and(|state| state.starts_with('Z'));
    until("the process ends", || {
        std::fs::read_to_string(format!("/proc/{process}/stat")).map_or(true, dead).then_some(())
    })
    .await;
}

/// The process id that a script has written to a file.
pub(crate) async fn noted(note: &Path) -> String {
    until("a process id is noted", || {
        std::fs::read_to_string(note).ok()?.strip_suffix('\n').map(str::to_owned)
    })
    .await
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn children_of_a_command_end_with_it() {
    let note = tempfile::NamedTempFile::new().expect("a file");
    let script = format!("sleep 600 & echo $! >{}; wait", note.path().display());
    let command = SecretSource::Command(vec!["sh".to_owned(), "-c".to_owned(), script]);
    let child = tokio::select! {
        _ = command.read() => String::new(),
        child = noted(note.path()) => child,
    };
    assert!(!child.is_empty(), "the command ended early");
    ends(&child).await;
}

/// A child that holds the output open neither delays the token nor outlives the command.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_command_that_leaves_children_behind_gives_its_token() {
    let note = tempfile::NamedTempFile::new().expect("a file");
    let script = format!("sleep 600 & echo $! >{}; echo sim-token", note.path().display());
    let command = SecretSource::Command(vec!["sh".to_owned(), "-c".to_owned(), script]);
    let token = command.read().await.map(|(secret, _)| secret.reveal().to_owned());
    assert_eq!(token, Ok("sim-token".to_owned()));
    ends(&noted(note.path()).await).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_check_that_is_interrupted_ends_its_commands() {
    for signal in ["INT", "TERM", "HUP"] {
        let folder = tempfile::tempdir().expect("a folder");
        let (note, config) = (folder.path().join("note"), folder.path().join("config.yaml"));
        let script = format!("sleep 600 & echo $! >{}; wait", note.display());
        let account = format!("{{id: a, network: mastodon, token_command: [sh, -c, {script:?}]}}");
        std::fs::write(&config, format!("accounts: [{account}]\n")).expect("written");
        let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_token_exporter"))
            .args(["check", "--config.file"])
            .arg(&config)
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("the program");
        let child = noted(&note).await;
        let kill = format!("kill -{signal} {}", check.id());
        assert!(std::process::Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
        ends(&child).await;
        let end = until("the check ends", || check.try_wait().expect("its state")).await;
        assert_eq!(end.code(), Some(2), "{signal}");
    }
}
