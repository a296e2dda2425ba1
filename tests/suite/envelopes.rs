//! Encrypted columns of sources.

use std::io::Write as _;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use secrecy::zeroize::Zeroizing;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use token_exporter::config::{DecryptScheme, DecryptSettings, KeyForm, KeySources};
use token_exporter::inventory::SecretSource;
use token_exporter::model::Secret;
use token_exporter::source::{Decryptor, Fault, Listing, RowProblem, SourceError};
use tokio::sync::Mutex;

use crate::arbitrary::runner;
use crate::token_commands::{ends, noted};

type Row = Map<String, Value>;

#[derive(Clone, Deserialize)]
pub(crate) struct Known {
    name: String,
    scheme: String,
    pub(crate) key: String,
    pub(crate) previous: Option<String>,
    pub(crate) salt: Option<String>,
    key_form: Option<String>,
    pub(crate) value: String,
    iv: Option<String>,
    tag: Option<String>,
    opened: Value,
}

fn known() -> Vec<Known> {
    let text = std::fs::read_to_string("tests/envelopes/known.yaml").expect("the fixture");
    serde_yaml::from_str(&text).expect("a list")
}

pub(crate) fn named(name: &str) -> Known {
    known().into_iter().find(|known| known.name == name).expect("a name of the fixture")
}

fn inline(text: &str) -> SecretSource {
    SecretSource::Inline(Secret::new(text))
}

impl Known {
    fn settings(&self) -> DecryptSettings {
        let key = inline(&self.key);
        let keys = KeySources { current: key.clone(), previous: self.previous.as_deref().map(inline) };
        let scheme = match self.scheme.as_str() {
            "laravel" => DecryptScheme::Laravel(keys),
            "rails" => DecryptScheme::Rails { keys, salt: inline(self.salt.as_deref().expect("a salt")) },
            "n8n" => DecryptScheme::N8n(key),
            _ => DecryptScheme::Aes256Gcm {
                key,
                form: if self.key_form.is_some() { KeyForm::Sha256 } else { KeyForm::Base64 },
                apart: self.iv.as_ref().map(|_| ["iv".to_owned(), "tag".to_owned()]),
            },
        };
        DecryptSettings { columns: vec!["secret".to_owned()], scheme }
    }

    /// Decryptors are kept: Rails' keys take long to derive.
    async fn decryptor(&self) -> Arc<Decryptor> {
        static KEPT: Mutex<Vec<(DecryptSettings, Arc<Decryptor>)>> = Mutex::const_new(Vec::new());
        let (settings, mut kept) = (self.settings(), KEPT.lock().await);
        if let Some((_, decryptor)) = kept.iter().find(|(known, _)| *known == settings) {
            return Arc::clone(decryptor);
        }
        let decryptor = Arc::new(Decryptor::new(&settings).await.expect("a good key"));
        kept.push((settings, Arc::clone(&decryptor)));
        decryptor
    }

    fn row(&self) -> Row {
        let parts = [("secret", Some(&self.value)), ("iv", self.iv.as_ref()), ("tag", self.tag.as_ref())];
        let parts = parts.into_iter().filter_map(|(name, part)| Some((name, Value::from(part?.as_str()))));
        parts.chain([("id", Value::from("a"))]).map(|(name, part)| (name.to_owned(), part)).collect()
    }

    fn with(&self, value: &str) -> Row {
        Self { value: value.to_owned(), ..self.clone() }.row()
    }

    /// Another key of the same form.
    fn with_another_key(&self) -> Self {
        let text = Secret::new("sim-another-key");
        let hash = text.hmac_sha256_hex(&text);
        // Hexadecimal digits are base64: 43 of them and a padding are 32 bytes.
        let key = format!("{}A=", &hash.reveal()[..42]);
        Self { key, previous: None, ..self.clone() }
    }
}

