//! How large the next block of a writer is: by the rate at which its bytes have come.

use std::time::Duration;

use crate::limits::Limits;

/// A block is to fill in about this time: long enough to be worth a hand-over, short enough to be hashed while it is in cache.
const FILL: Duration = Duration::from_millis(10);
/// The shortest time over which a rate is taken. What a slow stream sends arrives in bursts, and a burst alone looks fast: judged
/// by single blocks, 64 slow streams took the whole pool.
const WINDOW: Duration = Duration::from_millis(20);

/// The size, and what is measured for the next one.
pub(super) struct BlockSize {
    bytes: usize,
    since: Duration,
    taken: usize,
}

impl BlockSize {
    /// The smallest until a rate is known.
    pub(super) const fn new(now: Duration, limits: &Limits) -> Self {
        Self { bytes: limits.block_bytes_min, since: now, taken: 0 }
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The pool has no block of this size: the next one is half as large, never smaller than the smallest.
    pub(super) fn halve(&mut self, limits: &Limits) {
        self.bytes = limits.block_bytes_min.max(self.bytes / 2);
    }

    /// A block of this many bytes was filled.
    pub(super) fn filled(&mut self, bytes: usize, now: Duration, limits: &Limits) {
        self.taken += bytes;
        let window = now.saturating_sub(self.since);
        if window < WINDOW {
            return;
        }
        let wanted = self.taken as u128 * FILL.as_nanos() / window.as_nanos();
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).min(limits.block_bytes_max);
        self.bytes =
            wanted.next_power_of_two().clamp(limits.block_bytes_min, limits.block_bytes_max);
        (self.since, self.taken) = (now, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest and the last size after `secs` of `bursts_per_sec` bursts, the bytes of each at 1 GB/s.
    fn after(secs: u64, bursts_per_sec: u64, burst_bytes: u64) -> (usize, usize) {
        let limits = Limits::for_cores(2);
        let mut size = BlockSize::new(Duration::ZERO, &limits);
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
        assert_eq!(after(3, 10, 205 << 10), (64 << 10, 64 << 10));
    }

    #[test]
    fn a_fast_stream_gets_large_blocks_and_a_middling_one_blocks_between() {
        assert_eq!(after(1, 1000, 400 << 10).1, 1 << 20);
        assert_eq!(after(1, 1000, 16 << 10).1, 256 << 10);
    }
}
