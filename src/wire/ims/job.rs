//! A long job as IMS shows it.
//!
//! | state of the long job | `status` | `current_task` | `process_percent` |
//! |---|---|---|---|
//! | Waiting | `INIT` | `UploadImageTask:Waiting` | offset / length |
//! | Running | `RUNNING` | `UploadImageTask:Receiving`, `...:Joining`, `...:Verifying`, `...:Inspecting` or `...:Publishing` | offset / length |
//! | Suspended | `RUNNING` | `UploadImageTask:Suspended(<reason>)` | offset / length |
//! | Canceling | `RUNNING` | `UploadImageTask:Canceling` | offset / length |
//! | Succeeded | `SUCCESS` | `UploadImageTask:Succeeded` | 1 |
//! | Failed, Canceled | `FAIL` | `UploadImageTask:Failed`, `...:Canceled` | null: nothing is stored |
//!
//! # Guarantees
//! * `status` is one of four words. IMS has none for a job that is Suspended; `RUNNING` is the one at which no client stops.
//! * `process_percent` is at most 1, and 1 only when every byte is stored; `null` while the length is not known.
//! * A time that was not written down is `null`, never a guess. Times are UTC, with milliseconds.
//! * The sub-jobs are the four stages of an upload, always all of them and in order. A stage that was never begun because the job
//!   ended before has failed, in words; only the stage that the job came to nothing by has its reason and its code. Their ids are the job's with `-receive`, `-verify`, `-inspect` or `-publish` behind it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Code;
use crate::domain::{
    clock::EpochMs,
    image::{ImageRecord, MediaType},
    job::{JobResult, LongJob, Reason, Stage},
    job_state::JobState,
};

/// The name of what a job does, before the colon of `current_task`.
pub const TASK: &str = "UploadImageTask";

/// The four words of IMS for how a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Recorded, not begun.
    Init,
    /// On its way, or waiting to go on.
    Running,
    /// The image is there.
    Success,
    /// It came to nothing.
    Fail,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Init, Self::Running, Self::Success, Self::Fail];

    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Init => "INIT",
            Self::Running => "RUNNING",
            Self::Success => "SUCCESS",
            Self::Fail => "FAIL",
        }
    }

    /// The status of this word, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name().eq_ignore_ascii_case(name))
    }

    /// ZStack's names of the states that are shown as this.
    pub fn states(self) -> Vec<&'static str> {
        let shown = JobState::ALL.into_iter().filter(|state| Self::from(*state) == self);
        let mut names: Vec<_> = shown.map(JobState::name).collect();
        names.dedup();
        names
    }
}

impl From<JobState> for Status {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Waiting => Self::Init,
            JobState::Running | JobState::Suspended(_) | JobState::Canceling => Self::Running,
            JobState::Succeeded => Self::Success,
            JobState::Failed | JobState::Canceled => Self::Fail,
        }
    }
}

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// How it stands.
    pub status: Status,
    /// Its id: 32 hex digits.
    pub job_id: String,
    /// `imsImportImageJob`, or `imsImportDataImageJob` for a data disk.
    pub job_type: String,
    /// When its run began.
    pub begin_time: Option<String>,
    /// When it ended.
    pub end_time: Option<String>,
    /// Why it failed, as one of IMS's codes.
    pub error_code: Option<String>,
    /// Why it failed, in words.
    pub fail_reason: Option<String>,
    /// What it is about, and how far it is.
    pub entities: Entities,
}

/// What a job is about. `job_name`, `upload_url`, `upload_offset`, `upload_length` and `waits_for` are ours; the SDKs pass over them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Entities {
    /// The image; `null` when there is none any more.
    pub image_id: Option<String>,
    /// Its name.
    pub image_name: Option<String>,
    /// Name of the job: what a list looks for by `name`.
    #[serde(default)]
    pub job_name: String,
    /// 0 to 1: bytes that are stored without a gap, of all.
    pub process_percent: Option<f64>,
    /// What is being done.
    pub current_task: String,
    /// Where the bytes go, while it takes any. A secret: whoever has it may send them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_url: Option<String>,
    /// First missing byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_offset: Option<u64>,
    /// Length of the whole, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_length: Option<u64>,
    /// In words, what it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// Ids of the stages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_jobs_list: Option<Vec<String>>,
    /// The stages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_jobs_result: Option<Vec<SubJob>>,
}

/// One stage of an upload, as a job of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubJob {
    /// How it stands.
    pub status: Status,
    /// The job's id and the stage.
    pub job_id: String,
    /// `receiveImageJob`, `verifyImageJob`, `inspectImageJob`, `publishImageJob`: ours.
    pub job_type: String,
    /// When it began, if that was written down.
    pub begin_time: Option<String>,
    /// When it ended, if that was written down.
    pub end_time: Option<String>,
    /// As in the job, at the stage at which it failed.
    pub error_code: Option<String>,
    /// Why it failed, in words.
    pub fail_reason: Option<String>,
    /// What it is about.
    pub entities: SubEntities,
}

