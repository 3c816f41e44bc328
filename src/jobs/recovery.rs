//! What happens at start: nothing that was acknowledged is forgotten, nothing is left in a state that nobody leads on.

use std::{collections::HashMap, sync::Arc};

use super::{JobError, Jobs, control::Failure, finish::restarted, locked, unreadable::Unreadable};
use crate::{
    db::{TakeOver, UnfinishedPage},
    domain::{
        account::Scope,
        ids::JobUuid,
        job::{JobResult, LongJob, Run},
        job_state::{JobEvent, JobState, Next},
        upload::UploadRecord,
    },
    uploads::{StoreError, UploadError},
};

/// Jobs that one transaction takes over: each waits for the disk.
const PAGE: u64 = 2500;

impl Jobs {
    /// Before the first request: every job of this process that was at work comes back as Suspended(restart), its room is held
    /// again. Reads rows only, no checkpoint. Jobs that another process holds are left alone. A row that cannot be read is left as
    /// it is and told ([`unreadable`](Self::unreadable)); it keeps no other job from starting.
    pub async fn recover_states(&self) -> Result<Vec<(LongJob, UploadRecord)>, JobError> {
        // Before anything gets a new time.
        if let Some(newest_ms) = self.parts.db.newest_change_ms().await? {
            locked(&self.doubt).begin(newest_ms, self.parts.clock.now_ms());
        }
        let mut ours = Vec::new();
        let mut unreadable = Unreadable::default();
        let mut after = String::new();
        let mut page = self.parts.db.unfinished_jobs(None, PAGE).await?;
        while let Some(last) = page.last.clone() {
            unreadable.add(page.unreadable.iter().map(|(_, error)| error));
            // The next page is read while this one is written: nobody is served yet, and every moment counts.
            let next = self.parts.db.unfinished_jobs(Some(&last), PAGE);
            let next = async { next.await.map_err(JobError::from) };
            let taken = self.take_page_over(after, &page, &mut ours);
            (page, ()) = futures::try_join!(next, taken)?;
            after = last;
        }
        self.restore_partials(&mut unreadable).await?;
        self.set_unreadable(unreadable);
        tracing::info!(jobs = ours.len(), "unfinished jobs were taken over");
        Ok(ours)
    }

    async fn take_page_over(
        &self,
        after: String,
        page: &UnfinishedPage,
        ours: &mut Vec<(LongJob, UploadRecord)>,
    ) -> Result<(), JobError> {
        for range in readable_ranges(after, page) {
            self.take_over(range, &page.jobs, ours).await?;
        }
        Ok(())
    }

    /// Takes over the jobs of `page` whose keys are in `range`.
    async fn take_over(
        &self,
        (after, through): (String, String),
        page: &[(LongJob, UploadRecord)],
        ours: &mut Vec<(LongJob, UploadRecord)>,
    ) -> Result<(), JobError> {
        let now_ms = self.parts.clock.now_ms();
        let (detail, cause) = match restarted(JobUuid::NIL) {
            JobResult::Error { detail, cause, .. } => (detail, cause),
            JobResult::Event => (String::new(), String::new()),
        };
        let taken = self.parts.db.take_over(TakeOver {
            after,
            through,
            node: self.parts.node,
            until_ms: now_ms + super::millis(self.parts.uploads.limits().lease),
            moves: moves(),
            waits_for: "the missing bytes".to_owned(),
            detail,
            cause,
            now_ms,
        });
        let taken = taken.await?;
        let epochs: HashMap<_, _> = taken.uploads.into_iter().collect();
        let moved: HashMap<_, _> = taken.moved.into_iter().collect();
        for (job, upload) in page {
            let Some(&owner_epoch) = epochs.get(&upload.uuid) else { continue };
            let upload = UploadRecord { owner_epoch, ..upload.clone() };
            self.parts.uploads.restore_promise(&upload);
            let state = moved.get(&job.uuid).copied().unwrap_or(job.state);
            ours.push((LongJob { state, ..job.clone() }, upload));
        }
        Ok(())
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

    pub(super) async fn recover_one(
        &self,
        job: &LongJob,
        upload: &UploadRecord,
    ) -> Result<(), JobError> {
        if job.state == JobState::Canceling {
            return self.clean_up(job.clone()).await;
        }
        match self.parts.uploads.has_all(upload).await {
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
                let cause = format!("found when files and records were compared: {error}");
                self.fail(upload.run(), Failure::new(detail, cause)).await.map(drop)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Resumes a run that waits although all its bytes are here, unless a user has said that it shall.
    pub(super) async fn lead_on(&self, run: Run) -> Result<(), JobError> {
        let mine = |now: &LongJob| {
            let is_mine = now.run() == run && by_itself(now.state);
            is_mine.then(|| "all its bytes are here".to_owned())
        };
        // What a slice woke while this was looking will be finished by that one.
        self.resume_job(run.job, Scope::All, mine).await.map(drop)
    }
}

/// What becomes of jobs that were at work when their process was lost.
fn moves() -> Vec<(JobState, JobState)> {
    let at_work = JobState::ALL.into_iter().filter(|state| match state {
        JobState::Waiting | JobState::Running => true,
        JobState::Suspended(_)
        | JobState::Canceling
        | JobState::Succeeded
        | JobState::Failed
        | JobState::Canceled => false,
    });
    let next = at_work.filter_map(|from| match from.on(JobEvent::NodeLost) {
        Ok(Next::To(to)) => Some((from, to)),
        Ok(Next::Stay) | Err(_) => None,
    });
    next.collect()
}

/// The ranges of keys (after, through) that hold the jobs of a page and none of the rows that cannot be read.
fn readable_ranges(begin: String, page: &UnfinishedPage) -> Vec<(String, String)> {
    let mut ranges = Vec::with_capacity(page.unreadable.len() + 1);
    let mut keys = page.jobs.iter().map(|(job, _)| job.uuid.to_string()).peekable();
    let mut after = begin;
    for (unreadable, _) in &page.unreadable {
        let mut through = None;
        while let Some(key) = keys.next_if(|key| key < unreadable) {
            through = Some(key);
        }
        ranges.extend(through.map(|through| (after.clone(), through)));
        after.clone_from(unreadable);
    }
    ranges.extend(keys.last().map(|through| (after, through)));
    ranges
}

/// Whether a suspended job with all its bytes is finished without being asked: not if a user suspended it.
pub(super) fn by_itself(state: JobState) -> bool {
    state.suspend_reason().is_some_and(crate::domain::job_state::SuspendReason::bytes_resume)
}