/// Decrypts rows as a list with two pages.
async fn open(decryptor: &Decryptor, rows: &mut [Row]) -> Result<Vec<RowProblem>, SourceError> {
    let page =
        |rows: &[Row]| Zeroizing::new(json!({"accounts": rows, "credentials": [{"id": "b"}]}).to_string());
    let (first, second) = rows.split_at(rows.len() / 2);
    let listing = Listing { pages: vec![page(first), page(second)] };
    let (listing, problems) = decryptor.open(&listing).await?;
    let pages = listing.pages.iter().map(|page| serde_json::from_str::<Value>(page).expect("JSON"));
    let opened = pages.flat_map(|page| {
        assert_eq!(page["credentials"], json!([{"id": "b"}]));
        page["accounts"].as_array().expect("a list").clone()
    });
    for (row, opened) in rows.iter_mut().zip(opened) {
        *row = opened.as_object().expect("an object").clone();
    }
    Ok(problems)
}

fn row(value: impl Into<Value>) -> Row {
    Row::from_iter([("secret".to_owned(), value.into())])
}

fn problem(row: usize, fault: Fault) -> RowProblem {
    RowProblem { row, column: "secret".to_owned(), fault }
}

#[tokio::test]
async fn values_of_the_real_programs_are_decrypted() {
    for known in known() {
        let mut rows = [known.row()];
        assert_eq!(open(&*known.decryptor().await, &mut rows).await, Ok(vec![]), "{}", known.name);
        assert_eq!(
            Value::from(rows[0].clone()),
            json!({"id": "a", "secret": known.opened}),
            "{}",
            known.name
        );
    }
}

#[tokio::test]
async fn a_wrong_key_is_one_problem_of_the_source() {
    for known in known() {
        let decryptor = known.with_another_key().decryptor().await;
        let mut rows = vec![known.row(); 1000];
        let error = open(&decryptor, &mut rows).await.expect_err(&known.name);
        let expected = "none of 1000 encrypted values can be decrypted: the key is wrong";
        assert_eq!(error, SourceError(expected.to_owned()), "{}", known.name);
    }
    let laravel = named("Laravel, AES-256-CBC").decryptor().await;
    let error = open(&laravel, &mut [row("sim-clear"), row("sim-text")]).await.expect_err("not encrypted");
    assert_eq!(
        error.to_string(),
        "none of 2 encrypted values can be decrypted: the scheme or the columns are wrong"
    );
}

#[tokio::test]
async fn a_value_that_was_changed_costs_its_row_only() {
    for known in known() {
        let decryptor = known.decryptor().await;
        let (mut refused, mut total) = (0, 0);
        for place in 0..known.value.len() {
            let mut changed = known.value.clone().into_bytes();
            changed[place] = if changed[place] == b'B' { b'Q' } else { b'B' };
            let changed = String::from_utf8(changed).expect("ASCII");
            let mut rows = [known.row(), known.with(&changed), known.row()];
            let problems = open(&decryptor, &mut rows).await.expect("others are good");
            assert_eq!(rows[0]["secret"], known.opened);
            assert_eq!(rows[2]["secret"], known.opened);
            total += 1;
            if let [problem] = problems.as_slice() {
                assert_eq!((problem.row, rows[1].get("secret")), (1, None), "{} {place}", known.name);
                refused += 1;
            } else if known.scheme == "rails" && !changed.starts_with(r#"{"p":"#) {
                // A clear text, for all that this value says.
                assert_eq!(rows[1]["secret"], changed);
            } else if known.scheme != "n8n" {
                // What JSON ignores, and bits of base64 that have no meaning.
                assert_eq!(rows[1]["secret"], known.opened, "{} {place}", known.name);
            }
        }
        // n8n's values have no tag: the middle of a text can change.
        let least = if known.scheme == "n8n" { total / 4 } else { total * 3 / 4 };
        assert!(refused >= least, "{}: {refused} of {total}", known.name);
    }
}

