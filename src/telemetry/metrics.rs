//! Counters and gauges about the exporter itself. The series of accounts and apps are written by
//! `exposition`, from a snapshot.

use prometheus::{Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::inventory::Shard;
use crate::model::{Cause, Timestamp};
use crate::network::NetworkId;

#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    probes: IntCounterVec,
    failures: IntCounterVec,
    duration: HistogramVec,
    panics: IntCounterVec,
    state_failures: IntCounter,
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
        let metrics = Self {
            probes: IntCounterVec::new(
                Opts::new("token_exporter_probes_total", "Probes of credentials."),
                &["network"],
            )?,
            failures: IntCounterVec::new(
                Opts::new("token_exporter_probe_failures_total", "Probes that could not tell, by cause."),
                &["network", "cause"],
            )?,
            duration: HistogramVec::new(
                HistogramOpts::new(
                    "token_exporter_probe_duration_seconds",
                    "How long a probe took, all its calls together.",
                )
                .buckets(vec![0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]),
                &["network"],
            )?,
            panics: IntCounterVec::new(
                Opts::new(
                    "token_exporter_probe_panics_total",
                    "Probes lost to a fault in this program; each is in the log.",
                ),
                &["network"],
            )?,
            state_failures: IntCounter::new(
                "token_exporter_state_write_failures_total",
                "Failed attempts to write the state to --storage.path; exporting goes on.",
            )?,
            reload_successful: IntGauge::new(
                "token_exporter_config_last_reload_successful",
                "Whether the last reading of the configuration succeeded.",
            )?,
            reload_success: Gauge::new(
                "token_exporter_config_last_reload_success_timestamp_seconds",
                "When the configuration was last read successfully.",
            )?,
            shard: IntGauge::new(
                "token_exporter_shard_ordinal",
                "Which shard of the credentials this process probes, from 0.",
            )?,
            shards: IntGauge::new("token_exporter_total_shards", "How many shards there are.")?,
            registry,
        };
        let build = IntGauge::with_opts(
            Opts::new("token_exporter_build_info", "A constant 1, labelled with the version.")
                .const_label("version", env!("CARGO_PKG_VERSION"))
                .const_label("rustversion", env!("CARGO_PKG_RUST_VERSION")),
        )?;
        build.set(1);
        let registry = &metrics.registry;
        registry.register(Box::new(build))?;
        registry.register(Box::new(metrics.probes.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        registry.register(Box::new(metrics.duration.clone()))?;
        registry.register(Box::new(metrics.panics.clone()))?;
        registry.register(Box::new(metrics.state_failures.clone()))?;
        registry.register(Box::new(metrics.reload_successful.clone()))?;
        registry.register(Box::new(metrics.reload_success.clone()))?;
        registry.register(Box::new(metrics.shard.clone()))?;
        registry.register(Box::new(metrics.shards.clone()))?;
        #[cfg(target_os = "linux")]
        registry.register(Box::new(super::process::Process::new()?))?;
        Ok(metrics)
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

    pub fn state_not_written(&self) {
        self.state_failures.inc();
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
        for cause in Cause::ALL {
            self.failures.with_label_values(&[network.name(), cause.label()]);
        }
    }

    pub fn gather(&self) -> Vec<prometheus::proto::MetricFamily> {
        self.registry.gather()
    }
}
