//! MD5 and SHA-256 of bytes on this machine, by the kernels with which the store hashes: both in one pass.

use longshore_storage::digest::{DigestChoice, DigestState, Engine};

use crate::domain::tag::hex;

/// MD5 and SHA-256 of a whole file, lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalDigests {
    /// MD5.
    pub md5: String,
    /// SHA-256.
    pub sha256: String,
}

/// Both digests of what came so far.
#[derive(Clone)]
pub(super) struct RunningDigests(DigestState);

impl RunningDigests {
    /// Of nothing yet.
    pub(super) fn new() -> Self {
        Self(DigestState::new(DigestChoice::BOTH))
    }

    /// Hashes on the calling thread: 2 to 3 ms for a MiB, by what the processor offers.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        Engine::AUTO.update(&mut [(&mut self.0, bytes)]);
    }

    /// Of everything that came.
    pub(super) fn finish(self) -> LocalDigests {
        let digests = self.0.finish();
        let text = |digest: Option<&[u8]>| digest.map(hex).unwrap_or_default();
        LocalDigests {
            md5: text(digests.md5.as_ref().map(|digest| &digest[..])),
            sha256: text(digests.sha256.as_ref().map(|digest| &digest[..])),
        }
    }
}

#[cfg(test)]
mod tests {
    use md5::{Digest, Md5};
    use sha2::Sha256;

    use super::*;

    #[test]
    fn they_are_those_of_the_crates_however_the_bytes_come() {
        let bytes: Vec<u8> =
            (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for piece_bytes in [1, 63, 64, 4096, 65_537, 300_000] {
            let mut running = RunningDigests::new();
            for piece in bytes.chunks(piece_bytes) {
                running.update(piece);
            }
            let digests = running.finish();
            assert_eq!(digests.md5, hex(&Md5::digest(&bytes)), "{piece_bytes}");
            assert_eq!(digests.sha256, hex(&Sha256::digest(&bytes)), "{piece_bytes}");
        }
    }
}
