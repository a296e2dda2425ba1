//! The cost of loading a configuration in the real program: the time until probing begins, and
//! memory. Look at ratios and growth, not at times. Run it with `make bench`.
#![allow(clippy::expect_used, clippy::print_stdout, missing_docs, reason = "a bench prints, and may stop")]

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

mod common;
use common::{FileFormat, Shape, configuration, drain, memory, report, sizes};

/// Memory that only the start needs is returned within this time.
const GIVEN_BACK: Duration = Duration::from_secs(15);

/// The program after it has loaded a configuration, and its address.
struct Running {
    child: Child,
    address: String,
    loaded: Duration,
}

impl Running {
    fn start(folder: &Path) -> Self {
        let start = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_token_exporter"))
            .args([
                "--config.file",
                "config.yaml",
                "--storage.path",
                "none",
                "--web.listen-address",
                "127.0.0.1:0",
                "--log.format",
                "json",
            ])
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program");
        let mut lines = BufReader::new(child.stderr.take().expect("its log")).lines().map_while(Result::ok);
        let mut address = String::new();
        for line in lines.by_ref() {
            if let Some((_, rest)) = line.split_once("127.0.0.1:").filter(|_| line.contains("\"listening\""))
            {
                address = format!(
                    "127.0.0.1:{}",
                    rest.split(|c: char| !c.is_ascii_digit()).next().expect("a port")
                );
            }
            if line.contains("configuration in force") {
                break;
            }
        }
        let loaded = start.elapsed();
        // Keep reading: the program would block on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address, loaded }
    }

    fn memory(&self, what: &str) -> usize {
        memory(&self.child.id().to_string(), what)
    }

    /// Reads all of `/metrics` and returns its length.
    fn scrape(&self) -> usize {
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .expect("asked");
        drain(stream)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The time to read all files as text: the least that loading a configuration can take.
fn read_all(folder: &Path) -> Duration {
    let start = Instant::now();
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder.join("accounts.d")).expect("the folder") {
        bytes += std::fs::read_to_string(entry.expect("an entry").path()).expect("a text").len();
    }
    assert!(bytes > 0);
    start.elapsed()
}

fn main() {
    let mb = |bytes: usize| bytes as f64 / 1e6;
    let columns = [
        "accounts",
        "per credential",
        "files",
        "MB",
        "start s",
        "µs per account",
        "× reading the text",
        "peak MB",
        "idle MB",
        "after a scrape MB",
        "B per account",
    ];
    let mut table = format!("| {} |\n|{}\n", columns.join(" | "), " --- |".repeat(columns.len()));
    for shape in [Shape::Lean, Shape::Shared, Shape::Own] {
        let empty = tempfile::tempdir().expect("a folder");
        configuration(empty.path(), 1, shape, FileFormat::Yaml);
        let base = Running::start(empty.path());
        std::thread::sleep(GIVEN_BACK);
        base.scrape();
        let base = base.memory("VmRSS");
        for (accounts, format) in
            sizes().into_iter().flat_map(|n| [(n, FileFormat::Yaml), (n, FileFormat::JsonLines)])
        {
            let folder = tempfile::tempdir().expect("a folder");
            let bytes = configuration(folder.path(), accounts, shape, format);
            let read = read_all(folder.path());
            let running = Running::start(folder.path());
            let peak = running.memory("VmHWM");
            std::thread::sleep(GIVEN_BACK);
            let rest = running.memory("VmRSS");
            running.scrape();
            let scraped = running.memory("VmRSS");
            let _ = writeln!(
                table,
                "| {accounts} | {} | {} | {:.1} | {:.2} | {:.2} | {:.0} | {:.0} | {:.1} | {:.1} | {:.0} |",
                shape.label(),
                format.ending(),
                mb(bytes),
                running.loaded.as_secs_f64(),
                running.loaded.as_secs_f64() * 1e6 / accounts as f64,
                running.loaded.as_secs_f64() / read.as_secs_f64(),
                mb(peak),
                mb(rest),
                mb(scraped),
                scraped.saturating_sub(base) as f64 / accounts as f64,
            );
        }
    }
    report("loading", &table);
}
