//! What lines of a list have in common, so that most of them need not be parsed.
//!
//! A program that writes a list writes its rows alike: the same keys in the same order, with the same
//! blanks. The shape of a line is what remains of it without the values. A line of a known shape is a
//! few comparisons away from its values. Must not know what they mean.

use super::load::{ACCOUNTS, CREDENTIALS};

/// What a value is, which may differ from one line to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Id,
    Name,
    ExternalId,
    Credential,
    ConnectedBy,
    ReconnectUrl,
    State,
    NextUse,
    ExpiresAt,
    RefreshExpiresAt,
    Token,
    TokenFile,
    Recipient,
    Label,
    /// All other values; lines in which they differ are not alike.
    Other,
}

pub(super) const ROLES: usize = Role::Other as usize + 1;

/// A place for a value.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) role: Role,
    /// The key of the value, or of its list.
    pub(super) key: Box<str>,
    /// The text before the value, which ends with its opening quote if it has quotes.
    before: Box<str>,
    quoted: bool,
}

#[derive(Debug)]
pub(super) struct Shape {
    /// The key of the row and the section that it means, if the row is not the line itself.
    pub(super) wrapper: Option<(&'static str, &'static str)>,
    pub(super) slots: Vec<Slot>,
    /// The text behind the last value.
    after: Box<str>,
}

/// The length of a quoted text as far as it stands for itself.
fn quoted(text: &str) -> usize {
    let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | ..b' ');
    text.as_bytes().iter().position(ends).unwrap_or(text.len())
}

/// The length of a whole number without a sign.
fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// A key under which a line can hold its row, and the section of that.
pub(super) fn wrapper(key: &str) -> Option<(&'static str, &'static str)> {
    [("credential", CREDENTIALS), ("account", ACCOUNTS)].into_iter().find(|(known, _)| *known == key)
}

/// None if rows with this key are read one by one.
fn role(key: &str, inside: Option<&str>) -> Option<Role> {
    Some(match (inside, key) {
        (None, "id") => Role::Id,
        (None, "name") => Role::Name,
        (None, "external_id") => Role::ExternalId,
        (None, "credential") => Role::Credential,
        (None, "connected_by") => Role::ConnectedBy,
        (None, "reconnect_url") => Role::ReconnectUrl,
        (None, "state") => Role::State,
        (None, "next_use") => Role::NextUse,
        (None, "expires_at") => Role::ExpiresAt,
        (None, "refresh_expires_at") => Role::RefreshExpiresAt,
        (None, "token") => Role::Token,
        (None, "token_file") => Role::TokenFile,
        (Some("notify"), _) => Role::Recipient,
        (Some("labels"), _) => Role::Label,
        (None, "network" | "kind" | "use" | "app" | "base_url" | "probe_interval")
        | (Some("needs" | "scopes"), _) => Role::Other,
        _ => return None,
    })
}

impl Shape {
    /// The shape of a line that holds an object, if all its keys may stand in lines that are alike.
    pub(super) fn of(line: &str) -> Option<Self> {
        let mut shape = Self { wrapper: None, slots: Vec::new(), after: Box::default() };
        // The keys of the objects and lists that are open, and the last key.
        let (mut open, mut key) = (Vec::new(), "");
        let mut keys = 0;
        let (mut rest, mut at) = (line, 0);
        while let Some(byte) = rest.as_bytes().get(at) {
            let length = match byte {
                b'"' => quoted(&rest[at + 1..]),
                b'0'..=b'9' => digits(&rest[at..]),
                b'{' | b'[' => {
                    open.push(key);
                    at += 1;
                    continue;
                }
                b'}' | b']' => {
                    key = open.pop()?;
                    at += 1;
                    continue;
                }
                b'-' | b'.' => return None,
                _ => {
                    at += 1;
                    continue;
                }
            };
            let start = at + usize::from(*byte == b'"');
            let end = start + length;
            let (value, next) = (&rest[start..end], &rest[end..]);
            if *byte == b'"' && next.strip_prefix('"')?.trim_start().starts_with(':') {
                key = value;
                at = end + 1;
                keys += usize::from(open.len() == 1);
                let is_object = || next.trim_start_matches(['"', ' ', '\t', ':']).starts_with('{');
                if shape.wrapper.is_some() && keys > 1 {
                    return None;
                } else if keys == 1 && open.len() == 1 && is_object() {
                    shape.wrapper = Some(wrapper(key)?);
                }
                continue;
            }
            if matches!(next.as_bytes().first(), Some(b'.' | b'e' | b'E')) {
                return None;
            }
            let inside = open.get(1 + usize::from(shape.wrapper.is_some())).copied();
            let before = rest[..start].into();
            let role = role(key, inside)?;
            shape.slots.push(Slot { role, key: key.into(), before, quoted: *byte == b'"' });
            (rest, at) = (next, usize::from(*byte == b'"'));
        }
        shape.after = rest.into();
        Some(shape)
    }

    /// The number of values with this role.
    pub(super) fn count(&self, role: Role) -> usize {
        self.slots.iter().filter(|slot| slot.role == role).count()
    }

    /// The values of a line, if it has this shape.
    pub(super) fn values<'t>(&self, line: &'t str) -> Option<Vec<&'t str>> {
        let (mut values, mut rest) = (Vec::with_capacity(self.slots.len()), line);
        for slot in &self.slots {
            rest = rest.strip_prefix(&*slot.before)?;
            let length = if slot.quoted { quoted(rest) } else { digits(rest) };
            let (value, behind) = rest.split_at(length);
            // What begins with 0 and is not 0 is no number in JSON.
            if !slot.quoted && (value.is_empty() || value.len() > 1 && value.starts_with('0')) {
                return None;
            }
            values.push(value);
            rest = behind;
        }
        (rest == &*self.after).then_some(values)
    }
}
