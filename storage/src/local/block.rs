//! Consecutive bytes of one chunk on their way.

use std::ops::Range;

use super::{
    buffers::Lent,
    pages::{PageBuffer, page_offset},
};

/// Where the bytes of a block lie.
pub(super) enum Buffer {
    /// The small one of the writer.
    Own(PageBuffer),
    /// One of the pool.
    Lent(Lent),
}

impl Buffer {
    fn pages(&self) -> &PageBuffer {
        match self {
            Self::Own(buffer) => buffer,
            Self::Lent(lent) => lent.buffer(),
        }
    }

    fn pages_mut(&mut self) -> &mut PageBuffer {
        match self {
            Self::Own(buffer) => buffer,
            Self::Lent(lent) => lent.buffer_mut(),
        }
    }
}

/// Consecutive bytes of a chunk.
pub(super) struct Block {
    buffer: Buffer,
    start: u64,
}

impl Block {
    pub(super) fn new(mut buffer: Buffer, start: u64) -> Self {
        buffer.pages_mut().begin_at(start);
        Self { buffer, start }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.pages().bytes()
    }

    pub(super) const fn start(&self) -> u64 {
        self.start
    }

    pub(super) fn into_buffer(self) -> Buffer {
        self.buffer
    }

    pub(super) fn range(&self) -> Range<u64> {
        self.start..self.start + self.bytes().len() as u64
    }

    /// The bytes of a part that lies in this block.
    pub(super) fn part(&self, part: &Range<u64>) -> &[u8] {
        let at = |position: u64| {
            usize::try_from(position - self.start).expect("a block fits into memory")
        };
        &self.bytes()[at(part.start)..at(part.end)]
    }

    /// Takes as much of `bytes` as fits.
    pub(super) fn take(&mut self, bytes: &mut &[u8]) -> usize {
        let (now, rest) = bytes.split_at(bytes.len().min(self.size() - self.bytes().len()));
        self.buffer.pages_mut().extend(now);
        *bytes = rest;
        now.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes().len() >= self.size()
    }

    /// A block that begins within a page is shorter, so that it ends with one: the next block then has whole pages only.
    fn size(&self) -> usize {
        let (room, before) = (self.buffer.pages().room(), page_offset(self.start));
        if room > before { room - before } else { room }
    }
}
