//! Sends calls to networks: the only HTTP client, protection of private networks, OAuth 1.0a
//! signatures and rate limits; and mails to an SMTP server.
//!
//! Must not know what an answer means for a token.

mod client;
mod guard;
mod limiter;
mod oauth1;
mod smtp;

pub use client::{
    Client, Failure, MAX_BODY_BYTES, client_builder, failure, identity, is_loopback, sensitive,
};
pub use guard::{PublicOnly, check, is_public};
pub use limiter::Limiter;
pub use oauth1::authorization;
pub use smtp::{NotSent, SmtpConnection, SmtpServer};
