//! The languages of mails.

/// A language that mails are written in, by its ISO 639-1 code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Language {
    #[default]
    En,
    De,
    Fr,
    Es,
    Pt,
    It,
    Ja,
}

impl Language {
    pub const ALL: &'static [Self] = &[Self::En, Self::De, Self::Fr, Self::Es, Self::Pt, Self::It, Self::Ja];

    pub fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
            Self::Fr => "fr",
            Self::Es => "es",
            Self::Pt => "pt",
            Self::It => "it",
            Self::Ja => "ja",
        }
    }

    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|language| language.code() == label)
    }
}
