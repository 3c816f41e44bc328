//! One upload of the reference model: pieces of bytes by position, and the requests that are writing.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::{
    digest::{ChunkChecksum, Digests},
    store::{Chunk, Ended, UploadPhase, UploadSpec, UploadState},
};

/// A request that holds a claim.
#[derive(Clone)]
pub(super) struct Slot {
    pub(super) id: u64,
    pub(super) chunk: Chunk,
    pub(super) claim: Vec<Range<u64>>,
    /// Everything that came, from the beginning of the chunk; counted only at the end.
    pub(super) received: Vec<u8>,
    pub(super) last_byte: Instant,
}

impl Slot {
    pub(super) fn overlaps(&self, range: &Range<u64>) -> bool {
        self.claim.iter().any(|claimed| claimed.start < range.end && range.start < claimed.end)
    }

    /// The range that the chunk covers: as announced, or as far as it came.
    pub(super) fn range(&self) -> Range<u64> {
        let length = self.chunk.length.unwrap_or(self.received.len() as u64);
        self.chunk.offset..self.chunk.offset + length
    }
}

/// One upload.
#[derive(Clone)]
pub(super) struct Upload {
    pub(super) spec: UploadSpec,
    pub(super) epoch: u64,
    pub(super) declared: Option<u64>,
    pub(super) writers: Vec<Slot>,
    pub(super) revoked: bool,
    pub(super) finished: bool,
    /// Bytes that count, by position; disjoint.
    pieces: BTreeMap<u64, Vec<u8>>,
    ended: HashMap<u64, (Ended, u64)>,
    next_id: u64,
}

impl Upload {
    pub(super) fn new(epoch: u64, spec: UploadSpec) -> Self {
        Self {
            spec,
            epoch,
            declared: spec.declared_length,
            writers: Vec::new(),
            revoked: false,
            finished: false,
            pieces: BTreeMap::new(),
            ended: HashMap::new(),
            next_id: 0,
        }
    }

    /// Stored ranges, joined where they touch.
    pub(super) fn extents(&self) -> Vec<Range<u64>> {
        joined(self.pieces.iter().map(|(start, bytes)| *start..*start + bytes.len() as u64))
    }

    pub(super) fn offset(&self) -> u64 {
        self.extents().first().filter(|first| first.start == 0).map_or(0, |first| first.end)
    }

    pub(super) fn end_of_bytes(&self) -> u64 {
        self.extents().last().map_or(0, |last| last.end)
    }

    /// The parts of `range` that are not stored.
    pub(super) fn missing(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let mut missing = Vec::new();
        let mut position = range.start;
        for extent in self.extents() {
            if extent.end <= position || extent.start >= range.end {
                continue;
            }
            if extent.start > position {
                missing.push(position..extent.start);
            }
            position = extent.end;
        }
        if position < range.end {
            missing.push(position..range.end);
        }
        missing
    }

    /// How many extents there would be if every claim, and `claim`, were stored.
    pub(super) fn extents_with(&self, claim: &[Range<u64>]) -> usize {
        let claimed = self.writers.iter().flat_map(|slot| slot.claim.iter()).chain(claim).cloned();
        let mut ranges: Vec<_> = self.extents().into_iter().chain(claimed).collect();
        ranges.sort_by_key(|range| range.start);
        joined(ranges.into_iter()).len()
    }

    /// The stored bytes of `range`, as far as they reach without a gap from its start.
    pub(super) fn read(&self, range: &Range<u64>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (start, piece) in &self.pieces {
            let position = range.start + bytes.len() as u64;
            let end = *start + piece.len() as u64;
            if *start <= position && position < end && position < range.end {
                let from = (position - start) as usize;
                let to = (end.min(range.end) - start) as usize;
                bytes.extend_from_slice(&piece[from..to]);
            }
        }
        bytes
    }

    pub(super) fn state(&self) -> UploadState {
        let offset = self.offset();
        UploadState {
            declared_length: self.declared,
            extents: self.extents(),
            offset,
            hashed_offset: if self.finished { offset } else { 0 },
            digests: self.spec.digests,
            writers: u32::try_from(self.writers.len()).unwrap_or(u32::MAX),
            phase: if self.revoked { UploadPhase::Revoked } else { UploadPhase::Open },
        }
    }

