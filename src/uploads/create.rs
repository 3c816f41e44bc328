//! From nothing to an upload that takes bytes: bounds, room, the store entry.

use std::sync::Arc;

use longshore_storage::{Owned, StoreError, UploadSpec, digest::DigestChoice};

use super::{
    Live, Uploads,
    error::UploadError,
    live,
    space::{AHEAD_BYTES, NoRoom},
};
use crate::domain::{
    ids::UploadUuid,
    upload::{Completion, UploadRecord},
};

impl Uploads {
    /// Makes the store entry of a new upload, checked against the limits and promised its room. Not yet known to any record: if
    /// recording it fails, [`abandon`](Self::abandon) takes everything back; after a crash in between recovery sets it aside.
    pub(crate) async fn prepare(
        &self,
        record: &UploadRecord,
        digests: DigestChoice,
    ) -> Result<(), UploadError> {
        if let Some(length) = record.declared_length {
            self.check_length(length)?;
            self.promise(record.uuid, length).await?;
        }
        self.creating().insert(record.uuid);
        // Of an upload that its client completes the store learns the length when that has happened: until then it has an end
        // that it may never be told of, and having all bytes means nothing.
        let declared_length = match record.completion {
            Completion::ByLength => record.declared_length,
            Completion::Explicit => None,
        };
        let spec = UploadSpec { declared_length, digests };
        let owned = Owned { key: live::key(record.uuid), epoch: record.owner_epoch };
        let made = self.store.create(owned, spec).await;
        if made.is_err() {
            self.space.release(record.uuid);
            self.creating().remove(&record.uuid);
        }
        Ok(made?)
    }

    /// The upload is recorded and its job runs: slices may come.
    pub(crate) fn begin(&self, record: UploadRecord) -> Arc<Live> {
        let (uuid, epoch) = (record.uuid, record.owner_epoch);
        let live = self.remember(Live::new(record, epoch, true, self.clock.now_ms()));
        self.creating().remove(&uuid);
        live
    }

    /// Takes back what [`prepare`](Self::prepare) made. A failure leaves an empty stray that recovery sets aside.
    pub(crate) async fn abandon(&self, record: &UploadRecord) {
        self.space.release(record.uuid);
        let owned = Owned { key: live::key(record.uuid), epoch: record.owner_epoch };
        if let Err(error) = self.store.discard(owned).await {
            tracing::warn!(upload = %record.uuid, %error, "an upload that was never recorded is left in the store");
        }
        self.creating().remove(&record.uuid);
    }

    /// Whether an upload may have this length at all.
    pub(crate) fn check_length(&self, length: u64) -> Result<(), UploadError> {
        let max = self.limits.upload_bytes_max;
        if length > max {
            return Err(UploadError::TooLarge { offered: length, max });
        }
        Ok(())
    }

    /// Promises an upload the room that it still needs.
    pub(crate) async fn promise(&self, upload: UploadUuid, needed: u64) -> Result<(), UploadError> {
        let space = self.store.space().await?;
        let kept = space.total_bytes / 100 * self.limits.free_bytes_min_percent;
        let writable = space.free_bytes.saturating_sub(kept);
        let promised = self.space.promise(upload, needed, writable);
        promised.map_err(|NoRoom { free, needed }| UploadError::NoRoom { free, needed })
    }

    /// Fixes the length of an open upload, in the store first: that is where the truth is. The first one stands.
    pub(crate) async fn declare(&self, live: &Live, length: u64) -> Result<(), UploadError> {
        let record = live.record();
        match record.declared_length {
            Some(declared) if declared == length => return Ok(()),
            Some(declared) => {
                return Err(StoreError::LengthConflict { offered: length, declared }.into());
            }
            None => {}
        }
        self.check_length(length)?;
        if record.completion == Completion::Explicit {
            // The store is not told until the client completes it, and so refuses too late. Slices may lie ahead of the offset.
            let state = self.store.state(live.owned.key).await?;
            let declared = state.extents.last().map_or(0, |last| last.end);
            if length < declared {
                return Err(StoreError::LengthConflict { offered: length, declared }.into());
            }
        }
        self.promise(record.uuid, length.saturating_sub(record.stored_cached)).await?;
        let declared = match record.completion {
            Completion::ByLength => self.declare_durably(live, length).await,
            Completion::Explicit => self.record_length(live, length).await,
        };
        if declared.is_err() {
            // Back to what an upload of unknown length holds.
            self.restore_promise(&live.record());
        }
        self.drop_promise_if_ended(record.uuid);
        declared
    }

