//! Shared parts of the benches: example accounts, medians, and writing `docs/performance.md`.
#![allow(dead_code, reason = "no bench needs all of it")]

use std::fmt::Write as _;
use std::io::Read as _;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

/// The same as the program's.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Whether accounts share credentials.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Ten accounts per credential.
    Shared,
    /// One account per credential.
    Own,
}

impl Shape {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Shared => "10",
            Self::Own => "1",
        }
    }
}

/// How account files are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileFormat {
    Yaml,
    JsonLines,
}

impl FileFormat {
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::Yaml => "yml",
            Self::JsonLines => "jsonl",
        }
    }
}

/// Accounts per file.
const PER_FILE: usize = 10_000;

/// Writes a configuration of accounts with eight labels each and with token files. Returns its size
/// in bytes.
pub(crate) fn configuration(folder: &Path, accounts: usize, shape: Shape, format: FileFormat) -> usize {
    std::fs::create_dir_all(folder.join("accounts.d")).expect("a folder");
    let token = folder.join("accounts.d/token");
    std::fs::write(&token, "sim-token").expect("written");
    #[cfg(unix)]
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("for the owner alone");
    // Nothing listens on port 9, so probes end at once.
    const BASE: &str = "base_url: http://127.0.0.1:9";
    let mut main = "global: {probe_interval: 1d, notify: [ops@example.com]}\naccount_files: \
                    [\"accounts.d/0*\"]\n"
        .to_owned();
    let mut logins = String::new();
    for i in (0..accounts.div_ceil(10)).filter(|_| shape == Shape::Shared) {
        let person = i % 500;
        let _ = match format {
            FileFormat::Yaml => writeln!(
                logins,
                "  - {{id: login-{i}, network: mastodon, connected_by: Person {person}, token_file: \
                 accounts.d/token, {BASE}}}"
            ),
            FileFormat::JsonLines => writeln!(
                logins,
                "{}",
                json!({"credential": {
                    "id": format!("login-{i}"), "network": "mastodon", "connected_by": format!("Person {person}"),
                    "token_file": "token", "base_url": "http://127.0.0.1:9"
                }})
            ),
        };
    }
    if format == FileFormat::JsonLines {
        std::fs::write(folder.join("accounts.d/0.jsonl"), &logins).expect("written");
    } else if !logins.is_empty() {
        main += &format!("credentials:\n{logins}");
    }
    let mut bytes = main.len() + if format == FileFormat::JsonLines { logins.len() } else { 0 };
    std::fs::write(folder.join("config.yaml"), main).expect("written");
    for first in (0..accounts).step_by(PER_FILE) {
        let mut text = String::new();
        for i in first..accounts.min(first + PER_FILE) {
            let (team, brand, person, by) = (i % 50, i % 300, i % 1000, i % 500);
            if format == FileFormat::JsonLines {
                let mut row = json!({
                    "id": format!("account-{i}"),
                    "name": format!("Account number {i}"),
                    "network": "mastodon",
                    "external_id": format!("10000{i:07}"),
                    "notify": [format!("person-{person}@example.com")],
                    "reconnect_url": format!("https://app.example.com/reconnect/account-{i}"),
                    "labels": {
                        "team": format!("team-{team}"), "country": "DE", "region": "emea",
                        "brand": format!("brand-{brand}"), "tier": "gold", "owner": format!("person-{person}"),
                        "customer": format!("customer-{i}"), "env": "prod"
                    }
                });
                match shape {
                    Shape::Shared => row["credential"] = format!("login-{}", i / 10).into(),
                    Shape::Own => {
                        row["token_file"] = "token".into();
                        row["connected_by"] = format!("Person {by}").into();
                        row["base_url"] = "http://127.0.0.1:9".into();
                    }
                }
                let _ = writeln!(text, "{row}");
                continue;
            }
            let login = match shape {
                Shape::Shared => format!("credential: login-{}", i / 10),
                Shape::Own => format!("token_file: token\n  connected_by: Person {by}\n  {BASE}"),
            };
            let _ = write!(
                text,
                "- id: account-{i}\n  name: Account number {i}\n  network: mastodon\n  external_id: \"10000{i:07}\"\n  {login}\n  \
                 notify: [person-{person}@example.com]\n  reconnect_url: https://app.example.com/reconnect/account-{i}\n  labels:\n    \
                 team: team-{team}\n    country: DE\n    region: emea\n    brand: brand-{brand}\n    tier: gold\n    owner: person-{person}\n    \
                 customer: customer-{i}\n    env: prod\n"
            );
        }
        bytes += text.len();
        let file = format!("accounts.d/{:06}.{}", first / PER_FILE, format.ending());
        std::fs::write(folder.join(file), text).expect("written");
    }
    bytes
}

/// The numbers of accounts: up to a million, or up to `ACCOUNTS`.
pub(crate) fn sizes() -> Vec<usize> {
    let most = std::env::var("ACCOUNTS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    [1_000, 10_000, 100_000, 1_000_000].into_iter().filter(|n| *n <= most).collect()
}

/// Whether to run a part of a bench: all parts, unless some are named (`cargo bench --bench
/// exposition -- rendering`).
pub(crate) fn wanted(part: &str) -> bool {
    let mut named = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).peekable();
    named.peek().is_none() || named.any(|name| name == part)
}

pub(crate) fn time(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

/// Runs two things in turn. Returns the medians of their times, and of the ratios of neighbouring
/// runs.
pub(crate) fn side_by_side(
    rounds: usize,
    mut one: impl FnMut(),
    mut other: impl FnMut(),
) -> (Duration, Duration, f64) {
    let runs: Vec<(Duration, Duration)> = (0..rounds).map(|_| (time(&mut one), time(&mut other))).collect();
    let ratios = runs.iter().map(|(one, other)| other.as_secs_f64() / one.as_secs_f64()).collect();
    (median(runs.iter().map(|r| r.0).collect()), median(runs.iter().map(|r| r.1).collect()), median(ratios))
}

pub(crate) fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
    values[values.len() / 2]
}

/// A line of `/proc/…/status`, in bytes.
pub(crate) fn memory(process: &str, what: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("a line");
    line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse::<usize>().expect("a number")
        * 1024
}

/// Reads an answer to its end and returns its length.
pub(crate) fn drain(mut stream: TcpStream) -> usize {
    let mut buffer = vec![0; 256 << 10];
    let mut total = 0;
    loop {
        match stream.read(&mut buffer).expect("an answer") {
            0 => return total,
            n => total += n,
        }
    }
}

/// Prints a section. If `WRITE` is set, also writes it to `docs/performance.md` between its markers.
pub(crate) fn report(section: &str, text: &str) {
    println!("## {section}\n\n{text}");
    if std::env::var_os("WRITE").is_none() {
        return;
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md");
    let before = std::fs::read_to_string(&page).expect("the page");
    let (begin, end) = (format!("<!-- {section} -->\n"), format!("<!-- end of {section} -->"));
    let start = before.find(&begin).expect("the section's beginning") + begin.len();
    let stop = before.find(&end).expect("the section's end");
    std::fs::write(page, format!("{}\n{}\n{}", &before[..start], text.trim_end(), &before[stop..]))
        .expect("written");
}
