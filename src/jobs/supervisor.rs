//! Housekeeping while the service runs: nothing waits for ever, nothing is kept for ever.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};

use super::{
    JobError, Jobs,
    control::Failure,
    locked, millis,
    moves::{Step, interrupted},
    news::Change,
    recovery::by_itself,
    unreadable::Unreadable,
};
use crate::{
    domain::{
        clock::EpochMs,
        job::{LongJob, Run, Stage},
        job_state::{JobEvent, JobState, SuspendReason},
        upload::{Completion, UploadKind, UploadRecord},
    },
    uploads::{JobSignals, Live, StoreError, UploadError},
};

/// A job is asked whether it is complete when no byte has come for so long.
const LAST_BYTE_QUIET_MS: i64 = 1000;
/// Jobs that are read at once.
const PAGE: u64 = 200;
/// Jobs that are suspended at once where many go silent together: their changes share database commits.
const SUSPENDED_AT_ONCE: usize = 32;
/// Uploads that are removed at once: fewer than there are I/O threads, and two writes at the most in a commit that others wait for.
const EXPIRED_AT_ONCE: usize = 2;
/// Leases are renewed well before they end.
const LEASE_EVERY: Duration = Duration::from_secs(15);

impl Jobs {
    /// Supervises until the service stops.
    pub fn spawn_supervisor(self: &Arc<Self>) {
        let jobs = Arc::clone(self);
        let work = async move {
            let stopping = jobs.parts.stopping.clone();
            stopping.run_until_cancelled(jobs.supervise()).await;
            // What the last requests brought is written down before the database closes.
            report_failure("write down", jobs.parts.uploads.write_down().await);
        };
        self.parts.tasks.spawn_on(work, &self.parts.runtime);
    }

    /// Two rounds that do not wait for each other: a slow look at the silent must not cost this process its leases. What is due once in
    /// a while is the [`Scheduler`](super::Scheduler)'s.
    async fn supervise(&self) {
        futures::join!(self.watch(), self.keep_leases());
    }

    async fn watch(&self) {
        let mut tick = self.ticks();
        loop {
            tick.tick().await;
            let now_ms = self.looked_at_clock();
            report_failure("write down", self.parts.uploads.write_down().await);
            report_failure("suspend the silent", self.suspend_silent(now_ms).await);
        }
    }

    async fn keep_leases(&self) {
        let (mut tick, mut lease) = (self.ticks(), Every::new(LEASE_EVERY));
        loop {
            tick.tick().await;
            let now_ms = self.parts.clock.now_ms();
            if lease.is_due(now_ms) {
                report_failure("renew leases", self.parts.uploads.renew_leases(now_ms).await);
            }
        }
    }

    pub(super) fn ticks(&self) -> tokio::time::Interval {
        let mut tick = tokio::time::interval(self.parts.limits.tick);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tick
    }

    /// What the clock shows. Every round asks by itself: another one may be waiting for a slow disk since before the clock was set.
    pub(super) fn looked_at_clock(&self) -> EpochMs {
        let now_ms = self.parts.clock.now_ms();
        self.look_at_clock(now_ms, self.begun.elapsed());
        now_ms
    }

    /// Compares the clock with one that nobody sets, `steady` since some moment: what cannot be undone is not done because the
    /// clock was set forward.
    pub fn look_at_clock(&self, now_ms: EpochMs, steady: Duration) {
        if let Some(set_by_ms) = locked(&self.doubt).look(now_ms, millis(steady)) {
            tracing::warn!(
                set_by_ms,
                "the clock was set forward; uploads and images expire by it only when it has stood for a day"
            );
        }
    }

    fn believed(&self, now_ms: EpochMs) -> EpochMs {
        locked(&self.doubt).believed(now_ms)
    }

    /// Suspends jobs in memory that have had bytes and get none; fails those that never had one.
    pub async fn suspend_silent(&self, now_ms: EpochMs) -> Result<(), JobError> {
        let all = stream::iter(self.parts.uploads.all_live());
        all.for_each_concurrent(SUSPENDED_AT_ONCE, async |live| {
            let record = live.record();
            if let Err(error) = self.look_after(&record, &live, now_ms).await {
                // One that cannot be moved must not keep all others.
                tracing::error!(job = %record.job, %error, "a silent job could not be suspended; it will be tried again");
            }
        })
        .await;
        Ok(())
    }

