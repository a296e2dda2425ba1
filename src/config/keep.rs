//! What stays of the last inventory where sources have problems.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::findings::Problem;
use super::quoting::shown;
use super::validator::{NOWHERE, Origin, Validator};
use crate::inventory::{AccountView, CredentialView, Place};

impl Validator<'_> {
    /// Whether the last inventory has rows of files in this folder.
    pub(super) fn has_rows_of(&self, folder: &Path) -> bool {
        let Some(last) = self.last else { return false };
        let places = last.inventory.places();
        let inside = |place: usize| {
            places.get(place).is_some_and(|p| p.source.is_some() && p.path.starts_with(folder))
        };
        last.inventory.accounts().any(|account| inside(account.place()))
            || last.inventory.credentials().any(|credential| inside(credential.place()))
    }

    /// The position of a source in the configuration; 0 for the configuration itself. None if the
    /// source is not configured any more.
    pub(super) fn rank(&self, place: &Place) -> Option<usize> {
        let Some(id) = &place.source else { return Some(0) };
        self.config.statuses.iter().position(|status| status.id == *id).map(|index| index + 1)
    }

    /// Whether the rows of a place that are missing now have only not been read.
    fn unread(&self, place: &Place) -> bool {
        match &place.source {
            None => self.keep_main,
            Some(id) if self.kept_sources.contains(id) => true,
            Some(_) => self.unread.iter().any(|unread| place.path.starts_with(unread)),
        }
    }

    /// Keeps the rows of sources of which more than half would leave, unless that is so for the
    /// second time. `read` tells which sources were read.
    pub(super) fn keep_if_halved(&mut self, read: impl Fn(&str) -> bool) {
        let Some(last) = self.last else { return };
        let mut counts: HashMap<&str, [usize; 2]> = HashMap::new();
        let unread: Vec<bool> = last.inventory.places().iter().map(|place| self.unread(place)).collect();
        for account in last.inventory.accounts() {
            let place = last.inventory.places().get(account.place());
            let Some(source) = place.and_then(|place| place.source.as_deref()) else { continue };
            let stays = unread.get(account.place()) == Some(&true)
                || self.config.table.find(account.id()).is_some()
                || self.broken_accounts.contains_key(account.id());
            let [all, leaving] = counts.entry(source).or_default();
            *all += 1;
            *leaving += usize::from(!stays);
        }
        for status in self.config.statuses.iter_mut().filter(|status| read(&status.id)) {
            let [all, leaving] = counts.get(&*status.id).copied().unwrap_or_default();
            let halved = leaving * 2 > all;
            let seen = last.source(&status.id).is_some_and(|before| before.shrunk);
            status.shrunk = halved && !seen;
            if status.shrunk {
                self.kept_sources.push(status.id.clone());
                let message = format!(
                    "{leaving} of {all} accounts are missing; they leave when they are missing again"
                );
                let path = Place::of_source(&status.id);
                // The problem is the source's, not a file's.
                self.config.table.add_place(&path, Some(&status.id));
                self.findings.problem(Problem::of_file(&path, None, message));
            }
        }
    }

    /// Adds the rows of the last inventory that are missing only because they could not be read: the
    /// credentials before accounts refer to them, and the accounts at the end. `ranks` selects
    /// sources by their [`Validator::rank`].
    pub(super) fn keep(&mut self, accounts: bool, ranks: impl Fn(usize) -> bool) {
        let Some(last) = self.last else { return };
        let places = last.inventory.places();
        let chosen: HashSet<usize> = places
            .iter()
            .enumerate()
            .filter(|(_, place)| self.rank(place).is_some_and(&ranks))
            .map(|(index, _)| index)
            .collect();
        let unread: HashSet<usize> = chosen
            .iter()
            .copied()
            .filter(|index| places.get(*index).is_some_and(|p| self.unread(p)))
            .collect();
        let nothing_broken = self.broken_credentials.is_empty() && self.broken_accounts.is_empty();
        if unread.is_empty() && nothing_broken {
            return;
        }
        let mut numbers = HashMap::new();
        for credential in last.inventory.credentials().filter(|_| !accounts) {
            let (id, place) = (credential.id(), credential.place());
            // An account's own token comes with the account, which may be in another file now.
            let own = last.inventory.find(id).is_some();
            let missing = unread.contains(&place)
                || (chosen.contains(&place) && self.broken_credentials.contains_key(id));
            if missing && !own && self.config.table.find_credential(id).is_none() {
                self.read_again(place, &mut numbers);
                self.keep_credential(credential);
            }
        }
        for account in last.inventory.accounts().filter(|_| accounts) {
            let (id, place) = (account.id(), account.place());
            let missing =
                unread.contains(&place) || (chosen.contains(&place) && self.broken_accounts.contains_key(id));
            let taken = self.config.table.find(id).filter(|_| missing);
            if let Some(index) = taken {
                self.note_conflict(index, place);
            } else if missing {
                self.read_again(place, &mut numbers);
                if self.keep_account(account).is_none() {
                    let path = places.get(place).map_or(Path::new(""), |place| &place.path);
                    let message = format!("account {} could not be kept", shown(id));
                    self.findings.problem(Problem::of_file(path, None, message));
                }
            }
        }
    }

    /// Notes that another source than before gives an account.
    fn note_conflict(&mut self, account: usize, before: usize) {
        let owner = self.accounts.get(account).map(|origin| origin.file as usize);
        let owner = owner.and_then(|file| self.config.table.places().get(file));
        let before = self.last.and_then(|last| last.inventory.places().get(before));
        let (Some(owner), Some(before)) = (owner, before) else { return };
        let statuses = self.config.statuses.iter_mut().filter(|_| owner.source != before.source);
        if let Some(status) = statuses.into_iter().find(|status| before.is_of(&status.id)) {
            status.conflicting = true;
        }
    }

    /// The next rows come from a place of the last inventory; `numbers` has those that are known.
    fn read_again(&mut self, place: usize, numbers: &mut HashMap<usize, u32>) {
        let table = &mut self.config.table;
        let Some(old) = self.last.and_then(|last| last.inventory.places().get(place)) else { return };
        let number = *numbers.entry(place).or_insert_with(|| {
            let known = table.places().iter().position(|new| new.path == old.path);
            let known = known.and_then(|number| u32::try_from(number).ok());
            known.unwrap_or_else(|| table.add_place(&old.path, old.source.as_deref()))
        });
        table.read_from(number);
        self.kept = Origin { file: number, at: NOWHERE };
    }

    fn keep_credential(&mut self, credential: CredentialView<'_>) -> Option<usize> {
        let index = self.config.table.keep_credential(credential, &self.config.apps)?;
        self.credentials.push(self.kept);
        Some(index)
    }

    fn keep_account(&mut self, account: AccountView<'_>) -> Option<()> {
        let old = account.credential()?;
        let index = match self.config.table.find_credential(old.id()) {
            Some(index) => index,
            None => self.keep_credential(old)?,
        };
        self.config.table.credential(index).filter(|new| new.network() == old.network())?;
        self.config.table.keep_account(account, index).ok()?;
        self.accounts.push(self.kept);
        Some(())
    }
}
