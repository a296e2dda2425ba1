//! Deadlines as a calendar (RFC 5545): one event for each credential, with the accounts that match.

use std::fmt::Write as _;

use bytes::Bytes;

use super::icalendar::{Calendar, Event, uid};
use super::{Connection, Matches};
use crate::model::{Expiry, Timestamp};

/// Approximate size of a chunk, in bytes.
const CHUNK: usize = 64 << 10;

/// Writes the deadlines of the connections that match, in chunks.
pub fn write_calendar(mut matches: Matches) -> impl Iterator<Item = Bytes> + Send {
    let mut calendar = Some(Calendar::new("connections", "Connections to reconnect"));
    let mut pending = matches.next();
    std::iter::from_fn(move || {
        let out = calendar.as_mut()?;
        while out.pending() < CHUNK
            && let Some(first) = pending
        {
            // The accounts of a credential follow one another in the listing.
            let credential = |account: usize, matches: &Matches| {
                matches.listing.connection(account).map(|c| c.account.credential_index())
            };
            let mut accounts = vec![first];
            pending = matches.next();
            while let Some(next) =
                pending.filter(|next| credential(*next, &matches) == credential(first, &matches))
            {
                accounts.push(next);
                pending = matches.next();
            }
            let connections: Vec<_> =
                accounts.into_iter().filter_map(|account| matches.listing.connection(account)).collect();
            add_event(out, &connections, matches.listing.at);
        }
        if pending.is_some() {
            return Some(out.take().into());
        }
        let mut last = calendar.take()?;
        last.end();
        Some(last.take().into())
    })
}

/// Maximum number of accounts that an event lists.
const MAX_LISTED: usize = 50;

fn add_event(calendar: &mut Calendar, connections: &[Connection<'_>], now: Timestamp) {
    let Some((first, others)) = connections.split_first() else { return };
    // It is the same for all accounts of a login, but lost ones have none.
    let ahead = connections.iter().find_map(Connection::deadline_ahead);
    let Some(deadline) = ahead.and_then(Expiry::at) else { return };
    let credential = first.credential;
    let mut summary = format!("Reconnect {}", first.account.name());
    if !others.is_empty() {
        let _ = write!(summary, " and {} more", others.len());
    }
    let mut text = format!(
        "Must be reconnected by {}.\nLogin: {}",
        deadline.utc().format("%Y-%m-%d %H:%M UTC"),
        credential.id()
    );
    if let Some(person) = credential.connected_by() {
        let _ = write!(text, ", connected by {person}");
    }
    text.push_str("\nAccounts:");
    for connection in connections.iter().take(MAX_LISTED) {
        let account = &connection.account;
        let state = connection.state(now).title().to_lowercase();
        let _ = write!(text, "\n- {} ({}, {}): {state}", account.name(), account.network(), account.id());
    }
    if let Some(more) = connections.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
        let _ = write!(text, "\n- and {more} more");
    }
    calendar.event(&Event {
        uid: &uid(&[credential.id(), &deadline.to_string()]),
        stamp: now,
        at: deadline,
        summary: &summary,
        description: &text,
        url: connections.iter().find_map(Connection::reconnect_url),
    });
}
