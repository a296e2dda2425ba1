//! `digest`: writes or sends one mail a day for each person who wants that.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::options::{ConfigOptions, LogOptions};
use super::{block_on, print, until_stopped};
use crate::config::{Config, load_settings};
use crate::digest::{Busy, Digest, Exporters, Letter, Links, Notes, ready_server, recipients};
use crate::model::Timestamp;

/// The exit code if some mails could not be sent.
const SOME_FAILED: u8 = 1;

#[derive(Debug, Args)]
pub(super) struct DigestCommand {
    /// Only for this person, who need not want one mail a day
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// Send the mails over SMTP, each once a person and day; without it, they are printed
    #[arg(long)]
    send: bool,
    /// Folder for notes on what was sent, or none
    #[arg(long = "storage.path", value_name = "FOLDER", default_value = "data/")]
    storage: PathBuf,
    #[command(flatten)]
    config: ConfigOptions,
    #[command(flatten)]
    log: LogOptions,
}

impl DigestCommand {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        self.log.start();
        let config = load_settings(&self.config.files).map_err(|problems| anyhow::anyhow!("{problems}"))?;
        let folder = Some(self.storage.as_path()).filter(|path| *path != Path::new("none"));
        block_on(until_stopped(async {
            if self.send {
                let folder =
                    folder.context("--send needs --storage.path: notes say what was sent already")?;
                return send(config, self.to.as_deref(), folder).await;
            }
            let notes = folder.map(Notes::read_only);
            let mut digest = digest(&config, self.to.as_deref());
            let letters = digest.letters(notes.as_ref(), Timestamp::now()).await?;
            if digest.people.is_empty() {
                eprintln!("nobody wants one mail a day: none of the people has mails: daily");
            } else if letters.is_empty() {
                eprintln!("there is nothing to tell");
            }
            print(&letters.iter().map(shown).collect::<Vec<_>>().join("\n"))?;
            Ok(ExitCode::SUCCESS)
        }))
    }
}

fn shown(letter: &Letter) -> String {
    format!("To: {}\nSubject: {}\n\n{}", letter.to, letter.subject, letter.text())
}

fn digest(config: &Config, to: Option<&str>) -> Digest {
    let from = config.smtp.as_ref().map(|smtp| smtp.from.clone());
    Digest {
        people: recipients(&config.people, to),
        exporters: Exporters::new(&config.digest.exporters),
        links: Links {
            page: config.digest.page_url.clone(),
            unsubscribe: config.smtp.as_ref().and_then(|smtp| smtp.unsubscribe_url.clone()),
            operator: config.global.notify.first().cloned().or(from),
        },
    }
}

async fn send(config: Config, to: Option<&str>, folder: &Path) -> anyhow::Result<ExitCode> {
    let smtp = config.smtp.as_ref().context("the configuration has no section smtp, which --send needs")?;
    let notes = match Notes::open(folder) {
        Err(error) if error.is::<Busy>() => {
            tracing::info!("{error}");
            return Ok(ExitCode::SUCCESS);
        }
        notes => notes?,
    };
    let server = ready_server(smtp).await?;
    let sent = digest(&config, to).send(&server, &smtp.from, &notes, Timestamp::now()).await?;
    tracing::info!(sent = sent.sent, failed = sent.failed, "digests done");
    Ok(if sent.failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(SOME_FAILED) })
}
