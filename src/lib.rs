//! token_exporter: which social-media connection is about to expire or has broken, why, and what to
//! do.
//!
//! The story of one probe, module by module, each knowing only those before it:
//!
//! 1. [`config`] reads YAML into a [`table`]; [`roster`] is who is watched of it.
//! 2. [`engine`] decides that a credential is due. [`probe`] reads its [`token`] and lets its
//!    [`network`] ask.
//! 3. [`http`] carries questions and answers. The network, pure code, reads each answer, and
//!    [`network::conclude`] makes of all of them a finding for each account.
//! 4. [`rules`] decide whether the finding counts; [`store`] keeps what is known, and hands out
//!    snapshots.
//! 5. [`exposition`] turns a snapshot and the time into text, [`discovery`] into targets;
//!    [`server`] sends it to whom [`web`] lets in, over a [`wire`].
//!
//! [`classify`] reads a single answer as a probe would, [`check`] and [`schedule`] probe everything
//! [`once`], and [`demo`] runs it all against the [`simulator`], which plays [`fixtures`].
//! [`alerting`] writes what Prometheus and Alertmanager need to mail the right person.

pub mod alerting;
pub mod api;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod exposition;
pub mod inventory;
pub mod model;
pub mod network;
pub mod page;
pub mod probe;
pub mod scheduler;
pub mod server;
pub mod simulator;
pub mod source;
pub mod state;
pub mod telemetry;
pub mod transport;
