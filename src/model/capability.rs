//! What a product does with an account, and why an account is watched.

use super::Reason;
use super::labels::labels;

/// What does not work: of the capabilities that an account needs, those that are lost.
pub fn stops(capabilities: &[(Capability, Reason)]) -> Vec<&'static str> {
    capabilities
        .iter()
        .filter(|(_, reason)| *reason != Reason::Ok)
        .map(|(capability, _)| capability.stops())
        .collect()
}

labels! {
    Capability {
        Publish = "publish",
        /// Messages and comments.
        Inbox = "inbox",
        /// Statistics.
        Analytics = "analytics",
        Ads = "ads",
    }
}

impl Capability {
    /// What does not work while it is lost.
    pub fn stops(self) -> &'static str {
        match self {
            Self::Publish => "publishing (scheduled posts)",
            Self::Inbox => "inbox (messages and comments)",
            Self::Analytics => "analytics",
            Self::Ads => "ads",
        }
    }
}

labels! {
    /// Why an account is watched; decides its notification schedule.
    Use {
        /// The team's own account.
        Owned = "owned",
        /// An account used for advertising.
        Paid = "paid",
        /// An account that is only observed.
        Monitored = "monitored",
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Capabilities(u8);

impl Capabilities {
    pub const NONE: Self = Self(0);
    /// What an account needs if nothing is said.
    pub const DEFAULT: Self = Self(1 << Capability::Publish as u8);

    pub fn contains(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u8) != 0
    }

    /// Its members, in the order of [`Capability::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.iter().copied().filter(move |c| self.contains(*c))
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(members: I) -> Self {
        Self(members.into_iter().fold(0, |set, c| set | (1 << c as u8)))
    }
}
