//! The families about accounts, as a table: each entry tells how the samples of one account follow
//! from the snapshot.

use super::text::write_integer;
use crate::inventory::AccountView;
use crate::model::{Capability, Expiry, Reason, Timestamp};
use crate::state::{AccountState, CredentialState, Snapshot};

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    /// Labels with the constant value 1; a gauge in the older format.
    Info,
}

/// A family of samples about accounts.
pub struct Family {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    /// The labels besides `account` and `network`.
    pub labels: &'static [&'static str],
    samples: Samples,
}

enum Samples {
    /// One sample with the labels of the account alone; none if the value is unknown.
    One(fn(&Account<'_>) -> Option<i64>),
    /// Samples with labels of their own. The function returns early if nothing is known.
    Labelled(fn(&mut Writer<'_>, &Account<'_>) -> Option<()>),
}

/// One account at the time of a scrape. Each look-up reads memory for every account, so a family
/// looks up only what it writes.
pub(super) struct Account<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) index: usize,
    pub(super) now: Timestamp,
}

impl<'a> Account<'a> {
    fn view(&self) -> Option<AccountView<'a>> {
        self.snapshot.inventory.account(self.index)
    }

    fn state(&self) -> Option<&'a AccountState> {
        self.snapshot.accounts.get(self.index)
    }

    fn credential_state(&self) -> Option<&'a CredentialState> {
        self.snapshot.credentials.get(self.view()?.credential_index())
    }

    /// When a person must reconnect.
    fn deadline(&self) -> Option<Expiry> {
        let auto_refresh = self.view()?.credential()?.auto_refresh();
        Some(self.credential_state()?.clocks.deadline(auto_refresh))
    }
}

