//! What a kernel needs of a vector register, for three instruction sets.
#![expect(unsafe_code, reason = "intrinsics, whose instructions are asked of the caller")]
#![expect(unsafe_op_in_unsafe_fn, reason = "every function here is nothing but one operation")]
#![expect(clippy::inline_always, clippy::cast_ptr_alignment, reason = "intrinsics")]
#![cfg_attr(not(test), expect(clippy::wildcard_imports, reason = "intrinsics"))]

use core::arch::x86_64::*;

/// A register of 32-bit lanes.
///
/// # Safety
/// Every function needs the instruction set of the implementing type. The functions are inlined into kernels that are
/// compiled for that set, and that run only where the CPU was found to have it.
pub(super) trait Vector: Copy {
    const LANES: usize;
    unsafe fn splat(value: u32) -> Self;
    /// Reads [`LANES`](Self::LANES) words.
    unsafe fn load(from: *const u32) -> Self;
    /// Writes [`LANES`](Self::LANES) words.
    unsafe fn store(self, to: *mut u32);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn rotate_left<const BITS: i32>(self) -> Self;
    unsafe fn rotate_right<const BITS: i32, const REST: i32>(self) -> Self;
    unsafe fn shift_right<const BITS: u32>(self) -> Self;
    unsafe fn swap_bytes(self) -> Self;
    /// Exclusive or of three.
    unsafe fn xor3(self, b: Self, c: Self) -> Self;
    /// For each bit, `b` where it is set in `self`, else `c`.
    unsafe fn choose(self, b: Self, c: Self) -> Self;
    /// For each bit, what at least two of the three have.
    unsafe fn majority(self, b: Self, c: Self) -> Self;
    /// `c ^ (b | !d)`.
    unsafe fn md5_i(b: Self, c: Self, d: Self) -> Self;
    /// One block of every lane: vector n holds word n of all of them.
    unsafe fn transpose(blocks: &[*const [u8; 64]; 16]) -> [Self; 16];
}

/// AVX-512F and BW, 16 lanes.
#[derive(Clone, Copy)]
pub(super) struct Zmm(__m512i);

/// AVX-512VL and AVX2, 8 lanes.
#[derive(Clone, Copy)]
pub(super) struct Ymm(__m256i);

/// AVX2, 8 lanes.
#[derive(Clone, Copy)]
pub(super) struct Avx2(__m256i);

