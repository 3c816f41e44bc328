//! Parts of the file that are collected while the bytes flow.

use std::ops::Range;

use crate::extents::{Extents, overlap};

/// Pieces of one part that may lie apart. A piece that would be one too many is not kept and asked for again later.
const PIECES_MAX: usize = 64;

/// Which part of the file it is, and with it who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Part {
    Sector,
    Head,
    VmdkDescriptor,
    VhdDynamic,
    VhdxHeaderA,
    VhdxHeaderB,
    VhdxTableA,
    VhdxTableB,
    VhdxMetadata,
    VhdxParameters,
    VhdxDiskSize,
    VhdxSectorBytes,
    Tail,
}

impl Part {
    pub(super) const ALL: [Self; 13] = [
        Self::Sector,
        Self::Head,
        Self::VmdkDescriptor,
        Self::VhdDynamic,
        Self::VhdxHeaderA,
        Self::VhdxHeaderB,
        Self::VhdxTableA,
        Self::VhdxTableB,
        Self::VhdxMetadata,
        Self::VhdxParameters,
        Self::VhdxDiskSize,
        Self::VhdxSectorBytes,
        Self::Tail,
    ];

    /// Whether a file may end within it and still be whole.
    pub(super) const fn may_be_cut(self) -> bool {
        matches!(self, Self::Sector | Self::Head | Self::Tail)
    }
}

/// One part and what has come of it.
#[derive(Debug)]
pub(super) struct Region {
    pub(super) part: Part,
    pub(super) start: u64,
    pub(super) length: usize,
    /// As far as something has come; never allocated by what a header claims alone.
    bytes: Vec<u8>,
    have: Extents,
}

impl Region {
    pub(super) const fn new(part: Part, start: u64, length: usize) -> Self {
        Self { part, start, length, bytes: Vec::new(), have: Extents::new() }
    }

    pub(super) fn range(&self) -> Range<u64> {
        self.start..self.start.saturating_add(self.length as u64)
    }

    /// The part as far as the file goes.
    fn within(&self, file: Option<u64>) -> Range<u64> {
        let range = self.range();
        range.start..range.end.min(file.unwrap_or(u64::MAX)).max(range.start)
    }

    /// Keeps what belongs to it of the bytes at `at`. What came first stays.
    pub(super) fn take(&mut self, at: u64, piece: &[u8]) {
        let piece_range = at..at.saturating_add(piece.len() as u64);
        let Some(common) = overlap(&self.range(), &piece_range) else { return };
        for gap in self.have.missing(common.start - self.start..common.end - self.start) {
            if self.have.len() >= PIECES_MAX && self.have.would_add_island(gap.clone()) {
                continue;
            }
            let (to, from) = (small(gap.start), small(self.start + gap.start - at));
            let count = small(gap.end - gap.start);
            if self.bytes.len() < to + count {
                // At once, and no more than that: growing step by step would take up to twice as much.
                self.bytes.reserve_exact(self.length - self.bytes.len());
                self.bytes.resize(to + count, 0);
            }
            self.bytes[to..to + count].copy_from_slice(&piece[from..from + count]);
            self.have.insert(gap);
        }
    }

    /// Takes over what another part has.
    pub(super) fn take_from(&mut self, other: &Self) {
        for range in other.have.as_slice() {
            let piece = &other.bytes[small(range.start)..small(range.end)];
            self.take(other.start + range.start, piece);
        }
    }

    /// Whether all of it has come, as far as the file goes.
    pub(super) fn is_complete(&self, file: Option<u64>) -> bool {
        let range = self.within(file);
        self.have.contains(0..range.end - range.start)
    }

    /// What is missing of it, as far as the file goes.
    pub(super) fn missing(&self, file: Option<u64>) -> Vec<Range<u64>> {
        let range = self.within(file);
        let gaps = self.have.missing(0..range.end - range.start);
        gaps.into_iter().map(|gap| self.start + gap.start..self.start + gap.end).collect()
    }

    /// Its bytes, as far as the file goes; only where it is complete.
    pub(super) fn bytes(&self, file: Option<u64>) -> &[u8] {
        let range = self.within(file);
        let length = small(range.end - range.start);
        &self.bytes[..length.min(self.bytes.len())]
    }

    /// Memory that it holds.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

/// A length in memory: a part has at most a mebibyte.
fn small(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
