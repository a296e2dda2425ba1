//! From a snapshot and the time to the text of `/metrics`.
//!
//! Each family is one entry of a table: name, help, type and the function that writes an account's
//! samples. Text is written straight from the snapshot in chunks, families outside, accounts
//! inside, so that a scrape of a million accounts needs one chunk of memory. Knows no network and
//! no HTTP.

mod text;

use bytes::{BufMut, Bytes};
use prometheus::proto::{MetricFamily, MetricType};

use crate::inventory::{AccountView, Piece, escape};
use crate::model::{Capability, Expiry, Reason, Timestamp};
use crate::network::NetworkId;
use crate::state::{AccountState, AppState, CredentialState, Snapshot};
use crate::telemetry::Metrics;
use text::{
    Padded, put_long, put_short, write_escaped, write_float, write_header, write_integer, write_label,
};

/// The two formats that Prometheus asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `text/plain; version=0.0.4`
    Text,
    /// `application/openmetrics-text; version=1.0.0`
    OpenMetrics,
}

impl Format {
    /// The media type of a response.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What OpenMetrics knows beyond a gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value that goes up and down.
    Gauge,
    /// Labels with a constant 1; a gauge in the older format.
    Info,
}

/// One family of samples about accounts.
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// Its help text.
    pub help: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The labels besides `account` and `network`.
    pub labels: &'static [&'static str],
    /// Writes the samples of account after account.
    write: fn(&mut Page<'_>),
}

/// One account at the time of a scrape. A family looks up only what it writes about: each look-up
/// is memory to be read, for every account.
struct Row<'a> {
    snapshot: &'a Snapshot,
    index: usize,
    view: AccountView<'a>,
    now: Timestamp,
}

impl<'a> Row<'a> {
    fn account(&self) -> Option<&'a AccountState> {
        self.snapshot.accounts.get(self.index)
    }

    fn credential(&self) -> Option<&'a CredentialState> {
        self.snapshot.credentials.get(self.view.credential_index())
    }

    fn deadline(&self) -> Option<Expiry> {
        Some(self.credential()?.clocks.deadline(self.view.credential()?.auto_refresh()))
    }
}

