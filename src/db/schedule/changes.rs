//! Changes of what is scheduled.

use super::{ScheduleChange, ScheduleChanged, texts as st};
use crate::{
    db::{
        Result,
        dialect::{Dialect, Link, SqlText, Value},
        values::values,
        write::Write,
    },
    domain::{
        clock::EpochMs,
        ids::{JobGroupUuid, ScheduledJobUuid},
        schedule::{
            BINDINGS_MAX, Binding, GROUPS_MAX, JOBS_MAX, JobGroup, JobType, ScheduledJob, Target,
            Timing, Trigger,
        },
    },
};

fn job_changes(job: &ScheduledJob) -> Vec<Value> {
    let ScheduledJob { uuid, name, description, parameters, .. } = job;
    values![*uuid, name, description, parameters.to_json(), job.last_op_ms]
}

fn trigger_changes(trigger: &Trigger) -> Vec<Value> {
    let Trigger { uuid, name, description, last_op_ms, .. } = trigger;
    let (kind, start_ms, secs, repeats, cron) = timing(&trigger.timing);
    values![*uuid, name, description, kind, start_ms, secs, repeats, cron, *last_op_ms]
}

fn trigger_names(trigger: &Trigger) -> Vec<Value> {
    let Trigger { uuid, name, description, last_op_ms, .. } = trigger;
    values![*uuid, name, description, *last_op_ms]
}

fn group_names(group: &JobGroup) -> Vec<Value> {
    let JobGroup { uuid, name, description, last_op_ms, .. } = group;
    values![*uuid, name, description, *last_op_ms]
}

use ScheduleChanged::{Done, Missing, Stale, Taken, TooMany};

impl Write for ScheduleChange {
    type Answer = ScheduleChanged;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<ScheduleChanged> {
        match self {
            Self::Defaults { jobs, triggers, bindings } => {
                defaults(link, jobs, triggers, bindings).await
            }
            Self::NewJob(job) => {
                if is_full(link, st::JOBS_ALL_COUNT, JOBS_MAX).await? {
                    Ok(TooMany)
                } else {
                    insert_job(link, job).await
                }
            }
            Self::Job(job) => moved(link, st::JOB_UPDATE, job_changes(job), &[]).await,
            Self::JobState(job, bindings) => {
                let values = values![job.uuid, job.enabled, job.last_op_ms];
                moved(link, st::JOB_SWITCH, values, bindings).await
            }
            Self::DeleteJob(uuid) => {
                link.execute(st::BINDINGS_OF_TARGET_DELETE, values![*uuid]).await?;
                Ok(gone(link.execute(st::JOB_DELETE, values![*uuid]).await?))
            }
            Self::NewTrigger(trigger) => {
                if is_full(link, st::TRIGGERS_ALL_COUNT, JOBS_MAX).await? {
                    Ok(TooMany)
                } else {
                    insert_trigger(link, trigger).await
                }
            }
            Self::Trigger(trigger) => {
                moved(link, st::TRIGGER_RENAME, trigger_names(trigger), &[]).await
            }
            Self::TriggerTiming(trigger, bindings) => {
                moved(link, st::TRIGGER_UPDATE, trigger_changes(trigger), bindings).await
            }
            Self::DeleteTrigger(uuid) => {
                Ok(gone(link.execute(st::TRIGGER_DELETE, values![*uuid]).await?))
            }
            Self::NewGroup(group) => insert_group(link, group).await,
            Self::Group(group) => moved(link, st::GROUP_UPDATE, group_names(group), &[]).await,
            Self::GroupState(group, bindings) => {
                let values = values![group.uuid, group.enabled, group.last_op_ms];
                moved(link, st::GROUP_SWITCH, values, bindings).await
            }
            Self::DeleteGroup(uuid) => {
                link.execute(st::BINDINGS_OF_TARGET_DELETE, values![*uuid]).await?;
                Ok(gone(link.execute(st::GROUP_DELETE, values![*uuid]).await?))
            }
            Self::Bind(binding) => bind(link, binding).await,
            Self::Unbind(trigger, target) => {
                let values = values![*trigger, target.uuid()];
                Ok(gone(link.execute(st::BINDING_DELETE, values).await?))
            }
            Self::Join(group, jobs, now_ms) => join(link, *group, jobs, *now_ms).await,
            Self::Leave(group, jobs) => {
                for job in jobs {
                    link.execute(st::MEMBER_DELETE, values![*group, *job]).await?;
                }
                Ok(Done)
            }
            Self::Move(binding) => {
                if move_binding(link, binding).await? {
                    Ok(Done)
                } else {
                    Ok(Stale)
                }
            }
        }
    }

    fn keeps(answer: &ScheduleChanged) -> bool {
        *answer == Done
    }
}

const fn gone(rows: u64) -> ScheduleChanged {
    if rows == 0 { Missing } else { Done }
}

async fn is_full<D: Dialect>(
    link: &mut Link<'_, D>,
    count: &'static str,
    max: u64,
) -> Result<bool> {
    Ok(link.number(SqlText::Fixed(count), Vec::new()).await? >= max)
}

/// What each binding is from now on: its generation is still that of before.
pub(super) async fn move_binding<D: Dialect>(
    link: &mut Link<'_, D>,
    binding: &Binding,
) -> Result<bool> {
    let Binding { trigger, target, anchor_ms, next_fire_ms, moved_ms, generation } = binding;
    let values =
        values![*trigger, target.uuid(), *generation, *anchor_ms, *next_fire_ms, *moved_ms];
    Ok(link.execute(st::BINDING_MOVE, values).await? > 0)
}

