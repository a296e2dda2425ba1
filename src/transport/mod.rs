//! The one HTTP client.

mod client;
mod guard;
mod limiter;
mod oauth1;

pub use client::*;
pub use guard::*;
pub use limiter::Limiter;