/// The families about accounts. The one list: documentation, dashboards and rules are checked
/// against it.
pub static FAMILIES: &[Family] = &[
    Family {
        name: "connection_info",
        help: "What is configured about the connection; join with group_left.",
        kind: Kind::Info,
        labels: &[
            "name",
            "kind",
            "use",
            "external_id",
            "credential",
            "app",
            "connected_by",
            "notify",
            "reconnect_url",
        ],
        write: |page| {
            page.each(|out, row| {
                let texts = row.view.pieces()?;
                out.open();
                out.label(",name=\"", texts.name);
                out.word(",kind=\"", row.view.kind());
                out.word(",use=\"", row.view.purpose().label());
                out.label(",external_id=\"", texts.external_id);
                out.label(",credential=\"", texts.credential);
                out.label(",app=\"", texts.app);
                out.label(",connected_by=\"", texts.connected_by);
                out.label(",notify=\"", texts.notify);
                out.long_label(",reconnect_url=\"", &texts.reconnect_url);
                for label in row.view.rendered_labels() {
                    put_short(out.out, label);
                }
                out.text("} 1\n");
                Some(())
            });
        },
    },
    Family {
        name: "connection_valid",
        help: "Whether the connection works: 1 with reason ok, or 0 with the reason. Absent until the first \
               conclusive probe.",
        kind: Kind::Gauge,
        labels: &["reason"],
        write: |page| {
            page.each(|out, row| {
                let verdict = row.account()?.verdict?;
                out.open();
                out.reason(verdict);
                Some(())
            });
        },
    },
    Family {
        name: "connection_state_change_timestamp_seconds",
        help: "Since when the connection is in its present state.",
        kind: Kind::Gauge,
        labels: &[],
        write: |page| page.each(|out, row| out.instant(row.account()?.since)),
    },
    Family {
        name: "connection_capability_available",
        help: "Whether a needed capability is there: 1 with reason ok, or 0 with the reason.",
        kind: Kind::Gauge,
        labels: &["capability", "reason"],
        write: |page| {
            page.each(|out, row| {
                let reasons = &row.account()?.capabilities;
                for (capability, reason) in
                    Capability::ALL.iter().filter_map(|c| Some((c, reasons[*c as usize]?)))
                {
                    out.open();
                    out.word(",capability=\"", capability.label());
                    out.reason(reason);
                }
                Some(())
            });
        },
    },
    Family {
        name: "token_expires_in_seconds",
        help: "Seconds until a person must reconnect, negative afterwards. Absent without a deadline or \
               while it is unknown.",
        kind: Kind::Gauge,
        labels: &[],
        write: |page| {
            page.each(|out, row| {
                out.plain(row.deadline()?.at()?.since(row.now));
                Some(())
            });
        },
    },
    Family {
        name: "token_expiry_timestamp_seconds",
        help: "When a person must reconnect at the latest.",
        kind: Kind::Gauge,
        labels: &[],
        write: |page| page.each(|out, row| out.instant(row.deadline()?.at())),
    },
    Family {
        name: "token_has_expiry",
        help: "Whether there is a deadline; 0 for a token that never expires, absent while unknown.",
        kind: Kind::Gauge,
        labels: &[],
        write: |page| {
            page.each(|out, row| {
                let has = match row.deadline()? {
                    Expiry::Unknown => return None,
                    Expiry::Never => 0,
                    Expiry::At(_) => 1,
                };
                out.plain(has);
                Some(())
            });
        },
    },
    Family {
        name: "token_clock_expiry_timestamp_seconds",
        help: "The instants behind the deadline: the end of the access token, of the refresh token or \
               grant, of the access to data.",
        kind: Kind::Gauge,
        labels: &["clock"],
        write: |page| {
            page.each(|out, row| {
                let clocks = &row.credential()?.clocks;
                for (clock, expiry) in [
                    ("access", clocks.access),
                    ("refresh", clocks.refresh),
                    ("data_access", clocks.data_access),
                ] {
                    if let Some(instant) = expiry.at() {
                        out.open();
                        out.word(",clock=\"", clock);
                        out.close(instant.unix());
                    }
                }
                Some(())
            });
        },
    },
    Family {
        name: "token_issued_timestamp_seconds",
        help: "When the token was issued, where that is known.",
        kind: Kind::Gauge,
        labels: &[],
        write: |page| page.each(|out, row| out.instant(row.credential()?.clocks.issued)),
    },
    Family {
        name: "token_scope_granted",
        help: "Whether a scope that the account's needs require is granted. Absent while unknown.",
        kind: Kind::Gauge,
        labels: &["scope"],
        write: |page| {
            page.each(|out, row| {
                let granted = row.account()?.scopes?;
                for (i, scope) in row.view.required_scopes().iter().enumerate() {
                    out.open();
                    out.word(",scope=\"", scope);
                    out.close(i64::from(granted >> i & 1));
                }
                Some(())
            });
        },
    },
    Family {
        name: "connection_probe_success",
        help: "Whether the last probe was conclusive.",
        kind: Kind::Gauge,
        labels: &[],
        write: |page| {
            page.each(|out, row| {
                out.plain(i64::from(row.account()?.conclusive()?));
                Some(())
            });
        },
    },
    Family {
        name: "connection_last_probe_timestamp_seconds",
        help: "When the connection was probed last.",
        kind: Kind::Gauge,
        labels: &[],
        write: |page| page.each(|out, row| out.instant(row.credential()?.last_probe)),
    },
    Family {
        name: "connection_last_conclusive_probe_timestamp_seconds",
        help: "When a probe was conclusive last: the age of the verdict.",
        kind: Kind::Gauge,
        labels: &[],
        write: |page| page.each(|out, row| out.instant(row.account()?.last_conclusive)),
    },
];

/// A chunk to be filled with the samples of one family.
struct Page<'a> {
    out: &'a mut Vec<u8>,
    /// `name{account="`
    head: Piece<'a>,
    snapshot: &'a Snapshot,
    now: Timestamp,
    /// By network.
    tails: &'a [Tail],
    /// The next one, and where they end.
    account: &'a mut usize,
    end: usize,
}

