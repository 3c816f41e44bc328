//! What an admin does with jobs and triggers.

use serde_json::{Map, Value};

use super::{
    NewTrigger, ScheduleError, Scheduler,
    links::{GroupShown, JobShown, TriggerShown, bounded, done, no_group, no_job, no_trigger},
};
use crate::{
    db::ScheduleChange,
    domain::{
        account::{Caller, Scope},
        clock::EpochMs,
        ids::{ImageUuid, JobGroupUuid, ScheduledJobUuid, TriggerUuid},
        image::ImageStatus,
        schedule::{Binding, JobGroup, JobType, Parameters, ScheduledJob, Target, Trigger},
        text::shown,
    },
};

/// A job to be made.
#[derive(Debug, Clone)]
pub struct NewScheduledJob {
    /// Its uuid, where the client chooses it.
    pub uuid: Option<ScheduledJobUuid>,
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: Option<String>,
    /// Name of its type.
    pub job_type: String,
    /// The image that it is about.
    pub target: Option<String>,
    /// Its parameters as they came.
    pub parameters: Map<String, Value>,
}

/// What was enabled or disabled.
#[derive(Debug, Clone)]
pub enum StateChanged {
    /// A job.
    Job(JobShown),
    /// A group.
    Group(GroupShown),
}

impl Scheduler {
    /// Makes a job of one of our types. It runs once it has a trigger.
    pub async fn create_job(
        &self,
        caller: Caller,
        new: NewScheduledJob,
    ) -> Result<JobShown, ScheduleError> {
        Self::admin(caller)?;
        let job_type = job_type(&new.job_type)?;
        let parameters =
            Parameters::read(job_type, &new.parameters).map_err(ScheduleError::Invalid)?;
        let target = self.target(job_type, new.target.as_deref()).await?;
        let now_ms = self.jobs.parts.clock.now_ms();
        let job = ScheduledJob {
            uuid: new.uuid.unwrap_or_else(ScheduledJobUuid::random),
            account: caller.account,
            name: new.name,
            description: new.description,
            job_type,
            target,
            parameters,
            enabled: true,
            created_ms: now_ms,
            last_op_ms: now_ms,
        };
        self.change(ScheduleChange::NewJob(job.clone()), || no_job(&job.uuid)).await?;
        Ok(JobShown { job, triggers: Vec::new(), groups: Vec::new() })
    }

    /// The image that a job is about. ZStack's clients have to name something for every job: where it means nothing it is kept out.
    async fn target(
        &self,
        job_type: JobType,
        given: Option<&str>,
    ) -> Result<Option<ImageUuid>, ScheduleError> {
        if job_type != JobType::VerifyImage {
            return Ok(None);
        }
        let given = given.ok_or_else(|| {
            ScheduleError::Invalid(
                "field[targetResourceUuid] has to be the image that a job of type[verifyImage] reads"
                    .to_owned(),
            )
        })?;
        let missing = || ScheduleError::NotFound { uuid: shown(given), kind: "ImageVO" };
        let uuid: ImageUuid = given.parse().map_err(|_| missing())?;
        let image = self.jobs.parts.db.image(uuid, Scope::All).await?.ok_or_else(missing)?;
        if image.status != ImageStatus::Ready {
            return Err(ScheduleError::Invalid(format!(
                "image[uuid:{uuid}] is {}, and only a Ready one can be read",
                image.status.name()
            )));
        }
        Ok(Some(uuid))
    }

