//! Tells the program which build it is. The simulator's fixtures are embedded: rebuild when one is added.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=tests/fixtures");

    // A crate outside its own repository may lie in another one.
    let paths = ["--git-path", "HEAD", "--git-path", "refs/heads"];
    let git = if Path::new(".git").exists() {
        output(Command::new("git").args(["rev-parse", "HEAD", "--abbrev-ref", "HEAD"]).args(paths))
    } else {
        String::new()
    };
    let mut lines = git.lines();
    for name in ["REVISION", "BRANCH"] {
        let variable = format!("TOKEN_EXPORTER_{name}");
        println!("cargo::rerun-if-env-changed={variable}");
        let found = lines.next().unwrap_or("unknown");
        let given = env::var(variable).ok().filter(|value| !value.is_empty());
        println!("cargo::rustc-env=BUILD_{name}={}", given.as_deref().unwrap_or(found));
    }
    lines.for_each(|path| println!("cargo::rerun-if-changed={path}"));

    let rustc = output(Command::new(variable("RUSTC")).arg("--version"));
    let rust_version = rustc.split(' ').nth(1).unwrap_or("unknown");
    println!("cargo::rustc-env=BUILD_RUST_VERSION={rust_version}");
    println!("cargo::rustc-env=BUILD_TARGET={}", variable("TARGET"));
    let jemalloc = env::var_os("CARGO_FEATURE_JEMALLOC").is_some();
    println!("cargo::rustc-env=BUILD_FEATURES={}", if jemalloc { "jemalloc" } else { "none" });
}

/// Set by Cargo.
fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// What a program prints; empty if it fails or is not installed.
fn output(command: &mut Command) -> String {
    let output = command.output().ok().filter(|output| output.status.success());
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}
