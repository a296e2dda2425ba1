//! Reports: what a product saw when it used a connection, read with the code of a probe.
//!
//! Must not know HTTP servers, schedules of probes or the command line.

mod accept;
mod body;
mod classification;

pub use accept::{Accepted, Acceptor, Acted, Refused, Reporter};
pub use body::{AccountRef, FieldProblem, Item, MAX_REPORTS, Reports, Saw};
pub use classification::{
    BadPayload, Classification, Classified, DescribedWrite, Payload, PayloadContext, classify, describe,
    steps,
};