    /// Changes a job; what is `None` stays.
    pub async fn update_job(
        &self,
        caller: Caller,
        uuid: ScheduledJobUuid,
        name: Option<String>,
        description: Option<String>,
        parameters: Option<Map<String, Value>>,
    ) -> Result<JobShown, ScheduleError> {
        Self::admin(caller)?;
        let _alone = self.changing.lock().await;
        let before = self.find_job(uuid).await?.ok_or_else(|| no_job(&uuid))?;
        let parameters = match parameters {
            Some(given) => {
                Parameters::read(before.job_type, &given).map_err(ScheduleError::Invalid)?
            }
            None => before.parameters.clone(),
        };
        let job = ScheduledJob {
            name: name.unwrap_or(before.name),
            description: description.or(before.description),
            parameters,
            last_op_ms: self.jobs.parts.clock.now_ms(),
            ..before
        };
        self.change(ScheduleChange::Job(job.clone()), || no_job(&uuid)).await?;
        Ok(self.links().await?.job(job))
    }

    /// Deletes a job. A run of it goes on; its history stays.
    pub async fn delete_job(
        &self,
        caller: Caller,
        uuid: ScheduledJobUuid,
    ) -> Result<(), ScheduleError> {
        Self::admin(caller)?;
        self.change(ScheduleChange::DeleteJob(uuid), || no_job(&uuid)).await
    }

    /// Enables or disables a job or a group: by its trigger it runs, or not. A run that is at work goes on.
    pub async fn change_state(
        &self,
        caller: Caller,
        uuid: &str,
        enabled: bool,
    ) -> Result<StateChanged, ScheduleError> {
        Self::admin(caller)?;
        let _alone = self.changing.lock().await;
        let job: Option<ScheduledJobUuid> = uuid.parse().ok();
        if let Some(uuid) = job
            && let Some(job) = self.find_job(uuid).await?
        {
            return self.switch_job(job, enabled).await.map(StateChanged::Job);
        }
        let group: Option<JobGroupUuid> = uuid.parse().ok();
        if let Some(uuid) = group
            && let Some(group) = self.find_group(uuid).await?
        {
            return self.switch_group(group, enabled).await.map(StateChanged::Group);
        }
        Err(no_job(&shown(uuid)))
    }

    async fn switch_job(
        &self,
        job: ScheduledJob,
        enabled: bool,
    ) -> Result<JobShown, ScheduleError> {
        let now_ms = self.jobs.parts.clock.now_ms();
        let moved = self.switched(Target::Job(job.uuid), enabled, now_ms).await?;
        let job = ScheduledJob { enabled, last_op_ms: now_ms, ..job };
        self.change(ScheduleChange::JobState(job.clone(), moved), || no_job(&job.uuid)).await?;
        Ok(self.links().await?.job(job))
    }

    async fn switch_group(
        &self,
        group: JobGroup,
        enabled: bool,
    ) -> Result<GroupShown, ScheduleError> {
        let now_ms = self.jobs.parts.clock.now_ms();
        let moved = self.switched(Target::Group(group.uuid), enabled, now_ms).await?;
        let group = JobGroup { enabled, last_op_ms: now_ms, ..group };
        let change = ScheduleChange::GroupState(group.clone(), moved);
        self.change(change, || no_group(&group.uuid)).await?;
        Ok(self.links().await?.group(group))
    }

    async fn switched(
        &self,
        target: Target,
        enabled: bool,
        now_ms: EpochMs,
    ) -> Result<Vec<Binding>, ScheduleError> {
        let links = self.links().await?;
        let mut moved = Vec::new();
        // Of its own triggers alone: the row of another one may be unreadable.
        for binding in links.of(target) {
            if let Some(trigger) = self.find_trigger(binding.trigger).await? {
                moved.push(binding.moved(&trigger.timing, enabled, now_ms));
            }
        }
        Ok(moved)
    }

    /// Makes a trigger. It fires what is bound to it.
    pub async fn create_trigger(
        &self,
        caller: Caller,
        new: NewTrigger,
    ) -> Result<TriggerShown, ScheduleError> {
        Self::admin(caller)?;
        let now_ms = self.jobs.parts.clock.now_ms();
        let timing = new.timing(None, now_ms)?;
        let name = new.name.ok_or_else(|| {
            ScheduleError::Invalid("field[name] is mandatory, can not be null".to_owned())
        })?;
        let trigger = Trigger {
            uuid: new.uuid.unwrap_or_else(TriggerUuid::random),
            account: caller.account,
            name,
            description: new.description,
            timing,
            created_ms: now_ms,
            last_op_ms: now_ms,
        };
        let change = ScheduleChange::NewTrigger(trigger.clone());
        self.change(change, || no_trigger(&trigger.uuid)).await?;
        Ok(TriggerShown { trigger, jobs: Vec::new(), groups: Vec::new() })
    }

