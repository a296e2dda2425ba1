//! A vector that is cheap to clone: copy on write, in small chunks.
//!
//! A clone costs one reference. A write after it copies the chunk that changes and, the first time,
//! the list of chunks. So a scrape sees a million states at one moment, and costs memory only for
//! what changes meanwhile.

use std::sync::Arc;

/// Elements in a chunk: few enough to copy cheaply, enough to keep the list of chunks short.
const CHUNK: usize = 64;

/// A vector in chunks that clones share.
#[derive(Clone, Debug, Default)]
pub struct Column<T> {
    chunks: Arc<Vec<Arc<Vec<T>>>>,
    len: usize,
}

impl<T: Clone> Column<T> {
    pub fn get(&self, index: usize) -> Option<&T> {
        self.chunks.get(index / CHUNK).and_then(|chunk| chunk.get(index % CHUNK))
    }

    /// Clones made before keep the old element.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        if index >= self.len {
            return None;
        }
        let chunk = Arc::make_mut(&mut self.chunks).get_mut(index / CHUNK)?;
        Arc::make_mut(chunk).get_mut(index % CHUNK)
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

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
