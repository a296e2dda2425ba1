//! The README's examples are valid: its configuration loads, and promtool accepts its Prometheus
//! files.

use std::path::Path;
use std::process::Command;

use token_exporter::exposition::{FAMILIES, SMALL_FAMILIES};

const README: &str = include_str!("../../README.md");

/// The README's blocks of YAML.
fn blocks() -> Vec<&'static str> {
    README.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

fn promtool(arguments: &[&str], file: &Path) {
    let output = Command::new("promtool")
        .args(arguments)
        .arg(file)
        .output()
        .expect("promtool (tests/run installs it)");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn its_examples_are_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut checked = [0; 3];
    for (i, block) in blocks().into_iter().enumerate() {
        let file = folder.path().join(format!("{i}.yaml"));
        std::fs::write(&file, block).expect("written");
        if block.starts_with("groups:") {
            promtool(&["check", "rules"], &file);
            checked[0] += 1;
        } else if block.contains("scrape_configs:") {
            promtool(&["check", "config"], &file);
            checked[1] += 1;
        } else {
            token_exporter::config::load(&[file]).unwrap_or_else(|p| panic!("{p}"));
            checked[2] += 1;
        }
    }
    assert_eq!(checked, [1, 1, 2]);
}

#[test]
fn its_metrics_exist() {
    let known =
        |name: &str| FAMILIES.iter().any(|f| f.name == name) || SMALL_FAMILIES.iter().any(|f| f.name == name);
    let named = README.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| {
        (word.starts_with("connection_") || word.starts_with("token_")) && word.matches('_').count() > 1
            || matches!(*word, "connection_valid" | "connection_info")
    });
    let settings = ["token_file", "token_env", "token_command"];
    let unknown: Vec<&str> = named.filter(|word| !known(word) && !settings.contains(word)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
