//! Moving a job: the pure function decides, the database compares and swaps, a lost race decides anew.

use super::{JobError, Jobs};
use crate::{
    db::{Applied, ImageChange, MoveJob},
    domain::{
        account::{Caller, Scope},
        ids::{JobUuid, NodeUuid},
        image::ImageRecord,
        job::{JobResult, LongJob, Reason, Run, Stage},
        job_state::{JobEvent, JobState, Next},
        upload::UploadFate,
    },
    uploads::UploadError,
};

/// Times that a lost race is decided anew. Each loss means that somebody else has moved the job, so this is only reached under
/// a storm of calls on one job.
const ATTEMPTS_MAX: usize = 16;

/// A step that a job is to take.
#[derive(Debug, Clone)]
pub(super) struct Step {
    event: JobEvent,
    stage: Option<Stage>,
    waits_for: Option<String>,
    result: Option<JobResult>,
    cause: Option<String>,
    image: ImageChange,
    fate: Option<UploadFate>,
}

impl Step {
    /// The event alone: the stage is kept, nothing is waited for.
    pub(super) fn new(event: JobEvent) -> Self {
        Self {
            event,
            stage: None,
            waits_for: None,
            result: None,
            cause: None,
            image: ImageChange::Keep,
            fate: None,
        }
    }

    /// Goes to another stage, at 0 percent.
    pub(super) fn stage(self, stage: Stage) -> Self {
        Self { stage: Some(stage), ..self }
    }

    /// Says what the job waits for from now on.
    pub(super) fn waits_for(self, words: impl Into<String>) -> Self {
        Self { waits_for: Some(words.into()), ..self }
    }

    /// Sets the result.
    pub(super) fn result(self, result: JobResult) -> Self {
        Self { result: Some(result), ..self }
    }

    /// Says why, and by whom, for the job's history. Without it the result says so, or the event does.
    pub(super) fn because(self, words: impl Into<String>) -> Self {
        Self { cause: Some(words.into()), ..self }
    }

    fn cause(&self) -> String {
        match (&self.cause, &self.result) {
            (Some(cause), _) | (None, Some(JobResult::Error { cause, .. })) => cause.clone(),
            (None, Some(JobResult::Event) | None) => words(self.event).to_owned(),
        }
    }

    /// Replaces the image's record.
    pub(super) fn image(self, image: ImageRecord) -> Self {
        Self { image: ImageChange::Replace(Box::new(image)), ..self }
    }

    /// The bytes are gone, and the image's record with them.
    pub(super) fn without_bytes(self, fate: UploadFate) -> Self {
        Self { image: ImageChange::Remove, fate: Some(fate), ..self }
    }

    /// The bytes are the image.
    pub(super) fn published(self) -> Self {
        Self { fate: Some(UploadFate::Published), ..self }
    }
}

/// What a decision about a job came to.
#[derive(Debug, Clone)]
#[must_use]
pub(super) enum Moved {
    /// It moved: the job as it is now.
    Now(LongJob),
    /// It was right to leave it as it is.
    Unchanged(LongJob),
}

impl Moved {
    /// The job as it is now.
    pub(super) fn job(self) -> LongJob {
        match self {
            Self::Now(job) | Self::Unchanged(job) => job,
        }
    }
}

impl Jobs {
    /// Reads the job, lets `decide` choose a step (or refuse, or leave it), and applies it; a lost race reads and decides anew.
    pub(super) async fn move_job(
        &self,
        uuid: JobUuid,
        scope: Scope,
        decide: impl Fn(&LongJob) -> Result<Option<Step>, JobError>,
    ) -> Result<Moved, JobError> {
        for _ in 0..ATTEMPTS_MAX {
            let Some(job) = self.parts.db.job(uuid, scope).await? else {
                return Err(JobError::NotFound { uuid: uuid.to_string() });
            };
            let Some(step) = decide(&job)? else { return Ok(Moved::Unchanged(job)) };
            let next = match job.state.on(step.event) {
                Ok(Next::To(next)) => next,
                Ok(Next::Stay) if step.stage.is_none_or(|stage| stage == job.stage) => {
                    return Ok(Moved::Unchanged(job));
                }
                Ok(Next::Stay) => job.state,
                Err(illegal) => return Err(refusal(&job, illegal.event)),
            };
            let now_ms = self.parts.clock.now_ms();
            let change = change(&job, next, step, self.parts.node, now_ms);
            let after = after(&job, &change);
            match self.parts.db.move_job(change).await? {
                Applied::Moved(generation) => {
                    tracing::info!(job = %uuid, from = %job.state, to = %next, stage = after.stage.name(), "job moved");
                    let moved = LongJob { generation, ..after };
                    self.news.job(&moved);
                    return Ok(Moved::Now(moved));
                }
                Applied::Stale => {}
                Applied::Missing => return Err(JobError::NotFound { uuid: uuid.to_string() }),
            }
        }
        Err(JobError::Contended)
    }

