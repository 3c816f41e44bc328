//! The steps from the last byte to an image, and the steps back: each durable, each repeatable.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
};

use longshore_storage::{Finished, ImageKey, Owned, StoreError, UploadKey, digest::DigestChoice};

use super::{Live, UploadError, Uploads, live, percent};
use crate::{
    db::UploadTouch,
    domain::{
        clock::EpochMs,
        ids::{ImageUuid, UploadUuid},
        upload::{UploadKind, UploadRecord},
    },
};

impl Uploads {
    /// Brings the digests of a complete upload to its end. Repeatable.
    pub(crate) async fn finish(
        &self,
        live: &Live,
        progress: Arc<dyn Fn(u64) + Send + Sync>,
    ) -> Result<Finished, UploadError> {
        Ok(self.store.finish(live.owned, progress).await?)
    }

    /// Makes the image of a finished upload. Repeatable.
    pub(crate) async fn publish(
        &self,
        record: &UploadRecord,
        image: ImageUuid,
    ) -> Result<(), UploadError> {
        Ok(self.store.publish(self.owned(record), ImageKey(image.0)).await?)
    }

    /// Whether every byte is stored; an upload that the store has lost is an error.
    pub(crate) async fn is_complete(&self, upload: UploadUuid) -> Result<bool, UploadError> {
        Ok(self.store.state(live::key(upload)).await?.is_complete())
    }

    /// Whether a client has nothing to send any more: every byte is stored, or is in partial uploads. An upload that the store has
    /// lost is an error.
    pub(crate) async fn has_all(&self, record: &UploadRecord) -> Result<bool, UploadError> {
        Ok(self.is_complete(record.uuid).await? || record.kind == UploadKind::Joined)
    }

    /// Which digests follow the bytes of an upload.
    pub(crate) async fn digests(&self, upload: UploadUuid) -> Result<DigestChoice, UploadError> {
        Ok(self.store.state(live::key(upload)).await?.digests)
    }

    /// Ends all writers of an upload and takes no bytes until [`reopen`](Self::reopen): what they had received is kept.
    pub(crate) async fn shut(&self, record: &UploadRecord) -> Result<(), UploadError> {
        if let Some(live) = self.touched(record.uuid) {
            live.close_gate();
        }
        let state = self.store.revoke(self.owned(record)).await?;
        if let Some(live) = self.touched(record.uuid) {
            live.acknowledged(state.offset, state.stored_bytes());
        }
        Ok(())
    }

