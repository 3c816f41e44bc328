//! How a request gets the right to write: the rules of waiting, around the pure decisions of the ledger.

use std::{ops::Range, sync::Arc, time::Duration};

use super::{
    lane::Lane,
    upload::{Inner, Upload},
    writer::LocalWriter,
};
use crate::{
    claims::Decision,
    error::{Result, StoreError},
    store::{Chunk, Claimed, Ended, Owned, UploadState},
};

/// Requests of one upload that may wait for a range at once.
const WAITING_MAX: usize = 64;

/// What asking for the right to write led to.
pub(super) enum Lent {
    Lane(Arc<Lane>),
    /// Every byte is durable already.
    Stored(UploadState),
}

enum Step {
    Claimed(Arc<Lane>),
    /// Stored as of this version.
    Stored(u64),
    WaitUntil(Duration),
}

/// One place among those who wait; dropping it gives it back.
struct Waiting<'a>(&'a Upload);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

impl Upload {
    pub(super) async fn claim(self: &Arc<Self>, owned: Owned, chunk: &Chunk) -> Result<Claimed> {
        Ok(match self.claim_lane(owned, chunk).await? {
            Lent::Lane(lane) => Claimed::Writer(Box::new(LocalWriter::new(lane))),
            Lent::Stored(state) => Claimed::AlreadyStored(state),
        })
    }

    pub(super) async fn claim_lane(self: &Arc<Self>, owned: Owned, chunk: &Chunk) -> Result<Lent> {
        let limits = self.shared.limits;
        let deadline = self.shared.now() + limits.claim_wait;
        let mut pulse = self.pulse();
        let mut place = None;
        loop {
            match self.claim_step(owned, chunk)? {
                Step::Claimed(lane) => return Ok(Lent::Lane(lane)),
                Step::Stored(version) => return Ok(Lent::Stored(self.durable(version).await?)),
                Step::WaitUntil(moment) => {
                    if place.is_none() {
                        place = Some(self.take_place()?);
                    }
                    let now = self.shared.now();
                    if now >= deadline {
                        return Err(self.busy(limits.claim_silent));
                    }
                    let pause = moment.min(deadline).saturating_sub(now);
                    // Either ends the pause; the next step looks again.
                    let _ = tokio::time::timeout(pause, pulse.changed()).await;
                }
            }
        }
    }

    fn take_place(&self) -> Result<Waiting<'_>> {
        let mut inner = self.lock();
        if inner.waiting >= WAITING_MAX {
            return Err(self.busy(self.shared.limits.claim_silent));
        }
        inner.waiting += 1;
        Ok(Waiting(self))
    }

    fn claim_step(self: &Arc<Self>, owned: Owned, chunk: &Chunk) -> Result<Step> {
        let (now, limits) = (self.shared.now(), self.shared.limits);
        let mut inner = self.lock();
        self.enter(&mut inner, owned)?;
        if inner.revoked {
            return Err(StoreError::Revoked { key: self.key });
        }
        let range = wanted_range(&inner, chunk, limits.checked_chunk_bytes_max)?;
        let Inner { ledger, lanes, counted, .. } = &mut *inner;
        for (id, lane) in lanes.iter() {
            ledger.heard(*id, lane.heard(now));
        }
        match ledger.request(range, counted, now, &limits) {
            Decision::Stored => Ok(Step::Stored(inner.version)),
            Decision::Granted(id, parts) => {
                let lane = Lane::new(Arc::clone(self), id, owned.epoch, chunk, parts);
                inner.lanes.insert(id, Arc::clone(&lane));
                Ok(Step::Claimed(lane))
            }
            Decision::End(ids) => {
                for lane in ids.iter().filter_map(|id| inner.lanes.get(id)) {
                    lane.end(&StoreError::Superseded, Ended::Superseded);
                }
                Ok(Step::WaitUntil(now + limits.claim_silent))
            }
            Decision::Wait(moment) => Ok(Step::WaitUntil(moment)),
            Decision::Full => Err(self.busy(limits.writer_evict_silent)),
            Decision::TooManyExtents => {
                Err(StoreError::TooManyExtents { offset: inner.counted.prefix() })
            }
        }
    }

    fn busy(&self, retry_after: Duration) -> StoreError {
        let retry_after_ms = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
        StoreError::Busy { key: self.key, retry_after_ms }
    }
}

/// The bytes that the chunk may touch; refuses it before any byte is written.
fn wanted_range(inner: &Inner, chunk: &Chunk, checked_max: u64) -> Result<Range<u64>> {
    if chunk.checksum.is_some() {
        // Without a length a checksum has nothing that it could be the checksum of.
        let offered = chunk.length.unwrap_or(u64::MAX);
        if offered > checked_max {
            return Err(StoreError::CheckedChunkTooLarge { offered, max: checked_max });
        }
    }
    let end = match chunk.length {
        Some(length) => chunk.offset.checked_add(length),
        None => Some(inner.declared_length.unwrap_or(u64::MAX).max(chunk.offset)),
    };
    let bound = inner.declared_length.unwrap_or(i64::MAX.unsigned_abs());
    match end {
        Some(end) if chunk.length.is_none() && chunk.offset <= bound => Ok(chunk.offset..end),
        Some(end) if end <= bound => Ok(chunk.offset..end),
        Some(end) => Err(StoreError::BeyondLength { end, length: bound }),
        None => Err(StoreError::BeyondLength { end: u64::MAX, length: bound }),
    }
}