    /// Changes a trigger; what it fires is fired as it says from now on.
    pub async fn update_trigger(
        &self,
        caller: Caller,
        uuid: TriggerUuid,
        new: NewTrigger,
    ) -> Result<TriggerShown, ScheduleError> {
        Self::admin(caller)?;
        let _alone = self.changing.lock().await;
        let before = self.find_trigger(uuid).await?.ok_or_else(|| no_trigger(&uuid))?;
        let now_ms = self.jobs.parts.clock.now_ms();
        // Renamed, it is not asked whether it fires again: its last fire may be over.
        let timing = if new.says_when() {
            new.timing(Some(&before.timing), now_ms)?
        } else {
            before.timing.clone()
        };
        let is_new_timing = timing != before.timing;
        let trigger = Trigger {
            name: new.name.unwrap_or(before.name),
            description: new.description.or(before.description),
            timing,
            last_op_ms: now_ms,
            ..before
        };
        let links = self.links().await?;
        let mut moved = Vec::new();
        let bound = links.bindings.iter().filter(|one| one.trigger == uuid && is_new_timing);
        for binding in bound {
            let enabled = self.is_enabled(binding.target).await?;
            moved.push(binding.retimed(&trigger, enabled, now_ms));
        }
        let change = if is_new_timing {
            ScheduleChange::TriggerTiming(trigger.clone(), moved)
        } else {
            ScheduleChange::Trigger(trigger.clone())
        };
        self.change(change, || no_trigger(&uuid)).await?;
        Ok(links.trigger(trigger))
    }

    /// Deletes a trigger. A run that it fired goes on; its history stays.
    pub async fn delete_trigger(
        &self,
        caller: Caller,
        uuid: TriggerUuid,
    ) -> Result<(), ScheduleError> {
        Self::admin(caller)?;
        self.change(ScheduleChange::DeleteTrigger(uuid), || no_trigger(&uuid)).await
    }

    pub(super) async fn is_enabled(&self, target: Target) -> Result<bool, ScheduleError> {
        Ok(match target {
            Target::Job(uuid) => self.find_job(uuid).await?.is_some_and(|job| job.enabled),
            Target::Group(uuid) => self.find_group(uuid).await?.is_some_and(|group| group.enabled),
        })
    }

    /// Joins a trigger to a job or a group, and runs it at once if it is to be. Joined already is success.
    pub async fn bind(
        &self,
        caller: Caller,
        trigger: TriggerUuid,
        target: Target,
        at_once: bool,
    ) -> Result<(), ScheduleError> {
        Self::admin(caller)?;
        let _alone = self.changing.lock().await;
        let found = self.find_trigger(trigger).await?.ok_or_else(|| no_trigger(&trigger))?;
        let missing = || match target {
            Target::Job(uuid) => no_job(&uuid),
            Target::Group(uuid) => no_group(&uuid),
        };
        let enabled = self.is_enabled(target).await?;
        let now_ms = self.jobs.parts.clock.now_ms();
        let mut binding = Binding::new(&found, target, enabled, now_ms);
        if at_once {
            // The run below is the fire that is due now: taken as well it would be a second one.
            binding = binding.moved(&found.timing, enabled, now_ms);
        }
        if self.links().await?.of(target).all(|bound| bound.trigger != trigger) {
            self.change(ScheduleChange::Bind(binding), missing).await?;
        }
        if at_once {
            for (job, group) in self.jobs_of(target).await? {
                // One that is at work need not be run again.
                let _ = self.start_now(job, Some(trigger), group).await?;
            }
        }
        Ok(())
    }

