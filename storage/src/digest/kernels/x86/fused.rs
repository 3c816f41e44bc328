//! One or two streams with the SHA instructions: MD5 in the general registers, SHA-256 in the vector registers, their
//! instructions taking turns. MD5 is one long chain that leaves most of the CPU idle; SHA-256 fits into the gaps and costs
//! nothing, and a second stream little.
#![expect(unsafe_code, reason = "assembly: the compiler would part what must take turns")]
#![expect(
    clippy::many_single_char_names,
    clippy::cast_ptr_alignment,
    reason = "the letters of the standards; intrinsics; loads that ask for no alignment"
)]
#![cfg_attr(not(test), expect(clippy::wildcard_imports, reason = "intrinsics"))]

use core::arch::{asm, x86_64::*};

use super::{
    super::{Block, Part, Words},
    constants::{MD5_K, MD5_SHIFT, SHA256_K, md5_word},
};

#[repr(align(64))]
pub(super) struct Aligned(pub(super) [u32; 64]);
pub(super) static K: Aligned = Aligned(SHA256_K);

/// One step of MD5 with two instructions of SHA-256 inside.
macro_rules! md5_step {
    (f $n:literal $i:literal $a:literal $b:literal $c:literal $d:literal $($x:tt)*) => {
        md5_step!(@ $n $i $a $b
            [concat!("mov {t", $n, ":e}, {", $c, $n, ":e}")]
            [concat!("xor {t", $n, ":e}, {", $d, $n, ":e}")]
            [concat!("and {t", $n, ":e}, {", $b, $n, ":e}\nxor {t", $n, ":e}, {", $d, $n, ":e}")] $($x)*)
    };
    // The two halves have no bit in common: two additions instead of an OR take one from the chain.
    (g $n:literal $i:literal $a:literal $b:literal $c:literal $d:literal $($x:tt)*) => {
        md5_step!(@ $n $i $a $b
            [concat!("andn {t", $n, ":e}, {", $d, $n, ":e}, {", $c, $n, ":e}")]
            [concat!("add {", $a, $n, ":e}, {t", $n, ":e}\nmov {t", $n, ":e}, {", $d, $n, ":e}")]
            [concat!("and {t", $n, ":e}, {", $b, $n, ":e}")] $($x)*)
    };
    (h $n:literal $i:literal $a:literal $b:literal $c:literal $d:literal $($x:tt)*) => {
        md5_step!(@ $n $i $a $b
            [concat!("mov {t", $n, ":e}, {", $c, $n, ":e}")]
            [concat!("xor {t", $n, ":e}, {", $d, $n, ":e}")]
            [concat!("xor {t", $n, ":e}, {", $b, $n, ":e}")] $($x)*)
    };
    (i $n:literal $i:literal $a:literal $b:literal $c:literal $d:literal $($x:tt)*) => {
        md5_step!(@ $n $i $a $b
            [concat!("mov {t", $n, ":e}, {", $d, $n, ":e}")]
            [concat!("not {t", $n, ":e}")]
            [concat!("or {t", $n, ":e}, {", $b, $n, ":e}\nxor {t", $n, ":e}, {", $c, $n, ":e}")] $($x)*)
    };
    (@ $n:literal $i:literal $a:literal $b:literal [$first:expr] [$early:expr] [$late:expr] $x:expr, $y:expr, $z:expr) => {
        concat!($first, "\nadd {", $a, $n, ":e}, dword ptr [{p", $n, "} + {o", $i, "}]\n", $x, "\n", $early,
            "\nadd {", $a, $n, ":e}, {k", $i, "}\n", $y, "\n", $late, "\nadd {", $a, $n, ":e}, {t", $n, ":e}\n", $z,
            "\nrol {", $a, $n, ":e}, {s", $i, "}\nadd {", $a, $n, ":e}, {", $b, $n, ":e}\n")
    };
}

