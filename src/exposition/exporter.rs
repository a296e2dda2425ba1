//! The families about apps, networks and the exporter itself. Their size does not depend on the
//! number of accounts.

use std::collections::BTreeMap;

use prometheus::proto::{MetricFamily, MetricType};

use super::Format;
use super::text::{format_float, write_header, write_sample};
use crate::inventory::{App, Inventory, SourceStatus};
use crate::network::NetworkId;
use crate::state::{AppState, RateLimitUsage, Snapshot};

pub struct SmallFamily {
    pub name: &'static str,
    pub help: &'static str,
    pub labels: &'static [&'static str],
    samples: fn(&Snapshot) -> Samples<'_>,
}

/// The values of the labels, and that of the sample.
type Samples<'a> = Vec<(Vec<&'a str>, f64)>;

const fn family(
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    samples: fn(&Snapshot) -> Samples<'_>,
) -> SmallFamily {
    SmallFamily { name, help, labels, samples }
}

pub static SMALL_FAMILIES: &[SmallFamily] = &[
    family(
        "token_exporter_app_healthy",
        "Whether the network accepts the developer app: 1 or 0. Absent until the network has answered a \
         probe through it.",
        &["app", "network"],
        |snapshot| by_app(snapshot, |_, state| Some((None, f64::from(state.healthy()?)))),
    ),
    family(
        "token_exporter_app_problem",
        "A metric with the constant value 1 for each developer app that is not accepted, labelled by \
         problem.",
        &["app", "network", "problem"],
        |snapshot| by_app(snapshot, |_, state| Some((Some(state.problem()?.label()), 1.0))),
    ),
    family(
        "token_exporter_app_api_version_expiry_timestamp_seconds",
        "End of the API version that the app uses: as published, or when the network was first seen to \
         answer under a later version. Absent if neither is known.",
        &["app", "network", "version"],
        |snapshot| {
            by_app(snapshot, |app, state| {
                let end = app.version_end().into_iter().chain(state.version_ended).min()?;
                Some((Some(&*app.api_version), end.unix() as f64))
            })
        },
    ),
    family(
        "token_exporter_rate_limit_used_ratio",
        "Used part of a rate limit, from 0 to 1, as reported by the network.",
        &["app", "network", "bucket"],
        |snapshot| limits(snapshot, |limit| limit.used),
    ),
    family(
        "token_exporter_rate_limit_reset_timestamp_seconds",
        "When a rate limit is reset, as reported by the network.",
        &["app", "network", "bucket"],
        |snapshot| limits(snapshot, |limit| Some(limit.reset?.unix() as f64)),
    ),
    family(
        "token_exporter_source_up",
        "Whether the last refresh of the source could read all of it, apart from refused rows: 1 or 0. \
         Absent before the first.",
        &["source"],
        |snapshot| by_source(snapshot, |_, source| Some(f64::from(source.up?))),
    ),
    family(
        "token_exporter_source_last_success_timestamp_seconds",
        "When the source was last read as a whole. Absent if it never was.",
        &["source"],
        |snapshot| by_source(snapshot, |_, source| Some(source.last_success?.unix() as f64)),
    ),
    family(
        "token_exporter_source_accounts",
        "Number of accounts of the source, with those that stay as they were last read.",
        &["source"],
        |snapshot| by_source(snapshot, |inventory, source| Some(inventory.accounts_of(&source.id) as f64)),
    ),
    family(
        "token_exporter_source_rows_refused",
        "Number of rows and whole files of the source that have problems. What was last read of them \
         stays.",
        &["source"],
        |snapshot| by_source(snapshot, |_, source| Some(source.refused as f64)),
    ),
    family("token_exporter_accounts", "Number of configured accounts.", &["network"], |snapshot| {
        counts(snapshot.inventory.accounts_by_network())
    }),
    family("token_exporter_credentials", "Number of configured credentials.", &["network"], |snapshot| {
        counts(snapshot.inventory.credentials_by_network())
    }),
];

