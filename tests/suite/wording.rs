//! The catalogues of mails and digests: complete, used, and with the placeholders of English.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use token_exporter::model::{Language, Reason};
use token_exporter::wording::{Catalogue, texts};

type Sections = BTreeMap<String, BTreeMap<String, String>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A catalogue as it is on disk. A key that stands there twice is refused.
fn sections(text: &str) -> Result<Sections, String> {
    let value: serde_yaml::Value = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    serde_yaml::from_value(value).map_err(|error| error.to_string())
}

fn file(language: Language) -> String {
    let path = format!("src/wording/{}.yaml", language.code());
    std::fs::read_to_string(root().join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn english() -> Sections {
    sections(&file(Language::En)).expect("the English catalogue")
}

/// The names in braces.
fn placeholders(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).filter_map(|part| Some(part.split_once('}')?.0)).collect()
}

/// What a catalogue lacks, has too much, or says with other placeholders than English.
fn problems(english: &Sections, texts: &[&str], other: &Sections) -> Vec<String> {
    let mut expected: BTreeMap<(&str, &str), &str> =
        texts.iter().map(|text| (("texts", *text), *text)).collect();
    for (section, sentences) in english {
        expected
            .extend(sentences.iter().map(|(key, text)| ((section.as_str(), key.as_str()), text.as_str())));
    }
    let mut found = Vec::new();
    let given = other
        .iter()
        .flat_map(|(s, all)| all.iter().map(move |(key, text)| ((s.as_str(), key.as_str()), text)));
    let given: BTreeMap<(&str, &str), &String> = given.collect();
    for ((section, key), text) in &given {
        match expected.get(&(*section, *key)) {
            None => found.push(format!("{section}: \"{key}\" is not used")),
            Some(_) if text.trim().is_empty() => found.push(format!("{section}: \"{key}\" is empty")),
            Some(of) if placeholders(of) != placeholders(text) => {
                found.push(format!("{section}: \"{key}\" has other placeholders than English"));
            }
            Some(_) => {}
        }
    }
    let missing = expected.keys().filter(|key| !given.contains_key(*key));
    found.extend(missing.map(|(section, key)| format!("{section}: \"{key}\" is missing")));
    found
}

#[test]
fn catalogues_are_complete_and_say_nothing_else() {
    let (english, texts) = (english(), texts());
    let mut found = problems(&english, &[], &english);
    for language in Language::ALL.iter().filter(|language| **language != Language::En) {
        let own = sections(&file(*language)).expect("a catalogue");
        let named = |problem| format!("src/wording/{}.yaml, {problem}", language.code());
        found.extend(problems(&english, &texts, &own).into_iter().map(named));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_catalogue_can_be_read() {
    for language in Language::ALL {
        let own = sections(&file(*language)).unwrap_or_else(|error| panic!("{}: {error}", language.code()));
        for (section, sentences) in own {
            for (key, text) in sentences {
                let catalogue = Catalogue::of(*language);
                let said = if section == "texts" {
                    catalogue.text(&key).to_owned()
                } else {
                    catalogue.sentence(&format!("{section}.{key}")).to_owned()
                };
                assert_eq!(said, text, "{}: {section}: {key}", language.code());
            }
        }
    }
}

#[test]
fn each_fault_of_a_catalogue_is_found() {
    let read = |text| sections(text).expect("a catalogue");
    let english = read("mail: {a: 'By {day}.', b: B., c: C.}");
    let texts = ["Log in.", "Reconnect."];
    let other = read("mail: {a: 'Am {tag}.', b: ' ', d: D.}\ntexts: {Log in.: Anmelden., Gone.: Weg.}");
    let mut found = problems(&english, &texts, &other);
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "mail: \"a\" has other placeholders than English",
            "mail: \"b\" is empty",
            "mail: \"c\" is missing",
            "mail: \"d\" is not used",
            "texts: \"Gone.\" is not used",
            "texts: \"Reconnect.\" is missing",
        ]
    );
    let good =
        read("mail: {a: 'Am {day}.', b: B!, c: C!}\ntexts: {Log in.: Anmelden., Reconnect.: Verbinden.}");
    assert_eq!(problems(&english, &texts, &good), [""; 0]);
    assert!(sections("mail: {a: A., a: B.}").is_err(), "a key twice");
    assert!(sections("mail: {a: [A.]}").is_err(), "not a text");
}

/// The sources and templates that can name sentences.
fn readers_of_sentences() -> Vec<PathBuf> {
    let (mut folders, mut files) = (vec![root().join("src")], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.ends_with("wording") {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs" || e == "tmpl" || e == "html" || e == "txt")
            {
                files.push(path);
            }
        }
    }
    files
}

/// The keys that a text names: `section.key` between quotes, `@` or other signs.
fn named<'a>(text: &'a str, sections: &Sections) -> BTreeSet<&'a str> {
    let part_of_key = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.';
    let words = text.split(|c: char| !part_of_key(c));
    let is_key = |word: &&str| {
        word.split_once('.')
            .is_some_and(|(section, key)| sections.contains_key(section) && !key.contains('.'))
    };
    words.filter(is_key).collect()
}

#[test]
fn every_sentence_is_used() {
    let english = english();
    let mut used = BTreeSet::new();
    for path in readers_of_sentences() {
        let text = std::fs::read_to_string(&path).expect("a source");
        used.extend(named(&text, &english).into_iter().map(str::to_owned));
        // A key in quotes is meant as one.
        for key in named(&text, &english) {
            let (section, name) = key.split_once('.').expect("a key");
            let quoted = text.contains(&format!("\"{key}\"")) || text.contains(&format!("@{key}@"));
            assert!(!quoted || english[section].contains_key(name), "{}: no sentence {key}", path.display());
        }
    }
    for (section, sentences) in &english {
        for key in sentences.keys().map(|key| format!("{section}.{key}")) {
            assert!(used.contains(&key), "src/wording/en.yaml: {key} is not used");
        }
    }
}

#[test]
fn values_take_the_places_of_their_names() {
    let english = Catalogue::of(Language::En);
    // A key without a sentence stands for itself.
    let said = english.say("{day}, {left}: {what} {", &[("day", "{left}"), ("left", "2")]);
    assert_eq!(said, "{left}, 2: {what} {");
    assert_eq!(english.sentence("mail.no_such_sentence"), "mail.no_such_sentence");
}

#[test]
fn english_takes_the_place_of_what_is_missing() {
    for language in Language::ALL {
        let catalogue = Catalogue::of(*language);
        assert!(!catalogue.sentence("mail.before_reconnecting").contains("before_reconnecting"));
        assert_eq!(catalogue.text("No catalogue knows this."), "No catalogue knows this.");
        assert_eq!(Language::from_label(language.code()), Some(*language));
    }
    assert_eq!(Language::from_label("xx"), None);
}

#[test]
fn the_texts_to_translate_are_those_of_people() {
    let texts = texts();
    assert_eq!(texts.iter().collect::<BTreeSet<_>>().len(), texts.len(), "a text twice");
    for reason in Reason::ALL {
        let info = reason.info();
        let own = [info.short, info.meaning].into_iter().chain(info.steps.connector.iter().copied());
        own.for_each(|text| assert!(texts.contains(&text), "{reason}: {text}"));
        assert!(!info.short.contains('_') && !info.short.ends_with('.'), "{reason}: {}", info.short);
    }
    for text in &texts {
        assert!(!text.contains("  ") && text.trim() == *text && !text.contains(['{', '\n']), "{text}");
    }
}
