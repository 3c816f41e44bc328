//! Long jobs and their progress.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::{image::ImageInventory, schema::Element, time::timestamp};
use crate::domain::{
    job::{JobResult, LongJob, TaskProgress},
    job_state::{JobState, SuspendReason},
};
use crate::wire::reason::ReasonName;

/// A long job as ZStack shows it. The fields from `suspendReason` on are ours; the SDKs pass over them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LongJobInventory {
    /// Its identifier.
    pub uuid: String,
    /// Its name.
    pub name: String,
    /// Its description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The call that (re)started it; key of its progress.
    pub api_id: String,
    /// `APIAddImageMsg`.
    pub job_name: String,
    /// The request, JSON in a string.
    pub job_data: String,
    /// What it led to so far, JSON in a string. Clients read the upload URL from it while the job is Running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_result: Option<String>,
    /// Waiting, Running, Suspended, Canceling, Succeeded, Failed, Canceled.
    pub state: String,
    /// The image that it makes.
    pub target_resource_uuid: String,
    /// The process that runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub management_node_uuid: Option<String>,
    /// When it was submitted.
    pub create_date: String,
    /// When it last changed.
    pub last_op_date: String,
    /// Whole seconds that it took, at least 1; absent until it is final.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execute_time: Option<i64>,
    /// Why it is Suspended: idle, user, restart, no_space, io_error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend_reason: Option<String>,
    /// What it is doing: receiving, joining, verifying, inspecting, publishing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Percent of the stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage_percent: Option<i64>,
    /// In words, what it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
}

impl Element for LongJobInventory {
    const CLASS: &'static str = "org.zstack.header.longjob.LongJobInventory";
    const FIELDS: &'static [&'static str] = &[
        "uuid",
        "name",
        "description",
        "apiId",
        "jobName",
        "jobData",
        "jobResult",
        "state",
        "targetResourceUuid",
        "managementNodeUuid",
        "createDate",
        "lastOpDate",
        "executeTime",
        "suspendReason",
        "stage",
        "stagePercent",
        "waitsFor",
    ];
}

/// The AddImage event: what `jobResult` holds while an upload runs and when it has succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AddImageEvent<'a> {
    api_id: String,
    success: bool,
    inventory: std::borrow::Cow<'a, ImageInventory>,
}

/// What `jobResult` holds once something went wrong: `detail` in the singular, and no code.
#[derive(Debug, Serialize)]
struct JobFailure<'a> {
    detail: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    cause: &'a str,
    /// Ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<ReasonName>,
}

/// Renders a job; `image` is the one it makes, with its upload URL in it, if there is (still) one; `stored_bytes` is how much of its
/// upload is stored, if there is one.
pub fn job_inventory(
    job: &LongJob,
    image: Option<&ImageInventory>,
    stored_bytes: Option<u64>,
    zone: &TimeZone,
) -> LongJobInventory {
    let is_final = job.state.is_final();
    LongJobInventory {
        uuid: job.uuid.to_string(),
        name: job.name.clone(),
        description: job.description.clone(),
        api_id: job.api_id.to_string(),
        job_name: job.job_name.clone(),
        job_data: job.job_data.clone(),
        job_result: job_result(job, image),
        state: job.state.name().to_owned(),
        target_resource_uuid: job.image.to_string(),
        management_node_uuid: job.node.map(|node| node.to_string()),
        create_date: timestamp(job.created_ms, zone),
        last_op_date: timestamp(job.last_op_ms, zone),
        execute_time: job.execute_secs(),
        suspend_reason: job.state.suspend_reason().map(SuspendReason::name).map(str::to_owned),
        stage: (!is_final).then(|| job.stage.name().to_owned()),
        stage_percent: (!is_final).then_some(job.stage_percent),
        waits_for: job.waits_for(job.state, stored_bytes).map(str::to_owned),
    }
}

/// zstack.md 2.4: the event while it runs and after success, the failure otherwise.
fn job_result(job: &LongJob, image: Option<&ImageInventory>) -> Option<String> {
    match (&job.result, job.state) {
        (Some(JobResult::Error { detail, cause, reason }), _) => {
            let reason = ReasonName::of(*reason);
            serde_json::to_string(&JobFailure { detail, cause, reason }).ok()
        }
        (Some(JobResult::Event), _) | (None, JobState::Running) => match image {
            Some(image) => event(job, image),
            // The image was expunged since: ZStack's literal for a job without a result object.
            None => (job.state == JobState::Succeeded).then(|| "Succeeded".to_owned()),
        },
        (
            None,
            JobState::Waiting
            | JobState::Suspended(_)
            | JobState::Canceling
            | JobState::Succeeded
            | JobState::Failed
            | JobState::Canceled,
        ) => None,
    }
}

fn event(job: &LongJob, image: &ImageInventory) -> Option<String> {
    let event = AddImageEvent {
        api_id: job.api_id.to_string(),
        success: true,
        inventory: std::borrow::Cow::Borrowed(image),
    };
    serde_json::to_string(&event).ok()
}

/// Progress as ZStack shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskProgressInventory {
    /// The call.
    pub task_uuid: String,
    /// `uploading image`, `adding to image store`.
    pub task_name: String,
    /// `Progress`.
    #[serde(rename = "type")]
    pub kind: String,
    /// 0 to 100, as a string.
    pub content: String,
    /// Epoch milliseconds, unlike every other time.
    pub time: i64,
}

impl Element for TaskProgressInventory {
    const CLASS: &'static str = "org.zstack.header.core.progress.TaskProgressInventory";
    const FIELDS: &'static [&'static str] = &["taskUuid", "taskName", "type", "content", "time"];
}

/// Renders progress.
pub fn progress_inventory(progress: &TaskProgress) -> TaskProgressInventory {
    TaskProgressInventory {
        task_uuid: progress.api_id.to_string(),
        task_name: progress.task_name.clone(),
        kind: "Progress".to_owned(),
        content: progress.percent.to_string(),
        time: progress.time_ms,
    }
}
