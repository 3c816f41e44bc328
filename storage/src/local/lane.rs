//! The way of one writer's bytes: its current block, blocks in order to the I/O threads, then to the hash worker, then home.
//!
//! Everything of a writer that must survive its future being dropped lives here, so that the store can end a silent writer
//! without its help and a block that was handed over is always finished.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, watch};

use super::{
    block::{Block, Buffer},
    block_size::BlockSize,
    copying::Piece,
    hash_task::HashItem,
    pages::PageBuffer,
    threads::locked,
    upload::Upload,
};
use crate::{
    claims::ClaimId,
    digest::ChunkHasher,
    error::{Result, StoreError},
    extents::Extents,
    kill::kill_point,
    store::{Chunk, Ended},
};

/// Blocks of one writer on their way at once: one being written, one being hashed, one waiting.
const IN_FLIGHT_MAX: usize = 3;
/// The same of a writer whose blocks are the smallest: one fills while the other is on its way.
const IN_FLIGHT_SLOW_MAX: usize = 2;

/// How a lane ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// What was written counts.
    Counted,
    /// Nothing of it counts: a checked chunk that was not whole.
    Nothing,
    /// The bytes hash to this.
    Mismatch(String),
}

enum Item {
    Block(Block),
    /// Bytes of another upload.
    Piece(Piece),
    End {
        verify: bool,
    },
}

/// Whether all bytes were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fill {
    Done,
    /// Wait for [`Lane::room`], then go on.
    NeedsRoom,
}

/// How a writer closes its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    Acknowledge,
    Interrupt,
}

pub(super) struct Lane {
    pub(super) id: ClaimId,
    pub(super) upload: Arc<Upload>,
    pub(super) epoch: u64,
    pub(super) start: u64,
    pub(super) announced: Option<u64>,
    pub(super) checked: bool,
    /// The claim.
    pub(super) parts: Extents,
    /// Rings when a block came home or the lane was ended.
    pub(super) room: Notify,
    /// A block of this chunk was written ahead of the digests.
    behind: AtomicBool,
    hasher: Mutex<Option<ChunkHasher>>,
    inner: Mutex<LaneInner>,
    ended: watch::Sender<Option<Ended>>,
}

#[expect(clippy::struct_excessive_bools, reason = "independent facts, each with its own way out")]
struct LaneInner {
    /// First byte after what the writer has been given, taken into a block or not.
    reserved: u64,
    /// First byte after what was taken.
    filled: u64,
    /// An append is on its way, or was dropped half-way.
    appending: bool,
    current: Option<Block>,
    queue: VecDeque<Item>,
    scheduled: bool,
    in_flight: usize,
    own: Option<PageBuffer>,
    block_size: BlockSize,
    heard: Duration,
    closed: bool,
    /// Blocks that are still queued are not written any more.
    skip: bool,
    error: Option<StoreError>,
    outcome: Option<Outcome>,
}

impl Lane {
    pub(super) fn new(
        upload: Arc<Upload>,
        id: ClaimId,
        epoch: u64,
        chunk: &Chunk,
        parts: Vec<Range<u64>>,
    ) -> Arc<Self> {
        let (now, limits) = (upload.shared.now(), upload.shared.limits);
        let parts = Extents::from_sorted(parts).expect("missing ranges are sorted and apart");
        Arc::new(Self {
            id,
            epoch,
            start: chunk.offset,
            announced: chunk.length,
            checked: chunk.checksum.is_some(),
            parts,
            room: Notify::new(),
            behind: AtomicBool::new(false),
            hasher: Mutex::new(chunk.checksum.map(ChunkHasher::new)),
            inner: Mutex::new(LaneInner {
                reserved: chunk.offset,
                filled: chunk.offset,
                appending: false,
                current: None,
                queue: VecDeque::new(),
                scheduled: false,
                in_flight: 0,
                own: Some(PageBuffer::with_room(limits.block_bytes_min)),
                block_size: BlockSize::new(now, upload.last_block_bytes(), chunk.length, &limits),
                heard: now,
                closed: false,
                skip: false,
                error: None,
                outcome: None,
            }),
            ended: watch::Sender::new(None),
            upload,
        })
    }

