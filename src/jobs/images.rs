//! What a user does with an image: change, delete, recover, expunge.
//!
//! A deleted image is kept for a while and can be recovered; then, or when it is asked for, it is expunged. Expunging and
//! recovering one image exclude each other, and the bytes go before the record: a crash in between leaves a record without
//! bytes, which is expunged again and cannot be recovered.

use super::{JobError, Jobs};
use crate::{
    db::ImageUpdated,
    domain::{
        account::{Caller, Scope},
        clock::EpochMs,
        ids::ImageUuid,
        image::{ImageRecord, ImageStatus},
        text::shown,
        update_image::ImageChanges,
        upload::UploadRecord,
    },
};

impl Jobs {
    /// Changes fields of an image in any status, and answers it with its upload if it has one. A change while an upload is being
    /// finished comes after the image is Ready, so that neither overwrites the other.
    pub async fn update_image(
        &self,
        caller: Caller,
        uuid: ImageUuid,
        changes: ImageChanges,
    ) -> Result<(ImageRecord, Option<UploadRecord>), JobError> {
        let changes = changes.checked().map_err(|error| JobError::Invalid(error.to_string()))?;
        self.whole(move |jobs| async move {
            jobs.image_of(caller, uuid).await?;
            let upload = jobs.parts.db.upload_of_image(uuid).await?;
            let _alone = match &upload {
                Some(upload) => Some(jobs.lock(upload.job).await),
                None => None,
            };
            let now_ms = jobs.parts.clock.now_ms();
            match jobs.parts.db.update_image(uuid, caller.scope(), changes, now_ms).await? {
                ImageUpdated::Done(image) => {
                    jobs.news.others(image.account);
                    jobs.with_upload(*image).await
                }
                ImageUpdated::Missing => Err(no_image(uuid)),
                ImageUpdated::Refused(error) => Err(JobError::Invalid(error.to_string())),
            }
        })
        .await
    }

    /// Deletes a Ready image: kept for a while as Deleted, or removed at once if `enforcing`. One that is deleted already is
    /// success. One that is being uploaded is refused: its job is what can be canceled.
    ///
    /// `storages` are those that it is to be deleted from; all if there are none. One that does not hold it is refused.
    pub async fn delete_image(
        &self,
        caller: Caller,
        uuid: ImageUuid,
        enforcing: bool,
        storages: &[String],
    ) -> Result<(), JobError> {
        let image = self.image_of(caller, uuid).await?;
        check_holds(&image, storages)?;
        match image.status {
            ImageStatus::Downloading => {
                return Err(JobError::Invalid(format!(
                    "image[uuid:{uuid}] is being uploaded: cancel its long job instead"
                )));
            }
            ImageStatus::Ready => {
                let now_ms = self.parts.clock.now_ms();
                self.parts.db.mark_image_deleted(uuid, caller.scope(), now_ms).await?;
            }
            ImageStatus::Deleted => {}
        }
        if enforcing {
            self.expunge_now(uuid).await?;
        }
        self.news.others(image.account);
        Ok(())
    }

    /// Removes a deleted image for good, before its time. One that is not Deleted is refused.
    pub async fn expunge_image(
        &self,
        caller: Caller,
        uuid: ImageUuid,
        storages: &[String],
    ) -> Result<(), JobError> {
        let image = self.image_of(caller, uuid).await?;
        check_holds(&image, storages)?;
        if image.status != ImageStatus::Deleted {
            return Err(not_deleted(&image, "only a deleted image can be expunged"));
        }
        self.expunge_now(uuid).await
    }

