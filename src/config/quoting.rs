//! Quotes from a configuration in messages. Secrets end up in wrong places there, so nothing is
//! quoted that looks like one, and nothing at length.

use crate::network::NetworkId;

/// The longest text that is quoted, in characters.
const MAX_QUOTED: usize = 40;

/// A text for a message: in quotes and shortened, or only described if it looks like a secret.
pub(super) fn shown(text: &str) -> String {
    if looks_secret(text) {
        return "a text that looks like a secret (not shown)".to_owned();
    }
    let mut short: String = text.chars().take(MAX_QUOTED).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

/// A key for a message or a path. YAML reads `{token:abc}` as a key, so only words are shown.
pub(super) fn shown_key(key: &str) -> &str {
    let plain = key.len() <= MAX_QUOTED
        && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '<'));
    if plain && !key.is_empty() && !looks_secret(key) { key } else { "(not shown)" }
}

/// How tokens of no network in particular begin (JWTs, Slack, the simulator), as
/// [`Description::token_prefixes`](crate::network::Description::token_prefixes).
const TOKEN_PREFIXES: &[(&str, usize)] = &[("eyJ", 8), ("xox", 8), ("sim-", 5)];

/// Whether a text, or a part of it, looks like a token or another secret. Errs on the side of yes.
pub fn looks_secret(text: &str) -> bool {
    let part_of_token = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '+' | '=' | '~' | '%' | '|')
    };
    text.split(|c: char| !part_of_token(c)).any(|word| {
        let begins = |part: &str| {
            let of_networks = NetworkId::all().flat_map(|network| network.description().token_prefixes);
            of_networks
                .chain(TOKEN_PREFIXES)
                .any(|(prefix, length)| part.len() >= *length && part.starts_with(prefix))
        };
        begins(word)
            || word.split(['/', '=', '|', '.', '+', '%', '~']).any(|part| begins(part) || random(part))
    })
}

/// Whether a word changes between small letters, capitals and digits more often than a name does.
fn random(word: &str) -> bool {
    let characters = word.chars().filter(char::is_ascii_alphanumeric);
    let kinds: Vec<_> = characters.map(|c| (c.is_ascii_digit(), c.is_ascii_uppercase())).collect();
    let changes = kinds.windows(2).filter(|pair| pair[0] != pair[1]).count();
    kinds.len() >= 16 && changes >= 6
}

pub(super) fn nearest<'c>(text: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let text: Vec<char> = text.chars().take(64).flat_map(char::to_lowercase).collect();
    let allowed = (text.len() / 3).clamp(1, 3);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let letters: Vec<char> = candidate.chars().take(64).flat_map(char::to_lowercase).collect();
        if letters.len().abs_diff(text.len()) > allowed {
            continue;
        }
        let d = distance(&text, &letters);
        if d <= allowed && d < letters.len() && best.is_none_or(|(b, _)| d < b) {
            best = Some((d, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The number of letters to insert, delete, replace or swap with their neighbour.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let mut d = (last[j] + usize::from(a[i] != b[j])).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                d = d.min(before[j - 1] + 1);
            }
            row.push(d);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}
