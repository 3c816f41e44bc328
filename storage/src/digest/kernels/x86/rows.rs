//! One or two streams on a CPU with AVX-512VL and without SHA instructions.
//!
//! The rounds of SHA-256 in 13 instructions each, where general registers need 24: the word A of one round and the word E of
//! the next come from the same operations, on two halves of a register, with A one round late so that neither waits
//! for the other. Row t is `[a(t), e(t + 1)]`, with
//!
//! ```text
//! a(t)     = e(t) - a(t - 4)                 + maj(a(t - 1), a(t - 2), a(t - 3)) + S0(a(t - 1))
//! e(t + 1) = a(t - 3) + e(t - 3) + k(t) + w(t) + ch(e(t), e(t - 1), e(t - 2))      + S1(e(t))
//! ```
//!
//! so that row t follows from the four rows before it. Two streams fit side by side: `[a, a', e, e']`.
#![expect(
    unsafe_code,
    reason = "assembly: the compiler turns masked operations into longer chains"
)]
#![cfg_attr(not(test), expect(clippy::wildcard_imports, reason = "intrinsics"))]

use core::arch::{asm, x86_64::*};

use super::{
    super::Part,
    constants::MD5_SHIFT,
    lanes::unrolled,
    prepared::{PREPARED_BLOCKS, Prepared},
    scalar,
    vector::Ymm,
};

/// The lanes of A, and those of E.
const A_LANES: u8 = 0b0011;
const E_LANES: u8 = 0b1100;

/// By how much the lanes are rotated for S0 and S1.
type Distances = [__m128i; 3];

/// The row that follows four others, `rows[0]` being the newest.
///
/// # Safety
/// The CPU has the features; `schedule` points at the word of this round for the first stream, the one for the second stream
/// follows, and for two streams the eight bytes before may be read.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,bmi1,bmi2")]
unsafe fn next_row<const STREAMS: usize>(
    rows: [__m128i; 4],
    schedule: *const u32,
    distances: Distances,
) -> __m128i {
    let mut row = rows[3];
    macro_rules! round {
        ($first:literal) => {
            // SAFETY: reads 4 bytes at `schedule`, or 16 bytes from 8 before it, as the caller allows; writes registers only.
            unsafe {
                asm!(
                    // [-a(t - 4), e(t - 3) + word]
                    $first,
                    "vpsubd {sum}{{{a_lanes}}}, {sum}, {row}",
                    // + [e(t), a(t - 3)]
                    "vpalignr {x}, {r3}, {r1}, 8",
                    "vmovdqa64 {y}, {r1}",
                    "vpternlogd {y}{{{e_lanes}}}, {r2}, {r3}, 0xca",
                    "vpaddd {sum}, {sum}, {x}",
                    "vpternlogd {y}{{{a_lanes}}}, {r2}, {r3}, 0xe8",
                    "vprorvd {x}, {r1}, {d0}",
                    "vprorvd {z}, {r1}, {d1}",
                    "vpaddd {sum}, {sum}, {y}",
                    "vprorvd {y}, {r1}, {d2}",
                    "vpternlogd {x}, {y}, {z}, 0x96",
                    "vpaddd {row}, {sum}, {x}",
                    row = inout(xmm_reg) row,
                    r1 = in(xmm_reg) rows[0],
                    r2 = in(xmm_reg) rows[1],
                    r3 = in(xmm_reg) rows[2],
                    d0 = in(xmm_reg) distances[0],
                    d1 = in(xmm_reg) distances[1],
                    d2 = in(xmm_reg) distances[2],
                    word = in(reg) schedule,
                    a_lanes = in(kreg) A_LANES,
                    e_lanes = in(kreg) E_LANES,
                    sum = out(xmm_reg) _,
                    x = out(xmm_reg) _,
                    y = out(xmm_reg) _,
                    z = out(xmm_reg) _,
                    options(pure, readonly, nostack, preserves_flags),
                );
            }
        };
    }
    if STREAMS == 1 {
        round!("vpaddd {sum}{{{e_lanes}}}{{z}}, {row}, dword ptr [{word}]{{1to4}}");
    } else {
        round!("vpaddd {sum}{{{e_lanes}}}{{z}}, {row}, xmmword ptr [{word} - 8]");
    }
    row
}

