//! Bytes that come once, such as standard input: read in order, kept until the server has them.

use std::{
    collections::VecDeque,
    io::Read,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use super::{
    digests::{LocalDigests, RunningDigests},
    error::ClientError,
    locked,
};
use crate::wire::native::ByteRange;

/// Most bytes that are read at once.
pub(super) const PIECE_BYTES: u64 = 1 << 20;

/// A reader of a known length. Holds in memory what is read and not yet durable on the server: at most what a transfer has
/// between its lowest missing byte and the end of its furthest slice, and what came in one piece with that byte, which is less than
/// [`PIECE_BYTES`] and than what was read for one slice. Slices are parts of these pieces: they hold no memory of their own.
pub(super) struct Stream {
    size: u64,
    /// Everything below is durable on the server and is not kept.
    stored: AtomicU64,
    state: Mutex<State>,
}

struct State {
    reader: Box<dyn Read + Send>,
    /// Pieces in order, the last of which ends at `read`.
    pieces: VecDeque<(u64, Bytes)>,
    read: u64,
    hashes: RunningDigests,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Stream {
    pub(super) fn new(reader: Box<dyn Read + Send>, size: u64) -> Self {
        let hashes = RunningDigests::new();
        let state = State { reader, pieces: VecDeque::new(), read: 0, hashes };
        Self { size, stored: AtomicU64::new(0), state: Mutex::new(state) }
    }

    /// Nothing below `offset` will be asked for again.
    pub(super) fn release(&self, offset: u64) {
        self.stored.fetch_max(offset, Ordering::Relaxed);
    }

    /// The bytes of a range, none of them copied. Blocks until they have come; reads nothing beyond.
    pub(super) fn slice(&self, range: ByteRange) -> Result<Vec<Bytes>, ClientError> {
        let mut state = locked(&self.state);
        while state.read < range.end {
            self.read_piece(&mut state, range.end)?;
        }
        let first = state.pieces.front().map_or(state.read, |(start, _)| *start);
        if range.start < first {
            let words = format!(
                "the server asks for byte {} of standard input again, which is gone; give the input once more with the \
                 same command",
                range.start
            );
            return Err(ClientError::Usage { words });
        }
        let mut slice = Vec::new();
        for (start, piece) in &state.pieces {
            let end = start + piece.len() as u64;
            if end > range.start && *start < range.end {
                let within = |at: u64| usize::try_from(at - start).unwrap_or(piece.len());
                let from = within(range.start.max(*start));
                slice.push(piece.slice(from..within(range.end.min(end))));
            }
        }
        Ok(slice)
    }

    /// How far it is read; and the digests, once that is everything. Does not wait for a reader that is at work.
    pub(super) fn digests(&self) -> (u64, Option<LocalDigests>) {
        let Ok(state) = self.state.try_lock() else { return (0, None) };
        let digests = (state.read == self.size).then(|| state.hashes.clone().finish());
        (state.read, digests)
    }

    /// Reads on where nobody needs the bytes any more, for their digests. Blocks until some have come.
    pub(super) fn skip(&self) -> Result<(), ClientError> {
        let mut state = locked(&self.state);
        if state.read < self.size { self.read_piece(&mut state, self.size) } else { Ok(()) }
    }

    /// Reads a piece that ends at `until` or before. What is stored goes first, so that both are not held at once.
    fn read_piece(&self, state: &mut State, until: u64) -> Result<(), ClientError> {
        let stored = self.stored.load(Ordering::Relaxed);
        while state.pieces.front().is_some_and(|(at, piece)| at + piece.len() as u64 <= stored) {
            state.pieces.pop_front();
        }
        let (start, wanted) = (state.read, PIECE_BYTES.min(until.min(self.size) - state.read));
        let mut piece = Vec::with_capacity(usize::try_from(wanted).unwrap_or(0));
        let read = state.reader.by_ref().take(wanted).read_to_end(&mut piece);
        read.map_err(failed)?;
        if (piece.len() as u64) < wanted {
            let words = format!(
                "standard input ended after {} of the {} bytes of --size; what was sent is kept. Give the whole input, \
                 or cancel the job",
                start + piece.len() as u64,
                self.size
            );
            return Err(ClientError::Usage { words });
        }
        // Asked before the last piece is handed out: no image must be made of a part of the input.
        if start + wanted == self.size && state.reader.read(&mut [0]).map_err(failed)? > 0 {
            let words = format!(
                "standard input has more than the {} bytes of --size; cancel the job and give the right size",
                self.size
            );
            return Err(ClientError::Usage { words });
        }
        state.hashes.update(&piece);
        state.read += wanted;
        state.pieces.push_back((start, piece.into()));
        Ok(())
    }
}

fn failed(source: std::io::Error) -> ClientError {
    ClientError::File { path: "standard input".into(), doing: "read it", source }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::client::{plan::Plan, transfer::Limits};
    use crate::domain::tag::hex;

    fn stream(bytes: Vec<u8>, size: u64) -> Stream {
        Stream::new(Box::new(std::io::Cursor::new(bytes)), size)
    }

    fn pattern(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|i| (i * 31 + (i >> 8) * 7).to_le_bytes()[0]).collect()
    }

    #[test]
    fn slices_are_those_of_the_input_in_any_order_until_they_are_released() {
        let bytes = pattern(5_000_000);
        let stream = stream(bytes.clone(), 5_000_000);
        for (start, end) in [(2_000_000, 3_100_000), (0, 10), (1_048_570, 1_048_580)] {
            let slice = stream.slice(ByteRange { start, end }).unwrap();
            let spot = |at: u64| usize::try_from(at).unwrap();
            assert!(slice.concat() == bytes[spot(start)..spot(end)], "{start}..{end}");
        }
        assert_eq!(stream.digests().1, None, "not read to its end");
        stream.release(3_000_000);
        assert!(stream.slice(ByteRange { start: 4_999_999, end: 5_000_000 }).is_ok());
        let held: usize = stream.state.lock().unwrap().pieces.iter().map(|(_, p)| p.len()).sum();
        assert!(held < 3_200_000, "{held} bytes are held of 2,000,000 that are not stored");
        let gone = stream.slice(ByteRange { start: 0, end: 10 }).unwrap_err().to_string();
        assert!(gone.contains("once more"), "{gone}");
        let sha256 = hex(&Sha256::digest(&bytes));
        assert_eq!(stream.digests().1.unwrap().sha256, sha256);
    }

    #[test]
    fn an_input_of_another_length_is_told_before_its_last_byte_is_handed_out() {
        let range = ByteRange { start: 0, end: 10 };
        let short = stream(pattern(9), 10).slice(range).unwrap_err().to_string();
        assert!(short.contains("ended after 9 of the 10 bytes"), "{short}");
        let long = stream(pattern(11), 10).slice(range).unwrap_err().to_string();
        assert!(long.contains("more than the 10 bytes"), "{long}");
        assert_eq!(stream(pattern(10), 10).slice(range).unwrap().concat(), pattern(10));
    }

    /// The memory that a transfer makes of a stream, whatever the order in which its slices arrive.
    struct Held {
        /// Begin and length of every piece that was ever there.
        pieces: Vec<(usize, usize)>,
        most: usize,
    }

    impl Held {
        fn look(&mut self, stream: &Stream, flying: &[(ByteRange, Vec<Bytes>)]) {
            let state = stream.state.lock().unwrap();
            let place = |bytes: &Bytes| (bytes.as_ptr() as usize, bytes.len());
            // A place may be used again: the newest piece there counts.
            for piece in state.pieces.iter().map(|(_, piece)| place(piece)) {
                self.pieces.retain(|old| {
                    *old == piece || old.0 + old.1 <= piece.0 || piece.0 + piece.1 <= old.0
                });
                if !self.pieces.contains(&piece) {
                    self.pieces.push(piece);
                }
            }
            let mut held: std::collections::BTreeMap<usize, usize> =
                state.pieces.iter().map(|(_, piece)| place(piece)).collect();
            for part in flying.iter().flat_map(|(_, parts)| parts) {
                let (at, length) = place(part);
                let whole =
                    self.pieces.iter().find(|(begin, all)| *begin <= at && at < begin + all);
                let (begin, length) = whole.copied().unwrap_or((at, length));
                held.insert(begin, length);
            }
            self.most = self.most.max(held.values().sum());
        }
    }

    #[test]
    fn a_transfer_of_a_stream_holds_no_more_than_it_promises() {
        const KIB: u64 = 1 << 10;
        for (parallel, slice_bytes_max) in
            [(4, 1024 * KIB), (3, 700 * KIB), (1, 1024 * KIB), (4, KIB)]
        {
            let size = (slice_bytes_max * 14).max(PIECE_BYTES * 3) + 77;
            let stream = stream(pattern(usize::try_from(size).unwrap()), size);
            let limits = Limits { parallel, slice_bytes_min: KIB, slice_bytes_max };
            let window = limits.window_bytes(PIECE_BYTES);
            let (mut plan, mut flying) = (Plan::default(), Vec::new());
            plan.reset(&[ByteRange { start: 0, end: size }]);
            let mut held = Held { pieces: Vec::new(), most: 0 };
            let mut step = 0;
            loop {
                // The first slice is the slowest of all, so that the others go as far as they may.
                while flying.len() < parallel {
                    let Some(range) = plan.next(slice_bytes_max, window) else { break };
                    flying.push((range, stream.slice(range).unwrap()));
                    held.look(&stream, &flying);
                }
                if flying.is_empty() {
                    break;
                }
                step += 1;
                let at = if step % 9 == 0 { 0 } else { flying.len() - 1 };
                plan.landed(flying.remove(at).0);
                flying.sort_by_key(|(range, _)| range.start);
                let lowest = flying.first().map(|(range, _)| range.start);
                let missing = size - plan.remaining_bytes();
                stream.release(lowest.unwrap_or(missing).min(missing));
            }
            let promised = 2 * parallel as u64 * slice_bytes_max;
            assert!(
                held.most as u64 <= promised,
                "{parallel} of {slice_bytes_max}: {} of {promised}",
                held.most
            );
            assert!(
                held.most as u64 > promised / 3,
                "{parallel} of {slice_bytes_max}: {}",
                held.most
            );
        }
    }
}
