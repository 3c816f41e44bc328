//! The record of a long job: the one thing a user watches, suspends, resumes and cancels.

use super::{
    clock::EpochMs,
    ids::{AccountUuid, ApiId, ImageUuid, JobUuid, NodeUuid, UploadUuid},
    job_state::JobState,
};

/// The one job type that is offered: ZStack's message for adding an image.
pub const ADD_IMAGE_JOB: &str = "APIAddImageMsg";

/// What a running job is doing; each has a percentage of its own, so that nothing hides behind "100 %".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Bytes arrive.
    Receiving,
    /// The bytes are in partial uploads and are put together.
    Joining,
    /// All bytes are here; the digests are brought to the end and compared.
    Verifying,
    /// The content is looked at.
    Inspecting,
    /// The bytes become an image.
    Publishing,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 5] =
        [Self::Receiving, Self::Joining, Self::Verifying, Self::Inspecting, Self::Publishing];

    /// Its name in rows and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Joining => "joining",
            Self::Verifying => "verifying",
            Self::Inspecting => "inspecting",
            Self::Publishing => "publishing",
        }
    }

    /// The stage with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }
}

/// What `jobResult` shows. The upload URL is a secret and in no row: it is rendered when the job is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobResult {
    /// The AddImage event, rendered from the image's record.
    Event,
    /// What interrupted or ended the job.
    Error {
        /// What happened, what is kept, what to do next.
        detail: String,
        /// The root cause.
        cause: String,
        /// Who is to blame: words are for people, and nothing decides on them.
        reason: Reason,
    },
}

/// What a job was interrupted or ended by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The content: the inspection refused it, at its own stage or while bytes still came.
    Content,
    /// The digests: they are not those that were declared.
    Digests,
    /// Anything but the file: silence, the user, the storage, this service.
    NotTheFile,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Content, Self::Digests, Self::NotTheFile];
}

/// A long job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongJob {
    /// Its identifier.
    pub uuid: JobUuid,
    /// Who owns it; for all others it does not exist.
    pub account: AccountUuid,
    /// Name, at most 255 characters; the job type if none was given.
    pub name: String,
    /// Description, at most 2,048 characters.
    pub description: Option<String>,
    /// The API call that (re)started it; the key of its progress.
    pub api_id: ApiId,
    /// Always [`ADD_IMAGE_JOB`].
    pub job_name: String,
    /// The request as JSON, with defaults filled in, the image's uuid set and no session in it.
    pub job_data: String,
    /// State and, where suspended, why.
    pub state: JobState,
    /// Grows with every change of state or stage; the compare-and-swap key.
    pub generation: i64,
    /// What it is doing.
    pub stage: Stage,
    /// Percent of the stage, 0 to 100.
    pub stage_percent: i64,
    /// In words, what it waits for, if it does, as last written down; [`Self::waits_for`] says whether it still holds.
    pub waits_for: Option<String>,
    /// What it led to so far.
    pub result: Option<JobResult>,
    /// The image it makes.
    pub image: ImageUuid,
    /// The upload of its current run; those of earlier runs are none of its business any more.
    pub upload: UploadUuid,
    /// The process that runs it.
    pub node: Option<NodeUuid>,
    /// When it was submitted.
    pub created_ms: EpochMs,
    /// When it last changed.
    pub last_op_ms: EpochMs,
    /// When it ended.
    pub finished_ms: Option<EpochMs>,
}

/// One run of a job. Whoever speaks for a run names its upload as well: news about a run that is over must not reach the run that
/// took its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Run {
    /// The job.
    pub job: JobUuid,
    /// The upload of this run.
    pub upload: UploadUuid,
}

impl LongJob {
    /// The current run.
    pub const fn run(&self) -> Run {
        Run { job: self.uuid, upload: self.upload }
    }

    /// In words, what it waits for in `state`, its newest. Bytes do not rewrite the row of a running job: what that was begun with
    /// holds as long as nothing is stored, anywhere in the upload, and not where nobody can say how much is.
    pub fn waits_for(&self, state: JobState, stored_bytes: Option<u64>) -> Option<&str> {
        let holds = match state {
            JobState::Running => stored_bytes == Some(0),
            JobState::Waiting | JobState::Suspended(_) | JobState::Canceling => true,
            JobState::Succeeded | JobState::Failed | JobState::Canceled => false,
        };
        self.waits_for.as_deref().filter(|_| holds)
    }

    /// Whole seconds from submission to the end, at least 1 as ZStack has it; `None` while it is not final.
    pub fn execute_secs(&self) -> Option<i64> {
        self.finished_ms.map(|finished| ((finished - self.created_ms) / 1000).max(1))
    }
}

/// The newest progress of an API call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskProgress {
    /// The call.
    pub api_id: ApiId,
    /// ZStack's words for the stage: `uploading image`, `adding to image store`.
    pub task_name: String,
    /// 0 to 100.
    pub percent: i64,
    /// When it was reported.
    pub time_ms: EpochMs,
}
