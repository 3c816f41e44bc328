//! The loops: which fires are due and who runs them, and whose a run is.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt;
use tokio::sync::OwnedMutexGuard;

use super::{LEASE, ScheduleError, Scheduler, runs::Wanted, work::Outcome};
use crate::{
    db::{DbError, DueFire, FireTaken, Runner, ScheduleChange, TakeFire},
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

/// What is told of a run whose process has died.
const DIED: &str = "the process that ran it ended before the run did; what it had done is kept, and the next run goes on";

impl Scheduler {
    /// Runs what is due until the service stops. From now on a run that somebody asks for waits until those of the process before this
    /// one are ended.
    pub fn spawn(self: &Arc<Self>) {
        let scheduler = Arc::clone(self);
        let closing = Arc::clone(&self.closing).try_lock_owned();
        let work = async move {
            let stopping = scheduler.jobs.parts.stopping.clone();
            stopping.run_until_cancelled(scheduler.work_always(closing.ok())).await;
        };
        let parts = &self.jobs.parts;
        parts.tasks.spawn_on(work, &parts.runtime);
    }

    /// Two loops that do not wait for each other: a thousand fires on slow records must not cost the runs that are at work their
    /// leases, or another process would end them and run their jobs beside them.
    async fn work_always(&self, closing: Option<OwnedMutexGuard<()>>) {
        let mut tick = self.jobs.ticks();
        while let Err(error) = self.close_own().await {
            tracing::error!(%error, "runs of the process before this one could not be ended; it will try again");
            tick.tick().await;
        }
        drop(closing);
        futures::join!(self.always(|| self.watch()), self.always(|| self.keep_leases()));
    }

    /// A panic in one round must not end all housekeeping.
    async fn always<W: Future<Output = ()>>(&self, rounds: impl Fn() -> W) {
        let mut tick = self.jobs.ticks();
        while AssertUnwindSafe(rounds()).catch_unwind().await.is_err() {
            tracing::error!("the scheduler crashed, which is a defect of the service; it goes on");
            tick.tick().await;
        }
    }

    async fn keep_leases(&self) {
        let (mut tick, mut lease) = (self.jobs.ticks(), Every::new(LEASE_EVERY));
        loop {
            tick.tick().await;
            let now_ms = self.jobs.parts.clock.now_ms();
            if lease.is_due(now_ms) {
                report_failure("keep its runs", self.keep_runs(now_ms, Instant::now()).await);
            }
        }
    }

    async fn watch(&self) {
        let (mut tick, mut clock) = (self.jobs.ticks(), Every::new(CLOCK_EVERY));
        loop {
            tick.tick().await;
            let now_ms = self.jobs.looked_at_clock();
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
        let closed = parts.db.close_runs_of(parts.node, end).await?;
        if closed > 0 {
            tracing::warn!(runs = closed, "runs that died with their process were ended as failed");
        }
        Ok(closed)
    }

    /// Keeps the runs of this process its own, and ends those that nobody has renewed for a minute up to `seen_at`, a moment of this
    /// process's steady clock. `now_ms` is what the records are told.
    pub async fn keep_runs(&self, now_ms: EpochMs, seen_at: Instant) -> Result<(), ScheduleError> {
        let db = &self.jobs.parts.db;
        let mine = locked(&self.at_work).clone();
        if !mine.is_empty() {
            db.renew_runs(self.runner(now_ms), mine.iter().copied().collect()).await?;
        }
        let mut open = db.open_runs().await?;
        open.retain(|run| !mine.contains(&run.id));
        let silent = locked(&self.seen_leases).silent(&open, seen_at, LEASE);
        if silent.is_empty() {
            return Ok(());
        }
        let closed = db.close_silent_runs(silent, Outcome::failed(DIED).end(now_ms)).await?;
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

    pub(super) fn runner(&self, now_ms: EpochMs) -> Runner {
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
                        self.start(run, Wanted::ByTrigger);
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
    pub(super) fn tell_unreadable(&self, unreadable: &[(String, DbError)]) {
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
}
