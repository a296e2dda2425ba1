//! Token files: bare tokens, token responses, and other contents.

use std::path::PathBuf;
use std::sync::OnceLock;

use token_exporter::config::{self, Config};
use token_exporter::source;
use tokio::runtime::{Builder, Runtime};

use super::folder;

/// What is read from a file has the form of a token and is not shown.
pub fn check(data: &[u8]) {
    static PLACE: OnceLock<(PathBuf, Config, Runtime)> = OnceLock::new();
    let (path, config, runtime) = PLACE.get_or_init(|| {
        let path = folder().join("token");
        std::fs::write(&path, "sim-token").expect("written");
        let yaml = folder().join("token.yaml");
        let text =
            "accounts: [{id: a, network: mastodon, token_file: token, base_url: https://mastodon.example}]";
        std::fs::write(&yaml, text).expect("written");
        let config = config::load(&[yaml]).unwrap_or_else(|problems| panic!("{problems}"));
        (path, config, Builder::new_current_thread().build().expect("a runtime"))
    });
    std::fs::write(path, data).expect("written");
    let credential = config.table.credential(0).expect("a credential");
    match runtime.block_on(source::read_tokens(credential)) {
        Ok(mut set) => {
            // Scopes are not secret, and can be any text.
            set.tokens.scopes = None;
            let shown = format!("{set:?}");
            let tokens = [Some(&set.tokens.access), set.tokens.refresh.as_ref()];
            for token in tokens.into_iter().flatten() {
                let text = token.reveal();
                assert!(
                    !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control()),
                    "not the form of a token"
                );
                // Shorter ones could be part of any word.
                assert!(text.len() < 16 || !shown.contains(text), "a token shows in {shown}");
                let _ = token.jwt_claims();
            }
        }
        Err(error) => {
            let said = error.to_string();
            assert!(said.len() < 80 && said.is_ascii(), "an error that quotes: {said}");
        }
    }
}
