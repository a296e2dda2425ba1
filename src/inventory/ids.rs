//! Finds rows, texts and other numbered things by what identifies them.

use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};

/// A hash table of numbers. The keys stay where the numbered things are.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    state: DefaultHashBuilder,
    numbers: HashTable<u32>,
}

impl Index {
    /// The number of the thing with this key.
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
}