async fn join<D: Dialect>(
    link: &mut Link<'_, D>,
    group: JobGroupUuid,
    jobs: &[ScheduledJobUuid],
    now_ms: EpochMs,
) -> Result<ScheduleChanged> {
    for job in jobs {
        let there = values![group, *job];
        if link.number(SqlText::Fixed(st::MEMBER_EXISTS), there).await? > 0 {
            continue;
        }
        if is_full(link, st::MEMBERS_ALL_COUNT, BINDINGS_MAX).await? {
            return Ok(TooMany);
        }
        if link.execute(st::MEMBER_INSERT, values![group, *job, now_ms]).await? == 0 {
            return Ok(Missing);
        }
    }
    Ok(Done)
}

async fn moved<D: Dialect>(
    link: &mut Link<'_, D>,
    update: &'static str,
    values: Vec<Value>,
    bindings: &[Binding],
) -> Result<ScheduleChanged> {
    if link.execute(update, values).await? == 0 {
        return Ok(Missing);
    }
    for binding in bindings {
        if !move_binding(link, binding).await? {
            return Ok(Stale);
        }
    }
    Ok(Done)
}

async fn defaults<D: Dialect>(
    link: &mut Link<'_, D>,
    jobs: &[ScheduledJob],
    triggers: &[Trigger],
    bindings: &[Binding],
) -> Result<ScheduleChanged> {
    if link.execute(st::DEFAULTS_ONCE, Vec::new()).await? == 0 {
        return Ok(Taken);
    }
    for job in jobs {
        // Whoever made one of them by its name has it as it is.
        let _ = insert_job(link, job).await?;
    }
    for trigger in triggers {
        let _ = insert_trigger(link, trigger).await?;
    }
    for binding in bindings {
        let _ = bind(link, binding).await?;
    }
    Ok(Done)
}

async fn insert_job<D: Dialect>(
    link: &mut Link<'_, D>,
    job: &ScheduledJob,
) -> Result<ScheduleChanged> {
    let ScheduledJob { uuid, account, name, description, job_type, target, .. } = job;
    let values = values![
        *uuid,
        *account,
        name,
        description,
        job_type.name(),
        *target,
        job.parameters.to_json(),
        job.enabled,
        job.created_ms,
        job.last_op_ms,
    ];
    Ok(taken(link.execute(st::JOB_INSERT, values).await?))
}

async fn insert_trigger<D: Dialect>(
    link: &mut Link<'_, D>,
    trigger: &Trigger,
) -> Result<ScheduleChanged> {
    let Trigger { uuid, account, name, description, created_ms, last_op_ms, .. } = trigger;
    let (kind, start_ms, secs, repeats, cron) = timing(&trigger.timing);
    let values = values![
        *uuid,
        *account,
        name,
        description,
        kind,
        start_ms,
        secs,
        repeats,
        cron,
        *created_ms,
        *last_op_ms
    ];
    Ok(taken(link.execute(st::TRIGGER_INSERT, values).await?))
}

async fn insert_group<D: Dialect>(
    link: &mut Link<'_, D>,
    group: &JobGroup,
) -> Result<ScheduleChanged> {
    if is_full(link, st::GROUPS_ALL_COUNT, GROUPS_MAX).await? {
        return Ok(TooMany);
    }
    let JobGroup { uuid, account, name, description, job_type, enabled, created_ms, last_op_ms } =
        group;
    let job_type = job_type.map(JobType::name);
    let values =
        values![*uuid, *account, name, description, job_type, *enabled, *created_ms, *last_op_ms];
    Ok(taken(link.execute(st::GROUP_INSERT, values).await?))
}

async fn bind<D: Dialect>(link: &mut Link<'_, D>, binding: &Binding) -> Result<ScheduleChanged> {
    let there = values![binding.trigger, binding.target.uuid()];
    if link.number(SqlText::Fixed(st::BINDING_EXISTS), there).await? > 0 {
        return Ok(Taken);
    }
    if is_full(link, st::BINDINGS_ALL_COUNT, BINDINGS_MAX).await? {
        return Ok(TooMany);
    }
    let kind = match binding.target {
        Target::Job(_) => "job",
        Target::Group(_) => "group",
    };
    let Binding { trigger, target, anchor_ms, next_fire_ms, moved_ms, .. } = binding;
    let values = values![*trigger, target.uuid(), kind, *anchor_ms, *next_fire_ms, *moved_ms];
    Ok(gone(link.execute(st::BINDING_INSERT, values).await?))
}

const fn taken(rows: u64) -> ScheduleChanged {
    if rows == 0 { Taken } else { Done }
}

type TimingColumns<'t> = (&'static str, Option<i64>, Option<i64>, Option<i64>, Option<&'t str>);

fn timing(timing: &Timing) -> TimingColumns<'_> {
    match timing {
        Timing::Simple { start_ms, interval_secs, repeat_count } => {
            ("simple", *start_ms, Some(*interval_secs), Some(*repeat_count), None)
        }
        Timing::Cron { start_ms, cron } => ("cron", *start_ms, None, None, Some(cron.as_str())),
    }
}