#[tokio::test]
async fn a_value_that_was_cut_costs_its_row_only() {
    for known in known() {
        let decryptor = known.decryptor().await;
        for length in 6..known.value.len() {
            let mut rows = [known.row(), known.with(&known.value[..length])];
            let problems = open(&decryptor, &mut rows).await.expect("the other is good");
            let same = rows[1].get("secret") == Some(&known.opened);
            // Padding of base64 is of no importance.
            assert!(problems.len() == 1 || same, "{} {length} {:?}", known.name, rows[1]);
        }
    }
}

#[tokio::test]
async fn rails_leaves_clear_values_alone() {
    let known = named("Rails, SHA-256");
    let decryptor = known.decryptor().await;
    let mut rows =
        [row("sim-clear"), known.row(), row(Value::Null), Row::new(), row(r#"{"p":"AA"}"#), row(7)];
    let problems = open(&decryptor, &mut rows).await;
    assert_eq!(problems, Ok(vec![problem(4, Fault::Form), problem(5, Fault::Form)]));
    assert_eq!(rows[0]["secret"], "sim-clear");
    assert_eq!(rows[1]["secret"], "sim-rails-short-token");
    // With clear values alone, nothing tells that the key is wrong.
    let another = known.with_another_key().decryptor().await;
    assert_eq!(open(&another, &mut [row("sim-clear")]).await, Ok(vec![]));
    let error = open(&another, &mut [row("sim-clear"), known.row()]).await.expect_err("a wrong key");
    assert_eq!(error.to_string(), "none of 1 encrypted values can be decrypted: the key is wrong");
}

#[tokio::test]
async fn values_without_nonce_and_tag_columns_are_clear() {
    let known = named("AES-256-GCM, in columns");
    let mut clear = row(r#"{"access_token": "sim-clear"}"#);
    clear.insert("iv".to_owned(), Value::Null);
    let mut rows = [clear, known.row()];
    assert_eq!(open(&*known.decryptor().await, &mut rows).await, Ok(vec![]));
    assert_eq!(rows[0]["secret"], r#"{"access_token": "sim-clear"}"#);
    assert_eq!(rows[1]["secret"]["access_token"], "sim-nango-token");
}

/// Encrypts as OpenPost does.
fn sealed(key: &[u8; 32], mut bytes: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("a key"));
    let nonce = [7; 12];
    let tag = key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut bytes);
    (bytes, tag.expect("sealed").as_ref().to_vec())
}

fn base64(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
}

#[tokio::test]
async fn huge_values_are_refused() {
    let known = named("AES-256-GCM, base64");
    let decryptor = known.decryptor().await;
    let key: [u8; 32] =
        ring::digest::digest(&ring::digest::SHA256, b"sim-openpost-key").as_ref().try_into().expect("32");
    let value = |text: &[u8]| {
        let (bytes, tag) = sealed(&key, text.to_vec());
        base64(&[[7; 12].as_slice(), &bytes, &tag].concat())
    };
    let (most, long) = (value(&[b'x'; 64 * 1024]), value(&[b'x'; 64 * 1024 + 1]));
    let mut rows = [row(most), row(long), row("A".repeat(10_000_000)), row(value(b"\xff\xfe"))];
    let problems = open(&decryptor, &mut rows).await;
    let expected = vec![problem(1, Fault::TooLong), problem(2, Fault::TooLong), problem(3, Fault::NotText)];
    assert_eq!(problems, Ok(expected));
}

#[tokio::test]
async fn a_compressed_text_that_grows_without_end_is_refused() {
    let known = named("Rails, SHA-256");
    let mut key = [0; 32];
    ring::pbkdf2::derive(
        ring::pbkdf2::PBKDF2_HMAC_SHA256,
        std::num::NonZeroU32::new(65_536).expect("a number"),
        known.salt.as_deref().expect("a salt").as_bytes(),
        known.key.as_bytes(),
        &mut key,
    );
    let value = |compressed: Vec<u8>| {
        let (bytes, tag) = sealed(&key, compressed);
        let headers = json!({"iv": base64(&[7; 12]), "at": base64(&tag), "c": true});
        format!(r#"{{"p":"{}","h":{headers}}}"#, base64(&bytes))
    };
    let compress = |length: usize| {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![b'x'; length]).expect("compressed");
        encoder.finish().expect("compressed")
    };
    let mut cut = compress(1000);
    cut.truncate(cut.len() - 5);
    let mut rows = [row(value(compress(1000))), row(value(compress(10_000_000))), row(value(cut))];
    let problems = open(&*known.decryptor().await, &mut rows).await;
    assert_eq!(problems, Ok(vec![problem(1, Fault::TooLong), problem(2, Fault::Form)]));
    assert_eq!(rows[0]["secret"], "x".repeat(1000));
}

#[tokio::test]
async fn keys_that_cannot_be_read_are_problems_of_the_source() {
    let mut known = named("Laravel, AES-256-CBC");
    for key in ["base64:c2ltLXNob3J0", "sim-no-base64!", "fY7Hs0BohTE+GLuRsfLkp+chDRGGv4VI8JPWNnk/ReIA"] {
        known.key = key.to_owned();
        let error = Decryptor::new(&known.settings()).await.expect_err("no key");
        assert_eq!(error.to_string(), "a key of decrypt is not base64 of 32 bytes");
    }
    let settings = DecryptSettings {
        scheme: DecryptScheme::N8n(SecretSource::File("no/such/key".into())),
        columns: vec!["secret".to_owned()],
    };
    let error = Decryptor::new(&settings).await.expect_err("no key");
    assert_eq!(error.to_string(), "the key of decrypt cannot be read: no/such/key: the file does not exist");
}

#[tokio::test]
async fn neither_texts_nor_keys_are_shown() {
    for known in known() {
        let decryptor = known.decryptor().await;
        let problems = open(&decryptor, &mut [known.row(), known.with("sim-damaged{"), row(1)]).await;
        let shown = format!("{decryptor:?} {problems:?} {:?}", known.settings());
        for secret in ["sim-", known.key.trim_start_matches("base64:"), &known.value] {
            assert!(!shown.contains(secret), "{}: {shown}", known.name);
        }
        for problem in problems.expect("the first is good") {
            assert!(!problem.to_string().contains("sim-"));
        }
    }
}

#[test]
fn arbitrary_values_do_no_harm() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for known in known() {
        let decryptor = runtime.block_on(known.decryptor());
        let text = prop_oneof![
            any::<String>(),
            "[A-Za-z0-9+/=]{0,200}",
            r#"\{"p":"[A-Za-z0-9+/=]{0,20}","h":\{"iv":"[A-Za-z0-9+/=]{0,16}","at":"[A-Za-z0-9+/=]{0,24}"\}\}"#,
            "U2FsdGVkX1[A-Za-z0-9+/=]{0,200}",
            ("[A-Za-z0-9+/=]{0,24}", "[a-f0-9]{0,64}", any::<String>()).prop_map(|(iv, mac, tag)| base64(
                json!({"iv": iv, "value": iv, "mac": mac, "tag": tag}).to_string().as_bytes()
            )),
        ];
        let test = |(value, iv, tag): (String, String, String)| {
            let arbitrary = json!({"secret": value, "iv": iv, "tag": tag});
            let mut rows = [known.row(), arbitrary.as_object().expect("an object").clone()];
            prop_assert!(runtime.block_on(open(&decryptor, &mut rows)).is_ok());
            prop_assert_eq!(&rows[0]["secret"], &known.opened);
            Ok(())
        };
        runner(64).run(&(text, any::<String>(), "[A-Za-z0-9+/=]{0,24}"), test).expect("harmless");
    }
}

async fn ask(script: &str, rows: &mut [Row]) -> Result<Vec<RowProblem>, SourceError> {
    let words = ["sh", "-c", script].map(str::to_owned).to_vec();
    let settings =
        DecryptSettings { columns: vec!["secret".to_owned()], scheme: DecryptScheme::Command(words) };
    open(&Decryptor::new(&settings).await.expect("no key is needed"), rows).await
}

#[tokio::test]
async fn a_command_answers_line_by_line() {
    let mut rows = [row("sim-1"), row("sim-2"), row("two\nlines"), row(3), Row::new(), row("sim-none")];
    let problems =
        ask("sed 's/sim-none//; s/sim-1/{\"token\": \"sim-one\"}/; s/sim-2/sim-two/'", &mut rows).await;
    let expected = [problem(2, Fault::Form), problem(3, Fault::Form), problem(5, Fault::Refused)];
    assert_eq!(problems, Ok(expected.to_vec()));
    assert_eq!(rows[0]["secret"]["token"], "sim-one");
    assert_eq!(rows[1]["secret"], "sim-two");
    // More than pipes and buffers hold, and a line without an end.
    let mut rows: Vec<Row> = (0..50_000).map(|n| row(format!("sim-{n}-{}", "x".repeat(200)))).collect();
    let given = rows.clone();
    assert_eq!(ask("head -c -1", &mut rows).await, Ok(vec![]));
    assert!(rows == given);
}

#[tokio::test]
async fn a_command_that_fails_is_a_problem_of_the_source() {
    let cases = [
        ("cat; exit 3", "values cannot be decrypted: the command failed with exit code 3"),
        ("exit 1", "values cannot be decrypted: the command failed with exit code 1"),
        (
            "head -n 1",
            "values cannot be decrypted: the command does not print one line for each line that it reads",
        ),
        (
            "yes",
            "values cannot be decrypted: the command does not print one line for each line that it reads",
        ),
        ("tr '\\n' x </dev/zero", "values cannot be decrypted: longer than 64 KiB: not a token"),
        ("sed 's/.*//'", "none of 2 encrypted values can be decrypted: the command answers with empty lines"),
        ("sed 's/.*/\\xff/'", "values cannot be decrypted: not UTF-8 text"),
    ];
    for (script, expected) in cases {
        let error = ask(script, &mut [row("sim-1"), row("sim-2")]).await.expect_err(script);
        assert_eq!(error.to_string(), expected, "{script}");
    }
    let settings = DecryptSettings {
        columns: vec!["secret".to_owned()],
        scheme: DecryptScheme::Command(vec!["/no/such/program".to_owned()]),
    };
    let missing = Decryptor::new(&settings).await.expect("no key is needed");
    let error = open(&missing, &mut [row("sim-1")]).await.expect_err("no program");
    assert!(
        error.to_string().starts_with("values cannot be decrypted: the command cannot be started"),
        "{error}"
    );
    assert_eq!(open(&missing, &mut [Row::new()]).await, Ok(vec![]), "it is not started for nothing");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_command_gets_values_on_its_input_only_and_ends_with_its_children() {
    let folder = tempfile::tempdir().expect("a folder");
    let (note, about) = (folder.path().join("note"), folder.path().join("about"));
    let script = format!(
        "cat /proc/$$/cmdline /proc/$$/environ >{}; sleep 600 & echo $! >{}; wait",
        about.display(),
        note.display()
    );
    let mut rows = [row("sim-value")];
    let child = tokio::select! {
        _ = ask(&script, &mut rows) => String::new(),
        child = noted(&note) => child,
    };
    assert!(!child.is_empty(), "the command ended early");
    ends(&child).await;
    let about = String::from_utf8_lossy(&std::fs::read(&about).expect("written")).into_owned();
    assert!(about.contains("sleep 600") && about.contains("PATH="), "{about}");
    assert!(!about.contains("sim-value"), "{about}");
}