    /// Learns what tags have said about an upload that is in memory: the records have it already.
    pub(crate) async fn learn_said(&self, upload: UploadUuid) -> Result<(), UploadError> {
        if let Some(live) = self.touched(upload)
            && let Some(said) = self.db.upload(upload).await?
        {
            live.set_said(said);
        }
        Ok(())
    }

    /// The client has said that the upload ends here: from now on the store knows it as complete once all bytes are there.
    pub(super) async fn declare_end(&self, live: &Live, end: u64) -> Result<(), UploadError> {
        self.declare(live, end).await?;
        match live.record().completion {
            Completion::ByLength => Ok(()),
            Completion::Explicit => Ok(self.store.declare_length(live.owned, end).await?),
        }
    }

    async fn declare_durably(&self, live: &Live, length: u64) -> Result<(), UploadError> {
        self.store.declare_length(live.owned, length).await?;
        self.record_length(live, length).await
    }

    /// Memory last: as long as the record misses the length, the next slice that names it writes it again.
    async fn record_length(&self, live: &Live, length: u64) -> Result<(), UploadError> {
        self.db.set_declared_length(live.record().uuid, length).await?;
        live.set_declared_length(length);
        Ok(())
    }

    /// Learns a length that the store knows and the record does not: a crash came between the two.
    pub(super) async fn learn_length(&self, live: &Live) -> Result<(), UploadError> {
        let record = live.record();
        if record.declared_length.is_some() {
            return Ok(());
        }
        // What is wrong with the store is told by whoever writes.
        let Ok(state) = self.store.state(live.owned.key).await else { return Ok(()) };
        if let Some(length) = state.declared_length {
            self.db.set_declared_length(record.uuid, length).await?;
            live.set_declared_length(length);
            self.space.adjust(record.uuid, length.saturating_sub(state.stored_bytes()));
            self.drop_promise_if_ended(record.uuid);
        }
        Ok(())
    }

    /// A promise that was made while the upload ended would be held for ever: [`forget`](Self::forget) takes an upload out of
    /// memory before its promise, so one of the two sees the other.
    fn drop_promise_if_ended(&self, upload: UploadUuid) {
        if self.touched(upload).is_none() {
            self.space.release(upload);
        }
    }

    /// Promises room to an upload of unknown length, a step ahead of what it has stored. A job without a byte holds none, so that
    /// jobs that are never used cannot lock others out.
    pub(crate) async fn promise_ahead(&self, live: &Live) -> Result<(), UploadError> {
        let record = live.record();
        if record.declared_length.is_none() {
            self.promise(record.uuid, AHEAD_BYTES).await?;
            self.drop_promise_if_ended(record.uuid);
        }
        Ok(())
    }

    /// Adjusts the promise to what is stored by now.
    pub(crate) fn keep_promise(&self, live: &Live) {
        let record = live.record();
        if let Some(length) = record.declared_length {
            self.space.adjust(record.uuid, length.saturating_sub(record.stored_cached));
            self.drop_promise_if_ended(record.uuid);
        }
    }

    /// So much of one body has been handed to the store: as good as written, and not free any more.
    pub(crate) fn has_written(&self, live: &Live, bytes: u64) {
        let record = live.record();
        if record.declared_length.is_some() {
            self.space.written(record.uuid, bytes);
        }
    }

    /// At start: holds the room of an unfinished upload again.
    pub fn restore_promise(&self, record: &UploadRecord) {
        match record.declared_length {
            Some(length) => {
                self.space.adjust(record.uuid, length.saturating_sub(record.stored_cached));
            }
            None if record.last_byte_ms.is_some() => self.space.adjust(record.uuid, AHEAD_BYTES),
            None => self.space.release(record.uuid),
        }
    }
}
