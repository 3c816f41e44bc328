//! What does not hang on the chain, eight blocks at once: the message schedule of SHA-256 with its constants, and the words
//! of MD5 in the order of its steps with theirs.
#![expect(unsafe_code, reason = "intrinsics; the callers check the CPU")]
#![expect(clippy::inline_always, reason = "what a kernel calls is compiled for its instructions")]

use super::{
    super::Block,
    constants::{MD5_K, SHA256_K, md5_word},
    lanes::{Inputs, scheduled, unrolled},
    vector::Vector,
};

/// Blocks of one preparation.
pub(super) const PREPARED_BLOCKS: usize = 8;

/// Row t belongs to step t, column n to block n.
#[repr(C, align(64))]
pub(super) struct Prepared {
    /// What is read of the first row may begin before it.
    before: [u32; 16],
    pub(super) sha256: [[u32; PREPARED_BLOCKS]; 64],
    pub(super) md5: [[u32; PREPARED_BLOCKS]; 64],
}

impl Prepared {
    pub(super) const fn new() -> Self {
        let rows = [[0; PREPARED_BLOCKS]; 64];
        Self { before: [0; 16], sha256: rows, md5: rows }
    }

    /// The first word of `sha256`; at least 8 bytes before it may be read.
    #[inline]
    pub(super) fn schedule(&self) -> *const u32 {
        core::ptr::from_ref(self).cast::<u32>().wrapping_add(self.before.len())
    }

    /// # Safety
    /// The CPU has the instructions of `V`, which has eight lanes.
    #[inline(always)]
    pub(super) unsafe fn fill<V: Vector, const MD5: bool>(
        &mut self,
        blocks: [&Block; PREPARED_BLOCKS],
    ) {
        let mut inputs: Inputs = [core::ptr::from_ref(blocks[0]); 16];
        for (input, block) in inputs.iter_mut().zip(blocks) {
            *input = block;
        }
        // SAFETY: the caller vouches for the instructions; every input is a block, and a row has as many words as a vector.
        unsafe {
            let message = V::transpose(&inputs);
            let mut ring = message;
            macro_rules! step {
                ($t:literal) => {
                    if $t < 16 {
                        ring[$t % 16] = message[$t % 16].swap_bytes();
                    }
                    let word = scheduled(&mut ring, $t);
                    let word = word.add(V::splat(const { SHA256_K[$t] }));
                    word.store(self.sha256[$t].as_mut_ptr());
                    if MD5 {
                        let word = message[const { md5_word($t) }];
                        let word = word.add(V::splat(const { MD5_K[$t] }));
                        word.store(self.md5[$t].as_mut_ptr());
                    }
                };
            }
            unrolled!(step);
        }
    }
}
