//! The way of one writer's bytes: its current block, blocks in order to the I/O threads, then to the hash worker, then home.
//!
//! Everything of a writer that must survive its future being dropped lives here, so that the store can end a silent writer
//! without its help and a block that was handed over is always finished.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::{Notify, watch};

use super::{
    block_size::BlockSize, buffers::Lent, hash_task::HashItem, threads::locked, upload::Upload,
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

enum Buffer {
    Own(Vec<u8>),
    Lent(Lent),
}

/// Consecutive bytes of a chunk.
pub(super) struct Block {
    buffer: Buffer,
    start: u64,
}

impl Block {
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.buffer {
            Buffer::Own(bytes) => bytes,
            Buffer::Lent(lent) => lent.bytes(),
        }
    }

    pub(super) fn start(&self) -> u64 {
        self.start
    }

    fn range(&self) -> Range<u64> {
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
    fn take(&mut self, bytes: &mut &[u8], size_own: usize) -> usize {
        let (buffer, size) = match &mut self.buffer {
            Buffer::Own(buffer) => (buffer, size_own),
            Buffer::Lent(lent) => {
                let size = lent.size();
                (lent.bytes_mut(), size)
            }
        };
        let (now, rest) = bytes.split_at(bytes.len().min(size - buffer.len()));
        buffer.extend_from_slice(now);
        *bytes = rest;
        now.len()
    }

    fn is_full(&self, size_own: usize) -> bool {
        match &self.buffer {
            Buffer::Own(bytes) => bytes.len() >= size_own,
            Buffer::Lent(lent) => lent.bytes().len() >= lent.size(),
        }
    }
}

enum Item {
    Block(Block),
    End { verify: bool },
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
    own: Option<Vec<u8>>,
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
            hasher: Mutex::new(chunk.checksum.map(ChunkHasher::new)),
            inner: Mutex::new(LaneInner {
                reserved: chunk.offset,
                filled: chunk.offset,
                appending: false,
                current: None,
                queue: VecDeque::new(),
                scheduled: false,
                in_flight: 0,
                own: Some(Vec::with_capacity(limits.block_bytes_min)),
                block_size: BlockSize::new(now, &limits),
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
        let (now, limits) = (self.upload.shared.now(), self.upload.shared.limits);
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
            inner.filled += block.take(bytes, limits.block_bytes_min) as u64;
            if block.is_full(limits.block_bytes_min) {
                inner.block_size.filled(block.bytes().len(), now, &limits);
                self.hand_over(&mut inner, block);
            } else {
                inner.current = Some(block);
            }
        }
    }

    /// An empty block: a large one of the pool where there is room, else the writer's own when it is at home.
    fn fresh(&self, inner: &mut LaneInner) -> Option<Block> {
        if inner.in_flight >= IN_FLIGHT_MAX {
            return None;
        }
        let limits = &self.upload.shared.limits;
        let smallest = limits.block_bytes_min;
        let lend = |size| self.upload.shared.buffers.lend(size).map(Buffer::Lent);
        let buffer = if inner.block_size.bytes() > smallest {
            lend(inner.block_size.bytes()).or_else(|| {
                inner.block_size.halve(limits);
                inner.own.take().map(Buffer::Own)
            })
        } else {
            inner.own.take().map(Buffer::Own)
        };
        let buffer = buffer.or_else(|| lend(smallest))?;
        Some(Block { buffer, start: inner.filled })
    }

    fn hand_over(self: &Arc<Self>, inner: &mut LaneInner, block: Block) {
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
        for part in &parts {
            if let Err(error) = self.upload.data.write_all_at(block.part(part), part.start) {
                self.block_home(block);
                self.write_failed(&error);
                return;
            }
        }
        kill_point("write.after_pwrite");
        let counted = self.upload.written(self, &parts);
        let parts = if self.checked { parts } else { counted };
        if !self.checked && parts.is_empty() {
            self.block_home(block);
            return;
        }
        let item = HashItem::Block { lane: Arc::clone(self), block, parts };
        self.upload.shared.hash.submit(&self.upload, item);
    }

    /// No space, or a position that the file system does not have, fails this writer alone: nothing of the failed block
    /// counts, and the pages before it are sound.
    fn write_failed(self: &Arc<Self>, error: &io::Error) {
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
        if let Buffer::Own(mut bytes) = block.buffer {
            bytes.clear();
            inner.own = Some(bytes);
        }
        drop(inner);
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
