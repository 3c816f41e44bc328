//! Running digests whose state can be kept in a checkpoint and continued by another process.

use md5::{Digest as _, Md5};
use sha2::{
    Sha256,
    digest::common::hazmat::{SerializableState, SerializedState},
};

use super::{DigestChoice, Digests};

/// Both digests work in blocks of this many bytes; a saved state always stands on a block boundary.
pub const BLOCK_BYTES: u64 = 64;

const MD5_WORDS: usize = 16;
const SHA256_WORDS: usize = 32;

/// What a checkpoint keeps of running digests: the chaining words at a block boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavedDigests {
    /// Bytes that went in; a multiple of [`BLOCK_BYTES`].
    pub offset: u64,
    /// Four words of MD5, little-endian; zeros when MD5 was not chosen.
    pub md5: [u8; MD5_WORDS],
    /// Eight words of SHA-256, little-endian; zeros when SHA-256 was not chosen.
    pub sha256: [u8; SHA256_WORDS],
}

/// The digests of the first [`offset`](Self::offset) bytes of something, while more are to come.
#[derive(Clone)]
pub struct DigestState {
    md5: Option<Md5>,
    sha256: Option<Sha256>,
    offset: u64,
}

impl DigestState {
    /// Digests of nothing yet.
    pub fn new(choice: DigestChoice) -> Self {
        Self { md5: choice.md5.then(Md5::new), sha256: choice.sha256.then(Sha256::new), offset: 0 }
    }

    /// Whether no digest was chosen, so that bytes need not be shown to [`update`](Self::update).
    pub fn is_idle(&self) -> bool {
        self.md5.is_none() && self.sha256.is_none()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        // In pieces that stay in the first-level cache, so that the second digest finds them there.
        for piece in bytes.chunks(16 << 10) {
            if let Some(md5) = &mut self.md5 {
                md5.update(piece);
            }
            if let Some(sha256) = &mut self.sha256 {
                sha256.update(piece);
            }
        }
        self.offset += bytes.len() as u64;
    }

    /// Moves on without bytes: only where no digest was chosen.
    pub fn skip_to(&mut self, offset: u64) {
        debug_assert!(self.is_idle(), "bytes may be skipped only when nothing is hashed");
        self.offset = self.offset.max(offset);
    }

    /// Bytes that went in so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The state at the last block boundary at or below [`offset`](Self::offset).
    pub fn save(&self) -> SavedDigests {
        let mut saved = SavedDigests {
            offset: self.offset - self.offset % BLOCK_BYTES,
            md5: [0; MD5_WORDS],
            sha256: [0; SHA256_WORDS],
        };
        // The serialised form is: chaining words, block count, position in the block, block. Only the words are needed:
        // they change at block boundaries alone, and the count follows from the offset.
        if let Some(md5) = &self.md5 {
            saved.md5.copy_from_slice(&md5.serialize()[..MD5_WORDS]);
        }
        if let Some(sha256) = &self.sha256 {
            saved.sha256.copy_from_slice(&sha256.serialize()[..SHA256_WORDS]);
        }
        saved
    }

    /// Continues from a saved state; `None` when its offset is not on a block boundary.
    /// The words cannot be checked here: whoever stores them adds a checksum.
    pub fn restore(choice: DigestChoice, saved: &SavedDigests) -> Option<Self> {
        if !saved.offset.is_multiple_of(BLOCK_BYTES) {
            return None;
        }
        let blocks = (saved.offset / BLOCK_BYTES).to_le_bytes();
        let md5 = if choice.md5 { Some(continued(&saved.md5, blocks)?) } else { None };
        let sha256 = if choice.sha256 { Some(continued(&saved.sha256, blocks)?) } else { None };
        Some(Self { md5, sha256, offset: saved.offset })
    }

    /// The digests of all bytes that went in.
    pub fn finish(self) -> Digests {
        Digests {
            md5: self.md5.map(|md5| md5.finalize().into()),
            sha256: self.sha256.map(|sha256| sha256.finalize().into()),
        }
    }
}

fn continued<T: SerializableState>(words: &[u8], blocks: [u8; 8]) -> Option<T> {
    let mut serialized = SerializedState::<T>::default();
    serialized[..words.len()].copy_from_slice(words);
    serialized[words.len()..words.len() + 8].copy_from_slice(&blocks);
    T::deserialize(&serialized).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|index| index.wrapping_mul(2_654_435_761).to_be_bytes()[4]).collect()
    }

    fn one_shot(bytes: &[u8]) -> Digests {
        Digests { md5: Some(Md5::digest(bytes).into()), sha256: Some(Sha256::digest(bytes).into()) }
    }

    /// Hashes up to `cut`, saves, continues from what was saved, and finishes.
    fn with_cut(bytes: &[u8], cut: usize) -> Digests {
        let mut first = DigestState::new(DigestChoice::BOTH);
        first.update(&bytes[..cut]);
        let saved = first.save();
        drop(first);
        let mut second = DigestState::restore(DigestChoice::BOTH, &saved).unwrap();
        assert_eq!(second.offset(), (cut - cut % 64) as u64);
        second.update(&bytes[cut - cut % 64..]);
        second.finish()
    }

    #[test]
    fn every_small_cut_gives_the_same_digests() {
        let bytes = bytes(100_003);
        let expected = one_shot(&bytes);
        for cut in (0..=200).chain([4095, 4096, 4097, 65_553, 100_002, 100_003]) {
            assert_eq!(with_cut(&bytes, cut), expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_wrong_word_gives_other_digests() {
        let bytes = bytes(1000);
        let mut state = DigestState::new(DigestChoice::BOTH);
        state.update(&bytes[..640]);
        let mut saved = state.save();
        saved.md5[3] ^= 1;
        saved.sha256[31] ^= 1;
        let mut state = DigestState::restore(DigestChoice::BOTH, &saved).unwrap();
        state.update(&bytes[640..]);
        let (wrong, right) = (state.finish(), one_shot(&bytes));
        assert!(wrong.md5 != right.md5 && wrong.sha256 != right.sha256);
    }

    #[test]
    fn an_offset_inside_a_block_is_refused() {
        let mut saved = DigestState::new(DigestChoice::BOTH).save();
        saved.offset = 65;
        assert!(DigestState::restore(DigestChoice::BOTH, &saved).is_none());
    }

    #[test]
    fn digests_of_nothing_are_known() {
        assert_eq!(DigestState::new(DigestChoice::BOTH).finish(), one_shot(b""));
        let none = DigestChoice { md5: false, sha256: false };
        assert!(DigestState::new(none).is_idle());
        assert_eq!(DigestState::new(none).finish(), Digests { md5: None, sha256: None });
    }

    proptest! {
        #[test]
        fn any_chain_of_cuts_gives_the_same_digests(
            length in 0usize..20_000,
            cuts in prop::collection::vec(0usize..20_000, 0..6),
        ) {
            let bytes = bytes(length);
            let mut state = DigestState::new(DigestChoice::BOTH);
            let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut <= length).collect();
            cuts.sort_unstable();
            for cut in cuts {
                let done = usize::try_from(state.offset()).unwrap();
                state.update(&bytes[done..cut.max(done)]);
                state = DigestState::restore(DigestChoice::BOTH, &state.save()).unwrap();
            }
            let done = usize::try_from(state.offset()).unwrap();
            state.update(&bytes[done..]);
            prop_assert_eq!(state.finish(), one_shot(&bytes));
        }
    }
}
