//! SHA-256 alone with the SHA instructions, two streams taking turns: one alone waits for its chain a third of the time.
#![expect(
    unsafe_code,
    reason = "intrinsics over a table; a kernel that is compiled for its instructions"
)]
#![expect(clippy::cast_ptr_alignment, reason = "the table is aligned to 64 bytes")]
#![cfg_attr(not(test), expect(clippy::wildcard_imports, reason = "intrinsics"))]

use core::arch::x86_64::*;

use super::{
    super::{Block, Part},
    fused::{K, Running, load, message, store},
};

/// Calls a macro once for each of the 16 groups of four rounds, with the number as a literal.
macro_rules! groups {
    ($group:ident) => {
        groups!($group: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    };
    ($group:ident: $($number:literal)*) => { $($group!($number);)* };
}

/// One block of every stream.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1,bmi1")]
fn block<const STREAMS: usize>(running: &mut [Running; STREAMS], at: [&Block; STREAMS]) {
    let mut words = at.map(|block| message(block));
    let mut states: [_; STREAMS] = core::array::from_fn(|n| (running[n].abef, running[n].cdgh));
    macro_rules! group {
        ($g:literal) => {
            // SAFETY: the table has 16 times 16 bytes and is aligned to more than that.
            let constants = unsafe { _mm_load_si128(K.0.as_ptr().cast::<__m128i>().add($g)) };
            for ((abef, cdgh), m) in states.iter_mut().zip(&mut words) {
                let sum = _mm_add_epi32(m[$g % 4], constants);
                *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, sum);
                *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32::<0x0e>(sum));
                // Four words of the schedule, for the next group.
                if $g >= 3 && $g < 15 {
                    let oldest = _mm_sha256msg1_epu32(m[($g + 1) % 4], m[($g + 2) % 4]);
                    let between = _mm_alignr_epi8::<4>(m[$g % 4], m[($g + 3) % 4]);
                    m[($g + 1) % 4] =
                        _mm_sha256msg2_epu32(_mm_add_epi32(oldest, between), m[$g % 4]);
                }
            }
        };
    }
    groups!(group);
    for (running, (abef, cdgh)) in running.iter_mut().zip(states) {
        running.abef = _mm_add_epi32(running.abef, abef);
        running.cdgh = _mm_add_epi32(running.cdgh, cdgh);
    }
}

/// SHA-256 of every part, two at a time. MD5 stays what it is.
///
/// # Safety
/// The CPU has SHA, SSSE3, SSE4.1 and BMI1.
#[target_feature(enable = "sha,ssse3,sse4.1,bmi1")]
pub(super) unsafe fn sha256(parts: &mut [Part], blocks: usize) {
    let (pairs, last) = parts.as_chunks_mut::<2>();
    for [first, second] in pairs {
        let mut running = [load(first.words), load(second.words)];
        for (one, other) in first.blocks[..blocks].iter().zip(&second.blocks[..blocks]) {
            block(&mut running, [one, other]);
        }
        store(&running[0], first.words);
        store(&running[1], second.words);
    }
    for part in last {
        let mut running = [load(part.words)];
        for at in &part.blocks[..blocks] {
            block(&mut running, [at]);
        }
        store(&running[0], part.words);
    }
}
