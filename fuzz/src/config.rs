//! The configuration: YAML text is loaded, and the result is exported as metrics.
//!
//! An input is the main file, and after a line `%%%` the file that `account_files: [accounts.d/*]`
//! finds. It is JSON if it begins with a bracket, and lines of JSON if it begins with a brace.

use std::path::PathBuf;
use std::sync::OnceLock;

use token_exporter::config::{self, Config};
use token_exporter::exposition::{Extent, Format, Renderer};
use token_exporter::inventory::SecretSource;
use token_exporter::model::Timestamp;
use token_exporter::state::Store;
use token_exporter::telemetry::Metrics;

use super::{CANARY, folder, network, told};

/// Separates the main file from the one with accounts.
pub const MARK: &str = "\n%%%\n";

/// The only pattern for account files: others could match any file on the machine.
pub const ACCOUNT_FILES: &str = "account_files: [accounts.d/*]";

/// Any files give either a configuration whose metrics can be parsed, or problems that quote no
/// secret.
pub fn check(data: &[u8]) {
    static PLACE: OnceLock<[PathBuf; 2]> = OnceLock::new();
    let [main, folder] = PLACE.get_or_init(|| {
        let base = folder().join("config");
        std::fs::create_dir_all(base.join("accounts.d")).expect("a folder");
        [base.join("config.yaml"), base.join("accounts.d")]
    });
    let at = data.windows(MARK.len()).position(|w| w == MARK.as_bytes());
    let (first, second) = at.map_or((data, &b""[..]), |at| (&data[..at], &data[at + MARK.len()..]));
    let others = String::from_utf8_lossy(first).replace(ACCOUNT_FILES, "");
    if others.contains("account_files") || others.contains('\\') && others.contains("files") {
        return;
    }
    std::fs::write(main, first).expect("written");
    let name = match second.first() {
        Some(b'[') => "1.json",
        Some(b'{') => "1.jsonl",
        _ => "1.yml",
    };
    for old in std::fs::read_dir(folder).expect("the folder") {
        std::fs::remove_file(old.expect("an entry").path()).expect("removed");
    }
    std::fs::write(folder.join(name), second).expect("written");
    match config::load(std::slice::from_ref(main)) {
        Err(problems) => told(&problems),
        Ok(config) => accepted(config),
    }
}

fn accepted(config: Config) {
    for warning in &config.warnings {
        assert!(!warning.to_string().contains(CANARY), "a secret shows in {warning}");
    }
    let sources = config.table.credentials().flat_map(|c| [Some(c.token()), c.token_secret().cloned()]);
    for source in sources.chain(config.apps.iter().map(|a| a.client_secret.clone())).flatten() {
        if matches!(source, SecretSource::Inline(_)) {
            assert_eq!(format!("{source:?}"), "Inline([REDACTED])");
        }
    }
    let count = config.table.accounts().len();
    let store = Store::default();
    store.replace_inventory(config.inventory(|_| true).into());
    let snapshot = store.snapshot();
    assert_eq!(snapshot.inventory.len(), count);
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    let metrics = METRICS.get_or_init(|| Metrics::new().expect("metrics"));
    let now = Timestamp::from_unix(network::NOW).expect("in range");
    for account in 0..count.min(8) {
        let mut cursor =
            Renderer::new(snapshot.clone(), metrics, now, Format::Text, Extent::Account(account));
        let mut text = Vec::new();
        while let Some(chunk) = cursor.next_chunk() {
            text.extend_from_slice(&chunk);
        }
        let text = String::from_utf8(text).expect("text");
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .for_each(|line| assert!(is_sample(line), "no sample: {line}"));
    }
}

/// Whether a line has the form `name{label="value",…} number`.
fn is_sample(line: &str) -> bool {
    fn name(text: &str) -> Option<&str> {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        let fits = end > 0 && !text.starts_with(|c: char| c.is_ascii_digit());
        fits.then(|| &text[end..])
    }
    fn labels(mut text: &str) -> Option<&str> {
        loop {
            text = name(text)?.strip_prefix("=\"")?;
            let mut characters = text.char_indices();
            let end = loop {
                match characters.next()? {
                    (_, '\\') => _ = characters.next().filter(|(_, c)| matches!(c, '\\' | '"' | 'n'))?,
                    (at, '"') => break at,
                    _ => {}
                }
            };
            text = &text[end + 1..];
            match text.strip_prefix(',') {
                Some(rest) => text = rest,
                None => return text.strip_prefix('}'),
            }
        }
    }
    let Some(rest) = name(line) else { return false };
    let rest = rest.strip_prefix('{').map_or(Some(rest), labels);
    rest.and_then(|r| r.strip_prefix(' ')).is_some_and(|number| number.parse::<f64>().is_ok())
}
