//! How fast the chosen kernels are on this machine.

use std::time::{Duration, Instant};

use super::{super::DigestChoice, Block, Engine, Kernel, Part, Words};

/// What one thread hashed, measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speed {
    /// Streams side by side.
    pub streams: usize,
    /// The kernel that ran.
    pub kernel: Kernel,
    /// Bytes of all streams together.
    pub mb_per_sec: u64,
}

/// Blocks of each stream in one measured batch.
const BLOCKS: usize = 256;

impl Engine {
    /// Hashes for `each` with one, eight and sixteen streams and answers how fast it was. It occupies the thread meanwhile; somebody else
    /// on the same core makes the figures smaller.
    pub fn measure(self, digests: DigestChoice, each: Duration) -> [Speed; 3] {
        let blocks: Vec<Block> =
            (0..BLOCKS).map(|at| [at.to_le_bytes()[0].wrapping_mul(37); 64]).collect();
        [1, 8, 16].map(|streams| {
            let mut words = [Words::START; 16];
            let (begun, mut bytes) = (Instant::now(), 0);
            // Once at least, however long it takes.
            loop {
                let mut parts: Vec<_> = words[..streams]
                    .iter_mut()
                    .map(|words| Part { words, blocks: &blocks })
                    .collect();
                self.hash(digests, &mut parts);
                bytes += streams * BLOCKS * size_of::<Block>();
                let micros = begun.elapsed().as_micros();
                if micros >= each.as_micros() {
                    let mb_per_sec =
                        u64::try_from(bytes as u128 / micros.max(1)).unwrap_or(u64::MAX);
                    let kernel = self.kernel(digests, streams).kernel();
                    return Speed { streams, kernel, mb_per_sec };
                }
            }
        })
    }
}
