//! Counters and gauges about the exporter itself. The series of accounts and apps are written by
//! `exposition`, from a snapshot.

use prometheus::{
    Gauge, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry, histogram_opts, labels,
    opts, register_gauge_with_registry, register_histogram_vec_with_registry,
    register_histogram_with_registry, register_int_counter_vec_with_registry,
    register_int_counter_with_registry, register_int_gauge_with_registry,
};

use super::log_queue::dropped_lines;
use crate::inventory::Shard;
use crate::model::{Cause, EventResult, ReportResult, Timestamp};
use crate::network::NetworkId;

#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    probes: IntCounterVec,
    failures: IntCounterVec,
    duration: HistogramVec,
    panics: IntCounterVec,
    state_failures: IntCounter,
    dropped_lines: IntCounter,
    refreshes: HistogramVec,
    reports: IntCounterVec,
    unclassified_reports: IntCounterVec,
    report_verdict: Histogram,
    events: IntCounterVec,
    reload_successful: IntGauge,
    reload_success: Gauge,
    shard: IntGauge,
    shards: IntGauge,
}

impl Metrics {
    /// # Errors
    /// If two metrics have the same name.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let duration = histogram_opts!(
            "token_exporter_probe_duration_seconds",
            "Duration of probes, with all their calls.",
            vec![0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]
        );
        let refreshes = histogram_opts!(
            "token_exporter_source_refresh_duration_seconds",
            "Duration of refreshes of a source of accounts.",
            vec![0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0]
        );
        let report_verdict = histogram_opts!(
            "token_exporter_report_verdict_seconds",
            "Time from a report or a notice that makes a probe due to the conclusive verdict of that probe.",
            vec![0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0]
        );
        let build = opts!(
            "token_exporter_build_info",
            "A metric with the constant value 1, labelled by version, revision, branch and rustversion.",
            labels! {
                "version" => env!("CARGO_PKG_VERSION"),
                "revision" => env!("BUILD_REVISION"),
                "branch" => env!("BUILD_BRANCH"),
                "rustversion" => env!("BUILD_RUST_VERSION"),
            }
        );
        register_int_gauge_with_registry!(build, registry)?.set(1);
        #[cfg(target_os = "linux")]
        registry.register(Box::new(super::process::Process::new()?))?;
        Ok(Self {
            probes: register_int_counter_vec_with_registry!(
                "token_exporter_probes_total",
                "Probes of credentials.",
                &["network"],
                registry
            )?,
            failures: register_int_counter_vec_with_registry!(
                "token_exporter_probe_failures_total",
                "Inconclusive probes, by cause.",
                &["network", "cause"],
                registry
            )?,
            duration: register_histogram_vec_with_registry!(duration, &["network"], registry)?,
            panics: register_int_counter_vec_with_registry!(
                "token_exporter_probe_panics_total",
                "Probes that panicked, which is a bug in the exporter; each is logged.",
                &["network"],
                registry
            )?,
            state_failures: register_int_counter_with_registry!(
                "token_exporter_state_write_failures_total",
                "Failed writes of the state to --storage.path.",
                registry
            )?,
            dropped_lines: register_int_counter_with_registry!(
                "token_exporter_log_lines_dropped_total",
                "Log lines that could not be written, because the log's reader or disk did not take them.",
                registry
            )?,
            events: register_int_counter_vec_with_registry!(
                "token_exporter_events_total",
                "Notices of networks received at /events/, by what became of them.",
                &["network", "result"],
                registry
            )?,
            refreshes: register_histogram_vec_with_registry!(refreshes, &["source"], registry)?,
            reports: register_int_counter_vec_with_registry!(
                "token_exporter_reports_total",
                "Reports of products about their use of connections, by what they were read as.",
                &["network", "result"],
                registry
            )?,
            unclassified_reports: register_int_counter_vec_with_registry!(
                "token_exporter_reports_unclassified_total",
                "Reports with an answer that is not recognised.",
                &["network"],
                registry
            )?,
            report_verdict: register_histogram_with_registry!(report_verdict, registry)?,
            reload_successful: register_int_gauge_with_registry!(
                "token_exporter_config_last_reload_successful",
                "Whether the last configuration reload attempt was successful.",
                registry
            )?,
            reload_success: register_gauge_with_registry!(
                "token_exporter_config_last_reload_success_timestamp_seconds",
                "Timestamp of the last successful configuration reload.",
                registry
            )?,
            shard: register_int_gauge_with_registry!(
                "token_exporter_shard_ordinal",
                "Index of this shard, from 0.",
                registry
            )?,
            shards: register_int_gauge_with_registry!(
                "token_exporter_total_shards",
                "Number of shards.",
                registry
            )?,
            registry,
        })
    }

    /// Leaves out the metrics about the process.
    ///
    /// # Errors
    /// If they are left out already.
    pub fn exclude_process(&self) -> prometheus::Result<()> {
        #[cfg(target_os = "linux")]
        self.registry.unregister(Box::new(super::process::Process::new()?))?;
        Ok(())
    }

    /// Counts a probe, with the cause if it was not conclusive.
    pub fn probed(&self, network: NetworkId, seconds: f64, cause: Option<Cause>) {
        self.probes.with_label_values(&[network.name()]).inc();
        self.duration.with_label_values(&[network.name()]).observe(seconds);
        if let Some(cause) = cause {
            self.failures.with_label_values(&[network.name(), cause.label()]).inc();
        }
    }

    pub fn panicked(&self, network: NetworkId) {
        self.panics.with_label_values(&[network.name()]).inc();
    }

    pub fn notice_received(&self, network: NetworkId, result: EventResult) {
        self.events.with_label_values(&[network.name(), result.label()]).inc();
    }

    pub fn state_not_written(&self) {
        self.state_failures.inc();
    }

    pub fn refreshed(&self, source: &str, seconds: f64) {
        self.refreshes.with_label_values(&[source]).observe(seconds);
    }

    /// Counts a report; the network is unknown if its account is.
    pub fn reported(&self, network: Option<NetworkId>, result: ReportResult) {
        let network = network.map_or("unknown", NetworkId::name);
        self.reports.with_label_values(&[network, result.label()]).inc();
        if result == ReportResult::Unclassified {
            self.unclassified_reports.with_label_values(&[network]).inc();
        }
    }

    /// Notes how long after a report or a notice its probe was conclusive.
    pub fn report_verified(&self, seconds: f64) {
        self.report_verdict.observe(seconds);
    }

    pub fn reloaded(&self, successful: bool) {
        self.reload_successful.set(i64::from(successful));
        if successful {
            self.reload_success.set(Timestamp::now().unix() as f64);
        }
    }

    pub fn sharded(&self, shard: Shard) {
        self.shard.set(i64::from(shard.ordinal()));
        self.shards.set(i64::from(shard.total()));
    }

    /// Creates all series of a network, so that the first failure is an increase and not a new series.
    pub fn announce(&self, network: NetworkId) {
        self.probes.with_label_values(&[network.name()]);
        self.duration.with_label_values(&[network.name()]);
        self.panics.with_label_values(&[network.name()]);
        for cause in Cause::ALL {
            self.failures.with_label_values(&[network.name(), cause.label()]);
        }
        for result in EventResult::ALL.iter().filter(|_| network.network().notices().is_some()) {
            self.events.with_label_values(&[network.name(), result.label()]);
        }
    }

    /// As [`Metrics::announce`], where reports are accepted.
    pub fn announce_reports(&self, network: NetworkId) {
        self.unclassified_reports.with_label_values(&[network.name()]);
        for result in ReportResult::ALL {
            self.reports.with_label_values(&[network.name(), result.label()]);
        }
    }

    pub fn gather(&self) -> Vec<prometheus::proto::MetricFamily> {
        // Two scrapes may get here at the same time.
        self.dropped_lines.inc_by(dropped_lines().saturating_sub(self.dropped_lines.get()));
        self.registry.gather()
    }
}
