//! The scheduler's records. What a fire and a run are, and what becomes of them, stands at [`crate::domain::schedule`].

mod changes;
mod rows;
mod runs;
pub(in crate::db) mod texts;

use async_trait::async_trait;

use crate::domain::{
    account::Scope,
    clock::EpochMs,
    ids::{FireUuid, ImageUuid, JobGroupUuid, NodeUuid, ScheduledJobUuid, TriggerUuid},
    query::{Page, Query},
    schedule::{Binding, JobGroup, RunRecord, ScheduledJob, Target, Trigger},
};

use super::{
    DbError, ImagesPage, Result,
    dialect::{Dialect, SqlText},
    query,
    query::{RUNS, SCHEDULED_JOB_GROUPS, SCHEDULED_JOBS, TRIGGERS},
    rows as all_rows,
    sql::SqlDatabase,
    statements as st,
    values::{rows_max, values},
};

/// Rows of the history that one transaction removes.
const PRUNED_AT_ONCE: u64 = 500;

/// One change of what is scheduled, whole or not at all.
#[derive(Debug, Clone)]
pub enum ScheduleChange {
    /// These, if the records have never had them: once in their life, whatever is deleted later.
    Defaults {
        /// Jobs.
        jobs: Vec<ScheduledJob>,
        /// Triggers.
        triggers: Vec<Trigger>,
        /// What each trigger runs.
        bindings: Vec<Binding>,
    },
    /// A new job.
    NewJob(ScheduledJob),
    /// Name, description and parameters of the job as they are from now on; whether it is enabled stays as it is in the records, as
    /// another process may have changed it since it was read.
    Job(ScheduledJob),
    /// The job is enabled or disabled; its bindings move with it.
    JobState(ScheduledJob, Vec<Binding>),
    /// The job goes, with its bindings and its places in groups. A run goes on.
    DeleteJob(ScheduledJobUuid),
    /// A new trigger.
    NewTrigger(Trigger),
    /// Name and description of the trigger as they are from now on; its timing stays as it is in the records.
    Trigger(Trigger),
    /// The trigger as it is from now on, with its timing; its bindings move with it.
    TriggerTiming(Trigger, Vec<Binding>),
    /// The trigger goes, with its bindings. A run goes on.
    DeleteTrigger(TriggerUuid),
    /// A new group.
    NewGroup(JobGroup),
    /// Name and description of the group as they are from now on; whether it is enabled stays as it is in the records.
    Group(JobGroup),
    /// The group is enabled or disabled; its bindings move with it.
    GroupState(JobGroup, Vec<Binding>),
    /// The group goes, with its bindings; its jobs stay.
    DeleteGroup(JobGroupUuid),
    /// A trigger runs a job or a group from now on.
    Bind(Binding),
    /// Not any more.
    Unbind(TriggerUuid, Target),
    /// Jobs join a group.
    Join(JobGroupUuid, Vec<ScheduledJobUuid>, EpochMs),
    /// Jobs leave a group.
    Leave(JobGroupUuid, Vec<ScheduledJobUuid>),
    /// A binding moves because the clock was set back.
    Move(Binding),
}

/// Outcome of a change of what is scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum ScheduleChanged {
    /// Done.
    Done,
    /// Something that it is about is not there (any more); nothing was changed.
    Missing,
    /// It is there already; nothing was changed.
    Taken,
    /// There are as many as there may be; nothing was changed.
    TooMany,
    /// A fire or another change came between; nothing was changed. Read it again and decide anew.
    Stale,
}

/// A fire that is due.
#[derive(Debug, Clone)]
pub struct DueFire {
    /// Whose fire it is.
    pub binding: Binding,
    /// Its trigger.
    pub trigger: Trigger,
}

/// Triggers whose rows cannot be read: the uuid, and what is wrong.
pub type Unreadables = Vec<(String, DbError)>;

/// Fires that are due.
#[derive(Debug, Clone, Default)]
pub struct DueFires {
    /// Those that can be read, the one that waits longest first.
    pub fires: Vec<DueFire>,
    /// Those that cannot. They must not keep the others.
    pub unreadable: Unreadables,
}

