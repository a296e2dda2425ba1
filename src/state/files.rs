//! The state files, from which a restart restores verdicts, clocks and pending confirmations.
//!
//! A base holds everything: a head with the version of the format, a line for each app, each
//! credential and each account of which something was heard, and an end with the number of lines and
//! their checksum. A new base is written beside
//! the old one and then renamed, so that there is always a complete one. Later changes are appended
//! to a journal as the same kind of lines. Base and journals carry a generation, which tells which
//! journals continue which base. A file that cannot be read is set aside and never prevents a start.
//!
//! When to write is up to the [`StateWriter`](super::StateWriter).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use flate2::Crc;

use super::format::{AppLine, CredentialLine, HeardLine, Line, LineWriter};
use super::{AccountState, AppState, CredentialState, Heard, Snapshot, Store};
use crate::inventory::Inventory;
use crate::model::Timestamp;

const BASE: &str = "state.jsonl";
/// The next base while it is written. A fixed name, so that a kill leaves at most one behind.
const NEW_BASE: &str = "state.jsonl.new";
/// What stands before and after the generation in the name of a journal.
const JOURNAL: (&str, &str) = ("journal-", ".jsonl");
/// Longest line in bytes that is read, whatever a damaged file holds. A login with a hundred thousand
/// pages fits.
const MAX_LINE: u64 = 64 << 20;

/// Writes a snapshot into a folder as the base of a generation, and removes earlier journals.
/// Returns the size of the base in bytes.
///
/// # Errors
/// If the folder cannot be written to. The files in it are then unchanged.
pub fn write_base(folder: &Path, generation: u64, snapshot: &Snapshot) -> anyhow::Result<u64> {
    let new = folder.join(NEW_BASE);
    let cannot = || format!("cannot write {}", new.display());
    let file = File::create(&new).with_context(cannot)?;
    let mut out = LineWriter::new(BufWriter::with_capacity(1 << 16, file));
    let mut write = || -> std::io::Result<()> {
        out.line(&Line::head(generation))?;
        let mut lines = 0;
        let apps = (0..snapshot.apps.len()).filter_map(|index| Line::app(snapshot, index));
        let credentials =
            (0..snapshot.credentials.len()).filter_map(|index| Line::credential(snapshot, index));
        let heard = snapshot.heard.iter().filter_map(|(index, _)| Line::heard(snapshot, index));
        for line in apps.chain(credentials).chain(heard) {
            out.line(&line)?;
            lines += 1;
        }
        let crc32 = out.crc.sum();
        out.line(&Line::End { lines, crc32 })?;
        out.flush()?;
        out.out.get_ref().sync_all()
    };
    write().with_context(cannot)?;
    let base = folder.join(BASE);
    std::fs::rename(&new, &base).with_context(|| format!("cannot put {} in place", base.display()))?;
    // The rename is durable only after the folder is synced.
    sync(folder)?;
    for (_, path) in journals(folder).into_iter().filter(|(g, _)| *g < generation) {
        // If this fails: a start does not read journals of earlier generations.
        let _ = std::fs::remove_file(path);
    }
    Ok(out.bytes)
}

fn sync(folder: &Path) -> anyhow::Result<()> {
    File::open(folder).and_then(|f| f.sync_all()).with_context(|| format!("cannot sync {}", folder.display()))
}

fn journal_path(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("{}{generation}{}", JOURNAL.0, JOURNAL.1))
}

/// Whether an open journal is still the file that a start would read.
pub(super) fn is_in_place(folder: &Path, generation: u64, journal: &File) -> bool {
    let inode = |metadata: std::io::Result<std::fs::Metadata>| metadata.map(|m| (m.dev(), m.ino())).ok();
    let in_folder = inode(std::fs::metadata(journal_path(folder, generation)));
    in_folder.is_some() && in_folder == inode(journal.metadata())
}

/// Creates the journal of a generation.
///
/// # Errors
/// If the folder cannot be written to.
pub fn begin_journal(folder: &Path, generation: u64) -> anyhow::Result<File> {
    let path = journal_path(folder, generation);
    let cannot = || format!("cannot write {}", path.display());
    let mut file = File::create(&path).with_context(cannot)?;
    LineWriter::new(&mut file).line(&Line::head(generation)).with_context(cannot)?;
    sync(folder)?;
    Ok(file)
}

/// Restores a store from the files in a folder. Returns the newest generation there, 0 if there is
/// none.
///
/// A file that is damaged, or of a newer version, is set aside with a log message.
pub fn restore(folder: &Path, store: &Store) -> u64 {
    let inventory = store.snapshot().inventory;
    let mut restored = Restored::new(&inventory);
    let base = folder.join(BASE);
    let mut newest = 0;
    match read_base(&base, &mut restored) {
        Ok(generation) => newest = generation,
        Err(error) => {
            set_aside(&base, &error);
            restored = Restored::new(&inventory);
        }
    }
    for (generation, path) in journals(folder) {
        if generation < newest {
            continue;
        }
        newest = generation;
        if let Err(error) = read_journal(&path, &mut restored) {
            set_aside(&path, &error);
        }
    }
    if restored.lines > 0 {
        tracing::info!(lines = restored.lines, "state restored");
        let heard = restored.heard.into_iter().collect();
        store.restore(restored.accounts, restored.credentials, restored.apps, heard);
    }
    newest
}

