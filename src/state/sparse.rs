//! A map from indexes to values, for the few accounts about which something is known that most know
//! nothing of. Cheap to clone: clones share what does not change.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Number of indexes that share a part: a write after a clone copies one part and the list of parts.
const PART: usize = 1024;

type Part<T> = Arc<BTreeMap<usize, Arc<T>>>;

/// A sparse vector, copied on write.
#[derive(Clone, Debug)]
pub struct Sparse<T>(Arc<BTreeMap<usize, Part<T>>>);

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Sparse<T> {
    pub fn get(&self, index: usize) -> Option<&T> {
        self.0.get(&(index / PART))?.get(&index).map(|value| &**value)
    }

    /// The indexes that have a value, in their order, and the values.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.0.values().flat_map(|part| part.iter()).map(|(index, value)| (*index, &**value))
    }
}

impl<T: Clone + Default> Sparse<T> {
    /// The value of an index, which is the default if it has none yet. Clones made before keep the old one.
    pub fn entry(&mut self, index: usize) -> &mut T {
        let part = Arc::make_mut(&mut self.0).entry(index / PART).or_default();
        Arc::make_mut(Arc::make_mut(part).entry(index).or_default())
    }
}

impl<T> FromIterator<(usize, T)> for Sparse<T> {
    fn from_iter<I: IntoIterator<Item = (usize, T)>>(values: I) -> Self {
        let mut parts: BTreeMap<usize, BTreeMap<usize, Arc<T>>> = BTreeMap::new();
        for (index, value) in values {
            parts.entry(index / PART).or_default().insert(index, Arc::new(value));
        }
        Self(Arc::new(parts.into_iter().map(|(number, part)| (number, Arc::new(part))).collect()))
    }
}
