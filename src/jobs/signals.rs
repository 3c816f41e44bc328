//! What bytes tell jobs.

use async_trait::async_trait;
use tokio::sync::watch;

use super::{
    JobError, Jobs,
    moves::{Moved, Step, interrupted},
};
use crate::{
    domain::{
        account::Scope,
        ids::{JobUuid, UploadUuid},
        job::JobResult,
        job_state::JobEvent,
    },
    uploads::{JobSignals, UploadError, Verdict},
};

/// Jobs as the data plane sees them.
#[async_trait]
impl JobSignals for Jobs {
    async fn bytes_arrived(&self, job: JobUuid) -> Result<(), UploadError> {
        let _alone = self.lock(job).await;
        let moved = self.move_job(job, Scope::All, |_| {
            Ok(Some(Step::new(JobEvent::BytesArrived).result(JobResult::Event)))
        });
        let job = match moved.await {
            Ok(Moved::Now(job) | Moved::Unchanged(job)) => job,
            Err(JobError::WrongState { state, .. }) => {
                return Err(UploadError::NotTaking { state });
            }
            Err(JobError::NotFound { .. }) => return Err(UploadError::NotFound),
            Err(JobError::Upload(error)) => return Err(error),
            Err(JobError::Db(error)) => return Err(error.into()),
            Err(
                error @ (JobError::ImageNotFound { .. }
                | JobError::Invalid(_)
                | JobError::NoStorage(_)
                | JobError::Quota(_)
                | JobError::Contended),
            ) => {
                tracing::warn!(%job, %error, "bytes could not wake a job");
                return Err(UploadError::Draining { offset: 0 });
            }
        };
        let upload = self.parts.db.upload_of_image(job.image).await?;
        let Some(upload) = upload.filter(|upload| upload.job == job.uuid) else {
            return Err(UploadError::NotFound);
        };
        self.parts.uploads.reopen(&upload).await
    }

    fn complete(&self, job: JobUuid, upload: UploadUuid) -> watch::Receiver<Option<Verdict>> {
        // Only while the process is being taken down is there nobody left to finish it; recovery will.
        let jobs = self.myself.upgrade();
        jobs.map_or_else(|| watch::channel(None).1, |jobs| jobs.begin_finishing(job, upload))
    }

    async fn storage_failed(&self, job: JobUuid, full: bool, words: String) {
        let _alone = self.lock(job).await;
        let event = if full { JobEvent::StorageFull } else { JobEvent::StorageFailed };
        let moved = self.move_job(job, Scope::All, |_| {
            Ok(Some(
                Step::new(event)
                    .waits_for(if full {
                        "room in the storage"
                    } else {
                        "the storage to work again"
                    })
                    .result(interrupted(job, words.clone())),
            ))
        });
        match moved.await {
            Ok(moved) => {
                if let Ok(Some(upload)) = self.upload_of(&moved.job()).await
                    && let Some(live) = self.parts.uploads.touched(upload.uuid)
                {
                    live.close_gate();
                }
            }
            Err(error) => {
                tracing::error!(%job, %error, "a job could not be suspended after {words}");
            }
        }
    }
}
