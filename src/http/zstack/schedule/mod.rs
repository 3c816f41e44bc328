//! The scheduler (zstack.md 5): thin handlers over the verbs of `jobs::Scheduler`. Two calls are ours: `runSchedulerJob` runs one job
//! whatever fires it, and ChangeSchedulerState takes a group as well.

mod bindings;
mod groups;
mod jobs;
mod queries;
mod triggers;

pub(super) use bindings::{bind_group, bind_job, unbind_group, unbind_job};
pub(super) use groups::{act as act_on_group, create as create_group, delete as delete_group};
pub(super) use groups::{join, leave};
pub(super) use jobs::{
    act as act_on_job, change_state, create as create_job, delete as delete_job,
};
pub(super) use queries::{candidates, report};
pub(super) use triggers::{
    act as act_on_trigger, create as create_trigger, delete as delete_trigger,
};

use std::str::FromStr;

use serde_json::{Map, Value};

use super::{
    body::Params,
    call::Work,
    error::Refusal,
    longjobs::{DESCRIPTION_CHARS_MAX, NAME_CHARS_MAX},
    reply::StoredReply,
};
use crate::{
    domain::{
        ids::{ScheduledJobUuid, is_resource_uuid},
        schedule::JOBS_MAX,
        text::shown,
    },
    jobs::{GroupShown, JobShown, ScheduleError, TriggerShown},
    wire::zstack::{
        Empty, Inventory, SchedulerJobGroupInventory, SchedulerJobInventory,
        SchedulerTriggerInventory, Schema, scheduler_job_group_inventory, scheduler_job_inventory,
        scheduler_trigger_inventory,
    },
};

/// Longest cron expression that is looked at.
const CRON_CHARS_MAX: usize = 1024;

/// An object that a path names; what is no uuid is not found.
fn named<T: FromStr>(uuid: &str, kind: &'static str) -> Result<T, Refusal> {
    uuid.parse().map_err(|_| ScheduleError::NotFound { uuid: shown(uuid), kind }.into())
}

fn job_named<T: FromStr>(uuid: &str) -> Result<T, Refusal> {
    named(uuid, "SchedulerJobVO")
}

fn trigger_named<T: FromStr>(uuid: &str) -> Result<T, Refusal> {
    named(uuid, "SchedulerTriggerVO")
}

fn group_named<T: FromStr>(uuid: &str) -> Result<T, Refusal> {
    named(uuid, "SchedulerJobGroupVO")
}

/// A uuid that the client chose for what it makes.
fn chosen<T: FromStr>(params: &mut Params) -> Result<Option<T>, Refusal> {
    let Some(text) = params.text("resourceUuid", NAME_CHARS_MAX)? else { return Ok(None) };
    let uuid = text.parse().ok().filter(|_| is_resource_uuid(&text));
    uuid.map(Some).ok_or_else(|| {
        Refusal::invalid(format!(
            "invalid value[{}] of field [resourceUuid]: give a UUID without dashes",
            shown(&text)
        ))
    })
}

fn description(params: &mut Params) -> Result<Option<String>, Refusal> {
    params.text("description", DESCRIPTION_CHARS_MAX)
}

fn name(params: &mut Params) -> Result<Option<String>, Refusal> {
    params.text("name", NAME_CHARS_MAX)
}

fn parameters(params: &mut Params) -> Result<Option<Map<String, Value>>, Refusal> {
    match params.value("parameters") {
        None => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_),
        ) => Err(Refusal::invalid("field[parameters] is not an object of names and values")),
    }
}

/// Identifiers of jobs in a list.
fn job_uuids(params: &mut Params, name: &str) -> Result<Vec<ScheduledJobUuid>, Refusal> {
    jobs_listed(name, params.texts(name)?.iter().map(String::as_str))
}

/// Each once, in the order in which they came; no more than there may be, as each is looked for.
fn jobs_listed<'u>(
    name: &str,
    uuids: impl Iterator<Item = &'u str>,
) -> Result<Vec<ScheduledJobUuid>, Refusal> {
    let mut jobs = Vec::new();
    for uuid in uuids {
        let job = job_named(uuid)?;
        if !jobs.contains(&job) {
            jobs.push(job);
        }
        if jobs.len() as u64 > JOBS_MAX {
            return Err(Refusal::invalid(format!(
                "field[{name}] has to be at most {JOBS_MAX} different jobs"
            )));
        }
    }
    Ok(jobs)
}

fn done(work: &Work) -> Result<StoredReply, Refusal> {
    work.done(Empty {}, Schema::default())
}

fn job_reply(work: &Work, shown: &JobShown) -> Result<StoredReply, Refusal> {
    let inventory = job(shown, work.zone());
    let schema = Schema::one("inventory", &inventory);
    work.done(Inventory { inventory }, schema)
}

fn trigger_reply(work: &Work, shown: &TriggerShown) -> Result<StoredReply, Refusal> {
    let inventory = trigger(shown, work.zone());
    let schema = Schema::one("inventory", &inventory);
    work.done(Inventory { inventory }, schema)
}

fn group_reply(work: &Work, shown: &GroupShown) -> Result<StoredReply, Refusal> {
    let inventory = group(shown, work.zone());
    let schema = Schema::one("inventory", &inventory);
    work.done(Inventory { inventory }, schema)
}

fn job(shown: &JobShown, zone: &jiff::tz::TimeZone) -> SchedulerJobInventory {
    scheduler_job_inventory(&shown.job, &shown.triggers, &shown.groups, zone)
}

fn trigger(shown: &TriggerShown, zone: &jiff::tz::TimeZone) -> SchedulerTriggerInventory {
    scheduler_trigger_inventory(&shown.trigger, &shown.jobs, &shown.groups, zone)
}

fn group(shown: &GroupShown, zone: &jiff::tz::TimeZone) -> SchedulerJobGroupInventory {
    scheduler_job_group_inventory(&shown.group, &shown.jobs, &shown.triggers, zone)
}