/// What is fired, and by whom.
#[derive(Debug, Clone)]
pub struct TakeFire {
    /// The binding as it was read, with the fire that is due.
    pub binding: Binding,
    /// The same after the fire.
    pub then: Binding,
    /// Who runs it.
    pub by: Runner,
}

/// A process that runs jobs.
#[derive(Debug, Clone, Copy)]
pub struct Runner {
    /// The process.
    pub node: NodeUuid,
    /// Until when its runs are its own without being renewed.
    pub until_ms: EpochMs,
    /// Now.
    pub now_ms: EpochMs,
}

/// A run that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenRun {
    /// Number of its row.
    pub id: i64,
    /// Until when it belongs to its process, by that process's clock: whoever sees it change knows that the process lives.
    pub lease_until_ms: EpochMs,
}

/// A run that was begun, with the job as it was then.
#[derive(Debug, Clone)]
pub struct BegunRun {
    /// Number of its row.
    pub id: i64,
    /// The run.
    pub fire: FireUuid,
    /// What is to be done.
    pub job: ScheduledJob,
}

/// Outcome of taking a fire.
#[derive(Debug, Clone)]
#[must_use]
pub enum FireTaken {
    /// It is ours: these runs have begun. Jobs of a group that are disabled or at work are not among them.
    Runs(Vec<BegunRun>),
    /// Every job of it is at work; nothing was changed, the fire waits.
    Busy,
    /// Another process has taken it, or it is due no more.
    Lost,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct RunEnd {
    /// Whether it did what it was to do.
    pub success: bool,
    /// What it led to, as JSON.
    pub result: String,
    /// Now.
    pub now_ms: EpochMs,
}

/// What is scheduled, and what its runs led to.
#[async_trait]
pub trait ScheduleRepository: Send + Sync + 'static {
    /// Jobs that match a query, as [`super::JobRepository::jobs`]. Fields are those of ZStack's SchedulerJobInventory (zstack.md 5)
    /// but its lists, and `accountUuid`.
    async fn scheduled_jobs(&self, query: &Query, scope: Scope) -> Result<Page<ScheduledJob>>;
    /// Triggers that match a query.
    async fn triggers(&self, query: &Query, scope: Scope) -> Result<Page<Trigger>>;
    /// The same, whatever a row of another version says: those that cannot be read are told apart, and must not keep the others.
    async fn readable_triggers(
        &self,
        query: &Query,
        scope: Scope,
    ) -> Result<(Page<Trigger>, Unreadables)>;
    /// Groups that match a query.
    async fn job_groups(&self, query: &Query, scope: Scope) -> Result<Page<JobGroup>>;
    /// Runs that match a query; in the order of their ids without a sort. `schedulerJob.name` and `trigger.name` are those of a job
    /// and a trigger that are still there.
    async fn runs(&self, query: &Query, scope: Scope) -> Result<Page<RunRecord>>;
    /// All bindings.
    async fn bindings(&self) -> Result<Vec<Binding>>;
    /// All places in groups, and since when.
    async fn members(&self) -> Result<Vec<(JobGroupUuid, ScheduledJobUuid, EpochMs)>>;
    /// Changes what is scheduled.
    async fn change_schedule(&self, change: ScheduleChange) -> Result<ScheduleChanged>;
    /// Fires that are due at `now_ms`, the one that waits longest first; at most `limit`. Those of a job that is at work are not.
    async fn due_fires(&self, now_ms: EpochMs, limit: u64) -> Result<DueFires>;
    /// Takes a fire by compare-and-swap, and begins its runs in the same step: of all who try, one has it.
    async fn take_fire(&self, take: TakeFire) -> Result<FireTaken>;
    /// Begins a run of a job that somebody asked for, also of one that is disabled; `None` if it is at work or not there. `trigger`
    /// and `group`: by which it was meant.
    async fn begin_run_now(
        &self,
        job: ScheduledJobUuid,
        trigger: Option<TriggerUuid>,
        group: Option<JobGroupUuid>,
        by: Runner,
    ) -> Result<Option<BegunRun>>;
    /// The run had to wait for its place and begins at `now_ms`; one that has ended stays as it is.
    async fn run_begins(&self, id: i64, now_ms: EpochMs) -> Result<()>;
    /// Ends a run; `false` if it had been ended: its process was taken for dead.
    async fn end_run(&self, id: i64, end: RunEnd) -> Result<bool>;
    /// Keeps these runs, of a process, its own. By their numbers and not by the node: a run that was begun by a commit whose answer
    /// was lost has a row, but nobody at work on it, and its lease has to end.
    async fn renew_runs(&self, by: Runner, runs: Vec<i64>) -> Result<u64>;
    /// Ends all open runs of `node`, at its start: nobody is at work on them. Jobs whose run is not there are free. Answers how many.
    async fn close_runs_of(&self, node: NodeUuid, end: RunEnd) -> Result<u64>;
    /// Runs that have not ended, at most one of each job.
    async fn open_runs(&self) -> Result<Vec<OpenRun>>;
    /// Ends those of these runs that were not renewed since they were read. Answers how many.
    async fn close_silent_runs(&self, runs: Vec<OpenRun>, end: RunEnd) -> Result<u64>;
    /// Removes runs that began before `before_ms` and have ended, so many in one transaction that others need not wait for long;
    /// answers how many.
    async fn prune_runs(&self, before_ms: EpochMs) -> Result<u64>;
    /// Ready images that were last read again before `before_ms`, the longest ago first; those behind `after`, the time and the uuid
    /// of the last one of a page before. At most `limit`. One that was read later than `now_ms` is among them: the clock was ahead.
    /// A row that cannot be read keeps no other from being answered.
    async fn images_to_check(
        &self,
        after: Option<(EpochMs, String)>,
        before_ms: EpochMs,
        now_ms: EpochMs,
        limit: u64,
    ) -> Result<ImagesPage<(EpochMs, String)>>;
    /// What the last scrub wrote down of images that it has begun and not ended, as it was given to
    /// [`keep_scrub_note`](Self::keep_scrub_note).
    async fn scrub_note(&self) -> Result<Option<String>>;
    /// Writes that down, in place of what was there.
    async fn keep_scrub_note(&self, note: String) -> Result<()>;
    /// The image was read again at `now_ms`.
    async fn image_was_checked(&self, image: ImageUuid, now_ms: EpochMs) -> Result<()>;
}