/// The families about accounts. Documentation, dashboards and rules are checked against this table.
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
        samples: Samples::Labelled(|out, account| {
            let view = account.view()?;
            let texts = view.escaped()?;
            out.begin(account);
            out.label(",name=\"", texts.name);
            out.label(",kind=\"", view.kind());
            out.label(",use=\"", view.purpose().label());
            out.label(",external_id=\"", texts.external_id);
            out.label(",credential=\"", texts.credential);
            out.label(",app=\"", texts.app);
            out.label(",connected_by=\"", texts.connected_by);
            out.label(",notify=\"", texts.notify);
            out.label(",reconnect_url=\"", texts.reconnect_url);
            view.escaped_labels().for_each(|label| out.text(label));
            out.text("} 1\n");
            Some(())
        }),
    },
    Family {
        name: "connection_valid",
        help: "Whether the connection works: 1 with reason ok, or 0 with the reason. Absent until the first \
               conclusive probe.",
        kind: Kind::Gauge,
        labels: &["reason"],
        samples: Samples::Labelled(|out, account| {
            let verdict = account.state()?.verdict?;
            out.begin(account);
            out.end_with_reason(verdict);
            Some(())
        }),
    },
    Family {
        name: "connection_state_change_timestamp_seconds",
        help: "Since when the connection is in its present state.",
        kind: Kind::Gauge,
        labels: &[],
        samples: Samples::One(|account| Some(account.state()?.since?.unix())),
    },
    Family {
        name: "connection_capability_available",
        help: "Whether a needed capability is there: 1 with reason ok, or 0 with the reason.",
        kind: Kind::Gauge,
        labels: &["capability", "reason"],
        samples: Samples::Labelled(|out, account| {
            let reasons = &account.state()?.capabilities;
            for (capability, reason) in
                Capability::ALL.iter().filter_map(|c| Some((c, reasons[*c as usize]?)))
            {
                out.begin(account);
                out.label(",capability=\"", capability.label());
                out.end_with_reason(reason);
            }
            Some(())
        }),
    },
    Family {
        name: "token_expires_in_seconds",
        help: "Seconds until a person must reconnect, negative afterwards. Absent without a deadline or \
               while it is unknown.",
        kind: Kind::Gauge,
        labels: &[],
        samples: Samples::One(|account| Some(account.deadline()?.at()?.since(account.now))),
    },
    Family {
        name: "token_expiry_timestamp_seconds",
        help: "When a person must reconnect at the latest.",
        kind: Kind::Gauge,
        labels: &[],
        samples: Samples::One(|account| Some(account.deadline()?.at()?.unix())),
    },
    Family {
        name: "token_has_expiry",
        help: "Whether there is a deadline; 0 for a token that never expires, absent while unknown.",
        kind: Kind::Gauge,
        labels: &[],
        samples: Samples::One(|account| match account.deadline()? {
            Expiry::Unknown => None,
            Expiry::Never => Some(0),
            Expiry::At(_) => Some(1),
        }),
    },
    Family {
        name: "token_clock_expiry_timestamp_seconds",
        help: "The instants behind the deadline: the end of the access token, of the refresh token or \
               grant, of the access to data.",
        kind: Kind::Gauge,
        labels: &["clock"],
        samples: Samples::Labelled(|out, account| {
            let clocks = &account.credential_state()?.clocks;
            for (clock, expiry) in
                [("access", clocks.access), ("refresh", clocks.refresh), ("data_access", clocks.data_access)]
            {
                if let Some(instant) = expiry.at() {
                    out.begin(account);
                    out.label(",clock=\"", clock);
                    out.end(instant.unix());
                }
            }
            Some(())
        }),
    },
    Family {
        name: "token_issued_timestamp_seconds",
        help: "When the token was issued, where that is known.",
        kind: Kind::Gauge,
        labels: &[],
        samples: Samples::One(|account| Some(account.credential_state()?.clocks.issued?.unix())),
    },
    Family {
        name: "token_scope_granted",
        help: "Whether a scope that the account's needs require is granted. Absent while unknown.",
        kind: Kind::Gauge,
        labels: &["scope"],
        samples: Samples::Labelled(|out, account| {
            let granted = account.state()?.scopes?;
            for (i, scope) in account.view()?.required_scopes().iter().enumerate() {
                out.begin(account);
                out.label(",scope=\"", scope);
                out.end(i64::from(granted >> i & 1));
            }
            Some(())
        }),
    },
    Family {
        name: "connection_probe_success",
        help: "Whether the last probe was conclusive.",
        kind: Kind::Gauge,
        labels: &[],
        samples: Samples::One(|account| account.state()?.conclusive().map(i64::from)),
    },
    Family {
        name: "connection_last_probe_timestamp_seconds",
        help: "When the connection was probed last.",
        kind: Kind::Gauge,
        labels: &[],
        samples: Samples::One(|account| Some(account.credential_state()?.last_probe?.unix())),
    },
    Family {
        name: "connection_last_conclusive_probe_timestamp_seconds",
        help: "When a probe was conclusive last: the age of the verdict.",
        kind: Kind::Gauge,
        labels: &[],
        samples: Samples::One(|account| Some(account.state()?.last_conclusive?.unix())),
    },
];

impl Family {
    /// Writes the samples of one account.
    #[inline]
    pub(super) fn write(&self, account: &Account<'_>, out: &mut Vec<u8>) {
        let mut out = Writer { out, family: self.name };
        match self.samples {
            Samples::One(value) => {
                if let Some(value) = value(account) {
                    out.begin(account);
                    out.end(value);
                }
            }
            // What is unknown is not written.
            Samples::Labelled(write) => drop(write(&mut out, account)),
        }
    }
}

/// Writes samples of one family.
struct Writer<'a> {
    out: &'a mut Vec<u8>,
    family: &'static str,
}

// The lengths of the constant texts are known where these functions are inlined.
impl Writer<'_> {
    #[inline(always)]
    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Begins a sample with the labels of the account, which are ready in the inventory.
    #[inline(always)]
    fn begin(&mut self, account: &Account<'_>) {
        self.text(self.family);
        self.text(account.snapshot.inventory.account_labels(account.index));
    }

    /// Adds a label. `before` is what precedes its value, which is escaped already.
    #[inline(always)]
    fn label(&mut self, before: &'static str, value: &str) {
        self.text(before);
        self.text(value);
        self.text("\"");
    }

    /// Ends a sample with the label `reason`; the value tells whether that is [`Reason::Ok`].
    #[inline(always)]
    fn end_with_reason(&mut self, reason: Reason) {
        self.label(",reason=\"", reason.label());
        self.text(if reason == Reason::Ok { "} 1\n" } else { "} 0\n" });
    }

    #[inline(always)]
    fn end(&mut self, value: i64) {
        self.text("} ");
        write_integer(self.out, value);
        self.text("\n");
    }
}
