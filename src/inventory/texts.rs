//! Texts in arenas, and other values that repeat, held once.
//!
//! Labels want `\`, `"` and line breaks escaped. That is done once, when a text is added: it can be
//! read as it was configured and as labels want it.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hash};
use std::ops::Range;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::Full;

/// A label value as both exposition formats want it.
pub fn escape(value: &str) -> Cow<'_, str> {
    if is_plain(value) {
        return Cow::Borrowed(value);
    }
    Cow::Owned(value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// Whether nothing has to be escaped. Looking at all bytes is faster than stopping at the first.
fn is_plain(value: &str) -> bool {
    !value.bytes().fold(false, |found, byte| found | matches!(byte, b'\\' | b'"' | b'\n'))
}

/// A length or an index in four bytes.
pub(super) fn number(count: usize) -> Result<u32, Full> {
    u32::try_from(count).map_err(|_| Full)
}

#[derive(Clone, Copy, Debug)]
struct Span<const N: usize> {
    start: u32,
    lengths: [u16; N],
}

impl<const N: usize> Span<N> {
    fn put(arena: &mut String, texts: [&str; N]) -> Result<Self, Full> {
        let mut span = Self { start: number(arena.len())?, lengths: [0; N] };
        for (length, text) in span.lengths.iter_mut().zip(texts) {
            *length = u16::try_from(text.len()).map_err(|_| Full)?;
            arena.push_str(text);
        }
        Ok(span)
    }

    fn get<'a>(&self, arena: &'a str, index: usize) -> &'a str {
        let before: usize = self.lengths[..index].iter().map(|length| usize::from(*length)).sum();
        let start = self.start as usize + before;
        arena.get(start..start + usize::from(self.lengths[index])).unwrap_or("")
    }

    fn end(&self) -> usize {
        self.start as usize + self.lengths.iter().map(|length| usize::from(*length)).sum::<usize>()
    }
}

/// The texts of one row: as configured and, behind them, escaped.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowTexts<const N: usize> {
    plain: Span<N>,
    /// The length of the escaped texts, which line breaks separate; 0 if nothing has to be escaped.
    escaped: u16,
}

impl<const N: usize> RowTexts<N> {
    pub(super) fn put(arena: &mut String, texts: [&str; N]) -> Result<Self, Full> {
        let plain = Span::put(arena, texts)?;
        if arena.get(plain.start as usize..).is_some_and(is_plain) {
            return Ok(Self { plain, escaped: 0 });
        }
        let escaped = texts.map(escape).join("\n");
        arena.push_str(&escaped);
        Ok(Self { plain, escaped: u16::try_from(escaped.len()).map_err(|_| Full)? })
    }

    pub(super) fn plain<'a>(&self, arena: &'a str, index: usize) -> &'a str {
        self.plain.get(arena, index)
    }

    pub(super) fn escaped<'a>(&self, arena: &'a str, index: usize) -> &'a str {
        if self.escaped == 0 {
            return self.plain(arena, index);
        }
        let escaped = arena.get(self.plain.end()..self.end()).unwrap_or("");
        escaped.split('\n').nth(index).unwrap_or("")
    }

    fn end(&self) -> usize {
        self.plain.end() + usize::from(self.escaped)
    }

    pub(super) fn moved(&self, from: &str, to: &mut String) -> Self {
        // The new arena is never larger than the old one.
        let start = number(to.len()).unwrap_or(u32::MAX);
        to.push_str(from.get(self.plain.start as usize..self.end()).unwrap_or(""));
        Self { plain: Span { start, ..self.plain }, ..*self }
    }
}

/// A hash table of numbers. The keys stay where the numbered things are.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    state: DefaultHashBuilder,
    numbers: HashTable<u32>,
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Makes room while there is nothing in it: a full index is copied, and all keys are read for that.
    pub(super) fn reserve(&mut self, count: usize) {
        if self.numbers.is_empty() {
            self.numbers = HashTable::with_capacity(count);
        }
    }

    /// Frees room for much more.
    pub(super) fn shrink<'a, K>(&mut self, key_of: impl Fn(u32) -> &'a K)
    where
        K: Hash + ?Sized + 'a,
    {
        let Self { state, numbers } = self;
        numbers.shrink_to_fit(|number: &u32| state.hash_one(key_of(*number)));
    }

    pub(super) fn find<'a, K>(&self, key: &K, key_of: impl Fn(u32) -> &'a K) -> Option<u32>
    where
        K: Hash + Eq + ?Sized + 'a,
    {
        self.numbers.find(self.state.hash_one(key), |number| key_of(*number) == key).copied()
    }

    /// Adds the number of a thing whose key is not in the index yet.
    pub(super) fn insert<'a, K>(&mut self, number: u32, key_of: impl Fn(u32) -> &'a K)
    where
        K: Hash + ?Sized + 'a,
    {
        let Self { state, numbers } = self;
        let hash = |number: &u32| state.hash_one(key_of(*number));
        numbers.insert_unique(hash(&number), number, hash);
    }

    /// Removes the last of `count` things.
    pub(super) fn remove_last<'a, K>(&mut self, count: usize, key_of: impl Fn(u32) -> &'a K)
    where
        K: Hash + ?Sized + 'a,
    {
        let Some(last) = count.checked_sub(1).and_then(|last| u32::try_from(last).ok()) else { return };
        let hash = self.state.hash_one(key_of(last));
        if let Ok(entry) = self.numbers.find_entry(hash, |number| *number == last) {
            entry.remove();
        }
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
    /// Where a text is put together.
    scratch: String,
}

