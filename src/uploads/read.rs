//! Questions: where an upload stands, what an image holds.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use futures::{Stream, stream};
use longshore_storage::{ImageKey, Space, StoreError, UploadState};

use super::{Party, ReadyImage, UploadError, UploadStatus, Uploads, live, percent};
use crate::domain::{
    account::{Caller, Scope},
    ids::{ImageUuid, UploadUuid},
    image::ImageStatus,
    job::Stage,
    job_state::JobState,
    upload::{UploadFate, UploadKind, UploadRecord},
};

/// Missing ranges that one answer lists.
const MISSING_MAX: usize = 1000;
/// Bytes of an image that are read at once: what a reader that stands still holds, as much as a writer may own.
const READ_BYTES: u64 = 64 << 10;

impl Uploads {
    /// Where an upload stands. Never asks for bytes, never changes anything. `Gone` for one that was discarded or expired.
    pub async fn status(&self, upload: UploadUuid) -> Result<UploadStatus, UploadError> {
        let status = self.any_status(upload).await?;
        match status.record.fate {
            UploadFate::Open | UploadFate::Published => Ok(status),
            fate @ (UploadFate::Discarded | UploadFate::Expired) => Err(UploadError::Gone { fate }),
        }
    }

    /// The first missing byte of an upload whose record was just read: [`status`](Self::status) without asking the records again
    /// where the store knows it.
    pub async fn offset(&self, record: &UploadRecord) -> Result<u64, UploadError> {
        if record.kind == UploadKind::Partial {
            return Ok(self.store.state(live::key(record.uuid)).await?.offset);
        }
        if record.fate == UploadFate::Open
            && let Ok(state) = self.store.state(live::key(record.uuid)).await
        {
            return Ok(state.offset);
        }
        Ok(self.status(record.uuid).await?.offset)
    }

    /// Where an upload stands, also when it has come to nothing: for the answer to the request that sent its last byte.
    pub(super) async fn any_status(&self, upload: UploadUuid) -> Result<UploadStatus, UploadError> {
        let record = self.record(upload).await?;
        let job = self.db.job(record.job, Scope::All).await?;
        let mut job = job.ok_or(UploadError::NotFound)?;
        if job.stage == Stage::Verifying
            && let Some(live) = self.touched(upload)
        {
            job.stage_percent = live.verified_percent();
        }
        let image = self.db.image(record.image, Scope::All).await?;
        let (length, complete, offset, stored_bytes, missing) = match record.fate {
            UploadFate::Published => {
                let length = record.declared_length.unwrap_or(record.offset_cached);
                (Some(length), true, length, length, Vec::new())
            }
            UploadFate::Open => match self.store.state(live::key(upload)).await {
                Ok(state) => {
                    let missing = missing(&state);
                    let length = state.declared_length.or(record.declared_length);
                    (length, state.is_complete(), state.offset, state.stored_bytes(), missing)
                }
                // Published a moment ago: the store is ahead of the record that was read above.
                Err(StoreError::NotFound { .. }) if self.is_publishing(&record).await? => {
                    let length = record.declared_length.unwrap_or(record.offset_cached);
                    (Some(length), true, length, length, Vec::new())
                }
                // Being canceled at this moment, or ended since the record was read.
                Err(StoreError::NotFound { .. }) if self.is_ending(&record).await? => {
                    (record.declared_length, false, 0, 0, Vec::new())
                }
                Err(error) => return Err(error.into()),
            },
            UploadFate::Discarded | UploadFate::Expired => {
                (record.declared_length, false, 0, 0, Vec::new())
            }
        };
        if matches!(job.stage, Stage::Receiving | Stage::Joining) {
            // The row is written down once a second; this is what the store knows now.
            job.stage_percent = percent(stored_bytes, length);
        }
        Ok(UploadStatus { record, job, image, length, complete, offset, stored_bytes, missing })
    }

    /// Whether the bytes of an upload that the store does not find are becoming, or have become, an image: between the rename
    /// and its record a question must not be answered by "not found", or clients start again from nothing.
    pub(super) async fn is_publishing(&self, record: &UploadRecord) -> Result<bool, UploadError> {
        let now = self.db.upload(record.uuid).await?;
        if now.is_some_and(|now| now.fate == UploadFate::Published) {
            return Ok(true);
        }
        let job = self.db.job(record.job, Scope::All).await?;
        // Succeeded: it was recorded between these two looks.
        let becoming = |state: JobState| !state.is_final() || state == JobState::Succeeded;
        Ok(job.is_some_and(|job| {
            job.run() == record.run() && job.stage == Stage::Publishing && becoming(job.state)
        }))
    }

    /// Whether the bytes of an upload that the store does not find were removed on purpose.
    pub(super) async fn is_ending(&self, record: &UploadRecord) -> Result<bool, UploadError> {
        let now = self.db.upload(record.uuid).await?;
        if now.is_none_or(|now| now.fate != UploadFate::Open) {
            return Ok(true);
        }
        let job = self.db.job(record.job, Scope::All).await?;
        // Ended, or run again, between these two looks.
        let ending = |state: JobState| match state {
            JobState::Canceling | JobState::Failed | JobState::Canceled => true,
            JobState::Waiting
            | JobState::Running
            | JobState::Suspended(_)
            | JobState::Succeeded => false,
        };
        Ok(job.is_none_or(|job| job.run() != record.run() || ending(job.state)))
    }

