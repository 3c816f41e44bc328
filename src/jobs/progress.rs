//! How far a job is, with its bytes as the store knows them now.

use super::{JobError, JobView, Jobs, query::own_image};
use crate::{
    domain::{
        account::Caller,
        ids::JobUuid,
        upload::{UploadFate, UploadRecord},
    },
    uploads::UploadError,
};

/// A job, and its bytes.
#[derive(Debug, Clone)]
pub struct JobProgress {
    /// The job with what belongs to it.
    pub view: JobView,
    /// The upload of its current run, whatever has become of it.
    pub run: Option<UploadRecord>,
    /// How much is stored; `None` once its bytes are gone, or if the store cannot say.
    pub bytes: Option<StoredBytes>,
}

/// How much of an upload is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredBytes {
    /// First missing byte.
    pub offset: u64,
    /// Bytes that are stored, also those beyond a gap.
    pub stored_bytes: u64,
    /// Length of the whole, once it is known.
    pub length: Option<u64>,
}

impl Jobs {
    /// How far a job of the caller's is. Changes nothing, and asks for no bytes.
    pub async fn job_progress(
        &self,
        caller: Caller,
        uuid: JobUuid,
    ) -> Result<JobProgress, JobError> {
        let mut view = self.job(caller, uuid).await?;
        let Some(run) = self.upload_of(&view.job).await? else {
            return Ok(JobProgress { view, run: None, bytes: None });
        };
        let is_stored = match run.fate {
            UploadFate::Open | UploadFate::Published => true,
            UploadFate::Discarded | UploadFate::Expired => false,
        };
        if !is_stored {
            return Ok(JobProgress { view, run: Some(run), bytes: None });
        }
        match self.parts.uploads.status(run.uuid).await {
            Ok(status) => {
                // What was read with the bytes is newer. Of a run that has taken this one's place the bytes say nothing.
                let is_current = status.job.upload == run.uuid;
                if is_current {
                    let upload = Some(status.record.clone()).filter(|_| view.upload.is_some());
                    let image = own_image(&status.job, status.image);
                    view = JobView { job: status.job, image, upload };
                }
                let bytes = is_current.then_some(StoredBytes {
                    offset: status.offset,
                    stored_bytes: status.stored_bytes,
                    length: status.length,
                });
                Ok(JobProgress { view, run: Some(status.record), bytes })
            }
            Err(UploadError::Db(error)) => Err(error.into()),
            Err(error) => {
                // Ended since it was read, or a store that fails: the job is shown all the same.
                tracing::debug!(job = %uuid, %error, "the bytes of a job are not shown");
                Ok(JobProgress { view, run: Some(run), bytes: None })
            }
        }
    }
}
