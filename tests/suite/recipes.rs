//! Recipes: each with the tables of its product in a real database, as its page says to set it up.

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde_json::json;
use token_exporter::config::{self, Config, load};
use token_exporter::inventory::{AccountView, SecretSource};
use token_exporter::source::{Asked, ask_once};

use crate::cli::{run, text};
use crate::databases::DatabaseServer;
use crate::envelopes::named;
use crate::golden::assert_golden;

const NAMES: [&str; 9] =
    ["allauth", "authjs", "better-auth", "chatwoot", "mixpost", "nango", "openpost", "postiz", "trypost"];

const APPS: &str = "apps:
- {id: facebook, network: facebook, client_id: '1', client_secret: sim-app}
- {id: instagram, network: instagram, client_id: '1', client_secret: sim-app}
- {id: instagram-standalone, network: instagram, api: instagram_login, client_id: '2', client_secret: sim-app}
- {id: linkedin, network: linkedin, client_id: '3', client_secret: sim-app}
- {id: x, network: x, client_id: '4', client_secret: sim-app}
- {id: tiktok, network: tiktok, client_id: '5', client_secret: sim-app}
- {id: tiktok-business, network: tiktok, api: business, client_id: '6', client_secret: sim-app}
";

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
}

/// The first block of code in this language.
fn block<'t>(page: &'t str, language: &str) -> &'t str {
    let start = format!("```{language}\n");
    page.split_once(&start).and_then(|(_, rest)| rest.split_once("```")).expect(language).0
}

/// The page of a product.
fn page(name: &str) -> String {
    read(&format!("docs/sources/{name}.md"))
}

/// The database of a product.
enum Product<'d> {
    Postgres(&'d DatabaseServer),
    Mariadb(&'d DatabaseServer),
    Sqlite(&'d Path),
}

impl Product<'_> {
    fn yaml(&self) -> String {
        match self {
            Self::Postgres(server) | Self::Mariadb(server) => server.yaml(),
            Self::Sqlite(file) => format!("driver: sqlite, database: {file:?}"),
        }
    }

    /// Fills it, and grants the rights that the page tells to grant.
    fn fill(&self, name: &str) {
        let (tables, page) = (tables(name, matches!(self, Self::Postgres(_))), page(name));
        let grants = block(&page, "sql").split(';').map(str::trim).filter(|s| s.starts_with("GRANT"));
        match self {
            Self::Postgres(server) => {
                server.execute(&tables);
                grants.for_each(|grant| server.execute(&grant.replace("token_exporter", "exporter")));
            }
            Self::Mariadb(server) => {
                let tables = tables.replace("jsonb", "json").replace("timestamptz", "datetime");
                server.execute(&format!("USE product; {}", tables.replace("00Z'", "00'")));
                for grant in grants {
                    // PostgreSQL takes several tables at once.
                    let (rights, tables) = grant.split_once(" ON ").unwrap();
                    let (tables, _) = tables.split_once(" TO ").unwrap();
                    for table in tables.split(", ").map(|table| table.trim_start_matches("mixpost.")) {
                        server.execute(&format!("{rights} ON product.{table} TO exporter@localhost"));
                    }
                }
            }
            Self::Sqlite(file) => {
                let database = rusqlite::Connection::open(file).unwrap();
                database.execute_batch(&tables).unwrap();
            }
        }
    }
}

/// Tables and rows, with encrypted values for `{{known: NAME}}` (of the envelopes), `{{laravel: TEXT}}`
/// and, as bytes, `{{bytes: NAME}}`; `{{hex: DIGITS}}` are bytes, too.
fn tables(name: &str, postgres: bool) -> String {
    let bytes = |digits: &str| if postgres { format!("'\\x{digits}'") } else { format!("x'{digits}'") };
    let source = read(&format!("tests/recipes/{name}.sql"));
    let mut parts = source.split("{{");
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        let (scheme, rest) = part.split_once(": ").unwrap();
        let mut end = rest.find("}}").unwrap();
        while rest[end + 2..].starts_with('}') {
            end += 1;
        }
        out += &match scheme {
            "known" => named(&rest[..end]).value,
            "hex" => bytes(&rest[..end]),
            "bytes" => {
                let value = STANDARD.decode(named(&rest[..end]).value).unwrap();
                bytes(&value.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
            }
            _ => laravel(&rest[..end]),
        };
        out += &rest[end + 2..];
    }
    out.trim().to_owned()
}

/// Encrypts as Laravel does with AES-256-GCM.
pub(crate) fn laravel(text: &str) -> String {
    let key = STANDARD.decode(&named("Laravel, AES-256-GCM").key["base64:".len()..]).unwrap();
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap());
    let mut bytes = text.as_bytes().to_vec();
    let nonce = [7; 12];
    let sealing =
        key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut bytes);
    let [iv, value, tag] = [&nonce[..], &bytes, sealing.unwrap().as_ref()].map(|b| STANDARD.encode(b));
    STANDARD.encode(json!({"iv": iv, "value": value, "mac": "", "tag": tag}).to_string())
}