    async fn look_after(
        &self,
        record: &UploadRecord,
        live: &Live,
        now_ms: EpochMs,
    ) -> Result<(), JobError> {
        // A partial upload has no job that could be suspended.
        let is_partial = record.kind == UploadKind::Partial;
        if is_partial || !live.gate_is_open() || self.is_finishing(record.uuid) {
            return Ok(());
        }
        if now_ms < live.silent_since_ms() {
            live.clock_set_back(now_ms);
        }
        let silent_ms = now_ms - live.silent_since_ms();
        if live.last_byte_ms().is_some() && silent_ms <= LAST_BYTE_QUIET_MS {
            // Its progress is news while bytes come.
            let job = Some((record.job, JobState::Running));
            self.news.tell(Change { account: record.account, job });
        }
        if live.last_byte_ms().is_none() {
            let idle_fail_ms = millis(self.parts.limits.idle_fail);
            let age_ms = locked(&self.doubt).believed_age_ms(record.created_ms, now_ms);
            if age_ms > idle_fail_ms {
                self.never_began(record.run()).await?;
            }
        } else if silent_ms > millis(self.parts.limits.idle_suspend) {
            self.went_silent(record, live, now_ms).await?;
        } else if silent_ms >= LAST_BYTE_QUIET_MS
            && live.take_unasked()
            && self.parts.uploads.has_all(record).await?
        {
            // The client went away between its last byte and the answer; nobody else would finish it.
            drop(self.complete(record.run()));
        }
        Ok(())
    }

