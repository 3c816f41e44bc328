//! Running digests whose state can be kept in a checkpoint and continued by another process.

use md5::{Digest as _, Md5};
use sha2::{
    Sha256,
    digest::common::hazmat::{SerializableState, SerializedState},
};

use super::{
    DigestChoice, Digests, Engine,
    kernels::{self, Block, Part, Words},
};

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
    choice: DigestChoice,
    /// Over all whole blocks.
    words: Words,
    /// Begins with the bytes behind the last whole block.
    tail: Block,
    offset: u64,
}

impl DigestState {
    /// Digests of nothing yet.
    pub fn new(choice: DigestChoice) -> Self {
        Self { choice, words: Words::START, tail: [0; 64], offset: 0 }
    }

    /// Whether no digest was chosen, so that bytes need not be shown to [`Engine::update`].
    pub fn is_idle(&self) -> bool {
        !self.choice.md5 && !self.choice.sha256
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

    /// Bytes behind the last whole block.
    fn tail_length(&self) -> usize {
        usize::try_from(self.offset % BLOCK_BYTES).expect("less than a block")
    }

    /// Takes the bytes that do not make whole blocks; answers those that do.
    fn take_edges<'a>(&mut self, bytes: &'a [u8]) -> &'a [Block] {
        let at = self.tail_length();
        self.offset += bytes.len() as u64;
        let missing = (self.tail.len() - at) % self.tail.len();
        let (head, rest) = bytes.split_at(missing.min(bytes.len()));
        self.tail[at..at + head.len()].copy_from_slice(head);
        if head.len() == missing && missing > 0 {
            let blocks = &[self.tail];
            kernels::generic(self.choice, &mut [Part { words: &mut self.words, blocks }], 1);
        }
        let (blocks, tail) = rest.as_chunks();
        // Otherwise the head is what the tail has.
        if !tail.is_empty() {
            self.tail[..tail.len()].copy_from_slice(tail);
        }
        blocks
    }

    /// The state at the last block boundary at or below [`offset`](Self::offset).
    pub fn save(&self) -> SavedDigests {
        let mut saved = SavedDigests {
            offset: self.offset - self.offset % BLOCK_BYTES,
            md5: [0; MD5_WORDS],
            sha256: [0; SHA256_WORDS],
        };
        if self.choice.md5 {
            write_words(&self.words.md5, &mut saved.md5);
        }
        if self.choice.sha256 {
            write_words(&self.words.sha256, &mut saved.sha256);
        }
        saved
    }

    /// Continues from a saved state; `None` when its offset is not on a block boundary.
    /// The words cannot be checked here: whoever stores them adds a checksum.
    pub fn restore(choice: DigestChoice, saved: &SavedDigests) -> Option<Self> {
        if !saved.offset.is_multiple_of(BLOCK_BYTES) {
            return None;
        }
        let mut words = Words::START;
        read_words(&saved.md5, &mut words.md5);
        read_words(&saved.sha256, &mut words.sha256);
        Some(Self { choice, words, tail: [0; 64], offset: saved.offset })
    }

    /// The digests of all bytes that went in.
    pub fn finish(self) -> Digests {
        let (saved, tail) = (self.save(), &self.tail[..self.tail_length()]);
        let blocks = (saved.offset / BLOCK_BYTES).to_le_bytes();
        Digests {
            md5: self
                .choice
                .md5
                .then(|| continued::<Md5>(&saved.md5, blocks).chain_update(tail).finalize().into()),
            sha256: self.choice.sha256.then(|| {
                continued::<Sha256>(&saved.sha256, blocks).chain_update(tail).finalize().into()
            }),
        }
    }
}

impl Engine {
    /// Shows every state the bytes that continue it. They are hashed side by side where that is faster.
    pub fn update(self, streams: &mut [(&mut DigestState, &[u8])]) {
        let choices = [(true, true), (true, false), (false, true)];
        for choice in choices.map(|(md5, sha256)| DigestChoice { md5, sha256 }) {
            let chosen = streams.iter_mut().filter(|(state, _)| state.choice == choice);
            let mut parts: Vec<_> = chosen
                .map(|(state, bytes)| {
                    let blocks = state.take_edges(bytes);
                    Part { words: &mut state.words, blocks }
                })
                .collect();
            self.hash(choice, &mut parts);
        }
        for (state, bytes) in streams.iter_mut().filter(|(state, _)| state.is_idle()) {
            state.offset += bytes.len() as u64;
        }
    }
}

fn write_words(words: &[u32], into: &mut [u8]) {
    for (bytes, word) in into.as_chunks_mut().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
}

fn read_words(bytes: &[u8], into: &mut [u32]) {
    for (word, bytes) in into.iter_mut().zip(bytes.as_chunks().0) {
        *word = u32::from_le_bytes(*bytes);
    }
}

/// A hasher of the crates that stands behind so many blocks. Its serialised form is: chaining words, number of blocks, and
/// then what it has of the next block, here nothing.
fn continued<T: SerializableState>(words: &[u8], blocks: [u8; 8]) -> T {
    let mut serialized = SerializedState::<T>::default();
    serialized[..words.len()].copy_from_slice(words);
    serialized[words.len()..words.len() + 8].copy_from_slice(&blocks);
    T::deserialize(&serialized).expect("a position of zero in the block is always right")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|index| index.wrapping_mul(2_654_435_761).to_be_bytes()[4]).collect()
    }

    fn update(state: &mut DigestState, bytes: &[u8]) {
        Engine::default().update(&mut [(state, bytes)]);
    }

    fn one_shot(bytes: &[u8]) -> Digests {
        Digests { md5: Some(Md5::digest(bytes).into()), sha256: Some(Sha256::digest(bytes).into()) }
    }

    /// Hashes up to `cut`, saves, continues from what was saved, and finishes.
    fn with_cut(bytes: &[u8], cut: usize) -> Digests {
        let mut first = DigestState::new(DigestChoice::BOTH);
        update(&mut first, &bytes[..cut]);
        let saved = first.save();
        let mut second = DigestState::restore(DigestChoice::BOTH, &saved).unwrap();
        assert_eq!(second.offset(), (cut - cut % 64) as u64);
        update(&mut second, &bytes[cut - cut % 64..]);
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
        update(&mut state, &bytes[..640]);
        let mut saved = state.save();
        saved.md5[3] ^= 1;
        saved.sha256[31] ^= 1;
        let mut state = DigestState::restore(DigestChoice::BOTH, &saved).unwrap();
        update(&mut state, &bytes[640..]);
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
                update(&mut state, &bytes[done..cut.max(done)]);
                state = DigestState::restore(DigestChoice::BOTH, &state.save()).unwrap();
            }
            let done = usize::try_from(state.offset()).unwrap();
            update(&mut state, &bytes[done..]);
            prop_assert_eq!(state.finish(), one_shot(&bytes));
        }
    }
}
