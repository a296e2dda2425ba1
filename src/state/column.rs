//! A vector that many readers can hold as it was while a writer goes on: copy on write, in small
//! chunks.
//!
//! Taking a copy costs one reference; after it, a write copies the chunk it changes and, once, the
//! list of chunks. So a scrape sees one moment of a million states, and costs memory only for what
//! changes meanwhile.

use std::sync::Arc;

/// Elements a chunk. Small enough that copying one is cheap, large enough that the list of chunks
/// is short.
const CHUNK: usize = 64;

/// Elements in chunks. Cloning it is cheap, whatever its length.
#[derive(Clone, Debug, Default)]
pub struct Column<T> {
    chunks: Arc<Vec<Arc<Vec<T>>>>,
    len: usize,
}

impl<T: Clone> Column<T> {
    /// The element at an index.
    pub fn get(&self, index: usize) -> Option<&T> {
        self.chunks.get(index / CHUNK).and_then(|chunk| chunk.get(index % CHUNK))
    }

    /// The element at an index, to be changed; holders of copies keep the old one.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        if index >= self.len {
            return None;
        }
        let chunk = Arc::make_mut(&mut self.chunks).get_mut(index / CHUNK)?;
        Arc::make_mut(chunk).get_mut(index % CHUNK)
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All elements in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }
}

impl<T> FromIterator<T> for Column<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        let mut chunks: Vec<Arc<Vec<T>>> = Vec::new();
        let mut len = 0;
        let mut chunk = Vec::with_capacity(CHUNK);
        for element in elements {
            chunk.push(element);
            len += 1;
            if chunk.len() == CHUNK {
                chunks.push(Arc::new(std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK))));
            }
        }
        if !chunk.is_empty() {
            chunk.shrink_to_fit();
            chunks.push(Arc::new(chunk));
        }
        Self { chunks: Arc::new(chunks), len }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_its_moment() {
        let mut column: Column<usize> = (0..1000).collect();
        let before = column.clone();
        for index in [0, 63, 64, 999] {
            if let Some(element) = column.get_mut(index) {
                *element += 5000;
            }
        }
        assert_eq!(before.iter().copied().collect::<Vec<_>>(), (0..1000).collect::<Vec<_>>());
        assert_eq!(column.get(64), Some(&5064));
        assert_eq!(column.get(65), Some(&65));
        assert_eq!(column.get(1000), None);
        assert!(column.get_mut(1000).is_none());
        assert_eq!(column.len(), 1000);
    }
}
