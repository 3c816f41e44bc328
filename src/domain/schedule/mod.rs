//! What runs by itself, and when: jobs, the triggers that fire them, groups of jobs, and what each run has led to. Pure.
//!
//! A *binding* joins a trigger to a job or to a group. It alone knows when it fires next, and moves on by compare-and-swap: that is
//! what keeps two processes from running the same fire twice.
//!
//! | binding | due, job free | due, job at work | job disabled | trigger changed | job enabled |
//! |---|---|---|---|---|---|
//! | waits (`next_fire_ms`) | runs once, waits for the first fire after now | the fire waits | asleep | first fire after now | - |
//! | asleep (no `next_fire_ms`) | - | - | stays | stays, or waits if it has fires again | first fire after now |
//!
//! | run | ends | its process ends | its trigger or job is deleted |
//! |---|---|---|---|
//! | open (no `ended_ms`) | success or failure, with a result | failure, at the next start or when its lease is over | goes on, its row stays |
//! | ended | stays | stays | stays |

mod kind;
mod report;
mod timing;

pub use kind::{JobType, Parameters};
pub use report::ReportUnit;
pub use timing::{CronText, InvalidTiming, Timing, start_ms_of};

use super::{
    clock::EpochMs,
    ids::{
        AccountUuid, FireUuid, ImageUuid, JobGroupUuid, NodeUuid, ScheduledJobUuid, TriggerUuid,
    },
};

/// Jobs that there may be, and triggers.
pub const JOBS_MAX: u64 = 500;
/// Groups that there may be.
pub const GROUPS_MAX: u64 = 100;
/// Bindings that there may be, and places in groups.
pub const BINDINGS_MAX: u64 = 1000;

/// Something that runs now and then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledJob {
    /// Its identifier.
    pub uuid: ScheduledJobUuid,
    /// Whose it is; an admin's.
    pub account: AccountUuid,
    /// Name, at most 255 characters.
    pub name: String,
    /// Description, at most 2,048 characters.
    pub description: Option<String>,
    /// What it does.
    pub job_type: JobType,
    /// The image that it is about, where it is about one.
    pub target: Option<ImageUuid>,
    /// How it does it.
    pub parameters: Parameters,
    /// Whether its triggers run it.
    pub enabled: bool,
    /// When it was made.
    pub created_ms: EpochMs,
    /// When it was last changed.
    pub last_op_ms: EpochMs,
}

/// When something runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Its identifier.
    pub uuid: TriggerUuid,
    /// Whose it is; an admin's.
    pub account: AccountUuid,
    /// Name, at most 255 characters.
    pub name: String,
    /// Description, at most 2,048 characters.
    pub description: Option<String>,
    /// When it fires.
    pub timing: Timing,
    /// When it was made.
    pub created_ms: EpochMs,
    /// When it was last changed.
    pub last_op_ms: EpochMs,
}

/// Jobs that run together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobGroup {
    /// Its identifier.
    pub uuid: JobGroupUuid,
    /// Whose it is; an admin's.
    pub account: AccountUuid,
    /// Name, at most 255 characters.
    pub name: String,
    /// Description, at most 2,048 characters.
    pub description: Option<String>,
    /// The type of all its jobs; any where none was given.
    pub job_type: Option<JobType>,
    /// Whether its triggers run it.
    pub enabled: bool,
    /// When it was made.
    pub created_ms: EpochMs,
    /// When it was last changed.
    pub last_op_ms: EpochMs,
}

/// What a trigger runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// One job.
    Job(ScheduledJobUuid),
    /// Every job of a group.
    Group(JobGroupUuid),
}

impl Target {
    /// Its identifier as text.
    pub fn uuid(self) -> String {
        match self {
            Self::Job(uuid) => uuid.to_string(),
            Self::Group(uuid) => uuid.to_string(),
        }
    }
}

/// A trigger joined to what it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// The trigger.
    pub trigger: TriggerUuid,
    /// What it runs.
    pub target: Target,
    /// Where its fires are counted from: the trigger's start, else when it was bound.
    pub anchor_ms: EpochMs,
    /// When it fires next; `None` while its target is disabled, and once there is no fire left.
    pub next_fire_ms: Option<EpochMs>,
    /// What the clock showed when it last moved: a clock that was set back is told by it.
    pub moved_ms: EpochMs,
    /// Grows with every move; the compare-and-swap key.
    pub generation: i64,
}

impl Binding {
    /// Newly bound at `now_ms`. `next_fire_ms` is the first fire that is not in the past, `None` if `enabled` is not.
    pub fn new(trigger: &Trigger, target: Target, enabled: bool, now_ms: EpochMs) -> Self {
        let anchor_ms = trigger.timing.start_ms().unwrap_or(now_ms);
        let next_fire_ms = trigger.timing.next_after(anchor_ms, now_ms - 1);
        Self {
            trigger: trigger.uuid,
            target,
            anchor_ms,
            next_fire_ms: next_fire_ms.filter(|_| enabled),
            moved_ms: now_ms,
            generation: 1,
        }
    }

    /// After its trigger was changed or its target enabled or disabled: the first fire after now.
    #[must_use]
    pub fn moved(self, timing: &Timing, enabled: bool, now_ms: EpochMs) -> Self {
        // Bound to no start of the trigger it goes on from where it was, unless that is still to come.
        let anchor_ms = timing.start_ms().unwrap_or(self.anchor_ms.min(now_ms));
        let next_fire_ms = timing.next_after(anchor_ms, now_ms).filter(|_| enabled);
        Self { anchor_ms, next_fire_ms, moved_ms: now_ms, ..self }
    }

    /// Whether the clock was set back so far since it last moved that it would sleep for long. Ten minutes are none: processes need
    /// not agree to the second.
    pub fn is_ahead_of(&self, now_ms: EpochMs) -> bool {
        self.next_fire_ms.is_some() && self.moved_ms.saturating_sub(now_ms) > CLOCK_SLACK_MS
    }
}

/// As far as clocks of two processes, or one before and after it was set, may be apart.
pub const CLOCK_SLACK_MS: i64 = 600_000;

/// One run of a job: a row of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// Grows with every run.
    pub id: i64,
    /// Whose job it was.
    pub account: AccountUuid,
    /// What fired it; `None` where somebody ran the job by itself.
    pub trigger: Option<TriggerUuid>,
    /// The job.
    pub job: ScheduledJobUuid,
    /// The group as part of which it ran.
    pub group: Option<JobGroupUuid>,
    /// What the job does.
    pub job_type: JobType,
    /// The image that it was about.
    pub target: Option<ImageUuid>,
    /// The moment that it was due.
    pub fire_ms: EpochMs,
    /// This one run.
    pub fire: FireUuid,
    /// What was asked, as JSON.
    pub request: String,
    /// What it led to, as JSON; `None` while it runs.
    pub result: Option<String>,
    /// Whether it did what it was to do; `None` while it runs.
    pub success: Option<bool>,
    /// The process that runs it.
    pub node: NodeUuid,
    /// When it began.
    pub started_ms: EpochMs,
    /// When it ended.
    pub ended_ms: Option<EpochMs>,
}

impl RunRecord {
    /// Whole seconds that it took; `None` while it runs.
    pub fn execute_secs(&self) -> Option<i64> {
        self.ended_ms.map(|ended| (ended.saturating_sub(self.started_ms) / 1000).max(0))
    }
}
