//! The global pool of blocks that writers borrow beyond the small one that each owns.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use super::{pages::PageBuffer, threads::locked};

/// Lends blocks, never more bytes at once than its bound, idle ones included.
pub(super) struct Buffers {
    state: Mutex<State>,
    bytes_max: usize,
}

#[derive(Default)]
struct State {
    lent_bytes: usize,
    idle_bytes: usize,
    idle: BTreeMap<usize, Vec<PageBuffer>>,
}

/// A borrowed block; dropping it gives it back.
pub(super) struct Lent {
    /// There until it is given back.
    buffer: Option<PageBuffer>,
    pool: Arc<Buffers>,
}

impl Buffers {
    pub(super) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), bytes_max })
    }

    /// A block with room for `size` bytes, wherever they begin; `None` when the pool has no room. Never waits.
    pub(super) fn lend(self: &Arc<Self>, size: usize) -> Option<Lent> {
        let mut state = locked(&self.state);
        if state.lent_bytes + size > self.bytes_max {
            return None;
        }
        state.lent_bytes += size;
        let buffer = if let Some(buffer) = state.idle.get_mut(&size).and_then(Vec::pop) {
            state.idle_bytes -= size;
            buffer
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
            PageBuffer::with_room(size)
        };
        Some(Lent { buffer: Some(buffer), pool: Arc::clone(self) })
    }

    /// Bytes that are lent at this moment.
    pub(super) fn lent_bytes(&self) -> usize {
        locked(&self.state).lent_bytes
    }
}

impl Lent {
    pub(super) fn buffer(&self) -> &PageBuffer {
        self.buffer.as_ref().expect("a block is lent until it is dropped")
    }

    pub(super) fn buffer_mut(&mut self) -> &mut PageBuffer {
        self.buffer.as_mut().expect("a block is lent until it is dropped")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(buffer) = self.buffer.take() else {
            return;
        };
        let size = buffer.room();
        let mut state = locked(&self.pool.state);
        state.lent_bytes -= size;
        if state.lent_bytes + state.idle_bytes + size <= self.pool.bytes_max {
            state.idle_bytes += size;
            state.idle.entry(size).or_default().push(buffer);
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
