//! The writing side of the reference model.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{
    Contents, Shared,
    upload::{Upload, check},
};
use crate::{
    error::{Result, StoreError},
    store::{Acknowledged, Ended, Owned, RangeWriter},
};

/// A request that holds a claim in a [`MemoryStore`](super::MemoryStore).
pub(super) struct MemoryWriter {
    shared: Arc<Shared>,
    owned: Owned,
    id: u64,
}

impl MemoryWriter {
    pub(super) fn new(shared: Arc<Shared>, owned: Owned, id: u64) -> Self {
        Self { shared, owned, id }
    }

    fn upload<'a>(&self, contents: &'a mut Contents) -> Result<&'a mut Upload> {
        let upload = contents.upload(self.owned.key)?;
        if self.owned.epoch < upload.epoch {
            return Err(StoreError::Fenced { key: self.owned.key, current: upload.epoch });
        }
        Ok(upload)
    }

    /// Fails in words if this writer was ended.
    fn live<'a>(&self, upload: &'a mut Upload) -> Result<&'a mut super::Slot> {
        let ended = upload.ended(self.id);
        upload.writer(self.id).ok_or(match ended {
            Some((Ended::Superseded, _)) => StoreError::Superseded,
            Some((Ended::Revoked | Ended::Failed, _)) | None => {
                StoreError::Revoked { key: self.owned.key }
            }
        })
    }

    fn settle(&self, counts: bool) -> Result<Acknowledged> {
        let mut contents = self.shared.lock();
        let upload = self.upload(&mut contents)?;
        let counted_bytes = match upload.ended(self.id) {
            Some((_, counted)) => counted,
            None => upload.release(self.id, counts),
        };
        self.shared.changed.notify_waiters();
        Ok(Acknowledged { counted_bytes, state: upload.state() })
    }
}

#[async_trait]
impl RangeWriter for MemoryWriter {
    async fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let mut contents = self.shared.lock();
        let upload = self.upload(&mut contents)?;
        let declared = upload.declared;
        let slot = self.live(upload)?;
        let received = (slot.received.len() + bytes.len()) as u64;
        let end = slot.chunk.offset + received;
        match (slot.chunk.length, declared) {
            (Some(announced), _) if received > announced => {
                return Err(StoreError::WrongChunkLength { announced, received });
            }
            (_, Some(length)) if end > length => {
                return Err(StoreError::BeyondLength { end, length });
            }
            (Some(_) | None, _) => {}
        }
        slot.received.extend_from_slice(bytes);
        slot.last_byte = Instant::now();
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        let mut contents = self.shared.lock();
        let upload = self.upload(&mut contents)?;
        self.live(upload).map(|_| ())
    }

    async fn ended(&self) -> Ended {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.shared.lock().upload(self.owned.key) {
                Err(_) => return Ended::Revoked,
                Ok(upload) => {
                    if let Some((why, _)) = upload.ended(self.id) {
                        return why;
                    }
                }
            }
            changed.await;
        }
    }

    async fn acknowledge(self: Box<Self>) -> Result<Acknowledged> {
        let wrong = {
            let mut contents = self.shared.lock();
            let upload = self.upload(&mut contents)?;
            let declared = upload.declared;
            let slot = self.live(upload)?;
            let received = slot.received.len() as u64;
            let announced = slot.chunk.length.unwrap_or(received);
            let (sum, offset) = (slot.chunk.checksum, slot.chunk.offset);
            let end = offset + received;
            if let Some(length) = declared.filter(|length| end > *length) {
                Some((StoreError::BeyondLength { end, length }, sum.is_none()))
            } else if announced == received {
                sum.and_then(|sum| check(&sum, &slot.received).err())
                    .map(|actual| (StoreError::ChecksumMismatch { offset, actual }, false))
            } else {
                Some((StoreError::WrongChunkLength { announced, received }, sum.is_none()))
            }
        };
        match wrong {
            None => self.settle(true),
            Some((error, counts)) => {
                self.settle(counts)?;
                Err(error)
            }
        }
    }

    async fn interrupt(self: Box<Self>) -> Result<Acknowledged> {
        let checked = {
            let mut contents = self.shared.lock();
            let upload = self.upload(&mut contents)?;
            upload.writer(self.id).is_some_and(|slot| slot.chunk.checksum.is_some())
        };
        self.settle(!checked)
    }
}

impl Drop for MemoryWriter {
    /// Releases the claim; what came counts unless it had to be checked. Does nothing after a settled end.
    fn drop(&mut self) {
        let mut contents = self.shared.lock();
        if let Ok(upload) = self.upload(&mut contents) {
            let counts = upload.writer(self.id).is_some_and(|slot| slot.chunk.checksum.is_none());
            upload.release(self.id, counts);
        }
        drop(contents);
        self.shared.changed.notify_waiters();
    }
}