/// What a stage is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubEntities {
    /// The image.
    pub image_id: Option<String>,
    /// Its name.
    pub image_name: Option<String>,
}

/// Jobs that match: our own list, IMS has none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JobList {
    /// The newest first; without the stages and the upload URL, their progress as of the last time that it was written down.
    pub jobs: Vec<Job>,
    /// Jobs that match, without limit and offset.
    pub total: u64,
}

/// How much of an upload is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// First missing byte; `None` where nobody can say.
    pub offset: Option<u64>,
    /// Bytes that are stored, with gaps between them or without; `None` where nobody can say.
    pub stored_bytes: Option<u64>,
    /// Length of the whole.
    pub length: Option<u64>,
    /// When the run began.
    pub began_ms: EpochMs,
    /// When the last byte came.
    pub last_byte_ms: Option<EpochMs>,
}

/// The answer to a call that makes a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// The job.
    pub job_id: String,
}

/// What a job is rendered from.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// The job.
    pub job: &'a LongJob,
    /// Its image, while there is one.
    pub image: Option<&'a ImageRecord>,
    /// What the image was to be called, from the request.
    pub asked_name: Option<&'a str>,
    /// What the image was to be used for.
    pub media: MediaType,
    /// Its bytes, while there are any.
    pub received: Option<Received>,
    /// Where they go.
    pub upload_url: Option<&'a str>,
}

/// Renders a job with its stages.
pub fn job(shown: Shown<'_>) -> Job {
    let mut job = job_in_list(shown);
    let stages: Vec<_> = STAGES.into_iter().map(|stage| sub_job(shown, stage)).collect();
    let is_final = shown.job.state.is_final();
    let entities = &mut job.entities;
    entities.upload_url = shown.upload_url.filter(|_| !is_final).map(str::to_owned);
    entities.sub_jobs_list = Some(stages.iter().map(|stage| stage.job_id.clone()).collect());
    entities.sub_jobs_result = Some(stages);
    job
}

/// Renders a job without its stages and without its upload URL.
pub fn job_in_list(shown: Shown<'_>) -> Job {
    let Shown { job, image, media, received, .. } = shown;
    let failure = Failure::of(job);
    let job_type = match media {
        MediaType::RootVolumeTemplate | MediaType::Iso => "imsImportImageJob",
        MediaType::DataVolumeTemplate => "imsImportDataImageJob",
    };
    // Of a job that ran again this is later than its creation.
    let began_ms = received.map_or(job.created_ms, |received| received.began_ms);
    let received = received.filter(|_| !job.state.is_final());
    let stored_bytes = received.and_then(|received| received.stored_bytes);
    Job {
        status: job.state.into(),
        job_id: job.uuid.to_string(),
        job_type: job_type.to_owned(),
        begin_time: time(began_ms),
        end_time: job.finished_ms.and_then(time),
        error_code: failure.as_ref().map(|failure| failure.code.code().to_owned()),
        fail_reason: failure.map(|failure| failure.words),
        entities: Entities {
            image_id: image.map(|image| image.uuid.to_string()),
            image_name: name(shown),
            job_name: job.name.clone(),
            process_percent: percent(job.state, received),
            current_task: current_task(job),
            upload_offset: received.and_then(|received| received.offset),
            upload_length: received.and_then(|received| received.length),
            waits_for: job.waits_for(job.state, stored_bytes).map(str::to_owned),
            ..Entities::default()
        },
    }
}

/// The stages that are sub-jobs.
const STAGES: [Stage; 4] =
    [Stage::Receiving, Stage::Verifying, Stage::Inspecting, Stage::Publishing];

/// What a stage is to IMS: putting parts together is how the bytes of some images come.
const fn seen(stage: Stage) -> Stage {
    match stage {
        Stage::Receiving | Stage::Joining => Stage::Receiving,
        Stage::Verifying | Stage::Inspecting | Stage::Publishing => stage,
    }
}

/// Renders one stage of a job.
pub fn sub_job(shown: Shown<'_>, stage: Stage) -> SubJob {
    let Shown { job, image, received, .. } = shown;
    let (status, failure) = stands(job, stage);
    let is_there = seen(job.stage) == stage || failed_at(job) == Some(stage);
    let is_over = matches!(status, Status::Success | Status::Fail);
    // Written down are the beginning and the end of a run, and its last byte; between them nothing is.
    let begin = received.filter(|_| stage == Stage::Receiving).map(|received| received.began_ms);
    let end = match stage {
        Stage::Receiving if status == Status::Success => {
            received.and_then(|received| received.last_byte_ms)
        }
        Stage::Publishing if status == Status::Success => job.finished_ms,
        Stage::Receiving
        | Stage::Joining
        | Stage::Verifying
        | Stage::Inspecting
        | Stage::Publishing => job.finished_ms.filter(|_| is_there && status == Status::Fail),
    };
    SubJob {
        status,
        job_id: format!("{}-{}", job.uuid, short_name(stage)),
        job_type: format!("{}ImageJob", short_name(stage)),
        begin_time: begin.and_then(time),
        end_time: end.filter(|_| is_over).and_then(time),
        error_code: failure.as_ref().map(|failure| failure.code.code().to_owned()),
        fail_reason: failure.map(|failure| failure.words),
        entities: SubEntities {
            image_id: image.map(|image| image.uuid.to_string()),
            image_name: name(shown),
        },
    }
}

