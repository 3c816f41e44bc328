//! Every bound of the store, as parameters.

use std::time::Duration;

use crate::digest::Engine;

/// Whether an acknowledgement waits for stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// What is acknowledged survives a power cut. The default.
    PowerLoss,
    /// What is acknowledged survives the end of the process, not of the machine: no sync is waited for.
    ProcessCrash,
}

/// Bounds and waits of a store.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests that may write one upload at once.
    pub writers_max: u32,
    /// Separate ranges that one upload may have.
    pub extents_max: usize,
    /// Bytes of a chunk that carries a checksum.
    pub checked_chunk_bytes_max: u64,
    /// A holder that has received nothing for this long is ended when another request wants its range.
    pub claim_silent: Duration,
    /// How long a request waits for a range that a live request holds.
    pub claim_wait: Duration,
    /// At `writers_max` a writer that has received nothing for this long makes room.
    pub writer_evict_silent: Duration,
    /// Larger blocks of all writers together; every writer has one small block besides.
    pub buffers_bytes_max: usize,
    /// The small block that every writer owns.
    pub block_bytes_min: usize,
    /// The largest block.
    pub block_bytes_max: usize,
    /// Written bytes after which write-back of the data is started in the background.
    pub writeback_bytes: u64,
    /// Hashed bytes after which a checkpoint is written although nobody waits for one.
    pub checkpoint_bytes: u64,
    /// Threads that read, write and sync.
    pub io_threads: usize,
    /// Threads that hash.
    pub hash_threads: usize,
    /// What they hash with.
    pub digest_engine: Engine,
}

impl Limits {
    /// The values of the design for a machine with this many cores.
    pub const fn for_cores(cores: usize) -> Self {
        Self {
            writers_max: 8,
            extents_max: 4096,
            checked_chunk_bytes_max: 256 << 20,
            claim_silent: Duration::from_millis(500),
            claim_wait: Duration::from_secs(10),
            writer_evict_silent: Duration::from_secs(2),
            buffers_bytes_max: 48 << 20,
            block_bytes_min: 64 << 10,
            block_bytes_max: 1 << 20,
            writeback_bytes: 16 << 20,
            checkpoint_bytes: 64 << 20,
            io_threads: 2 * cores,
            hash_threads: cores,
            digest_engine: Engine::AUTO,
        }
    }
}
