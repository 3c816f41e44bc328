//! The control plane: long jobs from their submission to their image, recovery and supervision.

mod api_calls;
mod error;

pub use api_calls::{
    ApiCalls, Begun, CALL_TIMEOUT, CallFailure, CallState, Kept, RESULT_KEPT_MS, TellFailure,
};
pub use error::JobError;

use crate::domain::{
    account::Caller,
    add_image::AddImageRequest,
    ids::{ApiId, ImageUuid, JobUuid, UploadUuid},
    image::ImageRecord,
    image_id::ImageId,
    job::{LongJob, TaskProgress},
    query::{Page, Query},
    upload::{Completion, ExpectedDigests, UploadRecord},
};

/// A new upload job, whatever dialect it came in.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Name of the job; the job type if absent.
    pub name: Option<String>,
    /// Description of the job.
    pub description: Option<String>,
    /// The image, as the client wants it; checked here.
    pub image: AddImageRequest,
    /// System tags, read here (`uploadImage::`, `imageSize::`, `imageMd5::`, `imageSha256::`).
    pub system_tags: Vec<String>,
    /// User tags, kept and shown.
    pub user_tags: Vec<String>,
    /// The API call that submits it.
    pub api_id: ApiId,
    /// When the upload is complete.
    pub completion: Completion,
    /// Digests declared by other means than tags.
    pub expected: ExpectedDigests,
    /// Length declared by other means than tags.
    pub length: Option<u64>,
}

/// A job with what belongs to it.
#[derive(Debug, Clone)]
pub struct JobView {
    /// The job.
    pub job: LongJob,
    /// Its image; `None` once it failed, was canceled or was expunged.
    pub image: Option<ImageRecord>,
    /// Its upload: the key of the upload URL while the image is not Ready.
    pub upload: Option<UploadRecord>,
}

/// One element of GetUploadImageJobDetails.
#[derive(Debug, Clone)]
pub struct UploadJobDetails {
    /// The job; never final.
    pub job: LongJob,
    /// Its upload.
    pub upload: UploadRecord,
    /// First missing byte, from the store.
    pub offset: u64,
}

/// The control plane.
pub struct Jobs {}

impl Jobs {
    /// Records a job, its image and its upload, and starts it: the answer is Running and has its upload.
    pub async fn submit(&self, _caller: Caller, _new: NewJob) -> Result<JobView, JobError> {
        todo!()
    }

    /// The job with what belongs to it.
    pub async fn job(&self, _caller: Caller, _uuid: JobUuid) -> Result<JobView, JobError> {
        todo!()
    }

    /// Jobs that match.
    pub async fn query(&self, _caller: Caller, _query: &Query) -> Result<Page<JobView>, JobError> {
        todo!()
    }

    /// Images that match, with the upload of those that are not Ready.
    pub async fn query_images(
        &self,
        _caller: Caller,
        _query: &Query,
    ) -> Result<Page<(ImageRecord, Option<UploadRecord>)>, JobError> {
        todo!()
    }

    /// System tags of these images or jobs: (uuid as text, tag).
    pub async fn tags(&self, _resources: &[String]) -> Result<Vec<(String, String)>, JobError> {
        todo!()
    }

    /// Renames a job in any state; `None` leaves a field.
    pub async fn rename(
        &self,
        _caller: Caller,
        _uuid: JobUuid,
        _name: Option<String>,
        _description: Option<String>,
    ) -> Result<JobView, JobError> {
        todo!()
    }

    /// Suspends a job until it is resumed: takes no bytes any more when this returns, and keeps all it has (our extension
    /// `suspendLongJob`). Suspended by the user already: success.
    pub async fn suspend(&self, _caller: Caller, _uuid: JobUuid) -> Result<JobView, JobError> {
        todo!()
    }

    /// Resumes a suspended job; not Suspended is `WrongState` with ZStack's words.
    pub async fn resume(&self, _caller: Caller, _uuid: JobUuid) -> Result<JobView, JobError> {
        todo!()
    }

    /// Cancels a job: Canceling when this returns, or Canceled already.
    pub async fn cancel(&self, _caller: Caller, _uuid: JobUuid) -> Result<(), JobError> {
        todo!()
    }

    /// Deletes the record of a final job; the image stays. A job that does not exist is success (zstack.md 2.4).
    pub async fn delete(&self, _caller: Caller, _uuid: JobUuid) -> Result<(), JobError> {
        todo!()
    }

    /// The jobs that are not final and carry this `IMAGE_ID`: largest offset first, then newest.
    pub async fn details(
        &self,
        _caller: Caller,
        _image_id: &ImageId,
    ) -> Result<Vec<UploadJobDetails>, JobError> {
        todo!()
    }

    /// The upload that the keyed URL means: the first that `details` would list.
    pub async fn live_upload(
        &self,
        _caller: Caller,
        _image_id: &ImageId,
    ) -> Result<Option<UploadUuid>, JobError> {
        todo!()
    }

    /// The newest progress of an API call; `None` once it has ended.
    pub async fn progress(
        &self,
        _caller: Caller,
        _api_id: ApiId,
    ) -> Result<Option<TaskProgress>, JobError> {
        todo!()
    }

    /// Deletes a Ready image: kept for a while as Deleted, or removed at once if `enforcing`.
    pub async fn delete_image(
        &self,
        _caller: Caller,
        _uuid: ImageUuid,
        _enforcing: bool,
    ) -> Result<(), JobError> {
        todo!()
    }

    /// The one storage: its record, and its room in bytes (total, free).
    pub async fn storage(
        &self,
    ) -> Result<(crate::domain::account::StorageRecord, u64, u64), JobError> {
        todo!()
    }
}