/// How one stage of a job stands, and why it failed.
fn stands(job: &LongJob, stage: Stage) -> (Status, Option<Failure>) {
    let order = |stage: Stage| STAGES.iter().position(|other| *other == stage);
    let place = order(stage).cmp(&order(seen(job.stage)));
    if job.state == JobState::Succeeded || place.is_lt() {
        return (Status::Success, None);
    }
    let Some(failure) = Failure::of(job) else {
        let status = if place.is_eq() { job.state.into() } else { Status::Init };
        return (status, None);
    };
    // The others are not to blame, nor is the file for them.
    let told = |words: &str| Failure { code: Code::Unknown, words: words.to_owned() };
    let failure = match failed_at(job) {
        Some(at) if at == stage => failure,
        Some(_) if place.is_eq() => {
            told("it was cut short: the content was refused before its end")
        }
        Some(_) | None => told("it was not begun: the job ended before"),
    };
    (Status::Fail, Some(failure))
}

/// The stage whose work a failed job came to nothing by. The inspection looks at what is there from the first bytes on, while the job
/// is at an earlier stage.
fn failed_at(job: &LongJob) -> Option<Stage> {
    if Status::from(job.state) != Status::Fail {
        return None;
    }
    Some(match (&job.result, seen(job.stage)) {
        (
            Some(JobResult::Error { reason: Reason::Content, .. }),
            Stage::Receiving | Stage::Verifying | Stage::Inspecting,
        ) => Stage::Inspecting,
        (_, stage) => stage,
    })
}

/// The id of a job, and the stage if one of its sub-jobs is meant.
pub fn split_job_id(id: &str) -> (&str, Option<Stage>) {
    let meant = STAGES.into_iter().find_map(|stage| {
        let job = id.strip_suffix(short_name(stage))?.strip_suffix('-')?;
        Some((job, Some(stage)))
    });
    meant.unwrap_or((id, None))
}

const fn short_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Receiving | Stage::Joining => "receive",
        Stage::Verifying => "verify",
        Stage::Inspecting => "inspect",
        Stage::Publishing => "publish",
    }
}

fn name(shown: Shown<'_>) -> Option<String> {
    let name = shown.image.map(|image| image.name.as_str()).or(shown.asked_name);
    name.map(str::to_owned)
}

fn current_task(job: &LongJob) -> String {
    let what = match (job.state, job.stage) {
        (JobState::Running, Stage::Receiving) => "Receiving".to_owned(),
        (JobState::Running, Stage::Joining) => "Joining".to_owned(),
        (JobState::Running, Stage::Verifying) => "Verifying".to_owned(),
        (JobState::Running, Stage::Inspecting) => "Inspecting".to_owned(),
        (JobState::Running, Stage::Publishing) => "Publishing".to_owned(),
        (
            state @ (JobState::Waiting
            | JobState::Suspended(_)
            | JobState::Canceling
            | JobState::Succeeded
            | JobState::Failed
            | JobState::Canceled),
            _,
        ) => state.to_string(),
    };
    format!("{TASK}:{what}")
}

/// In steps of a ten-thousandth, downwards: what is not whole is never shown as 1.
fn percent(state: JobState, received: Option<Received>) -> Option<f64> {
    const STEPS: u32 = 10_000;
    match state {
        JobState::Succeeded => return Some(1.0),
        JobState::Failed | JobState::Canceled => return None,
        JobState::Waiting | JobState::Running | JobState::Suspended(_) | JobState::Canceling => {}
    }
    let Received { offset, length, .. } = received?;
    let length = length.filter(|length| *length > 0)?;
    let steps = u128::from(offset?.min(length)) * u128::from(STEPS) / u128::from(length);
    Some(f64::from(u32::try_from(steps).ok()?) / f64::from(STEPS))
}

/// Why a job failed.
struct Failure {
    code: Code,
    words: String,
}

impl Failure {
    /// `None` for a job that has not failed.
    fn of(job: &LongJob) -> Option<Self> {
        if Status::from(job.state) != Status::Fail {
            return None;
        }
        let Some(JobResult::Error { detail, reason, .. }) = &job.result else {
            return Some(Self { code: Code::Unknown, words: format!("the job is {}", job.state) });
        };
        let code = match reason {
            Reason::Content | Reason::Digests => Code::File,
            Reason::NotTheFile => Code::Unknown,
        };
        Some(Self { code, words: detail.clone() })
    }
}

/// `2024-11-06T06:19:43.195Z`; `None` outside the years that a calendar has.
fn time(time_ms: EpochMs) -> Option<String> {
    let time = Timestamp::from_millisecond(time_ms).ok()?;
    Some(format!("{time:.3}"))
}

#[cfg(test)]
mod tests;
