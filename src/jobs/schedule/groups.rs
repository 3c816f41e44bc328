//! What an admin does with groups of jobs.

use super::{
    ScheduleError, Scheduler,
    links::{GroupShown, no_group, no_job},
    verbs::job_type,
};
use crate::{
    db::ScheduleChange,
    domain::{
        account::Caller,
        clock::EpochMs,
        ids::{JobGroupUuid, ScheduledJobUuid},
        schedule::JobGroup,
    },
};

/// A group to be made.
#[derive(Debug, Clone)]
pub struct NewJobGroup {
    /// Its uuid, where the client chooses it.
    pub uuid: Option<JobGroupUuid>,
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: Option<String>,
    /// Name of the type that all its jobs have; any where none is given.
    pub job_type: Option<String>,
}

impl Scheduler {
    /// Makes a group without jobs.
    pub async fn create_group(
        &self,
        caller: Caller,
        new: NewJobGroup,
    ) -> Result<GroupShown, ScheduleError> {
        Self::admin(caller)?;
        let now_ms = self.jobs.parts.clock.now_ms();
        let group = JobGroup {
            uuid: new.uuid.unwrap_or_else(JobGroupUuid::random),
            account: caller.account,
            name: new.name,
            description: new.description,
            job_type: new.job_type.as_deref().map(job_type).transpose()?,
            enabled: true,
            created_ms: now_ms,
            last_op_ms: now_ms,
        };
        let change = ScheduleChange::NewGroup(group.clone());
        self.change(change, || no_group(&group.uuid)).await?;
        Ok(GroupShown { group, jobs: Vec::new(), triggers: Vec::new() })
    }

    /// Renames a group; what is `None` stays.
    pub async fn update_group(
        &self,
        caller: Caller,
        uuid: JobGroupUuid,
        name: Option<String>,
        description: Option<String>,
    ) -> Result<GroupShown, ScheduleError> {
        Self::admin(caller)?;
        let _alone = self.changing.lock().await;
        let before = self.find_group(uuid).await?.ok_or_else(|| no_group(&uuid))?;
        let group = JobGroup {
            name: name.unwrap_or(before.name),
            description: description.or(before.description),
            last_op_ms: self.jobs.parts.clock.now_ms(),
            ..before
        };
        let change = ScheduleChange::Group(group.clone());
        self.change(change, || no_group(&uuid)).await?;
        Ok(self.links().await?.group(group))
    }

    /// Deletes a group; its jobs stay.
    pub async fn delete_group(
        &self,
        caller: Caller,
        uuid: JobGroupUuid,
    ) -> Result<(), ScheduleError> {
        Self::admin(caller)?;
        self.change(ScheduleChange::DeleteGroup(uuid), || no_group(&uuid)).await
    }

    /// Puts jobs into a group, all or none; answers those of them that are in it now, and since when.
    pub async fn join_group(
        &self,
        caller: Caller,
        uuid: JobGroupUuid,
        jobs: Vec<ScheduledJobUuid>,
    ) -> Result<Vec<(ScheduledJobUuid, EpochMs)>, ScheduleError> {
        Self::admin(caller)?;
        let group = self.find_group(uuid).await?.ok_or_else(|| no_group(&uuid))?;
        for job in &jobs {
            let found = self.find_job(*job).await?.ok_or_else(|| no_job(job))?;
            if let Some(wanted) = group.job_type.filter(|wanted| *wanted != found.job_type) {
                return Err(ScheduleError::Invalid(format!(
                    "the job[uuid:{job}] is of type[{}], and all jobs of the group[uuid:{uuid}] are of type[{}]: nothing was changed",
                    found.job_type.name(),
                    wanted.name()
                )));
            }
        }
        let now_ms = self.jobs.parts.clock.now_ms();
        let change = ScheduleChange::Join(uuid, jobs.clone(), now_ms);
        self.change(change, || no_group(&uuid)).await?;
        let members = self.links().await?.members.into_iter();
        let ours = members.filter(|(group, job, _)| *group == uuid && jobs.contains(job));
        Ok(ours.map(|(_, job, since_ms)| (job, since_ms)).collect())
    }

    /// Takes jobs out of a group. One that is not in it is success.
    pub async fn leave_group(
        &self,
        caller: Caller,
        uuid: JobGroupUuid,
        jobs: Vec<ScheduledJobUuid>,
    ) -> Result<(), ScheduleError> {
        Self::admin(caller)?;
        self.find_group(uuid).await?.ok_or_else(|| no_group(&uuid))?;
        self.change(ScheduleChange::Leave(uuid, jobs), || no_group(&uuid)).await
    }
}