impl Page<'_> {
    /// Writes what `write` has to say of each account until there is enough for a chunk; it ends
    /// early where nothing is known.
    #[inline]
    fn each(&mut self, write: impl Fn(&mut Samples<'_>, &Row<'_>) -> Option<()>) {
        let Self { out, head, snapshot, now, tails, end, .. } = self;
        let mut escaped = String::new();
        let mut next = *self.account;
        while next < *end && out.len() < CHUNK {
            let index = next;
            next += 1;
            let Some(view) = snapshot.inventory.account(index) else { continue };
            let Some(tail) = tails.get(view.network().index()) else { continue };
            let plain = view.is_plain();
            let id = if plain {
                view.id_piece()
            } else {
                escaped.clear();
                escape(&mut escaped, view.id());
                escaped.as_str().into()
            };
            write(
                &mut Samples { out, head: *head, id, plain, tail },
                &Row { snapshot, index, view, now: *now },
            );
        }
        *self.account = next;
    }
}

/// Writes the samples of one family for one account.
struct Samples<'a> {
    out: &'a mut Vec<u8>,
    /// `name{account="`
    head: Piece<'a>,
    /// The account's id, escaped.
    id: Piece<'a>,
    /// Nothing that is known of the account need be escaped.
    plain: bool,
    tail: &'a Tail,
}

/// What follows an account's id in every sample.
struct Tail {
    /// `",network="…"`
    open: Padded,
    /// The same, `} ` behind it.
    closed: Padded,
}

impl Tail {
    fn new(network: NetworkId) -> Self {
        let open = format!("\",network=\"{network}\"");
        Self { closed: Padded::new(&format!("{open}}} ")), open: Padded::new(&open) }
    }
}

impl Samples<'_> {
    #[inline]
    fn begin(&mut self, tail: &Padded) {
        put_long(self.out, self.head);
        put_short(self.out, self.id);
        put_short(self.out, tail.piece());
    }

    /// Begins a sample that has labels besides the account's.
    fn open(&mut self) {
        self.begin(&self.tail.open);
    }

    // What follows is inlined, so that words of this program are copied as numbers are: without a call.

    #[inline(always)]
    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// A label: `before` is all that stands before its value.
    #[inline(always)]
    fn label(&mut self, before: &'static str, value: Piece<'_>) {
        self.text(before);
        if self.plain {
            put_short(self.out, value);
        } else {
            write_escaped(self.out, value.as_str());
        }
        self.text("\"");
    }

    /// A label whose value is long, and in parts.
    #[inline(always)]
    fn long_label(&mut self, before: &'static str, parts: &[Piece<'_>]) {
        self.text(before);
        for part in parts {
            if self.plain {
                put_long(self.out, *part);
            } else {
                write_escaped(self.out, part.as_str());
            }
        }
        self.text("\"");
    }

    /// A label whose value is a word of this program.
    #[inline(always)]
    fn word(&mut self, before: &'static str, word: &'static str) {
        self.text(before);
        self.text(word);
        self.text("\"");
    }

    /// The end of a sample that says whether something is well, and why not.
    #[inline]
    fn reason(&mut self, reason: Reason) {
        self.text(",reason=\"");
        self.text(reason.label());
        self.text(if reason == Reason::Ok { "\"} 1\n" } else { "\"} 0\n" });
    }

    #[inline]
    fn close(&mut self, value: i64) {
        self.text("} ");
        write_integer(self.out, value);
        self.out.push(b'\n');
    }

    /// A sample with the account's labels alone.
    #[inline]
    fn plain(&mut self, value: i64) {
        self.begin(&self.tail.closed);
        write_integer(self.out, value);
        self.out.push(b'\n');
    }

    #[inline]
    fn instant(&mut self, instant: Option<Timestamp>) -> Option<()> {
        self.plain(instant?.unix());
        Some(())
    }
}

