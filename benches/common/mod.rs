//! Shared parts of the benches: example accounts, medians, and writing `docs/performance.md`.
#![allow(dead_code, reason = "no bench needs all of it")]

use std::io::Read as _;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The same as the program's.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What accounts say, and whether they share credentials.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Ten accounts per credential, with one label each and without an address.
    Lean,
    /// Ten accounts per credential, with eight labels each.
    Shared,
    /// One account per credential, with eight labels each.
    Own,
}

impl Shape {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Lean => "10, one label",
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

/// Writes a configuration of accounts in files of 10,000. Returns its size in bytes.
pub(crate) fn configuration(folder: &Path, accounts: usize, shape: Shape, format: FileFormat) -> usize {
    let files = folder.join("accounts.d");
    std::fs::create_dir_all(&files).expect("a folder");
    let token = files.join("token");
    std::fs::write(&token, "sim-token").expect("written");
    #[cfg(unix)]
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("for the owner alone");
    let main = "global: {probe_interval: 1d, notify: [ops@example.com]}\n\
                account_files: [\"accounts.d/0*\"]\n";
    std::fs::write(folder.join("config.yaml"), main).expect("written");
    let logins = if shape == Shape::Own { 0 } else { accounts.div_ceil(10) };
    let mut bytes = main.len();
    let mut write = |name: String, text: String| {
        bytes += text.len();
        std::fs::write(files.join(format!("{name}.{}", format.ending())), text).expect("written");
    };
    for first in (0..logins).step_by(PER_FILE) {
        let rows = (first..logins.min(first + PER_FILE)).map(|i| {
            let mut row = login(i);
            row["id"] = format!("login-{i}").into();
            row["network"] = "mastodon".into();
            row
        });
        let text = match format {
            FileFormat::Yaml => "credentials:\n".to_owned() + &lines(rows, format),
            FileFormat::JsonLines => lines(rows.map(|row| json!({"credential": row})), format),
        };
        write(format!("0-logins-{:06}", first / PER_FILE), text);
    }
    for first in (0..accounts).step_by(PER_FILE) {
        let rows = (first..accounts.min(first + PER_FILE)).map(|i| account(i, shape));
        write(format!("{:06}", first / PER_FILE), lines(rows, format));
    }
    bytes
}

fn lines(rows: impl Iterator<Item = Value>, format: FileFormat) -> String {
    let line = |row: Value| match format {
        FileFormat::Yaml => serde_yaml::to_string(&[row]).expect("YAML"),
        FileFormat::JsonLines => format!("{row}\n"),
    };
    rows.map(line).collect()
}

/// What tells of a token. Nothing listens on port 9, so probes end at once.
fn login(i: usize) -> Value {
    let person = format!("Person {}", i % 500);
    json!({"token_file": "token", "connected_by": person, "base_url": "http://127.0.0.1:9"})
}

fn account(i: usize, shape: Shape) -> Value {
    let (team, person) = (format!("team-{}", i % 50), format!("person-{}", i % 1000));
    let mut row =
        if shape == Shape::Own { login(i) } else { json!({"credential": format!("login-{}", i / 10)}) };
    row["id"] = format!("account-{i}").into();
    row["name"] = format!("Account number {i}").into();
    row["network"] = "mastodon".into();
    row["external_id"] = format!("10000{i:07}").into();
    row["notify"] = json!([format!("{person}@example.com")]);
    row["labels"] = json!({"team": team});
    if shape != Shape::Lean {
        row["reconnect_url"] = format!("https://app.example.com/reconnect/account-{i}").into();
        row["labels"] = json!({
            "team": team, "country": "DE", "region": "emea", "brand": format!("brand-{}", i % 300),
            "tier": "gold", "owner": person, "customer": format!("customer-{i}"), "env": "prod"
        });
    }
    row
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