/// One step of MD5 for two streams.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,bmi1,bmi2")]
fn md5_step<const STEP: usize, const SHIFT: i32>(sum: __m128i, [b, c, d]: [__m128i; 3]) -> __m128i {
    let mixed = match STEP / 16 {
        0 => _mm_ternarylogic_epi32::<0xca>(b, c, d),
        1 => _mm_ternarylogic_epi32::<0xca>(d, b, c),
        2 => _mm_ternarylogic_epi32::<0x96>(b, c, d),
        _ => _mm_ternarylogic_epi32::<0x39>(b, c, d),
    };
    let sum = _mm_add_epi32(sum, mixed);
    let rotated = _mm_rol_epi32::<SHIFT>(sum);
    _mm_add_epi32(rotated, b)
}

/// Chaining words between blocks.
struct State {
    /// `[b, e]`, `[c, f]`, `[d, g]`, `[a, h]`: the newest row first, as the rounds leave them.
    rows: [__m128i; 4],
    /// MD5 of one stream.
    scalar: [u32; 4],
    /// MD5 of two streams.
    vector: [__m128i; 4],
}

/// One block of every stream: column `at` and, for two streams, the next.
///
/// # Safety
/// The CPU has the features.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,bmi1,bmi2")]
unsafe fn block<const STREAMS: usize, const MD5: bool>(
    state: &mut State,
    prepared: &Prepared,
    at: usize,
) {
    let distances =
        [_mm_set_epi32(6, 6, 2, 2), _mm_set_epi32(11, 11, 13, 13), _mm_set_epi32(25, 25, 22, 22)];
    let schedule = prepared.schedule();
    // Row t is at t % 4, so that the one before the first is at 3.
    let [r1, r2, r3, r4] = state.rows;
    let mut rows = [r4, r3, r2, r1];
    let (mut scalar, mut vector) = (state.scalar, state.vector);
    macro_rules! step {
        ($t:literal) => {
            let before =
                [rows[($t + 3) % 4], rows[($t + 2) % 4], rows[($t + 1) % 4], rows[$t % 4]];
            let word = schedule.wrapping_add($t * PREPARED_BLOCKS + at);
            // SAFETY: the word is in the table, and the table has room around it; the caller vouches for the features.
            let row = unsafe { next_row::<STREAMS>(before, word, distances) };
            // The A of the first row is known, and has no four before it.
            let row = if $t == 0 { _mm_mask_mov_epi32(row, A_LANES, r4) } else { row };
            rows[$t % 4] = row;
            if MD5 && STREAMS == 1 {
                let [a, b, c, d] = [
                    scalar[(64 - $t) % 4],
                    scalar[(65 - $t) % 4],
                    scalar[(66 - $t) % 4],
                    scalar[(67 - $t) % 4],
                ];
                let sum = a.wrapping_add(prepared.md5[$t][at]);
                scalar[(64 - $t) % 4] = scalar::md5_step::<$t>(sum, [b, c, d]);
            }
            if MD5 && STREAMS == 2 {
                let [a, b, c, d] = [
                    vector[(64 - $t) % 4],
                    vector[(65 - $t) % 4],
                    vector[(66 - $t) % 4],
                    vector[(67 - $t) % 4],
                ];
                let words = &prepared.md5[$t];
                let pair = u64::from(words[at]) | u64::from(words[(at + 1) % 8]) << 32;
                let sum = _mm_add_epi32(a, _mm_set1_epi64x(pair.cast_signed()));
                vector[(64 - $t) % 4] = md5_step::<$t, { MD5_SHIFT[$t / 16][$t % 4] }>(sum, [b, c, d]);
            }
        };
    }
    unrolled!(step);
    // A is one row late: one more for it, whose E is nonsense and left out.
    let before = core::array::from_fn(|back| rows[3 - back]);
    // SAFETY: any word of the table will do; the caller vouches for the features.
    let extra = unsafe { next_row::<STREAMS>(before, schedule.wrapping_add(at), distances) };
    let last = _mm_mask_mov_epi32(rows[0], A_LANES, extra);
    for (row, added) in state.rows.iter_mut().zip([rows[3], rows[2], rows[1], last]) {
        *row = _mm_add_epi32(*row, added);
    }
    if MD5 {
        for (word, added) in state.scalar.iter_mut().zip(scalar) {
            *word = word.wrapping_add(added);
        }
        for (word, added) in state.vector.iter_mut().zip(vector) {
            *word = _mm_add_epi32(*word, added);
        }
    }
}