    /// Makes place for `length` more bytes of the body, or says why they do not fit. The lock of the upload is held by
    /// the caller, so that a length is declared either before or after, never in between.
    pub(super) fn reserve(&self, length: u64, declared_length: Option<u64>) -> Result<()> {
        let mut inner = locked(&self.inner);
        if inner.closed {
            return Err(self.closed_error(&inner));
        }
        let end = inner.reserved.saturating_add(length);
        if inner.appending {
            return Err(self.wrong_length(&inner, inner.reserved));
        }
        if self.announced.is_some_and(|announced| end - self.start > announced) {
            return Err(self.wrong_length(&inner, end));
        }
        if let Some(length) = declared_length.filter(|length| end > *length) {
            return Err(StoreError::BeyondLength { end, length });
        }
        inner.reserved = end;
        inner.appending = true;
        Ok(())
    }

    fn wrong_length(&self, inner: &LaneInner, received_end: u64) -> StoreError {
        StoreError::WrongChunkLength {
            announced: self.announced.unwrap_or(inner.reserved - self.start),
            received: received_end - self.start,
        }
    }

    fn closed_error(&self, inner: &LaneInner) -> StoreError {
        inner.error.clone().unwrap_or(StoreError::Revoked { key: self.upload.key })
    }

    /// Copies bytes into blocks and hands over those that are full.
    pub(super) fn fill(self: &Arc<Self>, bytes: &mut &[u8]) -> Result<Fill> {
        let now = self.upload.shared.now();
        let mut inner = locked(&self.inner);
        loop {
            if inner.closed {
                return Err(self.closed_error(&inner));
            }
            inner.heard = now;
            if bytes.is_empty() {
                inner.appending = false;
                return Ok(Fill::Done);
            }
            let Some(mut block) = inner.current.take().or_else(|| self.fresh(&mut inner)) else {
                return Ok(Fill::NeedsRoom);
            };
            inner.filled += block.take(bytes) as u64;
            if block.is_full() {
                self.hand_over(&mut inner, block);
            } else {
                inner.current = Some(block);
            }
        }
    }

    /// Hands over bytes of another upload, for which [`reserve`](Self::reserve) has made place. Not together with blocks: they
    /// would have to be handed over before.
    pub(super) fn take_piece(self: &Arc<Self>, piece: &Piece) -> Result<Fill> {
        let mut inner = locked(&self.inner);
        if inner.closed {
            return Err(self.closed_error(&inner));
        }
        inner.heard = self.upload.shared.now();
        if inner.in_flight >= IN_FLIGHT_SLOW_MAX {
            return Ok(Fill::NeedsRoom);
        }
        inner.in_flight += 1;
        inner.filled = piece.into.end;
        inner.appending = false;
        inner.queue.push_back(Item::Piece(piece.clone()));
        self.schedule(&mut inner);
        Ok(Fill::Done)
    }

    /// An empty block: a large one of the pool where there is room, else the writer's own when it is at home.
    fn fresh(&self, inner: &mut LaneInner) -> Option<Block> {
        let limits = &self.upload.shared.limits;
        let smallest = limits.block_bytes_min;
        let slow = inner.block_size.bytes() <= smallest;
        if inner.in_flight >= if slow { IN_FLIGHT_SLOW_MAX } else { IN_FLIGHT_MAX } {
            return None;
        }
        let lend = |size| self.upload.shared.buffers.lend(size).map(Buffer::Lent);
        let buffer = if slow {
            inner.own.take().map(Buffer::Own)
        } else {
            lend(inner.block_size.bytes()).or_else(|| {
                inner.block_size.halve(limits);
                inner.own.take().map(Buffer::Own)
            })
        };
        let buffer = buffer.or_else(|| lend(smallest))?;
        Some(Block::new(buffer, inner.filled))
    }

