//! What is scheduled, and what its runs led to (zstack.md 5).

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::{schema::Element, time::timestamp};
use crate::domain::schedule::{JobGroup, RunRecord, ScheduledJob, Timing, Trigger};

/// A job of the scheduler as ZStack shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchedulerJobInventory {
    /// Its identifier.
    pub uuid: String,
    /// The image that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_resource_uuid: Option<String>,
    /// Its name.
    pub name: String,
    /// Its description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `Enabled` or `Disabled`.
    pub state: String,
    /// When it was made.
    pub create_date: String,
    /// When it was last changed.
    pub last_op_date: String,
    /// Its parameters, JSON in a string.
    pub job_data: String,
    /// Its type.
    pub job_class_name: String,
    /// What fires it.
    pub triggers_uuid: Vec<String>,
    /// The groups that it is in.
    pub scheduler_job_group_uuids: Vec<String>,
}

impl Element for SchedulerJobInventory {
    const CLASS: &'static str = "org.zstack.header.scheduler.SchedulerJobInventory";
    const FIELDS: &'static [&'static str] = &[
        "uuid",
        "targetResourceUuid",
        "name",
        "description",
        "state",
        "createDate",
        "lastOpDate",
        "jobData",
        "jobClassName",
        "triggersUuid",
        "schedulerJobGroupUuids",
    ];
}

/// A trigger as ZStack shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchedulerTriggerInventory {
    /// Its identifier.
    pub uuid: String,
    /// Its name.
    pub name: String,
    /// Its description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The expression of a cron trigger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// `simple` or `cron`.
    pub scheduler_type: String,
    /// Seconds between two fires of a simple trigger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler_interval: Option<i64>,
    /// Fires of a simple trigger in all; 0 for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat_count: Option<i64>,
    /// When it begins; absent if that is when it is bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// The last fire, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_time: Option<String>,
    /// When it was made.
    pub create_date: String,
    /// When it was last changed.
    pub last_op_date: String,
    /// Jobs that it fires.
    pub jobs_uuid: Vec<String>,
    /// Groups that it fires.
    pub job_groups_uuid: Vec<String>,
}

impl Element for SchedulerTriggerInventory {
    const CLASS: &'static str = "org.zstack.header.scheduler.SchedulerTriggerInventory";
    const FIELDS: &'static [&'static str] = &[
        "uuid",
        "name",
        "description",
        "cron",
        "schedulerType",
        "schedulerInterval",
        "repeatCount",
        "startTime",
        "stopTime",
        "createDate",
        "lastOpDate",
        "jobsUuid",
        "jobGroupsUuid",
    ];
}

/// A group of jobs as ZStack shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchedulerJobGroupInventory {
    /// Its identifier.
    pub uuid: String,
    /// Its name.
    pub name: String,
    /// Its description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `Enabled` or `Disabled`.
    pub state: String,
    /// The type of its jobs, if they have to be of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_type: Option<String>,
    /// When it was made.
    pub create_date: String,
    /// When it was last changed.
    pub last_op_date: String,
    /// What fires it.
    pub triggers_uuid: Vec<String>,
    /// Its jobs.
    pub jobs_uuid: Vec<String>,
}

impl Element for SchedulerJobGroupInventory {
    const CLASS: &'static str = "org.zstack.header.scheduler.SchedulerJobGroupInventory";
    const FIELDS: &'static [&'static str] = &[
        "uuid",
        "name",
        "description",
        "state",
        "jobType",
        "createDate",
        "lastOpDate",
        "triggersUuid",
        "jobsUuid",
    ];
}

/// A job in a group as ZStack shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchedulerJobGroupJobRefInventory {
    /// The group.
    pub scheduler_job_group_uuid: String,
    /// The job.
    pub scheduler_job_uuid: String,
    /// Since when.
    pub create_date: String,
    /// The same.
    pub last_op_date: String,
}

impl Element for SchedulerJobGroupJobRefInventory {
    const CLASS: &'static str = "org.zstack.header.scheduler.SchedulerJobGroupJobRefInventory";
    const FIELDS: &'static [&'static str] =
        &["schedulerJobGroupUuid", "schedulerJobUuid", "createDate", "lastOpDate"];
}

/// A run as ZStack shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchedulerJobHistoryInventory {
    /// Grows with every run.
    pub id: i64,
    /// What fired it; absent where somebody ran the job by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_uuid: Option<String>,
    /// The job.
    pub scheduler_job_uuid: String,
    /// The group as part of which it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler_job_group_uuid: Option<String>,
    /// The type of the job.
    pub job_type: String,
    /// When it began.
    pub start_time: String,
    /// Whole seconds that it took; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execute_time: Option<i64>,
    /// The image that it was about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_resource_uuid: Option<String>,
    /// What was asked, JSON in a string.
    pub request_dump: String,
    /// What it led to, JSON in a string; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_dump: Option<String>,
    /// Whether it did what it was to do; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success: Option<bool>,
    /// This one run.
    pub fire_instance_id: String,
}

