//! Which kernels there are, what they need, and which one suits how many streams.

use super::super::DigestChoice;

/// A way to hash whole blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// The crates `md-5` and `sha2`: everywhere.
    Generic,
    /// One stream, its message schedule in vectors and its rounds in general registers.
    Bmi2,
    /// One stream, MD5 between the SHA instructions.
    Fused,
    /// Two streams, MD5 between the SHA instructions.
    Pair,
    /// One or two streams in AVX-512VL, where there are no SHA instructions.
    Rows,
    /// Eight streams in AVX2.
    Lanes8Avx2,
    /// Eight streams: their MD5 in AVX2, then their SHA-256 two at a time with the SHA instructions.
    Lanes8Sha,
    /// Eight streams in AVX-512VL.
    Lanes8Avx512,
    /// Sixteen streams in AVX-512.
    Lanes16Avx512,
}

/// Which kernels may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KernelChoice {
    /// For every number of streams the fastest that the CPU has.
    #[default]
    Auto,
    /// This one alone, also where it wastes lanes: for comparisons, and to stay clear of a kernel that misbehaves.
    Only(Kernel),
}

/// The CPU lacks what a kernel needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the digest kernel `{}` needs a CPU with {}, which this one lacks; `auto` takes the fastest kernels that run here",
    kernel.name(), kernel.needs()
)]
pub struct MissingFeatures {
    /// The kernel that cannot run.
    pub kernel: Kernel,
}

impl Kernel {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Generic,
        Self::Bmi2,
        Self::Fused,
        Self::Pair,
        Self::Rows,
        Self::Lanes8Avx2,
        Self::Lanes8Sha,
        Self::Lanes8Avx512,
        Self::Lanes16Avx512,
    ];

    /// Its name in settings and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Bmi2 => "bmi2",
            Self::Fused => "fused",
            Self::Pair => "pair",
            Self::Rows => "rows",
            Self::Lanes8Avx2 => "lanes8-avx2",
            Self::Lanes8Sha => "lanes8-sha",
            Self::Lanes8Avx512 => "lanes8-avx512",
            Self::Lanes16Avx512 => "lanes16-avx512",
        }
    }

    /// What it asks of the CPU, for people.
    pub const fn needs(self) -> &'static str {
        match self {
            Self::Generic => "nothing special",
            Self::Bmi2 => "AVX2 and BMI2",
            Self::Fused | Self::Pair => "SHA, SSE4.1 and BMI1",
            Self::Rows => "AVX-512F, BW and VL, AVX2 and BMI2",
            Self::Lanes8Avx2 => "AVX2",
            Self::Lanes8Sha => "AVX2, SHA, SSE4.1 and BMI1",
            Self::Lanes8Avx512 | Self::Lanes16Avx512 => "AVX-512F, BW and VL, and AVX2",
        }
    }

    /// How many streams it takes at once.
    pub const fn streams(self) -> usize {
        match self {
            Self::Generic | Self::Bmi2 | Self::Fused => 1,
            Self::Pair | Self::Rows => 2,
            Self::Lanes8Avx2 | Self::Lanes8Sha | Self::Lanes8Avx512 => 8,
            Self::Lanes16Avx512 => 16,
        }
    }

    /// Whether a CPU can run it.
    pub(super) const fn runs_on(self, cpu: Cpu) -> bool {
        match self {
            Self::Generic => true,
            Self::Bmi2 => cpu.avx2 && cpu.bmi,
            Self::Fused | Self::Pair => cpu.sha && cpu.bmi,
            Self::Rows => cpu.avx512 && cpu.avx2 && cpu.bmi,
            Self::Lanes8Avx2 => cpu.avx2,
            Self::Lanes8Sha => cpu.avx2 && cpu.sha && cpu.bmi,
            Self::Lanes8Avx512 | Self::Lanes16Avx512 => cpu.avx512 && cpu.avx2,
        }
    }

    /// The fastest kernel of a CPU when this many streams have blocks. docs/measurements.md has the figures behind the thresholds.
    pub(super) const fn fastest(cpu: Cpu, digests: DigestChoice, streams: usize) -> Self {
        let Cpu { avx512, avx2, sha, bmi } = cpu;
        let lanes = match (avx512 && avx2, avx2) {
            (true, _) => Some(Self::Lanes8Avx512),
            (false, true) if sha && bmi && digests.sha256 => Some(Self::Lanes8Sha),
            (false, true) => Some(Self::Lanes8Avx2),
            (false, false) => None,
        };
        let sha_single = if streams > 1 { Self::Pair } else { Self::Fused };
        // One stream; from how many streams on eight lanes are faster; from how many on sixteen. Those with SHA instructions are
        // reckoned from cycles per byte measured elsewhere (2.6-3.0 for a pair, 0.8 for MD5 in AVX2, 1.7 for SHA-256 of two).
        let (single, eight, sixteen) = match (digests.md5, digests.sha256, sha && bmi) {
            (true, true, true) => (sha_single, 6, 12),
            // Without MD5 eight lanes would be the same two at a time.
            (false, true, true) => (sha_single, if avx512 { 6 } else { usize::MAX }, 8),
            (true, false, true) => (Self::Fused, 2, 9),
            (_, _, false) if avx512 && avx2 && bmi => {
                (Self::Rows, if digests.sha256 { 3 } else { 2 }, 10)
            }
            (_, _, false) if avx2 && bmi => (Self::Bmi2, if digests.sha256 { 3 } else { 2 }, 9),
            (_, _, false) | (false, false, true) => (Self::Generic, 2, 9),
        };
        match lanes {
            Some(_) if avx512 && avx2 && streams >= sixteen => Self::Lanes16Avx512,
            Some(lanes) if streams >= eight => lanes,
            Some(_) | None => single,
        }
    }
}

/// What matters here of a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent features of a CPU")]
pub(super) struct Cpu {
    /// AVX-512F, BW and VL.
    pub(super) avx512: bool,
    pub(super) avx2: bool,
    /// SHA, SSSE3 and SSE4.1.
    pub(super) sha: bool,
    /// BMI1 and BMI2.
    pub(super) bmi: bool,
}

impl Cpu {
    /// The one that this runs on. The answers are kept by the standard library: asking again costs next to nothing.
    pub(super) fn here() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            Self {
                avx512: has!("avx512f") && has!("avx512bw") && has!("avx512vl"),
                avx2: has!("avx2"),
                sha: has!("sha") && has!("ssse3") && has!("sse4.1"),
                bmi: has!("bmi1") && has!("bmi2"),
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        Self::default()
    }
}

/// A kernel that the CPU was found to have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready(Kernel);

impl Ready {
    /// What every CPU has.
    pub(super) const GENERIC: Self = Self(Kernel::Generic);

    /// `None` when the CPU lacks something.
    pub(super) fn new(kernel: Kernel) -> Option<Self> {
        kernel.runs_on(Cpu::here()).then_some(Self(kernel))
    }

    pub(super) const fn kernel(self) -> Kernel {
        self.0
    }
}
