//! The configured accounts, credentials and apps.
//!
//! The configuration fills an [`InventoryBuilder`]; everybody else reads the [`Inventory`] that is
//! made of it, through an [`AccountView`] or a [`CredentialView`]. Must not know where the
//! configuration comes from, nor whether a connection works.
//!
//! There may be a million accounts. So `rows` have a fixed size, `texts` stand in arenas, and `ids`
//! are found through indexes of four bytes an entry.

mod app;
mod builder;
mod ids;
mod rows;
mod secret_source;
mod shard;
mod texts;
mod views;

pub use app::{App, RateLimit};
pub use builder::{AccountSettings, CredentialSettings, Full, InventoryBuilder, NewAccount, NewCredential};
pub use rows::Inventory;
pub use secret_source::SecretSource;
pub use shard::{Shard, ordinal_of, stable_hash};
pub use texts::escape;
pub use views::{AccountView, CredentialView, EscapedTexts};