/// Which words of SHA-256 are in a row.
const ROWS: [(usize, usize); 4] = [(1, 4), (2, 5), (3, 6), (0, 7)];

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,bmi1,bmi2")]
fn load(first: &Part, last: &Part) -> State {
    let quad = |words: [u32; 4]| {
        let [w0, w1, w2, w3] = words.map(u32::cast_signed);
        _mm_set_epi32(w3, w2, w1, w0)
    };
    let (s, z) = (&first.words, &last.words);
    State {
        rows: ROWS.map(|(a, e)| quad([s.sha256[a], z.sha256[a], s.sha256[e], z.sha256[e]])),
        scalar: s.md5,
        vector: core::array::from_fn(|word| quad([s.md5[word], z.md5[word], 0, 0])),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,bmi1,bmi2")]
fn store<const STREAMS: usize>(state: &State, part: &mut Part, stream: usize) {
    let columns = |row: __m128i| {
        let words = [
            _mm_extract_epi32::<0>(row),
            _mm_extract_epi32::<1>(row),
            _mm_extract_epi32::<2>(row),
            _mm_extract_epi32::<3>(row),
        ];
        words.map(i32::cast_unsigned)
    };
    for (row, (a, e)) in state.rows.iter().zip(ROWS) {
        let words = columns(*row);
        part.words.sha256[a] = words[stream];
        part.words.sha256[e] = words[2 + stream];
    }
    part.words.md5 =
        if STREAMS == 1 { state.scalar } else { state.vector.map(|word| columns(word)[stream]) };
}

/// SHA-256 of one or two parts, and MD5 with it or not.
///
/// # Safety
/// The CPU has AVX-512F, BW and VL, AVX2, BMI1 and BMI2.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,bmi1,bmi2")]
pub(super) unsafe fn rows<const MD5: bool>(parts: &mut [Part], blocks: usize) {
    let mut prepared = Prepared::new();
    match parts {
        [] => {}
        [only] => {
            let mut state = load(only, only);
            for group in only.blocks[..blocks].chunks(PREPARED_BLOCKS) {
                let inputs = core::array::from_fn(|at| &group[at.min(group.len() - 1)]);
                // SAFETY: the features of `Ymm` and of `block` are enabled here.
                unsafe {
                    prepared.fill::<Ymm, MD5>(inputs);
                    for at in 0..group.len() {
                        block::<1, MD5>(&mut state, &prepared, at);
                    }
                }
            }
            store::<1>(&state, only, 0);
        }
        [first, second, rest @ ..] => {
            assert!(rest.is_empty(), "this kernel takes two streams");
            let mut state = load(first, second);
            let groups = first.blocks[..blocks].chunks(PREPARED_BLOCKS / 2);
            let groups = groups.zip(second.blocks[..blocks].chunks(PREPARED_BLOCKS / 2));
            for (one, other) in groups {
                let last = one.len() - 1;
                let inputs = core::array::from_fn(|at| &[one, other][at % 2][(at / 2).min(last)]);
                // SAFETY: the features of `Ymm` and of `block` are enabled here.
                unsafe {
                    prepared.fill::<Ymm, MD5>(inputs);
                    for at in 0..one.len() {
                        block::<2, MD5>(&mut state, &prepared, 2 * at);
                    }
                }
            }
            store::<2>(&state, first, 0);
            store::<2>(&state, second, 1);
        }
    }
}
