//! What the networks' own notices change.

use std::sync::Arc;

use super::{Change, Store, apply_finding};
use crate::inventory::Inventory;
use crate::model::{Reason, Timestamp};
use crate::network::{Certainty, Finding, Verdict};

/// The last notice about a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastNotice {
    /// When it was received.
    pub at: Timestamp,
    /// The network's name of the event.
    pub event: String,
    /// Why it counted at once as a loss; none if it only asked for a probe.
    pub lost: Option<Reason>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedNotice {
    /// Whether the notice counted as a loss.
    pub counted: bool,
    pub changes: Vec<Change>,
}

impl Store {
    /// Notes a notice about a credential. A loss changes all its accounts in one step, unless one of them
    /// has worked since the network has written the notice: a late notice, or one that was sent again,
    /// is old news then. None if the inventory has been replaced.
    pub fn apply_notice(
        &self,
        inventory: &Arc<Inventory>,
        credential: usize,
        notice: LastNotice,
        written: Timestamp,
    ) -> Option<AppliedNotice> {
        let mut current = self.lock();
        if !Arc::ptr_eq(inventory, &current.snapshot.inventory) {
            return None;
        }
        let worked = current.snapshot.last_worked(credential);
        let lost = notice.lost.filter(|_| worked.is_none_or(|worked| worked <= written));
        let watched = inventory.credential(credential)?;
        let mut changes = Vec::new();
        for (position, index) in watched.accounts().enumerate() {
            let (Some(reason), Some(view)) = (lost, inventory.account(index)) else { continue };
            let Some(account) = current.snapshot.accounts.get_mut(index) else { continue };
            if !view.network().network().supports(view.kind()) {
                continue;
            }
            let finding = Finding {
                verdict: Verdict::Invalid(reason, Certainty::Plain),
                capabilities: view.needs().iter().map(|capability| (capability, reason)).collect(),
                scopes: Vec::new(),
            };
            let before = account.clone();
            apply_finding(account, &finding, notice.at, false);
            if before != *account {
                changes.push(Change { position, before, after: account.clone() });
            }
        }
        current.snapshot.credentials.get_mut(credential)?.notice =
            Some(Arc::new(LastNotice { lost, ..notice }));
        current.snapshot.version += 1;
        current.credentials.insert(credential);
        self.wake();
        Some(AppliedNotice { counted: lost.is_some(), changes })
    }
}
