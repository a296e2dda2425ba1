//! The clocks of a login in 16 bytes, as there can be a million logins.

use crate::model::{Expiry, Timestamp};
use crate::network::Clocks;

/// [`Clocks`] with four bytes for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactClocks {
    access: CompactExpiry,
    refresh: CompactExpiry,
    data_access: CompactExpiry,
    issued: Option<Timestamp>,
}

/// Unix seconds; 0 for unknown, and [`u32::MAX`] for never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct CompactExpiry(u32);

impl From<Expiry> for CompactExpiry {
    fn from(expiry: Expiry) -> Self {
        Self(match expiry {
            Expiry::Unknown => 0,
            Expiry::Never => u32::MAX,
            Expiry::At(at) => u32::try_from(at.unix()).map_or(u32::MAX - 1, |at| at.min(u32::MAX - 1)),
        })
    }
}

impl From<CompactExpiry> for Expiry {
    fn from(CompactExpiry(seconds): CompactExpiry) -> Self {
        match seconds {
            u32::MAX => Self::Never,
            seconds => Timestamp::from_unix(seconds.into()).map_or(Self::Unknown, Self::At),
        }
    }
}

impl From<Clocks> for CompactClocks {
    fn from(Clocks { access, refresh, data_access, issued }: Clocks) -> Self {
        Self { access: access.into(), refresh: refresh.into(), data_access: data_access.into(), issued }
    }
}

impl CompactClocks {
    pub fn get(self) -> Clocks {
        let Self { access, refresh, data_access, issued } = self;
        Clocks { access: access.into(), refresh: refresh.into(), data_access: data_access.into(), issued }
    }
}