impl Element for SchedulerJobHistoryInventory {
    const CLASS: &'static str = "org.zstack.header.scheduler.SchedulerJobHistoryInventory";
    const FIELDS: &'static [&'static str] = &[
        "id",
        "triggerUuid",
        "schedulerJobUuid",
        "schedulerJobGroupUuid",
        "jobType",
        "startTime",
        "executeTime",
        "targetResourceUuid",
        "requestDump",
        "resultDump",
        "success",
        "fireInstanceId",
    ];
}

/// Reply of GetSchedulerExecutionReport: a number for each piece of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionReport {
    /// Always `true`; it comes along in the original.
    pub success: bool,
    /// Runs that did what they were to do.
    pub success_records: Vec<u64>,
    /// Runs that did not.
    pub failure_records: Vec<u64>,
    /// None: a run of ours succeeds or fails.
    pub partial_success_records: Vec<u64>,
    /// Runs that are at work.
    pub waiting_records: Vec<u64>,
}

/// Identifiers as they are shown.
fn uuids<T: ToString>(uuids: &[T]) -> Vec<String> {
    uuids.iter().map(ToString::to_string).collect()
}

fn state(enabled: bool) -> String {
    if enabled { "Enabled" } else { "Disabled" }.to_owned()
}

/// Renders a job with its triggers and groups.
pub fn scheduler_job_inventory<T: ToString, G: ToString>(
    job: &ScheduledJob,
    triggers: &[T],
    groups: &[G],
    zone: &TimeZone,
) -> SchedulerJobInventory {
    SchedulerJobInventory {
        uuid: job.uuid.to_string(),
        target_resource_uuid: job.target.map(|target| target.to_string()),
        name: job.name.clone(),
        description: job.description.clone(),
        state: state(job.enabled),
        create_date: timestamp(job.created_ms, zone),
        last_op_date: timestamp(job.last_op_ms, zone),
        job_data: job.parameters.to_json(),
        job_class_name: job.job_type.name().to_owned(),
        triggers_uuid: uuids(triggers),
        scheduler_job_group_uuids: uuids(groups),
    }
}

/// Renders a trigger with what it fires.
pub fn scheduler_trigger_inventory<J: ToString, G: ToString>(
    trigger: &Trigger,
    jobs: &[J],
    groups: &[G],
    zone: &TimeZone,
) -> SchedulerTriggerInventory {
    let (kind, cron, secs, repeats) = match &trigger.timing {
        Timing::Simple { interval_secs, repeat_count, .. } => {
            ("simple", None, Some(*interval_secs), Some(*repeat_count))
        }
        Timing::Cron { cron, .. } => ("cron", Some(cron.as_str().to_owned()), None, None),
    };
    let date = |time_ms| timestamp(time_ms, zone);
    SchedulerTriggerInventory {
        uuid: trigger.uuid.to_string(),
        name: trigger.name.clone(),
        description: trigger.description.clone(),
        cron,
        scheduler_type: kind.to_owned(),
        scheduler_interval: secs,
        repeat_count: repeats,
        start_time: trigger.timing.start_ms().map(date),
        stop_time: trigger.timing.stop_ms().map(date),
        create_date: date(trigger.created_ms),
        last_op_date: date(trigger.last_op_ms),
        jobs_uuid: uuids(jobs),
        job_groups_uuid: uuids(groups),
    }
}

/// Renders a group with its jobs and triggers.
pub fn scheduler_job_group_inventory<J: ToString, T: ToString>(
    group: &JobGroup,
    jobs: &[J],
    triggers: &[T],
    zone: &TimeZone,
) -> SchedulerJobGroupInventory {
    SchedulerJobGroupInventory {
        uuid: group.uuid.to_string(),
        name: group.name.clone(),
        description: group.description.clone(),
        state: state(group.enabled),
        job_type: group.job_type.map(|kind| kind.name().to_owned()),
        create_date: timestamp(group.created_ms, zone),
        last_op_date: timestamp(group.last_op_ms, zone),
        triggers_uuid: uuids(triggers),
        jobs_uuid: uuids(jobs),
    }
}

/// Renders a run.
pub fn scheduler_history_inventory(
    run: &RunRecord,
    zone: &TimeZone,
) -> SchedulerJobHistoryInventory {
    SchedulerJobHistoryInventory {
        id: run.id,
        trigger_uuid: run.trigger.map(|trigger| trigger.to_string()),
        scheduler_job_uuid: run.job.to_string(),
        scheduler_job_group_uuid: run.group.map(|group| group.to_string()),
        job_type: run.job_type.name().to_owned(),
        start_time: timestamp(run.started_ms, zone),
        execute_time: run.execute_secs(),
        target_resource_uuid: run.target.map(|target| target.to_string()),
        request_dump: run.request.clone(),
        result_dump: run.result.clone(),
        success: run.success,
        fire_instance_id: run.fire.to_string(),
    }
}
