//! Numbers of a store for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a store has done since its start, and what it holds at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// Bytes of the global block pool in use.
    pub buffer_bytes: u64,
    /// Jobs that wait for an I/O thread.
    pub queued_io_jobs: u64,
    /// Uploads whose files are open.
    pub open_uploads: u64,
    /// Bytes written to data files.
    pub written_bytes: u64,
    /// Bytes that went into the digests of uploads.
    pub hashed_bytes: u64,
    /// Of these, bytes that had to be read back.
    pub read_back_bytes: u64,
    /// Waits for stable storage.
    pub syncs: u64,
    /// Checkpoints written.
    pub checkpoints: u64,
}

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
