//! The checksum of one request body, of the kind that its client sent.

use std::fmt::Write as _;

use sha1::{Digest as _, Sha1};
use twox_hash::XxHash3_64;

use super::{ChunkChecksum, DigestChoice, DigestState, Engine};

/// Follows the bytes of one chunk with the algorithm of its checksum.
pub struct ChunkHasher {
    running: Running,
    expected: ChunkChecksum,
}

enum Running {
    /// MD5 or SHA-256.
    Digest(DigestState),
    Sha1(Sha1),
    Xxh3(Box<XxHash3_64>),
    Crc32c(u32),
}

impl ChunkHasher {
    /// Starts at the first byte of the chunk that is to have the checksum `expected`.
    pub fn new(expected: ChunkChecksum) -> Self {
        let digest = |md5| Running::Digest(DigestState::new(DigestChoice { md5, sha256: !md5 }));
        let running = match expected {
            ChunkChecksum::Md5(_) => digest(true),
            ChunkChecksum::Sha1(_) => Running::Sha1(Sha1::new()),
            ChunkChecksum::Sha256(_) => digest(false),
            ChunkChecksum::Xxh3(_) => Running::Xxh3(Box::new(XxHash3_64::with_seed(0))),
            ChunkChecksum::Crc32c(_) => Running::Crc32c(0),
        };
        Self { running, expected }
    }

    /// Takes the next bytes of the chunk.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.running {
            Running::Digest(state) => Engine::AUTO.update(&mut [(state, bytes)]),
            Running::Sha1(running) => running.update(bytes),
            Running::Xxh3(running) => std::hash::Hasher::write(&mut **running, bytes),
            Running::Crc32c(sum) => *sum = crc32c::crc32c_append(*sum, bytes),
        }
    }

    /// The state that takes the next bytes instead of [`update`](Self::update) where the checksum is a digest that
    /// [`Engine::update`] hashes side by side with others.
    pub fn digests(&mut self) -> Option<&mut DigestState> {
        match &mut self.running {
            Running::Digest(state) => Some(state),
            Running::Sha1(_) | Running::Xxh3(_) | Running::Crc32c(_) => None,
        }
    }

    /// Compares; the error is what the bytes really hash to, in lower-case hex.
    pub fn verify(self) -> Result<(), String> {
        let actual = match self.running {
            Running::Digest(state) => {
                let digests = state.finish();
                let md5 = digests.md5.map(ChunkChecksum::Md5);
                md5.or(digests.sha256.map(ChunkChecksum::Sha256)).expect("one of them was chosen")
            }
            Running::Sha1(running) => ChunkChecksum::Sha1(running.finalize().into()),
            Running::Xxh3(running) => ChunkChecksum::Xxh3(std::hash::Hasher::finish(&*running)),
            Running::Crc32c(sum) => ChunkChecksum::Crc32c(sum),
        };
        if actual == self.expected { Ok(()) } else { Err(actual.to_hex()) }
    }
}

impl ChunkChecksum {
    /// The value in lower-case hex.
    pub fn to_hex(self) -> String {
        match self {
            Self::Md5(value) => hex(&value),
            Self::Sha1(value) => hex(&value),
            Self::Sha256(value) => hex(&value),
            Self::Xxh3(value) => hex(&value.to_be_bytes()),
            Self::Crc32c(value) => hex(&value.to_be_bytes()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A checksum that nothing in these tests has.
    fn blank(kind: usize) -> ChunkChecksum {
        match kind {
            0 => ChunkChecksum::Md5([0; 16]),
            1 => ChunkChecksum::Sha1([0; 20]),
            2 => ChunkChecksum::Sha256([0; 32]),
            3 => ChunkChecksum::Xxh3(0),
            _ => ChunkChecksum::Crc32c(1),
        }
    }

    #[test]
    fn known_values() {
        let expected = [
            "900150983cd24fb0d6963f7d28e17f72",
            "a9993e364706816aba3e25717850c26c9cd0d89d",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "78af5f94892f3950",
            "364b3fb7",
        ];
        for (kind, expected) in expected.iter().enumerate() {
            let mut hasher = ChunkHasher::new(blank(kind));
            hasher.update(b"abc");
            assert_eq!(hasher.verify().unwrap_err(), *expected);
        }
    }

    #[test]
    fn a_match_is_a_match_and_one_bit_is_not() {
        let mut right = ChunkHasher::new(ChunkChecksum::Crc32c(0x364b_3fb7));
        right.update(b"abc");
        assert_eq!(right.verify(), Ok(()));
        let mut wrong = ChunkHasher::new(ChunkChecksum::Crc32c(0x364b_3fb6));
        wrong.update(b"abc");
        assert!(wrong.verify().is_err());
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(bytes in prop::collection::vec(any::<u8>(), 0..2000), cut in 0usize..2000) {
            let cut = cut.min(bytes.len());
            for kind in 0..5 {
                let mut whole = ChunkHasher::new(blank(kind));
                whole.update(&bytes);
                let mut parts = ChunkHasher::new(blank(kind));
                parts.update(&bytes[..cut]);
                parts.update(&bytes[cut..]);
                prop_assert_eq!(whole.verify(), parts.verify());
            }
        }
    }
}