    pub(super) fn claim(&mut self, chunk: Chunk, claim: Vec<Range<u64>>, now: Instant) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.writers.push(Slot { id, chunk, claim, received: Vec::new(), last_byte: now });
        id
    }

    pub(super) fn writer(&mut self, id: u64) -> Option<&mut Slot> {
        self.writers.iter_mut().find(|slot| slot.id == id)
    }

    /// Why a writer was ended, and how many bytes of its chunk counted then.
    pub(super) fn ended(&self, id: u64) -> Option<(Ended, u64)> {
        self.ended.get(&id).copied()
    }

    /// Takes a writer out; what it received inside its claim counts where `counts` says so.
    /// Answers how many bytes of its chunk are stored now.
    pub(super) fn release(&mut self, id: u64, counts: bool) -> u64 {
        let Some(index) = self.writers.iter().position(|slot| slot.id == id) else { return 0 };
        let slot = self.writers.remove(index);
        // A length declared while the request ran cuts it.
        let length = self.declared.unwrap_or(u64::MAX);
        let came_to = length.min(slot.chunk.offset + slot.received.len() as u64);
        for claimed in slot.claim.iter().filter(|_| counts) {
            let end = claimed.end.min(came_to);
            if claimed.start < end {
                let from = (claimed.start - slot.chunk.offset) as usize;
                let to = (end - slot.chunk.offset) as usize;
                self.pieces.insert(claimed.start, slot.received[from..to].to_vec());
            }
        }
        let range = slot.range();
        let missing = self.missing(&range).iter().map(|gap| gap.end - gap.start).sum::<u64>();
        range.end - range.start - missing
    }

    /// Ends a writer from outside: what came counts unless it has to be checked first.
    pub(super) fn end(&mut self, id: u64, why: Ended) {
        let counts = self.writer(id).is_some_and(|slot| slot.chunk.checksum.is_none());
        let counted = self.release(id, counts);
        self.ended.insert(id, (why, counted));
    }

    pub(super) fn end_all(&mut self, why: Ended) {
        while let Some(id) = self.writers.first().map(|slot| slot.id) {
            self.end(id, why);
        }
    }

    /// Ends all writers; nothing of theirs counts.
    pub(super) fn forget_writers(&mut self, why: Ended) {
        for slot in std::mem::take(&mut self.writers) {
            self.ended.insert(slot.id, (why, 0));
        }
    }

    /// The chosen digests of everything from 0 to the offset.
    pub(super) fn digests(&self) -> Digests {
        let bytes = self.read(&(0..self.offset()));
        Digests {
            md5: self.spec.digests.md5.then(|| Md5::digest(&bytes).into()),
            sha256: self.spec.digests.sha256.then(|| Sha256::digest(&bytes).into()),
        }
    }
}

/// Sorted ranges, joined where they touch or overlap.
fn joined(ranges: impl Iterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            Some(_) | None => joined.push(range),
        }
    }
    joined
}

/// Whether `bytes` have the checksum; if not, what they hash to.
pub(super) fn check(expected: &ChunkChecksum, bytes: &[u8]) -> Result<(), String> {
    let (matches, actual) = match expected {
        ChunkChecksum::Md5(sum) => compare(sum, &Md5::digest(bytes)),
        ChunkChecksum::Sha1(sum) => compare(sum, &Sha1::digest(bytes)),
        ChunkChecksum::Sha256(sum) => compare(sum, &Sha256::digest(bytes)),
        ChunkChecksum::Xxh3(sum) => {
            compare(&sum.to_be_bytes(), &twox_hash::XxHash3_64::oneshot(bytes).to_be_bytes())
        }
        ChunkChecksum::Crc32c(sum) => {
            compare(&sum.to_be_bytes(), &crc32c::crc32c(bytes).to_be_bytes())
        }
    };
    if matches { Ok(()) } else { Err(actual) }
}

fn compare(expected: &[u8], actual: &[u8]) -> (bool, String) {
    let hex = actual.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    (expected == actual, hex)
}