    /// Makes a deleted image Ready again. One that is not Deleted is refused, and so is one whose bytes have gone already.
    pub async fn recover_image(
        &self,
        caller: Caller,
        uuid: ImageUuid,
        storages: Vec<String>,
    ) -> Result<ImageRecord, JobError> {
        self.whole(move |jobs| async move {
            let _alone = jobs.lock_image(uuid).await;
            let image = jobs.image_of(caller, uuid).await?;
            check_holds(&image, &storages)?;
            if image.status != ImageStatus::Deleted {
                return Err(not_deleted(&image, "there is nothing to recover"));
            }
            if jobs.parts.uploads.image_length(uuid).await? != Some(image.actual_size) {
                return Err(JobError::Invalid(format!(
                    "image[uuid:{uuid}] is being expunged: its bytes are gone, upload it again"
                )));
            }
            let now_ms = jobs.parts.clock.now_ms();
            if !jobs.parts.db.recover_image(uuid, now_ms).await? {
                return Err(JobError::Contended);
            }
            jobs.news.others(image.account);
            jobs.image_of(caller, uuid).await
        })
        .await
    }

    /// Removes a deleted image for good: the bytes first, so that a crash leaves a record to try again from. An image that is not
    /// Deleted (any more), or was deleted later than `before_ms`, is left alone and answered.
    pub(super) async fn expunge(
        &self,
        uuid: ImageUuid,
        before_ms: Option<EpochMs>,
    ) -> Result<Option<ImageRecord>, JobError> {
        self.whole(move |jobs| async move {
            let _alone = jobs.lock_image(uuid).await;
            let Some(image) = jobs.parts.db.image(uuid, Scope::All).await? else {
                return Ok(None);
            };
            // Looked at again now that nobody recovers it: it may have been recovered, and even deleted anew, since.
            let deleted_ms = image.deleted_ms.filter(|_| image.status == ImageStatus::Deleted);
            if deleted_ms.is_none_or(|at| before_ms.is_some_and(|before| at >= before)) {
                return Ok(Some(image));
            }
            jobs.parts.uploads.delete_image(uuid).await?;
            if jobs.parts.db.remove_image(uuid).await? {
                tracing::info!(image = %uuid, "a deleted image was removed for good");
                jobs.news.others(image.account);
            }
            Ok(None)
        })
        .await
    }

    async fn expunge_now(&self, uuid: ImageUuid) -> Result<(), JobError> {
        match self.expunge(uuid, None).await? {
            None => Ok(()),
            Some(image) => Err(not_deleted(&image, "somebody else changed it, look at it again")),
        }
    }

    async fn image_of(&self, caller: Caller, uuid: ImageUuid) -> Result<ImageRecord, JobError> {
        let image = self.parts.db.image(uuid, caller.scope()).await?;
        image.ok_or_else(|| no_image(uuid))
    }

    /// The image with the upload whose URL it shows.
    pub(super) async fn with_upload(
        &self,
        image: ImageRecord,
    ) -> Result<(ImageRecord, Option<UploadRecord>), JobError> {
        let upload = match image.status {
            ImageStatus::Downloading => self.parts.db.upload_of_image(image.uuid).await?,
            ImageStatus::Ready | ImageStatus::Deleted => None,
        };
        Ok((image, upload))
    }
}

/// Whether all storages that a call names hold the image.
fn check_holds(image: &ImageRecord, storages: &[String]) -> Result<(), JobError> {
    let holds = image.storage.to_string();
    match storages.iter().find(|named| **named != holds) {
        Some(named) => Err(JobError::Invalid(format!(
            "image[uuid:{}] is not on the backup storage[uuid:{}], it is on [{holds}]; nothing was changed",
            image.uuid,
            shown(named)
        ))),
        None => Ok(()),
    }
}

fn no_image(uuid: ImageUuid) -> JobError {
    JobError::ImageNotFound { uuid: uuid.to_string() }
}

fn not_deleted(image: &ImageRecord, so: &str) -> JobError {
    JobError::Invalid(format!(
        "the image[uuid:{}, name:{}] is not deleted on any backup storage, it is {}: {so}",
        image.uuid,
        shown(&image.name),
        image.status.name()
    ))
}
