//! One stream in the general registers.
#![expect(unsafe_code, reason = "an empty piece of assembly, and a kernel for BMI2")]
#![expect(clippy::inline_always, reason = "a call would be the larger part of the work")]

use super::{
    super::{super::DigestChoice, Block, PIECE_BLOCKS, Part},
    constants::{MD5_K, MD5_SHIFT, md5_word},
    lanes::unrolled,
    prepared::{PREPARED_BLOCKS, Prepared},
    vector::Avx2,
};

/// Makes the compiler compute this value now. Left to itself it turns the sums around, and what the steps wait for
/// gets longer: measured, a fifth of the speed of MD5.
#[inline(always)]
pub(super) fn settled(mut value: u32) -> u32 {
    // SAFETY: nothing is executed; the value stays what it is.
    unsafe {
        core::arch::asm!("/* {0:e} */", inout(reg) value, options(pure, nomem, nostack, preserves_flags));
    }
    value
}

/// One step of MD5; `sum` is its first word, the word of the message and the constant together.
#[inline(always)]
pub(super) fn md5_step<const STEP: usize>(sum: u32, [b, c, d]: [u32; 3]) -> u32 {
    let sum = settled(sum);
    let mixed = match STEP / 16 {
        0 => sum.wrapping_add(((c ^ d) & b) ^ d),
        // The halves have no bit in common, so that the one that is known earlier can be added earlier.
        1 => settled(sum.wrapping_add(!d & c)).wrapping_add(d & b),
        2 => sum.wrapping_add((c ^ d) ^ b),
        _ => sum.wrapping_add(c ^ (b | !d)),
    };
    let shift = const { MD5_SHIFT[STEP / 16][STEP % 4].cast_unsigned() };
    mixed.rotate_left(shift).wrapping_add(b)
}

/// MD5 of whole blocks, on any x86-64.
pub(super) fn md5(words: &mut [u32; 4], blocks: &[Block]) {
    for block in blocks {
        let (message, _) = block.as_chunks::<4>();
        let mut m = *words;
        macro_rules! step {
            ($t:literal) => {
                let [a, b, c, d] =
                    [m[(64 - $t) % 4], m[(65 - $t) % 4], m[(66 - $t) % 4], m[(67 - $t) % 4]];
                let word = u32::from_le_bytes(message[const { md5_word($t) }]);
                let sum = a.wrapping_add(word).wrapping_add(const { MD5_K[$t] });
                m[(64 - $t) % 4] = md5_step::<$t>(sum, [b, c, d]);
            };
        }
        unrolled!(step);
        for (word, added) in words.iter_mut().zip(m) {
            *word = word.wrapping_add(added);
        }
    }
}

/// SHA-256 of whole blocks: the schedule of eight blocks at once, the rounds in general registers.
#[target_feature(enable = "avx2,bmi1,bmi2")]
fn sha256_bmi2(words: &mut [u32; 8], blocks: &[Block]) {
    let mut prepared = Prepared::new();
    for group in blocks.chunks(PREPARED_BLOCKS) {
        let inputs = core::array::from_fn(|at| &group[at.min(group.len() - 1)]);
        // SAFETY: AVX2 is enabled here.
        unsafe { prepared.fill::<Avx2, false>(inputs) };
        for column in 0..group.len() {
            let mut s = *words;
            macro_rules! step {
                ($t:literal) => {
                    let [a, b, c, d] =
                        [s[(64 - $t) % 8], s[(65 - $t) % 8], s[(66 - $t) % 8], s[(67 - $t) % 8]];
                    let [e, f, g, h] =
                        [s[(68 - $t) % 8], s[(69 - $t) % 8], s[(70 - $t) % 8], s[(71 - $t) % 8]];
                    let sigma1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
                    let sigma0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
                    // `b ^ c` is the `a ^ b` of the step before.
                    let majority = ((a ^ b) & (b ^ c)) ^ b;
                    let t1 = h
                        .wrapping_add(prepared.sha256[$t][column])
                        .wrapping_add(e & f)
                        .wrapping_add(!e & g)
                        .wrapping_add(sigma1);
                    s[(64 - $t + 3) % 8] = d.wrapping_add(t1);
                    s[(64 - $t + 7) % 8] = t1.wrapping_add(sigma0).wrapping_add(majority);
                };
            }
            unrolled!(step);
            for (word, added) in words.iter_mut().zip(s) {
                *word = word.wrapping_add(added);
            }
        }
    }
}

/// # Safety
/// The CPU has AVX2, BMI1 and BMI2.
pub(super) unsafe fn bmi2(digests: DigestChoice, parts: &mut [Part], blocks: usize) {
    for part in parts {
        for piece in part.blocks[..blocks].chunks(PIECE_BLOCKS) {
            if digests.md5 {
                md5(&mut part.words.md5, piece);
            }
            if digests.sha256 {
                // SAFETY: the caller vouches for the features.
                unsafe { sha256_bmi2(&mut part.words.sha256, piece) };
            }
        }
    }
}
