//! A run from its beginning to its end: its place, its time, what it led to.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use tokio::sync::Semaphore;

use super::{ScheduleError, Scheduler, work::Outcome};
use crate::{
    db::{BegunRun, RunEnd},
    domain::{
        account::Scope,
        ids::{JobGroupUuid, ScheduledJobUuid, TriggerUuid},
        schedule::{JobType, ScheduledJob},
    },
    jobs::locked,
};

/// The end of a run that could not be recorded is tried again after so long.
const END_AGAIN: Duration = Duration::from_secs(5);
/// A disk that reads fewer bytes in a second is taken for one that hangs.
const SLOWEST_BYTES_PER_SEC: u64 = 1 << 20;

/// What is told of a run that was at work when the service was stopped.
const STOPPED: &str =
    "the service was stopped while it ran; what it had done is kept, and the next run goes on";
/// What is told of a run that hung.
const HUNG: &str = "it took longer than a disk that answers can need and was given up; what it had done is kept, and the next run goes on";

/// Who wants a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A trigger that fired.
    ByTrigger,
    /// Somebody who waits for it.
    ByHand,
}

impl Scheduler {
    /// Begins a run that somebody asked for; `None` if the job is at work.
    pub(super) async fn start_now(
        &self,
        job: ScheduledJobUuid,
        trigger: Option<TriggerUuid>,
        group: Option<JobGroupUuid>,
    ) -> Result<Option<BegunRun>, ScheduleError> {
        // A run that is begun before those of the process before this one are ended would be taken for one of them.
        drop(self.closing.lock().await);
        let by = self.runner(self.jobs.parts.clock.now_ms());
        let begun = self.jobs.parts.db.begin_run_now(job, trigger, group, by).await?;
        if let Some(run) = &begun {
            self.start(run.clone(), Wanted::ByHand);
        }
        Ok(begun)
    }

    /// Its row is there; the work begins when there is a place.
    pub(super) fn start(&self, run: BegunRun, wanted: Wanted) {
        // Only while the process is being taken down is there nobody left: the next one ends the run as failed.
        let Some(scheduler) = self.myself.upgrade() else { return };
        let parts = &self.jobs.parts;
        let (id, owner) = (run.id, run.job.account);
        locked(&self.at_work).insert(id);
        let work = async move {
            scheduler.jobs.news.others(owner);
            scheduler.run_to_end(run, wanted).await;
            scheduler.jobs.news.others(owner);
            locked(&scheduler.at_work).remove(&id);
        };
        parts.tasks.spawn_on(work, &parts.runtime);
    }

    /// Whoever waits for a run does not wait behind those of the night: a scrub takes hours.
    fn places(&self, job_type: JobType, wanted: Wanted) -> &Semaphore {
        match (job_type, wanted) {
            (JobType::VerifyImage, Wanted::ByHand) => &self.asked_verify,
            (JobType::ReconcileStore | JobType::ScrubImages, Wanted::ByHand) => &self.asked,
            (
                JobType::ScrubImages | JobType::VerifyImage | JobType::ReconcileStore,
                Wanted::ByTrigger,
            ) => &self.long,
            (
                JobType::ExpireUploads | JobType::PurgeDeletedImages | JobType::PruneRecords,
                Wanted::ByTrigger | Wanted::ByHand,
            ) => &self.short,
        }
    }

    /// After so long a run hangs: some hours more than it takes on a disk that answers slowly.
    async fn time_of(&self, job: &ScheduledJob) -> Duration {
        let hung = self.jobs.parts.limits.hung_run;
        match job.job_type {
            JobType::ExpireUploads | JobType::PurgeDeletedImages | JobType::PruneRecords => hung,
            JobType::ReconcileStore => hung.saturating_mul(6),
            // An image that it has begun is read for as long again.
            JobType::ScrubImages => {
                hung.saturating_add(Duration::from_secs(job.parameters.secs_per_run()) * 2)
            }
            JobType::VerifyImage => {
                let db = &self.jobs.parts.db;
                let image = match job.target {
                    // What cannot be asked for now is told by the run itself.
                    Some(image) => db.image(image, Scope::All).await.ok().flatten(),
                    None => None,
                };
                let bytes = image.map_or(0, |image| image.actual_size);
                let slowest = SLOWEST_BYTES_PER_SEC.min(job.parameters.bytes_per_sec());
                hung.saturating_add(Duration::from_secs(bytes / slowest.max(1)))
            }
        }
    }

    /// Waits for a place. A run that had to wait for it begins now: its row said when it was taken.
    async fn work_in_place(&self, run: &BegunRun, wanted: Wanted) -> Outcome {
        let places = self.places(run.job.job_type, wanted);
        let place = if let Ok(place) = places.try_acquire() {
            Ok(place)
        } else {
            let place = places.acquire().await;
            let now_ms = self.jobs.parts.clock.now_ms();
            if let Err(error) = self.jobs.parts.db.run_begins(run.id, now_ms).await {
                tracing::warn!(run = run.id, %error, "when a run began could not be recorded; its row says when it was taken");
            }
            place
        };
        let time = self.time_of(&run.job).await;
        let outcome = tokio::time::timeout(time, self.work(&run.job)).await;
        // Never closed; held until here.
        drop(place);
        outcome.unwrap_or_else(|_| Outcome::failed(HUNG))
    }

    async fn run_to_end(&self, run: BegunRun, wanted: Wanted) {
        let job_type = run.job.job_type;
        let work = AssertUnwindSafe(self.work_in_place(&run, wanted)).catch_unwind();
        let stopping = &self.jobs.parts.stopping;
        let outcome = match stopping.run_until_cancelled(work).await {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => Outcome::failed(
                "the run crashed, which is a defect of the service: its log says where",
            ),
            None => Outcome::failed(STOPPED),
        };
        let (job, run_id) = (run.job.uuid, run.id);
        if outcome.success {
            tracing::debug!(%job, run = run_id, job_type = job_type.name(), words = outcome.words, "a scheduled job has run");
        } else {
            tracing::warn!(%job, run = run_id, job_type = job_type.name(), words = outcome.words, "a scheduled job has failed");
        }
        loop {
            let end: RunEnd = outcome.end(self.jobs.parts.clock.now_ms());
            match self.jobs.parts.db.end_run(run_id, end).await {
                Ok(true) => return,
                Ok(false) => {
                    tracing::warn!(run = run_id, "a run was taken for dead before it ended");
                    return;
                }
                Err(error) => {
                    tracing::error!(run = run_id, %error, "the end of a run could not be recorded; it will be tried again");
                }
            }
            let again = tokio::time::sleep(END_AGAIN);
            if stopping.run_until_cancelled(again).await.is_none() {
                // The next process ends it.
                return;
            }
        }
    }
}
