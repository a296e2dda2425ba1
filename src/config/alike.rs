//! Rows of a list that have the shape of an earlier row that was right: only what differs from one to
//! the next is checked.
//!
//! A row that is not certainly right is left alone, and nothing is reported. It is then read as any
//! other, which finds out what is wrong with it.

use super::accounts::MAX_STATE;
use super::field::{Field, KeyPath, MAX_ID, MAX_TEXT, instant, is_line, mail_problem};
use super::findings::Position;
use super::load::ACCOUNTS;
use super::secrets::secret_of;
use super::shape::{ROLES, Role, Shape};
use super::validator::{Origin, SourceFile, Validator};
use super::yaml::{Node, Value};
use crate::inventory::{NewAccount, NewCredential, SecretSource};
use crate::model::Timestamp;

/// A line and its values, in the order of its shape.
pub(super) struct Values<'a, 't> {
    pub(super) line: &'t str,
    pub(super) number: u32,
    pub(super) shape: &'a Shape,
    pub(super) values: &'a [&'t str],
    /// See [`changes`].
    pub(super) changed: Option<u64>,
    by_role: [Option<&'t str>; ROLES],
}

/// A bit for each value that differs from that in the line before of the same shape, of which nothing
/// is known if it is missing. None if a value is not certainly right, as far as it can be told without
/// the rest of the configuration.
pub(super) fn changes(shape: &Shape, values: &[&str], before: Option<&Vec<&str>>) -> Option<u64> {
    let mut changed = 0;
    for (i, (slot, value)) in shape.slots.iter().zip(values).enumerate() {
        let before = before.and_then(|before| before.get(i));
        if before == Some(value) {
            continue;
        }
        let right = match slot.role {
            Role::Id | Role::ExternalId | Role::Credential => is_line(value, MAX_ID),
            Role::Name | Role::ConnectedBy | Role::Label => is_line(value, MAX_TEXT),
            Role::State => is_line(value, MAX_STATE),
            Role::ReconnectUrl => before.is_some_and(|before| differ_in_name(before, value)),
            Role::Recipient => mail_problem(value).is_none() && shape.count(Role::Recipient) == 1,
            // Read when the row is added.
            Role::NextUse | Role::ExpiresAt | Role::RefreshExpiresAt | Role::Token | Role::TokenFile => true,
            Role::Other => false,
        };
        right.then_some(())?;
        changed |= 1_u64.checked_shl(u32::try_from(i).ok()?)?;
    }
    Some(changed)
}

/// Whether two addresses differ only in what follows their last slashes.
fn differ_in_name(address: &str, other: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    match (address.rsplit_once('/'), other.rsplit_once('/')) {
        (Some((folder, _)), Some((same, name))) => {
            folder == same && name.bytes().all(plain) && is_line(other, MAX_TEXT)
        }
        _ => false,
    }
}

impl<'a, 't> Values<'a, 't> {
    pub(super) fn new(
        line: &'t str,
        number: u32,
        shape: &'a Shape,
        values: &'a [&'t str],
        changed: Option<u64>,
    ) -> Self {
        let mut by_role = [None; ROLES];
        for (slot, value) in shape.slots.iter().zip(values) {
            by_role[slot.role as usize] = Some(*value);
        }
        Self { line, number, shape, values, changed, by_role }
    }

    /// The value with this role; the last one if there are several.
    pub(super) fn said(&self, role: Role) -> Option<&'t str> {
        self.by_role[role as usize]
    }

    fn position(&self, value: &str) -> Position {
        let before = self.line.get(..value.as_ptr().addr() - self.line.as_ptr().addr()).unwrap_or("");
        let before = before.strip_suffix('"').unwrap_or(before);
        let column = u32::try_from(before.chars().count() + 1).unwrap_or(u32::MAX);
        Position { line: self.number, column }
    }
}

/// The last row of a shape.
pub(super) struct Example {
    /// The index of its credential.
    credential: usize,
    /// Its own index, if it is an account.
    account: Option<usize>,
    /// The numbers of its labels.
    labels: Vec<u32>,
    /// Its recipients, if they are the same in all rows.
    notify: Option<String>,
    opted_out: bool,
}

