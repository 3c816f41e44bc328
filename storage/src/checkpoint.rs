//! The durable record of one upload, as bytes. Knows no file: any store can keep it.
//!
//! # Format, version 1 (all numbers little-endian)
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | `LSCP` |
//! | 4 | 1 | version, 1 |
//! | 5 | 1 | flags: 1 length declared, 2 MD5 chosen, 4 SHA-256 chosen, 8 finished, 16 image named |
//! | 6 | 2 | zero |
//! | 8 | 4 | number of extents |
//! | 12 | 4 | zero |
//! | 16 | 8 | sequence number of the record |
//! | 24 | 16 | key of the upload |
//! | 40 | 8 | owner epoch |
//! | 48 | 8 | declared length |
//! | 56 | 8 | hashed offset, a multiple of 64 (the length when finished) |
//! | 64 | 16 | MD5: the four chaining words, or the digest when finished |
//! | 80 | 32 | SHA-256: the eight chaining words, or the digest when finished |
//! | 112 | 16 | key of the image that the upload is to become |
//! | 128 | 16 each | extents: first byte, first byte after |
//! | then | 4 | CRC-32C of everything before |

use std::ops::Range;

use uuid::Uuid;

use crate::{
    digest::{BLOCK_BYTES, DigestChoice, Digests, SavedDigests},
    error::{Result, StoreError},
    extents::Extents,
    store::{ImageKey, UploadKey},
};

const MAGIC: [u8; 4] = *b"LSCP";
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 128;
const EXTENT_BYTES: usize = 16;
const CRC_BYTES: usize = 4;
const DECLARED: u8 = 1;
const MD5: u8 = 2;
const SHA256: u8 = 4;
const FINISHED: u8 = 8;
const IMAGE: u8 = 16;

/// How far the digests are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestProgress {
    /// On their way; the state belongs exactly to its offset (I1).
    Running(SavedDigests),
    /// Known. The answer of finishing is this record, so that it can be repeated after a crash.
    Finished(Digests),
}

/// Everything that survives of an upload besides its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The upload; a record that lies at the wrong place is found out.
    pub key: UploadKey,
    /// Grows with every record of the upload; the highest whole one counts.
    pub sequence: u64,
    /// Highest owner epoch seen.
    pub epoch: u64,
    /// Length of the whole, once declared.
    pub declared_length: Option<u64>,
    /// Which digests follow.
    pub choice: DigestChoice,
    /// What is stored durably.
    pub extents: Extents,
    /// How far the digests are; never beyond the prefix of `extents`.
    pub digests: DigestProgress,
    /// The image that publishing was begun for.
    pub image: Option<ImageKey>,
}

impl Checkpoint {
    /// First missing byte.
    pub fn offset(&self) -> u64 {
        self.extents.prefix()
    }

    /// How far the digests are.
    pub fn hashed_offset(&self) -> u64 {
        match &self.digests {
            DigestProgress::Running(saved) => saved.offset,
            DigestProgress::Finished(_) => self.extents.prefix(),
        }
    }

    /// Bytes that a record with this many extents has.
    pub const fn encoded_bytes(extents: usize) -> usize {
        HEAD_BYTES + extents * EXTENT_BYTES + CRC_BYTES
    }

