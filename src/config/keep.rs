//! What stays of the last inventory where account files have problems.

use std::collections::HashMap;
use std::path::Path;

use super::findings::Problem;
use super::quoting::shown;
use super::validator::{KEPT, Origin, Validator};
use crate::inventory::{AccountView, CredentialView};

impl Validator<'_> {
    /// Whether the last inventory has rows of files in this folder.
    pub(super) fn has_rows_of(&self, folder: &Path) -> bool {
        let places = self.last.into_iter().flat_map(|last| last.places());
        places.filter(|place| place.source.is_some()).any(|place| place.path.starts_with(folder))
    }

    /// Adds the rows of the last inventory that are missing only because they could not be read: the
    /// credentials before accounts refer to them, and the accounts at the end.
    pub(super) fn keep(&mut self, accounts: bool) {
        let Some(last) = self.last else { return };
        if self.refused == 0 {
            return;
        }
        let unread = |path: &Path| self.unread.iter().any(|unread| path.starts_with(unread));
        let places = last.places().iter();
        let unread: Vec<bool> = places.map(|place| place.source.is_some() && unread(&place.path)).collect();
        let unread = |place: usize| unread.get(place) == Some(&true);
        let mut numbers = HashMap::new();
        for credential in last.credentials().filter(|_| !accounts) {
            let id = credential.id();
            // An account's own token comes with the account, which may be in another file now.
            let own = last.find(id).is_some();
            let missing = unread(credential.place()) || self.broken_credentials.contains_key(id);
            if missing && !own && self.config.table.find_credential(id).is_none() {
                self.read_again(credential.place(), &mut numbers);
                self.keep_credential(credential);
            }
        }
        for account in last.accounts().filter(|_| accounts) {
            let missing = unread(account.place()) || self.broken_accounts.contains_key(account.id());
            if missing && self.config.table.find(account.id()).is_none() {
                self.read_again(account.place(), &mut numbers);
                if self.keep_account(account).is_none() {
                    let path = last.places().get(account.place()).map_or(Path::new(""), |place| &place.path);
                    let message = format!("account {} could not be kept", shown(account.id()));
                    self.findings.problem(Problem::of_file(path, None, message));
                }
            }
        }
    }

    /// The next rows come from a place of the last inventory; `numbers` has those that are known.
    fn read_again(&mut self, place: usize, numbers: &mut HashMap<usize, u32>) {
        let table = &mut self.config.table;
        let Some(old) = self.last.and_then(|last| last.places().get(place)) else { return };
        let number = *numbers.entry(place).or_insert_with(|| {
            let known = table.places().iter().position(|new| new.path == old.path);
            let known = known.and_then(|number| u32::try_from(number).ok());
            known.unwrap_or_else(|| table.add_place(&old.path, old.source))
        });
        table.read_from(number);
        self.kept = Origin { file: number, at: KEPT };
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
