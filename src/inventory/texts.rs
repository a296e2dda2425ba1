//! Texts in arenas, and other values that repeat, held once.
//!
//! Labels want `\`, `"` and line breaks escaped. That is done once, when a text is added: it can be
//! read as it was configured and as labels want it.

use std::borrow::Cow;
use std::hash::Hash;

use super::Full;
use super::ids::Index;

/// A label value as both exposition formats want it.
pub fn escape(value: &str) -> Cow<'_, str> {
    if !value.bytes().any(|byte| matches!(byte, b'\\' | b'"' | b'\n')) {
        return Cow::Borrowed(value);
    }
    Cow::Owned(value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// A length or an index in four bytes.
pub(super) fn number(count: usize) -> Result<u32, Full> {
    u32::try_from(count).map_err(|_| Full)
}

/// Texts side by side in an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span<const N: usize> {
    start: u32,
    lengths: [u16; N],
}

impl<const N: usize> Span<N> {
    fn put(arena: &mut String, texts: &[Cow<'_, str>; N]) -> Result<Self, Full> {
        let mut span = Self { start: number(arena.len())?, lengths: [0; N] };
        for (length, text) in span.lengths.iter_mut().zip(texts) {
            *length = u16::try_from(text.len()).map_err(|_| Full)?;
            arena.push_str(text);
        }
        Ok(span)
    }

    fn get<'a>(&self, arena: &'a str, index: usize) -> &'a str {
        let length = |length: &u16| usize::from(*length);
        let start = self.start as usize + self.lengths[..index].iter().map(length).sum::<usize>();
        arena.get(start..start + length(&self.lengths[index])).unwrap_or("")
    }

    fn moved(&self, from: &str, to: &mut String) -> Self {
        let start = self.start as usize;
        let length: usize = self.lengths.iter().map(|length| usize::from(*length)).sum();
        // The new arena is never larger than the old one.
        let span = Self { start: number(to.len()).unwrap_or(u32::MAX), ..*self };
        to.push_str(from.get(start..start + length).unwrap_or(""));
        span
    }
}

/// The texts of one row: as configured, and escaped. Both are in the same place if nothing has to
/// be escaped.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowTexts<const N: usize> {
    plain: Span<N>,
    escaped: Span<N>,
}

impl<const N: usize> RowTexts<N> {
    pub(super) fn put(arena: &mut String, texts: [&str; N]) -> Result<Self, Full> {
        let plain = Span::put(arena, &texts.map(Cow::Borrowed))?;
        let escaped = texts.map(escape);
        let same = escaped.iter().all(|text| matches!(text, Cow::Borrowed(_)));
        Ok(Self { plain, escaped: if same { plain } else { Span::put(arena, &escaped)? } })
    }

    pub(super) fn plain<'a>(&self, arena: &'a str, index: usize) -> &'a str {
        self.plain.get(arena, index)
    }

    pub(super) fn escaped<'a>(&self, arena: &'a str, index: usize) -> &'a str {
        self.escaped.get(arena, index)
    }

    /// Copies the texts to another arena.
    pub(super) fn moved(&self, from: &str, to: &mut String) -> Self {
        let plain = self.plain.moved(from, to);
        let same = self.escaped == self.plain;
        Self { plain, escaped: if same { plain } else { self.escaped.moved(from, to) } }
    }
}

/// Texts that repeat: each is held once.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    arena: String,
    /// Where the plain text of each word ends, and where the escaped one does if it differs. Words
    /// follow each other.
    ends: Vec<[u32; 2]>,
    index: Index,
}

impl Words {
    /// The number of a text.
    pub(super) fn put(&mut self, text: &str) -> Result<u32, Full> {
        self.put_pair(text, &escape(text))
    }

    /// The number of the label `,name="value"`.
    pub(super) fn put_label(&mut self, name: &str, value: &str) -> Result<u32, Full> {
        let plain = format!(",{name}=\"{value}\"");
        match escape(value) {
            Cow::Borrowed(_) => self.put_pair(&plain, &plain),
            Cow::Owned(escaped) => self.put_pair(&plain, &format!(",{name}=\"{escaped}\"")),
        }
    }

    fn put_pair(&mut self, plain: &str, escaped: &str) -> Result<u32, Full> {
        if let Some(word) = self.index.find(plain, |word| self.plain(word)) {
            return Ok(word);
        }
        let word = number(self.ends.len())?;
        self.arena.push_str(plain);
        let end = number(self.arena.len())?;
        if escaped != plain {
            self.arena.push_str(escaped);
        }
        self.ends.push([end, number(self.arena.len())?]);
        let Self { arena, ends, index } = self;
        index.insert(word, |word| slice(arena, bounds(ends, word).0));
        Ok(word)
    }

    /// The text of a number, as configured.
    pub(super) fn plain(&self, word: u32) -> &str {
        slice(&self.arena, bounds(&self.ends, word).0)
    }

