//! Partial uploads from their creation to their end, and the job that is made of them.

use std::sync::Arc;

use super::{JobError, Jobs, NewJob, locked, submit::Records, unreadable::Unreadable};
use crate::{
    db::{Created, PartialsPage},
    domain::{
        account::Caller,
        clock::EpochMs,
        ids::{ImageUuid, JobUuid, UploadUuid},
        upload::{Completion, ExpectedDigests, UploadFate, UploadKind, UploadRecord},
    },
    uploads::{DigestChoice, PartFault, Parts, StoreError, UploadError},
};

/// Records that one look reads.
const PAGE: u64 = 500;
/// The whole is hashed, once: what its parts hash to nobody wants to know.
const NEITHER: DigestChoice = DigestChoice { md5: false, sha256: false };

impl Jobs {
    /// Makes a partial upload. It is there when this returns, durable, or nothing is. It counts among the account's unfinished
    /// uploads, holds room for its length, and expires like any other.
    pub async fn create_partial(
        &self,
        caller: Caller,
        length: Option<u64>,
        client_metadata: Option<String>,
    ) -> Result<UploadRecord, JobError> {
        self.whole(move |jobs| async move {
            let record = jobs.partial_record(caller, length, client_metadata);
            let uploads = &jobs.parts.uploads;
            uploads.prepare(&record, NEITHER).await?;
            let max = jobs.parts.limits.open_uploads_max;
            let recorded = match jobs.parts.db.create_partial(record.clone(), max).await {
                Ok(Created::Recorded) => Ok(()),
                Ok(Created::TooManyOpenUploads) => Err(UploadError::TooManyOpen { max }.into()),
                Ok(Created::Duplicate | Created::PartTaken(_)) => Err(JobError::Contended),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = recorded {
                uploads.abandon(&record).await;
                return Err(error);
            }
            uploads.begin(record.clone());
            tracing::info!(upload = %record.uuid, ?length, "partial upload made");
            Ok(record)
        })
        .await
    }

    fn partial_record(
        &self,
        caller: Caller,
        length: Option<u64>,
        client_metadata: Option<String>,
    ) -> UploadRecord {
        let now_ms = self.parts.clock.now_ms();
        UploadRecord {
            uuid: UploadUuid::ordered(now_ms),
            kind: UploadKind::Partial,
            job: JobUuid::NIL,
            image: ImageUuid::ordered(now_ms),
            account: caller.account,
            image_id: None,
            completion: Completion::ByLength,
            declared_length: length,
            expected: ExpectedDigests::default(),
            offset_cached: 0,
            stored_cached: 0,
            fate: UploadFate::Open,
            url_generation: UploadRecord::FIRST_URL_GENERATION,
            owner: Some(self.parts.node),
            owner_epoch: 1,
            lease_until_ms: now_ms + super::millis(self.parts.uploads.limits().lease),
            created_ms: now_ms,
            last_byte_ms: None,
            client_metadata,
            parts: Vec::new(),
            taken_by: None,
        }
    }

    /// A job whose bytes are in these partial uploads of the caller's: it puts them together, in this order, and goes on as any other.
    /// Answers at once. The parts belong to it from then on and go with its end, whichever that is; asked again for the same parts
    /// in the same order, it answers the same upload.
    pub async fn submit_joined(
        &self,
        caller: Caller,
        new: NewJob,
        parts: Vec<UploadUuid>,
    ) -> Result<UploadRecord, JobError> {
        self.whole(move |jobs| async move {
            let metadata = new.client_metadata.clone();
            let refused = match jobs.join_parts(caller, new, &parts).await {
                Ok(upload) => return Ok(upload),
                Err(error) => error,
            };
            // Asked twice at the same time, for the same: the other one may have taken the parts, or their room and their place.
            let uploads = &jobs.parts.uploads;
            match uploads.check_parts(caller.account, &parts, metadata.as_deref()).await {
                Ok(Parts::Joined(record)) => Ok(*record),
                Ok(Parts::Whole { .. }) | Err(_) => Err(refused),
            }
        })
        .await
    }

    async fn join_parts(
        self: &Arc<Self>,
        caller: Caller,
        new: NewJob,
        parts: &[UploadUuid],
    ) -> Result<UploadRecord, JobError> {
        let metadata = new.client_metadata.as_deref();
        let length = match self.parts.uploads.check_parts(caller.account, parts, metadata).await? {
            Parts::Whole { length } => length,
            Parts::Joined(record) => return Ok(*record),
        };
        let new = NewJob { length: Some(length), ..new };
        let Records { upload, .. } = self.submit_parts(caller, new, parts.to_vec()).await?;
        drop(Arc::clone(self).begin_finishing(upload.run()));
        Ok(upload)
    }

    /// Removes a partial upload. `PartInUse` where it is a part of an upload: it goes with that.
    pub async fn discard_partial(&self, record: &UploadRecord) -> Result<(), JobError> {
        let record = record.clone();
        self.whole(move |jobs| async move {
            if jobs.end_partial(&record, UploadFate::Discarded).await? {
                return Ok(());
            }
            let now = jobs.parts.db.upload(record.uuid).await?.ok_or(UploadError::NotFound)?;
            if jobs.parts.uploads.is_in_kept_upload(&now).await? {
                return Err(UploadError::PartInUse.into());
            }
            Err(match now.fate {
                UploadFate::Open => UploadError::PartInUse.into(),
                fate @ (UploadFate::Published | UploadFate::Discarded | UploadFate::Expired) => {
                    UploadError::Gone { fate }.into()
                }
            })
        })
        .await
    }

    /// Ends one that is no part of an upload. Answers whether it did.
    async fn end_partial(&self, record: &UploadRecord, fate: UploadFate) -> Result<bool, JobError> {
        // The records decide between this and whoever joins it.
        let ended = self.parts.db.end_partial(record.uuid, fate, false).await?;
        if ended {
            locked(&self.shut_partials).remove(&record.uuid);
            self.parts.uploads.discard(record).await?;
        }
        Ok(ended)
    }

    /// At the start: holds the room of partial uploads again. Counts the rows that cannot be read among `unreadable`.
    pub(super) async fn restore_partials(
        &self,
        unreadable: &mut Unreadable,
    ) -> Result<(), JobError> {
        let mut after = None;
        while let Some((last, open)) = self.open_partials(after, unreadable).await? {
            for record in open {
                self.parts.uploads.restore_promise(&record);
            }
            after = Some(last);
        }
        Ok(())
    }

    /// Ends partial uploads whose last byte is too old, removes parts of uploads that have their bytes or have ended, and forgets
    /// records of those that ended long ago. Counts the rows that cannot be read among `unreadable`.
    pub(super) async fn look_after_partials(
        &self,
        now_ms: EpochMs,
        unreadable: &mut Unreadable,
    ) -> Result<(), JobError> {
        let mut after = None;
        while let Some((last, open)) = self.open_partials(after, unreadable).await? {
            for record in open {
                let looked_after = match record.taken_by {
                    Some(taker) => self.remove_used(&record, taker).await,
                    None => self.expire_partial(&record, now_ms).await,
                };
                if let Err(error) = looked_after {
                    // One that cannot be removed must not keep all others.
                    tracing::error!(upload = %record.uuid, %error, "a partial upload could not be looked after; it will be tried again");
                }
            }
            after = Some(last);
        }
        if self.remove_again().await {
            let before_ms = now_ms - super::millis(self.parts.limits.expire);
            self.parts.db.forget_partials(before_ms).await?;
        }
        Ok(())
    }

    /// Removes what has ended and could not be removed then. Answers whether nothing of that kind is left: as long as there is, no
    /// record is forgotten, or what it names would be a stray after the next start.
    async fn remove_again(&self) -> bool {
        let uploads = &self.parts.uploads;
        for record in uploads.unremoved() {
            if let Err(error) = uploads.discard(&record).await {
                tracing::error!(upload = %record.uuid, %error, "a partial upload that has ended could not be removed; it will be tried again");
            }
        }
        uploads.has_removed_all()
    }

    /// The next records that are open, and the key of the last of them; `None` where there are no more.
    async fn open_partials(
        &self,
        after: Option<String>,
        unreadable: &mut Unreadable,
    ) -> Result<Option<(String, Vec<UploadRecord>)>, JobError> {
        let PartialsPage { uploads, unreadable: rows, last } =
            self.parts.db.partials(after.as_deref(), PAGE).await?;
        // The others do not wait for them.
        unreadable.add(&rows);
        Ok(last.map(|last| (last, uploads)))
    }

    async fn remove_used(&self, record: &UploadRecord, taker: UploadUuid) -> Result<(), JobError> {
        let uploads = &self.parts.uploads;
        let needs_it = match self.parts.db.upload(taker).await? {
            Some(taker) if taker.fate == UploadFate::Open => {
                !uploads.is_complete(taker.uuid).await?
            }
            Some(_) | None => false,
        };
        if !needs_it {
            uploads.discard_part(record.uuid).await?;
        }
        Ok(())
    }

    async fn expire_partial(&self, record: &UploadRecord, now_ms: EpochMs) -> Result<(), JobError> {
        // A look that was broken off with the upload shut is brought to its end by the next: nobody else would open it.
        let is_shut = locked(&self.shut_partials).contains(&record.uuid);
        if !is_shut && !self.keeping(record).is_over(now_ms) {
            return Ok(());
        }
        let uploads = &self.parts.uploads;
        locked(&self.shut_partials).insert(record.uuid);
        match uploads.shut(record).await {
            Ok(())
            | Err(UploadError::Store(StoreError::NotFound { .. } | StoreError::Damaged { .. })) => {
            }
            Err(error) => return Err(error.into()),
        }
        // From here on no byte is acknowledged; one that was until then keeps the upload.
        let ended = match self.has_come_to_life(record, now_ms).await {
            Ok(true) => Ok(false),
            Ok(false) => {
                let end = self.parts.db.end_partial(record.uuid, UploadFate::Expired, false);
                end.await.map_err(JobError::from)
            }
            Err(error) => Err(error),
        };
        if !matches!(ended, Ok(true)) {
            match uploads.reopen(record).await {
                // Somebody else has ended it meanwhile.
                Ok(()) | Err(UploadError::Store(StoreError::NotFound { .. })) => {}
                Err(error) => return Err(error.into()),
            }
        }
        locked(&self.shut_partials).remove(&record.uuid);
        if ended? {
            uploads.discard(record).await?;
        }
        Ok(())
    }

    /// Whether a byte has come since an upload was found too old, or ever to one whose record knows of none.
    async fn has_come_to_life(
        &self,
        record: &UploadRecord,
        now_ms: EpochMs,
    ) -> Result<bool, JobError> {
        if !self.keeping(record).is_over(now_ms) {
            return Ok(true);
        }
        Ok(record.last_byte_ms.is_none() && self.parts.uploads.find_bytes(record).await?)
    }
}

/// A part that is not there for this upload any more.
pub(super) fn part_taken(parts: &[UploadUuid], part: UploadUuid) -> JobError {
    let number = parts.iter().position(|known| *known == part).map_or(1, |at| at + 1);
    UploadError::Part { number, fault: PartFault::Taken }.into()
}