    fn hand_over(self: &Arc<Self>, inner: &mut LaneInner, block: Block) {
        let (now, shared) = (inner.heard, &self.upload.shared);
        inner.block_size.filled(block.bytes().len(), now, &shared.limits);
        self.upload.note_block_bytes(inner.block_size.bytes());
        inner.in_flight += 1;
        inner.queue.push_back(Item::Block(block));
        self.schedule(inner);
    }

    fn schedule(self: &Arc<Self>, inner: &mut LaneInner) {
        if inner.scheduled || inner.queue.is_empty() {
            return;
        }
        inner.scheduled = true;
        let lane = Arc::clone(self);
        if !self.upload.shared.io.submit(Box::new(move || lane.step())) {
            // The store is being closed: nothing will run any more, so nobody may wait for it.
            inner.queue.clear();
            inner.closed = true;
            inner.outcome = Some(Outcome::Nothing);
        }
    }

    /// Hands over a block that is not full.
    pub(super) fn flush(self: &Arc<Self>) -> Result<()> {
        let mut inner = locked(&self.inner);
        if inner.closed {
            return Err(self.closed_error(&inner));
        }
        if let Some(block) = inner.current.take() {
            self.hand_over(&mut inner, block);
        }
        Ok(())
    }

    /// One step on an I/O thread. Blocks of a lane are written one after the other, in order.
    fn step(self: Arc<Self>) {
        let (item, skip) = {
            let mut inner = locked(&self.inner);
            (inner.queue.pop_front(), inner.skip)
        };
        match item {
            Some(Item::Block(block)) if skip => self.block_home(block),
            Some(Item::Block(block)) => self.write(block),
            Some(Item::Piece(_)) if skip => self.piece_home(),
            Some(Item::Piece(piece)) => self.copy(&piece),
            Some(Item::End { verify }) if self.checked => {
                let item = HashItem::Settle { lane: Arc::clone(&self), verify };
                if !self.upload.shared.hash.submit(&self.upload, item) {
                    self.release(Outcome::Nothing);
                }
            }
            Some(Item::End { .. }) => self.release(Outcome::Counted),
            None => {}
        }
        let mut inner = locked(&self.inner);
        inner.scheduled = false;
        self.schedule(&mut inner);
    }

    fn write(self: &Arc<Self>, block: Block) {
        let parts = self.parts.present(block.range());
        let mut cached_bytes = 0;
        for part in &parts {
            match self.upload.place(self, part, block.part(part)) {
                Ok(bytes) => cached_bytes += bytes,
                Err(error) => {
                    self.block_home(block);
                    self.write_failed(&error);
                    return;
                }
            }
        }
        kill_point("write.after_pwrite");
        let counted = self.upload.written(self, &parts, cached_bytes);
        let parts = if self.checked { parts } else { counted };
        if !self.checked && parts.is_empty() {
            self.block_home(block);
            return;
        }
        let item = HashItem::Block { lane: Arc::clone(self), block, parts };
        self.upload.shared.hash.submit(&self.upload, item);
    }

    /// Whether a block is ahead of the digests: this one, or one before it whose chunk is hashed as a whole or not at all.
    pub(super) fn is_behind(&self, now: bool) -> bool {
        if now && self.checked {
            self.behind.store(true, Ordering::Relaxed);
        }
        now || self.behind.load(Ordering::Relaxed)
    }

    /// No space, or a position that the file system does not have, fails this writer alone: nothing of the failed block
    /// counts, and the pages before it are sound.
    pub(super) fn write_failed(self: &Arc<Self>, error: &io::Error) {
        let told = StoreError::from_io("write data", error);
        let beyond = matches!(error.kind(), ErrorKind::FileTooLarge | ErrorKind::InvalidInput);
        if beyond || matches!(told, StoreError::NoSpace) {
            self.fail(&told, Ended::Failed);
        } else {
            self.upload.poison(told);
        }
    }

