//! What a user does with a job: rename, suspend, resume, cancel, delete.
//!
//! Order of every change that takes bytes away from writers (design.md 3.6): compare-and-swap in the database, then the store
//! returns once every writer has drained, then the answer.

use super::{
    JobError, JobView, Jobs,
    moves::{Moved, Step, asker, interrupted, superseded},
};
use crate::{
    db::Deleted,
    domain::{
        account::{Caller, Scope},
        ids::JobUuid,
        job::{JobResult, LongJob, Reason, Run, Stage},
        job_state::{JobEvent, JobState},
        upload::{UploadFate, UploadRecord},
    },
};

impl Jobs {
    /// Renames a job in any state; `None` leaves a field.
    pub async fn rename(
        &self,
        caller: Caller,
        uuid: JobUuid,
        name: Option<String>,
        description: Option<String>,
    ) -> Result<JobView, JobError> {
        check_text("name", name.as_deref(), 255)?;
        check_text("description", description.as_deref(), 2048)?;
        let now_ms = self.parts.clock.now_ms();
        let renamed =
            self.parts.db.rename_job(uuid, caller.scope(), name, description, now_ms).await?;
        let job = renamed.ok_or_else(|| not_found(uuid))?;
        self.view(job).await
    }

    /// Suspends a job until it is resumed: it takes no bytes any more when this returns, and keeps all that came (our
    /// extension `suspendLongJob`). Suspended by the user already: success. Once all bytes are here there is nothing to
    /// suspend: `WrongState`.
    pub async fn suspend(&self, caller: Caller, uuid: JobUuid) -> Result<JobView, JobError> {
        self.whole(move |jobs| async move { jobs.suspend_whole(caller, uuid).await }).await
    }

    async fn suspend_whole(&self, caller: Caller, uuid: JobUuid) -> Result<JobView, JobError> {
        let _alone = self.lock(uuid).await;
        let moved = self.move_job(uuid, caller.scope(), |job| {
            if job.state == JobState::Running
                && !matches!(job.stage, Stage::Receiving | Stage::Joining)
            {
                return Err(JobError::WrongState {
                    state: job.state,
                    words: "all bytes have arrived and are being verified: there is nothing left to suspend"
                        .to_owned(),
                });
            }
            Ok(Some(
                Step::new(JobEvent::SuspendAsked)
                    .waits_for("resumeLongJob")
                    .because(format!("suspended by {}", asker(caller, job)))
                    .result(interrupted(uuid, "suspended by the user")),
            ))
        });
        let job = moved.await?.job();
        if let Some(upload) = self.upload_of(&job).await? {
            self.parts.uploads.shut(&upload).await?;
        }
        self.view(job).await
    }

    /// Resumes a suspended job: it takes bytes when this returns, or is being finished if all of them are here. Not Suspended is
    /// `WrongState` with ZStack's words.
    pub async fn resume(&self, caller: Caller, uuid: JobUuid) -> Result<JobView, JobError> {
        let scope = caller.scope();
        let resumed = self.whole(move |jobs| async move {
            let by_whom = |now: &LongJob| Some(format!("resumed by {}", asker(caller, now)));
            jobs.resume_job(uuid, scope, by_whom).await
        });
        let job = resumed.await?;
        self.view(job).await
    }

    /// Resumes a job for the cause that is `wanted` for it as it is found; without one it is left as it is.
    pub(super) async fn resume_job(
        &self,
        uuid: JobUuid,
        scope: Scope,
        wanted: impl Fn(&LongJob) -> Option<String> + Send + Sync,
    ) -> Result<LongJob, JobError> {
        let _alone = self.lock(uuid).await;
        let moved = self.move_job(uuid, scope, |now| {
            let Some(cause) = wanted(now) else { return Ok(None) };
            let step = Step::new(JobEvent::Resume).because(cause).result(JobResult::Event);
            Ok(Some(match now.stage {
                // The crash came while its bytes became the image: only this stage says so.
                // Nor does a client send anything to one that is joined.
                Stage::Publishing | Stage::Joining => step,
                Stage::Receiving | Stage::Verifying | Stage::Inspecting => {
                    step.stage(Stage::Receiving).waits_for("the missing bytes")
                }
            }))
        });
        let job = match moved.await? {
            Moved::Now(job) => job,
            Moved::Unchanged(job) => return Ok(job),
        };
        if let Some(upload) = self.upload_of(&job).await? {
            self.take_bytes(&job, &upload).await?;
        }
        Ok(job)
    }