fn set_aside(path: &Path, error: &anyhow::Error) {
    let stamp = Timestamp::now().unix();
    let aside = (0..)
        .map(|n| path.with_extension(format!("jsonl.aside-{stamp}-{n}")))
        .find(|p| !p.exists())
        .unwrap_or_else(|| path.to_owned());
    tracing::error!(
        file = %path.display(), aside = %aside.display(), error = format!("{error:#}"),
        "state not restored; its file is set aside"
    );
    if let Err(error) = std::fs::rename(path, &aside) {
        tracing::error!(%error, "the state's file cannot be set aside");
    }
}

fn journals(folder: &Path) -> Vec<(u64, PathBuf)> {
    let generation = |path: &Path| {
        let name = path.file_name()?.to_str()?;
        let generation = name.strip_prefix(JOURNAL.0)?.strip_suffix(JOURNAL.1)?.parse().ok();
        generation.filter(|g| *g < u64::MAX)
    };
    let paths = std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut journals: Vec<(u64, PathBuf)> =
        paths.filter_map(|path| Some((generation(&path)?, path))).collect();
    journals.sort_unstable();
    journals
}

/// What was read so far, with the indexes of the inventory. Later lines replace earlier ones; lines
/// of what is not in the inventory are ignored.
struct Restored<'r> {
    inventory: &'r Inventory,
    accounts: Vec<AccountState>,
    credentials: Vec<CredentialState>,
    apps: Vec<AppState>,
    heard: BTreeMap<usize, Heard>,
    lines: u64,
}

impl<'r> Restored<'r> {
    fn new(inventory: &'r Inventory) -> Self {
        Self {
            accounts: vec![AccountState::default(); inventory.len()],
            credentials: vec![CredentialState::default(); inventory.credentials().len()],
            apps: vec![AppState::default(); inventory.apps().len()],
            heard: BTreeMap::new(),
            lines: 0,
            inventory,
        }
    }

    fn app(&mut self, line: AppLine<'_>) {
        self.lines += 1;
        let index = self.inventory.apps().iter().position(|app| app.id == line.id);
        if let Some(state) = index.and_then(|index| self.apps.get_mut(index)) {
            *state = line.state();
        }
    }

    fn heard(&mut self, line: &HeardLine<'_>) {
        self.lines += 1;
        if let Some(index) = self.inventory.find(&line.id) {
            self.heard.insert(index, line.heard());
        }
    }

    fn credential(&mut self, line: &CredentialLine<'_>) {
        self.lines += 1;
        let index = self.inventory.find_credential(&line.id);
        if let Some(state) = index.and_then(|index| self.credentials.get_mut(index)) {
            *state = line.state();
        }
        // By its own id: an account that belongs to another credential now is still the same connection.
        for account in &line.accounts {
            let Some(index) = self.inventory.find(&account.id) else { continue };
            if let Some((state, view)) = self.accounts.get_mut(index).zip(self.inventory.account(index)) {
                *state = account.state(view);
            }
        }
    }
}

/// Reads line `number` into `line`. None at the end of the file; false if the line has no newline.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>, number: usize) -> anyhow::Result<Option<bool>> {
    let cannot = || format!("line {number} cannot be read");
    line.clear();
    reader.take(MAX_LINE).read_until(b'\n', line).with_context(cannot)?;
    if line.len() as u64 >= MAX_LINE {
        return Err(anyhow::anyhow!("is too long").context(cannot()));
    }
    Ok((!line.is_empty()).then(|| line.last() == Some(&b'\n')))
}

/// Returns the generation of a complete base; 0 if there is no base.
fn read_base(path: &Path, restored: &mut Restored<'_>) -> anyhow::Result<u64> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error).context("cannot be opened"),
    };
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut line = Vec::new();
    let mut crc = Crc::new();
    let (mut base_generation, mut count, mut ended) = (0, 0, false);
    for number in 1.. {
        if next_line(&mut reader, &mut line, number)?.is_none() {
            break;
        }
        anyhow::ensure!(!ended, "goes on after its end");
        match Line::parse(&line, number)? {
            Line::Head { generation, .. } => base_generation = generation,
            Line::App(app) => restored.app(app),
            Line::Credential(credential) => restored.credential(&credential),
            Line::Heard(heard) => restored.heard(&heard),
            Line::End { lines, crc32 } => {
                anyhow::ensure!(lines == count, "holds {count} lines where {lines} were written");
                anyhow::ensure!(crc32 == crc.sum(), "its checksum is wrong");
                ended = true;
            }
        }
        crc.update(&line);
        count += u64::from(number > 1);
    }
    anyhow::ensure!(ended, "ends too early");
    Ok(base_generation)
}

/// Reads a journal as far as possible. An incomplete last line is no damage: a kill or a full disk
/// leaves one.
fn read_journal(path: &Path, restored: &mut Restored<'_>) -> anyhow::Result<()> {
    let mut reader = BufReader::with_capacity(1 << 16, File::open(path).context("cannot be opened")?);
    let mut line = Vec::new();
    for number in 1.. {
        if next_line(&mut reader, &mut line, number)? != Some(true) {
            break;
        }
        match Line::parse(&line, number) {
            Ok(Line::App(app)) => restored.app(app),
            Ok(Line::Credential(credential)) => restored.credential(&credential),
            Ok(Line::Heard(heard)) => restored.heard(&heard),
            Ok(Line::Head { .. }) => {}
            Ok(Line::End { .. }) => anyhow::bail!("line {number} is the end of a base"),
            // The last line: a power failure can leave a block that was never written.
            Err(_) if number > 1 && reader.fill_buf().is_ok_and(<[u8]>::is_empty) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