    /// [`move_job`](Self::move_job) for whoever speaks for one run: if another has taken its place, nothing is moved and the
    /// upload is `Gone`.
    pub(super) async fn move_run(
        &self,
        run: Run,
        decide: impl Fn(&LongJob) -> Result<Option<Step>, JobError>,
    ) -> Result<Moved, JobError> {
        let moved = self.move_job(run.job, Scope::All, |job| {
            if job.run() == run { decide(job) } else { Err(superseded()) }
        });
        moved.await
    }

    /// The job, while this is its current run.
    pub(super) async fn current(&self, run: Run) -> Result<Option<LongJob>, JobError> {
        let job = self.parts.db.job(run.job, Scope::All).await?;
        Ok(job.filter(|job| job.run() == run))
    }
}

fn change(job: &LongJob, next: JobState, step: Step, node: NodeUuid, now_ms: i64) -> MoveJob {
    let stage = step.stage.unwrap_or(job.stage);
    let percent = if stage == job.stage { job.stage_percent } else { 0 };
    let cause = step.cause();
    MoveJob {
        uuid: job.uuid,
        generation: job.generation,
        state: next,
        stage,
        stage_percent: if next == JobState::Succeeded { 100 } else { percent },
        waits_for: step.waits_for,
        result: step.result,
        node: Some(node),
        cause,
        image: step.image,
        fate: step.fate,
        now_ms,
    }
}

fn after(job: &LongJob, change: &MoveJob) -> LongJob {
    LongJob {
        state: change.state,
        stage: change.stage,
        stage_percent: change.stage_percent,
        waits_for: change.waits_for.clone(),
        result: change.result.clone().or_else(|| job.result.clone()),
        node: change.node.or(job.node),
        last_op_ms: change.now_ms,
        finished_ms: if change.state.is_final() { Some(change.now_ms) } else { job.finished_ms },
        ..job.clone()
    }
}

/// What an event says by itself.
const fn words(event: JobEvent) -> &'static str {
    match event {
        JobEvent::Start => "the work began",
        JobEvent::BytesArrived => "bytes arrived",
        JobEvent::WentSilent => "no byte arrived for a while",
        JobEvent::SuspendAsked => "suspended by the user",
        JobEvent::StorageFull => "the storage is full",
        JobEvent::StorageFailed => "the storage failed",
        JobEvent::NodeLost => "the service was restarted",
        JobEvent::Resume => "resumed",
        JobEvent::CancelAsked => "canceled by the user",
        JobEvent::CleanedUp => "its bytes were removed",
        JobEvent::Succeed => "the image is Ready",
        JobEvent::Fail => "it cannot succeed any more",
        JobEvent::RunAgain => "run again",
    }
}

/// Who asks for something, as a history tells it.
pub(super) fn asker(caller: Caller, job: &LongJob) -> &'static str {
    if caller.account == job.account { "the user" } else { "an administrator" }
}

/// The job runs again, with another upload.
pub(super) fn superseded() -> JobError {
    JobError::Upload(UploadError::Gone { fate: UploadFate::Discarded })
}

/// ZStack's words for an event that a state does not take (zstack.md 2.4).
pub(super) fn refusal(job: &LongJob, event: JobEvent) -> JobError {
    let words = match event {
        JobEvent::CancelAsked => {
            let ended = if job.state == JobState::Succeeded { "succeeded" } else { "failed" };
            format!("cannot cancel longjob that is {ended}")
        }
        JobEvent::Resume => "can only resume longjob that is Suspended".to_owned(),
        JobEvent::SuspendAsked => {
            format!(
                "can only suspend longjob that is Running or Suspended, it is {}",
                job.state.name()
            )
        }
        JobEvent::RunAgain => {
            "rerun longjob only when it's succeeded, canceled, or failed".to_owned()
        }
        JobEvent::Start
        | JobEvent::BytesArrived
        | JobEvent::WentSilent
        | JobEvent::StorageFull
        | JobEvent::StorageFailed
        | JobEvent::NodeLost
        | JobEvent::CleanedUp
        | JobEvent::Succeed
        | JobEvent::Fail => format!("the longjob is {}", job.state),
    };
    JobError::WrongState { state: job.state, words }
}

/// What `jobResult` says of a job that is interrupted: ZStack's sentence and our cause.
pub(super) fn interrupted(job: JobUuid, cause: impl Into<String>) -> JobResult {
    JobResult::Error {
        detail: format!(
            "some error interrupt long job[uuid:{job}], analysis the cause to fix it and resume long job if you want to continue."
        ),
        cause: cause.into(),
        reason: Reason::NotTheFile,
    }
}