    /// The record as bytes, checksum included.
    ///
    /// # Panics
    /// With more than `u32::MAX` extents; limits are far below.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEAD_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4] = VERSION;
        bytes[5] = self.flags();
        let count = u32::try_from(self.extents.len()).expect("extents are limited to thousands");
        bytes[8..12].copy_from_slice(&count.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..40].copy_from_slice(self.key.0.as_bytes());
        bytes[40..48].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.declared_length.unwrap_or(0).to_le_bytes());
        bytes[56..64].copy_from_slice(&self.hashed_offset().to_le_bytes());
        let (md5, sha256) = match &self.digests {
            DigestProgress::Running(saved) => (saved.md5, saved.sha256),
            DigestProgress::Finished(digests) => {
                (digests.md5.unwrap_or_default(), digests.sha256.unwrap_or_default())
            }
        };
        bytes[64..80].copy_from_slice(&md5);
        bytes[80..112].copy_from_slice(&sha256);
        if let Some(image) = self.image {
            bytes[112..128].copy_from_slice(image.0.as_bytes());
        }
        for extent in self.extents.as_slice() {
            bytes.extend_from_slice(&extent.start.to_le_bytes());
            bytes.extend_from_slice(&extent.end.to_le_bytes());
        }
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn flags(&self) -> u8 {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        flag(self.declared_length.is_some(), DECLARED)
            | flag(self.choice.md5, MD5)
            | flag(self.choice.sha256, SHA256)
            | flag(matches!(self.digests, DigestProgress::Finished(_)), FINISHED)
            | flag(self.image.is_some(), IMAGE)
    }

    /// Reads a record from the beginning of `bytes`; what follows it is ignored. Every record that breaks a rule of the
    /// format is `Damaged`, so that a wrong offset is never taken for a right one.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let head = bytes.get(..HEAD_BYTES).ok_or_else(|| damaged("it is too short"))?;
        if head[..4] != MAGIC {
            return Err(damaged("it does not begin like a checkpoint"));
        }
        if head[4] != VERSION {
            return Err(damaged(
                "it has an unknown version; a newer Longshore may have written it",
            ));
        }
        let count = number(head, 8, 4);
        let count = usize::try_from(count).map_err(|_| damaged("too many extents"))?;
        let end = count
            .checked_mul(EXTENT_BYTES)
            .and_then(|length| length.checked_add(HEAD_BYTES))
            .ok_or_else(|| damaged("too many extents"))?;
        let sum = bytes.get(end..end + CRC_BYTES).ok_or_else(|| damaged("it is cut off"))?;
        if crc32c::crc32c(&bytes[..end]).to_le_bytes() != sum {
            return Err(damaged("its checksum does not match"));
        }
        Self::from_checked(head, &bytes[HEAD_BYTES..end])
    }

    fn from_checked(head: &[u8], extents: &[u8]) -> Result<Self> {
        let flags = head[5];
        if flags & !(DECLARED | MD5 | SHA256 | FINISHED | IMAGE) != 0 {
            return Err(damaged("it has unknown flags"));
        }
        let choice = DigestChoice { md5: flags & MD5 != 0, sha256: flags & SHA256 != 0 };
        let extents: Vec<Range<u64>> = extents
            .chunks_exact(EXTENT_BYTES)
            .map(|extent| number(extent, 0, 8)..number(extent, 8, 8))
            .collect();
        let extents =
            Extents::from_sorted(extents).ok_or_else(|| damaged("its extents are not in order"))?;
        let md5: [u8; 16] = array(head, 64);
        let sha256: [u8; 32] = array(head, 80);
        let hashed_offset = number(head, 56, 8);
        let digests = if flags & FINISHED != 0 {
            let md5 = choice.md5.then_some(md5);
            DigestProgress::Finished(Digests { md5, sha256: choice.sha256.then_some(sha256) })
        } else {
            DigestProgress::Running(SavedDigests { offset: hashed_offset, md5, sha256 })
        };
        let declared_length = (flags & DECLARED != 0).then(|| number(head, 48, 8));
        let image = (flags & IMAGE != 0).then(|| ImageKey(Uuid::from_bytes(array(head, 112))));
        let checkpoint = Self {
            key: UploadKey(Uuid::from_bytes(array(head, 24))),
            sequence: number(head, 16, 8),
            epoch: number(head, 40, 8),
            declared_length,
            choice,
            extents,
            digests,
            image,
        };
        checkpoint.checked(hashed_offset)
    }

    /// The rules between the fields.
    fn checked(self, hashed_offset: u64) -> Result<Self> {
        if hashed_offset > self.extents.prefix() {
            return Err(damaged("its digests are ahead of its bytes"));
        }
        if self.declared_length.is_some_and(|length| self.extents.end() > length) {
            return Err(damaged("it has bytes beyond its length"));
        }
        let whole = self.declared_length == Some(self.extents.prefix());
        match self.digests {
            DigestProgress::Running(_) if !hashed_offset.is_multiple_of(BLOCK_BYTES) => {
                Err(damaged("its hashed offset is not on a block"))
            }
            DigestProgress::Finished(_) if !whole => {
                Err(damaged("it is finished, but bytes are missing"))
            }
            DigestProgress::Running(_) | DigestProgress::Finished(_) => Ok(self),
        }
    }
}

/// Of the records in two slots that are written in turn, the one that counts: the whole one with the higher sequence
/// number. `Damaged` when neither is whole.
pub fn newest(slots: [&[u8]; 2]) -> Result<(usize, Checkpoint)> {
    let [first, second] = slots.map(Checkpoint::decode);
    match (first, second) {
        (Ok(first), Ok(second)) if second.sequence > first.sequence => Ok((1, second)),
        (Ok(first), _) => Ok((0, first)),
        (Err(_), Ok(second)) => Ok((1, second)),
        (Err(error), Err(_)) => Err(error),
    }
}