/// The ten instructions of four rounds of SHA-256 for stream `n`: rounds, then schedule.
macro_rules! sha {
    ($n:literal load) => {
        concat!("movdqa xmm0, {u", $n, "}\npaddd xmm0, xmmword ptr [{table} + {offset}]")
    };
    ($n:literal odd) => {
        concat!("sha256rnds2 {cdgh", $n, "}, {abef", $n, "}, xmm0")
    };
    ($n:literal half) => {
        "pshufd xmm0, xmm0, 14"
    };
    ($n:literal even) => {
        concat!("sha256rnds2 {abef", $n, "}, {cdgh", $n, "}, xmm0")
    };
    ($n:literal finish copy) => {
        concat!("movdqa {tmp}, {u", $n, "}")
    };
    ($n:literal finish align) => {
        concat!("palignr {tmp}, {x", $n, "}, 4")
    };
    ($n:literal finish add) => {
        concat!("paddd {v", $n, "}, {tmp}")
    };
    ($n:literal finish msg2) => {
        concat!("sha256msg2 {v", $n, "}, {u", $n, "}")
    };
    ($n:literal start msg1) => {
        concat!("sha256msg1 {x", $n, "}, {u", $n, "}")
    };
    ($n:literal none $what:ident) => {
        ""
    };
}

/// The text of four steps of MD5 and four rounds of SHA-256, for one stream.
macro_rules! one {
    ($f:ident, $finish:ident, $start:ident) => {
        concat!(
            // Every operand must be named; some groups need no schedule.
            "/* {v0} {x0} {tmp} */\n",
            md5_step!($f "0" "0" "a" "b" "c" "d" sha!("0" load), sha!("0" odd), sha!("0" $finish copy)),
            md5_step!($f "0" "1" "d" "a" "b" "c" sha!("0" $finish align), sha!("0" $finish add), sha!("0" half)),
            md5_step!($f "0" "2" "c" "d" "a" "b" sha!("0" $finish msg2), sha!("0" even), ""),
            md5_step!($f "0" "3" "b" "c" "d" "a" sha!("0" $start msg1), "", ""),
        )
    };
}

/// The same for two streams; `xmm0` belongs to the first in its first half, to the second in the other.
macro_rules! two {
    ($f:ident, $finish:ident, $start:ident) => {
        concat!(
            "/* {v0} {x0} {v1} {x1} {tmp} */\n",
            md5_step!($f "0" "0" "a" "b" "c" "d" sha!("0" load), sha!("0" odd), ""),
            md5_step!($f "1" "0" "a" "b" "c" "d" sha!("1" $finish copy), sha!("1" $finish align), sha!("1" $finish add)),
            md5_step!($f "0" "1" "d" "a" "b" "c" sha!("0" half), sha!("0" even), ""),
            md5_step!($f "1" "1" "d" "a" "b" "c" sha!("1" $finish msg2), sha!("1" $start msg1), ""),
            md5_step!($f "0" "2" "c" "d" "a" "b" sha!("0" $finish copy), sha!("0" $finish align), sha!("0" $finish add)),
            md5_step!($f "1" "2" "c" "d" "a" "b" sha!("1" load), sha!("1" odd), ""),
            md5_step!($f "0" "3" "b" "c" "d" "a" sha!("0" $finish msg2), sha!("0" $start msg1), ""),
            md5_step!($f "1" "3" "b" "c" "d" "a" sha!("1" half), sha!("1" even), ""),
        )
    };
}

/// Both states of one stream, SHA-256 in the order that its instructions want.
pub(super) struct Running {
    md5: [u32; 4],
    pub(super) abef: __m128i,
    pub(super) cdgh: __m128i,
    message: [__m128i; 4],
}

#[target_feature(enable = "sha,ssse3,sse4.1,bmi1")]
pub(super) fn load(words: &Words) -> Running {
    let s = words.sha256.map(u32::cast_signed);
    Running {
        md5: words.md5,
        abef: _mm_set_epi32(s[0], s[1], s[4], s[5]),
        cdgh: _mm_set_epi32(s[2], s[3], s[6], s[7]),
        message: [_mm_setzero_si128(); 4],
    }
}

