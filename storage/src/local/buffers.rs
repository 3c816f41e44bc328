//! The global pool of blocks that writers borrow beyond the small one that each owns.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use super::threads::locked;

/// Lends blocks, never more bytes at once than its bound, idle ones included.
pub(super) struct Buffers {
    state: Mutex<State>,
    bytes_max: usize,
}

#[derive(Default)]
struct State {
    lent_bytes: usize,
    idle_bytes: usize,
    idle: BTreeMap<usize, Vec<Vec<u8>>>,
}

/// A borrowed block; dropping it gives it back.
pub(super) struct Lent {
    bytes: Vec<u8>,
    size: usize,
    pool: Arc<Buffers>,
}

impl Buffers {
    pub(super) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), bytes_max })
    }

    /// An empty block of `size` bytes capacity; `None` when the pool has no room. Never waits.
    pub(super) fn lend(self: &Arc<Self>, size: usize) -> Option<Lent> {
        let mut state = locked(&self.state);
        if state.lent_bytes + size > self.bytes_max {
            return None;
        }
        state.lent_bytes += size;
        let bytes = if let Some(bytes) = state.idle.get_mut(&size).and_then(Vec::pop) {
            state.idle_bytes -= size;
            bytes
        } else {
            // Idle blocks of other sizes make room first.
            while state.lent_bytes + state.idle_bytes > self.bytes_max {
                let Some((&other, _)) = state.idle.iter().find(|(_, blocks)| !blocks.is_empty())
                else {
                    break;
                };
                state.idle.get_mut(&other).and_then(Vec::pop);
                state.idle_bytes -= other;
            }
            drop(state);
            Vec::with_capacity(size)
        };
        Some(Lent { bytes, size, pool: Arc::clone(self) })
    }

    /// Bytes that are lent at this moment.
    pub(super) fn lent_bytes(&self) -> usize {
        locked(&self.state).lent_bytes
    }
}

impl Lent {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let mut state = locked(&self.pool.state);
        state.lent_bytes -= self.size;
        if state.lent_bytes + state.idle_bytes + self.size <= self.pool.bytes_max {
            state.idle_bytes += self.size;
            state.idle.entry(self.size).or_default().push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_and_idle_blocks_of_other_sizes_make_room() {
        let pool = Buffers::new(100);
        let small: Vec<_> = (0..10).map(|_| pool.lend(10).unwrap()).collect();
        assert!(pool.lend(1).is_none());
        drop(small);
        assert_eq!(pool.lent_bytes(), 0);
        let large = pool.lend(100).unwrap();
        assert_eq!(locked(&pool.state).idle_bytes, 0);
        assert!(pool.lend(10).is_none());
        drop(large);
        assert_eq!(locked(&pool.state).idle_bytes, 100);
        assert!(pool.lend(60).is_some());
    }
}
