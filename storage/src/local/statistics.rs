//! Numbers of a store for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) written_bytes: AtomicU64,
    pub(super) hashed_bytes: AtomicU64,
    pub(super) read_back_bytes: AtomicU64,
    pub(super) syncs: AtomicU64,
    pub(super) checkpoints: AtomicU64,
}

pub(super) fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

pub(super) fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