    /// Takes bytes again after [`shut`](Self::shut); the idle clock starts anew.
    pub(crate) async fn reopen(&self, record: &UploadRecord) -> Result<(), UploadError> {
        match self.store.admit(self.owned(record)).await {
            // Its bytes are an image already; a crash kept the rest of the store from knowing. Finishing goes on from there.
            Ok(()) | Err(StoreError::Revoked { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(live) = self.touched(record.uuid) {
            live.open_gate(self.clock.now_ms());
        }
        Ok(())
    }

    /// Removes the bytes of an upload and gives its room back. Idempotent, also when the store has lost it.
    pub(crate) async fn discard(&self, record: &UploadRecord) -> Result<(), UploadError> {
        if let Some(live) = self.touched(record.uuid) {
            live.close_gate();
        }
        let removed = match self.store.discard(self.owned(record)).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        };
        if record.kind == UploadKind::Partial {
            // Of all others the job knows.
            self.note_removal(record, removed.is_ok());
        }
        removed?;
        self.forget(record.uuid);
        if record.kind == UploadKind::Joined {
            Box::pin(self.discard_parts(record)).await;
        }
        Ok(())
    }

    /// Removes a published image. Idempotent. Downloads of it break off, also where new bytes come under the same uuid.
    pub(crate) async fn delete_image(&self, image: ImageUuid) -> Result<(), UploadError> {
        self.readings.end(image);
        match self.store.delete_image(ImageKey(image.0)).await {
            Ok(()) | Err(StoreError::ImageNotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes down what has been learnt of all uploads since the last call, in one transaction. When this returns, everything that
    /// was learnt before it was called is written down, by whomever; dropped half way it loses nothing.
    pub async fn write_down(&self) -> Result<(), UploadError> {
        let _alone = self.writing_down.lock().await;
        let live = self.all_live();
        let touches: Vec<_> = live.iter().filter_map(|live| live.take_touch()).collect();
        if touches.is_empty() {
            return Ok(());
        }
        let unwritten = Unwritten(&live);
        self.db.touch_uploads(touches).await?;
        std::mem::forget(unwritten);
        Ok(())
    }

    /// Whether the store holds bytes of an upload whose record knows of none: the process was killed, or the database did not
    /// answer, between an acknowledgement and the next [`write_down`](Self::write_down). They are written down then, as if the
    /// last had come now.
    pub(crate) async fn find_bytes(&self, record: &UploadRecord) -> Result<bool, UploadError> {
        let state = match self.store.state(live::key(record.uuid)).await {
            Ok(state) => state,
            Err(StoreError::NotFound { .. } | StoreError::Damaged { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let stored = state.stored_bytes();
        if stored == 0 {
            return Ok(false);
        }
        let now_ms = self.clock.now_ms();
        if let Some(live) = self.touched(record.uuid) {
            live.byte_arrived(now_ms);
            live.acknowledged(state.offset, stored);
        }
        let found = UploadTouch {
            uuid: record.uuid,
            owner_epoch: self.owned(record).epoch,
            offset: state.offset,
            stored,
            last_byte_ms: now_ms,
            percent: percent(stored, state.declared_length),
        };
        self.db.touch_uploads(vec![found]).await?;
        tracing::warn!(upload = %record.uuid, stored, "bytes that the records had missed were found in the store");
        Ok(true)
    }

    /// Keeps the uploads of this process its own for another lease.
    pub async fn renew_leases(&self, now_ms: EpochMs) -> Result<(), UploadError> {
        self.db.renew_leases(self.node, now_ms + super::millis(self.limits.lease)).await?;
        Ok(())
    }

    /// Removes what has lain in the store's `lost+found` for `age`: names and bytes.
    pub(crate) async fn purge_set_aside(
        &self,
        age: std::time::Duration,
    ) -> Result<Vec<(String, u64)>, UploadError> {
        Ok(self.store.purge_set_aside(age).await?)
    }

    /// Staging entries that no open upload knows: those of ended uploads are removed, all others set aside. Never deletes what no
    /// record names. So a removal that a process before this one did not come to is found again here; one that fails here too is
    /// tried again by whoever looks after what could not be removed.
    pub async fn reconcile_store(&self) -> Result<(), UploadError> {
        let strays = self.look_for_strays(true).await?;
        if strays.unexplained == 0 {
            self.has_cleared_strays.store(true, Ordering::Release);
        }
        self.reconcile_whole().await?;
        strays.error.map_or(Ok(()), Err)
    }

    /// What [`reconcile_store`](Self::reconcile_store) does about staging entries, told in numbers; only told if not to `repair`.
    pub(super) async fn look_for_strays(&self, repair: bool) -> Result<Strays, UploadError> {
        let mut found = Strays::default();
        for page in self.store.uploads().await?.chunks(500) {
            let uuids: Vec<_> = page.iter().map(|key| UploadUuid(key.0)).collect();
            found.entries += uuids.len() as u64;
            let known = self.db.known_open(uuids.clone()).await?;
            let strays: Vec<_> = uuids.into_iter().filter(|uuid| !known.contains(uuid)).collect();
            if strays.is_empty() {
                continue;
            }
            // Looked at after the records: an upload that was published or given up between the two looks is no stray.
            let there: HashSet<_> = self.store.uploads().await?.into_iter().collect();
            for stray in strays.into_iter().filter(|uuid| there.contains(&live::key(*uuid))) {
                if let Err(error) = self.clear_stray(stray, repair, &mut found).await {
                    // One must not keep all others.
                    tracing::error!(upload = %stray, %error, "a staging entry could not be looked at or cleared; it will be tried again");
                    found.failed += 1;
                    found.unexplained += u64::from(!self.is_unremoved(stray));
                    found.error.get_or_insert(error);
                }
            }
        }
        Ok(found)
    }

    async fn clear_stray(
        &self,
        stray: UploadUuid,
        repair: bool,
        found: &mut Strays,
    ) -> Result<(), UploadError> {
        // Before the records are asked: once they know it, it is not being created any more.
        if self.creating().contains(&stray) {
            return Ok(());
        }
        match self.db.upload(stray).await? {
            // Recorded as ended: the crash came between the record and the removal.
            Some(record) if record.fate != crate::domain::upload::UploadFate::Open => {
                found.leftovers += 1;
                if repair { self.discard(&record).await } else { Ok(()) }
            }
            // A request made it while this was looking.
            Some(_) => Ok(()),
            None => {
                found.unknown += 1;
                if !repair {
                    return Ok(());
                }
                tracing::warn!(upload = %stray, "a staging entry without a record was moved to lost+found");
                Ok(self.store.set_aside(UploadKey(stray.0)).await?)
            }
        }
    }

    pub(super) fn owned(&self, record: &UploadRecord) -> Owned {
        let touched = self.touched(record.uuid).map(|live| live.owned);
        touched.unwrap_or(Owned { key: live::key(record.uuid), epoch: record.owner_epoch })
    }
}

/// Touches that were taken and are not in the records yet: an orderly stop drops whoever writes them down.
struct Unwritten<'l>(&'l [Arc<Live>]);

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        for live in self.0 {
            live.touch_failed();
        }
    }
}

/// Staging entries, and those of them that no open upload knows.
#[derive(Debug, Default)]
pub(super) struct Strays {
    /// All of them.
    pub(super) entries: u64,
    /// Of uploads that have ended.
    pub(super) leftovers: u64,
    /// Without a record.
    pub(super) unknown: u64,
    /// That could not be looked at or cleared.
    pub(super) failed: u64,
    /// Those of them that nobody tries again before the next start.
    unexplained: u64,
    /// The first reason why.
    pub(super) error: Option<UploadError>,
}