    async fn went_silent(
        &self,
        record: &UploadRecord,
        live: &Live,
        now_ms: EpochMs,
    ) -> Result<(), JobError> {
        let job = record.job;
        let _alone = self.lock(job).await;
        // A byte may have come while this waited.
        if now_ms - live.silent_since_ms() <= millis(self.parts.limits.idle_suspend) {
            return Ok(());
        }
        let Some(now) = self.current(record.run()).await? else {
            // Deleted behind our back, or run again: nothing is left to suspend.
            self.parts.uploads.forget(record.uuid);
            return Ok(());
        };
        match self.parts.uploads.has_all(record).await {
            // All bytes are here and nobody is at it: the client, or the database, went away before that was begun or recorded.
            Ok(true) => {
                drop(self.complete(record.run()));
                return Ok(());
            }
            Err(UploadError::Store(
                lost @ (StoreError::NotFound { .. } | StoreError::Damaged { .. }),
            )) if !now.state.is_final() => {
                self.storage_lost_alone(record.run(), lost.to_string()).await;
                return Ok(());
            }
            // What else is wrong with the store is told by whoever writes.
            Ok(false) | Err(_) => {}
        }
        let secs = self.parts.limits.idle_suspend.as_secs();
        let cause = format!("uploading has been inactive more than {secs} sec");
        let moved = self.move_run(record.run(), |now| {
            if now.state != JobState::Running {
                return Ok(None);
            }
            Ok(Some(
                Step::new(JobEvent::WentSilent)
                    .stage(Stage::Receiving)
                    .waits_for("more bytes")
                    .result(interrupted(job, cause.clone())),
            ))
        });
        match moved.await {
            Ok(_) | Err(JobError::NotFound { .. }) => {
                live.close_gate();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn never_began(&self, run: Run) -> Result<(), JobError> {
        let _alone = self.lock(run.job).await;
        if self.has_bytes_alone(run).await? {
            return Ok(());
        }
        let secs = self.parts.limits.idle_fail.as_secs();
        let cause = format!("no byte arrived within {secs} sec");
        let detail = format!("upload session expired: {cause}; start a new upload");
        self.fail_alone(run, Failure::new(detail, cause).expired()).await.map(drop)
    }

    /// Whether there are bytes of a run whose record knows of none. If there are none, none comes any more: its writers have ended,
    /// and a slice that is on its way asks its job, and waits for the lock that the caller holds.
    async fn has_bytes_alone(&self, run: Run) -> Result<bool, JobError> {
        let uploads = &self.parts.uploads;
        let Some(job) = self.current(run).await? else { return Ok(true) };
        let Some(upload) = self.parts.db.upload(run.upload).await? else { return Ok(false) };
        match uploads.shut(&upload).await {
            Ok(())
            | Err(UploadError::Store(StoreError::NotFound { .. } | StoreError::Damaged { .. })) => {
            }
            Err(error) => return Err(error.into()),
        }
        // A chunk under a checksum counts for nothing yet, but it has begun.
        let begun = uploads.touched(run.upload).is_some_and(|live| live.last_byte_ms().is_some());
        let has_bytes = uploads.find_bytes(&upload).await? || begun;
        if has_bytes && job.state == JobState::Running {
            self.take_bytes(&job, &upload).await?;
        }
        Ok(has_bytes)
    }

    /// Fails unfinished jobs whose last byte is too old, wherever they are. A few at a time: their records and files are removed
    /// beside those of running uploads, which are not to notice.
    pub async fn expire(&self, now_ms: EpochMs) -> Result<Swept, JobError> {
        let now_ms = self.believed(now_ms);
        let mut swept = Swept::default();
        let mut unreadable = Unreadable::default();
        let mut after: Option<String> = None;
        loop {
            let page = self.parts.db.unfinished_jobs(after.as_deref(), PAGE).await?;
            if page.last.is_none() {
                let looked_after = self.look_after_partials(now_ms, &mut unreadable).await;
                self.set_unreadable(unreadable);
                looked_after?;
                return Ok(swept);
            }
            unreadable.add(page.unreadable.iter().map(|(_, error)| error));
            after = page.last;
            let mut looks = stream::iter(page.jobs)
                .map(async |(job, upload)| (job.uuid, self.expire_one(&job, &upload, now_ms).await))
                .buffer_unordered(EXPIRED_AT_ONCE);
            while let Some((job, expired)) = looks.next().await {
                swept.seen += 1;
                match expired {
                    Ok(changed) => swept.changed += u64::from(changed),
                    Err(error) => {
                        swept.failed += 1;
                        // One that cannot be removed must not keep all others.
                        tracing::error!(%job, %error, "an upload could not be expired; it will be tried again");
                    }
                }
            }
            // Where nothing had to be done nothing was waited for.
            tokio::task::yield_now().await;
        }
    }

    /// Answers whether something was to be done.
    async fn expire_one(
        &self,
        job: &LongJob,
        upload: &UploadRecord,
        now_ms: EpochMs,
    ) -> Result<bool, JobError> {
        if job.state == JobState::Canceling {
            return self.clean_up(job.clone()).await.map(|()| true);
        }
        if self.is_finishing(upload.uuid) {
            return Ok(false);
        }
        if !self.has_failed_to_join(job, upload, now_ms) && self.led_on(job, upload).await? {
            return Ok(true);
        }
        let keeping = self.keeping(upload);
        if !keeping.is_over(now_ms) {
            return Ok(false);
        }
        let ended = if keeping.has_begun {
            self.last_byte_too_old(upload, now_ms).await
        } else {
            self.never_began(upload.run()).await
        };
        ended.map(|()| true)
    }

    /// Whether parts have been there to be joined for as long as an upload is kept, and the storage still fails them: a source that
    /// cannot be read stays so, and it would be tried for ever. One that was only interrupted is tried first.
    fn has_failed_to_join(&self, job: &LongJob, upload: &UploadRecord, now_ms: EpochMs) -> bool {
        let has_failed = job.state.suspend_reason().is_some_and(|reason| match reason {
            SuspendReason::NoSpace | SuspendReason::IoError => true,
            SuspendReason::Idle | SuspendReason::User | SuspendReason::Restart => false,
        });
        has_failed && self.keeping(upload).is_over(now_ms) && job.stage == Stage::Joining
    }

    async fn last_byte_too_old(
        &self,
        upload: &UploadRecord,
        now_ms: EpochMs,
    ) -> Result<(), JobError> {
        let run = upload.run();
        let alone = self.lock(run.job).await;
        // While this waited a byte may have come, or another run begun.
        let Some(now) = self.current(run).await? else { return Ok(()) };
        if now.state == JobState::Running || !self.keeping(upload).is_over(now_ms) {
            return Ok(());
        }
        // The record may have missed the last bytes: what is complete only waited for us.
        if by_itself(now.state)
            && matches!(self.parts.uploads.is_complete(run.upload).await, Ok(true))
        {
            drop(alone);
            return self.lead_on(run).await;
        }
        let days = self.parts.limits.expire.as_secs() / 86_400;
        let cause = format!("the last byte arrived more than {days} days ago");
        let detail =
            format!("the upload expired: {cause}; its bytes were removed, start a new upload");
        self.fail_alone(run, Failure::new(detail, cause).expired()).await.map(drop)
    }

    /// Leads a job on that nobody else would: all its bytes are here and what it waits for may have come, or it is Running and the
    /// step that was to open the store to its bytes came to nothing. Answers whether it was so.
    async fn led_on(&self, job: &LongJob, upload: &UploadRecord) -> Result<bool, JobError> {
        let live = self.parts.uploads.touched(upload.uuid);
        if job.state == JobState::Running {
            if live.is_some_and(|live| live.gate_is_open()) {
                return Ok(false);
            }
            let _alone = self.lock(job.uuid).await;
            let Some(now) = self.current(upload.run()).await? else { return Ok(false) };
            if now.state == JobState::Running && !self.is_finishing(upload.uuid) {
                self.take_bytes(&now, upload).await?;
            }
            return Ok(true);
        }
        let record = live.map_or_else(|| upload.clone(), |live| live.record());
        // A later stage says it as well: the last bytes may not have been written down.
        let has_all = record.declared_length == Some(record.offset_cached);
        let complete = job.stage != Stage::Receiving
            || record.kind == UploadKind::Joined
            || (has_all
                && record.last_byte_ms.is_some()
                // Having all bytes says nothing where the client has to say that they are all.
                && (record.completion == Completion::ByLength
                    || self.parts.uploads.is_complete(record.uuid).await?));
        if !complete || !by_itself(job.state) {
            return Ok(false);
        }
        self.lead_on(upload.run()).await?;
        Ok(true)
    }

    /// Removes for good what has been deleted or set aside long enough.
    pub async fn purge(&self, now_ms: EpochMs) -> Result<Purged, JobError> {
        let mut purged = Purged::default();
        let is_doubted = self.believed(now_ms) != now_ms;
        let now_ms = self.believed(now_ms);
        let limits = &self.parts.limits;
        let before_ms = now_ms - millis(limits.expunge);
        let mut after = None;
        loop {
            let page = self.parts.db.deleted_images(after, before_ms, PAGE).await?;
            for image in &page {
                purged.images.seen += 1;
                let expunged = self.expunge(image.uuid, Some(before_ms)).await;
                if matches!(expunged, Ok(None)) {
                    purged.images.changed += 1;
                }
                if let Err(error) = expunged {
                    purged.images.failed += 1;
                    // Those that cannot be removed must not keep all others, however many they are.
                    tracing::error!(image = %image.uuid, %error, "a deleted image could not be removed; it will be tried again");
                }
            }
            after = page.last().and_then(|image| Some((image.deleted_ms?, image.uuid)));
            if (page.len() as u64) < PAGE {
                break;
            }
        }
        // The store takes the age of files from the same clock.
        let kept = if is_doubted { Duration::MAX } else { limits.set_aside_kept };
        for (name, bytes) in self.parts.uploads.purge_set_aside(kept).await? {
            tracing::info!(name, bytes, "a stray in lost+found was removed");
            purged.strays += 1;
            purged.stray_bytes += bytes;
        }
        self.parts.uploads.reconcile_whole().await?;
        Ok(purged)
    }

    /// Removes results of calls, sessions that have ended, and runs of scheduled jobs that began `runs_kept_ms` ago.
    pub async fn prune(&self, now_ms: EpochMs, runs_kept_ms: i64) -> Result<Pruned, JobError> {
        let (now_ms, db) = (self.believed(now_ms), &self.parts.db);
        let kept_ms = millis(self.parts.limits.api_calls_kept);
        Ok(Pruned {
            calls: db.prune_api_jobs(now_ms - kept_ms).await?,
            sessions: db.prune_sessions(now_ms).await?,
            runs: db.prune_runs(now_ms.saturating_sub(runs_kept_ms)).await?,
        })
    }
}

/// What a sweep over records has come to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Records that were looked at.
    pub seen: u64,
    /// Of these, those that something was done about.
    pub changed: u64,
    /// Of these, those that something had to be done about and could not: they are tried again.
    pub failed: u64,
}

/// What was removed for good.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Purged {
    /// Deleted images whose time was over.
    pub images: Swept,
    /// Strays in the store's `lost+found`.
    pub strays: u64,
    /// Bytes of these.
    pub stray_bytes: u64,
}

/// Records that were removed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// Results of calls.
    pub calls: u64,
    /// Sessions.
    pub sessions: u64,
    /// Runs of scheduled jobs.
    pub runs: u64,
}

pub(super) fn report_failure<E: std::fmt::Display>(what: &str, outcome: Result<(), E>) {
    if let Err(error) = outcome {
        tracing::error!(%error, "housekeeping could not {what}; it will try again");
    }
}

/// Something that is due at first, and then once in a while.
pub(super) struct Every {
    period_ms: i64,
    last_ms: Option<EpochMs>,
}

impl Every {
    pub(super) fn new(period: Duration) -> Self {
        Self { period_ms: millis(period), last_ms: None }
    }

    pub(super) fn is_due(&mut self, now_ms: EpochMs) -> bool {
        // A clock that was set back must not stop housekeeping for ever.
        let due = self.last_ms.is_none_or(|last| now_ms < last || now_ms - last >= self.period_ms);
        if due {
            self.last_ms = Some(now_ms);
        }
        due
    }
}
