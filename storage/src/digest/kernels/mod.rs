//! Kernels that hash whole blocks: of one stream, of two, or of many side by side.
//!
//! **Guarantees.** Whatever kernel runs, the words are those that `md-5` and `sha2` would have computed: a state may be
//! begun by one kernel, continued by another and finished by those crates, on another CPU. A kernel runs only where the CPU was
//! found to have its instructions. Only the kernels in `x86/` hold `unsafe`.
//!
//! Why there are several: MD5 and SHA-256 are chains, every step waits for the one before. One stream cannot go faster than its
//! chain, but a CPU has room for many chains at once.

mod batch;
mod kernel;
mod speed;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use super::DigestChoice;
pub use batch::Engine;
pub use kernel::{Kernel, KernelChoice, MissingFeatures};
pub use speed::Speed;

/// What both digests take at a time.
pub(super) type Block = [u8; 64];

/// The chaining words of both digests between two blocks. Those of a digest that was not chosen mean nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Words {
    /// MD5.
    pub(super) md5: [u32; 4],
    /// SHA-256.
    pub(super) sha256: [u32; 8],
}

impl Words {
    /// Of nothing yet.
    pub(super) const START: Self = Self {
        md5: [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476],
        sha256: [
            0x6a09_e667,
            0xbb67_ae85,
            0x3c6e_f372,
            0xa54f_f53a,
            0x510e_527f,
            0x9b05_688c,
            0x1f83_d9ab,
            0x5be0_cd19,
        ],
    };
}

/// One stream's part in a batch: its words, and the blocks that continue them.
pub(super) struct Part<'a> {
    pub(super) words: &'a mut Words,
    pub(super) blocks: &'a [Block],
}

/// Blocks of one piece when a kernel computes one digest after the other: the second finds them in the first-level cache.
const PIECE_BLOCKS: usize = 128;

/// The crates `md-5` and `sha2`, which use what instructions for SHA-256 they find.
pub(super) fn generic(digests: DigestChoice, parts: &mut [Part], blocks: usize) {
    for part in parts {
        for piece in part.blocks[..blocks].chunks(PIECE_BLOCKS) {
            if digests.md5 {
                md5::block_api::compress(&mut part.words.md5, piece);
            }
            if digests.sha256 {
                sha2::block_api::compress256(&mut part.words.sha256, piece);
            }
        }
    }
}
