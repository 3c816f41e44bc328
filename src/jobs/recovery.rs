//! What happens at start: nothing that was acknowledged is forgotten, nothing is left in a state that nobody leads on.

use std::sync::Arc;

use super::{JobError, Jobs, control::Failure, finish::restarted, moves::Step};
use crate::{
    db::Leased,
    domain::{
        account::Scope,
        job::{LongJob, Run},
        job_state::{JobEvent, JobState},
        upload::UploadRecord,
    },
    uploads::{StoreError, UploadError},
};

/// Jobs that are recovered at once: their changes share database commits.
const AT_ONCE: usize = 64;

impl Jobs {
    /// Before the first request: every job of this process that was at work comes back as Suspended(restart), its room is held
    /// again. Reads rows only, no checkpoint. Jobs that another process holds are left alone.
    pub async fn recover_states(&self) -> Result<Vec<(LongJob, UploadRecord)>, JobError> {
        let mut ours = Vec::new();
        let mut after = None;
        loop {
            let page = self.parts.db.unfinished_jobs(after, AT_ONCE as u64).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.uuid);
            let recovered = page.into_iter().map(|(_, upload)| self.recover_state(upload));
            for recovered in futures::future::join_all(recovered).await {
                ours.extend(recovered?);
            }
        }
        Ok(ours)
    }

    async fn recover_state(
        &self,
        upload: UploadRecord,
    ) -> Result<Option<(LongJob, UploadRecord)>, JobError> {
        let now_ms = self.parts.clock.now_ms();
        let until_ms = now_ms + super::millis(self.parts.uploads.limits().lease);
        let leased = self.parts.db.lease_upload(upload.uuid, self.parts.node, now_ms, until_ms);
        let epoch = match leased.await? {
            Leased::Ours { epoch } => epoch,
            Leased::Held | Leased::Missing => return Ok(None),
        };
        let upload = UploadRecord { owner_epoch: epoch, ..upload };
        self.parts.uploads.restore_promise(&upload);
        let moved = self.move_run(upload.run(), |now| match now.state {
            JobState::Waiting | JobState::Running => Ok(Some(
                Step::new(JobEvent::NodeLost)
                    .waits_for("the missing bytes")
                    .result(restarted(now.uuid)),
            )),
            JobState::Suspended(_)
            | JobState::Canceling
            | JobState::Succeeded
            | JobState::Failed
            | JobState::Canceled => Ok(None),
        });
        match moved.await {
            Ok(moved) => Ok(Some((moved.job(), upload))),
            Err(JobError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// While requests are served already: finishes what has all its bytes, ends what was being canceled, tells what the
    /// store has lost, clears strays.
    pub fn spawn_recovery(self: &Arc<Self>, recovered: Vec<(LongJob, UploadRecord)>) {
        let jobs = Arc::clone(self);
        let work = async move {
            let stopping = jobs.parts.stopping.clone();
            stopping.run_until_cancelled(jobs.recover_bytes(recovered)).await;
        };
        self.parts.tasks.spawn_on(work, &self.parts.runtime);
    }

    /// What [`spawn_recovery`](Self::spawn_recovery) does, awaited.
    pub async fn recover_bytes(&self, recovered: Vec<(LongJob, UploadRecord)>) {
        for (job, upload) in recovered {
            if let Err(error) = self.recover_one(&job, &upload).await {
                tracing::error!(job = %job.uuid, %error, "a job could not be recovered; it waits until it is resumed");
            }
        }
        if let Err(error) = self.parts.uploads.reconcile_store().await {
            tracing::error!(%error, "strays in the store could not be looked for; the next start will");
        }
    }

    async fn recover_one(&self, job: &LongJob, upload: &UploadRecord) -> Result<(), JobError> {
        if job.state == JobState::Canceling {
            return self.clean_up(job.clone()).await;
        }
        match self.parts.uploads.is_complete(upload.uuid).await {
            Ok(true) if by_itself(job.state) => self.lead_on(upload.run()).await,
            Ok(_) => Ok(()),
            Err(UploadError::Store(
                error @ (StoreError::NotFound { .. } | StoreError::Damaged { .. }),
            )) => {
                // As it is now: a client that was faster may have led it on.
                let Some(now) = self.current(upload.run()).await? else { return Ok(()) };
                if self.published_image(&now).await?.is_some() {
                    return self.lead_on(upload.run()).await;
                }
                let detail = "the storage has lost the bytes of this upload; start a new one";
                let cause = format!("found when the service started: {error}");
                self.fail(upload.run(), Failure::new(detail, cause)).await.map(drop)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Resumes a run that waits although all its bytes are here, unless a user has said that it shall.
    pub(super) async fn lead_on(&self, run: Run) -> Result<(), JobError> {
        let mine = |now: &LongJob| now.run() == run && by_itself(now.state);
        // What a slice woke while this was looking will be finished by that one.
        self.resume_job(run.job, Scope::All, mine).await.map(drop)
    }
}

/// Whether a suspended job with all its bytes is finished without being asked: not if a user suspended it.
pub(super) fn by_itself(state: JobState) -> bool {
    state.suspend_reason().is_some_and(crate::domain::job_state::SuspendReason::bytes_resume)
}
