//! What is installed beside the program: manual pages and completions. Also its version and its crate.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory as _;
use token_exporter::cli::Cli;
use token_exporter::telemetry::Metrics;

use crate::cli::{run, text};
use crate::deploy::tool;

/// All commands, each with its name as in `token_exporter-generate-rules`.
fn commands() -> Vec<(String, clap::Command)> {
    fn add(command: &clap::Command, name: String, all: &mut Vec<(String, clap::Command)>) {
        for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
            add(subcommand, format!("{name}-{}", subcommand.get_name()), all);
        }
        all.push((name, command.clone()));
    }
    let mut command = Cli::command();
    command.build();
    let mut all = Vec::new();
    add(&command, "token_exporter".to_owned(), &mut all);
    all
}

fn options(command: &clap::Command) -> impl Iterator<Item = String> {
    command.get_arguments().filter_map(|argument| Some(format!("--{}", argument.get_long()?)))
}

/// Asserts that a tool has nothing to say about files. Skipped if the tool is not installed.
fn assert_accepted(program: &str, arguments: &[&str], files: &[PathBuf]) {
    let Some(output) = tool(Command::new(program).args(arguments).args(files)) else { return };
    let said = [output.stdout, output.stderr].map(|bytes| text(&bytes)).concat();
    assert!(output.status.success() && said.is_empty(), "{program} {files:?}: {said}");
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let man = folder.path().join("man/man1");
    let output = run(&["man", man.to_str().expect("a path")], "");
    assert!(output.status.success() && output.stdout.is_empty(), "{}", text(&output.stderr));

    let entries = std::fs::read_dir(&man).expect("a folder").map(|entry| entry.expect("an entry"));
    let written: BTreeSet<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let commands = commands();
    assert!(commands.len() > 12, "{commands:?}");
    assert_eq!(written, commands.iter().map(|(name, _)| format!("{name}.1")).collect());

    let mut files = Vec::new();
    for (name, command) in commands {
        let file = man.join(format!("{name}.1"));
        let page = std::fs::read_to_string(&file).expect("a page").replace("\\-", "-");
        let title = format!(".TH {name} 1 \"\" \"token_exporter {}\"", env!("CARGO_PKG_VERSION"));
        assert!(page.contains(&title), "{page}");
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{page}");
        assert!(options(&command).all(|option| page.contains(&option)), "{page}");
        files.push(file);
    }
    // Lines that cannot be justified are no problem.
    assert_accepted("groff", &["-man", "-Tutf8", "-K", "utf8", "-ww", "-W", "break", "-z"], &files);
    assert_accepted("mandoc", &["-T", "lint", "-W", "error"], &files);
}

#[test]
fn shells_accept_their_completions() {
    let folder = tempfile::tempdir().expect("a folder");
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let output = run(&["completions", shell], "");
        let script = text(&output.stdout);
        assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {}", text(&output.stderr));
        for (name, command) in commands() {
            assert!(script.contains(command.get_name()), "{shell}: {name} is missing");
            // Fish has the names of options without their hyphens.
            let missing = options(&command).find(|option| !script.contains(option.trim_start_matches('-')));
            assert_eq!(missing, None, "{shell}: {name}");
        }
        let file = folder.path().join(shell);
        std::fs::write(&file, script).expect("written");
        assert_accepted(shell, &[check], &[file]);
    }
    assert_eq!(run(&["completions", "sh"], "").status.code(), Some(2));
}

#[test]
fn bash_completes_commands_options_and_values() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("token_exporter.bash");
    std::fs::write(&script, run(&["completions", "bash"], "").stdout).expect("written");
    for (words, expected) in [
        ("token_exporter hea", "healthcheck"),
        ("token_exporter --web.sys", "--web.systemd-socket"),
        ("token_exporter generate rules --graf", "--grafana-url"),
        ("token_exporter check --output j", "json"),
    ] {
        let complete = format!(
            "source \"$0\"; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _token_exporter token_exporter \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; \
             echo \"${{COMPREPLY[@]}}\""
        );
        let output = Command::new("bash").args(["-c", &complete]).arg(&script).output().expect("bash");
        assert_eq!(text(&output.stdout).trim_end(), expected, "{words}: {}", text(&output.stderr));
    }
}