    /// The upload's record, whatever has become of it; `NotFound` if there is none. For checking a capability's generation.
    pub async fn record(&self, upload: UploadUuid) -> Result<UploadRecord, UploadError> {
        if let Some(live) = self.touched(upload) {
            return Ok(live.record());
        }
        self.db.upload(upload).await?.ok_or(UploadError::NotFound)
    }

    /// The newest upload of an image that the caller may see (ZStack slices with a session name the image).
    pub async fn of_image(
        &self,
        caller: Caller,
        image: ImageUuid,
    ) -> Result<UploadRecord, UploadError> {
        let record = self.db.upload_of_image(image).await?.ok_or(UploadError::NotFound)?;
        match caller.scope() {
            Scope::Account(account) if account != record.account => Err(UploadError::NotFound),
            Scope::All | Scope::Account(_) => Ok(record),
        }
    }

    /// Length of an image in the store, `None` if there is none.
    pub(crate) async fn image_length(&self, image: ImageUuid) -> Result<Option<u64>, UploadError> {
        match self.store.image_length(ImageKey(image.0)).await {
            Ok(length) => Ok(Some(length)),
            Err(StoreError::ImageNotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Room in the storage.
    pub async fn space(&self) -> Result<Space, UploadError> {
        Ok(self.store.space().await?)
    }

    /// A Ready image of the caller, to be read.
    pub async fn ready_image(
        &self,
        caller: Caller,
        image: ImageUuid,
    ) -> Result<ReadyImage, UploadError> {
        // Before the look at the record: whoever removes it from now on is seen.
        let reading = self.readings.begin(image);
        let record = self.db.image(image, caller.scope()).await?.ok_or(UploadError::NotFound)?;
        match record.status {
            ImageStatus::Ready => {
                let length = self.store.image_length(ImageKey(image.0)).await?;
                Ok(ReadyImage { record, length, reading })
            }
            ImageStatus::Downloading | ImageStatus::Deleted => Err(UploadError::NotFound),
        }
    }

    /// Bytes of a Ready image as a stream of blocks of at most 64 KiB, each read when the one before has been taken: a reader that
    /// stands still holds one block and no thread. `NotFound` as soon as the image is removed for good, never bytes of a later one
    /// with its uuid. The request counts for the account of whoever reads until the stream is dropped.
    pub fn image_bytes(
        &self,
        reader: Caller,
        image: &ReadyImage,
        range: Range<u64>,
    ) -> Result<impl Stream<Item = Result<Bytes, UploadError>> + 'static + use<>, UploadError> {
        let admission = self.admit_request(Party::Account(reader.account))?;
        let store = Arc::clone(&self.store);
        let (reading, image) = (Arc::clone(&image.reading), image.record.uuid);
        let begin = (range, admission);
        Ok(stream::try_unfold(begin, move |(range, admission)| {
            let (store, reading) = (Arc::clone(&store), Arc::clone(&reading));
            async move {
                if range.is_empty() {
                    return Ok(None);
                }
                let end = range.end.min(range.start + READ_BYTES);
                let bytes = store.read_image(ImageKey(image.0), range.start..end).await?;
                // After the read: before it, another image could still come in between.
                if reading.is_removed() {
                    return Err(UploadError::NotFound);
                }
                if bytes.is_empty() {
                    return Err(UploadError::Store(StoreError::Damaged {
                        what: format!("image {image}"),
                        message: "it is shorter than it was".to_owned(),
                    }));
                }
                let next = range.start + bytes.len() as u64..range.end;
                Ok(Some((bytes, (next, admission))))
            }
        }))
    }
}

/// What is missing below the declared length, or below the last stored byte while none is declared.
fn missing(state: &UploadState) -> Vec<Range<u64>> {
    let end = state.declared_length.or(state.extents.last().map(|last| last.end)).unwrap_or(0);
    let starts = std::iter::once(0).chain(state.extents.iter().map(|extent| extent.end));
    let ends = state.extents.iter().map(|extent| extent.start).chain(std::iter::once(end));
    starts
        .zip(ends)
        .filter(|(start, end)| start < end)
        .map(|(start, end)| start..end)
        .take(MISSING_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use longshore_storage::{UploadPhase, digest::DigestChoice};

    use super::*;

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "one extent is a list of one range")]
    fn missing_is_what_extents_leave() {
        let state = |declared_length, extents: Vec<Range<u64>>| UploadState {
            declared_length,
            offset: 0,
            hashed_offset: 0,
            digests: DigestChoice::BOTH,
            writers: 0,
            phase: UploadPhase::Open,
            extents,
        };
        assert_eq!(missing(&state(Some(10), vec![])), vec![0..10]);
        assert_eq!(missing(&state(Some(10), vec![0..3, 5..6])), vec![3..5, 6..10]);
        assert_eq!(missing(&state(Some(10), vec![0..10])), Vec::<Range<u64>>::new());
        assert_eq!(missing(&state(None, vec![4..6])), vec![0..4]);
        assert_eq!(missing(&state(None, vec![])), Vec::<Range<u64>>::new());
    }
}