#[async_trait]
impl<D: Dialect> ScheduleRepository for SqlDatabase<D> {
    async fn scheduled_jobs(&self, query: &Query, scope: Scope) -> Result<Page<ScheduledJob>> {
        query::page(self, &SCHEDULED_JOBS, query, scope, rows::job).await
    }

    async fn triggers(&self, query: &Query, scope: Scope) -> Result<Page<Trigger>> {
        query::page(self, &TRIGGERS, query, scope, rows::trigger).await
    }

    async fn readable_triggers(
        &self,
        query: &Query,
        scope: Scope,
    ) -> Result<(Page<Trigger>, Unreadables)> {
        let read = |row: &D::Row| Ok((rows::key_of_trigger(row)?, rows::trigger(row)));
        let Page { rows, total } = query::page(self, &TRIGGERS, query, scope, read).await?;
        let (mut triggers, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
        for (key, trigger) in rows {
            match trigger {
                Ok(trigger) => triggers.push(trigger),
                Err(error) => unreadable.push((key, error)),
            }
        }
        Ok((Page { rows: triggers, total }, unreadable))
    }

    async fn job_groups(&self, query: &Query, scope: Scope) -> Result<Page<JobGroup>> {
        query::page(self, &SCHEDULED_JOB_GROUPS, query, scope, rows::group).await
    }

    async fn runs(&self, query: &Query, scope: Scope) -> Result<Page<RunRecord>> {
        query::page(self, &RUNS, query, scope, rows::run).await
    }

    async fn bindings(&self) -> Result<Vec<Binding>> {
        self.read_all(SqlText::Fixed(texts::BINDINGS), Vec::new(), rows::binding).await
    }

    async fn members(&self) -> Result<Vec<(JobGroupUuid, ScheduledJobUuid, EpochMs)>> {
        self.read_all(SqlText::Fixed(texts::MEMBERS), Vec::new(), rows::member).await
    }

    async fn change_schedule(&self, change: ScheduleChange) -> Result<ScheduleChanged> {
        self.write(change).await
    }

    async fn due_fires(&self, now_ms: EpochMs, limit: u64) -> Result<DueFires> {
        let values = values![now_ms, rows_max(limit)];
        let read = |row: &D::Row| Ok((rows::key_of_binding(row)?, rows::due(row)));
        let mut due = DueFires::default();
        for (key, read) in self.read_all(SqlText::Fixed(texts::BINDINGS_DUE), values, read).await? {
            match read {
                Ok(fire) => due.fires.push(fire),
                Err(error) => due.unreadable.push((key, error)),
            }
        }
        Ok(due)
    }

    async fn take_fire(&self, take: TakeFire) -> Result<FireTaken> {
        self.write(take).await
    }

    async fn begin_run_now(
        &self,
        job: ScheduledJobUuid,
        trigger: Option<TriggerUuid>,
        group: Option<JobGroupUuid>,
        by: Runner,
    ) -> Result<Option<BegunRun>> {
        self.write(runs::RunNow { job, trigger, group, by }).await
    }

    async fn run_begins(&self, id: i64, now_ms: EpochMs) -> Result<()> {
        self.write(runs::RunBegins(id, now_ms)).await
    }

    async fn end_run(&self, id: i64, end: RunEnd) -> Result<bool> {
        self.write(runs::EndRun { id, end }).await
    }

    async fn renew_runs(&self, by: Runner, runs: Vec<i64>) -> Result<u64> {
        self.write(runs::RenewRuns { by, runs }).await
    }

    async fn close_runs_of(&self, node: NodeUuid, end: RunEnd) -> Result<u64> {
        self.write(runs::CloseOfNode { node, end }).await
    }

    async fn open_runs(&self) -> Result<Vec<OpenRun>> {
        self.read_all(SqlText::Fixed(texts::HISTORY_OPEN), Vec::new(), rows::open_run).await
    }

    async fn close_silent_runs(&self, runs: Vec<OpenRun>, end: RunEnd) -> Result<u64> {
        self.write(runs::CloseSilent { runs, end }).await
    }

    async fn prune_runs(&self, before_ms: EpochMs) -> Result<u64> {
        let mut pruned = 0;
        loop {
            let some = self.write(runs::PruneRuns(before_ms, PRUNED_AT_ONCE)).await?;
            pruned += some;
            if some < PRUNED_AT_ONCE {
                return Ok(pruned);
            }
        }
    }

    async fn images_to_check(
        &self,
        after: Option<(EpochMs, String)>,
        before_ms: EpochMs,
        now_ms: EpochMs,
        limit: u64,
    ) -> Result<ImagesPage<(EpochMs, String)>> {
        let (from_ms, uuid) = after.unwrap_or((i64::MIN, String::new()));
        let values = values![before_ms, from_ms, &uuid, rows_max(limit), now_ms];
        let read = |row: &D::Row| {
            let uuid = all_rows::image_key(row)?;
            Ok(((all_rows::image_checked_ms(row)?, uuid.clone()), uuid, all_rows::image(row)))
        };
        let rows = self.read_all(SqlText::Fixed(st::IMAGES_TO_CHECK), values, read).await?;
        Ok(ImagesPage::of(rows))
    }

    async fn scrub_note(&self) -> Result<Option<String>> {
        let notes = self.read_all(SqlText::Fixed(texts::SCRUB_NOTE), Vec::new(), rows::note);
        Ok(notes.await?.into_iter().next())
    }

    async fn keep_scrub_note(&self, note: String) -> Result<()> {
        self.write(runs::ScrubNote(note)).await
    }

    async fn image_was_checked(&self, image: ImageUuid, now_ms: EpochMs) -> Result<()> {
        self.write(runs::ImageChecked(image, now_ms)).await
    }
}