#[test]
fn the_version_is_printed_as_by_prometheus_programs() {
    let metrics = Metrics::new().expect("metrics").gather();
    let info = metrics.iter().find(|family| family.name() == "token_exporter_build_info").expect("a metric");
    let labels = info.get_metric()[0].get_label();
    let labels: Vec<(&str, &str)> = labels.iter().map(|label| (label.name(), label.value())).collect();
    let [("branch", branch), ("revision", revision), ("rustversion", rust), ("version", version)] =
        labels[..]
    else {
        panic!("{labels:?}");
    };
    let printed = text(&run(&["--version"], "").stdout);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    assert_eq!(
        lines[0],
        format!("token_exporter, version {version} (branch: {branch}, revision: {revision})")
    );
    assert_eq!(lines[1], format!("  rust version:     {rust}"));
    assert!(lines[2].starts_with("  platform:         ") && lines[2].contains("-linux-"), "{printed}");
    assert!(lines[3].starts_with("  features:         "), "{printed}");
    assert_eq!(lines.len(), 4, "{printed}");
    assert_eq!(printed, text(&run(&["-V"], "").stdout));

    let msrv: Vec<u32> = env!("CARGO_PKG_RUST_VERSION").split('.').map(|n| n.parse().unwrap()).collect();
    let used: Vec<u32> = rust.split(['.', '-']).map_while(|n| n.parse().ok()).collect();
    assert!(used >= msrv && used.len() == 3, "{rust}");
}

/// The build script, run in folders of which one is a clone.
#[test]
fn the_revision_comes_from_git_or_from_the_packager() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("build-script");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
    let rustc = Command::new("rustc").args(["--edition", "2024", "-o"]).arg(&script).arg(&source).output();
    let rustc = rustc.expect("rustc");
    assert!(rustc.status.success(), "{}", text(&rustc.stderr));
    let clone = folder.path().join("clone");
    let inside = clone.join("vendor");
    std::fs::create_dir_all(&inside).expect("a folder");
    let git = |arguments: &[&str]| {
        let author = ["-c", "user.name=Jane", "-c", "user.email=jane@example.com"];
        let output = tool(Command::new("git").args(author).args(arguments).current_dir(&clone))?;
        assert!(output.status.success(), "{}", text(&output.stderr));
        Some(text(&output.stdout).trim_end().to_owned())
    };
    if git(&["init", "-q", "-b", "topic"]).is_none() {
        return;
    }
    git(&["commit", "-q", "--allow-empty", "-m", "First"]);
    let commit = git(&["rev-parse", "HEAD"]).expect("a commit");
    let built = |folder: &Path, given: &str| {
        let mut command = Command::new(&script);
        command.current_dir(folder).env("RUSTC", "rustc").env("TARGET", "x86_64-unknown-linux-musl");
        command.env("TOKEN_EXPORTER_REVISION", given).env_remove("TOKEN_EXPORTER_BRANCH");
        let output = command.output().expect("the build script");
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let says = |output: &str, revision: &str, branch: &str| {
        let line = |name: &str, value: &str| format!("cargo::rustc-env=BUILD_{name}={value}\n");
        output.contains(&line("REVISION", revision)) && output.contains(&line("BRANCH", branch))
    };
    let output = built(&clone, "");
    assert!(says(&output, &commit, "topic"), "{output}");
    for watched in [".git/HEAD", ".git/refs/heads"] {
        assert!(output.contains(&format!("cargo::rerun-if-changed={watched}\n")), "{output}");
    }
    assert!(says(&built(&clone, "abc"), "abc", "topic"));
    let output = built(&inside, "");
    assert!(says(&output, "unknown", "unknown") && !output.contains(".git"), "{output}");
}

/// The crate can be built: it has every file that the program embeds, and no tests.
#[test]
fn the_crate_holds_what_the_program_is_built_from() {
    fn files(folder: &Path, all: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                files(&path, all);
            } else {
                let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("a file of the project");
                all.insert(name.display().to_string());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut needed: BTreeSet<String> =
        ["Cargo.toml", "Cargo.lock", "build.rs", "README.md", "LICENSE"].map(str::to_owned).into();
    for folder in ["src", "recipes", "tests/fixtures"] {
        files(&root.join(folder), &mut needed);
    }
    let output = Command::new(env!("CARGO"))
        .args(["package", "--list", "--offline", "--locked", "--allow-dirty"])
        .current_dir(root)
        .output()
        .expect("cargo");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let packed: BTreeSet<String> = text(&output.stdout).lines().map(str::to_owned).collect();
    let missing: Vec<&String> = needed.difference(&packed).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let tests =
        packed.iter().filter(|file| file.starts_with("tests/") && !file.starts_with("tests/fixtures/"));
    assert_eq!(tests.count(), 0);
}