fn apps(snapshot: &Snapshot) -> impl Iterator<Item = (&App, &AppState)> {
    snapshot.inventory.apps().iter().zip(snapshot.apps.iter())
}

/// The value of the third label, if there is one, and that of the sample.
type AppSample<'a> = (Option<&'a str>, f64);

/// A sample of each app, with the labels `app` and `network` first.
fn by_app<'s>(
    snapshot: &'s Snapshot,
    sample: fn(&'s App, &'s AppState) -> Option<AppSample<'s>>,
) -> Samples<'s> {
    let samples = apps(snapshot).filter_map(|(app, state)| {
        let (label, value) = sample(app, state)?;
        let labels = [&*app.id, app.network.name()].into_iter().chain(label);
        Some((labels.collect(), value))
    });
    samples.collect()
}

fn limits(snapshot: &Snapshot, value: fn(&RateLimitUsage) -> Option<f64>) -> Samples<'_> {
    let limits = apps(snapshot).flat_map(|(app, state)| state.limits.iter().map(move |limit| (app, limit)));
    limits
        .filter_map(|(app, limit)| Some((vec![&*app.id, app.network.name(), limit.bucket], value(limit)?)))
        .collect()
}

fn by_source(snapshot: &Snapshot, value: fn(&Inventory, &SourceStatus) -> Option<f64>) -> Samples<'_> {
    let sources = snapshot.sources.iter();
    sources.filter_map(|source| Some((vec![&*source.id], value(&snapshot.inventory, source)?))).collect()
}

fn counts(by_network: &BTreeMap<NetworkId, usize>) -> Samples<'_> {
    by_network.iter().map(|(network, count)| (vec![network.name()], *count as f64)).collect()
}

pub(super) fn write_small(out: &mut Vec<u8>, format: Format, snapshot: &Snapshot) {
    for family in SMALL_FAMILIES {
        write_header(out, format, family.name, family.help, "gauge");
        for (labels, value) in (family.samples)(snapshot) {
            let labels: Vec<_> = family.labels.iter().copied().zip(labels).collect();
            write_sample(out, family.name, &labels, value);
        }
    }
}

/// Writes the exporter's own metrics. The encoder of the prometheus crate knows no OpenMetrics.
pub(super) fn write_own(out: &mut Vec<u8>, format: Format, families: &[MetricFamily]) {
    for family in families {
        let name = family.name();
        let kind = match family.get_field_type() {
            MetricType::COUNTER => "counter",
            MetricType::HISTOGRAM => "histogram",
            MetricType::SUMMARY => "summary",
            _ if name.ends_with("_info") => "info",
            MetricType::UNTYPED | MetricType::GAUGE => "gauge",
        };
        write_header(out, format, name, family.help(), kind);
        for metric in family.get_metric() {
            let labels: Vec<_> = metric.get_label().iter().map(|l| (l.name(), l.value())).collect();
            match family.get_field_type() {
                MetricType::COUNTER => write_sample(out, name, &labels, metric.get_counter().get_value()),
                MetricType::HISTOGRAM => {
                    let histogram = metric.get_histogram();
                    // Counts of probes stay far below the integers that a float holds exactly.
                    let count = histogram.get_sample_count() as f64;
                    let buckets = histogram.get_bucket().iter().filter(|b| b.upper_bound().is_finite());
                    let buckets = buckets.map(|b| (b.upper_bound(), b.cumulative_count() as f64));
                    for (bound, count) in buckets.chain([(f64::INFINITY, count)]) {
                        let mut le = format_float(bound);
                        // OpenMetrics wants floats as bounds.
                        if format == Format::OpenMetrics && bound.is_finite() && bound.fract() == 0.0 {
                            le.push_str(".0");
                        }
                        let labels = [&labels[..], &[("le", &le)]].concat();
                        write_sample(out, &format!("{name}_bucket"), &labels, count);
                    }
                    write_sample(out, &format!("{name}_sum"), &labels, histogram.get_sample_sum());
                    write_sample(out, &format!("{name}_count"), &labels, count);
                }
                _ => write_sample(out, name, &labels, metric.get_gauge().get_value()),
            }
        }
    }
}
