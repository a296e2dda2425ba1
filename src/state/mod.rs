//! What is known, in memory and on disk.

mod column;
mod disk;
mod keeper;
mod rules;
mod store;

pub use column::Column;
pub use disk::*;
pub use keeper::StateWriter;
pub use rules::*;
pub use store::*;
