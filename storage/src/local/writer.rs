//! The right to write one chunk.

use std::sync::Arc;

use async_trait::async_trait;

use super::lane::{Closing, Fill, Lane, Outcome};
use crate::{
    error::{Result, StoreError},
    store::{Acknowledged, Ended, RangeWriter, UploadState},
};

/// A writer of the local store. All its state is in the lane, so that dropping it at any await tears nothing.
pub(super) struct LocalWriter {
    lane: Arc<Lane>,
}

impl LocalWriter {
    pub(super) fn new(lane: Arc<Lane>) -> Self {
        Self { lane }
    }

    /// Waits until the last write has returned and the chunk is settled.
    async fn settled(&self) -> (Outcome, Option<StoreError>) {
        let mut pulse = self.lane.upload.pulse();
        loop {
            if let Some(result) = self.lane.result() {
                return result;
            }
            // The sender lives in the upload, which the lane holds.
            if pulse.changed().await.is_err() {
                return (Outcome::Nothing, None);
            }
        }
    }

    fn acknowledged(&self, state: UploadState) -> Acknowledged {
        let received = self.lane.received();
        let counted_bytes = state
            .extents
            .iter()
            .filter_map(|extent| crate::extents::overlap(extent, &received))
            .map(|part| part.end - part.start)
            .sum();
        Acknowledged { counted_bytes, state }
    }

    fn wrong_length(&self) -> StoreError {
        let received = self.lane.received();
        let reserved = self.lane.reserved_end() - received.start;
        StoreError::WrongChunkLength {
            announced: self.lane.announced.unwrap_or(reserved),
            received: received.end - received.start,
        }
    }
}

#[async_trait]
impl RangeWriter for LocalWriter {
    async fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        {
            let inner = self.lane.upload.lock();
            self.lane.reserve(bytes.len() as u64, inner.declared_length)?;
        }
        let mut rest = bytes;
        while self.lane.fill(&mut rest)? == Fill::NeedsRoom {
            self.lane.room.notified().await;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        self.lane.flush()
    }

    async fn ended(&self) -> Ended {
        let mut ended = self.lane.ended();
        let known = ended.wait_for(Option::is_some).await.ok().and_then(|ended| *ended);
        known.unwrap_or(Ended::Failed)
    }

    async fn acknowledge(self: Box<Self>) -> Result<Acknowledged> {
        let whole = self.lane.close(Closing::Acknowledge);
        let (outcome, error) = self.settled().await;
        let ended = error.clone();
        match (outcome, error) {
            (Outcome::Mismatch(actual), _) => {
                return Err(StoreError::ChecksumMismatch { offset: self.lane.start, actual });
            }
            // Ended by another request while its last bytes were on their way: all of it was written all the same.
            (
                Outcome::Counted,
                None | Some(StoreError::Superseded | StoreError::Revoked { .. }),
            ) => {}
            (Outcome::Counted | Outcome::Nothing, Some(error)) => return Err(error),
            (Outcome::Nothing, None) if whole => return Err(self.failure()),
            (Outcome::Nothing, None) => {}
        }
        let state = self.lane.upload.all_durable().await?;
        match ended {
            _ if whole => Ok(self.acknowledged(state)),
            Some(error) => Err(error),
            None => Err(self.wrong_length()),
        }
    }

    async fn interrupt(self: Box<Self>) -> Result<Acknowledged> {
        self.lane.close(Closing::Interrupt);
        let (_, error) = self.settled().await;
        match error {
            None | Some(StoreError::Superseded | StoreError::Revoked { .. }) => {}
            Some(error) => return Err(error),
        }
        let state = self.lane.upload.all_durable().await?;
        Ok(self.acknowledged(state))
    }
}

impl LocalWriter {
    /// Why a whole chunk does not count although nobody ended it.
    fn failure(&self) -> StoreError {
        self.lane.upload.failure().unwrap_or(StoreError::Revoked { key: self.lane.upload.key })
    }
}

impl Drop for LocalWriter {
    fn drop(&mut self) {
        self.lane.close(Closing::Interrupt);
    }
}
