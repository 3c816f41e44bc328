//! Many streams at once: who is hashed together, and by which kernel.

use std::cmp::Reverse;

use super::{
    super::DigestChoice,
    Part,
    kernel::{Cpu, Kernel, KernelChoice, MissingFeatures, Ready},
};

/// Hashes streams with the kernels that were chosen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Engine {
    choice: KernelChoice,
}

impl Engine {
    /// For every number of streams the fastest kernel that the CPU has.
    pub const AUTO: Self = Self { choice: KernelChoice::Auto };

    /// Refuses a kernel that the CPU cannot run.
    pub fn new(choice: KernelChoice) -> Result<Self, MissingFeatures> {
        match choice {
            KernelChoice::Only(kernel) if !kernel.runs_on(Cpu::here()) => {
                Err(MissingFeatures { kernel })
            }
            KernelChoice::Only(_) | KernelChoice::Auto => Ok(Self { choice }),
        }
    }

    /// What was chosen.
    pub const fn choice(self) -> KernelChoice {
        self.choice
    }

    /// How many streams are worth waiting for on one thread: as many as its widest kernel hashes side by side.
    pub fn lanes(self) -> usize {
        (1..=16)
            .map(|streams| self.kernel(DigestChoice::BOTH, streams).kernel().streams())
            .max()
            .unwrap_or(1)
    }

    /// The kernels that compute both digests of one to sixteen streams, each once, by rising number of streams.
    pub fn kernels(self) -> Vec<Kernel> {
        let mut kernels: Vec<_> =
            (1..=16).map(|streams| self.kernel(DigestChoice::BOTH, streams).kernel()).collect();
        kernels.dedup();
        kernels
    }

    pub(super) fn kernel(self, digests: DigestChoice, streams: usize) -> Ready {
        let kernel = match self.choice {
            KernelChoice::Auto => Kernel::fastest(Cpu::here(), digests, streams),
            KernelChoice::Only(kernel) => kernel,
        };
        Ready::new(kernel).unwrap_or(Ready::GENERIC)
    }

    /// Hashes all blocks of all parts. The longest parts go first and side by side, as far as the shortest among them reaches; what is
    /// left of them is a smaller batch.
    pub(in super::super) fn hash(self, digests: DigestChoice, parts: &mut [Part]) {
        if !digests.md5 && !digests.sha256 {
            return;
        }
        loop {
            parts.sort_unstable_by_key(|part| Reverse(part.blocks.len()));
            let active = parts.partition_point(|part| !part.blocks.is_empty());
            if active == 0 {
                return;
            }
            let kernel = self.kernel(digests, active);
            let together = &mut parts[..active.min(kernel.kernel().streams())];
            let blocks = together.last().map_or(0, |part| part.blocks.len());
            run(kernel, digests, together, blocks);
            for part in together {
                part.blocks = &part.blocks[blocks..];
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn run(kernel: Ready, digests: DigestChoice, parts: &mut [Part], blocks: usize) {
    super::x86::run(kernel, digests, parts, blocks);
}

#[cfg(not(target_arch = "x86_64"))]
fn run(_kernel: Ready, digests: DigestChoice, parts: &mut [Part], blocks: usize) {
    super::generic(digests, parts, blocks);
}