/// Which accounts a response is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All, and the exporter itself.
    Everything,
    /// One account alone.
    Account(usize),
}

/// A response being written: a place in the table of families and among the accounts.
///
/// Each call of [`Renderer::next_chunk`] goes on where the last one stopped. The snapshot is held, so
/// that all chunks tell of the same moment.
pub struct Renderer {
    snapshot: Snapshot,
    now: Timestamp,
    format: Format,
    first: usize,
    end: usize,
    family: usize,
    account: usize,
    /// By network.
    tails: Vec<Tail>,
    /// What comes after the accounts: written beforehand, as it does not grow with them.
    rest: Option<Bytes>,
}

/// About the size of a chunk: with what the last sample takes, small enough for memory to be used
/// anew while it is in the processor's cache (allocators keep up to 32 KiB at hand), large enough
/// for the network.
pub const CHUNK: usize = 28 << 10;
/// Room for the last sample of a chunk.
pub const SLACK: usize = 4 << 10;

impl Renderer {
    /// A response about this moment.
    pub fn new(
        snapshot: Snapshot,
        metrics: &Metrics,
        now: Timestamp,
        format: Format,
        extent: Extent,
    ) -> Self {
        let mut rest = Vec::new();
        let (first, end) = match extent {
            Extent::Everything => {
                write_apps(&mut rest, format, &snapshot);
                write_own(&mut rest, format, &metrics.gather());
                (0, snapshot.inventory.len())
            }
            Extent::Account(account) => (account, account + 1),
        };
        if format == Format::OpenMetrics {
            rest.extend_from_slice(b"# EOF\n");
        }
        let tails = NetworkId::all().map(Tail::new).collect();
        Self { snapshot, now, format, first, end, family: 0, account: first, tails, rest: Some(rest.into()) }
    }

    /// The next part of the text; none at its end.
    pub fn next_chunk(&mut self) -> Option<Bytes> {
        let mut out = Vec::with_capacity(CHUNK + SLACK);
        while let Some(family) = FAMILIES.get(self.family) {
            if self.account == self.first {
                let kind = if family.kind == Kind::Info { "info" } else { "gauge" };
                write_header(&mut out, self.format, family.name, family.help, kind);
            }
            self.write_some(family, &mut out);
            if self.account < self.end {
                return Some(out.into());
            }
            self.family += 1;
            self.account = self.first;
        }
        if !out.is_empty() {
            return Some(out.into());
        }
        self.rest.take().filter(|rest| !rest.is_empty())
    }

    /// Writes a family's samples until there are enough for a chunk, or no more.
    fn write_some(&mut self, family: &Family, out: &mut Vec<u8>) {
        let Self { snapshot, now, tails, account, end, .. } = self;
        let head = Padded::new(&format!("{}{{account=\"", family.name));
        (family.write)(&mut Page { out, head: head.piece(), snapshot, now: *now, tails, account, end: *end });
    }
}

/// A family about apps or networks, for the documentation and the checks against it.
pub struct SmallFamily {
    /// Its name.
    pub name: &'static str,
    /// Its help text.
    pub help: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
}

/// The families about apps and networks.
pub static SMALL_FAMILIES: [SmallFamily; 5] = [
    SmallFamily {
        name: "token_exporter_app_healthy",
        help: "Whether the developer app is accepted; 0 while the app itself is to blame for failing probes.",
        labels: &["app", "network"],
    },
    SmallFamily {
        name: "token_exporter_rate_limit_used_ratio",
        help: "The share of a rate limit that is used, as the network's last answer said.",
        labels: &["app", "network", "bucket"],
    },
    SmallFamily {
        name: "token_exporter_rate_limit_reset_timestamp_seconds",
        help: "When a rate limit starts anew, as the network's last answer said.",
        labels: &["app", "network", "bucket"],
    },
    SmallFamily { name: "token_exporter_accounts", help: "Configured accounts.", labels: &["network"] },
    SmallFamily { name: "token_exporter_credentials", help: "Configured credentials.", labels: &["network"] },
];

