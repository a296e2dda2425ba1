//! What must hold whatever comes in: one function for each kind of input, which takes raw bytes and
//! panics if a promise is broken.
//!
//! The fuzzer's targets call these with bytes of its own making; the project's tests call them with
//! every seed, so that nothing here rots between two fuzzing sessions. [`seeds`] makes the seeds
//! from the project's fixtures.

pub mod challenge;
pub mod config;
pub mod network;
pub mod seeds;
pub mod snapshot;
pub mod token;
pub mod web;

/// Stands for a secret in seeds and dictionaries: nothing that the program says may hold it. It is
/// random enough for the program to take it for a token wherever it stands.
pub const CANARY: &str = "EAAfuzzCANARY7x9Kq2";

/// What was refused is told, in messages that quote no secret and end.
fn told(problems: &token_exporter::config::Problems) {
    assert!(!problems.list.is_empty());
    for problem in &problems.list {
        let text = problem.to_string();
        assert!(!text.contains(CANARY), "a secret shows in {text}");
        assert!(text.len() < 4096, "a message without end: {text}");
    }
}

/// A folder of this process, in memory where the system has such a place.
fn folder() -> &'static std::path::Path {
    static FOLDER: std::sync::OnceLock<tempfile::TempDir> = std::sync::OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let memory = std::path::Path::new("/dev/shm");
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
                .expect("a folder")
        })
        .path()
}
