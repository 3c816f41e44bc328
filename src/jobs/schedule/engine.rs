//! The loop: which fires are due, who runs them, and how a run ends.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt;

use super::{LEASE, ScheduleError, Scheduler, work::Outcome};
use crate::{
    db::{BegunRun, DbError, DueFire, FireTaken, RunEnd, Runner, ScheduleChange, TakeFire},
    domain::{
        clock::EpochMs,
        ids::TriggerUuid,
        schedule::{BINDINGS_MAX, Target},
    },
    jobs::{
        locked, millis,
        supervisor::{Every, report_failure},
    },
};

/// Leases are renewed well before they end.
const LEASE_EVERY: Duration = Duration::from_secs(15);
/// A clock that was set back is found out so soon.
const CLOCK_EVERY: Duration = Duration::from_mins(1);
/// A fire whose jobs are at work is tried again after so long.
const BUSY_AGAIN: Duration = Duration::from_secs(2);
/// One that could not be taken, because the row of its job cannot be read or the records do not answer: after so long.
const FAILED_AGAIN: Duration = Duration::from_mins(1);
/// The end of a run that could not be recorded is tried again after so long.
const END_AGAIN: Duration = Duration::from_secs(5);

/// What is told of a run whose process has died.
const DIED: &str = "the process that ran it ended before the run did; what it had done is kept, and the next run goes on";
/// What is told of a run that was at work when the service was stopped.
const STOPPED: &str =
    "the service was stopped while it ran; what it had done is kept, and the next run goes on";

impl Scheduler {
    /// Runs what is due until the service stops.
    pub fn spawn(self: &Arc<Self>) {
        let scheduler = Arc::clone(self);
        let work = async move {
            let stopping = scheduler.jobs.parts.stopping.clone();
            stopping.run_until_cancelled(scheduler.watch_always()).await;
        };
        let parts = &self.jobs.parts;
        parts.tasks.spawn_on(work, &parts.runtime);
    }

    /// A panic in one round must not end all housekeeping.
    async fn watch_always(&self) {
        let mut tick = self.jobs.ticks();
        while let Err(error) = self.close_own().await {
            tracing::error!(%error, "runs of the process before this one could not be ended; it will try again");
            tick.tick().await;
        }
        while AssertUnwindSafe(self.watch()).catch_unwind().await.is_err() {
            tracing::error!("the scheduler crashed, which is a defect of the service; it goes on");
            tick.tick().await;
        }
    }

    async fn watch(&self) {
        let mut tick = self.jobs.ticks();
        let (mut lease, mut clock) = (Every::new(LEASE_EVERY), Every::new(CLOCK_EVERY));
        loop {
            tick.tick().await;
            let now_ms = self.jobs.looked_at_clock();
            if lease.is_due(now_ms) {
                report_failure("keep its runs", self.keep_runs(now_ms).await);
            }
            if clock.is_due(now_ms) {
                report_failure("wake what sleeps too long", self.wake(now_ms).await);
            }
            report_failure("run what is due", self.fire_due(now_ms).await.map(drop));
        }
    }

    /// At the start: runs of this node that are open belong to a process that has died.
    pub async fn close_own(&self) -> Result<u64, ScheduleError> {
        let parts = &self.jobs.parts;
        let end = Outcome::failed(DIED).end(parts.clock.now_ms());
        let closed = parts.db.close_dead_runs(Some(parts.node), end).await?;
        if closed > 0 {
            tracing::warn!(runs = closed, "runs that died with their process were ended as failed");
        }
        Ok(closed)
    }

    /// Keeps the runs of this process its own, and ends those whose process has died.
    pub async fn keep_runs(&self, now_ms: EpochMs) -> Result<(), ScheduleError> {
        let db = &self.jobs.parts.db;
        let runs = locked(&self.at_work).iter().copied().collect();
        db.renew_runs(self.runner(now_ms), runs).await?;
        let closed = db.close_dead_runs(None, Outcome::failed(DIED).end(now_ms)).await?;
        if closed > 0 {
            tracing::warn!(runs = closed, "runs whose process has died were ended as failed");
        }
        Ok(())
    }

    /// Moves bindings that would sleep for long because the clock was set back.
    async fn wake(&self, now_ms: EpochMs) -> Result<(), ScheduleError> {
        let db = &self.jobs.parts.db;
        let ahead = db.bindings().await?.into_iter().filter(|one| one.is_ahead_of(now_ms));
        for binding in ahead {
            let trigger = match self.find_trigger(binding.trigger).await {
                Ok(Some(trigger)) => trigger,
                Ok(None) => continue,
                Err(error) => {
                    tracing::error!(trigger = %binding.trigger, %error, "a trigger cannot be read; it does not fire");
                    continue;
                }
            };
            // Of what is disabled the bindings sleep; they move when it is enabled.
            if binding.next_fire_ms.is_none() && !self.is_enabled(binding.target).await? {
                continue;
            }
            let moved = binding.moved(&trigger.timing, true, now_ms);
            tracing::warn!(trigger = %binding.trigger, "the clock was set back; a trigger counts from what it shows now");
            // Whoever came between has moved it.
            let _ = db.change_schedule(ScheduleChange::Move(moved)).await?;
        }
        Ok(())
    }