/// The keys with which the rows of `tables` are encrypted: the names of the settings with their values.
fn keys(name: &str) -> Vec<(&'static str, String)> {
    let key = |known: &str| ("key", named(known).key);
    match name {
        "mixpost" | "trypost" => vec![key("Laravel, AES-256-CBC")],
        "openpost" => vec![key("AES-256-GCM, base64")],
        "nango" => vec![key("AES-256-GCM, in columns")],
        "chatwoot" => {
            let known = named("Rails, SHA-256");
            let (previous, salt) = (known.previous.unwrap(), known.salt.unwrap());
            vec![("key", known.key), ("previous_keys", previous), ("key_derivation_salt", salt)]
        }
        _ => Vec::new(),
    }
}

/// Reads the accounts of a product with its recipe.
async fn listed(product: &Product<'_>, name: &str, keys: &[(&str, String)]) -> (Config, Asked) {
    let folder = tempfile::tempdir().unwrap();
    let decrypt: Vec<String> = keys.iter().map(|(key, value)| format!("{key}: {value:?}")).collect();
    let decrypt = match decrypt.as_slice() {
        [] => String::new(),
        keys => format!(", decrypt: {{{}}}", keys.join(", ")),
    };
    let yaml = format!(
        "{APPS}sources:\n- id: {name}\n  sql: {{{}, recipe: {name}{decrypt}}}\n  apps: {{instagram: \
         instagram, tiktok: tiktok}}\n",
        product.yaml()
    );
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, yaml).unwrap();
    let config = load(&[file]).unwrap_or_else(|problems| panic!("{problems}"));
    let (config, mut asked) = ask_once(config).await;
    (config, asked.remove(0))
}

/// What is known of an account, in a few lines.
fn shown(account: AccountView<'_>) -> String {
    let credential = account.credential().unwrap();
    let mut out = format!("{} | {} | {}", account.id(), account.name(), account.network());
    let mut add = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = write!(out, "{name}{value}");
        }
    };
    let secret = |source: &SecretSource| match source {
        SecretSource::Inline(secret) => secret.reveal().to_owned(),
        _ => panic!("a source gives secrets themselves"),
    };
    let needs: Vec<&str> = account.needs().iter().map(|need| need.label()).collect();
    let labels: Vec<String> = account.labels().map(|(name, value)| format!("{name}={value}")).collect();
    add(" ", account.kind());
    add(" ", account.external_id());
    add("\n  state ", account.source_state().unwrap_or("-"));
    add(", needs ", &needs.join(" "));
    add(", notify ", account.notify());
    add(", ", &labels.join(", "));
    add("\n  login ", credential.id());
    add(" of ", credential.app_id());
    add(" by ", credential.connected_by().unwrap_or(""));
    add(": ", &secret(&credential.token()));
    add(" ", &credential.token_secret().map(secret).unwrap_or_default());
    add(", expires ", &credential.expires_at().map(|at| at.to_string()).unwrap_or_default());
    add(", refresh expires ", &credential.refresh_expires_at().map(|at| at.to_string()).unwrap_or_default());
    add(", ", if credential.auto_refresh() { "renewed" } else { "" });
    add(", scopes ", &credential.scopes().map(|scopes| scopes.join(" ")).unwrap_or_default());
    add(", at ", credential.base_url().map_or("", |url| url.as_str()));
    out + "\n"
}