#[target_feature(enable = "sha,ssse3,sse4.1,bmi1")]
pub(super) fn store(running: &Running, words: &mut Words) {
    let columns = |row: __m128i| {
        let words = [
            _mm_extract_epi32::<3>(row),
            _mm_extract_epi32::<2>(row),
            _mm_extract_epi32::<1>(row),
            _mm_extract_epi32::<0>(row),
        ];
        words.map(i32::cast_unsigned)
    };
    let ([a, b, e, f], [c, d, g, h]) = (columns(running.abef), columns(running.cdgh));
    *words = Words { md5: running.md5, sha256: [a, b, c, d, e, f, g, h] };
}

/// The words of a block in the order of SHA-256.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1,bmi1")]
pub(super) fn message(block: &Block) -> [__m128i; 4] {
    let order = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let quarters = core::ptr::from_ref(block).cast::<__m128i>();
    // SAFETY: a block has four times 16 bytes, and the load asks for no alignment.
    let quarter = |at: usize| unsafe { _mm_loadu_si128(quarters.add(at)) };
    core::array::from_fn(|at| _mm_shuffle_epi8(quarter(at), order))
}

#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1,bmi1")]
fn add(running: &mut Running, md5: [u32; 4], abef: __m128i, cdgh: __m128i) {
    for (word, added) in running.md5.iter_mut().zip(md5) {
        *word = word.wrapping_add(added);
    }
    running.abef = _mm_add_epi32(running.abef, abef);
    running.cdgh = _mm_add_epi32(running.cdgh, cdgh);
}

/// The sixteen groups of four rounds: which step of MD5, and which part of the schedule goes with it.
macro_rules! groups {
    ($group:ident) => {
        $group!(0, f, none, none);
        $group!(1, f, none, start);
        $group!(2, f, none, start);
        $group!(3, f, finish, start);
        $group!(4, g, finish, start);
        $group!(5, g, finish, start);
        $group!(6, g, finish, start);
        $group!(7, g, finish, start);
        $group!(8, h, finish, start);
        $group!(9, h, finish, start);
        $group!(10, h, finish, start);
        $group!(11, h, finish, start);
        $group!(12, i, finish, start);
        $group!(13, i, finish, none);
        $group!(14, i, finish, none);
        $group!(15, i, none, none);
    };
}

/// One block of one stream.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1,bmi1")]
fn block(s: &mut Running, at: &Block) {
    let (md5, abef, cdgh) = (s.md5, s.abef, s.cdgh);
    s.message = message(at);
    macro_rules! group {
        ($g:literal, $f:ident, $finish:ident, $start:ident) => {
            // SAFETY: reads 16 aligned bytes of the table and words of the block; writes registers only.
            unsafe {
                asm!(
                    one!($f, $finish, $start),
                    p0 = in(reg) at, t0 = out(reg) _,
                    a0 = inout(reg) s.md5[0], b0 = inout(reg) s.md5[1],
                    c0 = inout(reg) s.md5[2], d0 = inout(reg) s.md5[3],
                    abef0 = inout(xmm_reg) s.abef, cdgh0 = inout(xmm_reg) s.cdgh,
                    u0 = inout(xmm_reg) s.message[$g % 4],
                    v0 = inout(xmm_reg) s.message[($g + 1) % 4],
                    x0 = inout(xmm_reg) s.message[($g + 3) % 4],
                    tmp = out(xmm_reg) _, out("xmm0") _,
                    table = in(reg) K.0.as_ptr(), offset = const 16 * $g,
                    o0 = const 4 * md5_word(4 * $g), o1 = const 4 * md5_word(4 * $g + 1),
                    o2 = const 4 * md5_word(4 * $g + 2), o3 = const 4 * md5_word(4 * $g + 3),
                    k0 = const MD5_K[4 * $g], k1 = const MD5_K[4 * $g + 1],
                    k2 = const MD5_K[4 * $g + 2], k3 = const MD5_K[4 * $g + 3],
                    s0 = const MD5_SHIFT[$g / 4][0], s1 = const MD5_SHIFT[$g / 4][1],
                    s2 = const MD5_SHIFT[$g / 4][2], s3 = const MD5_SHIFT[$g / 4][3],
                    options(pure, readonly, nostack),
                );
            }
        };
    }
    groups!(group);
    add(s, md5, abef, cdgh);
}

