//! One mail a day for each person who wants that instead of single mails: what does not work, what
//! ends soon, and what works again.
//!
//! [`Exporters`] asks the running exporters through their API; a [`Report`] is what one person is told;
//! a [`Letter`] is that in the person's language, as text and HTML; [`Notes`] keep which mails were
//! sent, and a [`Digest`] sends each of them once a person and day. Must not know how anything was
//! found out.

mod exporters;
mod html;
mod letter;
mod mail;
mod notes;
mod person;
mod report;
mod run;
mod text;
mod times;

pub use exporters::Exporters;
pub use letter::{Letter, Links};
pub use mail::{Envelope, encode};
pub use notes::{Busy, Note, Notes};
pub use person::{Day, recipients};
pub use report::{Known, Report, Section};
pub use run::{Digest, Sent, ready_server};
