//! What was sent, on disk: a small file for each person, named by a hash of the address.
//!
//! A note says that a mail is being sent before that begins, and that it was sent afterwards. So a
//! process that is killed in between leaves behind that nobody knows: the mail is then sent again
//! with the same Message-ID, but not a third time.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::NaiveDate;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

const VERSION: u32 = 1;
const LOCK: &str = "digest-lock";
/// How often a mail is sent of which nobody knows whether it was accepted.
const MAX_UNCLEAR: u32 = 2;
const MAX_BYTES: u64 = 1 << 20;

/// Another process sends mails at the moment.
#[derive(Debug, thiserror::Error)]
#[error("another process sends digests with the notes in {0}")]
pub struct Busy(String);

/// What is known of one person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    version: u32,
    /// The day of the last mail that was sent: `2027-01-31`.
    sent: Option<String>,
    sending: Option<Sending>,
    /// The accounts that the last mail told as not working, and since when each was so, in Unix
    /// seconds.
    told: BTreeMap<String, i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sending {
    day: String,
    /// How many mails of the day the server may have accepted.
    unclear: u32,
    told: BTreeMap<String, i64>,
}

impl Sending {
    fn is_of(&self, day: NaiveDate) -> bool {
        self.day == day.to_string()
    }
}

impl Note {
    /// Whether the mail of a day needs no further attempt.
    pub fn is_done(&self, day: NaiveDate) -> bool {
        let sent: Option<NaiveDate> = self.sent.as_ref().and_then(|sent| sent.parse().ok());
        // A day ahead, if the person is in another time zone since. Further ahead, the clock was wrong.
        let ahead = sent.map(|sent| (sent - day).num_days());
        ahead.is_some_and(|days| (0..=1).contains(&days)) || self.unclear(day) >= MAX_UNCLEAR
    }

    fn unclear(&self, day: NaiveDate) -> u32 {
        self.sending.as_ref().filter(|sending| sending.is_of(day)).map_or(0, |sending| sending.unclear)
    }

    /// What the last mail told, which may be the one that nobody knows about.
    pub fn told(&self, day: NaiveDate) -> &BTreeMap<String, i64> {
        match &self.sending {
            Some(sending) if !sending.is_of(day) => &sending.told,
            _ => &self.told,
        }
    }

    /// The note before a mail is sent.
    #[must_use]
    pub fn begin(&self, day: NaiveDate, told: BTreeMap<String, i64>) -> Self {
        let sending = Sending { day: day.to_string(), unclear: self.unclear(day) + 1, told };
        Self {
            version: VERSION,
            sent: self.sent.clone(),
            sending: Some(sending),
            told: self.told(day).clone(),
        }
    }

    /// The note after the mail was accepted.
    #[must_use]
    pub fn accepted(&self) -> Self {
        match &self.sending {
            Some(Sending { day, told, .. }) => {
                Self { version: VERSION, sent: Some(day.clone()), sending: None, told: told.clone() }
            }
            None => self.clone(),
        }
    }

    /// The note after the mail was certainly not accepted.
    #[must_use]
    pub fn refused(&self) -> Self {
        let sending = self.sending.clone().map(|sending| Sending { unclear: sending.unclear - 1, ..sending });
        Self { sending: sending.filter(|sending| sending.unclear > 0), ..self.clone() }
    }
}

/// The notes in a folder.
pub struct Notes {
    folder: PathBuf,
    /// Held until this is dropped.
    _lock: Option<File>,
}

impl Notes {
    /// To read the notes only.
    pub fn read_only(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), _lock: None }
    }

    /// # Errors
    /// [`Busy`] if another process has them; or if the folder cannot be written to.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot use {}", folder.display());
        std::fs::create_dir_all(folder).with_context(cannot)?;
        let lock = File::options().create(true).append(true).open(folder.join(LOCK)).with_context(cannot)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder: folder.to_owned(), _lock: Some(lock) }),
            Err(TryLockError::WouldBlock) => Err(Busy(folder.display().to_string()).into()),
            Err(TryLockError::Error(error)) => Err(error).with_context(cannot),
        }
    }

    fn path(&self, mail: &str) -> PathBuf {
        self.folder.join(format!("digest-{}.json", hash(mail)))
    }

    /// # Errors
    /// If there is a note that cannot be read.
    pub fn read(&self, mail: &str) -> anyhow::Result<Note> {
        let path = self.path(mail);
        let cannot = || format!("cannot read {}", path.display());
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Note::default()),
            file => file.with_context(cannot)?,
        };
        let note: Note =
            serde_json::from_reader(std::io::Read::take(file, MAX_BYTES)).with_context(cannot)?;
        anyhow::ensure!(note.version == VERSION, "{}: version {} is not known", path.display(), note.version);
        Ok(note)
    }

    /// Writes a note. It is on the disk when this returns.
    ///
    /// # Errors
    /// If that fails. The note is as before then.
    pub fn write(&self, mail: &str, note: &Note) -> anyhow::Result<()> {
        let path = self.path(mail);
        let new = path.with_extension("json.new");
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&new)?;
            file.write_all(&serde_json::to_vec(note)?)?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Half of the SHA-256 of an address in lower case, in hexadecimal.
pub(super) fn hash(mail: &str) -> String {
    let digest = digest(&SHA256, mail.to_ascii_lowercase().as_bytes());
    digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
