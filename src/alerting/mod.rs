//! Configuration for Prometheus and Alertmanager, made from the schedule: [`rules()`] writes the
//! alerting rules, [`alertmanager()`] the routes that send each alert to the right person.
//! [`mail_templates()`] writes the mails in all languages.
//!
//! Rules and routes follow the [`Window`]s that the schedule opens before a deadline. Knows no network beyond
//! its name and its advice, and nothing of probing.

mod alertmanager;
mod hours;
mod mail;
mod moments;
mod receivers;
mod rules;
mod schedule;
mod template;
mod times;

pub use alertmanager::{Grouping, MailSettings, alertmanager};
pub use mail::mail_templates;
pub use receivers::Kind as Receiver;
pub use rules::{Options, RUNBOOKS, longest_gap, rules};
pub use schedule::{DAY, EXPIRED, Window, windows};
