//! What bytes tell jobs.

use async_trait::async_trait;
use tokio::sync::watch;

use super::{
    JobError, Jobs,
    control::Failure,
    moves::{Moved, Step, interrupted},
};
use crate::{
    domain::{
        ids::JobUuid,
        job::{JobResult, LongJob, Run, Stage},
        job_state::{JobEvent, JobState},
        upload::UploadRecord,
    },
    uploads::{JobSignals, Refusal, StoreError, UploadError, Verdict},
};

/// Jobs as the data plane sees them.
#[async_trait]
impl JobSignals for Jobs {
    async fn bytes_arrived(&self, run: Run) -> Result<(), UploadError> {
        let _alone = self.lock(run.job).await;
        let moved = self.move_run(run, |now| {
            let step = Step::new(JobEvent::BytesArrived).result(JobResult::Event);
            Ok(Some(match (now.state, now.stage) {
                // The crash came while its bytes became the image: only this stage says so.
                (JobState::Suspended(_), Stage::Publishing) | (JobState::Running, _) => step,
                _ => step.stage(Stage::Receiving).waits_for("the missing bytes"),
            }))
        });
        let job = moved.await.map_err(|error| as_upload_error(run.job, error))?.job();
        let upload = self.upload_of(&job).await;
        let upload = upload.map_err(|error| as_upload_error(job.uuid, error))?;
        let upload = upload.ok_or(UploadError::NotFound)?;
        let taken = self.take_bytes(&job, &upload).await;
        taken.map_err(|error| as_upload_error(job.uuid, error))
    }

    fn complete(&self, run: Run) -> watch::Receiver<Option<Verdict>> {
        // Only while the process is being taken down is there nobody left to finish it; recovery will.
        let jobs = self.myself.upgrade();
        jobs.map_or_else(|| watch::channel(None).1, |jobs| jobs.begin_finishing(run))
    }

    async fn refused(&self, run: Run, refusal: Refusal) -> Result<(), UploadError> {
        let Refusal { detail, cause, reason } = refusal;
        tracing::warn!(job = %run.job, upload = %run.upload, cause, "an upload was refused before its end");
        let failure = Failure::new(detail, cause).because(reason);
        let failed = self.fail(run, failure).await;
        failed.map(drop).map_err(|error| as_upload_error(run.job, error))
    }

    async fn storage_failed(&self, run: Run, full: bool, words: String) {
        let _alone = self.lock(run.job).await;
        self.storage_failed_alone(run, full, words).await;
    }

    async fn storage_lost(&self, run: Run, words: String) {
        let _alone = self.lock(run.job).await;
        self.storage_lost_alone(run, words).await;
    }
}

impl Jobs {
    /// A Running job takes bytes from now on, or is being finished if all of them are here. If the store cannot, the job does
    /// not stay Running: it waits, or fails, in words. The caller holds the job's lock.
    pub(super) async fn take_bytes(
        &self,
        job: &LongJob,
        upload: &UploadRecord,
    ) -> Result<(), JobError> {
        let taken = self.try_take_bytes(job, upload).await;
        if let Err(JobError::Upload(UploadError::Store(store))) = &taken {
            let words = store.to_string();
            let full = matches!(store, StoreError::NoSpace);
            if matches!(store, StoreError::NotFound { .. } | StoreError::Damaged { .. }) {
                self.storage_lost_alone(upload.run(), words).await;
            } else if full || matches!(store, StoreError::Io { .. }) {
                self.storage_failed_alone(upload.run(), full, words).await;
            }
        }
        taken
    }

    async fn try_take_bytes(&self, job: &LongJob, upload: &UploadRecord) -> Result<(), JobError> {
        let uploads = &self.parts.uploads;
        // Into memory, so that its idle clock runs although no byte comes.
        uploads.open(upload.uuid).await?;
        // In the last stage the store may hold an image and no upload any more.
        let publishing = job.stage == Stage::Publishing;
        if !publishing {
            uploads.reopen(upload).await?;
        }
        if publishing || uploads.has_all(upload).await? {
            drop(self.complete(upload.run()));
        }
        Ok(())
    }

    /// [`JobSignals::storage_failed`] for whoever holds the job's lock.
    pub(super) async fn storage_failed_alone(&self, run: Run, full: bool, words: String) {
        let event = if full { JobEvent::StorageFull } else { JobEvent::StorageFailed };
        let waits_for = if full { "room in the storage" } else { "the storage to work again" };
        let moved = self.move_run(run, |_| {
            let step = Step::new(event).waits_for(waits_for);
            Ok(Some(step.result(interrupted(run.job, words.clone()))))
        });
        match moved.await {
            Ok(Moved::Now(_) | Moved::Unchanged(_)) => {
                if let Some(live) = self.parts.uploads.touched(run.upload) {
                    live.close_gate();
                }
            }
            Err(error) => {
                tracing::error!(job = %run.job, %error, "a job could not be suspended after {words}");
            }
        }
    }

    /// [`JobSignals::storage_lost`] for whoever holds the job's lock.
    pub(super) async fn storage_lost_alone(&self, run: Run, words: String) {
        let lost = async {
            // Of a run that is over the store has nothing to lose.
            let Some(now) = self.current(run).await? else { return Ok(()) };
            if self.published_image(&now).await?.is_some() {
                // Not lost: it is the image already, and finishing it records that.
                drop(self.complete(run));
                return Ok(());
            }
            let detail = "the storage has lost the bytes of this upload; start a new one";
            let failure = Failure::new(detail, words.clone());
            self.fail_alone(run, failure).await.map(drop)
        };
        if let Err(error) = lost.await {
            let error: JobError = error;
            tracing::error!(job = %run.job, %error, "a lost upload could not be recorded as failed: {words}");
        }
    }
}

fn as_upload_error(job: JobUuid, error: JobError) -> UploadError {
    match error {
        JobError::WrongState { state, .. } => UploadError::NotTaking { state },
        JobError::NotFound { .. } => UploadError::NotFound,
        JobError::Upload(error) => error,
        JobError::Db(error) => error.into(),
        JobError::ImageNotFound { .. }
        | JobError::TagNotFound { .. }
        | JobError::Invalid(_)
        | JobError::Unsupported(_)
        | JobError::NoStorage(_)
        | JobError::Quota(_)
        | JobError::Contended => {
            tracing::warn!(%job, %error, "bytes could not wake a job");
            UploadError::Draining { offset: 0 }
        }
    }
}
