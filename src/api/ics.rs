//! Deadlines as a calendar: one event for each login, with all of the accounts that matched.

use std::fmt::Write as _;

use bytes::Bytes;

use super::calendar::{Calendar, Event, uid};
use super::{Connection, Matches};
use crate::model::Timestamp;

/// About so many bytes are written at a time.
const CHUNK: usize = 64 << 10;

/// The deadlines of the connections that match, in parts.
pub fn write(mut matches: Matches) -> impl Iterator<Item = Bytes> + Send {
    let mut calendar = Some(Calendar::new("connections", "Connections to reconnect"));
    let mut waiting = matches.next();
    std::iter::from_fn(move || {
        let out = calendar.as_mut()?;
        while out.pending() < CHUNK
            && let Some(first) = waiting
        {
            // Accounts of one login stand side by side.
            let login = |index: usize, matches: &Matches| {
                matches.listing.connection(index).map(|c| c.account.credential_index())
            };
            let mut together = vec![first];
            waiting = matches.next();
            while let Some(next) = waiting.filter(|next| login(*next, &matches) == login(first, &matches)) {
                together.push(next);
                waiting = matches.next();
            }
            let accounts: Vec<_> =
                together.into_iter().filter_map(|i| matches.listing.connection(i)).collect();
            put(out, &accounts, matches.listing.at);
        }
        if waiting.is_some() {
            return Some(out.take().into());
        }
        let mut last = calendar.take()?;
        last.end();
        Some(last.take().into())
    })
}

/// So many accounts are named in one event.
const NAMED: usize = 50;

fn put(calendar: &mut Calendar, accounts: &[Connection<'_>], now: Timestamp) {
    let Some((first, others)) = accounts.split_first() else { return };
    let Some(deadline) = first.deadline().at() else { return };
    let credential = first.login;
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
    for connection in accounts.iter().take(NAMED) {
        let account = &connection.account;
        let state = connection.state(now).title().to_lowercase();
        let _ = write!(text, "\n- {} ({}, {}): {state}", account.name(), account.network(), account.id());
    }
    if let Some(more) = accounts.len().checked_sub(NAMED).filter(|more| *more > 0) {
        let _ = write!(text, "\n- and {more} more");
    }
    calendar.event(&Event {
        uid: &uid(&[credential.id(), &deadline.to_string()]),
        stamp: now,
        at: deadline,
        summary: &summary,
        description: &text,
        url: accounts.iter().find_map(Connection::reconnect_url).as_deref(),
    });
}
