//! How large the next block of a writer is: by the rate at which its bytes have come.

use std::time::Duration;

use crate::limits::Limits;

/// A block is to fill in about this time: long enough to be worth a hand-over, short enough to be hashed while it is in cache.
const FILL: Duration = Duration::from_millis(10);
/// The shortest time over which a rate is taken. What a slow stream sends arrives in bursts, and a burst alone looks fast: judged
/// by single blocks, 64 slow streams took the whole pool.
const WINDOW: Duration = Duration::from_millis(20);

/// A chunk up to this size is one block, however fast it comes.
const WHOLE_MAX: usize = 64 << 10;

/// The size, and what is measured for the next one.
pub(super) struct BlockSize {
    bytes: usize,
    since: Duration,
    taken: usize,
}

impl BlockSize {
    /// Until a rate is known: the size that the upload's last block had, and a small chunk in one block.
    pub(super) fn new(now: Duration, last: usize, chunk: Option<u64>, limits: &Limits) -> Self {
        let whole = chunk.and_then(|bytes| usize::try_from(bytes).ok());
        let whole = whole.filter(|bytes| *bytes <= WHOLE_MAX).unwrap_or(0).next_power_of_two();
        let bytes = last.max(whole).clamp(limits.block_bytes_min, limits.block_bytes_max);
        Self { bytes, since: now, taken: 0 }
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The pool has no block of this size: the next one is half as large, never smaller than the smallest.
    pub(super) fn halve(&mut self, limits: &Limits) {
        self.bytes = limits.block_bytes_min.max(self.bytes / 2);
    }

    /// A block of this many bytes was handed over.
    pub(super) fn filled(&mut self, bytes: usize, now: Duration, limits: &Limits) {
        self.taken += bytes;
        let window = now.saturating_sub(self.since);
        if window < WINDOW {
            return;
        }
        let wanted = self.taken as u128 * FILL.as_nanos() / window.as_nanos();
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).min(limits.block_bytes_max);
        // What has piled up in a socket while the disk or a hash was slow comes at once, once: it doubles the size, no more.
        let most = (self.bytes * 2).min(limits.block_bytes_max);
        self.bytes = wanted.next_power_of_two().clamp(limits.block_bytes_min, most);
        (self.since, self.taken) = (now, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest and the last size after `secs` of `bursts_per_sec` bursts, the bytes of each at 1 GB/s.
    fn after(secs: u64, bursts_per_sec: u64, burst_bytes: u64) -> (usize, usize) {
        let limits = Limits::for_cores(2);
        let mut size = BlockSize::new(Duration::ZERO, 0, None, &limits);
        let (mut in_block, mut largest) = (0, 0);
        for burst in 0..secs * bursts_per_sec {
            let start = Duration::from_nanos(burst * (1_000_000_000 / bursts_per_sec));
            for byte in (0..burst_bytes).step_by(1024) {
                in_block += 1024;
                if in_block >= size.bytes() {
                    size.filled(in_block, start + Duration::from_nanos(byte), &limits);
                    (in_block, largest) = (0, largest.max(size.bytes()));
                }
            }
        }
        (largest, size.bytes())
    }

    #[test]
    fn bursts_of_a_slow_stream_do_not_look_fast() {
        // 2 MiB/s, ten times a second.
        assert_eq!(after(3, 10, 205 << 10), (32 << 10, 32 << 10));
    }

    #[test]
    fn a_chunk_begins_as_the_one_before_it_ended_and_a_small_one_is_one_block() {
        let limits = Limits::for_cores(2);
        let first = |last, chunk| BlockSize::new(Duration::ZERO, last, chunk, &limits).bytes();
        assert_eq!(first(0, None), limits.block_bytes_min);
        assert_eq!(first(256 << 10, Some(16 << 20)), 256 << 10);
        assert_eq!(first(1 << 30, None), limits.block_bytes_max);
        assert_eq!(first(0, Some(64 << 10)), 64 << 10);
        assert_eq!(first(0, Some((64 << 10) + 1)), limits.block_bytes_min);
        assert_eq!(first(0, Some(u64::MAX)), limits.block_bytes_min);
    }

    #[test]
    fn what_has_piled_up_doubles_the_size_once() {
        let limits = Limits::for_cores(2);
        let mut size = BlockSize::new(Duration::ZERO, 0, None, &limits);
        size.filled(8 << 20, WINDOW, &limits);
        assert_eq!(size.bytes(), 2 * limits.block_bytes_min);
        size.filled(8 << 20, 2 * WINDOW, &limits);
        assert_eq!(size.bytes(), 4 * limits.block_bytes_min);
        size.filled(1 << 10, 3 * WINDOW, &limits);
        assert_eq!(size.bytes(), limits.block_bytes_min);
    }

    #[test]
    fn a_fast_stream_gets_large_blocks_and_a_middling_one_blocks_between() {
        assert_eq!(after(1, 1000, 400 << 10).1, 1 << 20);
        assert_eq!(after(1, 1000, 16 << 10).1, 256 << 10);
    }
}