    fn runner(&self, now_ms: EpochMs) -> Runner {
        Runner { node: self.jobs.parts.node, until_ms: now_ms + millis(LEASE), now_ms }
    }

    /// Takes the fires that are due and starts their runs; answers how many it started. Fires that were missed are one.
    pub async fn fire_due(&self, now_ms: EpochMs) -> Result<usize, ScheduleError> {
        let mut started = 0;
        let due = self.jobs.parts.db.due_fires(now_ms, BINDINGS_MAX).await?;
        self.tell_unreadable(&due.unreadable);
        for due in due.fires {
            let key = (due.binding.trigger, due.binding.target);
            let waits = |until: &Instant| *until > Instant::now();
            if locked(&self.waiting).get(&key).is_some_and(waits) {
                continue;
            }
            match self.take(&due, now_ms).await {
                Ok(FireTaken::Runs(runs)) => {
                    locked(&self.waiting).remove(&key);
                    started += runs.len();
                    for run in runs {
                        self.start(run);
                    }
                }
                Ok(FireTaken::Busy) => self.put_off(key, BUSY_AGAIN),
                Ok(FireTaken::Lost) => {}
                Err(error) => {
                    // One that cannot be taken must not keep all others; nor, tried each second, undo what others write with it.
                    tracing::error!(trigger = %due.trigger.uuid, %error, "a fire could not be taken; it will be tried again in a minute, or, if its run has begun after all, be told as failed");
                    self.put_off(key, FAILED_AGAIN);
                }
            }
        }
        Ok(started)
    }

    fn put_off(&self, fire: (TriggerUuid, Target), time: Duration) {
        let now = Instant::now();
        let mut waiting = locked(&self.waiting);
        waiting.retain(|_, until| *until > now);
        waiting.insert(fire, now + time);
    }

    /// Once in a minute for each process: they stay unreadable, and a tick is a second.
    fn tell_unreadable(&self, unreadable: &[(String, DbError)]) {
        if unreadable.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut told = locked(&self.told_unreadable);
        if told.is_some_and(|told| now.duration_since(told) < CLOCK_EVERY) {
            return;
        }
        *told = Some(now);
        for (trigger, error) in unreadable {
            tracing::error!(%trigger, %error, "a trigger cannot be read and does not fire; delete it, and make it again");
        }
    }

    async fn take(&self, due: &DueFire, now_ms: EpochMs) -> Result<FireTaken, ScheduleError> {
        let then = due.binding.moved(&due.trigger.timing, true, now_ms);
        let take = TakeFire { binding: due.binding, then, by: self.runner(now_ms) };
        Ok(self.jobs.parts.db.take_fire(take).await?)
    }

    /// Begins a run that somebody asked for; `None` if the job is at work.
    pub(super) async fn start_now(
        &self,
        job: crate::domain::ids::ScheduledJobUuid,
        trigger: Option<crate::domain::ids::TriggerUuid>,
        group: Option<crate::domain::ids::JobGroupUuid>,
    ) -> Result<Option<BegunRun>, ScheduleError> {
        let by = self.runner(self.jobs.parts.clock.now_ms());
        let begun = self.jobs.parts.db.begin_run_now(job, trigger, group, by).await?;
        if let Some(run) = &begun {
            self.start(run.clone());
        }
        Ok(begun)
    }

    fn start(&self, run: BegunRun) {
        // Only while the process is being taken down is there nobody left: the next one ends the run as failed.
        let Some(scheduler) = self.myself.upgrade() else { return };
        let parts = &self.jobs.parts;
        let (id, owner) = (run.id, run.job.account);
        locked(&self.at_work).insert(id);
        let work = async move {
            scheduler.jobs.news.others(owner);
            scheduler.run_to_end(run).await;
            scheduler.jobs.news.others(owner);
            locked(&scheduler.at_work).remove(&id);
        };
        parts.tasks.spawn_on(work, &parts.runtime);
    }

    async fn run_to_end(&self, run: BegunRun) {
        let job_type = run.job.job_type;
        let places = if job_type.is_long() { &self.long } else { &self.short };
        let work = async {
            // Never closed.
            let _place = places.acquire().await;
            AssertUnwindSafe(self.work(&run.job)).catch_unwind().await
        };
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
