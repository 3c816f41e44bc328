//! The checksum of one request body, of the kind that its client sent.

use std::fmt::Write as _;

use md5::{Digest as _, Md5};
use sha1::Sha1;
use sha2::Sha256;
use twox_hash::XxHash3_64;

use super::ChunkChecksum;

/// Follows the bytes of one chunk with the algorithm of its checksum.
pub struct ChunkHasher {
    engine: Engine,
    expected: ChunkChecksum,
}

enum Engine {
    Md5(Md5),
    Sha1(Sha1),
    Sha256(Sha256),
    Xxh3(Box<XxHash3_64>),
    Crc32c(u32),
}

impl ChunkHasher {
    /// Starts at the first byte of the chunk that is to have the checksum `expected`.
    pub fn new(expected: ChunkChecksum) -> Self {
        let engine = match expected {
            ChunkChecksum::Md5(_) => Engine::Md5(Md5::new()),
            ChunkChecksum::Sha1(_) => Engine::Sha1(Sha1::new()),
            ChunkChecksum::Sha256(_) => Engine::Sha256(Sha256::new()),
            ChunkChecksum::Xxh3(_) => Engine::Xxh3(Box::new(XxHash3_64::with_seed(0))),
            ChunkChecksum::Crc32c(_) => Engine::Crc32c(0),
        };
        Self { engine, expected }
    }

    /// Takes the next bytes of the chunk.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.engine {
            Engine::Md5(engine) => engine.update(bytes),
            Engine::Sha1(engine) => engine.update(bytes),
            Engine::Sha256(engine) => engine.update(bytes),
            Engine::Xxh3(engine) => std::hash::Hasher::write(&mut **engine, bytes),
            Engine::Crc32c(sum) => *sum = crc32c::crc32c_append(*sum, bytes),
        }
    }

    /// Compares; the error is what the bytes really hash to, in lower-case hex.
    pub fn verify(self) -> Result<(), String> {
        let actual = match self.engine {
            Engine::Md5(engine) => ChunkChecksum::Md5(engine.finalize().into()),
            Engine::Sha1(engine) => ChunkChecksum::Sha1(engine.finalize().into()),
            Engine::Sha256(engine) => ChunkChecksum::Sha256(engine.finalize().into()),
            Engine::Xxh3(engine) => ChunkChecksum::Xxh3(std::hash::Hasher::finish(&*engine)),
            Engine::Crc32c(sum) => ChunkChecksum::Crc32c(sum),
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
