//! The words of mails and digests in each language: a catalogue of sentences by key, and of
//! translations of the English texts of reasons, steps and capabilities.
//!
//! `en.yaml` holds the sentences. The other catalogues hold the same keys and, under `texts`, each
//! text of [`texts()`] with its translation. English takes the place of what a catalogue lacks.
//! Must not know who is written to.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::model::{Capability, Language, Reader, Reason, Steps};
use crate::network::NetworkId;

/// The words of one language.
#[derive(Debug, Default)]
pub struct Catalogue {
    sections: BTreeMap<String, BTreeMap<String, String>>,
}

static CATALOGUES: LazyLock<Vec<Catalogue>> = LazyLock::new(|| {
    let read = |language: &Language| Catalogue {
        // A test refuses a file that cannot be read; in production, English takes its place.
        sections: serde_yaml::from_str(source(*language)).unwrap_or_default(),
    };
    Language::ALL.iter().map(read).collect()
});

static EMPTY: Catalogue = Catalogue { sections: BTreeMap::new() };

fn source(language: Language) -> &'static str {
    match language {
        Language::En => include_str!("en.yaml"),
        Language::De => include_str!("de.yaml"),
        Language::Fr => include_str!("fr.yaml"),
        Language::Es => include_str!("es.yaml"),
        Language::Pt => include_str!("pt.yaml"),
        Language::It => include_str!("it.yaml"),
        Language::Ja => include_str!("ja.yaml"),
    }
}

impl Catalogue {
    pub fn of(language: Language) -> &'static Self {
        CATALOGUES.get(language as usize).unwrap_or(&EMPTY)
    }

    fn find(&self, section: &str, key: &str) -> Option<&str> {
        self.sections.get(section)?.get(key).map(String::as_str)
    }

    /// A sentence by its section and key, `mail.reconnect` for example. Callers write keys in full:
    /// a test looks for them.
    pub fn sentence<'a>(&'a self, key: &'a str) -> &'a str {
        let find = |catalogue: &'a Self| {
            let (section, name) = key.split_once('.')?;
            catalogue.find(section, name)
        };
        find(self).or_else(|| find(Self::of(Language::En))).unwrap_or(key)
    }

    /// A sentence with a value for each of its placeholders, `{deadline}` for example.
    pub fn say(&self, key: &str, values: &[(&str, &str)]) -> String {
        let mut parts = self.sentence(key).split('{');
        let mut said = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let value = part.split_once('}').and_then(|(name, rest)| {
                values.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value, rest))
            });
            let (value, rest) = value.unwrap_or(("{", part));
            said.extend([value, rest]);
        }
        said
    }

    /// The translation of an English text of a reason, step or capability.
    pub fn text<'a>(&'a self, english: &'a str) -> &'a str {
        self.find("texts", english).unwrap_or(english)
    }
}

/// Every English text that catalogues translate, each once.
pub fn texts() -> Vec<&'static str> {
    let mut texts: Vec<&'static str> = Vec::new();
    texts.extend(Capability::ALL.iter().map(|capability| capability.stops()));
    let reasons = || Reason::ALL.iter().map(|reason| reason.info());
    texts.extend(reasons().map(|info| info.short));
    texts.extend(reasons().map(|info| info.meaning));
    let general = reasons().map(|info| info.steps);
    let own = NetworkId::all().map(|network| network.description().steps);
    let own = own.flat_map(|steps| Reason::ALL.iter().map(move |reason| steps(*reason)));
    texts.extend(general.chain(own).flat_map(all_steps));
    let mut seen = std::collections::HashSet::new();
    texts.retain(|text| seen.insert(*text));
    texts
}

fn all_steps(steps: Steps) -> impl Iterator<Item = &'static str> {
    Reader::ALL.iter().flat_map(move |reader| steps.list(*reader)).copied()
}
