//! What is watched.

mod app;
mod intern;
mod roster;
mod secret_source;
mod shard;
mod table;

pub use app::{App, RateLimit};
pub use intern::Piece;
pub use roster::{Inventory, stable_hash};
pub use secret_source::SecretSource;
pub use shard::{Shard, ordinal_of};
pub use table::*;