async fn reads(product: Product<'_>, name: &str) {
    product.fill(name);
    let keys = keys(name);
    let (config, asked) = listed(&product, name, &keys).await;
    assert_eq!(asked.error, None, "{name}");
    let inventory = config.clone().inventory(|_| true);
    let mut accounts: Vec<String> = inventory.accounts().map(shown).collect();
    accounts.sort();
    let refused: String = asked.refused.list.iter().map(|problem| format!("{problem}\n")).collect();
    assert_golden(&format!("recipes/{name}.txt"), &(accounts.concat() + &refused));

    // A wrong key is one problem of the source.
    let Some((key, right)) = keys.first() else { return };
    let other = if right.starts_with("base64:") {
        named("Laravel, AES-256-CBC with a previous key").previous
    } else {
        None
    };
    let other = other.unwrap_or_else(|| {
        if name == "nango" { STANDARD.encode([7; 32]) } else { "sim-another-key".to_owned() }
    });
    let wrong: Vec<(&str, String)> = std::iter::once((*key, other))
        .chain(keys[1..].iter().filter(|(key, _)| *key != "previous_keys").cloned())
        .collect();
    let (config, asked) = listed(&product, name, &wrong).await;
    let error = asked.error.expect("a wrong key");
    assert!(error.ends_with("encrypted values can be decrypted: the key is wrong"), "{name}: {error}");
    assert!(asked.refused.list.is_empty() && config.table.is_empty(), "{name}");
}

#[tokio::test]
async fn recipes_read_the_tables_of_their_products_in_postgresql() {
    let server = DatabaseServer::postgres().await;
    for name in NAMES.into_iter().filter(|name| *name != "mixpost") {
        reads(Product::Postgres(&server), name).await;
        server.execute(
            "DROP SCHEMA public CASCADE; DROP SCHEMA IF EXISTS nango CASCADE; CREATE SCHEMA public; GRANT \
             USAGE ON SCHEMA public TO PUBLIC",
        );
    }
}

#[tokio::test]
async fn recipes_read_the_tables_of_their_products_in_mariadb() {
    let server = DatabaseServer::mariadb().await;
    server.execute("REVOKE ALL ON product.* FROM exporter@localhost");
    for name in ["mixpost", "trypost", "allauth"] {
        reads(Product::Mariadb(&server), name).await;
    }
}

#[tokio::test]
async fn recipes_read_the_tables_of_their_products_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["openpost", "trypost", "allauth"] {
        reads(Product::Sqlite(&folder.path().join(name)), name).await;
    }
}

#[test]
fn recipes_can_be_printed_and_their_pages_are_right() {
    assert_eq!(config::recipes(), NAMES);
    assert_eq!(text(&run(&["recipe"], "").stdout), NAMES.join("\n") + "\n");
    for name in NAMES {
        assert_eq!(text(&run(&["recipe", name], "").stdout), read(&format!("recipes/{name}.yml")));
        let page = page(name);
        assert!(page.lines().count() <= 60, "{name}: {}", page.lines().count());
        assert!(page.contains(&format!("check --source {name}")), "{name}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        std::fs::write(&file, block(&page, "yaml")).unwrap();
        let config = load(&[file]).unwrap_or_else(|problems| panic!("{name}: {problems}"));
        assert!(config.sources.iter().any(|source| source.id == name), "{name}");
    }
    let unknown = run(&["recipe", "buffer"], "");
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("no recipe is named buffer; there are allauth, "));
}

#[test]
fn init_writes_a_configuration_that_is_right_but_for_the_missing_secrets() {
    for name in [None].into_iter().chain(NAMES.map(Some)) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml").display().to_string();
        let arguments: Vec<&str> = ["init", "--config.file", &file].into_iter().chain(name).collect();
        let output = run(&arguments, "");
        assert!(output.status.success(), "{name:?}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains("edit it, then run: token_exporter --config.check"));
        let written = std::fs::read_to_string(&file).unwrap();
        let check = run(&["--config.check", "--config.file", &file], "");
        let said = text(&check.stderr) + &text(&check.stdout);
        assert!(check.status.success(), "{name:?}: {said}\n{written}");
        let config = load(&[(&file).into()]).unwrap();
        for warning in &config.warnings {
            assert!(warning.message.contains("the file does not exist"), "{name:?}: {warning}");
        }
        if let Some(name) = name {
            assert!(written.contains(&format!("recipe: {name}")) && config.sources.len() == 1);
        }
        let again = run(&arguments, "");
        assert_eq!(again.status.code(), Some(2), "{name:?}");
        assert!(text(&again.stderr).contains("cannot write"), "{}", text(&again.stderr));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), written, "an existing file stays");
    }
}
