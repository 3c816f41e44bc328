//! Digests that follow an upload, and checksums of single chunks.

mod chunk;
mod kernels;
mod state;

pub use chunk::ChunkHasher;
pub use kernels::{Engine, Kernel, KernelChoice, MissingFeatures, Speed};
pub use state::{BLOCK_BYTES, DigestState, SavedDigests};

/// Which digests follow the bytes of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigestChoice {
    /// MD5, for compatibility.
    pub md5: bool,
    /// SHA-256, which decides identity.
    pub sha256: bool,
}

impl DigestChoice {
    /// Both, the default.
    pub const BOTH: Self = Self { md5: true, sha256: true };
}

/// Digests of a whole upload; `None` for one that was not chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// MD5 of all bytes.
    pub md5: Option<[u8; 16]>,
    /// SHA-256 of all bytes.
    pub sha256: Option<[u8; 32]>,
}

/// The checksum that a client sent with one chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkChecksum {
    /// MD5.
    Md5([u8; 16]),
    /// SHA-1.
    Sha1([u8; 20]),
    /// SHA-256.
    Sha256([u8; 32]),
    /// XXH3, 64 bits, seed 0; the number as written in big-endian hex.
    Xxh3(u64),
    /// CRC-32C (Castagnoli); the number as written in big-endian hex.
    Crc32c(u32),
}
