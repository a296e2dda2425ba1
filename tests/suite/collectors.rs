//! The configurations of docs/collectors.md: each is shown there, is valid, and names the program's
//! own port and paths.

use std::path::PathBuf;
use std::process::Command;

use clap::CommandFactory as _;
use serde_yaml::{Mapping, Value};
use token_exporter::cli::Cli;

use crate::alerts::{root, tool};
use crate::deploy::tool as optional_tool;

const HOST: &str = "token-exporter.example.com";

fn examples() -> PathBuf {
    root().join("docs/examples")
}

/// The names of the examples, without the server of docs/sources/http.md.
fn names() -> Vec<String> {
    let entries = std::fs::read_dir(examples()).expect("the examples");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    let mut names: Vec<String> = names.filter(|name| !name.ends_with(".py")).collect();
    names.sort();
    names
}

fn text(name: &str) -> String {
    std::fs::read_to_string(examples().join(name)).expect("an example")
}

fn yaml(name: &str) -> Value {
    serde_yaml::from_str(&text(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_mapping().into_iter().flat_map(Mapping::keys).filter_map(Value::as_str).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_sequence().map_or(&[], Vec::as_slice)
}

/// The jobs of a file, which the collectors' own formats have at another place.
fn jobs(example: &Value) -> &[Value] {
    let own = &example["receivers"]["prometheus"]["config"]["scrape_configs"];
    list(if own.is_null() { &example["scrape_configs"] } else { own })
}

/// The default of a flag.
fn default(flag: &str) -> String {
    let command = Cli::command();
    let argument = command.get_arguments().find(|a| a.get_long() == Some(flag)).expect("the flag");
    argument.get_default_values().first().and_then(|value| value.to_str()).expect("a default").to_owned()
}

/// Checks a configuration with promtool, beside the files that it names.
fn promtool(arguments: &[&str], name: &str, config: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = root().join("alerts/connections.rules.yml");
    std::fs::copy(rules, folder.path().join("connections.rules.yml")).expect("copied");
    for file in ["token-exporter-password", "token-exporter-ca.crt", "remote-write-password"] {
        std::fs::write(folder.path().join(file), "").expect("written");
    }
    let file = folder.path().join(name);
    std::fs::write(&file, config).expect("written");
    tool("promtool", arguments, &file);
}

#[test]
fn every_example_is_shown_in_the_guide() {
    let guide = std::fs::read_to_string(root().join("docs/collectors.md")).expect("the guide");
    let names = names();
    assert!(names.len() >= 9, "{names:?}");
    for name in &names {
        assert!(guide.contains(&format!("(examples/{name})")), "docs/collectors.md does not show {name}");
    }
    for shown in guide.split("(examples/").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(names.iter().any(|name| name == shown), "docs/collectors.md shows {shown}");
    }
}

#[test]
fn examples_name_the_port_and_the_paths_of_the_program() {
    let address = default("web.listen-address");
    // The path that all collectors use if they are told no other.
    assert_eq!(default("web.telemetry-path"), "/metrics");
    let mut hosts = 0;
    for name in names() {
        let text = text(&name);
        for rest in text.split(HOST).skip(1) {
            let end = rest.trim_start_matches(&address);
            assert!(rest.starts_with(&address) && !end.starts_with(char::is_numeric), "{name}: {HOST}{rest}");
            hosts += 1;
        }
        if name.ends_with(".alloy") {
            continue;
        }
        for job in jobs(&yaml(&name)) {
            let path = job["metrics_path"].as_str().unwrap_or("/metrics");
            let discovered = list(&job["http_sd_configs"]);
            assert_eq!(path, if discovered.is_empty() { "/metrics" } else { "/probe" }, "{name}");
            for source in discovered {
                let url = source["url"].as_str().expect("a URL");
                assert_eq!(url, format!("http://{HOST}{address}/sd"), "{name}");
            }
        }
    }
    assert!(hosts >= 9, "{hosts}");
}

#[test]
fn promtool_takes_the_examples_for_prometheus() {
    for name in ["prometheus.yml", "prometheus-tls.yml", "prometheus-sd.yml"] {
        promtool(&["check", "config"], name, &text(name));
    }
    let agent = "prometheus-agent.yml";
    promtool(&["check", "config", "--agent"], agent, &text(agent));
    let rules = "vmalert.rules.yml";
    promtool(&["check", "rules", "--lint=all", "--lint-fatal"], rules, &text(rules));
}

/// What vmagent reads of a configuration; it refuses the rest.
#[test]
fn the_example_for_vmagent_has_only_what_vmagent_reads() {
    let name = "vmagent.yml";
    assert_eq!(keys(&yaml(name)), ["global", "scrape_configs"]);
    promtool(&["check", "config"], name, &text(name));
    let check = |program: &str, flag: &str, name: &str| {
        let flag = format!("{flag}={}", examples().join(name).display());
        if let Some(output) = optional_tool(Command::new(program).args(["-dryRun", &flag])) {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    };
    check("vmagent", "-promscrape.config", name);
    check("vmalert", "-rule", "vmalert.rules.yml");
}

/// An example for vmalert reads nothing that another rule writes.
#[test]
fn the_rules_for_vmalert_do_not_build_on_each_other() {
    let rules = yaml("vmalert.rules.yml");
    let rules = list(&rules["groups"]).iter().flat_map(|group| list(&group["rules"]));
    let expressions: Vec<&str> = rules
        .map(|rule| {
            assert!(rule["record"].is_null(), "{rule:?}");
            rule["expr"].as_str().expect("an expression")
        })
        .collect();
    assert!(expressions.len() >= 3 && expressions.iter().all(|e| !e.contains("connection:")));
}

/// A component of the OpenTelemetry Collector: its kind, its name and its settings.
type Component = (&'static str, &'static str, &'static [&'static str]);

/// The examples for the OpenTelemetry Collector, with their components besides the receiver.
const OPENTELEMETRY: [(&str, &[Component]); 2] = [
    ("otel-collector.yaml", &[("exporters", "prometheus_remote_write", &["http"])]),
    (
        "otel-collector-otlp.yaml",
        &[
            ("exporters", "otlp_http", &["endpoint"]),
            ("processors", "batch", &["send_batch_size", "send_batch_max_size"]),
        ],
    ),
];

#[test]
fn the_examples_for_the_opentelemetry_collector_are_complete() {
    for (name, components) in OPENTELEMETRY {
        let example = yaml(name);
        assert_eq!(keys(&example["receivers"]["prometheus"]["config"]), ["scrape_configs"], "{name}");
        for (kind, component, settings) in components {
            assert_eq!(keys(&example[*kind]), [*component], "{name}");
            assert_eq!(keys(&example[*kind][*component]), *settings, "{name}");
        }
        let pipeline = &example["service"]["pipelines"]["metrics"];
        for kind in keys(pipeline) {
            let used: Vec<&str> = list(&pipeline[kind]).iter().filter_map(Value::as_str).collect();
            assert_eq!(used, keys(&example[kind]), "{name}: {kind}");
        }
        assert_eq!(keys(pipeline).len() + 1, keys(&example).len(), "{name}: an unused component");

        // What the receiver takes is Prometheus' own; one key is newer than Debian's promtool.
        let mut jobs = jobs(&example).to_vec();
        for job in &mut jobs {
            let job = job.as_mapping_mut().expect("a job");
            let formats = job.remove("scrape_protocols").expect("info metrics need the text format");
            assert_eq!(list(&formats), ["PrometheusText0.0.4"], "{name}");
        }
        let config = Value::Mapping(Mapping::from_iter([("scrape_configs".into(), jobs.into())]));
        promtool(&["check", "config"], "prometheus.yml", &serde_yaml::to_string(&config).expect("YAML"));
    }
}

/// The arguments and blocks of Alloy's components that the example uses.
const ALLOY: [(&str, &[&str]); 4] = [
    ("prometheus.scrape", &["targets", "job_name", "scrape_interval", "scrape_timeout", "forward_to"]),
    ("prometheus.remote_write", &["endpoint"]),
    ("endpoint", &["url", "basic_auth"]),
    ("basic_auth", &["username", "password_file"]),
];

#[test]
fn the_example_for_alloy_has_known_blocks_and_arguments() {
    let text = text("token_exporter.alloy");
    let mut open: Vec<&str> = Vec::new();
    let mut components = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")) {
        let known = |name: &str| {
            let (_, inside) = ALLOY.iter().find(|(block, _)| open.last() == Some(block)).expect("a block");
            assert!(inside.contains(&name), "{line}");
        };
        if line == "}" {
            open.pop().expect("an open block");
        } else if let Some(block) = line.strip_suffix(" {") {
            let name = block.split(' ').next().expect("a name");
            if open.is_empty() {
                let label = block.split('"').nth(1).expect("a label");
                components.push(format!("{name}.{label}"));
            } else {
                known(name);
            }
            open.push(name);
        } else {
            known(line.split_once('=').expect("an argument").0.trim());
        }
    }
    assert!(open.is_empty(), "{open:?}");
    assert_eq!(components, ["prometheus.scrape.token_exporter", "prometheus.remote_write.central"]);
    assert!(text.contains(&format!("[{}.receiver]", components[1])));
}
