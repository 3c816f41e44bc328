//! What is joined to what, and how it is shown. There are a thousand bindings at the most: all are read at once.

use super::{ScheduleError, Scheduler};
use crate::{
    db::{ScheduleChange, ScheduleChanged},
    domain::{
        account::{Caller, Scope},
        clock::EpochMs,
        ids::{JobGroupUuid, ScheduledJobUuid, TriggerUuid},
        query::{Condition, Operator, Page, Query},
        schedule::{
            BINDINGS_MAX, Binding, GROUPS_MAX, JOBS_MAX, JobGroup, RunRecord, ScheduledJob, Target,
            Trigger,
        },
    },
};

/// A job with what it is joined to.
#[derive(Debug, Clone)]
pub struct JobShown {
    /// The job.
    pub job: ScheduledJob,
    /// What fires it.
    pub triggers: Vec<TriggerUuid>,
    /// The groups that it is in.
    pub groups: Vec<JobGroupUuid>,
}

/// A trigger with what it fires.
#[derive(Debug, Clone)]
pub struct TriggerShown {
    /// The trigger.
    pub trigger: Trigger,
    /// Jobs that it fires.
    pub jobs: Vec<ScheduledJobUuid>,
    /// Groups that it fires.
    pub groups: Vec<JobGroupUuid>,
}

/// A group with what it is joined to.
#[derive(Debug, Clone)]
pub struct GroupShown {
    /// The group.
    pub group: JobGroup,
    /// Its jobs.
    pub jobs: Vec<ScheduledJobUuid>,
    /// What fires it.
    pub triggers: Vec<TriggerUuid>,
}

/// Everything that is joined to something.
pub(super) struct Links {
    pub(super) bindings: Vec<Binding>,
    pub(super) members: Vec<(JobGroupUuid, ScheduledJobUuid, EpochMs)>,
}

impl Links {
    /// The bindings of one target.
    pub(super) fn of(&self, target: Target) -> impl Iterator<Item = &Binding> {
        self.bindings.iter().filter(move |binding| binding.target == target)
    }

    pub(super) fn job(&self, job: ScheduledJob) -> JobShown {
        let triggers = self.of(Target::Job(job.uuid)).map(|binding| binding.trigger).collect();
        let groups = self.members.iter().filter(|(_, member, _)| *member == job.uuid);
        JobShown { triggers, groups: groups.map(|(group, _, _)| *group).collect(), job }
    }

    pub(super) fn trigger(&self, trigger: Trigger) -> TriggerShown {
        let (mut jobs, mut groups) = (Vec::new(), Vec::new());
        for binding in self.bindings.iter().filter(|binding| binding.trigger == trigger.uuid) {
            match binding.target {
                Target::Job(job) => jobs.push(job),
                Target::Group(group) => groups.push(group),
            }
        }
        TriggerShown { trigger, jobs, groups }
    }

    pub(super) fn group(&self, group: JobGroup) -> GroupShown {
        let triggers = self.of(Target::Group(group.uuid)).map(|binding| binding.trigger).collect();
        GroupShown { jobs: self.jobs_of(group.uuid), triggers, group }
    }

    pub(super) fn jobs_of(&self, group: JobGroupUuid) -> Vec<ScheduledJobUuid> {
        let members = self.members.iter().filter(|(of, _, _)| *of == group);
        members.map(|(_, job, _)| *job).collect()
    }
}

/// A query for one.
pub(super) fn named(uuid: &impl ToString) -> Query {
    let condition =
        Condition { field: "uuid".to_owned(), operator: Operator::Equal, value: uuid.to_string() };
    Query { conditions: vec![condition], limit: 1, ..Query::default() }
}

impl Scheduler {
    pub(super) async fn links(&self) -> Result<Links, ScheduleError> {
        let db = &self.jobs.parts.db;
        Ok(Links { bindings: db.bindings().await?, members: db.members().await? })
    }

    /// Jobs that match and that the caller may see: those of an admin are for admins.
    pub async fn query_jobs(
        &self,
        caller: Caller,
        query: &Query,
    ) -> Result<Page<JobShown>, ScheduleError> {
        let page = self.jobs.parts.db.scheduled_jobs(query, caller.scope()).await?;
        let links = self.links().await?;
        let rows = page.rows.into_iter().map(|job| links.job(job)).collect();
        Ok(Page { rows, total: page.total })
    }

    /// Triggers that match and that the caller may see. One whose row cannot be read is left out and told in the log, by its uuid: it
    /// can be deleted.
    pub async fn query_triggers(
        &self,
        caller: Caller,
        query: &Query,
    ) -> Result<Page<TriggerShown>, ScheduleError> {
        let (page, unreadable) =
            self.jobs.parts.db.readable_triggers(query, caller.scope()).await?;
        self.tell_unreadable(&unreadable);
        let links = self.links().await?;
        let rows = page.rows.into_iter().map(|trigger| links.trigger(trigger)).collect();
        Ok(Page { rows, total: page.total })
    }

    /// Groups that match and that the caller may see.
    pub async fn query_groups(
        &self,
        caller: Caller,
        query: &Query,
    ) -> Result<Page<GroupShown>, ScheduleError> {
        let page = self.jobs.parts.db.job_groups(query, caller.scope()).await?;
        let links = self.links().await?;
        let rows = page.rows.into_iter().map(|group| links.group(group)).collect();
        Ok(Page { rows, total: page.total })
    }

