//! One source file, one folder of fixtures and one line make a network, as `CONTRIBUTING.md` says.
//!
//! A copy of the program is given the made-up network in `tests/new_network`, compiled, tested with
//! the tests that hold for every network, and run. What is already compiled (the dependencies, and
//! the copy itself where nothing has changed) is used again.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What the program and its tests consist of.
const PARTS: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "build.rs",
    "README.md",
    "config.example.yaml",
    "alerts/templates",
    "benches",
    "docs",
    "recipes",
    "src",
    "tests/golden",
    "tests/fixtures",
    "tests/suite",
];

/// The tests of the copy: those that look at every network.
const TESTS: &str = "mod conformance;\nmod docs;\nmod exposition;\nmod golden;\nmod probing;\nmod reading;\n";

/// Writes a file unless it is there already: an untouched file is not compiled again.
fn write(path: &Path, text: &[u8]) {
    if std::fs::read(path).ok().as_deref() != Some(text) {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("written");
    }
}

const LIST: &str = "src/network/mod.rs";
const MAIN: &str = "tests/suite/main.rs";

fn copy(part: &str, to: &Path) {
    let from = Path::new(ROOT).join(part);
    if from.is_dir() {
        remove_stale(&to.join(part), &from);
        for entry in std::fs::read_dir(from).expect("a folder") {
            let name = entry.expect("an entry").file_name();
            copy(&format!("{part}/{}", name.to_str().expect("a name")), to);
        }
    } else if part != LIST && part != MAIN {
        write(&to.join(part), &std::fs::read(from).expect("a file"));
    }
}

/// Removes what an earlier copy of a folder has and the folder no longer has, except Fotogram.
fn remove_stale(copied: &Path, from: &Path) {
    for entry in std::fs::read_dir(copied).into_iter().flatten() {
        let entry = entry.expect("an entry");
        let (path, name) = (entry.path(), entry.file_name());
        if !from.join(&name).exists() && !name.to_string_lossy().starts_with("fotogram") {
            if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
                .expect("removed");
        }
    }
}

/// The program with Fotogram: one file, one folder, one line.
fn copy_with_fotogram() -> PathBuf {
    let copied = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new_network");
    PARTS.iter().for_each(|part| copy(part, &copied));
    let text = |path: &str| std::fs::read_to_string(Path::new(ROOT).join(path)).expect("a file");

    write(&copied.join("src/network/fotogram.rs"), text("tests/new_network/fotogram.rs").as_bytes());
    let fixtures = copied.join("tests/fixtures/fotogram/answers.yaml");
    write(&fixtures, text("tests/new_network/fotogram.yaml").as_bytes());
    let last = "    mod oauth2: OAuth2,\n";
    let list = text(LIST).replace(last, &format!("    mod fotogram: Fotogram,\n{last}"));
    write(&copied.join(LIST), list.as_bytes());

    let main = text(MAIN);
    let head = main.split("\nmod ").next().expect("attributes");
    write(&copied.join(MAIN), format!("{head}\n{TESTS}").as_bytes());
    copied
}

/// Runs a program to its end. Cargo's own settings for this test are not handed on.
fn run(command: &mut Command, input: &str) -> String {
    let own = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_PKG_"));
    own.for_each(|(name, _)| _ = command.env_remove(name));
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    child.stdin.take().expect("an input").write_all(input.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("an end");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{stdout}{stderr}");
    stdout
}

#[test]
fn one_file_one_folder_and_one_line_are_a_network() {
    let copied = copy_with_fotogram();
    let target = copied.join("target");
    // What is compiled lies beside that of this test, what is finished apart from it.
    let compiled = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder");
    let tests = run(
        Command::new(env!("CARGO"))
            .args(["test", "--quiet", "--offline", "--locked", "--test", "suite", "--"])
            .args(["docs::the_pages", "docs::the_lists", "docs::every_reason", "docs::advice"])
            .args(["conformance::", "reading::", "probing::every_case"])
            .current_dir(&copied)
            .env("CARGO_BUILD_BUILD_DIR", compiled)
            .env("CARGO_TARGET_DIR", &target)
            .env("UPDATE_GOLDEN", "1"),
        "",
    );
    assert!(tests.contains("test result: ok"), "{tests}");

    for (file, known) in [
        ("docs/networks.md", "## Fotogram"),
        ("docs/networks.md", "https://api.fotogram.example/v1/me"),
        ("docs/reasons.md", "Open the Fotogram app"),
        ("docs/metrics.md", "`fotogram`"),
        ("docs/openapi.yaml", "mastodon, fotogram, oauth2]"),
        ("README.md", "Mastodon, Fotogram, and any OAuth 2.0 provider"),
        ("config.example.yaml", "mastodon fotogram oauth2"),
        ("alerts/templates/token_exporter.en.tmpl", r#"if eq $label "fotogram" }}{{ $network = "Fotogram""#),
    ] {
        let text = std::fs::read_to_string(copied.join(file)).expect("a file").replace('\n', " ");
        assert!(text.contains(known), "{file} does not know {known}");
    }

    let program = || Command::new(target.join("debug/token_exporter"));
    let config = copied.join("config.yaml");
    let yaml = "accounts:\n  - {id: acme, network: fotogram, token_file: token}\n";
    write(&config, yaml.as_bytes());
    write(&copied.join("token"), b"sim-token");
    run(program().arg("--config.file").arg(&config).arg("--config.check"), "");

    let closed = run(program().args(["classify", "--network", "fotogram"]), r#"{"code": "closed"}"#);
    assert!(closed.contains("account_deactivated") && closed.contains("Open the Fotogram app"), "{closed}");
}
