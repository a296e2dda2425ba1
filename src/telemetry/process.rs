//! Metrics about the process, read from Linux' `/proc`, under the names that Prometheus clients
//! share.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, IntGauge};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

#[derive(Debug)]
pub(super) struct Process {
    cpu: Counter,
    open_fds: IntGauge,
    max_fds: IntGauge,
    virtual_memory: IntGauge,
    resident_memory: IntGauge,
    start_time: IntGauge,
    threads: IntGauge,
}

impl Process {
    pub(super) fn new() -> prometheus::Result<Self> {
        let process = Self {
            cpu: Counter::new(
                "process_cpu_seconds_total",
                "Total user and system CPU time spent in seconds.",
            )?,
            open_fds: IntGauge::new("process_open_fds", "Number of open file descriptors.")?,
            max_fds: IntGauge::new("process_max_fds", "Maximum number of open file descriptors.")?,
            virtual_memory: IntGauge::new("process_virtual_memory_bytes", "Virtual memory size in bytes.")?,
            resident_memory: IntGauge::new(
                "process_resident_memory_bytes",
                "Resident memory size in bytes.",
            )?,
            start_time: IntGauge::new(
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
            )?,
            threads: IntGauge::new("process_threads", "Number of OS threads in the process.")?,
        };
        if let (Some(boot), Some(stat)) = (boot_time(), Stat::read()) {
            process.start_time.set(boot + stat.start / ticks());
        }
        Ok(process)
    }

    fn collectors(&self) -> [&dyn Collector; 7] {
        [
            &self.cpu,
            &self.open_fds,
            &self.max_fds,
            &self.virtual_memory,
            &self.resident_memory,
            &self.start_time,
            &self.threads,
        ]
    }

    fn update(&self) {
        if let Ok(fds) = fs::read_dir("/proc/self/fd") {
            // One of them is the directory being read.
            self.open_fds.set(signed(fds.count()) - 1);
        }
        if let Some(limit) = getrlimit(Resource::Nofile).current {
            self.max_fds.set(signed(limit));
        }
        let Some(stat) = Stat::read() else { return };
        // Two scrapes may get here at the same time.
        self.cpu.inc_by((stat.cpu as f64 / ticks() as f64 - self.cpu.get()).max(0.0));
        self.virtual_memory.set(stat.virtual_memory);
        self.resident_memory.set(stat.resident_pages * signed(page_size()));
        self.threads.set(stat.threads);
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.collectors().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.update();
        self.collectors().into_iter().flat_map(Collector::collect).collect()
    }
}

/// `/proc/self/stat`; times in clock ticks.
struct Stat {
    cpu: i64,
    threads: i64,
    start: i64,
    virtual_memory: i64,
    resident_pages: i64,
}

impl Stat {
    fn read() -> Option<Self> {
        let text = fs::read_to_string("/proc/self/stat").ok()?;
        // The name of the program, in brackets, may hold spaces; numbers are as in proc(5).
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<i64>().ok();
        Some(Self {
            cpu: field(14)? + field(15)?,
            threads: field(20)?,
            start: field(22)?,
            virtual_memory: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// Seconds since 1970.
fn boot_time() -> Option<i64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

fn ticks() -> i64 {
    signed(clock_ticks_per_second()).max(1)
}

fn signed(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