    /// Runs that match and that the caller may see.
    pub async fn query_runs(
        &self,
        caller: Caller,
        query: &Query,
    ) -> Result<Page<RunRecord>, ScheduleError> {
        Ok(self.jobs.parts.db.runs(query, caller.scope()).await?)
    }

    /// Jobs that nothing fires, neither by themselves nor as part of a group.
    pub async fn jobs_without_trigger(
        &self,
        caller: Caller,
    ) -> Result<Vec<JobShown>, ScheduleError> {
        let page = self.query_jobs(caller, &Query::default()).await?;
        let links = self.links().await?;
        let fired = |group: &JobGroupUuid| links.of(Target::Group(*group)).next().is_some();
        let idle = |shown: &JobShown| shown.triggers.is_empty() && !shown.groups.iter().any(fired);
        Ok(page.rows.into_iter().filter(idle).collect())
    }

    pub(super) async fn find_job(
        &self,
        uuid: ScheduledJobUuid,
    ) -> Result<Option<ScheduledJob>, ScheduleError> {
        let page = self.jobs.parts.db.scheduled_jobs(&named(&uuid), Scope::All).await?;
        Ok(page.rows.into_iter().next())
    }

    pub(super) async fn find_trigger(
        &self,
        uuid: TriggerUuid,
    ) -> Result<Option<Trigger>, ScheduleError> {
        let page = self.jobs.parts.db.triggers(&named(&uuid), Scope::All).await?;
        Ok(page.rows.into_iter().next())
    }

    pub(super) async fn find_group(
        &self,
        uuid: JobGroupUuid,
    ) -> Result<Option<JobGroup>, ScheduleError> {
        let page = self.jobs.parts.db.job_groups(&named(&uuid), Scope::All).await?;
        Ok(page.rows.into_iter().next())
    }
}

pub(super) fn no_job(uuid: &impl ToString) -> ScheduleError {
    ScheduleError::NotFound { uuid: uuid.to_string(), kind: "SchedulerJobVO" }
}

pub(super) fn no_trigger(uuid: &impl ToString) -> ScheduleError {
    ScheduleError::NotFound { uuid: uuid.to_string(), kind: "SchedulerTriggerVO" }
}

pub(super) fn no_group(uuid: &impl ToString) -> ScheduleError {
    ScheduleError::NotFound { uuid: uuid.to_string(), kind: "SchedulerJobGroupVO" }
}

/// What the records answered, as a result; `what` may be `max` at the most.
pub(super) fn done(
    changed: ScheduleChanged,
    (what, max): (&'static str, u64),
    missing: impl FnOnce() -> ScheduleError,
) -> Result<(), ScheduleError> {
    match changed {
        ScheduleChanged::Done => Ok(()),
        ScheduleChanged::Missing => Err(missing()),
        ScheduleChanged::Taken => Err(ScheduleError::Invalid(format!(
            "one of the {what} with this uuid is there already"
        ))),
        ScheduleChanged::TooMany => Err(ScheduleError::TooMany { what, max }),
        ScheduleChanged::Stale => Err(ScheduleError::Contended),
    }
}

/// For [`done`]: what a change is about, and how many of them there may be.
pub(super) const fn bounded(change: &ScheduleChange) -> (&'static str, u64) {
    match change {
        ScheduleChange::NewJob(_)
        | ScheduleChange::Job(_)
        | ScheduleChange::JobState(..)
        | ScheduleChange::DeleteJob(_)
        | ScheduleChange::Defaults { .. } => ("jobs", JOBS_MAX),
        ScheduleChange::NewTrigger(_)
        | ScheduleChange::Trigger(_)
        | ScheduleChange::TriggerTiming(..)
        | ScheduleChange::DeleteTrigger(_) => ("triggers", JOBS_MAX),
        ScheduleChange::NewGroup(_)
        | ScheduleChange::Group(_)
        | ScheduleChange::GroupState(..)
        | ScheduleChange::DeleteGroup(_) => ("groups", GROUPS_MAX),
        ScheduleChange::Bind(_)
        | ScheduleChange::Unbind(..)
        | ScheduleChange::Join(..)
        | ScheduleChange::Leave(..)
        | ScheduleChange::Move(_) => ("bindings", BINDINGS_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_by_what_it_is_about() {
        let group = JobGroup {
            uuid: JobGroupUuid::random(),
            account: crate::domain::ids::AccountUuid::random(),
            name: "nightly".to_owned(),
            description: None,
            job_type: None,
            enabled: true,
            created_ms: 0,
            last_op_ms: 0,
        };
        let job = ScheduledJobUuid::random();
        let told = [
            ScheduleChange::DeleteJob(job),
            ScheduleChange::DeleteTrigger(TriggerUuid::random()),
            ScheduleChange::GroupState(group.clone(), Vec::new()),
            ScheduleChange::Join(group.uuid, vec![job], 0),
        ]
        .map(|change| bounded(&change).0);
        assert_eq!(told, ["jobs", "triggers", "groups", "bindings"]);
    }
}