    /// Lends the checksum of the chunk for its next bytes; between blocks it is here.
    pub(super) fn take_hasher(&self) -> Option<ChunkHasher> {
        locked(&self.hasher).take()
    }

    pub(super) fn put_hasher(&self, hasher: ChunkHasher) {
        *locked(&self.hasher) = Some(hasher);
    }

    /// Whether the checksum matched; `None` when bytes were left out.
    pub(super) fn verdict(&self) -> Option<std::result::Result<(), String>> {
        let skipped = locked(&self.inner).skip;
        let hasher = locked(&self.hasher).take();
        hasher.filter(|_| !skipped).map(ChunkHasher::verify)
    }

    /// A block was dealt with.
    pub(super) fn block_home(&self, block: Block) {
        let mut inner = locked(&self.inner);
        inner.in_flight -= 1;
        if let Buffer::Own(buffer) = block.into_buffer() {
            inner.own = Some(buffer);
        }
        drop(inner);
        self.room.notify_one();
    }

    /// A piece of another upload was dealt with.
    pub(super) fn piece_home(&self) {
        locked(&self.inner).in_flight -= 1;
        self.room.notify_one();
    }

    /// The last write has returned and the chunk is settled.
    pub(super) fn release(&self, outcome: Outcome) {
        locked(&self.inner).outcome = Some(outcome);
        self.upload.release(self.id);
    }

    /// Ends the lane in an orderly way: what was received counts, unless under a checksum. Nothing when it is closed already.
    pub(super) fn end(self: &Arc<Self>, error: &StoreError, ended: Ended) {
        let mut inner = locked(&self.inner);
        if inner.closed {
            return;
        }
        inner.error = Some(error.clone());
        self.shut(&mut inner, false);
        drop(inner);
        self.ended.send_replace(Some(ended));
        self.room.notify_one();
    }

    /// Ends the lane at once: what is not written yet is left out.
    pub(super) fn fail(self: &Arc<Self>, error: &StoreError, ended: Ended) {
        let mut inner = locked(&self.inner);
        inner.skip = true;
        inner.error.get_or_insert_with(|| error.clone());
        if !inner.closed {
            inner.current = None;
            self.shut(&mut inner, false);
        }
        drop(inner);
        self.ended.send_replace(Some(ended));
        self.room.notify_one();
    }

    /// The writer closes its lane; answers whether the chunk was whole.
    pub(super) fn close(self: &Arc<Self>, closing: Closing) -> bool {
        let mut inner = locked(&self.inner);
        let whole = !inner.appending
            && self.announced.is_none_or(|announced| inner.filled - self.start == announced);
        if !inner.closed {
            self.shut(&mut inner, whole && closing == Closing::Acknowledge);
        }
        whole
    }

    fn shut(self: &Arc<Self>, inner: &mut LaneInner, verify: bool) {
        inner.closed = true;
        let verify = verify && self.checked;
        if let Some(block) = inner.current.take()
            && (verify || !self.checked)
        {
            self.hand_over(inner, block);
        }
        inner.queue.push_back(Item::End { verify });
        self.schedule(inner);
    }

    /// How it ended and with what error, once it is over.
    pub(super) fn result(&self) -> Option<(Outcome, Option<StoreError>)> {
        let inner = locked(&self.inner);
        inner.outcome.clone().map(|outcome| (outcome, inner.error.clone()))
    }

    /// What has been received of the chunk.
    pub(super) fn received(&self) -> Range<u64> {
        self.start..locked(&self.inner).filled
    }

    /// First byte after everything that may still be written.
    pub(super) fn reserved_end(&self) -> u64 {
        locked(&self.inner).reserved
    }

    /// When the client was heard last. While the disk is what is waited for, the client is not silent.
    pub(super) fn heard(&self, now: Duration) -> Duration {
        let inner = locked(&self.inner);
        if inner.in_flight > 0 || inner.closed { now } else { inner.heard }
    }

    pub(super) fn ended(&self) -> watch::Receiver<Option<Ended>> {
        self.ended.subscribe()
    }
}
