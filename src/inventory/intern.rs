//! What repeats, held once: texts, lists of them, and whatever else can be compared.
//!
//! Everything is known by a number of four bytes. Finding out whether something is there already
//! takes a table that can be given up when nothing more is to come.

use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};

/// A text in an arena, and what happens to stand behind it: whoever copies it can do so in steps of
/// fixed length.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    onwards: &'a str,
    len: usize,
}

impl<'a> Piece<'a> {
    /// So much of an arena from a place on.
    pub fn new(arena: &'a str, start: usize, len: usize) -> Self {
        let onwards = arena.get(start..).unwrap_or("");
        Self { onwards, len: len.min(onwards.len()) }
    }

    /// The text.
    pub fn as_str(self) -> &'a str {
        self.onwards.get(..self.len).unwrap_or("")
    }

    /// The text's bytes and those behind it, and how many of them are the text.
    pub fn onwards(self) -> (&'a [u8], usize) {
        (self.onwards.as_bytes(), self.len)
    }
}

impl<'a> From<&'a str> for Piece<'a> {
    fn from(text: &'a str) -> Self {
        Self { onwards: text, len: text.len() }
    }
}

/// Texts in one arena, each of them once. The number 0 is the empty text.
#[derive(Clone, Debug)]
pub(super) struct Words {
    text: String,
    ends: Vec<u32>,
    seen: HashTable<u32>,
    state: DefaultHashBuilder,
}

impl Default for Words {
    fn default() -> Self {
        let mut words = Self {
            text: String::new(),
            ends: Vec::new(),
            seen: HashTable::new(),
            state: DefaultHashBuilder::default(),
        };
        words.put("");
        words
    }
}

impl Words {
    /// The number of a text; none if there is no room for more.
    pub(super) fn put(&mut self, text: &str) -> Option<u32> {
        let hash = self.state.hash_one(text);
        if let Some(word) = self.seen.find(hash, |word| self.get(*word) == text) {
            return Some(*word);
        }
        let end = u32::try_from(self.text.len() + text.len()).ok()?;
        let word = u32::try_from(self.ends.len()).ok()?;
        self.text.push_str(text);
        self.ends.push(end);
        let Self { text, ends, seen, state } = self;
        seen.insert_unique(hash, word, |word| state.hash_one(slice(text, ends, *word)));
        Some(word)
    }

    /// The text of a number.
    pub(super) fn get(&self, word: u32) -> &str {
        slice(&self.text, &self.ends, word)
    }

    /// The text of a number, in its arena.
    pub(super) fn piece(&self, word: u32) -> Piece<'_> {
        let (start, end) = bounds(&self.ends, word);
        Piece::new(&self.text, start, end - start)
    }

    /// Gives back what only new texts need.
    pub(super) fn close(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.seen = HashTable::new();
    }
}

fn slice<'a>(text: &'a str, ends: &[u32], word: u32) -> &'a str {
    let (start, end) = bounds(ends, word);
    text.get(start..end).unwrap_or("")
}

/// Where the thing of a number stands among all.
fn bounds(ends: &[u32], number: u32) -> (usize, usize) {
    let at = number as usize;
    let end = |at: usize| ends.get(at).map_or(0, |end| *end as usize);
    (at.checked_sub(1).map_or(0, end), end(at))
}

/// Lists of numbers, each list once. The number 0 is the empty list.
#[derive(Clone, Debug)]
pub(super) struct Lists {
    items: Vec<u32>,
    ends: Vec<u32>,
    seen: HashTable<u32>,
    state: DefaultHashBuilder,
}

impl Default for Lists {
    fn default() -> Self {
        let mut lists = Self {
            items: Vec::new(),
            ends: Vec::new(),
            seen: HashTable::new(),
            state: DefaultHashBuilder::default(),
        };
        lists.put(&[]);
        lists
    }
}

impl Lists {
    /// The number of a list; none if there is no room for more.
    pub(super) fn put(&mut self, items: &[u32]) -> Option<u32> {
        let hash = self.state.hash_one(items);
        if let Some(list) = self.seen.find(hash, |list| self.get(*list) == items) {
            return Some(*list);
        }
        let end = u32::try_from(self.items.len() + items.len()).ok()?;
        let list = u32::try_from(self.ends.len()).ok()?;
        self.items.extend_from_slice(items);
        self.ends.push(end);
        let Self { items, ends, seen, state } = self;
        let get = |list: u32| {
            let (start, end) = bounds(ends, list);
            items.get(start..end).unwrap_or(&[])
        };
        seen.insert_unique(hash, list, |list| state.hash_one(get(*list)));
        Some(list)
    }

    /// How many lists there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The list of a number.
    pub(super) fn get(&self, list: u32) -> &[u32] {
        let (start, end) = bounds(&self.ends, list);
        self.items.get(start..end).unwrap_or(&[])
    }

    /// Gives back what only new lists need.
    pub(super) fn close(&mut self) {
        self.items.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.seen = HashTable::new();
    }
}

/// Things of which there are few different ones.
#[derive(Clone, Debug)]
pub(super) struct Distinct<T> {
    items: Vec<T>,
    seen: HashTable<u32>,
    state: DefaultHashBuilder,
}

impl<T> Default for Distinct<T> {
    fn default() -> Self {
        Self { items: Vec::new(), seen: HashTable::new(), state: DefaultHashBuilder::default() }
    }
}

impl<T: Hash + Eq> Distinct<T> {
    /// The number of a thing; none if there is no room for more.
    pub(super) fn put(&mut self, item: T) -> Option<u32> {
        let hash = self.state.hash_one(&item);
        if let Some(number) = self.seen.find(hash, |number| self.items[*number as usize] == item) {
            return Some(*number);
        }
        let number = u32::try_from(self.items.len()).ok()?;
        self.items.push(item);
        let Self { items, seen, state } = self;
        seen.insert_unique(hash, number, |number| state.hash_one(&items[*number as usize]));
        Some(number)
    }
}

impl<T> Distinct<T> {
    /// The thing of a number, which [`Distinct::put`] gave out.
    pub(super) fn get(&self, number: u32) -> &T {
        &self.items[number as usize]
    }

    /// Gives back what only new things need.
    pub(super) fn close(&mut self) {
        self.items.shrink_to_fit();
        self.seen = HashTable::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_is_held_once() {
        let (mut words, mut lists, mut things) = (Words::default(), Lists::default(), Distinct::default());
        for round in 0..2 {
            for i in 0..1000_u32 {
                let text = format!("word {i}");
                let number = words.put(&text);
                assert_eq!(number, Some(i + 1), "in round {round}");
                assert_eq!(lists.put(&[i, i + 1]), number);
                assert_eq!(things.put((i, text)), Some(i));
            }
        }
        words.close();
        lists.close();
        assert_eq!(
            (words.get(0), words.get(1), words.get(1000), words.get(1001)),
            ("", "word 0", "word 999", "")
        );
        assert_eq!((lists.get(0), lists.get(1000), lists.get(1001)), (&[][..], &[999, 1000][..], &[][..]));
        assert_eq!(things.get(7), &(7, "word 7".to_owned()));
    }
}
