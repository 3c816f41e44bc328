//! Many streams side by side: lane n of every register belongs to stream n.
#![expect(unsafe_code, reason = "intrinsics over raw pointers; the bounds are checked in `run`")]
#![expect(clippy::inline_always, reason = "what a kernel calls is compiled for its instructions")]

use super::{
    super::{Block, Part},
    constants::{MD5_K, MD5_SHIFT, SHA256_K, md5_word},
    vector::{Avx2, Vector, Ymm, Zmm},
};

/// The most lanes that a register has.
const LANES_MAX: usize = 16;

/// Chaining words of all lanes: four of MD5, then eight of SHA-256; lane by lane inside a word.
#[repr(align(64))]
struct LaneWords([[u32; LANES_MAX]; 12]);

/// One block of every lane.
pub(super) type Inputs = [*const Block; LANES_MAX];

/// Calls a macro once for each of the 64 steps of a block, with the number as a literal.
macro_rules! unrolled {
    ($step:ident) => {
        unrolled!($step: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29
            30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60
            61 62 63);
    };
    ($step:ident: $($number:literal)*) => { $($step!($number);)* };
}
pub(super) use unrolled;

/// Exclusive or of a vector rotated right by three distances.
macro_rules! rotations {
    ($x:expr, $a:literal, $b:literal, $c:literal) => {
        V::xor3(
            $x.rotate_right::<$a, { 32 - $a }>(),
            $x.rotate_right::<$b, { 32 - $b }>(),
            $x.rotate_right::<$c, { 32 - $c }>(),
        )
    };
}

/// Word `t` of the message schedule of SHA-256, kept in a ring of 16.
///
/// # Safety
/// The CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn scheduled<V: Vector>(ring: &mut [V; 16], t: usize) -> V {
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        if t >= 16 {
            let (w2, w15) = (ring[(t + 14) % 16], ring[(t + 1) % 16]);
            let (s1, s0) = (w2.shift_right::<10>(), w15.shift_right::<3>());
            let s1 = s1.xor3(w2.rotate_right::<17, 15>(), w2.rotate_right::<19, 13>());
            let s0 = s0.xor3(w15.rotate_right::<7, 25>(), w15.rotate_right::<18, 14>());
            ring[t % 16] = ring[t % 16].add(ring[(t + 9) % 16]).add(s0).add(s1);
        }
        ring[t % 16]
    }
}

/// # Safety
/// The CPU has the instructions of `V`; the first `V::LANES` inputs have `blocks` blocks each.
#[inline(always)]
unsafe fn compress<V: Vector, const MD5: bool, const SHA256: bool>(
    words: &mut LaneWords,
    mut at: Inputs,
    blocks: usize,
) {
    // SAFETY: the caller vouches for instructions and blocks; `LaneWords` has 16 words in a row, as many as any register.
    unsafe {
        let mut state: [V; 12] = core::array::from_fn(|word| V::load(words.0[word].as_ptr()));
        for _ in 0..blocks {
            let message = V::transpose(&at);
            for input in at.iter_mut().take(V::LANES) {
                *input = input.add(1);
            }
            let mut ring = message;
            let mut m: [V; 4] = core::array::from_fn(|word| state[word]);
            let mut s: [V; 8] = core::array::from_fn(|word| state[4 + word]);
            // The steps of both digests take turns: the chain of MD5 is long and narrow, SHA-256 fills the rest.
            macro_rules! step {
                ($t:literal) => {
                    if SHA256 {
                        if $t < 16 {
                            ring[$t % 16] = message[$t % 16].swap_bytes();
                        }
                        let w = scheduled(&mut ring, $t);
                        let [a, b, c, d] = [
                            s[(64 - $t) % 8],
                            s[(65 - $t) % 8],
                            s[(66 - $t) % 8],
                            s[(67 - $t) % 8],
                        ];
                        let [e, f, g, h] = [
                            s[(68 - $t) % 8],
                            s[(69 - $t) % 8],
                            s[(70 - $t) % 8],
                            s[(71 - $t) % 8],
                        ];
                        let constant = V::splat(const { SHA256_K[$t] });
                        let t1 = h.add(w).add(constant).add(e.choose(f, g));
                        let t1 = t1.add(rotations!(e, 6, 11, 25));
                        let t2 = a.majority(b, c).add(rotations!(a, 2, 13, 22));
                        s[(64 - $t + 3) % 8] = d.add(t1);
                        s[(64 - $t + 7) % 8] = t1.add(t2);
                    }
                    if MD5 {
                        let [a, b, c, d] = [
                            m[(64 - $t) % 4],
                            m[(65 - $t) % 4],
                            m[(66 - $t) % 4],
                            m[(67 - $t) % 4],
                        ];
                        let mixed = match $t / 16 {
                            0 => b.choose(c, d),
                            1 => d.choose(b, c),
                            2 => b.xor3(c, d),
                            _ => V::md5_i(b, c, d),
                        };
                        let sum = a
                            .add(message[const { md5_word($t) }])
                            .add(V::splat(const { MD5_K[$t] }))
                            .add(mixed);
                        m[(64 - $t) % 4] =
                            sum.rotate_left::<{ MD5_SHIFT[$t / 16][$t % 4] }>().add(b);
                    }
                };
            }
            unrolled!(step);
            for (word, added) in m.into_iter().chain(s).enumerate() {
                state[word] = state[word].add(added);
            }
        }
        for (word, vector) in state.into_iter().enumerate() {
            vector.store(words.0[word].as_mut_ptr());
        }
    }
}