    /// Cancels a job: its bytes are gone and it is Canceled when this returns. Canceled already: success.
    pub async fn cancel(&self, caller: Caller, uuid: JobUuid) -> Result<(), JobError> {
        self.cancel_if(caller, uuid, |_| Ok(())).await
    }

    /// [`cancel`](Self::cancel) for whoever means one run of the job: if another has taken its place, that one goes on and this
    /// one's upload is `Gone`.
    pub async fn cancel_run(&self, caller: Caller, run: Run) -> Result<(), JobError> {
        let is_meant =
            move |now: &LongJob| if now.run() == run { Ok(()) } else { Err(superseded()) };
        self.cancel_if(caller, run.job, is_meant).await
    }

    async fn cancel_if(
        &self,
        caller: Caller,
        uuid: JobUuid,
        is_meant: impl Fn(&LongJob) -> Result<(), JobError> + Send + Sync + 'static,
    ) -> Result<(), JobError> {
        let scope = caller.scope();
        self.whole(move |jobs| async move {
            let asked = |now: &LongJob| {
                is_meant(now)?;
                let cause = format!("canceled by {}", asker(caller, now));
                Ok(Some(Step::new(JobEvent::CancelAsked).because(cause)))
            };
            let moved = jobs.move_job(uuid, scope, asked).await?;
            jobs.clean_up(moved.job()).await
        })
        .await
    }

    /// Brings a Canceling job to Canceled: removes its bytes, its image's record, its promise of space. Repeatable.
    pub(super) async fn clean_up(&self, job: LongJob) -> Result<(), JobError> {
        if job.state != JobState::Canceling {
            return Ok(());
        }
        let _alone = self.lock(job.uuid).await;
        // It may have succeeded while this waited: then the image stays, and its bytes are no upload's any more.
        let Some(job) = self.parts.db.job(job.uuid, Scope::All).await? else { return Ok(()) };
        if job.state != JobState::Canceling {
            return Ok(());
        }
        let upload = self.upload_of(&job).await?;
        self.remove_unrecorded_image(&job).await?;
        if let Some(upload) = &upload {
            self.parts.uploads.discard(upload).await?;
        }
        let detail = format!("long job[uuid:{}] has been canceled", job.uuid);
        let moved = self.move_run(job.run(), |_| {
            let result = JobResult::Error {
                detail: detail.clone(),
                cause: "canceled by the user".to_owned(),
                reason: Reason::NotTheFile,
            };
            let step = Step::new(JobEvent::CleanedUp).because("its bytes were removed");
            Ok(Some(step.without_bytes(UploadFate::Discarded).result(result)))
        });
        match moved.await? {
            Moved::Now(_) | Moved::Unchanged(_) => {}
        }
        // Again, for a slice that took it into memory before the record said that it has ended.
        if let Some(upload) = &upload {
            self.parts.uploads.forget(upload.uuid);
        }
        Ok(())
    }

    /// Bytes that have become an image which no record will name: its job ends without it.
    async fn remove_unrecorded_image(&self, job: &LongJob) -> Result<(), JobError> {
        if self.published_image(job).await?.is_some() {
            self.parts.uploads.delete_image(job.image).await?;
        }
        Ok(())
    }

    /// Ends a run as Failed: its bytes and its image's record are gone, the reason stays. One that has ended is left alone.
    pub(super) async fn fail(&self, run: Run, failure: Failure) -> Result<LongJob, JobError> {
        let _alone = self.lock(run.job).await;
        self.fail_alone(run, failure).await
    }

