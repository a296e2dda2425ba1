//! The configured accounts, credentials and apps.
//!
//! The configuration fills an [`InventoryBuilder`]; everybody else reads the [`Inventory`] that is
//! made of it, through an [`AccountView`] or a [`CredentialView`]. Must not know where the
//! configuration comes from, nor whether a connection works.
//!
//! There may be a million accounts. So `rows` have a fixed size, and `texts` stand in arenas and are
//! found through indexes of four bytes an entry.

mod app;
mod builder;
mod elsewhere;
mod people;
mod rows;
mod shard;
mod sources;
mod texts;
mod views;

pub use app::{App, RateLimit, SecretSource};
pub use builder::{AccountSettings, CredentialSettings, Full, InventoryBuilder, NewAccount, NewCredential};
pub use elsewhere::Elsewhere;
pub use people::{Person, Recipients};
pub use rows::Inventory;
pub use shard::{Shard, ordinal_of};
pub use sources::{FILES, Mark, Place, SourceStatus};
pub use texts::escape;
pub use views::{AccountView, CredentialView, EscapedTexts, INFO_LABELS};