impl Vector for Zmm {
    const LANES: usize = 16;
    #[inline(always)]
    unsafe fn splat(value: u32) -> Self {
        Self(_mm512_set1_epi32(value.cast_signed()))
    }
    #[inline(always)]
    unsafe fn load(from: *const u32) -> Self {
        Self(_mm512_loadu_si512(from.cast()))
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut u32) {
        _mm512_storeu_si512(to.cast(), self.0);
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(_mm512_add_epi32(self.0, other.0))
    }
    #[inline(always)]
    unsafe fn rotate_left<const BITS: i32>(self) -> Self {
        Self(_mm512_rol_epi32::<BITS>(self.0))
    }
    #[inline(always)]
    unsafe fn rotate_right<const BITS: i32, const REST: i32>(self) -> Self {
        Self(_mm512_ror_epi32::<BITS>(self.0))
    }
    #[inline(always)]
    unsafe fn shift_right<const BITS: u32>(self) -> Self {
        Self(_mm512_srli_epi32::<BITS>(self.0))
    }
    #[inline(always)]
    unsafe fn swap_bytes(self) -> Self {
        let order = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
        Self(_mm512_shuffle_epi8(self.0, _mm512_broadcast_i32x4(order)))
    }
    #[inline(always)]
    unsafe fn xor3(self, b: Self, c: Self) -> Self {
        Self(_mm512_ternarylogic_epi32::<0x96>(self.0, b.0, c.0))
    }
    #[inline(always)]
    unsafe fn choose(self, b: Self, c: Self) -> Self {
        Self(_mm512_ternarylogic_epi32::<0xca>(self.0, b.0, c.0))
    }
    #[inline(always)]
    unsafe fn majority(self, b: Self, c: Self) -> Self {
        Self(_mm512_ternarylogic_epi32::<0xe8>(self.0, b.0, c.0))
    }
    #[inline(always)]
    unsafe fn md5_i(b: Self, c: Self, d: Self) -> Self {
        Self(_mm512_ternarylogic_epi32::<0x39>(b.0, c.0, d.0))
    }
    #[inline(always)]
    unsafe fn transpose(blocks: &[*const [u8; 64]; 16]) -> [Self; 16] {
        let rows = blocks.map(|block| _mm512_loadu_si512(block.cast()));
        // Pairs of words, then pairs of pairs, inside each quarter of the registers.
        let mut pairs = rows;
        for i in 0..8 {
            pairs[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
        }
        let mut fours = rows;
        for i in 0..4 {
            let from = &pairs[4 * i..4 * i + 4];
            fours[4 * i] = _mm512_unpacklo_epi64(from[0], from[2]);
            fours[4 * i + 1] = _mm512_unpackhi_epi64(from[0], from[2]);
            fours[4 * i + 2] = _mm512_unpacklo_epi64(from[1], from[3]);
            fours[4 * i + 3] = _mm512_unpackhi_epi64(from[1], from[3]);
        }
        // fours[4 * r + w]: of rows 4r..4r+4, the words w, w + 4, w + 8, w + 12, one in each quarter.
        let mut words = [Self(rows[0]); 16];
        for w in 0..4 {
            let (a, b, c, d) = (fours[w], fours[4 + w], fours[8 + w], fours[12 + w]);
            let (ab_even, cd_even) =
                (_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0x88>(c, d));
            let (ab_odd, cd_odd) =
                (_mm512_shuffle_i32x4::<0xdd>(a, b), _mm512_shuffle_i32x4::<0xdd>(c, d));
            words[w] = Self(_mm512_shuffle_i32x4::<0x88>(ab_even, cd_even));
            words[w + 4] = Self(_mm512_shuffle_i32x4::<0x88>(ab_odd, cd_odd));
            words[w + 8] = Self(_mm512_shuffle_i32x4::<0xdd>(ab_even, cd_even));
            words[w + 12] = Self(_mm512_shuffle_i32x4::<0xdd>(ab_odd, cd_odd));
        }
        words
    }
}

/// Eight rows of eight words become eight columns.
#[inline(always)]
unsafe fn transpose8(rows: [__m256i; 8]) -> [__m256i; 8] {
    let mut pairs = rows;
    for i in 0..4 {
        pairs[2 * i] = _mm256_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        pairs[2 * i + 1] = _mm256_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    let mut fours = rows;
    for i in 0..2 {
        let from = &pairs[4 * i..4 * i + 4];
        fours[4 * i] = _mm256_unpacklo_epi64(from[0], from[2]);
        fours[4 * i + 1] = _mm256_unpackhi_epi64(from[0], from[2]);
        fours[4 * i + 2] = _mm256_unpacklo_epi64(from[1], from[3]);
        fours[4 * i + 3] = _mm256_unpackhi_epi64(from[1], from[3]);
    }
    let mut words = rows;
    for w in 0..4 {
        words[w] = _mm256_permute2x128_si256::<0x20>(fours[w], fours[4 + w]);
        words[w + 4] = _mm256_permute2x128_si256::<0x31>(fours[w], fours[4 + w]);
    }
    words
}

macro_rules! eight_lanes {
    () => {
        const LANES: usize = 8;
        #[inline(always)]
        unsafe fn splat(value: u32) -> Self {
            Self(_mm256_set1_epi32(value.cast_signed()))
        }
        #[inline(always)]
        unsafe fn load(from: *const u32) -> Self {
            Self(_mm256_loadu_si256(from.cast()))
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut u32) {
            _mm256_storeu_si256(to.cast(), self.0);
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            Self(_mm256_add_epi32(self.0, other.0))
        }
        #[inline(always)]
        unsafe fn swap_bytes(self) -> Self {
            let order = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
            Self(_mm256_shuffle_epi8(self.0, _mm256_broadcastsi128_si256(order)))
        }
        #[inline(always)]
        unsafe fn transpose(blocks: &[*const [u8; 64]; 16]) -> [Self; 16] {
            let half = |at: usize| {
                core::array::from_fn(|lane| {
                    _mm256_loadu_si256(blocks[lane].cast::<__m256i>().add(at))
                })
            };
            let (low, high) = (transpose8(half(0)), transpose8(half(1)));
            core::array::from_fn(|word| Self(if word < 8 { low[word] } else { high[word - 8] }))
        }
    };
}

impl Vector for Ymm {
    eight_lanes!();
    #[inline(always)]
    unsafe fn rotate_left<const BITS: i32>(self) -> Self {
        Self(_mm256_rol_epi32::<BITS>(self.0))
    }
    #[inline(always)]
    unsafe fn rotate_right<const BITS: i32, const REST: i32>(self) -> Self {
        Self(_mm256_ror_epi32::<BITS>(self.0))
    }
    #[inline(always)]
    unsafe fn shift_right<const BITS: u32>(self) -> Self {
        Self(_mm256_srl_epi32(self.0, _mm_cvtsi32_si128(BITS.cast_signed())))
    }
    #[inline(always)]
    unsafe fn xor3(self, b: Self, c: Self) -> Self {
        Self(_mm256_ternarylogic_epi32::<0x96>(self.0, b.0, c.0))
    }
    #[inline(always)]
    unsafe fn choose(self, b: Self, c: Self) -> Self {
        Self(_mm256_ternarylogic_epi32::<0xca>(self.0, b.0, c.0))
    }
    #[inline(always)]
    unsafe fn majority(self, b: Self, c: Self) -> Self {
        Self(_mm256_ternarylogic_epi32::<0xe8>(self.0, b.0, c.0))
    }
    #[inline(always)]
    unsafe fn md5_i(b: Self, c: Self, d: Self) -> Self {
        Self(_mm256_ternarylogic_epi32::<0x39>(b.0, c.0, d.0))
    }
}

impl Vector for Avx2 {
    eight_lanes!();
    #[inline(always)]
    unsafe fn rotate_left<const BITS: i32>(self) -> Self {
        let up = _mm256_sll_epi32(self.0, _mm_cvtsi32_si128(BITS));
        let down = _mm256_srl_epi32(self.0, _mm_cvtsi32_si128(32 - BITS));
        Self(_mm256_or_si256(up, down))
    }
    #[inline(always)]
    unsafe fn rotate_right<const BITS: i32, const REST: i32>(self) -> Self {
        self.rotate_left::<REST>()
    }
    #[inline(always)]
    unsafe fn shift_right<const BITS: u32>(self) -> Self {
        Self(_mm256_srl_epi32(self.0, _mm_cvtsi32_si128(BITS.cast_signed())))
    }
    #[inline(always)]
    unsafe fn xor3(self, b: Self, c: Self) -> Self {
        Self(_mm256_xor_si256(self.0, _mm256_xor_si256(b.0, c.0)))
    }
    #[inline(always)]
    unsafe fn choose(self, b: Self, c: Self) -> Self {
        let differing = _mm256_and_si256(self.0, _mm256_xor_si256(b.0, c.0));
        Self(_mm256_xor_si256(differing, c.0))
    }
    #[inline(always)]
    unsafe fn majority(self, b: Self, c: Self) -> Self {
        let either = _mm256_and_si256(self.0, _mm256_or_si256(b.0, c.0));
        Self(_mm256_or_si256(either, _mm256_and_si256(b.0, c.0)))
    }
    #[inline(always)]
    unsafe fn md5_i(b: Self, c: Self, d: Self) -> Self {
        let not_d = _mm256_xor_si256(d.0, _mm256_set1_epi32(-1));
        Self(_mm256_xor_si256(c.0, _mm256_or_si256(b.0, not_d)))
    }
}