/// One block of each of two streams.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1,bmi1")]
fn blocks(s: &mut Running, z: &mut Running, at: &Block, other: &Block) {
    let before = (s.md5, s.abef, s.cdgh, z.md5, z.abef, z.cdgh);
    s.message = message(at);
    z.message = message(other);
    macro_rules! group {
        ($g:literal, $f:ident, $finish:ident, $start:ident) => {
            // SAFETY: reads 16 aligned bytes of the table and words of the blocks; writes registers only.
            unsafe {
                asm!(
                    two!($f, $finish, $start),
                    p0 = in(reg) at, t0 = out(reg) _,
                    a0 = inout(reg) s.md5[0], b0 = inout(reg) s.md5[1],
                    c0 = inout(reg) s.md5[2], d0 = inout(reg) s.md5[3],
                    abef0 = inout(xmm_reg) s.abef, cdgh0 = inout(xmm_reg) s.cdgh,
                    u0 = inout(xmm_reg) s.message[$g % 4],
                    v0 = inout(xmm_reg) s.message[($g + 1) % 4],
                    x0 = inout(xmm_reg) s.message[($g + 3) % 4],
                    p1 = in(reg) other, t1 = out(reg) _,
                    a1 = inout(reg) z.md5[0], b1 = inout(reg) z.md5[1],
                    c1 = inout(reg) z.md5[2], d1 = inout(reg) z.md5[3],
                    abef1 = inout(xmm_reg) z.abef, cdgh1 = inout(xmm_reg) z.cdgh,
                    u1 = inout(xmm_reg) z.message[$g % 4],
                    v1 = inout(xmm_reg) z.message[($g + 1) % 4],
                    x1 = inout(xmm_reg) z.message[($g + 3) % 4],
                    tmp = out(xmm_reg) _, out("xmm0") _,
                    table = in(reg) K.0.as_ptr(), offset = const 16 * $g,
                    o0 = const 4 * md5_word(4 * $g), o1 = const 4 * md5_word(4 * $g + 1),
                    o2 = const 4 * md5_word(4 * $g + 2), o3 = const 4 * md5_word(4 * $g + 3),
                    k0 = const MD5_K[4 * $g], k1 = const MD5_K[4 * $g + 1],
                    k2 = const MD5_K[4 * $g + 2], k3 = const MD5_K[4 * $g + 3],
                    s0 = const MD5_SHIFT[$g / 4][0], s1 = const MD5_SHIFT[$g / 4][1],
                    s2 = const MD5_SHIFT[$g / 4][2], s3 = const MD5_SHIFT[$g / 4][3],
                    options(pure, readonly, nostack),
                );
            }
        };
    }
    groups!(group);
    add(s, before.0, before.1, before.2);
    add(z, before.3, before.4, before.5);
}

/// Both digests of every part, one after the other.
///
/// # Safety
/// The CPU has SHA, SSSE3, SSE4.1 and BMI1.
#[target_feature(enable = "sha,ssse3,sse4.1,bmi1")]
pub(super) unsafe fn fused(parts: &mut [Part], count: usize) {
    for part in parts {
        let mut running = load(part.words);
        for at in &part.blocks[..count] {
            block(&mut running, at);
        }
        store(&running, part.words);
    }
}

/// Both digests of one or two parts.
///
/// # Safety
/// The CPU has SHA, SSSE3, SSE4.1 and BMI1.
#[target_feature(enable = "sha,ssse3,sse4.1,bmi1")]
pub(super) unsafe fn pair(parts: &mut [Part], count: usize) {
    let [first, second] = parts else {
        // SAFETY: the same features.
        return unsafe { fused(parts, count) };
    };
    let (mut s, mut z) = (load(first.words), load(second.words));
    for (at, other) in first.blocks[..count].iter().zip(&second.blocks[..count]) {
        blocks(&mut s, &mut z, at, other);
    }
    store(&s, first.words);
    store(&z, second.words);
}