impl Words {
    pub(super) fn reserve(&mut self, count: usize) {
        self.index.reserve(count);
    }

    pub(super) fn put(&mut self, text: &str) -> Result<u32, Full> {
        self.put_new(text, || escape(text))
    }

    /// Puts together a label as it stands in the arena.
    fn label(&mut self, name: &str, value: &str) -> String {
        let mut label = std::mem::take(&mut self.scratch);
        label.clear();
        label.extend([",", name, "=\"", value, "\""]);
        label
    }

    pub(super) fn find_label(&mut self, name: &str, value: &str) -> Option<u32> {
        let label = self.label(name, value);
        let word = self.index.find(&*label, |word| self.plain(word));
        self.scratch = label;
        word
    }

    pub(super) fn put_label(&mut self, name: &str, value: &str) -> Result<u32, Full> {
        let plain = self.label(name, value);
        let word = self.put_new(&plain, || match escape(value) {
            Cow::Borrowed(_) => Cow::Borrowed(&plain),
            Cow::Owned(escaped) => Cow::Owned([",", name, "=\"", &escaped, "\""].concat()),
        });
        self.scratch = plain;
        word
    }

    fn put_new<'e>(&mut self, plain: &str, escaped: impl FnOnce() -> Cow<'e, str>) -> Result<u32, Full> {
        if let Some(word) = self.index.find(plain, |word| self.plain(word)) {
            return Ok(word);
        }
        let escaped = escaped();
        let word = number(self.ends.len())?;
        self.arena.push_str(plain);
        let end = number(self.arena.len())?;
        if escaped != plain {
            self.arena.push_str(&escaped);
        }
        self.ends.push([end, number(self.arena.len())?]);
        let Self { arena, ends, index, .. } = self;
        index.insert(word, |word| slice(arena, bounds(ends, word).0));
        Ok(word)
    }

    pub(super) fn plain(&self, word: u32) -> &str {
        slice(&self.arena, bounds(&self.ends, word).0)
    }

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

impl<T: Hash + Eq + Clone> Distinct<T> {
    pub(super) fn put(&mut self, item: &T) -> Result<u32, Full> {
        if let Some(known) = self.index.find(item, |known| self.get(known)) {
            return Ok(known);
        }
        let new = number(self.items.len())?;
        self.items.push(item.clone());
        let Self { items, index } = self;
        index.insert(new, |number| &items[number as usize]);
        Ok(new)
    }
}

impl<T> Distinct<T> {
    pub(super) fn get(&self, number: u32) -> &T {
        &self.items[number as usize]
    }

    /// Frees what only new values need.
    pub(super) fn close(&mut self) {
        self.items.shrink_to_fit();
        self.index = Index::default();
    }
}

/// Sets of labels that repeat: each is held once, as the numbers of its labels.
#[derive(Clone, Debug, Default)]
pub(super) struct LabelSets {
    labels: Vec<u32>,
    /// Where each set ends. Sets follow each other.
    ends: Vec<u32>,
    index: Index,
}

impl LabelSets {
    pub(super) fn reserve(&mut self, count: usize) {
        self.index.reserve(count);
    }

    pub(super) fn put(&mut self, labels: &[u32]) -> Result<u32, Full> {
        if let Some(known) = self.index.find(labels, |known| self.get(known)) {
            return Ok(known);
        }
        let new = number(self.ends.len())?;
        self.labels.extend_from_slice(labels);
        self.ends.push(number(self.labels.len())?);
        let Self { labels, ends, index } = self;
        index.insert(new, |number| &labels[range(ends, number as usize)]);
        Ok(new)
    }

    pub(super) fn get(&self, number: u32) -> &[u32] {
        &self.labels[range(&self.ends, number as usize)]
    }

    pub(super) fn all(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        (0..self.ends.len()).map(|index| &self.labels[range(&self.ends, index)])
    }

    /// Frees what only new sets need.
    pub(super) fn close(&mut self) {
        self.labels.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.index = Index::default();
    }
}

/// Where one of several things is that follow each other, and of which the ends are known.
fn range(ends: &[u32], index: usize) -> Range<usize> {
    let start = index.checked_sub(1).map_or(0, |before| ends[before]);
    start as usize..ends[index] as usize
}