impl Validator<'_> {
    /// An example of the row in this line, which was added last.
    pub(super) fn example(&self, section: &str, row: &Values<'_, '_>) -> Option<Example> {
        let table = &self.config.table;
        let said = |role| row.said(role);
        let mut example = Example {
            credential: table.credentials().len().checked_sub(1)?,
            account: None,
            labels: Vec::new(),
            notify: None,
            opted_out: false,
        };
        if section == ACCOUNTS {
            let index = table.len().checked_sub(1)?;
            let account = table.account(index)?;
            example.account = Some(index);
            example.credential = account.credential_index();
            example.labels = account.label_numbers().to_vec();
            example.opted_out = account.opted_out();
            example.notify = (row.shape.count(Role::Recipient) != 1).then(|| account.notify().to_owned());
            // A value that has no slot, such as `true`, is part of the shape.
            let same = account.name() == said(Role::Name).unwrap_or(account.id())
                && account.external_id() == said(Role::ExternalId).unwrap_or("")
                && account.reconnect_url() == said(Role::ReconnectUrl).unwrap_or("")
                && account.source_state() == said(Role::State)
                && example.labels.len() == row.shape.count(Role::Label);
            same.then_some(())?;
        }
        let credential = table.credential(example.credential)?;
        let own = section != ACCOUNTS || said(Role::Credential).is_none();
        (!own || credential.connected_by() == said(Role::ConnectedBy)).then_some(example)
    }

    /// Reads the row in a line if it is like the example, which it then replaces. None if it has to be
    /// read as any other.
    pub(super) fn add_alike(
        &mut self,
        file: SourceFile<'_>,
        row: &Values<'_, '_>,
        mut example: Example,
    ) -> Option<Example> {
        let begin = self.mark(file);
        match self.alike(file, row, &mut example) {
            Some(true) => {}
            Some(false) => _ = self.end_row(file, begin, false),
            None => {
                self.roll_back(file, begin);
                return None;
            }
        }
        Some(example)
    }

    /// Whether the row was added; a problem has been reported otherwise.
    fn alike(&mut self, file: SourceFile<'_>, row: &Values<'_, '_>, example: &mut Example) -> Option<bool> {
        let changed = row.changed?;
        let labels = row.shape.slots.iter().enumerate().filter(|(_, slot)| slot.role == Role::Label);
        for ((i, slot), number) in labels.zip(&mut example.labels) {
            if changed & 1 << i != 0 {
                *number = self.config.table.put_label(&slot.key, row.values[i]).ok()?;
            }
        }
        let said = |role| row.said(role);
        let id = said(Role::Id)?;
        let origin = Origin { file: file.number, at: row.position(id) };
        let taken = example.account.is_some() && self.defined_account(id).is_some();
        (!taken).then_some(())?;
        let next_use = match said(Role::NextUse) {
            Some(text) => Some(instant(text)?),
            None => None,
        };
        let credential = match said(Role::Credential) {
            Some(name) => self.credential_alike(name, example.credential)?,
            None => {
                let expiry = |role| match said(role).map(instant) {
                    Some(at) => at.filter(|at| *at <= Timestamp::latest_expiry()).map(Some),
                    None => Some(None),
                };
                let (expires_at, refresh_expires_at) =
                    (expiry(Role::ExpiresAt)?, expiry(Role::RefreshExpiresAt)?);
                self.defined_credential(id).is_none().then_some(())?;
                let Some(token) = self.token_of(file, row) else {
                    let broken = if example.account.is_some() {
                        &mut self.broken_accounts
                    } else {
                        &mut self.broken_credentials
                    };
                    broken.insert(id.to_owned(), origin);
                    return Some(false);
                };
                let new = NewCredential {
                    id,
                    connected_by: said(Role::ConnectedBy),
                    expires_at,
                    refresh_expires_at,
                    token,
                    token_secret: None,
                    grant: example.credential,
                };
                self.credentials.push(origin);
                self.config.table.add_credential_like(new).ok()?
            }
        };
        example.credential = credential;
        let Some(like) = example.account else { return Some(true) };
        let new = NewAccount {
            id,
            name: said(Role::Name),
            external_id: said(Role::ExternalId),
            credential,
            labels: &example.labels,
            notify: example.notify.as_deref().or(said(Role::Recipient)).unwrap_or(""),
            opted_out: example.opted_out,
            reconnect_url: said(Role::ReconnectUrl),
            source_state: said(Role::State),
            next_use,
            role: like,
        };
        self.accounts.push(origin);
        example.account = Some(self.config.table.add_account_like(&new).ok()?);
        Some(true)
    }

    /// The index of the credential with this id, if it serves the same accounts as another one.
    fn credential_alike(&self, id: &str, like: usize) -> Option<usize> {
        let table = &self.config.table;
        let (index, like) = (table.find_credential(id)?, table.credential(like)?);
        let found = table.credential(index)?;
        (std::ptr::eq(found.settings(), like.settings()) && found.style() == like.style()).then_some(index)
    }

    fn token_of(&self, file: SourceFile<'_>, row: &Values<'_, '_>) -> Option<SecretSource> {
        let mut slots = row.shape.slots.iter().zip(row.values);
        let (slot, value) = slots.find(|(slot, _)| matches!(slot.role, Role::Token | Role::TokenFile))?;
        let at = row.position(value);
        let node = Node { at, value: Value::Scalar((*value).into()) };
        let wrapper = row.shape.wrapper.map(|(key, _)| KeyPath::Key(&KeyPath::Root, key));
        let path = KeyPath::Key(wrapper.as_ref().unwrap_or(&KeyPath::Root), &slot.key);
        let field = Field { file: file.path, path, at, node: &node, findings: self.findings };
        secret_of(&slot.key, &field, self.rows)
    }
}