    /// Takes a trigger and what it fires apart. A run goes on.
    pub async fn unbind(
        &self,
        caller: Caller,
        trigger: TriggerUuid,
        target: Target,
    ) -> Result<(), ScheduleError> {
        Self::admin(caller)?;
        let missing = || {
            ScheduleError::Invalid(format!(
                "the trigger[uuid:{trigger}] does not fire [uuid:{}]: nothing was changed",
                target.uuid()
            ))
        };
        self.change(ScheduleChange::Unbind(trigger, target), missing).await
    }

    /// Runs what a trigger fires now: all of it, or these jobs. Jobs that are at work are left out; if all are, it is refused.
    pub async fn run_trigger(
        &self,
        caller: Caller,
        trigger: TriggerUuid,
        only: &[ScheduledJobUuid],
    ) -> Result<(), ScheduleError> {
        Self::admin(caller)?;
        self.find_trigger(trigger).await?.ok_or_else(|| no_trigger(&trigger))?;
        let mut jobs = Vec::new();
        for binding in self.links().await?.bindings {
            if binding.trigger == trigger {
                jobs.extend(self.jobs_of(binding.target).await?);
            }
        }
        let is_fired = |job: &&ScheduledJobUuid| jobs.iter().any(|(fired, _)| fired == *job);
        if let Some(stranger) = only.iter().find(|job| !is_fired(job)) {
            return Err(ScheduleError::Invalid(format!(
                "field[jobUuids]: the trigger[uuid:{trigger}] does not fire the job[uuid:{stranger}]; nothing was run"
            )));
        }
        if !only.is_empty() {
            jobs.retain(|(job, _)| only.contains(job));
        }
        let mut begun = jobs.is_empty();
        for (job, group) in &jobs {
            begun |= self.start_now(*job, Some(trigger), *group).await?.is_some();
        }
        match jobs.first() {
            Some((job, _)) if !begun => Err(ScheduleError::Busy { uuid: job.to_string() }),
            Some(_) | None => Ok(()),
        }
    }

    /// Runs one job now, whatever fires it, also a disabled one. Answers the number of its run in the history.
    pub async fn run_job(
        &self,
        caller: Caller,
        uuid: ScheduledJobUuid,
    ) -> Result<i64, ScheduleError> {
        Self::admin(caller)?;
        self.find_job(uuid).await?.ok_or_else(|| no_job(&uuid))?;
        let begun = self.start_now(uuid, None, None).await?;
        begun.map(|run| run.id).ok_or_else(|| ScheduleError::Busy { uuid: uuid.to_string() })
    }

    /// The jobs that a target means, and the group as part of which each runs.
    async fn jobs_of(
        &self,
        target: Target,
    ) -> Result<Vec<(ScheduledJobUuid, Option<JobGroupUuid>)>, ScheduleError> {
        Ok(match target {
            Target::Job(job) => vec![(job, None)],
            Target::Group(group) => {
                let jobs = self.links().await?.jobs_of(group).into_iter();
                jobs.map(|job| (job, Some(group))).collect()
            }
        })
    }

    pub(super) async fn change(
        &self,
        change: ScheduleChange,
        missing: impl FnOnce() -> ScheduleError,
    ) -> Result<(), ScheduleError> {
        let what = bounded(&change);
        done(self.jobs.parts.db.change_schedule(change).await?, what, missing)
    }
}

/// One of our types, or words that list them.
pub(super) fn job_type(name: &str) -> Result<JobType, ScheduleError> {
    JobType::from_name(name).ok_or_else(|| {
        ScheduleError::Invalid(format!(
            "valid value for field[type] of message[org.zstack.scheduler.APICreateSchedulerJobMsg] are [{}], but {} found",
            JobType::ALL.map(JobType::name).join(", "),
            shown(name)
        ))
    })
}
