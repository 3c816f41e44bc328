//! From rows of the scheduler to its domain types.

use crate::domain::{
    ids::{JobGroupUuid, ScheduledJobUuid},
    schedule::{
        Binding, JobGroup, JobType, Parameters, RunRecord, ScheduledJob, Target, Timing, Trigger,
    },
};

use super::{DueFire, OpenRun};
use crate::db::{Result, dialect::Fields, rows::RowOf};

pub(super) fn job(row: &impl Fields) -> Result<ScheduledJob> {
    let row = RowOf::new(row, "scheduler_job", "uuid");
    let job_type = row.named("job_type", JobType::from_name)?;
    let parameters = Parameters::from_json(job_type, &row.text("parameters")?);
    Ok(ScheduledJob {
        uuid: row.parsed("uuid")?,
        account: row.parsed("account_uuid")?,
        name: row.text("name")?,
        description: row.text_or_null("description")?,
        job_type,
        target: row.parsed_or_null("target_uuid")?,
        parameters: parameters.ok_or_else(|| row.corrupt("parameters"))?,
        enabled: row.flag("enabled")?,
        created_ms: row.int("created_ms")?,
        last_op_ms: row.int("last_op_ms")?,
    })
}

pub(super) fn trigger(row: &impl Fields) -> Result<Trigger> {
    let row = RowOf::new(row, "scheduler_trigger", "uuid");
    let start_ms = row.int_or_null("start_ms")?;
    let timing = match row.text("kind")?.as_str() {
        "simple" => {
            let (secs, repeats) = (row.int("interval_secs")?, row.int("repeat_count")?);
            Timing::simple(start_ms, secs, repeats).map_err(|_| row.corrupt("interval_secs"))?
        }
        "cron" => Timing::Cron { start_ms, cron: row.parsed("cron")? },
        _ => return Err(row.corrupt("kind")),
    };
    Ok(Trigger {
        uuid: row.parsed("uuid")?,
        account: row.parsed("account_uuid")?,
        name: row.text("name")?,
        description: row.text_or_null("description")?,
        timing,
        created_ms: row.int("created_ms")?,
        last_op_ms: row.int("last_op_ms")?,
    })
}

pub(super) fn group(row: &impl Fields) -> Result<JobGroup> {
    let row = RowOf::new(row, "scheduler_job_group", "uuid");
    let job_type = row.text_or_null("job_type")?;
    let job_type = job_type
        .map(|name| JobType::from_name(&name).ok_or_else(|| row.corrupt("job_type")))
        .transpose()?;
    Ok(JobGroup {
        uuid: row.parsed("uuid")?,
        account: row.parsed("account_uuid")?,
        name: row.text("name")?,
        description: row.text_or_null("description")?,
        job_type,
        enabled: row.flag("enabled")?,
        created_ms: row.int("created_ms")?,
        last_op_ms: row.int("last_op_ms")?,
    })
}

pub(super) fn binding(row: &impl Fields) -> Result<Binding> {
    let row = RowOf::new(row, "scheduler_binding", "trigger_uuid");
    let target = match row.text("target_kind")?.as_str() {
        "job" => Target::Job(row.parsed("target_uuid")?),
        "group" => Target::Group(row.parsed("target_uuid")?),
        _ => return Err(row.corrupt("target_kind")),
    };
    Ok(Binding {
        trigger: row.parsed("trigger_uuid")?,
        target,
        anchor_ms: row.int("anchor_ms")?,
        next_fire_ms: row.int_or_null("next_fire_ms")?,
        moved_ms: row.int("moved_ms")?,
        generation: row.int("generation")?,
    })
}

/// The trigger of a binding, as text: it can be told also where nothing else of the row can be read.
pub(super) fn key_of_binding(row: &impl Fields) -> Result<String> {
    RowOf::new(row, "scheduler_binding", "trigger_uuid").text("trigger_uuid")
}

pub(super) fn key_of_trigger(row: &impl Fields) -> Result<String> {
    RowOf::new(row, "scheduler_trigger", "uuid").text("uuid")
}

pub(super) fn note(row: &impl Fields) -> Result<String> {
    RowOf::new(row, "setting", "name").text("value")
}

pub(super) fn due(row: &impl Fields) -> Result<DueFire> {
    Ok(DueFire { binding: binding(row)?, trigger: trigger(row)? })
}

pub(super) fn member(row: &impl Fields) -> Result<(JobGroupUuid, ScheduledJobUuid, i64)> {
    let row = RowOf::new(row, "scheduler_group_job", "group_uuid");
    Ok((row.parsed("group_uuid")?, row.parsed("job_uuid")?, row.int("created_ms")?))
}

pub(super) fn run_id(row: &impl Fields) -> Result<i64> {
    RowOf::new(row, "scheduler_history", "id").int("id")
}

pub(super) fn open_run(row: &impl Fields) -> Result<OpenRun> {
    let row = RowOf::new(row, "scheduler_history", "id");
    Ok(OpenRun { id: row.int("id")?, lease_until_ms: row.int("lease_until_ms")? })
}

pub(super) fn run(row: &impl Fields) -> Result<RunRecord> {
    let row = RowOf::new(row, "scheduler_history", "fire_uuid");
    let ended_ms = row.int_or_null("ended_ms")?;
    Ok(RunRecord {
        id: row.int("id")?,
        account: row.parsed("account_uuid")?,
        trigger: row.parsed_or_null("trigger_uuid")?,
        job: row.parsed("job_uuid")?,
        group: row.parsed_or_null("group_uuid")?,
        job_type: row.named("job_type", JobType::from_name)?,
        target: row.parsed_or_null("target_uuid")?,
        fire_ms: row.int("fire_ms")?,
        fire: row.parsed("fire_uuid")?,
        request: row.text("request")?,
        result: row.text_or_null("result")?,
        success: ended_ms.map(|_| row.flag("success")).transpose()?,
        node: row.parsed("node_uuid")?,
        started_ms: row.int("started_ms")?,
        ended_ms,
    })
}