fn write_apps(out: &mut Vec<u8>, format: Format, snapshot: &Snapshot) {
    let [healthy, used, reset, accounts, credentials] = &SMALL_FAMILIES;
    let apps: Vec<_> = snapshot.inventory.apps().iter().zip(snapshot.apps.iter()).collect();
    let open = |out: &mut Vec<u8>, family: &SmallFamily, labels: &[(&str, &str)]| {
        out.extend_from_slice(family.name.as_bytes());
        for (i, (name, value)) in labels.iter().enumerate() {
            out.push(if i == 0 { b'{' } else { b',' });
            write_label(out, name, value);
        }
        out.extend_from_slice(b"} ");
    };
    write_header(out, format, healthy.name, healthy.help, "gauge");
    for (app, state) in &apps {
        if let Some(well) = AppState::healthy(state) {
            open(out, healthy, &[("app", &app.id), ("network", app.network.name())]);
            write_integer(out, i64::from(well));
            out.put_u8(b'\n');
        }
    }
    write_header(out, format, used.name, used.help, "gauge");
    for (app, state) in &apps {
        for limit in &state.limits {
            if let Some(share) = limit.used {
                open(
                    out,
                    used,
                    &[("app", &app.id), ("network", app.network.name()), ("bucket", limit.bucket)],
                );
                write_float(out, share);
                out.put_u8(b'\n');
            }
        }
    }
    write_header(out, format, reset.name, reset.help, "gauge");
    for (app, state) in &apps {
        for limit in &state.limits {
            if let Some(instant) = limit.reset {
                open(
                    out,
                    reset,
                    &[("app", &app.id), ("network", app.network.name()), ("bucket", limit.bucket)],
                );
                write_integer(out, instant.unix());
                out.put_u8(b'\n');
            }
        }
    }
    let (by_account, by_credential) = snapshot.inventory.counts();
    for (family, counts) in [(accounts, by_account), (credentials, by_credential)] {
        write_header(out, format, family.name, family.help, "gauge");
        for (network, count) in counts {
            open(out, family, &[("network", network.name())]);
            write_integer(out, i64::try_from(*count).unwrap_or(i64::MAX));
            out.put_u8(b'\n');
        }
    }
}

/// The exporter's own metrics, from the prometheus crate's values: its encoder knows no
/// OpenMetrics.
fn write_own(out: &mut Vec<u8>, format: Format, families: &[MetricFamily]) {
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
            let sample = |out: &mut Vec<u8>, suffix: &str, bound: Option<f64>, value: f64| {
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(suffix.as_bytes());
                let mut first = true;
                for label in metric.get_label() {
                    out.push(if std::mem::take(&mut first) { b'{' } else { b',' });
                    write_label(out, label.name(), label.value());
                }
                if let Some(bound) = bound {
                    out.push(if std::mem::take(&mut first) { b'{' } else { b',' });
                    out.extend_from_slice(b"le=\"");
                    write_float(out, bound);
                    // OpenMetrics wants floats as bounds.
                    if format == Format::OpenMetrics && bound.is_finite() && bound.fract() == 0.0 {
                        out.extend_from_slice(b".0");
                    }
                    out.push(b'"');
                }
                out.extend_from_slice(if first { b" " } else { b"} " });
                write_float(out, value);
                out.push(b'\n');
            };
            match family.get_field_type() {
                MetricType::COUNTER => sample(out, "", None, metric.get_counter().get_value()),
                MetricType::HISTOGRAM => {
                    let histogram = metric.get_histogram();
                    // Counts of probes stay far below the integers that a float holds exactly.
                    for bucket in histogram.get_bucket().iter().filter(|b| b.upper_bound().is_finite()) {
                        sample(out, "_bucket", Some(bucket.upper_bound()), bucket.cumulative_count() as f64);
                    }
                    sample(out, "_bucket", Some(f64::INFINITY), histogram.get_sample_count() as f64);
                    sample(out, "_sum", None, histogram.get_sample_sum());
                    sample(out, "_count", None, histogram.get_sample_count() as f64);
                }
                _ => sample(out, "", None, metric.get_gauge().get_value()),
            }
        }
    }
}
