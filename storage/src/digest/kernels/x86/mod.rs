//! The kernels for x86-64.
#![expect(
    unsafe_code,
    reason = "calls kernels that were compiled for instructions which the CPU was found to have"
)]

mod constants;
mod fused;
mod lanes;
mod prepared;
mod rows;
mod scalar;
mod sha;
mod vector;

use super::{
    super::DigestChoice,
    Part, generic,
    kernel::{Kernel, Ready},
};

/// Hashes the first `blocks` blocks of as many parts as the kernel takes.
pub(super) fn run(kernel: Ready, digests: DigestChoice, parts: &mut [Part], blocks: usize) {
    let (md5, sha256) = (digests.md5, digests.sha256);
    // SAFETY: `Ready` says that the CPU has what the kernel needs, and 16 lanes need no less than 8; the kernels check the parts.
    unsafe {
        match kernel.kernel() {
            Kernel::Generic => generic(digests, parts, blocks),
            // What these gain with one stream is one digest between the instructions of the other.
            Kernel::Fused | Kernel::Pair | Kernel::Rows if !sha256 => {
                for part in parts {
                    scalar::md5(&mut part.words.md5, &part.blocks[..blocks]);
                }
            }
            Kernel::Fused | Kernel::Pair if !md5 => sha::sha256(parts, blocks),
            Kernel::Fused => fused::fused(parts, blocks),
            Kernel::Pair => fused::pair(parts, blocks),
            Kernel::Bmi2 => scalar::bmi2(digests, parts, blocks),
            Kernel::Rows if md5 => rows::rows::<true>(parts, blocks),
            Kernel::Rows => rows::rows::<false>(parts, blocks),
            // Two passes are as fast here: sixteen registers are too few for both at once.
            Kernel::Lanes8Avx2 => {
                if md5 {
                    lanes::avx2_8::<true, false>(parts, blocks);
                }
                if sha256 {
                    lanes::avx2_8::<false, true>(parts, blocks);
                }
            }
            Kernel::Lanes8Sha => {
                if md5 {
                    lanes::avx2_8::<true, false>(parts, blocks);
                }
                if sha256 {
                    sha::sha256(parts, blocks);
                }
            }
            Kernel::Lanes16Avx512 if md5 && sha256 => lanes::avx512_16::<true, true>(parts, blocks),
            Kernel::Lanes8Avx512 | Kernel::Lanes16Avx512 => {
                for parts in parts.chunks_mut(8) {
                    match (md5, sha256) {
                        (true, true) => lanes::avx512_8::<true, true>(parts, blocks),
                        (true, false) => lanes::avx512_8::<true, false>(parts, blocks),
                        (false, true) => lanes::avx512_8::<false, true>(parts, blocks),
                        (false, false) => {}
                    }
                }
            }
        }
    }
}