    /// The text of a number, escaped for labels.
    pub(super) fn escaped(&self, word: u32) -> &str {
        slice(&self.arena, bounds(&self.ends, word).1)
    }

    /// Frees what only new texts need.
    pub(super) fn close(&mut self) {
        self.arena.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.index = Index::default();
    }
}

pub(super) fn slice(arena: &str, [start, end]: [u32; 2]) -> &str {
    arena.get(start as usize..end as usize).unwrap_or("")
}

/// Where the plain and the escaped text of a word are.
fn bounds(ends: &[[u32; 2]], word: u32) -> ([u32; 2], [u32; 2]) {
    let at = word as usize;
    let start = at.checked_sub(1).and_then(|before| ends.get(before)).map_or(0, |before| before[1]);
    let [plain, escaped] = ends.get(at).copied().unwrap_or([start; 2]);
    ([start, plain], if plain == escaped { [start, plain] } else { [plain, escaped] })
}

/// Other values that repeat: each is held once.
#[derive(Clone, Debug)]
pub(super) struct Distinct<T> {
    items: Vec<T>,
    index: Index,
}

impl<T> Default for Distinct<T> {
    fn default() -> Self {
        Self { items: Vec::new(), index: Index::default() }
    }
}

impl<T: Hash + Eq> Distinct<T> {
    /// The number of a value.
    pub(super) fn put(&mut self, item: T) -> Result<u32, Full> {
        if let Some(known) = self.index.find(&item, |known| self.get(known)) {
            return Ok(known);
        }
        let new = number(self.items.len())?;
        self.items.push(item);
        let Self { items, index } = self;
        index.insert(new, |number| &items[number as usize]);
        Ok(new)
    }
}

impl<T> Distinct<T> {
    /// The value of a number that [`Distinct::put`] returned.
    pub(super) fn get(&self, number: u32) -> &T {
        &self.items[number as usize]
    }

    pub(super) fn items(&self) -> &[T] {
        &self.items
    }

    /// Frees what only new values need.
    pub(super) fn close(&mut self) {
        self.items.shrink_to_fit();
        self.index = Index::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ESCAPED: [(&str, &str); 8] = [
        ("", ""),
        ("plain", "plain"),
        ("Größe <b>", "Größe <b>"),
        ("with \"quotes\"", "with \\\"quotes\\\""),
        ("back\\slash", "back\\\\slash"),
        ("\\n is no line break", "\\\\n is no line break"),
        ("a\nb", "a\\nb"),
        ("\\\\\"\n", "\\\\\\\\\\\"\\n"),
    ];

    #[test]
    fn texts_are_read_as_configured_and_as_labels_want_them() -> Result<(), Full> {
        let (mut words, mut labels) = (Words::default(), Words::default());
        for (text, escaped) in ESCAPED {
            assert_eq!(escape(text), escaped);
            let mut arena = "before".to_owned();
            let texts = RowTexts::put(&mut arena, ["first", text, "last"])?;
            let mut other = "elsewhere".to_owned();
            let moved = texts.moved(&arena, &mut other);
            for (texts, arena) in [(texts, &arena), (moved, &other)] {
                assert_eq!([0, 1, 2].map(|i| texts.plain(arena, i)), ["first", text, "last"]);
                assert_eq!([0, 1, 2].map(|i| texts.escaped(arena, i)), ["first", escaped, "last"]);
            }
            let word = words.put(text)?;
            let label = labels.put_label("name", text)?;
            assert_eq!((words.plain(word), words.escaped(word)), (text, escaped));
            assert_eq!(labels.plain(label), format!(",name=\"{text}\""));
            assert_eq!(labels.escaped(label), format!(",name=\"{escaped}\""));
        }
        // What is the escaped form of one text is another text as well.
        for (_, escaped) in ESCAPED {
            let word = words.put(escaped)?;
            assert_eq!((words.plain(word), words.escaped(word)), (escaped, &*escape(escaped)));
        }
        Ok(())
    }

    #[test]
    fn repeated_values_are_held_once() {
        let (mut words, mut things) = (Words::default(), Distinct::default());
        for round in 0..2 {
            for i in 0..1000_u32 {
                let text = format!("word \"{i}\"");
                assert_eq!(words.put(&text), Ok(i), "in round {round}");
                assert_eq!(things.put((i, text)), Ok(i));
            }
        }
        words.close();
        things.close();
        assert_eq!((words.plain(0), words.plain(999), words.plain(1000)), ("word \"0\"", "word \"999\"", ""));
        assert_eq!((words.escaped(7), words.escaped(1000)), ("word \\\"7\\\"", ""));
        assert_eq!(things.get(7), &(7, "word \"7\"".to_owned()));
        assert_eq!(things.items().len(), 1000);
    }
}