fn damaged(message: &str) -> StoreError {
    StoreError::Damaged { what: "checkpoint".to_owned(), message: message.to_owned() }
}

fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let mut value = [0; 8];
    value[..length].copy_from_slice(&bytes[at..at + length]);
    u64::from_le_bytes(value)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut value = [0; N];
    value.copy_from_slice(&bytes[at..at + N]);
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{DigestState, Engine};
    use proptest::prelude::*;

    fn sample(extents: &[(u64, u64)], finished: bool) -> Checkpoint {
        let mut set = Extents::new();
        for &(start, end) in extents {
            set.insert(start..end);
        }
        let mut state = DigestState::new(DigestChoice::BOTH);
        let hashed = usize::try_from(set.prefix().min(1000)).unwrap();
        Engine::AUTO.update(&mut [(&mut state, &vec![7; hashed])]);
        let declared_length = if finished { Some(set.prefix()) } else { None };
        Checkpoint {
            key: UploadKey(Uuid::from_u128(0x1234_5678)),
            sequence: 42,
            epoch: 7,
            declared_length,
            choice: DigestChoice::BOTH,
            extents: set,
            digests: if finished {
                DigestProgress::Finished(state.finish())
            } else {
                DigestProgress::Running(state.save())
            },
            image: finished.then(|| ImageKey(Uuid::from_u128(9))),
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        for checkpoint in [
            sample(&[], false),
            sample(&[(0, 5000), (6000, 7000)], false),
            sample(&[(10, 20)], false),
            sample(&[(0, 900)], true),
            sample(&[], true),
        ] {
            let mut bytes = checkpoint.encode();
            assert_eq!(bytes.len(), Checkpoint::encoded_bytes(checkpoint.extents.len()));
            bytes.extend_from_slice(b"an older, longer record lay here");
            assert_eq!(Checkpoint::decode(&bytes).unwrap(), checkpoint);
        }
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let bytes = sample(&[(0, 5000), (6000, 7000)], false).encode();
        for bit in 0..bytes.len() * 8 {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(Checkpoint::decode(&broken).is_err(), "bit {bit} went unnoticed");
        }
    }

    #[test]
    fn rules_between_fields_hold_although_the_checksum_matches() {
        let mut ahead = sample(&[(0, 640)], false);
        ahead.extents = Extents::new();
        let mut beyond = sample(&[(0, 640)], false);
        beyond.declared_length = Some(100);
        let mut unfinished = sample(&[(0, 640)], true);
        unfinished.declared_length = Some(641);
        for broken in [ahead, beyond, unfinished] {
            assert!(Checkpoint::decode(&broken.encode()).is_err(), "{broken:?} was taken");
        }
    }

    #[test]
    fn a_torn_slot_leaves_the_other() {
        let old = sample(&[(0, 640)], false);
        let new = Checkpoint { sequence: 43, ..sample(&[(0, 6400)], false) };
        let (old_bytes, new_bytes) = (old.encode(), new.encode());
        assert_eq!(newest([&old_bytes, &new_bytes]).unwrap(), (1, new.clone()));
        assert_eq!(newest([&new_bytes, &old_bytes]).unwrap(), (0, new));
        for cut in 0..new_bytes.len() {
            let mut torn = new_bytes.clone();
            torn[cut..].fill(0xa5);
            assert_eq!(newest([&old_bytes, &torn]).unwrap(), (0, old.clone()), "torn at {cut}");
        }
        assert!(newest([&[], &[]]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_keep_the_rules(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            // With a right head and checksum, so that the rules behind them are reached.
            let mut bytes = bytes;
            if bytes.len() >= HEAD_BYTES {
                bytes[..4].copy_from_slice(&MAGIC);
                bytes[4] = VERSION;
                let count = (bytes.len() - HEAD_BYTES) / EXTENT_BYTES;
                bytes[8..12].copy_from_slice(&u32::try_from(count).unwrap().to_le_bytes());
                bytes.truncate(HEAD_BYTES + count * EXTENT_BYTES);
                bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
            }
            if let Ok(checkpoint) = Checkpoint::decode(&bytes) {
                prop_assert!(checkpoint.hashed_offset() <= checkpoint.offset());
                prop_assert_eq!(Checkpoint::decode(&checkpoint.encode()).unwrap(), checkpoint);
            }
        }
    }
}