/// Hashes the first `blocks` blocks of up to `LANES` parts; a lane without a part repeats the first one.
///
/// # Safety
/// The CPU has the instructions of `kernel`, and the kernel has `LANES` lanes.
unsafe fn run<const LANES: usize, const MD5: bool, const SHA256: bool>(
    kernel: unsafe fn(&mut LaneWords, Inputs, usize),
    parts: &mut [Part],
    blocks: usize,
) {
    assert!(parts.len() <= LANES && parts.iter().all(|part| part.blocks.len() >= blocks));
    let Some(first) = parts.first() else { return };
    let mut inputs = [first.blocks.as_ptr(); LANES_MAX];
    let mut words = LaneWords([[0; LANES_MAX]; 12]);
    for (lane, part) in parts.iter().enumerate() {
        inputs[lane] = part.blocks.as_ptr();
        for (word, value) in part.words.md5.iter().chain(&part.words.sha256).enumerate() {
            words.0[word][lane] = *value;
        }
    }
    // SAFETY: the caller vouches for the instructions; every input is the start of at least `blocks` blocks, as asserted.
    unsafe { kernel(&mut words, inputs, blocks) };
    for (lane, part) in parts.iter_mut().enumerate() {
        if MD5 {
            part.words.md5 = core::array::from_fn(|word| words.0[word][lane]);
        }
        if SHA256 {
            part.words.sha256 = core::array::from_fn(|word| words.0[4 + word][lane]);
        }
    }
}

macro_rules! kernel {
    ($name:ident, $lanes:literal, $vector:ty, $features:literal) => {
        /// # Safety
        /// The CPU has the features that are enabled here.
        pub(super) unsafe fn $name<const MD5: bool, const SHA256: bool>(
            parts: &mut [Part],
            blocks: usize,
        ) {
            #[target_feature(enable = $features)]
            unsafe fn kernel<const MD5: bool, const SHA256: bool>(
                words: &mut LaneWords,
                inputs: Inputs,
                blocks: usize,
            ) {
                // SAFETY: the features of `$vector` are enabled; the caller vouches for the rest.
                unsafe { compress::<$vector, MD5, SHA256>(words, inputs, blocks) }
            }
            // SAFETY: the caller vouches for the features.
            unsafe { run::<$lanes, MD5, SHA256>(kernel::<MD5, SHA256>, parts, blocks) }
        }
    };
}
kernel!(avx512_16, 16, Zmm, "avx512f,avx512bw,avx512vl,avx2");
kernel!(avx512_8, 8, Ymm, "avx512f,avx512bw,avx512vl,avx2");
kernel!(avx2_8, 8, Avx2, "avx2");
