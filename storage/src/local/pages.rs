//! Bytes in memory where the disk can take them without a copy: every page of the file lies on a page of memory.

use std::ops::Range;

/// Unit in which bytes go past the cache of the system. No block of ext4 is larger, and no disk asks for more.
pub(super) const PAGE_BYTES: usize = 4096;
const PAGE: u64 = PAGE_BYTES as u64;

/// Consecutive bytes of a file. The byte of a position that is a multiple of [`PAGE_BYTES`] has an address that is one too.
pub(super) struct PageBuffer {
    /// Begins with bytes that are not ours, which only move the first one to its place. Grows and never shrinks, so that what is
    /// read into need not be cleared each time.
    memory: Vec<u8>,
    skip: usize,
    length: usize,
    room: usize,
}

impl PageBuffer {
    /// For `room` bytes, wherever they begin. What is not filled takes address space, no memory.
    pub(super) fn with_room(room: usize) -> Self {
        Self { memory: Vec::with_capacity(room + PAGE_BYTES), skip: 0, length: 0, room }
    }

    pub(super) const fn room(&self) -> usize {
        self.room
    }

    /// Empties the buffer; its next byte is that of `position`.
    pub(super) fn begin_at(&mut self, position: u64) {
        let wanted = page_offset(position);
        let address = self.memory.as_ptr().addr() % PAGE_BYTES;
        self.skip = (wanted + PAGE_BYTES - address) % PAGE_BYTES;
        self.length = 0;
        self.hold(self.skip);
    }

    fn hold(&mut self, bytes: usize) {
        if self.memory.len() < bytes {
            self.memory.resize(bytes, 0);
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.memory[self.skip..self.skip + self.length]
    }

    /// Takes bytes that fit into the room: more would move the memory from its place.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        debug_assert!(self.length + bytes.len() <= self.room, "the buffer would move");
        let end = self.skip + self.length;
        let (over, new) = bytes.split_at(bytes.len().min(self.memory.len() - end));
        self.memory[end..end + over.len()].copy_from_slice(over);
        self.memory.extend_from_slice(new);
        self.length += bytes.len();
    }

    /// `length` bytes to be read into, at most the room, as whoever used them last has left them.
    pub(super) fn space(&mut self, length: usize) -> &mut [u8] {
        self.length = length.min(self.room);
        self.hold(self.skip + self.length);
        &mut self.memory[self.skip..self.skip + self.length]
    }
}

/// How far a position lies behind the begin of its page.
pub(super) fn page_offset(position: u64) -> usize {
    usize::try_from(position % PAGE).expect("less than a page")
}

/// The pages that lie in `range` as a whole; empty where there are none.
pub(super) fn whole_pages(range: &Range<u64>) -> Range<u64> {
    let start = range.start.checked_next_multiple_of(PAGE).unwrap_or(range.end);
    let end = range.end / PAGE * PAGE;
    if start < end { start..end } else { range.end..range.end }
}

/// The pages that `range` touches.
pub(super) fn touched_pages(range: &Range<u64>) -> Range<u64> {
    range.start / PAGE * PAGE..range.end.checked_next_multiple_of(PAGE).unwrap_or(range.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_the_file_lie_on_pages_of_memory() {
        let mut buffer = PageBuffer::with_room(3 * PAGE_BYTES);
        for position in (0..2 * PAGE).step_by(37).chain([1 << 40, (1 << 40) + 511]) {
            buffer.begin_at(position);
            assert_eq!((buffer.bytes().len(), buffer.room()), (0, 3 * PAGE_BYTES));
            buffer.extend(&vec![1; 3 * PAGE_BYTES]);
            let page = whole_pages(&(position..position + 3 * PAGE)).start;
            let at = usize::try_from(page - position).unwrap();
            assert_eq!(buffer.bytes()[at..].as_ptr().addr() % PAGE_BYTES, 0, "{position}");
        }
        buffer.begin_at(8 * PAGE);
        buffer.space(5).copy_from_slice(&[1, 2, 3, 4, 5]);
        buffer.extend(&[6; 2 * PAGE_BYTES]);
        assert_eq!(
            (&buffer.bytes()[..6], buffer.bytes().len()),
            (&[1, 2, 3, 4, 5, 6][..], 5 + 2 * PAGE_BYTES)
        );
        assert_eq!(buffer.bytes().as_ptr().addr() % PAGE_BYTES, 0);
    }

    #[test]
    fn a_range_knows_its_pages() {
        for (range, whole) in [
            (0..4096, 0..4096),
            (0..4095, 4095..4095),
            (1..8192, 4096..8192),
            (1..8191, 8191..8191),
            (4000..20_000, 4096..16_384),
            (u64::MAX - 9..u64::MAX, u64::MAX..u64::MAX),
        ] {
            assert_eq!(whole_pages(&range), whole, "{range:?}");
        }
        assert_eq!(touched_pages(&(4095..4097)), 0..8192);
        assert_eq!(touched_pages(&(8192..8192 + 4096)), 8192..8192 + 4096);
    }
}
