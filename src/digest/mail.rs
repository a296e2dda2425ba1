//! A digest as a mail: headers, and text and HTML as alternatives.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use chrono::NaiveDate;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};

use super::Letter;
use super::notes::hash;
use crate::model::Timestamp;

/// From whom a mail comes, and for which day it is.
#[derive(Clone, Debug)]
pub struct Envelope<'e> {
    pub from: &'e str,
    pub day: NaiveDate,
    pub at: Timestamp,
}

/// A mail with its headers. The same day and person give the same Message-ID.
///
/// # Errors
/// If an address is not one that mails can be sent to.
pub fn encode(letter: &Letter, envelope: &Envelope<'_>) -> anyhow::Result<Vec<u8>> {
    let from = address(envelope.from)?;
    let id = format!("<digest.{}.{}@{}>", envelope.day, hash(&letter.to), from.domain());
    let seconds = u64::try_from(envelope.at.unix()).unwrap_or_default();
    let mut builder = Message::builder()
        .from(Mailbox::new(Some("token_exporter".to_owned()), from))
        .to(Mailbox::new(letter.name.clone(), address(&letter.to)?))
        .subject(&letter.subject)
        .date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        .message_id(Some(id))
        // No out-of-office replies (RFC 3834).
        .raw_header(header("Auto-Submitted", "auto-generated")?)
        .raw_header(header("Content-Language", letter.language)?);
    if let Some((_, url)) = &letter.stop {
        builder = builder.raw_header(header("List-Unsubscribe", &format!("<{url}>"))?);
    }
    let body = MultiPart::alternative_plain_html(letter.text(), letter.html());
    Ok(builder.multipart(body).context("the mail cannot be put together")?.formatted())
}

fn header(name: &'static str, value: &str) -> anyhow::Result<HeaderValue> {
    let name = HeaderName::new_from_ascii(name.to_owned()).context("the name of a header")?;
    Ok(HeaderValue::new(name, value.to_owned()))
}

/// # Errors
/// If it is not the address of a mailbox.
pub(super) fn address(text: &str) -> anyhow::Result<Address> {
    let address: Address =
        text.parse().with_context(|| format!("{text:?} is no address to send mails to"))?;
    anyhow::ensure!(text.is_ascii(), "{text:?}: only addresses in ASCII are supported");
    Ok(address)
}
