//! Renders a snapshot as the text of `/metrics`.
//!
//! `families` is the table of families about accounts, `exporter` those about apps, networks and
//! the exporter itself; `text` knows what the two formats look like. The [`Renderer`] goes through
//! the families, and in each through the accounts, and returns the text in chunks: a scrape of a
//! million accounts takes the memory of one chunk. Must not know networks or HTTP.

mod exporter;
mod families;
mod text;

use bytes::Bytes;

use crate::model::Timestamp;
use crate::state::Snapshot;
use crate::telemetry::Metrics;
pub use exporter::{SMALL_FAMILIES, SmallFamily};
use families::Account;
pub use families::{FAMILIES, Family};
use text::write_header;

/// The two formats that Prometheus accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `text/plain; version=0.0.4`
    Text,
    /// `application/openmetrics-text; version=1.0.0`
    OpenMetrics,
}

impl Format {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All accounts, and the exporter itself.
    Everything,
    /// The account with this index, and nothing else.
    Account(usize),
}

/// About the size of a chunk. Small enough to stay in the processor's cache (allocators keep up to
/// 32 KiB at hand), large enough for the network.
pub const CHUNK: usize = 28 << 10;
/// Room for the last sample of a chunk.
pub const SLACK: usize = 4 << 10;

/// A response while it is written. It holds the snapshot, so all chunks show the same moment.
pub struct Renderer {
    snapshot: Snapshot,
    now: Timestamp,
    format: Format,
    /// The first account, and the one behind the last.
    accounts: std::ops::Range<usize>,
    /// The next family, and its next account.
    family: usize,
    account: usize,
    /// What follows the families about accounts. Its size does not depend on their number.
    rest: Option<Bytes>,
}

impl Renderer {
    pub fn new(
        snapshot: Snapshot,
        metrics: &Metrics,
        now: Timestamp,
        format: Format,
        extent: Extent,
    ) -> Self {
        let mut rest = Vec::new();
        let accounts = match extent {
            Extent::Everything => {
                exporter::write_small(&mut rest, format, &snapshot);
                exporter::write_own(&mut rest, format, &metrics.gather());
                0..snapshot.inventory.len()
            }
            Extent::Account(account) => account..account + 1,
        };
        if format == Format::OpenMetrics {
            rest.extend_from_slice(b"# EOF\n");
        }
        let account = accounts.start;
        Self { snapshot, now, format, accounts, family: 0, account, rest: Some(rest.into()) }
    }

    /// The next chunk of the text; none at its end.
    pub fn next_chunk(&mut self) -> Option<Bytes> {
        let mut out = Vec::with_capacity(CHUNK + SLACK);
        while let Some(family) = FAMILIES.get(self.family) {
            if self.account == self.accounts.start {
                write_header(&mut out, self.format, family.name, family.help, family.kind());
            }
            while self.account < self.accounts.end {
                if out.len() >= CHUNK {
                    return Some(out.into());
                }
                let account = Account { snapshot: &self.snapshot, index: self.account, now: self.now };
                family.write(&account, &mut out);
                self.account += 1;
            }
            self.family += 1;
            self.account = self.accounts.start;
        }
        if out.is_empty() { self.rest.take().filter(|rest| !rest.is_empty()) } else { Some(out.into()) }
    }
}
