//! Bytes that come from another upload of the same store: the file system copies them, or shares their blocks, and they never pass
//! the memory of this process on their way in. The digests read them back.

use std::{io, ops::Range, sync::Arc};

use super::{
    claiming::Lent,
    disk::copy_through_memory,
    lane::{Fill, Lane},
    upload::Upload,
    writer::LocalWriter,
};
use crate::{
    error::{Result, StoreError},
    kill::kill_point,
    store::{Chunk, Ended, Owned, RangeWriter, UploadKey, UploadState},
};

/// Bytes that one job of an I/O thread copies: short enough that others get their turn and that a revoke does not wait for long.
const PIECE_BYTES: u64 = 8 << 20;

/// Bytes of another upload on their way into this one.
#[derive(Clone)]
pub(super) struct Piece {
    source: Arc<Upload>,
    from: u64,
    pub(super) into: Range<u64>,
}

impl Upload {
    /// Copies `range` of `source` to `offset`.
    pub(super) async fn copy_in(
        self: &Arc<Self>,
        owned: Owned,
        offset: u64,
        source: &Arc<Self>,
        range: Range<u64>,
    ) -> Result<UploadState> {
        {
            let stored = source.lock().state().offset;
            if range.end > stored {
                return Err(StoreError::Incomplete { offset: stored });
            }
        }
        let chunk =
            Chunk { offset, length: Some(range.end.saturating_sub(range.start)), checksum: None };
        let lane = match self.claim_lane(owned, &chunk).await? {
            Lent::Lane(lane) => lane,
            Lent::Stored(state) => return Ok(state),
        };
        // Dropped at any await, it ends the lane in order: what was handed over is still copied.
        let writer = Box::new(LocalWriter::new(Arc::clone(&lane)));
        let mut from = range.start;
        while from < range.end {
            let end = range.end.min(from + PIECE_BYTES);
            let at = offset + (from - range.start);
            let piece = Piece { source: Arc::clone(source), from, into: at..at + (end - from) };
            if let Err(error) = hand_over(&lane, &piece).await {
                // What was copied counts; the first error is the one that is told.
                drop(writer.interrupt().await);
                return Err(error);
            }
            from = end;
        }
        Ok(writer.acknowledge().await?.state)
    }
}

impl Lane {
    /// On an I/O thread.
    pub(super) fn copy(self: &Arc<Self>, piece: &Piece) {
        let parts = self.parts.present(piece.into.clone());
        for part in &parts {
            let from = piece.from + (part.start - piece.into.start);
            let data = &self.upload.data;
            if let Err(error) = data.copy_from(&*piece.source.data, from, part.clone()) {
                self.piece_home();
                self.copy_failed(&piece.source, from..from + (part.end - part.start), &error);
                return;
            }
        }
        kill_point("copy.after_copy");
        self.upload.copied(self, &parts);
        self.piece_home();
    }

    /// The system has one error for two files; reading the source tells whose it is. A source that cannot be read fails this copy
    /// alone: nothing is wrong with this upload, and whoever reads the error has to look for the other one.
    fn copy_failed(self: &Arc<Self>, source: &Upload, range: Range<u64>, error: &io::Error) {
        let into = 0..range.end - range.start;
        let Err(unread) = copy_through_memory(&*source.data, range.start, into, |_, _| Ok(()))
        else {
            self.write_failed(error);
            return;
        };
        tracing::error!(upload = %self.upload.key, source = %source.key, error = %unread, "the source of a copy cannot be read");
        let message = format!("upload {}: {unread}", source.key);
        self.fail(&StoreError::Io { action: "read the source of a copy", message }, Ended::Failed);
    }
}

async fn hand_over(lane: &Arc<Lane>, piece: &Piece) -> Result<()> {
    {
        let inner = lane.upload.lock();
        lane.reserve(piece.into.end - piece.into.start, inner.declared_length)?;
    }
    while lane.take_piece(piece)? == Fill::NeedsRoom {
        lane.room.notified().await;
    }
    Ok(())
}

/// What a store answers for a source that takes part no more.
pub(super) fn no_source(key: UploadKey) -> impl Fn(StoreError) -> StoreError {
    move |error| match error {
        StoreError::Revoked { .. } => StoreError::NotFound { key },
        error => error,
    }
}