    /// [`fail`](Self::fail) for whoever holds the job's lock.
    pub(super) async fn fail_alone(&self, run: Run, failure: Failure) -> Result<LongJob, JobError> {
        let uuid = run.job;
        let Failure { detail, cause, reason, fate, foreign_image } = failure;
        if !foreign_image && let Some(before) = self.current(run).await? {
            self.remove_unrecorded_image(&before).await?;
        }
        let upload = self.parts.db.upload(run.upload).await?;
        let moved = self.move_run(run, |_| {
            let (detail, cause) = (detail.clone(), cause.clone());
            let result = JobResult::Error { detail, cause, reason };
            Ok(Some(Step::new(JobEvent::Fail).without_bytes(fate).result(result)))
        });
        let job = moved.await?.job();
        if matches!(job.state, JobState::Failed | JobState::Canceled)
            && let Some(upload) = upload
        {
            if let Err(error) = self.parts.uploads.discard(&upload).await {
                tracing::error!(job = %uuid, upload = %upload.uuid, %error, "the bytes of a failed upload could not be removed; the next look for strays removes them");
            }
            self.parts.uploads.forget(upload.uuid);
        }
        Ok(job)
    }

    /// Deletes the record of a final job; the image stays. A job that does not exist is success (zstack.md 2.4).
    pub async fn delete(&self, caller: Caller, uuid: JobUuid) -> Result<(), JobError> {
        // Told to whom it belongs, who may not be the one that deletes it.
        let found = self.parts.db.job(uuid, caller.scope()).await?;
        match self.parts.db.delete_job(uuid, caller.scope()).await? {
            Deleted::Gone => {
                if let Some(job) = found {
                    self.news.others(job.account);
                }
                Ok(())
            }
            Deleted::Missing => Ok(()),
            Deleted::NotFinal => {
                let now = self.parts.db.job(uuid, caller.scope()).await?;
                Err(JobError::WrongState {
                    state: now.map_or(JobState::Running, |job| job.state),
                    words: "delete longjob only when it's succeeded, canceled, or failed"
                        .to_owned(),
                })
            }
        }
    }

    /// The upload of a job's current run.
    pub(super) async fn upload_of(&self, job: &LongJob) -> Result<Option<UploadRecord>, JobError> {
        Ok(self.parts.db.upload(job.upload).await?)
    }
}

/// Why a run fails, and what becomes of its bytes.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    detail: String,
    cause: String,
    reason: Reason,
    fate: UploadFate,
    /// The image that the store has under this name is another's: it stays.
    foreign_image: bool,
}

impl Failure {
    /// The bytes are discarded; the file is not to blame.
    pub(super) fn new(detail: impl Into<String>, cause: impl Into<String>) -> Self {
        let (detail, cause) = (detail.into(), cause.into());
        let reason = Reason::NotTheFile;
        Self { detail, cause, reason, fate: UploadFate::Discarded, foreign_image: false }
    }

    /// For this reason.
    pub(super) fn because(self, reason: Reason) -> Self {
        Self { reason, ..self }
    }

    /// It took too long.
    pub(super) fn expired(self) -> Self {
        Self { fate: UploadFate::Expired, ..self }
    }

    /// Something else has its image's name in the store.
    pub(super) fn beside_a_foreign_image(self) -> Self {
        Self { foreign_image: true, ..self }
    }
}

pub(super) fn not_found(uuid: JobUuid) -> JobError {
    JobError::NotFound { uuid: uuid.to_string() }
}

/// A text of a job: at most `max` characters, none of them NUL.
pub(super) fn check_text(field: &str, text: Option<&str>, max: usize) -> Result<(), JobError> {
    let Some(text) = text else { return Ok(()) };
    let actual = text.chars().count();
    if actual > max {
        return Err(JobError::Invalid(format!(
            "field[{field}] exceeds max length of string. expected was <= {max}, actual was {actual}"
        )));
    }
    if text.contains('\0') {
        return Err(JobError::Invalid(format!("field[{field}] holds a NUL character")));
    }
    Ok(())
}
