//! The families about accounts, as a table: each entry says how the samples of one account are
//! derived from the snapshot.

use super::text::write_integer;
use crate::inventory::{AccountView, INFO_LABELS};
use crate::model::{Capability, Expiry, Language, Reason, Timestamp};
use crate::state::{AccountState, CredentialState, Snapshot};

pub struct Family {
    pub name: &'static str,
    pub help: &'static str,
    /// The labels besides `account` and `network`.
    pub labels: &'static [&'static str],
    samples: Samples,
}

enum Samples {
    One(Value),
    Labelled(Write),
}

/// The value of the only sample; none if it is unknown.
type Value = fn(&Account<'_>) -> Option<i64>;
/// Writes samples with labels of their own, and returns early if nothing is known.
type Write = fn(&mut Writer<'_>, &Account<'_>) -> Option<()>;

const fn one(name: &'static str, help: &'static str, value: Value) -> Family {
    Family { name, help, labels: &[], samples: Samples::One(value) }
}

const fn labelled(
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    write: Write,
) -> Family {
    Family { name, help, labels, samples: Samples::Labelled(write) }
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
        Some(self.credential_state()?.clocks.get().deadline(auto_refresh))
    }
}

/// The families about accounts. Documentation, dashboards and rules are checked against this table.
pub static FAMILIES: &[Family] = &[
    labelled(
        "connection_info",
        "Information from the configuration, to be joined with group_left.",
        INFO_LABELS,
        |out, account| {
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
            if let Some(language) = view.language().filter(|language| *language != Language::En) {
                out.label(",mail_language=\"", language.code());
            }
            if view.reader_is_connector() {
                out.label(",mail_reader=\"", "connector");
            }
            view.escaped_labels().for_each(|label| out.text(label));
            out.text("} 1\n");
            Some(())
        },
    ),
    labelled(
        "connection_valid",
        "Whether the connection works: 1 with reason ok, or 0 with the reason. Absent until the first \
         conclusive probe.",
        &["reason"],
        |out, account| {
            let verdict = account.state()?.verdict?;
            out.begin(account);
            out.end_with_reason(verdict);
            Some(())
        },
    ),
    labelled(
        "connection_source_state",
        "A metric with the constant value 1 for each connection of which its source gives the state, as the \
         product sees it. Absent if the source gives none.",
        &["state"],
        |out, account| {
            let state = account.view()?.escaped_source_state()?;
            out.begin(account);
            out.label(",state=\"", state);
            out.end(1);
            Some(())
        },
    ),
    one("connection_state_change_timestamp_seconds", "When the verdict last changed.", |account| {
        Some(account.state()?.since?.unix())
    }),
    labelled(
        "connection_capability_available",
        "Whether a needed capability is available: 1 with reason ok, or 0 with the reason.",
        &["capability", "reason"],
        |out, account| {
            for capability in Capability::ALL {
                let reason = account.snapshot.capability(account.index, *capability, account.now);
                if let Some(reason) = reason {
                    out.begin(account);
                    out.label(",capability=\"", capability.label());
                    out.end_with_reason(reason);
                }
            }
            Some(())
        },
    ),
    one(
        "token_expires_in_seconds",
        "Seconds until a person must reconnect, negative afterwards. Absent if there is no deadline or \
         it is unknown.",
        |account| Some(account.deadline()?.at()?.since(account.now)),
    ),
    one("token_expiry_timestamp_seconds", "When a person must reconnect at the latest.", |account| {
        Some(account.deadline()?.at()?.unix())
    }),
    one(
        "token_has_expiry",
        "Whether there is a deadline; 0 for a token that never expires. Absent while unknown.",
        |account| match account.deadline()? {
            Expiry::Unknown => None,
            Expiry::Never => Some(0),
            Expiry::At(_) => Some(1),
        },
    ),
    labelled(
        "token_clock_expiry_timestamp_seconds",
        "Expiry of the access token, of the refresh token or grant, and of data access; the deadline \
         follows from them.",
        &["clock"],
        |out, account| {
            let clocks = account.credential_state()?.clocks.get();
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
        },
    ),
    labelled(
        "connection_time_zone_offset_seconds",
        "Offset from UTC of the time zone of the people who get the mails: at the deadline, or now if there \
         is none. Absent if they have no time zone.",
        &["time_zone"],
        |out, account| {
            let recipients = account.view()?.recipients()?;
            let at = account.deadline()?.at().unwrap_or(account.now);
            let (zone, offset) = recipients.time_zone_at(at)?;
            out.begin(account);
            out.label(",time_zone=\"", zone);
            out.end(i64::from(offset));
            Some(())
        },
    ),
    one("token_issued_timestamp_seconds", "When the token was issued. Absent while unknown.", |account| {
        Some(account.credential_state()?.clocks.get().issued?.unix())
    }),
    labelled(
        "token_scope_granted",
        "Whether a scope that the account needs is granted. Absent while unknown.",
        &["scope"],
        |out, account| {
            let granted = account.state()?.scopes?;
            for (i, scope) in account.view()?.required_scopes().iter().enumerate() {
                out.begin(account);
                out.label(",scope=\"", scope);
                out.end(i64::from(granted.contains(i)));
            }
            Some(())
        },
    ),
    one("connection_probe_success", "Whether the last probe was conclusive.", |account| {
        account.state()?.conclusive().map(i64::from)
    }),
    labelled(
        "connection_undetermined",
        "A metric with the constant value 1 for each connection whose last probe could not tell, labelled by \
         cause.",
        &["cause"],
        |out, account| {
            let cause = account.state()?.trouble?;
            out.begin(account);
            out.label(",cause=\"", cause.label());
            out.end(1);
            Some(())
        },
    ),
    one("connection_last_probe_timestamp_seconds", "Time of the last probe.", |account| {
        Some(account.credential_state()?.last_probe?.unix())
    }),
    one(
        "connection_last_conclusive_probe_timestamp_seconds",
        "Time of the last conclusive probe.",
        |account| Some(account.state()?.last_conclusive?.unix()),
    ),
    labelled(
        "connection_report_timestamp_seconds",
        "When the last report about the connection was seen, by what the product did and what the report was \
         read as. Absent if there was none.",
        &["operation", "result"],
        |out, account| {
            for report in account.snapshot.heard.get(account.index)?.reports() {
                out.begin(account);
                out.label(",operation=\"", report.operation.label());
                out.label(",result=\"", report.result.label());
                out.end(report.at.unix());
            }
            Some(())
        },
    ),
    one(
        "connection_next_use_timestamp_seconds",
        "When something is next done with the connection, such as a planned post. Absent unless the \
         configuration or a source says so.",
        |account| Some(account.view()?.next_use()?.unix()),
    ),
];

impl Family {
    /// In OpenMetrics; the older format knows no info.
    pub fn kind(&self) -> &'static str {
        if self.name.ends_with("_info") { "info" } else { "gauge" }
    }

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

    /// Ends a sample with the label `reason`; the value is 1 for [`Reason::Ok`].
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
